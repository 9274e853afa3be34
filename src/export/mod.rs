//! A trace in the formats that people use already: one small file each, behind one trait.
//!
//! A trace is read twice. The first reading makes an [`Outline`]: who is whose parent, what amends which
//! start, and a few hundred bytes more a start. The second hands over the starts one at a time, whole and
//! amended. So memory is bounded by the number of starts and not by the file, which may be larger than
//! memory. Everything that comes from the file is hostile and is escaped as the format asks.

mod chrome;
mod csv;
mod folded;
mod html;
mod imports;
mod json;
mod ndjson;
pub mod otlp;
mod outline;
mod perfetto;
mod profile;
mod protobuf;
mod runtime;
mod speedscope;
mod stack;
mod tracks;

pub use outline::{ExportError, Outline, Source};

use crate::trace::schema::{FailedFork, Start};
use std::io::{self, Write};

/// What a trace can be exported to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Trace Event JSON, for chrome://tracing, Perfetto and speedscope
    Chrome,
    /// Perfetto's own format, for ui.perfetto.dev and trace_processor
    Perfetto,
    /// Stacks for flame graphs: where in the tree; phase; wait
    Folded,
    /// Stacks for flame graphs: what ran on the CPUs, of traces recorded with --profile
    Profile,
    /// speedscope's own format: all starts added up, and the slowest one by one
    Speedscope,
    /// OpenTelemetry: spans as JSON lines, or straight to a collector with --endpoint
    Otlp,
    /// A table for spreadsheets and databases: a row for each start
    Csv,
    /// A trace again: a line for each start, whole, for databases and jq
    Ndjson,
    /// One page for a browser, that needs nothing else: as 'startrace report --html'
    Html,
}

impl Format {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Chrome,
        Self::Perfetto,
        Self::Folded,
        Self::Profile,
        Self::Speedscope,
        Self::Otlp,
        Self::Csv,
        Self::Ndjson,
        Self::Html,
    ];

    /// Nothing that a terminal could show.
    pub fn is_binary(self) -> bool {
        self == Self::Perfetto
    }

    /// What writes it.
    pub fn exporter(self, options: &Options) -> Box<dyn Exporter> {
        match self {
            Self::Chrome => Box::<chrome::Chrome>::default(),
            Self::Perfetto => Box::<perfetto::Perfetto>::default(),
            Self::Speedscope => Box::<speedscope::Speedscope>::default(),
            Self::Folded => Box::<folded::Folded>::default(),
            Self::Profile => Box::<profile::Profile>::default(),
            Self::Otlp => Box::new(otlp::Otlp::new(options)),
            Self::Csv => Box::new(csv::Csv),
            Self::Ndjson => Box::new(ndjson::Ndjson),
            Self::Html => Box::<html::Html>::default(),
        }
    }
}

/// How to export.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Keep arguments where a format leaves them out by default, as it is made to be sent elsewhere.
    pub command_lines: bool,
    /// The trace and span that starts without a parent belong to.
    pub context: Option<otlp::Context>,
    /// How OTLP is written.
    pub encoding: otlp::Encoding,
}

/// One format. The methods are called in this order: `begin` once, `start` and `failed_fork` as they
/// come in the file, `end` once.
pub trait Exporter {
    /// What comes first.
    ///
    /// # Errors
    /// `out` cannot be written; likewise below.
    fn begin(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()>;

    /// A start; `row` is its number in the file, from 0, as the outline counts it.
    ///
    /// # Errors
    /// See [`Self::begin`].
    fn start(&mut self, trace: &Outline, row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()>;

    /// A fork that failed; most formats have no place for it.
    ///
    /// # Errors
    /// See [`Self::begin`].
    fn failed_fork(&mut self, _failed: &FailedFork, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    /// What comes last.
    ///
    /// # Errors
    /// See [`Self::begin`].
    fn end(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()>;

    /// After the end: what a person should know of it, such as why there is nothing in it.
    fn notice(&self) -> Option<&'static str> {
        None
    }
}

/// Writes a trace out in one format.
///
/// # Errors
/// The trace cannot be read, or `out` cannot be written.
pub fn export(
    source: &mut Source,
    outline: &Outline,
    exporter: &mut dyn Exporter,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    exporter.begin(outline, out).map_err(ExportError::Write)?;
    source.each(outline, &mut |item| match item {
        outline::Whole::Start(row, start) => exporter.start(outline, row, start, out),
        outline::Whole::FailedFork(failed) => exporter.failed_fork(failed, out),
    })?;
    exporter.end(outline, out).and_then(|()| out.flush()).map_err(ExportError::Write)
}
