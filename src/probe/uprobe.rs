//! Uprobes in dynamic loaders and C libraries: what a start does before main(), and execs that fail.
//!
//! A probe belongs to a file (inode), not to a process: it is put there once, and hit by everyone who
//! maps the file, in whatever root and by whatever name.

mod callers;
mod guests;
mod python;
mod shell;

use super::opener::{Asked, Opener};
use crate::elf::libraries::{self, Library};
use crate::elf::{Hooks, root::Root};
use crate::hash::{HashMap, HashSet};
use crate::host::clock::boottime_ns;
use crate::trace::text;
use callers::Learns;
use guests::{Guests, Held, RootId, is_mounted_for};
use libbpf_rs::{Link, PerfEventOpts, ProgramMut, UprobeMultiOpts, UprobeOpts};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, IntoRawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::thread::Scope;

/// Files that are probed at most, at a time. A host with hundreds of images has hundreds of C libraries, but a
/// recording that meets more than this meets something that makes them.
const MAX_FILES: usize = 256;
/// Probes that a trace names.
const MAX_HOOKS: usize = 4096;
/// Loaders that could not be reached, remembered so that each counts once.
const MAX_REFUSED: usize = 1024;

/// Scripts that are interpreted by scripts: the kernel's own limit.
const MAX_SCRIPTS: u32 = 4;

/// The cookie's bits: see `bpf/link.bpf.h`.
const COOKIE_FILE_SHIFT: u32 = 32;
const COOKIE_FILE_MASK: u64 = 0xffff;
const COOKIE_ONCE: u64 = 1 << 48;
const COOKIE_LIBC_FOLLOWS: u64 = 1 << 49;
const COOKIE_LEARN: u64 = 1 << 50;

/// The programs that are loaded.
pub(super) struct Programs<'a> {
    pub(super) ld_state: &'a ProgramMut<'a>,
    pub(super) libc_start: &'a ProgramMut<'a>,
    pub(super) execve: &'a ProgramMut<'a>,
    pub(super) execve_return: &'a ProgramMut<'a>,
    pub(super) import_begin: &'a ProgramMut<'a>,
    pub(super) import_end: &'a ProgramMut<'a>,
    pub(super) import_call: &'a ProgramMut<'a>,
    pub(super) import_return: &'a ProgramMut<'a>,
}

/// What to probe.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kinds {
    /// The kernel takes one link for each file and program.
    pub(super) multi: bool,
    /// `_dl_debug_state` and `__libc_start_main`.
    pub(super) start: bool,
    /// `execve`.
    pub(super) execve: bool,
    /// What CPython imports, by its static probes.
    pub(super) imports: bool,
    /// ... and where there are none by the function behind the import statement; and which files bash reads.
    pub(super) import_calls: bool,
    /// Also in files whose mount was made for a root, and can then not be unmounted at once.
    pub(super) mounted_roots: bool,
}

impl Kinds {
    pub(super) fn any(self) -> bool {
        self.start || self.execve || self.imports
    }
}

/// A process that was started with a loader; strings as in [`crate::trace::text`].
#[derive(Debug)]
pub struct Started<'a> {
    /// Its id.
    pub pid: u32,
    /// Its executable's path, as it sees it.
    pub exe: &'a str,
    /// That file's inode.
    pub inode: u64,
    /// The loader, as the executable names it.
    pub interpreter: &'a str,
    /// Its language runtime, as a trace names it.
    pub runtime: Option<&'a str>,
}

fn decode(path: &str) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(text::decode(path)))
}

/// The file of a program; for a script, that of the program which interprets it.
fn program_file(root: &Root, path: &Path, scripts: u32) -> Option<File> {
    let file = root.read(path).ok()?;
    let mut start = [0; 256];
    let length = file.read_at(&mut start, 0).ok()?;
    let start = start.get(..length)?;
    if let Some(line) = start.strip_prefix(b"#!") {
        let line = line.split(|&byte| byte == b'\n').next()?.trim_ascii_start();
        let word = line.split(u8::is_ascii_whitespace).next()?;
        let next = Path::new(std::ffi::OsStr::from_bytes(word));
        return program_file(root, next, scripts.checked_sub(1)?);
    }
    Some(file)
}

/// Its loader.
fn interpreter_of(file: &File) -> Option<PathBuf> {
    Some(decode(&crate::elf::facts(file).ok()?.interpreter?))
}

