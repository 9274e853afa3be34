//! CSV by RFC 4180: a row for each start, with a column for each phase, for each state of the main thread
//! (`main_*`) and for each state on the critical path (`path_*`).
//!
//! Unknown is an empty cell. Lists (`argv`) are JSON. A cell whose text begins as a spreadsheet's formula
//! does (`= + - @`, tab, carriage return) gets an apostrophe before it: programs choose their own names.

use super::{Exporter, Outline};
use crate::report::phase::CLASSES;
use crate::trace::json;
use crate::trace::schema::{Start, States};
use crate::trace::text;
use crate::trace::vocabulary::STATES;
use std::fmt::{Display, Write as _};
use std::io::{self, Write};

#[derive(Debug)]
pub(super) struct Csv;

/// One line under way.
struct Row {
    line: String,
    begun: bool,
}

impl Row {
    fn cell(&mut self, text: &str) {
        // Whoever shows the file in a terminal is not to obey it either. The ends of lines are the format's own.
        let obeyed = |c: char| c.is_control() && !matches!(c, '\t' | '\n' | '\r');
        let harmless = text.contains(obeyed).then(|| text::sanitize(text));
        let text = harmless.as_deref().unwrap_or(text);
        if std::mem::replace(&mut self.begun, true) {
            self.line.push(',');
        }
        let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
        let quoted = formula || text.contains(['"', ',', '\n', '\r']) || text != text.trim();
        if !quoted {
            return self.line.push_str(text);
        }
        self.line.push('"');
        if formula {
            self.line.push('\'');
        }
        self.line.push_str(&text.replace('"', "\"\""));
        self.line.push('"');
    }

    fn text(&mut self, text: Option<&str>) {
        self.cell(text.unwrap_or(""));
    }

    /// Numbers and truth values, which need no care.
    fn plain(&mut self, value: Option<impl Display>) {
        if std::mem::replace(&mut self.begun, true) {
            self.line.push(',');
        }
        if let Some(value) = value {
            // Into a string it cannot fail.
            let _ = write!(self.line, "{value}");
        }
    }

    fn end(mut self, out: &mut dyn Write) -> io::Result<()> {
        self.line.push_str("\r\n");
        out.write_all(self.line.as_bytes())
    }
}

/// A cell for each of [`STATES`], and one for all others together.
fn states<'s>(all: impl Iterator<Item = (&'s str, u64)>, row: &mut Row) {
    let mut sums = [None::<u64>; STATES.len() + 1];
    let last = STATES.len();
    for (name, ns) in all {
        let place = STATES.iter().position(|state| *state == name).unwrap_or(last);
        if let Some(sum) = sums.get_mut(place) {
            *sum = Some(sum.unwrap_or(0).saturating_add(ns));
        }
    }
    sums.into_iter().for_each(|sum| row.plain(sum));
}

/// The main thread's states by name.
fn main_thread(states: &States) -> impl Iterator<Item = (&str, u64)> {
    let own = [
        ("creating", states.creating_ns),
        ("running", states.running_ns),
        ("runnable", states.runnable_ns),
        ("exited", states.exited_ns),
        ("unknown", states.unknown_ns),
    ];
    own.into_iter().chain(states.blocked.iter().map(|(kind, &ns)| (&**kind, ns)))
}

