//! What makes starts slow.

use super::{Entry, Topic};

pub(super) fn topic() -> Topic {
    Topic {
        name: "findings",
        title: "Findings: what makes starts slow",
        intro: "A finding is a cause that the trace shows, with its evidence, its advice and its price: wall time on the \
critical path that would go away, measured in this trace or calculated from it, and null where it cannot be known. \
'startrace report --explain ID' prints the page on one: what happens, why it takes time, what the price is made of, how to \
mend it, and when it is mistaken. What a trace cannot tell stands in not_examined, with what it would take.",
        entries: crate::diagnose::pages().map(|(name, page)| Entry { name, text: page.what }).collect(),
        outro: "",
    }
}
