//! The command line: one verb, by default `serve`.

mod audit;
mod check;
mod healthcheck;
mod key;
mod migrate;
mod retention;
mod serve;

use std::future::Future;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::config::{Config, Source, VARIABLES, env_example, indented};
use crate::store::{Store, StoreError};
use crate::telemetry;

/// The exit code when settings are wrong.
const EXIT_SETTINGS: u8 = 2;

/// The service an AI receptionist reports to.
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
    /// Bring the database's tables up to date, and exit
    Migrate,
    /// Ask a running service whether it lives; exit code 0 when it does
    Healthcheck,
    /// Make, list, replace and revoke named API keys
    #[command(subcommand)]
    Key(key::Verb),
    /// Go through the security checklist; exit code 1 when something is wrong
    Check(check::Options),
    /// Delete what is older than the settings allow
    #[command(subcommand)]
    Retention(retention::Verb),
    /// Look at the audit trail
    #[command(subcommand)]
    Audit(audit::Verb),
    /// Print the file .env.example
    EnvExample,
}

/// Runs the verb of the command line.
#[must_use]
pub fn run() -> ExitCode {
    let command = Cli::command().after_help(variables_help());
    let cli = Cli::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    match cli.verb.unwrap_or(Verb::Serve) {
        Verb::EnvExample => {
            print!("{}", env_example());
            ExitCode::SUCCESS
        }
        Verb::Serve => with_config(serve::run),
        Verb::Migrate => with_config(migrate::run),
        Verb::Healthcheck => with_config(healthcheck::run),
        Verb::Check(options) => with_config(|config| check::run(config, options)),
        Verb::Retention(verb) => with_config(|config| retention::run(config, verb)),
        Verb::Audit(verb) => with_config(|config| audit::run(config, verb)),
        Verb::Key(verb) => with_config(|config| key::run(config, verb)),
    }
}

/// Reads the settings and runs `verb` with them, or tells every problem with them.
fn with_config<F: Future<Output = ExitCode>>(verb: impl FnOnce(Config) -> F) -> ExitCode {
    let config = match Config::read(&Source::process(Path::new(".env"))) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{problems}");
            return EXIT_SETTINGS.into();
        }
    };
    telemetry::init(&config);
    let runtime = Builder::new_multi_thread().worker_threads(config.threads()).enable_all().build();
    let runtime = runtime.expect("the system has threads to give");
    let code = runtime.block_on(verb(config));
    // A look-up of a host name may still hang; it does not keep the process.
    runtime.shutdown_background();
    code
}

/// The settings, as `--help` lists them.
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
        "Settings, from the environment or from a file .env in this folder:\n{}",
        lines.collect::<String>()
    )
}

/// Logs why a verb failed, and returns the exit code for it.
fn fail(what: impl std::fmt::Display) -> ExitCode {
    tracing::error!("{what}");
    ExitCode::FAILURE
}

/// Opens the store for a verb and brings its tables up to date, or tells why it cannot.
async fn open(config: &Config) -> Result<Store, ExitCode> {
    let opened = async {
        let store = Store::open(config)?;
        store.migrate().await?;
        Ok::<_, StoreError>(store)
    };
    opened.await.map_err(|error| fail(format!("the database cannot be used: {error}")))
}
