//! Least privilege: what a running tracer may still do, what file capabilities give and do not give, and whose files
//! it writes, with which links in the way.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::status::{bits, capabilities, field};
use common::{check, check_schema, parse, require_root, startrace};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Gid, Pid, Uid, chown};
use startrace::host::privilege::{Capability, KEPT};
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// An id that no distribution gives to anybody.
const ALICE: u32 = 54343;
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/traces/shell-pipeline.json");
const FILE_CAPABILITIES: &str = "cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search=ep";

/// The tracer's `/proc/PID/status` once it has given its privileges up; each of its threads must agree.
fn settled(child: &mut Child) -> String {
    let begin = Instant::now();
    let read = |path: PathBuf| fs::read_to_string(path).unwrap_or_default();
    loop {
        let status = read(format!("/proc/{}/status", child.id()).into());
        if !status.is_empty() && status.contains("NoNewPrivs:\t1") {
            for task in fs::read_dir(format!("/proc/{}/task", child.id())).unwrap() {
                let task = read(task.unwrap().path().join("status"));
                for name in ["CapEff", "CapPrm", "CapInh", "CapAmb", "Uid", "Gid", "NoNewPrivs"] {
                    assert!(task.is_empty() || field(&task, name) == field(&status, name), "{name}: {task}");
                }
            }
            return status;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended before it had dropped anything");
        assert!(begin.elapsed() < Duration::from_secs(60), "privileges were not dropped: {status}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn end(mut child: Child) {
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
    let _ = child.wait().unwrap();
}

fn tracer(folder: &Path, args: &[&str]) -> Child {
    let mut command = Command::new(startrace());
    command.args(args).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn every_tracer_keeps_only_what_it_needs() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let mut followed = Command::new("sleep").arg("100").spawn().unwrap();
    let pid = followed.id().to_string();
    for args in [
        &["record", "-o", "a.json", "--", "sleep", "20"][..],
        &["record", "-o", "b.json", "-p", &pid],
        &["watch", "--", "sleep", "20"],
        &["watch", "--json", "-p", &pid],
        &["stat", "-n", "1", "--", "sleep", "20"],
    ] {
        let mut child = tracer(folder.path(), args);
        let status = settled(&mut child);
        // Root without sudo may have to finish a file in somebody else's folder.
        let kept = bits(&KEPT) | Capability::DacOverride.bit();
        for set in ["CapEff", "CapPrm"] {
            assert_eq!(capabilities(&status, set), kept, "{args:?} {set}");
        }
        for set in ["CapInh", "CapBnd", "CapAmb"] {
            assert_eq!(capabilities(&status, set), 0, "{args:?} {set}");
        }
        for ids in ["Uid", "Gid"] {
            assert_eq!(field(&status, ids), ["0"; 4], "{args:?} {ids}");
        }
        end(child);
    }
    followed.kill().unwrap();
    followed.wait().unwrap();
}

/// The tool with file capabilities, in a folder that everybody may pass, with alice's home.
fn with_file_capabilities() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let tool = folder.path().join("startrace");
    assert!(Command::new("cp").arg(startrace()).arg(&tool).status().unwrap().success());
    let set = Command::new("setcap").arg(FILE_CAPABILITIES).arg(&tool).output();
    let set = set.expect("setcap is not installed: apt-get install libcap2-bin");
    assert!(set.status.success(), "{set:?}");
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    chown(&home, Some(Uid::from_raw(ALICE)), Some(Gid::from_raw(ALICE))).unwrap();
    folder
}

fn as_alice(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &ALICE.to_string(), "--regid", &ALICE.to_string(), "--clear-groups", "--"])
        .arg(folder.join("startrace"))
        .args(args)
        .current_dir(folder.join("home"))
        .stdin(Stdio::null());
    command
}

