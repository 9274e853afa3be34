//! The JSON document, cut into its starts, which are read like the lines of an NDJSON file.
//!
//! Its other fields are few and small: they are parsed where they are found. Of what is around the fields and elements
//! nothing is assumed but that it is JSON: other programs write traces anew.

use super::batch::{Batch, Kind, Parsed, Problem, Record, SIZE, after};
use super::parallel::{self, Cut};
use super::scan::{Unclosed, value_end};
use super::{Ending, ErrorKind, Glance, Item, MAX_DEPTH, MAX_RECORD, ReadError, Redacted, check_schema};
use crate::trace::parse;
use crate::trace::schema::{Group, Header, Host, Joined, NotExamined, Session, Tool};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::io::{self, Read};
use std::ops::ControlFlow;

/// Elements of the short lists; what is past that is passed over, as nothing else bounds how long they are.
const MAX_LIST: usize = 100_000;

/// The document's fields that are lists, by their elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Records(Kind),
    Groups,
    Findings,
    NotExamined,
    /// One that this version does not know.
    Unknown,
}

/// What comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The object.
    Begin,
    /// A field, or the object's end where it has none.
    FirstKey,
    Key,
    /// The value of the field that [`Fields::key`] names.
    Colon,
    Value,
    /// A comma, or the object's end.
    AfterValue,
    /// An element, or the list's end where it has none.
    FirstElement(List),
    Element(List),
    /// A comma, or the list's end.
    AfterElement(List),
    /// Nothing.
    Nothing,
}

/// What the fields say.
#[derive(Debug, Default)]
struct Fields {
    key: String,
    schema: Option<String>,
    tool: Option<Tool>,
    host: Option<Host>,
    header: Option<Header>,
    groups: Vec<Group>,
    findings: Option<Vec<Joined>>,
    not_examined: Option<Vec<NotExamined>>,
    session: Option<Session>,
    starts_seen: bool,
}

/// An element of a list, if there is still place for it.
fn add<'de, T: Deserialize<'de>>(list: &mut Vec<T>, element: &'de [u8]) -> Result<(), serde_json::Error> {
    if list.len() < MAX_LIST {
        list.push(parse::json(element)?);
        return Ok(());
    }
    ignored(element)
}

fn ignored(value: &[u8]) -> Result<(), serde_json::Error> {
    serde_json::from_slice(value).map(|IgnoredAny| ())
}

impl Fields {
    /// A list begins.
    fn list(&mut self) -> List {
        match &*self.key {
            "starts" => {
                self.starts_seen = true;
                List::Records(Kind::Start)
            }
            "failed_forks" => List::Records(Kind::FailedFork),
            "groups" => {
                self.groups.clear();
                List::Groups
            }
            "findings" => {
                self.findings = Some(Vec::new());
                List::Findings
            }
            "not_examined" => {
                self.not_examined = Some(Vec::new());
                List::NotExamined
            }
            _ => List::Unknown,
        }
    }

    /// The value of a field, which is no list.
    fn value(&mut self, value: &[u8]) -> Result<(), Problem> {
        match &*self.key {
            "schema" => {
                let schema: String = parse::json(value)?;
                check_schema(&schema).map_err(Problem::Other)?;
                self.schema = Some(schema);
            }
            "tool" => self.tool = Some(parse::json(value)?),
            "host" => self.host = Some(parse::json(value)?),
            "session" => self.session = Some(parse::json(value)?),
            // An error: a list was expected.
            "starts" | "failed_forks" | "groups" | "findings" | "not_examined" => {
                serde_json::from_slice::<Vec<IgnoredAny>>(value)?;
            }
            _ => ignored(value)?,
        }
        Ok(())
    }

    /// The header, once, as soon as all of it has been seen.
    fn new_header(&mut self) -> Option<Header> {
        if self.header.is_some() {
            return None;
        }
        let (schema, tool, host) = (self.schema.clone()?, self.tool.clone()?, self.host.clone()?);
        self.header = Some(Header { schema, tool, host });
        self.header.clone()
    }

