//! `record`'s ways to follow and to end: `-p`, triggers, `--duration`, `--count`, `--window`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::Live;
use common::{Recorded, program, record, record_background, record_unchecked, require_root, startrace};
use serde_json::Value;
use std::collections::HashSet;
use std::process::{Command, Stdio};
use std::time::Duration;

const NONE: &[&str] = &[];

fn hooks(recorded: &Recorded) -> Vec<&str> {
    let hooks = recorded.trace["session"]["hooks"].as_array().unwrap();
    hooks.iter().map(|hook| hook.as_str().unwrap()).collect()
}

fn ended_by(recorded: &Recorded) -> &Value {
    &recorded.trace["session"]["ended_by"]
}

fn boottime_ns() -> u64 {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).unwrap();
    now.tv_sec() as u64 * 1_000_000_000 + now.tv_nsec() as u64
}

/// A master that starts what it is told to.
fn master() -> Live {
    let mut master = Live::spawn(&mut Command::new(program("on_request")));
    master.wait_lines(1);
    master
}

/// Longer than a process counts as being in its start when the recording begins.
fn grow_old() {
    std::thread::sleep(Duration::from_millis(1100));
}

#[test]
fn a_tree_that_forks_all_the_time_is_followed_without_a_gap() {
    require_root();
    let (mut whole_rounds, mut rounds) = (0, 0);
    while whole_rounds < 3 {
        rounds += 1;
        assert!(rounds <= 6, "only {whole_rounds} recordings were complete");
        let mut tree = Live::spawn(Command::new(program("busy_tree")).args(["20", "2"]));
        tree.wait_lines(1);
        let running = record_background(&["-p", &tree.pid_text()]);
        let live_ns = boottime_ns();
        std::thread::sleep(Duration::from_millis(500));
        let told = common::programs::told(&tree.finish());
        let recorded = running.at_its_end_unchecked();
        // The kernel refuses a mark now and then, where one program was preempted while it made
        // another on the same CPU. That has to be counted, and only that may happen here.
        let lost = recorded.trace["session"]["lost"].as_object().unwrap();
        if lost.iter().any(|(name, n)| name == "task_storage" && *n != 0) {
            assert_eq!(recorded.trace["session"]["complete"], false);
            continue;
        }
        common::check_all(&recorded);
        whole_rounds += 1;
        let seen: HashSet<u64> = recorded.starts().iter().map(|s| s["pid"].as_u64().unwrap()).collect();
        let forks: Vec<(u64, u64, u64)> = serde_json::from_value(told["forks"].clone()).unwrap();
        let later: Vec<_> = forks.iter().filter(|(at, ..)| *at >= live_ns).collect();
        let parents: HashSet<u64> = later.iter().map(|(_, parent, _)| *parent).collect();
        assert!(later.len() > 100 && parents.len() == 21, "{} by {}", later.len(), parents.len());
        let missing: Vec<_> = later.iter().filter(|(.., child)| !seen.contains(child)).collect();
        assert!(missing.is_empty(), "{} of {}: {missing:?}", missing.len(), later.len());
        // Whose creation was not seen is partial, and nothing else is.
        let partial = recorded.filter(|s| s["partial"] == true);
        assert!(partial.iter().all(|s| s["method"]["primitive"].is_null()), "{partial:#?}");
        let whole = recorded.filter(|s| s["partial"] == false);
        assert!(whole.iter().all(|s| s["method"]["mechanism"].is_string() && s["parent"]["id"].is_string()));
        let threads = whole.iter().filter(|s| s["parent"]["pid"] != told["self"]).count();
        assert_eq!(threads, whole.len(), "the top of the tree forks nothing any more");
    }
}

#[test]
fn two_processes_at_once_and_the_end_of_both() {
    require_root();
    let (mut one, mut two) = (master(), master());
    let pids = format!("{},{}", one.pid(), two.pid());
    let running = record_background(&["-p", &pids]);
    one.say("exec");
    one.wait_lines(2);
    one.say("end");
    one.finish();
    // The other one's end is waited for.
    two.say("exec");
    two.wait_lines(2);
    two.say("end");
    two.finish();
    let recorded = running.stop_at_its_end();
    assert!(recorded.status.success());
    assert_eq!(ended_by(&recorded), "pids");
    assert_eq!(recorded.trace["session"]["mode"], "pid");
    for master in [&one, &two] {
        let children = recorded.children_of(master.pid());
        assert_eq!(children.len(), 1, "{:#}", recorded.outline());
        assert_eq!(children[0]["argv"], serde_json::json!(["true", "on_request"]));
        assert_eq!(children[0]["exe"].as_str().unwrap().rsplit('/').next(), Some("true"));
    }
}

