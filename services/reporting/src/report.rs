//! Sales by any cut, as a question in SQL. It is put together from this file's own texts; what a client says is bound.

#[cfg(test)]
mod tests;

use crate::sales::Category;
use async_graphql::Enum;
use federation::UserError;
use jiff::Timestamp;
use projection::store::Question;
use rust_decimal::Decimal;
use serde::Deserialize;

/// How many cuts one report may have.
const MAX_CUTS: usize = 4;

/// What sales are told apart by. Times are of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(name = "SalesCut")]
pub enum Cut {
    /// The year, as `2011`.
    Year,
    /// The month, as `2011-03`.
    Month,
    /// The day, as `2011-03-31`.
    Day,
    /// The country that was delivered to, or that goods came back from.
    Country,
    /// The country that the customer is registered in.
    CustomerCountry,
    /// The category of the product.
    Category,
    /// The product.
    Product,
    /// The customer.
    Customer,
}

/// What is asked.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What rows are told apart by.
    pub cuts: Vec<Cut>,
    /// From when on.
    pub from: Option<Timestamp>,
    /// Until before when.
    pub to: Option<Timestamp>,
    /// In which country only.
    pub country: Option<String>,
    /// Of which category only.
    pub category: Option<Category>,
    /// How many rows.
    pub first: usize,
}

/// A row of a report: of what it isn't cut by, nothing is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Row {
    /// See [`Cut::Year`].
    pub year: Option<String>,
    /// See [`Cut::Month`].
    pub month: Option<String>,
    /// See [`Cut::Day`].
    pub day: Option<String>,
    /// See [`Cut::Country`].
    pub country: Option<String>,
    /// See [`Cut::CustomerCountry`].
    pub customer_country: Option<String>,
    /// See [`Cut::Category`].
    pub category: Option<Category>,
    /// See [`Cut::Product`].
    pub product: Option<String>,
    /// See [`Cut::Customer`].
    pub customer: Option<String>,
    /// ISO 4217 code of its amounts.
    pub currency: String,
    /// Orders with a line in it.
    pub orders: i64,
    /// Pieces sold.
    pub units: i64,
    /// What they sold for.
    pub gross: Decimal,
    /// Pieces that came back.
    pub returned_units: i64,
    /// What was refunded for them.
    pub refunds: Decimal,
}

/// The lines that a report is about, each with what it is joined with.
const LINES: &str = "
    SELECT t.pk AS id, t.item ->> 'kind' AS kind, (t.item ->> 'at')::timestamptz AT TIME ZONE 'UTC' AS at,
        t.item ->> 'country' AS country, t.item ->> 'currency' AS currency, t.item ->> 'customer' AS customer,
        line ->> 'sku' AS product, (line ->> 'units')::numeric AS units, (line ->> 'amount')::numeric AS amount,
        product.item ->> 'category' AS category, customer.item ->> 'country' AS customer_country
    FROM {t} t
    CROSS JOIN LATERAL jsonb_array_elements(t.item -> 'lines') line
    LEFT JOIN {t} product ON product.pk = 'product#' || (line ->> 'sku') AND product.sk = '-'
    LEFT JOIN {t} customer ON customer.pk = 'customer#' || (t.item ->> 'customer') AND customer.sk = '-'
    WHERE t.item ? 'lines'
        AND ($1::timestamptz IS NULL OR (t.item ->> 'at')::timestamptz >= $1::timestamptz)
        AND ($2::timestamptz IS NULL OR (t.item ->> 'at')::timestamptz < $2::timestamptz)
        AND ($3::text IS NULL OR t.item ->> 'country' = $3)
        AND ($4::text IS NULL OR product.item ->> 'category' = $4)";

const SUMS: &str = "
    count(DISTINCT id) FILTER (WHERE kind = 'order') AS orders,
    coalesce(sum(units) FILTER (WHERE kind = 'order'), 0) AS units,
    coalesce(sum(amount) FILTER (WHERE kind = 'order'), 0)::text AS gross,
    coalesce(sum(units) FILTER (WHERE kind = 'return'), 0) AS returned_units,
    coalesce(sum(amount) FILTER (WHERE kind = 'return'), 0)::text AS refunds";

impl Cut {
    /// The column of a row, and what it is of a line.
    const fn column(self) -> (&'static str, &'static str) {
        match self {
            Self::Year => ("year", "to_char(at, 'YYYY')"),
            Self::Month => ("month", "to_char(at, 'YYYY-MM')"),
            Self::Day => ("day", "to_char(at, 'YYYY-MM-DD')"),
            Self::Country => ("country", "country"),
            Self::CustomerCountry => ("customer_country", "customer_country"),
            Self::Category => ("category", "category"),
            Self::Product => ("product", "product"),
            Self::Customer => ("customer", "customer"),
        }
    }
}

impl Report {
    /// The question: the rows that sold for most first, those of each currency for themselves.
    ///
    /// # Errors
    /// Where a cut comes twice, there are too many, or the time ends before it begins.
    pub fn question(&self) -> Result<Question, UserError> {
        let is_twice = |(place, cut): (usize, &Cut)| self.cuts[..place].contains(cut);
        if self.cuts.len() > MAX_CUTS || self.cuts.iter().enumerate().any(is_twice) {
            return Err(UserError::bad_input(format!("a report has at most {MAX_CUTS} cuts, each once")));
        }
        if self.from.zip(self.to).is_some_and(|(from, to)| from >= to) {
            return Err(UserError::bad_input("to must be later than from"));
        }
        let columns = self.cuts.iter().map(|cut| cut.column());
        let mut columns: Vec<String> = columns.map(|(name, value)| format!("{value} AS {name}")).collect();
        columns.push("currency".to_owned());
        let columns = columns.join(", ");
        let places: Vec<String> = (1..=self.cuts.len() + 1).map(|place| place.to_string()).collect();
        let places = places.join(", ");
        let sql = format!(
            "SELECT {columns}, {SUMS} FROM ({LINES}) sale GROUP BY {places}
             ORDER BY coalesce(sum(amount) FILTER (WHERE kind = 'order'), 0) DESC, {places} LIMIT $5::bigint"
        );
        let category = self.category.map(|category| match category {
            Category::Card => "card",
            Category::Gift => "gift",
            Category::Flowers => "flowers",
            Category::Other => "other",
        });
        let time = |time: Option<Timestamp>| time.map(|it| it.to_string());
        let bound = vec![
            time(self.from),
            time(self.to),
            self.country.clone(),
            category.map(str::to_owned),
            Some(self.first.to_string()),
        ];
        Ok(Question { sql, bound })
    }
}
