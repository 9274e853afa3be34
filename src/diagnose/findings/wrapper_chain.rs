//! `wrapper-chain`: several programs execute each other before the one that was meant.

use crate::diagnose::case::{Case, listed, measured, quoted, sum, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::{Claim, Hit};
use crate::trace::schema::{Exec, Segment};

/// Hops that the evidence lists.
const MAX_HOPS: usize = 16;

pub(crate) struct WrapperChain;

const PAGE: Page = Page {
    what: "One start goes through several programs: a shim, env, a shell script, each of which executes the next.",
    why: "Every hop loads and links an image of its own, starts its interpreter and looks for the next program: some 1 ms for env, 1 to 3 ms for a shell script, tens of milliseconds for one in Python or Node.js.",
    measured: "Of each wrapper, on the critical path: from the entry into its exec until it first waits or has another process do something, and its attempts to execute the next program right before the one that worked. What a script does and waits for in between (helpers, sleeps, connections) is told beside it, and is in the price of other findings only.",
    fix: "Call the real program (which -a and readlink -f find it), or have the wrapper's result kept: pyenv which, \
          an activated environment, a PATH with the version's own bin.",
    mistaken: "Some wrappers are there for what they do (sudo, setpriv, numactl, tini): their time is told, but \
               cannot be spared. What a script computes itself before its first helper or wait is not told from its interpreter's \
               start. Below --level timeline waits are not seen, and only the time to each wrapper's main() is priced.",
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
        let images = case.images();
        let hops: Vec<Hop<'_>> = images
            .windows(2)
            .filter_map(|pair| match pair {
                [from, to] => Some(Hop::of(case, from, to)),
                _ => None,
            })
            .collect();
        let Some(first) = hops.first() else { return Vec::new() };
        let all_ns = hops.iter().fold(0u64, |sum, hop| sum.saturating_add(hop.all_ns));
        let own_ns = hops.iter().fold(0u64, |sum, hop| sum.saturating_add(hop.own_ns));
        let is_priced = case.is_worth(own_ns, limits.min_cost);
        // What happened in between is only known of a path.
        let is_unknown = case.path().is_empty() && case.is_worth(all_ns, limits.min_cost);
        if !(is_priced || is_unknown) {
            return Vec::new();
        }
        let program = case.program();
        let shown: Vec<String> = hops.iter().map(|hop| hop.in_words(is_priced)).collect();
        let evidence = hops.iter().take(MAX_HOPS);
        let evidence: Vec<serde_json::Value> = evidence
            .map(|hop| serde_json::json!({"path": hop.path(), "ns": hop.all_ns, "own_ns": hop.own_ns}))
            .collect();
        let rest = all_ns.saturating_sub(own_ns);
        let (wrapper, it, does) = match hops.len() {
            1 => ("that wrapper", "it", "does"),
            _ => ("those wrappers", "they", "do"),
        };
        let (rest, unless) = if !is_priced {
            let unknown = format!(
                "; what {it} did in that time is not known at this level (record with --level timeline)"
            );
            (unknown, String::new())
        } else if case.is_worth(rest, limits.min_cost) {
            let more = format!("; {} more passed in {wrapper} with what {it} did and waited for", time(rest));
            (more, format!("; that spares what {it} {does}, too, where nobody needs that"))
        } else {
            (String::new(), String::new())
        };
        let hit = Hit::new(format!("{} {program}", first.path()), format!("wrappers before {program}"))
            .says(format!(
                "{program} was started through {}: {}{rest}",
                crate::words::counted(hops.len() as u64, "wrapper"),
                listed(&shown)
            ))
            .advises(format!(
                "Call {} itself instead of the wrapper{unless}",
                quoted(case.start.exe.as_deref().unwrap_or(&program))
            ))
            .shows("hops", evidence)
            .shows("wrappers_ns", own_ns);
        if !is_priced {
            return vec![hit];
        }
        let claims = hops.into_iter().flat_map(|hop| hop.claims).collect();
        vec![measured(hit, own_ns, claims)]
    }
}

/// One image that executed the next.
struct Hop<'a> {
    image: &'a Exec,
    /// Between the two execs.
    all_ns: u64,
    /// What of it goes away with the wrapper.
    own_ns: u64,
    claims: Vec<Claim>,
}

impl<'a> Hop<'a> {
    fn of(case: &Case<'_>, image: &'a Exec, next: &Exec) -> Self {
        let (from, to) = (image.at_ns, next.at_ns);
        let claims = match case.path().is_empty() {
            true => until_main(case, from, to),
            false => own(case, from, to),
        };
        Self { image, all_ns: to.saturating_sub(from), own_ns: sum(&claims), claims }
    }

    fn path(&self) -> String {
        quoted(self.image.path.as_deref().unwrap_or("?"))
    }

    fn in_words(&self, is_priced: bool) -> String {
        let script = self.image.script.as_deref().map(|script| format!(" {}", quoted(script)));
        let script = script.unwrap_or_default();
        format!("{}{script} {}", self.path(), time(if is_priced { self.own_ns } else { self.all_ns }))
    }
}

/// Without a path: what is known of an image's way to its main().
fn until_main(case: &Case<'_>, from: u64, to: u64) -> Vec<Claim> {
    let mut claims = Vec::new();
    for name in ["exec", "load", "link", "init"] {
        for (at, length) in case.phases(name).filter(|(at, _)| (from..to).contains(at)) {
            claims.extend(case.between(at, at.saturating_add(length).min(to)).1);
        }
    }
    claims
}

/// The image's own way to its first work, and its search for the next program.
fn own(case: &Case<'_>, from: u64, to: u64) -> Vec<Claim> {
    let (mut first, mut last, mut folded) = (to, from, None);
    let until = |segment: &Segment| segment.at_ns.saturating_add(segment.duration_ns);
    for segment in case.path().iter().filter(|segment| until(segment) > from && segment.at_ns < to) {
        // Of what was put together it is not known what came first.
        folded = segment.folded.is_some().then(|| folded.unwrap_or(segment.at_ns));
        if is_work(case, segment) {
            first = first.min(folded.unwrap_or(segment.at_ns).max(from));
            last = last.max(until(segment).min(to));
        }
    }
    let mut claims = of_itself(case, from, first);
    if last > first {
        // Attempts that failed, right before the one that worked.
        let tried = case.start.execs.iter().filter(|exec| exec.at_ns < to && exec.at_ns >= last);
        let search = tried.filter(|exec| exec.error.is_some()).map(|exec| exec.at_ns).min();
        claims.extend(of_itself(case, search.unwrap_or(to), to));
    }
    claims
}

/// Does a script do or wait for something then, rather than come up?
fn is_work(case: &Case<'_>, segment: &Segment) -> bool {
    segment.start_id != case.start.start_id || (!is_of_image(segment) && segment.state != "futex")
}

/// The states of a program that comes up. What threads of an interpreter do for each other is on the path itself.
fn is_of_image(segment: &Segment) -> bool {
    let states =
        ["running", "runnable", "throttled", "disk", "page_fault", "memory", "creating", "unknown", "exited"];
    states.contains(&segment.state.as_str())
}

fn of_itself(case: &Case<'_>, from: u64, to: u64) -> Vec<Claim> {
    case.between_where(from, to, |segment| segment.start_id == case.start.start_id && is_of_image(segment))
}
