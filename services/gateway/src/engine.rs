//! All that is worked out of one supergraph: its client schema, its planner, and the operations seen so far.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use graphql_tools::parser::query::Value;
use graphql_tools::parser::schema::{Definition, TypeDefinition};
use quick_cache::sync::Cache;

use crate::config::Config;
use crate::error::{GraphQlError, codes};
use crate::operation::{self, Conditions, Operation, OperationKind, Validator};
use crate::plan::Plan;
use crate::planner::{PlanError, Planner};
use crate::schema::Schema;
use crate::shape::{self, Shape};
use crate::supergraph::Supergraph;

/// How many combinations of `@skip` and `@include` are kept for one operation.
const VARIANTS: usize = 32;

/// One supergraph, ready to be queried. It never changes: a new supergraph makes a new engine.
pub(crate) struct Engine {
    pub(crate) supergraph: Supergraph,
    pub(crate) schema: Schema,
    planner: Planner,
    validator: Validator,
    addresses: HashMap<String, String>,
    /// Abstract types of which the gateway asks each object's type: all but those that some subgraph has as
    /// an `@interfaceObject`, which would have to ask another subgraph for it.
    type_names_wanted: HashSet<String>,
    operations: Cache<Asked, Arc<Known>>,
    /// Plans by the operation's normalised text.
    plans: Cache<Arc<str>, Arc<Plan>>,
}

/// A document, and the name of the operation in it that is wanted.
type Asked = (Arc<str>, Option<Arc<str>>);

/// A valid operation, with what was prepared for it so far.
pub(crate) struct Known {
    pub(crate) operation: Operation,
    prepared: Mutex<Vec<(Conditions, Arc<Prepared>)>>,
}

/// An operation with its conditions decided: what to fetch, and what the answer looks like.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) shape: Arc<Shape>,
}

impl Engine {
    pub(crate) fn new(supergraph: Supergraph, config: &Config) -> Result<Self, PlanError> {
        let planner = Planner::new(supergraph.document())?;
        let schema = Schema::new(planner.client_schema());
        let validator = Validator::new(planner.client_schema().clone());
        let interface_objects = interface_objects(&supergraph);
        let type_names_wanted = schema
            .types()
            .iter()
            .filter(|def| def.is_abstract() && !interface_objects.contains(&def.name))
            .map(|def| def.name.clone())
            .collect();
        let addresses =
            supergraph.graphs().iter().map(|graph| (graph.name.clone(), graph.url.clone())).collect();
        Ok(Self {
            supergraph,
            schema,
            planner,
            validator,
            addresses,
            type_names_wanted,
            operations: Cache::new(config.operation_cache.max(1)),
            plans: Cache::new(config.plan_cache.max(1)),
        })
    }

    /// Where a subgraph answers.
    pub(crate) fn address(&self, subgraph: &str) -> String {
        self.addresses.get(subgraph).cloned().unwrap_or_default()
    }

    /// The operation of a document: known already, or checked now.
    pub(crate) async fn operation(
        self: &Arc<Self>,
        text: &str,
        name: Option<&str>,
        config: &Arc<Config>,
    ) -> Result<Arc<Known>, Vec<GraphQlError>> {
        if text.len() > config.limits.body_bytes {
            let message = format!("the document has more than {} bytes", config.limits.body_bytes);
            return Err(vec![GraphQlError::new(codes::BODY_TOO_LARGE, message)]);
        }
        let key: Asked = (Arc::from(text), name.map(Arc::from));
        if let Some(known) = self.operations.get(&key) {
            return Ok(known);
        }
        let engine = Arc::clone(self);
        let config = Arc::clone(config);
        blocking(move || {
            let name = key.1.as_deref();
            let operation =
                operation::parse(&key.0, name, &engine.schema, &engine.validator, &config.limits)?;
            let known = Arc::new(Known { operation, prepared: Mutex::default() });
            engine.operations.insert(key, Arc::clone(&known));
            Ok(known)
        })
        .await
    }

