//! Reading a trace into a digest, one start at a time.

use super::{
    Digest, End, Failure, Link, MAX_FAILURES, MAX_SPANS, MAX_STATES, Missed, Note, ParentLink, Pick, Row,
    Seen, Span, Told,
};
use crate::diagnose::{Asked, Diagnoser, Thresholds};
use crate::hash::{HashMap, RandomState};
use crate::report::path::{MAX_STORIES, Story};
use crate::report::{link, phase};
use crate::sort::SortSmall;
use crate::timeline::groups::{Pool, is_pooled};
use crate::trace::read::{Detail, Ending, Glance, Item, Take};
use crate::trace::schema::{Exit, FailedFork, Group, ProcessRef, Start};
use crate::words::ORDERS;
use crate::words::intern::{Interner, Sym};
use crate::words::known::{Labels, Names};
use crate::words::label;
use std::hash::BuildHasher;
use std::ops::ControlFlow;

/// A trace that is being read.
pub(super) struct Reading<'a> {
    pub(super) builder: Builder,
    /// It says itself what was found.
    pub(super) known: bool,
    pub(super) also: &'a mut dyn FnMut(Seen<'_>),
}

impl Take for Reading<'_> {
    fn detail(&self) -> Option<Detail> {
        self.known.then_some(Detail::Outline)
    }

    fn glance(&mut self, start: &Start) -> Glance {
        let builder = &mut self.builder;
        let look = builder.look(start);
        // Its story needs all of it, as do some words about it.
        if builder.is_slowest(start, &look) || has_more_to_tell(start) {
            return Glance::Whole;
        }
        (self.also)(Seen::Start(start));
        builder.diagnoser.known_start(start);
        builder.row(start, look);
        Glance::Enough
    }

    fn item(&mut self, item: Item) -> ControlFlow<()> {
        match &item {
            Item::Start(start) => (self.also)(Seen::Start(start)),
            Item::Exit { start_id, exit } => (self.also)(Seen::Exit(start_id, exit)),
            Item::Method { start_id, method } => (self.also)(Seen::Method(start_id, method)),
            Item::Header(_) | Item::FailedFork(_) => {}
        }
        if self.known {
            self.builder.diagnoser.known_item(&item);
        } else {
            self.builder.diagnoser.item(&item);
        }
        self.builder.add(item);
        ControlFlow::Continue(())
    }
}

/// A start as a reader sees it.
#[derive(Clone, Copy)]
struct Look {
    picked: bool,
    shape: u64,
    label: Sym,
    method: Sym,
    ready: Sym,
    /// What the slowest is remembered of.
    kind: (Sym, u64),
}

pub(super) struct Builder {
    pub(super) pick: Option<(Pick, Missed)>,
    /// Rows that were asked for.
    picked: Vec<bool>,
    notes: HashMap<u32, Note>,
    pub(super) diagnoser: Diagnoser,
    pub(super) anew: bool,
    rows: Vec<Row>,
    spans: Vec<Span>,
    links: Vec<Link>,
    texts: Interner,
    labels: Labels,
    names: Names,
    exits: Vec<(u64, End, bool)>,
    /// Starts that ended by a signal that asks for it, and the process that sent it.
    asked: Vec<(u64, u64)>,
    methods: Vec<(u64, Sym)>,
    /// Where only some starts are asked for, those of pools: the row, who asked for it, by what method.
    pooled: Vec<(u32, u64, Sym)>,
    failures: Vec<Failure>,
    failure_of: HashMap<(u64, Sym), usize>,
    failed_forks: u64,
    /// By kind: how long, which row, and where its time went.
    stories: HashMap<(Sym, u64), (u64, u32, Option<Story>)>,
    state: RandomState,
    exit_kind: Sym,
    timeout_kind: Sym,
}

