//! What the threads of a running process do at this moment, from `/proc`.
//!
//! `/proc/PID/task/TID/syscall` (proc(5)) has the system call and its arguments of a thread that is off
//! its CPU. It costs the thread nothing: nothing is stopped and nothing traced.

use crate::timeline::world::{Doing, TaskNow};
use crate::trace::text;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Threads that are looked at; where there are more, the others are taken to be as these.
const MAX_TASKS: usize = 512;
/// A process's table of internet sockets is read up to this size.
const MAX_TABLE: u64 = 4 << 20;
/// Any other file.
const MAX_FILE: u64 = 4096;

const TCP_SYN_SENT: &str = "02";
const TCP_LISTEN: &str = "0A";

/// The threads of a process, the main one first; `None` where it is gone or not to be looked into.
pub(super) fn now(pid: u32) -> Option<Vec<TaskNow>> {
    let mut tids: Vec<u32> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .ok()?
        .take(MAX_TASKS)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    tids.sort_unstable_by_key(|tid| (*tid != pid, *tid));
    let tasks: Vec<TaskNow> = tids.into_iter().filter_map(|tid| task(pid, tid)).collect();
    (!tasks.is_empty()).then_some(tasks)
}

fn read(path: &str) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MAX_FILE).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn task(pid: u32, tid: u32) -> Option<TaskNow> {
    let dir = format!("/proc/{pid}/task/{tid}");
    let stat = read(&format!("{dir}/stat"))?;
    // The name may hold anything; the last parenthesis ends it.
    let state = stat.rsplit_once(')')?.1.trim_start().chars().next()?;
    // Dead, but not yet gone.
    if matches!(state, 'Z' | 'X') {
        return None;
    }
    let running_ns = read(&format!("{dir}/schedstat"))
        .and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    let mut task = TaskNow { tid, running_ns, ..TaskNow::default() };
    let call = match state {
        'R' => {
            task.doing = Doing::Running;
            return Some(task);
        }
        'T' | 't' => {
            task.doing = Doing::Stopped;
            return Some(task);
        }
        _ => read(&format!("{dir}/syscall")).and_then(|line| Call::parse(&line)),
    };
    if let Some(call) = &call {
        task.call = Some(call.name());
        (task.doing, task.object) = call.doing(pid);
    }
    if state == 'D' && task.doing != Doing::Child {
        task.doing = Doing::Busy;
    }
    Some(task)
}

/// A system call that a thread is in.
#[derive(Debug, PartialEq, Eq)]
struct Call {
    nr: i64,
    args: [u64; 6],
}

