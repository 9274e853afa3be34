//! The waits of a start that is held back until its siblings are known. A start that went on for hours has ten thousand,
//! of 300 bytes each, and when a pool ends several are held at once: they are written down until they are given out.

use crate::dense::{Reader, Writer};
use crate::hash::HashMap;
use crate::trace::schema::{Holder, Wait, WokenBy};

/// Fewer are not worth it.
const FEW: usize = 500;

/// Waits, written down.
#[derive(Debug)]
pub(super) struct Shelf {
    n: usize,
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
    /// Takes the waits out of a start, where they are many.
    pub(super) fn take(waits: &mut Vec<Wait>) -> Option<Self> {
        if waits.len() < FEW {
            return None;
        }
        let (mut out, mut words, n) = (Writer::default(), Words::default(), waits.len());
        for Wait { at_ns, duration_ns, runnable_ns, tid, kind, syscall, detail, woken_by, holder } in
            std::mem::take(waits)
        {
            [at_ns, duration_ns, runnable_ns, tid.into()].into_iter().for_each(|n| out.number(n));
            out.number(words.place(&kind));
            out.number(words.place_or_none(syscall.as_ref()));
            out.number(detail.is_some().into());
            if let Some(detail) = &detail {
                out.text(detail);
            }
            out.number(woken_by.is_some().into());
            if let Some(WokenBy { kind, pid, comm }) = &woken_by {
                out.number(words.place(kind));
                out.number(pid.map_or(0, |pid| u64::from(pid) + 1));
                out.number(words.place_or_none(comm.as_ref()));
            }
            out.number(holder.is_some().into());
            if let Some(Holder { pid, comm, held_ns }) = &holder {
                out.number((*pid).into());
                out.number(words.place(comm));
                out.after_or_none(0, *held_ns);
            }
        }
        Some(Self { n, bytes: out.0, words: words.list })
    }

    /// As they were.
    pub(super) fn waits(self) -> Vec<Wait> {
        let mut from = Reader(&self.bytes);
        let mut waits = Vec::with_capacity(self.n);
        waits.extend((0..self.n).map_while(|_| self.wait(&mut from)));
        waits
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_waits_come_back_as_they_were_and_few_stay() {
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
        let all: Vec<Wait> = (0..1000).map(wait).collect();
        let mut waits = all.clone();
        let shelf = Shelf::take(&mut waits).unwrap();
        assert!(waits.is_empty() && shelf.bytes.len() < 60 * all.len(), "{}", shelf.bytes.len());
        assert_eq!(shelf.waits(), all);
        let mut few = all[..FEW - 1].to_vec();
        assert!(Shelf::take(&mut few).is_none());
        assert_eq!(few, all[..FEW - 1]);
    }
}
