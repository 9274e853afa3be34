//! Many runs of one command, or of several: how their times lie, which of them are far off and why, and which
//! command is faster.

mod text;

pub use text::text;

use super::comparison::{Part, TraceNote};
use super::digest::{Digest, PartKind, Row, Run, Side};
use super::stats::{self, Shift, Summary};
use crate::sort::SortSmall;
use crate::words::intern::Sym;
use serde::Serialize;
use std::collections::BTreeMap;

/// Fewer runs have no outliers: too few to know what is usual.
const ENOUGH_FOR_OUTLIERS: usize = 5;
/// Phases and states of one command.
const MAX_NAMES: usize = 256;

/// What many runs have in common.
#[derive(Debug, Serialize)]
pub struct Stat {
    /// Always `startrace-stat/1`.
    pub schema: &'static str,
    /// The recording.
    pub trace: Option<TraceNote>,
    /// The commands, in the order in which they were run first.
    pub commands: Vec<CommandStat>,
    /// Runs of each command before the measured ones; they are in nothing here.
    pub warmup: u64,
    /// Each of the others compared with the first.
    pub compared: Vec<Compared>,
}

/// One command.
#[derive(Debug, Serialize)]
pub struct CommandStat {
    /// Its name, or the command itself.
    pub name: String,
    /// Measured runs.
    pub runs: u64,
    /// Those that never became ready, or whose start was not seen; they are in nothing below.
    pub unfinished: u64,
    /// Those that ended with another status than 0.
    pub failed: u64,
    /// What made the start finished, by how often.
    pub ready: BTreeMap<String, u64>,
    /// Of those, the ones that were concluded and not seen themselves.
    pub ready_inferred: BTreeMap<String, u64>,
    /// Until the command was ready; where it left a daemon that `--kill-when-ready` ended, until that was.
    pub time: Option<Summary>,
    /// Until the last of all that it started was ready.
    pub makespan: Option<Summary>,
    /// Processes in a run (a [`Summary`] of numbers, not of nanoseconds).
    pub processes: Option<Summary>,
    /// Memory (PSS) of all processes together when the command was ready, in bytes.
    pub pss_bytes: Option<Summary>,
    /// Of `time`, what came after the command's own end until the daemon that it left was ready; `null` where it left none.
    pub daemon: Option<Summary>,
    /// The command's own phases.
    pub phases: Vec<Spread>,
    /// Its critical path by state, the largest first.
    pub path: Vec<Spread>,
    /// What of a usual run's time was spent waiting for a CPU: the median of that, of the median time; `null` where that
    /// was not observed.
    pub waited_share: Option<f64>,
    /// Runs that are far off, and what they were longer in.
    pub outliers: Vec<Outlier>,
}

/// One phase, or one state.
#[derive(Debug, Serialize)]
pub struct Spread {
    /// Its name.
    pub name: String,
    /// How long; 0 in runs without it.
    pub time: Summary,
}

/// A run that is far off.
#[derive(Debug, Serialize)]
pub struct Outlier {
    /// Which, from 1, among those of its command.
    pub run: u64,
    /// Until it was ready.
    pub time_ns: u64,
    /// More than the median (or less).
    pub off_by_ns: i64,
    /// What is most different from its own median: phases.
    pub phases: Vec<Part>,
    /// States of the critical path.
    pub path: Vec<Part>,
}

/// Two commands.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// The first of all.
    pub base: String,
    /// Another one.
    pub new: String,
    /// By how much it takes longer.
    pub shift: Option<Shift>,
    /// The same in percent of the base's median.
    pub shift_percent: Option<f64>,
    /// Of the Mann-Whitney test, corrected for the number of commands (Holm); `null` where there are too few
    /// runs for any difference.
    pub p: Option<f64>,
    /// By phase, the largest difference first.
    pub phases: Vec<Part>,
    /// By state of the critical path, likewise.
    pub path: Vec<Part>,
}

/// A run that was ready.
struct Finished<'d> {
    /// Which of its command's, from 1.
    run: u64,
    /// The command's start.
    row: &'d Row,
    /// The start whose readiness is the run's: the command's, or that of the daemon which it left.
    ready: &'d Row,
}

impl Finished<'_> {
    fn time(&self) -> u64 {
        self.ready.origin.saturating_add(self.ready.duration).saturating_sub(self.row.origin)
    }
}

/// The runs of one command.
struct Runs<'d> {
    digest: &'d Digest,
    all: Vec<(usize, &'d Run)>,
    finished: Vec<Finished<'d>>,
}

impl<'d> Runs<'d> {
    fn of(digest: &'d Digest, side: Side) -> Self {
        let all: Vec<(usize, &Run)> =
            digest.runs.iter().enumerate().filter(|(_, run)| run.side == side).collect();
        let finished = all
            .iter()
            .zip(1..)
            .filter_map(|((_, of), run)| {
                let row = digest.rows.get(of.root? as usize)?;
                let ready = of.daemon.map_or(Some(row), |daemon| digest.rows.get(daemon as usize))?;
                Some(Finished { run, row, ready })
            })
            .filter(|run| run.row.is_measured(digest) && run.ready.is_measured(digest))
            .collect();
        Self { digest, all, finished }
    }

