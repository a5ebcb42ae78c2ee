//! Refuses documents that cost too much, before anything recursive sees them.

use std::collections::HashMap;

use graphql_tools::parser::query::{Document, FragmentDefinition, Selection, SelectionSet};

use crate::config::Limits;
use crate::error::{GraphQlError, codes};

/// Counts tokens and nesting in the text, with no recursion.
pub(crate) fn check_text(text: &str, limits: &Limits) -> Result<(), GraphQlError> {
    let bytes = text.as_bytes();
    let (mut at, mut tokens, mut directives) = (0, 0_usize, 0_usize);
    let (mut braces, mut others) = (0_usize, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => continue,
            b'#' => {
                while bytes.get(at).is_some_and(|byte| !matches!(byte, b'\n' | b'\r')) {
                    at += 1;
                }
                continue;
            }
            b'"' => at = end_of_string(bytes, at - 1),
            // Braces within parentheses are input objects, which nest on their own.
            b'{' if others == 0 => {
                braces += 1;
                if braces > limits.depth {
                    return Err(too_deep(limits));
                }
            }
            b'}' if others == 0 => braces = braces.saturating_sub(1),
            b'(' | b'[' | b'{' => {
                others += 1;
                if others > limits.depth {
                    return Err(too_deep(limits));
                }
            }
            b')' | b']' | b'}' => others = others.saturating_sub(1),
            b'@' => directives += 1,
            byte if is_word(*byte) => {
                while bytes.get(at).is_some_and(|byte| is_word(*byte)) {
                    at += 1;
                }
            }
            _ => {}
        }
        tokens += 1;
        if tokens > limits.tokens {
            return Err(over(codes::TOKEN_LIMIT, "tokens", limits.tokens));
        }
        if directives > limits.directives {
            return Err(over(codes::DIRECTIVE_LIMIT, "directives", limits.directives));
        }
    }
    Ok(())
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'+') || byte >= 0x80
}

/// The end of the string that starts at `start`: plain or block.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    if bytes[start..].starts_with(b"\"\"\"") {
        let mut at = start + 3;
        while at < bytes.len() {
            if bytes[at..].starts_with(b"\\\"\"\"") {
                at += 4;
            } else if bytes[at..].starts_with(b"\"\"\"") {
                return at + 3;
            } else {
                at += 1;
            }
        }
        return at;
    }
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\n' | b'\r' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// What a selection set comes to with its fragments expanded.
#[derive(Debug, Clone, Copy, Default)]
struct Size {
    depth: usize,
    /// Like `depth`, with fragments counted as levels.
    nesting: usize,
    fields: usize,
    aliases: usize,
    /// Fields that stand in the set itself.
    direct: usize,
}

/// Counts what the document comes to with its fragments expanded, each fragment counted once.
pub(crate) fn check_document(
    document: &Document<'static, String>,
    operation: &SelectionSet<'static, String>,
    limits: &Limits,
) -> Result<(), GraphQlError> {
    let fragments = fragments(document);
    let mut sizes = HashMap::new();
    // Fragments that no operation uses are walked by validation too, so a cycle among them is refused as well.
    for fragment in fragments.values() {
        fragment_size(fragment, &fragments, &mut sizes)?;
    }
    let size = set_size(operation, &fragments, &mut sizes)?;
    let checks = [
        (size.depth, limits.depth, codes::DEPTH_LIMIT, "levels of fields"),
        // A chain of fragments has no depth of its own, but whoever walks down it recurses.
        (size.nesting, limits.depth.saturating_mul(4), codes::DEPTH_LIMIT, "levels of fields and fragments"),
        (size.fields, limits.fields, codes::FIELD_LIMIT, "fields"),
        (size.aliases, limits.aliases, codes::ALIAS_LIMIT, "aliases"),
        (size.direct, limits.root_fields, codes::ROOT_FIELD_LIMIT, "root fields"),
    ];
    for (found, limit, code, what) in checks {
        if found > limit {
            return Err(over(code, what, limit).with("found", found));
        }
    }
    Ok(())
}

