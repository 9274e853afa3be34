//! `python-site`: site takes long.

use crate::diagnose::case::{Case, listed, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::sort::SortSmall;
use crate::trace::schema::Severity;

pub(crate) struct PythonSite;

const PAGE: Page = Page {
    what: "Python's site module takes long: .pth files, and entry points that are looked for in all packages.",
    why: "Every .pth file is read, and its import lines are executed, at each start of the interpreter.",
    measured: "The critical path within the import of site, with all that .pth files import.",
    fix: "Take .pth files out that the program does not need, importlib.metadata instead of pkg_resources. python -S does without \
          site, and so without all of site-packages; -s and -I only without the user's.",
    mistaken: "A virtual environment needs site to be found.",
};

impl Rule for PythonSite {
    fn id(&self) -> &'static str {
        "python-site"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Imports
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let Some(imports) = &case.start.timeline.imports else { return Vec::new() };
        let site = imports.modules.iter().find(|import| import.module.as_deref() == Some("site"));
        let Some((place, site)) =
            site.and_then(|site| Some((imports.modules.iter().position(|m| m == site)?, site)))
        else {
            return Vec::new();
        };
        let (ns, claims) = case.between(site.at_ns, site.at_ns.saturating_add(site.duration_ns));
        // On a busy machine, or from a cold disk, the same modules take any time.
        let waited = case.circumstances(&claims);
        let alone = ns.saturating_sub(waited);
        if !case.is_worth(ns, case.thresholds.python_import.min_site)
            || alone < case.thresholds.python_import.min_site.0
        {
            return Vec::new();
        }
        let busy = match waited.saturating_mul(10) >= ns {
            true => format!(" ({} of it waiting for a CPU or for storage)", time(waited)),
            false => String::new(),
        };
        let within = imports.modules.iter().filter(|import| import.importer == u32::try_from(place).ok());
        let mut within: Vec<_> = within.collect();
        within.sort_small_by_key(|import| std::cmp::Reverse(import.duration_ns));
        let names: Vec<String> = within
            .iter()
            .map(|import| {
                format!("{} {}", quoted(import.module.as_deref().unwrap_or("?")), time(import.duration_ns))
            })
            .collect();
        let what = if names.is_empty() { String::new() } else { format!(": {}", listed(&names)) };
        let hit = Hit::new(case.program(), "Python's site module")
            .says(format!("the site module of {} took {}{busy}{what}", case.name(), time(ns)))
            .advises("Take .pth files that this program does not need out of site-packages, or run it with -S, without all of site-packages")
            .shows("site_ns", ns)
            .shows("waited_ns", waited)
            .shows("imported", names.into_iter().take(8).collect::<Vec<_>>())
            .at_most(Severity::Warning);
        vec![measured(hit, ns, claims)]
    }
}