impl Call {
    /// `NR 0xARG ... 0xSP 0xPC`; `running`, and `-1 ...` outside of a call, are none.
    fn parse(line: &str) -> Option<Self> {
        let mut parts = line.split_whitespace();
        let nr = parts.next()?.parse().ok().filter(|nr| *nr >= 0)?;
        let mut args = [0; 6];
        for arg in &mut args {
            *arg = u64::from_str_radix(parts.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(Self { nr, args })
    }

    fn name(&self) -> String {
        let known = NAMES.iter().find(|(nr, ..)| *nr == self.nr);
        known.map_or_else(|| format!("system call {}", self.nr), |(_, name, _)| (*name).to_owned())
    }

    fn sort(&self) -> Sort {
        NAMES.iter().find(|(nr, ..)| *nr == self.nr).map_or(Sort::Other, |(.., sort)| *sort)
    }

    fn doing(&self, pid: u32) -> (Doing, Option<String>) {
        let sleep = || Doing::Sleep {
            nr: i32::try_from(self.nr).unwrap_or(-1),
            args: [self.args[0], self.args[1], self.args[2]],
        };
        match self.sort() {
            Sort::Sleep => (sleep(), None),
            Sort::Child => (Doing::Child, self.child()),
            Sort::Lock if self.is_lock() => (Doing::Lock, link(pid, self.args[0])),
            Sort::Connect => (Doing::Peer, peer(pid, self.args[0]).map(|(_, text)| text)),
            Sort::Read => match peer(pid, self.args[0]) {
                Some((true, text)) => (Doing::Peer, Some(text)),
                Some((false, text)) => (Doing::Idle, Some(text)),
                None => (Doing::Idle, link(pid, self.args[0])),
            },
            // On nothing, for a time.
            Sort::Poll if self.args[1] == 0 => (sleep(), None),
            Sort::Select if self.args[0] == 0 => (sleep(), None),
            Sort::Poll if self.args[1] == 1 => match polled(pid, self.args[0]) {
                Some(fd) => match peer(pid, fd) {
                    Some((true, text)) => (Doing::Peer, Some(text)),
                    Some((false, text)) => (Doing::Idle, Some(text)),
                    None => (Doing::Idle, link(pid, fd)),
                },
                None => (Doing::Idle, None),
            },
            _ => (Doing::Idle, None),
        }
    }

    /// wait4's first argument is a pid where it is positive, waitid's second is one for P_PID.
    fn child(&self) -> Option<String> {
        let wanted = if self.nr == libc::SYS_waitid {
            (self.args[0] == 1).then_some(self.args[1])
        } else {
            Some(self.args[0])
        }?;
        let wanted = i32::try_from(wanted).ok().filter(|pid| *pid > 0)?;
        Some(format!("pid {wanted}"))
    }

    /// Of fcntl, only the commands that wait.
    fn is_lock(&self) -> bool {
        let command = i32::try_from(self.args[1]).unwrap_or(-1);
        self.nr == libc::SYS_flock || matches!(command, libc::F_SETLKW | libc::F_OFD_SETLKW)
    }
}

/// What a system call's waiting means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Sleep,
    Child,
    Lock,
    Connect,
    Read,
    Poll,
    Select,
    Other,
}

/// The calls in which programs wait, with what is in their arguments. Numbers are those of this
/// program's own architecture: a 32-bit program's are taken for others, and so for rest.
#[rustfmt::skip]
const NAMES: &[(i64, &str, Sort)] = &[
    (libc::SYS_nanosleep, "nanosleep", Sort::Sleep),
    (libc::SYS_clock_nanosleep, "clock_nanosleep", Sort::Sleep),
    (libc::SYS_wait4, "wait4", Sort::Child),
    (libc::SYS_waitid, "waitid", Sort::Child),
    (libc::SYS_flock, "flock", Sort::Lock),
    (libc::SYS_fcntl, "fcntl", Sort::Lock),
    (libc::SYS_connect, "connect", Sort::Connect),
    (libc::SYS_read, "read", Sort::Read),
    (libc::SYS_readv, "readv", Sort::Read),
    (libc::SYS_recvfrom, "recvfrom", Sort::Read),
    (libc::SYS_recvmsg, "recvmsg", Sort::Read),
    (libc::SYS_ppoll, "ppoll", Sort::Poll),
    (libc::SYS_pselect6, "pselect6", Sort::Select),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "poll", Sort::Poll),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, "select", Sort::Select),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "epoll_wait", Sort::Other),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pause, "pause", Sort::Other),
    (libc::SYS_epoll_pwait, "epoll_pwait", Sort::Other),
    (libc::SYS_epoll_pwait2, "epoll_pwait2", Sort::Other),
    (libc::SYS_accept, "accept", Sort::Other),
    (libc::SYS_accept4, "accept4", Sort::Other),
    (libc::SYS_futex, "futex", Sort::Other),
    (libc::SYS_write, "write", Sort::Other),
    (libc::SYS_writev, "writev", Sort::Other),
    (libc::SYS_sendto, "sendto", Sort::Other),
    (libc::SYS_sendmsg, "sendmsg", Sort::Other),
    (libc::SYS_openat, "openat", Sort::Other),
    (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait", Sort::Other),
    (libc::SYS_rt_sigsuspend, "rt_sigsuspend", Sort::Other),
    (libc::SYS_semtimedop, "semtimedop", Sort::Other),
    (libc::SYS_msgrcv, "msgrcv", Sort::Other),
    (libc::SYS_io_getevents, "io_getevents", Sort::Other),
    (libc::SYS_io_uring_enter, "io_uring_enter", Sort::Other),
    (libc::SYS_fsync, "fsync", Sort::Other),
    (libc::SYS_fdatasync, "fdatasync", Sort::Other),
    (libc::SYS_ioctl, "ioctl", Sort::Other),
];

/// What a descriptor is: its path, or `pipe:[N]` and the like.
fn link(pid: u32, fd: u64) -> Option<String> {
    let fd = u32::try_from(fd).ok()?;
    let target = std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(text::encode(target.as_os_str().as_bytes()))
}

/// The descriptor of the only entry of a poll set.
fn polled(pid: u32, address: u64) -> Option<u64> {
    use std::os::unix::fs::FileExt;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut fd = [0; 4];
    memory.read_exact_at(&mut fd, address).ok()?;
    u64::try_from(i32::from_ne_bytes(fd)).ok()
}

