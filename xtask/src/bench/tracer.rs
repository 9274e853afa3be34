//! startrace in the background, for what it costs those that it does not start.

use super::{Bench, workload};
use anyhow::{Context, Result, bail};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::sys::time::TimeValLike;
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// Time for attaching, and for writing the end of a trace.
const LIMIT: Duration = Duration::from_secs(120);

/// A running `startrace record`; killed when dropped.
pub struct Tracer {
    child: Child,
    log: PathBuf,
}

/// What a tracer used from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// User and system time.
    pub cpu_ns: f64,
    /// Peak of the resident memory, as far as it could be read before the end.
    pub peak_kib: u64,
}

impl Tracer {
    /// Starts `startrace record ARGS` and returns when its probes are live.
    pub fn start(bench: &Bench, args: &[&str]) -> Result<Self> {
        let mut argv = vec![bench.startrace.to_string_lossy().into_owned(), "record".into()];
        argv.extend(args.iter().map(|&arg| arg.to_owned()));
        let log = bench.folder.join("tracer.log");
        let mut tracer = Self { child: workload::spawn(&argv, &log)?, log };
        tracer.wait_live()?;
        Ok(tracer)
    }

    /// All links are there when their number has not changed for a while, in which processes that
    /// run already are taken in, too.
    fn wait_live(&mut self) -> Result<()> {
        let begin = Instant::now();
        let (mut last, mut same) = (0, 0);
        while same < 6 {
            if let Some(status) = self.child.try_wait()? {
                bail!("startrace ended with {status}: {}", self.said());
            }
            if begin.elapsed() > LIMIT {
                bail!("startrace attached nothing within {LIMIT:?}: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(50));
            let links = self.links();
            same = if links > 0 && links == last { same + 1 } else { 0 };
            last = links;
        }
        Ok(())
    }

    /// Hooks that it holds.
    fn links(&self) -> usize {
        self.descriptors().iter().filter(|fd| fd.contains_key("link_id")).count()
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// What the kernel says about each open descriptor (`/proc/PID/fdinfo`), by field.
    pub fn descriptors(&self) -> Vec<BTreeMap<String, String>> {
        let Ok(entries) = fs::read_dir(format!("/proc/{}/fdinfo", self.child.id())) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| fs::read_to_string(entry.path()).ok())
            .map(|text| fields(&text))
            .collect()
    }

    /// Ends it as Ctrl-C does. What was measured meanwhile was traced to its end.
    pub fn stop(mut self) -> Result<Usage> {
        if self.links() == 0 {
            bail!("startrace was no longer attached when it was to be stopped: {}", self.said());
        }
        let before = children_cpu_ns()?;
        kill(Pid::from_raw(i32::try_from(self.child.id())?), Signal::SIGINT)?;
        let begin = Instant::now();
        let mut peak_kib = 0;
        let status = loop {
            // Writing the end of the trace counts as well, so it is read until there is no more.
            peak_kib = peak_kib.max(self.peak_kib());
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if begin.elapsed() > LIMIT {
                bail!("startrace did not end within {LIMIT:?} of Ctrl-C: {}", self.said());
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        if !status.success() {
            bail!("startrace ended with {status}: {}", self.said());
        }
        // Nothing else was waited for in between, so the difference is the tracer's.
        Ok(Usage { cpu_ns: children_cpu_ns()? - before, peak_kib })
    }

    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        fields(&status.unwrap_or_default())
            .get("VmHWM")
            .and_then(|text| text.split(' ').next()?.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Lines of the form `name: value`.
fn fields(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect()
}

pub fn children_cpu_ns() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage")?;
    let time = usage.user_time() + usage.system_time();
    Ok(time.num_microseconds() as f64 * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_of_programs_and_links() {
        let text = "pos:\t0\nprog_type:\t26\nprog_id:\t77\nrun_time_ns:\t1234\nrun_cnt:\t5\n";
        let fields = fields(text);
        assert_eq!(fields["prog_id"], "77");
        assert_eq!(fields["run_time_ns"], "1234");
    }

    #[test]
    fn a_childs_cpu_time_is_counted_once_it_was_waited_for() {
        let before = children_cpu_ns().unwrap();
        let busy = "i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done";
        std::process::Command::new("sh").args(["-c", busy]).status().unwrap();
        assert!(children_cpu_ns().unwrap() - before > 1e6);
    }
}
