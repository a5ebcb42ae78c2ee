//! The alias of a projection: one item, changed by conditional writes only.

use super::{Generation, Progress};
use crate::dynamodb::failure;
use crate::key::Key;
use crate::store::StoreError;
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Which generations of a projection there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The one that is read.
    pub active: Generation,
    /// The one that is built, and how far it is.
    pub candidate: Option<(Generation, Progress)>,
    /// The one that was read before, and is kept fed.
    pub previous: Option<Generation>,
    /// The one whose table and queue are being removed.
    pub retiring: Option<Generation>,
    /// How many later builds were begun, of any version, and the newest version that was: no name is used twice.
    pub builds: u32,
    /// See `builds`.
    pub newest: u32,
}

impl Alias {
    /// The generations that are fed.
    pub fn fed(&self) -> impl Iterator<Item = Generation> {
        let candidate = self.candidate.map(|(generation, _)| generation);
        [Some(self.active), candidate, self.previous].into_iter().flatten()
    }
}

/// The aliases of a micrograph's projections, in a table of their own.
#[derive(Clone, Debug)]
pub struct Aliases {
    client: Client,
    table: String,
}

/// A transition that the alias, as it stands, doesn't allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Nobody has read or fed the projection yet.
    #[error("the projection has no generation yet: start its micrograph first")]
    Unknown,
    /// Another candidate is being built.
    #[error("generation {0} is being built: swap to it or discard it first")]
    Busy(Generation),
    /// One is kept for going back.
    #[error("generation {0} is kept for a rollback: retire it first")]
    Kept(Generation),
    /// There is no candidate.
    #[error("no generation is being built: rebuild first")]
    NoCandidate,
    /// The candidate isn't verified.
    #[error("generation {0} is not verified, and may not be read: rebuild again, or discard it")]
    NotVerified(Generation),
    /// There is nothing to go back to.
    #[error("no earlier generation is kept")]
    NoPrevious,
    /// Somebody else changed the alias meanwhile.
    #[error("somebody else changed the generations meanwhile: look at them, and try again")]
    Overtaken,
}

/// Why a transition did not happen.
#[derive(Debug, thiserror::Error)]
pub enum TransitionError {
    /// The alias doesn't allow it.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be stored.
    #[error(transparent)]
    Store(#[from] StoreError),
}

type Item = HashMap<String, AttributeValue>;

impl Aliases {
    /// The aliases in a table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        Self { client, table: table.into() }
    }

    /// The alias of a projection, consistently read; none where nobody has fed it yet.
    pub async fn get(&self, projection: &str) -> Result<Option<Alias>, StoreError> {
        let read = self.client.get_item().table_name(&self.table).consistent_read(true);
        let read = read.set_key(Some(key(projection))).send().await;
        let item = read.map_err(|error| failure("GetItem", &self.table, error))?.item;
        item.map(|item| self.alias(&item)).transpose()
    }

    /// Makes a generation the one that is read, unless there is one already; gives how it is then.
    pub async fn adopt(&self, projection: &str, generation: Generation) -> Result<Alias, StoreError> {
        if let Some(alias) = self.get(projection).await? {
            return Ok(alias);
        }
        let update = self
            .update(projection)
            .update_expression(
                "SET active = if_not_exists(active, :g), builds = if_not_exists(builds, :b), \
                 newest = if_not_exists(newest, :n)",
            )
            .expression_attribute_values(":g", text(generation))
            .expression_attribute_values(":b", number(generation.build))
            .expression_attribute_values(":n", number(generation.version));
        let done = update.send().await.map_err(|error| failure("UpdateItem", &self.table, error))?;
        self.alias(&done.attributes.unwrap_or_default())
    }

    /// Begins a candidate with the folds of a version, or goes on with the one that was begun.
    ///
    /// A version that is read already gets a later build; a new one is the generation that came with the code.
    pub async fn begin(&self, projection: &str, version: u32) -> Result<Alias, TransitionError> {
        let alias = self.known(projection).await?;
        if let Some((candidate, _)) = alias.candidate
            && candidate.version != version
        {
            return Err(Refused::Busy(candidate).into());
        }
        let candidate = if let Some((candidate, _)) = alias.candidate {
            candidate
        } else if let Some(previous) = alias.previous {
            return Err(Refused::Kept(previous).into());
        } else if let Some(retiring) = alias.retiring {
            return Err(Refused::Busy(retiring).into());
        } else {
            let build = if version > alias.newest { 0 } else { alias.builds + 1 };
            Generation { version, build }
        };
        let begun = self
            .update(projection)
            .update_expression("SET candidate = :c, progress = :p, builds = :b, newest = :n")
            .expression_attribute_values(":c", text(candidate))
            .expression_attribute_values(":p", progress(Progress::Building))
            .expression_attribute_values(":b", number(alias.builds.max(candidate.build)))
            .expression_attribute_values(":n", number(alias.newest.max(version)))
            .expression_attribute_values(":a", text(alias.active))
            .expression_attribute_values(":o", number(alias.builds));
        let begun = match alias.candidate {
            Some(_) => begun.condition_expression("active = :a AND builds = :o AND candidate = :c"),
            None => begun.condition_expression(
                "active = :a AND builds = :o AND attribute_not_exists(candidate) AND attribute_not_exists(previous)",
            ),
        };
        self.send(begun).await
    }

    /// Notes what a comparison of the candidate with its source came to.
    pub async fn judge(
        &self,
        projection: &str,
        candidate: Generation,
        verdict: Progress,
    ) -> Result<Alias, TransitionError> {
        let judged = self
            .update(projection)
            .update_expression("SET progress = :p")
            .condition_expression("candidate = :c")
            .expression_attribute_values(":p", progress(verdict))
            .expression_attribute_values(":c", text(candidate));
        self.send(judged).await
    }

