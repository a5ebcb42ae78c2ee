//! All that is worked out of one supergraph: its client schema, its planner, and the operations seen so far.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use graphql_tools::parser::query::Value;
use graphql_tools::parser::schema::{Definition, TypeDefinition};
use quick_cache::{Equivalent, sync::Cache};
use schemas::usage::Signature;
use tokio::time::Instant;

use crate::auth::{Denied, Rules};
use crate::config::Config;
use crate::error::{GraphQlError, codes};
use crate::observe;
use crate::operation::{self, Conditions, Operation, OperationKind, Validator};
use crate::plan::Plan;
use crate::planner::{PlanError, Planner};
use crate::schema::Schema;
use crate::shape::{self, Shape};
use crate::supergraph::Supergraph;
use crate::usage;

/// How many combinations of `@skip` and `@include` are kept for one operation.
const VARIANTS: usize = 32;

/// How many operations are prepared for a new supergraph before it is served.
const WARMED: usize = 500;

/// How many bytes of text an operation may have to be kept: what is longer is no operation that a program sends
/// again and again, and would crowd out those that are.
const KEPT_TEXT: usize = 64 << 10;

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
    /// What the schema asks of who wants to see its fields.
    pub(crate) rules: Rules,
    operations: Cache<Asked, Arc<Known>>,
    /// Plans by the operation's normalised text, and the labels of `@override` that hold.
    plans: Cache<Arc<str>, Arc<Plan>>,
}

/// A document, and the name of the operation in it that is wanted.
type Asked = (Arc<str>, Option<Arc<str>>);

/// [`Asked`], borrowed: hashed in the same order of the same parts.
#[derive(Hash)]
struct AskedFor<'a> {
    text: &'a str,
    name: Option<&'a str>,
}

impl Equivalent<Asked> for AskedFor<'_> {
    fn equivalent(&self, key: &Asked) -> bool {
        *self.text == *key.0 && self.name == key.1.as_deref()
    }
}

/// A valid operation, with what was prepared for it so far.
pub(crate) struct Known {
    pub(crate) operation: Operation,
    /// What the usage log knows it by, where there is one.
    pub(crate) signature: Option<Arc<Signature>>,
    /// How often it was asked since it is known.
    asked: AtomicU64,
    prepared: Mutex<Vec<(Variant, Arc<Prepared>)>>,
}

/// What one operation is prepared for: the values of its conditions, and the fields that are not to be seen.
type Variant = (Conditions, Denied);

/// An operation with its conditions decided: what to fetch, and what the answer looks like.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) plan: Arc<Plan>,
    pub(crate) shape: Arc<Shape>,
}

