//! Test support: builds the starters in `tests/programs`, runs `startrace record` and checks every
//! trace that it makes, whatever the test itself asserts.
//!
//! A check that fails panics with the trace's path or the text of what was wrong; nothing here skips.

// Every test file compiles its own copy of this and uses a part of it.
#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(dead_code, unused_imports, unreachable_pub)]

pub mod batch;
pub mod check;
pub mod jail;
pub mod live;
pub mod programs;
pub mod secrets;
pub mod status;

use serde_json::Value;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

pub use batch::Batch;
pub use programs::{Built, compile, program, python, pythons, script};

/// How long one recording may take before the test fails.
const LIMIT: Duration = Duration::from_secs(120);

/// The binary under test.
pub fn startrace() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_startrace"))
}

/// One after the other, for as long as it is held: for tests that take the machine to its limits, or that another
/// recording which begins or ends would keep waiting, as the kernel attaches one program at a time.
pub fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    require_root();
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Panics with what to do unless the test runs as root on a kernel with type information.
pub fn require_root() {
    assert!(
        nix::unistd::geteuid().is_root(),
        "this test traces the kernel and needs root: run `cargo xtask test`, which asks sudo for it"
    );
    assert!(
        Path::new("/sys/kernel/btf/vmlinux").exists(),
        "this test needs a kernel with BTF (CONFIG_DEBUG_INFO_BTF), which this one has not"
    );
}

/// What a recording left behind.
pub struct Recorded {
    /// The trace, checked; `Null` where none was written (only from [`record_unchecked`]).
    pub trace: Value,
    /// Standard output of the command (and of startrace).
    pub stdout: String,
    /// Standard error of both.
    pub stderr: String,
    /// How `startrace` ended.
    pub status: ExitStatus,
    /// Holds the files; they go when this is dropped.
    pub folder: tempfile::TempDir,
}

impl Recorded {
    /// All starts, in the order of the file.
    pub fn starts(&self) -> &[Value] {
        starts(&self.trace)
    }

    /// The only start of a process; panics where there is none, or more than one.
    pub fn start_of(&self, pid: u64) -> &Value {
        let found = self.starts_of(pid);
        assert_eq!(found.len(), 1, "starts of pid {pid} in {:#}", self.outline());
        found[0]
    }

    /// Every start with that pid (several after an exec in place, or when the pid was reused).
    pub fn starts_of(&self, pid: u64) -> Vec<&Value> {
        self.filter(|start| start["pid"].as_u64() == Some(pid))
    }

    /// Every start whose `argv` is exactly this.
    pub fn starts_with_argv(&self, argv: &[&str]) -> Vec<&Value> {
        let wanted = Value::from(argv.to_vec());
        self.filter(|start| start["argv"] == wanted)
    }

    /// The only start whose `argv` is exactly this.
    pub fn start_with_argv(&self, argv: &[&str]) -> &Value {
        let found = self.starts_with_argv(argv);
        assert_eq!(found.len(), 1, "starts with {argv:?} in {:#}", self.outline());
        found[0]
    }

    /// Every start that a process created.
    pub fn children_of(&self, pid: u64) -> Vec<&Value> {
        self.filter(|start| start["parent"]["pid"].as_u64() == Some(pid))
    }

    /// Every start that satisfies a condition.
    pub fn filter(&self, condition: impl Fn(&Value) -> bool) -> Vec<&Value> {
        self.starts().iter().filter(|&s| condition(s)).collect()
    }

    /// The one line of JSON that a starter prints.
    pub fn told(&self) -> Value {
        programs::told(&self.stdout)
    }

    /// The pid that a starter printed for a role.
    pub fn pid(&self, role: &str) -> u64 {
        let told = self.told();
        told[role].as_u64().unwrap_or_else(|| panic!("no pid for {role:?} in {told}"))
    }

    /// The trace in few words, for messages: one line a start.
    pub fn outline(&self) -> Value {
        self.starts()
            .iter()
            .map(|s| {
                format!(
                    "{} pid {} by {}: {} {}",
                    s["start_id"], s["pid"], s["parent"]["pid"], s["method"]["name"], s["argv"]
                )
            })
            .collect()
    }
}

/// All starts of a trace.
pub fn starts(trace: &Value) -> &[Value] {
    trace["starts"].as_array().map_or(&[], Vec::as_slice)
}

