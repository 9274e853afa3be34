//! How processes are created: system call, flags, exit signal, thread, stack, parents, failures.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::Batch;
use common::batch::{Run, has_evidence, method, phase_ns, phases, strings};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

const RUNS: &[Run<'_>] = &[
    ("fork_exec", &[]),
    ("fork_exit", &["5"]),
    ("vfork_exec", &[]),
    ("vfork_no_exec", &[]),
    ("clone3_exec", &[]),
    ("posix_spawn", &[]),
    ("threads_fork", &[]),
    ("clone_parent", &[]),
    ("clone_newpid", &[]),
    ("subreaper_orphan", &[]),
    ("pid_reuse", &["4"]),
    ("fork_fails", &[]),
    ("fork_enomem", &[]),
    ("slow_setup", &["100"]),
    ("fork_resident", &["48"]),
];

static BATCH: LazyLock<Batch> = LazyLock::new(|| {
    common::require_root();
    Batch::record(&[], "", RUNS)
});

/// Starter, role; primitive, mechanism; clone flags; phases.
type Row = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const GLIBC_FORK: &[&str] = &["CLONE_CHILD_CLEARTID", "CLONE_CHILD_SETTID"];
const SHARED: &[&str] = &["CLONE_VM", "CLONE_VFORK"];
const EXEC: &[&str] = &["fork", "schedule", "setup", "exec", "load", "link", "init", "app"];
const COPY: &[&str] = &["fork", "schedule", "app"];

const ROWS: &[Row] = &[
    ("fork_exec", "child", "clone", "fork_exec", GLIBC_FORK, EXEC),
    ("fork_exit", "child", "clone", "fork", GLIBC_FORK, COPY),
    ("vfork_exec", "child", "vfork", "vfork_exec", SHARED, EXEC),
    ("vfork_no_exec", "child", "vfork", "vfork", SHARED, COPY),
    ("clone3_exec", "child", "clone3", "fork_exec", &["CLONE_PIDFD"], EXEC),
    ("posix_spawn", "plain", "*", "posix_spawn", SHARED, EXEC),
    ("posix_spawn", "actions", "*", "posix_spawn", SHARED, EXEC),
    ("posix_spawn", "path", "*", "posix_spawn", SHARED, EXEC),
    ("threads_fork", "child", "clone", "fork_exec", GLIBC_FORK, EXEC),
    ("clone_parent", "middle", "clone", "fork", GLIBC_FORK, COPY),
    ("clone_parent", "child", "clone", "fork_exec", &["CLONE_PARENT"], EXEC),
    ("clone_newpid", "init", "clone", "fork", &["CLONE_NEWPID"], COPY),
    ("clone_newpid", "inner", "clone", "fork_exec", GLIBC_FORK, EXEC),
];

#[test]
fn every_way_of_creation_is_named() {
    for (starter, role, primitive, mechanism, flags, want) in ROWS {
        let start = BATCH.start(starter, role);
        let what = format!("{starter} {role}: {:#}", start["method"]);
        let [got, ..] = method(start);
        // posix_spawn is clone3 from glibc 2.34 on, and clone where that is refused.
        let fits = *primitive == got || *primitive == "*" && matches!(got, "clone" | "clone3");
        assert!(fits && method(start)[1] == *mechanism, "{what}");
        let mut found = strings(&start["method"]["clone_flags"]);
        // glibc 2.38 and later.
        found.retain(|flag| *mechanism != "posix_spawn" || *flag != "CLONE_CLEAR_SIGHAND");
        assert_eq!(found, *flags, "{what}");
        assert_eq!(start["method"]["exit_signal"], "SIGCHLD", "{what}");
        assert_eq!(phases(start), *want, "{what}");
        assert_eq!(start["timeline"]["origin"], "entry", "{what}");
        assert_eq!(start["timeline"]["ready"]["kind"], "exit", "{what}");
        assert_eq!((&start["seq"], &start["partial"]), (&json!(0), &json!(false)), "{what}");
    }
}

#[test]
fn a_plain_start_has_no_pattern_and_its_evidence_is_never_empty() {
    for (starter, role, ..) in ROWS.iter().filter(|row| !row.0.starts_with("clone_newpid")) {
        let start = BATCH.start(starter, role);
        assert_eq!(start["method"]["pattern"], Value::Null, "{starter} {role}: {:#}", start["method"]);
        assert_eq!(start["method"]["name"], start["method"]["mechanism"]);
    }
    for start in BATCH.starts() {
        assert!(!strings(&start["method"]["evidence"]).is_empty(), "{:#}", start["method"]);
    }
}

