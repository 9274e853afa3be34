//! What goes wrong: bad input, a full disk, a kernel without this or that, a tracer that is stopped or
//! killed, more starts than usual.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::{Live, alive, children, held_programs, loaded_programs, names, until};
use common::{check, check_schema, parse, program, record, record_unchecked, startrace, turn};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

const NONE: &[&str] = &[];

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Runs a script as root with mounts of its own; `$1` is the tool, `$2` the folder.
fn with_own_mounts(folder: &Path, script: &str) -> Output {
    Command::new("unshare")
        .args(["-m", "sh", "-c", &format!("mount --make-rprivate / && {{ {script}\n}}"), "sh"])
        .args([startrace(), folder])
        .current_dir(folder)
        .output()
        .unwrap()
}

fn report(path: &Path) -> Output {
    Command::new(startrace()).arg("report").arg(path).output().unwrap()
}

/// One sentence on stderr that holds all of these words.
fn says(stderr: &str, words: &[&str]) {
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in words {
        assert!(stderr.contains(word), "{word:?} is not in {stderr:?}");
    }
}

#[test]
fn pids_that_are_none() {
    let _turn = turn();
    let recorded = record_unchecked(&["-p", "4194999"], NONE);
    assert_eq!(recorded.status.code(), Some(1));
    says(&recorded.stderr, &["-p 4194999", "no such process"]);
    // Where the first processes are the machine's own, the second is a thread of the kernel.
    if fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm == "kthreadd\n") {
        let recorded = record_unchecked(&["-p", "2"], NONE);
        assert_eq!(recorded.status.code(), Some(1));
        says(&recorded.stderr, &["-p 2", "thread of the kernel"]);
    }
    let mut tree = Live::spawn(Command::new(program("busy_tree")).args(["0", "1"]));
    tree.wait_lines(1);
    let top = children(tree.pid())[0];
    let tasks = names(Path::new(&format!("/proc/{top}/task")));
    let thread = tasks.iter().find(|task| **task != top.to_string()).unwrap();
    let recorded = record_unchecked(&["-p", thread], NONE);
    assert_eq!(recorded.status.code(), Some(1));
    says(&recorded.stderr, &[&format!("thread of process {top}"), &format!("-p {top}")]);
    // One of several is enough, and nothing was written.
    let recorded = record_unchecked(&["-p", &format!("{top},4194999")], NONE);
    assert_eq!(recorded.status.code(), Some(1));
    assert_eq!(names(recorded.folder.path()), ["stderr", "stdout"]);
    // CMD, the trigger, was not started for nothing.
    let ran = tempfile::tempdir().unwrap();
    let touch = ran.path().join("ran");
    let recorded = record_unchecked(&["-p", "4194999"], &["touch", touch.to_str().unwrap()]);
    assert!(recorded.status.code() == Some(1) && !touch.exists());
}

#[test]
fn a_process_that_ends_while_it_is_attached_to() {
    let _turn = turn();
    for ms in [5, 20, 40, 60, 80, 120, 160, 240] {
        let mut short = Live::spawn(Command::new("sleep").arg(format!("{}", f64::from(ms) / 1000.0)));
        let pid = short.pid_text();
        let reaper = std::thread::spawn(move || short.wait());
        let recorded = record_unchecked(&["-p", &pid], NONE);
        match recorded.status.code() {
            Some(0) => {
                common::check_all(&recorded);
                assert_eq!(recorded.trace["session"]["ended_by"], "pids");
            }
            Some(1) => {
                says(&recorded.stderr, &["-p", &pid]);
                assert!(recorded.trace.is_null());
                assert_eq!(names(recorded.folder.path()), ["stderr", "stdout"]);
            }
            other => panic!("{other:?}: {}", recorded.stderr),
        }
        assert!(reaper.join().unwrap().success());
    }
}

