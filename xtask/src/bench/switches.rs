//! What a context switch costs processes that are not recorded, beside those that are, and the least that the kernel
//! takes for calling any program there.
//!
//! A pair of processes hands a byte to and fro (`ping_pong.c`, at real-time priority where that is allowed). It is
//! measured with and without, one right after the other, and always the same pair: where its memory lies makes a
//! difference of some percent from pair to pair.

use super::Bench;
use super::floor::{self, Nothing};
use super::rows::Mode;
use super::table::{Figure, Stat};
use super::tracer::Tracer;
use super::workload::{self, Workload};
use crate::shell;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const ROW: &str = "switch-tax";
/// Round trips, of two switches each ...
const TRIPS: u32 = 4_000;
/// ... and how often in a measurement: the shortest time counts. (The kernel takes the CPU from real-time tasks for a
/// twentieth of a second in each second, and so does the machine's host, if less regularly.)
const TIMES: u32 = 15;
/// For the end of a start: a second of rest.
const LIMIT: Duration = Duration::from_secs(60);

/// What is compared with nothing at all.
enum Case {
    /// Programs that do nothing, on these tracepoints.
    Floor(&'static [&'static str]),
    /// A recording that began after the pair.
    Stranger(Mode),
    /// The same pair while a start is under way that only waits: what starts wait for is looked at then.
    Beside,
    /// `record -a` that the pair was started under: its start is over, and no other is under way.
    Rested,
    /// The same, while it is in its start.
    Starting,
}

const CASES: &[Case] = &[
    Case::Floor(&["sched_switch"]),
    Case::Floor(&["sched_switch", "sched_waking"]),
    Case::Stranger(Mode::Stranger("lifecycle")),
    Case::Stranger(Mode::Stranger("")),
    Case::Stranger(Mode::System("")),
    Case::Beside,
    Case::Rested,
    Case::Starting,
];

impl Case {
    fn name(&self) -> String {
        match self {
            Self::Floor(tracepoints) => format!("no-op on {}", tracepoints.join(", ")),
            Self::Stranger(mode) => mode.name(),
            Self::Beside => format!("{}, a start is under way", Mode::System("").name()),
            Self::Rested => format!("{}, start is over", Mode::System("").name()),
            Self::Starting => format!("{}, in its start", Mode::System("").name()),
        }
    }

    /// Whoever is not being recorded is to pay next to nothing.
    fn goal(&self) -> Option<&'static str> {
        matches!(self, Self::Stranger(_) | Self::Beside | Self::Rested).then_some("<= 1.03")
    }

    fn about(&self) -> &'static str {
        match self {
            Self::Floor(_) => "what the kernel takes for any program",
            Self::Stranger(_) => "pair from before the recording",
            Self::Beside => "pair from before the recording, and a sleep that is in its start",
            Self::Rested => "pair started under it, at rest since",
            Self::Starting => "pair started under it, recorded",
        }
    }

    fn run(&self, bench: &Bench, workload: &Workload, stranger: &mut Pair) -> Result<Sample> {
        match self {
            Self::Floor(tracepoints) => stranger.compare(|pair| {
                let _attached = Nothing::on(tracepoints)?;
                pair.measure()
            }),
            Self::Stranger(mode) => stranger.compare(|pair| {
                mode.run(bench, &[], |_| {
                    at_rest()?;
                    pair.measure()
                })
            }),
            Self::Beside => stranger.compare(|pair| {
                let trace = bench.folder.join("switches.ndjson");
                let out = trace.to_string_lossy();
                let args = ["-q", "-a", "--ready", "exit", "--format", "ndjson", "-o", &out];
                let tracer = Tracer::start(bench, &args)?;
                let mut starting = Command::new("sleep").arg("1000").spawn().context("no sleep")?;
                let with = pair.measure();
                starting.kill()?;
                starting.wait()?;
                tracer.stop()?;
                std::fs::remove_file(&trace)?;
                with
            }),
            Self::Rested | Self::Starting => {
                let trace = bench.folder.join("switches.ndjson");
                let out = trace.to_string_lossy();
                let tracer = Tracer::start(bench, &["-q", "-a", "--format", "ndjson", "-o", &out])?;
                let mut pair = Pair::start(workload)?;
                if matches!(self, Self::Rested) {
                    pair.wait_rested(&trace)?;
                }
                let with = pair.measure()?;
                if matches!(self, Self::Starting) && has_start(&std::fs::read_to_string(&trace)?, pair.pid())
                {
                    bail!("its start was over before it was measured");
                }
                tracer.stop()?;
                std::fs::remove_file(&trace)?;
                Ok(Sample { with, without: pair.measure()? })
            }
        }
    }
}

