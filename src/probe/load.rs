//! Loading and attaching, and the ring.

use super::features::{FENTRY, Features};
use super::inbox::{Batch, Drainer, Inbox};
use super::kernel_types::KernelTypes;
use super::library::{self, Libraries, Maps, is_loaded_beside};
use super::opener::Opener;
use super::tracefs::{self, TraceFs};
use super::uprobe::{Kinds, Started};
use super::{Error, features};
use crate::bpf::{OpenStartraceSkel, StartraceSkel, StartraceSkelBuilder};
use crate::event::Id;
use crate::host::clock::boottime_ns;
use crate::host::mounts;
use crate::host::owner::Owner;
use crate::level::Level;
use libbpf_rs::skel::{OpenSkel, Skel, SkelBuilder};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, OpenProgramMut, ProgramAttachType, ProgramMut};
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, IntoRawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};

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
        let Wanted { scope, syscall_hooks, library_probes, mounted_roots, level, output, profile_hz } =
            wanted;
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
        let provider = if features.fentry {
            Provider::Fentry
        } else if syscall_hooks && tracefs_serves() {
            Provider::Tracepoints
        } else if features.percpu_alloc_percpu {
            Provider::MmAlloc
        } else {
            Provider::None
        };
        let spawner = std::process::id();
        Ok(Self {
            scope,
            level,
            output,
            library_probes,
            mounted_roots,
            profile_hz,
            provider,
            features,
            spawner,
        })
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
        let mut hooks: Vec<String> =
            ["task_newtask", "sched_wakeup_new", "sched_switch", "sched_process_exec", "sched_process_exit"]
                .iter()
                .map(|name| format!("tp_btf/{name}"))
                .collect();
        if self.scope == Scope::Children {
            hooks.push("tp_btf/signal_generate".to_owned());
        }
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
            hooks.push("uretprobe/python:PyImport_ImportModuleLevelObject".to_owned());
        }
        hooks
    }

    /// Are there probes in libraries?
    pub fn probes_libraries(&self) -> bool {
        self.uprobes().any()
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
            Provider::MmAlloc if self.library_probes => &["failed_forks", "failed_exec_errors"],
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
const FILES: &[&str] = if cfg!(target_arch = "x86_64") {
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

/// Are the tracepoints of system calls within reach? A tracefs of our own takes CAP_SYS_ADMIN; without
/// them a recording is less exact, but a recording.
fn tracefs_serves() -> bool {
    let id = TraceFs::open().and_then(|tracefs| tracefs.id("syscalls", "sys_enter_execve"));
    id.inspect_err(|error| {
        tracing::warn!(
            "no tracepoints of system calls, so failed forks are not seen, and failed execs without their error: {error:#}"
        );
    })
    .is_ok()
}

/// Everything lost on the kernel side and on the way, by name.
pub type Lost = BTreeMap<String, u64>;

/// The programs, attached.
pub struct Probe {
    /// Before the skeleton: it reads the programs' memory.
    drainer: Option<Drainer>,
    inbox: Arc<Inbox>,
    pub(super) skel: StartraceSkel<'static>,
    links: Vec<Link>,
    /// `None`: no probes in libraries.
    libraries: Option<Libraries>,
    keeper: Option<tracefs::Keeper>,
    hooks: Vec<String>,
    not_observed: Vec<String>,
    undecodable: u64,
}

impl Probe {
    /// Loads and attaches. Nothing is followed before this returns, but for [`Scope::System`].
    ///
    /// # Errors
    /// Missing privileges, or a kernel that refuses the programs.
    pub fn attach(plan: &Plan) -> Result<Self, Error> {
        quiet();
        let types = KernelTypes::read()?;
        let types = &types;
        std::thread::scope(|scope| {
            let (send, maps) = channel();
            let beside =
                plan.probes_libraries().then(|| scope.spawn(move || Libraries::attach(plan, types, &maps)));
            let mut probe = Self::load(plan, types, send)?;
            probe.attach_all(plan)?;
            if let Some(beside) = beside {
                let libraries =
                    beside.join().map_err(|_| anyhow::anyhow!("the second loading thread ended"))??;
                probe.libraries = Some(libraries);
            }
            // The creations last: what is started under the programs' eyes is seen whole.
            probe.links.push(probe.skel.progs.on_newtask.attach()?);
            probe.hooks.push("tp_btf/task_newtask".to_owned());
            probe.note_live();
            Ok(probe)
        })
    }

    /// Loads all programs but those in libraries, which somebody waits to load with the same maps.
    fn load(plan: &Plan, types: &KernelTypes, maps: Sender<Maps>) -> Result<Self, Error> {
        let mut open = open(plan, types, |program| !is_loaded_beside(program))?;
        // Where nobody waits, it failed, and that is told where it is joined.
        let _ = maps.send(library::make_maps(&mut open)?);
        let mut skel = open.load()?;
        tell_verified(skel.object());

        let bss = skel.maps.bss_data.as_deref_mut().ok_or_else(no_section)?;
        // SAFETY: same size and alignment, and the programs write 0 or 1 only. The memory goes with the
        // skeleton, which is dropped after everything that holds this (see `Probe`).
        let wake_sent: &'static AtomicBool = unsafe { AtomicBool::from_ptr(&raw mut bss.wake_sent) };
        let inbox = Arc::new(Inbox::new(&MapHandle::try_from(&skel.maps.ring)?, wake_sent)?);
        Ok(Self {
            drainer: None,
            inbox,
            skel,
            links: Vec::new(),
            libraries: None,
            keeper: None,
            hooks: Vec::new(),
            not_observed: plan.not_observed(),
            undecodable: 0,
        })
    }

    /// Ends and images before the creations, which are left: what is followed is then followed whole.
    fn attach_all(&mut self, plan: &Plan) -> Result<(), Error> {
        let progs = &self.skel.progs;
        let mut links = Vec::new();
        let mut hooks = Vec::new();
        let mut keeper = None;
        let mut attach = |prog: &ProgramMut<'_>, name: &str| -> Result<(), Error> {
            links.push(prog.attach()?);
            hooks.push(name.to_owned());
            Ok(())
        };
        // What is left to say of a task, before its end is told.
        if plan.tells_files() {
            attach(&progs.on_exit_files, "tp_btf/sched_process_exit")?;
        }
        attach(&progs.on_exit, "tp_btf/sched_process_exit")?;
        attach(&progs.on_exec, "tp_btf/sched_process_exec")?;
        if plan.tells_faults() {
            attach(&progs.on_page_fault, "tp_btf/page_fault_user")?;
        }
        if plan.watches() {
            attach(&progs.on_switch_watched, "tp_btf/sched_switch")?;
            let waking =
                if plan.features.interrupt_count { &progs.on_waking_exact } else { &progs.on_waking };
            attach(waking, "tp_btf/sched_waking")?;
            attach(&progs.on_rename, "tp_btf/task_rename")?;
            if plan.features.inet_sock_set_state {
                attach(&progs.on_sock_state, "tp_btf/inet_sock_set_state")?;
            }
            if plan.features.sock_recv_length {
                attach(&progs.on_sock_send, "tp_btf/sock_send_length")?;
            }
        } else {
            attach(&progs.on_switch, "tp_btf/sched_switch")?;
        }
        attach(&progs.on_wakeup_new, "tp_btf/sched_wakeup_new")?;
        if plan.scope == Scope::Children {
            attach(&progs.on_signal, "tp_btf/signal_generate")?;
        }
        if plan.features.sched_prepare_exec {
            attach(&progs.on_prepare_exec, "tp_btf/sched_prepare_exec")?;
        }
        if plan.features.sock_recv_length {
            attach(&progs.on_sock_recv, "tp_btf/sock_recv_length")?;
        }
        match plan.provider {
            Provider::Fentry => {
                for (call, enter, exit) in fentry_programs(progs) {
                    attach(enter, &format!("fentry/{call}"))?;
                    attach(exit, &format!("fexit/{call}"))?;
                }
            }
            Provider::Tracepoints => {
                let tracefs = TraceFs::open()?;
                let mut kept = tracefs::Keeper::new()?;
                for (call, enter, exit) in tracepoint_programs(progs) {
                    for (prog, side) in [(enter, "enter"), (exit, "exit")] {
                        let name = format!("sys_{side}_{call}");
                        let event = tracefs::perf_event(tracefs.id("syscalls", &name)?)?;
                        kept.keep(&event)?;
                        links.push(prog.attach_perf_event(event.into_raw_fd())?);
                        hooks.push(format!("tp/syscalls/{name}"));
                    }
                }
                keeper = Some(kept);
            }
            Provider::MmAlloc => {
                attach(&progs.on_percpu_alloc, "tp_btf/percpu_alloc_percpu")?;
            }
            Provider::None => {}
        }
        let mut calls: Vec<(&ProgramMut<'_>, String)> = Vec::new();
        if plan.tells_output() {
            calls.push((&progs.enter_write, "sys_enter_write".to_owned()));
            calls.push((&progs.enter_writev, "sys_enter_writev".to_owned()));
        }
        if plan.tells_unix_connects() {
            calls.push((&progs.exit_connect, "sys_exit_connect".to_owned()));
        }
        if plan.tells_files() {
            for call in FILES {
                calls.push((&progs.enter_file, format!("sys_enter_{call}")));
                calls.push((&progs.exit_file, format!("sys_exit_{call}")));
            }
        }
        if !calls.is_empty() {
            let tracefs = TraceFs::open()?;
            let kept = match &mut keeper {
                Some(kept) => kept,
                None => keeper.insert(tracefs::Keeper::new()?),
            };
            for (prog, name) in calls {
                let event = tracefs::perf_event(tracefs.id("syscalls", &name)?)?;
                kept.keep(&event)?;
                links.push(prog.attach_perf_event(event.into_raw_fd())?);
                hooks.push(format!("tp/syscalls/{name}"));
            }
        }
        if plan.profiles() {
            for event in super::sampling::clocks(plan.profile_hz)? {
                links.push(progs.on_sample.attach_perf_event(event.into_raw_fd())?);
            }
            hooks.push("perf_event/cpu-clock".to_owned());
        }
        let mut attach = |prog: &ProgramMut<'_>, name: &str| -> Result<(), Error> {
            links.push(prog.attach()?);
            hooks.push(name.to_owned());
            Ok(())
        };
        if plan.tells_files() {
            attach(&progs.on_exec_files, "tp_btf/sched_process_exec")?;
        }
        self.links = links;
        self.keeper = keeper;
        self.hooks = hooks;
        Ok(())
    }

    /// The programs have to know since when they see all of what an interpreter does.
    fn note_live(&mut self) {
        let fresh = self.libraries.as_mut().map(Libraries::take_live).unwrap_or_default();
        let Some(bss) = self.skel.maps.bss_data.as_deref_mut() else { return };
        for number in fresh {
            if let Some(live) = bss.python_live_ns.get_mut(number) {
                counter_of(live).store(boottime_ns(), Ordering::Relaxed);
            }
        }
    }

    /// What is attached.
    pub fn hooks(&self) -> Vec<String> {
        let libraries = self.libraries.as_ref().map_or(&[][..], Libraries::hooks);
        self.hooks.iter().chain(libraries).cloned().collect()
    }

    /// What these hooks cannot see, by the names of `session.not_observed`.
    pub fn not_observed(&self) -> &[String] {
        &self.not_observed
    }

    /// Loaders and C libraries that could not be probed: phases within the starts of their programs are
    /// not told apart.
    pub fn hooks_missing(&self) -> u64 {
        self.libraries.as_ref().map_or(0, Libraries::missing)
    }

    /// From here on probes are opened by this, if by anybody.
    pub fn set_opener(&mut self, opener: Option<Opener>) {
        if let Some(libraries) = &mut self.libraries {
            libraries.set_opener(opener);
        }
    }

    /// Does [`Self::look_at_loader`] do anything?
    pub fn wants_loaders(&self) -> bool {
        self.libraries.is_some()
    }

    /// Probes the loader that a process was started with, and its C library, unless they are probed. Gives since
    /// when (boottime) the loader tells of starts.
    pub fn look_at_loader(&mut self, started: &Started<'_>) -> Option<u64> {
        let since_ns = self.libraries.as_mut().and_then(|libraries| libraries.look(started));
        self.note_live();
        since_ns
    }

    /// Lets go the probes in files of roots that nobody has any more: they keep their file systems in use.
    pub fn let_go_of_roots(&mut self) {
        if let Some(libraries) = &mut self.libraries {
            libraries.let_go_of_roots();
        }
    }

    /// The same for a program that will be started.
    pub fn look_at_program(&mut self, path: &Path) {
        if let Some(libraries) = &mut self.libraries {
            libraries.look_at_program(path);
        }
        self.note_live();
    }

    /// From here on the ring is emptied when it is a quarter full, whatever the caller does meanwhile.
    /// To be called by a thread of the priority that this work should have.
    ///
    /// # Errors
    /// No thread could be started.
    pub fn start_drainer(&mut self) -> Result<(), Error> {
        let ring = MapHandle::try_from(&self.skel.maps.ring)?;
        let drainer = Drainer::start(self.inbox.clone(), &ring).map_err(anyhow::Error::from)?;
        self.drainer = Some(drainer);
        Ok(())
    }

    /// Takes the records out of the ring. Gives the time (boottime) before which every record was
    /// written that is out by now; `None` where some had to stay for want of room.
    ///
    /// # Errors
    /// The ring cannot be read.
    pub fn drain(&mut self) -> Result<Option<u64>, Error> {
        Ok(self.inbox.drain()?)
    }

    /// The next events that were drained, in order of arrival.
    pub fn next_batch(&mut self) -> Option<Batch> {
        let batch = self.inbox.batch()?;
        self.undecodable += batch.undecodable;
        Some(batch)
    }

    /// Switches the programs' looking after unmarked tasks on or off. Gives the time since which, once
    /// on, every creation is seen.
    pub(super) fn set_seeding(&mut self, on: bool) -> u64 {
        let Some(bss) = self.skel.maps.bss_data.as_deref_mut() else { return u64::MAX };
        flag(&mut bss.seeding).store(on, Ordering::SeqCst);
        // After the flag: who is born from here on is marked by the programs themselves.
        let now = boottime_ns();
        if on {
            counter_of(&mut bss.seeding_since_ns).store(now, Ordering::SeqCst);
        }
        now
    }

    /// The start of this process is finished: its tasks are watched no longer, and cost no more than
    /// those of a stranger.
    pub fn settle(&self, id: Id) {
        // Where this fails, records come that nobody needs.
        let _ = self.skel.maps.settled.update(&id.birth_ns.to_ne_bytes(), &[1], MapFlags::ANY);
    }

    /// This process is the command now, whose signals are asked for with [`Self::was_signalled`].
    pub fn set_command(&mut self, pid: u32) {
        if let Some(bss) = self.skel.maps.bss_data.as_deref_mut() {
            // SAFETY: same size, aligned in the map's page by the compiler; the programs only read it.
            unsafe { AtomicU32::from_ptr(&raw mut bss.command_tgid) }.store(pid, Ordering::SeqCst);
        }
    }

    /// Was this signal (SIGHUP, SIGINT or SIGTERM) sent to the command since then (boottime)?
    pub fn was_signalled(&mut self, signal: i32, since_ns: u64) -> bool {
        let at = [libc::SIGHUP, libc::SIGINT, libc::SIGTERM].iter().position(|&known| known == signal);
        let Some(bss) = self.skel.maps.bss_data.as_deref_mut() else { return false };
        at.and_then(|at| bss.command_signalled_ns.get_mut(at))
            .is_some_and(|sent_ns| counter_of(sent_ns).load(Ordering::SeqCst) >= since_ns.max(1))
    }

    /// Detaches everything. What is in the ring can still be drained.
    pub fn detach(&mut self) {
        // Closing a tracepoint's link waits for an RCU grace period, some 40 ms. They wait together.
        let libraries = self.libraries.as_mut().map(Libraries::take_links).unwrap_or_default();
        super::uprobe::close(self.links.drain(..).chain(libraries).collect());
        self.keeper = None;
    }

    /// What was lost so far, all ways of losing included (0 where nothing was).
    pub fn lost(&mut self) -> Lost {
        let mut lost = Lost::new();
        if let Some(bss) = self.skel.maps.bss_data.as_deref_mut() {
            let counters = &mut bss.lost;
            for (name, counter) in [
                ("events", &mut counters.events),
                ("event_bytes", &mut counters.bytes),
                ("scratch_buffers", &mut counters.scratch),
                ("task_storage", &mut counters.storage),
                ("argv_unreadable", &mut counters.argv),
                ("paths_cut", &mut counters.paths),
                ("seeds_missed", &mut counters.seeds),
            ] {
                lost.insert(name.to_owned(), counter_of(counter).load(Ordering::Relaxed));
            }
        }
        lost.insert("undecodable".to_owned(), self.undecodable);
        lost.insert("recursion_misses".to_owned(), self.recursion_misses());
        lost
    }

    /// Runs of programs that the kernel left out because the program was running already on that CPU.
    fn recursion_misses(&self) -> u64 {
        let libraries = self.libraries.as_ref().map(Libraries::object);
        std::iter::once(self.skel.object())
            .chain(libraries)
            .flat_map(loaded)
            .map(|(_, info)| info.recursion_misses)
            .sum()
    }
}

/// The programs that were loaded, with what the kernel says of them.
fn loaded(
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

/// A flag that the programs share with us.
fn flag(flag: &mut bool) -> &AtomicBool {
    // SAFETY: same size and alignment; the programs write 0 or 1 only.
    unsafe { AtomicBool::from_ptr(flag) }
}

/// A counter that the programs share with us.
fn counter_of(counter: &mut u64) -> &AtomicU64 {
    // SAFETY: same size, aligned in the map's page by the compiler.
    unsafe { AtomicU64::from_ptr(counter) }
}

type Pairs<'a> = [(&'static str, &'a ProgramMut<'a>, &'a ProgramMut<'a>); 6];

