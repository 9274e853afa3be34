//! From a script to the program that runs it, as the kernel goes, and one step further for `env`.

use super::target::os;
use super::{explain, quoted, shown};
use crate::elf::Error;
use crate::elf::root::Root;
use crate::trace::text::encode;
use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// What the kernel reads of a file to find its `#!` line (`BINPRM_BUF_SIZE`).
const LINE: usize = 256;
/// Scripts run by scripts: the kernel gives up after five; `env` begins anew each time.
const MAX_STEPS: usize = 12;

/// One step from a script to what runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The script.
    pub path: String,
    /// The program that runs it: what the `#!` line names or, for `by` env, what env finds in PATH.
    pub interpreter: String,
    /// The rest of the line, which is one argument.
    pub argument: Option<String>,
    /// `kernel` for a `#!` line, `env` for the search through PATH.
    pub by: String,
}

/// Follows `#!` lines to an ELF file (or to something that is neither, which is the caller's to say).
pub(super) fn follow(
    root: &Root,
    cwd: &Path,
    mut file: File,
    mut path: PathBuf,
) -> anyhow::Result<(File, PathBuf, Vec<Script>)> {
    let mut steps = Vec::new();
    while let Some((interpreter, argument)) = shebang(&file) {
        if steps.len() >= MAX_STEPS {
            bail!("{}: scripts that run scripts without end", quoted(&path));
        }
        let next = PathBuf::from(os(&interpreter));
        steps.push(Script {
            path: shown(&path),
            interpreter: encode(&interpreter),
            argument: argument.as_deref().map(encode),
            by: "kernel".to_owned(),
        });
        let script = path;
        (file, path) = open(root, cwd, &next, &script)?;
        let command = argument.as_deref().and_then(env_command);
        if let (Some(command), true) = (command, next.file_name() == Some(OsStr::new("env"))) {
            let found = in_path(os(command), |p| root.read(&cwd.join(p)).is_ok());
            // Without it env itself is what starts, and fails.
            let Some(found) = found else { break };
            steps.push(Script {
                path: shown(&next),
                interpreter: shown(&found),
                argument: None,
                by: "env".to_owned(),
            });
            (file, path) = open(root, cwd, &found, &script)?;
        }
    }
    Ok((file, path, steps))
}

fn open(root: &Root, cwd: &Path, next: &Path, script: &Path) -> anyhow::Result<(File, PathBuf)> {
    let full = cwd.join(next);
    let file = root.read(&full).map_err(|error| match error {
        Error::Io(ref e) if e.kind() == std::io::ErrorKind::NotFound => anyhow!(
            "the script {} asks for the interpreter {}, which does not exist: exec of it fails",
            quoted(script),
            quoted(next)
        ),
        other => explain(other, next),
    })?;
    let real = root.real_path(&file).unwrap_or(full);
    Ok((file, real))
}

/// The interpreter and the argument of a `#!` line.
fn shebang(file: &File) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
    let mut buffer = [0; LINE];
    let read = file.read_at(&mut buffer, 0).ok()?;
    let line = buffer.get(..read)?.strip_prefix(b"#!")?;
    let end = line.iter().position(|&b| b == b'\n' || b == 0);
    let line = line.get(..end.unwrap_or(line.len()))?.trim_ascii();
    let blank = line.iter().position(|&b| b == b' ' || b == b'\t');
    let (interpreter, rest) = line.split_at(blank.unwrap_or(line.len()));
    let rest = rest.trim_ascii();
    let argument = (!rest.is_empty()).then(|| rest.to_vec());
    (!interpreter.is_empty()).then(|| (interpreter.to_vec(), argument))
}

/// The command that `env` is to run: behind `-S`, other options and settings of variables.
fn env_command(argument: &[u8]) -> Option<&[u8]> {
    let mut words = argument.split(|b| b.is_ascii_whitespace());
    words.find(|w| !w.is_empty() && !w.starts_with(b"-") && !w.contains(&b'='))
}

/// The first file of that name in the folders of this process's PATH.
pub(super) fn in_path(name: &OsStr, is_file: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    if name.is_empty() || Path::new(name).components().count() != 1 {
        return Path::new(name).is_absolute().then(|| PathBuf::from(name));
    }
    let path = std::env::var_os("PATH")?;
    let folders = std::env::split_paths(&path).filter(|f| f.is_absolute());
    folders.map(|f| f.join(name)).find(|p| is_file(p))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn line(text: &[u8]) -> Option<(Vec<u8>, Option<Vec<u8>>)> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        shebang(&file)
    }

    #[test]
    fn lines_are_split_as_the_kernel_does() {
        let of = |i: &str, a: Option<&str>| Some((i.into(), a.map(Into::into)));
        assert_eq!(line(b"#!/bin/sh\necho"), of("/bin/sh", None));
        assert_eq!(line(b"#! \t/bin/sh -e -x \nx"), of("/bin/sh", Some("-e -x")));
        assert_eq!(line(b"#!/usr/bin/env python3"), of("/usr/bin/env", Some("python3")));
        assert_eq!(line(b"#!\n"), None);
        assert_eq!(line(b""), None);
        assert_eq!(line(b"\x7fELF"), None);
        let mut long = b"#!/bin/".to_vec();
        long.resize(5000, b'x');
        assert_eq!(line(&long).unwrap().0.len(), LINE - 2);
    }

    #[test]
    fn env_options_are_passed_over() {
        assert_eq!(env_command(b"python3"), Some(b"python3".as_slice()));
        assert_eq!(env_command(b"-S A=b  perl -w"), Some(b"perl".as_slice()));
        assert_eq!(env_command(b"-i"), None);
    }
}
