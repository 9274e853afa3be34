//! Many commands, one after the other, under one set of probes: what `stat` does.

use super::about::{About, shown, signal_word};
use super::begin::{self, Began};
use super::forward::Forward;
use super::live::waiting_for;
use super::processes::{send, send_to, shown_process};
use super::programs::programs_of;
use super::rounds::Rounds;
use super::{Error, GRACE_NS, LINGER_NS, Live, PERIOD, Request, Sink, TOLD_NS, WhenReady};
use crate::command::outside::Lookout;
use crate::event::Id;
use crate::host::clock::boottime_ns;
use crate::host::guard::Guard;
use crate::host::launcher::{Launcher, Outputs, Said};
use crate::host::spawn::Ended;
use crate::host::{self, memory};
use crate::probe::{Plan, Probe};
use crate::stderr::tell;
use crate::timeline::CommandStart;
use crate::timeline::left::Left;
use crate::timeline::ready::rule::Rules;
use crate::trace::schema::{Group, Session, Target};
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use std::cell::Cell;
use std::ffi::OsString;
use std::rc::Rc;

/// A command that is ready and goes on gets this long until somebody is told that it may never end.
const PATIENCE_NS: u64 = 5_000_000_000;
/// What a command leaves behind, no daemon, and that is to be ended, gets this long to be ready.
const LEFT_NS: u64 = 10_000_000_000;

/// So many processes are remembered that runs left.
const MOST_LEFT: usize = 64;
/// Ends of runs that may still be on their way to us.
const ENDINGS: usize = 64;

/// One run that is to be.
#[derive(Debug, Clone, Copy)]
pub struct Planned {
    /// Which command.
    pub command: usize,
    /// Which of [`Series::prepare`] comes first.
    pub prepare: Option<usize>,
    /// It is not measured.
    pub warmup: bool,
}

/// What is to be run.
#[derive(Debug, Clone)]
pub struct Series {
    /// The commands.
    pub commands: Vec<Vec<OsString>>,
    /// Commands that are run before, and not traced.
    pub prepare: Vec<Vec<OsString>>,
    /// In which order.
    pub plan: Vec<Planned>,
    /// What the commands write.
    pub outputs: Outputs,
    /// Go on after a command that failed.
    pub ignore_failure: bool,
}

/// What the sink may know of the series while it goes on.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    /// Runs done, warm-ups too.
    pub done: Rc<Cell<usize>>,
    /// When the first run began that is measured (boottime clock); `u64::MAX` before.
    pub measured_from_ns: Rc<Cell<u64>>,
}

/// One run that was.
#[derive(Debug, Clone)]
pub struct Done {
    /// Which of the plan.
    pub planned: Planned,
    /// The command's process.
    pub pid: u32,
    /// Not later than its creation, on the boottime clock.
    pub asked_ns: u64,
    /// How it ended, where that was not our doing.
    pub ended: Option<Ended>,
    /// It was not ready within `--window`.
    pub not_ready: bool,
    /// Memory of all its processes, when it was ready.
    pub pss_bytes: Option<u64>,
    /// The command ended well and left a daemon: the start of the process that stays.
    pub daemon_start_id: Option<String>,
}

/// The end of a series.
pub struct Finished {
    /// For the footer.
    pub session: Session,
    /// For the footer.
    pub groups: Vec<Group>,
    /// The parent of every command.
    pub launcher: u32,
    /// In order of time.
    pub runs: Vec<Done>,
    /// Why it ended before its time.
    pub stopped: Option<Stopped>,
    /// What the runs left and that is still there: of which run, counted from 1 with the warm-ups.
    pub left: Vec<(usize, Left)>,
    /// The sink failed.
    pub failure: Option<anyhow::Error>,
}

/// Why a series ended before its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// A signal.
    Signal(i32),
    /// A command cannot be started: the exit code for that, and why.
    Refused(u8, String),
    /// A command (by its place) failed, as `ended` says.
    Failed(usize, Ended),
    /// A `--prepare` failed.
    Unprepared(String),
}

struct Running<'a> {
    live: Live<'a>,
    _guard: Guard,
    launcher: Launcher,
    /// Starts what is not traced.
    helper: Launcher,
    rounds: Rounds,
    signals: SignalFd,
    signal: Option<i32>,
    /// The command that runs, who gets the signals that are for us alone.
    current: Option<u32>,
    began: Began,
    /// What may be for it.
    forward: Option<Forward>,
    /// When a second signal came, or the first and its grace is over.
    give_up: bool,
    signalled_ns: u64,
    kill: bool,
    hinted: bool,
    /// What the runs left, the first of it.
    left: Vec<(usize, Left)>,
    /// That somebody else answers where the command is looked for was told.
    warned: bool,
    rules: Rules,
}

