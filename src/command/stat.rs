//! `startrace stat`: starts a command many times, and says how its start times lie.

use super::Exit;
use super::printed::{printed, written};
use super::record::{self, WhatArgs, quiet_time, some_time};
use super::recording::series::{self, Planned, Series, Standing, Stopped};
use super::recording::{self, Flow, Progress, Sink, WhenReady};
use super::redaction::RedactArgs;
use crate::compare::{self, Digest, Reading, Side, Sides};
use crate::diagnose::{Diagnoser, Thresholds};
use crate::host::inherited::has_stdout;
use crate::host::launcher::Outputs;
use crate::host::privilege;
use crate::level::Level;
use crate::probe;
use crate::redact::Redactor;
use crate::report::{ColorWhen, Style};
use crate::stderr::tell;
use crate::timeline::Output;
use crate::timeline::left::Left;
use crate::trace::json;
use crate::trace::read::{Ending, Item};
use crate::trace::schema::{self, Header, Line, Session};
use crate::trace::text::{decode, shell_line};
use crate::trace::write::{Finished as Written, Flow as WriteFlow, Format, Output as File, OutputTarget};
use crate::words::counted;
use clap::Args;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const EXAMPLES: &str = "\
Examples:
  sudo startrace stat -- python3 -c 'import json'
  sudo startrace stat -n 50 --warmup 3 -- ./app --version
  sudo startrace stat --kill-when-ready -- redis-server --port 7777
  sudo startrace stat --name old './app-1' --name new './app-2'
  sudo startrace stat --prepare 'sync; echo 3 > /proc/sys/vm/drop_caches' -- app
  sudo startrace stat -o runs.json -- ./app      then: startrace diff, report

TIME is from the entry into fork until the command is ready (see --ready and
'startrace record --help'); SPREAD is the median distance from the median. Runs
that are far off (outside of Tukey's fences) are told with what they were longer
in. Several commands take turns, so that a machine that becomes slower does not
favour any; they are compared by the Mann-Whitney test, for which 4 runs of
each are the least. The traced times hold what tracing costs.

The commands run as the caller of sudo, with empty input; their output is not
shown. A run is over when the command ends, or with --kill-when-ready when it is
ready, or the daemon that it leaves is. Exit status: 0; 1 failure, a command
that failed too; 2 usage; 126, 127: the command cannot be started; 128 + signal;
77 if privileges or the kernel do not allow it.";

/// Options of `stat`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct StatArgs {
    /// Measured runs of each command
    #[arg(short = 'n', long, value_name = "N", default_value = "10",
          value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,

    /// Runs of each command before, which are not measured
    #[arg(long, value_name = "N", default_value = "0", hide_default_value = true,
          value_parser = clap::value_parser!(u32).range(0..=100_000))]
    warmup: u32,

    /// A command with a name (repeatable: they take turns); CMD is split into words as a shell does
    #[arg(long, num_args = 2, value_names = ["NAME", "CMD"], conflicts_with = "command")]
    name: Vec<String>,

    /// Give each --name's CMD to 'sh -c' instead of splitting it
    #[arg(long, requires = "name")]
    shell: bool,

    /// Run this with 'sh -c' before every run, not traced; once for all, or one for each --name
    #[arg(long, value_name = "CMD")]
    prepare: Vec<String>,

    /// What makes a start finished, as for 'record' [default: auto]
    #[arg(long, value_name = "KIND")]
    ready: Vec<String>,

    /// How long a start has to be quiet to be ready by that [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = quiet_time, allow_hyphen_values = true)]
    quiet_for: Option<Duration>,

    /// End the command with all that it started when it is ready: for servers
    #[arg(long)]
    kill_when_ready: bool,

    /// Give a run up after this time [default: never]
    #[arg(long, value_name = "TIME", value_parser = some_time, allow_hyphen_values = true)]
    window: Option<Duration>,

    /// How closely to look [default: timeline]
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    level: Level,

    /// Run the commands as this user (USER or USER:GROUP) instead of the caller of sudo
    #[arg(long, value_name = "USER")]
    run_as: Option<String>,

    /// Go on where a command fails
    #[arg(short, long)]
    ignore_failure: bool,

    /// Show what the commands write
    #[arg(long)]
    show_output: bool,

    #[command(flatten)]
    redaction: RedactArgs,

    /// Keep all measured runs as a trace, which 'report' and 'diff' read (NDJSON if FILE ends so)
    #[arg(short, long, value_name = "FILE")]
    output: Option<OsString>,

    /// JSON, with all numbers
    #[arg(long)]
    json: bool,

    /// Leave nothing out for brevity
    #[arg(long, conflicts_with = "json")]
    all: bool,

    /// No progress
    #[arg(short, long)]
    quiet: bool,

    /// Colour: 'auto' (on a terminal, unless NO_COLOR is set), 'always' or 'never'
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    color: ColorWhen,

    /// The command
    #[arg(last = true, value_name = "CMD", required_unless_present = "name")]
    command: Vec<OsString>,
}

