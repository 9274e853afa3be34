use super::within::module;
use super::*;
use crate::event::task::{Mark, Moment, Wait, Waker};

fn bytes_of<T: Plain>(value: &T) -> Vec<u8> {
    // SAFETY: a Plain type has no padding, so every byte is initialised.
    unsafe { std::slice::from_raw_parts((value as *const T).cast::<u8>(), size_of::<T>()) }.to_vec()
}

fn exec_record(strings: [&[u8]; 6], argc: u32, argv_true: u64) -> Vec<u8> {
    let mut ev = wire::event_exec {
        filename_len: strings[0].len() as u32,
        interp_len: strings[1].len() as u32,
        exe_len: strings[2].len() as u32,
        cwd_len: strings[3].len() as u32,
        within_len: strings[4].len() as u32,
        argv_len: strings[5].len() as u32,
        argc,
        argv_true,
        ..Default::default()
    };
    ev.head.kind = wire::event_kind::EVENT_EXEC.0;
    ev.head.pid = 7;
    let mut bytes = bytes_of(&ev);
    for s in strings {
        bytes.extend_from_slice(s);
    }
    let size = bytes.len() as u32;
    bytes[16..20].copy_from_slice(&size.to_ne_bytes());
    bytes
}

fn as_exec(bytes: &[u8]) -> Exec {
    match record(bytes).unwrap().what {
        What::Exec(exec) => *exec,
        other => panic!("{other:?}"),
    }
}

#[test]
fn exec_strings_are_told_apart() {
    let bytes = exec_record(
        [
            b"./run\0",
            b"/bin/sh\0",
            b"dash\0bin\0usr\0",
            b"srv\0",
            b"dash\0bin\0r\0",
            b"/bin/sh\0./run\0\0x\xff\0",
        ],
        4,
        18,
    );
    let exec = as_exec(&bytes);
    assert_eq!(exec.path.as_deref(), Some("./run"));
    assert_eq!(exec.interpreter.as_deref(), Some("/bin/sh"));
    assert_eq!(exec.exe.as_deref(), Some("/usr/bin/dash"));
    assert_eq!(exec.cwd.as_deref(), Some("/srv"));
    assert_eq!(exec.within.as_deref(), Some("/r/bin/dash"));
    assert_eq!(exec.argv.unwrap(), ["/bin/sh", "./run", "", "x\u{efff}"]);
    assert!(!exec.argv_truncated);
}

#[test]
fn a_truncated_argument_area_says_so() {
    let exec = as_exec(&exec_record([b"a\0", b"", b"a\0", b"", b"", b"a\0bcd"], 9, 1000));
    assert!(exec.argv_truncated);
    assert_eq!(exec.argv.unwrap(), ["a", "bcd"]);
    assert_eq!(exec.argv_bytes, 1000);
    assert_eq!((exec.cwd.as_deref(), exec.within), (Some("/"), None));
}

#[test]
fn a_group_is_in_front_or_behind_only_of_a_terminal() {
    let known = wire::fact::FACT_FOREGROUND_KNOWN.0;
    for (facts, want) in
        [(0, None), (known, Some(false)), (known | wire::fact::FACT_FOREGROUND.0, Some(true))]
    {
        let mut bytes = exec_record([b"a\0", b"", b"a\0", b"", b"", b"a\0"], 1, 2);
        let mut put = |at: usize, n: u32| bytes[at..at + 4].copy_from_slice(&n.to_ne_bytes());
        put(offset_of!(wire::event_exec, facts), facts);
        put(offset_of!(wire::event_exec, group), 42);
        let exec = as_exec(&bytes);
        assert_eq!((exec.group, exec.foreground), (Some(42), want), "{facts:#x}");
    }
}

#[test]
fn every_cut_of_a_record_is_an_error_and_never_a_panic() {
    let bytes = exec_record([b"a\0", b"", b"a\0", b"", b"", b"a\0"], 1, 2);
    for len in 0..bytes.len() {
        assert!(matches!(record(&bytes[..len]), Err(Error::Short { .. })), "{len}");
    }
    assert!(record(&bytes).is_ok());
}

#[test]
fn an_unknown_kind_is_named() {
    let mut head = wire::event_head { kind: 99, size: 32, ..Default::default() };
    assert_eq!(record(&bytes_of(&head)), Err(Error::Kind(99)));
    head.kind = wire::event_kind::EVENT_FORK.0;
    assert_eq!(record(&bytes_of(&head)), Err(Error::Short { kind: 1, len: 32 }));
}

