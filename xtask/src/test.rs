//! `cargo xtask test`: everything that CI checks, in the same way.

use crate::corpus;
use crate::tracefs::Tracefs;
use crate::{coverage, docs, findings, layers, markers, readers, setup, shell, supply, vm};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// Test files whose name begins like this trace the kernel and run as root.
const PRIVILEGED: &str = "privileged";
/// The file whose tests watch the whole machine, so one at a time.
const ALONE: &str = "privileged_system";
/// The file whose tests need programs from PyPI.
const READERS: &str = "readers";
/// The file whose tests need a browser, with --all.
const BROWSER: &str = "browser";
/// How many other privileged tests run at once.
const THREADS: &str = "2";

#[derive(Default)]
struct Options {
    all: bool,
    unprivileged: bool,
    coverage: bool,
    filter: Option<String>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        for arg in args {
            match arg.as_str() {
                "--all" => options.all = true,
                "--unprivileged" => options.unprivileged = true,
                "--coverage" => options.coverage = true,
                flag if flag.starts_with('-') => {
                    bail!(
                        "no flag {flag}; usage: cargo xtask test [--all] [--unprivileged] [FILTER], or --coverage"
                    )
                }
                _ if options.filter.is_some() => bail!("one FILTER at a time"),
                filter => options.filter = Some(filter.to_owned()),
            }
        }
        if options.coverage && args.len() > 1 {
            bail!("--coverage stands alone: it is of all the tests that need no root");
        }
        Ok(options)
    }

    /// Arguments of libtest.
    fn harness(&self, command: &mut Command) {
        if self.all {
            command.arg("--include-ignored");
        }
        command.args(&self.filter);
    }
}

/// What ran.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: u64,
    failed: u64,
    ignored: u64,
    /// Programs (test binaries, builds) that ended badly, even if no single test says so.
    broken: Vec<String>,
    /// What came of the corpus, in a line.
    corpus: Option<String>,
    /// And of other kernels.
    kernels: Option<String>,
}

pub fn command(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    setup::ensure_for_tests()?;
    setup::components()?;
    if options.coverage {
        let (table, good) = coverage()?;
        println!("{table}");
        if !good {
            bail!("a part is below its goal");
        }
        return Ok(());
    }
    if options.filter.is_none() {
        markers::check()?;
        layers::check()?;
        shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
        shell::run(shell::cargo().args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
        docs::check()?;
    } else {
        eprintln!("with a FILTER: without formatting, clippy and docs");
    }
    let (privileged, ordinary): (Vec<String>, Vec<String>) =
        test_files()?.into_iter().partition(|name| name.starts_with(PRIVILEGED));
    let ordinary = without_packages(ordinary);

    let mut counts = Counts::default();
    let mut command = shell::cargo();
    command.args(["test", "--workspace", "--no-fail-fast", "--lib", "--bins"]);
    for name in &ordinary {
        command.args(["--test", name]);
    }
    command.arg("--");
    options.harness(&mut command);
    counts.run(&mut command)?;
    let mut command = shell::cargo();
    command.args(["test", "--package", "startrace", "--doc", "--"]);
    // Examples marked `ignore` are not slow but not meant to run, so --all does not ask for them.
    command.args(&options.filter);
    counts.run(&mut command)?;

    run_kernels(&options, &mut counts)?;
    if options.all
        && let Err(why) = supply::command(&[])
    {
        counts.broken.push(format!("deny ({why:#})"));
    }
    if options.all {
        match coverage() {
            Ok((table, good)) => {
                println!("{table}");
                counts.broken.extend((!good).then(|| "coverage (a part is below its goal)".to_owned()));
            }
            Err(why) => counts.broken.push(format!("coverage ({why:#})")),
        }
    }
    run_readers(&options, &mut counts)?;
    run_browser(&options, &mut counts)?;

    let not_run = if options.unprivileged {
        Some("--unprivileged was given".to_owned())
    } else {
        match privileges() {
            Ok(()) => {
                run_privileged(&options, &privileged, &mut counts)?;
                run_corpus(&options, &mut counts)?;
                None
            }
            Err(why) => Some(format!("{why:#}")),
        }
    };
    finish(&options, &counts, privileged.len(), not_run.as_deref())
}

/// Those whose tests need nothing but this machine.
fn without_packages(names: Vec<String>) -> Vec<String> {
    names.into_iter().filter(|name| name != READERS && name != BROWSER).collect()
}

/// What the tests that need no root reach.
fn coverage() -> Result<(String, bool)> {
    // Of those that begin otherwise one has cases for root too.
    let ordinary = test_files()?.into_iter().filter(|name| !name.contains(PRIVILEGED)).collect();
    coverage::measure(&without_packages(ordinary), plain_surroundings)
}

/// A file's tests are wanted: no FILTER, the file's own name, or a part of a test's name.
fn wanted<'f>(file: &str, options: &'f Options) -> Result<Option<Option<&'f str>>> {
    let source = format!("tests/{file}.rs");
    let text = fs::read_to_string(&source).with_context(|| source.clone())?;
    let filter = options.filter.as_deref().filter(|filter| *filter != file);
    let named = |filter| text.lines().any(|line| line.starts_with("fn ") && line.contains(filter));
    Ok(filter.is_none_or(named).then_some(filter))
}

