//! When a start is over.

use super::{Topic, entries};

pub(super) fn topic() -> Topic {
    Topic {
        name: "readiness",
        title: "Readiness: when a start is over",
        intro: "A start goes from the entry into fork (or exec) until it is ready. What that is, --ready says; the trace \
has it in timeline.ready, with 'inferred' where it was concluded rather than seen, and everything else that was noticed \
on the way in timeline.milestones. Several: --ready listen --ready nginx=accept gives executables their own.",
        entries: entries(&[
            (
                "auto",
                "The usual: READY=1 where NOTIFY_SOCKET is set; else the first wait for clients on a listening socket \
(accept); else quiet; else its exit. Of a start with processes below it, any of them counts.",
            ),
            ("listen", "A socket listens: a client could connect from now on."),
            (
                "accept",
                "It waits for clients, in accept or in poll, select or epoll_wait on a listening socket.",
            ),
            ("notify", "It tells READY=1 to the service manager, as sd_notify(3) does."),
            ("output", "It writes to its standard output or error."),
            ("output:REGEX", "It writes there something that the pattern matches."),
            ("file:PATH", "That file appears, or is written anew."),
            ("mark:NAME", "It writes @NAME to /proc/self/comm: a mark that needs no library."),
            (
                "quiet",
                "It and all below it rest for a second (--quiet-for): hardly any CPU time, no new process, no wait for \
disk or CPU. It was ready when the rest began. A conclusion: a program that waits for an answer may look the same.",
            ),
            ("exit", "It ends. That is the readiness of every start that ends before anything else."),
            ("exec", "Its first exec: how long until the program is there, and no more."),
            ("TIME", "That time after its beginning, such as 500ms."),
            (
                "http://HOST:PORT/PATH",
                "An HTTP request from outside is answered with a status from 200 to 399.",
            ),
            ("tcp:PORT", "A connection from outside is accepted."),
        ]),
        outro: "'timeout' in a trace means that the window (--window) or the recording ended first; the detail says \
what the start was waiting for at that moment.",
    }
}
