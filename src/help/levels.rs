//! How closely a recording looks.

use super::{Topic, entries};

pub(super) fn topic() -> Topic {
    Topic {
        name: "levels",
        title: "Levels: how closely a recording looks",
        intro: "--level says how closely a recording looks, and with that what it costs. Each level has all of the one \
before.",
        entries: entries(&[
            (
                "lifecycle",
                "Forks, execs and exits only: methods, and the phases up to exec. What a task waits for is not looked at, so a start \
is over at its exit, or where --ready exec, file:, tcp:, http: or a time says. The cheapest: \
starts take some 2 % longer with -a, 4 to 7 % with a command.",
            ),
            (
                "timeline",
                "The usual. Also where the time goes: phases inside the dynamic loader (with a command or -p), what \
each task waits for, the critical path, readiness, and what CPython imports where its build has static \
probes. Starts take 2 to 3 % longer with -a, which leaves the loader alone, and 10 to 13 % with a command.",
            ),
            (
                "deep",
                "Also what takes hooks on system calls: files opened and looked for, what any build of CPython \
imports, and which files of commands bash reads. Starts take 12 to 15 % longer with a command; while it records, every system call of the \
machine takes some 50 ns longer, every page fault some 80 ns, and every run of an import statement in a CPython without static probes, also of \
what is there already, some 7 us.",
            ),
        ]),
        outro: "The shares are of 552 us, a start of /bin/true on Linux 6.18 without fentry, as 'cargo xtask bench' measures them (docs/cost.md). \
Tracepoints of system calls, which slow down every one of them by those 50 ns, are used with a command where the kernel has no fentry: at lifecycle \
those of fork, vfork, clone, clone3, execve and execveat, entry and exit; at timeline also the exit of connect. With -p, -a and selectors there are \
none, but for --syscall-hooks and --ready output. At deep there are those of opens, stat, access, write and connect in any case.\n\n\
From timeline on, every wake-up of the machine takes some 50 ns longer for the first second, while a start is under way, and a second more; every context switch does at \
any level, while it records.\n\n\
Beside the level there are --library-probes (phases inside the loader also with -a and selectors), \
--syscall-hooks (exact entries into fork and exec, and failed ones, where the kernel allows no other way) and --profile HZ \
(which functions ran). 'startrace record --dry-run' names the hooks of a recording and what they cost.",
    }
}
