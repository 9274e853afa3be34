//! The `startrace` command.

#![deny(clippy::print_stderr, clippy::print_stdout)]

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: startrace::host::pool::Allocator = startrace::host::pool::Allocator;

fn main() -> ExitCode {
    ExitCode::from(startrace::cli::run().code())
}
