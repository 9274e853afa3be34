//! Folded stacks of what ran, as `--profile` sampled it: `start;phase;frame;frame value`, the value being
//! the CPU time that the samples stand for, in nanoseconds.

use super::folded::push;
use super::{Exporter, Outline, stack};
use crate::trace::schema::Start;
use crate::words::label::harmless;
use std::io::{self, Write};

/// Longest name of a function.
const MAX_NAME: usize = 500;
/// Frames of one stack; a recording makes no more.
const MAX_FRAMES: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Profile {
    /// A start had samples.
    any: bool,
}

impl Exporter for Profile {
    fn begin(&mut self, _trace: &Outline, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn start(&mut self, trace: &Outline, row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let Some(profile) = &start.timeline.profile else { return Ok(()) };
        self.any = true;
        let mut path = String::new();
        for frame in stack::path(trace, row) {
            push(&mut path, frame);
        }
        for stack in &profile.stacks {
            let mut line = path.clone();
            push(&mut line, &harmless(&stack.phase, MAX_NAME));
            for frame in stack.frames.iter().take(MAX_FRAMES) {
                push(&mut line, &harmless(frame, MAX_NAME));
            }
            writeln!(out, "{line} {}", stack.samples.saturating_mul(profile.period_ns))?;
        }
        if profile.stacks_left_out > 0 {
            push(&mut path, "(other stacks)");
            writeln!(out, "{path} {}", profile.stacks_left_out.saturating_mul(profile.period_ns))?;
        }
        Ok(())
    }

    fn end(&mut self, _trace: &Outline, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn notice(&self) -> Option<&'static str> {
        (!self.any).then_some(
            "no start of this trace was sampled, so the export is empty: record with --profile 997 (--to folded has wall time)",
        )
    }
}
