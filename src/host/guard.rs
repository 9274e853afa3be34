//! Ends CMD, with what it started, when the tracer is killed.
//!
//! A recording that ends by itself decides what becomes of CMD. One that is killed (SIGKILL, memory that runs out, a
//! crash) decides nothing any more, and CMD, started only to be looked at, would go on with nobody to know. A signal
//! at the parent's death (`PR_SET_PDEATHSIG`) is no help: CMD alone could unset it, and whether it may outlive us
//! (`--stop-when-ready`, a second Ctrl-C) is decided long after its exec; and it would not reach CMD's descendants.
//!
//! So a child of ours, forked before anything is attached, holds nothing but the end of a pipe, and no right but
//! to send signals. When the pipe closes without a word from us before, it asks CMD to end (SIGTERM), then what
//! CMD left, and then does not ask. What had left CMD before (a daemon) stays, as it does at every other end.
//! CMD tells its number itself, before its exec, through memory that all share: no system call is added to its start,
//! and there is no moment in which it runs unguarded.

use super::Error;
use super::owner::Owner;
use super::privilege::{self, Capability};
use super::world;
use crate::event::Id;
use crate::hash::HashMap;
use crate::stderr::tell;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{ForkResult, Pid};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// CMD gets this long to end when it is asked, and what it left as long again.
const GRACE: Duration = Duration::from_secs(1);
/// How often is looked whether they have.
const PERIOD: Duration = Duration::from_millis(10);
/// Shown by ps(1).
const NAME: &std::ffi::CStr = c"startrace-guard";

/// One place to tell a process's number in. Shared between the tracer, the guard and CMD before its exec.
#[derive(Debug)]
struct Slot {
    pid: AtomicU32,
    /// Not earlier than its birth, and earlier than that of any later process with its number.
    born_ns: AtomicU64,
}

/// What the guard reads when the pipe has closed. All-zero is valid: nobody runs, and nothing was said.
#[derive(Debug)]
struct Page {
    /// The tracer has ended by itself.
    over: AtomicBool,
    slots: [Slot; 2],
}

