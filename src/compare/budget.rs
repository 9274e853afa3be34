//! Budgets: what a start may take, how many processes it may have, and what must not happen at all.

mod file;
mod text;

pub(crate) use file::MAX_FILE;
pub use file::{Budget, Executable, Limits, Statistic};
pub use text::{markdown, text};

use super::digest::{Digest, PartKind, Row, Side};
use super::stats::Summary;
use crate::sort::SortSmall;
use crate::timeline::select::glob;
use serde::Serialize;
use std::collections::BTreeMap;

/// Starts that one line names.
const MAX_NAMED: usize = 3;

/// How one limit came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Result {
    /// Within.
    Ok,
    /// The trace cannot tell.
    Unknown,
    /// Over, or there where it must not be.
    Over,
}

/// One limit.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// How it came out.
    pub result: Result,
    /// Whose: `command`, `trace`, or an `[[exe]]`'s `match`.
    pub scope: String,
    /// Which: `ready`, `phases.link`, `processes` ...
    pub what: String,
    /// What there is, in nanoseconds or as a number; `null` where that is not known.
    pub actual: Option<u64>,
    /// What there may be.
    pub limit: Option<u64>,
    /// Nanoseconds, and not a number.
    pub time: bool,
    /// Which starts, or why it cannot be told.
    pub detail: Option<String>,
}

/// All limits of a budget.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// Always `startrace-check/1`.
    pub schema: &'static str,
    /// How the worst came out.
    pub result: Result,
    /// The trace is not complete, and why.
    pub incomplete: Option<String>,
    /// Each of them: what is over first, then what cannot be told.
    pub lines: Vec<Line>,
}

/// Holds a trace against a budget.
pub fn check(digest: &Digest, budget: &Budget) -> Checked {
    let incomplete = digest.files.iter().find(|file| !file.complete).map(|file| {
        let lost = file.lost.iter().flatten().map(|(name, n)| format!("{name} {n}"));
        file.cut_off.clone().unwrap_or_else(|| format!("lost: {}", lost.collect::<Vec<_>>().join(", ")))
    });
    let rows: Vec<&Row> = digest.rows.iter().filter(|row| digest.side(row) == Side::BASE).collect();
    let runs = digest.run_count(Side::BASE).max(1);
    let mut lines = Vec::new();
    let roots: Vec<&Row> = rows.iter().copied().filter(|row| row.root && row.first).collect();
    let of_all = Scope { digest, name: "trace", rows: &rows, runs, statistic: budget.statistic };
    let of_roots = Scope { name: "command", rows: &roots, ..of_all };
    of_roots.times(&budget.limits, &mut lines);
    of_all.counts(&budget.limits, &mut lines);
    for exe in &budget.exe {
        let matching: Vec<&Row> =
            rows.iter().copied().filter(|row| is_exe(digest, row, &exe.pattern)).collect();
        let statistic = exe.statistic.unwrap_or(budget.statistic);
        let scope = Scope { name: &exe.pattern, rows: &matching, statistic, ..of_all };
        scope.times(&exe.limits, &mut lines);
        scope.counts(&exe.limits, &mut lines);
    }
    // Of a trace that lacks something, nothing can be said to be few or short enough.
    if incomplete.is_some() && !budget.allow_incomplete {
        for line in lines.iter_mut().filter(|line| line.result == Result::Ok) {
            line.result = Result::Unknown;
            line.detail = Some("the trace is incomplete".to_owned());
        }
    }
    lines.sort_small_by_key(|line| std::cmp::Reverse(line.result));
    let result = lines.iter().map(|line| line.result).max().unwrap_or(Result::Ok);
    Checked { schema: "startrace-check/1", result, incomplete, lines }
}

fn is_exe(digest: &Digest, row: &Row, pattern: &str) -> bool {
    let Some(exe) = digest.fact(row).and_then(|facts| facts.exe) else { return false };
    let exe = digest.text(exe);
    let base = exe.rsplit('/').next().unwrap_or(exe);
    glob(pattern, if pattern.contains('/') { exe } else { base })
}

