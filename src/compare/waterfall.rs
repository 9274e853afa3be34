//! Two runs beside each other: of each side the one in which the command took as long as it mostly does.
//!
//! Which runs, the digest says; where their phases lie, only the traces do, which are read a second time for the
//! few starts that are wanted.

use super::comparison::Comparison;
use super::digest::{Digest, Side};
use crate::hash::HashMap;
use crate::report::{markup, phase};
use crate::sort::SortSmall;
use crate::trace::parts;
use crate::trace::read::{Detail, Glance, Item, ReadError, Reader, Take};
use crate::trace::schema::Start;
use crate::words::label;
use std::collections::VecDeque;
use std::ops::ControlFlow;

/// Starts of one run that are drawn: the root and the longest.
const MAX_MEMBERS: usize = 150;
/// Pieces of one start: the longest.
const MAX_PIECES: usize = 400;
/// Ancestors that are looked through for the root.
const MAX_DEPTH: u32 = 64;

/// A piece of a start's time.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) class: String,
    pub(crate) name: String,
    pub(crate) at: u64,
    pub(crate) ns: u64,
}

/// A start as the trace has it.
#[derive(Debug, Clone)]
pub(crate) struct Drawn {
    pub(crate) label: String,
    pub(crate) method: String,
    pub(crate) pid: u32,
    pub(crate) phases: Vec<Piece>,
    /// Of its critical path.
    pub(crate) states: Vec<Piece>,
}

/// A start of the run.
#[derive(Debug)]
pub(crate) struct Member {
    /// Its number in the file.
    ordinal: u64,
    /// The same for what is the same on both sides.
    kind: usize,
    /// From the root's origin.
    pub(crate) at: u64,
    pub(crate) ns: u64,
    parent: Option<usize>,
    pub(crate) drawn: Option<Drawn>,
}

/// The run that stands for a side.
#[derive(Debug)]
pub struct Representative {
    file: usize,
    /// The root first.
    pub(crate) members: Vec<Member>,
    /// Starts of that run that are not drawn.
    pub(crate) left_out: usize,
    /// Among how many the root was chosen.
    pub(crate) of: usize,
}

/// One line of the picture: a start on one side or on both, or several that are the same and start nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) depth: usize,
    pub(crate) base: Vec<usize>,
    pub(crate) new: Vec<usize>,
}

/// So many of the same after each other are one line.
const ALIKE: usize = 4;

impl Representative {
    /// Of both sides, for the command that differs most; `None` where there is none that was seen whole.
    pub fn both(digest: &Digest, comparison: &Comparison) -> Option<[Self; 2]> {
        let root = comparison.pairs.iter().find(|pair| pair.is_root())?;
        let pairing = &comparison.pairing;
        let mut kinds: HashMap<usize, usize> = HashMap::default();
        for couple in &pairing.couples {
            if let (Some(old), Some(new)) = (couple.base, couple.new) {
                kinds.insert(new, old);
            }
        }
        let of = |group: usize, side: Side| Self::of(digest, comparison, group, side, &kinds);
        Some([of(root.groups.0, Side::BASE)?, of(root.groups.1, Side::NEW)?])
    }

