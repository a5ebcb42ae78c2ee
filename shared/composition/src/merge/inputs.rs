//! Arguments and input types: what all subgraphs understand.

use indexmap::IndexMap;

use super::{Merger, Source, fields::FieldSource, joined, plain};
use crate::error::{Code, HintCode, Location};
use crate::report::{listed, location};
use crate::subgraph::Schema;
use crate::syntax::{Directive, Input, TypeRef, Value};
use crate::types::strictest;

/// An input value as one subgraph has it.
#[derive(Clone, Copy)]
struct InputSource<'a> {
    schema: &'a Schema,
    input: &'a Input,
}

impl InputSource<'_> {
    fn location(&self) -> Location {
        location(&self.schema.name, self.input.name.pos)
    }
}

/// What is said of arguments, and what of input fields.
struct Wording {
    mismatch: Code,
    default: Code,
    missing: Code,
    dropped: HintCode,
}

const ARGUMENT: Wording = Wording {
    mismatch: Code::FieldArgumentTypeMismatch,
    default: Code::FieldArgumentDefaultMismatch,
    missing: Code::RequiredArgumentMissingInSomeSubgraph,
    dropped: HintCode::InconsistentArgumentPresence,
};

const INPUT_FIELD: Wording = Wording {
    mismatch: Code::FieldTypeMismatch,
    default: Code::InputFieldDefaultMismatch,
    missing: Code::RequiredInputFieldMissingInSomeSubgraph,
    dropped: HintCode::InconsistentInputObjectField,
};

