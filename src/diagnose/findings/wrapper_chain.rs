//! `wrapper-chain`: several programs execute each other before the one that was meant.

use crate::diagnose::case::{Case, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct WrapperChain;

const PAGE: Page = Page {
    what: "One start goes through several programs: a shim, env, a shell script, each of which executes the next.",
    why: "Every hop loads and links an image of its own and does its own work: some 1 ms for env, tens of \
          milliseconds for a shell script that runs commands, 100 ms and more for the shims of version managers.",
    measured: "From the entry into the first exec that worked to the entry into the last one, on the critical path, with the processes that the wrappers wait for.",
    fix: "Call the real program (which -a and readlink -f find it), or have the wrapper's result kept: pyenv which, \
          an activated environment, a PATH with the version's own bin.",
    mistaken: "Some wrappers are there for what they do (sudo, setpriv, numactl, tini): their time is told, but \
               cannot be spared. So is that of a script which works or waits (for a database, in a sleep) before it \
               executes its program: what it waits for is told by other findings, and is what to change.",
};

impl Rule for WrapperChain {
    fn id(&self) -> &'static str {
        "wrapper-chain"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Lifecycle
    }

    fn nests(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.wrapper_chain;
        let images: Vec<_> = case.start.execs.iter().filter(|exec| exec.error.is_none()).collect();
        let (Some(first), Some(last)) = (images.first(), images.last()) else { return Vec::new() };
        let (ns, claims) = case.between(first.at_ns, last.at_ns);
        if images.len() < 2 || !case.is_worth(ns, limits.min_cost) {
            return Vec::new();
        }
        let hops = images.windows(2).map(|pair| match pair {
            [from, to] => (quoted(from.path.as_deref().unwrap_or("?")), to.at_ns.saturating_sub(from.at_ns)),
            _ => (String::new(), 0),
        });
        let mut hops: Vec<(String, u64)> = hops.collect();
        let shown: Vec<String> =
            hops.iter().take(4).map(|(path, ns)| format!("{path} {}", time(*ns))).collect();
        let more = if hops.len() > 4 { " ..." } else { "" };
        let program = case.program();
        let through = hops.first().map(|(path, _)| path.clone()).unwrap_or_default();
        let evidence: Vec<serde_json::Value> =
            hops.drain(..).take(16).map(|(path, ns)| serde_json::json!({"path": path, "ns": ns})).collect();
        let hit = Hit::new(format!("{through} {program}"), format!("wrappers before {program}"))
            .says(format!(
                "{program} was started through {}: {}{more}",
                crate::words::counted(images.len() as u64 - 1, "wrapper"),
                shown.join(", ")
            ))
            .advises(format!(
                "Call {} itself instead of the wrapper",
                quoted(case.start.exe.as_deref().unwrap_or(&program))
            ))
            .shows("hops", evidence)
            .shows("wrappers_ns", ns);
        vec![measured(hit, ns, claims)]
    }
}
