//! Some whole records of a trace, and what each of them says.

use super::glance::{Detail, glance};
use super::{ErrorKind, Item, MAX_RECORD, ReadError, check_schema};
use crate::trace::parse;
use crate::trace::schema::{Exit, Group, Joined, Method, NotExamined, Session, Start};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::Range;

/// The beginning of most lines as startrace writes them: saves looking for the type.
const START: &[u8] = b"{\"type\":\"start\",";

/// Bytes of a batch; those of a longer record are one of their own.
pub(super) const SIZE: usize = if cfg!(test) { 700 } else { 256 << 10 };

#[derive(Deserialize)]
struct Typed<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    schema: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct ExitLine {
    start_id: String,
    exit: Exit,
}

#[derive(Deserialize)]
struct MethodLine {
    start_id: String,
    method: Box<Method>,
}

#[derive(Debug, Deserialize)]
pub(super) struct FooterLine {
    #[serde(default)]
    pub(super) groups: Vec<Group>,
    pub(super) findings: Option<Vec<Joined>>,
    pub(super) not_examined: Option<Vec<NotExamined>>,
    pub(super) session: Session,
}

#[derive(Debug)]
pub(super) enum Parsed {
    Item(Item),
    Footer(Box<FooterLine>),
    Unknown,
}

#[derive(Debug)]
pub(super) enum Problem {
    Json(serde_json::Error),
    /// No JSON, where the record begins.
    Syntax(&'static str),
    Other(ErrorKind),
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

/// What a record is, by where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A line, which says itself what it is.
    Line,
    /// An element of a document's `starts`.
    Start,
    /// An element of its `failed_forks`.
    FailedFork,
}

impl Kind {
    /// Is it a start, as startrace writes it?
    fn is_start(self, record: &[u8]) -> bool {
        match self {
            Self::Line => record.starts_with(START),
            Self::Start => true,
            Self::FailedFork => false,
        }
    }

    fn parse(self, record: &[u8]) -> Result<Parsed, Problem> {
        if self.is_start(record) {
            return Ok(Parsed::Item(Item::Start(parse::json(record)?)));
        }
        match self {
            Self::Line | Self::Start => line(record),
            Self::FailedFork => Ok(Parsed::Item(Item::FailedFork(parse::json(record)?))),
        }
    }
}

fn line(line: &[u8]) -> Result<Parsed, Problem> {
    let typed: Typed<'_> = parse::json(line)?;
    Ok(match &*typed.kind {
        "start" => Parsed::Item(Item::Start(parse::json(line)?)),
        "exit" => {
            let ExitLine { start_id, exit } = parse::json(line)?;
            Parsed::Item(Item::Exit { start_id, exit })
        }
        "method" => {
            let MethodLine { start_id, method } = parse::json(line)?;
            Parsed::Item(Item::Method { start_id, method })
        }
        "failed_fork" => Parsed::Item(Item::FailedFork(parse::json(line)?)),
        "footer" => Parsed::Footer(parse::json(line)?),
        "header" => {
            let schema = typed
                .schema
                .ok_or_else(|| Problem::Other(ErrorKind::NotATrace("its header names no schema".into())))?;
            // Before the header's other fields: those of another version may differ.
            check_schema(&schema).map_err(Problem::Other)?;
            Parsed::Item(Item::Header(parse::json(line)?))
        }
        _ => Parsed::Unknown,
    })
}

/// What a record says.
pub(super) enum Record<'b> {
    Blank,
    TooLong,
    Glanced(&'b mut Start),
    Parsed(Result<Parsed, Problem>),
}

/// What is kept of a record until it is taken.
#[derive(Debug)]
enum Kept {
    /// Not parsed yet.
    Todo,
    /// Nothing, or taken.
    Blank,
    TooLong,
    /// In the list of starts.
    Glanced(usize),
    Parsed(Result<Parsed, Problem>),
}

/// Some records. It is used again and again, with all that it has allocated.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// What its records are ranges of.
    pub(super) bytes: Vec<u8>,
    /// Lines of the file before it, and bytes of that line.
    before: (u64, u64),
    /// The file ends with it.
    pub(super) last: bool,
    records: Vec<(Range<usize>, Kind, Kept)>,
    starts: Vec<Start>,
}

impl Batch {
    /// Begins another one, with so many lines of the file before it, and bytes of that line.
    pub(super) fn begin(&mut self, before: (u64, u64)) {
        if self.bytes.capacity() > 16 * SIZE {
            // A very long record must not be held for good.
            *self = Self::default();
        }
        self.bytes.clear();
        self.records.clear();
        self.before = before;
    }

