//! The command line.

mod archive;
mod contracts;
mod generation;
mod quarantine;
mod region;
mod running;
mod schema;
mod tools;

use crate::admin::{self, Ask};
use crate::folder::DEFAULT;
use crate::generations::{self, Named};
use crate::publish;
use crate::purging::OwnCache;
use crate::suite::{CommandRef, Settings};
use crate::{deployed, importing, sample, shop};
use anyhow::{Context as _, bail};
use clap::{Args, Parser, Subcommand, ValueEnum};
pub use contracts::Stopped;
use embedded::Durability;
use embedded::queue::Chaos;
use gateway::Gateway;
use indicatif::{ProgressBar, ProgressStyle};
use micrograph::Edge;
use micrograph::environment::consistency;
use micrograph::manifest::Manifest;
use projection::store::Relational;
use purger::{Cache, HttpCache, Purger};
use relational::{Connection, PostgresStore};
use running::{Other, Running};
pub use schema::Verdict;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tools::Tools;

/// What `tributary --help` says of the whole.
const ABOUT: &str = "A gift retailer's supergraph on one machine: micrographs, their projections, the bus between them, \
                     the gateway.\n\nWithout a command it serves the graph at http://127.0.0.1:4000/graphql until Ctrl-C.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, about = ABOUT)]
