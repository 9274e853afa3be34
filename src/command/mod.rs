//! The subcommands: each takes its parsed options and does its job.

pub mod report;
pub mod schema;
