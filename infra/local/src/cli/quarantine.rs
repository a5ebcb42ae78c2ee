//! `tributary quarantine` for people.

use super::tools::Tools;
use crate::admin::Ask;
use crate::quarantine::{Change, IMPORT, Listed, Listing, Outcome, Selection, Shown};
use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};
use indicatif::{HumanCount, ProgressBar};
use projection::quarantine::edit::{self, Line};
use projection::quarantine::{Filter, Reason};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Entries in one request.
const CHUNK: usize = 100;

/// How often it is asked what became of the messages.
const LOOK: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List the entries
    List {
        #[command(flatten)]
        which: Which,
        /// The most entries that are listed
        #[arg(long, value_name = "NUMBER", default_value_t = 100)]
        limit: usize,
        /// Print each entry as a line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Show an entry and its message, as it came and as it was edited
    Show {
        /// The entry's id, or how it starts; where several micrographs have it, after its micrograph and a dot
        id: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Edit a message: in $EDITOR unless another way is given. The original is kept; a redrive delivers the edit
    Edit {
        /// The entry's id, or how it starts; where several micrographs have it, after its micrograph and a dot
        id: String,
        /// Take the edited message from a file; - for standard input
        #[arg(long, conflicts_with = "set")]
        file: Option<PathBuf>,
        /// Set a field, named by its place, to JSON or else to a text: --set /data/title="A title"
        #[arg(long, value_name = "PLACE=VALUE", value_parser = field)]
        set: Vec<(String, String)>,
        /// Let the message be about something else: change its id, domain, subject or version
        #[arg(long)]
        allow_identity: bool,
    },
    /// Deliver messages again by the queues that they came from; what still can't be applied comes back
    Redrive {
        /// The entries' ids, or how they start
        ids: Vec<String>,
        #[command(flatten)]
        which: Which,
        /// All entries, the importer's rows aside
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// How long to wait until it is known what became of them, in seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 30)]
        wait: u64,
    },
    /// Remove entries for good, whatever their messages say
    Discard {
        /// The entries' ids, or how they start
        ids: Vec<String>,
        #[command(flatten)]
        which: Which,
        /// Yes, they are lost then
        #[arg(long)]
        yes: bool,
    },
}

/// Which entries are meant; all of what is given must be so.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Which {
    /// Only those of this reason: malformed, unknown-major, schema-violation, handler-rejected, version-fork, exhausted
    #[arg(long, value_parser = reason)]
    reason: Option<Reason>,
    /// Only those about this aggregate
    #[arg(long)]
    subject: Option<String>,
    /// Only events or commands of this name
    #[arg(long = "type", value_name = "NAME")]
    name: Option<String>,
    /// Only those of this consumer: a projection, or commands
    #[arg(long)]
    consumer: Option<String>,
    /// Only those of this micrograph
    #[arg(long)]
    micrograph: Option<String>,
}

impl Which {
    fn selection(&self) -> Selection {
        let Self { reason, subject, name, consumer, micrograph } = self.clone();
        Selection { micrograph, filter: Filter { consumer, reason, subject, name } }
    }

    fn is_all(&self) -> bool {
        self.selection() == Selection::default()
    }
}

fn reason(text: &str) -> Result<Reason, String> {
    let plain = |text: &str| text.replace(['-', '_'], "").to_lowercase();
    let found = Reason::ALL.into_iter().find(|reason| plain(&format!("{reason:?}")) == plain(text));
    found.ok_or_else(|| format!("the reasons are {:?}", Reason::ALL))
}

fn field(text: &str) -> Result<(String, String), String> {
    let (place, value) =
        text.split_once('=').ok_or("a place and a value are wanted, like /data/title=Apron")?;
    Ok((place.to_owned(), value.to_owned()))
}

