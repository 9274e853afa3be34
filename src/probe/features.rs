//! What this kernel can do, found out by looking and trying, never by its version.

use memchr::memmem;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Where the kernel shows its types.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";

/// What was found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// The kernel describes its types.
    pub btf: bool,
    /// Tracepoint `sched_prepare_exec` (since 6.10).
    pub sched_prepare_exec: bool,
    /// Tracepoints `sock_recv_length` and `sock_send_length` (since 6.3).
    pub sock_recv_length: bool,
    /// Tracepoint `inet_sock_set_state` (since 4.16; not where the network is a module).
    pub inet_sock_set_state: bool,
    /// Tracepoint `percpu_alloc_percpu`.
    pub percpu_alloc_percpu: bool,
    /// `bpf_loop`, ring buffer and task storage: all are there since 5.17.
    pub helpers: bool,
    /// Programs can read the CPU's count of nested interrupts.
    pub interrupt_count: bool,
    /// Programs may be attached to functions (fentry). Kernels without BPF trampolines refuse it.
    pub fentry: bool,
    /// Uprobes by one link for each file (since 6.6). The others are taken away one after the other, each
    /// waiting some 80 ms for the kernel.
    pub uprobe_multi: bool,
}

/// Looks at the kernel's type information and tries fentry with a program that does nothing.
///
/// The type information is some 5 MB; it is searched for a few names and not parsed.
pub fn look() -> Features {
    let Some(btf) = Blob::open() else { return Features::default() };
    let Some(sections) = Sections::of(&btf) else { return Features::default() };
    let has = |name: &str| sections.name(name).is_some();
    Features {
        btf: true,
        sched_prepare_exec: has("btf_trace_sched_prepare_exec"),
        sock_recv_length: has("btf_trace_sock_recv_length"),
        inet_sock_set_state: has("btf_trace_inet_sock_set_state"),
        percpu_alloc_percpu: has("btf_trace_percpu_alloc_percpu"),
        helpers: has("bpf_loop"),
        uprobe_multi: has("bpf_uprobe_multi_link"),
        interrupt_count: interrupt_count(&sections),
        fentry: FENTRY.iter().all(|name| sections.function(name).is_some())
            && sections.function(FENTRY[0]).is_some_and(fentry_works),
    }
}

/// The kernel's functions behind fork and its kin, execve and execveat.
pub(super) const FENTRY: [&str; 3] = if cfg!(target_arch = "x86_64") {
    ["kernel_clone", "__x64_sys_execve", "__x64_sys_execveat"]
} else {
    ["kernel_clone", "__arm64_sys_execve", "__arm64_sys_execveat"]
};

/// The kernel's BTF: mapped where the kernel allows it (since 6.16), else read, a page at a time.
enum Blob {
    Mapped { at: std::ptr::NonNull<libc::c_void>, len: NonZeroUsize },
    Read(Vec<u8>),
}

impl Blob {
    fn open() -> Option<Self> {
        let mut file = File::open(BTF).ok()?;
        let len = usize::try_from(file.metadata().ok()?.len()).ok().and_then(NonZeroUsize::new)?;
        // SAFETY: a new private mapping of a file that the kernel never changes.
        match unsafe { mmap(None, len, ProtFlags::PROT_READ, MapFlags::MAP_PRIVATE, &file, 0) } {
            Ok(at) => Some(Self::Mapped { at, len }),
            Err(_) => {
                let mut bytes = Vec::with_capacity(len.get());
                file.read_to_end(&mut bytes).ok()?;
                Some(Self::Read(bytes))
            }
        }
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            // SAFETY: the mapping is as long as `len` and lives as long as `self`.
            Self::Mapped { at, len } => unsafe {
                std::slice::from_raw_parts(at.as_ptr().cast::<u8>(), len.get())
            },
            Self::Read(bytes) => bytes,
        }
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        if let Self::Mapped { at, len } = self {
            // SAFETY: our own mapping, which nothing refers to any more.
            let _ = unsafe { munmap(*at, len.get()) };
        }
    }
}

/// The two sections of a BTF blob.
struct Sections<'a> {
    types: &'a [u8],
    strings: &'a [u8],
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl<'a> Sections<'a> {
    /// By the header (include/uapi/linux/btf.h, `struct btf_header`).
    fn of(btf: &'a [u8]) -> Option<Self> {
        let field = |at| word(btf, at).map(|value| value as usize);
        let header = field(4)?;
        let section = |offset: usize, len: usize| {
            let begin = header.checked_add(field(offset)?)?;
            btf.get(begin..begin.checked_add(field(len)?)?)
        };
        Some(Self { types: section(8, 12)?, strings: section(16, 20)? })
    }

    /// Where a name lies among the strings.
    fn name(&self, name: &str) -> Option<u32> {
        let mut sought = Vec::with_capacity(name.len() + 2);
        sought.push(0);
        sought.extend_from_slice(name.as_bytes());
        sought.push(0);
        memmem::find(self.strings, &sought).and_then(|at| u32::try_from(at + 1).ok())
    }

    /// The number of a function's type.
    fn function(&self, name: &str) -> Option<u32> {
        self.of_kind(name, 12)
    }

    /// The number of a variable's type.
    fn variable(&self, name: &str) -> Option<u32> {
        self.of_kind(name, 14)
    }

    fn of_kind(&self, name: &str, sought: u32) -> Option<u32> {
        let name = self.name(name)?;
        let mut at = 0;
        let mut id = 1;
        while let (Some(off), Some(info)) = (word(self.types, at), word(self.types, at + 4)) {
            let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
            if kind == sought && off == name {
                return Some(id);
            }
            // What follows the 12 bytes that every type has.
            let more = match kind {
                1 | 14 | 17 => 4,        // INT, VAR, DECL_TAG
                3 => 12,                 // ARRAY
                4 | 5 => 12 * members,   // STRUCT, UNION
                6 | 13 => 8 * members,   // ENUM, FUNC_PROTO
                15 | 19 => 12 * members, // DATASEC, ENUM64
                _ => 0,
            };
            at = at.checked_add(12 + more)?;
            id += 1;
        }
        None
    }
}

