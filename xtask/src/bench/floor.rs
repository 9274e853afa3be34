//! BPF programs that do nothing: what the kernel takes for calling any program at all, below which no tracer can be.
//!
//! They are of the type `raw_tracepoint`, which needs no type information of the kernel; ours (`tp_btf`) are called in
//! the same way. Two system calls do it, so that xtask needs no libbpf, which is C.

use anyhow::{Context, Result};
use nix::errno::Errno;
use nix::libc;
use std::ffi::CString;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const PROG_LOAD: libc::c_int = 5;
const RAW_TRACEPOINT_OPEN: libc::c_int = 17;
const LINK_GET_FD_BY_ID: libc::c_int = 30;
const LINK_GET_NEXT_ID: libc::c_int = 31;
const RAW_TRACEPOINT: u32 = 17;

/// `r0 = 0; exit`, each an operation, registers, an offset and a number.
const NOTHING: [[u8; 8]; 2] = [[0xb7, 0, 0, 0, 0, 0, 0, 0], [0x95, 0, 0, 0, 0, 0, 0, 0]];

/// What the kernel wants to know for a program (`union bpf_attr` in include/uapi/linux/bpf.h, as far as it is used).
#[repr(C)]
#[derive(Default)]
struct Load {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
}

/// The same for its tracepoint.
#[repr(C)]
struct Open {
    name: u64,
    prog_fd: u32,
    reserved: u32,
}

/// Programs on tracepoints, until this is dropped.
pub struct Nothing {
    _links: Vec<OwnedFd>,
}

impl Nothing {
    pub fn on(tracepoints: &[&str]) -> Result<Self> {
        let links = tracepoints.iter().map(|tracepoint| attach(tracepoint)).collect::<Result<_>>()?;
        Ok(Self { _links: links })
    }
}

/// The link, which holds the program.
fn attach(tracepoint: &str) -> Result<OwnedFd> {
    let license = c"Dual MIT/GPL";
    let mut load = Load {
        prog_type: RAW_TRACEPOINT,
        insn_cnt: NOTHING.len() as u32,
        insns: NOTHING.as_ptr() as u64,
        license: license.as_ptr() as u64,
        ..Load::default()
    };
    // SAFETY: it is what loading reads, and all that it points to (two instructions, a text with its NUL) outlives the call.
    let program = unsafe { bpf(PROG_LOAD, &mut load) }
        .with_context(|| format!("a program that does nothing cannot be loaded for {tracepoint}"))?;
    let name = CString::new(tracepoint)?;
    let mut open = Open { name: name.as_ptr() as u64, prog_fd: program.as_raw_fd() as u32, reserved: 0 };
    // SAFETY: it is what opening reads, and the name and the program outlive the call.
    unsafe { bpf(RAW_TRACEPOINT_OPEN, &mut open) }
        .with_context(|| format!("a program that does nothing cannot be attached to {tracepoint}"))
}

/// What the kernel wants to know, and says, of links one after the other.
#[repr(C)]
struct Ids {
    id: u32,
    next_id: u32,
    flags: u32,
}

/// How many programs are on a tracepoint, whoever put them there. (Not those that got there by perf's way.)
pub fn programs_on(tracepoint: &str) -> Result<usize> {
    let mut ids = Ids { id: 0, next_id: 0, flags: 0 };
    let mut found = 0;
    loop {
        // SAFETY: it is what this command reads and writes, and holds no pointer.
        match unsafe { call(LINK_GET_NEXT_ID, &mut ids) } {
            Err(Errno::ENOENT) => return Ok(found),
            next => next.context("BPF links cannot be listed")?,
        };
        ids = Ids { id: ids.next_id, next_id: 0, flags: 0 };
        // SAFETY: it is what this command reads.
        let link = match unsafe { bpf(LINK_GET_FD_BY_ID, &mut Ids { ..ids }) } {
            // It has ended meanwhile.
            Err(Errno::ENOENT) => continue,
            link => link.context("a BPF link cannot be opened")?,
        };
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", link.as_raw_fd()))?;
        if is_on(&text, tracepoint) {
            found += 1;
        }
    }
}

/// Whether that is what the `fdinfo` of a link says.
fn is_on(fdinfo: &str, tracepoint: &str) -> bool {
    fdinfo
        .lines()
        .filter_map(|line| line.split_once(':'))
        .any(|(name, value)| name == "tp_name" && value.trim() == tracepoint)
}

/// A call of bpf(2) that gives a descriptor.
///
/// # Safety
///
/// As for [`call`], and the command has to be one that makes a descriptor.
unsafe fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<OwnedFd, Errno> {
    // SAFETY: the caller vouches for it.
    let descriptor = unsafe { call(command, attributes) }?;
    // SAFETY: the kernel has just made it, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor as libc::c_int) })
}

/// A call of bpf(2).
///
/// # Safety
///
/// `attributes` has to be what the kernel reads and writes for this command, with pointers that hold until it returns.
unsafe fn call<T>(command: libc::c_int, attributes: &mut T) -> Result<libc::c_long, Errno> {
    // SAFETY: the caller vouches for what is in it; of itself the kernel touches no more than the size.
    Errno::result(unsafe {
        libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>() as libc::c_uint)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_layout() {
        // Offsets in `union bpf_attr`.
        assert_eq!((std::mem::offset_of!(Load, license), size_of::<Load>()), (16, 48));
        assert_eq!((std::mem::offset_of!(Open, prog_fd), size_of::<Open>()), (8, 16));
    }

    #[test]
    fn a_links_tracepoint() {
        let fdinfo = "pos:\t0\nlink_type:\traw_tracepoint\nlink_id:\t9\ntp_name:\tsched_switch\ncookie:\t0\n";
        assert!(is_on(fdinfo, "sched_switch"));
        assert!(!is_on(fdinfo, "sched_waking") && !is_on(fdinfo, "raw_tracepoint"));
    }

    #[test]
    fn what_is_refused_says_where() {
        // Without privileges the program is refused already, with them its tracepoint.
        let why = Nothing::on(&["sched_nothing_of_the_kind"]).err().unwrap();
        assert!(format!("{why:#}").contains("sched_nothing_of_the_kind"), "{why:#}");
    }

    #[test]
    fn programs_are_attached_where_that_is_allowed() {
        match Nothing::on(&["sched_switch", "sched_waking"]) {
            Ok(nothing) => {
                assert_eq!(nothing._links.len(), 2);
                assert!(programs_on("sched_switch").unwrap() >= 1);
                assert_eq!(programs_on("sched_nothing_of_the_kind").unwrap(), 0);
            }
            // Who may not is told so by the kernel.
            Err(why) => assert_eq!(why.downcast_ref::<Errno>(), Some(&Errno::EPERM), "{why:#}"),
        }
    }
}
