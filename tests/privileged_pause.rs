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