#[test]
fn file_capabilities_do_instead_of_root() {
    require_root();
    let folder = with_file_capabilities();
    let script = "/bin/true; grep -E '^(Cap(Eff|Prm|Amb)|Uid)' /proc/self/status";
    let done = as_alice(folder.path(), &["record", "-q", "-o", "t.json", "--", "sh", "-c", script])
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
    // The command gets nothing of it.
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    for set in ["CapEff", "CapPrm", "CapAmb"] {
        assert_eq!(capabilities(&said, set), 0, "{said}");
    }
    let path = folder.path().join("home/t.json");
    let trace = parse(&fs::read(&path).unwrap());
    check_schema(&trace);
    check::timelines(&trace).unwrap();
    assert_eq!(trace["session"]["complete"], true, "{:#}", trace["session"]);
    assert_eq!(trace["starts"].as_array().unwrap().len(), 3, "{trace:#}");
    let data = fs::metadata(&path).unwrap();
    assert_eq!((data.uid(), data.mode() & 0o777), (ALICE, 0o600));

    // Dynamic loading is seen into as well as by root.
    let phases = trace["starts"][0]["timeline"]["phase_ns"].clone();
    assert!(phases["link"].as_u64().is_some_and(|ns| ns > 0), "{phases}");

    for args in [&["record", "-o", "u.json", "--", "sleep", "20"][..], &["watch", "--", "sleep", "20"]] {
        let mut child =
            as_alice(folder.path(), args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let status = settled(&mut child);
        for set in ["CapEff", "CapPrm"] {
            assert_eq!(capabilities(&status, set), bits(&KEPT), "{args:?} {set}");
        }
        for set in ["CapInh", "CapAmb"] {
            assert_eq!(capabilities(&status, set), 0, "{args:?} {set}");
        }
        for ids in ["Uid", "Gid"] {
            assert_eq!(field(&status, ids), [ALICE.to_string().as_str(); 4], "{args:?} {ids}");
        }
        end(child);
    }
    let done = as_alice(folder.path(), &["stat", "-n", "2", "--", "/bin/true"]).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

#[test]
fn file_capabilities_do_not_read_files_of_others() {
    require_root();
    let folder = with_file_capabilities();
    let secret = folder.path().join("secret.json");
    fs::copy(SAMPLE, &secret).unwrap();
    fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
    let rules = folder.path().join("rules.toml");
    fs::write(&rules, "patterns = ['only-root-knows']\n").unwrap();
    fs::set_permissions(&rules, Permissions::from_mode(0o600)).unwrap();
    let hidden = folder.path().join("hidden");
    fs::create_dir(&hidden).unwrap();
    fs::copy(SAMPLE, hidden.join("t.json")).unwrap();
    fs::set_permissions(&hidden, Permissions::from_mode(0o700)).unwrap();
    for args in [
        &["report", "../secret.json"][..],
        &["report", "../hidden/t.json"],
        &["export", "../secret.json", "--to", "ndjson"],
        &["diff", "../secret.json", "../secret.json"],
        &["check", "../secret.json", "--budget", "../rules.toml"],
        &["scrub", "../secret.json", "-o", "-"],
        &["inspect", "../secret.json"],
        &["record", "--redact-rules", "../rules.toml", "--", "true"],
        &["stat", "--redact-rules", "../rules.toml", "--", "true"],
    ] {
        let done = as_alice(folder.path(), args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains("ermission"), "{args:?}: {done:?}");
        assert!(done.stdout.is_empty() && !said.contains("only-root-knows"), "{args:?}: {done:?}");
    }
    // A process of her own can be inspected, and files that she may read.
    let own = as_alice(folder.path(), &["inspect", "/bin/true"]).output().unwrap();
    assert!(own.status.success(), "{own:?}");
}

/// Everything that writes a file, to `out` in the current folder.
const WRITERS: [&[&str]; 8] = [
    &["record", "-q", "-o", "out", "--format", "json", "--", "true"],
    &["record", "-q", "-o", "out", "--format", "ndjson", "--", "true"],
    &["record", "-q", "-o", "/dev/null", "--events", "out", "--", "true"],
    &["stat", "-q", "-n", "1", "-o", "out", "--", "true"],
    &["report", SAMPLE, "--html", "out"],
    &["export", SAMPLE, "--to", "chrome", "-o", "out"],
    &["export", SAMPLE, "--to", "html", "-o", "out"],
    &["scrub", SAMPLE, "-o", "out"],
];

fn with_open_umask(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(startrace());
    command.args(args).current_dir(folder).stdin(Stdio::null());
    // SAFETY: umask(2) alone, which is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::umask(0);
            Ok(())
        });
    }
    command.output().unwrap()
}

