//! Container runtimes, their monitors, and sandboxes.

use super::argv::first_word;
use super::kernel::{Mechanism, flag};
use super::rule::{Fit, Rule, fits};
use super::view::View;
use crate::trace::schema::Confidence::Likely;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "containers.init",
        doc: "the first process of a container, or a stage on the way to it",
        library: None,
        pattern: Some("container.init"),
        confidence: Likely,
        weight: 88,
        evidence: "made by the container runtime {parent} on its way into a new container ({subject})",
        when: |v| stage(v, "container.init"),
    },
    Rule {
        name: "containers.exec",
        doc: "a process added to a container, or a stage on the way to it",
        library: None,
        pattern: Some("container.exec"),
        confidence: Likely,
        weight: 88,
        evidence: "made by the container runtime {parent} on its way into a container that exists ({subject})",
        when: |v| stage(v, "container.exec"),
    },
    Rule {
        name: "containers.conmon",
        doc: "made by podman's and CRI-O's monitor",
        library: None,
        pattern: Some("conmon"),
        confidence: Likely,
        weight: 86,
        evidence: "run by {parent}, the container monitor that podman and CRI-O start programs through",
        when: |v| {
            let monitored =
                v.creation().is_some() && v.execed() && matches!(v.parent.name, "conmon" | "conmonrs");
            monitored.then_some(Fit::at_most(v.parent.name_trust()))
        },
    },
    Rule {
        name: "containers.shim",
        doc: "made by containerd's shim",
        library: None,
        pattern: Some("containerd_shim"),
        confidence: Likely,
        weight: 86,
        evidence: "run by {parent}, the shim that containerd starts programs through",
        when: |v| {
            let shim = v.parent.name.starts_with("containerd-shim");
            let other = !v.image.same_file(&v.parent);
            let shimmed = v.creation().is_some() && v.execed() && shim && other;
            shimmed.then_some(Fit::at_most(v.parent.name_trust()))
        },
    },
    Rule {
        name: "containers.bwrap",
        doc: "made by bubblewrap",
        library: Some("bwrap"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "made by {parent} into new namespaces",
        when: |v| {
            let sandbox = v.parent.name == "bwrap" && v.any_flag(flag::NAMESPACES);
            fits(sandbox && (v.made_by(Mechanism::Fork) || v.made_by(Mechanism::Clone)))
        },
    },
    Rule {
        name: "containers.runc",
        doc: "made by runc",
        library: Some("runc"),
        pattern: None,
        confidence: Likely,
        weight: 23,
        evidence: "made by {parent}, which is runc",
        when: |v| {
            let runc = v.creation().is_some() && runtime(v) == Some("runc");
            fits(runc && (stage(v, "container.init").is_some() || stage(v, "container.exec").is_some()))
        },
    },
];

/// The container runtime that made it. runc and crun run from a sealed copy of themselves in memory.
fn runtime<'a>(v: &View<'a>) -> Option<&'a str> {
    let path = v.parent.path().trim_start_matches('/');
    if path.starts_with("memfd:runc_cloned") {
        return Some("runc");
    }
    if path.starts_with("memfd:crun") {
        return Some("crun");
    }
    match v.parent.name {
        "docker-runc" => Some("runc"),
        name @ ("runc" | "crun" | "youki" | "runsc" | "lxc-start" | "lxc-attach" | "systemd-nspawn"
        | "starter-suid" | "starter") => Some(name),
        _ => None,
    }
}

/// What the runtime was asked to do, and whether this process is a step of it: the runtime again as
/// `init`, or in new namespaces, or a sibling made for the runtime's own parent.
fn stage<'a>(v: &View<'a>, wanted: &str) -> Option<Fit<'a>> {
    v.creation()?;
    let runtime = runtime(v)?;
    let verb = first_word(
        v.parent.argv(),
        &["--log", "--log-format", "--root", "--criu", "--rootless", "--cgroup-manager"],
    );
    let (pattern, subject) = match verb {
        // A stage made by an earlier stage: `runc init` itself does not say which it is.
        Some("init") => match v.parent_pattern()? {
            p @ ("container.init" | "container.exec") => (p, "after runc init"),
            _ => return None,
        },
        Some(verb @ ("run" | "create" | "restore" | "boot" | "start")) => ("container.init", verb),
        Some(verb @ "exec") => ("container.exec", verb),
        _ => match runtime {
            "lxc-start" | "systemd-nspawn" | "starter" | "starter-suid" => ("container.init", runtime),
            "lxc-attach" => ("container.exec", runtime),
            _ => return None,
        },
    };
    let again = v.first_argv().get(1).is_some_and(|a| a == "init");
    let step = verb == Some("init")
        || again
        || v.any_flag(flag::NAMESPACES | flag::PARENT)
        || v.creation().is_some_and(|c| c.new_pid_namespace)
        || runtime == "lxc-attach";
    (step && pattern == wanted).then_some(Fit::at_most(v.parent.name_trust()).about(subject))
}
