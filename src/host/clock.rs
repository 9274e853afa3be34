//! The clock of all events: the machine's own time since boot, sleep included, which the programs in the kernel read.
//! In a time namespace `clock_gettime` and `/proc` tell another one, by a fixed offset.

use nix::time::{ClockId, clock_gettime};
use std::sync::OnceLock;

/// What the time namespace of this process adds to the machine's boottime. A process stays in the one in which it was
/// executed, so it is read once.
pub(super) fn offset_ns() -> i64 {
    static OFFSET: OnceLock<i64> = OnceLock::new();
    *OFFSET.get_or_init(|| {
        std::fs::read_to_string("/proc/self/timens_offsets").ok().and_then(|text| parse(&text)).unwrap_or(0)
    })
}

/// Lines of a clock's name (kernels before 5.7: its number), seconds and nanoseconds.
fn parse(text: &str) -> Option<i64> {
    let line = text.lines().find_map(|line| {
        let (clock, rest) = line.trim_start().split_once(char::is_whitespace)?;
        (clock == "boottime" || clock == "7").then_some(rest)
    })?;
    let mut numbers = line.split_whitespace().map(|number| number.parse::<i64>().ok());
    let (seconds, rest) = (numbers.next()??, numbers.next()??);
    seconds.checked_mul(1_000_000_000)?.checked_add(rest)
}

/// Now, in nanoseconds.
pub fn boottime_ns() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)
        .map_or(0, |now| now.tv_sec().saturating_mul(1_000_000_000).saturating_add(now.tv_nsec()));
    u64::try_from(now.saturating_sub(offset_ns())).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_read_whoever_wrote_them() {
        assert_eq!(
            parse("monotonic           5         0\nboottime       100000         7\n"),
            Some(100_000_000_000_007)
        );
        assert_eq!(parse("1 0 0\n7 -10 0\n"), Some(-10_000_000_000));
        for none in ["", "boottime", "boottime x 0", "boottime 9223372036854775807 0", "monotonic 1 1"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }
}
