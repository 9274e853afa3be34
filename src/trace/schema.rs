//! The types of a trace, schema `startrace/1`.
//!
//! One set of types serves the JSON document, the NDJSON lines, the JSON Schema (`startrace schema`)
//! and every reading command. All times are integer nanoseconds. `at_ns` counts from the start's own
//! origin. Unknown is `null`. Fields may be added under `startrace/1`; none is renamed or changes its
//! meaning.
//!
//! Strings that come from a traced process keep every byte: see [`super::text`].

mod files;
mod profile;

pub use files::{FileSums, Files, FolderMisses, OpenedFile, SourcedFile};
pub use profile::{Profile, ProfiledFunction, ProfiledStack};

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The schema's name, as written in `schema`.
pub const SCHEMA: &str = "startrace/1";

/// A whole trace, as one JSON document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Trace {
    /// Schema, tool and host.
    #[serde(flatten)]
    pub header: Header,
    /// All starts, parents before their children.
    pub starts: Vec<Start>,
    /// Forks that failed.
    #[serde(default)]
    pub failed_forks: Vec<FailedFork>,
    /// Starts that belong together: worker pools.
    #[serde(default)]
    pub groups: Vec<Group>,
    /// What makes the starts slow, over all of them.
    #[serde(flatten)]
    pub diagnosis: Diagnosis,
    /// How the recording was made and what was lost; last, because only the end knows it.
    pub session: Session,
}

/// What made the trace, and where.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Header {
    /// Always `startrace/1` in this version.
    pub schema: String,
    /// The program that recorded.
    pub tool: Tool,
    /// The machine that was recorded.
    pub host: Host,
}

/// The program that recorded the trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Tool {
    /// `startrace`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// The machine that was recorded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Host {
    /// Node name (`uname -n`).
    pub hostname: String,
    /// Kernel release (`uname -r`).
    pub kernel: String,
    /// Machine architecture (`uname -m`).
    pub arch: String,
    /// The kernel's id of this boot; process ids and times are comparable only within it.
    pub boot_id: Option<String>,
    /// Processors online.
    pub cpus: u32,
    /// The processors' model name.
    pub cpu_model: Option<String>,
    /// CPU quota of the recorder's own cgroup in processors, `null` where there is none.
    pub cpu_quota: Option<f64>,
}

/// One start: the creation of a process and every exec up to readiness, or an exec in place after it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Start {
    /// `id/seq`: the key to join by.
    pub start_id: String,
    /// The process: `pid@start_boottime`, unique on this boot.
    pub id: String,
    /// 0: the process's first start; 1 and up: a later exec in place. A process that was running
    /// before the recording has no seq 0 (unless `partial`).
    pub seq: u32,
    /// The recording began in the middle of this start: the first phase is `unobserved`.
    pub partial: bool,
    /// Process id (tgid) in the initial PID namespace.
    pub pid: u32,
    /// Process id in the process's own PID namespace.
    pub ns_pid: Option<u32>,
    /// Task name, at most 15 bytes; set by the program itself at will.
    pub comm: String,
    /// Who created the process (the task that called fork, which need not be `ppid`); for an exec
    /// in place, the creator where known.
    pub parent: Option<ProcessRef>,
    /// Who asked for the start, where that is not the parent (a fork server's client).
    pub requested_by: Option<ProcessRef>,
    /// Effective user id, at the end of the start.
    pub uid: Option<u32>,
    /// Effective group id, likewise.
    pub gid: Option<u32>,
    /// Working directory at the last exec (of the parent's, for a fork).
    pub cwd: Option<String>,
    /// Cgroup: the v2 path, or the v1 cpu controller's where v2 is not in use.
    pub cgroup: Option<String>,
    /// systemd unit, read from the cgroup path.
    pub unit: Option<String>,
    /// Container, read from the cgroup path.
    pub container: Option<Container>,
    /// How the process was started.
    pub method: Method,
    /// Resolved path of the executable (of the parent's, for a fork without exec), as the process itself
    /// sees it. ` (deleted)` is appended where the file had no name any more at the exec (a path can end
    /// so by itself, too); a memfd is `/memfd:NAME (deleted)`.
    pub exe: Option<String>,
    /// Arguments of the last exec of the start.
    pub argv: Option<Vec<String>>,
    /// True size of the argument area in bytes, terminators included.
    pub argv_bytes: Option<u64>,
    /// `argv` holds less than `argv_bytes`.
    pub argv_truncated: bool,
    /// Of the variables that were asked for by name (`--env`) those that its environment had at its last exec
    /// (of the parent's, for a fork). `null` or absent where none was asked for, and where it could not be read
    /// (the process had ended).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<BTreeMap<String, String>>,
    /// Every exec of the start, failed ones too, in order of time.
    pub execs: Vec<Exec>,
    /// What the ELF file says.
    pub binary: Option<Binary>,
    /// When, and where the time went.
    pub timeline: Timeline,
    /// How the process ended, `null` while it runs (as far as the trace knows).
    pub exit: Option<Exit>,
    /// What makes this start slow, dearest first. Written with the start: what only its siblings tell
    /// is in the trace's own `findings`.
    #[serde(default)]
    pub findings: Vec<Finding>,
}

