//! One start in one line, as `watch` shows it: when, who, how, how long, by whom, and what.

use super::style::{Ink, Style, columns};
use crate::trace::schema::{Exit, FailedFork, ProcessRef, Start};
use crate::trace::text::{decode, shell_line};
use crate::words::human::duration;
use crate::words::label;
use std::fmt::Write;

/// Columns of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    style: Style,
    /// The line ends at the style's width; whole otherwise, for a pipe.
    cut: bool,
    time: usize,
    method: usize,
    /// 0: not shown.
    parent: usize,
}

/// Process ids have at most 7 digits (PID_MAX_LIMIT is 2^22).
const PID: usize = 7;
/// `12.3 ms`, `running`, `>10m 00s`.
const TIME: usize = 8;

impl Layout {
    /// For a terminal of the style's width.
    pub fn cut(style: Style) -> Self {
        let (time, method, parent) = match style.width {
            0..60 => (8, 12, 0),
            60..75 => (8, 16, 0),
            75..100 => (8, 18, 14),
            _ => (12, 26, 20),
        };
        Self { style, cut: true, time, method, parent }
    }

    /// For a pipe or a file: nothing is left out.
    pub fn whole(style: Style) -> Self {
        Self { style, cut: false, time: 12, method: 26, parent: 20 }
    }

    /// The heading of the columns.
    pub fn heading(&self) -> String {
        let parent = if self.parent > 0 { "PARENT" } else { "" };
        let cells = Cells { clock: "STARTED", pid: "PID", method: "METHOD", time: "TIME", parent };
        self.finish(&cells, Ink::Bold, "", Ink::Plain, "COMMAND")
    }

    /// A start. `clock` is the time of day at which it began, `HH:MM:SS.mmm`.
    pub fn start(&self, start: &Start, clock: &str) -> String {
        let timeline = &start.timeline;
        let time = match timeline.ready.kind.as_str() {
            // Its window ended first: how long it takes is not known.
            "timeout" => "running".to_owned(),
            _ => duration(timeline.duration_ns),
        };
        let mut notes = start.exit.as_ref().map(ending).unwrap_or_default();
        if start.partial {
            notes.push_str("(partial) ");
        }
        let command = if self.cut { label::of_start(start) } else { whole_command(start) };
        let parent = start.parent.as_ref().map(|parent| self.process(parent)).unwrap_or_default();
        let cells = Cells {
            clock,
            pid: &start.pid.to_string(),
            method: &label::harmless(&start.method.name, 60),
            time: &time,
            parent: &parent,
        };
        self.finish(&cells, Ink::Plain, &notes, Ink::Red, &command)
    }

    /// A fork that failed.
    pub fn failed_fork(&self, failed: &FailedFork, clock: &str) -> String {
        let cells = Cells {
            clock,
            pid: "-",
            method: &label::harmless(failed.primitive.as_deref().unwrap_or("fork"), 20),
            time: &failed.duration_ns.map(duration).unwrap_or_default(),
            parent: &self.process(&failed.by),
        };
        let notes = format!("{} ", label::harmless(&failed.error, 20));
        self.finish(&cells, Ink::Plain, &notes, Ink::Red, "(no process was made)")
    }

    /// `comm/pid`; where room is short, the name gives way.
    fn process(&self, process: &ProcessRef) -> String {
        let pid = format!("/{}", process.pid);
        let comm = label::harmless(process.comm.as_deref().unwrap_or("?"), 64);
        if !self.cut {
            return format!("{comm}{pid}");
        }
        format!("{}{pid}", self.style.fit(&comm, self.parent.saturating_sub(pid.len())))
    }

    fn finish(&self, cells: &Cells<'_>, ink: Ink, notes: &str, notes_ink: Ink, command: &str) -> String {
        let style = &self.style;
        let clock: String = cells.clock.chars().take(self.time).collect();
        let method = match self.cut {
            true => style.fit_end(cells.method, self.method),
            false => style.text(cells.method).into_owned(),
        };
        let mut line = format!("{clock:<width$} {:>PID$} ", cells.pid, width = self.time);
        let plain = ink == Ink::Plain;
        line.push_str(&style.paint(if plain { Ink::Cyan } else { Ink::Plain }, &method));
        line.extend(blanks(&method, self.method));
        let _ = write!(line, " {:>TIME$}", cells.time);
        let mut used = self.time.max(clock.len()) + 1 + PID.max(cells.pid.len()) + 1;
        used += self.method.max(columns(&method)) + 1 + TIME.max(cells.time.len());
        if self.parent > 0 {
            let parent = style.text(cells.parent);
            let _ = write!(line, "  {parent}");
            line.extend(blanks(&parent, self.parent));
            used += 2 + self.parent.max(columns(&parent));
        }
        line.push_str("  ");
        let room = if self.cut { style.width.saturating_sub(used + 2) } else { usize::MAX };
        let notes = style.fit(notes, room);
        let command = style.fit(command, room - columns(&notes));
        line.push_str(&style.paint(notes_ink, notes.trim_end()));
        line.extend(notes.ends_with(' ').then_some(' '));
        line.push_str(&command);
        line.truncate(line.trim_end().len());
        style.paint(ink, &line)
    }
}

/// What is missing to a column's width.
fn blanks(text: &str, width: usize) -> impl Iterator<Item = char> {
    std::iter::repeat_n(' ', width.saturating_sub(columns(text)))
}

struct Cells<'a> {
    clock: &'a str,
    pid: &'a str,
    method: &'a str,
    time: &'a str,
    parent: &'a str,
}

