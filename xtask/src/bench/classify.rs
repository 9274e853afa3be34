//! The row that needs neither kernel nor root: what naming a start costs, by the criterion benchmark in
//! `benches/classify.rs`.

use super::Bench;
use super::table::{Figure, Stat};
use crate::shell;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The benchmark's name for cargo.
const NAME: &str = "classify";
/// Functions of its group, what they are, and the goal.
const FUNCTIONS: &[(&str, &str, Option<&str>)] = &[
    ("classify", "classifier, a start", Some("<= 5")),
    ("events_to_starts", "events to finished starts, a start", None),
];

/// Builds the benchmark, as the user: what it leaves in `target` is theirs.
pub fn build() -> Result<PathBuf> {
    let mut command = shell::cargo();
    command.args(["bench", "--no-run", "--package", "startrace", "--bench", NAME]);
    command.arg("--message-format=json-render-diagnostics");
    eprintln!("$ {}", shell::show(&command));
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        bail!("benches/{NAME}.rs does not compile");
    }
    let messages = output.stdout.split(|&byte| byte == b'\n');
    messages
        .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == NAME)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .context("cargo built no executable for the benchmark")
}

/// What naming a start costs in user space, over the recorded streams of the corpus.
pub fn classify(bench: &Bench) -> Result<Vec<Figure>> {
    let Some(binary) = &bench.classifier else { bail!("the benchmark was not built") };
    let home = bench.folder.join("criterion");
    let mut command = Command::new(binary);
    shell::run(command.arg("--bench").env("CRITERION_HOME", &home).stdout(Stdio::null()))?;
    FUNCTIONS
        .iter()
        .map(|(function, what, goal)| {
            let folder = home.join("per_start").join(function).join("new");
            let starts = json(&folder.join("benchmark.json"))?["throughput"]["Elements"]
                .as_f64()
                .context("criterion kept no number of starts")?;
            let median = &json(&folder.join("estimates.json"))?["median"];
            let bound = &median["confidence_interval"];
            let us =
                |ns: &Value| ns.as_f64().map(|ns| ns / starts / 1000.0).context("criterion kept no time");
            let stat = Stat {
                median: us(&median["point_estimate"])?,
                min: us(&bound["lower_bound"])?,
                max: us(&bound["upper_bound"])?,
                rounds: 100,
            };
            Ok(Figure {
                row: "classify",
                what: (*what).to_owned(),
                value: Some(stat),
                unit: "us",
                goal: *goal,
                note: format!("{starts} starts; min .. max is the median's confidence interval"),
            })
        })
        .collect()
}

fn json(file: &Path) -> Result<Value> {
    let text = std::fs::read(file).with_context(|| file.display().to_string())?;
    serde_json::from_slice(&text).with_context(|| file.display().to_string())
}
