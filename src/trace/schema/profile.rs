//! Where a start's tasks were on their CPUs.

use serde::{Deserialize, Serialize};

/// Samples of a start's tasks while they ran, all threads together; with `--profile` only.
///
/// Stacks are as frame pointers lead: programs that are built without them (most distributions') show the
/// function that ran, and above it what chance left there, or nothing. Functions have the names of the
/// files' symbol tables, as C++ mangles them; code that is made at run time has one where its runtime writes
/// `/tmp/perf-PID.map`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Profile {
    /// Samples a second and CPU that were asked for.
    pub hz: u32,
    /// What one sample stands for: 1 s / `hz`.
    pub period_ns: u64,
    /// Samples within the start.
    pub samples: u64,
    /// Functions that ran, by phase; those with the most samples of their own (200).
    pub functions: Vec<ProfiledFunction>,
    /// Samples in other functions.
    pub functions_left_out: u64,
    /// Stacks, the most frequent first (500).
    pub stacks: Vec<ProfiledStack>,
    /// Samples of other stacks.
    pub stacks_left_out: u64,
}

/// A function that ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProfiledFunction {
    /// Its name; `null` where the file has none for it, or the process was gone before it was asked.
    pub function: Option<String>,
    /// The file, or `[kernel]`, `[vdso]`, `[anonymous]`; `null` where that is not known.
    pub module: Option<String>,
    /// The phase.
    pub phase: String,
    /// Index into `execs`.
    pub exec: Option<u32>,
    /// Samples in which it ran itself.
    pub own: u64,
    /// Samples in which it was on the stack.
    pub all: u64,
}

/// A stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProfiledStack {
    /// The phase.
    pub phase: String,
    /// Index into `execs`.
    pub exec: Option<u32>,
    /// From the outermost to the one that ran: function, else the module in brackets, else `?`.
    pub frames: Vec<String>,
    /// Samples.
    pub samples: u64,
}
