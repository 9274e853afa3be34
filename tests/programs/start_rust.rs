//! start_rust KIND: one of the ways in which Rust's standard library starts programs.
//! Expected: a start with argv ["/bin/true", "mark"] (["true", "mark"] by_path).

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

fn main() {
    let kind = std::env::args().nth(1).expect("which kind?");
    let mut command = Command::new(if kind == "by_path" { "true" } else { "/bin/true" });
    command.arg("mark");
    match kind.as_str() {
        "command" | "by_path" => {
            command.stdin(Stdio::null());
        }
        "pre_exec" => {
            // SAFETY: the closure does nothing.
            unsafe { command.pre_exec(|| Ok(())) };
        }
        "uid" => {
            command.uid(65534);
        }
        "shell" => {
            command = Command::new("sh");
            command.args(["-c", "/bin/true mark; :"]);
        }
        // A copy of this program executes another in its own place.
        "exec" => {
            if std::env::args().nth(2).is_none() {
                command = Command::new(std::env::current_exe().expect("no name"));
                command.args(["exec", "again"]);
                // Not posix_spawn, so that the outer start is known.
                // SAFETY: the closure does nothing.
                unsafe { command.pre_exec(|| Ok(())) };
            } else {
                panic!("exec returned: {}", command.exec());
            }
        }
        other => panic!("no kind {other:?}"),
    }
    let status = command.status().expect("it does not start");
    assert!(status.success(), "{status}");
}
