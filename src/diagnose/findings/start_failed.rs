//! `start-failed`: a process ended badly before it was ready.

use crate::diagnose::case::{Case, quoted, time};
use crate::diagnose::catalogue::{Feed, Page, Rule};
use crate::diagnose::hit::Hit;
use crate::trace::schema::{ProcessRef, Severity};
use crate::words::ORDERS;

pub(crate) struct StartFailed;

const PAGE: Page = Page {
    what: "A process ended with an error, by a signal, or could not execute its program, before it was ready.",
    why: "What fails is often started again and again, or the program goes on with a slower way.",
    measured: "Not priced: the end is seen, not what it led to.",
    fix: "Read its own error output or log. 127: a command, or a library that the dynamic loader needs, was not found; 126: not executable; 128 + n from a shell, or signal n: killed. SIGKILL by nobody in particular may be the kernel's out-of-memory killer (dmesg).",
    mistaken: "Many commands say no by their exit status (grep, test, diff): status 1 of what is not the recorded command itself is not told.",
};

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
        let failed = start.execs.last().filter(|exec| exec.error.is_some());
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
        let end = match (signal, exit.code) {
            (Some(signal), _) => {
                format!("{}{}", quoted(signal), if exit.core { " with a core dump" } else { "" })
            }
            (None, code) => format!("exit status {}", code.unwrap_or_default()),
        };
        let tried = failed.map_or(String::new(), |exec| {
            let path = quoted(exec.path.as_deref().unwrap_or("its program"));
            format!("; exec of {path} failed ({})", quoted(exec.error.as_deref().unwrap_or("?")))
        });
        let by = exit.killed_by.as_ref().map_or(String::new(), |by| {
            format!(", sent by pid {} ({})", by.pid, quoted(by.comm.as_deref().unwrap_or("?")))
        });
        // The dynamic loader itself ends a program with 127, and has not come to the program's own code then.
        let in_loader = exit.code == Some(127)
            && start.timeline.phases.last().is_some_and(|phase| matches!(&*phase.name, "load" | "link"));
        let advice = if in_loader {
            format!(
                "Its dynamic loader gave up before the program's own code began, most often for a library that is \
                 not there: 'startrace inspect {}' names it",
                quoted(start.exe.as_deref().unwrap_or("PROGRAM"))
            )
        } else {
            "Read its error output; the trace has its last execs and waits".to_owned()
        };
        vec![
            Hit::new(format!("{} {end}", case.program()), format!("{} failed", case.program()))
                .says(format!("{} ended with {end} after {}{by}{tried}", case.name(), time(case.duration())))
                .advises(advice)
                .shows("code", exit.code)
                .shows("signal", exit.signal.clone())
                .at_least(severity)
                .at_most(severity),
        ]
    }
}
