//! Where time goes: programs that spend it in one state each, and say themselves how much it was.
//!
//! A healthy kernel has random numbers from its first second on. What waits in getrandom(2) here waits for
//! the page that they are to be written to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Batch;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

const MS: u64 = 1_000_000;

/// A folder on a disk: what is in memory alone is never cold.
fn disk() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned();
    let kind = nix::sys::statfs::statfs(&target).unwrap().filesystem_type();
    assert_ne!(kind, nix::sys::statfs::TMPFS_MAGIC, "{} is no disk: set CARGO_TARGET_DIR", target.display());
    target
}

/// The whole disk under a folder, `MAJOR:MINOR`; none below file systems that have no device of their own.
fn device_of(folder: &Path) -> Option<String> {
    let device = fs::metadata(folder).unwrap().dev();
    let at = format!("/sys/dev/block/{}:{}", nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let of_disk = if Path::new(&at).join("partition").exists() { "../dev" } else { "dev" };
    let device = fs::read_to_string(Path::new(&fs::canonicalize(at).ok()?).join(of_disk)).ok()?;
    Some(device.trim().to_owned())
}

/// A cgroup with a limit; gone when dropped.
struct Cgroup {
    folder: PathBuf,
    /// Of version 1.
    old: bool,
}

impl Cgroup {
    /// `v1` and `v2`: the controller's name.
    fn new(v1: &str, v2: &str, name: &str) -> Self {
        let own = Path::new("/sys/fs/cgroup").join(v1);
        let old = own.join("tasks").exists();
        let root = if old { own } else { PathBuf::from("/sys/fs/cgroup") };
        let folder = root.join(format!("startrace-test-{}-{name}", std::process::id()));
        if !old {
            fs::write(root.join("cgroup.subtree_control"), format!("+{v2}")).unwrap();
        }
        fs::create_dir(&folder).unwrap_or_else(|why| panic!("{}: {why}", folder.display()));
        Self { folder, old }
    }

    /// Its tasks get a twentieth of a CPU.
    fn with_quota(n: u32) -> Self {
        let cgroup = Self::new("cpu", "cpu", &format!("quota-{n}"));
        if cgroup.old {
            cgroup.set("cpu.cfs_period_us", "100000");
            cgroup.set("cpu.cfs_quota_us", "5000");
        } else {
            cgroup.set("cpu.max", "5000 100000");
        }
        cgroup
    }

    /// Its tasks wait for memory when they take too much.
    fn with_little_memory(n: u32) -> Self {
        let cgroup = Self::new("memory", "memory", &format!("memory-{n}"));
        if cgroup.old {
            cgroup.set("memory.limit_in_bytes", "33554432");
            cgroup.set("memory.oom_control", "1");
        } else {
            cgroup.set("memory.high", "16777216");
        }
        cgroup
    }

    /// Its tasks read a page from the disk in an eighth of a second.
    fn with_a_slow_disk(n: u32, device: &str) -> Self {
        let cgroup = Self::new("blkio", "io", &format!("disk-{n}"));
        if cgroup.old {
            cgroup.set("blkio.throttle.read_bps_device", &format!("{device} 32768"));
        } else {
            cgroup.set("io.max", &format!("{device} rbps=32768"));
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

/// Every kind that `spend` knows, with its milliseconds.
const KINDS: [(&str, &str); 43] = [
    ("child", "120"),
    ("child-signal", "120"),
    ("child-pidfd", "120"),
    ("vfork", "120"),
    ("pipe", "120"),
    ("fifo-reader", "120"),
    ("fifo-writer", "120"),
    ("fifo-read", "120"),
    ("polled-pipes", "120"),
    ("epoll", "120"),
    ("lease", "120"),
    ("lookup", "120"),
    ("queue", "120"),
    ("mqueue", "120"),
    ("sleep-until", "120"),
    ("unix-receive", "120"),
    ("unix-accept", "120"),
    ("unix-connect", "120"),
    ("futex", "120"),
    ("futex-pi", "120"),
    ("lock", "120"),
    ("lock-posix", "120"),
    ("sleep", "120"),
    ("poll", "120"),
    ("accept", "120"),
    ("connect", "120"),
    ("receive", "120"),
    ("dns", "120"),
    ("unix_socket", "120"),
    ("tty", "120"),
    ("device", "120"),
    ("eventfd", "120"),
    ("stopped", "120"),
    ("ptraced", "120"),
    ("random", "120"),
    ("memory", "120"),
    ("disk", "0"),
    ("page_fault", "0"),
    ("slow-disk", "0"),
    ("slow-fault", "0"),
    ("runnable", "200"),
    ("crowded", "300"),
    ("throttled", "1000"),
];

/// Those that need a file.
const FILES: [&str; 11] = [
    "lock",
    "lock-posix",
    "disk",
    "page_fault",
    "slow-disk",
    "slow-fault",
    "fifo-reader",
    "fifo-writer",
    "fifo-read",
    "lease",
    "lookup",
];
/// Those that need a socket's path, which is short.
const SOCKETS: [&str; 2] = ["unix-receive", "unix-connect"];

/// Records `spend` of these kinds, one after the other.
fn record(kinds: &[(&str, &str)]) -> Batch {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    common::require_root();
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = tempfile::tempdir_in(disk()).unwrap();
    let sockets = tempfile::tempdir().unwrap();
    let has = |kind: &str| kinds.iter().any(|(name, _)| *name == kind);
    let quota = has("throttled").then(|| Cgroup::with_quota(n));
    let memory = has("memory").then(|| Cgroup::with_little_memory(n));
    let device = kinds.iter().any(|(name, _)| name.starts_with("slow-")).then(|| device_of(folder.path()));
    let slow = device.flatten().map(|device| Cgroup::with_a_slow_disk(n, &device));
    let mut runs = Vec::new();
    for &(kind, ms) in kinds {
        let mut args = vec![kind.to_owned(), ms.to_owned()];
        if FILES.contains(&kind) {
            args.push(folder.path().join(kind).to_str().unwrap().to_owned());
        }
        if SOCKETS.contains(&kind) {
            args.push(sockets.path().join(kind).to_str().unwrap().to_owned());
        }
        match kind {
            "throttled" => args.push(quota.as_ref().unwrap().tasks()),
            "memory" => {
                let cgroup = memory.as_ref().unwrap();
                args.push(cgroup.tasks());
                args[0] = if cgroup.old { "memory" } else { "memory-high" }.to_owned();
            }
            // What no disk is below, nobody can slow down.
            "slow-disk" | "slow-fault" => match &slow {
                Some(slow) => args.push(slow.tasks()),
                None => continue,
            },
            _ => {}
        }
        runs.push((format!("spend#{kind}"), args));
    }
    let runs: Vec<(&str, Vec<&str>)> =
        runs.iter().map(|(name, args)| (&**name, args.iter().map(|arg| &**arg).collect())).collect();
    let runs: Vec<(&str, &[&str])> = runs.iter().map(|(name, args)| (*name, &**args)).collect();
    // Some of them serve: their starts would be over as soon as they wait for a client.
    Batch::record(&["--ready", "spend=exit"], "", &runs)
}

static BATCH: LazyLock<Batch> = LazyLock::new(|| record(&KINDS));

struct Case {
    told: &'static Value,
    start: &'static Value,
    timeline: &'static Value,
    /// The longest wait of the main thread of that kind.
    wait: Option<&'static Value>,
}

impl Case {
    fn of(batch: &'static Batch, kind: &str, state: &str) -> Self {
        let name = format!("spend#{kind}");
        let (told, start) = (batch.told_by(&name), batch.start(&name, "self"));
        let timeline = &start["timeline"];
        assert_observed(start);
        let mut case = Self { told, start, timeline, wait: None };
        case.wait = case.waits(state).max_by_key(|wait| wait["duration_ns"].as_u64());
        case
    }

    /// Those of the main thread.
    fn waits(&self, state: &str) -> impl Iterator<Item = &'static Value> {
        let waits = self.timeline["waits"].as_array().unwrap().iter();
        waits.filter(move |wait| {
            wait["tid"] == self.start["pid"] && (state.is_empty() || wait["kind"] == state)
        })
    }

    /// What that wait was for, in words.
    fn detail(&self) -> &'static str {
        self.wait.and_then(|wait| wait["detail"].as_str()).unwrap_or("-")
    }

    fn told(&self, name: &str) -> u64 {
        self.told[name].as_u64().unwrap_or_else(|| panic!("no {name} in {}", self.told))
    }

    fn origin(&self) -> u64 {
        self.timeline["origin_boottime_ns"].as_u64().unwrap()
    }

    fn blocked(&self, state: &str) -> u64 {
        self.timeline["states"]["blocked"][state].as_u64().unwrap_or(0)
    }

    /// Parts of the main thread's waits that begin and end in these times by its clock.
    fn within(&self, from: u64, to: u64, part: impl Fn(&Value) -> u64) -> u64 {
        let origin = self.origin();
        let ns = |wait: &Value, part: &str| wait[part].as_u64().unwrap();
        let of = |wait: &&Value| {
            let begins = origin + ns(wait, "at_ns");
            let ends = begins + ns(wait, "duration_ns") + ns(wait, "runnable_ns");
            (from..=to).contains(&begins) && (from..=to).contains(&ends)
        };
        self.waits("").filter(of).map(part).sum()
    }
}

/// Nothing was lost, so hardly anything is unknown. (A switch that the kernel does not show is.)
fn assert_observed(start: &Value) {
    let timeline = &start["timeline"];
    assert!(!timeline["states"].is_null(), "{}", start["argv"]);
    let unknown = timeline["states"]["unknown_ns"].as_u64().unwrap();
    let most = (timeline["duration_ns"].as_u64().unwrap() / 50).max(MS);
    assert!(unknown <= most, "{}: {}", start["argv"], timeline["states"]);
}

/// Within a millisecond or a hundredth.
fn most(told: u64) -> u64 {
    (told / 100).max(MS)
}

/// How often a kind is measured, of which one has to be right. What the program tells is wall time less its time on a
/// CPU and its delays. A hypervisor that has other guests takes a CPU away for milliseconds, while the program runs on it
/// or when it is to be woken on it: no clock of the program's tells of those, and they are not what it waited for.
const TRIES: usize = 4;

/// A recording of a kind for which something is right.
fn one_of(kind: &str, state: &str, right: impl Fn(&Case) -> Result<(), String>) -> Case {
    let mut wrong = Vec::new();
    for n in 0..TRIES {
        let batch: &'static Batch = if n == 0 {
            &BATCH
        } else {
            let of = KINDS.iter().find(|(name, _)| *name == kind).unwrap();
            Box::leak(Box::new(record(&[*of])))
        };
        let case = Case::of(batch, kind, state);
        let Err(why) = right(&case) else { return case };
        let (told, states, waits) = (case.told, &case.timeline["states"], &case.timeline["waits"]);
        wrong.push(format!("{why}; it told {told}; states: {states}; waits: {waits}"));
    }
    panic!("{kind}: {}", wrong.join("\n"));
}

/// The same of times: one that is found, and what the program measured.
fn same((found, told): (u64, u64)) -> Result<(), String> {
    if found.abs_diff(told) <= most(told) {
        Ok(())
    } else {
        Err(format!("{found} ns in the trace, not {told}"))
    }
}

fn near(kind: &str, state: &str) -> Case {
    // What was to be read may have been in memory all the same.
    let least = if kind.starts_with("slow-") { 50 * MS } else { 0 };
    one_of(kind, state, |case| {
        same((case.blocked(state), case.told("blocked")))?;
        if case.told("blocked") < least { Err("it hardly waited".to_owned()) } else { Ok(()) }
    })
}

/// The time that the program measured is in that state; details and waker of the wait as given, with
/// `HELPER` for the process that ended it and `PORT` for the one that was waited at.
fn check(kind: &str, state: &str, detail: &str, woken_by: &str, by_helper: bool) -> Case {
    let case = near(kind, state);
    let wait = case.wait.unwrap_or_else(|| panic!("{kind}: no wait in {}", case.timeline["waits"]));
    let helper = case.told("helper");
    let found = wait["detail"].as_str().unwrap_or("-");
    let wanted =
        detail.replace("HELPER", &helper.to_string()).replace("PORT", &case.told("port").to_string());
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
    case
}

#[test]
fn for_a_child() {
    check("child", "child", "pid HELPER (spend child 120)", "task", true);
    check("vfork", "vfork", "pid HELPER (spend vfork 120)", "task", true);
    check("child-signal", "other:rt_sigtimedwait", "-", "signal", true);
    // Since Linux 6.9 a pidfd has no name.
    let case = check("child-pidfd", "poll", "fd *", "task", true);
    let detail = case.wait.unwrap()["detail"].as_str().unwrap();
    let (fd, name) = detail.split_once(": ").unwrap_or((detail, "anon_inode:[pidfd]"));
    assert!(fd.starts_with("fd ") && name == "anon_inode:[pidfd]", "{detail}");
}

#[test]
fn for_what_another_process_gives() {
    check("pipe", "pipe", "pipe:[*] <- pid HELPER (spend pipe 120)", "task", true);
    check(
        "unix_socket",
        "unix_socket",
        "unix socket:[*] (receive), peer pid HELPER (spend unix_socket 120)",
        "task",
        true,
    );
    let case = check("polled-pipes", "pipe", "fd * <- pid HELPER (spend polled-pipes 120)", "task", true);
    assert!(case.detail().contains(" or 1 other: pipe:["), "{}", case.detail());
    check("stopped", "stopped", "-", "task|signal", true);
    // Its debugger lets it go on.
    check("ptraced", "stopped", "-", "task|signal", true);
    check("tty", "tty", "/dev/pts/*", "kworker", false);
    check("device", "device", "/dev/kmsg", "task|unknown", false);
    check("eventfd", "other:read", "anon_inode:[eventfd]", "task|unknown", false);
    let case = check("queue", "other:msgrcv", "message queue *", "task|unknown", false);
    assert!(case.detail().ends_with(&format!(" {}", case.told["fd"])), "{}", case.detail());
    check("mqueue", "other:mq_timedreceive", "/startrace-spend-*", "task|unknown", false);
}

/// A FIFO is known by its path: to whoever opens it, too, who has no descriptor yet.
#[test]
fn for_the_other_end_of_a_fifo() {
    for (kind, way) in [("fifo-reader", "(open) <-"), ("fifo-writer", "(open) ->"), ("fifo-read", "<-")] {
        let case = check(kind, "pipe", "/*", "task", true);
        let (detail, helper) = (case.detail(), case.told("helper"));
        assert!(detail.contains(&format!("/{kind} {way} pid {helper} (spend {kind} 120")), "{detail}");
    }
}

/// Of who opens a file, too, it is told which one; where it is not found yet, how far the path was followed.
#[test]
fn for_a_file_that_is_being_opened() {
    check("lease", "other:openat", "/*/lease", "task|unknown", false);
    check("lookup", "other:openat", "/*/lookup/", "task|unknown", false);
}

#[test]
fn for_a_unix_socket_with_a_name() {
    for (kind, name, does) in [
        ("unix-receive", "/unix-receive", " (receive)"),
        ("unix-connect", "/unix-connect", " (connect)"),
        ("unix-accept", "startrace-spend-", " (accept)"),
    ] {
        let begin = if kind == "unix-accept" { "unix @*" } else { "unix /*" };
        let case = check(kind, "unix_socket", begin, "task", true);
        let (detail, helper) = (case.detail(), case.told("helper"));
        let peer = format!("{does}, peer pid {helper} (spend {kind} 120");
        assert!(detail.contains(name) && detail.contains(&peer), "{detail}");
    }
}

#[test]
fn for_a_lock() {
    check("lock", "lock", "/*/lock", "task", true);
    check("lock-posix", "lock", "/*/lock-posix", "task", true);
    // Its holder is a thread of the same process.
    let longest = |case: &Case| case.wait.map_or(0, |wait| wait["duration_ns"].as_u64().unwrap());
    let case = one_of("futex", "futex", |case| same((longest(case), case.told("blocked"))));
    let wait = case.wait.unwrap();
    let detail = wait["detail"].as_str().unwrap();
    assert!(detail.starts_with("futex 0x") && detail.contains(", woken by thread "), "{wait}");
    assert_eq!(wait["woken_by"]["kind"], "task");
    assert!(case.timeline["path_ns"]["sleep"].as_u64().unwrap() > 100 * MS, "{}", case.timeline["path_ns"]);
    assert_eq!(case.timeline["threads"].as_array().unwrap().len(), 1);
    // Of a lock with priority inheritance the kernel knows who holds it.
    let case = check("futex-pi", "futex", "futex 0x*", "task|unknown", false);
    let holder = case.timeline["threads"][0]["tid"].as_u64().unwrap();
    let detail = case.wait.unwrap()["detail"].as_str().unwrap();
    assert!(detail.ends_with(&format!(", held by thread {holder}")), "{detail} by {holder}");
}

#[test]
fn for_a_time() {
    check("sleep", "sleep", "asked for 120 ms", "timer", false);
    check("poll", "poll", "fd *: anon_inode:[eventpoll]", "timer|unknown", false);
    // Until a time on a clock: what is left until then, when it begins.
    let detail = check("sleep-until", "sleep", "until a set time, 1* ms later", "timer", false).detail();
    let left: f64 = detail.split(' ').nth(4).unwrap().parse().unwrap();
    assert!((110.0..120.0).contains(&left), "{detail}");
}

/// Of an epoll set, what has come.
#[test]
fn for_one_of_several() {
    let case = check("epoll", "poll", "fd *", "task", false);
    let begin = format!("fd {}: unix socket:[", case.told["fd"]);
    assert!(case.detail().starts_with(&begin), "{} is not {begin}", case.detail());
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
    check("accept", "network", "tcp 127.0.0.1:PORT (accept)", "softirq", true);
    check("receive", "network", "tcp 127.0.0.1:PORT (receive)", "softirq", true);
    check("dns", "dns", "udp 127.77.0.53:PORT (receive)", "softirq", true);
    // Its queue was full: a timer tried again.
    check("connect", "network", "tcp 127.0.0.1:PORT (connect)", "softirq|unknown", false);
}

#[test]
fn for_storage() {
    // Of many short waits: that a disk has done its work is told before the scheduler queues who waited for it, tens
    // of microseconds where its virtual CPU has to be woken.
    check("disk", "disk", "/*/disk", "io", false);
    let case = near("page_fault", "page_fault");
    assert!(case.timeline["counters"]["major_faults"].as_u64().unwrap() >= 32);
    assert!(case.timeline["counters"]["read_bytes"].as_u64().unwrap() >= 32 * 4096);
}

/// One long wait: the cgroup lets a page be read in an eighth of a second, less what it has not yet used.
#[test]
fn for_storage_that_is_slow() {
    if device_of(&disk()).is_none() {
        eprintln!(
            "{} is on no block device of its own: of storage, short waits alone are tested",
            disk().display()
        );
        return;
    }
    check("slow-disk", "disk", "/*/slow-disk", "io", false);
    near("slow-fault", "page_fault");
}

/// Does something while a file is written beside it, to the disk itself again and again: it answers others late.
fn while_the_disk_is_busy<T>(folder: &Path, what: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let path = folder.join("busy");
            while !over.load(Ordering::Relaxed) {
                let mut file = fs::File::create(&path).unwrap();
                file.write_all(&vec![1; 8 << 20]).unwrap();
                file.sync_all().unwrap();
            }
            fs::remove_file(&path).unwrap();
        });
        let done = what();
        over.store(true, Ordering::Relaxed);
        done
    })
}

