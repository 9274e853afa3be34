//! Pages on those whose code makes the call.

use super::{Axis, Name};

pub(super) const LIBRARIES: &[Name] = &[
    Name {
        axis: Axis::Library,
        name: "bash",
        meaning: "GNU bash",
        looks: "clone as glibc's fork with INT, TERM and CHLD blocked (before glibc 2.41, which blocks all); the \
                parent's ELF file exports bash's own functions.",
        cost: "A fork for every command that is no builtin, with the copy of bash's page tables.",
        sources: "Scripts and interactive sessions; /bin/sh of Fedora and Arch.",
    },
    Name {
        axis: Axis::Library,
        name: "busybox",
        meaning: "the shell in busybox",
        looks: "A fork with no signal blocked by a file named busybox; applets may run without an exec.",
        cost: "A small process to copy; an applet that is run without an exec loads nothing.",
        sources: "Alpine and other small images, initramfs.",
    },
    Name {
        axis: Axis::Library,
        name: "bwrap",
        meaning: "bubblewrap",
        looks: "clone with namespace flags on the same stack, CHLD blocked, by an executable named bwrap.",
        cost: "The price of its namespaces and mounts, once for each sandbox.",
        sources: "flatpak, sandboxed builds and desktop programs.",
    },
    Name {
        axis: Axis::Library,
        name: "cpython",
        meaning: "CPython itself: os.fork, os.posix_spawn, multiprocessing",
        looks: "The creator's ELF file is CPython's; multiprocessing's helpers have argument lists that the library \
                writes itself.",
        cost: "A fork keeps all that is imported; a new interpreter has to import it again, often hundreds of \
               milliseconds.",
        sources: "multiprocessing, concurrent.futures, joblib, gunicorn, uvicorn, celery, os.fork.",
    },
    Name {
        axis: Axis::Library,
        name: "cpython.subprocess",
        meaning: "CPython's subprocess module",
        looks: "vfork with nearly all signals blocked (3.10 and up), posix_spawn with SIGPIPE put back in the child \
                (3.13 and up where it can), or fork with a close-on-exec pipe made just before.",
        cost: "vfork and posix_spawn cost the same whatever memory Python has; fork (up to 3.9, and with preexec_fn, \
               user or group) costs the more the bigger it is.",
        sources: "subprocess.run and Popen, os.popen, asyncio.create_subprocess_exec, pip and build tools.",
    },
    Name {
        axis: Axis::Library,
        name: "dash",
        meaning: "Debian's dash",
        looks: "vfork with nearly all signals blocked for commands; clone as glibc's fork, with none blocked, for \
                pipelines, subshells and the background.",
        cost: "vfork for simple commands: the cheapest of the shells to run one program after the other.",
        sources: "/bin/sh of Debian and Ubuntu: scripts, system(), make's recipes, cron.",
    },
    Name {
        axis: Axis::Library,
        name: "fish",
        meaning: "the fish shell",
        looks: "posix_spawn or fork by an executable named fish.",
        cost: "posix_spawn where it can, so little.",
        sources: "Interactive sessions and their scripts.",
    },
    Name {
        axis: Axis::Library,
        name: "glibc",
        meaning: "the GNU C library, called by a program that no other rule names",
        looks: "fork is a clone with CLONE_CHILD_CLEARTID and CLONE_CHILD_SETTID; posix_spawn blocks every signal, \
                has a mapped stack, and is clone (up to 2.33), clone3 (2.34) or clone3 with CLONE_CLEAR_SIGHAND (2.38).",
        cost: "That of the mechanism.",
        sources: "Programs in C and C++, Lua, and any language that calls the C library and adds nothing to it.",
    },
    Name {
        axis: Axis::Library,
        name: "go",
        meaning: "Go's os/exec and syscall.ForkExec",
        looks: "clone (not vfork) with CLONE_VM|CLONE_VFORK on the parent's own stack with every signal blocked; \
                CLONE_PIDFD from Go 1.23 on. PATH is searched before, in the parent.",
        cost: "Nothing is copied. A lock keeps other goroutines from starting programs meanwhile.",
        sources: "Docker, containerd, Kubernetes, and every other program in Go.",
    },
    Name {
        axis: Axis::Library,
        name: "jdk",
        meaning: "Java's ProcessBuilder and Runtime.exec",
        looks: "By a thread that is not the leader: posix_spawn of jspawnhelper (13 and up), or vfork or fork with \
                QUIT blocked.",
        cost: "With jspawnhelper an exec more for each start; with FORK the page tables of the whole heap.",
        sources: "Jenkins, Gradle, Maven, Hadoop and every other program on a JVM.",
    },
    Name {
        axis: Axis::Library,
        name: "ksh",
        meaning: "ksh93 and other Korn shells",
        looks: "fork, vfork or posix_spawn by an executable of that name; ksh93 makes its pipelines of sockets.",
        cost: "ksh93 runs many a subshell without any process.",
        sources: "Scripts of old Unix systems, databases' installers.",
    },
    Name {
        axis: Axis::Library,
        name: "libuv",
        meaning: "libuv's uv_spawn, mostly in Node",
        looks: "Up to 1.52 a clone as glibc's fork with a signal mask that only libuv has; from 1.53 on one vfork as \
                a trial, then posix_spawn.",
        cost: "Up to 1.52 the main thread waits for a copy of the page tables of Node's heap, with every start.",
        sources: "Node's child_process and cluster, npm and its kin.",
    },
    Name {
        axis: Axis::Library,
        name: "mksh",
        meaning: "the MirBSD Korn shell and its kin",
        looks: "clone as glibc's fork with CHLD blocked by an executable of that name.",
        cost: "A fork for every command that is no builtin.",
        sources: "Android's shell, small systems.",
    },
    Name {
        axis: Axis::Library,
        name: "musl",
        meaning: "the musl C library, called by a program that no other rule names",
        looks: "fork(2) without flags and with every signal blocked; posix_spawn is a clone whose stack lies in the \
                caller's frame.",
        cost: "That of the mechanism.",
        sources: "Alpine's programs, static binaries.",
    },
    Name {
        axis: Axis::Library,
        name: "perl",
        meaning: "Perl: system, backticks, open, fork",
        looks: "clone as glibc's fork by Perl, with CHLD blocked for system and nothing blocked for the rest. Perl's \
                system is not libc's: without shell characters no shell is run.",
        cost: "A fork each time, of an interpreter with all that it has loaded.",
        sources: "Debian's own tools, autoconf and automake, git's older commands.",
    },
    Name {
        axis: Axis::Library,
        name: "php",
        meaning: "PHP: proc_open, pcntl_fork",
        looks: "fork (up to 8.3) or posix_spawn (8.4) by PHP. exec, shell_exec, system, passthru and popen are libc's \
                popen and named so.",
        cost: "proc_open by fork copies the page tables of the whole interpreter.",
        sources: "Composer, Symfony's Process, php-fpm.",
    },
    Name {
        axis: Axis::Library,
        name: "ruby",
        meaning: "Ruby: spawn, system, backticks, popen, fork",
        looks: "vfork with nearly all signals blocked when not root, else clone as glibc's fork with the same mask.",
        cost: "vfork costs the same whatever Ruby's heap; root always pays for a fork.",
        sources: "Rails, Puma and Unicorn, Bundler.",
    },
    Name {
        axis: Axis::Library,
        name: "runc",
        meaning: "runc, or a tool that carries it",
        looks: "Go's clone to run itself again as `runc init`, then clones with CLONE_PARENT from a sealed copy of \
                itself in memory.",
        cost: "Several processes and images before the container's own program runs.",
        sources: "Docker, containerd, Kubernetes, podman where it is configured.",
    },
    Name {
        axis: Axis::Library,
        name: "rust",
        meaning: "Rust's std::process::Command",
        looks: "The C library's posix_spawn by a program in Rust, or fork with a socket pair where pre_exec, uid or \
                gid is used.",
        cost: "posix_spawn by default; what forces a fork costs its page tables.",
        sources: "cargo, rustup, and every other program in Rust.",
    },
    Name {
        axis: Axis::Library,
        name: "systemd",
        meaning: "systemd's service manager",
        looks: "Up to 254 a fork whose child sets the service up before its exec; from 255 on posix_spawn of \
                systemd-executor, from 256 on by pidfd_spawn into the unit's cgroup.",
        cost: "By fork, the set-up of a unit runs in a copy of the manager; systemd-executor is an exec more, and \
               keeps the manager free.",
        sources: "Units of every kind, generators, user sessions.",
    },
    Name {
        axis: Axis::Library,
        name: "tcsh",
        meaning: "csh and tcsh",
        looks: "fork or vfork by an executable of that name.",
        cost: "A fork for every command that is no builtin.",
        sources: "Interactive sessions and scripts of laboratories and design tools.",
    },
    Name {
        axis: Axis::Library,
        name: "zsh",
        meaning: "zsh",
        looks: "clone as glibc's fork with CHLD and WINCH blocked (before glibc 2.41, which blocks all).",
        cost: "A fork for every command that is no builtin; the last command of -c is exec'd in place.",
        sources: "Interactive sessions and their scripts.",
    },
];
