//! Whether the sessions of a server belong to the service.
//!
//! A pooler such as `PgBouncer` in transaction mode hands each transaction to another session of the server, and that session to
//! other clients afterwards. Settings of a session would then be lost or reach other programs, so behind a pooler each
//! transaction makes its own.

use std::sync::Arc;
use std::time::Duration;

use sqlx::error::DatabaseError;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection, Row};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use uuid::Uuid;

use crate::store::StoreError;

/// A setting of a session that marks it as ours.
const MARK: &str = "mlops.session";

/// Asks a session for its [`MARK`]. Sent as text: a prepared statement could wander as well.
const ASK: &str = "select current_setting('mlops.session', true)";

/// How often two connections ask in turns for what only they can know.
const ROUNDS: u32 = 4;

/// The time limit of finding out.
const LIMIT: Duration = Duration::from_secs(10);

/// SQLSTATE of a start-up parameter that a pooler does not pass on.
const PROTOCOL_VIOLATION: &str = "08P01";

/// The settings of a session, and whether each transaction must make them anew.
#[derive(Debug, Clone)]
pub(in crate::store) struct Sessions {
    settings: Vec<String>,
    options: PgConnectOptions,
    /// Shared by all pools of a server.
    pooled: Arc<OnceCell<bool>>,
}

impl Sessions {
    pub(in crate::store) fn new(options: PgConnectOptions) -> Self {
        Self { settings: Vec::new(), options, pooled: Arc::default() }
    }

    /// Adds settings such as `jit = off`.
    pub(in crate::store) fn with(&self, settings: &[&str]) -> Self {
        let own = settings.iter().map(|setting| (*setting).to_owned());
        Self { settings: self.settings.iter().cloned().chain(own).collect(), ..self.clone() }
    }

    /// Returns the statements that prepare a new session; none behind a pooler.
    pub(in crate::store) fn prepare(&self) -> String {
        match self.is_pooled() {
            true => String::new(),
            false => format!("set {}", self.settings.join("; set ")),
        }
    }

    /// Finds out whether there is a pooler, on the first call that reaches the server.
    pub(in crate::store) async fn find_out(&self) -> Result<(), StoreError> {
        let find_out = || async {
            let found =
                timeout(LIMIT, is_pooled(&self.options)).await.unwrap_or(Err(StoreError::TimedOut))?;
            if found {
                tracing::info!("the database is behind a pooler: settings are made in each transaction");
            }
            Ok(found)
        };
        self.pooled.get_or_try_init(find_out).await.map(drop)
    }

    /// Whether there is a pooler, as far as is known.
    fn is_pooled(&self) -> bool {
        self.pooled.get() == Some(&true)
    }

    /// Returns the statements that begin a transaction with its own settings; `None` where sessions have them.
    pub(in crate::store) fn begin(&self) -> Option<String> {
        if !self.is_pooled() {
            return None;
        }
        // A run may hold its lock in a transaction that is idle for long.
        let idle = "set local idle_in_transaction_session_timeout = 0";
        Some(format!("begin; {idle}; set local {}", self.settings.join("; set local ")))
    }
}

/// Finds out whether sessions of a server are shared with others.
///
/// # Errors
///
/// `Unusable` if they are, and prepared statements are not kept apart.
async fn is_pooled(options: &PgConnectOptions) -> Result<bool, StoreError> {
    if !marks_wander(options).await? {
        return Ok(false);
    }
    match statements_wander(options).await {
        Ok(false) => Ok(true),
        Ok(true) => Err(unusable(options)),
        Err(error) if error.to_string().contains("startup parameter") => Err(error.into()),
        // No such statement, another one of this name, or one with other parameters.
        Err(error) if matches!(code(&error).as_deref(), Some("26000" | "42P05" | PROTOCOL_VIOLATION)) => {
            Err(unusable(options))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a session can lose what marks it as ours, or does not take the mark at all.
async fn marks_wander(options: &PgConnectOptions) -> Result<bool, StoreError> {
    let marks = [Uuid::new_v4().to_string(), Uuid::new_v4().to_string()];
    let mut sessions = Vec::new();
    for mark in &marks {
        let marked = options.clone().options([(MARK, mark)]);
        match PgConnection::connect_with(&marked).await {
            Ok(session) => sessions.push(session),
            // Too many connections, or a server that is starting: ask again later.
            Err(error) if matches!(code(&error).as_deref(), Some("53300" | "57P03")) => {
                return Err(error.into());
            }
            // A pooler refuses the mark in its own way; if it is not the mark, this fails as well.
            Err(_) => return Ok(PgConnection::connect_with(options).await?.close().await.map(|()| true)?),
        }
    }
    let mut wander = false;
    for _ in 0..ROUNDS {
        for (session, mark) in sessions.iter_mut().zip(&marks) {
            let found = sqlx::raw_sql(ASK).fetch_one(session).await?;
            wander |= found.try_get::<Option<String>, _>(0)?.as_ref() != Some(mark);
        }
    }
    for session in sessions {
        drop(session.close().await);
    }
    Ok(wander)
}

/// Whether a prepared statement can be taken for that of another connection.
async fn statements_wander(options: &PgConnectOptions) -> Result<bool, sqlx::Error> {
    let mut sessions =
        [PgConnection::connect_with(options).await?, PgConnection::connect_with(options).await?];
    for _ in 0..ROUNDS {
        for (own, session) in ["select 'a'", "select 'b'"].into_iter().zip(&mut sessions) {
            let found: String = sqlx::query_scalar(own).fetch_one(session).await?;
            if !own.contains(&format!("'{found}'")) {
                return Ok(true);
            }
        }
    }
    for session in sessions {
        drop(session.close().await);
    }
    Ok(false)
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error().and_then(DatabaseError::code).map(std::borrow::Cow::into_owned)
}

fn unusable(options: &PgConnectOptions) -> StoreError {
    let host = options.get_host();
    let direct = match host.contains("-pooler") {
        true => format!("the direct host, {}", host.replacen("-pooler", "", 1)),
        false => "the direct host of the server".to_owned(),
    };
    StoreError::Unusable(format!(
        "{host} is a pooler that does not keep prepared statements apart; use {direct}, or PgBouncer 1.21 or newer with \
         max_prepared_statements"
    ))
}