/// What one start could do without.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Its name in the catalogue: `startrace report --explain ID` prints the page on it.
    pub id: String,
    /// How much it matters to this start.
    pub severity: Severity,
    /// Wall time on this start's own critical path that would go away; never more than was measured.
    /// `null` where it cannot be priced.
    pub cost_ns: Option<u64>,
    /// Where the price comes from; `null` where there is none.
    pub basis: Option<Basis>,
    /// What was found, in a sentence.
    pub summary: String,
    /// The numbers behind it; times in nanoseconds end in `_ns`.
    #[serde(default)]
    pub evidence: BTreeMap<String, serde_json::Value>,
    /// What to change.
    pub advice: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Worth a change.
    Warning,
    /// A large part of the time, or a start that fails.
    Critical,
}

/// Where a price comes from: never from anything but this trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The time that was seen to be spent on it.
    Measured,
    /// Calculated from other times of this trace.
    Scaled,
}

/// What was found over all starts of a trace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Diagnosis {
    /// Equal findings of many starts are one; dearest first.
    #[serde(default)]
    pub findings: Vec<Joined>,
    /// Findings that this trace cannot feed.
    #[serde(default)]
    pub not_examined: Vec<NotExamined>,
}

/// A finding over all starts that it concerns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Joined {
    /// Its name in the catalogue.
    pub id: String,
    /// How much it matters to the whole.
    pub severity: Severity,
    /// Wall time that would go away: that part of the findings of all `starts` which lies on the critical
    /// path of the whole (of the start that all others belong to), each nanosecond once. 0 where nothing
    /// waits for it, `null` where it cannot be priced. Savings of several findings must not be added up
    /// where they are in each other's `overlaps`.
    pub saves_ns: Option<u64>,
    /// Where the price comes from; `null` where there is none.
    pub basis: Option<Basis>,
    /// The starts that it concerns, the dearest first; at most 1,000.
    #[serde(default)]
    pub starts: Vec<String>,
    /// How many starts it concerns.
    #[serde(default)]
    pub n: u64,
    /// Findings that have nanoseconds of that path in common with this one.
    #[serde(default)]
    pub overlaps: Vec<String>,
    /// What the time goes to, as it follows "3.1 s of it: ".
    #[serde(default)]
    pub what: String,
    /// What was found, in a sentence.
    pub summary: String,
    /// The numbers behind the dearest of them.
    #[serde(default)]
    pub evidence: BTreeMap<String, serde_json::Value>,
    /// What to change.
    pub advice: String,
}

/// A finding that this trace cannot feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NotExamined {
    /// Its name in the catalogue.
    pub finding: String,
    /// What it needs.
    pub needs: String,
}

/// A reference to a process, which may have no record of its own in the trace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessRef {
    /// The start that the process was in, where this trace has it.
    pub start_id: Option<String>,
    /// `pid@start_boottime`, where known.
    pub id: Option<String>,
    /// Process id in the initial PID namespace.
    pub pid: u32,
    /// Task name, where known.
    pub comm: Option<String>,
}

