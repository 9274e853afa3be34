//! What the host part does as root, each case in a process of its own: credentials, limits and
//! signals belong to a process, and a test harness has threads. Needs root and sudo(8). Without sudo a
//! case fails; without root it says that it did not run, and fails where CI is set.
//!
//! `cargo test --test host_privileged [NAME]`; the binary calls itself with `case NAME`.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use startrace::host::caller::{self, Caller, EnvSource};
use startrace::host::limits::Limit;
use startrace::host::owner::Owner;
use startrace::host::privilege::{self, Capability, KEPT};
use startrace::host::procfs;
use startrace::host::spawn::{Ended, Execution, SpawnError, spawn};
use startrace::trace::schema::{Header, Host, Line, SCHEMA, Session, Target, Tool};
use startrace::trace::write::{Finished, Flow, Format, Output, OutputTarget};
use std::ffi::{CString, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Ids that no distribution gives to anybody.
const ALICE: u32 = 54321;
const CLUB: u32 = 54322;

const CASES: &[(&str, fn())] = &[
    ("cmd_runs_as_the_caller", cmd_runs_as_the_caller),
    ("cmd_gets_signals_as_we_did", cmd_gets_signals_as_we_did),
    ("failed_starts_have_env_codes", failed_starts_have_env_codes),
    ("the_callers_path_counts", the_callers_path_counts),
    ("ends_are_told_apart", ends_are_told_apart),
    ("nothing_leaks_into_cmd", nothing_leaks_into_cmd),
    ("privileges_are_dropped_to_alice", privileges_are_dropped_to_alice),
    ("privileges_are_dropped_as_root", privileges_are_dropped_as_root),
    ("nothing_starts_after_the_drop", nothing_starts_after_the_drop),
    ("files_belong_to_the_caller", files_belong_to_the_caller),
    ("strangers_files_are_not_reused", strangers_files_are_not_reused),
    ("a_full_disk_keeps_what_was_written", a_full_disk_keeps_what_was_written),
    ("a_size_limit_keeps_whole_lines", a_size_limit_keeps_whole_lines),
    ("sudo_is_seen_through", sudo_is_seen_through),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("case") => {
            let case = CASES.iter().find(|(name, _)| *name == arguments[1]);
            (case.expect("no such case").1)();
            return ExitCode::SUCCESS;
        }
        Some("signals") => return print_signals(),
        Some("behind-sudo") => return behind_sudo(),
        Some("--list") => {
            CASES.iter().for_each(|(name, _)| println!("{name}: test"));
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let filter = arguments.iter().find(|a| !a.starts_with('-'));
    let (mut passed, mut failed, mut not_run) = (0u64, 0u64, 0u64);
    for (name, _) in CASES {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        if !nix::unistd::geteuid().is_root() {
            println!("test {name} ... DID NOT RUN: needs root");
            if std::env::var_os("CI").is_some() {
                failed += 1;
            } else {
                not_run += 1;
            }
            continue;
        }
        let output = itself(&["case", name]).output().unwrap();
        let good = output.status.success();
        println!("test {name} ... {}", if good { "ok" } else { "FAILED" });
        if good {
            passed += 1;
        } else {
            failed += 1;
            println!("{}", String::from_utf8_lossy(&output.stdout));
            println!("{}", String::from_utf8_lossy(&output.stderr));
        }
    }
    // As libtest says it: `cargo xtask test` adds these lines up.
    let result = if failed > 0 { "FAILED" } else { "ok" };
    println!("\ntest result: {result}. {passed} passed; {failed} failed; {not_run} ignored; 0 measured");
    ExitCode::from(u8::from(failed > 0))
}

fn itself(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0(std::env::current_exe().unwrap()).args(arguments);
    command
}

fn alice() -> Owner {
    Owner { uid: ALICE, gid: ALICE, groups: vec![ALICE, CLUB] }
}

fn caller() -> Caller {
    let mut caller = caller::resolve(None).unwrap();
    let alice = alice();
    caller.uid = alice.uid;
    caller.gid = alice.gid;
    caller.groups.clone_from(&alice.groups);
    caller.switch = true;
    caller.owner = alice;
    caller
}

fn words(words: &[&str]) -> Vec<OsString> {
    words.iter().map(OsString::from).collect()
}

/// Runs a command with its stdout into a pipe (in place of ours) and returns what it wrote.
fn output_of(argv: &[&str], caller: &Caller) -> (String, Ended) {
    let (mut read, write) = std::io::pipe().unwrap();
    let saved = std::os::fd::AsFd::as_fd(&std::io::stdout()).try_clone_to_owned().unwrap();
    nix::unistd::dup2_stdout(&write).unwrap();
    drop(write);
    let spawned = spawn(&words(argv), caller, false, None);
    nix::unistd::dup2_stdout(&saved).unwrap();
    let mut spawned = spawned.unwrap();
    match spawned.execution(None) {
        Execution::Done => {}
        other => panic!("{argv:?}: {other:?}"),
    }
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    let ended = spawned.wait().unwrap();
    (text, ended)
}

fn failure_of(argv: &[&str], caller: &Caller) -> SpawnError {
    let mut spawned = spawn(&words(argv), caller, false, None).unwrap();
    let Execution::Failed(error) = spawned.execution(None) else {
        panic!("{argv:?} was started");
    };
    // It was reaped: no zombie is left, and its status is the error's.
    let ended = spawned.wait().unwrap();
    assert_eq!(ended, Ended::Exited(i32::from(error.exit_code())));
    assert!(!Path::new(&format!("/proc/{}", spawned.pid)).exists());
    error
}

fn cmd_runs_as_the_caller() {
    let mut caller = caller();
    caller.umask = Some(0o027);
    caller.limits[libc::RLIMIT_NOFILE as usize] = Limit { soft: 123, hard: 456 };
    caller.env.set("ONLY", b"\xffraw");
    let script = "cat /proc/self/status /proc/self/limits; pwd; printf %s \"$ONLY\" | od -An -tx1";
    let here = std::env::current_dir().unwrap();
    let (text, ended) = output_of(&["/bin/sh", "-c", script], &caller);
    assert_eq!(ended.exit_code(), 0);
    for line in [
        format!("Uid:\t{ALICE}\t{ALICE}\t{ALICE}\t{ALICE}"),
        format!("Gid:\t{ALICE}\t{ALICE}\t{ALICE}\t{ALICE}"),
        format!("Groups:\t{ALICE} {CLUB}"),
        "Umask:\t0027".into(),
        "CapPrm:\t0000000000000000".into(),
        "CapEff:\t0000000000000000".into(),
        "CapAmb:\t0000000000000000".into(),
        "NoNewPrivs:\t0".into(),
        format!("\n{}\n", here.display()),
        " ff 72 61 77".into(),
    ] {
        assert!(text.contains(&line), "{line:?} is not in {text}");
    }
    let files = text.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let numbers: Vec<_> = files.split_whitespace().skip(3).take(2).collect();
    assert_eq!(numbers, ["123", "456"]);
}

fn print_signals() -> ExitCode {
    let caller = caller::resolve(None).unwrap();
    let mut block = nix::sys::signal::SigSet::empty();
    block.add(nix::sys::signal::Signal::SIGINT);
    block.thread_block().unwrap();
    let argv = words(&["grep", "-E", "^Sig(Blk|Ign|Cgt)", "/proc/self/status"]);
    let mut spawned = spawn(&argv, &caller, false, None).unwrap();
    ExitCode::from(spawned.wait().unwrap().exit_code())
}

fn cmd_gets_signals_as_we_did() {
    let run = |ignore: &'static [i32], block: Option<i32>| {
        let mut command = itself(&["signals"]);
        // SAFETY: only async-signal-safe calls, on values made beforehand.
        unsafe {
            command.pre_exec(move || {
                libc::signal(libc::SIGPIPE, libc::SIG_DFL);
                for &signal in ignore {
                    libc::signal(signal, libc::SIG_IGN);
                }
                if let Some(signal) = block {
                    let mut set = std::mem::zeroed();
                    libc::sigemptyset(&mut set);
                    libc::sigaddset(&mut set, signal);
                    libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
                }
                Ok(())
            });
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let number = |key: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        // glibc's posix_spawn, which started us, leaves its two internal signals ignored.
        let internal = 1u64 << 31 | 1 << 32;
        (number("SigIgn:") & !internal, number("SigBlk:"))
    };
    assert_eq!(run(&[], None), (0, 0), "Rust ignores SIGPIPE; CMD must not");
    let ignored = run(&[libc::SIGPIPE, libc::SIGHUP, libc::SIGCHLD], Some(libc::SIGUSR1));
    let bit = |signal: i32| 1u64 << (signal - 1);
    assert_eq!(ignored, (bit(libc::SIGPIPE) | bit(libc::SIGHUP) | bit(libc::SIGCHLD), bit(libc::SIGUSR1)));
}

fn failed_starts_have_env_codes() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let file = |name: &str, mode: u32, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let caller = caller();
    let none = failure_of(&["no-such-command-anywhere"], &caller);
    assert_eq!((none.exit_code(), none.errno()), (127, libc::ENOENT));
    let path = failure_of(&[&format!("{}/none", dir.path().display())], &caller);
    assert_eq!(path.exit_code(), 127);
    let plain = failure_of(&[&file("plain", 0o644, "x")], &caller);
    assert_eq!((plain.exit_code(), plain.errno()), (126, libc::EACCES));
    // Root could execute it; the caller may not.
    let roots = failure_of(&[&file("roots", 0o700, "#!/bin/sh\n")], &caller);
    assert_eq!(roots.exit_code(), 126);
    let folder = failure_of(&[dir.path().to_str().unwrap()], &caller);
    assert_eq!(folder.exit_code(), 126);
    let script = failure_of(&[&file("script", 0o755, "#!/no/such/interpreter\n")], &caller);
    assert_eq!(script.exit_code(), 127);
    assert!(script.to_string().contains("interpreter"), "{script}");
    let long = failure_of(&["/bin/true", &"x".repeat(1 << 20)], &caller);
    assert_eq!((long.exit_code(), long.errno()), (126, libc::E2BIG));
    assert_eq!(failure_of(&[""], &caller).exit_code(), 127);
    for bad in [vec![], vec![OsString::from("nul\0byte")]] {
        assert_eq!(spawn(&bad, &caller, false, None).unwrap_err().exit_code(), 125);
    }
    // A file without a #! line is the shell's, as execvp has it.
    let bare = file("bare", 0o755, "echo bare $1\n");
    let (text, _) = output_of(&[&bare, "one"], &caller);
    assert_eq!(text, "bare one\n");
}

fn the_callers_path_counts() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let make = |folder: &str, mode: u32| {
        let folder = dir.path().join(folder);
        fs::create_dir_all(&folder).unwrap();
        let tool = folder.join("tool");
        fs::write(&tool, format!("#!/bin/sh\necho {}\n", folder.display())).unwrap();
        fs::set_permissions(tool, fs::Permissions::from_mode(mode)).unwrap();
        folder.display().to_string()
    };
    let (closed, open, later) = (make("closed", 0o700), make("open", 0o755), make("later", 0o755));
    fs::create_dir_all(dir.path().join("folder/tool")).unwrap();
    let folder = dir.path().join("folder");
    let mut caller = caller();
    let path = format!("/nonexistent:{closed}:{}:{open}:{later}", folder.display());
    caller.env.set("PATH", path.as_bytes());
    let (text, _) = output_of(&["tool"], &caller);
    assert_eq!(text.trim(), open);
    caller.env.set("PATH", closed.as_bytes());
    assert_eq!(failure_of(&["tool"], &caller).exit_code(), 126);
    // An empty element is the current folder.
    std::env::set_current_dir(&open).unwrap();
    caller.env.set("PATH", b"/nonexistent:");
    let (text, _) = output_of(&["tool"], &caller);
    assert_eq!(text.trim(), open);
    caller.env.remove("PATH");
    let (text, _) = output_of(&["echo", "default"], &caller);
    assert_eq!(text, "default\n");
}

