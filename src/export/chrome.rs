//! Trace Event JSON: chrome://tracing, ui.perfetto.dev, speedscope (which takes a file whose name ends in
//! `.chrome.json` for something else).
//!
//! A process for each process, a slice for each start with its phases inside, a lane with the states of
//! its critical path (or its main thread's waits), instants for milestones,
//! arrows from parent to child and from whoever asked a fork server, and a counter of starts under way.
//! Times are microseconds (with nanoseconds behind the point) from the trace's first origin.

use super::imports::{self, Step};
use super::json::{List, compact, write};
use super::stack::{lane_name, stretches};
use super::tracks::{Processes, under_way};
use super::{Exporter, Outline};
use crate::report::label;
use crate::trace::schema::Start;
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Threads of a process with this number and more are no threads, but its second lane.
const LANES: u64 = 1 << 32;

#[derive(Debug, Default)]
pub(super) struct Chrome {
    list: List,
    processes: Processes,
    begin: u64,
}

/// One end of a slice. Most of a trace is these: they are written as they are, without a [`Value`] in between.
#[derive(Debug, Serialize)]
struct Edge<'a> {
    ph: &'a str,
    cat: &'a str,
    name: &'a str,
    pid: u32,
    tid: u64,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<Value>,
}

impl Chrome {
    /// Microseconds since the trace's begin.
    fn time(&self, boottime: u64) -> f64 {
        boottime.saturating_sub(self.begin) as f64 / 1e3
    }

    /// A slice, as its begin and its end. Not as one event with a length: times have fractions here, and
    /// the sum of begin and length is not always the next one's begin, so that viewers see overlaps.
    fn slice<'a>(
        &self,
        track: (u32, u64),
        category: &'a str,
        name: &'a str,
        span: (u64, u64),
        args: Value,
    ) -> [Edge<'a>; 2] {
        let (pid, tid) = track;
        let (at, length) = span;
        let begin = Edge { ph: "B", cat: category, name, pid, tid, ts: self.time(at), args: None };
        // Viewers join the arguments of both ends; speedscope makes those of the begin a part of the name.
        let args = Some(args).filter(|args| args.as_object().is_some_and(|args| !args.is_empty()));
        let end =
            Edge { ph: "E", ts: self.time(at.saturating_add(length)), args, cat: category, name, pid, tid };
        [begin, end]
    }

    fn push_all(&mut self, events: &[Edge<'_>], out: &mut dyn Write) -> io::Result<()> {
        events.iter().try_for_each(|event| self.list.push(event, out))
    }

    fn name(&mut self, track: u32, name: &str, out: &mut dyn Write) -> io::Result<()> {
        for (kind, name) in [("process_name", name), ("thread_name", "start")] {
            let event = json!({"ph": "M", "name": kind, "pid": track, "tid": track, "args": {"name": name}});
            self.list.push(&event, out)?;
        }
        Ok(())
    }
}

impl Chrome {
    /// The second lane: the critical path by state, or the main thread's waits, where the trace has them.
    fn lane(&mut self, track: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let stretches = stretches(start);
        if stretches.is_empty() {
            return Ok(());
        }
        let lane = LANES + u64::from(track);
        let name = json!({"ph": "M", "name": "thread_name", "pid": track, "tid": lane,
            "args": {"name": lane_name(start)}});
        self.list.push(&name, out)?;
        let origin = start.timeline.origin_boottime_ns;
        for stretch in stretches {
            let span = (origin.saturating_add(stretch.at_ns), stretch.end_ns.saturating_sub(stretch.at_ns));
            let args = match (stretch.detail, stretch.elsewhere) {
                (None, None) => Value::Null,
                (detail, elsewhere) => compact(json!({"detail": detail, "in": elsewhere})),
            };
            let events = self.slice((track, lane), "state", stretch.state, span, args);
            self.push_all(&events, out)?;
        }
        Ok(())
    }
}

impl Chrome {
    /// A lane of what was imported, where the trace has that.
    fn imports(&mut self, track: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let steps = imports::steps(start);
        if steps.is_empty() {
            return Ok(());
        }
        let lane = 2 * LANES + u64::from(track);
        let name = json!({"ph": "M", "name": "thread_name", "pid": track, "tid": lane,
            "args": {"name": imports::LANE}});
        self.list.push(&name, out)?;
        for step in steps {
            let (ph, at, import) = match step {
                Step::Begin(at, import) => ("B", at, import),
                Step::End(at, import) => ("E", at, import),
            };
            let mut event = json!({"ph": ph, "cat": "import", "name": imports::name(import), "pid": track,
                "tid": lane, "ts": self.time(start.timeline.origin_boottime_ns.saturating_add(at))});
            if ph == "E" {
                event["args"] = compact(json!({"own_ns": import.own_ns, "found": import.found}));
            }
            self.list.push(&event, out)?;
        }
        Ok(())
    }
}

