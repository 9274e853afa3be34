//! What the recordings of a kernel have to say.

use super::kernels::Kernel;
use anyhow::Result;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

#[allow(dead_code)]
#[path = "../../../tests/common/check.rs"]
mod check;

type Checked = Result<(), String>;

/// The recordings with the same starts: name, what has to tell of entries.
const SAME: [(&str, &str); 3] =
    [("best", "fentry"), ("tracepoints", "tracepoints"), ("running", "percpu_alloc")];

/// Program, role; primitive, mechanism, library, pattern; `*`: whatever the C library does.
const METHODS: [(&str, &str, [&str; 4]); 10] = [
    ("fork_exec", "child", ["clone", "fork_exec", "glibc", "-"]),
    ("posix_spawn", "plain", ["*", "posix_spawn", "glibc", "-"]),
    ("vfork_exec", "child", ["vfork", "vfork_exec", "glibc", "-"]),
    ("clone3_exec", "child", ["clone3", "fork_exec", "-", "-"]),
    ("exec_from_thread", "child", ["clone", "fork_exec", "glibc", "-"]),
    ("static", "child", ["clone", "fork_exec", "glibc", "-"]),
    ("python", "subprocess", ["*", "*", "cpython.subprocess", "subprocess"]),
    ("python", "fork", ["clone", "fork", "cpython", "multiprocessing.fork"]),
    ("python", "forkserver", ["clone", "fork", "cpython", "multiprocessing.forkserver"]),
    ("python", "spawn", ["*", "*", "cpython", "multiprocessing.spawn"]),
];

/// What one recording used.
pub struct Recording {
    pub provider: &'static str,
    /// Instructions that the verifier followed, by program.
    pub programs: BTreeMap<String, u64>,
    hooks: Vec<String>,
}

/// What came of a kernel.
pub struct Verdict {
    pub release: String,
    pub seconds: f64,
    pub recordings: BTreeMap<String, Recording>,
    checks: Vec<(String, Checked)>,
}

impl Verdict {
    pub fn failed(&self) -> Vec<(&str, &str)> {
        self.checks.iter().filter_map(|(name, checked)| Some((&**name, &**checked.as_ref().err()?))).collect()
    }

    pub fn summary(&self) -> String {
        format!("{} of {} checks passed", self.checks.len() - self.failed().len(), self.checks.len())
    }

    /// Most that was followed for a program in any of the recordings.
    pub fn verified(&self) -> BTreeMap<&str, u64> {
        let mut all = BTreeMap::new();
        for (name, count) in self.recordings.values().flat_map(|recording| &recording.programs) {
            let most = all.entry(&**name).or_insert(0);
            *most = (*most).max(*count);
        }
        all
    }

    pub fn json(&self) -> Value {
        let recordings: serde_json::Map<String, Value> = self
            .recordings
            .iter()
            .map(|(name, recording)| {
                let Recording { provider, programs, hooks } = recording;
                (
                    name.clone(),
                    json!({"provider": provider, "hooks": hooks, "verified_instructions": programs}),
                )
            })
            .collect();
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|(name, checked)| json!({"name": name, "passed": checked.is_ok(), "why": checked.as_ref().err()}))
            .collect();
        json!({"release": self.release, "seconds": self.seconds, "recordings": recordings, "checks": checks})
    }

    fn check(&mut self, name: impl Into<String>, checked: Checked) {
        self.checks.push((name.into(), checked));
    }
}

