//! A budget's file: TOML, in which nothing unknown is passed over.

use crate::diagnose;
use crate::method::names;
use crate::settings::{self, Section, Value, Wrong, one_of};
use crate::timeline::select::glob;
use crate::trace::vocabulary::{PHASES, STATES};
use crate::words::parse_time;
use std::collections::BTreeMap;

/// Longest file that is read.
pub(crate) const MAX_FILE: u64 = 1 << 20;

/// Keys of limits.
const LIMITS: [&str; 8] =
    ["ready", "processes", "failed-execs", "failed", "phases", "states", "forbid-methods", "forbid-findings"];

/// A whole budget.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Budget {
    /// Of several starts or runs, which counts.
    pub statistic: Statistic,
    /// Judge an incomplete trace all the same.
    pub allow_incomplete: bool,
    /// Limits of some executables.
    pub exe: Vec<Executable>,
    /// Times are those of the command (what nobody in the trace has started), the rest is of the whole trace.
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

/// Which of several values counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
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
    fn read(section: Section<'_>) -> Result<Self, Wrong> {
        let mut budget = Self::default();
        let keys = [&["statistic", "allow-incomplete"], &LIMITS[..], &["exe"]].concat();
        section.each(&keys, &mut |key, value| {
            match key {
                "statistic" => budget.statistic = statistic(value)?,
                "allow-incomplete" => budget.allow_incomplete = value.flag()?,
                "exe" => {
                    for table in value.list()? {
                        budget.exe.push(Executable::read(table.section()?)?);
                    }
                }
                _ => return budget.limits.take(key, value),
            }
            Ok(true)
        })?;
        Ok(budget)
    }

    /// Reads a budget.
    ///
    /// # Errors
    /// It is no TOML, holds a key or a name that is not known (the message says which are), a time that is
    /// none, or nothing at all.
    pub fn parse(text: &str) -> Result<Self, String> {
        let budget = settings::read(text, Self::read).map_err(|wrong| {
            let (line, column) = wrong.place(text);
            format!("TOML parse error at line {line}, column {column}\n{}", wrong.what)
        })?;
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

impl Executable {
    fn read(section: Section<'_>) -> Result<Self, Wrong> {
        let (mut pattern, mut of, mut limits) = (None, None, Limits::default());
        section.each(&[&["match", "statistic"], &LIMITS[..]].concat(), &mut |key, value| {
            match key {
                "match" => pattern = Some(value.text()?),
                "statistic" => of = Some(statistic(value)?),
                _ => return limits.take(key, value),
            }
            Ok(true)
        })?;
        let pattern = pattern.ok_or_else(|| section.wrong("missing field `match`"))?;
        Ok(Self { pattern, statistic: of, limits })
    }
}

impl Limits {
    /// Reads one of `LIMITS`.
    fn take(&mut self, key: &str, value: Value<'_>) -> Result<bool, Wrong> {
        match key {
            "ready" => self.ready = Some(nanoseconds(value)?),
            "processes" => self.processes = Some(number(value)?),
            "failed-execs" => self.failed_execs = Some(number(value)?),
            "failed" => self.failed = Some(number(value)?),
            "phases" => self.phases = times(value, &|name| PHASES.contains(&name), &PHASES)?,
            "states" => self.states = states(value)?,
            "forbid-methods" => self.forbid_methods = value.texts()?,
            "forbid-findings" => self.forbid_findings = value.texts()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn statistic(value: Value<'_>) -> Result<Statistic, Wrong> {
    const NAMES: [&str; 3] = ["max", "p90", "median"];
    match &*value.text()? {
        "max" => Ok(Statistic::Max),
        "p90" => Ok(Statistic::P90),
        "median" => Ok(Statistic::Median),
        other => Err(value.wrong(format!("unknown variant `{other}`, expected {}", one_of(&NAMES)))),
    }
}

/// `"1.5s"`, `"20ms"`.
fn nanoseconds(value: Value<'_>) -> Result<u64, Wrong> {
    let Some(text) = value.as_str() else {
        return Err(value.wrong(format!(
            "{} is no time, such as \"1.5s\" or \"20ms\" (in quotes, with its unit)",
            value.shown()
        )));
    };
    let time = parse_time(text).map_err(|why| value.wrong(format!("{text:?} is no time: {why}")))?;
    u64::try_from(time.as_nanos()).map_err(|_| value.wrong(format!("{text:?} is too long a time")))
}

/// How many there may be.
fn number(value: Value<'_>) -> Result<u64, Wrong> {
    let number = value.as_integer().and_then(|n| u64::try_from(n).ok());
    number.ok_or_else(|| value.wrong(format!("{} is no number of them, such as 4 or 0", value.shown())))
}

fn times(
    value: Value<'_>,
    is_known: &dyn Fn(&str) -> bool,
    known: &[&str],
) -> Result<BTreeMap<String, u64>, Wrong> {
    let mut out = BTreeMap::new();
    for (name, time) in value.section()?.entries() {
        if !is_known(name) {
            let known = known.join(", ");
            return Err(time.wrong(format!("unknown name {name:?}, expected one of {known}")));
        }
        out.insert(name.to_owned(), nanoseconds(time)?);
    }
    Ok(out)
}

fn states(value: Value<'_>) -> Result<BTreeMap<String, u64>, Wrong> {
    let known = |name: &str| STATES.contains(&name) || name.starts_with("other:");
    let mut names: Vec<&str> = STATES.to_vec();
    names.push("other:SYSCALL");
    times(value, &known, &names)
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