impl Builder {
    pub(super) fn new() -> Self {
        let mut texts = Interner::default();
        Self {
            pick: None,
            picked: Vec::new(),
            notes: HashMap::default(),
            diagnoser: Diagnoser::new(Thresholds::default()),
            anew: false,
            exit_kind: texts.add("exit"),
            timeout_kind: texts.add("timeout"),
            rows: Vec::new(),
            spans: Vec::new(),
            links: Vec::new(),
            texts,
            labels: Labels::default(),
            names: Names::default(),
            exits: Vec::new(),
            asked: Vec::new(),
            methods: Vec::new(),
            pooled: Vec::new(),
            failures: Vec::new(),
            failure_of: HashMap::default(),
            failed_forks: 0,
            stories: HashMap::default(),
            state: RandomState::default(),
        }
    }

    fn add(&mut self, item: Item) {
        match item {
            Item::Header(_) => {}
            Item::Start(start) => self.start(&start),
            Item::Exit { start_id, exit } => {
                let end = self.end(&exit);
                let start = self.state.hash_one(&*start_id);
                self.exits.push((start, end, exit.core));
                self.note_sender(start, &exit);
            }
            Item::Method { start_id, method } => {
                let name = self.name(&method.name);
                self.methods.push((self.state.hash_one(&*start_id), name));
            }
            Item::FailedFork(failed) => self.failed_fork(&failed),
        }
    }

    /// A short name out of the file.
    fn name(&mut self, name: &str) -> Sym {
        self.names.of(name, 60, &mut self.texts, &self.state)
    }

    fn end(&mut self, exit: &Exit) -> End {
        match (&exit.signal, exit.code) {
            (Some(signal), _) => End::Signal(self.name(signal)),
            (None, Some(code)) => End::Code(code),
            (None, None) => End::None,
        }
    }

    fn note_sender(&mut self, start: u64, exit: &Exit) {
        let by = exit.killed_by.as_ref().and_then(|by| by.id.as_deref());
        if let (Some(signal), Some(by)) = (&exit.signal, by)
            && ORDERS.contains(&signal.as_str())
        {
            self.asked.push((start, self.state.hash_one(by)));
        }
    }

    /// Whom one of those above it asked to end has done as it was told: a pool ends its workers so.
    fn tell_the_told(&mut self, by_start: &link::Index) {
        for (key, sender) in &self.asked {
            let Some(at) = by_start.last(*key) else { continue };
            let mut above = Some(at);
            let kin = std::iter::from_fn(|| {
                let link = above.and_then(|at| self.links.get(at as usize))?;
                above = above.and_then(|at| self.rows.get(at as usize)).and_then(|row| row.parent);
                link.parent.as_ref().map(|parent| parent.process)
            });
            // As high as a tree may be that comes from a file.
            let is_kin = kin.take(64).any(|process| process == *sender);
            if let Some(row) = self.rows.get_mut(at as usize).filter(|_| is_kin)
                && let End::Signal(signal) = row.end
            {
                row.end = End::Told(signal);
            }
        }
    }

    pub(super) fn start(&mut self, start: &Start) {
        let look = self.look(start);
        let place = self.rows.len() as u32;
        if self.row(start, look) && self.is_slowest(start, &look) {
            let story = (start.timeline.duration_ns, place, Story::of(start));
            if let Some((_, old, _)) = self.stories.insert(look.kind, story) {
                self.notes.remove(&old);
            }
            self.notes.insert(place, note(start));
        }
    }

    /// A start that is read whole after a glance is looked at twice, so nothing is counted here.
    fn look(&mut self, start: &Start) -> Look {
        let method = self.name(&start.method.name);
        let (label, shape) = self.labels.of(start, &mut self.texts, &self.state);
        Look {
            picked: self.pick.as_ref().is_none_or(|(pick, _)| pick.takes(start)),
            shape,
            label,
            method,
            ready: self.name(&start.timeline.ready.kind),
            // Of what was asked for by name, each one.
            kind: (method, if self.asks_for_starts() { self.rows.len() as u64 } else { shape }),
        }
    }

    /// Starts were asked for by name: with them what is below them.
    fn asks_for_starts(&self) -> bool {
        self.pick.as_ref().is_some_and(|(pick, _)| !pick.starts.is_empty())
    }

