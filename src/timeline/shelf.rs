//! The waits and the critical path of a start that is held back until its siblings are known, or not yet taken. A start
//! that went on for hours has ten thousand waits of 300 bytes each, and a path of two megabytes, and when a pool ends
//! several are held at once: they are written down until they are given out.

use crate::dense::{Reader, Writer};
use crate::hash::HashMap;
use crate::trace::schema::{Folded, Holder, Segment, Timeline, Wait, WokenBy};
use std::collections::BTreeMap;

/// Fewer are not worth it.
const FEW: usize = 500;

/// Waits and pieces of a path, written down.
#[derive(Debug)]
pub(super) struct Shelf {
    waits: usize,
    segments: usize,
    bytes: Vec<u8>,
    /// The words that come again and again: kinds, system calls, names of tasks.
    words: Vec<String>,
}

#[derive(Default)]
struct Words {
    list: Vec<String>,
    places: HashMap<String, u64>,
}

impl Words {
    fn place(&mut self, word: &str) -> u64 {
        if let Some(place) = self.places.get(word) {
            return *place;
        }
        let place = self.list.len() as u64;
        self.list.push(word.to_owned());
        self.places.insert(word.to_owned(), place);
        place
    }

    /// 0: there is none.
    fn place_or_none(&mut self, word: Option<&String>) -> u64 {
        word.map_or(0, |word| self.place(word) + 1)
    }
}

impl Shelf {
    /// Takes them out of a start, where they are many.
    pub(super) fn take(timeline: &mut Timeline) -> Option<Self> {
        let (waits, segments) = (timeline.waits.len(), timeline.critical_path.len());
        if waits + segments < FEW {
            return None;
        }
        let (mut out, mut words) = (Writer::default(), Words::default());
        for wait in std::mem::take(&mut timeline.waits) {
            write_wait(&mut out, &mut words, &wait);
        }
        for segment in std::mem::take(&mut timeline.critical_path) {
            write_segment(&mut out, &mut words, &segment);
        }
        Some(Self { waits, segments, bytes: out.0, words: words.list })
    }

    /// Puts them back as they were.
    pub(super) fn put_back(self, timeline: &mut Timeline) {
        let mut from = Reader(&self.bytes);
        timeline.waits.reserve_exact(self.waits);
        timeline.waits.extend((0..self.waits).map_while(|_| self.wait(&mut from)));
        timeline.critical_path.reserve_exact(self.segments);
        timeline.critical_path.extend((0..self.segments).map_while(|_| self.segment(&mut from)));
    }

    fn word(&self, place: u64) -> Option<String> {
        self.words.get(usize::try_from(place).ok()?).cloned()
    }

    fn word_or_none(&self, place: u64) -> Option<Option<String>> {
        place.checked_sub(1).map_or(Some(None), |place| self.word(place).map(Some))
    }

    fn wait(&self, from: &mut Reader<'_>) -> Option<Wait> {
        Some(Wait {
            at_ns: from.number()?,
            duration_ns: from.number()?,
            runnable_ns: from.number()?,
            tid: from.small()?,
            kind: self.word(from.number()?)?,
            syscall: self.word_or_none(from.number()?)?,
            detail: if from.number()? == 1 { Some(from.text()?.to_owned()) } else { None },
            woken_by: if from.number()? == 1 { Some(self.woken_by(from)?) } else { None },
            holder: if from.number()? == 1 { Some(self.holder(from)?) } else { None },
        })
    }

    fn segment(&self, from: &mut Reader<'_>) -> Option<Segment> {
        Some(Segment {
            at_ns: from.number()?,
            duration_ns: from.number()?,
            start_id: from.text()?.to_owned(),
            tid: from.small()?,
            phase: self.word_or_none(from.number()?)?,
            state: self.word(from.number()?)?,
            detail: if from.number()? == 1 { Some(from.text()?.to_owned()) } else { None },
            holder: if from.number()? == 1 { Some(self.holder(from)?) } else { None },
            folded: if from.number()? == 1 { Some(self.folded(from)?.into()) } else { None },
        })
    }

    fn folded(&self, from: &mut Reader<'_>) -> Option<Folded> {
        Some(Folded {
            pieces: from.number()?,
            own_ns: self.sums(from)?,
            others_ns: self.sums(from)?,
            short_starts: from.number()?,
            short_ns: from.number()?,
            also: (0..from.count()?).map(|_| from.text().map(str::to_owned)).collect::<Option<_>>()?,
        })
    }

    fn sums(&self, from: &mut Reader<'_>) -> Option<BTreeMap<String, u64>> {
        let mut sums = BTreeMap::new();
        for _ in 0..from.count()? {
            sums.insert(self.word(from.number()?)?, from.number()?);
        }
        Some(sums)
    }

    fn woken_by(&self, from: &mut Reader<'_>) -> Option<WokenBy> {
        Some(WokenBy {
            kind: self.word(from.number()?)?,
            pid: from.number()?.checked_sub(1).and_then(|pid| u32::try_from(pid).ok()),
            comm: self.word_or_none(from.number()?)?,
        })
    }

    fn holder(&self, from: &mut Reader<'_>) -> Option<Holder> {
        Some(Holder { pid: from.small()?, comm: self.word(from.number()?)?, held_ns: from.after_or_none(0)? })
    }
}

fn write_text_or_none(out: &mut Writer, text: Option<&String>) {
    out.number(text.is_some().into());
    text.iter().for_each(|text| out.text(text));
}

