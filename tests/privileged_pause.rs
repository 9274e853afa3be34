//! After a pause in which nothing started, no program looks at wake-ups: whatever sees the next start first asks for it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::{Live, until};
use common::{record_background, turn};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

const MS: u64 = 1_000_000;

/// Each line makes a fork that fails, or one whose child waits for its parent from its first instruction on. `late`: no
/// process can be made any more, in a PID namespace whose first has ended; the kernel finds that out when it has all but
/// the number of the child.
const FORKS: &str = "\
import ctypes, os, platform, sys, time
clone = {'x86_64': 56, 'aarch64': 220}[platform.machine()]
libc = ctypes.CDLL(None, use_errno=True)
late = sys.argv[1] == 'late'
if late:
    assert libc.unshare(0x20000000) == 0
    first = os.fork()
    if first == 0:
        os._exit(0)
    os.waitpid(first, 0)
print('here', flush=True)
for line in sys.stdin:
    if line.strip() == 'fails':
        if late:
            try:
                sys.exit(os.fork())
            except OSError as error:
                assert error.errno == 12
        else:
            # CLONE_SIGHAND without CLONE_VM: refused before there is anything of a child.
            assert libc.syscall(clone, 0x800, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 22
        print('failed', flush=True)
        continue
    r, w = os.pipe()
    begin = time.monotonic_ns()
    child = os.fork()
    if child == 0:
        os.read(r, 1)
        os._exit(0)
    forked = time.monotonic_ns()
    # For longer than a tracer that has no CPU may take to attach a program without saying so.
    time.sleep(0.15)
    least = time.monotonic_ns() - forked
    os.write(w, b'x')
    most = time.monotonic_ns() - begin
    os.waitpid(child, 0)
    print(child, least, most, flush=True)
";

fn target(how: &str) -> Live {
    let mut target = Live::spawn(Command::new(common::python()).args(["-c", FORKS, how]));
    target.wait_lines(1);
    // Longer than a process counts as being in its start when the recording begins.
    std::thread::sleep(Duration::from_millis(1100));
    target
}

/// It is enough to try: nothing that comes later can have asked where no process comes of it.
fn asks(args: &[&str], how: &str, hooks: &[&str]) {
    let mut target = target(how);
    let running = record_background(&[&["-p", &target.pid_text()], args].concat());
    for round in 1..=2 {
        running.rest();
        target.say("fails");
        target.wait_lines(1 + round);
        until("the program on wake-ups", || running.looks_at_wake_ups());
    }
    let recorded = running.stop();
    let used = recorded.trace["session"]["hooks"].as_array().unwrap();
    let is_used = |hook: &str| used.iter().any(|used| used == hook);
    assert!(hooks.iter().any(|hook| is_used(hook)) && is_used("tp_btf/sched_waking"), "{used:?}");
    assert!(recorded.starts().is_empty(), "{:#}", recorded.outline());
}

#[test]
fn the_entry_into_fork_asks_for_the_program() {
    let _turn = turn();
    asks(&["--syscall-hooks"], "early", &["tp/syscalls/sys_enter_clone", "fentry/kernel_clone"]);
}

#[test]
fn what_makes_the_address_space_asks_for_the_program() {
    let _turn = turn();
    asks(&[], "late", &["tp_btf/percpu_alloc_percpu", "fentry/kernel_clone"]);
}

/// Where nothing sees the entry, what makes the address space or the child does.
#[test]
fn starts_after_a_pause_have_their_waits_and_wakers() {
    let _turn = turn();
    for args in [&[][..], &["--syscall-hooks"], &["--level", "deep"]] {
        let mut target = target("early");
        let running = record_background(&[&["-p", &target.pid_text()], args].concat());
        for round in 1..=2 {
            running.rest();
            // Long enough for whatever else there might be to go.
            std::thread::sleep(Duration::from_millis(1200));
            target.say("forks");
            target.wait_lines(1 + round);
        }
        let recorded = running.stop();
        for line in target.stdout().lines().skip(1) {
            let told: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
            let [child, least, most] = told[..] else { panic!("{line}") };
            let start = recorded.start_of(child);
            let states = &start["timeline"]["states"];
            // From its creation until its parent writes, but for what it took to come that far.
            let blocked = states["blocked"]["pipe"].as_u64().unwrap();
            let others: u64 = ["creating_ns", "runnable_ns", "running_ns"]
                .map(|state| states[state].as_u64().unwrap())
                .iter()
                .sum();
            assert!(blocked + others >= least && blocked <= most, "{args:?}: {least} to {most}, {states}");
            assert!(states["unknown_ns"].as_u64().unwrap() < MS, "{args:?}: {states}");
            let waits = start["timeline"]["waits"].as_array().unwrap();
            let wait = waits.iter().max_by_key(|wait| wait["duration_ns"].as_u64()).unwrap();
            let by = (&wait["woken_by"]["kind"], &wait["woken_by"]["pid"]);
            assert_eq!(by, (&Value::from("task"), &target.pid().into()), "{args:?}: {wait}");
        }
    }
}

/// A task keeps the mark of its start when that is over until it is switched to again, and it may sleep until it executes
/// another image.
#[test]
fn what_slept_since_its_start_is_looked_at_when_it_executes_another_image() {
    let _turn = turn();
    let shells = "read x; bash -c 'echo up; read y; exec sleep 0.3'; echo over";
    for args in [&[][..], &["--syscall-hooks"]] {
        let mut target = Live::shell(shells, &[]);
        let running = record_background(&[&["-p", &target.pid_text()], args].concat());
        target.say("begin");
        target.wait_lines(1);
        running.rest();
        target.say("sleep");
        target.wait_lines(2);
        let recorded = running.stop();
        let start = recorded.start_with_argv(&["sleep", "0.3"]);
        assert_eq!((&start["seq"], &start["method"]["create"]), (&1.into(), &Value::Null), "{start:#}");
        check_sleep(start, args);
    }
}

fn check_sleep(start: &Value, args: &[&str]) {
    let states = &start["timeline"]["states"];
    let slept = states["blocked"]["sleep"].as_u64().unwrap_or_default();
    assert!(slept >= 300 * MS && states["unknown_ns"].as_u64().unwrap() < MS, "{args:?}: {states}");
    let waits = start["timeline"]["waits"].as_array().unwrap();
    let sleep = waits.iter().find(|wait| wait["kind"] == "sleep").unwrap();
    assert_eq!(sleep["woken_by"]["kind"], "timer", "{args:?}: {sleep}");
}

/// Whether a start is over is found some milliseconds afterwards, and by then the process may have begun the next one.
#[test]
fn what_executes_another_image_as_its_start_is_found_to_be_over_is_looked_at() {
    let _turn = turn();
    // A process that rests is ready after a second. Each of these rests for a little longer than the one before it.
    let rests = "\
        read x; rest=1000; \
        while [ $rest -lt 1080 ]; do \
            bash -c \"read -t 1.$(printf %03d $((rest - 1000))); exec sleep 0.3\" <\"$1\" & \
            rest=$((rest + 2)); \
        done; \
        echo begun; wait; echo over";
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("nothing");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    // Somebody who could write.
    let _open = std::fs::File::options().read(true).write(true).open(&fifo).unwrap();
    let mut target = Live::shell(rests, &[fifo.to_str().unwrap()]);
    let running = record_background(&["-p", &target.pid_text()]);
    target.say("begin");
    target.wait_lines(2);
    let recorded = running.stop();
    let sleeps = recorded.starts_with_argv(&["sleep", "0.3"]);
    let in_place: Vec<_> = sleeps.iter().filter(|start| start["seq"] == 1).collect();
    assert!(sleeps.len() == 40 && in_place.len() > 10, "{} of {}", in_place.len(), sleeps.len());
    in_place.iter().for_each(|start| check_sleep(start, &[]));
}
