//! Equal starts of one parent, in sums: what a finding about siblings reads.

use super::case::{self, Case};
use super::entries::{read_id, write_id};
use super::hit::{Claim, few, read_claims, write_claims};
use crate::dense::{Reader, Writer};
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::trace::schema::Exit;
use crate::words::intern::Sym;
use crate::words::label;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Families that are told apart.
const MAX_FAMILIES: usize = 20_000;
/// Members whose times are kept; the sums are of all.
const MAX_MEMBERS: usize = 1_000;
/// Members of all families together.
const MAX_ALL: usize = 500_000;

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) key: u64,
    pub(crate) origin: u64,
    pub(crate) finish: u64,
    /// Its imports on its own critical path.
    pub(crate) importing: Vec<Claim>,
    /// From its origin until the interpreter is ready for the program.
    pub(crate) entering: Vec<Claim>,
    /// What of its imports, and of both, is not the machine's state at that time: what one alone would take.
    pub(crate) importing_alone: u64,
    pub(crate) alone: u64,
    /// It ended with another status than 0, or by a signal.
    pub(crate) failed: bool,
}

/// Equal starts of one parent.
#[derive(Debug)]
pub(crate) struct Family {
    pub(crate) name: Sym,
    pub(crate) command: String,
    pub(crate) method: String,
    /// Of their arguments, every byte: equal ones may differ in numbers.
    argv: u64,
    pub(crate) same_argv: bool,
    /// All of them ended by themselves: nobody waited for them to be ready.
    pub(crate) all_exit: bool,
    pub(crate) parent_pid: u32,
    pub(crate) n: u64,
    pub(crate) sum: u64,
    pub(crate) longest: u64,
    pub(crate) running: u64,
    /// Imports of all, on their own critical paths, and the dearest modules of one.
    pub(crate) importing: u64,
    pub(crate) modules: Vec<String>,
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// In order of their origins.
    pub(crate) members: Vec<Member>,
    pub(crate) ids: Vec<String>,
}

impl Family {
    pub(crate) fn makespan(&self) -> u64 {
        self.last.saturating_sub(self.first)
    }

    /// How many are starting at the same time, on average.
    pub(crate) fn parallelism(&self) -> f64 {
        self.sum as f64 / self.makespan().max(1) as f64
    }
}

/// A family while its members come, which are written down: thousands of families may have a thousand each.
#[derive(Debug)]
struct Growing {
    family: Family,
    bytes: Writer,
    kept: usize,
    /// When the last one began.
    last_ns: u64,
}

impl Growing {
    fn of(family: Family) -> Self {
        Self { family, bytes: Writer::default(), kept: 0, last_ns: 0 }
    }

    fn keep(&mut self, id: &str, member: &Member) {
        let out = &mut self.bytes;
        out.after(self.last_ns, member.origin);
        self.last_ns = member.origin;
        write_id(out, id, member.origin);
        out.after(member.origin, member.finish);
        write_claims(out, member.key, member.origin, &member.importing);
        write_claims(out, member.key, member.origin, &member.entering);
        out.number(member.importing_alone);
        out.number(member.alone);
        out.number(u64::from(member.failed));
        self.kept += 1;
    }

    /// With its members, in order of their origins.
    fn grown(mut self, key: impl Fn(&str) -> u64) -> Family {
        let mut members = Vec::with_capacity(self.kept);
        let mut from = Reader(&self.bytes.0);
        let mut last_ns = 0;
        while let Some((id, member)) = member(&mut from, &mut last_ns, &key) {
            members.push((member, id));
        }
        members.sort_small_by_key(|(member, _)| (member.origin, member.finish));
        (self.family.members, self.family.ids) = members.into_iter().unzip();
        self.family
    }
}

fn member(from: &mut Reader<'_>, last_ns: &mut u64, key: impl Fn(&str) -> u64) -> Option<(String, Member)> {
    let origin = from.after(*last_ns)?;
    *last_ns = origin;
    let id = read_id(from, origin)?;
    let (key, finish) = (key(&id), from.after(origin)?);
    let (importing, entering) = (read_claims(from, key, origin)?, read_claims(from, key, origin)?);
    let (importing_alone, alone) = (from.number()?, from.number()?);
    let failed = from.number()? != 0;
    Some((id, Member { key, origin, finish, importing, entering, importing_alone, alone, failed }))
}

#[derive(Debug, Default)]
pub(super) struct Families {
    families: HashMap<(u64, u64), Growing>,
    members: usize,
}

