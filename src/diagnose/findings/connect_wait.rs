//! `connect-wait`: waiting for a peer on the network.

use crate::diagnose::case::{Case, by_name, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct ConnectWait;

const PAGE: Page = Page {
    what: "A start waits for a peer on the network: for a connection, or for an answer.",
    why: "A connection takes a round trip, TLS one or two more, and each question one. A peer that drops packets costs the whole time-out of the connection (two minutes by default).",
    measured: "Waits in connect, and to send to or receive from TCP and UDP sockets, on the critical path, by peer; not those of a server for its clients.",
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
            let connects =
                waits.iter().filter(|on| on.wait.detail.as_deref().is_some_and(|d| d.contains("(connect)")));
            let connect_ns = connects.fold(0u64, |sum, on| sum.saturating_add(on.ns));
            let n = waits.len();
            let claims = waits.into_iter().flat_map(|on| on.claims).collect();
            let connects = connect_ns > ns / 2;
            let how = if connects { "to be connected to" } else { "for answers of" };
            let advice = if connects {
                format!(
                    "Connect to {peer} when it is needed first or beside other work, and with a shorter time-out"
                )
            } else {
                format!(
                    "Ask {peer} less often, later or beside other work, or look into why it answers late: it was connected by then"
                )
            };
            let hit = Hit::new(peer.clone(), format!("waiting for {peer}"))
                .says(format!(
                    "{} waited {} {how} {peer}, {}",
                    case.name(),
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

/// `tcp 10.0.0.2:5432` out of `fd 3: tcp 10.0.0.2:5432 (receive)`.
fn peer(detail: &str) -> String {
    let detail =
        detail.strip_prefix("fd ").and_then(|rest| rest.split_once(": ")).map_or(detail, |(_, rest)| rest);
    quoted(detail.split(" (").next().unwrap_or(detail))
}