/// A file that the guest left.
fn left(folder: &Path, name: &str) -> Result<String, String> {
    let bytes = fs::read(folder.join(name)).map_err(|e| format!("{name}: {e}"))?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

fn expect(what: &str, found: &Value, wanted: &Value) -> Checked {
    if found == wanted { Ok(()) } else { Err(format!("{what} is {found}, not {wanted}")) }
}

/// Judges what a kernel's guest left in a folder.
pub fn judge(folder: &Path, kernel: &Kernel, seconds: f64) -> Result<Verdict> {
    let release = left(folder, "kernel").map_err(anyhow::Error::msg)?;
    let mut verdict = Verdict { release, seconds, recordings: BTreeMap::new(), checks: Vec::new() };
    if !kernel.works {
        verdict.check("refused with a reason", refused(folder));
        return Ok(verdict);
    }
    verdict.check(
        "doctor",
        left(folder, "doctor.code").and_then(|code| {
            let said = left(folder, "doctor.out").unwrap_or_default();
            if code == "0" { Ok(()) } else { Err(format!("ended with {code}: {said}")) }
        }),
    );
    for (name, provider) in SAME {
        let Some(trace) = recording(folder, name, provider, &mut verdict) else { continue };
        let file = format!("{name}.{}", if name == "running" { "told" } else { "out" });
        let told = left(folder, &file);
        match told {
            Err(why) => verdict.check(format!("{name}: starters"), Err(why)),
            Ok(told) => starts(name, provider, &Starts { trace: &trace, told: lines(&told) }, &mut verdict),
        }
    }
    if let Some(trace) = recording(folder, "everything", "any", &mut verdict) {
        verdict.check("everything: its command", with_argv(&trace, &["/opt/true", "everything"]).map(drop));
        verdict.check("everything: mode", expect("mode", &trace["session"]["mode"], &json!("system")));
    }
    if let Some(trace) = recording(folder, "deep", "fentry", &mut verdict) {
        verdict.check("deep: files", files(&trace));
        verdict.check("deep: samples", samples(&trace));
        verdict.check("deep: imports of what came later", imports(&trace));
    }
    if let Some(trace) = recording(folder, "clock", "fentry", &mut verdict) {
        verdict.check("clock: no start is longer or shorter", clock(&trace));
    }
    if let Some(trace) = recording(folder, "suspend", "fentry", &mut verdict) {
        verdict.check("suspend: sleep is the time of the start that it is in", suspend(folder, &trace));
    }
    Ok(verdict)
}

/// A kernel that is too old: nothing ran, and the reason was told.
fn refused(folder: &Path) -> Checked {
    let code = left(folder, "best.code")?;
    let said = left(folder, "best.err")?;
    let errors: Vec<&str> = said.lines().filter(|line| line.starts_with("startrace: ")).collect();
    if code != "77" || folder.join("ran").exists() || folder.join("best.json").exists() {
        return Err(format!("ended with {code}; {said}"));
    }
    match errors[..] {
        [error] if error.contains("5.17") && error.contains("startrace doctor") => Ok(()),
        _ => Err(format!("says {said:?}")),
    }
}

/// What holds for every recording. `None` where there is no trace.
fn recording(folder: &Path, name: &str, provider: &'static str, verdict: &mut Verdict) -> Option<Value> {
    let said = left(folder, &format!("{name}.err")).unwrap_or_default();
    let trace = left(folder, &format!("{name}.code")).and_then(|code| {
        let text = left(folder, &format!("{name}.json"));
        if code != "0" {
            let words: Vec<&str> = said.lines().filter(|line| !line.starts_with("DEBUG")).collect();
            return Err(format!("ended with {code}: {}", words.join(" / ")));
        }
        serde_json::from_str::<Value>(&text?).map_err(|e| e.to_string())
    });
    let trace = match trace {
        Ok(trace) => trace,
        Err(why) => {
            verdict.check(format!("{name}: ran"), Err(why));
            return None;
        }
    };
    verdict.check(format!("{name}: ran"), Ok(()));
    let session = &trace["session"];
    let hooks: Vec<String> = session["hooks"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|h| h.as_str().map(str::to_owned))
        .collect();
    let used = used(&hooks);
    let complete =
        if session["complete"] == true { Ok(()) } else { Err(format!("lost {}", session["lost"])) };
    verdict.check(format!("{name}: complete"), complete);
    let chosen = match provider {
        "any" => Ok(()),
        _ => expect("provider", &used.into(), &provider.into()),
    };
    verdict.check(format!("{name}: provider"), chosen);
    let waking = hooks.iter().any(|hook| hook == "tp_btf/sched_waking");
    verdict.check(
        format!("{name}: wake-ups are looked at"),
        if waking { Ok(()) } else { Err(format!("hooks are {hooks:?}")) },
    );
    // By a recorder that has given up most of its rights by then.
    if name == "running" {
        let again = said.lines().any(|line| line.contains("looking at wake-ups again absent=true"));
        verdict.check(
            format!("{name}: wake-ups are looked at again when something starts after a pause"),
            if again { Ok(()) } else { Err("not by what it says".to_owned()) },
        );
    }
    verdict.check(format!("{name}: phases, states and paths add up"), check::timelines(&trace));
    verdict.check(format!("{name}: states are known"), states(&trace));
    let programs: BTreeMap<String, u64> = said.lines().filter_map(verified).collect();
    verdict.check(
        format!("{name}: programs loaded"),
        if programs.is_empty() { Err("none is told of".to_owned()) } else { Ok(()) },
    );
    verdict.recordings.insert(name.to_owned(), Recording { provider: used, programs, hooks });
    Some(trace)
}

/// What tells of entries.
fn used(hooks: &[String]) -> &'static str {
    let has = |hook: &str| hooks.iter().any(|h| h == hook);
    if has("fentry/kernel_clone") {
        "fentry"
    } else if has("tp/syscalls/sys_enter_clone") {
        "tracepoints"
    } else if has("tp_btf/percpu_alloc_percpu") {
        "percpu_alloc"
    } else {
        "nothing"
    }
}