/// A column: its name, and how its cell is written.
type Column = (&'static str, fn(&Start, &mut Row));

const COLUMNS: &[Column] = &[
    ("start_id", |s, r| r.cell(&s.start_id)),
    ("id", |s, r| r.cell(&s.id)),
    ("seq", |s, r| r.plain(Some(s.seq))),
    ("partial", |s, r| r.plain(Some(s.partial))),
    ("pid", |s, r| r.plain(Some(s.pid))),
    ("ns_pid", |s, r| r.plain(s.ns_pid)),
    ("comm", |s, r| r.cell(&s.comm)),
    ("parent_pid", |s, r| r.plain(s.parent.as_ref().map(|p| p.pid))),
    ("parent_comm", |s, r| r.text(s.parent.as_ref().and_then(|p| p.comm.as_deref()))),
    ("parent_start_id", |s, r| r.text(s.parent.as_ref().and_then(|p| p.start_id.as_deref()))),
    ("requested_by_pid", |s, r| r.plain(s.requested_by.as_ref().map(|p| p.pid))),
    ("requested_by_start_id", |s, r| r.text(s.requested_by.as_ref().and_then(|p| p.start_id.as_deref()))),
    ("exe", |s, r| r.text(s.exe.as_deref())),
    ("argv", |s, r| r.text(s.argv.as_deref().and_then(json).as_deref())),
    ("argv_bytes", |s, r| r.plain(s.argv_bytes)),
    ("method", |s, r| r.cell(&s.method.name)),
    ("primitive", |s, r| r.text(s.method.primitive.as_deref())),
    ("mechanism", |s, r| r.text(s.method.mechanism.as_deref())),
    ("library", |s, r| r.text(s.method.library.as_deref())),
    ("pattern", |s, r| r.text(s.method.pattern.as_deref())),
    ("confidence", |s, r| r.plain(Some(format!("{:?}", s.method.confidence).to_ascii_lowercase()))),
    ("uid", |s, r| r.plain(s.uid)),
    ("gid", |s, r| r.plain(s.gid)),
    ("cwd", |s, r| r.text(s.cwd.as_deref())),
    ("cgroup", |s, r| r.text(s.cgroup.as_deref())),
    ("unit", |s, r| r.text(s.unit.as_deref())),
    ("container", |s, r| r.text(s.container.as_ref().map(|c| &*c.id))),
    ("pod", |s, r| r.text(s.container.as_ref().and_then(|c| c.pod.as_deref()))),
    ("linkage", |s, r| r.text(s.binary.as_ref().and_then(|b| b.linkage.as_deref()))),
    ("runtime", |s, r| r.text(s.binary.as_ref().and_then(|b| b.runtime.as_deref()))),
    ("execs", |s, r| r.plain(Some(s.execs.iter().filter(|e| e.error.is_none()).count()))),
    ("failed_execs", |s, r| r.plain(Some(s.execs.iter().filter(|e| e.error.is_some()).count()))),
    ("started_at", |s, r| r.cell(&s.timeline.started_at)),
    ("origin_boottime_ns", |s, r| r.plain(Some(s.timeline.origin_boottime_ns))),
    ("duration_ns", |s, r| r.plain(Some(s.timeline.duration_ns))),
    ("ready", |s, r| r.cell(&s.timeline.ready.kind)),
    ("ready_inferred", |s, r| r.plain(Some(s.timeline.ready.inferred))),
    ("exit_code", |s, r| r.plain(s.exit.as_ref().and_then(|e| e.code))),
    ("exit_signal", |s, r| r.text(s.exit.as_ref().and_then(|e| e.signal.as_deref()))),
    ("exit_at_ns", |s, r| r.plain(s.exit.as_ref().map(|e| e.at_ns))),
    ("user_ns", |s, r| r.plain(s.timeline.counters.as_ref().map(|c| c.user_ns))),
    ("system_ns", |s, r| r.plain(s.timeline.counters.as_ref().map(|c| c.system_ns))),
    ("minor_faults", |s, r| r.plain(s.timeline.counters.as_ref().map(|c| c.minor_faults))),
    ("major_faults", |s, r| r.plain(s.timeline.counters.as_ref().map(|c| c.major_faults))),
    ("read_bytes", |s, r| r.plain(s.timeline.counters.as_ref().and_then(|c| c.read_bytes))),
    ("rss_bytes", |s, r| r.plain(s.timeline.counters.as_ref().and_then(|c| c.rss_bytes))),
    ("threads", |s, r| r.plain(s.timeline.counters.as_ref().map(|c| c.threads))),
];

impl Exporter for Csv {
    fn begin(&mut self, _trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        let mut row = Row { line: String::new(), begun: false };
        COLUMNS.iter().for_each(|(name, _)| row.cell(name));
        // The last class is that of names that this version does not know.
        CLASSES.iter().for_each(|class| row.cell(&format!("{}_ns", class.name)));
        for (kind, state) in ["main", "path"]
            .iter()
            .flat_map(|kind| STATES.iter().chain(&["other"]).map(move |state| (kind, state)))
        {
            row.cell(&format!("{kind}_{state}_ns"));
        }
        row.end(out)
    }

    fn start(&mut self, _trace: &Outline, _row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let mut row = Row { line: String::new(), begun: false };
        COLUMNS.iter().for_each(|(_, write)| write(start, &mut row));
        let phases = &start.timeline.phase_ns;
        let [known @ .., _] = &CLASSES;
        known.iter().for_each(|class| row.plain(phases.get(class.name)));
        let others = phases.iter().filter(|(name, _)| known.iter().all(|class| class.name != **name));
        row.plain(others.map(|(_, ns)| *ns).reduce(u64::saturating_add));
        states(start.timeline.states.iter().flat_map(main_thread), &mut row);
        states(start.timeline.path_ns.iter().map(|(state, &ns)| (&**state, ns)), &mut row);
        row.end(out)
    }

    fn end(&mut self, _trace: &Outline, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// The list as JSON, in which also those control characters are escaped that JSON need not escape.
fn json(list: &[String]) -> Option<String> {
    let json = String::from_utf8(json::text(list).ok()?).ok()?;
    if !json.contains(char::is_control) {
        return Some(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if c.is_control() {
            let _ = write!(out, "\\u{:04x}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_are_not_obeyed() {
        let mut row = Row { line: String::new(), begun: false };
        for text in
            ["plain", "a,b", "say \"x\"", "two\nlines", "=cmd()", "-bash", " edge", "", "red\u{1b}[31m"]
        {
            row.cell(text);
        }
        row.plain(None::<u32>);
        row.plain(Some(-1));
        assert_eq!(
            row.line,
            "plain,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\"'=cmd()\",\"'-bash\",\" edge\",,red\\x1b[31m,,-1"
        );
    }
}
