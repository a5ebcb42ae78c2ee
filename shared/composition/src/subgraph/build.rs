//! From definitions to a schema.

use std::collections::HashMap;

use indexmap::IndexMap;
use indexmap::map::Entry;

use super::{
    External, FEDERATION, Field, FieldSet, Key, Links, Override, Schema, Type, all_applied, applied, fields,
    flag, is_built_in_scalar, link::Meaning, validate,
};
use crate::error::Code;
use crate::report::Report;
use crate::syntax::{
    self, Definition, Directive, DirectiveDefinition, Input, Kind, Name, Root, SchemaDefinition,
    TypeDefinition, TypeRef, Value, parse_schema, parse_selection, printed,
};

/// Reads a subgraph's schema, or says all that is wrong with it on its own.
pub(crate) fn read(
    subgraph: &crate::Subgraph,
    graph: String,
) -> (Option<Schema>, Vec<crate::CompositionError>) {
    let mut report = Report::new(&subgraph.name);
    let definitions = match parse_schema(&subgraph.sdl) {
        Ok(definitions) => definitions,
        Err(error) => {
            report.error(
                Code::InvalidGraphql,
                error.pos,
                format!("the schema does not parse: {}", error.message),
                "",
            );
            return (None, report.errors);
        }
    };
    let mut schemas = Vec::new();
    let mut types = Vec::new();
    let mut directives = Vec::new();
    for definition in definitions {
        match definition {
            Definition::Schema(schema) => schemas.push(schema),
            Definition::Type(ty) => types.push(ty),
            Definition::Directive(directive) => directives.push(directive),
        }
    }
    let schema_directives: Vec<Directive> =
        schemas.iter().flat_map(|schema| schema.directives.iter().cloned()).collect();
    let links = Links::read(&schema_directives, &mut report);
    if !report.errors.is_empty() {
        return (None, report.errors);
    }
    let mut schema = Schema {
        name: subgraph.name.clone(),
        url: subgraph.url.clone(),
        graph,
        links,
        types: IndexMap::new(),
        roots: Vec::new(),
        directives: IndexMap::new(),
        composed: Vec::new(),
    };
    for directive in &schema_directives {
        if schema.links.meaning(&directive.name) == Meaning::Federation("composeDirective") {
            match directive.text("name") {
                Some(name) => {
                    schema.composed.push(Name { text: name.to_owned(), pos: directive.pos });
                }
                None => report.error(
                    Code::DirectiveComposition,
                    directive.pos,
                    "a @composeDirective has no name",
                    "write `@composeDirective(name: \"@custom\")`",
                ),
            }
        }
    }
    for directive in directives {
        add_directive(&mut schema, directive, &mut report);
    }
    let renamed = roots(&mut schema, &schemas, &types, &mut report);
    if !report.errors.is_empty() {
        return (None, report.errors);
    }
    for definition in types {
        if !schema.links.is_machinery(&definition.name.text) && !is_built_in_scalar(&definition.name.text) {
            add_type(&mut schema, definition, &renamed, &mut report);
        }
    }
    drop_machinery_fields(&mut schema);
    validate::references(&schema, &mut report);
    if report.errors.is_empty() {
        read_field_directives(&mut schema, &mut report);
    }
    if report.errors.is_empty() {
        fields::check(&mut schema, &mut report);
        validate::usage(&mut schema, &mut report);
    }
    let errors = report.errors;
    (errors.is_empty().then_some(schema), errors)
}

fn add_directive(schema: &mut Schema, directive: DirectiveDefinition, report: &mut Report<'_>) {
    if schema.links.meaning(&directive.name.text) != Meaning::Own {
        return;
    }
    match schema.directives.entry(directive.name.text.clone()) {
        Entry::Occupied(_) => report.error(
            Code::InvalidGraphql,
            directive.name.pos,
            format!("the directive @{} is defined twice", directive.name.text),
            "keep one definition",
        ),
        Entry::Vacant(entry) => {
            entry.insert(directive);
        }
    }
}

