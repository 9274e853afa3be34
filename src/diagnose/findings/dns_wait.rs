//! `dns-wait`: waiting for a name server.

use crate::diagnose::case::{Case, OnPath, by_name, measured, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;

pub(crate) struct DnsWait;

const PAGE: Page = Page {
    what: "A start waits for the answer of a name server.",
    why: "Name look-ups are made one after the other, and each search domain (ndots) is one more. A server that does not answer costs 5 s a try, before the next one is asked.",
    measured: "Waits on sockets to port 53, and on those of the local name services (nscd, systemd-resolved), on the critical path.",
    fix: "Repair or take out the server that does not answer (/etc/resolv.conf: options timeout:1 attempts:1 rotate), a name with a dot at its end or fewer search domains, a local cache, or an address instead of a name.",
    mistaken: "Look-ups over TLS or HTTPS are connections like any other (connect-wait). A look-up that runs beside other work costs nothing, and is not told.",
};

impl Rule for DnsWait {
    fn id(&self) -> &'static str {
        "dns-wait"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Path
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let waits = case.waits_where(|wait| is_dns(&wait.kind, wait.detail.as_deref()));
        let waits = waits.map(|on| (server(on.wait.detail.as_deref()), on.ns, on));
        let mut hits = Vec::new();
        for (server, ns, waits) in by_name(waits, 64).into_iter().take(4) {
            if !case.is_worth(ns, case.thresholds.all.min_cost) {
                break;
            }
            let limit = case.thresholds.dns_wait.time_out.0;
            // A resolver looks again at other things, too, but not for as long as it waits for an answer.
            let timed = |on: &&OnPath<'_>| {
                let ended_by_timer = on.wait.woken_by.as_ref().is_some_and(|by| by.kind == "timer");
                ended_by_timer && on.ns >= case.thresholds.dns_wait.least_time_out.0
            };
            let late = |on: &&OnPath<'_>| limit > 0 && on.ns >= limit - limit / 50;
            let time_outs = waits.iter().filter(|on| late(on) || timed(on)).count();
            let usual = waits.iter().any(|on| late(&on));
            let n = waits.len();
            let claims: Vec<_> = waits.into_iter().flat_map(|on| on.claims).collect();
            let silent = match time_outs {
                0 => String::new(),
                n => format!("; it did not answer {} of the times", n),
            };
            let advice = if time_outs > 0 {
                // Whoever waits for less has such options already.
                let options = if usual { " (options timeout:1 attempts:1)" } else { "" };
                format!("Repair the name server {server} or take it out of /etc/resolv.conf{options}")
            } else {
                format!(
                    "Cache names locally, ask {server} for fewer (ndots, search domains), or use addresses"
                )
            };
            let who = case.who(&claims);
            let hit = Hit::new(server.clone(), format!("waiting for the name server {server}"))
                .says(format!(
                    "{} waited {} for the name server {server}, {}{silent}",
                    who.name,
                    time(ns),
                    crate::words::counted(n as u64, "time")
                ))
                .advises(advice)
                .shows("server", server)
                .shows("waited_ns", ns)
                .shows("waits", n)
                .shows("time_outs", time_outs);
            hits.push(measured(hit, ns, claims));
        }
        hits
    }
}

/// Is a wait for a name service?
pub(super) fn is_dns(kind: &str, detail: Option<&str>) -> bool {
    let detail = detail.unwrap_or("");
    let local = ["io.systemd.Resolve", "/nscd/socket", "/sss/pipes/nss"];
    kind == "dns"
        || (kind == "poll" && detail.contains("udp ") && detail.contains(":53"))
        || (matches!(kind, "unix_socket" | "poll") && local.iter().any(|name| detail.contains(name)))
}

/// `10.0.0.2` out of `udp 10.0.0.2:53 (receive)`.
fn server(detail: Option<&str>) -> String {
    let detail = detail.unwrap_or("(unknown)");
    let word =
        detail.split(' ').find(|word| word.contains(':') && word.contains('.') || word.starts_with('['));
    let word = word.or_else(|| detail.split(' ').find(|word| word.starts_with('/')));
    quoted(word.map_or(detail, |word| word.strip_suffix(":53").unwrap_or(word)))
}
