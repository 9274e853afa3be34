//! Reads a trace in any of its forms: the JSON document, NDJSON, and the spool that a killed recorder
//! leaves behind (NDJSON without its last line).
//!
//! Starts are handed over one by one, whole, or with as much of each as is asked for ([`Take`]). So memory is
//! bounded by one record and not by the file. A file is untrusted: a record is at most [`MAX_RECORD`] bytes and [`MAX_DEPTH`] levels deep. Fields that this
//! version does not know are passed over; line types that it does not know are counted.

mod batch;
mod document;
mod error;
mod glance;
mod lines;
mod newest;
mod parallel;
mod progress;
mod scan;
mod sniff;

pub use error::{ErrorKind, ReadError};
pub use glance::Detail;
pub use newest::newest;
pub use progress::hide as hide_progress;

use super::schema::{
    Diagnosis, Exit, FailedFork, Group, Header, Joined, Method, NotExamined, SCHEMA, Session, Start,
};
use crate::hash::HashMap;
use crate::redact::Redactor;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

/// Longest record (an NDJSON line, or one start of a document) in bytes: 64 MiB. Unit tests have less,
/// as they run unoptimised.
pub const MAX_RECORD: usize = if cfg!(test) { 2 << 20 } else { 64 << 20 };
/// Deepest nesting of a record; serde_json's own limit.
pub const MAX_DEPTH: usize = 128;

/// What a trace holds, in the order of the file.
#[derive(Debug)]
pub enum Item {
    /// What made the trace, and where; first in every file that startrace writes.
    Header(Box<Header>),
    /// A start.
    Start(Box<Start>),
    /// The end of a process whose start came before.
    Exit {
        /// Which start.
        start_id: String,
        /// How it ended.
        exit: Exit,
    },
    /// A better name for the method of a start that came before.
    Method {
        /// Which start.
        start_id: String,
        /// Replaces the method that came with the start.
        method: Box<Method>,
    },
    /// A fork that failed.
    FailedFork(Box<FailedFork>),
}

/// Who takes what a trace holds, in the order of the file.
pub trait Take {
    /// What is wanted of each start at a glance; `None`: all starts whole.
    fn detail(&self) -> Option<Detail> {
        None
    }

    /// A start at a glance: what [`Detail`] says of it, and no more. Not every start is shown so before it comes whole.
    fn glance(&mut self, _start: &Start) -> Glance {
        Glance::Whole
    }

    /// An item; [`ControlFlow::Break`] stops.
    fn item(&mut self, item: Item) -> ControlFlow<()>;
}

/// What is to be done with a start after a glance at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glance {
    /// It was taken.
    Enough,
    /// It was not taken: it is wanted whole, as an [`Item`].
    Whole,
    /// It was not taken, and nothing more is wanted of the trace.
    Stop,
}

/// All items, whole.
struct Each<'a>(&'a mut dyn FnMut(Item) -> ControlFlow<()>);

impl Take for Each<'_> {
    fn item(&mut self, item: Item) -> ControlFlow<()> {
        (self.0)(item)
    }
}

/// Without credentials.
struct Redacted<'a> {
    redactor: Option<&'a Redactor>,
    take: &'a mut dyn Take,
}

impl Redacted<'_> {
    fn glance(&mut self, start: &mut Start) -> Glance {
        if let Some(redactor) = self.redactor {
            redactor.start(start);
        }
        self.take.glance(start)
    }

    fn item(&mut self, mut item: Item) -> ControlFlow<()> {
        match (self.redactor, &mut item) {
            (Some(redactor), Item::Start(start)) => redactor.start(start),
            (Some(redactor), Item::Method { method, .. }) => redactor.method(method),
            _ => {}
        }
        self.take.item(item)
    }
}

/// What the end of the file told.
#[derive(Debug)]
pub struct Ending {
    /// What made the trace, and where.
    pub header: Header,
    /// Pools; empty where the end is missing.
    pub groups: Vec<Group>,
    /// What makes the starts slow; `None` where the file does not say (it is older, or has no end).
    pub diagnosis: Option<Diagnosis>,
    /// How the recording was made; `None` where the end is missing.
    pub session: Option<Session>,
    /// The file ends too early, and how that shows.
    pub cut_off: Option<String>,
    /// Lines of a type that this version does not know.
    pub unknown_lines: u64,
}

