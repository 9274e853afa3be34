//! What the commands cost that read a trace: `report`, `diff` and `export`, by the start, of traces that are small
//! and large. Such traces are made from a small one that is recorded here: its starts again and again, each time
//! later and with other ids.

use super::Bench;
use super::table::{Figure, Stat};
use super::tracer::children_cpu_ns;
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Large ones take their time, so there are fewer rounds of them, and one of the largest.
const ROUNDS: usize = 3;
const MILLION: u64 = 1_000_000;
/// What is recorded: a shell and so many commands of its.
const RECORDED: &str = "n=0; while [ $n -lt 99 ]; do /bin/true; n=$((n + 1)); done";

/// A piece of a line.
#[derive(Debug, PartialEq)]
enum Piece<'a> {
    Text(&'a str),
    /// A time, which has to be another one in each copy.
    Time(u64),
}

/// A trace that can be made as long as one likes.
struct Template {
    header: String,
    starts: Vec<String>,
    footer: String,
    /// From the first origin to the end, and some.
    span_ns: u64,
}

impl Template {
    fn record(bench: &Bench, level: &str) -> Result<Self> {
        let file = bench.folder.join("template.ndjson");
        let mut record = Command::new(&bench.startrace);
        record.args(["record", "-q", "--format", "ndjson", "--level", level, "-o"]).arg(&file);
        shell::run(record.args(["--", "sh", "-c", RECORDED]))?;
        let text = fs::read_to_string(&file)?;
        fs::remove_file(&file)?;
        Self::of(&text)
    }

    fn of(trace: &str) -> Result<Self> {
        let lines = |kind: &str| {
            let begin = format!("{{\"type\":\"{kind}\",");
            trace.lines().filter(move |line| line.starts_with(&begin)).map(str::to_owned)
        };
        let starts: Vec<String> = lines("start").collect();
        let origins: Vec<u64> =
            starts.iter().filter_map(|line| numbers_after(line, ORIGIN).next().map(|(_, ns)| ns)).collect();
        let (first, last) = (origins.iter().min(), origins.iter().max());
        let (Some(first), Some(last)) = (first, last) else { bail!("the recorded trace has no starts") };
        Ok(Self {
            header: lines("header").next().context("the recorded trace has no header")?,
            footer: lines("footer").next().context("the recorded trace has no footer")?,
            span_ns: last - first + 10_000_000_000,
            starts,
        })
    }

    /// Writes a trace of at least `n` starts; how many they are.
    fn write(&self, n: u64, out: &mut dyn Write) -> Result<u64> {
        // Of whom a time belongs to an id: a file name may hold an @, too.
        let births: HashSet<u64> = self
            .starts
            .iter()
            .flat_map(|line| numbers_after(line, "\"start_id\":\"").map(|(at, _)| &line[at..]))
            .filter_map(|rest| numbers_after(rest, "@").next().map(|(_, birth)| birth))
            .collect();
        let pieces: Vec<Vec<Piece<'_>>> = self.starts.iter().map(|line| pieces(line, &births)).collect();
        writeln!(out, "{}", self.header)?;
        let copies = n.div_ceil(pieces.len() as u64);
        for copy in 0..copies {
            for piece in pieces.iter().flatten() {
                match piece {
                    Piece::Text(text) => out.write_all(text.as_bytes())?,
                    Piece::Time(ns) => write!(out, "{}", ns + copy * self.span_ns)?,
                }
            }
        }
        writeln!(out, "{}", self.footer)?;
        Ok(copies * pieces.len() as u64)
    }
}

const ORIGIN: &str = "\"origin_boottime_ns\":";

/// The numbers that follow a text: where each begins, and its value.
fn numbers_after<'a>(line: &'a str, text: &'a str) -> impl Iterator<Item = (usize, u64)> + 'a {
    line.match_indices(text).filter_map(|(at, found)| {
        let at = at + found.len();
        let rest = line.get(at..)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        Some((at, rest.get(..digits)?.parse().ok()?))
    })
}

/// A line with its times apart: those of ids, and of the origin.
fn pieces<'a>(line: &'a str, births: &HashSet<u64>) -> Vec<Piece<'a>> {
    let mut times: Vec<(usize, u64)> =
        numbers_after(line, "@").filter(|(_, birth)| births.contains(birth)).collect();
    times.extend(numbers_after(line, ORIGIN));
    times.sort_unstable();
    let mut out = Vec::new();
    let mut done = 0;
    for (at, ns) in times {
        out.push(Piece::Text(&line[done..at]));
        out.push(Piece::Time(ns));
        done = at + ns.to_string().len();
    }
    out.push(Piece::Text(&line[done..]));
    out.push(Piece::Text("\n"));
    out
}

/// What a command took.
struct Cost {
    elapsed_ns: f64,
    cpu_ns: f64,
    /// The peak of its resident memory, as far as it could be read before its end.
    peak_kib: u64,
}

