//! Field sets: the selections in `@key`, `@requires` and `@provides`.

use std::fmt::Write as _;

use super::{Directive, Pos, SyntaxError, Value, lexer::Token, parser::Parser};

/// One part of a field set.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    Field {
        alias: Option<String>,
        name: String,
        arguments: Vec<(String, Value)>,
        directives: Vec<Directive>,
        selections: Vec<Selection>,
    },
    /// `... on Type { … }`, or `... { … }`.
    Fragment { on: Option<String>, directives: Vec<Directive>, selections: Vec<Selection> },
}

/// Reads a field set. Braces around it are allowed, as some generators write them.
pub(crate) fn parse_selection(text: &str) -> Result<Vec<Selection>, SyntaxError> {
    let mut parser = Parser::new(text)?;
    let selections = if parser.is("{") {
        braced(&mut parser)?
    } else {
        let mut selections = Vec::new();
        while *parser.peek() != Token::End {
            selections.push(selection(&mut parser)?);
        }
        selections
    };
    if *parser.peek() != Token::End {
        return Err(parser.unexpected("the end of the field set"));
    }
    if selections.is_empty() {
        return Err(SyntaxError {
            message: "it selects nothing".to_owned(),
            pos: Pos { line: 1, column: 1 },
        });
    }
    Ok(selections)
}

fn braced(parser: &mut Parser) -> Result<Vec<Selection>, SyntaxError> {
    parser.expect("{")?;
    parser.nested(|parser| {
        let mut selections = vec![selection(parser)?];
        while !parser.take("}") {
            selections.push(selection(parser)?);
        }
        Ok(selections)
    })
}

fn selection(parser: &mut Parser) -> Result<Selection, SyntaxError> {
    if parser.take("...") {
        let on = match parser.peek() {
            Token::Name(word) if word == "on" => {
                parser.name("`on`")?;
                Some(parser.name("a type")?.text)
            }
            Token::Name(_) => {
                return Err(parser.unexpected("`on` and a type (a field set has no named fragments)"));
            }
            _ => None,
        };
        let directives = parser.directives()?;
        return Ok(Selection::Fragment { on, directives, selections: braced(parser)? });
    }
    let first = parser.name("a field")?.text;
    let (alias, name) =
        if parser.take(":") { (Some(first), parser.name("a field")?.text) } else { (None, first) };
    let arguments = parser.arguments()?.into_iter().map(|(name, value)| (name.text, value)).collect();
    let directives = parser.directives()?;
    let selections = if parser.is("{") { braced(parser)? } else { Vec::new() };
    Ok(Selection::Field { alias, name, arguments, directives, selections })
}

/// The field set in its shortest form, one space between parts.
pub(crate) fn printed(selections: &[Selection]) -> String {
    let mut out = String::new();
    print(&mut out, selections);
    out
}

fn print(out: &mut String, selections: &[Selection]) {
    for (index, selection) in selections.iter().enumerate() {
        if index > 0 {
            out.push(' ');
        }
        let inner = match selection {
            Selection::Field { alias, name, arguments, selections, .. } => {
                if let Some(alias) = alias {
                    out.push_str(alias);
                    out.push_str(": ");
                }
                out.push_str(name);
                for (index, (name, value)) in arguments.iter().enumerate() {
                    out.push_str(if index == 0 { "(" } else { ", " });
                    let _ = write!(out, "{name}: {value}");
                }
                if !arguments.is_empty() {
                    out.push(')');
                }
                selections
            }
            Selection::Fragment { on, selections, .. } => {
                out.push_str("...");
                if let Some(on) = on {
                    out.push_str(" on ");
                    out.push_str(on);
                }
                selections
            }
        };
        if !inner.is_empty() {
            out.push_str(" { ");
            print(out, inner);
            out.push_str(" }");
        }
    }
}