#[test]
fn a_duration_ends_it() {
    require_root();
    let begin = std::time::Instant::now();
    let master = master();
    let recorded = record(&["-p", &master.pid_text(), "--duration", "700ms"], NONE);
    assert!(recorded.status.success());
    assert_eq!(ended_by(&recorded), "duration");
    assert!(recorded.trace["session"]["duration_ns"].as_u64().unwrap() >= 700_000_000);
    assert!(begin.elapsed() < Duration::from_secs(20));
    // A command outlives the recording, and its start ends with it.
    let recorded = record(&["--duration", "500ms"], &["sleep", "1.5"]);
    assert!(recorded.stderr.contains("still running"), "{}", recorded.stderr);
    let start = recorded.start_with_argv(&["sleep", "1.5"]);
    assert_eq!(start["exit"], Value::Null);
    assert_eq!(start["timeline"]["ready"]["kind"], "timeout");
    assert!(start["timeline"]["duration_ns"].as_u64().unwrap() < 5_000_000_000);
}

#[test]
fn a_count_is_exact() {
    require_root();
    let recorded = record(&["--count", "3"], &["sh", "-c", "for i in 1 2 3 4 5 6; do /bin/true $i; done; :"]);
    assert_eq!(recorded.starts().len(), 3, "{:#}", recorded.outline());
    assert_eq!(ended_by(&recorded), "count");
    let argv: Vec<_> = recorded.starts().iter().map(|s| s["argv"][1].as_str().unwrap()).collect();
    assert_eq!(argv, ["1", "2", "3"]);

    let mut master = master();
    let mut running = record_background(&["-p", &master.pid_text(), "--count", "2"]);
    for n in 0..2 {
        master.say("exec");
        master.wait_lines(2 + n);
    }
    assert!(running.wait(Duration::from_secs(20)).success());
    let recorded = running.stop_at_its_end();
    assert_eq!((recorded.starts().len(), ended_by(&recorded)), (2, &"count".into()));
}

#[test]
fn a_trigger_starts_what_is_recorded() {
    require_root();
    let mut master = master();
    let pid = master.pid_text();
    for (signal, argv) in [("TTIN", None), ("USR1", Some(["true", "on_request"]))] {
        let recorded = record(&["-p", &pid, "--count", "1"], &["sh", "-c", &format!("kill -{signal} {pid}")]);
        assert!(recorded.status.success(), "{}", recorded.stderr);
        // The trigger is not the target: what it is and does is not in the trace.
        assert_eq!(recorded.starts().len(), 1, "{:#}", recorded.outline());
        let start = &recorded.starts()[0];
        assert_eq!(start["parent"]["pid"], master.pid());
        assert_eq!(start["execs"].as_array().unwrap().len(), usize::from(argv.is_some()));
        if let Some(argv) = argv {
            assert_eq!(start["argv"], serde_json::json!(argv));
        }
        let target = &recorded.trace["session"]["target"];
        assert_eq!((&target["pids"], &target["argv"][0]), (&vec![master.pid()].into(), &"sh".into()));
        assert_eq!(recorded.trace["session"]["mode"], "pid");
    }
    master.say("end");
    master.finish();
}

#[test]
fn a_trigger_that_cannot_start_is_an_error() {
    require_root();
    let master = master();
    for (cmd, code) in [("no-such-command-anywhere", 127), ("/etc/passwd", 126)] {
        let recorded = record_unchecked(&["-p", &master.pid_text(), "--count", "1"], &[cmd]);
        assert_eq!(recorded.status.code(), Some(code), "{}", recorded.stderr);
        assert!(recorded.stderr.contains(cmd) && recorded.trace.is_null(), "{}", recorded.stderr);
    }
}

#[test]
fn a_window_bounds_a_start() {
    require_root();
    let recorded = record(&["--window", "300ms"], &["sh", "-c", "sleep 0.8; exit 4"]);
    assert_eq!(recorded.status.code(), Some(4));
    let shell = recorded.start_with_argv(&["sh", "-c", "sleep 0.8; exit 4"]);
    assert_eq!(shell["timeline"]["ready"]["kind"], "timeout");
    assert_eq!(shell["timeline"]["duration_ns"], 300_000_000);
    // Its end came later and is known all the same.
    assert_eq!(shell["exit"]["code"], 4);
    assert!(shell["exit"]["at_ns"].as_u64().unwrap() > 800_000_000);
    let unbounded = record::<&str, _>(&[], &["sleep", "0.4"]);
    assert_eq!(unbounded.start_with_argv(&["sleep", "0.4"])["timeline"]["ready"]["kind"], "exit");
}

