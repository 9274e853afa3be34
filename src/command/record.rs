//! `startrace record`: follow process starts and write them as a trace.

mod dry_run;
mod what;

use crate::stderr::tell;
use dry_run::dry_run;
use what::READY;
pub use what::{Checked, WhatArgs};
pub(super) use what::{quiet_time, some_time};

use super::printed::printed;
use super::recording::{self, Finished, Flow, Progress, Sink, WhenReady};
use super::{Exit, report, untraced};
use crate::diagnose::{Diagnoser, Thresholds};
use crate::host::privilege;
use crate::host::{caller, facts};
use crate::probe::{self, Scope};
use crate::redact::Redactor;
use crate::timeline::Output;
use crate::trace::schema::{Diagnosis, Group, Header, Line, SCHEMA, Session, Tool};
use crate::trace::text::shell_path;
use crate::trace::write::{Flow as Written, Format, Output as File, OutputTarget};
use clap::Args;
use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

/// How long a copy that works alone waits for a sibling before it is written down without a name: nobody waits for a file.
const PATIENCE: Duration = Duration::from_secs(10);

const EXAMPLES: &str = "\
Examples:
  sudo startrace record -- python3 app.py    a program and all that it starts
  sudo startrace record -p 4242              a running process, until Ctrl-C
  sudo startrace record -p 4242 --duration 5s -- kill -HUP 4242
                                             what a signal makes it start
  sudo startrace record --unit app --duration 20s -- systemctl restart app
  sudo startrace record -a --duration 10s -o all.ndjson
  sudo startrace record --kill-when-ready -- nginx -g 'daemon off;'
                                             a server, until it has started
  sudo startrace record --ready http://localhost:8080/health -- ./app
  startrace report                           show the newest trace again

Readiness: a start is finished when it is ready. 'auto' is, of a process and all
that descends from it: READY=1 and nothing else where NOTIFY_SOCKET is set; else
the first wait for clients on a listening socket; else 1 s (--quiet-for) of
rest, dated back to its beginning; else its end. Other kinds:
  listen, accept   a socket listens; somebody waits for clients on it
  notify, quiet, exit, exec, 500ms           only that, or a fixed time
  mark:NAME        the program writes @NAME to /proc/self/comm
  output[:REGEX]   it writes to standard output or error (what matches); that
                   takes hooks that slow down every system call of the machine
  file:PATH, tcp:[HOST:]PORT, http://HOST:PORT/PATH
                   from outside, looked at every ms: a new file, an open
                   port, an answer with status 200 to 399

CMD runs as the user who called sudo, with their groups, limits and environment.
Exit status: CMD's own (128 + signal; 126 not executable, 127 not found); 125 if
startrace itself failed; with --stop-when-ready and --kill-when-ready 0, and 1
if it was not ready within --window. Without CMD: 0, 1 failure, 2 usage. With
and without: 77 if privileges or kernel do not allow it.

A signal to startrace is passed on to CMD, once. If startrace is killed
(SIGKILL), CMD and its descendants are ended, but for what had detached itself.";

/// Options of `record`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RecordArgs {
    #[command(flatten)]
    pub(crate) what: WhatArgs,

    /// Write the trace to FILE, as NDJSON if that ends in .ndjson; '-' is stdout (CMD's goes to stderr
    /// then) [default: startrace-NAME-TIME.json here, never over an older file]
    #[arg(short, long, value_name = "FILE")]
    output: Option<OsString>,

    /// 'json': one document at the end; 'ndjson': a line for each start as it completes
    /// [default: by FILE's name, else ndjson with -a and selectors, json otherwise]
    #[arg(long, value_enum, hide_possible_values = true)]
    format: Option<Format>,

    /// No report, no status line and no messages but errors
    #[arg(short, long)]
    quiet: bool,

    /// Show the report at the end also where stderr is no terminal
    #[arg(long, conflicts_with = "quiet")]
    report: bool,

    /// End the recording when CMD's start is finished, and leave CMD running
    #[arg(long, conflicts_with = "kill_when_ready", help_heading = READY)]
    stop_when_ready: bool,

    /// ... and end CMD with all that it started
    #[arg(long, help_heading = READY)]
    kill_when_ready: bool,

    /// Show the hooks that would be used and what they cost, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Show the usual rules for what is taken for a credential, as a file for --redact-rules, and do nothing
    #[arg(long, help_heading = super::redaction::HEADING)]
    print_redact_rules: bool,

    /// If tracing is not possible, warn and run CMD all the same
    #[arg(long)]
    best_effort: bool,

    /// Keep the raw events in FILE, to replay them
    #[arg(long, value_name = "FILE", hide = true)]
    events: Option<PathBuf>,
}

