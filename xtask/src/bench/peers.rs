//! The other tracers, each set to see process starts at the least cost that it offers.

use super::Bench;
use crate::{setup, shell};
use anyhow::{Result, bail};
use std::process::Command;

/// A tracer that is given a command line to run.
pub struct Peer {
    pub name: &'static str,
    program: &'static str,
    wrap: fn(&Bench, &[String]) -> Vec<String>,
}

const BPFTRACE: &str = r#"
tracepoint:sched:sched_process_exec { printf("exec %d %s\n", pid, str(args->filename)); }
tracepoint:sched:sched_process_fork { printf("fork %d %d\n", args->parent_pid, args->child_pid); }
tracepoint:sched:sched_process_exit { printf("exit %d\n", pid); }"#;

const PEERS: &[Peer] = &[
    Peer {
        name: "strace --seccomp-bpf",
        program: "strace",
        wrap: |_, argv| {
            prefix(&["strace", "-f", "--seccomp-bpf", "-e", "trace=process", "-o", "/dev/null"], argv)
        },
    },
    Peer {
        name: "perf trace",
        program: "perf",
        wrap: |_, argv| {
            let calls = "clone,clone3,fork,vfork,execve,exit_group";
            prefix(&["perf", "trace", "-o", "/dev/null", "-e", calls, "--"], argv)
        },
    },
    Peer {
        name: "bpftrace",
        program: "bpftrace",
        wrap: |bench, argv| {
            let out = bench.folder.join("bpftrace.out").to_string_lossy().into_owned();
            // None of the words needs quoting: they are paths that we made, and numbers.
            prefix(&["bpftrace", "-q", "-o", &out, "-e", BPFTRACE, "-c"], &[argv.join(" ")])
        },
    },
    Peer {
        name: "tracexec (ptrace)",
        program: "tracexec",
        wrap: |_, argv| prefix(&["tracexec", "log", "-o", "/dev/null", "--"], argv),
    },
    Peer {
        name: "tracexec (eBPF)",
        program: "tracexec",
        wrap: |_, argv| prefix(&["tracexec", "ebpf", "log", "-o", "/dev/null", "--"], argv),
    },
    Peer {
        name: "forkstat",
        program: "forkstat",
        wrap: |bench, argv| {
            // It runs no command, so a shell puts it beside the workload for the time that this
            // takes, and gives it a second to begin listening. The workload measures itself.
            let out = bench.folder.join("forkstat.out");
            let script = format!(
                "forkstat -l >{} & peer=$!; sleep 1; {}; status=$?; kill $peer; wait $peer; exit $status",
                out.display(),
                argv.join(" ")
            );
            vec!["sh".into(), "-c".into(), script]
        },
    },
];

fn prefix(tracer: &[&str], argv: &[String]) -> Vec<String> {
    tracer.iter().map(|&word| word.to_owned()).chain(argv.iter().cloned()).collect()
}

impl Peer {
    /// The command line that runs `argv` under this tracer.
    pub fn wrap(&self, bench: &Bench, argv: &[String]) -> Vec<String> {
        (self.wrap)(bench, argv)
    }

    /// Whether it runs a command at all, so that the time to its start means something.
    pub fn starts_commands(&self) -> bool {
        self.name != "forkstat"
    }
}

/// Those that are installed, unless they are not wanted.
pub fn installed(bench: &Bench) -> Vec<&'static Peer> {
    let present = |peer: &&Peer| bench.peers && shell::which(peer.program).is_some();
    PEERS.iter().filter(present).collect()
}

/// `--install-peers`.
pub fn install() -> Result<()> {
    for (program, package) in
        [("strace", "strace"), ("perf", "linux-perf"), ("bpftrace", "bpftrace"), ("forkstat", "forkstat")]
    {
        if shell::which(program).is_none() {
            setup::install_one(package)?;
        }
    }
    if shell::which("tracexec").is_none() {
        // Linked with it; the rest it builds itself.
        setup::install_one("libseccomp-dev")?;
        let status = shell::status(shell::cargo().args(["install", "--locked", "tracexec"]))?;
        if !status.success() {
            bail!("tracexec could not be installed ({status}, see above)");
        }
    }
    // perf and strace answer even where they cannot trace; a failure then shows in the table.
    if !shell::succeeds(Command::new("strace").arg("--version")) {
        bail!("strace is installed, but does not start");
    }
    Ok(())
}
