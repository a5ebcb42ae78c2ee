//! What a subgraph's schema must keep to by itself: the GraphQL specification's section 3, and federation's rules
//! for where its directives may stand.

use super::{Field, Schema, Type, applied, fields, is_built_in_scalar};
use crate::error::Code;
use crate::report::Report;
use crate::suggest::suggestion;
use crate::syntax::{Directive, Input, Kind, Pos, TypeRef};
use crate::types::is_subtype_in;

const ANYWHERE: &[&str] = &[
    "FIELD_DEFINITION",
    "OBJECT",
    "INTERFACE",
    "UNION",
    "ARGUMENT_DEFINITION",
    "SCALAR",
    "ENUM",
    "ENUM_VALUE",
    "INPUT_OBJECT",
    "INPUT_FIELD_DEFINITION",
];

/// Where a directive of federation's may stand.
fn locations(known: &str) -> &'static [&'static str] {
    match known {
        "key" | "extends" => &["OBJECT", "INTERFACE"],
        "requires" | "provides" | "override" | "listSize" => &["FIELD_DEFINITION"],
        "external" | "shareable" | "cacheTag" => &["OBJECT", "FIELD_DEFINITION"],
        "interfaceObject" => &["OBJECT"],
        "authenticated" | "requiresScopes" | "policy" => {
            &["FIELD_DEFINITION", "OBJECT", "INTERFACE", "SCALAR", "ENUM"]
        }
        "cost" => {
            &["ARGUMENT_DEFINITION", "ENUM", "FIELD_DEFINITION", "INPUT_FIELD_DEFINITION", "OBJECT", "SCALAR"]
        }
        "composeDirective" => &["SCHEMA"],
        _ => ANYWHERE,
    }
}

/// Checks where one of federation's directives stands.
pub(super) fn location(known: &str, directive: &Directive, location: &str, report: &mut Report<'_>) {
    if matches!(known, "context" | "fromContext") {
        let message = format!("@{known} is used, which is not supported");
        let help = "hand the value on as an argument or a field with @requires";
        return report.error(Code::UnsupportedFeature, directive.pos, message, help);
    }
    if !locations(known).contains(&location) {
        let message = format!("@{} stands on {}", directive.name, described(location));
        let allowed: Vec<&str> = locations(known).iter().map(|location| described(location)).collect();
        let help = format!("it may stand on {}", allowed.join(", "));
        report.error(Code::InvalidGraphql, directive.pos, message, &help);
    }
    let needed = match known {
        "override" => "from",
        "tag" => "name",
        "requiresScopes" => "scopes",
        "policy" => "policies",
        "cost" => "weight",
        _ => return,
    };
    if directive.argument(needed).is_none() {
        let message = format!("@{} has no argument {needed}", directive.name);
        report.error(Code::InvalidGraphql, directive.pos, message, &format!("add `{needed}: …`"));
    }
}

fn described(location: &str) -> &'static str {
    match location {
        "FIELD_DEFINITION" => "a field",
        "OBJECT" => "an object type",
        "INTERFACE" => "an interface",
        "UNION" => "a union",
        "ARGUMENT_DEFINITION" => "an argument",
        "SCALAR" => "a scalar",
        "ENUM" => "an enum",
        "ENUM_VALUE" => "a value of an enum",
        "INPUT_OBJECT" => "an input type",
        "INPUT_FIELD_DEFINITION" => "an input type's field",
        _ => "the schema",
    }
}

/// Checks a use of one of the schema's own directives against its definition.
pub(super) fn own_directive(schema: &Schema, directive: &Directive, location: &str, report: &mut Report<'_>) {
    let Some(definition) = schema.directives.get(&directive.name) else {
        let help = schema.links.help_for(&directive.name).unwrap_or_else(|| {
            let near = suggestion(&directive.name, schema.directives.keys().map(String::as_str));
            near.map_or_else(
                || format!("define it: `directive @{} on {location}`", directive.name),
                |near| format!("did you mean @{near}?"),
            )
        });
        let message = format!("the directive @{} is not defined", directive.name);
        return report.error(Code::InvalidGraphql, directive.pos, message, &help);
    };
    if !definition.locations.iter().any(|allowed| allowed.text == location) {
        let message = format!("@{} stands on {}", directive.name, described(location));
        let help = format!("its definition does not have `on {location}`");
        report.error(Code::InvalidGraphql, directive.pos, message, &help);
    }
    for (argument, _) in &directive.arguments {
        if !definition.arguments.iter().any(|known| known.name.text == argument.text) {
            let message = format!("@{} has no argument {}", directive.name, argument.text);
            report.error(Code::InvalidGraphql, argument.pos, message, "");
        }
    }
    for needed in definition.arguments.iter().filter(|argument| argument.is_required()) {
        if directive.argument(&needed.name.text).is_none() {
            let message = format!("@{} needs its argument {}", directive.name, needed.name.text);
            report.error(Code::InvalidGraphql, directive.pos, message, "");
        }
    }
}

