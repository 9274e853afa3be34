//! Numbers of tracepoints, from tracefs, mounted or not.

use anyhow::{Context, Result};
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

const MOUNTS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// An open tracefs.
pub(super) struct TraceFs {
    root: OwnedFd,
}

impl TraceFs {
    /// Opens the mounted one, or an instance of our own that is mounted nowhere and goes with us.
    pub(super) fn open() -> Result<Self> {
        for mount in MOUNTS {
            if std::path::Path::new(mount).join("events/syscalls").is_dir() {
                return Ok(Self { root: File::open(mount)?.into() });
            }
        }
        Self::open_unmounted()
    }

    fn open_unmounted() -> Result<Self> {
        const FSCONFIG_CMD_CREATE: libc::c_uint = 6;
        // SAFETY: fsopen, fsconfig and fsmount take a C string, numbers and null pointers here; each
        // descriptor that comes back is owned at once.
        unsafe {
            let context = owned(libc::syscall(libc::SYS_fsopen, c"tracefs".as_ptr(), libc::FSOPEN_CLOEXEC))
                .context("tracefs is not mounted and cannot be opened; try 'sudo mount -t tracefs nodev /sys/kernel/tracing'")?;
            let created = libc::syscall(
                libc::SYS_fsconfig,
                context.as_raw_fd(),
                FSCONFIG_CMD_CREATE,
                std::ptr::null::<libc::c_char>(),
                std::ptr::null::<libc::c_char>(),
                0,
            );
            if created < 0 {
                return Err(std::io::Error::last_os_error()).context("cannot create an instance of tracefs");
            }
            let root = owned(libc::syscall(libc::SYS_fsmount, context.as_raw_fd(), 1, 0))
                .context("cannot mount an instance of tracefs")?;
            Ok(Self { root })
        }
    }

    /// The number of a tracepoint.
    pub(super) fn id(&self, category: &str, name: &str) -> Result<u64> {
        let path = std::ffi::CString::new(format!("events/{category}/{name}/id"))?;
        // SAFETY: a live directory and a C string.
        let fd =
            unsafe { libc::openat(self.root.as_raw_fd(), path.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC) };
        // SAFETY: openat's result.
        let file = unsafe { owned(fd.into()) }.with_context(|| format!("no tracepoint {category}:{name}"))?;
        let mut text = String::new();
        File::from(file).take(64).read_to_string(&mut text)?;
        text.trim().parse().with_context(|| format!("tracepoint {category}:{name} has the number {text:?}"))
    }
}

/// Are the tracepoints of system calls found at all?
///
/// # Errors
/// What stands in the way.
pub fn find_syscall_tracepoints() -> Result<()> {
    TraceFs::open()?.id("syscalls", "sys_enter_execve").map(drop)
}

/// Can tracepoints of system calls be opened? Tried with one, without a program.
///
/// # Errors
/// What stands in the way.
pub fn syscall_tracepoints() -> Result<()> {
    perf_event(TraceFs::open()?.id("syscalls", "sys_enter_execve")?).map(drop)
}

/// # Safety
/// `fd` is the result of a system call that gives a new descriptor or -1.
unsafe fn owned(fd: libc::c_long) -> std::io::Result<OwnedFd> {
    if fd < 0 {
        return Err(std::io::Error::last_os_error());
    }
    // SAFETY: by the caller's promise nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Opens a tracepoint as a perf event, disabled until a program is attached.
pub(super) fn perf_event(id: u64) -> Result<OwnedFd> {
    use libbpf_rs::libbpf_sys as sys;
    /// `PERF_TYPE_TRACEPOINT`
    const TRACEPOINT: u32 = 2;
    let mut attr = sys::perf_event_attr {
        type_: TRACEPOINT,
        size: size_of::<sys::perf_event_attr>() as u32,
        config: id,
        ..Default::default()
    };
    attr.__bindgen_anon_1.sample_period = 1;
    const CLOEXEC: libc::c_ulong = 8;
    // SAFETY: the attribute is whole and lives across the call. Any task, first CPU: a program that is
    // attached to a tracepoint's event runs on every CPU.
    let fd = unsafe { libc::syscall(libc::SYS_perf_event_open, &raw const attr, -1, 0, -1, CLOEXEC) };
    // SAFETY: perf_event_open's result.
    unsafe { owned(fd) }.context("cannot open a tracepoint's perf event")
}

/// Holds tracepoints' perf events beside their links, so that closing those waits less.
///
/// The kernel disables a tracepoint when the last reference to its event goes, and waits some 40 ms
/// for each under a lock (an RCU grace period): half a second for twelve, at the end of every
/// recording. Events in a BPF map go when the map does, from a kernel worker, and nobody waits. The
/// programs are detached at once all the same: that is the links' doing.
pub(super) struct Keeper {
    map: libbpf_rs::MapHandle,
    count: u32,
}

impl Keeper {
    pub(super) fn new() -> Result<Self> {
        let options = libbpf_rs::libbpf_sys::bpf_map_create_opts {
            sz: size_of::<libbpf_rs::libbpf_sys::bpf_map_create_opts>() as u64,
            ..Default::default()
        };
        let kind = libbpf_rs::MapType::PerfEventArray;
        let map = libbpf_rs::MapHandle::create(kind, Some("startrace_keep"), 4, 4, 64, &options)
            .context("cannot create a BPF map")?;
        Ok(Self { map, count: 0 })
    }

    pub(super) fn keep(&mut self, event: &OwnedFd) -> Result<()> {
        use libbpf_rs::{MapCore, MapFlags};
        self.map
            .update(&self.count.to_ne_bytes(), &event.as_raw_fd().to_ne_bytes(), MapFlags::ANY)
            .context("cannot keep a tracepoint's event in a BPF map")?;
        self.count += 1;
        Ok(())
    }
}
