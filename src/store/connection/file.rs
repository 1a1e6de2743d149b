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
    /// The file that connections are open on; `None` before the first.
    opened: Mutex<Option<Identity>>,
    /// Its log, if it had one at the last check: SQLite removes it whenever its last connection closes.
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
                *self.0.log.lock() = identity(&self.log_path()).ok();
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

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// The files of a store, of which another program replaces the first.
    struct Files {
        folder: TempDir,
        watched: WatchedFile,
    }

    impl Files {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let files = Self { watched: WatchedFile::new(&folder.path().join("db")), folder };
            files.write("db", "old");
            files
        }

        fn write(&self, name: &str, text: &str) {
            fs::write(self.folder.path().join(name), text).unwrap();
        }

        fn read(&self, name: &str) -> Option<String> {
            fs::read_to_string(self.folder.path().join(name)).ok()
        }

        fn rename(&self, from: &str, to: &str) {
            fs::rename(self.folder.path().join(from), self.folder.path().join(to)).unwrap();
        }

        fn replace(&self, name: &str) {
            self.write("other", "new");
            self.rename("other", name);
        }
    }

    #[test]
    fn the_log_of_a_replaced_file_is_moved_aside_also_when_it_is_not_its_first() {
        let files = Files::new();
        files.write("db-wal", "first");
        files.watched.check().unwrap();
        // It stays somewhere, so that its inode is not used again.
        files.rename("db-wal", "removed");
        files.write("db-wal", "second");
        files.watched.check().unwrap();
        files.replace("db");
        assert!(files.watched.is_replaced());
        files.watched.check().unwrap_err();
        files.watched.forget().unwrap();
        assert_eq!((files.read("db-wal"), files.read("db-wal.replaced")), (None, Some("second".to_owned())));
        files.watched.check().unwrap();
    }

    #[test]
    fn the_log_of_the_new_file_is_left_to_it() {
        let files = Files::new();
        files.write("db-wal", "of the old file");
        files.watched.check().unwrap();
        files.replace("db");
        files.replace("db-wal");
        files.watched.forget().unwrap();
        assert_eq!((files.read("db-wal"), files.read("db-wal.replaced")), (Some("new".to_owned()), None));
    }
}