/// The probes.
#[derive(Default)]
pub(super) struct Uprobes {
    kinds: Kinds,
    /// By device and inode: every file looked at.
    files: HashMap<(u64, u64), Held>,
    /// How many there have been.
    file_count: u64,
    refused: HashSet<(Option<(u64, u64)>, PathBuf)>,
    /// Executables and libraries of CPython that were looked at.
    pythons: HashMap<(u64, u64), Held>,
    /// Those that have had probes at once ...
    python_count: usize,
    /// ... and the numbers of those that have them no longer.
    free_numbers: Vec<usize>,
    guests: Guests,
    /// Loaders of which the programs learn who calls the function that is probed.
    learning: Vec<(u64, u64)>,
    /// Their numbers, since they were asked for last.
    pub(super) live: Vec<usize>,
    /// As `session.hooks` names them.
    pub(super) hooks: Vec<String>,
    /// Loaders and C libraries without the probes that they should have.
    pub(super) missing: u64,
    /// Who opens what we may not any more.
    pub(super) opener: Option<Opener>,
}

impl Uprobes {
    pub(super) fn new(kinds: Kinds) -> Self {
        Self { kinds, ..Self::default() }
    }

    pub(super) fn wanted(&self) -> bool {
        self.kinds.any()
    }

    pub(super) fn is_learning(&self) -> bool {
        !self.learning.is_empty()
    }

    /// Probes what programs of this machine use, and then what these running processes use.
    pub(super) fn begin(&mut self, programs: &Programs<'_>, pids: &[u32]) {
        if !self.wanted() {
            return;
        }
        let roots = std::iter::once(PathBuf::from("/"))
            .chain(pids.iter().map(|pid| PathBuf::from(format!("/proc/{pid}/root"))));
        for path in roots {
            let Ok(root) = Root::open(&path) else { continue };
            for loader in libraries::usual_loaders() {
                self.usual(programs, &root, loader);
            }
        }
        for pid in pids {
            let Ok(root) = Root::open(Path::new(&format!("/proc/{pid}/root"))) else { continue };
            if let Some(guest) = self.guests.id(&root) {
                self.guests.note(guest, *pid);
            }
            let exe = std::fs::File::open(format!("/proc/{pid}/exe"));
            let interpreter = exe.ok().and_then(|file| crate::elf::facts(&file).ok()?.interpreter);
            if let Some(interpreter) = interpreter {
                self.usual(programs, &root, &decode(&interpreter));
            }
        }
        self.running_pythons(programs, pids);
    }

    /// A loader that may not be there.
    fn usual(&mut self, programs: &Programs<'_>, root: &Root, path: &Path) {
        if let Ok(loader) = Library::open(root, path) {
            self.loader(programs, root, &loader);
        }
    }

    /// Probes the loader of a program that is about to be started here, if that is new.
    pub(super) fn program(&mut self, programs: &Programs<'_>, path: &Path) {
        if !self.wanted() {
            return;
        }
        let Ok(root) = Root::host() else { return };
        let file = program_file(&root, path, MAX_SCRIPTS);
        if let Some(interpreter) = file.and_then(|file| interpreter_of(&file)) {
            self.usual(programs, &root, &interpreter);
        }
        self.python_program(programs, &root, path);
        self.shell_program(programs, &root, path);
    }

    /// Probes the loader that a process was started with, if that is new. Gives since when it tells.
    pub(super) fn look(&mut self, programs: &Programs<'_>, started: &Started<'_>) -> Option<u64> {
        if !self.wanted() {
            return None;
        }
        let path = decode(started.interpreter);
        let root = Root::open(Path::new(&format!("/proc/{}/root", started.pid))).or_else(|error| {
            // It has ended. Where the file that it ran is where it said, its root was ours.
            let meta = std::fs::metadata(decode(started.exe))?;
            if meta.ino() == started.inode { Root::host() } else { Err(error) }
        });
        let root = root.ok()?;
        let why = match Library::open(&root, &path) {
            Ok(loader) if self.may_probe(&root, &loader.file, started.pid) => {
                self.loader(programs, &root, &loader);
                return self.files.get(&loader.id)?.since_ns;
            }
            Ok(_) => "it could not be unmounted then".to_owned(),
            Err(error) => error.to_string(),
        };
        if self.refused.len() < MAX_REFUSED && self.refused.insert((root.id(), path)) {
            tracing::debug!("process {}: no probes in {}: {why}", started.pid, started.interpreter);
            self.missing += 1;
        }
        None
    }

    /// May that file be kept busy for a process? Notes that its root is there.
    fn may_probe(&mut self, root: &Root, file: &File, pid: u32) -> bool {
        let Some(guest) = self.guests.id(root) else { return true };
        if !self.kinds.mounted_roots && is_mounted_for(root, file, pid) {
            return false;
        }
        self.guests.note(guest, pid);
        true
    }

