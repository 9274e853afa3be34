use super::*;

const FORK: &str = "--multiprocessing-fork";
const SPAWN: &str = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)";
const SERVER: &str =
    "from multiprocessing.forkserver import main; main(5, 6, ['__main__'], **{'sys_path': ['/a b']})";
const SERVER_314: &str = "import sys; from multiprocessing.forkserver import main; main(5, 6, ['__main__'], sys_argv=sys.argv[1:], **{'authkey_r': 9})";
const TRACKER: &str = "from multiprocessing.resource_tracker import main;main(5)";
const OLD_TRACKER: &str = "from multiprocessing.semaphore_tracker import main;main(5)";

fn app(version: &str) -> Image {
    python(version, &["python3", "app.py"])
}

/// `_posixsubprocess.fork_exec` as the version makes it.
fn by_library(version: &str, argv: &[&str]) -> Start {
    let old = matches!(version, "3.6" | "3.7" | "3.8" | "3.9");
    let start = if old { fork(app(version)) } else { vfork(mask::LIBC, app(version)) };
    start.exec(python(version, argv))
}

#[test]
fn the_argv_methods_in_every_version() {
    for version in ["3.6", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"] {
        let mechanism = if matches!(version, "3.6" | "3.8" | "3.9") { "fork_exec" } else { "vfork_exec" };
        for (argv, pattern) in [
            (vec!["/usr/bin/python3", "-c", SPAWN, FORK], "multiprocessing.spawn"),
            (vec!["python3", "-B", "-X", "dev", "-Werror", "-c", SPAWN, FORK], "multiprocessing.spawn"),
            (vec!["python3", "-c", SERVER], "multiprocessing.forkserver.server"),
            (vec!["python3", "-c", SERVER_314, "--port", "80"], "multiprocessing.forkserver.server"),
            (vec!["python3", "-c", TRACKER], "multiprocessing.resource_tracker"),
            (vec!["python3", "-c", OLD_TRACKER], "multiprocessing.resource_tracker"),
            (
                vec![
                    "python3",
                    "-m",
                    "joblib.externals.loky.backend.popen_loky_posix",
                    "--process-name",
                    "LokyProcess-1",
                    "--pipe",
                    "15",
                ],
                "loky.worker",
            ),
            (
                vec![
                    "python3",
                    "-c",
                    "from joblib.externals.loky.backend.resource_tracker import main; main(3, False)",
                ],
                "loky.resource_tracker",
            ),
        ] {
            check(
                version,
                &by_library(version, &argv),
                Want(mechanism, Some("cpython"), Some(pattern), Certain),
            );
        }
    }
}

#[test]
fn what_bears_the_argv_out_less_is_less_sure() {
    let spawned = python("3.11", &["python3", "-c", SPAWN, FORK]);
    let want = |c| Want("vfork_exec", Some("cpython"), Some("multiprocessing.spawn"), c);
    // By the executable's name alone.
    let by_name = Image { runtime: None, linkage: None, ..spawned.clone() };
    check("name", &vfork(mask::LIBC, app("3.11")).exec(by_name), want(Likely));
    let parent = Image { runtime: None, linkage: None, ..app("3.11") };
    check("parent's name", &vfork(mask::LIBC, parent).exec(spawned.clone()), want(Likely));
    // A wrapper between, an unbuffered interpreter: not what the library does itself.
    let through = vfork(mask::LIBC, app("3.11")).exec(image("/usr/bin/env", &["env"])).exec(spawned.clone());
    check("through env", &through, want(Likely));
    let unbuffered = python("3.11", &["python3", "-u", "-c", SPAWN, FORK]);
    check("-u", &vfork(mask::LIBC, app("3.11")).exec(unbuffered), want(Likely));
    // By hand, from a shell: the shell's command.
    check(
        "by hand",
        &vfork(mask::LIBC, shell("dash")).exec(spawned.clone()),
        Want("vfork_exec", Some("dash"), Some("shell.command"), Likely),
    );
    // Running before the recording.
    let m = unobserved(spawned).method();
    assert_eq!((m.name.as_str(), m.confidence), ("multiprocessing.spawn", Likely));
    assert_eq!(m.mechanism, None);
}

