//! The recording loop that `record` and `watch` share: from the probes to finished starts.

mod about;
mod begin;
mod forward;
mod live;
mod one;
mod processes;
mod programs;
mod rounds;
pub mod series;

pub(super) use self::about::shown;
use self::live::Live;
pub use self::one::run;
pub(super) use self::processes::check_pids;
use crate::host::caller::Caller;
use crate::host::guard::Guard;
use crate::host::spawn::{Ended, SpawnError};
use crate::method::signal_name;
use crate::probe::{self, Wanted};
use crate::redact::Redactor;
use crate::timeline::Output;
use crate::timeline::live::UnderWay;
use crate::timeline::ready::rule::Rules;
use crate::timeline::select::Selectors;
use crate::trace::schema::{Group, Session};
use std::ffi::OsString;
use std::rc::Rc;
use std::time::Duration;

/// How often the ring is drained while nothing wakes us.
const PERIOD: Duration = Duration::from_millis(20);
/// After the command has ended, what it left behind gets this long to get through its start.
const LINGER_NS: u64 = 100_000_000;
/// After a signal, the command gets this long to end before it is left alone.
const GRACE_NS: u64 = 1_000_000_000;
/// A daemon that is waited for gets this long until somebody is told: it may never be ready.
const TOLD_NS: u64 = 1_500_000_000;

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
    /// How long a copy that works alone is held back for a sibling, which tells what it is.
    pub patience: Duration,
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

    /// The command has ended, and the recording goes on, until what: one line for people.
    fn remark(&mut self, _said: &str) {}
}

/// How a command ended, in words.
pub fn how(ended: Ended) -> String {
    match ended {
        Ended::Exited(code) => format!("ended with status {code}"),
        Ended::Killed { signal, .. } => {
            let name = u32::try_from(signal).ok().and_then(signal_name);
            format!("was ended by {}", name.unwrap_or_else(|| format!("signal {signal}")))
        }
    }
}

/// `nginx (pid 42)`, of the first few.
pub fn named<'l>(processes: impl ExactSizeIterator<Item = (&'l str, u32)>) -> String {
    const SHOWN: usize = 3;
    let more = processes.len().saturating_sub(SHOWN);
    let names = processes.take(SHOWN).map(|(comm, pid)| format!("{comm} (pid {pid})"));
    let mut text = names.collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    crate::trace::text::sanitize(&text)
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
    /// With [`WhenReady::Kill`]: what is there all the same, of what CMD started.
    pub unended: Vec<String>,
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
    /// A signal came before CMD was started: it was not.
    Interrupted(i32),
    /// A PID that is not there, or not a process.
    Target(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl Error {
    /// Of [`Self::Interrupted`], for people.
    pub fn interrupted(signal: i32) -> String {
        format!(
            "{} came before the command was started: nothing is started or recorded",
            about::signal_word(signal)
        )
    }
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