/// At the deepest level a page fault that waits says for a page of which file.
#[test]
fn for_a_page_of_a_file() {
    common::require_root();
    let folder = tempfile::tempdir_in(disk()).unwrap();
    let cold = folder.path().join("cold");
    let slow = device_of(folder.path()).map(|device| Cgroup::with_a_slow_disk(u32::MAX, &device));
    let mut line = vec![common::program("spend").to_str().unwrap().to_owned()];
    // One fault of an eighth of a second; else many, of which one will take the 100 us from which on it is told singly.
    line.extend([if slow.is_some() { "slow-fault" } else { "page_fault" }, "0"].map(str::to_owned));
    line.push(cold.to_str().unwrap().to_owned());
    line.extend(slow.iter().map(Cgroup::tasks));
    let deep = || common::record(&["-q", "--level", "deep"], &line);
    let recorded = if slow.is_some() { deep() } else { while_the_disk_is_busy(folder.path(), deep) };
    let start = recorded.start_of(recorded.pid("self"));
    let waits = start["timeline"]["waits"].as_array().unwrap();
    let faults: Vec<&Value> = waits.iter().filter(|wait| wait["kind"] == "page_fault").collect();
    for fault in &faults {
        // Its own code may be cold as well.
        let Some(file) = fault["detail"].as_str() else { continue };
        assert!(
            file == cold.to_str().unwrap() || file.ends_with("/spend") || file.contains(".so"),
            "{fault}"
        );
    }
    // A page of memory that the kernel is moving is waited for, too, and is of no file.
    let without = faults.iter().filter(|fault| fault["detail"].is_null()).count();
    assert!(without <= 1, "{faults:#?}");
    assert!(faults.iter().any(|fault| fault["detail"] == cold.to_str().unwrap()), "{:#}", start["timeline"]);
}

