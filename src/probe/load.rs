//! Loading and attaching, and the ring.

use super::Error;
use super::features::FENTRY;
use super::inbox::{Batch, Drainer, Inbox};
use super::kernel_types::KernelTypes;
use super::library::{self, Libraries, Maps, is_loaded_beside};
use super::object::{self, loaded, no_section};
use super::opener::Opener;
use super::plan::{FILES, Plan, Provider};
use super::tracefs::{self, TraceFs};
use super::uprobe::{self, Started};
use super::waking::{self, Rest, Waking};
use crate::bpf::StartraceSkel;
use crate::event::Id;
use crate::host::clock::boottime_ns;
use libbpf_rs::skel::{OpenSkel, Skel};
use libbpf_rs::{Link, MapCore, MapFlags, MapHandle, ProgramMut};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, IntoRawFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

/// Everything lost on the kernel side and on the way, by name.
pub type Lost = BTreeMap<String, u64>;

/// The programs, attached.
pub struct Probe {
    /// Before the skeleton: it reads the programs' memory.
    drainer: Option<Drainer>,
    inbox: Arc<Inbox>,
    pub(super) skel: StartraceSkel<'static>,
    links: Vec<Link>,
    /// `None`: nobody asks who woke whom.
    waking: Option<Arc<Waking>>,
    rest: Rest,
    /// `None`: no probes in libraries.
    libraries: Option<Libraries>,
    keeper: Option<tracefs::Keeper>,
    hooks: Vec<String>,
    not_observed: Vec<String>,
    undecodable: u64,
}

impl Probe {
    /// Loads and attaches. Nothing is followed before this returns, but for [`Scope::System`](super::plan::Scope::System).
    ///
    /// # Errors
    /// Missing privileges, or a kernel that refuses the programs.
    pub fn attach(plan: &Plan) -> Result<Self, Error> {
        object::quiet();
        let types = KernelTypes::read()?;
        let types = &types;
        let (send, maps) = channel();
        let maps = Mutex::new(maps);
        let attach_libraries = || {
            let maps = maps.lock().unwrap_or_else(PoisonError::into_inner);
            Libraries::attach(plan, types, &maps)
        };
        std::thread::scope(|scope| {
            // Where there can be no more threads, afterwards.
            let beside = || Builder::new().spawn_scoped(scope, attach_libraries).ok();
            let beside = plan.probes_libraries().then(beside);
            let mut probe = Self::load(plan, types, send)?;
            probe.attach_all(plan)?;
            probe.libraries = match beside {
                Some(Some(thread)) => {
                    Some(thread.join().map_err(|_| anyhow::anyhow!("the second loading thread ended"))??)
                }
                Some(None) => Some(attach_libraries()?),
                None => None,
            };
            // The creations last: what is started under the programs' eyes is seen whole.
            probe.links.push(probe.skel.progs.on_newtask.attach()?);
            probe.hooks.push("tp_btf/task_newtask".to_owned());
            probe.note_live();
            Ok(probe)
        })
    }

