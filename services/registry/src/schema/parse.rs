//! SDL in. The one place that knows how `graphql-tools` reads it.

use super::{About, DirectiveType, Field, Input, Kind, Root, Schema, Type, TypeRef};
use graphql_tools::parser::Pos;
use graphql_tools::parser::query::Directive;
use graphql_tools::parser::schema::{
    self as ast, Definition, Document, TypeDefinition, TypeExtension, parse_schema,
};
use std::collections::BTreeMap;

/// A text that is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the schema does not parse: {0}")]
pub struct SyntaxError(String);

impl Schema {
    /// Reads a schema. Extensions are part of what they extend.
    pub fn parse(sdl: &str) -> Result<Self, SyntaxError> {
        let plain = without_schema_extensions(sdl);
        let document =
            parse_schema::<String>(&plain).map_err(|error| SyntaxError(error.to_string()))?.into_static();
        Ok(Self::from_document(document))
    }

    pub(crate) fn from_document(document: Document<'static, String>) -> Self {
        let mut schema = Self::default();
        for definition in document.definitions {
            match definition {
                Definition::SchemaDefinition(roots) => {
                    let named = [
                        (Root::Query, roots.query),
                        (Root::Mutation, roots.mutation),
                        (Root::Subscription, roots.subscription),
                    ];
                    for (root, name) in named {
                        schema.roots.extend(name.map(|name| (root, name)));
                    }
                }
                Definition::TypeDefinition(definition) => schema.add(defined(definition)),
                Definition::TypeExtension(extension) => schema.add(extended(extension)),
                Definition::DirectiveDefinition(definition) => {
                    let directive = DirectiveType {
                        arguments: inputs(definition.arguments),
                        locations: definition.locations.iter().map(ast::DirectiveLocation::as_str).collect(),
                        repeatable: definition.repeatable,
                    };
                    schema.directives.insert(definition.name, directive);
                }
            }
        }
        for root in Root::ALL {
            if schema.types.contains_key(root.default_name()) {
                schema.roots.entry(root).or_insert_with(|| root.default_name().to_owned());
            }
        }
        schema
    }

    fn add(&mut self, (name, ty): (String, Type)) {
        match self.types.get_mut(&name) {
            None => {
                self.types.insert(name, ty);
            }
            Some(known) => {
                known.about.directives.extend(ty.about.directives);
                if known.about.description.is_none() {
                    known.about.description = ty.about.description;
                }
                known.fields.extend(ty.fields);
                known.inputs.extend(ty.inputs);
                known.values.extend(ty.values);
                known.members.extend(ty.members);
                known.interfaces.extend(ty.interfaces);
            }
        }
    }
}

fn about(position: Pos, description: Option<String>, directives: Vec<Directive<'static, String>>) -> About {
    About { description, directives, position }
}

fn bare(kind: Kind, about: About) -> Type {
    Type {
        kind,
        about,
        fields: BTreeMap::new(),
        inputs: BTreeMap::new(),
        values: BTreeMap::new(),
        members: std::collections::BTreeSet::new(),
        interfaces: std::collections::BTreeSet::new(),
    }
}

fn defined(definition: TypeDefinition<'static, String>) -> (String, Type) {
    match definition {
        TypeDefinition::Scalar(it) => {
            (it.name, bare(Kind::Scalar, about(it.position, it.description, it.directives)))
        }
        TypeDefinition::Object(it) => {
            let ty = bare(Kind::Object, about(it.position, it.description, it.directives));
            let interfaces = it.implements_interfaces.into_iter().collect();
            (it.name, Type { fields: fields(it.fields), interfaces, ..ty })
        }
        TypeDefinition::Interface(it) => {
            let ty = bare(Kind::Interface, about(it.position, it.description, it.directives));
            let interfaces = it.implements_interfaces.into_iter().collect();
            (it.name, Type { fields: fields(it.fields), interfaces, ..ty })
        }
        TypeDefinition::Union(it) => {
            let ty = bare(Kind::Union, about(it.position, it.description, it.directives));
            (it.name, Type { members: it.types.into_iter().collect(), ..ty })
        }
        TypeDefinition::Enum(it) => {
            let ty = bare(Kind::Enum, about(it.position, it.description, it.directives));
            (it.name, Type { values: values(it.values), ..ty })
        }
        TypeDefinition::InputObject(it) => {
            let ty = bare(Kind::Input, about(it.position, it.description, it.directives));
            (it.name, Type { inputs: inputs(it.fields), ..ty })
        }
    }
}

