//! The types of a trace, schema `startrace/1`.
//!
//! One set of types serves the JSON document, the NDJSON lines, the JSON Schema (`startrace schema`)
//! and every reading command. All times are integer nanoseconds. `at_ns` counts from the start's own
//! origin. Unknown is `null`. Fields may be added under `startrace/1`; none is renamed or changes its
//! meaning.
//!
//! Strings that come from a traced process keep every byte: see [`super::text`].

mod diagnosis;
mod files;
mod profile;
mod session;
mod timeline;

pub use diagnosis::{Basis, Diagnosis, Finding, Joined, NotExamined, Severity};
pub use files::{FileSums, Files, FolderMisses, OpenedFile, SourcedFile};
pub use profile::{Profile, ProfiledFunction, ProfiledStack};
pub use session::{Run, Session, Target};
pub use timeline::{
    Connect, Counters, Folded, Holder, Import, Imports, Milestone, Origin, Phase, Ready, Runtime,
    RuntimeStage, RuntimeThreads, SHORT_START_NS, Segment, States, ThreadTime, Timeline, Wait, WokenBy,
};

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

impl Start {
    /// The dynamic loader itself ends a program with 127, and has not come to the program's own code then.
    pub(crate) fn is_given_up_by_loader(&self) -> bool {
        self.exit.as_ref().is_some_and(|exit| exit.code == Some(127))
            && self.timeline.phases.last().is_some_and(|phase| matches!(&*phase.name, "load" | "link"))
    }
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
    /// The script that a shell was given as an argument (`sh FILE`), where it executed another program later: the
    /// arguments of the last are the start's. Left out of all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<String>,
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
    /// Who sent the signal by which it ended. `null` where the kernel did (out of memory, a fault, the terminal), or the
    /// process itself.
    pub killed_by: Option<ProcessRef>,
    /// From the start's origin.
    pub at_ns: u64,
    /// Of a program that its dynamic loader gave up: the libraries that are not found, as looked up right after its end
    /// without its environment (`LD_LIBRARY_PATH`); empty: all are there, and what was missing is a symbol or a version.
    /// Absent for any other end, and where its file could not be looked at any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_libraries: Option<Vec<String>>,
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
