//! The recording loop that `record` and `watch` share: from the probes to finished starts.

mod forward;
mod live;
pub mod series;

use self::forward::Forward;
use self::live::{Live, Looks};
use super::outside::{self, Lookout};
use crate::event::Id;
use crate::event::order::Order;
use crate::host::caller::Caller;
use crate::host::clock::boottime_ns;
use crate::host::guard::Guard;
use crate::host::spawn::{Ended, Execution, SpawnError};
use crate::host::world::Machine;
use crate::host::{self, priority, privilege, privilege::Capability};
use crate::method::arch::Arch;
use crate::probe::{self, Lost, Plan, Probe, Scope, Wanted, seed::Seeded};
use crate::redact::Redactor;
use crate::timeline::live::UnderWay;
use crate::timeline::ready::rule::Rules;
use crate::timeline::replay::Recorded;
use crate::timeline::select::Selectors;
use crate::timeline::{Builder, CommandStart, Options, Output};
use crate::trace::schema::{Group, Session, Target};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Of the thread that empties the ring when it fills.
const DRAIN_NICE: i32 = -20;
/// How often the ring is drained while nothing wakes us.
const PERIOD: Duration = Duration::from_millis(20);
/// After the command has ended, what it left behind gets this long to get through its start.
const LINGER_NS: u64 = 100_000_000;
/// After the command has ended well, a daemon that it left behind gets this long to be ready.
const DAEMON_NS: u64 = 10_000_000_000;
/// After a signal, the command gets this long to end before it is left alone.
const GRACE_NS: u64 = 1_000_000_000;

/// What to do once the command's start is finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum WhenReady {
    /// Go on recording.
    #[default]
    GoOn,
    /// End the recording and leave the command alone.
    Stop,
    /// End the recording and the command with all that it started.
    Kill,
}

/// What is to be recorded.
pub struct Request {
    /// What the probes are asked for.
    pub wanted: Wanted,
    /// CMD: the target where the scope is [`Scope::Children`], the trigger otherwise.
    pub command: Option<Vec<OsString>>,
    /// As whom CMD runs.
    pub caller: Caller,
    /// CMD's output goes to stderr.
    pub stdout_to_stderr: bool,
    /// End after this time.
    pub duration: Option<Duration>,
    /// End after this many starts.
    pub count: Option<u64>,
    /// The longest start.
    pub window: Option<Duration>,
    /// Roots.
    pub selectors: Selectors,
    /// What makes a start finished.
    pub ready: Rules,
    /// How long quiet has to last; `None`: the usual.
    pub quiet_for: Option<Duration>,
    /// What to do once the command's start is finished.
    pub when_ready: WhenReady,
    /// Variables of the environment that are kept.
    pub env: Vec<String>,
    /// Keep the events, for a replay.
    pub events: Option<std::fs::File>,
    /// Replaces credentials in arguments; `None`: they are kept.
    pub redactor: Option<Rc<Redactor>>,
}

/// What a recording gives its results to.
pub trait Sink {
    /// A finished start, or what amends one.
    ///
    /// # Errors
    /// The results cannot be kept: recording stops.
    fn output(&mut self, output: Output) -> anyhow::Result<Flow>;

    /// About every 20 ms.
    ///
    /// # Errors
    /// As [`Self::output`].
    fn tick(&mut self, progress: &Progress) -> anyhow::Result<Flow>;

    /// How many of the starts under way it wants to be told of before the next tick.
    fn wants_under_way(&self) -> usize {
        0
    }

    /// Those, the oldest first.
    fn under_way(&mut self, _list: Vec<UnderWay>) {}

    /// It wants to know how the recording stands, as if it ended now.
    fn wants_session(&self) -> bool {
        false
    }

    /// That.
    fn session(&mut self, _session: Session) {}
}

/// Does the sink want more?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Yes.
    More,
    /// No: stop, all is well.
    Enough,
}

/// Where the recording stands.
#[derive(Debug, Clone, Copy, Default)]
pub struct Progress {
    /// Since the probes are live.
    pub elapsed: Duration,
    /// Starts finished.
    pub starts: u64,
    /// Starts under way.
    pub in_progress: usize,
}

