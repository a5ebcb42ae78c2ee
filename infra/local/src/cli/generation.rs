//! `tributary rebuild`, `generation` and `audit`.

use super::{Options, progress};
use crate::admin;
use crate::folder::{Folder, FolderError};
use crate::generations::{self, Answer, Ask, Audited, Listed, Named, Rebuilt};
use crate::suite::Suite;
use anyhow::bail;
use clap::Subcommand;
use indicatif::HumanCount;
use projection::audit::{Audit, MAX_FINDINGS};
use projection::generation::{Alias, Progress};
use std::fmt::Write as _;
use std::sync::Arc;

/// How many findings are printed.
const PRINTED: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List the projections with their generations
    List,
    /// Read the verified candidate from now on; the generation before is kept fed
    Swap {
        /// The micrograph
        micrograph: String,
        /// The projection
        projection: String,
    },
    /// Read the generation before again
    Rollback {
        /// The micrograph
        micrograph: String,
        /// The projection
        projection: String,
    },
    /// Remove the generation before, with its table and queue
    Retire {
        /// The micrograph
        micrograph: String,
        /// The projection
        projection: String,
    },
    /// Remove the candidate, with its table and queue
    Discard {
        /// The micrograph
        micrograph: String,
        /// The projection
        projection: String,
    },
}

pub(super) async fn run(options: &Options, action: Action) -> anyhow::Result<()> {
    let of = |micrograph, projection| Named { micrograph, projection };
    let ask = match action {
        Action::List => Ask::List,
        Action::Swap { micrograph, projection } => Ask::Swap(of(micrograph, projection)),
        Action::Rollback { micrograph, projection } => Ask::Rollback(of(micrograph, projection)),
        Action::Retire { micrograph, projection } => Ask::Retire(of(micrograph, projection)),
        Action::Discard { micrograph, projection } => Ask::Discard(of(micrograph, projection)),
    };
    match asked(options, ask).await? {
        Answer::Listed(listed) => print!("{}", table(&listed)),
        Answer::Alias(alias) => println!("{}", stands(&alias)),
        other => bail!("an answer of another kind came: {other:?}"),
    }
    Ok(())
}

pub(super) async fn rebuild(options: &Options, of: Named, swap: bool) -> anyhow::Result<()> {
    let name = format!("{}.{}", of.micrograph, of.projection);
    let Answer::Rebuilt(rebuilt) = asked(options, Ask::Rebuild { of, swap }).await? else {
        bail!("an answer of another kind came")
    };
    let Rebuilt { generation, events, audit, alias } = *rebuilt;
    println!(
        "{name}: generation {generation} was filled with {} events; {}",
        HumanCount(events),
        seen(&audit).trim_end()
    );
    if !audit.is_clean() {
        bail!(
            "generation {generation} differs from its sources and is not read: the same command goes on with it, \
             `tributary generation discard` removes it"
        );
    }
    println!("{}", stands(&alias));
    Ok(())
}

pub(super) async fn audit(options: &Options, of: Option<Named>, repair: bool) -> anyhow::Result<()> {
    let Answer::Audited(audited) = asked(options, Ask::Audit { of, repair }).await? else {
        bail!("an answer of another kind came")
    };
    let mut left = 0;
    for Audited { of, generation, audit, repaired } in audited {
        print!("{}.{} (generation {generation}): {}", of.micrograph, of.projection, seen(&audit));
        if let Some(repaired) = &repaired {
            print!("repaired by delivering again, then: {}", seen(repaired));
        }
        left += repaired.as_ref().unwrap_or(&audit).drifted;
    }
    if left > 0 {
        bail!(
            "{left} parts drifted: --repair delivers again what is lost or stale; a rebuild makes the rest right"
        );
    }
    Ok(())
}

/// Asks the process that has the state, or opens the state for as long as the answer takes.
async fn asked(options: &Options, ask: Ask) -> anyhow::Result<Answer> {
    let Some(path) = options.folder(false) else { bail!("there is no state to look at with --in-memory") };
    let bar = progress();
    let told = |words: String| bar.set_message(words);
    let answer = match Folder::take(&path) {
        Ok(folder) => {
            let suite = Arc::new(Suite::start(Some(&folder), options.settings()?).await?);
            // What an earlier process left under way is no drift.
            suite.drained().await?;
            let answer = generations::answer(&suite, ask, &told).await;
            if let Some(suite) = Arc::into_inner(suite) {
                suite.stop().await;
            }
            answer
        }
        Err(FolderError::InUse { holder: Some(holder), .. }) => {
            admin::generations(&holder, &ask, &told).await
        }
        Err(error) => Err(error.into()),
    };
    bar.finish_and_clear();
    answer
}

fn seen(audit: &Audit) -> String {
    let mut text =
        format!("{} parts compared with {} events, ", HumanCount(audit.compared), HumanCount(audit.events));
    if audit.is_clean() {
        text.push_str("none differs\n");
        return text;
    }
    let _ = writeln!(text, "{} differ", audit.drifted);
    for finding in audit.findings.iter().take(PRINTED) {
        let part = finding.part.as_ref().map(|part| format!(" ({part})")).unwrap_or_default();
        let event = finding.event.as_ref().map(|event| format!("; {event}")).unwrap_or_default();
        let _ = writeln!(text, "  {}{part}: {}{event}", finding.item, finding.drift);
    }
    if audit.drifted > PRINTED as u64 {
        let named = audit.findings.len().min(MAX_FINDINGS) - PRINTED.min(audit.findings.len());
        let _ = writeln!(
            text,
            "  and {} more ({named} of them named to machines)",
            audit.drifted - PRINTED as u64
        );
    }
    text
}

fn stands(alias: &Alias) -> String {
    let mut text = format!("Generation {} is read", alias.active);
    if let Some((candidate, progress)) = alias.candidate {
        let how = match progress {
            Progress::Building => "is being built",
            Progress::Verified => "is verified: `tributary generation swap` reads it",
            Progress::Failed => "differs from its sources",
        };
        let _ = write!(text, "; {candidate} {how}");
    }
    if let Some(previous) = alias.previous {
        let _ = write!(
            text,
            "; {previous} is kept fed: `tributary generation rollback` goes back to it, `retire` removes it"
        );
    }
    text + "."
}

fn table(listed: &[Listed]) -> String {
    let mut text =
        format!("{:<28}{:>8}{:>10}{:>20}{:>12}\n", "projection", "version", "read", "built", "kept");
    for Listed { of, version, alias } in listed {
        let name = format!("{}.{}", of.micrograph, of.projection);
        let none = || "-".to_owned();
        let read = alias.as_ref().map_or_else(none, |alias| alias.active.to_string());
        let candidate = alias.as_ref().and_then(|alias| alias.candidate);
        let built = candidate.map_or_else(none, |(generation, how)| {
            format!("{generation} {}", format!("{how:?}").to_lowercase())
        });
        let kept = alias.as_ref().and_then(|alias| alias.previous).map_or_else(none, |it| it.to_string());
        let _ = writeln!(text, "{name:<28}{version:>8}{read:>10}{built:>20}{kept:>12}");
    }
    text
}
