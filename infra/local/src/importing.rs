//! `tributary import`: from a file to the micrographs' queues, with back-pressure, a checkpoint and a summary.

use crate::import::{Emit, Importer, Item, Rejected, Summary};
use crate::quarantine::{self, IMPORT, Listed, Selection};
use crate::suite::{CommandRef, Suite};
use crate::tally::Work;
use anyhow::Context as _;
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressStyle};
use projection::quarantine::{Quarantine as _, Quarantined, Reason};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Commands that are sent at once, and between two checkpoints.
const CHUNK: usize = 500;

/// Messages that may wait in all queues before the file is read on.
const WAITING: usize = 20_000;

/// How often a full queue is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How an import ended.
#[derive(Debug)]
pub struct Imported {
    /// Whether the file was read to its end and everything drained; else the next import goes on.
    pub complete: bool,
    summary: Summary,
    sent: u64,
    resumed_after: u64,
    elapsed: Duration,
    work: BTreeMap<String, Work>,
    quarantined: BTreeMap<(String, String), u64>,
    dead_letters: Vec<(String, usize)>,
}

/// Imports a file, until its end or until it is stopped.
///
/// The checkpoint is written after what it covers is durable in the queues: after a crash some commands are sent
/// again, which their ids make harmless.
pub async fn run(suite: &Suite, path: &Path, stop: &watch::Receiver<bool>) -> anyhow::Result<Imported> {
    let importer = Importer::open(path)?;
    let checkpoint = Checkpoint::of(suite, importer.fingerprint());
    let resumed_after = checkpoint.position()?;
    if resumed_after > 0 {
        eprintln!("Going on after {} messages of an earlier import of this file.", HumanCount(resumed_after));
    }
    let started = Instant::now();
    let bar = progress(importer.total_bytes());
    let mut feed = Feed { suite, checkpoint, sent: 0, bar, chunk: Vec::with_capacity(CHUNK), started };
    let mut importer = importer.after(resumed_after);
    let read = feed.all(&mut importer, stop).await;
    feed.bar.finish_and_clear();
    let read_all = read?;
    let drained = read_all && feed.drain(stop).await?;
    if drained {
        feed.checkpoint.clear()?;
    }
    let mut quarantined = BTreeMap::new();
    let mut after = None;
    loop {
        let listing = quarantine::list(suite, &Selection::default(), after, 1_000).await?;
        for Listed { micrograph, entry } in listing.entries {
            *quarantined.entry((format!("{micrograph}.{}", entry.consumer), entry.reason)).or_default() += 1;
        }
        after = listing.next;
        if after.is_none() {
            break;
        }
    }
    Ok(Imported {
        complete: drained,
        summary: importer.summary().clone(),
        sent: feed.sent,
        resumed_after,
        elapsed: started.elapsed(),
        work: suite.tally.all(),
        quarantined,
        dead_letters: suite.dead_letters(),
    })
}

struct Feed<'a> {
    suite: &'a Suite,
    checkpoint: Checkpoint<'a>,
    sent: u64,
    bar: ProgressBar,
    chunk: Vec<Item>,
    started: Instant,
}

impl Feed<'_> {
    /// Sends all of a file; tells whether it came to the end.
    async fn all(&mut self, importer: &mut Importer, stop: &watch::Receiver<bool>) -> anyhow::Result<bool> {
        for item in importer {
            self.chunk.push(item?);
            if self.chunk.len() == CHUNK {
                self.send().await?;
                while self.suite.waiting() > WAITING && !*stop.borrow() {
                    tokio::time::sleep(LOOK).await;
                }
                if *stop.borrow() {
                    return Ok(false);
                }
            }
        }
        self.send().await?;
        Ok(true)
    }

    async fn send(&mut self) -> anyhow::Result<()> {
        let Some(last) = self.chunk.last() else { return Ok(()) };
        let (sequence, bytes, row) = (last.sequence, last.bytes_read, last.row);
        for item in &self.chunk {
            if let Emit::Rejected(rejected) = &item.what {
                self.keep(rejected).await?;
            }
        }
        let commands = self.chunk.iter().filter_map(|item| match &item.what {
            Emit::Command(command) => Some(CommandRef {
                domain: command.domain,
                subject: &command.subject,
                id: &command.id,
                json: &command.json,
            }),
            Emit::Rejected(_) => None,
        });
        self.suite.send(commands)?;
        self.checkpoint.set(sequence)?;
        self.sent += self.chunk.len() as u64;
        self.chunk.clear();
        self.bar.set_position(bytes);
        let rate = rate(row, self.started.elapsed());
        self.bar.set_message(format!(
            "{} rows, {rate} rows/s, {} messages waiting",
            HumanCount(row),
            self.suite.waiting()
        ));
        Ok(())
    }

    /// A row that can't be read is kept with those that orders can't place.
    async fn keep(&self, rejected: &Rejected) -> anyhow::Result<()> {
        let app = self.suite.apps.get("orders").context("the suite has orders")?;
        let detail = format!("line {}: {}", rejected.line, rejected.reason);
        let envelope = format!("{}\n{}", rejected.line, rejected.raw);
        let (consumer, reason) = (IMPORT, Reason::Malformed);
        let row =
            Quarantined { consumer, reason, detail, raw: &rejected.raw, envelope: &envelope, redrive: None };
        Ok(app.quarantine().keep(&row).await?)
    }

    /// Waits until every projection has everything; tells whether that came before a stop.
    async fn drain(&self, stop: &watch::Receiver<bool>) -> anyhow::Result<bool> {
        let spinner = ProgressBar::new_spinner();
        let mut stop = stop.clone();
        let mut drained = std::pin::pin!(self.suite.drained());
        loop {
            spinner
                .set_message(format!("the file is read; {} messages are on their way", self.suite.waiting()));
            tokio::select! {
                result = &mut drained => {
                    spinner.finish_and_clear();
                    return result.map(|()| true);
                }
                _ = stop.wait_for(|stop| *stop) => {
                    spinner.finish_and_clear();
                    return Ok(false);
                }
                () = tokio::time::sleep(Duration::from_millis(100)) => spinner.tick(),
            }
        }
    }
}

