//! Several starters in one recording: a recording takes longer to begin than a starter to run.

use super::programs::{program, script, told};
use super::{Recorded, record};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;

/// A starter to run: its name (`fork_exec`, `jobs.sh`) and its arguments. A name may stand in a batch
/// once; `NAME#2` is the same program again.
pub type Run<'a> = (&'a str, &'a [&'a str]);

/// One recording of several starters, made by a shell, one after the other.
pub struct Batch {
    recorded: Recorded,
    told: BTreeMap<String, Value>,
}

impl std::ops::Deref for Batch {
    type Target = Recorded;
    fn deref(&self) -> &Recorded {
        &self.recorded
    }
}

impl Batch {
    /// Records `startrace record ARGS -- sh` with these starters, each in the test's own folder and with
    /// `before` (shell text, such as `trap '' INT;`) in front of it.
    pub fn record(args: &[&str], before: &str, runs: &[Run<'_>]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = |n: usize| folder.path().join(format!("out-{n}"));
        let mut text = String::from("set -e\n");
        for (n, (name, args)) in runs.iter().enumerate() {
            let name = name.split('#').next().unwrap();
            let path = if name.ends_with(".sh") { script(name) } else { program(name) };
            let words: Vec<String> = std::iter::once(path.to_str().unwrap())
                .chain(args.iter().copied())
                .map(|word| format!("'{}'", word.replace('\'', "'\\''")))
                .collect();
            text += &format!("{before} {} >'{}'\n", words.join(" "), out(n).display());
        }
        let file = folder.path().join("run.sh");
        fs::write(&file, text).unwrap();
        let recorded = record(args, &["sh".as_ref(), file.as_os_str()]);
        assert!(recorded.status.success(), "{}: {}", recorded.status, recorded.stderr);
        let told = runs
            .iter()
            .enumerate()
            .map(|(n, (name, _))| ((*name).to_owned(), told(&fs::read_to_string(out(n)).unwrap())))
            .collect();
        // A batch lives in a static, which nobody drops.
        fs::remove_dir_all(recorded.folder.path()).unwrap();
        Self { recorded, told }
    }

    /// What a starter printed.
    pub fn told_by(&self, name: &str) -> &Value {
        self.told.get(name).unwrap_or_else(|| panic!("{name} is not in this batch"))
    }

    /// Is it in this batch?
    pub fn has(&self, name: &str) -> bool {
        self.told.contains_key(name)
    }

    /// The pid of a starter's role.
    pub fn pid_of(&self, name: &str, role: &str) -> u64 {
        let told = self.told_by(name);
        told[role].as_u64().filter(|&pid| pid > 0).unwrap_or_else(|| panic!("no {role:?} in {told}"))
    }

    /// The only start of a starter's role.
    pub fn start(&self, name: &str, role: &str) -> &Value {
        self.start_of(self.pid_of(name, role))
    }
}

/// Names of the phases, in their order.
pub fn phases(start: &Value) -> Vec<&str> {
    let phases = start["timeline"]["phases"].as_array().unwrap();
    phases.iter().map(|phase| phase["name"].as_str().unwrap()).collect()
}

/// Nanoseconds of all phases of a name; 0 where there is none.
pub fn phase_ns(start: &Value, name: &str) -> u64 {
    start["timeline"]["phase_ns"][name].as_u64().unwrap_or(0)
}

/// The strings of an array.
pub fn strings(value: &Value) -> Vec<&str> {
    let list = value.as_array().unwrap_or_else(|| panic!("no list: {value}"));
    list.iter().map(|s| s.as_str().unwrap()).collect()
}

/// `[primitive, mechanism, library, pattern, confidence]`, null as `-`.
pub fn method(start: &Value) -> [&str; 5] {
    ["primitive", "mechanism", "library", "pattern", "confidence"]
        .map(|field| start["method"][field].as_str().unwrap_or("-"))
}

/// Some sentence of the evidence has these words.
pub fn has_evidence(start: &Value, words: &str) -> bool {
    strings(&start["method"]["evidence"]).iter().any(|sentence| sentence.contains(words))
}
