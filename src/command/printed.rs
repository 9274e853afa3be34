//! What commands write: a reader who has seen enough is no failure, and all else is told with the place and what to do.

use crate::host::elsewhere;
use crate::host::inherited::has_stdout;
use anyhow::{Result, anyhow};
use std::io;

/// The reader of our output has seen enough: that is no failure.
pub(crate) fn forgive_closed_pipe(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}

/// The end of what was written to standard output. A closed pipe is success.
///
/// # Errors
/// `what` could not be written, or there is no standard output.
pub(crate) fn printed(what: &str, done: io::Result<()>) -> Result<()> {
    has_stdout()?;
    written(&format!("{what} to the standard output"), done)
}

/// The end of what was written, a file with its option. A closed pipe is success.
///
/// # Errors
/// It could not be written.
pub(crate) fn written(what: &str, done: io::Result<()>) -> Result<()> {
    forgive_closed_pipe(done).map_err(|e| anyhow!("cannot write {what} ({}): {e}", elsewhere(&e)))
}
