//! The `startrace` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(startrace::cli::run().code())
}