#[test]
fn for_memory() {
    // Of version 1 the helper gives it more; of version 2 it is held back for a time.
    let helped = BATCH.told_by("spend#memory")["helper"].as_u64() != Some(0);
    let by = if helped { "task|unknown" } else { "timer|unknown" };
    let case = check("memory", "memory", "-", by, false);
    assert!(case.blocked("memory") > if helped { 100 * MS } else { 10 * MS });
}

#[test]
fn for_random_numbers() {
    let case = check("random", "random", "-", "task|unknown", false);
    assert_eq!(case.wait.unwrap()["syscall"], "getrandom");
}

#[test]
fn for_a_cpu() {
    let found = |case: &Case| case.timeline["states"]["runnable_ns"].as_u64().unwrap();
    let case = one_of("runnable", "runnable", |case| {
        // By the scheduler's count, from its creation until it has only to end.
        same((found(case), case.told("delay_ever")))?;
        // Who had it last is told, and for how long: where that was the other spinner, its last turn by its own clock.
        let (mut held, mut turns) = (0, 0);
        for wait in case.waits("").filter(|wait| wait["holder"]["pid"] == case.told["helper"]) {
            let ns = |part: &str| wait[part].as_u64().unwrap();
            let ends = case.origin() + ns("at_ns") + ns("duration_ns") + ns("runnable_ns");
            let all = case.told["turns"].as_array().unwrap().iter();
            let mut all = all.map(|turn| [0, 1].map(|n| turn[n].as_u64().unwrap()));
            // Before it measured there were none.
            let last = all.rfind(|[_, to]| (ends - MS..ends).contains(to));
            if let Some([from, to]) = last {
                held += wait["holder"]["held_ns"].as_u64().unwrap();
                turns += (to - from).min(ns("runnable_ns"));
            }
        }
        if turns == 0 { Err("no wait of the other's turn".to_owned()) } else { same((held, turns)) }
    });
    assert!(case.told("delay") > 50 * MS, "two spinners on one CPU: {}", case.told);
    // Who that was; on a busy machine it need not be the other spinner.
    let told = |wait: &Value| wait["detail"].as_str().is_some_and(|detail| detail.contains(" had the CPU "));
    assert!(case.wait.is_some_and(told), "{}", case.timeline["waits"]);
}