#[test]
fn words_in_other_programs_arguments_are_words() {
    let words: [&[&str]; 6] = [
        &["x", "-c", SPAWN, FORK],
        &["x", "-c", TRACKER],
        &["x", "-c", SERVER],
        &["x", SPAWN],
        &["x", "multiprocessing.spawn", FORK],
        &["x", FORK, "pipe_handle=7"],
    ];
    for exe in [
        "/usr/bin/vim.basic",
        "/usr/bin/grep",
        "/usr/bin/dash",
        "/usr/bin/bash",
        "/tmp/python3",
        "/usr/bin/emacs",
    ] {
        for argv in words {
            for start in [vfork(mask::LIBC, app("3.11")), fork(shell("bash")), spawn(c_program())] {
                let m = start.exec(image(exe, argv)).method();
                let pattern = m.pattern.unwrap_or_default();
                let taken = pattern.starts_with("multiprocessing") || pattern.starts_with("loky");
                assert!(
                    !taken || (exe == "/tmp/python3" && m.confidence == Guess),
                    "{exe} {argv:?}: {pattern}"
                );
            }
        }
    }
    // Python itself, with the words in the wrong place.
    for argv in [
        &["python3", "tool.py", "-c", SPAWN, FORK][..],
        &["python3", "-m", "tool", "-c", SPAWN, FORK],
        &["python3", "-c", "print(1)", SPAWN, FORK],
        &[
            "python3",
            "-c",
            "x = 'from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=7)'",
            FORK,
        ],
        &["python3", "-c", SPAWN],
        &["python3", SPAWN, FORK],
        &["-c", SPAWN, FORK],
    ] {
        let start = vfork(mask::LIBC, app("3.11")).exec(python("3.11", argv));
        check("words", &start, Want("vfork_exec", Some("cpython.subprocess"), Some("subprocess"), Likely));
    }
}

#[test]
fn a_frozen_program_runs_itself() {
    let exe = "/opt/app/frozen";
    let frozen = image(exe, &[exe]);
    let worker = image(exe, &[exe, FORK, "tracker_fd=5", "pipe_handle=7"]);
    check(
        "frozen",
        &vfork(mask::LIBC, frozen.clone()).exec(worker.clone()),
        Want("vfork_exec", Some("cpython"), Some("multiprocessing.spawn"), Likely),
    );
    let stranger = vfork(mask::LIBC, c_program()).exec(worker);
    assert_eq!(stranger.method().pattern, None);
    let tracker = image(exe, &[exe, "-B", "-S", "-I", "-c", TRACKER]);
    check(
        "frozen tracker",
        &vfork(mask::LIBC, frozen).exec(tracker),
        Want("vfork_exec", Some("cpython"), Some("multiprocessing.resource_tracker"), Likely),
    );
}

/// What PyInstaller made shows that it is one, and which CPython it has in itself.
#[test]
fn a_program_that_pyinstaller_made_is_python() {
    let exe = "/opt/app/frozen";
    let frozen = |argv: &[&str]| Image {
        program: Some("pyinstaller".into()),
        ..with_runtime(exe, "cpython 3.11", argv)
    };
    let app = || frozen(&[exe, "x"]);
    let want = |mechanism, pattern, confidence| Want(mechanism, Some("cpython"), Some(pattern), confidence);
    check("fork", &mp_fork_of(app(), 2), want("fork", "multiprocessing.fork", Likely));
    let worker = frozen(&[exe, FORK, "tracker_fd=5", "pipe_handle=7"]);
    let spawned = want("vfork_exec", "multiprocessing.spawn", Likely);
    check("spawn", &vfork(mask::LIBC, app()).exec(worker), spawned);
    let tracker = frozen(&[exe, "-B", "-S", "-I", "-c", TRACKER]);
    let tracked = want("vfork_exec", "multiprocessing.resource_tracker", Certain);
    check("tracker", &vfork(mask::LIBC, app()).exec(tracker), tracked);
    let run = Want("vfork_exec", Some("cpython.subprocess"), Some("subprocess"), Likely);
    check("subprocess", &vfork(mask::LIBC, app()).exec(c_program()), run);
    // The boot loader is C: it unpacks the program and runs it again, as it was called.
    let loader = Want("fork_exec", Some("glibc"), Some("reexec"), Likely);
    check("the boot loader", &fork(app()).exec(app()), loader);
}

fn mp_fork(version: &str, pipes: u8) -> Start {
    mp_fork_of(app(version), pipes)
}

