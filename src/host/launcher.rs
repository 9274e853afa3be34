//! Starts commands for a process that has given its privileges up.
//!
//! `stat` attaches its probes once, starts its commands many times, and must not remain root while it reads
//! what the kernel and strangers' processes tell. So a child of ours stays as we were: it reads numbers from
//! a socket (which of the commands that it was forked with), starts them as the caller (as [`super::spawn`]
//! does) and says how they end. Its only input is that number. It goes when the socket closes.

use super::Error;
use super::caller::Caller;
use super::guard::Post;
use super::spawn::{Ended, Execution, Spawned, spawn};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, recv, send, socketpair};
use nix::unistd::{ForkResult, Pid};
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// Longest message: the text of an error.
const MAX_MESSAGE: usize = 4096;

/// What the launcher says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The command runs.
    Started(u32),
    /// It cannot be started.
    Refused {
        /// 127: not found; 126: not executable; 125: anything else.
        code: u8,
        /// Why.
        why: String,
    },
    /// The command that was started last has ended.
    Ended(Ended),
}

/// The child that starts commands.
#[derive(Debug)]
pub struct Launcher {
    socket: OwnedFd,
    pid: Pid,
}

/// What becomes of the output of commands; their input is always empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outputs {
    /// Nobody sees it.
    Dropped,
    /// Where ours goes.
    Shown,
}

impl Launcher {
    /// Forks the child. To be called in a process of one thread, before privileges are dropped and anything
    /// is opened that the child should not hold. `post` is where its commands tell that they are there.
    ///
    /// # Errors
    /// No process or no socket is to be had.
    pub fn fork(
        commands: &[Vec<OsString>],
        caller: &Caller,
        outputs: Outputs,
        post: Post,
    ) -> Result<Self, Error> {
        let failed = |e: nix::Error| Error::io("cannot make the process that starts the commands", e);
        let (ours, theirs) =
            socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)
                .map_err(failed)?;
        // SAFETY: there is one thread, so that the child's copy of the memory is consistent; it never
        // returns from here, and runs no destructor of the parent's.
        match unsafe { nix::unistd::fork() }.map_err(failed)? {
            ForkResult::Parent { child } => Ok(Self { socket: ours, pid: child }),
            ForkResult::Child => {
                drop(ours);
                serve(&theirs, commands, caller, outputs, post);
                // SAFETY: ends the process without running what is registered for the parent's exit.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// The parent of all that it starts.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw().cast_unsigned()
    }

    /// Readable when it has something to say.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Asks for the start of a command, by its place among those that it was forked with. Only when the one
    /// before has ended.
    ///
    /// # Errors
    /// The launcher is gone.
    pub fn start(&self, command: usize) -> Result<(), Error> {
        let number = u32::try_from(command).unwrap_or(u32::MAX).to_le_bytes();
        send(self.socket.as_raw_fd(), &number, MsgFlags::MSG_NOSIGNAL).map(|_| ()).map_err(gone)
    }

    /// What it has to say; `None`: nothing yet.
    ///
    /// # Errors
    /// The launcher is gone.
    pub fn hear(&self) -> Result<Option<Said>, Error> {
        let mut message = [0; MAX_MESSAGE];
        match recv(self.socket.as_raw_fd(), &mut message, MsgFlags::MSG_DONTWAIT) {
            Ok(0) => Err(gone(nix::Error::EPIPE)),
            Ok(n) => {
                decode(message.get(..n).unwrap_or(&[])).map(Some).ok_or_else(|| gone(nix::Error::EPROTO))
            }
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => Ok(None),
            Err(error) => Err(gone(error)),
        }
    }
}

fn gone(error: nix::Error) -> Error {
    Error::io("the process that starts the commands is gone", error)
}

impl Drop for Launcher {
    /// A command that still runs is left alone.
    fn drop(&mut self) {
        let _ = nix::sys::socket::shutdown(self.socket.as_raw_fd(), nix::sys::socket::Shutdown::Both);
        let _ = nix::sys::wait::waitpid(self.pid, None);
    }
}

fn encode(said: &Said) -> Vec<u8> {
    match said {
        Said::Started(pid) => [&[0][..], &pid.to_le_bytes()].concat(),
        Said::Refused { code, why } => {
            let end = (0..=why.len().min(MAX_MESSAGE - 2)).rev().find(|&end| why.is_char_boundary(end));
            [&[1, *code][..], why.as_bytes().get(..end.unwrap_or(0)).unwrap_or(&[])].concat()
        }
        Said::Ended(Ended::Exited(code)) => [&[2][..], &code.to_le_bytes()].concat(),
        Said::Ended(Ended::Killed { signal, core }) => {
            [&[3, u8::from(*core)][..], &signal.to_le_bytes()].concat()
        }
    }
}

fn decode(message: &[u8]) -> Option<Said> {
    let number = |bytes: &[u8]| bytes.try_into().ok().map(i32::from_le_bytes);
    match message {
        [0, pid @ ..] => Some(Said::Started(number(pid)?.cast_unsigned())),
        [1, code, why @ ..] => {
            Some(Said::Refused { code: *code, why: String::from_utf8_lossy(why).into_owned() })
        }
        [2, code @ ..] => Some(Said::Ended(Ended::Exited(number(code)?))),
        [3, core, signal @ ..] => {
            Some(Said::Ended(Ended::Killed { signal: number(signal)?, core: *core != 0 }))
        }
        _ => None,
    }
}

/// The child's life.
fn serve(socket: &OwnedFd, commands: &[Vec<OsString>], caller: &Caller, outputs: Outputs, post: Post) {
    // Ctrl-C is for the commands, which get their own mask back, and for the tracer, which tells us by
    // closing the socket.
    let mut mask = SigSet::empty();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT] {
        mask.add(signal);
    }
    if mask.thread_block().is_err() || silence(outputs).is_err() {
        return;
    }
    let say = |said: Said| send(socket.as_raw_fd(), &encode(&said), MsgFlags::MSG_NOSIGNAL).is_ok();
    loop {
        let mut number = [0; 4];
        match recv(socket.as_raw_fd(), &mut number, MsgFlags::empty()) {
            Ok(4) => {}
            Err(nix::Error::EINTR) => continue,
            _ => return,
        }
        let Some(argv) = commands.get(u32::from_le_bytes(number) as usize) else { return };
        let refused = |error: super::spawn::SpawnError| Said::Refused {
            code: error.exit_code(),
            why: error.to_string(),
        };
        let goes_on = match spawn(argv, caller, false, Some(post)) {
            Err(error) => say(refused(error)),
            Ok(mut child) => match child.execution(None) {
                Execution::Failed(error) => say(refused(error)),
                Execution::Pending | Execution::Done => {
                    say(Said::Started(child.pid))
                        && wait(&mut child, socket).is_some_and(|ended| say(Said::Ended(ended)))
                }
            },
        };
        if !goes_on {
            return;
        }
    }
}