/// The raw calls, in a recording of their own: it needs a cgroup to begin in.
#[test]
fn raw_calls_in_every_shape() {
    common::require_root();
    let cgroup = Cgroup::v2("raw-clones");
    let path = cgroup.as_ref().map(|cgroup| cgroup.path.to_str().unwrap());
    let args: Vec<&str> = path.into_iter().collect();
    let batch = Batch::record(&[], "", &[("raw_clones", &args)]);
    // Role; primitive, mechanism; flags; exit signal; words of the evidence.
    type Shape<'a> = (&'a str, &'a str, &'a str, &'a [&'a str], Option<&'a str>, &'a str);
    let chld = Some("SIGCHLD");
    let mut shapes: Vec<Shape<'_>> = vec![
        ("raw_clone", "clone", "fork_exec", &[], chld, "no clone flags"),
        ("clear_sighand", "clone3", "fork_exec", &["CLONE_CLEAR_SIGHAND"], chld, "CLEAR_SIGHAND"),
        ("usr1", "clone", "fork_exec", &[], Some("SIGUSR1"), "a copy of the parent"),
        ("silent", "clone", "fork_exec", &[], None, "a copy of the parent"),
        ("near", "clone", "posix_spawn", SHARED, chld, "stack in the caller's frame"),
        ("far", "clone", "posix_spawn", SHARED, chld, "on a stack of its own"),
        ("vm_only", "clone", "clone_exec", &["CLONE_VM"], chld, "on a stack of its own"),
        ("vfork_only", "clone", "clone_exec", &["CLONE_VFORK"], chld, "a clone of its own kind"),
        ("namespace", "clone", "clone_exec", &["CLONE_NEWUTS"], chld, "namespaces other than"),
    ];
    if cfg!(target_arch = "x86_64") {
        shapes.push(("raw_fork", "fork", "fork_exec", &[], chld, "system call fork"));
        shapes.push(("same", "clone", "vfork_exec", SHARED, chld, "on the parent's stack"));
    }
    if path.is_some() {
        shapes.push(("cgroup", "clone3", "fork_exec", &["CLONE_INTO_CGROUP"], chld, "INTO_CGROUP"));
    }
    for (role, primitive, mechanism, flags, signal, words) in shapes {
        let start = batch.start("raw_clones", role);
        let what = format!("{role}: {:#}", start["method"]);
        assert_eq!(method(start)[..2], [primitive, mechanism], "{what}");
        assert_eq!(strings(&start["method"]["clone_flags"]), flags, "{what}");
        assert_eq!(start["method"]["exit_signal"], json!(signal), "{what}");
        assert!(has_evidence(start, words), "{what}");
        assert_eq!(start["argv"], json!(["true", role]), "{what}");
        // None of them is what a library does: the mask, the flags or the stack differ.
        let imitation = role != "same" && role != "namespace";
        assert!(!imitation || start["method"]["library"].is_null(), "{what}");
    }
    if let Some(cgroup) = cgroup {
        assert_eq!(batch.start("raw_clones", "cgroup")["cgroup"], cgroup.name());
    }
}

/// A cgroup that goes with the test.
struct Cgroup {
    mount: PathBuf,
    path: PathBuf,
}

impl Cgroup {
    /// In the v2 hierarchy, where the host has one.
    fn v2(name: &str) -> Option<Self> {
        let mounts = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
        let mount = mounts.into_iter().find(|mount| mount.join("cgroup.procs").exists())?;
        Self::new(mount, name)
    }

    /// In the v1 cpu controller's hierarchy, where the host has one.
    fn v1(name: &str) -> Option<Self> {
        let mount = Path::new("/sys/fs/cgroup/cpu");
        if mount.join("cgroup.procs").exists() { Self::new(mount, name) } else { None }
    }

    fn new(mount: &Path, name: &str) -> Option<Self> {
        let path = mount.join(format!("startrace-test-{}-{name}", std::process::id()));
        match fs::create_dir(&path) {
            Ok(()) => Some(Self { mount: mount.to_owned(), path }),
            // A container's hierarchy may be mounted read-only.
            Err(error) => {
                eprintln!("NOT TESTED: cgroup {}: {error}", path.display());
                None
            }
        }
    }