/// Other kernels, in virtual machines: two of them, with --all every one.
fn run_kernels(options: &Options, counts: &mut Counts) -> Result<()> {
    if options.filter.is_some() {
        eprintln!("with a FILTER: without other kernels (cargo xtask vm)");
        return Ok(());
    }
    if options.unprivileged {
        return Ok(());
    }
    if shell::which("apt-get").is_none() {
        counts.kernels =
            Some("kernels: NOT RUN: they are fetched with apt-get, which is not here".to_owned());
        return Ok(());
    }
    match vm::run(&vm::Options { all: options.all, ..Default::default() }) {
        Ok(report) => {
            println!("{report}");
            if let Err(why) = report.verdict() {
                counts.broken.push(format!("other kernels ({why:#})"));
            }
            counts.kernels = Some(report.summary());
        }
        // What ran elsewhere is worth its result all the same.
        Err(why) => counts.broken.push(format!("other kernels ({why:#})")),
    }
    Ok(())
}

/// The page in a browser, and exports in a viewer's: they need half a gigabyte of packages.
fn run_browser(options: &Options, counts: &mut Counts) -> Result<()> {
    let Some(filter) = wanted(BROWSER, options)? else { return Ok(()) };
    let mut command = shell::cargo();
    command.args(["test", "--test", BROWSER, "--"]).args(filter);
    if options.all {
        let (folder, chromium) = readers::ensure_browser()?;
        command.arg("--include-ignored").env("STARTRACE_BROWSER", folder).env("STARTRACE_CHROMIUM", chromium);
    }
    // Without --all they are counted as not run.
    counts.run(&mut command)
}

/// Exports, read by others. A FILTER that names none of them does without their installation.
fn run_readers(options: &Options, counts: &mut Counts) -> Result<()> {
    let Some(filter) = wanted(READERS, options)? else { return Ok(()) };
    let folder = readers::ensure()?;
    let mut command = shell::cargo();
    command.args(["test", "--test", READERS, "--", "--include-ignored"]).args(filter);
    command.env("STARTRACE_READERS", folder);
    counts.run(&mut command)
}

/// Real programs, unless only tests of a name are asked for.
fn run_corpus(options: &Options, counts: &mut Counts) -> Result<()> {
    if options.filter.is_some() {
        eprintln!("with a FILTER: without the corpus (cargo xtask corpus NAME)");
        return Ok(());
    }
    let rows = corpus::Options { install: options.all, quick: !options.all, ..Default::default() };
    let report = corpus::run(&rows)?;
    println!("{report}");
    if let Err(why) = report.verdict() {
        counts.broken.push(format!("the corpus ({why:#})"));
    }
    counts.corpus = Some(report.summary());
    // Prices are compared with clocks: on a machine that does something else, they are off.
    if options.all
        && let Err(why) = findings::command(&[])
    {
        counts.broken.push(format!("the findings ({why:#})"));
    }
    Ok(())
}

fn finish(options: &Options, counts: &Counts, files: usize, not_run: Option<&str>) -> Result<()> {
    let Counts { passed, failed, ignored, broken, corpus, kernels } = counts;
    let mut line = format!("summary: {} tests ran, {passed} passed, {failed} failed", passed + failed);
    if *ignored > 0 {
        line += &format!("; {ignored} slow ones not run: --all runs them");
    }
    if let Some(why) = not_run {
        line += &format!("; the privileged tests ({files} files) NOT RUN: {why}");
    }
    if !broken.is_empty() {
        line += &format!("; failed: {}", broken.join(", "));
    }
    println!("\n{line}");
    println!("{}", corpus.as_deref().unwrap_or("corpus: NOT RUN"));
    println!("{}", kernels.as_deref().unwrap_or("kernels: NOT RUN"));
    if *failed > 0 || !broken.is_empty() {
        bail!("tests failed");
    }
    if passed + failed == 0 {
        bail!("no test has {:?} in its name", options.filter.as_deref().unwrap_or(""));
    }
    if not_run.is_some() && !options.unprivileged {
        let ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
        bail!(if ci {
            "the privileged tests must run in CI"
        } else {
            "the privileged tests did not run; --unprivileged does without them"
        });
    }
    Ok(())
}

