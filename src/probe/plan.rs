//! What is to be attached: chosen from what is asked for and what the kernel can.

use super::Error;
use super::features::{self, FENTRY, Features};
use super::opener::Opener;
use super::tracefs::find_syscall_tracepoints;
use super::uprobe::Kinds;
use crate::host::limits;
use crate::host::owner::Owner;
use crate::level::Level;

/// Which processes the programs follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Children of this process, with their descendants.
    Children,
    /// Running processes (marked by [`Probe::seed`]), with their descendants.
    Pids(Vec<u32>),
    /// All.
    System,
}

/// What tells of entries into fork and exec, and of those that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// fentry and fexit on the system calls' functions.
    Fentry,
    /// The tracepoints of these system calls.
    Tracepoints,
    /// The allocation of the new address space, and uprobes on libc's `execve`.
    MmAlloc,
    /// Nothing on this kernel.
    None,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which processes.
    pub scope: Scope,
    /// Tracepoints of system calls are allowed; they slow down every system call of the machine by a
    /// little.
    pub syscall_hooks: bool,
    /// Probes in libc and ld.so are allowed; they slow down every process's start by a little.
    pub library_probes: bool,
    /// ... also in files whose mount was made for another root, and can then not be unmounted at once.
    pub mounted_roots: bool,
    /// How closely to look.
    pub level: Level,
    /// All that is written to standard output and error; at [`Level::Deep`] the first write is told anyhow.
    pub output: bool,
    /// Samples a second and CPU of what runs; 0: none.
    pub profile_hz: u32,
}

impl Wanted {
    /// The usual for these processes.
    pub fn of(scope: Scope) -> Self {
        Self {
            syscall_hooks: scope == Scope::Children,
            library_probes: scope != Scope::System,
            mounted_roots: false,
            level: Level::default(),
            output: false,
            profile_hz: 0,
            scope,
        }
    }
}

/// What to attach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Which processes.
    pub scope: Scope,
    /// How closely to look.
    pub level: Level,
    /// All that is written to standard output and error; at [`Level::Deep`] the first write is told anyhow.
    pub output: bool,
    /// Probes in libc and ld.so.
    pub library_probes: bool,
    /// ... also in files whose mount was made for another root.
    pub mounted_roots: bool,
    /// Samples a second and CPU of what runs; 0: none.
    pub profile_hz: u32,
    /// Entries and failures.
    pub provider: Provider,
    /// What the kernel has.
    pub features: Features,
    /// The process whose children are followed with [`Scope::Children`]: this one, unless somebody else
    /// starts them for us.
    pub spawner: u32,
}

impl Plan {
    /// Chooses by what the kernel can do.
    ///
    /// # Errors
    /// The kernel lacks what every recording needs.
    pub fn choose(wanted: Wanted) -> Result<Self, Error> {
        // Before anything is tried: each program, map and probe is an open file.
        limits::raise_open_files();
        let features = look()?;
        let provider = provider(&wanted, &features, tracefs_serves);
        Ok(Self::of(wanted, features, provider))
    }

