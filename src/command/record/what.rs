//! The options that say what to record, as `record`, `watch` and `stat` share them.

use crate::command::recording::Request;
use crate::command::redaction::RedactArgs;
use crate::host::caller;
use crate::level::Level;
use crate::probe::{Scope, Wanted};
use crate::sort::SortSmall;
use crate::timeline::ready::rule::{Kind, Rule, Rules};
use crate::timeline::select::Selectors;
use crate::trace::text::shell_word;
use crate::words::parse_time;
use clap::Args;
use std::ffi::OsString;
use std::time::Duration;

const WHAT: &str = "What to follow (with CMD alone: CMD and all that it starts)";
const WHEN: &str = "When to stop";
pub(super) const READY: &str = "When a start is finished";

/// What to record, as `record` and `watch` share it.
#[derive(Debug, Clone, Args)]
pub struct WhatArgs {
    /// Follow these running processes and everything they start
    #[arg(short, long, value_name = "PID", value_delimiter = ',', num_args = 1, allow_negative_numbers = true,
          value_parser = process_id, help_heading = WHAT)]
    pub pid: Vec<u32>,

    /// Follow every start on the machine
    #[arg(short, long, conflicts_with = "pid", help_heading = WHAT)]
    pub all: bool,

    /// Follow processes of this user (name or number), and what they start
    #[arg(long, value_name = "USER", value_delimiter = ',', conflicts_with = "pid", help_heading = WHAT)]
    pub uid: Vec<String>,

    /// ... with this task name, of which the kernel keeps 15 bytes (* and ? allowed)
    #[arg(long, value_name = "NAME", conflicts_with = "pid", help_heading = WHAT)]
    pub comm: Vec<String>,

    /// ... of this executable: a path or a base name (* and ? allowed)
    #[arg(long, value_name = "EXE", conflicts_with = "pid", help_heading = WHAT)]
    pub exe: Vec<String>,

    /// ... in this cgroup (a path; * and ? allowed) or below
    #[arg(long, value_name = "GLOB", conflicts_with = "pid", help_heading = WHAT)]
    pub cgroup: Vec<String>,

    /// ... of this systemd unit
    #[arg(long, value_name = "UNIT", conflicts_with = "pid", help_heading = WHAT)]
    pub unit: Vec<String>,

    /// ... of the container whose id begins so
    #[arg(long, value_name = "ID", value_parser = container_id, conflicts_with = "pid", help_heading = WHAT)]
    pub container: Vec<String>,

    /// ... of the Kubernetes pod with this UID
    #[arg(long, value_name = "UID", conflicts_with = "pid", help_heading = WHAT)]
    pub pod: Vec<String>,

    /// Stop after this time (10s, 5m, 500ms)
    #[arg(long, value_name = "TIME", value_parser = some_time, allow_hyphen_values = true, help_heading = WHEN)]
    pub duration: Option<Duration>,

    /// Stop after this many finished starts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = WHEN)]
    pub count: Option<u64>,

    /// Give a start up as 'timeout' after this time [default: 10m; for a command to start: never]
    #[arg(long, value_name = "TIME", value_parser = some_time, allow_hyphen_values = true, help_heading = WHEN)]
    pub window: Option<Duration>,

    /// What makes a start finished: auto, listen, accept, notify, quiet, exit, exec, output[:REGEX],
    /// file:PATH, mark:NAME, a time, http://HOST:PORT/PATH or tcp:PORT; see the end of 'record --help'. It is for
    /// CMD; with -p, -a and selectors for every start. EXE=KIND is for the starts of an executable (a path
    /// or a base name; * and ? allowed), and may be given several times [default: auto]
    #[arg(long, value_name = "KIND", help_heading = READY)]
    pub ready: Vec<String>,

    /// How long a start has to be quiet to be ready by that [default: 1s]
    #[arg(long, value_name = "TIME", value_parser = quiet_time, allow_hyphen_values = true, help_heading = READY)]
    pub quiet_for: Option<Duration>,

    /// How closely to look [default: timeline]
    #[arg(long, value_enum, default_value_t, hide_default_value = true)]
    pub level: Level,

    /// With -a and selectors, too, look into libc and ld.so: phases load, link and init, failed execs. It
    /// costs every process of the machine 50 to 120 us at its start. Always on for a command and for -p; asked for,
    /// also in a root with a mount of its own, which is then in use until a second after its last process
    #[arg(long)]
    pub library_probes: bool,

    /// Exact entry times, failed execs and failed forks with -p, -a and selectors too, where the
    /// kernel has nothing better; while it records, every system call of the machine takes some 50 ns
    /// longer. Always on for a command to start
    #[arg(long)]
    pub syscall_hooks: bool,

    /// Look HZ times a second what is on each CPU, and tell of the starts which functions ran: a profile, by frame
    /// pointers (99 is usual; a start of 50 ms takes 999 to say much)
    #[arg(long, value_name = "HZ", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub profile: Option<u32>,

    /// What becomes of credentials.
    #[command(flatten)]
    pub redaction: RedactArgs,
    /// Keep this variable of each process's environment in the trace, such as TRACEPARENT; no other is
    /// recorded. May be given several times; what had ended within some 20 ms of its exec has none
    #[arg(long, value_name = "NAME", value_parser = variable)]
    pub env: Vec<String>,

    /// Run CMD as this user (USER or USER:GROUP) instead of the caller of sudo
    #[arg(long, value_name = "USER", requires = "command")]
    pub run_as: Option<String>,

    /// The command to start and follow; with -p, -a or a selector: one that makes them start
    /// something
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// How much of its name a task has (`TASK_COMM_LEN`, without the NUL).
const COMM_BYTES: usize = 15;