/// A container, as the cgroup path tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Container {
    /// Container id (usually 64 hex digits).
    pub id: String,
    /// `docker`, `containerd`, `crio`, `podman`, `lxc` ..., where the path tells.
    pub runtime: Option<String>,
    /// Kubernetes pod UID.
    pub pod: Option<String>,
}

/// How a process was started, with the reasons for saying so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Method {
    /// The headline: the pattern if there is one, else the mechanism.
    pub name: String,
    /// The system call that the kernel saw: `fork`, `vfork`, `clone`, `clone3`, `exec` or `kernel`;
    /// `null` for a process whose creation was not observed.
    pub primitive: Option<String>,
    /// `fork`, `fork_exec`, `vfork`, `vfork_exec`, `posix_spawn`, `clone`, `clone_exec`, `exec`,
    /// `kernel_helper`; `null` where the creation was not observed.
    pub mechanism: Option<String>,
    /// Which library or runtime made the call (`glibc`, `cpython.subprocess`, `go` ...).
    pub library: Option<String>,
    /// What it is for (`multiprocessing.spawn`, `shell.pipeline`, `daemon` ...), `null` for a plain start.
    pub pattern: Option<String>,
    /// How sure the name is.
    pub confidence: Confidence,
    /// The facts that led to the name, in words that a user can check.
    pub evidence: Vec<String>,
    /// Names of the clone flags; empty for an exec in place.
    pub clone_flags: Vec<String>,
    /// Signal that the parent gets when the process ends, `null` for none or for an exec in place.
    pub exit_signal: Option<String>,
}

/// How sure a method's name is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Compatible with the events, as are other names.
    #[default]
    Guess,
    /// The fingerprint is unique among the known ones.
    Likely,
    /// Kernel facts or a library's own argv decide.
    Certain,
}

/// One exec, successful or not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Exec {
    /// Entry into the call, from the start's origin.
    pub at_ns: u64,
    /// From entry to the new image being in place, or to the call's failure; `null` where the entry
    /// was not observed.
    pub duration_ns: Option<u64>,
    /// The path that was asked for; `null` where it could not be read.
    pub path: Option<String>,
    /// The interpreter that the kernel took from a `#!` line.
    pub interpreter: Option<String>,
    /// Name of the error (`ENOENT` ...), `unknown` where only the failure was seen, `null` for success.
    pub error: Option<String>,
}

/// What the executable's ELF file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Binary {
    /// `dynamic`, `static` or `static-pie`.
    pub linkage: Option<String>,
    /// GNU build-id in hex.
    pub build_id: Option<String>,
    /// ELF interpreter (`PT_INTERP`).
    pub interpreter: Option<String>,
    /// Direct `DT_NEEDED` entries.
    pub needed: Option<u32>,
    /// Dynamic relocations of the executable.
    pub relocations: Option<u64>,
    /// Language runtime, such as `cpython 3.11`, `go 1.22`, `jvm`, `node`; `null` where none is seen.
    pub runtime: Option<String>,
    /// A well-known program that starts others, where its ELF file shows that it is that one, whatever
    /// it is called: `bash`, `zsh`, `make`, `nginx`, `postgres`, `sudo`; `pyinstaller` for what that made
    /// of a program in Python; `null` for any other.
    #[serde(default)]
    pub program: Option<String>,
    /// The file bears the name of a well-known program that starts others, and what its ELF file imports
    /// shows that it is another program (`true`) or may well be that one (`false`); absent where the name is
    /// none of those or the file does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub misnamed: Option<bool>,
}

