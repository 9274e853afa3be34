//! Trace Event JSON: chrome://tracing, ui.perfetto.dev, speedscope (which takes a file whose name ends in
//! `.chrome.json` for something else).
//!
//! A process for each process, a slice for each start with its phases inside, a lane with the states of
//! its critical path (or its main thread's waits), instants for milestones,
//! arrows from parent to child and from whoever asked a fork server, and a counter of starts under way.
//! Times are microseconds (with nanoseconds behind the point) from the trace's first origin.

use super::imports::{self, Step};
use super::json::{List, compact, write};
use super::runtime;
use super::stack::{lane_name, stretches};
use super::tracks::{Processes, under_way};
use super::{Exporter, Outline};
use crate::trace::schema::{Confidence, RuntimeThreads, Start};
use crate::words::label;
use serde::Serialize;
use serde_json::json;
use std::io::{self, Write};

/// Threads of a process with this number and more are no threads, but its second lane.
const LANES: u64 = 1 << 32;

#[derive(Debug, Default)]
pub(super) struct Chrome {
    list: List,
    processes: Processes,
    begin: u64,
}

/// One end of a slice. Most of a trace is these and the events below: they are written as they are, without a
/// [`serde_json::Value`] in between. Fields that are not those of all events are in the order of the alphabet.
#[derive(Debug, Serialize)]
struct Edge<'a, A> {
    ph: &'a str,
    cat: &'a str,
    name: &'a str,
    pid: u32,
    tid: u64,
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<A>,
}

/// The name of a process or of a lane.
#[derive(Serialize)]
struct Name<'a> {
    args: Named<'a>,
    name: &'a str,
    ph: &'a str,
    pid: u32,
    tid: u64,
}

#[derive(Serialize)]
struct Named<'a> {
    name: &'a str,
}

impl<'a> Name<'a> {
    fn new(kind: &'a str, pid: u32, tid: u64, name: &'a str) -> Self {
        Self { args: Named { name }, name: kind, ph: "M", pid, tid }
    }
}

/// How many starts there are from a moment on.
#[derive(Serialize)]
struct Counter {
    args: Starts,
    name: &'static str,
    ph: &'static str,
    pid: u32,
    tid: u32,
    ts: f64,
}

#[derive(Serialize)]
struct Starts {
    starts: u32,
}

/// A moment on a track.
#[derive(Serialize)]
struct Instant<'a> {
    args: Moment<'a>,
    cat: &'a str,
    name: &'a str,
    ph: &'a str,
    pid: u32,
    s: &'a str,
    tid: u32,
    ts: f64,
}

#[derive(Serialize)]
struct Moment<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    inferred: bool,
}

/// A slice without any length.
#[derive(Serialize)]
struct Empty<'a> {
    cat: &'a str,
    dur: u32,
    name: &'a str,
    ph: &'a str,
    pid: u32,
    tid: u32,
    ts: f64,
}

/// One end of an arrow.
#[derive(Serialize)]
struct Arrow<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    bp: Option<&'a str>,
    cat: &'a str,
    id: u32,
    name: &'a str,
    ph: &'a str,
    pid: u32,
    tid: u32,
    ts: f64,
}

/// What a piece of a lane says.
#[derive(Serialize)]
struct Within<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a str>,
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    elsewhere: Option<&'a str>,
}

#[derive(Serialize)]
struct Image<'a> {
    exec: &'a str,
}

