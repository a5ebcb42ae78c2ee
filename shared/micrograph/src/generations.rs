//! The generations of a micrograph's projections: which one is read, what each needs, and what they are made from.

use crate::app::App;
use crate::edge::Marks;
use crate::manifest::Parts;
use crate::rebuild::place::Reached;
use aws_sdk_dynamodb::types::AttributeValue;
use contracts::Version;
use federation::ReadError;
use federation::read::Alias;
use freshness::Write;
use futures::future::BoxFuture;
use projection::audit::{Audit, AuditError, Auditor, Digest, Sink, Source, SourceError};
use projection::dynamodb::{DynamoStore, failure};
use projection::generation::Aliases;
use projection::store::{Question, Relational, Store, StoreError};
use projection::{Generation, Projection, decode, delivery};
use serde::de::DeserializeOwned;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a reader goes by what it knows of an alias: for so long after a swap the generation before is still read.
pub const ALIAS_TTL: Duration = Duration::from_secs(1);

/// How many aggregates of an owner are handed over at once.
const PAGE: i32 = 500;

impl App {
    /// Which generation of each projection is read.
    pub fn aliases(&self) -> Aliases {
        let table = self.environment().table(&self.micrograph().generations_table().name);
        Aliases::new(self.environment().dynamodb.clone(), table)
    }

    /// Makes the deployed generation of each projection the one that is read, where none is yet.
    pub async fn adopt(&self) -> Result<(), StoreError> {
        let aliases = self.aliases();
        for projection in self.micrograph().projections() {
            aliases.adopt(projection.name(), projection.generation()).await?;
        }
        Ok(())
    }

    /// The names of its projections, each with the version of its folds in this build.
    pub fn projections(&self) -> impl Iterator<Item = (&'static str, u32)> {
        self.micrograph().projections().map(|it| (it.name(), it.version()))
    }

    /// What a generation needs of its surroundings; none where this build has no folds for it.
    pub fn parts(&self, projection: &str, generation: Generation) -> Option<Parts> {
        let subscription = self.micrograph().subscription(projection)?;
        let folds = self.micrograph().folds(projection, generation)?;
        Some(Parts::of(self.micrograph(), subscription, folds, generation))
    }

    /// The generations of a projection that are fed and that this build has folds for, the one that is read first.
    pub async fn fed(&self, projection: &str) -> Result<Vec<Parts>, StoreError> {
        let alias = self.aliases().get(projection).await?;
        let fed = alias.iter().flat_map(projection::generation::Alias::fed);
        Ok(fed.filter_map(|generation| self.parts(projection, generation)).collect())
    }

    /// The store that a projection is kept in.
    pub(crate) fn store(&self, is_relational: bool) -> Arc<dyn Store> {
        if is_relational {
            return self.relational();
        }
        Arc::new(DynamoStore::new(self.environment().dynamodb.clone(), self.environment().clock))
    }

    /// The relational store.
    ///
    /// # Panics
    /// Where the environment has none, though the micrograph has a projection that needs one.
    pub(crate) fn relational(&self) -> Arc<dyn Relational> {
        let store = self.environment().relational.clone();
        store.expect("a micrograph with a relational projection runs where there is a relational store")
    }

    /// Whether a projection of its own is kept in the relational store.
    fn is_relational(&self, projection: &str) -> bool {
        self.micrograph().subscription(projection).is_some_and(|it| it.projection.is_relational())
    }

    /// Asks a relational projection of its own, in the generation that is read.
    ///
    /// # Panics
    /// Where the micrograph declares no projection of that name: a mistake in its code.
    pub fn asks(&self, projection: &str) -> Questions {
        let declared = self.micrograph().projections().find(|it| it.name() == projection);
        let declared = declared.expect("a subgraph asks projections that its micrograph declares");
        Questions { store: self.environment().relational.clone(), alias: Arc::new(Read::new(self, declared)) }
    }

    /// Removes the table of a generation, unless it is gone.
    pub async fn delete_table(&self, projection: &str, generation: Generation) -> Result<(), StoreError> {
        let table = self.environment().table(&generation.name(self.name(), projection));
        if self.is_relational(projection) {
            return self.relational().delete_table(&table).await;
        }
        projection::dynamodb::delete_table(&self.environment().dynamodb, &table).await
    }

    /// About how many items a generation has.
    pub(crate) async fn items(&self, projection: &str, generation: Generation) -> Result<u64, StoreError> {
        let table = self.environment().table(&generation.name(self.name(), projection));
        if self.is_relational(projection) {
            let tables = self.relational().tables(&table).await?;
            return Ok(tables.into_iter().find(|(name, _)| *name == table).map_or(0, |(_, items)| items));
        }
        let described = self.environment().dynamodb.describe_table().table_name(&table).send().await;
        let described = described.map_err(|error| failure("DescribeTable", &table, error))?;
        let items = described.table.and_then(|table| table.item_count).unwrap_or_default();
        Ok(u64::try_from(items).unwrap_or_default())
    }

