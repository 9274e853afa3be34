//! The parts of a report around the tree: headline, totals, slowest starts, pools, what was lost.

use super::digest::{Digest, Row};
use super::style::{Ink, NO_BREAK, Style, columns, unbroken, wrap};
use super::{View, phase, table};
use crate::hash::{HashMap, HashSet};
use crate::sort::SortSmall;
use crate::trace::schema::{Basis, Group, Joined, Session, Severity};
use crate::words::human::{self, counted, duration};
use crate::words::intern::Sym;
use crate::words::label;
use std::io::{self, Write};

/// Rows of the totals, of the pools and of the counters.
const MAX_ROWS: usize = 20;
/// Slowest starts.
const SLOWEST: usize = 5;
/// Findings.
const FINDINGS: usize = 6;
/// Failed execs that are named beside who failed.
const FAILED_EXECS: usize = 2;
/// Characters of a finding's sentences.
const MAX_SUMMARY: usize = 400;
/// Processes whose failed forks are named.
const FAILURES: usize = 4;

/// Lines in one colour, none wider than the output.
fn say(style: &Style, ink: Ink, text: &str, out: &mut dyn Write) -> io::Result<()> {
    for line in wrap(style, text, "", "  ") {
        writeln!(out, "{}", style.paint(ink, &line))?;
    }
    Ok(())
}

fn heading(style: &Style, text: &str, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    writeln!(out, "{}", style.paint(Ink::Bold, &style.fit(text, style.width)))
}

fn more(hidden: usize, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if hidden > 0 {
        let text = format!("  … and {} more (use --all)", human::count(hidden as u64));
        writeln!(out, "{}", style.fit(&text, style.width))?;
    }
    Ok(())
}

