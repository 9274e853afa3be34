//! Answers what the timeline asks about this machine, from `/proc` and from executable files.
//!
//! Everything read here belongs to processes that may be hostile or gone: sizes are bounded, and what
//! cannot be read is simply not known.

use super::frames::Frames;
use super::missing::Missing;
use super::mounts::Mounts;
use super::{procfs, tasks};
use crate::elf;
use crate::event::Id;
use crate::hash::HashMap;
use crate::method::facts::{Fd, FdKind};
use crate::timeline::world::{Ancestor, Frame, ImageKey, Known, Status, TaskNow, World};
use crate::trace::{schema::Binary, text};
use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Arguments of running processes are read up to this size, as those of new ones are.
const MAX_CMDLINE: u64 = 32 << 10;
/// Any other file in `/proc`.
const MAX_PROC: u64 = 64 << 10;
/// An environment; the kernel allows a quarter of the stack's limit.
const MAX_ENVIRON: u64 = 2 << 20;
/// Of the value of one variable.
const MAX_VALUE: usize = 4 << 10;
/// Children of a process that are looked at.
const MAX_CHILDREN: usize = 256;
/// Descriptors of a process that are looked through.
const MAX_FDS: usize = 4096;
/// Ancestors that are looked at; a guard against a /proc that changes as it is read.
const MAX_ANCESTORS: usize = 64;
/// Executables whose facts are kept.
const MAX_IMAGES: usize = 4096;
/// Of a process's flags: created by fork and not exec'd since.
const PF_FORKNOEXEC: u64 = 0x40;
/// A thread of the kernel.
const PF_KTHREAD: u64 = 0x0020_0000;
/// Processes with a root of their own whose roots are tried for those that are gone already.
const MAX_WITNESSES: usize = 16;
/// After this time a file is looked at again, in case it was written over in place.
const TRUST: Duration = Duration::from_secs(2);

struct Cached {
    binary: Option<Binary>,
    stamp: Option<(u64, i64, i64)>,
    looked: Instant,
}

/// This machine.
#[derive(Default)]
pub struct Machine {
    /// By device, inode and name: what is run under several names is judged by each.
    images: HashMap<(u32, u64, String), Cached>,
    witnesses: Witnesses,
    mounts: Mounts,
    frames: Frames,
    missing: Missing,
}

impl Machine {
    /// Reads the names of the kernel's functions, which takes rights that a recording gives up.
    pub fn learn_kernel(&mut self) {
        self.frames.learn_kernel();
    }
}

/// Pids of processes that were seen in another root than ours (a chroot, a container), latest last: the
/// way to the executables of their like that end before they are looked at. Pids and not open folders,
/// which would keep file systems from being unmounted; a pid that came to be another process's gives a
/// path that leads nowhere, as the device and the inode are checked.
#[derive(Default)]
struct Witnesses(VecDeque<u32>);

impl Witnesses {
    fn note(&mut self, pid: u32) {
        let root =
            |pid: &str| std::fs::metadata(format!("/proc/{pid}/root")).map(|m| (m.dev(), m.ino())).ok();
        let Some(theirs) = root(&pid.to_string()) else { return };
        if root("self") == Some(theirs) || self.0.contains(&pid) {
            return;
        }
        if self.0.len() >= MAX_WITNESSES {
            self.0.pop_front();
        }
        self.0.push_back(pid);
    }
}

