//! Where released contracts are: the folder `events`, as it is now, and as it was in git.

use compatibility::{Contracts, Unreadable};
use contracts::published;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of contracts, in the repository.
pub const EVENTS: &str = "events";

/// The folder of micrographs, in the repository.
const SERVICES: &str = "services";

/// A micrograph's schema, in its folder.
const SCHEMA: &str = "schema.graphql";

/// Files by their paths in the folder `events`.
pub type Files = BTreeMap<String, String>;

/// What stood in the repository at some time.
#[derive(Clone, Debug)]
pub struct Then {
    /// What it is called in findings.
    pub name: String,
    /// The files of the folder `events`.
    pub files: Files,
    /// The subgraphs' schemas, by name; none where only the folder `events` was named.
    pub schemas: BTreeMap<String, String>,
}

/// Why contracts could not be found.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// Nothing above the working directory holds contracts.
    #[error("there is no folder `events` here nor above {}: go to the repository, or name it with --root", .0.display())]
    NoRoot(PathBuf),
    /// A folder can't be read.
    #[error("{} can't be read", path.display())]
    Folder {
        /// The folder, or a file in it.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is there isn't contracts.
    #[error("{name} does not hold contracts")]
    Unreadable {
        /// The folder, or the commit.
        name: String,
        /// Why not.
        #[source]
        source: Unreadable,
    },
    /// Git can't be run.
    #[error("`git` can't be run: install it, or compare with a folder: --against DIR")]
    NoGit(#[source] io::Error),
    /// There is no repository.
    #[error("{} is in no git repository: compare with a folder, --against DIR", .0.display())]
    NoRepository(PathBuf),
    /// There is no such commit.
    #[error(
        "there is no commit `{0}`, nor a folder of that name: name a branch, a tag or a commit that `git log` knows"
    )]
    NoCommit(String),
    /// There is no such commit, since the clone has only some of them.
    #[error(
        "this clone is shallow, and `{0}` is not in it: `git fetch --deepen=100`, or `git fetch --unshallow`"
    )]
    Shallow(String),
    /// The commit has no contracts.
    #[error("{0} has no folder `events`: nothing was released there")]
    NoEvents(String),
    /// Git answered with something else.
    #[error("`git {command}` failed: {why}")]
    Git {
        /// What was asked.
        command: String,
        /// What it said.
        why: String,
    },
}

/// The nearest folder, from here upwards, that has a folder `events`.
pub fn root(from: &Path) -> Result<PathBuf, SourceError> {
    let found = from.ancestors().find(|folder| folder.join(EVENTS).is_dir());
    found.map(Path::to_owned).ok_or_else(|| SourceError::NoRoot(from.to_owned()))
}

/// The files of a folder, and of those inside it.
pub fn folder(path: &Path) -> Result<Files, SourceError> {
    let mut files = Files::new();
    let mut folders = vec![path.to_owned()];
    while let Some(folder) = folders.pop() {
        let failed = |source| SourceError::Folder { path: folder.clone(), source };
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?.path();
            if entry.is_dir() {
                folders.push(entry);
                continue;
            }
            let name = entry.strip_prefix(path).unwrap_or(&entry).to_string_lossy().replace('\\', "/");
            let text = fs::read_to_string(&entry);
            files.insert(name, text.map_err(|source| SourceError::Folder { path: entry.clone(), source })?);
        }
    }
    Ok(files)
}

/// Contracts as this build has them, with what was released and retired beside them.
pub fn today(files: &Files) -> Result<Contracts, SourceError> {
    let mut all = generated();
    all.extend(
        files.iter().filter(|(path, _)| is_lasting(path)).map(|(path, text)| (path.clone(), text.clone())),
    );
    Contracts::read(all).map_err(|source| SourceError::Unreadable { name: "this build".to_owned(), source })
}

/// The file of a subgraph's schema, from the repository's root.
pub fn schema_file(subgraph: &str) -> String {
    format!("{SERVICES}/{subgraph}/{SCHEMA}")
}

/// The subgraph whose schema a path of the repository is.
fn subgraph(path: &str) -> Option<&str> {
    let (folder, file) = path.strip_prefix(SERVICES)?.strip_prefix('/')?.split_once('/')?;
    (file == SCHEMA).then_some(folder)
}

/// The subgraphs' schemas as they are committed, by name.
pub fn schemas(root: &Path) -> Result<BTreeMap<String, String>, SourceError> {
    let services = root.join(SERVICES);
    let failed = |path: &Path, source| SourceError::Folder { path: path.to_owned(), source };
    let mut schemas = BTreeMap::new();
    for entry in fs::read_dir(&services).map_err(|source| failed(&services, source))? {
        let entry = entry.map_err(|source| failed(&services, source))?;
        let path = entry.path().join(SCHEMA);
        if path.is_file() {
            let text = fs::read_to_string(&path).map_err(|source| failed(&path, source))?;
            schemas.insert(entry.file_name().to_string_lossy().into_owned(), text);
        }
    }
    Ok(schemas)
}

/// Contracts as a folder had them.
pub fn contracts(then: Then) -> Result<(String, Contracts), SourceError> {
    let Then { name, files, .. } = then;
    match Contracts::read(files) {
        Ok(contracts) => Ok((name, contracts)),
        Err(source) => Err(SourceError::Unreadable { name, source }),
    }
}

