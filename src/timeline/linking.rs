//! From an image to its main(): what the dynamic loader and the C library tell of it.

use super::Builder;
use crate::event::Id;
use crate::event::task::{LIBC_FOLLOWS, Mark, Moment, RState};

/// Calls of `_dl_debug_state` that are kept of one image: two are enough for any.
const MAX_STATES: usize = 4;

/// What one image told.
#[derive(Debug, Clone, Default)]
pub(super) struct Linking {
    /// When `_dl_debug_state` was called, and what for.
    states: Vec<(u64, RState)>,
    libc_start_ns: Option<u64>,
    /// The first instruction of a static program.
    entry_ns: Option<u64>,
    /// `__libc_start_main` is told where it is called.
    libc_follows: bool,
    /// Its loader is one that tells.
    loader_tells: bool,
}

impl Linking {
    pub(super) fn of(loader_tells: bool) -> Self {
        Self { loader_tells, ..Self::default() }
    }

    fn take(&mut self, time_ns: u64, mark: &Mark) {
        match mark.moment {
            Moment::LdState if self.states.len() < MAX_STATES => {
                self.libc_follows |= mark.value & LIBC_FOLLOWS != 0;
                self.states.push((time_ns, RState::of(mark.value)));
            }
            Moment::LibcStart => {
                self.libc_start_ns.get_or_insert(time_ns);
            }
            Moment::Entry => {
                self.entry_ns.get_or_insert(time_ns);
            }
            _ => {}
        }
    }

    pub(super) fn libc_start_ns(&self) -> Option<u64> {
        self.libc_start_ns
    }

    /// When the phases after exec began, in their order, of an image that is in place since `image_ns`;
    /// what came after the end of the start is left out. `runtime`: its language's.
    pub(super) fn phases(
        &self,
        image_ns: u64,
        end_ns: u64,
        runtime: Option<&str>,
    ) -> Vec<(&'static str, u64)> {
        let libc_start = self.libc_start_ns.filter(|at| *at <= end_ns);
        let before = |at: &u64| *at <= libc_start.unwrap_or(end_ns);
        let mut states = self.states.iter().copied().filter(|(at, _)| before(at)).peekable();
        let first = states.peek().copied();
        // musl calls once, when all is relocated.
        let (mapping, relocated) = match first {
            None => (None, None),
            Some((at, RState::Consistent)) => (None, Some(at)),
            Some((at, _)) => {
                states.next();
                (Some(at), states.find(|(_, state)| state.ends()).map(|(at, _)| at))
            }
        };
        // A static program has no loader; what comes before its own first instruction is the kernel's.
        if let Some(entry) = self.entry_ns.filter(|at| *at <= end_ns) {
            return vec![("load", image_ns), ("app", entry)];
        }
        // Of an image that tells nothing it is not known whether it has a loader at all, unless it is one that tells:
        // that had not come so far.
        if first.is_none() && libc_start.is_none() {
            return vec![(if self.loader_tells { "load" } else { "app" }, image_ns)];
        }
        let mut phases = vec![("load", image_ns)];
        phases.extend(mapping.map(|at| ("link", at)));
        match (relocated, libc_start) {
            (_, Some(start)) => {
                phases.extend(relocated.map(|at| ("init", at)));
                phases.push(("app", start));
            }
            // Its constructors were running when it ended, unless it is one that never calls it: nobody
            // would know, and the whole run would pass for constructors.
            (Some(at), None) if self.libc_follows && !starts_by_itself(runtime) => phases.push(("init", at)),
            (Some(at), None) => phases.push(("app", at)),
            (None, None) => {}
        }
        phases
    }
}

/// Go's own entry point does without the C library's, also where the program is linked to that.
fn starts_by_itself(runtime: Option<&str>) -> bool {
    runtime.is_some_and(|runtime| runtime.split(' ').next() == Some("go"))
}

impl Builder {
    /// A loader or C library tells of a start in progress.
    pub(super) fn linking_mark(&mut self, time_ns: u64, id: Id, mark: &Mark) {
        let Some(start) = self.start_of(id) else { return };
        let image = start.execs.iter_mut().rev().find(|exec| exec.error.is_none());
        if let Some(image) = image.filter(|image| image.done_ns <= time_ns) {
            image.linking.take(time_ns, mark);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `A`dding, `C`onsistent, `?` unknown, `L`ibc start, `E`ntry, at 10, 20, 30 ...
    fn phases_of(script: &str, libc_follows: bool, runtime: Option<&str>) -> Vec<(&'static str, u64)> {
        let mut linking = Linking::default();
        for (n, step) in script.chars().enumerate() {
            let (moment, value) = match step {
                'A' => (Moment::LdState, 2),
                'C' => (Moment::LdState, 1),
                'L' => (Moment::LibcStart, 0),
                'E' => (Moment::Entry, 0),
                _ => (Moment::LdState, 0),
            };
            let value = value | if libc_follows { LIBC_FOLLOWS } else { 0 };
            linking.take(10 * (n as u64 + 1), &Mark { value, ..Mark::of(moment) });
        }
        linking.phases(5, 100, runtime)
    }

    #[test]
    fn each_loader_has_its_phases() {
        let glibc = [("load", 5), ("link", 10), ("init", 20), ("app", 30)];
        assert_eq!(phases_of("ACL", true, None), glibc);
        assert_eq!(phases_of("??L", true, None), glibc);
        assert_eq!(phases_of("E", false, None), [("load", 5), ("app", 10)]);
        // Static programs, too, may call a function of that name.
        assert_eq!(phases_of("EL", false, None), [("load", 5), ("app", 10)]);
        // A constructor opened a library.
        assert_eq!(phases_of("ACACL", true, None), [("load", 5), ("link", 10), ("init", 20), ("app", 50)]);
        // musl
        assert_eq!(phases_of("CL", true, None), [("load", 5), ("init", 10), ("app", 20)]);
        // static, or not probed
        assert_eq!(phases_of("", false, None), [("app", 5)]);
    }

    #[test]
    fn what_is_missing_merges_into_the_phase_before() {
        assert_eq!(phases_of("L", false, None), [("load", 5), ("app", 10)]);
        assert_eq!(phases_of("AL", true, None), [("load", 5), ("link", 10), ("app", 20)]);
        // A library was not found; the process was killed.
        assert_eq!(phases_of("A", true, None), [("load", 5), ("link", 10)]);
        assert_eq!(phases_of("AC", true, None), [("load", 5), ("link", 10), ("init", 20)]);
        // No one would tell that the constructors are through.
        assert_eq!(phases_of("AC", false, None), [("load", 5), ("link", 10), ("app", 20)]);
        assert_eq!(phases_of("AC", true, Some("go 1.22")), [("load", 5), ("link", 10), ("app", 20)]);
        // Killed before its loader said anything.
        assert_eq!(Linking::of(true).phases(5, 100, None), [("load", 5)]);
    }

    #[test]
    fn what_comes_after_the_end_is_left_out() {
        let mut linking = Linking::default();
        for (at, moment, value) in
            [(10, Moment::LdState, 2), (20, Moment::LdState, 1), (30, Moment::LibcStart, 0)]
        {
            linking.take(at, &Mark { value, ..Mark::of(moment) });
        }
        assert_eq!(linking.phases(5, 15, None), [("load", 5), ("link", 10)]);
        assert_eq!(linking.phases(5, 9, None), [("app", 5)]);
        // Hostile: no end of states.
        for at in 0..1000 {
            linking.take(at, &Mark { value: u64::MAX, ..Mark::of(Moment::LdState) });
        }
        assert_eq!(linking.states.len(), MAX_STATES);
    }
}
