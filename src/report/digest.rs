//! What a report needs of a trace, a few hundred bytes a start, so that a million starts fit.

mod build;
mod missed;

use super::path::Story;
use crate::diagnose::{Asked, Diagnoser, Thresholds};
use crate::hash::HashMap;
use crate::timeline::select::glob;
use crate::trace::read::{self, Ending, Loaded, ReadError};
use crate::trace::schema::{Diagnosis, Exit, Finding, Group, Header, Method, Session, Start};
use crate::words::intern::{Interner, Sym};
use build::{Builder, Reading};
pub use missed::Missed;
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
    /// By a signal that asks for it, from one of those above it.
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
    /// It failed after an exec that did: of what, and why.
    pub(crate) exec_error: Option<Sym>,
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

    /// Does a start fit?
    fn takes(&self, start: &Start) -> bool {
        let any = |list: &[String], is: fn(&str, &Start) -> bool| {
            list.is_empty() || list.iter().any(|asked| is(asked, start))
        };
        self.slower_than_ns.is_none_or(|least| start.timeline.duration_ns > least)
            && any(&self.starts, is_start)
            && any(&self.exes, is_exe)
            && any(&self.methods, is_method)
    }
}

/// Is it the start of that start_id, id or pid?
fn is_start(asked: &str, start: &Start) -> bool {
    asked == start.start_id || asked == start.id || asked == start.pid.to_string()
}

/// Is it a start of that executable, a path or a base name?
fn is_exe(asked: &str, start: &Start) -> bool {
    let (exe, base) = exe(start);
    glob(asked, exe) || (!asked.contains('/') && glob(asked, base))
}

fn is_method(asked: &str, start: &Start) -> bool {
    glob(asked, &start.method.name)
}

/// The executable of a start, and its base name.
fn exe(start: &Start) -> (&str, &str) {
    let exe = start.exe.as_deref().unwrap_or("");
    (exe, exe.rsplit('/').next().unwrap_or(exe))
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
    /// ... and what is found is theirs alone, as though there were no others. Else (of a pipe, which cannot be read
    /// twice) it is what was found of all, as far as it concerns any of them.
    pub(crate) found_of_picked: bool,
    /// ... and what fits what was asked for, and what there is instead.
    missed: Option<Missed>,
    /// Those that were asked for, until what is found of them has been found.
    asked: Asked,
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
        builder.pick = (!pick.is_empty()).then(|| (pick.clone(), Missed::new(pick)));
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
        reader: read::Reader,
        thresholds: Option<Thresholds>,
        also: &mut dyn FnMut(Seen<'_>),
    ) -> Result<Self, ReadError> {
        builder.anew = thresholds.is_some();
        // Traces of before there were findings, and those without an end, have none of their own.
        builder.diagnoser = Diagnoser::new(thresholds.clone().unwrap_or_default());
        // Looking for findings needs every start whole; what the trace says of them itself need not be found anew.
        let known = !builder.anew && reader.is_diagnosed();
        let again = reader.once_more();
        let mut reading = Reading { builder, known, also };
        let ending = reader.take(&mut reading)?;
        let mut builder = reading.builder;
        let look = |mut diagnoser: Diagnoser, again: read::Reader| {
            again.read(&mut |item| {
                diagnoser.item(&item);
                ControlFlow::Continue(())
            })?;
            Ok::<_, ReadError>(diagnoser)
        };
        if builder.pick.is_some()
            && let Some(again) = again
        {
            // Which ones are asked for, all that is below them among it, is known at the end only.
            let (groups, session) = (ending.groups.clone(), ending.session.clone());
            let mut digest = builder.finish(ending);
            let asked = std::mem::take(&mut digest.asked);
            let diagnoser = Diagnoser::of(asked, thresholds.unwrap_or_default());
            let said = look(diagnoser, again()?)?.finish(&groups, session.as_ref(), None);
            digest.diagnosis = said.diagnosis;
            digest.found_of_picked = true;
            return Ok(digest);
        }
        if known
            && ending.diagnosis.is_none()
            && let Some(again) = again
        {
            // It is cut off in the middle of what it says.
            builder.diagnoser = look(Diagnoser::new(Thresholds::default()), again()?)?;
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

    /// What was asked for and is not there.
    pub fn missed(&self) -> Option<&Missed> {
        self.missed.as_ref()
    }

    /// Are there no starts to show, though the trace has some?
    pub fn picks_nothing(&self) -> bool {
        self.rows.is_empty() && self.picked_of.is_some()
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
