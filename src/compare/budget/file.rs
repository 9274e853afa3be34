//! A budget's file: TOML, in which nothing unknown is passed over.

use crate::diagnose;
use crate::method::names;
use crate::timeline::select::glob;
use crate::trace::vocabulary::{PHASES, STATES};
use serde::{Deserialize, Deserializer, de::Error as _};
use std::collections::BTreeMap;

/// Longest file that is read.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// A whole budget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Budget {
    /// Of several starts or runs, which counts.
    #[serde(default)]
    pub statistic: Statistic,
    /// Judge an incomplete trace all the same.
    #[serde(default)]
    pub allow_incomplete: bool,
    /// As in [`Limits`]: times are those of the command (what nobody in the trace has started), the rest
    /// is of the whole trace.
    #[serde(default, deserialize_with = "time")]
    ready: Option<u64>,
    processes: Option<u64>,
    failed_execs: Option<u64>,
    failed: Option<u64>,
    #[serde(default, deserialize_with = "phases")]
    phases: BTreeMap<String, u64>,
    #[serde(default, deserialize_with = "states")]
    states: BTreeMap<String, u64>,
    #[serde(default)]
    forbid_methods: Vec<String>,
    #[serde(default)]
    forbid_findings: Vec<String>,
    /// Limits of some executables.
    #[serde(default, rename = "exe", deserialize_with = "executables")]
    pub exe: Vec<Executable>,
    /// All of the above that is a limit.
    #[serde(skip)]
    pub limits: Limits,
}

/// What starts may take.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    /// Until ready, nanoseconds.
    pub ready: Option<u64>,
    /// In a run.
    pub processes: Option<u64>,
    /// In a run: execs that failed, such as those of a search in PATH.
    pub failed_execs: Option<u64>,
    /// Processes that ended with another status than 0.
    pub failed: Option<u64>,
    /// By phase, nanoseconds.
    pub phases: BTreeMap<String, u64>,
    /// By state of the critical path, nanoseconds.
    pub states: BTreeMap<String, u64>,
    /// Methods that no start may have (* and ? allowed).
    pub forbid_methods: Vec<String>,
    /// Findings that no start may have, by id (* and ? allowed).
    pub forbid_findings: Vec<String>,
}

/// Limits of one executable: `[[exe]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Executable {
    /// A path or a base name (* and ? allowed).
    pub pattern: String,
    /// Instead of the budget's own.
    pub statistic: Option<Statistic>,
    /// The limits.
    pub limits: Limits,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ExecutableTable {
    #[serde(rename = "match")]
    pattern: String,
    statistic: Option<Statistic>,
    #[serde(default, deserialize_with = "time")]
    ready: Option<u64>,
    processes: Option<u64>,
    failed_execs: Option<u64>,
    failed: Option<u64>,
    #[serde(default, deserialize_with = "phases")]
    phases: BTreeMap<String, u64>,
    #[serde(default, deserialize_with = "states")]
    states: BTreeMap<String, u64>,
    #[serde(default)]
    forbid_methods: Vec<String>,
    #[serde(default)]
    forbid_findings: Vec<String>,
}

/// Which of several values counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// The largest.
    #[default]
    Max,
    /// Nine of ten are below it.
    P90,
    /// Half are below it.
    Median,
}

impl Budget {
    /// Reads a budget.
    ///
    /// # Errors
    /// It is no TOML, holds a key or a name that is not known (the message says which are), a time that is
    /// none, or nothing at all.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut budget: Self = toml::from_str(text).map_err(|error| error.to_string().trim().to_owned())?;
        budget.limits = Limits {
            ready: budget.ready,
            processes: budget.processes,
            failed_execs: budget.failed_execs,
            failed: budget.failed,
            phases: std::mem::take(&mut budget.phases),
            states: std::mem::take(&mut budget.states),
            forbid_methods: std::mem::take(&mut budget.forbid_methods),
            forbid_findings: std::mem::take(&mut budget.forbid_findings),
        };
        let none = Limits::default();
        if budget.limits == none && budget.exe.iter().all(|exe| exe.limits == none) {
            return Err("it limits nothing: see 'startrace check --help' for an example".to_owned());
        }
        if let Some(exe) = budget.exe.iter().find(|exe| exe.limits == none) {
            return Err(format!("[[exe]] match = {:?} limits nothing", exe.pattern));
        }
        budget
            .exe
            .iter()
            .map(|exe| &exe.limits)
            .chain([&budget.limits])
            .try_for_each(forbids_what_there_is)?;
        Ok(budget)
    }
}

/// A slip would forbid nothing, for ever.
fn forbids_what_there_is(limits: &Limits) -> Result<(), String> {
    let methods = || names::names().map(|page| page.name).chain([names::UNOBSERVED]);
    if let Some(pattern) =
        limits.forbid_methods.iter().find(|pattern| !methods().any(|name| glob(pattern, name)))
    {
        return Err(format!("forbid-methods: no method is called {pattern:?}: see 'startrace help methods'"));
    }
    let findings = || diagnose::pages().map(|(id, _)| id);
    match limits.forbid_findings.iter().find(|pattern| !findings().any(|name| glob(pattern, name))) {
        Some(pattern) => {
            Err(format!("forbid-findings: no finding is called {pattern:?}: see 'startrace help findings'"))
        }
        None => Ok(()),
    }
}