fn extended(extension: TypeExtension<'static, String>) -> (String, Type) {
    match extension {
        TypeExtension::Scalar(it) => (it.name, bare(Kind::Scalar, about(it.position, None, it.directives))),
        TypeExtension::Object(it) => {
            let ty = bare(Kind::Object, about(it.position, None, it.directives));
            let interfaces = it.implements_interfaces.into_iter().collect();
            (it.name, Type { fields: fields(it.fields), interfaces, ..ty })
        }
        TypeExtension::Interface(it) => {
            let ty = bare(Kind::Interface, about(it.position, None, it.directives));
            let interfaces = it.implements_interfaces.into_iter().collect();
            (it.name, Type { fields: fields(it.fields), interfaces, ..ty })
        }
        TypeExtension::Union(it) => {
            let ty = bare(Kind::Union, about(it.position, None, it.directives));
            (it.name, Type { members: it.types.into_iter().collect(), ..ty })
        }
        TypeExtension::Enum(it) => {
            let ty = bare(Kind::Enum, about(it.position, None, it.directives));
            (it.name, Type { values: values(it.values), ..ty })
        }
        TypeExtension::InputObject(it) => {
            let ty = bare(Kind::Input, about(it.position, None, it.directives));
            (it.name, Type { inputs: inputs(it.fields), ..ty })
        }
    }
}

fn fields(fields: Vec<ast::Field<'static, String>>) -> BTreeMap<String, Field> {
    let field = |it: ast::Field<'static, String>| {
        let about = about(it.position, it.description, it.directives);
        (it.name, Field { about, ty: type_ref(&it.field_type), arguments: inputs(it.arguments) })
    };
    fields.into_iter().map(field).collect()
}

fn inputs(inputs: Vec<ast::InputValue<'static, String>>) -> BTreeMap<String, Input> {
    let input = |it: ast::InputValue<'static, String>| {
        let about = about(it.position, it.description, it.directives);
        (it.name, Input { about, ty: type_ref(&it.value_type), default: it.default_value })
    };
    inputs.into_iter().map(input).collect()
}

fn values(values: Vec<ast::EnumValue<'static, String>>) -> BTreeMap<String, About> {
    values.into_iter().map(|it| (it.name, about(it.position, it.description, it.directives))).collect()
}

pub(crate) fn type_ref(ty: &ast::Type<'_, String>) -> TypeRef {
    match ty {
        ast::Type::NamedType(name) => TypeRef::Named(name.clone()),
        ast::Type::ListType(inner) => TypeRef::List(Box::new(type_ref(inner))),
        ast::Type::NonNullType(inner) => TypeRef::NonNull(Box::new(type_ref(inner))),
    }
}

/// The text with each `extend schema …` and each description of the schema blanked out, which the parser doesn't
/// know, so that what is left stands on the lines and columns where it stood.
fn without_schema_extensions(sdl: &str) -> String {
    let tokens: Vec<(usize, &str)> = tokens(sdl);
    let mut blanked = sdl.as_bytes().to_vec();
    let mut at = 0;
    while at < tokens.len() {
        let is = |offset: usize, word: &str| tokens.get(at + offset).is_some_and(|(_, it)| *it == word);
        let (from, next) = if is(0, "extend") && is(1, "schema") {
            (at, past_schema(&tokens, at + 2))
        } else if tokens[at].1.starts_with('"') && is(1, "schema") {
            (at, at + 1)
        } else {
            at += 1;
            continue;
        };
        let start = tokens[from].0;
        let (last, token) = tokens[next - 1];
        for byte in &mut blanked[start..last + token.len()] {
            if *byte != b'\n' && *byte != b'\r' {
                *byte = b' ';
            }
        }
        at = next;
    }
    String::from_utf8_lossy(&blanked).into_owned()
}