/// The header of every trace that this program writes.
pub fn header() -> Header {
    Header {
        schema: SCHEMA.to_owned(),
        tool: Tool { name: env!("CARGO_PKG_NAME").to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        host: facts::host(),
    }
}

/// Results into a trace file.
struct ToFile {
    file: File,
    diagnoser: Diagnoser,
    status: Option<Status>,
    quiet: bool,
}

impl Sink for ToFile {
    fn output(&mut self, output: Output) -> anyhow::Result<Flow> {
        let line = line(output, &mut self.diagnoser);
        Ok(flow(self.file.write_line(&line)?))
    }

    fn tick(&mut self, progress: &Progress) -> anyhow::Result<Flow> {
        if let Some(status) = &mut self.status {
            status.show(progress);
        }
        Ok(flow(self.file.tick()?))
    }

    fn remark(&mut self, said: &str) {
        if !self.quiet {
            // The status line is in the way.
            let clear = if self.status.is_some() { "\r\x1b[K" } else { "" };
            tell!("{clear}startrace: {said}");
        }
    }
}

/// Says what makes the starts of this host slow.
pub(super) fn diagnoser(header: &Header) -> Diagnoser {
    let mut diagnoser = Diagnoser::new(Thresholds::default());
    diagnoser.keep_in(crate::host::scratch::nameless());
    diagnoser.header(header);
    diagnoser
}

/// What it says of all of them. What it could not read again of them is lost to the session.
pub(super) fn diagnosis(diagnoser: Diagnoser, groups: &[Group], session: &mut Session) -> Diagnosis {
    let diagnosis = diagnoser.finish(groups, Some(session), None).diagnosis;
    let unread = crate::host::scratch::unread();
    session.complete &= unread == 0;
    session.lost.insert("aside_unread".to_owned(), unread);
    diagnosis
}

/// A result as a line of a trace; a start with its findings.
pub fn line(output: Output, diagnoser: &mut Diagnoser) -> Line {
    match output {
        Output::Start(mut start) => {
            start.findings = diagnoser.start(&start);
            Line::Start(start)
        }
        Output::Exit { start_id, exit } => Line::Exit { start_id, exit },
        Output::FailedFork(failed) => Line::FailedFork(failed),
    }
}

fn flow(written: Written) -> Flow {
    match written {
        Written::Going => Flow::More,
        Written::ReaderGone => Flow::Enough,
    }
}

/// A line on the terminal that says how far the recording is, for recordings that run until Ctrl-C.
struct Status {
    shown: Option<Instant>,
}

impl Status {
    fn show(&mut self, progress: &Progress) {
        if self.shown.is_some_and(|shown| shown.elapsed() < Duration::from_millis(500)) {
            return;
        }
        self.shown = Some(Instant::now());
        let _ = write!(
            std::io::stderr(),
            "\r\x1b[Krecording for {} s: {} starts finished, {} in progress; Ctrl-C ends it",
            progress.elapsed.as_secs(),
            progress.starts,
            progress.in_progress
        );
    }
}

impl Drop for Status {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

/// Runs `record`.
pub fn run(args: &RecordArgs) -> Exit {
    if args.print_redact_rules {
        let shown = std::io::stdout().write_all(crate::redact::RULES.as_bytes());
        return match printed("the rules", shown) {
            Ok(()) => Exit::Success,
            Err(error) => fail(&error, Exit::Failure),
        };
    }
    let checked = match args.what.check("record") {
        Ok(checked) => checked,
        Err(text) => return usage(&text),
    };
    let targets_command = checked.scope == Scope::Children;
    let failure = if targets_command { Exit::Own } else { Exit::Failure };
    let when_ready = match (args.stop_when_ready, args.kill_when_ready) {
        (true, _) => WhenReady::Stop,
        (_, true) => WhenReady::Kill,
        (false, false) => WhenReady::GoOn,
    };
    if when_ready != WhenReady::GoOn && !targets_command {
        let flag = if args.stop_when_ready { "--stop-when-ready" } else { "--kill-when-ready" };
        return usage(&format!(
            "{flag} is for a command to start and follow ('-- CMD' alone); with -p, -a and selectors use --count 1"
        ));
    }
    if args.best_effort && args.what.command.is_empty() {
        return usage("--best-effort is for running a command: give it after --");
    }
    if args.dry_run {
        let pids = if let Scope::Pids(pids) = &checked.scope { &pids[..] } else { &[] };
        if let Err(recording::Error::Target(text)) = recording::check_pids(pids) {
            return fail(&anyhow::anyhow!(text), Exit::Failure);
        }
        return dry_run(&args.what.wanted(checked.scope));
    }
    let mut request = match args.what.request(checked) {
        Ok(request) => request,
        Err(error) => return fail(&error, failure),
    };
    request.when_ready = when_ready;
    // Who asks for so many starts waits for them.
    request.patience = if args.what.count.is_some() { Duration::ZERO } else { PATIENCE };
    let target = match &args.output {
        Some(option) => OutputTarget::from_option(option),
        None => OutputTarget::Unnamed {
            folder: PathBuf::new(),
            stem: facts::trace_stem(args.what.command.first().map(OsString::as_os_str), SystemTime::now()),
        },
    };
    request.stdout_to_stderr = target == OutputTarget::Stdout;
    let cmd = Untraced {
        argv: args.what.command.clone(),
        caller: request.caller.clone(),
        stdout_to_stderr: request.stdout_to_stderr,
    };
    if let Err(error) = privilege::require("record") {
        return give_up(args, &cmd, &error.into(), Exit::Unable);
    }
    let streams = request.wanted.scope == Scope::System;
    let format = args
        .format
        .unwrap_or_else(|| Format::of(&target, if streams { Format::Ndjson } else { Format::Json }));
    if let Some(path) = &args.events {
        // As the caller, and through no link that somebody else put there.
        let create = || {
            use std::os::unix::fs::OpenOptionsExt;
            let mut options = std::fs::File::options();
            options.write(true).create(true).truncate(true).mode(0o600);
            options.custom_flags(libc::O_NOFOLLOW).open(path)
        };
        match request.caller.owner.act(create).map_err(anyhow::Error::from).and_then(|file| Ok(file?)) {
            Ok(file) => request.events = Some(file),
            Err(error) => {
                return fail(&error.context(format!("--events {}", path.display())), failure);
            }
        }
    }
    let mut file = match File::create(&target, format, &request.caller.owner) {
        Ok(file) => file,
        Err(error) => return give_up(args, &cmd, &error.into(), failure),
    };
    for notice in file.notices() {
        say(args, notice);
    }
    let header = header();
    let diagnoser = diagnoser(&header);
    // Before anything is traced: where not even this can be written, nothing will be.
    let begun = file.write_line(&Line::Header(header)).and_then(|_| file.flush());
    if let Err(error) = begun {
        file.discard();
        let file = args.output.as_ref().map_or("the trace".into(), |file| format!("-o {}", file.display()));
        let why = error.cause().map_or_else(
            || format!(": {error}"),
            |cause| format!(" ({}): {cause}", crate::host::elsewhere(cause)),
        );
        let error = anyhow::anyhow!("cannot write {file}, so that nothing is traced{why}");
        return give_up(args, &cmd, &error, failure);
    }
    let terminal = std::io::stderr().is_terminal();
    let status = (!targets_command && !args.quiet && terminal).then_some(Status { shown: None });
    let redactor = request.redactor.clone();
    let mut sink = ToFile { file, diagnoser, status, quiet: args.quiet };
    let selectors = request.selectors.clone();
    let absent = |selectors: &crate::timeline::select::Selectors| {
        let there = selectors.names_cgroups().then(crate::host::cgroups::all).flatten();
        there.map(|paths| selectors.without_cgroup(&paths)).unwrap_or_default().join(", ")
    };
    // With a command, that may start it; else somebody else has to, and a slip of the pen would be waited for in vain.
    let missing = if args.what.command.is_empty() { absent(&selectors) } else { String::new() };
    if !missing.is_empty() {
        say(args, &format!("{missing}: there is no such cgroup on this machine now; waiting for it"));
    }
    match recording::run(request, &mut sink) {
        Ok(finished) => {
            let ToFile { file, diagnoser, status, .. } = sink;
            drop(status);
            // Once is enough.
            if finished.session.starts == 0 && missing.is_empty() {
                let missing = absent(&selectors);
                if !missing.is_empty() {
                    say(args, &format!("{missing}: there is no such cgroup on this machine now"));
                }
            }
            conclude(args, file, diagnoser, finished, redactor)
        }
        Err(error) => {
            sink.file.discard();
            match error {
                recording::Error::Spawn(error) => {
                    let exit = Exit::Code(error.exit_code());
                    fail(&error.into(), exit)
                }
                recording::Error::Interrupted(signal) => {
                    say(args, &recording::Error::interrupted(signal));
                    Exit::Code((128 + signal) as u8)
                }
                recording::Error::Target(text) => fail(&anyhow::anyhow!(text), Exit::Failure),
                // Nothing was started yet.
                recording::Error::Probe(error) => {
                    let unable = matches!(error, probe::Error::Privileges(_) | probe::Error::Kernel(_));
                    give_up(args, &cmd, &error.into(), if unable { Exit::Unable } else { failure })
                }
                recording::Error::Other(error) => fail(&error, failure),
            }
        }
    }
}

/// It could not begin: with `--best-effort` CMD runs all the same.
fn give_up(args: &RecordArgs, cmd: &Untraced, error: &anyhow::Error, exit: Exit) -> Exit {
    if !args.best_effort {
        return fail(error, exit);
    }
    fail(error, exit);
    tell!("startrace: running the command without tracing it (--best-effort)");
    untraced::run(&cmd.argv, &cmd.caller, cmd.stdout_to_stderr)
}

/// What is left to do where nothing can be traced.
struct Untraced {
    argv: Vec<OsString>,
    caller: caller::Caller,
    stdout_to_stderr: bool,
}

fn conclude(
    args: &RecordArgs,
    file: File,
    diagnoser: Diagnoser,
    finished: Finished,
    redactor: Option<Rc<Redactor>>,
) -> Exit {
    let targets_command = finished.session.mode == "command";
    let Finished {
        mut session,
        groups,
        command,
        left_running,
        guard: _guard,
        signal,
        failure,
        not_ready,
        unended,
    } = finished;
    let starts = session.starts;
    let left_out = session.left_out;
    let mut complete = session.complete;
    let written = match failure {
        Some(error) => Err(error),
        None => {
            let diagnosis = diagnosis(diagnoser, &groups, &mut session);
            complete = session.complete;
            file.finish(groups, diagnosis, session).map_err(anyhow::Error::from)
        }
    };
    let exit = match (&written, command) {
        (Err(_), _) if targets_command => Exit::Own,
        (Err(_), _) => Exit::Failure,
        (Ok(_), Some(ended)) => Exit::Code(ended.exit_code()),
        (Ok(_), None) if not_ready => Exit::Failure,
        (Ok(_), None) if targets_command => {
            signal.map_or(Exit::Success, |signal| Exit::Code((128 + signal) as u8))
        }
        (Ok(_), None) => Exit::Success,
    };
    if let Some(pid) = left_running {
        say(args, &format!("the command is still running (pid {pid})"));
    }
    if !unended.is_empty() {
        tell!("startrace: cannot be ended: {}", crate::trace::text::sanitize(&unended.join(", ")));
    }
    if not_ready {
        tell!("startrace: the command was not ready within --window; the trace says what it waited for");
    }
    match written {
        Err(error) => {
            fail(&error, exit);
            if let Some(pid) = left_running {
                wait_for(pid);
            }
        }
        Ok(crate::trace::write::Finished::File(path)) => {
            if args.report || (!args.quiet && std::io::stderr().is_terminal()) {
                let style = crate::report::Style::for_stderr(None, Default::default());
                if let Err(error) = report::show(&path, redactor, &style, crate::stderr::writer()) {
                    fail(&error, exit);
                }
            }
            let path = shell_path(&path);
            let lost = if complete { "" } else { ", INCOMPLETE: see session.lost" };
            let starts = crate::words::counted(starts, "start");
            if left_out > 0 {
                let others = crate::words::counted(left_out, "other start");
                say(args, &format!("{others} left out, under way or later than --count asked for"));
            }
            say(args, &format!("{starts} in {path}{lost}; show again with: startrace report {path}"));
        }
        Ok(_) => {}
    }
    exit
}

/// After a failed write CMD goes on, and its end is still ours to wait for.
fn wait_for(pid: u32) {
    let _ = nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(pid as i32), None);
}

fn say(args: &RecordArgs, text: &str) {
    if !args.quiet {
        tell!("startrace: {}", crate::trace::text::sanitize(text));
    }
}

/// An error on stderr, harmless to the terminal.
pub fn fail(error: &anyhow::Error, exit: Exit) -> Exit {
    tell!("startrace: {}", crate::trace::text::sanitize(&format!("{error:#}")));
    if error.is::<super::Misuse>() { Exit::Usage } else { exit }
}

/// A usage error.
pub fn usage(text: &str) -> Exit {
    tell!("startrace: {}", crate::trace::text::sanitize(text));
    Exit::Usage
}
