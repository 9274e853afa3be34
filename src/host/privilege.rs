//! Which privileges recording needs, and giving up the others.
//!
//! # What stays after attaching, and why so
//! We *become the user who called sudo* (all four user ids, all group ids, with `PR_SET_KEEPCAPS` for
//! the crossing) and keep a few capabilities. The other way, to stay user 0 and give capabilities
//! up, protects little: nearly every file of the system belongs to user 0, who may write them
//! without any capability. As the caller, whatever goes wrong in us writes only what the caller
//! could have written; trace files are theirs without further ado; and they can send us signals, and
//! we them to CMD, without CAP_KILL. We are not dumpable, so that their other processes cannot read
//! in our memory what we saw of other users' processes, and they lack the capabilities to ptrace us.
//!
//! Real root without sudo stays root, and keeps CAP_DAC_OVERRIDE as well, without which root could
//! not finish a file in another user's folder.
//!
//! CAP_SYS_PTRACE is a strong one to keep: /proc/PID/exe, /proc/PID/root and /proc/PID/maps of other
//! users' processes cannot be read without it. Nothing in this program calls ptrace.

use super::Error;
use super::owner::Owner;
use super::procfs::{self, CapabilitySets};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Capabilities by number (linux/capability.h).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Capability {
    /// Write files of others.
    DacOverride = 1,
    /// Read files and search folders of others.
    DacReadSearch = 2,
    /// Signal processes of others.
    Kill = 5,
    /// Look into processes of others (/proc/PID/exe, root, maps).
    SysPtrace = 19,
    /// Everything of before Linux 5.8 that the next two split off.
    SysAdmin = 21,
    /// Raise limits: before Linux 5.11 BPF maps counted against RLIMIT_MEMLOCK.
    SysResource = 24,
    /// perf_event_open, tracing programs (Linux 5.8).
    Perfmon = 38,
    /// bpf(2) (Linux 5.8).
    Bpf = 39,
}

impl Capability {
    /// The bit in [`CapabilitySets`].
    pub const fn bit(self) -> u64 {
        1 << self as u8
    }

    /// As capabilities(7) and setcap(8) write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DacOverride => "cap_dac_override",
            Self::DacReadSearch => "cap_dac_read_search",
            Self::Kill => "cap_kill",
            Self::SysPtrace => "cap_sys_ptrace",
            Self::SysAdmin => "cap_sys_admin",
            Self::SysResource => "cap_sys_resource",
            Self::Perfmon => "cap_perfmon",
            Self::Bpf => "cap_bpf",
        }
    }
}

/// What a recording keeps after attaching.
pub const KEPT: [Capability; 4] =
    [Capability::Bpf, Capability::Perfmon, Capability::SysPtrace, Capability::DacReadSearch];

/// How to do without root; the capabilities are those of [`KEPT`].
pub const SETCAP: &str =
    "sudo setcap cap_bpf,cap_perfmon,cap_sys_ptrace,cap_dac_read_search=ep \"$(command -v startrace)\"";

static DROPPED: AtomicBool = AtomicBool::new(false);

/// [`drop_to`] was called: a child would inherit its restrictions.
pub fn dropped() -> bool {
    DROPPED.load(Relaxed)
}

/// The calling thread's capabilities.
///
/// # Errors
/// /proc is not mounted or not readable.
pub fn status() -> Result<CapabilitySets, Error> {
    Ok(own_status()?.capabilities)
}

fn own_status() -> Result<procfs::Status, Error> {
    procfs::status(Path::new("/proc/thread-self"))
        .map_err(|e| Error::io("cannot read /proc/thread-self/status: is /proc mounted?", e))
}

/// Whether perf events may be refused here to whoever has CAP_PERFMON but not CAP_SYS_ADMIN: the kernels of Debian and
/// Ubuntu do so while `kernel.perf_event_paranoid` is above 2, which no other kernel gives a meaning.
pub fn perf_is_strict(root: &Path) -> bool {
    std::fs::read_to_string(root.join("proc/sys/kernel/perf_event_paranoid"))
        .is_ok_and(|text| text.trim().parse::<i32>().is_ok_and(|value| value > 2))
}

/// What these capabilities allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// BPF programs can be loaded and attached, and any process be looked into.
    Full,
    /// Programs can be loaded; details of other users' processes stay unknown.
    OwnProcesses,
    /// Programs cannot be loaded.
    None,
}

/// What a set of effective capabilities allows.
pub fn rights(effective: u64) -> Rights {
    let has = |capability: Capability| effective & capability.bit() != 0;
    let loads = has(Capability::SysAdmin) || (has(Capability::Bpf) && has(Capability::Perfmon));
    let looks = has(Capability::SysPtrace) && has(Capability::DacReadSearch);
    match (loads, looks) {
        (false, _) => Rights::None,
        (true, false) => Rights::OwnProcesses,
        (true, true) => Rights::Full,
    }
}

