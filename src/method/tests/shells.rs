use super::*;

fn ls() -> Image {
    image("/usr/bin/ls", &["ls"])
}

const PIPE: Fd = Fd { kind: FdKind::Pipe, inode: 77 };

fn by(name: &str) -> Start {
    let blocked = match name {
        "bash" => mask::BASH,
        "zsh" => mask::ZSH,
        _ => 0,
    };
    let exe = if name == "busybox" { image("/bin/busybox", &["sh", "x.sh"]) } else { shell(name) };
    fork(exe).creation(|c| c.blocked = blocked)
}

#[test]
fn the_jobs_of_every_shell() {
    for name in ["bash", "dash", "busybox", "zsh", "mksh", "ksh", "tcsh", "fish"] {
        let want = |m, p| Want(m, Some(name), Some(p), Likely);
        check(name, &by(name).exec(ls()), want("fork_exec", "shell.command"));
        check(name, &by(name), want("fork", "shell.subshell"));
        let element = |at: usize| by(name).stdio(at, PIPE).with(|f| f.siblings.pipe_mates = 1);
        check(name, &element(0).exec(ls()), want("fork_exec", "shell.pipeline"));
        check(name, &element(1).exec(ls()), want("fork_exec", "shell.pipeline"));
        check(name, &element(1), want("fork", "shell.pipeline"));
        check(name, &by(name).stdio(1, PIPE).exec(ls()), want("fork_exec", "shell.substitution"));
        check(name, &by(name).stdio(1, PIPE), want("fork", "shell.substitution"));
        let behind = by(name).stdio(0, NULL).exec(ls()).last_exec(|e| e.ignored = Some(INT_QUIT));
        check(name, &behind, want("fork_exec", "shell.background"));
        let group = |own, foreground| {
            by(name).exec(ls()).last_exec(|e| (e.new_group, e.foreground) = (Some(own), Some(foreground)))
        };
        check(name, &group(true, false), want("fork_exec", "shell.background"));
        check(name, &group(true, true), want("fork_exec", "shell.command"));
        // A script that is itself a job in the background.
        check(name, &group(false, false), want("fork_exec", "shell.command"));
        let copy = by(name).child(|c| (c.new_group, c.foreground) = (Some(true), Some(false)));
        check(name, &copy, want("fork", "shell.background"));
    }
}

#[test]
fn dash_vforks_its_commands() {
    let start = vfork(mask::LIBC, shell("dash"));
    check("dash", &start.clone().exec(ls()), Want("vfork_exec", Some("dash"), Some("shell.command"), Likely));
    let sh = vfork(mask::LIBC, image("/bin/sh", &["sh"])).exec(ls());
    check("a file called sh", &sh, Want("vfork_exec", Some("dash"), Some("shell.command"), Likely));
    let imposter = vfork(0, shell("dash")).exec(ls());
    assert_eq!(imposter.method().pattern, None);
}

#[test]
fn a_program_that_only_bears_a_shells_name() {
    check(
        "mask",
        &fork(shell("bash")).exec(ls()),
        Want("fork_exec", Some("glibc"), Some("shell.command"), Guess),
    );
    assert_eq!(spawn(shell("bash")).exec(ls()).method().pattern, None);
    assert_eq!(go_clone(shell("zsh")).exec(ls()).method().pattern, None);
    let newer = fork(shell("bash")).creation(|c| c.blocked = mask::ALL).exec(ls());
    check("glibc 2.41", &newer, Want("fork_exec", Some("bash"), Some("shell.command"), Likely));
}

/// Seen in the corpus: C programs called make, nginx and sudo.
#[test]
fn a_program_that_is_not_what_it_is_called_is_a_guess() {
    let called = |name: &str| Image { program: None, ..image(&format!("/srv/{name}"), &[name]) };
    let make = spawn(called("make")).exec(ls());
    check("make", &make, Want("posix_spawn", Some("glibc"), Some("build_job"), Guess));
    let sudo = fork(called("sudo")).exec(ls());
    check("sudo", &sudo, Want("fork_exec", Some("glibc"), Some("wrapper"), Guess));
    check("nginx", &fork(called("nginx")), Want("fork", Some("glibc"), Some("prefork_worker"), Guess));
    let bash = fork(called("bash")).creation(|c| c.blocked = mask::BASH).exec(ls());
    // Nobody else blocks these signals: a bash that exports nothing.
    check("bash", &bash, Want("fork_exec", Some("bash"), Some("shell.command"), Likely));
    // What is static exports nothing.
    let quiet = Image { linkage: Some("static".into()), ..called("make") };
    assert_eq!(spawn(quiet).exec(ls()).method().confidence, Likely);
}