    /// All links, to be closed.
    pub(super) fn take_links(&mut self) -> Vec<Link> {
        let held = self.files.values_mut().chain(self.pythons.values_mut());
        held.flat_map(|held| std::mem::take(&mut held.links)).collect()
    }

    /// Probes a loader, and its C library before that.
    fn loader(&mut self, programs: &Programs<'_>, root: &Root, loader: &Library) {
        let guest = self.guests.id(root);
        if let Some(held) = self.files.get_mut(&loader.id) {
            held.share(guest);
            if let Some(libc) = held.libc.and_then(|libc| self.files.get_mut(&libc)) {
                libc.share(guest);
            }
            return;
        }
        let hooks = self.examine(loader);
        let mut libc_id = None;
        let libc_follows = if hooks.is_musl() {
            // One file: its second probe is put there with the first.
            !hooks.libc_start.is_empty()
        } else if let Some(libc) = libraries::libc_of(root, loader) {
            libc_id = Some(libc.id);
            match self.files.get_mut(&libc.id) {
                Some(held) => {
                    held.share(guest);
                    held.tells_start
                }
                None => {
                    let hooks = self.examine(&libc);
                    self.attach(programs, &libc, &hooks, guest, false)
                }
            }
        } else {
            tracing::debug!("no C library found for {}", loader.path);
            self.missing += 1;
            false
        };
        self.attach(programs, loader, &hooks, guest, libc_follows);
        if let Some(held) = self.files.get_mut(&loader.id) {
            held.libc = libc_id;
        }
    }

    fn examine(&mut self, library: &Library) -> Hooks {
        library.hooks().unwrap_or_else(|error| {
            tracing::debug!("no probes in {}: {error}", library.path);
            Hooks::default()
        })
    }

    /// Puts the probes into a file. Gives whether it tells of `__libc_start_main`.
    fn attach(
        &mut self,
        programs: &Programs<'_>,
        library: &Library,
        hooks: &Hooks,
        guest: Option<RootId>,
        libc_follows: bool,
    ) -> bool {
        let mut held = Held::new(guest);
        if self.files.len() >= MAX_FILES {
            self.missing += u64::from(!self.files.contains_key(&library.id));
            return false;
        }
        let number = self.file_count & COOKIE_FILE_MASK;
        let mut cookie = number << COOKIE_FILE_SHIFT;
        self.file_count += 1;
        if hooks.is_musl() {
            cookie |= COOKIE_ONCE;
        } else if let Some(distance) = hooks.r_state {
            cookie |= u64::from(distance.cast_unsigned());
        }
        if libc_follows {
            cookie |= COOKIE_LIBC_FOLLOWS;
        }
        let learns = hooks.debug_state.filter(|_| self.kinds.multi && callers::are_cheaper(hooks, number));
        if learns.is_some() {
            cookie |= COOKIE_LEARN;
        }
        let how = if self.kinds.multi { How::Multi } else { How::Each(self.opener.as_ref()) };
        let mut whole = true;
        let mut probe = |program: &ProgramMut<'_>, offsets: &[u64], retprobe, name: &str| -> bool {
            let places: Vec<Place> =
                offsets.iter().map(|&offset| Place { offset, semaphore: 0, cookie }).collect();
            match attach(program, &library.file, &places, retprobe, how) {
                Ok(links) => held.links.extend(links),
                Err(error) => {
                    tracing::debug!("no probe in {} at {name}: {error}", library.path);
                    whole = false;
                    return false;
                }
            }
            if !offsets.is_empty() {
                let kind = if retprobe { "uretprobe" } else { "uprobe" };
                note(&mut self.hooks, format!("{kind}/{}:{name}", library.path));
            }
            !offsets.is_empty()
        };
        let (mut tells_start, mut since_ns) = (false, None);
        if self.kinds.start {
            tells_start = probe(programs.libc_start, &hooks.libc_start, false, "__libc_start_main");
            let tells = probe(programs.ld_state, hooks.debug_state.as_slice(), false, "_dl_debug_state");
            since_ns = tells.then(boottime_ns);
        }
        if self.kinds.execve {
            probe(programs.execve, &hooks.execve, false, "execve");
            probe(programs.execve_return, &hooks.execve, true, "execve");
        }
        // A loader or C library in which there is nothing to probe is none that is known here.
        let none_known = self.kinds.start && hooks.debug_state.is_none() && hooks.libc_start.is_empty();
        self.missing += u64::from(none_known || !whole);
        held.tells_start = tells_start;
        held.since_ns = since_ns;
        if let (Some(function), Some(_)) = (learns, since_ns) {
            held.learns = Learns::of(library, function, cookie, held.links.len());
            self.learning.extend(held.learns.as_ref().map(|_| library.id));
        }
        self.files.insert(library.id, held);
        tells_start
    }
}