/// The longest start where nothing else is said and there is no command to wait for.
const DEFAULT_WINDOW: Duration = Duration::from_secs(600);

/// A name that a variable can have.
fn variable(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(['=', '\0']) {
        return Err("the name of a variable, without its value".to_owned());
    }
    Ok(text.to_owned())
}

/// Shorter, and the 20 ms of our own looking matter; longer than any start.
pub(in crate::command) fn quiet_time(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(&time) {
        Ok(time)
    } else {
        Err("from 100ms to 1h, such as 500ms".to_owned())
    }
}

/// A checked request.
pub struct Checked {
    /// What the probes follow.
    pub scope: Scope,
    /// Roots.
    pub selectors: Selectors,
    /// What makes a start finished.
    pub ready: Rules,
}

impl WhatArgs {
    /// Is any selector given?
    pub fn has_selector(&self) -> bool {
        [&self.uid, &self.comm, &self.exe, &self.cgroup, &self.unit, &self.container, &self.pod]
            .iter()
            .any(|values| !values.is_empty())
    }

    /// Neither processes nor a selector nor a command are given.
    pub fn targets_nothing(&self) -> bool {
        self.pid.is_empty() && !self.has_selector() && self.command.is_empty()
    }

    /// What is to be followed.
    ///
    /// # Errors
    /// Nothing to follow, or a user that does not exist; the text says which option to use.
    pub fn check(&self, command: &str) -> Result<Checked, String> {
        self.check_patterns()?;
        let uids = self.uid.iter().map(|user| uid_of(user)).collect::<Result<Vec<_>, _>>()?;
        let selectors = Selectors {
            uids,
            comms: self.comm.clone(),
            exes: self.exe.clone(),
            cgroups: self.cgroup.clone(),
            units: self.unit.clone(),
            containers: self.container.clone(),
            pods: self.pod.clone(),
        };
        let scope = if !self.pid.is_empty() {
            let mut pids = self.pid.clone();
            pids.sort_small_by(Ord::cmp);
            pids.dedup();
            Scope::Pids(pids)
        } else if self.all || !selectors.is_empty() {
            Scope::System
        } else if !self.command.is_empty() {
            Scope::Children
        } else {
            return Err(format!(
                "nothing to {command}: give a command ('startrace {command} -- CMD...'), processes (-p PID), \
                 everything (-a), or a selector such as --unit"
            ));
        };
        let ready = self.rules(&scope)?;
        Ok(Checked { scope, selectors, ready })
    }

    /// What could match nothing is a slip of the pen, and would be waited for in vain.
    fn check_patterns(&self) -> Result<(), String> {
        let lists = [
            ("--comm", &self.comm),
            ("--exe", &self.exe),
            ("--cgroup", &self.cgroup),
            ("--unit", &self.unit),
            ("--pod", &self.pod),
        ];
        for (option, values) in lists {
            if values.iter().any(String::is_empty) {
                return Err(format!("{option} '': that is no name, and nothing would match it"));
            }
        }
        let too_long = |comm: &&String| comm.bytes().filter(|&byte| byte != b'*').count() > COMM_BYTES;
        let Some(comm) = self.comm.iter().find(too_long) else { return Ok(()) };
        let mut end = COMM_BYTES.min(comm.len());
        while !comm.is_char_boundary(end) {
            end -= 1;
        }
        // Of a character that is cut in two no more than its beginning is left.
        let cut = if end < COMM_BYTES { format!("{}*", &comm[..end]) } else { comm[..end].to_owned() };
        let use_this = match comm.contains('*') {
            true => "a shorter pattern".to_owned(),
            false => format!("--comm {}", shell_word(cut.as_bytes())),
        };
        Err(format!(
            "--comm {comm}: the kernel keeps the first {COMM_BYTES} bytes of a task's name, so that nothing would match: use {use_this}"
        ))
    }

