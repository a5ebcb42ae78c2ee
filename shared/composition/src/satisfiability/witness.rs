//! The query that can't be answered, and what was tried.

use std::fmt::Write as _;

use super::{
    Visit, operation,
    positions::{Graph, Position},
};
use crate::error::{Code, CompositionError, Location};
use crate::report::{listed, location};
use crate::syntax::{Field, Input};

/// Says that a field can't be reached from a visit.
pub(super) fn error<'a>(
    graph: &Graph<'a>,
    visits: &[Visit<'a>],
    at: usize,
    field: &Field,
) -> CompositionError {
    let visit = &visits[at];
    let (ty, name) = (visit.ty, field.name.text.as_str());
    let mut message =
        format!("{ty}.{name} can't be reached by this {}:\n", operation(visits[root(visits, at)].ty));
    message.push_str(&query(graph, visits, at, field));
    let here = graph.names(&visit.positions);
    let _ = write!(message, "\nit gets to {ty} in {}, where {name} is not resolved", listed(&here));
    let mut locations: Vec<Location> = Vec::new();
    let mut owners: Vec<&str> = Vec::new();
    for (index, schema) in graph.schemas.iter().enumerate() {
        let interfaces = graph.merged.types[ty].interfaces.iter().map(|interface| interface.text.as_str());
        for of in std::iter::once(ty).chain(interfaces) {
            let Some(own) = schema.types.get(of) else { continue };
            // An interface resolves nothing itself, but for one that is an object here.
            if of != ty && !own.is_interface_object {
                continue;
            }
            let position = Position::entered(index, &own.name.text);
            let Some((resolved, _)) = graph.resolved_at(ty, name, &position) else { continue };
            owners.push(&schema.name);
            locations.push(location(&schema.name, resolved.name.pos));
            let _ = write!(message, "\n- {}: {}", schema.name, reason(graph, visit, index, of, resolved));
        }
    }
    if owners.is_empty() {
        message.push_str("\n- no subgraph resolves it on every path: it is @external, or only provided");
        for schema in graph.schemas {
            if let Some(own) = schema.types.get(ty).and_then(|ty| ty.fields.get(name)) {
                locations.push(location(&schema.name, own.name.pos));
            }
        }
    }
    for schema in graph.schemas.iter().filter(|schema| here.contains(&schema.name.as_str())) {
        if let Some(own) = schema.types.get(ty) {
            locations.push(location(&schema.name, own.name.pos));
        }
    }
    let help = if owners.is_empty() {
        format!("resolve {name} in one of the subgraphs that have {ty}, or hide it with @inaccessible")
    } else if owners.iter().all(|owner| here.contains(owner)) {
        format!("make what {name} requires reachable first, by a @key where it is resolved")
    } else {
        format!(
            "give {ty} a @key in {} with fields that can be had from {}, or resolve {name} in {} too and mark it @shareable",
            listed(&owners),
            listed(&here),
            listed(&here)
        )
    };
    CompositionError { code: Code::Satisfiability, message, locations, help: Some(help) }
}

/// Why a subgraph that has the field can't be asked for it.
fn reason<'a>(
    graph: &Graph<'a>,
    visit: &Visit<'a>,
    index: usize,
    of: &str,
    field: &'a crate::subgraph::Field,
) -> String {
    let ty = visit.ty;
    let schema = &graph.schemas[index];
    let own = &schema.types[of];
    let is_there = visit.positions.iter().any(|position| position.graph == index && position.ty == of);
    let entries: Vec<_> =
        graph.entries(ty).iter().filter(|entry| entry.graph == index && entry.ty == of).collect();
    if entries.is_empty() {
        return match own.keys.first() {
            None if is_there => format!(
                "the field needs @requires(fields: \"{}\"), but {of} has no @key there to come back by",
                field.requires.as_ref().map_or("", |requires| &requires.text)
            ),
            None => format!("resolves it, but nothing leads there: {of} has no @key in it"),
            Some(key) => format!(
                "resolves it, but nothing leads there: @key(fields: \"{}\") of {of} is not resolvable",
                key.fields.text
            ),
        };
    }
    let mut tried: Vec<String> = Vec::new();
    let mut needs_type = false;
    let mut enters = false;
    for entry in entries {
        if graph.may_enter(ty, entry, &visit.positions) {
            enters = true;
        } else if let Some(missing) = graph.first_missing(&entry.key.selections, ty, &visit.positions) {
            tried.push(format!("@key(fields: \"{}\") needs {missing}", entry.key.text));
        } else {
            needs_type = true;
        }
    }
    if enters || is_there {
        let requires = field.requires.as_ref();
        let missing = requires
            .and_then(|requires| graph.first_missing(&requires.selections, ty, &visit.positions))
            .unwrap_or_default();
        return format!(
            "the field needs @requires(fields: \"{}\"), and {missing} can't be had",
            requires.map_or("", |requires| &requires.text)
        );
    }
    if needs_type {
        return format!(
            "resolves it, but is entered by the object's own type, which an @interfaceObject can't tell, and no interface of {ty} has a @key that would"
        );
    }
    format!("resolves it, but can't be entered: {}, which can't be had", listed(&tried))
}

fn root(visits: &[Visit<'_>], mut at: usize) -> usize {
    while let Some((before, _)) = visits[at].from {
        at = before;
    }
    at
}

/// The query, one field a line.
fn query(graph: &Graph<'_>, visits: &[Visit<'_>], at: usize, field: &Field) -> String {
    let mut lines: Vec<String> = vec![format!("{}{}", field.name.text, arguments(&field.arguments))];
    if graph.is_composite(field.ty.name()) {
        lines[0].push_str(" { __typename }");
    }
    let mut current = at;
    while let Some((before, name)) = visits[current].from {
        if visits[current].narrowed_from.is_some() {
            lines.push(format!("... on {}", visits[current].ty));
        }
        let of = graph.merged.types[visits[before].ty].fields.iter().find(|known| known.name.text == name);
        lines.push(format!("{name}{}", of.map_or_else(String::new, |of| arguments(&of.arguments))));
        current = before;
    }
    lines.push(match operation(visits[current].ty) {
        "query" => String::new(),
        word => word.to_owned(),
    });
    lines.reverse();
    let mut out = String::new();
    let last = lines.len() - 1;
    for (depth, line) in lines.iter().enumerate() {
        let indent = "  ".repeat(depth + 1);
        let open = if depth == last {
            ""
        } else if line.is_empty() {
            "{"
        } else {
            " {"
        };
        let _ = writeln!(out, "{indent}{line}{open}");
    }
    for depth in (0..last).rev() {
        let _ = writeln!(out, "{}}}", "  ".repeat(depth + 1));
    }
    out.pop();
    out
}

/// The arguments that can't be left out.
fn arguments(all: &[Input]) -> String {
    let needed: Vec<String> = all
        .iter()
        .filter(|argument| argument.is_required())
        .map(|argument| format!("{}: …", argument.name.text))
        .collect();
    if needed.is_empty() { String::new() } else { format!("({})", needed.join(", ")) }
}
