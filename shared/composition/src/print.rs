//! Definitions as SDL.

use crate::syntax::{Directive, DirectiveDefinition, EnumValue, Field, Input, Kind, TypeDefinition, quoted};

pub(crate) fn type_definition(out: &mut String, ty: &TypeDefinition) {
    description(out, ty.description.as_deref(), "");
    out.push_str(ty.kind.keyword());
    out.push(' ');
    out.push_str(&ty.name.text);
    if !ty.interfaces.is_empty() {
        let names: Vec<&str> = ty.interfaces.iter().map(|name| name.text.as_str()).collect();
        out.push_str(" implements ");
        out.push_str(&names.join(" & "));
    }
    let has_body = !matches!(ty.kind, Kind::Scalar | Kind::Union);
    match ty.directives.as_slice() {
        [] => out.push_str(if has_body { " " } else { "" }),
        all => {
            for one in all {
                out.push_str("\n  ");
                directive(out, one);
            }
            out.push_str(if has_body { "\n" } else { "" });
        }
    }
    match ty.kind {
        Kind::Scalar => {}
        Kind::Union => {
            let names: Vec<&str> = ty.members.iter().map(|name| name.text.as_str()).collect();
            out.push_str(if ty.directives.is_empty() { " = " } else { "\n  = " });
            out.push_str(&names.join(" | "));
        }
        Kind::Object | Kind::Interface => {
            out.push_str("{\n");
            for one in &ty.fields {
                field(out, one);
            }
            out.push('}');
        }
        Kind::Enum => {
            out.push_str("{\n");
            for one in &ty.values {
                enum_value(out, one);
            }
            out.push('}');
        }
        Kind::Input => {
            out.push_str("{\n");
            for one in &ty.inputs {
                description(out, one.description.as_deref(), "  ");
                out.push_str("  ");
                input(out, one);
                out.push('\n');
            }
            out.push('}');
        }
    }
    out.push_str("\n\n");
}

pub(crate) fn directive_definition(out: &mut String, definition: &DirectiveDefinition) {
    description(out, definition.description.as_deref(), "");
    out.push_str("directive @");
    out.push_str(&definition.name.text);
    arguments(out, &definition.arguments, "");
    if definition.is_repeatable {
        out.push_str(" repeatable");
    }
    let locations: Vec<&str> = definition.locations.iter().map(|location| location.text.as_str()).collect();
    out.push_str(" on ");
    out.push_str(&locations.join(" | "));
    out.push_str("\n\n");
}

fn field(out: &mut String, field: &Field) {
    description(out, field.description.as_deref(), "  ");
    out.push_str("  ");
    out.push_str(&field.name.text);
    arguments(out, &field.arguments, "  ");
    out.push_str(": ");
    out.push_str(&field.ty.to_string());
    directives(out, &field.directives);
    out.push('\n');
}

fn enum_value(out: &mut String, value: &EnumValue) {
    description(out, value.description.as_deref(), "  ");
    out.push_str("  ");
    out.push_str(&value.name.text);
    directives(out, &value.directives);
    out.push('\n');
}

fn arguments(out: &mut String, all: &[Input], indent: &str) {
    if all.is_empty() {
        return;
    }
    out.push('(');
    if all.iter().any(|argument| argument.description.is_some()) {
        let deeper = format!("{indent}  ");
        for argument in all {
            out.push('\n');
            description(out, argument.description.as_deref(), &deeper);
            out.push_str(&deeper);
            input(out, argument);
        }
        out.push('\n');
        out.push_str(indent);
    } else {
        for (index, argument) in all.iter().enumerate() {
            out.push_str(if index > 0 { ", " } else { "" });
            input(out, argument);
        }
    }
    out.push(')');
}

fn input(out: &mut String, input: &Input) {
    out.push_str(&input.name.text);
    out.push_str(": ");
    out.push_str(&input.ty.to_string());
    if let Some(default) = &input.default {
        out.push_str(" = ");
        out.push_str(&default.to_string());
    }
    directives(out, &input.directives);
}

fn directives(out: &mut String, all: &[Directive]) {
    for one in all {
        out.push(' ');
        directive(out, one);
    }
}

pub(crate) fn directive(out: &mut String, directive: &Directive) {
    out.push('@');
    out.push_str(&directive.name);
    for (index, (name, value)) in directive.arguments.iter().enumerate() {
        out.push_str(if index == 0 { "(" } else { ", " });
        out.push_str(&name.text);
        out.push_str(": ");
        out.push_str(&value.to_string());
    }
    if !directive.arguments.is_empty() {
        out.push(')');
    }
}

/// A block string where the text can be one, else a string of one line.
fn description(out: &mut String, text: Option<&str>, indent: &str) {
    let Some(text) = text else { return };
    out.push_str(indent);
    let fits_a_block = !text.is_empty()
        && !text.contains("\"\"\"")
        && !text.ends_with(['"', '\\'])
        && text.chars().all(|char| char == '\n' || !char.is_control())
        && !text.starts_with([' ', '\t', '\n'])
        && !text.ends_with([' ', '\t', '\n'])
        && text.lines().all(|line| line.is_empty() || !line.trim().is_empty());
    if fits_a_block && text.contains('\n') {
        out.push_str("\"\"\"\n");
        for line in text.split('\n') {
            if !line.is_empty() {
                out.push_str(indent);
                out.push_str(line);
            }
            out.push('\n');
        }
        out.push_str(indent);
        out.push_str("\"\"\"\n");
    } else if fits_a_block {
        out.push_str("\"\"\"");
        out.push_str(text);
        out.push_str("\"\"\"\n");
    } else {
        out.push_str(&quoted(text));
        out.push('\n');
    }
}
