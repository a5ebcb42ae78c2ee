//! Directives that a supergraph keeps: GraphQL's own, those of federation that a gateway reads, those for queries, and
//! those that `@composeDirective` names.

use std::collections::BTreeMap;

use indexmap::IndexMap;

use super::{Merger, joined, plain};
use crate::error::{Code, HintCode};
use crate::report::{Findings, location};
use crate::subgraph::{FEDERATION, Linked, Schema};
use crate::syntax::{Directive, DirectiveDefinition, Name, Value};

/// Federation's directives that are kept, with the URL of the specification that defines them in a supergraph, and
/// what it is for.
pub(crate) const KEPT: &[(&str, &str, Option<&str>)] = &[
    ("tag", "https://specs.apollo.dev/tag/v0.3", None),
    ("inaccessible", "https://specs.apollo.dev/inaccessible/v0.2", Some("SECURITY")),
    ("authenticated", "https://specs.apollo.dev/authenticated/v0.1", Some("SECURITY")),
    ("requiresScopes", "https://specs.apollo.dev/requiresScopes/v0.1", Some("SECURITY")),
    ("policy", "https://specs.apollo.dev/policy/v0.1", Some("SECURITY")),
    ("cost", "https://specs.apollo.dev/cost/v0.1", None),
    ("listSize", "https://specs.apollo.dev/cost/v0.1", None),
];

/// Where a directive for queries can stand.
const EXECUTABLE: &[&str] = &[
    "QUERY",
    "MUTATION",
    "SUBSCRIPTION",
    "FIELD",
    "FRAGMENT_DEFINITION",
    "FRAGMENT_SPREAD",
    "INLINE_FRAGMENT",
    "VARIABLE_DEFINITION",
];

impl Merger<'_> {
    /// The directives that a supergraph keeps of one place in several subgraphs.
    pub(super) fn applied(&mut self, place: &str, sources: &[(&Schema, &[Directive])]) -> Vec<Directive> {
        let mut by_name: BTreeMap<String, Vec<(&Schema, &Directive)>> = BTreeMap::new();
        for (schema, directives) in sources {
            for directive in *directives {
                let name = directive.name.strip_prefix(FEDERATION).unwrap_or(&directive.name);
                let is_kept = if directive.name.starts_with(FEDERATION) {
                    KEPT.iter().any(|(kept, ..)| *kept == name)
                } else {
                    matches!(name, "deprecated" | "specifiedBy" | "oneOf") || self.composed.contains(name)
                };
                if is_kept {
                    by_name.entry(name.to_owned()).or_default().push((schema, directive));
                }
            }
        }
        let mut merged = Vec::new();
        for (name, uses) in by_name {
            let directives: Vec<&Directive> = uses.iter().map(|(_, directive)| *directive).collect();
            match name.as_str() {
                "inaccessible" | "authenticated" | "oneOf" => merged.push(joined(&name, Vec::new())),
                "requiresScopes" => merged.push(conjunction(&name, "scopes", &directives)),
                "policy" => merged.push(conjunction(&name, "policies", &directives)),
                "cost" => merged.push(costliest(&directives)),
                "listSize" => merged.push(list_size(&directives)),
                "deprecated" | "specifiedBy" => {
                    if directives.iter().any(|directive| !same(directive, directives[0])) {
                        self.findings.hint(
                            HintCode::InconsistentNonRepeatableDirectiveArguments,
                            uses.iter()
                                .map(|(schema, directive)| location(&schema.name, directive.pos))
                                .collect(),
                            format!("@{name} of {place} differs; the supergraph has the first"),
                        );
                    }
                    merged.push(copy(&name, directives[0]));
                }
                // Tags and composed directives: each one once.
                _ => {
                    let mut kept: Vec<&Directive> = Vec::new();
                    for directive in directives {
                        if !kept.iter().any(|known| same(known, directive)) {
                            kept.push(directive);
                        }
                    }
                    if kept.len() > 1 && !self.is_repeatable(&name) {
                        self.findings.hint(
                            HintCode::InconsistentNonRepeatableDirectiveArguments,
                            uses.iter()
                                .map(|(schema, directive)| location(&schema.name, directive.pos))
                                .collect(),
                            format!("@{name} of {place} differs; the supergraph has the first"),
                        );
                        kept.truncate(1);
                    }
                    kept.sort_by_key(|directive| directive.text("name").map(str::to_owned));
                    merged.extend(kept.into_iter().map(|directive| copy(&name, directive)));
                }
            }
        }
        merged
    }

    fn is_repeatable(&self, name: &str) -> bool {
        name == "tag"
            || self
                .schemas
                .iter()
                .filter_map(|schema| schema.directives.get(name))
                .any(|definition| definition.is_repeatable)
    }

    /// Directives for queries that all subgraphs define.
    pub(super) fn executable_directives(&mut self) -> Vec<DirectiveDefinition> {
        let mut by_name: BTreeMap<&str, Vec<(&Schema, &DirectiveDefinition)>> = BTreeMap::new();
        for schema in self.schemas {
            for definition in schema.directives.values() {
                let is_executable =
                    definition.locations.iter().any(|location| EXECUTABLE.contains(&location.text.as_str()));
                if is_executable && !self.composed.contains(&definition.name.text) {
                    by_name.entry(&definition.name.text).or_default().push((schema, definition));
                }
            }
        }
        let mut merged = Vec::new();
        for (name, sources) in by_name {
            let is_shared = |location: &Name| {
                EXECUTABLE.contains(&location.text.as_str())
                    && sources
                        .iter()
                        .all(|(_, other)| other.locations.iter().any(|known| known.text == location.text))
            };
            let locations: Vec<Name> =
                sources[0].1.locations.iter().filter(|location| is_shared(location)).cloned().collect();
            if sources.len() < self.schemas.len() || locations.is_empty() {
                self.findings.hint(
                    HintCode::InconsistentExecutableDirectivePresence,
                    sources
                        .iter()
                        .map(|(schema, definition)| location(&schema.name, definition.name.pos))
                        .collect(),
                    format!("@{name} is left out of the supergraph: not all subgraphs define it for the same places"),
                );
                continue;
            }
            let mut arguments = sources[0].1.arguments.clone();
            arguments.retain(|argument| {
                sources.iter().all(|(_, other)| {
                    other
                        .arguments
                        .iter()
                        .any(|known| known.name.text == argument.name.text && known.ty == argument.ty)
                })
            });
            for argument in &mut arguments {
                argument.directives.clear();
                let agrees = sources.iter().all(|(_, other)| {
                    other.arguments.iter().any(|known| {
                        known.name.text == argument.name.text && known.default == argument.default
                    })
                });
                if !agrees {
                    argument.default = None;
                }
            }
            merged.push(DirectiveDefinition {
                description: sources[0].1.description.clone(),
                name: plain(name),
                arguments,
                is_repeatable: sources.iter().all(|(_, definition)| definition.is_repeatable),
                locations,
            });
        }
        merged
    }
}

