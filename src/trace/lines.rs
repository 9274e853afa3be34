//! Lines into a file: in large writes, and never half a line that stays.

use super::json;
use super::schema::Line;
use nix::poll::{PollFd, PollFlags, PollTimeout};
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How much is written at a time.
const BUFFER: usize = 64 * 1024;
/// What the buffer has room for at first, and again after a start of several megabytes.
const ROOM: usize = BUFFER + BUFFER / 2;
/// How long [`Lines::write_due`] lets lines gather: less than from one look at the ring to the next, so that each
/// regular one writes what it brought, and those that come on each other's heels write together.
const MAX_AGE: Duration = Duration::from_millis(10);

/// A buffered writer of whole lines.
#[derive(Debug)]
pub(super) struct Lines {
    pub(super) file: File,
    buffer: Vec<u8>,
    /// Starts in the file, and starts in the file and the buffer.
    pub(super) written: u64,
    pub(super) accepted: u64,
    flushed: Instant,
    /// An error happened: nothing is written any more.
    pub(super) failed: bool,
}

impl Lines {
    pub(super) fn new(file: File) -> Self {
        Self {
            file,
            buffer: Vec::with_capacity(ROOM),
            written: 0,
            accepted: 0,
            flushed: Instant::now(),
            failed: false,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.written == 0
    }

    pub(super) fn push(&mut self, line: &Line) -> io::Result<()> {
        let before = self.buffer.len();
        if let Err(e) = json::append(&mut self.buffer, line) {
            self.buffer.truncate(before);
            return Err(e.into());
        }
        self.buffer.push(b'\n');
        self.accepted += u64::from(matches!(line, Line::Start(_)));
        if self.buffer.len() >= BUFFER { self.write_out() } else { Ok(()) }
    }

    /// Writes what is buffered, unless something was written just now.
    pub(super) fn write_due(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() || self.flushed.elapsed() < MAX_AGE {
            return Ok(());
        }
        self.write_out()
    }

    /// Writes what is buffered. After an error the file ends with a whole line.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        self.flushed = Instant::now();
        let mut done = 0;
        while done < self.buffer.len() {
            match self.file.write(&self.buffer[done..]) {
                Ok(0) => return Err(self.cut(done, io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // Somebody else's end of a terminal or pipe made it non-blocking: wait for the reader.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(self.file.as_fd(), PollFlags::POLLOUT)];
                    match nix::poll::poll(&mut fds, PollTimeout::NONE) {
                        Ok(_) | Err(nix::Error::EINTR) => {}
                        Err(e) => return Err(self.cut(done, e.into())),
                    }
                }
                Err(e) => return Err(self.cut(done, e)),
            }
        }
        self.buffer.clear();
        if self.buffer.capacity() > 4 * ROOM {
            self.buffer.shrink_to(ROOM);
        }
        self.written = self.accepted;
        Ok(())
    }

    /// After `done` bytes of the buffer could be written: takes the half line at the end out of the
    /// file again, and counts what is there.
    fn cut(&mut self, done: usize, error: io::Error) -> io::Error {
        self.failed = true;
        let whole = self.buffer[..done].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        self.written += self.buffer[..whole]
            .split(|&b| b == b'\n')
            .filter(|line| line.starts_with(b"{\"type\":\"start\","))
            .count() as u64;
        // Only where we are at the end of a regular file; a pipe has taken it, and so it is.
        if let Ok(position) = self.file.stream_position()
            && let Ok(metadata) = self.file.metadata()
            && metadata.is_file()
            && metadata.len() == position
        {
            let _ = self.file.set_len(position - (done - whole) as u64);
        }
        self.buffer = Vec::new();
        error
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER {
            self.write_out()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_out()
    }
}