impl Engine {
    pub(crate) fn new(supergraph: Supergraph, config: &Config) -> Result<Self, PlanError> {
        let planner = Planner::new(supergraph.document(), &config.override_labels)?;
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
        let rules = Rules::of(supergraph.document());
        Ok(Self {
            supergraph,
            schema,
            rules,
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
        if let Some(known) = self.operations.get(&AskedFor { text, name }) {
            known.asked.fetch_add(1, Ordering::Relaxed);
            return Ok(known);
        }
        let key: Asked = (Arc::from(text), name.map(Arc::from));
        let engine = Arc::clone(self);
        let config = Arc::clone(config);
        blocking(move || {
            let name = key.1.as_deref();
            let operation =
                operation::parse(&key.0, name, &engine.schema, &engine.validator, &config.limits)?;
            let signature = config.usage.as_ref().and_then(|_| usage::signed(&key.0, name));
            let (asked, prepared) = (AtomicU64::new(1), Mutex::default());
            let known = Arc::new(Known { operation, signature, asked, prepared });
            if key.0.len() <= KEPT_TEXT {
                engine.operations.insert(key, Arc::clone(&known));
            }
            Ok(known)
        })
        .await
    }

    /// Prepares what another engine had prepared, of the operations that are asked most; tells how many those were.
    pub(crate) async fn warm(self: &Arc<Self>, before: &Self, config: &Arc<Config>) -> usize {
        let mut warmed = 0;
        for ((text, name), known) in before.hot(WARMED) {
            let Ok(operation) = self.operation(&text, name.as_deref(), config).await else { continue };
            let mut prepared = true;
            for variant in known.variants() {
                prepared &= self.prepare(&operation, variant, config).await.is_ok();
            }
            warmed += usize::from(prepared);
        }
        warmed
    }

    /// The operations that were asked most.
    fn hot(&self, most: usize) -> Vec<(Asked, Arc<Known>)> {
        let mut known: Vec<(Asked, Arc<Known>)> = self.operations.iter().collect();
        known.sort_by_cached_key(|(_, known)| Reverse(known.asked.load(Ordering::Relaxed)));
        known.truncate(most);
        known
    }

    /// The plan and the shape of an operation under some conditions: known already, or worked out now.
    pub(crate) async fn prepare(
        self: &Arc<Self>,
        known: &Arc<Known>,
        mut variant: Variant,
        config: &Arc<Config>,
    ) -> Result<Arc<Prepared>, Vec<GraphQlError>> {
        self.planner.rollout.decide(&mut variant.0);
        if let Some(prepared) = known.get(&variant) {
            return Ok(prepared);
        }
        let (engine, known, config) = (Arc::clone(self), Arc::clone(known), Arc::clone(config));
        blocking(move || {
            let prepared = Arc::new(engine.prepare_now(&known.operation, &variant, &config)?);
            known.keep(variant, Arc::clone(&prepared));
            Ok(prepared)
        })
        .await
    }

    fn prepare_now(
        &self,
        operation: &Operation,
        (conditions, denied): &Variant,
        config: &Config,
    ) -> Result<Prepared, Vec<GraphQlError>> {
        let root = match operation.kind {
            OperationKind::Mutation => self.schema.mutation.as_deref().unwrap_or_default(),
            OperationKind::Subscription => self.schema.subscription.as_deref().unwrap_or_default(),
            OperationKind::Query => &self.schema.query,
        };
        let shape = shape::shape(operation, conditions, &self.schema, root);
        let wants = |name: &str| self.type_names_wanted.contains(name);
        let plan = match operation.for_planning(conditions, &self.schema, &wants, denied) {
            None => Arc::new(Plan::default()),
            Some(document) => {
                let normalised =
                    self.planner.normalise(&document).map_err(|error| vec![plan_error(&error)])?;
                let key = format!("{}{}", normalised.text, self.planner.rollout.variant(conditions));
                let planned = self.plans.get_or_insert_with(&Arc::from(key), || {
                    let begun = Instant::now();
                    let plan = self.planner.plan(&normalised, conditions, config.planning_timeout);
                    observe::planned(begun.elapsed());
                    plan.map(Arc::new)
                });
                planned.map_err(|error| vec![plan_error(&error)])?
            }
        };
        Ok(Prepared { plan, shape })
    }
}

impl Known {
    fn variants(&self) -> Vec<Variant> {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.iter().map(|(variant, _)| variant.clone()).collect()
    }

    fn get(&self, variant: &Variant) -> Option<Arc<Prepared>> {
        let prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        prepared.iter().find(|(known, _)| known == variant).map(|(_, prepared)| Arc::clone(prepared))
    }

    fn keep(&self, variant: Variant, value: Arc<Prepared>) {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if prepared.len() >= VARIANTS {
            prepared.remove(0);
        }
        prepared.push((variant, value));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn engine(config: &Config) -> Arc<Engine> {
        let supergraph = Supergraph::parse(
            r#"enum join__Graph { A @join__graph(name: "a", url: "http://a") }
            type Query @join__type(graph: A) { one: Int two: Int }"#,
        )
        .unwrap();
        Arc::new(Engine::new(supergraph, config).unwrap())
    }

    #[tokio::test]
    async fn what_was_worked_out_once_is_kept() {
        let config = Arc::new(Config::default());
        let engine = engine(&config);
        let text = "query A($x: Boolean = true) { one @skip(if: $x) two } query B { one }";
        let first = engine.operation(text, Some("A"), &config).await.unwrap();
        let again = engine.operation(text, Some("A"), &config).await.unwrap();
        let other = engine.operation(text, Some("B"), &config).await.unwrap();
        assert!(Arc::ptr_eq(&first, &again) && !Arc::ptr_eq(&first, &other));

        let skipping = Conditions(HashMap::from([("x".to_owned(), true)]));
        let prepared = engine.prepare(&first, (skipping.clone(), Denied::new()), &config).await.unwrap();
        let again = engine.prepare(&first, (skipping, Denied::new()), &config).await.unwrap();
        assert!(Arc::ptr_eq(&prepared, &again));
        let all = Conditions(HashMap::from([("x".to_owned(), false)]));
        assert_eq!(
            engine.prepare(&first, (all, Denied::new()), &config).await.unwrap().shape.fields.len(),
            2
        );

        // Two operations that mean the same share a plan.
        let plan = |text: &'static str| {
            let (engine, config) = (Arc::clone(&engine), Arc::clone(&config));
            async move {
                let known = engine.operation(text, None, &config).await.unwrap();
                Arc::clone(&engine.prepare(&known, Variant::default(), &config).await.unwrap().plan)
            }
        };
        let (one, other) = (plan("{ one }").await, plan("query Named { ... { one } }").await);
        assert!(Arc::ptr_eq(&one, &other));
    }

    #[tokio::test]
    async fn the_operations_that_are_asked_most_are_those_to_be_planned_for_again() {
        let config = Arc::new(Config::default());
        let engine = engine(&config);
        for (text, times) in [("{ one }", 1), ("{ two }", 3), ("{ one two }", 2)] {
            for _ in 0..times {
                engine.operation(text, None, &config).await.unwrap();
            }
        }
        let hot: Vec<String> = engine.hot(2).into_iter().map(|((text, _), _)| text.to_string()).collect();
        assert_eq!(hot, ["{ two }", "{ one two }"]);
    }

    #[tokio::test]
    async fn planning_is_given_up_in_time() {
        let config = Arc::new(Config { planning_timeout: Duration::ZERO, ..Config::default() });
        let engine = engine(&config);
        let known = engine.operation("{ one }", None, &config).await.unwrap();
        let errors = engine.prepare(&known, Variant::default(), &config).await.unwrap_err();
        assert_eq!(errors[0].code(), codes::PLANNING_TIMEOUT);
    }
}
