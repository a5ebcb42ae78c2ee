//! A view of a supergraph by tags.
//!
//! What a contract leaves out is made `@inaccessible` in its supergraph: clients don't see it, while the gateway can
//! still fetch what keys and `@requires` need of it.
//!
//! 1. What has an excluded tag is out, whatever else it has.
//! 2. With included tags, a field of an object or interface is in if it or its type has one of them.
//! 3. A type with nothing left in it is out, and so is what no operation can reach any more.
//!
//! What is left must be a whole schema: a field whose type is out must be out by a tag of its own, so that nothing
//! vanishes that its author didn't mean.

use crate::schema::{About, Input, Kind, Literal, Root, Schema, SyntaxError, Type};
use graphql_tools::parser::Pos;
use graphql_tools::parser::query::{Directive, Value};
use graphql_tools::parser::schema::{
    Definition, DirectiveDefinition, DirectiveLocation, Document, Field, TypeDefinition, parse_schema,
};
use schemas::Tags;
use std::collections::BTreeSet;

/// The specification of `@inaccessible`.
const SPECIFICATION: &str = "https://specs.apollo.dev/inaccessible/v0.2";

/// Why a contract can't be made of a supergraph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContractError {
    /// The supergraph does not parse.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// What would be left is no whole schema.
    #[error("the contract leaves no whole schema: {}", .0.iter().map(|it| it.message.as_str()).collect::<Vec<_>>().join(" "))]
    Torn(Vec<Tear>),
}

/// A place where a contract would cut through a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tear {
    /// Its stable id.
    pub rule: &'static str,
    /// The schema coordinate.
    pub path: String,
    /// What is the matter.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// The supergraph of a contract.
pub fn filtered(supergraph: &str, tags: &Tags) -> Result<String, ContractError> {
    let schema = Schema::parse(supergraph)?;
    let hidden = Hidden::of(&schema, tags);
    let tears = hidden.tears(&schema);
    if !tears.is_empty() {
        return Err(ContractError::Torn(tears));
    }
    // The schema was read from the same text a moment ago.
    let Ok(document) = parse_schema::<String>(supergraph) else { return Ok(supergraph.to_owned()) };
    let mut document = document.into_static();
    hidden.mark(&mut document);
    Ok(document.to_string())
}

/// The tags of a contract that nothing in a supergraph has: one that is misspelt hides nothing.
pub fn unknown_tags(supergraph: &str, tags: &Tags) -> Result<BTreeSet<String>, SyntaxError> {
    let schema = Schema::parse(supergraph)?;
    let mut unknown: BTreeSet<String> = tags.include.union(&tags.exclude).cloned().collect();
    let mut known = |about: &About| about.tags().for_each(|tag| _ = unknown.remove(tag));
    for ty in schema.types.values() {
        known(&ty.about);
        for field in ty.fields.values() {
            known(&field.about);
            field.arguments.values().for_each(|it| known(&it.about));
        }
        ty.inputs.values().for_each(|it| known(&it.about));
        ty.values.values().for_each(&mut known);
    }
    Ok(unknown)
}

/// What clients of a contract don't see, by schema coordinate.
struct Hidden(BTreeSet<String>);

impl Hidden {
    fn of(schema: &Schema, tags: &Tags) -> Self {
        let mut hidden = Self(BTreeSet::new());
        for (name, ty) in composed(schema) {
            hidden.tagged(name, ty, tags);
        }
        for (name, ty) in composed(schema) {
            if hidden.is_empty(name, ty) {
                hidden.0.insert(name.clone());
            }
        }
        hidden.unreachable(schema);
        hidden
    }

    fn has(&self, path: &str) -> bool {
        self.0.contains(path)
    }

    /// Hides by tags alone.
    fn tagged(&mut self, name: &str, ty: &Type, tags: &Tags) {
        let out =
            |about: &About| about.has("inaccessible") || about.tags().any(|tag| tags.exclude.contains(tag));
        let within = |about: &About| about.tags().any(|tag| tags.include.contains(tag));
        let mut hide = |path: String, is_out: bool| {
            if is_out {
                self.0.insert(path);
            }
        };
        hide(name.to_owned(), out(&ty.about));
        for (field, it) in &ty.fields {
            let left_out = !tags.include.is_empty() && !within(&ty.about) && !within(&it.about);
            hide(format!("{name}.{field}"), out(&it.about) || left_out);
            for (argument, it) in &it.arguments {
                hide(format!("{name}.{field}({argument}:)"), out(&it.about));
            }
        }
        for (field, it) in &ty.inputs {
            hide(format!("{name}.{field}"), out(&it.about));
        }
        for (value, about) in &ty.values {
            hide(format!("{name}.{value}"), out(about));
        }
    }