/// Runs a series.
///
/// # Errors
/// It could not begin: nothing was started.
pub fn run(
    request: Request,
    series: &Series,
    standing: &Standing,
    sink: &mut dyn Sink,
) -> Result<Finished, Error> {
    host::memory::stay_small();
    // Before anything is open that they should not hold.
    let other = anyhow::Error::from;
    let guard = Guard::fork(&request.caller.owner).map_err(other)?;
    let [recorded, untold] = guard.posts();
    let launcher =
        Launcher::fork(&series.commands, &request.caller, series.outputs, recorded).map_err(other)?;
    let helper = Launcher::fork(&series.prepare, &request.caller, series.outputs, untold).map_err(other)?;
    let signals = begin::catch(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])?;
    let mut plan = Plan::choose(request.wanted.clone())?;
    plan.spawner = launcher.pid();
    let opener = plan.opener(&request.caller.owner)?;
    let mut probe = Probe::attach(&plan)?;
    probe.set_opener(opener);
    let began = Began::at(boottime_ns())?;
    let mut live = Live::new(probe, &request, began, sink);
    if live.probe.wants_loaders() {
        for path in series.commands.iter().flat_map(|argv| programs_of(argv, &request.caller)) {
            live.probe.look_at_program(&path);
        }
    }
    // As in a recording of one command, but that the launchers stay as we were.
    let kill = request.when_ready == WhenReady::Kill;
    begin::give_up_rights(&mut live.probe, &request.caller.owner, kill)?;
    let rounds = Rounds::new(Lookout::new(&request.ready))?;
    rounds.wake_by(&signals)?;
    rounds.wake_by(launcher.socket())?;
    let mut running = Running {
        live,
        _guard: guard,
        launcher,
        helper,
        rounds,
        signals,
        signal: None,
        current: None,
        forward: None,
        began,
        give_up: false,
        signalled_ns: 0,
        kill,
        hinted: false,
        left: Vec::new(),
        warned: false,
        rules: request.ready.clone(),
    };
    let mut runs = Vec::new();
    let mut stopped = None;
    for planned in &series.plan {
        let whole = runs.len();
        match running.one(*planned, standing) {
            Ok(done) => {
                running.note_left(whole + 1);
                let failed = done.ended.filter(|ended| ended.exit_code() != 0);
                runs.push(done);
                if let Some(ended) = failed.filter(|_| !series.ignore_failure && running.signal.is_none()) {
                    stopped = Some(Stopped::Failed(planned.command, ended));
                }
            }
            Err(Broken::Stopped(why)) => stopped = Some(why),
            Err(Broken::Error(error)) => return Err(error),
        }
        standing.done.set(runs.len());
        if let Some(signal) = running.signal {
            stopped = Some(Stopped::Signal(signal));
            // The run that a signal cut short is none.
            runs.truncate(whole);
        }
        if stopped.is_some() || running.live.failure.is_some() || running.live.enough {
            break;
        }
    }
    running.finish(&request, series, runs, stopped)
}

enum Broken {
    Stopped(Stopped),
    Error(Error),
}

