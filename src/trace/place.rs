//! The folder that a trace goes to, and what may be done in it.
//!
//! The folder is opened once, and everything after that is relative to it and done as the owner
//! (see [`crate::host::owner`]): neither a swapped folder nor a link leads root anywhere.

use crate::host::Error;
use crate::host::owner::Owner;
use nix::fcntl::{AtFlags, OFlag, RenameFlags};
use nix::sys::stat::{FileStat, Mode, SFlag};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// An open folder, and whose files are made in it.
#[derive(Debug)]
pub(super) struct Folder {
    fd: OwnedFd,
    path: PathBuf,
    owner: Owner,
}

/// What is there under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Nothing,
    Regular,
    /// A named pipe or a character device: written to as it is.
    Stream,
    Link,
    Folder,
    /// Block devices and sockets.
    Other,
}

impl Folder {
    pub(super) fn open(path: &Path, owner: &Owner) -> Result<Self, Error> {
        let real = match path.as_os_str().is_empty() {
            true => Path::new("."),
            false => path,
        };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let fd = owner
            .act(|| nix::fcntl::open(real, flags, Mode::empty()))?
            .map_err(|e| Error::io(format!("cannot open the folder {}", real.display()), e))?;
        Ok(Self { fd, path: path.to_owned(), owner: owner.clone() })
    }

