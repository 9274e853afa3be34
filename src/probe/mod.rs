//! The kernel side: loads and attaches the BPF programs, seeds running processes, drains the ring.
//!
//! Nothing outside of [`crate::command`] uses this module.

mod btf;
pub mod features;
mod inbox;
mod kernel_types;
mod library;
mod load;
mod object;
mod opener;
mod plan;
mod ring;
mod sampling;
pub mod seed;
mod tracefs;
mod uprobe;
mod waking;

pub use inbox::Batch;
pub use load::{Lost, Probe};
pub use opener::Opener;
pub use plan::{Plan, Provider, Scope, Wanted};
pub use tracefs::{find_syscall_tracepoints, syscall_tracepoints};
pub use uprobe::Started;

use crate::host::limits;

/// Why the kernel side could not be set up.
#[derive(Debug)]
pub enum Error {
    /// Privileges are missing.
    Privileges(String),
    /// The kernel lacks something that is needed.
    Kernel(String),
    /// Anything else.
    Other(anyhow::Error),
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Privileges(text) | Self::Kernel(text) => f.write_str(text),
            Self::Other(error) => write!(f, "{error:#}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        // Libraries tell the number of an error in words alone.
        let text = format!("{error:#}");
        Self::Other(match limits::advice(&text) {
            Some(advice) => anyhow::anyhow!("{text}: {advice}"),
            None => error,
        })
    }
}

impl From<libbpf_rs::Error> for Error {
    fn from(error: libbpf_rs::Error) -> Self {
        match error.kind() {
            libbpf_rs::ErrorKind::PermissionDenied => Self::Privileges(format!(
                "the kernel refuses to load BPF programs ({error}): run 'sudo startrace ...', and see 'startrace doctor'"
            )),
            _ => {
                let error = anyhow::Error::new(error);
                let limited = limits::advice(&format!("{error:#}")).is_some();
                let what = if limited {
                    "cannot load the BPF programs"
                } else {
                    "cannot load the BPF programs, see 'startrace doctor'"
                };
                error.context(what).into()
            }
        }
    }
}