pub struct Cli {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Args)]
struct Options {
    /// The folder that holds the state [default: .tributary/shop once a file was imported, else .tributary/sample]
    #[arg(long, global = true, value_name = "DIR", env = "TRIBUTARY_STATE")]
    state: Option<PathBuf>,
    /// Keep no state: everything is gone at the end
    #[arg(long, global = true, conflicts_with = "state")]
    in_memory: bool,
    /// Where the graph is served
    #[arg(long, global = true, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:4000")]
    listen: SocketAddr,
    /// Disorder on the bus: every event twice, in shuffled order
    #[arg(long, global = true, value_name = "KIND", value_delimiter = ',')]
    chaos: Vec<Disorder>,
    /// Where the random numbers of --chaos start
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// What an acknowledged write survives: the end of the process (kill -9), or the loss of power too, which is slower
    #[arg(long, global = true, value_name = "WHAT", default_value = "process")]
    survive: Survive,
    /// How many regions to serve, each with tables, queues and a bus of its own; the graph of each is at a port of its own
    #[arg(long, global = true, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=3))]
    regions: u16,
    /// Let the gateway keep answers that everyone may have (64 MiB); what changes is dropped
    #[arg(long, global = true)]
    cache: bool,
    /// A PostgreSQL for the micrographs that need one, such as reporting; a database of its own for each state
    #[arg(long, global = true, value_name = "postgres://USER@HOST/DATABASE", env = "TRIBUTARY_POSTGRES")]
    postgres: Option<String>,
    /// An HTTP cache in front of the graph that takes PURGE with the header cache-tag; may be given several times
    #[arg(long, global = true, value_name = "URL")]
    purge: Vec<reqwest::Url>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Disorder {
    Duplicate,
    Reorder,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Survive {
    Process,
    Power,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the graph (the default)
    Serve,
    /// Import the Online Retail file: as CSV, gzipped or plain. Ctrl-C stops; the same command goes on
    Import {
        /// The file, with the columns InvoiceNo, StockCode, Description, Quantity, InvoiceDate, UnitPrice, CustomerID, Country
        file: PathBuf,
        /// Go on serving the graph after the import, until Ctrl-C
        #[arg(long)]
        serve: bool,
    },
    /// Publish events and commands from a file of JSON lines, each a message with its envelope (see events/)
    Publish {
        /// The file; - for standard input
        file: PathBuf,
        /// Put events on the bus as they are: what consumers can't apply goes to their quarantine
        #[arg(long)]
        unchecked: bool,
    },
    /// See what could not be applied, edit it, deliver it again or discard it
    Quarantine {
        #[command(subcommand)]
        action: quarantine::Action,
    },
    /// See what the archive of all events holds, replay from it, erase from it
    Archive {
        #[command(subcommand)]
        action: archive::Action,
    },
    /// Build a projection anew beside the one that is read, compare it with its sources, and read it from then on
    Rebuild {
        /// The micrograph
        micrograph: String,
        /// The projection
        projection: String,
        /// Leave the swap to `tributary generation swap`
        #[arg(long)]
        no_swap: bool,
    },
    /// See the generations of projections; swap, roll back, retire, discard
    Generation {
        #[command(subcommand)]
        action: generation::Action,
    },
    /// Compare projections with what their owners know, and name what was lost, forked or miscounted
    Audit {
        /// The micrograph [default: all]
        #[arg(requires = "projection")]
        micrograph: Option<String>,
        /// The projection
        projection: Option<String>,
        /// Deliver again what is lost or stale
        #[arg(long)]
        repair: bool,
    },
    /// See the regions, cut one off, connect it again, let another one take over
    Region {
        #[command(subcommand)]
        action: region::Action,
    },
    /// Check and deploy the schemas of subgraphs; see what is live, who published it, and what changed for clients
    Schema(schema::Asked),
    /// Compare events and commands with every released version, and see who reads them
    Contracts {
        #[command(subcommand)]
        action: contracts::Action,
    },
    /// Run every check that makes a release safe: contracts, graph, architecture, examples, archived samples.
    ///
    /// Exit codes: 0 where nothing stops a release, 1 where something does, 2 where the command line is wrong, 3 where a
    /// check could not be carried out.
    Check {
        #[command(flatten)]
        gate: contracts::Gate,
    },
    /// Print what the micrographs need of their surroundings, as JSON
    Manifest {
        /// Only this micrograph
        micrograph: Option<String>,
    },
}

/// Runs what the command line says.
pub async fn run(cli: Cli) -> anyhow::Result<()> {
    let Cli { options, command } = cli;
    match command {
        None | Some(Command::Serve) => serve(&options).await,
        Some(Command::Import { file, serve }) => import(&options, &file, serve).await,
        Some(Command::Publish { file, unchecked }) => {
            let text = read(&file)?;
            let tools = Tools::open(&options).await?;
            let asked = tools.ask(Ask::Publish(publish::Request { text, unchecked })).await;
            tools.close(asked.is_ok()).await?;
            let published: publish::Published = asked?;
            println!("Published {} events and {} commands.", published.events, published.commands);
            Ok(())
        }
        Some(Command::Archive { action }) => archive::run(&options, action).await,
        Some(Command::Quarantine { action }) => {
            let tools = Tools::open(&options).await?;
            let done = quarantine::run(&tools, action).await;
            tools.close(done.is_ok()).await?;
            done
        }
        Some(Command::Rebuild { micrograph, projection, no_swap }) => {
            generation::rebuild(&options, Named { micrograph, projection }, !no_swap).await
        }
        Some(Command::Generation { action }) => generation::run(&options, action).await,
        Some(Command::Audit { micrograph, projection, repair }) => {
            let of = micrograph.zip(projection);
            let of = of.map(|(micrograph, projection)| Named { micrograph, projection });
            generation::audit(&options, of, repair).await
        }
        Some(Command::Region { action }) => region::run(&options, action).await,
        Some(Command::Schema(asked)) => schema::run(&options, asked).await,
        Some(Command::Contracts { action }) => contracts::run(action).await,
        Some(Command::Check { gate }) => contracts::check(&gate).await,
        Some(Command::Manifest { micrograph }) => manifest(micrograph.as_deref()),
    }
}

impl Options {
    /// The folder of state. The sample shop and an imported one are kept apart, so that their sales don't mix.
    fn folder(&self, importing: bool) -> Option<PathBuf> {
        if self.in_memory {
            return None;
        }
        let named = |name: &str| Path::new(DEFAULT).join(name);
        let fallback = || if importing || named("shop").exists() { named("shop") } else { named("sample") };
        Some(self.state.clone().unwrap_or_else(fallback))
    }

    fn settings(&self) -> anyhow::Result<Settings> {
        if self.regions > 1 && self.postgres.is_some() {
            bail!("--postgres serves one region: each region of several would need a database of its own");
        }
        let relational = self.postgres.as_ref().map(|url| {
            let connection = Connection { connections: CONNECTIONS, ..Connection::new(url) };
            let store = PostgresStore::new(&connection, micrograph::environment::now)?;
            Ok::<_, anyhow::Error>(Arc::new(store) as Arc<dyn Relational>)
        });
        Ok(Settings {
            relational: relational.transpose()?,
            durability: match self.survive {
                Survive::Process => Durability::Process,
                Survive::Power => Durability::Power,
            },
            chaos: Chaos {
                duplicate: self.chaos.contains(&Disorder::Duplicate),
                reorder: self.chaos.contains(&Disorder::Reorder),
                seed: self.seed,
            },
            place: None,
            edge: Edge {
                // Tokens are good for as long as this process lives.
                consistency: Some(consistency(telemetry::TraceParent::random().trace_id_hex())),
                announces: self.is_cached(),
            },
        })
    }

    /// Whether there are caches that are to drop what changes.
    fn is_cached(&self) -> bool {
        self.cache || !self.purge.is_empty()
    }

    /// What purges the caches that there are.
    fn purger(&self, gateway: &Gateway) -> anyhow::Result<Purger> {
        let mut caches: Vec<Arc<dyn Cache>> = vec![Arc::new(OwnCache(gateway.clone()))];
        for url in &self.purge {
            caches.push(Arc::new(HttpCache::new(url.clone())?));
        }
        Ok(Purger::new(caches))
    }
}

async fn serve(options: &Options) -> anyhow::Result<()> {
    let running = Running::start(options, false).await?;
    let stop = stopped();
    let ready = tokio::select! {
        ready = prepare(options, &running) => ready.map(|()| true),
        () = wait(&stop) => Ok(false),
    };
    if ready? {
        tokio::select! {
            () = wait(&stop) => {}
            () = generations::keep_auditing(&running.suite, AUDIT_EVERY) => {}
        }
    }
    eprintln!("\nFinishing what is under way …");
    running.stop().await
}

/// Fills a new suite, brings its projections up to the code's, and says where to look.
async fn prepare(options: &Options, running: &Running) -> anyhow::Result<()> {
    if options.in_memory || running.suite.queues.get_meta(FILLED)?.is_none() {
        fill(running).await?;
    }
    generations::catch_up(&running.suite, &|words| eprintln!("{words}")).await?;
    if let Some(folder) = &running.folder
        && let Err(error) = deployed::publish(&running.suite, folder).await
    {
        eprintln!("The registry doesn't show what is served: {:#}", anyhow::Error::from(error));
    }
    welcome(running);
    quarantined(running).await
}

/// How many connections to PostgreSQL are open at once at most: consumers and questions share them.
const CONNECTIONS: u32 = 8;

/// What the gateway's cache of answers may take, in bytes.
const CACHE: u64 = 64 << 20;

/// How often one of the projections is compared with its sources while the suite is served.
const AUDIT_EVERY: Duration = Duration::from_mins(10);

/// Where it is noted what a folder was filled with, the sample shop or an import: the two are not mixed unasked.
const FILLED: &str = "filled";

async fn fill(running: &Running) -> anyhow::Result<()> {
    eprintln!("Filling the sample shop …");
    let commands = sample::commands(micrograph::environment::now());
    let refs = commands.iter().map(|command| CommandRef {
        domain: command.domain,
        subject: &command.subject,
        id: &command.id,
        json: &command.json,
    });
    running.suite.send(refs)?;
    running.drained().await?;
    running.suite.queues.put_meta(FILLED, b"sample")?;
    Ok(())
}

/// Three queries to try.
const SAMPLE_QUERIES: [(&str, &str); 3] = [
    (
        "The best sellers, with what they cost and what is left of them",
        "{ topProducts(first: 5) { rank product { sku title price { amount currency } stock { available } } units revenue { amount } } }",
    ),
    (
        "Products whose title starts with a letter",
        "{ products(titlePrefix: \"r\", first: 5) { nodes { sku title unitsSold revenue { amount } } pageInfo { hasNextPage endCursor } } }",
    ),
    (
        "Sales in all",
        "{ sales { orders lines units gross { amount currency } creditNotes refunds { amount } } }",
    ),
];

fn welcome(running: &Running) {
    let url = format!("http://{}/graphql", running.server.address);
    let state = match &running.folder {
        None => "nowhere: it is gone at the end".to_owned(),
        Some(folder) => folder.path().display().to_string(),
    };
    let mut text =
        format!("The graph is at {url} (open it in a browser to explore). State is kept in {state}.\n");
    for Other { region, server, .. } in &running.others {
        let _ = writeln!(text, "In {region} it is at http://{}/graphql.", server.address);
    }
    if !running.others.is_empty() {
        text.push_str(
            "`tributary region` cuts regions off, connects them, and lets one take over from another.\n",
        );
    }
    text.push_str("Try:\n");
    for (what, query) in SAMPLE_QUERIES {
        let body = serde_json::json!({ "query": query });
        let _ = writeln!(text, "  # {what}\n  curl {url} -H 'content-type: application/json' -d '{body}'");
    }
    text.push_str("Ctrl-C stops; `tributary --help` shows what else there is.\n");
    // Who reads the first line only, as a script does, closes the rest: no reason to end.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// What waits for somebody to look at it.
async fn quarantined(running: &Running) -> anyhow::Result<()> {
    for (name, app) in &running.suite.apps {
        let standing = app.quarantine().standing().await?;
        if let Some(oldest) = standing.oldest {
            println!(
                "In the quarantine of {name}: {} messages, the oldest since {oldest}; see `tributary quarantine list`.",
                standing.entries
            );
        }
    }
    Ok(())
}

async fn import(options: &Options, file: &Path, serve: bool) -> anyhow::Result<()> {
    if options.regions > 1 {
        bail!("a file is imported into one region: leave --regions out");
    }
    // A file that can't be imported should leave no folder behind.
    drop(crate::import::Importer::open(file)?);
    let running = Running::start(options, true).await?;
    let stop = stopped();
    match running.suite.queues.get_meta(FILLED)?.as_deref() {
        Some(b"sample") => {
            eprintln!("This folder holds the sample shop too: its sales will count with the imported ones.");
        }
        _ => running.suite.queues.put_meta(FILLED, b"import")?,
    }
    eprintln!(
        "Importing {}; the graph is at http://{}/graphql meanwhile.",
        file.display(),
        running.server.address
    );
    let imported = importing::run(&running.suite, file, &stop).await?;
    println!("{}", imported.text());
    if serve && imported.complete {
        welcome(&running);
        wait(&stop).await;
    }
    running.stop().await
}

/// A line that says how far something is.
fn progress() -> ProgressBar {
    let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
    let bar =
        ProgressBar::new_spinner().with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn manifest(micrograph: Option<&str>) -> anyhow::Result<()> {
    let all = shop::all().iter().map(Manifest::described).collect::<Result<Vec<Manifest>, _>>()?;
    let Some(name) = micrograph else {
        println!("{}", serde_json::to_string_pretty(&all)?);
        return Ok(());
    };
    let Some(manifest) = all.iter().find(|it| it.micrograph == name) else {
        let known: Vec<&str> = all.iter().map(|it| it.micrograph).collect();
        bail!("there is no micrograph `{name}`: there are {}", known.join(", "));
    };
    println!("{}", serde_json::to_string_pretty(manifest)?);
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let limit = admin::MAX_REQUEST as u64;
    let read = if file == Path::new("-") {
        std::io::stdin().take(limit + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|open| open.take(limit + 1).read_to_end(&mut bytes))
    };
    read.with_context(|| format!("{} can't be read", file.display()))?;
    if bytes.len() as u64 > limit {
        bail!("{} is larger than {limit} bytes: publish it in parts", file.display());
    }
    String::from_utf8(bytes).with_context(|| format!("{} is not UTF-8", file.display()))
}

/// Tells when Ctrl-C or SIGTERM came, from now on; a second one ends the process at once.
fn stopped() -> watch::Receiver<bool> {
    let (tell, told) = watch::channel(false);
    let mut signals = Signals::heard();
    tokio::spawn(async move {
        signals.next().await;
        tell.send_replace(true);
        signals.next().await;
        eprintln!("Stopped at once; what was acknowledged is stored.");
        std::process::exit(130);
    });
    told
}

/// SIGTERM and Ctrl-C: what comes before this is made ends the process, what comes after it is kept for who asks.
#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn heard() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    async fn next(&mut self) {
        let signals = self.0.iter_mut().map(|signal| Box::pin(signal.recv()));
        if signals.len() == 0 {
            return std::future::pending().await;
        }
        futures::future::select_all(signals).await;
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn heard() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending().await
        }
    }
}

async fn wait(stop: &watch::Receiver<bool>) {
    let _ = stop.clone().wait_for(|stop| *stop).await;
}
