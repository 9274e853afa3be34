//! The JSON document, read start by start.

use super::{Ending, ErrorKind, Item, MAX_DEPTH, MAX_RECORD, ReadError, check_schema};
use crate::trace::schema::{FailedFork, Group, Header, Host, Joined, NotExamined, Session, Start, Tool};
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read};
use std::ops::ControlFlow;

/// Stops a document whose single record, string or nesting has no end: the parser would hold it all.
struct Limited<'a, R> {
    inner: R,
    scan: &'a RefCell<Scan>,
}

#[derive(Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Bytes of the record under way.
    record: usize,
    total: u64,
    refusal: Option<ErrorKind>,
}

impl Scan {
    fn take(&mut self, bytes: &[u8]) -> Result<(), ErrorKind> {
        for &byte in bytes {
            self.record += 1;
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                    _ => {}
                }
                // Elements of `starts`, `groups`, `findings` and the like are at depth 3.
                if self.depth <= 2 {
                    self.record = 0;
                }
            }
            if self.record > MAX_RECORD {
                let place = format!("before byte {}", self.total + bytes.len() as u64);
                return Err(ErrorKind::TooLong { place });
            }
            if self.depth > MAX_DEPTH {
                return Err(ErrorKind::NotATrace(format!("nested more than {MAX_DEPTH} levels deep")));
            }
        }
        self.total += bytes.len() as u64;
        Ok(())
    }
}

impl<R: Read> Read for Limited<'_, R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buf)?;
        let mut scan = self.scan.borrow_mut();
        if let Err(kind) = scan.take(buf.get(..n).unwrap_or_default()) {
            scan.refusal = Some(kind);
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(n)
    }
}

/// What has been read so far; kept outside the parser so that it outlives an error.
struct State<'e> {
    each: &'e mut dyn FnMut(Item) -> ControlFlow<()>,
    schema: Option<String>,
    tool: Option<Tool>,
    host: Option<Host>,
    header: Option<Header>,
    groups: Vec<Group>,
    findings: Option<Vec<Joined>>,
    not_examined: Option<Vec<NotExamined>>,
    session: Option<Session>,
    starts_seen: bool,
    stopped: bool,
    refusal: Option<ErrorKind>,
}

impl State<'_> {
    fn hand_over<E: serde::de::Error>(&mut self, item: Item) -> Result<(), E> {
        if (self.each)(item).is_break() {
            self.stopped = true;
            return Err(E::custom("stopped by the reader"));
        }
        Ok(())
    }

    fn header_if_whole<E: serde::de::Error>(&mut self) -> Result<(), E> {
        if let (None, Some(schema), Some(tool), Some(host)) =
            (&self.header, &self.schema, &self.tool, &self.host)
        {
            let header = Header { schema: schema.clone(), tool: tool.clone(), host: host.clone() };
            self.header = Some(header.clone());
            self.hand_over(Item::Header(Box::new(header)))?;
        }
        Ok(())
    }
}

struct Document<'s, 'e>(&'s mut State<'e>);

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a trace (an object)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let state = self.0;
        while let Some(key) = map.next_key::<String>()? {
            match &*key {
                "schema" => {
                    let schema: String = map.next_value()?;
                    if let Err(kind) = check_schema(&schema) {
                        state.refusal = Some(kind);
                        return Err(A::Error::custom("another schema"));
                    }
                    state.schema = Some(schema);
                }
                "tool" => state.tool = Some(map.next_value()?),
                "host" => state.host = Some(map.next_value()?),
                "groups" => map.next_value_seed(List(&mut state.groups))?,
                "findings" => map.next_value_seed(List(state.findings.get_or_insert_default()))?,
                "not_examined" => map.next_value_seed(List(state.not_examined.get_or_insert_default()))?,
                "session" => state.session = Some(map.next_value()?),
                "starts" => {
                    state.starts_seen = true;
                    map.next_value_seed(Starts(state))?;
                }
                "failed_forks" => map.next_value_seed(FailedForks(state))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            state.header_if_whole()?;
        }
        Ok(())
    }
}

struct Starts<'s, 'e>(&'s mut State<'e>);

impl<'de> DeserializeSeed<'de> for Starts<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Starts<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the starts (an array)")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(start) = seq.next_element::<Box<Start>>()? {
            self.0.hand_over(Item::Start(start))?;
        }
        Ok(())
    }
}

struct FailedForks<'s, 'e>(&'s mut State<'e>);

impl<'de> DeserializeSeed<'de> for FailedForks<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for FailedForks<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the forks that failed (an array)")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(failed) = seq.next_element::<Box<FailedFork>>()? {
            self.0.hand_over(Item::FailedFork(failed))?;
        }
        Ok(())
    }
}

/// A short list; what is past the limit is passed over, as nothing else bounds how long it is.
struct List<'s, T>(&'s mut Vec<T>);

const MAX_LIST: usize = 100_000;

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for List<'_, T> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<'_, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        self.0.clear();
        while self.0.len() < MAX_LIST {
            match seq.next_element()? {
                Some(item) => self.0.push(item),
                None => return Ok(()),
            }
        }
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(())
    }
}

pub(super) fn read(
    name: &str,
    input: impl Read,
    each: &mut dyn FnMut(Item) -> ControlFlow<()>,
) -> Result<Ending, ReadError> {
    let scan = RefCell::new(Scan::default());
    let mut state = State {
        each,
        schema: None,
        tool: None,
        host: None,
        header: None,
        groups: Vec::new(),
        findings: None,
        not_examined: None,
        session: None,
        starts_seen: false,
        stopped: false,
        refusal: None,
    };
    // serde_json asks for single bytes: it must have a buffer on its side of the scan.
    let limited = io::BufReader::with_capacity(64 << 10, Limited { inner: input, scan: &scan });
    let mut json = serde_json::Deserializer::from_reader(limited);
    let outcome = Document(&mut state).deserialize(&mut json).and_then(|()| json.end());
    let mut cut_off = None;
    if let Err(error) = outcome {
        if let Some(kind) = state.refusal.or_else(|| scan.borrow_mut().refusal.take()) {
            return Err(ReadError::new(name, kind));
        }
        match error.classify() {
            _ if state.stopped => {}
            serde_json::error::Category::Eof => {
                cut_off = Some("the document has no end".into());
            }
            serde_json::error::Category::Io => return Err(ReadError::io(name, error.into())),
            _ => return Err(ReadError::json(name, &error, 0)),
        }
    }
    let Some(header) = state.header else {
        return Err(ReadError::new(
            name,
            match (cut_off, state.schema) {
                (Some(_), _) => ErrorKind::CutOffInHeader,
                (None, None) => ErrorKind::NotATrace("it names no schema".into()),
                (None, Some(_)) => ErrorKind::NotATrace("it has no `tool` or no `host`".into()),
            },
        ));
    };
    if !state.stopped && cut_off.is_none() {
        if !state.starts_seen {
            let why = "it has no `starts`".into();
            return Err(ReadError::new(name, ErrorKind::NotATrace(why)));
        }
        if state.session.is_none() {
            cut_off = Some("it has no `session`".into());
        }
    }
    let diagnosis = super::diagnosis(state.findings, state.not_examined);
    Ok(Ending { header, groups: state.groups, diagnosis, session: state.session, cut_off, unknown_lines: 0 })
}
