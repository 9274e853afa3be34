//! `dependency-retry`: a start tries again and again to connect to what is not there yet.

use crate::diagnose::case::{Case, OnPath, by_name, measured, quoted, sum, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::{Claim, Hit};
use crate::diagnose::known::Attempt;
use crate::diagnose::whole::{common, union};
use crate::hash::HashSet;
use crate::sort::SortSmall;
use crate::words::counted;
use std::collections::BTreeMap;

pub(crate) struct DependencyRetry;

const PAGE: Page = Page {
    what: "A start tries to connect to something that is not there yet, waits, and tries again.",
    why: "Services that are started together wait for each other in steps of a second and more: on average half a step is wasted even after the other one is ready.",
    measured: "On the critical path from the first attempt that failed to the one that succeeded (else to the last one): sleeps, time-outs, waits for the connection itself, and the helpers of a script: those that tried to connect and failed (nc), and those that slept.",
    fix: "Order the services: After= with Type=notify, depends_on with a health check. Or socket activation: whoever connects waits in the queue until the service takes it. Or retry in ever longer steps that begin with 1 ms; where the tries themselves hang until they are given up, with a shorter time-out of the connection. Ordering moves the wait out of this start, it does not make the other one ready earlier.",
    mistaken: "A client that polls on purpose looks the same, and so do two tools of a script that fail for want of the same peer with other work's sleep between them. Refusals of unix sockets are seen at --level deep, and where the tracepoints of system calls are in use; those of UDP never.",
};

impl Rule for DependencyRetry {
    fn id(&self) -> &'static str {
        "dependency-retry"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let attempts = case.known.attempts(&case.start.start_id);
        let failed = |attempt: &&Attempt| attempt.error.is_some();
        if attempts.iter().filter(failed).count() < 2 {
            return Vec::new();
        }
        let waits: Vec<OnPath<'_>> = case.waits().collect();
        let by_peer = by_name(attempts.iter().map(|attempt| (place(&attempt.peer), 1, attempt)), 64);
        let mut hits = Vec::new();
        for (_, _, attempts) in by_peer {
            if let Some(hit) = look_at_peer(case, &waits, &attempts) {
                hits.push(hit);
            }
        }
        hits.sort_small_by_key(|hit| std::cmp::Reverse(hit.cost_ns));
        hits.truncate(4);
        hits
    }
}

/// What is tried: localhost has more than one address, and clients try them in turn.
fn place(peer: &str) -> String {
    for local in ["tcp 127.0.0.1:", "tcp [::1]:"] {
        if let Some(port) = peer.strip_prefix(local) {
            return format!("localhost:{port}");
        }
    }
    peer.to_owned()
}

/// An error's name for a sentence.
fn in_words(error: &str) -> String {
    match error {
        "given_up" => "given up".to_owned(),
        name => quoted(name),
    }
}

