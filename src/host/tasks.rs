//! What the threads of a running process do at this moment, from `/proc`.
//!
//! `/proc/PID/task/TID/syscall` (proc(5)) has the system call and its arguments of a thread that is off
//! its CPU. It costs the thread nothing: nothing is stopped and nothing traced.

use crate::event::task::Usage;
use crate::sort::SortSmall;
use crate::timeline::world::{Doing, TaskNow};
use crate::trace::text;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;

/// Threads that are looked at; where there are more, the others are taken to be as these.
const MAX_TASKS: usize = 512;
/// A process's table of internet sockets is read up to this size.
const MAX_TABLE: u64 = 4 << 20;
/// What the kernel says of an epoll descriptor, likewise.
const MAX_FDINFO: u64 = 256 << 10;
/// Members of a set that are looked at.
const MAX_SET: usize = 256;
/// Any other file.
const MAX_FILE: u64 = 4096;

const TCP_SYN_SENT: &str = "02";
/// Of a unix socket: it listens (include/linux/net.h).
const SO_ACCEPTCON: u32 = 1 << 16;
const TCP_LISTEN: &str = "0A";

/// The threads of a process, the main one first; `None` where it is gone or not to be looked into.
pub(super) fn now(pid: u32) -> Option<Vec<TaskNow>> {
    let mut tids: Vec<u32> = std::fs::read_dir(format!("/proc/{pid}/task"))
        .ok()?
        .take(MAX_TASKS)
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .collect();
    tids.sort_small_by_key(|tid| (*tid != pid, *tid));
    let mut sockets = Sockets::new(pid);
    let tasks: Vec<TaskNow> = tids.into_iter().filter_map(|tid| task(pid, tid, &mut sockets)).collect();
    (!tasks.is_empty()).then_some(tasks)
}

fn read(path: &str) -> Option<String> {
    read_up_to(path, MAX_FILE)
}

fn read_up_to(path: &str, max: u64) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(max).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn task(pid: u32, tid: u32, sockets: &mut Sockets) -> Option<TaskNow> {
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
    let (born_ns, used) = usage(&dir, &stat).unzip();
    let mut task = TaskNow { tid, running_ns, born_ns, used, ..TaskNow::default() };
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
        (task.doing, task.object) = call.doing(sockets);
        if call.sort() == Sort::Open && opens_fifo(&dir) {
            task.object = call.path(pid);
        }
    }
    if state == 'D' && task.doing != Doing::Child {
        task.doing = Doing::Busy;
    }
    Some(task)
}

/// When a thread was created, and what it has used, by its `stat`, `status` and `io` (proc_pid_stat(5) and the like).
fn usage(dir: &str, stat: &str) -> Option<(u64, Usage)> {
    let (status, io) = (read(&format!("{dir}/status"))?, read(&format!("{dir}/io")));
    parse_usage(stat, &status, io.as_deref())
}

