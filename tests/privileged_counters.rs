//! What a start used: the counters are what the kernel itself told the program at that moment.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::Live;
use common::{Recorded, program, record, record_background, require_root};
use serde_json::Value;
use std::io::Write;

/// Whoever looks later than the program itself sees so much more of it: the way to its end.
const FAULTS: u64 = 6;
const SWITCHES: u64 = 4;
/// Of the file that is read.
const FILE: usize = 1 << 20;

fn counted(args: &[&str], end: &str, threads: &str) -> Recorded {
    require_root();
    // Where files are kept on a disk, and are on it.
    let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&vec![7; FILE]).unwrap();
    file.as_file().sync_all().unwrap();
    record(args, &[program("counted").to_str().unwrap(), end, threads, "500", file.path().to_str().unwrap()])
}

fn near(counters: &Value, told: &Value, what: &str) {
    let (found, told_of) = (|name: &str| counters[name].as_u64(), |name: &str| told[name].as_u64().unwrap());
    let within = |name: &str, known: &str, less: u64, most: u64| {
        let (found, told) = (found(name).unwrap(), told_of(known));
        assert!((told - less..=told + most).contains(&found), "{what}, {name}: {counters}, told {told}");
    };
    within("minor_faults", "minor", 0, FAULTS);
    within("major_faults", "major", 0, FAULTS);
    // A main thread that is no more when another executes has left its CPU for good after the last that is told of it.
    let less = u64::from(what.starts_with("two images"));
    // Of rest nobody tells; what was used until that was found out, while the program looked around, is in it.
    let more = if what.starts_with("idle") { 3 * SWITCHES } else { SWITCHES };
    within("voluntary_switches", "voluntary", less, more);
    within("involuntary_switches", "involuntary", 0, SWITCHES);
    within("read_bytes", "read_bytes", 0, 256 << 10);
    assert_eq!(found("threads"), told["threads"].as_u64(), "{what}: {counters}, {told}");
    // The kernel's own sum lacks what each CPU has not added to it yet, here and there.
    let cpus = std::thread::available_parallelism().unwrap().get() as u64;
    let lag = 2 * 3 * cpus * (2 * cpus).max(32) * 4096;
    assert!(found("rss_bytes").unwrap().abs_diff(told_of("rss_bytes")) <= lag, "{what}: {counters}, {told}");
    // Measured at switches, by a clock that goes on while a host takes the CPU away; and of what is at its end, not all.
    let cpu = found("user_ns").unwrap() + found("system_ns").unwrap();
    let most = told_of("cpu_ns") * 3 / 2 + 15_000_000;
    let least = told_of("cpu_ns") - told_of("cpu_ns") / 8;
    assert!((least..most).contains(&cpu), "{what}: {counters}, {told}");
}

/// However a start ends, and whether or not its threads have told of themselves by then.
#[test]
fn counters_are_what_the_kernel_tells_the_program() {
    let ends: [(&str, &[&str], &str); 8] = [
        ("exit", &[], "exit"),
        ("gone", &[], "exit"),
        ("kill", &[], "exit"),
        ("mark", &["--ready", "mark:up"], "mark"),
        ("pause", &["--quiet-for", "200ms", "--kill-when-ready"], "quiet"),
        ("idle", &["--quiet-for", "200ms", "--kill-when-ready"], "quiet"),
        ("sleep", &["--window", "500ms", "--kill-when-ready"], "timeout"),
        ("accept", &["--kill-when-ready"], "accept"),
    ];
    for (end, args, kind) in ends {
        for threads in ["0", "5"] {
            let recorded = counted(args, end, threads);
            let (start, told) = (recorded.start_of(recorded.pid("self")), recorded.told());
            let what = format!("{end}, {threads} threads");
            assert_eq!(start["timeline"]["ready"]["kind"], kind, "{what}");
            assert!(told["read_bytes"].as_u64().unwrap() >= FILE as u64, "{what}: nothing was read: {told}");
            near(&start["timeline"]["counters"], &told, &what);
        }
    }
}

/// Of one process, whatever it executes and by which thread: a start has all of its images, and what an exec in place
/// begins does not have what was before.
#[test]
fn an_exec_in_place_begins_anew_and_one_on_the_way_does_not() {
    for threads in ["0", "3"] {
        let recorded = counted(&[], "exec", threads);
        let (start, told) = (recorded.start_of(recorded.pid("self")), recorded.told());
        // All of its threads try, and those that come too late are no failed attempts.
        assert_eq!(start["execs"].as_array().unwrap().len(), 2, "{:#}", start["execs"]);
        assert!(told["minor"].as_u64().unwrap() > 500, "{told}");
        near(&start["timeline"]["counters"], &told, &format!("two images, {threads} threads"));
    }
    // It has used much, and is not followed until it executes.
    let script = "x=$(head -c 3000000 /dev/zero | tr '\\0' x); read -r line; exec \"$@\"";
    let counted = program("counted");
    let mut target = Live::shell(script, &[counted.to_str().unwrap(), "exit", "2", "300"]);
    std::thread::sleep(std::time::Duration::from_millis(300));
    let running = record_background(&["-p", &target.pid_text()]);
    target.say("");
    target.wait_lines(1);
    target.wait();
    let recorded = running.stop();
    let (start, told) = (recorded.start_of(target.pid()), common::programs::told(&target.stdout()));
    let (found, all) = (&start["timeline"]["counters"]["minor_faults"], told["minor"].as_u64().unwrap());
    // Those of three times 300 pages, of an image, and of three stacks.
    assert!(all > 2000, "{told}");
    assert!((900..1100).contains(&found.as_u64().unwrap()), "{found} of {told}");
}