// By reference, as serde wants it.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// When the start happened and where its time went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Timeline {
    /// Wall-clock time of the origin, RFC 3339.
    pub started_at: String,
    /// Origin on the boottime clock: entry into fork/clone, or into exec for an exec in place.
    pub origin_boottime_ns: u64,
    /// How exactly the origin is known.
    pub origin: Origin,
    /// From origin to ready.
    pub duration_ns: u64,
    /// What ended the start.
    pub ready: Ready,
    /// Contiguous; they add up to `duration_ns`.
    pub phases: Vec<Phase>,
    /// The same by name.
    pub phase_ns: BTreeMap<String, u64>,
    /// Where the main thread's time went; adds up to `duration_ns`. `null` at `--level lifecycle`, and
    /// where it was not observed.
    #[serde(default)]
    pub states: Option<States>,
    /// Waits of 100 us and more, of all threads, in order of time.
    #[serde(default)]
    pub waits: Vec<Wait>,
    /// Waits that were left out of `waits`, because there are too many: the shortest.
    #[serde(default)]
    pub waits_left_out: u64,
    /// Attempts to connect to a TCP or unix socket that ended within the start, of all its threads, in order
    /// of time; absent where none was seen. TCP: from `--level timeline` on. Unix sockets: at `--level deep`,
    /// and where the tracepoints of system calls are in use (see `hooks`).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub connects: Vec<Connect>,
    /// Attempts that were left out of `connects`, because there are too many: from the middle.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub connects_left_out: u64,
    /// What everything else waited for, from the origin to ready: contiguous; adds up to `duration_ns`.
    /// Empty where `states` is `null`.
    #[serde(default)]
    pub critical_path: Vec<Segment>,
    /// The critical path by state.
    #[serde(default)]
    pub path_ns: BTreeMap<String, u64>,
    /// Other threads than the main one, by CPU time.
    #[serde(default)]
    pub threads: Vec<ThreadTime>,
    /// Threads that were left out of `threads`, because there are too many.
    #[serde(default)]
    pub threads_left_out: u64,
    /// What the process used from the origin to ready (or to its last record before that).
    #[serde(default)]
    pub counters: Option<Counters>,
    /// What the language runtime imported; `null` where none is seen into (see [`Imports`]).
    #[serde(default)]
    pub imports: Option<Imports>,
    /// The files that it opened and looked for; `null` below `--level deep`.
    #[serde(default)]
    pub files: Option<Files>,
    /// What goes on inside its language runtime, concluded from names; absent where nothing can be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
    /// Where its tasks were on their CPUs; `null` without `--profile`, and where no sample fell into the start.
    #[serde(default)]
    pub profile: Option<Profile>,
    /// Things that happened on the way, in order of time.
    pub milestones: Vec<Milestone>,
}

/// Where the time of a start's main thread went: every nanosecond is in exactly one of these.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct States {
    /// There was no task yet: the phase `fork`.
    pub creating_ns: u64,
    /// On a CPU.
    pub running_ns: u64,
    /// Waiting for a CPU.
    pub runnable_ns: u64,
    /// The main thread had ended, the process lived on.
    #[serde(default)]
    pub exited_ns: u64,
    /// Not observed: before the recording, or lost.
    #[serde(default)]
    pub unknown_ns: u64,
    /// Waiting for something: `child`, `vfork`, `disk`, `page_fault`, `pipe`, `futex`, `lock`, `sleep`,
    /// `poll`, `network`, `dns`, `unix_socket`, `tty`, `stopped`, `throttled`, `memory`, `random`,
    /// `device`, `other:SYSCALL` (`other:kernel` where it was in none).
    pub blocked: BTreeMap<String, u64>,
}

/// One wait of one thread.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Wait {
    /// When it left the CPU, from the start's origin.
    pub at_ns: u64,
    /// Until it could run again.
    pub duration_ns: u64,
    /// How long it then waited for a CPU.
    #[serde(default)]
    pub runnable_ns: u64,
    /// The thread.
    pub tid: u32,
    /// What for, as in `states.blocked`; `runnable` for a CPU alone.
    pub kind: String,
    /// The system call it was in.
    pub syscall: Option<String>,
    /// What exactly, in words: a file, a peer, a child and its command ...
    pub detail: Option<String>,
    /// Who ended it.
    pub woken_by: Option<WokenBy>,
}

