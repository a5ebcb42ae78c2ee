//! Subgraphs made of a schema and data, for tests: small enough to be seen through, strict where it matters.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::FutureExt;
use gateway::transport::{Handler, InProcess};
use gateway::{Answer, Config, Gateway, Method, Request, Subgraph, Supergraph, compose};
use graphql_tools::parser::query::{
    Definition, FragmentDefinition, OperationDefinition, Selection, SelectionSet,
};
use graphql_tools::parser::query::{TypeCondition, Value as Literal};
use graphql_tools::parser::schema::{Definition as SchemaDefinition, TypeDefinition, TypeExtension};
use graphql_tools::parser::{parse_query, parse_schema};
use http::{HeaderMap, Response};
use serde_json::{Map, Value, json};

/// Requests that subgraphs got, in order: subgraph, query, variables.
pub type Log = Arc<Mutex<Vec<(String, String, Value)>>>;

/// A subgraph that answers from data.
///
/// The data is an object of root fields (`"Query"`, `"Mutation"`) and entities (`"entities"`: by type, a list).
/// A field's value may be plain JSON, or
/// - `{"$from": "a.b"}`: what the representation holds at that place,
/// - `{"$error": "message"}`: null and an error,
/// - `{"$args": true}`: the field's arguments, as text.
///
/// A key `name(arguments)` is preferred where it fits the arguments' text.
pub struct DataSubgraph {
    name: String,
    data: Value,
    /// Abstract types by the object types that they can be.
    possible: HashMap<String, Vec<String>>,
    cache_control: Option<String>,
    log: Log,
}

struct Asked<'a> {
    fragments: HashMap<String, FragmentDefinition<'static, String>>,
    variables: &'a Value,
    errors: Vec<Value>,
}

impl DataSubgraph {
    pub fn new(name: &str, sdl: &str, data: Value, log: Log) -> Self {
        let mut possible: HashMap<String, Vec<String>> = HashMap::new();
        // The parser knows no `extend schema`; every schema here has it in a paragraph of its own.
        let types =
            if sdl.starts_with("extend schema") { sdl.split_once("\n\n").expect("types").1 } else { sdl };
        for definition in parse_schema::<String>(types).expect("a schema").definitions {
            let (name, interfaces) = match definition {
                SchemaDefinition::TypeDefinition(TypeDefinition::Object(object)) => {
                    (object.name, object.implements_interfaces)
                }
                SchemaDefinition::TypeExtension(TypeExtension::Object(object)) => {
                    (object.name, object.implements_interfaces)
                }
                SchemaDefinition::TypeDefinition(TypeDefinition::Union(union)) => {
                    possible.entry(union.name).or_default().extend(union.types);
                    continue;
                }
                _ => continue,
            };
            for interface in interfaces {
                possible.entry(interface).or_default().push(name.clone());
            }
        }
        let cache_control = data["cacheControl"].as_str().map(str::to_owned);
        Self { name: name.to_owned(), data, possible, cache_control, log }
    }

    pub fn handler(self) -> Handler {
        let subgraph = Arc::new(self);
        Arc::new(move |request| {
            let subgraph = Arc::clone(&subgraph);
            async move { subgraph.answer(request.body()) }.boxed()
        })
    }

    fn answer(&self, body: &[u8]) -> Response<Bytes> {
        let body: Value = serde_json::from_slice(body).expect("the gateway sends JSON");
        let query = body["query"].as_str().expect("a query").to_owned();
        self.log.lock().expect("the log").push((self.name.clone(), query.clone(), body["variables"].clone()));
        let document = parse_query::<String>(&query).expect("the gateway sends GraphQL").into_static();
        let mut fragments = HashMap::new();
        let mut operation = None;
        for definition in document.definitions {
            match definition {
                Definition::Fragment(fragment) => {
                    fragments.insert(fragment.name.clone(), fragment);
                }
                Definition::Operation(found) => operation = Some(found),
            }
        }
        let (root, set) = match operation.expect("an operation") {
            OperationDefinition::SelectionSet(set) => ("Query", set),
            OperationDefinition::Query(query) => ("Query", query.selection_set),
            OperationDefinition::Mutation(mutation) => ("Mutation", mutation.selection_set),
            OperationDefinition::Subscription(_) => panic!("no subscriptions here"),
        };
        let mut asked = Asked { fragments, variables: &body["variables"], errors: Vec::new() };
        let mut root_object = self.data[root].clone();
        if root_object.is_null() {
            root_object = json!({});
        }
        root_object["__typename"] = json!(root);
        let data = self.object(&root_object, &Value::Null, &set, &mut Vec::new(), &mut asked);
        let mut answer = json!({ "data": data });
        if !asked.errors.is_empty() {
            answer["errors"] = Value::from(asked.errors);
        }
        let mut response = Response::new(Bytes::from(answer.to_string()));
        if let Some(value) = &self.cache_control {
            response.headers_mut().insert("cache-control", value.parse().expect("a header value"));
        }
        response
    }

