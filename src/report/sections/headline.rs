//! The first sentences: whether it is complete, the verdict, how many starts of what, and what failed.

use super::super::digest::{Digest, Row};
use super::super::style::{Ink, Style};
use super::super::table;
use super::{MAX_SUMMARY, is_helper, is_measured, say, within};
use crate::sort::SortSmall;
use crate::words::human::{self, counted};
use crate::words::intern::Sym;
use crate::words::label;
use std::io::{self, Write};

/// Failed execs that are named beside who failed.
const FAILED_EXECS: usize = 2;
/// Processes whose failed forks are named.
const FAILURES: usize = 4;

/// The warning of an incomplete trace, and one sentence: how many starts, of what, over how long, and
/// the slowest.
pub(crate) fn headline<'d>(digest: &'d Digest, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if let Some(why) = &digest.cut_off {
        let text = format!(
            "INCOMPLETE: {why}. The recorder was killed, or is still at work; this is what there is."
        );
        say(style, Ink::Red, &text, out)?;
    } else if digest.session.as_ref().is_some_and(|s| !s.complete) {
        let text = "INCOMPLETE: something was lost or cut short; see the end of this report.";
        say(style, Ink::Red, text, out)?;
    }
    if let Some(of) = digest.picked_of {
        let text = format!("{} of {} picked.", counted(digest.rows.len() as u64, "start"), human::count(of));
        say(style, Ink::Plain, &text, out)?;
    }
    for sentence in &digest.verdict {
        say(style, Ink::Bold, &label::harmless(sentence, MAX_SUMMARY), out)?;
    }
    let (begin, end) = digest.window();
    let over = digest.session.as_ref().map_or(end.saturating_sub(begin), |s| s.duration_ns);
    let n = digest.rows.len() as u64;
    let begun = if n == 0 { "No start".into() } else { counted(n, "start") };
    // Where the verdict begins with their number, it is not said again.
    let told =
        n > 0 && digest.verdict.first().is_some_and(|first| first.starts_with(&format!("{begun} in ")));
    let begun = if told { "Seen" } else { &*begun };
    // Longer than what was recorded took: the verdict has that.
    let what = if command(digest).is_some() && digest.session.is_some() { " of recording" } else { "" };
    let mut text = format!("{begun}{} in {}{what}", target(digest, style), within(over));
    let starts = || measured(digest).filter(|row| n == 1 || !is_helper(digest, row));
    let top = |rows: &mut dyn Iterator<Item = &'d Row>| {
        rows.max_by_key(|row| (row.duration, std::cmp::Reverse((row.origin, row.pid))))
    };
    let (first, below) = match top(&mut starts()) {
        Some(row) if n > 1 && is_command(digest, row) => {
            (top(&mut starts().filter(|row| !is_command(digest, row))), " below it")
        }
        // That has been said.
        Some(row) if n == 1 && is_command(digest, row) && !digest.verdict.is_empty() => (None, ""),
        first => (first, ""),
    };
    if let Some(slowest) = first {
        text.push_str(&format!(
            "; slowest{below} {}: {} ({})",
            within(slowest.duration),
            style.fit(digest.text(slowest.label), style.width / 2),
            digest.text(slowest.method),
        ));
    }
    text.push('.');
    say(style, if digest.verdict.is_empty() { Ink::Bold } else { Ink::Plain }, &text, out)?;

    let open = digest.rows.iter().filter(|row| digest.is_unfinished(row)).count() as u64;
    let partial = digest.rows.iter().filter(|row| row.partial).count() as u64;
    let mut notes = Vec::new();
    notes.extend(failures(digest, style));
    if open > 0 {
        notes.push(format!("{} still running when the recording or its window ended", human::count(open)));
    }
    if partial > 0 {
        notes.push(format!("{} under way when the recording began", human::count(partial)));
    }
    if !notes.is_empty() {
        say(style, Ink::Plain, &format!("{}.", notes.join("; ")), out)?;
    }
    failed_forks(digest, style, out)
}

