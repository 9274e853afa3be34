//! Loss, the tracer's CPU time and its memory when processes start as fast as the machine can.

use super::Bench;
use super::table::{Figure, Stat};
use super::tracer::{Tracer, Usage};
use super::workload::Workload;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

/// Processes that start others at once.
const PARENTS: u64 = 4;
/// A storm takes its time, so there are fewer rounds of it.
const ROUNDS: usize = 3;

/// What a trace says of a storm.
#[derive(Debug, Default, PartialEq)]
struct Told {
    /// Starts with our mark and their whole argv.
    whole: u64,
    /// Starts with our mark whose argv is cut or whose end is missing.
    partial: u64,
    /// Sum of `session.lost`.
    lost: u64,
    complete: bool,
}

fn read(path: &Path, mark: &str) -> Result<Told> {
    let file = File::open(path).with_context(|| format!("{}", path.display()))?;
    read_lines(BufReader::new(file), mark)
}

fn read_lines(lines: impl BufRead, mark: &str) -> Result<Told> {
    let mut told = Told::default();
    let mut footer = false;
    for line in lines.lines() {
        let line: Value = serde_json::from_str(&line?).context("a line of the trace")?;
        match line["type"].as_str() {
            Some("start") if line["argv"][1] == mark => {
                let exited = line["timeline"]["ready"]["kind"] == "exit" || line["exit"].is_object();
                if line["argv_truncated"] == false && line["exe"].is_string() && exited {
                    told.whole += 1;
                } else {
                    told.partial += 1;
                }
            }
            Some("footer") => {
                footer = true;
                let session = &line["session"];
                told.complete = session["complete"] == true;
                told.lost = session["lost"]
                    .as_object()
                    .map_or(0, |lost| lost.values().filter_map(Value::as_u64).sum());
            }
            _ => {}
        }
    }
    if !footer {
        bail!("the trace has no footer");
    }
    Ok(told)
}

/// One storm under `-a`; what the trace says, and what the tracer used.
fn blow(bench: &Bench, starts: u64, argv_bytes: u64) -> Result<(Told, Usage, f64)> {
    let mark = format!("startrace-bench-{}", std::process::id());
    let each = (starts / PARENTS).to_string();
    let workload =
        Workload::build(bench, "storm", &[&PARENTS.to_string(), &each, &argv_bytes.to_string(), &mark])?;
    let trace = bench.folder.join("storm.ndjson");
    let tracer = Tracer::start(bench, &["-q", "-a", "--format", "ndjson", "-o", &trace.to_string_lossy()])?;
    let wall = workload.nanoseconds(&workload.command_line())?;
    let usage = tracer.stop()?;
    let told = read(&trace, &mark)?;
    std::fs::remove_file(&trace)?;
    Ok((told, usage, wall))
}

/// CPU time of a tracer that has nothing to do: loading, attaching, ending.
fn idle(bench: &Bench) -> Result<f64> {
    let trace = bench.folder.join("idle.ndjson");
    let tracer = Tracer::start(bench, &["-q", "-a", "--format", "ndjson", "-o", &trace.to_string_lossy()])?;
    Ok(tracer.stop()?.cpu_ns)
}

/// 20,000 starts by four parents at once, with short arguments and with 8 KiB of them.
pub fn storm(bench: &Bench) -> Result<Vec<Figure>> {
    const STARTS: u64 = 20_000;
    let mut figures = Vec::new();
    for (size, bytes) in [("short argv", 0), ("8 KiB argv", 8192)] {
        let (mut lost, mut incomplete, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
        let mut rate = 0.0;
        for round in 1..=bench.rounds.min(ROUNDS) {
            let without = idle(bench)?;
            let (told, usage, wall) = blow(bench, STARTS, bytes)?;
            eprintln!("  round {round}: {size}: {told:?}");
            let missing = STARTS.saturating_sub(told.whole + told.partial);
            // A trace that says it lost nothing, and yet lacks starts, is the worst case.
            lost.push(told.lost.max(missing) as f64);
            incomplete.push((STARTS - told.whole.min(STARTS)) as f64);
            cpu.push((usage.cpu_ns - without).max(0.0) / STARTS as f64 / 1000.0);
            rate = STARTS as f64 / (wall / 1e9);
            if told.complete && told.whole < STARTS {
                bail!("{size}: the trace says complete, but holds {told:?} of {STARTS}");
            }
        }
        let note = format!("{STARTS} starts, {rate:.0} a second");
        for (what, values, unit, goal) in [
            ("lost", &lost, "events", "0"),
            ("starts not whole", &incomplete, "starts", "0"),
            ("tracer's CPU", &cpu, "us/start", "<= 15"),
        ] {
            figures.push(Figure {
                row: "storm",
                what: format!("{what}, {size}"),
                value: Stat::of(values),
                unit,
                goal: Some(goal),
                note: note.clone(),
            });
        }
    }
    Ok(figures)
}

/// The tracer's peak memory after 10,000 and 100,000 starts.
pub fn memory(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    for starts in [10_000, 100_000] {
        let (told, usage, _) = blow(bench, starts, 0)?;
        figures.push(Figure {
            row: "memory",
            what: format!("peak RSS, {starts} starts"),
            value: Stat::of(&[usage.peak_kib as f64 / 1024.0]),
            unit: "MiB",
            goal: Some("<= 40"),
            note: format!("{} starts recorded whole", told.whole),
        });
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storms_trace_is_counted() {
        let start = r#"{"type":"start","argv":["true","MARK"],"argv_truncated":false,"exe":"/bin/true","timeline":{"ready":{"kind":"exit"}}}"#;
        let cut = start.replace("false", "true");
        let other = start.replace("MARK", "other");
        let footer = r#"{"type":"footer","session":{"complete":false,"lost":{"events":2,"storage":3}}}"#;
        let text = [start, start, &cut, &other, footer].join("\n");
        let told = read_lines(text.as_bytes(), "MARK").unwrap();
        assert_eq!(told, Told { whole: 2, partial: 1, lost: 5, complete: false });
        assert!(read_lines(start.as_bytes(), "MARK").is_err());
    }
}