#[test]
fn a_process_that_made_itself_is_refused() {
    let mut ev = wire::event_fork { parent_pid: 6, real_parent_pid: 6, ..Default::default() };
    (ev.head.kind, ev.head.pid) = (wire::event_kind::EVENT_FORK.0, 7);
    assert!(record(&bytes_of(&ev)).is_ok());
    ev.real_parent_pid = 7;
    assert_eq!(record(&bytes_of(&ev)), Err(Error::OwnParent { pid: 7 }));
    (ev.parent_pid, ev.real_parent_pid) = (7, 6);
    assert_eq!(record(&bytes_of(&ev)), Err(Error::OwnParent { pid: 7 }));
    // As a number that was used again: another process.
    ev.head.birth_ns = 1;
    assert!(record(&bytes_of(&ev)).is_ok());
}

#[test]
fn a_modules_name_is_one_or_is_not_known() {
    assert_eq!(module(b"os.path", 0, false).as_deref(), Some("os.path"));
    assert_eq!(module(b"", 2, false).as_deref(), Some(".."));
    assert_eq!(module("größe".as_bytes(), 1, false).as_deref(), Some(".größe"));
    assert_eq!(module(&"größe".as_bytes()[..3], 0, true).as_deref(), Some("gr..."));
    for odd in [&b""[..], b"\x1b[2J", b"a b", b"\xff\xfe", b"x\n"] {
        assert_eq!(module(odd, 0, false), None, "{odd:?}");
    }
    let mut ev = wire::event_import { step: 9, ..Default::default() };
    ev.head.kind = wire::event_kind::EVENT_IMPORT.0;
    assert_eq!(record(&bytes_of(&ev)), Err(Error::Kind(9)));
    (ev.step, ev.name_len) = (2, u32::MAX);
    assert!(record(&bytes_of(&ev)).is_ok());
}

#[test]
fn a_file_is_decoded_whatever_it_says() {
    let mut ev = wire::event_file { op: 1, result: -2, path_len: 6, bytes: 7, ..Default::default() };
    ev.head.kind = wire::event_kind::EVENT_FILE.0;
    let mut bytes = bytes_of(&ev);
    bytes.extend_from_slice(b"/x\xff/y\0");
    let call = match record(&bytes).unwrap().what {
        What::File(call) => *call,
        other => panic!("{other:?}"),
    };
    assert_eq!((call.error, call.bytes, call.path.as_deref()), (Some(2), None, Some("/x\u{efff}/y")));
    ev.result = i32::MIN;
    ev.path_len = u32::MAX;
    assert!(matches!(record(&bytes_of(&ev)).unwrap().what, What::File(call) if call.path.is_none()));
    ev.op = 0;
    assert_eq!(record(&bytes_of(&ev)), Err(Error::Kind(0)));
}

#[test]
fn a_signal_is_decoded_with_its_sender() {
    // SAFETY: all bit patterns are values.
    let mut ev: wire::event_signal = unsafe { std::mem::zeroed() };
    ev.head.kind = wire::event_kind::EVENT_SIGNAL.0;
    (ev.head.pid, ev.signal, ev.sender_pid, ev.sender_birth_ns) = (7, 15, 8, 9);
    let event = record(&bytes_of(&ev)).unwrap();
    let by = Id { pid: 8, birth_ns: 9 };
    assert_eq!(event.id.pid, 7);
    assert_eq!(event.what, What::Signal { signal: 15, by, comm: String::new() });
    assert!(record(&bytes_of(&ev)[..63]).is_err());
}

#[test]
fn a_connection_is_decoded_whatever_it_says() {
    // SAFETY: all bit patterns are values.
    let mut ev: wire::event_connect = unsafe { std::mem::zeroed() };
    ev.head.kind = wire::event_kind::EVENT_CONNECT.0;
    ev.facts = wire::fact::FACT_SOCK.0;
    ev.sock.family = 1;
    ev.failed = 1;
    ev.error = 111;
    ev.path_len = 6;
    let of = |ev: &wire::event_connect, name: &[u8]| {
        let bytes = [bytes_of(ev), name.to_vec()].concat();
        match record(&bytes).unwrap().what {
            What::Connect(connect) => *connect,
            other => panic!("{other:?}"),
        }
    };
    let told = of(&ev, b"/a/b\0c");
    assert_eq!((told.path.as_deref(), told.error, told.since_ns), (Some("/a/b"), Some(111), None));
    assert_eq!(of(&ev, b"\0x\xffy\0z").path.as_deref(), Some("@x\u{efff}y"));
    assert_eq!(of(&ev, b"").path, None);
    for error in [i32::MIN, -1, 0, i32::MAX] {
        ev.error = error;
        assert_eq!(of(&ev, b"").error, None);
    }
}