    fn object(
        &self,
        object: &Value,
        representation: &Value,
        set: &SelectionSet<'static, String>,
        path: &mut Vec<Value>,
        asked: &mut Asked<'_>,
    ) -> Value {
        let mut out = Map::new();
        self.collect(object, representation, set, path, asked, &mut out);
        Value::Object(out)
    }

    fn collect(
        &self,
        object: &Value,
        representation: &Value,
        set: &SelectionSet<'static, String>,
        path: &mut Vec<Value>,
        asked: &mut Asked<'_>,
        out: &mut Map<String, Value>,
    ) {
        for selection in &set.items {
            let directives = match selection {
                Selection::Field(field) => &field.directives,
                Selection::InlineFragment(fragment) => &fragment.directives,
                Selection::FragmentSpread(spread) => &spread.directives,
            };
            let included = directives.iter().all(|directive| match directive.name.as_str() {
                "skip" => literal(&directive.arguments[0].1, asked) == json!(false),
                "include" => literal(&directive.arguments[0].1, asked) == json!(true),
                _ => true,
            });
            if !included {
                continue;
            }
            match selection {
                Selection::Field(field) => {
                    let key = field.alias.clone().unwrap_or_else(|| field.name.clone());
                    path.push(json!(key));
                    let arguments: BTreeMap<&str, Value> = field
                        .arguments
                        .iter()
                        .map(|(name, value)| (name.as_str(), literal(value, asked)))
                        .collect();
                    let value = if field.name == "_entities" {
                        let all = arguments["representations"].as_array().expect("representations").clone();
                        Value::from(
                            all.iter()
                                .enumerate()
                                .map(|(index, one)| {
                                    path.push(json!(index));
                                    let found = self.entity(one);
                                    let value = self.value(&found, one, &field.selection_set, path, asked);
                                    path.pop();
                                    value
                                })
                                .collect::<Vec<_>>(),
                        )
                    } else {
                        let text = serde_json::to_string(&arguments).expect("JSON");
                        let exact = object.get(format!("{}({text})", field.name));
                        let found = exact.or_else(|| object.get(&field.name)).cloned().unwrap_or_default();
                        let found = if found.get("$args").is_some() { json!(text) } else { found };
                        self.value(&found, representation, &field.selection_set, path, asked)
                    };
                    path.pop();
                    merge(out.entry(key).or_insert(Value::Null), value);
                }
                Selection::InlineFragment(fragment) => {
                    let applies = match &fragment.type_condition {
                        Some(TypeCondition::On(name)) => self.is_a(object, name),
                        None => true,
                    };
                    if applies {
                        self.collect(object, representation, &fragment.selection_set, path, asked, out);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = asked.fragments[&spread.fragment_name].clone();
                    let TypeCondition::On(name) = &fragment.type_condition;
                    if self.is_a(object, name) {
                        self.collect(object, representation, &fragment.selection_set, path, asked, out);
                    }
                }
            }
        }
    }

    fn value(
        &self,
        value: &Value,
        representation: &Value,
        set: &SelectionSet<'static, String>,
        path: &mut Vec<Value>,
        asked: &mut Asked<'_>,
    ) -> Value {
        if let Some(from) = value.get("$from").and_then(Value::as_str) {
            return from.split('.').fold(representation, |value, key| &value[key]).clone();
        }
        if let Some(message) = value.get("$error") {
            asked
                .errors
                .push(json!({"message": message, "path": path.clone(), "extensions": {"code": "BROKEN"}}));
            return Value::Null;
        }
        match value {
            Value::Array(items) => items
                .iter()
                .enumerate()
                .map(|(index, item)| {
                    path.push(json!(index));
                    let value = self.value(item, representation, set, path, asked);
                    path.pop();
                    value
                })
                .collect(),
            Value::Object(_) if !set.items.is_empty() => self.object(value, representation, set, path, asked),
            scalar => scalar.clone(),
        }
    }

    /// The first entity of the type whose fields do not contradict the representation, and are all in it that
    /// its `$key` names.
    fn entity(&self, representation: &Value) -> Value {
        let name = representation["__typename"].as_str().expect("a representation names its type");
        let candidates = self.data["entities"][name].as_array();
        let found = candidates.into_iter().flatten().find(|entity| {
            let keys = entity["$key"].as_array().cloned().unwrap_or_else(|| vec![json!("id")]);
            keys.iter().any(|key| {
                key.as_str().expect("a key").split(' ').all(|path| {
                    let at =
                        |value: &Value| path.split('.').fold(value.clone(), |value, key| value[key].clone());
                    !at(entity).is_null() && at(entity) == at(representation)
                })
            })
        });
        let mut found = found.cloned().unwrap_or_default();
        if found.is_object() && found.get("__typename").is_none() {
            found["__typename"] = json!(name);
        }
        found
    }

    fn is_a(&self, object: &Value, name: &str) -> bool {
        let Some(own) = object["__typename"].as_str() else { return true };
        own == name
            || self.possible.get(name).is_some_and(|names| names.iter().any(|possible| possible == own))
    }
}

fn literal(value: &Literal<'static, String>, asked: &Asked<'_>) -> Value {
    match value {
        Literal::Variable(name) => asked.variables[name.as_str()].clone(),
        Literal::Int(number) => json!(number.as_i64()),
        Literal::Float(number) => json!(number),
        Literal::String(text) | Literal::Enum(text) => json!(text),
        Literal::Boolean(value) => json!(value),
        Literal::Null => Value::Null,
        Literal::List(items) => items.iter().map(|item| literal(item, asked)).collect(),
        Literal::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), literal(value, asked))).collect())
        }
    }
}

