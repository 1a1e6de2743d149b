//! Notices when the embedded file is removed or replaced while it is in use. Open connections go on with the old file, and what is
//! written to that is gone with it.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::store::StoreError;

/// The file of the store.
#[derive(Debug, Clone)]
pub(in crate::store) struct WatchedFile(Arc<State>);

#[derive(Debug)]
struct State {
    path: PathBuf,
    /// The file that connections are open on, and its log; `None` before the first.
    opened: Mutex<Option<Identity>>,
    log: Mutex<Option<Identity>>,
}

/// Device and inode.
type Identity = (u64, u64);

impl WatchedFile {
    pub(in crate::store) fn new(path: &Path) -> Self {
        Self(Arc::new(State { path: path.to_owned(), opened: Mutex::default(), log: Mutex::default() }))
    }

    /// Fails if the file that connections are open on is not at its path any more.
    pub(in crate::store) fn check(&self) -> Result<(), StoreError> {
        let (found, mut opened) = (identity(&self.0.path), self.0.opened.lock());
        let path = self.0.path.display();
        match found {
            Ok(found) if *opened.get_or_insert(found) == found => {
                let mut log = self.0.log.lock();
                *log = log.or_else(|| identity(&self.log_path()).ok());
                Ok(())
            }
            Ok(_) => {
                Err(StoreError::Unavailable(format!("the file {path} was replaced while it was in use")))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Unavailable(format!(
                "the file {path} was removed while it was in use; put it or a backup there"
            ))),
            // Whatever else is wrong, SQLite reports it.
            Err(_) => Ok(()),
        }
    }

    /// Whether another file is at the path.
    pub(in crate::store) fn is_replaced(&self) -> bool {
        let opened = *self.0.opened.lock();
        opened.is_some_and(|opened| identity(&self.0.path).is_ok_and(|found| found != opened))
    }

    /// Accepts whichever file connections are opened on next. All connections must be closed. SQLite leaves the log of a file
    /// that was replaced in its place, and would apply it to the new file, so it is moved aside.
    pub(in crate::store) fn forget(&self) -> std::io::Result<()> {
        let (path, old) = (self.log_path(), self.0.log.lock().take());
        if old.is_some_and(|old| identity(&path).is_ok_and(|found| found == old)) {
            std::fs::rename(&path, beside(&self.0.path, "-wal.replaced"))?;
            let shared_memory = std::fs::remove_file(beside(&self.0.path, "-shm"));
            shared_memory
                .or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
        }
        *self.0.opened.lock() = None;
        Ok(())
    }

    fn log_path(&self) -> PathBuf {
        beside(&self.0.path, "-wal")
    }
}

/// Returns the path of a companion of the file at `path`.
pub(in crate::store) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[cfg(unix)]
fn identity(path: &Path) -> std::io::Result<Identity> {
    use std::os::unix::fs::MetadataExt;
    path.metadata().map(|file| (file.dev(), file.ino()))
}

/// Elsewhere, a file that is open can be neither removed nor replaced.
#[cfg(not(unix))]
fn identity(path: &Path) -> std::io::Result<Identity> {
    path.metadata().map(|_| (0, 0))
}
