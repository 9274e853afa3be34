//! Other roots than this machine's own: containers and changed roots, which come and go.
//!
//! A probe keeps the file system of its file in use, and the mount by which the file was found. So what was probed for
//! a root is let go when no process has that root any more; and a file whose mount was made for a root, where
//! others than its own processes see it, is left alone unless they are asked for: whoever unmounts it
//! just after the last process has ended would be refused.

use super::Uprobes;
use super::callers::Learns;
use crate::elf::root::Root;
use crate::hash::HashMap;
use crate::host::mounts;
use libbpf_rs::Link;
use std::collections::VecDeque;
use std::fs::File;
use std::path::Path;

/// Device and inode of a root directory.
pub(super) type RootId = (u64, u64);

/// Processes of a root that are remembered, so that `/proc` is hardly ever gone through for another.
const MAX_PIDS: usize = 16;
/// Steps up to whoever gave a process its root.
const MAX_ANCESTORS: usize = 64;
/// Roots that have one file in common; with more it stays probed.
const MAX_ROOTS: usize = 64;

/// A file that was looked at, and what became of it.
#[derive(Default)]
pub(super) struct Held {
    /// It tells of `__libc_start_main`.
    pub(super) tells_start: bool,
    /// Since when it tells what a loader does.
    pub(super) since_ns: Option<u64>,
    pub(super) links: Vec<Link>,
    /// The number by which the programs know it, where numbers are few.
    pub(super) number: Option<usize>,
    /// Of a loader whose function is probed, and not yet what calls it.
    pub(super) learns: Option<Learns>,
    /// Of a loader: its C library.
    pub(super) libc: Option<(u64, u64)>,
    /// Those who use it; empty: this machine, which stays.
    roots: Vec<RootId>,
}

impl Held {
    /// For the first who uses it; `None`: this machine.
    pub(super) fn new(root: Option<RootId>) -> Self {
        Self { roots: root.into_iter().collect(), ..Self::default() }
    }

    /// Somebody else uses it too.
    pub(super) fn share(&mut self, root: Option<RootId>) {
        match root {
            // It stays.
            _ if self.roots.is_empty() => {}
            Some(root) if self.roots.len() < MAX_ROOTS => {
                if !self.roots.contains(&root) {
                    self.roots.push(root);
                }
            }
            _ => self.roots.clear(),
        }
    }

    /// A root is gone. Is it of use to nobody now?
    fn leave(&mut self, root: RootId) -> bool {
        let before = self.roots.len();
        self.roots.retain(|other| *other != root);
        before > 0 && self.roots.is_empty()
    }
}

/// The roots that are there, with some of their processes.
#[derive(Default)]
pub(super) struct Guests {
    host: Option<RootId>,
    pids: HashMap<RootId, VecDeque<u32>>,
}

fn root_of(pid: u32) -> Option<RootId> {
    Root::open(Path::new(&format!("/proc/{pid}/root"))).ok()?.id()
}

/// Any process with that root.
fn any_process(root: RootId) -> Option<u32> {
    let entries = std::fs::read_dir("/proc").ok()?;
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.into_iter().find(|pid| root_of(*pid) == Some(root))
}

impl Guests {
    /// The root as one that comes and goes; `None`: it is this machine's own.
    pub(super) fn id(&mut self, root: &Root) -> Option<RootId> {
        if self.host.is_none() {
            self.host = Root::host().ok().and_then(|root| root.id());
        }
        root.id().filter(|id| Some(*id) != self.host)
    }

    /// A process has that root.
    pub(super) fn note(&mut self, root: RootId, pid: u32) {
        let pids = self.pids.entry(root).or_default();
        if !pids.contains(&pid) {
            pids.push_back(pid);
        }
        if pids.len() > MAX_PIDS {
            pids.pop_front();
        }
    }

    /// Those in which no process is left.
    fn gone(&mut self) -> Vec<RootId> {
        let mut gone = Vec::new();
        for (&root, pids) in &mut self.pids {
            pids.retain(|pid| root_of(*pid) == Some(root));
            if pids.is_empty() {
                match any_process(root) {
                    Some(pid) => pids.push_back(pid),
                    None => gone.push(root),
                }
            }
        }
        gone.iter().for_each(|root| drop(self.pids.remove(root)));
        gone
    }
}

impl Uprobes {
    /// Lets go what was probed for roots in which no process is left.
    pub(in super::super) fn let_go(&mut self) {
        for root in self.guests.gone() {
            let mut links = Vec::new();
            for files in [&mut self.files, &mut self.pythons] {
                files.retain(|_, held| {
                    let over = held.leave(root);
                    if over {
                        links.append(&mut held.links);
                        self.free_numbers.extend(held.number);
                    }
                    !over
                });
            }
            tracing::debug!("nobody is left in a root: {} probes are let go", links.len());
            super::close(links);
        }
    }
}

/// The nearest ancestor that has another root: who changed it, or a runtime outside of the container.
fn outside(pid: u32, root: RootId) -> Option<u32> {
    let mut pid = pid;
    for _ in 0..MAX_ANCESTORS {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may have any character in it.
        pid = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        if pid == 0 || root_of(pid)? != root {
            break;
        }
    }
    (pid != 0).then_some(pid)
}

/// Was the file's mount made for the root of that process (it lies there or below), where we or those who gave it
/// that root see it too?
pub(super) fn is_mounted_for(root: &Root, file: &File, pid: u32) -> bool {
    let mount = mounts::number_of(file);
    let Some(mount) = mount else { return false };
    let made_for = |at: &Path| root.inside(at).is_some();
    if let Some(at) = mounts::mounted_at("self", mount) {
        return made_for(&at);
    }
    let outside = root.id().and_then(|root| outside(pid, root));
    outside.and_then(|pid| mounts::mounted_at(&pid.to_string(), mount)).is_some_and(|at| made_for(&at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_let_go_when_the_last_of_its_roots_is_gone() {
        let (a, b) = ((1, 1), (1, 2));
        let mut held = Held::new(Some(a));
        held.share(Some(b));
        held.share(Some(a));
        assert!(!held.leave(a) && !held.leave(a) && held.leave(b));
        // This machine's own stay, and what it uses too.
        let mut held = Held::new(None);
        held.share(Some(a));
        assert!(!held.leave(a));
        let mut held = Held::new(Some(a));
        held.share(None);
        assert!(!held.leave(a));
        // So does what very many use.
        let mut held = Held::new(Some((0, 0)));
        (1..=MAX_ROOTS as u64).for_each(|n| held.share(Some((0, n))));
        assert!((0..=MAX_ROOTS as u64).all(|n| !held.leave((0, n))));
    }

    #[test]
    fn a_root_is_there_as_long_as_a_process_has_it() {
        let mut guests = Guests::default();
        let own = Root::open(Path::new("/proc/self/root")).unwrap();
        let own_id = own.id().unwrap();
        assert_eq!(guests.id(&own), None);
        let folder = tempfile::tempdir().unwrap();
        let other = Root::open(folder.path()).unwrap();
        let other = guests.id(&other).unwrap();
        // A number that is another process's by now: it is looked for.
        guests.note(own_id, u32::MAX);
        guests.note(other, std::process::id());
        assert_eq!(guests.gone(), [other]);
        assert_eq!(guests.pids.len(), 1);
    }
}
