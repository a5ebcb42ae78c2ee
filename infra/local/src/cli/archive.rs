//! `tributary archive`: what it holds, and its events again.

use super::tools::Tools;
use super::{Options, stopped};
use crate::admin::{self, Ask};
use crate::archiving::replaying::{self, Outcome, Plan, Request};
use crate::archiving::{self, Listed};
use crate::folder::{Folder, FolderError};
use crate::suite::Suite;
use anyhow::bail;
use archive::{Compacted, Damaged, Erased, Filter, HourSummary, Replayed};
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use std::fmt::Write as _;
use std::num::NonZeroU32;

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List what the archive holds, by domain
    List {
        #[command(flatten)]
        scope: Scope,
        /// Before this time
        #[arg(long, value_name = "TIME", value_parser = moment)]
        to: Option<Timestamp>,
        /// One line for each hour
        #[arg(long)]
        hours: bool,
    },
    /// Deliver archived events again. A projection that had them all stays as it is. Ctrl-C stops
    Replay {
        /// Where to: a projection, as MICROGRAPH.PROJECTION, by its queue alone; or `bus`, for every consumer there is
        #[arg(long, value_name = "TARGET")]
        to: String,
        #[command(flatten)]
        scope: Scope,
        /// Before this time
        #[arg(long, value_name = "TIME", value_parser = moment)]
        until: Option<Timestamp>,
        /// Only events of this name; may be repeated [default: what the projection folds]
        #[arg(long = "type", value_name = "NAME", value_delimiter = ',')]
        types: Vec<String>,
        /// Only events of this aggregate; may be repeated
        #[arg(long = "subject", value_name = "ID")]
        subjects: Vec<String>,
        /// Events a second at most
        #[arg(long, value_name = "NUMBER")]
        rate: Option<NonZeroU32>,
        /// Go on where the same replay stopped
        #[arg(long)]
        resume: bool,
    },
    /// Merge the objects of each hour into one, each event once
    Compact {
        #[command(flatten)]
        scope: Scope,
        /// Before this time
        #[arg(long, value_name = "TIME", value_parser = moment)]
        to: Option<Timestamp>,
    },
    /// Remove every event of an aggregate from the archive, for good; that it was deleted stays known
    Erase {
        /// Its domain
        #[arg(long, value_name = "NAME")]
        domain: String,
        /// Its identity
        #[arg(long, value_name = "ID")]
        subject: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct Scope {
    /// Only events of this domain; may be repeated
    #[arg(long = "domain", value_name = "NAME", value_delimiter = ',')]
    domains: Vec<String>,
    /// From this time on, by the events' own: 2011-01-04, 2011-01-04T10:30, in UTC or with an offset
    #[arg(long, value_name = "TIME", value_parser = moment)]
    from: Option<Timestamp>,
}

impl Scope {
    fn filter(self, to: Option<Timestamp>) -> Filter {
        Filter { domains: self.domains.into_iter().collect(), from: self.from, to, ..Filter::default() }
    }
}

/// A time as people write it; UTC where it names no offset.
fn moment(text: &str) -> Result<Timestamp, String> {
    let civil = || Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok();
    text.parse().ok().or_else(civil).ok_or_else(|| {
        "a time is written as 2011-01-04, 2011-01-04T10:30, 2011-01-04T10:30:00Z or …+02:00".to_owned()
    })
}

pub(super) async fn run(options: &Options, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { scope, to, hours } => {
            let listed = Tools::once(options, Ask::Archive(archiving::Ask::List(scope.filter(to)))).await?;
            print!("{}", listing(&listed, hours));
            Ok(())
        }
        Action::Replay { to, scope, until, types, subjects, rate, resume } => {
            let filter = Filter {
                types: types.into_iter().collect(),
                subjects: subjects.into_iter().collect(),
                ..scope.filter(until)
            };
            replay(options, &Request { to, filter, rate, resume }).await
        }
        Action::Compact { scope, to } => {
            let ask = Ask::Archive(archiving::Ask::Compact(scope.filter(to)));
            let done: Compacted = Tools::once(options, ask).await?;
            println!(
                "{} of {} hours written anew: {} objects instead of {}, {} duplicates gone.",
                done.rewritten, done.hours, done.objects_after, done.objects_before, done.folded
            );
            intact(&done.damaged)
        }
        Action::Erase { domain, subject } => {
            let ask = Ask::Archive(archiving::Ask::Erase { domain, subject });
            let done: Erased = Tools::once(options, ask).await?;
            println!(
                "{} events erased; {} hours written anew, {} objects read.",
                done.events, done.rewritten, done.objects
            );
            intact(&done.damaged)
        }
    }
}

fn intact(damaged: &[Damaged]) -> anyhow::Result<()> {
    for object in damaged {
        eprintln!("{object}");
    }
    if damaged.is_empty() { Ok(()) } else { bail!("{} objects of the archive are damaged", damaged.len()) }
}

