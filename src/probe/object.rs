//! The BPF object, set up for a recording, and what the kernel says of its programs.

use super::Error;
use super::kernel_types::KernelTypes;
use super::plan::{Plan, Provider, Scope};
use crate::bpf::{OpenStartraceSkel, StartraceSkelBuilder};
use crate::host::mounts;
use libbpf_rs::skel::{OpenSkel, SkelBuilder};
use libbpf_rs::{OpenProgramMut, ProgramAttachType};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;

/// Says (`-vv`) how many instructions the kernel's verifier followed for each program: what a change of the
/// programs, or another kernel, makes of loading.
pub(super) fn tell_verified(object: &libbpf_rs::Object) {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return;
    }
    for (program, info) in loaded(object) {
        tracing::debug!(
            "program {}: {} bytes, {} instructions followed by the verifier",
            program.name().to_string_lossy(),
            info.xlated_prog_len,
            info.verified_insns
        );
    }
}

pub(super) fn no_section() -> Error {
    Error::Other(anyhow::anyhow!("the BPF object lacks one of its data sections"))
}

/// The object, set up for this recording, with those of its programs that `ours` takes.
pub(super) fn open(
    plan: &Plan,
    types: &KernelTypes,
    ours: impl Fn(&std::ffi::OsStr) -> bool,
) -> Result<OpenStartraceSkel<'static>, Error> {
    // One probe per process: its memory may as well live as long.
    let object = Box::leak(Box::new(MaybeUninit::uninit()));
    let mut builder = StartraceSkelBuilder::default();
    builder.object_builder_mut().btf_custom_path(types.path())?;
    let mut open = builder.open(object)?;
    configure(&mut open, plan, types)?;
    for mut program in open.open_object_mut().progs_mut() {
        let loads = program.autoload() && ours(program.name());
        program.set_autoload(loads);
    }
    Ok(open)
}

fn configure(open: &mut OpenStartraceSkel<'_>, plan: &Plan, types: &KernelTypes) -> Result<(), Error> {
    let cpus = libbpf_rs::num_possible_cpus()? as u32;
    let scratches = cpus + 16;
    open.maps.scratches.set_max_entries(scratches)?;
    let rodata = open.maps.rodata_data.as_deref_mut().ok_or_else(no_section)?;
    types.fill(&mut rodata.type_ids);
    rodata.output_all = plan.output;
    rodata.faults_told = plan.tells_faults();
    rodata.trace_all = plan.scope == Scope::System;
    rodata.spawner_tgid = if plan.scope == Scope::Children { plan.spawner } else { 0 };
    if let Ok(root) = std::fs::File::open("/") {
        let number = mounts::number_of(&root).and_then(|number| u32::try_from(number).ok());
        rodata.page_bytes = u32::try_from(crate::host::memory::page_bytes()).unwrap_or(4096);
        rodata.own_root_mount = number.unwrap_or_default();
        rodata.own_root_inode = root.metadata().map_or(0, |meta| meta.ino());
    }
    rodata.cgroup_v1 = std::path::Path::new("/sys/fs/cgroup/cpu").exists();
    rodata.scratch_count = scratches;
    rodata.link_probes = plan.uprobes().start;
    rodata.watching = plan.watches();
    rodata.preemptible = plan.features.preemptible_programs;
    rodata.waker_exact = plan.features.interrupt_count;
    // A fault that tests provoke: the kernel refuses to make every so manieth mark.
    if cfg!(debug_assertions)
        && let Ok(every) = std::env::var("STARTRACE_TEST_REFUSE_EVERY")
    {
        rodata.refuse_every = every.parse().unwrap_or(0);
    }

    let progs = &mut open.progs;
    let load = |prog: &mut OpenProgramMut<'_>, on: bool| prog.set_autoload(on);
    load(&mut progs.on_prepare_exec, plan.features.sched_prepare_exec);
    load(&mut progs.on_sock_recv, plan.features.sock_recv_length);
    let watching = plan.watches();
    load(&mut progs.on_switch, !watching);
    for prog in [&mut progs.on_switch_watched, &mut progs.on_rename] {
        load(prog, watching);
    }
    load(&mut progs.on_waking, watching && !plan.features.interrupt_count);
    load(&mut progs.on_waking_exact, watching && plan.features.interrupt_count);
    load(&mut progs.on_sock_state, watching && plan.features.inet_sock_set_state);
    load(&mut progs.on_sock_send, watching && plan.features.sock_recv_length);
    load(&mut progs.exit_connect, plan.tells_unix_connects());
    for prog in [&mut progs.enter_write, &mut progs.enter_writev] {
        load(prog, plan.tells_output());
    }
    for prog in [&mut progs.enter_file, &mut progs.exit_file] {
        load(prog, plan.tells_files());
    }
    for prog in [&mut progs.on_exec_files, &mut progs.on_exit_files] {
        load(prog, plan.tells_files());
    }
    load(&mut progs.on_sample, plan.profiles());
    load(&mut progs.on_page_fault, plan.tells_faults());
    open.maps.file_states.set_autocreate(plan.tells_files())?;
    load(&mut progs.seed_tasks, plan.scope != Scope::Children);
    let fentry = plan.provider == Provider::Fentry;
    for prog in [
        &mut progs.fentry_clone,
        &mut progs.fexit_clone,
        &mut progs.fentry_execve,
        &mut progs.fexit_execve,
        &mut progs.fentry_execveat,
        &mut progs.fexit_execveat,
    ] {
        load(prog, fentry);
    }
    let tracepoints = plan.provider == Provider::Tracepoints;
    for prog in [&mut progs.enter_fork, &mut progs.exit_fork, &mut progs.enter_exec, &mut progs.exit_exec] {
        load(prog, tracepoints);
    }
    load(&mut progs.on_percpu_alloc, plan.provider == Provider::MmAlloc);
    let uprobes = plan.uprobes();
    let library = |prog: &mut OpenProgramMut<'_>, on: bool| {
        load(prog, on);
        if uprobes.multi {
            prog.set_attach_type(ProgramAttachType::TraceUprobeMulti);
        }
    };
    for prog in [&mut progs.on_libc_execve, &mut progs.on_libc_execve_return] {
        library(prog, uprobes.execve);
    }
    for prog in [&mut progs.on_ld_state, &mut progs.on_libc_start] {
        library(prog, uprobes.start);
    }
    for prog in [&mut progs.on_import_begin, &mut progs.on_import_end] {
        library(prog, uprobes.imports);
    }
    for prog in [&mut progs.on_import_call, &mut progs.on_import_return] {
        library(prog, uprobes.import_calls);
    }
    open.maps.imports.set_autocreate(uprobes.import_calls)?;
    Ok(())
}