/// What is to be run, checked.
struct Plan {
    names: Vec<String>,
    series: Series,
}

impl StatArgs {
    fn plan(&self, redactor: Option<&Redactor>) -> Result<Plan, String> {
        let (names, commands) = if self.name.is_empty() {
            let shown = recording::shown(&self.command, redactor);
            let words = shell_line(shown.iter().map(|word| decode(word)));
            (vec![words], vec![self.command.clone()])
        } else {
            let mut names: Vec<String> = Vec::new();
            let mut commands = Vec::new();
            for pair in self.name.chunks(2) {
                let [name, text] = pair else { continue };
                if names.contains(name) {
                    return Err(format!("--name {name}: there is another of that name"));
                }
                commands.push(self.words(name, text)?);
                names.push(name.clone());
            }
            (names, commands)
        };
        let prepare: Vec<Vec<OsString>> = self.prepare.iter().map(|text| shell(text)).collect();
        if prepare.len() > 1 && prepare.len() != names.len() {
            return Err(format!(
                "--prepare: one for all, or one for each of the {} commands; there are {}",
                names.len(),
                prepare.len()
            ));
        }
        let one = |command: usize, warmup: bool| Planned {
            command,
            // The only one, or its own.
            prepare: (!prepare.is_empty()).then(|| command.min(prepare.len() - 1)),
            warmup,
        };
        let mut plan = Vec::new();
        for (times, warmup) in [(self.warmup, true), (self.runs, false)] {
            for _ in 0..times {
                plan.extend((0..names.len()).map(|command| one(command, warmup)));
            }
        }
        let outputs = if self.show_output { Outputs::Shown } else { Outputs::Dropped };
        let series = Series { commands, prepare, plan, outputs, ignore_failure: self.ignore_failure };
        Ok(Plan { names, series })
    }

    fn words(&self, name: &str, text: &str) -> Result<Vec<OsString>, String> {
        if self.shell {
            return Ok(shell(text));
        }
        match shlex::split(text) {
            Some(words) if !words.is_empty() => Ok(words.into_iter().map(OsString::from).collect()),
            Some(_) => Err(format!("--name {name}: there is no command")),
            None => Err(format!("--name {name}: a quote has no end in {text:?}")),
        }
    }

    /// The same as for `record -- CMD`.
    fn what(&self, first: &[OsString]) -> WhatArgs {
        WhatArgs {
            pid: Vec::new(),
            all: false,
            uid: Vec::new(),
            comm: Vec::new(),
            exe: Vec::new(),
            cgroup: Vec::new(),
            unit: Vec::new(),
            container: Vec::new(),
            pod: Vec::new(),
            duration: None,
            count: None,
            profile: None,
            window: self.window,
            ready: self.ready.clone(),
            quiet_for: self.quiet_for,
            level: self.level,
            library_probes: false,
            syscall_hooks: false,
            redaction: self.redaction.clone(),
            env: Vec::new(),
            run_as: self.run_as.clone(),
            command: first.to_vec(),
        }
    }
}

fn shell(text: &str) -> Vec<OsString> {
    ["sh", "-c", text].map(OsString::from).to_vec()
}

/// Takes the starts in, and shows how far it is.
struct Collector {
    digest: Digest,
    reading: Reading,
    file: Option<File>,
    standing: Standing,
    launcher: Vec<Root>,
    progress: Option<Shown>,
    diagnoser: Diagnoser,
}

