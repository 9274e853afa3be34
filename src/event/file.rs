//! Calls that name a file.

use serde::{Deserialize, Serialize};

/// What a call is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// open(2) and its like.
    #[default]
    Open,
    /// stat(2), access(2) and theirs: is it there?
    Look,
}

/// One call, told when it has returned; the event's time is that of its return.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// Its entry, boottime nanoseconds.
    pub since_ns: u64,
    /// What for.
    pub op: Op,
    /// The path as it was given; `None` where it could not be read.
    pub path: Option<String>,
    /// Positive errno; `None`: it succeeded.
    pub error: Option<i32>,
    /// What was opened is a folder.
    pub is_folder: bool,
    /// ... or a regular file.
    pub is_regular: bool,
    /// Size of that file.
    pub bytes: Option<u64>,
}

/// Calls of one task that are not told singly, because its process makes so many.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Entry into the first, boottime nanoseconds.
    pub since_ns: u64,
    /// Time in all of them.
    pub spent_ns: u64,
    /// Opens that succeeded.
    pub opened: u32,
    /// Opens that failed.
    pub open_failed: u32,
    /// Others that succeeded.
    pub found: u32,
    /// Others that failed.
    pub missed: u32,
}

impl Sums {
    /// Adds what came later.
    pub fn add(&mut self, other: &Self) {
        self.spent_ns = self.spent_ns.saturating_add(other.spent_ns);
        self.opened = self.opened.saturating_add(other.opened);
        self.open_failed = self.open_failed.saturating_add(other.open_failed);
        self.found = self.found.saturating_add(other.found);
        self.missed = self.missed.saturating_add(other.missed);
    }
}
