//! Words of a trace that are closed lists.

/// All phases of a start, in their order.
pub const PHASES: [&str; 9] =
    ["unobserved", "fork", "schedule", "setup", "exec", "load", "link", "init", "app"];

/// States that have a name of their own; any other is `other:SYSCALL`.
pub const STATES: [&str; 23] = [
    "creating",
    "running",
    "runnable",
    "exited",
    "unknown",
    "child",
    "vfork",
    "disk",
    "page_fault",
    "pipe",
    "futex",
    "lock",
    "sleep",
    "poll",
    "network",
    "dns",
    "unix_socket",
    "tty",
    "stopped",
    "throttled",
    "memory",
    "random",
    "device",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_that_there_are() {
        use crate::event::task::WaitKind;
        let mut known = vec!["creating", "running", "exited", "unknown"];
        known.extend(WaitKind::ALL.iter().map(|kind| kind.name()).filter(|name| *name != "other"));
        let mut told = STATES.to_vec();
        known.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, known);
    }
}
