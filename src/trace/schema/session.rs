//! How a recording was made, and what it lacks.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

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
    /// With `--kill-when-ready`: the command ended well and left a daemon, whose start this is. The run is measured until
    /// that was ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon_start_id: Option<String>,
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
