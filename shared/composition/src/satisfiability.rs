//! Whether subgraphs can answer all that the supergraph lets a client ask.
//!
//! Every object of the supergraph is visited with each set of positions at which queries reach it: a subgraph, and
//! what the object is there. An object that can be asked at some positions can be asked at all those that keys lead
//! to. A visit is left out where one with fewer positions has been made, so the search ends. It goes breadth first:
//! the query that is shown is a shortest one.

mod positions;
mod witness;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use positions::{Graph, Positions};

use crate::merge::{Merged, Overrides};
use crate::report::Findings;
use crate::subgraph::Schema;
use crate::syntax::{Directive, Root};

/// An object on the way of a query.
struct Visit<'a> {
    ty: &'a str,
    positions: Rc<Positions<'a>>,
    /// The visit before, and the field that leads on from there.
    from: Option<(usize, &'a str)>,
    /// The interface or union that the field returns.
    narrowed_from: Option<&'a str>,
}

/// Checks that all fields of the supergraph can be reached on all ways to them.
pub(crate) fn check(schemas: &[Schema], merged: &Merged, overrides: &Overrides, findings: &mut Findings) {
    let has_labels = schemas
        .iter()
        .flat_map(|schema| schema.types.values().flat_map(|ty| ty.fields.values()))
        .any(|field| field.overrides.as_ref().is_some_and(|overrides| overrides.label.is_some()));
    let mut told = BTreeSet::new();
    for labels_hold in if has_labels { &[false, true][..] } else { &[false][..] } {
        let graph = Graph::new(schemas, merged, overrides, *labels_hold);
        walk(&graph, &mut told, findings);
    }
}

fn walk<'a>(graph: &Graph<'a>, told: &mut BTreeSet<(&'a str, &'a str)>, findings: &mut Findings) {
    let mut visits: Vec<Visit<'a>> = Vec::new();
    let mut seen: BTreeMap<&'a str, Vec<Rc<Positions<'a>>>> = BTreeMap::new();
    let mut queue = VecDeque::new();
    for root in &graph.merged.roots {
        let name = root.type_name();
        let positions = Rc::new(graph.roots(name));
        seen.entry(name).or_default().push(Rc::clone(&positions));
        queue.push_back(visits.len());
        visits.push(Visit { ty: name, positions, from: None, narrowed_from: None });
    }
    while let Some(index) = queue.pop_front() {
        let (ty, positions) = (visits[index].ty, Rc::clone(&visits[index].positions));
        let Some(def) = graph.merged.types.get(ty) else { continue };
        for field in def.fields.iter().filter(|field| !is_hidden(&field.directives)) {
            let name = field.name.text.as_str();
            let next = graph.step(ty, name, &positions);
            if next.is_empty() {
                if told.insert((ty, name)) {
                    findings.errors.push(witness::error(graph, &visits, index, field));
                }
                continue;
            }
            let of = field.ty.name();
            if !graph.is_composite(of) || is_type_hidden(graph, of) {
                continue;
            }
            for possible in graph.possible(of) {
                let narrowed = graph.narrowed(possible, &next);
                if narrowed.is_empty() || is_type_hidden(graph, possible) {
                    continue;
                }
                let positions = graph.closure(possible, &narrowed);
                let known = seen.entry(possible).or_default();
                if known.iter().any(|fewer| fewer.is_subset(&positions)) {
                    continue;
                }
                known.push(Rc::clone(&positions));
                queue.push_back(visits.len());
                let narrowed_from = (of != *possible).then_some(of);
                visits.push(Visit { ty: possible, positions, from: Some((index, name)), narrowed_from });
            }
        }
    }
}

fn is_hidden(directives: &[Directive]) -> bool {
    directives.iter().any(|directive| directive.name == "inaccessible")
}

fn is_type_hidden(graph: &Graph<'_>, name: &str) -> bool {
    graph.merged.types.get(name).is_some_and(|ty| is_hidden(&ty.directives))
}

/// The word of the operation that begins at a root type.
fn operation(ty: &str) -> &'static str {
    Root::ALL.iter().find(|root| root.type_name() == ty).map_or("query", |root| root.keyword())
}
