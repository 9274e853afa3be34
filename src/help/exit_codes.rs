//! What the exit status says.

use super::{Topic, entries};

pub(super) fn topic() -> Topic {
    Topic {
        name: "exit-codes",
        title: "Exit status",
        intro: "'record -- CMD' and 'watch -- CMD' end as CMD does: with its own status, 128 and the signal's number \
where one ended it, 126 where it cannot be executed, 127 where it is not found. Otherwise:",
        entries: entries(&[
            (
                "0",
                "Success; also after Ctrl-C without a CMD, when the reader of a pipe has gone, and with \
--stop-when-ready or --kill-when-ready where it was ready.",
            ),
            (
                "1",
                "Anything else; 'report': --starts, --exe, --method and --slower-than pick nothing; with --stop-when-ready \
and --kill-when-ready: not ready within --window.",
            ),
            ("2", "The command line is wrong."),
            ("3", "'diff --fail-if-slower': slower. 'check': over budget."),
            ("4", "The same two: too few samples, or a trace that cannot tell."),
            ("77", "Privileges or the kernel do not allow it: 'startrace doctor' says more."),
            (
                "125",
                "startrace itself failed, and there was a CMD to run. With --best-effort CMD runs all the same.",
            ),
        ]),
        outro: "",
    }
}