fn ends_are_told_apart() {
    let caller = caller();
    for (script, ended, code) in [
        ("exit 7", Ended::Exited(7), 7),
        ("ulimit -c 0; kill -9 $$", Ended::Killed { signal: 9, core: false }, 137),
        ("kill -34 $$", Ended::Killed { signal: 34, core: false }, 162),
    ] {
        let (_, got) = output_of(&["sh", "-c", script], &caller);
        assert_eq!((got, got.exit_code()), (ended, code), "{script}");
    }
    let mut slow = spawn(&words(&["sleep", "0.2"]), &caller, false, None).unwrap();
    assert_eq!(slow.try_wait().unwrap(), None);
    let mut fds =
        [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&slow.pidfd), nix::poll::PollFlags::POLLIN)];
    assert_eq!(nix::poll::poll(&mut fds, 5000u16).unwrap(), 1);
    assert_eq!(slow.try_wait().unwrap(), Some(Ended::Exited(0)));
    assert_eq!(slow.try_wait().unwrap(), Some(Ended::Exited(0)));
}

fn nothing_leaks_into_cmd() {
    let caller = caller();
    let numbers = |text: &str| -> Vec<String> { text.split_whitespace().map(String::from).collect() };
    // Whoever runs the tests may have handed descriptors down: those are CMD's as well.
    let plain = Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let given = numbers(&String::from_utf8(plain.stdout).unwrap());
    let dir = tempfile::tempdir().unwrap();
    let target = OutputTarget::File(dir.path().join("t.json"));
    let _output = Output::create(&target, Format::Json, &Owner::own()).unwrap();
    let (text, _) = output_of(&["ls", "/proc/self/fd"], &caller);
    assert_eq!(numbers(&text), given);

    // `-o -`: what CMD writes to stdout is on stderr.
    let (mut read, write) = std::io::pipe().unwrap();
    let saved = std::os::fd::AsFd::as_fd(&std::io::stderr()).try_clone_to_owned().unwrap();
    nix::unistd::dup2_stderr(&write).unwrap();
    drop(write);
    let spawned = spawn(&words(&["echo", "moved"]), &caller, true, None);
    nix::unistd::dup2_stderr(&saved).unwrap();
    assert_eq!(spawned.unwrap().wait().unwrap(), Ended::Exited(0));
    let mut text = String::new();
    read.read_to_string(&mut text).unwrap();
    assert_eq!(text, "moved\n");
}

