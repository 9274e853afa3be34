//! A file cut into batches, which are parsed by as many threads as there are processors, and taken in their order: what
//! is made of them is as if one had read them. A file of one batch needs no thread.

use super::batch::Batch;
use super::{Detail, ReadError};
use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope, available_parallelism};

/// More threads than that wait for whoever takes the starts.
const MAX_WORKERS: usize = 4;
/// Batches that a worker has, with those that it has done.
const AHEAD: usize = 2;

/// Cuts a file into batches of whole records.
pub(super) trait Cut {
    /// The next records; whether there are any.
    fn next(&mut self, batch: &mut Batch) -> io::Result<bool>;

    /// Nothing is left of the file.
    fn is_done(&self) -> bool;
}

/// A thread that parses.
struct Worker {
    send: SyncSender<Batch>,
    receive: Receiver<Batch>,
}

impl Worker {
    /// `None` where no thread is to be had: the reader does it all itself then.
    fn spawn<'scope>(scope: &'scope Scope<'scope, '_>, detail: Option<Detail>) -> Option<Self> {
        let (send, inbox) = sync_channel::<Batch>(AHEAD);
        let (outbox, receive) = sync_channel::<Batch>(AHEAD);
        let work = move || {
            for mut batch in inbox {
                batch.parse(detail);
                if outbox.send(batch).is_err() {
                    break;
                }
            }
        };
        Builder::new().name("parse".into()).spawn_scoped(scope, work).ok()?;
        Some(Self { send, receive })
    }
}

/// Hands each batch over, parsed with that much of each start, until `take` has enough.
pub(super) fn read(
    name: &str,
    cutter: &mut dyn Cut,
    detail: Option<Detail>,
    take: &mut dyn FnMut(&mut Batch) -> Result<ControlFlow<()>, ReadError>,
) -> Result<ControlFlow<()>, ReadError> {
    let io = |e| ReadError::io(name, e);
    let mut first = Batch::default();
    if !cutter.next(&mut first).map_err(io)? || cutter.is_done() {
        first.parse(detail);
        return take(&mut first);
    }
    std::thread::scope(|scope| {
        let threads = available_parallelism().map_or(1, usize::from).min(MAX_WORKERS);
        let workers: Vec<Worker> = if threads > 1 {
            (0..threads).filter_map(|_| Worker::spawn(scope, detail)).collect()
        } else {
            Vec::new()
        };
        if workers.is_empty() {
            let mut batch = first;
            loop {
                batch.parse(detail);
                let more = take(&mut batch)?;
                if more.is_break() || !cutter.next(&mut batch).map_err(io)? {
                    return Ok(more);
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
                return Ok(ControlFlow::Continue(()));
            }
            under_way -= 1;
            let Some(mut batch) = from.next().and_then(|worker| worker.receive.recv().ok()) else {
                return Ok(ControlFlow::Continue(()));
            };
            if take(&mut batch)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            spare.push_back(batch);
        }
    })
}
