use super::*;

fn ls() -> Image {
    image("/usr/bin/ls", &["ls"])
}

fn sh(argv: &[&str]) -> Image {
    image("/usr/bin/dash", argv)
}

fn musl() -> Image {
    Image { interpreter: Some(MUSL_LD.into()), ..c_program() }
}

#[test]
fn posix_spawn_of_every_libc() {
    for (call, flags, delta, blocked, parent, library, band) in [
        (Call::Clone, 0, FAR, mask::ALL, c_program(), Some("glibc"), "2.24 to 2.33"),
        (Call::Clone3, 0, FAR, mask::ALL, c_program(), Some("glibc"), "2.34 to 2.37"),
        (Call::Clone3, flag::CLEAR_SIGHAND, FAR, mask::ALL, c_program(), Some("glibc"), "2.38 or later"),
        (Call::Clone3, flag::CLEAR_SIGHAND | flag::PIDFD, FAR, mask::ALL, c_program(), Some("glibc"), "2.39"),
        (Call::Clone, 0, 5664, mask::ALL, musl(), Some("musl"), "musl"),
        // Imitations by hand: a mask of the caller's own, or the wrong stack for the libc.
        (Call::Clone, 0, FAR, 0, c_program(), None, ""),
        (Call::Clone3, 0, 5664, mask::ALL, c_program(), None, ""),
        (Call::Clone, 0x400, FAR, mask::ALL, c_program(), None, ""),
        (Call::Clone, 0, FAR, mask::ALL, musl(), None, ""),
    ] {
        let start = spawn(parent)
            .creation(|c| {
                c.call = call;
                c.flags |= flags;
                c.stack_delta = Some(delta);
                c.blocked = blocked;
            })
            .exec(ls());
        let confidence = if library.is_some() { Likely } else { Certain };
        check(band, &start, Want("posix_spawn", library, None, confidence));
        assert!(start.method().evidence.iter().any(|e| e.contains(band)));
    }
}

#[test]
fn fork_and_vfork_of_every_libc() {
    check("glibc", &fork(c_program()), Want("fork", Some("glibc"), None, Likely));
    let raw = |parent: Image, call, blocked| {
        fork(parent).creation(|c| {
            c.call = call;
            c.flags = 0;
            c.blocked = blocked;
        })
    };
    let unknown = Image { interpreter: None, linkage: Some("static".into()), ..c_program() };
    check("musl", &raw(musl(), Call::Fork, mask::ALL), Want("fork", Some("musl"), None, Likely));
    check("not musl's", &raw(musl(), Call::Clone, mask::ALL), Want("fork", None, None, Certain));
    check("static musl", &raw(unknown, Call::Fork, mask::ALL), Want("fork", Some("musl"), None, Guess));
    check("raw", &raw(c_program(), Call::Fork, mask::ALL), Want("fork", None, None, Certain));
    check("raw 2", &raw(c_program(), Call::Clone, 0), Want("fork", None, None, Certain));
    check("vfork", &vfork(0, c_program()).exec(ls()), Want("vfork_exec", Some("glibc"), None, Likely));
    check("vfork musl", &vfork(0, musl()).exec(ls()), Want("vfork_exec", Some("musl"), None, Likely));
}

