//! The table of accuracy.

use super::run::{Job, Outcome};
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use xtask::judge::{Grade, Verdict};
use xtask::table::{FAMILIES, HOST};

const CONFIDENCES: [&str; 3] = ["certain", "likely", "guess"];

/// Adversarial starts are made to deceive: they have a share of their own.
const DECEIVERS: &str = "adversarial";

/// What came of all rows.
#[derive(Default)]
pub struct Report {
    families: BTreeMap<usize, Family>,
    /// The same by userland; this machine's comes first.
    roots: BTreeMap<(bool, String), Family>,
    problems: Vec<String>,
    not_run: Vec<String>,
    /// Where the traces are.
    pub kept: Option<PathBuf>,
}

#[derive(Default)]
struct Family {
    ran: usize,
    broken: usize,
    not_run: usize,
    verdicts: Vec<Verdict>,
}

impl Family {
    fn count(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Ran(verdicts) => {
                self.ran += 1;
                self.verdicts.extend(verdicts.iter().cloned());
            }
            Outcome::Broken(_) => self.broken += 1,
            Outcome::NotRun(_) => self.not_run += 1,
        }
    }

    fn line(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = |grade| self.verdicts.iter().filter(|v| v.grade == grade).count();
        writeln!(
            f,
            "{name:<12} {:>5} {:>7} {:>7} {:>7} {:>7} {:>7}{}",
            self.ran + self.broken,
            self.not_run,
            self.verdicts.len(),
            count(Grade::Exact),
            count(Grade::Partly),
            count(Grade::Wrong),
            if self.broken > 0 { format!("   {} broken", self.broken) } else { String::new() }
        )
    }
}

fn head(what: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    writeln!(
        f,
        "\n{what:<12} {:>5} {:>7} {:>7} {:>7} {:>7} {:>7}",
        "rows", "not run", "starts", "exact", "partly", "wrong"
    )
}

impl Report {
    /// Takes a row's outcome in.
    pub fn add(&mut self, job: &Job, outcome: Outcome) {
        let place = FAMILIES.iter().position(|family| *family == job.row.family).unwrap_or(FAMILIES.len());
        self.families.entry(place).or_default().count(&outcome);
        self.roots.entry((job.root != HOST, job.root.clone())).or_default().count(&outcome);
        match outcome {
            Outcome::Ran(verdicts) => {
                for verdict in verdicts.iter().filter(|v| v.grade != Grade::Exact) {
                    let grade = if verdict.grade == Grade::Wrong { "WRONG" } else { "partly" };
                    self.problems.push(format!("{grade}: {}: {}", job.name, verdict.why));
                }
            }
            Outcome::Broken(why) => {
                self.problems.push(format!("DID NOT RUN AS IT SHOULD: {}: {why}", job.name));
            }
            Outcome::NotRun(why) => self.not_run.push(format!("{}: {why}", job.name)),
        }
    }

    fn verdicts(&self, deceivers: bool) -> impl Iterator<Item = &Verdict> {
        self.families
            .iter()
            .filter(move |(place, _)| (FAMILIES.get(**place) == Some(&DECEIVERS)) == deceivers)
            .flat_map(|(_, family)| &family.verdicts)
    }

    fn sum(&self, of: impl Fn(&Family) -> usize) -> usize {
        self.families.values().map(of).sum()
    }

    /// In one line.
    pub fn summary(&self) -> String {
        let (ran, broken) = (self.sum(|f| f.ran), self.sum(|f| f.broken));
        let count = |grade| self.sum(|f| f.verdicts.iter().filter(|v| v.grade == grade).count());
        let mut line = format!("corpus: {} rows ran", ran + broken);
        if broken > 0 {
            line += &format!(", {broken} NOT AS THEY SHOULD");
        }
        line += &format!("; {} starts, {} exact", self.sum(|f| f.verdicts.len()), count(Grade::Exact));
        for (grade, word) in [(Grade::Partly, "partly"), (Grade::Wrong, "WRONG")] {
            if count(grade) > 0 {
                line += &format!(", {} {word}", count(grade));
            }
        }
        if !self.not_run.is_empty() {
            line += &format!("; {} rows NOT RUN: {}", self.not_run.len(), self.reasons());
        }
        line
    }

    /// Why rows did not run, the same reason once.
    fn reasons(&self) -> String {
        let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
        for line in &self.not_run {
            *reasons.entry(line.split_once(": ").map_or("", |(_, why)| why)).or_default() += 1;
        }
        let reasons: Vec<String> = reasons.iter().map(|(why, n)| format!("{why} ({n})")).collect();
        reasons.join("; ")
    }