/// Names in the supergraph, and in the specification.
type Imports = Vec<(String, String)>;

/// The directives that `@composeDirective` names, and the links that they come by.
pub(super) fn composed(
    schemas: &[Schema],
    findings: &mut Findings,
) -> (Vec<DirectiveDefinition>, Vec<Directive>) {
    let mut definitions: IndexMap<String, (&Schema, DirectiveDefinition)> = IndexMap::new();
    let mut links: IndexMap<String, (&Linked, Imports)> = IndexMap::new();
    for schema in schemas {
        for composed in &schema.composed {
            let at = location(&schema.name, composed.pos);
            let refuse = |findings: &mut Findings, what: &str, help: String| {
                findings.error(
                    Code::DirectiveComposition,
                    vec![at.clone()],
                    format!("in {}, {} can't be composed: {what}", schema.name, composed.text),
                    help,
                );
            };
            let Some(name) = composed.text.strip_prefix('@') else {
                refuse(findings, "its name has no `@`", format!("write \"@{}\"", composed.text));
                continue;
            };
            let Some(definition) = schema.directives.get(name) else {
                refuse(findings, "it is not defined", format!("define it: `directive @{name} on …`"));
                continue;
            };
            let Some((linked, original)) = schema.links.source_of(name) else {
                let help = format!(
                    "import it: `@link(url: \"https://specs.example.com/{name}/v1.0\", import: [\"@{name}\"])`"
                );
                refuse(findings, "it comes by no @link", help);
                continue;
            };
            let (newest, imports) =
                links.entry(linked.identity.clone()).or_insert_with(|| (linked, Vec::new()));
            if newest.version.0 != linked.version.0 {
                refuse(
                    findings,
                    &format!("{} and {} are of different major versions", newest.url, linked.url),
                    "link one major version in all subgraphs".to_owned(),
                );
                continue;
            }
            // Of the definitions of one version it is the last subgraph's, as elsewhere.
            if linked.version >= newest.version {
                *newest = linked;
                definitions.insert(name.to_owned(), (schema, definition.clone()));
            }
            if let Some((other, _)) = imports.iter().find(|(here, there)| *there == original && here != name)
            {
                findings.error(
                    Code::LinkImportNameMismatch,
                    vec![at.clone()],
                    format!(
                        "@{original} of {} is imported as @{other} and, in {}, as @{name}",
                        linked.url, schema.name
                    ),
                    "import it under one name in all subgraphs",
                );
                continue;
            }
            if !imports.iter().any(|(here, _)| here == name) {
                imports.push((name.to_owned(), original));
            }
            definitions.entry(name.to_owned()).or_insert_with(|| (schema, definition.clone()));
        }
    }
    let links = links
        .into_values()
        .map(|(linked, imports)| {
            let imports = imports
                .into_iter()
                .map(|(here, there)| {
                    if here == there {
                        Value::Text(format!("@{here}"))
                    } else {
                        Value::Object(vec![
                            ("name".to_owned(), Value::Text(format!("@{there}"))),
                            ("as".to_owned(), Value::Text(format!("@{here}"))),
                        ])
                    }
                })
                .collect();
            joined("link", vec![("url", Value::Text(linked.url.clone())), ("import", Value::List(imports))])
        })
        .collect();
    (definitions.into_values().map(|(_, definition)| definition).collect(), links)
}

