//! Where time goes: programs that spend it in one state each, and say themselves how much it was.
//!
//! A healthy kernel has random numbers from its first second on. What waits in getrandom(2) here waits for
//! the page that they are to be written to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Batch;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const MS: u64 = 1_000_000;

/// A folder on a disk: what is in memory alone is never cold.
fn disk() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
    let kind = nix::sys::statfs::statfs(&target).unwrap().filesystem_type();
    assert_ne!(kind, nix::sys::statfs::TMPFS_MAGIC, "{} is no disk: set CARGO_TARGET_DIR", target.display());
    target
}

/// A cgroup with a limit; gone when dropped.
struct Cgroup {
    folder: PathBuf,
    /// Of version 1.
    old: bool,
}

impl Cgroup {
    fn new(controller: &str) -> Self {
        let v1 = Path::new("/sys/fs/cgroup").join(controller);
        let old = v1.join("tasks").exists();
        let root = if old { v1 } else { PathBuf::from("/sys/fs/cgroup") };
        let folder = root.join(format!("startrace-test-{}", std::process::id()));
        if !old {
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).unwrap();
        }
        // Of version 2, one may have both limits.
        if !folder.exists() {
            fs::create_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        }
        Self { folder, old }
    }

    /// Its tasks get a twentieth of a CPU.
    fn with_quota() -> Self {
        let cgroup = Self::new("cpu");
        if cgroup.old {
            cgroup.set("cpu.cfs_period_us", "100000");
            cgroup.set("cpu.cfs_quota_us", "5000");
        } else {
            cgroup.set("cpu.max", "5000 100000");
        }
        cgroup
    }

    /// Its tasks wait for memory when they take too much.
    fn with_little_memory() -> Self {
        let cgroup = Self::new("memory");
        if cgroup.old {
            cgroup.set("memory.limit_in_bytes", "33554432");
            cgroup.set("memory.oom_control", "1");
        } else {
            cgroup.set("memory.high", "16777216");
        }
        cgroup
    }

    fn set(&self, file: &str, value: &str) {
        let path = self.folder.join(file);
        fs::write(&path, value).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    }

    fn tasks(&self) -> String {
        self.folder.join("cgroup.procs").to_str().unwrap().to_owned()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.folder);
    }
}

static BATCH: LazyLock<Batch> = LazyLock::new(|| {
    common::require_root();
    let folder = tempfile::tempdir_in(disk()).unwrap();
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (lock, cold, faulted) = (file("lock"), file("cold"), file("faulted"));
    let (quota, memory) = (Cgroup::with_quota(), Cgroup::with_little_memory());
    let (tasks, takers) = (quota.tasks(), memory.tasks());
    let takes = if memory.old { "memory" } else { "memory-high" };
    // Some of them serve: their starts would be over as soon as they wait for a client.
    Batch::record(
        &["--ready", "spend=exit"],
        "",
        &[
            ("spend#child", &["child", "120"]),
            ("spend#child-signal", &["child-signal", "120"]),
            ("spend#child-pidfd", &["child-pidfd", "120"]),
            ("spend#vfork", &["vfork", "120"]),
            ("spend#pipe", &["pipe", "120"]),
            ("spend#futex", &["futex", "120"]),
            ("spend#futex-pi", &["futex-pi", "120"]),
            ("spend#lock", &["lock", "120", &lock]),
            ("spend#sleep", &["sleep", "120"]),
            ("spend#poll", &["poll", "120"]),
            ("spend#accept", &["accept", "120"]),
            ("spend#connect", &["connect", "120"]),
            ("spend#receive", &["receive", "120"]),
            ("spend#dns", &["dns", "120"]),
            ("spend#unix_socket", &["unix_socket", "120"]),
            ("spend#tty", &["tty", "120"]),
            ("spend#device", &["device", "120"]),
            ("spend#eventfd", &["eventfd", "120"]),
            ("spend#stopped", &["stopped", "120"]),
            ("spend#ptraced", &["ptraced", "120"]),
            ("spend#random", &["random", "120"]),
            ("spend#memory", &[takes, "120", &takers]),
            ("spend#disk", &["disk", "0", &cold]),
            ("spend#page_fault", &["page_fault", "0", &faulted]),
            ("spend#runnable", &["runnable", "200"]),
            ("spend#crowded", &["crowded", "300"]),
            ("spend#throttled", &["throttled", "1000", &tasks]),
        ],
    )
});

