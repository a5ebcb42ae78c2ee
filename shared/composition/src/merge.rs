//! From the subgraphs' schemas to one.

mod directives;
mod fields;
mod inputs;
mod interface_objects;
mod overrides;
mod sharing;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Code, HintCode, Location};
use crate::report::{Findings, listed, location};
use crate::subgraph::{Schema, Type};
use crate::syntax::{Directive, DirectiveDefinition, Kind, Name, Pos, Root, TypeDefinition, Value};
use crate::types::Hierarchy;

pub(crate) use directives::KEPT;
pub(crate) use overrides::Overrides;

/// A supergraph before it is written.
#[derive(Debug)]
pub(crate) struct Merged {
    pub(crate) types: BTreeMap<String, TypeDefinition>,
    pub(crate) roots: Vec<Root>,
    /// Directives for queries, and those that `@composeDirective` hands on.
    pub(crate) directives: Vec<DirectiveDefinition>,
    /// `@link`s of the schema, but for join's and link's own.
    pub(crate) links: Vec<Directive>,
    pub(crate) hierarchy: Hierarchy,
}

/// A type as one subgraph has it.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) index: usize,
    pub(crate) schema: &'a Schema,
    pub(crate) ty: &'a Type,
}

impl Source<'_> {
    fn location(&self) -> Location {
        location(&self.schema.name, self.ty.name.pos)
    }
}

/// Everything that merging looks up.
struct Merger<'a> {
    schemas: &'a [Schema],
    hierarchy: Hierarchy,
    overrides: Overrides,
    /// Enums and where they are used.
    enum_uses: BTreeMap<&'a str, EnumUse>,
    composed: BTreeSet<String>,
    findings: &'a mut Findings,
}

/// Where an enum is used, with an example of each.
#[derive(Debug, Clone, Default)]
struct EnumUse {
    input: Option<String>,
    output: Option<String>,
}

/// Merges the schemas. What is wrong is found; what is given back then is not to be used.
pub(crate) fn merge(schemas: &[Schema], findings: &mut Findings) -> (Merged, Overrides) {
    let (composed, links) = directives::composed(schemas, findings);
    let mut merger = Merger {
        schemas,
        hierarchy: Hierarchy::of(schemas),
        overrides: Overrides::of(schemas, findings),
        enum_uses: enum_uses(schemas),
        composed: composed.iter().map(|definition| definition.name.text.clone()).collect(),
        findings,
    };
    let mut by_name: BTreeMap<&str, Vec<Source<'_>>> = BTreeMap::new();
    for (index, schema) in schemas.iter().enumerate() {
        for ty in schema.types.values() {
            by_name.entry(&ty.name.text).or_default().push(Source { index, schema, ty });
        }
    }
    let mut types = BTreeMap::new();
    for (name, sources) in &by_name {
        if let Some(kind) = merger.kind(name, sources) {
            types.insert((*name).to_owned(), merger.ty(name, kind, sources));
        }
    }
    if merger.findings.errors.is_empty() {
        interface_objects::spread(&mut types, &by_name, merger.findings);
    }
    let mut definitions = merger.executable_directives();
    definitions.extend(composed);
    let roots = Root::ALL
        .into_iter()
        .filter(|root| schemas.iter().any(|schema| schema.roots.contains(root)))
        .collect();
    let Merger { hierarchy, overrides, .. } = merger;
    if !schemas.iter().any(|schema| schema.roots.contains(&Root::Query)) {
        findings.error(
            Code::NoQueries,
            Vec::new(),
            "no subgraph has a query",
            "add a `type Query` with a field to one of the subgraphs",
        );
    }
    (Merged { types, roots, directives: definitions, links, hierarchy }, overrides)
}

