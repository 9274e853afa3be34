//! The table of reproducers and negative controls of findings (tests/findings/findings.toml), and how a
//! trace is held against it.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Where the table is, from the repository's root.
pub const TABLE: &str = "tests/findings/findings.toml";
/// Where the recorded streams are.
pub const FOLDER: &str = "tests/fixtures/findings";
/// How far off a price may be, unless the case says.
const WITHIN: f64 = 0.2;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    case: Vec<Case>,
}

/// A program, and the finding that it has to provoke or must not.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    pub name: String,
    pub finding: String,
    pub fires: bool,
    pub run: Vec<String>,
    #[serde(default)]
    pub args: Vec<String>,
    /// `told`, `none` or `case:NAME`.
    pub price: Option<String>,
    /// Why there is no price to compare with.
    pub why: Option<String>,
    pub within: Option<f64>,
    /// The command's exit status.
    #[serde(default)]
    pub status: i32,
    /// A file without which it cannot run.
    pub needs: Option<String>,
}

/// What a trace says of a case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    /// The finding is there.
    pub fired: bool,
    /// Its dearest price.
    pub price_ns: Option<u64>,
    /// What the program told of the cost.
    pub told_ns: Option<u64>,
    /// Other findings with severity `critical`.
    pub critical: Vec<String>,
}

/// Reads the table.
///
/// # Errors
/// It is not there, or says something that it cannot.
pub fn read(root: &Path) -> Result<Vec<Case>> {
    let file = root.join(TABLE);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    let table: Table = toml::from_str(&text).with_context(|| file.display().to_string())?;
    let mut names = HashSet::new();
    for case in &table.case {
        let name = &case.name;
        if !names.insert(name.clone()) {
            bail!("two cases are called {name}");
        }
        match (case.fires, case.price.as_deref()) {
            (true, Some("told")) | (false, None) => {}
            (true, Some("none")) if case.why.is_some() => {}
            (true, Some(price)) if price.starts_with("case:") => {
                if !table.case.iter().any(|other| price.strip_prefix("case:") == Some(&other.name)) {
                    bail!("{name}: there is no case {price}");
                }
            }
            _ => bail!("{name}: a reproducer has a price ('none' with why), a control has none"),
        }
    }
    Ok(table.case)
}

impl Case {
    /// Holds a trace against the case: `findings` are its joined ones, `stdout` is what the program printed.
    pub fn judge(&self, findings: &Value, stdout: &str) -> Outcome {
        let all = findings.as_array().map_or(&[][..], Vec::as_slice);
        let own: Vec<&Value> = all.iter().filter(|found| found["id"] == self.finding.as_str()).collect();
        let others = all
            .iter()
            .filter(|found| found["severity"] == "critical" && found["id"] != self.finding.as_str());
        let told: Option<Value> = stdout
            .lines()
            .find(|line| line.starts_with('{'))
            .and_then(|line| serde_json::from_str(line).ok());
        Outcome {
            fired: !own.is_empty(),
            price_ns: own.iter().filter_map(|found| found["saves_ns"].as_u64()).max(),
            told_ns: told.and_then(|told| told["cost_ns"].as_u64()),
            critical: others.filter_map(|found| found["id"].as_str().map(str::to_owned)).collect(),
        }
    }

    /// What the price should be; `other` is the outcome of the case that the price names.
    pub fn true_cost(&self, outcome: &Outcome, other: Option<&Outcome>) -> Option<u64> {
        match self.price.as_deref()? {
            "told" => outcome.told_ns,
            price if price.starts_with("case:") => Some(outcome.told_ns?.saturating_sub(other?.told_ns?)),
            _ => None,
        }
    }

    /// The case whose cost is what is left when the advice is taken.
    pub fn instead(&self) -> Option<&str> {
        self.price.as_deref()?.strip_prefix("case:")
    }

    /// What is wrong, in words; `None` if all is as it should be.
    pub fn wrong(&self, outcome: &Outcome, other: Option<&Outcome>) -> Option<String> {
        let name = &self.finding;
        if outcome.fired != self.fires {
            return Some(if self.fires {
                format!("{name} is not found")
            } else {
                format!("{name} is found")
            });
        }
        if !self.fires || self.price.as_deref() == Some("none") {
            return None;
        }
        let Some(truth) = self.true_cost(outcome, other) else {
            return Some("the program told no cost".to_owned());
        };
        let Some(price) = outcome.price_ns else { return Some(format!("{name} has no price")) };
        let off = off(price, truth);
        let within = self.within.unwrap_or(WITHIN);
        (off.abs() > within)
            .then(|| format!("{name} costs {} ms, not {} ms: {:+.0} %", ms(truth), ms(price), off * 100.0))
    }
}

/// By how much a price is off, as a share of the true cost.
pub fn off(price: u64, truth: u64) -> f64 {
    (price as f64 - truth as f64) / (truth.max(1) as f64)
}

/// Milliseconds with two digits.
pub fn ms(ns: u64) -> String {
    format!("{:.2}", ns as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn case(fires: bool, price: Option<&str>) -> Case {
        Case {
            name: "a".into(),
            finding: "fixed-sleep".into(),
            fires,
            run: Vec::new(),
            args: Vec::new(),
            price: price.map(str::to_owned),
            why: None,
            within: None,
            status: 0,
            needs: None,
        }
    }

    #[test]
    fn what_is_off_is_said() {
        let findings = json!([{"id": "fixed-sleep", "saves_ns": 110, "severity": "critical"},
            {"id": "dns-wait", "severity": "critical"}]);
        let told = case(true, Some("told"));
        let outcome = told.judge(&findings, "hello\n{\"cost_ns\": 100}\n");
        assert_eq!((outcome.fired, outcome.price_ns, outcome.told_ns), (true, Some(110), Some(100)));
        assert_eq!(outcome.critical, ["dns-wait"]);
        assert_eq!(told.wrong(&outcome, None), None);
        let outcome = told.judge(&findings, "{\"cost_ns\": 80}");
        assert!(told.wrong(&outcome, None).unwrap().contains("+38 %"));
        assert!(told.wrong(&Outcome::default(), None).unwrap().contains("not found"));
        assert!(case(false, None).wrong(&outcome, None).unwrap().contains("is found"));
        let instead = case(true, Some("case:b"));
        let other = Outcome { told_ns: Some(15), ..Outcome::default() };
        let outcome = told.judge(&findings, "{\"cost_ns\": 125}");
        assert_eq!(instead.wrong(&outcome, Some(&other)), None);
        assert!(instead.wrong(&outcome, None).unwrap().contains("no cost"));
    }

    #[test]
    fn the_table_is_sound() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let cases = read(root).unwrap();
        // Every reproducer has a control, and the other way round.
        for case in &cases {
            assert!(
                cases.iter().any(|other| other.finding == case.finding && other.fires != case.fires),
                "{} has no counterpart",
                case.name
            );
        }
    }
}
