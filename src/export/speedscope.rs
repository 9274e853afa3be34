//! speedscope's own file format: all starts as one weighted flame graph, and each of the slowest as a
//! profile of its own, in order of time. (Chrome's format is read by speedscope too, but adds nothing up.)

use super::json::{List, write};
use super::{Exporter, Outline, stack};
use crate::hash::HashSet;
use crate::trace::schema::Start;
use crate::words::intern::{Interner, Sym};
use crate::words::label::{self, harmless};
use serde_json::json;
use std::io::{self, Write};

/// Starts with a profile of their own: what a person might pick from a list.
const MAX_PROFILES: usize = 200;
/// Longest name of a frame that is not a start.
const MAX_NAME: usize = 200;

#[derive(Debug, Default)]
pub(super) struct Speedscope {
    profiles: List,
    frames: Interner,
    count: usize,
    own: HashSet<u32>,
    stacks: Vec<Vec<usize>>,
    weights: Vec<u64>,
}

impl Speedscope {
    fn frame(&mut self, name: &str) -> usize {
        let sym: Sym = self.frames.add(name);
        self.count = self.count.max(sym.number() + 1);
        sym.number()
    }

    /// A start alone: itself, and its phases below it.
    fn profile(&mut self, trace: &Outline, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let label = label::of_start(start);
        let whole = self.frame(&label);
        let end = start.timeline.duration_ns;
        let mut events = vec![json!({"type": "O", "frame": whole, "at": 0})];
        let mut at = 0;
        for leaf in stack::leaves(trace, start) {
            // speedscope refuses a time that goes back, and what a frame does not close inside its own.
            let begin = leaf.at_ns.clamp(at, end);
            at = leaf.at_ns.saturating_add(leaf.duration_ns).clamp(begin, end);
            let frames: Vec<usize> =
                leaf.frames().map(|name| self.frame(&harmless(name, MAX_NAME))).collect();
            events.extend(frames.iter().map(|frame| json!({"type": "O", "frame": frame, "at": begin})));
            events.extend(frames.iter().rev().map(|frame| json!({"type": "C", "frame": frame, "at": at})));
        }
        events.push(json!({"type": "C", "frame": whole, "at": end}));
        let name = format!("{label} ({}, pid {})", harmless(&start.method.name, MAX_NAME), start.pid);
        let profile = json!({"type": "evented", "name": name, "unit": "nanoseconds", "startValue": 0,
            "endValue": end, "events": events});
        self.profiles.push(&profile, out)
    }
}

impl Exporter for Speedscope {
    fn begin(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        let mut rows: Vec<(u64, u32)> = trace.digest.rows.iter().map(|row| row.duration).zip(0..).collect();
        if rows.len() > MAX_PROFILES {
            rows.select_nth_unstable_by_key(MAX_PROFILES, |&(duration, row)| {
                (std::cmp::Reverse(duration), row)
            });
            rows.truncate(MAX_PROFILES);
        }
        self.own = rows.into_iter().map(|(_, row)| row).collect();
        out.write_all(b"{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\",\"profiles\":[")
    }

    fn start(&mut self, trace: &Outline, row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let path: Vec<usize> = stack::path(trace, row).into_iter().map(|name| self.frame(name)).collect();
        for leaf in stack::leaves(trace, start) {
            let mut stack = path.clone();
            for name in leaf.frames() {
                stack.push(self.frame(&harmless(name, MAX_NAME)));
            }
            // Equal neighbours are frequent: a tree is told child by child.
            match (self.stacks.last(), self.weights.last_mut()) {
                (Some(last), Some(weight)) if *last == stack => {
                    *weight = weight.saturating_add(leaf.duration_ns)
                }
                _ => {
                    self.stacks.push(stack);
                    self.weights.push(leaf.duration_ns);
                }
            }
        }
        if self.own.contains(&row) {
            self.profile(trace, start, out)?;
        }
        Ok(())
    }

    fn end(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        let sum = self.weights.iter().copied().fold(0, u64::saturating_add);
        let all = json!({"type": "sampled", "name": format!("all {} starts", trace.starts()),
            "unit": "nanoseconds", "startValue": 0, "endValue": sum, "samples": self.stacks,
            "weights": self.weights});
        self.profiles.push(&all, out)?;
        write!(out, "],\"activeProfileIndex\":{},\"shared\":{{\"frames\":[", self.own.len())?;
        let mut frames = List::default();
        for number in 0..self.count {
            frames.push(&json!({"name": self.frames.get(Sym::from_number(number))}), out)?;
        }
        out.write_all(b"]},\"name\":")?;
        write(&json!(trace.header().host.hostname), out)?;
        out.write_all(b",\"exporter\":")?;
        write(&json!(format!("startrace {}", env!("CARGO_PKG_VERSION"))), out)?;
        out.write_all(b"}\n")
    }
}
