//! Field sets: `@key`, `@requires`, `@provides`, and the `@external` that they explain.

use super::{External, Field, FieldSet, Schema, Type};
use crate::error::Code;
use crate::report::Report;
use crate::suggest::suggestion;
use crate::syntax::{Kind, Pos, Selection};

/// A field that a field set selects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) ty: &'a Type,
    pub(crate) field: &'a Field,
    /// It is selected without a selection of its own.
    pub(crate) is_leaf: bool,
    pub(crate) has_arguments: bool,
    /// How many directives stand on it.
    pub(crate) directives: usize,
    /// A field around it is external.
    pub(crate) is_under_external: bool,
}

/// The fields that a field set on `type_name` selects, or what is wrong with it.
pub(crate) fn targets<'a>(
    schema: &'a Schema,
    type_name: &str,
    selections: &[Selection],
) -> Result<Vec<Target<'a>>, String> {
    let mut found = Vec::new();
    collect(schema, type_name, selections, false, &mut found)?;
    Ok(found)
}

fn collect<'a>(
    schema: &'a Schema,
    type_name: &str,
    selections: &[Selection],
    is_under_external: bool,
    found: &mut Vec<Target<'a>>,
) -> Result<(), String> {
    let Some(ty) = schema.types.get(type_name) else {
        return Err(format!("{type_name} is not defined"));
    };
    for selection in selections {
        match selection {
            Selection::Fragment { on, directives, selections } => {
                if !directives.is_empty() {
                    return Err(format!("a fragment has the directive @{}", directives[0].name));
                }
                let on = on.as_deref().unwrap_or(type_name);
                match schema.types.get(on) {
                    Some(target) if target.kind.is_composite() => {}
                    Some(_) => return Err(format!("a fragment is on {on}, which has no fields")),
                    None => return Err(format!("a fragment is on {on}, which is not defined")),
                }
                let (here, there) = (schema.possible(type_name), schema.possible(on));
                if !here.iter().any(|name| there.contains(name)) {
                    return Err(format!("a fragment is on {on}, which {type_name} never is"));
                }
                collect(schema, on, selections, is_under_external, found)?;
            }
            Selection::Field { name, selections, .. } if name == "__typename" => {
                if !selections.is_empty() {
                    return Err("__typename has no fields".to_owned());
                }
            }
            Selection::Field { alias, name, arguments, directives, selections } => {
                let Some(field) = ty.fields.get(name) else {
                    let near = suggestion(name, ty.fields.keys().map(String::as_str));
                    return Err(match (ty.kind, near) {
                        (Kind::Union, _) => {
                            format!("{type_name} is a union: select {name} in a fragment on a member")
                        }
                        (_, Some(near)) => {
                            format!("{type_name} has no field {name} in this subgraph; did you mean {near}?")
                        }
                        (_, None) => format!("{type_name} has no field {name} in this subgraph"),
                    });
                };
                if alias.is_some() {
                    return Err(format!("{name} has an alias, which a field set can't have"));
                }
                for (argument, _) in arguments {
                    if !field.arguments.contains_key(argument) {
                        return Err(format!("{type_name}.{name} has no argument {argument}"));
                    }
                }
                for argument in field.arguments.values().filter(|argument| argument.is_required()) {
                    if !arguments.iter().any(|(given, _)| *given == argument.name.text) {
                        return Err(format!("{type_name}.{name} needs its argument {}", argument.name.text));
                    }
                }
                let of = schema.types.get(field.ty.name());
                let is_composite = of.is_some_and(|of| of.kind.is_composite());
                if is_composite && selections.is_empty() {
                    return Err(format!("{type_name}.{name} is of type {}: select fields of it", field.ty));
                }
                if !is_composite && !selections.is_empty() {
                    return Err(format!("{type_name}.{name} is of type {}, which has no fields", field.ty));
                }
                found.push(Target {
                    ty,
                    field,
                    is_leaf: selections.is_empty(),
                    has_arguments: !arguments.is_empty() || !field.arguments.is_empty(),
                    directives: directives.len(),
                    is_under_external,
                });
                if !selections.is_empty() {
                    let under = is_under_external || field.external != External::No;
                    collect(schema, field.ty.name(), selections, under, found)?;
                }
            }
        }
    }
    Ok(())
}