impl World for Machine {
    fn process(&mut self, id: Id) -> Option<Known> {
        let before = stat(id.pid)?;
        // Start times in /proc are in ticks: equal to the tick is as much as can be asked.
        if !before.is(id) {
            return None;
        }
        let dir = PathBuf::from(format!("/proc/{}", id.pid));
        let status = read(dir.join("status"), MAX_PROC)?;
        let status = String::from_utf8_lossy(&status);
        let field = |name: &str, column: usize| -> Option<u32> {
            let line = status.lines().find(|line| line.starts_with(name))?;
            line.split_whitespace().nth(column)?.parse().ok()
        };
        let exe = std::fs::read_link(dir.join("exe")).ok();
        let meta = std::fs::metadata(dir.join("exe")).ok();
        let cmdline = read(dir.join("cmdline"), MAX_CMDLINE);
        let ns_pid = status
            .lines()
            .find(|line| line.starts_with("NSpid:"))
            .and_then(|line| line.split_whitespace().last()?.parse().ok());
        let is_copy = before.is_copy();
        let known = Known {
            comm: before.comm,
            exe: exe.map(|path| text::encode(path.as_os_str().as_bytes())),
            argv: cmdline.filter(|bytes| !bytes.is_empty()).map(|bytes| split_argv(&bytes)),
            cwd: std::fs::read_link(dir.join("cwd"))
                .ok()
                .map(|path| text::encode(path.as_os_str().as_bytes())),
            dev: meta.as_ref().map_or(0, |meta| kernel_dev(meta.dev())),
            inode: meta.as_ref().map_or(0, MetadataExt::ino),
            uid: field("Uid:", 2),
            gid: field("Gid:", 2),
            ns_pid,
            cgroup: cgroup(id.pid),
            ppid: field("PPid:", 1),
            is_copy,
        };
        // The pid may have been given to another process while it was read.
        stat(id.pid).filter(|after| after.is(id)).map(|_| known)
    }

    fn ancestors(&mut self, id: Id) -> Vec<Ancestor> {
        let mut found = Vec::new();
        let mut pid = stat(id.pid).filter(|stat| stat.is(id)).map_or(0, |stat| stat.ppid);
        while pid > 0 && found.len() < MAX_ANCESTORS {
            let Some(stat) = stat(pid) else { break };
            let uid = procfs::status(&PathBuf::from(format!("/proc/{pid}"))).ok().map(|s| s.uids[1]);
            let exe = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
            found.push(Ancestor {
                comm: stat.comm,
                exe: exe.map(|path| text::encode(path.as_os_str().as_bytes())),
                uid,
                cgroup: cgroup(pid),
            });
            pid = stat.ppid;
        }
        found
    }

    fn copies(&mut self, id: Id, thread: u32) -> Vec<Id> {
        if !is_alive(id) {
            return Vec::new();
        }
        let file = |pid: u32| std::fs::metadata(format!("/proc/{pid}/exe")).ok().map(|m| (m.dev(), m.ino()));
        let own = file(id.pid);
        let threads = [Some(id.pid), (thread != id.pid).then_some(thread)];
        let lists = threads.into_iter().flatten().filter_map(|thread| {
            let list = read(PathBuf::from(format!("/proc/{}/task/{thread}/children", id.pid)), MAX_PROC)?;
            String::from_utf8(list).ok()
        });
        let children: Vec<u32> = lists.flat_map(|list| pids(&list)).take(MAX_CHILDREN).collect();
        let copy = |pid: u32| {
            let stat = stat(pid).filter(|stat| stat.ppid == id.pid && stat.is_copy() == Some(true))?;
            (!stat.ended() && own.is_some() && file(pid) == own).then(|| stat.born(pid))
        };
        children.into_iter().filter_map(copy).collect()
    }

    fn image(&mut self, image: &ImageKey) -> Option<Binary> {
        self.frames.forget(image.pid);
        let name = name_of(&image.exe);
        let key = (image.dev, image.inode, name.to_owned());
        // A file that could not be opened, because who ran it had ended, may be open to this process.
        let may_open = || Path::new(&format!("/proc/{}/exe", image.pid)).exists();
        if let Some(cached) = self.images.get(&key)
            && cached.looked.elapsed() < TRUST
            && (cached.stamp.is_some() || !may_open())
        {
            return cached.binary.clone();
        }
        self.witnesses.note(image.pid);
        let file = open_image(image, &self.witnesses, &mut self.mounts);
        let stamp = file.as_ref().and_then(|file| {
            let meta = file.metadata().ok()?;
            Some((meta.size(), meta.mtime(), meta.mtime_nsec()))
        });
        if let Some(cached) = self.images.get_mut(&key)
            && (stamp.is_none() || cached.stamp == stamp)
        {
            cached.looked = Instant::now();
            return cached.binary.clone();
        }
        let binary = file.and_then(|file| match elf::facts_as(&file, name) {
            Ok(facts) => Some(facts.binary()),
            Err(error) => {
                tracing::debug!("{}: {error}", image.exe);
                None
            }
        });
        if self.images.len() >= MAX_IMAGES {
            self.images.clear();
        }
        self.images.insert(key, Cached { binary: binary.clone(), stamp, looked: Instant::now() });
        binary
    }

