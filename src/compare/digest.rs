//! What a comparison needs of each start, a few hundred bytes, so that a million starts fit.

mod join;

use super::fold::{self, Map};
use crate::hash::{HashMap, RandomState};
use crate::sort::SortSmall;
use crate::trace::read::{Detail, Ending, Glance, Item, ReadError, Reader, Take};
use crate::trace::schema::{self, Start, Timeline};
use crate::words::intern::{Interner, Sym};
use crate::words::known::{Labels, Names};
use crate::words::label;
use join::Joining;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, Hash, Hasher};
use std::ops::ControlFlow;

/// States, or phases, that are kept of one start: the largest.
const MAX_PARTS: usize = 64;
/// Libraries of one start.
const MAX_LIBRARIES: usize = 1024;
/// Other starts that are kept of one critical path: those with most time on it.
const MAX_ON_PATH: usize = 4096;
/// Ancestors that tell the place of a start.
const MAX_DEPTH: u32 = 64;

/// Which side of a comparison a trace is on. For `stat` with several commands there are more than two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Side(pub u16);

impl Side {
    /// No run's.
    const NONE: Self = Self(u16::MAX);
    /// What is compared with.
    pub const BASE: Self = Self(0);
    /// What is compared.
    pub const NEW: Self = Self(1);
}

/// How a start's time is divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum PartKind {
    Phase,
    /// Of the critical path.
    State,
    /// A finding, with its cost.
    Finding,
}

/// What can change between two starts that are the same; most starts of a program share one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    pub(crate) exe: Option<Sym>,
    pub(crate) build_id: Option<Sym>,
    pub(crate) linkage: Option<Sym>,
    pub(crate) interpreter: Option<Sym>,
    pub(crate) runtime: Option<Sym>,
    pub(crate) needed: Option<u32>,
    pub(crate) relocations: Option<u64>,
    /// The shared libraries that it opened, by their file names, one a line; where the trace has its files.
    pub(crate) libraries: Option<Sym>,
}

/// One start.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Index into [`Digest::runs`].
    pub(crate) run: u32,
    /// Boottime clock, nanoseconds.
    pub(crate) origin: u64,
    pub(crate) duration: u64,
    /// The executable, as a path.
    pub(crate) exe: u64,
    /// The executable, whatever its version and place.
    pub(crate) program: u64,
    /// The arguments, folded.
    pub(crate) argv: u64,
    /// The folded programs and arguments of the ancestors.
    pub(crate) place: u64,
    pub(crate) parent: Option<u32>,
    pub(crate) facts: u32,
    pub(crate) method: Sym,
    pub(crate) ready: Sym,
    /// By `argv` and `program`.
    pub(crate) label: u32,
    first_part: usize,
    part_count: u16,
    /// Index into [`Digest::joint`].
    joint: Option<u32>,
    pub(crate) failed_execs: u16,
    /// The first start of its process.
    pub(crate) first: bool,
    /// Nobody that the trace knows has started it.
    pub(crate) root: bool,
    /// The recording began in the middle of it.
    pub(crate) partial: bool,
    /// It ended with a status other than 0.
    pub(crate) failed: bool,
    /// What made it ready was concluded.
    pub(crate) inferred: bool,
}

impl Row {
    /// From its beginning to its end: it can be compared.
    pub(crate) fn is_measured(&self, digest: &Digest) -> bool {
        !self.partial && self.ready != digest.timeout
    }
}

/// What is sampled together: a trace, or one run of `stat`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) side: Side,
    /// The start of the command, of a run of `stat`.
    pub(crate) root: Option<u32>,
    /// The start of the daemon that the command left, and until whose readiness the run is measured.
    pub(crate) daemon: Option<u32>,
    pub(crate) exit: Option<u8>,
    pub(crate) pss: Option<u64>,
}

/// A trace that is being read.
#[derive(Debug)]
pub struct Reading {
    side: Side,
    run: u32,
    joining: Joining,
}

/// The same, with what is made of it.
struct Taking<'a> {
    digest: &'a mut Digest,
    reading: Reading,
}

impl Take for Taking<'_> {
    fn detail(&self) -> Option<Detail> {
        Some(Detail::Sums)
    }

    fn glance(&mut self, start: &Start) -> Glance {
        self.digest.start(start, &mut self.reading);
        Glance::Enough
    }

    fn item(&mut self, item: Item) -> ControlFlow<()> {
        self.digest.item(&mut self.reading, item);
        ControlFlow::Continue(())
    }
}

