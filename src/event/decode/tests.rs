use super::within::module;
use super::*;

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
