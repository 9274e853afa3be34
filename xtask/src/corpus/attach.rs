//! A row whose program runs before it is recorded: its creator has no start, and what it did before was
//! not seen.

use crate::shell;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long the tracer may go on when the program has ended.
const AFTER: Duration = Duration::from_secs(5);

/// Starts `program`, waits for its line `ready PID`, has `tracer` follow that process, and tells the program to
/// go on. Both have ended afterwards, or are killed.
pub fn record(
    program: &mut Command,
    tracer: &mut Command,
    stdout: &Path,
    stderr: &Path,
    limit: Duration,
) -> Result<()> {
    let begin = Instant::now();
    let said = || {
        let text = |file| fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        format!("{}\n{}", text(stdout).unwrap_or_default(), text(stderr).unwrap_or_default())
    };
    let mut program = Ended(program.stdin(Stdio::piped()).spawn().context("the program does not start")?);
    let pid = loop {
        let text = fs::read_to_string(stdout).unwrap_or_default();
        let ready = text.split_once('\n').and_then(|(line, _)| line.strip_prefix("ready "));
        if let Some(pid) = ready {
            break pid.trim().to_owned();
        }
        if begin.elapsed() > limit || program.0.try_wait()?.is_some() {
            bail!("it never was ready; it said {}", said());
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    tracer.args(["-p", &pid]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    shell::plain_environment(tracer);
    let mut tracer = Ended(tracer.spawn().context("startrace does not start")?);
    while !is_live(tracer.0.id()) {
        if begin.elapsed() > limit || tracer.0.try_wait()?.is_some() {
            bail!("startrace does not follow {pid}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let go = program.0.stdin.as_mut().context("no stdin")?.write_all(b"go\n");
    go.context("it ended before it was told to go on")?;
    drop(program.0.stdin.take());
    let status = program.wait(limit)?;
    if !status.success() {
        bail!("it ended with {status}; it said {}", said());
    }
    let status = match tracer.wait(AFTER) {
        Ok(status) => status,
        // What it followed lives on: as Ctrl-C, after which the trace is whole.
        Err(_) => {
            kill(Pid::from_raw(i32::try_from(tracer.0.id())?), Signal::SIGINT)?;
            tracer.wait(AFTER)?
        }
    };
    if !status.success() {
        bail!("startrace ended with {status}");
    }
    Ok(())
}

/// Has a tracer given up its privileges? From then on it misses nothing. With sudo it is a child.
fn is_live(pid: u32) -> bool {
    let live = |pid: &str| {
        fs::read_to_string(format!("/proc/{pid}/status"))
            .is_ok_and(|status| status.lines().any(|line| line == "CapBnd:\t0000000000000000"))
    };
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    live(&pid.to_string()) || children.split_whitespace().any(live)
}

/// A process that does not outlive this.
struct Ended(Child);

impl Ended {
    fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let begin = Instant::now();
        while begin.elapsed() < limit {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("it took longer than {} s", limit.as_secs());
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}