struct Case<'a> {
    told: &'a Value,
    timeline: &'a Value,
    /// The longest wait of the main thread of that kind.
    wait: Option<&'a Value>,
}

fn case<'a>(kind: &str, state: &str) -> Case<'a> {
    let name = format!("spend#{kind}");
    let (told, start) = (BATCH.told_by(&name), BATCH.start(&name, "self"));
    let timeline = &start["timeline"];
    assert_observed(start);
    let waits = timeline["waits"].as_array().unwrap().iter();
    let own = waits.filter(|wait| wait["tid"] == start["pid"] && wait["kind"] == state);
    let wait = own.max_by_key(|wait| wait["duration_ns"].as_u64());
    Case { told, timeline, wait }
}

/// Nothing was lost, so hardly anything is unknown. (A switch that the kernel does not show is.)
fn assert_observed(start: &Value) {
    let timeline = &start["timeline"];
    assert!(!timeline["states"].is_null(), "{}", start["argv"]);
    let unknown = timeline["states"]["unknown_ns"].as_u64().unwrap();
    let most = (timeline["duration_ns"].as_u64().unwrap() / 50).max(MS);
    assert!(unknown <= most, "{}: {}", start["argv"], timeline["states"]);
}

/// Within a millisecond or a hundredth. What the program tells is wall time less its time on a CPU and its
/// delays; a delay is counted when it ends, so one that began before its clocks ran may be among them.
fn near(case: &Case<'_>, found: u64) {
    near_with(case, found, &[]);
}

/// The same, where `others` are waits for the same thing.
fn near_with(case: &Case<'_>, found: u64, others: &[&str]) {
    let told = case.told["blocked"].as_u64().unwrap();
    let delay = case.told["delay"].as_u64().unwrap();
    // The scheduler's clocks and its tracepoints are some microseconds apart at each switch.
    let switches = case.timeline["counters"]["voluntary_switches"].as_u64().unwrap();
    let most = (told / 100).max(MS) + 20_000 * switches;
    // A task is runnable from the moment somebody wakes it. The scheduler counts its delay from when the task
    // is put into a queue, which a halted virtual CPU does tens of microseconds later: hundreds of short waits
    // for storage make milliseconds of that, which by the program's clocks were still waited.
    let runnable = case.timeline["states"]["runnable_ns"].as_u64().unwrap();
    let late = runnable.saturating_sub(case.told["delay_ever"].as_u64().unwrap());
    let others: u64 =
        others.iter().filter_map(|kind| case.timeline["states"]["blocked"][*kind].as_u64()).sum();
    assert!(
        (told.saturating_sub(most + others + late)..=told + most + delay).contains(&found),
        "{found} ns in the trace; by its own clocks {}; states: {}; waits: {}",
        case.told,
        case.timeline["states"],
        case.timeline["waits"]
    );
}

/// On a busy machine a file is also waited for in other ways than for storage.
const OF_A_FILE: [&str; 3] = ["memory", "other:read", "other:pread64"];

fn blocked(case: &Case<'_>, state: &str) -> u64 {
    case.timeline["states"]["blocked"][state].as_u64().unwrap_or(0)
}

