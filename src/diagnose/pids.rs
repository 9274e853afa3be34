//! A set of process numbers: those of one parent's children are near each other.

use crate::hash::HashMap;

/// By their upper bits, which of 64 neighbours are in it.
#[derive(Debug, Default)]
pub(super) struct Pids {
    blocks: HashMap<u32, [u32; 2]>,
    len: usize,
}

fn place(pid: u32) -> (u32, usize, u32) {
    (pid / 64, (pid / 32 % 2) as usize, 1 << (pid % 32))
}

impl Pids {
    /// Adds one; was it not there?
    pub(super) fn insert(&mut self, pid: u32) -> bool {
        let (block, half, bit) = place(pid);
        let Some(half) = self.blocks.entry(block).or_default().get_mut(half) else { return false };
        let is_new = *half & bit == 0;
        *half |= bit;
        self.len += usize::from(is_new);
        is_new
    }

    pub(super) fn contains(&self, pid: u32) -> bool {
        let (block, half, bit) = place(pid);
        self.blocks.get(&block).and_then(|halves| halves.get(half)).is_some_and(|half| half & bit != 0)
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_in_it_once() {
        let mut pids = Pids::default();
        let all = [0, 1, 31, 32, 63, 64, 4_194_303, u32::MAX];
        assert!(all.iter().all(|pid| pids.insert(*pid)) && !all.iter().any(|pid| pids.insert(*pid)));
        assert!(all.iter().all(|pid| pids.contains(*pid)));
        assert!([2, 30, 33, 62, 65, 4_194_302, u32::MAX - 1].iter().all(|pid| !pids.contains(*pid)));
        assert_eq!((pids.len(), pids.blocks.len()), (8, 4));
    }
}
