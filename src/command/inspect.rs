//! `startrace inspect`: what the ELF file says about its start.

mod script;
mod target;
mod text;

use super::printed::printed;
use crate::elf::resolve::{Resolution, resolve};
use crate::elf::{self, Error, Facts, Kind, Probe};
use crate::trace::json;
use crate::trace::text::{encode, sanitize};
use anyhow::anyhow;
use script::Script;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use target::Target;

/// Options of `startrace inspect`.
#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = AFTER_HELP)]
pub struct Options {
    /// A program, library or script, or the PID of a running process
    ///
    /// A number is a PID unless a file of that name is here; ./123 is always a file, /proc/123/exe
    /// always the process. A script leads to the interpreter that its #! line names.
    #[arg(value_name = "PATH|PID")]
    pub target: OsString,

    /// Write JSON instead of text (fields: see below)
    #[arg(long)]
    pub json: bool,

    /// Look for everything below DIR, as after chroot: a container's or an image's file system
    ///
    /// PATH is then inside DIR. A PID brings its own root (/proc/PID/root).
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,
}

impl Options {
    /// The target is a process, not a file of the caller's choice.
    pub fn names_process(&self) -> bool {
        let target = self.target.to_str().unwrap_or_default();
        let number =
            target.strip_prefix("/proc/").and_then(|rest| rest.strip_suffix("/exe")).unwrap_or(target);
        number.parse::<u32>().is_ok()
    }
}

const AFTER_HELP: &str = "\
Libraries are looked for as the dynamic loader would, directly and indirectly
needed ones: RPATH, LD_LIBRARY_PATH, RUNPATH, /etc/ld.so.cache, the loader's own
folders; musl by its own rules. LD_LIBRARY_PATH and LD_PRELOAD are those of this
shell for a PATH (sudo removes them: sudo LD_LIBRARY_PATH=... startrace ...),
those of the process for a PID. Nothing is run: unlike with ldd, a hostile
program can be inspected.

Examples:
  startrace inspect /usr/bin/git
  startrace inspect 4242         a running process, in its own container
  startrace inspect --root /srv/image /app/server
  startrace inspect --json ./app |
    jq '.libraries[] | select(.path == null) | .name'

JSON (unknown is null; strings keep every byte, as in a trace):
  path, pid, root  the file that was inspected, inside root
  scripts          the #! lines that led to it: path, interpreter, argument (the
                   rest of the line), by (kernel or env), command (what env
                   looks for), arguments (before the script's path)
  size             bytes
  facts            kind, bits, machine, machine_id, little_endian, linkage,
                   interpreter, libc, build_id, needed, soname, rpath, runpath,
                   no_default_folders, relocations, plt_relocations, bind_now,
                   probes (how many), runtime, program, misnamed, stripped,
                   problems
  probes           SDT probes: provider, name, arguments, address, offset,
                   semaphore_offset
  libraries        in the loader's order: name, path (null: not found),
                   needed_by, found (rpath, ld_library_path, runpath, cache,
                   default, direct, interpreter), failed_tries, relocations,
                   size, problem
  totals           libraries, not_found, relocations (the program's included),
                   library_bytes, failed_tries
  problems         what is wrong or could not be looked at";

/// The whole answer: what `--json` writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    /// The inspected file's real path inside `root`.
    pub path: String,
    /// The process that was asked about.
    pub pid: Option<u32>,
    /// What paths begin at.
    pub root: String,
    /// The `#!` lines that led to `path`.
    pub scripts: Vec<Script>,
    /// Size of the file in bytes.
    pub size: u64,
    /// What the file itself says.
    pub facts: Facts,
    /// Its SDT probes.
    pub probes: Vec<Probe>,
    /// What the loader maps besides.
    pub libraries: Vec<crate::elf::resolve::Library>,
    /// Sums.
    pub totals: Totals,
    /// What is wrong or could not be looked at.
    pub problems: Vec<String>,
}

/// Sums over the program and its libraries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Libraries, the loader included, missing ones too.
    pub libraries: u64,
    /// Of these, those not found.
    pub not_found: u64,
    /// Relocations, those of the program included.
    pub relocations: u64,
    /// Size of all libraries that were found.
    pub library_bytes: u64,
    /// Opens that fail while libraries are searched.
    pub failed_tries: u64,
}