/// libbpf's own messages go to the log, where `-v` shows them, and never straight to the terminal.
pub(super) fn quiet() {
    libbpf_rs::set_print(Some((libbpf_rs::PrintLevel::Info, |level, text| {
        let text = text.trim_end();
        if is_of_the_build(text) {
            return;
        }
        match level {
            libbpf_rs::PrintLevel::Warn => tracing::info!(target: "libbpf", "{text}"),
            _ => tracing::debug!(target: "libbpf", "{text}"),
        }
    })));
}

/// libbpf says of each program that it has no source lines: the build took them out on purpose (`build/object.rs`).
fn is_of_the_build(text: &str) -> bool {
    text.starts_with("libbpf: prog '")
        && text.ends_with(
            "': missing .BTF.ext line info for the main program, skipping all of .BTF.ext line info.",
        )
}

/// The programs that were loaded, with what the kernel says of them.
pub(super) fn loaded(
    object: &libbpf_rs::Object,
) -> impl Iterator<Item = (libbpf_rs::Program<'_>, libbpf_rs::libbpf_sys::bpf_prog_info)> {
    use libbpf_rs::AsRawLibbpf;
    object.progs().filter_map(|program| {
        // SAFETY: the object lives as long as its programs.
        let fd = unsafe { libbpf_rs::libbpf_sys::bpf_program__fd(program.as_libbpf_object().as_ptr()) };
        let info = if fd < 0 { None } else { program_info(program.as_fd()) };
        Some((program, info?))
    })
}

fn program_info(fd: BorrowedFd<'_>) -> Option<libbpf_rs::libbpf_sys::bpf_prog_info> {
    use std::os::fd::AsRawFd;
    let mut info = libbpf_rs::libbpf_sys::bpf_prog_info::default();
    let mut len = size_of_val(&info) as u32;
    // SAFETY: a live program's descriptor, and a buffer of the length that is passed.
    let failed = unsafe {
        libbpf_rs::libbpf_sys::bpf_prog_get_info_by_fd(fd.as_raw_fd(), &raw mut info, &raw mut len)
    };
    (failed == 0).then_some(info)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_libbpf_says_nothing_but_the_lack_of_source_lines_is_kept_back() {
        let lines = "libbpf: prog 'on_exec': missing .BTF.ext line info for the main program, skipping all of .BTF.ext line info.";
        assert!(is_of_the_build(lines));
        for said in [
            "libbpf: prog 'on_exec': missing .BTF.ext function info.",
            "libbpf: prog 'on_exec': BPF program load failed: Permission denied",
            "libbpf: Error in bpf_object__probe_loading(): Operation not permitted",
        ] {
            assert!(!is_of_the_build(said), "{said}");
        }
    }
}
