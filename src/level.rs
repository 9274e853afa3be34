//! How closely a recording looks.

use serde::{Deserialize, Serialize};

/// How closely a recording looks, and what that costs.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, clap::ValueEnum,
)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Forks, execs and exits only: methods, and the phases up to exec
    Lifecycle,
    /// Also where the time goes: phases inside ld.so, what each task waits for, readiness
    #[default]
    Timeline,
    /// Also what takes hooks on system calls and page faults: files opened and looked for, what is written, what
    /// any build of Python imports and bash reads, where a static program begins, and which file's page is waited
    /// for; every system call and page fault of the machine takes longer
    Deep,
}

impl Level {
    /// The name in a trace.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lifecycle => "lifecycle",
            Self::Timeline => "timeline",
            Self::Deep => "deep",
        }
    }
}