    fn of(
        digest: &Digest,
        comparison: &Comparison,
        group: usize,
        side: Side,
        kinds: &HashMap<usize, usize>,
    ) -> Option<Self> {
        let group = comparison.pairing.groups.get(group)?;
        let mut roots: Vec<(u64, u32)> = group
            .rows
            .iter()
            .filter_map(|number| digest.rows.get(*number as usize).map(|row| (row, *number)))
            .filter(|(row, _)| row.is_measured(digest))
            .map(|(row, number)| (row.duration, number))
            .collect();
        roots.sort_unstable();
        let &(_, root) = roots.get(roots.len().checked_sub(1)? / 2)?;
        let of_root = digest.rows.get(root as usize)?;
        let (file, first) = place(digest, root)?;
        debug_assert_eq!(digest.side(of_root), side);
        let belongs = |mut number: u32| {
            for _ in 0..=MAX_DEPTH {
                if number == root {
                    return true;
                }
                match digest.rows.get(number as usize).and_then(|row| row.parent) {
                    Some(parent) => number = parent,
                    None => return false,
                }
            }
            false
        };
        let rows = digest.rows.iter().enumerate().filter(|(_, row)| row.run == of_root.run);
        let mut numbers: Vec<u32> = rows.map(|(number, _)| number as u32).filter(|n| belongs(*n)).collect();
        let row = |number: &u32| digest.rows.get(*number as usize);
        numbers.sort_small_by_key(|n| (*n != root, std::cmp::Reverse(row(n).map(|row| row.duration)), *n));
        let left_out = numbers.len().saturating_sub(MAX_MEMBERS);
        numbers.truncate(MAX_MEMBERS);
        numbers.sort_small_by_key(|n| (*n != root, row(n).map(|row| row.origin), *n));
        let place_of: HashMap<u32, usize> = numbers.iter().enumerate().map(|(at, n)| (*n, at)).collect();
        let members = numbers.iter().filter_map(|number| {
            let own = row(number)?;
            let group = *comparison.pairing.group_of.get(*number as usize)? as usize;
            let kind = match side {
                Side::NEW => kinds.get(&group).copied().unwrap_or(group),
                _ => group,
            };
            // Of a parent that is not drawn, the nearest that is.
            let mut parent = own.parent.filter(|_| *number != root);
            for _ in 0..MAX_DEPTH {
                let Some(above) = parent else { break };
                if place_of.contains_key(&above) {
                    break;
                }
                parent = row(&above).and_then(|row| row.parent);
            }
            Some(Member {
                ordinal: u64::from(*number).saturating_sub(first),
                kind,
                at: own.origin.saturating_sub(of_root.origin),
                ns: own.duration,
                parent: parent.and_then(|parent| place_of.get(&parent).copied()),
                drawn: None,
            })
        });
        Some(Self { file, left_out, of: roots.len(), members: members.collect() })
    }

    /// Which of the traces, in the order of reading.
    pub fn file(&self) -> usize {
        self.file
    }

    /// Takes what is drawn out of that trace.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub fn take(&mut self, reader: Reader) -> Result<(), ReadError> {
        let wanted: HashMap<u64, usize> =
            self.members.iter().enumerate().map(|(at, member)| (member.ordinal, at)).collect();
        let missing = wanted.len();
        reader.take(&mut Drawing { members: &mut self.members, wanted, ordinal: 0, missing })?;
        Ok(())
    }

    /// When its last start is over.
    pub(crate) fn end(&self) -> u64 {
        self.members.iter().map(|member| member.at.saturating_add(member.ns)).max().unwrap_or(0)
    }

    /// Indices of the children of each member, in the order of time.
    fn children(&self) -> Vec<Vec<usize>> {
        let mut children = vec![Vec::new(); self.members.len()];
        for (at, member) in self.members.iter().enumerate() {
            if let Some(list) = member.parent.and_then(|parent| children.get_mut(parent)) {
                list.push(at);
            }
        }
        children
    }
}

/// A trace that is read for the few starts that are drawn.
struct Drawing<'a> {
    members: &'a mut [Member],
    /// Places in that list, by the start's number in the trace.
    wanted: HashMap<u64, usize>,
    /// The number of the next start.
    ordinal: u64,
    missing: usize,
}

