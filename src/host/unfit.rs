//! Why a file could not be executed, in words that say what to do: what the kernel's error number leaves open.

use crate::elf::shebang::Shebang;
use crate::elf::{self, Kind};
use std::fs::{File, Metadata, OpenOptions};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

/// What is to be said of a file whose exec gave this error; `None`: no more than the error does.
pub(super) fn why(path: &Path, errno: i32) -> Option<String> {
    let meta = path.metadata().ok()?;
    let kind = meta.file_type();
    if kind.is_dir() {
        return Some("it is a directory".to_owned());
    }
    if !kind.is_file() {
        let what = match () {
            () if kind.is_fifo() => "a pipe",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        return Some(format!("it is {what}, not a program"));
    }
    match errno {
        libc::EACCES => denied(path, &meta),
        libc::ENOENT | libc::ENOTDIR => missing(path),
        libc::ENOEXEC => Some(format(path)),
        _ => None,
    }
}

/// Not of a pipe, which would wait.
fn open(path: &Path) -> Option<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()?;
    file.metadata().ok().filter(Metadata::is_file).map(|_| file)
}

fn denied(path: &Path, meta: &Metadata) -> Option<String> {
    let shown = path.display();
    if meta.mode() & 0o111 != 0 {
        // Somebody may: a folder above it, the mount, or the owner is why.
        return None;
    }
    let line = open(path).and_then(|file| Shebang::of(&file));
    let run = line.map(|line| format!(", or run it by its interpreter: {} {shown}", text(&line.interpreter)));
    Some(format!("the file may be executed by nobody: chmod +x {shown}{}", run.unwrap_or_default()))
}

/// The file is there, what it names is not.
fn missing(path: &Path) -> Option<String> {
    let file = open(path)?;
    let Some(line) = Shebang::of(&file) else {
        let loader = elf::facts(&file).ok()?.interpreter?;
        let whose = if loader.contains("ld-musl") { ", that of musl" } else { "" };
        return Some(format!("its dynamic loader {loader:?}{whose} is not there"));
    };
    let interpreter = text(&line.interpreter);
    if let Some(bare) = line.interpreter.strip_suffix(b"\r") {
        return Some(format!(
            "its #! line ends in a carriage return, as lines of DOS do, and so asks for {interpreter:?} and not for \
             {:?}: sed -i 's/\\r$//' {} mends the file",
            text(bare),
            path.display()
        ));
    }
    Some(format!("the interpreter of its #! line, {interpreter:?}, is not there"))
}

/// It is neither script nor program of this machine.
fn format(path: &Path) -> String {
    let Some(file) = open(path) else { return "it is no program of this machine".to_owned() };
    let here = std::env::consts::ARCH;
    match elf::facts(&file) {
        Ok(facts) => {
            let what = match facts.kind {
                Kind::Executable | Kind::PieExecutable => "a program",
                Kind::SharedLibrary => "a shared library",
                Kind::Relocatable => "an object file, which has to be linked",
                Kind::Core => "a core dump",
                Kind::Other => "an ELF file of unknown kind",
            };
            let order = if facts.little_endian { "" } else { ", big-endian" };
            let machine = format!("{}, {}-bit{order}", facts.machine, facts.bits);
            if facts.machine == here {
                format!("it is {what} ({machine}) that the kernel does not take")
            } else {
                format!("it is {what} for {machine}; this machine is {here}")
            }
        }
        Err(error) => format!("it is no program and no script: {error}"),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{Permissions, create_dir, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_a_file_is_and_what_to_do_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str, mode: u32, bytes: &[u8]| {
            let path = folder.path().join(name);
            write(&path, bytes).unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            path
        };
        let mut elf = std::fs::read("/proc/self/exe").unwrap();
        elf.truncate(64 << 10);
        // EM_S390.
        elf[18] = 22;
        create_dir(folder.path().join("folder")).unwrap();
        for (path, errno, says) in [
            (folder.path().join("folder"), libc::EACCES, "it is a directory"),
            ("/dev/null".into(), libc::EACCES, "it is a device"),
            (at("plain", 0o644, b"x"), libc::EACCES, "executed by nobody: chmod +x /"),
            (at("script", 0o644, b"#!/bin/sh -e\n"), libc::EACCES, "or run it by its interpreter: /bin/sh /"),
            (
                at("dos", 0o755, b"#!/bin/sh\r\n"),
                libc::ENOENT,
                "asks for \"/bin/sh\\r\" and not for \"/bin/sh\"",
            ),
            (at("gone", 0o755, b"#!/no/such -x\n"), libc::ENOENT, "line, \"/no/such\", is not there"),
            (
                at("zip", 0o755, b"PK\x03\x04"),
                libc::ENOEXEC,
                "no program and no script: not an ELF file: it starts",
            ),
            (at("empty", 0o755, b""), libc::ENOEXEC, "it is empty"),
        ] {
            let why = why(&path, errno).unwrap_or_default();
            assert!(why.contains(says), "{path:?}: {why}");
        }
        let other = why(&at("other", 0o755, &elf), libc::ENOEXEC).unwrap();
        assert!(other.contains("s390") || other.contains("machine 22") || other.contains("ELF"), "{other}");
        // Executable for somebody: the number says it all.
        assert_eq!(why(&at("mine", 0o700, b"x"), libc::EACCES), None);
        assert_eq!(why(Path::new("/no/such/file"), libc::ENOENT), None);
    }
}
