//! Starts that are under way, as a live screen shows them.

use super::Builder;
use super::start::{current_start_id, phases_of};
use crate::sort::SortSmall;
use crate::trace::schema::Phase;

/// A start under way, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderWay {
    /// As it will be written.
    pub start_id: String,
    /// The start that its creator is in, or was in last.
    pub parent: Option<String>,
    /// The process.
    pub pid: u32,
    /// Its task name.
    pub comm: String,
    /// The executable, where it has one of its own.
    pub exe: Option<String>,
    /// Its arguments, likewise.
    pub argv: Option<Vec<String>>,
    /// Origin on the boottime clock.
    pub origin_ns: u64,
    /// The phases so far; the last one goes on.
    pub phases: Vec<Phase>,
}

impl Builder {
    /// The starts under way, the oldest first, at most so many.
    pub fn under_way(&self, now_ns: u64, most: usize) -> Vec<UnderWay> {
        let mut open: Vec<_> = self.open_starts().collect();
        open.sort_small_by_key(|(id, _, start)| (start.origin_ns, *id));
        open.truncate(most);
        open.into_iter()
            .map(|(id, process, start)| {
                let parent = process.creator.and_then(|creator| {
                    let seq = current_start_id(self.processes.get(&creator)?)?;
                    Some(format!("{creator}/{seq}"))
                });
                let own = start.execs.iter().any(|exec| exec.error.is_none());
                let image = own.then_some(&process.program.image);
                UnderWay {
                    start_id: id.start(start.seq),
                    parent,
                    pid: id.pid,
                    comm: process.comm.clone(),
                    exe: image.and_then(|image| image.exe.clone()),
                    argv: image.and_then(|image| image.shown()).map(<[String]>::to_vec),
                    origin_ns: start.origin_ns,
                    phases: phases_of(start, now_ns.max(start.origin_ns)),
                }
            })
            .collect()
    }
}
