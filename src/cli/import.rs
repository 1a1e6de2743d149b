//! `import`: imports events of another database, or of an export.

mod progress;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use indicatif::HumanCount;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::output::{finish, print, print_error};
use super::{fail, open, stop_on_signal};
use crate::audit::Actor;
use crate::clock::Clock;
use crate::config::{Config, ImportFrom, PostgresUrl, Problems, Source};
use crate::event::Record;
use crate::import::{Failure, Format, Input, Observer, RefusedFile, Run, Tally, send_table};
use crate::retention::Policy;
use crate::store::{ImportTerms, Retained, SourceTable, Store, StoreError};
use progress::ProgressBarOrLines;

/// The setting that `--from` stands for.
const FROM: &str = "IMPORT_FROM";

/// The number of parts of a table that are read ahead.
const PARTS_AHEAD: usize = 16;

/// The exit code of an import that finished, but refused some rows.
const EXIT_REFUSED: u8 = 3;

#[derive(Debug, Clone, Args)]
pub(super) struct Options {
    /// What to import: a file, - for standard input, or the postgresql:// URL of a database with a table `ai_metrics`. Default:
    /// `IMPORT_FROM`, where the password of a URL does not show in the list of processes
    #[arg(long, value_name = "FILE|URL|-")]
    from: Option<String>,
    /// The format of a file; by default, its first bytes tell
    #[arg(long)]
    format: Option<Format>,
    /// Say what would be done, and write nothing to the database
    #[arg(long)]
    dry_run: bool,
    /// Where the lines of refused rows go, each with the reason; by default beside the file
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
}

impl Options {
    /// Reads the settings, in which `--from` replaces `IMPORT_FROM`.
    pub(super) fn read_config(&self, source: Source) -> Result<Config, Problems> {
        let source = match &self.from {
            Some(from) => source.with(FROM, from),
            None => source,
        };
        Config::read_for_import(&source)
    }

    /// Returns the file for refused rows.
    fn refused(&self, from: &ImportFrom) -> RefusedFile {
        let (default, named_by) = match from {
            ImportFrom::File(path) => {
                let mut name = path.clone().into_os_string();
                name.push(".refused.csv");
                (name.into(), "line")
            }
            ImportFrom::Standard => ("import.refused.csv".into(), "line"),
            ImportFrom::Postgres(_) => ("import.refused.csv".into(), "id"),
        };
        RefusedFile::new(self.rejects.clone().unwrap_or(default), named_by)
    }
}

pub(super) async fn run(config: Config, options: Options) -> ExitCode {
    let Some(from) = config.import_from.clone() else { return fail("nothing to import: give --from") };
    let store = match open(&config).await {
        Ok(store) => store,
        Err(code) => return code,
    };
    let mut refused = options.refused(&from);
    let done = import(&config, &store, &options, from, &mut refused).await;
    store.close().await;
    let (tally, ignored, done) = match done {
        Ok(done) => done,
        Err(failure) => return fail(failure),
    };
    let text = summary(&tally, &ignored, &refused, options.dry_run);
    match done {
        Ok(()) if tally.refused > 0 => finish(text, ExitCode::from(EXIT_REFUSED)),
        Ok(()) => finish(text, ExitCode::SUCCESS),
        Err(failure) => {
            // What was done counts, wherever standard output goes.
            drop(print(text));
            fail(format!(
                "the import did not finish: {failure}; run it again, and it goes on where it stopped"
            ))
        }
    }
}

/// What an import did, also if it did not finish.
type Done = (Tally, Vec<String>, Result<(), Failure>);

async fn import(
    config: &Config,
    store: &Store,
    options: &Options,
    from: ImportFrom,
    refused: &mut RefusedFile,
) -> Result<Done, Failure> {
    let clock = Clock::system();
    let now = clock.now();
    let terms = ImportTerms { now, cutoff: Policy::of(config).cutoff(Retained::Events, now) };
    let (table, input, size) = match from {
        ImportFrom::Standard => (None, Input::Standard, None),
        ImportFrom::File(path) => {
            let input = Input::File(path);
            let size = input.size();
            (None, input, size)
        }
        ImportFrom::Postgres(url) => {
            let (table, rows) = open_table(&url, store).await?;
            let (parts, received) = mpsc::channel(PARTS_AHEAD);
            (Some((table, parts)), Input::Table(received), Some(rows))
        }
    };
    let of_rows = table.is_some();
    let progress = ProgressBarOrLines::new(size, of_rows);
    let observe = |now| progress.show(now);
    let stop = CancellationToken::new();
    let run = Run {
        store,
        terms,
        clock: &clock,
        by: Actor::command_line(),
        format: options.format.filter(|_| !of_rows),
        named_by_id: of_rows,
        is_dry: options.dry_run,
        stop: &stop,
        observer: Observer(&observe),
    };
    let sending = async {
        if let Some((table, parts)) = table {
            send_table(table, parts).await;
        }
    };
    let (done, ()) = tokio::select! {
        done = async { tokio::join!(run.execute(input, refused), sending) } => done,
        never = stop_on_signal(&stop) => never,
    };
    progress.finish();
    Ok(done)
}

/// Opens the table of another database. Also returns the number of its rows.
async fn open_table(url: &PostgresUrl, store: &Store) -> Result<(SourceTable, u64), Failure> {
    let open = async {
        let mut table = SourceTable::open(url, Record::reads).await?;
        if table.is_of(store).await? {
            let what = format!("{} is the database that it would be imported into", url.place);
            return Err(StoreError::Unusable(what));
        }
        let rows = table.rows().await?;
        Ok((table, rows))
    };
    open.await.map_err(|error: StoreError| Failure::Source { place: url.place.clone(), error })
}

fn summary(tally: &Tally, ignored: &[String], refused: &RefusedFile, is_dry: bool) -> String {
    let Tally { read, stored, old, unkept, known, refused: count, redacted } = *tally;
    let would = if is_dry { "would be " } else { "" };
    let mut lines = vec![format!("{:>15} rows read", HumanCount(read).to_string())];
    let mut line =
        |rows: u64, what: String| lines.push(format!("{:>15} {what}", HumanCount(rows).to_string()));
    line(stored, format!("{would}stored"));
    for (rows, why) in [
        (old, "beyond the retention period: only their sums"),
        (unkept, "without consent or of erased customers: only their sums"),
    ] {
        if rows > 0 {
            line(rows, format!("{would}counted, {why}"));
        }
    }
    line(known, "known already".to_owned());
    let file = refused.written().map(|path| format!(": see {}", path.display())).unwrap_or_default();
    line(count, format!("refused{file}"));
    if redacted > 0 {
        line(redacted, "labels with an e-mail address or phone number, replaced by unknown".to_owned());
    }
    if !ignored.is_empty() {
        lines.push(format!("Columns that are not read: {}", ignored.join(", ")));
    }
    if old > 0 && !is_dry {
        lines.push(
            "Their ids are kept for 30 days. Do not import rows again that were counted longer ago: they would count twice."
                .to_owned(),
        );
    }
    lines.join("\n")
}

/// Warns that others can see a password.
pub(super) fn warn_of_password(config: &Config, options: &Options) {
    if let (Some(_), Some(ImportFrom::Postgres(url))) = (&options.from, &config.import_from)
        && url.password().is_some()
    {
        print_error(format!(
            "The password in --from shows in the list of processes of this machine; set {FROM} instead."
        ));
    }
}