/// Seen in the corpus's roots: C programs that ended before anybody could open their files, in a root that
/// nobody else was in.
#[test]
fn a_name_is_a_guess_where_the_file_was_out_of_reach() {
    let unread =
        |name: &str| Image { linkage: None, interpreter: None, ..image(&format!("/srv/{name}"), &[name]) };
    let unknown = |name: &str| Image { program: None, ..unread(name) };
    for name in ["make", "find", "xargs", "timeout", "su", "sudo", "flock", "conmon", "erl_child_setup"] {
        let method = fork(unknown(name)).exec(ls()).method();
        assert_eq!(method.confidence, Guess, "{name}: {method:?}");
        let evidence = method.evidence.join("\n");
        assert!(evidence.contains("known by its name alone"), "{name}: {evidence}");
    }
    for name in ["redis-server", "nginx"] {
        assert_eq!(fork(unknown(name)).method().confidence, Guess, "{name}");
    }
    // A shell's jobs are more than its name.
    let bash = fork(unknown("bash")).creation(|c| c.blocked = mask::BASH).exec(ls());
    check("bash", &bash, Want("fork_exec", Some("bash"), Some("shell.command"), Likely));
    // That it hands the rest of its arguments on bears a wrapper's name out.
    let wrapper =
        |name: &str| Image { argv: Some([name, "ls", "-l"].map(String::from).into()), ..unknown(name) };
    let list = || image("/usr/bin/ls", &["ls", "-l"]);
    let env = vfork(mask::LIBC, unknown("dash")).exec(wrapper("env")).exec(list());
    check("env", &env, Want("vfork_exec", Some("dash"), Some("wrapper"), Likely));
    let nice = vfork(mask::LIBC, unknown("dash")).exec(wrapper("env")).exec(wrapper("nice")).exec(ls());
    assert_eq!(nice.method().pattern.as_deref(), Some("shell.command"), "{:?}", nice.method());
    let timeout = fork(wrapper("timeout")).exec(list());
    check("timeout", &timeout, Want("fork_exec", Some("glibc"), Some("wrapper"), Likely));
    let dash = vfork(mask::LIBC, unknown("dash")).exec(ls());
    check("dash", &dash, Want("vfork_exec", Some("dash"), Some("shell.command"), Likely));
}

#[test]
fn the_finer_points() {
    let want = |m, p, c| Want(m, Some("bash"), Some(p), c);
    check("redirected", &by("bash").stdio(1, FILE).exec(ls()), want("fork_exec", "shell.command", Likely));
    check("< /dev/null", &by("bash").stdio(0, NULL).exec(ls()), want("fork_exec", "shell.command", Likely));
    let unread = by("bash").stdio(0, NULL).exec(ls()).last_exec(|e| e.ignored = None);
    check("perhaps &", &unread, want("fork_exec", "shell.background", Guess));
    // Inside a script that runs in the background everything ignores INT and QUIT.
    let inherited = by("bash").creation(|c| c.ignored = INT_QUIT).exec(ls());
    check("inherited", &inherited, want("fork_exec", "shell.command", Likely));
    // The shell's own output goes into a pipe: two commands share it and are no pipeline.
    let own = by("bash")
        .creation(|c| c.stdio[1] = PIPE)
        .stdio(1, PIPE)
        .with(|f| f.siblings.pipe_mates = 1)
        .exec(ls());
    check("the shell's pipe", &own, want("fork_exec", "shell.command", Likely));
    let no_terminal = by("bash").exec(ls()).last_exec(|e| e.new_group = Some(true));
    check("set -m without a terminal", &no_terminal, want("fork_exec", "shell.command", Guess));
    check("here-document", &by("bash").stdio(0, PIPE).exec(ls()), want("fork_exec", "shell.command", Guess));
    let last = by("bash").child(|c| c.forks_before_exec = 1).exec(ls());
    check("(a; b)", &last, want("fork_exec", "shell.subshell", Likely));
    let script = by("bash").failed("./x", "ENOEXEC").child(|c| c.forks = 3);
    check("a script without #!", &script, want("fork", "shell.command", Likely));
    check("not found", &by("bash").exited(127, 900_000), want("fork", "shell.command", Guess));
    let background = by("bash").child(|c| c.ignored = Some(INT_QUIT));
    check("( ... ) &", &background, want("fork", "shell.background", Likely));
}

