//! The mounts that a process sees, and files by their place in a file system.

use crate::sort::SortSmall;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Of mountinfo; a machine full of containers has some hundred KiB.
const MAX_MOUNTINFO: u64 = 16 << 20;
/// Mounts of one file system by which a file is looked for.
const MAX_TRIES: usize = 8;

/// mountinfo writes space, tab, line feed and backslash as octal.
pub(crate) fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// The same for paths that need not be UTF-8.
fn unescape_bytes(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    while let Some((&byte, rest)) = bytes.split_first() {
        let octal = rest.get(..3).filter(|_| byte == b'\\').and_then(|digits| {
            let value =
                digits.iter().try_fold(0u32, |sum, digit| Some(sum * 8 + char::from(*digit).to_digit(8)?))?;
            u8::try_from(value).ok()
        });
        out.push(octal.unwrap_or(byte));
        bytes = if octal.is_some() { &rest[3..] } else { rest };
    }
    out
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

/// The number of the mount by which a file was opened.
pub(crate) fn number_of(file: &impl AsFd) -> Option<u64> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd())).ok()?;
    info.lines().find_map(|line| line.strip_prefix("mnt_id:"))?.trim().parse().ok()
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    number: u64,
    /// Of the file system, as the kernel keeps it: what stat(2) says of a file may be another.
    dev: u32,
    /// What of the file system is mounted.
    root: Vec<u8>,
    at: PathBuf,
    is_overlay: bool,
}

impl Mount {
    fn parse(line: &[u8]) -> Option<Self> {
        // id parent major:minor root mountpoint options [tags ...] - type source options
        let mut words = line.split(|&byte| byte == b' ');
        let number = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let (major, minor) = std::str::from_utf8(words.nth(1)?).ok()?.split_once(':')?;
        let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
        let root = unescape_bytes(words.next()?);
        let at = unescape_bytes(words.next()?);
        let is_overlay =
            words.by_ref().find(|word| *word == b"-").and_then(|_| words.next()) == Some(b"overlay");
        let at = PathBuf::from(std::ffi::OsString::from_vec(at));
        Some(Self { number, dev: major << 20 | minor, root, at, is_overlay })
    }

    /// A path of the file system, as one below the mount point; `None`: it is not mounted here.
    fn below<'a>(&self, path: &'a [u8]) -> Option<&'a OsStr> {
        let rest = path.strip_prefix(self.root.strip_suffix(b"/").unwrap_or(&self.root))?;
        let rest = if rest.is_empty() { rest } else { rest.strip_prefix(b"/")? };
        Some(OsStr::from_bytes(rest))
    }

    /// Opens what lies there if it is the regular file of that inode, and this mount's.
    fn open(&self, below: &OsStr, inode: u64) -> Option<File> {
        // A handle that allows no reading yet: opening it touches nothing, device or pipe.
        let how = OpenHow::new().flags(OFlag::O_PATH | OFlag::O_CLOEXEC);
        let plain = ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_NO_MAGICLINKS;
        let mut handle = openat2(AT_FDCWD, &self.at, how.resolve(plain)).ok()?;
        if !below.is_empty() {
            let inside = plain | ResolveFlag::RESOLVE_BENEATH | ResolveFlag::RESOLVE_NO_XDEV;
            handle = openat2(&handle, below, how.resolve(inside)).ok()?;
        }
        let stat = fstat(&handle).ok()?;
        let is_regular = SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) == SFlag::S_IFREG;
        // Something else may be mounted over it.
        if !is_regular || stat.st_ino != inode || number_of(&handle) != Some(self.number) {
            return None;
        }
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        File::options().read(true).custom_flags(flags).open(path).ok()
    }
}

/// The mounts that this process sees.
pub(super) struct Mounts {
    /// mountinfo, which can be asked whether it has changed.
    info: Option<File>,
    now: Vec<Mount>,
    /// Those that were there at first.
    first: Vec<Mount>,
}

impl Default for Mounts {
    fn default() -> Self {
        let mut mounts =
            Self { info: File::open("/proc/self/mountinfo").ok(), now: Vec::new(), first: Vec::new() };
        mounts.read();
        mounts.first.clone_from(&mounts.now);
        mounts
    }
}

impl Mounts {
    fn read(&mut self) {
        let mut bytes = Vec::new();
        let read = self.info.as_mut().and_then(|info| {
            info.rewind().ok()?;
            info.take(MAX_MOUNTINFO).read_to_end(&mut bytes).ok()
        });
        if read.is_some() {
            self.now = bytes.split(|&byte| byte == b'\n').filter_map(Mount::parse).collect();
        }
    }

    /// What has been mounted or unmounted since the last look is told once.
    fn look_again(&mut self) {
        let Some(info) = &self.info else { return };
        let mut fds = [PollFd::new(info.as_fd(), PollFlags::POLLPRI)];
        if poll(&mut fds, PollTimeout::ZERO).is_ok_and(|changed| changed > 0) {
            self.read();
        }
    }

