//! The numbers of a comparison, pair by pair.

mod changes;
mod notes;

use super::digest::{Digest, PartKind, Row, Side};
use super::gate::{self, Gate, Limit};
use super::pairs::{Group, MatchedBy, Pairing};
use super::stats::{self, Shift, Summary};
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::timeline::select::glob;
use crate::words::intern::Sym;
use notes::{side_note, warnings};
use serde::Serialize;
use std::collections::BTreeMap;

/// Runs on each side from which on runs are compared and not starts: as few can tell a difference.
const ENOUGH_RUNS: usize = 4;
/// A change below this share of the median is none, however sure it is.
const NEGLIGIBLE: f64 = 0.01;
/// A change above this share that may be chance is not called "the same".
const NOTABLE: f64 = 0.05;
/// Values of one fact that are told.
const MAX_VALUES: usize = 4;
/// Names of states, or values of a fact, that one pair can have.
const MAX_NAMES: usize = 256;

/// How to compare.
#[derive(Debug, Clone)]
pub struct Options {
    /// How often a difference may be seen where there is none.
    pub alpha: f64,
    /// Only executables (path or base name) that this glob matches; empty: all.
    pub only: Vec<String>,
    /// From when on it is a failure.
    pub limit: Option<Limit>,
}

impl Default for Options {
    fn default() -> Self {
        Self { alpha: 0.05, only: Vec::new(), limit: None }
    }
}

/// What was compared, and what came of it.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// Always `startrace-diff/1`.
    pub schema: &'static str,
    /// What is compared with.
    pub base: SideNote,
    /// What is compared.
    pub new: SideNote,
    /// How often a difference may be seen where there is none.
    pub alpha: f64,
    /// What makes the comparison less than it seems.
    pub warnings: Vec<String>,
    /// Kinds of start that both sides have; what contributes most to the difference first.
    pub pairs: Vec<Pair>,
    /// Kinds of start that only the new side has, likewise.
    pub appeared: Vec<Kind>,
    /// Kinds of start that only the base has.
    pub vanished: Vec<Kind>,
    /// `--fail-if-slower`.
    pub gate: Option<Gate>,
    /// Which starts are of which kind.
    #[serde(skip)]
    pub(crate) pairing: Pairing,
}

/// One side.
#[derive(Debug, Serialize)]
pub struct SideNote {
    /// Traces, or runs of `stat`.
    pub runs: u64,
    /// Starts in them.
    pub starts: u64,
    /// Nothing of them was lost or cut off.
    pub complete: bool,
    /// The traces.
    pub traces: Vec<TraceNote>,
}

/// One trace.
#[derive(Debug, Serialize)]
pub struct TraceNote {
    /// The file.
    pub name: String,
    /// Starts in it.
    pub starts: u64,
    /// Nothing was lost or cut off.
    pub complete: bool,
    /// The machine.
    pub host: String,
    /// Its kernel.
    pub kernel: String,
}

/// A kind of start on one side.
#[derive(Debug, Clone, Serialize)]
pub struct Kind {
    /// A short command.
    pub label: String,
    /// Path of the executable.
    pub exe: Option<String>,
    /// How it is started.
    pub method: String,
    /// What starts it, where the trace has that.
    pub parent: Option<String>,
    /// Nobody that the trace knows starts it.
    pub root: bool,
    /// How many, and how long they take.
    pub tally: Tally,
}

/// Numbers of one kind of start on one side.
#[derive(Debug, Clone, Serialize)]
pub struct Tally {
    /// All of them.
    pub starts: u64,
    /// In the mean of all runs.
    pub per_run: f64,
    /// Those without an end, whose duration is not known.
    pub unfinished: u64,
    /// Those that had begun before the recording.
    pub partial: u64,
    /// Those that ended with another status than 0.
    pub failed: u64,
    /// Durations of the others (by run: the median in each).
    pub duration: Option<Summary>,
    /// Their share of the critical paths of the roots, in the mean of all runs; `null` where the traces
    /// have no paths.
    pub on_path_ns: Option<u64>,
}

/// What is one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A run: the median of its starts of this kind. Starts within one run resemble each other, so they
    /// say less than they seem to.
    Run,
    /// A start, as there are too few runs.
    Start,
}

/// What a pair amounts to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Slower, and that is no chance.
    Slower,
    /// Faster, and that is no chance.
    Faster,
    /// No difference that matters was seen.
    Same,
    /// 5 % or more apart, which may be chance.
    Unclear,
    /// So few samples could not tell any difference.
    TooFew,
}

