//! NDJSON: a header line, a line per start (and per later exit, and per fork that failed), a footer line.

use super::batch::{Batch, FooterLine, Parsed, Problem, Record, SIZE};
use super::parallel::{self, Cut};
use super::{Ending, ErrorKind, Glance, Item, MAX_RECORD, ReadError, Redacted};
use crate::trace::schema::Header;
use std::io::{self, Read};
use std::ops::ControlFlow;

/// Cuts a file into batches of lines.
struct Cutter<R> {
    input: R,
    /// What was read past the last batch.
    rest: Vec<u8>,
    /// Lines so far.
    lines: u64,
    done: bool,
}

impl<R: Read> Cut for Cutter<R> {
    fn is_done(&self) -> bool {
        self.done
    }

    fn next(&mut self, batch: &mut Batch) -> io::Result<bool> {
        batch.begin((self.lines, 0));
        let bytes = &mut batch.bytes;
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
        self.lines += memchr::memchr_iter(b'\n', bytes).count() as u64;
        batch.last = self.done;
        batch.push_lines();
        Ok(!batch.bytes.is_empty())
    }
}

pub(super) fn read(name: &str, input: impl Read, take: &mut Redacted<'_>) -> Result<Ending, ReadError> {
    let detail = take.take.detail();
    let mut cutter = Cutter { input, rest: Vec::new(), lines: 0, done: false };
    let mut taker = Taker { name, take, header: None, footer: None, cut_off: None, unknown_lines: 0 };
    let _ = parallel::read(name, &mut cutter, detail, &mut |batch| taker.batch(batch))?;
    taker.end()
}

/// Takes what was parsed, in the order of the file.
struct Taker<'a, 't> {
    name: &'a str,
    take: &'a mut Redacted<'t>,
    header: Option<Header>,
    footer: Option<FooterLine>,
    cut_off: Option<String>,
    unknown_lines: u64,
}

impl Taker<'_, '_> {
    fn refuse(&self, kind: ErrorKind) -> ReadError {
        ReadError::new(self.name, kind)
    }

    /// [`ControlFlow::Break`]: there is nothing more to be taken.
    fn batch(&mut self, batch: &mut Batch) -> Result<ControlFlow<()>, ReadError> {
        for line in 0..batch.len() {
            if self.line(batch, line)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn line(&mut self, batch: &mut Batch, line: usize) -> Result<ControlFlow<()>, ReadError> {
        let parsed = match batch.take(line) {
            Record::Blank => return Ok(ControlFlow::Continue(())),
            Record::TooLong => {
                return Err(self.refuse(ErrorKind::TooLong { place: format!("line {}", batch.line(line)) }));
            }
            Record::Glanced(start) => {
                if self.header.is_none() {
                    return Err(self.no_header(batch, line));
                }
                match self.take.glance(start) {
                    Glance::Enough => return Ok(ControlFlow::Continue(())),
                    Glance::Stop => return Ok(ControlFlow::Break(())),
                    Glance::Whole => batch.whole(line),
                }
            }
            Record::Parsed(parsed) => parsed,
        };
        let item = match parsed {
            Ok(Parsed::Item(Item::Header(new))) => {
                if self.header.is_some() {
                    let line = batch.line(line);
                    let why = format!("line {line} is a second header: several traces in one file");
                    return Err(self.refuse(ErrorKind::NotATrace(why)));
                }
                self.header = Some((*new).clone());
                Item::Header(new)
            }
            Ok(_) if self.header.is_none() => return Err(self.no_header(batch, line)),
            Ok(Parsed::Item(item)) => item,
            Ok(Parsed::Footer(new)) => {
                self.footer = Some(*new);
                return Ok(ControlFlow::Continue(()));
            }
            Ok(Parsed::Unknown) => {
                self.unknown_lines += 1;
                return Ok(ControlFlow::Continue(()));
            }
            // The last line of a recorder that was killed, or of a disk that was full.
            Err(Problem::Json(error)) if batch.is_torn(line) && !error.is_data() => {
                self.cut_off = Some(format!("line {} is cut off", batch.line(line)));
                return Ok(ControlFlow::Break(()));
            }
            Err(problem) => return Err(batch.error(self.name, line, problem)),
        };
        Ok(self.take.item(item))
    }

    #[cold]
    fn no_header(&self, batch: &Batch, line: usize) -> ReadError {
        let why = format!("line {} comes before any header line", batch.line(line));
        self.refuse(ErrorKind::NotATrace(why))
    }

    fn end(self) -> Result<Ending, ReadError> {
        let Self { name, header, footer, mut cut_off, unknown_lines, .. } = self;
        let header = header.ok_or_else(|| ReadError::new(name, ErrorKind::CutOffInHeader))?;
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
}