/// A start that may be a command's.
struct Root {
    pid: u32,
    parent: u32,
    origin_ns: u64,
    start_id: String,
}

struct Shown {
    total: usize,
    began: Instant,
    last: Option<Instant>,
}

impl Collector {
    fn start(&mut self, mut start: Box<schema::Start>) -> anyhow::Result<Flow> {
        // Warm-ups, and what they left behind.
        if start.timeline.origin_boottime_ns < self.standing.measured_from_ns.get() {
            return Ok(Flow::More);
        }
        if start.seq == 0
            && let Some(parent) = &start.parent
            && parent.start_id.is_none()
        {
            self.launcher.push(Root {
                pid: start.pid,
                parent: parent.pid,
                origin_ns: start.timeline.origin_boottime_ns,
                start_id: start.start_id.clone(),
            });
        }
        start.findings = self.diagnoser.start(&start);
        let flow = match &mut self.file {
            Some(file) => file.write_line(&Line::Start(start.clone()))?,
            None => WriteFlow::Going,
        };
        self.digest.item(&mut self.reading, Item::Start(start));
        Ok(flow_of(flow))
    }

    /// The start of a run's command.
    fn root_of(&self, launcher: u32, run: &series::Done) -> Option<&Root> {
        self.launcher
            .iter()
            .filter(|root| root.parent == launcher && root.pid == run.pid && root.origin_ns >= run.asked_ns)
            .min_by_key(|root| root.origin_ns)
    }
}

fn flow_of(flow: WriteFlow) -> Flow {
    match flow {
        WriteFlow::Going => Flow::More,
        WriteFlow::ReaderGone => Flow::Enough,
    }
}

impl Sink for Collector {
    fn output(&mut self, output: Output) -> anyhow::Result<Flow> {
        match output {
            Output::Start(start) => self.start(start),
            Output::Exit { start_id, exit } => {
                let flow = match &mut self.file {
                    Some(file) => {
                        file.write_line(&Line::Exit { start_id: start_id.clone(), exit: exit.clone() })?
                    }
                    None => WriteFlow::Going,
                };
                self.digest.item(&mut self.reading, Item::Exit { start_id, exit });
                Ok(flow_of(flow))
            }
            Output::FailedFork(failed) => Ok(match &mut self.file {
                Some(file) => flow_of(file.write_line(&Line::FailedFork(failed))?),
                None => Flow::More,
            }),
        }
    }

    fn tick(&mut self, _: &Progress) -> anyhow::Result<Flow> {
        if let Some(shown) = &mut self.progress {
            shown.show(self.standing.done.get());
        }
        match &mut self.file {
            Some(file) => Ok(flow_of(file.tick()?)),
            None => Ok(Flow::More),
        }
    }
}

