//! A finished start in few bytes: numbers as long as they have to be, times by their distance from the one before.
//!
//! What was written is read back as it was, but for what no path asks of a past start: names of threads, readings of
//! counters, and who woke a task beyond whether it was a softirq.

use super::Story;
use crate::dense::{Reader, Writer};
use crate::event::Id;
use crate::event::task::WaitKind;
use crate::timeline::phases::{self, Begun};
use crate::timeline::tasks::{Call, Lane, Piece, State, Sums, Tasks, Waited};
use crate::trace::schema::WokenBy;

/// What comes before the tasks of a start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) creator: Option<(Id, u32)>,
    pub(super) command: String,
}

/// How what a path asks for is written.
trait Write {
    fn call(&mut self, call: Option<Call>);
    fn state(&mut self, state: State);
    fn piece(&mut self, last: u64, piece: &Piece);
}

impl Write for Writer {
    fn call(&mut self, call: Option<Call>) {
        match call {
            None => self.number(0),
            Some(call) => self.number((u64::from(call.nr.cast_unsigned()) << 1 | u64::from(call.compat)) + 1),
        }
    }

    fn state(&mut self, state: State) {
        match state {
            State::Creating => self.number(0),
            State::Running => self.number(1),
            State::Runnable => self.number(2),
            State::Exited => self.number(3),
            State::Unknown => self.number(4),
            State::Other(call) => {
                self.number(5);
                self.call(call);
            }
            State::Blocked(kind) => {
                let at = WaitKind::ALL.iter().position(|known| *known == kind).unwrap_or(0);
                self.number(6 + at as u64);
            }
        }
    }

    fn piece(&mut self, last: u64, piece: &Piece) {
        match piece {
            Piece::Sums { since_ns, until_ns, sums } => {
                self.number(sums.iter().count() as u64);
                self.after(last, *since_ns);
                self.after(*since_ns, *until_ns);
                for (state, ns) in sums.iter() {
                    self.state(state);
                    self.number(ns);
                }
            }
            Piece::Wait(wait) => {
                self.number(WAIT);
                self.after(last, wait.off_ns);
                self.after(wait.off_ns, wait.wake_ns);
                self.after(wait.wake_ns, wait.back_ns);
                self.state(wait.state);
                let softirq = wait.woken_by.as_ref().is_some_and(|by| by.kind == SOFTIRQ);
                let flags = [
                    wait.back_unseen,
                    wait.call.is_some(),
                    wait.detail.is_some(),
                    softirq,
                    wait.waker.is_some(),
                    wait.rival.is_some(),
                ];
                self.number(flags.iter().rev().fold(0, |all, flag| all << 1 | u64::from(*flag)));
                if wait.call.is_some() {
                    self.call(wait.call);
                }
                if let Some(detail) = &wait.detail {
                    self.text(detail);
                }
                if let Some((pid, tid)) = wait.waker {
                    self.number(pid.into());
                    self.number(tid.into());
                }
                if let Some((pid, comm)) = &wait.rival {
                    self.number((*pid).into());
                    self.text(comm);
                }
            }
        }
    }
}

/// Stands where else the number of states is.
const WAIT: u64 = 1 << 20;
const SOFTIRQ: &str = "softirq";

/// A start as bytes; the first four say how many follow.
pub(super) fn write(story: &Story) -> Vec<u8> {
    let origin = story.origin_ns;
    let mut out = Writer(vec![0; 4]);
    out.number(story.creator.is_some().into());
    if let Some((id, tid)) = story.creator {
        out.number(id.pid.into());
        out.after(origin, id.birth_ns);
        out.number(tid.into());
    }
    out.text(&story.command);
    out.after(origin, story.id.birth_ns);
    out.number(story.seq.into());
    out.after_or_none(origin, story.run_ns);
    out.number(story.phases.len() as u64);
    for phase in &*story.phases {
        out.number(phases::NAMES.iter().position(|name| *name == phase.name).unwrap_or(0) as u64);
        out.number(phase.at_ns);
    }
    let tasks = &story.tasks;
    out.number(tasks.lanes.len() as u64);
    for (at, lane) in tasks.lanes.iter().enumerate() {
        let is_last = tasks.lane(lane.tid) == Some(at);
        out.number(u64::from(lane.tid) << 1 | u64::from(is_last));
        out.after_or_none(origin, lane.ended_ns);
        out.number(lane.taken_over.len() as u64);
        for (from, place) in &lane.taken_over {
            out.after(origin, *from);
            out.number(*place as u64);
        }
        out.number(lane.pieces.len() as u64);
        let mut last = origin;
        for piece in &lane.pieces {
            out.piece(last, piece);
            last = piece.until_ns();
        }
    }
    let len = u32::try_from(out.0.len() - 4).unwrap_or(u32::MAX);
    if let Some(front) = out.0.first_chunk_mut() {
        *front = len.to_ne_bytes();
    }
    out.0
}

