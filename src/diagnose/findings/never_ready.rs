//! `never-ready`: the window ended first.

use crate::diagnose::case::{Case, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::timeline::ready::{ANSWER, LOOKS};
use crate::trace::schema::{Severity, Start};
use std::net::SocketAddr;

pub(crate) struct NeverReady;

const PAGE: Page = Page {
    what: "A start was not ready when its window ended.",
    why: "It hangs, it takes longer than the window, or it is ready in a way that was not recognised.",
    measured: "Not priced: how long it would have taken is not known. The evidence has what it waited for at that moment.",
    fix: "Look at what it waits for; give it a longer --window; or say what ready means for it with --ready (listen, notify, output:REGEX, http://...).",
    mistaken: "A server that waits for clients elsewhere than --ready looks is told with both addresses: nothing may be wrong with it. A program that never listens, never rests and never ends (a busy loop by design) is never ready for --ready auto.",
};

impl Rule for NeverReady {
    fn id(&self) -> &'static str {
        "never-ready"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Lifecycle
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let ready = &case.start.timeline.ready;
        let detail = ready.detail.as_deref().unwrap_or("");
        // That the recording ended while it was under way says nothing about it.
        if ready.kind != "timeout" || !detail.contains("window") {
            return Vec::new();
        }
        let last = case.path().last().map(|segment| {
            let detail = segment.detail.as_deref().map(|detail| format!(" ({})", quoted(detail)));
            format!("{}{}", quoted(&segment.state), detail.unwrap_or_default())
        });
        let clients = clients(case.start);
        let asked = Asked::of(detail);
        let refusal = asked.refusal.map(|refusal| format!("; --ready got {}", quoted(refusal)));
        let doing = match (&clients, &last) {
            (Some(clients), _) => format!(": {clients}"),
            (None, Some(last)) => format!("; at its end: {last}{}", refusal.unwrap_or_default()),
            (None, None) => refusal.unwrap_or_default(),
        };
        let at = waited(case.start).map(|(at, _)| at).filter(|_| clients.is_some());
        let elsewhere = at.is_some_and(|at| asked.place.is_none_or(|place| !is_at(place, at)));
        let advice = match (&clients, asked.refusal) {
            (Some(_), _) if elsewhere => {
                "Let --ready look where it waits for clients, or take --ready accept"
            }
            (_, Some(_)) => "Let --ready ask for a path that answers with 200 to 399, or take --ready accept",
            (Some(_), None) => "Look at why --ready gets no answer there, or take --ready accept",
            (None, None) => "Look at what it waits for, or say with --ready what ready means for it",
        };
        vec![
            Hit::new(case.program(), format!("{} never became ready", case.program()))
                .says(format!(
                    "{} was not ready within its window of {}{doing}",
                    case.name(),
                    time(case.duration())
                ))
                .advises(advice)
                .shows("window_ns", case.duration())
                .shows("at_the_end", last)
                .at_least(Severity::Warning)
                .at_most(Severity::Warning),
        ]
    }
}

/// Of a start that was not ready although it is a server that waits for clients: where, and where `--ready` looks.
pub(in crate::diagnose) fn clients(start: &Start) -> Option<String> {
    let (address, at_ns) = waited(start)?;
    let text = format!("it waited for clients at {} after {}", quoted(address), time(at_ns));
    let asked = Asked::of(start.timeline.ready.detail.as_deref().unwrap_or(""));
    Some(match (asked.refusal, asked.place) {
        (Some(refusal), _) => format!("{text}, but --ready got {}", quoted(refusal)),
        (None, Some(place)) if !is_at(place, address) => {
            format!("{text}, but --ready looks at {}", quoted(place))
        }
        _ => text,
    })
}

/// Where it first waited for clients, and when.
fn waited(start: &Start) -> Option<(&str, u64)> {
    let milestones = &start.timeline.milestones;
    let waited = milestones.iter().take(1_000).find(|one| one.name == "first_accept_wait")?;
    let address = waited.detail.as_deref()?;
    // A helper's own unix socket (an agent's, a fork server's) is no service.
    let is_helper = address.starts_with("unix") && address.contains(" in pid ");
    (!is_helper).then_some((address, waited.at_ns))
}

/// Where `--ready` looked in vain, and what the answer there was.
struct Asked<'a> {
    place: Option<&'a str>,
    refusal: Option<&'a str>,
}

impl<'a> Asked<'a> {
    /// As the detail of a time-out has it.
    fn of(detail: &'a str) -> Self {
        let Some((_, place)) = detail.split_once(LOOKS) else { return Self { place: None, refusal: None } };
        match place.split_once(ANSWER) {
            Some((place, refusal)) => Self { place: Some(place), refusal: Some(refusal) },
            None => Self { place: Some(place), refusal: None },
        }
    }
}

/// Does a caller at one of the places (`tcp 127.0.0.1:80 or tcp [::1]:80`) reach who waits at that address?
fn is_at(places: &str, address: &str) -> bool {
    let parse = |text: &str| text.strip_prefix("tcp ")?.split(' ').next()?.parse::<SocketAddr>().ok();
    let Some(at) = parse(address) else { return places == address };
    // The unspecified address is each of its family, and that of IPv6 is mostly IPv4's, too.
    let everywhere = |to: &SocketAddr| at.ip().is_unspecified() && (at.is_ipv6() || to.is_ipv4());
    let reaches = |to: SocketAddr| {
        to.port() == at.port() && (to.ip().to_canonical() == at.ip().to_canonical() || everywhere(&to))
    };
    places.split(" or ").filter_map(parse).any(reaches)
}