/// Runs an action.
pub(super) async fn run(tools: &Tools, action: Action) -> anyhow::Result<()> {
    match action {
        Action::List { which, limit, json } => list(tools, &which, limit, json).await,
        Action::Show { id, json } => {
            let shown = tools.ask::<Shown>(Ask::Show(id)).await?;
            if json { print(&serde_json::to_string_pretty(&shown)?) } else { show(&shown) }
        }
        Action::Edit { id, file, set, allow_identity } => {
            let (id, change) = match (file, set.is_empty()) {
                (Some(file), _) => (id, Change::Text { text: super::read(&file)?, edits: None }),
                (None, false) => (id, Change::Set(set)),
                (None, true) => {
                    let shown = tools.ask::<Shown>(Ask::Show(id)).await?;
                    let text = in_editor(&shown.editable())?;
                    let edits = Some(shown.listed.entry.edits);
                    (shown.listed.name(), Change::Text { text, edits })
                }
            };
            let shown = tools.ask::<Shown>(Ask::Edit { id, change, identity: allow_identity }).await?;
            show_difference(&shown)?;
            let id = format!("{}.{}", shown.listed.micrograph, short(&shown.listed.entry.id));
            print(&format!("\nKept beside the original. `tributary quarantine redrive {id}` delivers it."))
        }
        Action::Redrive { ids, which, all, wait } => {
            if !all && which.is_all() && ids.is_empty() {
                bail!("which ones? Give ids, --all, or what they have in common (see --help)");
            }
            let ids = chosen(tools, ids, &which, !all).await?;
            redrive(tools, ids, Duration::from_secs(wait)).await
        }
        Action::Discard { ids, which, yes } => {
            if which.is_all() && ids.is_empty() {
                bail!("which ones? Give ids, or what they have in common (see --help)");
            }
            let ids = chosen(tools, ids, &which, true).await?;
            if ids.is_empty() {
                return print("No entry is like that.");
            }
            if !yes {
                bail!("{} messages would be lost for good: repeat it with --yes", ids.len());
            }
            let bar = ProgressBar::new(ids.len() as u64);
            for chunk in ids.chunks(CHUNK) {
                tools.ask::<Vec<Listed>>(Ask::Discard(chunk.to_vec())).await?;
                bar.inc(chunk.len() as u64);
            }
            bar.finish_and_clear();
            print(&format!("Discarded {} messages.", ids.len()))
        }
    }
}

/// Prints a line; who reads may have enough before the end.
fn print(text: &str) -> anyhow::Result<()> {
    match writeln!(std::io::stdout(), "{text}") {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        done => Ok(done?),
    }
}

async fn list(tools: &Tools, which: &Which, limit: usize, json: bool) -> anyhow::Result<()> {
    let (selection, mut after, mut listed) = (which.selection(), None, 0);
    while listed < limit {
        let ask = Ask::List { selection: selection.clone(), after, limit: CHUNK.min(limit - listed) };
        let Listing { entries, next } = tools.ask(ask).await?;
        if listed == 0 && !entries.is_empty() && !json {
            let titles = ["id", "consumer", "reason", "type", "subject", "times", ""];
            print(&row(titles, "why"))?;
        }
        listed += entries.len();
        for listed in &entries {
            print(&if json { serde_json::to_string(listed)? } else { line(listed) })?;
        }
        after = next;
        if after.is_none() {
            break;
        }
    }
    if json {
        return Ok(());
    }
    match (listed, after.is_some()) {
        (0, _) if which.is_all() => print("The quarantine is empty."),
        (0, _) => print("No entry is like that."),
        (_, true) => print(&format!("These are the first {listed}; --limit shows more.")),
        _ => Ok(()),
    }
}

fn line(Listed { micrograph, entry }: &Listed) -> String {
    let consumer = format!("{micrograph}.{}", entry.consumer);
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "–".to_owned());
    let (name, subject, times) =
        (text(&entry.about.name), text(&entry.about.subject), entry.count.to_string());
    let state = match (&entry.redriven_at, entry.edits) {
        (Some(_), _) => "under way",
        (None, 0) => "",
        (None, _) => "edited",
    };
    row([short(&entry.id), &consumer, &entry.reason, &name, &subject, &times, state], &entry.detail)
}