    /// The plan and the shape of an operation under some conditions: known already, or worked out now.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        known: &Arc<Known>,
        conditions: Conditions,
        config: &Arc<Config>,
    ) -> Result<Arc<Prepared>, Vec<GraphQlError>> {
        if let Some(prepared) = known.get(&conditions) {
            return Ok(prepared);
        }
        let (engine, known, config) = (Arc::clone(self), Arc::clone(known), Arc::clone(config));
        blocking(move || {
            let prepared = Arc::new(engine.prepare_now(&known.operation, &conditions, &config)?);
            known.keep(conditions, Arc::clone(&prepared));
            Ok(prepared)
        })
        .await
    }

    fn prepare_now(
        &self,
        operation: &Operation,
        conditions: &Conditions,
        config: &Config,
    ) -> Result<Prepared, Vec<GraphQlError>> {
        let root = match operation.kind {
            OperationKind::Mutation => self.schema.mutation.as_deref().unwrap_or_default(),
            OperationKind::Query | OperationKind::Subscription => &self.schema.query,
        };
        let shape = shape::shape(operation, conditions, &self.schema, root);
        let wants = |name: &str| self.type_names_wanted.contains(name);
        let plan = match operation.for_planning(conditions, &self.schema, &wants) {
            None => Arc::new(Plan { root: None }),
            Some(document) => {
                let normalised =
                    self.planner.normalise(&document).map_err(|error| vec![plan_error(&error)])?;
                let key: Arc<str> = Arc::from(normalised.text.as_str());
                let planned = self.plans.get_or_insert_with(&key, || {
                    self.planner.plan(&normalised, config.planning_timeout).map(Arc::new)
                });
                planned.map_err(|error| vec![plan_error(&error)])?
            }
        };
        Ok(Prepared { plan, shape })
    }
}

impl Known {
    fn get(&self, conditions: &Conditions) -> Option<Arc<Prepared>> {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.iter().find(|(known, _)| known == conditions).map(|(_, prepared)| Arc::clone(prepared))
    }

    fn keep(&self, conditions: Conditions, value: Arc<Prepared>) {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared.len() >= VARIANTS {
            prepared.remove(0);
        }
        prepared.push((conditions, value));
    }
}

/// Parsing, validation and planning may take long, and must not hold up requests that only wait.
async fn blocking<T: Send + 'static>(
    run: impl FnOnce() -> Result<T, Vec<GraphQlError>> + Send + 'static,
) -> Result<T, Vec<GraphQlError>> {
    tokio::task::spawn_blocking(run).await.unwrap_or_else(|error| {
        tracing::error!(%error, "preparing an operation broke");
        Err(vec![GraphQlError::new(codes::INTERNAL, "the operation could not be prepared")])
    })
}

fn plan_error(error: &PlanError) -> GraphQlError {
    tracing::warn!(%error, "an operation could not be planned");
    match error {
        PlanError::TimedOut(_) => GraphQlError::new(
            codes::PLANNING_TIMEOUT,
            "working out how to answer the operation took too long: ask for less at once",
        ),
        _ => GraphQlError::new(
            codes::PLANNING_FAILED,
            "there is no way to answer the operation from the subgraphs",
        ),
    }
}

fn interface_objects(supergraph: &Supergraph) -> HashSet<String> {
    supergraph
        .document()
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            Definition::TypeDefinition(TypeDefinition::Interface(interface)) => Some(interface),
            _ => None,
        })
        .filter(|interface| {
            interface.directives.iter().filter(|directive| directive.name == "join__type").any(|directive| {
                directive
                    .arguments
                    .iter()
                    .any(|(name, value)| name == "isInterfaceObject" && *value == Value::Boolean(true))
            })
        })
        .map(|interface| interface.name.clone())
        .collect()
}
