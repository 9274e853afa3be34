//! How much memory processes have.

use std::io::Read;

/// Proportional set size in bytes: what the process alone has, and its share of what it has in common with
/// others (`/proc/PID/smaps_rollup`, Linux 4.14). `None` where that cannot be read.
pub fn pss(pid: u32) -> Option<u64> {
    let file = std::fs::File::open(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let mut text = String::new();
    file.take(16 << 10).read_to_string(&mut text).ok()?;
    pss_of(&text)
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