/// Runs `startrace record -o TEMP ARGS -- CMD` to its end and checks the trace: valid by the schema
/// that the binary itself prints, timelines exact, parents first, ids unique, nothing lost.
/// Without a `cmd` there is no `--`, so `args` has to say when to end.
pub fn record<A: AsRef<OsStr>, C: AsRef<OsStr>>(args: &[A], cmd: &[C]) -> Recorded {
    let recorded = record_unchecked(args, cmd);
    assert!(
        !recorded.trace.is_null(),
        "startrace wrote no trace; it ended with {} and said:\n{}",
        recorded.status,
        recorded.stderr
    );
    check_all(&recorded);
    recorded
}

/// The same without any check: for recordings that have to fail or to be incomplete.
pub fn record_unchecked<A: AsRef<OsStr>, C: AsRef<OsStr>>(args: &[A], cmd: &[C]) -> Recorded {
    let mut running = Background::begin(args, cmd);
    let status = running.wait(LIMIT);
    running.collect(status)
}

/// Starts `startrace record -o TEMP ARGS` (`-p`, `-a` or a selector) and returns when its probes are
/// live. End it with [`Background::stop`].
pub fn record_background<A: AsRef<OsStr>>(args: &[A]) -> Background {
    let mut running = Background::begin::<A, &str>(args, &[]);
    running.wait_live();
    running
}

/// A recording that is under way.
pub struct Background {
    child: Child,
    folder: Option<tempfile::TempDir>,
}

impl Background {
    /// Starts `startrace record -o TEMP ARGS -- CMD`.
    pub fn begin<A: AsRef<OsStr>, C: AsRef<OsStr>>(args: &[A], cmd: &[C]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str| File::create(folder.path().join(name)).unwrap();
        let mut command = Command::new(startrace());
        command
            .args(["record", "-o"])
            .arg(folder.path().join("trace.json"))
            .args(args)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"));
        if !cmd.is_empty() {
            command.arg("--").args(cmd);
        }
        Self { child: command.spawn().expect("startrace does not start"), folder: Some(folder) }
    }