#[test]
fn a_sample_has_two_stacks() {
    let mut ev = wire::event_sample { kernel_len: 8, user_len: 24, ..Default::default() };
    ev.head.kind = wire::event_kind::EVENT_SAMPLE.0;
    let mut bytes = bytes_of(&ev);
    for address in [u64::MAX, 1, 2, 0] {
        bytes.extend_from_slice(&address.to_ne_bytes());
    }
    let sample = |bytes: &[u8]| match record(bytes).unwrap().what {
        What::Sample(sample) => *sample,
        other => panic!("{other:?}"),
    };
    assert_eq!(sample(&bytes), Sample { kernel: vec![u64::MAX], user: vec![1, 2] });
    (ev.kernel_len, ev.user_len) = (u32::MAX, u32::MAX);
    assert_eq!(sample(&bytes_of(&ev)), Sample::default());
}

#[test]
fn lengths_that_lie_are_held_to_the_record() {
    let mut bytes = exec_record([b"a\0", b"", b"a\0", b"", b"", b"a\0"], u32::MAX, u64::MAX);
    let at = offset_of!(wire::event_exec, filename_len);
    for field in 0..6 {
        bytes[at + 4 * field..at + 4 * field + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
    }
    let exec = as_exec(&bytes);
    assert_eq!(exec.argv.unwrap(), Vec::<String>::new());
    assert!(exec.argv_truncated);
}

/// A record of which only what `set` sets is not zero, with what follows it.
fn of<T: Plain + Default>(kind: wire::event_kind, set: impl FnOnce(&mut T), tail: &[u8]) -> What {
    let mut ev = T::default();
    set(&mut ev);
    let mut bytes = bytes_of(&ev);
    bytes[offset_of!(wire::event_head, kind)..][..4].copy_from_slice(&kind.0.to_ne_bytes());
    bytes.extend_from_slice(tail);
    record(&bytes).unwrap().what
}

fn letters(text: &str) -> [i8; 16] {
    std::array::from_fn(|at| text.as_bytes().get(at).map_or(0, |byte| byte.cast_signed()))
}

fn wait_of(set: impl FnOnce(&mut wire::event_wait), tail: &[u8]) -> Wait {
    match of(wire::event_kind::EVENT_WAIT, set, tail) {
        What::Wait(wait) => *wait,
        other => panic!("{other:?}"),
    }
}

fn mark_of(set: impl FnOnce(&mut wire::event_mark), tail: &[u8]) -> Mark {
    match of(wire::event_kind::EVENT_MARK, set, tail) {
        What::Mark(mark) => *mark,
        other => panic!("{other:?}"),
    }
}

fn place_of(kind: WaitKind) -> u32 {
    WaitKind::ALL.iter().position(|known| *known == kind).unwrap() as u32
}

#[test]
fn a_wait_is_decoded_with_what_is_known_of_it() {
    let nothing = wait_of(|ev| (ev.nr, ev.off_ns) = (-1, 5), b"");
    assert_eq!((nothing.off_ns, nothing.wake_ns, nothing.nr), (5, None, None));
    assert_eq!((nothing.fd, nothing.inode, nothing.path, nothing.socket), (None, None, None, None));
    assert_eq!((nothing.waker, nothing.rival, nothing.timeout_ns), (Waker::Unknown, None, None));
    let full = wait_of(
        |ev| {
            ev.kind = place_of(WaitKind::Pipe);
            (ev.off_ns, ev.wake_ns, ev.timeout_ns, ev.nr, ev.args) = (1, 2, 3, 0, [4, 5, 6]);
            (ev.fd, ev.fd_kind, ev.inode) = (7, wire::fd_kind::FD_PIPE.0, 8);
            (ev.rival_pid, ev.rival_comm, ev.rival_ns) = (9, letters("cc1"), 10);
            ev.facts = wire::fact::FACT_IOWAIT.0
                | wire::fact::FACT_UNINTERRUPTIBLE.0
                | wire::fact::FACT_SIGNAL.0
                | wire::fact::FACT_WAKER_EXACT.0
                | wire::fact::FACT_PATH_CUT.0;
            ev.path_len = 5;
            ev.spent.running_ns = 11;
            ev.spent.blocked_ns[place_of(WaitKind::Disk) as usize] = 12;
        },
        b"a\0bc\0",
    );
    assert_eq!((full.kind, full.wake_ns, full.timeout_ns), (WaitKind::Pipe, Some(2), Some(3)));
    assert_eq!((full.nr, full.args, full.fd, full.inode), (Some(0), [4, 5, 6], Some(7), Some(8)));
    assert_eq!((full.rival, full.rival_ns), (Some((9, "cc1".to_owned())), Some(10)));
    assert!(full.iowait && full.uninterruptible && full.signal && full.waker_exact && !full.compat);
    assert_eq!(full.path.as_deref(), Some(".../bc/a"));
    assert_eq!((full.spent.running_ns, full.spent.blocked), (11, vec![(WaitKind::Disk, 12)]));
}

#[test]
fn what_a_wait_was_on_is_named_by_what_it_is() {
    let path = |kind: wire::fd_kind, family: i32, fd: u32, tail: &[u8]| {
        let set = |ev: &mut wire::event_wait| {
            (ev.fd_kind, ev.fd, ev.facts) = (kind.0, fd, wire::fact::FACT_SOCK.0);
            (ev.sock.family, ev.path_len) = (family as u16, tail.len() as u32);
        };
        let wait = wait_of(set, tail);
        (wait.path, wait.fd, wait.is_pipe)
    };
    let named = |name: &str| Some(name.to_owned());
    // The name of a unix socket is in one piece.
    let unix = |tail: &[u8]| path(wire::fd_kind::FD_SOCKET, libc::AF_UNIX, 3, tail);
    assert_eq!(unix(b"/run/s\0"), (named("/run/s"), Some(3), false));
    assert_eq!(unix(b"\0bus\0\0"), (named("@bus"), Some(3), false));
    assert_eq!(unix(b""), (None, Some(3), false));
    // Within a walk along a path there is no descriptor yet.
    let walk = |kind, tail: &[u8]| path(kind, 0, u32::MAX, tail);
    assert_eq!(walk(wire::fd_kind::FD_PIPE, b"fifo\0run\0"), (named("/run/fifo"), None, true));
    assert_eq!(walk(wire::fd_kind::FD_FOLDER, b"lib\0usr\0"), (named("/usr/lib/"), None, false));
    assert_eq!(walk(wire::fd_kind::FD_FOLDER, b"\0"), (named("/"), None, false));
    assert_eq!(path(wire::fd_kind::FD_NULL, 0, 3, b""), (named("/dev/null"), Some(3), false));
}

#[test]
fn kinds_of_waits_that_are_none_are_others() {
    for (at, kind) in WaitKind::ALL.into_iter().enumerate() {
        assert_eq!(wait_of(|ev| ev.kind = at as u32, b"").kind, kind);
    }
    for none in [WaitKind::ALL.len() as u32, u32::MAX] {
        assert_eq!(wait_of(|ev| ev.kind = none, b"").kind, WaitKind::Other);
    }
    // From that device come random numbers, and from another not.
    let device = |path: &[u8]| {
        let set = |ev: &mut wire::event_wait| (ev.kind, ev.path_len) = (place_of(WaitKind::Device), 64);
        wait_of(set, path).kind
    };
    assert_eq!(device(b"random\0dev\0"), WaitKind::Random);
    assert_eq!(device(b"rtc0\0dev\0"), WaitKind::Device);
}

#[test]
fn who_woke_a_task_is_told_with_its_name() {
    let waker = |kind: wire::waker_kind| {
        let set = |ev: &mut wire::event_wait| {
            (ev.waker_kind, ev.waker_pid, ev.waker_tid, ev.waker_comm) = (kind.0, 1, 2, letters("sh"));
        };
        wait_of(set, b"").waker
    };
    let comm = || "sh".to_owned();
    assert_eq!(waker(wire::waker_kind::WAKER_TASK), Waker::Task { pid: 1, tid: 2, comm: comm() });
    assert_eq!(waker(wire::waker_kind::WAKER_SOFTIRQ), Waker::Softirq { pid: 1, tid: 2, comm: comm() });
    assert_eq!(waker(wire::waker_kind::WAKER_KERNEL), Waker::Kernel { comm: comm() });
    assert_eq!(waker(wire::waker_kind::WAKER_HARDIRQ), Waker::Hardirq);
    assert_eq!(waker(wire::waker_kind(77)), Waker::Unknown);
}

#[test]
fn a_socket_has_its_two_ends() {
    let socket = |family: i32, peer_port: u16, facts: u32| {
        let set = |ev: &mut wire::event_wait| {
            ev.facts = facts;
            (ev.sock.family, ev.sock.r#type, ev.sock.state) = (family as u16, 1, 10);
            (ev.sock.local_port, ev.sock.peer_port, ev.sock.peer_pid) = (80, peer_port, 4);
            (ev.sock.local, ev.sock.peer) = ([0; 16], [0; 16]);
            ev.sock.local[..4].copy_from_slice(&[127, 0, 0, 1]);
            ev.sock.peer[15] = 1;
        };
        wait_of(set, b"").socket
    };
    let known = wire::fact::FACT_SOCK.0;
    assert_eq!(socket(libc::AF_INET, 5, 0), None);
    let v4 = socket(libc::AF_INET, 5, known).unwrap();
    assert_eq!((v4.kind, v4.state, v4.peer_pid), (1, 10, Some(4)));
    assert_eq!(v4.local, Some("127.0.0.1:80".parse().unwrap()));
    assert_eq!(v4.peer, Some("0.0.0.0:5".parse().unwrap()));
    let v6 = socket(libc::AF_INET6, 5, known).unwrap();
    assert_eq!(v6.peer, Some("[::1]:5".parse().unwrap()));
    // Nobody is at port 0, and another family has no such addresses.
    assert_eq!(socket(libc::AF_INET6, 0, known).unwrap().peer, None);
    let unix = socket(libc::AF_UNIX, 5, known).unwrap();
    assert_eq!((unix.local, unix.peer, unix.peer_pid), (None, None, Some(4)));
}

#[test]
fn each_moment_is_one_and_others_are_none() {
    let moments = [
        (wire::mark_kind::MARK_SUMS, Moment::Sums),
        (wire::mark_kind::MARK_EXEC, Moment::Exec),
        (wire::mark_kind::MARK_END, Moment::End),
        (wire::mark_kind::MARK_LD_STATE, Moment::LdState),
        (wire::mark_kind::MARK_LIBC_START, Moment::LibcStart),
        (wire::mark_kind::MARK_LISTEN, Moment::Listen),
        (wire::mark_kind::MARK_ACCEPT_WAIT, Moment::AcceptWait),
        (wire::mark_kind::MARK_ACCEPTED, Moment::Accepted),
        (wire::mark_kind::MARK_ANSWER, Moment::Answer),
        (wire::mark_kind::MARK_NOTIFY, Moment::Notify),
        (wire::mark_kind::MARK_NAME, Moment::Name),
        (wire::mark_kind::MARK_OUTPUT, Moment::Output),
        (wire::mark_kind::MARK_ENTRY, Moment::Entry),
        (wire::mark_kind::MARK_THREAD_NAME, Moment::ThreadName),
    ];
    for (kind, moment) in moments {
        assert_eq!(mark_of(|ev| ev.mark = kind.0, b"").moment, moment);
    }
    let mut odd = wire::event_mark { mark: 99, ..Default::default() };
    odd.head.kind = wire::event_kind::EVENT_MARK.0;
    assert_eq!(record(&bytes_of(&odd)), Err(Error::Kind(99)));
}

#[test]
fn a_mark_has_its_text_and_its_numbers() {
    let set = |ev: &mut wire::event_mark| {
        (ev.mark, ev.value, ev.fd, ev.text_len) = (wire::mark_kind::MARK_NAME.0, 3, 4, 6);
        ev.facts = wire::fact::FACT_INFERRED.0;
        (ev.usage.user_ns, ev.usage.rss_bytes, ev.usage.threads) = (5, 6, 7);
    };
    let mark = mark_of(set, b"@ready\0more");
    assert_eq!(
        (mark.text.as_deref(), mark.value, mark.fd, mark.inferred),
        (Some("@ready"), 3, Some(4), true)
    );
    assert_eq!((mark.usage.user_ns, mark.usage.rss_bytes, mark.usage.threads), (5, 6, 7));
    let set = |ev: &mut wire::event_mark| {
        (ev.mark, ev.fd, ev.text_len) = (wire::mark_kind::MARK_END.0, u32::MAX, u32::MAX);
    };
    let mark = mark_of(set, b"");
    assert_eq!((mark.text, mark.fd, mark.socket, mark.inferred), (None, None, None, false));
}

#[test]
fn a_fork_says_who_made_whom() {
    let set = |ev: &mut wire::event_fork| {
        (ev.entry_ns, ev.parent_pid, ev.parent_birth_ns, ev.parent_tid) = (1, 2, 3, 4);
        (ev.real_parent_pid, ev.real_parent_birth_ns) = (5, 6);
        (ev.nr, ev.clone_flags, ev.exit_signal) = (libc::SYS_clone as i32, 7, 17);
        (ev.stack_delta, ev.fresh_pipes, ev.first_pipe_fd, ev.group) = (-8, 9, 10, 11);
        (ev.peer_pid, ev.peer_ns, ev.waited_ns, ev.cgroup_id) = (12, 13, 14, 15);
        ev.rss_bytes = 17;
        ev.facts = wire::fact::FACT_STACK_KNOWN.0
            | wire::fact::FACT_PIPES_KNOWN.0
            | wire::fact::FACT_FDS_KNOWN.0
            | wire::fact::FACT_NEW_PID_NS.0
            | wire::fact::FACT_CGROUP_V1.0;
        ev.fds[0].kind = wire::fd_kind::FD_CLOSED.0;
        ev.fds[1] = wire::event_fd { kind: wire::fd_kind::FD_TTY.0, inode: 16, ..Default::default() };
        ev.fds[2] = wire::event_fd { kind: 99, ..Default::default() };
        ev.comm = letters("a-name-of-16-let");
    };
    let What::Fork(fork) = of(wire::event_kind::EVENT_FORK, set, b"") else { panic!("no fork") };
    assert_eq!(fork.entry, Some(Entry::Exact(1)));
    assert_eq!((fork.creator, fork.creator_tid), (Id { pid: 2, birth_ns: 3 }, 4));
    assert_eq!((fork.real_parent, fork.call), (Id { pid: 5, birth_ns: 6 }, Call::Clone));
    assert_eq!((fork.flags, fork.exit_signal, fork.stack_delta), (7, 17, Some(-8)));
    // More pipes than two say no more than two.
    assert_eq!((fork.fresh_pipes, fork.first_pipe_fd, fork.group), (Some(2), Some(10), Some(11)));
    assert_eq!((fork.peer, fork.waited_ns, fork.copied_bytes), (Some((12, 13)), Some(14), Some(17)));
    assert_eq!((fork.cgroup, fork.new_pid_ns), (CgroupId { id: 15, v1: true }, true));
    let kinds = fork.stdio.map(|fd| (fd.kind, fd.inode));
    assert_eq!(kinds, [(FdKind::Closed, 0), (FdKind::Tty, 16), (FdKind::Unknown, 0)]);
    assert_eq!(fork.comm, "a-name-of-16-let");
    let late = |ev: &mut wire::event_fork| {
        (ev.entry_ns, ev.facts, ev.nr) = (1, wire::fact::FACT_ENTRY_IS_MM_ALLOC.0, i32::MAX);
        (ev.parent_pid, ev.real_parent_pid) = (2, 2);
    };
    let What::Fork(late) = of(wire::event_kind::EVENT_FORK, late, b"") else { panic!("no fork") };
    assert_eq!((late.entry, late.call, late.stack_delta), (Some(Entry::MmAlloc(1)), Call::Unknown, None));
    assert_eq!((late.peer, late.fresh_pipes, late.stdio), (None, None, [Fd::default(); 3]));
    let kernel = |ev: &mut wire::event_fork| {
        (ev.facts, ev.parent_pid, ev.real_parent_pid) = (wire::fact::FACT_KERNEL_PARENT.0, 2, 2);
    };
    let What::Fork(kernel) = of(wire::event_kind::EVENT_FORK, kernel, b"") else { panic!("no fork") };
    assert_eq!((kernel.call, kernel.kernel_parent, kernel.entry), (Call::Kernel, true, None));
}

#[test]
fn what_failed_and_what_ended_say_how() {
    let failed = |error: i32, path: &[u8]| {
        let set = |ev: &mut wire::event_exec_fail| (ev.entry_ns, ev.error, ev.path_len) = (1, error, 64);
        of(wire::event_kind::EVENT_EXEC_FAIL, set, path)
    };
    let path = Some("/no".to_owned());
    assert_eq!(failed(2, b"/no\0"), What::ExecFail { entry_ns: Some(1), errno: Some(2), path });
    assert_eq!(failed(0, b""), What::ExecFail { entry_ns: Some(1), errno: None, path: None });
    let set = |ev: &mut wire::event_fork_fail| (ev.error, ev.nr) = (11, libc::SYS_clone3 as i32);
    let failed = of(wire::event_kind::EVENT_FORK_FAIL, set, b"");
    assert_eq!(failed, What::ForkFail { entry_ns: None, errno: 11, call: Call::Clone3 });
    let exit = |facts: u32| {
        let set = |ev: &mut wire::event_exit| {
            (ev.exit_code, ev.uid, ev.gid, ev.facts, ev.written) = (0x100, 1, 2, facts, 3);
            (ev.sig_ignored, ev.comm) = (5, letters("sh"));
        };
        of(wire::event_kind::EVENT_EXIT, set, b"")
    };
    let What::Exit { status, written, null_on_pipe, group, foreground, ignored, comm, .. } = exit(0) else {
        panic!("no end")
    };
    assert_eq!((status, written, null_on_pipe, group), (0x100, None, None, None));
    assert_eq!((foreground, ignored, comm.as_str()), (None, 5, "sh"));
    let known = wire::fact::FACT_WRITTEN_KNOWN.0 | wire::fact::FACT_PIPE_FD_KNOWN.0;
    let What::Exit { written, null_on_pipe, .. } = exit(known) else { panic!("no end") };
    assert_eq!((written, null_on_pipe), (Some(3), Some(false)));
}

#[test]
fn a_cgroup_has_its_path_from_the_top() {
    let cgroup = |facts: u32, path: &[u8]| {
        let set = |ev: &mut wire::event_cgroup| {
            (ev.cgroup_id, ev.facts, ev.path_len) = (7, facts, path.len() as u32);
        };
        of(wire::event_kind::EVENT_CGROUP, set, path)
    };
    let v1 = wire::fact::FACT_CGROUP_V1.0;
    let path = "/system.slice/app.service".to_owned();
    let what = What::Cgroup { cgroup: CgroupId { id: 7, v1: true }, path };
    assert_eq!(cgroup(v1, b"app.service\0system.slice\0"), what);
    assert_eq!(cgroup(0, b""), What::Cgroup { cgroup: CgroupId { id: 7, v1: false }, path: "/".into() });
}

#[test]
fn lost_and_unreadable_strings_are_none() {
    let exec = |facts: u32| {
        let mut bytes = exec_record([b"./a\0", b"", b"a\0", b"srv\0", b"", b"a\0"], 1, 2);
        bytes[offset_of!(wire::event_exec, facts)..][..4].copy_from_slice(&facts.to_ne_bytes());
        as_exec(&bytes)
    };
    let lost = exec(wire::fact::FACT_NO_SCRATCH.0);
    assert_eq!((lost.exe, lost.cwd, lost.argv, lost.strings_lost), (None, None, None, true));
    let unreadable = exec(wire::fact::FACT_ARGV_UNREADABLE.0);
    assert_eq!((unreadable.exe.as_deref(), unreadable.argv), (Some("/a"), None));
    let odd = exec(wire::fact::FACT_EXE_DELETED.0 | wire::fact::FACT_EXE_CUT.0 | wire::fact::FACT_CWD_CUT.0);
    assert_eq!((odd.exe.as_deref(), odd.cwd.as_deref()), (Some(".../a (deleted)"), Some(".../srv")));
}

#[test]
fn an_incomplete_seed_is_left_out() {
    let seed = |pid: u32, fresh: u32| {
        let mut seed = wire::seed { pid, birth_ns: 9, ..Default::default() };
        seed.fresh = fresh;
        bytes_of(&seed)
    };
    let mut bytes = [seed(1, 0), seed(2, 1)].concat();
    bytes.extend_from_slice(&seed(3, 1)[..15]);
    let found: Vec<_> = seeds(&bytes).into_iter().map(|seed| (seed.id.pid, seed.fresh)).collect();
    assert_eq!(found, [(1, false), (2, true)]);
}
