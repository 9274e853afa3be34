//! What is said of the traces of a comparison, and what makes it less than it seems.

use super::changes::listed;
use super::{MAX_VALUES, SideNote, TraceNote};
use crate::compare::digest::{Digest, File, Side};

pub(super) fn side_note(digest: &Digest, side: Side) -> SideNote {
    let files = || digest.files.iter().filter(|file| file.side == side);
    SideNote {
        runs: digest.run_count(side),
        starts: files().map(|file| file.starts).sum(),
        complete: files().all(|file| file.complete),
        traces: files()
            .map(|file| TraceNote {
                name: file.name.clone(),
                starts: file.starts,
                complete: file.complete,
                host: file.hostname.clone(),
                kernel: file.kernel.clone(),
            })
            .collect(),
    }
}

/// What makes a comparison less than it seems.
pub(super) fn warnings(digest: &Digest, base: Side, new: Side) -> Vec<String> {
    let mut out = Vec::new();
    for (side, called) in [(base, "BASE"), (new, "NEW")] {
        let files = || digest.files.iter().filter(move |file| file.side == side);
        for file in files().filter(|file| !file.complete).take(8) {
            let lost = file.lost.iter().flatten().map(|(name, n)| format!("{name} {n}"));
            let why = match &file.cut_off {
                Some(why) => why.clone(),
                None => format!("lost: {}", lost.collect::<Vec<_>>().join(", ")),
            };
            out.push(format!("{called} {} is INCOMPLETE ({why}): counts and sums are too small", file.name));
        }
        let unknown: u64 = files().map(|file| file.unknown_lines).fold(0, u64::saturating_add);
        if unknown > 0 {
            out.push(format!("{called} has {unknown} lines that this version of startrace does not know"));
        }
        if files().all(|file| file.starts == 0) {
            out.push(format!("{called} has no starts at all"));
        }
    }
    let differ = |what: &str, of: &dyn Fn(&File) -> String, out: &mut Vec<String>| {
        let values = |side| {
            let mut values: Vec<String> = digest.files.iter().filter(|f| f.side == side).map(of).collect();
            values.sort_unstable();
            values.dedup();
            values.retain(|value| !value.is_empty());
            values.truncate(MAX_VALUES);
            values
        };
        let (a, b) = (values(base), values(new));
        if a != b && !a.is_empty() && !b.is_empty() {
            out.push(format!("{what}: {} in BASE, {} in NEW", listed(&a), listed(&b)));
        }
    };
    differ("another machine", &|file| file.hostname.clone(), &mut out);
    differ("another kernel", &|file| file.kernel.clone(), &mut out);
    differ("other processors", &|file| format!("{} x {}", file.cpus, file.cpu_model), &mut out);
    differ("another level of recording", &|file| file.level.clone().unwrap_or_default(), &mut out);
    differ("another version of startrace", &|file| file.version.clone(), &mut out);
    out
}