/// Finds the root types. What they are called here is mapped to what the supergraph calls them.
fn roots(
    schema: &mut Schema,
    schemas: &[SchemaDefinition],
    types: &[TypeDefinition],
    report: &mut Report<'_>,
) -> HashMap<String, String> {
    let mut renamed = HashMap::new();
    let is_object = |name: &str| types.iter().any(|ty| ty.name.text == name && ty.kind == Kind::Object);
    let has_explicit = schemas.iter().any(|schema| !schema.roots.is_empty());
    for root in Root::ALL {
        let mut named = schemas.iter().flat_map(|schema| &schema.roots).filter(|(kind, _)| *kind == root);
        let default = root.type_name();
        if let Some((_, name)) = named.next() {
            if let Some((_, second)) = named.next() {
                report.error(
                    Code::InvalidGraphql,
                    second.pos,
                    format!("the {} root is named twice", root.keyword()),
                    "keep one",
                );
            }
            if !is_object(&name.text) {
                report.error(
                    Code::InvalidGraphql,
                    name.pos,
                    format!("the {} root {} is no object type", root.keyword(), name.text),
                    &format!("define `type {}`", name.text),
                );
                continue;
            }
            schema.roots.push(root);
            if name.text != default {
                renamed.insert(name.text.clone(), default.to_owned());
                refuse_other_root(root, types, report);
            }
        } else if is_object(default) {
            let is_partial = has_explicit
                && schemas.iter().any(|schema| schema.roots.iter().any(|(kind, _)| *kind == Root::Query));
            if is_partial {
                refuse_other_root(root, types, report);
            } else {
                schema.roots.push(root);
            }
        }
    }
    renamed
}

fn refuse_other_root(root: Root, types: &[TypeDefinition], report: &mut Report<'_>) {
    let (code, name) = match root {
        Root::Query => (Code::RootQueryUsed, "Query"),
        Root::Mutation => (Code::RootMutationUsed, "Mutation"),
        Root::Subscription => (Code::RootSubscriptionUsed, "Subscription"),
    };
    if let Some(other) = types.iter().find(|ty| ty.name.text == name) {
        report.error(
            code,
            other.name.pos,
            format!(
                "the type {name} is not the {} root, which has that name in a supergraph",
                root.keyword()
            ),
            &format!("rename the type, or make it the root: `schema {{ {}: {name} }}`", root.keyword()),
        );
    }
}

