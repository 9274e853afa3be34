//! `start-failed`: a process ended badly before it was ready.

use crate::diagnose::case::{Case, listed, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::diagnose::known::is_worker;
use crate::trace::schema::{Exec, ProcessRef, Severity, Start};
use crate::words::ORDERS;

pub(crate) struct StartFailed;

const PAGE: Page = Page {
    what: "A process ended with an error, by a signal, or could not execute its program, before it was ready.",
    why: "What fails is often started again and again, or the program goes on with a slower way.",
    measured: "Not priced: the end is seen, not what it led to.",
    fix: "Read its own error output or log. 127: a command, or a library that the dynamic loader needs, was not found; 126: not executable; 128 + n from a shell, or signal n: killed. SIGKILL by nobody in particular may be the kernel's out-of-memory killer (dmesg); SIGSYS is a seccomp filter's; for SIGSEGV and SIGABRT there may be a core dump (coredumpctl). The finding advises what fits.",
    mistaken: "Many commands say no by their exit status (grep, test, diff): status 1 of what is not the recorded command itself is not told. Nor is a server that was stopped after it listened, or a worker that its pool ended.",
};

/// What tells that a start has come to serve.
const SERVES: &[&str] = &["first_listen", "first_accept_wait", "notify_ready", "workers_ready", "daemonised"];

/// Signals that a program brings upon itself.
const CRASHES: &[&str] = &["SIGSEGV", "SIGABRT", "SIGBUS", "SIGILL", "SIGFPE", "SIGSYS", "SIGTRAP"];

impl Rule for StartFailed {
    fn id(&self) -> &'static str {
        "start-failed"
    }

    fn page(&self) -> &'static Page {
        &PAGE
    }

    fn feed(&self) -> Feed {
        Feed::Lifecycle
    }

    fn look(&self, case: &Case<'_>) -> Vec<Hit> {
        let start = case.start;
        if start.timeline.ready.kind != "exit" {
            return Vec::new();
        }
        let Some(exit) = &start.exit else { return Vec::new() };
        let root = start.parent.as_ref().is_none_or(|parent| parent.start_id.is_none());
        let signal = exit.signal.as_deref();
        let crashed = signal.is_some_and(|signal| CRASHES.contains(&signal));
        let of = |process: &Option<ProcessRef>| process.as_ref().and_then(|process| process.id.clone());
        let by_stranger = exit.killed_by.as_ref().is_some_and(|by| {
            by.id.is_some() && by.id != of(&start.parent) && by.id != of(&start.requested_by)
        });
        let severity = match (signal, exit.code) {
            (Some(_), _) if crashed => Severity::Critical,
            (Some("SIGPIPE"), _) => Severity::Info,
            // Whom a stranger ended before it was ready has not ended in good order.
            (Some(signal), _) if ORDERS.contains(&signal) && !by_stranger => Severity::Info,
            (Some(_), _) => Severity::Warning,
            (None, Some(126 | 127)) => Severity::Warning,
            (None, Some(code)) if code != 0 && root => Severity::Warning,
            (None, Some(0 | 1) | None) => return Vec::new(),
            (None, Some(_)) => Severity::Info,
        };
        // Whoever served, or did its part of a pool's work, has been stopped: its start had not failed.
        if signal.is_some_and(|signal| ORDERS.contains(&signal))
            && (served(start) || (!by_stranger && is_worker(start)))
        {
            return Vec::new();
        }
        let end = match (signal, exit.code) {
            (Some(signal), _) => {
                format!("{}{}", quoted(signal), if exit.core { " with a core dump" } else { "" })
            }
            (None, code) => format!("exit status {}", code.unwrap_or_default()),
        };
        let why = reason(start).map(|why| format!("; {why}")).unwrap_or_default();
        let by = sender(start).map(|by| format!(", sent by {by}")).unwrap_or_default();
        vec![
            Hit::new(format!("{} {end}", case.program()), format!("{} failed", case.program()))
                .says(format!("{} ended with {end} after {}{by}{why}", case.name(), time(case.duration())))
                .advises(advice(start))
                .shows("code", exit.code)
                .shows("signal", exit.signal.clone())
                .at_least(severity)
                .at_most(severity),
        ]
    }
}

/// Had it come to serve somebody?
fn served(start: &Start) -> bool {
    let mut milestones = start.timeline.milestones.iter().take(1_000);
    milestones.any(|milestone| SERVES.contains(&milestone.name.as_str()))
}

/// Who sent the signal, in words.
pub(in crate::diagnose) fn sender(start: &Start) -> Option<String> {
    let by = start.exit.as_ref()?.killed_by.as_ref()?;
    Some(format!("pid {} ({})", by.pid, quoted(by.comm.as_deref().unwrap_or("?"))))
}

/// The exec that failed, after which it ended.
fn failed_exec(start: &Start) -> Option<&Exec> {
    start.execs.last().filter(|exec| exec.error.is_some())
}