#[derive(Clone, Copy)]
struct Scope<'d> {
    digest: &'d Digest,
    name: &'d str,
    rows: &'d [&'d Row],
    runs: u64,
    statistic: Statistic,
}

impl Scope<'_> {
    fn line(&self, what: &str, actual: Option<u64>, limit: u64, time: bool) -> Line {
        let result = match actual {
            Some(actual) if actual > limit => Result::Over,
            Some(_) => Result::Ok,
            None => Result::Unknown,
        };
        Line {
            result,
            scope: self.name.to_owned(),
            what: what.to_owned(),
            actual,
            limit: Some(limit),
            time,
            detail: None,
        }
    }

    /// The statistic of what is measured in each start, the start that has most of it, and of how many.
    fn value(&self, of: &dyn Fn(&Row) -> Option<u64>) -> Option<(u64, &Row, usize)> {
        let measured = self.rows.iter().filter(|row| row.is_measured(self.digest));
        let values: Vec<(u64, &Row)> = measured.filter_map(|row| Some((of(row)?, *row))).collect();
        let (_, worst) = values.iter().max_by_key(|(value, _)| *value)?;
        let mut sorted: Vec<u64> = values.iter().map(|(value, _)| *value).collect();
        sorted.sort_unstable();
        let summary = Summary::of(&sorted)?;
        Some((self.statistic.of(&summary), worst, values.len()))
    }

    fn times(&self, limits: &Limits, out: &mut Vec<Line>) {
        let one = |what: String, limit: u64, of: &dyn Fn(&Row) -> Option<u64>| {
            let value = self.value(of);
            let mut line = self.line(&what, value.map(|(value, ..)| value), limit, true);
            line.detail = match value {
                Some((_, worst, n)) if line.result == Result::Over => {
                    let of = self.statistic.of_several(n).map(|of| format!(" ({of})")).unwrap_or_default();
                    Some(format!("{}{of}", self.digest.label(worst)))
                }
                Some((.., n)) => self.statistic.of_several(n),
                None if self.rows.is_empty() => Some("the trace has no such start".to_owned()),
                None => Some("that was not observed in any start".to_owned()),
            };
            line
        };
        if let Some(limit) = limits.ready {
            out.push(one("ready".to_owned(), limit, &|row| Some(row.duration)));
            self.never_ready(limit, out);
        }
        for (kind, called, parts) in
            [(PartKind::Phase, "phases", &limits.phases), (PartKind::State, "states", &limits.states)]
        {
            for (name, limit) in parts {
                let line = one(format!("{called}.{name}"), *limit, &|row| {
                    let mut parts = self.digest.parts(row).iter().filter(|(of, ..)| *of == kind).peekable();
                    parts.peek()?;
                    let of_name = parts.filter(|(_, part, _)| self.digest.text(*part) == name);
                    Some(of_name.fold(0, |sum, (_, _, ns)| sum.saturating_add(*ns)))
                });
                out.push(line);
            }
        }
    }

    /// What never became ready took longer than any budget.
    fn never_ready(&self, limit: u64, out: &mut [Line]) {
        let endless: Vec<&&Row> =
            self.rows.iter().filter(|row| !row.partial && row.ready == self.digest.timeout).collect();
        // It may have been the recording that was too short.
        let over = endless.iter().filter(|row| row.duration > limit).count();
        let Some(line) = out.last_mut().filter(|_| !endless.is_empty()) else { return };
        if over > 0 {
            line.result = Result::Over;
            line.detail = Some(format!("{over} never became ready"));
        } else if line.result == Result::Ok {
            line.result = Result::Unknown;
            line.detail = Some(format!("{} had not finished when the recording ended", endless.len()));
        }
    }

    fn counts(&self, limits: &Limits, out: &mut Vec<Line>) {
        if let Some(limit) = limits.processes {
            let mut of_run: BTreeMap<u32, u64> = BTreeMap::new();
            for row in self.rows.iter().filter(|row| row.first) {
                *of_run.entry(row.run).or_default() += 1;
            }
            let mut counts: Vec<u64> = of_run.into_values().collect();
            // Runs without any.
            counts.resize(counts.len().max(usize::try_from(self.runs).unwrap_or(0)), 0);
            counts.sort_unstable();
            let count = Summary::of(&counts).map_or(0, |summary| self.statistic.of(&summary));
            out.push(self.line("processes", Some(count), limit, false));
        }
        if let Some(limit) = limits.failed_execs {
            let sum = self.rows.iter().map(|row| u64::from(row.failed_execs)).sum::<u64>();
            out.push(self.line("failed-execs", Some(sum / self.runs.max(1)), limit, false));
        }
        if let Some(limit) = limits.failed {
            let failed: Vec<&Row> = self.rows.iter().copied().filter(|row| row.failed).collect();
            let mut line = self.line("failed", Some(failed.len() as u64), limit, false);
            line.detail = (line.result == Result::Over).then(|| self.named(&failed));
            out.push(line);
        }
        for pattern in &limits.forbid_methods {
            let found: Vec<&Row> =
                self.rows.iter().copied().filter(|row| glob(pattern, self.digest.text(row.method))).collect();
            out.push(self.forbidden(&format!("method {pattern}"), &found));
        }
        for pattern in &limits.forbid_findings {
            out.push(self.forbidden_finding(pattern));
        }
    }

    fn forbidden(&self, what: &str, found: &[&Row]) -> Line {
        let mut line = self.line(what, Some(found.len() as u64), 0, false);
        line.detail = (!found.is_empty()).then(|| self.named(found));
        line
    }

    fn forbidden_finding(&self, pattern: &str) -> Line {
        let with = |row: &Row| self.digest.found(row).any(|name| glob(pattern, name));
        let found: Vec<&Row> = self.rows.iter().copied().filter(|row| with(row)).collect();
        let mut line = self.forbidden(&format!("finding {pattern}"), &found);
        // The joined ones, of which some stand nowhere else, are written at the end.
        let mut without = self.digest.files.iter().filter(|file| !file.has_findings);
        let cut = without.find_map(|file| file.cut_off.as_deref());
        if !self.digest.has_findings || (found.is_empty() && cut.is_some()) {
            line.result = Result::Unknown;
            line.actual = None;
            line.detail = Some(match cut {
                Some(why) => format!("the trace is cut off before its findings: {why}"),
                None => "the trace has no findings: record it with a newer startrace".to_owned(),
            });
        }
        line
    }

    /// The first few, by their commands.
    fn named(&self, rows: &[&Row]) -> String {
        let mut names: Vec<&str> = Vec::new();
        for row in rows {
            let label = self.digest.label(row);
            if !names.contains(&label) {
                names.push(label);
            }
            if names.len() > MAX_NAMED {
                break;
            }
        }
        let more = names.len() > MAX_NAMED;
        names.truncate(MAX_NAMED);
        format!("{}{}", names.join(", "), if more { " and others" } else { "" })
    }
}

impl Statistic {
    /// Which of several numbers that is: `stat` shows others beside it.
    fn of_several(self, n: usize) -> Option<String> {
        let what = match self {
            Self::Max => "largest",
            Self::P90 => "p90",
            Self::Median => "median",
        };
        (n > 1).then(|| format!("{what} of {n}"))
    }

    fn of(self, summary: &Summary) -> u64 {
        match self {
            Self::Max => summary.max_ns,
            Self::P90 => summary.p90_ns,
            Self::Median => summary.median_ns,
        }
    }
}

/// By how much it is over, in percent; `None` of nothing.
pub(crate) fn over_by(actual: u64, limit: u64) -> Option<f64> {
    (limit > 0).then(|| (actual as f64 / limit as f64 - 1.0) * 100.0)
}
