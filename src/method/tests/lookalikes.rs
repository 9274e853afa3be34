//! Pairs that share most of their facts, and programs made to look like others.

use super::*;

fn ls() -> Image {
    image("/usr/bin/ls", &["ls"])
}

/// CLONE_VM|CLONE_VFORK is vfork(2), Go and posix_spawn alike; number, stack and mask tell.
#[test]
fn three_callers_with_the_same_flags() {
    let go = with_runtime("/usr/bin/x", "go 1.22", &["x"]);
    let all = [vfork(0, c_program()), go_clone(go), spawn(c_program())].map(|s| s.exec(ls()));
    let flags: Vec<_> = all.iter().map(|s| s.method().clone_flags).collect();
    assert!(flags.windows(2).all(|w| w[0] == w[1]));
    check("vfork", &all[0], Want("vfork_exec", Some("glibc"), None, Likely));
    check("go", &all[1], Want("vfork_exec", Some("go"), None, Likely));
    check("posix_spawn", &all[2], Want("posix_spawn", Some("glibc"), None, Likely));
}

/// Four ways to run `ls` through a shell.
#[test]
fn four_shells_by_four_callers() {
    let sh = |argv: &[&str]| image("/usr/bin/dash", argv);
    let pipe = fd(FdKind::Pipe, 7);
    let system = spawn(c_program())
        .creation(|c| c.ignored = INT_QUIT)
        .exec_as(Some("/bin/sh"), sh(&["sh", "-c", "ls"]));
    let popen = spawn(c_program()).stdio(1, pipe).exec_as(Some("/bin/sh"), sh(&["sh", "-c", "ls"]));
    let python = vfork(mask::LIBC, python("3.11", &["python3", "a.py"]))
        .stdio(1, pipe)
        .exec(sh(&["/bin/sh", "-c", "ls"]));
    let node = fork(with_runtime("/usr/bin/node", "node", &["node", "a.js"]))
        .creation(|c| c.blocked = mask::UV)
        .exec(sh(&["/bin/sh", "-c", "ls"]));
    for (start, library, pattern) in [
        (system, "glibc", Some("system")),
        (popen, "glibc", Some("popen")),
        (python, "cpython.subprocess", Some("subprocess")),
        (node, "libuv", None),
    ] {
        let m = start.method();
        assert_eq!(
            (m.library.as_deref(), m.pattern.as_deref()),
            (Some(library), pattern),
            "{:?}",
            m.evidence
        );
    }
}

/// dash, CPython and Ruby vfork with one mask.
#[test]
fn three_callers_with_one_mask() {
    let ruby = with_runtime("/usr/bin/ruby3.1", "ruby 3.1", &["ruby"]);
    for (parent, library) in
        [(shell("dash"), "dash"), (python("3.11", &["p"]), "cpython.subprocess"), (ruby, "ruby")]
    {
        let m = vfork(mask::LIBC, parent).exec(ls()).method();
        assert_eq!(m.library.as_deref(), Some(library), "{:?}", m.evidence);
    }
    // The parent's program unknown: nobody is named.
    let m = vfork(mask::LIBC, c_program()).with(|f| f.parent = None).exec(ls()).method();
    assert_eq!((m.library, m.pattern, m.confidence), (None, None, Certain));
}

/// Copies without exec: a pool, a pre-fork server, a snapshot, a fork server.
#[test]
fn four_kinds_of_copies() {
    let app = || python("3.11", &["python3", "app.py"]);
    let many = |s: Start| {
        s.with(|f| {
            f.siblings.execless_peak = 4;
            f.siblings.execless_long_lived = 4;
        })
    };
    let pool = many(
        fork(app())
            .creation(|c| {
                c.fresh_pipes = Some(2);
                c.fresh_pipes_cloexec = true;
            })
            .child(|c| c.null_on_pipe = Some(true)),
    );
    let prefork = many(fork(app()));
    let snapshot = fork(app()).exited(0, SECOND).child(|c| c.written_bytes = Some(1 << 20));
    let server = many(fork(app()).parent_pattern("multiprocessing.forkserver.server"));
    for (start, pattern) in [
        (pool, "multiprocessing.fork"),
        (prefork, "prefork_worker"),
        (snapshot, "snapshot"),
        (server, "multiprocessing.forkserver"),
    ] {
        assert_eq!(start.method().name, pattern);
    }
}