#[test]
fn nothing_is_written_for_others_to_read() {
    require_root();
    for args in WRITERS {
        let folder = tempfile::tempdir().unwrap();
        let done = with_open_umask(folder.path(), args);
        assert!(done.status.success(), "{args:?}: {done:?}");
        let mode = fs::metadata(folder.path().join("out")).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600, "{args:?}");
        assert_eq!(common::live::names(folder.path()), ["out"], "{args:?}");
    }
}

/// What alice puts into a folder where everybody may write leads root nowhere.
#[test]
fn links_that_others_planted_are_not_followed() {
    require_root();
    for mode in [0o1777, 0o777] {
        for args in WRITERS {
            for name in ["out", "out.spool"] {
                let folder = tempfile::tempdir().unwrap();
                let place = folder.path().join("shared");
                fs::create_dir(&place).unwrap();
                fs::set_permissions(&place, Permissions::from_mode(mode)).unwrap();
                let victim = folder.path().join("victim");
                fs::write(&victim, "precious").unwrap();
                for target in [victim.clone(), folder.path().join("new")] {
                    let link = place.join(name);
                    let _ = fs::remove_file(&link);
                    let _ = fs::remove_file(place.join("out"));
                    symlink(&target, &link).unwrap();
                    nix::unistd::fchownat(
                        nix::fcntl::AT_FDCWD,
                        &link,
                        Some(Uid::from_raw(ALICE)),
                        None,
                        nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW,
                    )
                    .unwrap();
                    let done = with_open_umask(&place, args);
                    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious", "{args:?} {name}: {done:?}");
                    assert!(!folder.path().join("new").exists(), "{args:?} {name}: {done:?}");
                    // Refused, with a word on it, or written beside it.
                    let written = fs::symlink_metadata(place.join("out")).is_ok_and(|data| data.is_file());
                    assert!(written || !done.status.success(), "{args:?} {name}: {done:?}");
                    assert!(written || done.stderr.len() > 10, "{args:?} {name}: {done:?}");
                }
            }
        }
    }
}

#[test]
fn a_dry_run_without_privileges_says_what_it_could_not_examine() {
    require_root();
    let folder = with_file_capabilities();
    // A copy that has none.
    fs::copy(folder.path().join("startrace"), folder.path().join("plain")).unwrap();
    fs::rename(folder.path().join("plain"), folder.path().join("startrace")).unwrap();
    for args in [&["--", "/bin/true"][..], &["-a"]] {
        let args = [&["record", "--dry-run"], args].concat();
        let of_root = Command::new(startrace()).args(&args).output().unwrap();
        let of_user = as_alice(folder.path(), &args).output().unwrap();
        assert!(of_root.status.success() && of_user.status.success(), "{of_root:?} {of_user:?}");
        assert_eq!(String::from_utf8_lossy(&of_user.stderr), "", "a lack of privilege is nothing to warn of");
        let root = String::from_utf8(of_root.stdout).unwrap();
        let user = String::from_utf8(of_user.stdout).unwrap();
        assert!(!root.contains("Not examined"), "{root}");
        assert!(user.contains("Not examined without privileges (run with sudo to see"), "{user}");
        // Who is listed as sure, is; and what sudo uses is one of the possibilities, whole.
        let lines = |text: &str, depth: usize| -> Vec<String> {
            let indent = " ".repeat(depth);
            let deep = |line: &&str| line.starts_with(&indent) && !line[depth..].starts_with(' ');
            text.lines().filter(deep).map(|line| line.trim().to_owned()).collect()
        };
        let hooks = |text: &str| text[..text.find("Cost:").unwrap()].to_owned();
        let used = lines(&hooks(&root), 2);
        let (sure, open) = {
            let all = hooks(&user);
            let at = all.find("Not examined").unwrap();
            (lines(&all[..at], 2), all[at..].to_owned())
        };
        let left: Vec<_> = used.iter().filter(|hook| !sure.contains(hook)).cloned().collect();
        assert_eq!(sure.len() + left.len(), used.len(), "{sure:?} of {used:?}");
        let groups: Vec<Vec<String>> = open.split(":\n").skip(2).map(|group| lines(group, 4)).collect();
        assert!(groups.len() >= 2 && groups.contains(&left), "{left:?} in {groups:?}\n{user}");
        for line in lines(&root[root.find("Cost:").unwrap()..], 2) {
            assert!(user.contains(&line), "{line} in {user}");
        }
    }
}