/// Can BPF programs be loaded at all? `command` is what was asked for (`record`, `watch`), for the
/// error to say how it would work.
///
/// # Errors
/// One sentence that says what to do; the exit code is 77.
pub fn require(command: &str) -> Result<(), Error> {
    let status = own_status()?;
    require_of(command, status.uids[1], status.capabilities.effective)
}

fn require_of(command: &str, euid: u32, effective: u64) -> Result<(), Error> {
    if rights(effective) != Rights::None {
        return Ok(());
    }
    Err(Error::new(if euid == 0 {
        format!(
            "{command}: this root lacks CAP_BPF and CAP_PERFMON, as in a container: start the container \
             with --cap-add BPF --cap-add PERFMON --cap-add SYS_PTRACE --pid host, or run startrace on \
             the host"
        )
    } else {
        format!("{command} needs root: run 'sudo startrace {command} ...', or once '{SETCAP}' to do without")
    }))
}

/// The capabilities that [`drop_to`] leaves.
pub fn kept(owner: &Owner, extra: &[Capability]) -> u64 {
    let mut kept = KEPT.iter().chain(extra).fold(0, |set, capability| set | capability.bit());
    if owner.uid == 0 {
        kept |= Capability::DacOverride.bit();
    }
    kept
}

/// Becomes `owner` and gives up every capability but [`kept`], in all five sets and for good
/// (no_new_privs). To be called once everything is attached and every command is started: a command
/// started afterwards would run with these restrictions, so [`super::spawn`] refuses to.
///
/// Of the kept ones only those are left that we had: nothing is gained by calling this.
///
/// # Errors
/// There is another thread, which would keep its rights (credentials belong to threads in Linux), or
/// the kernel refuses. The process should end then: it may have become half of what it should be.
pub fn drop_to(owner: &Owner, extra: &[Capability]) -> Result<(), Error> {
    keep_only(owner, kept(owner, extra))
}

/// The same with another set of capabilities to be left.
///
/// # Errors
/// As [`drop_to`].
pub fn keep_only(owner: &Owner, kept: u64) -> Result<(), Error> {
    let before = own_status()?;
    if before.threads != 1 {
        return Err(Error::new(format!(
            "privileges can be dropped in a process of one thread only, and there are {}",
            before.threads
        )));
    }
    DROPPED.store(true, Relaxed);
    let keep = kept & before.capabilities.permitted;
    drop_bounding(before.capabilities.bounding)?;
    if before.uids != [owner.uid; 4] || before.gids != [owner.gid; 4] {
        change_user(owner)?;
    }
    set_capabilities(keep).map_err(|e| Error::io("cannot give up capabilities", e))?;
    // Old kernels (before 4.3) have no ambient set and say EINVAL.
    let _ = prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong);
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1)
        .map_err(|e| Error::io("cannot set no_new_privs after attaching", e))?;
    prctl(libc::PR_SET_DUMPABLE, 0)
        .map_err(|e| Error::io("cannot close our memory to other processes", e))?;
    verify(owner, keep)
}

fn drop_bounding(bounding: u64) -> Result<(), Error> {
    for capability in (0..64).filter(|bit| bounding & (1 << bit) != 0) {
        match prctl(libc::PR_CAPBSET_DROP, capability) {
            Ok(()) => {}
            // No CAP_SETPCAP (startrace has file capabilities, and is not root): the set stays, and
            // no_new_privs makes it harmless.
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => return Ok(()),
            Err(e) => return Err(Error::io("cannot shrink the capability bounding set", e)),
        }
    }
    Ok(())
}

fn change_user(owner: &Owner) -> Result<(), Error> {
    let failed = |e: nix::Error| Error::io(format!("cannot become user {} after attaching", owner.uid), e);
    prctl(libc::PR_SET_KEEPCAPS, 1)
        .map_err(|e| Error::io("cannot keep capabilities over a change of user", e))?;
    let groups: Vec<_> = owner.groups.iter().map(|&g| nix::unistd::Gid::from_raw(g)).collect();
    let gid = nix::unistd::Gid::from_raw(owner.gid);
    let uid = nix::unistd::Uid::from_raw(owner.uid);
    nix::unistd::setgroups(&groups).map_err(failed)?;
    nix::unistd::setresgid(gid, gid, gid).map_err(failed)?;
    nix::unistd::setresuid(uid, uid, uid).map_err(failed)?;
    prctl(libc::PR_SET_KEEPCAPS, 0).map_err(|e| Error::io("cannot end the keeping of capabilities", e))
}

/// Gives up what file capabilities gave to an ordinary user: commands that only read files must not read those of
/// others by the right to look into processes. Root stays root.
///
/// # Errors
/// The kernel refuses, or does not say what we have.
pub fn leave_file_capabilities() -> Result<(), Error> {
    if nix::unistd::geteuid().is_root() || status()?.permitted == 0 {
        return Ok(());
    }
    set_capabilities(0).map_err(|e| Error::io("cannot give up file capabilities", e))
}