fn own_status() -> procfs::Status {
    procfs::status(Path::new("/proc/self")).unwrap()
}

fn bits(capabilities: &[Capability]) -> u64 {
    capabilities.iter().fold(0, |set, c| set | c.bit())
}

fn privileges_are_dropped_to_alice() {
    let mut running = spawn(&words(&["sleep", "5"]), &caller(), false, None).unwrap();
    assert!(matches!(running.execution(None), Execution::Done));
    let before = own_status().capabilities.permitted;
    let mut roots = spawn(&words(&["sleep", "5"]), &caller::resolve(None).unwrap(), false, None).unwrap();
    assert!(matches!(roots.execution(None), Execution::Done));
    privilege::drop_to(&alice(), &[]).unwrap();
    let status = own_status();
    let sets = status.capabilities;
    assert_eq!(sets.effective, bits(&KEPT) & before);
    assert_eq!(sets.effective, bits(&KEPT), "root had all of them");
    assert_eq!(sets.permitted, sets.effective);
    assert_eq!((sets.inheritable, sets.ambient, sets.bounding), (0, 0, 0));
    assert!(sets.no_new_privs);
    assert_eq!(status.uids, [ALICE; 4]);
    assert_eq!(status.gids, [ALICE; 4]);
    assert_eq!(status.groups, [ALICE, CLUB]);
    // There is no way back, and root's files are out of reach.
    assert!(nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).is_err());
    assert!(fs::OpenOptions::new().write(true).open("/etc/passwd").is_err());
    // What is kept works: another user's executable can be read, CMD (the caller's) be signalled.
    let exe = fs::read_link(format!("/proc/{}/exe", roots.pid)).unwrap();
    assert!(exe.ends_with("sleep"), "{exe:?}");
    let root_process = nix::unistd::Pid::from_raw(roots.pid as i32);
    assert!(nix::sys::signal::kill(root_process, nix::sys::signal::Signal::SIGTERM).is_err());
    let cmd = nix::unistd::Pid::from_raw(running.pid as i32);
    nix::sys::signal::kill(cmd, nix::sys::signal::Signal::SIGTERM).unwrap();
    assert_eq!(running.wait().unwrap().exit_code(), 143);
    assert!(privilege::require("record").is_ok());
}

