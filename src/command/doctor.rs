//! `startrace doctor`: what this kernel and these privileges allow, and the one command that mends
//! what is missing.

pub mod kernel;

use crate::host::checks::{self, Check, State};
use crate::host::facts;
use crate::host::{Error, elsewhere};
use crate::trace::json;
use crate::trace::schema::{Host, Tool};
use crate::trace::text::sanitize;
use serde::Serialize;
use std::io::Write;

/// Exit code for missing privileges or kernel support.
const EX_NOPERM: u8 = 77;
/// The table is readable on the narrowest terminal that is in use.
const WIDTH: usize = 80;

/// Options of `doctor`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    about = "Say what this kernel and these privileges allow, and how to mend what is missing",
    after_help = "Examples:\n  sudo startrace doctor\n  startrace doctor --json | jq '.checks[] | \
                  select(.state != \"ok\")'\n\nExit status: 0 if recording works, 77 if not."
)]
pub struct DoctorOptions {
    /// Print one JSON object: schema, tool, host, works (bool), checks; each check has id, name,
    /// state (ok, limited, missing, untried), found, meaning and mend (a command, or null)
    #[arg(long)]
    pub json: bool,
}

/// What `doctor --json` prints. Fields may be added; none is renamed.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    /// `startrace-doctor/1`.
    pub schema: String,
    /// This program.
    pub tool: Tool,
    /// This machine.
    pub host: Host,
    /// Recording works.
    pub works: bool,
    /// Everything that was looked at.
    pub checks: Vec<Check>,
}

/// Looks, prints to `out`, and returns the exit code: 0 if recording works, 77 if not. `probe` tries
/// what only trying tells (loading, attaching); it is called only where the privileges allow it.
///
/// # Errors
/// /proc is not readable, or `out` cannot be written (a closed pipe is no error).
pub fn run(
    options: &DoctorOptions,
    out: &mut impl Write,
    probe: impl FnOnce() -> Vec<Check>,
) -> Result<u8, Error> {
    let diagnosis = diagnose(checks::gather()?, probe);
    let text = if options.json {
        json::pretty(&diagnosis).map_err(|e| Error::io("cannot write the diagnosis as JSON", e))?
    } else {
        render(&diagnosis).into_bytes()
    };
    match out.write_all(&text).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Error::io(
            format!("cannot write the diagnosis to the standard output ({})", elsewhere(&e)),
            e,
        )),
        _ => Ok(if diagnosis.works { 0 } else { EX_NOPERM }),
    }
}

fn diagnose(mut checks: Vec<Check>, probe: impl FnOnce() -> Vec<Check>) -> Diagnosis {
    let privileged = !checks.iter().any(|check| check.id == "privileges" && check.state == State::Missing);
    if privileged {
        checks.extend(probe());
    } else {
        checks.push(
            Check::new(
                "bpf",
                "BPF programs",
                State::Untried,
                "not tried",
                "whether this kernel takes the programs is known only to those who may load them",
            )
            .mended_by("sudo startrace doctor"),
        );
    }
    Diagnosis {
        schema: "startrace-doctor/1".into(),
        tool: Tool { name: env!("CARGO_PKG_NAME").into(), version: env!("CARGO_PKG_VERSION").into() },
        host: facts::host(),
        works: !checks.iter().any(|check| check.state == State::Missing),
        checks,
    }
}

