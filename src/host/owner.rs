//! Touching files as the user who asked, and not as root.
//!
//! Trace files are named by whoever called sudo. Root would follow them into places where they may
//! not write and would leave files there that they cannot remove. So every open, rename and unlink
//! of a trace file runs with the user's filesystem ids and groups, and the kernel's own permission
//! checks decide, with no check of ours that could race.

use super::Error;
use super::privilege::WithoutOverride;
use std::io;

/// Whom the files of a recording belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

impl Owner {
    /// Ourselves.
    pub fn own() -> Self {
        Self {
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            groups: own_groups().unwrap_or_default(),
        }
    }

    /// Does something with the filesystem as this user: with their fsuid, fsgid and supplementary
    /// groups. setfsuid(2) also takes the capabilities that override file permissions away, for as
    /// long; where the ids are ours already and we have them as an ordinary user (by `setcap`), they are
    /// taken out of effect as well. All three are the calling thread's alone, so `action` must not hand work to another.
    ///
    /// # Errors
    /// The kernel refuses the change (no CAP_SETUID or CAP_SETGID); nothing was done then.
    pub fn act<T>(&self, action: impl FnOnce() -> T) -> Result<T, Error> {
        let failed =
            |e| Error::io(format!("cannot create files as user {}, who called startrace", self.uid), e);
        let _without = WithoutOverride::enter().map_err(failed)?;
        let _guard = Guard::enter(self).map_err(failed)?;
        Ok(action())
    }
}

/// The filesystem ids and groups to go back to.
struct Guard {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

impl Guard {
    fn enter(owner: &Owner) -> io::Result<Option<Self>> {
        let (uid, gid) = (set_fsuid(u32::MAX), set_fsgid(u32::MAX));
        if (uid, gid) == (owner.uid, owner.gid) {
            // Ourselves, or the privileges were dropped to this user already, groups included.
            return Ok(None);
        }
        let groups = own_groups()?;
        set_groups(&owner.groups)?;
        // From here on dropping the guard restores whatever was changed.
        let guard = Self { uid, gid, groups };
        set_fsgid(owner.gid);
        set_fsuid(owner.uid);
        // Both calls return the former value and no error; only asking again tells.
        if (set_fsuid(u32::MAX), set_fsgid(u32::MAX)) != (owner.uid, owner.gid) {
            return Err(io::Error::from_raw_os_error(libc::EPERM));
        }
        Ok(Some(guard))
    }
}

impl Drop for Guard {
    // A failure here leaves us with fewer rights than before, never with more: later work fails with
    // an error of its own, and there is nobody to tell in a destructor.
    fn drop(&mut self) {
        set_fsuid(self.uid);
        set_fsgid(self.gid);
        let _ = set_groups(&self.groups);
    }
}

/// Sets the filesystem user id and returns the former one; an invalid id (`u32::MAX`) only asks.
fn set_fsuid(uid: u32) -> u32 {
    // SAFETY: setfsuid takes a number and touches no memory of ours.
    unsafe { libc::setfsuid(uid) as u32 }
}

fn set_fsgid(gid: u32) -> u32 {
    // SAFETY: setfsgid takes a number and touches no memory of ours.
    unsafe { libc::setfsgid(gid) as u32 }
}

/// The calling thread's supplementary groups.
pub(crate) fn own_groups() -> io::Result<Vec<u32>> {
    Ok(nix::unistd::getgroups()?.into_iter().map(nix::unistd::Gid::as_raw).collect())
}

/// Sets the calling thread's supplementary groups: the system call itself, because the C library's
/// function would change every thread.
fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the kernel reads `len` group ids from the pointer, which is what the slice holds.
    match unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
