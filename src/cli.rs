//! The command line: one subcommand, by default `serve`.

mod audit;
mod business;
mod check;
mod export;
mod healthcheck;
mod import;
mod key;
mod migrate;
mod output;
mod partition;
mod prices;
mod rebuild;
mod retention;
mod serve;
mod statement;

use std::future::Future;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::Builder;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, Problems, Source, VARIABLES, env_example, indented};
use crate::http::{openapi, routes};
use crate::lifecycle::Signals;
use crate::store::{Store, StoreError};
use crate::telemetry;

/// The exit code for invalid settings.
const EXIT_SETTINGS: u8 = 2;

/// Metrics and analytics service for AI receptionists
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Clone, Subcommand)]
enum Verb {
    /// Serve requests (the default)
    Serve,
    /// Run database migrations and exit
    Migrate,
    /// Check that a running service is alive; exits with 0 if it is
    Healthcheck,
    /// Create, list, rotate and revoke named API keys
    #[command(subcommand)]
    Key(key::Verb),
    /// Show and change business profiles
    #[command(subcommand)]
    Business(business::Verb),
    /// Make, list and revoke links that open a statement without signing in
    #[command(subcommand)]
    Statement(statement::Verb),
    /// Run the security checklist; exits with 1 if a check fails
    Check(check::Options),
    /// Delete data past its retention period
    #[command(subcommand)]
    Retention(retention::Verb),
    /// Partition the table of events by month (Postgres), while events are written
    Partition(partition::Options),
    /// Build facts about conversations from events that are older than these facts
    Rebuild(rebuild::Options),
    /// Import events from another database, or from an export; exits with 3 if some rows were refused
    Import(import::Options),
    /// Export stored data
    #[command(subcommand)]
    Export(export::Verb),
    /// Verify the audit trail
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Show the prices of models, and check that none is missing
    #[command(subcommand)]
    Prices(prices::Verb),
    /// Print an example .env file
    EnvExample,
    /// Print the API document, as the service would with these settings
    Openapi,
}

/// Parses the command line and runs the subcommand.
#[must_use]
pub fn run() -> ExitCode {
    let command = Cli::command().after_help(variables_help());
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    match cli.verb.unwrap_or(Verb::Serve) {
        Verb::EnvExample => output::finish(env_example().trim_end(), ExitCode::SUCCESS),
        Verb::Openapi => with_config(async |config| output::finish(api_document(&config), ExitCode::SUCCESS)),
        Verb::Serve => with_config(serve::run),
        Verb::Migrate => with_config(migrate::run),
        Verb::Healthcheck => with_config(healthcheck::run),
        Verb::Check(options) => check(options),
        Verb::Retention(verb) => with_config(|config| retention::run(config, verb)),
        Verb::Partition(options) => with_config(|config| partition::run(config, options)),
        Verb::Import(options) => run_import(options),
        Verb::Export(verb) => with_config(|config| export::run(config, verb)),
        Verb::Rebuild(options) => with_config(|config| rebuild::run(config, options)),
        Verb::Audit(verb) => with_config(|config| audit::run(config, verb)),
        Verb::Prices(verb) => with_config(|config| prices::run(config, verb)),
        Verb::Business(verb) => with_config(|config| business::run(config, verb)),
        Verb::Statement(verb) => with_config(|config| statement::run(config, verb)),
        Verb::Key(verb) => with_config(|config| key::run(config, verb)),
    }
}

/// Returns the API document, indented.
fn api_document(config: &Config) -> String {
    format!("{:#}", openapi::document(routes::table().rows(), config))
}

/// Runs the security checklist. Whoever asked for JSON gets the problems with the settings in that form too.
fn check(options: check::Options) -> ExitCode {
    match read_config() {
        Ok(config) => run_with(&config.clone(), check::run(config, options)),
        Err(problems) => {
            output::print_error(&problems);
            check::report_problems(&problems, &options, EXIT_SETTINGS.into())
        }
    }
}

/// Imports events. `--from` is read like a setting, so that all problems are told together.
fn run_import(options: import::Options) -> ExitCode {
    match options.read_config(Source::process(Path::new(".env"))) {
        Ok(config) => {
            import::warn_of_password(&config, &options);
            run_with(&config.clone(), import::run(config, options))
        }
        Err(problems) => {
            output::print_error(problems);
            EXIT_SETTINGS.into()
        }
    }
}

fn read_config() -> Result<Config, Problems> {
    Config::read(&Source::process(Path::new(".env")))
}

/// Reads the settings and runs `command` with them, or prints the problems with them.
fn with_config<F: Future<Output = ExitCode>>(command: impl FnOnce(Config) -> F) -> ExitCode {
    match read_config() {
        Ok(config) => run_with(&config.clone(), command(config)),
        Err(problems) => {
            output::print_error(problems);
            EXIT_SETTINGS.into()
        }
    }
}

/// Runs a command with the log and the threads that `config` asks for.
fn run_with(config: &Config, command: impl Future<Output = ExitCode>) -> ExitCode {
    let _guard = telemetry::init(config);
    config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    let runtime = Builder::new_multi_thread().worker_threads(config.threads()).enable_all().build();
    let runtime = runtime.expect("the system can start threads");
    let code = runtime.block_on(command);
    // A hanging host name look-up must not delay the exit.
    runtime.shutdown_background();
    code
}

/// Returns the list of settings for `--help`.
fn variables_help() -> String {
    let lines = VARIABLES.iter().map(|variable| {
        let doc = indented("         ", variable.doc);
        let default = match variable.default {
            "" => String::new(),
            default => format!(" [default: {default}]"),
        };
        format!("  {}{default}\n{doc}", variable.name)
    });
    format!(
        "Settings, from the environment or from .env in the working directory:\n{}",
        lines.collect::<String>()
    )
}

/// Logs why a command failed, and returns the exit code for it.
fn fail(what: impl std::fmt::Display) -> ExitCode {
    tracing::error!("{what}");
    ExitCode::FAILURE
}

/// Cancels `stop` on the first signal. Never returns.
async fn stop_on_signal<T>(stop: &CancellationToken) -> T {
    match Signals::new() {
        Ok(mut signals) => signals.next().await,
        Err(_cannot_listen) => std::future::pending().await,
    }
    stop.cancel();
    std::future::pending().await
}

/// Opens the store, migrates it and reads the business profiles, or logs why that failed.
async fn open(config: &Config) -> Result<Store, ExitCode> {
    let opened = async {
        let store = Store::open(config)?;
        store.migrate().await?;
        store.load_profiles().await?;
        Ok::<_, StoreError>(store)
    };
    opened.await.map_err(|error| fail(format!("cannot use the database: {error}")))
}
