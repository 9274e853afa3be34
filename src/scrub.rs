//! A trace without what its processes, users and hosts are called: fit for a ticket.
//!
//! What is not known to be harmless is replaced, never the other way round: a word stays only if it is one of
//! startrace's own (`words.txt`), a well-known program or folder, or a single character. The same word
//! becomes the same pseudonym everywhere in a trace, so that what belongs together can still be seen. Every
//! structure is taken apart by all of its fields: a field that is added later does not compile until somebody
//! has decided what becomes of it.
//!
//! Kept: all times, counts, process ids and their relations, phases, states, methods, the kernel's version and
//! the processor's model.

mod parts;
mod words;

pub use words::Pseudonyms;

use crate::sort;
use crate::trace::schema::{
    Binary, Connect, Container, Counters, Exec, Exit, FailedFork, Folded, Group, Header, Holder, Host,
    Method, Milestone, Phase, ProcessRef, Ready, Run, Runtime, RuntimeStage, RuntimeThreads, Segment,
    Session, Start, States, Target, ThreadTime, Timeline, Wait, WokenBy,
};
use std::collections::BTreeMap;

impl Pseudonyms {
    /// What made the trace, and where.
    pub fn header(&self, header: Header) -> Header {
        let Header { schema, tool, host } = header;
        let Host { hostname, kernel, arch, boot_id, cpus, cpu_model, cpu_quota } = host;
        Header {
            schema,
            tool,
            host: Host {
                hostname: self.word(&hostname),
                kernel: self.version(&kernel),
                arch: self.name(&arch),
                boot_id: boot_id.map(|id| self.word(&id)),
                cpus,
                cpu_model,
                cpu_quota,
            },
        }
    }

    /// A start.
    pub fn start(&self, start: Start) -> Start {
        let Start {
            start_id,
            id,
            seq,
            partial,
            pid,
            ns_pid,
            comm,
            parent,
            requested_by,
            uid,
            gid,
            cwd,
            cgroup,
            unit,
            container,
            method,
            exe,
            argv,
            argv_bytes,
            argv_truncated,
            // Who asks for a variable by name knows what it holds; nobody else has to.
            env: _,
            execs,
            binary,
            timeline,
            exit,
            // Found anew in the copy by whoever writes it: they quote commands and paths.
            findings: _,
        } = start;
        Start {
            start_id: self.id(&start_id),
            id: self.id(&id),
            seq,
            partial,
            pid,
            ns_pid,
            comm: self.program(&comm),
            parent: parent.map(|parent| self.process(parent)),
            requested_by: requested_by.map(|process| self.process(process)),
            uid: uid.map(|id| self.user(id)),
            gid: gid.map(|id| self.user(id)),
            cwd: cwd.map(|path| self.path(&path)),
            cgroup: cgroup.map(|path| self.path(&path)),
            unit: unit.map(|unit| self.file_name(&unit)),
            container: container.map(|container| {
                let Container { id, runtime, pod } = container;
                Container {
                    id: self.hex(&id),
                    runtime: runtime.map(|name| self.name(&name)),
                    pod: pod.map(|pod| self.word(&pod)),
                }
            }),
            method: self.method(method),
            exe: exe.map(|path| self.path(&path)),
            argv: argv.map(|argv| self.argv(argv)),
            argv_bytes,
            argv_truncated,
            env: None,
            execs: execs.into_iter().map(|exec| self.exec(exec)).collect(),
            binary: binary.map(|binary| self.binary(binary)),
            timeline: self.timeline(timeline),
            exit: exit.map(|exit| self.exit(exit)),
            findings: Vec::new(),
        }
    }

    /// A start's id.
    pub fn known_id(&self, id: &str) -> String {
        self.id(id)
    }

    fn argv(&self, argv: Vec<String>) -> Vec<String> {
        argv.iter()
            .enumerate()
            .map(|(place, arg)| if place == 0 { self.path(arg) } else { self.argument(arg) })
            .collect()
    }

    fn process(&self, process: ProcessRef) -> ProcessRef {
        let ProcessRef { start_id, id, pid, comm } = process;
        ProcessRef {
            start_id: start_id.map(|id| self.id(&id)),
            id: id.map(|id| self.id(&id)),
            pid,
            comm: comm.map(|comm| self.program(&comm)),
        }
    }

    /// How a process was started.
    pub fn method(&self, method: Method) -> Method {
        let Method {
            name,
            primitive,
            mechanism,
            library,
            pattern,
            confidence,
            evidence,
            clone_flags,
            exit_signal,
        } = method;
        let named = |name: Option<String>| name.map(|name| self.name(&name));
        Method {
            name: self.name(&name),
            primitive: named(primitive),
            mechanism: named(mechanism),
            library: named(library),
            pattern: named(pattern),
            confidence,
            evidence: evidence.iter().map(|text| self.text(text)).collect(),
            clone_flags: clone_flags.iter().map(|flag| self.constant(flag)).collect(),
            exit_signal: exit_signal.map(|signal| self.constant(&signal)),
        }
    }

