//! Findings with those whom they hit.

use super::readers::{self, Reader};
use super::released::{self, EVENTS, Files, SourceError, Then};
use compatibility::{Contracts, Direction, Finding, Rule, Severity, check};
use serde::Serialize;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Something that a check found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// The check.
    pub check: &'static str,
    /// The rule's id.
    pub rule: Cow<'static, str>,
    /// `wire`, `semantic`, `docs`, or what the check is about.
    pub category: &'static str,
    /// Whether it stops a release.
    pub severity: Severity,
    /// What it is about: a contract, a subgraph, a crate.
    pub subject: String,
    /// The field, where it is about one.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// The released versions that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<String>,
    /// What is wrong.
    pub what: String,
    /// Why that matters.
    pub why: String,
    /// What to do.
    pub advice: String,
    /// Who reads it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hits: Vec<Hit>,
    /// Which clients of the graph use it, and how often.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<registry::finding::Hit>,
    /// The file, from the repository's root.
    pub file: String,
    /// The line in it, from 1; 0 where none is known.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(line: &usize) -> bool {
    *line == 0
}

/// A micrograph that a finding hits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hit {
    /// The micrograph.
    pub micrograph: String,
    /// By projection, the attributes that hold something of the field; none where it is only decoded.
    pub stores: BTreeMap<String, BTreeSet<String>>,
    /// The fields of the graph that show something of it.
    pub shows: BTreeSet<String>,
    /// Whether it can't decode the event without the field.
    pub needs: bool,
}

/// Today's contracts and what they are compared with.
pub struct Compared {
    /// The files of `events` as they are now.
    pub files: Files,
    /// Contracts as this build has them, and all that was released.
    pub today: Contracts,
    /// The folder as it stood.
    pub then: Vec<(String, Contracts)>,
    /// Who reads what: this build, and those that were built before.
    pub readers: Vec<Reader>,
}

impl Compared {
    /// Reads the folder, and each state of it that today's is compared with.
    pub fn read(root: &Path, then: Vec<Then>, mut readers: Vec<Reader>) -> Result<Self, SourceError> {
        let files = released::folder(&root.join(EVENTS))?;
        let today = released::today(&files)?;
        // Consumers that run already are those of an earlier build: what they read counts too.
        let earlier =
            then.iter().map(|it| &it.files).chain([&files]).filter_map(|files| files.get(readers::FILE));
        for text in earlier {
            readers.extend(readers::parse(text).unwrap_or_default());
        }
        let then = then.into_iter().map(released::contracts).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { files, today, then, readers })
    }

    /// What differs from what was released, and whom it hits.
    pub fn problems(&self) -> Vec<Problem> {
        check(&self.today, &self.then).into_iter().map(|finding| self.problem(finding)).collect()
    }

    fn problem(&self, finding: Finding) -> Problem {
        let Finding { rule, category, severity, contract, path, against, direction, what, why, advice } =
            finding;
        let file = contract.file("schema");
        let line = self.files.get(&file).map_or(0, |text| line_of(text, &path));
        let event = contract.full_name();
        let mut hits = if hits_readers(rule) { hits(&self.readers, &event, &path) } else { Vec::new() };
        if !matches!(direction, Some(Direction::OldReadsNew | Direction::Neither)) {
            // It is there as before: only who makes something of it is hit.
            hits.retain(|hit| !hit.stores.is_empty());
            for hit in &mut hits {
                hit.needs = false;
            }
        }
        Problem {
            check: "contracts",
            rule: Cow::Borrowed(rule.id()),
            category: category.name(),
            severity,
            subject: contract.to_string(),
            path,
            against,
            what,
            why,
            advice,
            hits,
            clients: Vec::new(),
            file: format!("{EVENTS}/{file}"),
            line,
        }
    }
}

fn hits_readers(rule: Rule) -> bool {
    !matches!(
        rule,
        Rule::DescriptionMissing | Rule::DescriptionChanged | Rule::ReleaseChanged | Rule::OutsideSubset
    )
}

/// Who reads a field of an event; who reads the event, where no field of its data is named.
pub fn hits(readers: &[Reader], event: &str, path: &str) -> Vec<Hit> {
    let field = path.strip_prefix("data.");
    let mut hits: BTreeMap<&str, Hit> = BTreeMap::new();
    for reader in readers.iter().filter(|it| it.event == event) {
        let hit = hits.entry(&reader.micrograph).or_insert_with(|| Hit {
            micrograph: reader.micrograph.clone(),
            stores: BTreeMap::new(),
            shows: BTreeSet::new(),
            needs: false,
        });
        let Some(field) = field else {
            hit.needs = true;
            hit.stores.extend(reader.projections.keys().map(|it| (it.clone(), BTreeSet::new())));
            continue;
        };
        hit.needs |= reader.needs(field);
        hit.shows.extend(reader.shows(field).into_iter().map(str::to_owned));
        for (projection, columns) in reader.stores(field) {
            hit.stores
                .entry(projection.to_owned())
                .or_default()
                .extend(columns.into_iter().map(str::to_owned));
        }
    }
    hits.into_values().filter(|hit| hit.needs || !hit.stores.is_empty()).collect()
}

/// The line of a schema in which a field is described; that of its last part, where several have the name.
fn line_of(text: &str, path: &str) -> usize {
    let name = path.rsplit('.').next().unwrap_or_default().trim_end_matches("[]");
    let wanted = format!("\"{name}\": {{");
    let found =
        (!name.is_empty()).then(|| text.lines().position(|line| line.trim_start().starts_with(&wanted)));
    found.flatten().map_or(1, |line| line + 1)
}
