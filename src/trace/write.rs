//! Where a trace is written while it is recorded.
//!
//! | target | NDJSON | JSON |
//! |---|---|---|
//! | a new file | line by line into it | lines into `FILE.spool`, at the end the document into a temporary file beside it, renamed to FILE |
//! | an existing regular file | lines into `FILE.spool`, renamed over FILE at the end | the same |
//! | stdout, a named pipe, a device | line by line | lines into a nameless file in `$TMPDIR` or /tmp, the document at the end |
//!
//! So an earlier FILE stays until there is a whole new one, and whatever ends the recorder (but on a
//! stream) leaves a spool that every reading command takes: lines are written as soon as [`Output::tick`]
//! is called after them, and a failed write leaves whole lines only.
//!
//! A `FILE.spool` that is there already belongs to a recording that is alive (it holds a lock): that
//! is an error; or to one that died: then it is left alone, the new spool is `FILE.2.spool` and so on,
//! and a notice says so. A crash must not make the next recording impossible.

use super::document::{self, Trouble};
use super::lines::Lines;
use super::names::{
    MAX_NUMBER, cannot_create, duplicate, inherited_descriptor, make_spool, make_temporary, numbered,
    open_stream, put_in_place, spool_name, taken,
};
use super::place::{Folder, Kind};
use super::schema::{Diagnosis, Group, Line, Session};
use super::text::shell_path;
use crate::host::inherited::has_stdout;
use crate::host::owner::Owner;
use crate::host::{Error, elsewhere};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputTarget {
    /// `-o -`.
    Stdout,
    /// `-o FILE`.
    File(PathBuf),
    /// No `-o`: `STEM.json` or `STEM.ndjson` in this folder, or `STEM-2...`: never over another file.
    Unnamed {
        /// Usually empty, the current folder.
        folder: PathBuf,
        /// See [`crate::host::facts::trace_stem`].
        stem: String,
    },
}

impl OutputTarget {
    /// From the value of `-o`. `-` and the names of the standard output are the standard output, for
    /// which CMD's own output has to step aside.
    pub fn from_option(option: &OsStr) -> Self {
        match option.as_bytes() {
            b"-" | b"/dev/stdout" | b"/dev/fd/1" | b"/proc/self/fd/1" => Self::Stdout,
            _ => Self::File(option.into()),
        }
    }
}

/// In what form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// One document at the end.
    Json,
    /// A line for each start as it completes.
    Ndjson,
}

impl Format {
    /// NDJSON for a file named so, else `otherwise`.
    pub fn of(target: &OutputTarget, otherwise: Self) -> Self {
        match target {
            OutputTarget::File(path) if path.extension() == Some(OsStr::new("ndjson")) => Self::Ndjson,
            OutputTarget::File(path) if path.extension() == Some(OsStr::new("json")) => Self::Json,
            _ => otherwise,
        }
    }

    pub(super) fn extension(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
        }
    }
}

/// Does anybody still want more?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// Go on.
    Going,
    /// The reader of the pipe has gone (`| head`): stop recording, which is a success.
    ReaderGone,
}

/// What became of the trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finished {
    /// It is in this file.
    File(PathBuf),
    /// It went where it was to go.
    Stream,
    /// Its reader did not want all of it.
    ReaderGone,
}

/// A trace that is being written.
#[derive(Debug)]
pub struct Output {
    lines: Lines,
    end: End,
    format: Format,
    notices: Vec<String>,
    reader_gone: bool,
    finished: bool,
}

#[derive(Debug)]
enum End {
    /// NDJSON into a file of our own.
    Direct { folder: Folder, name: OsString },
    /// NDJSON down a pipe.
    Stream { shown: String },
    /// A spool beside the file that it becomes.
    Spool {
        folder: Folder,
        spool: OsString,
        name: OsString,
        /// The name is ours to number: nothing may be replaced.
        unnamed: Option<String>,
    },
    /// A nameless spool, and the stream that the document goes down.
    Document { out: File, shown: String },
}