fn merge(target: &mut Value, source: Value) {
    match (target, source) {
        (Value::Object(target), Value::Object(source)) => {
            for (key, value) in source {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(target), Value::Array(source)) => {
            for (target, source) in target.iter_mut().zip(source) {
                merge(target, source);
            }
        }
        (target, source) => *target = source,
    }
}

/// A gateway over subgraphs made of schemas and data, and the log of what they were asked.
pub fn gateway_of(subgraphs: &[(&str, &str, Value)], config: Config) -> (Gateway, Log) {
    let (transport, log) = transport_of(subgraphs);
    (gateway_with(subgraphs, transport, config), log)
}

/// A gateway over the same schemas with any transport.
pub fn gateway_with(
    subgraphs: &[(&str, &str, Value)],
    transport: Arc<dyn gateway::transport::Transport>,
    config: Config,
) -> Gateway {
    gateway_over(composed(subgraphs), transport, config)
}

/// A gateway over a supergraph.
pub fn gateway_over(
    supergraph: Supergraph,
    transport: Arc<dyn gateway::transport::Transport>,
    config: Config,
) -> Gateway {
    Gateway::new(supergraph, transport, config).unwrap_or_else(|error| panic!("can't be served: {error}"))
}

/// What the subgraphs compose to.
pub fn composed(subgraphs: &[(&str, &str, Value)]) -> Supergraph {
    let schemas: Vec<Subgraph> = subgraphs
        .iter()
        .map(|(name, sdl, _)| Subgraph {
            name: (*name).to_owned(),
            url: String::new(),
            sdl: (*sdl).to_owned(),
        })
        .collect();
    compose(&schemas).unwrap_or_else(|error| panic!("does not compose: {error}"))
}

/// Subgraphs made of schemas and data, and the log of what they are asked.
pub fn transport_of(subgraphs: &[(&str, &str, Value)]) -> (Arc<InProcess>, Log) {
    let log = Log::default();
    let transport = subgraphs
        .iter()
        .map(|(name, sdl, data)| {
            (*name, DataSubgraph::new(name, sdl, data.clone(), Arc::clone(&log)).handler())
        })
        .collect();
    (Arc::new(transport), log)
}

/// Asks by POST, with variables.
pub async fn ask(gateway: &Gateway, query: &str, variables: Value) -> Answer {
    let variables = variables.as_object().cloned().unwrap_or_default();
    let request = Request { query: query.to_owned(), variables, ..Request::default() };
    gateway.answer(request, Method::Post, &HeaderMap::new()).await
}

/// The answer's JSON.
pub fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).expect("the gateway answers JSON")
}
