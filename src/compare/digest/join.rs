//! The end of one trace's reading: its rows get their parents, places, paths, common findings and runs.

use super::{Digest, File, MAX_DEPTH, MAX_ON_PATH, OnPath, Run, Side, Sides};
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::trace::parts;
use crate::trace::read::Ending;
use crate::trace::schema::{self, Diagnosis, SHORT_START_NS, Start};
use crate::words::label;
use std::hash::{BuildHasher, Hash, Hasher};

/// What joins the rows of one file; dropped at its end.
#[derive(Debug, Default)]
pub(super) struct Joining {
    /// By the hash of the start's id (keyed at random, so that no file can be made to collide).
    pub(super) rows: HashMap<u64, u32>,
    pub(super) parents: Vec<Option<u64>>,
    pub(super) first: usize,
    pub(super) paths: Vec<(u32, u64, u64)>,
    /// Of roots what their paths have of other starts in pieces that were put together.
    pub(super) folded: Vec<(u32, u64)>,
}

impl Digest {
    /// Of a root's path: who has how much of it.
    pub(super) fn path(&mut self, start: &Start, root: u32, joining: &mut Joining) {
        let mut shares: HashMap<&str, u64> = HashMap::default();
        let mut others = 0u64;
        for segment in &start.timeline.critical_path {
            let (whose, ns) = match segment.folded {
                None => (&*segment.start_id, segment.duration_ns),
                Some(_) => {
                    let (own_ns, others_ns) = parts::shares(segment, &start.start_id);
                    others = others.saturating_add(others_ns);
                    (&*start.start_id, own_ns)
                }
            };
            let share = shares.entry(whose).or_default();
            *share = share.saturating_add(ns);
        }
        if others > 0 {
            joining.folded.push((root, others));
        }
        let mut shares: Vec<(u64, u64)> =
            shares.into_iter().map(|(id, ns)| (self.state.hash_one(id), ns)).collect();
        if shares.len() > MAX_ON_PATH {
            shares.sort_small_by_key(|(_, ns)| std::cmp::Reverse(*ns));
            shares.truncate(MAX_ON_PATH);
        }
        joining.paths.extend(shares.into_iter().map(|(whose, ns)| (root, whose, ns)));
    }

    /// Parents, places and paths of one file's rows.
    pub(super) fn join(&mut self, joining: &Joining) {
        for (i, parent) in joining.parents.iter().enumerate() {
            let number = (joining.first + i) as u32;
            let parent = parent.and_then(|hash| joining.rows.get(&hash)).copied();
            if let Some(row) = self.rows.get_mut(number as usize) {
                row.parent = parent.filter(|parent| *parent != number);
            }
        }
        for number in joining.first..self.rows.len() {
            // No further than so many ancestors, so that a loop does no harm.
            let mut place = self.state.build_hasher();
            let mut at = self.rows.get(number).and_then(|row| row.parent);
            for _ in 0..MAX_DEPTH {
                let Some(row) = at.and_then(|at| self.rows.get(at as usize)) else { break };
                (row.program, row.argv).hash(&mut place);
                at = row.parent;
            }
            let place = place.finish();
            if let Some(row) = self.rows.get_mut(number) {
                row.place = place;
            }
        }
        // What the file does not have is the root's.
        self.on_path.extend(joining.paths.iter().map(|&(root, whose, ns)| OnPath {
            root,
            whose: joining.rows.get(&whose).copied().unwrap_or(root),
            ns,
        }));
        self.share_out(joining);
    }

    /// Of short pieces that were put together nobody knows whose each is: those below the root have what it waited for in
    /// them by how long they took themselves, as far as that is not on the path already, and a short start at most.
    fn share_out(&mut self, joining: &Joining) {
        if joining.folded.is_empty() {
            return;
        }
        let folded: HashMap<u32, u64> = joining.folded.iter().copied().collect();
        // What of each start is not its children's, nor known to be on the path.
        let mut taken: HashMap<u32, u64> = HashMap::default();
        let mut take = |number: u32, ns: u64| {
            let sum = taken.entry(number).or_default();
            *sum = sum.saturating_add(ns);
        };
        let known = self.on_path.iter().filter(|piece| folded.contains_key(&piece.root));
        known.for_each(|piece| take(piece.whose, piece.ns));
        let mut below: Vec<(u32, u32, u64)> = Vec::new();
        for number in joining.first..self.rows.len() {
            let Some(row) = self.rows.get(number) else { continue };
            let mut at = row.parent;
            // As for places: no further than so many ancestors.
            for _ in 0..MAX_DEPTH {
                let above = at.and_then(|at| self.rows.get(at as usize)).and_then(|row| row.parent);
                if above.is_none() {
                    break;
                }
                at = above;
            }
            let number = number as u32;
            let Some(root) = at.filter(|root| *root != number && folded.contains_key(root)) else { continue };
            below.push((root, number, row.duration));
            row.parent.into_iter().for_each(|parent| take(parent, row.duration));
        }
        let mut all: HashMap<u32, u128> = HashMap::default();
        for (root, number, ns) in &mut below {
            *ns = ns.saturating_sub(taken.get(number).copied().unwrap_or(0)).min(SHORT_START_NS);
            *all.entry(*root).or_default() += u128::from(*ns);
        }
        for (root, whose, weight) in below.into_iter().filter(|(.., weight)| *weight > 0) {
            let (Some(ns), Some(all)) = (folded.get(&root), all.get(&root)) else { continue };
            let ns = (u128::from(*ns) * u128::from(weight)).checked_div(*all).unwrap_or(0) as u64;
            self.on_path.push(OnPath { root, whose, ns });
        }
    }

