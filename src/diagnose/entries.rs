//! Where each start stands in time and in the tree, in some twenty bytes a start until the trace ends.

use super::known::Key;
use super::whole::Entry;
use crate::dense::{Reader, Writer};
use crate::hash::HashMap;
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

/// All of them, in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Entries {
    bytes: Writer,
    len: usize,
    origin: u64,
    recent: Recent,
}

impl Entries {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds one; its key is that of its id.
    pub(super) fn push(&mut self, id: &str, entry: &Entry) {
        let out = &mut self.bytes;
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
        self.len += 1;
    }

    /// All, with what gives the id of each.
    pub(super) fn read(&self, key: impl Fn(&str) -> u64) -> (Vec<Entry>, Ids<'_>) {
        let mut entries = Vec::with_capacity(self.len);
        let mut ids =
            Ids { bytes: &self.bytes.0, at: Vec::with_capacity(self.len), by_key: HashMap::default() };
        ids.by_key.reserve(self.len);
        let mut recent = Recent::default();
        let (mut reader, mut origin) = (Reader(&self.bytes.0), 0);
        for number in 0u32.. {
            let Some((entry, at)) = self.next(&mut reader, &mut origin, &mut recent, &key) else { break };
            ids.by_key.insert(Key::of(entry.key), number);
            ids.at.push((at, entry.origin));
            entries.push(entry);
        }
        (entries, ids)
    }

    fn next(
        &self,
        from: &mut Reader<'_>,
        last: &mut u64,
        recent: &mut Recent,
        key: impl Fn(&str) -> u64,
    ) -> Option<(Entry, usize)> {
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
        let place = self.bytes.0.len() - from.0.len();
        let key = key(&read_id(from, origin)?);
        Some((Entry { key, parent, creator, origin, finish, forked }, place))
    }
}

/// The ids of starts by their keys.
#[derive(Debug)]
pub(super) struct Ids<'a> {
    bytes: &'a [u8],
    /// Where each id is, and near which time.
    at: Vec<(usize, u64)>,
    /// The places of starts in the list of entries.
    pub(super) by_key: HashMap<Key, u32>,
}

impl Ids<'_> {
    pub(super) fn get(&self, key: u64) -> Option<String> {
        let (at, near_ns) = self.at.get(*self.by_key.get(&Key::of(key))? as usize)?;
        read_id(&mut Reader(self.bytes.get(*at..)?), *near_ns)
    }
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
            entries.push(&id, &entry);
            want.push((id, entry));
        }
        let (read, ids) = entries.read(key);
        assert_eq!((read.len(), entries.len()), (200, 200));
        for (read, (id, want)) in read.iter().zip(&want) {
            assert_eq!(format!("{read:?}"), format!("{want:?}"));
            assert_eq!(ids.get(want.key).as_ref(), Some(id));
        }
        assert_eq!(ids.get(1), None);
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
            entries.push(&id, &entry);
        }
        assert!(entries.bytes.0.len() < 10_000 * 20, "{}", entries.bytes.0.len());
    }
}
