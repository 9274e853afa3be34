//! Where a start's tasks were on their CPUs: samples, summed by phase and stack.

use super::world::{Frame, World};
use super::{Builder, start};
use crate::event::{Id, Sample};
use crate::hash::{HashMap, HashSet};
use crate::sort::SortSmall;
use crate::trace::schema::{self, Phase, ProfiledFunction, ProfiledStack};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Samples kept singly; older ones are summed by the phases that are known then.
const MAX_SAMPLES: usize = 8_192;
/// Different frames and stacks of one process.
const MAX_FRAMES: usize = 20_000;
const MAX_STACKS: usize = 20_000;
/// Addresses whose frame is remembered.
const MAX_ADDRESSES: usize = 50_000;
/// Frames of one stack.
const MAX_DEPTH: usize = 128;
const LISTED_FUNCTIONS: usize = 200;
const LISTED_STACKS: usize = 500;

/// Of one process in its start.
#[derive(Debug, Default)]
pub(super) struct Profile {
    frames: Vec<Frame>,
    frame_places: HashMap<Frame, u32>,
    addresses: HashMap<u64, u32>,
    stacks: Vec<Box<[u32]>>,
    stack_places: HashMap<Box<[u32]>, u32>,
    /// When, and which stack.
    samples: Vec<(u64, u32)>,
    /// By the place of a phase, and stack.
    folded: BTreeMap<(usize, u32), u64>,
}

impl Profile {
    fn frame(&mut self, frame: Frame) -> u32 {
        // The first stands for what is not known, and for all that there is no room for.
        if self.frames.is_empty() {
            self.frames.push(Frame::default());
            self.frame_places.insert(Frame::default(), 0);
        }
        if let Some(&place) = self.frame_places.get(&frame) {
            return place;
        }
        if self.frames.len() >= MAX_FRAMES || frame == Frame::default() {
            return 0;
        }
        let place = self.frames.len() as u32;
        self.frames.push(frame.clone());
        self.frame_places.insert(frame, place);
        place
    }

    fn stack(&mut self, stack: Vec<u32>) -> u32 {
        let mut stack: Box<[u32]> = stack.into();
        if self.stacks.len() >= MAX_STACKS && !self.stack_places.contains_key(&stack) {
            // What ran is told at least, as long as there is room for that.
            stack = stack.first().copied().into_iter().collect();
        }
        if let Some(&place) = self.stack_places.get(&stack) {
            return place;
        }
        if self.stacks.len() >= MAX_STACKS + MAX_FRAMES {
            return 0;
        }
        let place = self.stacks.len() as u32;
        self.stacks.push(stack.clone());
        self.stack_places.insert(stack, place);
        place
    }

