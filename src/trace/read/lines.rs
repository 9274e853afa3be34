//! NDJSON: a header line, a line per start (and per later exit, and per fork that failed), a footer line.
//!
//! The file is cut into [`Batch`]es of whole lines, which are parsed by as many threads as there are processors, and
//! taken in their order: what is made of them is as if one had read them. A file of one batch needs no thread.

mod batch;

use super::{Ending, ErrorKind, Glance, Item, ReadError, Redacted};
use crate::trace::schema::Header;
use batch::{Batch, Cutter, FooterLine, Line, Parsed, Problem};
use std::collections::VecDeque;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, available_parallelism};

/// More threads than that wait for whoever takes the starts.
const MAX_WORKERS: usize = 4;
/// Batches that a worker has, with those that it has done.
const AHEAD: usize = 2;

/// A thread that parses.
struct Worker {
    send: SyncSender<Batch>,
    receive: Receiver<Batch>,
}

impl Worker {
    /// `None` where no thread is to be had: the reader does it all itself then.
    fn spawn<'scope>(scope: &'scope Scope<'scope, '_>) -> Option<Self> {
        let (send, inbox) = sync_channel::<Batch>(AHEAD);
        let (outbox, receive) = sync_channel::<Batch>(AHEAD);
        let work = move || {
            for mut batch in inbox {
                batch.parse();
                if outbox.send(batch).is_err() {
                    break;
                }
            }
        };
        Builder::new().name("parse".into()).spawn_scoped(scope, work).ok()?;
        Some(Self { send, receive })
    }
}

pub(super) fn read(name: &str, input: impl Read, take: &mut Redacted<'_>) -> Result<Ending, ReadError> {
    let mut cutter = Cutter::new(input, take.take.detail());
    let mut taker = Taker { name, take, header: None, footer: None, cut_off: None, unknown_lines: 0 };
    let io = |e| ReadError::io(name, e);
    let mut first = Batch::default();
    if !cutter.next(&mut first).map_err(io)? || cutter.is_done() {
        first.parse();
        let _ = taker.batch(&mut first)?;
        return taker.end();
    }
    std::thread::scope(|scope| {
        let threads = available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        let workers: Vec<Worker> = if threads > 1 {
            (0..threads).filter_map(|_| Worker::spawn(scope)).collect()
        } else {
            Vec::new()
        };
        if workers.is_empty() {
            let mut batch = first;
            loop {
                batch.parse();
                if taker.batch(&mut batch)?.is_break() || !cutter.next(&mut batch).map_err(io)? {
                    return taker.end();
                }
            }
        }
        // Batch by batch to one after the other, and so they come back.
        let (mut to, mut from) = (workers.iter().cycle(), workers.iter().cycle());
        let mut under_way = 0;
        let mut spare = VecDeque::from([Batch::default()]);
        let mut next = Some(first);
        loop {
            if let Some(batch) = next.take() {
                // A worker ends when we do, not before.
                if to.next().is_some_and(|worker| worker.send.send(batch).is_ok()) {
                    under_way += 1;
                }
            }
            if under_way < workers.len() * AHEAD && !cutter.is_done() {
                let mut batch = spare.pop_front().unwrap_or_default();
                if cutter.next(&mut batch).map_err(io)? {
                    next = Some(batch);
                    continue;
                }
            }
            if under_way == 0 {
                return taker.end();
            }
            under_way -= 1;
            let Some(mut batch) = from.next().and_then(|worker| worker.receive.recv().ok()) else {
                return taker.end();
            };
            if taker.batch(&mut batch)?.is_break() {
                return taker.end();
            }
            spare.push_back(batch);
        }
    })
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
        for line in 0..batch.lines() {
            if self.line(batch, line)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn line(&mut self, batch: &mut Batch, line: usize) -> Result<ControlFlow<()>, ReadError> {
        let number = batch.number(line);
        let no_header = |taker: &Self| {
            let why = format!("line {number} comes before any header line");
            taker.header.is_none().then(|| taker.refuse(ErrorKind::NotATrace(why)))
        };
        let parsed = match batch.take(line) {
            Line::Blank => return Ok(ControlFlow::Continue(())),
            Line::TooLong => {
                return Err(self.refuse(ErrorKind::TooLong { place: format!("line {number}") }));
            }
            Line::Glanced(start) => {
                if let Some(error) = no_header(self) {
                    return Err(error);
                }
                match self.take.glance(start) {
                    Glance::Enough => return Ok(ControlFlow::Continue(())),
                    Glance::Stop => return Ok(ControlFlow::Break(())),
                    Glance::Whole => batch.whole(line),
                }
            }
            Line::Parsed(parsed) => parsed,
        };
        let item = match parsed {
            Ok(Parsed::Item(Item::Header(new))) => {
                if self.header.is_some() {
                    let why = format!("line {number} is a second header: several traces in one file");
                    return Err(self.refuse(ErrorKind::NotATrace(why)));
                }
                self.header = Some((*new).clone());
                Item::Header(new)
            }
            Ok(parsed) => {
                if let Some(error) = no_header(self) {
                    return Err(error);
                }
                match parsed {
                    Parsed::Item(item) => item,
                    Parsed::Footer(new) => {
                        self.footer = Some(*new);
                        return Ok(ControlFlow::Continue(()));
                    }
                    Parsed::Unknown => {
                        self.unknown_lines += 1;
                        return Ok(ControlFlow::Continue(()));
                    }
                }
            }
            Err(Problem::Other(kind)) => return Err(self.refuse(kind)),
            Err(Problem::Json(error)) => {
                // The last line of a recorder that was killed, or of a disk that was full.
                if !batch.is_torn(line) || error.is_data() {
                    return Err(ReadError::json(self.name, &error, number - 1));
                }
                self.cut_off = Some(format!("line {number} is cut off"));
                return Ok(ControlFlow::Break(()));
            }
        };
        Ok(self.take.item(item))
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
