//! Folded stacks: `frame;frame;frame value`, as flamegraph.pl, inferno and speedscope read them.
//!
//! The frames are the way through the tree of starts, the phase, and where the trace has it the state on
//! the critical path (below the name of the start that was in it, if that is another one), or else what the
//! main thread waited for. The value is wall-clock time in nanoseconds. Each start has its own time: while a parent waits for its child, both count.

use super::{Exporter, Outline, stack};
use crate::trace::schema::Start;
use crate::words::label::harmless;
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Different stacks that are added up in memory before they are written.
const MAX_STACKS: usize = 1 << 16;
/// Longest name of a frame that is not a start.
const MAX_NAME: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Folded {
    sums: BTreeMap<String, u64>,
}

impl Folded {
    fn write_out(&mut self, out: &mut dyn Write) -> io::Result<()> {
        for (stack, value) in std::mem::take(&mut self.sums) {
            writeln!(out, "{stack} {value}")?;
        }
        Ok(())
    }
}

/// A frame must not hold what separates frames, nor be empty.
pub(super) fn push(stack: &mut String, frame: &str) {
    if !stack.is_empty() {
        stack.push(';');
    }
    if frame.trim().is_empty() {
        stack.push('?');
    }
    stack.extend(frame.chars().map(|c| if c == ';' { ',' } else { c }));
}

impl Exporter for Folded {
    fn begin(&mut self, _trace: &Outline, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }

    fn start(&mut self, trace: &Outline, row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let mut path = String::new();
        for frame in stack::path(trace, row) {
            push(&mut path, frame);
        }
        for leaf in stack::leaves(trace, start) {
            let mut stack = path.clone();
            for frame in leaf.frames() {
                push(&mut stack, &harmless(frame, MAX_NAME));
            }
            let sum = self.sums.entry(stack).or_default();
            *sum = sum.saturating_add(leaf.duration_ns);
        }
        if self.sums.len() >= MAX_STACKS {
            self.write_out(out)?;
        }
        Ok(())
    }

    fn end(&mut self, _trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        self.write_out(out)
    }
}
