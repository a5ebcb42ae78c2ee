//! Opens a file, plain or packed, and counts what is read of it.

use super::columns::HeaderError;
use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How much of a file's beginning goes into its fingerprint, in bytes.
const FINGERPRINTED: u64 = 64 * 1024;

/// Goes into the fingerprint: another number whenever the rules make another stream of the same file.
const RULES: &[u8] = b"online-retail/1";

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZIP: &[u8] = b"PK\x03\x04";
const UTF16: [&[u8]; 2] = [&[0xff, 0xfe], &[0xfe, 0xff]];

/// Why a file can't be imported; nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be read.
    #[error("{path} can't be read")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system, or the unpacker, says.
        #[source]
        source: io::Error,
    },
    /// It isn't text.
    #[error("{path} is {found}, not CSV: save it as CSV in UTF-8 and import that")]
    NotCsv {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Its first line is no header with the eight columns.
    #[error("{path} is no Online Retail file")]
    NoTable {
        /// The file.
        path: PathBuf,
        /// What is missing.
        #[source]
        source: HeaderError,
    },
}

/// Why reading ended before the end of the file.
#[derive(Debug, thiserror::Error)]
#[error("{path} can't be read beyond row {rows}")]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// How many rows were read.
    pub rows: u64,
    /// What the system, or the unpacker, says.
    #[source]
    pub source: io::Error,
}

/// The file that is read.
pub(super) struct Source {
    path: PathBuf,
    total: u64,
    read: Arc<AtomicU64>,
    fingerprint: String,
}

/// The text of a file, unpacked.
pub(super) type Input = Box<dyn BufRead + Send>;

pub(super) fn open(path: &Path) -> Result<(Source, Input), OpenError> {
    let unreadable = |source| OpenError::Unreadable { path: path.to_owned(), source };
    let mut file = File::open(path).map_err(unreadable)?;
    let total = file.metadata().map_err(unreadable)?.len();
    let mut head = Vec::new();
    (&mut file).take(FINGERPRINTED).read_to_end(&mut head).map_err(unreadable)?;
    file.rewind().map_err(unreadable)?;
    let not_csv = |found| OpenError::NotCsv { path: path.to_owned(), found };
    if head.starts_with(ZIP) {
        return Err(not_csv("a zip archive or an Excel workbook"));
    }
    if UTF16.iter().any(|mark| head.starts_with(mark)) {
        return Err(not_csv("text in UTF-16"));
    }
    let read = Arc::new(AtomicU64::new(0));
    let counted = BufReader::with_capacity(64 * 1024, Counted { file, read: read.clone() });
    let input: Input = if head.starts_with(GZIP) {
        Box::new(BufReader::with_capacity(64 * 1024, MultiGzDecoder::new(counted)))
    } else {
        Box::new(counted)
    };
    let source = Source { path: path.to_owned(), total, read, fingerprint: fingerprint(total, &head) };
    Ok((source, input))
}

fn fingerprint(total: u64, head: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(RULES);
    hash.update(total.to_be_bytes());
    hash.update(head);
    hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Source {
    pub(super) fn total_bytes(&self) -> u64 {
        self.total
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(super) fn unreadable(&self, source: io::Error) -> OpenError {
        OpenError::Unreadable { path: self.path.clone(), source }
    }

    pub(super) fn no_table(&self, source: HeaderError) -> OpenError {
        OpenError::NoTable { path: self.path.clone(), source }
    }

    pub(super) fn broken(&self, rows: u64, source: io::Error) -> ReadError {
        ReadError { path: self.path.clone(), rows, source }
    }
}

/// A file that counts the bytes read from it, for a progress bar on another thread's view.
struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
