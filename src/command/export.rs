//! `startrace export`: a trace in the formats that other tools read.

use super::Misuse;
use super::printed::written;
use super::redaction::RedactArgs;
use crate::export::otlp::{self, Context, Encoding, Endpoint, Patience, Sender};
use crate::export::{self, ExportError, Format, Source};
use crate::host::caller;
use crate::host::owner::Owner;
use crate::stderr::tell;
use crate::trace::read;
use crate::trace::text::shell_path;
use crate::trace::whole::Whole;
use crate::trace::write::OutputTarget;
use crate::words::{count, counted};
use anyhow::{Result, anyhow, bail};
use std::ffi::OsString;
use std::io::{BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Options of `startrace export`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    override_usage = "startrace export [OPTIONS] --to FORMAT [FILE]",
    about = "Turn a trace into another tool's format: a viewer's, a database's, a collector's",
    after_help = "Examples:
  startrace export app.json --to chrome -o app.trace.json    ui.perfetto.dev
  startrace export app.json --to folded | flamegraph.pl --countname ns > app.svg
  startrace export app.json --to csv -o app.csv
  startrace export app.json --to otlp --endpoint http://localhost:4318
  startrace export app.json --to otlp --otlp-format protobuf -o app.otlp.pb
  zstdcat old.ndjson.zst | startrace export - --to perfetto -o old.pftrace"
)]
pub struct Options {
    /// The trace: a JSON document, NDJSON, or the spool of a killed recorder; `-` is standard input
    /// [default: the newest startrace-*.json, .ndjson or .json.spool here]
    pub file: Option<PathBuf>,

    /// Into what
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub to: Format,

    /// Where to; FILE is replaced when the new one is whole [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<OsString>,

    /// otlp: send to this collector (http://HOST[:4318][/v1/traces]) instead of writing a file
    #[arg(long, value_name = "URL", conflicts_with = "output")]
    pub endpoint: Option<Endpoint>,

    /// otlp: a header for the collector, such as 'Authorization: Bearer ...' (repeatable)
    #[arg(long = "header", value_name = "NAME: VALUE", requires = "endpoint",
          value_parser = otlp::parse_header)]
    pub headers: Vec<(String, String)>,

    /// otlp: 'json' (lines, a request each) or 'protobuf' (one message) [default: json]
    #[arg(long, value_enum, value_name = "ENCODING", hide_possible_values = true)]
    pub otlp_format: Option<Encoding>,

    /// otlp: make the starts part of this trace, as in the header 'traceparent'
    #[arg(long, value_name = "00-TRACE-SPAN-01")]
    pub traceparent: Option<Context>,

    /// otlp: with arguments, which are "[redacted]" otherwise since spans leave the machine
    #[arg(long)]
    pub command_lines: bool,

    /// What becomes of credentials.
    #[command(flatten)]
    pub redaction: RedactArgs,
}

/// Exports a trace. A closed pipe is success.
///
/// # Errors
/// No trace, one that cannot be read, or the output cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let file = match &options.file {
        Some(file) => file.clone(),
        None => read::newest(Path::new("."))?,
    };
    if options.to != Format::Otlp {
        let given = [
            ("--endpoint", options.endpoint.is_some()),
            ("--otlp-format", options.otlp_format.is_some()),
            ("--traceparent", options.traceparent.is_some()),
            ("--command-lines", options.command_lines),
        ];
        if let Some((flag, _)) = given.iter().find(|(_, given)| *given) {
            return Err(Misuse(format!("{flag} is for --to otlp only")).into());
        }
    }
    let target = options.output.as_deref().map_or(OutputTarget::Stdout, OutputTarget::from_option);
    let terminal = target == OutputTarget::Stdout && std::io::stdout().is_terminal();
    let encoding = options.otlp_format.unwrap_or_default();
    if terminal && (options.to.is_binary() || encoding == Encoding::Protobuf) {
        return Err(
            Misuse("this format is nothing for a terminal: name a file with -o FILE".to_owned()).into()
        );
    }
    if terminal {
        read::hide_progress();
    }
    let mut source = Source::open(&file)?.redacted(options.redaction.redactor()?);
    let outline = source.outline()?;
    warn(&outline);
    let how =
        export::Options { command_lines: options.command_lines, context: options.traceparent, encoding };
    let mut exporter = options.to.exporter(&how);
    if let Some(endpoint) = &options.endpoint {
        let sender = Sender::new(endpoint.clone(), options.headers.clone(), encoding, Patience::default())
            .map_err(|e| anyhow!("--endpoint {endpoint}: {e}"))?;
        return send(sender, outline.starts(), &mut |out| {
            export::export(&mut source, &outline, &mut *exporter, out)
        });
    }
    write_file(&target, "-o", terminal, &mut |out| {
        export::export(&mut source, &outline, &mut *exporter, out)
    })?;
    if let Some(notice) = exporter.notice() {
        tell!("startrace: {notice}");
    }
    Ok(())
}