    /// Whether nothing of a type is left.
    fn is_empty(&self, name: &str, ty: &Type) -> bool {
        let out = |part: &String| self.has(&format!("{name}.{part}"));
        match ty.kind {
            Kind::Scalar => false,
            Kind::Object | Kind::Interface => ty.fields.keys().all(out),
            Kind::Enum => ty.values.keys().all(out),
            Kind::Input => ty.inputs.keys().all(out),
            Kind::Union => ty.members.iter().all(|member| self.has(member)),
        }
    }

    /// Hides what no operation reaches.
    fn unreachable(&mut self, schema: &Schema) {
        let mut reached: BTreeSet<&str> = BTreeSet::new();
        let mut next: Vec<&str> = schema.roots.values().map(String::as_str).collect();
        while let Some(name) = next.pop() {
            let Some((name, ty)) = schema.types.get_key_value(name) else { continue };
            if self.has(name) || !reached.insert(name) {
                continue;
            }
            for (field, it) in &ty.fields {
                let path = format!("{name}.{field}");
                if self.has(&path) {
                    continue;
                }
                next.push(it.ty.name());
                let arguments = it.arguments.iter();
                let seen = arguments.filter(|(argument, _)| !self.has(&format!("{path}({argument}:)")));
                next.extend(seen.map(|(_, it)| it.ty.name()));
            }
            let inputs = ty.inputs.iter().filter(|(field, _)| !self.has(&format!("{name}.{field}")));
            next.extend(inputs.map(|(_, it)| it.ty.name()));
            if matches!(ty.kind, Kind::Interface | Kind::Union) {
                next.extend(schema.possible(name));
            }
        }
        for directive in schema.directives.iter().filter(|(name, _)| !name.contains("__")) {
            let mut sent = BTreeSet::new();
            directive.1.arguments.values().for_each(|it| schema.reach(it.ty.name(), &mut sent));
            reached.extend(sent);
        }
        let unreached = composed(schema).filter(|(name, _)| !reached.contains(name.as_str()));
        let unreached: Vec<String> = unreached.map(|(name, _)| name.clone()).collect();
        self.0.extend(unreached);
    }

    /// Where what is left refers to what is out.
    fn tears(&self, schema: &Schema) -> Vec<Tear> {
        let mut tears = Vec::new();
        let query = schema.root(Root::Query).unwrap_or("Query");
        if self.has(query) || !schema.types.contains_key(query) {
            tears.push(Tear {
                rule: "contract-empty",
                path: query.to_owned(),
                message: format!("Nothing of `{query}` is in the contract: there would be nothing to ask."),
                help: "Give some of its fields an included tag, or exclude less.".to_owned(),
            });
            return tears;
        }
        for (name, ty) in composed(schema).filter(|(name, _)| !self.has(name)) {
            for (field, it) in &ty.fields {
                let path = format!("{name}.{field}");
                if self.has(&path) {
                    continue;
                }
                self.refers(&path, "field", it.ty.name(), &mut tears);
                for (argument, it) in &it.arguments {
                    self.input(&format!("{path}({argument}:)"), "argument", it, &mut tears);
                }
            }
            for (field, it) in &ty.inputs {
                self.input(&format!("{name}.{field}"), "input field", it, &mut tears);
            }
            for interface in ty.interfaces.iter().filter(|interface| !self.has(interface)) {
                let Some(contract) = schema.types.get(interface) else { continue };
                for field in contract.fields.keys() {
                    let path = format!("{name}.{field}");
                    if self.has(&path) && !self.has(&format!("{interface}.{field}")) {
                        tears.push(Tear {
                            rule: "contract-implementation",
                            message: format!(
                                "`{path}` is not in the contract, but `{interface}.{field}` is, which it implements."
                            ),
                            help: format!("Tag `{interface}.{field}` as `{path}` is tagged."),
                            path,
                        });
                    }
                }
            }
        }
        tears
    }

    fn refers(&self, path: &str, noun: &str, ty: &str, tears: &mut Vec<Tear>) {
        if self.has(ty) {
            tears.push(Tear {
                rule: "contract-reference",
                path: path.to_owned(),
                message: format!("The {noun} `{path}` is in the contract, and its type `{ty}` is not."),
                help: format!(
                    "Tag `{path}` as `{ty}` is tagged, so that it is out too; or let `{ty}`, or some of it, in."
                ),
            });
        }
    }

