//! Merges a subgraph's answer, or what went wrong with it, into the outcome.

use std::collections::HashMap;

use serde_json::Value;

use super::reported::SubgraphError;
use super::{Execution, Outcome, Targets, entities, report_failure};
use crate::alias;
use crate::cache_control::CachePolicy;
use crate::error::{GraphQlError, PathSegment, codes};
use crate::plan::{Fetch, KeyRename, Path, PathStep, Target};
use crate::schema::Kind;
use crate::store::{Node, ObjectId, Store};
use crate::transport::SubgraphResponse;

pub(super) fn apply(
    outcome: &mut Outcome,
    execution: &Execution<'_>,
    fetch: &Fetch,
    targets: Targets,
    response: &SubgraphResponse,
) {
    let policy = if response.status.is_success() && !fetch.is_mutation {
        CachePolicy::from_headers(&response.headers)
    } else {
        CachePolicy::NO_STORE
    };
    outcome.cache = outcome.cache.merge(policy);
    outcome.carried.take(&response.headers);
    let (data, errors) = match read(&mut outcome.store, response) {
        Ok(answer) => answer,
        Err(reason) => return refuse(outcome, fetch, response, &reason),
    };
    let has_errors = !errors.is_empty();
    if has_errors {
        outcome.cache = CachePolicy::NO_STORE;
        let places = Places::new(outcome, fetch, &targets);
        for error in errors {
            translated(fetch, &places, error, execution.error_detail, outcome);
        }
    }
    let Some(data) = data else {
        if !has_errors {
            refuse(outcome, fetch, response, "it has neither data nor errors");
        }
        return;
    };
    let schema = &execution.engine.schema;
    let is_object =
        |name: &str| schema.get(name).is_none_or(|def| !matches!(def.kind, Kind::Interface | Kind::Union));
    match (&fetch.target, targets) {
        (Target::Objects { output, .. }, Targets::Objects(objects)) => {
            rename(&mut outcome.store, Node::Object(data), output);
            let last = objects.len() - 1;
            for (index, object) in objects.into_iter().enumerate() {
                let mine =
                    if index == last { Node::Object(data) } else { outcome.store.copied(Node::Object(data)) };
                if let Node::Object(mine) = mine {
                    outcome.store.merge(object, mine, &is_object);
                }
            }
        }
        (Target::Entities(groups), Targets::Entities { representations, of_group }) => {
            for (group, representations) in
                groups.iter().zip(of_group).map(|(group, at)| (group, &representations[at]))
            {
                if representations.is_empty() {
                    continue;
                }
                let items = match outcome.store.get(data, &group.key) {
                    Some(Node::List(items)) => outcome.store.list(items).to_vec(),
                    // The field is null because of an error that is reported already.
                    Some(Node::Null) | None if has_errors => continue,
                    _ => Vec::new(),
                };
                if items.len() != representations.len() {
                    let reason = format!(
                        "it has {} entities where {} were asked for",
                        items.len(),
                        representations.len()
                    );
                    return refuse(outcome, fetch, response, &reason);
                }
                for item in &items {
                    rename(&mut outcome.store, *item, &group.output);
                }
                let mut used = vec![false; items.len()];
                for (object, index) in &representations.objects {
                    // A second object of the same entity gets a copy: what is merged into one must not show
                    // in the other.
                    let item = items[*index];
                    let mine = if std::mem::replace(&mut used[*index], true) {
                        outcome.store.copied(item)
                    } else {
                        item
                    };
                    if let Node::Object(mine) = mine {
                        outcome.store.merge(*object, mine, &is_object);
                    }
                }
            }
        }
        _ => {}
    }
}

type Answer = (Option<ObjectId>, Vec<SubgraphError>);

/// Reads an answer's `data` and `errors`; the error says why it is no GraphQL answer.
fn read(store: &mut Store, response: &SubgraphResponse) -> Result<Answer, String> {
    let body = store.parse(response.body.clone()).map_err(|error| error.to_string())?;
    let Node::Object(body) = body else { return Err("it is not an object".to_owned()) };
    let errors = match store.get(body, "errors") {
        None | Some(Node::Null) => Vec::new(),
        Some(node) => {
            let mut text = Vec::new();
            store.write(node, &mut text);
            serde_json::from_slice::<Vec<SubgraphError>>(&text)
                .map_err(|error| format!("its errors can't be read: {error}"))?
        }
    };
    match store.get(body, "data") {
        Some(Node::Object(data)) => Ok((Some(data), errors)),
        None | Some(Node::Null) if !errors.is_empty() => Ok((None, errors)),
        None => Err("it has neither data nor errors".to_owned()),
        Some(Node::Null) => Err("its data is null without an error".to_owned()),
        Some(_) => Err("its data is not an object".to_owned()),
    }
}

