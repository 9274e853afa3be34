//! Draws what the full screen remembers into a buffer of cells.

use super::detail;
use super::state::{Item, Page, Row, State, of_open};
use crate::report::style::{Style as Text, columns};
use crate::report::{Ink, phase};
use crate::timeline::live::UnderWay;
use crate::words::{count, duration, label};
use ratatui_core::buffer::Buffer;
use ratatui_core::layout::Rect;
use ratatui_core::style::{Color, Modifier, Style};

/// From this width on, methods and the slowest have a column of their own.
const WIDE: u16 = 120;
/// That column.
const SIDE: u16 = 44;
/// From this height on there is room for it.
const TALL: u16 = 20;
const TIME: usize = 8;
const KEYS: &str = "q quit  / filter  space pause  s sort  Enter detail  Tab page  w write  ? help";

const HELP: &[&str] = &[
    "q, Ctrl-C   end (a command that is watched gets Ctrl-C, too)",
    "/           filter by command, method, pid or program, as you type;",
    "            Enter keeps it, Escape clears it",
    "space       pause: the screen stands still, recording goes on",
    "s           sort: tree, finished, duration, method, command",
    "up, down    choose a start (also j and k, Page Up and Down, g and G)",
    "Enter       all about the chosen start: phases, states, waits",
    "Escape      back",
    "Tab         starts, methods, slowest",
    "w           write what is kept to a trace that 'startrace report' reads",
    "Ctrl-L      draw anew",
    "Ctrl-Z      stop; starts that do not fit the buffers meanwhile are lost,",
    "            and counted. 'fg' goes on",
    "",
    "Bars are phases, to scale:",
];

/// A place to draw into, cell by cell; what does not fit is left out, and nothing in a text is obeyed.
pub(super) struct Canvas<'b> {
    buffer: &'b mut Buffer,
    pub(super) text: Text,
}

impl Canvas<'_> {
    /// At most `width` columns of a text at a place; how many it took.
    pub(super) fn put(&mut self, x: u16, y: u16, width: u16, text: &str, style: Style) -> u16 {
        let area = self.buffer.area;
        if y >= area.bottom() || x >= area.right() || y < area.y || x < area.x {
            return 0;
        }
        let width = width.min(area.right() - x);
        // What comes from a trace is harmless already; a second time does no harm.
        let shown = self.text.fit(&label::harmless(text, 4096), width.into());
        let (end, _) = self.buffer.set_stringn(x, y, &shown, width.into(), style);
        end.saturating_sub(x)
    }

    pub(super) fn ink(&self, ink: Ink) -> Style {
        let plain = Style::new();
        if ink == Ink::Bold {
            return plain.add_modifier(Modifier::BOLD);
        }
        if !self.text.color {
            return plain;
        }
        match ink {
            Ink::Plain | Ink::Bold => plain,
            Ink::Dim => plain.add_modifier(Modifier::DIM),
            Ink::Red => plain.fg(Color::Red),
            Ink::Green => plain.fg(Color::Green),
            Ink::Yellow => plain.fg(Color::Yellow),
            Ink::Blue => plain.fg(Color::Blue),
            Ink::Magenta => plain.fg(Color::Magenta),
            Ink::Cyan => plain.fg(Color::Cyan),
        }
    }

    /// Phases to scale: `width` columns are `whole` nanoseconds. What is not nothing has at least one column.
    pub(super) fn bar(&mut self, (x, y): (u16, u16), width: u16, phases: &[(u8, u64)], whole: u64) {
        let scale = |ns: u64| {
            let columns = u128::from(ns) * u128::from(width) / u128::from(whole.max(1));
            u16::try_from(columns).unwrap_or(u16::MAX)
        };
        let mut at_ns = 0u64;
        let total = phases.iter().fold(0u64, |sum, (_, ns)| sum.saturating_add(*ns));
        let length = scale(total).clamp(1, width.max(1));
        for column in 0..length.min(width) {
            // The phase that is there in the middle of the column.
            let middle = (u128::from(total) * (2 * u128::from(column) + 1) / (2 * u128::from(length))) as u64;
            at_ns = at_ns.min(middle);
            let mut end = 0u64;
            let class = phases.iter().find(|(_, ns)| {
                end = end.saturating_add(*ns);
                middle < end
            });
            let class = phase::get(class.or(phases.last()).map_or(u8::MAX, |(class, _)| *class));
            let style = self.ink(class.ink);
            self.put(x + column, y, 1, class.mark(&self.text).encode_utf8(&mut [0; 4]), style);
        }
    }

    pub(super) fn rule(&mut self, area: Rect, title: &str) {
        let style = self.ink(Ink::Bold);
        self.put(area.x, area.y, area.width, title, style);
    }
}