    fn sorted(&self, of: &dyn Fn(&Row) -> Option<u64>) -> Vec<u64> {
        let mut values: Vec<u64> = self.finished.iter().filter_map(|run| of(run.row)).collect();
        values.sort_unstable();
        values
    }

    fn times(&self) -> Vec<u64> {
        let mut times: Vec<u64> = self.finished.iter().map(Finished::time).collect();
        times.sort_unstable();
        times
    }

    fn names(&self, kind: PartKind) -> Vec<(&'d str, Sym)> {
        let mut names: Vec<(&str, Sym)> = Vec::new();
        for Finished { row, .. } in &self.finished {
            // In the order of a start's life, as far as the file has it so.
            for (_, name, _) in self.digest.parts(row).iter().filter(|(of, ..)| *of == kind) {
                if names.len() < MAX_NAMES && !names.iter().any(|(_, known)| known == name) {
                    names.push((self.digest.text(*name), *name));
                }
            }
        }
        names
    }

    /// Phases in the order of a start's life, states by size.
    fn spreads(&self, kind: PartKind) -> Vec<Spread> {
        let mut out: Vec<Spread> = self
            .names(kind)
            .into_iter()
            .filter_map(|(text, name)| {
                let values = self.sorted(&|row| part(self.digest, row, kind, name));
                Some(Spread { name: text.to_owned(), time: Summary::of(&values)? })
            })
            .collect();
        match kind {
            PartKind::Phase => out.sort_small_by_key(|spread| crate::report::phase::of_name(&spread.name)),
            PartKind::State | PartKind::Finding => {
                out.sort_small_by_key(|spread| std::cmp::Reverse(spread.time.median_ns))
            }
        }
        out
    }

    /// What of its time a usual run waited for a CPU. By the medians: of one run that waited for long, the others are no
    /// slower.
    fn waited_share(&self, path: &[Spread]) -> Option<f64> {
        let time = Summary::of(&self.times()).filter(|time| time.median_ns > 0 && !path.is_empty())?;
        let waited =
            path.iter().find(|state| state.name == "runnable").map_or(0, |state| state.time.median_ns);
        Some(waited.min(time.median_ns) as f64 / time.median_ns as f64)
    }

    fn outliers(&self, phases: &[Spread], path: &[Spread]) -> Vec<Outlier> {
        let Some(usual) = Summary::of(&self.times()).filter(|s| s.n as usize >= ENOUGH_FOR_OUTLIERS) else {
            return Vec::new();
        };
        // Tukey's fences, but never nearer than a twentieth of the median: of runs that are all alike,
        // none is far off.
        let reach = (usual.p75_ns - usual.p25_ns).saturating_mul(3) / 2;
        let reach = reach.max(usual.median_ns / 20);
        let (low, high) = (usual.p25_ns.saturating_sub(reach), usual.p75_ns.saturating_add(reach));
        let far = self.finished.iter().filter(|run| run.time() < low || run.time() > high);
        far.map(|run| Outlier {
            run: run.run,
            time_ns: run.time(),
            off_by_ns: difference(usual.median_ns, run.time()),
            phases: self.differences(run.row, PartKind::Phase, phases),
            path: self.differences(run.row, PartKind::State, path),
        })
        .collect()
    }

    /// In what one run differs from the usual, most first.
    fn differences(&self, row: &Row, kind: PartKind, usual: &[Spread]) -> Vec<Part> {
        let names = self.names(kind);
        let mut out: Vec<Part> = usual
            .iter()
            .filter_map(|spread| {
                let (_, name) = names.iter().find(|(text, _)| *text == spread.name)?;
                let ns = part(self.digest, row, kind, *name)?;
                Some(Part {
                    name: spread.name.clone(),
                    base_ns: spread.time.median_ns,
                    new_ns: ns,
                    shift_ns: difference(spread.time.median_ns, ns),
                    p: 1.0,
                })
            })
            .collect();
        out.sort_small_by_key(|part| std::cmp::Reverse(part.shift_ns.unsigned_abs()));
        out
    }
}

fn difference(from: u64, to: u64) -> i64 {
    to.min(1 << 62).cast_signed() - from.min(1 << 62).cast_signed()
}

/// How long a start was in a phase or a state; `None` where that was not observed at all.
fn part(digest: &Digest, row: &Row, kind: PartKind, name: Sym) -> Option<u64> {
    let mut parts = digest.parts(row).iter().filter(|(of, ..)| *of == kind).peekable();
    parts.peek()?;
    Some(parts.filter(|(_, part, _)| *part == name).fold(0, |sum, (_, _, ns)| sum.saturating_add(*ns)))
}