    /// A file's whole path, for messages.
    pub(super) fn path(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// Does something as the owner; a refused change of ids is an error like the others.
    fn act<T>(&self, action: impl FnOnce(&OwnedFd) -> nix::Result<T>) -> io::Result<T> {
        match self.owner.act(|| action(&self.fd)) {
            Ok(result) => Ok(result?),
            Err(refused) => Err(io::Error::other(refused.to_string())),
        }
    }

    /// What is there under this name; links are not followed.
    pub(super) fn kind(&self, name: &OsStr) -> io::Result<Kind> {
        Ok(self.stat(name)?.map_or(Kind::Nothing, |stat| kind(&stat)))
    }

    fn stat(&self, name: &OsStr) -> io::Result<Option<FileStat>> {
        match self.act(|fd| nix::sys::stat::fstatat(fd, name, AtFlags::AT_SYMLINK_NOFOLLOW)) {
            Ok(stat) => Ok(Some(stat)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The target of a link, for messages.
    pub(super) fn link(&self, name: &OsStr) -> Option<PathBuf> {
        self.act(|fd| nix::fcntl::readlinkat(fd, name)).ok().map(PathBuf::from)
    }

    /// In a folder that others can write to, somebody else's file is not to be trusted: they could
    /// have put it there for us to fill. (The kernel has such a rule too, `fs.protected_regular`, and
    /// leaves it off by default.)
    pub(super) fn is_trap(&self, name: &OsStr) -> io::Result<bool> {
        let folder = nix::sys::stat::fstat(&self.fd)?;
        let shared = folder.st_mode & (libc::S_IWGRP | libc::S_IWOTH) != 0;
        let file = self.stat(name)?;
        Ok(shared && file.is_some_and(|file| file.st_uid != self.owner.uid))
    }

    /// Makes a new file, readable by its owner only. Fails if anything is there, even a dangling link.
    pub(super) fn create(&self, name: &OsStr) -> io::Result<File> {
        let flags = OFlag::O_RDWR
            | OFlag::O_CREAT
            | OFlag::O_EXCL
            | OFlag::O_NOFOLLOW
            | OFlag::O_NOCTTY
            | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        let file = File::from(self.act(|fd| nix::fcntl::openat(fd, name, flags, mode))?);
        mark(&file);
        Ok(file)
    }

    /// Opens a named pipe or a character device for writing. Does not wait for a reader: without one
    /// it fails with ENXIO.
    pub(super) fn open_stream(&self, name: &OsStr) -> io::Result<File> {
        let flags =
            OFlag::O_WRONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        let fd = self.act(|fd| nix::fcntl::openat(fd, name, flags, Mode::empty()))?;
        // It may have been exchanged after it was looked at.
        if kind(&nix::sys::stat::fstat(&fd)?) != Kind::Stream {
            return Err(io::Error::other("it changed while it was opened"));
        }
        nix::fcntl::fcntl(&fd, nix::fcntl::FcntlArg::F_SETFL(OFlag::empty()))?;
        Ok(File::from(fd))
    }

    /// A live recording writes to this file: it holds the lock.
    pub(super) fn is_locked(&self, name: &OsStr) -> bool {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        match self.act(|fd| nix::fcntl::openat(fd, name, flags, Mode::empty())) {
            // Shared, so that two that look at once do not take each other for a writer.
            Ok(fd) => {
                lock(&File::from(fd), libc::LOCK_SH).is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
            }
            Err(_) => false,
        }
    }

    /// Puts `from` in the place of `to`, in one step.
    pub(super) fn rename(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        self.act(|fd| nix::fcntl::renameat(fd, from, fd, to))
    }

    /// The same, but fails where there is a `to`.
    pub(super) fn rename_new(&self, from: &OsStr, to: &OsStr) -> io::Result<()> {
        let exclusive = self.act(|fd| nix::fcntl::renameat2(fd, from, fd, to, RenameFlags::RENAME_NOREPLACE));
        match exclusive {
            // Some network file systems know no flags: look first, which is the best that they allow.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => match self.kind(to)? {
                Kind::Nothing => self.rename(from, to),
                _ => Err(io::ErrorKind::AlreadyExists.into()),
            },
            result => result,
        }
    }

    /// Removes a file of ours, if it is still the one that we made.
    pub(super) fn remove(&self, name: &OsStr, file: &File) -> io::Result<()> {
        match self.is(name, file)? {
            true => self.act(|fd| nix::unistd::unlinkat(fd, name, nix::unistd::UnlinkatFlags::NoRemoveDir)),
            false => Ok(()),
        }
    }

    /// The name still leads to this open file.
    pub(super) fn is(&self, name: &OsStr, file: &File) -> io::Result<bool> {
        let open = nix::sys::stat::fstat(file)?;
        let named = self.stat(name)?;
        Ok(named.is_some_and(|named| (named.st_dev, named.st_ino) == (open.st_dev, open.st_ino)))
    }

    /// A file without a name in this folder.
    pub(super) fn unnamed(&self) -> io::Result<File> {
        let flags = OFlag::O_TMPFILE | OFlag::O_RDWR | OFlag::O_CLOEXEC;
        let mode = Mode::S_IRUSR | Mode::S_IWUSR;
        match self.act(|fd| nix::fcntl::openat(fd, ".", flags, mode)) {
            Ok(fd) => Ok(File::from(fd)),
            // Not every file system has nameless files: make one and take its name away.
            Err(e) if matches!(e.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EISDIR)) => {
                let name = format!(".startrace-{}.spool", std::process::id());
                let file = self.create(OsStr::new(&name))?;
                self.remove(OsStr::new(&name), &file)?;
                Ok(file)
            }
            Err(e) => Err(e),
        }
    }
}

fn kind(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode & libc::S_IFMT) {
        SFlag::S_IFREG => Kind::Regular,
        SFlag::S_IFIFO | SFlag::S_IFCHR => Kind::Stream,
        SFlag::S_IFLNK => Kind::Link,
        SFlag::S_IFDIR => Kind::Folder,
        _ => Kind::Other,
    }
}

/// Marks a file as written to by a live recording; the mark ends with the process, however it ends.
/// Somebody who looks at that moment is waited for, but not for long. Without the mark (a network
/// file system that has no locks) two recordings to one file are not told apart.
fn mark(file: &File) {
    for _ in 0..20 {
        match lock(file, libc::LOCK_EX) {
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            _ => return,
        }
    }
}

fn lock(file: &File, kind: libc::c_int) -> io::Result<()> {
    // SAFETY: flock takes a descriptor, open for as long as `file` is borrowed, and a number.
    match unsafe { libc::flock(file.as_fd().as_raw_fd(), kind | libc::LOCK_NB) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