fn executables<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Executable>, D::Error> {
    let tables: Vec<ExecutableTable> = Vec::deserialize(deserializer)?;
    Ok(tables
        .into_iter()
        .map(|table| Executable {
            pattern: table.pattern,
            statistic: table.statistic,
            limits: Limits {
                ready: table.ready,
                processes: table.processes,
                failed_execs: table.failed_execs,
                failed: table.failed,
                phases: table.phases,
                states: table.states,
                forbid_methods: table.forbid_methods,
                forbid_findings: table.forbid_findings,
            },
        })
        .collect())
}

/// `"1.5s"`, `"20ms"`.
fn nanoseconds(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no time, such as \"1s 500ms\" or \"20ms\"");
    // humantime knows whole numbers only; a person writes 1.5s.
    let time = match text.trim().split_once('.') {
        Some((whole, rest)) => {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (part, unit) = rest.split_at(digits);
            let factor: f64 = match unit.trim() {
                "s" | "sec" => 1e9,
                "ms" => 1e6,
                "us" | "µs" => 1e3,
                _ => return Err(wrong()),
            };
            let number: f64 = format!("{whole}.{part}").parse().map_err(|_| wrong())?;
            (number * factor).round()
        }
        None => humantime::parse_duration(text).map_err(|_| wrong())?.as_nanos() as f64,
    };
    if (0.0..=9.0e18).contains(&time) { Ok(time as u64) } else { Err(wrong()) }
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text: Option<String> = Option::deserialize(deserializer)?;
    text.map(|text| nanoseconds(&text).map_err(D::Error::custom)).transpose()
}

fn times<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_known: &dyn Fn(&str) -> bool,
    known: &[&str],
) -> Result<BTreeMap<String, u64>, D::Error> {
    let table: BTreeMap<String, String> = BTreeMap::deserialize(deserializer)?;
    let mut out = BTreeMap::new();
    for (name, text) in table {
        if !is_known(&name) {
            let known = known.join(", ");
            return Err(D::Error::custom(format!("unknown name {name:?}, expected one of {known}")));
        }
        out.insert(name, nanoseconds(&text).map_err(D::Error::custom)?);
    }
    Ok(out)
}

fn phases<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    times(deserializer, &|name| PHASES.contains(&name), &PHASES)
}

fn states<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, u64>, D::Error> {
    let known = |name: &str| STATES.contains(&name) || name.starts_with("other:");
    let mut names: Vec<&str> = STATES.to_vec();
    names.push("other:SYSCALL");
    times(deserializer, &known, &names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read() {
        let budget = Budget::parse(
            "statistic = \"p90\"\nready = \"1.5s\"\nprocesses = 4\nforbid-methods = [\"fork\"]\n\
             [phases]\nlink = \"20ms\"\n[states]\ndns = \"0ms\"\n\"other:mmap\" = \"1us\"\n\
             [[exe]]\nmatch = \"python3*\"\nready = \"1s 200ms\"\n",
        )
        .unwrap();
        assert_eq!(budget.statistic, Statistic::P90);
        assert_eq!(budget.limits.ready, Some(1_500_000_000));
        assert_eq!(budget.limits.phases["link"], 20_000_000);
        assert_eq!(budget.limits.states["other:mmap"], 1_000);
        assert_eq!(budget.exe[0].pattern, "python3*");
        assert_eq!(budget.exe[0].limits.ready, Some(1_200_000_000));
    }

    #[test]
    fn what_is_not_known_is_told_with_what_is() {
        for (text, said) in [
            ("redy = \"1s\"", "expected one of `statistic`"),
            ("ready = 5", "invalid type"),
            ("ready = \"soon\"", "\"soon\" is no time"),
            ("ready = \"-1.5s\"", "is no time"),
            ("ready = \"1.5 parsecs\"", "is no time"),
            ("processes = -1", "processes"),
            ("[phases]\nlinking = \"1s\"", "expected one of unobserved, fork"),
            ("[states]\ndsn = \"1s\"", "dns, unix_socket"),
            ("[[exe]]\nready = \"1s\"", "missing field `match`"),
            ("[[exe]]\nmatch = \"a\"\nreadiness = \"1s\"", "expected one of `match`"),
            ("[[exe]]\nmatch = \"a\"", "limits nothing"),
            ("statistic = \"mean\"\nready = \"1s\"", "`max`, `p90`, `median`"),
            ("", "it limits nothing"),
            ("ready =", "TOML"),
            ("forbid-methods = [\"fork\", \"frok\"]", "no method is called \"frok\""),
            ("forbid-findings = [\"\\u001b[31m\"]", "no finding is called \"\\u{1b}[31m\""),
            ("[[exe]]\nmatch = \"a\"\nforbid-findings = [\"dns-*\", \"dsn-*\"]", "called \"dsn-*\""),
        ] {
            let error = Budget::parse(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
