//! This machine and the people on it: who runs us, how CMD is started for them, which privileges are
//! kept, and what the trace says about the host.
//!
//! Everything here is impure. Nothing asks the name service switch (no `getpwnam`, `getgrouplist`):
//! the release binary is static, and a directory server that hangs must not hang a diagnosis.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

pub mod accounts;
pub mod caller;
pub mod cgroups;
pub mod checks;
pub mod clock;
pub mod environment;
pub mod facts;
mod frames;
pub mod guard;
pub mod inherited;
mod jit;
pub mod launcher;
pub mod limits;
pub mod memory;
mod missing;
pub(crate) mod mounts;
pub mod owner;
pub mod pool;
pub mod priority;
pub mod privilege;
pub mod procfs;
pub mod quota;
pub mod scratch;
pub mod spawn;
mod tasks;
mod unfit;
pub mod world;

/// What went wrong, in one sentence that says what to do; the system's own words where it gave any.
#[derive(Debug)]
pub struct Error {
    message: String,
    source: Option<io::Error>,
}

impl Error {
    /// An error without a cause in the system.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), source: None }
    }

    /// An error that the system reported while we did what `message` says.
    pub fn io(message: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { message: message.into(), source: Some(source.into()) }
    }

    /// The system's error behind this one, if there is one.
    pub fn cause(&self) -> Option<&io::Error> {
        self.source.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}

/// What to do where something could not be written.
pub(crate) fn elsewhere(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => "make room there, or write it elsewhere",
        Some(libc::EFBIG) => "raise the limit of file sizes (ulimit -f), or write it elsewhere",
        _ => "write it elsewhere",
    }
}

/// Reads a file of at most `limit` bytes; a longer one is an error and not a cut text, because half
/// a user database or half an environment would be taken for the whole.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("{} is larger than {limit} bytes", path.display()),
        ));
    }
    Ok(bytes)
}

/// A small text file of the kernel's, trimmed; `None` if it is not there or not readable.
pub(crate) fn read_line(path: &Path) -> Option<String> {
    let bytes = read_bounded(path, 64 * 1024).ok()?;
    Some(String::from_utf8_lossy(&bytes).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"12345").unwrap();
        assert_eq!(read_bounded(&path, 5).unwrap(), b"12345");
        let error = read_bounded(&path, 4).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(read_line(&dir.path().join("none")), None);
    }
}