#[test]
fn wrappers_in_place() {
    for name in
        ["env", "nohup", "nice", "stdbuf", "chrt", "setpriv", "ionice", "taskset", "setsid", "unshare"]
    {
        let wrapper = image(&format!("/usr/bin/{name}"), &[name, "ls"]);
        let start = by("bash").exec(wrapper.clone()).exec(ls());
        check(name, &start, Want("fork_exec", Some("bash"), Some("wrapper"), Likely));
        let all = start.method().evidence.join("\n");
        assert!(all.contains(&format!("exec chain /usr/bin/{name}, then /usr/bin/ls")), "{all}");
        assert!(all.contains("would also be shell.command"), "{all}");
        check(name, &in_place(wrapper.clone(), ls()), Want("exec", None, Some("wrapper"), Likely));
        // The wrapper itself, which did not get so far.
        check(
            name,
            &by("bash").exec(wrapper),
            Want("fork_exec", Some("bash"), Some("shell.command"), Likely),
        );
    }
    let three =
        by("bash").exec(image("/usr/bin/env", &["env"])).exec(image("/usr/bin/nice", &["nice"])).exec(ls());
    assert!(three.method().evidence.join(" ").contains("/usr/bin/env, then /usr/bin/nice, then /usr/bin/ls"));
    let busybox = by("bash").exec(image("/bin/busybox", &["env", "ls"])).exec(ls());
    check("an applet", &busybox, Want("fork_exec", Some("bash"), Some("wrapper"), Likely));
    let script = Image {
        script: Some("/app.py".into()),
        ..image("/usr/bin/env", &["/usr/bin/env", "python3", "/app.py"])
    };
    let shebang = by("bash").exec(script).exec(python("3.11", &["python3", "/app.py"]));
    check("#!/usr/bin/env", &shebang, Want("fork_exec", Some("bash"), Some("wrapper"), Likely));
    let launcher = Image { script: Some("/entrypoint.sh".into()), ..shell("dash") };
    check(
        "a launcher",
        &fork(c_program()).exec(launcher).exec(ls()),
        Want("fork_exec", Some("glibc"), Some("wrapper"), Likely),
    );
    let trampoline = fork(c_program()).exec(image("/usr/bin/bash", &["/bin/sh", "-c", "ls"])).exec(ls());
    check("sh -c is none", &trampoline, Want("fork_exec", Some("glibc"), None, Likely));
    let within = fork(c_program())
        .exec(image("/usr/bin/bash", &["sh", "-c", "env ls"]))
        .exec(image("/usr/bin/env", &["env", "ls"]))
        .exec(ls());
    check("within", &within, Want("fork_exec", Some("glibc"), Some("wrapper"), Likely));
}

#[test]
fn wrappers_that_wait() {
    for name in ["timeout", "sudo", "su", "runuser", "flock", "tini", "dumb-init", "nsenter", "time"] {
        let start = fork(image(&format!("/usr/bin/{name}"), &[name, "ls"])).exec(ls());
        check(name, &start, Want("fork_exec", Some("glibc"), Some("wrapper"), Likely));
        assert!(start.method().evidence.join(" ").contains(&format!("/usr/bin/{name}")));
    }
    let sudo =
        fork(image("/usr/bin/sudo", &["sudo", "ls"])).child(|c| c.session_leader = Some(true)).exec(ls());
    check("sudo with a pty", &sudo, Want("fork_exec", Some("glibc"), Some("wrapper"), Likely));
}

/// A name costs nothing: what its ELF file shows to be another program is named by what it does alone.
#[test]
fn other_programs_of_that_name() {
    for name in ["find", "xargs", "timeout", "su", "make", "dash", "bash", "zsh", "tmux", "conmon", "runc"] {
        let parent =
            Image { misnamed: Some(true), program: None, ..image(&format!("/tmp/{name}"), &[name, "run"]) };
        let start = fork(parent).creation(|c| c.blocked = 0).exec(ls());
        check(name, &start, Want("fork_exec", Some("glibc"), None, Likely));
        assert!(start.method().evidence.iter().any(|line| line == &format!("parent image /tmp/{name}")));
    }
    // Written again in another language, under the old name.
    let timeout = with_runtime("/usr/bin/timeout", "rust", &["timeout", "1", "ls"]);
    check("in Rust", &spawn(timeout).exec(ls()), Want("posix_spawn", Some("glibc"), Some("wrapper"), Guess));
}

#[test]
fn build_and_batch() {
    for name in ["make", "ninja", "samu"] {
        let start = spawn(image(&format!("/usr/bin/{name}"), &[name])).exec(image("/usr/bin/gcc", &["gcc"]));
        check(name, &start, Want("posix_spawn", Some("glibc"), Some("build_job"), Likely));
    }
    let make = image("/usr/bin/make", &["make"]);
    check(
        "a make in a make",
        &spawn(make.clone()).exec(make),
        Want("posix_spawn", Some("glibc"), Some("build_job"), Likely),
    );
    for name in ["xargs", "find", "run-parts"] {
        let start = fork(image(&format!("/usr/bin/{name}"), &[name])).exec(ls());
        check(name, &start, Want("fork_exec", Some("glibc"), Some("batch"), Likely));
    }
    let parallel = Image {
        script: Some("/usr/bin/parallel".into()),
        ..with_runtime("/usr/bin/perl", "perl", &["perl", "/usr/bin/parallel", "ls"])
    };
    check("parallel", &fork(parallel).exec(ls()), Want("fork_exec", Some("perl"), Some("batch"), Guess));
    // Debian 11's begins with `#!/usr/bin/env perl`.
    let by_env = with_runtime("/usr/bin/perl", "perl", &["perl", "/usr/bin/parallel", "ls"]);
    check("by env", &fork(by_env).exec(ls()), Want("fork_exec", Some("perl"), Some("batch"), Guess));
    let other = with_runtime("/usr/bin/perl", "perl", &["perl", "/srv/x.pl", "parallel"]);
    check("an argument", &fork(other).exec(ls()), Want("fork_exec", Some("perl"), None, Likely));
}