/// The same of what [`write`] wrote.
trait Read {
    fn call(&mut self) -> Option<Option<Call>>;
    fn state(&mut self) -> Option<State>;
    fn piece(&mut self, last: u64) -> Option<Piece>;
    fn head(&mut self, origin: u64) -> Option<Head>;
    fn tasks(&mut self, pid: u32, origin: u64) -> Option<Tasks>;
}

impl Read for Reader<'_> {
    fn call(&mut self) -> Option<Option<Call>> {
        Some(match self.number()?.checked_sub(1) {
            None => None,
            Some(n) => Some(Call { nr: u32::try_from(n >> 1).ok()?.cast_signed(), compat: n & 1 == 1 }),
        })
    }

    fn state(&mut self) -> Option<State> {
        Some(match self.number()? {
            0 => State::Creating,
            1 => State::Running,
            2 => State::Runnable,
            3 => State::Exited,
            4 => State::Unknown,
            5 => State::Other(self.call()?),
            n => State::Blocked(*WaitKind::ALL.get(usize::try_from(n).ok()?.checked_sub(6)?)?),
        })
    }

    fn piece(&mut self, last: u64) -> Option<Piece> {
        let states = self.number()?;
        let since_ns = self.after(last)?;
        let next_ns = self.after(since_ns)?;
        if states != WAIT {
            let mut sums = Sums::with_room(usize::try_from(states).ok()?.min(self.0.len()));
            for _ in 0..states {
                let state = self.state()?;
                sums.add(state, self.number()?);
            }
            return Some(Piece::Sums { since_ns, until_ns: next_ns, sums });
        }
        let back_ns = self.after(next_ns)?;
        let state = self.state()?;
        let flags = self.number()?;
        let flag = |at: u32| flags >> at & 1 == 1;
        Some(Piece::Wait(Box::new(Waited {
            off_ns: since_ns,
            wake_ns: next_ns,
            back_ns,
            back_unseen: flag(0),
            state,
            call: if flag(1) { self.call()? } else { None },
            detail: if flag(2) { Some(self.text()?.into()) } else { None },
            woken_by: flag(3).then(|| WokenBy { kind: SOFTIRQ.to_owned(), pid: None, comm: None }),
            waker: if flag(4) { Some((self.small()?, self.small()?)) } else { None },
            rival: if flag(5) { Some((self.small()?, self.text()?.to_owned())) } else { None },
        })))
    }

    fn head(&mut self, origin: u64) -> Option<Head> {
        let creator = match self.number()? {
            0 => None,
            _ => Some((Id { pid: self.small()?, birth_ns: self.after(origin)? }, self.small()?)),
        };
        Some(Head { creator, command: self.text()?.to_owned() })
    }

    fn tasks(&mut self, pid: u32, origin: u64) -> Option<Tasks> {
        let mut tasks = Tasks::of(pid);
        for _ in 0..self.count()? {
            let tid = self.number()?;
            let ended_ns = self.after_or_none(origin)?;
            let mut taken_over = Vec::new();
            for _ in 0..self.count()? {
                taken_over.push((self.after(origin)?, usize::try_from(self.number()?).ok()?));
            }
            let n = self.count()?;
            let mut pieces = Vec::with_capacity(n);
            let mut last = origin;
            for _ in 0..n {
                let piece = self.piece(last)?;
                last = piece.until_ns();
                pieces.push(piece);
            }
            let own = u32::try_from(tid >> 1).ok()?;
            tasks.put(Lane::of(own, pieces, ended_ns, taken_over), tid & 1 == 1);
        }
        Some(tasks)
    }
}

/// What comes first, of bytes that may be cut off behind it.
pub(super) fn head(bytes: &[u8], origin_ns: u64) -> Option<Head> {
    Reader(bytes).head(origin_ns)
}

/// A start from its bytes; what is known of it elsewhere is given.
pub(super) fn read(bytes: &[u8], pid: u32, origin_ns: u64, end_ns: u64, exited: bool) -> Option<Story> {
    let mut reader = Reader(bytes);
    let Head { creator, command } = reader.head(origin_ns)?;
    let id = Id { pid, birth_ns: reader.after(origin_ns)? };
    let seq = reader.small()?;
    let run_ns = reader.after_or_none(origin_ns)?;
    let mut begun = Vec::new();
    for _ in 0..reader.count()? {
        let name = *phases::NAMES.get(usize::try_from(reader.number()?).ok()?)?;
        begun.push(Begun { name, at_ns: reader.number()? });
    }
    let tasks = reader.tasks(pid, origin_ns)?.into();
    let phases = begun.into();
    Some(Story { id, seq, origin_ns, end_ns, exited, creator, run_ns, phases, command, tasks })
}