/// Draws everything; tells the state how many lines its list has.
pub fn draw(state: &mut State, buffer: &mut Buffer, text: Text) {
    let area = buffer.area;
    buffer.reset();
    if area.width == 0 || area.height == 0 {
        return;
    }
    let mut canvas = Canvas { buffer, text };
    let line = |y: u16| Rect::new(area.x, area.y + y, area.width, 1);
    title(state, &mut canvas, line(0));
    if area.height < 3 {
        return;
    }
    footer(state, &mut canvas, line(area.height - 1));
    let mut body = Rect::new(area.x, area.y + 1, area.width, area.height - 2);
    if area.width >= WIDE && area.height >= TALL {
        let side = Rect::new(body.right() - SIDE, body.y, SIDE, body.height);
        body.width -= SIDE + 1;
        let half = side.height / 2;
        methods(state, &mut canvas, Rect { height: half, ..side });
        slowest(state, &mut canvas, Rect { y: side.y + half, height: side.height - half, ..side });
    }
    if state.page == Page::Help {
        return help(&mut canvas, body);
    }
    if state.detail && body.height >= 9 {
        let list = body.height / 3;
        let below = Rect { y: body.y + list, height: body.height - list, ..body };
        body.height = list;
        detail::draw(state, &mut canvas, below);
    }
    match state.page {
        Page::Starts | Page::Help => starts(state, &mut canvas, body),
        Page::Methods => methods(state, &mut canvas, body),
        Page::Slowest => {
            state.lines = usize::from(body.height.saturating_sub(1));
            slowest(state, &mut canvas, body);
        }
    }
}

/// How long it has been recording.
fn clock(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3_600, seconds / 60 % 60),
    }
}

fn title(state: &State, canvas: &mut Canvas<'_>, at: Rect) {
    let total = state.total.starts;
    let rate = state.total.rate(state.elapsed.as_secs());
    let mut text = format!(
        "startrace  {}  {} starts  {rate:.0}/s  {} under way",
        clock(state.elapsed.as_secs()),
        count(total),
        count(state.in_progress as u64),
    );
    for (n, what) in
        [(state.failed, "failed"), (state.failed_forks, "failed forks"), (state.dropped, "dropped from view")]
    {
        if n > 0 {
            text += &format!("  {} {what}", count(n));
        }
    }
    text += &format!("  ({})", state.subject);
    let style = Style::new().add_modifier(Modifier::REVERSED);
    canvas.buffer.set_style(at, style);
    let mut x = at.x;
    if state.is_paused() {
        x += canvas.put(x, at.y, at.width, "PAUSED  ", style.add_modifier(Modifier::BOLD));
    }
    canvas.put(x, at.y, at.right().saturating_sub(x), &text, style);
}

fn footer(state: &State, canvas: &mut Canvas<'_>, at: Rect) {
    if state.typing {
        let cursor = format!("/{}_", state.filter);
        canvas.put(at.x, at.y, at.width, &cursor, canvas.ink(Ink::Bold));
    } else if let Some(message) = state.message.as_ref().or(state.over.as_ref()) {
        canvas.put(at.x, at.y, at.width, message, canvas.ink(Ink::Yellow));
    } else {
        canvas.put(at.x, at.y, at.width, KEYS, canvas.ink(Ink::Dim));
    }
}

fn help(canvas: &mut Canvas<'_>, at: Rect) {
    let rows = at.y..at.bottom();
    for (y, text) in rows.clone().zip(HELP) {
        canvas.put(at.x, y, at.width, text, Style::new());
    }
    let mut x = at.x;
    let y = at.y + HELP.len() as u16;
    for class in phase::CLASSES.iter().filter(|class| class.name != "other") {
        let sign = format!("{} ", class.mark(&canvas.text));
        if rows.contains(&y) && x < at.right() {
            x += canvas.put(x, y, at.right() - x, &sign, canvas.ink(class.ink));
            x += canvas.put(x, y, at.right().saturating_sub(x), &format!("{}  ", class.name), Style::new());
        }
    }
}

