//! What differs between the two databases, apart from writing a batch.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor, SqlStr, Transaction};

use super::bulk_insert::STATEMENTS;
use super::connection::file::WatchedFile;
use super::connection::lease::Connections;
use super::connection::sessions::Sessions;
use super::connection::write_queue::WriteQueue;
use super::events::foreign::{POSTGRES_VALUES, SQLITE_VALUES};
use super::{Db, StoreError, WRITERS};
use crate::config::{PostgresUrl, Tls};

/// The time limit for acquiring a connection.
const ACQUIRE_LIMIT: Duration = Duration::from_millis(1_500);

/// The time limit for acquiring the connection of a retention run, which no request waits for.
const SWEEP_ACQUIRE_LIMIT: Duration = Duration::from_secs(10);

/// Settings of every session, regardless of the server's defaults: commits return only once they are on disk, times are
/// UTC, statements do not outlive their callers' time limits, and JIT compilation, which does not pay off for short
/// statements, is off.
const POSTGRES_SESSION: [&str; 4] =
    ["timezone = 'UTC'", "synchronous_commit = on", "statement_timeout = '2s'", "jit = off"];

/// Settings of a session that writes. The batch statement is planned only once, possibly while the tables are
/// still empty, so the planner must use indexes, which suit tables of any size.
const POSTGRES_WRITER: [&str; 4] = [
    "plan_cache_mode = force_generic_plan",
    "enable_seqscan = off",
    "enable_hashjoin = off",
    "enable_mergejoin = off",
];

/// Settings of a session that deletes old rows. It does not wait for the disk, because a lost deletion is
/// repeated, and gives way to sessions that want an exclusive lock on a table.
const POSTGRES_SWEEPER: [&str; 3] =
    ["synchronous_commit = off", "statement_timeout = '10s'", "lock_timeout = '1s'"];

/// The pools of a store, which connect on first use.
pub(super) struct Pools {
    pub(super) read: Db,
    pub(super) write: Db,
    pub(super) admin: Db,
    pub(super) sweep: Db,
}

/// Creates the pools of a server. Administrative changes share the readers' connections. `store_timeout` is
/// how long the service waits for a batch; the server cancels it sooner, so that a batch is hardly ever
/// stored after the service has stopped waiting for it.
pub(super) fn postgres(
    database: &PostgresUrl,
    readers: u32,
    store_timeout: Duration,
) -> Result<Pools, StoreError> {
    let options = options(database)?;
    let limit = format!("statement_timeout = {}", store_timeout.mul_f64(0.8).as_millis());
    let reader = Sessions::new(options.clone()).with(&POSTGRES_SESSION);
    let writer = reader.with(&[&limit]).with(&POSTGRES_WRITER);
    let sweeper = reader.with(&POSTGRES_SWEEPER);
    let pool = || PgPoolOptions::new().acquire_timeout(ACQUIRE_LIMIT);
    let open = |pool: PgPoolOptions, sessions: &Sessions| {
        prepared(pool, sessions).connect_lazy_with(options.clone())
    };
    let read = Connections::shared(open(pool().max_connections(readers), &reader)).in_sessions(&reader);
    let write = pool().max_connections(WRITERS).test_before_acquire(false);
    let write = Connections::owned(open(write, &writer)).in_sessions(&writer);
    // One of them may hold the lock of a run.
    let sweep = pool().acquire_timeout(SWEEP_ACQUIRE_LIMIT).max_connections(2);
    let sweep = Connections::shared(open(sweep, &sweeper)).in_sessions(&sweeper);
    let read = Db::Postgres(read);
    Ok(Pools { admin: read.clone(), read, write: Db::Postgres(write), sweep: Db::Postgres(sweep) })
}

/// Creates the pool of a read replica.
pub(super) fn replica(database: &PostgresUrl, readers: u32) -> Result<Db, StoreError> {
    let options = options(database)?;
    let reader = Sessions::new(options.clone()).with(&POSTGRES_SESSION);
    let pool = PgPoolOptions::new().acquire_timeout(ACQUIRE_LIMIT).max_connections(readers);
    Ok(Db::Postgres(
        Connections::shared(prepared(pool, &reader).connect_lazy_with(options)).in_sessions(&reader),
    ))
}

