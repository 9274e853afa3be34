//! The states of a task.

use super::{Topic, entries};

pub(super) fn topic() -> Topic {
    Topic {
        name: "states",
        title: "States: what a task did, or waited for",
        intro: "timeline.states puts every nanosecond of a start's main thread into one state; timeline.critical_path \
does so with the task that everything else waited for at that moment. Both add up to duration_ns. A wait of 100 us or \
more is told singly in timeline.waits, with its system call, what it was for, and who ended it.",
        entries: entries(&[
            ("creating", "There is no task yet: the phase fork."),
            ("running", "On a CPU."),
            (
                "runnable",
                "It could run, and waits for a CPU. The wait says who had it last, and for how much of the wait. Long where there is more to do than there \
are CPUs.",
            ),
            ("exited", "The main thread has ended, the process lives on in other threads."),
            ("unknown", "Not observed: before the recording began, or lost (session.lost)."),
            ("child", "For a child process to end (wait4, waitid and their kin)."),
            (
                "vfork",
                "For a vfork or posix_spawn: the parent stands still until the child has its own image.",
            ),
            ("disk", "For a disk, within a system call that reads or writes."),
            (
                "page_fault",
                "For a page of memory that has to be read in first, such as a program's text from the disk.",
            ),
            ("pipe", "For the other end of a pipe: for data, or for room."),
            ("futex", "For another thread or process, at a lock or a condition in user space."),
            ("lock", "For a lock on a file (flock, fcntl)."),
            ("sleep", "It asked for a time and waits for its end."),
            ("poll", "For any of several descriptors, in poll, select or epoll_wait."),
            ("network", "For a peer on the network: a connection, an answer, room to send."),
            ("dns", "For the answer of a name server."),
            ("unix_socket", "For a process on the same machine, at the other end of a unix socket."),
            ("tty", "For a terminal: for somebody to type, mostly."),
            ("stopped", "Stopped by job control, or by a tracer."),
            ("throttled", "Its cgroup has used up its CPU quota for this period."),
            ("memory", "For memory that the kernel has to take from others first (reclaim)."),
            ("random", "For random numbers, early after boot."),
            ("device", "For a device that is none of the above."),
            (
                "other:SYSCALL",
                "In a system call that is none of the above, named; other:kernel where it was in none.",
            ),
        ]),
        outro: "",
    }
}