/// The schemas and examples that this build's types say.
pub fn generated() -> Files {
    let mut files = Files::new();
    for contract in published::all() {
        let path = format!("{}/{}/v{}", contract.domain, contract.name, contract.major);
        for (what, value) in [("schema", (contract.schema)()), ("example", (contract.example)())] {
            files.insert(format!("{path}.{what}.json"), format!("{value:#}\n"));
        }
    }
    files
}

/// Whether a file stays as it is when the code changes.
pub fn is_lasting(path: &str) -> bool {
    path.contains("/released/") || path.ends_with(".retired.json")
}

/// What stood at a commit, or stands in another folder: a repository's, or its folder `events`.
pub fn then(root: &Path, against: &str) -> Result<Then, SourceError> {
    let path = Path::new(against);
    if path.is_dir() {
        let inner = path.join(EVENTS);
        let files = folder(if inner.is_dir() { &inner } else { path })?;
        let has_services = path.join(SERVICES).is_dir();
        let schemas = if has_services { schemas(path)? } else { BTreeMap::new() };
        return Ok(Then { name: against.to_owned(), files, schemas });
    }
    at_commit(root, against)
}

/// What stood at a commit.
pub fn at_commit(root: &Path, reference: &str) -> Result<Then, SourceError> {
    let inside = run(root, &["rev-parse", "--is-inside-work-tree"], None)?;
    if !inside.done {
        return Err(SourceError::NoRepository(root.to_owned()));
    }
    let commit = format!("{reference}^{{commit}}");
    let known = run(root, &["rev-parse", "--verify", "--quiet", "--end-of-options", &commit], None)?;
    if !known.done {
        let shallow = run(root, &["rev-parse", "--is-shallow-repository"], None)?;
        let is_shallow = shallow.done && shallow.text().trim() == "true";
        let reference = reference.to_owned();
        return Err(if is_shallow {
            SourceError::Shallow(reference)
        } else {
            SourceError::NoCommit(reference)
        });
    }
    let commit = known.text().trim().to_owned();
    let name = format!("{reference} ({})", commit.chars().take(8).collect::<String>());
    let listed = expect(run(root, &["ls-tree", "-r", "-z", &commit, "--", EVENTS, SERVICES], None)?)?;
    let mut blobs: Vec<(String, String)> = Vec::new();
    for line in listed.text().split('\0').filter(|line| !line.is_empty()) {
        // `<mode> blob <id>\t<path>`
        let (about, path) = line.split_once('\t').unwrap_or_default();
        let id = about.rsplit(' ').next().unwrap_or_default();
        if in_events(path).is_some() || subgraph(path).is_some() {
            blobs.push((path.to_owned(), id.to_owned()));
        }
    }
    if !blobs.iter().any(|(path, _)| in_events(path).is_some()) {
        return Err(SourceError::NoEvents(name));
    }
    let asked: String = blobs.iter().flat_map(|(_, id)| [id.as_str(), "\n"]).collect();
    let told = expect(run(root, &["cat-file", "--batch"], Some(asked))?)?;
    let texts = batch(&told.output, &blobs).ok_or_else(|| SourceError::Git {
        command: "cat-file --batch".to_owned(),
        why: "its answer could not be read".to_owned(),
    })?;
    let (mut files, mut schemas) = (Files::new(), BTreeMap::new());
    for (path, text) in texts {
        if let Some(path) = in_events(&path) {
            files.insert(path.to_owned(), text);
        } else if let Some(name) = subgraph(&path) {
            schemas.insert(name.to_owned(), text);
        }
    }
    Ok(Then { name, files, schemas })
}

/// A path of the repository, from the folder `events`; none where it isn't in it.
fn in_events(path: &str) -> Option<&str> {
    path.strip_prefix(EVENTS)?.strip_prefix('/')
}

/// Takes `cat-file --batch` apart: `<id> blob <size>\n<content>\n` for each.
fn batch(output: &[u8], blobs: &[(String, String)]) -> Option<BTreeMap<String, String>> {
    let mut files = BTreeMap::new();
    let mut rest = output;
    for (path, id) in blobs {
        let end = rest.iter().position(|byte| *byte == b'\n')?;
        let head = std::str::from_utf8(&rest[..end]).ok()?;
        let size: usize = head.strip_prefix(id)?.strip_prefix(" blob ")?.parse().ok()?;
        let content = rest.get(end + 1..end + 1 + size)?;
        files.insert(path.clone(), String::from_utf8_lossy(content).into_owned());
        rest = rest.get(end + 1 + size + 1..)?;
    }
    Some(files)
}

struct Ran {
    command: String,
    done: bool,
    output: Vec<u8>,
    said: String,
}

impl Ran {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

fn expect(ran: Ran) -> Result<Ran, SourceError> {
    if ran.done { Ok(ran) } else { Err(SourceError::Git { command: ran.command, why: ran.said }) }
}

fn run(root: &Path, arguments: &[&str], input: Option<String>) -> Result<Ran, SourceError> {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(root)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().map_err(SourceError::NoGit)?;
    let stdin = child.stdin.take();
    // Fed from a thread: git answers while it is asked, and neither is to wait for the other.
    let fed = std::thread::spawn(move || {
        if let (Some(mut stdin), Some(input)) = (stdin, input) {
            // Where git ends early, its status says why.
            let _ = stdin.write_all(input.as_bytes());
        }
    });
    let output = child.wait_with_output().map_err(SourceError::NoGit)?;
    let _ = fed.join();
    Ok(Ran {
        command: arguments.join(" "),
        done: output.status.success(),
        output: output.stdout,
        said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
    })
}