/// Returns how to connect to a server.
pub(super) fn options(database: &PostgresUrl) -> Result<PgConnectOptions, StoreError> {
    let mode = match database.tls {
        Tls::Optional(mode) => mode.parse()?,
        Tls::Socket => PgSslMode::Disable,
        Tls::Require => PgSslMode::Require,
        Tls::VerifyCa => PgSslMode::VerifyCa,
        Tls::VerifyFull => PgSslMode::VerifyFull,
    };
    let options: PgConnectOptions = database.url.expose_secret().parse()?;
    // `sqlx` looks an IPv6 address up with the brackets that it has in a URL.
    let address = options.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let options = match address.map(ToOwned::to_owned) {
        Some(address) => options.host(&address),
        None => options,
    };
    let options = options.ssl_mode(mode).application_name("mlops-service").disable_statement_logging();
    // A pooler refuses it, and floats are not sent as text.
    Ok(options.extra_float_digits(None))
}

/// Has `pool` prepare each of its sessions.
fn prepared(pool: PgPoolOptions, sessions: &Sessions) -> PgPoolOptions {
    let sessions = sessions.clone();
    pool.after_connect(move |conn, _| {
        let settings = AssertSqlSafe(sessions.prepare());
        Box::pin(async move { conn.execute(settings).await.map(drop) })
    })
}

/// Creates the pools of the file at `path`, which is created when a writer first connects.
pub(super) fn sqlite(path: &Path, file: &WatchedFile) -> Pools {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // `NORMAL` may lose the last commits in a power failure.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(ACQUIRE_LIMIT)
        .statement_cache_capacity(STATEMENTS)
        // Overwrites what is deleted, so that an erasure leaves nothing in the file.
        .pragma("secure_delete", "on")
        .disable_statement_logging();
    let pool = || SqlitePoolOptions::new().acquire_timeout(ACQUIRE_LIMIT);
    let reader = options.clone().read_only(true);
    let read = pool().max_connections(4).connect_lazy_with(reader);
    let writer = options.create_if_missing(true);
    let write = pool().max_connections(1).connect_lazy_with(writer.clone());
    let admin = pool().max_connections(1).connect_lazy_with(writer.clone());
    // As on Postgres, a lost deletion is repeated.
    let sweeper = writer.synchronous(SqliteSynchronous::Normal);
    let sweep = pool().acquire_timeout(SWEEP_ACQUIRE_LIMIT).max_connections(1).connect_lazy_with(sweeper);
    let queue = WriteQueue::new();
    Pools {
        read: Db::Sqlite(Connections::shared(read).on_file(file)),
        write: Db::Sqlite(Connections::owned(write).in_queue(&queue).on_file(file)),
        admin: Db::Sqlite(Connections::shared(admin).in_queue(&queue).on_file(file)),
        sweep: Db::Sqlite(Connections::shared(sweep).on_file(file)),
    }
}

