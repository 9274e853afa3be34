//! A small root of its own, to be entered by chroot.

use super::startrace;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Another root, with a shell, `true` and `sleep`, and libraries of its own.
pub struct Jail {
    pub folder: tempfile::TempDir,
}

impl Jail {
    pub fn new() -> Self {
        let jail = Self { folder: tempfile::tempdir().unwrap() };
        fs::set_permissions(jail.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for program in ["/bin/sh", "/bin/true", "/bin/sleep"] {
            jail.put(Path::new(program), program);
            let output = Command::new(startrace()).args(["inspect", "--json", program]).output().unwrap();
            let facts: Value = serde_json::from_slice(&output.stdout).unwrap();
            for library in facts["libraries"].as_array().unwrap() {
                let path = library["path"].as_str().unwrap();
                jail.put(Path::new(path), path);
            }
        }
        jail
    }

    pub fn path(&self) -> &str {
        self.folder.path().to_str().unwrap()
    }

    /// Where a path of the jail's lies for this machine.
    pub fn inside(&self, path: &Path) -> PathBuf {
        self.folder.path().join(path.strip_prefix("/").unwrap())
    }

    /// Copies a file into it.
    pub fn put(&self, from: &Path, path: &str) {
        let inside = self.inside(Path::new(path));
        fs::create_dir_all(inside.parent().unwrap()).unwrap();
        // Put in place by renaming: a new inode, also where there is one.
        let part = inside.with_extension("part");
        fs::copy(from, &part).unwrap();
        fs::rename(&part, &inside).unwrap();
    }

    /// A script of its shell.
    pub fn command<'a>(&'a self, script: &'a str) -> [&'a str; 5] {
        ["chroot", self.path(), "/bin/sh", "-c", script]
    }
}