impl<'a> Merger<'a> {
    /// What kind of type it is in the supergraph.
    fn kind(&mut self, name: &str, sources: &[Source<'_>]) -> Option<Kind> {
        let seen = |source: &Source<'_>| {
            if source.ty.is_interface_object { Kind::Interface } else { source.ty.kind }
        };
        let first = seen(&sources[0]);
        let interface_objects: Vec<&Source<'_>> =
            sources.iter().filter(|source| source.ty.is_interface_object).collect();
        if let Some(other) = sources.iter().find(|source| seen(source) != first) {
            let of = |source: &Source<'_>| {
                let what = if source.ty.is_interface_object {
                    "an @interfaceObject"
                } else {
                    source.ty.kind.described()
                };
                format!("{what} in {}", source.schema.name)
            };
            let help = if interface_objects.is_empty() {
                format!("rename one, or make {name} one kind of type in all subgraphs")
            } else {
                format!(
                    "an @interfaceObject stands for an interface: make {name} an interface elsewhere, or take @interfaceObject out"
                )
            };
            self.findings.error(
                Code::TypeKindMismatch,
                vec![sources[0].location(), other.location()],
                format!("{name} is {} and {}", of(&sources[0]), of(other)),
                help,
            );
            return None;
        }
        if interface_objects.len() == sources.len() {
            self.findings.error(
                Code::InterfaceObjectUsage,
                sources.iter().map(Source::location).collect(),
                format!(
                    "{name} is an @interfaceObject in every subgraph that has it, and an interface in none"
                ),
                format!("define `interface {name}` and what implements it in one subgraph"),
            );
            return None;
        }
        Some(first)
    }

    fn ty(&mut self, name: &str, kind: Kind, sources: &[Source<'a>]) -> TypeDefinition {
        let mut merged = TypeDefinition {
            is_extension: false,
            description: None,
            name: plain(name),
            kind,
            directives: Vec::new(),
            interfaces: Vec::new(),
            fields: Vec::new(),
            members: Vec::new(),
            values: Vec::new(),
            inputs: Vec::new(),
        };
        let descriptions: Vec<(Location, Option<&str>)> =
            sources.iter().map(|source| (source.location(), source.ty.description.as_deref())).collect();
        // A root is described by each subgraph as its own, which says nothing of all of them together.
        let is_root = sources.iter().any(|source| source.schema.is_root(name));
        if !is_root || descriptions.iter().all(|(_, text)| *text == descriptions[0].1) {
            merged.description = self.description(name, &descriptions);
        }
        interfaces(&mut merged, sources);
        for source in sources {
            merged.directives.extend(join_type(source));
        }
        let applied: Vec<(&Schema, &[Directive])> =
            sources.iter().map(|source| (source.schema, source.ty.directives.as_slice())).collect();
        match kind {
            Kind::Scalar => {}
            Kind::Object | Kind::Interface => merged.fields = self.fields(name, kind, sources),
            Kind::Union => self.union(&mut merged, sources),
            Kind::Enum => merged.values = self.enum_values(name, sources),
            Kind::Input => merged.inputs = self.input_fields(name, sources),
        }
        let carried = self.applied(name, &applied);
        merged.directives.extend(carried);
        if kind == Kind::Object {
            self.entity_hint(name, sources);
        }
        merged
    }

    /// The description that most subgraphs agree on, the first of them if several do.
    fn description(&mut self, place: &str, all: &[(Location, Option<&str>)]) -> Option<String> {
        let given: Vec<&str> =
            all.iter().filter_map(|(_, text)| *text).filter(|text| !text.is_empty()).collect();
        let count = |text: &str| given.iter().filter(|other| **other == text).count();
        let mut best: Option<&str> = None;
        for text in &given {
            if best.is_none_or(|best| count(text) > count(best)) {
                best = Some(text);
            }
        }
        let best = best?;
        if given.iter().any(|text| *text != best) {
            let locations =
                all.iter().filter(|(_, text)| text.is_some()).map(|(location, _)| location.clone()).collect();
            self.findings.hint(
                HintCode::InconsistentDescription,
                locations,
                format!("{place} is described otherwise in several subgraphs; the supergraph says {best:?}"),
            );
        }
        Some(best.to_owned())
    }

    fn entity_hint(&mut self, name: &str, sources: &[Source<'_>]) {
        let (with, without): (Vec<&Source<'_>>, Vec<&Source<'_>>) =
            sources.iter().partition(|source| !source.ty.keys.is_empty());
        if with.is_empty() || without.is_empty() {
            return;
        }
        let names = |sources: &[&Source<'_>]| {
            listed(&sources.iter().map(|source| source.schema.name.as_str()).collect::<Vec<_>>())
        };
        self.findings.hint(
            HintCode::InconsistentEntity,
            without.iter().map(|source| source.location()).collect(),
            format!("{name} has a @key in {}, but none in {}", names(&with), names(&without)),
        );
    }
}

/// The interfaces of all subgraphs, each with who says so.
fn interfaces(merged: &mut TypeDefinition, sources: &[Source<'_>]) {
    for source in sources {
        for interface in source.ty.interfaces.keys() {
            if !merged.interfaces.iter().any(|known| known.text == *interface) {
                merged.interfaces.push(plain(interface));
            }
            merged.directives.push(joined(
                "join__implements",
                vec![
                    ("graph", Value::Enum(source.schema.graph.clone())),
                    ("interface", Value::Text(interface.clone())),
                ],
            ));
        }
    }
}

/// `@join__type` of one subgraph: one for each key, or one without.
fn join_type(source: &Source<'_>) -> Vec<Directive> {
    let graph = || ("graph", Value::Enum(source.schema.graph.clone()));
    let interface_object =
        || source.ty.is_interface_object.then_some(("isInterfaceObject", Value::Boolean(true)));
    if source.ty.keys.is_empty() {
        return vec![joined(
            "join__type",
            [Some(graph()), interface_object()].into_iter().flatten().collect(),
        )];
    }
    source
        .ty
        .keys
        .iter()
        .map(|key| {
            let arguments = [
                Some(graph()),
                Some(("key", Value::Text(key.fields.text.clone()))),
                key.is_of_extension.then_some(("extension", Value::Boolean(true))),
                (!key.is_resolvable).then_some(("resolvable", Value::Boolean(false))),
                interface_object(),
            ];
            joined("join__type", arguments.into_iter().flatten().collect())
        })
        .collect()
}

fn enum_uses(schemas: &[Schema]) -> BTreeMap<&str, EnumUse> {
    let mut uses: BTreeMap<&str, EnumUse> = BTreeMap::new();
    for ty in schemas.iter().flat_map(|schema| schema.types.values()) {
        for field in ty.fields.values() {
            let place = || format!("{}.{}", ty.name.text, field.name.text);
            uses.entry(field.ty.name()).or_default().output.get_or_insert_with(place);
            for argument in field.arguments.values() {
                let of = || format!("the argument {} of {}", argument.name.text, place());
                uses.entry(argument.ty.name()).or_default().input.get_or_insert_with(of);
            }
        }
        for input in ty.inputs.values() {
            let place = || format!("{}.{}", ty.name.text, input.name.text);
            uses.entry(input.ty.name()).or_default().input.get_or_insert_with(place);
        }
    }
    uses
}

/// A name that is at no place of its own.
pub(crate) fn plain(text: &str) -> Name {
    Name { text: text.to_owned(), pos: Pos { line: 0, column: 0 } }
}

/// A directive of the supergraph.
pub(crate) fn joined(name: &str, arguments: Vec<(&str, Value)>) -> Directive {
    Directive {
        name: name.to_owned(),
        pos: Pos { line: 0, column: 0 },
        arguments: arguments.into_iter().map(|(name, value)| (plain(name), value)).collect(),
    }
}
