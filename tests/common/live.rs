//! Processes that run while the test goes on, and what can be seen of a tracer from outside.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long anything that a test waits for may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program that the test talks to on its stdin. It and its process group are killed when dropped.
pub struct Live {
    child: Child,
    folder: tempfile::TempDir,
}

impl Live {
    /// Starts it, in a process group of its own.
    pub fn spawn(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let child = command
            .stdin(Stdio::piped())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{:?} does not start: {error}", command.get_program()));
        Self { child, folder }
    }

    /// A shell script that is read from the argument; `$1...` are `args`.
    pub fn shell(script: &str, args: &[&str]) -> Self {
        Self::spawn(Command::new("/bin/sh").args(["-c", script, "sh"]).args(args))
    }

    /// Its process id.
    pub fn pid(&self) -> u64 {
        self.child.id().into()
    }

    /// The same as an argument of `-p`.
    pub fn pid_text(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends it a line.
    pub fn say(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// Closes its stdin, as end of file.
    pub fn close(&mut self) {
        self.child.stdin = None;
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(self.child.id() as i32), signal).unwrap();
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.text("stdout")
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.text("stderr")
    }

    fn text(&self, name: &str) -> String {
        let mut bytes = Vec::new();
        File::open(self.folder.path().join(name)).unwrap().read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has written as many lines to stdout.
    pub fn wait_lines(&mut self, count: usize) {
        until("lines on stdout", || {
            let ended = self.child.try_wait().unwrap();
            let there = self.stdout().lines().count() >= count;
            assert!(there || ended.is_none(), "it ended with {ended:?}: {}", self.stderr());
            there
        });
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the end of a program", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Waits for its end, which has to be a success, and returns its stdout.
    pub fn finish(&mut self) -> String {
        self.close();
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.stderr());
        self.stdout()
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // Not after it was reaped: the number could be somebody else's by then.
        if let Ok(None) = self.child.try_wait() {
            let group = nix::unistd::Pid::from_raw(self.child.id() as i32);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            let _ = self.child.wait();
        }
    }
}

/// Waits until something is so; panics when it does not come.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !so() {
        assert!(begin.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Is there such a process, dead ones that nobody has waited for not counted?
pub fn alive(pid: u64) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('Z'))
}

/// Are all threads of a process stopped? One that has no CPU goes on for a while after the signal.
pub fn is_stopped(pid: u64) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    tasks.flatten().all(|task| {
        fs::read_to_string(task.path().join("stat"))
            .is_ok_and(|stat| stat.rsplit(')').next().unwrap_or("").trim_start().starts_with('T'))
    })
}

/// Has a tracer given up its privileges? It does so once everything is attached, what runs already is
/// taken in and the command, if any, is started: from then on nothing is missed.
pub fn is_live(tracer: u64) -> bool {
    fs::read_to_string(format!("/proc/{tracer}/status"))
        .is_ok_and(|status| status.lines().any(|line| line == "CapBnd:\t0000000000000000"))
}

/// Ids of the BPF programs that a process holds.
pub fn held_programs(pid: u64) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fdinfo")) else {
        return Vec::new();
    };
    let mut ids: Vec<u32> = entries
        .flatten()
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| {
            let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"))?;
            id.trim().parse().ok()
        })
        .collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Ids of all BPF programs that the kernel has.
pub fn loaded_programs() -> Vec<u32> {
    libbpf_rs::query::ProgInfoIter::default().map(|info| info.id).collect()
}

/// Children of a process, by /proc.
pub fn children(pid: u64) -> Vec<u64> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    tasks
        .flatten()
        .filter_map(|task| fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|text| text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u64>>())
        .collect()
}

/// Names of the files in a folder, sorted.
pub fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}