fn owned(fd: i32) -> Option<OwnedFd> {
    // SAFETY: each caller passes a descriptor that a system call has just made for it.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Can programs read the count? On x86-64 it is a per-CPU variable, whose address the kernel finds only
/// where its symbol table has data as well (`CONFIG_KALLSYMS_ALL`); elsewhere it is a field of the task.
fn interrupt_count(sections: &Sections<'_>) -> bool {
    if !cfg!(target_arch = "x86_64") {
        return true;
    }
    // As on_waking_exact in bpf/task.bpf.h asks for them.
    let variable = sections.variable("__preempt_count").or_else(|| sections.variable("pcpu_hot"));
    variable.is_some_and(variable_is_readable)
}

/// Loads a program that takes the variable's address.
fn variable_is_readable(variable: u32) -> bool {
    use libbpf_rs::libbpf_sys as sys;
    // r0 = the variable's address (two instructions); r0 = 0; exit
    let mut address = sys::bpf_insn { code: 0x18, imm: variable.cast_signed(), ..Default::default() };
    address.set_src_reg(sys::BPF_PSEUDO_BTF_ID as u8);
    let program = [
        address,
        sys::bpf_insn::default(),
        sys::bpf_insn { code: 0xb7, ..Default::default() },
        sys::bpf_insn { code: 0x95, ..Default::default() },
    ];
    let mut options =
        sys::bpf_prog_load_opts { sz: size_of::<sys::bpf_prog_load_opts>() as u64, ..Default::default() };
    load(sys::BPF_PROG_TYPE_RAW_TRACEPOINT, &program, &mut options).is_some()
}

fn load(
    kind: libbpf_rs::libbpf_sys::bpf_prog_type,
    program: &[libbpf_rs::libbpf_sys::bpf_insn],
    options: &mut libbpf_rs::libbpf_sys::bpf_prog_load_opts,
) -> Option<OwnedFd> {
    // SAFETY: name and licence are C strings, the instructions and options live across the call.
    owned(unsafe {
        libbpf_rs::libbpf_sys::bpf_prog_load(
            kind,
            c"startrace_try".as_ptr(),
            c"GPL".as_ptr(),
            program.as_ptr(),
            program.len() as u64,
            options,
        )
    })
}

/// Loads and attaches a program that does nothing to the function with this type.
fn fentry_works(function: u32) -> bool {
    use libbpf_rs::libbpf_sys as sys;
    // r0 = 0; exit
    let program = [
        sys::bpf_insn { code: 0xb7, ..Default::default() },
        sys::bpf_insn { code: 0x95, ..Default::default() },
    ];
    let mut options = sys::bpf_prog_load_opts {
        sz: size_of::<sys::bpf_prog_load_opts>() as u64,
        expected_attach_type: sys::BPF_TRACE_FENTRY,
        attach_btf_id: function,
        ..Default::default()
    };
    let Some(loaded) = load(sys::BPF_PROG_TYPE_TRACING, &program, &mut options) else { return false };
    // SAFETY: a live program's descriptor. Attaching may be refused where loading is not.
    owned(unsafe { sys::bpf_raw_tracepoint_open(std::ptr::null(), loaded.as_raw_fd()) }).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut out = vec![0_u8; 4];
        for word in [24, 0, types.len(), types.len(), strings.len()] {
            out.extend_from_slice(&(word as u32).to_ne_bytes());
        }
        out.extend_from_slice(&types);
        out.extend_from_slice(strings);
        out
    }

    #[test]
    fn names_and_functions_are_found() {
        // A struct of one member, an int, then the function.
        let types = [1, 4 << 24 | 1, 8, 0, 0, 0, 1, 1 << 24, 4, 32, 5, 12 << 24, 0];
        let blob = blob(&types, b"\0one\0two\0");
        let sections = Sections::of(&blob).unwrap();
        assert_eq!(sections.name("two"), Some(5));
        assert_eq!(sections.name("tw"), None);
        assert_eq!(sections.function("two"), Some(3));
        assert_eq!(sections.function("one"), None);
    }

    #[test]
    fn broken_blobs_are_no_panic() {
        let whole = blob(&[5, 12 << 24, 0], b"\0one\0two\0");
        for len in 0..whole.len() {
            if let Some(sections) = Sections::of(&whole[..len]) {
                let _ = sections.function("two");
            }
        }
        assert!(Sections::of(&[0xff; 24]).is_none());
    }
}
