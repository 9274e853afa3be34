//! `startrace` tells why a Linux process is slow to start, in production, in one command.
#![warn(missing_docs)]
// They panic where the reader has gone: see `stderr`, and `command::printed`.
#![cfg_attr(not(test), deny(clippy::print_stderr, clippy::print_stdout))]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))]

mod aside;
pub mod bpf;
pub mod cli;
pub mod command;
pub mod compare;
mod dense;
pub mod diagnose;
pub mod elf;
pub mod event;
pub mod export;
mod hash;
pub mod help;
pub mod host;
pub mod level;
pub mod method;
mod packed;
pub mod probe;
pub mod redact;
pub mod report;
pub mod scrub;
mod settings;
mod sort;
mod stderr;
pub mod timeline;
pub mod trace;
pub mod tui;
pub mod words;
