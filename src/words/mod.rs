//! Names and numbers for people: what a start is called, how long it took, in words that fit a line.
//!
//! Pure, and below all that tells something of a trace: findings, reports, comparisons, exports and the full screen
//! take their words from here, and this knows none of them.

pub(crate) mod human;
pub(crate) mod imports;
pub(crate) mod intern;
pub(crate) mod known;
pub(crate) mod label;
pub(crate) mod near;
pub(crate) mod time;

/// Signals by which one process asks another to end in good order.
pub(crate) const ORDERS: &[&str] = &["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"];

/// What a name in `session.not_observed` means; one that is not known means itself.
pub(crate) fn not_observed(name: &str) -> &str {
    match name {
        "failed_forks" => "forks that fail",
        "failed_execs" => "execs that fail",
        "failed_exec_errors" => "why execs fail",
        "entry_times" => "entry into fork and exec",
        other => other,
    }
}

pub use human::{count, duration};
pub(crate) use human::{counted, percent, ready_by};
pub(crate) use time::parse_time;
