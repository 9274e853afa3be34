//! Everything about one start: the lower half of the full screen.

use super::state::State;
use super::view::{Canvas, wide};
use crate::report::style::wrap;
use crate::report::{Ink, phase};
use crate::sort::SortSmall;
use crate::trace::schema::{Confidence, Start};
use crate::trace::text::{decode, shell_line};
use crate::words::{duration, label};
use ratatui_core::layout::Rect;
use ratatui_core::style::Style;

/// Longest command that is shown, in characters.
const LONGEST: usize = 2_000;
/// Waits that are shown: the longest.
const WAITS: usize = 20;

/// A line: what it begins with, in bold, and the rest; phases are drawn behind it.
struct Line {
    head: String,
    text: String,
    bar: Option<(u64, u64, u8)>,
}

pub(super) fn draw(state: &mut State, canvas: &mut Canvas<'_>, at: Rect) {
    let start = state.looked_at();
    let id = state.selected.clone().unwrap_or_default();
    canvas.rule(at, &format!("DETAIL  {id}"));
    let lines = match &start {
        Some(start) => lines(start, canvas, at.width),
        None => {
            let open = state.open().any(|open| open.start_id == id);
            let text = if open {
                "It is under way: more is known when it is ready."
            } else {
                "It is no longer kept."
            };
            vec![Line { head: String::new(), text: text.to_owned(), bar: None }]
        }
    };
    let room = usize::from(at.height.saturating_sub(1));
    state.detail_scroll = state.detail_scroll.min(lines.len().saturating_sub(room));
    let whole = start.as_ref().map_or(1, |start| start.timeline.duration_ns.max(1));
    for (y, line) in (at.y + 1..at.bottom()).zip(lines.iter().skip(state.detail_scroll)) {
        let x = at.x + canvas.put(at.x, y, at.width, &line.head, canvas.ink(Ink::Bold));
        let rest = at.right().saturating_sub(x);
        canvas.put(x, y, rest, &line.text, Style::new());
        if let Some((at_ns, ns, class)) = line.bar {
            let x = x + wide(&line.text) + 1;
            let room = at.right().saturating_sub(x);
            if room >= 4 {
                let scale =
                    |ns: u64| (u128::from(ns.min(whole)) * u128::from(room) / u128::from(whole)) as u16;
                let (from, to) = (scale(at_ns).min(room - 1), scale(at_ns.saturating_add(ns)));
                canvas.bar((x + from, y), to.saturating_sub(from).max(1), &[(class, 1)], 1);
            }
        }
    }
}

fn lines(start: &Start, canvas: &Canvas<'_>, width: u16) -> Vec<Line> {
    let mut out = Vec::new();
    let mut style = canvas.text;
    style.width = usize::from(width).saturating_sub(10).max(8);
    let mut say = |head: &str, text: &str| {
        for (i, line) in wrap(&style, &label::harmless(text, LONGEST), "", "").into_iter().enumerate() {
            let head = if i == 0 { head } else { "" };
            out.push(Line { head: format!("{head:<10}"), text: line, bar: None });
        }
    };
    let timeline = &start.timeline;
    match &start.argv {
        Some(argv) => say("command", &shell_line(argv.iter().map(|arg| decode(arg)))),
        None => say("name", &start.comm),
    }
    let exe = start.exe.as_deref().unwrap_or("unknown");
    let parent = start.parent.as_ref().map_or_else(String::new, |parent| {
        format!(", by {} ({})", parent.pid, parent.comm.as_deref().unwrap_or("?"))
    });
    say("process", &format!("pid {}{parent}; {exe}", start.pid));
    let sure = match start.method.confidence {
        Confidence::Certain => "certain",
        Confidence::Likely => "likely",
        Confidence::Guess => "a guess",
    };
    say("method", &format!("{} ({sure})", start.method.name));
    let ready = &timeline.ready;
    let inferred = if ready.inferred { ", inferred" } else { "" };
    let detail = ready.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    say("ready", &format!("{} after {}{inferred}{detail}", ready.kind, duration(timeline.duration_ns)));
    if let Some(states) = &timeline.states {
        let mut all = vec![
            ("creating", states.creating_ns),
            ("running", states.running_ns),
            ("runnable", states.runnable_ns),
            ("exited", states.exited_ns),
            ("unknown", states.unknown_ns),
        ];
        all.extend(states.blocked.iter().map(|(name, ns)| (name.as_str(), *ns)));
        all.retain(|(_, ns)| *ns > 0);
        all.sort_small_by_key(|(_, ns)| std::cmp::Reverse(*ns));
        let all: Vec<String> = all.iter().map(|(name, ns)| format!("{name} {}", duration(*ns))).collect();
        say("states", &all.join(", "));
    }
    for (i, phase) in timeline.phases.iter().enumerate() {
        let head = if i == 0 { "phases" } else { "" };
        let text = format!("{:<10} {:>8}", label::harmless(&phase.name, 10), duration(phase.duration_ns));
        let bar = Some((phase.at_ns, phase.duration_ns, phase::of_name(&phase.name)));
        out.push(Line { head: format!("{head:<10}"), text, bar });
    }
    let mut waits: Vec<_> = timeline.waits.iter().collect();
    waits.sort_small_by_key(|wait| std::cmp::Reverse(wait.duration_ns));
    for (i, wait) in waits.iter().take(WAITS).enumerate() {
        let head = if i == 0 { "waits" } else { "" };
        let mut text = format!("{:>8} {}", duration(wait.duration_ns), wait.kind);
        if let Some(call) = &wait.syscall {
            text += &format!(" in {call}");
        }
        if let Some(detail) = &wait.detail {
            text += &format!(": {detail}");
        }
        if let Some(by) = &wait.woken_by {
            text += &format!("; ended by {}", by.kind);
            if let Some(pid) = by.pid {
                text += &format!(" {pid} ({})", by.comm.as_deref().unwrap_or("?"));
            }
        }
        out.push(Line { head: format!("{head:<10}"), text: label::harmless(&text, 400), bar: None });
    }
    let left = waits.len().saturating_sub(WAITS) as u64 + timeline.waits_left_out;
    if left > 0 {
        out.push(Line { head: " ".repeat(10), text: format!("and {left} shorter ones"), bar: None });
    }
    let evidence = wrap(&style, &label::harmless(&start.method.evidence.join("; "), LONGEST), "", "");
    for (i, text) in evidence.into_iter().enumerate() {
        let head = if i == 0 { "evidence" } else { "" };
        out.push(Line { head: format!("{head:<10}"), text, bar: None });
    }
    out
}
