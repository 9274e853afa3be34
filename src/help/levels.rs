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
is over at its exit, or where --ready exec, file:, tcp:, http: or a time says. The cheapest.",
            ),
            (
                "timeline",
                "The usual. Also where the time goes: phases inside the dynamic loader (with a command or -p), what \
each task waits for, the critical path, readiness, and what CPython imports where its build has static probes.",
            ),
            (
                "deep",
                "Also what takes hooks on system calls: files opened and looked for, and what any build of CPython \
imports. While it records, every system call of the machine takes some 50 ns longer.",
            ),
        ]),
        outro: "Beside the level there are --library-probes (phases inside the loader also with -a and selectors), \
--syscall-hooks (exact entries into fork and exec, and failed ones, where the kernel allows no other way) and --profile HZ \
(which functions ran). 'startrace record --dry-run' names the hooks of a recording and what they cost.",
    }
}
