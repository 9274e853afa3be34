//! `python-path-misses`: modules are looked for in vain.

use crate::diagnose::case::{Case, listed, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::{Basis, Severity};

pub(crate) struct PythonPathMisses;

const PAGE: Page = Page {
    what: "Python looks for its modules in many places in vain.",
    why: "Each entry of sys.path before the right one costs a listing or several failed opens for every module; .pth files and zip files add to it.",
    measured: "The time of the failed calls themselves, at --level deep. What the interpreter does around them is several times that, and not in the trace: where the calls alone are not worth a price, none is told.",
    fix: "A shorter sys.path (PYTHONPATH, .pth files), the largest site-packages first, a zip file or an executable archive.",
    mistaken: "A program that asks by itself for many files that are not there is told as well. Python keeps directory listings: after the first module of a directory misses are cheap.",
};

impl Rule for PythonPathMisses {
    fn id(&self) -> &'static str {
        "python-path-misses"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::FilesOf("cpython")
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let Some(files) = case.start.timeline.files.as_ref().filter(|_| case.runs("cpython")) else {
            return Vec::new();
        };
        // A folder of sys.path that is not there has no kind.
        let python = files.sums.iter().filter(|sums| {
            sums.kind.starts_with("python") || matches!(sums.kind.as_str(), "folder" | "other")
        });
        let misses =
            python.fold(0u64, |sum, sums| sum.saturating_add(sums.open_failed).saturating_add(sums.missed));
        let folders: Vec<_> = files.misses.iter().filter(|folder| folder.libraries == 0).collect();
        let spent = folders.iter().fold(0u64, |sum, folder| sum.saturating_add(folder.spent_ns));
        let (app, claims) = case.in_phases("app");
        let cost = spent.min(app);
        if misses < case.thresholds.python_import.min_misses {
            return Vec::new();
        }
        let names: Vec<String> =
            folders.iter().map(|folder| format!("{} ({})", quoted(&folder.folder), folder.n)).collect();
        let mut hit = Hit::new(case.program(), format!("looking for modules of {} in vain", case.program()))
            .says(format!(
                "{} looked for modules {misses} times in vain, in {}: {}",
                case.name(),
                time(cost),
                listed(&names)
            ))
            .advises("Shorten sys.path (PYTHONPATH, .pth files), with the largest site-packages first")
            .shows("misses", misses)
            .shows("failed_ns", cost)
            .shows("folders", names.into_iter().take(8).collect::<Vec<_>>())
            .at_most(Severity::Warning);
        if case.is_worth(cost, case.thresholds.all.min_cost) {
            hit = hit.costs(cost, Basis::Measured, claims);
        }
        vec![hit]
    }
}
