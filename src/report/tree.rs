//! Chooses the lines of the tree: equal siblings folded, and of a large trace the branches that lead to
//! the longest starts.

use super::digest::Digest;
use super::link::Tree;
use crate::hash::HashMap;
use crate::words::intern::Sym;
use std::collections::BinaryHeap;

/// So many equal siblings are one line.
const FOLD: usize = 3;

/// What a line stands for.
#[derive(Debug)]
pub(crate) enum Who {
    /// A start.
    One(u32),
    /// Equal siblings, in order of time; never empty.
    Many(Vec<u32>),
    /// A process that has no start in the trace: index into `Digest::outside`.
    Outside(u32),
}

impl Who {
    pub(crate) fn rows(&self) -> &[u32] {
        match self {
            Self::One(row) => std::slice::from_ref(row),
            Self::Many(rows) => rows,
            Self::Outside(_) => &[],
        }
    }
}

/// One line of the tree.
pub(crate) enum Line {
    Entry {
        who: Who,
        /// For each level above, and for the line itself: is it the last of its siblings?
        last: Vec<bool>,
    },
    /// So many starts are not shown here.
    More { starts: u64, last: Vec<bool> },
}

struct Node {
    who: Who,
    /// Longest duration in the subtree: what leads to it is shown first.
    weight: u64,
    /// Starts in the subtree.
    size: u64,
    children: Vec<usize>,
    /// Members of an outside process, until the node is opened.
    members: Vec<u32>,
    shown: bool,
}

struct Planner<'d> {
    digest: &'d Digest,
    tree: Tree,
    nodes: Vec<Node>,
}

/// At most `limit` lines (and those that say how much is missing); `None` for all.
pub(crate) fn plan(digest: &Digest, limit: Option<usize>) -> Vec<Line> {
    let mut planner = Planner { digest, tree: Tree::new(&digest.rows), nodes: Vec::new() };
    let top = planner.top();
    planner.open_best(&top, limit.unwrap_or(usize::MAX));
    planner.lines(&top)
}