/// How far a file is imported, in the store of the queues.
struct Checkpoint<'a> {
    suite: &'a Suite,
    key: String,
}

impl<'a> Checkpoint<'a> {
    fn of(suite: &'a Suite, fingerprint: &str) -> Self {
        Self { suite, key: format!("import:{fingerprint}") }
    }

    fn position(&self) -> anyhow::Result<u64> {
        let stored = self.suite.queues.get_meta(&self.key)?;
        let position = stored.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
        Ok(position.unwrap_or(0))
    }

    fn set(&self, sequence: u64) -> anyhow::Result<()> {
        Ok(self.suite.queues.put_meta(&self.key, sequence.to_string().as_bytes())?)
    }

    /// The file is done: importing it again goes through all of it, and changes nothing.
    fn clear(&self) -> anyhow::Result<()> {
        self.set(0)
    }
}

fn progress(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}  {elapsed} gone, {eta} to go");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a rate to be read"
)]
fn rate(count: u64, elapsed: Duration) -> u64 {
    (count as f64 / elapsed.as_secs_f64().max(0.001)) as u64
}

impl Imported {
    /// The summary for people.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let s = &self.summary;
        let mut line = |what: &str, value: String| {
            let _ = writeln!(text, "  {what:<22} {value}");
        };
        let count = |count: u64| HumanCount(count).to_string();
        line("rows read", count(s.rows));
        line(
            "orders",
            format!(
                "{} with {} lines, {} units, {} GBP",
                count(s.orders),
                count(s.sold_lines),
                count(s.sold_units),
                s.sold_amount
            ),
        );
        line(
            "credit notes",
            format!(
                "{} with {} lines, {} units, {} GBP",
                count(s.credit_notes),
                count(s.returned_lines),
                count(s.returned_units),
                s.returned_amount
            ),
        );
        line("stock adjustments", format!("{} down, {} up", count(s.written_off_rows), count(s.found_rows)));
        line("ledger rows", count(s.ledger_rows));
        line("products, customers", format!("{}, {}", count(s.products), count(s.customers)));
        if s.rejected_rows() > 0 {
            let reasons: Vec<String> = s.rejected.iter().map(|(why, rows)| format!("{rows} {why}")).collect();
            line(
                "rows not imported",
                format!("{} ({}); they are in the quarantine", s.rejected_rows(), reasons.join(", ")),
            );
        }
        let total = |field: fn(&Work) -> u64| self.work.values().map(field).sum::<u64>();
        let events = self
            .work
            .iter()
            .filter(|(name, _)| name.ends_with(".outbox"))
            .map(|(_, work)| work.messages)
            .sum();
        line("commands sent", count(self.sent));
        line("writes published", count(events));
        line("events applied", count(total(|it| it.applied)));
        line(
            "older, duplicate",
            format!("{}, {}", count(total(|it| it.stale)), count(total(|it| it.duplicate))),
        );
        if self.quarantined.is_empty() {
            line("in quarantine", "0".to_owned());
        }
        for ((consumer, reason), entries) in &self.quarantined {
            line("in quarantine", format!("{} {reason} ({consumer})", count(*entries)));
        }
        for (queue, messages) in &self.dead_letters {
            line("dead letters", format!("{} in {queue}", count(*messages as u64)));
        }
        let rows = rate(self.summary.rows, self.elapsed);
        let took =
            format!("{} ({:.1} s), {rows} rows/s", HumanDuration(self.elapsed), self.elapsed.as_secs_f64());
        line("took", took);
        self.where_time_went(&mut text);
        if self.resumed_after > 0 {
            let _ = writeln!(
                text,
                "  The import went on after {} messages of an earlier one.",
                count(self.resumed_after)
            );
        }
        if !self.complete {
            text.push_str("  Stopped before the end: the same command goes on where this one stopped. Nothing is lost.\n");
        }
        text
    }

    fn where_time_went(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n  {:<28}{:>10}{:>10}{:>12}{:>10}",
            "function", "batches", "messages", "write units", "seconds"
        );
        for (name, work) in &self.work {
            let _ = writeln!(
                text,
                "  {name:<28}{:>10}{:>10}{:>12.0}{:>10.1}",
                work.batches,
                work.messages,
                work.units,
                work.busy.as_secs_f64()
            );
        }
    }
}
