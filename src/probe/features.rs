//! What this kernel can do, found out by looking and trying, never by its version.

use std::fs::File;
use std::io::Read;

/// Where the kernel shows its types.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// The kernel describes its types.
    pub btf: bool,
    /// Tracepoint `sched_prepare_exec` (since 6.10).
    pub sched_prepare_exec: bool,
    /// Tracepoint `sock_recv_length` (since 6.3).
    pub sock_recv_length: bool,
    /// Tracepoint `percpu_alloc_percpu`.
    pub percpu_alloc_percpu: bool,
    /// `bpf_loop`, ring buffer and task storage: all are there since 5.17.
    pub helpers: bool,
}

/// Looks at the kernel's type information. One pass over a few megabytes of strings, so that the
/// parsing of it is left to the one who needs it.
pub fn look() -> Features {
    let mut btf = Vec::new();
    if File::open(BTF).and_then(|mut file| file.read_to_end(&mut btf)).is_err() {
        return Features::default();
    }
    let strings = string_section(&btf).unwrap_or(&btf);
    let mut found = Features { btf: true, ..Features::default() };
    for name in strings.split(|&b| b == 0) {
        match name {
            b"btf_trace_sched_prepare_exec" => found.sched_prepare_exec = true,
            b"btf_trace_sock_recv_length" => found.sock_recv_length = true,
            b"btf_trace_percpu_alloc_percpu" => found.percpu_alloc_percpu = true,
            b"bpf_loop" | b"BPF_FUNC_loop" => found.helpers = true,
            _ => {}
        }
    }
    found
}

/// The strings of a BTF blob, by its header.
fn string_section(btf: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_ne_bytes(btf.get(at..at + 4)?.try_into().ok()?) as usize);
    let header = word(4)?;
    let (offset, len) = (word(16)?, word(20)?);
    btf.get(header.checked_add(offset)?..header.checked_add(offset)?.checked_add(len)?)
}

/// Does the kernel let programs attach to functions (fentry)? Tried with a program that does nothing.
///
/// Kernels without BPF trampolines refuse it when it is loaded.
pub fn fentry_works() -> bool {
    try_fentry().unwrap_or(false)
}

fn try_fentry() -> Option<bool> {
    use libbpf_rs::libbpf_sys as sys;
    let function = if cfg!(target_arch = "x86_64") { c"__x64_sys_execve" } else { c"__arm64_sys_execve" };
    // SAFETY: a C string; the call only reads it.
    let id = unsafe { sys::libbpf_find_vmlinux_btf_id(function.as_ptr(), sys::BPF_TRACE_FENTRY) };
    let id = u32::try_from(id).ok()?;
    // r0 = 0; exit
    let program = [
        sys::bpf_insn { code: 0xb7, ..Default::default() },
        sys::bpf_insn { code: 0x95, ..Default::default() },
    ];
    let mut options = sys::bpf_prog_load_opts {
        sz: size_of::<sys::bpf_prog_load_opts>() as u64,
        expected_attach_type: sys::BPF_TRACE_FENTRY,
        attach_btf_id: id,
        ..Default::default()
    };
    // SAFETY: name and licence are C strings, the instructions and options live across the call.
    let fd = unsafe {
        sys::bpf_prog_load(
            sys::BPF_PROG_TYPE_TRACING,
            c"startrace_try".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as u64,
            &raw mut options,
        )
    };
    if fd < 0 {
        return Some(false);
    }
    // SAFETY: a program's descriptor that was just made and is closed below by its owner.
    let owned = unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(fd) };
    // SAFETY: as above; attaching may be refused where loading is not.
    let link =
        unsafe { sys::bpf_raw_tracepoint_open(std::ptr::null(), std::os::fd::AsRawFd::as_raw_fd(&owned)) };
    if link < 0 {
        return Some(false);
    }
    // SAFETY: a link's descriptor that was just made.
    drop(unsafe { <std::os::fd::OwnedFd as std::os::fd::FromRawFd>::from_raw_fd(link) });
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_blob_has_no_string_section() {
        assert_eq!(string_section(&[]), None);
        assert_eq!(string_section(&[0xff; 24]), None);
        let mut blob = vec![0_u8; 24];
        blob[4] = 24;
        blob[20] = 3;
        blob.extend_from_slice(b"\0a\0");
        assert_eq!(string_section(&blob), Some(&b"\0a\0"[..]));
    }
}
