//! The migrations, embedded in the binary.
//!
//! `sqlx::migrate!` does the same, but sqlx's procedural macros depend on both drivers, which would be compiled twice.

use std::sync::LazyLock;

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// Creates the migrators from file names. Each file exists in both directories.
macro_rules! migrators {
    ($($file:literal),+ $(,)?) => {
        pub(super) static POSTGRES: LazyLock<Migrator> = migrators!(@of "postgres", $($file),+);
        pub(super) static SQLITE: LazyLock<Migrator> = migrators!(@of "sqlite", $($file),+);
    };
    (@of $folder:literal, $($file:literal),+) => {
        LazyLock::new(|| Migrator::with_migrations(vec![$(migration(
            $file,
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/migrations/", $folder, "/", $file)),
        )),+]))
    };
}

migrators![
    "0001_events.sql",
    "0002_rollups.sql",
    "0003_api_keys.sql",
    "0004_pending_rollups.sql",
    "0005_metric_labels.sql",
    "0006_audit.sql",
    "0007_privacy_requests.sql",
    "0008_consents.sql",
    "0009_retention.sql",
    "0010_metric_series.sql",
    "0011_event_ids.sql",
    "0012_key_parents.sql",
    "0013_audit_walls.sql",
    "0014_request_extensions.sql",
    "0015_one_controller.sql",
    "0016_event_fields.sql",
    "0017_conversations.sql",
    "0018_pages.sql",
    "0019_days.sql",
    "0020_event_ids.sql",
    "0021_stored_among.sql",
];

/// The migration in a file named `<version>_<description>.sql`.
fn migration(file: &str, sql: &'static str) -> Migration {
    let name = file.strip_suffix(".sql").expect("a migration is an SQL file");
    let (version, description) = name.split_once('_').expect("its name has a number and a description");
    let version = version.parse().expect("its name begins with a number");
    let description = description.replace('_', " ").into();
    Migration::new(version, description, MigrationType::Simple, sql.into_sql_str(), false)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    /// The first bytes of the checksums of released migrations, in order of version. Databases have stored them.
    const RELEASED_POSTGRES: [&str; 9] = [
        "95dd9a9dd80c07af",
        "b54ebd8d66daa068",
        "266b539008f2f5e5",
        "776ec92eb08dbfd1",
        "c6a62853a7fcfad7",
        "374eb22ebd70e69f",
        "93dc7adaefbf50b2",
        "8ecc49db6b33dabc",
        "233191b5dc9bb1eb",
    ];
    const RELEASED_SQLITE: [&str; 9] = [
        "271cdfec2e21162a",
        "2482974d161defc0",
        "8e7b2cbc3e0cd084",
        "a077bbbcce099374",
        "c7c89d1967156b7a",
        "c335e6bf8873a17c",
        "4bf17f0c663f29a6",
        "3ec6dcd7944ec98e",
        "9b2b887113d30c24",
    ];

    #[test]
    fn released_migrations_keep_their_checksums() {
        for (migrator, released) in [(&*POSTGRES, RELEASED_POSTGRES), (&*SQLITE, RELEASED_SQLITE)] {
            assert!(migrator.iter().count() >= released.len());
            for (place, (migration, released)) in migrator.iter().zip(released).enumerate() {
                assert_eq!(migration.version, i64::try_from(place + 1).unwrap());
                assert_eq!(hex::encode(&migration.checksum[..8]), released, "{}", migration.description);
            }
        }
    }

    #[test]
    fn every_file_is_listed() {
        for (folder, migrator) in [("postgres", &*POSTGRES), ("sqlite", &*SQLITE)] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
            let files =
                fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
            let mut files: Vec<String> = files.collect();
            let mut listed: Vec<&str> = migrator.iter().map(|migration| migration.sql.as_str()).collect();
            files.sort();
            listed.sort_unstable();
            assert_eq!(files, listed);
        }
    }
}
