//! Draws the tree: a line per start with its command, method, process id, duration and waterfall.

use super::digest::{Digest, End, Row};
use super::phase;
use super::style::{Ink, Style, columns};
use super::tree::{Line, Who};
use super::waterfall::{self, Scale};
use crate::hash::HashSet;
use crate::words::{human, label};
use std::io::{self, Write};

/// No more columns than this for the tree's lines at the left.
const MAX_LEVELS_SHOWN: usize = 8;
/// A command keeps at least this many columns; the method's name gives way.
const MIN_COMMAND: usize = 10;

/// How a start ended takes at most this many.
const MAX_ENDING: usize = 14;

/// A line before it is laid out.
struct Entry {
    prefix: String,
    command: String,
    method: String,
    method_ink: Ink,
    /// Process id and duration, or a folded line's count and durations.
    numbers: String,
    ending: String,
    ending_ink: Ink,
    bar: String,
}

/// Writes the tree, with a heading and the legend of its waterfalls.
pub(crate) fn write(digest: &Digest, lines: &[Line], style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let (begin, end) = digest.window();
    let cells = if style.width < 60 { 0 } else { (style.width / 4).min(60) };
    let scale = Scale { begin, end, cells };
    let widths = Widths::of(digest, lines);
    let entries: Vec<Entry> = lines.iter().map(|line| entry(digest, line, &widths, &scale, style)).collect();

    let heading = Entry {
        prefix: String::new(),
        command: "START".into(),
        method: "METHOD".into(),
        method_ink: Ink::Plain,
        numbers: format!("{:>pid$} {:>time$}", "PID", "TIME", pid = widths.pid, time = widths.time),
        ending: String::new(),
        ending_ink: Ink::Plain,
        bar: axis(&scale, style),
    };
    let plain = Style { color: false, ..*style };
    let heading = lay_out(&heading, cells, &plain);
    writeln!(out, "{}", style.paint(Ink::Bold, &heading))?;
    for entry in &entries {
        writeln!(out, "{}", lay_out(entry, cells, style))?;
    }
    if cells > 0 {
        let gap = waterfall::gap(style);
        let gaps = entries.iter().any(|entry| entry.bar.contains(gap));
        legend(digest, lines, gaps, style, out)?;
    }
    Ok(())
}

/// Columns of the numbers, from what is shown.
struct Widths {
    pid: usize,
    time: usize,
}

impl Widths {
    fn of(digest: &Digest, lines: &[Line]) -> Self {
        let mut widths = Self { pid: 3, time: 4 };
        for line in lines {
            let Line::Entry { who, .. } = line else {
                continue;
            };
            let pid = match who {
                Who::One(row) => {
                    let row = digest.row(*row);
                    let time = row.map_or(0, |row| time(digest, row).len());
                    widths.time = widths.time.max(time);
                    row.map(|row| row.pid)
                }
                Who::Many(_) => None,
                Who::Outside(i) => digest.outside.get(*i as usize).map(|out| out.pid),
            };
            let digits = pid.map_or(0, |pid| pid.to_string().len());
            widths.pid = widths.pid.max(digits);
        }
        widths
    }
}

