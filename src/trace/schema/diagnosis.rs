//! What makes starts slow, and what would help.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What one start could do without.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// Its name in the catalogue: `startrace report --explain ID` prints the page on it.
    pub id: String,
    /// How much it matters to this start.
    pub severity: Severity,
    /// Wall time on this start's own critical path that would go away; never more than was measured.
    /// `null` where it cannot be priced.
    pub cost_ns: Option<u64>,
    /// Where the price comes from; `null` where there is none.
    pub basis: Option<Basis>,
    /// What was found, in a sentence.
    pub summary: String,
    /// The numbers behind it; times in nanoseconds end in `_ns`.
    #[serde(default)]
    pub evidence: BTreeMap<String, serde_json::Value>,
    /// What to change.
    pub advice: String,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    #[default]
    Info,
    /// Worth a change.
    Warning,
    /// A large part of the time, or a start that fails.
    Critical,
}

/// Where a price comes from: never from anything but this trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Basis {
    /// The time that was seen to be spent on it.
    Measured,
    /// Calculated from other times of this trace.
    Scaled,
}

/// What was found over all starts of a trace.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Diagnosis {
    /// Equal findings of many starts are one; dearest first, after why the start failed that all is about.
    #[serde(default)]
    pub findings: Vec<Joined>,
    /// Findings that this trace cannot feed.
    #[serde(default)]
    pub not_examined: Vec<NotExamined>,
}

/// A finding over all starts that it concerns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Joined {
    /// Its name in the catalogue.
    pub id: String,
    /// How much it matters to the whole.
    pub severity: Severity,
    /// Wall time that would go away: that part of the findings of all `starts` which lies on the critical
    /// path of the whole (of the start that all others belong to), each nanosecond once. 0 where nothing
    /// waits for it, `null` where it cannot be priced. Savings of several findings must not be added up
    /// where they are in each other's `overlaps`.
    pub saves_ns: Option<u64>,
    /// Where the price comes from; `null` where there is none.
    pub basis: Option<Basis>,
    /// The starts that it concerns, the dearest first; at most 1,000.
    #[serde(default)]
    pub starts: Vec<String>,
    /// How many starts it concerns.
    #[serde(default)]
    pub n: u64,
    /// Findings that have nanoseconds of that path in common with this one.
    #[serde(default)]
    pub overlaps: Vec<String>,
    /// Others, which are nearer to the cause, say of most of the same time why it went; absent where none does.
    #[serde(default, skip_serializing_if = "is_not")]
    pub explained: bool,
    /// What the time goes to, as it follows "3.1 s of it: ".
    #[serde(default)]
    pub what: String,
    /// What was found, in a sentence.
    pub summary: String,
    /// The numbers behind the dearest of them.
    #[serde(default)]
    pub evidence: BTreeMap<String, serde_json::Value>,
    /// What to change.
    pub advice: String,
}

/// Nothing to say.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_not(explained: &bool) -> bool {
    !explained
}

impl Joined {
    /// Worth a place in a report: a warning at least, or it would save something.
    pub(crate) fn is_told(&self) -> bool {
        self.severity > Severity::Info || self.saves_ns.is_some_and(|ns| ns > 0)
    }
}

/// A finding that this trace cannot feed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct NotExamined {
    /// Its name in the catalogue.
    pub finding: String,
    /// What it needs.
    pub needs: String,
}
