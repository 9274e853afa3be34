//! The files that a start opened and looked for: told call by call, summed by phase and kind.

mod kind;

use super::process::ExecMark;
use super::runtime::{self, Code};
use super::{Builder, errno_name, start};
use crate::event::file::{Call, Op, Sums};
use crate::event::{Id, ImportStep};
use crate::hash::HashMap;
use crate::sort::{self, SortSmall};
use crate::trace::schema::{self, FileSums, FolderMisses, OpenedFile, Phase, SourcedFile};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Calls kept singly of one process; older ones are summed, by the phases that are known then.
const MAX_CALLS: usize = 8_192;
/// Folders with misses that are told apart while recording, and in the trace.
const MAX_FOLDERS: usize = 1_000;
const MAX_MISSES: usize = 50;
/// Opened files that are listed.
const MAX_LISTED: usize = 1_000;
const MAX_SOURCED: usize = 1_000;
/// Longest path that is kept.
const MAX_PATH: usize = 4_096;

/// The kind of calls that were only counted.
const UNTOLD: &str = "untold";

#[derive(Debug, Clone)]
struct Kept {
    at_ns: u64,
    end_ns: u64,
    tid: u32,
    op: Op,
    kind: &'static str,
    /// Of an open that succeeded: the path. Of what failed: the folder.
    name: Option<Box<str>>,
    error: Option<i32>,
    bytes: Option<u64>,
}

#[derive(Debug, Clone)]
struct Source {
    at_ns: u64,
    path: Box<str>,
    exec: Option<u32>,
    /// Where it stands among what the shell told of.
    told: Option<usize>,
}

/// A file of commands that a shell told of.
#[derive(Debug, Clone, Copy)]
struct Told {
    tid: u32,
    exec: Option<u32>,
    at_ns: u64,
    /// `None`: it was left without an end.
    end_ns: Option<u64>,
    opened: bool,
}

