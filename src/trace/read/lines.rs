//! NDJSON: a header line, a line per start (and per later exit, and per fork that failed), a footer line.

use super::{Ending, ErrorKind, Item, MAX_RECORD, ReadError, check_schema};
use crate::trace::schema::{Exit, Group, Header, Joined, Method, NotExamined, Session, Start};
use serde::Deserialize;
use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::ops::ControlFlow;

/// The beginning of most lines as startrace writes them: saves looking for the type.
const START: &[u8] = b"{\"type\":\"start\",";

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

#[derive(Deserialize)]
struct FooterLine {
    #[serde(default)]
    groups: Vec<Group>,
    findings: Option<Vec<Joined>>,
    not_examined: Option<Vec<NotExamined>>,
    session: Session,
}

enum Parsed {
    Item(Item),
    Footer(Box<FooterLine>),
    Unknown,
}

enum Problem {
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

pub(super) fn read(
    name: &str,
    mut input: impl BufRead,
    each: &mut dyn FnMut(Item) -> ControlFlow<()>,
) -> Result<Ending, ReadError> {
    let refuse = |kind| ReadError::new(name, kind);
    let mut header: Option<Header> = None;
    let mut footer: Option<FooterLine> = None;
    let mut cut_off = None;
    let mut unknown_lines = 0;
    let mut line = Vec::new();
    let mut number: u64 = 0;
    loop {
        line.clear();
        let limit = MAX_RECORD as u64 + 1;
        let n =
            Read::take(&mut input, limit).read_until(b'\n', &mut line).map_err(|e| ReadError::io(name, e))?;
        if n == 0 {
            break;
        }
        number += 1;
        let whole = line.pop_if(|last| *last == b'\n').is_some();
        if !whole && n as u64 == limit {
            return Err(refuse(ErrorKind::TooLong { place: format!("line {number}") }));
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let item = match parse(&line) {
            Ok(Parsed::Item(Item::Header(new))) => {
                if header.is_some() {
                    return Err(refuse(ErrorKind::NotATrace(format!(
                        "line {number} is a second header: several traces in one file"
                    ))));
                }
                header = Some((*new).clone());
                Item::Header(new)
            }
            Ok(_) if header.is_none() => {
                return Err(refuse(ErrorKind::NotATrace(format!(
                    "line {number} comes before any header line"
                ))));
            }
            Ok(Parsed::Item(item)) => item,
            Ok(Parsed::Footer(new)) => {
                footer = Some(*new);
                continue;
            }
            Ok(Parsed::Unknown) => {
                unknown_lines += 1;
                continue;
            }
            Err(Problem::Other(kind)) => return Err(refuse(kind)),
            Err(Problem::Json(error)) => {
                // The last line of a recorder that was killed, or of a disk that was full.
                let torn = !whole && !error.is_data();
                let last = torn && input.fill_buf().is_ok_and(<[u8]>::is_empty);
                if !last {
                    return Err(ReadError::json(name, &error, number - 1));
                }
                cut_off = Some(format!("line {number} is cut off"));
                break;
            }
        };
        if each(item).is_break() {
            break;
        }
    }
    let header = header.ok_or_else(|| refuse(ErrorKind::CutOffInHeader))?;
    let (groups, diagnosis, session) = match footer {
        Some(footer) => {
            (footer.groups, super::diagnosis(footer.findings, footer.not_examined), Some(footer.session))
        }
        None => (Vec::new(), None, None),
    };
    if session.is_none() && cut_off.is_none() {
        cut_off = Some("it has no last line (footer)".into());
    }
    Ok(Ending { header, groups, diagnosis, session, cut_off, unknown_lines })
}