    fn ending(self, name: &str, stopped: bool, whole: bool) -> Result<Ending, ReadError> {
        let mut cut_off = (!stopped && !whole).then(|| "the document has no end".to_owned());
        let refuse = |kind| ReadError::new(name, kind);
        let Some(header) = self.header else {
            return Err(refuse(match (cut_off, self.schema) {
                (Some(_), _) => ErrorKind::CutOffInHeader,
                (None, None) => ErrorKind::NotATrace("it names no schema".into()),
                (None, Some(_)) => ErrorKind::NotATrace("it has no `tool` or no `host`".into()),
            }));
        };
        if !stopped && whole {
            if !self.starts_seen {
                return Err(refuse(ErrorKind::NotATrace("it has no `starts`".into())));
            }
            if self.session.is_none() {
                cut_off = Some("it has no `session`".into());
            }
        }
        let diagnosis = super::diagnosis(self.findings, self.not_examined);
        let Self { groups, session, .. } = self;
        Ok(Ending { header, groups, diagnosis, session, cut_off, unknown_lines: 0 })
    }
}

/// Cuts a document into batches of the elements of its long lists.
struct Cutter<R> {
    input: R,
    next: Next,
    fields: Fields,
    /// What was read past the last batch.
    rest: Vec<u8>,
    /// Lines, and bytes of the last one, before `rest`; and bytes altogether.
    before: (u64, u64),
    total: u64,
    /// The end of the file, or what is wrong, has been found.
    done: bool,
}

impl<R: Read> Cutter<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            next: Next::Begin,
            fields: Fields::default(),
            rest: Vec::new(),
            before: (0, 0),
            total: 0,
            done: false,
        }
    }

    /// What begins at that byte, which is no space: where it ends, or `None` where that has not been read yet.
    fn step(&mut self, batch: &mut Batch, at: usize) -> Result<Option<usize>, Problem> {
        let rest = batch.bytes.get(at..).unwrap_or_default();
        let Some(&byte) = rest.first() else { return Ok(None) };
        let past = Ok(Some(at + 1));
        match (self.next, byte) {
            (Next::Begin, b'{') => {
                self.next = Next::FirstKey;
                return past;
            }
            (Next::FirstKey | Next::AfterValue, b'}') => {
                self.next = Next::Nothing;
                return past;
            }
            (Next::AfterValue, b',') => {
                self.next = Next::Key;
                return past;
            }
            (Next::Colon, b':') => {
                self.next = Next::Value;
                return past;
            }
            (Next::Value, b'[') => {
                self.next = Next::FirstElement(self.fields.list());
                return past;
            }
            (Next::FirstElement(_) | Next::AfterElement(_), b']') => {
                self.next = Next::AfterValue;
                return past;
            }
            (Next::AfterElement(list), b',') => {
                self.next = Next::Element(list);
                return past;
            }
            (Next::Key | Next::FirstKey, b'"')
            | (Next::Begin | Next::Value | Next::Element(_) | Next::FirstElement(_), _) => {}
            (Next::Key | Next::FirstKey, _) => return Err(Problem::Syntax("key must be a string")),
            (Next::Colon, _) => return Err(Problem::Syntax("expected `:`")),
            (Next::AfterValue, _) => return Err(Problem::Syntax("expected `,` or `}`")),
            (Next::AfterElement(_), _) => return Err(Problem::Syntax("expected `,` or `]`")),
            (Next::Nothing, _) => return Err(Problem::Syntax("trailing characters")),
        }
        let length = match value_end(rest) {
            Ok(length) => length,
            Err(Unclosed::Deep) => {
                let why = format!("nested more than {MAX_DEPTH} levels deep");
                return Err(Problem::Other(ErrorKind::NotATrace(why)));
            }
            // Of what has no end in sight the beginning at least has to be right.
            Err(Unclosed::Open) => {
                return match ignored(rest) {
                    Err(error) if !error.is_eof() => Err(error.into()),
                    _ => Ok(None),
                };
            }
        };
        let (range, value) = (at..at + length, rest.get(..length).unwrap_or_default());
        match self.next {
            Next::Begin => {
                serde_json::from_slice::<std::collections::BTreeMap<String, IgnoredAny>>(value)?;
                return Err(Problem::Syntax("expected an object"));
            }
            Next::Key | Next::FirstKey => {
                self.fields.key = parse::json(value)?;
                self.next = Next::Colon;
            }
            Next::Element(list) | Next::FirstElement(list) => {
                match list {
                    List::Records(kind) => batch.push(range.clone(), kind),
                    List::Groups => add(&mut self.fields.groups, value)?,
                    List::Findings => add(self.fields.findings.get_or_insert_default(), value)?,
                    List::NotExamined => add(self.fields.not_examined.get_or_insert_default(), value)?,
                    List::Unknown => ignored(value)?,
                }
                self.next = Next::AfterElement(list);
            }
            _ => {
                self.fields.value(value)?;
                if let Some(header) = self.fields.new_header() {
                    batch.push_parsed(range.clone(), Ok(Parsed::Item(Item::Header(Box::new(header)))));
                }
                self.next = Next::AfterValue;
            }
        }
        Ok(Some(range.end))
    }
}