    /// Makes the verified candidate the one that is read; the one before is kept fed.
    pub async fn swap(&self, projection: &str) -> Result<Alias, TransitionError> {
        let alias = self.known(projection).await?;
        let candidate = match alias.candidate {
            None => return Err(Refused::NoCandidate.into()),
            Some((candidate, Progress::Verified)) => candidate,
            Some((candidate, _)) => return Err(Refused::NotVerified(candidate).into()),
        };
        let swapped = self
            .update(projection)
            .update_expression("SET active = :new, previous = :old REMOVE candidate, progress")
            .condition_expression(
                "active = :old AND candidate = :new AND progress = :verified AND attribute_not_exists(previous)",
            )
            .expression_attribute_values(":new", text(candidate))
            .expression_attribute_values(":old", text(alias.active))
            .expression_attribute_values(":verified", progress(Progress::Verified));
        self.send(swapped).await
    }

    /// Makes the generation before the one that is read again; the one that was read is kept fed.
    pub async fn rollback(&self, projection: &str) -> Result<Alias, TransitionError> {
        let alias = self.known(projection).await?;
        let previous = alias.previous.ok_or(Refused::NoPrevious)?;
        let swapped = self
            .update(projection)
            .update_expression("SET active = :new, previous = :old")
            .condition_expression("active = :old AND previous = :new")
            .expression_attribute_values(":new", text(previous))
            .expression_attribute_values(":old", text(alias.active));
        self.send(swapped).await
    }

    /// Marks the generation before for removal: from now on nobody can go back to it.
    pub async fn retire(&self, projection: &str) -> Result<Alias, TransitionError> {
        let alias = self.known(projection).await?;
        let previous = alias.previous.ok_or(Refused::NoPrevious)?;
        let retired = self
            .update(projection)
            .update_expression("SET retiring = :g REMOVE previous")
            .condition_expression("previous = :g AND attribute_not_exists(retiring)")
            .expression_attribute_values(":g", text(previous));
        self.send(retired).await
    }

    /// Marks the candidate for removal.
    pub async fn discard(&self, projection: &str) -> Result<Alias, TransitionError> {
        let alias = self.known(projection).await?;
        let (candidate, _) = alias.candidate.ok_or(Refused::NoCandidate)?;
        let discarded = self
            .update(projection)
            .update_expression("SET retiring = :g REMOVE candidate, progress")
            .condition_expression("candidate = :g AND attribute_not_exists(retiring)")
            .expression_attribute_values(":g", text(candidate));
        self.send(discarded).await
    }

    /// Notes that what was marked for removal is gone.
    pub async fn retired(&self, projection: &str, generation: Generation) -> Result<Alias, TransitionError> {
        let gone = self
            .update(projection)
            .update_expression("REMOVE retiring")
            .condition_expression("retiring = :g")
            .expression_attribute_values(":g", text(generation));
        self.send(gone).await
    }

    async fn known(&self, projection: &str) -> Result<Alias, TransitionError> {
        Ok(self.get(projection).await?.ok_or(Refused::Unknown)?)
    }

    fn update(&self, projection: &str) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.table).set_key(Some(key(projection)));
        update.return_values(ReturnValue::AllNew)
    }

    async fn send(&self, update: UpdateItemFluentBuilder) -> Result<Alias, TransitionError> {
        match update.send().await {
            Ok(done) => Ok(self.alias(&done.attributes.unwrap_or_default())?),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(UpdateItemError::is_conditional_check_failed_exception) =>
            {
                Err(Refused::Overtaken.into())
            }
            Err(error) => Err(failure("UpdateItem", &self.table, error).into()),
        }
    }

    fn alias(&self, item: &Item) -> Result<Alias, StoreError> {
        let unreadable = |attribute: &str| StoreError::Refused {
            operation: "GetItem",
            table: self.table.clone(),
            reason: format!("the attribute `{attribute}` of an alias can't be read by this build"),
        };
        let generation = |attribute: &'static str| -> Result<Option<Generation>, StoreError> {
            let Some(value) = item.get(attribute) else { return Ok(None) };
            let parsed = value.as_s().ok().and_then(|text| text.parse().ok());
            parsed.map(Some).ok_or_else(|| unreadable(attribute))
        };
        let candidate = match generation("candidate")? {
            None => None,
            Some(candidate) => {
                let text = item.get("progress").and_then(|it| it.as_s().ok());
                let progress =
                    text.and_then(|it| Progress::parse(it)).ok_or_else(|| unreadable("progress"))?;
                Some((candidate, progress))
            }
        };
        let count = |attribute: &'static str| {
            let number = item.get(attribute).and_then(|it| it.as_n().ok()?.parse().ok());
            number.ok_or_else(|| unreadable(attribute))
        };
        Ok(Alias {
            active: generation("active")?.ok_or_else(|| unreadable("active"))?,
            candidate,
            previous: generation("previous")?,
            retiring: generation("retiring")?,
            builds: count("builds")?,
            newest: count("newest")?,
        })
    }
}

fn key(projection: &str) -> Item {
    let text = |text: &str| AttributeValue::S(text.to_owned());
    HashMap::from([("pk".to_owned(), text(projection)), ("sk".to_owned(), text(Key::ALONE))])
}

fn text(generation: Generation) -> AttributeValue {
    AttributeValue::S(generation.to_string())
}

fn number(value: u32) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn progress(progress: Progress) -> AttributeValue {
    AttributeValue::S(progress.as_str().to_owned())
}