#[test]
fn system_and_popen() {
    let quiet = || spawn(c_program()).creation(|c| c.ignored = INT_QUIT);
    // system() itself puts INT and QUIT back in the shell.
    let put_back = |s: Start| s.last_exec(|e| e.ignored = Some(0));
    for argv in [&["sh", "-c", "ls"][..], &["sh", "-c", "--", "ls"]] {
        let system = put_back(quiet().exec_as(Some("/bin/sh"), sh(argv)));
        check("system", &system, Want("posix_spawn", Some("glibc"), Some("system"), Likely));
        let popen = spawn(c_program()).stdio(1, fd(FdKind::Pipe, 77)).exec_as(Some("/bin/sh"), sh(argv));
        check("popen r", &popen, Want("posix_spawn", Some("glibc"), Some("popen"), Likely));
        let popen = spawn(c_program()).stdio(0, fd(FdKind::Pipe, 77)).exec_as(Some("/bin/sh"), sh(argv));
        check("popen w", &popen, Want("posix_spawn", Some("glibc"), Some("popen"), Likely));
        // popen by a program that a script put in the background: INT and QUIT are ignored anyway.
        let popen = quiet().stdio(1, fd(FdKind::Pipe, 77)).exec_as(Some("/bin/sh"), sh(argv));
        check("popen, background", &popen, Want("posix_spawn", Some("glibc"), Some("popen"), Likely));
        let unread = spawn(c_program())
            .stdio(0, Fd::default())
            .stdio(1, Fd::default())
            .exec_as(Some("/bin/sh"), sh(argv));
        check("unread", &unread, Want("posix_spawn", Some("glibc"), Some("popen"), Guess));
        // The pipe was the parent's own.
        let own = quiet()
            .creation(|c| c.stdio[1] = fd(FdKind::Pipe, 77))
            .stdio(1, fd(FdKind::Pipe, 77))
            .exec_as(Some("/bin/sh"), sh(argv));
        check(
            "system into a pipe",
            &put_back(own),
            Want("posix_spawn", Some("glibc"), Some("system"), Likely),
        );
    }
    let musl_system = spawn(musl())
        .creation(|c| {
            c.call = Call::Clone;
            c.stack_delta = Some(5664);
            c.ignored = INT_QUIT;
        })
        .exec_as(Some("/bin/sh"), sh(&["sh", "-c", "ls"]));
    check("musl", &put_back(musl_system), Want("posix_spawn", Some("musl"), Some("system"), Likely));
    let old = fork(c_program())
        .creation(|c| {
            c.flags = flag::PARENT_SETTID;
            c.blocked = mask::CHLD;
            c.ignored = INT_QUIT;
        })
        .exec_as(Some("/bin/sh"), sh(&["sh", "-c", "ls"]));
    check("glibc 2.28", &old, Want("fork_exec", Some("glibc"), Some("system"), Likely));
    // The shell's program runs in its place: still what libc began.
    let through = put_back(quiet().exec_as(Some("/bin/sh"), sh(&["sh", "-c", "env x"])))
        .exec(image("/usr/bin/env", &["env", "x"]))
        .exec(ls());
    check("system(env)", &through, Want("posix_spawn", Some("glibc"), Some("system"), Likely));
    // Neither: a shell by another's argv, or by a program called sh that is not asked for as such.
    check(
        "/bin/sh",
        &quiet().exec(sh(&["/bin/sh", "-c", "ls"])),
        Want("posix_spawn", Some("glibc"), None, Likely),
    );
    check(
        "not sh",
        &quiet().exec_as(Some("/bin/cat"), sh(&["sh", "-c", "ls"])),
        Want("posix_spawn", Some("glibc"), None, Likely),
    );
    // From Python, PHP: libc's all the same.
    let python = spawn(python("3.13", &["python3", "a.py"]))
        .creation(|c| c.ignored = INT_QUIT | SIGPIPE)
        .exec_as(Some("/bin/sh"), sh(&["sh", "-c", "--", "ls"]));
    check(
        "os.system",
        &python.last_exec(|e| e.ignored = Some(SIGPIPE)),
        Want("posix_spawn", Some("glibc"), Some("system"), Likely),
    );
    let php = spawn(image("/usr/bin/php8.2", &["php"]))
        .stdio(1, fd(FdKind::Pipe, 77))
        .exec_as(Some("/bin/sh"), sh(&["sh", "-c", "ls"]));
    check("PHP exec", &php, Want("posix_spawn", Some("glibc"), Some("popen"), Likely));
}

#[test]
fn php_proc_open_by_posix_spawn_is_no_popen() {
    let pipe = |inode| fd(FdKind::Pipe, inode);
    let spawned = || spawn(image("/usr/bin/php8.4", &["php"])).stdio(1, pipe(77));
    let cleared = || {
        spawned().creation(|c| {
            c.call = Call::Clone3;
            c.flags |= flag::CLEAR_SIGHAND;
        })
    };
    let bare = |start: Start| start.exec_as(Some("/bin/sh"), sh(&["sh", "-c", "ls"]));
    let own = || Want("posix_spawn", Some("php"), None, Likely);
    // glibc 2.38 and up, which clears the handlers, would have written `--`.
    check("2.38", &bare(cleared()), own());
    let popen = cleared().exec_as(Some("/bin/sh"), sh(&["sh", "-c", "--", "ls"]));
    check("popen, 2.38", &popen, Want("posix_spawn", Some("glibc"), Some("popen"), Likely));
    // popen gives one pipe.
    let two = bare(spawned().stdio(0, pipe(78)));
    let errors = bare(spawned().stdio(2, pipe(79)));
    for (what, start) in [("two pipes", two), ("stderr", errors)] {
        assert_eq!(start.method().pattern, None, "{what}");
    }
}

