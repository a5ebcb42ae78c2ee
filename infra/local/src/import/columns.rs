//! Where a file's columns are.

use super::records::Fields;

/// The columns, each with the names that it goes by in the editions of the data set.
const NAMES: [&[&str]; 8] = [
    &["InvoiceNo", "Invoice"],
    &["StockCode"],
    &["Description"],
    &["Quantity"],
    &["InvoiceDate"],
    &["UnitPrice", "Price"],
    &["CustomerID", "Customer ID"],
    &["Country"],
];

/// A column that the import reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Invoice,
    StockCode,
    Description,
    Quantity,
    Date,
    Price,
    Customer,
    Country,
}

/// What is wrong with a header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// There is no line with anything on it.
    #[error("it is empty: the first line must name the columns")]
    Empty,
    /// Columns are not there.
    #[error("its first line doesn't name the columns {}", .0.join(", "))]
    Missing(Vec<&'static str>),
    /// A column is there twice.
    #[error("its first line names the column {0} twice")]
    Repeated(&'static str),
}

/// Where the columns are, and how many there are with those that aren't read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    at: [usize; 8],
    count: usize,
}

impl Column {
    pub(super) fn name(self) -> &'static str {
        NAMES[self as usize][0]
    }
}

impl Columns {
    /// Finds the columns in a header; white space around their names and the case of letters don't count.
    pub(super) fn of(header: Option<&Fields>) -> Result<Self, HeaderError> {
        let header = header.ok_or(HeaderError::Empty)?;
        let found: Vec<&str> = header.iter().map(str::trim).collect();
        let mut at = [0; 8];
        let mut missing = Vec::new();
        for (column, names) in NAMES.iter().enumerate() {
            let mut places = found
                .iter()
                .enumerate()
                .filter(|(_, found)| names.iter().any(|name| name.eq_ignore_ascii_case(found)));
            match (places.next(), places.next()) {
                (Some((place, _)), None) => at[column] = place,
                (None, _) => missing.push(names[0]),
                (Some(_), Some(_)) => return Err(HeaderError::Repeated(names[0])),
            }
        }
        if missing.is_empty() {
            Ok(Self { at, count: found.len() })
        } else {
            Err(HeaderError::Missing(missing))
        }
    }

    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// A field, trimmed. The record has as many fields as the header.
    pub(super) fn get<'a>(&self, fields: &'a Fields, column: Column) -> &'a str {
        fields.get(self.at[column as usize]).trim()
    }
}
