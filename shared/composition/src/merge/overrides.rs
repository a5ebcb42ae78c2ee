//! `@override`: which fields have moved to another subgraph, or are moving.

use std::collections::HashMap;

use crate::error::{Code, HintCode};
use crate::report::{Findings, location};
use crate::subgraph::{Field, Schema};
use crate::suggest::suggestion;

/// That another subgraph takes a field over.
#[derive(Debug, Clone)]
pub(crate) struct Overridden {
    /// Only where this label holds.
    pub(crate) label: Option<String>,
}

/// All fields that are taken over, by subgraph, type and field.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    overridden: HashMap<(usize, String, String), Overridden>,
}

impl Overrides {
    pub(super) fn of(schemas: &[Schema], findings: &mut Findings) -> Self {
        let mut overrides = Self::default();
        for schema in schemas {
            for ty in schema.types.values() {
                for field in ty.fields.values() {
                    overrides.add(schemas, schema, &ty.name.text, field, findings);
                }
            }
        }
        overrides
    }

    /// Whether the field of that subgraph is taken over.
    pub(crate) fn get(&self, index: usize, ty: &str, field: &str) -> Option<&Overridden> {
        if self.overridden.is_empty() {
            return None;
        }
        self.overridden.get(&(index, ty.to_owned(), field.to_owned()))
    }

    /// Whether it is taken over without condition.
    pub(crate) fn is_moved(&self, index: usize, ty: &str, field: &str) -> bool {
        self.get(index, ty, field).is_some_and(|overridden| overridden.label.is_none())
    }

    fn add(&mut self, schemas: &[Schema], schema: &Schema, ty: &str, field: &Field, findings: &mut Findings) {
        let Some(overriding) = &field.overrides else { return };
        let place = format!("{ty}.{}", field.name.text);
        let at = location(&schema.name, overriding.pos);
        let Some(index) = schemas.iter().position(|other| other.name == overriding.from) else {
            let near = suggestion(&overriding.from, schemas.iter().map(|schema| schema.name.as_str()));
            let near = near.map_or_else(String::new, |near| format!("; did you mean {near}?"));
            findings.hint(
                HintCode::FromSubgraphDoesNotExist,
                vec![at],
                format!(
                    "{place} of {} overrides the field in {}, which is no subgraph{near}",
                    schema.name, overriding.from
                ),
            );
            return;
        };
        let from = &schemas[index];
        let Some(old) = from.types.get(ty).and_then(|ty| ty.fields.get(&field.name.text)) else {
            findings.hint(
                HintCode::OverrideDirectiveCanBeRemoved,
                vec![at],
                format!("{place} is no longer in {}: the @override in {} can go", from.name, schema.name),
            );
            return;
        };
        let there = location(&from.name, old.name.pos);
        if old.is_external() && overriding.label.is_none() {
            findings.hint(
                HintCode::OverrideDirectiveCanBeRemoved,
                vec![at, there],
                format!(
                    "{place} is @external in {0}, which does not resolve it anyway: the @override in {1} can go",
                    from.name, schema.name
                ),
            );
            return;
        }
        // Whatever is wrong with it, the field is not meant to be shared.
        let key = (index, ty.to_owned(), field.name.text.clone());
        self.overridden.insert(key, Overridden { label: overriding.label.clone() });
        if let Some(again) = &old.overrides {
            // Two that override each other are told of once.
            if again.from == schema.name && index < own_index(schemas, schema) {
                return;
            }
            findings.error(
                Code::OverrideSourceHasOverride,
                vec![at, there],
                format!(
                    "{place} of {} overrides the field in {}, which overrides it itself",
                    schema.name, from.name
                ),
                "keep one @override, in the subgraph that shall have the field",
            );
            return;
        }
        if from.types[ty].is_interface_object {
            findings.error(
                Code::InterfaceObjectUsage,
                vec![at, there],
                format!(
                    "{place} of {} overrides the field of an @interfaceObject in {}",
                    schema.name, from.name
                ),
                "move the field without @override: share it while both resolve it",
            );
            return;
        }
        if let Some(name) = colliding(old) {
            findings.error(
                Code::OverrideCollisionWithAnotherDirective,
                vec![at, there],
                format!("{place} of {} overrides the field in {}, which has @{name}", schema.name, from.name),
                format!("take @{name} out in {}", from.name),
            );
            return;
        }
        match &overriding.label {
            Some(label) => findings.hint(
                HintCode::OverrideMigrationInProgress,
                vec![at, there],
                format!("{place} moves from {} to {} where {label} holds", from.name, schema.name),
            ),
            None => findings.hint(
                HintCode::OverriddenFieldCanBeRemoved,
                vec![there],
                if old.is_used {
                    format!(
                        "{place} of {} is resolved by {} now, and only used in keys and the like",
                        from.name, schema.name
                    )
                } else {
                    format!(
                        "{place} of {} is resolved by {} now: it can be taken out of {0}",
                        from.name, schema.name
                    )
                },
            ),
        }
    }
}

/// What a field has that can't be taken over with it.
fn colliding(field: &Field) -> Option<&'static str> {
    let directives = [
        ("external", field.is_external()),
        ("requires", field.requires.is_some()),
        ("provides", field.provides.is_some()),
    ];
    directives.into_iter().find(|(_, is_there)| *is_there).map(|(name, _)| name)
}

fn own_index(schemas: &[Schema], schema: &Schema) -> usize {
    schemas.iter().position(|other| other.name == schema.name).unwrap_or_default()
}
