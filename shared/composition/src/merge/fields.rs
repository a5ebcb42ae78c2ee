//! Fields of objects and interfaces.

use indexmap::IndexMap;

use super::{Merger, Source, joined, plain};
use crate::error::{Code, HintCode, Location};
use crate::report::{listed, location};
use crate::subgraph::{External, Field};
use crate::syntax::{self, Directive, Kind, TypeRef, Value};

/// A field as one subgraph has it.
#[derive(Clone, Copy)]
pub(super) struct FieldSource<'a> {
    pub(super) of: Source<'a>,
    pub(super) field: &'a Field,
}

impl FieldSource<'_> {
    pub(super) fn location(&self) -> Location {
        location(&self.of.schema.name, self.field.name.pos)
    }

    pub(super) fn subgraph(&self) -> &str {
        &self.of.schema.name
    }
}

impl<'a> Merger<'a> {
    /// The fields of all subgraphs together.
    pub(super) fn fields(&mut self, name: &str, kind: Kind, sources: &[Source<'a>]) -> Vec<syntax::Field> {
        let mut by_name: IndexMap<&str, Vec<FieldSource<'a>>> = IndexMap::new();
        for of in sources {
            for field in of.ty.fields.values() {
                by_name.entry(&field.name.text).or_default().push(FieldSource { of: *of, field });
            }
        }
        let mut merged = Vec::new();
        for (field, all) in &by_name {
            if let Some(field) = self.field(name, kind, field, sources, all) {
                merged.push(field);
            }
        }
        merged
    }

    fn field(
        &mut self,
        ty: &str,
        kind: Kind,
        name: &str,
        types: &[Source<'a>],
        sources: &[FieldSource<'a>],
    ) -> Option<syntax::Field> {
        let place = format!("{ty}.{name}");
        let resolved: Vec<FieldSource<'a>> =
            sources.iter().copied().filter(|source| !source.field.is_external()).collect();
        if resolved.is_empty() && !self.is_in_interface_object(types, name) {
            self.external_only(&place, name, sources);
            return None;
        }
        if kind == Kind::Object {
            self.check_sharing(ty, name, sources);
            self.value_type_hint(ty, name, types, sources);
        }
        let defining = if resolved.is_empty() { sources } else { &resolved };
        let merged_type = self.output_type(&place, defining)?;
        for source in sources.iter().filter(|source| source.field.is_external()) {
            self.check_external(&place, &merged_type, defining, source);
        }
        let arguments = self.arguments(&place, defining);
        let descriptions: Vec<(Location, Option<&str>)> =
            sources.iter().map(|source| (source.location(), source.field.description.as_deref())).collect();
        let description = self.description(&place, &descriptions);
        let mut directives = self.join_fields(ty, name, types, sources, &merged_type);
        let applied: Vec<_> =
            sources.iter().map(|source| (source.of.schema, source.field.directives.as_slice())).collect();
        directives.extend(self.applied(&place, &applied));
        Some(syntax::Field { description, name: plain(name), arguments, ty: merged_type, directives })
    }

    /// Whether an `@interfaceObject` gives the field to what implements its interface.
    fn is_in_interface_object(&self, types: &[Source<'a>], name: &str) -> bool {
        types.iter().flat_map(|source| source.ty.interfaces.keys()).any(|interface| {
            self.schemas.iter().any(|schema| {
                schema.types.get(interface).is_some_and(|ty| {
                    ty.is_interface_object && ty.fields.get(name).is_some_and(|field| !field.is_external())
                })
            })
        })
    }

    fn external_only(&mut self, place: &str, name: &str, sources: &[FieldSource<'a>]) {
        let subgraphs = listed(&sources.iter().map(FieldSource::subgraph).collect::<Vec<_>>());
        self.findings.error(
            Code::ExternalMissingOnBase,
            sources.iter().map(FieldSource::location).collect(),
            format!("{place} is @external in {subgraphs}, and no subgraph resolves it"),
            format!("add {name} to the subgraph that owns it, or take it out here"),
        );
    }

    fn output_type(&mut self, place: &str, sources: &[FieldSource<'a>]) -> Option<TypeRef> {
        let types: Vec<&TypeRef> = sources.iter().map(|source| &source.field.ty).collect();
        if types.iter().all(|ty| *ty == types[0]) {
            return Some(types[0].clone());
        }
        let locations = || sources.iter().map(FieldSource::location).collect();
        let described = described_types(sources);
        if let Some(merged) = self.hierarchy.most_general(&types) {
            self.findings.hint(
                HintCode::InconsistentButCompatibleFieldType,
                locations(),
                format!("{place} is of type {described}; the supergraph says {merged}"),
            );
            return Some(merged);
        }
        let (name, is_list) = (types[0].name(), types[0].is_list());
        let help = if types.iter().all(|ty| ty.name() == name && ty.is_list() == is_list) {
            "let one type be the other made nullable: clients get the nullable one"
        } else {
            "give the field one type in all subgraphs, rename it in one, or return an interface or union that has both"
        };
        self.findings.error(
            Code::FieldTypeMismatch,
            locations(),
            format!("{place} is of type {described}"),
            help,
        );
        None
    }

    fn check_external(
        &mut self,
        place: &str,
        merged: &TypeRef,
        defining: &[FieldSource<'a>],
        external: &FieldSource<'a>,
    ) {
        let owner = &defining[0];
        let own = &external.field.ty;
        let fits = own == merged
            || crate::types::is_subtype_in(merged, own, &|a, b| self.hierarchy.is_part(a, b))
            || crate::types::is_subtype_in(own, merged, &|a, b| self.hierarchy.is_part(a, b));
        if !fits {
            self.findings.error(
                Code::ExternalTypeMismatch,
                vec![external.location(), owner.location()],
                format!(
                    "{place} is @external of type {own} in {}, but of type {merged} in {}",
                    external.subgraph(),
                    owner.subgraph()
                ),
                format!("write {merged} in {}", external.subgraph()),
            );
        }
        for argument in owner.field.arguments.values() {
            let name = &argument.name.text;
            match external.field.arguments.get(name) {
                None if defining.iter().all(|source| source.field.arguments.contains_key(name)) => {
                    self.findings.error(
                        Code::ExternalArgumentMissing,
                        vec![external.location(), location(owner.subgraph(), argument.name.pos)],
                        format!(
                            "{place} is @external without the argument {name} in {}, and has it in {}",
                            external.subgraph(),
                            owner.subgraph()
                        ),
                        format!("add `{name}: {}` in {}", argument.ty, external.subgraph()),
                    );
                }
                Some(own)
                    if own.ty.name() != argument.ty.name() || own.ty.is_list() != argument.ty.is_list() =>
                {
                    self.findings.error(
                        Code::ExternalArgumentTypeMismatch,
                        vec![
                            location(external.subgraph(), own.name.pos),
                            location(owner.subgraph(), argument.name.pos),
                        ],
                        format!(
                            "the argument {name} of the @external {place} is of type {} in {}, but of type {} in {}",
                            own.ty,
                            external.subgraph(),
                            argument.ty,
                            owner.subgraph()
                        ),
                        format!("write {} in {}", argument.ty, external.subgraph()),
                    );
                }
                _ => {}
            }
        }
    }

    /// `@join__field` for each subgraph, or none if all that have the type have the field in the same way.
    fn join_fields(
        &self,
        ty: &str,
        name: &str,
        types: &[Source<'a>],
        sources: &[FieldSource<'a>],
        merged: &TypeRef,
    ) -> Vec<Directive> {
        let differs = sources.iter().any(|source| source.field.ty != *merged);
        let is_plain = |source: &FieldSource<'_>| {
            let field = source.field;
            field.external != External::Yes
                && field.requires.is_none()
                && field.provides.is_none()
                && field.overrides.is_none()
                && self.overrides.get(source.of.index, ty, name).is_none()
        };
        if sources.len() == types.len() && !differs && sources.iter().all(is_plain) {
            return Vec::new();
        }
        let mut joins = Vec::new();
        for source in sources {
            let overridden = self.overrides.get(source.of.index, ty, name);
            let is_moved = overridden.is_some_and(|overridden| overridden.label.is_none());
            // What is taken over is only kept where the subgraph itself counts on the field.
            if is_moved && !source.field.is_used {
                continue;
            }
            let field = source.field;
            let text = |text: &String| Value::Text(text.clone());
            let label = field
                .overrides
                .as_ref()
                .and_then(|overrides| overrides.label.as_ref())
                .or_else(|| overridden.and_then(|overridden| overridden.label.as_ref()));
            let arguments = [
                Some(("graph", Value::Enum(source.of.schema.graph.clone()))),
                field.requires.as_ref().map(|requires| ("requires", text(&requires.text))),
                field.provides.as_ref().map(|provides| ("provides", text(&provides.text))),
                differs.then(|| ("type", Value::Text(field.ty.to_string()))),
                field.is_external().then_some(("external", Value::Boolean(true))),
                field.overrides.as_ref().map(|overrides| ("override", text(&overrides.from))),
                is_moved.then_some(("usedOverridden", Value::Boolean(true))),
                label.map(|label| ("overrideLabel", text(label))),
            ];
            joins.push(joined("join__field", arguments.into_iter().flatten().collect()));
        }
        joins
    }
}

/// `Int in a and String in b`.
fn described_types(sources: &[FieldSource<'_>]) -> String {
    let mut by_type: IndexMap<String, Vec<&str>> = IndexMap::new();
    for source in sources {
        by_type.entry(source.field.ty.to_string()).or_default().push(source.subgraph());
    }
    let parts: Vec<String> =
        by_type.iter().map(|(ty, subgraphs)| format!("{ty} in {}", listed(subgraphs))).collect();
    listed(&parts)
}