/// One attempt to connect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Connect {
    /// When it began, from the start's origin; when it ended, where the beginning was not observed.
    pub at_ns: u64,
    /// Until it was connected or had failed; `null` where the beginning was not observed (unix sockets,
    /// which hardly ever take time).
    pub duration_ns: Option<u64>,
    /// The thread that began it.
    pub tid: u32,
    /// Whom to: `tcp 127.0.0.1:5432`, `unix /run/postgresql/.s.PGSQL.5432`; `null` where that is not known.
    pub peer: Option<String>,
    /// Name of the error (`ECONNREFUSED`, `ENOENT` ...); `given_up` where the program closed the socket before
    /// there was an answer, `unknown` where only the failure was seen; `null` for success.
    pub error: Option<String>,
}

/// Who ended a wait.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WokenBy {
    /// `task`, `timer`, `io`, `softirq`, `signal`, `kworker` or `unknown`.
    pub kind: String,
    /// The process, for `task` (and `softirq`, where the sender is on this machine).
    pub pid: Option<u32>,
    /// Its task name.
    pub comm: Option<String>,
}

/// One piece of the critical path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Segment {
    /// From the start's origin.
    pub at_ns: u64,
    /// Length.
    pub duration_ns: u64,
    /// The start whose task it is.
    pub start_id: String,
    /// The task.
    pub tid: u32,
    /// The phase that this start was in.
    pub phase: Option<String>,
    /// `creating`, `running`, `runnable`, `exited`, `unknown`, or what it waited for.
    pub state: String,
    /// In words.
    pub detail: Option<String>,
}

/// A thread's time on a CPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ThreadTime {
    /// The thread.
    pub tid: u32,
    /// Its name, where known.
    pub comm: Option<String>,
    /// On a CPU, within the start.
    pub running_ns: u64,
    /// Waiting for a CPU.
    pub runnable_ns: u64,
}

/// What a process used during its start, all threads together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counters {
    /// CPU time in user mode, as the kernel accounts for it.
    pub user_ns: u64,
    /// CPU time in the kernel.
    pub system_ns: u64,
    /// Page faults served from memory.
    pub minor_faults: u64,
    /// Page faults that took I/O.
    pub major_faults: u64,
    /// Context switches that it asked for.
    pub voluntary_switches: u64,
    /// Context switches that it did not.
    pub involuntary_switches: u64,
    /// Read from storage.
    pub read_bytes: u64,
    /// Resident memory then.
    pub rss_bytes: u64,
    /// Threads then.
    pub threads: u32,
}

/// What went on inside a language runtime, concluded from the files that it opened and the names of its threads: no
/// runtime says so itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Runtime {
    /// `cpython`, `jvm`, `node`, `perl`, `php` or `ruby`.
    pub language: String,
    /// The last image's phase `app` in parts, which add up to it; empty below `--level deep`, and where no file with
    /// code was opened.
    pub stages: Vec<RuntimeStage>,
    /// Of a JVM and Node: other threads than the main one (those of `threads`), by what they are for.
    pub threads: Vec<RuntimeThreads>,
}

/// A part of `app`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuntimeStage {
    /// `runtime`: until the first file with code of the program is opened (one that does not come with the runtime,
    /// where there is such a file); `loading`: until the last one has been opened (classes in an archive are not told
    /// one by one); `program`: the rest.
    pub name: String,
    /// From the start's origin.
    pub at_ns: u64,
    /// Length.
    pub duration_ns: u64,
}

/// Threads of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct RuntimeThreads {
    /// `application`, `jit`, `gc`, `io`, `runtime` (its own housekeeping), or `unknown` where there is no name that tells.
    pub role: String,
    /// How many.
    pub n: u64,
    /// Time on a CPU, of all together.
    pub running_ns: u64,
    /// Time waiting for a CPU, of all together.
    pub runnable_ns: u64,
}

