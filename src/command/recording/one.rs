//! One recording: of a command, of running processes, or of the machine, until something ends it.

use super::about::{About, shown, signal_word};
use super::begin::{self, Began};
use super::forward::Forward;
use super::live::{ended_well, waiting_for};
use super::processes::{is_readable, kill_tree, pidfd, shown_process};
use super::programs::programs_of;
use super::rounds::Rounds;
use super::{Error, Finished, GRACE_NS, LINGER_NS, Live, PERIOD, Request, Sink, TOLD_NS, WhenReady, how};
use crate::command::outside::Lookout;
use crate::host;
use crate::host::clock::boottime_ns;
use crate::host::guard::Guard;
use crate::host::spawn::{Execution, Spawned};
use crate::probe::{Plan, Probe, Scope, seed::Seeded};
use crate::stderr::tell;
use crate::timeline::CommandStart;
use crate::timeline::replay::Recorded;
use crate::trace::schema::Target;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// After the command has ended well, a daemon that it left behind gets this long to be ready.
const DAEMON_NS: u64 = 10_000_000_000;

/// Records until something ends it.
///
/// # Errors
/// It could not begin; nothing was traced then, and CMD was not started or could not be.
pub fn run(request: Request, sink: &mut dyn Sink) -> Result<Finished, Error> {
    host::memory::stay_small();
    let mut recording = Recording::begin(request, sink)?;
    let ended_by = loop {
        if let Some(why) = recording.round()? {
            break why;
        }
    };
    recording.finish(ended_by)
}

struct Recording<'a> {
    live: Live<'a>,
    about: About,
    /// CMD is the target.
    targets_command: bool,
    when_ready: WhenReady,
    count: Option<u64>,
    /// When `--duration` is over.
    deadline_ns: Option<u64>,
    /// CMD.
    spawned: Option<Spawned>,
    guard: Option<Guard>,
    /// Of the processes to follow, those that have not ended.
    pidfds: Vec<OwnedFd>,
    rounds: Rounds,
    signals: SignalFd,
    /// The first that came.
    signal: Option<i32>,
    /// What is to be passed on of it.
    forward: Option<Forward>,
    /// From when on nothing is waited for any more, and why.
    last_call: Option<(u64, &'static str)>,
    /// When CMD was over.
    over_ns: Option<u64>,
    /// A trigger's end was told, or that of CMD where its daemon is waited for; or need not be.
    told_end: bool,
    /// CMD has ended, and its daemon is to be ready.
    awaits_daemon: bool,
}

impl<'a> Recording<'a> {
    /// Attaches everything, starts CMD and gives up what rights are not needed from then on.
    fn begin(mut request: Request, sink: &'a mut dyn Sink) -> Result<Self, Error> {
        let owner = request.caller.owner.clone();
        let signals = begin::catch(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD])?;
        let pids = match &request.wanted.scope {
            Scope::Pids(pids) => pids.clone(),
            Scope::Children | Scope::System => Vec::new(),
        };
        let pidfds = pids.iter().map(|&pid| pidfd(pid)).collect::<Result<Vec<_>, _>>()?;
        let guard = request.command.as_ref().map(|_| Guard::fork(&owner));
        let guard = guard.transpose().map_err(anyhow::Error::from)?;

        let plan = Plan::choose(request.wanted.clone())?;
        let opener = plan.opener(&owner)?;
        let mut probe = Probe::attach(&plan)?;
        probe.set_opener(opener);
        let attached_ns = boottime_ns();
        // A selector may pick what runs already, and that may be gone before its first event is looked at.
        let seeds = !pids.is_empty() || !request.selectors.is_empty();
        let seeded = if seeds { probe.seed(&pids)? } else { Seeded::default() };
        // Of those that are followed from now on nothing was seen before they were looked for.
        let began = Began::at(if pids.is_empty() { attached_ns } else { seeded.since_ns })?;
        if let Some(pid) = pids.iter().find(|pid| !seeded.processes.iter().any(|id| id.pid == **pid)) {
            return Err(Error::Target(format!("-p {pid}: {}", host::world::why_unmarked(*pid))));
        }
        let events = request.events.take();
        let mut live = Live::new(probe, &request, began, sink);
        live.keep_events(events, &begin::options(&request, began));
        // Before a trigger makes any of them end.
        for id in &seeded.processes {
            live.step(|| Recorded::Seed(*id), |builder, world| builder.seed(*id, world));
        }
        if request.wanted.profile_hz > 0 {
            live.machine.learn_kernel();
        }
        let mut lookout = Lookout::new(&request.ready);
        if request.command.is_some()
            && let Some(notice) = lookout.find_answering()
        {
            tell!("startrace: {notice}");
        }
        let rounds = Rounds::new(lookout)?;
        let spawned = start(&request, guard.as_ref(), &mut live)?;
        begin::give_up_rights(&mut live.probe, &owner, request.when_ready == WhenReady::Kill)?;

