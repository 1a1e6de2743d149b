//! Simulates a disk that is full or loses power: a directory, and a library (`disk.c`) that intercepts the system calls
//! of processes started with [`Disk::settings`].

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// A directory on a simulated disk.
pub(crate) struct Disk {
    folder: PathBuf,
    /// Contains copies of the synced files, and a flag file while the disk is full.
    kept: TempDir,
}

impl Disk {
    /// Creates the directory.
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let kept = tempfile::Builder::new().prefix("mlops-disk-").tempdir().unwrap();
        fs::create_dir(kept.path().join("files")).unwrap();
        Self { folder: folder.canonicalize().unwrap(), kept }
    }

    /// Returns the environment variables of a process that uses the disk.
    pub(crate) fn settings(&self) -> [(&str, &str); 3] {
        [
            ("LD_PRELOAD", library().to_str().unwrap()),
            ("DISK", self.folder.to_str().unwrap()),
            ("DISK_KEPT", self.kept.path().to_str().unwrap()),
        ]
    }

    /// Fills the disk, so that no file can grow.
    pub(crate) fn fill(&self) {
        fs::write(self.kept.path().join("full"), "").unwrap();
    }

    /// Frees space again.
    pub(crate) fn free(&self) {
        fs::remove_file(self.kept.path().join("full")).unwrap();
    }

    /// Resets the directory to what survives a power cut: only what was synced. No process may be using it.
    pub(crate) fn cut_power(&self) {
        fs::remove_dir_all(&self.folder).unwrap();
        for (name, path) in self.kept_files() {
            let place = self.folder.join(name.replace('%', "/"));
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::copy(path, place).unwrap();
        }
    }

    fn kept_files(&self) -> Vec<(String, PathBuf)> {
        let files = fs::read_dir(self.kept.path().join("files")).unwrap().map(Result::unwrap);
        files.map(|file| (file.file_name().into_string().unwrap(), file.path())).collect()
    }
}

/// Compiles the library, once per process. Processes may do so concurrently.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let (library, new) = (folder.join("disk.so"), folder.join(format!("disk-{}.so", std::process::id())));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/harness/disk.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-pthread", "-o"])
            .args([&new, &source])
            .status()
            .expect("a C compiler is installed by scripts/test");
        assert!(compiled.success(), "{} does not compile", source.display());
        fs::rename(new, &library).unwrap();
        library
    })
}