/// The document's fragments by name.
pub(crate) fn fragments<'a>(
    document: &'a Document<'static, String>,
) -> HashMap<&'a str, &'a FragmentDefinition<'static, String>> {
    document
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            graphql_tools::parser::query::Definition::Fragment(fragment) => {
                Some((fragment.name.as_str(), fragment))
            }
            graphql_tools::parser::query::Definition::Operation(_) => None,
        })
        .collect()
}

type Fragments<'a> = HashMap<&'a str, &'a FragmentDefinition<'static, String>>;

/// `None` stands for a fragment that is being counted: meeting it again is a cycle.
type Sizes<'a> = HashMap<&'a str, Option<Size>>;

fn fragment_size<'a>(
    fragment: &'a FragmentDefinition<'static, String>,
    fragments: &Fragments<'a>,
    sizes: &mut Sizes<'a>,
) -> Result<Size, GraphQlError> {
    match sizes.get(fragment.name.as_str()) {
        Some(Some(size)) => return Ok(*size),
        Some(None) => {
            return Err(GraphQlError::new(
                codes::VALIDATION_FAILED,
                format!("fragment {} spreads itself", fragment.name),
            )
            .at(fragment.position.line, fragment.position.column));
        }
        None => {}
    }
    sizes.insert(&fragment.name, None);
    let size = set_size(&fragment.selection_set, fragments, sizes)?;
    sizes.insert(&fragment.name, Some(size));
    Ok(size)
}

/// Recursive, but only as deep as the text nests times the chain of fragments, which has no cycle; the number
/// of tokens bounds both.
fn set_size<'a>(
    set: &'a SelectionSet<'static, String>,
    fragments: &Fragments<'a>,
    sizes: &mut Sizes<'a>,
) -> Result<Size, GraphQlError> {
    let mut total = Size::default();
    for selection in &set.items {
        let size = match selection {
            Selection::Field(field) => {
                let inner = set_size(&field.selection_set, fragments, sizes)?;
                Size {
                    depth: inner.depth.saturating_add(1),
                    nesting: inner.nesting.saturating_add(1),
                    fields: inner.fields.saturating_add(1),
                    aliases: inner.aliases.saturating_add(usize::from(field.alias.is_some())),
                    direct: 1,
                }
            }
            Selection::InlineFragment(fragment) => {
                let inner = set_size(&fragment.selection_set, fragments, sizes)?;
                Size { nesting: inner.nesting.saturating_add(1), ..inner }
            }
            Selection::FragmentSpread(spread) => match fragments.get(spread.fragment_name.as_str()) {
                Some(fragment) => {
                    let inner = fragment_size(fragment, fragments, sizes)?;
                    Size { nesting: inner.nesting.saturating_add(1), ..inner }
                }
                None => Size::default(),
            },
        };
        total = Size {
            depth: total.depth.max(size.depth),
            nesting: total.nesting.max(size.nesting),
            fields: total.fields.saturating_add(size.fields),
            aliases: total.aliases.saturating_add(size.aliases),
            direct: total.direct.saturating_add(size.direct),
        };
    }
    Ok(total)
}

fn too_deep(limits: &Limits) -> GraphQlError {
    over(codes::DEPTH_LIMIT, "levels", limits.depth)
}

fn over(code: &str, what: &str, limit: usize) -> GraphQlError {
    GraphQlError::new(
        code,
        format!("the document has more than {limit} {what}: ask for less, or in several requests"),
    )
    .with("limit", limit)
}

#[cfg(test)]
mod tests {
    use graphql_tools::parser::{
        parse_query,
        query::{Definition, OperationDefinition},
    };

    use super::*;

    fn text_code(text: &str, limits: Limits) -> Option<String> {
        check_text(text, &limits).err().map(|error| error.code().to_owned())
    }