fn entry(digest: &Digest, line: &Line, widths: &Widths, scale: &Scale, style: &Style) -> Entry {
    let mut entry = Entry {
        prefix: String::new(),
        command: String::new(),
        method: String::new(),
        method_ink: Ink::Cyan,
        numbers: String::new(),
        ending: String::new(),
        ending_ink: Ink::Plain,
        bar: String::new(),
    };
    let who = match line {
        Line::More { starts, last } => {
            entry.prefix = prefix(last, style);
            let more = human::count(*starts);
            entry.command = format!("… and {more} more (use --all)");
            return entry;
        }
        Line::Entry { who, last } => {
            entry.prefix = prefix(last, style);
            who
        }
    };
    let numbers = |pid: u32, time: &str| {
        format!("{pid:>pid_width$} {time:>time_width$}", pid_width = widths.pid, time_width = widths.time)
    };
    match who {
        Who::Outside(i) => {
            if let Some(out) = digest.outside.get(*i as usize) {
                let comm = digest.text(out.comm);
                entry.command = if comm.is_empty() { "(unknown)".into() } else { comm.into() };
                entry.method = "no start recorded".into();
                entry.method_ink = Ink::Dim;
                entry.numbers = numbers(out.pid, "");
            }
        }
        Who::One(i) => {
            if let Some(row) = digest.row(*i) {
                entry.command = digest.text(row.label).into();
                entry.method = digest.text(row.method).into();
                entry.numbers = numbers(row.pid, &time(digest, row));
                (entry.ending, entry.ending_ink) = ending(digest, row);
                entry.bar = waterfall::paint(&scale.draw(digest, &[row]), style);
            }
        }
        Who::Many(members) => {
            let rows: Vec<&Row> = members.iter().filter_map(|&i| digest.row(i)).collect();
            fold(digest, &rows, &mut entry);
            entry.bar = waterfall::paint(&scale.draw(digest, &rows), style);
        }
    }
    if scale.cells == 0 {
        entry.bar.clear();
    }
    entry
}

fn fold(digest: &Digest, rows: &[&Row], entry: &mut Entry) {
    let Some(first) = rows.first() else {
        return;
    };
    let others = rows.iter().filter(|row| row.label != first.label);
    let others = others.map(|row| digest.text(row.label));
    let command = label::common(digest.text(first.label), others);
    entry.command = format!("{} × {command}", human::count(rows.len() as u64));
    entry.method = digest.text(first.method).into();
    // How long a start lasts that has not ended is not known.
    let ended = rows.iter().filter(|row| !digest.is_unfinished(row));
    let mut durations: Vec<u64> = ended.map(|row| row.duration).collect();
    if let Some(max) = durations.iter().max().copied() {
        let p50 = human::median(&mut durations);
        entry.numbers = format!("p50 {} max {}", human::duration(p50), human::duration(max));
    }
    let failed = rows.iter().filter(|row| digest.is_failed(row)).count() as u64;
    let open = |row: &&&Row| digest.is_unfinished(row) && row.end == End::None;
    let running = rows.iter().filter(open).count() as u64;
    if failed > 0 {
        entry.ending = format!("{} failed", human::count(failed));
        entry.ending_ink = Ink::Red;
    } else if running > 0 {
        entry.ending = format!("{} running", human::count(running));
        entry.ending_ink = Ink::Yellow;
    }
}

/// How long a start took. One that was still going on has no such time: it may be a server that lives
/// for months.
fn time(digest: &Digest, row: &Row) -> String {
    match row.end {
        End::None if digest.is_unfinished(row) => "running".to_owned(),
        // Its window ended before it did.
        _ if digest.is_unfinished(row) => format!(">{}", human::duration(row.duration)),
        _ => human::duration(row.duration),
    }
}

/// How a start ended, where that is not the usual way.
pub(crate) fn ending(digest: &Digest, row: &Row) -> (String, Ink) {
    let core = if row.core { "+core" } else { "" };
    match row.end {
        End::Signal(name) | End::Told(name) => {
            let name = label::harmless(digest.text(name), 10);
            (format!("{name}{core}"), if digest.is_failed(row) { Ink::Red } else { Ink::Plain })
        }
        End::Code(code) if code != 0 => (format!("exit {code}"), Ink::Red),
        _ if row.partial => ("partial".into(), Ink::Yellow),
        _ if row.ready == digest.exit_kind || digest.is_unfinished(row) => (String::new(), Ink::Plain),
        // Ready before its end: by what.
        _ => (label::harmless(digest.text(row.ready), 24), Ink::Green),
    }
}