/// A kernel thread that had the CPU for microseconds, and was the last to have it, is not blamed for what others had.
#[test]
fn for_a_cpu_that_a_kernel_thread_had_last() {
    let case = Case::of(&BATCH, "crowded", "runnable");
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

/// A thread's time begins when it is made, not when it first has a CPU: by the scheduler's own count for that thread.
#[test]
fn for_a_cpu_from_the_first_moment() {
    common::require_root();
    let script = "import _thread, json, os, time\n\
                  delay = []\n\
                  def first(): delay.append(int(open('/proc/thread-self/schedstat').read().split()[1]))\n\
                  os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n\
                  os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))\n\
                  _thread.start_new_thread(first, ())\n\
                  began = time.monotonic()\n\
                  while time.monotonic() < began + 0.06: pass\n\
                  while not delay: time.sleep(0.001)\n\
                  print(json.dumps({'delay': delay[0]}))";
    let mut wrong = Vec::new();
    for _ in 0..TRIES {
        let recorded = common::record::<&str, _>(&[], &[common::python().to_str().unwrap(), "-c", script]);
        let start = &recorded.starts()[0];
        let mut waits = start["timeline"]["waits"].as_array().unwrap().iter();
        let first = waits.find(|wait| wait["tid"] != start["pid"]).expect("of the thread");
        assert_eq!(first["kind"], "runnable", "{first}");
        let waited = first["runnable_ns"].as_u64().unwrap();
        let thread = &start["timeline"]["threads"][0];
        let (found, told) =
            (thread["runnable_ns"].as_u64().unwrap(), recorded.told()["delay"].as_u64().unwrap());
        assert!(found >= waited, "{thread}");
        // As long as the main thread has the CPU, unless the kernel lends it one so that nobody starves.
        match same((found, told)) {
            Ok(()) if waited >= 60 * MS => return,
            Ok(()) => wrong.push(format!("{waited} ns until it ran")),
            Err(why) => wrong.push(why),
        }
    }
    panic!("{wrong:#?}");
}

/// It spins, and so sees by its clock when it was stopped, and by the cgroup's count what part of that was its quota's.
#[test]
fn for_the_cgroups_quota() {
    let gaps = |case: &Case| case.told["gaps"].as_array().unwrap().clone();
    let ns = |gap: &Value, name: &str| gap[name].as_u64().unwrap();
    let off = |case: &Case, part: &dyn Fn(&Value) -> u64| -> u64 {
        gaps(case).iter().map(|gap| case.within(ns(gap, "from"), ns(gap, "to"), part)).sum()
    };
    let throttled = |wait: &Value| if wait["kind"] == "throttled" { ns(wait, "duration_ns") } else { 0 };
    // All of the time that it was off its CPU there: throttled, or taking turns with others before and after that.
    let case = one_of("throttled", "throttled", |case| {
        let found = off(case, &|wait| throttled(wait) + ns(wait, "runnable_ns"));
        same((found, gaps(case).iter().map(|gap| ns(gap, "to") - ns(gap, "from")).sum()))?;
        // The cgroup counts until it may run again. No event tells of that moment: what it then waits for a CPU on a
        // busy machine is throttled, too. So it is between the two, which on an idle machine are the same.
        let found = off(case, &throttled);
        let held_back = gaps(case).iter().map(|gap| ns(gap, "held_back")).sum::<u64>();
        if held_back > 100 * MS && found + most(found) >= held_back {
            return Ok(());
        }
        Err(format!("{found} ns, cpu.stat says {held_back}"))
    });
    assert_eq!(case.wait.unwrap()["kind"], "throttled");
}

/// To move a task into a cgroup the kernel waits until every CPU has been through; nothing is stored.
#[test]
fn for_the_kernel() {
    let kinds = ["throttled", "memory", "slow-disk", "slow-fault"];
    let there = kinds.into_iter().filter(|kind| BATCH.has(&format!("spend#{kind}")));
    let waits = there.flat_map(|kind| Case::of(&BATCH, kind, "").waits("").collect::<Vec<_>>());
    let of_cgroup =
        |wait: &&Value| wait["detail"].as_str().is_some_and(|detail| detail.ends_with("/cgroup.procs"));
    let waits: Vec<&Value> = waits.filter(of_cgroup).collect();
    assert!(!waits.is_empty() && waits.iter().all(|wait| wait["kind"] == "other:write"), "{waits:#?}");
}

#[test]
fn nothing_stays_in_the_dark_and_threads_are_counted() {
    for start in BATCH.starts() {
        assert_observed(start);
    }
    let spinner = Case::of(&BATCH, "throttled", "throttled");
    let counters = &spinner.timeline["counters"];
    assert!(counters["minor_faults"].as_u64().unwrap() > 0 && counters["rss_bytes"].as_u64().unwrap() > 0);
    let switches = counters["involuntary_switches"].as_u64().unwrap();
    assert!(switches > 0, "it lost the CPU several times: {counters}");
}
