//! The JDK's ProcessBuilder.

use super::argv::is_jspawnhelper;
use super::kernel::Mechanism;
use super::program::Kind;
use super::rule::{Fit, Rule};
use super::view::{View, mask};
use crate::trace::schema::Confidence::{Certain, Likely};

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "jvm.jspawnhelper",
        doc: "ProcessBuilder by way of the JDK's jspawnhelper (13 and up)",
        library: Some("jdk"),
        pattern: Some("jspawnhelper"),
        confidence: Certain,
        weight: 90,
        evidence: "first image {first} with argv `{argv}`, the JDK's helper, by posix_spawn; then the program itself",
        when: by_helper,
    },
    Rule {
        name: "jvm.childproc",
        doc: "ProcessBuilder by vfork or fork, from a thread that blocks QUIT",
        library: Some("jdk"),
        pattern: None,
        confidence: Likely,
        weight: 21,
        evidence: "by a thread of a JVM, signal mask {mask}: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Jvm)?;
            let own = v.creation()?.by_thread && v.masked(mask::JVM);
            own.then_some(Fit::at_most(trust))
        },
    },
    Rule {
        name: "jvm.other",
        doc: "any creation by a JVM",
        library: Some("jdk"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the caller is a JVM: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Jvm)?;
            v.axis.mechanism?;
            Some(Fit::at_most(trust))
        },
    },
];

/// Certain where the creator's ELF file is a JVM's and the helper is that JDK's own.
fn by_helper<'a>(v: &View<'a>) -> Option<Fit<'a>> {
    if v.first_image.name != "jspawnhelper" || !is_jspawnhelper(v.first_argv()) {
        return None;
    }
    let jdk = |path: &'a str, tail: &str| path.strip_suffix(tail);
    let home = jdk(v.parent.path(), "/bin/java");
    let same = home.is_some() && home == jdk(v.first_image.path(), "/lib/jspawnhelper");
    let spawned = v.made_by(Mechanism::PosixSpawn) && v.masked(mask::ALL);
    let cap = match v.parent_is(Kind::Jvm) {
        Some(trust) if same && spawned => trust.max(Likely),
        _ => Likely,
    };
    Some(Fit::at_most(cap))
}
