//! `startrace schema`: the JSON Schema of a trace.

use crate::trace::json_schema;
use anyhow::Result;
use std::io::{self, Write};

/// Options of `startrace schema`.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(
    about = "Print the JSON Schema of a trace",
    after_help = "Examples:
  startrace schema > startrace.schema.json
  startrace schema --ndjson | jq '.oneOf | length'"
)]
pub struct Options {
    /// The schema of one line of an NDJSON trace, not of the JSON document
    #[arg(long)]
    pub ndjson: bool,
}

/// Prints the schema on standard output. A closed pipe is success.
///
/// # Errors
/// Standard output cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let schema = if options.ndjson { json_schema::line() } else { json_schema::document() };
    let mut out = io::stdout().lock();
    super::printed::printed("the schema", out.write_all(schema.as_bytes()).and_then(|()| out.flush()))
}