async fn replay(options: &Options, request: &Request) -> anyhow::Result<()> {
    let Some(path) = options.folder(false) else { bail!("there is no archive to replay with --in-memory") };
    let plan = replaying::plan(request.clone())?;
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:30} {pos} of {len} objects, {msg}  {elapsed} gone, {eta} to go")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let told = |so_far: &Replayed| {
        bar.set_length(so_far.objects);
        bar.set_position(so_far.objects_done);
        bar.set_message(format!("{} events sent", HumanCount(so_far.sent)));
    };
    let outcome = match Folder::take(&path) {
        Ok(folder) => own(options, &folder, &plan, &told).await,
        Err(FolderError::InUse { holder: Some(holder), .. }) => {
            let mut stop = stopped();
            tokio::select! {
                outcome = admin::replay(&holder, request, &told) => outcome,
                // The other process stops when this one listens no more.
                _ = stop.wait_for(|stop| *stop) => {
                    bar.finish_and_clear();
                    bail!("stopped; the same command with --resume goes on");
                }
            }
        }
        Err(error) => Err(error.into()),
    };
    bar.finish_and_clear();
    let Outcome { replayed, resumed, stopped, damaged } = outcome?;
    if resumed {
        println!("Went on where the same replay stopped.");
    }
    println!(
        "Sent {} events to {}, of {} read in {} objects.",
        HumanCount(replayed.sent),
        request.to,
        HumanCount(replayed.read),
        HumanCount(replayed.objects_done)
    );
    intact(&damaged)?;
    if stopped {
        bail!("stopped before the end; the same command with --resume goes on");
    }
    Ok(())
}

/// Replays in this process, which has the state for as long as that takes.
async fn own(
    options: &Options,
    folder: &Folder,
    plan: &Plan,
    told: &(dyn Fn(&Replayed) + Send + Sync),
) -> anyhow::Result<Outcome> {
    let suite = Suite::start(Some(folder), options.settings()?).await?;
    let stop = stopped();
    let outcome = replaying::run(&suite, plan, &|| *stop.borrow(), told).await;
    if outcome.as_ref().is_ok_and(|outcome| !outcome.stopped) {
        suite.drained().await?;
    }
    suite.stop().await;
    outcome
}

fn listing(listed: &Listed, by_hour: bool) -> String {
    let mut text = String::new();
    let mut line = |cells: [String; 6]| {
        let [domain, from, to, objects, events, bytes] = cells;
        let row = format!("{domain:<14}{from:<18}{to:<18}{objects:>9}{events:>11}{bytes:>13}");
        text.push_str(row.trim_end());
        text.push('\n');
    };
    let row = |domain: &str, first: &HourSummary, last: &HourSummary, hours: &[HourSummary]| {
        let sum = |part: fn(&HourSummary) -> u64| hours.iter().map(part).sum::<u64>();
        [
            domain.to_owned(),
            first.hour.strftime("%Y-%m-%dT%HZ").to_string(),
            last.hour.strftime("%Y-%m-%dT%HZ").to_string(),
            HumanCount(sum(|it| it.objects)).to_string(),
            HumanCount(sum(|it| it.events)).to_string(),
            HumanBytes(sum(|it| it.bytes)).to_string(),
        ]
    };
    if listed.hours.is_empty() {
        text.push_str("The archive holds nothing there.\n");
    } else {
        line(["domain", "first hour", "last hour", "objects", "events", "size"].map(str::to_owned));
        let same = |a: &HourSummary, b: &HourSummary| a.domain == b.domain && !by_hour;
        for hours in listed.hours.chunk_by(same) {
            let (first, last) = (&hours[0], &hours[hours.len() - 1]);
            line(row(&first.domain, first, last, hours));
        }
        let first = listed.hours.iter().min_by_key(|it| it.hour);
        let last = listed.hours.iter().max_by_key(|it| it.hour);
        if let (Some(first), Some(last)) = (first, last) {
            line(row("all", first, last, &listed.hours));
        }
    }
    if listed.waiting > 0 {
        let _ = writeln!(text, "{} events more wait to be archived.", HumanCount(listed.waiting as u64));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_as_people_write_it() {
        let at = |text: &str| moment(text).unwrap().to_string();
        assert_eq!(at("2011-01-04"), "2011-01-04T00:00:00Z");
        assert_eq!(at("2011-01-04T10:30"), "2011-01-04T10:30:00Z");
        assert_eq!(at("2011-01-04 10:30"), "2011-01-04T10:30:00Z");
        assert_eq!(at("2011-01-04T10:30:00+02:00"), "2011-01-04T08:30:00Z");
        for bad in ["", "yesterday", "2011-13-04", "2011-02-30", "10:30"] {
            assert!(moment(bad).unwrap_err().contains("2011-01-04"), "{bad}");
        }
    }

    #[test]
    fn a_listing_sums_by_domain_or_shows_every_hour() {
        let hour = |domain: &str, hour: i64| HourSummary {
            domain: domain.to_owned(),
            hour: Timestamp::from_second(hour * 3600).unwrap(),
            objects: 2,
            events: 1_000,
            bytes: 4_096,
        };
        let hours = vec![hour("catalogue", 5), hour("orders", 1), hour("orders", 7)];
        let listed = Listed { hours, waiting: 3 };
        let text = listing(&listed, false);
        assert_eq!(text.lines().count(), 1 + 2 + 1 + 1, "{text}");
        assert!(
            text.contains("orders        1970-01-01T01Z    1970-01-01T07Z            4      2,000"),
            "{text}"
        );
        assert!(
            text.contains("all           1970-01-01T01Z    1970-01-01T07Z            6      3,000"),
            "{text}"
        );
        assert!(text.contains("3 events more wait"), "{text}");
        assert_eq!(listing(&listed, true).lines().count(), 1 + 3 + 1 + 1);
        let none = listing(&Listed { hours: Vec::new(), waiting: 0 }, false);
        assert_eq!(none, "The archive holds nothing there.\n");
    }
}
