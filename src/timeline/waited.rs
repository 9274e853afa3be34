//! One wait of a task. A process that starts thousands of others has as many of them in memory as it waited for children,
//! so all but its times is written down in few bytes.

use super::tasks::{Call, State};
use crate::dense::{Reader, Writer};
use crate::event::task::WaitKind;
use crate::trace::schema::WokenBy;
use std::rc::Rc;

/// One wait.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Waited {
    /// Left the CPU.
    pub off_ns: u64,
    /// Could run again: between the two others.
    pub wake_ns: u64,
    /// Was back on a CPU.
    pub back_ns: u64,
    /// A [`Told`].
    told: Box<[u8]>,
}

/// What is known of a wait besides its times.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Told {
    /// It came back by its own account when it left its CPU again: nobody saw it woken or coming.
    pub back_unseen: bool,
    /// [`State::Runnable`] where it only lost the CPU.
    pub state: State,
    pub call: Option<Call>,
    pub detail: Option<Rc<str>>,
    pub woken_by: Option<WokenBy>,
    /// The task (process and thread) that ended it, where it did so itself.
    pub waker: Option<(u32, u32)>,
    /// Who had the CPU that it came back to, last.
    pub rival: Option<Rival>,
}

/// Who gave up a CPU for another.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Rival {
    pub pid: u32,
    pub comm: String,
    /// For how long it had had it, which may be from before the wait; `None` where that is not known.
    pub held_ns: Option<u64>,
}

/// What [`WokenBy::kind`] says.
const KINDS: [&str; 7] = ["unknown", "task", "timer", "io", "softirq", "signal", "kworker"];

impl Waited {
    pub(super) fn new(off_ns: u64, wake_ns: u64, back_ns: u64, told: &Told) -> Self {
        // Copied: to give back the rest of what was reserved is dearer.
        Self::of(off_ns, wake_ns, back_ns, &told.write())
    }

    /// As it was written, with [`Self::bytes`].
    pub(super) fn of(off_ns: u64, wake_ns: u64, back_ns: u64, told: &[u8]) -> Self {
        Self { off_ns, wake_ns, back_ns, told: told.into() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.told
    }

    pub(super) fn state(&self) -> State {
        let mut from = Reader(self.told.get(1..).unwrap_or_default());
        state(&mut from).unwrap_or_default()
    }

    pub(super) fn told(&self) -> Told {
        Told::read(&mut Reader(&self.told)).unwrap_or_default()
    }
}

impl Told {
    fn write(&self) -> Vec<u8> {
        let mut out = Writer(Vec::with_capacity(64));
        let flags = [
            self.back_unseen,
            self.call.is_some(),
            self.detail.is_some(),
            self.woken_by.is_some(),
            self.waker.is_some(),
            self.rival.is_some(),
        ];
        out.number(flags.iter().rev().fold(0, |all, flag| all << 1 | u64::from(*flag)));
        write_state(&mut out, self.state);
        if let Some(call) = self.call {
            write_call(&mut out, call);
        }
        if let Some(detail) = &self.detail {
            out.text(detail);
        }
        if let Some(WokenBy { kind, pid, comm }) = &self.woken_by {
            let place = KINDS.iter().position(|known| known == kind);
            debug_assert!(place.is_some(), "{kind} is none of KINDS");
            let kind = place.unwrap_or(0) as u64;
            out.number(kind << 2 | u64::from(pid.is_some()) << 1 | u64::from(comm.is_some()));
            pid.iter().for_each(|pid| out.number((*pid).into()));
            comm.iter().for_each(|comm| out.text(comm));
        }
        if let Some((pid, tid)) = self.waker {
            out.number(pid.into());
            out.number(tid.into());
        }
        if let Some(Rival { pid, comm, held_ns }) = &self.rival {
            out.number((*pid).into());
            out.text(comm);
            // 0 is the same as not known.
            out.number(held_ns.unwrap_or(0));
        }
        out.0
    }

