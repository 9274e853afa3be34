//! `--dry-run`: what would be attached, and what it costs.

use super::fail;
use crate::command::Exit;
use crate::probe::{Plan, Provider, Wanted};

pub(super) fn dry_run(wanted: Wanted) -> Exit {
    let plan = match Plan::choose(wanted) {
        Ok(plan) => plan,
        Err(error) => return fail(&error.into(), Exit::Unable),
    };
    println!("Hooks:");
    for hook in plan.hooks() {
        println!("  {hook}");
    }
    println!("{}", cost(&plan));
    Exit::Success
}

/// What the hooks cost, as measured by `cargo xtask bench` (see the README).
fn cost(plan: &Plan) -> String {
    let calls = match plan.provider {
        Provider::Tracepoints => {
            "Tracepoints of fork and exec calls: while the recording runs, every system call of the\n\
             machine takes some 50 ns longer (a getppid loop: about 1.25 times)."
        }
        Provider::Fentry => "fentry on fork and exec calls: nothing for other system calls.",
        Provider::MmAlloc => {
            "Entry times are those of the new address space's allocation (20 to 60 us late); failed execs\n\
             are seen at libc's execve, without their error. Exact ones: --syscall-hooks."
        }
        Provider::None => {
            "Entry times and failed execs are not observed on this kernel; exact ones: --syscall-hooks."
        }
    };
    let libraries = if plan.probes_libraries() {
        "\n  Probes in ld.so and libc: every start of a dynamic program on the machine takes some 120 us longer."
    } else {
        ""
    };
    let files = if plan.tells_files() {
        "\n  Tracepoints of open, stat, access and write (--level deep): while the recording runs, every system\n  \
         call of the machine takes some 50 ns longer, and these of processes in their start 0.5 us more."
    } else {
        ""
    };
    let faults = if plan.tells_faults() {
        "\n  The tracepoint of page faults (--level deep): each page fault of the machine takes some 80 ns longer."
    } else {
        ""
    };
    let profile = if plan.profiles() {
        format!(
            "\n  Sampling: {} times a second and CPU, some 3 us each for the processes followed.",
            plan.profile_hz
        )
    } else {
        String::new()
    };
    let imports = if plan.probes_imports() {
        "\n  Probes in CPython: a module that a process loads takes some 5 us longer."
    } else {
        ""
    };
    format!(
        "Cost:\n  some 10 us a start in the kernel (fork, first run, exec, exit), two loads for every other context switch.{libraries}{imports}{files}{faults}{profile}\n  {}",
        calls.replace('\n', "\n  ")
    )
}
