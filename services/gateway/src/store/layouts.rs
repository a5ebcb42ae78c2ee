//! The keys of a request's objects, each kept once.
//!
//! Objects with the same keys in the same order have one [`Layout`]. So where a field stands is found out once for all entities
//! of a list, not for each, and how the fields of one subgraph join those of another just as well.

use std::collections::HashMap;

use foldhash::fast::RandomState;
use indexmap::{IndexMap, IndexSet};

use super::as_u32;

/// A key, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Name(u32);

impl Name {
    pub(crate) const TYPE_NAME: Self = Self(0);

    /// Names are numbered from 0 on, without gaps.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The keys of an object in their order, by the number of that sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Layout(u32);

/// How an object of one layout takes in the fields of another's.
#[derive(Debug)]
pub(crate) struct Joined {
    /// The keys of the first, then those that only the second has.
    pub(crate) layout: Layout,
    /// Where each field of the second goes.
    pub(crate) positions: Box<[u32]>,
}

/// All layouts of one request.
#[derive(Debug)]
pub(crate) struct Layouts {
    names: IndexSet<Box<[u8]>, RandomState>,
    sequences: IndexSet<Box<[Name]>, RandomState>,
    joined: IndexMap<(Layout, Layout), Joined, RandomState>,
}

impl Default for Layouts {
    fn default() -> Self {
        let mut layouts =
            Self { names: IndexSet::default(), sequences: IndexSet::default(), joined: IndexMap::default() };
        let first = layouts.name(b"__typename");
        debug_assert_eq!(first, Name::TYPE_NAME);
        layouts
    }
}

impl Layouts {
    /// The number of a key.
    pub(crate) fn name(&mut self, text: &[u8]) -> Name {
        let index = self.names.get_index_of(text).unwrap_or_else(|| self.names.insert_full(text.into()).0);
        Name(as_u32(index))
    }

    /// The number of a key, if any object has it.
    pub(crate) fn known_name(&self, text: &[u8]) -> Option<Name> {
        self.names.get_index_of(text).map(|index| Name(as_u32(index)))
    }

    pub(crate) fn text(&self, name: Name) -> &[u8] {
        &self.names[name.index()]
    }

    /// The layout of these keys.
    pub(crate) fn layout(&mut self, names: &[Name]) -> Layout {
        let known = self.sequences.get_index_of(names);
        Layout(as_u32(known.unwrap_or_else(|| self.sequences.insert_full(names.into()).0)))
    }

    /// The keys of a layout.
    pub(crate) fn names(&self, layout: Layout) -> &[Name] {
        &self.sequences[layout.0 as usize]
    }

    /// Where a key stands, the first time.
    pub(crate) fn position(&self, layout: Layout, name: Name) -> Option<usize> {
        self.names(layout).iter().position(|it| *it == name)
    }

    /// The number of what becomes of two layouts, for [`joined`](Self::joined).
    pub(crate) fn join(&mut self, first: Layout, second: Layout) -> usize {
        if let Some(known) = self.joined.get_index_of(&(first, second)) {
            return known;
        }
        let mut names = self.names(first).to_vec();
        let mut at: HashMap<Name, u32, RandomState> = HashMap::default();
        for (position, name) in names.iter().enumerate() {
            at.entry(*name).or_insert(as_u32(position));
        }
        let positions = self.names(second).iter().map(|name| {
            *at.entry(*name).or_insert_with(|| {
                names.push(*name);
                as_u32(names.len() - 1)
            })
        });
        let positions = positions.collect();
        let layout = self.layout(&names);
        self.joined.insert_full((first, second), Joined { layout, positions }).0
    }

    pub(crate) fn joined(&self, number: usize) -> &Joined {
        &self.joined[number]
    }
}