/// The whole answer is of no use.
fn refuse(outcome: &mut Outcome, fetch: &Fetch, response: &SubgraphResponse, reason: &str) {
    outcome.cache = CachePolicy::NO_STORE;
    let subgraph = fetch.subgraph.as_str();
    tracing::warn!(
        subgraph,
        status = response.status.as_u16(),
        bytes = response.body.len(),
        reason,
        "a subgraph's answer is no GraphQL answer"
    );
    let error = if response.status.is_success() {
        let message = format!("{subgraph} gave an answer that is no GraphQL answer");
        GraphQlError::new(codes::SUBGRAPH_MALFORMED_RESPONSE, message)
    } else {
        let message = format!("{subgraph} answered with the HTTP status {}", response.status.as_u16());
        GraphQlError::new(codes::SUBGRAPH_HTTP_ERROR, message).with("status", response.status.as_u16())
    };
    report_failure(outcome, fetch, &error.with("serviceName", subgraph));
}

/// The places in the client's answer that a fetch's data goes to, worked out once however many errors there are.
struct Places {
    /// Of the objects that a fetch is for.
    objects: Vec<Vec<PathSegment>>,
    /// Of the entities of each group, by the index of their representation.
    entities: Vec<HashMap<usize, Vec<Vec<PathSegment>>>>,
}

impl Places {
    fn new(outcome: &Outcome, fetch: &Fetch, targets: &Targets) -> Self {
        let mut places = Self { objects: Vec::new(), entities: Vec::new() };
        let find = |path: &Path| entities::find_with_paths(&outcome.store, outcome.root, path);
        match (&fetch.target, targets) {
            (Target::Objects { path, .. }, _) => {
                places.objects = find(path).into_iter().map(|(_, place)| place).collect();
            }
            (Target::Entities(groups), Targets::Entities { representations, of_group }) => {
                for (group, at) in groups.iter().zip(of_group) {
                    let indices: HashMap<ObjectId, usize> =
                        representations[*at].objects.iter().copied().collect();
                    let mut of_index: HashMap<usize, Vec<Vec<PathSegment>>> = HashMap::new();
                    for (object, place) in group.paths.iter().flat_map(find) {
                        if let Some(index) = indices.get(&object) {
                            of_index.entry(*index).or_default().push(place);
                        }
                    }
                    places.entities.push(of_index);
                }
            }
            (Target::Entities(_), Targets::Objects(_)) => {}
        }
        places
    }

    /// Where a path of the subgraph's answer is in the client's.
    fn of(&self, fetch: &Fetch, path: &[PathSegment]) -> Vec<Vec<PathSegment>> {
        let (places, rest, renames) = match (&fetch.target, path) {
            (Target::Objects { output, .. }, [_, ..]) => (&self.objects, path, output),
            (Target::Entities(groups), [PathSegment::Key(key), PathSegment::Index(index), rest @ ..]) => {
                let at = groups.iter().position(|group| group.key == *key);
                let places = at.and_then(|at| self.entities.get(at)?.get(index));
                let (Some(at), Some(places)) = (at, places) else { return Vec::new() };
                (places, rest, &groups[at].output)
            }
            _ => return Vec::new(),
        };
        let rest = named_for_client(rest, renames);
        places.iter().map(|place| place.iter().chain(&rest).cloned().collect()).collect()
    }
}

/// Turns a subgraph's error into one for each place in the client's answer that it is about.
fn translated(fetch: &Fetch, places: &Places, mut error: SubgraphError, detail: bool, out: &mut Outcome) {
    let path: Vec<PathSegment> =
        error.path.take().unwrap_or_default().into_iter().map_while(segment).collect();
    let base = error.for_client(&fetch.subgraph, detail);
    let places = places.of(fetch, &path);
    if places.is_empty() {
        return report_failure(out, fetch, &base);
    }
    out.errors.extend(places.into_iter().map(|place| base.clone().at_path(place)));
}

fn segment(value: Value) -> Option<PathSegment> {
    match value {
        Value::String(key) => Some(PathSegment::Key(key)),
        Value::Number(index) => Some(PathSegment::Index(usize::try_from(index.as_u64()?).ok()?)),
        _ => None,
    }
}

/// Gives the keys that the planner made up the names that the client's query has for them.
fn named_for_client(path: &[PathSegment], renames: &[KeyRename]) -> Vec<PathSegment> {
    path.iter()
        .map(|segment| match segment {
            PathSegment::Key(key) => {
                let shown = renames.iter().find(|rename| rename.from == *key).map(|rename| &rename.to);
                PathSegment::Key(alias::towards_client(shown.unwrap_or(key)).to_owned())
            }
            PathSegment::Index(index) => PathSegment::Index(*index),
        })
        .collect()
}

fn rename(store: &mut Store, node: Node, renames: &[KeyRename]) {
    for KeyRename { path, from, to } in renames {
        rename_at(store, node, path, from, to);
    }
}

fn rename_at(store: &mut Store, node: Node, path: &[PathStep], from: &str, to: &str) {
    match (node, path.first()) {
        (Node::List(items), _) => {
            for item in store.list(items).to_vec() {
                rename_at(store, item, path, from, to);
            }
        }
        (Node::Object(object), None) => store.rename(object, from, to),
        (Node::Object(object), Some(PathStep::Field(key))) => {
            if let Some(value) = store.get(object, key) {
                rename_at(store, value, &path[1..], from, to);
            }
        }
        (Node::Object(object), Some(PathStep::OfType(types)))
            if store.type_name(object).is_none_or(|name| types.contains(name)) =>
        {
            rename_at(store, node, &path[1..], from, to);
        }
        _ => {}
    }
}
