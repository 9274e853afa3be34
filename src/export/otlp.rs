//! OpenTelemetry traces. OTLP in its JSON encoding: one ExportTraceServiceRequest a line, which is what
//! the OpenTelemetry Collector's file receiver reads and, line by line, what a collector takes over HTTP. In that
//! of Protocol Buffers: one such message, made of as many as are sent.
//!
//! A resource for each process, a span for each start, a child span for each phase, and below those the
//! longest waits. All starts of one tree
//! are one trace, and a start's parent span is its parent's start. Identifiers are made from the trace's
//! own (boot, process, start), so that exporting a file twice gives the same spans.
//!
//! Attributes follow the semantic conventions (`process.*`, `host.*`, `os.*`, `container.id`,
//! `k8s.pod.uid`) where they have a name, and are `startrace.*` otherwise. Arguments leave the machine
//! only if asked for.

mod http;
mod ids;
mod send;
mod wire;

pub use http::Endpoint;
pub use ids::Context;
pub(super) use ids::{context_of, of_start as key, wall};
pub use send::{Patience, Sender, parse_header};

use super::{Exporter, Options, Outline};
use crate::sort::SortSmall;
use crate::trace::json;
use crate::trace::schema::{Header, Start, Wait};
use crate::words::label;
use ids::Ids;
use serde_json::{Value, json};
use std::io::{self, Write};

/// How spans are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Encoding {
    /// JSON lines, a request each
    #[default]
    Json,
    /// Protocol Buffers, one message
    Protobuf,
}

impl Encoding {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Protobuf => "application/x-protobuf",
        }
    }
}

/// Starts in one request.
const BATCH: usize = 256;
/// A request is sent as soon as it has this many bytes; collectors take 20 MiB by default.
const MAX_BATCH_BYTES: usize = 4 << 20;
/// What stands for an argument that was left out.
const REDACTED: &str = "[redacted]";
/// Longest text of one attribute, in characters.
const MAX_TEXT: usize = 16 << 10;
/// Waits of one start with a span of their own: the longest.
const MAX_WAITS: usize = 100;
/// Most arguments of one command.
const MAX_ARGS: usize = 1_000;

#[derive(Debug)]
pub(super) struct Otlp {
    options: Options,
    ids: Ids,
    host: Vec<Value>,
    batch: Vec<Vec<u8>>,
    bytes: usize,
}

fn attribute(name: &str, value: Value) -> Value {
    json!({"key": name, "value": value})
}

fn text(name: &str, text: &str) -> Value {
    let shown: String = text.chars().take(MAX_TEXT).collect();
    attribute(name, json!({"stringValue": shown}))
}

/// A 64-bit integer, which JSON has to quote.
fn number(name: &str, number: impl Into<i128>) -> Value {
    let number = number.into().clamp(i64::MIN.into(), i64::MAX.into());
    attribute(name, json!({"intValue": number.to_string()}))
}

fn truth(name: &str, value: bool) -> Value {
    attribute(name, json!({"boolValue": value}))
}

fn list<'t>(name: &str, texts: impl Iterator<Item = &'t str>) -> Value {
    let texts = texts.take(MAX_ARGS).map(|text| text.chars().take(MAX_TEXT).collect::<String>());
    let values: Vec<Value> = texts.map(|text| json!({"stringValue": text})).collect();
    attribute(name, json!({"arrayValue": {"values": values}}))
}

impl Otlp {
    pub(super) fn new(options: &Options) -> Self {
        Self { options: options.clone(), ids: Ids::default(), host: Vec::new(), batch: Vec::new(), bytes: 0 }
    }

    fn resource(&self, start: &Start) -> Vec<Value> {
        let mut all = self.host.clone();
        let name = start.exe.as_deref().unwrap_or(&start.comm);
        let name = name.rsplit('/').find(|part| !part.is_empty()).unwrap_or("unknown_service");
        all.push(text("service.name", start.unit.as_deref().unwrap_or(name)));
        all.push(number("process.pid", start.pid));
        all.push(text("process.executable.name", name));
        if let Some(parent) = &start.parent {
            all.push(number("process.parent_pid", parent.pid));
        }
        if let Some(exe) = &start.exe {
            all.push(text("process.executable.path", exe));
        }
        if let Some(argv) = &start.argv {
            let asked = self.options.command_lines;
            let shown = argv.iter().enumerate();
            let shown = shown.map(|(i, arg)| if i == 0 || asked { arg.as_str() } else { REDACTED });
            all.push(list("process.command_args", shown));
        }
        if let Some(cwd) = &start.cwd {
            all.push(text("process.working_directory", cwd));
        }
        if let Some(uid) = start.uid {
            all.push(number("process.user.id", uid));
        }
        if let Some(cgroup) = &start.cgroup {
            all.push(text("process.linux.cgroup", cgroup));
        }
        if let Some(binary) = &start.binary {
            if let Some(runtime) = &binary.runtime {
                let (name, version) = runtime.split_once(' ').unwrap_or((runtime, ""));
                all.push(text("process.runtime.name", name));
                if !version.is_empty() {
                    all.push(text("process.runtime.version", version));
                }
            }
            if let Some(build_id) = &binary.build_id {
                all.push(text("process.executable.build_id.gnu", build_id));
            }
        }
        if let Some(container) = &start.container {
            all.push(text("container.id", &container.id));
            if let Some(runtime) = &container.runtime {
                all.push(text("container.runtime.name", runtime));
            }
            if let Some(pod) = &container.pod {
                all.push(text("k8s.pod.uid", pod));
            }
        }
        all
    }