fn privileges_are_dropped_as_root() {
    let root = Owner { uid: 0, gid: 0, groups: vec![0] };
    privilege::drop_to(&root, &[Capability::Kill]).unwrap();
    let mut kept = KEPT.to_vec();
    kept.extend([Capability::DacOverride, Capability::Kill]);
    let status = own_status();
    assert_eq!(status.capabilities.effective, bits(&kept));
    assert_eq!(status.capabilities.bounding, 0);
    assert_eq!(status.uids, [0; 4]);
}

fn nothing_starts_after_the_drop() {
    privilege::drop_to(&alice(), &[]).unwrap();
    let error = spawn(&words(&["true"]), &caller(), false, None).unwrap_err();
    assert_eq!(error.exit_code(), 125);
    assert!(error.to_string().contains("given up"), "{error}");
}

fn header() -> Line {
    Line::Header(Header {
        schema: SCHEMA.into(),
        tool: Tool { name: "startrace".into(), version: "0".into() },
        host: Host {
            hostname: "h".repeat(200),
            kernel: "6".into(),
            arch: "x86_64".into(),
            boot_id: None,
            cpus: 1,
            cpu_model: None,
            cpu_quota: None,
        },
    })
}

fn session() -> Session {
    Session {
        mode: "command".into(),
        target: Target::default(),
        level: "timeline".into(),
        env_source: None,
        started_at: String::new(),
        duration_ns: 0,
        ended_by: "exit".into(),
        complete: true,
        lost: Default::default(),
        hooks: Vec::new(),
        hooks_missing: Default::default(),
        not_observed: Default::default(),
        redacted: None,
        starts: 0,
        left_out: 0,
        runs: Vec::new(),
    }
}

