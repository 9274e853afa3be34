//! What a report says, for machines: one JSON object.

use super::digest::{Digest, End, Row};
use super::{View, headline};
use crate::sort::SortSmall;
use crate::trace::json;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Slowest starts, unless more or fewer are asked for.
const SLOWEST: usize = 20;

/// Writes the report of a trace as JSON: verdict, findings, totals by method, and the slowest start of each
/// kind (the same command, numbers aside, by the same method) with its own findings.
///
/// # Errors
/// `out` cannot be written.
pub fn write(digest: &Digest, view: View, out: &mut dyn Write) -> io::Result<()> {
    let most = view.top.unwrap_or(if view.all { usize::MAX } else { SLOWEST });
    let mut rows: Vec<(u32, &Row)> = (0u32..).zip(&digest.rows).collect();
    rows.retain(|(place, _)| digest.notes.contains_key(place));
    rows.sort_small_by_key(|(_, row)| (std::cmp::Reverse(row.duration), row.origin, row.pid));
    let slowest: Vec<Value> =
        rows.into_iter().take(most).map(|(place, row)| start(digest, place, row)).collect();
    let session = digest.session.as_ref();
    let findings: Vec<_> = digest.diagnosis.findings.iter().take(view.top.unwrap_or(usize::MAX)).collect();
    let report = json!({
        "verdict": digest.verdict.join(" "),
        "headline": headline(digest),
        "complete": digest.cut_off.is_none() && session.is_some_and(|session| session.complete),
        "cut_off": digest.cut_off,
        "starts": digest.rows.len(),
        "starts_in_all": digest.picked_of.unwrap_or(digest.rows.len() as u64),
        "matches_nothing": digest.missed().and_then(|missed| {
            if digest.picks_nothing() { Some(missed.nothing()) } else { missed.said() }
        }),
        "failed": digest.rows.iter().filter(|row| digest.is_failed(row)).count(),
        "unfinished": digest.rows.iter().filter(|row| digest.is_unfinished(row)).count(),
        "findings": findings,
        "findings_of": match (digest.picked_of, digest.found_of_picked) {
            (Some(_), true) => "picked",
            _ => "all",
        },
        "not_examined": digest.diagnosis.not_examined,
        "slowest": slowest,
        "groups": digest.groups,
        "session": digest.session,
    });
    out.write_all(&json::pretty(&report)?)
}

fn start(digest: &Digest, place: u32, row: &Row) -> Value {
    let note = digest.notes.get(&place);
    let path = note.map(|note| note.path_ns.iter().map(|(state, ns)| (state.clone(), json!(ns))));
    let (code, signal) = match row.end {
        End::None => (None, None),
        End::Code(code) => (Some(code), None),
        End::Signal(signal) | End::Told(signal) => (None, Some(digest.text(signal))),
    };
    json!({
        "start_id": note.map(|note| &note.start_id),
        "pid": row.pid,
        "command": digest.text(row.label),
        "method": digest.text(row.method),
        "duration_ns": row.duration,
        "ready": digest.text(row.ready),
        "code": code,
        "signal": signal,
        "path_ns": path.map(Iterator::collect::<serde_json::Map<String, Value>>),
        "findings": note.map(|note| &note.findings),
    })
}
