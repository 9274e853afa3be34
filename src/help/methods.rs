//! How processes are started.

use super::{Topic, entries};

/// What the kernel saw, where there is no pattern.
pub(super) const MECHANISMS: &[(&str, &str)] = &[
    ("fork", "a copy of the parent that does not exec during its start"),
    ("fork_exec", "a copy of the parent, which then execs a program"),
    ("vfork", "shares the parent's memory and holds the parent up, and does not exec"),
    (
        "vfork_exec",
        "shares the parent's memory and holds the parent up until it execs: vfork, and Go's clone",
    ),
    (
        "posix_spawn",
        "the same on a stack of its own: posix_spawn of glibc and musl, and all that is built on it",
    ),
    ("clone", "a clone that is neither, such as one into new namespaces, without an exec"),
    ("clone_exec", "such a clone, which then execs a program"),
    ("exec", "no new process: a process that was through its start execs another program in place"),
    ("kernel_helper", "started by the kernel itself"),
];

pub(super) fn topic() -> Topic {
    let mut all = entries(MECHANISMS);
    all.extend(entries(&crate::method::catalogue()));
    Topic {
        name: "methods",
        title: "Methods: how a process was started",
        intro: "method.name is what it was for (method.pattern) where that is known, else what the kernel saw \
(method.mechanism). method.library is who made the call (glibc, cpython, go, bash ...). method.evidence says why, in \
words that can be checked; method.confidence is 'certain' where the kernel's facts or a library's own arguments decide, \
'likely' where nothing else known looks like this, and 'guess' otherwise.\n\n\
What the kernel saw comes first, then what it was for:",
        entries: all,
        outro: "",
    }
}

#[cfg(test)]
mod tests {
    use super::MECHANISMS;

    #[test]
    fn mechanisms_are_those_of_the_schema() {
        let schema = include_str!("../trace/schema.rs");
        for (name, _) in MECHANISMS {
            assert!(schema.contains(&format!("`{name}`")), "{name}");
        }
    }
}