/// An open trace, not yet read.
pub struct Reader {
    name: String,
    input: BufReader<Box<dyn Read>>,
    form: sniff::Form,
    redactor: Option<Rc<Redactor>>,
    /// The file once more, where it can be read twice: a pipe cannot.
    again: Option<File>,
    /// Its end says what was found: see [`Self::is_diagnosed`].
    diagnosed: bool,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader").field("name", &self.name).field("form", &self.form).finish_non_exhaustive()
    }
}

/// Opens a trace file; `-` is standard input.
///
/// # Errors
/// The file is missing, is a folder, cannot be read, is empty, or is neither a JSON nor an NDJSON text.
pub fn open(path: &Path) -> Result<Reader, ReadError> {
    if path == Path::new("-") {
        return Reader::new("standard input".into(), Box::new(io::stdin()));
    }
    let name = super::text::sanitize(&path.to_string_lossy());
    let file = File::open(path).map_err(|e| ReadError::io(&name, e))?;
    if file.metadata().is_ok_and(|m| m.is_dir()) {
        return Err(ReadError::new(&name, ErrorKind::Directory));
    }
    Reader::from_file(name, file)
}

/// How far from its end a file is looked at for the list of findings that were not examined, which comes near
/// the end in both forms of a trace.
const TAIL: u64 = 256 << 10;

fn ends_with_diagnosis(file: &File, size: u64) -> bool {
    // Within a string of the trace its quotation marks would be escaped.
    const KEY: &[u8] = b"\"not_examined\":";
    let from = size.saturating_sub(TAIL);
    let mut tail = vec![0; usize::try_from(size - from).unwrap_or(0)];
    file.read_exact_at(&mut tail, from).is_ok() && memchr::memmem::find(&tail, KEY).is_some()
}

impl Reader {
    /// Takes any byte stream; `name` is what errors call it.
    ///
    /// # Errors
    /// The stream cannot be read, is empty, or does not begin like a trace.
    pub fn new(name: String, mut input: Box<dyn Read>) -> Result<Self, ReadError> {
        let (head, form) = sniff::sniff(&name, &mut *input)?;
        let input: Box<dyn Read> = Box::new(Cursor::new(head).chain(input));
        Ok(Self {
            name,
            input: BufReader::with_capacity(256 << 10, input),
            form,
            redactor: None,
            again: None,
            diagnosed: false,
        })
    }

    /// Replaces credentials in all that it hands over: the trace may have been recorded with them.
    pub fn redacted(self, redactor: Option<Rc<Redactor>>) -> Self {
        Self { redactor, ..self }
    }

    /// The same from a file, and shows how far it is.
    pub(crate) fn from_file(name: String, file: File) -> Result<Self, ReadError> {
        // A pipe has no size.
        let size = file.metadata().ok().filter(|m| m.is_file()).map_or(0, |m| m.len());
        let again = (size > 0).then(|| file.try_clone().ok()).flatten();
        let diagnosed = again.is_some() && ends_with_diagnosis(&file, size);
        let watched = progress::watched(file, &name, size);
        Ok(Self { again, diagnosed, ..Self::new(name, Box::new(watched))? })
    }

    /// Does its end look as if it said what makes the starts slow? Where [`Ending::diagnosis`] is `None` all
    /// the same, it is to be read [once more](Self::once_more).
    pub(crate) fn is_diagnosed(&self) -> bool {
        self.diagnosed
    }

    /// What reads it once more, after it has been read; nothing of a pipe.
    pub(crate) fn once_more(&self) -> Option<impl FnOnce() -> Result<Self, ReadError> + use<>> {
        let mut file = self.again.as_ref()?.try_clone().ok()?;
        let (name, redactor) = (self.name.clone(), self.redactor.clone());
        Some(move || {
            file.rewind().map_err(|e| ReadError::io(&name, e))?;
            Ok(Self::new(name, Box::new(file))?.redacted(redactor))
        })
    }

    /// What errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bytes, unread.
    pub(crate) fn into_bytes(self) -> impl Read {
        self.input
    }

    /// Reads to the end and hands over each item; the caller may stop it with [`ControlFlow::Break`],
    /// and the ending then tells what was known until there.
    ///
    /// A file that ends too early is not an error: what is there is handed over, and
    /// [`Ending::cut_off`] is set.
    ///
    /// # Errors
    /// Not a startrace trace, another schema version, not JSON (with line and column), a record that
    /// is too long, or a read error.
    pub fn read(self, each: &mut dyn FnMut(Item) -> ControlFlow<()>) -> Result<Ending, ReadError> {
        self.take(&mut Each(each))
    }

