//! Room outside of memory for what the tasks of processes that go on did long ago: places of one size in a nameless
//! file, each used again when what it holds is not needed any more.

use crate::aside::Scratch;
use std::cell::RefCell;
use std::rc::Rc;

/// The size of a place.
pub(super) const PLACE: usize = 4 << 10;
/// 256 MB.
const MOST: u32 = 64 << 10;

/// The places.
#[derive(Debug)]
pub(super) struct Spill(RefCell<Places>);

#[derive(Debug)]
struct Places {
    scratch: Box<dyn Scratch>,
    free: Vec<u32>,
    /// How many there are.
    n: u32,
    /// The file took no more.
    full: bool,
}

/// What is in one of them.
#[derive(Debug)]
pub(super) struct Spilled {
    spill: Rc<Spill>,
    place: u32,
    len: usize,
}

impl Spill {
    pub(super) fn new(scratch: Box<dyn Scratch>) -> Rc<Self> {
        Rc::new(Self(RefCell::new(Places { scratch, free: Vec::new(), n: 0, full: false })))
    }

    /// Keeps bytes; `None` where there is no room for them.
    pub(super) fn put(self: &Rc<Self>, bytes: &[u8]) -> Option<Spilled> {
        let mut places = self.0.borrow_mut();
        if places.full || bytes.len() > PLACE {
            return None;
        }
        let place = match places.free.pop() {
            Some(place) => place,
            None if places.n < MOST => {
                places.n += 1;
                places.n - 1
            }
            None => return None,
        };
        if let Err(error) = places.scratch.write(u64::from(place) * PLACE as u64, bytes) {
            tracing::warn!(%error, "what tasks did long ago stays in memory");
            places.full = true;
            places.free.push(place);
            return None;
        }
        Some(Spilled { spill: self.clone(), place, len: bytes.len() })
    }
}

impl Spilled {
    /// As it was; `None` where it cannot be read.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; self.len];
        let places = self.spill.0.borrow();
        let came = places.scratch.read(u64::from(self.place) * PLACE as u64, &mut bytes).ok()?;
        (came == self.len).then_some(bytes)
    }
}

impl Drop for Spilled {
    fn drop(&mut self) {
        self.spill.0.borrow_mut().free.push(self.place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aside::tests::Disk;

    #[test]
    fn places_are_used_again_and_a_full_disk_is_said() {
        let disk = Disk(Rc::default(), 10 * PLACE);
        let spill = Spill::new(Box::new(disk.clone()));
        let mut all: Vec<_> = (0..10u8).map(|n| spill.put(&vec![n; PLACE - usize::from(n)])).collect();
        for (n, spilled) in all.iter().enumerate() {
            assert_eq!(spilled.as_ref().unwrap().bytes().unwrap(), vec![n as u8; PLACE - n]);
        }
        all[3] = None;
        all[7] = None;
        for n in [20, 21] {
            let spilled = spill.put(&[n; 5]).unwrap();
            assert_eq!(spilled.bytes().unwrap(), [n; 5]);
            all.push(Some(spilled));
        }
        assert!(disk.0.borrow().len() <= 10 * PLACE, "{}", disk.0.borrow().len());
        assert!(spill.put(&[1; PLACE + 1]).is_none());
        assert!(spill.put(&[1]).is_none() && spill.0.borrow().full);
        assert_eq!(all[9].as_ref().unwrap().bytes().unwrap()[0], 9);
        // What was cut off is not taken for whole.
        disk.0.borrow_mut().truncate(9 * PLACE + 7);
        assert_eq!(all[9].as_ref().unwrap().bytes(), None);
        drop(all);
        assert_eq!(spill.0.borrow().free.len(), 11);
    }
}
