//! The names that a trace uses for patterns, and the rules, for people who ask.

/// Every pattern with its meaning.
const PATTERNS: &[(&str, &str)] = &[
    ("batch", "run by xargs, find or their kin, over many arguments"),
    ("build_job", "run by make or its kin"),
    ("conmon", "started through conmon, the monitor of podman and CRI-O"),
    ("container.exec", "on its way into a container that exists"),
    ("container.init", "on its way to being the first process of a container"),
    ("containerd_shim", "started through containerd's shim"),
    ("daemon", "the process that stays after daemonising by one fork"),
    ("double_fork", "the process that stays after daemonising by two forks"),
    ("erl_child_setup", "a port program of the Erlang virtual machine, through its helper"),
    ("jspawnhelper", "started by a JVM through the JDK's jspawnhelper"),
    ("loky.resource_tracker", "the helper of joblib's loky that removes what workers leave behind"),
    ("loky.worker", "a worker of joblib's loky"),
    ("multiprocessing.fork", "a worker of Python's multiprocessing, Pool or ProcessPoolExecutor by fork"),
    ("multiprocessing.forkserver", "a worker that Python's fork server made; requested_by is who asked"),
    ("multiprocessing.forkserver.server", "the fork server of Python's multiprocessing itself"),
    (
        "multiprocessing.resource_tracker",
        "the helper of Python's multiprocessing that removes what workers leave behind",
    ),
    ("multiprocessing.spawn", "a worker of Python's multiprocessing, Pool or ProcessPoolExecutor by spawn"),
    ("namespace", "created into namespaces other than its creator's"),
    ("node.cluster", "a worker of Node's cluster module"),
    ("node.fork", "made by Node's child_process.fork, with a channel to its parent"),
    ("popen", "a command that libc's popen runs, with a pipe to the caller"),
    ("prefork_worker", "one of several long-lived copies that a master keeps without exec"),
    ("probe", "a child that only exits, made to try the kernel out"),
    ("pty_session", "on a terminal of its own: a pane of tmux, a session of sshd, script"),
    ("reexec", "a program that starts its own executable again, as reloaders do"),
    ("shell.background", "a shell's job in the background"),
    ("shell.command", "a program that a shell runs"),
    ("shell.pipeline", "an element of a shell's pipeline"),
    ("shell.subshell", "a copy of a shell that runs part of the script"),
    ("shell.substitution", "a command whose output a shell takes in"),
    ("snapshot", "a single copy made to write its parent's state out"),
    ("subprocess", "started by Python's subprocess module"),
    ("system", "a command that libc's system runs"),
    ("systemd.executor", "a unit's process, started through systemd-executor"),
    ("wrapper", "run in place or kept by a wrapper: env, nohup, timeout, sudo, tini ..."),
    ("zygote_child", "a copy that a server which exists to be copied made on request"),
];

/// Every name that `method.pattern` can have, with its meaning, in order of the alphabet.
pub fn catalogue() -> Vec<(&'static str, &'static str)> {
    PATTERNS.to_vec()
}

/// Every rule's name with what it recognises, by family.
pub fn rules() -> impl Iterator<Item = (&'static str, &'static str)> {
    super::engine::all().map(|r| (r.name, r.doc))
}