    /// What [`Self::choose`] may come to for somebody with privileges, asked by somebody who has none and so can try
    /// nothing: each with the condition for it, the first whose condition holds. There is one only where nothing
    /// depends on privileges.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn possible(wanted: &Wanted) -> Result<Vec<(&'static str, Self)>, Error> {
        Ok(Self::possible_with(wanted, look()?))
    }

    fn possible_with(wanted: &Wanted, features: Features) -> Vec<(&'static str, Self)> {
        let features = Features { fentry: false, ..features };
        let plan = |features: Features, tracefs: bool| {
            Self::of(wanted.clone(), features, provider(wanted, &features, || tracefs))
        };
        let mut plans = Vec::new();
        if features.fentry_named {
            plans.push(("if this kernel takes fentry", plan(Features { fentry: true, ..features }, false)));
        }
        if wanted.syscall_hooks {
            let condition = match plans.is_empty() {
                true => "if this kernel opens tracepoints of system calls",
                false => "else, if it opens tracepoints of system calls",
            };
            plans.push((condition, plan(features, true)));
        }
        plans.push(("else", plan(features, false)));
        plans
    }

    fn of(wanted: Wanted, features: Features, provider: Provider) -> Self {
        let Wanted { scope, syscall_hooks: _, library_probes, mounted_roots, level, output, profile_hz } =
            wanted;
        let spawner = std::process::id();
        Self { scope, level, output, library_probes, mounted_roots, profile_hz, provider, features, spawner }
    }

    /// Is the time of starts accounted for?
    pub fn watches(&self) -> bool {
        self.level > Level::Lifecycle
    }

    /// Are writes to standard output and error told, the first of each process at least?
    pub fn tells_output(&self) -> bool {
        self.watches() && (self.output || self.level == Level::Deep)
    }

    /// Are opened files told, and what was looked for?
    pub fn tells_files(&self) -> bool {
        self.level == Level::Deep
    }

    /// Are attempts to connect to unix sockets told? Only where the tracepoints of system calls are in use anyhow.
    pub fn tells_unix_connects(&self) -> bool {
        self.watches() && (self.provider == Provider::Tracepoints || self.level == Level::Deep)
    }

    /// Are page faults looked at: for the file that is waited for, and the first instruction of a static program?
    pub fn tells_faults(&self) -> bool {
        self.level == Level::Deep && self.features.page_fault_user
    }

    /// Is sampled what runs?
    pub fn profiles(&self) -> bool {
        self.profile_hz > 0 && self.watches()
    }

    /// The hooks, as `session.hooks` names them.
    pub fn hooks(&self) -> Vec<String> {
        let mut hooks: Vec<String> = [
            "task_newtask",
            "sched_wakeup_new",
            "sched_switch",
            "sched_process_exec",
            "sched_process_exit",
            "signal_generate",
        ]
        .iter()
        .map(|name| format!("tp_btf/{name}"))
        .collect();
        if self.features.sched_prepare_exec {
            hooks.push("tp_btf/sched_prepare_exec".to_owned());
        }
        if self.features.sock_recv_length {
            hooks.push("tp_btf/sock_recv_length".to_owned());
        }
        if self.watches() {
            hooks.push("tp_btf/sched_waking".to_owned());
            hooks.push("tp_btf/task_rename".to_owned());
            if self.features.inet_sock_set_state {
                hooks.push("tp_btf/inet_sock_set_state".to_owned());
            }
            if self.features.sock_recv_length {
                hooks.push("tp_btf/sock_send_length".to_owned());
            }
        }
        match self.provider {
            Provider::Fentry => {
                for function in FENTRY {
                    hooks.push(format!("fentry/{function}"));
                    hooks.push(format!("fexit/{function}"));
                }
            }
            Provider::Tracepoints => {
                for call in CALLS {
                    hooks.push(format!("tp/syscalls/sys_enter_{call}"));
                    hooks.push(format!("tp/syscalls/sys_exit_{call}"));
                }
            }
            Provider::MmAlloc => hooks.push("tp_btf/percpu_alloc_percpu".to_owned()),
            Provider::None => {}
        }
        if self.tells_unix_connects() {
            hooks.push("tp/syscalls/sys_exit_connect".to_owned());
        }
        if self.tells_output() {
            hooks.extend(WRITES.map(|call| format!("tp/syscalls/sys_enter_{call}")));
        }
        if self.tells_files() {
            for call in FILES {
                hooks.push(format!("tp/syscalls/sys_enter_{call}"));
                hooks.push(format!("tp/syscalls/sys_exit_{call}"));
            }
        }
        if self.tells_faults() {
            hooks.push("tp_btf/page_fault_user".to_owned());
        }
        if self.profiles() {
            hooks.push("perf_event/cpu-clock".to_owned());
        }
        if self.uprobes().start {
            hooks.push("uprobe/ld.so:_dl_debug_state".to_owned());
            hooks.push("uprobe/libc:__libc_start_main".to_owned());
        }
        if self.uprobes().execve {
            hooks.push("uprobe/libc:execve".to_owned());
            hooks.push("uretprobe/libc:execve".to_owned());
        }
        if self.uprobes().imports {
            hooks.push("usdt/python:import__find__load__start".to_owned());
            hooks.push("usdt/python:import__find__load__done".to_owned());
        }
        if self.uprobes().import_calls {
            hooks.push("uprobe/python:PyImport_ImportModuleLevelObject".to_owned());
            hooks.push("uprobe/python:PyImport_ImportModuleLevelObject+return".to_owned());
            hooks.push("uprobe/bash:source_file".to_owned());
        }
        hooks
    }

    /// Are there probes in libraries?
    pub fn probes_libraries(&self) -> bool {
        self.uprobes().any()
    }

    /// Are failed execs seen at libc's `execve`, for want of something better?
    pub fn probes_execve(&self) -> bool {
        self.uprobes().execve
    }

    /// Are there probes for what CPython imports?
    pub fn probes_imports(&self) -> bool {
        self.uprobes().imports
    }

    /// Who opens probes for us in the middle of the recording, where this kernel lets nobody do that who has given up
    /// its rights. To be called before anything is attached.
    ///
    /// # Errors
    /// No process is to be had.
    pub fn opener(&self, owner: &Owner) -> Result<Option<Opener>, Error> {
        let kinds = self.uprobes();
        if kinds.any() && !kinds.multi { Opener::fork_if_needed(owner) } else { Ok(None) }
    }

    /// What is missing from a recording with these hooks, by the names of `session.not_observed`.
    pub fn not_observed(&self) -> Vec<String> {
        let names: &[&str] = match self.provider {
            Provider::Fentry | Provider::Tracepoints => &[],
            Provider::MmAlloc if self.probes_execve() => &["failed_forks", "failed_exec_errors"],
            Provider::MmAlloc => &["failed_forks", "failed_execs"],
            Provider::None => &["failed_forks", "failed_execs", "entry_times"],
        };
        names.iter().map(|&name| name.to_owned()).collect()
    }

    pub(super) fn uprobes(&self) -> Kinds {
        Kinds {
            multi: self.features.uprobe_multi,
            start: self.library_probes && self.level >= Level::Timeline,
            execve: self.library_probes && self.provider == Provider::MmAlloc,
            imports: self.library_probes && self.watches(),
            import_calls: self.library_probes && self.level == Level::Deep,
            mounted_roots: self.mounted_roots,
        }
    }
}

