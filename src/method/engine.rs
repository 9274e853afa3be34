//! Runs the rules over one start, weighs what they say, and writes the reasons down.

use super::facts::{Facts, FdKind};
use super::kernel::{self, Mechanism, flag, flag_names, signal_name};
use super::names::UNOBSERVED;
use super::program::Program;
use super::rule::{Fit, Rule};
use super::view::{View, mask, signal};
use super::{
    containers, go, jvm, libc, node, perl, php, python, ruby, rust_std, servers, shape, shells, systemd,
    tools,
};
use crate::sort::SortSmall;
use crate::trace::schema::{Confidence, Method};
use std::fmt::Write as _;

/// Every family. Order matters only between rules of one weight and confidence: the first wins.
const FAMILIES: &[&[Rule]] = &[
    python::RULES,
    libc::RULES,
    node::RULES,
    go::RULES,
    rust_std::RULES,
    jvm::RULES,
    ruby::RULES,
    perl::RULES,
    php::RULES,
    shells::RULES,
    tools::RULES,
    servers::RULES,
    containers::RULES,
    systemd::RULES,
    kernel::RULES,
    shape::RULES,
];

/// The longest text of a traced process that goes into one sentence.
const CLIP: usize = 160;
/// Other readings that the evidence tells of.
const OTHERS: usize = 2;

pub(super) fn all() -> impl Iterator<Item = &'static Rule> {
    FAMILIES.iter().flat_map(|f| f.iter())
}

struct Claim<'a> {
    rule: &'static Rule,
    fit: Fit<'a>,
    library: Option<&'static str>,
    confidence: Confidence,
}

impl Claim<'_> {
    /// What is at least likely comes first; there, the rule that looks at more of the start wins.
    fn rank(&self) -> (bool, u8, Confidence) {
        (self.confidence >= Confidence::Likely, self.rule.weight, self.confidence)
    }
}

/// The best claim; of equals, the first.
fn best<'c, 'a>(claims: &'c [Claim<'a>], of: impl Fn(&Claim<'a>) -> bool) -> Option<&'c Claim<'a>> {
    claims.iter().filter(|c| of(c)).reduce(|a, b| if b.rank() > a.rank() { b } else { a })
}

/// `cpython.subprocess` says more than `cpython`, and does not gainsay it.
fn refines(own: &Claim<'_>, other: &Claim<'_>) -> bool {
    own.library
        .zip(other.library)
        .and_then(|(own, other)| own.strip_prefix(other))
        .is_some_and(|rest| rest.starts_with('.'))
}

/// Names the method of one start.
///
/// Pure and total: any facts give a method, with at least one sentence of evidence. The confidence
/// is that of the least sure part of what is named, pattern and library alike; with neither, the
/// mechanism is the name and the kernel's facts decide it.
pub fn classify(facts: &Facts) -> Method {
    let view = View::new(facts);
    let unobserved = view.axis.mechanism.is_none();
    let claims = claims(&view, unobserved);
    let pattern = best(&claims, |c| c.rule.pattern.is_some());
    let own = pattern.filter(|p| p.library.is_some());
    let other = best(&claims, |c| c.library.is_some());
    let library = match (own, other) {
        (Some(own), Some(other)) if other.rank().0 <= own.rank().0 || refines(own, other) => Some(own),
        (_, other) => other,
    };

    let clone_flags = facts.creation.as_ref().map_or_else(Vec::new, |c| flag_names(c.flags));
    let mechanism = view.axis.mechanism_name();
    let base = if unobserved { Confidence::Guess } else { view.axis.sure };
    let confidence = match (pattern, library) {
        (None, None) => base,
        (p, l) => {
            let named = p.into_iter().chain(l).map(|c| c.confidence);
            let sure = if unobserved { Confidence::Certain } else { base };
            named.fold(sure, Ord::min)
        }
    };
    let evidence = evidence(&view, &claims, pattern, library, &clone_flags);
    let pattern_name = pattern.and_then(|c| c.rule.pattern);
    Method {
        name: pattern_name.or(mechanism).unwrap_or(UNOBSERVED).to_owned(),
        primitive: view.axis.primitive.map(str::to_owned),
        mechanism: mechanism.map(str::to_owned),
        library: library.and_then(|c| c.library).map(str::to_owned),
        pattern: pattern_name.map(str::to_owned),
        confidence,
        evidence,
        clone_flags,
        exit_signal: facts.creation.as_ref().and_then(|c| signal_name(c.exit_signal)),
    }
}

