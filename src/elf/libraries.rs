//! The dynamic loaders and C libraries of a root directory, where starts can be watched.

use super::root::Root;
use super::{Error, Hooks, hooks, ldcache};
use crate::trace::text;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the ABIs of this machine put their loaders.
const LOADERS: &[&str] = if cfg!(target_arch = "x86_64") {
    &[
        "/lib64/ld-linux-x86-64.so.2",
        "/lib/ld-linux.so.2",
        "/libx32/ld-linux-x32.so.2",
        "/lib/ld-musl-x86_64.so.1",
        "/lib/ld-musl-i386.so.1",
    ]
} else {
    &["/lib/ld-linux-aarch64.so.1", "/lib/ld-musl-aarch64.so.1"]
};

/// Where a C library is where it is neither beside its loader nor in the cache.
const FOLDERS: &[&str] = &[
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/lib/i386-linux-gnu",
    "/lib64",
    "/usr/lib64",
    "/lib",
    "/usr/lib",
    "/lib32",
];

/// A loader or C library.
#[derive(Debug)]
pub struct Library {
    /// Open for reading.
    pub file: File,
    /// Its path as this process sees it, without symbolic links; encoded as in [`crate::trace::text`].
    pub path: String,
    /// Device and inode, as stat(2) gives them.
    pub id: (u64, u64),
}

impl Library {
    /// Opens one below a root.
    ///
    /// # Errors
    /// It is not there, not a file, or not to be opened.
    pub fn open(root: &Root, path: &Path) -> Result<Self, Error> {
        let file = root.read(path)?;
        let meta = file.metadata()?;
        let real = root.outside(&file).unwrap_or_else(|| path.to_owned());
        Ok(Self { path: text::encode(real.as_os_str().as_bytes()), id: (meta.dev(), meta.ino()), file })
    }

    /// What can be probed in it.
    ///
    /// # Errors
    /// As for [`hooks`].
    pub fn hooks(&self) -> Result<Hooks, Error> {
        hooks(&self.file)
    }
}

/// Where a root's loaders usually are; hardly any root has all.
pub fn usual_loaders() -> impl Iterator<Item = &'static Path> {
    LOADERS.iter().map(Path::new)
}

/// The C library that programs of a glibc loader get: the one beside it (they are built, packed and
/// moved together), else by the cache, else in the usual folders.
pub fn libc_of(root: &Root, loader: &Library) -> Option<Library> {
    let abi = abi(loader);
    let candidates = root
        .real_path(&loader.file)
        .and_then(|path| Some(path.parent()?.join("libc.so.6")))
        .into_iter()
        .chain(cached(root, abi?))
        .chain(FOLDERS.iter().map(|folder| Path::new(folder).join("libc.so.6")));
    candidates.filter_map(|path| Library::open(root, &path).ok()).find(|libc| self::abi(libc) == abi)
}

/// Machine and word size: a loader takes only libraries of its own.
fn abi(library: &Library) -> Option<(u16, u8)> {
    let facts = super::facts(&library.file).ok()?;
    Some((facts.machine_id, facts.bits))
}

fn cached(root: &Root, (machine, bits): (u16, u8)) -> Option<PathBuf> {
    let mut bytes = Vec::new();
    let file = root.read(Path::new("/etc/ld.so.cache")).ok()?;
    file.take(ldcache::MAX_BYTES).read_to_end(&mut bytes).ok()?;
    let cache = ldcache::Cache::parse(&bytes).ok()?;
    let entry = cache.find(b"libc.so.6", ldcache::abi_flags(machine, bits), &[])?;
    Some(std::ffi::OsString::from_vec(entry.path.clone()).into())
}