    /// Loads all programs but those in libraries, which somebody waits to load with the same maps.
    fn load(plan: &Plan, types: &KernelTypes, maps: Sender<Maps>) -> Result<Self, Error> {
        let mut open = object::open(plan, types, |program| !is_loaded_beside(program))?;
        // Where nobody waits, it failed, and that is told where it is joined.
        let _ = maps.send(library::make_maps(&mut open)?);
        let mut skel = open.load()?;
        object::tell_verified(skel.object());

        let bss = skel.maps.bss_data.as_deref_mut().ok_or_else(no_section)?;
        // SAFETY: same size and alignment, and the programs write 0 or 1 only. The memory goes with the
        // skeleton, which is dropped after everything that holds this (see `Probe`).
        let wake_sent: &'static AtomicBool = unsafe { AtomicBool::from_ptr(&raw mut bss.wake_sent) };
        // SAFETY: the same, and it is a number of this size.
        let waking_hook: &'static AtomicU32 = unsafe { AtomicU32::from_ptr(&raw mut bss.waking_hook.0) };
        // SAFETY: the same.
        let wanted_ns: &'static AtomicU64 = unsafe { AtomicU64::from_ptr(&raw mut bss.waking_wanted_ns) };
        let inbox = Arc::new(Inbox::new(&MapHandle::try_from(&skel.maps.ring)?, wake_sent)?);
        let waking = if plan.watches() {
            let exact = plan.features.interrupt_count;
            let program = if exact { &skel.progs.on_waking_exact } else { &skel.progs.on_waking };
            let program = program.as_fd().try_clone_to_owned().map_err(anyhow::Error::from)?;
            // SAFETY: the same.
            let begun: &'static AtomicU64 = unsafe { AtomicU64::from_ptr(&raw mut bss.starts_begun) };
            Some(Arc::new(Waking::new(program, waking_hook, wanted_ns, begun)))
        } else {
            None
        };
        Ok(Self {
            drainer: None,
            inbox,
            skel,
            links: Vec::new(),
            waking,
            rest: Rest::default(),
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
        // From the beginning, whatever is recorded: until the drainer runs nobody could attach it at once.
        if let Some(waking) = &self.waking {
            waking.begin();
        }
        if plan.watches() {
            attach(&progs.on_switch_watched, "tp_btf/sched_switch")?;
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
        attach(&progs.on_signal, "tp_btf/signal_generate")?;
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

    /// What is attached, or was for a while.
    pub fn hooks(&self) -> Vec<String> {
        let libraries = self.libraries.as_ref().map_or(&[][..], Libraries::hooks);
        let waking = self.waking.as_ref().filter(|waking| waking.was_attached());
        let waking = waking.map(|_| waking::HOOK.to_owned());
        self.hooks.iter().chain(libraries).cloned().chain(waking).collect()
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

    /// Probes loaders where it costs their processes less, as soon as a start has told where that is.
    pub fn follow_callers(&mut self) {
        if let (Some(libraries), Some(bss)) = (&mut self.libraries, self.skel.maps.bss_data.as_deref_mut()) {
            libraries.follow_callers(&mut bss.ld_callers);
        }
    }

    /// The same for a program that will be started.
    pub fn look_at_program(&mut self, path: &Path) {
        if let Some(libraries) = &mut self.libraries {
            libraries.look_at_program(path);
        }
        self.note_live();
    }

    /// From here on the ring is emptied when it is a quarter full, whatever the caller does meanwhile; where there can be
    /// no more threads, only when the caller does it.
    /// To be called by a thread of the priority that this work should have.
    ///
    /// # Errors
    /// Its descriptor could not be had again.
    pub fn start_drainer(&mut self) -> Result<(), Error> {
        let ring = MapHandle::try_from(&self.skel.maps.ring)?;
        match Drainer::start(self.inbox.clone(), self.waking.clone(), &ring) {
            Ok(drainer) => self.drainer = Some(drainer),
            Err(error) => tracing::warn!(
                %error,
                "no thread can be started: events are taken out less often (what is lost is counted)"
            ),
        }
        Ok(())
    }

    /// Takes the records out of the ring. Gives the time (boottime) before which every record was
    /// written that is out by now; `None` where some had to stay for want of room.
    pub fn drain(&mut self) -> Option<u64> {
        let drained_ns = self.inbox.drain();
        // Afterwards, as the drainer does: what this has taken out does not wake it.
        if let Some(waking) = &self.waking {
            waking.look();
        }
        drained_ns
    }

    /// All events up to `until_ns` have been looked at. `idle`: none of those since the last call began a start, and no
    /// start is under way whose waits are told. Where that has been so for a while, wake-ups are left alone until the next
    /// one begins.
    pub fn rest(&mut self, idle: bool, until_ns: u64) {
        if let Some(waking) = &self.waking
            && self.rest.at(waking, idle, until_ns)
        {
            waking.leave();
        }
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

    /// The start of this process is finished: its tasks are watched no longer, and cost no more than those of a stranger.
    /// But for what it executes after `until_ns` (boottime).
    pub fn settle(&mut self, id: Id, until_ns: u64) {
        let (birth, until) = (id.birth_ns.to_ne_bytes(), until_ns.to_ne_bytes());
        // Where this fails, records come that nobody needs.
        let _ = self.skel.maps.settled.update(&birth, &until, MapFlags::ANY);
        if let Some(bss) = self.skel.maps.bss_data.as_deref_mut() {
            counter_of(&mut bss.settled_newest).fetch_max(id.birth_ns, Ordering::SeqCst);
        }
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
        let waking = self.waking.as_ref().and_then(|waking| waking.end());
        std::thread::scope(|scope| {
            uprobe::close_beside(scope, waking);
            uprobe::close(self.links.drain(..).chain(libraries).collect());
        });
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
                ("file_paths_cut", &mut counters.paths),
                ("seeds_missed", &mut counters.seeds),
            ] {
                lost.insert(name.to_owned(), counter_of(counter).load(Ordering::Relaxed));
            }
        }
        let unseen = self.waking.as_ref().map_or(0, |waking| waking.missed());
        lost.insert("wakers".to_owned(), unseen);
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