/// An ordinary user's capabilities to pass by file permissions, out of effect until this is dropped.
pub(crate) struct WithoutOverride {
    effective: u64,
    permitted: u64,
}

impl WithoutOverride {
    /// `None`: there is nothing to take out of effect.
    pub(crate) fn enter() -> io::Result<Option<Self>> {
        if nix::unistd::geteuid().is_root() {
            return Ok(None);
        }
        let sets = own_status().map_err(io::Error::other)?.capabilities;
        let overriding = Capability::DacReadSearch.bit() | Capability::DacOverride.bit();
        if sets.effective & overriding == 0 {
            return Ok(None);
        }
        put_capabilities(sets.effective & !overriding, sets.permitted)?;
        Ok(Some(Self { effective: sets.effective, permitted: sets.permitted }))
    }
}

impl Drop for WithoutOverride {
    // Where that fails we have less than before, and what needs it says so.
    fn drop(&mut self) {
        let _ = put_capabilities(self.effective, self.permitted);
    }
}

/// The kernel's word that it has come out as it should.
fn verify(owner: &Owner, keep: u64) -> Result<(), Error> {
    let after = own_status()?;
    let sets = after.capabilities;
    let right = sets.effective == keep
        && sets.permitted == keep
        && sets.inheritable == 0
        && sets.ambient == 0
        && sets.no_new_privs
        && after.uids == [owner.uid; 4]
        && after.gids == [owner.gid; 4];
    right.then_some(()).ok_or_else(|| {
        Error::new(format!(
            "dropping privileges left the process with uids {:?}, gids {:?} and {sets:x?}",
            after.uids, after.gids
        ))
    })
}

/// prctl(2) with one number; only for options that take no pointer.
fn prctl(option: libc::c_int, argument: libc::c_ulong) -> io::Result<()> {
    let zero: libc::c_ulong = 0;
    // SAFETY: the options used in this file take numbers; no memory of ours is touched.
    match unsafe { libc::prctl(option, argument, zero, zero, zero) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets permitted and effective to `keep` and empties inheritable.
fn set_capabilities(keep: u64) -> io::Result<()> {
    put_capabilities(keep, keep)
}

/// Sets effective and permitted, and empties inheritable.
fn put_capabilities(effective: u64, permitted: u64) -> io::Result<()> {
    // struct __user_cap_header_struct and two __user_cap_data_struct of linux/capability.h; version 3
    // spreads 64 bits over two.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: libc::c_int,
    }
    #[repr(C)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let header = Header { version: 0x2008_0522, pid: 0 };
    let data = [0, 32].map(|shift| Data {
        effective: (effective >> shift) as u32,
        permitted: (permitted >> shift) as u32,
        inheritable: 0,
    });
    // SAFETY: the kernel reads one header and, for version 3, two data records, which is what the
    // pointers lead to; both live until after the call.
    match unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_what_to_do() {
        let full = KEPT.iter().fold(0, |set, c| set | c.bit());
        assert!(require_of("record", 1000, full).is_ok());
        assert!(require_of("record", 0, Capability::SysAdmin.bit()).is_ok());
        let user = require_of("record", 1000, 0).unwrap_err().to_string();
        assert!(user.contains("sudo startrace record ...") && user.contains("setcap"));
        let half = require_of("watch", 0, Capability::Bpf.bit()).unwrap_err();
        assert!(half.to_string().contains("--cap-add PERFMON"), "{half}");
    }

    #[test]
    fn setcap_names_what_is_kept() {
        for capability in KEPT {
            assert!(SETCAP.contains(capability.name()), "{capability:?}");
        }
    }

    #[test]
    fn perf_is_strict_above_two() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/sys/kernel");
        std::fs::create_dir_all(&folder).unwrap();
        assert!(!perf_is_strict(root.path()));
        for (value, strict) in [("-1\n", false), ("2\n", false), ("3\n", true), ("4\n", true), ("x\n", false)]
        {
            std::fs::write(folder.join("perf_event_paranoid"), value).unwrap();
            assert_eq!(perf_is_strict(root.path()), strict, "{value}");
        }
    }

    #[test]
    fn rights_have_three_steps() {
        let both = Capability::Bpf.bit() | Capability::Perfmon.bit();
        assert_eq!(rights(Capability::Perfmon.bit()), Rights::None);
        assert_eq!(rights(both), Rights::OwnProcesses);
        assert_eq!(
            rights(both | Capability::SysPtrace.bit() | Capability::DacReadSearch.bit()),
            Rights::Full
        );
    }

    // Dropping itself is tested in tests/host_privileged.rs: it needs a process of one thread.
    #[test]
    fn a_process_with_threads_is_refused_before_anything_changes() {
        let (keep_alive, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv());
        let before = status().unwrap();
        let error = drop_to(&Owner::own(), &[]).unwrap_err();
        assert!(error.to_string().contains("one thread only"), "{error}");
        assert_eq!(status().unwrap(), before);
        assert!(!dropped());
        drop(keep_alive);
        let _ = thread.join();
    }
}
