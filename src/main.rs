//! Parses the command line, runs one verb, and gives its exit code.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Requests allocate many small things for a short time, which this does faster than the system's allocator.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    mlops_service::cli::run()
}
