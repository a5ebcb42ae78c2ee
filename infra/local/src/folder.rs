//! The folder that holds the suite's state: one process at a time.

use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read as _, Seek as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// The folder of state under the working directory.
pub const DEFAULT: &str = ".tributary";

/// A folder that this process has to itself, until it is dropped.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: File,
}

/// What the holder of a folder tells others: how to reach it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Holder {
    /// Its process.
    pub pid: u32,
    /// Where it listens, if it does.
    pub address: Option<SocketAddr>,
    /// What a request to its tools must show: only who can read the folder knows it.
    pub token: String,
}

/// Why a folder can't be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another process has it.
    #[error(
        "{} is in use by another tributary{}: stop it, or choose another folder with --state DIR",
        path.display(),
        holder.as_ref().map_or_else(String::new, |it| format!(" (process {})", it.pid))
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who has it, if it says.
        holder: Option<Holder>,
    },
    /// It holds the state of another number of regions, on which it depends where aggregates are at home.
    #[error(
        "{} holds the state of {held} region{}: serve it with --regions {held} and ask meanwhile, or choose another \
         folder with --state DIR",
        path.display(),
        if *held == 1 { "" } else { "s" }
    )]
    Regions {
        /// The folder.
        path: PathBuf,
        /// How many.
        held: u16,
    },
    /// The system refuses.
    #[error("the folder {} can't be used for the state", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

impl Folder {
    /// Takes a folder, which is made if it doesn't exist.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        let io = |source| FolderError::Io { path: path.to_owned(), source };
        std::fs::create_dir_all(path).map_err(io)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let lock = options.open(path.join("lock")).map_err(io)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), lock }),
            Err(TryLockError::WouldBlock) => {
                Err(FolderError::InUse { path: path.to_owned(), holder: read(&lock) })
            }
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Notes how many regions have their state in it, once and for all.
    pub fn settle(&self, regions: u16) -> Result<(), FolderError> {
        let note = self.file("regions");
        let held = match std::fs::read_to_string(&note) {
            Ok(text) => text.trim().parse().ok(),
            // Before a second region could be had, nothing was noted.
            Err(_) if self.file("queues.db").exists() => Some(1),
            Err(_) => None,
        };
        match held {
            Some(held) if held != regions => Err(FolderError::Regions { path: self.path.clone(), held }),
            None if regions > 1 => std::fs::write(&note, format!("{regions}\n"))
                .map_err(|source| FolderError::Io { path: self.path.clone(), source }),
            _ => Ok(()),
        }
    }

    /// Writes down how to reach this process.
    pub fn announce(&mut self, holder: &Holder) -> Result<(), FolderError> {
        let io = |source| FolderError::Io { path: self.path.clone(), source };
        let text = serde_json::to_vec(holder).map_err(|error| io(error.into()))?;
        self.lock.set_len(0).map_err(io)?;
        self.lock.rewind().map_err(io)?;
        self.lock.write_all(&text).map_err(io)?;
        self.lock.sync_all().map_err(io)
    }

    /// A file in the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read(mut lock: &File) -> Option<Holder> {
    let mut text = String::new();
    lock.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_is_told_who_has_the_folder() {
        let root = tempfile::tempdir().unwrap();
        let mut first = Folder::take(root.path()).unwrap();
        let holder = Holder { pid: 17, address: None, token: "secret".to_owned() };
        first.announce(&holder).unwrap();
        let error = Folder::take(root.path()).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("process 17") && text.contains("--state"), "{text}");
        assert!(!text.contains("secret"), "{text}");
        drop(first);
        Folder::take(root.path()).unwrap();
    }

    #[test]
    fn a_folder_keeps_the_number_of_its_regions() {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::take(root.path()).unwrap();
        folder.settle(2).unwrap();
        folder.settle(2).unwrap();
        let refused = folder.settle(1).unwrap_err().to_string();
        assert!(refused.contains("--regions 2") && refused.contains("--state"), "{refused}");
        drop(folder);

        let root = tempfile::tempdir().unwrap();
        let folder = Folder::take(root.path()).unwrap();
        folder.settle(1).unwrap();
        std::fs::write(folder.file("queues.db"), b"").unwrap();
        let refused = folder.settle(3).unwrap_err().to_string();
        assert!(refused.contains("--regions 1") && refused.contains("1 region:"), "{refused}");
    }
}
