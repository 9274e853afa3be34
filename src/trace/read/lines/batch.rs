//! Some whole lines of an NDJSON trace, and what each of them says.

use super::super::glance::{Detail, glance};
use super::super::{ErrorKind, Item, MAX_RECORD, check_schema};
use crate::trace::schema::{Exit, Group, Joined, Method, NotExamined, Session, Start};
use serde::Deserialize;
use std::borrow::Cow;
use std::io::{self, Read};
use std::ops::Range;

/// The beginning of most lines as startrace writes them: saves looking for the type.
const START: &[u8] = b"{\"type\":\"start\",";

/// Bytes of a batch; those of a longer line are one of their own.
const SIZE: usize = if cfg!(test) { 700 } else { 256 << 10 };

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
    Other(ErrorKind),
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

fn parse(line: &[u8]) -> Result<Parsed, Problem> {
    if line.starts_with(START) {
        return Ok(Parsed::Item(Item::Start(start(line)?)));
    }
    let typed: Typed<'_> = serde_json::from_slice(line)?;
    Ok(match &*typed.kind {
        "start" => Parsed::Item(Item::Start(start(line)?)),
        "exit" => {
            let ExitLine { start_id, exit } = serde_json::from_slice(line)?;
            Parsed::Item(Item::Exit { start_id, exit })
        }
        "method" => {
            let MethodLine { start_id, method } = serde_json::from_slice(line)?;
            Parsed::Item(Item::Method { start_id, method })
        }
        "failed_fork" => Parsed::Item(Item::FailedFork(serde_json::from_slice(line)?)),
        "footer" => Parsed::Footer(serde_json::from_slice(line)?),
        "header" => {
            let schema = typed
                .schema
                .ok_or_else(|| Problem::Other(ErrorKind::NotATrace("its header names no schema".into())))?;
            // Before the header's other fields: those of another version may differ.
            check_schema(&schema).map_err(Problem::Other)?;
            Parsed::Item(Item::Header(serde_json::from_slice(line)?))
        }
        _ => Parsed::Unknown,
    })
}

fn start(line: &[u8]) -> Result<Box<Start>, serde_json::Error> {
    serde_json::from_slice(line)
}

/// What a line says.
pub(super) enum Line<'b> {
    Blank,
    TooLong,
    Glanced(&'b mut Start),
    Parsed(Result<Parsed, Problem>),
}

/// What is kept of a line until it is taken.
#[derive(Debug)]
enum Kept {
    /// Nothing, or taken.
    Blank,
    TooLong,
    /// In the list of starts.
    Glanced(usize),
    Parsed(Result<Parsed, Problem>),
}

/// Some lines. It is used again and again, with all that it has allocated.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Number of the first line, from 1.
    first: u64,
    /// The file ends with it.
    last: bool,
    detail: Option<Detail>,
    lines: Vec<(Range<usize>, Kept)>,
    starts: Vec<Start>,
}

impl Batch {
    pub(super) fn parse(&mut self) {
        self.lines.clear();
        let (mut at, mut glanced) = (0, 0);
        while at < self.bytes.len() {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
            let line = rest.get(..length).unwrap_or_default();
            let kept = if length > MAX_RECORD {
                Kept::TooLong
            } else if line.first().is_none_or(u8::is_ascii_whitespace)
                && line.iter().all(u8::is_ascii_whitespace)
            {
                Kept::Blank
            } else {
                let detail = self.detail.filter(|_| line.starts_with(START));
                if detail.is_some() && glanced == self.starts.len() {
                    self.starts.push(Start::default());
                }
                let both = detail.zip(self.starts.get_mut(glanced));
                if both.and_then(|(detail, start)| glance(line, detail, start)).is_some() {
                    glanced += 1;
                    Kept::Glanced(glanced - 1)
                } else {
                    Kept::Parsed(parse(line))
                }
            };
            self.lines.push((at..at + length, kept));
            at += length + 1;
        }
    }

    /// How many lines.
    pub(super) fn lines(&self) -> usize {
        self.lines.len()
    }

    /// The number of a line in the file, from 1.
    pub(super) fn number(&self, line: usize) -> u64 {
        self.first + line as u64
    }

    /// The file ends in that line.
    pub(super) fn is_torn(&self, line: usize) -> bool {
        self.last && self.lines.get(line).is_some_and(|(range, _)| range.end == self.bytes.len())
    }

    /// What a line says, once.
    pub(super) fn take(&mut self, line: usize) -> Line<'_> {
        let Some((_, kept)) = self.lines.get_mut(line) else { return Line::Blank };
        match std::mem::replace(kept, Kept::Blank) {
            Kept::Blank => Line::Blank,
            Kept::TooLong => Line::TooLong,
            Kept::Glanced(start) => self.starts.get_mut(start).map_or(Line::Blank, Line::Glanced),
            Kept::Parsed(parsed) => Line::Parsed(parsed),
        }
    }

    /// A line that was glanced at, whole.
    pub(super) fn whole(&self, line: usize) -> Result<Parsed, Problem> {
        let bytes = self.lines.get(line).and_then(|(range, _)| self.bytes.get(range.clone()));
        parse(bytes.unwrap_or_default())
    }
}

/// Cuts a file into batches.
pub(super) struct Cutter<R> {
    input: R,
    detail: Option<Detail>,
    /// What was read past the last batch.
    rest: Vec<u8>,
    /// Lines so far.
    lines: u64,
    done: bool,
}

impl<R: Read> Cutter<R> {
    pub(super) fn new(input: R, detail: Option<Detail>) -> Self {
        Self { input, detail, rest: Vec::new(), lines: 0, done: false }
    }

    /// Nothing is left of the file.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// The next lines; whether there are any.
    pub(super) fn next(&mut self, batch: &mut Batch) -> io::Result<bool> {
        if batch.bytes.capacity() > 16 * SIZE {
            // A very long line must not be held for good.
            *batch = Batch::default();
        }
        let bytes = &mut batch.bytes;
        bytes.clear();
        bytes.append(&mut self.rest);
        let mut searched = 0;
        let end = loop {
            let wanted = SIZE.max(bytes.len() + SIZE / 4) - bytes.len();
            let n = (&mut self.input).take(wanted as u64).read_to_end(bytes)?;
            // Lines that are too long are not read to their end.
            let newline = bytes.get(searched..).and_then(|new| memchr::memrchr(b'\n', new));
            match newline {
                _ if n < wanted => {
                    self.done = true;
                    break bytes.len();
                }
                Some(at) => break searched + at + 1,
                None if bytes.len() > MAX_RECORD => break bytes.len(),
                None => searched = bytes.len(),
            }
        };
        self.rest.extend_from_slice(bytes.get(end..).unwrap_or_default());
        bytes.truncate(end);
        batch.first = self.lines + 1;
        batch.last = self.done;
        batch.detail = self.detail;
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        Ok(!bytes.is_empty())
    }
}