/// The token after the directives and the roots of a schema extension.
fn past_schema(tokens: &[(usize, &str)], mut at: usize) -> usize {
    let is = |at: usize, word: &str| tokens.get(at).is_some_and(|(_, it)| *it == word);
    let past = |mut at: usize, open: &str, close: &str| {
        let mut depth = 0_usize;
        while at < tokens.len() {
            depth += usize::from(is(at, open));
            depth -= usize::from(is(at, close) && depth > 0);
            at += 1;
            if depth == 0 {
                break;
            }
        }
        at
    };
    while is(at, "@") {
        at = (at + 2).min(tokens.len());
        if is(at, "(") {
            at = past(at, "(", ")");
        }
    }
    if is(at, "{") { past(at, "{", "}") } else { at }
}

/// The tokens of a document and where they start; comments, commas and white space are none.
fn tokens(text: &str) -> Vec<(usize, &str)> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        let length = match bytes[at] {
            b'#' => {
                at += rest.find(['\n', '\r']).unwrap_or(rest.len());
                continue;
            }
            b'"' => string_length(rest),
            byte if byte.is_ascii_alphanumeric() || byte == b'_' => {
                rest.find(|it: char| !(it.is_ascii_alphanumeric() || it == '_')).unwrap_or(rest.len())
            }
            b' ' | b'\t' | b'\n' | b'\r' | b',' => {
                at += 1;
                continue;
            }
            _ => rest.chars().next().map_or(1, char::len_utf8),
        };
        tokens.push((at, &text[at..at + length]));
        at += length;
    }
    tokens
}

/// The length of the string that a text starts with, quotes included.
fn string_length(text: &str) -> usize {
    if let Some(block) = text.strip_prefix("\"\"\"") {
        let mut at = 0;
        while let Some(end) = block[at..].find("\"\"\"") {
            if !block[..at + end].ends_with('\\') {
                return 3 + at + end + 3;
            }
            at += end + 3;
        }
        return text.len();
    }
    let mut escaped = false;
    for (at, it) in text.char_indices().skip(1) {
        match it {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            // A string ends with its line, rightly or not.
            '\n' | '\r' => return at,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_of_the_schema_are_passed_over_and_all_else_stays_in_its_place() {
        let sdl = "extend schema @link(url: \"x) {\", import: [\"@key\", {name: \"@a\", as: \"@b\"}]) @more\n\
                   # extend schema is a comment \"\n\
                   \"\"\"\nextend schema { is \\\"\"\" a description\n\"\"\"\ntype Query { a(s: String = \"extend schema\"): Int }\n\
                   extend schema { mutation: M }\nextend type Query { b: ID! }\n";
        let schema = Schema::parse(sdl).unwrap();
        let query = &schema.types["Query"];
        assert_eq!(query.fields.keys().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(query.fields["b"].about.position.line, 8);
        assert!(query.about.description.as_deref().unwrap().contains("extend schema"));
    }

    #[test]
    fn a_described_schema_is_read() {
        let schema = Schema::parse("\"\"\"All.\"\"\" schema @a { query: Q }\ntype Q { a: Int }").unwrap();
        assert_eq!(schema.root(Root::Query), Some("Q"));
        assert!(Schema::parse("\"All\" schema { query: Q } type Q { a: Int }").is_ok());
    }

    #[test]
    fn what_is_no_schema_is_refused() {
        for bad in ["type", "extend", "extend schema @link(url: \"", "type Q { a: }", "\"\"\"", "\""] {
            assert!(Schema::parse(bad).is_err() || Schema::parse(bad).unwrap().types.is_empty(), "{bad}");
        }
    }

    #[test]
    fn deep_nesting_is_refused_not_run_into() {
        let deep = format!("type Query {{ a(x: Int = {}1{}): Int }}", "[".repeat(9_999), "]".repeat(9_999));
        assert!(Schema::parse(&deep).is_err());
        let wrapped = format!("type Query {{ a: {}Int{} }}", "[".repeat(9_999), "]".repeat(9_999));
        assert!(Schema::parse(&wrapped).is_err());
    }
}
