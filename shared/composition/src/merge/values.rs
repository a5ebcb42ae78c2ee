//! Enums and unions.

use indexmap::IndexMap;

use super::{Merger, Source, joined, plain};
use crate::error::{Code, HintCode, Location};
use crate::report::{listed, location};
use crate::subgraph::{Schema, applied};
use crate::syntax::{Directive, EnumValue, TypeDefinition, Value};

impl<'a> Merger<'a> {
    /// All members of all subgraphs.
    pub(super) fn union(&mut self, merged: &mut TypeDefinition, sources: &[Source<'a>]) {
        let name = merged.name.text.clone();
        for source in sources {
            for member in source.ty.members.keys() {
                if !merged.members.iter().any(|known| known.text == *member) {
                    merged.members.push(plain(member));
                }
                merged.directives.push(joined(
                    "join__unionMember",
                    vec![
                        ("graph", Value::Enum(source.schema.graph.clone())),
                        ("member", Value::Text(member.clone())),
                    ],
                ));
            }
        }
        for member in &merged.members {
            let lacking: Vec<&Source<'_>> =
                sources.iter().filter(|source| !source.ty.members.contains_key(&member.text)).collect();
            if !lacking.is_empty() {
                let names: Vec<&str> = lacking.iter().map(|source| source.schema.name.as_str()).collect();
                self.findings.hint(
                    HintCode::InconsistentUnionMember,
                    lacking.iter().map(|source| source.location()).collect(),
                    format!("{} is a member of the union {name}, but not in {}", member.text, listed(&names)),
                );
            }
        }
    }

    /// The values of an enum: of one that is only returned all, of one that is only sent those in common; one that is
    /// both has the same everywhere. What is `@inaccessible` no client sends nor sees: it may be where it likes.
    pub(super) fn enum_values(&mut self, name: &str, types: &[Source<'a>]) -> Vec<EnumValue> {
        let mut by_name: IndexMap<&str, Vec<(&'a Schema, &'a EnumValue)>> = IndexMap::new();
        for source in types {
            for value in source.ty.values.values() {
                by_name.entry(&value.name.text).or_default().push((source.schema, value));
            }
        }
        let uses = self.enum_uses.get(name).cloned().unwrap_or_default();
        let mut merged = Vec::new();
        let mut is_mismatch = false;
        for (value, sources) in &by_name {
            let lacking: Vec<&Source<'_>> = types
                .iter()
                .filter(|source| !sources.iter().any(|(schema, _)| schema.name == source.schema.name))
                .collect();
            let is_hidden =
                sources.iter().any(|(_, value)| applied(&value.directives, "inaccessible").is_some());
            if !lacking.is_empty() && !is_hidden {
                let names =
                    listed(&lacking.iter().map(|source| source.schema.name.as_str()).collect::<Vec<_>>());
                let mut locations: Vec<Location> =
                    sources.iter().map(|(schema, value)| location(&schema.name, value.name.pos)).collect();
                locations.extend(lacking.iter().map(|source| source.location()));
                let having: Vec<&str> = sources.iter().map(|(schema, _)| schema.name.as_str()).collect();
                match (&uses.input, &uses.output) {
                    (Some(input), Some(output)) => {
                        is_mismatch = true;
                        self.findings.error(
                            Code::EnumValueMismatch,
                            locations,
                            format!(
                                "{name}.{value} is in {}, but not in {names}, and {name} is both sent ({input}) and returned ({output})",
                                listed(&having)
                            ),
                            format!("add {value} to {name} in {names}, or part the enum into one that is sent and one that is returned"),
                        );
                        continue;
                    }
                    (Some(input), None) => {
                        self.findings.hint(
                            HintCode::InconsistentEnumValueForInputEnum,
                            locations,
                            format!("{name}.{value} is left out of the supergraph: {names} does not know it, and {name} is sent ({input})"),
                        );
                        continue;
                    }
                    (None, _) => self.findings.hint(
                        HintCode::InconsistentEnumValueForOutputEnum,
                        locations,
                        format!("{name}.{value} is in {}, but not in {names}", listed(&having)),
                    ),
                }
            }
            merged.push(self.enum_value(name, value, sources));
        }
        if merged.is_empty() && !is_mismatch {
            self.findings.error(
                Code::EmptyMergedEnumType,
                types.iter().map(Source::location).collect(),
                format!(
                    "the enum {name} has no value in common in {}, and it is sent ({})",
                    listed(&types.iter().map(|source| source.schema.name.as_str()).collect::<Vec<_>>()),
                    uses.input.unwrap_or_default()
                ),
                "clients may only send what all subgraphs understand: give them a value in common, or rename one of the enums",
            );
        }
        merged
    }

    fn enum_value(&mut self, ty: &str, name: &str, sources: &[(&'a Schema, &'a EnumValue)]) -> EnumValue {
        let place = format!("{ty}.{name}");
        let descriptions: Vec<(Location, Option<&str>)> = sources
            .iter()
            .map(|(schema, value)| (location(&schema.name, value.name.pos), value.description.as_deref()))
            .collect();
        let description = self.description(&place, &descriptions);
        let mut directives: Vec<Directive> = sources
            .iter()
            .map(|(schema, _)| joined("join__enumValue", vec![("graph", Value::Enum(schema.graph.clone()))]))
            .collect();
        let applied: Vec<(&Schema, &[Directive])> =
            sources.iter().map(|(schema, value)| (*schema, value.directives.as_slice())).collect();
        directives.extend(self.applied(&place, &applied));
        EnumValue { description, name: plain(name), directives }
    }
}
