//! What the trace says about the machine, the offset between its clocks, and the trace's name.

use super::quota;
use super::read_line;
use crate::trace::schema::Host;
use nix::time::{ClockId, clock_gettime};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// The machine that we run on.
pub fn host() -> Host {
    let uname = nix::sys::utsname::uname().ok();
    let text = |get: fn(&nix::sys::utsname::UtsName) -> &OsStr| {
        uname.as_ref().map_or_else(String::new, |names| crate::trace::text::encode(get(names).as_bytes()))
    };
    Host {
        hostname: text(|u| u.nodename()),
        kernel: text(|u| u.release()),
        arch: text(|u| u.machine()),
        boot_id: read_line(Path::new("/proc/sys/kernel/random/boot_id")).filter(|id| !id.is_empty()),
        cpus: online_cpus(),
        cpu_model: super::read_bounded(Path::new("/proc/cpuinfo"), 16 * 1024 * 1024)
            .ok()
            .and_then(|bytes| cpu_model(&String::from_utf8_lossy(&bytes))),
        cpu_quota: quota::own(Path::new("/")),
    }
}

fn online_cpus() -> u32 {
    read_line(Path::new("/sys/devices/system/cpu/online"))
        .and_then(|list| count_list(&list))
        .or_else(|| {
            // SAFETY: sysconf takes a number and touches no memory of ours.
            u32::try_from(unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) }).ok()
        })
        .unwrap_or(1)
}

/// How many numbers a kernel list such as `0-3,8` names.
fn count_list(list: &str) -> Option<u32> {
    let mut count = 0u32;
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        count = count.checked_add(last.checked_sub(first)?.checked_add(1)?)?;
    }
    (count > 0).then_some(count)
}

/// `model name` on x86, `cpu` on POWER, `Model` on some ARM boards; most ARM kernels name none.
fn cpu_model(cpuinfo: &str) -> Option<String> {
    ["model name", "cpu", "Model"].iter().find_map(|key| {
        cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == *key && !value.trim().is_empty()).then(|| value.trim().to_owned())
        })
    })
}

/// What to add to a time of the boottime clock to get nanoseconds since 1970. It changes when
/// somebody sets the clock; a trace takes it once.
///
/// # Errors
/// A clock cannot be read.
pub fn boottime_to_realtime_ns() -> std::io::Result<i64> {
    // The reading of boottime lies between two of realtime; the narrowest of some tries is taken, so
    // that an interruption in between does no harm.
    let mut best: Option<(i128, i128)> = None;
    for _ in 0..16 {
        let before = nanoseconds(ClockId::CLOCK_REALTIME)?;
        let boot = nanoseconds(ClockId::CLOCK_BOOTTIME)? - i128::from(super::clock::offset_ns());
        let after = nanoseconds(ClockId::CLOCK_REALTIME)?;
        let width = (after - before).abs();
        if best.is_none_or(|(narrowest, _)| width < narrowest) {
            best = Some((width, before + (after - before) / 2 - boot));
        }
    }
    best.and_then(|(_, offset)| i64::try_from(offset).ok())
        .ok_or_else(|| std::io::Error::other("the real-time clock is out of range"))
}

fn nanoseconds(clock: ClockId) -> std::io::Result<i128> {
    let time = clock_gettime(clock)?;
    Ok(i128::from(time.tv_sec()) * 1_000_000_000 + i128::from(time.tv_nsec()))
}

/// A realtime in nanoseconds since 1970 as RFC 3339 in UTC with nanoseconds. Times before 1970 or
/// after 9999 are shown as the nearest of those.
pub fn rfc3339(realtime_ns: i64) -> String {
    let since = Duration::from_nanos(u64::try_from(realtime_ns).unwrap_or(0));
    humantime::format_rfc3339_nanos(SystemTime::UNIX_EPOCH + since).to_string()
}

/// Longest part of a trace's name that comes from the command.
const MAX_NAME: usize = 40;

/// `startrace-NAME-UTC`, the name of a trace for which no `-o` was given, without its extension.
/// NAME is the last part of `command`, with everything but `[A-Za-z0-9._-]` made `_`, at most 40
/// characters; `None` (`-p`, `-a`) is left out.
pub fn trace_stem(command: Option<&OsStr>, now: SystemTime) -> String {
    let time: String = humantime::format_rfc3339_seconds(now)
        .to_string()
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .collect();
    let name: String = command
        .map(|path| path.as_bytes().rsplit(|&b| b == b'/').find(|p| !p.is_empty()))
        .and_then(|base| {
            Some(
                String::from_utf8_lossy(base?)
                    .chars()
                    .map(|c| match c {
                        'A'..='Z' | 'a'..='z' | '0'..='9' | '.' | '_' | '-' => c,
                        _ => '_',
                    })
                    .take(MAX_NAME)
                    .collect(),
            )
        })
        .unwrap_or_default();
    if name.is_empty() { format!("startrace-{time}") } else { format!("startrace-{name}-{time}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_is_this_one() {
        let host = host();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        assert_eq!(host.kernel, release.trim());
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        assert_eq!(host.hostname, name.trim());
        assert_eq!(host.boot_id.unwrap().len(), 36);
        assert_eq!(host.arch, std::env::consts::ARCH);
        assert!(host.cpus >= 1);
    }

    #[test]
    fn lists_of_processors_are_counted() {
        for (list, count) in [("0", 1), ("0-3", 4), ("0-1,4,6-7", 5)] {
            assert_eq!(count_list(list), Some(count), "{list}");
        }
        for bad in ["", "x", "3-1", "0-4294967295", "1,"] {
            assert_eq!(count_list(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_model_is_found_or_unknown() {
        let x86 = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2GHz\n";
        assert_eq!(cpu_model(x86).as_deref(), Some("Some CPU @ 2GHz"));
        let arm = "processor\t: 0\nBogoMIPS\t: 50\nCPU part\t: 0xd0c\n";
        assert_eq!(cpu_model(arm), None);
    }

    #[test]
    fn clocks_meet() {
        let offset = boottime_to_realtime_ns().unwrap();
        let boot = i128::from(crate::host::clock::boottime_ns());
        let real = nanoseconds(ClockId::CLOCK_REALTIME).unwrap();
        assert!((boot + i128::from(offset) - real).abs() < 1_000_000_000);
        assert_eq!(rfc3339(1_000_000_001), "1970-01-01T00:00:01.000000001Z");
        assert_eq!(rfc3339(-5), "1970-01-01T00:00:00.000000000Z");
    }

    #[test]
    fn names_are_safe() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let name = |command: &[u8]| trace_stem(Some(OsStr::from_bytes(command)), now);
        assert_eq!(name(b"/usr/bin/python3.11"), "startrace-python3.11-20010909T014640Z");
        assert_eq!(name(b"a b\n;\xff/"), "startrace-a_b___-20010909T014640Z");
        assert_eq!(name(b"../.."), "startrace-..-20010909T014640Z");
        assert_eq!(name(b"///"), "startrace-20010909T014640Z");
        assert_eq!(trace_stem(None, now), "startrace-20010909T014640Z");
        let long = name(&[b'x'; 300]);
        assert_eq!(long.len(), "startrace--20010909T014640Z".len() + 40);
    }
}
