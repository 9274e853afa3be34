//! Room outside of memory: a nameless file, made when it is first needed.

use crate::timeline::Scratch;
use crate::trace::whole;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::sys::signal::{SigSet, Signal};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Reads that failed: what was asked for then is missing in what findings and paths say.
static UNREAD: AtomicU64 = AtomicU64::new(0);

/// How often something could not be read again, of all such files.
pub fn unread() -> u64 {
    UNREAD.load(Ordering::Relaxed)
}

/// A file that nobody else can open, and that is gone with us.
#[derive(Debug, Default)]
pub struct Nameless(Option<File>);

/// So many.
pub fn nameless<const N: usize>() -> [Box<dyn Scratch>; N] {
    std::array::from_fn(|_| Box::<Nameless>::default() as Box<dyn Scratch>)
}

impl Scratch for Nameless {
    fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let file = match &self.0 {
            Some(file) => file,
            None => {
                // A limit to the size of files is an error like others, and ends nobody.
                let mut mask = SigSet::empty();
                mask.add(Signal::SIGXFSZ);
                mask.thread_block()?;
                self.0.insert(whole::scratch()?)
            }
        };
        file.write_all_at(bytes, at)
    }

    fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let Some(file) = &self.0 else { return Ok(0) };
        let mut done = 0;
        while let Some(rest) = into.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if UNREAD.fetch_add(1, Ordering::Relaxed) == 0 {
                        tracing::warn!(%error, "what was set aside of earlier starts cannot be read");
                    }
                    return Err(error);
                }
            }
        }
        Ok(done)
    }

    fn forget(&mut self, from: u64, to: u64) {
        let (Ok(from), Ok(len)) = (i64::try_from(from), i64::try_from(to.saturating_sub(from))) else {
            return;
        };
        if let Some(file) = &self.0 {
            // Not every file system can; it then has it until the end.
            let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
            let _ = fallocate(file, hole, from, len);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn what_cannot_be_read_is_counted() {
        let only_written = File::options().write(true).open("/dev/null").unwrap();
        let (scratch, before) = (Nameless(Some(only_written)), unread());
        assert!(scratch.read(0, &mut [0]).is_err());
        assert!(unread() > before);
    }

    #[test]
    fn what_is_written_is_there_and_nobody_else_sees_it() {
        let mut scratch = Nameless::default();
        let mut read = [0; 8];
        assert_eq!(scratch.read(0, &mut read).unwrap(), 0);
        scratch.forget(0, 100);
        assert!(scratch.0.is_none(), "made before it was needed");
        scratch.write(3, b"abc").unwrap();
        scratch.write(1 << 20, &[7; 1 << 20]).unwrap();
        assert_eq!((scratch.read(4, &mut read).unwrap(), &read[..3]), (8, &b"bc\0"[..]));
        assert_eq!(scratch.read((2 << 20) - 2, &mut read).unwrap(), 2);
        assert_eq!(scratch.read(3 << 20, &mut read).unwrap(), 0);
        let file = scratch.0.as_ref().unwrap().metadata().unwrap();
        assert_eq!((file.nlink(), file.mode() & 0o777), (0, 0o600));
        scratch.forget(1 << 20, 2 << 20);
        assert_eq!(
            (scratch.read((2 << 20) - 8, &mut read).unwrap(), scratch.0.unwrap().metadata().unwrap().len()),
            (8, 2 << 20)
        );
    }
}