impl Take for Drawing<'_> {
    fn detail(&self) -> Option<Detail> {
        Some(Detail::Outline)
    }

    fn glance(&mut self, _start: &Start) -> Glance {
        if self.missing == 0 {
            return Glance::Stop;
        }
        if self.wanted.contains_key(&self.ordinal) {
            return Glance::Whole;
        }
        self.ordinal += 1;
        Glance::Enough
    }

    fn item(&mut self, item: Item) -> ControlFlow<()> {
        if let Item::Start(start) = item {
            if let Some(member) = self.wanted.get(&self.ordinal).and_then(|at| self.members.get_mut(*at)) {
                member.drawn = Some(drawn(&start));
                self.missing -= 1;
            }
            self.ordinal += 1;
        }
        if self.missing == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

/// The file of a row, and the number of that file's first row.
fn place(digest: &Digest, row: u32) -> Option<(usize, u64)> {
    let mut first = 0;
    for (at, file) in digest.files.iter().enumerate() {
        if u64::from(row) < first + file.starts {
            return Some((at, first));
        }
        first += file.starts;
    }
    None
}

fn drawn(start: &Start) -> Drawn {
    let time = &start.timeline;
    let phases = time.phases.iter().map(|piece| Piece {
        class: markup::phase_class(&piece.name),
        name: phase::get(phase::of_name(&piece.name)).name.to_owned(),
        at: piece.at_ns,
        ns: piece.duration_ns,
    });
    let mut states: Vec<Piece> = Vec::new();
    for piece in parts::of(start) {
        let name = label::harmless(piece.state, 40);
        match states.last_mut() {
            Some(last) if last.name == name => last.ns = last.ns.saturating_add(piece.duration_ns),
            _ => states.push(Piece {
                class: markup::state_class(piece.state),
                name,
                at: piece.at_ns,
                ns: piece.duration_ns,
            }),
        }
    }
    Drawn {
        label: label::of_start(start),
        method: label::harmless(&start.method.name, 80),
        pid: start.pid,
        phases: longest(phases.collect()),
        states: longest(states),
    }
}

/// The longest pieces, in their order.
fn longest(mut pieces: Vec<Piece>) -> Vec<Piece> {
    if pieces.len() > MAX_PIECES {
        pieces.sort_small_by_key(|piece| std::cmp::Reverse(piece.ns));
        pieces.truncate(MAX_PIECES);
        pieces.sort_small_by_key(|piece| piece.at);
    }
    pieces
}

/// Both trees as one: what is the same stands in one line, in the order of time.
pub(crate) fn lines(base: &Representative, new: &Representative) -> Vec<Line> {
    struct Both {
        depth: usize,
        base: Option<usize>,
        new: Option<usize>,
    }
    let (below_base, below_new) = (base.children(), new.children());
    let mut all: Vec<(Line, Option<usize>)> = Vec::new();
    // A stack and no recursion: a file may be deep.
    let mut stack = vec![Both { depth: 0, base: Some(0), new: Some(0) }];
    while let Some(both) = stack.pop() {
        let list = |of: &[Vec<usize>], at: Option<usize>| -> Vec<usize> {
            at.and_then(|at| of.get(at)).cloned().unwrap_or_default()
        };
        let mut partners: HashMap<usize, VecDeque<usize>> = HashMap::default();
        for at in list(&below_new, both.new) {
            if let Some(member) = new.members.get(at) {
                partners.entry(member.kind).or_default().push_back(at);
            }
        }
        let mut below: Vec<(u64, Both)> = Vec::new();
        let depth = both.depth + 1;
        for at in list(&below_base, both.base) {
            let Some(member) = base.members.get(at) else { continue };
            let partner = partners.get_mut(&member.kind).and_then(VecDeque::pop_front);
            below.push((member.at, Both { depth, base: Some(at), new: partner }));
        }
        for at in partners.into_values().flatten() {
            let Some(member) = new.members.get(at) else { continue };
            below.push((member.at, Both { depth, base: None, new: Some(at) }));
        }
        below.sort_small_by_key(|(at, both)| (*at, both.base, both.new));
        let of_base = both.base.and_then(|at| base.members.get(at));
        let kind = of_base.or_else(|| both.new.and_then(|at| new.members.get(at))).map(|member| member.kind);
        let leaf = kind.filter(|_| below.is_empty());
        let line = Line {
            depth: both.depth,
            base: both.base.into_iter().collect(),
            new: both.new.into_iter().collect(),
        };
        all.push((line, leaf));
        stack.extend(below.into_iter().rev().map(|(_, both)| both));
    }
    let mut out = Vec::new();
    let same = |a: &(Line, Option<usize>), b: &(Line, Option<usize>)| {
        a.0.depth == b.0.depth && a.1.is_some() && a.1 == b.1
    };
    let mut rest = all.into_iter().peekable();
    while let Some(first) = rest.next() {
        let mut run = vec![first];
        while let (Some(last), Some(next)) = (run.last(), rest.peek())
            && same(last, next)
        {
            run.extend(rest.next());
        }
        if run.len() < ALIKE {
            out.extend(run.into_iter().map(|(line, _)| line));
            continue;
        }
        let depth = run.first().map_or(0, |(line, _)| line.depth);
        let mut one = Line { depth, base: Vec::new(), new: Vec::new() };
        for (line, _) in run {
            one.base.extend(line.base);
            one.new.extend(line.new);
        }
        out.push(one);
    }
    out
}
