//! Bounded reads from a file that may lie about itself, and may change meanwhile.

use super::Error;
use std::cell::Cell;
use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt};

/// What one inspection of one file may read altogether. Ordinary programs need some 10 KiB.
const BUDGET: u64 = 64 << 20;
/// What every read costs besides its bytes, so that many small reads are bounded as well.
const READ_COST: u64 = 1 << 10;

/// A regular file, read by position within a budget.
pub(super) struct Source<'a> {
    file: &'a File,
    len: u64,
    budget: Cell<u64>,
}

impl<'a> Source<'a> {
    pub(super) fn new(file: &'a File) -> Result<Self, Error> {
        let meta = file.metadata()?;
        let kind = meta.file_type();
        if !kind.is_file() {
            let what = if kind.is_dir() {
                "a folder"
            } else if kind.is_fifo() {
                "a pipe"
            } else if kind.is_socket() {
                "a socket"
            } else {
                "a device"
            };
            return Err(Error::NotRegular { what });
        }
        Ok(Source { file, len: meta.len(), budget: Cell::new(BUDGET) })
    }

    pub(super) fn file(&self) -> &'a File {
        self.file
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Up to `max` bytes from `offset`: fewer at the end of the file; none beyond it, on an error,
    /// or when the budget is spent.
    pub(super) fn read_up_to(&self, offset: u64, max: u64) -> Vec<u8> {
        let want = max.min(self.len.saturating_sub(offset));
        let cost = want.saturating_add(READ_COST);
        let Some(left) = self.budget.get().checked_sub(cost) else {
            self.budget.set(0);
            return Vec::new();
        };
        self.budget.set(left);
        let Ok(size) = usize::try_from(want) else {
            return Vec::new();
        };
        let mut buffer = vec![0; size];
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|r| !r.is_empty()) {
            match self.file.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        buffer.truncate(done);
        buffer
    }

    /// Exactly `len` bytes from `offset`, or nothing.
    pub(super) fn read(&self, offset: u64, len: u64) -> Option<Vec<u8>> {
        if offset.checked_add(len)? > self.len {
            return None;
        }
        let bytes = self.read_up_to(offset, len);
        (bytes.len() as u64 == len).then_some(bytes)
    }

    /// A string that ends with NUL within `max` bytes, without the NUL.
    pub(super) fn string(&self, offset: u64, max: u64) -> Option<Vec<u8>> {
        // Most strings are short: do not read kilobytes for each.
        for size in [256.min(max), max] {
            let mut bytes = self.read_up_to(offset, size);
            if let Some(end) = memchr::memchr(0, &bytes) {
                bytes.truncate(end);
                return Some(bytes);
            }
        }
        None
    }
}
