//! Which files a command most likely starts: those are looked at before it does.

use crate::host::caller::Caller;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Names by which scripts and people call the interpreters that are looked into.
const INTERPRETERS: [&str; 3] = ["python3", "python", "bash"];

/// Words of a command that may be another one, behind those of a wrapper.
const WRAPPED: usize = 8;

/// The files that a command most likely starts, of those that have to be looked at before they begin: itself, what a
/// wrapper (`env`, `nice`, `timeout`) is given by its path, and the interpreters that scripts call.
pub(super) fn programs_of(argv: &[OsString], caller: &Caller) -> Vec<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_program = |path: &&OsString| {
        std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    let wrapped = argv.iter().skip(1).take(WRAPPED).filter(|word| word.as_bytes().contains(&b'/'));
    let wrapped = wrapped.filter(is_program).filter_map(|word| std::path::absolute(word).ok());
    let interpreters = INTERPRETERS.iter().filter_map(|name| program_path(&[OsString::from(name)], caller));
    program_path(argv, caller).into_iter().chain(wrapped).chain(interpreters).collect()
}

/// The file that a command most likely is.
fn program_path(argv: &[OsString], caller: &Caller) -> Option<PathBuf> {
    let name = argv.first()?;
    if name.as_bytes().contains(&b'/') {
        return std::path::absolute(name).ok();
    }
    let mut folders = caller.env.get("PATH")?.split(|&byte| byte == b':');
    let path = folders.find_map(|folder| {
        let path = Path::new(OsStr::from_bytes(folder)).join(name);
        path.is_file().then_some(path)
    });
    std::path::absolute(path?).ok()
}