impl Families {
    pub(super) fn add(&mut self, key: u64, name: Sym, case: &Case<'_>) {
        let (start, known) = (case.start, case.known);
        let timeline = &start.timeline;
        let exits = timeline.ready.kind == "exit";
        if start.partial || timeline.ready.kind == "timeout" || start.seq != 0 {
            return;
        }
        let Some(parent) = start.requested_by.as_ref().or(start.parent.as_ref()) else { return };
        let owner = match &parent.id {
            Some(id) => known.key(id),
            None => known.key(&parent.pid.to_string()),
        };
        let mut hasher = DefaultHasher::new();
        label::shape(start, &mut hasher);
        hasher.write(start.method.name.as_bytes());
        let place = (owner, hasher.finish());
        let mut hasher = DefaultHasher::new();
        start.argv.hash(&mut hasher);
        let argv = hasher.finish();
        if !self.families.contains_key(&place) && self.families.len() >= MAX_FAMILIES {
            return;
        }
        let origin = timeline.origin_boottime_ns;
        let finish = origin.saturating_add(timeline.duration_ns);
        let growing = self.families.entry(place).or_insert_with(|| {
            Growing::of(Family {
                name,
                command: label::harmless(&label::of_start(start), 60),
                method: label::harmless(&start.method.name, 60),
                argv,
                same_argv: true,
                all_exit: true,
                parent_pid: parent.pid,
                n: 0,
                sum: 0,
                longest: 0,
                running: 0,
                importing: 0,
                modules: Vec::new(),
                first: u64::MAX,
                last: 0,
                members: Vec::new(),
                ids: Vec::new(),
            })
        });
        let family = &mut growing.family;
        let running = case.own_in(&["running"]).map(|segment| segment.duration_ns);
        let running = running.fold(0, u64::saturating_add);
        let (importing_ns, mut importing) = case::importing(case);
        importing = few(importing);
        if importing_ns > 0 && family.modules.is_empty() {
            family.modules = modules(case);
        }
        family.importing = family.importing.saturating_add(importing_ns);
        family.same_argv &= family.argv == argv;
        family.all_exit &= exits;
        family.n += 1;
        family.sum = family.sum.saturating_add(timeline.duration_ns);
        family.longest = family.longest.max(timeline.duration_ns);
        family.running = family.running.saturating_add(running);
        family.first = family.first.min(origin);
        family.last = family.last.max(finish);
        if growing.kept < MAX_MEMBERS && self.members < MAX_ALL {
            self.members += 1;
            let alone = |claims: &[Claim]| case::sum(claims).saturating_sub(case.circumstances(claims));
            let entering = entering(case);
            let member = Member {
                key,
                origin,
                finish,
                importing_alone: alone(&importing),
                alone: alone(&importing).saturating_add(alone(&entering)),
                importing,
                entering,
                failed: exits && start.exit.as_ref().is_some_and(is_failure),
            };
            growing.keep(&start.start_id, &member);
        }
    }

    /// Those of two and more, in order of time, one after the other. `key` gives that of a start's id.
    pub(super) fn finish(self, key: impl Fn(&str) -> u64) -> impl Iterator<Item = Family> {
        let mut families: Vec<Growing> = self.families.into_values().filter(|it| it.family.n > 1).collect();
        families.sort_small_by_key(|it| (it.family.first, it.family.last));
        families.into_iter().map(move |growing| growing.grown(&key))
    }
}

/// Until the interpreter is ready for the program: what a copy of a process that is ready does not have.
fn entering(case: &Case<'_>) -> Vec<Claim> {
    let Some(init) = case.start.timeline.imports.as_ref().and_then(|imports| imports.init_ns) else {
        return Vec::new();
    };
    let app = crate::words::imports::app(case.start);
    few(app.map_or_else(Vec::new, |app| case.between(0, app.at_ns.saturating_add(init)).1))
}

fn is_failure(exit: &Exit) -> bool {
    exit.signal.is_some() || exit.code.is_some_and(|code| code != 0)
}

/// The dearest outermost imports, with their times.
fn modules(case: &Case<'_>) -> Vec<String> {
    let mut outermost: Vec<_> = case::outermost(case).collect();
    outermost.sort_small_by_key(|import| std::cmp::Reverse(import.duration_ns));
    let named = outermost.iter().take(3).map(|import| {
        format!(
            "{} {}",
            case::quoted(import.module.as_deref().unwrap_or("?")),
            case::time(import.duration_ns)
        )
    });
    named.collect()
}
