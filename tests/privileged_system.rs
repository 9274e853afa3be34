//! Recordings of the whole machine: `-a` and the selectors. One test at a time, and quiet about
//! what strangers run: no argument of theirs is in a message.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::{Live, names};
use common::{Recorded, check, check_schema_quietly, parse, record_background, require_root, startrace};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Makes the whole trace of a recording of everything, checked.
fn stop(running: common::Background) -> Recorded {
    let recorded = running.stop_unchecked();
    assert!(recorded.status.success(), "{}", recorded.status);
    check_quietly(&recorded.trace);
    recorded
}

fn check_quietly(trace: &Value) {
    check_schema_quietly(trace);
    check::timelines(trace).unwrap();
    assert_eq!(trace["session"]["complete"], true, "{:#}", trace["session"]["lost"]);
}

fn pids(starts: &[Value]) -> Vec<u64> {
    starts.iter().map(|start| start["pid"].as_u64().unwrap()).collect()
}

/// A shell that runs `/bin/true in` as a child, once it is told to, and then says that child's pid.
const INNER: &str = "read x; /bin/true in & echo $!; wait; exit 6";

/// Starts what the selector has to pick and, beside it, what it must not. Every start of the trace
/// has to be of the picked shell or below it.
fn check_selector(args: &[&str], what: &str, mut picked: Live) {
    let running = record_background(args);
    picked.say("go");
    picked.wait();
    let inner: u64 = picked.stdout().lines().last().unwrap().parse().unwrap();
    let mut other = Command::new("/bin/true").arg("out").spawn().unwrap();
    other.wait().unwrap();
    let recorded = stop(running);
    assert_eq!(recorded.trace["session"]["mode"], "system", "{what}");
    let mut seen = pids(recorded.starts());
    seen.sort_unstable();
    let mut expected = vec![picked.pid(), inner];
    expected.sort_unstable();
    // The shell ran before: it has a start if it was in the middle of it.
    let only_inner = seen == [inner];
    assert!(only_inner || seen == expected, "{what}: pids {seen:?}, not {expected:?} or {inner}");
    let start = recorded.start_of(inner);
    assert_eq!(start["argv"], serde_json::json!(["/bin/true", "in"]), "{what}");
    assert_eq!(start["parent"]["pid"], picked.pid(), "{what}");
    let told = recorded.trace["session"]["target"]["selectors"].as_array().unwrap();
    assert_eq!(told.len(), 1, "{what}");
}

/// The same where the picked process has a child already that is not picked itself.
fn check_below(args: &[&str], command: &mut Command) {
    let mut top = Live::spawn(command);
    let mut middle = 0;
    common::live::until("a child", || {
        middle = common::live::children(top.pid()).first().copied().unwrap_or(0);
        middle != 0
    });
    let running = record_background(args);
    top.say("go");
    assert_eq!(top.wait().code(), Some(6));
    let inner: u64 = top.stdout().trim().parse().unwrap();
    let recorded = stop(running);
    assert_eq!(recorded.start_of(inner)["parent"]["pid"], middle);
    let ours = [top.pid(), middle, inner];
    assert!(pids(recorded.starts()).iter().all(|pid| ours.contains(pid)));
}

/// The same for what starts only when the recording runs: all of it is there then.
fn check_new(args: &[&str], what: &str, command: &mut Command) -> Recorded {
    let running = record_background(args);
    let mut picked = Live::spawn(command);
    picked.say("go");
    assert_eq!(picked.wait().code(), Some(6), "{what}: {}", picked.stderr());
    let inner: u64 = picked.stdout().lines().last().unwrap().parse().unwrap();
    let mut other = Command::new("/bin/true").arg("out").spawn().unwrap();
    other.wait().unwrap();
    let recorded = stop(running);
    let mut seen = pids(recorded.starts());
    seen.sort_unstable();
    let mut expected = vec![picked.pid(), inner];
    expected.sort_unstable();
    assert_eq!(seen, expected, "{what}");
    let root = recorded.start_of(picked.pid());
    assert_eq!((&root["partial"], &root["exit"]["code"]), (&false.into(), &6.into()), "{what}");
    recorded
}

/// A shell under a name of its own.
fn named_shell(folder: &Path) -> PathBuf {
    let path = folder.join("startrace-t-sh");
    let copied = Command::new("cp").arg("/bin/sh").arg(&path).status();
    assert!(copied.unwrap().success());
    path
}

