//! More than usual: a ring that is full, a tracer that gets no CPU or no memory, fork bombs, thousands of processes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::{Live, held_programs, loaded_programs, until};
use common::{check, check_schema, parse, program, record, record_background, startrace, turn};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const NONE: &[&str] = &[];

/// A control group of this test's own with one controller, wherever this machine has it; gone with this.
struct Group(PathBuf);

impl Group {
    fn with(controller: &str) -> Self {
        let first = Path::new("/sys/fs/cgroup").join(controller);
        let base = if first.is_dir() {
            first
        } else {
            let root = PathBuf::from("/sys/fs/cgroup");
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}"))
                .unwrap_or_else(|error| panic!("no control group for {controller}: {error}"));
            root
        };
        let group = base.join(format!("startrace-test-{controller}-{}", std::process::id()));
        fs::create_dir(&group).unwrap();
        Self(group)
    }

    /// Sets the limit by the name that it has in the one version or the other.
    fn limit(&self, names: [&str; 2], value: &str) {
        let name = names.into_iter().find(|name| self.0.join(name).exists()).expect("a file of the limit");
        fs::write(self.0.join(name), value).unwrap();
    }

    fn procs(&self) -> String {
        self.0.join("cgroup.procs").to_str().unwrap().to_owned()
    }

    fn read(&self, names: [&str; 2]) -> u64 {
        let name = names.into_iter().find(|name| self.0.join(name).exists()).expect("a file of the group");
        fs::read_to_string(self.0.join(name)).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It is empty once what was killed is gone.
        for _ in 0..200 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Everything that holds for a trace in which something is missing.
fn check_incomplete(trace: &Value) {
    check_schema(trace);
    check::timelines(trace).unwrap();
    assert_eq!(trace["session"]["complete"], false, "{:#}", trace["session"]);
}

fn with_argv<'t>(trace: &'t Value, argv: &[&str]) -> Vec<&'t Value> {
    let wanted = Value::from(argv.to_vec());
    trace["starts"].as_array().unwrap().iter().filter(|start| start["argv"] == wanted).collect()
}

/// The tracer does not run for 10 seconds, in which more happens than the ring holds. What is lost is counted, what
/// is there is right, and what comes later is whole.
#[test]
fn a_full_ring_is_counted_and_what_comes_later_is_right() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let script =
        "echo ready; read go; \"$1\" 1500 8192 >/dev/null; echo full; read go; /bin/true later; exit 4";
    let mut tracer = Live::spawn(
        Command::new(startrace())
            .args(["record", "-q", "-o", "t.json", "--", "sh", "-c", script, "sh"])
            .arg(program("short_lived"))
            .current_dir(&folder),
    );
    tracer.wait_lines(1);
    tracer.signal(Signal::SIGSTOP);
    let begin = Instant::now();
    tracer.say("go");
    tracer.wait_lines(2);
    std::thread::sleep(Duration::from_secs(10).saturating_sub(begin.elapsed()));
    tracer.signal(Signal::SIGCONT);
    // Until the ring is empty again: a loss of what comes next would be one more, and right.
    std::thread::sleep(Duration::from_millis(500));
    tracer.say("go");
    assert_eq!(tracer.wait().code(), Some(4), "{}", tracer.stderr());
    let trace = parse(&fs::read(folder.path().join("t.json")).unwrap());
    check_incomplete(&trace);
    let lost = &trace["session"]["lost"];
    // 1500 times 8 KiB are three rings.
    assert!(lost["events"].as_u64().unwrap() > 500, "{lost:#}");
    assert!(lost["event_bytes"].as_u64().unwrap() > 4 << 20, "{lost:#}");
    for start in with_argv(&trace, &["true", "short_lived"]) {
        assert!(start["argv"].as_array().unwrap().len() == 3, "{start:#}");
    }
    let later = with_argv(&trace, &["/bin/true", "later"]);
    assert_eq!(later.len(), 1);
    assert_eq!((&later[0]["partial"], &later[0]["exit"]["code"]), (&false.into(), &0.into()));
    let phases: Vec<&Value> =
        later[0]["timeline"]["phases"].as_array().unwrap().iter().map(|phase| &phase["name"]).collect();
    assert_eq!(phases, common::phases(&["fork", "schedule", "setup", "image"]));
}

#[test]
fn a_tracer_that_is_out_of_memory_leaves_a_spool_and_no_programs() {
    let _turn = turn();
    let group = Group::with("memory");
    let limits = ["memory.limit_in_bytes", "memory.max"];
    let folder = tempfile::tempdir().unwrap();
    let starter = program("fork_bomb");
    let mut storm = Live::shell(
        "echo $$; read go; /bin/true early; sleep 1.5; \"$1\" 20000 60000",
        &[starter.to_str().unwrap()],
    );
    storm.wait_lines(1);
    let mut tracer = Live::shell(
        "echo $$ > \"$1\"; exec \"$2\" record -q -p \"$3\" -o \"$4/t.json\"",
        &[&group.procs(), startrace().to_str().unwrap(), &storm.pid_text(), folder.path().to_str().unwrap()],
    );
    until("the tracer", || common::live::is_live(tracer.pid()));
    let programs = held_programs(tracer.pid());
    assert!(programs.len() >= 5, "{programs:?}");
    storm.say("go");
    let spool = folder.path().join("t.json.spool");
    until("the first start in the spool", || {
        fs::read_to_string(&spool).is_ok_and(|text| text.lines().any(|line| line.contains("\"early\"")))
    });
    // As much as it has, and a little: each of the thousands that come and stay takes some more.
    let used = group.read(["memory.usage_in_bytes", "memory.current"]);
    group.limit(limits, &(used + (1 << 20)).to_string());
    let status = tracer.wait();
    drop(storm);
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(status.signal(), Some(9), "{status}: {}", tracer.stderr());
    until("the end of the programs", || {
        let loaded = loaded_programs();
        programs.iter().all(|id| !loaded.contains(id))
    });
    let done = Command::new(startrace()).arg("report").arg(&spool).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && said.contains("INCOMPLETE") && said.contains("true early"), "{done:?}");
}

