//! What the programs are told of the kernel's types when they are loaded.

use super::features::Blob;
use super::{Error, btf, features};
use anyhow::Context;
use nix::sys::memfd::{MFdFlags, memfd_create};
use std::fs::File;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

include!(concat!(env!("OUT_DIR"), "/kernel_types.rs"));

/// The part of the kernel's type information that the programs name, as a file for libbpf.
pub(super) struct KernelTypes {
    part: File,
    ids: std::collections::HashMap<String, u32>,
}

impl KernelTypes {
    /// # Errors
    /// The kernel's type information is not there, or is not of the form that is known.
    pub(super) fn read() -> Result<Self, Error> {
        let whole =
            Blob::open().ok_or_else(|| Error::Kernel(format!("{}: cannot be read", features::BTF)))?;
        let reduced = btf::reduce(&whole, KERNEL_TYPES)
            .ok_or_else(|| Error::Kernel(format!("{}: of an unknown form", features::BTF)))?;
        let mut part =
            File::from(memfd_create(c"startrace-btf", MFdFlags::MFD_CLOEXEC).context("memfd_create")?);
        part.write_all(&reduced.blob).context("writing type information to memory")?;
        Ok(Self { part, ids: reduced.ids })
    }

    /// The part, as long as this lives.
    pub(super) fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.part.as_raw_fd()).into()
    }

    /// Tells the programs the numbers of the types that they read by plain loads. One that this kernel does
    /// not have is 0, which no program that is loaded may use.
    pub(super) fn fill(&self, ids: &mut crate::bpf::types::type_ids) {
        fill_type_ids(ids, |name| self.ids.get(name).copied().unwrap_or(0));
    }
}
