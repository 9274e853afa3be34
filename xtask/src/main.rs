//! The project's chores, with nothing but cargo: `cargo xtask COMMAND`.

mod bench;
mod corpus;
mod coverage;
mod demo;
mod dist;
mod docs;
mod findings;
mod fuzz;
mod layers;
mod markers;
mod readers;
mod setup;
mod shell;
mod supply;
mod test;
mod tracefs;
mod vm;

use anyhow::{Result, bail};
use std::process::ExitCode;

const USAGE: &str = "\
The project's chores.

  cargo xtask setup [--dry-run]
      Install what this machine lacks to build and test (does nothing where nothing is missing).
  cargo xtask demo [-- ARGS]
      Setup, release build, and a recording of a Python program that starts processes in many ways;
      with ARGS: `startrace record ARGS`.
  cargo xtask test [--all] [--unprivileged] [FILTER]
      Setup, formatting, clippy, docs, all tests, the privileged ones as root, two other kernels, and the
      quick rows of the corpus. --all: the slow tests, the whole corpus and the findings too, whose runtimes it installs. --unprivileged: without those that need root. FILTER: only tests with that name.
  cargo xtask test --coverage
      Only the tests that need no root, with the compiler's counters: how many lines of the parts that know
      neither the kernel nor a terminal they go through, which has to be 85 % of each. Part of test --all.
  cargo xtask corpus [--all] [--quick] [--record FOLDER] [--family FAMILY] [--root ROOT] [NAME]
      Start the real programs of tests/corpus/corpus.toml, name their start methods, and print how
      right that is. --all: install the runtimes that are missing first, and the userlands of other
      Debian releases (target/roots; they need root and some 7 GB). --root: only the rows in that
      userland: host, debian-11, debian-12, debian-13, forky. --record: keep the event streams of
      what ran, for tests without root (tests/fixtures/corpus).
  cargo xtask findings [--record] [NAME]
      Run the programs of tests/findings, each slow for one reason or nearly so, and print how right the
      findings and their prices are. --record: keep their event streams, for tests without root.
  cargo xtask bench [--rounds N] [--only ROW[,ROW]] [--json FILE] [--no-peers] [--install-peers] [--startrace BINARY]
      Measure what startrace costs, beside the other tracers that are installed. Rows, first those that are
      ratios to the same without a tracer: start-tax (all of it traced), fork-tax, syscall-tax (of others),
      switch-tax (context switches of others: with BPF programs that do nothing, which is the least that this
      kernel takes; with `-p` and `-a` begun after them; with `-a`, their start over, and still in it). Then
      kernel-cost (each BPF program), storm, memory, own-start, reading, size, classify.
  cargo xtask dist [--check | --extras]
      Make what people get who build nothing, in target/dist: one static x86-64 binary, a Debian package
      and an archive, with man pages and completions. --check: install, record with and remove the
      package on bare Debian 11, 12 and 13 userlands (target/roots, some 800 MB; needs root). --extras: only
      man pages and completions, in target/dist/extras.
  cargo xtask vm [--all] [--dist] [--clang CLANG] [--kernel NAME] [--json FILE]
      Boot Debian's kernels 6.1 and 6.12 in qemu (software emulation, no root), record in them with every
      kind of hook, and print what the kernels made of it. --all: 5.10 (which has to be refused), 6.18 and
      the newest too, and the BPF programs also as the newest packaged clang makes them. --dist: the static
      release binary instead of the tests' build. --clang: the BPF programs as this compiler makes them.
  cargo xtask fuzz [TARGET] [--seconds N]
      Feed hostile input to what reads records, traces, ELF files and the like (fuzz/), a minute each.
  cargo xtask deny
      Licences, sources, duplicates and advisories of all dependencies by cargo-deny (built once, if it is not
      installed), a reason for each direct one, and for each use of unsafe. Part of test --all.
  cargo xtask docs [--check]
      Write docs/*.md from the program's own help and schema. --check: only say whether they differ.

Examples:
  cargo xtask demo -- -o trace.json -- ./my-service --port 8080
  cargo xtask test spawn
  cargo xtask bench --only start-tax,storm --rounds 9 --json bench.json
";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    std::env::set_current_dir(shell::root())?;
    match command.as_deref() {
        Some("setup") => setup::command(&rest),
        Some("demo") => demo::command(&rest),
        Some("dist") => dist::command(&rest),
        Some("test") => test::command(&rest),
        Some("deny") => supply::command(&rest),
        Some("corpus") => corpus::command(&rest),
        Some("docs") => docs::command(&rest),
        Some("findings") => findings::command(&rest),
        Some("fuzz") => fuzz::command(&rest),
        Some("vm") => vm::command(&rest),
        Some("bench") => bench::command(&rest),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        Some(other) => bail!("no command {other:?}\n\n{USAGE}"),
        None => bail!("which command?\n\n{USAGE}"),
    }
}