    fn missing_libraries(&mut self, image: &ImageKey) -> Option<Vec<String>> {
        self.missing.of(image)
    }

    fn frames(&mut self, id: Id, addresses: &[u64]) -> Vec<Frame> {
        self.frames.frames(id, |pid| stat(pid).is_some_and(|stat| stat.is(id)), addresses)
    }

    fn status(&mut self, id: Id, null_at: Option<u32>) -> Option<Status> {
        let stat = stat(id.pid).filter(|stat| stat.is(id))?;
        let mut stdio = [Fd::default(); 3];
        for (n, fd) in stdio.iter_mut().enumerate() {
            *fd = describe(id.pid, n);
        }
        let text = read(PathBuf::from(format!("/proc/{}/status", id.pid)), MAX_PROC)?;
        let text = String::from_utf8_lossy(&text);
        // `Name:` is the program's to choose, but the kernel escapes line feeds in it.
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        let effective = |name: &str| field(name)?.split_whitespace().nth(1)?.parse().ok();
        let ignored = field("SigIgn:");
        let ignored = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        Some(Status {
            session_leader: stat.session == id.pid,
            has_tty: stat.tty != 0,
            group: Some(stat.group),
            foreground: (stat.tty != 0).then_some(i64::from(stat.group) == stat.tty_group),
            comm: stat.comm,
            uid: effective("Uid:"),
            gid: effective("Gid:"),
            stdio,
            ignored: ignored.unwrap_or_default(),
            null_on_pipe: null_at.map(|fd| describe(id.pid, fd as usize).kind == FdKind::Null),
        })
    }

    fn tasks(&mut self, id: Id) -> Option<Vec<TaskNow>> {
        stat(id.pid).filter(|stat| stat.is(id))?;
        tasks::now(id.pid)
    }

    fn notify_socket(&mut self, id: Id) -> Option<bool> {
        const NAME: &[u8] = b"NOTIFY_SOCKET=";
        stat(id.pid).filter(|stat| stat.is(id))?;
        let environ = read(PathBuf::from(format!("/proc/{}/environ", id.pid)), MAX_ENVIRON)?;
        Some(environ.split(|&b| b == 0).any(|entry| entry.len() > NAME.len() && entry.starts_with(NAME)))
    }

    fn environment(&mut self, id: Id, names: &[String]) -> Option<BTreeMap<String, String>> {
        stat(id.pid).filter(|stat| stat.is(id))?;
        let environ = read(PathBuf::from(format!("/proc/{}/environ", id.pid)), MAX_ENVIRON)?;
        // A process that has just ended has an empty one.
        (!environ.is_empty()).then(|| variables(&environ, names))
    }

    fn shares_socket(&mut self, id: Id, fd: u32, with: Id) -> Option<bool> {
        for process in [id, with] {
            stat(process.pid).filter(|stat| stat.is(process))?;
        }
        let socket = std::fs::read_link(format!("/proc/{}/fd/{fd}", id.pid)).ok()?;
        socket.to_str().filter(|link| link.starts_with("socket:"))?;
        let others = std::fs::read_dir(format!("/proc/{}/fd", with.pid)).ok()?;
        let mut links = others.take(MAX_FDS).filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok());
        Some(links.any(|link| link == socket))
    }
}

/// Is the process that one, and not another with its pid?
pub fn is_alive(id: Id) -> bool {
    stat(id.pid).is_some_and(|stat| stat.is(id))
}

/// The same, and it is more than the remains of one: where nobody reaps orphans, those stay.
pub fn is_running(id: Id) -> bool {
    stat(id.pid).is_some_and(|stat| stat.is(id) && !(stat.ended() && stat.threads <= 1))
}

/// It does nothing of its own accord: it is stopped, or over.
pub fn is_stopped(id: Id) -> bool {
    stat(id.pid).is_none_or(|stat| !stat.is(id) || stat.ended() || matches!(stat.state, b'T' | b't'))
}

/// The running processes that are below some, by what `/proc` tells now.
pub fn below(some: &[Id]) -> Vec<Id> {
    let listed = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let all: Vec<(u32, Stat)> = pids.filter_map(|pid| Some((pid, stat(pid)?))).collect();
    let mut known: Vec<u32> = some.iter().map(|id| id.pid).collect();
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(parent) = known.get(at).copied() {
        at += 1;
        for (pid, stat) in all.iter().filter(|(_, stat)| stat.ppid == parent && !stat.ended()) {
            if !known.contains(pid) {
                known.push(*pid);
                found.push(stat.born(*pid));
            }
        }
    }
    found
}

