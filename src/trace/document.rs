//! The JSON document, made from the lines of a spool.
//!
//! Starts are written to the spool in the order of their completion; the document has parents before
//! children, each start's later exit and refined method inside of it, and the forks that failed in a
//! list of their own. Starts are not held in
//! memory for that: the first pass keeps 32 bytes or so for each (where its line is, what it is
//! called, who its parent is), the second reads the lines again in their new order. A line that
//! nothing amends is copied as it is.

use super::json;
use super::parse;
use super::schema::{Diagnosis, Exit, FailedFork, Group, Header, Method, Session, Start};
use crate::hash::RandomState;
use crate::sort::SortSmall;
use serde::Deserialize;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;

/// Longest line that is believed; a start with 32 KiB of arguments is a tenth of a megabyte at most.
const MAX_LINE: u64 = 64 * 1024 * 1024;
/// How every start line begins; without it the object is the one that the document holds.
const START: &[u8] = b"{\"type\":\"start\",";
/// The same of a fork that failed.
const FAILED_FORK: &[u8] = b"{\"type\":\"failed_fork\",";
/// "No parent" in [`Entry::parent`].
const NONE: u64 = 0;

/// Why there is no document.
#[derive(Debug)]
pub enum Trouble {
    /// The spool could not be read.
    Read(io::Error),
    /// The document could not be written.
    Write(io::Error),
    /// A line of the spool is not what it should be.
    Line {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(e) => write!(f, "the spool cannot be read: {e}"),
            Self::Write(e) => write!(f, "{e}"),
            Self::Line { number, why } => write!(f, "line {number} of the spool: {why}"),
        }
    }
}

impl std::error::Error for Trouble {}

/// Where a start's line is, and its place among the others.
struct Entry {
    origin_ns: u64,
    offset: u64,
    parent: u64,
    length: u32,
}

/// Where a line is that amends a start.
struct Amendment {
    start: u32,
    length: u32,
    offset: u64,
}

/// The few fields that the order is made from; the rest of a line is skipped and not built.
#[derive(Deserialize)]
struct Peek {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    start_id: String,
    #[serde(default)]
    parent: Option<PeekParent>,
    #[serde(default)]
    timeline: PeekTimeline,
}

#[derive(Deserialize)]
struct PeekParent {
    #[serde(default)]
    start_id: Option<String>,
}

#[derive(Deserialize, Default)]
struct PeekTimeline {
    #[serde(default)]
    origin_boottime_ns: u64,
}

#[derive(Default)]
struct Index {
    header: Option<(u64, u32)>,
    footer: Option<(u64, u32)>,
    starts: Vec<Entry>,
    /// Hash of the start id and place in `starts`, sorted.
    keys: Vec<(u64, u32)>,
    amendments: Vec<Amendment>,
    /// Where the forks that failed are.
    failed_forks: Vec<(u64, u32)>,
    /// Amendments of starts that are not there.
    orphans: u64,
}

/// What a footer holds besides the diagnosis.
#[derive(Deserialize)]
struct Footer {
    #[serde(default)]
    groups: Vec<Group>,
    session: Session,
}

/// What a later line says of a start that was written before.
#[derive(Deserialize)]
struct Amended {
    exit: Option<Exit>,
    method: Option<Method>,
}

/// Writes the document that the lines of `spool` make: a header first, any number of starts, exits,
/// methods and failed forks, a footer last. Returns the number of starts.
///
/// # Errors
/// See [`Trouble`]; what was written by then is of no use.
pub fn write(spool: &File, out: &mut impl Write) -> Result<u64, Trouble> {
    let index = index(spool)?;
    let missing = |what: &str| Trouble::Line { number: 0, why: format!("there is no {what}") };
    let header = read(spool, index.header.ok_or_else(|| missing("header"))?)?;
    let header: Header = parse(&header)?;
    let footer = read(spool, index.footer.ok_or_else(|| missing("footer"))?)?;
    let diagnosis: Diagnosis = parse(&footer)?;
    let Footer { groups, mut session } = parse(&footer)?;
    if index.orphans > 0 {
        session.complete = false;
        session.lost.insert("amendments_without_start".into(), index.orphans);
    }

    // Header and document are one object: the brace stays open.
    let mut text = json(&header)?;
    text.pop();
    put(out, &text)?;
    put(out, b",\n\"starts\":[")?;
    for (n, start) in order(&index).into_iter().enumerate() {
        put(out, if n == 0 { b"\n" } else { b",\n" })?;
        write_start(spool, &index, start, out)?;
    }
    put(out, b"\n],\n\"failed_forks\":[")?;
    for (n, &place) in index.failed_forks.iter().enumerate() {
        put(out, if n == 0 { b"\n" } else { b",\n" })?;
        write_failed_fork(&read(spool, place)?, out)?;
    }
    put(out, b"],\n\"groups\":")?;
    put(out, &json(&groups)?)?;
    put(out, b",\n\"findings\":")?;
    put(out, &json(&diagnosis.findings)?)?;
    put(out, b",\n\"not_examined\":")?;
    put(out, &json(&diagnosis.not_examined)?)?;
    put(out, b",\n\"session\":")?;
    put(out, &json(&session)?)?;
    put(out, b"}\n")?;
    out.flush().map_err(Trouble::Write)?;
    Ok(index.starts.len() as u64)
}

