//! Labels of progressive `@override`: for which requests a field has moved already.

use std::sync::atomic::{AtomicU64, Ordering};

use graphql_tools::parser::schema::{Definition, Document, TypeDefinition};
use hive_router_query_planner::graph::{PERCENTAGE_SCALE_FACTOR, PlannerOverrideContext};

use crate::operation::Conditions;
use crate::supergraph::argument;

/// The labels of a supergraph.
#[derive(Debug)]
pub(crate) struct Rollout {
    /// `percent(x)`, by the key of its condition, with `x` in the planner's unit.
    percentages: Vec<(String, u64)>,
    /// Other labels, by the key of their condition, and whether they hold.
    flags: Vec<(String, bool)>,
    /// How many requests have been drawn for.
    drawn: AtomicU64,
}

/// 2^64 divided by the golden ratio: its multiples fall evenly on all of `u64`, so that of any run of requests
/// a share as near to the percentage as can be goes the new way.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

impl Rollout {
    /// Finds the labels of a supergraph; of those that are no percentage, the ones in `holding` hold.
    pub(crate) fn of(supergraph: &Document<'static, String>, holding: &[String]) -> Self {
        let mut labels: Vec<&str> = Vec::new();
        for definition in &supergraph.definitions {
            if let Definition::TypeDefinition(TypeDefinition::Object(object)) = definition {
                let directives = object.fields.iter().flat_map(|field| &field.directives);
                labels.extend(directives.filter_map(|directive| argument(directive, "overrideLabel")));
            }
        }
        labels.sort_unstable();
        labels.dedup();
        let mut rollout = Self { percentages: Vec::new(), flags: Vec::new(), drawn: AtomicU64::new(0) };
        for label in labels {
            match percentage(label) {
                Some(value) => rollout.percentages.push((key(label), value)),
                None => rollout.flags.push((key(label), holding.iter().any(|held| held == label))),
            }
        }
        rollout
    }

    /// Decides which labels hold for a request, if nobody has yet.
    pub(crate) fn decide(&self, conditions: &mut Conditions) {
        for (key, holds) in &self.flags {
            conditions.0.entry(key.clone()).or_insert(*holds);
        }
        if self.percentages.is_empty() {
            return;
        }
        let position = self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_mul(STEP);
        let whole = u128::from(100 * PERCENTAGE_SCALE_FACTOR);
        for (key, value) in &self.percentages {
            // position / 2^64 < value / whole
            let holds = u128::from(position) * whole < u128::from(*value) << 64;
            conditions.0.entry(key.clone()).or_insert(holds);
        }
    }

    /// What the planner has to know of it.
    pub(super) fn context(&self, conditions: &Conditions) -> PlannerOverrideContext {
        let holds = |key: &str| conditions.0.get(key).copied().unwrap_or(false);
        let flags =
            self.flags.iter().filter(|(key, _)| holds(key)).map(|(key, _)| label(key).to_owned()).collect();
        // The planner takes a number, and what is greater holds: the greatest that does not.
        let below = self.percentages.iter().filter(|(key, _)| !holds(key)).map(|(_, value)| *value).max();
        PlannerOverrideContext::new(flags, below.unwrap_or(0))
    }

    /// What tells plans for different decisions apart.
    pub(crate) fn variant(&self, conditions: &Conditions) -> String {
        let keys = self.percentages.iter().map(|(key, _)| key).chain(self.flags.iter().map(|(key, _)| key));
        let held: Vec<&str> =
            keys.filter(|key| conditions.0.get(*key).copied().unwrap_or(false)).map(String::as_str).collect();
        held.join(" ")
    }
}

/// A label's key among conditions, where no variable has an `@` in its name.
fn key(label: &str) -> String {
    format!("@{label}")
}

fn label(key: &str) -> &str {
    key.strip_prefix('@').unwrap_or(key)
}

/// The share that `percent(x)` says, in the planner's unit.
fn percentage(label: &str) -> Option<u64> {
    let text = label.strip_prefix("percent(")?.strip_suffix(')')?;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let decimals = format!("{decimals:0<8}");
    let value =
        whole.parse::<u64>().ok()?.checked_mul(PERCENTAGE_SCALE_FACTOR)? + decimals.parse::<u64>().ok()?;
    (decimals.len() == 8 && value <= 100 * PERCENTAGE_SCALE_FACTOR).then_some(value)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use graphql_tools::parser::schema::parse_schema;

    use super::*;

    fn rollout(labels: &[&str]) -> Rollout {
        use std::fmt::Write as _;
        let mut sdl = String::from("type Bill {");
        for (index, label) in labels.iter().enumerate() {
            let _ = write!(
                sdl,
                " f{index}: Int @join__field(graph: B, override: \"a\", overrideLabel: \"{label}\")"
            );
        }
        sdl.push('}');
        Rollout::of(&parse_schema::<String>(&sdl).unwrap().into_static(), &["beta".to_owned()])
    }

    #[test]
    fn of_any_run_of_requests_the_share_goes_the_new_way() {
        let rollout = rollout(&["percent(20)", "percent(0)", "percent(100)", "percent(0.5)"]);
        let mut held = HashMap::new();
        for _ in 0..1_000 {
            let mut conditions = Conditions::default();
            rollout.decide(&mut conditions);
            for (key, holds) in conditions.0 {
                *held.entry(key).or_insert(0) += u32::from(holds);
            }
        }
        assert_eq!((held["@percent(0)"], held["@percent(100)"]), (0, 1_000));
        assert!((199..=201).contains(&held["@percent(20)"]), "{held:?}");
        assert!((4..=6).contains(&held["@percent(0.5)"]), "{held:?}");
    }

    #[test]
    fn what_was_decided_stays() {
        let rollout = rollout(&["percent(0)", "beta", "gamma"]);
        let mut conditions = Conditions::default();
        rollout.decide(&mut conditions);
        assert_eq!(rollout.variant(&conditions), "@beta");
        conditions.0.insert("@percent(0)".to_owned(), true);
        rollout.decide(&mut conditions);
        assert_eq!(rollout.variant(&conditions), "@percent(0) @beta");
    }

    #[test]
    fn shares_are_read_exactly() {
        assert_eq!(percentage("percent(33.5)"), Some(3_350_000_000));
        assert_eq!(percentage("percent(0.00000001)"), Some(1));
        assert_eq!(percentage("percent(100)"), Some(10_000_000_000));
        assert_eq!(percentage("percent(101)"), None);
        assert_eq!(percentage("percent(1.123456789)"), None);
        assert_eq!(percentage("beta"), None);
    }
}