/// Where a phase stands in the list of a start's phases, and the kind of file.
type Key = (usize, &'static str);

/// Failed calls in one folder.
#[derive(Debug, Clone, Copy, Default)]
struct Misses {
    n: u64,
    libraries: u64,
    spent_ns: u64,
}

/// What calls add up to.
#[derive(Debug, Clone, Default)]
struct Total {
    /// By the phase's name and exec, as places in the list of phases change while it grows at its end only.
    sums: BTreeMap<Key, FileSums>,
    errors: BTreeMap<i32, u64>,
    misses: HashMap<Box<str>, Misses>,
    misses_left_out: u64,
    listed: Vec<(Kept, u64)>,
    files_left_out: u64,
}

/// The files of one process in its start.
#[derive(Debug, Default)]
pub(super) struct Files {
    calls: Vec<Kept>,
    /// Calls that came as sums: when they began, ended, and what.
    summed: Vec<(u64, u64, Sums)>,
    folded: Total,
    sourced: Vec<Source>,
    told: Vec<Told>,
    /// What was opened of its language runtime's code.
    pub(super) code: Option<Code>,
}

impl Total {
    fn add(&mut self, call: &Kept, at: usize, phase: &Phase) {
        let sums = self.sums.entry((at, call.kind)).or_default();
        place(sums, phase, call.kind);
        // Whoever owns a file says how long it is: sparse ones are longer together than 64 bits count.
        sums.spent_ns = sums.spent_ns.saturating_add(call.end_ns - call.at_ns);
        sums.bytes = sums.bytes.saturating_add(call.bytes.unwrap_or(0));
        *match (call.op, call.error) {
            (Op::Open, None) => &mut sums.opened,
            (Op::Open, Some(_)) => &mut sums.open_failed,
            (Op::Look, None) => &mut sums.found,
            (Op::Look, Some(_)) => &mut sums.missed,
        } += 1;
        match call.error {
            Some(error) => {
                *self.errors.entry(error).or_default() += 1;
                let spent_ns = call.end_ns - call.at_ns;
                let room = self.misses.len() < MAX_FOLDERS;
                match call.name.as_ref() {
                    Some(folder) if room || self.misses.contains_key(folder) => {
                        let miss = self.misses.entry(folder.clone()).or_default();
                        miss.n += 1;
                        miss.libraries += u64::from(call.kind == "shared_library");
                        miss.spent_ns = miss.spent_ns.saturating_add(spent_ns);
                    }
                    _ => self.misses_left_out += 1,
                }
            }
            None if call.op == Op::Open => {
                self.listed.push((call.clone(), call.end_ns - call.at_ns));
                if self.listed.len() >= 2 * MAX_LISTED {
                    self.cut_list();
                }
            }
            None => {}
        }
    }

    fn cut_list(&mut self) {
        if self.listed.len() > MAX_LISTED {
            self.listed.sort_small_by_key(|(call, length)| (Reverse(*length), call.at_ns));
            self.files_left_out += (self.listed.len() - MAX_LISTED) as u64;
            self.listed.truncate(MAX_LISTED);
        }
    }
}

fn place(sums: &mut FileSums, phase: &Phase, kind: &str) {
    if sums.kind.is_empty() {
        sums.phase.clone_from(&phase.name);
        sums.exec = phase.exec;
        kind.clone_into(&mut sums.kind);
    }
}

/// The phase at a time, and its place.
fn phase_at(phases: &[Phase], at_ns: u64) -> Option<(usize, &Phase)> {
    let at = phases.partition_point(|phase| phase.at_ns <= at_ns).checked_sub(1)?;
    phases.get(at).map(|phase| (at, phase))
}

impl Files {
    /// What was summed already stands under its phase's place: phases are only added at the end, as the
    /// marks that part them come before the calls in them.
    fn fold(&mut self, origin_ns: u64, phases: &[Phase]) {
        let rest = self.calls.split_off(self.calls.len().min(MAX_CALLS / 2));
        for call in std::mem::replace(&mut self.calls, rest) {
            if let Some((at, phase)) = phase_at(phases, call.at_ns.saturating_sub(origin_ns)) {
                self.folded.add(&call, at, phase);
            }
        }
    }

    /// For a trace; `None` where there was no call. `execs`: the images, as phases refer to them.
    pub(super) fn account(&self, origin_ns: u64, end_ns: u64, phases: &[Phase]) -> Option<schema::Files> {
        let mut total = self.folded.clone();
        let within = |at_ns: u64| (origin_ns..=end_ns).contains(&at_ns);
        for call in self.calls.iter().filter(|call| within(call.at_ns)) {
            if let Some((at, phase)) = phase_at(phases, call.at_ns - origin_ns) {
                total.add(call, at, phase);
            }
        }
        for (at_ns, _, counts) in self.summed.iter().filter(|(at_ns, ..)| within(*at_ns)) {
            if let Some((at, phase)) = phase_at(phases, at_ns - origin_ns) {
                let sums = total.sums.entry((at, UNTOLD)).or_default();
                place(sums, phase, UNTOLD);
                sums.opened += u64::from(counts.opened);
                sums.open_failed += u64::from(counts.open_failed);
                sums.found += u64::from(counts.found);
                sums.missed += u64::from(counts.missed);
                sums.spent_ns = sums.spent_ns.saturating_add(counts.spent_ns);
            }
        }
        if total.sums.is_empty() {
            return None;
        }
        total.cut_list();
        total.listed.sort_small_by_key(|(call, _)| (call.at_ns, call.tid));
        let sums: Vec<FileSums> = total.sums.into_values().collect();
        let sum = |of: fn(&FileSums) -> u64| sums.iter().map(of).fold(0, u64::saturating_add);
        let mut misses: Vec<FolderMisses> = total
            .misses
            .into_iter()
            .map(|(folder, Misses { n, libraries, spent_ns })| FolderMisses {
                folder: folder.into(),
                n,
                libraries,
                spent_ns,
            })
            .collect();
        misses.sort_small_by(|a, b| b.n.cmp(&a.n).then_with(|| a.folder.cmp(&b.folder)));
        let rest = misses.split_off(misses.len().min(MAX_MISSES));
        Some(schema::Files {
            opened: sum(|s| s.opened),
            open_failed: sum(|s| s.open_failed),
            found: sum(|s| s.found),
            missed: sum(|s| s.missed),
            spent_ns: sum(|s| s.spent_ns),
            errors: sort::by_name(&mut total.errors.into_iter().map(|(errno, n)| (errno_name(errno), n))),
            misses,
            misses_left_out: total.misses_left_out + rest.iter().map(|folder| folder.n).sum::<u64>(),
            files_left_out: total.files_left_out,
            sourced: self.sourced(origin_ns, end_ns, phases),
            files: total
                .listed
                .into_iter()
                .map(|(call, duration_ns)| OpenedFile {
                    at_ns: call.at_ns - origin_ns,
                    duration_ns,
                    path: call.name.map(Into::into),
                    kind: call.kind.to_owned(),
                    bytes: call.bytes,
                    tid: call.tid,
                })
                .collect(),
            sums,
        })
    }

    fn sourced(&self, origin_ns: u64, end_ns: u64, phases: &[Phase]) -> Vec<SourcedFile> {
        let all: Vec<&Source> =
            self.sourced.iter().filter(|s| (origin_ns..end_ns).contains(&s.at_ns)).collect();
        let ends = |source: &Source| {
            // Its image is over where the next one's exec begins.
            let next = phases.iter().find(|phase| phase.exec > source.exec && phase.name == "exec");
            next.map_or(end_ns, |phase| origin_ns + phase.at_ns)
        };
        let whole = |source: &Source| {
            let told = self.told.get(source.told?)?;
            Some((source.at_ns, told.end_ns.unwrap_or(u64::MAX).min(ends(source)).max(source.at_ns)))
        };
        // Of each that was told the time of those in it: they are one in the other, or one after the other.
        let mut inner = vec![0u64; all.len()];
        let mut stack: Vec<(usize, u64)> = Vec::new();
        for (at, source) in all.iter().enumerate() {
            let Some((at_ns, end_ns)) = whole(source) else { continue };
            stack.retain(|(_, outer_ns)| *outer_ns > at_ns);
            if let Some((outer, outer_ns)) = stack.last()
                && let Some(inner) = inner.get_mut(*outer)
            {
                *inner += end_ns.min(*outer_ns) - at_ns;
            }
            stack.push((at, end_ns));
        }
        all.iter()
            .enumerate()
            .map(|(at, source)| {
                let next = all.get(at + 1).filter(|next| next.exec == source.exec).map(|next| next.at_ns);
                let whole_ns = whole(source).map(|(at_ns, end_ns)| end_ns - at_ns);
                let inner_ns = inner.get(at).copied().unwrap_or(0);
                SourcedFile {
                    at_ns: source.at_ns - origin_ns,
                    duration_ns: next.unwrap_or_else(|| ends(source)).saturating_sub(source.at_ns),
                    path: source.path.to_string(),
                    exec: source.exec,
                    whole_ns,
                    own_ns: whole_ns.map(|whole_ns| whole_ns.saturating_sub(inner_ns)),
                }
            })
            .collect()
    }
}

fn bounded(path: &str) -> Box<str> {
    let mut end = path.len().min(MAX_PATH);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    path.get(..end).unwrap_or_default().into()
}

/// The folder of a path, as the path has it.
fn folder(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

/// Daemons call it so by custom, and write it anew: one that is only read has something in it.
fn is_pid_file(call: &Call) -> bool {
    let has_name = || call.path.as_ref().is_some_and(|path| path.ends_with(".pid"));
    call.op == Op::Open && call.error.is_none() && call.is_regular && call.bytes == Some(0) && has_name()
}

impl Builder {
    /// A call that named a file has returned.
    pub(super) fn file_call(&mut self, time_ns: u64, id: Id, tid: u32, call: &Call) {
        if is_pid_file(call)
            && let Some(path) = &call.path
        {
            self.wrote_pid_file(time_ns, id, path);
        }
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(start) = &process.start else { return };
        let files = process.files.get_or_insert_default();
        let path = call.path.as_deref();
        let kind = kind::kind(path.unwrap_or_default(), call.is_folder);
        let at_ns = call.since_ns.min(time_ns);
        let opened = call.op == Op::Open && call.error.is_none();
        if opened
            && call.is_regular
            && tid == id.pid
            && files.sourced.len() < MAX_SOURCED
            && let Some(path) = path
        {
            let last = start.execs.iter().enumerate().rev().find(|(_, exec)| exec.error.is_none());
            let exec = last.and_then(|(at, _)| u32::try_from(at).ok());
            // The first that it opens once it has said that it reads one.
            let told = files.told.len().checked_sub(1).filter(|&at| {
                files.told.get(at).is_some_and(|told| {
                    told.end_ns.is_none() && !told.opened && told.exec == exec && told.at_ns <= at_ns
                })
            });
            if let Some(told) = told.and_then(|at| files.told.get_mut(at)) {
                told.opened = true;
            }
            let tells = files.told.iter().any(|told| told.exec == exec);
            let shell = |exec: &ExecMark| {
                let image = &exec.program.as_ref()?.image;
                let argument = image.argv.as_ref().and_then(|argv| argv.get(1)).map(String::as_str);
                let script = image.script.as_deref().or(argument);
                // One that tells what it reads does not read what is only called so.
                (kind::is_shell(image.exe.as_deref(), image.program.as_deref())
                    && if tells { script == Some(path) } else { kind::is_script(path, script) })
                .then_some(())
            };
            if told.is_some() || last.is_some_and(|(_, exec)| shell(exec).is_some()) {
                files.sourced.push(Source { at_ns, path: bounded(path), exec, told });
            }
        }
        if opened && let Some(path) = path {
            runtime::opened(&mut files.code, start, path, kind, (at_ns, time_ns));
        }
        let name = match call.error {
            None if call.op == Op::Open => path.map(bounded),
            None => None,
            Some(_) => path.map(|path| bounded(folder(path))),
        };
        files.calls.push(Kept {
            at_ns,
            end_ns: time_ns,
            tid,
            op: call.op,
            kind,
            name,
            error: call.error,
            bytes: call.bytes,
        });
        if files.calls.len() >= MAX_CALLS {
            files.fold(start.origin_ns, &start::phases_of(start, time_ns));
        }
    }

    /// A shell begins or ends to read a file of commands.
    pub(super) fn commands_file(&mut self, time_ns: u64, id: Id, tid: u32, step: ImportStep) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(start) = &process.start else { return };
        let told = &mut process.files.get_or_insert_default().told;
        let exec = start.execs.iter().rposition(|exec| exec.error.is_none());
        let exec = exec.and_then(|at| u32::try_from(at).ok());
        match step {
            ImportStep::Begin if told.len() < MAX_SOURCED => {
                told.push(Told { tid, exec, at_ns: time_ns, end_ns: None, opened: false });
            }
            ImportStep::Begin | ImportStep::Whole(_) => {}
            ImportStep::End => {
                let mut open = told.iter_mut().rev().filter(|it| it.exec == exec && it.tid == tid);
                if let Some(told) = open.find(|told| told.end_ns.is_none()) {
                    told.end_ns = Some(time_ns);
                }
            }
        }
    }

    /// Calls that were only counted.
    pub(super) fn file_sums(&mut self, time_ns: u64, id: Id, sums: &Sums) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        if process.start.is_none() {
            return;
        }
        let summed = &mut process.files.get_or_insert_default().summed;
        let since_ns = sums.since_ns.min(time_ns);
        match summed.last_mut() {
            // Memory grows with time, not with calls: at most one a hundredth of a second.
            Some((_, end_ns, last)) if time_ns.saturating_sub(*end_ns) < 10_000_000 => {
                *end_ns = time_ns;
                last.add(sums);
            }
            _ => summed.push((since_ns, time_ns, sums.clone())),
        }
    }
}

#[cfg(test)]
mod tests;
