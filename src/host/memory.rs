//! How much memory processes have, and how we keep ours small.

use std::io::Read;

/// Proportional set size in bytes: what the process alone has, and its share of what it has in common with
/// others (`/proc/PID/smaps_rollup`, Linux 4.14). `None` where that cannot be read.
pub fn pss(pid: u32) -> Option<u64> {
    let file = std::fs::File::open(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let mut text = String::new();
    file.take(16 << 10).read_to_string(&mut text).ok()?;
    pss_of(&text)
}

/// Bytes of a page of this kernel's.
pub fn page_bytes() -> u64 {
    // SAFETY: takes a number, returns a number.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).ok().filter(|bytes| *bytes > 0).unwrap_or(4096)
}

/// Has the allocator give back what a burst of events took: glibc's takes ever larger blocks for something that is better
/// kept, once one was given back, and has a part of its own for every thread. Small pieces of this thread, which makes
/// the recording, are not its business from now on.
pub fn stay_small() {
    super::pool::serve();
    #[cfg(target_env = "gnu")]
    for (parameter, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_THRESHOLD, 256 << 10), (libc::M_TRIM_THRESHOLD, 512 << 10)]
    {
        // SAFETY: the allocator is told a number, of which it refuses what it does not like.
        let _ = unsafe { libc::mallopt(parameter, value) };
    }
}

/// Gives back what something large took and does not need any more: glibc's allocator does so by itself only where
/// nothing lies behind it.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: looks through what is free.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn pss_of(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_found() {
        let text =
            "5581-7ffe ---p 00000000 00:00 0 [rollup]\nRss:  884 kB\nPss:    385 kB\nPss_Dirty: 7 kB\n";
        assert_eq!(pss_of(text), Some(385 * 1024));
        assert_eq!(pss_of("Rss: 1 kB\n"), None);
        assert_eq!(pss_of("Pss: x kB\n"), None);
        assert!(pss(std::process::id()).is_some_and(|bytes| bytes > 4096));
        assert_eq!(pss(0), None);
    }
}