    /// A record that is to be parsed.
    pub(super) fn push(&mut self, range: Range<usize>, kind: Kind) {
        self.records.push((range, kind, Kept::Todo));
    }

    /// What somebody parsed already.
    pub(super) fn push_parsed(&mut self, range: Range<usize>, parsed: Result<Parsed, Problem>) {
        self.records.push((range, Kind::Line, Kept::Parsed(parsed)));
    }

    /// Its bytes are lines, the last of which may have no end.
    pub(super) fn push_lines(&mut self) {
        let mut at = 0;
        while at < self.bytes.len() {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            self.push(at..at + length, Kind::Line);
            at += length + 1;
        }
    }

    pub(super) fn parse(&mut self, detail: Option<Detail>) {
        let mut glanced = 0;
        for (range, kind, kept) in &mut self.records {
            if !matches!(kept, Kept::Todo) {
                continue;
            }
            let record = self.bytes.get(range.clone()).unwrap_or_default();
            *kept = if record.len() > MAX_RECORD {
                Kept::TooLong
            } else if record.first().is_none_or(u8::is_ascii_whitespace)
                && record.iter().all(u8::is_ascii_whitespace)
            {
                Kept::Blank
            } else {
                let detail = detail.filter(|_| kind.is_start(record));
                if detail.is_some() && glanced == self.starts.len() {
                    self.starts.push(Start::default());
                }
                let both = detail.zip(self.starts.get_mut(glanced));
                if both.and_then(|(detail, start)| glance(record, detail, start)).is_some() {
                    glanced += 1;
                    Kept::Glanced(glanced - 1)
                } else {
                    Kept::Parsed(kind.parse(record))
                }
            };
        }
    }

    /// How many records.
    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    /// Where the text of a record begins: lines of the file before it, and bytes of that line.
    fn place(&self, record: usize) -> (u64, u64) {
        let at = self.records.get(record).map_or(0, |(range, ..)| range.start);
        after(self.before, self.bytes.get(..at).unwrap_or_default())
    }

    /// The file ends in that record.
    pub(super) fn is_torn(&self, record: usize) -> bool {
        self.last && self.records.get(record).is_some_and(|(range, ..)| range.end == self.bytes.len())
    }

    /// What a record says, once.
    pub(super) fn take(&mut self, record: usize) -> Record<'_> {
        let Some((.., kept)) = self.records.get_mut(record) else { return Record::Blank };
        match std::mem::replace(kept, Kept::Blank) {
            Kept::Todo | Kept::Blank => Record::Blank,
            Kept::TooLong => Record::TooLong,
            Kept::Glanced(start) => self.starts.get_mut(start).map_or(Record::Blank, Record::Glanced),
            Kept::Parsed(parsed) => Record::Parsed(parsed),
        }
    }

    /// A record that was glanced at, whole.
    pub(super) fn whole(&self, record: usize) -> Result<Parsed, Problem> {
        let Some((range, kind, _)) = self.records.get(record) else { return Ok(Parsed::Unknown) };
        kind.parse(self.bytes.get(range.clone()).unwrap_or_default())
    }

    /// The line of the file that a record is in, from 1.
    pub(super) fn line(&self, record: usize) -> u64 {
        self.place(record).0 + 1
    }

    /// What is wrong with a record, in a file of that name.
    pub(super) fn error(&self, name: &str, record: usize, problem: Problem) -> ReadError {
        let place = || self.place(record);
        match problem {
            Problem::Other(kind) => ReadError::new(name, kind),
            Problem::Json(error) => ReadError::json(name, &error, place()),
            Problem::Syntax(what) => {
                let (line, column) = place();
                let (line, column, what) = (line + 1, column + 1, what.to_owned());
                ReadError::new(name, ErrorKind::Malformed { line, column, what })
            }
        }
    }
}

/// Lines before the end of a text, and bytes of the line that it ends in, where it begins after so many.
pub(super) fn after((lines, column): (u64, u64), text: &[u8]) -> (u64, u64) {
    let newlines = memchr::memchr_iter(b'\n', text).count() as u64;
    match memchr::memrchr(b'\n', text) {
        Some(last) => (lines + newlines, (text.len() - last - 1) as u64),
        None => (lines, column + text.len() as u64),
    }
}