/// The time that the program measured is in that state; details and waker of the wait as given, with
/// `HELPER` for the process that ended it.
fn check(kind: &str, state: &str, detail: &str, woken_by: &str, by_helper: bool) {
    let case = case(kind, state);
    near_with(&case, blocked(&case, state), if state == "disk" { &OF_A_FILE } else { &[] });
    let wait = case.wait.unwrap_or_else(|| panic!("{kind}: no wait in {}", case.timeline["waits"]));
    let helper = case.told["helper"].as_u64().unwrap();
    let found = wait["detail"].as_str().unwrap_or("-");
    let wanted = detail.replace("HELPER", &helper.to_string());
    let matches = match wanted.split_once('*') {
        Some((begin, end)) => found.starts_with(begin) && found.ends_with(end),
        None => found == wanted,
    };
    assert!(matches, "{kind}: {found:?} is not {wanted:?}");
    let by = &wait["woken_by"];
    assert!(woken_by.split('|').any(|one| by["kind"] == one), "{kind}: woken by {by}, not {woken_by}");
    if by_helper {
        assert_eq!(by["pid"].as_u64(), Some(helper), "{kind}: {by}");
        // The path leads through the helper's sleep. A client's first packet is not told by its sender: the wait for
        // it stays on the path whole where somebody else was interrupted by it.
        let on_path = |state: &str| case.timeline["path_ns"][state].as_u64().unwrap_or(0);
        let whole = kind == "accept" && by["kind"] == "softirq" && on_path(state) > 100 * MS;
        assert!(on_path("sleep") > 100 * MS || whole, "{kind}: {}", case.timeline["path_ns"]);
    }
}

#[test]
fn for_a_child() {
    check("child", "child", "pid HELPER (spend child 120)", "task", true);
    check("vfork", "vfork", "pid HELPER (spend vfork 120)", "task", true);
    check("child-signal", "other:rt_sigtimedwait", "-", "signal", true);
    // Since Linux 6.9 a pidfd has no name.
    let case = case("child-pidfd", "poll");
    let detail = case.wait.unwrap()["detail"].as_str().unwrap();
    let (fd, name) = detail.split_once(": ").unwrap_or((detail, "anon_inode:[pidfd]"));
    assert!(fd.starts_with("fd ") && name == "anon_inode:[pidfd]", "{detail}");
    check("child-pidfd", "poll", "fd *", "task", true);
}

#[test]
fn for_what_another_process_gives() {
    check("pipe", "pipe", "pipe:[*] <- pid HELPER (spend pipe 120)", "task", true);
    check("unix_socket", "unix_socket", "unix socket:[*] (receive)", "task", true);
    check("stopped", "stopped", "-", "task|signal", true);
    // Its debugger lets it go on.
    check("ptraced", "stopped", "-", "task|signal", true);
    check("tty", "tty", "/dev/pts/*", "kworker", false);
    check("device", "device", "/dev/kmsg", "task|unknown", false);
    check("eventfd", "other:read", "anon_inode:[eventfd]", "task|unknown", false);
}

#[test]
fn for_a_lock() {
    check("lock", "lock", "/*/lock", "task", true);
    // Its holder is a thread of the same process.
    let case = case("futex", "futex");
    let wait = case.wait.unwrap();
    near(&case, wait["duration_ns"].as_u64().unwrap());
    let detail = wait["detail"].as_str().unwrap();
    assert!(detail.starts_with("futex 0x") && detail.contains(", woken by thread "), "{wait}");
    assert_eq!(wait["woken_by"]["kind"], "task");
    assert!(case.timeline["path_ns"]["sleep"].as_u64().unwrap() > 100 * MS, "{}", case.timeline["path_ns"]);
    assert_eq!(case.timeline["threads"].as_array().unwrap().len(), 1);
    // Of a lock with priority inheritance the kernel knows who holds it.
    check("futex-pi", "futex", "futex 0x*", "task|unknown", false);
    let case = self::case("futex-pi", "futex");
    let holder = case.timeline["threads"][0]["tid"].as_u64().unwrap();
    let detail = case.wait.unwrap()["detail"].as_str().unwrap();
    assert!(detail.ends_with(&format!(", held by thread {holder}")), "{detail} by {holder}");
}

#[test]
fn for_a_time() {
    check("sleep", "sleep", "asked for 120 ms", "timer", false);
    check("poll", "poll", "fd *: anon_inode:[eventpoll]", "timer|unknown", false);
}