impl Output {
    /// Opens everything that is needed, so that a path that cannot be written is known before
    /// anything is traced. Files are made as `owner`, readable by them only.
    ///
    /// From here on SIGXFSZ and SIGPIPE are ignored: a file-size limit and a closed pipe are errors
    /// of a write then, and not the end of the process. (CMD gets its own dispositions back.)
    ///
    /// # Errors
    /// The message names the file and says what to do.
    pub fn create(target: &OutputTarget, format: Format, owner: &Owner) -> Result<Self, Error> {
        ignore_signals();
        match target {
            OutputTarget::Stdout => {
                has_stdout().map_err(|e| Error::new(e.to_string()))?;
                let out = io::stdout()
                    .as_fd()
                    .try_clone_to_owned()
                    .map_err(|e| Error::io("cannot write to the standard output", e))?;
                Self::stream(out.into(), "the standard output".into(), format, owner)
            }
            OutputTarget::File(path) => match inherited_descriptor(path) {
                Some(number) => {
                    let out = duplicate(number)
                        .map_err(|e| Error::io(format!("-o {}: cannot be used", path.display()), e))?;
                    Self::stream(out, path.display().to_string(), format, owner)
                }
                None => Self::named(path, format, owner),
            },
            OutputTarget::Unnamed { folder, stem } => Self::unnamed(folder, stem, format, owner),
        }
    }

    fn new(file: File, end: End, format: Format) -> Self {
        Self {
            lines: Lines::new(file),
            end,
            format,
            notices: Vec::new(),
            reader_gone: false,
            finished: false,
        }
    }

    fn stream(out: File, shown: String, format: Format, owner: &Owner) -> Result<Self, Error> {
        if format == Format::Ndjson {
            return Ok(Self::new(out, End::Stream { shown }, format));
        }
        let folder = std::env::var_os("TMPDIR")
            .filter(|folder| !folder.is_empty())
            .map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let spool = Folder::open(&folder, owner)?.unnamed().map_err(|e| {
            Error::io(
                format!(
                    "cannot make a temporary file in {}: set TMPDIR to a folder that can be written, or \
                     use --format ndjson",
                    folder.display()
                ),
                e,
            )
        })?;
        Ok(Self::new(spool, End::Document { out, shown }, format))
    }

    fn named(path: &Path, format: Format, owner: &Owner) -> Result<Self, Error> {
        let shown = path.display();
        let name = match path.file_name() {
            Some(name) if !path.as_os_str().as_bytes().ends_with(b"/") => name.to_owned(),
            _ => {
                return Err(Error::new(format!("-o {shown} is a folder: name a file in it")));
            }
        };
        let folder = Folder::open(path.parent().unwrap_or(Path::new("")), owner)?;
        let looked = |e| Error::io(format!("-o {shown}: cannot be looked at"), e);
        let kind = folder.kind(&name).map_err(looked)?;
        if matches!(kind, Kind::Regular | Kind::Stream) && folder.is_trap(&name).map_err(looked)? {
            // A device is no file that somebody could have put there.
            if !(kind == Kind::Stream && path.starts_with("/dev")) {
                return Err(Error::new(format!(
                    "-o {shown} belongs to somebody else, in a folder that others can write to: name \
                     another file"
                )));
            }
        }
        match kind {
            Kind::Link => {
                let to = folder.link(&name).unwrap_or_default();
                Err(Error::new(format!(
                    "-o {shown} is a symbolic link, which startrace does not write through: name the file \
                     itself ({})",
                    to.display()
                )))
            }
            Kind::Folder => Err(Error::new(format!("-o {shown} is a folder: name a file in it"))),
            Kind::Other => Err(Error::new(format!("-o {shown} is neither a file nor a pipe: name another"))),
            Kind::Stream => {
                let out = open_stream(&folder, &name)?;
                Self::stream(out, shown.to_string(), format, owner)
            }
            Kind::Nothing if format == Format::Ndjson => {
                let file = folder.create(&name).map_err(|e| cannot_create(path, e))?;
                Ok(Self::new(file, End::Direct { folder, name }, format))
            }
            Kind::Regular if folder.is_locked(&name) => Err(taken(path)),
            Kind::Nothing | Kind::Regular => {
                let mut notices = Vec::new();
                let (file, spool) = make_spool(&folder, &name, &mut notices)?;
                let end = End::Spool { folder, spool, name, unnamed: None };
                let mut output = Self::new(file, end, format);
                output.notices = notices;
                Ok(output)
            }
        }
    }