#[test]
fn what_was_in_the_middle_of_its_start_is_partial() {
    require_root();
    grow_old_and(|old| {
        // On a machine that is busy enough nobody is young any more once the probes are attached.
        assert!((0..10).any(|_| follow_young(old)), "attaching always takes a second");
        old.say("end");
        old.finish();
    });
}

#[test]
fn what_ended_before_the_recording_is_no_start() {
    require_root();
    let script = "import os, time\n\
                  dead = [os.fork() or os._exit(0) for _ in range(3)]\n\
                  for pid in dead: os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)\n\
                  print('ready', flush=True)\n\
                  time.sleep(60)\n";
    let mut parent = Live::spawn(Command::new("python3").args(["-c", script]));
    parent.wait_lines(1);
    let running = record_background(&["-p", &parent.pid_text()]);
    let recorded = running.stop();
    // The zombies are young enough to be in the middle of a start, were they alive.
    assert_eq!(recorded.children_of(parent.pid()), Vec::<&Value>::new());
}

/// False if it was attached to too late.
fn follow_young(old: &mut Live) -> bool {
    let begin = std::time::Instant::now();
    let mut young = Live::shell("read x; /bin/true inner; exit 3", &[]);
    let both = format!("{},{}", old.pid(), young.pid());
    let running = record_background(&["-p", &both]);
    if begin.elapsed() > Duration::from_millis(900) {
        return false;
    }
    young.say("go");
    assert_eq!(young.wait().code(), Some(3));
    let recorded = running.stop();
    let start = recorded.start_of(young.pid());
    assert_eq!(start["partial"], true, "{start:#}");
    assert_eq!(start["timeline"]["origin"], "recording_began");
    assert_eq!(start["timeline"]["phases"][0]["name"], "unobserved");
    assert_eq!(start["method"]["primitive"], Value::Null);
    assert_eq!((&start["seq"], &start["exit"]["code"]), (&0.into(), &3.into()));
    let inner = recorded.children_of(young.pid());
    assert_eq!((inner.len(), &inner[0]["partial"]), (1, &false.into()));
    assert_eq!(recorded.starts_of(old.pid()).len(), 0, "it ran before: {:#}", recorded.outline());
    true
}

fn grow_old_and(test: impl FnOnce(&mut Live)) {
    let mut old = master();
    grow_old();
    test(&mut old);
}

#[test]
fn an_exec_in_place_of_what_ran_before_is_a_start_of_its_own() {
    require_root();
    grow_old_and(|old| {
        let running = record_background(&["-p", &old.pid_text()]);
        old.say("self");
        assert!(old.wait().success());
        let recorded = running.stop_at_its_end();
        let start = recorded.start_of(old.pid());
        assert!(start["seq"].as_u64().unwrap() >= 1, "{start:#}");
        assert_eq!(start["method"]["primitive"], "exec");
        assert_eq!(start["method"]["mechanism"], "exec");
        assert_eq!(start["partial"], false);
        assert_eq!(start["argv"], serde_json::json!(["true", "in place"]));
        assert_eq!(start["timeline"]["phases"][0]["name"], "exec");
        assert_eq!(start["exit"]["code"], 0);
    });
}

#[test]
fn hooks_are_as_the_mode_says() {
    require_root();
    let of_command = record::<&str, _>(&[], &["true"]);
    let fentry = hooks(&of_command).iter().any(|hook| hook.starts_with("fentry/"));
    let call = |recorded: &Recorded| hooks(recorded).iter().any(|h| h.contains("syscalls/sys_enter_execve"));
    assert!(fentry || call(&of_command), "{:?}", hooks(&of_command));
    let master = master();
    let pid = master.pid_text();
    let of_pid = record(&["-p", &pid, "--duration", "50ms"], NONE);
    assert!(!hooks(&of_pid).iter().any(|hook| hook.contains("sys_")), "{:?}", hooks(&of_pid));
    let asked = record(&["-p", &pid, "--duration", "50ms", "--syscall-hooks"], NONE);
    assert!(fentry || call(&asked), "{:?}", hooks(&asked));
    for recorded in [&of_command, &of_pid, &asked] {
        for always in ["task_newtask", "sched_process_exec", "sched_process_exit"] {
            assert!(hooks(recorded).contains(&format!("tp_btf/{always}").as_str()), "{always}");
        }
    }
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (args, calls) in [(vec!["--", "touch", "made"], true), (vec!["-a"], false)] {
        let output = Command::new(startrace())
            .args(["record", "--dry-run"])
            .args(&args)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let listed: Vec<_> = text.lines().map(str::trim).collect();
        assert!(listed.contains(&"tp_btf/task_newtask") && text.contains("Cost:"), "{text}");
        let fentry = text.contains("fentry/");
        assert_eq!(text.contains("sys_enter_execve"), calls && !fentry, "{text}");
        assert_eq!(common::live::names(folder.path()), Vec::<String>::new());
    }
}