/// `... program NAME: N bytes, M instructions followed by the verifier`.
fn verified(line: &str) -> Option<(String, u64)> {
    let (_, rest) = line.split_once(" program ")?;
    let (name, rest) = rest.split_once(": ")?;
    let (_, rest) = rest.split_once(" bytes, ")?;
    let (count, rest) = rest.split_once(' ')?;
    rest.ends_with("followed by the verifier").then(|| Some((name.to_owned(), count.parse().ok()?)))?
}

fn starts_of(trace: &Value) -> &[Value] {
    trace["starts"].as_array().map_or(&[], Vec::as_slice)
}

/// Whole starts have states, and most of each is known.
fn states(trace: &Value) -> Checked {
    let whole: Vec<&Value> = starts_of(trace).iter().filter(|start| start["partial"] == false).collect();
    if whole.is_empty() {
        return Err("there is no whole start".to_owned());
    }
    for start in whole {
        let timeline = &start["timeline"];
        let unknown = timeline["states"]["unknown_ns"].as_u64();
        let duration = timeline["duration_ns"].as_u64().unwrap_or(0);
        if unknown.is_none_or(|ns| ns > duration / 10) {
            return Err(format!("{} {}: {}", start["start_id"], start["argv"], timeline["states"]));
        }
    }
    Ok(())
}

fn with_argv<'t>(trace: &'t Value, argv: &[&str]) -> Result<&'t Value, String> {
    let wanted = json!(argv);
    let mut found = starts_of(trace).iter().filter(|start| start["argv"] == wanted);
    match (found.next(), found.next()) {
        (Some(start), None) => Ok(start),
        (None, _) => Err(format!("no start of {wanted}")),
        _ => Err(format!("several starts of {wanted}")),
    }
}

/// A trace with what its programs said.
struct Starts<'t> {
    trace: &'t Value,
    told: Vec<Value>,
}

