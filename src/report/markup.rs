//! What pages for a browser have in common: text that is only text, colours, and a policy's nonce.

use super::phase;
use crate::words::label;
use std::hash::{BuildHasher, RandomState};

/// Colours by phase and by state, light and dark, as variables.
/// Dark where the reader's system asks for it, unless the page's own button says otherwise.
pub(crate) const PALETTE: &str = concat!(
    include_str!("palette.css"),
    "@media (prefers-color-scheme: dark) {\n:root:not([data-theme=\"light\"]) {\n",
    include_str!("palette_dark.css"),
    "}\n}\n:root[data-theme=\"dark\"] {\n  color-scheme: dark;\n",
    include_str!("palette_dark.css"),
    "}\n:root[data-theme=\"light\"] { color-scheme: light; }\n",
);

/// States with a colour of their own.
const STATES: [&str; 16] = [
    "running",
    "runnable",
    "child",
    "vfork",
    "disk",
    "page_fault",
    "pipe",
    "futex",
    "network",
    "dns",
    "sleep",
    "poll",
    "memory",
    "throttled",
    "unknown",
    "other",
];

/// Text between tags, or in an attribute.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Text that has something of a trace in it: without what acts instead of showing, and apart from the direction
/// of what stands around it.
pub(crate) fn shown(text: &str) -> String {
    format!("<bdi>{}</bdi>", escape(&label::harmless(text, 2000)))
}

/// Unknown to everybody before the page is written.
pub(crate) fn nonce() -> String {
    let state = RandomState::new();
    format!("{:016x}{:016x}", state.hash_one(0), state.hash_one(1))
}

/// The class of a phase's colour: `p-app`.
pub(crate) fn phase_class(name: &str) -> String {
    format!("p-{}", phase::get(phase::of_name(name)).name)
}

/// The class of a state's colour: `s-running`. Some have that of what they are a kind of.
pub(crate) fn state_class(name: &str) -> String {
    let own = match name {
        "creating" => "vfork",
        "lock" => "futex",
        "unix_socket" => "network",
        "exited" => "unknown",
        "stopped" => "sleep",
        "device" => "disk",
        name => name,
    };
    format!("s-{}", STATES.iter().find(|known| **known == own).unwrap_or(&"other"))
}

/// Rules for the classes of [`phase_class`] and [`state_class`].
pub(crate) fn class_rules() -> String {
    let phases = phase::CLASSES.iter().map(|class| format!("p-{}", class.name));
    let states = STATES.iter().map(|name| format!("s-{name}"));
    phases
        .chain(states)
        .map(|name| format!(".{name} {{ fill: var(--{name}); background: var(--{name}); }}\n"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_its_colour_in_light_and_dark() {
        for rule in class_rules().lines() {
            let name =
                rule.split_once("var(").and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name);
            let name = name.expect(rule);
            // Light, dark by the system's choice, and dark by the reader's.
            assert_eq!(PALETTE.matches(&format!("{name}:")).count(), 3, "{name}");
        }
    }

    #[test]
    fn names_of_a_file_are_no_classes_of_the_page() {
        assert_eq!(phase_class("\"><script>"), "p-other");
        assert_eq!(state_class("other:sys_x y"), "s-other");
        assert_eq!(state_class("creating"), "s-vfork");
    }

    #[test]
    fn hostile_text_is_only_text() {
        assert_eq!(shown("<b>'\u{202e}"), "<bdi>&lt;b&gt;&#39;\\u{202e}</bdi>");
    }
}