impl<R: Read> Cut for Cutter<R> {
    fn is_done(&self) -> bool {
        self.done
    }

    fn next(&mut self, batch: &mut Batch) -> io::Result<bool> {
        if self.done {
            return Ok(false);
        }
        batch.begin(self.before);
        batch.bytes.append(&mut self.rest);
        // Where what comes next begins: all before it has been cut.
        let mut at = 0;
        loop {
            // A record that goes on is looked at again from its beginning: seldom.
            let wanted = SIZE.max(2 * batch.bytes.len()) - batch.bytes.len();
            let n = (&mut self.input).take(wanted as u64).read_to_end(&mut batch.bytes)?;
            self.done = n < wanted;
            let cut_before = at;
            loop {
                let rest = batch.bytes.get(at..).unwrap_or_default();
                at += rest
                    .iter()
                    .position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'))
                    .unwrap_or(rest.len());
                match self.step(batch, at) {
                    Ok(Some(end)) => at = end,
                    Ok(None) => break,
                    Err(problem) => {
                        self.done = true;
                        batch.push_parsed(at..at, Err(problem));
                        return Ok(true);
                    }
                }
            }
            if self.done {
                return Ok(batch.len() > 0);
            }
            if at > cut_before {
                break;
            }
            if batch.bytes.len() - at > MAX_RECORD {
                let place = format!("after byte {}", self.total);
                self.done = true;
                batch.push_parsed(at..at, Err(Problem::Other(ErrorKind::TooLong { place })));
                return Ok(true);
            }
        }
        let cut = batch.bytes.get(..at).unwrap_or_default();
        self.before = after(self.before, cut);
        self.total += at as u64;
        self.rest.extend_from_slice(batch.bytes.get(at..).unwrap_or_default());
        batch.bytes.truncate(at);
        Ok(true)
    }
}

pub(super) fn read(name: &str, input: impl Read, take: &mut Redacted<'_>) -> Result<Ending, ReadError> {
    let detail = take.take.detail();
    let mut cutter = Cutter::new(input);
    let outcome = parallel::read(name, &mut cutter, detail, &mut |batch| {
        for record in 0..batch.len() {
            let parsed = match batch.take(record) {
                Record::Glanced(start) => match take.glance(start) {
                    Glance::Enough => continue,
                    Glance::Stop => return Ok(ControlFlow::Break(())),
                    Glance::Whole => batch.whole(record),
                },
                Record::Parsed(parsed) => parsed,
                Record::TooLong => {
                    let place = format!("line {}", batch.line(record));
                    return Err(ReadError::new(name, ErrorKind::TooLong { place }));
                }
                Record::Blank => continue,
            };
            match parsed {
                Ok(Parsed::Item(item)) => {
                    if take.item(item).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
                Ok(Parsed::Footer(_) | Parsed::Unknown) => {}
                Err(problem) => return Err(batch.error(name, record, problem)),
            }
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let whole = cutter.next == Next::Nothing;
    let mut fields = cutter.fields;
    if outcome.is_break() {
        // Some of what comes behind the place where it was stopped may have been cut already.
        fields = Fields { header: fields.header, ..Fields::default() };
    }
    fields.ending(name, outcome.is_break(), whole)
}