/// A duration within a sentence.
fn within(ns: u64) -> String {
    duration(ns).replace(' ', NO_BREAK.encode_utf8(&mut [0; 4]))
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

/// Helpers that last as long as what they help: no start that anybody waits for.
fn is_helper(digest: &Digest, row: &Row) -> bool {
    let method = digest.text(row.method);
    row.ready == digest.exit_kind
        && (method.ends_with(".resource_tracker") || method.ends_with(".forkserver.server"))
}

/// Starts whose duration is a start's: seen from the beginning, and to the end.
fn measured(digest: &Digest) -> impl Iterator<Item = &Row> {
    digest.rows.iter().filter(|row| is_measured(digest, row))
}

fn is_measured(digest: &Digest, row: &Row) -> bool {
    !row.partial && !digest.is_unfinished(row)
}

/// A sentence of the verdict as [`headline`] has it, on one line.
pub(crate) fn sentence(text: &str) -> String {
    let shown = label::harmless(text, MAX_SUMMARY);
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

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

/// What makes it slow, and what would help: the dearest first.
pub(crate) fn findings(digest: &Digest, view: View, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let all = view.all;
    let found = &digest.diagnosis.findings;
    let told: Vec<&Joined> = found.iter().filter(|joined| all || joined.is_told()).collect();
    if !told.is_empty() {
        let of = match (digest.picked_of, digest.found_of_picked) {
            (None, _) => "",
            (Some(_), true) => " those that were picked",
            (Some(_), false) => ": what was found of all starts, where it concerns those that were picked",
        };
        heading(style, &format!("What would help{of}"), out)?;
    }
    let most = view.top.unwrap_or(if all { usize::MAX } else { FINDINGS });
    let shown = told.len().min(most);
    for joined in told.iter().take(shown) {
        let (saves, basis) = match (joined.saves_ns, joined.basis) {
            (Some(0), _) => ("nothing".to_owned(), " (no one waits for it)"),
            (Some(ns), Some(Basis::Scaled)) => (duration(ns), " (calculated)"),
            (Some(ns), _) => (duration(ns), ""),
            (None, _) => ("-".to_owned(), ""),
        };
        let id = label::harmless(&joined.id, 40);
        let ink = match joined.severity {
            Severity::Critical => Ink::Red,
            Severity::Warning => Ink::Yellow,
            Severity::Info => Ink::Plain,
        };
        let first = format!("{saves:>9}  ");
        let summary = unbroken(&label::harmless(&joined.summary, MAX_SUMMARY));
        // What was cut ends in dots of its own.
        let dot = |text: &str| if text.ends_with('…') { "" } else { "." };
        let text = format!("{id}{basis}: {summary}{}", dot(&summary));
        let lines = wrap(style, &text, &first, "           ");
        for (n, line) in lines.iter().enumerate() {
            writeln!(out, "{}", if n == 0 { style.paint(ink, line) } else { line.clone() })?;
        }
        let advice = unbroken(&label::harmless(&joined.advice, MAX_SUMMARY));
        let mut advice = format!("-> {advice}{}", dot(&advice));
        let others: Vec<String> = joined.overlaps.iter().take(4).map(|id| label::harmless(id, 40)).collect();
        if !others.is_empty() {
            let others = others.join(", ");
            advice.push_str(&match joined.explained {
                true => format!(" Shares time with {others}: most of it is explained there."),
                false => format!(" Shares time with {others}."),
            });
        }
        for line in wrap(style, &advice, "           ", "           ") {
            writeln!(out, "{line}")?;
        }
    }
    more(told.len() - shown, style, out)?;
    not_examined(digest, style, all, out)
}

/// What this recording cannot tell of, whatever happened.
fn not_examined(digest: &Digest, style: &Style, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let unseen = digest.session.iter().flat_map(|session| session.not_observed.iter().flatten());
    let unseen: Vec<&str> = unseen
        .map(|what| match &**what {
            "failed_forks" => "forks that fail",
            "failed_execs" => "execs that fail",
            "failed_exec_errors" => "why execs fail",
            "entry_times" => "entry into fork and exec",
            other => other,
        })
        .collect();
    let missing = &digest.diagnosis.not_examined;
    if !unseen.is_empty() {
        // Of one alone: only `why execs fail` and `entry into fork and exec` are one thing.
        let one = unseen.len() == 1 && !unseen.iter().any(|what| what.ends_with("that fail"));
        let them = if one { "it" } else { "them" };
        let text = format!("Not observed: {}; record --syscall-hooks sees {them}.", unseen.join(", "));
        writeln!(out)?;
        say(style, Ink::Dim, &label::harmless(&text, 400), out)?;
    } else if !missing.is_empty() {
        writeln!(out)?;
    }
    if missing.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = missing.iter().map(|missing| label::harmless(&missing.finding, 40)).collect();
    let text = if all {
        let each = missing
            .iter()
            .zip(&ids)
            .map(|(missing, id)| format!("{id} (needs {})", label::harmless(&missing.needs, 100)));
        format!("Not examined: {}.", each.collect::<Vec<_>>().join("; "))
    } else {
        format!("Not examined: {}; --all says what they need.", counted(ids.len() as u64, "finding"))
    };
    say(style, Ink::Dim, &text, out)
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

/// One line per method.
pub(crate) fn totals(digest: &Digest, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut by_method: HashMap<Sym, (Vec<u64>, u64)> = HashMap::default();
    for row in digest.rows.iter().filter(|row| !row.partial) {
        let (durations, running) = by_method.entry(row.method).or_default();
        // How long a start lasts that has not ended is not known.
        if digest.is_unfinished(row) {
            *running += 1;
        } else {
            durations.push(row.duration);
        }
    }
    let mut totals: Vec<_> = by_method
        .into_iter()
        .map(|(method, (mut durations, running))| {
            let sum = durations.iter().fold(0u64, |sum, &d| sum.saturating_add(d));
            let max = durations.iter().copied().max();
            let n = durations.len() as u64 + running;
            (sum, method, n, running, max.map(|max| (human::median(&mut durations), max)))
        })
        .collect();
    if totals.is_empty() {
        return Ok(());
    }
    totals.sort_small_by_key(|t| (std::cmp::Reverse((t.0, t.2)), t.1));
    let shown = if all { totals.len() } else { totals.len().min(MAX_ROWS) };
    let rows = totals.get(..shown).unwrap_or(&[]);
    let names = rows.iter().map(|t| columns(&style.text(digest.text(t.1))));
    let width = names.max().unwrap_or(0).clamp(6, style.width.saturating_sub(54).max(6));
    let any_running = rows.iter().any(|t| t.3 > 0);
    let column = |text: &str| {
        if any_running { format!(" {text:>9}") } else { String::new() }
    };
    heading(style, "By method", out)?;
    let head =
        format!("  {:width$} {:>9}{} {:>9} {:>9} {:>9}", "", "n", column("running"), "p50", "max", "sum");
    writeln!(out, "{}", style.paint(Ink::Dim, &style.fit(&head, style.width)))?;
    for (sum, method, n, running, ended) in rows {
        let name = style.fit_end(digest.text(*method), width);
        let blank = width.saturating_sub(columns(&name));
        let times = ended.map_or([const { String::new() }; 3], |(p50, max)| {
            [duration(p50), duration(max), duration(*sum)]
        });
        let [p50, max, sum] = &times;
        let numbers = format!(
            " {:>9}{} {p50:>9} {max:>9} {sum:>9}",
            human::count(*n),
            column(&human::count(*running)),
        );
        let numbers = numbers.trim_end();
        let numbers = style.fit(numbers, style.width.saturating_sub(width + 2));
        writeln!(out, "  {}{}{numbers}", style.paint(Ink::Cyan, &name), " ".repeat(blank))?;
    }
    more(totals.len() - shown, style, out)
}

/// The slowest start of each kind, with its phases.
pub(crate) fn slowest(digest: &Digest, view: View, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let all = view.all;
    let mut kinds: HashMap<(Sym, u64), (&Row, u64, usize)> = HashMap::default();
    let counts =
        |row: &Row| is_measured(digest, row) && (all || digest.rows.len() == 1 || !is_helper(digest, row));
    for (at, row) in digest.rows.iter().enumerate().filter(|(_, row)| counts(row)) {
        let (slowest, n, place) = kinds.entry((row.method, row.shape)).or_insert((row, 0, at));
        *n += 1;
        if row.duration > slowest.duration {
            (*slowest, *place) = (row, at);
        }
    }
    let mut kinds: Vec<(&Row, u64, usize)> = kinds.into_values().collect();
    kinds.sort_small_by_key(|(row, ..)| (std::cmp::Reverse(row.duration), row.origin, row.pid));
    let limit = view.top.unwrap_or(if all { 4 * SLOWEST } else { SLOWEST });
    if kinds.is_empty() {
        return Ok(());
    }
    heading(style, "Slowest", out)?;
    for (row, n, at) in kinds.iter().take(limit) {
        let time = format!("{:>9}  ", duration(row.duration));
        let mut after = format!("  {}  pid {}", digest.text(row.method), row.pid);
        if *n > 1 {
            after.push_str(&format!("  1 of {}", human::count(*n)));
        }
        let (end, _) = table::ending(digest, row);
        if !end.is_empty() {
            after.push_str(&format!("  {end}"));
        }
        let after = style.text(&after).into_owned();
        let room = style.width.saturating_sub(columns(&time) + columns(&after));
        let command = style.fit(digest.text(row.label), room.max(8));
        let line = style.fit(&format!("{time}{command}{after}"), style.width);
        writeln!(out, "{line}")?;
        let split = split(digest, row, style.width.saturating_sub(11));
        let split = format!("           {split}");
        writeln!(out, "{}", style.paint(Ink::Dim, &style.fit(split.trim_end(), style.width)))?;
        let Some((sentences, states)) = digest.told(*at, all) else { continue };
        for sentence in sentences {
            for line in wrap(style, &sentence, "           ", "             ") {
                writeln!(out, "{line}")?;
            }
        }
        for line in states.iter().flat_map(|text| wrap(style, text, "           ", "             ")) {
            writeln!(out, "{}", style.paint(Ink::Dim, &line))?;
        }
    }
    Ok(())
}

/// A start's phases by length, the shortest in one sum where the line is short: half a number is none.
fn split(digest: &Digest, row: &Row, width: usize) -> String {
    let mut sums = [0u64; phase::COUNT];
    for span in digest.spans(row) {
        if let Some(sum) = sums.get_mut(usize::from(span.class())) {
            *sum = sum.saturating_add(span.length());
        }
    }
    let mut parts: Vec<(u64, u8)> = sums.iter().copied().zip(0u8..).collect();
    let total = sums.iter().fold(0u64, |total, &sum| total.saturating_add(sum));
    // What is under a percent stands in one sum.
    parts.retain(|(sum, _)| *sum > 0 && u128::from(*sum) * 100 >= u128::from(total));
    parts.sort_small_by_key(|(sum, _)| std::cmp::Reverse(*sum));
    loop {
        let rest = parts.iter().fold(total, |rest, (sum, _)| rest.saturating_sub(*sum));
        let named = parts.iter().map(|&(sum, class)| {
            let share = human::percent(sum, row.duration);
            format!("{} {} ({share})", phase::get(class).name, duration(sum))
        });
        let mut told: Vec<String> = named.collect();
        if rest > 0 {
            told.push(format!("rest {}", duration(rest)));
        }
        if row.failed_execs > 0 {
            told.push(counted(u64::from(row.failed_execs), "failed exec"));
        }
        let told = told.join(", ");
        if columns(&told) <= width || parts.len() < 2 {
            return told;
        }
        parts.pop();
    }
}

/// Starts that belong together.
pub(crate) fn pools(digest: &Digest, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if digest.groups.is_empty() {
        return Ok(());
    }
    heading(style, "Pools", out)?;
    let shown = if all { digest.groups.len() } else { digest.groups.len().min(MAX_ROWS) };
    // As the verdict says it.
    let ends = |row: &&Row| row.ready == digest.exit_kind || digest.is_unfinished(row);
    let ready: HashSet<Sym> = digest.rows.iter().filter(|row| !ends(row)).map(|row| row.method).collect();
    let ready: HashSet<&str> = ready.into_iter().map(|method| digest.text(method)).collect();
    for group in digest.groups.iter().take(shown) {
        let id = group.parent.as_deref().or(group.parent_id.as_deref());
        let of = id
            .and_then(|id| id.split('@').next())
            .map(|pid| format!(" of pid {}", label::harmless(pid, 10)))
            .unwrap_or_default();
        let text = format!(
            "{} × {}{of}: {}",
            human::count(group.n),
            label::harmless(&group.method, 60),
            times(group, if ready.contains(&*group.method) { "ready" } else { "done" })
        );
        for line in wrap(style, &text, "  ", "    ") {
            writeln!(out, "{line}")?;
        }
    }
    more(digest.groups.len() - shown, style, out)
}

/// What is known of a pool's times: nothing of those that had not ended.
fn times(group: &Group, done: &str) -> String {
    let who = match group.unfinished {
        0 => format!("all {done}"),
        n if n >= group.n => return "all still running at the end".to_owned(),
        n => format!("{} still running at the end; the others {done}", human::count(n)),
    };
    let mut parts = Vec::new();
    if let Some(span) = group.makespan_ns {
        parts.push(format!("{who} in {}", within(span)));
    }
    if let (Some(p50), Some(max)) = (group.p50_ns, group.max_ns) {
        parts.push(format!("one takes {} (p50), {} (max)", within(p50), within(max)));
    }
    // A file can hold any number; only a sane one is a ratio.
    if let Some(ratio) = group.parallelism.filter(|ratio| ratio.is_finite() && (0.0..1e9).contains(ratio)) {
        parts.push(format!("{ratio:.1} at a time"));
    }
    parts.join("; ")
}

/// Nothing if nothing was lost.
pub(crate) fn lost(digest: &Digest, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if let Some(session) = &digest.session
        && (!session.complete || session.lost.values().any(|&n| n > 0))
    {
        lost_of(session, all, style, out)?;
    }
    if digest.unknown_lines > 0 {
        writeln!(out)?;
        let text = format!(
            "{} of a type that this version does not know: passed over.",
            counted(digest.unknown_lines, "line")
        );
        say(style, Ink::Plain, &text, out)?;
    }
    Ok(())
}

fn lost_of(session: &Session, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    let counters: Vec<_> = session.lost.iter().filter(|(_, n)| **n > 0).collect();
    let ended = label::harmless(&session.ended_by, 60);
    let text = if counters.is_empty() {
        format!("This trace is incomplete: cut short (ended by {ended}).")
    } else {
        "This trace is incomplete. Lost:".into()
    };
    say(style, Ink::Red, &text, out)?;
    let shown = if all { counters.len() } else { counters.len().min(MAX_ROWS) };
    for (name, n) in counters.iter().take(shown) {
        let text = format!("{:>9}  {}", human::count(**n), label::harmless(name, 60));
        writeln!(out, "{}", style.fit(&text, style.width))?;
    }
    more(counters.len() - shown, style, out)
}