/// Checks that all names of types lead to types of the right kind, and that no type is empty.
pub(super) fn references(schema: &Schema, report: &mut Report<'_>) {
    let checker = Checker { schema };
    for ty in schema.types.values() {
        checker.ty(ty, report);
    }
    for ty in schema.types.values() {
        for (name, pos) in &ty.interfaces {
            if let Some(interface) =
                schema.types.get(name).filter(|interface| interface.kind == Kind::Interface)
            {
                checker.implementation(ty, interface, *pos, report);
            }
        }
    }
}

struct Checker<'a> {
    schema: &'a Schema,
}

impl Checker<'_> {
    fn ty(&self, ty: &Type, report: &mut Report<'_>) {
        let name = &ty.name.text;
        if name.starts_with("__") {
            let message =
                format!("the type {name} begins with two underscores, which GraphQL keeps to itself");
            report.error(Code::InvalidGraphql, ty.name.pos, message, "rename it");
        }
        let is_empty = match ty.kind {
            Kind::Scalar => false,
            Kind::Object | Kind::Interface => ty.fields.is_empty(),
            Kind::Union => ty.members.is_empty(),
            Kind::Enum => ty.values.is_empty(),
            Kind::Input => ty.inputs.is_empty(),
        };
        if is_empty {
            let message = format!("{name} is {} with nothing in it", ty.kind.described());
            report.error(Code::InvalidGraphql, ty.name.pos, message, "add to it, or take it out");
        }
        for field in ty.fields.values() {
            let place = format!("{name}.{}", field.name.text);
            self.is(&field.ty, field.name.pos, &place, false, report);
            for argument in field.arguments.values() {
                let place = format!("the argument {} of {place}", argument.name.text);
                self.is(&argument.ty, argument.name.pos, &place, true, report);
            }
        }
        for input in ty.inputs.values() {
            self.is(&input.ty, input.name.pos, &format!("{name}.{}", input.name.text), true, report);
        }
        for (member, pos) in &ty.members {
            self.named(
                member,
                *pos,
                &format!("the union {name} has the member {member}"),
                Kind::Object,
                report,
            );
        }
        for (interface, pos) in &ty.interfaces {
            let what = format!("{name} implements {interface}");
            self.named(interface, *pos, &what, Kind::Interface, report);
        }
    }

    fn is(&self, ty: &TypeRef, pos: Pos, place: &str, is_input: bool, report: &mut Report<'_>) {
        let name = ty.name();
        if is_built_in_scalar(name) {
            return;
        }
        let Some(of) = self.schema.types.get(name) else {
            return self.unknown(name, pos, &format!("{place} is of type {ty}"), report);
        };
        let fits = if is_input { of.kind.is_input() } else { of.kind != Kind::Input };
        if !fits {
            let message = format!("{place} is of type {ty}, which is {}", of.kind.described());
            let help = if is_input {
                "arguments and input fields take scalars, enums and input types"
            } else {
                "an input type can't be returned"
            };
            report.error(Code::InvalidGraphql, pos, message, help);
        }
    }

    fn named(&self, name: &str, pos: Pos, what: &str, kind: Kind, report: &mut Report<'_>) {
        match self.schema.types.get(name) {
            None => self.unknown(name, pos, what, report),
            Some(of) if of.kind == kind => {}
            Some(of) => {
                let message = format!("{what}, which is {}", of.kind.described());
                report.error(Code::InvalidGraphql, pos, message, &format!("name {}", kind.described()));
            }
        }
    }

    fn unknown(&self, name: &str, pos: Pos, what: &str, report: &mut Report<'_>) {
        let near = suggestion(name, self.schema.types.keys().map(String::as_str));
        let help = near.map_or_else(
            || "define it in this subgraph: each subgraph is a whole schema".to_owned(),
            |near| format!("did you mean {near}?"),
        );
        report.error(Code::InvalidGraphql, pos, format!("{what}, which is not defined"), &help);
    }

    fn implementation(&self, ty: &Type, interface: &Type, pos: Pos, report: &mut Report<'_>) {
        let (name, of) = (&ty.name.text, &interface.name.text);
        for wanted in interface.fields.values() {
            let place = format!("{name}.{}", wanted.name.text);
            let Some(field) = ty.fields.get(&wanted.name.text) else {
                let message = format!("{name} implements {of}, but has no field {}", wanted.name.text);
                let help = format!("add `{}: {}` to {name}", wanted.name.text, wanted.ty);
                report.error(Code::InvalidGraphql, pos, message, &help);
                continue;
            };
            if !is_subtype_in(&field.ty, &wanted.ty, &|sub, sup| self.is_subtype(sub, sup)) {
                let message = format!("{place} is of type {}, but {of} says {}", field.ty, wanted.ty);
                let help = "a field is of its interface's type, or of one that is part of it";
                report.error(Code::InvalidGraphql, field.name.pos, message, help);
            }
            for argument in wanted.arguments.values() {
                match field.arguments.get(&argument.name.text) {
                    None => {
                        let message = format!("{place} lacks the argument {} of {of}", argument.name.text);
                        report.error(Code::InvalidGraphql, field.name.pos, message, "add it");
                    }
                    Some(own) if own.ty != argument.ty => {
                        let message = format!(
                            "the argument {} of {place} is of type {}, but {of} says {}",
                            own.name.text, own.ty, argument.ty
                        );
                        report.error(
                            Code::InvalidGraphql,
                            own.name.pos,
                            message,
                            "give it the interface's type",
                        );
                    }
                    Some(_) => {}
                }
            }
            let more = |argument: &&Input| !wanted.arguments.contains_key(&argument.name.text);
            for argument in field.arguments.values().filter(more).filter(|argument| argument.is_required()) {
                let message =
                    format!("{place} needs the argument {}, which {of} has not", argument.name.text);
                report.error(Code::InvalidGraphql, argument.name.pos, message, "make it optional");
            }
        }
    }

    fn is_subtype(&self, sub: &str, sup: &str) -> bool {
        self.schema.types.get(sub).is_some_and(|ty| ty.interfaces.contains_key(sup))
            || self.schema.types.get(sup).is_some_and(|ty| ty.members.contains_key(sub))
    }
}

