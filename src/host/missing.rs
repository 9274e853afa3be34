//! Which libraries a program lacks: asked where its dynamic loader gave it up.

use super::world::{kernel_dev, open_if};
use crate::elf::{self, root::Root};
use crate::hash::HashMap;
use crate::timeline::world::ImageKey;
use crate::trace::text;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Programs that are looked up: of one that is started again and again the answer is kept, and there are few others.
const MAX_PROGRAMS: usize = 64;
/// Libraries that are named.
const MAX_NAMES: usize = 32;

/// The answers so far.
#[derive(Default)]
pub(super) struct Missing(HashMap<(u32, u64), Option<Vec<String>>>);

impl Missing {
    /// Of a program in our own root: that of a process which is gone cannot be entered.
    pub(super) fn of(&mut self, image: &ImageKey) -> Option<Vec<String>> {
        let key = (image.dev, image.inode);
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        if self.0.len() >= MAX_PROGRAMS {
            return None;
        }
        let found = look(image);
        self.0.insert(key, found.clone());
        found
    }
}

fn look(image: &ImageKey) -> Option<Vec<String>> {
    let path = text::decode(&image.exe);
    let path = Path::new(OsStr::from_bytes(&path));
    let file =
        open_if(path.to_path_buf(), |meta| meta.ino() == image.inode && kernel_dev(meta.dev()) == image.dev)?;
    let root = Root::host().ok()?;
    let settings = elf::resolve::Settings {
        root: &root,
        cwd: PathBuf::from("/"),
        library_path: None,
        preload: None,
        secure: false,
    };
    let resolution = elf::resolve::resolve(&file, path, &settings).ok()?;
    let missing = resolution.libraries.into_iter().filter(|library| library.path.is_none());
    Some(missing.map(|library| library.name).take(MAX_NAMES).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(path: &Path) -> ImageKey {
        let meta = std::fs::metadata(path).unwrap();
        let exe = text::encode(path.as_os_str().as_bytes());
        ImageKey { pid: 1, exe, within: None, dev: kernel_dev(meta.dev()), inode: meta.ino() }
    }

    #[test]
    fn a_program_in_our_root_lacks_nothing_and_another_file_is_not_judged() {
        let own = std::env::current_exe().unwrap();
        let mut missing = Missing::default();
        assert_eq!(missing.of(&image(&own)), Some(Vec::new()));
        // The path is another file's by now, or one of another root.
        let gone = ImageKey { inode: image(&own).inode + 1, ..image(&own) };
        assert_eq!(missing.of(&gone), None);
        assert_eq!(missing.of(&image(Path::new("/etc/passwd"))), None);
    }

    #[test]
    fn no_more_programs_are_looked_up_than_are_remembered() {
        let mut missing = Missing::default();
        for n in 0..MAX_PROGRAMS as u64 {
            missing.0.insert((0, n), None);
        }
        assert_eq!(missing.of(&image(&std::env::current_exe().unwrap())), None);
    }
}