fn index(spool: &File) -> Result<Index, Trouble> {
    let hasher = RandomState::default();
    // 0 stands for none; one id in 2^64 shares 1 with another.
    let hash = |id: &str| hasher.hash_one(id).max(NONE + 1);
    let mut index = Index::default();
    let mut pending: Vec<(u64, Amendment)> = Vec::new();
    let mut reader = BufReader::with_capacity(64 * 1024, At { spool, offset: 0 });
    let (mut line, mut offset, mut number) = (Vec::new(), 0u64, 0u64);
    loop {
        line.clear();
        let length = (&mut reader).take(MAX_LINE).read_until(b'\n', &mut line).map_err(Trouble::Read)? as u64;
        if length == 0 {
            break;
        }
        number += 1;
        let bad = |why: String| Trouble::Line { number, why };
        if line.pop() != Some(b'\n') {
            return Err(bad("it is cut off or too long".into()));
        }
        let peek: Peek = parse::json(&line).map_err(|e| bad(e.to_string()))?;
        let length = length as u32 - 1;
        let too_many = |_| bad("too many starts for one document".into());
        match peek.kind.as_str() {
            "header" => index.header = Some((offset, length)),
            "footer" => index.footer = Some((offset, length)),
            "start" => {
                let place = u32::try_from(index.starts.len()).map_err(too_many)?;
                index.keys.push((hash(&peek.start_id), place));
                let parent = peek.parent.and_then(|parent| parent.start_id);
                index.starts.push(Entry {
                    origin_ns: peek.timeline.origin_boottime_ns,
                    offset,
                    parent: parent.map_or(NONE, |id| hash(&id)),
                    length,
                });
            }
            "failed_fork" => index.failed_forks.push((offset, length)),
            "exit" | "method" => pending.push((hash(&peek.start_id), Amendment { start: 0, length, offset })),
            other => return Err(bad(format!("unknown type {other:?}"))),
        }
        offset += u64::from(length) + 1;
    }
    index.keys.sort_unstable();
    for (key, mut amendment) in pending {
        match index.find(key) {
            Some(start) => {
                amendment.start = start;
                index.amendments.push(amendment);
            }
            None => index.orphans += 1,
        }
    }
    // Stable: the last method that was written is the one that holds.
    index.amendments.sort_small_by_key(|amendment| amendment.start);
    Ok(index)
}

impl Index {
    fn find(&self, key: u64) -> Option<u32> {
        let at = self.keys.partition_point(|&(other, _)| other < key);
        let &(found, place) = self.keys.get(at)?;
        (found == key).then_some(place)
    }
}

/// By origin, but for parents, which come before their children even where origins are equal or (of
/// an imprecise origin) the wrong way round. A loop of parents, which only a forged spool can have,
/// is cut.
fn order(index: &Index) -> Vec<u32> {
    let mut by_origin: Vec<u32> = (0..index.starts.len() as u32).collect();
    by_origin.sort_small_by_key(|&i| index.starts[i as usize].origin_ns);
    let mut placed = vec![false; index.starts.len()];
    let mut order = Vec::with_capacity(index.starts.len());
    let mut line = Vec::new();
    for start in by_origin {
        let mut next = Some(start);
        while let Some(start) = next
            && !std::mem::replace(&mut placed[start as usize], true)
        {
            line.push(start);
            next = match index.starts[start as usize].parent {
                NONE => None,
                parent => index.find(parent),
            };
        }
        order.extend(line.drain(..).rev());
    }
    order
}

