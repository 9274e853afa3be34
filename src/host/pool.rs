//! Small pieces of memory for the thread that makes a recording, at a quarter of what the C library's allocator takes.
//!
//! Of every start some three hundred strings and lists are made and let go at once. glibc keeps seven of a size within
//! reach; what is beyond goes through its lists of free chunks, which it joins and splits again: a quarter of a
//! recording's time. Here each size has a list of its own, in a region that is only as much memory as was ever used of
//! it at once. What is larger, of other threads, or beyond the region is the C library's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Sizes are multiples of this, and all pieces are so aligned.
const STEP: usize = 16;
/// The largest piece: what was once of a size stays of that size, and 2 KiB made 7 MiB more of a recording.
const LARGEST: usize = 512;
/// The region: addresses; memory is taken as it is used.
const REGION: usize = 64 << 20;
/// No address is within [`REGION`] of it.
const NOWHERE: usize = usize::MAX - REGION;

/// A piece that is free.
struct Free {
    next: *mut Free,
    /// In steps; for pieces that come from another thread.
    size: usize,
}

/// What only the thread that has the region touches.
struct Lists {
    /// By size in steps.
    free: [*mut Free; LARGEST / STEP + 1],
    /// What was never used begins here.
    next: usize,
}

/// The region of one thread, and the C library's allocator for the rest.
pub struct Pool {
    first: AtomicUsize,
    lists: UnsafeCell<Lists>,
    /// Pieces that other threads let go.
    returned: AtomicPtr<Free>,
}

// SAFETY: `lists` is touched by the one thread alone for which `OWNS` is set, see `serve`.
unsafe impl Sync for Pool {}

thread_local! {
    /// This thread has the region.
    static OWNS: Cell<bool> = const { Cell::new(false) };
}

/// Of this process.
static POOL: Pool = Pool::new();

/// From now on this thread's small pieces are from the region, where [`Allocator`] is the program's allocator. One
/// thread of a process can have that.
pub fn serve() {
    POOL.serve();
}

/// The program's allocator.
pub struct Allocator;

// SAFETY: as of `Pool`.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { POOL.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { POOL.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { POOL.dealloc(piece, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { POOL.realloc(piece, layout, size) }
    }
}

impl Pool {
    const fn new() -> Self {
        Self {
            first: AtomicUsize::new(NOWHERE),
            lists: UnsafeCell::new(Lists { free: [null_mut(); LARGEST / STEP + 1], next: 0 }),
            returned: AtomicPtr::new(null_mut()),
        }
    }

    fn serve(&self) {
        if self.first.load(Ordering::Relaxed) != NOWHERE {
            return;
        }
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new addresses, nobody else's.
        let region = unsafe { libc::mmap(null_mut(), REGION, access, kind | libc::MAP_NORESERVE, -1, 0) };
        if region == libc::MAP_FAILED {
            return;
        }
        let first = region as usize;
        if self.first.compare_exchange(NOWHERE, first, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            // SAFETY: just mapped, and not used.
            unsafe { libc::munmap(region, REGION) };
            return;
        }
        // SAFETY: our own region. A large page would be two megabytes for the first small piece.
        unsafe { libc::madvise(region, REGION, libc::MADV_NOHUGEPAGE) };
        // SAFETY: no thread owns the region before the exchange above, and this one alone does after it.
        unsafe { (*self.lists.get()).next = first };
        OWNS.set(true);
    }

    fn has(&self, piece: *mut u8) -> bool {
        (piece as usize).wrapping_sub(self.first.load(Ordering::Relaxed)) < REGION
    }

    /// A piece of so many steps; null where there is none.
    ///
    /// # Safety
    /// This thread owns the region.
    unsafe fn take(&self, steps: usize) -> *mut u8 {
        // SAFETY: by the caller's promise nobody else touches them now.
        let lists = unsafe { &mut *self.lists.get() };
        if lists.free[steps].is_null() {
            let mut returned = if self.returned.load(Ordering::Relaxed).is_null() {
                null_mut()
            } else {
                self.returned.swap(null_mut(), Ordering::Acquire)
            };
            while !returned.is_null() {
                // SAFETY: a piece of ours that `give_back` wrote, of the size that it says.
                unsafe {
                    let Free { next, size } = *returned;
                    (*returned).next = lists.free[size];
                    lists.free[size] = returned;
                    returned = next;
                }
            }
        }
        let piece = lists.free[steps];
        if !piece.is_null() {
            // SAFETY: in the list, so that it is free and was written.
            lists.free[steps] = unsafe { (*piece).next };
            return piece.cast();
        }
        let end = lists.next + steps * STEP;
        if end - self.first.load(Ordering::Relaxed) > REGION {
            return null_mut();
        }
        let piece = lists.next as *mut u8;
        lists.next = end;
        piece
    }

    /// Takes a piece back.
    ///
    /// # Safety
    /// It is one of this region, of so many steps, and used no more.
    unsafe fn give_back(&self, piece: *mut u8, steps: usize) {
        let piece = piece.cast::<Free>();
        if OWNS.get() {
            // SAFETY: this thread owns the lists; the piece is free, and large enough.
            unsafe {
                let lists = &mut *self.lists.get();
                (*piece).next = lists.free[steps];
                lists.free[steps] = piece;
            }
            return;
        }
        let mut next = self.returned.load(Ordering::Relaxed);
        loop {
            // SAFETY: the piece is free, and large enough.
            unsafe { piece.write(Free { next, size: steps }) };
            match self.returned.compare_exchange_weak(next, piece, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(other) => next = other,
            }
        }
    }
}

