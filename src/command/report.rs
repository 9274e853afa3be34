//! `startrace report`: the answer for people.

use super::Misuse;
use super::export::{warn, write_file};
use super::printed::{printed, written};
use super::redaction::RedactArgs;
use crate::diagnose::{self, Thresholds};
use crate::export::{self, Format, Source};
use crate::help;
use crate::redact::Redactor;
use crate::report::{self, ColorWhen, Digest, MAX_WIDTH, MIN_WIDTH, Missed, Pick, Style, View};
use crate::stderr::tell;
use crate::trace::read;
use crate::trace::write::OutputTarget;
use crate::words::parse_time;
use anyhow::{Context, Result, anyhow};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// Options of `startrace report`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    about = "Show a trace: the verdict, what would help, the tree of starts, the slowest",
    after_help = "Examples:
  startrace report                            the newest trace in this folder
  startrace report startrace-app.json --all | less
  startrace report app.json --exe 'python3*' --slower-than 100ms
  startrace report app.json --starts 4242     that one and all below it
  startrace report app.json --json | jq '.findings[0]'
  startrace report startrace-app.json --html app.html
  startrace report --explain wrapper-chain    the page on a finding
  zstdcat old.ndjson.zst | startrace report -

What would help: the wall time that a finding costs on the critical path of the
whole, the dearest first. Findings that share time with each other must not be
added up. 'calculated' prices follow from other times of the same trace.

Exit status: 0; 1 where --starts, --exe, --method and --slower-than pick nothing
of the trace (--json says so, too), and for any other failure; 2 usage, such as
a --method that there is not."
)]
pub struct Options {
    /// The trace: a JSON document, NDJSON, or the spool of a killed recorder; `-` is standard input
    /// [default: the newest startrace-*.json, .ndjson or .json.spool here]
    pub file: Option<PathBuf>,

    /// Write the report as one page for a browser instead, which needs nothing else; '-' is standard output
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["all", "width"])]
    pub html: Option<OsString>,

    /// Write what the report says as JSON for machines instead
    #[arg(long, conflicts_with_all = ["html", "width", "color"])]
    pub json: bool,

    /// Leave nothing out for brevity
    #[arg(long)]
    pub all: bool,

    /// So many findings, lines of the tree and slowest starts
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub top: Option<u32>,

    /// Only these starts (a start_id, an id, or a pid), and all below them
    #[arg(long, value_name = "ID", value_delimiter = ',', conflicts_with = "html", help_heading = WHICH)]
    pub starts: Vec<String>,

    /// Only starts of this executable: a path or a base name (* and ? allowed)
    #[arg(long, value_name = "EXE", conflicts_with = "html", help_heading = WHICH)]
    pub exe: Vec<String>,

    /// Only starts by this method (* and ? allowed)
    #[arg(long, value_name = "METHOD", conflicts_with = "html", help_heading = WHICH)]
    pub method: Vec<String>,

    /// Only starts that took longer
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true, conflicts_with = "html",
          help_heading = WHICH)]
    pub slower_than: Option<Duration>,

    /// Show the page on a finding, such as 'path-walk', or on 'all' of them, and no trace
    #[arg(long, value_name = "FINDING", conflicts_with = "html")]
    pub explain: Option<String>,

    /// Look for findings anew, with the thresholds in this file (TOML)
    #[arg(long, value_name = "FILE", conflicts_with = "html")]
    pub thresholds: Option<PathBuf>,

    /// Show the usual thresholds, as such a file, and no trace
    #[arg(long, conflicts_with_all = ["html", "explain"])]
    pub print_thresholds: bool,

    /// What becomes of credentials.
    #[command(flatten)]
    pub redaction: RedactArgs,

    /// Columns of the output [default: the terminal's, or 80]
    #[arg(long, value_name = "N", value_parser = parse_width)]
    pub width: Option<usize>,

    /// Colour: 'auto' (on a terminal, unless NO_COLOR is set), 'always' or 'never'
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: ColorWhen,
}

const WHICH: &str = "Which starts";

fn parse_width(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n) if (MIN_WIDTH..=MAX_WIDTH).contains(&n) => Ok(n),
        _ => Err(format!("a number from {MIN_WIDTH} to {MAX_WIDTH}")),
    }
}