impl Exporter for Chrome {
    fn begin(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        self.begin = trace.digest.window().0;
        self.processes = Processes::new(trace);
        let host = &trace.header().host;
        out.write_all(b"{\"displayTimeUnit\":\"ms\",\"otherData\":")?;
        let other = json!({"producer": format!("{} {}", trace.header().tool.name, trace.header().tool.version),
            "hostname": host.hostname, "kernel": host.kernel, "arch": host.arch, "cpus": host.cpus,
            "origin_boottime_ns": self.begin});
        write(&other, out)?;
        out.write_all(b",\"traceEvents\":[")?;
        let outside: Vec<(u32, String)> =
            self.processes.outside(trace).map(|(number, _, comm)| (number, comm.to_owned())).collect();
        for (number, comm) in outside {
            self.name(number, &comm, out)?;
        }
        for (at, n) in under_way(trace) {
            let event = json!({"ph": "C", "name": "starts under way", "pid": 0, "tid": 0, "ts": self.time(at),
                "args": {"starts": n}});
            self.list.push(&event, out)?;
        }
        Ok(())
    }

    fn start(&mut self, trace: &Outline, row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let label = label::of_start(start);
        let track = self.processes.of(row);
        let origin = start.timeline.origin_boottime_ns;
        self.name(track, &label, out)?;
        let own = (track, u64::from(track));
        let [begin, end] =
            self.slice(own, "start", &label, (origin, start.timeline.duration_ns), facts(start));
        self.list.push(&begin, out)?;
        for phase in &start.timeline.phases {
            let exec = phase.exec.and_then(|i| start.execs.get(i as usize));
            let path = exec.and_then(|exec| exec.path.as_deref());
            let args = path.map_or(Value::Null, |path| compact(json!({"exec": path})));
            let span = (origin.saturating_add(phase.at_ns), phase.duration_ns);
            let events = self.slice(own, "phase", &phase.name, span, args);
            self.push_all(&events, out)?;
        }
        self.list.push(&end, out)?;
        for milestone in &start.timeline.milestones {
            let args = json!({"detail": milestone.detail, "inferred": milestone.inferred});
            let event = json!({"ph": "i", "s": "t", "cat": "milestone", "name": milestone.name, "pid": track,
                "tid": track, "ts": self.time(origin.saturating_add(milestone.at_ns)), "args": compact(args)});
            self.list.push(&event, out)?;
        }
        self.lane(track, start, out)?;
        self.imports(track, start, out)?;
        if let Some(parent) = self.processes.parent(trace, row).filter(|&parent| parent != track) {
            // An arrow needs slices at both ends: the parent's is a moment, as what else it did is not known.
            let moment = json!({"ph": "X", "cat": "fork", "name": format!("starts {label}"), "pid": parent,
                "tid": parent, "ts": self.time(origin), "dur": 0});
            self.list.push(&moment, out)?;
            for (ph, pid) in [("s", parent), ("f", track)] {
                let mut event = json!({"ph": ph, "cat": "fork", "name": "starts", "id": row, "pid": pid, "tid": pid,
                    "ts": self.time(origin)});
                if ph == "f" {
                    event["bp"] = "e".into();
                }
                self.list.push(&event, out)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, _trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"\n]}\n")
    }
}

/// What a click on a start shows.
fn facts(start: &Start) -> Value {
    let timeline = &start.timeline;
    compact(json!({
        "start_id": start.start_id,
        "pid": start.pid,
        "comm": start.comm,
        "exe": start.exe,
        "argv": start.argv,
        "method": start.method.name,
        "confidence": start.method.confidence,
        "evidence": start.method.evidence,
        "parent": start.parent.as_ref().map(|parent| parent.pid),
        "requested_by": start.requested_by.as_ref().map(|by| by.pid),
        "ready": timeline.ready.kind,
        "started_at": timeline.started_at,
        "uid": start.uid,
        "unit": start.unit,
        "cgroup": start.cgroup,
        "container": start.container.as_ref().map(|container| &container.id),
        "runtime": start.binary.as_ref().and_then(|binary| binary.runtime.as_deref()),
        "exit_code": start.exit.as_ref().and_then(|exit| exit.code),
        "exit_signal": start.exit.as_ref().and_then(|exit| exit.signal.as_deref()),
        "failed_execs": start.execs.iter().filter(|exec| exec.error.is_some()).count(),
    }))
}
