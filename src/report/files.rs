//! The files that a start opened and looked for, in words.

use super::style::NO_BREAK;
use crate::sort::SortSmall;
use crate::trace::schema::{SourcedFile, Start};
use crate::words::human::{count, counted, duration};
use crate::words::label::harmless;
use std::cmp::Reverse;

/// Entries that are looked at; a file can hold more than a recording makes.
const MAX_ENTRIES: usize = 10_000;
/// Characters of a path.
const MAX_PATH: usize = 60;
/// Calls in vain that are worth a line.
const MANY: u64 = 100;

fn within(ns: u64) -> String {
    duration(ns).replace(' ', NO_BREAK.encode_utf8(&mut [0; 4]))
}

/// Is that as much as a fiftieth of the start?
fn matters(ns: u64, start: &Start) -> bool {
    u128::from(ns) * 50 >= u128::from(start.timeline.duration_ns)
}

/// Two sentences at most: how many files, and what a shell's own scripts cost. `long`: also where that is
/// nothing much.
pub(super) fn sentences(start: &Start, long: bool) -> Vec<String> {
    let Some(files) = &start.timeline.files else { return Vec::new() };
    let mut out = Vec::new();
    let in_vain = files.open_failed.saturating_add(files.missed);
    if long || in_vain >= MANY || matters(files.spent_ns, start) {
        let mut text = format!(
            "files: {} opened, {} in vain, {} looked up, {} in vain; {} in those calls",
            count(files.opened),
            count(files.open_failed),
            count(files.found),
            count(files.missed),
            within(files.spent_ns)
        );
        if let Some(most) = files.misses.first().filter(|most| long || most.n >= MANY) {
            let folder = harmless(&most.folder, MAX_PATH);
            text.push_str(&format!("; most in vain in {folder} ({})", counted(most.n, "time")));
        }
        out.push(text);
    }
    let mut sourced: Vec<&SourcedFile> = files.sourced.iter().take(MAX_ENTRIES).collect();
    let cost = |file: &SourcedFile| file.whole_ns.unwrap_or(file.duration_ns);
    sourced.sort_small_by_key(|file| Reverse(cost(file)));
    sourced.truncate(if long { 12 } else { 3 });
    sourced.retain(|file| long || matters(cost(file), start));
    // A script alone is the start itself.
    if files.sourced.len() > 1 && !sourced.is_empty() {
        let list = sourced.iter().map(|file| {
            let more = match (file.whole_ns, file.own_ns) {
                (None, _) => " until the next".to_owned(),
                (Some(whole), Some(own)) if own < whole => format!(" ({} its own)", within(own)),
                _ => String::new(),
            };
            format!("{} {}{more}", harmless(&file.path, MAX_PATH), within(cost(file)))
        });
        out.push(format!("read by the shell: {}", list.collect::<Vec<_>>().join(", ")));
    }
    out
}
