//! One finished start, as a finding looks at it.

use super::hit::{Claim, Hit, Of};
use super::known::Known;
use super::thresholds::{Thresholds, Time};
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::trace::parts::{self, OTHERS};
use crate::trace::schema::{Basis, Exec, Import, Segment, Start, Wait};
use crate::words::{duration, label};
use std::borrow::Cow;

/// Characters of a name, a path or a command within a sentence.
pub(super) const MAX_TEXT: usize = 60;
/// Segments that are looked at; a file can hold more than a recording makes.
const MAX_SEGMENTS: usize = 10_000;
/// Waits likewise.
pub(super) const MAX_WAITS: usize = 20_000;

/// The path with what was put together taken apart as far as that is known: by whether it is the start's own, and by its
/// state. How long each is, is measured; where, is not: its own come first.
pub(crate) fn unfolded(start: &Start) -> Cow<'_, [Segment]> {
    let path = &start.timeline.critical_path;
    let path = path.get(..MAX_SEGMENTS).unwrap_or(path);
    if path.iter().all(|segment| segment.folded.is_none()) {
        return Cow::Borrowed(path);
    }
    let mut out = Vec::with_capacity(path.len());
    for part in path.iter().flat_map(|segment| parts::of_segment(segment, &start.start_id)) {
        out.push(match part.is_alone() {
            true => part.segment.clone(),
            false => Segment {
                at_ns: part.at_ns,
                duration_ns: part.duration_ns,
                start_id: part.of.unwrap_or(OTHERS).to_owned(),
                tid: if part.of.is_some() { start.pid } else { 0 },
                state: part.state.to_owned(),
                folded: Some(Box::default()),
                ..Segment::default()
            },
        });
    }
    Cow::Owned(out)
}

/// A start.
pub(crate) struct Case<'a> {
    pub(crate) start: &'a Start,
    /// Its critical path; of what was put together, one segment for each state, as [`unfolded`].
    pub(crate) path: &'a [Segment],
    /// Hash of its id.
    pub(crate) key: u64,
    pub(crate) thresholds: &'a Thresholds,
    pub(crate) known: &'a Known,
    /// CPU quota of the recorder's cgroup, in CPUs.
    pub(crate) quota: Option<f64>,
    /// What findings before this one explain of the start, nanoseconds.
    pub(crate) explained_ns: u64,
}

/// A wait that the critical path leads into: whatever stands on the path meanwhile is there because of it.
pub(crate) struct OnPath<'a> {
    pub(crate) wait: &'a Wait,
    pub(crate) ns: u64,
    pub(crate) claims: Vec<Claim>,
    /// Another process that the path leads through meanwhile: the one with most of the time.
    pub(crate) through: Option<&'a str>,
}

/// A program of a start, for a sentence.
pub(crate) struct Who {
    /// Its short command; of one that executed another, whose arguments are not known any more, the name alone, or the
    /// script's.
    pub(crate) name: String,
    pub(crate) program: String,
    /// What runs it, of a script that executed another program.
    pub(crate) interpreter: Option<String>,
    /// It executed no other one.
    pub(crate) is_last: bool,
}

impl Who {
    /// Has it one of these names, or what runs it?
    pub(crate) fn is_one_of(&self, names: &[&str]) -> bool {
        names.contains(&self.program.as_str())
            || self.interpreter.as_deref().is_some_and(|interpreter| names.contains(&interpreter))
    }
}

/// Which of a start's programs it was at a time from its origin. What came before the first is that one's.
pub(crate) fn image_at(images: &[&Exec], at_ns: u64) -> usize {
    images.partition_point(|image| image.at_ns <= at_ns).saturating_sub(1)
}

impl<'a> Case<'a> {
    pub(crate) fn duration(&self) -> u64 {
        self.start.timeline.duration_ns
    }

    fn origin(&self) -> u64 {
        self.start.timeline.origin_boottime_ns
    }

    /// Two times of its own (from its origin) on the boottime clock.
    pub(crate) fn on_clock(&self, from_ns: u64, to_ns: u64) -> (u64, u64) {
        (self.origin().saturating_add(from_ns), self.origin().saturating_add(to_ns))
    }

    /// Its short command.
    pub(crate) fn name(&self) -> String {
        label::harmless(&label::of_start(self.start), MAX_TEXT)
    }

