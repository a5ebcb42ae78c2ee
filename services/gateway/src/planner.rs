//! The one place that knows the query planner: everything of `hive-router-query-planner` stays in here, so
//! that the planner can be replaced.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use graphql_tools::parser::{query, schema};
use hive_router_query_planner::{
    ast::{
        document::NormalizedDocument,
        normalization::normalize_operation,
        selection_item::SelectionItem,
        selection_set::{FieldSelection, SelectionSet},
    },
    planner::{
        Planner as HivePlanner, PlannerError, QueryPlannerOptions,
        plan_nodes::{
            FetchNode, FetchNodePathSegment, FetchRewrite, FlattenNodePath, FlattenNodePathSegment, PlanNode,
        },
    },
    state::supergraph_state::OperationKind,
    utils::cancellation::CancellationToken,
};

mod names;
mod rollout;

pub(crate) use rollout::Rollout;

use crate::operation::Conditions;
use crate::plan::{EntityGroup, Fetch, KeyRename, Need, Path, PathStep, Plan, Step, Target, TypeNameRewrite};
use crate::schema::possible_types;

/// Plans operations against one supergraph.
pub(crate) struct Planner {
    inner: HivePlanner,
    possible: HashMap<String, HashSet<String>>,
    pub(crate) rollout: Rollout,
}

/// Why there is no planner, or no plan.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum PlanError {
    #[error("the planner refused the supergraph: {0}")]
    Supergraph(String),
    #[error("the operation could not be normalised: {0}")]
    Normalise(String),
    #[error("no plan answers the operation: {0}")]
    NoPlan(String),
    #[error("planning took longer than {0:?}")]
    TimedOut(Duration),
    #[error("the plan has a {0}, which is not supported")]
    Unsupported(&'static str),
}

/// An operation in the form that the planner takes; two operations that mean the same have the same text.
pub(crate) struct Normalised {
    document: NormalizedDocument,
    /// Identifies the operation among all that are planned against the supergraph.
    pub(crate) text: String,
}

/// What the planner says of a fetch.
pub(crate) struct PlannedFetch {
    pub(crate) subgraph: String,
    pub(crate) is_mutation: bool,
    pub(crate) document: String,
    pub(crate) variables: Vec<String>,
    pub(crate) target: Target,
}

impl Planner {
    /// Reads a supergraph that has been checked: the planner panics on some that are not.
    ///
    /// Of the labels of `@override` that are no percentage, those in `labels` hold.
    pub(crate) fn new(
        supergraph: &schema::Document<'static, String>,
        labels: &[String],
    ) -> Result<Self, PlanError> {
        let named = names::ordered(supergraph);
        let inner = guarded(|| HivePlanner::new_from_supergraph(&named, QueryPlannerOptions::default()))
            .map_err(PlanError::Supergraph)?
            .map_err(|error| PlanError::Supergraph(error.to_string()))?;
        let rollout = Rollout::of(supergraph, labels);
        Ok(Self { inner, possible: possible_types(supergraph), rollout })
    }

