//! What is not the same of the starts of a pair, but for their times.

use super::{Change, MAX_NAMES, MAX_VALUES, Work};
use crate::compare::digest::{File, Row};
use crate::compare::pairs::Group;
use crate::sort::SortSmall;
use crate::words::intern::Sym;
use std::collections::{BTreeMap, BTreeSet};

impl Work<'_> {
    pub(super) fn changes(&self, base: &Group, new: &Group) -> Vec<Change> {
        let mut out = Vec::new();
        let text = |sym: Option<Sym>| sym.map(|sym| self.digest.text(sym).to_owned());
        let mut compare = |what: &'static str, of: &dyn Fn(&Row) -> Option<String>| {
            let (a, b) = (self.values(base, of), self.values(new, of));
            if a != b && !a.is_empty() && !b.is_empty() {
                out.push(Change { what, base: listed(&a), new: listed(&b) });
            }
        };
        let fact = |row: &Row| self.digest.fact(row);
        compare("method", &|row| Some(self.digest.text(row.method).to_owned()));
        compare("executable", &|row| text(fact(row)?.exe));
        compare("build-id", &|row| text(fact(row)?.build_id));
        compare("runtime", &|row| text(fact(row)?.runtime));
        compare("linkage", &|row| text(fact(row)?.linkage));
        compare("interpreter", &|row| text(fact(row)?.interpreter));
        compare("needed libraries", &|row| Some(fact(row)?.needed?.to_string()));
        compare("relocations", &|row| Some(fact(row)?.relocations?.to_string()));
        compare("ready by", &|row| Some(self.digest.text(row.ready).to_owned()));
        compare("failed execs", &|row| Some(row.failed_execs.to_string()));
        compare("exit", &|row| Some(if row.failed { "failed" } else { "well or not seen" }.to_owned()));
        out.extend(self.libraries(base, new));
        out.extend(self.findings(base, new));
        out
    }

    /// Shared libraries that every start of one side opened, and none of the other.
    fn libraries(&self, base: &Group, new: &Group) -> Option<Change> {
        let lists = |group| -> Option<Vec<BTreeSet<&str>>> {
            let of = |row: &Row| {
                let list = self.digest.fact(row)?.libraries?;
                Some(self.digest.text(list).lines().collect())
            };
            // Where some of them were recorded without their files, nothing can be said.
            self.rows(group).map(of).collect()
        };
        only_in(&lists(base)?, &lists(new)?).map(|(base, new)| Change {
            what: "libraries on one side only",
            base,
            new,
        })
    }

    /// Findings that every start of one side has, and none of the other. They are comparable where all traces say what
    /// was found, and were recorded at the same level.
    fn findings(&self, base: &Group, new: &Group) -> Option<Change> {
        let [first, rest @ ..] = self.digest.files.as_slice() else { return None };
        let alike = |file: &File| file.has_findings && file.level == first.level;
        if !alike(first) || !rest.iter().all(alike) {
            return None;
        }
        let lists = |group| -> Vec<BTreeSet<&str>> {
            self.rows(group).map(|row| self.digest.found(row).collect()).collect()
        };
        only_in(&lists(base), &lists(new)).map(|(base, new)| Change {
            what: "findings on one side only",
            base,
            new,
        })
    }

    /// The values that a fact has in a group, the most frequent of them.
    fn values(&self, group: &Group, of: &dyn Fn(&Row) -> Option<String>) -> Vec<String> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for value in self.rows(group).filter_map(of) {
            if counts.len() < MAX_NAMES || counts.contains_key(&value) {
                *counts.entry(value).or_default() += 1;
            }
        }
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        counts.sort_small_by_key(|(_, n)| std::cmp::Reverse(*n));
        counts.truncate(MAX_VALUES);
        let mut values: Vec<String> = counts.into_iter().map(|(value, _)| value).collect();
        values.sort_unstable();
        values
    }
}

/// What is in each list of one side, and in no list of the other.
fn only_in(base: &[BTreeSet<&str>], new: &[BTreeSet<&str>]) -> Option<(String, String)> {
    let only = |here: &[BTreeSet<&str>], there: &[BTreeSet<&str>]| -> String {
        let first = here.first().into_iter().flatten();
        let names = first.filter(|name| here.iter().all(|list| list.contains(*name)));
        let names: Vec<&str> =
            names.filter(|name| !there.iter().any(|list| list.contains(*name))).copied().collect();
        let more = names.len().saturating_sub(MAX_VALUES);
        let mut text = names.get(..names.len() - more).unwrap_or_default().join(", ");
        if more > 0 {
            text.push_str(&format!(" and {more} more"));
        }
        text
    };
    let (gone, come) = (only(base, new), only(new, base));
    let or_none = |text: String| if text.is_empty() { "none".to_owned() } else { text };
    (!gone.is_empty() || !come.is_empty()).then(|| (or_none(gone), or_none(come)))
}

pub(super) fn listed(values: &[String]) -> String {
    values.join(" or ")
}
