//! Kinds of start, and which of one side belongs to which of the other.

use super::digest::{Digest, Row, Side};
use crate::hash::{HashMap, RandomState};
use crate::words::intern::Sym;
use std::hash::{BuildHasher, Hash, Hasher};

/// What two kinds of start have in common, so that they are taken for the same; the closest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MatchedBy {
    /// Executable, arguments (numbers and folders aside), method and place in the tree.
    Everything,
    /// All but the method.
    AllButMethod,
    /// All but the path of the executable: the same name, versions aside.
    AllButPath,
    /// Name, arguments and place.
    NameArgumentsPlace,
    /// All but the place: another process starts it now.
    AllButPlace,
    /// Name and arguments.
    NameArguments,
    /// All but the arguments.
    AllButArguments,
    /// Name and place.
    NamePlace,
    /// The one command that was recorded, whatever it is.
    Command,
}

/// Among what one process starts, in the order in which they are tried.
const BELOW_ONE: [MatchedBy; 6] = [
    MatchedBy::Everything,
    MatchedBy::AllButMethod,
    MatchedBy::AllButPath,
    MatchedBy::NameArgumentsPlace,
    MatchedBy::AllButArguments,
    MatchedBy::NamePlace,
];

/// Among all that is left over, wherever it is.
const ANYWHERE: [MatchedBy; 2] = [MatchedBy::AllButPlace, MatchedBy::NameArguments];

/// Starts that are the same on one side.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) side: Side,
    /// In the order of the file; never empty.
    pub(crate) rows: Vec<u32>,
    pub(crate) parent: Option<usize>,
}

/// Two kinds of start that are one, or one that the other side does not have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Couple {
    pub(crate) base: Option<usize>,
    pub(crate) new: Option<usize>,
    pub(crate) by: MatchedBy,
}

#[derive(Debug)]
pub(crate) struct Pairing {
    pub(crate) groups: Vec<Group>,
    /// Group of each row; `u32::MAX` for rows of other sides.
    pub(crate) group_of: Vec<u32>,
    pub(crate) couples: Vec<Couple>,
}

impl Pairing {
    /// Of the starts of two sides. Linear in their number.
    pub(crate) fn of(digest: &Digest, base: Side, new: Side) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut known: HashMap<(Side, u64, u64, Sym, u64), usize> = HashMap::default();
        let mut group_of = vec![u32::MAX; digest.rows.len()];
        for (number, row) in digest.rows.iter().enumerate() {
            let side = digest.side(row);
            if side != base && side != new {
                continue;
            }
            let key = (side, row.exe, row.argv, row.method, row.place);
            let group = *known.entry(key).or_insert_with(|| {
                groups.push(Group { side, rows: Vec::new(), parent: None });
                groups.len() - 1
            });
            if let Some(group) = groups.get_mut(group) {
                group.rows.push(number as u32);
            }
            if let Some(slot) = group_of.get_mut(number) {
                *slot = group as u32;
            }
        }
        for group in &mut groups {
            let first = group.rows.first().and_then(|row| digest.rows.get(*row as usize));
            let parent = first.and_then(|row| group_of.get(row.parent? as usize)).copied();
            group.parent = parent.filter(|group| *group != u32::MAX).map(|group| group as usize);
        }
        let couples = couples(digest, &groups, base);
        Self { groups, group_of, couples }
    }

    /// The row that stands for a group.
    pub(crate) fn row<'d>(&self, digest: &'d Digest, group: usize) -> Option<&'d Row> {
        let row = self.groups.get(group)?.rows.first()?;
        digest.rows.get(*row as usize)
    }
}

