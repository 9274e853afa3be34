//! What the virtual machine has: an initramfs, made here byte by byte (the kernel's own "newc" format of cpio).

use super::kernels;
use crate::corpus::roots::output;
use crate::shell;
use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const INIT: &str = include_str!("init.sh");
const STARTS: &str = include_str!("starts.sh");
const DEEP: &str = include_str!("deep.sh");
const CLOCK: &str = include_str!("clock.sh");
const SUSPEND: &str = include_str!("suspend.sh");
const PYTHON: &str = include_str!("starts.py");

/// Starters of the tests that are run.
const PROGRAMS: [&str; 7] =
    ["fork_exec", "posix_spawn", "vfork_exec", "clone3_exec", "failed_execs", "exec_from_thread", "prefork"];

/// Prints the interpreter and every module that starts.py will have loaded.
const MODULES: &str = "
import sys, os, json, subprocess, runpy, pkgutil, encodings.ascii, encodings.latin_1, encodings.utf_8
import multiprocessing.forkserver, multiprocessing.popen_fork, multiprocessing.popen_forkserver
import multiprocessing.popen_spawn_posix, multiprocessing.resource_tracker, multiprocessing.synchronize
import importlib.machinery, importlib.util, inspect, zipimport
print(os.path.realpath(sys.executable))
for module in list(sys.modules.values()):
    if getattr(module, '__file__', None):
        print(module.__file__)
";

/// Puts the image together; where it is.
pub fn make(binary: &Path, file: &Path) -> Result<PathBuf> {
    let scratch = super::folder().join("scratch");
    super::fresh(&scratch)?;
    let mut cpio = Cpio::create(file)?;
    for folder in ["proc", "sys", "dev", "tmp", "out", "etc", "opt", "root"] {
        cpio.folder(folder)?;
    }
    let stripped = scratch.join("startrace");
    output(Command::new("strip").arg("-o").arg(&stripped).arg(binary)).context("strip")?;
    cpio.program(&stripped, "opt/startrace")?;
    cpio.file("bin/busybox", 0o755, &fs::read(kernels::busybox()?)?)?;
    // A program with a dynamic loader for /bin/true: it has phases that busybox has not.
    let source = scratch.join("true.c");
    fs::write(&source, "int main(void) { return 0; }\n")?;
    let ordinary = scratch.join("true");
    compile(&source, &ordinary, &[])?;
    cpio.program(&ordinary, "opt/true")?;
    cpio.program(&ordinary, "bin/true")?;
    let sources = shell::root().join("tests/programs");
    for name in PROGRAMS {
        let made = scratch.join(name);
        compile(&sources.join(format!("{name}.c")), &made, &[])?;
        cpio.program(&made, &format!("programs/{name}"))?;
    }
    let made = scratch.join("static");
    compile(&sources.join("fork_exec.c"), &made, &["-static"])?;
    cpio.file("programs/static", 0o755, &fs::read(made)?)?;
    let python = python(&mut cpio)?;
    cpio.file("init", 0o755, INIT.as_bytes())?;
    let python = python.display().to_string();
    cpio.file("starts.sh", 0o755, STARTS.replace("PYTHON", &python).as_bytes())?;
    cpio.file("deep.sh", 0o755, DEEP.replace("PYTHON", &python).as_bytes())?;
    cpio.file("clock.sh", 0o755, CLOCK.as_bytes())?;
    cpio.file("suspend.sh", 0o755, SUSPEND.as_bytes())?;
    cpio.file("starts.py", 0o644, PYTHON.as_bytes())?;
    cpio.file("etc/hostname", 0o644, b"matrix\n")?;
    cpio.file("etc/passwd", 0o644, b"root:x:0:0:root:/root:/bin/sh\n")?;
    cpio.finish()?;
    Ok(file.to_owned())
}

fn compile(source: &Path, to: &Path, more: &[&str]) -> Result<()> {
    let mut gcc = Command::new("gcc");
    gcc.args(["-std=gnu11", "-O1", "-pthread"]).args(more).arg("-o").arg(to).arg(source);
    output(&mut gcc).with_context(|| source.display().to_string()).map(drop)
}

