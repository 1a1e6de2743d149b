//! Files with data of persons.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Creates a file that only its owner may read, in the place of one that others may.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::create;

    #[test]
    fn a_file_that_others_may_read_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("events.csv");
        std::fs::write(&path, "others may read this").expect("a file");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).expect("its mode");

        create(&path).expect("created");

        let seen = std::fs::metadata(&path).expect("it is there");
        assert_eq!((seen.permissions().mode() & 0o777, seen.len()), (0o600, 0));
    }
}
