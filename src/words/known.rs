//! Labels and names that came before: most starts of a long trace look like others, and what is written for people
//! of one of them need not be made again.

use super::intern::{Interner, Sym};
use super::label;
use crate::hash::{HashMap, RandomState};
use crate::trace::schema::Start;
use std::hash::{BuildHasher, Hash, Hasher};

/// What is remembered; of all else it is made again.
const MAX: usize = 1 << 16;

/// By what they are made of, as a hash that is keyed at random, so that no file can be made to collide.
#[derive(Debug, Default)]
pub(crate) struct Labels(HashMap<u64, (Sym, u64)>);

impl Labels {
    /// A start's label, and the hash of its [`label::shape`].
    pub(crate) fn of(&mut self, start: &Start, texts: &mut Interner, state: &RandomState) -> (Sym, u64) {
        let mut key = state.build_hasher();
        start.exe.hash(&mut key);
        match &start.argv {
            Some(argv) => argv.hash(&mut key),
            None => start.comm.hash(&mut key),
        }
        // A start without arguments is not one with its own name as the only one.
        start.argv.is_some().hash(&mut key);
        let key = key.finish();
        if let Some(&known) = self.0.get(&key) {
            return known;
        }
        let mut shape = state.build_hasher();
        label::shape(start, &mut shape);
        let made = (texts.add(&label::of_start(start)), shape.finish());
        if self.0.len() < MAX {
            self.0.insert(key, made);
        }
        made
    }
}

/// Short names, made harmless.
#[derive(Debug, Default)]
pub(crate) struct Names(HashMap<u64, Sym>);

impl Names {
    /// A name, of which at most `max` characters are kept; always the same `max`.
    pub(crate) fn of(&mut self, name: &str, max: usize, texts: &mut Interner, state: &RandomState) -> Sym {
        let key = state.hash_one(name);
        if let Some(&known) = self.0.get(&key) {
            return known;
        }
        let made = texts.add(&label::harmless(name, max));
        if self.0.len() < MAX {
            self.0.insert(key, made);
        }
        made
    }
}