/// Of all runs that were read with [`super::Sides::ByName`]; `names` as that told them, `warmup` runs of each before.
pub fn stat(digest: &Digest, names: &[String], warmup: u32, alpha: f64) -> Stat {
    let runs: Vec<(&String, Runs<'_>)> =
        names.iter().zip(0..).map(|(name, side)| (name, Runs::of(digest, Side(side)))).collect();
    let shape = shapes(digest);
    let commands = runs.iter().map(|(name, runs)| command(name, runs, &shape)).collect();
    let mut compared: Vec<Compared> = Vec::new();
    if let Some(((base, first), others)) = runs.split_first() {
        compared.extend(others.iter().map(|(new, runs)| pair(base, first, new, runs, alpha)));
    }
    let p: Vec<f64> = compared.iter().filter_map(|pair| pair.p).collect();
    let adjusted = stats::holm(&p);
    for (pair, p) in compared.iter_mut().filter(|pair| pair.p.is_some()).zip(adjusted) {
        pair.p = Some(p);
    }
    let trace = digest.files.first().map(|file| TraceNote {
        name: file.name.clone(),
        starts: file.starts,
        complete: file.complete,
        host: file.hostname.clone(),
        kernel: file.kernel.clone(),
    });
    Stat { schema: "startrace-stat/1", trace, commands, warmup: warmup.into(), compared }
}

/// Of each run: how many processes, and when the last start of all was finished.
fn shapes(digest: &Digest) -> Vec<(u64, u64)> {
    let mut shapes = vec![(0_u64, 0_u64); digest.runs.len()];
    for row in &digest.rows {
        if let Some((processes, end)) = shapes.get_mut(row.run as usize) {
            *processes += u64::from(row.first);
            // What never was finished has no end.
            if row.is_measured(digest) {
                *end = (*end).max(row.origin.saturating_add(row.duration));
            }
        }
    }
    shapes
}

fn command(name: &str, runs: &Runs<'_>, shapes: &[(u64, u64)]) -> CommandStat {
    let (phases, path) = (runs.spreads(PartKind::Phase), runs.spreads(PartKind::State));
    let shape = |row: &Row| shapes.get(row.run as usize).copied();
    let (mut ready, mut ready_inferred) = (BTreeMap::<String, u64>::new(), BTreeMap::<String, u64>::new());
    for run in &runs.finished {
        let kind = runs.digest.text(run.ready.ready);
        *ready.entry(kind.to_owned()).or_default() += 1;
        if run.ready.inferred {
            *ready_inferred.entry(kind.to_owned()).or_default() += 1;
        }
    }
    // A command may also end after its daemon is ready.
    let mut daemon: Vec<u64> =
        runs.finished.iter().map(|run| run.time().saturating_sub(run.row.duration)).collect();
    daemon.sort_unstable();
    let mut pss: Vec<u64> = runs.all.iter().filter_map(|(_, run)| run.pss).collect();
    pss.sort_unstable();
    CommandStat {
        name: name.to_owned(),
        runs: runs.all.len() as u64,
        unfinished: (runs.all.len() - runs.finished.len()) as u64,
        failed: runs.all.iter().filter(|(_, run)| run.exit.is_some_and(|exit| exit != 0)).count() as u64,
        ready,
        ready_inferred,
        time: Summary::of(&runs.times()),
        makespan: Summary::of(&runs.sorted(&|row| Some(shape(row)?.1.saturating_sub(row.origin)))),
        processes: Summary::of(&runs.sorted(&|row| Some(shape(row)?.0))),
        pss_bytes: Summary::of(&pss),
        daemon: Summary::of(&daemon).filter(|daemon| daemon.max_ns > 0),
        waited_share: runs.waited_share(&path),
        outliers: runs.outliers(&phases, &path),
        phases,
        path,
    }
}

fn pair(base: &str, a: &Runs<'_>, new: &str, b: &Runs<'_>, alpha: f64) -> Compared {
    let (x, y) = (a.times(), b.times());
    let median = stats::quantile(&x, 1, 2);
    let shift = stats::shift(&x, &y, alpha);
    let parts = |kind| {
        let mut names = a.names(kind);
        names.extend(b.names(kind));
        names.sort_small_by(Ord::cmp);
        names.dedup();
        let mut out: Vec<Part> = names
            .into_iter()
            .filter_map(|(text, name)| {
                let of = |runs: &Runs<'_>| runs.sorted(&|row| part(runs.digest, row, kind, name));
                let (x, y) = (of(a), of(b));
                Some(Part {
                    name: text.to_owned(),
                    base_ns: stats::quantile(&x, 1, 2),
                    new_ns: stats::quantile(&y, 1, 2),
                    shift_ns: stats::shift(&x, &y, 1.0)?.estimate_ns,
                    p: stats::p_value(&x, &y),
                })
            })
            .collect();
        out.sort_small_by_key(|part| std::cmp::Reverse(part.shift_ns.unsigned_abs()));
        out
    };
    Compared {
        base: base.to_owned(),
        new: new.to_owned(),
        shift,
        shift_percent: shift.filter(|_| median > 0).map(|s| s.estimate_ns as f64 * 100.0 / median as f64),
        p: (stats::smallest_p(x.len(), y.len()) <= alpha).then(|| stats::p_value(&x, &y)),
        phases: parts(PartKind::Phase),
        path: parts(PartKind::State),
    }
}
