//! Equal findings of many starts as one, priced over the path of the whole.

use super::hit::{Claim, Hit, read_claims, write_claims};
use super::known::Key;
use super::thresholds::Thresholds;
use super::whole::{Piece, Wholes, common, length, union};
use crate::dense::{Reader, Writer};
use crate::hash::{HashMap, HashSet};
use crate::sort::SortSmall;
use crate::trace::schema::{Basis, Joined, Severity};
use crate::words::intern::Sym;

/// Claims in memory, of all hits together: some 20 MB.
const MAX_CLAIMS: usize = 500_000;
/// Kinds that are told apart.
const MAX_KINDS: usize = 20_000;
/// Starts that a joined finding names.
const MAX_STARTS: usize = 1_000;
/// Findings that are joined findings of their own; more than anybody reads.
const MAX_JOINED: usize = 500;
/// From this share of the smaller one on, two findings are said to overlap.
const OVERLAP: f64 = 0.05;
/// A hit that lies within a larger one of its own kind for this share says nothing new.
const NESTED: f64 = 0.9;

/// What says only where the time went is no cause, if others say for this share of it why.
const EXPLAINED: f64 = 0.6;
/// ... or for this share, where it is what equal starts do to each other.
const EXPLAINED_AMONG_EQUALS: f64 = 0.2;

/// How the hits of a finding are dealt with.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    /// One within a larger one says nothing new.
    pub(super) nests: bool,
    /// How far it is from saying why the time went.
    pub(super) vagueness: u8,
}

/// One hit.
#[derive(Debug)]
struct Kept {
    start: u64,
    cost_ns: Option<u64>,
    /// How much of the claimed time would go away.
    share: f64,
    claims: Vec<Claim>,
}

/// Hits of one finding with one subject.
#[derive(Debug)]
struct Kind {
    id: &'static str,
    /// The dearest one's words.
    words: Hit,
    name: Sym,
    /// All have the same command.
    one_name: bool,
    /// The hits, written down.
    bytes: Writer,
    kept: usize,
    /// Near which time the next hit is.
    last_ns: u64,
    /// Starts: those of one come one after the other.
    n: u64,
    last: Option<u64>,
}

impl Kind {
    fn of(id: &'static str, words: Hit, name: Sym) -> Self {
        Self {
            id,
            words,
            name,
            one_name: true,
            bytes: Writer::default(),
            kept: 0,
            last_ns: 0,
            n: 0,
            last: None,
        }
    }

    fn keep(&mut self, start: u64, hit: &Hit) {
        let out = &mut self.bytes;
        out.hash(start);
        out.after_or_none(0, hit.cost_ns);
        write_claims(out, start, self.last_ns, &hit.claims);
        self.last_ns = hit.claims.last().map_or(self.last_ns, |claim| claim.to);
        self.kept += 1;
    }

    /// All that are kept, the dearest first.
    fn hits(&self) -> Vec<Kept> {
        let mut hits = Vec::with_capacity(self.kept);
        let (mut from, mut last_ns) = (Reader(&self.bytes.0), 0);
        while let Some(hit) = kept(&mut from, &mut last_ns) {
            hits.push(hit);
        }
        hits.sort_small_by_key(|hit| std::cmp::Reverse(hit.cost_ns));
        hits
    }
}

fn kept(from: &mut Reader<'_>, last_ns: &mut u64) -> Option<Kept> {
    let (start, cost_ns) = (from.hash()?, from.after_or_none(0)?);
    let claims = read_claims(from, start, *last_ns)?;
    *last_ns = claims.last().map_or(*last_ns, |claim| claim.to);
    // One moment can be claimed of two tasks: of a child that is being forked, and of its parent.
    let claimed = length(&union(claims.iter().map(|claim| (claim.from, claim.to)).collect()));
    let share = cost_ns.map_or(0.0, |cost| (cost as f64 / claimed.max(1) as f64).min(1.0));
    Some(Kept { start, cost_ns, share, claims })
}