#[test]
fn a_wrapper_in_place_and_one_that_waits() {
    let setsid = image("/usr/bin/setsid", &["setsid", "ls"]);
    let place = fork(shell("bash")).creation(|c| c.blocked = mask::BASH).exec(setsid.clone()).exec(ls());
    check("in place", &place, Want("fork_exec", Some("bash"), Some("wrapper"), Likely));
    check("waits", &fork(setsid).exec(ls()), Want("fork_exec", Some("glibc"), Some("wrapper"), Likely));
}

/// comm says nothing, whatever it says.
#[test]
fn the_task_name_changes_nothing() {
    for start in
        [fork(c_program()), spawn(c_program()).exec(ls()), vfork(mask::LIBC, shell("dash")).exec(ls())]
    {
        let plain = start.method();
        for comm in ["python3", "bash", "node", "(systemd)", "nginx: worker", "redis-server"] {
            let renamed = start.clone().with(|f| {
                f.image.comm = comm.into();
                f.parent.as_mut().unwrap().comm = comm.into();
                for e in &mut f.execs {
                    e.image.as_mut().unwrap().comm = comm.into();
                }
            });
            assert_eq!(renamed.method(), plain, "{comm}");
        }
    }
}

/// Programs by other programs' names: never certain, and never against the ELF file.
#[test]
fn names_are_free() {
    let names = [
        "python3",
        "node",
        "java",
        "ruby",
        "bash",
        "sudo",
        "make",
        "xargs",
        "nginx",
        "redis-server",
        "systemd",
        "runc",
        "conmon",
        "erl_child_setup",
        "tmux",
        "systemd-executor",
    ];
    for name in names {
        for runtime in [None, Some("go 1.22"), Some("rust")] {
            let fake = Image {
                runtime: runtime.map(Into::into),
                ..image(&format!("/tmp/{name}"), &[name, "init", "--type=zygote"])
            };
            for start in [
                fork(fake.clone()),
                vfork(mask::LIBC, fake.clone()),
                spawn(fake.clone()),
                go_clone(fake.clone()),
            ] {
                for start in [start.clone(), start.clone().exec(fake.clone()), start.exec(ls())] {
                    let m = start.method();
                    assert!(
                        m.confidence < Certain || (m.library.is_none() && m.pattern.is_none()),
                        "{name}: {m:?}"
                    );
                    let wrong = matches!(
                        (name, m.library.as_deref()),
                        (
                            "python3" | "node" | "java" | "ruby",
                            Some("cpython" | "cpython.subprocess" | "libuv" | "jdk")
                        )
                    );
                    assert!(!wrong || m.confidence == Guess, "{name} {runtime:?}: {m:?}");
                }
            }
        }
    }
}

/// Seen in the corpus: posix_spawn of the shell by hand, by a program in a script's background.
#[test]
fn system_puts_int_and_quit_back_and_other_callers_do_not() {
    let sh = || image("/usr/bin/dash", &["sh", "-c", "x"]);
    let quiet = |parent: Image, bits: u64, child: u64| {
        let start = spawn(parent).creation(|c| c.ignored = bits);
        start.exec_as(Some("/bin/sh"), sh()).last_exec(|e| e.ignored = Some(child))
    };
    let system = |c| Want("posix_spawn", Some("glibc"), Some("system"), c);
    check("system", &quiet(c_program(), INT_QUIT, 0), system(Likely));
    check("in the background", &quiet(c_program(), INT_QUIT, INT_QUIT), system(Guess));
    let rust = with_runtime("/usr/bin/app", "rust", &["app"]);
    let command = quiet(rust.clone(), INT_QUIT | SIGPIPE, INT_QUIT);
    check("Rust's Command", &command, Want("posix_spawn", Some("rust"), None, Likely));
    check("system by Rust", &quiet(rust, INT_QUIT | SIGPIPE, SIGPIPE), system(Likely));
}

/// Seen in the corpus: a worker's command line, typed into a shell.
#[test]
fn a_worker_of_multiprocessing_that_a_shell_runs_is_the_shells() {
    let code = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5, pipe_handle=7)";
    let typed = vfork(mask::LIBC, shell("dash"))
        .exec(python("3.11", &["python3", "-c", code, "--multiprocessing-fork"]));
    check("typed", &typed, Want("vfork_exec", Some("dash"), Some("shell.command"), Likely));
}
