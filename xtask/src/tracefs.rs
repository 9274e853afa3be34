//! tracefs, for the time that something needs it.

use crate::shell;
use anyhow::Result;
use std::fs;
use std::path::Path;

/// tracefs, which some of the kernel's tracepoints are looked up in: mounted while this lives
/// where it is not.
pub struct Tracefs {
    ours: bool,
}

const TRACEFS: &str = "/sys/kernel/tracing";

impl Tracefs {
    pub fn mounted() -> Result<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts")?;
        let there = mounts.lines().any(|line| line.split(' ').nth(2) == Some("tracefs"));
        if there || !Path::new(TRACEFS).is_dir() {
            return Ok(Self { ours: false });
        }
        let mut mount = shell::as_root("mount");
        shell::run(mount.args(["-t", "tracefs", "tracefs", TRACEFS]))?;
        Ok(Self { ours: true })
    }
}

impl Drop for Tracefs {
    fn drop(&mut self) {
        if self.ours && shell::run(shell::as_root("umount").arg(TRACEFS)).is_err() {
            eprintln!("tracefs stays mounted on {TRACEFS}");
        }
    }
}
