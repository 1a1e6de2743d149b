//! Inserts and deletes rows of the spool's file.

use sqlx::{Executor, SqliteConnection};

use super::{Delivery, frame};
use crate::event::Event;

/// Inserts events, except those that are in the spool already. Returns for each whether it is new.
pub(super) async fn insert_all<'e>(
    conn: &mut SqliteConnection,
    numbered: impl Iterator<Item = (i64, &'e Event)>,
    delivery: Delivery,
) -> Result<Vec<bool>, sqlx::Error> {
    conn.execute("begin immediate").await?;
    let added = insert_each(conn, numbered, delivery).await;
    end(conn, added).await
}

async fn insert_each<'e>(
    conn: &mut SqliteConnection,
    numbered: impl Iterator<Item = (i64, &'e Event)>,
    delivery: Delivery,
) -> Result<Vec<bool>, sqlx::Error> {
    const SQL: &str = "insert into events (seq, id, received_at, standing, frame) values ($1, $2, $3, $4, $5)
        on conflict (id) do nothing";
    let mut added = Vec::new();
    for (seq, event) in numbered {
        let row = sqlx::query(SQL).bind(seq).bind(event.key().hashed()).bind(event.at.timestamp_micros());
        let row = row.bind(delivery as i64).bind(frame::write(seq, event));
        added.push(row.execute(&mut *conn).await?.rows_affected() == 1);
    }
    Ok(added)
}

/// Deletes the rows with the sequence numbers `numbers`.
pub(super) async fn delete_all(
    conn: &mut SqliteConnection,
    numbers: impl Iterator<Item = i64>,
) -> Result<(), sqlx::Error> {
    conn.execute("begin immediate").await?;
    let deleted = delete_each(conn, numbers).await;
    end(conn, deleted).await
}

async fn delete_each(
    conn: &mut SqliteConnection,
    numbers: impl Iterator<Item = i64>,
) -> Result<(), sqlx::Error> {
    for seq in numbers {
        sqlx::query("delete from events where seq = $1").bind(seq).execute(&mut *conn).await?;
    }
    Ok(())
}

/// Commits or rolls back a transaction, depending on the result `done`. It does not use sqlx's transactions,
/// which do not expect SQLite to roll back by itself when the disk is full.
async fn end<T>(conn: &mut SqliteConnection, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
    let ended = match done {
        Ok(done) => conn.execute("commit").await.map(|_| done),
        Err(error) => Err(error),
    };
    if ended.is_err() {
        drop(conn.execute("rollback").await);
    }
    ended
}
