//! A trace again, as NDJSON: each start on one line with the exit and the method that came later in the
//! recording, so that a line is all there is to know of it. Every reading command takes it.

use super::{Exporter, Outline};
use crate::trace::json;
use crate::trace::schema::{FailedFork, Line, Session, Start};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Debug)]
pub(super) struct Ndjson;

/// As [`Line`] writes them, but borrowed.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Borrowed<'a> {
    Start(&'a Start),
    FailedFork(&'a FailedFork),
}

fn line(value: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    // At once: the parts that serde makes of it are tiny.
    let mut text = json::text(value)?;
    text.push(b'\n');
    out.write_all(&text)
}

impl Exporter for Ndjson {
    fn begin(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        line(&Line::Header(trace.header().clone()), out)
    }

    fn start(&mut self, _trace: &Outline, _row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        line(&Borrowed::Start(start), out)
    }

    fn failed_fork(&mut self, failed: &FailedFork, out: &mut dyn Write) -> io::Result<()> {
        line(&Borrowed::FailedFork(failed), out)
    }

    fn end(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        // Without one, as in the spool of a killed recorder, there is nothing to say at the end.
        let Some(session) = trace.session() else { return Ok(()) };
        let session = Session { ..session.clone() };
        let (groups, diagnosis) = (trace.groups().to_vec(), trace.diagnosis().clone());
        line(&Line::Footer { groups, diagnosis, session }, out)
    }
}
