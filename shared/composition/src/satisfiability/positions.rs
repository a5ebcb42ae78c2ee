//! Where an object can be asked: in which subgraphs, and how one leads to the next.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;

use crate::merge::{Merged, Overrides};
use crate::subgraph::{Field, FieldSet, Schema};
use crate::syntax::{Kind, Selection};

/// A way to ask for an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position<'a> {
    /// The subgraph, by its index.
    pub(super) graph: usize,
    /// What the object is there: its type, or an `@interfaceObject` that stands for it.
    pub(super) ty: &'a str,
    /// The `@provides` under way, by its index; 0 is none.
    provided: usize,
}

impl<'a> Position<'a> {
    /// Where an object is that went into a subgraph by a key.
    pub(super) fn entered(graph: usize, ty: &'a str) -> Self {
        Self { graph, ty, provided: 0 }
    }
}

pub(super) type Positions<'a> = BTreeSet<Position<'a>>;

/// A way into a subgraph from any other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) graph: usize,
    /// What is entered: the object's type, an `@interfaceObject`, or an interface with a key.
    pub(super) ty: &'a str,
    pub(super) key: &'a FieldSet,
}

/// The subgraphs, as far as queries walk through them.
pub(super) struct Graph<'a> {
    pub(super) schemas: &'a [Schema],
    pub(super) merged: &'a Merged,
    overrides: &'a Overrides,
    /// Whether labels of `@override` hold.
    labels_hold: bool,
    /// Selections of `@provides`, by index.
    provided: RefCell<Vec<Vec<&'a Selection>>>,
    provided_ids: RefCell<HashMap<Vec<*const Selection>, usize>>,
    entries: HashMap<&'a str, Vec<Entry<'a>>>,
    possible: HashMap<&'a str, Vec<&'a str>>,
    closures: RefCell<HashMap<(&'a str, Positions<'a>), Rc<Positions<'a>>>>,
    in_progress: RefCell<HashSet<(&'a str, Positions<'a>)>>,
    /// Some search came back to one that is in progress.
    is_cut: Cell<bool>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(
        schemas: &'a [Schema],
        merged: &'a Merged,
        overrides: &'a Overrides,
        labels_hold: bool,
    ) -> Self {
        let objects = merged.types.values().filter(|ty| ty.kind == Kind::Object);
        let mut possible: HashMap<&str, Vec<&str>> = HashMap::new();
        let mut entries = HashMap::new();
        for object in objects {
            let name = object.name.text.as_str();
            possible.entry(name).or_default().push(name);
            let mut ways = Vec::new();
            for (graph, schema) in schemas.iter().enumerate() {
                let names =
                    std::iter::once(name).chain(object.interfaces.iter().map(|name| name.text.as_str()));
                for ty in names.filter_map(|name| schema.types.get(name)) {
                    let resolvable = ty.keys.iter().filter(|key| key.is_resolvable);
                    ways.extend(resolvable.map(|key| Entry { graph, ty: &ty.name.text, key: &key.fields }));
                }
            }
            entries.insert(name, ways);
            for interface in &object.interfaces {
                possible.entry(&interface.text).or_default().push(name);
            }
        }
        for union in merged.types.values().filter(|ty| ty.kind == Kind::Union) {
            possible
                .entry(&union.name.text)
                .or_default()
                .extend(union.members.iter().map(|member| member.text.as_str()));
        }
        Self {
            schemas,
            merged,
            overrides,
            labels_hold,
            provided: RefCell::new(vec![Vec::new()]),
            provided_ids: RefCell::default(),
            entries,
            possible,
            closures: RefCell::default(),
            in_progress: RefCell::default(),
            is_cut: Cell::new(false),
        }
    }

    /// All positions of a root type.
    pub(super) fn roots(&self, name: &'a str) -> Positions<'a> {
        let having = self.schemas.iter().enumerate().filter(|(_, schema)| schema.types.contains_key(name));
        having.map(|(graph, _)| Position { graph, ty: name, provided: 0 }).collect()
    }

    pub(super) fn entries(&self, ty: &str) -> &[Entry<'a>] {
        self.entries.get(ty).map_or(&[], Vec::as_slice)
    }

    /// The object types that a type of the supergraph stands for.
    pub(super) fn possible(&self, ty: &str) -> &[&'a str] {
        self.possible.get(ty).map_or(&[], Vec::as_slice)
    }

    /// The type in the supergraph of a field.
    pub(super) fn type_of(&self, ty: &str, field: &str) -> Option<&'a str> {
        let ty = self.merged.types.get(ty)?;
        ty.fields.iter().find(|known| known.name.text == field).map(|known| known.ty.name())
    }

    pub(super) fn is_composite(&self, ty: &str) -> bool {
        self.merged.types.get(ty).is_some_and(|ty| ty.kind.is_composite())
    }

    fn is_interface_object(&self, position: &Position<'_>) -> bool {
        self.schemas[position.graph].types.get(position.ty).is_some_and(|ty| ty.is_interface_object)
    }

    /// The positions of those objects at `positions` that are of type `ty`.
    pub(super) fn narrowed(&self, ty: &'a str, positions: &Positions<'a>) -> Positions<'a> {
        let interfaces = self.merged.types.get(ty).map_or(&[][..], |ty| ty.interfaces.as_slice());
        positions
            .iter()
            .filter_map(|position| {
                if position.ty == ty {
                    return Some(*position);
                }
                if self.is_interface_object(position) {
                    return interfaces.iter().any(|name| name.text == position.ty).then_some(*position);
                }
                let schema = &self.schemas[position.graph];
                schema.possible(position.ty).contains(&ty).then_some(Position { ty, ..*position })
            })
            .collect()
    }

    /// All positions that can be had of an object of type `ty` at some.
    pub(super) fn closure(&self, ty: &'a str, positions: &Positions<'a>) -> Rc<Positions<'a>> {
        let id = (ty, positions.clone());
        if let Some(known) = self.closures.borrow().get(&id) {
            return Rc::clone(known);
        }
        // Keys may lead back to where they are asked for: what is not known yet does not count.
        if !self.in_progress.borrow_mut().insert(id.clone()) {
            self.is_cut.set(true);
            return Rc::new(positions.clone());
        }
        let was_cut = self.is_cut.replace(false);
        let mut all = positions.clone();
        if ty == "Query" {
            all.extend(self.roots(ty));
        }
        loop {
            let before = all.len();
            for entry in self.entries(ty) {
                let target = Position { graph: entry.graph, ty: self.entered(ty, entry), provided: 0 };
                if !all.contains(&target) && self.may_enter(ty, entry, &all) {
                    all.insert(target);
                }
            }
            if all.len() == before {
                break;
            }
        }
        self.in_progress.borrow_mut().remove(&id);
        let all = Rc::new(all);
        // What was cut short may be less than all, unless it was its own search that came back.
        if !self.is_cut.get() || self.in_progress.borrow().is_empty() {
            self.closures.borrow_mut().insert(id, Rc::clone(&all));
            self.is_cut.set(was_cut);
        }
        all
    }

    /// What an object of type `ty` is after it went through an entry: an interface tells the object's own type.
    fn entered(&self, ty: &'a str, entry: &Entry<'a>) -> &'a str {
        let is_interface =
            self.schemas[entry.graph].types.get(entry.ty).is_some_and(|ty| ty.kind == Kind::Interface);
        if is_interface { ty } else { entry.ty }
    }

    /// Whether an object that can be asked at `positions` can be asked through the entry.
    pub(super) fn may_enter(&self, ty: &'a str, entry: &Entry<'a>, positions: &Positions<'a>) -> bool {
        let schema = &self.schemas[entry.graph];
        if entry.ty == ty {
            // A subgraph with an `@interfaceObject` can't tell what its objects are.
            if positions.iter().all(|position| self.is_interface_object(position)) {
                return false;
            }
        } else if schema.types.get(entry.ty).is_some_and(|ty| ty.kind == Kind::Interface)
            && !schema.types.contains_key(ty)
        {
            return false;
        }
        self.can(&entry.key.selections, ty, positions)
    }

    /// Whether a selection on an object of type `ty` can be answered.
    pub(super) fn can(&self, selections: &'a [Selection], ty: &'a str, positions: &Positions<'a>) -> bool {
        self.first_missing(selections, ty, positions).is_none()
    }

    /// The first field of a selection that can't be answered, as `Type.field`.
    pub(super) fn first_missing(
        &self,
        selections: &'a [Selection],
        ty: &'a str,
        positions: &Positions<'a>,
    ) -> Option<String> {
        selections.iter().find_map(|selection| match selection {
            Selection::Field { name, .. } if name == "__typename" => None,
            Selection::Field { name, selections, .. } => {
                let next = self.step(ty, name, positions);
                if next.is_empty() {
                    return Some(format!("{ty}.{name}"));
                }
                if selections.is_empty() {
                    return None;
                }
                let of = self.type_of(ty, name)?;
                self.possible(of).iter().find_map(|possible| {
                    let narrowed = self.narrowed(possible, &next);
                    if narrowed.is_empty() {
                        return None;
                    }
                    self.first_missing(selections, possible, &self.closure(possible, &narrowed))
                })
            }
            Selection::Fragment { on, selections, .. } => {
                let applies = on.as_deref().is_none_or(|on| on == ty || self.possible(on).contains(&ty));
                if applies { self.first_missing(selections, ty, positions) } else { None }
            }
        })
    }

    /// Where a field of an object leads, asked at each position that can answer it.
    pub(super) fn step(&self, ty: &'a str, field: &str, positions: &Positions<'a>) -> Positions<'a> {
        positions
            .iter()
            .filter_map(|position| {
                let (field, next) = self.resolved_at(ty, field, position)?;
                let is_free = field.requires.as_ref().is_none_or(|requires| {
                    self.can_return(ty, position, positions) && self.can(&requires.selections, ty, positions)
                });
                is_free.then_some(next)
            })
            .collect()
    }

    /// Whether the subgraph of a position can be asked again, with what another gave.
    pub(super) fn can_return(&self, ty: &'a str, position: &Position<'a>, positions: &Positions<'a>) -> bool {
        self.entries(ty)
            .iter()
            .filter(|entry| entry.graph == position.graph && entry.ty == position.ty)
            .any(|entry| self.can(&entry.key.selections, ty, positions))
    }

    /// The field as the subgraph of a position has it, and where it leads, if it is resolved there at all.
    pub(super) fn resolved_at(
        &self,
        ty: &str,
        name: &str,
        position: &Position<'a>,
    ) -> Option<(&'a Field, Position<'a>)> {
        let schema = &self.schemas[position.graph];
        let field = schema.types.get(position.ty)?.fields.get(name)?;
        if let Some(overridden) = self.overrides.get(position.graph, position.ty, name)
            && (overridden.label.is_none() || self.labels_hold)
        {
            return None;
        }
        let waits = field.overrides.as_ref().is_some_and(|overrides| overrides.label.is_some());
        if waits && !self.labels_hold && self.is_taken_over(field, position.ty) {
            return None;
        }
        let mut inner: Vec<&'a Selection> = Vec::new();
        let selections = self.provided.borrow()[position.provided].clone();
        let is_provided = self.collect_provided(&selections, ty, name, &mut inner);
        if field.is_external() && !is_provided {
            return None;
        }
        if let Some(provides) = &field.provides {
            inner.extend(&provides.selections);
        }
        let next = Position { graph: position.graph, ty: field.ty.name(), provided: self.provided_id(inner) };
        Some((field, next))
    }

    /// Whether the subgraph that a field overrides has it still.
    fn is_taken_over(&self, field: &Field, ty: &str) -> bool {
        field.overrides.as_ref().is_some_and(|overrides| {
            self.schemas.iter().any(|schema| {
                schema.name == overrides.from
                    && schema.types.get(ty).is_some_and(|ty| ty.fields.contains_key(&field.name.text))
            })
        })
    }

    /// What `@provides` selects of a field, fragments that apply looked through.
    fn collect_provided(
        &self,
        selections: &[&'a Selection],
        ty: &str,
        wanted: &str,
        inner: &mut Vec<&'a Selection>,
    ) -> bool {
        let mut found = false;
        for selection in selections {
            match selection {
                Selection::Field { name, selections, .. } if name == wanted => {
                    found = true;
                    inner.extend(selections);
                }
                Selection::Field { .. } => {}
                Selection::Fragment { on, selections, .. } => {
                    if on.as_deref().is_none_or(|on| on == ty || self.possible(on).contains(&ty)) {
                        let selections: Vec<&Selection> = selections.iter().collect();
                        found |= self.collect_provided(&selections, ty, wanted, inner);
                    }
                }
            }
        }
        found
    }

    fn provided_id(&self, selections: Vec<&'a Selection>) -> usize {
        if selections.is_empty() {
            return 0;
        }
        let id: Vec<*const Selection> =
            selections.iter().map(|selection| std::ptr::from_ref(*selection)).collect();
        let mut ids = self.provided_ids.borrow_mut();
        *ids.entry(id).or_insert_with(|| {
            let mut provided = self.provided.borrow_mut();
            provided.push(selections);
            provided.len() - 1
        })
    }

    /// The subgraphs of some positions, by name.
    pub(super) fn names(&self, positions: &Positions<'a>) -> Vec<&'a str> {
        let by_index: BTreeMap<usize, &str> = positions
            .iter()
            .map(|position| (position.graph, self.schemas[position.graph].name.as_str()))
            .collect();
        by_index.into_values().collect()
    }
}