/// Sends everything to a collector, and says what became of it.
fn send(
    mut sender: Sender,
    starts: usize,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<()> {
    match write(&mut sender) {
        // The message names the endpoint and says all there is to say.
        Err(ExportError::Write(e)) => return Err(e.into()),
        done => done?,
    }
    if let Some((spans, why)) = sender.rejected() {
        bail!("the collector took the requests, but not {} of their spans: {why}", count(spans));
    }
    let (starts, requests) = (counted(starts as u64, "start"), counted(sender.sent(), "request"));
    tell!("startrace: the collector took {starts} in {requests}");
    Ok(())
}

/// Tells what is missing of a trace: an export has no place for it.
pub(super) fn warn(outline: &export::Outline) {
    if let Some(why) = outline.cut_off() {
        tell!("startrace: the trace is cut off ({why}): what is there is exported");
    } else if outline.session().is_some_and(|session| !session.complete) {
        tell!("startrace: the trace is not complete: 'startrace report' says what is missing");
    }
}

/// Writes a file that is whole or absent, or a stream. A closed pipe is success.
pub(super) fn write_file(
    target: &OutputTarget,
    option: &str,
    terminal: bool,
    write: &mut dyn FnMut(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<()> {
    let owner = caller::resolve(None).map_or_else(|_| Owner::own(), |caller| caller.owner);
    let file = Whole::create(target, option, &owner)?;
    let shown = match target {
        OutputTarget::File(path) => format!("{option} {}", path.display()),
        OutputTarget::Stdout | OutputTarget::Unnamed { .. } => "the export to the standard output".to_owned(),
    };
    let (done, file) = if terminal {
        let mut out = Harmless { out: file, rest: Vec::new() };
        let done = write(&mut out);
        (done, out.out)
    } else {
        let mut out = BufWriter::with_capacity(256 << 10, file);
        let done = write(&mut out);
        // What an error has left in the buffer must not be written again.
        (done, out.into_parts().0)
    };
    match done {
        Ok(()) => {}
        Err(ExportError::Write(e)) => return written(&shown, Err(e)),
        Err(e) => return Err(e.into()),
    }
    if let Some(path) = file.finish().map_err(|e| anyhow!("cannot write {shown}: {e}"))? {
        tell!("startrace: wrote {}", shell_path(&path));
    }
    Ok(())
}

/// For a terminal: nothing that it would obey.
struct Harmless<W: Write> {
    out: W,
    rest: Vec<u8>,
}

impl<W: Write> Write for Harmless<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.rest.extend_from_slice(bytes);
        while let Some(end) = self.rest.iter().position(|&byte| byte == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            let text = String::from_utf8_lossy(line.get(..end).unwrap_or(&[]));
            writeln!(self.out, "{}", crate::trace::text::sanitize(text.trim_end_matches('\r')))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_told_nothing_that_it_obeys() {
        let mut out = Harmless { out: Vec::new(), rest: Vec::new() };
        out.write_all(b"a\x1b[31m\xe2\x80\xae").unwrap();
        out.write_all(b"b\r\nnext\n").unwrap();
        assert_eq!(String::from_utf8(out.out).unwrap(), "a\\x1b[31m\\u{202e}b\nnext\n");
    }
}