/// Times that overflow nanoseconds are no short ones that are over: who ended such a wait is told.
#[test]
fn for_longer_than_the_kernel_can() {
    common::require_root();
    let folder = tempfile::tempdir().unwrap();
    let events = folder.path().join("events");
    let batch = Batch::record(&["--events", events.to_str().unwrap()], "", &[("endless", &["30"])]);
    let (told, start) = (batch.told_by("endless"), batch.start("endless", "self"));
    let (ended, helper) = (told["ended"].as_u64().unwrap(), told["helper"].as_u64());
    assert!(ended >= 11, "{told}");
    let is_long = |ns: Option<u64>| ns.is_some_and(|ns| ns >= 30 * MS);
    let waits = start["timeline"]["waits"].as_array().unwrap().iter();
    let waits: Vec<&Value> = waits
        .filter(|wait| wait["kind"] != "child" && is_long(wait["duration_ns"].as_u64()))
        .filter(|wait| wait["tid"] == start["pid"])
        .collect();
    assert_eq!(waits.len() as u64, ended, "{waits:#?}");
    for wait in waits {
        let by = &wait["woken_by"];
        let (kind, detail) = match wait["kind"].as_str().unwrap() {
            "sleep" => ("signal", Some("asked for 292 years")),
            // Where the kernel does not tell interrupts from tasks, what ends a wait for a set may be either.
            "poll" if by["kind"] == "unknown" => continue,
            _ => ("task", wait["detail"].as_str()),
        };
        assert_eq!((&by["kind"], by["pid"].as_u64()), (&kind.into(), helper), "{wait}");
        assert_eq!(wait["detail"].as_str(), detail, "{wait}");
    }
    // Where it does, only the stream has the time-out itself.
    let kept = fs::read_to_string(&events).unwrap();
    let events = kept.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].take());
    let times: Vec<Value> = events
        .filter(|event| event["tid"] == start["pid"] && event["what"]["wait"]["kind"] != "child")
        .filter(|event| {
            let wait = &event["what"]["wait"];
            let until = wait["wake_ns"].as_u64();
            is_long(until.map(|until| until - wait["off_ns"].as_u64().unwrap()))
        })
        .map(|mut event| event["what"]["wait"]["timeout_ns"].take())
        .collect();
    assert_eq!(times, vec![Value::from(i64::MAX); ended as usize]);
}

#[test]
fn for_the_network() {
    check("accept", "network", "tcp 127.0.0.1:* (accept)", "softirq", true);
    check("receive", "network", "tcp 127.0.0.1:* (receive)", "softirq", true);
    check("dns", "dns", "udp 127.77.0.53:53 (receive)", "softirq", true);
    // Its queue was full: a timer tried again.
    check("connect", "network", "tcp 127.0.0.1:* (connect)", "softirq|unknown", false);
}

#[test]
fn for_storage() {
    check("disk", "disk", "/*/cold", "io", false);
    let case = case("page_fault", "page_fault");
    near_with(&case, blocked(&case, "page_fault"), &OF_A_FILE);
    assert!(case.timeline["counters"]["major_faults"].as_u64().unwrap() >= 50);
    assert!(case.timeline["counters"]["read_bytes"].as_u64().unwrap() >= 128 * 4096);
}

#[test]
fn for_memory() {
    // Of version 1 the helper gives it more; of version 2 it is held back for a time.
    let helped = BATCH.told_by("spend#memory")["helper"].as_u64() != Some(0);
    let by = if helped { "task|unknown" } else { "timer|unknown" };
    check("memory", "memory", "-", by, false);
    assert!(blocked(&case("memory", "memory"), "memory") > if helped { 100 * MS } else { 10 * MS });
}

#[test]
fn for_random_numbers() {
    check("random", "random", "-", "task|unknown", false);
    assert_eq!(case("random", "random").wait.unwrap()["syscall"], "getrandom");
}

#[test]
fn for_a_cpu() {
    let case = case("runnable", "runnable");
    let delay = case.told["delay"].as_u64().unwrap();
    assert!(delay > 50 * MS, "two spinners on one CPU: {}", case.told);
    let found = case.timeline["states"]["runnable_ns"].as_u64().unwrap();
    // The scheduler counts from the task's creation; what it waited for on its way out is not told.
    let told = case.told["delay_ever"].as_u64().unwrap();
    let least = told - (told / 100).max(MS);
    assert!((least..told + told / 20 + 10 * MS).contains(&found), "{found} ns of {told}");
    // Who had it is told; on a busy machine that need not be the other spinner.
    let told = |wait: &Value| wait["detail"].as_str().is_some_and(|detail| detail.contains(" had the CPU "));
    assert!(case.wait.is_some_and(told), "{}", case.timeline["waits"]);
    // ... and for how long: of two that take turns all of it, of several that the machine adds the last turn.
    let waits = case.timeline["waits"].as_array().unwrap().iter();
    let held: u64 = waits.filter_map(|wait| wait["holder"]["held_ns"].as_u64()).sum();
    assert!((found / 10..=found).contains(&held), "{held} ns of {found}: {}", case.timeline["waits"]);
}