/// Starts under way with bars that grow, then the list.
fn starts(state: &mut State, canvas: &mut Canvas<'_>, at: Rect) {
    let most = (at.height / 4).min(8);
    let open: Vec<&UnderWay> = state.open().take(most.into()).collect();
    let mut y = at.y;
    if !open.is_empty() {
        canvas.rule(
            Rect { y, ..at },
            &format!("UNDER WAY  the {} oldest of {}", open.len(), state.in_progress),
        );
        y += 1;
        let whole = open.iter().map(|open| so_far(open)).max().unwrap_or(1);
        for open in open {
            one_open(open, canvas, Rect { y, height: 1, ..at }, 0, whole, None);
            y += 1;
        }
    }
    let room = usize::from(at.bottom().saturating_sub(y + 1));
    let list = state.list();
    let mut heading = format!("STARTS  {} by {}", count(list.len() as u64), state.sort.name());
    if !state.filter.is_empty() {
        heading += &format!(", of those with '{}'", state.filter);
    }
    if y < at.bottom() {
        canvas.rule(Rect { y, ..at }, &heading);
    }
    let follows = matches!(state.sort, super::state::Sort::Tree | super::state::Sort::Finished);
    let chosen = state.selected.as_deref();
    let chosen = chosen.and_then(|id| list.iter().position(|(_, item)| item.start_id() == id));
    let last = list.len().saturating_sub(room);
    let offset = match chosen {
        // As little as is needed to see it; there may be no room at all.
        Some(chosen) => state.offset.max((chosen + 1).saturating_sub(room)).min(chosen).min(last),
        None if follows => last,
        None => 0,
    };
    let shown = list.iter().skip(offset).take(room);
    let length = |item: &Item<'_>| match item {
        Item::Done(row) => row.duration_ns,
        Item::Open(open) => so_far(open),
    };
    let whole = shown.clone().map(|(_, item)| length(item)).max().unwrap_or(1);
    for ((i, (depth, item)), y) in (offset..).zip(shown).zip(y + 1..) {
        let line = Rect { y, height: 1, ..at };
        let chosen = chosen == Some(i);
        match item {
            Item::Done(row) => one(row, canvas, line, *depth, whole, chosen),
            Item::Open(open) => one_open(open, canvas, line, *depth, whole, Some(chosen)),
        }
    }
    (state.lines, state.offset) = (room, offset);
}

/// Columns of a line: command, method (0: none), pid (0: none), bar (0: none).
fn widths(width: u16) -> [u16; 4] {
    let rest = width.saturating_sub(TIME as u16 + 1);
    match width {
        0..40 => [rest, 0, 0, 0],
        40..60 => [rest - 17, 16, 0, 0],
        60..100 => {
            let bar = rest / 5;
            [rest - bar - 1 - 20 - 1 - 7 - 1, 20, 7, bar]
        }
        _ => {
            let bar = rest / 4;
            [rest - bar - 1 - 32 - 1 - 7 - 1, 32, 7, bar]
        }
    }
}

struct Cells<'c> {
    command: &'c str,
    note: &'c str,
    method: &'c str,
    pid: u32,
    time: &'c str,
    phases: &'c [(u8, u64)],
}

