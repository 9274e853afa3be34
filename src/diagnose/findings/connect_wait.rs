//! `connect-wait`: waiting for a peer on the network.

use crate::diagnose::case::{Case, by_name, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::diagnose::whole::union;
use crate::trace::schema::Wait;

/// Tries that are looked at; a file can hold more than a recording makes.
const MAX_TRIES: usize = 2_000;

pub(crate) struct ConnectWait;

const PAGE: Page = Page {
    what: "A start waits for a peer on the network: for a connection, or for an answer.",
    why: "A connection takes a round trip, TLS one or two more, and each question one. A peer that drops packets costs the whole time-out of the connection (two minutes by default).",
    measured: "Waits in connect, and to send to or receive from TCP and UDP sockets, on the critical path, by peer; to poll while a try to connect is under way is to wait for that. Not those of a server for its clients.",
    fix: "Connect when it is needed first, or beside other work; lower the connection's time-out; ask once instead of many times; look into the peer's own timeline where it is on this machine.",
    mistaken: "A client whose whole purpose is the answer (curl) is told as well.",
};

impl Rule for ConnectWait {
    fn id(&self) -> &'static str {
        "connect-wait"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let is_network = |kind: &str, detail: &str| {
            let inet = detail.contains("tcp ") || detail.contains("udp ") || detail.contains("socket ");
            (kind == "network" || (kind == "poll" && inet)) && !detail.contains("(accept)")
        };
        let waits =
            case.waits_where(|wait| matches!(wait.kind.as_str(), "network" | "poll")).filter_map(|on| {
                let detail = on.wait.detail.as_deref().unwrap_or("");
                let dns = super::dns_wait::is_dns(&on.wait.kind, on.wait.detail.as_deref());
                (is_network(&on.wait.kind, detail) && !dns).then(|| (peer(detail), on.ns, on))
            });
        let mut hits = Vec::new();
        for (peer, ns, waits) in by_name(waits, 64).into_iter().take(4) {
            if !case.is_worth(ns, case.thresholds.all.min_cost) {
                break;
            }
            let tries = Tries::of(case, &peer);
            let connects = waits.iter().filter(|on| tries.are_awaited_in(on.wait));
            let connect_ns = connects.fold(0u64, |sum, on| sum.saturating_add(on.ns));
            let connected = tries.succeeded || waits.iter().any(|on| takes_what_comes(on.wait));
            let n = waits.len();
            let claims: Vec<_> = waits.into_iter().flat_map(|on| on.claims).collect();
            let connects = connect_ns > ns / 2;
            let how = if connects { "to be connected to" } else { "for answers of" };
            let advice = if connects {
                format!(
                    "Connect to {peer} when it is needed first or beside other work, and with a shorter time-out"
                )
            } else {
                let by_then = if connected { ": it was connected by then" } else { "" };
                format!(
                    "Ask {peer} less often, later or beside other work, or look into why it answers late{by_then}"
                )
            };
            let who = case.who(&claims);
            let hit = Hit::new(peer.clone(), format!("waiting for {peer}"))
                .says(format!(
                    "{} waited {} {how} {peer}, {}",
                    who.name,
                    time(ns),
                    crate::words::counted(n as u64, "time")
                ))
                .advises(advice)
                .shows("peer", peer)
                .shows("waited_ns", ns)
                .shows("connect_ns", connect_ns)
                .shows("waits", n);
            hits.push(measured(hit, ns, claims));
        }
        hits
    }
}

/// The start's tries to connect to one peer.
struct Tries {
    /// From when to when any was under way, from the start's origin.
    pieces: Vec<(u64, u64)>,
    succeeded: bool,
    failed: bool,
}

impl Tries {
    fn of(case: &Case<'_>, peer: &str) -> Self {
        let (mut pieces, mut succeeded, mut failed) = (Vec::new(), false, false);
        let connects = case.start.timeline.connects.iter().take(MAX_TRIES);
        for connect in connects.filter(|connect| connect.peer.as_deref().is_some_and(|of| quoted(of) == peer))
        {
            pieces.push((connect.at_ns, connect.at_ns.saturating_add(connect.duration_ns.unwrap_or(0))));
            succeeded |= connect.error.is_none();
            failed |= connect.error.is_some();
        }
        Self { pieces: union(pieces), succeeded, failed }
    }

    /// Does that wait for a connection? A program that connects without blocking polls for it meanwhile. One try may
    /// be under way still when the start is over: where all before it failed, there is nothing else to wait for.
    fn are_awaited_in(&self, wait: &Wait) -> bool {
        let detail = wait.detail.as_deref().unwrap_or("");
        // A poll says nothing of what it is for; one of a single socket is that socket's own kind.
        if detail.contains(" (") {
            return detail.contains("(connect)");
        }
        let began = self.pieces.partition_point(|(from, _)| *from <= wait.at_ns);
        let last = began.checked_sub(1).and_then(|at| self.pieces.get(at));
        last.is_some_and(|(_, to)| wait.at_ns < *to) || (self.failed && !self.succeeded)
    }
}

/// Nobody waits so at a TCP socket that is not connected: the call fails at once.
fn takes_what_comes(wait: &Wait) -> bool {
    wait.detail.as_deref().is_some_and(|detail| detail.contains("tcp ") && detail.ends_with(" (receive)"))
}

/// `tcp 10.0.0.2:5432` out of `fd 3: tcp 10.0.0.2:5432 (receive)`.
fn peer(detail: &str) -> String {
    let detail =
        detail.strip_prefix("fd ").and_then(|rest| rest.split_once(": ")).map_or(detail, |(_, rest)| rest);
    quoted(detail.split(" (").next().unwrap_or(detail))
}
