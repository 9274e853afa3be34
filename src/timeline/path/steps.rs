//! The steps of a walk, from the end backwards. A trace gets the longest each on its own, and what lies between two of
//! them as one; of a walk through thousands of starts, what is sure to be put together is so at once.

use crate::timeline::tasks::State;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Pieces that a trace gets; of more, short ones are put together.
const MAX_SEGMENTS: usize = 2_000;
/// Steps in memory.
const MAX_KEPT: usize = 4 * MAX_SEGMENTS;

/// Words of a segment, made when it is written.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Words {
    None,
    Said(Rc<str>),
    /// Who had the CPU last, and since when.
    Rival(u32, Rc<str>, Option<u64>),
    Fixed(&'static str),
}

/// A piece of the path: one step, or the longest of those that were put together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Step {
    pub(super) lo: u64,
    pub(super) hi: u64,
    pub(super) view: usize,
    pub(super) tid: u32,
    pub(super) state: State,
    pub(super) words: Words,
    pub(super) phase: Option<&'static str>,
    pub(super) all: Option<Box<Together>>,
}

/// Steps that were put together.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Together {
    pub(super) n: usize,
    /// In which states the time was spent, by other starts than that of the path and by that.
    pub(super) states: BTreeMap<(Whose, State), u64>,
    /// The other starts, by their views, and how long the path was in each. Lists and no sums, for a walk through
    /// thousands of starts has an entry for each: in order, and each view once, only after [`Steps::finish`].
    pub(super) of: Vec<(u64, u64)>,
    longest_ns: u64,
}

/// A piece's start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Whose {
    /// The one that the path belongs to: the first view.
    Own,
    Others,
}

impl Together {
    /// One step alone.
    fn of(step: &Step) -> Self {
        let longest_ns = step.length();
        let mut all = Self { n: 0, states: BTreeMap::new(), of: Vec::new(), longest_ns };
        all.add(step);
        all
    }

    fn add(&mut self, step: &Step) {
        self.n += 1;
        let (whose, ns) = (if step.view == 0 { Whose::Own } else { Whose::Others }, step.length());
        *self.states.entry((whose, step.state)).or_default() += ns;
        let view = step.view as u64;
        match self.of.last_mut() {
            _ if whose == Whose::Own => {}
            Some((last, sum)) if *last == view => *sum += ns,
            _ => self.of.push((view, ns)),
        }
    }

    /// All of another. The order of the list does not matter: the fewer go to the more.
    fn add_all(&mut self, mut more: Self) {
        self.n += more.n;
        more.states.into_iter().for_each(|(of, ns)| *self.states.entry(of).or_default() += ns);
        if more.of.len() > self.of.len() {
            std::mem::swap(&mut more.of, &mut self.of);
        }
        self.of.append(&mut more.of);
    }

    /// Each view once.
    fn sum_up(&mut self) {
        self.of.sort_unstable();
        self.of.dedup_by(|(view, ns), (last, sum)| {
            let same = view == last;
            *sum += if same { *ns } else { 0 };
            same
        });
    }
}

impl Step {
    fn length(&self) -> u64 {
        self.hi - self.lo
    }

    fn continues(&self, last: &Self) -> bool {
        (last.view, last.tid, last.state) == (self.view, self.tid, self.state)
            && last.words == self.words
            && last.phase == self.phase
    }

    /// Puts the one before it in time to this one. What is left of that is of no use.
    fn join(&mut self, before: &mut Self) {
        let longest_ns = |step: &Self| step.all.as_ref().map_or(step.length(), |all| all.longest_ns);
        let (own_ns, their_ns) = (longest_ns(self), longest_ns(before));
        let mut all = self.all.take().unwrap_or_else(|| Box::new(Together::of(self)));
        let (hi, lo) = (self.hi, before.lo);
        match before.all.take() {
            None => all.add(before),
            Some(more) => all.add_all(*more),
        }
        all.longest_ns = own_ns.max(their_ns);
        if their_ns > own_ns {
            std::mem::swap(self, before);
        }
        (self.hi, self.lo, self.all) = (hi, lo, Some(all));
    }
}

/// All of one walk.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The latest first.
    list: Vec<Step>,
    /// Steps so far.
    n: usize,
    /// Shorter ones do not stand alone.
    limit_ns: u64,
}

impl Steps {
    /// The next step backwards; it continues the one before it where nothing is different.
    pub(super) fn push(&mut self, step: Step) {
        match self.list.last_mut() {
            Some(last) if step.continues(last) => last.lo = step.lo,
            _ => {
                if self.list.len() >= MAX_KEPT {
                    // It may still become longer.
                    let last = self.list.pop();
                    self.put_together();
                    self.list.extend(last);
                }
                self.n += 1;
                self.list.push(step);
            }
        }
    }

