//! Checks of the receptionist app's book: that outcomes can be read from its appointments.

use super::database::with_store;
use super::finding::{Check, Finding};
use crate::store::{Book, Store};

const BOOK: Check = Check::new("appointment-book", "the app's table appointments");

/// Checks that the app's appointments can be read, if they are in this database.
pub(super) async fn shared(store: Option<&Store>) -> Finding {
    match with_store(BOOK, store, async |store| store.book().await).await {
        Err(finding) => finding,
        Ok(Book::None) => BOOK.not_applicable(
            "not in this database: outcomes are those that are posted, and bookings also those that events claim",
        ),
        Ok(Book::Lacks(columns)) => BOOK.warning(
            format!("cannot be read: without {}", columns.join(", ")),
            "let the role of DATABASE_URL read the table (migrations/roles.sql); until then, outcomes are those that are posted",
        ),
        Ok(Book::Shared) => BOOK.ok("outcomes are read from it"),
    }
}