fn lines(told: &str) -> Vec<Value> {
    told.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

impl<'t> Starts<'t> {
    fn of_pid(&self, pid: &Value) -> Result<&'t Value, String> {
        starts_of(self.trace)
            .iter()
            .find(|start| start["pid"] == *pid)
            .ok_or(format!("no start of process {pid}"))
    }

    /// What a program said of itself.
    fn told(&self, program: &str) -> Result<&Value, String> {
        let by = |line: &&Value| match line.get(program) {
            Some(python) => python.is_object(),
            None => {
                self.of_pid(&line["self"]).is_ok_and(|start| start["exe"] == format!("/programs/{program}"))
            }
        };
        let line = self.told.iter().find(by).ok_or(format!("{program} told nothing"))?;
        Ok(line.get(program).unwrap_or(line))
    }

    fn start(&self, program: &str, role: &str) -> Result<&'t Value, String> {
        self.of_pid(&self.told(program)?[role])
    }
}

/// The starts of starts.sh.
fn starts(name: &str, provider: &str, starts: &Starts<'_>, verdict: &mut Verdict) {
    for (program, role, wanted) in METHODS {
        let checked = starts.start(program, role).and_then(|start| {
            let method = &start["method"];
            let found =
                ["primitive", "mechanism", "library", "pattern"].map(|f| method[f].as_str().unwrap_or("-"));
            let right = found.iter().zip(wanted).all(|(found, wanted)| wanted == "*" || *found == wanted);
            if right { Ok(()) } else { Err(format!("{found:?}, not {wanted:?}")) }
        });
        verdict.check(format!("{name}: {program} {role}"), checked);
    }
    let exact = provider != "percpu_alloc";
    let checked = starts.start("fork_exec", "child").and_then(|start| {
        let names = phases(start);
        if names != ["fork", "schedule", "setup", "exec", "load", "link", "init", "app"] {
            return Err(format!("{names:?}"));
        }
        let origin = &start["timeline"]["origin"];
        if exact { expect("origin", origin, &json!("entry")) } else { Ok(()) }
    });
    verdict.check(format!("{name}: phases of a dynamic program"), checked);
    let checked = starts.start("static", "self").and_then(|start| {
        let names = phases(start);
        // Before Linux 6.2 a new address space takes no memory that is told of, and nothing else tells of the exec.
        let unseen = !exact && names == ["fork", "schedule", "setup", "app"];
        if unseen || names == ["fork", "schedule", "setup", "exec", "app"] {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
    verdict.check(format!("{name}: phases of a static program"), checked);
    let checked = starts.start("failed_execs", "path_walk").and_then(|start| {
        let errors: Vec<&Value> =
            start["execs"].as_array().into_iter().flatten().map(|exec| &exec["error"]).collect();
        // Without hooks on the system call it is not known why.
        let wanted = if exact { ["ENOENT", "ENOENT", "EACCES"] } else { ["unknown"; 3] };
        expect("execs", &json!(errors), &json!([wanted[0], wanted[1], wanted[2], null]))
    });
    verdict.check(format!("{name}: execs that failed"), checked);
    let piped =
        starts_of(starts.trace).iter().filter(|start| start["method"]["pattern"] == "shell.pipeline").count();
    verdict.check(format!("{name}: a pipeline"), expect("members", &piped.into(), &3.into()));
    let pools = starts.trace["groups"].as_array().into_iter().flatten();
    let pools: Vec<&Value> =
        pools.filter(|group| group["method"] == "prefork_worker").map(|group| &group["n"]).collect();
    verdict.check(format!("{name}: a pool"), expect("pools", &json!(pools), &json!([4])));
}

fn phases(start: &Value) -> Vec<&str> {
    start["timeline"]["phases"].as_array().into_iter().flatten().filter_map(|p| p["name"].as_str()).collect()
}

/// The file that `cat` opened is told of.
fn files(trace: &Value) -> Checked {
    let start = with_argv(trace, &["cat", "/etc/hostname"])?;
    let opened = start["timeline"]["files"]["opened"].as_u64();
    if opened.is_some_and(|n| n > 0) { Ok(()) } else { Err(format!("files: {}", start["timeline"]["files"])) }
}

/// The shell that counts was sampled.
fn samples(trace: &Value) -> Checked {
    let start = with_argv(trace, &["sh", "/deep.sh"])?;
    let samples = start["timeline"]["profile"]["samples"].as_u64();
    if samples.is_some_and(|n| n > 3) {
        Ok(())
    } else {
        Err(format!("profile: {}", start["timeline"]["profile"]))
    }
}

/// Probes can still be put into an interpreter when privileges are given up.
fn imports(trace: &Value) -> Checked {
    let session = &trace["session"];
    if session["hooks_missing"] != 0 {
        return Err(format!("{} files without their probes", session["hooks_missing"]));
    }
    let named = |start: &&Value| start["argv"][1] == "-S" && start["argv"][3] == "-c";
    let start = trace["starts"].as_array().and_then(|starts| starts.iter().find(named)).ok_or("no Python")?;
    let imports = &start["timeline"]["imports"];
    let modules = imports["modules"].as_array().map_or(&[][..], Vec::as_slice);
    if modules.iter().any(|module| module["module"] == "json") {
        Ok(())
    } else {
        Err(format!("{} modules; hooks: {}", modules.len(), session["hooks"]))
    }
}

/// The machine slept between two starts, within a third.
fn suspend(folder: &Path, trace: &Value) -> Checked {
    let said = left(folder, "suspend.out")?;
    if !said.contains("slept") {
        return Err(format!("the machine did not sleep: {}", left(folder, "suspend.err")?));
    }
    let timeline = |argv: &[&str]| with_argv(trace, argv).map(|start| start["timeline"].clone());
    let (before, after) = (timeline(&["/opt/true", "before"])?, timeline(&["/opt/true", "after"])?);
    let script = timeline(&["sh", "/suspend.sh"])?;
    let ns = |timeline: &Value, field: &str| timeline[field].as_u64().unwrap_or(0);
    let apart = ns(&after, "origin_boottime_ns").saturating_sub(ns(&before, "origin_boottime_ns"));
    let [slept, limit] = [3_000_000_000, 100_000_000_000];
    let durations = [&script, &before, &after].map(|timeline| ns(timeline, "duration_ns"));
    let right = (slept..limit).contains(&apart)
        && (slept..limit).contains(&durations[0])
        && durations[1..].iter().all(|&duration| (1..slept).contains(&duration));
    if right { Ok(()) } else { Err(format!("{apart} ns apart; durations {durations:?}")) }
}

fn clock(trace: &Value) -> Checked {
    let limit_ns = 100_000_000_000;
    if trace["session"]["duration_ns"].as_u64().is_none_or(|ns| ns > limit_ns) {
        return Err(format!("the recording took {}", trace["session"]["duration_ns"]));
    }
    let mut last = 0;
    for argument in ["before", "back", "forward"] {
        let timeline = &with_argv(trace, &["/opt/true", argument])?["timeline"];
        let at = timeline["origin_boottime_ns"].as_u64().unwrap_or(0);
        if at <= last || timeline["duration_ns"].as_u64().is_none_or(|ns| ns == 0 || ns > limit_ns) {
            return Err(format!("{argument}: {timeline}"));
        }
        last = at;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verifier_s_counts_are_read_from_the_log() {
        let line = "DEBUG startrace::probe::load: program on_exec: 19104 bytes, 3252 instructions followed by the verifier";
        assert_eq!(verified(line), Some(("on_exec".to_owned(), 3252)));
        assert_eq!(verified("INFO startrace: program of another kind: 5 bytes, x"), None);
    }

    #[test]
    fn a_guest_that_left_nothing_is_no_success() {
        let folder = std::env::temp_dir().join(format!("startrace-vm-judge-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("kernel"), "6.1.0\n").unwrap();
        for works in [true, false] {
            let kernel = Kernel { name: "x", suite: "x", version: None, usual: true, works };
            let verdict = judge(&folder, &kernel, 1.0).unwrap();
            assert!(!verdict.checks.is_empty() && verdict.failed().len() == verdict.checks.len());
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