fn fork_bomb(attempts: u64) {
    let _turn = turn();
    let group = Group::with("pids");
    group.limit(["pids.max", "pids.max"], "40");
    let script = "echo $$ > \"$1\" && exec \"$2\" \"$3\" 20";
    let starter = program("fork_bomb");
    let attempts = attempts.to_string();
    let recorded =
        record(NONE, &["sh", "-c", script, "sh", &group.procs(), starter.to_str().unwrap(), &attempts]);
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let told = recorded.told();
    let (made, failed) = (told["made"].as_u64().unwrap(), told["failed"].as_u64().unwrap());
    assert!(made >= 38 && failed > 0 && (made + failed).to_string() == attempts, "{told}");
    let parent = told["self"].as_u64().unwrap();
    assert_eq!(recorded.children_of(parent).len() as u64, made);
    let refused: Vec<&Value> = recorded.trace["failed_forks"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|fork| fork["by"]["pid"] == parent)
        .collect();
    assert_eq!(refused.len() as u64, failed, "{:#?}", refused.first());
    assert!(refused.iter().all(|fork| fork["error"] == "EAGAIN"), "{:#?}", refused.first());
}

#[test]
fn a_fork_bomb_under_a_limit() {
    fork_bomb(2000);
}

#[test]
#[ignore = "slow"]
fn a_large_fork_bomb_under_a_limit() {
    fork_bomb(20_000);
}

/// Attaches to a tree of so many processes; the next start, by the last of them, is whole.
fn attach_to(count: u64) {
    let _turn = turn();
    let mut tree = Live::spawn(Command::new(program("many_live")).arg(count.to_string()));
    tree.wait_lines(1);
    let told: Value = serde_json::from_str(tree.stdout().lines().next().unwrap()).unwrap();
    for args in [["-p", &tree.pid_text()].as_slice(), &["-a"]] {
        let lines = tree.stdout().lines().count();
        let begin = Instant::now();
        let running = record_background(args);
        let attached = begin.elapsed();
        tree.say("go");
        tree.wait_lines(lines + 1);
        let child: Value = serde_json::from_str(tree.stdout().lines().last().unwrap()).unwrap();
        // With -a others on this machine may be lost of; they are not what is looked at.
        let recorded = if args[0] == "-a" { running.stop_unchecked() } else { running.stop() };
        check::timelines(&recorded.trace).unwrap();
        let start = recorded.start_of(child["child"].as_u64().unwrap());
        assert_eq!((&start["partial"], &start["parent"]["pid"]), (&false.into(), &told["last"]), "{start:#}");
        assert_eq!(start["argv"], serde_json::json!(["true", "many_live"]));
        assert!(attached < Duration::from_secs(30), "{attached:?}");
        println!("{count} processes, {args:?}: attached after {attached:?}");
    }
}

#[test]
fn many_processes_at_the_beginning() {
    attach_to(500);
}

#[test]
#[ignore = "slow"]
fn thousands_of_processes_at_the_beginning() {
    attach_to(5000);
}

/// Every CPU has something better to do, twice.
#[test]
fn a_busy_machine_loses_nothing() {
    let _turn = turn();
    let cpus = std::thread::available_parallelism().unwrap().get();
    let busy: Vec<Live> = (0..2 * cpus).map(|_| Live::shell("while :; do :; done", &[])).collect();
    let recorded = record(NONE, &[program("short_lived").to_str().unwrap(), "300"]);
    drop(busy);
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let children: Vec<u64> = serde_json::from_value(recorded.told()["children"].clone()).unwrap();
    assert_eq!(children.len(), 300);
    for child in children {
        let start = recorded.start_of(child);
        assert_eq!((&start["exit"]["code"], &start["partial"]), (&0.into(), &false.into()));
    }
}

/// What a process has in memory, in KiB.
fn resident(pid: u64) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// A recorder's memory grows with what lives, not with what was: but for some 100 bytes a start, which is 8 MB here.
#[test]
#[ignore = "slow"]
fn a_hundred_thousand_starts_in_flat_memory() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let starter = program("short_lived");
    let script = "for i in $(seq 100); do \"$1\" 1000 >/dev/null || exit 9; echo $i; done";
    let mut tracer = Live::spawn(
        Command::new(startrace())
            .args(["record", "-q", "-o", "t.ndjson", "--", "sh", "-c", script, "sh"])
            .arg(&starter)
            .current_dir(&folder),
    );
    let mut sizes = Vec::new();
    // Each waits up to a minute.
    for round in 1..=100 {
        tracer.wait_lines(round);
        if round % 10 == 0 {
            sizes.push(resident(tracer.pid()));
        }
    }
    assert!(tracer.wait().success(), "{}", tracer.stderr());
    println!("KiB after each 10,000 starts: {sizes:?}");
    let grown = sizes[9].saturating_sub(sizes[1]);
    assert!(grown < 24 << 10, "{sizes:?}");
    let text = fs::read_to_string(folder.path().join("t.ndjson")).unwrap();
    let last: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let session = &last["session"];
    assert_eq!((&session["starts"], &session["complete"]), (&100_102.into(), &true.into()), "{session:#}");
}
