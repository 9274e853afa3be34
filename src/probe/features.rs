//! What this kernel can do, found out by looking and trying, never by its version.

use super::btf::Sections;
use memchr::memmem;
use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};
use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Where the kernel shows its types.
pub const BTF: &str = "/sys/kernel/btf/vmlinux";

/// A variable of the environment that leaves fentry out, whatever the kernel can do: for machines where another
/// tool makes it trouble, and for tests of what is used instead.
const NO_FENTRY: &str = "STARTRACE_NO_FENTRY";

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
    /// Tracepoint `page_fault_user` (x86 and RISC-V).
    pub page_fault_user: bool,
    /// `bpf_loop`, ring buffer and task storage: all are there since 5.17.
    pub helpers: bool,
    /// Programs can read the CPU's count of nested interrupts.
    pub interrupt_count: bool,
    /// Programs on tracepoints can be preempted: since 7.0, where those are guarded by SRCU. What is looked for is the kind
    /// of SRCU that came for them (in 6.19); a kernel that has it for something else loses a few nanoseconds a start.
    pub preemptible_programs: bool,
    /// The kernel names the functions that fentry is for; whether it takes it is another question.
    pub fentry_named: bool,
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
    let has = |name: &str| name_of(&sections, name).is_some();
    let [clone, execve, execveat, count, hot] = numbers(
        &sections,
        [
            (FUNC, FENTRY[0]),
            (FUNC, FENTRY[1]),
            (FUNC, FENTRY[2]),
            // As on_waking_exact in bpf/task.bpf.h asks for them.
            (VAR, "__preempt_count"),
            (VAR, "pcpu_hot"),
        ],
    );
    let fentry_named =
        std::env::var_os(NO_FENTRY).is_none() && clone.is_some() && execve.is_some() && execveat.is_some();
    Features {
        btf: true,
        sched_prepare_exec: has("btf_trace_sched_prepare_exec"),
        sock_recv_length: has("btf_trace_sock_recv_length"),
        inet_sock_set_state: has("btf_trace_inet_sock_set_state"),
        percpu_alloc_percpu: has("btf_trace_percpu_alloc_percpu"),
        page_fault_user: has("btf_trace_page_fault_user"),
        helpers: has("bpf_loop"),
        uprobe_multi: has("bpf_uprobe_multi_link"),
        interrupt_count: interrupt_count(count.or(hot)),
        preemptible_programs: has("init_srcu_struct_fast"),
        fentry_named,
        fentry: fentry_named && clone.is_some_and(fentry_works),
    }
}

/// The kernel's functions behind fork and its kin, execve and execveat.
pub(super) const FENTRY: [&str; 3] = if cfg!(target_arch = "x86_64") {
    ["kernel_clone", "__x64_sys_execve", "__x64_sys_execveat"]
} else {
    ["kernel_clone", "__arm64_sys_execve", "__arm64_sys_execveat"]
};

/// The kernel's BTF: mapped where the kernel allows it (since 6.16), else read, a page at a time.
pub(super) enum Blob {
    Mapped { at: std::ptr::NonNull<libc::c_void>, len: NonZeroUsize },
    Read(Vec<u8>),
}

impl Blob {
    pub(super) fn open() -> Option<Self> {
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

const FUNC: u32 = 12;
const VAR: u32 = 14;

/// Where a name lies among the strings.
fn name_of(sections: &Sections<'_>, name: &str) -> Option<u32> {
    let mut sought = Vec::with_capacity(name.len() + 2);
    sought.push(0);
    sought.extend_from_slice(name.as_bytes());
    sought.push(0);
    memmem::find(sections.strings, &sought).and_then(|at| u32::try_from(at + 1).ok())
}

/// Numbers of types of these kinds and names, in one pass.
fn numbers<const N: usize>(sections: &Sections<'_>, sought: [(u32, &str); N]) -> [Option<u32>; N] {
    let names = sought.map(|(kind, name)| (kind, name_of(sections, name)));
    let mut found = [None; N];
    for (number, one) in (1_u32..).zip(sections.types()) {
        for (slot, (kind, name)) in found.iter_mut().zip(&names) {
            if one.kind == *kind && Some(one.name) == *name && slot.is_none() {
                *slot = Some(number);
            }
        }
    }
    found
}

fn owned(fd: i32) -> Option<OwnedFd> {
    // SAFETY: each caller passes a descriptor that a system call has just made for it.
    (fd >= 0).then(|| unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Can programs read the count? On x86-64 it is a per-CPU variable, whose address the kernel finds only
/// where its symbol table has data as well (`CONFIG_KALLSYMS_ALL`); elsewhere it is a field of the task.
fn interrupt_count(variable: Option<u32>) -> bool {
    !cfg!(target_arch = "x86_64") || variable.is_some_and(variable_is_readable)
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
    use super::super::btf::tests::blob;
    use super::*;

    #[test]
    fn names_and_functions_are_found() {
        // A struct of one member, an int, then the function.
        let types = [1, 4 << 24 | 1, 8, 0, 0, 0, 1, 1 << 24, 4, 32, 5, 12 << 24, 0];
        let blob = blob(&types, b"\0one\0two\0");
        let sections = Sections::of(&blob).unwrap();
        assert_eq!(name_of(&sections, "two"), Some(5));
        assert_eq!(name_of(&sections, "tw"), None);
        assert_eq!(numbers(&sections, [(FUNC, "two"), (FUNC, "one")]), [Some(3), None]);
    }
}