#[test]
fn go_by_its_clone() {
    let go = || with_runtime("/usr/bin/dockerd", "go 1.22", &["dockerd"]);
    check("go", &go_clone(go()).exec(ls()), Want("vfork_exec", Some("go"), None, Likely));
    let newer = go_clone(go()).creation(|c| c.flags |= flag::PIDFD).exec(ls());
    check("go 1.23", &newer, Want("vfork_exec", Some("go"), None, Likely));
    let cgroup = go_clone(go()).creation(|c| {
        c.call = Call::Clone3;
        c.flags |= flag::INTO_CGROUP | flag::PIDFD;
    });
    check("UseCgroupFD", &cgroup.exec(ls()), Want("vfork_exec", Some("go"), None, Likely));
    let trial = go_clone(go())
        .creation(|c| {
            c.flags |= flag::PIDFD;
            c.exit_signal = 0;
            // As Go 1.24 and 1.27 were seen to do it: with the thread's own mask.
            c.blocked = 0;
        })
        .exited(0, 400_000);
    check("probe", &trial, Want("vfork", Some("go"), Some("probe"), Likely));
    let of = |image| trial.clone().with(|f| f.parent = Some(image));
    let unread = Image { linkage: None, interpreter: None, ..image("/usr/bin/tool", &["tool"]) };
    check("an unread file", &of(unread), Want("vfork", Some("go"), Some("probe"), Likely));
    assert_ne!(of(c_program()).method().confidence, Confidence::Likely, "a C program's own vfork");
    let user = fork(go()).creation(|c| {
        c.flags = 0x1000_0000;
        c.blocked = mask::ALL;
    });
    check("NEWUSER", &user.exec(ls()), Want("fork_exec", Some("go"), Some("namespace"), Likely));
    let unread = Image { linkage: None, interpreter: None, ..c_program() };
    check("not analysed", &go_clone(unread).exec(ls()), Want("vfork_exec", Some("go"), None, Likely));
    check("an imitation", &go_clone(c_program()).exec(ls()), Want("vfork_exec", Some("go"), None, Guess));
    check(
        "cpython is no Go",
        &go_clone(python("3.11", &["p"])).exec(ls()),
        Want("vfork_exec", Some("cpython"), None, Likely),
    );
}

#[test]
fn node_old_and_new() {
    let node = |script: &str| with_runtime("/usr/bin/node", "node", &["node", script]);
    let uv = |p: Image| fork(p).creation(|c| c.blocked = mask::UV);
    check("libuv", &uv(node("a.js")).exec(ls()), Want("fork_exec", Some("libuv"), None, Likely));
    check("libuv elsewhere", &uv(c_program()).exec(ls()), Want("fork_exec", Some("libuv"), None, Likely));
    let exec = uv(node("a.js")).stdio(1, fd(FdKind::Socket, 5)).exec(sh(&["/bin/sh", "-c", "ls"]));
    check("exec()", &exec, Want("fork_exec", Some("libuv"), None, Likely));
    let newer = spawn(node("a.js")).creation(|c| c.flags |= flag::CLEAR_SIGHAND);
    check("libuv 1.53", &newer.clone().exec(ls()), Want("posix_spawn", Some("libuv"), None, Likely));
    let trial = vfork(0, node("a.js")).exited(0, 300_000);
    check("trial", &trial, Want("vfork", Some("libuv"), Some("probe"), Likely));
    let ipc = |s: Start, child: &str, kind| s.exec(node(child)).last_exec(|e| e.fd3 = fd(kind, 8));
    check(
        "fork",
        &ipc(uv(node("a.js")), "b.js", FdKind::Socket),
        Want("fork_exec", Some("libuv"), Some("node.fork"), Likely),
    );
    check(
        "fork, new",
        &ipc(newer, "b.js", FdKind::Socket),
        Want("posix_spawn", Some("libuv"), Some("node.fork"), Likely),
    );
    check(
        "fork, unread",
        &ipc(uv(node("a.js")), "b.js", FdKind::Unknown),
        Want("fork_exec", Some("libuv"), Some("node.fork"), Guess),
    );
    check(
        "no channel",
        &ipc(uv(node("a.js")), "b.js", FdKind::Closed),
        Want("fork_exec", Some("libuv"), None, Likely),
    );
    // Seen in the corpus: the same arguments too, which would be a re-exec without the channel.
    check(
        "cluster, the same command line",
        &ipc(uv(node("a.js")), "a.js", FdKind::Socket)
            .with(|f| f.image.argv = f.parent.as_ref().unwrap().argv.clone()),
        Want("fork_exec", Some("libuv"), Some("node.cluster"), Guess),
    );
    check(
        "cluster",
        &ipc(uv(node("a.js")), "a.js", FdKind::Socket)
            .last_exec(|e| e.fd3.inode = 1)
            .with(|f| f.image.argv = Some(vec!["node".into(), "a.js".into(), "x".into()])),
        Want("fork_exec", Some("libuv"), Some("node.cluster"), Guess),
    );
}