fn parse_usage(stat: &str, status: &str, io: Option<&str>) -> Option<(u64, Usage)> {
    // From the third field on.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |n: usize| fields.get(n.checked_sub(3)?)?.parse::<u64>().ok();
    let line = |text: &str, key: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')?.trim().parse().ok())
    };
    let tick_ns = 1_000_000_000 / super::world::ticks_per_second();
    let used = Usage {
        user_ns: field(14)?.saturating_mul(tick_ns),
        system_ns: field(15)?.saturating_mul(tick_ns),
        minor_faults: field(10)?,
        major_faults: field(12)?,
        voluntary: line(status, "voluntary_ctxt_switches")?,
        involuntary: line(status, "nonvoluntary_ctxt_switches")?,
        read_bytes: io.and_then(|io| line(io, "read_bytes")).unwrap_or(Usage::NOT_KNOWN),
        rss_bytes: field(24)?.saturating_mul(super::memory::page_bytes()),
        threads: u32::try_from(field(20)?).ok()?,
    };
    let born_ns = field(22)?.saturating_mul(tick_ns);
    Some((born_ns.saturating_add_signed(super::clock::offset_ns().saturating_neg()), used))
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

    fn doing(&self, sockets: &mut Sockets) -> (Doing, Option<String>) {
        let sleep = || Doing::Sleep {
            nr: i32::try_from(self.nr).unwrap_or(-1),
            args: [self.args[0], self.args[1], self.args[2]],
        };
        let pid = sockets.pid;
        match self.sort() {
            Sort::Sleep => (sleep(), None),
            Sort::Child => (Doing::Child, self.child()),
            Sort::Lock if self.is_lock() => (Doing::Lock, link(pid, self.args[0])),
            Sort::Connect => (Doing::Peer, sockets.peer(self.args[0]).map(|(_, text)| text)),
            Sort::Read | Sort::Accept => sockets.waited_on(&[self.args[0]]),
            // On nothing, for a time.
            Sort::Poll if self.args[1] == 0 => (sleep(), None),
            Sort::Select if self.args[0] == 0 => (sleep(), None),
            Sort::Poll => sockets.waited_on(&polled(pid, self.args[0], self.args[1])),
            Sort::Select => sockets.waited_on(&selected(pid, self.args[1], self.args[0])),
            Sort::Epoll => sockets.waited_on(&watched(pid, self.args[0])),
            _ => (Doing::Idle, None),
        }
    }

    /// The path that is opened, as the program gave it.
    fn path(&self, pid: u32) -> Option<String> {
        let of_folder = self.nr == libc::SYS_openat;
        let [folder, path] = if of_folder { [self.args[0], self.args[1]] } else { [CWD, self.args[0]] };
        let path = string(pid, path).filter(|path| !path.is_empty())?;
        if path.starts_with('/') {
            return Some(path);
        }
        let folder = if folder as i32 == libc::AT_FDCWD {
            let cwd = std::fs::read_link(format!("/proc/{pid}/cwd")).ok()?;
            text::encode(cwd.as_os_str().as_bytes())
        } else {
            link(pid, folder)?
        };
        Some(format!("{}/{path}", folder.trim_end_matches('/')))
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
    Accept,
    Poll,
    Select,
    Epoll,
    Open,
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
    (libc::SYS_epoll_wait, "epoll_wait", Sort::Epoll),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pause, "pause", Sort::Other),
    (libc::SYS_epoll_pwait, "epoll_pwait", Sort::Epoll),
    (libc::SYS_epoll_pwait2, "epoll_pwait2", Sort::Epoll),
    (libc::SYS_accept, "accept", Sort::Accept),
    (libc::SYS_accept4, "accept4", Sort::Accept),
    (libc::SYS_futex, "futex", Sort::Other),
    (libc::SYS_write, "write", Sort::Other),
    (libc::SYS_writev, "writev", Sort::Other),
    (libc::SYS_sendto, "sendto", Sort::Other),
    (libc::SYS_sendmsg, "sendmsg", Sort::Other),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open", Sort::Open),
    (libc::SYS_openat, "openat", Sort::Open),
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

const CWD: u64 = libc::AT_FDCWD as u64;

/// Does it wait until somebody opens the other end of a FIFO? To look at the file itself could take as long as what it
/// waits for does.
fn opens_fifo(dir: &str) -> bool {
    read(&format!("{dir}/wchan")).is_some_and(|place| matches!(&*place, "wait_for_partner" | "fifo_open"))
}

/// A text in a process's memory.
fn string(pid: u32, address: u64) -> Option<String> {
    const PAGE: u64 = 4096;
    let mut bytes = Vec::new();
    // Up to the ends of two pages: what follows may not be there.
    for _ in 0..2 {
        let at = address.checked_add(bytes.len() as u64)?;
        let page = memory(pid, at, usize::try_from(PAGE - at % PAGE).ok()?);
        bytes.extend_from_slice(&page);
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            return Some(text::encode(bytes.get(..end)?));
        }
    }
    None
}

/// What a descriptor is: its path, or `pipe:[N]` and the like.
fn link(pid: u32, fd: u64) -> Option<String> {
    let fd = u32::try_from(fd).ok()?;
    let target = std::fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok()?;
    Some(text::encode(target.as_os_str().as_bytes()))
}