/// All hits so far.
#[derive(Debug, Default)]
pub(super) struct Hits {
    kinds: Vec<Kind>,
    places: HashMap<(&'static str, String), usize>,
    claims: usize,
    /// Hits that were only counted, by finding: their claims would have been too many.
    pub(super) counted: HashMap<&'static str, u64>,
}

/// What is asked of the trace whose hits are joined: of its starts by their hashes.
pub(super) struct Trace<'a> {
    /// To which whole one belongs.
    pub(super) whole_of: &'a dyn Fn(u64) -> Option<u32>,
    /// Its id.
    pub(super) id_of: &'a dyn Fn(u64) -> Option<String>,
    /// The name of its program.
    pub(super) name_of: &'a dyn Fn(u64) -> Option<String>,
    /// A command.
    pub(super) name: &'a dyn Fn(Sym) -> &'a str,
    /// Its wholes are the runs of `stat`.
    pub(super) has_runs: bool,
}

/// What a joined finding is on the path.
struct Priced {
    joined: Joined,
    among_equals: bool,
    /// It is of what several starts have in common.
    of_siblings: bool,
    pieces: Vec<Piece>,
    whole: u32,
}

impl Hits {
    pub(super) fn add(&mut self, id: &'static str, start: u64, name: Sym, hit: &Hit) {
        let place = match self.places.get(&(id, hit.subject.clone())) {
            Some(&place) => place,
            None if self.kinds.len() < MAX_KINDS => {
                self.places.insert((id, hit.subject.clone()), self.kinds.len());
                let words = Hit { claims: Vec::new(), ..hit.clone() };
                self.kinds.push(Kind::of(id, words, name));
                self.kinds.len() - 1
            }
            None => {
                *self.counted.entry(id).or_default() += 1;
                return;
            }
        };
        let Some(kind) = self.kinds.get_mut(place) else { return };
        kind.n += u64::from(kind.last.replace(start) != Some(start));
        kind.one_name &= kind.name == name;
        if hit.cost_ns > kind.words.cost_ns {
            kind.words = Hit { claims: Vec::new(), ..hit.clone() };
            kind.name = name;
        }
        if self.claims.saturating_add(hit.claims.len()) > MAX_CLAIMS || kind.kept >= MAX_CLAIMS {
            *self.counted.entry(id).or_default() += 1;
            return;
        }
        self.claims += hit.claims.len();
        kind.keep(start, hit);
    }

    /// All starts of which something was found.
    pub(super) fn starts(&self) -> HashSet<Key> {
        let mut starts = HashSet::default();
        for kind in &self.kinds {
            starts.extend(kind.words.starts.iter().map(|start| Key::of(*start)));
            let (mut from, mut last_ns) = (Reader(&kind.bytes.0), 0);
            while let Some(hit) = kept(&mut from, &mut last_ns) {
                starts.insert(Key::of(hit.start));
            }
        }
        starts
    }

    /// The joined findings, dearest first.
    pub(super) fn finish(
        self,
        wholes: &Wholes,
        thresholds: &Thresholds,
        rule: impl Fn(&str) -> Manner,
        trace: &Trace<'_>,
    ) -> Vec<Joined> {
        let mut all: Vec<Priced> = Vec::new();
        for kind in self.kinds {
            all.push(price(&kind, wholes, thresholds, trace));
        }
        all.sort_small_by_key(|priced| std::cmp::Reverse(rank(&priced.joined)));
        let mut kept: Vec<Priced> = Vec::new();
        for priced in all {
            let within = |larger: &Priced| {
                larger.joined.id == priced.joined.id
                    && larger.whole == priced.whole
                    && common(&larger.pieces, &priced.pieces) as f64 >= NESTED * length(&priced.pieces) as f64
            };
            let is_nested = rule(&priced.joined.id).nests && kept.iter().any(within);
            if !is_nested && kept.len() < MAX_JOINED {
                kept.push(priced);
            }
        }
        let explained = |priced: &Priced| {
            let own = rule(&priced.joined.id).vagueness;
            let others = kept.iter().filter(|other| {
                other.whole == priced.whole
                    && rule(&other.joined.id).vagueness < own
                    && other.joined.saves_ns.is_some()
            });
            let pieces = union(others.flat_map(|other| other.pieces.iter().copied()).collect());
            let enough = if priced.among_equals { EXPLAINED_AMONG_EQUALS } else { EXPLAINED };
            own > 0 && common(&pieces, &priced.pieces) as f64 >= enough * length(&priced.pieces) as f64
        };
        let all: Vec<bool> = kept.iter().map(explained).collect();
        for (priced, explained) in kept.iter_mut().zip(all) {
            priced.joined.explained = explained;
        }
        // Of what is equally dear, the cause goes first.
        let vague = |joined: &Joined| (joined.explained, rule(&joined.id).vagueness);
        kept.sort_small_by_key(|Priced { joined, .. }| (std::cmp::Reverse(rank(joined)), vague(joined)));
        for at in 0..kept.len() {
            let mut overlaps = Vec::new();
            for (other, theirs) in kept.iter().enumerate() {
                let Some(own) = kept.get(at) else { continue };
                let both = common(&own.pieces, &theirs.pieces) as f64;
                let smaller = length(&own.pieces).min(length(&theirs.pieces)) as f64;
                if other != at && own.whole == theirs.whole && both > 0.0 && both >= OVERLAP * smaller {
                    overlaps.push(theirs.joined.id.clone());
                }
            }
            overlaps.sort_small_by(Ord::cmp);
            overlaps.dedup();
            if let Some(own) = kept.get_mut(at) {
                own.joined.overlaps = overlaps;
            }
        }
        if trace.has_runs {
            kept = across_runs(kept);
        }
        kept.into_iter().map(|priced| priced.joined).collect()
    }
}