/// Where one command after the other is told.
#[derive(Debug, Clone, Copy)]
pub struct Post(&'static Slot);

impl Post {
    /// Tells that this process is the command from now on. Async-signal-safe.
    pub(super) fn tell(self) {
        let mut now = std::mem::MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: clock_gettime writes one timespec, which `now` is and which all-zero is, too; getpid
        // takes nothing. Both are async-signal-safe.
        let (pid, now) = unsafe {
            libc::clock_gettime(libc::CLOCK_BOOTTIME, now.as_mut_ptr());
            (libc::getpid(), now.assume_init())
        };
        self.0.born_ns.store(now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64, SeqCst);
        self.0.pid.store(pid.cast_unsigned(), SeqCst);
    }

    /// The process that was told, while it lives.
    fn told(self) -> Option<Id> {
        let pid = Some(self.0.pid.load(SeqCst)).filter(|&pid| pid != 0)?;
        let id = world::stat(pid)?.id(pid);
        (id.birth_ns <= self.0.born_ns.load(SeqCst)).then_some(id)
    }
}

/// The child that watches over us. While it is held, our sudden end is CMD's; dropping it lets CMD go.
#[derive(Debug)]
pub struct Guard {
    page: &'static Page,
    pid: Pid,
    /// Closed by our end, whatever ends us.
    _alive: OwnedFd,
}

impl Guard {
    /// Forks it. To be called in a process of one thread, before privileges are dropped and anything is attached:
    /// the programs would take it for CMD.
    ///
    /// # Errors
    /// No process, memory or pipe is to be had.
    pub fn fork(owner: &Owner) -> Result<Self, Error> {
        let failed = |e: nix::Error| Error::io("cannot make the process that watches over the command", e);
        let page = shared().map_err(failed)?;
        let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(failed)?;
        // SAFETY: there is one thread, so that the child's copy of the memory is consistent; it never returns
        // from here, and runs no destructor of the parent's.
        match unsafe { nix::unistd::fork() }.map_err(failed)? {
            ForkResult::Parent { child } => Ok(Self { page, pid: child, _alive: write }),
            ForkResult::Child => {
                watch(&read, page, owner);
                // SAFETY: ends the process without running what is registered for the parent's exit.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// Where a process that starts commands has them tell their number, one command at a time: the first for
    /// what is recorded, the second for what is not.
    pub fn posts(&self) -> [Post; 2] {
        let [recorded, other] = &self.page.slots;
        [Post(recorded), Post(other)]
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.page.over.store(true, SeqCst);
        // It has nothing to tidy up, and others may hold the pipe for a moment longer than we.
        let _ = kill(self.pid, Signal::SIGKILL);
        while nix::sys::wait::waitpid(self.pid, None) == Err(nix::Error::EINTR) {}
    }
}

/// Memory that stays shared over a fork; it lives as long as the process.
fn shared() -> nix::Result<&'static Page> {
    use nix::sys::mman::{MapFlags, ProtFlags, mmap_anonymous};
    let length = std::num::NonZeroUsize::new(size_of::<Page>()).ok_or(nix::Error::EINVAL)?;
    let access = ProtFlags::PROT_READ | ProtFlags::PROT_WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice hurts nothing that is there.
    let memory: NonNull<Page> = unsafe { mmap_anonymous(None, length, access, MapFlags::MAP_SHARED)? }.cast();
    // SAFETY: page-aligned, as long as a `Page` at least, zeroed (a valid `Page`), never unmapped, and changed
    // through atomics only.
    Ok(unsafe { memory.as_ref() })
}

/// The child's life.
fn watch(pipe: &OwnedFd, page: &'static Page, owner: &Owner) {
    // What is sent to the terminal's or the tracer's group is not for us.
    let _ = SigSet::all().thread_block();
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    // SAFETY: a NUL-terminated name that lives for ever.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
    if let Err(error) = privilege::keep_only(owner, Capability::Kill.bit()) {
        tell!("startrace: if startrace is killed, the command will go on: {error}");
        return;
    }
    // Not before: what is held open here would stay open for its readers when the tracer is gone.
    let Some(pipe) = hold_only(pipe) else { return };
    loop {
        match nix::unistd::read(&pipe, &mut [0; 1]) {
            Ok(0) => break,
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(_) => return,
        }
    }
    if !page.over.load(SeqCst) {
        end(page.slots.iter().filter_map(|slot| Post(slot).told()).collect());
    }
}

/// Closes everything but this one, which is given back under another number; standard streams lead nowhere.
pub(crate) fn hold_only(pipe: &OwnedFd) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    const KEPT: libc::c_int = 3;
    let null = std::fs::File::options().read(true).write(true).open("/dev/null").ok()?;
    // SAFETY: this process was forked to do nothing else and leaves by _exit: nothing will use or close what is
    // closed here behind the backs of its owners. `null` may have the number that the pipe is to get: it is used
    // before, and forgotten.
    unsafe {
        let done = (0..3).all(|fd| libc::dup2(null.as_raw_fd(), fd) >= 0)
            && (pipe.as_raw_fd() == KEPT || libc::dup2(pipe.as_raw_fd(), KEPT) >= 0)
            && libc::syscall(libc::SYS_close_range, KEPT + 1, libc::c_uint::MAX, 0) == 0;
        std::mem::forget(null);
        done.then(|| OwnedFd::from_raw_fd(KEPT))
    }
}

/// Ends these processes and what descends from them.
fn end(roots: Vec<Id>) {
    if roots.is_empty() {
        return;
    }
    let mut family = Family::default();
    family.extend(&roots);
    // A parent first: it may have its own way to end its children, or start others in their place.
    ask(&roots);
    family.wait(&roots);
    let left = family.alive();
    ask(&left);
    family.wait(&left);
    // Until nobody is left, for whoever forks meanwhile; in vain for what hangs in the kernel.
    for _ in 0..50 {
        let left = family.alive();
        if left.is_empty() {
            return;
        }
        left.iter().for_each(|id| send(*id, Signal::SIGKILL));
        std::thread::sleep(PERIOD);
        family.extend(&left);
    }
}

/// Asks for their end; what is stopped has to go on to hear it.
fn ask(processes: &[Id]) {
    for id in processes {
        send(*id, Signal::SIGTERM);
        send(*id, Signal::SIGCONT);
    }
}

fn send(id: Id, signal: Signal) {
    if lives(id) {
        let _ = kill(Pid::from_raw(id.pid.cast_signed()), signal);
    }
}

/// Dead ones that nobody has waited for are not.
fn lives(id: Id) -> bool {
    world::stat(id.pid).is_some_and(|stat| stat.id(id.pid) == id && !stat.ended())
}

/// All processes.
fn pids() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// All that were seen below CMD: they are still known when their parents are gone.
#[derive(Default)]
struct Family(Vec<Id>);

impl Family {
    /// Adds these and all that descend from them now.
    fn extend(&mut self, roots: &[Id]) {
        let mut children: HashMap<u32, Vec<Id>> = HashMap::default();
        for pid in pids() {
            if let Some(stat) = world::stat(pid) {
                children.entry(stat.ppid).or_default().push(stat.id(pid));
            }
        }
        let mut open = roots.to_vec();
        while let Some(id) = open.pop() {
            if !self.0.contains(&id) {
                self.0.push(id);
            }
            open.extend(children.remove(&id.pid).unwrap_or_default());
        }
    }

    fn alive(&self) -> Vec<Id> {
        self.0.iter().copied().filter(|id| lives(*id)).collect()
    }

    /// Waits for the end of these, but not for ever, and for who is born meanwhile.
    fn wait(&mut self, awaited: &[Id]) {
        let begun = Instant::now();
        let mut looked = begun;
        while begun.elapsed() < GRACE && awaited.iter().any(|id| lives(*id)) {
            std::thread::sleep(PERIOD);
            if looked.elapsed() > 10 * PERIOD {
                looked = Instant::now();
                self.extend(&self.alive());
            }
        }
    }
}