    /// The program's name alone: what equal starts have in common.
    pub(crate) fn program(&self) -> String {
        let exe = self.start.exe.as_deref().and_then(|exe| exe.rsplit('/').next());
        let exe = exe.filter(|name| !name.is_empty()).unwrap_or(&self.start.comm);
        label::harmless(exe, MAX_TEXT)
    }

    /// Did the recording see it begin and end?
    pub(crate) fn is_whole(&self) -> bool {
        !self.start.partial && self.start.timeline.ready.kind != "timeout"
    }

    pub(crate) fn path(&self) -> &'a [Segment] {
        self.path
    }

    /// What of the path is its own tasks' time.
    pub(crate) fn own(&self) -> impl Iterator<Item = &'a Segment> {
        let own = self.start.start_id.as_str();
        self.path().iter().filter(move |segment| segment.start_id == own)
    }

    /// Its own waits of some kinds on the path, each with its being woken: the time until it is on a CPU that nobody
    /// else has, which goes away with the wait. Where somebody has it, that is `cpu-starved`.
    pub(crate) fn own_waits(&self, states: &'static [&'static str]) -> impl Iterator<Item = &'a Segment> {
        let own = self.start.start_id.as_str();
        let is_wait =
            move |segment: &Segment| segment.start_id == own && states.contains(&segment.state.as_str());
        let path = self.path();
        path.iter().enumerate().filter_map(move |(at, segment)| {
            let before = at.checked_sub(1).and_then(|before| path.get(before));
            let after = |before: &Segment| {
                is_wait(before) && before.tid == segment.tid && segment.duration_ns <= before.duration_ns
            };
            // An older trace says it in words.
            let held = segment.holder.is_some() || segment.detail.is_some();
            let woken =
                segment.start_id == own && segment.state == "runnable" && !held && before.is_some_and(after);
            (is_wait(segment) || woken).then_some(segment)
        })
    }

    /// Its own time on the path in some states. The wait for a CPU after a wait is no part of it: that is the
    /// machine's, and what takes it is `cpu-starved`.
    pub(crate) fn own_in(&self, states: &'static [&'static str]) -> impl Iterator<Item = &'a Segment> {
        self.own().filter(move |segment| states.contains(&segment.state.as_str()))
    }

    pub(crate) fn claim(&self, segment: &Segment) -> Claim {
        let from = self.origin().saturating_add(segment.at_ns);
        let to = from.saturating_add(segment.duration_ns);
        if segment.folded.is_some() {
            return Claim { of: Of::Anybody, from, to };
        }
        let is_own = segment.start_id == self.start.start_id;
        let key = if is_own { self.key } else { self.known.key(&segment.start_id) };
        let of = Of::Task(key, segment.tid);
        Claim { of, from, to }
    }

    pub(crate) fn claims<'s>(&self, segments: impl Iterator<Item = &'s Segment>) -> (u64, Vec<Claim>) {
        let claims: Vec<Claim> = segments.map(|segment| self.claim(segment)).collect();
        (sum(&claims), claims)
    }

    /// Is its program run by that language runtime?
    pub(crate) fn runs(&self, runtime: &str) -> bool {
        let found = self.start.binary.as_ref().and_then(|binary| binary.runtime.as_deref());
        found.is_some_and(|found| found.split(' ').next() == Some(runtime))
    }

    /// How much of what is claimed is only the machine's state at that time: waits for a CPU and for storage.
    pub(crate) fn circumstances(&self, claims: &[Claim]) -> u64 {
        let pieces = claims.iter().map(|claim| (claim.from, claim.to)).collect();
        let states = ["runnable", "disk", "page_fault"];
        let origin = self.origin();
        let waits = self.path().iter().filter(|segment| states.contains(&segment.state.as_str()));
        let waits = waits.map(|segment| {
            let from = origin.saturating_add(segment.at_ns);
            (from, from.saturating_add(segment.duration_ns))
        });
        super::whole::common(&super::whole::union(pieces), &super::whole::union(waits.collect()))
    }

    /// The programs that it went through.
    pub(crate) fn images(&self) -> Vec<&'a Exec> {
        images(self.start)
    }

    /// What ran for most of that time: where a start went through several programs, the one that it was then.
    pub(crate) fn who(&self, claims: &[Claim]) -> Who {
        let images = self.images();
        let mut spent = vec![0u64; images.len()];
        for claim in claims {
            let at = image_at(&images, claim.from.saturating_sub(self.origin()));
            if let Some(ns) = spent.get_mut(at) {
                *ns = ns.saturating_add(claim.to.saturating_sub(claim.from));
            }
        }
        let most = spent.iter().copied().enumerate().max_by_key(|(at, ns)| (*ns, *at));
        self.who_was(&images, most.filter(|(_, ns)| *ns > 0).map(|(at, _)| at))
    }

    /// One of its programs, the last one if none is given.
    pub(crate) fn who_was(&self, images: &[&Exec], at: Option<usize>) -> Who {
        match at.filter(|at| at.saturating_add(1) < images.len()) {
            None => Who { name: self.name(), program: self.program(), interpreter: None, is_last: true },
            Some(at) => {
                let (name, interpreter) = program_at(images, at);
                Who { name: name.clone(), program: name, interpreter, is_last: false }
            }
        }
    }

    /// The path between two times (from the start's origin), whoever's it is.
    pub(crate) fn between(&self, from_ns: u64, to_ns: u64) -> (u64, Vec<Claim>) {
        let (from, to) = self.on_clock(from_ns, to_ns);
        if self.path().is_empty() && from < to {
            // Without a path, its main thread was there for all that is known.
            let of = Of::Task(self.key, self.start.pid);
            return (to - from, vec![Claim { of, from, to }]);
        }
        let claims = self.between_where(from_ns, to_ns, |_| true);
        (sum(&claims), claims)
    }

    /// Some of the path between two times.
    pub(crate) fn between_where(
        &self,
        from_ns: u64,
        to_ns: u64,
        wanted: impl Fn(&Segment) -> bool,
    ) -> Vec<Claim> {
        let (from, to) = self.on_clock(from_ns, to_ns);
        let first = self
            .path()
            .partition_point(|segment| segment.at_ns.saturating_add(segment.duration_ns) <= from_ns);
        let rest = self.path().get(first..).unwrap_or_default();
        let within = rest.iter().take_while(|segment| segment.at_ns < to_ns).filter(|it| wanted(it));
        let cut = |claim: Claim| Claim { from: claim.from.max(from), to: claim.to.min(to), ..claim };
        within.map(|segment| cut(self.claim(segment))).filter(|claim| claim.from < claim.to).collect()
    }

    /// The phases of a name: when, and how long.
    pub(crate) fn phases(&self, name: &'static str) -> impl Iterator<Item = (u64, u64)> {
        let phases = self.start.timeline.phases.iter().take(MAX_SEGMENTS);
        phases.filter(move |phase| phase.name == name).map(|phase| (phase.at_ns, phase.duration_ns))
    }

    /// The path within all phases of a name.
    pub(crate) fn in_phases(&self, name: &'static str) -> (u64, Vec<Claim>) {
        let (mut ns, mut claims) = (0u64, Vec::new());
        for (at, length) in self.phases(name) {
            let (part, of) = self.between(at, at.saturating_add(length));
            ns = ns.saturating_add(part);
            claims.extend(of);
        }
        (ns, claims)
    }

    /// The same without its waits for a CPU, which are the machine's; and how long those are.
    pub(crate) fn in_phases_but_for_cpu(&self, name: &'static str) -> (u64, Vec<Claim>, u64) {
        let (all, claims) = self.in_phases(name);
        if self.path().is_empty() {
            return (all, claims, 0);
        }
        let kept = |segment: &&Segment| !matches!(segment.state.as_str(), "runnable" | "throttled");
        let mut busy = Vec::new();
        for (at, length) in self.phases(name) {
            let (from, to) = self.on_clock(at, at.saturating_add(length));
            let claims = self.path().iter().filter(kept).map(|segment| self.claim(segment));
            let cut = |claim: Claim| Claim { from: claim.from.max(from), to: claim.to.min(to), ..claim };
            busy.extend(claims.map(cut).filter(|claim| claim.from < claim.to));
        }
        let ns = sum(&busy);
        (ns, busy, all.saturating_sub(ns))
    }

    /// The waits that the path leads into, with what it did meanwhile.
    pub(crate) fn waits(&self) -> impl Iterator<Item = OnPath<'a>> {
        self.waits_where(|_| true)
    }

    /// The same of some waits: whether the path leads into one is dear to know.
    pub(crate) fn waits_where(&self, wanted: impl Fn(&Wait) -> bool) -> impl Iterator<Item = OnPath<'a>> {
        let own = self.start.start_id.as_str();
        let end = self.duration();
        self.start.timeline.waits.iter().take(MAX_WAITS).filter(move |wait| wanted(wait)).filter_map(
            move |wait| {
                let until = wait.at_ns.saturating_add(wait.duration_ns);
                let path = self.path();
                let at = path.partition_point(|segment| {
                    segment.at_ns.saturating_add(segment.duration_ns) <= wait.at_ns
                });
                let first = path.get(at)?;
                // The path is with this thread when the wait is over, or it is over with the start.
                let after = path.partition_point(|segment| segment.at_ns < until);
                let returns = match path.get(after) {
                    Some(next) => next.start_id == own && next.tid == wait.tid,
                    None => until >= end && first.at_ns >= wait.at_ns,
                };
                // A thread that waits while the path is elsewhere returns to it, too: but not from there.
                let alone = path.get(at..after)?.iter().all(|segment| {
                    (segment.start_id != own || segment.tid != wait.tid) || segment.state == wait.kind
                });
                if !returns || !alone {
                    return None;
                }
                // The path may have come into its midst, from another thread that began to wait for this one: what was on
                // the path before is that one's matter.
                let within = path.get(at..after)?;
                let others = |segment: &&Segment| segment.start_id == own && segment.tid != wait.tid;
                let before = within.iter().rfind(others);
                let from =
                    before.map_or(wait.at_ns, |it| it.at_ns.saturating_add(it.duration_ns).max(wait.at_ns));
                let within =
                    within.iter().filter(|segment| segment.at_ns.saturating_add(segment.duration_ns) > from);
                // Until it is woken: for how long it then waits for a CPU is the machine's doing.
                let (ns, claims) = self.between(from, until.min(end));
                let mut others: Vec<(&str, u64)> = Vec::new();
                let named = |segment: &&Segment| segment.start_id != own && segment.start_id != OTHERS;
                for segment in within.filter(named) {
                    let full = others.len() >= 64;
                    match others.iter_mut().find(|(id, _)| *id == segment.start_id) {
                        Some((_, ns)) => *ns = ns.saturating_add(segment.duration_ns),
                        None if !full => others.push((&segment.start_id, segment.duration_ns)),
                        None => {}
                    }
                }
                let longest = others.iter().max_by_key(|(_, ns)| *ns).copied();
                // Where no one has most of the wait, it is the child's with all that it waits for itself.
                let pid = |id: &str| id.split('@').next().and_then(|pid| pid.parse().ok());
                let is_child = |id: &str| pid(id).is_some_and(|pid| self.known.is_child(own, pid));
                let child = others.iter().filter(|(id, _)| is_child(id)).max_by_key(|(_, ns)| *ns).copied();
                let is_most = longest.is_some_and(|(_, most)| most.saturating_mul(2) >= ns);
                let through = child.filter(|_| !is_most).or(longest).map(|(id, _)| id);
                (ns > 0).then_some(OnPath { wait, ns, claims, through })
            },
        )
    }

    /// Is a cost worth a word: by the general thresholds and one of its own?
    pub(crate) fn is_worth(&self, ns: u64, own: Time) -> bool {
        ns >= own.0 && ns >= self.thresholds.all.min_cost.0 && self.share(ns) >= self.thresholds.all.min_share
    }

    pub(crate) fn share(&self, ns: u64) -> f64 {
        ns as f64 / self.duration().max(1) as f64
    }

    /// Was that process there before this start began? Its birth is in its id.
    pub(crate) fn is_older(&self, start_id: &str) -> bool {
        let birth = start_id.split('@').nth(1).and_then(|rest| rest.split('/').next());
        birth.and_then(|birth| birth.parse::<u64>().ok()).is_some_and(|birth| birth < self.origin())
    }

    /// A process of the path, in words: `pid 42 (lsb_release -a)`.
    pub(crate) fn process(&self, start_id: &str) -> String {
        let pid = label::harmless(start_id.split('@').next().unwrap_or(""), 10);
        match self.command(start_id) {
            Some(name) => format!("pid {pid} ({name})"),
            None => format!("pid {pid}"),
        }
    }

    /// Its command alone: as it is known by now, or as one who waited for it was told.
    pub(crate) fn command(&self, start_id: &str) -> Option<String> {
        if let Some(name) = self.known.name(start_id) {
            return Some(label::harmless(name, MAX_TEXT));
        }
        let pid = format!("pid {} (", start_id.split('@').next()?);
        // What is said of a wait for a CPU is about those that had it.
        let waits = self.start.timeline.waits.iter().take(1_000).filter(|wait| wait.kind != "runnable");
        let details = waits.filter_map(|wait| wait.detail.as_deref());
        let mut named = details.filter_map(|detail| detail.split_once(pid.as_str()));
        named.next().map(|(_, name)| label::harmless(name.strip_suffix(')').unwrap_or(name), MAX_TEXT))
    }
}

