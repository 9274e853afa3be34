//! `cargo xtask demo`: from a clone to a trace in one command.

use crate::setup;
use crate::shell::{self, is_root};
use anyhow::{Result, bail};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::process::Command;

const TRACE: &str = "startrace-demo.json";

pub fn command(args: &[String]) -> Result<()> {
    let args = match args {
        [] => None,
        [dashes] if dashes == "--" => None,
        [dashes, rest @ ..] if dashes == "--" => Some(rest),
        _ => bail!("usage: cargo xtask demo [-- ARGS of startrace record]"),
    };
    setup::ensure()?;
    setup::kernel()?;
    let binary = shell::build_release()?;
    let mut record = under_sudo(&binary);
    record.arg("record");
    match args {
        Some(args) => {
            record.args(args);
        }
        None => {
            record.args(["-o", TRACE, "--", "python3", "tests/programs/demo.py"]);
        }
    }
    shell::plain_environment(&mut record);
    let status = shell::status(&mut record)?;
    if !status.success() {
        // The recorded command's own status is record's, so it is handed on.
        std::process::exit(status.code().unwrap_or(1));
    }
    if args.is_none() {
        if !Path::new(TRACE).is_file() {
            bail!("the recording left no {TRACE}");
        }
        // On a terminal, record has shown it already.
        if !io::stderr().is_terminal() {
            shell::run(Command::new(&binary).args(["report", TRACE]))?;
        }
        eprintln!(
            "\nThe trace is {}; read it again with\n  {} report {TRACE}",
            shell::root().join(TRACE).display(),
            binary.strip_prefix(shell::root()).unwrap_or(&binary).display()
        );
    }
    Ok(())
}

/// Plain sudo, as a user types it: startrace finds the caller and the caller's environment itself.
fn under_sudo(binary: &Path) -> Command {
    if is_root() {
        return Command::new(binary);
    }
    let mut command = Command::new("sudo");
    command.arg(binary);
    command
}