fn write_start(spool: &File, index: &Index, place: u32, out: &mut impl Write) -> Result<(), Trouble> {
    let entry = &index.starts[place as usize];
    let line = read(spool, (entry.offset, entry.length))?;
    let first = index.amendments.partition_point(|a| a.start < place);
    let amendments = index.amendments[first..].iter().take_while(|a| a.start == place);
    let (mut exit, mut method): (Option<Exit>, Option<Method>) = (None, None);
    for amendment in amendments {
        let amended: Amended = parse(&read(spool, (amendment.offset, amendment.length))?)?;
        exit = amended.exit.or(exit);
        method = amended.method.or(method);
    }
    if exit.is_none()
        && method.is_none()
        && let Some(rest) = line.strip_prefix(START)
    {
        put(out, b"{")?;
        return put(out, rest);
    }
    let start: Box<Start> = parse(&line)?;
    let start = Start { exit: exit.or(start.exit), method: method.unwrap_or(start.method), ..*start };
    put(out, &json(&start)?)
}

fn write_failed_fork(line: &[u8], out: &mut impl Write) -> Result<(), Trouble> {
    if let Some(rest) = line.strip_prefix(FAILED_FORK) {
        put(out, b"{")?;
        return put(out, rest);
    }
    put(out, &json(&parse::<FailedFork>(line)?)?)
}

fn read(spool: &File, (offset, length): (u64, u32)) -> Result<Vec<u8>, Trouble> {
    let mut line = vec![0; length as usize];
    spool.read_exact_at(&mut line, offset).map_err(Trouble::Read)?;
    Ok(line)
}

/// What a line holds, by its own type and not as one of all lines: that would be a second parser of everything.
fn parse<T: serde::de::DeserializeOwned>(line: &[u8]) -> Result<T, Trouble> {
    parse::json(line).map_err(|e| Trouble::Line { number: 0, why: e.to_string() })
}

fn json(value: &impl serde::Serialize) -> Result<Vec<u8>, Trouble> {
    json::text(value).map_err(|e| Trouble::Write(e.into()))
}

fn put(out: &mut impl Write, bytes: &[u8]) -> Result<(), Trouble> {
    out.write_all(bytes).map_err(Trouble::Write)
}

