//! What to fetch from whom, in which order: a value, made once for an operation and kept.
//!
//! Everything that does not change from request to request is worked out here, down to the JSON text of
//! each subgraph request up to its variables.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::planner::PlannedFetch;
use crate::transport::HashedDocument;

/// The fetches of one operation.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    /// What a subscription listens to: each of its events is an answer to this.
    pub(crate) events: Option<Fetch>,
    /// What is to be asked; of a subscription, for each event. `None` if the operation asks nothing more of any subgraph.
    pub(crate) root: Option<Step>,
}

/// A node of the fetch tree.
#[derive(Debug)]
pub(crate) enum Step {
    Fetch(Fetch),
    /// One after the other.
    Sequence(Vec<Step>),
    /// All at once.
    Parallel(Vec<Step>),
    /// Depending on a boolean variable.
    Condition {
        variable: String,
        then: Option<Box<Step>>,
        otherwise: Option<Box<Step>>,
    },
}

/// One request to a subgraph.
#[derive(Debug)]
pub(crate) struct Fetch {
    pub(crate) subgraph: String,
    pub(crate) is_mutation: bool,
    /// `{"query":"…"`, ready to be followed by the variables.
    pub(crate) body_prefix: Vec<u8>,
    /// The same by its hash; a mutation has none.
    pub(crate) document: Option<Arc<HashedDocument>>,
    /// The client's variables that it uses.
    pub(crate) variables: Vec<String>,
    pub(crate) target: Target,
}

/// Where a fetch's data goes.
#[derive(Debug)]
pub(crate) enum Target {
    /// Into the objects at a path; the empty path is the root.
    Objects {
        path: Path,
        /// The keys of the fields that are asked for.
        keys: Vec<String>,
        output: Vec<KeyRename>,
    },
    /// Into the entities that it asked for.
    Entities(Vec<EntityGroup>),
}

/// The entities behind one `_entities` field.
#[derive(Debug)]
pub(crate) struct EntityGroup {
    /// The field's response key.
    pub(crate) key: String,
    /// The variable that carries its representations; groups over the same entities share one.
    pub(crate) variable: String,
    /// Where in the answer the entities are.
    pub(crate) paths: Vec<Path>,
    /// What a representation holds.
    pub(crate) representation: Vec<Need>,
    /// Type names to send in place of the entity's own, the first match wins.
    pub(crate) type_names: Vec<TypeNameRewrite>,
    pub(crate) output: Vec<KeyRename>,
}

/// A way into the answer, from its root.
pub(crate) type Path = Vec<PathStep>;

/// A step on the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathStep {
    /// Into a field, by its response key.
    Field(String),
    /// Into each item of a list.
    Each,
    /// On, if the object is of one of these types.
    OfType(BTreeSet<String>),
}

/// A part of a representation.
#[derive(Debug)]
pub(crate) enum Need {
    Field {
        /// The key to read the value under; if there is none, it is read under the key it is sent with.
        from: String,
        key: String,
        /// `"key":`, as sent to the subgraph.
        prefix: Vec<u8>,
        is_type_name: bool,
        fields: Vec<Need>,
    },
    /// Fields of objects of certain types.
    OfType { types: BTreeSet<String>, fields: Vec<Need> },
}

/// Sends another `__typename` for entities of these types.
#[derive(Debug)]
pub(crate) struct TypeNameRewrite {
    pub(crate) types: Option<BTreeSet<String>>,
    pub(crate) name: String,
}

/// Gives a field of the subgraph's answer the name that the client's query has for it.
#[derive(Debug)]
pub(crate) struct KeyRename {
    /// The way to the object, lists passed through silently.
    pub(crate) path: Path,
    pub(crate) from: String,
    pub(crate) to: String,
}

impl Fetch {
    pub(crate) fn new(planned: PlannedFetch) -> Self {
        let PlannedFetch { subgraph, is_mutation, document, variables, target } = planned;
        let mut body_prefix = b"{\"query\":".to_vec();
        serde_json::to_writer(&mut body_prefix, &document).expect("a string is always JSON");
        let hashed = || Arc::new(HashedDocument::new(&document, body_prefix.len()));
        let document = (!is_mutation).then(hashed);
        Self { subgraph, is_mutation, body_prefix, document, variables, target }
    }
}
