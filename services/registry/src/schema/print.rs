//! A schema out again, in the order of its names.

use super::{About, Field, Input, Kind, Root, Schema, Type, api::SCALARS, text};
use std::collections::BTreeMap;
use std::fmt::Write as _;

impl Schema {
    /// The SDL of what clients see, with descriptions and deprecations.
    pub fn sdl(&self) -> String {
        let mut sdl = String::new();
        let named = |root: &Root| self.root(*root).is_some_and(|name| name != root.default_name());
        if Root::ALL.iter().any(named) {
            sdl.push_str("schema {\n");
            for (root, name) in &self.roots {
                let _ = writeln!(sdl, "  {}: {name}", root.word());
            }
            sdl.push_str("}\n\n");
        }
        for (name, directive) in &self.directives {
            let repeatable = if directive.repeatable { " repeatable" } else { "" };
            let locations: Vec<&str> = directive.locations.iter().copied().collect();
            let _ = writeln!(
                sdl,
                "directive @{name}{}{repeatable} on {}\n",
                arguments(&directive.arguments, ""),
                locations.join(" | ")
            );
        }
        for (name, ty) in self.types.iter().filter(|(name, _)| !SCALARS.contains(&name.as_str())) {
            print(&mut sdl, name, ty);
        }
        sdl.truncate(sdl.trim_end().len());
        sdl.push('\n');
        sdl
    }
}

fn print(sdl: &mut String, name: &str, ty: &Type) {
    describe(sdl, &ty.about, "");
    let keyword = match ty.kind {
        Kind::Scalar => "scalar",
        Kind::Object => "type",
        Kind::Interface => "interface",
        Kind::Union => "union",
        Kind::Enum => "enum",
        Kind::Input => "input",
    };
    let _ = write!(sdl, "{keyword} {name}");
    if !ty.interfaces.is_empty() {
        let interfaces: Vec<&str> = ty.interfaces.iter().map(String::as_str).collect();
        let _ = write!(sdl, " implements {}", interfaces.join(" & "));
    }
    if let Some(url) = ty.about.directives("specifiedBy").find_map(|it| text(it, "url")) {
        let _ = write!(sdl, " @specifiedBy(url: {})", quoted(url));
    }
    if ty.about.has("oneOf") {
        sdl.push_str(" @oneOf");
    }
    match ty.kind {
        Kind::Scalar => {}
        Kind::Union => {
            let members: Vec<&str> = ty.members.iter().map(String::as_str).collect();
            let _ = write!(sdl, " = {}", members.join(" | "));
        }
        _ => {
            sdl.push_str(" {\n");
            for (name, field) in &ty.fields {
                print_field(sdl, name, field);
            }
            for (name, input) in &ty.inputs {
                describe(sdl, &input.about, "  ");
                let _ = writeln!(sdl, "  {}", print_input(name, input));
            }
            for (name, about) in &ty.values {
                describe(sdl, about, "  ");
                let _ = writeln!(sdl, "  {name}{}", deprecated(about));
            }
            sdl.push('}');
        }
    }
    sdl.push_str("\n\n");
}

fn print_field(sdl: &mut String, name: &str, field: &Field) {
    describe(sdl, &field.about, "  ");
    let arguments = arguments(&field.arguments, "  ");
    let _ = writeln!(sdl, "  {name}{arguments}: {}{}", field.ty, deprecated(&field.about));
}

fn arguments(arguments: &BTreeMap<String, Input>, indent: &str) -> String {
    if arguments.is_empty() {
        return String::new();
    }
    if arguments.values().all(|it| it.about.description.is_none()) {
        let printed: Vec<String> = arguments.iter().map(|(name, it)| print_input(name, it)).collect();
        return format!("({})", printed.join(", "));
    }
    let mut text = String::from("(\n");
    let inner = format!("{indent}  ");
    for (name, it) in arguments {
        describe(&mut text, &it.about, &inner);
        let _ = writeln!(text, "{inner}{}", print_input(name, it));
    }
    text + indent + ")"
}

fn print_input(name: &str, input: &Input) -> String {
    let default = input.default.as_ref().map(|value| format!(" = {value}")).unwrap_or_default();
    format!("{name}: {}{default}{}", input.ty, deprecated(&input.about))
}

fn deprecated(about: &About) -> String {
    match about.deprecation() {
        None => String::new(),
        Some("") => " @deprecated".to_owned(),
        Some(reason) => format!(" @deprecated(reason: {})", quoted(reason)),
    }
}

fn describe(sdl: &mut String, about: &About, indent: &str) {
    let Some(text) = about.description.as_deref().map(str::trim).filter(|text| !text.is_empty()) else {
        return;
    };
    if !text.contains('\n') {
        let _ = writeln!(sdl, "{indent}{}", quoted(text));
        return;
    }
    let _ = writeln!(sdl, "{indent}\"\"\"");
    for line in text.replace("\"\"\"", "\\\"\"\"").lines() {
        let _ = writeln!(sdl, "{}", format!("{indent}{line}").trim_end());
    }
    let _ = writeln!(sdl, "{indent}\"\"\"");
}

/// A text as GraphQL quotes it: as JSON does.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_as_the_same() {
        let sdl = r#"
            schema { query: Q mutation: Mutation }
            directive @live(of: Int = 1) repeatable on FIELD | QUERY
            "A \"quoted\" word."
            type Q implements I & J { a(x: [Int!]! = [1, 2], "Described." y: In = {e: ONE, s: "a\nb"}): ID! @deprecated(reason: "Use \"b\".") b: U }
            type Mutation { m: Int @deprecated }
            interface I { a: ID! } interface J { b: U }
            """
            Several
              lines.
            """
            union U = Q | Mutation
            enum E { "First." ONE TWO @deprecated(reason: "no") }
            input In @oneOf { e: E = TWO s: String }
            scalar Date @specifiedBy(url: "https://example.org/date")"#;
        let schema = Schema::parse(sdl).unwrap();
        let printed = schema.sdl();
        let again = Schema::parse(&printed).unwrap();
        assert_eq!(crate::changes::changes(&schema, &again), [], "{printed}");
        assert_eq!(again.sdl(), printed);
    }
}