/// What siblings have in common has their parent for its subject, which is another in each run: the dearest stays, and
/// says of how many it is. Each has explained by now what it explains of its own run.
fn across_runs(kept: Vec<Priced>) -> Vec<Priced> {
    let mut out: Vec<Priced> = Vec::with_capacity(kept.len());
    let mut places: HashMap<(String, String), (usize, u64)> = HashMap::default();
    for priced in kept {
        if !priced.of_siblings {
            out.push(priced);
            continue;
        }
        let key = (priced.joined.id.clone(), priced.joined.what.clone());
        let (place, runs) = places.entry(key).or_insert((out.len(), 0));
        *runs += 1;
        match out.get_mut(*place) {
            Some(Priced { joined, .. }) => {
                joined.n = joined.n.saturating_add(priced.joined.n);
                let room = MAX_STARTS.saturating_sub(joined.starts.len());
                joined.starts.extend(priced.joined.starts.into_iter().take(room));
            }
            None => out.push(priced),
        }
    }
    for (place, runs) in places.into_values().filter(|(_, runs)| *runs > 1) {
        if let Some(Priced { joined, .. }) = out.get_mut(place) {
            let summary = std::mem::take(&mut joined.summary);
            joined.summary = format!("the same in {runs} runs (the price is of one). The dearest: {summary}");
        }
    }
    out
}

/// The dearest has the highest.
pub(super) fn rank(joined: &Joined) -> (Option<u64>, Severity) {
    // What has no price stands between what saves something and what nothing waits for.
    (joined.saves_ns.or(Some(1)), joined.severity)
}