    fn attributes(&self, start: &Start) -> Vec<Value> {
        let (method, timeline) = (&start.method, &start.timeline);
        let mut all = vec![
            text("startrace.start_id", &start.start_id),
            text("startrace.method", &method.name),
            text("startrace.method.confidence", &format!("{:?}", method.confidence).to_ascii_lowercase()),
            text("startrace.ready", &timeline.ready.kind),
            truth("startrace.ready.inferred", timeline.ready.inferred),
            truth("startrace.partial", start.partial),
        ];
        let optional = [
            ("startrace.method.primitive", &method.primitive),
            ("startrace.method.mechanism", &method.mechanism),
            ("startrace.method.library", &method.library),
            ("startrace.method.pattern", &method.pattern),
            ("startrace.unit", &start.unit),
        ];
        all.extend(optional.iter().filter_map(|(name, value)| Some(text(name, value.as_deref()?))));
        if self.options.command_lines {
            // Evidence quotes arguments.
            all.push(list("startrace.method.evidence", method.evidence.iter().map(String::as_str)));
        }
        let failed = start.execs.iter().filter(|exec| exec.error.is_some()).count();
        all.push(number("startrace.failed_execs", failed as i128));
        let left_out = (timeline.waits.len() as u64).saturating_sub(MAX_WAITS as u64);
        all.push(number("startrace.waits_left_out", timeline.waits_left_out.saturating_add(left_out)));
        all.extend(
            timeline.path_ns.iter().map(|(state, &ns)| number(&format!("startrace.path.{state}_ns"), ns)),
        );
        if let Some(exit) = &start.exit {
            if let Some(code) = exit.code {
                all.push(number("process.exit.code", code));
            }
            if let Some(signal) = &exit.signal {
                all.push(text("startrace.exit.signal", signal));
            }
        }
        all
    }

    fn spans(&self, trace: &Outline, row: u32, start: &Start) -> Vec<Value> {
        // A file that does not tell the time properly still has spans that fit each other.
        let origin = wall(start).unwrap_or(start.timeline.origin_boottime_ns);
        let time = |at_ns: u64| origin.saturating_add(at_ns).to_string();
        let trace_id = self.ids.trace(row);
        let own = self.ids.span(&start.start_id);
        let events: Vec<Value> = start
            .timeline
            .milestones
            .iter()
            .map(|milestone| {
                let mut about = vec![truth("startrace.inferred", milestone.inferred)];
                about.extend(milestone.detail.as_deref().map(|detail| text("startrace.detail", detail)));
                json!({"timeUnixNano": time(milestone.at_ns), "name": milestone.name, "attributes": about})
            })
            .collect();
        let mut whole = json!({"traceId": trace_id, "spanId": own, "name": self.title(start), "kind": 1,
            "startTimeUnixNano": time(0), "endTimeUnixNano": time(start.timeline.duration_ns),
            "attributes": self.attributes(start), "events": events, "links": self.links(trace, start),
            "status": status(start)});
        if let Some(parent) = self.ids.parent(trace, row) {
            whole["parentSpanId"] = parent.into();
        }
        let mut spans = vec![whole];
        for (i, phase) in start.timeline.phases.iter().enumerate() {
            let exec = phase.exec.and_then(|i| start.execs.get(i as usize));
            let path = exec.and_then(|exec| exec.path.as_deref());
            let about: Vec<Value> = path.map(|path| text("startrace.exec.path", path)).into_iter().collect();
            spans.push(json!({"traceId": trace_id, "parentSpanId": own, "name": phase.name, "kind": 1,
                "spanId": self.ids.span(&format!("{} phase {i}", start.start_id)),
                "startTimeUnixNano": time(phase.at_ns),
                "endTimeUnixNano": time(phase.at_ns.saturating_add(phase.duration_ns)),
                "attributes": about}));
        }
        spans.extend(self.waits(start, own_phases(start), &trace_id, &time));
        spans
    }