/// The machine's own Python, as far as starts.py needs it; where it is.
fn python(cpio: &mut Cpio) -> Result<PathBuf> {
    let said = output(Command::new("python3").args(["-S", "-I", "-c", MODULES])).context("python3")?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let mut lines = said.lines();
    let python = PathBuf::from(lines.next().context("python3 said nothing")?);
    cpio.same(&python)?;
    for module in lines.map(Path::new) {
        cpio.same(module)?;
    }
    Ok(python)
}

/// The files that a dynamic loader maps for a program.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let said = Command::new("ldd").arg(program).output().context("ldd")?;
    // It fails for what is static, and says so on either stream.
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    if said.contains("not found") {
        bail!("{}: {said}", program.display());
    }
    let paths = said.split_whitespace().filter(|word| word.starts_with('/'));
    Ok(paths.map(|path| PathBuf::from(path.trim_end_matches(':'))).collect())
}

/// An archive that is being written.
struct Cpio {
    out: GzEncoder<File>,
    names: BTreeSet<String>,
}

impl Cpio {
    fn create(file: &Path) -> Result<Self> {
        let out = File::create(file).with_context(|| file.display().to_string())?;
        Ok(Self { out: GzEncoder::new(out, Compression::fast()), names: BTreeSet::new() })
    }

    /// One entry; its folders come before it. A second of the same name is left out.
    fn entry(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        if let Some((folder, _)) = name.rsplit_once('/') {
            self.folder(folder)?;
        }
        if !self.names.insert(name.to_owned()) {
            return Ok(());
        }
        self.out.write_all(&entry(self.names.len(), name, mode, bytes))?;
        Ok(())
    }

    fn folder(&mut self, name: &str) -> Result<()> {
        self.entry(name, 0o040_755, &[])
    }

    fn file(&mut self, name: &str, mode: u32, bytes: &[u8]) -> Result<()> {
        self.entry(name, 0o100_000 | mode, bytes)
    }

    /// A program from anywhere, with what it needs where it needs it.
    fn program(&mut self, from: &Path, name: &str) -> Result<()> {
        self.file(name, 0o755, &fs::read(from).with_context(|| from.display().to_string())?)?;
        for library in libraries(from)? {
            self.same(&library)?;
        }
        Ok(())
    }

    /// A file of this machine at the same place, with what it needs.
    fn same(&mut self, path: &Path) -> Result<()> {
        let name = path.to_string_lossy().trim_start_matches('/').to_owned();
        if self.names.contains(&name) {
            return Ok(());
        }
        let bytes = fs::read(path).with_context(|| path.display().to_string())?;
        let is_elf = bytes.starts_with(b"\x7fELF");
        self.file(&name, 0o755, &bytes)?;
        for library in if is_elf { libraries(path)? } else { Vec::new() } {
            self.same(&library)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<()> {
        self.out.write_all(&entry(0, "TRAILER!!!", 0, &[]))?;
        self.out.finish()?.sync_all()?;
        Ok(())
    }
}

/// One entry in the format: fields of eight hex digits, then name and contents, each padded to four bytes.
fn entry(number: usize, name: &str, mode: u32, bytes: &[u8]) -> Vec<u8> {
    let mut out = String::from("070701");
    let links = if mode & 0o040_000 != 0 { 2 } else { 1 };
    let fields = [number, mode as usize, 0, 0, links, 0, bytes.len(), 0, 0, 0, 0, name.len() + 1, 0];
    for field in fields {
        out.push_str(&format!("{field:08x}"));
    }
    let mut out = out.into_bytes();
    out.extend_from_slice(name.as_bytes());
    out.push(0);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend_from_slice(bytes);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

#[cfg(test)]
mod tests {
    use super::entry;

    #[test]
    fn entries_are_padded_and_say_how_long_they_are() {
        let one = entry(1, "a/b", 0o100_644, b"12345");
        // 110 of header and 4 of name, then 5 of contents.
        assert_eq!(one.len(), 116 + 8);
        assert!(one.starts_with(b"07070100000001000081a4"));
        assert_eq!(&one[54..62], b"00000005");
        assert_eq!(&one[94..102], b"00000004");
        assert!(one.ends_with(b"a/b\0\0\x0012345\0\0\0"));
    }
}