/// A folder of alice's in one that everybody can pass.
fn homes() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, uid, mode) in [("alice", ALICE, 0o700), ("root", 0, 0o755), ("tmp", 0, 0o1777)] {
        let path = dir.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(uid), Some(uid)).unwrap();
    }
    dir
}

fn files_belong_to_the_caller() {
    let dir = homes();
    let create = |path: &Path, format| Output::create(&OutputTarget::File(path.to_owned()), format, &alice());
    // Root may not be used to write where alice may not.
    for format in [Format::Json, Format::Ndjson] {
        let error = create(&dir.path().join("root/t"), format).unwrap_err();
        let cause = error.cause().and_then(std::io::Error::raw_os_error);
        assert_eq!(cause, Some(libc::EACCES), "{error}");
    }
    let shared = dir.path().join("tmp/t.json");
    let mut before = create(&shared, Format::Json).unwrap();
    assert_eq!(before.write_line(&header()).unwrap(), Flow::Going);
    let finished = before.finish(Vec::new(), Default::default(), session()).unwrap();
    assert_eq!(finished, Finished::File(shared.clone()));
    assert_eq!(own_status().uids, [0; 4], "root again");
    assert_ne!(own_status().capabilities.effective & Capability::DacOverride.bit(), 0);

    // The usual way: made before the drop, finished after it.
    let home = dir.path().join("alice/t.json");
    let mut output = create(&home, Format::Json).unwrap();
    privilege::drop_to(&alice(), &[]).unwrap();
    assert_eq!(output.write_line(&header()).unwrap(), Flow::Going);
    output.finish(Vec::new(), Default::default(), session()).unwrap();
    for path in [&home, &shared] {
        let metadata = fs::metadata(path).unwrap();
        assert_eq!((metadata.uid(), metadata.gid()), (ALICE, ALICE));
        assert_eq!(metadata.mode() & 0o7777, 0o600);
    }
    assert_eq!(fs::read_dir(dir.path().join("alice")).unwrap().count(), 1);
}