/// What a language runtime imported in a start, and what that leaves of the phase `app`: `init_ns`,
/// `importing_ns` and `code_ns` add up to the last image's.
///
/// CPython: the modules that were not loaded yet, as `python -X importtime` lists them. Seen from `--level
/// timeline` on for a command and for `-p`, in builds with static probes (Debian's, Ubuntu's and Fedora's
/// own); in others at `--level deep`, under the names that the import statements have.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Imports {
    /// `cpython`.
    pub language: String,
    /// What told of them: `usdt` (the runtime's own static probes) or `uprobe` (a probe on the function
    /// behind the import statement; what took less than 15 us is not told, nor what had not ended).
    pub provider: String,
    /// False where the probes were put in place after an image began: the first imports are missing.
    pub from_beginning: bool,
    /// From the beginning of `app` until the runtime is ready for the program (CPython: until `site` is
    /// imported); `null` where that was not seen.
    pub init_ns: Option<u64>,
    /// After that: the time that the main thread was within imports.
    pub importing_ns: u64,
    /// After that: the rest, which is the program's own.
    pub code_ns: u64,
    /// Imports within the start, all threads together.
    pub count: u64,
    /// The longest of them (500), in order of time.
    pub modules: Vec<Import>,
    /// Those that are left out of `modules`.
    pub left_out: u64,
    /// Their `own_ns` together, as far as they were kept apart from their importers'.
    pub left_out_own_ns: u64,
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Import {
    /// The module; `null` where its name could not be read.
    pub module: Option<String>,
    /// From the start's origin.
    pub at_ns: u64,
    /// All that it took, with what it imported itself.
    pub duration_ns: u64,
    /// Without that.
    pub own_ns: u64,
    /// How many imports it is within.
    pub depth: u32,
    /// The innermost of those: an index into `modules`.
    pub importer: Option<u32>,
    /// The thread.
    pub tid: u32,
    /// Whether the module was there in the end; `null` where that end is not in the start.
    pub found: Option<bool>,
}

/// How exactly the beginning of a start is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// The entry into the system call was observed.
    #[default]
    Entry,
    /// The kernel's allocation of the new address space was observed, some 20 to 60 us after the entry.
    MmAlloc,
    /// Only the kernel's own creation time of the task is known; what fork did before it is missing.
    TaskCreated,
    /// Only the moment at which exec put the new image in place is known.
    ImageInPlace,
    /// The recording began after the origin (a `partial` start).
    RecordingBegan,
}

/// What ended a start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ready {
    /// `exit`, `timeout` (the window or the recording ended first), `listen`, `accept`, `notify` ...
    pub kind: String,
    /// From the origin; equals `duration_ns`.
    pub at_ns: u64,
    /// Not observed itself but concluded from other events.
    pub inferred: bool,
    /// In words, where the kind does not say it all.
    #[serde(default)]
    pub detail: Option<String>,
}

/// One phase of a start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Phase {
    /// `unobserved`, `fork`, `schedule`, `setup`, `exec`, `load`, `link`, `init` or `app`.
    pub name: String,
    /// From the start's origin.
    pub at_ns: u64,
    /// Length.
    pub duration_ns: u64,
    /// Index into `execs`, for phases of an image.
    pub exec: Option<u32>,
}

/// Something that happened during a start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Milestone {
    /// Name.
    pub name: String,
    /// From the start's origin.
    pub at_ns: u64,
    /// In words.
    pub detail: Option<String>,
    /// Not observed itself but concluded.
    pub inferred: bool,
}

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Exit {
    /// Exit status, `null` if a signal ended it.
    pub code: Option<i32>,
    /// Name of the signal that ended it.
    pub signal: Option<String>,
    /// A core was dumped.
    pub core: bool,
    /// Who sent the signal by which it ended: told where startrace started the command. `null` where the kernel did (out of
    /// memory, a fault, the terminal), or the process itself.
    pub killed_by: Option<ProcessRef>,
    /// From the start's origin.
    pub at_ns: u64,
}

/// A fork, vfork or clone that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FailedFork {
    /// Entry into the call, on the boottime clock.
    pub boottime_ns: u64,
    /// From entry to failure, `null` where the entry was not observed.
    pub duration_ns: Option<u64>,
    /// Who called.
    pub by: ProcessRef,
    /// The system call: `fork`, `vfork`, `clone` or `clone3`.
    pub primitive: Option<String>,
    /// Name of the error: `EAGAIN`, `ENOMEM` ...
    pub error: String,
}