    /// The generations that have a relational table, and that no alias knows.
    pub(crate) async fn forsaken(&self) -> Result<Vec<(&'static str, Generation)>, StoreError> {
        let mut forsaken = Vec::new();
        for name in self.micrograph().projections().filter(|it| it.is_relational()).map(Projection::name) {
            let fed: Vec<Generation> =
                self.aliases().get(name).await?.iter().flat_map(projection::generation::Alias::fed).collect();
            let beginning = self.environment().table(&format!("{}-{name}-", self.name()));
            let tables = self.relational().tables(&beginning).await?;
            let there = tables.iter().filter_map(|(table, _)| table.strip_prefix(&beginning)?.parse().ok());
            forsaken.extend(there.filter(|it| !fed.contains(it)).map(|it| (name, it)));
        }
        Ok(forsaken)
    }

    /// Removes what is over from its relational tables; DynamoDB does so by itself.
    pub(crate) async fn sweep(&self) -> Result<(), StoreError> {
        for projection in self.micrograph().projections().filter(|it| it.is_relational()) {
            for parts in self.fed(projection.name()).await? {
                let table = self.environment().table(&parts.table.name);
                let swept = self.relational().sweep(&table).await?;
                tracing::debug!(table, swept, "items whose time is over are removed");
            }
        }
        Ok(())
    }

    /// Compares a generation of a projection with its sources; see [`Auditor`].
    pub async fn audit(
        &self,
        folds: &Projection,
        generation: Generation,
        source: &dyn Source,
        passes: u32,
    ) -> Result<Audit, AuditError> {
        let store = self.store(folds.is_relational());
        let auditor = Auditor {
            projection: folds,
            store: &*store,
            table: &self.environment().table(&generation.name(self.name(), folds.name())),
            now: (self.environment().clock)(),
            passes,
        };
        auditor.audit(source).await
    }

    /// The digest of a generation of a projection; equal for equal content, in every region.
    pub async fn digest(&self, projection: &str, generation: Generation) -> Result<Digest, StoreError> {
        let table = self.environment().table(&generation.name(self.name(), projection));
        projection::audit::digest(&*self.store(self.is_relational(projection)), &table).await
    }

    /// Hands over the last events of every aggregate that it owns, as they stand in its tables: the latest State or
    /// end of each, and every Delta.
    pub async fn read_owned(&self, types: &[(&str, &str)], sink: &mut dyn Sink) -> Result<(), SourceError> {
        let mut from = Some(Reached::default());
        while let Some(at) = from {
            from = self.read_owned_page(types, at, sink).await?;
        }
        Ok(())
    }

    /// Hands over a page of what [`App::read_owned`] does; gives from where to go on, none at the end.
    pub(crate) async fn read_owned_page(
        &self,
        types: &[(&str, &str)],
        from: Reached,
        sink: &mut dyn Sink,
    ) -> Result<Option<Reached>, SourceError> {
        let wanted = types.iter().any(|(domain, _)| *domain == self.name());
        let aggregate = self.micrograph().owns.get(from.tables).filter(|_| wanted);
        let Some(aggregate) = aggregate else { return Ok(None) };
        let table = self.environment().table(&self.micrograph().aggregate_table(aggregate).name);
        let text = |text: String| AttributeValue::S(text);
        let after = from
            .after
            .map(|(pk, sk)| HashMap::from([("pk".to_owned(), text(pk)), ("sk".to_owned(), text(sk))]));
        let scan = self.environment().dynamodb.scan().table_name(&table).consistent_read(true);
        let scan =
            scan.projection_expression("pk, sk, #e").expression_attribute_names("#e", delivery::OUTBOX);
        let page = scan.limit(PAGE).set_exclusive_start_key(after).send().await;
        let page = page.map_err(|error| {
            SourceError::new(&table, projection::dynamodb::failure("Scan", &table, error))
        })?;
        let items = page.items.unwrap_or_default();
        let outboxes = items.iter().filter_map(|item| item.get(delivery::OUTBOX)?.as_l().ok());
        let texts = outboxes.flatten().filter_map(|event| event.as_s().ok());
        let wanted = texts.filter_map(|text| {
            let header = decode::header(text).ok()?;
            types
                .contains(&(header.domain.as_ref(), header.name.as_ref()))
                .then(|| (header.subject.into_owned(), header.version, Arc::from(text.as_str())))
        });
        let mut wanted: Vec<(String, Version, Arc<str>)> = wanted.collect();
        // Where changes have an order, fewer have to wait for those before them.
        wanted.sort_unstable();
        let events: Vec<Arc<str>> = wanted.into_iter().map(|(_, _, text)| text).collect();
        if !events.is_empty() {
            sink.take(events).await?;
        }
        let last = page.last_evaluated_key.and_then(|mut key| {
            let mut text = |name: &str| match key.remove(name) {
                Some(AttributeValue::S(text)) => Some(text),
                _ => None,
            };
            Some((text("pk")?, text("sk")?))
        });
        Ok(Some(match last {
            Some(last) => Reached { after: Some(last), ..from },
            None => Reached { tables: from.tables + 1, after: None },
        }))
    }
}