    fn input(&self, path: &str, noun: &str, input: &Input, tears: &mut Vec<Tear>) {
        if self.has(path) {
            if input.is_required() {
                tears.push(Tear {
                    rule: "contract-required",
                    path: path.to_owned(),
                    message: format!("The {noun} `{path}` is not in the contract, but has to be given."),
                    help: "Let it in, make it nullable, or give it a default value.".to_owned(),
                });
            }
            return;
        }
        self.refers(path, noun, input.ty.name(), tears);
        let value = input.default.as_ref().and_then(|it| self.hidden_in(input.ty.name(), it));
        if let Some(value) = value {
            tears.push(Tear {
                rule: "contract-default",
                path: path.to_owned(),
                message: format!(
                    "The default of the {noun} `{path}` is `{value}`, which is not in the contract."
                ),
                help: "Choose another default, or let the value in.".to_owned(),
            });
        }
    }

    /// A value of an enum in a default that is out.
    fn hidden_in(&self, ty: &str, value: &Literal) -> Option<String> {
        match value {
            Value::Enum(value) => Some(format!("{ty}.{value}")).filter(|path| self.has(path)),
            Value::List(items) => items.iter().find_map(|item| self.hidden_in(ty, item)),
            _ => None,
        }
    }

    /// Marks what is out.
    fn mark(&self, document: &mut Document<'static, String>) {
        let mark = |path: &str, directives: &mut Directives| {
            if self.has(path) && !directives.iter().any(|it| it.name == "inaccessible") {
                directives.push(directive("inaccessible", Vec::new()));
            }
        };
        for definition in &mut document.definitions {
            let Definition::TypeDefinition(definition) = definition else { continue };
            match definition {
                TypeDefinition::Scalar(it) => mark(&it.name, &mut it.directives),
                TypeDefinition::Union(it) => mark(&it.name, &mut it.directives),
                TypeDefinition::Object(it) => {
                    mark(&it.name, &mut it.directives);
                    fields(&it.name, &mut it.fields, &mark);
                }
                TypeDefinition::Interface(it) => {
                    mark(&it.name, &mut it.directives);
                    fields(&it.name, &mut it.fields, &mark);
                }
                TypeDefinition::Enum(it) => {
                    mark(&it.name, &mut it.directives);
                    for value in &mut it.values {
                        mark(&format!("{}.{}", it.name, value.name), &mut value.directives);
                    }
                }
                TypeDefinition::InputObject(it) => {
                    mark(&it.name, &mut it.directives);
                    for field in &mut it.fields {
                        mark(&format!("{}.{}", it.name, field.name), &mut field.directives);
                    }
                }
            }
        }
        define(document);
    }
}

type Directives = Vec<Directive<'static, String>>;

fn fields(name: &str, fields: &mut [Field<'static, String>], mark: &dyn Fn(&str, &mut Directives)) {
    for field in fields {
        let path = format!("{name}.{}", field.name);
        mark(&path, &mut field.directives);
        for argument in &mut field.arguments {
            mark(&format!("{path}({}:)", argument.name), &mut argument.directives);
        }
    }
}

/// The types that subgraphs have a part in.
fn composed(schema: &Schema) -> impl Iterator<Item = (&String, &Type)> {
    schema.types.iter().filter(|(name, _)| !name.contains("__"))
}

/// Links and defines `@inaccessible` where the supergraph doesn't.
fn define(document: &mut Document<'static, String>) {
    let defined = document.definitions.iter().any(
        |it| matches!(it, Definition::DirectiveDefinition(directive) if directive.name == "inaccessible"),
    );
    if !defined {
        let locations = [
            DirectiveLocation::FieldDefinition,
            DirectiveLocation::Object,
            DirectiveLocation::Interface,
            DirectiveLocation::Union,
            DirectiveLocation::ArgumentDefinition,
            DirectiveLocation::Scalar,
            DirectiveLocation::Enum,
            DirectiveLocation::EnumValue,
            DirectiveLocation::InputObject,
            DirectiveLocation::InputFieldDefinition,
        ];
        let definition = DirectiveDefinition::new("inaccessible".to_owned());
        let definition = DirectiveDefinition { locations: locations.into(), ..definition };
        document.definitions.insert(0, Definition::DirectiveDefinition(definition));
    }
    for definition in &mut document.definitions {
        let Definition::SchemaDefinition(schema) = definition else { continue };
        let links = |it: &Directive<'static, String>| {
            it.name == "link"
                && it.arguments.iter().any(|(_, value)| {
                    matches!(value, Value::String(url) if url.contains("specs.apollo.dev/inaccessible/"))
                })
        };
        if !schema.directives.iter().any(links) {
            let arguments = vec![
                ("url".to_owned(), Value::String(SPECIFICATION.to_owned())),
                ("for".to_owned(), Value::Enum("SECURITY".to_owned())),
            ];
            schema.directives.push(directive("link", arguments));
        }
    }
}

fn directive(name: &str, arguments: Vec<(String, Value<'static, String>)>) -> Directive<'static, String> {
    Directive { position: Pos::default(), name: name.to_owned(), arguments }
}

#[cfg(test)]
mod tests;
