//! Names of code that is made at run time, where the runtime tells them: `/tmp/perf-PID.map`, which Node
//! (`--perf-basic-prof`), the JVM (`-XX:+DumpPerfMapAtExit`, or an agent) and others write for perf(1).
//!
//! Anybody can write there, so the file has to belong to the process's own user, and is read with bounds.

use crate::sort::SortSmall;
use crate::trace::text;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::time::{Duration, Instant};

/// Of one file, and functions of it.
const MAX_BYTES: u64 = 32 << 20;
const MAX_FUNCTIONS: usize = 500_000;
const MAX_NAME: usize = 1_024;
/// A file in which an address is missing is read again after this time, if it has grown.
const REREAD: Duration = Duration::from_millis(100);

/// What one process has told so far.
#[derive(Debug)]
pub(super) struct Jit {
    read: Instant,
    length: u64,
    /// In the order of their addresses: from, to, name.
    functions: Vec<(u64, u64, Box<str>)>,
}

/// `START SIZE name`, in hexadecimal digits without a prefix.
fn function(line: &[u8]) -> Option<(u64, u64, Box<str>)> {
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let mut number = || {
        let word = std::str::from_utf8(words.next()?).ok()?;
        u64::from_str_radix(word.strip_prefix("0x").unwrap_or(word), 16).ok()
    };
    let (from, size) = (number()?, number()?);
    let name = words.next()?.trim_ascii();
    let to = from.checked_add(size).filter(|to| *to > from)?;
    let name = name.get(..MAX_NAME).unwrap_or(name);
    (!name.is_empty()).then(|| (from, to, text::encode(name).into()))
}

fn functions(bytes: &[u8]) -> Vec<(u64, u64, Box<str>)> {
    // The last line may be under way.
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let lines = bytes.get(..whole).unwrap_or_default().split(|&byte| byte == b'\n');
    let mut all: Vec<_> = lines.filter_map(function).take(MAX_FUNCTIONS).collect();
    // Of code that was replaced the later line holds: the sort is stable.
    all.sort_small_by_key(|(from, ..)| *from);
    all
}

/// The process's own number: that in the name of its file.
fn own_pid(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_ascii_whitespace().next_back()?.parse().ok()
}

fn open(pid: u32) -> Option<(File, u64)> {
    let path = format!("/proc/{pid}/root/tmp/perf-{}.map", own_pid(pid)?);
    // Neither a link nor a FIFO, which would keep us waiting.
    let file =
        OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path).ok()?;
    let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
    let owner = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    (meta.uid() == owner).then_some((file, meta.len()))
}

impl Jit {
    /// What a process has told, if it has told anything; `before`: what is known of it.
    pub(super) fn read(pid: u32, before: Option<Self>) -> Option<Self> {
        if let Some(before) = before {
            let same =
                before.read.elapsed() < REREAD || open(pid).is_none_or(|(_, length)| length == before.length);
            if same {
                return Some(before);
            }
        }
        let (file, length) = open(pid).unzip();
        let mut bytes = Vec::new();
        if let Some(file) = file {
            file.take(MAX_BYTES).read_to_end(&mut bytes).ok();
        }
        Some(Self { read: Instant::now(), length: length.unwrap_or(0), functions: functions(&bytes) })
    }

    /// The function at an address.
    pub(super) fn at(&self, address: u64) -> Option<&str> {
        let after = self.functions.partition_point(|(from, ..)| *from <= address);
        let (_, to, name) = self.functions.get(after.checked_sub(1)?)?;
        (address < *to).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_odd_ones_passed_over() {
        let text =
            b"7f00 20 LazyCompile:~run /srv/app.js:3:5\n7e00 10 old\n7e00 18 new\nzz 1 x\n10\n1 0 nothing\n\
                     ffffffffffffffff 2 wraps\n0x9000 0x10 prefixed\n7f80 10 under w";
        let jit = Jit { read: Instant::now(), length: 0, functions: functions(text) };
        assert_eq!(jit.functions.len(), 4, "{:?}", jit.functions);
        for (address, name) in [
            (0x7f00, Some("LazyCompile:~run /srv/app.js:3:5")),
            (0x7f1f, Some("LazyCompile:~run /srv/app.js:3:5")),
            (0x7f20, None),
            (0x7e10, Some("new")),
            (0x9001, Some("prefixed")),
            (0x7f80, None),
            (0, None),
            (u64::MAX, None),
        ] {
            assert_eq!(jit.at(address), name, "{address:#x}");
        }
    }

    #[test]
    fn only_an_own_file_is_believed() {
        let pid = std::process::id();
        let path = format!("/tmp/perf-{pid}.map");
        let _ = std::fs::remove_file(&path);
        assert_eq!(Jit::read(pid, None).unwrap().at(0x1000), None);
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        assert!(open(pid).is_none());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "1000 10 here\n").unwrap();
        let jit = Jit::read(pid, None).unwrap();
        assert_eq!(jit.at(0x1008), Some("here"));
        std::fs::write(&path, "1000 10 here\n2000 10 later\n").unwrap();
        let jit = Jit::read(pid, Some(jit)).unwrap();
        assert_eq!(jit.at(0x2000), None, "it was read just before");
        std::thread::sleep(REREAD);
        assert_eq!(Jit::read(pid, Some(jit)).unwrap().at(0x2000), Some("later"));
        std::fs::remove_file(&path).unwrap();
    }
}