fn add_type(
    schema: &mut Schema,
    definition: TypeDefinition,
    renamed: &HashMap<String, String>,
    report: &mut Report<'_>,
) {
    let mut name = definition.name;
    if let Some(new) = renamed.get(&name.text) {
        name.text.clone_from(new);
    }
    let mut part = Part { schema, renamed, report };
    let directives = part.directives(definition.directives, definition.kind);
    let is_extends = applied(&directives, "extends").is_some();
    let part_shareable = applied(&directives, "shareable").is_some();
    let part_external = applied(&directives, "external").is_some();
    let members: Vec<(String, syntax::Pos)> =
        definition.members.into_iter().map(|member| (part.rename(member.text), member.pos)).collect();
    let fields: Vec<Field> = definition
        .fields
        .into_iter()
        .map(|field| part.field(field, part_shareable, part_external, &name.text))
        .collect();
    let inputs: Vec<Input> =
        definition.inputs.into_iter().map(|input| part.input(input, "INPUT_FIELD_DEFINITION")).collect();
    let values: Vec<syntax::EnumValue> = definition
        .values
        .into_iter()
        .map(|mut value| {
            value.directives = part.directives_at(value.directives, "ENUM_VALUE");
            value
        })
        .collect();
    let is_new = !schema.types.contains_key(&name.text);
    let entry = schema.types.entry(name.text.clone()).or_insert_with(|| Type {
        name: name.clone(),
        kind: definition.kind,
        description: None,
        is_extension: true,
        directives: Vec::new(),
        interfaces: IndexMap::new(),
        fields: IndexMap::new(),
        members: IndexMap::new(),
        values: IndexMap::new(),
        inputs: IndexMap::new(),
        keys: Vec::new(),
        is_interface_object: false,
    });
    if entry.kind != definition.kind {
        return report.error(
            Code::InvalidGraphql,
            name.pos,
            format!("{} is {} and {}", name.text, entry.kind.described(), definition.kind.described()),
            "an extension is of the kind of what it extends",
        );
    }
    if !definition.is_extension {
        if !is_new && !entry.is_extension {
            return twice(report, name.pos, &name.text);
        }
        // Errors point to the definition rather than to an extension.
        entry.name = name.clone();
        entry.is_extension = false;
    }
    entry.description = definition.description.or(entry.description.take());
    let kind = entry.kind;
    for interface in definition.interfaces {
        if entry.interfaces.insert(interface.text.clone(), interface.pos).is_some() {
            twice(report, interface.pos, &format!("that {} implements {}", name.text, interface.text));
        }
    }
    for (member, pos) in members {
        if entry.members.insert(member.clone(), pos).is_some() {
            twice(report, pos, &format!("the member {member} of {}", name.text));
        }
    }
    add(&mut entry.fields, fields, &name.text, |field| &field.name, report);
    add(&mut entry.inputs, inputs, &name.text, |input| &input.name, report);
    add(&mut entry.values, values, &name.text, |value| &value.name, report);
    for directive in all_applied(&directives, "key") {
        if let Some(fields) =
            field_set(directive, Code::KeyInvalidFieldsType, Code::KeyInvalidFields, "key", report)
        {
            entry.keys.push(Key {
                fields,
                is_resolvable: flag(directive, "resolvable", true),
                is_of_extension: definition.is_extension || is_extends,
            });
        }
    }
    entry.is_extension |= is_extends;
    entry.is_interface_object |= kind == Kind::Object && applied(&directives, "interfaceObject").is_some();
    entry.directives.extend(directives);
}

/// Adds members to a type, each once.
fn add<T>(
    known: &mut IndexMap<String, T>,
    more: Vec<T>,
    ty: &str,
    name: impl Fn(&T) -> &Name,
    report: &mut Report<'_>,
) {
    for member in more {
        let Name { text, pos } = name(&member).clone();
        if known.insert(text.clone(), member).is_some() {
            twice(report, pos, &format!("{ty}.{text}"));
        }
    }
}

fn twice(report: &mut Report<'_>, pos: syntax::Pos, what: &str) {
    report.error(Code::InvalidGraphql, pos, format!("{what} is defined twice"), "keep one definition");
}

/// Reads the `fields` of a directive.
fn field_set(
    directive: &Directive,
    wrong_type: Code,
    invalid: Code,
    name: &str,
    report: &mut Report<'_>,
) -> Option<FieldSet> {
    let text = match directive.argument("fields") {
        Some(Value::Text(text)) => text,
        Some(other) => {
            let message = format!("the fields of a @{name} are {other}, which is no string");
            report.error(wrong_type, directive.pos, message, "write the fields as one string: `\"id\"`");
            return None;
        }
        None => {
            let message = format!("a @{name} has no fields");
            report.error(invalid, directive.pos, message, &format!("write `@{name}(fields: \"id\")`"));
            return None;
        }
    };
    match parse_selection(text) {
        Ok(selections) => Some(FieldSet { text: printed(&selections), selections, pos: directive.pos }),
        Err(error) => {
            let message = format!("the fields {text:?} of a @{name} do not parse: {}", error.message);
            report.error(invalid, directive.pos, message, "");
            None
        }
    }
}

/// Reads `@requires`, `@provides` and `@override` of all fields.
fn read_field_directives(schema: &mut Schema, report: &mut Report<'_>) {
    for ty in schema.types.values_mut() {
        for field in ty.fields.values_mut() {
            if let Some(directive) = applied(&field.directives, "requires") {
                let (wrong, invalid) = (Code::RequiresInvalidFieldsType, Code::RequiresInvalidFields);
                field.requires = field_set(directive, wrong, invalid, "requires", report);
            }
            if let Some(directive) = applied(&field.directives, "provides") {
                let (wrong, invalid) = (Code::ProvidesInvalidFieldsType, Code::ProvidesInvalidFields);
                field.provides = field_set(directive, wrong, invalid, "provides", report);
            }
            if let Some(directive) = applied(&field.directives, "override")
                && let Some(from) = directive.text("from")
            {
                field.overrides = Some(Override {
                    from: from.to_owned(),
                    label: directive.text("label").map(str::to_owned),
                    pos: directive.pos,
                });
            }
        }
    }
}