/// The calls that write to standard output.
const WRITES: [&str; 2] = ["write", "writev"];
/// The calls that name a file and open it, or ask whether it is there.
pub(super) const FILES: &[&str] = if cfg!(target_arch = "x86_64") {
    &[
        "open",
        "openat",
        "openat2",
        "newstat",
        "newlstat",
        "newfstatat",
        "statx",
        "access",
        "faccessat",
        "faccessat2",
    ]
} else {
    &["openat", "openat2", "newfstatat", "statx", "faccessat", "faccessat2"]
};
const CALLS: [&str; 6] = ["fork", "vfork", "clone", "clone3", "execve", "execveat"];

/// What the kernel has, if it has what every recording needs.
fn look() -> Result<Features, Error> {
    let features = features::look();
    if !features.btf {
        return Err(Error::Kernel(format!(
            "this kernel does not describe its types ({} is missing): startrace needs a kernel 5.17 or newer built with CONFIG_DEBUG_INFO_BTF; see 'startrace doctor'",
            features::BTF
        )));
    }
    if !features.helpers {
        return Err(Error::Kernel(
            "this kernel's BPF is too old (no bpf_loop): startrace needs Linux 5.17 or newer; see 'startrace doctor'"
                .to_owned(),
        ));
    }
    Ok(features)
}

/// Who tells of entries and failures: the best that is there and allowed.
fn provider(wanted: &Wanted, features: &Features, tracefs_serves: impl FnOnce() -> bool) -> Provider {
    if features.fentry {
        Provider::Fentry
    } else if wanted.syscall_hooks && tracefs_serves() {
        Provider::Tracepoints
    } else if features.percpu_alloc_percpu {
        Provider::MmAlloc
    } else {
        Provider::None
    }
}

/// Are the tracepoints of system calls within reach? A tracefs of our own takes CAP_SYS_ADMIN; without
/// them a recording is less exact, but a recording.
fn tracefs_serves() -> bool {
    let found = find_syscall_tracepoints();
    found.inspect_err(|error| {
        tracing::warn!(
            "no tracepoints of system calls, so failed forks are not seen, and failed execs without their error: {error:#}"
        );
    })
    .is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn providers(wanted: &Wanted, features: Features) -> Vec<Provider> {
        Plan::possible_with(wanted, features).iter().map(|(_, plan)| plan.provider).collect()
    }

    #[test]
    fn who_may_try_nothing_is_told_all_that_it_may_come_to() {
        let named = Features { fentry_named: true, percpu_alloc_percpu: true, ..Features::default() };
        let command = Wanted::of(Scope::Children);
        assert_eq!(providers(&command, named), [Provider::Fentry, Provider::Tracepoints, Provider::MmAlloc]);
        assert_eq!(providers(&Wanted::of(Scope::System), named), [Provider::Fentry, Provider::MmAlloc]);
        let unnamed = Features { percpu_alloc_percpu: true, ..Features::default() };
        assert_eq!(providers(&Wanted::of(Scope::System), unnamed), [Provider::MmAlloc]);
        // What was tried in vain, for want of privileges, is not taken for what the kernel said.
        for (_, plan) in Plan::possible_with(&command, Features { fentry: false, ..named }) {
            assert_eq!(plan.features.fentry, plan.provider == Provider::Fentry);
        }
    }
}