#[test]
fn terminals_of_their_own() {
    let session = |p: Image| {
        fork(p).child(|c| {
            c.session_leader = Some(true);
            c.has_tty = Some(true);
        })
    };
    for name in ["tmux", "script", "sshd", "anything"] {
        let start = session(image(&format!("/usr/bin/{name}"), &[name])).exec(shell("bash"));
        check(name, &start, Want("fork_exec", Some("glibc"), Some("pty_session"), Likely));
    }
    let unread =
        fork(image("/usr/bin/tmux", &["tmux"])).child(|c| c.session_leader = None).exec(shell("bash"));
    check("unread", &unread, Want("fork_exec", Some("glibc"), Some("pty_session"), Guess));
    let no_tty = session(c_program()).child(|c| c.has_tty = Some(false)).exec(ls());
    check("a session without", &no_tty, Want("fork_exec", Some("glibc"), None, Likely));
}

/// Seen in the corpus: busybox runs its applets by /proc/self/exe, which is no program's re-exec of itself.
#[test]
fn an_applet_is_a_job_of_the_shell_that_it_is_a_part_of() {
    let applet = |argv: &[&str]| image("/bin/busybox", argv);
    let command = by("busybox").exec_as(Some("/proc/self/exe"), applet(&["sleep", "1"]));
    check("applet", &command, Want("fork_exec", Some("busybox"), Some("shell.command"), Likely));
    let piped = by("busybox")
        .stdio(1, PIPE)
        .exec_as(Some("/proc/self/exe"), applet(&["cat"]))
        .with(|f| f.siblings.pipe_mates = 1);
    check("pipeline", &piped, Want("fork_exec", Some("busybox"), Some("shell.pipeline"), Likely));
}

/// Seen in the corpus: mksh and ksh93 put a pipe onto their own descriptor before they fork; ksh93's
/// pipes are sockets.
#[test]
fn shells_that_redirect_themselves_before_they_fork() {
    let began = |name: &str, at: usize, end: Fd| {
        by(name).stdio(at, end).exec(ls()).creation(|c| {
            c.image_stdio = [TTY; 3];
            c.stdio[at] = end;
        })
    };
    let mksh = began("mksh", 1, PIPE);
    check("alone", &mksh, Want("fork_exec", Some("mksh"), Some("shell.substitution"), Likely));
    let mates = mksh.with(|f| f.siblings.pipe_mates = 1);
    check("with another", &mates, Want("fork_exec", Some("mksh"), Some("shell.pipeline"), Likely));
    for at in [0, 1] {
        let socket = began("ksh", at, fd(FdKind::Socket, 5));
        check("ksh93", &socket, Want("fork_exec", Some("ksh"), Some("shell.pipeline"), Likely));
    }
    // bash forks first: what it has there is a redirection of its own.
    check("bash", &began("bash", 1, PIPE), Want("fork_exec", Some("bash"), Some("shell.command"), Likely));
}

/// Seen in the corpus: a script that runs in another's background ignores INT and QUIT, and so do
/// all that it starts.
#[test]
fn jobs_of_a_shell_that_is_itself_in_the_background() {
    let quiet = |start: Start, stdin: Fd| {
        start
            .creation(|c| c.ignored = INT_QUIT)
            .stdio(0, stdin)
            .exec(ls())
            .last_exec(|e| e.ignored = Some(INT_QUIT))
    };
    let want = |m, name, p, c| Want(m, Some(name), Some(p), c);
    check("stdin", &quiet(by("bash"), NULL), want("fork_exec", "bash", "shell.background", Likely));
    check("no stdin", &quiet(by("bash"), TTY), want("fork_exec", "bash", "shell.command", Likely));
    let nothing_to_turn = quiet(by("bash").creation(|c| c.stdio = [NULL; 3]), NULL);
    check("no telling", &nothing_to_turn, want("fork_exec", "bash", "shell.command", Guess));
    let dash = quiet(vfork(mask::LIBC, shell("dash")).creation(|c| c.stdio = [NULL; 3]), NULL);
    check("dash vforks in its foreground", &dash, want("vfork_exec", "dash", "shell.command", Likely));
}