    /// Opens a regular file by its place in its file system, if that is mounted where this process sees it, and if
    /// it is the file of that inode. Whoever unmounts a file system while a file of it is open is refused. So of what
    /// was mounted meanwhile, perhaps for one command, only containers' own are used: who has mounted those
    /// unmounts them lazily, or tries again.
    pub(super) fn open(&mut self, dev: u32, path: &Path, inode: u64) -> Option<File> {
        self.look_again();
        let path = path.as_os_str().as_bytes();
        let mut places: Vec<(&Mount, &OsStr)> = self
            .now
            .iter()
            .filter(|mount| mount.dev == dev && (mount.is_overlay || self.first.contains(mount)))
            .filter_map(|mount| Some((mount, mount.below(path)?)))
            .collect();
        places.sort_small_by_key(|(mount, _)| mount.at.as_os_str().len());
        places.iter().take(MAX_TRIES).find_map(|(mount, below)| mount.open(below, inode))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn mounts_by_number() {
        let mounts = "21 1 0:20 / / rw - ext4 /dev/a rw\n\
                      odd\n\
                      99 21 0:44 / /srv/a\\040b rw,relatime shared:3 - tmpfs none rw\n";
        assert_eq!(find(mounts, 99), Some(PathBuf::from("/srv/a b")));
        assert_eq!((find(mounts, 9), find("x\n", 0)), (None, None));
    }

    #[test]
    fn a_line_is_a_mount() {
        let line = b"99 21 259:44 /a\\040b /srv/\\134\xff rw,relatime shared:3 master:1 - overlay none rw";
        let mount = Mount::parse(line).unwrap();
        assert_eq!((mount.number, mount.dev, mount.is_overlay), (99, 259 << 20 | 44, true));
        assert_eq!(mount.root, b"/a b");
        assert_eq!(mount.at.as_os_str().as_bytes(), b"/srv/\\\xff");
        let below = |path: &'static [u8]| mount.below(path).map(OsStrExt::as_bytes);
        assert_eq!(below(b"/a b/c/d"), Some(b"c/d".as_slice()));
        assert_eq!((below(b"/a b"), below(b"/a bc"), below(b"/c")), (Some(b"".as_slice()), None, None));
        let whole = Mount { root: b"/".to_vec(), ..mount };
        assert_eq!(whole.below(b"/a/b"), Some(OsStr::new("a/b")));
        for odd in [b"".as_slice(), b"1 2 3 / /", b"1 2 x:1 / / - a", b"1 2 3:4 /"] {
            assert_eq!(Mount::parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn escapes_of_mountinfo() {
        assert_eq!(unescape_bytes(b"a\\040b\\134040\\9\\777\\04"), b"a b\\040\\9\\777\\04");
        assert_eq!(unescape_bytes(b"\\"), b"\\");
    }

    /// A file, its place in its file system, and the device of that.
    fn place_of(path: &Path) -> (u32, PathBuf, u64) {
        let path = path.canonicalize().unwrap();
        let file = File::open(&path).unwrap();
        let number = number_of(&file).unwrap();
        let mounts = Mounts::default();
        let mount = mounts.now.iter().find(|mount| mount.number == number).unwrap();
        let root = Path::new(OsStr::from_bytes(&mount.root));
        let below = path.strip_prefix(&mount.at).unwrap();
        (mount.dev, root.join(below), file.metadata().unwrap().ino())
    }

    #[test]
    fn a_file_is_opened_by_its_place_if_it_is_the_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        std::fs::write(at("other"), "other").unwrap();
        let (dev, place, inode) = place_of(&at("file"));
        let mut mounts = Mounts::default();
        let mut text = String::new();
        mounts.open(dev, &place, inode).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        // Another file there, another file system, no such place.
        assert!(mounts.open(dev, &place.with_file_name("other"), inode).is_none());
        assert!(mounts.open(u32::MAX, &place, inode).is_none());
        assert!(mounts.open(dev, &place.join("below"), inode).is_none());
    }

    #[test]
    fn links_and_what_is_no_file_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), "text").unwrap();
        std::os::unix::fs::symlink(at("file"), at("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("folder")).unwrap();
        nix::unistd::mkfifo(&at("pipe"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        let (dev, place, inode) = place_of(&at("file"));
        let mut mounts = Mounts::default();
        for through in ["link", "folder/file"] {
            assert!(mounts.open(dev, &place.with_file_name(through), inode).is_none(), "{through}");
        }
        let inode_of = |name: &str| std::fs::metadata(at(name)).unwrap().ino();
        // Nobody writes into the pipe: opening it would last for ever.
        for odd in ["pipe", "."] {
            assert!(mounts.open(dev, &place.with_file_name(odd), inode_of(odd)).is_none(), "{odd}");
        }
    }
}
