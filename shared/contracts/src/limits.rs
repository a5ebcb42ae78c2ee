//! What the fields of commands must be like. A limit is declared once: it stands in the JSON Schema of each field that
//! names it, and is checked before a command is decided.

use rust_decimal::Decimal;
use schemars::Schema;
use schemars::transform::Transform;
use std::fmt;

/// A field that is not as its limit has it. It names the field and the limit, never the value, which may be personal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The field, such as `lines[3].unitPrice`.
    pub path: String,
    /// What it must be.
    pub wanted: String,
}

/// A text of so many characters, in a form.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    longest: usize,
    /// The form as a regular expression of JSON Schema.
    pattern: &'static str,
    /// The form as Rust has it.
    admits: fn(&str) -> bool,
    wanted: &'static str,
}

/// A whole number.
#[derive(Clone, Copy, Debug)]
pub struct Whole {
    least: i64,
    most: i64,
}

/// An exact amount of at most [`HIGHEST`], with at most [`DECIMALS`] decimals that are not zero.
#[derive(Clone, Copy, Debug)]
pub struct Amount {
    /// Whether it may be as far below zero.
    signed: bool,
}

/// How many items a list has.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    least: usize,
    most: usize,
}

/// The highest amount, in the currency's main unit.
pub const HIGHEST: Decimal = Decimal::from_parts(1_000_000, 0, 0, false, 0);

/// The most decimals of an amount.
pub const DECIMALS: u32 = 4;

/// What names something: a number, a code, a country.
pub const NAME: Text = Text {
    longest: 200,
    pattern: r"^\S([\s\S]*\S)?$",
    admits: is_trimmed,
    wanted: "must have 1 to 200 characters, and no space around them",
};

/// The number of an order.
pub const ORDER_ID: Text = Text {
    longest: 200,
    pattern: r"^[^\sC]([\s\S]*\S)?$",
    admits: |text| is_trimmed(text) && !text.starts_with('C'),
    wanted: "must have 1 to 200 characters, no space around them, and not start with C as credit notes' do",
};

/// The number of a credit note.
pub const CREDIT_NOTE_ID: Text = Text {
    longest: 200,
    pattern: r"^C([\s\S]*\S)?$",
    admits: |text| is_trimmed(text) && text.starts_with('C'),
    wanted: "must have 1 to 200 characters, no space around them, and start with C",
};

/// A stock keeping unit.
pub const SKU: Text = Text {
    longest: 64,
    pattern: r"^[^\s\p{Lowercase}]([^\p{Lowercase}]*[^\s\p{Lowercase}])?$",
    admits: |text| is_trimmed(text) && !text.contains(char::is_lowercase),
    wanted: "must have 1 to 64 characters, no space around them, and be in upper case",
};

/// A code as its limit has it ([`SKU`], [`MARKET`], [`CURRENCY`]), however somebody writes it: without space around it, in
/// upper case.
pub fn code(text: &str) -> String {
    text.trim().to_uppercase()
}

/// What something or somebody is called.
pub const TITLE: Text = Text {
    longest: 200,
    pattern: r"\S",
    admits: |text| !text.trim().is_empty(),
    wanted: "must not be blank, and have at most 200 characters",
};

/// What something was called, as far as it is known.
pub const CAPTION: Text =
    Text { longest: 200, pattern: "", admits: |_| true, wanted: "must have at most 200 characters" };

/// Where somebody can be written to.
pub const EMAIL: Text = Text {
    longest: 200,
    pattern: r"^[^@\s]+@[^@\s]+$",
    admits: |text| {
        let parts = text.split_once('@');
        parts.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
            && !text.contains(char::is_whitespace)
    },
    wanted: "must have one @ with something on both sides, no white space, and at most 200 characters",
};

/// The code of a currency.
pub const CURRENCY: Text = Text {
    longest: 3,
    pattern: "^[A-Z]{3}$",
    admits: |text| is_code(text, 3),
    wanted: "must be three upper-case letters, as ISO 4217 has them",
};

/// The code of a market's country.
pub const MARKET: Text = Text {
    longest: 2,
    pattern: "^[A-Z]{2}$",
    admits: |text| is_code(text, 2),
    wanted: "must be two upper-case letters, as ISO 3166 has them",
};

/// Where a line stands.
pub const POSITION: Whole = Whole { least: 1, most: u32::MAX as i64 };

/// The pieces of a line: those of an order of [`LINES`] are still a GraphQL Int.
pub const QUANTITY: Whole = Whole { least: 1, most: 1_000_000 };

/// The pieces of an adjustment.
pub const ADJUSTMENT: Whole = Whole { least: -1_000_000, most: 1_000_000 };

