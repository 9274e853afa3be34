//! `python-no-pyc`: modules are compiled at every start.

use crate::diagnose::case::{Case, listed, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Basis;

pub(crate) struct PythonNoPyc;

const PAGE: Page = Page {
    what: "Python compiles modules at every start, because the compiled ones cannot be kept or are not there.",
    why: "Compiling takes five to ten times as long as loading the .pyc; in read-only images and for users who may not write, it is done every time.",
    measured: "From the opening of each .py until the same thread opens the next module or file, on the critical path, at --level deep: reading, compiling, and what the module executes first.",
    fix: "python -m compileall at build time, PYTHONPYCACHEPREFIX to a folder that can be written, no PYTHONDONTWRITEBYTECODE and no -B.",
    mistaken: "The main script is compiled at every start, always, and not told: keep it short. A module that computes at its top level has that in the price.",
};

impl Rule for PythonNoPyc {
    fn id(&self) -> &'static str {
        "python-no-pyc"
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
        // With a compiled module the source is looked at, but not opened. The main script is, always.
        let argv = case.start.argv.as_deref().unwrap_or_default();
        let is_script = |path: &str| argv.iter().any(|arg| arg == path || path.ends_with(&format!("/{arg}")));
        let (mut ns, mut claims, mut names) = (0u64, Vec::new(), Vec::new());
        for (at, file) in files.files.iter().enumerate() {
            let path = file.path.as_deref().unwrap_or("");
            if file.kind != "python_source" || is_script(path) {
                continue;
            }
            // Reading, compiling and writing the result, until the same thread opens the next module: what it
            // executes before that is in it as well.
            let rest = files.files.get(at + 1..).unwrap_or_default();
            let next = rest.iter().find(|next| next.tid == file.tid && next.kind != "python_bytecode");
            // ... and in any case no longer than its import.
            let imports =
                case.start.timeline.imports.as_ref().map_or(&[][..], |imports| imports.modules.as_slice());
            let within = imports.iter().filter(|import| {
                import.tid == file.tid
                    && import.at_ns <= file.at_ns
                    && file.at_ns < import.at_ns.saturating_add(import.duration_ns)
            });
            let import = within.max_by_key(|import| import.at_ns);
            let end = import.map(|import| import.at_ns.saturating_add(import.duration_ns));
            let until = match (next.map(|next| next.at_ns), end) {
                (Some(next), Some(end)) => next.min(end),
                (next, end) => next.or(end).unwrap_or(file.at_ns),
            };
            let (part, of) = case.between(file.at_ns, until.max(file.at_ns));
            ns = ns.saturating_add(part);
            claims.extend(of);
            names.push(quoted(path));
        }
        if names.is_empty() || !case.is_worth(ns, case.thresholds.python_import.min_compile) {
            return Vec::new();
        }
        let n = names.len();
        vec![
            Hit::new(case.program(), format!("compiling {n} Python modules again"))
                .costs(ns, Basis::Measured, claims)
                .says(format!("{} compiled {n} modules, in {}: {}", case.name(), time(ns), listed(&names)))
                .advises("Compile at build time (python -m compileall), or let the cache be written (PYTHONPYCACHEPREFIX, no -B)")
                .shows("modules", n)
                .shows("compiling_ns", ns)
                .shows("files", names.into_iter().take(8).collect::<Vec<_>>()),
        ]
    }
}
