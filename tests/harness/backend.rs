//! A database for one test, on Postgres or SQLite.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use mlops_service::config::{Config, Source};
use mlops_service::store::Store;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row, SqliteConnection};
use tempfile::TempDir;
use uuid::Uuid;

use super::Postgres;

/// The database of one test, initially empty.
pub(crate) struct Backend {
    pub(crate) url: String,
    /// The directory of the SQLite file, the spool and the logs; removed with its last reference.
    pub(crate) folder: Arc<TempDir>,
}

/// Runs each case on SQLite and on Postgres, and after `partitioned:` on a Postgres whose events are partitioned as well. A case that
/// is not listed is reported as dead code.
macro_rules! on_every_backend {
    (partitioned: $($case:ident),+ $(,)?) => {
        $crate::harness::on_every_backend! { $($case),+ }
        mod partitioned {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case($crate::harness::Backend::partitioned().await).await;
            })+
        }
    };
    ($($case:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case($crate::harness::Backend::sqlite()).await;
            })+
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case($crate::harness::Backend::postgres().await).await;
            })+
        }
    };
}
pub(crate) use on_every_backend;

impl Backend {
    pub(crate) fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            url: format!("sqlite:{}", folder.path().join("data/mlops.db").display()),
            folder: Arc::new(folder),
        }
    }

    /// Creates a Postgres database for connections without TLS, which takes most of the time that a connection needs to open.
    pub(crate) async fn postgres() -> Self {
        let encrypted = Self::on(Postgres::shared()).await;
        Self { url: format!("{}?sslmode=disable", encrypted.url), ..encrypted }
    }

    /// Creates a Postgres database whose events are partitioned by month.
    pub(crate) async fn partitioned() -> Self {
        let backend = Self::postgres().await;
        drop(backend.store(&[]).await);
        backend.partition().await;
        backend
    }

    /// Partitions the events of a database that is migrated.
    pub(crate) async fn partition(&self) {
        let store = Store::open(&self.config(&[])).unwrap();
        let mut partitioning = store.partitioning().await.unwrap();
        assert_eq!(partitioning.refusals().await.unwrap(), [""; 0]);
        partitioning.begin(super::real_now()).await.unwrap();
        while !partitioning.copy_some().await.unwrap().is_done {}
        partitioning.verify().await.unwrap();
        partitioning.switch().await.unwrap();
    }

    /// Creates a database on this server, for connections with TLS.
    pub(crate) async fn on(server: &Postgres) -> Self {
        Self { url: server.create_database().await, folder: Arc::new(tempfile::tempdir().unwrap()) }
    }

    pub(crate) fn is_postgres(&self) -> bool {
        self.url.starts_with("postgresql")
    }

    /// Returns the name of this Postgres database.
    pub(crate) fn database(&self) -> &str {
        self.url.split('?').next().unwrap().rsplit('/').next().unwrap()
    }

    /// Returns the configuration of a service on this database.
    pub(crate) fn config(&self, settings: &[(&str, &str)]) -> Config {
        // Each replica needs its own spool.
        let spool = self.folder.path().join(format!("spool-{}", Uuid::new_v4()));
        let own = [
            ("DATABASE_URL", self.url.as_str()),
            ("SPOOL_DIR", spool.to_str().unwrap()),
            ("SERVICE_PORT", "0"),
            ("FLOOD_LIMIT_PER_SECOND", "off"),
        ];
        let all = own.iter().chain(settings).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Config::read(&all.collect::<Source>()).unwrap()
    }

    /// Opens a store on this database and migrates its tables.
    pub(crate) async fn store(&self, settings: &[(&str, &str)]) -> Store {
        let store = Store::open(&self.config(settings)).unwrap();
        store.migrate().await.unwrap();
        store
    }

    fn sqlite_path(&self) -> PathBuf {
        self.url.trim_start_matches("sqlite:").into()
    }

    /// Connects as another program would; without TLS, which takes most of the time of a short connection.
    async fn connect(&self) -> Result<PgConnection, sqlx::Error> {
        let options: PgConnectOptions = self.url.parse()?;
        PgConnection::connect_with(&options.ssl_mode(PgSslMode::Disable)).await
    }

    /// Runs statements on a connection of its own, as another program would.
    pub(crate) async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.unwrap();
    }

    /// Like [`execute`](Self::execute), but returns the error of a failed statement.
    pub(crate) async fn try_execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut conn = self.connect().await?;
            conn.execute("set timezone = 'UTC'").await?;
            conn.execute(sql).await.map(drop)
        } else {
            let path = self.sqlite_path();
            let mut conn = SqliteConnection::connect(path.to_str().unwrap()).await?;
            conn.execute(sql).await.map(drop)
        }
    }

    /// Removes the facts about conversations and their sums, but not what is counted over all time.
    pub(crate) async fn remove_facts(&self) {
        for table in [
            "mlops_conversations",
            "mlops_conversation_daily",
            "mlops_hourly",
            "mlops_intent_daily",
            "mlops_cost_daily",
            "mlops_first_latency_daily",
        ] {
            self.execute(&format!("delete from {table}")).await;
        }
    }

    /// Returns the integer that a query selects.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let sql = AssertSqlSafe(format!("select cast(({sql}) as bigint)"));
        if self.is_postgres() {
            let mut conn = self.connect().await.unwrap();
            conn.fetch_one(sql).await.unwrap().get(0)
        } else {
            let path = self.sqlite_path();
            let mut conn = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
            conn.fetch_one(sql).await.unwrap().get(0)
        }
    }

    /// Returns the first column of a query's rows, which must be text.
    pub(crate) async fn texts(&self, sql: &str) -> Vec<String> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.is_postgres() {
            let mut conn = self.connect().await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap()
        } else {
            let path = self.sqlite_path();
            let mut conn = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap()
        }
    }

    /// Returns the whole content of the database: a dump on Postgres, the raw files on SQLite.
    pub(crate) fn dump(&self) -> String {
        if self.is_postgres() {
            let dump = Command::new("pg_dump").args(["--inserts", &self.url]).output().unwrap();
            assert!(dump.status.success(), "{}", String::from_utf8_lossy(&dump.stderr));
            return String::from_utf8(dump.stdout).unwrap();
        }
        let files = std::fs::read_dir(self.sqlite_path().parent().unwrap()).unwrap();
        let bytes = files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap());
        String::from_utf8_lossy(&bytes.collect::<Vec<_>>()).into_owned()
    }

    /// Returns the number of stored events.
    pub(crate) async fn rows(&self) -> i64 {
        self.number("select count(*) from ai_metrics").await
    }
}

impl Backend {
    /// Returns the conversation ids of all stored events that are UUIDs.
    pub(crate) async fn conversations(&self) -> Vec<Uuid> {
        let sql = "select conversation_id from ai_metrics where conversation_id is not null";
        let conversations: Vec<String> = if self.is_postgres() {
            let mut conn = self.connect().await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap()
        } else {
            let path = self.sqlite_path();
            let mut conn = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
            sqlx::query_scalar(sql).fetch_all(&mut conn).await.unwrap()
        };
        conversations.iter().filter_map(|conversation| conversation.parse().ok()).collect()
    }
}