/// Starts that belong together, such as the workers of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Group {
    /// Start of the process that they belong to (the one that asked for them), where the trace has it.
    pub parent: Option<String>,
    /// Its process.
    pub parent_id: Option<String>,
    /// The starts' common method name.
    pub method: String,
    /// How many.
    pub n: u64,
    /// How many of them were still going on when their window or the recording ended. The times
    /// below are those of the others, and `null` where there are none.
    #[serde(default)]
    pub unfinished: u64,
    /// From the first origin to the last ready.
    pub makespan_ns: Option<u64>,
    /// Sum of the durations over the makespan: 1.0 means one after the other.
    pub parallelism: Option<f64>,
    /// Their durations' median.
    pub p50_ns: Option<u64>,
    /// Their longest duration.
    pub max_ns: Option<u64>,
}

/// How the recording was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Session {
    /// `command`, `pid` or `system`.
    pub mode: String,
    /// What was asked for.
    pub target: Target,
    /// `lifecycle`, `timeline` or `deep`.
    pub level: String,
    /// Where CMD's environment came from: `sudo` or `own`; `null` without a command.
    pub env_source: Option<String>,
    /// RFC 3339.
    pub started_at: String,
    /// From the first probe being live to the end.
    pub duration_ns: u64,
    /// Why the recording ended.
    pub ended_by: String,
    /// False as soon as anything was lost or cut short.
    pub complete: bool,
    /// One counter per way of losing.
    pub lost: BTreeMap<String, u64>,
    /// What was really attached.
    pub hooks: Vec<String>,
    /// Dynamic loaders and C libraries that programs were started with and that could not be probed (those of
    /// a container that cannot be looked into, or in a mount that was made for another root): `load`, `link` and `init` of their starts are in `app`.
    #[serde(default)]
    pub hooks_missing: u64,
    /// What could not be seen with these hooks, and is therefore missing rather than known not to have been:
    /// `failed_forks`, `failed_execs`, `failed_exec_errors` (execs that fail are seen where they go through a dynamic
    /// libc, with the error `unknown`), `entry_times`; `null` in traces from before that was said.
    #[serde(default)]
    pub not_observed: Option<Vec<String>>,
    /// Values in the arguments of programs that look like credentials and were replaced by `[redacted]`;
    /// `null` where they were to be kept (`--no-redact`), and in traces from before there was a choice.
    #[serde(default)]
    pub redacted: Option<u64>,
    /// Starts that were written.
    pub starts: u64,
    /// Starts that are left out because `--count` was reached first: under way then, or finished since.
    #[serde(default)]
    pub left_out: u64,
    /// The measured runs of `stat`, in order of time; absent for other recordings.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs: Vec<Run>,
}

/// One run of `stat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Run {
    /// Which command: its `--name`, or the command itself.
    pub name: String,
    /// The start of the command, where it was seen.
    pub start_id: Option<String>,
    /// Exit status (128 and the signal's number where one ended it); `null` where `stat` itself ended the
    /// command, or did not see its end.
    pub exit: Option<u8>,
    /// Memory of all its processes together (PSS, bytes) when it was ready; `null` where it had ended by
    /// then, or some of them could not be read.
    pub pss_bytes: Option<u64>,
}

/// What was to be recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Target {
    /// CMD, the target of `command` mode or the trigger of the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub argv: Option<Vec<String>>,
    /// The PIDs of `pid` mode.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pids: Option<Vec<u32>>,
    /// Selectors as given, such as `uid=1000`, `unit=app.service`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub selectors: Vec<String>,
}

/// One line of an NDJSON trace, or of a spool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Line {
    /// First line.
    Header(Header),
    /// A start, as it completes.
    Start(Box<Start>),
    /// The end of a process whose start was written before.
    Exit {
        /// The start.
        start_id: String,
        /// How it ended; `at_ns` counts from that start's origin.
        exit: Exit,
    },
    /// A fork that failed.
    FailedFork(FailedFork),
    /// A start that was written before and whose method later events refined.
    Method {
        /// The start.
        start_id: String,
        /// Its method, replacing the one that was written.
        method: Method,
    },
    /// Last line. A trace without it was cut off.
    Footer {
        /// Pools.
        #[serde(default)]
        groups: Vec<Group>,
        /// What makes the starts slow.
        #[serde(flatten)]
        diagnosis: Diagnosis,
        /// The recording.
        session: Session,
    },
}
