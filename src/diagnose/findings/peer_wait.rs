//! `peer-wait`: waiting for a process that was there before.

use crate::diagnose::case::{Case, OnPath, by_name, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct PeerWait;

const PAGE: Page = Page {
    what: "A start waits on a unix socket or a pipe for another process of this machine, which it did not start.",
    why: "Buses, session managers, agents, data bases and fork servers answer when they come to it; their slowness is the start's.",
    measured: "Waits on unix sockets and pipes that an older process ended, or whose end is unknown, on the critical path.",
    fix: "Look into the peer: record it with -p PID meanwhile. Ask later, ask less often, or ask for several things at once.",
    mistaken: "A worker that waits for the orders of its parent, or of who asked for it, is not told where the trace has \
that one's own start, whose time it is; otherwise as info only, because nothing may be wrong. For unix sockets the peer's credentials are those of who called listen().",
};

impl Rule for PeerWait {
    fn id(&self) -> &'static str {
        "peer-wait"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let method = &case.start.method;
        let piped = method.pattern.as_deref() == Some("shell.pipeline");
        // Helpers that last as long as what they help wait by profession.
        let waits_for_a_living = ["resource_tracker", "forkserver.server", "semaphore_tracker"];
        if waits_for_a_living.iter().any(|name| method.name.ends_with(name)) {
            return Vec::new();
        }
        let waits = case
            .waits_where(|wait| matches!(wait.kind.as_str(), "unix_socket" | "poll" | "pipe"))
            .filter_map(|on| {
                let detail = on.wait.detail.as_deref().unwrap_or("");
                let unix =
                    on.wait.kind == "unix_socket" || (on.wait.kind == "poll" && detail.contains("unix "));
                let pipe = on.wait.kind == "pipe" && !piped;
                let dns = super::dns_wait::is_dns(&on.wait.kind, on.wait.detail.as_deref());
                if !(unix || pipe) || dns || detail.contains("(accept)") {
                    return None;
                }
                Some((who(case, &on)?, on.ns, on))
            });
        let mut hits = Vec::new();
        for (peer, ns, waits) in by_name(waits, 64).into_iter().take(4) {
            if !case.is_worth(ns, case.thresholds.peer_wait.min_cost) {
                break;
            }
            let parent = case.start.parent.as_ref();
            let is_parent = waits.iter().any(|on| {
                let by = on.wait.woken_by.as_ref().and_then(|by| by.pid);
                let through = on.through.and_then(|id| id.split('@').next()).and_then(|pid| pid.parse().ok());
                parent.is_some_and(|parent| by.or(through) == Some(parent.pid))
            });
            let object = waits.first().and_then(|on| on.wait.detail.as_deref()).map(quoted);
            let n = waits.len();
            let claims: Vec<_> = waits.into_iter().flat_map(|on| on.claims).collect();
            let one = case.who(&claims);
            let hit = Hit::new(format!("{} {peer}", one.program), format!("waiting for {peer}"))
                .says(format!(
                    "{} waited {} for {peer}, {}",
                    one.name,
                    time(ns),
                    crate::words::counted(n as u64, "time")
                ))
                .advises(format!(
                    "Look into {peer}: record it with -p while this happens; ask it later or less often"
                ))
                .shows("peer", peer)
                .shows("object", object)
                .shows("waited_ns", ns)
                .shows("waits", n)
                .at_most(if is_parent { Severity::Info } else { Severity::Critical });
            hits.push(measured(hit, ns, claims));
        }
        hits
    }
}

/// The other process; `None` if it is one that the start made itself.
fn who(case: &Case<'_>, on: &OnPath<'_>) -> Option<String> {
    if let Some(id) = on.through {
        let gives_orders = [&case.start.parent, &case.start.requested_by]
            .into_iter()
            .flatten()
            .any(|one| one.start_id.as_deref() == Some(id));
        return (case.is_older(id) && !gives_orders).then(|| case.process(id));
    }
    let by = on.wait.woken_by.as_ref();
    if let Some(by) = by.filter(|by| matches!(by.kind.as_str(), "task" | "softirq"))
        && let Some(pid) = by.pid
    {
        let comm = by.comm.as_deref().map(quoted).unwrap_or_default();
        // A child that could not be followed is a child all the same.
        return (pid != case.start.pid && !case.known.is_child(&case.start.start_id, pid))
            .then(|| format!("pid {pid} ({comm})"));
    }
    let detail = on.wait.detail.as_deref()?;
    // Out of `fd 3 or 1 other: unix /run/bus (receive), peer pid 9`.
    let object =
        detail.strip_prefix("fd ").and_then(|rest| rest.split_once(": ")).map_or(detail, |(_, rest)| rest);
    let name = object.split(" (").next().unwrap_or(object);
    let name = name.split_once(", peer pid ").map_or(name, |(name, _)| name);
    object.starts_with("unix ").then(|| quoted(name))
}
