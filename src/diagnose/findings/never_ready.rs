//! `never-ready`: the window ended first.

use crate::diagnose::case::{Case, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::{Severity, Start};

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
        let doing = match (&clients, &last) {
            (Some(clients), _) => format!(": {clients}"),
            (None, Some(last)) => format!("; at its end: {last}"),
            (None, None) => String::new(),
        };
        let advice = match &clients {
            Some(_) => "Let --ready look where it waits for clients, or take --ready accept",
            None => "Look at what it waits for, or say with --ready what ready means for it",
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
    let timeline = &start.timeline;
    let waited = timeline.milestones.iter().take(1_000).find(|one| one.name == "first_accept_wait")?;
    let address = quoted(waited.detail.as_deref()?);
    // A helper's own unix socket (an agent's, a fork server's) is no service.
    if address.starts_with("unix") && address.contains(" in pid ") {
        return None;
    }
    let text = format!("it waited for clients at {address} after {}", time(waited.at_ns));
    let looks = timeline.ready.detail.as_deref().and_then(|detail| detail.split_once("--ready looks at "));
    Some(match looks.map(|(_, place)| quoted(place)) {
        Some(place) if place != address => format!("{text}, but --ready looks at {place}"),
        _ => text,
    })
}