#[test]
fn the_jdk() {
    let java = || with_runtime("/usr/lib/jvm/j17/bin/java", "jvm", &["java", "Main"]);
    let helper = |argv: &[&str]| image("/usr/lib/jvm/j17/lib/jspawnhelper", argv);
    let by_thread = |s: Start| s.creation(|c| c.by_thread = true);
    for argv in [
        &["/usr/lib/jvm/j17/lib/jspawnhelper", "17.0.15+6-Debian", "12:13:14"][..],
        &["/usr/lib/jvm/j17/lib/jspawnhelper", "12:13:14"],
    ] {
        let start = by_thread(spawn(java())).exec(helper(argv));
        check("helper alone", &start, Want("posix_spawn", Some("jdk"), Some("jspawnhelper"), Certain));
        check("helper", &start.exec(ls()), Want("posix_spawn", Some("jdk"), Some("jspawnhelper"), Certain));
    }
    let argv = ["jspawnhelper", "1:2:3"];
    let stranger = spawn(c_program()).exec(image("/tmp/jspawnhelper", &argv)).exec(ls());
    assert!(stranger.method().confidence < Certain);
    let other_jdk = spawn(java()).exec(image("/tmp/lib/jspawnhelper", &argv)).exec(ls());
    check("another's", &other_jdk, Want("posix_spawn", Some("jdk"), Some("jspawnhelper"), Likely));
    check(
        "VFORK",
        &by_thread(vfork(mask::JVM, java())).exec(ls()),
        Want("vfork_exec", Some("jdk"), None, Likely),
    );
    check(
        "FORK",
        &by_thread(fork(java())).creation(|c| c.blocked = mask::JVM).exec(ls()),
        Want("fork_exec", Some("jdk"), None, Likely),
    );
}

#[test]
fn ruby_perl_php_rust() {
    let ruby = || with_runtime("/usr/bin/ruby3.1", "ruby 3.1", &["ruby", "a.rb"]);
    check("ruby", &vfork(mask::LIBC, ruby()).exec(ls()), Want("vfork_exec", Some("ruby"), None, Likely));
    check(
        "ruby, root",
        &fork(ruby()).creation(|c| c.blocked = mask::LIBC).exec(ls()),
        Want("fork_exec", Some("ruby"), None, Likely),
    );
    check(
        "ruby fork",
        &fork(ruby()).creation(|c| c.blocked = mask::LIBC),
        Want("fork", Some("ruby"), None, Likely),
    );
    let perl = || image("/usr/bin/perl", &["perl", "a.pl"]);
    let system = fork(perl()).creation(|c| c.blocked = mask::CHLD);
    check("perl system", &system.clone().exec(ls()), Want("fork_exec", Some("perl"), None, Likely));
    check(
        "perl system, shell",
        &system.exec(sh(&["sh", "-c", "ls *"])),
        Want("fork_exec", Some("perl"), None, Likely),
    );
    let backtick = fork(perl()).stdio(1, fd(FdKind::Pipe, 5)).exec(sh(&["sh", "-c", "ls *"]));
    check("perl backtick", &backtick, Want("fork_exec", Some("perl"), None, Likely));
    let php = || image("/usr/bin/php8.2", &["php", "a.php"]);
    check(
        "proc_open",
        &fork(php()).exec(sh(&["sh", "-c", "ls"])),
        Want("fork_exec", Some("php"), None, Likely),
    );
    check("proc_open 8.4", &spawn(php()).exec(ls()), Want("posix_spawn", Some("php"), None, Likely));
    check("pcntl_fork", &fork(php()), Want("fork", Some("php"), None, Likely));
    let rust = || with_runtime("/usr/bin/fd", "rust", &["rg"]);
    let rust = || Image { exe: Some("/usr/bin/rg".into()), ..rust() };
    let command =
        |s: Start| s.creation(|c| c.ignored = SIGPIPE).exec(ls()).last_exec(|e| e.ignored = Some(0));
    check("Command", &command(spawn(rust())), Want("posix_spawn", Some("rust"), None, Likely));
    check("Command by fork", &command(fork(rust())), Want("fork_exec", Some("rust"), None, Likely));
    check("a fork of its own", &fork(rust()), Want("fork", Some("glibc"), None, Likely));
}