fn is_small(layout: Layout) -> bool {
    layout.size() <= LARGEST && layout.align() <= STEP
}

fn steps(size: usize) -> usize {
    size.div_ceil(STEP)
}

// SAFETY: pieces are STEP-aligned, as large as asked for, and given once; all else is the system's, and by its address
// each goes back to where it came from.
unsafe impl GlobalAlloc for Pool {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_small(layout) && OWNS.get() {
            // SAFETY: just asked.
            let piece = unsafe { self.take(steps(layout.size())) };
            if !piece.is_null() {
                return piece;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if is_small(layout) && OWNS.get() {
            // SAFETY: the caller's promise; it is that large.
            unsafe {
                let piece = self.alloc(layout);
                if !piece.is_null() {
                    piece.write_bytes(0, layout.size());
                }
                return piece;
            }
        }
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    #[inline]
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        if self.has(piece) {
            // SAFETY: it is of this region, so it was given for a layout of these steps.
            unsafe { self.give_back(piece, steps(layout.size())) }
        } else {
            // SAFETY: it is the system's.
            unsafe { System.dealloc(piece, layout) }
        }
    }

    #[inline]
    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.has(piece) {
            // SAFETY: it is the system's.
            return unsafe { System.realloc(piece, layout, size) };
        }
        if steps(size) == steps(layout.size()) {
            return piece;
        }
        // SAFETY: the caller's promise, and the two do not overlap.
        unsafe {
            let new = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !new.is_null() {
                piece.copy_to_nonoverlapping(new, size.min(layout.size()));
                self.dealloc(piece, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    /// A piece full of one byte.
    fn piece(pool: &Pool, size: usize, byte: u8) -> *mut u8 {
        // SAFETY: not empty, and written as far as it goes.
        unsafe {
            let piece = pool.alloc(layout(size, 8));
            assert!(!piece.is_null() && (piece as usize).is_multiple_of(8));
            piece.write_bytes(byte, size);
            piece
        }
    }

    fn is_full(piece: *mut u8, size: usize, byte: u8) -> bool {
        // SAFETY: written so far, and not given back.
        unsafe { std::slice::from_raw_parts(piece, size) }.iter().all(|b| *b == byte)
    }

    #[test]
    fn pieces_of_all_sizes_are_whole_and_used_again() {
        // A pool of the test's own: in a thread of its own, as one thread has one.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let pool = Pool::new();
                let before = piece(&pool, 48, 1);
                assert!(!pool.has(before));
                pool.serve();
                pool.serve();
                let sizes = (1..LARGEST + 40).chain([LARGEST, 16, 17, 5_000]);
                let all: Vec<_> = sizes.map(|size| (piece(&pool, size, size as u8), size)).collect();
                for (piece, size) in &all {
                    assert!(is_full(*piece, *size, *size as u8), "{size}");
                    assert_eq!(pool.has(*piece), *size <= LARGEST, "{size}");
                }
                // SAFETY: allocated above with these layouts, and used no more after it.
                unsafe {
                    pool.dealloc(before, layout(48, 8));
                    // Grows, shrinks and stays, across the border.
                    let mut grown = piece(&pool, 3, 7);
                    let mut size = 3;
                    for next in [16, 17, 400, 20, 600, 30, LARGEST + 1, LARGEST, 5_000, 3] {
                        grown = pool.realloc(grown, layout(size, 8), next);
                        assert!(is_full(grown, 3, 7), "{size} to {next}");
                        size = next;
                    }
                    pool.dealloc(grown, layout(size, 8));
                    let used = (*pool.lists.get()).next;
                    let last = all.last().unwrap();
                    for (piece, size) in &all {
                        pool.dealloc(*piece, layout(*size, 8));
                    }
                    // The same again is the same memory, and zeroed where that is asked for.
                    for (_, size) in &all {
                        let piece = pool.alloc_zeroed(layout(*size, 8));
                        assert!(is_full(piece, *size, 0), "{size}");
                    }
                    assert_eq!((*pool.lists.get()).next, used);
                    let aligned = pool.alloc(layout(64, 64));
                    assert!(!pool.has(aligned) && (aligned as usize).is_multiple_of(64) && last.1 == 5_000);
                    pool.dealloc(aligned, layout(64, 64));
                }
            });
        });
    }

    #[test]
    fn what_other_threads_let_go_comes_back_and_a_full_region_is_no_end() {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let pool = &Pool::new();
                pool.serve();
                let all: Vec<usize> = (0..1_000).map(|_| piece(pool, 64, 9) as usize).collect();
                std::thread::scope(|scope| {
                    for part in all.chunks(250) {
                        scope.spawn(move || {
                            assert!(!pool.has(piece(pool, 64, 1)));
                            for piece in part {
                                // SAFETY: the owner's, who uses it no more.
                                unsafe { pool.dealloc(*piece as *mut u8, layout(64, 8)) };
                            }
                        });
                    }
                });
                let mut again: Vec<usize> = (0..1_000).map(|_| piece(pool, 64, 2) as usize).collect();
                again.sort_unstable();
                let mut all = all;
                all.sort_unstable();
                assert_eq!(again, all);
                let n = REGION / LARGEST;
                let full: Vec<_> = (0..n).map(|_| piece(pool, LARGEST, 3)).collect();
                assert!(pool.has(full[0]) && !pool.has(full[n - 1]));
                for piece in full {
                    // SAFETY: just allocated so.
                    unsafe { pool.dealloc(piece, layout(LARGEST, 8)) };
                }
            });
        });
    }
}
