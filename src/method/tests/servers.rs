use super::*;

fn ls() -> Image {
    image("/usr/bin/ls", &["ls"])
}

fn pool(s: Start, peak: u32, long: u32) -> Start {
    s.with(|f| {
        f.siblings.execless = peak;
        f.siblings.execless_peak = peak;
        f.siblings.execless_long_lived = long;
        f.siblings.all = peak;
    })
}

#[test]
fn prefork_workers_by_name_and_by_shape() {
    for name in ["nginx", "postgres", "apache2", "php-fpm8.2"] {
        let mut master = image(&format!("/usr/sbin/{name}"), &[name]);
        // Its imports are Apache's.
        master.misnamed = (name == "apache2").then_some(false);
        let library = if name.starts_with("php") { "php" } else { "glibc" };
        check(name, &fork(master), Want("fork", Some(library), Some("prefork_worker"), Likely));
    }
    let squid = image("/usr/sbin/squid", &["squid"]);
    check("a name alone", &fork(squid.clone()), Want("fork", Some("glibc"), Some("prefork_worker"), Guess));
    check("borne out", &pool(fork(squid), 2, 2), Want("fork", Some("glibc"), Some("prefork_worker"), Likely));
    let other = Image { misnamed: Some(true), program: None, ..image("/tmp/nginx", &["nginx"]) };
    check("another nginx", &fork(other), Want("fork", Some("glibc"), None, Likely));
    let gunicorn = python("3.11", &["/venv/bin/python", "/venv/bin/gunicorn", "app:app"]);
    let want = |c| Want("fork", Some("cpython"), Some("prefork_worker"), c);
    check("one worker of gunicorn", &fork(gunicorn.clone()), want(Guess));
    check("gunicorn", &pool(fork(gunicorn), 2, 2), want(Likely));
    let want = |c| Want("fork", Some("glibc"), Some("prefork_worker"), c);
    check("shape", &pool(fork(c_program()), 4, 4), want(Likely));
    check("young", &pool(fork(c_program()), 4, 0), want(Guess));
    check("one that failed", &pool(fork(c_program()), 4, 3).exited(1, 40_000_000), want(Guess));
    check("old and gone", &pool(fork(c_program()), 4, 3).exited(0, 40 * SECOND), want(Likely));
    check("alone", &pool(fork(c_program()), 1, 1), Want("fork", Some("glibc"), None, Likely));
    let os_fork = pool(fork(python("3.12", &["python3", "server.py"])), 3, 3);
    check("Python", &os_fork, Want("fork", Some("cpython"), Some("prefork_worker"), Likely));
    let puma = pool(
        fork(with_runtime("/usr/bin/ruby3.1", "ruby 3.1", &["ruby", "puma"]))
            .creation(|c| c.blocked = mask::LIBC),
        3,
        3,
    );
    check("puma", &puma, Want("fork", Some("ruby"), Some("prefork_worker"), Likely));
    let worker_that_execs = pool(fork(c_program()), 4, 4).exec(ls());
    check("exec", &worker_that_execs, Want("fork_exec", Some("glibc"), None, Likely));
}

#[test]
fn snapshots() {
    let redis = fork(image("/usr/bin/redis-server", &["redis-server *:6379"])).exited(0, 900_000_000);
    check("redis", &redis, Want("fork", Some("glibc"), Some("snapshot"), Likely));
    let lone = fork(c_program()).exited(0, 300_000_000).child(|c| c.written_bytes = Some(1 << 20));
    check("shape", &pool(lone.clone(), 1, 0), Want("fork", Some("glibc"), Some("snapshot"), Guess));
    check(
        "a message",
        &lone.clone().child(|c| c.written_bytes = Some(12)),
        Want("fork", Some("glibc"), None, Likely),
    );
    check(
        "not counted",
        &lone.clone().child(|c| c.written_bytes = None),
        Want("fork", Some("glibc"), None, Likely),
    );
    let failed = lone.child(|c| c.exit = Some(ExitFact { code: Some(1), signal: None }));
    check("failed", &failed, Want("fork", Some("glibc"), None, Likely));
}