/// Runs the command.
///
/// # Errors
/// Where the target does not exist, cannot be read or is no ELF file (with what to do about it), and
/// where `out` cannot be written to.
pub fn run(options: &Options, out: &mut dyn Write) -> anyhow::Result<()> {
    let inspection = inspect(options)?;
    let shown =
        if options.json { out.write_all(&json::pretty(&inspection)?) } else { text::write(&inspection, out) };
    printed("the answer", shown.and_then(|()| out.flush()))
}

/// Inspects the target.
///
/// # Errors
/// As [`run`].
pub fn inspect(options: &Options) -> anyhow::Result<Inspection> {
    let Target { root, root_shown, pid, file, path, settings, mut problems } = Target::find(options)?;
    let (file, path, scripts) = script::follow(&root, &settings.cwd, file, path, &mut problems)?;
    let facts = elf::facts(&file).map_err(|e| explain(e, &path))?;
    let probes = elf::probes(&file).map_err(|e| explain(e, &path))?;
    let meta = file.metadata()?;
    let loadable = matches!(facts.kind, Kind::Executable | Kind::PieExecutable | Kind::SharedLibrary);
    let mut resolution = Resolution { libraries: Vec::new(), failed_tries: 0, problems: Vec::new() };
    if loadable && facts.linkage.as_deref() == Some("dynamic") {
        let settings = settings.for_file(&root, &meta, &mut problems);
        resolution = resolve(&file, &path, &settings).map_err(|e| explain(e, &path))?;
    } else if !loadable {
        problems.push("it is no program and no library: nothing can start it".to_owned());
    }
    problems.append(&mut resolution.problems);
    let libraries = resolution.libraries;
    let totals = Totals {
        libraries: libraries.len() as u64,
        not_found: libraries.iter().filter(|l| l.path.is_none()).count() as u64,
        relocations: libraries
            .iter()
            .filter_map(|l| l.relocations)
            .fold(facts.relocations, u64::saturating_add),
        library_bytes: libraries.iter().filter_map(|l| l.size).fold(0, u64::saturating_add),
        failed_tries: resolution.failed_tries,
    };
    Ok(Inspection {
        path: shown(&path),
        pid,
        root: root_shown,
        scripts,
        size: meta.len(),
        facts,
        probes,
        libraries,
        totals,
        problems,
    })
}

/// A path, losslessly.
fn shown(path: &Path) -> String {
    encode(path.as_os_str().as_bytes())
}

/// A path in a message.
fn quoted(path: &Path) -> String {
    sanitize(&shown(path))
}

/// An error with the file's name and what to do.
fn explain(error: Error, path: &Path) -> anyhow::Error {
    let path = quoted(path);
    match error {
        Error::NotElf { starts_with } if starts_with.is_empty() => {
            anyhow!("not an ELF file: {path} is empty")
        }
        Error::NotElf { starts_with } => {
            anyhow!("not an ELF file: {path} starts with \"{starts_with}\"")
        }
        Error::NotRegular { what } => anyhow!("{path} is {what}, not a program or library"),
        Error::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
            anyhow!("no such file: {path}")
        }
        Error::Io(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            anyhow!("no permission to read {path}: run it with sudo, or as the file's owner")
        }
        // A link of /proc leads to an open file, and the root that its libraries are in is another question.
        Error::Io(e) if e.raw_os_error() == Some(libc::EXDEV) => {
            anyhow!("{path} leads to what a process has open: name the file itself, or give the PID")
        }
        Error::Io(e) => anyhow!("cannot read {path}: {e}"),
        other => anyhow!("{path}: {other}"),
    }
}

#[cfg(test)]
mod tests;
