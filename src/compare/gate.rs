//! `--fail-if-slower`: yes, no, or too few samples to say.

use super::comparison::Pair;
use super::stats;
use crate::words::{duration, parse_time};
use serde::Serialize;

/// How much slower is too much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// Of the base's median.
    Percent(f64),
    /// By itself.
    Ns(u64),
}

impl std::str::FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a share or a time, such as 10% or 50ms".to_owned();
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            return if percent.is_finite() && percent >= 0.0 {
                Ok(Self::Percent(percent))
            } else {
                Err(wrong())
            };
        }
        let time = parse_time(text).map_err(|_| wrong())?;
        u64::try_from(time.as_nanos()).map(Self::Ns).map_err(|_| wrong())
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent} %"),
            Self::Ns(ns) => f.write_str(&duration(*ns)),
        }
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing is slower by more than the limit.
    Passed,
    /// Something may be; more samples would tell.
    TooFew,
    /// Something is.
    Slower,
}

/// The answer, with its reasons.
#[derive(Debug, Serialize)]
pub struct Gate {
    /// What was asked for.
    pub limit: Limit,
    /// What came of it.
    pub outcome: Outcome,
    /// How many kinds of start were looked at.
    pub looked_at: u64,
    /// One sentence for each that did not pass.
    pub reasons: Vec<String>,
}

/// Judges the roots, or everything that was picked by name. The chance that nothing has changed and it
/// says `Slower` all the same is at most half of `alpha`, whatever the number of pairs (Holm).
pub(crate) fn judge(pairs: &[Pair], limit: Limit, alpha: f64, all: bool) -> Gate {
    let picked: Vec<&Pair> = pairs.iter().filter(|pair| all || pair.is_root()).collect();
    let adjusted = stats::holm(&picked.iter().map(|pair| pair.p.unwrap_or(1.0)).collect::<Vec<_>>());
    let mut outcome = Outcome::Passed;
    let mut reasons = Vec::new();
    for (pair, p) in picked.iter().zip(adjusted) {
        let (Some(shift), Some(base)) = (pair.shift, pair.base.tally.duration) else {
            outcome = outcome.max(Outcome::TooFew);
            reasons.push(format!("{}: one side has no finished start", pair.new.label));
            continue;
        };
        let allowed = match limit {
            Limit::Percent(percent) => base.median_ns as f64 * percent / 100.0,
            Limit::Ns(ns) => ns as f64,
        };
        let over = shift.estimate_ns as f64 > allowed;
        let n = (base.n, pair.new.tally.duration.map_or(0, |new| new.n));
        let by = change(shift.estimate_ns, pair.shift_percent);
        let label = &pair.new.label;
        if pair.p.is_none() {
            outcome = outcome.max(Outcome::TooFew);
            reasons.push(format!(
                "{label}: {} and {} samples cannot tell any difference; it takes 4 of each ({by})",
                n.0, n.1
            ));
        } else if over && p <= alpha {
            outcome = outcome.max(Outcome::Slower);
            reasons.push(format!("{label}: slower by {by}, {}", p_said(p)));
        } else if over {
            outcome = outcome.max(Outcome::TooFew);
            reasons
                .push(format!("{label}: {by}, which may be chance ({}): more samples would tell", p_said(p)));
        }
        let (unfinished, of) = (pair.new.tally.unfinished, pair.new.tally.starts);
        if pair.base.tally.unfinished == 0 && unfinished > 0 {
            outcome = outcome.max(Outcome::Slower);
            reasons.push(format!("{label}: {unfinished} of {of} starts never became ready; in BASE all did"));
        }
    }
    if picked.is_empty() {
        outcome = Outcome::TooFew;
        reasons.push(if all {
            "--exe picks nothing that both sides have".to_owned()
        } else {
            "no command is on both sides: compare them with --exe or --map".to_owned()
        });
    }
    Gate { limit, outcome, looked_at: picked.len() as u64, reasons }
}

/// `+420 ms (+35.0 %)`.
pub(crate) fn change(ns: i64, percent: Option<f64>) -> String {
    let sign = if ns < 0 { '-' } else { '+' };
    let share = percent.map(|percent| format!(" ({})", percent_text(percent))).unwrap_or_default();
    format!("{sign}{}{share}", duration(ns.unsigned_abs()))
}

/// `+35 %`, `-0.4 %`; many times in `x`.
pub(crate) fn percent_text(percent: f64) -> String {
    match percent.abs() {
        p if p >= 1000.0 => format!("x {:.0}", percent / 100.0 + 1.0),
        p if p >= 10.0 => format!("{percent:+.0} %"),
        _ => format!("{percent:+.1} %"),
    }
}

/// `p = 0.0123`, `p < 0.0001`.
fn p_said(p: f64) -> String {
    match p_text(p).strip_prefix('<') {
        Some(bound) => format!("p < {bound}"),
        None => format!("p = {}", p_text(p)),
    }
}

/// A p-value in few digits.
pub(crate) fn p_text(p: f64) -> String {
    if p < 0.0001 { "<0.0001".to_owned() } else { format!("{p:.4}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chance_below_what_is_shown_is_no_number() {
        assert_eq!((p_said(0.00001), p_said(0.01234)), ("p < 0.0001".into(), "p = 0.0123".into()));
    }
}