/// Why it ended, as far as that was seen: for the verdict, too.
pub(in crate::diagnose) fn reason(start: &Start) -> Option<String> {
    if let Some(exec) = failed_exec(start) {
        let path = quoted(exec.path.as_deref().unwrap_or("its program"));
        return Some(format!("exec of {path} failed ({})", quoted(exec.error.as_deref().unwrap_or("?"))));
    }
    start.is_given_up_by_loader().then(|| match missing(start) {
        [] => "its dynamic loader gave up before the program's own code began".to_owned(),
        names => format!("its dynamic loader does not find {}", listed_names(names)),
    })
}

/// The libraries that the loader does not find.
fn missing(start: &Start) -> &[String] {
    start.exit.as_ref().and_then(|exit| exit.missing_libraries.as_deref()).unwrap_or_default()
}

fn listed_names(names: &[String]) -> String {
    listed(&names.iter().map(|name| quoted(name)).collect::<Vec<_>>())
}

/// What to look at.
fn advice(start: &Start) -> String {
    let exit = start.exit.as_ref();
    if let Some(signal) = exit.and_then(|exit| exit.signal.as_deref()) {
        return of_signal(signal, start);
    }
    if let Some(error) = failed_exec(start).and_then(|exec| exec.error.as_deref()) {
        let look = match error {
            "ENOENT" => {
                "The file, the folder before it, or the interpreter that its '#!' line or ELF header names is not there: give the right path, or install it"
            }
            "EACCES" => {
                "It may not be executed: look at its mode, at the folders above it, and whether its file system is mounted noexec"
            }
            "ENOEXEC" => {
                "It is no program of this machine: a script without a '#!' line, an empty file, or one for another architecture"
            }
            "E2BIG" => "Arguments and environment together are too long: pass them in a file, or by xargs",
            "ETXTBSY" => "Somebody has the file open for writing: write a new one and rename it",
            _ => "Read its error output, and execve(2) on that error",
        };
        return look.to_owned();
    }
    if start.is_given_up_by_loader() {
        let exe = quoted(start.exe.as_deref().unwrap_or("PROGRAM"));
        let all_there = exit.is_some_and(|exit| exit.missing_libraries.as_deref() == Some(&[]));
        return match missing(start) {
            [] if all_there => format!(
                "All its libraries are there: one of them is too old or too new, and lacks a symbol or a version. Its error output \
                 names that, and 'ldd -r {exe}' all of them"
            ),
            [] => format!("Most often for a library that is not there: 'startrace inspect {exe}' names it"),
            names => format!(
                "Install the package that has {}, or tell the loader where it is (a RUNPATH, LD_LIBRARY_PATH, ldconfig); \
                 'startrace inspect {exe}' shows where it looks",
                listed_names(names)
            ),
        };
    }
    "Read its error output; the trace has its last execs and waits".to_owned()
}

/// What to look at for whom a signal ended.
fn of_signal(signal: &str, start: &Start) -> String {
    let exit = start.exit.as_ref();
    let dump = format!(
        "its core dump says where ('coredumpctl debug {}', or the file that /proc/sys/kernel/core_pattern names{})",
        start.pid,
        if exit.is_some_and(|exit| exit.core) { "" } else { "; none without ulimit -c" }
    );
    if let Some(by) = sender(start).filter(|_| !matches!(signal, "SIGSYS")) {
        return format!("Look why {by} ended it: it was the one that sent the signal");
    }
    match signal {
        "SIGKILL" => {
            let cgroup = start.cgroup.as_deref().filter(|cgroup| !cgroup.is_empty() && *cgroup != "/");
            let of = cgroup.map(|cgroup| format!(" of cgroup {}", quoted(cgroup))).unwrap_or_default();
            format!(
                "Unless it killed itself, that is the kernel's out-of-memory killer: 'dmesg' or 'journalctl -k' name whom it \
                 took, memory.max and memory.events{of} say whether a limit was reached"
            )
        }
        "SIGSYS" => {
            "A seccomp filter forbids a system call that it makes: 'journalctl -k' or 'ausearch -m SECCOMP' name the call; allow it \
             (SystemCallFilter= of the unit, --security-opt seccomp= of the container)"
                .to_owned()
        }
        "SIGABRT" => format!("It gave itself up (abort, an assertion, an exception that nobody caught): its error output says why, and {dump}"),
        "SIGBUS" => format!("It touched what is no longer there, such as a mapped file that was cut or a /dev/shm that is full; {dump}"),
        "SIGILL" => format!("Its code has an instruction that this CPU has not (built for another one), or traps on purpose; {dump}"),
        "SIGXCPU" | "SIGXFSZ" => "It came to a limit of its own (ulimit -a; LimitCPU= and LimitFSIZE= of its unit): raise that".to_owned(),
        "SIGPIPE" => "Who was to read its output had ended before: look at that one".to_owned(),
        signal if CRASHES.contains(&signal) => format!("It crashed; {dump}"),
        _ => "Look who sends it that signal: record that one, too (-a)".to_owned(),
    }
}
