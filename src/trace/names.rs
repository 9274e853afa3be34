//! Names of trace files, spools and temporary files, and the streams that are opened in their place.

use super::place::Folder;
use super::text::shell_path;
use super::write::Format;
use crate::host::Error;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long a named pipe may be without a reader when recording is to begin.
const READER_PATIENCE: Duration = Duration::from_secs(5);
/// How many numbered names are tried before somebody is told to clean up.
pub(super) const MAX_NUMBER: u32 = 10_000;

pub(super) fn cannot_create(path: &Path, e: io::Error) -> Error {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
    Error::io(
        format!(
            "cannot create -o {} in {}",
            path.display(),
            folder.unwrap_or(Path::new("the current folder")).display()
        ),
        e,
    )
}

pub(super) fn taken(path: &Path) -> Error {
    Error::new(format!(
        "another startrace is recording to {}: wait for its end or name another file with -o",
        path.display()
    ))
}

pub(super) fn numbered(stem: &str, number: u32, extension: &str) -> OsString {
    match number {
        1 => format!("{stem}.{extension}"),
        n => format!("{stem}-{n}.{extension}"),
    }
    .into()
}

pub(super) fn spool_name(name: &OsStr, number: u32) -> OsString {
    let mut spool = name.to_owned();
    match number {
        1 => spool.push(".spool"),
        n => spool.push(format!(".{n}.spool")),
    }
    spool
}

pub(super) fn make_spool(
    folder: &Folder,
    name: &OsStr,
    notices: &mut Vec<String>,
) -> Result<(File, OsString), Error> {
    for number in 1..MAX_NUMBER {
        let spool = spool_name(name, number);
        let path = folder.path(&spool);
        match folder.create(&spool) {
            Ok(file) => return Ok((file, spool)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                if folder.is_locked(&spool) {
                    return Err(taken(&folder.path(name)));
                }
                notices.push(format!(
                    "{} is left from a recording that did not end properly: remove it, or read it with: startrace \
                     report {}",
                    path.display(),
                    shell_path(&path)
                ));
            }
            Err(e) => return Err(cannot_create(&path, e)),
        }
    }
    Err(Error::new(format!(
        "too many files like {} are left from recordings that did not end properly: remove them",
        folder.path(&spool_name(name, 1)).display()
    )))
}

pub(super) fn make_temporary(folder: &Folder, name: &OsStr) -> io::Result<(OsString, File)> {
    for number in 0..MAX_NUMBER {
        let mut temporary = name.to_owned();
        temporary.push(format!(".{}-{number}.tmp", std::process::id()));
        match folder.create(&temporary) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|file| (temporary, file)),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Renames the document to its name; to the next free one where nothing may be replaced.
pub(super) fn put_in_place(
    folder: &Folder,
    temporary: &OsStr,
    name: &OsStr,
    unnamed: Option<&str>,
) -> io::Result<OsString> {
    let Some(stem) = unnamed else {
        return folder.rename(temporary, name).map(|()| name.to_owned());
    };
    let mut name = name.to_owned();
    for number in 2..MAX_NUMBER {
        match folder.rename_new(temporary, &name) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                name = numbered(stem, number, Format::Json.extension());
            }
            result => return result.map(|()| name),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// `/dev/fd/N`, as a shell's `>(command)` names a pipe: the descriptor that we were given.
pub(super) fn inherited_descriptor(path: &Path) -> Option<i32> {
    let number =
        path.strip_prefix("/dev/fd").or_else(|_| path.strip_prefix("/proc/self/fd")).ok()?.to_str()?;
    number.parse().ok().filter(|&n| n >= 0)
}

pub(super) fn duplicate(number: i32) -> io::Result<File> {
    // SAFETY: the descriptor is only duplicated, for which it need not be ours; a closed one gives
    // EBADF. The result is new and nobody else's.
    unsafe {
        let new = libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3);
        if new < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(<File as std::os::fd::FromRawFd>::from_raw_fd(new))
    }
}

/// A named pipe's reader may be starting at this very moment: a little patience, but no endless wait.
pub(super) fn open_stream(folder: &Folder, name: &OsStr) -> Result<File, Error> {
    let begun = Instant::now();
    loop {
        match folder.open_stream(name) {
            Ok(file) => return Ok(file),
            Err(e) if e.raw_os_error() == Some(libc::ENXIO) => {
                if begun.elapsed() >= READER_PATIENCE {
                    return Err(Error::new(format!(
                        "nobody reads the pipe {}: start its reader first",
                        folder.path(name).display()
                    )));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(e) => {
                return Err(Error::io(format!("cannot write to {}", folder.path(name).display()), e));
            }
        }
    }
}
