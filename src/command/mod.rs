//! The subcommands: one file each.

pub mod check;
pub mod diff;
pub mod doctor;
pub mod export;
pub mod help;
pub mod inspect;
mod outside;
pub(crate) mod printed;
pub mod record;
pub mod recording;
pub mod redaction;
pub mod report;
pub mod schema;
pub mod scrub;
pub mod stat;
mod untraced;
pub mod watch;

/// The command line is wrong in a way that its parser does not know: [`Exit::Usage`], whatever else a command's
/// errors come to.
#[derive(Debug)]
pub struct Misuse(pub String);

impl std::fmt::Display for Misuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0
    Success,
    /// 1: something went wrong that has no code of its own.
    Failure,
    /// 2: the command line.
    Usage,
    /// 3: slower than allowed, or over budget.
    Slower,
    /// 4: too few samples to say.
    TooFew,
    /// 77: privileges or the kernel do not allow it.
    Unable,
    /// 125: startrace's own failure, where there is a command whose status would be expected.
    Own,
    /// The status of a command.
    Code(u8),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Slower => 3,
            Self::TooFew => 4,
            Self::Unable => 77,
            Self::Own => 125,
            Self::Code(code) => code,
        }
    }
}