#[test]
fn a_full_disk_keeps_what_was_written_and_what_was_there() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let done = with_own_mounts(
        folder.path(),
        "mkdir small && mount -t tmpfs -o size=64k none small && echo earlier > small/t.json && \
         \"$1\" record -o small/t.json -- sh -c 'for i in $(seq 200); do /bin/true $i; done; touch ran; exit 3'; \
         echo $?; mkdir kept && cp small/* kept/ && \"$1\" report small/t.json.spool",
    );
    let stderr = text(&done.stderr);
    assert!(done.status.success(), "{stderr}");
    assert!(text(&done.stdout).starts_with("125\n"), "{} {stderr}", text(&done.stdout));
    assert!(
        stderr.contains("No space left") && stderr.contains("startrace report small/t.json.spool"),
        "{stderr}"
    );
    // CMD ran to its end.
    assert!(folder.path().join("ran").exists());
    let kept = folder.path().join("kept");
    assert_eq!(fs::read_to_string(kept.join("t.json")).unwrap(), "earlier\n");
    let spool = fs::read_to_string(kept.join("t.json.spool")).unwrap();
    let lines: Vec<Value> = spool.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(spool.ends_with('\n') && lines.len() > 5, "{} lines", lines.len());
    assert_eq!((&lines[0]["type"], &lines[1]["type"]), (&"header".into(), &"start".into()));
    assert!(text(&done.stdout).contains("true"), "{}", text(&done.stdout));
}

#[test]
fn a_disk_that_is_full_from_the_beginning_is_told_of_before_anything_is_traced() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let done = with_own_mounts(
        folder.path(),
        "mkdir small && mount -t tmpfs -o size=16k none small && head -c 16384 /dev/zero > small/full; \
         \"$1\" record -o small/t.json -- touch ran; echo $?; ls small",
    );
    assert_eq!(text(&done.stdout), "125\nfull\n", "{done:?}");
    says(&text(&done.stderr), &["small/t.json", "No space left"]);
    assert!(!folder.path().join("ran").exists());
}

#[test]
fn a_signal_comes_once() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let script =
        "trap 'echo term' TERM; echo $$; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do sleep 0.05; done";
    // To the process group, as `kill -- -PGID` sends it; one after the other, as systemd does; to the tracer alone.
    for case in ["group", "each", "tracer"] {
        let mut tracer = Live::spawn(
            Command::new(startrace())
                .args(["record", "-q", "-o", "t.json", "--", "sh", "-c", script])
                .current_dir(&folder),
        );
        let cmd = told(&tracer, 1)[0];
        until("the recording", || common::live::is_live(tracer.pid()));
        match case {
            "group" => {
                let group = nix::unistd::Pid::from_raw(tracer.pid() as i32);
                nix::sys::signal::killpg(group, Signal::SIGTERM).unwrap();
            }
            "each" => {
                tracer.signal(Signal::SIGTERM);
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(cmd as i32), Signal::SIGTERM).unwrap();
            }
            _ => tracer.signal(Signal::SIGTERM),
        }
        tracer.wait();
        until("the end of the command", || !alive(cmd));
        assert_eq!(tracer.stdout().matches("term").count(), 1, "{case}");
    }
}

#[test]
fn tracefs_need_not_be_mounted() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let done = with_own_mounts(
        folder.path(),
        "for at in /sys/kernel/tracing /sys/kernel/debug/tracing; do \
         while mountpoint -q $at; do umount -l $at || exit 91; done; done; \
         \"$1\" record -q -o t.json -- sh -c '/bin/true; exit 5'",
    );
    assert_eq!(done.status.code(), Some(5), "{}", text(&done.stderr));
    let trace = parse(&fs::read(folder.path().join("t.json")).unwrap());
    check_schema(&trace);
    let starts = trace["starts"].as_array().unwrap();
    assert_eq!((starts.len(), &trace["session"]["complete"]), (2, &true.into()));
    // As exact as with it.
    assert!(starts.iter().all(|start| start["timeline"]["origin"] == "entry"), "{starts:#?}");
}

#[test]
fn a_kernel_without_types_is_told_of() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let run = |options: &str| {
        let bind = "touch empty && mount --bind empty /sys/kernel/btf/vmlinux && \"$1\" record";
        with_own_mounts(folder.path(), &format!("{bind} {options}"))
    };
    for options in ["-- touch ran", "-a", "-p 1", "--dry-run -a"] {
        let done = run(options);
        assert_eq!(done.status.code(), Some(77), "{options}: {done:?}");
        says(&text(&done.stderr), &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF", "startrace doctor"]);
        assert_eq!(names(folder.path()), ["empty"], "{options}");
    }
    let done = run("--best-effort -- sh -c 'touch ran; exit 8'");
    assert_eq!(done.status.code(), Some(8), "{done:?}");
    assert_eq!(names(folder.path()), ["empty", "ran"]);
}

