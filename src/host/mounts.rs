//! The mounts that a process sees.

use std::path::PathBuf;

/// mountinfo writes space, tab, line feed and backslash as octal.
pub(crate) fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// Where a process sees the mount of that number; `None` where it does not. `who`: its folder in `/proc`.
pub(crate) fn mounted_at(who: &str, number: u64) -> Option<PathBuf> {
    find(&std::fs::read_to_string(format!("/proc/{who}/mountinfo")).ok()?, number)
}

fn find(mounts: &str, number: u64) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        // proc_pid_mountinfo(5): id parent dev root mountpoint ...
        let mut words = line.split(' ');
        let is_it = words.next()?.parse() == Ok(number);
        words.nth(3).filter(|_| is_it).map(|at| unescape(at).into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounts_by_number() {
        let mounts = "21 1 0:20 / / rw - ext4 /dev/a rw\n\
                      odd\n\
                      99 21 0:44 / /srv/a\\040b rw,relatime shared:3 - tmpfs none rw\n";
        assert_eq!(find(mounts, 99), Some(PathBuf::from("/srv/a b")));
        assert_eq!((find(mounts, 9), find("x\n", 0)), (None, None));
    }
}
