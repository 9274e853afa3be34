//! Pages on system calls, and on the kinds of child that they make.

use super::{Axis, Name};

pub(super) const PRIMITIVES: &[Name] = &[
    Name {
        axis: Axis::Primitive,
        name: "clone",
        meaning: "the system call clone(2)",
        looks: "System call 56 on x86-64 and 220 on arm64; the flags are in method.clone_flags. It makes anything \
                from a plain copy to a child that shares all memory, so it says little without the mechanism.",
        cost: "Depends on the flags: what CLONE_VM shares need not be copied.",
        sources: "glibc's fork(); posix_spawn of glibc up to 2.33, and where clone3 is refused; posix_spawn of musl; \
                  Go's os/exec; container runtimes; on arm64 also every vfork().",
    },
    Name {
        axis: Axis::Primitive,
        name: "clone3",
        meaning: "the system call clone3(2)",
        looks: "System call 435 on every architecture. Only it can set CLONE_CLEAR_SIGHAND and CLONE_INTO_CGROUP.",
        cost: "As clone with the same flags. Old seccomp profiles refuse it with ENOSYS, and a C library then uses \
               clone, which costs one failed call.",
        sources: "posix_spawn, system and popen of glibc 2.34 and up; pidfd_spawn (2.39); systemd 256 and up; Go \
                  with UseCgroupFD.",
    },
    Name {
        axis: Axis::Primitive,
        name: "exec",
        meaning: "no new process: execve(2) in a process whose earlier start was over",
        looks: "An exec of a process that was ready before. It keeps its process id and its parent.",
        cost: "There is no fork to pay for; the new program's loading and linking is the whole of it.",
        sources: "A shell's `exec`, the last command of `sh -c`, wrappers that have already waited for something, \
                  servers that replace themselves on a reload.",
    },
    Name {
        axis: Axis::Primitive,
        name: "fork",
        meaning: "the system call fork(2)",
        looks: "System call 57, which only x86-64 and other old architectures have; it has no flags.",
        cost: "The parent's page tables are copied while it waits: the more memory it has, the longer.",
        sources: "musl's fork(), Rust programs linked with musl, and hand-written system calls. glibc's fork() is a \
                  clone.",
    },
    Name {
        axis: Axis::Primitive,
        name: "kernel",
        meaning: "no system call: a kernel thread made the process",
        looks: "The creator is a kernel thread (a kworker or kthreadd).",
        cost: "No process of the traced program waits for it but where the kernel does.",
        sources: "The kernel's usermode helper: modprobe, core_pattern with a pipe, request-key, the cgroup v1 \
                  release agent.",
    },
    Name {
        axis: Axis::Primitive,
        name: "vfork",
        meaning: "the system call vfork(2)",
        looks: "System call 58 on x86-64; always CLONE_VM|CLONE_VFORK. arm64 has none: there it is a clone with these \
                flags.",
        cost: "Nothing is copied, but the calling thread stands still until the child has exec'd or ended.",
        sources: "vfork() of glibc and musl, CPython's subprocess from 3.10 on, dash, Ruby when not root, the JDK up \
                  to 12.",
    },
];

pub(super) const MECHANISMS: &[Name] = &[
    Name {
        axis: Axis::Mechanism,
        name: "clone",
        meaning: "a child of a hand-written clone that does not exec",
        looks: "CLONE_VM without CLONE_VFORK or the reverse, or new namespaces with a stack of its own; no exec in its \
                start.",
        cost: "With CLONE_VM nothing is copied; new namespaces cost a few hundred microseconds and more, those of the \
               network most.",
        sources: "Sandboxes and container tools written in C, Chromium's sandbox, programs that call clone() \
                  themselves.",
    },
    Name {
        axis: Axis::Mechanism,
        name: "clone_exec",
        meaning: "a child of a hand-written clone, which then execs",
        looks: "As clone, followed by an exec.",
        cost: "As clone, and the new program's own start.",
        sources: "Sandboxes and container tools: the first process in new namespaces.",
    },
    Name {
        axis: Axis::Mechanism,
        name: "exec",
        meaning: "no new process: an exec in place after the process was ready",
        looks: "execve in a process that was ready before; the same process id, another executable.",
        cost: "The cheapest way to run another program: loading and linking it, and no creation.",
        sources: "A shell's `exec` and its last command, wrappers, servers that replace themselves.",
    },
    Name {
        axis: Axis::Mechanism,
        name: "fork",
        meaning: "a copy of the parent that goes on without an exec",
        looks: "fork, or clone without CLONE_VM, by whatever system call; the child runs the parent's code on a \
                copy-on-write copy of its memory.",
        cost: "The page tables are copied while the parent waits, and both then pay a page fault for each page that \
               either writes. In return nothing is loaded, linked or imported again.",
        sources: "os.fork and multiprocessing's fork, pre-forking servers, subshells, daemons, snapshots of \
                  databases.",
    },
    Name {
        axis: Axis::Mechanism,
        name: "fork_exec",
        meaning: "a copy of the parent, which then execs another program",
        looks: "As fork, followed by an exec that throws the copy away.",
        cost: "The parent's page tables are copied for nothing: with much memory, posix_spawn or vfork saves \
               milliseconds. Use it where the child has to do what posix_spawn cannot.",
        sources: "bash, make's older kin, subprocess up to CPython 3.9 or with preexec_fn, Node with libuv up to \
                  1.52, Perl, sudo, find, xargs.",
    },
    Name {
        axis: Axis::Mechanism,
        name: "kernel_helper",
        meaning: "a program that the kernel started itself",
        looks: "Its creator is a kernel thread, and no execve was entered.",
        cost: "A whole program for each event: modprobe and core dump handlers can be many.",
        sources: "modprobe, core_pattern with a pipe, request-key, hotplug and release agents.",
    },
    Name {
        axis: Axis::Mechanism,
        name: "posix_spawn",
        meaning: "a child on a stack of its own that shares the parent's memory until it execs",
        looks: "CLONE_VM and CLONE_VFORK, and the child's stack pointer is not the parent's: far away in glibc, which \
                maps a stack, near by in musl, which has it in the caller's frame.",
        cost: "Nothing is copied, so it costs the same with 10 MB and with 10 GB. The calling thread waits until the \
               exec. glibc up to 2.37 resets some 120 signals one by one in the child, later ones none.",
        sources: "posix_spawn(), system() and popen() of glibc (2.24 and up; 2.29 and up) and musl, Rust's Command, \
                  make 4.3 and up, the JDK from 13 on, CPython's subprocess from 3.13 on where it can.",
    },
    Name {
        axis: Axis::Mechanism,
        name: "vfork",
        meaning: "a child on the parent's memory and stack that does not exec",
        looks: "vfork(2), or a clone of the same effect, whose child only ends.",
        cost: "Little, but the parent stood still for it.",
        sources: "Trials of the kernel by libuv 1.53 and Go 1.23; a vfork whose every exec failed.",
    },
    Name {
        axis: Axis::Mechanism,
        name: "vfork_exec",
        meaning: "a child on the parent's memory and stack, which execs while the parent waits",
        looks: "vfork(2), or a clone with CLONE_VM|CLONE_VFORK on the parent's own stack, followed by an exec.",
        cost: "Nothing is copied, whatever memory the parent has; the calling thread waits until the exec, with a \
               long PATH or a slow disk the longer.",
        sources: "CPython's subprocess (3.10 to 3.12 always, later where posix_spawn cannot), Go's os/exec, dash, \
                  Ruby when not root, the JDK up to 12.",
    },
];