/// A kind of start that both sides have.
#[derive(Debug, Serialize)]
pub struct Pair {
    /// In the base.
    pub base: Kind,
    /// In the new traces.
    pub new: Kind,
    /// Why they are taken for the same.
    pub matched_by: MatchedBy,
    /// What is one sample.
    pub unit: Unit,
    /// By how much it has become slower.
    pub shift: Option<Shift>,
    /// The same in percent of the base's median.
    pub shift_percent: Option<f64>,
    /// Of the Mann-Whitney test.
    pub p: Option<f64>,
    /// The same with regard to how many were tested: by Holm for roots, by Benjamini and Hochberg for the
    /// others.
    pub p_adjusted: Option<f64>,
    /// What it amounts to.
    pub verdict: Verdict,
    /// What it adds to a run: to the critical paths of the roots, or else to the sum of durations.
    pub contribution_ns: i64,
    /// What else is different.
    pub changes: Vec<Change>,
    /// By phase, the largest difference first.
    pub phases: Vec<Part>,
    /// By state of the critical path, likewise.
    pub path: Vec<Part>,
    /// Its kinds of start, in the pairing.
    #[serde(skip)]
    pub(crate) groups: (usize, usize),
}

/// A fact that is different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Which.
    pub what: &'static str,
    /// In the base.
    pub base: String,
    /// In the new traces.
    pub new: String,
}

/// One phase, or one state.
#[derive(Debug, Clone, Serialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its median in the base.
    pub base_ns: u64,
    /// In the new traces.
    pub new_ns: u64,
    /// By how much it has become longer.
    pub shift_ns: i64,
    /// Of the Mann-Whitney test, by itself.
    pub p: f64,
}

/// Compares two sides of what was read.
pub fn compare(digest: &Digest, base: Side, new: Side, options: &Options) -> Comparison {
    let pairing = Pairing::of(digest, base, new);
    let work = Work { digest, on_path: on_path(digest, &pairing), pairing };
    let mut pairs = Vec::new();
    let (mut appeared, mut vanished) = (Vec::new(), Vec::new());
    let mut partner: HashMap<usize, usize> = HashMap::default();
    for couple in &work.pairing.couples {
        if let (Some(old), Some(new)) = (couple.base, couple.new) {
            partner.insert(old, new);
        }
    }
    for couple in &work.pairing.couples {
        if !couple.base.or(couple.new).is_some_and(|group| work.is_wanted(group, &options.only)) {
            continue;
        }
        match (couple.base, couple.new) {
            (Some(old), Some(new)) => pairs.extend(work.pair(old, new, couple.by, &partner, options.alpha)),
            (Some(old), None) => vanished.extend(work.kind(old, Unit::Start)),
            (None, Some(new)) => appeared.extend(work.kind(new, Unit::Start)),
            (None, None) => {}
        }
    }
    judge(&mut pairs, options.alpha);
    // What is said of the first is said of the whole: the order is the same whatever the order of reading.
    pairs.sort_small_by(|a, b| {
        let by = |pair: &Pair| (pair.contribution_ns.unsigned_abs(), pair.shift.map(|s| s.estimate_ns.abs()));
        by(b).cmp(&by(a)).then_with(|| a.new.label.cmp(&b.new.label))
    });
    for list in [&mut appeared, &mut vanished] {
        list.sort_small_by(|a: &Kind, b: &Kind| total(b).cmp(&total(a)).then_with(|| a.label.cmp(&b.label)));
    }
    let gate = options.limit.map(|limit| gate::judge(&pairs, limit, options.alpha, !options.only.is_empty()));
    Comparison {
        schema: "startrace-diff/1",
        base: side_note(digest, base),
        new: side_note(digest, new),
        alpha: options.alpha,
        warnings: warnings(digest, base, new),
        pairs,
        appeared,
        vanished,
        gate,
        pairing: work.pairing,
    }
}

/// What a kind of start adds to a run.
fn total(kind: &Kind) -> u64 {
    let sum = kind.tally.duration.map_or(0.0, |d| d.median_ns as f64 * kind.tally.per_run) as u64;
    kind.tally.on_path_ns.unwrap_or(sum)
}

/// Corrects p-values for their number and says what they mean. The roots, which are what somebody asked
/// for, are a family of their own: what they start in thousands does not hide them.
fn judge(pairs: &mut [Pair], alpha: f64) {
    for roots in [true, false] {
        let family: Vec<usize> = (0..pairs.len())
            .filter(|&i| pairs.get(i).is_some_and(|p| p.is_root() == roots && p.p.is_some()))
            .collect();
        let p: Vec<f64> = family.iter().filter_map(|&i| pairs.get(i)?.p).collect();
        let adjusted = if roots { stats::holm(&p) } else { stats::benjamini_hochberg(&p) };
        for (&i, p) in family.iter().zip(adjusted) {
            if let Some(pair) = pairs.get_mut(i) {
                pair.p_adjusted = Some(p);
            }
        }
    }
    for pair in pairs {
        let percent = pair.shift_percent.unwrap_or(0.0) / 100.0;
        pair.verdict = match pair.p_adjusted {
            None => Verdict::TooFew,
            Some(p) if p <= alpha && percent >= NEGLIGIBLE => Verdict::Slower,
            Some(p) if p <= alpha && percent <= -NEGLIGIBLE => Verdict::Faster,
            Some(p) if p > alpha && percent.abs() >= NOTABLE => Verdict::Unclear,
            Some(_) => Verdict::Same,
        };
    }
}

