//! A finished start in few bytes: numbers as long as they have to be, times by their distance from the one before.
//!
//! What was written is read back as it was, but for what no path asks of a past start: names of threads and readings of
//! counters.

use super::Story;
use crate::dense::{Reader, Writer};
use crate::event::Id;
use crate::timeline::phases::Begun;
use crate::timeline::row::{self, Row};
use crate::timeline::spill::Spill;
use crate::timeline::tasks::{Lane, Tasks};
use crate::trace::vocabulary::PHASES;
use std::rc::Rc;

/// What comes before the tasks of a start.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Head {
    pub(super) creator: Option<(Id, u32)>,
    pub(super) command: String,
}

/// A start as bytes.
pub(super) fn write(story: &Story) -> Vec<u8> {
    let origin = story.origin_ns;
    let mut out = Writer(Vec::with_capacity(512));
    out.number(story.creator.is_some().into());
    if let Some((id, tid)) = story.creator {
        out.number(id.pid.into());
        out.after(origin, id.birth_ns);
        out.number(tid.into());
    }
    out.text(&story.command);
    out.after(origin, story.id.birth_ns);
    out.number(story.seq.into());
    out.after_or_none(origin, story.run_ns);
    out.number(story.phases.len() as u64);
    for phase in &*story.phases {
        out.number(PHASES.iter().position(|name| *name == phase.name).unwrap_or(0) as u64);
        out.number(phase.at_ns);
    }
    let tasks = &story.tasks;
    out.number(tasks.lanes.len() as u64);
    for (at, lane) in tasks.lanes.iter().enumerate() {
        let is_last = tasks.lane(lane.tid) == Some(at);
        out.number(u64::from(lane.tid) << 1 | u64::from(is_last));
        out.after_or_none(origin, lane.ended_ns);
        out.number(lane.taken_over.len() as u64);
        for (from, place) in &lane.taken_over {
            out.after(origin, *from);
            out.number(*place as u64);
        }
        out.number(lane.pieces.len() as u64);
        let mut last = origin;
        for piece in lane.pieces.iter() {
            row::write(&mut out, last, &piece);
            last = piece.until_ns();
        }
    }
    out.0
}

fn read_head(from: &mut Reader<'_>, origin: u64) -> Option<Head> {
    let creator = match from.number()? {
        0 => None,
        _ => Some((Id { pid: from.small()?, birth_ns: from.after(origin)? }, from.small()?)),
    };
    Some(Head { creator, command: from.text()?.to_owned() })
}

fn tasks(from: &mut Reader<'_>, pid: u32, origin: u64, spill: Option<&Rc<Spill>>) -> Option<Tasks> {
    let mut tasks = Tasks::of(pid);
    for _ in 0..from.count()? {
        let tid = from.number()?;
        let ended_ns = from.after_or_none(origin)?;
        let mut taken_over = Vec::new();
        for _ in 0..from.count()? {
            taken_over.push((from.after(origin)?, usize::try_from(from.number()?).ok()?));
        }
        let n = from.count()?;
        let mut pieces = Row::kept_in(spill.cloned());
        let mut last = origin;
        for _ in 0..n {
            let piece = row::read(from, last)?;
            last = piece.until_ns();
            pieces.push(piece);
        }
        let own = u32::try_from(tid >> 1).ok()?;
        tasks.put(Lane::of(own, pieces, ended_ns, taken_over), tid & 1 == 1);
    }
    Some(tasks)
}

/// What comes first, of bytes that may be cut off behind it.
pub(super) fn head(bytes: &[u8], origin_ns: u64) -> Option<Head> {
    read_head(&mut Reader(bytes), origin_ns)
}

/// A start from its bytes; what is known of it elsewhere is given. Of one that went on for long, pieces leave memory for
/// `spill`.
pub(super) fn read(
    bytes: &[u8],
    pid: u32,
    origin_ns: u64,
    end_ns: u64,
    exited: bool,
    spill: Option<&Rc<Spill>>,
) -> Option<Story> {
    let mut reader = Reader(bytes);
    let Head { creator, command } = read_head(&mut reader, origin_ns)?;
    let id = Id { pid, birth_ns: reader.after(origin_ns)? };
    let seq = reader.small()?;
    let run_ns = reader.after_or_none(origin_ns)?;
    let mut begun = Vec::new();
    for _ in 0..reader.count()? {
        let name = *PHASES.get(usize::try_from(reader.number()?).ok()?)?;
        begun.push(Begun { name, at_ns: reader.number()? });
    }
    let tasks = tasks(&mut reader, pid, origin_ns, spill)?.into();
    let phases = begun.into();
    Some(Story { id, seq, origin_ns, end_ns, exited, creator, run_ns, phases, command, tasks })
}
