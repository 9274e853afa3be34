//! `startrace` tells why a Linux process is slow to start, in production, in one command.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

pub mod command;
pub mod method;
pub mod report;
pub mod trace;