/// The tree's lines before a command. Roots have none.
fn prefix(last: &[bool], style: &Style) -> String {
    let marks =
        if style.unicode { ["│ ", "  ", "├ ", "└ ", "┊ "] } else { ["| ", "  ", "|-", "`-", ": "] };
    let [bar, blank, branch, corner, deeper] = marks;
    let Some((own, above)) = last.get(1..).and_then(|levels| levels.split_last()) else {
        return String::new();
    };
    let mut out = String::new();
    let skip = above.len().saturating_sub(MAX_LEVELS_SHOWN);
    if skip > 0 {
        out.push_str(deeper);
    }
    for &is_last in above.iter().skip(skip) {
        out.push_str(if is_last { blank } else { bar });
    }
    out.push_str(if *own { corner } else { branch });
    out
}

/// Command at the left, then at the right edge method, unusual ending, numbers and waterfall.
fn lay_out(entry: &Entry, cells: usize, style: &Style) -> String {
    let bar_room = if cells > 0 { cells + 1 } else { 0 };
    let ending = style.fit(&entry.ending, MAX_ENDING);
    let ending_room = columns(&ending) + usize::from(!ending.is_empty());
    let numbers = columns(&entry.numbers);
    let right = bar_room + ending_room + if numbers > 0 { numbers + 1 } else { 0 };
    let prefix = style.fit(&entry.prefix, style.width);
    let left = style.width.saturating_sub(right + columns(&prefix));

    let wanted = columns(&style.text(&entry.command)).min(MIN_COMMAND);
    let method = style.fit_end(&entry.method, left.saturating_sub(wanted + 1));
    let gap = usize::from(!method.is_empty());
    let command = style.fit(&entry.command, left.saturating_sub(columns(&method) + gap));
    let blank = left.saturating_sub(columns(&command) + columns(&method));

    let mut line = format!(
        "{}{}{}{}",
        style.paint(Ink::Dim, &prefix),
        command,
        " ".repeat(blank),
        style.paint(entry.method_ink, &method)
    );
    if !ending.is_empty() {
        line.push(' ');
        line.push_str(&style.paint(entry.ending_ink, &ending));
    }
    if numbers > 0 {
        line.push(' ');
        line.push_str(&entry.numbers);
    }
    if cells > 0 {
        line.push(' ');
        line.push_str(&entry.bar);
    }
    line.truncate(line.trim_end().len());
    line
}

/// `0` at the left end of the waterfalls, the window's length at the right.
fn axis(scale: &Scale, style: &Style) -> String {
    let end = human::duration(scale.end.saturating_sub(scale.begin));
    let rule = if style.unicode { "─" } else { "-" };
    let line = scale.cells.saturating_sub(end.len() + 3);
    if scale.cells == 0 {
        return String::new();
    }
    format!("0 {} {end}", rule.repeat(line))
}

/// The marks of the phases that the shown starts have.
fn legend(digest: &Digest, lines: &[Line], gaps: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let mut seen = HashSet::default();
    for line in lines {
        if let Line::Entry { who, .. } = line {
            let rows = who.rows().iter().filter_map(|&i| digest.row(i));
            seen.extend(rows.flat_map(|row| digest.spans(row)).map(|span| span.class()));
        }
    }
    let mut items: Vec<(String, Ink, &str)> = Vec::new();
    for (number, class) in (0u8..).zip(&phase::CLASSES) {
        if seen.contains(&number) {
            items.push((class.mark(style).to_string(), class.ink, class.name));
        }
    }
    if items.is_empty() {
        return Ok(());
    }
    if gaps {
        let mark = waterfall::gap(style).to_string();
        items.push((mark, Ink::Dim, "none of them starting"));
    }
    let mut line = String::from("phases:");
    let mut used = columns(&line);
    for (mark, ink, name) in items {
        let item = columns(&mark) + 1 + columns(name);
        if used + 2 + item > style.width {
            writeln!(out, "{line}")?;
            line = "       ".into();
            used = line.len();
        }
        line.push_str("  ");
        line.push_str(&style.paint(ink, &mark));
        line.push(' ');
        line.push_str(name);
        used += 2 + item;
    }
    writeln!(out, "{line}")
}