impl<E: Into<Error>> From<E> for Broken {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// The terminal's Ctrl-C goes to those who are there: a command that comes after it would never hear of it.
fn not_interrupted() -> Result<(), Broken> {
    match begin::pending()? {
        Some(signal) => Err(Broken::Stopped(Stopped::Signal(signal as i32))),
        None => Ok(()),
    }
}

impl Running<'_> {
    /// One round of watching: at most 20 ms, and shorter where a command ends.
    fn round(&mut self) -> Result<Option<Said>, Error> {
        let now = self.rounds.wait(&mut self.live)?;
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = info.ssi_signo.cast_signed();
            self.give_up |= self.signal.is_some();
            self.signal.get_or_insert(number);
            self.signalled_ns = now;
            self.forward = self.forward.or(Forward::of(&info, now));
        }
        if let (Some(due), Some(pid)) =
            (self.forward.take_if(|forward| self.give_up || forward.is_due(now)), self.current)
        {
            due.pass_on(&mut self.live.probe, pid);
        }
        self.give_up |= self.signal.is_some() && now.saturating_sub(self.signalled_ns) > GRACE_NS;
        self.live.pump(false);
        self.live.tick(now.saturating_sub(PERIOD.as_nanos() as u64));
        self.live.deliver();
        self.live.tell_progress(now.saturating_sub(self.began.ns));
        self.launcher.hear().map_err(|error| Error::Other(error.into()))
    }

    fn set_current(&mut self, pid: u32) {
        self.current = Some(pid);
        self.live.probe.set_command(pid);
    }

    /// Runs what is not traced, to its end.
    fn prepare(&mut self, which: usize) -> Result<(), Broken> {
        let lost = |error: host::Error| Error::Other(error.into());
        self.helper.start(which).map_err(lost)?;
        loop {
            match self.helper.hear().map_err(lost)? {
                Some(Said::Started(pid)) => self.set_current(pid),
                Some(Said::Refused { why, .. }) => return Err(Broken::Stopped(Stopped::Unprepared(why))),
                Some(Said::Ended(ended)) => {
                    self.current = None;
                    return match ended.exit_code() {
                        0 => Ok(()),
                        code => Err(Broken::Stopped(Stopped::Unprepared(format!("it ended with {code}")))),
                    };
                }
                None => {}
            }
            self.round()?;
            if let (Some(signal), true) = (self.signal, self.give_up) {
                return Err(Broken::Stopped(Stopped::Signal(signal)));
            }
        }
    }

    fn one(&mut self, planned: Planned, standing: &Standing) -> Result<Done, Broken> {
        if let Some(which) = planned.prepare {
            not_interrupted()?;
            self.prepare(which)?;
        }
        not_interrupted()?;
        self.live.builder.next_command();
        // What is there now is not of this run.
        let mut lookout = Lookout::new(&self.rules);
        // Perhaps a server that the run before has left.
        if let Some(notice) = lookout.find_answering()
            && !std::mem::replace(&mut self.warned, true)
        {
            tell!("startrace: {notice}");
        }
        self.rounds.look_for(lookout);
        let asked_ns = boottime_ns();
        if let Some(last) = self.live.endings_ns.back_mut() {
            last.end = asked_ns;
        }
        if !planned.warmup && standing.measured_from_ns.get() == u64::MAX {
            standing.measured_from_ns.set(asked_ns);
        }
        self.launcher.start(planned.command).map_err(|error| Error::Other(error.into()))?;
        let mut done = Done {
            planned,
            pid: 0,
            asked_ns,
            ended: None,
            not_ready: false,
            pss_bytes: None,
            daemon_start_id: None,
        };
        let mut ready_ns = None;
        // Killed by us: how it ends says nothing.
        let mut killed = false;
        let mut over_ns = None;
        loop {
            match self.round()? {
                Some(Said::Started(pid)) => {
                    done.pid = pid;
                    self.set_current(pid);
                }
                Some(Said::Refused { code, why }) => {
                    return Err(Broken::Stopped(Stopped::Refused(code, why)));
                }
                Some(Said::Ended(ended)) => {
                    done.ended = Some(ended).filter(|_| !killed);
                    over_ns = Some(boottime_ns());
                    self.current = None;
                }
                None => {}
            }
            let now = boottime_ns();
            let state = self.live.builder.command();
            if ready_ns.is_none() && matches!(state, CommandStart::Ready | CommandStart::TimedOut) {
                ready_ns = Some(now);
                done.not_ready = state == CommandStart::TimedOut;
                if over_ns.is_none() && !done.not_ready {
                    done.pss_bytes = self.memory(asked_ns);
                }
            }
            let stop = self.give_up || self.live.failure.is_some() || self.live.enough;
            if let Some(over_ns) = over_ns {
                // What it left may be on its way to us, or still start.
                let drained = now > over_ns && self.live.order.is_empty();
                let since_ns = now.saturating_sub(over_ns);
                let waits = self.kill && !killed && done.ended.is_some_and(|ended| ended.exit_code() == 0);
                let daemons = if waits { self.live.daemons() } else { Vec::new() };
                let starts = daemons.iter().any(|left| left.start == CommandStart::Open);
                let limit = match (self.kill && !killed, daemons.is_empty()) {
                    // One that is ready is all that is waited for; its workers get a moment.
                    (true, true) => LEFT_NS,
                    _ => LINGER_NS,
                };
                let late = since_ns > limit && !starts;
                if starts && since_ns > TOLD_NS && !std::mem::replace(&mut self.hinted, true) {
                    tell!("startrace: {}", waiting_for(&daemons));
                }
                if stop || late || (drained && self.live.builder.in_progress() == 0) {
                    if let Some(last) = daemons.into_iter().max_by_key(|left| left.end_ns) {
                        done.not_ready |= last.start != CommandStart::Ready;
                        done.pss_bytes = self.memory(asked_ns).filter(|_| !done.not_ready);
                        done.daemon_start_id = last.start_id;
                    }
                    if self.kill {
                        self.end(asked_ns, 0, &mut Some(over_ns))?;
                    }
                    return Ok(done);
                }
                continue;
            }
            if self.kill && ready_ns.is_some() && done.pid != 0 && !killed {
                killed = true;
                self.end(asked_ns, done.pid, &mut over_ns)?;
                self.current = None;
            } else if stop {
                return Ok(done);
            } else if !self.kill
                && !self.hinted
                && ready_ns.is_some_and(|ready| now.saturating_sub(ready) > PATIENCE_NS)
            {
                self.hinted = true;
                tell!("startrace: the command is ready and goes on: for servers use --kill-when-ready");
            }
        }
    }

    /// What a run left, that was over.
    fn note_left(&mut self, run: usize) {
        if self.current.is_none() {
            let room = MOST_LEFT.saturating_sub(self.left.len());
            self.left.extend(self.live.builder.left().into_iter().take(room).map(|left| (run, left)));
        }
    }

    /// The processes of the run that has begun then.
    fn tree(&self, asked_ns: u64) -> Vec<Id> {
        let mut tree = self.live.builder.command_tree();
        tree.retain(|id| id.birth_ns >= asked_ns && host::world::is_running(*id));
        tree
    }

    /// Of all processes, or nothing: a sum without some of them would say too little.
    fn memory(&self, asked_ns: u64) -> Option<u64> {
        let tree = self.tree(asked_ns);
        if tree.is_empty() {
            return None;
        }
        tree.iter().map(|id| memory::pss(id.pid)).try_fold(0_u64, |sum, pss| sum.checked_add(pss?))
    }

    /// Ends the command and what it started: asks the command, then what it left, and then does not ask.
    fn end(&mut self, asked_ns: u64, pid: u32, over_ns: &mut Option<u64>) -> Result<(), Error> {
        let begun_ns = boottime_ns();
        // Asked once more, for what is left, it has begun before.
        if self.live.endings_ns.back().is_none_or(|last| last.end != u64::MAX) {
            self.live.endings_ns.push_back(begun_ns..u64::MAX);
            if self.live.endings_ns.len() > ENDINGS {
                self.live.endings_ns.pop_front();
            }
        }
        let mut asked: Vec<Id> = Vec::new();
        if pid != 0 {
            send(pid, Signal::SIGTERM);
        }
        let mut asks_all = false;
        loop {
            // Whoever is asked may start others.
            let tree = self.tree(asked_ns);
            if over_ns.is_some() && tree.is_empty() {
                return Ok(());
            }
            let now = boottime_ns();
            let took = now.saturating_sub(begun_ns);
            asks_all |= over_ns.is_some() || took > GRACE_NS;
            for id in tree.iter().filter(|_| asks_all) {
                if !asked.contains(id) {
                    asked.push(*id);
                    send_to(*id, Signal::SIGTERM);
                }
            }
            if took > 2 * GRACE_NS {
                tree.iter().for_each(|id| send_to(*id, Signal::SIGKILL));
                if pid != 0 && over_ns.is_none() {
                    send(pid, Signal::SIGKILL);
                }
            }
            if took > 4 * GRACE_NS {
                let what = if tree.is_empty() {
                    format!("pid {pid}")
                } else {
                    tree.into_iter().map(shown_process).collect::<Vec<_>>().join(", ")
                };
                return Err(Error::Other(anyhow::anyhow!("of the command, this cannot be ended: {what}")));
            }
            if let Some(Said::Ended(_)) = self.round()? {
                *over_ns = Some(boottime_ns());
            }
        }
    }

    fn finish(
        self,
        request: &Request,
        series: &Series,
        runs: Vec<Done>,
        stopped: Option<Stopped>,
    ) -> Result<Finished, Error> {
        let Self { mut live, launcher, began, signal, mut left, .. } = self;
        left.retain(|(_, left)| host::world::is_running(left.id));
        let ended_ns = boottime_ns();
        live.until_ns = ended_ns;
        live.probe.detach();
        if live.failure.is_none() {
            live.pump(true);
        }
        let groups = live.builder.end(ended_ns, &mut live.machine);
        live.enough = false;
        live.deliver();
        let command = |argv: &Vec<OsString>| shown(argv, request.redactor.as_deref());
        let about = About {
            mode: "command",
            target: Target {
                argv: series.commands.first().map(command),
                pids: None,
                selectors: request.selectors.describe(),
            },
            level: request.wanted.level,
            env_source: Some(request.caller.env_source.as_str()),
            began,
            unsettled: 0,
            redacts: request.redactor.is_some(),
        };
        let session = about.session(&mut live, ended_ns, signal.map_or("command", signal_word));
        let failure = live.failure.take();
        Ok(Finished { session, groups, launcher: launcher.pid(), runs, stopped, left, failure })
    }
}