impl Shown {
    fn show(&mut self, done: usize) {
        if self.last.is_some_and(|last| last.elapsed() < Duration::from_millis(200)) {
            return;
        }
        self.last = Some(Instant::now());
        let total = self.total.max(1);
        let filled = 30 * done / total;
        let left = match done {
            0 => String::new(),
            _ => {
                let left =
                    self.began.elapsed().as_secs_f64() / done as f64 * (total - done.min(total)) as f64;
                format!(", {left:.0} s left")
            }
        };
        let _ = write!(
            io::stderr(),
            "\r\x1b[K[{}{}] run {} of {total}{left}",
            "#".repeat(filled),
            ".".repeat(30 - filled),
            (done + 1).min(total)
        );
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if self.last.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Runs `stat`.
pub fn run(args: &StatArgs) -> Exit {
    let redactor = match args.redaction.redactor() {
        Ok(redactor) => redactor,
        Err(error) => return record::fail(&error, Exit::Failure),
    };
    let plan = match args.plan(redactor.as_deref()) {
        Ok(plan) => plan,
        Err(text) => return record::usage(&text),
    };
    let what = args.what(plan.series.commands.first().map_or(&[][..], Vec::as_slice));
    let checked = match what.check("stat") {
        Ok(checked) => checked,
        Err(text) => return record::usage(&text),
    };
    let mut request = match what.request(checked) {
        Ok(request) => request,
        Err(error) => return record::fail(&error, Exit::Failure),
    };
    if args.kill_when_ready {
        request.when_ready = WhenReady::Kill;
    }
    if let Err(error) = privilege::require("stat") {
        return record::fail(&error.into(), Exit::Unable);
    }
    // Before anything is run so many times.
    if !streams(args)
        && let Err(error) = has_stdout()
    {
        return record::fail(&error.into(), Exit::Failure);
    }
    let header = record::header();
    let file = match open(args, &header, &request.caller.owner) {
        Ok(file) => file,
        Err(error) => return record::fail(&error, Exit::Failure),
    };
    let mut digest = Digest::new(Vec::new());
    let reading = digest.begin(Side::BASE);
    let standing = Standing::default();
    standing.measured_from_ns.set(u64::MAX);
    let progress = (!args.quiet && !args.show_output && io::stderr().is_terminal()).then(|| Shown {
        total: plan.series.plan.len(),
        began: Instant::now(),
        last: None,
    });
    let diagnoser = record::diagnoser(&header);
    let mut sink = Collector {
        digest,
        reading,
        file,
        standing: standing.clone(),
        launcher: Vec::new(),
        progress,
        diagnoser,
    };
    match series::run(request, &plan.series, &standing, &mut sink) {
        Ok(finished) => {
            sink.progress = None;
            conclude(args, &plan, header, sink, finished)
        }
        Err(error) => {
            sink.progress = None;
            if let Some(file) = sink.file {
                file.discard();
            }
            match error {
                recording::Error::Probe(error) => {
                    let unable = matches!(error, probe::Error::Privileges(_) | probe::Error::Kernel(_));
                    record::fail(&error.into(), if unable { Exit::Unable } else { Exit::Failure })
                }
                recording::Error::Spawn(error) => {
                    let exit = Exit::Code(error.exit_code());
                    record::fail(&error.into(), exit)
                }
                recording::Error::Interrupted(signal) => {
                    tell!("startrace: {}", recording::Error::interrupted(signal));
                    Exit::Code((128 + signal) as u8)
                }
                recording::Error::Target(text) => record::fail(&anyhow::anyhow!(text), Exit::Failure),
                recording::Error::Other(error) => record::fail(&error, Exit::Failure),
            }
        }
    }
}

fn open(args: &StatArgs, header: &Header, owner: &crate::host::owner::Owner) -> anyhow::Result<Option<File>> {
    let Some(option) = &args.output else { return Ok(None) };
    let target = OutputTarget::from_option(option);
    let format = Format::of(&target, Format::Json);
    let mut file = File::create(&target, format, owner)?;
    for notice in file.notices() {
        tell!("startrace: {}", crate::trace::text::sanitize(notice));
    }
    let _ = file.write_line(&Line::Header(header.clone()))?;
    Ok(Some(file))
}

fn conclude(
    args: &StatArgs,
    plan: &Plan,
    header: Header,
    mut sink: Collector,
    finished: series::Finished,
) -> Exit {
    let series::Finished { mut session, groups, launcher, runs, stopped, left, failure } = finished;
    let measured: Vec<&series::Done> = runs.iter().filter(|run| !run.planned.warmup).collect();
    session.runs = measured
        .iter()
        .map(|run| schema::Run {
            name: plan.names.get(run.planned.command).cloned().unwrap_or_default(),
            start_id: sink.root_of(launcher, run).map(|root| root.start_id.clone()),
            exit: run.ended.map(|ended| ended.exit_code()),
            pss_bytes: run.pss_bytes,
            daemon_start_id: run.daemon_start_id.clone(),
        })
        .collect();
    let not_ready = measured.iter().filter(|run| run.not_ready).count() as u64;
    let any = !measured.is_empty();
    let diagnoser = std::mem::replace(&mut sink.diagnoser, Diagnoser::new(Thresholds::default()));
    let diagnosis = record::diagnosis(diagnoser, &groups, &mut session);
    let written = keep(&mut sink.file, groups.clone(), diagnosis.clone(), session.clone(), failure);
    if not_ready > 0 {
        tell!("startrace: {} not ready within --window", counted(not_ready, "run"));
    }
    let mut exit = Exit::Success;
    if let Some(why) = &stopped {
        exit = stop(why, plan);
    }
    if let Some(text) = left_behind(&left) {
        tell!("startrace: {text}");
    }
    let shown = if any { show(args, header, sink, session, groups, diagnosis) } else { Ok(()) };
    match written.and(shown) {
        Ok(()) => exit,
        Err(error) => record::fail(&error, Exit::Failure),
    }
}

/// What runs have left is in the way of those that come after: an address is in use.
fn left_behind(left: &[(usize, Left)]) -> Option<String> {
    let (run, _) = left.first()?;
    let names = recording::named(left.iter().map(|(_, left)| (left.comm.as_str(), left.id.pid)));
    let (of, run) = match left.iter().all(|(other, _)| other == run) {
        true => (format!("run {run}"), "it"),
        false => ("the runs".to_owned(), "each"),
    };
    Some(format!("left by {of} and still running: {names}; --kill-when-ready ends what {run} leaves"))
}

/// Ends the trace, where there is to be one.
fn keep(
    file: &mut Option<File>,
    groups: Vec<schema::Group>,
    diagnosis: schema::Diagnosis,
    session: Session,
    failure: Option<anyhow::Error>,
) -> anyhow::Result<()> {
    if let Some(error) = failure {
        return Err(error);
    }
    let Some(file) = file.take() else { return Ok(()) };
    if session.runs.is_empty() {
        file.discard();
        return Ok(());
    }
    if let Written::File(path) = file.finish(groups, diagnosis, session)? {
        tell!("startrace: wrote {}", crate::trace::text::shell_path(&path));
    }
    Ok(())
}

/// Says why it ended before its time.
fn stop(why: &Stopped, plan: &Plan) -> Exit {
    let (text, exit) = match why {
        Stopped::Signal(signal) => (
            "interrupted: what follows is of the runs until then".to_owned(),
            Exit::Code((128 + signal) as u8),
        ),
        Stopped::Refused(code, why) => (why.clone(), Exit::Code(*code)),
        Stopped::Failed(command, ended) => {
            let name = plan.names.get(*command).map_or("", String::as_str);
            let code = ended.exit_code();
            (
                format!(
                    "{name}: ended with status {code}; see what it says with --show-output, or go on all the \
                     same with --ignore-failure"
                ),
                Exit::Failure,
            )
        }
        Stopped::Unprepared(why) => (format!("--prepare failed: {why}"), Exit::Failure),
    };
    record::fail(&anyhow::anyhow!(text), exit)
}

/// With '-o -' standard output is the trace's, and the figures go to standard error.
fn streams(args: &StatArgs) -> bool {
    args.output.as_deref().is_some_and(|path| path == "-")
}

fn show(
    args: &StatArgs,
    header: Header,
    sink: Collector,
    session: Session,
    groups: Vec<schema::Group>,
    diagnosis: schema::Diagnosis,
) -> anyhow::Result<()> {
    let Collector { mut digest, reading, .. } = sink;
    let ending = Ending {
        header,
        groups,
        session: Some(session),
        diagnosis: Some(diagnosis),
        cut_off: None,
        unknown_lines: 0,
    };
    let names = digest.end(reading, "this recording".to_owned(), ending, Sides::ByName);
    let stat = compare::spread::stat(&digest, &names, args.warmup, 0.05);
    let streams = streams(args);
    let out: Box<dyn Write> =
        if streams { Box::new(crate::stderr::writer()) } else { Box::new(io::stdout().lock()) };
    let mut out = io::BufWriter::new(out);
    let done = if args.json {
        json::pretty(&stat).map_err(io::Error::from).and_then(|text| out.write_all(&text))
    } else {
        let style =
            if streams { Style::for_stderr(None, args.color) } else { Style::for_stdout(None, args.color) };
        compare::spread::text(&stat, args.all, &style, &mut out)
    };
    let done = done.and_then(|()| out.flush());
    let (_, _) = out.into_parts();
    if streams { written("the figures", done) } else { printed("the figures", done) }
}
