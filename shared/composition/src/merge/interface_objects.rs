//! Fields that an `@interfaceObject` adds to an interface belong to all that implements it.

use std::collections::BTreeMap;

use super::{Source, joined};
use crate::error::Code;
use crate::report::{Findings, listed};
use crate::syntax::{Directive, Field, Kind, TypeDefinition};

/// Gives the fields to the implementations: with a `@join__field` that names no subgraph, as they come through the
/// interface.
pub(super) fn spread(
    types: &mut BTreeMap<String, TypeDefinition>,
    sources: &BTreeMap<&str, Vec<Source<'_>>>,
    findings: &mut Findings,
) {
    for (name, all) in sources {
        let objects: Vec<&Source<'_>> = all.iter().filter(|source| source.ty.is_interface_object).collect();
        check_complete(name, all, sources, findings);
        if objects.is_empty() {
            continue;
        }
        let Some(interface) = types.get(*name) else { continue };
        let added: Vec<Field> = interface
            .fields
            .iter()
            .filter(|field| {
                objects.iter().any(|source| {
                    source.ty.fields.get(&field.name.text).is_some_and(|field| !field.is_external())
                })
            })
            .cloned()
            .collect();
        let implementing = types.values_mut().filter(|ty| {
            matches!(ty.kind, Kind::Object | Kind::Interface)
                && ty.interfaces.iter().any(|interface| interface.text == *name)
        });
        for ty in implementing {
            for field in &added {
                if ty.fields.iter().any(|known| known.name.text == field.name.text) {
                    continue;
                }
                let mut field = field.clone();
                let kept: Vec<Directive> = field
                    .directives
                    .into_iter()
                    .filter(|directive| directive.name != "join__field")
                    .collect();
                field.directives = vec![joined("join__field", Vec::new())];
                field.directives.extend(kept);
                ty.fields.push(field);
            }
        }
    }
}

/// A subgraph with a resolvable key on an interface tells what an object is: it must know all that it can be.
fn check_complete(
    name: &str,
    all: &[Source<'_>],
    sources: &BTreeMap<&str, Vec<Source<'_>>>,
    findings: &mut Findings,
) {
    let keyed = all.iter().filter(|source| source.ty.kind == Kind::Interface && !source.ty.keys.is_empty());
    for keyed in keyed {
        let missing: Vec<&str> = sources
            .iter()
            .filter(|(_, implementing)| {
                implementing
                    .iter()
                    .any(|source| source.ty.kind == Kind::Object && source.ty.interfaces.contains_key(name))
                    && !implementing.iter().any(|source| source.index == keyed.index)
            })
            .map(|(name, _)| *name)
            .collect();
        if !missing.is_empty() {
            let subgraph = &keyed.schema.name;
            let mut locations = vec![keyed.location()];
            for missing in &missing {
                locations.extend(sources[*missing].iter().map(Source::location));
            }
            findings.error(
                Code::InterfaceKeyMissingImplementationType,
                locations,
                format!(
                    "{name} has a @key in {subgraph}, which does not have {}, which implements it elsewhere",
                    listed(&missing)
                ),
                format!(
                    "define {} in {subgraph} too, or take the interface's @key out there",
                    listed(&missing)
                ),
            );
        }
    }
}
