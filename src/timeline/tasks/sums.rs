//! What a task does at one moment, and times by that.

use crate::event::task::WaitKind;

/// A system call by number; which one it is, the architecture tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::timeline) struct Call {
    pub nr: i32,
    pub compat: bool,
}

/// What a task does at one moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::timeline) enum State {
    /// There is no task yet.
    Creating,
    Running,
    Runnable,
    /// It has ended.
    Exited,
    #[default]
    Unknown,
    Blocked(WaitKind),
    /// In a system call (or, without one, elsewhere in the kernel) that has no kind of its own.
    Other(Option<Call>),
}

impl State {
    pub(in crate::timeline) fn of(kind: WaitKind, call: Option<Call>) -> Self {
        match kind {
            WaitKind::Cpu => Self::Runnable,
            WaitKind::Other => Self::Other(call),
            kind => Self::Blocked(kind),
        }
    }
}

/// Times by state, each state once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::timeline) struct Sums(Vec<(State, u64)>);

impl Sums {
    pub(in crate::timeline) fn with_room(states: usize) -> Self {
        Self(Vec::with_capacity(states))
    }

    pub(in crate::timeline) fn add(&mut self, state: State, ns: u64) {
        if ns == 0 {
            return;
        }
        match self.0.iter_mut().find(|(known, _)| *known == state) {
            Some((_, sum)) => *sum = sum.saturating_add(ns),
            None => self.0.push((state, ns)),
        }
    }

    pub(in crate::timeline) fn add_all(&mut self, other: &Self) {
        other.0.iter().for_each(|&(state, ns)| self.add(state, ns));
    }

    pub(in crate::timeline) fn get(&self, state: State) -> u64 {
        self.0.iter().find(|(known, _)| *known == state).map_or(0, |(_, ns)| *ns)
    }

    pub(in crate::timeline) fn iter(&self) -> impl Iterator<Item = (State, u64)> {
        self.0.iter().copied()
    }

    /// What is certain of a part of `part` ns out of these `whole` ns: of each state what cannot lie in
    /// the rest. Where the order of things is not known, most of a small part is unknown.
    pub(in crate::timeline) fn certain(&self, part: u64, whole: u64) -> Self {
        let rest = whole.saturating_sub(part);
        let mut out = Self::default();
        let mut unknown = part;
        for (state, ns) in self.iter() {
            let ns = ns.saturating_sub(rest).min(unknown);
            unknown -= ns;
            out.add(state, ns);
        }
        out.add(State::Unknown, unknown);
        out
    }

    /// A part in proportion: an estimate, but adding up exactly.
    pub(in crate::timeline) fn share(&self, part: u64, whole: u64) -> Self {
        if part >= whole {
            return self.clone();
        }
        let mut out = Self::default();
        // Differences of running sums, so that rounding does not pile up.
        let (mut before, mut given) = (0u128, 0u64);
        for (state, ns) in self.iter() {
            before += u128::from(ns);
            let upto = (before * u128::from(part) / u128::from(whole.max(1))) as u64;
            let upto = upto.min(part);
            out.add(state, upto.saturating_sub(given));
            given = given.max(upto);
        }
        out.add(State::Unknown, part - given.min(part));
        out
    }
}
