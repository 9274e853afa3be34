//! A comparison for a terminal or a log.

use super::comparison::{Change, Comparison, Kind, Pair, Part, SideNote, Unit, Verdict, plain};
use super::gate::{Outcome, change, p_text};
use crate::report::{Ink, Style, wrap};
use crate::words::{count, counted, duration};
use std::io::{self, Write};

/// Pairs, new and vanished kinds that are shown unless all are asked for.
const MAX_SHOWN: usize = 12;
/// Phases and states of one pair.
const MAX_PARTS: usize = 4;

/// Longest label within a sentence.
const SHORT: usize = 40;

/// What a comparison shows, unless all is asked for.
pub(crate) struct Shown<'c> {
    /// With their numbers.
    pub(crate) pairs: Vec<&'c Pair>,
    /// Only what else changed.
    pub(crate) changed: Vec<&'c Pair>,
    /// Not at all.
    pub(crate) same: usize,
}

impl<'c> Shown<'c> {
    /// Roots, what is slower or faster and matters to a run, and what may be and would matter more. Else
    /// the noise of all that a shell starts would hide them.
    pub(crate) fn of(comparison: &'c Comparison, all: bool) -> Self {
        let roots = comparison.pairs.iter().filter(|pair| pair.is_root());
        let run: f64 = roots.map(|pair| median(&pair.base) as f64 * pair.base.tally.per_run).sum();
        let mut shown = Self { pairs: Vec::new(), changed: Vec::new(), same: 0 };
        for pair in &comparison.pairs {
            let share = pair.contribution_ns.unsigned_abs() as f64 / run.max(1.0);
            let matters = match pair.verdict {
                _ if all || pair.is_root() => true,
                Verdict::Slower | Verdict::Faster => share >= 0.01,
                Verdict::Unclear | Verdict::TooFew => share >= 0.05,
                Verdict::Same => false,
            };
            if matters {
                shown.pairs.push(pair);
            } else if !pair.changes.is_empty() {
                shown.changed.push(pair);
            } else {
                shown.same += 1;
            }
        }
        shown
    }
}

fn median(kind: &Kind) -> u64 {
    kind.tally.duration.map_or(0, |duration| duration.median_ns)
}

/// A label, or another value, within a sentence.
pub(crate) fn short(text: &str) -> String {
    match text.char_indices().nth(SHORT) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text).trim_end()),
        None => text.to_owned(),
    }
}

/// `method: fork_exec -> posix_spawn`.
pub(crate) fn told(change: &Change) -> String {
    format!("{}: {} -> {}", change.what, short(&change.base), short(&change.new))
}

/// In one word.
pub(crate) fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Slower => "SLOWER",
        Verdict::Faster => "FASTER",
        Verdict::Same => "SAME",
        Verdict::Unclear => "UNCLEAR",
        Verdict::TooFew => "TOO FEW",
    }
}

fn ink(verdict: Verdict) -> Ink {
    match verdict {
        Verdict::Slower => Ink::Red,
        Verdict::Faster => Ink::Green,
        Verdict::Unclear | Verdict::TooFew => Ink::Yellow,
        Verdict::Same => Ink::Plain,
    }
}

/// `20 runs, 60 starts: base-1.json, base-2.json and 18 more`.
pub(crate) fn side(note: &SideNote) -> String {
    let mut names: Vec<&str> = note.traces.iter().take(2).map(|trace| &*trace.name).collect();
    let rest = note.traces.len().saturating_sub(names.len());
    let rest = format!("{rest} more");
    if note.traces.len() > names.len() {
        names.push(&rest);
    }
    let names = match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, before)) => format!("{} and {last}", before.join(", ")),
        None => "nothing".to_owned(),
    };
    format!("{names}: {}, {}", counted(note.runs, "run"), counted(note.starts, "start"))
}

