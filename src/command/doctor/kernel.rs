//! What only trying tells: the programs are loaded and attached as a recording does it, follow a
//! child that does nothing, and are gone again.

use crate::host::checks::{Check, State};
use crate::probe::features::Features;
use crate::probe::{Plan, Probe, Scope, Wanted, find_syscall_tracepoints, seed::Seeded, syscall_tracepoints};
use crate::words::duration;
use std::time::{Duration, Instant};

/// How the programs did.
struct Trial {
    /// From nothing to everything attached.
    took: Duration,
    hooks: Vec<String>,
    seeded: Result<Seeded, String>,
    /// Events that a child's life made.
    events: Result<usize, String>,
    /// Marks that could not be set.
    marks_lost: u64,
}

/// Tries everything.
pub fn checks() -> Vec<Check> {
    // The errors are those of a recording, where the kernel lacks what all of them need. Without
    // PIDs nothing is followed yet, and the programs for -p are loaded all the same.
    let plan = match Plan::choose(Wanted::of(Scope::Pids(Vec::new()))) {
        Ok(plan) => plan,
        Err(error) => return programs(&Err(error.to_string())),
    };
    let fentry = plan.features.fentry;
    let tried = trial(&plan);
    let mut checks = programs(&tried);
    checks.push(fentry_check(fentry));
    checks.push(tracepoints(fentry, &syscall_tracepoints().map_err(|error| format!("{error:#}"))));
    if let Ok(trial) = &tried {
        checks.push(uprobes(fentry, &trial.hooks));
    }
    checks.extend(optional(&plan.features));
    checks
}

/// Loads, attaches, marks ourselves, and has a child that ends at once.
fn trial(plan: &Plan) -> Result<Trial, String> {
    let begin = Instant::now();
    let mut probe = Probe::attach(plan).map_err(|error| error.to_string())?;
    let took = begin.elapsed();
    let seeded = probe.seed(&[std::process::id()]).map_err(|error| error.to_string());
    let events = child().map(|()| {
        probe.drain();
        std::iter::from_fn(|| probe.next_batch()).map(|batch| batch.events.len()).sum()
    });
    let marks_lost = probe.lost().get("task_storage").copied().unwrap_or(0);
    let hooks = probe.hooks();
    probe.detach();
    Ok(Trial { took, hooks, seeded, events, marks_lost })
}

/// A process that ends at once, waited for.
fn child() -> Result<(), String> {
    // SAFETY: the child makes one call only, which is async-signal-safe.
    match unsafe { nix::unistd::fork() } {
        Ok(nix::unistd::ForkResult::Child) => {
            // SAFETY: ends the child without running anything of ours.
            unsafe { libc::_exit(0) }
        }
        Ok(nix::unistd::ForkResult::Parent { child }) => nix::sys::wait::waitpid(child, None)
            .map(|_| ())
            .map_err(|error| format!("waiting for a child: {error}")),
        Err(error) => Err(format!("fork: {error}")),
    }
}