fn strangers_files_are_not_reused() {
    let dir = homes();
    let path = dir.path().join("tmp/t.ndjson");
    fs::write(&path, "somebody else's").unwrap();
    for format in [Format::Json, Format::Ndjson] {
        let target = OutputTarget::File(path.clone());
        let error = Output::create(&target, format, &alice()).unwrap_err();
        assert!(error.to_string().contains("somebody else"), "{error}");
    }
    // root too would fall for a pipe that alice laid out in /tmp.
    let pipe = dir.path().join("tmp/pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
    std::os::unix::fs::chown(&pipe, Some(ALICE), Some(ALICE)).unwrap();
    let target = OutputTarget::File(pipe);
    let error = Output::create(&target, Format::Ndjson, &Owner::own()).unwrap_err();
    assert!(error.to_string().contains("somebody else"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
}

/// Writes until it fails; returns the error's text.
fn fill(output: &mut Output) -> String {
    for _ in 0..100_000 {
        match output.write_line(&header()) {
            Ok(flow) => assert_eq!(flow, Flow::Going),
            Err(error) => {
                assert!(output.flush().is_err(), "it stays failed");
                return error.to_string();
            }
        }
    }
    panic!("it never failed");
}

/// Every line is whole, and something was kept.
fn check_lines(path: &Path) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.ends_with('\n') && text.len() > 1000);
    for line in text.lines() {
        serde_json::from_str::<Line>(line).unwrap();
    }
}

fn mount(source: &str, target: &Path, kind: Option<&str>, flags: libc::c_ulong, data: &str) {
    let text = |text: &str| CString::new(text).unwrap();
    let (source, data) = (text(source), text(data));
    let target = text(target.to_str().unwrap());
    let kind = kind.map(text);
    // SAFETY: all strings end in NUL and live until after the call.
    let result = unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            kind.as_ref().map_or(std::ptr::null(), |k| k.as_ptr()),
            flags,
            data.as_ptr().cast(),
        )
    };
    assert_eq!(result, 0, "mount {target:?}: {}", std::io::Error::last_os_error());
}

/// Mounts made from here on are this process's alone and end with it.
fn private_mounts() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    mount("none", Path::new("/"), None, libc::MS_REC | libc::MS_PRIVATE, "");
}

fn a_full_disk_keeps_what_was_written() {
    private_mounts();
    let dir = tempfile::tempdir().unwrap();
    mount("none", dir.path(), Some("tmpfs"), 0, "size=256k");
    let path = dir.path().join("t.json");
    fs::write(&path, "earlier").unwrap();
    let target = OutputTarget::File(path.clone());
    for format in [Format::Json, Format::Ndjson] {
        let mut output = Output::create(&target, format, &Owner::own()).unwrap();
        let error = fill(&mut output);
        let spool = dir.path().join("t.json.spool");
        let says = format!("0 starts are in {}", spool.display());
        assert!(error.contains(&says), "{error}");
        drop(output);
        check_lines(&spool);
        assert_eq!(fs::read_to_string(&path).unwrap(), "earlier");
        fs::remove_file(spool).unwrap();
    }
    // Room for the lines, but not for the document beside them.
    let mut output = Output::create(&target, Format::Json, &Owner::own()).unwrap();
    let Line::Header(header_line) = header() else { panic!("no header") };
    assert_eq!(output.write_line(&Line::Header(header_line)).unwrap(), Flow::Going);
    assert_eq!(output.flush().unwrap(), Flow::Going);
    fs::write(dir.path().join("filler"), vec![0; 400 * 1024]).unwrap_err();
    let mut big = session();
    big.hooks = vec!["x".repeat(2000)];
    let error = output.finish(Vec::new(), Default::default(), big).unwrap_err();
    assert!(error.to_string().contains("startrace report"), "{error}");
    check_lines(&dir.path().join("t.json.spool"));
    assert_eq!(fs::read_to_string(&path).unwrap(), "earlier");
}

fn a_size_limit_keeps_whole_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.ndjson");
    let target = OutputTarget::File(path.clone());
    let mut output = Output::create(&target, Format::Ndjson, &Owner::own()).unwrap();
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_FSIZE, 100_001, libc::RLIM_INFINITY)
        .unwrap();
    // Not killed by SIGXFSZ, and no half line at byte 100,001.
    let error = fill(&mut output);
    assert!(error.contains("t.ndjson"), "{error}");
    drop(output);
    check_lines(&path);
    assert!(fs::metadata(&path).unwrap().len() <= 100_001);
    // CMD has the limit that we were given, not the one of now.
    let (text, _) = output_of(&["cat", "/proc/self/limits"], &caller());
    let line = text.lines().find(|l| l.starts_with("Max file size")).unwrap();
    assert!(line.contains("unlimited"), "{line}");
}