fn look_at_peer(case: &Case<'_>, waits: &[OnPath<'_>], attempts: &[&Attempt]) -> Option<Hit> {
    let failed: Vec<&&Attempt> = attempts.iter().filter(|attempt| attempt.error.is_some()).collect();
    if (failed.len() as u64) < case.thresholds.dependency_retry.min_attempts {
        return None;
    }
    let from = failed.iter().map(|attempt| attempt.from).min()?;
    let last = failed.iter().map(|attempt| attempt.to).max()?;
    let success = attempts.iter().filter(|attempt| attempt.error.is_none() && attempt.from >= last);
    let success = success.map(|attempt| attempt.from).min();
    let origin = case.start.timeline.origin_boottime_ns;
    let end = origin.saturating_add(case.duration());
    // Still at it when its time was over?
    let until = match success {
        Some(at) => at,
        None if case.start.timeline.ready.kind == "timeout" => end,
        None => last,
    };
    let peer: &str = &failed.last()?.peer;
    let is_within = |at_ns: u64| (from..until).contains(&origin.saturating_add(at_ns));
    let mut claims: Vec<Claim> = Vec::new();
    for on in waits.iter().filter(|on| is_within(on.wait.at_ns)) {
        let timed = on.wait.woken_by.as_ref().is_some_and(|by| by.kind == "timer");
        let pause = on.wait.kind == "sleep" || (timed && matches!(on.wait.kind.as_str(), "poll" | "futex"));
        let to_peer = matches!(on.wait.kind.as_str(), "network" | "poll" | "unix_socket" | "dns")
            && on.wait.detail.as_deref().is_some_and(|detail| detail.contains(peer));
        if pause || to_peer {
            claims.extend(&on.claims);
        }
    }
    // What others do meanwhile: the helper that tries, and the one that sleeps.
    let own = case.start.start_id.as_str();
    let triers: HashSet<u64> = failed.iter().map(|attempt| attempt.by).collect();
    let theirs: Vec<_> = case.path().iter().filter(|s| s.start_id != own && is_within(s.at_ns)).collect();
    let sleepers: HashSet<&str> =
        theirs.iter().filter(|s| s.state == "sleep").map(|s| s.start_id.as_str()).collect();
    let helps = |id: &str| sleepers.contains(id) || triers.contains(&case.known.key(id));
    claims.extend(theirs.into_iter().filter(|s| helps(&s.start_id)).map(|s| case.claim(s)));
    let cut = |claim: Claim| Claim { from: claim.from.max(from), to: claim.to.min(until), ..claim };
    let mut claims: Vec<Claim> = claims.into_iter().map(cut).filter(|claim| claim.from < claim.to).collect();
    claims.sort_small_by_key(|claim| (claim.from, std::cmp::Reverse(claim.to)));
    let mut reached = 0;
    claims.retain_mut(|claim| {
        claim.from = claim.from.max(reached);
        reached = reached.max(claim.to);
        claim.from < claim.to
    });
    let ns = sum(&claims);
    if !case.is_worth(ns, case.thresholds.dependency_retry.min_cost) {
        return None;
    }
    // A peer that does not even refuse: what takes the time are the tries, and not the pauses between them.
    let tries = union(failed.iter().map(|attempt| (attempt.from, attempt.to)).collect());
    let tries_ns = common(&union(claims.iter().map(|claim| (claim.from, claim.to)).collect()), &tries);
    let hangs = tries_ns > ns / 2;
    let mut errors: BTreeMap<&str, u64> = BTreeMap::new();
    for error in failed.iter().filter_map(|attempt| attempt.error.as_deref()) {
        *errors.entry(error).or_default() += 1;
    }
    let most = errors.iter().max_by_key(|(_, n)| **n).map_or("", |(name, _)| *name);
    let n = failed.len() as u64;
    let end =
        if success.is_some() { "then it was connected" } else { "it was not connected within this start" };
    let peer = quoted(peer);
    let what_for = if hangs { "for these tries and between them" } else { "for the next try" };
    let advice = if hangs {
        format!(
            "Give each try a shorter time-out: the tries themselves took {}. Or start it when {peer} answers (After= with READY=1, a health check)",
            time(tries_ns)
        )
    } else {
        format!(
            "Start it when {peer} is there (After= with READY=1, a health check), let {peer} be opened beforehand (socket activation), or retry in steps that begin with 1 ms"
        )
    };
    let who = case.who(&claims);
    let hit = Hit::new(peer.clone(), format!("waiting for {peer} to be there"))
        .says(format!(
            "{} tried in vain to connect to {peer} {} ({}), and waited {} {what_for}; {end}",
            who.name,
            counted(n, "time"),
            in_words(most),
            time(ns)
        ))
        .advises(advice)
        .shows("peer", peer)
        .shows("attempts", n)
        .shows(
            "errors",
            errors.into_iter().map(|(name, n)| (quoted(name), n.into())).collect::<serde_json::Map<_, _>>(),
        )
        .shows("waited_ns", ns)
        .shows("tries_ns", tries_ns)
        .shows("connected", success.is_some());
    Some(measured(hit, ns, claims))
}