/// From when to when, and how sure that is.
pub(crate) fn numbers(pair: &Pair, alpha: f64) -> String {
    let (Some(base), Some(new), Some(shift)) =
        (pair.base.tally.duration, pair.new.tally.duration, pair.shift)
    else {
        return "no finished start on one side".to_owned();
    };
    // The medians' difference is another number: the shift is the middle one of all differences between a sample of NEW and
    // one of BASE.
    let (medians, what) = if base.n > 1 || new.n > 1 { (" (medians)", "shift ") } else { ("", "") };
    let mut text = format!(
        "{} -> {}{medians}, {what}{}",
        duration(base.median_ns),
        duration(new.median_ns),
        change(shift.estimate_ns, pair.shift_percent)
    );
    if let Some((low, high)) = shift.interval_ns {
        let (low, high) = (change(low, None), change(high, None));
        text.push_str(&format!(" ({:.0} %: {low} to {high})", (1.0 - alpha) * 100.0));
    }
    let unit = match pair.unit {
        Unit::Run => "runs",
        Unit::Start => "starts",
    };
    match pair.p {
        Some(p) => text.push_str(&format!(
            "; p {}, {} and {} {unit}",
            p_text(pair.p_adjusted.unwrap_or(p)),
            base.n,
            new.n
        )),
        None if base.n == 1 && new.n == 1 => text.push_str("; one start each: that may be chance"),
        None => text.push_str(&format!("; {} and {} {unit}: that may be chance", base.n, new.n)),
    }
    text
}

/// The parts that moved most; a part that is not told moved by less than a fiftieth of the whole.
pub(crate) fn parts(pair: &Pair, parts: &[Part], alpha: f64) -> String {
    let whole = pair.base.tally.duration.map_or(0, |d| d.median_ns);
    let least = (whole / 50).max(1_000);
    let moved = parts.iter().filter(|part| part.shift_ns.unsigned_abs() >= least).take(MAX_PARTS);
    let told = moved.map(|part| {
        let chance = if pair.p.is_some() && part.p > alpha { ", may be chance" } else { "" };
        let (from, to) = (duration(part.base_ns), duration(part.new_ns));
        format!("{} {} ({from} -> {to}{chance})", part.name, change(part.shift_ns, None))
    });
    told.collect::<Vec<_>>().join(", ")
}

/// What is not known of some of the starts.
pub(crate) fn left_out(kind: &Kind) -> Option<String> {
    let tally = &kind.tally;
    let of = [(tally.unfinished, "not finished"), (tally.partial, "begun before the recording")];
    let told: Vec<String> =
        of.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    (!told.is_empty()).then(|| format!("{} of {}", told.join(", "), tally.starts))
}

/// `8 in a run, 12.3 ms (median); started by sh -c ...`.
pub(crate) fn alone(kind: &Kind) -> String {
    let mut text = format!("{}, {} in a run", kind.method, plain(kind.tally.per_run));
    if let Some(duration_of) = kind.tally.duration {
        text.push_str(&format!(", {}", duration(duration_of.median_ns)));
        if kind.tally.starts > 1 {
            text.push_str(" (median)");
        }
    }
    if let Some(ns) = kind.tally.on_path_ns.filter(|ns| *ns > 0) {
        text.push_str(&format!(", {} of the critical path", duration(ns)));
    }
    if let Some(parent) = &kind.parent {
        text.push_str(&format!("; started by {}", short(parent)));
    }
    text
}

fn say(
    style: &Style,
    ink: Ink,
    text: &str,
    first: &str,
    indent: &str,
    out: &mut dyn Write,
) -> io::Result<()> {
    for line in wrap(style, text, first, indent) {
        writeln!(out, "{}", style.paint(ink, &line))?;
    }
    Ok(())
}

/// What the whole amounts to, in a sentence for each root.
pub(crate) fn verdicts(comparison: &Comparison) -> Vec<(Verdict, String)> {
    let roots = comparison.pairs.iter().filter(|pair| pair.is_root()).take(4);
    roots
        .map(|pair| {
            let what = match pair.verdict {
                Verdict::Slower => "NEW is slower",
                Verdict::Faster => "NEW is faster",
                Verdict::Same => "no difference that matters",
                Verdict::Unclear => "that may be chance",
                Verdict::TooFew => "too few samples to tell",
            };
            let by = match pair.shift {
                Some(shift) => change(shift.estimate_ns, pair.shift_percent),
                None => "nothing to compare".to_owned(),
            };
            (pair.verdict, format!("{}: {by}, {what}", short(&pair.new.label)))
        })
        .collect()
}

