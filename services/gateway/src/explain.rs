//! A plan in words of JSON: for who asks how an operation is answered, and for the log of slow ones.

use serde_json::{Value, json};

use crate::plan::{Fetch, Path, PathStep, Plan, Step, Target};

/// What is asked of whom, in which order.
pub(crate) fn explain(plan: &Plan) -> Value {
    let root = plan.root.as_ref().map_or(Value::Null, step);
    match &plan.events {
        None => root,
        Some(events) => json!({ "subscription": describe(events), "eachEvent": root }),
    }
}

fn step(node: &Step) -> Value {
    match node {
        Step::Fetch(fetch) => json!({ "fetch": describe(fetch) }),
        Step::Sequence(steps) => json!({ "sequence": steps.iter().map(step).collect::<Vec<_>>() }),
        Step::Parallel(steps) => json!({ "parallel": steps.iter().map(step).collect::<Vec<_>>() }),
        Step::Condition { variable, then, otherwise } => {
            let part = |node: &Option<Box<Step>>| node.as_ref().map_or(Value::Null, |node| step(node));
            json!({ "if": variable, "then": part(then), "else": part(otherwise) })
        }
    }
}

fn describe(fetch: &Fetch) -> Value {
    let mut text = fetch.body_prefix.clone();
    text.push(b'}');
    let query = serde_json::from_slice::<Value>(&text).map(|body| body["query"].clone()).unwrap_or_default();
    let at = match &fetch.target {
        Target::Objects { path, .. } => vec![place(path)],
        Target::Entities(groups) => groups.iter().flat_map(|group| &group.paths).map(place).collect(),
    };
    json!({ "subgraph": fetch.subgraph, "query": query, "at": at })
}

/// A place in the answer, as in `products.@.price`: `@` is each item of a list.
fn place(path: &Path) -> String {
    let steps = path.iter().filter_map(|step| match step {
        PathStep::Field(key) => Some(key.as_str()),
        PathStep::Each => Some("@"),
        PathStep::OfType(_) => None,
    });
    steps.collect::<Vec<_>>().join(".")
}
