//! Marks the processes that run already when the recording begins.

use super::{Error, Probe};
use crate::event::Id;
use crate::event::decode;
use crate::sort::SortSmall;
use libbpf_rs::{Iter, MapCore, MapFlags};
use std::collections::BTreeSet;
use std::io::Read;

/// Passes after which it is no longer believed to come to an end.
const MAX_PASSES: usize = 50;

/// What seeding found.
#[derive(Debug, Default)]
pub struct Seeded {
    /// The processes asked for and their descendants, parents before their children.
    pub processes: Vec<Id>,
    /// Since then every fork of theirs is seen, boottime nanoseconds.
    pub since_ns: u64,
    /// The last pass still found new ones.
    pub unsettled: bool,
}

impl Probe {
    /// With [`super::Scope::System`]: lists the processes that run. Else marks `pids` and their
    /// descendants, threads included. The probes must be attached: from then
    /// on a fork of a marked task marks its child, so that passes are repeated only for those that
    /// were made by tasks not marked yet; forks and exits of such are looked at by the programs
    /// themselves while this runs.
    ///
    /// # Errors
    /// The iterator cannot be attached or read.
    pub fn seed(&mut self, pids: &[u32]) -> Result<Seeded, Error> {
        for pid in pids {
            self.skel.maps.seed_roots.update(&pid.to_ne_bytes(), &[1], MapFlags::ANY)?;
        }
        let link = self.skel.progs.seed_tasks.attach()?;
        let since_ns = self.set_seeding(true);
        let mut found = BTreeSet::new();
        let mut unsettled = true;
        for _ in 0..MAX_PASSES {
            let mut bytes = Vec::new();
            Iter::new(&link)?.read_to_end(&mut bytes).map_err(anyhow::Error::from)?;
            let seeds = decode::seeds(&bytes);
            found.extend(seeds.iter().map(|seed| seed.id));
            if !seeds.iter().any(|seed| seed.fresh) {
                unsettled = false;
                break;
            }
        }
        self.set_seeding(false);
        let mut processes: Vec<Id> = found.into_iter().collect();
        processes.sort_small_by_key(|id| id.birth_ns);
        Ok(Seeded { processes, since_ns, unsettled })
    }
}
