//! Everything that a subgraph shows, as one operation: its entities by their keys, and the queries that need no argument.

use anyhow::anyhow;
use graphql_tools::parser::query::Directive;
use graphql_tools::parser::schema::{
    Definition, Document, Field, ObjectType, Type, TypeDefinition, Value as Literal, parse_schema,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// How deep objects within objects are asked for.
const DEPTH: usize = 4;

/// How many rows of a page are asked for.
const ROWS: usize = 3;

/// What can be asked of a subgraph.
pub(super) struct Questions {
    types: BTreeMap<String, Shown>,
    /// Entities with a key of one field, and that field.
    entities: BTreeMap<String, String>,
    /// Entities that are only referred to.
    references: BTreeSet<String>,
    /// The fields of the operation.
    asked: String,
}

struct Shown {
    fields: Vec<Field<'static, String>>,
    shared: bool,
}

impl Questions {
    /// Reads the SDL of a subgraph.
    pub fn of(sdl: &str) -> anyhow::Result<Self> {
        // The federation's link is the last of it, and no part of what is shown.
        let sdl = sdl.split("\nextend schema").next().unwrap_or(sdl);
        let document: Document<'static, String> = parse_schema::<String>(sdl)
            .map_err(|error| anyhow!("the subgraph's schema does not parse: {error}"))?
            .into_static();
        let mut types: BTreeMap<String, Shown> = BTreeMap::new();
        let (mut entities, mut references) = (BTreeMap::new(), BTreeSet::new());
        for definition in document.definitions {
            let Definition::TypeDefinition(TypeDefinition::Object(object)) = definition else { continue };
            if let Some(key) = single_key(&object) {
                entities.insert(object.name.clone(), key);
            } else if object.directives.iter().any(|it| it.name == "key") {
                references.insert(object.name.clone());
            }
            let shared = object.directives.iter().any(|it| it.name == "shareable");
            types.insert(object.name.clone(), Shown { fields: object.fields, shared });
        }
        let mut questions = Self { types, entities, references, asked: String::new() };
        questions.asked = questions.write();
        Ok(questions)
    }

    /// Whether there is nothing to ask without knowing more.
    pub fn are_none(&self) -> bool {
        self.asked.is_empty()
    }

    fn write(&self) -> String {
        let mut asked: Vec<String> = Vec::new();
        for name in self.entities.keys() {
            let selection = self.selection(name, DEPTH);
            asked.push(format!(
                "{name}: _entities(representations: $representations) {{ __typename ... on {name} {selection} }}"
            ));
        }
        if let Some(query) = self.types.get("Query") {
            let fields = query.fields.iter().filter(|it| !it.name.starts_with('_'));
            asked.extend(fields.filter_map(|field| self.field(field, DEPTH)));
        }
        asked.join(" ")
    }

    fn selection(&self, name: &str, depth: usize) -> String {
        let Some(shown) = self.types.get(name) else { return String::new() };
        let fields: Vec<String> = shown.fields.iter().filter_map(|field| self.field(field, depth)).collect();
        format!("{{ __typename {} }}", fields.join(" "))
    }

    /// A field with what is in it; none where it can't be asked for without knowing more.
    fn field(&self, field: &Field<'static, String>, depth: usize) -> Option<String> {
        let mut arguments = Vec::new();
        for argument in &field.arguments {
            if argument.name == "first" {
                arguments.push(format!("first: {ROWS}"));
            } else if matches!(argument.value_type, Type::NonNullType(_)) && argument.default_value.is_none()
            {
                return None;
            }
        }
        let arguments =
            if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(", ")) };
        let of = named(&field.field_type);
        let inside = match (self.entities.get(of), self.types.get(of)) {
            (Some(key), _) => format!(" {{ __typename {key} }}"),
            (None, Some(_)) if depth == 0 => return None,
            (None, Some(shown)) if is_connection(of) => {
                let nodes = shown.fields.iter().find(|it| it.name == "nodes")?;
                format!(" {{ __typename {} }}", self.field(nodes, depth - 1)?)
            }
            (None, Some(_)) => format!(" {}", self.selection(of, depth - 1)),
            (None, None) => String::new(),
        };
        Some(format!("{}{arguments}{inside}", field.name))
    }

    /// The request that asks for all of it, of entities with these identities among others.
    pub fn about(&self, identities: &BTreeSet<String>) -> Value {
        let representations: Vec<Value> = self
            .entities
            .iter()
            .flat_map(|(name, key)| identities.iter().map(move |it| json!({ "__typename": name, key: it })))
            .collect();
        let query = format!("query ($representations: [_Any!]!) {{ {} }}", self.asked);
        json!({ "query": query, "variables": { "representations": representations } })
    }

    /// An answer, by type and field.
    pub fn answered(&self, data: &Value) -> BTreeMap<String, Value> {
        let mut told = BTreeMap::new();
        for (name, value) in data.as_object().into_iter().flatten() {
            if self.entities.contains_key(name) {
                // The answer holds one entry for each representation, of all types.
                for entity in
                    value.as_array().into_iter().flatten().filter(|it| it["__typename"] == name.as_str())
                {
                    self.tell(name, entity, &mut told);
                }
            } else {
                self.tell_field("Query", name, value, &mut told);
            }
        }
        told
    }

    fn tell(&self, of: &str, value: &Value, told: &mut BTreeMap<String, Value>) {
        for (name, value) in value.as_object().into_iter().flatten().filter(|(name, _)| *name != "__typename")
        {
            self.tell_field(of, name, value, told);
        }
    }

    fn tell_field(&self, of: &str, name: &str, value: &Value, told: &mut BTreeMap<String, Value>) {
        let field = self.types.get(of).and_then(|shown| shown.fields.iter().find(|it| it.name == name));
        let inner = field.map(|field| named(&field.field_type)).unwrap_or_default();
        let is_value = match self.types.get(inner) {
            None => true,
            Some(shown) => {
                shown.shared || self.entities.contains_key(inner) || self.references.contains(inner)
            }
        };
        let mut note = |value: Value| {
            let all = told.entry(format!("{of}.{name}")).or_insert_with(|| json!([]));
            all.as_array_mut().into_iter().for_each(|all| all.push(value.clone()));
        };
        if is_value {
            note(value.clone());
            return;
        }
        let value = if is_connection(inner) { &value["nodes"] } else { value };
        let inner = if is_connection(inner) { self.node(inner) } else { inner };
        // How many there are is the field's own answer; what they are is theirs.
        note(json!(value.as_array().map_or(usize::from(!value.is_null()), Vec::len)));
        match value {
            Value::Array(items) => items.iter().for_each(|it| self.tell(inner, it, told)),
            one => self.tell(inner, one, told),
        }
    }

    fn node(&self, connection: &str) -> &str {
        let nodes = self.types.get(connection).and_then(|it| it.fields.iter().find(|it| it.name == "nodes"));
        nodes.map(|field| named(&field.field_type)).unwrap_or_default()
    }
}

fn is_connection(name: &str) -> bool {
    name.ends_with("Connection")
}

fn named<'a>(of: &'a Type<'static, String>) -> &'a str {
    match of {
        Type::NamedType(name) => name,
        Type::ListType(inner) | Type::NonNullType(inner) => named(inner),
    }
}

fn single_key(object: &ObjectType<'static, String>) -> Option<String> {
    // An entity that is only referred to is another subgraph's to answer.
    let resolved = |it: &&Directive<'static, String>| {
        it.name == "key"
            && !it
                .arguments
                .iter()
                .any(|(name, value)| name == "resolvable" && *value == Literal::Boolean(false))
    };
    let key = object.directives.iter().find(resolved)?;
    let fields = key.arguments.iter().find(|(name, _)| name == "fields")?;
    match &fields.1 {
        Literal::String(fields) if !fields.contains([' ', '{']) => Some(fields.clone()),
        _ => None,
    }
}