/// Names a hook. What is let go and probed again all day long is named often enough.
fn note(hooks: &mut Vec<String>, hook: String) {
    if hooks.len() < MAX_HOOKS {
        hooks.push(hook);
    }
}

/// Closes links: each waits for a grace period of the kernel, but they wait together.
pub(super) fn close(links: Vec<Link>) {
    std::thread::scope(|scope| links.into_iter().for_each(|link| close_beside(scope, link)));
}

/// Closes something in a thread of its own; or at once, where there can be no more threads.
pub(super) fn close_beside<'scope>(scope: &'scope Scope<'scope, '_>, what: impl Send + 'scope) {
    // What a thread that is not started would have had is dropped with it.
    let _ = std::thread::Builder::new().spawn_scoped(scope, move || drop(what));
}

/// An instruction to probe.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// In the file.
    offset: u64,
    /// In the file: of the counter that goes up with the probe; 0: none.
    semaphore: u64,
    cookie: u64,
}

/// How places become probes.
#[derive(Clone, Copy)]
enum How<'a> {
    /// All of a file by one link.
    Multi,
    /// Each by a perf event, which somebody else opens.
    Each(Option<&'a Opener>),
}

/// Probes all of these places of a file, or none.
fn attach(
    program: &ProgramMut<'_>,
    file: &File,
    places: &[Place],
    retprobe: bool,
    how: How<'_>,
) -> libbpf_rs::Result<Vec<Link>> {
    if places.is_empty() {
        return Ok(Vec::new());
    }
    // By descriptor: no link is followed, and no other file is there by now.
    let path = &format!("/proc/self/fd/{}", file.as_raw_fd());
    if let How::Multi = how {
        let has_semaphores = places.iter().any(|place| place.semaphore != 0);
        let semaphores = places.iter().filter(|_| has_semaphores).map(|place| place.semaphore as usize);
        let opts = UprobeMultiOpts {
            offsets: places.iter().map(|place| place.offset as usize).collect(),
            ref_ctr_offsets: semaphores.collect(),
            cookies: places.iter().map(|place| place.cookie).collect(),
            retprobe,
            ..UprobeMultiOpts::default()
        };
        return Ok(vec![program.attach_uprobe_multi_with_opts(-1, path, "", opts)?]);
    }
    let each = |place: &Place| {
        if let How::Each(Some(opener)) = how {
            let asked = Asked { offset: place.offset, semaphore: place.semaphore, retprobe };
            let event = opener.open(file.as_fd(), asked).map_err(std::io::Error::from)?;
            let opts = PerfEventOpts { cookie: place.cookie, ..PerfEventOpts::default() };
            let link = program.attach_perf_event_with_opts(event.as_raw_fd(), opts)?;
            // The link closes it.
            let _ = event.into_raw_fd();
            return Ok(link);
        }
        let opts = UprobeOpts {
            retprobe,
            cookie: place.cookie,
            ref_ctr_offset: place.semaphore as usize,
            ..UprobeOpts::default()
        };
        program.attach_uprobe_with_opts(-1, path, place.offset as usize, opts)
    };
    places.iter().map(each).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_loader_and_libc_are_found_with_their_functions() {
        let root = Root::open(Path::new("/proc/self/root")).unwrap();
        let exe = std::fs::File::open("/proc/self/exe").unwrap();
        let interpreter = crate::elf::facts(&exe).unwrap().interpreter.unwrap();
        let loader = Library::open(&root, Path::new(&interpreter)).unwrap();
        let hooks = loader.hooks().unwrap();
        assert!(hooks.debug_state.is_some(), "{hooks:?}");
        if hooks.is_musl() {
            return;
        }
        assert!(hooks.r_state.is_some() && hooks.libc_start.is_empty(), "{hooks:?}");
        let libc = libraries::libc_of(&root, &loader).unwrap();
        let hooks = libc.hooks().unwrap();
        // Several versions, one address.
        assert_eq!((hooks.libc_start.len(), hooks.execve.len()), (1, 1), "{hooks:?}");
        assert!(hooks.debug_state.is_none());
        assert!(Library::open(&root, Path::new("/etc/passwd")).unwrap().hooks().is_err());
    }
}
