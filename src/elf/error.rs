//! What can go wrong with reading an ELF file.

use std::fmt;
use std::io;

/// Why a file has no ELF facts.
#[derive(Debug)]
pub enum Error {
    /// The file does not begin with the four bytes of ELF.
    NotElf {
        /// Its first bytes (at most 16), escaped for a terminal; empty for an empty file.
        starts_with: String,
    },
    /// The file ends before something that its headers promise.
    Truncated {
        /// What is missing.
        what: String,
    },
    /// The headers contradict themselves, or no Linux kernel would take them.
    Malformed {
        /// What is wrong.
        what: String,
    },
    /// A folder, device, pipe or socket.
    NotRegular {
        /// What it is.
        what: &'static str,
    },
    /// The file could not be read.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::NotElf { starts_with } if starts_with.is_empty() => {
                write!(f, "not an ELF file: it is empty")
            }
            Error::NotElf { starts_with } => {
                write!(f, "not an ELF file: it starts with \"{starts_with}\"")
            }
            Error::Truncated { what } => write!(f, "truncated ELF file: {what}"),
            Error::Malformed { what } => write!(f, "malformed ELF file: {what}"),
            Error::NotRegular { what } => write!(f, "not a regular file but {what}"),
            Error::Io(e) => write!(f, "cannot read: {e}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io(e) => Some(e),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Self {
        Error::Io(e)
    }
}
