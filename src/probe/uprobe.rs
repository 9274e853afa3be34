//! libc's `execve`, where uprobes tell of execs that fail.

use anyhow::{Context, Result, anyhow};
use goblin::elf::Elf;
use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A C library is some 2 MB; nothing much larger is read.
const MAX_LIBC: u64 = 64 << 20;

/// A place to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Site {
    /// The file, by a path that reaches it from here.
    pub path: PathBuf,
    /// Offset of the function in it.
    pub offset: usize,
}

/// The C libraries that the processes have mapped; without processes, those that this machine's own
/// programs use. One per file.
pub(super) fn libcs(pids: &[u32]) -> Vec<PathBuf> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    let mut add = |path: PathBuf| {
        if let Ok(meta) = std::fs::metadata(&path)
            && meta.is_file()
            && seen.insert((meta.dev(), meta.ino()))
        {
            found.push(path);
        }
    };
    for pid in pids {
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
        for line in maps.lines() {
            let Some(at) = line.find('/') else { continue };
            if is_libc(&line[at..]) {
                add(PathBuf::from(format!("/proc/{pid}/root{}", &line[at..])));
            }
        }
    }
    if pids.is_empty() {
        const USUAL: [&str; 6] = [
            "/lib/x86_64-linux-gnu/libc.so.6",
            "/lib/aarch64-linux-gnu/libc.so.6",
            "/lib64/libc.so.6",
            "/usr/lib/libc.so.6",
            "/lib/ld-musl-x86_64.so.1",
            "/lib/ld-musl-aarch64.so.1",
        ];
        USUAL.iter().for_each(|path| add(PathBuf::from(path)));
    }
    found
}

fn is_libc(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    name == "libc.so.6"
        || name.starts_with("ld-musl-")
        || (name.starts_with("libc-2.") && name.ends_with(".so"))
}

/// Where `execve` lies in a C library.
pub(super) fn execve(path: &Path) -> Result<Site> {
    let size = std::fs::metadata(path)?.len();
    if size > MAX_LIBC {
        return Err(anyhow!("{} is too large for a C library ({size} bytes)", path.display()));
    }
    let bytes = std::fs::read(path)?;
    let elf = Elf::parse(&bytes).with_context(|| format!("cannot read {}", path.display()))?;
    let symbol = elf
        .dynsyms
        .iter()
        .find(|symbol| {
            symbol.is_function()
                && symbol.st_value != 0
                && elf.dynstrtab.get_at(symbol.st_name) == Some("execve")
        })
        .with_context(|| format!("{} has no execve", path.display()))?;
    let segment = elf
        .program_headers
        .iter()
        .find(|ph| ph.is_executable() && ph.vm_range().contains(&(symbol.st_value as usize)))
        .with_context(|| format!("{}: execve lies in no segment", path.display()))?;
    let offset = symbol.st_value - segment.p_vaddr + segment.p_offset;
    Ok(Site { path: path.to_owned(), offset: offset as usize })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_libc_is_found_and_has_execve() {
        let libcs = libcs(&[std::process::id()]);
        assert_eq!(libcs.len(), 1, "{libcs:?}");
        assert!(execve(&libcs[0]).unwrap().offset > 0);
        assert!(execve(Path::new("/etc/passwd")).is_err());
    }
}
