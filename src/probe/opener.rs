//! Opens the perf events of uprobes once we have given up the right to.
//!
//! Kernels of some distributions (Debian, Ubuntu) refuse every perf event to whoever lacks CAP_SYS_ADMIN while
//! `kernel.perf_event_paranoid` is above 2, which it is there from the beginning; CAP_PERFMON does not count. Since
//! Linux 6.6 a uprobe needs no perf event. Before, what a program brings along in the middle of a recording (a loader, an
//! interpreter) could not be probed any more by a recorder that keeps only what it should.
//!
//! So there a child of ours, forked before anything is attached, keeps that one capability, as the caller and without
//! any other. It opens uprobes and nothing else: its input is a file's descriptor and three numbers, its output the
//! event's descriptor; it reads nothing of what is traced, and holds no other file. It goes when its socket closes.

use super::Error;
use crate::host::guard::hold_only;
use crate::host::owner::Owner;
use crate::host::privilege::{self, Capability};
use crate::stderr::tell;
use anyhow::Context;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};
use nix::unistd::{ForkResult, Pid};
use std::fs;
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::Path;

/// Shown by ps(1).
const NAME: &std::ffi::CStr = c"startrace-probe";
const SOURCE: &str = "/sys/bus/event_source/devices/uprobe";

/// An instruction of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) offset: u64,
    /// Of the counter that goes up with the probe; 0: none.
    pub(super) semaphore: u64,
    pub(super) retprobe: bool,
}

impl Asked {
    const LENGTH: usize = 17;

    fn encode(self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.offset.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.semaphore.to_le_bytes());
        bytes[16] = u8::from(self.retprobe);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().ok()?;
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_le_bytes);
        Some(Self { offset: number(0)?, semaphore: number(8)?, retprobe: bytes[16] != 0 })
    }
}

/// The child.
#[derive(Debug)]
pub struct Opener {
    socket: OwnedFd,
    pid: Pid,
}

impl Opener {
    /// Forks it, where it is needed and can do something. To be called in a process of one thread, before privileges
    /// are dropped and anything is attached: the programs would take it for what is traced.
    ///
    /// # Errors
    /// No process or no socket is to be had.
    pub(super) fn fork_if_needed(owner: &Owner) -> Result<Option<Self>, Error> {
        let has = privilege::status().map_err(anyhow::Error::from)?;
        if !privilege::perf_is_strict(Path::new("/")) || has.effective & Capability::SysAdmin.bit() == 0 {
            return Ok(None);
        }
        Self::fork(owner)
            .context("cannot make the process that opens uprobes")
            .map(Some)
            .map_err(Error::Other)
    }

    fn fork(owner: &Owner) -> nix::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags)?;
        // SAFETY: there is one thread, so that the child's copy of the memory is consistent; it never returns
        // from here, and runs no destructor of the parent's.
        match unsafe { nix::unistd::fork() }? {
            ForkResult::Parent { child } => Ok(Self { socket: ours, pid: child }),
            ForkResult::Child => {
                serve(&theirs, owner);
                // SAFETY: ends the process without running what is registered for the parent's exit.
                unsafe { libc::_exit(0) }
            }
        }
    }

    /// The event of a probe in a file.
    pub(super) fn open(&self, file: BorrowedFd<'_>, asked: Asked) -> nix::Result<OwnedFd> {
        send(self.socket.as_fd(), &asked.encode(), Some(file))?;
        let mut answer = [0; 4];
        let (length, event) = receive(self.socket.as_fd(), &mut answer)?;
        match (length, event) {
            (4, Some(event)) => Ok(event),
            (4, None) => Err(Errno::from_raw(i32::from_le_bytes(answer))),
            // It is gone.
            _ => Err(Errno::EPIPE),
        }
    }
}

impl Drop for Opener {
    fn drop(&mut self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        while nix::sys::wait::waitpid(self.pid, None) == Err(Errno::EINTR) {}
    }
}

/// The child's life.
fn serve(socket: &OwnedFd, owner: &Owner) {
    // What is sent to the terminal's or the tracer's group is not for us.
    let _ = SigSet::all().thread_block();
    let _ = nix::unistd::setsid();
    let _ = nix::unistd::chdir("/");
    // SAFETY: a NUL-terminated name that lives for ever.
    let _ = unsafe { libc::prctl(libc::PR_SET_NAME, NAME.as_ptr()) };
    if let Err(error) = privilege::keep_only(owner, Capability::SysAdmin.bit()) {
        tell!("startrace: what a program brings along will not be probed: {error}");
        return;
    }
    let Some(socket) = hold_only(socket) else { return };
    let mut asked = [0; Asked::LENGTH];
    while let Ok((length, file)) = receive(socket.as_fd(), &mut asked) {
        let (Some(asked), Some(file)) = (asked.get(..length).and_then(Asked::decode), file) else { return };
        let event = event(&file, asked);
        let error = event.as_ref().err().map_or(0, |&error| error as i32);
        if send(socket.as_fd(), &error.to_le_bytes(), event.as_ref().ok().map(AsFd::as_fd)).is_err() {
            return;
        }
    }
}

