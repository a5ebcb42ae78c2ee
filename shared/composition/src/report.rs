//! Errors and hints as they are found.

use crate::error::{Code, CompositionError, Hint, HintCode, Location};
use crate::syntax::Pos;

/// Collects what is wrong in one subgraph.
pub(crate) struct Report<'a> {
    pub(crate) subgraph: &'a str,
    pub(crate) errors: Vec<CompositionError>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(subgraph: &'a str) -> Self {
        Self { subgraph, errors: Vec::new() }
    }

    /// Something is wrong at one place. `message` need not name the subgraph: it is put in front.
    pub(crate) fn error(&mut self, code: Code, pos: Pos, message: impl AsRef<str>, help: &str) {
        self.errors.push(CompositionError {
            code,
            message: format!("in {}, {}", self.subgraph, message.as_ref()),
            locations: vec![location(self.subgraph, pos)],
            help: (!help.is_empty()).then(|| help.to_owned()),
        });
    }
}

/// Collects what is wrong between subgraphs.
#[derive(Default)]
pub(crate) struct Findings {
    pub(crate) errors: Vec<CompositionError>,
    pub(crate) hints: Vec<Hint>,
}

impl Findings {
    pub(crate) fn error(
        &mut self,
        code: Code,
        locations: Vec<Location>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help = help.into();
        self.errors.push(CompositionError {
            code,
            message: message.into(),
            locations,
            help: (!help.is_empty()).then_some(help),
        });
    }

    pub(crate) fn hint(&mut self, code: HintCode, locations: Vec<Location>, message: impl Into<String>) {
        self.hints.push(Hint { code, message: message.into(), locations });
    }
}

pub(crate) fn location(subgraph: &str, pos: Pos) -> Location {
    Location { subgraph: subgraph.to_owned(), line: pos.line, column: pos.column }
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed<T: AsRef<str>>(items: &[T]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    match items.as_slice() {
        [] => "nothing".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