    /// The longest single waits, each below the phase that it begins in.
    fn waits(
        &self,
        start: &Start,
        phases: Vec<u64>,
        trace: &str,
        time: &dyn Fn(u64) -> String,
    ) -> Vec<Value> {
        let mut waits: Vec<(usize, &Wait)> = start.timeline.waits.iter().enumerate().collect();
        waits.sort_small_by_key(|(_, wait)| std::cmp::Reverse(wait.duration_ns));
        let waits = waits.into_iter().take(MAX_WAITS);
        waits
            .map(|(i, wait)| {
                let mut about = vec![text("startrace.wait", &wait.kind), number("thread.id", wait.tid)];
                about.extend(wait.syscall.as_deref().map(|call| text("startrace.syscall", call)));
                if self.options.command_lines {
                    // A child is told with its command.
                    about.extend(wait.detail.as_deref().map(|detail| text("startrace.detail", detail)));
                }
                if let Some(by) = &wait.woken_by {
                    about.push(text("startrace.woken_by", &by.kind));
                    about.extend(by.pid.map(|pid| number("startrace.woken_by.pid", pid)));
                }
                let phase = phases.partition_point(|&at| at <= wait.at_ns).checked_sub(1);
                let above = match phase {
                    Some(phase) => self.ids.span(&format!("{} phase {phase}", start.start_id)),
                    None => self.ids.span(&start.start_id),
                };
                json!({"traceId": trace, "parentSpanId": above, "name": format!("wait {}", wait.kind), "kind": 1,
                    "spanId": self.ids.span(&format!("{} wait {i}", start.start_id)),
                    "startTimeUnixNano": time(wait.at_ns),
                    "endTimeUnixNano": time(wait.at_ns.saturating_add(wait.duration_ns)), "attributes": about})
            })
            .collect()
    }

    /// A span's name has to be one of few: the program, not its arguments.
    fn title(&self, start: &Start) -> String {
        if self.options.command_lines {
            return label::of_start(start);
        }
        let name = start.exe.as_deref().unwrap_or(&start.comm);
        label::harmless(name.rsplit('/').next().unwrap_or(name), 60)
    }

    /// Who asked for the start, where that is not the parent.
    fn links(&self, trace: &Outline, start: &Start) -> Vec<Value> {
        let asked = start.requested_by.as_ref().and_then(|by| by.start_id.as_deref());
        let link = asked.and_then(|id| {
            let row = trace.row_of(id)?;
            Some(json!({"traceId": self.ids.trace(row), "spanId": self.ids.span(id),
                "attributes": [text("startrace.link", "requested_by")]}))
        });
        link.into_iter().collect()
    }

    fn write_out(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.batch.is_empty() {
            return Ok(());
        }
        if self.options.encoding == Encoding::Protobuf {
            let request = self.batch.drain(..).collect::<Vec<_>>().concat();
            self.bytes = 0;
            // That it is whole, a sender is told by this.
            return out.write_all(&request).and_then(|()| out.flush());
        }
        out.write_all(b"{\"resourceSpans\":[")?;
        for (i, spans) in self.batch.drain(..).enumerate() {
            if i > 0 {
                out.write_all(b",")?;
            }
            out.write_all(&spans)?;
        }
        self.bytes = 0;
        out.write_all(b"]}\n")
    }
}

/// Where each phase begins.
fn own_phases(start: &Start) -> Vec<u64> {
    start.timeline.phases.iter().map(|phase| phase.at_ns).collect()
}

fn status(start: &Start) -> Value {
    let Some(exit) = &start.exit else { return json!({}) };
    match (&exit.signal, exit.code) {
        (Some(signal), _) => json!({"code": 2, "message": format!("ended by {signal}")}),
        (None, Some(code)) if code != 0 => json!({"code": 2, "message": format!("exit status {code}")}),
        _ => json!({}),
    }
}

fn host(header: &Header) -> Vec<Value> {
    let host = &header.host;
    let arch = match &*host.arch {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut all = vec![
        text("host.name", &host.hostname),
        text("host.arch", arch),
        text("os.type", "linux"),
        text("os.version", &host.kernel),
    ];
    all.extend(host.cpu_model.as_deref().map(|model| text("host.cpu.model.name", model)));
    all
}

impl Exporter for Otlp {
    fn begin(&mut self, trace: &Outline, _out: &mut dyn Write) -> io::Result<()> {
        self.ids = Ids::new(trace, self.options.context);
        self.host = host(trace.header());
        Ok(())
    }

    fn start(&mut self, trace: &Outline, row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let tool = &trace.header().tool;
        let spans = json!({"resource": {"attributes": self.resource(start)}, "scopeSpans": [{
            "scope": {"name": tool.name, "version": tool.version}, "spans": self.spans(trace, row, start)}]});
        let spans = match self.options.encoding {
            Encoding::Json => json::text(&spans)?,
            Encoding::Protobuf => wire::resource_spans(&spans),
        };
        if self.bytes + spans.len() > MAX_BATCH_BYTES {
            self.write_out(out)?;
        }
        self.bytes += spans.len();
        self.batch.push(spans);
        if self.batch.len() >= BATCH {
            self.write_out(out)?;
        }
        Ok(())
    }

    fn end(&mut self, _trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        self.write_out(out)
    }
}