    /// As a trace names it.
    fn name(&self) -> String {
        format!("/{}", self.path.strip_prefix(&self.mount).unwrap().display())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // The last process may not be quite gone.
        for _ in 0..50 {
            if fs::remove_dir(&self.path).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

#[test]
fn a_cgroup_is_named_by_its_v2_path_or_else_the_cpu_controllers() {
    common::require_root();
    for cgroup in [Cgroup::v2("v2"), Cgroup::v1("v1")].into_iter().flatten() {
        let enter = format!("echo $$ > '{}/cgroup.procs'; exec /bin/true in-cgroup", cgroup.path.display());
        let recorded = common::record::<&str, &str>(&[], &["sh", "-c", &enter]);
        let start = recorded.start_with_argv(&["/bin/true", "in-cgroup"]);
        assert_eq!(start["cgroup"], cgroup.name());
        assert_eq!(start["execs"].as_array().unwrap().len(), 2, "{start:#}");
    }
}

#[test]
fn the_calling_thread_is_told() {
    let start = BATCH.start("threads_fork", "child");
    let thread = BATCH.pid_of("threads_fork", "thread");
    assert!(has_evidence(start, &format!("called by thread {thread}")), "{:#}", start["method"]);
    assert_eq!(start["parent"]["pid"], BATCH.pid_of("threads_fork", "self"));
    assert!(BATCH.starts_of(thread).is_empty(), "a thread is no start");
    let leader = BATCH.start("fork_exec", "child");
    assert!(!has_evidence(leader, "thread"), "{:#}", leader["method"]);
}

#[test]
fn the_parent_is_who_called_fork() {
    // Starter, role, role of the creator. The kernel's parent is another one in all three.
    for (starter, role, creator) in [
        ("clone_parent", "child", "middle"),
        ("subreaper_orphan", "orphan", "child"),
        ("clone_newpid", "inner", "init"),
    ] {
        let start = BATCH.start(starter, role);
        let parent = BATCH.start(starter, creator);
        assert_eq!(start["parent"]["pid"], parent["pid"], "{starter}");
        assert_eq!(start["parent"]["start_id"], parent["start_id"], "{starter}");
        assert_eq!(start["parent"]["id"], parent["id"], "{starter}");
    }
    // The orphan's creator was gone before the orphan's exec, and is known all the same.
    let (orphan, child) =
        (BATCH.start("subreaper_orphan", "orphan"), BATCH.start("subreaper_orphan", "child"));
    let end = |s: &Value| {
        s["timeline"]["origin_boottime_ns"].as_u64().unwrap() + s["timeline"]["duration_ns"].as_u64().unwrap()
    };
    assert!(end(child) + 15_000_000 < end(orphan), "the orphan waits 20 ms after its creator's end");
    assert!(phase_ns(orphan, "setup") > 15_000_000, "{:#}", orphan["timeline"]);
}

#[test]
fn pids_are_told_inside_their_namespace_too() {
    for (role, inside) in [("init", 1), ("inner", 2)] {
        let start = BATCH.start("clone_newpid", role);
        assert_eq!(start["ns_pid"], inside, "{role}");
        assert_eq!(start["pid"], BATCH.pid_of("clone_newpid", role));
    }
    let init = BATCH.start("clone_newpid", "init");
    assert_eq!(method(init)[3..], ["namespace", "certain"]);
    let outside = BATCH.start("fork_exec", "child");
    assert_eq!(outside["ns_pid"], outside["pid"]);
}

#[test]
fn a_pid_that_comes_back_is_another_process() {
    let pid = BATCH.pid_of("pid_reuse", "pid");
    let starts = BATCH.starts_of(pid);
    assert_eq!(starts.len(), 4, "{:#}", BATCH.outline());
    let mut ids: Vec<&str> = starts.iter().map(|s| s["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 4);
    for (round, start) in starts.iter().enumerate() {
        assert_eq!(start["argv"], json!(["true", format!("round-{round}")]));
        assert_eq!(start["seq"], 0);
        assert_eq!(start["execs"].as_array().unwrap().len(), 1, "{start:#}");
        assert_eq!(start["exit"]["code"], 0);
    }
}

#[test]
fn failed_forks_are_told_with_their_error() {
    let failed = BATCH.trace["failed_forks"].as_array().unwrap();
    assert_eq!(failed.len(), 2, "{failed:#?}");
    for (fork, starter, error) in
        [(&failed[0], "fork_fails", "EAGAIN"), (&failed[1], "fork_enomem", "ENOMEM")]
    {
        let caller = BATCH.start(starter, "attempter");
        assert_eq!(fork["error"], error, "{fork:#}");
        assert_eq!(fork["primitive"], "clone", "{fork:#}");
        assert_eq!(fork["by"]["start_id"], caller["start_id"], "{fork:#}");
        let at = fork["boottime_ns"].as_u64().unwrap();
        let begin = caller["timeline"]["origin_boottime_ns"].as_u64().unwrap();
        let end = begin + caller["timeline"]["duration_ns"].as_u64().unwrap();
        assert!((begin..end).contains(&at), "{fork:#}");
        assert!(fork["duration_ns"].as_u64().unwrap() < end - begin, "{fork:#}");
    }
    // What failed is no start.
    assert!(BATCH.children_of(BATCH.pid_of("fork_fails", "attempter")).is_empty());
    assert_eq!(BATCH.children_of(BATCH.pid_of("fork_enomem", "attempter")).len(), 1);
}

#[test]
fn what_a_child_does_before_its_exec_is_setup() {
    for role in ["forked", "vforked"] {
        let start = BATCH.start("slow_setup", role);
        let setup = phase_ns(start, "setup");
        let slept = BATCH.told_by("slow_setup")[format!("{role}_ns")].as_u64().unwrap();
        assert!(slept >= 100_000_000);
        // The two end where a busy machine may have the CPU for others; how close it is, `privileged_phases.rs` tries
        // until it is not.
        assert!((slept..slept + 10_000_000).contains(&setup), "slept {slept}, {:#}", start["timeline"]);
    }
}

/// A fork takes as long as there is memory whose page tables it copies; vfork copies none.
#[test]
fn the_memory_that_a_fork_copies_the_tables_of_is_told() {
    let resident = BATCH.told_by("fork_resident")["resident_bytes"].as_u64().unwrap();
    assert!(resident > 48 << 20, "{resident}");
    let told = &BATCH.start("fork_resident", "copied")["timeline"]["fork_copied_bytes"];
    // The kernel's three sums lack what each CPU has not added to them yet: less than a batch, of which the size is by CPUs.
    let cpus = std::thread::available_parallelism().unwrap().get() as u64;
    let lag = 3 * cpus * (2 * cpus).max(32) * 4096;
    assert!(told.as_u64().unwrap().abs_diff(resident) <= lag, "{told}, resident {resident}, lag {lag}");
    let shared = BATCH.start("fork_resident", "shared");
    assert_eq!(shared["timeline"]["fork_copied_bytes"], Value::Null, "{:#}", shared["timeline"]);
}

/// A list without failed forks must not look as if there had been none where none could be seen.
#[test]
fn what_the_hooks_cannot_see_is_said() {
    let (me, no_one): (String, [&str; 0]) = (std::process::id().to_string(), []);
    for (more, asked) in [(&[][..], false), (&["--syscall-hooks"], true)] {
        let args = [&["-p", &me, "--duration", "300ms"], more].concat();
        let recorded = common::record(&args, &no_one);
        let session = &recorded.trace["session"];
        let unseen = strings(&session["not_observed"]);
        let hooks = strings(&session["hooks"]);
        let returns = hooks.iter().any(|hook| hook.starts_with("fexit/") || hook.ends_with("sys_exit_clone"));
        assert_eq!(unseen.contains(&"failed_forks"), !returns, "{session}");
        assert!(returns || !asked, "{session}");
        // With -p, libc's own execve is probed.
        assert_eq!(unseen.contains(&"failed_exec_errors"), !returns, "{session}");
        assert!(!unseen.contains(&"failed_execs"), "{session}");
        let said = std::process::Command::new(common::startrace())
            .arg("report")
            .arg(common::in_folder(&recorded, "trace.json"))
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert_eq!(said.contains("Not observed: forks that fail, why execs fail"), !returns, "{said}");
    }
}