    fn take(&mut self, time_ns: u64, id: Id, sample: &Sample, world: &mut dyn World) {
        // All but the innermost are return addresses: the call is before them.
        let calls = |stack: &[u64]| -> Vec<u64> {
            let each = stack.iter().enumerate();
            each.map(|(at, address)| if at == 0 { *address } else { address.saturating_sub(1) }).collect()
        };
        let mut addresses = calls(&sample.kernel);
        addresses.extend(calls(&sample.user));
        addresses.truncate(MAX_DEPTH);
        if self.addresses.len() > MAX_ADDRESSES {
            self.addresses.clear();
        }
        let mut unknown: Vec<u64> =
            addresses.iter().copied().filter(|address| !self.addresses.contains_key(address)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        if !unknown.is_empty() {
            let mut answers = world.frames(id, &unknown).into_iter();
            for address in unknown {
                let frame = self.frame(answers.next().unwrap_or_default());
                // What is not known now may be later, when a library has been mapped.
                if frame != 0 {
                    self.addresses.insert(address, frame);
                }
            }
        }
        let known = |address| self.addresses.get(address).copied().unwrap_or(0);
        let mut stack: Vec<u32> = addresses.iter().map(known).collect();
        // Where there is no code no call came from: what follows is not the stack's.
        if let Some(end) = stack.iter().skip(1).position(|frame| *frame == 0) {
            stack.truncate(end + 1);
        }
        let stack = self.stack(stack);
        self.samples.push((time_ns, stack));
    }

    /// Phases are only added at the end of the list, so their places stay.
    fn fold(&mut self, origin_ns: u64, phases: &[Phase]) {
        let rest = self.samples.split_off(self.samples.len().min(MAX_SAMPLES / 2));
        for (at_ns, stack) in std::mem::replace(&mut self.samples, rest) {
            if let Some(at) = place_of(phases, at_ns.saturating_sub(origin_ns)) {
                *self.folded.entry((at, stack)).or_default() += 1;
            }
        }
    }

    /// Another image: its addresses mean other things.
    pub(super) fn exec(&mut self) {
        self.addresses.clear();
    }

    pub(super) fn account(
        &self,
        hz: u32,
        origin_ns: u64,
        end_ns: u64,
        phases: &[Phase],
    ) -> Option<schema::Profile> {
        let mut counts = self.folded.clone();
        for (at_ns, stack) in self.samples.iter().filter(|(at, _)| (origin_ns..=end_ns).contains(at)) {
            if let Some(at) = place_of(phases, at_ns - origin_ns) {
                *counts.entry((at, *stack)).or_default() += 1;
            }
        }
        let samples: u64 = counts.values().sum();
        if samples == 0 {
            return None;
        }
        let mut functions: HashMap<(usize, u32), (u64, u64)> = HashMap::default();
        for (&(phase, stack), n) in &counts {
            let Some(stack) = self.stacks.get(stack as usize) else { continue };
            let leaf = stack.first().copied().unwrap_or(0);
            functions.entry((phase, leaf)).or_default().0 += n;
            // A function that calls itself is on the stack once.
            for frame in stack.iter().copied().chain([leaf]).collect::<HashSet<_>>() {
                functions.entry((phase, frame)).or_default().1 += n;
            }
        }
        let mut functions: Vec<((usize, u32), (u64, u64))> = functions.into_iter().collect();
        functions.sort_small_by_key(|(key, (own, all))| (Reverse(*own), Reverse(*all), *key));
        let left = functions.split_off(functions.len().min(LISTED_FUNCTIONS));
        let mut stacks: Vec<((usize, u32), u64)> = counts.into_iter().collect();
        stacks.sort_small_by_key(|(key, n)| (Reverse(*n), *key));
        let other = stacks.split_off(stacks.len().min(LISTED_STACKS));
        let phase = |at: usize| phases.get(at).map(|p| (p.name.clone(), p.exec)).unwrap_or_default();
        Some(schema::Profile {
            hz,
            period_ns: 1_000_000_000 / u64::from(hz.max(1)),
            samples,
            functions: functions
                .into_iter()
                .map(|((at, frame), (own, all))| {
                    let Frame { function, module } =
                        self.frames.get(frame as usize).cloned().unwrap_or_default();
                    let (phase, exec) = phase(at);
                    ProfiledFunction { function, module, phase, exec, own, all }
                })
                .collect(),
            functions_left_out: left.iter().map(|(_, (own, _))| own).sum(),
            stacks: stacks
                .into_iter()
                .map(|((at, stack), samples)| {
                    let (phase, exec) = phase(at);
                    let stack = self.stacks.get(stack as usize).map(|stack| &**stack).unwrap_or_default();
                    let frames = stack.iter().rev().map(|&frame| self.name(frame)).collect();
                    ProfiledStack { phase, exec, frames, samples }
                })
                .collect(),
            stacks_left_out: other.iter().map(|(_, n)| n).sum(),
        })
    }

    fn name(&self, frame: u32) -> String {
        let frame = self.frames.get(frame as usize);
        let name = frame.and_then(|frame| match (&frame.function, &frame.module) {
            (Some(function), _) => Some(function.clone()),
            (None, Some(module)) if module.starts_with('[') => Some(module.clone()),
            (None, Some(module)) => Some(format!("[{}]", module.rsplit('/').next().unwrap_or(module))),
            (None, None) => None,
        });
        name.unwrap_or_else(|| "?".to_owned())
    }
}

fn place_of(phases: &[Phase], at_ns: u64) -> Option<usize> {
    phases.partition_point(|phase| phase.at_ns <= at_ns).checked_sub(1)
}

impl Builder {
    /// A task of a start was seen on its CPU.
    pub(super) fn sample(&mut self, time_ns: u64, id: Id, sample: &Sample, world: &mut dyn World) {
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(start) = &process.start else { return };
        let profile = process.profile.get_or_insert_default();
        profile.take(time_ns, id, sample, world);
        if profile.samples.len() >= MAX_SAMPLES {
            profile.fold(start.origin_ns, &start::phases_of(start, time_ns));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::world::Answer;
    use crate::timeline::world::Replay;

    fn frame(function: &str) -> Frame {
        Frame { function: Some(function.into()), module: Some("/bin/x".into()) }
    }

    fn phases() -> Vec<Phase> {
        let phase =
            |name: &str, at_ns, duration_ns| Phase { name: name.into(), at_ns, duration_ns, exec: None };
        vec![phase("load", 0, 100), phase("app", 100, 900)]
    }

    fn id() -> Id {
        Id { pid: 7, birth_ns: 1 }
    }

    #[test]
    fn samples_are_summed_by_phase_function_and_stack() {
        let mut world = Replay::default();
        let answer = |frames: Vec<Frame>| Answer::Frames(id(), frames);
        // Asked in the order of the addresses, each once; a caller's is the one before the return's.
        world.answers.push_back(answer(vec![frame("main"), frame("leaf")]));
        world.answers.push_back(answer(vec![frame("leaf")]));
        world.answers.push_back(answer(vec![Frame { function: None, module: Some("/lib/liby.so".into()) }]));
        let mut profile = Profile::default();
        let stack = |user: &[u64]| Sample { user: user.to_vec(), kernel: Vec::new() };
        profile.take(50, id(), &stack(&[20, 10]), &mut world);
        profile.take(150, id(), &stack(&[20, 10]), &mut world);
        profile.take(250, id(), &stack(&[20, 20, 10]), &mut world);
        profile.take(350, id(), &stack(&[30]), &mut world);
        profile.take(5000, id(), &stack(&[10]), &mut world);
        let got = profile.account(100, 0, 1000, &phases()).unwrap();
        assert_eq!((got.samples, got.period_ns), (4, 10_000_000));
        let own: Vec<_> = got
            .functions
            .iter()
            .map(|f| (f.phase.as_str(), f.function.as_deref().unwrap_or("-"), f.own, f.all))
            .collect();
        assert_eq!(
            own,
            [
                ("app", "leaf", 2, 2),
                ("load", "leaf", 1, 1),
                ("app", "-", 1, 1),
                ("app", "main", 0, 2),
                ("load", "main", 0, 1)
            ]
        );
        let stacks: Vec<_> = got.stacks.iter().map(|s| s.frames.join(";")).collect();
        assert_eq!(stacks, ["main;leaf", "main;leaf", "main;leaf;leaf", "[liby.so]"]);
        // Nothing is known of the second: chance, and all above it.
        profile.take(60, id(), &stack(&[20, 777, 10]), &mut world);
        let got = profile.account(100, 55, 70, &phases()).unwrap();
        assert_eq!(got.stacks[0].frames, ["leaf"]);
        assert!(Profile::default().account(100, 0, 1000, &phases()).is_none());
    }

    #[test]
    fn hostile_stacks_are_bounded_and_every_sample_counts() {
        let mut world = Replay::default();
        let mut profile = Profile::default();
        for n in 0..60_000u64 {
            let user = (0..200).map(|k| n * 7 + k).collect();
            profile.take(n / 60, id(), &Sample { user, kernel: Vec::new() }, &mut world);
            if profile.samples.len() >= MAX_SAMPLES {
                profile.fold(0, &phases());
            }
        }
        assert!(profile.samples.len() < MAX_SAMPLES && profile.addresses.len() <= MAX_ADDRESSES + 200);
        let got = profile.account(999, 0, 1000, &phases()).unwrap();
        assert_eq!(got.samples, 60_000);
        assert_eq!(got.functions.iter().map(|f| f.own).sum::<u64>() + got.functions_left_out, 60_000);
        assert_eq!(got.stacks.iter().map(|s| s.samples).sum::<u64>() + got.stacks_left_out, 60_000);
    }
}