    /// Fails where the goals are not met.
    pub fn verdict(&self) -> Result<()> {
        let mut missed = Vec::new();
        let broken = self.sum(|f| f.broken);
        if broken > 0 {
            missed.push(format!("{broken} rows did not run as they should"));
        }
        let all = || self.verdicts(false).chain(self.verdicts(true));
        if all().next().is_none() && broken == 0 {
            bail!("no row ran: {}", self.reasons());
        }
        let lies = all().filter(|v| v.grade == Grade::Wrong && v.confidence == CONFIDENCES[0]).count();
        if lies > 0 {
            missed.push(format!("{lies} starts are certain and wrong"));
        }
        let kernel = all().filter(|v| !v.kernel).count();
        if kernel > 0 {
            missed.push(format!(
                "primitive or mechanism of {kernel} starts are wrong, and all have to be right"
            ));
        }
        // What is made to deceive is a set of its own: its few starts would not weigh among all others.
        for (deceivers, of) in [(false, "starts"), (true, "adversarial starts")] {
            let n = self.verdicts(deceivers).count();
            for (what, right) in [
                ("library", self.verdicts(deceivers).filter(|v| v.library).count()),
                ("pattern", self.verdicts(deceivers).filter(|v| v.pattern).count()),
            ] {
                if right * 100 < n * 98 {
                    missed
                        .push(format!("the {what} is right for {right} of {n} {of}, and 98 % are the goal"));
                }
            }
        }
        if missed.is_empty() { Ok(()) } else { bail!("{}", missed.join("; ")) }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        for line in &self.not_run {
            writeln!(f, "not run: {line}")?;
        }
        head("family", f)?;
        for (place, family) in &self.families {
            family.line(FAMILIES.get(*place).copied().unwrap_or("?"), f)?;
        }
        if self.roots.keys().any(|(other, _)| *other) {
            head("userland", f)?;
            for ((_, name), root) in &self.roots {
                root.line(name, f)?;
            }
        }
        writeln!(f, "\n{:<12} {:>7} {:>7} {:>7}", "confidence", "exact", "partly", "wrong")?;
        for confidence in CONFIDENCES {
            let count = |grade| {
                let all = self.verdicts(false).chain(self.verdicts(true));
                all.filter(|v| v.confidence == confidence && v.grade == grade).count()
            };
            writeln!(
                f,
                "{confidence:<12} {:>7} {:>7} {:>7}",
                count(Grade::Exact),
                count(Grade::Partly),
                count(Grade::Wrong)
            )?;
        }
        writeln!(f)?;
        for (deceivers, of) in
            [(false, format!("starts (without {DECEIVERS})")), (true, format!("{DECEIVERS} starts"))]
        {
            let n = self.verdicts(deceivers).count();
            if n == 0 {
                continue;
            }
            let share = |is: fn(&Verdict) -> bool| {
                self.verdicts(deceivers).filter(|v| is(v)).count() as f64 * 100.0 / n as f64
            };
            writeln!(
                f,
                "of {n} {of}: primitive and mechanism {:.1} %, library {:.1} %, pattern {:.1} %",
                share(|v| v.kernel),
                share(|v| v.library),
                share(|v| v.pattern)
            )?;
        }
        if let Some(kept) = &self.kept {
            writeln!(f, "traces and events: {}", kept.display())?;
        }
        write!(f, "{}", self.summary())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask::table::Row;

    fn verdict(right: [bool; 3], confidence: &str) -> Verdict {
        let [kernel, library, pattern] = right;
        let grade = if right == [true; 3] { Grade::Exact } else { Grade::Wrong };
        let confidence = confidence.to_owned();
        Verdict { grade, kernel, library, pattern, confidence, why: "it is another".to_owned() }
    }

    /// A report on rows of these families, with their starts.
    fn report(rows: Vec<(&str, Outcome)>) -> Report {
        let mut report = Report::default();
        for (family, outcome) in rows {
            let text = format!("family = '{family}'\nname = 'row'\nexpect = []\nrun = ['true']");
            let row: Row = toml::from_str(&text).unwrap();
            let (name, root) = (format!("{family}/row"), HOST.to_owned());
            report.add(&Job { row, name, root, python: None }, outcome);
        }
        report
    }

    fn ran(family: &str, right: usize, wrong: Vec<Verdict>) -> (&str, Outcome) {
        let exact = std::iter::repeat_n(verdict([true; 3], "certain"), right);
        (family, Outcome::Ran(exact.chain(wrong).collect()))
    }

    #[test]
    fn all_exact_is_well() {
        let report = report(vec![ran("libc", 3, vec![]), ran(DECEIVERS, 2, vec![])]);
        assert!(report.verdict().is_ok());
        assert_eq!(report.summary(), "corpus: 2 rows ran; 5 starts, 5 exact");
    }

    #[test]
    fn wrong_starts_fail_and_are_said() {
        let guess = || verdict([true, false, true], "guess");
        for family in ["libc", DECEIVERS] {
            let report = report(vec![ran(family, 40, vec![guess()]), ran("python", 1, vec![])]);
            let why = report.verdict().err().map(|why| why.to_string());
            let of = if family == DECEIVERS { "40 of 41 adversarial starts" } else { "41 of 42 starts" };
            assert_eq!(
                why,
                Some(format!("the library is right for {of}, and 98 % are the goal")),
                "{family}"
            );
            assert_eq!(report.summary(), "corpus: 2 rows ran; 42 starts, 41 exact, 1 WRONG");
        }
    }

    #[test]
    fn two_in_a_hundred_may_be_wrong_but_neither_certain_nor_in_the_kernels_part() {
        let with = |wrong| report(vec![ran("libc", 98, vec![wrong])]);
        assert!(with(verdict([true, true, false], "likely")).verdict().is_ok());
        assert!(with(verdict([true, true, false], "certain")).verdict().is_err());
        assert!(with(verdict([false, true, true], "guess")).verdict().is_err());
    }

    #[test]
    fn rows_that_break_fail_and_so_does_an_empty_run() {
        let broken = report(vec![ran("libc", 1, vec![]), ("go", Outcome::Broken("no trace".to_owned()))]);
        assert!(broken.verdict().is_err());
        assert_eq!(broken.summary(), "corpus: 2 rows ran, 1 NOT AS THEY SHOULD; 1 starts, 1 exact");
        let none = report(vec![("go", Outcome::NotRun("there is no go".to_owned()))]);
        assert!(none.verdict().is_err());
        assert_eq!(
            none.summary(),
            "corpus: 0 rows ran; 0 starts, 0 exact; 1 rows NOT RUN: there is no go (1)"
        );
    }
}