/// A running `ping_pong`, killed when dropped.
struct Pair {
    child: Child,
    ask: ChildStdin,
    answers: BufReader<ChildStdout>,
    realtime: bool,
}

impl Pair {
    fn start(workload: &Workload) -> Result<Self> {
        let (program, args) = workload.argv.split_first().context("an empty command line")?;
        let mut command = Command::new(program);
        shell::plain_environment(&mut command);
        let mut child = command.args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let ask = child.stdin.take().context("no pipe to the pair")?;
        let answers = BufReader::new(child.stdout.take().context("no pipe from the pair")?);
        Ok(Self { child, ask, answers, realtime: false })
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Nanoseconds a switch.
    fn measure(&mut self) -> Result<f64> {
        self.ask.write_all(b"x").context("the pair has ended")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).with_context(|| format!("the pair said {line:?}"))?;
        self.realtime = answer["realtime"] == true;
        Ok(workload::number(&answer, "ns")? / f64::from(2 * TRIPS))
    }

    /// With something, and without it right before and after: a machine is not equally fast for long.
    fn compare(&mut self, with: impl FnOnce(&mut Self) -> Result<f64>) -> Result<Sample> {
        let before = self.measure()?;
        let with = with(self)?;
        Ok(Sample { with, without: (before + self.measure()?) / 2.0 })
    }

