//! What `/proc/PID/status` says, as far as the host part needs it.

use super::read_bounded;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// Some lines of `/proc/PID/status` (proc_pid_status(5)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Parent process in our PID namespace; 0 where it lives outside of it.
    pub ppid: u32,
    /// Real, effective, saved and filesystem user id.
    pub uids: [u32; 4],
    /// The same of the group.
    pub gids: [u32; 4],
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// File mode creation mask (Linux 4.7 and up).
    pub umask: Option<u32>,
    /// Number of threads.
    pub threads: u32,
    /// Capabilities and no_new_privs.
    pub capabilities: CapabilitySets,
}

/// The capability sets of a task; bit `n` stands for capability `n` (capabilities(7)).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitySets {
    /// Kept over exec where the file agrees.
    pub inheritable: u64,
    /// What may be made effective.
    pub permitted: u64,
    /// What counts.
    pub effective: u64,
    /// What exec can give at most.
    pub bounding: u64,
    /// Kept over exec of an ordinary file.
    pub ambient: u64,
    /// No exec can give privileges any more.
    pub no_new_privs: bool,
}

/// Reads the status of a process, given its folder in /proc.
///
/// # Errors
/// The process is gone, or the file does not look like one of the kernel's.
pub fn status(process: &Path) -> io::Result<Status> {
    let bytes = read_bounded(&process.join("status"), 4 * 1024 * 1024)?;
    parse(&String::from_utf8_lossy(&bytes)).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}/status is not understood", process.display()))
    })
}

// `Name:` comes first and is the program's to choose, but the kernel escapes line feeds in it, so no
// other line can be forged.
fn parse(text: &str) -> Option<Status> {
    let field =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).map(str::trim);
    let hex = |key| u64::from_str_radix(field(key)?, 16).ok();
    Some(Status {
        ppid: field("PPid")?.parse().ok()?,
        uids: four(field("Uid")?)?,
        gids: four(field("Gid")?)?,
        groups: field("Groups")?.split_whitespace().map(|group| group.parse().ok()).collect::<Option<_>>()?,
        umask: field("Umask").and_then(|mask| u32::from_str_radix(mask, 8).ok()),
        threads: field("Threads")?.parse().ok()?,
        capabilities: CapabilitySets {
            inheritable: hex("CapInh")?,
            permitted: hex("CapPrm")?,
            effective: hex("CapEff")?,
            bounding: hex("CapBnd")?,
            // Linux 4.3 and 4.10 brought these two; older kernels have neither.
            ambient: hex("CapAmb").unwrap_or(0),
            no_new_privs: field("NoNewPrivs") == Some("1"),
        },
    })
}

fn four(text: &str) -> Option<[u32; 4]> {
    let mut numbers = text.split_whitespace().map(str::parse);
    let mut four = [0; 4];
    for number in &mut four {
        *number = numbers.next()?.ok()?;
    }
    Some(four)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_status_is_read() {
        let status = status(Path::new("/proc/self")).unwrap();
        assert_eq!(status.uids[0], nix::unistd::getuid().as_raw());
        assert_eq!(status.gids[1], nix::unistd::getegid().as_raw());
        assert_eq!(status.ppid, nix::unistd::getppid().as_raw() as u32);
        assert!(status.threads >= 1 && status.umask.is_some());
    }

    #[test]
    fn what_is_not_a_status_is_refused() {
        assert_eq!(parse(""), None);
        assert_eq!(parse("Name:\tx\nPPid:\tmany\n"), None);
        let whole = std::fs::read_to_string("/proc/self/status").unwrap();
        assert!(parse(&whole).is_some());
        assert_eq!(parse(&whole.replace("Groups:", "Groups:\tx")), None);
        assert_eq!(parse(&whole.replace("CapEff:", "CapEfg:")), None);
    }
}
