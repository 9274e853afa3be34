//! The workloads, C programs in `tests/programs/bench`: each measures itself and writes JSON to the
//! file named by its last argument, so a tracer around it adds nothing but its tax.

use super::Bench;
use crate::shell;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// A program and its arguments, less the result's file.
pub struct Workload {
    pub argv: Vec<String>,
    out: PathBuf,
}

/// Longer than any workload takes under the slowest peer.
const LIMIT: Duration = Duration::from_secs(600);

impl Workload {
    /// Compiles a program of `tests/programs/bench`.
    pub fn build(bench: &Bench, name: &str, args: &[&str]) -> Result<Self> {
        let source = shell::root().join(format!("tests/programs/bench/{name}.c"));
        let binary = bench.folder.join(name);
        let mut gcc = Command::new("gcc");
        gcc.args(["-std=gnu11", "-O2", "-Wall", "-Wextra", "-pthread", "-o"]);
        gcc.args([&binary, &source]);
        if !gcc.status().context("gcc")?.success() {
            bail!("{} does not compile", source.display());
        }
        let mut argv = vec![binary.to_string_lossy().into_owned()];
        argv.extend(args.iter().map(|&arg| arg.to_owned()));
        Ok(Self { argv, out: bench.folder.join("result.json") })
    }

    /// The whole command line, with the result's file.
    pub fn command_line(&self) -> Vec<String> {
        let mut argv = self.argv.clone();
        argv.push(self.out.to_string_lossy().into_owned());
        argv
    }

    /// Runs it (perhaps inside a tracer: `argv` is the tracer's whole command line then) and returns
    /// its result.
    pub fn run(&self, argv: &[String]) -> Result<Value> {
        let _ = std::fs::remove_file(&self.out);
        let log = self.out.with_extension("log");
        let mut child = spawn(argv, &log)?;
        let status = wait(&mut child, LIMIT).with_context(|| argv.join(" "))?;
        let said = || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let end: Vec<&str> = text.lines().rev().take(4).collect();
            end.into_iter().rev().collect::<Vec<_>>().join(" | ")
        };
        if !status.success() {
            bail!("`{}` ended with {status}: {}", argv[0], said());
        }
        let text = std::fs::read_to_string(&self.out)
            .with_context(|| format!("`{}` did not run the workload: {}", argv[0], said()))?;
        serde_json::from_str(&text).context("the workload's result")
    }

    /// The same for workloads that tell their wall time.
    pub fn nanoseconds(&self, argv: &[String]) -> Result<f64> {
        number(&self.run(argv)?, "ns")
    }
}

pub fn number(value: &Value, field: &str) -> Result<f64> {
    value[field].as_f64().with_context(|| format!("no {field} in {value}"))
}

/// Starts a program with its output in a file and the environment of the user's shell.
pub fn spawn(argv: &[String], log: &std::path::Path) -> Result<Child> {
    let (program, args) = argv.split_first().context("an empty command line")?;
    let file = std::fs::File::create(log).with_context(|| format!("{}", log.display()))?;
    let mut command = Command::new(program);
    shell::plain_environment(&mut command);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot run {program}"))
}

/// Waits for a child; kills it when that takes too long.
pub fn wait(child: &mut Child, limit: Duration) -> Result<ExitStatus> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begin.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            bail!("did not end within {limit:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}
