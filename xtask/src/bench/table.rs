//! Figures, and how they are printed.

use serde_json::{Value, json};
use std::fmt::Write;

/// Median, minimum and maximum of the rounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    pub median: f64,
    pub min: f64,
    pub max: f64,
    pub rounds: usize,
}

impl Stat {
    /// `None` where there is no value at all.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 {
            *sorted.get(middle)?
        } else {
            (sorted.get(middle.checked_sub(1)?)? + sorted.get(middle)?) / 2.0
        };
        Some(Self { median, min: *sorted.first()?, max: *sorted.last()?, rounds: sorted.len() })
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Figure {
    /// The row's name, as `--only` takes it.
    pub row: &'static str,
    /// What was measured, or with what tracer.
    pub what: String,
    /// The result, `None` where it could not be had; `note` says why.
    pub value: Option<Stat>,
    /// `x` for a ratio to the untraced run of the same round, else the unit.
    pub unit: &'static str,
    /// What it should be.
    pub goal: Option<&'static str>,
    /// What stands behind it, or why it is missing.
    pub note: String,
}

pub fn text(figures: &[Figure]) -> String {
    let width = figures.iter().map(|figure| figure.what.len()).max().unwrap_or(0);
    let mut out = format!(
        "{:<12} {:<width$} {:>10} {:>21} {:<9} {:<10} {}\n",
        "row", "what", "median", "min .. max", "unit", "goal", "note"
    );
    for figure in figures {
        let (median, range) = match figure.value {
            Some(stat) => (number(stat.median), format!("{} .. {}", number(stat.min), number(stat.max))),
            None => ("-".into(), String::new()),
        };
        let _ = writeln!(
            out,
            "{:<12} {:<width$} {median:>10} {range:>21} {:<9} {:<10} {}",
            figure.row,
            figure.what,
            figure.unit,
            figure.goal.unwrap_or(""),
            figure.note
        );
    }
    out
}

fn number(value: f64) -> String {
    if value == value.trunc() || value.abs() >= 1000.0 {
        format!("{value:.0}")
    } else if value.abs() >= 100.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

pub fn json(figures: &[Figure], rounds: usize) -> Value {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map(|rest| rest.trim_start_matches([' ', '\t', ':']));
    let seconds =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    json!({
        "time": seconds,
        "kernel": read("/proc/sys/kernel/osrelease").trim(),
        "arch": std::env::consts::ARCH,
        "cpu_model": model,
        "cpus": std::thread::available_parallelism().map_or(0, usize::from),
        "load_average": read("/proc/loadavg").trim(),
        "rounds": rounds,
        "figures": figures.iter().map(|figure| json!({
            "row": figure.row,
            "what": figure.what,
            "unit": figure.unit,
            "median": figure.value.map(|stat| stat.median),
            "min": figure.value.map(|stat| stat.min),
            "max": figure.value.map(|stat| stat.max),
            "rounds": figure.value.map(|stat| stat.rounds),
            "goal": figure.goal,
            "note": figure.note,
        })).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(Stat::of(&[]), None);
        let odd = Stat::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((odd.median, odd.min, odd.max, odd.rounds), (2.0, 1.0, 3.0, 3));
        assert_eq!(Stat::of(&[4.0, 1.0, 2.0, 3.0]).unwrap().median, 2.5);
    }

    #[test]
    fn a_figure_that_could_not_be_had_is_a_dash_with_its_reason() {
        let figure = Figure {
            row: "own-start",
            what: "peer".into(),
            value: None,
            unit: "ms",
            goal: None,
            note: "it failed".into(),
        };
        let table = text(std::slice::from_ref(&figure));
        assert!(table.lines().nth(1).unwrap().contains(" - "), "{table}");
        assert!(table.contains("it failed"));
        assert_eq!(json(&[figure], 1)["figures"][0]["median"], Value::Null);
    }
}