fn price(kind: &Kind, wholes: &Wholes, thresholds: &Thresholds, trace: &Trace<'_>) -> Priced {
    // By whole: what it would save there. Several wholes do not wait for each other: the dearest counts.
    let all = kind.hits();
    let mut by_whole: HashMap<u32, Vec<&Kept>> = HashMap::default();
    for hit in &all {
        by_whole.entry((trace.whole_of)(hit.start).unwrap_or(u32::MAX)).or_default().push(hit);
    }
    let mut best: Option<(u64, u32, Vec<Piece>)> = None;
    for (&number, hits) in &by_whole {
        let Some(whole) = wholes.get(number) else { continue };
        let (saved, pieces) = saving(hits, |claims| whole.on_path(claims.iter()));
        let is_better = best.as_ref().is_none_or(|(most, at, _)| (saved, at) > (*most, &number));
        if is_better {
            best = Some((saved, number, pieces));
        }
    }
    let (saved, number, pieces) = best.unwrap_or_default();
    let saved = saved.saturating_sub(kind.words.stays_ns);
    let priced = kind.words.cost_ns.is_some();
    let whole = wholes.get(number).map_or(0, |whole| whole.length);
    let saves_ns = priced.then_some(saved);
    let severity = severity(saves_ns, whole, &kind.words, thresholds);
    let n = kind.n.max(kind.words.starts.len() as u64);
    let listed: Vec<u64> = match kind.words.starts.is_empty() {
        true => all.iter().map(|hit| hit.start).collect(),
        false => kind.words.starts.clone(),
    };
    let mut seen = crate::hash::HashSet::default();
    let starts = listed
        .into_iter()
        .filter(|start| seen.insert(*start))
        .filter_map(trace.id_of)
        .take(MAX_STARTS)
        .collect();
    let (what, mut summary, advice) = kind.words.named(trace.name_of);
    // What one start has several times is one start's.
    let mut of_start: HashMap<u64, (u64, u64)> = HashMap::default();
    for (start, ns) in all.iter().filter_map(|hit| Some((hit.start, hit.cost_ns?))) {
        let (times, sum) = of_start.entry(start).or_default();
        (*times, *sum) = (*times + 1, sum.saturating_add(ns));
    }
    let dearest = all.first().and_then(|hit| of_start.get(&hit.start)).copied();
    let several = dearest.filter(|(times, _)| *times > 1);
    if let Some((times, sum)) = several {
        let others = crate::words::counted(times - 1, "other");
        summary.push_str(&format!("; with {others} like that {}", super::case::time(sum)));
    }
    if kind.n > 1 {
        let who = if kind.one_name {
            format!(" of {}", super::case::quoted((trace.name)(kind.name)))
        } else {
            String::new()
        };
        // Of several runs nobody waits for more than one; the number is of all.
        let runs = match by_whole.len() {
            n if trace.has_runs && n > 1 => format!(" in {n} runs (the price is of one)"),
            _ => String::new(),
        };
        let mut costs: Vec<u64> = of_start.into_values().map(|(_, sum)| sum).collect();
        costs.sort_unstable();
        let each = spread(&costs);
        let things = if kind.words.starts.is_empty() { "starts" } else { "groups" };
        summary =
            format!("{} {things}{who}{runs}{each}. The dearest: {summary}", crate::words::count(kind.n));
    } else if let (Some(cost), Some(Basis::Measured)) =
        (several.map(|(_, sum)| sum).or(kind.words.cost_ns), kind.words.basis)
        && saved > 0
        && saved < cost
        && super::case::time(saved) != super::case::time(cost)
    {
        summary.push_str(&format!("; the whole waits for {} of that", super::case::time(saved)));
    }
    if let Some((_, why)) = kind.words.least.as_ref().filter(|(least, _)| saved > 0 && saved < *least) {
        summary.push_str(&format!("; at least, {why}"));
    }
    let joined = Joined {
        id: kind.id.to_owned(),
        severity,
        saves_ns,
        basis: kind.words.basis.map(|basis| {
            // Less than all of the claimed time is a calculation.
            let scaled = all.iter().any(|hit| hit.cost_ns.is_some() && hit.share < 0.999);
            if scaled { Basis::Scaled } else { basis }
        }),
        starts,
        n,
        overlaps: Vec::new(),
        explained: false,
        what,
        summary,
        evidence: kind.words.evidence.clone(),
        advice,
    };
    let (among_equals, of_siblings) = (kind.words.among_equals, !kind.words.starts.is_empty());
    Priced { joined, among_equals, of_siblings, pieces, whole: number }
}

/// What each of several cost, of a sorted list: of two both, of more their largest and the middle one.
fn spread(costs: &[u64]) -> String {
    let time = super::case::time;
    let (Some(least), Some(most)) = (costs.first(), costs.last()) else { return String::new() };
    match costs {
        // The others have no price, and this is told with the dearest.
        [_] => String::new(),
        _ if time(*least) == time(*most) => format!(", {} of each one's own time", time(*most)),
        [_, _] => format!(", {} and {} of their own time", time(*most), time(*least)),
        _ => {
            let middle = costs.get(costs.len().saturating_sub(1) / 2).copied().unwrap_or(*most);
            format!(", up to {} of each one's own time, p50 {}", time(*most), time(middle))
        }
    }
}