/// A sentence of the verdict as [`headline`] has it, on one line.
pub(crate) fn sentence(text: &str) -> String {
    let shown = label::harmless(text, MAX_SUMMARY);
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What was recorded, as the middle of a sentence.
fn target(digest: &Digest, style: &Style) -> String {
    let under = |text: &str| match style.fit(text, style.width / 2) {
        text if text.is_empty() => text,
        text => format!(" under {text}"),
    };
    let Some(session) = &digest.session else {
        // Not told; but where all starts have one origin, that is it.
        let mut roots = digest.rows.iter().filter(|row| row.parent.is_none());
        let first = roots.next();
        return match first {
            Some(row) if roots.all(|other| other.outside.is_some() && other.outside == row.outside) => {
                let out = row.outside.and_then(|out| digest.outside.get(out as usize));
                match out {
                    Some(out) if digest.rows.iter().filter(|r| r.parent.is_none()).count() > 1 => {
                        under(&format!("{} (pid {})", digest.text(out.comm), out.pid))
                    }
                    _ => under(digest.text(row.label)),
                }
            }
            _ => String::new(),
        };
    };
    let target = &session.target;
    // Of several commands, the target is the first.
    if session.runs.len() > 1 {
        return format!(" of {}", counted(session.runs.len() as u64, "run"));
    }
    match &*session.mode {
        // By the name that it has everywhere else.
        // It is one of them.
        "command" => match command(digest) {
            Some(row) => {
                let below = if digest.rows.len() > 1 { " and below" } else { "" };
                format!(" ({}{below})", style.fit(digest.text(row.label), style.width / 2))
            }
            None => target.argv.as_ref().map(|argv| under(&label::command(None, argv))).unwrap_or_default(),
        },
        "pid" => {
            let pids: Vec<String> = target.pids.iter().flatten().take(8).map(u32::to_string).collect();
            let rest = target.pids.as_ref().map_or(0, Vec::len) > pids.len();
            let rest = if rest { ", …" } else { "" };
            under(&format!("pid {}{rest}", pids.join(", ")))
        }
        _ if !target.selectors.is_empty() => {
            let selectors = target.selectors.iter().take(20).map(String::as_str);
            let selectors = selectors.collect::<Vec<_>>().join(" ");
            under(&label::harmless(&selectors, 80))
        }
        _ => {
            let host = label::harmless(&digest.header.host.hostname, 64);
            format!(" on {}", style.fit(&host, style.width / 2))
        }
    }
}

/// The command itself, by whose name the starts are counted: it lasts as long as the recording.
fn is_command(digest: &Digest, row: &Row) -> bool {
    row.parent.is_none()
        && row.seq == 0
        && row.ready == digest.exit_kind
        && command(digest).is_some_and(|command| std::ptr::eq(command, row))
}

/// The only start of a recorded command that nobody else's is.
fn command(digest: &Digest) -> Option<&Row> {
    let is_first = |row: &&Row| row.parent.is_none() && row.seq == 0;
    let mut roots = digest.rows.iter().filter(is_first);
    let root = roots.next().filter(|_| roots.next().is_none());
    root.filter(|_| digest.session.as_ref().is_none_or(|session| session.mode == "command"))
}

/// Starts whose duration is a start's: seen from the beginning, and to the end.
fn measured(digest: &Digest) -> impl Iterator<Item = &Row> {
    digest.rows.iter().filter(|row| is_measured(digest, row))
}

/// How many failed; of those whose exec did, of what and why, which is the cause.
fn failures(digest: &Digest, style: &Style) -> Option<String> {
    let failed: Vec<&Row> = digest.rows.iter().filter(|row| digest.is_failed(row)).collect();
    let first = failed.first()?;
    let mut errors: Vec<(Sym, u64)> = Vec::new();
    let (mut at_exec, mut told) = (0u64, 0u64);
    for error in failed.iter().filter_map(|row| row.exec_error) {
        at_exec += 1;
        let room = errors.len() < FAILED_EXECS;
        match errors.iter_mut().find(|(other, _)| *other == error) {
            Some((_, n)) => *n += 1,
            None if room => errors.push((error, 1)),
            None => continue,
        }
        told += 1;
    }
    let n = failed.len() as u64;
    let other = failed.iter().find(|row| row.exec_error.is_none());
    let which = |row: &Row| {
        let (end, _) = table::ending(digest, row);
        format!("{} ({end})", style.fit(digest.text(row.label), style.width / 2))
    };
    let mut text = match (n, other) {
        (1, _) => format!("1 failed: {}", which(first)),
        // With what has no cause of its own.
        (_, other) => format!("{} failed, such as {}", human::count(n), which(other.unwrap_or(first))),
    };
    if at_exec == 0 {
        return Some(text);
    }
    let errors: Vec<String> = errors
        .into_iter()
        .map(|(error, n)| match n {
            1 => digest.text(error).to_owned(),
            n => format!("{} {} times", digest.text(error), human::count(n)),
        })
        .collect();
    let whose = match (n, at_exec) {
        (1, _) => "its exec failed".to_owned(),
        (n, all) if n == all => "their execs failed".to_owned(),
        (_, 1) => "the exec of 1 of them failed".to_owned(),
        (_, some) => format!("the execs of {} of them failed", human::count(some)),
    };
    text.push_str(&format!(", {whose}: {}", errors.join(", ")));
    if at_exec > told {
        text.push_str(&format!(" and {}", counted(at_exec - told, "other")));
    }
    Some(text)
}

/// Processes that could not be started at all: nothing if there are none.
fn failed_forks(digest: &Digest, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if digest.failed_forks == 0 {
        return Ok(());
    }
    let mut most = digest.failures.clone();
    most.sort_small_by_key(|failure| std::cmp::Reverse(failure.n));
    most.truncate(FAILURES);
    let mut left = digest.failed_forks;
    let mut parts: Vec<String> = Vec::new();
    for failure in &most {
        left = left.saturating_sub(failure.n);
        let comm = match digest.text(failure.comm) {
            "" => String::new(),
            comm => format!(" ({comm})"),
        };
        let times = match (failure.n, most.len()) {
            (1, _) | (_, 1) => String::new(),
            (n, _) => format!("{} times ", human::count(n)),
        };
        parts.push(format!("{times}{} in pid {}{comm}", digest.text(failure.error), failure.pid));
    }
    if left > 0 {
        parts.push(format!("{} others", human::count(left)));
    }
    let text = format!("{} failed: {}.", counted(digest.failed_forks, "fork"), parts.join(", "));
    say(style, Ink::Red, &text, out)
}