fn some(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

impl Chrome {
    /// Microseconds since the trace's begin.
    fn time(&self, boottime: u64) -> f64 {
        boottime.saturating_sub(self.begin) as f64 / 1e3
    }

    /// A slice, as its begin and its end. Not as one event with a length: times have fractions here, and
    /// the sum of begin and length is not always the next one's begin, so that viewers see overlaps.
    fn slice<'a, A: Serialize>(
        &self,
        track: (u32, u64),
        category: &'a str,
        name: &'a str,
        span: (u64, u64),
        args: Option<A>,
    ) -> (Edge<'a, ()>, Edge<'a, A>) {
        let (pid, tid) = track;
        let (at, length) = span;
        let begin = Edge { ph: "B", cat: category, name, pid, tid, ts: self.time(at), args: None };
        // Viewers join the arguments of both ends; speedscope makes those of the begin a part of the name.
        let end =
            Edge { ph: "E", ts: self.time(at.saturating_add(length)), args, cat: category, name, pid, tid };
        (begin, end)
    }

    fn push_both<A: Serialize>(
        &mut self,
        (begin, end): (Edge<'_, ()>, Edge<'_, A>),
        out: &mut dyn Write,
    ) -> io::Result<()> {
        self.list.push(&begin, out)?;
        self.list.push(&end, out)
    }

    fn name(&mut self, track: u32, name: &str, out: &mut dyn Write) -> io::Result<()> {
        for (kind, name) in [("process_name", name), ("thread_name", "start")] {
            self.list.push(&Name::new(kind, track, u64::from(track), name), out)?;
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
        self.list.push(&Name::new("thread_name", track, lane, lane_name(start)), out)?;
        let origin = start.timeline.origin_boottime_ns;
        for stretch in stretches {
            let span = (origin.saturating_add(stretch.at_ns), stretch.end_ns.saturating_sub(stretch.at_ns));
            let (detail, elsewhere) = (some(stretch.detail), some(stretch.elsewhere));
            let says = detail.is_some() || elsewhere.is_some();
            let args = says.then_some(Within { detail, elsewhere });
            let events = self.slice((track, lane), "state", stretch.state, span, args);
            self.push_both(events, out)?;
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
        self.list.push(&Name::new("thread_name", track, lane, imports::LANE), out)?;
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

impl Chrome {
    /// A lane of how a language runtime's time divides, where the trace has that.
    fn runtime(&mut self, track: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let stages = runtime::stages(start);
        if stages.is_empty() {
            return Ok(());
        }
        let lane = 3 * LANES + u64::from(track);
        self.list.push(&Name::new("thread_name", track, lane, runtime::LANE), out)?;
        for stage in stages {
            let span = (start.timeline.origin_boottime_ns.saturating_add(stage.at_ns), stage.duration_ns);
            let events = self.slice((track, lane), "runtime", &stage.name, span, None::<()>);
            self.push_both(events, out)?;
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
            let (args, ts) = (Starts { starts: n }, self.time(at));
            let event = Counter { args, name: "starts under way", ph: "C", pid: 0, tid: 0, ts };
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
        let span = (origin, start.timeline.duration_ns);
        let (begin, end) = self.slice(own, "start", &label, span, Some(Facts::of(start)));
        self.list.push(&begin, out)?;
        for phase in &start.timeline.phases {
            let exec = phase.exec.and_then(|i| start.execs.get(i as usize));
            let path = exec.and_then(|exec| exec.path.as_deref());
            let args = some(path).map(|exec| Image { exec });
            let span = (origin.saturating_add(phase.at_ns), phase.duration_ns);
            let events = self.slice(own, "phase", &phase.name, span, args);
            self.push_both(events, out)?;
        }
        self.list.push(&end, out)?;
        for milestone in &start.timeline.milestones {
            let event = Instant {
                args: Moment { detail: some(milestone.detail.as_deref()), inferred: milestone.inferred },
                cat: "milestone",
                name: &milestone.name,
                ph: "i",
                pid: track,
                s: "t",
                tid: track,
                ts: self.time(origin.saturating_add(milestone.at_ns)),
            };
            self.list.push(&event, out)?;
        }
        self.lane(track, start, out)?;
        self.imports(track, start, out)?;
        self.runtime(track, start, out)?;
        if let Some(parent) = self.processes.parent(trace, row).filter(|&parent| parent != track) {
            // An arrow needs slices at both ends: the parent's is a moment, as what else it did is not known.
            let (name, ts) = (format!("starts {label}"), self.time(origin));
            let moment = Empty { cat: "fork", dur: 0, name: &name, ph: "X", pid: parent, tid: parent, ts };
            self.list.push(&moment, out)?;
            for (ph, pid, bp) in [("s", parent, None), ("f", track, Some("e"))] {
                let arrow = Arrow { bp, cat: "fork", id: row, name: "starts", ph, pid, tid: pid, ts };
                self.list.push(&arrow, out)?;
            }
        }
        Ok(())
    }

    fn end(&mut self, _trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        out.write_all(b"\n]}\n")
    }
}

/// What a click on a start shows; nothing of it that is empty.
#[derive(Serialize)]
struct Facts<'a> {
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    argv: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    cgroup: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    comm: &'a str,
    confidence: Confidence,
    #[serde(skip_serializing_if = "Option::is_none")]
    container: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    evidence: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_signal: Option<&'a str>,
    failed_execs: usize,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
    pid: u32,
    #[serde(skip_serializing_if = "str::is_empty")]
    ready: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested_by: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    runtime: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    runtime_threads: &'a [RuntimeThreads],
    #[serde(skip_serializing_if = "str::is_empty")]
    start_id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    started_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
}

impl<'a> Facts<'a> {
    fn of(start: &'a Start) -> Self {
        let timeline = &start.timeline;
        Self {
            argv: start.argv.as_deref().unwrap_or_default(),
            cgroup: some(start.cgroup.as_deref()),
            comm: &start.comm,
            confidence: start.method.confidence,
            container: some(start.container.as_ref().map(|container| &*container.id)),
            evidence: &start.method.evidence,
            exe: some(start.exe.as_deref()),
            exit_code: start.exit.as_ref().and_then(|exit| exit.code),
            exit_signal: some(start.exit.as_ref().and_then(|exit| exit.signal.as_deref())),
            failed_execs: start.execs.iter().filter(|exec| exec.error.is_some()).count(),
            method: &start.method.name,
            parent: start.parent.as_ref().map(|parent| parent.pid),
            pid: start.pid,
            ready: &timeline.ready.kind,
            requested_by: start.requested_by.as_ref().map(|by| by.pid),
            runtime: some(start.binary.as_ref().and_then(|binary| binary.runtime.as_deref())),
            runtime_threads: runtime::threads(start),
            start_id: &start.start_id,
            started_at: &timeline.started_at,
            uid: start.uid,
            unit: some(start.unit.as_deref()),
        }
    }
}
