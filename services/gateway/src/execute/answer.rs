//! Merges a subgraph's answer, or what went wrong with it, into the outcome.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::{Outcome, Targets, entities, report_failure};
use crate::alias;
use crate::cache_control::CachePolicy;
use crate::error::{GraphQlError, PathSegment, codes};
use crate::plan::{Fetch, KeyRename, PathStep, Target};
use crate::schema::{Kind, Schema};
use crate::store::{Node, ObjectId, Store};
use crate::transport::SubgraphResponse;

/// An error as a subgraph reports it. What does not fit the specification is left out, not refused.
#[derive(Deserialize)]
struct SubgraphError {
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    path: Option<Vec<Value>>,
    #[serde(default)]
    extensions: Option<Map<String, Value>>,
}

pub(super) fn apply(
    outcome: &mut Outcome,
    fetch: &Fetch,
    targets: Targets,
    response: &SubgraphResponse,
    schema: &Schema,
) {
    let policy = if response.status.is_success() && !fetch.is_mutation {
        CachePolicy::from_headers(&response.headers)
    } else {
        CachePolicy::NO_STORE
    };
    outcome.cache = outcome.cache.merge(policy);
    let (data, errors) = match read(&mut outcome.store, response) {
        Ok(answer) => answer,
        Err(reason) => return refuse(outcome, fetch, response, &reason),
    };
    if !errors.is_empty() {
        outcome.cache = CachePolicy::NO_STORE;
    }
    let reported: Vec<GraphQlError> =
        errors.into_iter().flat_map(|error| translated(outcome, fetch, &targets, error)).collect();
    let has_errors = !reported.is_empty();
    outcome.errors.extend(reported);
    let Some(data) = data else {
        if !has_errors {
            refuse(outcome, fetch, response, "it has neither data nor errors");
        }
        return;
    };
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

/// Turns a subgraph's error into one for each place in the client's answer that it is about.
fn translated(
    outcome: &Outcome,
    fetch: &Fetch,
    targets: &Targets,
    error: SubgraphError,
) -> Vec<GraphQlError> {
    let mut extensions = error.extensions.unwrap_or_default();
    extensions.entry("code").or_insert_with(|| Value::from(codes::DOWNSTREAM_SERVICE_ERROR));
    extensions.insert("serviceName".to_owned(), Value::from(fetch.subgraph.as_str()));
    let message =
        error.message.unwrap_or_else(|| "the subgraph reported an error without a message".to_owned());
    let base = GraphQlError { message, locations: Vec::new(), path: None, extensions: Box::new(extensions) };
    let path: Vec<PathSegment> = error.path.unwrap_or_default().into_iter().map_while(segment).collect();
    let mut places: Vec<Vec<PathSegment>> = Vec::new();
    match (&fetch.target, targets) {
        (Target::Objects { path: at, output, .. }, Targets::Objects(_)) if !path.is_empty() => {
            for (_, mut place) in entities::find_with_paths(&outcome.store, outcome.root, at) {
                place.extend(named_for_client(&path, output));
                places.push(place);
            }
        }
        (Target::Entities(groups), Targets::Entities { representations, of_group }) => {
            if let [PathSegment::Key(key), PathSegment::Index(index), rest @ ..] = path.as_slice()
                && let Some(at) = groups.iter().position(|group| group.key == *key)
            {
                let group = &groups[at];
                let rest = named_for_client(rest, &group.output);
                let objects: Vec<ObjectId> = representations[of_group[at]]
                    .objects
                    .iter()
                    .filter(|(_, representation)| representation == index)
                    .map(|(object, _)| *object)
                    .collect();
                for way in &group.paths {
                    for (object, mut place) in entities::find_with_paths(&outcome.store, outcome.root, way) {
                        if objects.contains(&object) {
                            place.extend(rest.iter().cloned());
                            places.push(place);
                        }
                    }
                }
            }
        }
        _ => {}
    }
    if !places.is_empty() {
        return places.into_iter().map(|place| base.clone().at_path(place)).collect();
    }
    let mut about_all =
        Outcome { store: Store::default(), root: outcome.root, errors: Vec::new(), cache: outcome.cache };
    report_failure(&mut about_all, fetch, &base);
    about_all.errors
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