/// Standard error that nobody reads, or that has no room.
fn unread() -> [(&'static str, Stdio); 2] {
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    [("a closed pipe", nix::unistd::pipe().unwrap().1.into()), ("a full disk", full.into())]
}

#[test]
fn a_standard_error_that_cannot_be_written_ends_neither_us_nor_the_command() {
    require_root();
    for (name, stderr) in unread() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(startrace());
        command.args([
            "record",
            "-v",
            "--report",
            "-o",
            "x.json",
            "--",
            "sh",
            "-c",
            "sleep 0.3; : > ran; exit 5",
        ]);
        let status = command.current_dir(&folder).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(5), "{name}: {status}");
        let trace: Value =
            serde_json::from_slice(&std::fs::read(folder.path().join("x.json")).unwrap()).unwrap();
        assert_eq!(trace["session"]["ended_by"], "command", "{name}");
        assert!(folder.path().join("ran").exists(), "{name}: the command was ended");
    }
    for (name, stderr) in unread() {
        let mut command = Command::new(startrace());
        command
            .args(["watch", "-p", &std::process::id().to_string(), "--duration", "300ms"])
            .stdout(Stdio::null());
        let status = command.stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(0), "watch, {name}: {status}");
    }
    for (name, stderr) in unread() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(startrace());
        command
            .args(["stat", "--runs", "2", "--warmup", "0", "-o", "s.json", "--", "true"])
            .stdout(Stdio::null());
        let status = command.current_dir(&folder).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(0), "stat, {name}: {status}");
        assert!(folder.path().join("s.json").exists(), "stat, {name}");
    }
}

#[test]
fn a_service_that_was_ready_stays_where_nobody_reads_what_is_said() {
    require_root();
    for (name, stderr) in unread() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(startrace());
        command.args(["record", "--ready", "mark:up", "--stop-when-ready", "-o", "x.json", "--", "sh", "-c"]);
        command.arg("echo $$ > pid; sleep 0.05; echo @up > /proc/$$/comm; sleep 30");
        let status = command.current_dir(&folder).stderr(stderr).status().unwrap();
        assert_eq!(status.code(), Some(0), "{name}: {status}");
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap().trim().parse().unwrap();
        let stays = common::live::alive(pid);
        let _ =
            nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid as i32), nix::sys::signal::Signal::SIGKILL);
        assert!(stays, "{name}: the service has gone");
    }
}

/// `watch -- CMD 2>&1 | head -1`: it ends with its reader, and the command goes on.
#[test]
fn a_command_goes_on_after_the_reader_of_its_watch_has_gone() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(startrace());
    let script = "for n in 1 2 3 4 5; do /bin/true; sleep 0.2; done; : > ran";
    command.args(["watch", "--", "sh", "-c", script]).current_dir(&folder).stdin(Stdio::null());
    let gone = nix::unistd::pipe().unwrap().1;
    let status = command.stdout(gone.try_clone().unwrap()).stderr(gone).status().unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
    common::live::until("the command to end", || folder.path().join("ran").exists());
}

/// Where its lines have no room it fails, and says that the command goes on.
#[test]
fn a_watch_that_cannot_write_says_that_the_command_is_still_running() {
    require_root();
    for json in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = Command::new(startrace());
        let script = "echo $$ > pid; for n in 1 2 3 4 5; do /bin/true; sleep 0.2; done; : > ran";
        command.arg("watch").args(json.then_some("--json")).args(["--", "sh", "-c", script]);
        let output = command.current_dir(&folder).stdin(Stdio::null()).stdout(full).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
        assert_eq!(output.status.code(), Some(125), "{said}");
        assert!(said.contains("No space left on device"), "{said}");
        assert!(said.contains(&format!("the command is still running (pid {})", pid.trim())), "{said}");
        common::live::until("the command to end", || folder.path().join("ran").exists());
    }
}

/// A shell at a terminal of its own, and what of its session lives.
struct Session {
    shell: std::process::Child,
    terminal: std::fs::File,
    folder: tempfile::TempDir,
}