/// Checks all field sets, and marks the fields that they use.
pub(super) fn check(schema: &mut Schema, report: &mut Report<'_>) {
    mark_named_externals(schema);
    let mut used = Vec::new();
    for ty in schema.types.values() {
        for key in &ty.keys {
            check_key(schema, ty, &key.fields, report, &mut used);
        }
        for field in ty.fields.values() {
            if let Some(requires) = &field.requires {
                check_requires(schema, ty, field, requires, report, &mut used);
            }
            if let Some(provides) = &field.provides {
                check_provides(schema, ty, field, provides, report, &mut used);
            }
        }
        // What implements an interface has all its fields, external ones too.
        if ty.kind == Kind::Object {
            for interface in ty.interfaces.keys().filter_map(|name| schema.types.get(name)) {
                used.extend(interface.fields.keys().map(|field| (ty.name.text.clone(), field.clone())));
            }
        }
    }
    for (ty, field) in used {
        if let Some(field) = schema.types.get_mut(&ty).and_then(|ty| ty.fields.get_mut(&field)) {
            field.is_used = true;
        }
    }
    mark_shareable_keys(schema);
}

/// The fields of an extension's keys are marked `@external` since federation 1 wanted it; they are resolved here.
fn mark_named_externals(schema: &mut Schema) {
    let mut named = Vec::new();
    for ty in schema.types.values() {
        let is_old = schema.links.minor.is_none() && ty.is_extension;
        for key in ty.keys.iter().filter(|key| key.is_of_extension || is_old) {
            if let Ok(targets) = targets(schema, &ty.name.text, &key.fields.selections) {
                named.extend(
                    targets
                        .iter()
                        .filter(|target| target.field.is_external())
                        .map(|target| (target.ty.name.text.clone(), target.field.name.text.clone())),
                );
            }
        }
    }
    for (ty, field) in named {
        schema.types[&ty].fields[&field].external = External::InName;
    }
}

/// Fields of keys are shared by nature.
fn mark_shareable_keys(schema: &mut Schema) {
    let mut shared = Vec::new();
    for ty in schema.types.values() {
        for key in &ty.keys {
            if let Ok(targets) = targets(schema, &ty.name.text, &key.fields.selections) {
                shared.extend(
                    targets
                        .iter()
                        .map(|target| (target.ty.name.text.clone(), target.field.name.text.clone())),
                );
            }
        }
    }
    for (ty, field) in shared {
        schema.types[&ty].fields[&field].is_shareable = true;
    }
}

fn check_key(
    schema: &Schema,
    ty: &Type,
    key: &FieldSet,
    report: &mut Report<'_>,
    used: &mut Vec<(String, String)>,
) {
    let what = format!("@key(fields: \"{}\") of {}", key.text, ty.name.text);
    let Some(targets) = checked(schema, &ty.name.text, key, &what, Code::KeyInvalidFields, report) else {
        return;
    };
    for target in &targets {
        let field = place(target);
        let of = schema.types.get(target.field.ty.name()).map(|of| of.kind);
        if target.has_arguments {
            let message = format!("{what} selects {field}, which takes arguments");
            report.error(
                Code::KeyFieldsHasArgs,
                key.pos,
                message,
                "a key is made of fields without arguments",
            );
        } else if target.directives > 0 {
            let message = format!("{what} has a directive on {field}");
            report.error(Code::KeyHasDirectiveInFieldsArg, key.pos, message, "take the directive out");
        } else if matches!(of, Some(Kind::Interface | Kind::Union)) {
            let message = format!("{what} selects {field} of type {}", target.field.ty);
            let help =
                "a key is made of scalars, enums and objects, or lists of them: no interfaces or unions";
            report.error(Code::KeyFieldsSelectInvalidType, key.pos, message, help);
        }
    }
    mark(schema, &targets, used);
}

fn check_requires(
    schema: &Schema,
    ty: &Type,
    field: &Field,
    requires: &FieldSet,
    report: &mut Report<'_>,
    used: &mut Vec<(String, String)>,
) {
    let what = format!("@requires(fields: \"{}\") of {}.{}", requires.text, ty.name.text, field.name.text);
    if ty.kind == Kind::Interface {
        let message = format!("{what} is on an interface's field");
        let help = "put it on the fields of the types that implement the interface";
        return report.error(Code::RequiresUnsupportedOnInterface, requires.pos, message, help);
    }
    let Some(targets) = checked(schema, &ty.name.text, requires, &what, Code::RequiresInvalidFields, report)
    else {
        return;
    };
    for target in targets.iter().filter(|target| target.directives > 0) {
        let message = format!("{what} has a directive on {}", place(target));
        report.error(Code::RequiresHasDirectiveInFieldsArg, requires.pos, message, "take the directive out");
    }
    if schema.links.minor.is_some() {
        for target in targets.iter().filter(|target| target.is_leaf && !is_external(schema, target)) {
            let message = format!("{what} selects {}, which this subgraph resolves itself", place(target));
            let help = format!(
                "mark {} @external if another subgraph resolves it; else take it out of the @requires",
                place(target)
            );
            report.error(Code::RequiresFieldsMissingExternal, requires.pos, message, &help);
        }
    }
    mark(schema, &targets, used);
}