/// Writes a comparison. With `all`, nothing is left out for brevity.
///
/// # Errors
/// `out` cannot be written.
pub fn text(comparison: &Comparison, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    for (verdict, text) in verdicts(comparison) {
        say(style, ink(verdict), &text, "", "  ", out)?;
    }
    say(style, Ink::Plain, &side(&comparison.base), "BASE  ", "      ", out)?;
    say(style, Ink::Plain, &side(&comparison.new), "NEW   ", "      ", out)?;
    for warning in &comparison.warnings {
        say(style, Ink::Yellow, warning, "note: ", "      ", out)?;
    }
    let shown = Shown::of(comparison, all);
    let most = if all { usize::MAX } else { MAX_SHOWN };
    for pair in shown.pairs.iter().take(most) {
        writeln!(out)?;
        one(pair, comparison.alpha, style, out)?;
    }
    more(shown.pairs.len(), most, "kind of start that changed", style, out)?;
    if !shown.changed.is_empty() {
        writeln!(out)?;
        writeln!(out, "{}", style.paint(Ink::Bold, "ALSO CHANGED"))?;
    }
    for pair in shown.changed.iter().take(most) {
        let changes: Vec<String> = pair.changes.iter().map(told).collect();
        let text = format!("{}: {}", short(&pair.new.label), changes.join("; "));
        say(style, Ink::Plain, &text, "  ", "    ", out)?;
    }
    more(shown.changed.len(), most, "kind of start", style, out)?;
    alone_section(&comparison.appeared, "NEW PROCESSES", most, style, out)?;
    alone_section(&comparison.vanished, "VANISHED PROCESSES", most, style, out)?;
    if shown.same > 0 {
        writeln!(out)?;
        let kinds = match shown.same {
            1 => "1 other kind of start".to_owned(),
            n => format!("{} other kinds of start", count(n as u64)),
        };
        say(style, Ink::Dim, &format!("{kinds} without a change that matters (use --all)"), "", "  ", out)?;
    }
    let Some(gate) = &comparison.gate else { return Ok(()) };
    writeln!(out)?;
    let (ink, text) = match gate.outcome {
        Outcome::Passed => (Ink::Green, format!("PASSED: nothing is slower by more than {}", gate.limit)),
        Outcome::TooFew => (
            Ink::Yellow,
            format!("TOO FEW SAMPLES to say that nothing is slower by more than {}", gate.limit),
        ),
        Outcome::Slower => (Ink::Red, format!("FAILED: slower by more than {}", gate.limit)),
    };
    say(style, ink, &text, "", "  ", out)?;
    for reason in &gate.reasons {
        say(style, Ink::Plain, reason, "  ", "    ", out)?;
    }
    Ok(())
}

fn one(pair: &Pair, alpha: f64, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let first = format!("{:<8}", word(pair.verdict));
    say(style, ink(pair.verdict), &pair.new.label, &first, "        ", out)?;
    let mut line = |name: &str, text: &str| {
        if text.is_empty() {
            return Ok(());
        }
        say(style, Ink::Plain, text, &format!("  {name:<9} "), "            ", out)
    };
    line("time", &numbers(pair, alpha))?;
    line("phases", &parts(pair, &pair.phases, alpha))?;
    line("path", &parts(pair, &pair.path, alpha))?;
    for change in &pair.changes {
        line("changed", &told(change))?;
    }
    for (called, kind) in [("BASE", &pair.base), ("NEW", &pair.new)] {
        if let Some(text) = left_out(kind) {
            line("left out", &format!("{called}: {text}"))?;
        }
    }
    Ok(())
}

fn alone_section(
    kinds: &[Kind],
    heading: &str,
    most: usize,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    if kinds.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    writeln!(out, "{}", style.paint(Ink::Bold, heading))?;
    for kind in kinds.iter().take(most) {
        writeln!(out, "{}", style.fit(&format!("  {}", kind.label), style.width))?;
        say(style, Ink::Dim, &alone(kind), "    ", "    ", out)?;
    }
    more(kinds.len(), most, "kind", style, out)
}

fn more(all: usize, most: usize, what: &str, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if all <= most {
        return Ok(());
    }
    let rest = count((all - most) as u64);
    let (one, others) = what.split_once(' ').unwrap_or((what, ""));
    let s = if all - most == 1 { "" } else { "s" };
    let text = format!("... and {rest} more {one}{s} {others}");
    say(style, Ink::Dim, &format!("{} (use --all)", text.trim_end()), "  ", "    ", out)
}