    /// The schema that clients see, introspection types included.
    pub(crate) fn client_schema(&self) -> &schema::Document<'static, String> {
        &self.inner.consumer_schema.document
    }

    /// Normalises a document with one operation.
    pub(crate) fn normalise(
        &self,
        document: &query::Document<'static, String>,
    ) -> Result<Normalised, PlanError> {
        let document = guarded(|| normalize_operation(&self.inner.supergraph, document, None))
            .map_err(PlanError::Normalise)?
            .map_err(|error| PlanError::Normalise(error.to_string()))?;
        let mut operation = document;
        operation.operation.name = None;
        let text = operation.to_string();
        Ok(Normalised { document: operation, text })
    }

    /// Plans an operation under the labels that hold, or gives up after `timeout`.
    pub(crate) fn plan(
        &self,
        operation: &Normalised,
        conditions: &Conditions,
        timeout: Duration,
    ) -> Result<Plan, PlanError> {
        let token = CancellationToken::with_timeout(timeout);
        let planned = guarded(|| {
            self.inner.plan_from_normalized_operation(
                operation.document.executable_operation(),
                self.rollout.context(conditions),
                &token,
            )
        })
        .map_err(PlanError::NoPlan)?;
        let plan = planned.map_err(|error| match error {
            PlannerError::CancellationError(_) => PlanError::TimedOut(timeout),
            error if token.bail_if_cancelled().is_err() => {
                let _ = error;
                PlanError::TimedOut(timeout)
            }
            error => PlanError::NoPlan(error.to_string()),
        })?;
        let (events, root) = plan.node.map_or((None, None), parted);
        let events = events.map(|fetch| self.fetch(fetch, &Vec::new())).transpose()?;
        let root = root.map(|node| self.step(node, &Vec::new())).transpose()?;
        Ok(Plan { events, root })
    }

    fn fetch(&self, fetch: FetchNode, path: &Path) -> Result<Fetch, PlanError> {
        let output = self.key_renames(fetch.output_rewrites)?;
        let target = match fetch.requires {
            None => {
                let keys = keys(&fetch.operation.document.operation.selection_set);
                Target::Objects { path: path.clone(), keys, output }
            }
            Some(requires) => Target::Entities(vec![EntityGroup {
                key: "_entities".to_owned(),
                variable: "representations".to_owned(),
                paths: vec![path.clone()],
                representation: self.needs(&requires)?,
                type_names: self.type_name_rewrites(fetch.input_rewrites)?,
                output,
            }]),
        };
        Ok(Fetch::new(PlannedFetch {
            subgraph: names::original(fetch.service_name),
            is_mutation: matches!(fetch.operation_kind, Some(OperationKind::Mutation)),
            document: fetch.operation.document_str,
            variables: fetch.variable_usages.into_iter().flatten().collect(),
            target,
        }))
    }

    fn step(&self, node: PlanNode, path: &Path) -> Result<Step, PlanError> {
        let all = |nodes: Vec<PlanNode>| -> Result<Vec<Step>, PlanError> {
            nodes.into_iter().map(|node| self.step(node, path)).collect()
        };
        let boxed = |node: Option<Box<PlanNode>>| -> Result<Option<Box<Step>>, PlanError> {
            node.map(|node| self.step(*node, path).map(Box::new)).transpose()
        };
        Ok(match node {
            PlanNode::Sequence(sequence) => Step::Sequence(all(sequence.nodes)?),
            PlanNode::Parallel(parallel) => Step::Parallel(all(parallel.nodes)?),
            PlanNode::Condition(condition) => Step::Condition {
                variable: condition.condition,
                then: boxed(condition.if_clause)?,
                otherwise: boxed(condition.else_clause)?,
            },
            PlanNode::Flatten(flatten) => {
                let mut deeper = path.clone();
                deeper.extend(self.path(&flatten.path));
                self.step(*flatten.node, &deeper)?
            }
            PlanNode::Fetch(fetch) => Step::Fetch(self.fetch(fetch, path)?),
            PlanNode::BatchFetch(batch) => {
                let groups = batch
                    .entity_batch
                    .aliases
                    .into_iter()
                    .map(|alias| {
                        Ok(EntityGroup {
                            key: alias.alias,
                            variable: alias.representations_variable_name,
                            paths: alias.merge_paths.iter().map(|path| self.path(path)).collect(),
                            representation: self.needs(&alias.requires)?,
                            type_names: self.type_name_rewrites(alias.input_rewrites)?,
                            output: self.key_renames(alias.output_rewrites)?,
                        })
                    })
                    .collect::<Result<_, PlanError>>()?;
                Step::Fetch(Fetch::new(PlannedFetch {
                    subgraph: names::original(batch.service_name),
                    is_mutation: false,
                    document: batch.operation.document_str,
                    variables: batch.variable_usages.into_iter().flatten().collect(),
                    target: Target::Entities(groups),
                }))
            }
            PlanNode::Subscription(_) => return Err(PlanError::Unsupported("subscription within it")),
            PlanNode::Defer(_) => return Err(PlanError::Unsupported("deferred part")),
        })
    }

    fn path(&self, path: &FlattenNodePath) -> Path {
        path.as_slice()
            .iter()
            .map(|segment| match segment {
                FlattenNodePathSegment::Field(key) => PathStep::Field(key.clone()),
                FlattenNodePathSegment::List => PathStep::Each,
                FlattenNodePathSegment::TypeCondition(names) => {
                    PathStep::OfType(self.types(names.iter().map(String::as_str)))
                }
            })
            .collect()
    }

    /// All type names that an object may carry where one of `names` is asked for: the object types, and the
    /// names themselves, as an `@interfaceObject` subgraph answers with the interface's name.
    fn types<'a>(&self, names: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        let mut types = BTreeSet::new();
        for name in names {
            types.insert(name.to_owned());
            types.extend(self.possible.get(name).into_iter().flatten().cloned());
        }
        types
    }

    fn needs(&self, selections: &SelectionSet) -> Result<Vec<Need>, PlanError> {
        selections
            .items
            .iter()
            .map(|item| match item {
                SelectionItem::Field(field) => self.need(field),
                SelectionItem::InlineFragment(fragment) => Ok(Need::OfType {
                    types: self.types(std::iter::once(fragment.type_condition.as_str())),
                    fields: self.needs(&fragment.selections)?,
                }),
                SelectionItem::FragmentSpread(_) => Err(PlanError::Unsupported("fragment in a requirement")),
            })
            .collect()
    }

    fn need(&self, field: &FieldSelection) -> Result<Need, PlanError> {
        let key = field.selection_identifier();
        Ok(Need::Field {
            from: field.name.clone(),
            key: key.to_owned(),
            prefix: format!("\"{key}\":").into_bytes(),
            is_type_name: field.name == "__typename",
            fields: self.needs(&field.selections)?,
        })
    }

    fn type_name_rewrites(
        &self,
        rewrites: Option<Vec<FetchRewrite>>,
    ) -> Result<Vec<TypeNameRewrite>, PlanError> {
        rewrites
            .into_iter()
            .flatten()
            .map(|rewrite| {
                let FetchRewrite::ValueSetter(setter) = rewrite else {
                    return Err(PlanError::Unsupported("renamed key in a representation"));
                };
                let types = match setter.path.as_slice() {
                    [FetchNodePathSegment::Key(key)] if key == "__typename" => None,
                    [FetchNodePathSegment::TypenameEquals(types), FetchNodePathSegment::Key(key)]
                        if key == "__typename" =>
                    {
                        Some(self.types(types.iter().map(String::as_str)))
                    }
                    _ => return Err(PlanError::Unsupported("rewrite inside a representation")),
                };
                Ok(TypeNameRewrite { types, name: setter.set_value_to })
            })
            .collect()
    }

    fn key_renames(&self, rewrites: Option<Vec<FetchRewrite>>) -> Result<Vec<KeyRename>, PlanError> {
        rewrites
            .into_iter()
            .flatten()
            .map(|rewrite| {
                let FetchRewrite::KeyRenamer(mut renamer) = rewrite else {
                    return Err(PlanError::Unsupported("value set in an answer"));
                };
                let Some(FetchNodePathSegment::Key(from)) = renamer.path.pop() else {
                    return Err(PlanError::Unsupported("rename without a key"));
                };
                let path = renamer
                    .path
                    .into_iter()
                    .map(|segment| match segment {
                        FetchNodePathSegment::Key(key) => PathStep::Field(key),
                        FetchNodePathSegment::TypenameEquals(types) => {
                            PathStep::OfType(self.types(types.iter().map(String::as_str)))
                        }
                    })
                    .collect();
                Ok(KeyRename { path, from, to: renamer.rename_key_to })
            })
            .collect()
    }
}

/// Parts what a subscription listens to from what is done for each of its events.
fn parted(node: PlanNode) -> (Option<FetchNode>, Option<PlanNode>) {
    match node {
        PlanNode::Subscription(subscription) => (Some(subscription.primary), None),
        PlanNode::Sequence(mut sequence)
            if matches!(sequence.nodes.first(), Some(PlanNode::Subscription(_))) =>
        {
            let PlanNode::Subscription(subscription) = sequence.nodes.remove(0) else {
                return (None, Some(PlanNode::Sequence(sequence)));
            };
            let rest = (!sequence.nodes.is_empty()).then_some(PlanNode::Sequence(sequence));
            (Some(subscription.primary), rest)
        }
        other => (None, Some(other)),
    }
}

/// The response keys of the fields that stand in a selection set itself.
fn keys(selections: &SelectionSet) -> Vec<String> {
    let fields = selections.items.iter().filter_map(|item| match item {
        SelectionItem::Field(field) => Some(field.selection_identifier().to_owned()),
        SelectionItem::InlineFragment(_) | SelectionItem::FragmentSpread(_) => None,
    });
    fields.collect()
}

/// Runs the planner so that a panic in it fails one operation, not the process.
fn guarded<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        format!("the planner panicked: {text}")
    })
}
