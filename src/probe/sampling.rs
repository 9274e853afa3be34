//! The clocks that samples are taken by: one for each CPU.

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// Opens a CPU clock on every CPU that is online; each samples while something runs there.
///
/// # Errors
/// The kernel refuses, as a rule because `kernel.perf_event_max_sample_rate` is lower.
pub(super) fn clocks(hz: u32) -> Result<Vec<OwnedFd>> {
    let cpus = i32::try_from(libbpf_rs::num_possible_cpus()?)?;
    let mut clocks = Vec::new();
    for cpu in 0..cpus {
        match clock(hz, cpu) {
            Ok(clock) => clocks.push(clock),
            // Not online.
            Err(Errno::ENODEV) => {}
            Err(Errno::EINVAL) => bail!(
                "--profile {hz}: the kernel takes fewer samples a second (see /proc/sys/kernel/perf_event_max_sample_rate)"
            ),
            Err(error) => return Err(error).context("--profile: no CPU clock can be opened"),
        }
    }
    Ok(clocks)
}

fn clock(hz: u32, cpu: i32) -> Result<OwnedFd, Errno> {
    use libbpf_rs::libbpf_sys as sys;
    /// `PERF_TYPE_SOFTWARE`; its event 0 is the CPU clock.
    const SOFTWARE: u32 = 1;
    const CLOEXEC: libc::c_ulong = 8;
    let mut attr = sys::perf_event_attr {
        type_: SOFTWARE,
        size: size_of::<sys::perf_event_attr>() as u32,
        config: 0,
        ..Default::default()
    };
    attr.__bindgen_anon_1.sample_freq = u64::from(hz);
    attr.set_freq(1);
    // SAFETY: the attribute is whole and lives across the call; any task on that CPU, no group.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, cpu, -1, CLOEXEC) };
    let fd = i32::try_from(Errno::result(fd)?).map_err(|_| Errno::EBADF)?;
    // SAFETY: perf_event_open has just made it; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}