impl Pair {
    /// The command itself, or what somebody outside of the trace has started.
    pub fn is_root(&self) -> bool {
        self.base.root && self.new.root
    }
}

/// How much of the roots' critical paths belongs to each group; and whether a side has paths.
struct Paths {
    by_group: Vec<u64>,
    sides: HashMap<Side, bool>,
}

fn on_path(digest: &Digest, pairing: &Pairing) -> Paths {
    let mut by_group = vec![0_u64; pairing.groups.len()];
    let mut sides: HashMap<Side, bool> = HashMap::default();
    for piece in &digest.on_path {
        let Some(root) = digest.rows.get(piece.root as usize) else { continue };
        // How long the path of an endless start is says nothing.
        if !root.is_measured(digest) {
            continue;
        }
        sides.insert(digest.side(root), true);
        let group = pairing.group_of.get(piece.whose as usize).copied().unwrap_or(u32::MAX);
        if let Some(sum) = by_group.get_mut(group as usize) {
            *sum = sum.saturating_add(piece.ns);
        }
    }
    Paths { by_group, sides }
}

struct Work<'d> {
    digest: &'d Digest,
    pairing: Pairing,
    on_path: Paths,
}

impl Work<'_> {
    fn group(&self, number: usize) -> Option<&Group> {
        self.pairing.groups.get(number)
    }

    fn rows<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = &'a Row> {
        group.rows.iter().filter_map(|row| self.digest.rows.get(*row as usize))
    }

    fn is_wanted(&self, group: usize, only: &[String]) -> bool {
        if only.is_empty() {
            return true;
        }
        let facts = self.pairing.row(self.digest, group).and_then(|row| self.digest.fact(row));
        let Some(exe) = facts.and_then(|facts| facts.exe).map(|exe| self.digest.text(exe)) else {
            return false;
        };
        let base = exe.rsplit('/').next().unwrap_or(exe);
        only.iter().any(|pattern| glob(pattern, if pattern.contains('/') { exe } else { base }))
    }

    /// Values of one measure in ascending order, one for each sample.
    fn samples(&self, group: &Group, unit: Unit, measure: &dyn Fn(&Row) -> Option<u64>) -> Vec<u64> {
        let rows = self.rows(group).filter(|row| row.is_measured(self.digest));
        let mut values: Vec<(u32, u64)> = rows.filter_map(|row| Some((row.run, measure(row)?))).collect();
        let mut out: Vec<u64> = match unit {
            Unit::Start => values.into_iter().map(|(_, value)| value).collect(),
            Unit::Run => {
                values.sort_small_by(Ord::cmp);
                let runs = values.chunk_by(|a, b| a.0 == b.0);
                runs.map(|run| stats::median(&mut run.iter().map(|(_, v)| *v).collect::<Vec<_>>())).collect()
            }
        };
        out.sort_unstable();
        out
    }

    fn kind(&self, number: usize, unit: Unit) -> Option<Kind> {
        let group = self.group(number)?;
        let row = self.pairing.row(self.digest, number)?;
        let exe = self.digest.fact(row).and_then(|facts| facts.exe);
        let parent = group.parent.and_then(|parent| self.pairing.row(self.digest, parent));
        Some(Kind {
            label: self.digest.label(row).to_owned(),
            exe: exe.map(|exe| self.digest.text(exe).to_owned()),
            method: self.digest.text(row.method).to_owned(),
            parent: parent.map(|row| self.digest.label(row).to_owned()),
            root: row.root,
            tally: self.tally(number, group, unit),
        })
    }

    fn tally(&self, number: usize, group: &Group, unit: Unit) -> Tally {
        let runs = self.digest.run_count(group.side).max(1);
        let count = |of: &dyn Fn(&Row) -> bool| self.rows(group).filter(|row| of(row)).count() as u64;
        let on_path = self.on_path.by_group.get(number).copied().unwrap_or(0);
        Tally {
            starts: group.rows.len() as u64,
            per_run: group.rows.len() as f64 / runs as f64,
            unfinished: count(&|row| !row.partial && row.ready == self.digest.timeout),
            partial: count(&|row| row.partial),
            failed: count(&|row| row.failed),
            duration: Summary::of(&self.samples(group, unit, &|row| Some(row.duration))),
            on_path_ns: self.on_path.sides.contains_key(&group.side).then_some(on_path / runs),
        }
    }

    /// How many runs have a start of this kind that can be compared.
    fn runs_of(&self, group: &Group) -> usize {
        let rows = self.rows(group).filter(|row| row.is_measured(self.digest));
        let mut runs: Vec<u64> = rows.map(|row| row.run.into()).collect();
        runs.sort_unstable();
        runs.dedup();
        runs.len()
    }

    fn pair(
        &self,
        old: usize,
        new: usize,
        by: MatchedBy,
        partner: &HashMap<usize, usize>,
        alpha: f64,
    ) -> Option<Pair> {
        let (of_base, of_new) = (self.group(old)?, self.group(new)?);
        let enough = |group| self.runs_of(group) >= ENOUGH_RUNS;
        let unit = if enough(of_base) && enough(of_new) { Unit::Run } else { Unit::Start };
        let sample = |group| self.samples(group, unit, &|row| Some(row.duration));
        let (a, b) = (sample(of_base), sample(of_new));
        let shift = stats::shift(&a, &b, alpha);
        let median = stats::quantile(&a, 1, 2);
        let tells = stats::smallest_p(a.len(), b.len()) <= alpha;
        let (base, after) = (self.kind(old, unit)?, self.kind(new, unit)?);
        let contribution_ns = signed(total(&after)) - signed(total(&base));
        let mut changes = self.changes(of_base, of_new);
        // That its parent is another one now is said of the parent.
        let moved = of_base.parent.and_then(|parent| partner.get(&parent).copied()) != of_new.parent;
        let known = |kind: &Kind| kind.parent.clone().unwrap_or_else(|| "nothing in the trace".to_owned());
        if moved && known(&base) != known(&after) {
            changes.push(Change { what: "started by", base: known(&base), new: known(&after) });
        }
        if base.label != after.label && by >= MatchedBy::AllButArguments {
            changes.push(Change { what: "arguments", base: base.label.clone(), new: after.label.clone() });
        }
        let per_run = |kind: &Kind| plain(kind.tally.per_run);
        if (base.tally.per_run - after.tally.per_run).abs() > f64::EPSILON {
            changes.push(Change { what: "starts in a run", base: per_run(&base), new: per_run(&after) });
        }
        Some(Pair {
            matched_by: by,
            unit,
            shift,
            shift_percent: shift.filter(|_| median > 0).map(|s| s.estimate_ns as f64 * 100.0 / median as f64),
            p: tells.then(|| stats::p_value(&a, &b)),
            p_adjusted: None,
            verdict: Verdict::TooFew,
            contribution_ns,
            changes,
            phases: self.parts(of_base, of_new, unit, PartKind::Phase),
            path: self.parts(of_base, of_new, unit, PartKind::State),
            base,
            new: after,
            groups: (old, new),
        })
    }

    fn parts(&self, base: &Group, new: &Group, unit: Unit, kind: PartKind) -> Vec<Part> {
        let of = |row: &Row, name: Sym| -> Option<u64> {
            let mut any = false;
            let mut sum = 0_u64;
            for (_, part, ns) in self.digest.parts(row).iter().filter(|(of, ..)| *of == kind) {
                any = true;
                sum = if *part == name { sum.saturating_add(*ns) } else { sum };
            }
            any.then_some(sum)
        };
        // By name and not by number: the order must not depend on the order of reading.
        let mut names: BTreeMap<&str, Sym> = BTreeMap::new();
        for row in self.rows(base).chain(self.rows(new)) {
            for (_, name, _) in self.digest.parts(row).iter().filter(|(of, ..)| *of == kind) {
                if names.len() < MAX_NAMES {
                    names.insert(self.digest.text(*name), *name);
                }
            }
        }
        let mut out: Vec<Part> = names
            .into_iter()
            .filter_map(|(text, name)| {
                let sample = |group| self.samples(group, unit, &|row| of(row, name));
                let (a, b) = (sample(base), sample(new));
                let shift = stats::shift(&a, &b, 1.0)?;
                Some(Part {
                    name: text.to_owned(),
                    base_ns: stats::quantile(&a, 1, 2),
                    new_ns: stats::quantile(&b, 1, 2),
                    shift_ns: shift.estimate_ns,
                    p: stats::p_value(&a, &b),
                })
            })
            .collect();
        out.sort_small_by_key(|part| std::cmp::Reverse(part.shift_ns.unsigned_abs()));
        out
    }
}

fn signed(ns: u64) -> i64 {
    ns.min(1 << 62).cast_signed()
}

/// A mean count in few digits.
pub(crate) fn plain(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}