        rounds.wake_by(&signals)?;
        for fd in pidfds.iter().chain(spawned.as_ref().map(|spawned| &spawned.pidfd)) {
            rounds.wake_once_by(fd)?;
        }
        let deadline = |duration| began.ns.saturating_add(begin::nanoseconds(duration));
        Ok(Self {
            live,
            about: about(&request, pids, began, seeded.unsettled.into()),
            targets_command: request.wanted.scope == Scope::Children,
            when_ready: request.when_ready,
            count: request.count,
            deadline_ns: request.duration.map(deadline),
            spawned,
            guard,
            pidfds,
            rounds,
            signals,
            signal: None,
            forward: None,
            last_call: None,
            over_ns: None,
            told_end: false,
            awaits_daemon: false,
        })
    }

    /// Waits until something has happened and takes it in. Gives why the recording is over, if it is.
    fn round(&mut self) -> Result<Option<&'static str>, Error> {
        let now = self.rounds.wait(&mut self.live)?;
        self.take_signals(now);
        if let Some(child) = &mut self.spawned {
            if let Execution::Failed(error) = child.execution(Some(Duration::ZERO)) {
                return Err(Error::Spawn(error));
            }
            let _ = child.try_wait();
        }
        self.pidfds.retain(|fd| !is_readable(fd));

        self.live.pump(false);
        self.live.tick(now.saturating_sub(PERIOD.as_nanos() as u64));
        self.live.deliver();
        let most = self.live.sink.wants_under_way();
        if most > 0 {
            let list = self.live.builder.under_way(now, most);
            self.live.sink.under_way(list);
        }
        if self.live.sink.wants_session() {
            let session = self.about.session(&mut self.live, now, "saved");
            self.live.sink.session(session);
        }
        self.live.tell_progress(now.saturating_sub(self.about.began.ns));
        let over = self.is_over(now);
        if over.is_none() {
            self.tell_end();
        }
        Ok(over)
    }

    /// A trigger that has ended does not end the recording: whoever waits for that should know.
    fn tell_end(&mut self) {
        if self.told_end || self.targets_command || self.signal.is_some() || self.last_call.is_some() {
            return;
        }
        let Some(Ok(Some(ended))) = self.spawned.as_mut().map(Spawned::try_wait) else { return };
        self.told_end = true;
        let pids = self.about.target.pids.as_ref().map_or(0, Vec::len);
        let until = [
            Some("Ctrl-C"),
            self.deadline_ns.map(|_| "--duration is over"),
            self.count.map(|_| "--count is reached"),
            (pids == 1).then_some("the process of -p ends"),
            (pids > 1).then_some("the processes of -p end"),
        ];
        let until: Vec<&str> = until.into_iter().flatten().collect();
        let until = match until.split_last() {
            Some((last, [])) => (*last).to_owned(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        };
        self.live.sink.remark(&format!("the command {}; recording goes on until {until}", how(ended)));
    }

    fn take_signals(&mut self, now: u64) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            let number = info.ssi_signo as i32;
            if number != libc::SIGCHLD && self.signal.is_none() {
                self.signal = Some(number);
                self.forward = Forward::of(&info, now).filter(|_| self.targets_command);
            } else if number != libc::SIGCHLD {
                // Asked twice: at once.
                self.last_call = Some((now, signal_word(number)));
            }
        }
        if let (Some(due), Some(spawned)) =
            (self.forward.take_if(|forward| forward.is_due(now)), &self.spawned)
        {
            due.pass_on(&mut self.live.probe, spawned.pid);
        }
    }

    fn is_over(&mut self, now: u64) -> Option<&'static str> {
        let gone = |child: &mut Spawned| matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        let command_over = self.targets_command && self.spawned.as_mut().is_some_and(gone);
        // What ended it came to us before: it may have come after this round had looked for signals.
        if command_over && self.last_call.is_none() && self.signal.is_none() {
            self.take_signals(now);
        }
        if self.live.failure.is_some() {
            return Some("error");
        }
        if self.live.enough {
            return Some(if self.has_counted() { "count" } else { "reader" });
        }
        if self.deadline_ns.is_some_and(|deadline_ns| now >= deadline_ns) {
            return Some("duration");
        }
        if self.when_ready != WhenReady::GoOn && self.signal.is_none() {
            match self.live.builder.command() {
                CommandStart::Ready => return Some("ready"),
                CommandStart::TimedOut => return Some("window"),
                CommandStart::Open | CommandStart::Ended => {}
            }
        }
        if self.last_call.is_none() {
            if let Some(number) = self.signal {
                let grace = if self.targets_command && !command_over { GRACE_NS } else { 0 };
                self.last_call = Some((now + grace, signal_word(number)));
            } else if command_over {
                self.last_call = Some((now + LINGER_NS, "command"));
            } else if self.about.target.pids.is_some() && self.pidfds.is_empty() {
                self.last_call = Some((now + LINGER_NS, "pids"));
            }
        }
        if let Some(number) = self.signal.filter(|_| self.awaits_daemon) {
            return Some(signal_word(number));
        }
        let (at, why) = self.last_call?;
        let over = if self.signal.is_some() {
            command_over || !self.targets_command
        } else {
            // Not before the ring was drained once more: what it left may be on its way to us.
            let drained = now > at.saturating_sub(LINGER_NS) && self.live.order.is_empty();
            drained && self.live.builder.in_progress() == 0
        };
        // A daemon may be seen only after the command's end.
        let since_ns = now.saturating_sub(*self.over_ns.get_or_insert(now));
        let asks = why == "command" && self.signal.is_none();
        if asks && self.when_ready != WhenReady::GoOn && (over || now >= at) {
            return self.daemon(since_ns).unwrap_or(Some(why));
        }
        let stays = asks && since_ns < DAEMON_NS && self.live.daemon_starts(&mut self.spawned);
        (over || (now >= at && !stays)).then_some(why)
    }

    /// CMD is over, and its readiness is to end the recording: where it has left a daemon, that of the process that stays.
    /// `None`: there is no daemon; else why the recording is over, if it is.
    fn daemon(&mut self, since_ns: u64) -> Option<Option<&'static str>> {
        let daemons = if ended_well(&mut self.spawned) { self.live.daemons() } else { Vec::new() };
        let has = |start| daemons.iter().any(|left| left.start == start);
        if daemons.is_empty() {
            None
        } else if has(CommandStart::Open) {
            self.awaits_daemon = true;
            if since_ns > TOLD_NS && !std::mem::replace(&mut self.told_end, true) {
                self.live.sink.remark(&waiting_for(&daemons));
            }
            Some(None)
        } else {
            Some(Some(if has(CommandStart::TimedOut) { "window" } else { "ready" }))
        }
    }

    fn has_counted(&self) -> bool {
        self.count.is_some_and(|count| self.live.starts >= count)
    }

    /// Takes the probes away, gives out what is left, and ends CMD where that was asked for.
    fn finish(mut self, mut ended_by: &'static str) -> Result<Finished, Error> {
        if let (Some(early), Some(spawned)) = (self.forward, &self.spawned) {
            early.pass_on(&mut self.live.probe, spawned.pid);
        }
        let kills = self.when_ready == WhenReady::Kill;
        // Before the probes go, one by one: what some of them see then, others miss.
        let ended_ns = boottime_ns();
        self.live.until_ns = ended_ns;
        self.live.probe.detach();
        if self.live.failure.is_none() {
            self.live.pump(true);
        }
        let tree = if kills { self.live.builder.command_tree() } else { Vec::new() };
        let mut groups = Vec::new();
        self.live.step(|| Recorded::End(ended_ns), |builder, world| groups = builder.end(ended_ns, world));
        self.live.enough &= self.count.is_some();
        self.live.deliver();
        for exe in self.live.builder.rules_not_met() {
            let text = format!("--ready {exe}=...: no program of that name or path started");
            self.live.sink.remark(&crate::trace::text::sanitize(&text));
        }
        // Those who join what was found need room.
        host::memory::give_back();
        // The last start that was wanted may come out only now; any after it were cut off.
        if self.has_counted() {
            ended_by = "count";
        }
        if let Some(mut events) = self.live.events.take() {
            // The trace is whole without them.
            if let Err(error) = events.flush() {
                tracing::warn!("not all events are kept: {error}");
            }
        }

        let decided = matches!(ended_by, "ready" | "window");
        let mut unended = Vec::new();
        if let Some(child) = self.spawned.as_mut().filter(|_| kills)
            // However CMD has ended: what it left is to go with it.
            && (decided || matches!(child.try_wait(), Ok(Some(_))))
        {
            unended.extend(kill_tree(child, tree).into_iter().map(shown_process));
        }
        let command_end = self.spawned.as_mut().and_then(|child| child.try_wait().ok().flatten());
        let session = self.about.session(&mut self.live, ended_ns, ended_by);
        let left_running = self.spawned.as_ref().filter(|_| command_end.is_none()).map(|child| child.pid);
        let failure = self.live.failure.take();
        // Memory of as many starts as the window remembers; to give it back piece by piece takes longer than to end.
        let Live { builder, machine, .. } = self.live;
        std::mem::forget((builder, machine));
        Ok(Finished {
            session,
            groups,
            // A signal while its daemon is waited for: neither ready nor all that was asked for.
            command: command_end.filter(|_| {
                self.targets_command && !decided && !(self.awaits_daemon && self.signal.is_some())
            }),
            left_running: left_running.filter(|_| self.targets_command),
            guard: self.guard,
            unended,
            not_ready: ended_by == "window",
            signal: self.signal,
            failure,
        })
    }
}

