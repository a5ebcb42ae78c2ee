//! Who may resolve a field that others resolve too.

use std::collections::BTreeSet;

use super::{Merger, Source, fields::FieldSource};
use crate::error::{Code, HintCode, Location};
use crate::report::{listed, location};
use crate::syntax::Selection;

impl<'a> Merger<'a> {
    /// A field that several subgraphs resolve is `@shareable` in each.
    pub(super) fn check_sharing(&mut self, ty: &str, name: &str, sources: &[FieldSource<'a>]) {
        let mut resolving: Vec<(&str, bool, Location)> = sources
            .iter()
            .filter(|source| self.overrides.get(source.of.index, ty, name).is_none())
            .filter_map(|source| {
                if source.field.is_external() {
                    // Where it is provided, it is resolved on some paths, and by its nature shared.
                    is_provided(source, ty, name).then(|| (source.subgraph(), true, source.location()))
                } else {
                    Some((source.subgraph(), source.field.is_shareable, source.location()))
                }
            })
            .collect();
        let interfaces: BTreeSet<&String> =
            sources.iter().flat_map(|source| source.of.ty.interfaces.keys()).collect();
        for schema in self.schemas {
            for interface in &interfaces {
                let Some(object) = schema.types.get(*interface).filter(|ty| ty.is_interface_object) else {
                    continue;
                };
                let field = object.fields.get(name).filter(|field| !field.is_external());
                if let Some(field) = field {
                    resolving.push((
                        &schema.name,
                        field.is_shareable,
                        location(&schema.name, field.name.pos),
                    ));
                }
            }
        }
        let unshared: Vec<&(&str, bool, Location)> =
            resolving.iter().filter(|(_, shareable, _)| !shareable).collect();
        if resolving.len() < 2 || unshared.is_empty() {
            return;
        }
        let names: Vec<&str> = resolving.iter().map(|(name, ..)| *name).collect();
        let unshared_names: Vec<&str> = unshared.iter().map(|(name, ..)| *name).collect();
        let mut locations: Vec<Location> = unshared.iter().map(|(.., at)| at.clone()).collect();
        locations.extend(resolving.iter().filter(|(_, shareable, _)| *shareable).map(|(.., at)| at.clone()));
        let which = if unshared.len() == resolving.len() {
            "which share it nowhere".to_owned()
        } else {
            format!("but not @shareable in {}", listed(&unshared_names))
        };
        let place = format!("{ty}.{name}");
        let (message, help) = if ty == "Subscription" {
            (
                format!("{place} is resolved by {}", listed(&names)),
                "a subscription comes from one subgraph: take the field out of the others".to_owned(),
            )
        } else {
            (
                format!("{place} is resolved by {}, {which}", listed(&names)),
                format!(
                    "if they all give the same value, mark the field @shareable in {}; if it moves, use @override; else rename it in one of them",
                    listed(&unshared_names)
                ),
            )
        };
        self.findings.error(Code::InvalidFieldSharing, locations, message, help);
    }

    /// A type that is no entity can't be filled up by other subgraphs: what one lacks may be missing to a query.
    pub(super) fn value_type_hint(
        &mut self,
        ty: &str,
        name: &str,
        types: &[Source<'a>],
        sources: &[FieldSource<'a>],
    ) {
        let is_value = types.iter().all(|source| source.ty.keys.is_empty() && !source.schema.is_root(ty));
        if !is_value || sources.len() == types.len() {
            return;
        }
        let lacking: Vec<&Source<'_>> = types
            .iter()
            .filter(|source| !sources.iter().any(|field| field.of.index == source.index))
            .collect();
        let names: Vec<&str> = lacking.iter().map(|source| source.schema.name.as_str()).collect();
        self.findings.hint(
            HintCode::InconsistentValueTypeField,
            lacking.iter().map(|source| source.location()).collect(),
            format!(
                "{ty}.{name} is not in {}: only queries that reach it elsewhere can ask for it",
                listed(&names)
            ),
        );
    }
}

/// Whether some `@provides` of the subgraph selects the field.
fn is_provided(source: &FieldSource<'_>, ty: &str, name: &str) -> bool {
    let schema = source.of.schema;
    schema.types.values().flat_map(|ty| ty.fields.values()).any(|field| {
        field.provides.as_ref().is_some_and(|provides| {
            selects(&provides.selections, name)
                && crate::subgraph::targets(schema, field.ty.name(), &provides.selections).is_ok_and(
                    |targets| {
                        targets.iter().any(|target| {
                            target.field.name.text == name
                                && (target.ty.name.text == ty
                                    || source.of.ty.interfaces.contains_key(&target.ty.name.text))
                        })
                    },
                )
        })
    })
}

/// Whether a field of that name is selected anywhere; it spares the search for types.
fn selects(selections: &[Selection], wanted: &str) -> bool {
    selections.iter().any(|selection| match selection {
        Selection::Field { name, selections, .. } => name == wanted || selects(selections, wanted),
        Selection::Fragment { selections, .. } => selects(selections, wanted),
    })
}