/// Tests see what a program started from an ordinary shell sees, however this was started: with nohup or
/// in the background some signals are ignored, which every program inherits, and a minimal machine has
/// no locale.
fn plain_surroundings(command: &mut Command) {
    use nix::sys::signal::{SigHandler, Signal, signal};
    use std::os::unix::process::CommandExt;
    command.env("LC_ALL", "C.UTF-8");
    // SAFETY: signal(2) alone, which is async-signal-safe, and no handler of ours.
    unsafe {
        command.pre_exec(|| {
            for ignored in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
                signal(ignored, SigHandler::SigDfl)?;
            }
            Ok(())
        });
    }
}

/// Names of the integration tests.
fn test_files() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir("tests").context("tests/")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".rs") {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Whether root can be had here, and the kernel has what is needed.
fn privileges() -> Result<()> {
    setup::kernel()?;
    if shell::is_root() || shell::succeeds(Command::new("sudo").args(["-n", "true"])) {
        return Ok(());
    }
    if io::stdin().is_terminal() && std::env::var_os("CI").is_none() {
        eprintln!("the privileged tests run by sudo, which may ask for your password");
        shell::run(Command::new("sudo").arg("-v"))?;
        return Ok(());
    }
    bail!("neither root nor a sudo that works without a password")
}

/// Builds as the user, runs as root: nothing in `target` comes to belong to root but what tests write.
fn run_privileged(options: &Options, names: &[String], counts: &mut Counts) -> Result<()> {
    if names.is_empty() {
        bail!("there is no tests/{PRIVILEGED}*.rs");
    }
    let binaries = build(names)?;
    let _tracefs = Tracefs::mounted()?;
    for (name, binary) in binaries {
        let mut command = shell::as_root(&binary);
        command.args(["--test-threads", if name == ALONE { "1" } else { THREADS }]);
        options.harness(&mut command);
        counts.run(&mut command)?;
    }
    Ok(())
}

/// Compiles test files; their names and executables.
fn build(names: &[String]) -> Result<Vec<(String, PathBuf)>> {
    let mut command = shell::cargo();
    command.args(["test", "--no-run", "--message-format=json-render-diagnostics"]);
    for name in names {
        command.args(["--test", name]);
    }
    eprintln!("$ {}", shell::show(&command));
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("the privileged tests do not compile");
    }
    let mut built = Vec::new();
    for line in output.stdout.split(|&byte| byte == b'\n') {
        let Ok(message) = serde_json::from_slice::<Value>(line) else {
            continue;
        };
        let name = message["target"]["name"].as_str().unwrap_or("");
        if message["profile"]["test"] == true
            && names.iter().any(|wanted| wanted == name)
            && let Some(path) = message["executable"].as_str()
        {
            built.push((name.to_owned(), PathBuf::from(path)));
        }
    }
    for name in names {
        if !built.iter().any(|(have, _)| have == name) {
            bail!("cargo built no executable for tests/{name}.rs");
        }
    }
    built.sort();
    Ok(built)
}

impl Counts {
    /// Runs tests with their output shown as it comes, and adds up their result lines.
    fn run(&mut self, command: &mut Command) -> Result<()> {
        plain_surroundings(command);
        eprintln!("$ {}", shell::show(command));
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot run {}", shell::show(command)))?;
        let mut output = BufReader::new(child.stdout.take().context("no output")?);
        let mut line = Vec::new();
        while output.read_until(b'\n', &mut line)? > 0 {
            io::stdout().write_all(&line)?;
            self.add(&String::from_utf8_lossy(&line));
            line.clear();
        }
        let status = child.wait()?;
        if !status.success() {
            self.broken.push(format!("{} ({status})", shell::show(command)));
        }
        Ok(())
    }

    /// Takes a line like `test result: ok. 2 passed; 0 failed; 1 ignored; ...`.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        let mut words = counts.split([' ', ';', '.']).filter(|word| !word.is_empty());
        let mut number = 0;
        for word in &mut words {
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => number = word.parse().unwrap_or(0),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_added_up() {
        let mut counts = Counts::default();
        counts.add("running 3 tests\n");
        counts.add(
            "test result: ok. 2 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.50s\n",
        );
        counts.add("test result: FAILED. 40 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.20s\n");
        let expected = Counts { passed: 42, failed: 3, ignored: 1, ..Counts::default() };
        assert_eq!(counts, expected);
    }

    #[test]
    fn what_did_not_run_is_never_success() {
        let ran = Counts { passed: 1, ..Counts::default() };
        let strict = Options::default();
        let lenient = Options { unprivileged: true, ..Options::default() };
        assert!(finish(&strict, &ran, 1, None).is_ok());
        assert!(finish(&strict, &ran, 1, Some("no root")).is_err());
        assert!(finish(&lenient, &ran, 1, Some("--unprivileged")).is_ok());
        assert!(finish(&strict, &Counts::default(), 1, None).is_err());
        let broken = Counts { passed: 1, broken: vec!["x".into()], ..Counts::default() };
        assert!(finish(&strict, &broken, 1, None).is_err());
    }
}