/// Reads a file from its beginning without moving the offset that its writer uses.
struct At<'a> {
    spool: &'a File,
    offset: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.spool.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::schema::*;
    use super::*;
    use std::collections::BTreeMap;

    pub(crate) fn header() -> Header {
        Header {
            schema: SCHEMA.into(),
            tool: Tool { name: "startrace".into(), version: "0".into() },
            host: Host {
                hostname: "h".into(),
                kernel: "6".into(),
                arch: "x86_64".into(),
                boot_id: None,
                cpus: 1,
                cpu_model: None,
                cpu_quota: None,
            },
        }
    }

    pub(crate) fn session() -> Session {
        Session {
            mode: "command".into(),
            target: Target::default(),
            level: "timeline".into(),
            env_source: Some("own".into()),
            started_at: "2025-01-01T00:00:00Z".into(),
            duration_ns: 1,
            ended_by: "exit".into(),
            complete: true,
            lost: BTreeMap::new(),
            hooks: Vec::new(),
            hooks_missing: 0,
            not_observed: Some(Vec::new()),
            redacted: None,
            starts: 0,
            left_out: 0,
            runs: Vec::new(),
        }
    }

    pub(crate) fn start(id: &str, parent: Option<&str>, origin: u64) -> Start {
        Start {
            start_id: id.into(),
            id: id.into(),
            pid: 1,
            comm: "c\u{ef80}\"\n".into(),
            parent: parent.map(|id| ProcessRef { start_id: Some(id.into()), ..ProcessRef::default() }),
            method: method("fork"),
            timeline: Timeline {
                origin_boottime_ns: origin,
                ready: Ready { kind: "exit".into(), ..Ready::default() },
                ..Timeline::default()
            },
            ..Start::default()
        }
    }

    pub(crate) fn method(name: &str) -> Method {
        Method {
            name: name.into(),
            primitive: None,
            mechanism: None,
            library: None,
            pattern: None,
            confidence: Confidence::Guess,
            evidence: Vec::new(),
            clone_flags: Vec::new(),
            exit_signal: None,
        }
    }

    pub(crate) fn exit(code: i32) -> Exit {
        Exit {
            code: Some(code),
            signal: None,
            core: false,
            killed_by: None,
            at_ns: 5,
            missing_libraries: None,
        }
    }

    fn spool(lines: &[Line]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        for line in lines {
            serde_json::to_writer(&mut file, line).unwrap();
            file.write_all(b"\n").unwrap();
        }
        file
    }

    fn started(id: &str, parent: Option<&str>, origin: u64) -> Line {
        Line::Start(Box::new(start(id, parent, origin)))
    }

    fn document(middle: Vec<Line>) -> Trace {
        let mut lines = vec![Line::Header(header())];
        lines.extend(middle);
        lines.push(Line::Footer { groups: Vec::new(), diagnosis: Diagnosis::default(), session: session() });
        let mut out = Vec::new();
        write(&spool(&lines), &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    }

    fn ids(trace: &Trace) -> Vec<&str> {
        trace.starts.iter().map(|s| s.start_id.as_str()).collect()
    }

    #[test]
    fn parents_come_before_children() {
        let trace = document(vec![
            started("grandchild", Some("child"), 30),
            started("child", Some("root"), 20),
            started("late", Some("unknown"), 40),
            started("root", None, 10),
        ]);
        assert_eq!(ids(&trace), ["root", "child", "grandchild", "late"]);
        assert_eq!(trace.starts[0], start("root", None, 10));
        assert_eq!(trace.header, header());
    }

    #[test]
    fn imprecise_origins_do_not_put_a_child_first() {
        let trace = document(vec![
            started("b", Some("a"), 5),
            started("c", Some("b"), 4),
            started("a", None, 9),
            started("x", None, 1),
        ]);
        assert_eq!(ids(&trace), ["x", "a", "b", "c"]);
    }

    #[test]
    fn loops_and_twins_are_written_once_each() {
        let trace = document(vec![
            started("a", Some("b"), 1),
            started("b", Some("a"), 2),
            started("own", Some("own"), 3),
            started("twin", None, 4),
            started("twin", None, 5),
        ]);
        let mut found = ids(&trace);
        found.sort_unstable();
        assert_eq!(found, ["a", "b", "own", "twin", "twin"]);
    }

    #[test]
    fn exits_and_methods_go_into_their_starts() {
        let trace = document(vec![
            started("a", None, 1),
            started("b", None, 2),
            Line::Method { start_id: "a".into(), method: method("first") },
            Line::Exit { start_id: "b".into(), exit: exit(3) },
            Line::Method { start_id: "a".into(), method: method("second") },
        ]);
        assert_eq!(trace.starts[0].method.name, "second");
        assert_eq!(trace.starts[0].exit, None);
        assert_eq!(trace.starts[1].exit, Some(exit(3)));
        assert_eq!(trace.starts[1].comm, "c\u{ef80}\"\n");
        assert!(trace.session.complete);
    }

    pub(crate) fn failed_fork(pid: u32, error: &str) -> FailedFork {
        FailedFork {
            boottime_ns: 7,
            duration_ns: Some(3),
            by: ProcessRef { start_id: None, id: None, pid, comm: Some("make\n".into()) },
            primitive: Some("clone".into()),
            error: error.into(),
        }
    }

    #[test]
    fn failed_forks_have_a_list_of_their_own() {
        let failed = [failed_fork(1, "EAGAIN"), failed_fork(2, "ENOMEM")];
        let trace = document(vec![
            Line::FailedFork(failed[0].clone()),
            started("a", None, 1),
            Line::FailedFork(failed[1].clone()),
        ]);
        assert_eq!(trace.failed_forks, failed);
        assert_eq!(trace.starts.len(), 1);
        assert!(document(Vec::new()).failed_forks.is_empty());
        // Keys in another order than ours.
        let mut file = spool(&[Line::Header(header())]);
        let mut line = serde_json::to_value(&failed[0]).unwrap();
        line["type"] = "failed_fork".into();
        writeln!(file, "{line}").unwrap();
        let footer = Line::Footer { groups: Vec::new(), diagnosis: Diagnosis::default(), session: session() };
        writeln!(file, "{}", serde_json::to_string(&footer).unwrap()).unwrap();
        let mut out = Vec::new();
        write(&file, &mut out).unwrap();
        assert_eq!(serde_json::from_slice::<Trace>(&out).unwrap().failed_forks, failed[..1]);
    }

    #[test]
    fn an_exit_without_its_start_is_counted() {
        let trace = document(vec![Line::Exit { start_id: "gone".into(), exit: exit(0) }]);
        assert!(!trace.session.complete);
        assert_eq!(trace.session.lost["amendments_without_start"], 1);
        assert!(trace.starts.is_empty());
    }

    #[test]
    fn a_damaged_spool_is_named_by_line() {
        let mut file = spool(&[Line::Header(header())]);
        file.write_all(b"{\"type\":\"start\",\"sta").unwrap();
        let trouble = write(&file, &mut Vec::new()).unwrap_err().to_string();
        assert!(trouble.contains("line 2"), "{trouble}");
        let trouble = write(&spool(&[]), &mut Vec::new()).unwrap_err().to_string();
        assert!(trouble.contains("no header"), "{trouble}");
        let mut odd = spool(&[]);
        odd.write_all(b"{\"type\":\"other\"}\n").unwrap();
        assert!(matches!(write(&odd, &mut Vec::new()), Err(Trouble::Line { number: 1, .. })));
    }
}
