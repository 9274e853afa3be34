//! `python-import`: imports take much of a start.

use crate::diagnose::case::{Case, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::sort::SortSmall;
use crate::trace::schema::Severity;

pub(crate) struct PythonImport;

const PAGE: Page = Page {
    what: "A Python program spends much of its start importing modules.",
    why: "Each module is looked for along sys.path, read, unmarshalled and executed, with all that it imports in its turn.",
    measured: "The critical path within the outermost imports after site, without what only another thread imported.",
    fix: "Import where it is used, drop heavy dependencies, lazy loaders (importlib.util.LazyLoader, PEP 810), python -X importtime to see the tree.",
    mistaken: "What a program needs at once it has to import: only what is not used can be spared.",
};

impl Rule for PythonImport {
    fn id(&self) -> &'static str {
        "python-import"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Imports
    }

    fn vagueness(&self) -> u8 {
        1
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.python_import;
        let (ns, claims) = super::super::case::importing(case);
        if case.share(ns) < limits.min_share || !case.is_worth(ns, limits.min_cost) {
            return Vec::new();
        }
        let mut slowest: Vec<_> = crate::diagnose::case::outermost(case).collect();
        slowest.sort_small_by_key(|import| std::cmp::Reverse(import.duration_ns));
        let mut own: Vec<_> = crate::words::imports::of_program(case.start).collect();
        own.sort_small_by_key(|import| std::cmp::Reverse(import.own_ns));
        let named = |import: &&crate::trace::schema::Import| quoted(import.module.as_deref().unwrap_or("?"));
        let shown =
            slowest.iter().take(4).map(|import| format!("{} {}", named(import), time(import.duration_ns)));
        let shown: Vec<String> = shown.collect();
        let first = slowest.first().map_or_else(|| "its modules".to_owned(), named);
        let list = |of: &[&crate::trace::schema::Import]| {
            let each = of.iter().take(8).map(|import| {
                serde_json::json!({"module": named(import), "duration_ns": import.duration_ns, "own_ns": import.own_ns})
            });
            each.collect::<Vec<_>>()
        };
        let (n, more) = crate::words::imports::modules(case.start);
        let modules = crate::words::counted(n, "module");
        let hit = Hit::new(case.program(), format!("importing {first} and other modules"))
            .says(format!("{} imported {more}{modules} in {}: {}", case.name(), time(ns), shown.join(", ")))
            .advises(
                "Import where it is used, or do without the heaviest; python -X importtime shows the tree",
            )
            .shows("modules", n)
            .shows("importing_ns", ns)
            .shows("slowest", list(&slowest))
            .shows("slowest_own", list(&own))
            // What a program needs it has to import.
            .at_most(Severity::Warning);
        vec![measured(hit, ns, claims)]
    }
}