/// SQL that differs between the databases.
pub(super) trait Dialect: sqlx::Database {
    /// Begins a transaction that writes. On SQLite it takes the write lock at once: upgrading a read
    /// transaction later would fail if another process wrote in between.
    const BEGIN: &'static str;
    /// Removes the statement timeout of a session, for migrations.
    const NO_TIMEOUT: &'static str;
    /// Extends the statement timeout of a transaction that reads many rows. A plan made while a table was small does not suit it.
    const LONG_TIMEOUT: &'static str;
    /// Waits until no other transaction adds series of metrics. SQLite has one writer at a time.
    const LOCK_SERIES: &'static str;
    /// Waits until no other transaction appends to the audit trail. SQLite has one writer at a time.
    const LOCK_AUDIT: &'static str;
    /// Begins a transaction that reads a snapshot of the store.
    const SNAPSHOT: &'static str;
    /// Makes a transaction that has not read yet one that reads a snapshot.
    const SNAPSHOT_WITHIN: &'static str;
    /// Selects the newest pending rollup, or 0 if there is none. It reads a table, since a snapshot is taken
    /// at the first read.
    const NEWEST_PENDING: &'static str;
    /// Removes the entries that the newest `audit.purged` entry names and that are from before `$1`.
    const PURGE_AUDIT: &'static str;
    /// Waits until no batch relies on consents and no other transaction records one. SQLite has one writer at
    /// a time.
    const LOCK_CONSENTS: &'static str;
    /// Waits until no batch relies on tombstones and no other transaction adds some. SQLite has one writer at a time.
    const LOCK_TOMBSTONES: &'static str;
    /// Waits until no other transaction changes facts about conversations or their sums. SQLite has one writer at a time.
    const LOCK_DIGEST: &'static str;
    /// Has a transaction not wait for the disk at its end, for work that is repeated if it is lost.
    const RELAX_COMMIT: &'static str;
    /// The weekday of the column `day`, from 1 (Monday) to 7.
    const WEEKDAY: &'static str;
    /// Selects the businesses of answers that the totals do not have yet.
    const PENDING_BUSINESSES: &'static str;
    /// The values of a foreign row, in the types of an event; see [`super::events::foreign`].
    const FOREIGN_VALUES: &'static LazyLock<String>;
    /// The id that marks the foreign row `id` as counted: see [`crate::event::FOREIGN_ID_PREFIXES`]. Rows
    /// created after `$1` may still be claimed.
    const FOREIGN_ID: &'static str;
}

impl Dialect for sqlx::Postgres {
    const BEGIN: &'static str = "begin";
    const NO_TIMEOUT: &'static str = "set statement_timeout = 0";
    const LONG_TIMEOUT: &'static str = "select set_config('statement_timeout', '10s', true),
        set_config('plan_cache_mode', 'force_custom_plan', true)";
    const LOCK_SERIES: &'static str = "select pg_advisory_xact_lock(hashtext('ai_metric_labels'))";
    const LOCK_AUDIT: &'static str = "select pg_advisory_xact_lock(hashtext('mlops_audit'))";
    const SNAPSHOT: &'static str = "begin isolation level repeatable read read only";
    const SNAPSHOT_WITHIN: &'static str = "set transaction isolation level repeatable read, read only";
    const NEWEST_PENDING: &'static str = "select coalesce(max(seq), 0) from ai_rollup_pending";
    const PURGE_AUDIT: &'static str = "select mlops_audit_purge($1)";
    const LOCK_CONSENTS: &'static str = "select pg_advisory_xact_lock(hashtext('mlops_consents'))";
    const LOCK_TOMBSTONES: &'static str = "select pg_advisory_xact_lock(hashtext('mlops_tombstones'))";
    const LOCK_DIGEST: &'static str = "select pg_advisory_xact_lock(hashtext('mlops_digest'))";
    const RELAX_COMMIT: &'static str = "set local synchronous_commit = off";
    const WEEKDAY: &'static str = "extract(isodow from day)";
    const PENDING_BUSINESSES: &'static str =
        "select unnest(business_id) from ai_rollup_pending where seq > 0";
    const FOREIGN_VALUES: &'static LazyLock<String> = &POSTGRES_VALUES;
    const FOREIGN_ID: &'static str =
        "cast('00000000-0000-800' || case when created_at > $1 then '0' else '1' end
        || '-8000-' || lpad(to_hex(id), 12, '0') as uuid)";
}

