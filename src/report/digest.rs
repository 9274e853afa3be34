//! What a report needs of a trace, a few hundred bytes a start, so that a million starts fit.

use super::path::{MAX_STORIES, Story};
use super::{link, phase};
use crate::diagnose::{Diagnoser, Thresholds};
use crate::hash::{HashMap, RandomState};
use crate::sort::SortSmall;
use crate::timeline::select::glob;
use crate::trace::read::{self, Detail, Ending, Glance, Item, Loaded, ReadError, Take};
use crate::trace::schema::{
    Diagnosis, Exit, FailedFork, Finding, Group, Header, Method, ProcessRef, Session, Start,
};
use crate::words::ORDERS;
use crate::words::intern::{Interner, Sym};
use crate::words::known::{Labels, Names};
use std::hash::BuildHasher;
use std::ops::ControlFlow;

/// Spans that are kept of one start; a start of more is drawn from its first ones.
const MAX_SPANS: usize = 256;

/// How a process ended, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// It had not, as far as the trace knows.
    None,
    Code(i32),
    Signal(Sym),
    /// By a signal by which one process asks another to end, and that somebody sent: a pool ends its workers so.
    Told(Sym),
}

/// One start.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Boottime clock, nanoseconds.
    pub(crate) origin: u64,
    pub(crate) duration: u64,
    /// Equal for starts that look equal to a reader.
    pub(crate) shape: u64,
    first_span: usize,
    span_count: u16,
    pub(crate) partial: bool,
    pub(crate) core: bool,
    pub(crate) pid: u32,
    pub(crate) seq: u32,
    pub(crate) method: Sym,
    pub(crate) label: Sym,
    pub(crate) ready: Sym,
    pub(crate) end: End,
    pub(crate) failed_execs: u32,
    /// Row of the parent.
    pub(crate) parent: Option<u32>,
    /// Index into [`Digest::outside`]: the parent, where it has no row.
    pub(crate) outside: Option<u32>,
}

impl Row {
    pub(crate) fn finish(&self) -> u64 {
        self.origin.saturating_add(self.duration)
    }
}

/// One phase: class in the low byte, begin (from the start's origin, ns) in the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span(u64, u64);

impl Span {
    fn new(class: u8, at: u64, length: u64) -> Self {
        // 2^56 ns are two years.
        Self(at.min((1 << 56) - 1) << 8 | u64::from(class), length)
    }

    pub(crate) fn class(self) -> u8 {
        self.0 as u8
    }

    pub(crate) fn at(self) -> u64 {
        self.0 >> 8
    }

    pub(crate) fn length(self) -> u64 {
        self.1
    }
}

/// A process that is the parent of recorded starts and has no start in the trace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outside {
    pub(crate) pid: u32,
    pub(crate) comm: Sym,
}

/// Forks of one process that failed with one error.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub(crate) pid: u32,
    pub(crate) comm: Sym,
    pub(crate) error: Sym,
    pub(crate) n: u64,
}

/// Processes and errors of failed forks that are told apart; those past it are only counted.
const MAX_FAILURES: usize = 10_000;

/// What joins rows; dropped when they are joined. Ids are kept as hashes (keyed at random per run, so
/// that no file can be made to collide).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    pub(crate) start: u64,
    pub(crate) process: u64,
    pub(crate) parent: Option<ParentLink>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ParentLink {
    pub(crate) start: Option<u64>,
    /// By id where there is one, else by pid.
    pub(crate) process: u64,
    pub(crate) pid: u32,
    pub(crate) comm: Sym,
}

/// A path, with the labels of the starts on it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) story: Story,
    commands: HashMap<String, Sym>,
}

/// Which starts a report is about; what is empty leaves nothing out.
#[derive(Debug, Clone, Default)]
pub struct Pick {
    /// These (by `start_id`, `id` or pid), and all that descends from them.
    pub starts: Vec<String>,
    /// Of these executables: a path or a base name; `*` and `?` allowed.
    pub exes: Vec<String>,
    /// Started by these methods; `*` and `?` allowed.
    pub methods: Vec<String>,
    /// That took longer than this, in nanoseconds.
    pub slower_than_ns: Option<u64>,
}

impl Pick {
    fn is_empty(&self) -> bool {
        self.starts.is_empty()
            && self.exes.is_empty()
            && self.methods.is_empty()
            && self.slower_than_ns.is_none()
    }

    fn takes(&self, start: &Start) -> bool {
        let pid = start.pid.to_string();
        let ids = [start.start_id.as_str(), start.id.as_str(), pid.as_str()];
        let exe = start.exe.as_deref().unwrap_or("");
        let base = exe.rsplit('/').next().unwrap_or(exe);
        let any =
            |list: &[String], is: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|item| is(item));
        any(&self.starts, &|asked| ids.contains(&asked))
            && any(&self.exes, &|asked| glob(asked, exe) || (!asked.contains('/') && glob(asked, base)))
            && any(&self.methods, &|asked| glob(asked, &start.method.name))
            && self.slower_than_ns.is_none_or(|least| start.timeline.duration_ns > least)
    }
}