#[test]
fn daemons_and_double_forks() {
    let daemon = fork(c_program()).child(|c| c.session_leader = Some(true)).creator_left();
    check("daemon", &daemon, Want("fork", Some("glibc"), Some("daemon"), Likely));
    check("exec later", &daemon.clone().exec(ls()), Want("fork_exec", Some("glibc"), Some("daemon"), Likely));
    let nginx =
        fork(image("/usr/sbin/nginx", &["nginx"])).child(|c| c.session_leader = Some(true)).creator_left();
    check("nginx's master", &nginx, Want("fork", Some("glibc"), Some("daemon"), Likely));
    let stays = daemon.clone().child(|c| c.creator_exit_ok = Some(false));
    check("the creator failed", &stays, Want("fork", Some("glibc"), None, Likely));
    let late = daemon.clone().child(|c| c.creator_exited_after_ns = Some(3 * SECOND));
    check("much later", &late, Want("fork", Some("glibc"), None, Likely));
    // The first of two forks only makes the second.
    let middle = daemon.child(|c| c.forks = 1).exited(0, 800_000);
    check("the middle", &middle, Want("fork", Some("glibc"), None, Likely));
    let second = fork(c_program())
        .creation(|c| c.parent_session_leader = true)
        .child(|c| c.creator_is_plain_fork = true)
        .creator_left();
    check("the second fork", &second, Want("fork", Some("glibc"), Some("double_fork"), Likely));
    let plain = second.clone().creation(|c| c.parent_session_leader = false);
    check("without a session", &plain, Want("fork", Some("glibc"), Some("double_fork"), Guess));
    let subshell = fork(shell("bash"))
        .creation(|c| c.blocked = mask::BASH)
        .child(|c| c.creator_is_plain_fork = true)
        .creator_left()
        .exec(ls());
    check("( cmd & )", &subshell, Want("fork_exec", Some("bash"), Some("shell.command"), Likely));
    let tmux = second
        .with(|f| f.image = image("/usr/bin/tmux", &["tmux"]))
        .with(|f| f.parent = Some(image("/usr/bin/tmux", &["tmux"])));
    check("tmux's server", &tmux, Want("fork", Some("glibc"), Some("double_fork"), Likely));
}

#[test]
fn servers_that_exist_to_be_copied() {
    let chrome = || {
        image("/opt/google/chrome/chrome", &["/opt/google/chrome/chrome", "--type=zygote", "--no-sandbox"])
    };
    let copy = |image| fork(image).peer(7, 90_000);
    let want = |confidence| Want("fork", Some("glibc"), Some("zygote_child"), confidence);
    check("zygote", &copy(chrome()), want(Likely));
    check("nobody was seen to ask", &fork(chrome()), want(Guess));
    // The sandboxed zygote is a copy of the first process in its pid namespace, and has a helper that only
    // goes into an empty root.
    let itself = fork(chrome()).parent_pattern("namespace");
    check("the zygote itself", &itself, Want("fork", Some("glibc"), None, Likely));
    let helper = copy(chrome()).creation(|c| {
        c.flags = flag::VM | flag::VFORK | 0x200;
        c.stack_delta = Some(FAR);
    });
    assert_eq!(helper.method().pattern, None, "{:?}", helper.method());
    let sandboxed = copy(chrome()).creation(|c| {
        c.flags = 0x2000_0000;
        c.stack_delta = Some(FAR);
    });
    check("sandboxed", &sandboxed, Want("clone", None, Some("zygote_child"), Likely));
    let electron = || image("/opt/app/app", &["/opt/app/app", "--type=zygote"]);
    check("Electron", &copy(electron()).parent_pattern("reexec"), want(Likely));
    check("an imposter", &copy(electron()), want(Guess));
    let erl = fork(image("/usr/lib/erlang/erts/bin/erl_child_setup", &["erl_child_setup", "1024"]))
        .exec(image("/usr/bin/dash", &["sh", "-c", "exec ls"]));
    check("Erlang", &erl, Want("fork_exec", Some("glibc"), Some("erl_child_setup"), Likely));
}

