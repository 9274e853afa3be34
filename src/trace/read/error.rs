//! Why a trace could not be read, in words that say what to do.

use crate::trace::text::shell_path;
use std::fmt;
use std::io;

/// Why a trace could not be read.
#[derive(Debug)]
pub struct ReadError {
    name: String,
    kind: ErrorKind,
}

/// The ways in which a trace cannot be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file.
    Missing,
    /// A folder, not a file.
    Directory,
    /// Nothing in it.
    Empty,
    /// No FILE was given and the current folder has no trace.
    NoneHere,
    /// Compressed, by the named program.
    Compressed(&'static str),
    /// It ends before its header does, so not even its schema is known.
    CutOffInHeader,
    /// Not JSON, or a field of the wrong type.
    Malformed {
        /// Line, from 1.
        line: u64,
        /// Column in bytes, from 1; 0 at the end of a line.
        column: u64,
        /// What the parser found.
        what: String,
    },
    /// A record of more than [`super::MAX_RECORD`] bytes.
    TooLong {
        /// Where it is.
        place: String,
    },
    /// JSON, but not ours.
    NotATrace(String),
    /// A later schema version.
    NewerSchema(String),
    /// Another schema version.
    OtherSchema(String),
    /// The system refused to read.
    Io(io::Error),
}

impl ReadError {
    pub(super) fn new(name: &str, kind: ErrorKind) -> Self {
        Self { name: name.to_owned(), kind }
    }

    pub(crate) fn io(name: &str, error: io::Error) -> Self {
        let kind = match error.kind() {
            io::ErrorKind::NotFound => ErrorKind::Missing,
            io::ErrorKind::IsADirectory => ErrorKind::Directory,
            _ => ErrorKind::Io(error),
        };
        Self::new(name, kind)
    }

    /// From a parser's error in a text that begins after so many lines of the file, and bytes of that line.
    pub(super) fn json(name: &str, error: &serde_json::Error, (lines, bytes): (u64, u64)) -> Self {
        let text = error.to_string();
        // The position is given apart, counted from the beginning of the file.
        let what = text.rsplit_once(" at line ").map_or(&*text, |(w, _)| w);
        // A message can quote the file at any length.
        let what = crate::trace::text::sanitize(&what.chars().take(200).collect::<String>());
        let column = error.column() as u64 + if error.line() == 1 { bytes } else { 0 };
        Self::new(name, ErrorKind::Malformed { line: lines + error.line() as u64, column, what })
    }

    /// Which way of failing this is.
    pub fn kind(&self) -> &ErrorKind {
        &self.kind
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.name;
        match &self.kind {
            ErrorKind::Missing if std::path::Path::new(&format!("{name}.spool")).exists() => {
                write!(
                    f,
                    "{name}: no such file, but its recording left {name}.spool: startrace report {}",
                    shell_path(std::path::Path::new(&format!("{name}.spool")))
                )
            }
            ErrorKind::Missing => write!(f, "{name}: no such file"),
            ErrorKind::Directory => {
                write!(f, "{name}: is a folder; name a trace file in it")
            }
            ErrorKind::Empty => {
                write!(f, "{name}: the file is empty; the recording was stopped before it wrote anything")
            }
            ErrorKind::NoneHere => write!(
                f,
                "no trace in this folder (startrace-*.json, .ndjson, .json.spool): name a FILE, or record one \
                 with `startrace record -- CMD`"
            ),
            ErrorKind::Compressed(tool) => {
                let file = shell_path(std::path::Path::new(name));
                write!(f, "{name}: is compressed; try: {tool} -dc {file} | startrace report -")
            }
            ErrorKind::CutOffInHeader => {
                write!(f, "{name}: cut off within its first record; there is nothing to show")
            }
            ErrorKind::Malformed { line, column, what } => {
                write!(f, "{name}: line {line}, column {column}: {what}; not a trace, or damaged")
            }
            ErrorKind::TooLong { place } => write!(
                f,
                "{name}: {place}: a record of more than {} MiB; not a trace, or damaged",
                super::MAX_RECORD >> 20
            ),
            ErrorKind::NotATrace(why) => write!(f, "{name}: not a startrace trace: {why}"),
            ErrorKind::NewerSchema(theirs) => write!(
                f,
                "{name}: schema {theirs}: made by a newer startrace than this one, which reads {}; upgrade \
                 startrace",
                super::SCHEMA
            ),
            ErrorKind::OtherSchema(theirs) => {
                write!(f, "{name}: schema {theirs}: this startrace reads {}", super::SCHEMA)
            }
            ErrorKind::Io(e) => write!(f, "{name}: {e}"),
        }
    }
}

impl std::error::Error for ReadError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            // The message has the error itself already.
            ErrorKind::Io(e) => e.source(),
            _ => None,
        }
    }
}