    /// Until its start is in the trace, and nobody looks at wake-ups any more.
    fn wait_rested(&self, trace: &Path) -> Result<()> {
        let begin = Instant::now();
        while !has_start(&std::fs::read_to_string(trace).unwrap_or_default(), self.pid()) {
            if begin.elapsed() > LIMIT {
                bail!("the pair's start is not over after {LIMIT:?} without work");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        at_rest()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // The other one ends with its pipe.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until nobody looks at wake-ups any more: a recording does from its beginning, and while starts are under way.
fn at_rest() -> Result<()> {
    let begin = Instant::now();
    while floor::programs_on("sched_waking")? > 0 {
        if begin.elapsed() > LIMIT {
            bail!("wake-ups are still looked at after {LIMIT:?}: other things start here, or are recorded");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Whether an NDJSON trace, which may end within a line, tells the start of a process.
fn has_start(trace: &str, pid: u32) -> bool {
    trace
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .any(|line| line["type"] == "start" && line["pid"] == pid)
}

/// Nanoseconds a switch.
#[derive(Debug, Clone, Copy)]
struct Sample {
    with: f64,
    without: f64,
}

/// A case's rounds, or why it has none.
type Measured = std::result::Result<Vec<Sample>, String>;

pub fn switch_tax(bench: &Bench) -> Result<Vec<Figure>> {
    let workload = Workload::build(bench, "ping_pong", &[&TRIPS.to_string(), &TIMES.to_string()])?;
    let mut stranger = Pair::start(&workload)?;
    let mut measured: Vec<Measured> = CASES.iter().map(|_| Ok(Vec::new())).collect();
    let mut others = Others::default();
    for round in 1..=bench.rounds {
        for (case, slot) in CASES.iter().zip(&mut measured) {
            let Ok(list) = slot else { continue };
            others.look();
            match case.run(bench, &workload, &mut stranger) {
                Ok(sample) => {
                    eprintln!("  round {round}: {}: {:.3}", case.name(), sample.with / sample.without);
                    list.push(sample);
                }
                // What is refused to us here may be granted to startrace, which is what the row is about.
                Err(why) if matches!(case, Case::Floor(_)) => *slot = Err(format!("{why:#}")),
                Err(why) => return Err(why.context(case.name())),
            }
        }
    }
    others.look();
    Ok(figures(&measured, stranger.realtime, &others))
}

/// Another tracer of context switches makes "untraced" untrue, and every ratio less.
#[derive(Debug, Default)]
struct Others {
    /// How often one was there.
    seen: usize,
    /// Why that is not known.
    unknown: Option<String>,
}

impl Others {
    fn look(&mut self) {
        match floor::programs_on("sched_switch") {
            Ok(0) => {}
            Ok(_) => self.seen += 1,
            Err(why) => self.unknown = Some(format!("{why:#}")),
        }
    }

    fn note(&self) -> String {
        match (self.seen, &self.unknown) {
            (0, None) => String::new(),
            (0, Some(why)) => format!("; whether another tracer was there is not known: {why}"),
            (seen, _) => format!("; ANOTHER TRACER WAS THERE, {seen} times"),
        }
    }
}

fn figures(measured: &[Measured], realtime: bool, others: &Others) -> Vec<Figure> {
    let median = |values: &[f64]| Stat::of(values).map_or(0.0, |stat| stat.median);
    let all: Vec<f64> = measured.iter().flatten().flatten().map(|sample| sample.without).collect();
    let priority = if realtime { "at real-time priority" } else { "not at real-time priority: refused" };
    let note = format!("of {} times, best of {TIMES} each, {priority}{}", all.len(), others.note());
    let (what, value) = (Mode::Plain.name(), Stat::of(&all));
    let plain = Figure { row: ROW, what, value, unit: "ns/switch", goal: None, note };
    let rest = CASES.iter().zip(measured).map(|(case, measured)| {
        let (value, note) = match measured {
            Ok(samples) => {
                let ratios: Vec<f64> = samples.iter().map(|sample| sample.with / sample.without).collect();
                let with: Vec<f64> = samples.iter().map(|sample| sample.with).collect();
                (Stat::of(&ratios), format!("{:.0} ns a switch; {}", median(&with), case.about()))
            }
            Err(why) => (None, why.replace('\n', " ")),
        };
        Figure { row: ROW, what: case.name(), value, unit: "x", goal: case.goal(), note }
    });
    std::iter::once(plain).chain(rest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_has_its_line_and_a_refused_one_its_reason() {
        let sample = |with| Sample { with, without: 2000.0 };
        let mut measured: Vec<Measured> = CASES.iter().map(|_| Ok(vec![sample(2100.0)])).collect();
        measured[1] = Err("no program can be\nloaded".into());
        measured[4] = Ok(vec![sample(2100.0), sample(2300.0), sample(2200.0)]);
        let figures = figures(&measured, true, &Others { seen: 2, unknown: None });
        assert_eq!(figures.len(), CASES.len() + 1);
        assert_eq!((&*figures[0].what, figures[0].value.unwrap().median), ("untraced", 2000.0));
        assert!(figures[0].note.contains("ANOTHER TRACER WAS THERE, 2 times"), "{}", figures[0].note);
        assert_eq!(figures[1].what, "no-op on sched_switch");
        assert_eq!((figures[1].value.unwrap().median, figures[1].goal), (1.05, None));
        assert_eq!((figures[2].value, &*figures[2].note), (None, "no program can be loaded"));
        let all = &figures[5];
        assert_eq!((&*all.what, all.goal), ("startrace record -a", Some("<= 1.03")));
        assert_eq!(all.value.unwrap(), Stat { median: 1.1, min: 1.05, max: 1.15, rounds: 3 });
        let starting = figures.last().unwrap();
        assert_eq!((&*starting.what, starting.goal), ("startrace record -a, in its start", None));
    }

    #[test]
    fn a_start_is_found_in_a_trace_that_is_being_written() {
        let trace =
            "{\"type\":\"header\",\"pid\":7}\n{\"type\":\"start\",\"pid\":8}\n{\"type\":\"start\",\"pi";
        assert!(has_start(trace, 8));
        assert!(!has_start(trace, 7));
        assert!(!has_start(trace, 9));
    }
}
