//! `startrace diff`: what became slower between two sides of traces.

use super::export::write_file;
use super::printed::printed;
use super::redaction::RedactArgs;
use super::{Exit, Misuse, record};
use crate::compare::{self, Comparison, Digest, Limit, Map, Outcome, Representative, Side};
use crate::export::ExportError;
use crate::report::{ColorWhen, MAX_WIDTH, MIN_WIDTH, Style};
use crate::sort::SortSmall;
use crate::trace::json;
use crate::trace::read;
use crate::trace::write::OutputTarget;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Options of `startrace diff`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "startrace diff [OPTIONS] BASE NEW\n       startrace diff [OPTIONS] --base FILE... --new FILE...",
    about = "Say what became slower between two traces, or two sets of traces",
    after_help = "Examples:
  startrace diff before.json after.json
  startrace diff --base old-*.json --new new-*.json    several runs: statistics
  startrace diff main/ branch/ --fail-if-slower 10%    folders, for CI
  startrace diff a.json b.json --map /opt/app-1=/opt/app-2
  startrace diff a/ b/ --fail-if-slower 50ms --markdown > comment.md
  startrace diff main/ branch/ --html diff.html        a page for a browser

Starts are the same where executable, arguments (numbers, folders and random
names aside), method and place in the tree are; what is left over is matched by
less, and the change is told. What contributes most to the difference is first.

How sure is it? Samples are compared by the Mann-Whitney test (exact for few of
them) and the Hodges-Lehmann shift with its interval, so outliers do no harm:
the middle one of all differences between a sample of NEW and one of BASE, which
is not the difference of the two medians that stand beside it.
A sample is a run (the median of its starts of a kind) where each side has 4 or
more, else a start. With 1 to 3 samples on a side nothing can be told from
chance: record more runs, or use 'startrace stat'.

Exit status: 0; with --fail-if-slower 3 where the command itself (or what --exe
picks) is slower by more than that, and 4 where there are too few samples to
say; 1 failure, 2 usage."
)]
pub struct Options {
    /// What to compare with: a trace, or a folder of traces
    #[arg(required_unless_present_any = ["bases", "news"], conflicts_with_all = ["bases", "news"],
          requires = "new")]
    pub base: Option<PathBuf>,

    /// What to compare
    pub new: Option<PathBuf>,

    /// Several traces or folders to compare with
    #[arg(long = "base", value_name = "FILE", num_args = 1.., requires = "news")]
    pub bases: Vec<PathBuf>,

    /// Several traces or folders to compare
    #[arg(long = "new", value_name = "FILE", num_args = 1.., requires = "bases")]
    pub news: Vec<PathBuf>,

    /// What becomes of credentials.
    #[command(flatten)]
    pub redaction: RedactArgs,

    /// What is below OLD in BASE is below NEW in NEW: two absolute paths (repeatable)
    #[arg(long = "map", value_name = "OLD=NEW")]
    pub maps: Vec<Map>,

    /// Only this executable: a path or a base name (* and ? allowed; repeatable)
    #[arg(long, value_name = "EXE")]
    pub exe: Vec<String>,

    /// Exit with 3 if slower by more than this: a share or a time, such as 10% or 50ms
    #[arg(long, value_name = "LIMIT")]
    pub fail_if_slower: Option<Limit>,

    /// How often a difference may be seen where there is none [default: 0.05]
    #[arg(long, value_name = "P", default_value = "0.05", hide_default_value = true, value_parser = parse_alpha)]
    pub alpha: f64,

    /// One page for a browser, with the median run of each side drawn beside the other
    #[arg(long, value_name = "FILE")]
    pub html: Option<OsString>,

    /// Markdown, for a comment
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,

    /// JSON, with all numbers
    #[arg(long)]
    pub json: bool,

    /// Leave nothing out for brevity
    #[arg(long, conflicts_with_all = ["json", "markdown"])]
    pub all: bool,

    /// Columns of the output [default: the terminal's, or 80]
    #[arg(long, value_name = "N", value_parser = parse_width)]
    pub width: Option<usize>,

    /// Colour: 'auto' (on a terminal, unless NO_COLOR is set), 'always' or 'never'
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: ColorWhen,
}

fn parse_width(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (MIN_WIDTH..=MAX_WIDTH).contains(&n) => Ok(n),
        _ => Err(format!("a number from {MIN_WIDTH} to {MAX_WIDTH}")),
    }
}

fn parse_alpha(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(p) if p > 0.0 && p <= 0.5 => Ok(p),
        _ => Err("a probability above 0 and up to 0.5, such as 0.05".to_owned()),
    }
}