/// The session that a process is in.
pub fn session(id: Id) -> Option<u32> {
    stat(id.pid).filter(|stat| stat.is(id)).map(|stat| stat.session)
}

/// The start of `/proc/PID/stat` that matters here.
pub(super) struct Stat {
    comm: String,
    state: u8,
    pub(super) ppid: u32,
    group: u32,
    session: u32,
    tty: i64,
    tty_group: i64,
    /// `PF_...` of the kernel.
    flags: Option<u64>,
    threads: u32,
    start_ticks: u64,
}

impl Stat {
    fn is(&self, id: Id) -> bool {
        // What /proc tells is in the reader's time namespace.
        let birth_ns = id.birth_ns.saturating_add_signed(super::clock::offset_ns());
        birth_ns / (1_000_000_000 / ticks_per_second()) == self.start_ticks
    }

    /// The process, with its birth as exactly as /proc has it.
    pub(super) fn id(&self, pid: u32) -> Id {
        Id { pid, birth_ns: self.start_ticks.saturating_mul(1_000_000_000 / ticks_per_second()) }
    }

    /// The same, as the kernel's events have it.
    fn born(&self, pid: u32) -> Id {
        let Id { birth_ns, .. } = self.id(pid);
        Id { pid, birth_ns: birth_ns.saturating_add_signed(super::clock::offset_ns().saturating_neg()) }
    }

    /// It was created by fork and has not exec'd since.
    fn is_copy(&self) -> Option<bool> {
        self.flags.map(|flags| flags & PF_FORKNOEXEC != 0)
    }

    fn is_kernel_thread(&self) -> bool {
        self.flags.is_some_and(|flags| flags & PF_KTHREAD != 0)
    }

    /// It is dead, and nobody has waited for it yet.
    pub(super) fn ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }
}

pub(super) fn ticks_per_second() -> u64 {
    // SAFETY: takes a number, returns a number.
    let ticks = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    u64::try_from(ticks).ok().filter(|&ticks| ticks > 0).unwrap_or(100)
}

pub(super) fn stat(pid: u32) -> Option<Stat> {
    let bytes = read(PathBuf::from(format!("/proc/{pid}/stat")), MAX_PROC)?;
    // The name is in parentheses and may hold anything, parentheses too: the last one ends it.
    let open = bytes.iter().position(|&b| b == b'(')?;
    let close = bytes.iter().rposition(|&b| b == b')')?;
    let rest = String::from_utf8_lossy(bytes.get(close + 1..)?).into_owned();
    let fields: Vec<&str> = rest.split_whitespace().collect();
    Some(Stat {
        comm: text::encode(bytes.get(open + 1..close)?),
        state: *fields.first()?.as_bytes().first()?,
        ppid: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
        tty: fields.get(4)?.parse().ok()?,
        tty_group: fields.get(5)?.parse().ok()?,
        flags: fields.get(6)?.parse().ok(),
        threads: fields.get(17)?.parse().ok()?,
        start_ticks: fields.get(19)?.parse().ok()?,
    })
}

/// Why a process that was to be followed could not be marked.
pub fn why_unmarked(pid: u32) -> &'static str {
    match stat(pid) {
        Some(stat) if stat.is_kernel_thread() => {
            "that is a thread of the kernel; record -a sees what it starts"
        }
        Some(stat) if !stat.ended() => {
            "it runs, but this system does not let it be followed (a sandbox may hide it); record -a sees what it starts"
        }
        _ => "the process ended before it could be followed",
    }
}

/// A thread of the kernel, which is never followed.
pub fn is_kernel_thread(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| stat.is_kernel_thread())
}

/// The exact creation time of a running process is not in `/proc`; this is it to the tick.
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.start_ticks)
}

fn read(path: PathBuf, max: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Those of the names that an environment has; of a name that is there twice the first, as getenv takes it.
fn variables(environ: &[u8], names: &[String]) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in environ.split(|&byte| byte == 0) {
        let Some(at) = entry.iter().position(|&byte| byte == b'=') else { continue };
        let (name, value) = entry.split_at(at);
        if let Some(name) = names.iter().find(|wanted| wanted.as_bytes() == name) {
            let value = value.get(1..).unwrap_or_default();
            let value = value.get(..MAX_VALUE).unwrap_or(value);
            found.entry(name.clone()).or_insert_with(|| text::encode(value));
        }
    }
    found
}