    /// The tracer's pid.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until nothing is missed any more.
    fn wait_live(&mut self) {
        let begin = Instant::now();
        while !live::is_live(self.pid().into()) {
            if let Some(status) = self.child.try_wait().unwrap() {
                let stderr = self.read("stderr");
                panic!("startrace ended with {status} before it was live:\n{stderr}");
            }
            assert!(
                begin.elapsed() < LIMIT,
                "startrace was not live within {LIMIT:?}:\n{}",
                self.read("stderr")
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the recording as Ctrl-C does, and checks the trace as [`record`] does.
    pub fn stop(self) -> Recorded {
        let recorded = self.stop_unchecked();
        assert!(
            !recorded.trace.is_null(),
            "startrace wrote no trace; it ended with {} and said:\n{}",
            recorded.status,
            recorded.stderr
        );
        check_all(&recorded);
        recorded
    }

    /// Waits until the recording ends by itself, and checks the trace as [`record`] does.
    pub fn stop_at_its_end(self) -> Recorded {
        let recorded = self.at_its_end_unchecked();
        check_all(&recorded);
        recorded
    }

    /// Waits until the recording ends by itself; there has to be a trace.
    pub fn at_its_end_unchecked(mut self) -> Recorded {
        let status = self.wait(LIMIT);
        let recorded = self.collect(status);
        assert!(
            !recorded.trace.is_null(),
            "startrace wrote no trace; it ended with {} and said:\n{}",
            recorded.status,
            recorded.stderr
        );
        recorded
    }

    /// Does it hold a program on wake-ups, by what the kernel says of its descriptors?
    pub fn looks_at_wake_ups(&self) -> bool {
        let Ok(list) = fs::read_dir(format!("/proc/{}/fdinfo", self.pid())) else { return false };
        list.filter_map(Result::ok).filter_map(|entry| fs::read_to_string(entry.path()).ok()).any(|text| {
            text.lines().any(|line| line.starts_with("tp_name:") && line.ends_with("sched_waking"))
        })
    }

    /// Waits until it is at rest: no start is under way, and nobody looks at wake-ups any more.
    pub fn rest(&self) {
        live::until("a recording at rest", || !self.looks_at_wake_ups());
    }

    /// Ends the recording as Ctrl-C does.
    pub fn stop_unchecked(mut self) -> Recorded {
        self.signal(nix::sys::signal::Signal::SIGINT);
        let status = self.wait(LIMIT);
        self.collect(status)
    }

    /// Sends the tracer a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).unwrap());
        nix::sys::signal::kill(pid, signal).expect("the tracer is gone already");
    }

    /// Waits for the tracer's own end; panics when it takes longer than `limit`.
    pub fn wait(&mut self, limit: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if begin.elapsed() > limit {
                let stderr = self.read("stderr");
                panic!("startrace did not end within {limit:?}; it said:\n{stderr}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The folder with the trace, for tests that look at what is there before the end.
    pub fn folder(&self) -> &Path {
        self.folder.as_ref().expect("not collected yet").path()
    }

    fn read(&self, name: &str) -> String {
        let bytes = fs::read(self.folder().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it left, after its end.
    pub fn collect(mut self, status: ExitStatus) -> Recorded {
        let trace = match fs::read(self.folder().join("trace.json")) {
            Ok(bytes) => parse(&bytes),
            Err(_) => Value::Null,
        };
        Recorded {
            trace,
            stdout: self.read("stdout"),
            stderr: self.read("stderr"),
            status,
            folder: self.folder.take().expect("not collected yet"),
        }
    }
}

impl Drop for Background {
    /// A test that panicked leaves no tracer behind.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A trace from a file's bytes: a JSON document, or NDJSON joined into the document it stands for.
pub fn parse(bytes: &[u8]) -> Value {
    if let Ok(document) = serde_json::from_slice::<Value>(bytes)
        && document.get("type").is_none()
    {
        return document;
    }
    check::join_lines(bytes).unwrap_or_else(|why| panic!("neither a JSON document nor NDJSON: {why}"))
}

/// The phases of a start of dynamically linked programs: `image` stands for those that each brings, from
/// its exec to its own code.
pub fn phases(outline: &[&'static str]) -> Vec<&'static str> {
    let image: &[&str] = &["exec", "load", "link", "init", "app"];
    outline.iter().flat_map(|&name| if name == "image" { image.to_vec() } else { vec![name] }).collect()
}

/// The checks that every trace has to pass.
pub fn check_all(recorded: &Recorded) {
    check_schema(&recorded.trace);
    if let Err(why) = check::timelines(&recorded.trace) {
        panic!("{why}\nin {:#}", recorded.outline());
    }
    let session = &recorded.trace["session"];
    let lost = session["lost"].as_object().unwrap().iter().filter(|(_, n)| **n != 0);
    // First what it is: of a long text a log may keep the beginning only.
    let lost: Vec<String> = lost.map(|(name, n)| format!("{n} {name}")).collect();
    assert_eq!(session["complete"], true, "something was lost or cut short: {lost:?} in {session:#}");
}

fn validator() -> &'static jsonschema::Validator {
    static VALIDATOR: OnceLock<jsonschema::Validator> = OnceLock::new();
    VALIDATOR.get_or_init(|| {
        let output = Command::new(startrace()).arg("schema").output().unwrap();
        assert!(output.status.success(), "startrace schema: {output:?}");
        let schema = serde_json::from_slice(&output.stdout).expect("the schema is no JSON");
        jsonschema::validator_for(&schema).expect("the schema is no JSON Schema")
    })
}

/// Panics unless the trace is valid by `startrace schema`.
pub fn check_schema(trace: &Value) {
    let errors: Vec<String> = validator()
        .iter_errors(trace)
        .take(5)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(errors.is_empty(), "not valid by the schema: {errors:#?}");
}

/// The same without the values, which may be strangers' arguments.
pub fn check_schema_quietly(trace: &Value) {
    let errors = validator().iter_errors(trace).take(5);
    let places: Vec<String> = errors.map(|error| error.instance_path().to_string()).collect();
    assert!(places.is_empty(), "not valid by the schema at {places:?}");
}

/// A path that a test may write to, in the recording's own folder.
pub fn in_folder(recorded: &Recorded, name: &str) -> PathBuf {
    recorded.folder.path().join(name)
}

/// A recorded start as the timeline made it. What was found in it is said later, when it is written.
pub fn without_findings(start: &Value) -> Value {
    let mut start = start.clone();
    start["findings"] = serde_json::json!([]);
    start
}
