//! The ring as this process has it in its memory.
//!
//! libbpf's consumer maps the records twice, one copy behind the other, so that a record that goes on at the beginning is
//! in one piece. Here they are copied anyway: one mapping will do, which is 4 MiB less of resident memory.

use libbpf_rs::{Error, MapCore, MapHandle};
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use nix::unistd::{SysconfVar, sysconf};
use std::ffi::c_void;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// What comes before each record: its length, and what the kernel needs.
const HEADER: usize = 8;
/// In the length: the record is still being written.
const BUSY: u32 = 1 << 31;
/// In the length: it is to be left out.
const DISCARDED: u32 = 1 << 30;

struct Mapping {
    at: NonNull<c_void>,
    len: NonZeroUsize,
}

impl Mapping {
    fn new(ring: BorrowedFd<'_>, len: usize, access: ProtFlags, offset: usize) -> Result<Self, Error> {
        let failed = |errno| Error::from_raw_os_error(errno as i32);
        let len = NonZeroUsize::new(len).ok_or_else(|| failed(nix::Error::EINVAL))?;
        let offset = i64::try_from(offset).map_err(|_| failed(nix::Error::EINVAL))?;
        // SAFETY: new addresses, nobody else's.
        let at = unsafe { mmap(None, len, access, MapFlags::MAP_SHARED, ring, offset) };
        Ok(Self { at: at.map_err(failed)?, len })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: our own mapping, to which nothing refers any more.
        let _ = unsafe { munmap(self.at, self.len.get()) };
    }
}

fn page_size() -> usize {
    sysconf(SysconfVar::PAGE_SIZE).ok().flatten().and_then(|page| usize::try_from(page).ok()).unwrap_or(4096)
}

/// The consumer's side of a ring.
pub(super) struct Ring {
    /// Begins with how far we are.
    ours: Mapping,
    /// Begins with how far the kernel is; the records begin with the second page.
    theirs: Mapping,
    page: usize,
    /// Bytes of records: a power of two.
    size: usize,
}

// SAFETY: the mappings are those of the process, and whoever takes records out has the ring for himself.
unsafe impl Send for Ring {}

impl Ring {
    pub(super) fn new(ring: &MapHandle) -> Result<Self, Error> {
        Self::of(ring.as_fd(), ring.max_entries() as usize)
    }

    /// With so many bytes of records.
    fn of(ring: BorrowedFd<'_>, size: usize) -> Result<Self, Error> {
        let page = page_size();
        Ok(Self {
            ours: Mapping::new(ring, page, ProtFlags::PROT_READ | ProtFlags::PROT_WRITE, 0)?,
            theirs: Mapping::new(ring, page + size, ProtFlags::PROT_READ, page)?,
            page,
            size,
        })
    }

    /// Takes records out, so many at most, each in up to two parts. Gives how many there were.
    pub(super) fn take(&mut self, most: usize, mut record: impl FnMut(&[u8], &[u8])) -> usize {
        // SAFETY: both mappings begin with such a number (`unsigned long`), which is changed as a whole.
        let (ours, theirs) = unsafe {
            (self.ours.at.cast::<AtomicUsize>().as_ref(), self.theirs.at.cast::<AtomicUsize>().as_ref())
        };
        let (mut done, mut taken) = (ours.load(Ordering::Acquire), 0);
        while taken < most && done != theirs.load(Ordering::Acquire) {
            let at = done & (self.size - 1);
            // SAFETY: records begin at multiples of eight, so that a whole header is there.
            let header = unsafe { self.theirs.at.byte_add(self.page + at).cast::<AtomicU32>().as_ref() };
            let header = header.load(Ordering::Acquire);
            if header & BUSY != 0 {
                break;
            }
            let len = ((header & !DISCARDED) as usize).min(self.size - HEADER);
            if header & DISCARDED == 0 {
                let first = len.min(self.size - at - HEADER);
                // SAFETY: within the records, and the kernel does not touch them until we say that we are behind them.
                let (first, rest) = unsafe {
                    let part = |at: usize, len: usize| {
                        let part = self.theirs.at.byte_add(self.page + at).cast();
                        NonNull::slice_from_raw_parts(part, len).as_ref()
                    };
                    (part(at + HEADER, first), part(0, len - first))
                };
                record(first, rest);
                taken += 1;
            }
            done = done.wrapping_add((len + HEADER).next_multiple_of(8));
            ours.store(done, Ordering::Release);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::memfd::{MFdFlags, memfd_create};
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    const SIZE: usize = 4096;

    /// The kernel's side, in a file.
    struct Kernel {
        file: File,
        produced: usize,
    }

    impl Kernel {
        fn new() -> Self {
            let file = File::from(memfd_create("ring", MFdFlags::MFD_CLOEXEC).unwrap());
            file.set_len((2 * page_size() + SIZE) as u64).unwrap();
            Self { file, produced: 0 }
        }

        fn put(&self, at: usize, bytes: &[u8]) {
            for (n, byte) in bytes.iter().enumerate() {
                let place = 2 * page_size() + (at + n) % SIZE;
                self.file.write_all_at(&[*byte], place as u64).unwrap();
            }
        }

        /// Gives where its header is.
        fn write(&mut self, record: &[u8], flags: u32) -> usize {
            let at = self.produced;
            self.put(at, &(record.len() as u32 | flags).to_ne_bytes());
            self.put(at + HEADER, record);
            self.produced += (record.len() + HEADER).next_multiple_of(8);
            self.file.write_all_at(&self.produced.to_ne_bytes(), page_size() as u64).unwrap();
            at
        }

        fn consumed(&self) -> usize {
            let mut place = [0; 8];
            self.file.read_exact_at(&mut place, 0).unwrap();
            usize::from_ne_bytes(place)
        }
    }

    fn take(ring: &mut Ring, most: usize) -> Vec<Vec<u8>> {
        let mut out = Vec::new();
        let n = ring.take(most, |record, rest| out.push([record, rest].concat()));
        assert_eq!(n, out.len());
        out
    }

    #[test]
    fn records_come_whole_and_in_order_also_those_that_go_on_at_the_beginning() {
        let mut kernel = Kernel::new();
        let mut ring = Ring::of(kernel.file.as_fd(), SIZE).unwrap();
        assert!(take(&mut ring, 9).is_empty());
        // Lengths at which the border falls into records, between them, and behind a header.
        for n in 0..2_000usize {
            let record: Vec<u8> = (0..n * 37 % 1_500).map(|at| (at + n) as u8).collect();
            kernel.write(&[1; 5], DISCARDED);
            kernel.write(&record, 0);
            assert!(take(&mut ring, 9) == [record], "record {n}");
            assert_eq!(kernel.consumed(), kernel.produced);
        }
    }

    #[test]
    fn one_that_is_being_written_is_waited_for() {
        let mut kernel = Kernel::new();
        let mut ring = Ring::of(kernel.file.as_fd(), SIZE).unwrap();
        kernel.write(b"a", 0);
        kernel.write(b"b", 0);
        let busy = kernel.write(b"c", BUSY);
        kernel.write(b"d", 0);
        assert_eq!(take(&mut ring, 1), [b"a"]);
        assert_eq!(take(&mut ring, 9), [b"b"]);
        assert!(take(&mut ring, 9).is_empty());
        assert_eq!(kernel.consumed(), busy);
        kernel.put(busy, &1u32.to_ne_bytes());
        assert_eq!(take(&mut ring, 9), [b"c", b"d"]);
    }
}