/// What a machine's report says of one start besides its row.
#[derive(Debug, Clone)]
pub(crate) struct Note {
    pub(crate) start_id: String,
    pub(crate) path_ns: Vec<(String, u64)>,
    pub(crate) findings: Vec<Finding>,
}

/// States of a path in a note.
const MAX_STATES: usize = 16;

/// What a report needs of a trace.
#[derive(Debug)]
pub struct Digest {
    pub(crate) header: Header,
    pub(crate) groups: Vec<Group>,
    /// What makes the starts slow.
    pub(crate) diagnosis: Diagnosis,
    /// Sentences with the number that matters.
    pub(crate) verdict: Vec<String>,
    /// Where only some starts were asked for: how many there are in all.
    pub(crate) picked_of: Option<u64>,
    /// What was asked for, of each row: an id, and what was found of it.
    pub(crate) notes: HashMap<u32, Note>,
    pub(crate) session: Option<Session>,
    pub(crate) cut_off: Option<String>,
    pub(crate) unknown_lines: u64,
    pub(crate) rows: Vec<Row>,
    spans: Vec<Span>,
    pub(crate) outside: Vec<Outside>,
    /// In the order of the first of each.
    pub(crate) failures: Vec<Failure>,
    /// Failed forks in all.
    pub(crate) failed_forks: u64,
    /// Where the time of the slowest start of each kind went, by row.
    stories: HashMap<u32, Told>,
    pub(crate) texts: Interner,
    pub(crate) exit_kind: Sym,
    pub(crate) timeout_kind: Sym,
}

impl Digest {
    /// Reads a trace to its end, holding one start at a time.
    ///
    /// # Errors
    /// As [`read::Reader::read`].
    pub fn read(reader: read::Reader) -> Result<Self, ReadError> {
        Self::read_with(reader, None, &mut |_| {})
    }

    /// The same, looking for findings anew with these thresholds, whatever the trace says of them.
    ///
    /// # Errors
    /// As [`read::Reader::read`].
    pub fn diagnose(reader: read::Reader, thresholds: Thresholds) -> Result<Self, ReadError> {
        Self::read_with(reader, Some(thresholds), &mut |_| {})
    }

    /// Only some starts, with the findings that concern them; with `thresholds` as [`Self::diagnose`].
    ///
    /// # Errors
    /// As [`read::Reader::read`].
    pub fn pick(
        reader: read::Reader,
        thresholds: Option<Thresholds>,
        pick: &Pick,
    ) -> Result<Self, ReadError> {
        let mut builder = Builder::new();
        builder.pick = (!pick.is_empty()).then(|| pick.clone());
        Self::run(builder, reader, thresholds, &mut |_| {})
    }

    /// The same, and shows everything to somebody else too; of a start perhaps no more than [`Detail::Outline`].
    pub(crate) fn read_with(
        reader: read::Reader,
        thresholds: Option<Thresholds>,
        also: &mut dyn FnMut(Seen<'_>),
    ) -> Result<Self, ReadError> {
        Self::run(Builder::new(), reader, thresholds, also)
    }

    fn run(
        mut builder: Builder,
        mut reader: read::Reader,
        thresholds: Option<Thresholds>,
        also: &mut dyn FnMut(Seen<'_>),
    ) -> Result<Self, ReadError> {
        builder.anew = thresholds.is_some();
        // Traces of before there were findings, and those without an end, have none of their own.
        builder.diagnoser = Diagnoser::new(thresholds.unwrap_or_default());
        // Looking for findings needs every start whole; what the trace says of them itself need not be found anew.
        let again = if builder.anew { None } else { reader.is_diagnosed() };
        let mut reading = Reading { builder, known: again.is_some(), also };
        let ending = reader.take(&mut reading)?;
        let mut builder = reading.builder;
        if let Some(again) = again.filter(|_| ending.diagnosis.is_none()) {
            // It is cut off in the middle of what it says.
            let mut diagnoser = Diagnoser::new(Thresholds::default());
            again()?.read(&mut |item| {
                diagnoser.item(&item);
                ControlFlow::Continue(())
            })?;
            builder.diagnoser = diagnoser;
        }
        Ok(builder.finish(ending))
    }

    /// From a trace that is in memory already.
    pub fn of(loaded: &Loaded) -> Self {
        let mut builder = Builder::new();
        builder.diagnoser.header(&loaded.header);
        for start in &loaded.starts {
            builder.diagnoser.start(start);
            builder.start(start);
        }
        loaded.failed_forks.iter().for_each(|failed| builder.failed_fork(failed));
        builder.finish(Ending {
            header: loaded.header.clone(),
            groups: loaded.groups.clone(),
            diagnosis: loaded.diagnosis.clone(),
            session: loaded.session.clone(),
            cut_off: loaded.cut_off.clone(),
            unknown_lines: loaded.unknown_lines,
        })
    }

    pub(crate) fn text(&self, sym: Sym) -> &str {
        self.texts.get(sym)
    }

    /// Where the time of a row's start went, in sentences and by the main thread's states; nothing but
    /// for the slowest of its kind.
    pub(crate) fn told(&self, row: usize, all: bool) -> Option<(Vec<String>, Option<String>)> {
        let told = self.stories.get(&u32::try_from(row).ok()?)?;
        let command = |id: &str| told.commands.get(id).map(|sym| self.text(*sym).to_owned());
        Some((told.story.sentences(all, command), told.story.states().filter(|_| all)))
    }

    pub(crate) fn row(&self, index: u32) -> Option<&Row> {
        self.rows.get(index as usize)
    }

    pub(crate) fn spans(&self, row: &Row) -> &[Span] {
        let end = row.first_span + usize::from(row.span_count);
        self.spans.get(row.first_span..end).unwrap_or(&[])
    }

    /// Was there still going on when its window or the recording ended.
    pub(crate) fn is_unfinished(&self, row: &Row) -> bool {
        row.ready == self.timeout_kind
    }

    pub(crate) fn is_failed(&self, row: &Row) -> bool {
        match row.end {
            End::None | End::Code(0) => false,
            // timeout(1) and the like end what took too long.
            End::Told(_) => self.text(row.method) == "wrapper",
            End::Code(_) | End::Signal(_) => true,
        }
    }

    /// First origin and last ready of all starts.
    pub(crate) fn window(&self) -> (u64, u64) {
        let begin = self.rows.iter().map(|r| r.origin).min().unwrap_or(0);
        let end = self.rows.iter().map(Row::finish).max().unwrap_or(begin);
        (begin, end)
    }
}

/// What is shown to whoever reads along.
pub(crate) enum Seen<'a> {
    Start(&'a Start),
    Exit(&'a str, &'a Exit),
    Method(&'a str, &'a Method),
}

/// A trace that is being read.
struct Reading<'a> {
    builder: Builder,
    /// It says itself what was found.
    known: bool,
    also: &'a mut dyn FnMut(Seen<'_>),
}