impl Session {
    /// Runs it as from a prompt: the shell survives Ctrl-C.
    fn run(command: &[&str]) -> Self {
        use std::os::unix::process::CommandExt;
        let pty = nix::pty::openpty(None, None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap : INT; \"$@\" 2> said; echo $? > status; sleep 100", "sh"]).arg(startrace());
        shell.args(command).current_dir(&folder).stdin(pty.slave.try_clone().unwrap());
        shell.stdout(pty.slave.try_clone().unwrap()).stderr(pty.slave);
        // SAFETY: setsid and ioctl are async-signal-safe.
        unsafe {
            shell.pre_exec(|| {
                nix::unistd::setsid()?;
                nix::Error::result(nix::libc::ioctl(0, nix::libc::TIOCSCTTY, 0))?;
                Ok(())
            });
        }
        Self { shell: shell.spawn().unwrap(), terminal: pty.master.into(), folder }
    }

    fn said(&self, file: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(file)).unwrap_or_default()
    }

    /// startrace, once it takes signals for something to be read.
    fn tracer(&self) -> u64 {
        let takes = |pid: &u64| {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
            let name = status.lines().next() == Some("Name:\tstartrace");
            name && blocked.is_some_and(|set| u64::from_str_radix(set.trim(), 16).unwrap() & 0b10 != 0)
        };
        let mut found = None;
        common::live::until("startrace to catch signals", || {
            found = common::live::children(self.shell.id().into()).into_iter().find(takes);
            found.is_some()
        });
        found.unwrap()
    }

    fn interrupt(&mut self) {
        std::io::Write::write_all(&mut self.terminal, b"\x03").unwrap();
    }

    /// Processes that the shell has left with such an argument.
    fn running(&self, name: &str) -> Vec<u64> {
        let session = Some(self.shell.id() as i32);
        // Its child that is still before its exec has the shell's own.
        let shell = std::fs::read(format!("/proc/{}/cmdline", self.shell.id())).unwrap();
        let all = std::fs::read_dir("/proc").unwrap().flatten();
        let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok());
        let of_it = pids.filter(|&pid| {
            let id = nix::unistd::Pid::from_raw(pid as i32);
            nix::unistd::getsid(Some(id)).ok().map(nix::unistd::Pid::as_raw) == session
        });
        of_it
            .filter(|&pid| pid != u64::from(self.shell.id()))
            .filter(|&pid| {
                let argv = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                argv != shell && argv.split(|&byte| byte == 0).any(|argument| argument == name.as_bytes())
            })
            .collect()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // With its leader the whole of the session ends that does not ask to stay.
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

#[test]
fn a_command_that_comes_after_the_terminals_interrupt_is_not_started() {
    require_root();
    let lines: [&[&str]; 3] = [
        &["record", "-o", "x.json", "--", "sleep", "6.5"],
        &["watch", "--", "sleep", "6.5"],
        &["stat", "--runs", "3", "--", "sleep", "6.5"],
    ];
    for line in lines {
        let mut before = 0;
        for delay in [0, 30, 90] {
            let mut session = Session::run(line);
            session.tracer();
            std::thread::sleep(Duration::from_millis(delay));
            session.interrupt();
            common::live::until("startrace to end", || !session.said("status").is_empty());
            let said = session.said("said");
            assert_eq!(session.running("6.5"), [0; 0], "{line:?} after {delay} ms: {said}");
            assert_eq!(session.said("status"), "130\n", "{line:?} after {delay} ms: {said}");
            before +=
                usize::from(said.contains("SIGINT came before the command was started") || line[0] == "stat");
        }
        assert!(before > 0, "{line:?}: the command always came first");
    }
}

#[test]
fn the_end_of_a_trigger_is_told_with_what_the_recording_waits_for() {
    require_root();
    let mut master = Live::shell("read x", &[]);
    let folder = tempfile::tempdir().unwrap();
    let mut said = Vec::new();
    for quiet in [false, true] {
        let mut command = std::process::Command::new(startrace());
        command.current_dir(folder.path()).args(["record", "-o", "trace.json", "-p", &master.pid_text()]);
        command.args(if quiet { &["-q"][..] } else { &[] });
        let done = command.args(["--duration", "1s", "--", "sh", "-c", "exit 3"]).output().unwrap();
        assert_eq!(done.status.code(), Some(0));
        said.push(String::from_utf8(done.stderr).unwrap());
    }
    let line = "startrace: the command ended with status 3; recording goes on until Ctrl-C, --duration is over or the \
                process of -p ends\n";
    assert_eq!(said[0].matches(line).count(), 1, "{}", said[0]);
    assert_eq!(said[1], "");
    master.close();
}
