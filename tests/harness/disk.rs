//! A disk that can be full, or lose its power, for a process that is started with its [`Disk::settings`]. It is a
//! folder, and a library (`disk.c`) between the process and the system's calls.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

/// A folder that lies on such a disk.
pub(crate) struct Disk {
    folder: PathBuf,
    /// Holds what was synced, and whether the disk is full.
    kept: TempDir,
}

impl Disk {
    /// Creates the folder.
    pub(crate) fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let kept = tempfile::Builder::new().prefix("mlops-disk-").tempdir().unwrap();
        fs::create_dir(kept.path().join("files")).unwrap();
        Self { folder: folder.canonicalize().unwrap(), kept }
    }

    /// The environment of a process that shall use the disk.
    pub(crate) fn settings(&self) -> [(&str, &str); 3] {
        [
            ("LD_PRELOAD", library().to_str().unwrap()),
            ("DISK", self.folder.to_str().unwrap()),
            ("DISK_KEPT", self.kept.path().to_str().unwrap()),
        ]
    }

    /// Leaves no room on it: no file can grow.
    pub(crate) fn fill(&self) {
        fs::write(self.kept.path().join("full"), "").unwrap();
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        fs::remove_file(self.kept.path().join("full")).unwrap();
    }

    /// Makes it hold what it would after a power cut: what was synced, and nothing else. No process uses it now.
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

/// Compiles the library, once for all tests of this process; another process may do the same at this moment.
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
