//! Scalars and value objects all subgraphs share.

use async_graphql::{InputObject, InputValueError, InputValueResult, Object, Scalar, ScalarType, Value};
use jiff::Timestamp;
use rust_decimal::Decimal as Exact;
use serde::{Deserialize, Serialize, Serializer};

/// Significant digits every binary 64-bit number keeps (IEEE 754's `DBL_DIG`).
const FLOAT_DIGITS: usize = 15;

/// An exact decimal number of at most 28 digits. A string on the wire (`"19.90"`, its zeros kept); as input also a
/// number, where its literal has few enough digits to be exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Decimal(pub Exact);

#[Scalar(name = "Decimal")]
impl ScalarType for Decimal {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => exact(text).map(Self).map_err(InputValueError::custom),
            Value::Number(number) => {
                let text = number.to_string();
                if number.is_f64() && significant(&text) > FLOAT_DIGITS {
                    return Err(InputValueError::custom(format!(
                        "{text} may have been rounded on its way; write it as a string"
                    )));
                }
                let parsed = Exact::from_str_exact(&text).or_else(|_| Exact::from_scientific(&text));
                parsed.map(Self).map_err(|_| InputValueError::custom(format!("{text} has too many digits")))
            }
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

/// Reads `-12.50`: digits with at most one point between them, nothing else.
fn exact(text: &str) -> Result<Exact, String> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) =
        unsigned.split_once('.').map_or((unsigned, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if text.len() > 64 || !digits(whole) || !fraction.is_none_or(digits) {
        return Err("a decimal is written like \"-12.50\"".to_owned());
    }
    Exact::from_str_exact(text).map_err(|_| "a decimal has at most 28 digits".to_owned())
}

/// The number of significant digits of a number as `serde_json` writes it.
fn significant(text: &str) -> usize {
    let mantissa = text.split(['e', 'E']).next().unwrap_or(text);
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    digits.trim_start_matches('0').trim_end_matches('0').len()
}

impl From<Exact> for Decimal {
    fn from(value: Exact) -> Self {
        Self(value)
    }
}

impl From<Decimal> for Exact {
    fn from(value: Decimal) -> Self {
        value.0
    }
}

/// An instant as RFC 3339 has it: `"2011-12-09T12:50:00Z"`. Input may have any offset; output is in UTC.
///
/// In an item it has nine decimals, so that an index by it is in the order of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DateTime(#[serde(serialize_with = "sortable")] pub Timestamp);

fn sortable<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{instant:.9}"))
}

#[Scalar(name = "DateTime", specified_by_url = "https://datatracker.ietf.org/doc/html/rfc3339")]
impl ScalarType for DateTime {
    fn parse(value: Value) -> InputValueResult<Self> {
        let Value::String(text) = &value else { return Err(InputValueError::expected_type(value)) };
        // The parser also takes forms RFC 3339 does not have, such as a time zone in brackets.
        let plain = text.len() <= 64
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:.+".contains(&byte));
        match text.parse() {
            Ok(instant) if plain => Ok(Self(instant)),
            _ => Err(InputValueError::custom("an instant is written like \"2011-12-09T12:50:00Z\"")),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.0.to_string())
    }
}

impl From<Timestamp> for DateTime {
    fn from(value: Timestamp) -> Self {
        Self(value)
    }
}

impl From<DateTime> for Timestamp {
    fn from(value: DateTime) -> Self {
        value.0
    }
}

/// An exact amount of money in one currency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// The exact amount, in units of the currency (`19.90`, not `1990`).
    pub amount: Decimal,
    /// The currency's ISO 4217 code, such as `GBP`.
    pub currency: String,
}

impl Money {
    /// An amount in a currency given by its ISO 4217 code.
    pub fn new(amount: impl Into<Decimal>, currency: impl Into<String>) -> Self {
        Self { amount: amount.into(), currency: currency.into() }
    }

    /// So many times as much, exact.
    #[must_use]
    pub fn times(&self, count: u32) -> Self {
        Self::new(self.amount.0 * Exact::from(count), &self.currency)
    }
}

/// An exact amount of money in one currency.
#[Object(shareable)]
impl Money {
    /// The exact amount, in units of the currency, with all its decimals (`19.90`, not `1990`).
    async fn amount(&self) -> Decimal {
        let mut amount = self.amount.0.normalize();
        amount.rescale(amount.scale().max(decimals(&self.currency)));
        Decimal(amount)
    }

    /// The currency's ISO 4217 code, such as `GBP`.
    async fn currency(&self) -> &str {
        &self.currency
    }
}

/// How many decimals amounts in a currency have at least: the minor units of ISO 4217.
fn decimals(currency: &str) -> u32 {
    match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX" | "UYI"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        "CLF" | "UYW" => 4,
        _ => 2,
    }
}

