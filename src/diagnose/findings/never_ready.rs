//! `never-ready`: the window ended first.

use crate::diagnose::case::{Case, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::Severity;

pub(crate) struct NeverReady;

const PAGE: Page = Page {
    what: "A start was not ready when its window ended.",
    why: "It hangs, it takes longer than the window, or it is ready in a way that was not recognised.",
    measured: "Not priced: how long it would have taken is not known. The evidence has what it waited for at that moment.",
    fix: "Look at what it waits for; give it a longer --window; or say what ready means for it with --ready (listen, notify, output:REGEX, http://...).",
    mistaken: "A program that never listens, never rests and never ends (a busy loop by design) is never ready for --ready auto.",
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
        let doing = last.as_ref().map_or(String::new(), |last| format!("; at its end: {last}"));
        vec![
            Hit::new(case.program(), format!("{} never became ready", case.program()))
                .says(format!(
                    "{} was not ready within its window of {}{doing}",
                    case.name(),
                    time(case.duration())
                ))
                .advises("Look at what it waits for, or say with --ready what ready means for it")
                .shows("window_ns", case.duration())
                .shows("at_the_end", last)
                .at_least(Severity::Warning)
                .at_most(Severity::Warning),
        ]
    }
}