impl Take for Reading<'_> {
    fn detail(&self) -> Option<Detail> {
        self.known.then_some(Detail::Outline)
    }

    fn glance(&mut self, start: &Start) -> Glance {
        let builder = &mut self.builder;
        let look = builder.look(start);
        // Its story needs all of it.
        if builder.is_slowest(start, &look) {
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

struct Builder {
    pick: Option<Pick>,
    /// Rows that were asked for.
    picked: Vec<bool>,
    notes: HashMap<u32, Note>,
    diagnoser: Diagnoser,
    anew: bool,
    rows: Vec<Row>,
    spans: Vec<Span>,
    links: Vec<Link>,
    texts: Interner,
    labels: Labels,
    names: Names,
    exits: Vec<(u64, End, bool)>,
    methods: Vec<(u64, Sym)>,
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
    fn new() -> Self {
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
            methods: Vec::new(),
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
                self.exits.push((self.state.hash_one(&*start_id), end, exit.core));
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
            (Some(signal), _) if exit.killed_by.is_some() && ORDERS.contains(&signal.as_str()) => {
                End::Told(self.name(signal))
            }
            (Some(signal), _) => End::Signal(self.name(signal)),
            (None, Some(code)) => End::Code(code),
            (None, None) => End::None,
        }
    }

    fn start(&mut self, start: &Start) {
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

    fn look(&mut self, start: &Start) -> Look {
        let method = self.name(&start.method.name);
        let (label, shape) = self.labels.of(start, &mut self.texts, &self.state);
        Look {
            picked: self.pick.as_ref().is_none_or(|pick| pick.takes(start)),
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
        self.pick.as_ref().is_some_and(|pick| !pick.starts.is_empty())
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
        let first_span = self.spans.len();
        let phases = start.timeline.phases.iter().take(MAX_SPANS);
        self.spans.extend(
            phases.map(|phase| Span::new(phase::of_name(&phase.name), phase.at_ns, phase.duration_ns)),
        );
        let end = start.exit.as_ref().map_or(End::None, |exit| self.end(exit));
        let failed = start.execs.iter().filter(|exec| exec.error.is_some());
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

    fn failed_fork(&mut self, failed: &FailedFork) {
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

    fn finish(mut self, ending: Ending) -> Digest {
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
        let (mut diagnosis, mut verdict) = (said.diagnosis, said.verdict);
        let mut picked_of = None;
        let (mut stories, mut notes) = (stories, std::mem::take(&mut self.notes));
        if self.pick.is_some() {
            picked_of = Some(self.rows.len() as u64);
            let places = self.keep_picked();
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
            groups: ending.groups,
            diagnosis,
            verdict,
            picked_of,
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

    /// Leaves out the rows that were not asked for; where each one is then.
    fn keep_picked(&mut self) -> Vec<Option<u32>> {
        let below = self.pick.as_ref().is_some_and(|pick| !pick.starts.is_empty());
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
