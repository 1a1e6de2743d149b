//! The entry point of the program.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Requests make many small, short-lived allocations, for which jemalloc is faster than the system's
/// allocator.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    mlops_service::cli::run()
}