/// Compares, and says what came of it on standard output. A closed pipe is success.
pub fn run(options: &Options) -> Exit {
    match compare(options)
        .and_then(|comparison| show(&comparison.0, &comparison.1, options).map(|()| comparison.0))
    {
        Ok(comparison) => exit(&comparison),
        Err(error) => record::fail(&error, Exit::Failure),
    }
}

fn exit(comparison: &Comparison) -> Exit {
    match comparison.gate.as_ref().map(|gate| gate.outcome) {
        None | Some(Outcome::Passed) => Exit::Success,
        Some(Outcome::Slower) => Exit::Slower,
        Some(Outcome::TooFew) => Exit::TooFew,
    }
}

/// What is drawn: the run that stands for each side, where the page asks for them.
type Runs = Option<[Representative; 2]>;

fn compare(options: &Options) -> Result<(Comparison, Runs)> {
    let side = |one: &Option<PathBuf>, several: &[PathBuf]| -> Result<Vec<PathBuf>> {
        let given: Vec<&PathBuf> = one.iter().chain(several).collect();
        let mut files = Vec::new();
        for path in given {
            files.extend(traces(path)?);
        }
        Ok(files)
    };
    if options.html.as_ref().is_some_and(|page| page == "-") && (options.json || options.markdown) {
        let why = "--html - and another format cannot both go to standard output: name a FILE";
        return Err(Misuse(why.to_owned()).into());
    }
    let (bases, news) = (side(&options.base, &options.bases)?, side(&options.new, &options.news)?);
    let from_stdin = bases.iter().chain(&news).filter(|path| *path == Path::new("-")).count();
    if from_stdin > 1 {
        return Err(Misuse("standard input ('-') can be one trace only".to_owned()).into());
    }
    let redactor = options.redaction.redactor()?;
    let mut digest = Digest::new(options.maps.clone());
    for (files, side) in [(&bases, Side::BASE), (&news, Side::NEW)] {
        for file in files {
            digest.add(read::open(file)?.redacted(redactor.clone()), side)?;
        }
    }
    let how =
        compare::Options { alpha: options.alpha, only: options.exe.clone(), limit: options.fail_if_slower };
    let comparison = compare::compare(&digest, Side::BASE, Side::NEW, &how);
    let mut runs = Representative::both(&digest, &comparison).filter(|_| options.html.is_some());
    let files: Vec<&PathBuf> = bases.iter().chain(&news).collect();
    let file = |run: &Representative| files.get(run.file()).copied();
    // Only what can be read again is drawn.
    if !runs.iter().flatten().all(|run| file(run).is_some_and(|path| path.is_file())) {
        runs = None;
    }
    for run in runs.iter_mut().flatten() {
        if let Some(path) = file(run) {
            run.take(read::open(path)?.redacted(redactor.clone()))?;
        }
    }
    Ok((comparison, runs))
}

/// The traces that a path means: itself, or those of a folder, by name.
fn traces(path: &Path) -> Result<Vec<PathBuf>> {
    if path == Path::new("-") || !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let shown = path.display();
    let entries = std::fs::read_dir(path).with_context(|| format!("{shown}: cannot be listed"))?;
    let is_trace = |entry: &std::fs::DirEntry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Of the entry itself, not of what a link leads to.
        [".json", ".ndjson", ".json.spool"].iter().any(|end| name.ends_with(end))
            && !name.starts_with('.')
            && entry.file_type().is_ok_and(|kind| kind.is_file())
    };
    let mut files: Vec<PathBuf> = entries.flatten().filter(is_trace).map(|entry| entry.path()).collect();
    if files.is_empty() {
        bail!("{shown}: a folder without traces (*.json, *.ndjson, *.json.spool)");
    }
    files.sort_small_by(Ord::cmp);
    Ok(files)
}

fn show(comparison: &Comparison, runs: &Runs, options: &Options) -> Result<()> {
    if let Some(page) = &options.html {
        write_file(&OutputTarget::from_option(page), "--html", false, &mut |out| {
            compare::html(comparison, runs.as_ref(), out)
                .and_then(|()| out.flush())
                .map_err(ExportError::Write)
        })?;
        if !options.json && !options.markdown {
            return Ok(());
        }
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let done = if options.json {
        json::pretty(comparison).map_err(io::Error::from).and_then(|text| out.write_all(&text))
    } else if options.markdown {
        compare::markdown(comparison, &mut out)
    } else {
        let style = Style::for_stdout(options.width, options.color);
        compare::text(comparison, options.all, &style, &mut out)
    };
    let done = done.and_then(|()| out.flush());
    // What is left in the buffer must not be written again on drop.
    let (_, _) = out.into_parts();
    printed("the comparison", done)
}