/// A price.
pub const PRICE: Amount = Amount { signed: false };

/// The price of a line: that of a discount is below zero.
pub const CHARGE: Amount = Amount { signed: true };

/// The lines of an order or of a credit note.
pub const LINES: Count = Count { least: 1, most: 1_000 };

impl Text {
    /// Writes it into a field's schema.
    pub(crate) fn schema(self) -> impl Transform {
        move |schema: &mut Schema| {
            schema.insert("maxLength".to_owned(), self.longest.into());
            if !self.pattern.is_empty() {
                schema.insert("pattern".to_owned(), self.pattern.into());
            }
        }
    }

    /// Checks a text, if there is one.
    pub fn check<'a>(&self, field: &str, text: impl Into<Option<&'a str>>) -> Result<(), Violation> {
        let admits = |text: &str| text.chars().count() <= self.longest && (self.admits)(text);
        holds(text.into().is_none_or(admits), field, || self.wanted.to_owned())
    }
}

impl Whole {
    /// Writes it into a field's schema.
    pub(crate) fn schema(self) -> impl Transform {
        move |schema: &mut Schema| {
            schema.insert("minimum".to_owned(), self.least.into());
            schema.insert("maximum".to_owned(), self.most.into());
        }
    }

    /// Checks a number.
    pub fn check(&self, field: &str, number: impl Into<i64>) -> Result<(), Violation> {
        let Self { least, most } = self;
        holds((*least..=*most).contains(&number.into()), field, || format!("must be {least} to {most}"))
    }
}

impl Amount {
    /// Writes it into a field's schema.
    pub(crate) fn schema(self) -> impl Transform {
        // Without a sign there is still a zero below zero.
        let below = if self.signed { "-?" } else { r"-0+(\.0+)?|" };
        let pattern = format!(r"^({below}0*(1000000(\.0+)?|\d{{1,6}}(\.\d{{1,4}}0*)?))$");
        move |schema: &mut Schema| {
            schema.insert("pattern".to_owned(), pattern.as_str().into());
        }
    }

    /// Checks an amount.
    pub fn check(&self, field: &str, amount: Decimal) -> Result<(), Violation> {
        let lowest = if self.signed { -HIGHEST } else { Decimal::ZERO };
        let fits = (lowest..=HIGHEST).contains(&amount) && amount.normalize().scale() <= DECIMALS;
        holds(fits, field, || format!("must be {lowest} to {HIGHEST}, with at most {DECIMALS} decimals"))
    }
}

impl Count {
    /// Writes it into a field's schema.
    pub(crate) fn schema(self) -> impl Transform {
        move |schema: &mut Schema| {
            schema.insert("minItems".to_owned(), self.least.into());
            schema.insert("maxItems".to_owned(), self.most.into());
        }
    }

    /// Checks how many items there are.
    pub fn check(&self, field: &str, items: usize) -> Result<(), Violation> {
        let Self { least, most } = self;
        holds((*least..=*most).contains(&items), field, || format!("must have {least} to {most} items"))
    }

    /// Checks how many items there are, then each of them.
    pub fn check_each<T>(
        &self,
        field: &str,
        items: &[T],
        check: impl FnMut(&T) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        self.check(field, items.len())?;
        let mut checked = items.iter().map(check).enumerate();
        checked.try_for_each(|(index, it)| it.map_err(|it| it.within(&format!("{field}[{index}]"))))
    }
}

/// A violation of a field that isn't as it must be.
pub(crate) fn holds(holds: bool, field: &str, wanted: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { path: field.to_owned(), wanted: wanted() }) }
}

fn is_trimmed(text: &str) -> bool {
    !text.is_empty() && text.trim() == text
}

fn is_code(text: &str, letters: usize) -> bool {
    text.len() == letters && text.bytes().all(|byte| byte.is_ascii_uppercase())
}

impl Violation {
    /// The same of a field that is inside another.
    #[must_use]
    pub fn within(self, parent: &str) -> Self {
        Self { path: format!("{parent}.{}", self.path), ..self }
    }

    /// A stable code by the field's own name: `INVALID_UNIT_PRICE`.
    pub fn code(&self) -> String {
        let field = self.path.rsplit('.').next().unwrap_or_default();
        let name = field.split('[').next().unwrap_or_default();
        name.chars().fold("INVALID_".to_owned(), |mut code, letter| {
            if letter.is_ascii_uppercase() {
                code.push('_');
            }
            code.push(letter.to_ascii_uppercase());
            code
        })
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path, self.wanted)
    }
}

impl std::error::Error for Violation {}