    /// Takes in what the trace says of several starts together.
    pub(super) fn findings(&mut self, joining: &Joining, diagnosis: Option<&Diagnosis>) {
        let Some(diagnosis) = diagnosis else { return };
        self.has_findings = true;
        for joined in &diagnosis.findings {
            let name = self.texts.add(&label::harmless(&joined.id, 40));
            for start_id in &joined.starts {
                let row = joining.rows.get(&self.state.hash_one(&**start_id));
                let Some(row) = row.and_then(|row| self.rows.get_mut(*row as usize)) else { continue };
                let place = *row.joint.get_or_insert_with(|| {
                    self.joint.push(Vec::new());
                    (self.joint.len() - 1) as u32
                });
                if let Some(names) = self.joint.get_mut(place as usize) {
                    names.push(name);
                }
            }
        }
    }

    /// Gives the rows of a trace of `stat` to its runs; those that belong to none count nowhere.
    pub(super) fn split(
        &mut self,
        joining: &Joining,
        file: u32,
        runs: &[schema::Run],
        sides: Sides,
    ) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        if runs.is_empty() {
            return names;
        }
        let given = self.runs.get(file as usize).map_or(Side::BASE, |run| run.side);
        if let Some(run) = self.runs.get_mut(file as usize) {
            run.side = Side::NONE;
        }
        let mut run_of: HashMap<u32, u32> = HashMap::default();
        for run in runs {
            let name = label::harmless(&run.name, 200);
            let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                names.len() - 1
            });
            let side = match sides {
                Sides::Given => given,
                Sides::ByName => Side(place.min(usize::from(u16::MAX - 1)) as u16),
            };
            let row_of = |id: &Option<String>| {
                let id = id.as_deref()?;
                joining.rows.get(&self.state.hash_one(id)).copied()
            };
            let (mut root, daemon) = (row_of(&run.start_id), row_of(&run.daemon_start_id));
            if let Some(root) = root {
                run_of.insert(root, self.runs.len() as u32);
            }
            // Until when it is to be measured is not known.
            root = root.filter(|_| run.daemon_start_id.is_none() || daemon.is_some());
            self.runs.push(Run { side, root, daemon, exit: run.exit, pss: run.pss_bytes });
        }
        for number in joining.first..self.rows.len() {
            let mut at = number as u32;
            // As for places: no further than so many ancestors.
            for _ in 0..=MAX_DEPTH {
                if let Some(&run) = run_of.get(&at) {
                    if let Some(row) = self.rows.get_mut(number) {
                        row.run = run;
                    }
                    break;
                }
                match self.rows.get(at as usize).and_then(|row| row.parent) {
                    Some(parent) => at = parent,
                    None => break,
                }
            }
        }
        names
    }

    pub(super) fn note(&mut self, name: String, side: Side, ending: Ending, joining: &Joining) {
        let host = &ending.header.host;
        let session = ending.session.as_ref();
        self.files.push(File {
            side,
            name,
            lost: session.map(|session| {
                let lost = session.lost.iter().filter(|(_, n)| **n > 0);
                lost.map(|(name, n)| (label::harmless(name, 40), *n)).take(32).collect()
            }),
            complete: ending.cut_off.is_none() && session.is_some_and(|session| session.complete),
            hostname: label::harmless(&host.hostname, 64),
            kernel: label::harmless(&host.kernel, 64),
            cpus: host.cpus,
            cpu_model: label::harmless(host.cpu_model.as_deref().unwrap_or(""), 80),
            version: label::harmless(&ending.header.tool.version, 20),
            level: session.map(|session| label::harmless(&session.level, 20)),
            mode: session.map(|session| label::harmless(&session.mode, 20)),
            cut_off: ending.cut_off.map(|why| label::harmless(&why, 200)),
            unknown_lines: ending.unknown_lines,
            starts: (self.rows.len() - joining.first) as u64,
            has_findings: ending.diagnosis.is_some(),
        });
    }
}