/// A kernel thread that had the CPU for microseconds, and was the last to have it, is not blamed for what others had.
#[test]
fn for_a_cpu_that_a_kernel_thread_had_last() {
    let case = case("crowded", "runnable");
    let path = case.timeline["critical_path"].as_array().unwrap().iter();
    let waits: Vec<&Value> = path.filter(|segment| segment["state"] == "runnable").collect();
    let sum = |name: &str| {
        let of = |wait: &&&Value| wait["holder"]["comm"].as_str().is_some_and(|comm| comm.starts_with(name));
        let of: Vec<_> = waits.iter().filter(of).collect();
        let held: u64 = of.iter().map(|wait| wait["holder"]["held_ns"].as_u64().unwrap()).sum();
        (of.len(), held, of.iter().map(|wait| wait["duration_ns"].as_u64().unwrap()).sum::<u64>())
    };
    let waited: u64 = waits.iter().map(|wait| wait["duration_ns"].as_u64().unwrap()).sum();
    assert!(waited > 100 * MS, "three on one CPU: {}", case.told);
    let (kernel, held, blamed) = sum("migration/");
    assert!(kernel > 0, "{waits:#?}");
    assert!(held < blamed / 10, "{held} ns of {blamed} in {kernel} waits: {waits:#?}");
}

/// A thread's time begins when it is made, not when it first has a CPU.
#[test]
fn for_a_cpu_from_the_first_moment() {
    common::require_root();
    let script = "import _thread, os, time\n\
                  os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n\
                  os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))\n\
                  _thread.start_new_thread(lambda: None, ())\n\
                  began = time.monotonic()\n\
                  while time.monotonic() < began + 0.06: pass\n\
                  time.sleep(0.02)";
    let recorded = common::record::<&str, _>(&[], &[common::python().to_str().unwrap(), "-c", script]);
    let start = &recorded.starts()[0];
    let mut waits = start["timeline"]["waits"].as_array().unwrap().iter();
    let first = waits.find(|wait| wait["tid"] != start["pid"]).expect("of the thread");
    assert_eq!(first["kind"], "runnable", "{first}");
    let waited = first["runnable_ns"].as_u64().unwrap();
    // At least as long as the main thread has the CPU; on a busy machine others have it then.
    assert!((60 * MS..200 * MS).contains(&waited), "{first}");
    let thread = &start["timeline"]["threads"][0];
    assert!(thread["runnable_ns"].as_u64().unwrap() >= waited, "{thread}");
}

#[test]
fn for_the_cgroups_quota() {
    let case = case("throttled", "throttled");
    let told = case.told["throttled"].as_u64().unwrap();
    let found = blocked(&case, "throttled");
    // The cgroup counts from when its quota is used up; its task leaves the CPU on its way out of the
    // kernel, and comes back when it gets its turn.
    assert!(told > 20 * MS && found.abs_diff(told) <= told / 5 + 5 * MS, "{found} ns, cpu.stat says {told}");
    assert_eq!(case.wait.unwrap()["kind"], "throttled");
}

#[test]
fn nothing_stays_in_the_dark_and_threads_are_counted() {
    for start in BATCH.starts() {
        assert_observed(start);
    }
    let spinner = case("throttled", "throttled");
    let counters = &spinner.timeline["counters"];
    assert!(counters["minor_faults"].as_u64().unwrap() > 0 && counters["rss_bytes"].as_u64().unwrap() > 0);
    let switches = counters["involuntary_switches"].as_u64().unwrap();
    assert!(switches > 0, "it lost the CPU several times: {counters}");
}