    /// What makes a start finished.
    fn rules(&self, scope: &Scope) -> Result<Rules, String> {
        let command = *scope == Scope::Children;
        let mut rules = Rules { list: Vec::new(), command };
        for text in &self.ready {
            let rule = Rule::parse(text).map_err(|why| format!("--ready: {why}"))?;
            if rule.kind.needs_tasks() && self.level == Level::Lifecycle {
                return Err(format!(
                    "--ready {text}: that is not seen at --level lifecycle; use --level timeline"
                ));
            }
            if rules.list.iter().any(|other| other.exe == rule.exe) {
                return Err(match rule.exe {
                    Some(exe) => format!("--ready {text}: there is a --ready {exe}=... already"),
                    None => format!("--ready {text}: only one may be without an executable (EXE=KIND)"),
                });
            }
            rules.list.push(rule);
        }
        if self.profile.is_some() && self.level == Level::Lifecycle {
            return Err(
                "--profile: there are no samples at --level lifecycle; use --level timeline".to_owned()
            );
        }
        if self.quiet_for.is_some() && self.level == Level::Lifecycle {
            return Err(
                "--quiet-for: quiet is not seen at --level lifecycle; use --level timeline".to_owned()
            );
        }
        Ok(rules)
    }

    /// What the probes are asked for.
    pub fn wanted(&self, scope: Scope) -> Wanted {
        let usual = Wanted::of(scope);
        Wanted {
            syscall_hooks: self.syscall_hooks || usual.syscall_hooks,
            library_probes: self.library_probes || usual.library_probes,
            mounted_roots: self.library_probes,
            level: self.level,
            profile_hz: self.profile.unwrap_or(0),
            output: self.ready.iter().any(|text| asks_for_output(text)),
            scope: usual.scope,
        }
    }

    /// The request for the recording loop.
    ///
    /// # Errors
    /// `--run-as` names nobody; sudo's variables are not as sudo sets them.
    pub fn request(&self, checked: Checked) -> anyhow::Result<Request> {
        let caller = caller::resolve(self.run_as.as_deref())?;
        let targets_command = checked.scope == Scope::Children;
        let window = self.window.or((!targets_command).then_some(DEFAULT_WINDOW));
        Ok(Request {
            wanted: self.wanted(checked.scope),
            command: (!self.command.is_empty()).then(|| self.command.clone()),
            caller,
            stdout_to_stderr: false,
            duration: self.duration,
            count: self.count,
            window,
            selectors: checked.selectors,
            ready: checked.ready,
            quiet_for: self.quiet_for,
            patience: Duration::ZERO,
            when_ready: Default::default(),
            env: self.env.clone(),
            events: None,
            redactor: self.redaction.redactor()?,
        })
    }
}

/// Is that a `--ready` that takes the hook on writes?
fn asks_for_output(ready: &str) -> bool {
    Rule::parse(ready).is_ok_and(|rule| matches!(rule.kind, Kind::Output(_)))
}

/// A process to follow.
fn process_id(text: &str) -> Result<u32, String> {
    const WHAT: &str = "a PID is a number from 1 on: 'pgrep -a NAME' and 'ps' tell it";
    match text.parse() {
        Ok(pid) if pid > 0 => Ok(pid),
        Ok(_) => Err(WHAT.to_owned()),
        Err(_) if text.bytes().any(|byte| byte.is_ascii_alphabetic()) => {
            Err(format!("{WHAT}; --comm and --exe take a name"))
        }
        Err(_) => Err(WHAT.to_owned()),
    }
}

/// A time in which something can happen.
pub(in crate::command) fn some_time(text: &str) -> Result<Duration, String> {
    match parse_time(text)? {
        time if time.is_zero() => Err("it has to be longer than nothing".to_owned()),
        time => Ok(time),
    }
}

/// The beginning of a container's id, which is 64 hexadecimal digits. Fewer than this many would pick
/// containers that nobody meant.
const CONTAINER_ID: std::ops::RangeInclusive<usize> = 4..=64;

fn container_id(text: &str) -> Result<String, String> {
    if !text.bytes().all(|b| b.is_ascii_hexdigit()) || !CONTAINER_ID.contains(&text.len()) {
        return Err(format!(
            "the beginning of a container's id is {} to {} hexadecimal digits (its name will not do; LXC's \
             containers have no id: --cgroup '*lxc.payload.NAME')",
            CONTAINER_ID.start(),
            CONTAINER_ID.end()
        ));
    }
    Ok(text.to_ascii_lowercase())
}

fn uid_of(user: &str) -> Result<u32, String> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let accounts = crate::host::accounts::Accounts::read(std::path::Path::new("/etc"))
        .map_err(|error| format!("--uid {user}: {error}"))?;
    accounts
        .user_by_name(user.as_bytes())
        .map(|found| found.uid)
        .ok_or_else(|| format!("--uid {user}: no such user in /etc/passwd; give the number"))
}
