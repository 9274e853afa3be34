//! Files that a start opened and looked for.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The files that a process opened and looked for in its start, all threads together; at `--level deep` only.
///
/// Calls that name a file: open and its like, and stat and access with theirs. A process that makes more than
/// 16,384 of them in one image has the rest in sums without a kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Files {
    /// Opens that succeeded, folders included.
    pub opened: u64,
    /// Opens that failed.
    pub open_failed: u64,
    /// Calls of stat, access and the like that found something.
    pub found: u64,
    /// ... and that did not.
    pub missed: u64,
    /// Time spent in all of them.
    pub spent_ns: u64,
    /// The same by phase and kind of file, in order of time.
    pub sums: Vec<FileSums>,
    /// Why opens and look-ups failed: how often, by the error's name.
    pub errors: BTreeMap<String, u64>,
    /// Folders in which files were looked for that were not there, the most frequent first (50).
    pub misses: Vec<FolderMisses>,
    /// Failed calls in folders that are left out of `misses`.
    pub misses_left_out: u64,
    /// The files that were opened, in order of time: those whose opening took longest, where they are more
    /// than 1,000.
    pub files: Vec<OpenedFile>,
    /// Those that are left out of `files`.
    pub files_left_out: u64,
    /// Of a shell: the files that it read commands from. bash tells of them (but not of its script); else they are
    /// inferred from their names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sourced: Vec<SourcedFile>,
}

/// Calls that name a file, of one phase and kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FileSums {
    /// As in `timeline.phases`.
    pub phase: String,
    /// Index into `execs`, for phases of an image.
    pub exec: Option<u32>,
    /// By its name: `shared_library`, `python_source`, `python_bytecode`, `java` (classes, jars, modules),
    /// `cds_archive` (the JVM's archive of prepared classes), `javascript` (also all below a `node_modules`),
    /// `ruby`, `perl`, `php`, `locale`, `kernel` (/proc and /sys), `device`, `folder` or `other`; `untold`
    /// for calls that were only counted.
    pub kind: String,
    /// Opens that succeeded.
    pub opened: u64,
    /// Opens that failed.
    pub open_failed: u64,
    /// Look-ups (stat, access) that found something.
    pub found: u64,
    /// ... and that did not.
    pub missed: u64,
    /// Sizes of the files that were opened, which need not have been read.
    pub bytes: u64,
    /// Time spent in all these calls.
    pub spent_ns: u64,
}

/// Calls that failed in one folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct FolderMisses {
    /// The folder, as the calls named it.
    pub folder: String,
    /// How many calls failed.
    pub n: u64,
    /// Of those, the ones that looked for a shared library.
    pub libraries: u64,
    /// Time spent in them.
    pub spent_ns: u64,
}

/// A file that was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct OpenedFile {
    /// Entry into the call, from the start's origin.
    pub at_ns: u64,
    /// What the call took.
    pub duration_ns: u64,
    /// The path as the call named it; `null` where it could not be read.
    pub path: Option<String>,
    /// As in `sums`.
    pub kind: String,
    /// Size of a regular file.
    pub bytes: Option<u64>,
    /// The thread.
    pub tid: u32,
}

/// A file that a shell read commands from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct SourcedFile {
    /// When it was opened, from the start's origin.
    pub at_ns: u64,
    /// Until the next one was opened (also from within this one), or the image's end.
    pub duration_ns: u64,
    /// The path as the shell named it.
    pub path: String,
    /// Index into `execs`: the shell.
    pub exec: Option<u32>,
    /// From then until the last of its commands was done, where the shell told of that (bash), or the end where it never
    /// was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_ns: Option<u64>,
    /// The same without the files that it read itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_ns: Option<u64>,
}
