//! From the origin of a start to ready: phases, states, waits and the critical path.

use super::{Files, Profile};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// What of the phase `fork` its creator spent waiting for a CPU, in the middle of the call; absent for none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub fork_waited_ns: u64,
    /// Resident memory of the creator at a fork that copied its page tables, in bytes: what the phase `fork` grows with.
    /// The kernel counts it in batches of each CPU (32 pages or more), so it can be off by some hundred KiB. Absent
    /// where memory is shared (vfork, posix_spawn) and where the fork was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fork_copied_bytes: Option<u64>,
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
    /// What the process used from the origin to ready; `null` at level `lifecycle`, and where its tasks told nothing.
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
    /// Who had the CPU last that it then waited for; absent where it did not wait for one, nobody had it, or that was not
    /// seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
}

/// Who gave up the CPU that a task had waited for. Who had it before is not known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// Its task name.
    pub comm: String,
    /// The last part of the time waited for the CPU, in which the holder had it; `null` where that was not measured.
    pub held_ns: Option<u64>,
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
    /// Who had the CPU last, of a piece that is `runnable`; absent where nobody had it, or that was not seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// Absent but where it is many short pieces put together: whose they are. The start, the task, the phase and the
    /// state of such a segment are only those of its longest piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folded: Option<Box<Folded>>,
}

/// What the path has of a short start is less than that, waits for a CPU not counted.
pub const SHORT_START_NS: u64 = 20_000_000;

/// Short pieces of a critical path that were put together, because it has more than 2,000.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Folded {
    /// How many.
    pub pieces: u64,
    /// Those of the start itself, by state.
    #[serde(default)]
    pub own_ns: BTreeMap<String, u64>,
    /// Those of other starts, by state; together with `own_ns` the segment's length.
    #[serde(default)]
    pub others_ns: BTreeMap<String, u64>,
    /// Short starts that have no segment of their own on this path, each in one such segment only: the path is in their
    /// own program for less than 20 ms in all, waits for a CPU not counted.
    #[serde(default)]
    pub short_starts: u64,
    /// What all short starts have of `others_ns`.
    #[serde(default)]
    pub short_ns: u64,
    /// Short starts that have segments of their own, too, but none since their own program runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
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

/// What a process used during its start, all threads together. Of threads that had not told of themselves when the start
/// was found to be over (of 512 at most) it is what /proc said then: some 20 ms later, and a second (`--quiet-for`) where
/// rest makes it ready.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Counters {
    /// CPU time in user mode. With `system_ns` it is the time on a CPU of all threads; that is measured, and divided as
    /// getrusage(2) does it: by what the ticks of the kernel's clock (1 to 10 ms each) found. Where none of them fell
    /// into the start, all of it counts as user mode.
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
    /// Read from storage; `null` where the kernel does not account for it.
    pub read_bytes: Option<u64>,
    /// Resident memory at the end of the start, without what each CPU has yet to add to the kernel's sum (up to some
    /// 400 KiB a CPU, more where there are many); `null` of an exit before Linux 6.16, where it is gone by then.
    pub rss_bytes: Option<u64>,
    /// Threads at the end of the start; at an exit, when that began.
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
/// `importing_ns` and `code_ns` add up to that of the last image that imported something.
///
/// CPython: the modules that were not loaded yet, as `python -X importtime` lists them. What
/// `importlib.import_module` and `python -m` load themselves (as uvicorn, gunicorn and Django load an
/// application) is told by neither: its own code is in `code_ns`, what it imports is told. Seen from `--level
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
    /// imported); `null` where that was not seen, as with `-S` and in a copy without an exec.
    pub init_ns: Option<u64>,
    /// After that: the time that the main thread was within imports.
    pub importing_ns: u64,
    /// After that: the rest, which is the program's own.
    pub code_ns: u64,
    /// Index into `execs`: the image whose `app` that is; `null` for a copy without an exec, and in traces of older
    /// versions, where it is the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exec: Option<u32>,
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