    fn read(from: &mut Reader<'_>) -> Option<Self> {
        let flags = from.number()?;
        let flag = |at: u32| flags >> at & 1 == 1;
        Some(Self {
            back_unseen: flag(0),
            state: state(from)?,
            call: if flag(1) { Some(call(from)?) } else { None },
            detail: if flag(2) { Some(from.text()?.into()) } else { None },
            woken_by: if flag(3) { Some(woken_by(from)?) } else { None },
            waker: if flag(4) { Some((from.small()?, from.small()?)) } else { None },
            rival: if flag(5) { Some(rival(from)?) } else { None },
        })
    }
}

fn rival(from: &mut Reader<'_>) -> Option<Rival> {
    let (pid, comm) = (from.small()?, from.text()?.to_owned());
    Some(Rival { pid, comm, held_ns: Some(from.number()?).filter(|ns| *ns > 0) })
}

fn woken_by(from: &mut Reader<'_>) -> Option<WokenBy> {
    let n = from.number()?;
    Some(WokenBy {
        kind: (*KINDS.get(usize::try_from(n >> 2).ok()?)?).to_owned(),
        pid: if n >> 1 & 1 == 1 { Some(from.small()?) } else { None },
        comm: if n & 1 == 1 { Some(from.text()?.to_owned()) } else { None },
    })
}

fn write_call(out: &mut Writer, call: Call) {
    out.number(u64::from(call.nr.cast_unsigned()) << 1 | u64::from(call.compat));
}

fn call(from: &mut Reader<'_>) -> Option<Call> {
    let n = from.number()?;
    Some(Call { nr: u32::try_from(n >> 1).ok()?.cast_signed(), compat: n & 1 == 1 })
}

/// Writes a state.
pub(super) fn write_state(out: &mut Writer, state: State) {
    match state {
        State::Creating => out.number(0),
        State::Running => out.number(1),
        State::Runnable => out.number(2),
        State::Exited => out.number(3),
        State::Unknown => out.number(4),
        State::Other(None) => out.number(5),
        State::Other(Some(call)) => {
            out.number(6);
            write_call(out, call);
        }
        State::Blocked(kind) => {
            out.number(7 + WaitKind::ALL.iter().position(|known| *known == kind).unwrap_or(0) as u64);
        }
    }
}

/// Reads what [`write_state`] wrote.
pub(super) fn state(from: &mut Reader<'_>) -> Option<State> {
    Some(match from.number()? {
        0 => State::Creating,
        1 => State::Running,
        2 => State::Runnable,
        3 => State::Exited,
        4 => State::Unknown,
        5 => State::Other(None),
        6 => State::Other(Some(call(from)?)),
        n => State::Blocked(*WaitKind::ALL.get(usize::try_from(n).ok()?.checked_sub(7)?)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_of_a_wait_is_read_as_it_was() {
        let full = Told {
            back_unseen: true,
            state: State::Other(Some(Call { nr: -1, compat: true })),
            call: Some(Call { nr: i32::MAX, compat: false }),
            detail: Some("pid 7 (größe)".into()),
            woken_by: Some(WokenBy {
                kind: "task".to_owned(), pid: Some(7), comm: Some("größe".to_owned())
            }),
            waker: Some((u32::MAX, 0)),
            rival: Some(Rival { pid: 9, comm: String::new(), held_ns: Some(u64::MAX) }),
        };
        let mut all = vec![full.clone(), Told::default()];
        all.push(Told { rival: Some(Rival { pid: 9, ..Rival::default() }), ..full.clone() });
        for kind in KINDS {
            let by = WokenBy { kind: kind.to_owned(), pid: None, comm: Some("x".to_owned()) };
            all.push(Told { woken_by: Some(by), rival: None, ..full.clone() });
        }
        let kinds = WaitKind::ALL.map(State::Blocked);
        let others = [State::Creating, State::Running, State::Runnable, State::Exited, State::Unknown];
        for state in kinds.into_iter().chain(others).chain([State::Other(None)]) {
            all.push(Told { state, detail: None, ..full.clone() });
        }
        for told in all {
            let wait = Waited::new(1, 2, 3, &told);
            assert_eq!((wait.state(), wait.told()), (told.state, told.clone()));
            assert_eq!(Waited::of(1, 2, 3, wait.bytes()), wait);
            for len in 0..wait.bytes().len() {
                assert_eq!(Told::read(&mut Reader(&wait.bytes()[..len])), None);
            }
        }
    }
}