/// The end of a recording.
pub struct Finished {
    /// For the footer.
    pub session: Session,
    /// For the footer.
    pub groups: Vec<Group>,
    /// How CMD ended, if it was the target and has ended.
    pub command: Option<Ended>,
    /// CMD's pid, where it is still running.
    pub left_running: Option<u32>,
    /// Ends CMD should we be killed as long as this is held.
    pub guard: Option<Guard>,
    /// CMD was to become ready, and did not within the window.
    pub not_ready: bool,
    /// The signal that ended the recording.
    pub signal: Option<i32>,
    /// The sink failed.
    pub failure: Option<anyhow::Error>,
}

/// Why it could not begin.
#[derive(Debug)]
pub enum Error {
    /// The probes; CMD was not started yet.
    Probe(probe::Error),
    /// CMD.
    Spawn(SpawnError),
    /// A PID that is not there, or not a process.
    Target(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl From<probe::Error> for Error {
    fn from(error: probe::Error) -> Self {
        Self::Probe(error)
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Other(error)
    }
}

impl From<nix::Error> for Error {
    fn from(error: nix::Error) -> Self {
        Self::Other(error.into())
    }
}

fn pidfd(pid: u32) -> Result<OwnedFd, Error> {
    // SAFETY: takes numbers, gives a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    if fd >= 0 {
        // SAFETY: new, and nobody else's.
        return Ok(unsafe { <OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd as i32) });
    }
    // A pidfd is for a process; a thread's id is refused.
    let tgid = std::fs::read_to_string(format!("/proc/{pid}/status")).ok().and_then(|status| {
        let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
        line.trim().parse::<u32>().ok()
    });
    Err(Error::Target(match tgid {
        Some(tgid) if tgid != pid => format!("-p {pid}: that is a thread of process {tgid}; use -p {tgid}"),
        Some(_) => format!("-p {pid}: cannot follow it: {}", nix::Error::last()),
        None => format!("-p {pid}: no such process"),
    }))
}

