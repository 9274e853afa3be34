//! `python-no-pyc`: modules are compiled at every start.

use crate::diagnose::case::{Case, listed, quoted, sum, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::{Claim, Hit};
use crate::trace::schema::Basis;
use crate::words::counted;

pub(crate) struct PythonNoPyc;

const PAGE: Page = Page {
    what: "Python compiles modules at every start, because the compiled ones cannot be kept or are not there.",
    why: "Compiling takes five to ten times as long as loading the .pyc; in read-only images and for users who may not write, it is done every time.",
    measured: "From the opening of each .py until the same thread opens the next module or file, on the critical path, at --level deep, without its waits: reading, compiling, and what the module computes first, which cannot be told apart. It is the most that compiling can have taken.",
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

    // What a module executes cannot be told from its compiling: what the import says of the same time goes first.
    fn vagueness(&self) -> u8 {
        2
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let Some(files) = case.start.timeline.files.as_ref().filter(|_| case.runs("cpython")) else {
            return Vec::new();
        };
        // With a compiled module the source is looked at, but not opened. The main script is, always.
        let argv = case.start.argv.as_deref().unwrap_or_default();
        let is_script = |path: &str| argv.iter().any(|arg| arg == path || path.ends_with(&format!("/{arg}")));
        let (mut claims, mut names) = (Vec::new(), Vec::new());
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
            // Compiling takes a CPU, and waits for nothing but its source.
            let until = until.max(file.at_ns);
            let computing = case.own_in(&["running", "disk", "page_fault"]);
            let computing = computing.filter(|segment| segment.tid == file.tid);
            let within = computing.filter_map(|segment| {
                let claim = case.claim(segment);
                let (from, to) = case.on_clock(file.at_ns, until);
                let claim = Claim { from: claim.from.max(from), to: claim.to.min(to), ..claim };
                (claim.from < claim.to).then_some(claim)
            });
            claims.extend(within);
            names.push(quoted(path));
        }
        let ns = sum(&claims);
        if names.is_empty() || !case.is_worth(ns, case.thresholds.python_import.min_compile) {
            return Vec::new();
        }
        let n = names.len();
        vec![
            Hit::new(case.program(), format!("compiling {} again, at most", counted(n as u64, "Python module")))
                .costs(ns, Basis::Measured, claims)
                .says(format!(
                    "{} compiled {} and began to execute what came of it, {} of computing in all: {}",
                    case.name(),
                    counted(n as u64, "module"),
                    time(ns),
                    listed(&names)
                ))
                .advises("Compile at build time (python -m compileall), or let the cache be written (PYTHONPYCACHEPREFIX, no -B)")
                .shows("modules", n)
                .shows("compiling_ns", ns)
                .shows("files", names.into_iter().take(8).collect::<Vec<_>>()),
        ]
    }
}
