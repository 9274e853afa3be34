//! Starting CMD (or a trigger command) as the caller would have started it.
//!
//! fork and exec by hand, because the standard library's `Command` decides some of it itself: it
//! looks in our PATH and not in the caller's, resets SIGPIPE only, and gives no pidfd on every
//! version. The child waits for nothing between fork and exec, so that the recorded start is not
//! lengthened by us; it tells of a failure through a pipe that a successful exec closes.
//!
//! The kernel side takes every fork of our process for CMD's: nothing else in this program forks.

mod child;

use super::caller::Caller;
use super::guard::Post;
use super::{privilege, unfit};
use child::{Plan, Prepared};
use nix::poll::{PollFd, PollFlags, PollTimeout};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{ForkResult, Pid};
use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// A command that could not be started.
#[derive(Debug)]
pub struct SpawnError {
    command: String,
    stage: Stage,
    errno: i32,
    /// A file of that name was found: what is missing is its interpreter.
    found: bool,
    /// What the file is, where that says more than the number does.
    why: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    Prepare,
    Fork,
    Stdout,
    Groups,
    Gid,
    Uid,
    Limits,
    Exec,
    Dropped,
}

impl Stage {
    fn from_byte(byte: u8) -> Self {
        [Self::Stdout, Self::Groups, Self::Gid, Self::Uid, Self::Limits, Self::Exec]
            .into_iter()
            .find(|&stage| stage as u8 == byte)
            .unwrap_or(Self::Fork)
    }
}

impl SpawnError {
    /// The exit code that env(1) would give: 127 for a command that is not found, 126 for one that
    /// cannot be executed; 125 where the failure is ours.
    pub fn exit_code(&self) -> u8 {
        match (self.stage, self.errno) {
            (Stage::Exec, libc::ENOENT) => 127,
            (Stage::Exec, _) => 126,
            _ => 125,
        }
    }

    /// The system's error number; 0 where there is none.
    pub fn errno(&self) -> i32 {
        self.errno
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let error = io::Error::from_raw_os_error(self.errno);
        let command = &self.command;
        match self.stage {
            Stage::Exec if self.errno == libc::ENOENT && self.found => {
                let why = self.why.as_deref().unwrap_or("but the interpreter that it names is not");
                write!(f, "cannot start {command:?}: the file is there, {why}")
            }
            Stage::Exec if self.errno == libc::ENOENT => {
                write!(f, "cannot start {command:?}: no such command in the caller's PATH and no such file")
            }
            Stage::Exec => {
                write!(f, "cannot execute {command:?}: {error}")?;
                self.why.iter().try_for_each(|why| write!(f, ": {why}"))
            }
            Stage::Prepare => write!(f, "cannot start {command:?}: it holds a NUL byte or is empty"),
            Stage::Fork => write!(f, "cannot start {command:?}: {error}"),
            Stage::Stdout => write!(f, "cannot send the output of {command:?} to stderr: {error}"),
            Stage::Groups => write!(f, "cannot take the caller's groups for {command:?}: {error}"),
            Stage::Gid => write!(f, "cannot take the caller's group id for {command:?}: {error}"),
            Stage::Uid => write!(f, "cannot take the caller's user id for {command:?}: {error}"),
            Stage::Limits => write!(f, "cannot restore resource limits for {command:?}: {error}"),
            Stage::Dropped => {
                write!(f, "cannot start {command:?}: startrace has already given up its privileges")
            }
        }
    }
}

impl std::error::Error for SpawnError {}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It called exit.
    Exited(i32),
    /// A signal ended it.
    Killed {
        /// Signal number.
        signal: i32,
        /// A core was dumped.
        core: bool,
    },
}

impl Ended {
    /// As a shell reports it: the status, or 128 plus the signal.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Exited(code) => code as u8,
            Self::Killed { signal, .. } => (128 + signal) as u8,
        }
    }
}