fn tracepoint_programs<'a>(p: &'a crate::bpf::StartraceProgs<'a>) -> Pairs<'a> {
    [
        ("fork", &p.enter_fork, &p.exit_fork),
        ("vfork", &p.enter_fork, &p.exit_fork),
        ("clone", &p.enter_fork, &p.exit_fork),
        ("clone3", &p.enter_fork, &p.exit_fork),
        ("execve", &p.enter_exec, &p.exit_exec),
        ("execveat", &p.enter_exec, &p.exit_exec),
    ]
}

fn fentry_programs<'a>(
    p: &'a crate::bpf::StartraceProgs<'a>,
) -> [(&'static str, &'a ProgramMut<'a>, &'a ProgramMut<'a>); 3] {
    [
        (FENTRY[0], &p.fentry_clone, &p.fexit_clone),
        (FENTRY[1], &p.fentry_execve, &p.fexit_execve),
        (FENTRY[2], &p.fentry_execveat, &p.fexit_execveat),
    ]
}

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
        rodata.own_root_mount = number.unwrap_or_default();
        rodata.own_root_inode = root.metadata().map_or(0, |meta| meta.ino());
    }
    rodata.cgroup_v1 = std::path::Path::new("/sys/fs/cgroup/cpu").exists();
    rodata.scratch_count = scratches;
    rodata.link_probes = plan.uprobes().start;
    rodata.watching = plan.watches();
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
    load(&mut progs.on_signal, plan.scope == Scope::Children);
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
fn quiet() {
    libbpf_rs::set_print(Some((libbpf_rs::PrintLevel::Info, |level, text| {
        let text = text.trim_end();
        match level {
            libbpf_rs::PrintLevel::Warn => tracing::info!(target: "libbpf", "{text}"),
            _ => tracing::debug!(target: "libbpf", "{text}"),
        }
    })));
}
