//! What a finding hands over: words, numbers, and the nanoseconds that it is about.

use crate::dense::{Reader, Writer};
use crate::sort::SortSmall;
use crate::trace::schema::{Basis, Severity};
use crate::words::label;
use serde_json::Value;
use std::collections::BTreeMap;

/// Time of one task (or of all tasks of a start, or of whoever had it), on the boottime clock: what would
/// go away. It saves wall time as far as the critical path of the whole leads through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Claim {
    pub(crate) of: Of,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

/// Whose time it is. Starts are known by a hash of their id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// One task of a start.
    Task(u64, u32),
    /// Whatever task the path of the whole leads through then: of what a parent does one by one.
    Anybody,
}

/// Stands for [`Hit::about`] in a hit's words. No text of a trace has it: control characters are escaped.
pub(crate) const ABOUT: &str = "\u{1}";
/// Programs that a list of members names.
const MAX_PROGRAMS: usize = 4;

impl Hit {
    /// The words, with the names of processes as far as they are known now.
    pub(crate) fn named(&self, name: impl Fn(u64) -> Option<String>) -> (String, String, String) {
        let about = self
            .about
            .as_ref()
            .map_or_else(String::new, |(key, fallback)| name(*key).unwrap_or_else(|| fallback.clone()));
        let fill = |text: &str| text.replace(ABOUT, &about);
        let mut summary = fill(&self.summary);
        let programs = self.members.iter().filter_map(|(key, ns)| {
            let name = name(*key)?;
            Some((label::program(&name).to_owned(), *ns, ()))
        });
        let mut programs = super::case::by_name(programs, 256);
        programs.sort_small_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let list = programs.iter().take(MAX_PROGRAMS);
        let list = list.map(|(name, ns, all)| format!("{} {name} {}", all.len(), super::case::time(*ns)));
        let mut list: Vec<String> = list.collect();
        let shown: usize = programs.iter().take(MAX_PROGRAMS).map(|(_, _, all)| all.len()).sum();
        // The list adds up: those of rarer programs, and of such that nobody knows by name.
        if shown > 0 && shown < self.members.len() {
            let told = programs.iter().take(MAX_PROGRAMS).fold(0u64, |sum, of| sum.saturating_add(of.1));
            let all = self.members.iter().fold(0u64, |sum, (_, ns)| sum.saturating_add(*ns));
            let rest = super::case::time(all.saturating_sub(told));
            list.push(format!("{} of other programs {rest}", self.members.len() - shown));
        }
        if !list.is_empty() {
            summary.push_str(": ");
            summary.push_str(&list.join(", "));
        }
        (fill(&self.what), summary, fill(&self.advice))
    }
}

/// Writes claims of a start; they are near a time.
pub(super) fn write_claims(out: &mut Writer, own: u64, near_ns: u64, claims: &[Claim]) {
    out.number(claims.len() as u64);
    let (mut last, mut last_ns) = (None, near_ns);
    for claim in claims {
        match claim.of {
            of if last == Some(of) => out.number(0),
            Of::Anybody => out.number(1),
            Of::Task(of, tid) => {
                out.number(if of == own { 2 } else { 3 });
                if of != own {
                    out.hash(of);
                }
                out.number(tid.into());
            }
        }
        last = Some(claim.of);
        out.after(last_ns, claim.from);
        out.after(claim.from, claim.to);
        last_ns = claim.to;
    }
}

/// Reads what [`write_claims`] wrote.
pub(super) fn read_claims(from: &mut Reader<'_>, own: u64, near_ns: u64) -> Option<Vec<Claim>> {
    let n = from.count()?;
    let mut claims = Vec::with_capacity(n);
    let (mut last, mut last_ns) = (Of::Anybody, near_ns);
    for _ in 0..n {
        let of = match from.number()? {
            0 => last,
            1 => Of::Anybody,
            2 => Of::Task(own, from.small()?),
            _ => Of::Task(from.hash()?, from.small()?),
        };
        let begin = from.after(last_ns)?;
        let end = from.after(begin)?;
        claims.push(Claim { of, from: begin, to: end });
        (last, last_ns) = (of, end);
    }
    Some(claims)
}

/// Claims of one task that one hit keeps; of more, those with the smallest gaps between them become one.
const MAX_CLAIMS: usize = 128;
/// Claims of several tasks that take turns: none of them can become one with its neighbour, and what is left out is missing
/// in the price. As many as a critical path has pieces.
const MAX_TURNS: usize = 2_000;

/// One finding of one start (or of several siblings).
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// No more than this, whatever it costs.
    pub(crate) at_most: Severity,
    /// At least this, also without a price.
    pub(crate) at_least: Severity,
    /// Wall time on the start's own critical path that would go away.
    pub(crate) cost_ns: Option<u64>,
    pub(crate) basis: Option<Basis>,
    pub(crate) claims: Vec<Claim>,
    /// Hits of one finding with one subject are joined.
    pub(crate) subject: String,
    /// What the time goes to, after "3.1 s of it: ".
    pub(crate) what: String,
    pub(crate) summary: String,
    pub(crate) evidence: BTreeMap<String, Value>,
    pub(crate) advice: String,
    /// A process that the words name by [`ABOUT`]: its command may be known later only.
    pub(crate) about: Option<(u64, String)>,
    /// Processes that the summary ends with a list of, and their time.
    pub(crate) members: Vec<(u64, u64)>,
    /// What stays, once, of all that is claimed: of many imports the one that a fork server makes.
    pub(crate) stays_ns: u64,
    /// The price is told as the least where it is below that: why stands beside.
    pub(crate) least: Option<(u64, String)>,
    /// It comes of what starts of its own kind do at the same time: what says why they do it goes first.
    pub(crate) among_equals: bool,
    /// The starts that it concerns, where that is not only the one that was looked at.
    pub(crate) starts: Vec<u64>,
}

