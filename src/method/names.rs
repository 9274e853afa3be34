//! Every name that a method can have, with a page on it for people: what it means, how the kernel sees it,
//! what it costs, and what makes it. The one source; documents and help are made from it.

mod libraries;
mod mechanisms;
mod patterns;

/// The part of a method that a name belongs to. `fork` is a system call and a kind of child.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Axis {
    /// `method.primitive`: the system call that the kernel saw.
    Primitive,
    /// `method.mechanism`: what kind of child that made.
    Mechanism,
    /// `method.library`: whose code made the call.
    Library,
    /// `method.pattern`: what for.
    Pattern,
}

impl Axis {
    /// All, in the order in which a method is decided.
    pub const ALL: [Self; 4] = [Self::Primitive, Self::Mechanism, Self::Library, Self::Pattern];

    /// The field of `method` in a trace.
    pub fn field(self) -> &'static str {
        match self {
            Self::Primitive => "primitive",
            Self::Mechanism => "mechanism",
            Self::Library => "library",
            Self::Pattern => "pattern",
        }
    }
}

/// The page on one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// To which part of a method it belongs.
    pub axis: Axis,
    /// As in a trace.
    pub name: &'static str,
    /// What it means, in one line without a full stop.
    pub meaning: &'static str,
    /// How the kernel sees it, and by what it is told from its neighbours.
    pub looks: &'static str,
    /// What it costs, and when to use it or something else.
    pub cost: &'static str,
    /// What typically makes it.
    pub sources: &'static str,
}

/// A start whose creation was not observed and whose arguments tell nothing has this for a name; all four
/// parts of its method are `null`.
pub const UNOBSERVED: &str = "unobserved";

/// Every name, by part of the method, in order of the alphabet.
pub fn names() -> impl Iterator<Item = &'static Name> {
    let parts = [mechanisms::PRIMITIVES, mechanisms::MECHANISMS, libraries::LIBRARIES, patterns::PATTERNS];
    parts.into_iter().flatten()
}

/// The pages on a name: `fork` is on two.
pub fn named(name: &str) -> impl Iterator<Item = &'static Name> + use<'_> {
    names().filter(move |page| page.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::engine;
    use crate::method::kernel::Mechanism;
    use crate::method::program::Shell;
    use std::collections::BTreeSet;

    fn of(axis: Axis) -> Vec<&'static str> {
        names().filter(|page| page.axis == axis).map(|page| page.name).collect()
    }

    #[test]
    fn each_name_is_there_once_and_in_order() {
        for axis in Axis::ALL {
            let all = of(axis);
            assert!(!all.is_empty() && all.windows(2).all(|w| w[0] < w[1]), "{axis:?}: {all:?}");
        }
        assert_eq!(names().count(), Axis::ALL.into_iter().map(|axis| of(axis).len()).sum::<usize>());
        assert_eq!(named("fork").count(), 2);
        assert_eq!(named("no such name").count(), 0);
    }

    #[test]
    fn every_page_is_whole() {
        for page in names() {
            let sentences = [page.looks, page.cost, page.sources];
            assert!(!page.meaning.is_empty() && !page.meaning.ends_with('.'), "{page:?}");
            assert!(sentences.iter().all(|text| text.len() > 20 && text.ends_with('.')), "{page:?}");
            let texts = [page.meaning, page.looks, page.cost, page.sources];
            assert!(texts.iter().all(|text| !text.contains("  ") && text.trim() == *text), "{page:?}");
        }
    }

    /// Patterns and libraries of all rules, and no others.
    #[test]
    fn every_rule_names_what_has_a_page_and_every_page_is_named_by_a_rule() {
        let patterns: BTreeSet<_> = engine::all().filter_map(|rule| rule.pattern).collect();
        assert_eq!(of(Axis::Pattern).into_iter().collect::<BTreeSet<_>>(), patterns);
        let shells = Shell::ALL.into_iter().filter_map(Shell::library);
        let libraries = engine::all().filter_map(|rule| rule.library).chain(shells);
        assert_eq!(of(Axis::Library).into_iter().collect::<BTreeSet<_>>(), libraries.collect());
    }

    #[test]
    fn every_kind_of_child_has_a_page() {
        let kinds = Mechanism::ALL.into_iter().flat_map(|kind| [kind.name(false), kind.name(true)]);
        assert_eq!(of(Axis::Mechanism).into_iter().collect::<BTreeSet<_>>(), kinds.collect());
        assert_eq!(of(Axis::Primitive), ["clone", "clone3", "exec", "fork", "kernel", "vfork"]);
    }
}
