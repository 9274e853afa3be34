//! Opens candidates one by one, counts the vain tries and remembers which directories exist.

use super::Settings;
use crate::elf::Error;
use crate::elf::facts::{self, DynamicFacts};
use crate::elf::image::Image;
use goblin::elf::header::{ET_DYN, ET_EXEC};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Files tried for one program. A bad real case (a RUNPATH of 240 directories and 12 libraries) needs
/// 3,000.
pub(in crate::elf) const MAX_TRIES: u64 = 200_000;

/// A library file that fits the program.
pub(super) struct Loaded {
    pub(super) path: Vec<u8>,
    pub(super) dynamic: DynamicFacts,
    pub(super) id: (u64, u64),
    pub(super) size: u64,
}

/// What became of one candidate.
pub(super) enum Try {
    Loaded(Box<Loaded>),
    Absent,
    /// An ELF file for another machine or word size.
    Foreign,
    Broken(String),
}

/// One program's search.
pub(super) struct Search<'s> {
    pub(super) settings: &'s Settings<'s>,
    pub(super) machine: u16,
    pub(super) is_64: bool,
    tries: u64,
    directories: HashMap<Vec<u8>, bool>,
}

impl<'s> Search<'s> {
    pub(super) fn new(settings: &'s Settings<'s>, program: &Image<'_>) -> Self {
        Search {
            settings,
            machine: program.header.e_machine,
            is_64: program.is_64(),
            tries: 0,
            directories: HashMap::new(),
        }
    }

    pub(super) fn exhausted(&self) -> bool {
        self.tries >= MAX_TRIES
    }

    pub(super) fn absolute(&self, path: &[u8]) -> Vec<u8> {
        if path.starts_with(b"/") {
            return path.to_vec();
        }
        let joined = self.settings.cwd.join(Path::new(OsStr::from_bytes(path)));
        joined.as_os_str().as_bytes().to_vec()
    }

    /// A file inside the root, whatever it is.
    pub(super) fn read(&self, path: &[u8]) -> Result<File, Error> {
        let path = PathBuf::from(OsStr::from_bytes(&self.absolute(path)));
        self.settings.root.read(&path)
    }

    /// Whether a directory exists; asked once for each.
    pub(super) fn is_dir(&mut self, directory: &[u8]) -> bool {
        if let Some(&known) = self.directories.get(directory) {
            return known;
        }
        let path = PathBuf::from(OsStr::from_bytes(&self.absolute(directory)));
        let exists = self.settings.root.is_dir(&path);
        self.directories.insert(directory.to_vec(), exists);
        exists
    }

    /// Whether a directory is known not to exist, without asking.
    pub(super) fn known_missing(&self, directory: &[u8]) -> bool {
        self.directories.get(directory) == Some(&false)
    }

    /// Opens a candidate.
    pub(super) fn open(&mut self, path: &[u8]) -> Try {
        if self.exhausted() {
            return Try::Absent;
        }
        self.tries += 1;
        let file = match self.read(path) {
            Ok(file) => file,
            Err(Error::NotRegular { what }) => return Try::Broken(format!("it is {what}")),
            Err(_) => return Try::Absent,
        };
        let image = match Image::read(&file) {
            Ok(image) => image,
            Err(error) => return Try::Broken(error.to_string()),
        };
        if image.is_64() != self.is_64 || image.header.e_machine != self.machine {
            return Try::Foreign;
        }
        if !matches!(image.header.e_type, ET_DYN | ET_EXEC) {
            return Try::Broken("it is an ELF file but no library".to_owned());
        }
        let Ok(meta) = file.metadata() else {
            return Try::Absent;
        };
        Try::Loaded(Box::new(Loaded {
            path: path.to_vec(),
            dynamic: facts::dynamic(&image),
            id: (meta.dev(), meta.ino()),
            size: meta.len(),
        }))
    }
}