/// Waits for a command's end; `None` where the tracer went first.
fn wait(child: &mut Spawned, socket: &OwnedFd) -> Option<Ended> {
    loop {
        let mut fds = [
            PollFd::new(child.pidfd.as_fd(), PollFlags::POLLIN),
            PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) | Err(nix::Error::EINTR) => {}
            Err(_) => return None,
        }
        let closed = fds.get(1).and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
        if let Ok(Some(ended)) = child.try_wait() {
            return Some(ended);
        }
        // Nothing is asked of us while a command runs: what comes is the end of the connection.
        if closed {
            return None;
        }
    }
}

fn silence(outputs: Outputs) -> std::io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let fds = if outputs == Outputs::Dropped { &[0, 1, 2][..] } else { &[0] };
    for fd in fds {
        // SAFETY: takes two numbers; both descriptors are this process's own.
        if unsafe { libc::dup2(null.as_raw_fd(), *fd) } < 0 {
            return Err(std::io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_as_they_were() {
        for said in [
            Said::Started(4242),
            Said::Refused { code: 127, why: "no such file".into() },
            Said::Refused { code: 125, why: String::new() },
            Said::Ended(Ended::Exited(-1)),
            Said::Ended(Ended::Killed { signal: 9, core: true }),
        ] {
            assert_eq!(decode(&encode(&said)), Some(said));
        }
        let long = Said::Refused { code: 1, why: "é".repeat(MAX_MESSAGE) };
        assert!(encode(&long).len() <= MAX_MESSAGE);
        assert!(matches!(decode(&encode(&long)), Some(Said::Refused { code: 1, .. })));
        for wrong in [&[][..], &[0], &[0, 1, 2], &[9], &[2, 0, 0, 0, 0, 0], &[3, 1]] {
            assert_eq!(decode(wrong), None);
        }
    }
}