/// The descriptors of a poll set.
fn polled(pid: u32, address: u64, n: u64) -> Vec<u64> {
    // struct pollfd: a descriptor and two sets of events, eight bytes.
    let bytes = memory(pid, address, 8 * usize::try_from(n).unwrap_or(MAX_SET).min(MAX_SET));
    bytes
        .chunks_exact(8)
        .filter_map(|entry| u64::try_from(i32::from_ne_bytes(entry.get(..4)?.try_into().ok()?)).ok())
        .collect()
}

/// The descriptors of a set of select's, below `n`.
fn selected(pid: u32, address: u64, n: u64) -> Vec<u64> {
    let n = n.min(1024);
    let bytes = memory(pid, address, usize::try_from(n.div_ceil(8)).unwrap_or(0));
    let is_set = |fd: &u64| bytes.get((fd / 8) as usize).is_some_and(|byte| byte >> (fd % 8) & 1 == 1);
    (0..n).filter(is_set).take(MAX_SET).collect()
}

/// The descriptors of an epoll set (`tfd:` lines, proc(5)).
fn watched(pid: u32, fd: u64) -> Vec<u64> {
    let Some(text) = read_up_to(&format!("/proc/{pid}/fdinfo/{fd}"), MAX_FDINFO) else { return Vec::new() };
    let fds =
        text.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next()?.parse().ok());
    fds.take(MAX_SET).collect()
}

fn memory(pid: u32, address: u64, length: usize) -> Vec<u8> {
    use std::os::unix::fs::FileExt;
    let mut bytes = vec![0; length];
    let done =
        File::open(format!("/proc/{pid}/mem")).and_then(|file| file.read_exact_at(&mut bytes, address));
    if done.is_ok() { bytes } else { Vec::new() }
}

/// The sockets of a process's network namespace, read when they are first asked for.
struct Sockets {
    pid: u32,
    tables: Option<Vec<(&'static str, String)>>,
}

impl Sockets {
    fn new(pid: u32) -> Self {
        Self { pid, tables: None }
    }