impl Planner<'_> {
    fn node(&mut self, who: Who, members: Vec<u32>) -> usize {
        let of = if members.is_empty() { who.rows() } else { &members };
        let weights = of.iter().filter_map(|&i| self.tree.weight.get(i as usize));
        let sizes = of.iter().filter_map(|&i| self.tree.size.get(i as usize));
        let node = Node {
            weight: weights.copied().max().unwrap_or(0),
            size: sizes.map(|&n| u64::from(n)).sum(),
            who,
            children: Vec::new(),
            members,
            shown: false,
        };
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    /// Roots; those whose parent has no record stand under a line of its own, unless it is the one
    /// process that started the command.
    fn top(&mut self) -> Vec<usize> {
        let roots = self.tree.roots().to_vec();
        let is_command = |d: &Digest| d.session.as_ref().is_some_and(|s| s.mode == "command");
        let mut places: HashMap<u32, usize> = HashMap::default();
        // In order of time; `None` for roots of their own.
        let mut groups: Vec<(Option<u32>, Vec<u32>)> = Vec::new();
        for root in roots {
            let outside = self.digest.row(root).and_then(|row| row.outside);
            let place = outside.and_then(|out| places.get(&out).copied());
            match place.and_then(|place| groups.get_mut(place)) {
                Some((_, members)) => members.push(root),
                None => {
                    if let Some(out) = outside {
                        places.insert(out, groups.len());
                    }
                    groups.push((outside, vec![root]));
                }
            }
        }
        let mut top = Vec::new();
        let mut alone = Vec::new();
        for (outside, members) in groups {
            match outside {
                Some(out) if members.len() > 1 || !is_command(self.digest) => {
                    let folded = self.fold(std::mem::take(&mut alone));
                    top.extend(folded);
                    top.push(self.node(Who::Outside(out), members));
                }
                _ => alone.extend(members),
            }
        }
        let folded = self.fold(alone);
        top.extend(folded);
        top
    }

    /// Siblings in order of time, equal ones as one node.
    fn fold(&mut self, rows: Vec<u32>) -> Vec<usize> {
        let mut places: HashMap<(Sym, u64), usize> = HashMap::default();
        let mut kinds: Vec<Vec<u32>> = Vec::new();
        for i in rows {
            let Some(row) = self.digest.row(i) else {
                continue;
            };
            let place = *places.entry((row.method, row.shape)).or_insert(kinds.len());
            match kinds.get_mut(place) {
                Some(kind) => kind.push(i),
                None => kinds.push(vec![i]),
            }
        }
        let mut found: Vec<Who> = Vec::new();
        for kind in kinds {
            if kind.len() >= FOLD {
                found.push(Who::Many(kind));
            } else {
                found.extend(kind.into_iter().map(Who::One));
            }
        }
        let begin = |who: &Who| {
            let first = who.rows().first().copied();
            (first.and_then(|i| self.digest.row(i)).map(|row| row.origin), first)
        };
        found.sort_by_cached_key(begin);
        found.into_iter().map(|who| self.node(who, Vec::new())).collect()
    }

    /// Shows the heaviest lines first, each after its parent.
    fn open_best(&mut self, top: &[usize], limit: usize) {
        let mut left = limit;
        let mut heap: BinaryHeap<(u64, std::cmp::Reverse<usize>)> = BinaryHeap::new();
        let candidate =
            |nodes: &[Node], i: usize| (nodes.get(i).map_or(0, |node| node.weight), std::cmp::Reverse(i));
        heap.extend(top.iter().map(|&i| candidate(&self.nodes, i)));
        while left > 0
            && let Some((_, std::cmp::Reverse(i))) = heap.pop()
        {
            left -= 1;
            let below: Vec<u32> = match self.nodes.get_mut(i) {
                Some(node) => {
                    node.shown = true;
                    match &node.who {
                        Who::Outside(_) => std::mem::take(&mut node.members),
                        who => {
                            let of = who.rows().iter();
                            of.flat_map(|&row| self.tree.children(row)).copied().collect()
                        }
                    }
                }
                None => continue,
            };
            let children = self.fold(below);
            heap.extend(children.iter().map(|&i| candidate(&self.nodes, i)));
            if let Some(node) = self.nodes.get_mut(i) {
                node.children = children;
            }
        }
    }

    /// The shown nodes in tree order. A chain can be a million deep: no recursion.
    fn lines(&mut self, top: &[usize]) -> Vec<Line> {
        enum Step {
            Node(usize, Vec<bool>),
            More(u64, Vec<bool>),
        }
        let mut lines = Vec::new();
        let mut steps = Vec::new();
        let push = |steps: &mut Vec<Step>, nodes: &[Node], of: &[usize], above: &[bool]| {
            let shown = |i: &&usize| nodes.get(**i).is_some_and(|node| node.shown);
            let hidden = of.iter().filter(|i| !shown(i));
            let hidden: u64 = hidden.filter_map(|&i| nodes.get(i)).map(|n| n.size).sum();
            let below = |last: bool| {
                // Deeper levels than can be drawn need no memory of their own.
                let skip = above.len().saturating_sub(MAX_LEVELS);
                let mut path = above.get(skip..).unwrap_or(&[]).to_vec();
                path.push(last);
                path
            };
            let mut last = true;
            if hidden > 0 {
                steps.push(Step::More(hidden, below(true)));
                last = false;
            }
            for &i in of.iter().rev().filter(shown) {
                steps.push(Step::Node(i, below(last)));
                last = false;
            }
        };
        push(&mut steps, &self.nodes, top, &[]);
        while let Some(step) = steps.pop() {
            match step {
                Step::More(starts, last) => lines.push(Line::More { starts, last }),
                Step::Node(i, last) => {
                    let Some(node) = self.nodes.get_mut(i) else {
                        continue;
                    };
                    let children = std::mem::take(&mut node.children);
                    let who = std::mem::replace(&mut node.who, Who::Outside(0));
                    push(&mut steps, &self.nodes, &children, &last);
                    lines.push(Line::Entry { who, last });
                }
            }
        }
        lines
    }
}

/// Levels that are remembered for drawing; a line that is deeper is drawn at this depth.
pub(crate) const MAX_LEVELS: usize = 40;