/// `_entities` and `_service` are federation's own; a query root with nothing else is none.
fn drop_machinery_fields(schema: &mut Schema) {
    if let Some(query) = schema.types.get_mut("Query") {
        query.fields.shift_remove("_entities");
        query.fields.shift_remove("_service");
        if query.fields.is_empty() {
            schema.types.shift_remove("Query");
            schema.roots.retain(|root| *root != Root::Query);
        }
    }
    for root in [Root::Mutation, Root::Subscription] {
        if schema.types.get(root.type_name()).is_some_and(|ty| ty.fields.is_empty()) {
            schema.types.shift_remove(root.type_name());
            schema.roots.retain(|known| *known != root);
        }
    }
}

struct Part<'a, 'b> {
    schema: &'a Schema,
    renamed: &'a HashMap<String, String>,
    report: &'a mut Report<'b>,
}

impl Part<'_, '_> {
    fn rename(&self, name: String) -> String {
        self.renamed.get(&name).cloned().unwrap_or(name)
    }

    fn ty(&self, ty: TypeRef) -> TypeRef {
        match self.renamed.get(ty.name()) {
            Some(name) => ty.renamed(name),
            None => ty,
        }
    }

    fn directives(&mut self, directives: Vec<Directive>, kind: Kind) -> Vec<Directive> {
        let location = match kind {
            Kind::Scalar => "SCALAR",
            Kind::Object => "OBJECT",
            Kind::Interface => "INTERFACE",
            Kind::Union => "UNION",
            Kind::Enum => "ENUM",
            Kind::Input => "INPUT_OBJECT",
        };
        self.directives_at(directives, location)
    }

    fn directives_at(&mut self, directives: Vec<Directive>, location: &str) -> Vec<Directive> {
        directives
            .into_iter()
            .map(|mut directive| {
                match self.schema.links.meaning(&directive.name) {
                    Meaning::Federation(known) => {
                        validate::location(known, &directive, location, self.report);
                        directive.name = format!("{FEDERATION}{known}");
                    }
                    Meaning::Own => validate::own_directive(self.schema, &directive, location, self.report),
                    Meaning::Link | Meaning::BuiltIn => {}
                }
                directive
            })
            .collect()
    }

    fn input(&mut self, mut input: Input, location: &str) -> Input {
        input.ty = self.ty(input.ty);
        input.directives = self.directives_at(input.directives, location);
        input
    }

    fn field(&mut self, field: syntax::Field, shareable: bool, external: bool, of: &str) -> Field {
        let directives = self.directives_at(field.directives, "FIELD_DEFINITION");
        let mut arguments = IndexMap::new();
        for argument in field.arguments {
            let argument = self.input(argument, "ARGUMENT_DEFINITION");
            let pos = argument.name.pos;
            if let Some(known) = arguments.insert(argument.name.text.clone(), argument) {
                self.report.error(
                    Code::InvalidGraphql,
                    pos,
                    format!("the argument {} of {of}.{} is defined twice", known.name.text, field.name.text),
                    "keep one",
                );
            }
        }
        let is_external = external || applied(&directives, "external").is_some();
        Field {
            description: field.description,
            arguments,
            ty: self.ty(field.ty),
            external: if is_external { External::Yes } else { External::No },
            // Federation 1 knew no `@shareable`: whatever two subgraphs had was shared.
            is_shareable: shareable
                || applied(&directives, "shareable").is_some()
                || self.schema.links.minor.is_none(),
            requires: None,
            provides: None,
            overrides: None,
            is_used: false,
            name: field.name,
            directives,
        }
    }
}
