//! What was asked for and is not there, in words, with what there is instead.

use super::{Pick, exe, is_exe, is_method, is_start};
use crate::hash::HashMap;
use crate::method::names::{Axis, UNOBSERVED, names};
use crate::sort::SortSmall;
use crate::timeline::select::glob;
use crate::trace::schema::Start;
use crate::words::human::{counted, duration};
use crate::words::label::{self, harmless};
use crate::words::near::nearest;

/// Names that are told apart; of more, a person is told enough.
const MAX_NAMES: usize = 10_000;
/// Names that are told, and those that are offered instead of another.
const TOLD: usize = 6;
const OFFERED: usize = 3;
/// Characters of a name.
const LONGEST: usize = 60;

/// What fits each thing that was asked for, and what there is.
#[derive(Debug)]
pub struct Missed {
    pick: Pick,
    /// How many starts fit each.
    starts: Vec<u64>,
    exes: Vec<u64>,
    methods: Vec<u64>,
    /// Starts by base name of the executable, and by method.
    of_exe: HashMap<String, u64>,
    of_method: HashMap<String, u64>,
    slowest: Option<(u64, String)>,
    n: u64,
}

impl Missed {
    pub(super) fn new(pick: &Pick) -> Self {
        Self {
            starts: vec![0; pick.starts.len()],
            exes: vec![0; pick.exes.len()],
            methods: vec![0; pick.methods.len()],
            pick: pick.clone(),
            of_exe: HashMap::default(),
            of_method: HashMap::default(),
            slowest: None,
            n: 0,
        }
    }

    /// A start of the trace; once for each.
    pub(super) fn note(&mut self, start: &Start) {
        let count = |list: &[String], counts: &mut [u64], is: fn(&str, &Start) -> bool| {
            for (asked, count) in list.iter().zip(counts) {
                *count += u64::from(is(asked, start));
            }
        };
        count(&self.pick.starts, &mut self.starts, is_start);
        count(&self.pick.exes, &mut self.exes, is_exe);
        count(&self.pick.methods, &mut self.methods, is_method);
        self.n += 1;
        for (of, name) in [(&mut self.of_exe, exe(start).1), (&mut self.of_method, &*start.method.name)] {
            if let Some(n) = of.get_mut(name) {
                *n += 1;
            } else if of.len() < MAX_NAMES && !name.is_empty() {
                of.insert(name.to_owned(), 1);
            }
        }
        let duration_ns = start.timeline.duration_ns;
        if self.slowest.as_ref().is_none_or(|(slowest, _)| duration_ns > *slowest) {
            self.slowest = Some((duration_ns, label::of_start(start)));
        }
    }

    /// A method that no trace has: a slip. In words, with what could have been meant.
    pub fn no_method(&self) -> Option<String> {
        let known = || {
            let own = names().filter(|page| matches!(page.axis, Axis::Pattern | Axis::Mechanism));
            own.map(|page| page.name).chain([UNOBSERVED])
        };
        let asked = self.pick.methods.iter().zip(&self.methods);
        let (asked, _) = asked
            .filter(|(_, fits)| **fits == 0)
            .find(|(asked, _)| !known().any(|name| glob(asked, name)))?;
        let like = nearest(asked, known(), OFFERED);
        let like =
            if like.is_empty() { String::new() } else { format!("; did you mean {}?", like.join(", ")) };
        let like = if like.is_empty() { ".".to_owned() } else { like };
        Some(format!(
            "--method {}: there is no such method{like} The trace has {}; 'startrace help method-names' has all",
            harmless(asked, LONGEST),
            most(&self.of_method),
        ))
    }

    /// One line for all that nothing fits; `None`: something fits everything.
    pub fn said(&self) -> Option<String> {
        let mut parts = Vec::new();
        let none = |asked: &[String], fits: &[u64]| -> Vec<String> {
            asked.iter().zip(fits).filter(|(_, fits)| **fits == 0).map(|(asked, _)| asked.clone()).collect()
        };
        for (flag, asked, has) in [
            ("--exe", none(&self.pick.exes, &self.exes), Some(&self.of_exe)),
            ("--method", none(&self.pick.methods, &self.methods), Some(&self.of_method)),
            ("--starts", none(&self.pick.starts, &self.starts), None),
        ] {
            let Some(first) = asked.first() else { continue };
            let shown: Vec<String> = asked.iter().take(TOLD).map(|name| harmless(name, LONGEST)).collect();
            let like = match has {
                Some(of) => {
                    let base = first.rsplit('/').next().unwrap_or(first);
                    let like = nearest(base, of.keys().map(String::as_str), OFFERED);
                    let like: Vec<String> = like.iter().map(|name| harmless(name, LONGEST)).collect();
                    like.join(", ")
                }
                None => String::new(),
            };
            let like = if like.is_empty() { like } else { format!(" (did you mean {like}?)") };
            let there = match has {
                Some(of) => most(of),
                None => "'report --json' has their start_id and pid".to_owned(),
            };
            parts.push(format!(
                "{flag} {}{like}: there are {}: {there}",
                shown.join(", "),
                counted(self.n, "start")
            ));
        }
        if let (Some(least), Some((slowest, who))) = (self.pick.slower_than_ns, &self.slowest)
            && *slowest <= least
        {
            parts.push(format!(
                "--slower-than {}: the slowest took {}, {}",
                duration(least),
                duration(*slowest),
                harmless(who, LONGEST)
            ));
        }
        (!parts.is_empty()).then(|| parts.join("; "))
    }

    /// One line where no start fits.
    pub fn nothing(&self) -> String {
        if self.n == 0 {
            return "nothing to pick from: the trace has no starts".to_owned();
        }
        match self.said() {
            Some(said) => format!("nothing matches {said}"),
            None => {
                let all = counted(self.n, "start");
                format!("nothing matches all of what was asked for, though each of it matches some of {all}")
            }
        }
    }
}

/// The names that most have: `sh (12), python3 (3), git and 4 others`.
fn most(of: &HashMap<String, u64>) -> String {
    let mut names: Vec<(&String, u64)> = of.iter().map(|(name, n)| (name, *n)).collect();
    names.sort_small_by_key(|(name, n)| (std::cmp::Reverse(*n), *name));
    let told = names.iter().take(TOLD).map(|(name, n)| match n {
        1 => harmless(name, LONGEST),
        n => format!("{} ({n})", harmless(name, LONGEST)),
    });
    let mut text = told.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(TOLD) {
        0 => {}
        1 => text.push_str(" and 1 other"),
        n => text.push_str(&format!(" and {n} others")),
    }
    if text.is_empty() { "none".to_owned() } else { text }
}