#[test]
fn two_tracers_at_once_are_both_right() {
    let _turn = turn();
    let mut master = Live::spawn(&mut Command::new(program("on_request")));
    master.wait_lines(1);
    let of_pid = common::record_background(&["-p", &master.pid_text()]);
    let script = "for i in 1 2 3 4 5 6 7 8 9 10; do /bin/true $1 $i; done; :";
    let recordings: Vec<_> = ["one", "two"]
        .map(|name| std::thread::spawn(move || record::<&str, _>(&[], &["sh", "-c", script, "sh", name])))
        .into();
    for n in 0..5 {
        master.say("exec");
        master.wait_lines(2 + n);
    }
    for (recording, name) in recordings.into_iter().zip(["one", "two"]) {
        let recorded = recording.join().unwrap();
        assert_eq!(recorded.starts().len(), 11, "{:#}", recorded.outline());
        for i in 1..=10 {
            recorded.start_with_argv(&["/bin/true", name, &i.to_string()]);
        }
    }
    let recorded = of_pid.stop();
    assert_eq!(recorded.children_of(master.pid()).len(), 5);
    assert!(
        recorded
            .starts()
            .iter()
            .all(|start| start["partial"] == true || start["parent"]["pid"] == master.pid())
    );
}

#[test]
fn a_killed_tracer_leaves_a_spool_and_nothing_else() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let script = "echo $$; i=0; while [ $i -lt 400 ]; do /bin/true $i; i=$((i+1)); sleep 0.01; done";
    let mut tracer = Live::spawn(
        Command::new(startrace())
            .args(["record", "-o", "t.json", "--", "sh", "-c", script])
            .current_dir(&folder),
    );
    tracer.wait_lines(1);
    let cmd: u64 = tracer.stdout().trim().parse().unwrap();
    // What is buffered is written once a second.
    until("the spool", || {
        fs::read_to_string(folder.path().join("t.json.spool")).is_ok_and(|spool| spool.lines().count() > 20)
    });
    let programs = held_programs(tracer.pid());
    assert!(programs.len() >= 5, "{programs:?}");
    let own = children(tracer.pid());
    assert!(own.len() == 2 && own.contains(&cmd), "the guard and the command, and no other: {own:?}");
    assert!(own.iter().filter(|pid| **pid != cmd).all(|guard| held_programs(*guard).is_empty()));
    tracer.signal(Signal::SIGKILL);
    tracer.wait();
    until("the end of the command and of the guard", || !own.iter().any(|pid| alive(*pid)));
    until("the end of the programs", || {
        let loaded = loaded_programs();
        programs.iter().all(|id| !loaded.contains(id))
    });
    let spool = folder.path().join("t.json.spool");
    let done = report(&spool);
    assert!(done.status.success(), "{done:?}");
    assert!(
        text(&done.stdout).contains("INCOMPLETE") && text(&done.stdout).contains("× true"),
        "{}",
        text(&done.stdout)
    );
    // It does not stand in the way of the next recording, and is not lost by it.
    let next = Command::new(startrace())
        .args(["record", "-o", "t.json", "--", "true"])
        .current_dir(&folder)
        .output()
        .unwrap();
    assert!(next.status.success() && text(&next.stderr).contains("t.json.spool"), "{next:?}");
    assert_eq!(names(folder.path()), ["t.json", "t.json.spool"]);
}

/// A shell that does not heed SIGTERM, its child in a session of its own, which does not either, and a child
/// that does. Each writes its number.
const STUBBORN: &str = "trap '' TERM; echo $$; setsid sh -c 'echo $$; sleep 1000; sleep 1000' & sleep 1000 & \
                        trap - TERM; sh -c 'echo $$; exec sleep 1000' & trap '' TERM; wait";

