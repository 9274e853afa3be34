//! From a script to the program that runs it, as the kernel goes, and one step further for `env`.

use super::target::os;
use super::{explain, quoted, shown};
use crate::elf::Error;
use crate::elf::root::Root;
use crate::elf::shebang::{Env, Shebang};
use crate::trace::text::{encode, sanitize};
use anyhow::{anyhow, bail};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Scripts run by scripts: the kernel gives up after five; `env` begins anew each time.
const MAX_STEPS: usize = 12;

/// One step from a script to what runs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Script {
    /// The script.
    pub path: String,
    /// The program that runs it: what the `#!` line names or, for `by` env, what env finds in PATH.
    pub interpreter: String,
    /// The rest of the line, which is one argument; what env passes on is in `arguments`.
    pub argument: Option<String>,
    /// For `by` env: what it looks for in PATH.
    pub command: Option<String>,
    /// What the interpreter gets before the script's path.
    pub arguments: Vec<String>,
    /// `kernel` for a `#!` line, `env` for the search through PATH.
    pub by: String,
}

/// Follows `#!` lines to an ELF file (or to something that is neither, which is the caller's to say). What the line says
/// wrong goes to `problems`.
pub(super) fn follow(
    root: &Root,
    cwd: &Path,
    mut file: File,
    mut path: PathBuf,
    problems: &mut Vec<String>,
) -> anyhow::Result<(File, PathBuf, Vec<Script>)> {
    let mut steps = Vec::new();
    while let Some(line) = Shebang::of(&file) {
        if steps.len() >= MAX_STEPS {
            bail!("{}: scripts that run scripts without end", quoted(&path));
        }
        steps.push(Script {
            path: shown(&path),
            interpreter: encode(&line.interpreter),
            argument: line.argument.as_deref().map(encode),
            command: None,
            arguments: line.argument.as_deref().map(encode).into_iter().collect(),
            by: "kernel".to_owned(),
        });
        let mut next = PathBuf::from(os(&line.interpreter));
        let script = path;
        // What it would be without the carriage return is looked at all the same.
        if let Some(bare) = without_cr(&line.interpreter)
            && !is_there(root, cwd, &next)
        {
            next = PathBuf::from(os(bare));
            let fails = format!(
                "the kernel looks for {}, which is not there: exec of it fails",
                said(&line.interpreter)
            );
            problems.push(dos(&script, &fails));
        } else if let Some(argument) = line.argument.as_deref().filter(|argument| argument.ends_with(b"\r"))
            && !line.is_env()
        {
            let gets = format!("{} gets the argument {}", quoted(&next), said(argument));
            problems.push(dos(&script, &gets));
        }
        (file, path) = open(root, cwd, &next, &script)?;
        if next.file_name() != Some(OsStr::new("env")) {
            continue;
        }
        let Some(argument) = line.argument else { continue };
        // Where it does not run what the line names, env itself is what starts, and fails.
        let (command, arguments, folders) = match Env::of(&argument) {
            Env::Runs { command, arguments, path } => (command, arguments, path),
            Env::Fails(why) => {
                problems.push(format!("{}: {}: {why}", quoted(&script), said(&argument)));
                break;
            }
        };
        let find = |name: &[u8]| in_path_of(os(name), folders.as_deref().map(os), |p| is_there(root, cwd, p));
        let mut found = find(&command);
        if let (None, Some(bare)) = (&found, without_cr(&command)) {
            let fails = format!("env looks for {} in PATH, which is not there, and fails", said(&command));
            problems.push(dos(&script, &fails));
            found = find(bare);
        } else if found.is_none() && command.contains(&b' ') {
            problems.push(format!(
                "{}: env looks for {} in PATH, blanks and all, and fails: write 'env -S {}'",
                quoted(&script),
                said(&command),
                sanitize(&encode(&command))
            ));
        } else if found.is_none() {
            problems.push(format!("{}: env finds no {} in PATH, and fails", quoted(&script), said(&command)));
        }
        let Some(found) = found else { break };
        steps.push(Script {
            path: shown(&next),
            interpreter: shown(&found),
            argument: None,
            command: Some(encode(&command)),
            arguments: arguments.iter().map(|argument| encode(argument)).collect(),
            by: "env".to_owned(),
        });
        (file, path) = open(root, cwd, &found, &script)?;
    }
    Ok((file, path, steps))
}

fn is_there(root: &Root, cwd: &Path, path: &Path) -> bool {
    root.read(&cwd.join(path)).is_ok()
}

fn without_cr(text: &[u8]) -> Option<&[u8]> {
    text.strip_suffix(b"\r")
}

/// A name in a message, with what cannot be seen of it.
fn said(name: &[u8]) -> String {
    format!("\"{}\"", sanitize(&encode(name)).replace("\\x0d", "\\r"))
}

fn dos(script: &Path, what: &str) -> String {
    let script = quoted(script);
    format!(
        "the #! line of {script} ends in a carriage return, as lines of DOS do: {what}; sed -i 's/\\r$//' mends the file"
    )
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

/// The first file of that name in the folders of this process's PATH.
pub(super) fn in_path(name: &OsStr, is_file: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    in_path_of(name, None, is_file)
}

/// The same with another PATH.
fn in_path_of(name: &OsStr, path: Option<&OsStr>, is_file: impl Fn(&Path) -> bool) -> Option<PathBuf> {
    if name.is_empty() || Path::new(name).components().count() != 1 {
        return Path::new(name).is_absolute().then(|| PathBuf::from(name));
    }
    let path = path.map(OsStr::to_owned).or_else(|| std::env::var_os("PATH"))?;
    let folders = std::env::split_paths(&path).filter(|f| f.is_absolute());
    folders.map(|f| f.join(name)).find(|p| is_file(p))
}
