//! `startrace watch`: a line for every start as it completes, or a full screen.

mod full_screen;
mod screen;

use super::record::{self, WhatArgs};
use super::recording::{self, Finished, Flow, Progress, Sink};
use super::{Exit, printed::printed};
use crate::diagnose::Diagnoser;
use crate::host::clock::boottime_ns;
use crate::host::inherited::has_stdout;
use crate::host::privilege;
use crate::host::spawn::Ended;
use crate::probe::{self, Scope};
use crate::report::{ColorWhen, Layout, Style};
use crate::stderr::tell;
use crate::timeline::Output;
use crate::trace::schema::{Line, Session};
use crate::trace::write::{Flow as Written, Format, Output as Stream, OutputTarget};
use crate::words::{count, duration};
use clap::Args;
use full_screen::FullScreen;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;

const EXAMPLES: &str = "\
Examples:
  sudo startrace watch                  every start on the machine, until Ctrl-C
  sudo startrace watch -p 4242          what a process and its children start
  sudo startrace watch --unit app       what a systemd unit starts
  sudo startrace watch -- make -j8      what a command starts, until it ends
  sudo startrace watch --tui            a full screen: tree, rates, details
  sudo startrace watch --json | jq -r 'select(.type == \"start\") | .exe'

TIME is from the entry into fork (or exec, for an exec in place) to readiness or
exit; 'running' where the window or watch itself ended first. The lines are cut
at the terminal's width, and whole in a pipe. Standard output belongs to them:
that of CMD goes to standard error.

Keys of --tui: q quit, / filter as you type, space pause, s sort (tree,
finished, duration, method, command), arrows choose, Enter all about a start,
Tab methods and slowest, w write what is kept to a trace, ? help. The last
10,000 starts are kept, at most 64 MiB; what is dropped is counted. CMD reads
nothing there, and what it writes is shown in the end (the last 64 KiB). The
screen stays when CMD has ended, until q.

Exit status: 0, also after Ctrl-C or when the reader of a pipe has gone; 1
failure; 2 usage; 77 if privileges or kernel do not allow it. With a command to
follow: as for record.";

/// Options of `watch`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct WatchArgs {
    #[command(flatten)]
    what: WhatArgs,

    /// NDJSON on standard output (see 'startrace schema --ndjson')
    #[arg(long)]
    json: bool,

    /// A full screen on the terminal, with keys
    #[arg(long, conflicts_with = "json")]
    tui: bool,

    /// Colour: 'auto' (on a terminal, unless NO_COLOR is set), 'always' or 'never'
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true,
        conflicts_with = "json"
    )]
    color: ColorWhen,
}

/// Runs `watch`.
pub fn run(args: &WatchArgs) -> Exit {
    let mut what = args.what.clone();
    what.all |= what.targets_nothing();
    let checked = match what.check("watch") {
        Ok(checked) => checked,
        Err(text) => return record::usage(&text),
    };
    let targets_command = checked.scope == Scope::Children;
    let own = |exit: Exit| if targets_command { Exit::Own } else { exit };
    if let Err(error) = privilege::require("watch") {
        return record::fail(&error.into(), Exit::Unable);
    }
    let mut request = match what.request(checked) {
        Ok(request) => request,
        Err(error) => return record::fail(&error, own(Exit::Failure)),
    };
    request.stdout_to_stderr = true;
    let mut sink: Box<dyn Watching> = if args.json {
        match Json::new(&request) {
            Ok(json) => Box::new(json),
            Err(error) => return record::fail(&error, own(Exit::Failure)),
        }
    } else if args.tui {
        let style = Style::for_stdout(None, args.color);
        let subject = subject(&what, &request.wanted.scope);
        let owner = request.caller.owner.clone();
        match FullScreen::new(style, subject, owner, what.command.first().cloned()) {
            Ok(screen) => Box::new(screen),
            Err(error) => return record::fail(&error, own(Exit::Failure)),
        }
    } else {
        match Text::new(args.color, subject(&what, &request.wanted.scope)) {
            Ok(text) => Box::new(text),
            Err(error) => return record::fail(&error.into(), own(Exit::Failure)),
        }
    };
    let error = match recording::run(request, &mut *sink) {
        Ok(finished) => return conclude(sink, finished, targets_command),
        Err(error) => error,
    };
    // A full screen gives the terminal back before anything is said.
    drop(sink);
    match error {
        recording::Error::Spawn(error) => {
            let code = error.exit_code();
            record::fail(&anyhow::anyhow!("{error}"), Exit::Code(code))
        }
        recording::Error::Interrupted(signal) => {
            tell!("startrace: {}", recording::Error::interrupted(signal));
            Exit::Code((128 + signal) as u8)
        }
        recording::Error::Target(text) => record::fail(&anyhow::anyhow!(text), Exit::Failure),
        recording::Error::Probe(error) => {
            let unable = matches!(error, probe::Error::Privileges(_) | probe::Error::Kernel(_));
            record::fail(&error.into(), if unable { Exit::Unable } else { own(Exit::Failure) })
        }
        recording::Error::Other(error) => record::fail(&error, own(Exit::Failure)),
    }
}