    /// Is it the slowest of its kind so far?
    fn is_slowest(&self, start: &Start, look: &Look) -> bool {
        let duration = start.timeline.duration_ns;
        let slowest = self.stories.get(&look.kind).map(|(duration, ..)| *duration);
        // As the report does, the first of several that take as long.
        (look.picked || self.asks_for_starts())
            && !start.partial
            && look.ready != self.timeout_kind
            && slowest.map_or(self.stories.len() < MAX_STORIES, |slowest| duration > slowest)
    }

    /// A row for a start; `false` where there is no room for it.
    fn row(&mut self, start: &Start, look: Look) -> bool {
        // Rows are numbered in 32 bits; four billion of them do not fit into memory anyway.
        if self.rows.len() >= u32::MAX as usize {
            return false;
        }
        self.picked.push(look.picked);
        if let Some((_, missed)) = &mut self.pick {
            missed.note(start);
        }
        let owner = start.requested_by.as_ref().or(start.parent.as_ref()).and_then(|of| of.id.as_deref());
        if self.pick.is_some()
            && !start.partial
            && start.method.pattern.as_deref().is_some_and(is_pooled)
            && let Some(owner) = owner
        {
            self.pooled.push((self.rows.len() as u32, self.state.hash_one(owner), look.method));
        }
        let first_span = self.spans.len();
        let phases = start.timeline.phases.iter().take(MAX_SPANS);
        self.spans.extend(
            phases.map(|phase| Span::new(phase::of_name(&phase.name), phase.at_ns, phase.duration_ns)),
        );
        let end = start.exit.as_ref().map_or(End::None, |exit| self.end(exit));
        if let Some(exit) = &start.exit {
            self.note_sender(self.state.hash_one(&*start.start_id), exit);
        }
        let failed = start.execs.iter().filter(|exec| exec.error.is_some());
        let exec_error =
            exec_error(start).map(|text| self.names.of(&text, 120, &mut self.texts, &self.state));
        let row = Row {
            origin: start.timeline.origin_boottime_ns,
            duration: start.timeline.duration_ns,
            shape: look.shape,
            first_span,
            span_count: (self.spans.len() - first_span) as u16,
            partial: start.partial,
            core: start.exit.as_ref().is_some_and(|exit| exit.core),
            pid: start.pid,
            seq: start.seq,
            method: look.method,
            label: look.label,
            ready: look.ready,
            end,
            failed_execs: u32::try_from(failed.count()).unwrap_or(u32::MAX),
            exec_error,
            parent: None,
            outside: None,
        };
        let parent = start.parent.as_ref().map(|parent| self.parent(parent));
        self.links.push(Link {
            start: self.state.hash_one(&*start.start_id),
            process: self.state.hash_one(&*start.id),
            parent,
        });
        self.rows.push(row);
        true
    }

    pub(super) fn failed_fork(&mut self, failed: &FailedFork) {
        self.failed_forks += 1;
        let by = self.parent(&failed.by);
        let error = self.name(&failed.error);
        let known = self.failure_of.get(&(by.process, error)).copied();
        if let Some(failure) = known.and_then(|place| self.failures.get_mut(place)) {
            failure.n += 1;
        } else if self.failures.len() < MAX_FAILURES {
            self.failure_of.insert((by.process, error), self.failures.len());
            self.failures.push(Failure { pid: by.pid, comm: by.comm, error, n: 1 });
        }
    }

    fn parent(&mut self, parent: &ProcessRef) -> ParentLink {
        ParentLink {
            start: parent.start_id.as_deref().map(|id| self.state.hash_one(id)),
            process: match &parent.id {
                Some(id) => self.state.hash_one(&**id),
                None => self.state.hash_one(parent.pid),
            },
            pid: parent.pid,
            comm: self.name(parent.comm.as_deref().unwrap_or("")),
        }
    }