    fn unnamed(folder: &Path, stem: &str, format: Format, owner: &Owner) -> Result<Self, Error> {
        let folder = Folder::open(folder, owner)?;
        for number in 1..MAX_NUMBER {
            let name = numbered(stem, number, format.extension());
            let failed = |e| {
                Error::io(
                    format!(
                        "cannot create {} here: name a file elsewhere with -o",
                        folder.path(&name).display()
                    ),
                    e,
                )
            };
            if folder.kind(&name).map_err(failed)? != Kind::Nothing {
                continue;
            }
            let first = match format {
                Format::Ndjson => name.clone(),
                Format::Json => spool_name(&name, 1),
            };
            let file = match folder.create(&first) {
                Ok(file) => file,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(e) => return Err(failed(e)),
            };
            let end = match format {
                Format::Ndjson => End::Direct { folder, name },
                Format::Json => End::Spool { folder, spool: first, name, unnamed: Some(stem.to_owned()) },
            };
            return Ok(Self::new(file, end, format));
        }
        Err(Error::new(format!(
            "{stem}.{} and {MAX_NUMBER} names like it are taken: name a file with -o",
            format.extension()
        )))
    }

    /// Things to tell the user before recording, such as a spool that was left behind.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    /// Starts that were given to [`Self::write_line`].
    pub fn starts(&self) -> u64 {
        self.lines.accepted
    }

    /// Takes a line: a header first, then starts and what amends them. The footer is
    /// [`Self::finish`]'s to write.
    ///
    /// # Errors
    /// A write failed. What is in the file ends with a whole line, and the message says where it is
    /// and how much; nothing more is written.
    pub fn write_line(&mut self, line: &Line) -> Result<Flow, Error> {
        self.attempt(|lines| lines.push(line))
    }

    /// Writes what is buffered, at most some hundred times a second; to be called at every look at the ring, so that no
    /// crash costs more than what came since.
    ///
    /// # Errors
    /// As [`Self::write_line`].
    pub fn tick(&mut self) -> Result<Flow, Error> {
        self.attempt(Lines::write_due)
    }

    /// Writes what is buffered.
    ///
    /// # Errors
    /// As [`Self::write_line`].
    pub fn flush(&mut self) -> Result<Flow, Error> {
        self.attempt(Lines::write_out)
    }