/// Asks a relational projection, in the generation that is read; one for the whole of a request.
#[derive(Clone, Debug)]
pub struct Questions {
    store: Option<Arc<dyn Relational>>,
    alias: Arc<Read>,
}

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Which generation is read can't be told.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store has none for now, or refuses the question.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no relational store.
    #[error("there is no relational store to ask")]
    Nowhere,
    /// A row of the answer isn't what was asked for.
    #[error("a row of an answer is no {row}")]
    Row {
        /// The type asked for.
        row: &'static str,
        /// What does not fit.
        #[source]
        source: serde_dynamo::Error,
    },
}

impl Questions {
    /// The rows of an answer.
    pub async fn ask<R: DeserializeOwned>(&self, question: &Question) -> Result<Vec<R>, AskError> {
        let table = federation::read::resolve(&*self.alias).await?;
        let rows = self.store.as_ref().ok_or(AskError::Nowhere)?.ask(&table, question).await?;
        let row = std::any::type_name::<R>();
        let read = |item| serde_dynamo::from_item(item).map_err(|source| AskError::Row { row, source });
        rows.into_iter().map(read).collect()
    }
}

/// The generation of a projection that is read, as a reader asks for it.
#[derive(Debug)]
pub(crate) struct Read {
    aliases: Aliases,
    micrograph: &'static str,
    projection: &'static str,
    deployed: Generation,
    /// The types of event that it folds, as they stand in tokens.
    folds: BTreeSet<u32>,
    marks: Marks,
    prefix: String,
    name: String,
    known: Mutex<Option<(Instant, Arc<str>)>>,
}

impl Read {
    pub fn new(app: &App, projection: &Projection) -> Self {
        Self {
            aliases: app.aliases(),
            micrograph: app.name(),
            projection: projection.name(),
            deployed: projection.generation(),
            folds: projection.consumes().map(|(domain, name)| Write::event(domain, name)).collect(),
            marks: app.marks(),
            prefix: app.environment().table_prefix.clone(),
            name: format!("{}-{}", app.name(), projection.name()),
            known: Mutex::new(None),
        }
    }

    fn known(&self) -> Option<(Instant, Arc<str>)> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn ask(&self) -> Result<Arc<str>, StoreError> {
        // Where nothing was ever fed, what is deployed is as good, and as empty.
        let alias = self.aliases.get(self.projection).await?;
        let active = alias.map_or(self.deployed, |alias| alias.active);
        Ok(format!("{}{}", self.prefix, active.name(self.micrograph, self.projection)).into())
    }
}

impl Alias for Read {
    fn name(&self) -> &str {
        &self.name
    }

    fn reached<'a>(&'a self, table: &'a str, writes: &'a [Write]) -> BoxFuture<'a, Result<bool, ReadError>> {
        Box::pin(async move {
            let folded: Vec<Write> =
                writes.iter().filter(|it| self.folds.contains(&it.event)).copied().collect();
            if folded.is_empty() {
                return Ok(true);
            }
            self.marks
                .reached(table, &folded)
                .await
                .map_err(|error| ReadError::Alias { alias: self.name.clone(), source: Box::new(error) })
        })
    }

    fn is_kept<'a>(&'a self, table: &'a str) -> BoxFuture<'a, Result<bool, ReadError>> {
        Box::pin(async move {
            let alias = self.aliases.get(self.projection).await;
            let alias = alias
                .map_err(|error| ReadError::Alias { alias: self.name.clone(), source: Box::new(error) })?;
            let read = alias.iter().flat_map(|alias| [Some(alias.active), alias.previous]).flatten();
            let mut tables =
                read.map(|it| format!("{}{}", self.prefix, it.name(self.micrograph, self.projection)));
            Ok(tables.any(|kept| kept == table))
        })
    }

    fn table(&self) -> BoxFuture<'_, Result<Arc<str>, ReadError>> {
        Box::pin(async move {
            let known = self.known();
            if let Some((asked, table)) = &known
                && asked.elapsed() < ALIAS_TTL
            {
                return Ok(Arc::clone(table));
            }
            let asked = Instant::now();
            match (self.ask().await, known) {
                (Ok(table), _) => {
                    let known = Some((asked, Arc::clone(&table)));
                    *self.known.lock().unwrap_or_else(PoisonError::into_inner) = known;
                    Ok(table)
                }
                // The generation before stays fed: what it shows is right.
                (Err(error), Some((_, table))) => {
                    let error = telemetry::error_chain(&error);
                    tracing::warn!(
                        error,
                        alias = self.name,
                        "the alias can't be read; it is taken as it was"
                    );
                    Ok(table)
                }
                (Err(error), None) => {
                    Err(ReadError::Alias { alias: self.name.clone(), source: Box::new(error) })
                }
            }
        })
    }
}
