//! The rows that compare the same workload with and without a tracer.

use super::Bench;
use super::peers::{self, Peer};
use super::table::{Figure, Stat};
use super::tracer::Tracer;
use super::workload::{self, Workload};
use anyhow::{Context, Result};
use nix::time::{ClockId, clock_gettime};
use std::process::{Child, Command};
use std::time::Duration;

/// How a run is traced.
pub enum Mode {
    /// Not at all: what the others are compared with.
    Plain,
    /// `startrace record -- WORKLOAD`, at this level (empty: the default).
    Command(&'static str),
    /// `startrace record -a` beside it, at this level.
    System(&'static str),
    /// `startrace record -p` of some other process beside it, at this level.
    Stranger(&'static str),
    /// Another tracer around it.
    Peer(&'static Peer),
}

impl Mode {
    pub fn name(&self) -> String {
        match self {
            Self::Plain => "untraced".into(),
            Self::Command("") => "startrace record -- CMD".into(),
            Self::Command(level) => format!("startrace record --level {level} -- CMD"),
            Self::System("") => "startrace record -a".into(),
            Self::System(level) => format!("startrace record --level {level} -a"),
            Self::Stranger("") => "startrace record -p OTHER".into(),
            Self::Stranger(level) => format!("startrace record --level {level} -p OTHER"),
            Self::Peer(peer) => peer.name.into(),
        }
    }

    fn is_peer(&self) -> bool {
        matches!(self, Self::Peer(_))
    }

    /// Runs something once in this mode, given the command line to run.
    pub fn run<T>(
        &self,
        bench: &Bench,
        argv: &[String],
        run: impl FnOnce(&[String]) -> Result<T>,
    ) -> Result<T> {
        let trace = bench.folder.join("trace.ndjson");
        let trace = trace.to_string_lossy();
        let result = match self {
            Self::Plain => run(argv),
            Self::Command(level) => {
                let mut line = vec![bench.startrace.to_string_lossy().into_owned()];
                line.extend(["record", "-q", "-o", &trace].map(str::to_owned));
                line.extend(level_of(level).map(str::to_owned));
                line.push("--".to_owned());
                line.extend_from_slice(argv);
                run(&line)
            }
            Self::System(level) => {
                let mut args: Vec<&str> = level_of(level).collect();
                args.extend(["-q", "-a", "-o", &*trace]);
                let tracer = Tracer::start(bench, &args)?;
                let result = run(argv);
                tracer.stop()?;
                result
            }
            Self::Stranger(level) => {
                let other = Other::start()?;
                let pid = other.0.id().to_string();
                let mut args: Vec<&str> = level_of(level).collect();
                args.extend(["-q", "-p", &pid, "-o", &*trace]);
                let tracer = Tracer::start(bench, &args)?;
                let result = run(argv);
                tracer.stop()?;
                result
            }
            Self::Peer(peer) => run(&peer.wrap(bench, argv)),
        };
        let _ = std::fs::remove_file(&*trace);
        result
    }
}

/// The option for a level, where one is named.
fn level_of<'a>(level: &'a str) -> impl Iterator<Item = &'a str> + use<'a> {
    ["--level", level].into_iter().filter(move |_| !level.is_empty())
}

/// A process that does nothing, to be traced while the workload is not.
struct Other(Child);

impl Other {
    fn start() -> Result<Self> {
        Ok(Self(Command::new("sleep").arg("3600").spawn().context("sleep")?))
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Values of all modes by round; a peer that fails is out, with its reason.
fn rounds(
    bench: &Bench,
    modes: &[Mode],
    measure: impl Fn(&Mode) -> Result<f64>,
) -> Result<Vec<std::result::Result<Vec<f64>, String>>> {
    let mut values: Vec<std::result::Result<Vec<f64>, String>> =
        modes.iter().map(|_| Ok(Vec::new())).collect();
    for round in 1..=bench.rounds {
        for (mode, slot) in modes.iter().zip(&mut values) {
            let Ok(list) = slot else { continue };
            match measure(mode) {
                Ok(value) => {
                    eprintln!("  round {round}: {}: {value:.0}", mode.name());
                    list.push(value);
                }
                Err(why) if mode.is_peer() => *slot = Err(format!("{why:#}")),
                Err(why) => return Err(why.context(mode.name())),
            }
        }
    }
    Ok(values)
}

/// Ratios of every mode to the first, which is `Plain`, with the first's own time per unit of work.
fn tax(
    bench: &Bench,
    row: &'static str,
    goal: &'static str,
    modes: &[Mode],
    workload: &Workload,
    per: (f64, &str),
) -> Result<Vec<Figure>> {
    let line = workload.command_line();
    let measured = rounds(bench, modes, |mode| mode.run(bench, &line, |argv| workload.nanoseconds(argv)))?;
    let plain = measured.first().and_then(|first| first.clone().ok()).unwrap_or_default();
    let (count, what) = per;
    Ok(modes
        .iter()
        .zip(&measured)
        .map(|(mode, result)| {
            let each = |values: &[f64]| {
                let median = Stat::of(values).map_or(0.0, |stat| stat.median);
                format!("{:.0} ns a {what}", median / count)
            };
            let (value, note) = match result {
                Ok(values) => {
                    let ratios: Vec<f64> =
                        values.iter().zip(&plain).map(|(with, without)| with / without).collect();
                    (Stat::of(&ratios), each(values))
                }
                Err(why) => (None, why.replace('\n', " ")),
            };
            let own = matches!(mode, Mode::Command(_) | Mode::System(_) | Mode::Stranger(_));
            Figure { row, what: mode.name(), value, unit: "x", goal: own.then_some(goal), note }
        })
        .collect())
}

fn with_peers(bench: &Bench, mut modes: Vec<Mode>) -> Vec<Mode> {
    modes.extend(peers::installed(bench).into_iter().map(Mode::Peer));
    modes
}

/// 1,500 starts of /bin/true, one after the other, all of them traced; at `timeline`, a command's link
/// phases are observed too, those under `-a` are not.
pub fn start_tax(bench: &Bench) -> Result<Vec<Figure>> {
    let workload = Workload::build(bench, "spawn_true", &["1500"])?;
    let own = vec![
        Mode::Plain,
        Mode::Command("lifecycle"),
        Mode::System("lifecycle"),
        Mode::System("timeline"),
        Mode::Command("timeline"),
        Mode::Command("deep"),
    ];
    let modes = with_peers(bench, own);
    let mut figures = tax(bench, "start-tax", "<= 1.03", &modes, &workload, (1500.0, "start"))?;
    for (mode, figure) in modes.iter().zip(&mut figures) {
        match mode {
            Mode::System("timeline") => figure.goal = Some("<= 1.04"),
            Mode::Command("timeline") => figure.goal = Some("<= 1.15"),
            // What it costs is to be known; it looks at every system call that opens a file, and every page fault.
            Mode::Command("deep") => figure.goal = None,
            _ => {}
        }
    }
    Ok(figures)
}

/// 200 forks of a process with 1 GiB resident.
pub fn fork_tax(bench: &Bench) -> Result<Vec<Figure>> {
    const MIB: u64 = 1024;
    let info = std::fs::read_to_string("/proc/meminfo")?;
    let available = info
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().split(' ').next()?.parse::<u64>().ok())
        .unwrap_or(0);
    if available / 1024 < MIB + MIB / 2 {
        return Ok(vec![Figure {
            row: "fork-tax",
            what: "startrace record -- CMD".into(),
            value: None,
            unit: "x",
            goal: Some("<= 1.01"),
            note: format!("not run: {} MiB of memory available, 1536 needed", available / 1024),
        }]);
    }
    let workload = Workload::build(bench, "fork_large", &[&MIB.to_string(), "200"])?;
    let modes = [Mode::Plain, Mode::Command(""), Mode::System("")];
    tax(bench, "fork-tax", "<= 1.01", &modes, &workload, (200.0, "fork"))
}

/// System calls of a process that is not traced while another is, and under `-a`.
pub fn syscall_tax(bench: &Bench) -> Result<Vec<Figure>> {
    let workload = Workload::build(bench, "getppid_loop", &["5000000"])?;
    let modes = [Mode::Plain, Mode::Stranger(""), Mode::System("")];
    tax(bench, "syscall-tax", "1.00", &modes, &workload, (5e6, "call"))
}

/// From the exec of the tracer to the first instructions of the command that it starts.
pub fn own_start(bench: &Bench) -> Result<Vec<Figure>> {
    let workload = Workload::build(bench, "boottime", &[])?;
    let mut modes = with_peers(bench, vec![Mode::Plain, Mode::Command("")]);
    modes.retain(|mode| !matches!(mode, Mode::Peer(peer) if !peer.starts_commands()));
    let line = workload.command_line();
    let measured = rounds(bench, &modes, |mode| {
        // The kernel goes on disabling a recording's tracepoints for half a second after its end, and
        // a recording that begins meanwhile waits for it. That is not what this row is about.
        std::thread::sleep(Duration::from_secs(1));
        mode.run(bench, &line, |argv| {
            let before = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME)?);
            let at = workload::number(&workload.run(argv)?, "at_ns")?;
            Ok((at - before.as_nanos() as f64) / 1e6)
        })
    })?;
    Ok(modes
        .iter()
        .zip(measured)
        .map(|(mode, result)| Figure {
            row: "own-start",
            what: mode.name(),
            value: result.as_deref().ok().and_then(Stat::of),
            unit: "ms",
            goal: matches!(mode, Mode::Command(_)).then_some("<= 60"),
            note: result.err().unwrap_or_default().replace('\n', " "),
        })
        .collect())
}

/// Bytes of the release binary.
pub fn size(bench: &Bench) -> Result<Vec<Figure>> {
    let bytes = std::fs::metadata(&bench.startrace)?.len();
    Ok(vec![Figure {
        row: "size",
        what: "release binary".into(),
        value: Stat::of(&[bytes as f64 / 1e6]),
        unit: "MB",
        goal: Some("<= 4"),
        note: format!("{bytes} bytes"),
    }])
}