/// The peer of a connected internet socket, and whether the process turned to it rather than the other
/// way round: nothing listens on the socket's own port. `None` for anything else.
fn peer(pid: u32, fd: u64) -> Option<(bool, String)> {
    let link = link(pid, fd)?;
    let inode = link.strip_prefix("socket:[")?.strip_suffix(']')?;
    ["tcp", "tcp6", "udp", "udp6"].iter().find_map(|table| {
        let path = format!("/proc/{pid}/net/{table}");
        let mut bytes = Vec::new();
        File::open(Path::new(&path)).ok()?.take(MAX_TABLE).read_to_end(&mut bytes).ok()?;
        among(&String::from_utf8_lossy(&bytes), inode)
            .map(|(asked, address)| (asked, format!("{} {address}", table.trim_end_matches('6'))))
    })
}

/// Looks a socket up in one of the kernel's tables (`/proc/net/tcp`, proc(5)).
fn among(table: &str, inode: &str) -> Option<(bool, String)> {
    let rows = || {
        table.lines().skip(1).filter_map(|line| {
            let mut fields = line.split_whitespace();
            let (local, remote, state) = (fields.nth(1)?, fields.next()?, fields.next()?);
            Some((local, remote, state, fields.nth(5)?))
        })
    };
    let (local, remote, state, _) = rows().find(|row| row.3 == inode)?;
    let address = address(remote)?;
    if state == TCP_SYN_SENT {
        return Some((true, address));
    }
    if remote.rsplit_once(':')?.1 == "0000" {
        return None;
    }
    let port = local.rsplit_once(':')?.1;
    let listening = rows().any(|row| row.2 == TCP_LISTEN && row.0.ends_with(&format!(":{port}")));
    Some((!listening, address))
}

/// `0100007F:1F90` is 127.0.0.1:8080: words of four bytes in the machine's order, the port in hex.
fn address(text: &str) -> Option<String> {
    let (ip, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words: Vec<[u8; 4]> = (0..ip.len() / 8)
        .map(|at| Some(u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok()?.to_ne_bytes()))
        .collect::<Option<_>>()?;
    let ip: std::net::IpAddr = match words[..] {
        [v4] => v4.into(),
        [a, b, c, d] => {
            let bytes: Vec<u8> = [a, b, c, d].concat();
            <[u8; 16]>::try_from(bytes).ok()?.into()
        }
        _ => return None,
    };
    Some(std::net::SocketAddr::new(ip, port).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn our_own_threads_are_seen_with_what_they_wait_for() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (send, tids) = std::sync::mpsc::channel();
        let tid = || nix::unistd::gettid().as_raw().cast_unsigned();
        let told = send.clone();
        let client = std::thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            told.send(("client", tid())).unwrap();
            let _ = std::io::Read::read(&mut stream, &mut [0]);
        });
        let (mut server, _) = listener.accept().unwrap();
        let mut copy = server.try_clone().unwrap();
        let told = send.clone();
        let reader = std::thread::spawn(move || {
            told.send(("server", tid())).unwrap();
            let _ = std::io::Read::read(&mut copy, &mut [0]);
        });
        let sleeper = std::thread::spawn(move || {
            send.send(("sleeper", tid())).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(400));
        });
        let tids: Vec<(&str, u32)> = (0..3).map(|_| tids.recv().unwrap()).collect();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let tasks = now(std::process::id()).unwrap();
        let of = |name| {
            let (_, tid) = tids.iter().find(|known| known.0 == name).unwrap();
            tasks.iter().find(|task| task.tid == *tid).unwrap()
        };
        assert_eq!(of("client").doing, Doing::Peer);
        assert_eq!(of("client").object, Some(format!("tcp {address}")));
        assert_eq!(of("server").doing, Doing::Idle);
        assert!(matches!(of("sleeper").doing, Doing::Sleep { .. }), "{:?}", of("sleeper"));
        assert!(of("sleeper").call.as_ref().unwrap().ends_with("nanosleep"));
        assert!(of("sleeper").running_ns.is_some());
        server.write_all(b"x").unwrap();
        server.shutdown(std::net::Shutdown::Both).unwrap();
        for thread in [client, reader, sleeper] {
            thread.join().unwrap();
        }
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for line in ["", "running", "-1 0x7ffd 0x7f00", "1 0x1", "1 x 0x1 0x1 0x1 0x1 0x1"] {
            assert_eq!(Call::parse(line), None, "{line}");
        }
        let line = "61 0xffffffffffffffff 0x1 0x0 0x0 0x0 0x0 0x7ffd 0x7f00";
        let call = Call::parse(line).unwrap();
        assert_eq!((call.name().as_str(), call.child()), (if cfg!(target_arch = "x86_64") { "wait4" } else { "system call 61" }, None));
    }

    #[test]
    fn addresses_of_the_tables() {
        assert_eq!(address("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(address("00000000000000000000000001000000:0050").as_deref(), Some("[::1]:80"));
        assert_eq!(address("0100007F"), None);
        assert_eq!(address("01000é7F:0050"), None);
    }
}
