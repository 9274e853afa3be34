//! Where each start stands in time and in the tree, in some twenty bytes a start until the trace ends; while recording,
//! in a file.

use super::whole::{Entry, Run};
use crate::aside::{Scratch, Store};
use crate::dense::{Reader, Writer};
use std::collections::VecDeque;

/// Parents that the next start may have without saying it in full.
const RECENT: usize = 16;

/// A start's id as [`crate::timeline`] writes it: `pid@birth/seq`.
fn parse(id: &str) -> Option<(u32, u64, u32)> {
    let (pid, rest) = id.split_once('@')?;
    let (birth, seq) = rest.split_once('/')?;
    // A file may write them as it likes: what would not come back as it was is kept as it is.
    let as_written = |number: &str| number == "0" || !number.starts_with(['0', '+']);
    let parsed = (pid.parse().ok()?, birth.parse().ok()?, seq.parse().ok()?);
    [pid, birth, seq].into_iter().all(as_written).then_some(parsed)
}

/// Writes an id that is near a time.
pub(super) fn write_id(out: &mut Writer, id: &str, near_ns: u64) {
    match parse(id) {
        Some((pid, birth, seq)) => {
            out.number(u64::from(seq) + 1);
            out.number(pid.into());
            out.after(near_ns, birth);
        }
        None => {
            out.number(0);
            out.text(id);
        }
    }
}

/// Reads what [`write_id`] wrote.
pub(super) fn read_id(from: &mut Reader<'_>, near_ns: u64) -> Option<String> {
    match from.number()?.checked_sub(1) {
        Some(seq) => {
            let pid = from.small()?;
            Some(format!("{pid}@{}/{seq}", from.after(near_ns)?))
        }
        None => from.text().map(str::to_owned),
    }
}

/// The parents of starts that came lately; writer and reader go the same way.
#[derive(Debug, Default)]
struct Recent(VecDeque<(Option<u64>, u64)>);

impl Recent {
    fn used(&mut self, parent: (Option<u64>, u64), at: Option<usize>) {
        match at {
            Some(at) => drop(self.0.remove(at)),
            None if self.0.len() >= RECENT => drop(self.0.pop_back()),
            None => {}
        }
        self.0.push_front(parent);
    }
}

/// All of them, in the order in which they came, with the critical paths of those that may be roots.
#[derive(Debug, Default)]
pub(super) struct Entries {
    store: Store,
    len: usize,
    origin: u64,
    recent: Recent,
    record: Writer,
}

/// Where the id of a start is, and its path: near which time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    at: u64,
    /// ... within its record.
    id_at: u32,
    near_ns: u64,
}