fn mp_fork_of(app: Image, pipes: u8) -> Start {
    fork(app)
        .creation(|c| {
            c.fresh_pipes = Some(pipes);
            c.fresh_pipes_cloexec = true;
        })
        .child(|c| c.null_on_pipe = Some(true))
}

#[test]
fn fork_workers_in_every_version() {
    let want = |c| Want("fork", Some("cpython"), Some("multiprocessing.fork"), c);
    let plain = || Want("fork", Some("cpython"), None, Likely);
    for (version, pipes) in
        [("2.7", 0), ("3.6", 1), ("3.7", 1), ("3.8", 2), ("3.11", 2), ("3.12", 2), ("3.14", 2)]
    {
        check(version, &mp_fork(version, pipes), want(Likely));
        let no_null = mp_fork(version, pipes).child(|c| c.null_on_pipe = Some(false));
        check(version, &no_null, plain());
    }
    let unread = |version, pipes| mp_fork(version, pipes).child(|c| c.null_on_pipe = None);
    check("3.11, /dev/null unread", &unread("3.11", 2), want(Likely));
    check("3.7, /dev/null unread", &unread("3.7", 1), want(Guess));
    check("2.7, /dev/null unread", &unread("2.7", 0), plain());
    check("fewer pipes", &mp_fork("3.11", 1), want(Guess));
    check("pipes unread", &mp_fork("3.11", 2).creation(|c| c.fresh_pipes = None), want(Guess));
    let inheritable = unread("3.11", 2).creation(|c| c.fresh_pipes_cloexec = false);
    check("pipes of another making", &inheritable, plain());
    let closed = mp_fork("3.11", 2)
        .creation(|c| c.stdio[0].kind = FdKind::Closed)
        .child(|c| c.null_on_pipe = Some(false));
    check("no stdin at all", &closed, want(Likely));
    let by_name = mp_fork("3.11", 2).with(|f| {
        let p = f.parent.as_mut().unwrap();
        (p.runtime, p.linkage) = (None, None);
    });
    check("by name", &by_name, want(Likely));
    // A pool: many siblings, still multiprocessing.
    let pool = mp_fork("3.11", 2).with(|f| {
        f.siblings.execless = 8;
        f.siblings.execless_peak = 8;
        f.siblings.execless_long_lived = 8;
    });
    check("pool", &pool, want(Likely));
    let nested = mp_fork("3.11", 2).parent_pattern("multiprocessing.fork");
    check("a worker of a worker", &nested, want(Likely));
}

#[test]
fn plain_forks_of_python() {
    let fork_only = fork(app("3.11")).exited(0, 2_000_000);
    check("os.fork", &fork_only, Want("fork", Some("cpython"), None, Likely));
    let exec = fork(app("3.11")).exec(image("/usr/bin/ls", &["ls"]));
    check("os.spawnv", &exec, Want("fork_exec", Some("cpython"), None, Likely));
    let daemon = fork(app("3.11"))
        .creation(|c| c.fresh_pipes = Some(2))
        .child(|c| {
            c.stdio = [NULL; 3];
            c.session_leader = Some(true);
        })
        .creator_left();
    check("daemon", &daemon, Want("fork", Some("cpython"), Some("daemon"), Likely));
    let not_session = daemon.child(|c| {
        c.session_leader = Some(false);
        c.creator_exit_ok = None;
    });
    check("all three null", &not_session, Want("fork", Some("cpython"), None, Likely));
}

