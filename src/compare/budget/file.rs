//! A budget's file: TOML, in which nothing unknown is passed over.

use crate::diagnose;
use crate::method::names;
use crate::timeline::select::glob;
use crate::trace::vocabulary::{PHASES, STATES};
use crate::words::parse_time;
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
    #[serde(default, deserialize_with = "number")]
    processes: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    failed_execs: Option<u64>,
    #[serde(default, deserialize_with = "number")]
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
    #[serde(default, deserialize_with = "number")]
    processes: Option<u64>,
    #[serde(default, deserialize_with = "number")]
    failed_execs: Option<u64>,
    #[serde(default, deserialize_with = "number")]
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

/// A value as the file has it.
fn written(value: &toml::Value) -> String {
    match value {
        toml::Value::Integer(n) => n.to_string(),
        toml::Value::Float(n) => n.to_string(),
        toml::Value::String(text) => format!("{text:?}"),
        other => format!("a {}", other.type_str()),
    }
}

/// `"1.5s"`, `"20ms"`.
fn nanoseconds(value: &toml::Value) -> Result<u64, String> {
    let Some(text) = value.as_str() else {
        return Err(format!(
            "{} is no time, such as \"1.5s\" or \"20ms\" (in quotes, with its unit)",
            written(value)
        ));
    };
    let time = parse_time(text).map_err(|why| format!("{text:?} is no time: {why}"))?;
    u64::try_from(time.as_nanos()).map_err(|_| format!("{text:?} is too long a time"))
}

fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    nanoseconds(&value).map(Some).map_err(D::Error::custom)
}

/// How many there may be.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let value = toml::Value::deserialize(deserializer)?;
    let number = value.as_integer().and_then(|n| u64::try_from(n).ok());
    let wrong = || D::Error::custom(format!("{} is no number of them, such as 4 or 0", written(&value)));
    number.map(Some).ok_or_else(wrong)
}

fn times<'de, D: Deserializer<'de>>(
    deserializer: D,
    is_known: &dyn Fn(&str) -> bool,
    known: &[&str],
) -> Result<BTreeMap<String, u64>, D::Error> {
    let table: BTreeMap<String, toml::Value> = BTreeMap::deserialize(deserializer)?;
    let mut out = BTreeMap::new();
    for (name, value) in table {
        if !is_known(&name) {
            let known = known.join(", ");
            return Err(D::Error::custom(format!("unknown name {name:?}, expected one of {known}")));
        }
        out.insert(name, nanoseconds(&value).map_err(D::Error::custom)?);
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
            ("ready = 5", "5 is no time, such as \"1.5s\" or \"20ms\""),
            ("ready = [1]", "is no time, such as"),
            ("ready = \"soon\"", "\"soon\" is no time: a time is a number with its unit, as in 30s, 500ms"),
            ("ready = \"5\"", "a time needs a unit, as in 30s, 500ms"),
            ("[phases]\nlink = 20", "20 is no time, such as \"1.5s\""),
            ("processes = \"few\"", "\"few\" is no number of them, such as 4"),
            ("failed = 1.5", "1.5 is no number of them, such as 4"),
            ("ready = \"-1.5s\"", "is no time"),
            ("ready = \"1.5 parsecs\"", "is no time"),
            ("processes = -1", "-1 is no number of them, such as 4"),
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
