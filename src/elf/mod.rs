//! What an ELF file says about its start.
//!
//! Two levels:
//! - [`facts`] is cheap: headers, dynamic section, notes and a few hash look-ups, by `pread`, some
//!   tens of microseconds whatever the file's size. A recording asks it of every new executable.
//! - [`resolve::resolve`] finds every library as the dynamic loader would, which opens many files.
//!
//! Every file is taken to be hostile: all reads are bounded in number and size, every offset is
//! checked, nothing is mapped into memory (so that a file that shrinks meanwhile cannot raise SIGBUS)
//! and nothing in it can make the reader loop or panic.

mod error;
mod facts;
mod functions;
mod hooks;
mod image;
pub mod ldcache;
pub mod libraries;
mod misnamed;
mod notes;
pub mod python;
pub mod resolve;
mod returns;
pub mod root;
mod runtime;
pub mod shebang;
pub mod shell;
mod source;
mod symbols;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::Error;
pub use facts::{Facts, Kind, facts, facts_as};
pub use functions::Functions;
pub use hooks::{Hooks, hooks, is_call};
pub use notes::{Probe, probes};