/// Starts CMD, where there is one.
fn start(request: &Request, guard: Option<&Guard>, live: &mut Live<'_>) -> Result<Option<Spawned>, Error> {
    let Some(argv) = &request.command else { return Ok(None) };
    if live.probe.wants_loaders() {
        programs_of(argv, &request.caller).iter().for_each(|path| live.probe.look_at_program(path));
    }
    let post = guard.map(|guard| guard.posts()[0]);
    // The terminal's Ctrl-C goes to those who are there: a command that comes after it would never hear of it.
    if let Some(signal) = begin::pending()? {
        return Err(Error::Interrupted(signal as i32));
    }
    let asked_ns = boottime_ns();
    let spawned = host::spawn::spawn(argv, &request.caller, request.stdout_to_stderr, post);
    let spawned = spawned.map_err(Error::Spawn)?;
    live.probe.set_command(spawned.pid);
    // It may have come between the two. To a command that has it already, and is before its exec, twice is once.
    if let Some(signal) =
        begin::pending()?.filter(|&signal| !live.probe.was_signalled(signal as i32, asked_ns))
    {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(spawned.pid.cast_signed()), signal);
    }
    Ok(Some(spawned))
}

fn about(request: &Request, pids: Vec<u32>, began: Began, unsettled: u64) -> About {
    let command = request.command.as_ref();
    About {
        mode: match request.wanted.scope {
            Scope::Children => "command",
            Scope::Pids(_) => "pid",
            Scope::System => "system",
        },
        target: Target {
            argv: command.map(|argv| shown(argv, request.redactor.as_deref())),
            pids: (!pids.is_empty()).then_some(pids),
            selectors: request.selectors.describe(),
        },
        level: request.wanted.level,
        env_source: command.map(|_| request.caller.env_source.as_str()),
        began,
        unsettled,
        redacts: request.redactor.is_some(),
    }
}