    pub(super) fn finish(mut self, ending: Ending) -> Digest {
        self.texts.freeze();
        let recorded = ending.diagnosis.filter(|_| !self.anew);
        let diagnoser = std::mem::replace(&mut self.diagnoser, Diagnoser::new(Thresholds::default()));
        let said = diagnoser.finish(&ending.groups, ending.session.as_ref(), recorded);
        self.spans.shrink_to_fit();
        let by_start = link::Index::new(self.links.iter().map(|link| link.start));
        for (key, end, core) in &self.exits {
            if let Some(row) = by_start.last(*key).and_then(|i| self.rows.get_mut(i as usize)) {
                (row.end, row.core) = (*end, *core);
            }
        }
        for (key, method) in &self.methods {
            if let Some(row) = by_start.last(*key).and_then(|i| self.rows.get_mut(i as usize)) {
                row.method = *method;
            }
        }
        let stories = std::mem::take(&mut self.stories).into_values().filter_map(|(_, row, story)| {
            let story = story?;
            let label = |id: &str| {
                let row = by_start.last(self.state.hash_one(id))?;
                self.rows.get(row as usize).map(|row| row.label)
            };
            let commands = story.others().filter_map(|id| Some((id.to_owned(), label(id)?))).collect();
            Some((row, Told { story, commands }))
        });
        let stories: HashMap<u32, Told> = stories.collect();
        let outside = link::join(&mut self.rows, &self.links, &by_start);
        self.tell_the_told(&by_start);
        let (mut diagnosis, mut verdict) = (said.diagnosis, said.verdict);
        let (mut picked_of, mut asked) = (None, Asked::default());
        let mut groups = ending.groups;
        let (mut stories, mut notes) = (stories, std::mem::take(&mut self.notes));
        if self.pick.is_some() {
            picked_of = Some(self.rows.len() as u64);
            let places = self.keep_picked();
            groups = self.picked_pools(groups, &places);
            asked = self.asked(&places);
            let place = |row: u32| places.get(row as usize).copied().flatten();
            stories = stories.into_iter().filter_map(|(row, told)| Some((place(row)?, told))).collect();
            notes = notes.into_iter().filter_map(|(row, note)| Some((place(row)?, note))).collect();
            let is_kept =
                |id: &String| by_start.last(self.state.hash_one(id.as_str())).and_then(place).is_some();
            diagnosis.findings.retain(|joined| joined.starts.iter().any(is_kept));
            // It is about all of them.
            verdict.clear();
        }
        Digest {
            header: ending.header,
            groups,
            diagnosis,
            verdict,
            picked_of,
            found_of_picked: false,
            missed: self.pick.map(|(_, missed)| missed),
            asked,
            notes,
            session: ending.session,
            cut_off: ending.cut_off,
            unknown_lines: ending.unknown_lines,
            rows: self.rows,
            spans: self.spans,
            outside,
            failures: self.failures,
            failed_forks: self.failed_forks,
            stories,
            texts: self.texts,
            exit_kind: self.exit_kind,
            timeout_kind: self.timeout_kind,
        }
    }

    /// Of each pool what was picked of it, timed anew where that is not all; one start is none.
    fn picked_pools(&self, groups: Vec<Group>, places: &[Option<u32>]) -> Vec<Group> {
        let mut pools: HashMap<(u64, String), Pool> = HashMap::default();
        for &(at, owner, method) in &self.pooled {
            let Some(row) = places.get(at as usize).copied().flatten() else { continue };
            let Some(row) = self.rows.get(row as usize) else { continue };
            let pool = pools.entry((owner, self.texts.get(method).to_owned())).or_default();
            pool.add(row.origin, row.duration, row.ready == self.timeout_kind);
        }
        let picked = groups.into_iter().filter_map(|group| {
            let owner = self.state.hash_one(group.parent_id.as_deref()?);
            let pool = pools.remove(&(owner, group.method.clone())).filter(|pool| pool.size() > 1)?;
            if pool.size() == group.n {
                return Some(group);
            }
            let parent = group.parent;
            Some(Group { parent, ..pool.group(group.parent_id, group.method) })
        });
        picked.collect()
    }