    fn tables(&mut self) -> &[(&'static str, String)] {
        let pid = self.pid;
        self.tables.get_or_insert_with(|| {
            let table = |name| Some((name, read_up_to(&format!("/proc/{pid}/net/{name}"), MAX_TABLE)?));
            ["tcp", "tcp6", "udp", "udp6", "unix"].into_iter().filter_map(table).collect()
        })
    }

    /// Waiting for any of these: for clients, where one of them listens; for a peer, where that is all.
    fn waited_on(&mut self, fds: &[u64]) -> (Doing, Option<String>) {
        let pid = self.pid;
        let links: Vec<String> = fds.iter().filter_map(|fd| link(pid, *fd)).collect();
        let inodes: Vec<&str> =
            links.iter().filter_map(|link| link.strip_prefix("socket:[")?.strip_suffix(']')).collect();
        if let Some(address) = (!inodes.is_empty()).then(|| self.listening(&inodes)).flatten() {
            return (Doing::Clients, Some(address));
        }
        match (fds, links.first()) {
            ([fd], Some(link)) => match self.peer(*fd) {
                Some((true, text)) => (Doing::Peer, Some(text)),
                Some((false, text)) => (Doing::Idle, Some(text)),
                None => (Doing::Idle, Some(link.clone())),
            },
            _ => (Doing::Idle, None),
        }
    }

    /// The address of the first of these sockets that listens.
    fn listening(&mut self, inodes: &[&str]) -> Option<String> {
        self.tables().iter().find_map(|(table, text)| {
            text.lines().skip(1).find_map(|line| {
                let fields: Vec<&str> = line.split_whitespace().take(11).collect();
                if *table == "unix" {
                    // Number, references, protocol, flags, type, state, inode, path (unix(7)).
                    let listens = u32::from_str_radix(fields.get(3)?, 16).ok()? & SO_ACCEPTCON != 0;
                    let path = fields.get(7).copied().unwrap_or_default();
                    let found = listens && inodes.contains(fields.get(6)?);
                    return found.then(|| format!("unix {}", text::encode(path.as_bytes())));
                }
                let found = *fields.get(3)? == TCP_LISTEN && inodes.contains(fields.get(9)?);
                let address = found.then(|| address(fields.get(1)?)).flatten()?;
                table.starts_with("tcp").then(|| format!("tcp {address}"))
            })
        })
    }

    /// The peer of a connected internet socket, and whether the process turned to it rather than the
    /// other way round: nothing listens on the socket's own port. `None` for anything else.
    fn peer(&mut self, fd: u64) -> Option<(bool, String)> {
        let link = link(self.pid, fd)?;
        let inode = link.strip_prefix("socket:[")?.strip_suffix(']')?;
        self.tables().iter().filter(|(table, _)| *table != "unix").find_map(|(table, text)| {
            among(text, inode)
                .map(|(asked, address)| (asked, format!("{} {address}", table.trim_end_matches('6'))))
        })
    }
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
        let waiting = TcpListener::bind("127.0.0.1:0").unwrap();
        let clients = format!("tcp {}", waiting.local_addr().unwrap());
        let (send, tids) = std::sync::mpsc::channel();
        let tid = || nix::unistd::gettid().as_raw().cast_unsigned();
        let acceptor_told = send.clone();
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
        let told = acceptor_told;
        let knock = waiting.local_addr().unwrap();
        let acceptor = std::thread::spawn(move || {
            told.send(("acceptor", tid())).unwrap();
            let _ = waiting.accept();
        });
        let tids: Vec<(&str, u32)> = (0..4).map(|_| tids.recv().unwrap()).collect();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let tasks = now(std::process::id()).unwrap();
        let of = |name| {
            let (_, tid) = tids.iter().find(|known| known.0 == name).unwrap();
            tasks.iter().find(|task| task.tid == *tid).unwrap()
        };
        assert_eq!(of("client").doing, Doing::Peer);
        assert_eq!(of("client").object, Some(format!("tcp {address}")));
        assert_eq!(of("server").doing, Doing::Idle);
        assert_eq!((&of("acceptor").doing, &of("acceptor").object), (&Doing::Clients, &Some(clients)));
        assert!(matches!(of("sleeper").doing, Doing::Sleep { .. }), "{:?}", of("sleeper"));
        assert!(of("sleeper").call.as_ref().unwrap().ends_with("nanosleep"));
        assert!(of("sleeper").running_ns.is_some());
        server.write_all(b"x").unwrap();
        server.shutdown(std::net::Shutdown::Both).unwrap();
        drop(TcpStream::connect(knock).unwrap());
        for thread in [client, reader, sleeper, acceptor] {
            thread.join().unwrap();
        }
    }

    #[test]
    fn who_opens_a_fifo_is_seen_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let (send, tids) = std::sync::mpsc::channel();
        let opened = path.clone();
        let reader = std::thread::spawn(move || {
            send.send(nix::unistd::gettid().as_raw().cast_unsigned()).unwrap();
            File::open(opened).unwrap();
        });
        let tid = tids.recv().unwrap();
        let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
        let found = loop {
            let task = now(std::process::id()).unwrap().into_iter().find(|task| task.tid == tid).unwrap();
            if task.object.is_some() || std::time::Instant::now() > until {
                break task;
            }
        };
        assert_eq!((found.doing, found.object.as_deref()), (Doing::Idle, path.to_str()));
        File::options().write(true).open(&path).unwrap();
        reader.join().unwrap();
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for line in ["", "running", "-1 0x7ffd 0x7f00", "1 0x1", "1 x 0x1 0x1 0x1 0x1 0x1"] {
            assert_eq!(Call::parse(line), None, "{line}");
        }
        let line = "61 0xffffffffffffffff 0x1 0x0 0x0 0x0 0x0 0x7ffd 0x7f00";
        let call = Call::parse(line).unwrap();
        assert_eq!(
            (call.name().as_str(), call.child()),
            (if cfg!(target_arch = "x86_64") { "wait4" } else { "system call 61" }, None)
        );
    }

    #[test]
    fn addresses_of_the_tables() {
        assert_eq!(address("0100007F:1F90").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(address("00000000000000000000000001000000:0050").as_deref(), Some("[::1]:80"));
        assert_eq!(address("0100007F"), None);
        assert_eq!(address("01000é7F:0050"), None);
    }
}