    fn exec(&self, exec: Exec) -> Exec {
        let Exec { at_ns, duration_ns, path, interpreter, script, error } = exec;
        Exec {
            at_ns,
            duration_ns,
            path: path.map(|path| self.path(&path)),
            interpreter: interpreter.map(|path| self.path(&path)),
            script: script.map(|path| self.path(&path)),
            error: error.map(|error| if error == "unknown" { error } else { self.constant(&error) }),
        }
    }

    fn binary(&self, binary: Binary) -> Binary {
        let Binary { linkage, build_id, interpreter, needed, relocations, runtime, program, misnamed } =
            binary;
        Binary {
            linkage: linkage.map(|name| self.name(&name)),
            build_id: build_id.map(|id| self.hex(&id)),
            interpreter: interpreter.map(|path| self.path(&path)),
            needed,
            relocations,
            runtime: runtime.map(|runtime| self.runtime(&runtime)),
            program: program.map(|name| self.program(&name)),
            misnamed,
        }
    }

    fn timeline(&self, timeline: Timeline) -> Timeline {
        let Timeline {
            started_at,
            origin_boottime_ns,
            origin,
            duration_ns,
            ready,
            phases,
            phase_ns,
            fork_waited_ns,
            fork_copied_bytes,
            states,
            waits,
            waits_left_out,
            connects,
            connects_left_out,
            critical_path,
            path_ns,
            threads,
            threads_left_out,
            counters,
            milestones,
            imports,
            files,
            runtime,
            profile,
        } = timeline;
        let Ready { kind, at_ns, inferred, detail } = ready;
        Timeline {
            started_at: self.date(&started_at),
            origin_boottime_ns,
            origin,
            duration_ns,
            ready: Ready { kind: self.name(&kind), at_ns, inferred, detail: self.some_text(detail) },
            phases: phases
                .into_iter()
                .map(|phase| {
                    let Phase { name, at_ns, duration_ns, exec } = phase;
                    Phase { name: self.name(&name), at_ns, duration_ns, exec }
                })
                .collect(),
            phase_ns: self.named(phase_ns),
            fork_waited_ns,
            fork_copied_bytes,
            states: states.map(|states| {
                let States { creating_ns, running_ns, runnable_ns, exited_ns, unknown_ns, blocked } = states;
                let blocked = self.named(blocked);
                States { creating_ns, running_ns, runnable_ns, exited_ns, unknown_ns, blocked }
            }),
            waits: waits.into_iter().map(|wait| self.wait(wait)).collect(),
            waits_left_out,
            connects: connects
                .into_iter()
                .map(|connect| {
                    let Connect { at_ns, duration_ns, tid, peer, error } = connect;
                    let error = error.map(|error| match error.as_str() {
                        "unknown" | "given_up" => error,
                        _ => self.constant(&error),
                    });
                    Connect { at_ns, duration_ns, tid, peer: self.some_text(peer), error }
                })
                .collect(),
            connects_left_out,
            critical_path: critical_path.into_iter().map(|segment| self.segment(segment)).collect(),
            path_ns: self.named(path_ns),
            threads: threads
                .into_iter()
                .map(|thread| {
                    let ThreadTime { tid, comm, running_ns, runnable_ns } = thread;
                    ThreadTime { tid, comm: comm.map(|comm| self.program(&comm)), running_ns, runnable_ns }
                })
                .collect(),
            threads_left_out,
            counters: counters.map(|counters| {
                // Numbers only.
                let Counters {
                    user_ns,
                    system_ns,
                    minor_faults,
                    major_faults,
                    voluntary_switches,
                    involuntary_switches,
                    read_bytes,
                    rss_bytes,
                    threads,
                } = counters;
                Counters {
                    user_ns,
                    system_ns,
                    minor_faults,
                    major_faults,
                    voluntary_switches,
                    involuntary_switches,
                    read_bytes,
                    rss_bytes,
                    threads,
                }
            }),
            milestones: milestones
                .into_iter()
                .map(|milestone| {
                    let Milestone { name, at_ns, detail, inferred } = milestone;
                    Milestone { name: self.text(&name), at_ns, detail: self.some_text(detail), inferred }
                })
                .collect(),
            imports: imports.map(|imports| self.imports(imports)),
            files: files.map(|files| self.files(files)),
            runtime: runtime.map(|runtime| {
                let Runtime { language, stages, threads } = runtime;
                let stages = stages.into_iter().map(|stage| {
                    let RuntimeStage { name, at_ns, duration_ns } = stage;
                    RuntimeStage { name: self.name(&name), at_ns, duration_ns }
                });
                let threads = threads.into_iter().map(|threads| {
                    let RuntimeThreads { role, n, running_ns, runnable_ns } = threads;
                    RuntimeThreads { role: self.name(&role), n, running_ns, runnable_ns }
                });
                Runtime {
                    language: self.name(&language),
                    stages: stages.collect(),
                    threads: threads.collect(),
                }
            }),
            profile: profile.map(|profile| self.profile(profile)),
        }
    }