    /// The starts that were kept, each with the nearest above it that was, too.
    fn asked(&self, places: &[Option<u32>]) -> Asked {
        let kept = self.links.iter().zip(places).filter(|(_, place)| place.is_some());
        let keys: Vec<u64> = kept.map(|(link, _)| link.start).collect();
        let parent = |row: &Row| row.parent.and_then(|at| keys.get(at as usize)).copied();
        let parents = keys.iter().copied().zip(self.rows.iter().map(parent)).collect();
        Asked { parents, state: self.state.clone() }
    }

    /// Leaves out the rows that were not asked for; where each one is then.
    fn keep_picked(&mut self) -> Vec<Option<u32>> {
        let below = self.pick.as_ref().is_some_and(|(pick, _)| !pick.starts.is_empty());
        let rows = &self.rows;
        let mut keeps = self.picked.clone();
        keeps.resize(rows.len(), false);
        if below {
            let tree = link::Tree::new(rows);
            let mut order: Vec<u32> =
                (0..rows.len() as u32).filter(|row| keeps.get(*row as usize) == Some(&true)).collect();
            let mut at = 0;
            while let Some(&row) = order.get(at) {
                at += 1;
                for &child in tree.children(row) {
                    if let Some(keep) = keeps.get_mut(child as usize)
                        && !std::mem::replace(keep, true)
                    {
                        order.push(child);
                    }
                }
            }
        }
        let mut next = 0u32;
        let places: Vec<Option<u32>> = keeps
            .iter()
            .map(|keep| {
                next += u32::from(*keep);
                keep.then(|| next - 1)
            })
            .collect();
        // Of a parent that is left out, the nearest that is not.
        let parent = |row: &Row| {
            let mut parent = row.parent;
            for _ in 0..64 {
                let at = parent?;
                if let Some(place) = places.get(at as usize).copied().flatten() {
                    return Some(place);
                }
                parent = rows.get(at as usize).and_then(|row| row.parent);
            }
            None
        };
        let kept = rows.iter().zip(&keeps).filter(|(_, keep)| **keep);
        let kept: Vec<Row> = kept.map(|(row, _)| Row { parent: parent(row), ..row.clone() }).collect();
        self.rows = kept;
        places
    }
}

fn note(start: &Start) -> Note {
    let mut path_ns: Vec<(String, u64)> =
        start.timeline.path_ns.iter().take(64).map(|(k, v)| (k.clone(), *v)).collect();
    path_ns.sort_small_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    path_ns.truncate(MAX_STATES);
    Note { start_id: start.start_id.clone(), path_ns, findings: start.findings.clone() }
}

/// Is there something to be said of it that a glance does not show: which exec failed, or where a server that was not
/// ready waits for clients?
fn has_more_to_tell(start: &Start) -> bool {
    let is_root = start.parent.as_ref().is_none_or(|parent| parent.start_id.is_none());
    exec_error(start).is_some() || (is_root && start.timeline.ready.kind == "timeout")
}

/// Of a start that ended badly after its last exec had failed: `/nowhere (ENOENT)`.
fn exec_error(start: &Start) -> Option<String> {
    let exit = start.exit.as_ref()?;
    if exit.signal.is_none() && exit.code.unwrap_or(0) == 0 {
        return None;
    }
    // Of a search in PATH, what was there but could not be executed is why, as for execvp(3); else the last.
    let tried = start.execs.iter().rev().take(1_000).map_while(|exec| Some((exec, exec.error.as_deref()?)));
    let mut last = None;
    for (exec, error) in tried {
        let is_there = !matches!(error, "ENOENT" | "ENOTDIR" | "unknown");
        if is_there || last.is_none() {
            last = Some((exec, error));
        }
        if is_there {
            break;
        }
    }
    let (exec, error) = last?;
    let path = label::harmless(exec.path.as_deref().unwrap_or("(a path that was not read)"), 90);
    Some(format!("{path} ({})", label::harmless(error, 20)))
}