fn pids(list: &str) -> Vec<u32> {
    list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

fn split_argv(bytes: &[u8]) -> Vec<String> {
    bytes.strip_suffix(&[0]).unwrap_or(bytes).split(|&b| b == 0).map(text::encode).collect()
}

/// The v2 path, or the v1 cpu controller's where that is the root.
fn cgroup(pid: u32) -> Option<String> {
    let bytes = read(PathBuf::from(format!("/proc/{pid}/cgroup")), MAX_PROC)?;
    let all = text::encode(&bytes);
    let mut v1 = None;
    let mut v2 = None;
    for line in all.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if controllers.is_empty() {
            v2 = Some(path.to_owned());
        } else if controllers.split(',').any(|name| name == "cpu") {
            v1 = Some(path.to_owned());
        }
    }
    match (v2, v1) {
        (Some(v2), Some(v1)) if v2 == "/" => Some(v1),
        (Some(v2), _) => Some(v2),
        (None, v1) => v1,
    }
}

/// User space's device number as the kernel keeps it.
pub(super) fn kernel_dev(dev: u64) -> u32 {
    (libc::major(dev) << 20) | libc::minor(dev)
}

/// The last part of an executable's path.
fn name_of(exe: &str) -> &str {
    let exe = exe.strip_suffix(" (deleted)").unwrap_or(exe);
    exe.rsplit('/').next().unwrap_or(exe)
}

/// Opens an executable and makes sure that it is the one meant. Through the process itself where it
/// still runs it; else by its path, in the process's root, in ours, and in those of the witnesses; else by its place in
/// its file system.
fn open_image(image: &ImageKey, witnesses: &Witnesses, mounts: &mut Mounts) -> Option<File> {
    let path = text::decode(&image.exe);
    let path = path.strip_suffix(b" (deleted)").unwrap_or(&path);
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    let relative = std::ffi::OsStr::from_bytes(relative);
    let in_root = |pid: u32| PathBuf::from(format!("/proc/{pid}/root")).join(relative);
    let own = [
        PathBuf::from(format!("/proc/{}/exe", image.pid)),
        in_root(image.pid),
        Path::new("/").join(relative),
    ];
    // Some file systems (btrfs, overlayfs) may show another device in stat than the kernel has; in a root
    // that is not known to be the process's, both have to be right.
    let same_inode = |meta: &Metadata| meta.ino() == image.inode;
    let same_file = |meta: &Metadata| same_inode(meta) && kernel_dev(meta.dev()) == image.dev;
    own.into_iter()
        .find_map(|candidate| open_if(candidate, same_inode))
        .or_else(|| witnesses.0.iter().rev().find_map(|&pid| open_if(in_root(pid), same_file)))
        .or_else(|| {
            let within = text::decode(image.within.as_deref()?);
            mounts.open(image.dev, Path::new(std::ffi::OsStr::from_bytes(&within)), image.inode)
        })
}

pub(super) fn open_if(candidate: PathBuf, meant: impl Fn(&Metadata) -> bool) -> Option<File> {
    // Never block on a FIFO that somebody put there.
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    let file = File::options().read(true).custom_flags(flags).open(candidate).ok()?;
    let meta = file.metadata().ok()?;
    (meta.is_file() && meant(&meta)).then_some(file)
}

