//! `path-walk`: a program is looked for in one directory after the other.

use crate::diagnose::case::{Case, listed, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct PathWalk;

const PAGE: Page = Page {
    what: "A program is executed by its name, and the directories of PATH are tried one after the other until one has it.",
    why: "execvp and posix_spawnp try an exec in every directory of PATH. Each failed one is a path look-up, which \
          on network and overlay file systems takes milliseconds; by vfork and posix_spawn the parent waits for it.",
    measured: "From the entry into the first failed exec to the entry into the one that worked, on the critical path.",
    fix: "Give the absolute path, or put the directory that has the program first in PATH; take directories out \
          that are not there.",
    mistaken: "A program that tries several names on purpose (a fallback) looks the same. On kernels without \
               fentry, and with -p and -a, failed execs are seen only if they go through libc.",
};

impl Rule for PathWalk {
    fn id(&self) -> &'static str {
        "path-walk"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Lifecycle
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.path_walk;
        let (mut ns, mut claims, mut tried) = (0u64, Vec::new(), Vec::new());
        let mut wanted = None;
        for run in case.start.execs.chunk_by(|a, b| a.error.is_some() && name(&a.path) == name(&b.path)) {
            let Some((last, failed)) = run.split_last() else { continue };
            let Some(first) = failed.first() else { continue };
            let absent = |exec: &crate::trace::schema::Exec| {
                matches!(exec.error.as_deref(), Some("ENOENT" | "ENOTDIR" | "EACCES" | "ELOOP" | "unknown"))
            };
            if (failed.len() as u64) < limits.min_attempts || !failed.iter().all(absent) {
                continue;
            }
            let (part, of) = case.between(first.at_ns, last.at_ns);
            ns = ns.saturating_add(part);
            claims.extend(of);
            tried.extend(failed.iter().filter_map(|exec| exec.path.as_deref()).map(directory));
            wanted = wanted.or(name(&last.path)).or(name(&first.path));
        }
        let attempts = tried.len();
        if attempts == 0 || !case.is_worth(ns, case.thresholds.all.min_cost) {
            return Vec::new();
        }
        let program = wanted.map_or_else(|| case.program(), quoted);
        let hit = Hit::new(program.clone(), format!("looking for {program} along PATH"))
            .says(format!(
                "{program} was looked for in {attempts} directories before it was found, in {}: {}",
                time(ns),
                listed(&tried)
            ))
            .advises(format!("Execute {program} by its absolute path, or shorten PATH"))
            .shows("attempts", attempts)
            .shows("walk_ns", ns)
            .shows("directories", tried.iter().take(5).cloned().collect::<Vec<_>>());
        vec![measured(hit, ns, claims)]
    }
}

fn name(path: &Option<String>) -> Option<&str> {
    path.as_deref().map(|path| path.rsplit('/').next().unwrap_or(path))
}

fn directory(path: &str) -> String {
    quoted(
        path.rsplit_once('/')
            .map_or(".", |(directory, _)| if directory.is_empty() { "/" } else { directory }),
    )
}