#[test]
fn programs_that_start_themselves() {
    let sshd = |argv: &[&str]| image("/usr/sbin/sshd", argv);
    let start = fork(sshd(&["/usr/sbin/sshd", "-D"])).exec(sshd(&["sshd: [accepted]", "-D", "-R"]));
    check("sshd -R", &start, Want("fork_exec", Some("glibc"), Some("reexec"), Likely));
    let chrome = |argv: &[&str]| image("/opt/chrome/chrome", argv);
    let start = fork(chrome(&["chrome"]))
        .exec_as(Some("/proc/self/exe"), chrome(&["/proc/self/exe", "--type=utility"]));
    check("utility", &start, Want("fork_exec", Some("glibc"), Some("reexec"), Likely));
    let bash = fork(shell("bash")).creation(|c| c.blocked = mask::BASH).exec(shell("bash"));
    check("a script in a script", &bash, Want("fork_exec", Some("bash"), Some("shell.command"), Likely));
    let java = with_runtime("/usr/bin/java", "jvm", &["java", "A"]);
    let other = with_runtime("/usr/bin/java", "jvm", &["java", "B"]);
    check("java runs java", &spawn(java).exec(other), Want("posix_spawn", Some("jdk"), None, Likely));
}

#[test]
fn containers_and_their_helpers() {
    let runc = |argv: &[&str]| with_runtime("/usr/bin/runc", "go 1.19", argv);
    let init = || runc(&["runc", "init"]);
    let create = ["runc", "--root", "/run/x", "--log-format", "json", "create", "--bundle", "/b", "id"];
    let exec = ["runc", "--root", "/run/x", "exec", "--process", "/p", "id"];
    for (argv, pattern) in [(&create[..], "container.init"), (&exec[..], "container.exec")] {
        let first = go_clone(runc(argv)).exec_as(Some("/proc/self/exe"), init());
        check("runc init", &first, Want("vfork_exec", Some("runc"), Some(pattern), Likely));
        let sealed = Image { exe: Some("memfd:runc_cloned:/proc/self/exe (deleted)".into()), ..init() };
        let stage = fork(sealed.clone()).creation(|c| {
            c.flags = flag::PARENT;
            c.parent_is_other = true;
        });
        let stage = stage.parent_pattern(pattern);
        check("stage", &stage, Want("fork", Some("runc"), Some(pattern), Likely));
        check("payload", &stage.exec(ls()), Want("fork_exec", Some("runc"), Some(pattern), Likely));
    }
    let hook = go_clone(runc(&create)).exec(ls());
    check("a hook", &hook, Want("vfork_exec", Some("go"), None, Likely));
    let crun = fork(image("/usr/bin/crun", &["crun", "run", "id"])).creation(|c| c.flags = 0x2c02_0000);
    check("crun", &crun.exec(ls()), Want("fork_exec", None, Some("container.init"), Likely));
    let conmon = fork(image("/usr/bin/conmon", &["conmon", "--api-version", "1"]))
        .exec(image("/usr/bin/crun", &["crun", "create"]));
    check("conmon", &conmon, Want("fork_exec", Some("glibc"), Some("conmon"), Likely));
    let shim =
        with_runtime("/usr/bin/containerd-shim-runc-v2", "go 1.22", &["containerd-shim-runc-v2", "-id", "x"]);
    let by_shim = go_clone(shim).exec(runc(&create));
    check("shim", &by_shim, Want("vfork_exec", Some("go"), Some("containerd_shim"), Likely));
}

#[test]
fn systemd_old_and_new() {
    let systemd = || image("/usr/lib/systemd/systemd", &["/sbin/init"]);
    let old = fork(systemd())
        .child(|c| c.session_leader = Some(true))
        .child(|c| c.has_tty = Some(false))
        .exec(ls());
    check("252", &old, Want("fork_exec", Some("systemd"), None, Likely));
    let executor = image(
        "/usr/lib/systemd/systemd-executor",
        &["/usr/lib/systemd/systemd-executor", "--deserialize", "47", "--log-level", "info"],
    );
    let new = spawn(systemd())
        .creation(|c| c.flags |= flag::PIDFD | flag::CLEAR_SIGHAND | flag::INTO_CGROUP)
        .exec_as(Some("/proc/self/fd/9"), executor)
        .exec(ls());
    check("257", &new, Want("posix_spawn", Some("systemd"), Some("systemd.executor"), Likely));
}
