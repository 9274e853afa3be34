//! Man pages and completions, from the command line as clap knows it: `cargo run --example package -- FOLDER`.
//! (`cargo xtask dist` calls it. It is no part of the program, which would be larger for it.)

use clap::CommandFactory;
use clap_complete::Shell;
use std::path::PathBuf;
use std::process::ExitCode;

fn write(into: PathBuf) -> std::io::Result<()> {
    std::fs::create_dir_all(&into)?;
    let mut command = startrace::cli::Cli::command().disable_help_subcommand(true);
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut command, "startrace", &into)?;
    }
    clap_mangen::generate_to(command, &into)
}

fn main() -> ExitCode {
    let Some(into) = std::env::args_os().nth(1) else {
        eprintln!("usage: package FOLDER");
        return ExitCode::from(2);
    };
    match write(into.into()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("package: {error}");
            ExitCode::FAILURE
        }
    }
}
