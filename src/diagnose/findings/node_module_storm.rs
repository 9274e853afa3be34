//! `node-module-storm`: thousands of module files.

use crate::diagnose::case::{Case, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct NodeModuleStorm;

const PAGE: Page = Page {
    what: "A Node.js program opens thousands of module files at its start.",
    why: "Each require() looks for package.json files up the tree, reads, wraps and compiles one small file.",
    measured: "Not priced: what a bundle would save is not in the trace. The evidence has the time between the first module and the last.",
    fix: "Bundle (esbuild), module.enableCompileCache(), a V8 start-up snapshot, requires where they are used.",
    mistaken: "Development servers load on purpose what production does not.",
};

impl Rule for NodeModuleStorm {
    fn id(&self) -> &'static str {
        "node-module-storm"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::FilesOf("node")
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let Some(files) = case.start.timeline.files.as_ref().filter(|_| case.runs("node")) else {
            return Vec::new();
        };
        let sums = || files.sums.iter().filter(|sums| sums.kind == "javascript");
        let n = sums().fold(0u64, |sum, sums| sum.saturating_add(sums.opened));
        let calls = sums().fold(0u64, |sum, sums| sum.saturating_add(sums.spent_ns));
        let modules = || files.files.iter().filter(|file| file.kind == "javascript");
        let span = match (modules().next(), modules().next_back()) {
            (Some(first), Some(last)) => last.at_ns.saturating_sub(first.at_ns),
            _ => 0,
        };
        if n < case.thresholds.python_import.min_node_modules {
            return Vec::new();
        }
        vec![
            Hit::new(case.program(), format!("loading {n} JavaScript modules"))
                .says(format!("{} opened {n} JavaScript files within {}", case.name(), time(span)))
                .advises(
                    "Bundle them (esbuild), or let Node keep compiled code (module.enableCompileCache())",
                )
                .shows("modules", n)
                .shows("calls_ns", calls)
                .shows("span_ns", span)
                .at_most(Severity::Info),
        ]
    }
}
