//! `startrace check`: holds a trace against a budget.

use super::printed::printed;
use super::redaction::RedactArgs;
use super::{Exit, record};
use crate::compare::budget::{self, Budget, Checked};
use crate::compare::{Digest, Side};
use crate::report::{ColorWhen, Style};
use crate::trace::json;
use crate::trace::read;
use anyhow::{Context, Result, anyhow};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Options of `startrace check`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    about = "Hold a trace against a budget: times, processes, methods, findings",
    after_help = "Examples:
  startrace check app.json --budget budget.toml
  startrace check runs.json --budget budget.toml --markdown >> comment.md

A budget (every key may be left out):
  ready = \"1.5s\"                of the command: the longest time to ready
  statistic = \"median\"          of several runs ('max', 'p90'; else 'max')
  processes = 40                in a run
  failed-execs = 2              in a run: a search in PATH, for instance
  failed = 0                    processes that ended with another status
  forbid-methods = [\"fork\", \"multiprocessing.*\"]
  forbid-findings = [\"path-walk\"]
  allow-incomplete = true       judge a trace with losses all the same
  [phases]                      of the command, as for 'ready'
  link = \"20ms\"
  [states]                      of its critical path
  dns = \"0ms\"
  [[exe]]                       the same keys, for the starts of an executable
  match = \"python3*\"            a path or a base name (* and ? allowed)
  ready = \"300ms\"

Exit status: 0 within budget; 3 over; 4 where the trace cannot tell (it is
incomplete, or has no such start); 1 failure, such as an unknown key; 2 usage."
)]
pub struct Options {
    /// The trace: a JSON document, NDJSON, or the spool of a killed recorder; `-` is standard input
    pub file: PathBuf,

    /// The budget, a TOML file
    #[arg(long, value_name = "BUDGET")]
    pub budget: PathBuf,

    /// Markdown, for a comment
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,

    /// JSON
    #[arg(long)]
    pub json: bool,

    /// What becomes of credentials.
    #[command(flatten)]
    pub redaction: RedactArgs,

    /// Colour: 'auto' (on a terminal, unless NO_COLOR is set), 'always' or 'never'
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: ColorWhen,
}

/// Checks, and says what came of it on standard output. A closed pipe is success.
pub fn run(options: &Options) -> Exit {
    let checked = check(options).and_then(|checked| show(&checked, options).map(|()| checked));
    match checked.map(|checked| checked.result) {
        Ok(budget::Result::Ok) => Exit::Success,
        Ok(budget::Result::Over) => Exit::Slower,
        Ok(budget::Result::Unknown) => Exit::TooFew,
        Err(error) => record::fail(&error, Exit::Failure),
    }
}

fn check(options: &Options) -> Result<Checked> {
    let budget = read_budget(&options.budget)?;
    let mut digest = Digest::new(Vec::new());
    digest.add(read::open(&options.file)?.redacted(options.redaction.redactor()?), Side::BASE)?;
    Ok(budget::check(&digest, &budget))
}

fn read_budget(path: &Path) -> Result<Budget> {
    let shown = path.display();
    let file = std::fs::File::open(path).with_context(|| format!("--budget {shown}"))?;
    let mut text = String::new();
    file.take(budget::MAX_FILE + 1).read_to_string(&mut text).with_context(|| format!("--budget {shown}"))?;
    if text.len() as u64 > budget::MAX_FILE {
        return Err(anyhow!("--budget {shown}: a budget of more than 1 MiB is none"));
    }
    // The message has lines: where, and what.
    Budget::parse(&text).map_err(|why| {
        let why: Vec<&str> = why.lines().filter(|line| !line.trim().is_empty()).collect();
        let (what, at) = match why.split_last() {
            Some((last, before)) => (*last, before.first().copied().unwrap_or("")),
            None => ("", ""),
        };
        let at = at.strip_prefix("TOML parse error ").map(|at| format!(" ({at})")).unwrap_or_default();
        anyhow!("--budget {shown}{at}: {what}")
    })
}

fn show(checked: &Checked, options: &Options) -> Result<()> {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = if options.json {
        json::pretty(checked).map_err(io::Error::from).and_then(|text| out.write_all(&text))
    } else if options.markdown {
        budget::markdown(checked, &mut out)
    } else {
        budget::text(checked, &Style::for_stdout(None, options.color), &mut out)
    };
    let done = done.and_then(|()| out.flush());
    // What is left in the buffer must not be written again on drop.
    let (_, _) = out.into_parts();
    printed("the answer", done)
}