fn programs(tried: &Result<Trial, String>) -> Vec<Check> {
    let name = "BPF programs";
    let trial = match tried {
        Ok(trial) => trial,
        Err(error) => {
            let meaning = "recording does not work: the kernel refuses the programs that it is made of";
            return vec![Check::new("programs", name, State::Missing, error.clone(), meaning)];
        }
    };
    let took = duration(u64::try_from(trial.took.as_nanos()).unwrap_or(u64::MAX));
    let core = trial.hooks.iter().filter(|hook| hook.starts_with("tp_btf/")).count();
    let found = format!("loaded and attached to {core} tracepoints in {took}");
    let mut checks = vec![Check::new("programs", name, State::Ok, found, "recording begins this fast")];

    let ring = |state, found: String, meaning| Check::new("ring", "ring buffer", state, found, meaning);
    checks.push(match &trial.events {
        Ok(0) => ring(
            State::Missing,
            "a child was started, and no event of it arrived".to_owned(),
            "recordings would be empty",
        ),
        Ok(n) => ring(State::Ok, format!("{n} events of a trial child arrived"), "events arrive"),
        Err(error) => ring(State::Missing, error.clone(), "events do not arrive"),
    });
    let marks = |state, found: &str, meaning| {
        Check::new("task_storage", "marks on tasks (task storage)", state, found, meaning)
    };
    checks.push(match trial.marks_lost {
        0 => marks(State::Ok, "set and inherited", "descendants are followed from their first instruction"),
        _ => marks(
            State::Missing,
            "the kernel had no memory for them",
            "processes would be missed: free some memory and try again",
        ),
    });
    let seeds = |state, found: String, meaning| {
        Check::new("iter_task", "running processes (iter/task)", state, found, meaning)
    };
    checks.push(match &trial.seeded {
        Ok(seeded) if !seeded.processes.is_empty() => {
            seeds(State::Ok, "found and marked".to_owned(), "-p follows what runs already")
        }
        Ok(_) => seeds(State::Limited, "none was found".to_owned(), "-p cannot follow what runs already"),
        Err(error) => seeds(State::Limited, error.clone(), "-p cannot follow what runs already"),
    });
    checks
}

fn fentry_check(works: bool) -> Check {
    let check =
        |state, found, meaning| Check::new("fentry", "function hooks (fentry)", state, found, meaning);
    if works {
        check(State::Ok, "allowed", "entries into fork and exec are exact, at no cost to other system calls")
    } else {
        check(
            State::Limited,
            "not on this kernel",
            "with -p, -a and selectors entries into fork are known 20 to 60 us late, and forks that fail not at \
             all; execs that fail are known without their error with -p, and with -a and selectors only by \
             --library-probes; --syscall-hooks, and a command to start, do better",
        )
    }
}

fn tracepoints(fentry: bool, tried: &Result<(), String>) -> Check {
    let check = |state, found: &str, meaning| {
        Check::new("syscall_tracepoints", "system-call tracepoints", state, found, meaning)
    };
    match tried {
        Ok(()) if fentry => check(State::Ok, "can be opened", "not needed: fentry does the same for less"),
        Ok(()) => check(State::Ok, "can be opened", "used for a command to start, and with --syscall-hooks"),
        Err(error) if fentry => check(State::Ok, error, "not needed: fentry does the same"),
        // Then a recording does without.
        Err(error) if find_syscall_tracepoints().is_err() => check(
            State::Limited,
            error,
            "a command to start is traced as with -p: entries into fork are known 20 to 60 us late, execs that fail \
             without their error, and forks that fail not at all",
        )
        .mended_by("sudo mount -t tracefs nodev /sys/kernel/tracing"),
        Err(error) => check(
            State::Limited,
            error,
            "a command to start cannot be traced (-p and -a can): they are what tells its entries into \
             fork and exec",
        )
        .mended_by("sudo mount -t tracefs nodev /sys/kernel/tracing"),
    }
}

const LIBRARIES: &str =
    "phases load, link and init are seen of a command and with -p; with -a and selectors by --library-probes";

fn uprobes(fentry: bool, hooks: &[String]) -> Check {
    let check = |state, found: String, meaning| {
        Check::new("uprobes", "function hooks in libc and ld.so (uprobes)", state, found, meaning)
    };
    let files = |function: &str| {
        let hooks = hooks.iter().filter_map(|hook| hook.strip_prefix("uprobe/")?.strip_suffix(function));
        hooks.collect::<std::collections::BTreeSet<_>>()
    };
    let (loaders, execves) = (files(":_dl_debug_state"), files(":execve"));
    let failed_execs = fentry || !execves.is_empty();
    let found = loaders.iter().copied().collect::<Vec<_>>().join(", ");
    match loaders.first() {
        Some(_) if failed_execs => check(State::Ok, found, LIBRARIES),
        Some(_) => {
            check(State::Limited, found, "with -p failed execs are not seen; --syscall-hooks sees them")
        }
        None => check(
            State::Limited,
            "no loader or libc was found, or the kernel refuses them".to_owned(),
            "phases load, link and init are not seen, nor with -p failed execs",
        ),
    }
}

