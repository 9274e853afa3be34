//! What a start reaches on its way, each at the time by the program's own clock: its moment is in the system call by
//! which the program reached it. Others: exec and libc_start in `privileged_phases.rs`, clients in
//! `privileged_clients.rs`, listening and waiting for them, quiet and pools in `privileged_ready.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Recorded, python, record, require_root};
use serde_json::Value;
use std::os::unix::net::UnixDatagram;
use std::sync::LazyLock;

/// Goes through them one after the other, 10 ms apart, and tells when each was: [before, after].
const PROGRAM: &str = r#"
import json, os, socket, sys, time
now = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME)
told = {"self": os.getpid()}
def step(name, reach):
    time.sleep(0.01)
    before = now()
    kept = reach()
    told[name] = [before, now()]
    return kept
def name(text):
    with open("/proc/self/comm", "wb", 0) as f:
        f.write(text)
manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
manager.connect(os.environ["NOTIFY_SOCKET"])

step("notify_extend_timeout", lambda: manager.send(b"EXTEND_TIMEOUT_USEC=5000000"))
step("mark", lambda: name(b"@half-way"))
name(b"python")
kept = step("pid_file", lambda: open(sys.argv[1] + "/it.pid", "w"))
step("notify_ready", lambda: manager.send(b"READY=1"))
step("first_output", lambda: os.write(1, b"it is up\n"))

# A child ends, seen by its parent; another leaves its own behind.
r, w = os.pipe()
child = os.fork()
if child == 0:
    time.sleep(0.01)
    os.write(w, b"%020d" % now())
    os._exit(7)
os.waitpid(child, 0)
told["child"], told["exit"] = child, [int(os.read(r, 20)), now()]
between = os.fork()
if between == 0:
    daemon = os.fork()
    if daemon == 0:
        os.setsid()
        parent = os.getppid()
        while os.getppid() == parent:
            time.sleep(0.0005)
        os.write(w, b"%020d" % now())
        time.sleep(0.02)
        os._exit(0)
    time.sleep(0.05)
    os.write(w, b"%020d" % daemon)
    os.write(w, b"%020d" % now())
    os._exit(0)
os.waitpid(between, 0)
told["daemon"], before, after = (int(os.read(r, 20)) for _ in range(3))
told["daemonised"] = [before, after]
print(json.dumps(told), flush=True)
"#;

static RECORDED: LazyLock<Recorded> = LazyLock::new(|| {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let _manager = UnixDatagram::bind(&path).unwrap();
    let python = python();
    let setting = format!("NOTIFY_SOCKET={}", path.display());
    let line = ["env", &setting, python.to_str().unwrap(), "-c", PROGRAM, folder.path().to_str().unwrap()];
    // Not over with what would make it ready otherwise. At the deepest level also opens and writes are told.
    record(&["--level", "deep", "--ready", "*/python*=exit"], &line)
});

/// The only milestone of a name of a process's start, which has to be where the program says, of a kind and with words.
fn reached(role: &str, name: &str, inferred: bool, detail: &Value) {
    let (start, told) = (RECORDED.start_of(RECORDED.pid(role)), RECORDED.told());
    let all = start["timeline"]["milestones"].as_array().unwrap();
    let found: Vec<&Value> = all.iter().filter(|milestone| milestone["name"] == name).collect();
    assert_eq!(found.len(), 1, "{name} in {all:#?}");
    let origin = start["timeline"]["origin_boottime_ns"].as_u64().unwrap();
    let at = origin + found[0]["at_ns"].as_u64().unwrap();
    let [before, after] = [0, 1].map(|n| told[name][n].as_u64().unwrap());
    assert!((before..=after).contains(&at), "{name} at {at}, by the program from {before} to {after}");
    assert_eq!((&found[0]["inferred"], &found[0]["detail"]), (&inferred.into(), detail), "{}", found[0]);
}

#[test]
fn more_time_that_is_asked_for() {
    reached("self", "notify_extend_timeout", false, &"5000000 us".into());
}

#[test]
fn readiness_that_is_notified() {
    reached("self", "notify_ready", false, &Value::Null);
}

#[test]
fn a_mark() {
    reached("self", "mark", false, &"half-way".into());
}

#[test]
fn a_pid_file() {
    let folder = RECORDED.trace["session"]["target"]["argv"].as_array().unwrap().last().unwrap();
    reached("self", "pid_file", true, &format!("{}/it.pid", folder.as_str().unwrap()).into());
}

#[test]
fn the_first_output() {
    reached("self", "first_output", false, &Value::Null);
}

#[test]
fn an_exit() {
    reached("child", "exit", false, &Value::Null);
    let start = RECORDED.start_of(RECORDED.pid("child"));
    assert_eq!((&start["exit"]["code"], &start["timeline"]["ready"]["kind"]), (&7.into(), &"exit".into()));
}

#[test]
fn a_process_that_was_left_behind() {
    reached("daemon", "daemonised", true, &Value::Null);
}
