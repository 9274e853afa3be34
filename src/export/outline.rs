//! The first reading of a trace: what every format needs before it sees the first start.

use crate::hash::{HashMap, RandomState};
use crate::redact::Redactor;
use crate::report::Digest;
use crate::report::digest::Seen;
use crate::trace::read::{self, Item, ReadError, Reader};
use crate::trace::schema::{Diagnosis, Exit, FailedFork, Group, Header, Method, Session, Start};
use crate::trace::whole;
use std::fmt;
use std::fs::File;
use std::hash::BuildHasher;
use std::io::{self, Seek};
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

/// Why there is no export.
#[derive(Debug)]
pub enum ExportError {
    /// The trace.
    Read(ReadError),
    /// What it was to be written to.
    Write(io::Error),
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(e) => e.fmt(f),
            Self::Write(e) => write!(f, "cannot write the export: {e}"),
        }
    }
}

impl std::error::Error for ExportError {}

impl From<ReadError> for ExportError {
    fn from(e: ReadError) -> Self {
        Self::Read(e)
    }
}

/// A trace that can be read twice.
#[derive(Debug)]
pub struct Source {
    name: String,
    file: File,
    redactor: Option<Rc<Redactor>>,
}

impl Source {
    /// Opens a trace file; `-` is standard input. What cannot be rewound (a pipe) is copied to a nameless
    /// temporary file first.
    ///
    /// # Errors
    /// It cannot be opened, or there is no room for the copy.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        // Names the file in the errors, and refuses what is no trace at all before it is copied.
        let reader = read::open(path)?;
        let name = reader.name().to_owned();
        // A pipe must not be opened a second time: what is in it would go to nobody.
        if path != Path::new("-") && std::fs::metadata(path).is_ok_and(|data| data.is_file()) {
            let file = File::open(path).map_err(|e| ReadError::io(&name, e))?;
            return Ok(Self { name, file, redactor: None });
        }
        let mut file = whole::nameless().map_err(anyhow::Error::from)?;
        io::copy(&mut reader.into_bytes(), &mut file)
            .map_err(|e| anyhow::anyhow!("cannot keep a copy of {name} to read it twice: {e}; set TMPDIR"))?;
        Ok(Self { name, file, redactor: None })
    }

    /// From an open regular file; `name` is what errors call it.
    pub fn new(name: String, file: File) -> Self {
        Self { name, file, redactor: None }
    }

    /// Without credentials in arguments.
    pub fn redacted(self, redactor: Option<Rc<Redactor>>) -> Self {
        Self { redactor, ..self }
    }

    fn reader(&mut self) -> Result<Reader, ReadError> {
        let rewound = self.file.rewind().and_then(|()| self.file.try_clone());
        let file = rewound.map_err(|e| ReadError::io(&self.name, e))?;
        Ok(Reader::from_file(self.name.clone(), file)?.redacted(self.redactor.clone()))
    }

    /// Reads the trace for the first time.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn outline(&mut self) -> Result<Outline, ReadError> {
        let state = RandomState::default();
        let (mut exits, mut methods) = (HashMap::default(), HashMap::default());
        let mut start_keys = Vec::new();
        let mut contexts = HashMap::default();
        let digest = Digest::read_with(self.reader()?, None, &mut |seen| match seen {
            Seen::Start(start) => {
                if let Some(context) = super::otlp::context_of(start) {
                    contexts.insert(start_keys.len() as u32, context);
                }
                start_keys.push(super::otlp::key(&start.start_id));
            }
            Seen::Exit(start_id, exit) => {
                exits.insert(state.hash_one(start_id), exit.clone());
            }
            Seen::Method(start_id, method) => {
                methods.insert(state.hash_one(start_id), method.clone());
            }
        })?;
        let mut by_key: Vec<(u64, u32)> = start_keys.iter().copied().zip(0..).collect();
        by_key.sort_unstable();
        Ok(Outline { digest, start_keys, by_key, contexts, state, exits, methods })
    }

    /// Reads it again, and hands over each start whole: with the exit and the method that came later.
    pub(super) fn each(
        &mut self,
        outline: &Outline,
        take: &mut dyn FnMut(Whole<'_>) -> io::Result<()>,
    ) -> Result<(), ExportError> {
        let mut row = 0u32;
        let mut failed = None;
        self.reader()?.read(&mut |item| {
            let taken = match item {
                // The spool of a living recording grows; what the outline has not seen is left out.
                Item::Start(_) if outline.digest.row(row).is_none() => return ControlFlow::Break(()),
                Item::Start(mut start) => {
                    outline.amend(&mut start);
                    let taken = take(Whole::Start(row, &start));
                    row = row.saturating_add(1);
                    taken
                }
                Item::FailedFork(failed) => take(Whole::FailedFork(&failed)),
                _ => Ok(()),
            };
            match taken {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => {
                    failed = Some(e);
                    ControlFlow::Break(())
                }
            }
        })?;
        failed.map_or(Ok(()), |e| Err(ExportError::Write(e)))
    }
}

/// What the second reading hands over.
pub(super) enum Whole<'a> {
    Start(u32, &'a Start),
    FailedFork(&'a FailedFork),
}

/// What is known of a trace after one reading.
#[derive(Debug)]
pub struct Outline {
    /// Rows in the order of the file.
    pub(super) digest: Digest,
    /// By row: the start's id, as a number that is the same in every export.
    pub(super) start_keys: Vec<u64>,
    /// Such numbers with their rows, in order.
    by_key: Vec<(u64, u32)>,
    /// By row: the TRACEPARENT of its environment.
    pub(super) contexts: HashMap<u32, super::otlp::Context>,
    state: RandomState,
    exits: HashMap<u64, Exit>,
    methods: HashMap<u64, Method>,
}

impl Outline {
    fn amend(&self, start: &mut Start) {
        if self.exits.is_empty() && self.methods.is_empty() {
            return;
        }
        let key = self.state.hash_one(&*start.start_id);
        if let Some(exit) = self.exits.get(&key) {
            start.exit = Some(exit.clone());
        }
        if let Some(method) = self.methods.get(&key) {
            start.method = method.clone();
        }
    }

    /// The row of a start id, where the file has it.
    pub(super) fn row_of(&self, start_id: &str) -> Option<u32> {
        let key = super::otlp::key(start_id);
        let &(found, row) = self.by_key.get(self.by_key.partition_point(|&(other, _)| other < key))?;
        (found == key).then_some(row)
    }

    /// What made the trace, and where.
    pub fn header(&self) -> &Header {
        &self.digest.header
    }

    /// How it was made; `None` where the file ends too early.
    pub fn session(&self) -> Option<&Session> {
        self.digest.session.as_ref()
    }

    /// Pools.
    pub fn groups(&self) -> &[Group] {
        &self.digest.groups
    }

    /// What makes the starts slow.
    pub fn diagnosis(&self) -> &Diagnosis {
        &self.digest.diagnosis
    }

    /// How many starts there are.
    pub fn starts(&self) -> usize {
        self.digest.rows.len()
    }

    /// How the file shows that it ends too early, if it does.
    pub fn cut_off(&self) -> Option<&str> {
        self.digest.cut_off.as_deref()
    }
}