fn row([id, consumer, reason, name, subject, times, state]: [&str; 7], why: &str) -> String {
    let fit = |text: &str, width: usize| {
        let text: String = text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        if text.chars().count() <= width {
            return format!("{text:<width$}");
        }
        let cut: String = text.chars().take(width - 1).collect();
        format!("{cut}…")
    };
    let [id, consumer, reason] = [fit(id, 12), fit(consumer, 24), fit(reason, 15)];
    let [name, subject, state] = [fit(name, 18), fit(subject, 16), fit(state, 9)];
    format!("{id}  {consumer}  {reason}  {name}  {subject}  {times:>5}  {state}  {}", fit(why, 80).trim_end())
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn show(shown: &Shown) -> anyhow::Result<()> {
    print(&serde_json::to_string_pretty(&shown.listed)?)?;
    print(&format!("\nas it came:\n{}", shown.raw))?;
    if shown.edited.is_none() {
        return Ok(());
    }
    let at = shown.listed.entry.edited_at.as_deref().unwrap_or("an unknown time");
    print(&format!("\nas it was edited at {at}, edit {}:", shown.listed.entry.edits))?;
    show_difference(shown)
}

fn show_difference(shown: &Shown) -> anyhow::Result<()> {
    let (before, after) = (edit::readable(&shown.raw), edit::readable(&shown.editable()));
    let lines = edit::difference(&before, &after);
    let near = |at: usize| {
        let around = at.saturating_sub(2)..(at + 3).min(lines.len());
        lines[around].iter().any(|line| !matches!(line, Line::Same(_)))
    };
    let mut left_out = false;
    for (at, line) in lines.iter().enumerate() {
        if near(at) {
            print(&line.to_string())?;
        } else if !left_out {
            print("  …")?;
        }
        left_out = !near(at);
    }
    Ok(())
}

/// The ids that are given, or those of all entries that are meant.
async fn chosen(
    tools: &Tools,
    given: Vec<String>,
    which: &Which,
    with_rows: bool,
) -> anyhow::Result<Vec<String>> {
    if !given.is_empty() {
        if !which.is_all() {
            bail!("give either ids or what the entries have in common");
        }
        return Ok(given);
    }
    let (mut ids, mut after) = (Vec::new(), None);
    loop {
        let ask = Ask::List { selection: which.selection(), after, limit: 10 * CHUNK };
        let Listing { entries, next } = tools.ask(ask).await?;
        let rows = |it: &Listed| it.entry.consumer == IMPORT;
        ids.extend(entries.into_iter().filter(|it| with_rows || !rows(it)).map(|it| it.name()));
        after = next;
        if after.is_none() {
            return Ok(ids);
        }
    }
}

async fn redrive(tools: &Tools, ids: Vec<String>, wait: Duration) -> anyhow::Result<()> {
    if ids.is_empty() {
        return print("No entry is like that.");
    }
    let bar = ProgressBar::new(ids.len() as u64);
    let mut driven: Vec<(String, String)> = Vec::with_capacity(ids.len());
    for chunk in ids.chunks(CHUNK) {
        let listed: Vec<Listed> = match tools.ask(Ask::Redrive(chunk.to_vec())).await {
            Ok(listed) => listed,
            Err(error) if driven.is_empty() => return Err(error),
            Err(error) => return Err(error.context(format!("{} were delivered before", driven.len()))),
        };
        driven.extend(listed.into_iter().map(|it| (it.micrograph, it.entry.id)));
        bar.inc(chunk.len() as u64);
    }
    bar.finish_and_clear();
    let outcomes = outcomes(tools, &driven, wait).await?;
    let count = |wanted: Outcome| outcomes.values().filter(|it| **it == wanted).count() as u64;
    let (back, under_way) = (count(Outcome::CameBack), count(Outcome::UnderWay));
    let mut text = format!(
        "Delivered {} again: {} applied, {} came back",
        HumanCount(driven.len() as u64),
        HumanCount(count(Outcome::Applied)),
        HumanCount(back)
    );
    if under_way > 0 {
        let _ = write!(text, ", {} still under way", HumanCount(under_way));
    }
    print(&format!("{text}."))
}

/// Waits until it is known of all what became of them, or for as long as `wait`.
async fn outcomes(
    tools: &Tools,
    driven: &[(String, String)],
    wait: Duration,
) -> anyhow::Result<BTreeMap<(String, String), Outcome>> {
    let mut known: BTreeMap<(String, String), Outcome> = BTreeMap::new();
    let until = tokio::time::Instant::now() + wait;
    let mut open: Vec<(String, String)> = driven.to_vec();
    loop {
        for chunk in open.chunks(10 * CHUNK) {
            let told: Vec<Outcome> = tools.ask(Ask::Outcomes(chunk.to_vec())).await?;
            known.extend(chunk.iter().cloned().zip(told));
        }
        open.retain(|it| known.get(it) == Some(&Outcome::UnderWay));
        if open.is_empty() || tokio::time::Instant::now() >= until {
            return Ok(known);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Lets a person edit a text.
fn in_editor(text: &str) -> anyhow::Result<String> {
    let editor =
        ["VISUAL", "EDITOR"].iter().find_map(|name| std::env::var(name).ok().filter(|it| !it.is_empty()));
    let Some(editor) = editor else { bail!("EDITOR is not set: set it, or give --file or --set") };
    let mut file = tempfile::Builder::new().prefix("quarantine-").suffix(".json").tempfile()?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.flush()?;
    let path: &Path = file.path();
    // As a shell does it: EDITOR may have arguments.
    let status =
        std::process::Command::new("sh").args(["-c", &format!("{editor} \"$0\"")]).arg(path).status();
    let status = status.with_context(|| format!("`{editor}` can't be run"))?;
    if !status.success() {
        bail!("`{editor}` ended with {status}: nothing was changed");
    }
    // Read by name: editors replace the file.
    let mut edited = String::new();
    std::fs::File::open(path)?.read_to_string(&mut edited).context("the edited file is not UTF-8")?;
    Ok(edited)
}