/// The numbers that a command under a tracer has written, once there are as many.
fn told(tracer: &Live, count: usize) -> Vec<u64> {
    let numbers = |tracer: &Live| {
        let written = tracer.stdout() + &tracer.stderr();
        written.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>()
    };
    until("what the command writes", || numbers(tracer).len() >= count);
    numbers(tracer)
}

#[test]
fn a_killed_tracer_takes_its_command_along() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let mut target = Live::spawn(&mut Command::new(program("on_request")));
    target.wait_lines(1);
    let pid = target.pid_text();
    let modes: [(&[&str], &str, usize); 4] = [
        (&["record", "-o", "t.json"], STUBBORN, 3),
        (&["record", "-o", "u.json", "-p", &pid], "echo $$; sleep 1000; :", 1),
        (&["watch"], "echo $$; sleep 1000; :", 1),
        (&["stat", "-n", "2", "--show-output", "--prepare", "true"], "echo $$; sleep 1000; :", 1),
    ];
    for (mode, script, count) in modes {
        let command = [mode, &["--", "sh", "-c", script]].concat();
        let mut tracer = Live::spawn(Command::new(startrace()).args(command).current_dir(&folder));
        let commands = told(&tracer, count);
        let own = children(tracer.pid());
        assert!(own.len() >= 2, "{own:?}");
        let below: Vec<u64> = commands.iter().flat_map(|pid| children(*pid)).collect();
        tracer.signal(Signal::SIGKILL);
        tracer.wait();
        until("the end of all", || ![&commands, &own, &below].into_iter().flatten().any(|pid| alive(*pid)));
    }
}

#[test]
fn a_command_that_is_to_stay_stays() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let options = ["record", "-o", "t.json", "--ready", "exec", "--stop-when-ready"];
    let mut tracer = Live::spawn(
        Command::new(startrace())
            .args(options)
            .args(["--", "sh", "-c", "echo $$; exec sleep 1000"])
            .current_dir(&folder),
    );
    assert!(tracer.wait().success(), "{}", tracer.stderr());
    let cmd = told(&tracer, 1)[0];
    // Longer than a guard would take that takes it for its own.
    std::thread::sleep(Duration::from_millis(300));
    assert!(alive(cmd));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(cmd as i32), Signal::SIGKILL).unwrap();
    // So does what had left the command before.
    let script = "sh -c 'setsid sleep 1000 & echo $!'; echo $$; sleep 1000";
    let mut tracer = Live::spawn(
        Command::new(startrace())
            .args(["record", "-o", "d.json", "--", "sh", "-c", script])
            .current_dir(&folder),
    );
    let [daemon, cmd] = told(&tracer, 2)[..] else { panic!("{}", tracer.stdout()) };
    tracer.signal(Signal::SIGKILL);
    tracer.wait();
    until("the end of the command", || !alive(cmd));
    std::thread::sleep(Duration::from_millis(300));
    assert!(alive(daemon));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(daemon as i32), Signal::SIGKILL).unwrap();
}

/// Every one of the children that the programs told of is there, whole.
fn check_storm(trace: &Value, stdout: &str, bytes: usize) {
    let mut told = HashSet::new();
    for line in stdout.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).unwrap();
        told.extend(line["children"].as_array().unwrap().iter().map(|pid| pid.as_u64().unwrap()));
    }
    let mut seen = HashSet::new();
    for start in trace["starts"].as_array().unwrap() {
        if !told.contains(&start["pid"].as_u64().unwrap()) {
            continue;
        }
        seen.insert(start["pid"].as_u64().unwrap());
        let argv = start["argv"].as_array().unwrap();
        assert_eq!((&argv[0], &argv[1]), (&"true".into(), &"short_lived".into()));
        assert_eq!(argv.get(2).map_or(0, |long| long.as_str().unwrap().len()), bytes);
        assert_eq!(start["argv_truncated"], false);
        assert!(start["exe"].as_str().unwrap().ends_with("/true"));
        assert_eq!((&start["exit"]["code"], &start["partial"]), (&0.into(), &false.into()));
    }
    assert_eq!(seen.len(), 3000, "{} were told of", told.len());
}