impl<'a> Merger<'a> {
    /// The arguments that all subgraphs with the field take. Those that only `@external` fields lack are told of
    /// where these are checked.
    pub(super) fn arguments(&mut self, place: &str, defining: &[FieldSource<'a>]) -> Vec<Input> {
        let mut by_name: IndexMap<&str, Vec<InputSource<'a>>> = IndexMap::new();
        for source in defining {
            for input in source.field.arguments.values() {
                let schema = source.of.schema;
                by_name.entry(&input.name.text).or_default().push(InputSource { schema, input });
            }
        }
        let owners: Vec<(&str, Location)> =
            defining.iter().map(|source| (source.of.schema.name.as_str(), source.location())).collect();
        let mut merged = Vec::new();
        for (name, sources) in &by_name {
            let place = format!("the argument {name} of {place}");
            if let Some((input, _)) = self.input(&place, name, &owners, sources, &ARGUMENT) {
                merged.push(input);
            }
        }
        merged
    }

    /// The fields that all subgraphs with the input type have.
    pub(super) fn input_fields(&mut self, name: &str, types: &[Source<'a>]) -> Vec<Input> {
        let mut by_name: IndexMap<&str, Vec<InputSource<'a>>> = IndexMap::new();
        for source in types {
            for input in source.ty.inputs.values() {
                by_name
                    .entry(&input.name.text)
                    .or_default()
                    .push(InputSource { schema: source.schema, input });
            }
        }
        let owners: Vec<(&str, Location)> =
            types.iter().map(|source| (source.schema.name.as_str(), source.location())).collect();
        let errors = self.findings.errors.len();
        let mut merged = Vec::new();
        for (field, sources) in &by_name {
            let place = format!("{name}.{field}");
            if let Some((mut input, differs)) = self.input(&place, field, &owners, sources, &INPUT_FIELD) {
                if differs {
                    let joins = sources.iter().map(|source| {
                        joined(
                            "join__field",
                            vec![
                                ("graph", Value::Enum(source.schema.graph.clone())),
                                ("type", Value::Text(source.input.ty.to_string())),
                            ],
                        )
                    });
                    input.directives.splice(0..0, joins);
                }
                merged.push(input);
            }
        }
        if merged.is_empty() && self.findings.errors.len() == errors {
            let names: Vec<&str> = owners.iter().map(|(name, _)| *name).collect();
            self.findings.error(
                Code::EmptyMergedInputType,
                owners.iter().map(|(_, at)| at.clone()).collect(),
                format!("the input type {name} has no field in common in {}", listed(&names)),
                "clients may only send what all subgraphs understand: give them a field in common, or rename one of the types",
            );
        }
        merged
    }

    /// One argument or input field, and whether its types differ; none if some subgraph lacks it.
    fn input(
        &mut self,
        place: &str,
        name: &str,
        owners: &[(&str, Location)],
        sources: &[InputSource<'a>],
        wording: &Wording,
    ) -> Option<(Input, bool)> {
        if sources.len() < owners.len() {
            self.missing(place, owners, sources, wording);
            return None;
        }
        let locations = || sources.iter().map(InputSource::location).collect::<Vec<_>>();
        let types: Vec<&TypeRef> = sources.iter().map(|source| &source.input.ty).collect();
        let differs = types.iter().any(|ty| *ty != types[0]);
        let Some(ty) = strictest(&types) else {
            self.findings.error(
                wording.mismatch,
                locations(),
                format!("{place} is of type {}", described(sources, |input| input.ty.to_string())),
                "give it one type in all subgraphs; one may be stricter than the other only by `!`",
            );
            return None;
        };
        if differs {
            self.findings.hint(
                HintCode::InconsistentButCompatibleArgumentType,
                locations(),
                format!(
                    "{place} is of type {}; the supergraph says {ty}",
                    described(sources, |input| input.ty.to_string())
                ),
            );
        }
        let defaults: Vec<Option<&Value>> =
            sources.iter().map(|source| source.input.default.as_ref()).collect();
        let mut default = None;
        if defaults.iter().any(|one| *one != defaults[0]) {
            let said = described(sources, |input| {
                input.default.as_ref().map_or_else(|| "no default".to_owned(), ToString::to_string)
            });
            if defaults.iter().any(Option::is_none) {
                self.findings.hint(
                    HintCode::InconsistentDefaultValuePresence,
                    locations(),
                    format!("{place} has the default {said}; the supergraph gives none"),
                );
            } else {
                self.findings.error(
                    wording.default,
                    locations(),
                    format!("{place} has the default {said}"),
                    "give it one default in all subgraphs",
                );
            }
        } else {
            default = defaults[0].cloned();
        }
        let descriptions: Vec<(Location, Option<&str>)> =
            sources.iter().map(|source| (source.location(), source.input.description.as_deref())).collect();
        let description = self.description(place, &descriptions);
        let applied: Vec<(&Schema, &[Directive])> =
            sources.iter().map(|source| (source.schema, source.input.directives.as_slice())).collect();
        let directives = self.applied(place, &applied);
        Some((Input { description, name: plain(name), ty, default, directives }, differs))
    }

    fn missing(
        &mut self,
        place: &str,
        owners: &[(&str, Location)],
        sources: &[InputSource<'a>],
        wording: &Wording,
    ) {
        let lacking: Vec<&(&str, Location)> = owners
            .iter()
            .filter(|(owner, _)| !sources.iter().any(|source| source.schema.name == *owner))
            .collect();
        let lacking_names = listed(&lacking.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        let requiring: Vec<&InputSource<'_>> =
            sources.iter().filter(|source| source.input.is_required()).collect();
        if requiring.is_empty() {
            self.findings.hint(
                wording.dropped,
                lacking.iter().map(|(_, at)| at.clone()).collect(),
                format!("{place} is left out of the supergraph: {lacking_names} does not know it"),
            );
            return;
        }
        let names: Vec<&str> = requiring.iter().map(|source| source.schema.name.as_str()).collect();
        let mut locations: Vec<Location> = requiring.iter().map(|source| source.location()).collect();
        locations.extend(lacking.iter().map(|(_, at)| at.clone()));
        self.findings.error(
            wording.missing,
            locations,
            format!("{place} is required in {}, but missing in {lacking_names}", listed(&names)),
            format!("make it optional in {}, or add it to {lacking_names}", listed(&names)),
        );
    }
}

fn described(sources: &[InputSource<'_>], what: impl Fn(&Input) -> String) -> String {
    let mut by_text: IndexMap<String, Vec<&str>> = IndexMap::new();
    for source in sources {
        by_text.entry(what(source.input)).or_default().push(&source.schema.name);
    }
    listed(&by_text.iter().map(|(text, names)| format!("{text} in {}", listed(names))).collect::<Vec<_>>())
}
