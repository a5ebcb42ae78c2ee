//! How types of fields and arguments fit together.

use std::collections::{BTreeMap, BTreeSet};

use crate::subgraph::Schema;
use crate::syntax::{Kind, TypeRef};

/// Whether a value of type `sub` is always one of type `sup`; `named` says it of two different names.
pub(crate) fn is_subtype_in(sub: &TypeRef, sup: &TypeRef, named: &dyn Fn(&str, &str) -> bool) -> bool {
    match (sub, sup) {
        (TypeRef::NonNull(sub), TypeRef::NonNull(sup)) | (TypeRef::List(sub), TypeRef::List(sup)) => {
            is_subtype_in(sub, sup, named)
        }
        (TypeRef::NonNull(sub), _) => is_subtype_in(sub, sup, named),
        (TypeRef::Named(sub), TypeRef::Named(sup)) => sub == sup || named(sub, sup),
        _ => false,
    }
}

/// Which types are part of which, over all subgraphs.
#[derive(Debug, Default)]
pub(crate) struct Hierarchy {
    parts: BTreeMap<String, BTreeSet<String>>,
}

impl Hierarchy {
    pub(crate) fn of(schemas: &[Schema]) -> Self {
        let mut parts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for ty in schemas.iter().flat_map(|schema| schema.types.values()) {
            for interface in ty.interfaces.keys() {
                parts.entry(interface.clone()).or_default().insert(ty.name.text.clone());
            }
            if ty.kind == Kind::Union {
                parts.entry(ty.name.text.clone()).or_default().extend(ty.members.keys().cloned());
            }
        }
        Self { parts }
    }

    /// Whether one named type is part of another.
    pub(crate) fn is_part(&self, sub: &str, sup: &str) -> bool {
        self.parts.get(sup).is_some_and(|parts| parts.contains(sub))
    }

    /// The most general of some types of output, if there is one that all others are part of.
    pub(crate) fn most_general(&self, types: &[&TypeRef]) -> Option<TypeRef> {
        let is_subtype = |sub: &TypeRef, sup: &TypeRef| is_subtype_in(sub, sup, &|a, b| self.is_part(a, b));
        types
            .iter()
            .find(|candidate| types.iter().all(|ty| is_subtype(ty, candidate)))
            .map(|ty| (*ty).clone())
    }
}

/// The strictest of some types of input, if each accepts it.
pub(crate) fn strictest(types: &[&TypeRef]) -> Option<TypeRef> {
    let mut strictest = (*types.first()?).clone();
    for ty in types {
        strictest = stricter(&strictest, ty)?;
    }
    Some(strictest)
}

fn stricter(a: &TypeRef, b: &TypeRef) -> Option<TypeRef> {
    if a.is_non_null() || b.is_non_null() {
        return Some(TypeRef::NonNull(Box::new(stricter(a.nullable(), b.nullable())?)));
    }
    match (a, b) {
        (TypeRef::Named(a), TypeRef::Named(b)) if a == b => Some(TypeRef::Named(a.clone())),
        (TypeRef::List(a), TypeRef::List(b)) => Some(TypeRef::List(Box::new(stricter(a, b)?))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(text: &str) -> TypeRef {
        if let Some(inner) = text.strip_suffix('!') {
            TypeRef::NonNull(Box::new(ty(inner)))
        } else if let Some(inner) = text.strip_prefix('[') {
            TypeRef::List(Box::new(ty(inner.strip_suffix(']').expect("a list"))))
        } else {
            TypeRef::Named(text.to_owned())
        }
    }

    #[test]
    fn outputs_merge_to_the_most_general() {
        let mut hierarchy = Hierarchy::default();
        hierarchy.parts.insert("Media".to_owned(), BTreeSet::from(["Book".to_owned(), "Film".to_owned()]));
        let merged = |a: &str, b: &str| hierarchy.most_general(&[&ty(a), &ty(b)]).map(|ty| ty.to_string());
        assert_eq!(merged("Int!", "Int").as_deref(), Some("Int"));
        assert_eq!(merged("[Int!]", "[Int]!").as_deref(), None);
        assert_eq!(merged("[Int!]!", "[Int]").as_deref(), Some("[Int]"));
        assert_eq!(merged("Book!", "Media").as_deref(), Some("Media"));
        assert_eq!(merged("Book", "Media!").as_deref(), None);
        assert_eq!(merged("Book", "Film").as_deref(), None);
        assert_eq!(merged("Int", "Float").as_deref(), None);
        assert_eq!(merged("Int", "[Int]").as_deref(), None);
    }

    #[test]
    fn inputs_merge_to_the_strictest() {
        let merged = |a: &str, b: &str| strictest(&[&ty(a), &ty(b)]).map(|ty| ty.to_string());
        assert_eq!(merged("Int!", "Int").as_deref(), Some("Int!"));
        assert_eq!(merged("[Int!]", "[Int]!").as_deref(), Some("[Int!]!"));
        assert_eq!(merged("Int", "Float").as_deref(), None);
    }
}
