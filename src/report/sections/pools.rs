//! Starts that belong together.

use super::super::digest::{Digest, Row};
use super::super::style::{Style, wrap};
use super::{MAX_ROWS, heading, more, within};
use crate::hash::HashSet;
use crate::trace::schema::Group;
use crate::words::human;
use crate::words::intern::Sym;
use crate::words::label;
use std::io::{self, Write};

/// Starts that belong together.
pub(crate) fn pools(digest: &Digest, all: bool, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    if digest.groups.is_empty() {
        return Ok(());
    }
    heading(style, "Pools", out)?;
    let shown = if all { digest.groups.len() } else { digest.groups.len().min(MAX_ROWS) };
    // As the verdict says it.
    let ends = |row: &&Row| row.ready == digest.exit_kind || digest.is_unfinished(row);
    let ready: HashSet<Sym> = digest.rows.iter().filter(|row| !ends(row)).map(|row| row.method).collect();
    let ready: HashSet<&str> = ready.into_iter().map(|method| digest.text(method)).collect();
    for group in digest.groups.iter().take(shown) {
        let id = group.parent.as_deref().or(group.parent_id.as_deref());
        let of = id
            .and_then(|id| id.split('@').next())
            .map(|pid| format!(" of pid {}", label::harmless(pid, 10)))
            .unwrap_or_default();
        let text = format!(
            "{} × {}{of}: {}",
            human::count(group.n),
            label::harmless(&group.method, 60),
            times(group, if ready.contains(&*group.method) { "ready" } else { "done" })
        );
        for line in wrap(style, &text, "  ", "    ") {
            writeln!(out, "{line}")?;
        }
    }
    more(digest.groups.len() - shown, style, out)
}

/// What is known of a pool's times: nothing of those that had not ended.
fn times(group: &Group, done: &str) -> String {
    let who = match group.unfinished {
        0 => format!("all {done}"),
        n if n >= group.n => return "all still running at the end".to_owned(),
        n => format!("{} still running at the end; the others {done}", human::count(n)),
    };
    let mut parts = Vec::new();
    if let Some(span) = group.makespan_ns {
        parts.push(format!("{who} in {}", within(span)));
    }
    if let (Some(p50), Some(max)) = (group.p50_ns, group.max_ns) {
        parts.push(format!("one takes {} (p50), {} (max)", within(p50), within(max)));
    }
    // A file can hold any number; only a sane one is a ratio.
    if let Some(ratio) = group.parallelism.filter(|ratio| ratio.is_finite() && (0.0..1e9).contains(ratio)) {
        parts.push(format!("{ratio:.1} at a time"));
    }
    parts.join("; ")
}