/// What runs under sudo: says whom it sees behind it, and starts a command as them.
fn behind_sudo() -> ExitCode {
    let caller = caller::resolve(None).unwrap();
    println!("env_source {}", caller.env_source.as_str());
    println!("owner {} {} {:?}", caller.owner.uid, caller.owner.gid, caller.owner.groups);
    let nofile: Limit = caller.limits[libc::RLIMIT_NOFILE as usize];
    println!("nofile {} {}", nofile.soft, nofile.hard);
    println!("own {:?}", std::env::var_os("VIRTUAL_ENV"));
    assert_eq!(caller.env_source, EnvSource::Sudo);
    let script = "id -u; id -G; umask; ulimit -n; echo $VIRTUAL_ENV; echo $LD_LIBRARY_PATH; echo $PATH; \
                  echo sudo=$SUDO_UID";
    let mut spawned = spawn(&words(&["sh", "-c", script]), &caller, false, None).unwrap();
    ExitCode::from(spawned.wait().unwrap().exit_code())
}

/// The real sudo, called by a user who exists only in this process's mounts.
fn sudo_is_seen_through() {
    assert!(
        Path::new("/usr/bin/sudo").exists(),
        "sudo is not installed: run 'cargo xtask setup', or 'apt-get install sudo'"
    );
    private_mounts();
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let over = |name: &str, more: &str| {
        let made = dir.path().join(name);
        let text = fs::read_to_string(Path::new("/etc").join(name)).unwrap();
        fs::write(&made, text + more).unwrap();
        mount(made.to_str().unwrap(), &Path::new("/etc").join(name), None, libc::MS_BIND, "");
    };
    over("passwd", &format!("startrace-alice:*:{ALICE}:{ALICE}::/:/bin/sh\n"));
    over("group", &format!("startrace-club:x:{CLUB}:startrace-alice\n"));
    let rules = dir.path().join("sudoers");
    // The tests' folder is in root's home, where alice may not go.
    let program = dir.path().join("program");
    fs::copy("/proc/self/exe", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    for pty in ["use_pty", "!use_pty"] {
        fs::write(&rules, format!("Defaults env_reset,{pty}\nstartrace-alice ALL=(ALL) NOPASSWD: ALL\n"))
            .unwrap();
        fs::set_permissions(&rules, fs::Permissions::from_mode(0o440)).unwrap();
        mount(rules.to_str().unwrap(), Path::new("/etc/sudoers"), None, libc::MS_BIND, "");
        let mut shell = Command::new("/bin/sh");
        shell
            .args(["-c", "umask 077; ulimit -n 777; sudo -n \"$1\" behind-sudo; exit $?", "sh"])
            .arg(&program)
            .current_dir("/")
            .env("VIRTUAL_ENV", "/venv")
            .env("LD_LIBRARY_PATH", "/venv/lib")
            .env("PATH", "/venv/bin:/usr/bin:/bin")
            .stdin(Stdio::null());
        let groups = [ALICE, CLUB];
        // SAFETY: three system calls on numbers and a live array.
        unsafe {
            shell.pre_exec(move || {
                if libc::setgroups(2, groups.as_ptr()) != 0
                    || libc::setresgid(ALICE, ALICE, ALICE) != 0
                    || libc::setresuid(ALICE, ALICE, ALICE) != 0
                {
                    return Err(std::io::Error::last_os_error());
                }
                Ok(())
            });
        }
        let output = shell.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{pty}: {text}{errors}");
        let expected = format!(
            "env_source sudo\nowner {ALICE} {ALICE} [{ALICE}, {CLUB}]\nnofile 777 777\nown None\n\
             {ALICE}\n{ALICE} {CLUB}\n0077\n777\n/venv\n/venv/lib\n/venv/bin:/usr/bin:/bin\nsudo=\n"
        );
        assert_eq!(text, expected, "{pty}: {errors}");
    }
}