/// An end that was not the usual one.
fn ending(exit: &Exit) -> String {
    let core = if exit.core { "+core" } else { "" };
    match (&exit.signal, exit.code) {
        (Some(signal), _) => format!("{}{core} ", label::harmless(signal, 20)),
        (None, Some(code)) if code != 0 => format!("exit {code} "),
        _ => String::new(),
    }
}

/// Every argument, so that a line can be searched, and given to a shell.
fn whole_command(start: &Start) -> String {
    let Some(argv) = start.argv.as_ref().filter(|argv| !argv.is_empty()) else {
        return label::of_start(start);
    };
    let mut text = shell_line(argv.iter().map(|arg| decode(arg)));
    if start.argv_truncated {
        text.push_str(" …");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::document::tests as samples;

    const RICH: Style = Style { width: 80, color: false, unicode: true };

    fn start() -> Start {
        let mut start = samples::start("4242@1/0", None, 1);
        start.pid = 4242;
        start.comm = "grep".into();
        start.exe = Some("/usr/bin/grep".into());
        start.argv = Some(vec!["grep".into(), "a b".into(), "/var/log/syslog".into()]);
        start.method = samples::method("shell.pipeline");
        start.timeline.duration_ns = 1_234_567;
        start.parent =
            Some(ProcessRef { start_id: None, id: None, pid: 4200, comm: Some("a-very-long-name".into()) });
        start
    }

    #[test]
    fn a_line_says_it_all_and_fits() {
        let line = Layout::cut(RICH).start(&start(), "17:03:12.123");
        assert_eq!(line, "17:03:12    4242 shell.pipeline      1.23 ms  a-very-l…/4200  grep 'a b' …/sysl…");
        assert_eq!(columns(&line), 80);
        let heading = Layout::cut(RICH).heading();
        assert_eq!(heading, "STARTED      PID METHOD                 TIME  PARENT          COMMAND");
        let whole = Layout::whole(RICH).start(&start(), "17:03:12.123");
        assert!(whole.starts_with("17:03:12.123    4242 shell.pipeline "), "{whole}");
        assert!(whole.ends_with("  a-very-long-name/4200  grep 'a b' /var/log/syslog"), "{whole}");
    }

    #[test]
    fn unusual_ends_are_told() {
        let shown = |change: &dyn Fn(&mut Start)| {
            let mut start = start();
            change(&mut start);
            Layout::whole(RICH).start(&start, "00:00:00.000")
        };
        assert!(shown(&|s| s.exit = Some(samples::exit(0))).contains("/4200  grep"));
        assert!(shown(&|s| s.exit = Some(samples::exit(3))).contains("/4200  exit 3 grep"));
        let killed = |s: &mut Start| {
            s.exit =
                Some(Exit { code: None, signal: Some("SIGSEGV".into()), core: true, ..samples::exit(0) });
        };
        assert!(shown(&killed).contains("  SIGSEGV+core grep"));
        assert!(shown(&|s| s.timeline.ready.kind = "timeout".into()).contains(" running "));
        assert!(shown(&|s| s.partial = true).contains("  (partial) grep"));
        let copy = |s: &mut Start| (s.argv, s.comm) = (None, "worker\n".into());
        assert!(shown(&copy).ends_with("  worker\\n"));
        assert!(shown(&|s| s.argv_truncated = true).ends_with("syslog …"));
    }

    #[test]
    fn failed_forks_have_a_line() {
        let line = Layout::cut(RICH).failed_fork(&samples::failed_fork(77, "EAGAIN"), "00:00:00.000");
        assert_eq!(line, "00:00:00       - clone                  3 ns  make\\n/77       EAGAIN (no proces…");
    }

    #[test]
    fn hostile_text_fits_and_is_harmless() {
        let evil = "\x1b]0;owned\x07\u{202e}\n日本語".repeat(40);
        let mut start = start();
        start.argv = Some(vec![evil.clone(), String::new()]);
        start.method.name.clone_from(&evil);
        start.exit = Some(Exit { code: None, signal: Some(evil.clone()), ..samples::exit(0) });
        start.parent = Some(ProcessRef { start_id: None, id: None, pid: u32::MAX, comm: Some(evil) });
        for width in [40, 60, 79, 80, 99, 100, 400] {
            for unicode in [true, false] {
                let style = Style { width, color: false, unicode };
                let line = Layout::cut(style).start(&start, "12:00:00.000");
                assert!(columns(&line) <= width, "{} at {width}: {line}", columns(&line));
                assert!(!line.chars().any(char::is_control));
                assert!(unicode || line.is_ascii());
                let heading = Layout::cut(style).heading();
                assert!(columns(&heading) <= width);
            }
        }
        let line = Layout::whole(RICH).start(&start, "12:00:00.000");
        assert!(!line.chars().any(char::is_control));
        assert!(line.ends_with(" ''"), "{line}");
    }

    #[test]
    fn colour_adds_nothing_but_colour() {
        let coloured = Style { color: true, ..RICH };
        let mut failed = start();
        failed.exit = Some(samples::exit(1));
        let line = Layout::cut(coloured).start(&failed, "17:03:12.123");
        assert!(line.contains("\x1b[36mshell.pipeline\x1b[0m") && line.contains("\x1b[31mexit 1\x1b[0m "));
        let bare = ["\x1b[36m", "\x1b[31m", "\x1b[0m"].iter().fold(line, |l, code| l.replace(code, ""));
        assert_eq!(bare, Layout::cut(RICH).start(&failed, "17:03:12.123"));
    }
}