/// What has become of the exec.
#[derive(Debug)]
pub enum Execution {
    /// The child is still before its exec (a slow file system).
    Pending,
    /// CMD runs, or ran.
    Done,
    /// There is no CMD; the child was reaped.
    Failed(SpawnError),
}

/// A started command. Dropping it leaves the command alone.
#[derive(Debug)]
pub struct Spawned {
    /// Process id.
    pub pid: u32,
    /// Readable when it has ended.
    pub pidfd: OwnedFd,
    command: String,
    /// Where it was looked for.
    candidates: Vec<CString>,
    status: Option<File>,
    heard: Vec<u8>,
    ended: Option<Ended>,
}

/// Starts `argv` as `caller`. `stdout_to_stderr` is for `-o -`, where stdout belongs to the trace; `post` is where
/// the child tells that it is there (see [`super::guard`]).
///
/// Returns when the child exists; whether its exec worked is asked with [`Spawned::execution`].
///
/// # Errors
/// The process could not be made, or privileges were dropped before.
pub fn spawn(
    argv: &[OsString],
    caller: &Caller,
    stdout_to_stderr: bool,
    post: Option<Post>,
) -> Result<Spawned, SpawnError> {
    let command = argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let fail = |stage, errno| SpawnError { command: command.clone(), stage, errno, found: false, why: None };
    if privilege::dropped() {
        return Err(fail(Stage::Dropped, 0));
    }
    let os = |e: nix::Error| fail(Stage::Fork, e as i32);
    let plan = Plan::new(argv, caller, stdout_to_stderr).ok_or_else(|| fail(Stage::Prepare, 0))?;
    collect_children();
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(os)?;
    let mut prepared = Prepared::new(&plan, write.as_raw_fd());
    // No handler of ours may run in the child, and no signal hit it before it has the caller's mask.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).map_err(os)?;
    // SAFETY: the child calls only `Post::tell` and `Prepared::run`, which make async-signal-safe calls on memory
    // prepared beforehand, and the latter never returns: neither locks nor the allocator are touched.
    let forked = unsafe { nix::unistd::fork() };
    if matches!(forked, Ok(ForkResult::Child)) {
        if let Some(post) = post {
            post.tell();
        }
        prepared.run();
    }
    let restored = mask.thread_set_mask();
    let child = match forked.map_err(os)? {
        ForkResult::Parent { child } => child,
        // `run` does not return.
        ForkResult::Child => return Err(fail(Stage::Fork, libc::EINVAL)),
    };
    drop(write);
    let pidfd = restored
        .map_err(os)
        .and_then(|()| pidfd_open(child).map_err(|e| fail(Stage::Fork, e.raw_os_error().unwrap_or(0))));
    let pidfd = pidfd.inspect_err(|_| {
        // Without a pidfd we cannot see it end: do not leave it running behind an error.
        let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
        let _ = wait_for(child, 0);
    })?;
    Ok(Spawned {
        pid: child.as_raw() as u32,
        pidfd,
        command,
        candidates: plan.into_candidates(),
        status: Some(File::from(read)),
        heard: Vec::new(),
        ended: None,
    })
}

/// Somebody may have started us with SIGCHLD ignored: the kernel would then reap CMD before its
/// status could be read. CMD itself gets the disposition back.
fn collect_children() {
    let default = nix::sys::signal::SigAction::new(
        nix::sys::signal::SigHandler::SigDfl,
        nix::sys::signal::SaFlags::empty(),
        SigSet::empty(),
    );
    // SAFETY: only the default action is installed, no handler. A handler of the program's is put
    // back at once.
    unsafe {
        if let Ok(old) = nix::sys::signal::sigaction(Signal::SIGCHLD, &default)
            && !matches!(
                old.handler(),
                nix::sys::signal::SigHandler::SigIgn | nix::sys::signal::SigHandler::SigDfl
            )
        {
            let _ = nix::sys::signal::sigaction(Signal::SIGCHLD, &old);
        }
    }
}

fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes numbers and returns a new descriptor (O_CLOEXEC by itself) or -1.
    let fd =
        unsafe { libc::syscall(libc::SYS_pidfd_open, libc::c_long::from(pid.as_raw()), 0 as libc::c_long) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

impl Spawned {
    /// Readable once the exec worked or failed: for those who poll and do not want to block in
    /// [`Self::execution`]. `None` when the outcome is known.
    pub fn execution_fd(&self) -> Option<BorrowedFd<'_>> {
        self.status.as_ref().map(|status| status.as_fd())
    }

    /// What has become of the exec; waits at most `timeout` for it (`None`: as long as it takes).
    /// After a failure the child is reaped.
    pub fn execution(&mut self, timeout: Option<Duration>) -> Execution {
        loop {
            let Some(status) = self.status.as_mut() else {
                return Execution::Done;
            };
            let wait = match timeout {
                Some(timeout) => PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX),
                None => PollTimeout::NONE,
            };
            let mut fds = [PollFd::new(status.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut fds, wait) {
                Ok(0) | Err(nix::Error::EINTR) => return Execution::Pending,
                Ok(_) | Err(_) => {}
            }
            let mut buffer = [0; 32];
            match status.read(&mut buffer) {
                Ok(0) => {
                    self.status = None;
                    return self.outcome();
                }
                Ok(n) => self.heard.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.status = None,
            }
        }
    }

    fn outcome(&mut self) -> Execution {
        let [stage, found, e0, e1, e2, e3, i0, i1, i2, i3] = self.heard[..] else {
            return Execution::Done;
        };
        // It said so with its last breath: this wait is short.
        let _ = self.wait();
        let (stage, errno) = (Stage::from_byte(stage), i32::from_le_bytes([e0, e1, e2, e3]));
        let file = self.candidates.get(u32::from_le_bytes([i0, i1, i2, i3]) as usize);
        let file = file.filter(|_| stage == Stage::Exec).map(|file| OsStr::from_bytes(file.as_bytes()));
        Execution::Failed(SpawnError {
            command: self.command.clone(),
            stage,
            errno,
            found: found != 0,
            why: file.and_then(|file| unfit::why(Path::new(file), errno)),
        })
    }

    /// How it ended, `None` while it runs. Reaps it; may be asked again afterwards.
    ///
    /// # Errors
    /// It is not our child any more: somebody else reaped it.
    pub fn try_wait(&mut self) -> io::Result<Option<Ended>> {
        self.wait_with(libc::WNOHANG)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// As [`Self::try_wait`].
    pub fn wait(&mut self) -> io::Result<Ended> {
        loop {
            if let Some(ended) = self.wait_with(0)? {
                return Ok(ended);
            }
        }
    }

    fn wait_with(&mut self, flags: libc::c_int) -> io::Result<Option<Ended>> {
        if self.ended.is_none() {
            self.ended = wait_for(Pid::from_raw(self.pid as i32), flags)?;
        }
        Ok(self.ended)
    }
}

/// waitpid(2), because nix gives an error for a process that a real-time signal ended.
fn wait_for(child: Pid, flags: libc::c_int) -> io::Result<Option<Ended>> {
    let mut status = 0;
    // SAFETY: waitpid writes one int, which `status` is.
    match unsafe { libc::waitpid(child.as_raw(), &raw mut status, flags) } {
        0 => Ok(None),
        -1 => match io::Error::last_os_error() {
            e if e.kind() == io::ErrorKind::Interrupted => Ok(None),
            e => Err(e),
        },
        _ if libc::WIFEXITED(status) => Ok(Some(Ended::Exited(libc::WEXITSTATUS(status)))),
        _ if libc::WIFSIGNALED(status) => {
            Ok(Some(Ended::Killed { signal: libc::WTERMSIG(status), core: libc::WCOREDUMP(status) }))
        }
        _ => Ok(None),
    }
}

impl Drop for Spawned {
    // A command that has ended leaves no zombie while we go on.
    fn drop(&mut self) {
        let _ = self.try_wait();
    }
}
