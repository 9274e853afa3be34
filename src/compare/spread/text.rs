//! `stat` for a terminal.

use super::{CommandStat, Compared, Outlier, Stat};
use crate::compare::comparison::Part;
use crate::compare::gate::{change, p_text};
use crate::compare::stats::Summary;
use crate::report::{Ink, Style, wrap};
use crate::words::{count, counted, duration, percent, ready_by};
use std::io::{self, Write};

/// States, outliers and parts that are shown unless all are asked for.
const MAX_STATES: usize = 8;
const MAX_OUTLIERS: usize = 5;
const MAX_PARTS: usize = 2;
/// From this share of waiting for a CPU on, the times are those of a busy machine.
const BUSY: f64 = 0.1;
/// Width of a number's column.
const COLUMN: usize = 9;

/// Bytes in few digits.
fn bytes(n: u64) -> String {
    match n {
        0..1_024 => format!("{n} B"),
        1_024..1_048_576 => format!("{} KiB", n / 1_024),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", n as f64 / 1_048_576.0),
        _ => format!("{:.2} GiB", n as f64 / 1_073_741_824.0),
    }
}

fn row(name: &str, cells: [String; 5], style: &Style) -> String {
    let width = style.width.saturating_sub(2 + 5 * (COLUMN + 1)).clamp(8, 24);
    let mut line = format!("  {:<width$}", style.fit(name, width));
    for cell in cells {
        line.push_str(&format!(" {cell:>COLUMN$}"));
    }
    style.fit(&line, style.width)
}

fn numbers(summary: &Summary, of: &dyn Fn(u64) -> String) -> [String; 5] {
    [summary.median_ns, summary.spread_ns, summary.min_ns, summary.p90_ns, summary.max_ns].map(of)
}

/// Writes it. With `all`, nothing is left out for brevity.
///
/// # Errors
/// `out` cannot be written.
pub fn text(stat: &Stat, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let say = |text: &str, first: &str, indent: &str, ink: Ink, out: &mut dyn Write| -> io::Result<()> {
        for line in wrap(style, text, first, indent) {
            writeln!(out, "{}", style.paint(ink, &line))?;
        }
        Ok(())
    };
    if let Some(trace) = stat.trace.as_ref().filter(|trace| !trace.complete) {
        let text = format!("INCOMPLETE: {}: something was lost, see session.lost", trace.name);
        say(&text, "", "  ", Ink::Red, out)?;
    }
    for (place, command) in stat.commands.iter().enumerate() {
        if place > 0 {
            writeln!(out)?;
        }
        say(&headline(command), "", "  ", Ink::Bold, out)?;
        if let Some(text) = busy(command) {
            say(&text, "  busy: ", "    ", Ink::Yellow, out)?;
        }
        table(command, all, style, out)?;
        let most = if all { usize::MAX } else { MAX_OUTLIERS };
        for outlier in command.outliers.iter().take(most) {
            say(&far_off(outlier), "  far off: ", "    ", Ink::Yellow, out)?;
        }
        if command.outliers.len() > most {
            let rest = counted((command.outliers.len() - most) as u64, "more run");
            say(&format!("... and {rest} far off (use --all)"), "  ", "    ", Ink::Dim, out)?;
        }
        if stat.warmup == 0 && command.outliers.first().is_some_and(is_cold) {
            say(
                "the first run was slow, as caches were cold: --warmup 1 leaves it out",
                "  ",
                "    ",
                Ink::Dim,
                out,
            )?;
        }
    }
    if !stat.compared.is_empty() {
        writeln!(out)?;
    }
    for pair in &stat.compared {
        say(&compared(pair), "", "  ", Ink::Bold, out)?;
        for (name, parts) in [("phases", &pair.phases), ("path", &pair.path)] {
            let whole = pair.shift.map_or(0, |shift| shift.estimate_ns.unsigned_abs());
            let text = told(parts, whole / 20, 4);
            if !text.is_empty() {
                say(&text, &format!("  {name:<9} "), "            ", Ink::Plain, out)?;
            }
        }
    }
    Ok(())
}

/// `app: ready after 1.20 s (median of 20 runs), 43 processes, 12.3 MiB`.
fn headline(command: &CommandStat) -> String {
    let mut text = format!("{}: ", command.name);
    match &command.time {
        Some(time) => {
            let of = command.runs - command.unfinished;
            let exits = command.ready.len() == 1 && command.ready.contains_key("exit");
            let what = if exits { "" } else { "ready after " };
            text.push_str(&format!(
                "{what}{}, the median of {}",
                duration(time.median_ns),
                counted(of, "run")
            ));
        }
        None => text.push_str("no run was finished"),
    }
    if !command.ready.is_empty() {
        let kinds = command.ready.iter().map(|(kind, runs)| {
            let inferred = command.ready_inferred.get(kind).copied().unwrap_or(0);
            match inferred {
                0 => kind.clone(),
                all if all == *runs => ready_by(kind, true),
                some => format!("{}: {} of {}", ready_by(kind, true), count(some), counted(*runs, "run")),
            }
        });
        let between = if command.ready_inferred.is_empty() { ", " } else { "; " };
        text.push_str(&format!(" (until: {})", kinds.collect::<Vec<_>>().join(between)));
    }
    if let Some(processes) = command.processes.filter(|processes| processes.max_ns > 1) {
        text.push_str(&format!(", {} processes", count(processes.median_ns)));
    }
    if let Some(pss) = &command.pss_bytes {
        text.push_str(&format!(", {}", bytes(pss.median_ns)));
    }
    if command.unfinished > 0 {
        text.push_str(&format!("; {} more never finished", count(command.unfinished)));
    }
    if command.failed > 0 {
        text.push_str(&format!("; {} failed", count(command.failed)));
    }
    text
}