#[test]
fn a_storm_of_starts_loses_nothing() {
    let _turn = turn();
    let starter = program("short_lived");
    for bytes in [0, 8192] {
        let script = format!("\"$1\" 1500 {bytes} & \"$1\" 1500 {bytes}; wait");
        let cmd = ["sh", "-c", &script, "sh", starter.to_str().unwrap()];
        // `complete` is checked in here.
        let recorded = record::<&str, _>(&[], &cmd);
        assert!(recorded.status.success());
        check_storm(&recorded.trace, &recorded.stdout, bytes);
        let lost = recorded.trace["session"]["lost"].as_object().unwrap();
        assert_eq!(lost["events"], 0);
    }
}

#[test]
fn what_the_kernel_refuses_to_keep_on_a_task_is_kept_beside_it() {
    let _turn = turn();
    let starter = program("short_lived");
    for every in ["1", "3"] {
        let folder = tempfile::tempdir().unwrap();
        let output = Command::new(startrace())
            .args(["record", "-q", "-o", "t.json", "--"])
            .arg(&starter)
            .arg("100")
            .env("STARTRACE_TEST_REFUSE_EVERY", every)
            .current_dir(&folder)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let trace = parse(&fs::read(folder.path().join("t.json")).unwrap());
        check_schema(&trace);
        check::timelines(&trace).unwrap();
        assert_eq!(trace["session"]["complete"], true, "{}", trace["session"]["lost"]);
        let starts = trace["starts"].as_array().unwrap();
        assert_eq!(starts.len(), 101);
        for start in starts {
            let phases: Vec<_> =
                start["timeline"]["phases"].as_array().unwrap().iter().map(|p| &p["name"]).collect();
            assert_eq!(phases, common::phases(&["fork", "schedule", "setup", "image"]));
        }
    }
}

#[test]
fn a_stopped_tracer_loses_nothing_in_silence() {
    let _turn = turn();
    let folder = tempfile::tempdir().unwrap();
    let starter = program("short_lived");
    let script = "echo $$; \"$1\" 1500; \"$1\" 1500";
    let mut tracer = Live::spawn(
        Command::new(startrace())
            .args(["record", "-q", "-o", "t.json", "--", "sh", "-c", script, "sh"])
            .arg(&starter)
            .current_dir(&folder),
    );
    tracer.wait_lines(1);
    tracer.signal(Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(10));
    tracer.signal(Signal::SIGCONT);
    assert!(tracer.wait().success(), "{}", tracer.stderr());
    let trace = parse(&fs::read(folder.path().join("t.json")).unwrap());
    check_schema(&trace);
    check::timelines(&trace).unwrap();
    let session = &trace["session"];
    if session["complete"] == true {
        check_storm(&trace, &tracer.stdout(), 0);
    } else {
        // 4 MiB hold some thousand starts: what did not fit is counted.
        assert!(session["lost"]["events"].as_u64().unwrap() > 0, "{session:#}");
    }
}

#[test]
fn traces_that_cannot_be_read_are_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/traces/shell-pipeline.json");
    let whole = fs::read(sample).unwrap();
    let other = text(&whole).replace("startrace/1", "startrace/9");
    // What was cut off is shown as far as it goes, and said to be cut off.
    let cut = folder.path().join("cut.json");
    fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let done = report(&cut);
    assert!(done.status.success() && text(&done.stdout).starts_with("INCOMPLETE"), "{done:?}");
    let cases: [(&str, &[u8], &[&str]); 4] = [
        ("text.json", b"this is no trace\n", &["text.json"]),
        ("other.json", other.as_bytes(), &["startrace/9"]),
        ("list.json", b"[1, 2]\n", &["list.json"]),
        ("empty.json", b"", &["empty"]),
    ];
    for (name, bytes, words) in cases {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let done = report(&path);
        assert_eq!(done.status.code(), Some(1), "{name}: {done:?}");
        says(&text(&done.stderr), words);
        assert!(done.stdout.is_empty(), "{name}: {done:?}");
    }
    let done = report(&folder.path().join("none.json"));
    assert_eq!(done.status.code(), Some(1));
    says(&text(&done.stderr), &["none.json", "no such file"]);
}
