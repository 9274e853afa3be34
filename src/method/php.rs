//! PHP. `exec`, `shell_exec`, `system`, `passthru` and `popen` are libc's popen and are named so;
//! `proc_open` and `pcntl_fork` are PHP's own.

use super::kernel::Mechanism;
use super::libc::is_libc_command;
use super::program::Kind;
use super::rule::{Fit, Rule};
use crate::trace::schema::Confidence::Likely;

pub(super) const RULES: &[Rule] = &[
    Rule {
        name: "php.proc_open",
        doc: "proc_open: fork and exec up to PHP 8.3",
        library: Some("php"),
        pattern: None,
        confidence: Likely,
        weight: 21,
        evidence: "fork and exec by PHP: proc_open ({parent})",
        when: |v| {
            let trust = v.parent_is(Kind::Php)?;
            (v.made_by(Mechanism::Fork) && v.meant_to_exec()).then_some(Fit::at_most(trust))
        },
    },
    Rule {
        name: "php.other",
        doc: "pcntl_fork, php-fpm's workers, proc_open by posix_spawn (8.4)",
        library: Some("php"),
        pattern: None,
        confidence: Likely,
        weight: 20,
        evidence: "the caller is PHP: {parent}",
        when: |v| {
            let trust = v.parent_is(Kind::Php)?;
            let popen = v.made_by(Mechanism::PosixSpawn) && is_libc_command(v);
            (v.axis.mechanism.is_some() && !popen).then_some(Fit::at_most(trust))
        },
    },
];