/// To which side the runs of `stat` belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sides {
    /// To that of their trace.
    Given,
    /// To one for each command.
    ByName,
}

/// A trace that was read.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) side: Side,
    pub(crate) name: String,
    pub(crate) cut_off: Option<String>,
    /// What was lost, by counter; `None` where the end is missing.
    pub(crate) lost: Option<Vec<(String, u64)>>,
    pub(crate) complete: bool,
    pub(crate) hostname: String,
    pub(crate) kernel: String,
    pub(crate) cpus: u32,
    pub(crate) cpu_model: String,
    pub(crate) version: String,
    pub(crate) level: Option<String>,
    pub(crate) mode: Option<String>,
    pub(crate) unknown_lines: u64,
    pub(crate) starts: u64,
    /// It says what was found.
    pub(crate) has_findings: bool,
}

/// How much of a root's critical path is whose.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnPath {
    pub(crate) root: u32,
    pub(crate) whose: u32,
    pub(crate) ns: u64,
}

/// All that is compared.
#[derive(Debug)]
pub struct Digest {
    pub(crate) rows: Vec<Row>,
    parts: Vec<(PartKind, Sym, u64)>,
    pub(crate) runs: Vec<Run>,
    pub(crate) files: Vec<File>,
    pub(crate) facts: Vec<Facts>,
    fact_of: HashMap<Facts, u32>,
    labels: Vec<String>,
    label_of: HashMap<(u64, u64), u32>,
    pub(crate) on_path: Vec<OnPath>,
    pub(crate) texts: Interner,
    pub(crate) timeout: Sym,
    /// The traces say what was found.
    pub(crate) has_findings: bool,
    /// What was found of several starts together, and may be in none of them: by [`Row::joint`].
    joint: Vec<Vec<Sym>>,
    maps: Vec<Map>,
    names: Made,
    state: RandomState,
}

/// What was made harmless before, by how long it may be.
#[derive(Debug, Default)]
struct Made {
    labels: Labels,
    short: Names,
    exes: Names,
    /// Of phases, states and findings.
    parts: Names,
}

impl Digest {
    /// Of nothing yet. `maps` are applied to the paths of [`Side::BASE`].
    pub fn new(maps: Vec<Map>) -> Self {
        let mut texts = Interner::default();
        Self {
            timeout: texts.add("timeout"),
            has_findings: false,
            joint: Vec::new(),
            rows: Vec::new(),
            parts: Vec::new(),
            runs: Vec::new(),
            files: Vec::new(),
            facts: Vec::new(),
            fact_of: HashMap::default(),
            labels: Vec::new(),
            label_of: HashMap::default(),
            on_path: Vec::new(),
            texts,
            maps,
            names: Made::default(),
            state: RandomState::default(),
        }
    }

