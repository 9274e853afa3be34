//! Privileges: what a recording keeps, what it does without any, and the real sudo in front of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::live::{Live, names};
use common::status::{bits, capabilities, field};
use common::{check, check_schema, parse, program, record_background, require_root, startrace};
use nix::unistd::{Gid, Uid, chown};
use serde_json::Value;
use startrace::host::privilege::{Capability, KEPT};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Output};

/// Ids that no distribution gives to anybody.
const ALICE: u32 = 54341;
const CLUB: u32 = 54342;

/// A folder that everybody may pass, with the tool in it and alice's home.
fn place() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // Not by ourselves: a child of another test could hold the file open for writing, and a file that
    // is written to cannot be executed.
    let copied = Command::new("cp").arg(startrace()).arg(folder.path().join("startrace")).status();
    assert!(copied.unwrap().success());
    fs::create_dir(folder.path().join("home")).unwrap();
    chown(&folder.path().join("home"), Some(Uid::from_raw(ALICE)), Some(Gid::from_raw(ALICE))).unwrap();
    folder
}

/// `setpriv` to alice, with more options.
fn as_alice(folder: &Path, options: &[&str], args: &[&str]) -> Output {
    Command::new("setpriv")
        .args(["--reuid", &ALICE.to_string(), "--regid", &ALICE.to_string()])
        .args(["--groups", &format!("{ALICE},{CLUB}")])
        .args(options)
        .arg(folder.join("startrace"))
        .args(args)
        .current_dir(folder.join("home"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn check_trace(path: &Path) -> Value {
    let trace = parse(&fs::read(path).unwrap());
    check_schema(&trace);
    check::timelines(&trace).unwrap();
    assert_eq!(trace["session"]["complete"], true, "{:#}", trace["session"]);
    trace
}

#[test]
fn a_recording_keeps_only_what_it_needs() {
    require_root();
    let mut master = Live::spawn(&mut Command::new(program("on_request")));
    master.wait_lines(1);
    let running = record_background(&["-p", &master.pid_text()]);
    let status = fs::read_to_string(format!("/proc/{}/status", running.pid())).unwrap();
    let mut kept = KEPT.to_vec();
    // Root without sudo may have to finish a file in somebody else's folder.
    kept.push(Capability::DacOverride);
    for set in ["CapEff", "CapPrm"] {
        assert_eq!(capabilities(&status, set), bits(&kept), "{set}");
    }
    for set in ["CapInh", "CapBnd", "CapAmb"] {
        assert_eq!(capabilities(&status, set), 0, "{set}");
    }
    assert_eq!(field(&status, "NoNewPrivs"), ["1"]);
    // With that it still records and looks into other users' processes.
    master.say("exec");
    master.wait_lines(2);
    let recorded = running.stop();
    let child = &recorded.children_of(master.pid())[0];
    assert_eq!(child["binary"]["linkage"], "dynamic", "{child:#}");
}

#[test]
fn without_privileges_it_says_what_to_do() {
    require_root();
    let folder = place();
    for args in [&["record", "--", "touch", "ran"][..], &["record", "-a"], &["record", "-p", "1"]] {
        let done = as_alice(folder.path(), &[], args);
        assert_eq!(done.status.code(), Some(77), "{args:?}: {done:?}");
        let said = text(&done.stderr);
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(said.contains("sudo startrace record") && said.contains("setcap"), "{said}");
        assert!(done.stdout.is_empty());
        assert_eq!(names(&folder.path().join("home")), Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn best_effort_runs_the_command_all_the_same() {
    require_root();
    let folder = place();
    let run = |cmd: &[&str]| {
        let args = [&["record", "--best-effort", "--"], cmd].concat();
        as_alice(folder.path(), &[], &args)
    };
    let done = run(&["sh", "-c", "echo ran as $(id -u); exit 7"]);
    assert_eq!(done.status.code(), Some(7), "{done:?}");
    assert_eq!(text(&done.stdout), format!("ran as {ALICE}\n"));
    assert!(text(&done.stderr).contains("--best-effort"), "{done:?}");
    for (cmd, code) in [("kill -KILL $$", 137), ("kill -TERM $PPID; exec sleep 20", 143)] {
        assert_eq!(run(&["sh", "-c", cmd]).status.code(), Some(code), "{cmd}");
    }
    assert_eq!(run(&["no-such-command-anywhere"]).status.code(), Some(127));
    assert_eq!(run(&["/etc/passwd"]).status.code(), Some(126));
    assert_eq!(names(&folder.path().join("home")), Vec::<String>::new());
}

#[test]
fn capabilities_do_instead_of_root() {
    require_root();
    let folder = place();
    let caps = "+bpf,+perfmon,+sys_ptrace,+dac_read_search";
    let (inherit, ambient) = (format!("--inh-caps={caps}"), format!("--ambient-caps={caps}"));
    let args = ["record", "-q", "-o", "t.json", "--", "sh", "-c", "/bin/true; grep CapEff /proc/self/status"];
    let done = as_alice(folder.path(), &[&inherit, &ambient], &args);
    assert!(done.status.success(), "{done:?}");
    let path = folder.path().join("home/t.json");
    let trace = check_trace(&path);
    assert_eq!(fs::metadata(&path).unwrap().uid(), ALICE);
    // An ordinary user reaches no tracefs, mounted or not: another provider takes its place.
    let hooks = trace["session"]["hooks"].as_array().unwrap();
    let entry = ["fentry/", "percpu_alloc", "sys_enter_execve"];
    assert!(hooks.iter().any(|hook| entry.iter().any(|e| hook.as_str().unwrap().contains(e))), "{hooks:?}");
    // Which doctor says, too.
    let doctor = as_alice(folder.path(), &[&inherit, &ambient], &["doctor"]);
    let said = text(&doctor.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("system-call tracepoints: "), "{doctor:?}");
    assert!(!said.contains("a command to start cannot be traced"), "{said}");
    let exact = hooks
        .iter()
        .any(|hook| hook.as_str().unwrap().starts_with("fentry/") || hook == "tp/syscalls/sys_enter_execve");
    assert_eq!(said.contains("a command to start is traced as with -p"), !exact, "{said}");
    assert_eq!(trace["starts"].as_array().unwrap().len(), 3);
    assert!(trace["starts"].as_array().unwrap().iter().all(|start| start["uid"] == ALICE));
}

/// The real sudo, called by a user who exists only in these mounts.
#[test]
fn through_sudo_everything_is_the_callers() {
    require_root();
    assert!(
        Path::new("/usr/bin/sudo").exists(),
        "sudo is not installed: run 'cargo xtask setup', or 'apt-get install sudo'"
    );
    let folder = place();
    let over = |name: &str, more: &str| {
        let text = fs::read_to_string(Path::new("/etc").join(name)).unwrap();
        fs::write(folder.path().join(name), text + more).unwrap();
    };
    over("passwd", &format!("startrace-bob:*:{ALICE}:{ALICE}::/:/bin/sh\n"));
    over("group", &format!("startrace-club:x:{CLUB}:startrace-bob\n"));
    let rules = folder.path().join("sudoers");
    fs::write(&rules, "Defaults env_reset\nstartrace-bob ALL=(ALL) NOPASSWD: ALL\n").unwrap();
    fs::set_permissions(&rules, fs::Permissions::from_mode(0o440)).unwrap();
    // startrace is the parent of CMD: by the second half of a second it has dropped its privileges.
    let cmd = "id -u; id -G; echo $STARTRACE_VENV; echo sudo=$SUDO_UID; umask; sleep 0.5; \
               cat /proc/$PPID/status";
    let script = "mount --make-rprivate / && cd \"$1\" && \
                  for f in passwd group sudoers; do mount --bind $f /etc/$f || exit 90; done; \
                  cd home && exec setpriv --reuid \"$2\" --regid \"$2\" --groups \"$2,$3\" \
                  sh -c 'umask 027; export STARTRACE_VENV=/venv; sudo -n ../startrace record -- sh -c \"$1\"; exit $?' sh \"$4\"";
    let done = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(folder.path())
        .args([&ALICE.to_string(), &CLUB.to_string(), cmd])
        .output()
        .unwrap();
    assert!(done.status.success(), "{} {}", done.status, text(&done.stderr));
    let out = text(&done.stdout).replace('\r', "");
    let (head, status) = out.split_at(out.find("Name:").unwrap());
    assert_eq!(head, format!("{ALICE}\n{ALICE} {CLUB}\n/venv\nsudo=\n0027\n"));
    assert!(field(status, "Name")[0].starts_with("startrace"), "{status}");
    for ids in ["Uid", "Gid"] {
        assert_eq!(field(status, ids), [ALICE.to_string().as_str(); 4], "{ids}");
    }
    assert_eq!(field(status, "Groups"), [ALICE.to_string(), CLUB.to_string()]);
    assert_eq!(capabilities(status, "CapEff"), bits(&KEPT));
    assert_eq!(capabilities(status, "CapPrm"), bits(&KEPT));

    let made = names(&folder.path().join("home"));
    assert!(made.len() == 1 && made[0].starts_with("startrace-sh-"), "{made:?}");
    let path = folder.path().join("home").join(&made[0]);
    let info = fs::metadata(&path).unwrap();
    assert_eq!((info.uid(), info.gid(), info.mode() & 0o777), (ALICE, ALICE, 0o600));
    let trace = check_trace(&path);
    assert_eq!(trace["session"]["env_source"], "sudo");
    let starts = trace["starts"].as_array().unwrap();
    // sh, two ids, sleep and cat; what sudo starts is not ours.
    assert_eq!(starts.len(), 5, "{starts:#?}");
    assert!(starts.iter().all(|start| start["uid"] == ALICE && start["gid"] == ALICE));
}

/// `--run-as` from root, with a user who exists only in these mounts.
#[test]
fn run_as_makes_the_command_another_users() {
    require_root();
    let folder = place();
    let over = |name: &str, more: &str| {
        let text = fs::read_to_string(Path::new("/etc").join(name)).unwrap();
        fs::write(folder.path().join(name), text + more).unwrap();
    };
    over("passwd", &format!("startrace-bob:*:{ALICE}:{ALICE}::/bobs:/bin/sh\n"));
    over("group", &format!("startrace-club:x:{CLUB}:startrace-bob\n"));
    let script = "mount --make-rprivate / && for f in passwd group; do mount --bind \"$1/$f\" /etc/$f || exit 90; done; \
                  cd \"$1\" && shift && exec ./startrace \"$@\"";
    let run = |args: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", script, "sh"]).arg(folder.path()).args(args);
        // As after sudo, whose caller it is not to be.
        command.env("SUDO_UID", "0").env("SUDO_GID", "0").output().unwrap()
    };
    let cmd = "id -u; id -g; id -G; echo $HOME $USER ${SUDO_UID-no}; grep -h CapEff /proc/self/status";
    let other = CLUB + 1;
    for (who, uid, gid, groups, environment) in [
        ("startrace-bob".to_owned(), ALICE, ALICE, format!("{ALICE} {CLUB}"), Some("/bobs startrace-bob no")),
        (ALICE.to_string(), ALICE, ALICE, format!("{ALICE} {CLUB}"), Some("/bobs startrace-bob no")),
        (
            "startrace-bob:startrace-club".to_owned(),
            ALICE,
            CLUB,
            CLUB.to_string(),
            Some("/bobs startrace-bob no"),
        ),
        (format!("{other}:{ALICE}"), other, ALICE, ALICE.to_string(), None),
    ] {
        let trace = folder.path().join("t.json");
        let _ = fs::remove_file(&trace);
        let done = run(&["record", "-q", "-o", "t.json", "--run-as", &who, "--", "sh", "-c", cmd]);
        assert!(done.status.success(), "{who}: {}", text(&done.stderr));
        let out = text(&done.stdout);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[..3], [uid.to_string(), gid.to_string(), groups], "{who}: {out}");
        if let Some(environment) = environment {
            assert_eq!(lines[3], environment, "{who}");
        }
        assert_eq!(capabilities(lines[4], "CapEff"), 0, "{who}");
        let traced = check_trace(&trace);
        let starts = traced["starts"].as_array().unwrap();
        assert!(starts.len() >= 4 && starts.iter().all(|start| start["uid"] == uid && start["gid"] == gid));
        // The trace is the caller's all the same.
        assert_eq!(fs::metadata(&trace).unwrap().uid(), 0, "{who}");
    }
    for (who, says) in [
        ("startrace-nobody-such", "no user \"startrace-nobody-such\" in /etc/passwd"),
        ("startrace-bob:nosuch", "no group \"nosuch\" in /etc/group"),
        ("54349", "name the group too, --run-as 54349:GROUP"),
    ] {
        let done = run(&["record", "--run-as", who, "--", "touch", "ran"]);
        assert_eq!(done.status.code(), Some(125), "{who}: {done:?}");
        assert!(text(&done.stderr).contains(says), "{who}: {}", text(&done.stderr));
        assert!(!folder.path().join("ran").exists(), "{who}");
    }
    // Nobody else may.
    let done = as_alice(folder.path(), &[], &["record", "--run-as", "0:0", "--", "touch", "ran"]);
    assert!(text(&done.stderr).contains("needs root"), "{done:?}");
    assert!(!done.status.success() && names(&folder.path().join("home")).is_empty());
}