    fn document_code(text: &str, limits: Limits) -> Option<String> {
        let document = parse_query::<String>(text).unwrap().into_static();
        let set = document
            .definitions
            .iter()
            .find_map(|definition| match definition {
                Definition::Operation(OperationDefinition::SelectionSet(set)) => Some(set),
                _ => None,
            })
            .unwrap();
        check_document(&document, set, &limits).err().map(|error| error.code().to_owned())
    }

    #[test]
    fn nesting_is_counted_before_parsing() {
        let deep = format!("{}a{}", "{a".repeat(200), "}".repeat(200));
        assert_eq!(text_code(&deep, Limits::default()).as_deref(), Some(codes::DEPTH_LIMIT));
        let values = format!("{{a(b:{}1{})}}", "[".repeat(200_000), "]".repeat(200_000));
        assert_eq!(
            text_code(&values, Limits { tokens: usize::MAX, ..Limits::default() }).as_deref(),
            Some(codes::DEPTH_LIMIT)
        );
        assert_eq!(text_code("{a{b{c}}}", Limits { depth: 3, ..Limits::default() }), None);
    }

    #[test]
    fn tokens_in_strings_and_comments_do_not_count() {
        let limits = Limits { tokens: 8, ..Limits::default() };
        assert_eq!(text_code("{a(b:\"{{{{ \\\" {{{{\")} # {{{{{{{{", limits), None);
        assert_eq!(text_code("{a(b:\"\"\"{{ \\\"\"\" {{\"\"\")}", limits), None);
        assert_eq!(text_code("{a b c d e f g h}", limits).as_deref(), Some(codes::TOKEN_LIMIT));
        assert_eq!(
            text_code("{a @x @x @x}", Limits { directives: 2, ..Limits::default() }).as_deref(),
            Some(codes::DIRECTIVE_LIMIT)
        );
    }

    #[test]
    fn fragments_are_expanded_once_each() {
        let mut bomb = "{...F0}".to_owned();
        for level in 0..40 {
            use std::fmt::Write as _;
            write!(bomb, " fragment F{level} on Q {{ ...F{0} ...F{0} }}", level + 1).unwrap();
        }
        bomb.push_str(" fragment F40 on Q { a }");
        assert_eq!(document_code(&bomb, Limits::default()).as_deref(), Some(codes::FIELD_LIMIT));
        let deep = "{a{...F}} fragment F on Q {b{c{d}}}";
        assert_eq!(
            document_code(deep, Limits { depth: 3, ..Limits::default() }).as_deref(),
            Some(codes::DEPTH_LIMIT)
        );
        assert_eq!(document_code(deep, Limits { depth: 4, ..Limits::default() }), None);
        let aliases = Limits { aliases: 1, ..Limits::default() };
        assert_eq!(document_code("{x:a y:a}", aliases).as_deref(), Some(codes::ALIAS_LIMIT));
        let roots = Limits { root_fields: 1, ..Limits::default() };
        assert_eq!(document_code("{a ...on Q{b}}", roots).as_deref(), Some(codes::ROOT_FIELD_LIMIT));
    }

    #[test]
    fn a_chain_of_fragments_counts_as_nesting() {
        use std::fmt::Write as _;
        let mut chain = "{...F0}".to_owned();
        for link in 0..500 {
            write!(chain, " fragment F{link} on Q {{ ...F{} }}", link + 1).unwrap();
        }
        chain.push_str(" fragment F500 on Q { a }");
        assert_eq!(document_code(&chain, Limits::default()).as_deref(), Some(codes::DEPTH_LIMIT));
    }

    #[test]
    fn a_cycle_of_fragments_is_named() {
        let cycle = "{...A} fragment A on Q {a{...B}} fragment B on Q {...A}";
        assert_eq!(document_code(cycle, Limits::default()).as_deref(), Some(codes::VALIDATION_FAILED));
    }
}
