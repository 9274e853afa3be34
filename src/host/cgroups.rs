//! The cgroups that there are now.

use super::mounts::unescape;
use std::path::{Path, PathBuf};

/// On a machine with more than these it takes too long to look.
const MOST: usize = 20_000;

/// Paths of all cgroups, of every hierarchy that is mounted; `None` where it is not known whether these are all: a
/// part of a hierarchy only is mounted (in a container), or there are too many.
pub fn all() -> Option<Vec<String>> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mut paths = Vec::new();
    for at in hierarchies(&mounts)? {
        below(&at, &mut paths)?;
    }
    (!paths.is_empty()).then_some(paths)
}

/// Where they are mounted; `None` where one is in parts.
fn hierarchies(mountinfo: &str) -> Option<Vec<PathBuf>> {
    let mut found = Vec::new();
    for line in mountinfo.lines() {
        let Some((place, kind)) = line.split_once(" - ") else { continue };
        if !kind.starts_with("cgroup2 ") && !kind.starts_with("cgroup ") {
            continue;
        }
        let mut fields = place.split(' ').skip(3);
        let (root, at) = (fields.next()?, fields.next()?);
        if root != "/" {
            return None;
        }
        found.push(PathBuf::from(unescape(at)));
    }
    Some(found)
}

fn below(mount: &Path, paths: &mut Vec<String>) -> Option<()> {
    let mut folders = vec![mount.to_owned()];
    while let Some(folder) = folders.pop() {
        // One that has gone meanwhile, or that is not for us, has none that we could tell of.
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        folders
            .extend(entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()));
        let path = folder.strip_prefix(mount).unwrap_or(&folder);
        paths.push(format!("/{}", path.display()));
        if paths.len() + folders.len() > MOST {
            return None;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_hierarchy_tells_nothing() {
        let whole = "1 0 0:1 / / rw - ext4 a rw\n30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n\
                     31 23 0:27 / /a\\040b rw - cgroup cgroup rw,cpu\n";
        assert_eq!(hierarchies(whole).unwrap(), [Path::new("/sys/fs/cgroup"), Path::new("/a b")]);
        let part = "30 23 0:26 /pod/box /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n";
        assert_eq!(hierarchies(part), None);
    }

    #[test]
    fn folders_are_cgroups_and_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("system.slice/web.service")).unwrap();
        std::fs::write(dir.path().join("cgroup.procs"), "").unwrap();
        let mut paths = Vec::new();
        below(dir.path(), &mut paths).unwrap();
        assert_eq!(paths, ["/", "/system.slice", "/system.slice/web.service"]);
    }
}
