//! A file that is whole or absent, for what reading commands make: exports and pages.
//!
//! Written to a temporary file beside FILE and renamed over it at the end, so that an older FILE stays
//! until there is a whole new one. Standard output, named pipes and devices are written to as they are.

use super::names::{cannot_create, duplicate, inherited_descriptor, make_temporary, open_stream};
use super::place::{Folder, Kind};
use super::write::OutputTarget;
use crate::host::Error;
use crate::host::inherited::has_stdout;
use crate::host::owner::Owner;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// A file under way to its name.
#[derive(Debug)]
pub struct Whole {
    file: File,
    end: Option<End>,
}

#[derive(Debug)]
struct End {
    folder: Folder,
    temporary: OsString,
    name: OsString,
}

impl Whole {
    /// Opens what is needed to write to `target`. `option` is what messages call it, such as `-o`. A new
    /// file is made as `owner`, readable by them only.
    ///
    /// # Errors
    /// The message names the file and says what to do.
    pub fn create(target: &OutputTarget, option: &str, owner: &Owner) -> Result<Self, Error> {
        let path = match target {
            OutputTarget::File(path) => path,
            OutputTarget::Stdout => {
                has_stdout().map_err(|e| Error::new(e.to_string()))?;
                let out = io::stdout().as_fd().try_clone_to_owned();
                let out = out.map_err(|e| Error::io("cannot write to the standard output", e))?;
                return Ok(Self { file: out.into(), end: None });
            }
            OutputTarget::Unnamed { folder, stem } => &folder.join(stem),
        };
        let shown = format!("{option} {}", path.display());
        if let Some(number) = inherited_descriptor(path) {
            let out = duplicate(number).map_err(|e| Error::io(format!("{shown}: cannot be used"), e))?;
            return Ok(Self { file: out, end: None });
        }
        let name = match path.file_name() {
            Some(name) if !path.as_os_str().as_encoded_bytes().ends_with(b"/") => name.to_owned(),
            _ => return Err(Error::new(format!("{shown} is a folder: name a file in it"))),
        };
        let folder = Folder::open(path.parent().unwrap_or(Path::new("")), owner)?;
        let looked = |e| Error::io(format!("{shown}: cannot be looked at"), e);
        let kind = folder.kind(&name).map_err(looked)?;
        let device = kind == Kind::Stream && path.starts_with("/dev");
        if matches!(kind, Kind::Regular | Kind::Stream) && !device && folder.is_trap(&name).map_err(looked)? {
            return Err(Error::new(format!(
                "{shown} belongs to somebody else, in a folder that others can write to: name another file"
            )));
        }
        match kind {
            Kind::Nothing | Kind::Regular => {
                let (temporary, file) = make_temporary(&folder, &name).map_err(|e| cannot_create(path, e))?;
                Ok(Self { file, end: Some(End { folder, temporary, name }) })
            }
            Kind::Stream => Ok(Self { file: open_stream(&folder, &name)?, end: None }),
            Kind::Link => Err(Error::new(format!(
                "{shown} is a symbolic link, which startrace does not write through: name the file itself ({})",
                folder.link(&name).unwrap_or_default().display()
            ))),
            Kind::Folder => Err(Error::new(format!("{shown} is a folder: name a file in it"))),
            Kind::Other => Err(Error::new(format!("{shown} is neither a file nor a pipe: name another"))),
        }
    }

    /// Gives the file its name; the path of it, or `None` for what has no name of ours.
    ///
    /// # Errors
    /// It could not be renamed; an older file is untouched then.
    pub fn finish(mut self) -> io::Result<Option<PathBuf>> {
        let Some(end) = &self.end else { return Ok(None) };
        end.folder.rename(&end.temporary, &end.name)?;
        let path = end.folder.path(&end.name);
        self.end = None;
        Ok(Some(path))
    }
}

impl Write for Whole {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for Whole {
    // Somebody left with an error: half a file does not stay.
    fn drop(&mut self) {
        if let Some(end) = &self.end {
            let _ = end.folder.remove(&end.temporary, &self.file);
        }
    }
}

/// The folder for temporary files that somebody asks for.
fn asked_for() -> Option<PathBuf> {
    std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()).map(PathBuf::from)
}

/// A nameless file for what is not to stay in memory: /tmp often is memory itself, so it comes last.
///
/// # Errors
/// None can be made anywhere.
pub(crate) fn scratch() -> io::Result<File> {
    let mut failed = io::Error::from(io::ErrorKind::NotFound);
    for folder in asked_for().into_iter().chain(["/var/tmp", "/tmp"].map(PathBuf::from)) {
        let open = Folder::open(&folder, &Owner::own()).map_err(|e| io::Error::other(e.to_string()));
        match open.and_then(|folder| folder.unnamed()) {
            Ok(file) => return Ok(file),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// A nameless file in `$TMPDIR` or /tmp, for what has to be read twice and comes down a pipe.
///
/// # Errors
/// None can be made; the message says what to do.
pub fn nameless() -> Result<File, Error> {
    let folder = asked_for().unwrap_or_else(|| PathBuf::from("/tmp"));
    Folder::open(&folder, &Owner::own())?.unnamed().map_err(|e| {
        let folder = folder.display();
        Error::io(
            format!(
                "cannot make a temporary file in {folder}: set TMPDIR to a folder that can be written, or save \
                 the trace to a file first"
            ),
            e,
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn create(path: &Path) -> Result<Whole, Error> {
        Whole::create(&OutputTarget::File(path.to_owned()), "--html", &Owner::own())
    }

    fn refused(path: &Path) -> String {
        create(path).unwrap_err().to_string()
    }

    #[test]
    fn a_file_is_whole_or_the_older_one_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("page.html");
        fs::write(&path, "earlier").unwrap();
        let mut file = create(&path).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 2);
        drop(file);
        assert_eq!(fs::read_to_string(&path).unwrap(), "earlier");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
        let mut file = create(&path).unwrap();
        file.write_all(b"whole").unwrap();
        assert_eq!(file.finish().unwrap(), Some(path.clone()));
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_file_of_ours_is_said_to_be_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::write(at("real"), "").unwrap();
        symlink("real", at("link")).unwrap();
        let link = refused(&at("link"));
        assert!(link.starts_with("--html /") && link.ends_with("name the file itself (real)"), "{link}");
        for folder in [dir.path().to_owned(), at(""), PathBuf::from("/")] {
            let said = refused(&folder);
            assert!(said.ends_with("is a folder: name a file in it"), "{said}");
        }
        let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        assert!(refused(&at("socket")).ends_with("is neither a file nor a pipe: name another"));
        assert!(refused(&at("none/page.html")).contains("none"));
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 3, "something was made");
    }

    #[test]
    fn a_device_and_an_open_descriptor_are_written_to_as_they_are() {
        use std::os::fd::AsRawFd;
        let mut null = create(Path::new("/dev/null")).unwrap();
        null.write_all(b"gone").unwrap();
        assert_eq!(null.finish().unwrap(), None);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("open");
        let open = File::create(&path).unwrap();
        let mut file = create(Path::new(&format!("/dev/fd/{}", open.as_raw_fd()))).unwrap();
        file.write_all(b"there").unwrap();
        assert_eq!(file.finish().unwrap(), None);
        assert_eq!(fs::read_to_string(&path).unwrap(), "there");
        assert!(refused(Path::new("/dev/fd/987654")).contains("/dev/fd/987654: cannot be used"));
    }
}
