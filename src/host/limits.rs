//! Resource limits: of this process, and of another as `/proc/PID/limits` shows them.
//!
//! Another user's limits are read from that file and not with prlimit(2), which asks for
//! CAP_SYS_RESOURCE where the user ids differ; containers often lack it, and the file needs nothing.

use super::read_bounded;
use std::path::Path;

/// How many resources Linux limits (`RLIM_NLIMITS`); the constants `RLIMIT_*` are 0 to 15.
pub const RESOURCES: usize = 16;

/// A limit; `u64::MAX` is "unlimited".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Limit {
    /// What holds now.
    pub soft: u64,
    /// How far the soft one can be raised.
    pub hard: u64,
}

/// Names in `/proc/PID/limits` by number of the resource (fs/proc/base.c, `lnames`), for the
/// architectures of asm-generic/resource.h: all that this tool is built for.
const NAMES: [&str; RESOURCES] = [
    "Max cpu time",
    "Max file size",
    "Max data size",
    "Max stack size",
    "Max core file size",
    "Max resident set",
    "Max processes",
    "Max open files",
    "Max locked memory",
    "Max address space",
    "Max file locks",
    "Max pending signals",
    "Max msgqueue size",
    "Max nice priority",
    "Max realtime priority",
    "Max realtime timeout",
];

/// A limit of this process. Async-signal-safe.
pub(crate) fn own(resource: usize) -> Option<Limit> {
    let mut limit = Limit { soft: 0, hard: 0 };
    // SAFETY: prlimit64 on ourselves (pid 0) with no new limit writes one `struct rlimit64`, which
    // `Limit` is laid out as.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0 as libc::c_long,
            resource as libc::c_long,
            std::ptr::null::<Limit>(),
            &raw mut limit,
        )
    };
    (result == 0).then_some(limit)
}

/// Sets a limit of this process. Async-signal-safe. Where the hard limit may not be raised (no
/// CAP_SYS_RESOURCE), the nearest that is allowed is set. False if even that failed.
pub(crate) fn set(resource: usize, wanted: Limit) -> bool {
    let now = own(resource);
    if now == Some(wanted) || set_exactly(resource, wanted) {
        return true;
    }
    let Some(now) = now else { return false };
    let hard = wanted.hard.min(now.hard);
    let soft = wanted.soft.min(hard);
    set_exactly(resource, Limit { soft, hard })
}

/// As many open files as this process may have; CMD gets back what we were given (see [`super::inherited`]).
pub fn raise_open_files() {
    let resource = libc::RLIMIT_NOFILE as usize;
    if let Some(limit) = own(resource) {
        set(resource, Limit { soft: limit.hard, ..limit });
    }
}

/// Which limit stood in the way of what failed so, and what raises it.
pub fn advice(error: &str) -> Option<String> {
    let errno =
        |number: i32, name: &str| error.contains(&format!("(os error {number})")) || error.contains(name);
    let hard = |resource: libc::c_int| own(resource as usize).map_or(0, |limit| limit.hard);
    if errno(libc::EMFILE, "EMFILE") {
        let files = hard(libc::RLIMIT_NOFILE as libc::c_int);
        return Some(format!(
            "the hard limit of open files is {files}, which is too low: raise it ('ulimit -n 1024' as root, LimitNOFILE= of a systemd unit)"
        ));
    }
    if errno(libc::EFBIG, "EFBIG") {
        let bytes = own(libc::RLIMIT_FSIZE as usize).map_or(0, |limit| limit.soft);
        return Some(format!(
            "the limit of file sizes is {bytes} bytes, which is too low: raise it ('ulimit -f unlimited', LimitFSIZE= of a systemd unit)"
        ));
    }
    None
}

fn set_exactly(resource: usize, limit: Limit) -> bool {
    // SAFETY: prlimit64 on ourselves reads one `struct rlimit64`, which `Limit` is laid out as.
    let result = unsafe {
        libc::syscall(
            libc::SYS_prlimit64,
            0 as libc::c_long,
            resource as libc::c_long,
            &raw const limit,
            std::ptr::null_mut::<Limit>(),
        )
    };
    result == 0
}

/// The limits of a process, from its folder in /proc; `None` unless every one could be read.
pub fn of_process(process: &Path) -> Option<[Limit; RESOURCES]> {
    let bytes = read_bounded(&process.join("limits"), 64 * 1024).ok()?;
    parse(std::str::from_utf8(&bytes).ok()?)
}

fn parse(text: &str) -> Option<[Limit; RESOURCES]> {
    let mut found = [None; RESOURCES];
    for line in text.lines() {
        let Some((resource, rest)) =
            NAMES.iter().enumerate().find_map(|(i, name)| Some((i, line.strip_prefix(name)?)))
        else {
            continue;
        };
        let mut values = rest.split_whitespace().map(value);
        found[resource] = Some(Limit { soft: values.next()??, hard: values.next()?? });
    }
    let mut limits = [Limit { soft: 0, hard: 0 }; RESOURCES];
    for (limit, found) in limits.iter_mut().zip(found) {
        *limit = found?;
    }
    Some(limits)
}

fn value(text: &str) -> Option<u64> {
    match text {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_what_prlimit_says() {
        let read = of_process(Path::new("/proc/self")).unwrap();
        for (resource, limit) in read.iter().enumerate() {
            assert_eq!(own(resource), Some(*limit), "{}", NAMES[resource]);
        }
    }

    #[test]
    fn a_part_of_the_file_is_not_taken_for_the_whole() {
        let whole = std::fs::read_to_string("/proc/self/limits").unwrap();
        assert!(parse(&whole).is_some());
        let (part, _) = whole.rsplit_once("Max realtime timeout").unwrap();
        assert_eq!(parse(part), None);
        assert_eq!(parse(&whole.replace("unlimited", "much")), None);
        assert_eq!(parse(""), None);
    }
}
