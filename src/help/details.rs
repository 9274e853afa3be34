//! What a page says of a name beyond its meaning: how it is measured, what to look at, and which findings have to do
//! with it.

use crate::packed;

/// One block of `details.txt`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Details {
    /// `phase`, `state` or `method`.
    pub kind: String,
    pub name: String,
    pub measured: String,
    pub look: String,
    pub findings: Vec<String>,
}

/// All of them.
pub(super) fn all() -> Vec<Details> {
    read(&packed::text!("help/details.txt"))
}

fn read(text: &str) -> Vec<Details> {
    let mut all: Vec<Details> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let Some((word, rest)) = line.split_once(' ') else { continue };
        let rest = rest.to_owned();
        match (word, all.last_mut()) {
            ("measured", Some(last)) => last.measured = rest,
            ("look", Some(last)) => last.look = rest,
            ("findings", Some(last)) => last.findings = rest.split(' ').map(str::to_owned).collect(),
            _ => all.push(Details { kind: word.to_owned(), name: rest, ..Details::default() }),
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose;
    use crate::method::names::names;
    use std::collections::{BTreeSet, HashSet};

    fn of(kind: &str) -> BTreeSet<String> {
        all().into_iter().filter(|details| details.kind == kind).map(|details| details.name).collect()
    }

    #[test]
    fn every_phase_and_state_is_there_and_methods_are_known() {
        let entries = |topic: &str| -> BTreeSet<String> {
            let entries = super::super::topic(topic).unwrap().entries;
            entries.iter().map(|entry| entry.name.trim_end_matches(":SYSCALL").to_owned()).collect()
        };
        assert_eq!(of("phase"), entries("phases"));
        assert_eq!(of("state"), entries("states"));
        let known: BTreeSet<String> = names().map(|page| page.name.to_owned()).collect();
        assert!(of("method").is_subset(&known), "{:?}", of("method").difference(&known));
        let mut seen = HashSet::new();
        for details in all() {
            let Details { kind, name, measured, look, findings } = details;
            assert!(matches!(&*kind, "phase" | "state" | "method"), "{kind} {name}");
            assert!(seen.insert((kind.clone(), name.clone())), "{kind} {name} twice");
            for text in [&measured, &look].into_iter().filter(|_| kind != "method") {
                assert!(
                    text.len() > 20 && text.ends_with(['.', ')']) && !text.contains("  "),
                    "{name}: {text}"
                );
            }
            assert!(!findings.is_empty() || kind != "method", "{name} says nothing");
        }
    }

    #[test]
    fn every_finding_is_found_from_some_name_and_every_one_that_is_named_exists() {
        let named: BTreeSet<String> = all().into_iter().flat_map(|details| details.findings).collect();
        let known: BTreeSet<String> = diagnose::pages().map(|(id, _)| id.to_owned()).collect();
        assert_eq!(named, known);
    }
}