impl Dialect for sqlx::Sqlite {
    const BEGIN: &'static str = "begin immediate";
    const NO_TIMEOUT: &'static str = "select 1";
    const LONG_TIMEOUT: &'static str = "select 1";
    const LOCK_SERIES: &'static str = "select 1";
    const LOCK_AUDIT: &'static str = "select 1";
    const SNAPSHOT: &'static str = "begin";
    const SNAPSHOT_WITHIN: &'static str = "select 1";
    const NEWEST_PENDING: &'static str = "select coalesce((select 0 from ai_totals limit 1), 0)";
    const PURGE_AUDIT: &'static str = "delete from mlops_audit where at < $1 and seq <= (
        select json_extract(details, '$.last_seq') from mlops_audit where action = 'audit.purged' order by seq desc limit 1)";
    const LOCK_CONSENTS: &'static str = "select 1";
    const LOCK_TOMBSTONES: &'static str = "select 1";
    const LOCK_DIGEST: &'static str = "select 1";
    const RELAX_COMMIT: &'static str = "select 1";
    const WEEKDAY: &'static str = "((strftime('%w', day) + 6) % 7 + 1)";
    const PENDING_BUSINESSES: &'static str = "select business_id from ai_totals where false";
    const FOREIGN_VALUES: &'static LazyLock<String> = &SQLITE_VALUES;
    const FOREIGN_ID: &'static str =
        "unhex('000000000000800' || case when created_at > $1 then '0' else '1' end
        || '8000' || printf('%012x', id))";
}

/// Begins a transaction that writes; within another one, a savepoint.
pub(super) async fn begin<C>(conn: &mut C) -> Result<Transaction<'_, C::Database>, sqlx::Error>
where
    C: Connection,
    C::Database: Dialect,
{
    match conn.is_in_transaction() {
        true => conn.begin().await,
        false => conn.begin_with(SqlStr::from_static(<C::Database as Dialect>::BEGIN)).await,
    }
}

/// Begins a transaction that reads a snapshot of the store. Within another one, which must not have read yet, it is a savepoint.
pub(super) async fn begin_snapshot<C>(conn: &mut C) -> Result<Transaction<'_, C::Database>, sqlx::Error>
where
    C: Connection,
    C::Database: Dialect,
    for<'c> &'c mut C: Executor<'c, Database = C::Database>,
{
    if !conn.is_in_transaction() {
        return conn.begin_with(SqlStr::from_static(<C::Database as Dialect>::SNAPSHOT)).await;
    }
    (&mut *conn).execute(<C::Database as Dialect>::SNAPSHOT_WITHIN).await?;
    conn.begin().await
}

/// Returns the statement that finds the newest pending rollup.
pub(super) const fn newest_pending<DB: Dialect>(_: &Transaction<'_, DB>) -> &'static str {
    DB::NEWEST_PENDING
}

/// Returns the statement that removes the entries that the newest `audit.purged` entry names and that are
/// from before `$1`.
pub(super) const fn purge_audit<DB: Dialect>(_: &Transaction<'_, DB>) -> &'static str {
    DB::PURGE_AUDIT
}

/// Defines functions that each run a statement of the dialect.
macro_rules! run {
    ($(#[doc = $doc:literal] $name:ident: $sql:ident;)+) => {
        $(#[doc = $doc]
        pub(super) async fn $name<'c, C>(conn: &'c mut C) -> Result<(), sqlx::Error>
        where
            C: Connection,
            C::Database: Dialect,
            &'c mut C: Executor<'c, Database = C::Database>,
        {
            conn.execute(<C::Database as Dialect>::$sql).await.map(drop)
        })+
    };
}

run! {
    /// Removes the statement timeout of a session that migrates.
    remove_timeout: NO_TIMEOUT;
    /// Extends the statement timeout of a transaction that reads many rows.
    extend_timeout: LONG_TIMEOUT;
    /// Waits until no other transaction adds series of metrics.
    lock_series: LOCK_SERIES;
    /// Waits until no other transaction appends to the audit trail.
    lock_audit: LOCK_AUDIT;
    /// Waits until no batch relies on consents and no other transaction records one.
    lock_consents: LOCK_CONSENTS;
    /// Waits until no batch relies on tombstones and no other transaction adds some.
    lock_tombstones: LOCK_TOMBSTONES;
    /// Waits until no other transaction changes facts about conversations or their sums.
    lock_digest: LOCK_DIGEST;
    /// Has a transaction not wait for the disk at its end.
    relax_commit: RELAX_COMMIT;
}