fn write_wait(out: &mut Writer, words: &mut Words, wait: &Wait) {
    let Wait { at_ns, duration_ns, runnable_ns, tid, kind, syscall, detail, woken_by, holder } = wait;
    [*at_ns, *duration_ns, *runnable_ns, (*tid).into()].into_iter().for_each(|n| out.number(n));
    out.number(words.place(kind));
    out.number(words.place_or_none(syscall.as_ref()));
    write_text_or_none(out, detail.as_ref());
    out.number(woken_by.is_some().into());
    if let Some(WokenBy { kind, pid, comm }) = woken_by {
        out.number(words.place(kind));
        out.number(pid.map_or(0, |pid| u64::from(pid) + 1));
        out.number(words.place_or_none(comm.as_ref()));
    }
    write_holder(out, words, holder.as_ref());
}

fn write_holder(out: &mut Writer, words: &mut Words, holder: Option<&Holder>) {
    out.number(holder.is_some().into());
    if let Some(Holder { pid, comm, held_ns }) = holder {
        out.number((*pid).into());
        out.number(words.place(comm));
        out.after_or_none(0, *held_ns);
    }
}

fn write_segment(out: &mut Writer, words: &mut Words, segment: &Segment) {
    let Segment { at_ns, duration_ns, start_id, tid, phase, state, detail, holder, folded } = segment;
    [*at_ns, *duration_ns].into_iter().for_each(|n| out.number(n));
    out.text(start_id);
    out.number((*tid).into());
    out.number(words.place_or_none(phase.as_ref()));
    out.number(words.place(state));
    write_text_or_none(out, detail.as_ref());
    write_holder(out, words, holder.as_ref());
    out.number(folded.is_some().into());
    if let Some(Folded { pieces, own_ns, others_ns, short_starts, short_ns, also }) = folded.as_deref() {
        out.number(*pieces);
        for sums in [own_ns, others_ns] {
            out.number(sums.len() as u64);
            for (state, ns) in sums {
                out.number(words.place(state));
                out.number(*ns);
            }
        }
        [*short_starts, *short_ns, also.len() as u64].into_iter().for_each(|n| out.number(n));
        also.iter().for_each(|id| out.text(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_come_back_as_they_were_and_few_stay() {
        let wait = |n: u32| Wait {
            at_ns: u64::from(n) << 30,
            duration_ns: u64::MAX - u64::from(n),
            runnable_ns: (n % 3).into(),
            tid: u32::MAX - n,
            kind: ["child", "", "größe"][n as usize % 3].to_owned(),
            syscall: n.is_multiple_of(2).then(|| "wait4".to_owned()),
            detail: n.is_multiple_of(5).then(|| format!("pid {n} (größe)")),
            woken_by: (!n.is_multiple_of(7)).then(|| WokenBy {
                kind: "task".to_owned(),
                pid: [None, Some(0), Some(u32::MAX)][n as usize % 3],
                comm: n.is_multiple_of(2).then(|| format!("c{}", n % 4)),
            }),
            holder: n.is_multiple_of(4).then(|| Holder {
                pid: n,
                comm: format!("h{}", n % 3),
                held_ns: [None, Some(0), Some(u64::MAX)][n as usize % 3],
            }),
        };
        let sums = |n: u32| (0..n % 4).map(|at| (format!("s{at}"), u64::MAX - u64::from(n))).collect();
        let segment = |n: u32| Segment {
            at_ns: u64::from(n) << 20,
            duration_ns: (n % 5).into(),
            start_id: format!("{n}@{}/0", u64::MAX - u64::from(n)),
            tid: n,
            phase: n.is_multiple_of(3).then(|| "setup".to_owned()),
            state: ["running", "größe"][n as usize % 2].to_owned(),
            detail: n.is_multiple_of(4).then(|| format!("{n} short pieces")),
            holder: wait(n).holder,
            folded: n.is_multiple_of(2).then(|| {
                let also = (0..n % 3).map(|at| format!("{at}@{n}/1")).collect();
                let (pieces, short_starts, short_ns) = (u64::MAX, n.into(), 7);
                Box::new(Folded {
                    pieces,
                    own_ns: sums(n),
                    others_ns: sums(n + 1),
                    short_starts,
                    short_ns,
                    also,
                })
            }),
        };
        let waits: Vec<Wait> = (0..1000).map(wait).collect();
        let critical_path: Vec<Segment> = (0..900).map(segment).collect();
        let all = Timeline { waits, critical_path, ..Timeline::default() };
        for (waits, segments) in [(1000, 900), (FEW, 0), (0, FEW), (1, FEW - 1)] {
            let mut all = all.clone();
            all.waits.truncate(waits);
            all.critical_path.truncate(segments);
            let mut timeline = all.clone();
            let shelf = Shelf::take(&mut timeline).unwrap();
            assert!(timeline.waits.is_empty() && timeline.critical_path.is_empty());
            assert!(shelf.bytes.len() < 80 * (waits + segments), "{}", shelf.bytes.len());
            shelf.put_back(&mut timeline);
            assert_eq!(timeline, all);
        }
        let mut few = all.clone();
        few.waits.truncate(FEW / 2);
        few.critical_path.truncate(FEW / 2 - 1);
        let kept = few.clone();
        assert!(Shelf::take(&mut few).is_none());
        assert_eq!(few, kept);
    }
}