fn cost(program: &Path, args: &[&str]) -> Result<Cost> {
    let before = children_cpu_ns()?;
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
    let began = Instant::now();
    let mut child = command.spawn().with_context(|| shell::show(&command))?;
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kib = 0;
    let ended = loop {
        if let Some(ended) = child.try_wait()? {
            break ended;
        }
        let text = fs::read_to_string(&status).unwrap_or_default();
        let kib = text
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse().ok());
        peak_kib = peak_kib.max(kib.unwrap_or(0));
        std::thread::sleep(Duration::from_millis(5));
    };
    let elapsed_ns = began.elapsed().as_nanos() as f64;
    if !ended.success() {
        bail!("{} ended with {ended}", shell::show(&command));
    }
    Ok(Cost { elapsed_ns, cpu_ns: children_cpu_ns()? - before, peak_kib })
}

fn make(template: &Template, n: u64, file: &Path) -> Result<u64> {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(file)?);
    let made = template.write(n, &mut out)?;
    out.flush()?;
    Ok(made)
}

/// `report`, `diff` (of a trace with itself) and `export`, as long as somebody waits for them.
pub fn reading(bench: &Bench) -> Result<Vec<Figure>> {
    let mut figures = Vec::new();
    let page = bench.folder.join("exported");
    for (level, sizes) in [("lifecycle", &[10_000, 100_000, MILLION][..]), ("timeline", &[10_000, 100_000])] {
        let template = Template::record(bench, level)?;
        for &n in sizes {
            let path = bench.folder.join("long.ndjson");
            let n = make(&template, n, &path)?;
            let bytes = fs::metadata(&path)?.len();
            let rounds = bench.rounds.min(if n < MILLION { ROUNDS } else { 1 });
            let (file, page) = (path.to_string_lossy(), page.to_string_lossy());
            let file: &str = &file;
            let export = |format| ("export", format, 1, vec!["export", file, "--to", format, "-o", &page]);
            let startrace = &*bench.startrace;
            // The least that can be done with such a file: wc finds the ends of its lines.
            let commands = [
                (Path::new("wc"), ("wc", "-l", 1, vec!["-l", file])),
                (startrace, ("report", "", 1, vec!["report", file])),
                (startrace, ("diff", "", 2, vec!["diff", file, file])),
                (startrace, export("csv")),
                (startrace, export("ndjson")),
                (startrace, export("chrome")),
            ];
            for (program, (what, format, traces, args)) in commands {
                let starts = (n * traces) as f64;
                let (mut elapsed, mut cpu, mut peak) = (Vec::new(), Vec::new(), 0);
                for _ in 0..rounds {
                    let cost = cost(program, &args)?;
                    elapsed.push(cost.elapsed_ns / starts / 1000.0);
                    cpu.push(cost.cpu_ns / starts / 1000.0);
                    peak = peak.max(cost.peak_kib / 1024);
                }
                let cpu = Stat::of(&cpu).map_or(0.0, |stat| stat.median);
                let ours = program == startrace;
                figures.push(Figure {
                    row: "reading",
                    what: format!("{what} {format}, {n} starts, {level}").replace(" ,", ","),
                    value: Stat::of(&elapsed),
                    unit: "us/start",
                    goal: (ours && level == "lifecycle").then_some("<= 2"),
                    note: format!("{} bytes a start; {cpu:.1} us of CPU; peak {peak} MB", bytes / n),
                });
            }
            fs::remove_file(path)?;
        }
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_becomes_longer_and_each_id_another() {
        let line = |id: u64, parent: u64| {
            format!(
                "{{\"type\":\"start\",\"start_id\":\"7@{id}/0\",\"id\":\"7@{id}\",\"parent\":{{\"id\":\"6@{parent}\"}},\"cwd\":\"/a@1\",\"timeline\":{{\"origin_boottime_ns\":{id}}}}}"
            )
        };
        let trace = format!(
            "{{\"type\":\"header\",}}\n{}\n{}\n{{\"type\":\"footer\",}}\n",
            line(100, 5),
            line(200, 100)
        );
        let template = Template::of(&trace).unwrap();
        let mut out = Vec::new();
        assert_eq!(template.write(3, &mut out).unwrap(), 4);
        let later = 10_000_000_100;
        let expected = [
            "{\"type\":\"header\",}".to_owned(),
            line(100, 5),
            line(200, 100),
            // Whoever has no start of its own stays the same.
            line(100 + later, 5),
            line(200 + later, 100 + later),
            "{\"type\":\"footer\",}\n".to_owned(),
        ];
        assert_eq!(String::from_utf8(out).unwrap(), expected.join("\n"));
        assert!(Template::of("{\"type\":\"header\",}\n").is_err());
    }
}
