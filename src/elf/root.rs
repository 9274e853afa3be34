//! Files below a root directory: paths and symbolic links resolve inside it, as after chroot(2).

use super::Error;
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// A directory that is taken for `/`.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
    /// The directory as this process sees it.
    prefix: PathBuf,
}

impl Root {
    /// Opens a directory as root: a container's file system, or `/proc/PID/root`.
    ///
    /// # Errors
    /// That of open(2): it must be a directory that can be searched.
    pub fn open(dir: &Path) -> io::Result<Root> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let dir = nix::fcntl::open(dir, flags, Mode::empty())?;
        let prefix = std::fs::read_link(proc_path(&dir))?;
        Ok(Root { dir, prefix })
    }

    /// The root of this process.
    ///
    /// # Errors
    /// As [`Root::open`].
    pub fn host() -> io::Result<Root> {
        Root::open(Path::new("/"))
    }

    /// A handle that allows no reading yet: opening it touches nothing, device or pipe.
    fn locate(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let flags = OFlag::O_PATH | OFlag::O_CLOEXEC;
        let how = OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        match openat2(&self.dir, path, how) {
            // Before Linux 5.6, and under container runtimes that do not know the call yet. A link
            // cannot lead out of the whole machine's root, so there is nothing to confine.
            Err(Errno::ENOSYS | Errno::EPERM) if self.prefix == Path::new("/") => {
                nix::fcntl::openat(&self.dir, path, flags, Mode::empty())
            }
            other => other,
        }
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// That of open(2), or [`Error::NotRegular`].
    pub fn read(&self, path: &Path) -> Result<File, Error> {
        let handle = self.locate(path).map_err(io::Error::from)?;
        let stat = fstat(&handle).map_err(io::Error::from)?;
        let what = match kind(&stat) {
            SFlag::S_IFREG => return Ok(File::open(proc_path(&handle))?),
            SFlag::S_IFDIR => "a folder",
            SFlag::S_IFIFO => "a pipe",
            SFlag::S_IFSOCK => "a socket",
            _ => "a device",
        };
        Err(Error::NotRegular { what })
    }

    /// Whether there is a directory.
    pub fn is_dir(&self, path: &Path) -> bool {
        let stat = self.locate(path).and_then(|handle| fstat(&handle));
        stat.is_ok_and(|stat| kind(&stat) == SFlag::S_IFDIR)
    }

    /// An open file's path inside this root, with no symbolic links in it.
    pub fn real_path(&self, file: &File) -> Option<PathBuf> {
        self.inside(&std::fs::read_link(proc_path(file)).ok()?)
    }

    /// An open file's path as this process sees it, with no symbolic links in it.
    pub fn outside(&self, file: &File) -> Option<PathBuf> {
        std::fs::read_link(proc_path(file)).ok()
    }

    /// Device and inode of the directory.
    pub fn id(&self) -> Option<(u64, u64)> {
        fstat(&self.dir).ok().map(|stat| (stat.st_dev, stat.st_ino))
    }

    /// A path as this process sees it, as a path inside this root.
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        let inside = path.strip_prefix(&self.prefix).ok()?;
        Some(Path::new("/").join(inside))
    }
}

fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn proc_path(fd: &impl AsFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()))
}
