//! Given a projection, when these events come, then its items are these.
//!
//! ```
//! use contracts::catalogue::ProductListed;
//! use contracts::{Envelope, Event};
//! use projection::{Key, Projection, Row};
//! use serde_json::json;
//! use testkit::{event, given};
//!
//! let products = Projection::new("products", 1).state(|event: &Envelope<ProductListed>| {
//!     Row::new(Key::alone(&event.data.0.sku), &json!({ "title": event.data.0.title }))
//! });
//! given(&products)
//!     .when(&[event(&ProductListed::example(), 1)])
//!     .then_item(&Key::alone("22423"), &json!({ "title": "Regency cakestand, 3 tier" }))
//!     .then_nothing(&Key::alone("85123A"))
//!     .then_items(&[(Key::alone("22423"), json!({ "title": "Regency cakestand, 3 tier" }))]);
//! ```

use crate::content::{Content, Field, Fields, Shown, is_child, view};
use crate::model::Model;
use projection::{Key, Projection};
use serde_json::Value;

/// A projection to ask.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a>(&'a Projection);

/// What the events came to.
#[derive(Debug)]
pub struct Then {
    name: &'static str,
    content: Content,
}

/// Starts a test of a projection's folds.
pub fn given(projection: &Projection) -> Given<'_> {
    Given(projection)
}

impl Given<'_> {
    /// Folds these envelopes; backwards, and all of them twice, they must come to the same.
    ///
    /// # Panics
    /// If an event can't be folded, or if it matters in which order or how often they come.
    pub fn when(self, events: &[Value]) -> Then {
        let name = self.0.name();
        let content = |events: &[Value]| match Model::of(self.0, events) {
            Ok(model) => model.content(),
            Err(fault) => panic!("{name}: {fault}"),
        };
        let in_order = content(events);
        let backwards: Vec<Value> = events.iter().rev().cloned().collect();
        let twice: Vec<Value> = events.iter().chain(events).cloned().collect();
        for (how, other) in [("backwards", content(&backwards)), ("twice", content(&twice))] {
            let difference = other.difference(&in_order);
            assert!(
                difference.is_empty(),
                "{name}: folded {how}, the events come to something else\n{difference}"
            );
        }
        Then { name, content: in_order }
    }

    /// The fold must refuse this event, for a reason in which this text stands.
    ///
    /// # Panics
    /// If it folds it, or refuses it for another reason.
    pub fn rejects(self, event: &Value, because: &str) {
        let name = self.0.name();
        match Model::of(self.0, std::slice::from_ref(event)) {
            Ok(model) => panic!("{name}: it folds the event to {:?}", model.content()),
            Err(fault) => {
                let fault = fault.to_string();
                assert!(
                    fault.contains(because),
                    "{name}: expected a refusal because of `{because}`, but: {fault}"
                );
            }
        }
    }
}

impl Then {
    /// The item's attributes are these, besides those of the joins. A source's part is an object under its name;
    /// numbers are compared as exact decimals; a total of zero counts as none.
    ///
    /// # Panics
    /// If they are not.
    #[must_use = "ask for all items with `then_items`, or drop it"]
    pub fn then_item(self, key: &Key, expected: &Value) -> Self {
        let is = self.content.0.get(key).and_then(view);
        let expected = fields(expected);
        let (name, stored, wanted) =
            (self.name, Shown(is.as_ref()).to_string(), Shown(Some(&expected)).to_string());
        assert!(
            is.as_ref() == Some(&expected),
            "{name}: item {key}\n  is:       {stored}\n  expected: {wanted}"
        );
        self
    }

    /// There is no such item, or only its tombstone.
    ///
    /// # Panics
    /// If there is one.
    #[must_use = "ask for all items with `then_items`, or drop it"]
    pub fn then_nothing(self, key: &Key) -> Self {
        let is = self.content.0.get(key).and_then(view);
        assert!(is.is_none(), "{}: item {key} is there: {}", self.name, Shown(is.as_ref()));
        self
    }

    /// The items that a reader sees are these and no others; what a ledger remembers of its contributors isn't
    /// among them.
    ///
    /// # Panics
    /// If there are others, or if one differs.
    pub fn then_items(self, expected: &[(Key, Value)]) {
        let is = self.content.0.iter().filter(|(key, _)| !is_child(key));
        let is = Content(is.filter_map(|(key, fields)| Some((key.clone(), view(fields)?))).collect());
        let expected = Content(expected.iter().map(|(key, value)| (key.clone(), fields(value))).collect());
        let difference = is.difference(&expected);
        assert!(difference.is_empty(), "{}: the items differ\n{difference}", self.name);
    }
}

fn fields(value: &Value) -> Fields {
    match Field::from(value) {
        Field::Map(fields) => fields,
        other => panic!("an item is expected to be an object, not {other:?}"),
    }
}