/// Records until something ends it.
///
/// # Errors
/// It could not begin; nothing was traced then, and CMD was not started or could not be.
pub fn run(request: Request, sink: &mut dyn Sink) -> Result<Finished, Error> {
    host::memory::stay_small();
    let Request { wanted, command, caller, .. } = request;
    let (scope, level, profile_hz) = (wanted.scope.clone(), wanted.level, wanted.profile_hz);
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGCHLD] {
        mask.add(signal);
    }
    mask.thread_block()?;
    let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
    let pids: Vec<u32> = if let Scope::Pids(pids) = &scope { pids.clone() } else { Vec::new() };
    let mut pidfds = pids.iter().map(|&pid| pidfd(pid)).collect::<Result<Vec<_>, _>>()?;

    let guard =
        command.as_ref().map(|_| Guard::fork(&caller.owner)).transpose().map_err(anyhow::Error::from)?;
    let post = guard.as_ref().map(|guard| guard.posts()[0]);

    let plan = Plan::choose(wanted)?;
    let opener = plan.opener(&caller.owner)?;
    let mut probe = Probe::attach(&plan)?;
    probe.set_opener(opener);
    let attached_ns = boottime_ns();
    // A selector may pick what runs already, and that may be gone before its first event is looked at.
    let seeds = !pids.is_empty() || !request.selectors.is_empty();
    let seeded = if seeds { probe.seed(&pids)? } else { Seeded::default() };
    // Of those that are followed from now on nothing was seen before they were looked for.
    let began_ns = if pids.is_empty() { attached_ns } else { seeded.since_ns };
    let realtime_offset_ns =
        host::facts::boottime_to_realtime_ns().map_err(anyhow::Error::from)?.max(0).cast_unsigned();
    let began_wall =
        std::time::UNIX_EPOCH + Duration::from_nanos(began_ns.saturating_add(realtime_offset_ns));
    let window_ns = request.window.map(|window| window.as_nanos().min(u64::MAX.into()) as u64);
    let quiet_ns = request.quiet_for.map_or(0, |quiet| quiet.as_nanos().min(u64::MAX.into()) as u64);
    let arch = Arch::HERE;
    let options = Options {
        arch,
        began_ns,
        realtime_offset_ns,
        window_ns,
        selectors: request.selectors.clone(),
        level,
        ready: request.ready.clone(),
        quiet_ns,
        profile_hz,
        redactor: request.redactor.clone(),
        env: request.env.clone(),
    };
    if let Some(pid) = pids.iter().find(|pid| !seeded.processes.iter().any(|id| id.pid == **pid)) {
        return Err(Error::Target(format!("-p {pid}: {}", host::world::why_unmarked(*pid))));
    }
    let mut live = Live {
        probe,
        builder: Builder::new(options),
        order: Order::default(),
        machine: Machine::default(),
        outside: VecDeque::new(),
        loaders: Looks::default(),
        events: request.events.map(std::io::BufWriter::new),
        redactor: request.redactor.clone(),
        sink,
        starts: 0,
        left_out: 0,
        count: request.count,
        enough: false,
        failure: None,
        until_ns: u64::MAX,
        swept_ns: 0,
        timeline: level > crate::level::Level::Lifecycle,
    };
    live.builder.keep_past_in(Box::<host::scratch::Nameless>::default());
    live.keep(&Recorded::Begin {
        arch,
        began_ns,
        realtime_offset_ns,
        window_ns,
        selectors: request.selectors.clone(),
        level,
        ready: request.ready.clone(),
        quiet_ns,
        profile_hz,
        env: request.env.clone(),
    });
    // Before a trigger makes any of them end.
    for id in &seeded.processes {
        live.step(|| Recorded::Seed(*id), |builder, world| builder.seed(*id, world));
    }

    if profile_hz > 0 {
        live.machine.learn_kernel();
    }
    let mut lookout = Lookout::new(&request.ready);
    if live.probe.wants_loaders()
        && let Some(argv) = &command
    {
        programs_of(argv, &caller).iter().for_each(|path| live.probe.look_at_program(path));
    }
    let mut spawned = match &command {
        Some(argv) => {
            Some(host::spawn::spawn(argv, &caller, request.stdout_to_stderr, post).map_err(Error::Spawn)?)
        }
        None => None,
    };
    if let Some(spawned) = &spawned {
        live.probe.set_command(spawned.pid);
    }
    // What could have been started is started: from here on no more than watching is needed. Emptying
    // the ring must not wait for a CPU that those have whom we watch; the thread that does it inherits
    // our priority, which has to be raised while we may.
    let nice = priority::nice().and_then(|nice| priority::set_nice(DRAIN_NICE).map(|()| nice));
    let kept: &[Capability] = if request.when_ready == WhenReady::Kill { &[Capability::Kill] } else { &[] };
    privilege::drop_to(&caller.owner, kept).map_err(anyhow::Error::from)?;
    live.probe.start_drainer()?;
    if let Ok(nice) = nice {
        let _ = priority::set_nice(nice);
    }

    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(&signals, EpollEvent::new(EpollFlags::EPOLLIN, 0))?;
    let edge = EpollFlags::EPOLLIN | EpollFlags::EPOLLET;
    for fd in &pidfds {
        epoll.add(fd.as_fd(), EpollEvent::new(edge, 2))?;
    }
    if let Some(spawned) = &spawned {
        epoll.add(spawned.pidfd.as_fd(), EpollEvent::new(edge, 2))?;
    }

    let about = About {
        mode: match scope {
            Scope::Children => "command",
            Scope::Pids(_) => "pid",
            Scope::System => "system",
        },
        target: Target {
            argv: command.as_ref().map(|argv| shown(argv, request.redactor.as_deref())),
            pids: (!pids.is_empty()).then_some(pids),
            selectors: request.selectors.describe(),
        },
        level,
        env_source: command.as_ref().map(|_| caller.env_source.as_str()),
        began_ns,
        began_wall,
        unsettled: seeded.unsettled.into(),
        redacts: request.redactor.is_some(),
    };
    let targets_command = scope == Scope::Children;
    let deadline = request.duration.map(|duration| began_ns.saturating_add(duration.as_nanos() as u64));
    let mut signal = None;
    let mut forward: Option<Forward> = None;
    let mut last_call: Option<(u64, &'static str)> = None;
    let mut round_ns = 0;
    // When CMD was over.
    let mut over_ns = None;
    let daemon_ns = if request.when_ready == WhenReady::GoOn { DAEMON_NS } else { u64::MAX };
    let mut ended_by = loop {
        let mut ready = [EpollEvent::empty(); 8];
        let period = if lookout.is_active() { outside::PERIOD } else { PERIOD };
        let timeout = EpollTimeout::try_from(period).unwrap_or(EpollTimeout::ZERO);
        let came = match epoll.wait(&mut ready, timeout) {
            Ok(came) => came,
            Err(nix::Error::EINTR) => 0,
            Err(error) => return Err(error.into()),
        };
        let now = boottime_ns();
        if !lookout.is_empty() {
            live.outside.extend(lookout.look(boottime_ns));
            if came == 0 && now.saturating_sub(round_ns) < PERIOD.as_nanos() as u64 {
                continue;
            }
            lookout.want(|rule| live.builder.waits_for(rule));
        }
        round_ns = now;
        while let Ok(Some(info)) = signals.read_signal() {
            let number = info.ssi_signo as i32;
            if number != libc::SIGCHLD && signal.is_none() {
                signal = Some(number);
                forward = Forward::of(&info, now).filter(|_| targets_command);
            } else if number != libc::SIGCHLD {
                // Asked twice: at once.
                last_call = Some((now, signal_word(number)));
            }
        }
        if let (Some(due), Some(spawned)) = (forward.take_if(|forward| forward.is_due(now)), &spawned) {
            due.pass_on(&mut live.probe, spawned.pid);
        }
        if let Some(child) = &mut spawned {
            if let Execution::Failed(error) = child.execution(Some(Duration::ZERO)) {
                return Err(Error::Spawn(error));
            }
            let _ = child.try_wait();
        }
        pidfds.retain(|fd| !is_readable(fd));

        live.pump(false)?;
        live.tick(now.saturating_sub(PERIOD.as_nanos() as u64));
        live.deliver();
        let most = live.sink.wants_under_way();
        if most > 0 {
            let list = live.builder.under_way(now, most);
            live.sink.under_way(list);
        }
        if live.sink.wants_session() {
            let session = about.session(&mut live, now, "saved");
            live.sink.session(session);
        }
        let progress = Progress {
            elapsed: Duration::from_nanos(now.saturating_sub(began_ns)),
            starts: live.starts,
            in_progress: live.builder.in_progress(),
        };
        match live.sink.tick(&progress) {
            Ok(Flow::More) => {}
            Ok(Flow::Enough) => live.enough = true,
            Err(error) => live.failure = live.failure.take().or(Some(error)),
        }

        let command_over = targets_command
            && spawned.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_)) | Err(_)));
        if live.failure.is_some() {
            break "error";
        }
        if live.enough {
            break if request.count.is_some_and(|count| live.starts >= count) { "count" } else { "reader" };
        }
        if deadline.is_some_and(|deadline| now >= deadline) {
            break "duration";
        }
        if request.when_ready != WhenReady::GoOn && signal.is_none() {
            match live.builder.command() {
                CommandStart::Ready => break "ready",
                CommandStart::TimedOut => break "window",
                CommandStart::Open | CommandStart::Ended => {}
            }
        }
        if last_call.is_none() {
            if let Some(number) = signal {
                let grace = if targets_command && !command_over { GRACE_NS } else { 0 };
                last_call = Some((now + grace, signal_word(number)));
            } else if command_over {
                last_call = Some((now + LINGER_NS, "command"));
            } else if about.target.pids.is_some() && pidfds.is_empty() {
                last_call = Some((now + LINGER_NS, "pids"));
            }
        }
        if let Some((at, why)) = last_call {
            let over = if signal.is_some() {
                command_over || !targets_command
            } else {
                // Not before the ring was drained once more: what it left may be on its way to us.
                let drained = now > at.saturating_sub(LINGER_NS) && live.order.is_empty();
                drained && live.builder.in_progress() == 0
            };
            // A daemon may be seen only after the command's end.
            let stays = why == "command"
                && signal.is_none()
                && now.saturating_sub(*over_ns.get_or_insert(now)) < daemon_ns
                && live.daemon_starts(&mut spawned);
            if over || (now >= at && !stays) {
                break why;
            }
        }
    };

    if let (Some(early), Some(spawned)) = (forward, &spawned) {
        early.pass_on(&mut live.probe, spawned.pid);
    }
    let tree = if request.when_ready == WhenReady::Kill { live.builder.command_tree() } else { Vec::new() };
    // Before the probes go, one by one: what some of them see then, others miss.
    let ended_ns = boottime_ns();
    live.until_ns = ended_ns;
    live.probe.detach();
    if live.failure.is_none() {
        live.pump(true)?;
    }
    let mut groups = Vec::new();
    live.step(|| Recorded::End(ended_ns), |builder, world| groups = builder.end(ended_ns, world));
    live.enough &= request.count.is_some();
    live.deliver();
    // The last start that was wanted may come out only now; any after it were cut off.
    if request.count.is_some_and(|count| live.starts >= count) {
        ended_by = "count";
    }
    if let Some(mut events) = live.events.take() {
        // The trace is whole without them.
        if let Err(error) = events.flush() {
            tracing::warn!("not all events are kept: {error}");
        }
    }

    let decided = matches!(ended_by, "ready" | "window");
    let killed = decided && request.when_ready == WhenReady::Kill;
    if let Some(child) = spawned.as_mut().filter(|_| killed) {
        kill_tree(child, &tree);
    }
    let command_end = spawned.as_mut().and_then(|child| child.try_wait().ok().flatten());
    let session = about.session(&mut live, ended_ns, ended_by);
    let left_running = spawned.as_ref().filter(|_| command_end.is_none()).map(|child| child.pid);
    let failure = live.failure.take();
    // Memory of as many starts as the window remembers; to give it back piece by piece takes longer than to end.
    let Live { builder, machine, .. } = live;
    std::mem::forget((builder, machine));
    Ok(Finished {
        session,
        groups,
        command: command_end.filter(|_| targets_command && !decided),
        left_running: left_running.filter(|_| targets_command),
        guard,
        not_ready: ended_by == "window",
        signal,
        failure,
    })
}