/// The outermost imports of its main thread, after the interpreter's own: those of before are what every
/// program has.
pub(crate) fn outermost<'a>(case: &Case<'a>) -> impl Iterator<Item = &'a Import> {
    crate::words::imports::of_program(case.start)
        .filter(|import| import.depth == 0 && import.module.as_deref() != Some("site"))
}

/// The path within them.
pub(crate) fn importing(case: &Case<'_>) -> (u64, Vec<Claim>) {
    let (mut claims, mut until) = (Vec::new(), 0u64);
    for import in outermost(case) {
        let end = import.at_ns.saturating_add(import.duration_ns);
        if end > until {
            claims.extend(case.between(import.at_ns.max(until), end).1);
            until = end;
        }
    }
    (sum(&claims), claims)
}

/// Sums by a name, the largest first; at most `most` names are told apart.
pub(crate) fn by_name<T>(
    items: impl Iterator<Item = (String, u64, T)>,
    most: usize,
) -> Vec<(String, u64, Vec<T>)> {
    let mut sums: Vec<(String, u64, Vec<T>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::default();
    for (name, ns, item) in items {
        let full = sums.len() >= most;
        match places.get(&name).copied().and_then(|place| sums.get_mut(place)) {
            Some((_, sum, list)) => {
                *sum = sum.saturating_add(ns);
                list.push(item);
            }
            None if !full => {
                places.insert(name.clone(), sums.len());
                sums.push((name, ns, vec![item]));
            }
            None => {}
        }
    }
    sums.sort_small_by_key(|(_, ns, _)| std::cmp::Reverse(*ns));
    sums
}

pub(crate) fn sum(claims: &[Claim]) -> u64 {
    claims.iter().fold(0, |sum, claim| sum.saturating_add(claim.to.saturating_sub(claim.from)))
}

/// Text of a trace within a sentence.
pub(crate) fn quoted(text: &str) -> String {
    label::harmless(text, MAX_TEXT)
}

/// The programs that a start went through: its execs that worked.
pub(crate) fn images(start: &Start) -> Vec<&Exec> {
    start.execs.iter().filter(|exec| exec.error.is_none()).collect()
}

/// The name of one of a start's programs, or of the script that it runs, and what runs that.
pub(crate) fn program_at(images: &[&Exec], at: usize) -> (String, Option<String>) {
    let base = |path: &str| {
        let name = path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty());
        quoted(name.unwrap_or(path))
    };
    let of = |at: usize| {
        let image = images.get(at)?;
        let interpreter = image.interpreter.as_deref().map(base);
        // `sh FILE`: what was executed runs it.
        if let Some(script) = image.script.as_deref() {
            return Some((base(script), image.path.as_deref().map(base)));
        }
        Some((image.path.as_deref().map_or_else(|| "?".to_owned(), base), interpreter))
    };
    let (name, interpreter) = of(at).unwrap_or_else(|| ("?".to_owned(), None));
    // A script with `#!/usr/bin/env bash`: env found what runs it.
    match at.checked_sub(1).and_then(of) {
        Some((script, Some(env))) if env == "env" && interpreter.is_none() => (script, Some(name)),
        _ => (name, interpreter),
    }
}

/// A list of at most three, and how many more.
pub(crate) fn listed(items: &[String]) -> String {
    let shown = items.iter().take(3).cloned().collect::<Vec<_>>().join(", ");
    match items.len().saturating_sub(3) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// A hit with a measured price.
pub(crate) fn measured(hit: Hit, ns: u64, claims: Vec<Claim>) -> Hit {
    hit.costs(ns, Basis::Measured, claims)
}

/// `12.3 ms`.
pub(crate) fn time(ns: u64) -> String {
    duration(ns)
}
