//! `startrace report`: the answer for people.

use super::export::{warn, write_file};
use crate::export::{self, Format, Source};
use crate::report::{self, ColorWhen, Digest, MAX_WIDTH, MIN_WIDTH, Style};
use crate::trace::read;
use crate::trace::write::OutputTarget;
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Options of `startrace report`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    about = "Show a trace: tree of starts, where their time went, the slowest",
    after_help = "Examples:
  startrace report                            the newest trace in this folder
  startrace report startrace-app.json --all | less
  startrace report startrace-app.json --html app.html
  zstdcat old.ndjson.zst | startrace report -"
)]
pub struct Options {
    /// The trace: a JSON document, NDJSON, or the spool of a killed recorder; `-` is standard input
    /// [default: the newest startrace-*.json, .ndjson or .json.spool here]
    pub file: Option<PathBuf>,

    /// Write the report as one page for a browser instead, which needs nothing else; '-' is standard output
    #[arg(long, value_name = "PAGE", conflicts_with_all = ["all", "width"])]
    pub html: Option<OsString>,

    /// Leave nothing out for brevity
    #[arg(long)]
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

/// Shows a trace on standard output. A closed pipe is success.
///
/// # Errors
/// No trace, one that cannot be read, or standard output cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let file = match &options.file {
        Some(file) => file.clone(),
        None => read::newest(Path::new("."))?,
    };
    if let Some(page) = &options.html {
        return write_page(&file, page);
    }
    let style = Style::for_stdout(options.width, options.color);
    show(&file, options.all, &style, io::stdout().lock())
}

/// Writes the page, and says what is missing of the trace.
fn write_page(file: &Path, page: &OsStr) -> Result<()> {
    let mut source = Source::open(file)?;
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
pub fn show(file: &Path, all: bool, style: &Style, out: impl Write) -> Result<()> {
    let digest = Digest::read(read::open(file)?)?;
    let mut out = BufWriter::new(out);
    let done = report::render(&digest, all, style, &mut out).and_then(|()| out.flush());
    // What is left in the buffer must not be written again on drop.
    let (_, _) = out.into_parts();
    forgive_closed_pipe(done).context("cannot write the report")
}

/// The reader of our output has seen enough: that is no failure.
pub(crate) fn forgive_closed_pipe(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        done => done,
    }
}