impl Entries {
    /// Puts them there.
    pub(super) fn keep_in(&mut self, scratch: Box<dyn Scratch>) {
        self.store.keep_in(scratch);
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds one; its key is that of its id.
    pub(super) fn push(&mut self, id: &str, entry: &Entry, runs: &[Run]) {
        let out = &mut self.record;
        out.0.clear();
        out.after(self.origin, entry.origin);
        self.origin = entry.origin;
        out.after(entry.origin, entry.finish);
        out.after(entry.origin, entry.forked);
        let parent = (entry.parent, entry.creator);
        let known = self.recent.0.iter().position(|recent| *recent == parent);
        match known {
            Some(at) => out.number(at as u64),
            None => {
                out.number((RECENT + usize::from(entry.parent.is_some())) as u64);
                out.hash(entry.creator);
                entry.parent.iter().for_each(|parent| out.hash(*parent));
            }
        }
        self.recent.used(parent, known);
        write_id(out, id, entry.origin);
        write_runs(out, entry, runs);
        self.store.put(&out.0);
        self.len += 1;
    }

    /// All, one after the other.
    pub(super) fn each(&self, key: impl Fn(&str) -> u64, mut look: impl FnMut(Entry, Place)) {
        let (mut origin, mut recent) = (0, Recent::default());
        self.store.each(|at, record| {
            if let Some((entry, id_at)) = next(record, &mut origin, &mut recent, &key) {
                look(entry, Place { at, id_at: id_at as u32, near_ns: entry.origin });
            }
        });
    }

    fn read<R>(&self, place: Place, read: impl FnOnce(&mut Reader<'_>) -> Option<R>) -> Option<R> {
        read(&mut Reader(self.store.get(place.at)?.get(place.id_at as usize..)?))
    }

    /// Its id.
    pub(super) fn id(&self, place: Place) -> Option<String> {
        self.read(place, |from| read_id(from, place.near_ns))
    }

    /// Its critical path, where that was kept.
    pub(super) fn runs(&self, key: u64, place: Place) -> Vec<Run> {
        let runs = self.read(place, |from| {
            read_id(from, place.near_ns)?;
            read_runs(from, key, place.near_ns)
        });
        runs.unwrap_or_default()
    }
}

/// An entry, and where in its record its id is.
fn next(
    record: &[u8],
    last: &mut u64,
    recent: &mut Recent,
    key: impl Fn(&str) -> u64,
) -> Option<(Entry, usize)> {
    let from = &mut Reader(record);
    let origin = from.after(*last)?;
    *last = origin;
    let (finish, forked) = (from.after(origin)?, from.after(origin)?);
    let at = usize::try_from(from.number()?).ok()?;
    let (parent, creator) = match at.checked_sub(RECENT) {
        None => *recent.0.get(at)?,
        Some(has_parent) => {
            let creator = from.hash()?;
            (if has_parent == 1 { Some(from.hash()?) } else { None }, creator)
        }
    };
    recent.used((parent, creator), (at < RECENT).then_some(at));
    let place = record.len() - from.0.len();
    let key = key(&read_id(from, origin)?);
    Some((Entry { key, parent, creator, origin, finish, forked }, place))
}

fn write_runs(out: &mut Writer, entry: &Entry, runs: &[Run]) {
    out.number(runs.len() as u64);
    let mut last_ns = entry.origin;
    for run in runs {
        let is_own = run.of == entry.key;
        out.number(u64::from(is_own) << 1 | u64::from(run.own_ns.is_some()));
        if !is_own {
            out.hash(run.of);
        }
        out.number(run.tid.into());
        out.after(last_ns, run.from);
        out.after(run.from, run.to);
        run.own_ns.iter().for_each(|ns| out.number(*ns));
        last_ns = run.to;
    }
}

fn read_runs(from: &mut Reader<'_>, own: u64, near_ns: u64) -> Option<Vec<Run>> {
    let n = from.count()?;
    let mut runs = Vec::with_capacity(n);
    let mut last_ns = near_ns;
    for _ in 0..n {
        let flags = from.number()?;
        let of = if flags & 2 == 0 { from.hash()? } else { own };
        let tid = from.small()?;
        let begin = from.after(last_ns)?;
        let to = from.after(begin)?;
        let own_ns = if flags & 1 == 0 { None } else { Some(from.number()?) };
        runs.push(Run { of, tid, from: begin, to, own_ns });
        last_ns = to;
    }
    Some(runs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{DefaultHasher, Hash, Hasher};

    fn key(id: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        id.hash(&mut hasher);
        hasher.finish()
    }

    #[test]
    fn entries_come_back_in_their_order_and_with_their_ids() {
        let ids = [
            "7@1000/0",
            "7@1000/1",
            "4194303@18446744073709551615/4294967295",
            "",
            "7",
            "07@1000/0",
            "a@b/c",
        ];
        let mut entries = Entries::default();
        let mut want = Vec::new();
        for (n, id) in (0u64..).zip(ids.iter().copied().cycle().take(200)) {
            let id = if n < 7 { id.to_owned() } else { format!("{n}{id}") };
            // More parents than are recent, and the same again.
            let (parent, origin) = (n % 40, 1 << (n % 63));
            let entry = Entry {
                key: key(&id),
                parent: (n % 3 > 0).then_some(parent),
                creator: parent + 1,
                origin,
                finish: origin + n,
                forked: origin + n / 2,
            };
            let run = |k: u64| Run {
                of: if k.is_multiple_of(2) { entry.key } else { k },
                tid: k as u32,
                from: origin + k,
                to: origin + k + 1,
                own_ns: k.is_multiple_of(3).then_some(k),
            };
            let runs: Vec<Run> = (0..n % 5 * if n == 99 { 1_000 } else { 1 }).map(run).collect();
            entries.push(&id, &entry, &runs);
            want.push((id, entry, runs));
        }
        let mut read = Vec::new();
        entries.each(key, |entry, place| read.push((entry, place)));
        assert_eq!((read.len(), entries.len()), (200, 200));
        for ((read, place), (id, want, runs)) in read.iter().zip(&want) {
            assert_eq!(format!("{read:?}"), format!("{want:?}"));
            assert_eq!(entries.id(*place).as_ref(), Some(id));
            assert_eq!(&entries.runs(want.key, *place), runs);
        }
    }

    #[test]
    fn a_start_of_a_storm_takes_little() {
        let mut entries = Entries::default();
        for n in 0..10_000u64 {
            let origin = (1 << 45) + n * 1_000_000;
            let id = format!("{}@{}/0", 1000 + n, origin + 30_000);
            let times = (origin + 900_000, origin + 80_000);
            let entry = Entry {
                key: 0,
                parent: Some(n % 4),
                creator: n % 4,
                origin,
                finish: times.0,
                forked: times.1,
            };
            entries.push(&id, &entry, &[]);
        }
        let mut bytes = 0;
        entries.store.each(|_, record| bytes += record.len());
        assert!(bytes < 10_000 * 22, "{bytes}");
    }
}