fn copy(name: &str, directive: &Directive) -> Directive {
    Directive { name: name.to_owned(), ..directive.clone() }
}

fn same(a: &Directive, b: &Directive) -> bool {
    a.arguments.len() == b.arguments.len()
        && a.arguments.iter().all(|(name, value)| b.argument(&name.text) == Some(value))
}

/// What several subgraphs demand, together: each list of alternatives has to be met, so the alternatives of one are
/// combined with those of the next.
fn conjunction(name: &str, argument: &str, directives: &[&Directive]) -> Directive {
    let mut merged: Vec<Vec<String>> = vec![Vec::new()];
    for directive in directives {
        let alternatives: Vec<Vec<&str>> = match directive.argument(argument) {
            Some(Value::List(items)) => items.iter().map(Value::texts).collect(),
            Some(one) => vec![one.texts()],
            None => continue,
        };
        let mut combined: Vec<Vec<String>> = Vec::new();
        for known in &merged {
            for alternative in &alternatives {
                let mut all = known.clone();
                all.extend(alternative.iter().map(|&scope| scope.to_owned()));
                all.sort();
                all.dedup();
                combined.push(all);
            }
        }
        merged = combined;
    }
    // An alternative that demands all of another and more says nothing.
    merged.sort_by_key(|all| (all.len(), all.clone()));
    let mut least: Vec<Vec<String>> = Vec::new();
    for all in merged {
        if !least.iter().any(|less| less.iter().all(|scope| all.contains(scope))) {
            least.push(all);
        }
    }
    least.sort();
    let value =
        least.into_iter().map(|all| Value::List(all.into_iter().map(Value::Text).collect())).collect();
    joined(name, vec![(argument, Value::List(value))])
}

fn number(directive: &Directive, name: &str) -> Option<i64> {
    match directive.argument(name) {
        Some(Value::Number(text)) => text.parse().ok(),
        _ => None,
    }
}

fn costliest(directives: &[&Directive]) -> Directive {
    let weight = directives.iter().filter_map(|directive| number(directive, "weight")).max().unwrap_or(0);
    joined("cost", vec![("weight", Value::Number(weight.to_string()))])
}

/// The largest list that any subgraph says, with all arguments and fields that any subgraph names.
fn list_size(directives: &[&Directive]) -> Directive {
    let texts = |name: &str| {
        let mut all: Vec<&str> = directives
            .iter()
            .filter_map(|directive| directive.argument(name))
            .flat_map(Value::texts)
            .collect();
        all.sort_unstable();
        all.dedup();
        (!all.is_empty())
            .then(|| Value::List(all.into_iter().map(|text| Value::Text(text.to_owned())).collect()))
    };
    let assumed = directives.iter().filter_map(|directive| number(directive, "assumedSize")).max();
    // A client must name one slicing argument only where every subgraph says so.
    let needs_one = directives.iter().all(|directive| {
        directive.argument("requireOneSlicingArgument").and_then(Value::as_boolean).unwrap_or(true)
    });
    let arguments = [
        assumed.map(|size| ("assumedSize", Value::Number(size.to_string()))),
        texts("slicingArguments").map(|value| ("slicingArguments", value)),
        texts("sizedFields").map(|value| ("sizedFields", value)),
        (!needs_one).then_some(("requireOneSlicingArgument", Value::Boolean(false))),
    ];
    joined("listSize", arguments.into_iter().flatten().collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::Pos;

    fn scopes(alternatives: &[&[&str]]) -> Directive {
        let lists = alternatives
            .iter()
            .map(|all| Value::List(all.iter().map(|scope| Value::Text((*scope).to_owned())).collect()))
            .collect();
        Directive {
            name: "requiresScopes".to_owned(),
            pos: Pos { line: 1, column: 1 },
            arguments: vec![(plain("scopes"), Value::List(lists))],
        }
    }

    #[test]
    fn what_two_subgraphs_demand_has_to_be_met_together() {
        let merged = |a: &Directive, b: &Directive| {
            conjunction("requiresScopes", "scopes", &[a, b]).argument("scopes").map(ToString::to_string)
        };
        assert_eq!(
            merged(&scopes(&[&["a"], &["b"]]), &scopes(&[&["c"]])).as_deref(),
            Some("[[\"a\", \"c\"], [\"b\", \"c\"]]")
        );
        assert_eq!(merged(&scopes(&[&["a"]]), &scopes(&[&["a"], &["b"]])).as_deref(), Some("[[\"a\"]]"));
    }
}