fn check_provides(
    schema: &Schema,
    ty: &Type,
    field: &Field,
    provides: &FieldSet,
    report: &mut Report<'_>,
    used: &mut Vec<(String, String)>,
) {
    let what = format!("@provides(fields: \"{}\") of {}.{}", provides.text, ty.name.text, field.name.text);
    if ty.kind == Kind::Interface {
        let message = format!("{what} is on an interface's field");
        let help = "put it on the fields of the types that implement the interface";
        return report.error(Code::ProvidesUnsupportedOnInterface, provides.pos, message, help);
    }
    let of = field.ty.name();
    if !schema.types.get(of).is_some_and(|of| of.kind.is_composite()) {
        let message = format!("{what} is on a field of type {}, which has no fields to provide", field.ty);
        return report.error(Code::ProvidesOnNonObjectField, provides.pos, message, "take the @provides out");
    }
    let Some(targets) = checked(schema, of, provides, &what, Code::ProvidesInvalidFields, report) else {
        return;
    };
    for target in &targets {
        if target.has_arguments {
            let message = format!("{what} selects {}, which takes arguments", place(target));
            let help = "a field with arguments can't be provided";
            report.error(Code::ProvidesFieldsHasArgs, provides.pos, message, help);
        } else if target.directives > 0 {
            let message = format!("{what} has a directive on {}", place(target));
            report.error(
                Code::ProvidesHasDirectiveInFieldsArg,
                provides.pos,
                message,
                "take the directive out",
            );
        } else if target.is_leaf && !is_external(schema, target) && schema.links.minor.is_some() {
            let message = format!("{what} selects {}, which this subgraph resolves anyway", place(target));
            let help = format!(
                "mark {} @external if this subgraph resolves it here only; else take it out of the @provides",
                place(target)
            );
            report.error(Code::ProvidesFieldsMissingExternal, provides.pos, message, &help);
        }
    }
    mark(schema, &targets, used);
}

fn checked<'a>(
    schema: &'a Schema,
    type_name: &str,
    fields: &FieldSet,
    what: &str,
    code: Code,
    report: &mut Report<'_>,
) -> Option<Vec<Target<'a>>> {
    match targets(schema, type_name, &fields.selections) {
        Ok(targets) => Some(targets),
        Err(message) => {
            report.error(code, fields.pos, format!("{what} is wrong: {message}"), "");
            None
        }
    }
}

/// Whether a selected field is resolved by another subgraph, or the one around it is. An interface's field is where
/// some implementation's is.
fn is_external(schema: &Schema, target: &Target<'_>) -> bool {
    if target.is_under_external || target.field.external != External::No {
        return true;
    }
    target.ty.kind == Kind::Interface
        && schema.possible(&target.ty.name.text).iter().any(|name| {
            schema.types[*name]
                .fields
                .get(&target.field.name.text)
                .is_some_and(|field| field.external != External::No)
        })
}

fn mark(schema: &Schema, targets: &[Target<'_>], used: &mut Vec<(String, String)>) {
    for target in targets {
        let field = &target.field.name.text;
        used.push((target.ty.name.text.clone(), field.clone()));
        if target.ty.kind == Kind::Interface {
            let possible = schema.possible(&target.ty.name.text);
            used.extend(possible.into_iter().map(|name| (name.to_owned(), field.clone())));
        }
    }
}

fn place(target: &Target<'_>) -> String {
    format!("{}.{}", target.ty.name.text, target.field.name.text)
}

/// Where a field is external for nothing.
pub(super) fn unused_externals(schema: &Schema) -> Vec<(String, String, Pos)> {
    let fields = schema.types.values().flat_map(|ty| ty.fields.values().map(move |field| (ty, field)));
    fields
        .filter(|(_, field)| field.is_external() && !field.is_used)
        .map(|(ty, field)| (ty.name.text.clone(), field.name.text.clone(), field.name.pos))
        .collect()
}