fn line(cells: &Cells<'_>, canvas: &mut Canvas<'_>, at: Rect, depth: usize, whole: u64, chosen: bool) {
    let [command, method, pid, bar] = widths(at.width);
    let mut x = at.x;
    let indent = (2 * depth).min(usize::from(command) / 2) as u16;
    let mut at_x = x + indent;
    let end = x + command;
    if !cells.note.is_empty() {
        at_x += canvas.put(
            at_x,
            at.y,
            end.saturating_sub(at_x),
            &format!("{} ", cells.note),
            canvas.ink(Ink::Red),
        );
    }
    canvas.put(at_x, at.y, end.saturating_sub(at_x), cells.command, Style::new());
    x = end;
    if method > 0 {
        let shown = canvas.text.fit_end(cells.method, method.into());
        canvas.put(x + 1, at.y, method, &shown, canvas.ink(Ink::Cyan));
        x += method + 1;
    }
    if pid > 0 {
        canvas.put(x + 1, at.y, pid, &format!("{:>7}", cells.pid), Style::new());
        x += pid + 1;
    }
    canvas.put(x + 1, at.y, TIME as u16, &format!("{:>TIME$}", cells.time), Style::new());
    x += 1 + TIME as u16;
    if bar > 1 {
        canvas.bar((x + 1, at.y), bar - 1, cells.phases, whole);
    }
    if chosen {
        canvas
            .buffer
            .set_style(at.intersection(canvas.buffer.area), Style::new().add_modifier(Modifier::REVERSED));
    }
}

fn one(row: &Row, canvas: &mut Canvas<'_>, at: Rect, depth: usize, whole: u64, chosen: bool) {
    let mut time = duration(row.duration_ns);
    if row.unfinished {
        // How long it takes is not known.
        time = format!(">{time}");
    }
    let cells = Cells {
        command: &row.command,
        note: row.failed.as_deref().unwrap_or(""),
        method: &row.method,
        pid: row.pid,
        time: &time,
        phases: &row.phases,
    };
    line(&cells, canvas, at, depth, whole, chosen);
}

fn so_far(open: &UnderWay) -> u64 {
    open.phases.last().map_or(0, |last| last.at_ns.saturating_add(last.duration_ns))
}

fn one_open(
    open: &UnderWay,
    canvas: &mut Canvas<'_>,
    at: Rect,
    depth: usize,
    whole: u64,
    chosen: Option<bool>,
) {
    let phases: Vec<(u8, u64)> =
        open.phases.iter().map(|phase| (phase::of_name(&phase.name), phase.duration_ns)).collect();
    let now = open.phases.last().map_or("", |phase| &phase.name);
    let cells = Cells {
        command: &of_open(open),
        note: "",
        method: &format!("in {now}"),
        pid: open.pid,
        time: &duration(so_far(open)),
        phases: &phases,
    };
    line(&cells, canvas, at, depth, whole, chosen == Some(true));
}

fn methods(state: &State, canvas: &mut Canvas<'_>, at: Rect) {
    if at.height == 0 {
        return;
    }
    let name = at.width.saturating_sub(28).max(at.width / 3);
    let row = |canvas: &mut Canvas<'_>, y: u16, cells: [&str; 4], style: Style| {
        let shown = canvas.text.fit_end(cells[0], name.into());
        canvas.put(at.x, y, name, &shown, style);
        let text = format!(" {:>7} {:>9} {:>9}", cells[1], cells[2], cells[3]);
        canvas.put(at.x + name, y, at.width.saturating_sub(name), &text, style);
    };
    row(canvas, at.y, ["METHODS", "PER S", "STARTS", "MEAN"], canvas.ink(Ink::Bold));
    for (y, (method, n, rate)) in (at.y + 1..at.bottom()).zip(state.by_method()) {
        let mean = duration(n.sum_ns / n.starts.max(1));
        row(canvas, y, [method, &format!("{rate:.1}"), &count(n.starts), &mean], Style::new());
    }
}

fn slowest(state: &State, canvas: &mut Canvas<'_>, at: Rect) {
    if at.height == 0 {
        return;
    }
    canvas.rule(at, "SLOWEST");
    for (y, row) in (at.y + 1..at.bottom()).zip(state.slowest(at.height.into())) {
        let time = format!("{:>TIME$} ", duration(row.duration_ns));
        let x = at.x + canvas.put(at.x, y, at.width, &time, Style::new());
        canvas.put(x, y, at.right().saturating_sub(x), &row.command, Style::new());
        if state.page == Page::Slowest && state.selected.as_deref() == Some(&row.start_id) {
            let line = Rect { y, height: 1, ..at };
            canvas.buffer.set_style(
                line.intersection(canvas.buffer.area),
                Style::new().add_modifier(Modifier::REVERSED),
            );
        }
    }
}

/// Columns that a text takes, for the detail.
pub(super) fn wide(text: &str) -> u16 {
    u16::try_from(columns(text)).unwrap_or(u16::MAX)
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
