//! The programs in loaders, C libraries and CPython. A second thread loads and attaches them while the kernel's verifier
//! follows the others: each takes some 25 ms, and a command waits for both. They are a second copy of the object, which
//! has the first one's maps.

use super::Error;
use super::kernel_types::KernelTypes;
use super::object::{self, no_section};
use super::opener::Opener;
use super::plan::{Plan, Scope};
use super::uprobe::{Programs, Started, Uprobes};
use crate::bpf::types::ld_callers;
use crate::bpf::{OpenStartraceSkel, StartraceProgs, StartraceSkel};
use libbpf_rs::skel::{OpenSkel, Skel};
use libbpf_rs::{AsRawLibbpf, Link, libbpf_sys};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::Receiver;

/// The programs that a second thread loads.
const BESIDE: [&str; 8] = [
    "on_ld_state",
    "on_libc_start",
    "on_libc_execve",
    "on_libc_execve_return",
    "on_import_begin",
    "on_import_end",
    "on_import_call",
    "on_import_return",
];

pub(super) fn is_loaded_beside(program: &std::ffi::OsStr) -> bool {
    BESIDE.iter().any(|name| program == *name)
}

/// The maps of an object, in its order; `None`: one that this recording does without.
pub(super) type Maps = Vec<Option<OwnedFd>>;

/// Makes the maps of an object, whose programs are not loaded yet.
pub(super) fn make_maps(open: &mut OpenStartraceSkel<'_>) -> Result<Maps, Error> {
    let object = open.open_object_mut();
    // SAFETY: an open object; loading it later goes on from here.
    let result = unsafe { libbpf_sys::bpf_object__prepare(object.as_libbpf_object().as_ptr()) };
    if result < 0 {
        return Err(libbpf_rs::Error::from_raw_os_error(-result).into());
    }
    object
        .maps_mut()
        .map(|map| {
            // SAFETY: a map of that object.
            let fd = unsafe { libbpf_sys::bpf_map__fd(map.as_libbpf_object().as_ptr()) };
            if fd < 0 || !map.autocreate() {
                return Ok(None);
            }
            // SAFETY: open as long as the object is.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            Ok(Some(fd.try_clone_to_owned().map_err(anyhow::Error::from)?))
        })
        .collect()
}

/// The programs, loaded, and where they are.
pub(super) struct Libraries {
    skel: StartraceSkel<'static>,
    uprobes: Uprobes,
}

impl Libraries {
    /// Loads them as soon as the maps are there, and puts them where programs of this machine, and these that run, need
    /// them.
    pub(super) fn attach(plan: &Plan, types: &KernelTypes, maps: &Receiver<Maps>) -> Result<Self, Error> {
        let mut open = object::open(plan, types, is_loaded_beside)?;
        // None come where the first object failed, of which is told there.
        let maps = maps.recv().map_err(|_| no_section())?;
        for (mut map, fd) in open.open_object_mut().maps_mut().zip(maps) {
            if let Some(fd) = fd {
                map.reuse_fd(fd.as_fd())?;
            }
        }
        let skel = open.load()?;
        object::tell_verified(skel.object());
        let mut uprobes = Uprobes::new(plan.uprobes());
        let pids: &[u32] = if let Scope::Pids(pids) = &plan.scope { pids } else { &[] };
        uprobes.begin(&programs(&skel.progs), pids);
        Ok(Self { skel, uprobes })
    }

    pub(super) fn object(&self) -> &libbpf_rs::Object {
        self.skel.object()
    }

    /// Probes the loader that a process was started with, and its C library, unless they are probed. Gives since when
    /// (boottime) the loader tells of starts.
    pub(super) fn look(&mut self, started: &Started<'_>) -> Option<u64> {
        let programs = programs(&self.skel.progs);
        // The interpreter first: it is on its way to its first import.
        self.uprobes.look_at_runtime(&programs, started);
        self.uprobes.look(&programs, started)
    }

    /// Lets go the probes in files of roots that nobody has any more.
    pub(super) fn let_go_of_roots(&mut self) {
        self.uprobes.let_go();
    }

    /// Probes the calls of loaders' functions where they are known by now.
    pub(super) fn follow_callers(&mut self, known: &mut [ld_callers; 64]) {
        if self.uprobes.is_learning() {
            self.uprobes.follow_callers(&programs(&self.skel.progs), known);
        }
    }

    /// The same for a program that will be started.
    pub(super) fn look_at_program(&mut self, path: &Path) {
        self.uprobes.program(&programs(&self.skel.progs), path);
    }

    /// The numbers of the interpreters that got probes since this was asked last.
    pub(super) fn take_live(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.uprobes.live)
    }

    /// As `session.hooks` names them.
    pub(super) fn hooks(&self) -> &[String] {
        &self.uprobes.hooks
    }

    /// Loaders and C libraries without the probes that they should have.
    pub(super) fn missing(&self) -> u64 {
        self.uprobes.missing
    }

    /// From here on probes are opened by this, if by anybody.
    pub(super) fn set_opener(&mut self, opener: Option<Opener>) {
        self.uprobes.opener = opener;
    }

    /// What detaches them when it is dropped.
    pub(super) fn take_links(&mut self) -> Vec<Link> {
        self.uprobes.take_links()
    }
}

fn programs<'a>(p: &'a StartraceProgs<'a>) -> Programs<'a> {
    Programs {
        ld_state: &p.on_ld_state,
        libc_start: &p.on_libc_start,
        execve: &p.on_libc_execve,
        execve_return: &p.on_libc_execve_return,
        import_begin: &p.on_import_begin,
        import_end: &p.on_import_end,
        import_call: &p.on_import_call,
        import_return: &p.on_import_return,
    }
}