/// A command as the session has it.
pub(super) fn shown(argv: &[OsString], redactor: Option<&Redactor>) -> Vec<String> {
    let argv: Vec<String> = argv.iter().map(encode).collect();
    match redactor.and_then(|redactor| redactor.argv(&argv)) {
        Some(redacted) => redacted.argv,
        None => argv,
    }
}

/// What is known of a recording from its beginning on.
struct About {
    mode: &'static str,
    target: Target,
    level: crate::level::Level,
    env_source: Option<&'static str>,
    began_ns: u64,
    began_wall: std::time::SystemTime,
    unsettled: u64,
    redacts: bool,
}

impl About {
    /// The recording as it is, or would be, at its end.
    fn session(&self, live: &mut Live<'_>, ended_ns: u64, ended_by: &str) -> Session {
        let lost = losses(live, self.unsettled);
        Session {
            mode: self.mode.to_owned(),
            target: self.target.clone(),
            level: self.level.name().to_owned(),
            env_source: self.env_source.map(str::to_owned),
            started_at: humantime::format_rfc3339_nanos(self.began_wall).to_string(),
            duration_ns: ended_ns.saturating_sub(self.began_ns),
            ended_by: ended_by.to_owned(),
            complete: live.failure.is_none() && is_complete(&lost),
            lost,
            hooks: live.probe.hooks(),
            hooks_missing: live.probe.hooks_missing(),
            not_observed: Some(live.probe.not_observed().to_vec()),
            redacted: self.redacts.then_some(live.builder.redacted),
            starts: live.starts,
            left_out: live.left_out,
            runs: Vec::new(),
        }
    }
}

