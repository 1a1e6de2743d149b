//! Parses the command line, runs one verb, and gives its exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    mlops_service::cli::run()
}