fn claims<'a>(view: &View<'a>, unobserved: bool) -> Vec<Claim<'a>> {
    let mut claims = Vec::with_capacity(8);
    if view.axis.mechanism == Some(Mechanism::KernelHelper) {
        return claims;
    }
    for rule in all() {
        let Some(fit) = (rule.when)(view) else {
            continue;
        };
        let mut confidence = rule.confidence.min(fit.cap);
        if unobserved {
            // Arguments alone, with nothing seen of who made the process and how.
            confidence = confidence.min(Confidence::Likely);
        }
        claims.push(Claim { rule, fit, library: fit.library.or(rule.library), confidence });
    }
    claims
}

fn evidence(
    view: &View<'_>,
    claims: &[Claim<'_>],
    pattern: Option<&Claim<'_>>,
    library: Option<&Claim<'_>>,
    flags: &[String],
) -> Vec<String> {
    let mut out = Vec::with_capacity(6);
    kernel::evidence(view.facts, &view.axis, flags, &mut out);
    if view.parent.image.is_some() && !view.made_by(Mechanism::KernelHelper) {
        let mut line = String::with_capacity(80);
        line.push_str(if view.made_by(Mechanism::Exec) { "image replaced: " } else { "parent image " });
        describe(&view.parent, &mut line);
        if view.parent.is_unread() && view.parent.image.is_some_and(|i| i.exe.is_some()) {
            line.push_str(", known by its name alone: its file was out of reach");
        }
        out.push(line);
    }
    let mut others: Vec<&Claim<'_>> = Vec::new();
    if let Some(chosen) = pattern {
        out.push(render(chosen, view));
        others = claims
            .iter()
            .filter(|c| c.confidence >= Confidence::Likely)
            .filter(|c| c.rule.pattern.is_some() && c.rule.pattern != chosen.rule.pattern)
            .collect();
        others.sort_small_by_key(|c| std::cmp::Reverse(c.rank()));
        others.truncate(OTHERS);
    }
    // Each reason once: the library's own, unless it is the pattern's or another reading's.
    let told = |rule: &str| pattern.into_iter().chain(others.iter().copied()).any(|c| c.rule.name == rule);
    if let Some(claim) = library.filter(|l| !told(l.rule.name)) {
        out.push(render(claim, view));
    }
    for other in others {
        let name = other.rule.pattern.unwrap_or_default();
        out.push(format!("would also be {name}: {}", render(other, view)));
    }
    out
}

/// Text of a traced process, of bounded length.
pub(super) fn clip(text: &str, out: &mut String) {
    if text.len() <= CLIP {
        out.push_str(text);
        return;
    }
    let mut end = CLIP;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    out.push_str(text.get(..end).unwrap_or_default());
    out.push_str("...");
}

fn describe(program: &Program<'_>, out: &mut String) {
    clip(program.path(), out);
    if let Some(runtime) = program.image.and_then(|i| i.runtime.as_deref()) {
        out.push_str(" (");
        clip(runtime, out);
        out.push(')');
    } else if program
        .image
        .and_then(|i| i.exe.as_deref())
        .is_some_and(|e| !program.name.is_empty() && super::program::base(e) != program.name)
    {
        out.push_str(" (as ");
        clip(program.name, out);
        out.push(')');
    }
}

/// A rule's evidence with the values of this start.
fn render(claim: &Claim<'_>, view: &View<'_>) -> String {
    let mut out = String::with_capacity(160);
    let mut rest = claim.rule.evidence;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        fill(name, claim, view, &mut out);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Writing to a `String` cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

fn fill(name: &str, claim: &Claim<'_>, view: &View<'_>, out: &mut String) {
    let facts = view.facts;
    let (child, siblings) = (&facts.child, &facts.siblings);
    match name {
        "parent" => describe(&view.parent, out),
        "image" => describe(&view.image, out),
        "first" => describe(&view.first_image, out),
        "subject" => clip(claim.fit.subject, out),
        "chain" => tools::chain(view, out),
        "argv" => clip(&view.first_shown().join(" "), out),
        "mask" => {
            let blocked = view.blocked().unwrap_or_default();
            put!(out, "{blocked:#x}");
            if let Some(words) = mask::words(blocked) {
                put!(out, " ({words})");
            }
        }
        "siblings" => put!(out, "{}", siblings.execless),
        "peak" => put!(out, "{}", siblings.execless_peak),
        "long" => put!(out, "{}", siblings.execless_long_lived),
        "written" => put!(out, "{}", child.written_bytes.unwrap_or_default()),
        "exit_after" => {
            let ns = child.creator_exited_after_ns.unwrap_or_default();
            put!(out, "{}.{:03} ms", ns / 1_000_000, ns / 1_000 % 1_000);
        }
        "leader" => {
            if facts.creation.as_ref().is_some_and(|c| c.parent_session_leader) {
                out.push_str(" and led a new session");
            }
        }
        "namespaces" => {
            let flags = facts.creation.as_ref().map_or(0, |c| c.flags) & flag::NAMESPACES;
            match flag_names(flags) {
                names if names.is_empty() => out.push_str("its PID namespace is a new one"),
                names => out.push_str(&names.join("|")),
            }
        }
        "pidfd" => {
            if view.flags(flag::PIDFD) {
                out.push_str(", 1.23 or later by CLONE_PIDFD");
            }
        }
        "peer" => {
            if let Some(p) = &facts.peer {
                let us = p.age_ns / 1_000;
                put!(out, ", {us} us after it read the socket of process {}", p.pid);
            }
        }
        "pipes" => match facts.creation.as_ref().and_then(|c| c.fresh_pipes) {
            Some(n) => put!(out, "{n} pair(s) of pipe ends"),
            None => out.push_str("pipes not seen"),
        },
        "stdin" => {
            if child.null_on_pipe == Some(true) {
                out.push_str(", and the child has opened /dev/null for its sys.stdin");
            }
        }
        "sigpipe" => out.push_str(match view.child_ignores(signal::PIPE) {
            Some(false) => "SIGPIPE ignored in Python and put back in the child, as subprocess does",
            _ => "which subprocess uses where it can from 3.13 on",
        }),
        "popen" => out.push_str(if view.new_pipe(1) == Some(true) {
            "its stdout a new pipe"
        } else if view.new_pipe(0) == Some(true) {
            "its stdin a new pipe"
        } else {
            "INT and QUIT not ignored in the caller"
        }),
        "pipes01" => out.push_str(match (view.new_pipe(0), view.new_pipe(1)) {
            (Some(true), Some(true)) => "stdin and stdout are pipes,",
            (Some(true), _) => "stdin is a pipe,",
            (_, Some(true)) => "stdout is a pipe,",
            _ => "stdin or stdout is a pipe,",
        }),
        "mates" => {
            if siblings.pipe_mates > 0 {
                put!(out, ", shared with {} sibling(s)", siblings.pipe_mates);
            }
        }
        "background" => {
            let both = view.child_ignores(signal::INT) == Some(true)
                && view.child_ignores(signal::QUIT) == Some(true);
            out.push_str(if both {
                "INT and QUIT are ignored in it and not in the shell"
            } else if view.job_group() == (Some(true), Some(false)) {
                "it has a process group of its own, which is not the terminal's foreground one"
            } else {
                "its stdin is /dev/null and the shell's is not"
            });
        }
        "fd3" => {
            if view.first.is_some_and(|e| e.fd3.kind == FdKind::Socket) {
                out.push_str(", descriptor 3 a socket");
            }
        }
        "self" => {
            let path = facts.execs.iter().find_map(|e| e.path.as_deref());
            if path == Some("/proc/self/exe") {
                out.push_str(", by /proc/self/exe");
            }
        }
        other => debug_assert!(false, "no value for {{{other}}}"),
    }
}
