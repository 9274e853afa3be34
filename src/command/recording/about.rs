//! What the session says of a recording.

use super::Live;
use super::begin::Began;
use crate::level::Level;
use crate::probe::Lost;
use crate::redact::Redactor;
use crate::trace::schema::{Session, Target};
use crate::trace::text::encode;
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// A command as the session has it.
pub(in crate::command) fn shown(argv: &[OsString], redactor: Option<&Redactor>) -> Vec<String> {
    let argv: Vec<String> = argv.iter().map(|arg| encode(arg.as_bytes())).collect();
    match redactor.and_then(|redactor| redactor.argv(&argv)) {
        Some(redacted) => redacted.argv,
        None => argv,
    }
}

/// What is known of a recording from its beginning on.
pub(super) struct About {
    pub(super) mode: &'static str,
    pub(super) target: Target,
    pub(super) level: Level,
    pub(super) env_source: Option<&'static str>,
    pub(super) began: Began,
    pub(super) unsettled: u64,
    pub(super) redacts: bool,
}

impl About {
    /// The recording as it is, or would be, at its end.
    pub(super) fn session(&self, live: &mut Live<'_>, ended_ns: u64, ended_by: &str) -> Session {
        let lost = losses(live, self.unsettled);
        Session {
            mode: self.mode.to_owned(),
            target: self.target.clone(),
            level: self.level.name().to_owned(),
            env_source: self.env_source.map(str::to_owned),
            started_at: humantime::format_rfc3339_nanos(self.began.wall()).to_string(),
            duration_ns: ended_ns.saturating_sub(self.began.ns),
            ended_by: ended_by.to_owned(),
            complete: live.failure.is_none() && is_complete(&lost),
            lost,
            hooks: live.probe.hooks(),
            hooks_missing: live.probe.hooks_missing(),
            not_observed: Some(live.probe.not_observed().to_vec()),
            redacted: self.redacts.then_some(live.builder.redacted),
            starts: live.starts,
            left_out: live.left_out,
            runs: Vec::new(),
        }
    }
}

/// All counters of what was missed.
fn losses(live: &mut Live<'_>, seeding_unsettled: u64) -> Lost {
    let mut lost = live.probe.lost();
    lost.insert("late_events".to_owned(), live.order.late);
    lost.insert("exits_unseen".to_owned(), live.builder.missed.exits);
    lost.insert("forks_unseen".to_owned(), live.builder.missed.forks);
    lost.insert("execs_dropped".to_owned(), live.builder.missed.execs);
    lost.insert("paths_cut".to_owned(), live.builder.missed.paths);
    lost.insert("aside_unread".to_owned(), crate::host::scratch::unread());
    lost.insert("seeding_unsettled".to_owned(), seeding_unsettled);
    lost
}

/// Events out of order were still taken, and a byte count repeats another counter; all else is loss.
fn is_complete(lost: &Lost) -> bool {
    lost.iter().all(|(name, &n)| n == 0 || matches!(name.as_str(), "late_events"))
}

/// A signal as the session has it.
pub(super) fn signal_word(signal: i32) -> &'static str {
    match signal {
        libc::SIGINT => "SIGINT",
        libc::SIGTERM => "SIGTERM",
        libc::SIGHUP => "SIGHUP",
        _ => "signal",
    }
}
