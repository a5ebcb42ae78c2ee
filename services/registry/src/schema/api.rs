//! What clients see of a supergraph.

use super::{Kind, Schema, Type};
use std::collections::BTreeSet;

/// Directives that every server has.
const BUILT_IN: [&str; 2] = ["include", "skip"];

/// The scalars that every schema has.
pub(crate) const SCALARS: [&str; 5] = ["ID", "String", "Boolean", "Int", "Float"];

/// Where an operation may have directives.
const EXECUTABLE: [&str; 7] = [
    "QUERY",
    "MUTATION",
    "SUBSCRIPTION",
    "FIELD",
    "FRAGMENT_DEFINITION",
    "FRAGMENT_SPREAD",
    "INLINE_FRAGMENT",
];

impl Schema {
    /// What clients see of a supergraph: nothing of how it is composed, and nothing that is `@inaccessible`.
    #[must_use]
    pub fn into_api(mut self) -> Self {
        self.types.retain(|name, ty| !name.contains("__") && !ty.about.has("inaccessible"));
        self.directives.retain(|name, directive| {
            directive.locations.retain(|location| EXECUTABLE.contains(location));
            !directive.locations.is_empty() && !name.contains("__") && !BUILT_IN.contains(&name.as_str())
        });
        let left: BTreeSet<String> = self.types.keys().cloned().collect();
        let known = |name: &str| SCALARS.contains(&name) || left.contains(name);
        for ty in self.types.values_mut() {
            ty.fields.retain(|_, field| !field.about.has("inaccessible") && known(field.ty.name()));
            for field in ty.fields.values_mut() {
                field.arguments.retain(|_, it| !it.about.has("inaccessible") && known(it.ty.name()));
            }
            ty.inputs.retain(|_, it| !it.about.has("inaccessible") && known(it.ty.name()));
            ty.values.retain(|_, about| !about.has("inaccessible"));
            ty.members.retain(|member| left.contains(member));
            ty.interfaces.retain(|interface| left.contains(interface));
        }
        // A type with nothing in it is none that a client could use.
        self.types.retain(|_, ty| !is_empty(ty));
        self.roots.retain(|_, name| left.contains(name));
        self
    }

    /// Types that values of a type can be: an object type is itself.
    pub(crate) fn possible<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        match self.types.get(name) {
            Some(ty) if ty.kind == Kind::Union => ty.members.iter().map(String::as_str).collect(),
            Some(ty) if ty.kind == Kind::Interface => {
                let objects = self.types.iter().filter(|(_, it)| it.kind == Kind::Object);
                objects
                    .filter(|(_, it)| it.interfaces.contains(name))
                    .map(|(name, _)| name.as_str())
                    .collect()
            }
            _ => BTreeSet::from([name]),
        }
    }
}

fn is_empty(ty: &Type) -> bool {
    match ty.kind {
        Kind::Scalar => false,
        Kind::Object | Kind::Interface => ty.fields.is_empty(),
        Kind::Union => ty.members.is_empty(),
        Kind::Enum => ty.values.is_empty(),
        Kind::Input => ty.inputs.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_see_neither_how_a_graph_is_composed_nor_what_is_inaccessible() {
        let supergraph = r#"
            schema @link(url: "https://specs.apollo.dev/link/v1.0") { query: Query mutation: Mutation }
            directive @join__type(graph: join__Graph!) on OBJECT
            directive @tag(name: String!) repeatable on FIELD_DEFINITION
            directive @live(of: Int) on FIELD | OBJECT
            directive @skip(if: Boolean!) on FIELD
            enum join__Graph { A @join__graph(name: "a", url: "") }
            scalar link__Import
            type Query @join__type(graph: A) { a(x: Int, y: Int @inaccessible): Int, b: Int @inaccessible, c: Secret, u: U, e: E }
            type Mutation @join__type(graph: A) @inaccessible { m: Int }
            type Secret @inaccessible { s: Int }
            type Open implements I { o: Int }
            interface I @inaccessible { o: Int }
            union U = Open | Secret
            enum E { ONE TWO @inaccessible }"#;
        let api = Schema::parse(supergraph).unwrap().into_api();
        assert_eq!(api.types.keys().collect::<Vec<_>>(), ["E", "Open", "Query", "U"]);
        assert_eq!(api.types["Query"].fields.keys().collect::<Vec<_>>(), ["a", "e", "u"]);
        assert_eq!(api.types["Query"].fields["a"].arguments.keys().collect::<Vec<_>>(), ["x"]);
        assert_eq!(api.types["E"].values.keys().collect::<Vec<_>>(), ["ONE"]);
        assert_eq!(api.types["U"].members.len(), 1);
        assert!(api.types["Open"].interfaces.is_empty());
        assert_eq!(api.directives.keys().collect::<Vec<_>>(), ["live"]);
        assert_eq!(api.roots.len(), 1);
    }
}