#[test]
fn everything_is_recorded_as_lines() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let mut tracer =
        Live::spawn(Command::new(startrace()).args(["record", "-a", "-q"]).current_dir(folder.path()));
    common::live::until("the probes", || common::live::is_live(tracer.pid()));
    let mut shell = Live::shell(INNER, &[]);
    shell.say("go");
    assert_eq!(shell.wait().code(), Some(6));
    tracer.signal(nix::sys::signal::Signal::SIGINT);
    assert!(tracer.wait().success());
    assert_eq!(tracer.stdout() + &tracer.stderr(), "", "-q is quiet");
    let names = names(folder.path());
    assert!(
        names.len() == 1 && names[0].starts_with("startrace-") && names[0].ends_with(".ndjson"),
        "{names:?}"
    );
    let bytes = fs::read(folder.path().join(&names[0])).unwrap();
    let lines: Vec<Value> = bytes
        .split(|&b| b == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(lines[0]["type"], "header");
    assert_eq!(lines.last().unwrap()["type"], "footer");
    let trace = parse(&bytes);
    check_quietly(&trace);
    assert_eq!(trace["session"]["mode"], "system");
    assert_eq!(trace["session"]["ended_by"], "SIGINT");
    let inner: u64 = shell.stdout().trim().parse().unwrap();
    for pid in [shell.pid(), inner] {
        let of_pid = trace["starts"].as_array().unwrap().iter().filter(|s| s["pid"] == pid);
        assert_eq!(of_pid.count(), 1, "starts of {pid}");
    }
}

#[test]
fn a_users_processes() {
    require_root();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "54331", "--regid", "54331", "--clear-groups", "sh", "-c", INNER]);
    let recorded = check_new(&["--uid", "54331"], "--uid", &mut command);
    assert!(recorded.starts().iter().all(|start| start["uid"] == 54331));
    check_selector(&["--uid", "54331"], "--uid, running", Live::spawn(&mut command));
}

#[test]
fn processes_by_name_and_executable() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let shell = named_shell(folder.path());
    let path = shell.to_str().unwrap();
    let mut command = Command::new(&shell);
    command.args(["-c", INNER]);
    for args in [["--exe", path], ["--exe", "startrace-t-*"], ["--comm", "startrace-t-s?"]] {
        check_new(&args, args[1], &mut command);
    }
    check_selector(&["--exe", path], "--exe, running", Live::spawn(&mut command));
    check_selector(&["--comm", "startrace-t-sh"], "--comm, running", Live::spawn(&mut command));
    // A descendant that ran before as well, and is none of the picked itself.
    let mut below = Command::new(&shell);
    below.args(["-c", "sh -c \"$1\"; exit $?", "sh", INNER]);
    check_below(&["--exe", path], &mut below);
    // A wrapper on the way: what counts is the program in the end.
    let mut command = Command::new("env");
    command.arg(&shell).args(["-c", INNER]);
    let recorded = check_new(&["--exe", path], "env", &mut command);
    let execs = recorded.filter(|s| s["exe"] == path)[0]["execs"].as_array().unwrap();
    let execs = execs.iter().filter(|exec| exec["error"].is_null()).count();
    assert_eq!(execs, 2);
}

/// A cgroup that goes with it.
struct Cgroup(PathBuf);

impl Cgroup {
    fn new(name: &str) -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).expect("no cgroup2");
        let path = Path::new(mount.split(' ').nth(4).unwrap()).join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// A shell that enters it and then becomes the picked one.
    fn command(&self) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "echo $$ > \"$1/cgroup.procs\" && exec sh -c \"$2\"", "sh"])
            .arg(&self.0)
            .arg(INNER);
        command
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Its last process may not be quite gone yet.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    }
}

#[test]
fn processes_of_a_cgroup_and_of_a_unit() {
    require_root();
    let id = std::process::id();
    let (group, unit) = (format!("startrace-t{id}"), format!("startrace-t{id}.service"));
    let below = Cgroup::new(&group);
    for glob in [format!("/{group}"), "/startrace-t*".to_owned()] {
        let recorded = check_new(&["--cgroup", &glob], "--cgroup", &mut below.command());
        assert!(recorded.starts().iter().all(|start| start["cgroup"] == format!("/{group}")));
    }
    check_selector(
        &["--cgroup", &format!("/{group}")],
        "--cgroup, running",
        Live::spawn(&mut below.command()),
    );
    for name in [&unit, &format!("startrace-t{id}")] {
        // It exists only after the recording began.
        let service = Cgroup::new(&unit);
        let recorded = check_new(&["--unit", name], "--unit", &mut service.command());
        assert!(recorded.starts().iter().all(|start| start["unit"] == unit.as_str()));
    }
}