fn send(socket: BorrowedFd<'_>, bytes: &[u8], with: Option<BorrowedFd<'_>>) -> nix::Result<()> {
    let fds: Vec<i32> = with.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&fds)];
    let rights = if fds.is_empty() { &[][..] } else { &rights };
    sendmsg::<()>(socket.as_raw_fd(), &[IoSlice::new(bytes)], rights, MsgFlags::MSG_NOSIGNAL, None).map(drop)
}

/// How many bytes came, and the descriptor with them.
fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> nix::Result<(usize, Option<OwnedFd>)> {
    let mut space = cmsg_space!([i32; 1]);
    let mut parts = [IoSliceMut::new(bytes)];
    loop {
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = match recvmsg::<()>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) {
            Err(Errno::EINTR) => continue,
            other => other?,
        };
        let mut came = None;
        for part in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = part {
                // SAFETY: the kernel has just made them for us; nobody else owns them.
                came = fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).next_back();
            }
        }
        return Ok((message.bytes, came));
    }
}

/// Asks the kernel for it.
fn event(file: &OwnedFd, asked: Asked) -> nix::Result<OwnedFd> {
    use libbpf_rs::libbpf_sys as sys;
    const CLOEXEC: libc::c_ulong = 8;
    let setting = |name: &str| fs::read_to_string(format!("{SOURCE}/{name}")).ok();
    let kind = setting("type").and_then(|text| text.trim().parse().ok()).ok_or(Errno::ENODEV)?;
    let first_bit = |name: &str| {
        let text = setting(&format!("format/{name}"))?;
        let bits = text.trim().strip_prefix("config:")?;
        bits.split('-').next()?.parse::<u32>().ok().filter(|&bit| bit < 64)
    };
    let mut config = 0;
    if asked.retprobe {
        config |= 1 << first_bit("retprobe").ok_or(Errno::EOPNOTSUPP)?;
    }
    if asked.semaphore != 0 {
        let bit = first_bit("ref_ctr_offset").ok_or(Errno::EOPNOTSUPP)?;
        config |= u64::from(u32::try_from(asked.semaphore).map_err(|_| Errno::ERANGE)?) << bit;
    }
    // By descriptor: no link is followed, and no other file is there by now.
    let path =
        std::ffi::CString::new(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(|_| Errno::EINVAL)?;
    let mut attr = sys::perf_event_attr {
        type_: kind,
        size: size_of::<sys::perf_event_attr>() as u32,
        config,
        ..Default::default()
    };
    attr.__bindgen_anon_3.uprobe_path = path.as_ptr() as u64;
    attr.__bindgen_anon_4.probe_offset = asked.offset;
    // SAFETY: the attribute and the path that it leads to are whole and live across the call. Any task, first CPU: a
    // program that is attached to a uprobe's event runs on every CPU.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, 0, -1, CLOEXEC) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: perf_event_open has just made it; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_arrives() {
        let asked = Asked { offset: 0x1234, semaphore: 7, retprobe: true };
        assert_eq!(Asked::decode(&asked.encode()), Some(asked));
        assert_eq!(Asked::decode(&asked.encode()[1..]), None);
        assert_eq!(Asked::decode(&[]), None);
    }

    #[test]
    fn descriptors_go_over_the_socket() {
        let flags = SockFlag::SOCK_CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::Unix, SockType::SeqPacket, None, flags).unwrap();
        let file = fs::File::open("/proc/self/exe").unwrap();
        send(ours.as_fd(), b"with", Some(file.as_fd())).unwrap();
        send(ours.as_fd(), b"none", None).unwrap();
        drop(ours);
        let mut bytes = [0; 8];
        let (length, fd) = receive(theirs.as_fd(), &mut bytes).unwrap();
        let same = |fd: OwnedFd| {
            use std::os::unix::fs::MetadataExt;
            fs::File::from(fd).metadata().unwrap().ino() == file.metadata().unwrap().ino()
        };
        assert_eq!((bytes.get(..length), fd.map(same)), (Some(&b"with"[..]), Some(true)));
        assert!(matches!(receive(theirs.as_fd(), &mut bytes), Ok((4, None))));
        assert!(matches!(receive(theirs.as_fd(), &mut bytes), Ok((0, None))));
    }
}