/// An exact amount of money in one currency, as input.
#[derive(Clone, Debug, PartialEq, Eq, InputObject)]
pub struct MoneyInput {
    /// The exact amount, in units of the currency (`19.90`, not `1990`).
    pub amount: Decimal,
    /// The currency's ISO 4217 code, such as `GBP`.
    pub currency: String,
}

#[cfg(test)]
mod tests {
    use super::{DateTime, Decimal, Money, significant};
    use async_graphql::{EmptyMutation, EmptySubscription, Number, ScalarType, Schema, Value};
    use proptest::prelude::*;

    fn decimal(value: Value) -> Option<String> {
        Decimal::parse(value).ok().map(|decimal| decimal.0.to_string())
    }

    #[test]
    fn a_decimal_is_exact_from_a_string() {
        for good in ["0", "19.90", "-0.01", "7922816251426433759354395033", "0.0000000000000000000000000001"]
        {
            assert_eq!(decimal(Value::from(good)).as_deref(), Some(good));
        }
        for bad in ["", "-", ".5", "5.", "1e3", "1_000", " 1", "+1", "NaN", "1.2.3", "١", &"9".repeat(40)] {
            assert_eq!(decimal(Value::from(bad)), None, "{bad:?}");
        }
        assert_eq!(decimal(Value::Boolean(true)), None);
    }

    #[test]
    fn a_number_is_taken_while_it_is_exact() {
        let float = |number: f64| decimal(Value::Number(Number::from_f64(number).unwrap()));
        assert_eq!(float(19.99).as_deref(), Some("19.99"));
        assert_eq!(float(0.1).as_deref(), Some("0.1"));
        assert_eq!(float(0.1 + 0.2), None);
        assert_eq!(float(1e300), None);
        assert_eq!(decimal(Value::from(u64::MAX)).as_deref(), Some("18446744073709551615"));
        assert_eq!(decimal(Value::from(-7)).as_deref(), Some("-7"));
        assert_eq!((significant("0.00120"), significant("100.0"), significant("1.5e-7")), (2, 1, 2));
    }

    #[test]
    fn an_instant_has_an_offset_and_nothing_but_rfc_3339() {
        let instant = |text: &str| DateTime::parse(Value::from(text)).ok().map(|instant| instant.to_value());
        assert_eq!(instant("2011-12-09T12:50:00Z"), Some(Value::from("2011-12-09T12:50:00Z")));
        assert_eq!(instant("2011-12-09T14:50:00.5+02:00"), Some(Value::from("2011-12-09T12:50:00.5Z")));
        for bad in ["2011-12-09", "2011-12-09T12:50:00", "2011-12-09T12:50:00+01:00[Europe/Paris]", "now", ""]
        {
            assert_eq!(instant(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn money_is_shown_with_the_decimals_of_its_currency_and_never_rounded() {
        let shown = async |amount: &str, currency: &str| {
            let money = Money::new(Decimal(amount.parse().unwrap()), currency);
            let schema = Schema::build(money, EmptyMutation, EmptySubscription).finish();
            schema.execute("{ amount currency }").await.into_result().unwrap().data.to_string()
        };
        for (amount, currency, expected) in [
            ("18372", "GBP", "18372.00"),
            ("1236.3", "EUR", "1236.30"),
            ("15.010", "GBP", "15.01"),
            ("0.001", "GBP", "0.001"),
            ("-0.005", "USD", "-0.005"),
            ("0", "GBP", "0.00"),
            ("1000", "JPY", "1000"),
            ("1000.5", "JPY", "1000.5"),
            ("1.5", "KWD", "1.500"),
            ("7922816251426433759354395033", "GBP", "7922816251426433759354395033.0"),
        ] {
            let expected = format!(r#"{{amount: "{expected}", currency: "{currency}"}}"#);
            assert_eq!(shown(amount, currency).await, expected);
        }
    }

    #[test]
    fn instants_in_items_sort_as_texts() {
        let stored = |text: &str| {
            let instant: DateTime = serde_json::from_value(text.into()).unwrap();
            serde_json::to_value(instant).unwrap().as_str().unwrap().to_owned()
        };
        let times = ["2011-01-04T12:00:00Z", "2011-01-04T12:00:00.000000001Z", "2011-01-04T12:00:00.5Z"];
        let stored = times.map(stored);
        assert!(stored.is_sorted(), "{stored:?}");
        assert_eq!(stored[2], "2011-01-04T12:00:00.500000000Z");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(mantissa in any::<i64>(), scale in 0_u32..=18) {
            let value = Decimal(rust_decimal::Decimal::new(mantissa, scale));
            let back = Decimal::parse(value.to_value()).unwrap();
            prop_assert_eq!(back.0.to_string(), value.0.to_string());
        }
    }
}
