//! The `startrace` command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: startrace::host::pool::Allocator = startrace::host::pool::Allocator;

fn main() -> ExitCode {
    ExitCode::from(startrace::cli::run().code())
}