    /// Reads a trace to its end, holding one start at a time.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn add(&mut self, reader: Reader, side: Side) -> Result<(), ReadError> {
        let name = reader.name().to_owned();
        let reading = self.begin(side);
        let mut taking = Taking { digest: self, reading };
        let ending = reader.take(&mut taking)?;
        let reading = taking.reading;
        self.end(reading, name, ending, Sides::Given);
        Ok(())
    }

    /// Begins a trace that comes item by item.
    pub fn begin(&mut self, side: Side) -> Reading {
        let run = self.runs.len() as u32;
        self.runs.push(Run { side, root: None, daemon: None, exit: None, pss: None });
        Reading { side, run, joining: Joining { first: self.rows.len(), ..Joining::default() } }
    }

    /// Takes an item of it.
    pub fn item(&mut self, reading: &mut Reading, item: Item) {
        match item {
            Item::Header(_) | Item::FailedFork(_) => {}
            Item::Start(start) => self.start(&start, reading),
            Item::Exit { start_id, exit } => {
                let failed = exit.code.is_some_and(|code| code != 0) || exit.signal.is_some();
                if let Some(row) = self.known(&reading.joining, &start_id) {
                    row.failed = failed;
                }
            }
            Item::Method { start_id, method } => {
                let name = self.short(&method.name);
                if let Some(row) = self.known(&reading.joining, &start_id) {
                    row.method = name;
                }
            }
        }
    }

    /// Takes its end. With [`Sides::ByName`] each command of `stat` becomes a side, in the order in which
    /// they were run first; their names are told.
    pub fn end(&mut self, reading: Reading, name: String, ending: Ending, sides: Sides) -> Vec<String> {
        let joining = reading.joining;
        self.join(&joining);
        self.findings(&joining, ending.diagnosis.as_ref());
        let runs = ending.session.as_ref().map_or(&[][..], |session| &session.runs);
        let names = self.split(&joining, reading.run, runs, sides);
        self.note(name, reading.side, ending, &joining);
        names
    }

    fn known(&mut self, joining: &Joining, start_id: &str) -> Option<&mut Row> {
        let row = *joining.rows.get(&self.state.hash_one(start_id))?;
        self.rows.get_mut(row as usize)
    }

    /// A short name out of the file.
    fn short(&mut self, text: &str) -> Sym {
        self.names.short.of(text, 80, &mut self.texts, &self.state)
    }

    pub(crate) fn text(&self, sym: Sym) -> &str {
        self.texts.get(sym)
    }

    pub(crate) fn label(&self, row: &Row) -> &str {
        self.labels.get(row.label as usize).map_or("", String::as_str)
    }

    pub(crate) fn fact(&self, row: &Row) -> Option<&Facts> {
        self.facts.get(row.facts as usize)
    }

    pub(crate) fn parts(&self, row: &Row) -> &[(PartKind, Sym, u64)] {
        let end = row.first_part + usize::from(row.part_count);
        self.parts.get(row.first_part..end).unwrap_or(&[])
    }

    pub(crate) fn side(&self, row: &Row) -> Side {
        self.runs.get(row.run as usize).map_or(Side::BASE, |run| run.side)
    }

    fn start(&mut self, start: &Start, reading: &mut Reading) {
        let Reading { side, run, joining } = reading;
        let (side, run) = (*side, *run);
        // Rows are numbered in 32 bits; four billion of them do not fit into memory anyway.
        if self.rows.len() >= u32::MAX as usize {
            return;
        }
        let maps: &[Map] = if side == Side::BASE { &self.maps } else { &[] };
        let own = start.exe.as_deref().map(|exe| fold::mapped(maps, exe).unwrap_or_else(|| exe.to_owned()));
        let exe = own.as_deref().map(fold::exe);
        let program = exe.map(fold::program);
        let mut argv = self.state.build_hasher();
        match &start.argv {
            Some(list) => {
                for arg in list.iter().skip(1) {
                    fold::argument(fold::mapped(maps, arg).as_deref().unwrap_or(arg)).hash(&mut argv);
                }
                // A multi-call binary is the program that it was called as.
                list.first().map(|arg| fold::program(arg)).hash(&mut argv);
            }
            // A copy of its parent: only its own name tells it apart.
            None => fold::program(&start.comm).hash(&mut argv),
        }
        let argv = argv.finish();
        let program = self.state.hash_one(&program);
        let exe_hash = self.state.hash_one(exe);
        let facts = self.facts(start, exe);
        let label = self.labelled(start, (program, argv));
        let first_part = self.parts.len();
        self.divide(&start.timeline);
        self.has_findings |= !start.findings.is_empty();
        for finding in start.findings.iter().take(MAX_PARTS) {
            let name = self.names.parts.of(&finding.id, 40, &mut self.texts, &self.state);
            self.parts.push((PartKind::Finding, name, finding.cost_ns.unwrap_or(0)));
        }
        let row = Row {
            run,
            origin: start.timeline.origin_boottime_ns,
            duration: start.timeline.duration_ns,
            exe: exe_hash,
            program,
            argv,
            place: 0,
            parent: None,
            facts,
            method: self.short(&start.method.name),
            ready: self.short(&start.timeline.ready.kind),
            first: start.seq == 0,
            label,
            first_part,
            part_count: (self.parts.len() - first_part) as u16,
            joint: None,
            failed_execs: start.execs.iter().filter(|exec| exec.error.is_some()).count().min(0xffff) as u16,
            root: start.parent.as_ref().is_none_or(|parent| parent.start_id.is_none()),
            partial: start.partial,
            inferred: start.timeline.ready.inferred,
            failed: start
                .exit
                .as_ref()
                .is_some_and(|exit| exit.signal.is_some() || exit.code.is_some_and(|code| code != 0)),
        };
        let number = self.rows.len() as u32;
        if row.root {
            self.path(start, number, joining);
        }
        let hash = |id: &str| self.state.hash_one(id);
        joining.rows.insert(hash(&start.start_id), number);
        joining.parents.push(start.parent.as_ref().and_then(|parent| parent.start_id.as_deref()).map(hash));
        self.rows.push(row);
    }

    fn facts(&mut self, start: &Start, exe: Option<&str>) -> u32 {
        let text = |digest: &mut Self, text: &Option<String>| text.as_deref().map(|text| digest.short(text));
        let exe = exe.map(|exe| self.names.exes.of(exe, 200, &mut self.texts, &self.state));
        let binary = start.binary.as_ref();
        let facts = Facts {
            exe,
            build_id: binary.and_then(|binary| text(self, &binary.build_id)),
            linkage: binary.and_then(|binary| text(self, &binary.linkage)),
            interpreter: binary.and_then(|binary| text(self, &binary.interpreter)),
            runtime: binary.and_then(|binary| text(self, &binary.runtime)),
            needed: binary.and_then(|binary| binary.needed),
            relocations: binary.and_then(|binary| binary.relocations),
            libraries: start.timeline.files.as_ref().map(|files| self.texts.add(&libraries(files))),
        };
        *self.fact_of.entry(facts).or_insert_with(|| {
            self.facts.push(facts);
            (self.facts.len() - 1) as u32
        })
    }

    /// One label for all that look the same, with `#` for the numbers in which they differ.
    fn labelled(&mut self, start: &Start, shape: (u64, u64)) -> u32 {
        let (label, _) = self.names.labels.of(start, &mut self.texts, &self.state);
        let label = self.texts.get(label);
        if let Some(&number) = self.label_of.get(&shape) {
            if let Some(known) = self.labels.get_mut(number as usize)
                && known != label
            {
                *known = label::common(known, std::iter::once(label));
            }
            return number;
        }
        self.labels.push(label.to_owned());
        let number = (self.labels.len() - 1) as u32;
        self.label_of.insert(shape, number);
        number
    }

    fn divide(&mut self, timeline: &Timeline) {
        for (kind, map) in [(PartKind::Phase, &timeline.phase_ns), (PartKind::State, &timeline.path_ns)] {
            let mut parts: Vec<(&String, u64)> = map.iter().map(|(name, &ns)| (name, ns)).collect();
            if parts.len() > MAX_PARTS {
                parts.sort_small_by_key(|(_, ns)| std::cmp::Reverse(*ns));
                parts.truncate(MAX_PARTS);
            }
            for (name, ns) in parts {
                let name = self.names.parts.of(name, 40, &mut self.texts, &self.state);
                self.parts.push((kind, name, ns));
            }
        }
    }

    /// The names of what was found of a row, by itself or with others; one may come twice.
    pub(crate) fn found(&self, row: &Row) -> impl Iterator<Item = &str> {
        let own = self.parts(row).iter().filter(|(kind, ..)| *kind == PartKind::Finding);
        let joint = row.joint.and_then(|place| self.joint.get(place as usize));
        let names = own.map(|(_, name, _)| *name).chain(joint.into_iter().flatten().copied());
        names.map(|name| self.text(name))
    }
}

/// A list of file names in order, each on a line of its own.
fn libraries(files: &schema::Files) -> String {
    let opened = files.files.iter().filter(|file| file.kind == "shared_library");
    let paths = opened.filter_map(|file| file.path.as_deref());
    let names: BTreeSet<&str> = paths.map(|path| path.rsplit('/').next().unwrap_or(path)).collect();
    let names: Vec<String> =
        names.into_iter().take(MAX_LIBRARIES).map(|name| label::harmless(name, 80)).collect();
    names.join("\n")
}

impl Digest {
    /// Every trace is that of a command.
    pub(crate) fn records_commands(&self) -> bool {
        self.files.iter().all(|file| file.mode.as_deref() == Some("command"))
    }

    /// Runs of one side.
    pub(crate) fn run_count(&self, side: Side) -> u64 {
        self.runs.iter().filter(|run| run.side == side).count() as u64
    }
}