/// Checks how federation's directives are used, after field sets have been read.
pub(super) fn usage(schema: &mut Schema, report: &mut Report<'_>) {
    if schema.links.minor.is_none() {
        tolerate_federation_1(schema);
    }
    for ty in schema.types.values() {
        for field in ty.fields.values() {
            field_usage(schema, ty, field, report);
        }
        type_usage(schema, ty, report);
    }
    // A field set that is wrong may well have meant what is unused now.
    if !report.errors.is_empty() {
        return;
    }
    for (ty, field, pos) in fields::unused_externals(schema) {
        let message = format!("{ty}.{field} is @external, but nothing uses it");
        let help = "use it in a @key, @requires or @provides, or take the field out of this subgraph";
        report.error(Code::ExternalUnused, pos, message, help);
    }
}

/// Federation 1 let stand what it did not use.
fn tolerate_federation_1(schema: &mut Schema) {
    let unused = fields::unused_externals(schema);
    for (ty, field, _) in unused {
        schema.types[&ty].fields.shift_remove(&field);
    }
    schema.types.retain(|_, ty| ty.kind != Kind::Object || !ty.fields.is_empty());
    for ty in schema.types.values_mut().filter(|ty| ty.kind == Kind::Interface) {
        ty.keys.clear();
        for field in ty.fields.values_mut() {
            field.external = super::External::No;
        }
    }
}