    fn some_text(&self, text: Option<String>) -> Option<String> {
        text.map(|text| self.text(&text))
    }

    fn named(&self, map: BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        sort::by_name(&mut map.into_iter().map(|(name, ns)| (self.name(&name), ns)))
    }

    fn wait(&self, wait: Wait) -> Wait {
        let Wait { at_ns, duration_ns, runnable_ns, tid, kind, syscall, detail, woken_by, holder } = wait;
        Wait {
            at_ns,
            duration_ns,
            runnable_ns,
            tid,
            kind: self.name(&kind),
            syscall: syscall.map(|name| self.name(&name)),
            detail: self.some_text(detail),
            woken_by: woken_by.map(|by| {
                let WokenBy { kind, pid, comm } = by;
                WokenBy { kind: self.name(&kind), pid, comm: comm.map(|comm| self.program(&comm)) }
            }),
            holder: holder.map(|holder| self.holder(holder)),
        }
    }

    fn holder(&self, holder: Holder) -> Holder {
        let Holder { pid, comm, held_ns } = holder;
        Holder { pid, comm: self.program(&comm), held_ns }
    }

    fn segment(&self, segment: Segment) -> Segment {
        let Segment { at_ns, duration_ns, start_id, tid, phase, state, detail, holder, folded } = segment;
        Segment {
            at_ns,
            duration_ns,
            start_id: self.id(&start_id),
            tid,
            phase: phase.map(|name| self.name(&name)),
            state: self.name(&state),
            detail: self.some_text(detail),
            holder: holder.map(|holder| self.holder(holder)),
            folded: folded.map(|folded| Box::new(self.folded(*folded))),
        }
    }

    fn folded(&self, folded: Folded) -> Folded {
        let Folded { pieces, own_ns, others_ns, short_starts, short_ns, also } = folded;
        Folded {
            pieces,
            own_ns: self.named(own_ns),
            others_ns: self.named(others_ns),
            short_starts,
            short_ns,
            also: also.iter().map(|id| self.id(id)).collect(),
        }
    }

    /// How a process ended.
    pub fn exit(&self, exit: Exit) -> Exit {
        let Exit { code, signal, core, killed_by, at_ns, missing_libraries } = exit;
        let missing = missing_libraries.map(|all| all.iter().map(|name| self.path(name)).collect());
        Exit {
            code,
            signal: signal.map(|signal| self.constant(&signal)),
            core,
            killed_by: killed_by.map(|process| self.process(process)),
            at_ns,
            missing_libraries: missing,
        }
    }

    /// A fork that failed.
    pub fn failed_fork(&self, failed: FailedFork) -> FailedFork {
        let FailedFork { boottime_ns, duration_ns, by, primitive, error } = failed;
        FailedFork {
            boottime_ns,
            duration_ns,
            by: self.process(by),
            primitive: primitive.map(|name| self.name(&name)),
            error: self.constant(&error),
        }
    }

    /// A pool.
    pub fn group(&self, group: Group) -> Group {
        let Group { parent, parent_id, method, n, unfinished, makespan_ns, parallelism, p50_ns, max_ns } =
            group;
        Group {
            parent: parent.map(|id| self.id(&id)),
            parent_id: parent_id.map(|id| self.id(&id)),
            method: self.name(&method),
            n,
            unfinished,
            makespan_ns,
            parallelism,
            p50_ns,
            max_ns,
        }
    }

    /// How the recording was made.
    pub fn session(&self, session: Session) -> Session {
        let Session {
            mode,
            target,
            level,
            env_source,
            started_at,
            duration_ns,
            ended_by,
            complete,
            lost,
            hooks,
            hooks_missing,
            not_observed,
            redacted,
            starts,
            left_out,
            runs,
        } = session;
        let Target { argv, pids, selectors } = target;
        Session {
            mode: self.name(&mode),
            target: Target {
                argv: argv.map(|argv| self.argv(argv)),
                pids,
                selectors: selectors.iter().map(|selector| self.text(selector)).collect(),
            },
            level: self.name(&level),
            env_source: env_source.map(|name| self.name(&name)),
            started_at: self.date(&started_at),
            duration_ns,
            // Names of signals are constants, the others words.
            ended_by: if ended_by.starts_with("SIG") {
                self.constant(&ended_by)
            } else {
                self.name(&ended_by)
            },
            complete,
            lost: self.named(lost),
            hooks: hooks.iter().map(|hook| self.hook(hook)).collect(),
            hooks_missing,
            not_observed: not_observed.map(|what| what.iter().map(|what| self.name(what)).collect()),
            redacted,
            starts,
            left_out,
            runs: runs
                .into_iter()
                .map(|run| {
                    let Run { name, start_id, exit, pss_bytes, daemon_start_id } = run;
                    let start_id = start_id.map(|id| self.id(&id));
                    let daemon_start_id = daemon_start_id.map(|id| self.id(&id));
                    Run { name: self.argument(&name), start_id, exit, pss_bytes, daemon_start_id }
                })
                .collect(),
        }
    }
}
