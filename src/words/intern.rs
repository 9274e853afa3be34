//! Texts that occur many times, kept once.

use crate::hash::{HashMap, RandomState};
use std::hash::BuildHasher;

/// A text in an [`Interner`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sym(u32);

impl Sym {
    /// Its place among the texts, from 0.
    pub(crate) fn number(self) -> usize {
        self.0 as usize
    }

    pub(crate) fn from_number(number: usize) -> Self {
        Self(u32::try_from(number).unwrap_or(u32::MAX))
    }
}

/// A million labels may all differ: they stand in one allocation, and the index holds hashes only.
#[derive(Debug, Default)]
pub(crate) struct Interner {
    text: String,
    /// Where each text ends.
    ends: Vec<usize>,
    index: HashMap<u64, Sym>,
    state: RandomState,
}

impl Interner {
    pub(crate) fn add(&mut self, text: &str) -> Sym {
        let hash = self.state.hash_one(text);
        if let Some(&sym) = self.index.get(&hash)
            && self.get(sym) == text
        {
            return sym;
        }
        // Four billion texts do not fit into memory; the last one stands for all further ones.
        let sym = Sym(u32::try_from(self.ends.len()).unwrap_or(u32::MAX));
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.index.insert(hash, sym);
        sym
    }

    pub(crate) fn get(&self, sym: Sym) -> &str {
        let i = sym.0 as usize;
        let begin = i.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied());
        match (begin, self.ends.get(i)) {
            (Some(begin), Some(&end)) => self.text.get(begin..end).unwrap_or(""),
            _ => "",
        }
    }

    /// Drops the index: nothing more will be added.
    pub(crate) fn freeze(&mut self) {
        self.index = HashMap::default();
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_kept_once() {
        let mut texts = Interner::default();
        let (a, empty, b) = (texts.add("a"), texts.add(""), texts.add("b"));
        assert_eq!([texts.add("a"), texts.add(""), texts.add("b")], [a, empty, b]);
        assert_eq!([texts.get(a), texts.get(empty), texts.get(b)], ["a", "", "b"]);
        assert_eq!(texts.ends.len(), 3);
    }
}