/// Hooks that newer or other kernels have.
fn optional(features: &Features) -> Vec<Check> {
    let check = |id: &str, there: bool, gives: &str, without: &str| {
        let (state, found, meaning) = match there {
            true => (State::Ok, "there", gives),
            false => (State::Limited, "not in this kernel", without),
        };
        Check::new(id, &format!("tracepoint {id}"), state, found, meaning)
    };
    let mut checks = vec![
        check(
            "sched_prepare_exec",
            features.sched_prepare_exec,
            "the moment at which an exec can no longer fail is known",
            "where the entry into an exec was not seen, only its end is known (since Linux 6.10)",
        ),
        check(
            "sock_recv_length",
            features.sock_recv_length,
            "who asked a fork server for a worker is known",
            "requested_by stays null: who asked a fork server for a worker is not known (since Linux 6.3)",
        ),
    ];
    // Not asked for where there is better.
    if !features.fentry {
        checks.push(check(
            "percpu_alloc_percpu",
            features.percpu_alloc_percpu,
            "with -p and -a entries into fork and exec are known to 60 us",
            "with -p and -a the time that fork itself takes is not seen, but with --syscall-hooks",
        ));
    }
    checks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(checks: &[Check], id: &str) -> State {
        checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no {id}")).state
    }

    fn good() -> Trial {
        Trial {
            took: Duration::from_millis(90),
            hooks: vec![
                "tp_btf/task_newtask".into(),
                "uprobe//lib/ld.so:_dl_debug_state".into(),
                "uprobe//lib/libc.so.6:execve".into(),
            ],
            seeded: Ok(Seeded {
                processes: vec![crate::event::Id::default()],
                since_ns: 0,
                unsettled: false,
            }),
            events: Ok(4),
            marks_lost: 0,
        }
    }

    #[test]
    fn a_trial_that_went_well_is_ok() {
        let checks = programs(&Ok(good()));
        assert!(checks.iter().all(|check| check.state == State::Ok), "{checks:?}");
        assert_eq!(checks[0].found, "loaded and attached to 1 tracepoints in 90.0 ms");
        assert_eq!(uprobes(false, &good().hooks).found, "/lib/ld.so");
        assert_eq!(uprobes(false, &good().hooks).state, State::Ok);
    }

    #[test]
    fn what_does_not_work_is_told_with_what_it_costs() {
        assert_eq!(state(&programs(&Err("refused".into())), "programs"), State::Missing);
        let deaf = Trial { events: Ok(0), seeded: Err("no".into()), marks_lost: 1, ..good() };
        let checks = programs(&Ok(deaf));
        assert_eq!(state(&checks, "ring"), State::Missing);
        assert_eq!(state(&checks, "iter_task"), State::Limited);
        assert_eq!(state(&checks, "task_storage"), State::Missing);
        let without = optional(&Features::default());
        assert_eq!(without.len(), 3);
        assert!(without.iter().all(|check| check.state == State::Limited));
        assert_eq!(uprobes(false, &[]).state, State::Limited);
        assert_eq!(tracepoints(false, &Err("no".into())).state, State::Limited);
    }

    #[test]
    fn what_fentry_replaces_is_not_missed() {
        assert_eq!(fentry_check(true).state, State::Ok);
        assert_eq!(fentry_check(false).state, State::Limited);
        assert_eq!(uprobes(true, &good().hooks[..2]).state, State::Ok);
        assert_eq!(uprobes(false, &good().hooks[..2]).state, State::Limited);
        assert_eq!(tracepoints(true, &Err("no".into())).state, State::Ok);
        assert_eq!(optional(&Features { fentry: true, ..Features::default() }).len(), 2);
    }
}
