//! Traces that tests make: a command, what it starts, and how long each takes.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used)]

use serde_json::{Map, Value, json};
use std::io::{Cursor, Write};
use std::path::Path;

/// Milliseconds.
pub const MS: u64 = 1_000_000;

/// A start that is to be.
#[derive(Clone)]
pub struct Spec {
    pub pid: u64,
    pub parent: Option<u64>,
    pub exe: String,
    pub argv: Vec<String>,
    pub method: String,
    pub phases: Vec<(&'static str, u64)>,
    pub path: Vec<(&'static str, u64)>,
    pub ready: &'static str,
    /// What made it ready was concluded.
    pub inferred: bool,
    pub partial: bool,
    pub build_id: &'static str,
    pub needed: u64,
    pub exit: Option<i32>,
}

/// A start of a program: 1 ms of `fork`, 2 ms of `exec`, and the rest its own.
pub fn spec(pid: u64, parent: Option<u64>, command: &str, ns: u64) -> Spec {
    let argv: Vec<String> = command.split(' ').map(str::to_owned).collect();
    let exe = format!("/usr/bin/{}", argv[0].rsplit('/').next().unwrap());
    Spec {
        pid,
        parent,
        exe: if argv[0].starts_with('/') { argv[0].clone() } else { exe },
        argv,
        method: "posix_spawn".into(),
        phases: vec![("fork", MS), ("exec", 2 * MS), ("app", ns.saturating_sub(3 * MS))],
        path: vec![("creating", MS), ("running", ns.saturating_sub(MS))],
        ready: "exit",
        inferred: false,
        partial: false,
        build_id: "b1",
        needed: 3,
        exit: Some(0),
    }
}

impl Spec {
    pub fn duration(&self) -> u64 {
        self.phases.iter().map(|(_, ns)| ns).sum()
    }

    pub fn id(&self) -> String {
        format!("{0}@{0}000/0", self.pid)
    }

    pub fn json(&self) -> Value {
        let id = |pid: u64| format!("{pid}@{pid}000");
        let (mut at, mut phases, mut phase_ns) = (0, Vec::new(), Map::new());
        for (name, ns) in &self.phases {
            phases.push(json!({"name": name, "at_ns": at, "duration_ns": ns, "exec": null}));
            at += ns;
            phase_ns.insert((*name).to_owned(), json!(ns));
        }
        let (mut on, mut path, mut path_ns) = (0, Vec::new(), Map::new());
        for (state, ns) in &self.path {
            // `state:pid` is somebody else's piece.
            let (state, whose) = state
                .split_once(':')
                .map_or((*state, self.id()), |(state, pid)| (state, format!("{pid}@{pid}000/0")));
            path.push(json!({"at_ns": on, "duration_ns": ns, "start_id": whose, "tid": self.pid,
                "phase": "app", "state": state, "detail": null}));
            on += ns;
            let sum = path_ns.get(state).and_then(Value::as_u64).unwrap_or(0);
            path_ns.insert(state.to_owned(), json!(sum + ns));
        }
        let parent = match self.parent {
            Some(pid) => {
                json!({"start_id": format!("{}/0", id(pid)), "id": id(pid), "pid": pid, "comm": "p"})
            }
            None => json!({"start_id": null, "id": "1@1", "pid": 1, "comm": "init"}),
        };
        json!({
            "start_id": self.id(), "id": id(self.pid), "seq": 0, "partial": self.partial, "pid": self.pid,
            "ns_pid": self.pid, "comm": "x", "parent": parent, "requested_by": null, "uid": 1000, "gid": 1000,
            "cwd": "/srv", "cgroup": "/", "unit": null, "container": null,
            "method": {"name": self.method, "primitive": "vfork", "mechanism": "posix_spawn", "library": null,
                "pattern": null, "confidence": "certain", "evidence": [], "clone_flags": [], "exit_signal": null},
            "exe": self.exe, "argv": self.argv, "argv_bytes": 2, "argv_truncated": false, "execs": [],
            "binary": {"linkage": "dynamic", "build_id": self.build_id, "interpreter": "/lib64/ld.so",
                "needed": self.needed, "relocations": 5, "runtime": null},
            "timeline": {"started_at": "2026-01-01T00:00:00Z", "origin_boottime_ns": self.pid * 1000,
                "origin": "entry", "duration_ns": at,
                "ready": {"kind": self.ready, "at_ns": at, "inferred": self.inferred, "detail": null},
                "phases": phases, "phase_ns": phase_ns,
                "states": {"creating_ns": 0, "running_ns": at, "runnable_ns": 0, "blocked": {}},
                "waits": [], "critical_path": path, "path_ns": path_ns, "milestones": []},
            "exit": self.exit.map(|code| json!({"code": code, "signal": null, "core": false,
                "killed_by": null, "at_ns": at}))
        })
    }
}

/// A document of these starts.
pub fn trace(starts: &[Spec]) -> Value {
    json!({
        "schema": "startrace/1", "tool": {"name": "startrace", "version": "0.1.0"},
        "host": {"hostname": "h", "kernel": "6.18", "arch": "x86_64", "boot_id": "b", "cpus": 2,
            "cpu_model": "m", "cpu_quota": null},
        "starts": starts.iter().map(Spec::json).collect::<Vec<_>>(), "failed_forks": [], "groups": [],
        "session": {"mode": "command", "target": {"argv": ["x"]}, "level": "timeline", "env_source": "own",
            "started_at": "2026-01-01T00:00:00Z", "duration_ns": 5000, "ended_by": "command",
            "complete": true, "lost": {}, "hooks": [], "starts": starts.len()}
    })
}

/// The same trace as lines.
pub fn lines(trace: &Value) -> String {
    let mut out = String::new();
    let mut line = |kind: &str, fields: Map<String, Value>| {
        // The type comes first, as it is written.
        let rest = Value::Object(fields).to_string();
        out.push_str(&format!("{{\"type\":\"{kind}\",{}\n", &rest[1..]));
    };
    let some = |names: &[&str]| {
        let given = names.iter().filter_map(|name| Some(((*name).to_owned(), trace.get(*name)?.clone())));
        given.collect::<Map<String, Value>>()
    };
    line("header", some(&["schema", "tool", "host"]));
    for start in trace["starts"].as_array().unwrap() {
        line("start", start.as_object().unwrap().clone());
    }
    line("footer", some(&["groups", "findings", "not_examined", "session"]));
    out
}

/// What reads a text.
pub fn read_text(text: &str) -> startrace::trace::read::Reader {
    let bytes = Cursor::new(text.to_owned().into_bytes());
    startrace::trace::read::Reader::new("test".into(), Box::new(bytes)).unwrap()
}

/// What reads it.
pub fn reader(trace: &Value) -> startrace::trace::read::Reader {
    let bytes = Cursor::new(trace.to_string().into_bytes());
    startrace::trace::read::Reader::new("test".into(), Box::new(bytes)).unwrap()
}

/// Writes it into a folder.
pub fn write(folder: &Path, name: &str, trace: &Value) -> std::path::PathBuf {
    let path = folder.join(name);
    std::fs::File::create(&path).unwrap().write_all(trace.to_string().as_bytes()).unwrap();
    path
}

/// Numbers around one, the same every time: `base` and up to 3 % more.
pub fn jitter(base: u64, n: u64) -> u64 {
    base + base / 1000 * (n * 7919 % 31)
}