fn conclude(sink: Box<dyn Watching>, finished: Finished, targets_command: bool) -> Exit {
    let Finished { session, groups, command, left_running, signal, failure, .. } = finished;
    let summary = summary(&session, sink.failed_starts());
    let reader_gone = sink.reader_gone();
    let done = match failure {
        Some(error) => {
            drop(sink);
            Err(error)
        }
        None => sink.finish(groups, session, command.filter(|_| signal.is_none())),
    };
    let failed =
        done.err().map(|error| record::fail(&error, if targets_command { Exit::Own } else { Exit::Failure }));
    if failed.is_none() && !reader_gone {
        // The terminal has just shown ^C in this line.
        let clear = if signal.is_some() && io::stderr().is_terminal() { "\r\x1b[K" } else { "" };
        tell!("{clear}startrace: {summary}");
    }
    if let Some(pid) = left_running {
        tell!("startrace: the command is still running (pid {pid})");
    }
    if let Some(exit) = failed {
        return exit;
    }
    match (command, signal) {
        (Some(ended), _) => Exit::Code(ended.exit_code()),
        (None, Some(signal)) if targets_command => Exit::Code((128 + signal) as u8),
        _ => Exit::Success,
    }
}

/// The last line: how much, how long, and what is missing.
fn summary(session: &Session, failed: u64) -> String {
    let starts = count(session.starts);
    let plural = if session.starts == 1 { "" } else { "s" };
    let mut text = format!("{starts} start{plural} in {}", duration(session.duration_ns));
    if failed > 0 {
        text.push_str(&format!(", {} failed", count(failed)));
    }
    if !session.complete {
        let lost: Vec<String> =
            session.lost.iter().filter(|(_, n)| **n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        text.push_str(&format!("; INCOMPLETE, lost: {}", lost.join(", ")));
    }
    text
}

/// What is watched, for the line that says that it has begun.
fn subject(what: &WhatArgs, scope: &Scope) -> String {
    match scope {
        Scope::Children => "what the command starts".to_owned(),
        Scope::Pids(pids) if pids.len() == 1 => format!("what pid {} starts", pids[0]),
        Scope::Pids(pids) => format!("what {} processes start", pids.len()),
        Scope::System if what.has_selector() => "the selected starts".to_owned(),
        Scope::System => "every start on the machine".to_owned(),
    }
}

/// Where the starts go.
trait Watching: Sink {
    /// How many ended badly.
    fn failed_starts(&self) -> u64;
    /// Nobody reads any more.
    fn reader_gone(&self) -> bool;
    /// Writes what is left. `ended` is how the command did, where that was the end of it all.
    fn finish(
        self: Box<Self>,
        groups: Vec<crate::trace::schema::Group>,
        session: Session,
        ended: Option<Ended>,
    ) -> anyhow::Result<()>;
}

fn ended_badly(output: &Output) -> bool {
    let Output::Start(start) = output else { return false };
    start.exit.as_ref().is_some_and(|exit| exit.signal.is_some() || exit.code.is_some_and(|code| code != 0))
}

/// NDJSON.
struct Json {
    stream: Stream,
    diagnoser: Diagnoser,
    failed: u64,
    reader_gone: bool,
}

impl Json {
    fn new(request: &recording::Request) -> anyhow::Result<Self> {
        let mut stream = Stream::create(&OutputTarget::Stdout, Format::Ndjson, &request.caller.owner)?;
        let header = record::header();
        let diagnoser = record::diagnoser(&header);
        let reader_gone = stream.write_line(&Line::Header(header))? == Written::ReaderGone;
        Ok(Self { stream, diagnoser, failed: 0, reader_gone })
    }

    fn flow(&mut self, written: Written) -> Flow {
        self.reader_gone |= written == Written::ReaderGone;
        if self.reader_gone { Flow::Enough } else { Flow::More }
    }
}

impl Sink for Json {
    fn output(&mut self, output: Output) -> anyhow::Result<Flow> {
        self.failed += u64::from(ended_badly(&output));
        let written = self.stream.write_line(&record::line(output, &mut self.diagnoser))?;
        Ok(self.flow(written))
    }

    fn tick(&mut self, _: &Progress) -> anyhow::Result<Flow> {
        let written = self.stream.flush()?;
        Ok(self.flow(written))
    }

    fn remark(&mut self, said: &str) {
        tell!("startrace: {said}");
    }
}

impl Watching for Json {
    fn failed_starts(&self) -> u64 {
        self.failed
    }

    fn reader_gone(&self) -> bool {
        self.reader_gone
    }

    fn finish(
        self: Box<Self>,
        groups: Vec<crate::trace::schema::Group>,
        mut session: Session,
        _: Option<Ended>,
    ) -> anyhow::Result<()> {
        let diagnosis = record::diagnosis(self.diagnoser, &groups, &mut session);
        self.stream.finish(groups, diagnosis, session)?;
        Ok(())
    }
}

/// Lines for people.
struct Text {
    out: File,
    terminal: bool,
    color: ColorWhen,
    layout: Layout,
    /// What was not yet written.
    batch: Vec<u8>,
    subject: Option<String>,
    failed: u64,
    reader_gone: bool,
}

impl Text {
    fn new(color: ColorWhen, subject: String) -> io::Result<Self> {
        has_stdout()?;
        // A descriptor of our own: std's handle would write at every line's end.
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let terminal = out.is_terminal();
        let mut text = Self {
            out,
            terminal,
            color,
            layout: Layout::whole(Style::for_stdout(None, color)),
            batch: Vec::new(),
            subject: Some(subject),
            failed: 0,
            reader_gone: false,
        };
        text.fit();
        Ok(text)
    }

    /// The terminal may have been resized.
    fn fit(&mut self) {
        if self.terminal {
            self.layout = Layout::cut(Style::for_stdout(None, self.color));
        }
    }

    fn flush(&mut self) -> anyhow::Result<Flow> {
        let batch = std::mem::take(&mut self.batch);
        let done = write_all(&mut self.out, &batch);
        self.reader_gone |= matches!(&done, Err(error) if error.kind() == io::ErrorKind::BrokenPipe);
        printed("the lines", done)?;
        Ok(if self.reader_gone { Flow::Enough } else { Flow::More })
    }

    fn push(&mut self, line: &str) {
        self.batch.extend_from_slice(line.as_bytes());
        self.batch.push(b'\n');
    }
}

/// As `write_all`, also where somebody else with this terminal made it non-blocking (as node does).
fn write_all(out: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match out.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(out.as_fd(), PollFlags::POLLOUT)];
                match nix::poll::poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(nix::Error::EINTR) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Sink for Text {
    fn output(&mut self, output: Output) -> anyhow::Result<Flow> {
        self.failed += u64::from(ended_badly(&output));
        let line = match &output {
            Output::Start(start) => self.layout.start(start, &clock(&start.timeline.started_at)),
            Output::FailedFork(failed) => {
                let ago = boottime_ns().saturating_sub(failed.boottime_ns);
                let ago = std::time::Duration::from_nanos(ago);
                let at = std::time::SystemTime::now().checked_sub(ago);
                self.layout.failed_fork(failed, &at.map(clock_of).unwrap_or_default())
            }
            // A start that was shown when its window ended.
            Output::Exit { .. } => return Ok(Flow::More),
        };
        self.push(&line);
        Ok(Flow::More)
    }

    fn tick(&mut self, _: &Progress) -> anyhow::Result<Flow> {
        if let Some(subject) = self.subject.take()
            && self.terminal
        {
            tell!("startrace: watching {subject}; Ctrl-C ends it");
            let heading = self.layout.heading();
            self.batch.splice(0..0, format!("{heading}\n").into_bytes());
        }
        if self.batch.is_empty() {
            return Ok(Flow::More);
        }
        let flow = self.flush()?;
        self.fit();
        Ok(flow)
    }
}

impl Watching for Text {
    fn failed_starts(&self) -> u64 {
        self.failed
    }

    fn reader_gone(&self) -> bool {
        self.reader_gone
    }

    fn finish(
        mut self: Box<Self>,
        _: Vec<crate::trace::schema::Group>,
        _: Session,
        _: Option<Ended>,
    ) -> anyhow::Result<()> {
        if !self.reader_gone {
            self.flush()?;
        }
        Ok(())
    }
}

/// The time of day of an RFC 3339 time.
fn clock(started_at: &str) -> String {
    humantime::parse_rfc3339(started_at).map(clock_of).unwrap_or_default()
}

/// The local time of day, `HH:MM:SS.mmm`.
fn clock_of(time: std::time::SystemTime) -> String {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let seconds = libc::time_t::try_from(since.as_secs()).unwrap_or(0);
    // SAFETY: all zero is a valid value of this plain structure.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both point to live values. It reads TZ and /etc/localtime, nothing by NSS.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut local) };
    format!("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec, since.subsec_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::document::tests as samples;

    #[test]
    fn the_summary_says_what_is_missing() {
        let mut session = samples::session();
        (session.starts, session.duration_ns) = (1, 2_500_000_000);
        assert_eq!(summary(&session, 0), "1 start in 2.50 s");
        session.starts = 1234;
        assert_eq!(summary(&session, 2), "1,234 starts in 2.50 s, 2 failed");
        session.complete = false;
        session.lost = [("events".to_owned(), 3), ("seeds".to_owned(), 0)].into();
        assert_eq!(summary(&session, 0), "1,234 starts in 2.50 s; INCOMPLETE, lost: events 3");
    }

    #[test]
    fn times_of_day_have_milliseconds_and_bad_times_are_empty() {
        let shown = clock("2025-03-11T09:14:22.123456789Z");
        assert_eq!(shown.len(), 12);
        // Time zones differ by quarters of an hour.
        assert!(shown.ends_with(":22.123"), "{shown}");
        assert_eq!(clock("yesterday"), "");
    }

    #[test]
    fn failed_starts_are_those_that_ended_badly() {
        let with = |exit| {
            let mut start = samples::start("1@1/0", None, 1);
            start.exit = exit;
            ended_badly(&Output::Start(Box::new(start)))
        };
        assert!(!with(None));
        assert!(!with(Some(samples::exit(0))));
        assert!(with(Some(samples::exit(1))));
        assert!(!ended_badly(&Output::FailedFork(samples::failed_fork(1, "EAGAIN"))));
    }
}