    /// The longest stay alone; their number is bounded, and whoever is not one of them now never will be.
    fn put_together(&mut self) {
        let mut lengths: Vec<u64> =
            self.list.iter().filter(|step| step.all.is_none()).map(Step::length).collect();
        if let Some(nth) = lengths.len().checked_sub(MAX_SEGMENTS / 2)
            && nth < lengths.len()
        {
            let limit_ns = lengths.select_nth_unstable(nth).1.saturating_add(1);
            self.limit_ns = self.limit_ns.max(limit_ns);
        }
        let limit_ns = self.limit_ns;
        let is_short = |step: &Step| step.all.is_some() || step.length() < limit_ns;
        self.list.dedup_by(|step, last| {
            let short = is_short(last) && is_short(step);
            if short {
                last.join(step);
            }
            short
        });
    }

    /// All in order of time, at most [`MAX_SEGMENTS`].
    pub(super) fn finish(mut self) -> Vec<Step> {
        if self.n > MAX_SEGMENTS {
            self.put_together();
        }
        self.list.reverse();
        self.list.iter_mut().filter_map(|step| step.all.as_mut()).for_each(|all| all.sum_up());
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same with all of them in memory.
    fn at_once(steps: &[Step]) -> Vec<Step> {
        let mut steps = steps.to_vec();
        steps.reverse();
        let mut limit = 0;
        if steps.len() > MAX_SEGMENTS {
            let mut lengths: Vec<u64> = steps.iter().map(Step::length).collect();
            let nth = lengths.len() - MAX_SEGMENTS / 2;
            limit = lengths.select_nth_unstable(nth).1.saturating_add(1);
        }
        let runs = steps.chunk_by(|a, b| a.length() < limit && b.length() < limit);
        let one = |run: &[Step]| {
            let longest = run.iter().max_by_key(|step| step.length()).unwrap().clone();
            let (mut of, mut states) = (BTreeMap::new(), BTreeMap::new());
            for step in run {
                let whose = if step.view == 0 { Whose::Own } else { Whose::Others };
                *states.entry((whose, step.state)).or_default() += step.length();
                if step.view > 0 {
                    *of.entry(step.view as u64).or_default() += step.length();
                }
            }
            let (longest_ns, of) = (longest.length(), of.into_iter().collect());
            let all = (run.len() > 1).then(|| Box::new(Together { n: run.len(), states, of, longest_ns }));
            Step { lo: run[0].lo, hi: run[run.len() - 1].hi, all, ..longest }
        };
        runs.map(one).collect()
    }

    #[test]
    fn what_is_put_together_early_is_what_would_be_at_the_end() {
        let states = [State::Running, State::Runnable, State::Unknown];
        for (n, spread) in
            [(10u64, 50), (2_000, 50), (2_001, 50), (30_000, 50), (60_000, 1 << 40), (30_000, 1)]
        {
            let mut now = u64::MAX;
            let mut seed = n ^ spread;
            let all: Vec<Step> = (0..n)
                .map(|at| {
                    seed =
                        seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    // Towards the end they become longer, so that what stood alone does no more.
                    let hi = now;
                    now -= 1 + (seed >> 20) % spread + at / 100;
                    let state = states[(seed >> 9) as usize % 3];
                    let words = if seed >> 13 & 1 == 0 { Words::None } else { Words::Fixed("x") };
                    // Back in the path's own start, or in one that it was in before, every now and then.
                    let view = if seed >> 30 & 1 == 0 { at as usize } else { (seed >> 34) as usize % 3 };
                    // None continues another.
                    Step { lo: now, hi, view, tid: at as u32, state, words, phase: None, all: None }
                })
                .collect();
            let mut steps = Steps::default();
            for step in &all {
                steps.push(step.clone());
                assert!(steps.list.len() <= MAX_KEPT);
            }
            let found = steps.finish();
            assert!(found.len() <= MAX_SEGMENTS);
            assert!(found == at_once(&all), "{n} steps of up to {spread} ns");
        }
    }

    #[test]
    fn a_step_continues_where_nothing_is_different() {
        let step = |lo, hi, tid| Step {
            lo,
            hi,
            view: 0,
            tid,
            state: State::Running,
            words: Words::None,
            phase: Some("app"),
            all: None,
        };
        let mut steps = Steps::default();
        for step in [step(8, 9, 1), step(5, 8, 1), step(4, 5, 2), step(0, 4, 1)] {
            steps.push(step);
        }
        assert_eq!(steps.finish(), [step(0, 4, 1), step(4, 5, 2), step(5, 9, 1)]);
    }
}
