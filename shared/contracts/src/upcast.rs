//! Earlier major versions of an event, read as a later one.

use crate::event::Event;
use serde_json::{Error, Value};
use std::collections::BTreeMap;

/// How the data of earlier major versions becomes that of a later one: steps from each major version to the next, chained.
///
/// ```
/// # use contracts::{Event, State, Upcast, Extra};
/// # use schemars::JsonSchema;
/// # use serde::{Deserialize, Serialize};
/// #[derive(Clone, Serialize, Deserialize, JsonSchema)]
/// struct ParcelSentV1 { id: String, grams: u32 }
///
/// #[derive(Clone, Serialize, Deserialize, JsonSchema)]
/// struct ParcelSent { id: String, kilograms: f64 }
/// # impl Event for ParcelSentV1 {
/// #     type Kind = State; const DOMAIN: &str = "shipping"; const NAME: &str = "ParcelSent"; const MAJOR: u16 = 1;
/// #     fn subject(&self) -> String { self.id.clone() }
/// #     fn example() -> Self { Self { id: "P1".into(), grams: 250 } }
/// # }
///
/// impl Event for ParcelSent {
///     type Kind = State;
///     const DOMAIN: &str = "shipping";
///     const NAME: &str = "ParcelSent";
///     const MAJOR: u16 = 2;
///
///     fn upcasts() -> Upcast<Self> {
///         Upcast::from(|it: ParcelSentV1| Self { id: it.id, kilograms: f64::from(it.grams) / 1_000.0 })
///     }
/// #   fn subject(&self) -> String { self.id.clone() }
/// #   fn example() -> Self { Self { id: "P1".into(), kilograms: 0.25 } }
/// }
/// let sent = ParcelSent::upcasts().read(1, &serde_json::json!({ "id": "P1", "grams": 500 }));
/// assert_eq!(sent.unwrap().unwrap().kilograms, 0.5);
/// ```
pub struct Upcast<E> {
    steps: BTreeMap<u16, Read<E>>,
}

type Read<E> = Box<dyn Fn(&Value) -> Result<E, Error> + Send + Sync>;

impl<E: Event> Upcast<E> {
    /// No earlier major version is read.
    pub fn none() -> Self {
        Self { steps: BTreeMap::new() }
    }

    /// The way from the major version before, and through it from those before that. It doesn't compile where the two
    /// are not an earlier and a later one of the same event.
    pub fn from<P: Event<Kind = E::Kind>>(step: fn(P) -> E) -> Self {
        const {
            assert!(P::MAJOR < E::MAJOR, "an upcaster leads from an earlier major version to a later one");
            assert!(same(P::DOMAIN, E::DOMAIN) && same(P::NAME, E::NAME), "an upcaster stays with its event");
        }
        let mut steps: BTreeMap<u16, Read<E>> = BTreeMap::new();
        for (major, read) in P::upcasts().steps {
            steps.insert(major, Box::new(move |data| read(data).map(step)));
        }
        steps.insert(P::MAJOR, Box::new(move |data| P::deserialize(data).map(step)));
        Self { steps }
    }

    /// The earlier major versions that can be read.
    pub fn majors(&self) -> impl Iterator<Item = u16> {
        self.steps.keys().copied()
    }

    /// The data of an earlier major version as this one; none where that major version can't be read.
    pub fn read(&self, major: u16, data: &Value) -> Option<Result<E, Error>> {
        Some(self.steps.get(&major)?(data))
    }
}

const fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}