#[test]
fn a_cgroup_that_is_not_there_is_told_from_one_in_which_nothing_starts() {
    require_root();
    let said = |args: &[&str]| {
        let mut command = Command::new(startrace());
        command.args(["record", "-o", "-", "--duration", "300ms"]).args(args).stdout(Stdio::null());
        let output = command.output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stderr).unwrap()
    };
    let missing = said(&["--unit", "no-such-unit"]);
    assert!(missing.contains("startrace: --unit no-such-unit: there is no such cgroup"), "{missing}");
    // At once, and not only when it has been waited for in vain.
    assert!(missing.contains("now; waiting for it\n"), "{missing}");
    let quiet = Cgroup::new(&format!("startrace-q{}.service", std::process::id()));
    let name = quiet.0.file_name().unwrap().to_str().unwrap();
    let nothing = said(&["--unit", name]);
    assert!(!nothing.contains("cgroup"), "{nothing}");
}

#[test]
fn a_trigger_for_a_selector() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let shell = named_shell(folder.path());
    let path = shell.to_str().unwrap();
    let output = Command::new(startrace())
        .args(["record", "-q", "-o", "-", "--format", "json", "--exe", path, "--count", "1", "--"])
        .args([path, "-c", "exit 3"])
        .output()
        .unwrap();
    // The trigger's own end is nobody's business.
    assert!(output.status.success(), "{}", output.status);
    let trace = parse(&output.stdout);
    check_quietly(&trace);
    let starts = trace["starts"].as_array().unwrap();
    assert_eq!(starts.len(), 1);
    assert_eq!((&starts[0]["exe"], &starts[0]["exit"]["code"]), (&path.into(), &3.into()));
    assert_eq!(trace["session"]["ended_by"], "count");
}

/// The kernel itself starts a program where the last process of a cgroup has left (a hierarchy of version 1, of
/// its own, with no controller).
#[test]
fn what_the_kernel_starts_itself() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let hierarchy = folder.path().join("hierarchy");
    let agent = folder.path().join("agent");
    fs::create_dir(&hierarchy).unwrap();
    fs::copy("/bin/true", &agent).unwrap();
    let running = record_background(&["-a", "--exe", agent.to_str().unwrap()]);
    let script = "set -e
        mount -t cgroup -o none,name=startrace-$$,release_agent=\"$2\" none \"$1\"
        mkdir \"$1/one\"
        echo 1 > \"$1/one/notify_on_release\"
        sh -c 'echo $$ > \"$0/one/cgroup.procs\"; exec true' \"$1\"
        sleep 1
        rmdir \"$1/one\"
        umount \"$1\"";
    let status = Command::new("sh").args(["-c", script, "sh"]).args([&hierarchy, &agent]).status().unwrap();
    assert!(status.success(), "{status}");
    let recorded = stop(running);
    let starts = recorded.starts();
    assert_eq!(starts.len(), 1, "{starts:#?}");
    let method = &starts[0]["method"];
    assert_eq!(starts[0]["argv"], serde_json::json!([agent, "/one"]));
    assert_eq!(method["primitive"], "kernel");
    assert_eq!(method["mechanism"], "kernel_helper");
    assert_eq!(method["confidence"], "certain");
    assert_eq!(method["library"], Value::Null);
    assert_eq!(method["evidence"], serde_json::json!(["created by a kernel thread, with no system call"]));
}

/// A master that keeps copies of itself makes one more: what those are tells what this one is, though none was seen
/// to be made.
#[test]
fn a_workers_older_siblings_are_found() {
    require_root();
    let master = "import os, signal, sys, time\n\
                  def worker():\n    pid = os.fork()\n    if pid == 0:\n        signal.pause()\n    return pid\n\
                  old = [worker(), worker()]\n\
                  time.sleep(1.1)\nprint('ready', flush=True)\n\
                  sys.stdin.readline()\nnew = worker()\nprint(new, flush=True)\n\
                  sys.stdin.readline()\n[os.kill(pid, 9) for pid in old + [new]]\n";
    for all in [true, false] {
        let mut master = Live::spawn(Command::new(common::python()).args(["-c", master]));
        master.wait_lines(1);
        let pid = master.pid_text();
        let these = ["-p", &pid];
        let running = record_background(if all { &["-a"][..] } else { &these });
        master.say("go");
        master.wait_lines(2);
        let new: u64 = master.stdout().lines().last().unwrap().parse().unwrap();
        // A worker lives for a second.
        std::thread::sleep(std::time::Duration::from_millis(1200));
        master.say("end");
        master.wait();
        let recorded = stop(running);
        let method = &recorded.start_of(new)["method"];
        assert_eq!(method["pattern"], "prefork_worker", "{method:#}");
        assert_eq!(method["confidence"], "likely", "{method:#}");
    }
}