#[test]
fn fork_server_workers_and_their_children() {
    let server = python("3.14", &["python3", "-c", SERVER_314]);
    let worker = fork(server.clone()).parent_pattern("multiprocessing.forkserver.server");
    let want = |c| Want("fork", Some("cpython"), Some("multiprocessing.forkserver"), c);
    check("asked", &worker.clone().peer(4242, 400_000), want(Certain));
    let m = worker.clone().peer(4242, 400_000).method();
    assert!(
        m.evidence.iter().any(|e| e.contains("400 us after it read the socket of process 4242")),
        "{:?}",
        m.evidence
    );
    check("no peer", &worker, want(Likely));
    check("stale peer", &worker.clone().peer(1, SECOND * 60), want(Likely));
    let alone = fork(server.clone());
    check("server's start unknown", &alone.clone().peer(1, 400_000), want(Likely));
    check("nothing known", &alone, want(Guess));
    // Its worker has the server's arguments and forks by itself.
    let child = fork(server.clone()).parent_pattern("multiprocessing.forkserver").creation(|c| {
        c.fresh_pipes = Some(2);
        c.fresh_pipes_cloexec = true;
    });
    check("worker's own", &child, Want("fork", Some("cpython"), Some("multiprocessing.fork"), Likely));
    let plain = fork(server.clone()).parent_pattern("multiprocessing.forkserver");
    check("worker's os.fork", &plain, Want("fork", Some("cpython"), None, Likely));
    // Both were running before.
    let seeded = |parent: Option<Image>| {
        unobserved(server.clone()).with(|f| f.parent = parent).method().pattern.unwrap()
    };
    assert_eq!(seeded(Some(app("3.14"))), "multiprocessing.forkserver.server");
    assert_eq!(seeded(None), "multiprocessing.forkserver.server");
    assert_eq!(seeded(Some(server.clone())), "multiprocessing.forkserver");
}

#[test]
fn subprocess_by_every_road() {
    let ls = || image("/usr/bin/ls", &["ls"]);
    let want = |m, c| Want(m, Some("cpython.subprocess"), Some("subprocess"), c);
    check("vfork", &vfork(mask::LIBC, app("3.11")).exec(ls()), want("vfork_exec", Likely));
    let path_walk = vfork(mask::LIBC, app("3.11")).failed("/usr/local/bin/ls", "ENOENT");
    check("not found", &path_walk, want("vfork", Likely));
    check("PATH", &path_walk.exec(ls()), want("vfork_exec", Likely));
    let fallback = fork(app("3.8")).creation(|c| {
        c.fresh_pipes = Some(1);
        c.fresh_pipes_cloexec = true;
    });
    check("fork", &fallback.clone().exec(ls()), want("fork_exec", Likely));
    check("fork, exec fails", &fallback.failed("/x", "ENOENT"), want("fork", Likely));
    let unread = fork(app("3.8")).creation(|c| c.fresh_pipes = None).exec(ls());
    check("fork, pipes unread", &unread, want("fork_exec", Guess));
    // Python ignores SIGPIPE; subprocess puts it back.
    let posix = |version: &str, child: Option<u64>| {
        spawn(app(version)).creation(|c| c.ignored = SIGPIPE).exec(ls()).last_exec(|e| e.ignored = child)
    };
    check("3.13", &posix("3.13", Some(0)), want("posix_spawn", Likely));
    check("3.13 unread", &posix("3.13", None), want("posix_spawn", Likely));
    check("3.8 close_fds=False", &posix("3.8", Some(0)), want("posix_spawn", Likely));
    check("3.8 unread", &posix("3.8", None), want("posix_spawn", Guess));
    check(
        "os.posix_spawn",
        &posix("3.13", Some(SIGPIPE)),
        Want("posix_spawn", Some("cpython"), None, Likely),
    );
    let by_shell = posix("3.13", Some(0)).with(|f| {
        f.execs.clear();
    });
    let by_shell = by_shell
        .exec(image("/usr/bin/dash", &["/bin/sh", "-c", "ls | wc"]))
        .last_exec(|e| e.ignored = Some(0));
    check("shell=True", &by_shell, want("posix_spawn", Likely));
    // Through env: a wrapper, made by subprocess.
    let env = vfork(mask::LIBC, app("3.11"))
        .exec(image("/usr/bin/env", &["env", "python3", "x.py"]))
        .exec(python("3.11", &["python3", "x.py"]));
    check("env", &env, Want("vfork_exec", Some("cpython.subprocess"), Some("wrapper"), Likely));
    let m = env.method();
    assert!(m.evidence.iter().any(|e| e.starts_with("would also be subprocess")), "{:?}", m.evidence);
}

#[test]
fn a_reloader_runs_the_same_arguments_again() {
    let again = vfork(mask::LIBC, app("3.11")).exec(app("3.11"));
    check("reloader", &again, Want("vfork_exec", Some("cpython.subprocess"), Some("reexec"), Likely));
    let in_place = in_place(app("3.11"), app("3.11"));
    check("os.execv", &in_place, Want("exec", Some("cpython"), Some("reexec"), Likely));
}
