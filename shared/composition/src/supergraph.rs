//! The merged types as a supergraph: SDL in the form of the join specification, v0.4.

use std::fmt::Write as _;

use crate::merge::{KEPT, Merged, joined};
use crate::print;
use crate::subgraph::Schema;
use crate::syntax::{Directive, TypeDefinition, Value, quoted};

/// What every supergraph defines.
const JOIN: &str = r"directive @link(url: String, as: String, for: link__Purpose, import: [link__Import]) repeatable on SCHEMA

directive @join__directive(graphs: [join__Graph!], name: String!, args: join__DirectiveArguments) repeatable on SCHEMA | OBJECT | INTERFACE | FIELD_DEFINITION

directive @join__enumValue(graph: join__Graph!) repeatable on ENUM_VALUE

directive @join__field(graph: join__Graph, requires: join__FieldSet, provides: join__FieldSet, type: String, external: Boolean, override: String, usedOverridden: Boolean, overrideLabel: String) repeatable on FIELD_DEFINITION | INPUT_FIELD_DEFINITION

directive @join__graph(name: String!, url: String!) on ENUM_VALUE

directive @join__implements(graph: join__Graph!, interface: String!) repeatable on OBJECT | INTERFACE

directive @join__type(graph: join__Graph!, key: join__FieldSet, extension: Boolean! = false, resolvable: Boolean! = true, isInterfaceObject: Boolean! = false) repeatable on OBJECT | INTERFACE | UNION | ENUM | INPUT_OBJECT | SCALAR

directive @join__unionMember(graph: join__Graph!, member: String!) repeatable on UNION

";

/// The types behind them.
const JOIN_TYPES: &str = r"scalar join__DirectiveArguments

scalar join__FieldSet

scalar link__Import

enum link__Purpose {
  SECURITY
  EXECUTION
}

";

/// Definitions of the directives that are kept, by name, each with the scalars it needs.
const DEFINITIONS: &[(&str, &str)] = &[
    (
        "tag",
        "directive @tag(name: String!) repeatable on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION | SCHEMA\n\n",
    ),
    (
        "inaccessible",
        "directive @inaccessible on FIELD_DEFINITION | OBJECT | INTERFACE | UNION | ARGUMENT_DEFINITION | SCALAR | ENUM | ENUM_VALUE | INPUT_OBJECT | INPUT_FIELD_DEFINITION\n\n",
    ),
    (
        "authenticated",
        "directive @authenticated on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM\n\n",
    ),
    (
        "requiresScopes",
        "directive @requiresScopes(scopes: [[requiresScopes__Scope!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM\n\nscalar requiresScopes__Scope\n\n",
    ),
    (
        "policy",
        "directive @policy(policies: [[policy__Policy!]!]!) on FIELD_DEFINITION | OBJECT | INTERFACE | SCALAR | ENUM\n\nscalar policy__Policy\n\n",
    ),
    (
        "cost",
        "directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR\n\n",
    ),
    (
        "listSize",
        "directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION\n\n",
    ),
];

/// Writes the supergraph.
pub(crate) fn write(schemas: &[Schema], merged: &Merged) -> String {
    let kept = kept(merged);
    let mut out = String::from("schema");
    let link = |url: &str| joined("link", vec![("url", Value::Text(url.to_owned()))]);
    let for_purpose = |url: &str, purpose: &str| {
        let mut directive = link(url);
        directive.arguments.push((crate::merge::plain("for"), Value::Enum(purpose.to_owned())));
        directive
    };
    let mut links: Vec<Directive> = vec![
        link("https://specs.apollo.dev/link/v1.0"),
        for_purpose("https://specs.apollo.dev/join/v0.4", "EXECUTION"),
    ];
    for (name, url, purpose) in KEPT.iter().filter(|(name, ..)| kept.contains(name)) {
        // Cost and list size are one specification, whose parts have to be imported.
        if *name == "listSize" || *name == "cost" {
            if !links.iter().any(|known| known.text("url") == Some(url)) {
                let imports: Vec<Value> = ["cost", "listSize"]
                    .into_iter()
                    .filter(|name| kept.contains(name))
                    .map(|name| Value::Text(format!("@{name}")))
                    .collect();
                let mut directive = link(url);
                directive.arguments.push((crate::merge::plain("import"), Value::List(imports)));
                links.push(directive);
            }
            continue;
        }
        links.push(purpose.map_or_else(|| link(url), |purpose| for_purpose(url, purpose)));
    }
    links.extend(merged.links.iter().cloned());
    for link in &links {
        out.push_str("\n  ");
        print::directive(&mut out, link);
    }
    out.push_str("\n{\n");
    for root in &merged.roots {
        let _ = writeln!(out, "  {}: {}", root.keyword(), root.type_name());
    }
    out.push_str("}\n\n");
    out.push_str(JOIN);
    for (_, definition) in DEFINITIONS.iter().filter(|(name, _)| kept.contains(name)) {
        out.push_str(definition);
    }
    for definition in &merged.directives {
        print::directive_definition(&mut out, definition);
    }
    out.push_str("enum join__Graph {\n");
    for schema in schemas {
        let (name, url) = (quoted(&schema.name), quoted(&schema.url));
        let _ = writeln!(out, "  {} @join__graph(name: {name}, url: {url})", schema.graph);
    }
    out.push_str("}\n\n");
    out.push_str(JOIN_TYPES);
    for ty in merged.types.values() {
        print::type_definition(&mut out, ty);
    }
    while out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// Those of federation's directives that are in use.
fn kept(merged: &Merged) -> Vec<&'static str> {
    let mut kept = Vec::new();
    for ty in merged.types.values() {
        for directive in all_directives(ty) {
            if let Some((name, ..)) = KEPT.iter().find(|(name, ..)| *name == directive.name)
                && !kept.contains(name)
            {
                kept.push(*name);
            }
        }
    }
    kept
}

fn all_directives(ty: &TypeDefinition) -> impl Iterator<Item = &Directive> {
    let of_fields = ty.fields.iter().flat_map(|field| {
        field.directives.iter().chain(field.arguments.iter().flat_map(|argument| &argument.directives))
    });
    let of_inputs = ty.inputs.iter().flat_map(|input| &input.directives);
    let of_values = ty.values.iter().flat_map(|value| &value.directives);
    ty.directives.iter().chain(of_fields).chain(of_inputs).chain(of_values)
}

/// A name for `join__Graph`: capitals, digits and `_`, like no other.
pub(crate) fn graph_name(name: &str, taken: &[String]) -> String {
    let base: String = name
        .chars()
        .map(|char| if char.is_ascii_alphanumeric() { char.to_ascii_uppercase() } else { '_' })
        .collect();
    let mut candidate = base.clone();
    let mut count = 1;
    while taken.contains(&candidate) {
        count += 1;
        candidate = format!("{base}_{count}");
    }
    candidate
}
