//! `--dry-run`: what would be attached, and what it costs.

use super::fail;
use crate::command::Exit;
use crate::command::printed::printed;
use crate::host::privilege::{self, Rights};
use crate::probe::{self, Plan, Provider, Wanted};
use crate::words::not_observed;
use std::io::Write;

pub(super) fn dry_run(wanted: &Wanted) -> Exit {
    let privileged = privilege::status().is_ok_and(|sets| privilege::rights(sets.effective) != Rights::None);
    let plans = match plans(wanted, privileged) {
        Ok(plans) => plans,
        Err(error) => return fail(&error.into(), Exit::Unable),
    };
    let shown = std::io::stdout().write_all(text(&plans, wanted).as_bytes());
    match printed("the plan", shown) {
        Ok(()) => Exit::Success,
        Err(error) => fail(&error, Exit::Failure),
    }
}

/// What it may come to, each with its condition: what was found by trying, where that is allowed.
fn plans(wanted: &Wanted, privileged: bool) -> Result<Vec<(&'static str, Plan)>, probe::Error> {
    if privileged { Ok(vec![("", Plan::choose(wanted.clone())?)]) } else { Plan::possible(wanted) }
}

fn text(plans: &[(&str, Plan)], wanted: &Wanted) -> String {
    let mut text = String::new();
    let lists: Vec<_> = plans.iter().map(|(condition, plan)| (*condition, plan.hooks())).collect();
    section(&mut text, "Hooks", "which of these hooks are used", &lists);
    let lists: Vec<_> = plans.iter().map(|(condition, plan)| (*condition, costs(plan, wanted))).collect();
    section(&mut text, "Cost", "which of these costs there are", &lists);
    let lists: Vec<_> = plans.iter().map(|(condition, plan)| (*condition, unseen(plan))).collect();
    if lists.iter().any(|(_, list)| !list.is_empty()) {
        section(&mut text, "Not observed", "what of this is not observed", &lists);
    }
    text
}

/// What all lists have, and then what depends on what could not be examined.
fn section(text: &mut String, title: &str, unknown: &str, lists: &[(&str, Vec<String>)]) {
    let line = |text: &mut String, indent: &str, entry: &str| {
        for line in entry.lines() {
            text.push_str(&format!("{indent}{line}\n"));
        }
    };
    let in_all = |entry: &String| lists.iter().all(|(_, list)| list.contains(entry));
    text.push_str(&format!("{title}:\n"));
    let first = lists.first().map_or(&[][..], |(_, list)| list);
    first.iter().filter(|entry| in_all(entry)).for_each(|entry| line(text, "  ", entry));
    if lists.iter().all(|(_, list)| list.iter().all(in_all)) {
        return;
    }
    text.push_str(&format!("Not examined without privileges (run with sudo to see {unknown}):\n"));
    for (condition, list) in lists {
        text.push_str(&format!("  {condition}:\n"));
        let mut own = list.iter().filter(|entry| !in_all(entry)).peekable();
        if own.peek().is_none() {
            line(text, "    ", "none of them");
        }
        own.for_each(|entry| line(text, "    ", entry));
    }
}

/// What the hooks cost, as measured by `cargo xtask bench` (see the README).
fn costs(plan: &Plan, wanted: &Wanted) -> Vec<String> {
    let mut costs = vec![
        "some 10 us a start in the kernel (fork, first run, exec, exit), two loads for every other context switch."
            .to_owned(),
    ];
    if plan.watches() {
        costs.push(
            "sched_waking: for the first second, while a start is under way, and a second more, every wake-up takes some\n\
             50 ns longer."
                .to_owned(),
        );
    }
    if plan.probes_libraries() {
        costs.push(
            "Probes in ld.so and libc: every start of a dynamic program on the machine takes 50 to 120 us longer."
                .to_owned(),
        );
    }
    if plan.probes_imports() {
        costs.push("Probes in CPython: a module that a process loads takes some 5 us longer.".to_owned());
    }
    if plan.tells_files() {
        costs.push(
            "Tracepoints of open, stat, access, connect and write (--level deep): while the recording runs, every\n\
             system call of the machine takes some 50 ns longer, and these of processes in their start 0.5 us more."
                .to_owned(),
        );
    } else if plan.tells_output() {
        costs.push(
            "Tracepoints of write (--ready output): while the recording runs, every system call of the machine\n\
             takes some 50 ns longer."
                .to_owned(),
        );
    }
    if plan.tells_faults() {
        costs.push(
            "The tracepoint of page faults (--level deep): each page fault of the machine takes some 80 ns longer."
                .to_owned(),
        );
    }
    if plan.profiles() {
        costs.push(format!(
            "Sampling: {} times a second and CPU, some 3 us each for the processes followed.",
            plan.profile_hz
        ));
    }
    costs.push(calls(plan, wanted));
    costs
}

/// What tells of entries into fork and exec, what that costs and what it is worth.
fn calls(plan: &Plan, wanted: &Wanted) -> String {
    // Where the tracepoints were asked for and are not used, they are not to be had.
    let exact = match wanted.syscall_hooks {
        true => {
            "Exact ones take tracepoints of system calls,\nwhich cannot be opened here: see 'startrace doctor'."
        }
        false => "Exact ones: --syscall-hooks.",
    };
    match plan.provider {
        Provider::Tracepoints => {
            let calls = if plan.tells_unix_connects() { "fork, exec and connect" } else { "fork and exec" };
            format!(
                "Tracepoints of {calls} calls: while the recording runs, every system call of the\n\
                 machine takes some 50 ns longer (a getppid loop: about 1.25 times)."
            )
        }
        Provider::Fentry => "fentry on fork and exec calls: nothing for other system calls.".to_owned(),
        Provider::MmAlloc => {
            let failed = match plan.probes_execve() {
                true => "failed execs\nare seen at libc's execve, without their error.",
                false => "failed execs\nare not seen (--library-probes sees them, without their error).",
            };
            format!(
                "Entry times are those of the new address space's allocation (20 to 60 us late); {failed} {exact}"
            )
        }
        Provider::None => {
            format!("Entry times and failed execs are not observed on this kernel. {exact}")
        }
    }
}

/// What the recording's `session.not_observed` will have, each with what that is.
fn unseen(plan: &Plan) -> Vec<String> {
    plan.not_observed().iter().map(|what| format!("{what}: {}", not_observed(what))).collect()
}