fn field_usage(schema: &Schema, ty: &Type, field: &Field, report: &mut Report<'_>) {
    let place = format!("{}.{}", ty.name.text, field.name.text);
    let pos_of =
        |name: &str| applied(&field.directives, name).map_or(field.name.pos, |directive| directive.pos);
    if ty.kind == Kind::Interface {
        if field.is_external() {
            let help = "mark the field @external on the types that implement the interface";
            let message = format!("{place} is @external, but a field of an interface");
            report.error(Code::ExternalOnInterface, pos_of("external"), message, help);
        }
        if applied(&field.directives, "shareable").is_some() {
            let help = "put @shareable on the fields of the types that implement the interface";
            let message = format!("{place} is @shareable, but a field of an interface");
            report.error(Code::InvalidShareableUsage, pos_of("shareable"), message, help);
        }
    }
    if ty.name.text == "Subscription"
        && schema.is_root("Subscription")
        && applied(&field.directives, "shareable").is_some()
    {
        let message = format!("{place} is @shareable, but a subscription comes from one subgraph");
        report.error(Code::InvalidFieldSharing, pos_of("shareable"), message, "take the @shareable out");
    }
    if field.is_external() && schema.links.minor.is_some() {
        for name in ["tag", "inaccessible", "authenticated", "requiresScopes", "policy", "cost", "listSize"] {
            if let Some(directive) = applied(&field.directives, name) {
                let message = format!("{place} is @external and has @{name}");
                let help = format!("put @{name} on the field where it is resolved");
                report.error(Code::MergedDirectiveApplicationOnExternal, directive.pos, message, &help);
            }
        }
    }
    let Some(overrides) = &field.overrides else { return };
    if ty.kind == Kind::Interface {
        let help = "put it on the fields of the types that implement the interface";
        let message = format!("@override on {place}, a field of an interface");
        return report.error(Code::OverrideOnInterface, overrides.pos, message, help);
    }
    if ty.is_interface_object {
        let message = format!("@override on {place}, a field of an @interfaceObject");
        let help = "move the field without @override: share it while both resolve it";
        return report.error(Code::InterfaceObjectUsage, overrides.pos, message, help);
    }
    if field.is_external() {
        let message = format!("{place} has @override and @external");
        let help = "take @external out: a field that is taken over is resolved here";
        report.error(Code::OverrideCollisionWithAnotherDirective, overrides.pos, message, help);
    }
    if overrides.from == schema.name {
        let message = format!("{place} overrides itself: @override is from {}", schema.name);
        report.error(
            Code::OverrideFromSelf,
            overrides.pos,
            message,
            "name the subgraph that has it until now",
        );
    }
    if let Some(label) = &overrides.label
        && !is_label(label)
    {
        let message = format!("{place} has the override label {label:?}");
        let help = "write `percent(20)`, 0 to 100 with up to 8 decimals, or a name: a letter, then letters, digits and `_-:./`";
        report.error(Code::OverrideLabelInvalid, overrides.pos, message, help);
    }
}

fn is_label(label: &str) -> bool {
    if let Some(percent) = label.strip_prefix("percent(").and_then(|rest| rest.strip_suffix(')')) {
        let decimals = percent.split_once('.').map(|(_, decimals)| decimals);
        return percent.chars().all(|char| char.is_ascii_digit() || char == '.')
            && decimals.is_none_or(|decimals| (1..=8).contains(&decimals.len()))
            && percent.parse::<f64>().is_ok_and(|value| (0.0..=100.0).contains(&value));
    }
    label.starts_with(|char: char| char.is_ascii_alphabetic())
        && label.chars().all(|char| char.is_ascii_alphanumeric() || "_-:./".contains(char))
}

fn type_usage(schema: &Schema, ty: &Type, report: &mut Report<'_>) {
    if ty.is_interface_object && ty.keys.is_empty() {
        let pos = applied(&ty.directives, "interfaceObject").map_or(ty.name.pos, |directive| directive.pos);
        let message = format!("{} is an @interfaceObject without a @key", ty.name.text);
        report.error(Code::InterfaceObjectUsage, pos, message, "give it the interface's @key");
    }
    if ty.kind == Kind::Interface {
        for key in &ty.keys {
            for name in schema.possible(&ty.name.text) {
                let implementation = &schema.types[name];
                if !implementation.keys.iter().any(|own| same_fields(&own.fields.text, &key.fields.text)) {
                    let message = format!(
                        "{} has @key(fields: \"{}\"), but {name}, which implements it, has not",
                        ty.name.text, key.fields.text
                    );
                    let help = format!("add `@key(fields: \"{}\")` to {name}", key.fields.text);
                    report.error(
                        Code::InterfaceKeyNotOnImplementation,
                        implementation.name.pos,
                        message,
                        &help,
                    );
                }
            }
        }
    }
}

/// Whether two field sets select the same, in whatever order at their top.
fn same_fields(a: &str, b: &str) -> bool {
    let sorted = |text: &str| {
        let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
        words.sort_unstable();
        words
    };
    sorted(a) == sorted(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_names_or_percentages() {
        for label in ["percent(0)", "percent(33.5)", "percent(100)", "beta", "team:flag-1/x"] {
            assert!(is_label(label), "{label}");
        }
        for label in ["percent(101)", "percent(1.123456789)", "percent()", "percent(x)", "1st", "a b", ""] {
            assert!(!is_label(label), "{label}");
        }
    }
}