/// From the roots downwards: what belongs together below two processes that belong together; then what is
/// left over, wherever it is, and what is below that.
///
/// At each level those kinds of start are joined that are the only ones on their side with what the
/// level looks at: nothing is joined where it could also be another.
fn couples(digest: &Digest, groups: &[Group], base: Side) -> Vec<Couple> {
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); groups.len()];
    let mut roots = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        match group.parent.and_then(|parent| children.get_mut(parent)) {
            Some(list) => list.push(number),
            None => roots.push(number),
        }
    }
    let mut matching = Matching {
        digest,
        groups,
        base,
        state: RandomState::default(),
        partner: vec![None; groups.len()],
        found: Vec::new(),
    };
    for level in BELOW_ONE.iter().chain([&MatchedBy::Command]) {
        matching.join(&roots, *level);
    }
    matching.descend(&children);
    let all: Vec<usize> = (0..groups.len()).collect();
    for level in ANYWHERE {
        matching.join(&all, level);
        matching.descend(&children);
    }
    let mut out = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let partner = matching.partner.get(number).copied().flatten();
        match partner {
            Some((other, by)) if group.side == base => {
                out.push(Couple { base: Some(number), new: Some(other), by });
            }
            Some(_) => {}
            None if group.side == base => {
                out.push(Couple { base: Some(number), new: None, by: MatchedBy::Everything });
            }
            None => out.push(Couple { base: None, new: Some(number), by: MatchedBy::Everything }),
        }
    }
    out
}

struct Matching<'d> {
    digest: &'d Digest,
    groups: &'d [Group],
    base: Side,
    state: RandomState,
    partner: Vec<Option<(usize, MatchedBy)>>,
    /// Pairs below which nothing was looked for yet.
    found: Vec<(usize, usize)>,
}

impl Matching<'_> {
    /// Joins among some groups what has one partner only.
    fn join(&mut self, among: &[usize], level: MatchedBy) {
        let mut found: HashMap<u64, [Found; 2]> = HashMap::default();
        for &number in among {
            if self.partner.get(number).is_none_or(Option::is_some) {
                continue;
            }
            let Some(group) = self.groups.get(number) else { continue };
            let first = group.rows.first().and_then(|row| self.digest.rows.get(*row as usize));
            let Some(key) = first.and_then(|row| key(self.digest, row, level, &self.state)) else { continue };
            let [of_base, of_new] = found.entry(key).or_default();
            let found = if group.side == self.base { of_base } else { of_new };
            *found = match found {
                Found::None => Found::One(number),
                Found::One(_) | Found::Several => Found::Several,
            };
        }
        for both in found.into_values() {
            let [Found::One(old), Found::One(new)] = both else { continue };
            for (a, b) in [(old, new), (new, old)] {
                if let Some(slot) = self.partner.get_mut(a) {
                    *slot = Some((b, level));
                }
            }
            self.found.push((old, new));
        }
    }

    /// Looks below every pair, and below those that are found there.
    fn descend(&mut self, children: &[Vec<usize>]) {
        while let Some((old, new)) = self.found.pop() {
            let below = |group: usize| children.get(group).into_iter().flatten().copied();
            let among: Vec<usize> = below(old).chain(below(new)).collect();
            for level in BELOW_ONE {
                self.join(&among, level);
            }
        }
    }
}

#[derive(Debug, Default, Clone, Copy)]
enum Found {
    #[default]
    None,
    One(usize),
    Several,
}

/// What a level looks at. The place needs no looking at: only what is at one place is compared by it.
fn key(digest: &Digest, row: &Row, level: MatchedBy, state: &RandomState) -> Option<u64> {
    let mut hasher = state.build_hasher();
    let method = digest.text(row.method);
    match level {
        MatchedBy::Everything | MatchedBy::AllButPlace => (row.exe, row.argv, method).hash(&mut hasher),
        MatchedBy::AllButMethod => (row.exe, row.argv).hash(&mut hasher),
        MatchedBy::AllButPath => (row.program, row.argv, method).hash(&mut hasher),
        MatchedBy::NameArgumentsPlace | MatchedBy::NameArguments => (row.program, row.argv).hash(&mut hasher),
        MatchedBy::AllButArguments => (row.program, method).hash(&mut hasher),
        MatchedBy::NamePlace => row.program.hash(&mut hasher),
        // Where something else was recorded than a command, two roots need have nothing in common.
        MatchedBy::Command if row.root && digest.records_commands() => {}
        MatchedBy::Command => return None,
    }
    Some(hasher.finish())
}