/// Shows a trace on standard output. A closed pipe is success.
///
/// # Errors
/// No trace, one that cannot be read, or standard output cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let out = || BufWriter::new(io::stdout().lock());
    if options.print_thresholds {
        return finish(out(), |out| out.write_all(Thresholds::default().to_toml().as_bytes()));
    }
    if let Some(id) = &options.explain {
        let style = Style::for_stdout(options.width, options.color);
        if id != "all" && diagnose::page(id).is_none() {
            let known: Vec<&str> = diagnose::pages().map(|(id, _)| id).collect();
            let like = help::names::like(Some("findings"), id);
            let like =
                if like.is_empty() { String::new() } else { format!("; did you mean {}?", like.join(", ")) };
            return Err(Misuse(format!(
                "--explain {id}: there is no such finding{like}; there are: {}",
                known.join(", ")
            ))
            .into());
        }
        return finish(out(), |out| help::names::explain(id, &style, out).map(drop));
    }
    let thresholds = options.thresholds.as_deref().map(read_thresholds).transpose()?;
    let file = match &options.file {
        Some(file) => file.clone(),
        None => read::newest(Path::new("."))?,
    };
    let redactor = options.redaction.redactor()?;
    if let Some(page) = &options.html {
        return write_page(&file, page, redactor);
    }
    let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let pick = Pick {
        starts: options.starts.clone(),
        exes: options.exe.clone(),
        methods: options.method.clone(),
        slower_than_ns: options.slower_than.map(nanoseconds),
    };
    let digest = Digest::pick(read::open(&file)?.redacted(redactor), thresholds, &pick)?;
    let view = View { all: options.all, top: options.top.map(|n| n as usize) };
    let missed = digest.missed();
    if let Some(why) = missed.and_then(Missed::no_method) {
        return Err(Misuse(why).into());
    }
    let nothing = missed.filter(|_| digest.picks_nothing()).map(Missed::nothing);
    if options.json {
        finish(out(), |out| report::write_json(&digest, view, out))?;
    }
    if let Some(nothing) = nothing {
        return Err(anyhow!("{}: {nothing}", shown(&file)));
    }
    if let Some(missed) = missed.and_then(Missed::said) {
        tell!("startrace: nothing matches {missed}");
    }
    if options.json {
        return Ok(());
    }
    let style = Style::for_stdout(options.width, options.color);
    finish(out(), |out| report::render_view(&digest, view, &style, out))
}

fn shown(file: &Path) -> String {
    if file == Path::new("-") { "standard input".to_owned() } else { file.display().to_string() }
}

/// Most of a file of thresholds that is read; the usual ones have 5 KB.
const MAX_THRESHOLDS: u64 = 2 << 20;

fn read_thresholds(path: &Path) -> Result<Thresholds> {
    let shown = || format!("--thresholds {}", path.display());
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MAX_THRESHOLDS).read_to_string(&mut text))
        .with_context(shown)?;
    Thresholds::parse(&text).map_err(|why| anyhow!("{}: {why}", shown()))
}

/// On standard output. A closed pipe is success.
fn finish(out: BufWriter<impl Write>, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    printed("the report", flushed(out, write))
}

fn flushed<W: Write>(
    mut out: BufWriter<W>,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let done = write(&mut out).and_then(|()| out.flush());
    // What is left in the buffer must not be written again on drop.
    let (_, _) = out.into_parts();
    done
}

/// Writes the page, and says what is missing of the trace.
fn write_page(file: &Path, page: &OsStr, redactor: Option<Rc<Redactor>>) -> Result<()> {
    let mut source = Source::open(file)?.redacted(redactor);
    let outline = source.outline()?;
    warn(&outline);
    let mut exporter = Format::Html.exporter(&export::Options::default());
    write_file(&OutputTarget::from_option(page), "--html", false, &mut |out| {
        export::export(&mut source, &outline, &mut *exporter, out)
    })
}

/// Reads a trace file and writes its report, as `record` does when it ends. A closed pipe is success.
///
/// # Errors
/// The trace cannot be read, or `out` cannot be written.
pub fn show(file: &Path, redactor: Option<Rc<Redactor>>, style: &Style, out: impl Write) -> Result<()> {
    let digest = Digest::read(read::open(file)?.redacted(redactor))?;
    written("the report", flushed(BufWriter::new(out), |out| report::render(&digest, false, style, out)))
}