/// What hits save on a path: each nanosecond once, and of it the share that would go away.
fn saving(hits: &[&Kept], on_path: impl Fn(&[Claim]) -> Vec<Piece>) -> (u64, Vec<Piece>) {
    let mut parts: Vec<(u64, u64, f64)> = Vec::new();
    for hit in hits {
        parts.extend(on_path(&hit.claims).into_iter().map(|(from, to)| (from, to, hit.share)));
    }
    let pieces = union(parts.iter().map(|(from, to, _)| (*from, *to)).collect());
    if parts.iter().all(|(_, _, share)| *share >= 1.0) {
        return (length(&pieces), pieces);
    }
    // Where several hits have the same time, the one that saves most of it counts.
    let mut edges: Vec<u64> = parts.iter().flat_map(|(from, to, _)| [*from, *to]).collect();
    edges.sort_unstable();
    edges.dedup();
    parts.sort_small_by(|a, b| b.2.total_cmp(&a.2));
    let mut most = vec![0f64; edges.len()];
    // Each edge is filled once: the largest share comes first.
    let mut next: Vec<usize> = (0..=edges.len()).collect();
    for (from, to, share) in parts {
        let (first, last) = (edges.partition_point(|e| *e < from), edges.partition_point(|e| *e < to));
        let mut at = find(&mut next, first);
        while at < last {
            if let Some(slot) = most.get_mut(at) {
                *slot = share;
            }
            if let Some(next) = next.get_mut(at) {
                *next = at + 1;
            }
            at = find(&mut next, at + 1);
        }
    }
    let lengths = edges.windows(2).map(|pair| match pair {
        [a, b] => b - a,
        _ => 0,
    });
    let saved: f64 = lengths.zip(&most).map(|(length, share)| length as f64 * share).sum();
    (saved.round() as u64, pieces)
}

/// The next edge that is not filled.
fn find(next: &mut [usize], from: usize) -> usize {
    let mut at = from;
    while let Some(&to) = next.get(at) {
        if to == at {
            break;
        }
        let beyond = next.get(to).copied().unwrap_or(to);
        if let Some(slot) = next.get_mut(at) {
            *slot = beyond;
        }
        at = to;
    }
    at
}

/// How much a price matters to a whole.
pub(super) fn severity(saves_ns: Option<u64>, whole_ns: u64, hit: &Hit, thresholds: &Thresholds) -> Severity {
    let all = &thresholds.all;
    let ns = saves_ns.unwrap_or(0);
    let share = ns as f64 / whole_ns.max(1) as f64;
    let by_price = if ns >= all.critical_cost.0 && share >= all.critical_share {
        Severity::Critical
    } else if ns >= all.warning_cost.0 && share >= all.warning_share {
        Severity::Warning
    } else {
        Severity::Info
    };
    by_price.min(hit.at_most).max(hit.at_least)
}

#[cfg(test)]
mod tests {
    use super::super::hit::Of;
    use super::*;

    fn kept(share: f64, pieces: &[Piece]) -> Kept {
        let claims = pieces.iter().map(|&(from, to)| Claim { of: Of::Anybody, from, to }).collect();
        Kept { start: 1, cost_ns: Some(1), share, claims }
    }

    fn saved(hits: &[Kept]) -> u64 {
        let all: Vec<&Kept> = hits.iter().collect();
        saving(&all, |claims| claims.iter().map(|claim| (claim.from, claim.to)).collect()).0
    }

    #[test]
    fn each_nanosecond_is_saved_once() {
        assert_eq!(saved(&[kept(1.0, &[(0, 10)]), kept(1.0, &[(5, 20)])]), 20);
        assert_eq!(saved(&[kept(0.5, &[(0, 10)])]), 5);
        assert_eq!(saved(&[kept(0.5, &[(0, 10)]), kept(1.0, &[(5, 10)]), kept(0.1, &[(0, 20)])]), 9);
        assert_eq!(saved(&[]), 0);
    }

    #[test]
    fn an_average_is_told_of_three_or_more() {
        let told = |ms: &[u64]| spread(&ms.iter().map(|ms| ms * 1_000_000).collect::<Vec<_>>());
        assert_eq!(told(&[]), "");
        assert_eq!(told(&[100]), "");
        assert_eq!(told(&[100, 592]), ", 592 ms and 100 ms of their own time");
        assert_eq!(told(&[100, 100]), ", 100 ms of each one's own time");
        assert_eq!(told(&[100, 120, 592]), ", up to 592 ms of each one's own time, p50 120 ms");
        assert_eq!(told(&[1, 2, 3, 4]), ", up to 4.00 ms of each one's own time, p50 2.00 ms");
    }
}