/// All counters of what was missed.
fn losses(live: &mut Live<'_>, seeding_unsettled: u64) -> Lost {
    let mut lost = live.probe.lost();
    lost.insert("late_events".to_owned(), live.order.late);
    lost.insert("exits_unseen".to_owned(), live.builder.missed.exits);
    lost.insert("forks_unseen".to_owned(), live.builder.missed.forks);
    lost.insert("execs_dropped".to_owned(), live.builder.missed.execs);
    lost.insert("paths_cut".to_owned(), live.builder.missed.paths);
    lost.insert("seeding_unsettled".to_owned(), seeding_unsettled);
    lost
}

/// Ends CMD and what it started: asks CMD, then what it left, and then does not ask.
fn kill_tree(child: &mut host::spawn::Spawned, tree: &[Id]) {
    let send = |pid: u32, signal| {
        let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid.cast_signed()), signal);
    };
    let alive = || tree.iter().filter(|id| host::world::is_alive(**id));
    let begun_ns = boottime_ns();
    send(child.pid, Signal::SIGTERM);
    let mut asked_all = false;
    loop {
        let gone = matches!(child.try_wait(), Ok(Some(_)) | Err(_));
        if gone && alive().next().is_none() {
            return;
        }
        let late = boottime_ns().saturating_sub(begun_ns) > GRACE_NS;
        if !asked_all && (gone || late) {
            asked_all = true;
            alive().for_each(|id| send(id.pid, Signal::SIGTERM));
        }
        if boottime_ns().saturating_sub(begun_ns) > 2 * GRACE_NS {
            alive().for_each(|id| send(id.pid, Signal::SIGKILL));
            if !gone {
                send(child.pid, Signal::SIGKILL);
                let _ = child.wait();
            }
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Names by which scripts and people call CPython.
const PYTHONS: [&str; 2] = ["python3", "python"];

/// Words of a command that may be another one, behind those of a wrapper.
const WRAPPED: usize = 8;

/// The files that a command most likely starts, of those that have to be looked at before they begin: itself, what a
/// wrapper (`env`, `nice`, `timeout`) is given by its path, and the Pythons that scripts call.
fn programs_of(argv: &[OsString], caller: &Caller) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |path: &&OsString| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let wrapped = argv.iter().skip(1).take(WRAPPED).filter(|word| word.as_bytes().contains(&b'/'));
    let wrapped = wrapped.filter(is_program).filter_map(|word| std::path::absolute(word).ok());
    let pythons = PYTHONS.iter().filter_map(|name| program_path(&[OsString::from(name)], caller));
    program_path(argv, caller).into_iter().chain(wrapped).chain(pythons).collect()
}

/// The file that a command most likely is.
fn program_path(argv: &[OsString], caller: &Caller) -> Option<PathBuf> {
    let name = argv.first()?;
    if name.as_bytes().contains(&b'/') {
        return std::path::absolute(name).ok();
    }
    let mut folders = caller.env.get("PATH")?.split(|&byte| byte == b':');
    let path = folders.find_map(|folder| {
        let path = Path::new(OsStr::from_bytes(folder)).join(name);
        path.is_file().then_some(path)
    });
    std::path::absolute(path?).ok()
}

fn encode(arg: &OsString) -> String {
    crate::trace::text::encode(std::os::unix::ffi::OsStrExt::as_bytes(arg.as_os_str()))
}

/// Events out of order were still taken, and a byte count repeats another counter; all else is loss.
fn is_complete(lost: &Lost) -> bool {
    lost.iter().all(|(name, &n)| n == 0 || matches!(name.as_str(), "late_events"))
}

fn signal_word(signal: i32) -> &'static str {
    match signal {
        libc::SIGINT => "SIGINT",
        libc::SIGTERM => "SIGTERM",
        libc::SIGHUP => "SIGHUP",
        _ => "signal",
    }
}

fn is_readable(fd: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout};
    let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
    matches!(nix::poll::poll(&mut fds, PollTimeout::ZERO), Ok(n) if n > 0)
}