    /// The same, for somebody who does not want every start whole.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn take(self, take: &mut dyn Take) -> Result<Ending, ReadError> {
        let redactor = self.redactor;
        let mut taker = Redacted { redactor: redactor.as_deref(), take };
        let mut ending = match self.form {
            sniff::Form::Lines => lines::read(&self.name, self.input, &mut taker),
            sniff::Form::Document => document::read(&self.name, self.input, &mut taker),
        }?;
        if let Some(redactor) = &redactor {
            ending.diagnosis.iter_mut().for_each(|diagnosis| redactor.diagnosis(diagnosis));
            ending.session.iter_mut().for_each(|session| redactor.session(session));
        }
        Ok(ending)
    }
}

/// Refuses any schema but ours, and says what to do.
fn check_schema(schema: &str) -> Result<(), ErrorKind> {
    if schema == SCHEMA {
        return Ok(());
    }
    let number = |s: &str| s.strip_prefix("startrace/").and_then(|n| n.parse::<u64>().ok());
    let shown = super::text::sanitize(&schema.chars().take(80).collect::<String>());
    Err(match (number(schema), number(SCHEMA)) {
        (Some(theirs), Some(ours)) if theirs > ours => ErrorKind::NewerSchema(shown),
        (Some(_), _) => ErrorKind::OtherSchema(shown),
        _ => ErrorKind::NotATrace(format!("its schema is {shown:?}")),
    })
}

/// `None` where neither list is there: nobody has looked.
fn diagnosis(findings: Option<Vec<Joined>>, not_examined: Option<Vec<NotExamined>>) -> Option<Diagnosis> {
    if findings.is_none() && not_examined.is_none() {
        return None;
    }
    let (findings, not_examined) = (findings.unwrap_or_default(), not_examined.unwrap_or_default());
    Some(Diagnosis { findings, not_examined })
}

/// A whole trace in memory, later lines merged into their starts.
#[derive(Debug)]
pub struct Loaded {
    /// What made the trace, and where.
    pub header: Header,
    /// The starts, in the order of the file.
    pub starts: Vec<Start>,
    /// Forks that failed.
    pub failed_forks: Vec<FailedFork>,
    /// Pools.
    pub groups: Vec<Group>,
    /// What makes the starts slow; `None` where the file does not say (it is older, or has no end).
    pub diagnosis: Option<Diagnosis>,
    /// How the recording was made; `None` where the end is missing.
    pub session: Option<Session>,
    /// The file ends too early, and how that shows.
    pub cut_off: Option<String>,
    /// Lines of a type that this version does not know.
    pub unknown_lines: u64,
    /// Exit and method lines whose start the file does not hold.
    pub unmatched_lines: u64,
}

impl Loaded {
    /// Nothing was lost, cut short or cut off, as far as the trace knows.
    pub fn is_complete(&self) -> bool {
        self.cut_off.is_none() && self.session.as_ref().is_some_and(|s| s.complete)
    }
}

/// Reads a whole trace into memory (some 2 to 4 KB a start). `report` does not use it: see
/// [`crate::report::Digest::read`].
///
/// # Errors
/// As [`open`] and [`Reader::read`].
pub fn load(path: &Path) -> Result<Loaded, ReadError> {
    open(path)?.load()
}

impl Reader {
    /// Reads a whole trace into memory, as [`load`].
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn load(self) -> Result<Loaded, ReadError> {
        let mut starts: Vec<Start> = Vec::new();
        let mut failed_forks = Vec::new();
        let mut by_id: HashMap<String, usize> = HashMap::default();
        let mut unmatched_lines = 0;
        let ending = self.read(&mut |item| {
            match item {
                Item::Header(_) => {}
                Item::Start(start) => {
                    by_id.insert(start.start_id.clone(), starts.len());
                    starts.push(*start);
                }
                Item::FailedFork(failed) => failed_forks.push(*failed),
                Item::Exit { start_id, exit } => {
                    match by_id.get(&start_id).and_then(|&i| starts.get_mut(i)) {
                        Some(start) => start.exit = Some(exit),
                        None => unmatched_lines += 1,
                    }
                }
                Item::Method { start_id, method } => {
                    match by_id.get(&start_id).and_then(|&i| starts.get_mut(i)) {
                        Some(start) => start.method = *method,
                        None => unmatched_lines += 1,
                    }
                }
            }
            ControlFlow::Continue(())
        })?;
        Ok(Loaded {
            header: ending.header,
            starts,
            failed_forks,
            groups: ending.groups,
            diagnosis: ending.diagnosis,
            session: ending.session,
            cut_off: ending.cut_off,
            unknown_lines: ending.unknown_lines,
            unmatched_lines,
        })
    }
}

#[cfg(test)]
mod tests;
