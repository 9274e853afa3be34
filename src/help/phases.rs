//! The phases of a start.

use super::{Topic, entries};

pub(super) fn topic() -> Topic {
    Topic {
        name: "phases",
        title: "Phases: how far a start had got",
        intro: "Every start is divided into phases. They follow each other without a gap and add up to duration_ns, to \
the nanosecond. Each is absent where it did not happen; where a marker is missing, its phase is part of the one before.\n\n\
In order:",
        entries: entries(&[
            (
                "unobserved",
                "From the recording's beginning until the first event seen of it. It is there only where the \
recording began in the middle of the start (partial).",
            ),
            (
                "fork",
                "From the entry into fork, vfork, clone or clone3 until the child is runnable: the kernel copies the \
parent. Long where the parent has much memory: posix_spawn or vfork copy none of it.",
            ),
            (
                "schedule",
                "Until the child runs for the first time. Long where all CPUs are busy, or the cgroup has no quota left.",
            ),
            (
                "setup",
                "Until the entry into the exec that succeeds: what the child does before it becomes the new program \
(descriptors, signals, users), and every exec that fails on the way through PATH.",
            ),
            (
                "exec",
                "From the entry into exec until the new image is in place. Long where the file has to be read from a \
slow disk, or another thread of the process has to be waited for.",
            ),
            (
                "load",
                "From the new image until the dynamic loader begins to map libraries: the kernel hands over, and the \
loader relocates itself. With musl: all that the loader does.",
            ),
            (
                "link",
                "Until all libraries are found, mapped and relocated (glibc). Long where there are many, where they are \
looked for in many folders, or where there are many relocations.",
            ),
            (
                "init",
                "Until __libc_start_main: the constructors of the libraries (glibc). With musl a few microseconds: it \
runs them later, in app.",
            ),
            (
                "app",
                "The program's own code until the start is over: for a fork without exec from its first run on. What is \
known of it stands in the report: states, imports, files, the critical path.",
            ),
        ]),
        outro: "A wrapper's image has its own exec to app; each phase after an exec says by 'exec' which of 'execs' it \
belongs to. Static programs, and those whose loader could not be probed (session.hooks_missing; also where it lies in a mount that was made \
for another root, which could then not be unmounted), have neither load nor \
link nor init: that time is in app. So it is with -a and selectors without --library-probes, and at --level lifecycle.",
    }
}