fn render(diagnosis: &Diagnosis) -> String {
    let host = &diagnosis.host;
    let mut text = String::new();
    wrap(
        &mut text,
        &sanitize(&format!(
            "startrace {} on {} (Linux {}, {}, {} CPUs)",
            diagnosis.tool.version, host.hostname, host.kernel, host.arch, host.cpus
        )),
        0,
    );
    text.push('\n');
    for check in &diagnosis.checks {
        let head = format!("{:<9}{}: {}", check.state.as_str(), check.name, check.found);
        wrap(&mut text, &sanitize(&head), 9);
        // What is well needs no explanation on a terminal; --json has it.
        if check.state != State::Ok {
            wrap(&mut text, &format!("{:9}{}", "", sanitize(&check.meaning)), 9);
            if let Some(mend) = &check.mend {
                // Not wrapped: a command is there to be copied.
                text.push_str(&format!("{:9}mend: {}\n", "", sanitize(mend)));
            }
        }
    }
    text.push('\n');
    let count = |state| diagnosis.checks.iter().filter(|c| c.state == state).count();
    wrap(
        &mut text,
        &match (diagnosis.works, count(State::Limited)) {
            (true, 0) => "Recording works.".to_owned(),
            (true, n) => format!("Recording works, with less than everything ({n} limited)."),
            (false, _) => format!("Recording does not work: {} missing.", count(State::Missing)),
        },
        0,
    );
    text
}

/// Adds a paragraph, broken at spaces, further lines indented. A word that is too long is broken too.
fn wrap(text: &mut String, paragraph: &str, indent: usize) {
    let leading = paragraph.len() - paragraph.trim_start_matches(' ').len();
    let mut line = " ".repeat(leading);
    let mut used = leading;
    let mut fresh = true;
    for word in paragraph.trim_start_matches(' ').split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        if !fresh && used + 1 + rest.len() > WIDTH {
            text.push_str(line.trim_end());
            text.push('\n');
            line = " ".repeat(indent);
            used = indent;
            fresh = true;
        }
        if !fresh {
            line.push(' ');
            used += 1;
        }
        while used + rest.len() > WIDTH && used < WIDTH {
            line.extend(rest.drain(..WIDTH - used));
            text.push_str(&line);
            text.push('\n');
            line = " ".repeat(indent);
            used = indent;
        }
        used += rest.len();
        line.extend(rest);
        fresh = false;
    }
    text.push_str(line.trim_end());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(id: &str, state: State) -> Check {
        Check::new(id, id, state, "found", "what it means")
    }

    #[test]
    fn the_probe_is_called_only_where_it_can_work() {
        let none = diagnose(vec![check("privileges", State::Missing)], || panic!("nothing is to be tried"));
        assert!(!none.works);
        assert_eq!(none.checks[1].state, State::Untried);
        let some = diagnose(vec![check("privileges", State::Ok)], || vec![check("fentry", State::Limited)]);
        assert!(some.works);
        let without =
            diagnose(vec![check("privileges", State::Ok)], || vec![check("ringbuf", State::Missing)]);
        assert!(!without.works);
    }

    #[test]
    fn the_table_fits_and_is_harmless() {
        let mut hostile = check("odd\x1b[31m", State::Missing);
        hostile.meaning = "long words and more of them ".repeat(9) + &"x".repeat(300);
        hostile.found = "\u{202e}gnorw".into();
        hostile.mend = Some("sudo mend it\n".into());
        let text = render(&diagnose(vec![check("fine", State::Ok), hostile], Vec::new));
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line:?}");
            assert!(!line.chars().any(char::is_control), "{line:?}");
        }
        assert!(text.contains("ok       fine: found\n"), "{text}");
        assert!(text.contains("mend: sudo mend it\\n"), "{text}");
        assert!(text.contains("does not work: 1 missing"), "{text}");
    }

    #[test]
    fn lines_break_at_spaces() {
        let mut text = String::new();
        let words = "word ".repeat(40);
        wrap(&mut text, &format!("  {}", words.trim()), 4);
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("  word") && lines[1].starts_with("    word"));
        assert_eq!(text.split_whitespace().count(), 40);
    }

    #[test]
    fn json_and_exit_code_say_the_same() {
        let mut out = Vec::new();
        let code =
            run(&DoctorOptions { json: true }, &mut out, || vec![check("ringbuf", State::Missing)]).unwrap();
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(code, 77);
        assert_eq!(value["works"], false);
        assert_eq!(value["schema"], "startrace-doctor/1");
        let checks = value["checks"].as_array().unwrap();
        assert!(checks.iter().all(|c| c["state"].is_string() && c["meaning"].is_string()));
    }
}
