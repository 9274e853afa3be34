//! The names that a trace uses for patterns, and the rules, for people who ask.

use super::names::{Axis, names};

/// Every name that `method.pattern` can have, with its meaning, in order of the alphabet.
pub fn catalogue() -> Vec<(&'static str, &'static str)> {
    names().filter(|page| page.axis == Axis::Pattern).map(|page| (page.name, page.meaning)).collect()
}

/// Every rule's name with what it recognises, by family.
pub fn rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    super::engine::all().map(|r| (r.name, r.doc))
}
