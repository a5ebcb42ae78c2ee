//! Errors for people: what is wrong, the lines it is about, what to do.

use std::fmt::Write as _;

use crate::{CompositionError, Hint, Location, Subgraph};

/// Renders errors as a compiler would: each with its code, the lines of the subgraphs that it is about, and help.
/// `subgraphs` are those that were composed; a line of a subgraph that is not among them is only named.
pub fn render_errors(errors: &[CompositionError], subgraphs: &[Subgraph]) -> String {
    let mut out = String::new();
    for error in errors {
        block(&mut out, "error", error.code.as_str(), &error.message, &error.locations, subgraphs);
        if let Some(help) = &error.help {
            let _ = writeln!(out, "  = help: {}", help.replace('\n', "\n          "));
        }
        out.push('\n');
    }
    let count = errors.len();
    let _ = writeln!(out, "{count} {}", if count == 1 { "error" } else { "errors" });
    out
}

/// Renders hints in the same form.
pub fn render_hints(hints: &[Hint], subgraphs: &[Subgraph]) -> String {
    let mut out = String::new();
    for hint in hints {
        block(&mut out, "hint", hint.code.as_str(), &hint.message, &hint.locations, subgraphs);
        out.push('\n');
    }
    out
}

fn block(
    out: &mut String,
    level: &str,
    code: &str,
    message: &str,
    locations: &[Location],
    subgraphs: &[Subgraph],
) {
    let _ = writeln!(out, "{level}[{code}]: {message}");
    let width = locations.iter().map(|at| at.line.to_string().len()).max().unwrap_or(1);
    for at in locations {
        let _ = writeln!(out, "{:width$}--> {}:{}:{}", "", at.subgraph, at.line, at.column);
        let line = subgraphs
            .iter()
            .find(|subgraph| subgraph.name == at.subgraph)
            .and_then(|subgraph| subgraph.sdl.lines().nth(at.line.saturating_sub(1)));
        let Some(line) = line else { continue };
        let before: String = line
            .chars()
            .take(at.column.saturating_sub(1))
            .map(|char| if char == '\t' { '\t' } else { ' ' })
            .collect();
        let marked = line.chars().skip(at.column.saturating_sub(1));
        let word =
            marked.take_while(|char| char.is_alphanumeric() || matches!(char, '_' | '@')).count().max(1);
        let _ = writeln!(out, "{:width$} |", "");
        let _ = writeln!(out, "{:width$} | {line}", at.line);
        let _ = writeln!(out, "{:width$} | {before}{}", "", "^".repeat(word));
    }
}