impl Hit {
    /// Without a price.
    pub(crate) fn new(subject: impl Into<String>, what: impl Into<String>) -> Self {
        Self {
            at_most: Severity::Critical,
            at_least: Severity::Info,
            cost_ns: None,
            basis: None,
            claims: Vec::new(),
            subject: subject.into(),
            what: what.into(),
            summary: String::new(),
            evidence: BTreeMap::new(),
            advice: String::new(),
            about: None,
            members: Vec::new(),
            stays_ns: 0,
            least: None,
            among_equals: false,
            starts: Vec::new(),
        }
    }

    /// A price: what was seen to be spent, or what follows from other times of the trace.
    pub(crate) fn costs(mut self, ns: u64, basis: Basis, claims: Vec<Claim>) -> Self {
        self.cost_ns = Some(ns);
        self.basis = Some(basis);
        self.claims = few(claims);
        self
    }

    pub(crate) fn says(mut self, summary: impl Into<String>) -> Self {
        self.summary = summary.into();
        self
    }

    pub(crate) fn advises(mut self, advice: impl Into<String>) -> Self {
        self.advice = advice.into();
        self
    }

    pub(crate) fn shows(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.evidence.insert(name.to_owned(), value.into());
        self
    }

    pub(crate) fn at_most(mut self, severity: Severity) -> Self {
        self.at_most = severity;
        self
    }

    pub(crate) fn at_least(mut self, severity: Severity) -> Self {
        self.at_least = severity;
        self
    }
}

/// No more than [`MAX_CLAIMS`], in order of time; touching ones of one task put together.
pub(crate) fn few(mut claims: Vec<Claim>) -> Vec<Claim> {
    claims.retain(|claim| claim.from < claim.to);
    claims.sort_small_by_key(|claim| (claim.from, claim.to));
    let mut out: Vec<Claim> = Vec::with_capacity(claims.len().min(MAX_CLAIMS));
    for claim in claims {
        match out.last_mut() {
            Some(last) if last.of == claim.of && claim.from <= last.to => last.to = last.to.max(claim.to),
            _ => out.push(claim),
        }
    }
    if out.len() <= MAX_CLAIMS {
        return out;
    }
    // Only neighbours of one task can become one; the widest gaps stay.
    let gap = |pair: &[Claim]| match pair {
        [a, b] if a.of == b.of => b.from.saturating_sub(a.to),
        _ => u64::MAX,
    };
    let mut gaps: Vec<u64> = out.windows(2).map(gap).collect();
    let nth = gaps.len().saturating_sub(MAX_CLAIMS - 1);
    let limit = if nth == 0 { 0 } else { *gaps.select_nth_unstable(nth - 1).1 };
    let mut few: Vec<Claim> = Vec::with_capacity(MAX_CLAIMS);
    // Where tasks take turns, to put together what some of them do would claim what others did in between.
    let turns = limit == u64::MAX;
    for claim in out {
        match few.last_mut() {
            Some(last) if !turns && last.of == claim.of && claim.from.saturating_sub(last.to) <= limit => {
                last.to = last.to.max(claim.to);
            }
            _ => few.push(claim),
        }
    }
    // Of several tasks that take turns, the longest.
    if few.len() > MAX_TURNS {
        few.sort_small_by_key(|claim| std::cmp::Reverse(claim.to - claim.from));
        few.truncate(MAX_TURNS);
        few.sort_small_by_key(|claim| claim.from);
    }
    few
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(of: u64, from: u64, to: u64) -> Claim {
        Claim { of: Of::Task(of, 1), from, to }
    }

    #[test]
    fn claims_are_read_as_they_were_written() {
        let of = |of, from, to| Claim { of, from, to };
        let claims = [
            of(Of::Task(7, 1), 5, 9),
            of(Of::Task(7, 1), 9, 20),
            of(Of::Task(7, 2), 3, u64::MAX),
            of(Of::Anybody, 0, 1),
            of(Of::Anybody, 1, 2),
            of(Of::Task(u64::MAX, 1), 2, 3),
            of(Of::Task(7, 1), 3, 3),
        ];
        for n in 0..=claims.len() {
            let mut out = Writer::default();
            write_claims(&mut out, 7, 1 << 40, &claims[..n]);
            assert_eq!(read_claims(&mut Reader(&out.0), 7, 1 << 40).as_deref(), Some(&claims[..n]));
            out.0.pop();
            assert_eq!(read_claims(&mut Reader(&out.0), 7, 1 << 40), None);
        }
    }

    #[test]
    fn claims_are_few_and_in_order() {
        let found = few(vec![claim(1, 20, 30), claim(1, 0, 10), claim(1, 10, 15), claim(1, 5, 5)]);
        assert_eq!(found, [claim(1, 0, 15), claim(1, 20, 30)]);
        let many: Vec<Claim> = (0..1000).map(|n| claim(1, n * 10 + n * n, n * 10 + n * n + 5)).collect();
        let found = few(many.clone());
        assert!(found.len() <= MAX_CLAIMS && found.len() > MAX_CLAIMS / 2, "{}", found.len());
        assert_eq!((found[0].from, found.last().unwrap().to), (0, many.last().unwrap().to));
        let turns = |n: u64| few((0..n).map(|n| claim(n % 2, n * 10, n * 10 + 5)).collect());
        assert_eq!(turns(1000).iter().map(|claim| claim.to - claim.from).sum::<u64>(), 5000);
        assert_eq!(turns(3000).len(), MAX_TURNS);
    }
}
