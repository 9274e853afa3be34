//! `process-storm`: many short processes, one after the other.

use crate::diagnose::case::{Case, quoted, sum, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::{Claim, Hit};
use crate::hash::{HashMap, HashSet};
use crate::sort::SortSmall;
use crate::trace::schema::{Basis, SHORT_START_NS, Segment};
use crate::words::count;

/// Processes that are remembered by name: as many as a path has pieces.
const MAX_MEMBERS: usize = 2_000;

/// What the walk along the path says where it gave up.
const TOO_LONG: &str = "too long to follow";

/// ... and where waits are known by their sums only: of tens of thousands, the longest are kept singly.
const SUMS: &str = "short waits";

pub(crate) struct ProcessStorm;

const PAGE: Page = Page {
    what: "A start waits for many short processes, one after the other.",
    why: "Each costs a fork, an exec, loading and linking: 1 to 3 ms even for a program that does nothing. Shell \
          scripts with a substitution a line, version managers and configure-like probes run hundreds of them.",
    measured: "The critical path within processes that it leads through for no longer than 20 ms each, without their sleeps.",
    fix: "Use the shell's own means (parameter expansion instead of sed, basename and expr), read once what is \
          asked many times, keep the result in a file, or rewrite the script in a language that needs no processes.",
    mistaken: "A script that has to run many programs (a build) is told for what it is. Processes that are waited for no \
               longer than until they have their own image (posix_spawn) do not count. Processes that are started \
               together and waited for at the end count only as far as the path leads through them. Where a path is too \
               long to be followed to its beginning, where its waits for children are so many that only the longest were \
               kept singly, or where it leads through most of them, the number is that of all short starts below, if \
               those can have been one after the other. The price is what is on the path: within its processes, and in \
               such waits for children, no longer than the others have taken; then it is told as calculated.",
};

/// The start's own waits for children that the path could not be followed into, of those that are known by their sums
/// only; no more of them than that.
fn short_waits(case: &Case<'_>, most_ns: u64) -> (u64, Vec<Claim>) {
    let is_sum = |segment: &&Segment| segment.folded.is_some() || segment.detail.as_deref() == Some(SUMS);
    let (_, mut claims) = case.claims(case.own_in(&["child"]).filter(is_sum));
    let mut left = most_ns;
    for claim in &mut claims {
        claim.to = claim.to.min(claim.from.saturating_add(left));
        left -= claim.to.saturating_sub(claim.from);
    }
    claims.retain(|claim| claim.from < claim.to);
    (sum(&claims), claims)
}

impl Rule for ProcessStorm {
    fn id(&self) -> &'static str {
        "process-storm"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn nests(&self) -> bool {
        true
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let limits = &case.thresholds.process_storm;
        let own = case.start.start_id.as_str();
        let mut others: HashMap<&str, (u64, u64)> = HashMap::default();
        let mut came_to_run: HashSet<&str> = HashSet::default();
        let is_other = |s: &&Segment| s.start_id != own && s.folded.is_none();
        for segment in case.path().iter().filter(is_other) {
            // Whoever makes a process by vfork or posix_spawn stands still until that has its image, however long it
            // lives then.
            let before = ["unobserved", "fork", "schedule", "setup", "exec"];
            if segment.phase.as_deref().is_none_or(|phase| !before.contains(&phase)) {
                came_to_run.insert(&segment.start_id);
            }
            let (ns, busy) = others.entry(&segment.start_id).or_default();
            // For how long it chose to sleep is no matter of being a process: `fixed-sleep` has that.
            *ns = ns.saturating_add(if segment.state == "sleep" { 0 } else { segment.duration_ns });
            // A process is no longer because it has to wait for a CPU.
            *busy = busy.saturating_add(if segment.state == "runnable" { 0 } else { segment.duration_ns });
        }
        // Of pieces that were put together only what all short ones have is known.
        let recorded = &case.start.timeline.critical_path;
        let folds = || recorded.iter().filter_map(|s| Some((s, s.folded.as_deref()?)));
        came_to_run.extend(folds().flat_map(|(_, folded)| &folded.also).map(String::as_str));
        let mut is_least = recorded.iter().any(|s| s.detail.as_deref() == Some(TOO_LONG));
        let is_short = |id: &str| {
            let busy = others.get(id).map_or(u64::MAX, |(_, busy)| *busy);
            busy < limits.longest.0 && came_to_run.contains(id) && !case.is_older(id)
        };
        let short = case.path().iter().filter(|s| is_other(s) && is_short(&s.start_id));
        let short = short.filter(|s| s.state != "sleep");
        let (mut ns, mut claims) = case.claims(short);
        let mut n = others.keys().filter(|id| is_short(id)).count() as u64;
        let (mut more, mut more_ns) = (0u64, 0u64);
        for (segment, folded) in folds() {
            // By another measure of what is short, those are unknown.
            if limits.longest.0 < SHORT_START_NS {
                is_least = true;
                continue;
            }
            is_least |= limits.longest.0 > SHORT_START_NS;
            more = more.saturating_add(folded.short_starts);
            let short_ns = folded.short_ns.min(segment.duration_ns);
            more_ns = more_ns.saturating_add(short_ns);
            let end = Segment {
                at_ns: segment.at_ns.saturating_add(segment.duration_ns - short_ns),
                duration_ns: short_ns,
                ..segment.clone()
            };
            claims.extend((short_ns > 0).then(|| case.claim(&end)));
        }
        (n, ns) = (n.saturating_add(more), ns.saturating_add(more_ns));
        // Those that it started are known, whether the path could be followed to them or not: one after the other they are
        // if they have the time for it.
        let below = case.known.below(case.key);
        let others_ns = match below.n > n && below.sum_ns <= case.duration() {
            true => (u128::from(below.sum_ns) * u128::from(below.n - n) / u128::from(below.n)) as u64,
            false => 0,
        };
        // A few short ones are in nearly every storm, and change nothing: the price stays a measured one.
        let (waited_ns, waited) = Some(short_waits(case, others_ns))
            .filter(|(waited_ns, _)| waited_ns.saturating_mul(10) >= ns)
            .unwrap_or_default();
        is_least |= waited_ns > 0;
        ns = ns.saturating_add(waited_ns);
        claims.extend(waited);
        claims.sort_small_by_key(|claim| claim.from);
        // Where the path could not be followed at all, they may have been.
        let lost = recorded.iter().filter(|s| s.detail.as_deref() == Some(TOO_LONG));
        let lost_ns = lost.fold(0u64, |sum, s| sum.saturating_add(s.duration_ns)).min(others_ns - waited_ns);
        let mostly = n.saturating_mul(4) >= below.n.saturating_mul(3);
        let all =
            Some(below.n).filter(|all| *all > n && (is_least || mostly) && below.sum_ns <= case.duration());
        if all.unwrap_or(n) < limits.min_processes
            || case.share(ns.saturating_add(lost_ns)) < limits.min_share
            || !case.is_worth(ns, case.thresholds.all.min_cost)
        {
            return Vec::new();
        }
        let mut members: Vec<(u64, u64)> = others
            .iter()
            .filter(|(id, _)| is_short(id))
            .map(|(id, (ns, _))| (case.known.key(id), *ns))
            .collect();
        members.sort_small_by_key(|(key, ns)| (std::cmp::Reverse(*ns), *key));
        members.truncate(MAX_MEMBERS);
        let least = if is_least { "at least " } else { "" };
        // Before the list of those that can be, if there are any.
        let rest = match (members.is_empty(), waited_ns) {
            (true, _) => "",
            (false, 0) => ", the others",
            (false, _) => ", those that are",
        };
        let apart = match more_ns {
            0 => String::new(),
            _ => format!(
                ", {} of that in pieces too short to be told apart ({more} of them have no others){rest}",
                time(more_ns)
            ),
        };
        let counted = all.map_or_else(|| format!("{least}{n}"), count);
        let of_all = match all {
            Some(_) => {
                let leads = if is_least { "could be followed" } else { "leads" };
                let waits = match waited_ns {
                    0 => String::new(),
                    ns => format!("; {} of it are waits for others of them", time(ns)),
                };
                format!(", {least}{} in all (its path {leads} through {n} of them{waits})", time(ns))
            }
            None => format!(", {}", time(ns)),
        };
        let who = case.who(&claims);
        let mut hit = Hit::new(&*who.program, format!("{counted} short processes, one after the other"))
            .says(format!(
                "{} waited for {counted} short processes one after the other{of_all}{apart}",
                who.name,
            ))
            .advises(match (&who.is_last, &case.start.exe) {
                // What a version manager does is not needed by whoever knows the answer.
                (false, Some(exe)) => format!(
                    "Call {} itself, where nobody needs what {} does before; else keep their results, or use the shell's own \
                     means instead of one process a step",
                    quoted(exe),
                    who.program
                ),
                _ => "Keep their results, or use the shell's own means instead of one process a step".to_owned(),
            })
            .shows("processes", n)
            // Unknown where they come after it, as in a trace that is read.
            .shows("short_starts_below", Some(below.n).filter(|below| *below >= n))
            .shows("on_path_ns", ns);
        if waited_ns > 0 {
            hit = hit.shows("short_waits_ns", waited_ns);
        }
        hit.members = members;
        let basis = if waited_ns > 0 { Basis::Scaled } else { Basis::Measured };
        vec![hit.costs(ns, basis, claims)]
    }
}
