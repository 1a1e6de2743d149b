//! `migrate`: runs database migrations and exits.

use std::process::ExitCode;

use super::fail;
use super::output::finish;
use crate::config::Config;
use crate::store::Store;

pub(super) async fn run(config: Config) -> ExitCode {
    let migrated = async {
        let store = Store::open_as_owner(&config)?;
        store.migrate().await?;
        store.close().await;
        Ok(store)
    };
    match migrated.await {
        Ok(store) => {
            let done = format!("The database schema is up to date: {}", store.place());
            finish(done, ExitCode::SUCCESS)
        }
        Err(error) => {
            let error: crate::store::StoreError = error;
            fail(format!("cannot migrate the database: {error}"))
        }
    }
}
