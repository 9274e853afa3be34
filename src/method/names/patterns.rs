//! Pages on what starts are for.

use super::{Axis, Name};

pub(super) const PATTERNS: &[Name] = &[
    Name {
        axis: Axis::Pattern,
        name: "batch",
        meaning: "run by xargs, find or their kin, over many arguments",
        looks: "fork and exec by xargs, find, run-parts, fd or parallel, as often as there are batches.",
        cost: "A whole program for each batch: `xargs -n 1` and `find -exec ... \\;` start one for each argument, \
               `xargs` and `find -exec ... +` one for thousands.",
        sources: "xargs, find -exec, run-parts, fd, GNU parallel.",
    },
    Name {
        axis: Axis::Pattern,
        name: "build_job",
        meaning: "run by make or its kin",
        looks: "posix_spawn (GNU make 4.3 and up, ninja) or fork and exec by a build tool; a shell in between where \
                the recipe has shell characters.",
        cost: "A compiler's own start for each file, and a shell's for many recipes.",
        sources: "make, ninja, samurai, cargo, bmake, just.",
    },
    Name {
        axis: Axis::Pattern,
        name: "conmon",
        meaning: "started through conmon, the monitor of podman and CRI-O",
        looks: "Made by conmon, which has daemonised: its parent is no longer who asked. requested_by is the process \
                that started conmon, where the recording saw it.",
        cost: "A monitor and a container runtime for each container.",
        sources: "podman run, podman exec, CRI-O.",
    },
    Name {
        axis: Axis::Pattern,
        name: "container.exec",
        meaning: "on its way into a container that exists",
        looks: "Made by a container runtime that was called with `exec`: stages that enter namespaces, then the \
                program.",
        cost: "Three to four processes before the program runs: a health check every few seconds is dear.",
        sources: "docker exec, podman exec, kubectl exec, exec probes of Kubernetes.",
    },
    Name {
        axis: Axis::Pattern,
        name: "container.init",
        meaning: "on its way to being the first process of a container",
        looks: "Made by a container runtime that was called with `run` or `create`: namespaces by clone flags or in \
                stages (runc: `runc init`, CLONE_PARENT twice), then the program.",
        cost: "Namespaces, mounts and seccomp before the program runs; the network namespace is the dearest.",
        sources: "docker run, podman run, Kubernetes pods, systemd-nspawn, lxc-start.",
    },
    Name {
        axis: Axis::Pattern,
        name: "containerd_shim",
        meaning: "started through containerd's shim",
        looks: "Made by containerd-shim-runc-v2, which is nobody's child any more. requested_by is the process whose \
                socket the shim read last before, which is containerd.",
        cost: "A shim for each container or pod, and a runtime for each step of its life.",
        sources: "Docker, containerd, Kubernetes.",
    },
    Name {
        axis: Axis::Pattern,
        name: "daemon",
        meaning: "the process that stays after daemonising by one fork",
        looks: "A fork whose child makes a session of its own and whose parent ends at once with status 0.",
        cost: "One fork; who started it does not see when it is ready.",
        sources: "daemon(3), servers with `-d`, setsid -f.",
    },
    Name {
        axis: Axis::Pattern,
        name: "double_fork",
        meaning: "the process that stays after daemonising by two forks",
        looks: "Its creator was itself a copy that led a new session and ended at once with status 0.",
        cost: "Two forks; who started it does not see when it is ready.",
        sources: "Older Unix daemons, musl's daemon(), ssh -f, tmux's server.",
    },
    Name {
        axis: Axis::Pattern,
        name: "erl_child_setup",
        meaning: "a port program of the Erlang virtual machine, through its helper",
        looks: "fork and exec by erl_child_setup, which the virtual machine starts at boot; requested_by is that \
                virtual machine.",
        cost: "Little: the helper is small, so its fork is cheap however big the virtual machine is.",
        sources: "open_port, os:cmd, Elixir's System.cmd; RabbitMQ, CouchDB.",
    },
    Name {
        axis: Axis::Pattern,
        name: "jspawnhelper",
        meaning: "started by a JVM through the JDK's jspawnhelper",
        looks: "posix_spawn by a thread that is not the leader; the first image is jspawnhelper with descriptors for \
                arguments, the second the program.",
        cost: "An exec more for each start, and no copy of the heap's page tables.",
        sources: "ProcessBuilder and Runtime.exec of JDK 13 and up.",
    },
    Name {
        axis: Axis::Pattern,
        name: "loky.resource_tracker",
        meaning: "the helper of joblib's loky that removes what workers leave behind",
        looks: "A Python interpreter run with `-c \"from joblib.externals.loky.backend.resource_tracker import \
                main; ...\"`.",
        cost: "One interpreter, once for each process that uses loky.",
        sources: "joblib.Parallel, scikit-learn with n_jobs, loky.",
    },
    Name {
        axis: Axis::Pattern,
        name: "loky.worker",
        meaning: "a worker of joblib's loky",
        looks: "A Python interpreter run with `-m joblib.externals.loky.backend.popen_loky_posix --process-name ... \
                --pipe N`.",
        cost: "A new interpreter with all its imports for each worker; workers are kept for later calls.",
        sources: "joblib.Parallel, scikit-learn with n_jobs, loky.",
    },
    Name {
        axis: Axis::Pattern,
        name: "multiprocessing.fork",
        meaning: "a worker of Python's multiprocessing, Pool or ProcessPoolExecutor by fork",
        looks: "A copy of a Python process without an exec, with two close-on-exec pipes made just before and, in the \
                child, /dev/null opened for sys.stdin.",
        cost: "The page tables are copied and pages as they are written (reference counts write many); nothing is \
               imported again. Not safe with threads, and no longer the default from Python 3.14 on.",
        sources: "multiprocessing, Pool, ProcessPoolExecutor, Manager and PyTorch's DataLoader on Linux up to Python \
                  3.13.",
    },
    Name {
        axis: Axis::Pattern,
        name: "multiprocessing.forkserver",
        meaning: "a worker that Python's fork server made; requested_by is who asked",
        looks: "A copy of the fork server without an exec, just after the server read its client's socket: its parent \
                is the server, not who asked.",
        cost: "A fork of a small process, then the imports that were not preloaded: set_forkserver_preload() saves \
               them for every worker.",
        sources: "The default of multiprocessing and ProcessPoolExecutor on Linux from Python 3.14 on; \
                  get_context(\"forkserver\").",
    },
    Name {
        axis: Axis::Pattern,
        name: "multiprocessing.forkserver.server",
        meaning: "the fork server of Python's multiprocessing itself",
        looks: "A Python interpreter run with `-c \"from multiprocessing.forkserver import main; main(...)\"`.",
        cost: "One interpreter and what is preloaded, once; the first worker waits for it.",
        sources: "The first worker of a program by the start method forkserver.",
    },
    Name {
        axis: Axis::Pattern,
        name: "multiprocessing.resource_tracker",
        meaning: "the helper of Python's multiprocessing that removes what workers leave behind",
        looks: "A Python interpreter run with `-c \"from multiprocessing.resource_tracker import main;main(N)\"`.",
        cost: "One interpreter, once for each process that uses spawn, forkserver or shared memory.",
        sources: "spawn and forkserver, shared_memory, semaphores; semaphore_tracker up to Python 3.7.",
    },
    Name {
        axis: Axis::Pattern,
        name: "multiprocessing.spawn",
        meaning: "a worker of Python's multiprocessing, Pool or ProcessPoolExecutor by spawn",
        looks: "A Python interpreter run with `-c \"from multiprocessing.spawn import spawn_main; ...\" \
                --multiprocessing-fork`, or a frozen program run with --multiprocessing-fork.",
        cost: "A new interpreter that imports the main module again, for each worker: the dearest of the three, and \
               the safest.",
        sources: "get_context(\"spawn\"), uvicorn --workers and --reload, PyTorch with CUDA, code that also runs on \
                  Windows.",
    },
    Name {
        axis: Axis::Pattern,
        name: "namespace",
        meaning: "created into namespaces other than its creator's",
        looks: "CLONE_NEW* flags at the clone, or a PID namespace below the creator's.",
        cost: "Some hundred microseconds, those of the network and of mounts more.",
        sources: "unshare, bubblewrap, Chromium's sandbox, container tools.",
    },
    Name {
        axis: Axis::Pattern,
        name: "node.cluster",
        meaning: "a worker of Node's cluster module",
        looks: "Node run by Node on its parent's own script, with a socket on descriptor 3. Only the environment would \
                make it sure, so it is a guess.",
        cost: "A new Node with all that the script requires, for each worker.",
        sources: "cluster.fork, PM2's cluster mode.",
    },
    Name {
        axis: Axis::Pattern,
        name: "node.fork",
        meaning: "made by Node's child_process.fork, with a channel to its parent",
        looks: "Node run by Node on another script, with a socket on descriptor 3.",
        cost: "A new Node with all that the script requires; worker_threads are cheaper where they do.",
        sources: "child_process.fork, jest, test runners and bundlers.",
    },
    Name {
        axis: Axis::Pattern,
        name: "popen",
        meaning: "a command that libc's popen runs, with a pipe to the caller",
        looks: "posix_spawn of `sh -c COMMAND` (`sh -c -- COMMAND` from glibc 2.38 on) with a new pipe on stdin or \
                stdout, INT and QUIT not ignored in the caller.",
        cost: "A shell besides the program itself: posix_spawn with the arguments as a list saves it.",
        sources: "popen(3); PHP's exec, shell_exec and system; R, awk, Lua's io.popen.",
    },
    Name {
        axis: Axis::Pattern,
        name: "prefork_worker",
        meaning: "one of several long-lived copies that a master keeps without exec",
        looks: "Copies without an exec of one creator, several alive at once for a second or more; or a copy of a \
                server that is known to work so.",
        cost: "A fork each, at the start of the server; what the master loads before is shared.",
        sources: "nginx, Apache, PostgreSQL's backends, php-fpm, gunicorn, uwsgi, Unicorn.",
    },
    Name {
        axis: Axis::Pattern,
        name: "probe",
        meaning: "a child that only exits, made to try the kernel out",
        looks: "A vfork, or a clone of the same effect, whose child ends at once and execs nothing.",
        cost: "Well below a millisecond, once for each process.",
        sources: "libuv 1.53 and up (vfork), Go 1.23 and up (pidfds).",
    },
    Name {
        axis: Axis::Pattern,
        name: "pty_session",
        meaning: "on a terminal of its own: a pane of tmux, a session of sshd, script",
        looks: "fork and exec of a process that leads a session of its own, with a controlling terminal on its \
                descriptors.",
        cost: "The start of a login or interactive shell: what its profile files run.",
        sources: "tmux, screen, sshd, script, expect, terminal emulators.",
    },
    Name {
        axis: Axis::Pattern,
        name: "reexec",
        meaning: "a program that starts its own executable again, as reloaders do",
        looks: "An exec of the creator's own file (by /proc/self/exe, or the same inode); of an interpreter only with \
                the same arguments.",
        cost: "The whole start of the program once more.",
        sources: "Development servers that reload, Chromium's children, Docker's and runc's helpers, sshd.",
    },
    Name {
        axis: Axis::Pattern,
        name: "shell.background",
        meaning: "a shell's job in the background",
        looks: "A child of a shell that ignores INT and QUIT where the shell does not and has /dev/null on stdin; with \
                job control, in a process group that is not the terminal's foreground one.",
        cost: "A fork; the shell goes on without waiting.",
        sources: "`COMMAND &` in scripts and sessions.",
    },
    Name {
        axis: Axis::Pattern,
        name: "shell.command",
        meaning: "a program that a shell runs",
        looks: "fork or vfork and exec by a shell, with the pipes as the shell's own.",
        cost: "A process and a program for each command that is no builtin: loops over small programs add up.",
        sources: "Scripts and interactive sessions.",
    },
    Name {
        axis: Axis::Pattern,
        name: "shell.pipeline",
        meaning: "an element of a shell's pipeline",
        looks: "Children of one shell within 10 ms that share a pipe on descriptors 0 and 1.",
        cost: "A process for each element, in parallel.",
        sources: "`A | B` in scripts and sessions.",
    },
    Name {
        axis: Axis::Pattern,
        name: "shell.subshell",
        meaning: "a copy of a shell that runs part of the script",
        looks: "A copy of a shell that goes on as a shell, without an exec or only after having forked itself.",
        cost: "A fork of the shell: `{ ...; }` in the place of `( ... )` saves it.",
        sources: "`( ... )`, functions in pipelines, loops with redirected input.",
    },
    Name {
        axis: Axis::Pattern,
        name: "shell.substitution",
        meaning: "a command whose output a shell takes in",
        looks: "A child of a shell whose stdout is a pipe that no sibling shares.",
        cost: "A fork for each: shell parameters (`${x##*/}`) in the place of `$(basename ...)` save it.",
        sources: "`$( ... )`, backticks, `<( ... )`.",
    },
    Name {
        axis: Axis::Pattern,
        name: "snapshot",
        meaning: "a single copy made to write its parent's state out",
        looks: "One copy without an exec that writes, and ends with status 0; or a copy of a database that works so.",
        cost: "The page tables of the whole data set are copied while the parent waits, then each page that is written \
               meanwhile.",
        sources: "Redis's BGSAVE and AOF rewrite, Valkey, programs that dump by fork.",
    },
    Name {
        axis: Axis::Pattern,
        name: "subprocess",
        meaning: "started by Python's subprocess module",
        looks: "vfork with nearly all signals blocked, posix_spawn with SIGPIPE put back, or fork with a close-on-exec \
                pipe made just before, by CPython.",
        cost: "A program each; preexec_fn, user and group force a fork of all of Python, and shell=True adds a shell.",
        sources: "subprocess.run, Popen, os.popen, asyncio's subprocesses.",
    },
    Name {
        axis: Axis::Pattern,
        name: "system",
        meaning: "a command that libc's system runs",
        looks: "posix_spawn of `sh -c COMMAND` (`sh -c -- COMMAND` from glibc 2.38 on) while the caller ignores INT \
                and QUIT, without a new pipe.",
        cost: "A shell besides the program itself, and the caller waits for both.",
        sources: "system(3), Python's os.system, Lua's os.execute, vim.",
    },
    Name {
        axis: Axis::Pattern,
        name: "systemd.executor",
        meaning: "a unit's process, started through systemd-executor",
        looks: "posix_spawn by systemd, from 256 on into the unit's cgroup (CLONE_INTO_CGROUP); the first image is \
                systemd-executor, the second the unit's program. requested_by is who asked over the manager's socket.",
        cost: "An exec more than before; the manager's memory is not copied.",
        sources: "Units of systemd 255 and up, systemctl start, systemd-run.",
    },
    Name {
        axis: Axis::Pattern,
        name: "wrapper",
        meaning: "run in place or kept by a wrapper: env, nohup, timeout, sudo, tini and their kin",
        looks: "A chain of execs through a wrapper, or a child of one that stays and waits; the evidence names it.",
        cost: "One program's loading and linking more; sudo and su also ask PAM.",
        sources: "env and `#!/usr/bin/env`, nohup, nice, timeout, sudo, su, tini, launcher scripts.",
    },
    Name {
        axis: Axis::Pattern,
        name: "zygote_child",
        meaning: "a copy that a server which exists to be copied made on request",
        looks: "A copy without an exec of a process that was run as --type=zygote; requested_by is the peer of the \
                socket that it read before, where that was seen.",
        cost: "A fork of a process that has loaded everything already.",
        sources: "Chromium and what is made of it: Chrome, Electron, QtWebEngine.",
    },
];