fn describe(pid: u32, fd: usize) -> Fd {
    let path = format!("/proc/{pid}/fd/{fd}");
    let Ok(meta) = std::fs::metadata(&path) else {
        let closed = std::fs::symlink_metadata(format!("/proc/{pid}/fd")).is_ok()
            && std::fs::symlink_metadata(&path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
        let kind = if closed { FdKind::Closed } else { FdKind::Unknown };
        return Fd { kind, inode: 0 };
    };
    let kind = meta.file_type();
    let kind = if kind.is_fifo() {
        FdKind::Pipe
    } else if kind.is_socket() {
        FdKind::Socket
    } else if kind.is_file() {
        FdKind::File
    } else if kind.is_char_device() {
        match (libc::major(meta.rdev()), libc::minor(meta.rdev())) {
            (1, 3) => FdKind::Null,
            (4 | 5 | 136..=143, _) => FdKind::Tty,
            _ => FdKind::Other,
        }
    } else {
        FdKind::Other
    };
    Fd { kind, inode: meta.ino() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_followed_is_told_why() {
        assert!(why_unmarked(u32::MAX).contains("ended"));
        // We run, and nobody has marked us.
        assert!(why_unmarked(std::process::id()).starts_with("it runs"));
    }

    #[test]
    fn only_variables_that_are_asked_for_are_taken() {
        let environ =
            b"SECRET=x\0TRACEPARENT=00-a=b\0=odd\0NOVALUE\0EMPTY=\0TRACEPARENT=second\0BIN=\xff\n\0";
        let names = ["TRACEPARENT", "EMPTY", "BIN", "MISSING"].map(str::to_owned);
        let found = variables(environ, &names);
        let found: Vec<(&str, &str)> =
            found.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(found, [("BIN", "\u{efff}\n"), ("EMPTY", ""), ("TRACEPARENT", "00-a=b")]);
        let long = [b"EMPTY=".as_slice(), &[b'x'; 100_000]].concat();
        assert_eq!(variables(&long, &names).get("EMPTY").map(String::len), Some(MAX_VALUE));
    }

    #[test]
    fn this_process_is_known_and_another_birth_is_not() {
        let pid = std::process::id();
        let ticks = start_ticks(pid).unwrap();
        let birth_ns = ticks * (1_000_000_000 / ticks_per_second());
        let mut machine = Machine::default();
        let known = machine.process(Id { pid, birth_ns }).unwrap();
        assert_eq!(known.uid, Some(nix::unistd::geteuid().as_raw()));
        let exe = std::fs::read_link("/proc/self/exe").unwrap();
        assert_eq!(known.exe.as_deref(), exe.to_str());
        assert!(machine.process(Id { pid, birth_ns: birth_ns + 1_000_000_000 }).is_none());
        assert!(machine.status(Id { pid, birth_ns }, None).is_some());
    }

    #[test]
    fn another_file_at_the_same_path_is_not_taken() {
        let meta = std::fs::metadata("/proc/self/exe").unwrap();
        let exe = std::fs::read_link("/proc/self/exe").unwrap();
        let key = ImageKey {
            pid: 0,
            exe: exe.to_str().unwrap().to_owned(),
            within: None,
            dev: kernel_dev(meta.dev()),
            inode: meta.ino(),
        };
        assert!(open_image(&key, &Witnesses::default(), &mut Mounts::default()).is_some());
        assert!(
            open_image(
                &ImageKey { inode: meta.ino() + 1, ..key },
                &Witnesses::default(),
                &mut Mounts::default()
            )
            .is_none()
        );
    }

    #[test]
    fn a_file_that_was_out_of_reach_is_read_when_a_living_process_runs_it() {
        let meta = std::fs::metadata("/proc/self/exe").unwrap();
        let (dev, inode) = (kernel_dev(meta.dev()), meta.ino());
        let gone = ImageKey { pid: 0, exe: "/nowhere/program".to_owned(), within: None, dev, inode };
        let mut machine = Machine::default();
        assert!(machine.image(&gone).is_none());
        let here = ImageKey { pid: std::process::id(), ..gone };
        assert!(machine.image(&here).is_some_and(|binary| binary.linkage.is_some()));
    }

    #[test]
    fn a_witness_has_another_root_and_device_and_inode_have_to_be_right_there() {
        let mut witnesses = Witnesses::default();
        witnesses.note(std::process::id());
        witnesses.note(0);
        assert!(witnesses.0.is_empty());
        // As if this process were in another root.
        witnesses.0.push_back(std::process::id());
        let meta = std::fs::metadata("/proc/self/exe").unwrap();
        let (dev, inode) = (kernel_dev(meta.dev()), meta.ino());
        // Only by a witness is there a file: pid 0 has no /proc, and in our root the path leads nowhere.
        let exe = std::fs::read_link("/proc/self/exe").unwrap();
        let key = ImageKey {
            pid: 0,
            exe: exe.to_str().unwrap().to_owned(),
            within: None,
            dev: dev + 1,
            inode: inode + 1,
        };
        assert!(open_image(&key, &witnesses, &mut Mounts::default()).is_none());
    }
}
