//! Probes at the two calls of a loader's `_dl_debug_state` that every start makes, in place of the function itself: a
//! lone `ret`, which the kernel steps over out of line on x86-64, in a page that it has to map into each process first.
//! A call it emulates. Which of the calls they are the first start tells (`ld_callers` in `bpf/link.bpf.h`).

use super::{COOKIE_LEARN, How, Place, Programs, Uprobes};
use crate::bpf::types::ld_callers;
use crate::elf::libraries::Library;
use crate::elf::{Hooks, is_call};
use libbpf_rs::Link;
use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering};

/// `LD_FILES`.
const MAX_LEARNT: u64 = 64;

/// A call on x86-64.
const CALL_BYTES: i64 = 5;

/// A loader whose function is probed.
pub(super) struct Learns {
    file: File,
    /// The function's offset in the file.
    function: u64,
    cookie: u64,
    /// Of the link to it, the last that was made by then.
    link: usize,
}

impl Learns {
    /// `links`: so many were made, the function's last. `None` where the file cannot be kept open.
    pub(super) fn of(library: &Library, function: u64, cookie: u64, links: usize) -> Option<Self> {
        Some(Self { file: library.file.try_clone().ok()?, function, cookie, link: links.checked_sub(1)? })
    }

    /// The call that returns so far from the function.
    fn call(&self, returns_to: i32) -> Option<Place> {
        let before = i64::from(returns_to).checked_sub(CALL_BYTES)?;
        let offset = self.function.checked_add_signed(before)?;
        // Whoever runs a loader can call its function from anywhere, and claim anything.
        if !is_call(&self.file, offset, self.function) {
            return None;
        }
        // The same memory, from there.
        let r_state = (self.cookie as u32).cast_signed();
        let r_state = i32::try_from(i64::from(r_state).checked_sub(before)?).ok()?;
        let kept = self.cookie & !u64::from(u32::MAX) & !COOKIE_LEARN;
        Some(Place { offset, semaphore: 0, cookie: kept | u64::from(r_state.cast_unsigned()) })
    }
}

/// Where processes can have shadow stacks, kernels before 6.18 or so forget that a call they emulate belongs there too.
fn has_shadow_stacks() -> bool {
    static HAS: OnceLock<bool> = OnceLock::new();
    *HAS.get_or_init(|| {
        std::fs::read_to_string("/proc/cpuinfo").map_or(true, |text| {
            let flags = text.lines().find(|line| line.starts_with("flags"));
            flags.is_none_or(|flags| flags.split_ascii_whitespace().any(|flag| flag == "user_shstk"))
        })
    })
}

/// Would probes at the calls of that function be cheaper, and can they be learnt of?
pub(super) fn are_cheaper(hooks: &Hooks, number: u64) -> bool {
    cfg!(target_arch = "x86_64")
        && number < MAX_LEARNT
        && !hooks.is_musl()
        && hooks.r_state.is_some()
        // Else the function's link would not be the last.
        && hooks.execve.is_empty()
        && !has_shadow_stacks()
}

impl Uprobes {
    /// Probes the calls where both are known by now, instead of the function.
    pub(in super::super) fn follow_callers(
        &mut self,
        programs: &Programs<'_>,
        known: &mut [ld_callers; MAX_LEARNT as usize],
    ) {
        let mut over = Vec::new();
        let files = &mut self.files;
        self.learning.retain(|id| {
            let Some(held) = files.get_mut(id) else { return false };
            let Some(learns) = &held.learns else { return false };
            let number = usize::try_from(learns.cookie >> super::COOKIE_FILE_SHIFT & super::COOKIE_FILE_MASK);
            let Some(told) = number.ok().and_then(|number| known.get_mut(number)) else { return false };
            let Some(returns_to) = both(told) else { return true };
            match probe_calls(programs, learns, returns_to) {
                Some(link) => {
                    tracing::debug!("a loader is probed where it calls _dl_debug_state");
                    // From here on the function's probe keeps silent, until it is gone.
                    // SAFETY: same size, aligned in the map's page by the compiler; the programs only read it.
                    unsafe { AtomicU32::from_ptr(&raw mut told.probed) }.store(1, Ordering::SeqCst);
                    let place = held.links.get_mut(learns.link);
                    over.extend(place.map(|place| std::mem::replace(place, link)));
                }
                None => tracing::debug!("the calls of a loader's _dl_debug_state cannot be probed"),
            }
            held.learns = None;
            false
        });
        if !over.is_empty() {
            super::close(over);
        }
    }
}

/// What the programs have learnt, if it is both.
fn both(told: &mut ld_callers) -> Option<[i32; 2]> {
    let [adding, relocated] = [&raw mut told.adding, &raw mut told.relocated].map(|place| {
        // SAFETY: same size, aligned in the map's page by the compiler; the programs write it once.
        unsafe { AtomicI32::from_ptr(place) }.load(Ordering::SeqCst)
    });
    (adding != 0 && relocated != 0).then_some([adding, relocated])
}

fn probe_calls(programs: &Programs<'_>, learns: &Learns, returns_to: [i32; 2]) -> Option<Link> {
    let mut places: Vec<Place> = returns_to.iter().filter_map(|&distance| learns.call(distance)).collect();
    places.dedup_by_key(|place| place.offset);
    if places.len() != returns_to.len() {
        return None;
    }
    super::attach(programs.ld_state, &learns.file, &places, false, How::Multi).ok()?.pop()
}