/// Times that say as much about what else ran as about the command.
fn busy(command: &CommandStat) -> Option<String> {
    let share = command.waited_share.filter(|share| *share >= BUSY)?;
    let alone = command.processes.is_some_and(|processes| processes.max_ns <= 1);
    let who = if alone { "other programs" } else { "other programs, or its own processes among themselves," };
    // As of a million: the same words as everywhere.
    let share = percent((share * 1e6) as u64, 1_000_000);
    Some(format!(
        "it waited for a CPU for {share} of its time, which {who} had; on an idle machine these times are shorter"
    ))
}

fn table(command: &CommandStat, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let Some(time) = &command.time else { return Ok(()) };
    let heading = ["MEDIAN", "SPREAD", "MIN", "P90", "MAX"].map(str::to_owned);
    writeln!(out, "{}", style.paint(Ink::Dim, &row("", heading, style)))?;
    let line = |name: &str, summary: &Summary, out: &mut dyn Write| {
        writeln!(out, "{}", row(name, numbers(summary, &duration), style))
    };
    line("time", time, out)?;
    if let Some(makespan) = command.makespan.filter(|makespan| makespan.median_ns > time.median_ns) {
        line("makespan", &makespan, out)?;
    }
    for phase in &command.phases {
        line(&format!("  {}", phase.name), &phase.time, out)?;
    }
    if let Some(daemon) = &command.daemon {
        line("  then its daemon", daemon, out)?;
    }
    let shown = |ns: u64| all || ns >= time.median_ns / 1000;
    let states: Vec<_> = command.path.iter().filter(|state| shown(state.time.p90_ns)).collect();
    if !states.is_empty() {
        writeln!(out, "{}", style.fit("  critical path", style.width))?;
    }
    for state in states.iter().take(if all { usize::MAX } else { MAX_STATES }) {
        line(&format!("  {}", state.name), &state.time, out)?;
    }
    if let Some(pss) = &command.pss_bytes {
        writeln!(out, "{}", row("memory (PSS)", numbers(pss, &bytes), style))?;
    }
    if let Some(processes) = command.processes.filter(|processes| processes.min_ns != processes.max_ns) {
        writeln!(out, "{}", row("processes", numbers(&processes, &count), style))?;
    }
    Ok(())
}

/// `disk +12.0 ms (1.00 ms -> 13.0 ms)`, of those that are at least so large.
fn told(parts: &[Part], least: u64, most: usize) -> String {
    let parts = parts.iter().filter(|part| part.shift_ns != 0 && part.shift_ns.unsigned_abs() >= least);
    let told = parts.take(most).map(|part| {
        let (from, to) = (duration(part.base_ns), duration(part.new_ns));
        format!("{} {} ({from} -> {to})", part.name, change(part.shift_ns, None))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// A first run that was slow for what storage took: that the next ones find in memory.
fn is_cold(outlier: &Outlier) -> bool {
    let storage = outlier.path.iter().filter(|part| matches!(part.name.as_str(), "disk" | "page_fault"));
    let more = storage.fold(0i64, |sum, part| sum.saturating_add(part.shift_ns));
    outlier.run == 1 && outlier.off_by_ns > 0 && more >= outlier.off_by_ns / 2
}

fn far_off(outlier: &Outlier) -> String {
    let least = outlier.off_by_ns.unsigned_abs() / 10;
    let (phases, path) = (told(&outlier.phases, least, MAX_PARTS), told(&outlier.path, least, MAX_PARTS));
    let mut text =
        format!("run {}, {} ({})", outlier.run, duration(outlier.time_ns), change(outlier.off_by_ns, None));
    if !path.is_empty() {
        text.push_str(&format!(": {path}"));
    }
    if !phases.is_empty() {
        text.push_str(&format!("; in {phases}"));
    }
    text
}

fn compared(pair: &Compared) -> String {
    let Some(shift) = pair.shift else {
        return format!("{} and {}: nothing to compare", pair.base, pair.new);
    };
    let by = change(shift.estimate_ns, pair.shift_percent);
    let mut text = format!("{} against {}: {by}", pair.new, pair.base);
    if let Some((low, high)) = shift.interval_ns {
        text.push_str(&format!(" (between {} and {})", change(low, None), change(high, None)));
    }
    match pair.p {
        Some(p) if p <= 0.05 => text.push_str(&format!(", p {}", p_text(p))),
        Some(p) => text.push_str(&format!(", which may be chance (p {})", p_text(p))),
        None => text.push_str(", which may be chance: 4 runs of each are the least that can tell"),
    }
    text
}