    fn attempt(&mut self, write: impl FnOnce(&mut Lines) -> io::Result<()>) -> Result<Flow, Error> {
        if self.reader_gone {
            return Ok(Flow::ReaderGone);
        }
        if self.lines.failed {
            return Err(self.failure(io::Error::other("an earlier write failed")));
        }
        match write(&mut self.lines) {
            Ok(()) => Ok(Flow::Going),
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.reader_gone = true;
                Ok(Flow::ReaderGone)
            }
            Err(e) => Err(self.failure(e)),
        }
    }

    /// An error that says what is left, and how to read it.
    fn failure(&self, cause: io::Error) -> Error {
        let starts = self.lines.written;
        let (what, kept) = match &self.end {
            End::Stream { shown } => (shown.clone(), None),
            End::Document { shown, .. } => (shown.clone(), None),
            End::Direct { folder, name } => {
                (folder.path(name).display().to_string(), Some(folder.path(name)))
            }
            End::Spool { folder, spool, name, .. } => {
                (folder.path(name).display().to_string(), Some(folder.path(spool)))
            }
        };
        Error::io(
            match kept {
                Some(kept) => format!(
                    "cannot write {what} ({}; {starts} starts are in {}; read them with: startrace report {})",
                    elsewhere(&cause),
                    kept.display(),
                    shell_path(&kept)
                ),
                None => format!("cannot write the trace to {what} ({})", elsewhere(&cause)),
            },
            cause,
        )
    }

    /// Ends the trace. `session.starts` becomes the number of starts that were written.
    ///
    /// # Errors
    /// As [`Self::write_line`]; an earlier FILE is untouched then, and the spool is kept.
    pub fn finish(
        mut self,
        groups: Vec<Group>,
        diagnosis: Diagnosis,
        mut session: Session,
    ) -> Result<Finished, Error> {
        session.starts = self.lines.accepted;
        let footer = Line::Footer { groups, diagnosis, session };
        let flow = self.attempt(|lines| {
            lines.push(&footer)?;
            lines.write_out()
        })?;
        self.finished = true;
        if flow == Flow::ReaderGone {
            return Ok(Finished::ReaderGone);
        }
        match &mut self.end {
            End::Stream { .. } => Ok(Finished::Stream),
            End::Direct { folder, name } => Ok(Finished::File(folder.path(name))),
            End::Document { out, .. } => {
                let written = out
                    .try_clone()
                    .map_err(Trouble::Write)
                    .and_then(|out| document::write(&self.lines.file, &mut Lines::new(out)));
                match written {
                    Ok(_) => Ok(Finished::Stream),
                    Err(Trouble::Write(e)) if e.kind() == io::ErrorKind::BrokenPipe => {
                        Ok(Finished::ReaderGone)
                    }
                    Err(trouble) => Err(self.failure(into_io(trouble))),
                }
            }
            End::Spool { .. } => match self.replace() {
                Ok(path) => Ok(Finished::File(path)),
                Err(e) => Err(self.failure(e)),
            },
        }
    }

    /// Puts the finished trace in FILE's place.
    fn replace(&self) -> io::Result<PathBuf> {
        let End::Spool { folder, spool, name, unnamed } = &self.end else {
            return Err(io::Error::other("there is no spool"));
        };
        let file = &self.lines.file;
        if self.format == Format::Ndjson {
            if !folder.is(spool, file)? {
                return Err(io::Error::other("somebody moved the spool away"));
            }
            folder.rename(spool, name)?;
            return Ok(folder.path(name));
        }
        let (temporary, document) = make_temporary(folder, name)?;
        let done = document
            .try_clone()
            .map_err(Trouble::Write)
            .and_then(|document| document::write(file, &mut Lines::new(document)))
            .map_err(into_io)
            .and_then(|_| put_in_place(folder, &temporary, name, unnamed.as_deref()));
        match done {
            Ok(name) => {
                // The trace is there: a spool that cannot be removed is no reason to call it a failure.
                let _ = folder.remove(spool, file);
                Ok(folder.path(&name))
            }
            Err(e) => {
                let _ = folder.remove(&temporary, &document);
                Err(e)
            }
        }
    }

    /// Takes back everything, for a recording that never began (CMD not found): no file stays.
    pub fn discard(mut self) {
        self.remove_files();
    }

    fn remove_files(&mut self) {
        self.finished = true;
        let _ = match &self.end {
            End::Direct { folder, name } => folder.remove(name, &self.lines.file),
            End::Spool { folder, spool, .. } => folder.remove(spool, &self.lines.file),
            End::Stream { .. } | End::Document { .. } => Ok(()),
        };
    }
}

impl Drop for Output {
    // Somebody left with an error: what there is stays readable, and an empty file does not stay.
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        if self.lines.is_empty() && !self.lines.failed {
            self.remove_files();
        } else if !self.lines.failed {
            let _ = self.lines.write_out();
        }
    }
}

fn ignore_signals() {
    for signal in [libc::SIGXFSZ, libc::SIGPIPE] {
        // SAFETY: no handler is installed, the signals are only ignored.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

fn into_io(trouble: Trouble) -> io::Error {
    match trouble {
        Trouble::Read(e) | Trouble::Write(e) => e,
        line => io::Error::other(line.to_string()),
    }
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
