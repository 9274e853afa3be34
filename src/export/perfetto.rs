//! Perfetto's native format: TracePackets with TrackEvents, in Protocol Buffers.
//!
//! A track for each process with its starts and their phases, below it one with the states of the critical
//! path (or the main thread's waits), instants for milestones, arrows (flows)
//! from parent to child and from whoever asked a fork server, and a counter of starts under way. Times are
//! the boottime clock's own, with the wall clock beside it.
//! Field numbers are those of protos/perfetto/trace/**/*.proto; a test reads the result with Perfetto's
//! own descriptors.

use super::imports::{self, Step};
use super::otlp::wall;
use super::protobuf::Message;
use super::runtime;
use super::stack::{lane_name, stretches};
use super::tracks::{Processes, under_way};
use super::{Exporter, Outline};
use crate::hash::HashSet;
use crate::trace::schema::Start;
use crate::words::{counted, duration, label};
use std::io::{self, Write};

/// All packets are of one writer.
const SEQUENCE: u64 = 1;
/// TrackEvent.Type.
const BEGIN: u64 = 1;
const END: u64 = 2;
const INSTANT: u64 = 3;
const COUNTER: u64 = 4;
/// BuiltinClock.
const REALTIME: u64 = 1;
const BOOTTIME: u64 = 6;
/// Identifiers of tracks: the counter, then one for each process.
const COUNTER_TRACK: u64 = 1;
const FIRST_PROCESS: u64 = 1 << 32;
const FIRST_LANE: u64 = 2 << 32;
const FIRST_IMPORTS: u64 = 3 << 32;
const FIRST_RUNTIME: u64 = 4 << 32;
/// Longest argument and most arguments that a click shows.
const MAX_ARG: usize = 4096;
const MAX_ARGS: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Perfetto {
    processes: Processes,
    described: HashSet<u32>,
    lanes: HashSet<u32>,
    imports: HashSet<u32>,
    runtimes: HashSet<u32>,
    clocks_told: bool,
}

fn packet(fields: Message, out: &mut dyn Write) -> io::Result<()> {
    // trusted_packet_sequence_id
    let packet = fields.number(10, SEQUENCE);
    out.write_all(Message::default().message(1, &packet).as_bytes())
}

fn event(kind: u64, track: u64) -> Message {
    Message::default().number(9, kind).number(11, track)
}

fn at(time: u64, event: &Message, out: &mut dyn Write) -> io::Result<()> {
    packet(Message::default().number(8, time).message(11, event), out)
}

fn named(event: Message, category: &str, name: &str) -> Message {
    event.text(22, category).text(23, name)
}

/// A DebugAnnotation: what a click shows.
fn note(event: Message, name: &str, text: &str) -> Message {
    if text.is_empty() {
        return event;
    }
    event.message(4, &Message::default().text(10, name).text(6, text))
}

fn note_number(event: Message, name: &str, number: u64) -> Message {
    event.message(4, &Message::default().text(10, name).number(3, number))
}

fn note_list<'a>(event: Message, name: &str, texts: impl Iterator<Item = &'a String>) -> Message {
    let mut list = Message::default().text(10, name);
    for text in texts.take(MAX_ARGS) {
        let shown: String = text.chars().take(MAX_ARG).collect();
        list = list.message(12, &Message::default().text(6, &shown));
    }
    event.message(4, &list)
}

fn track_of(process: u32) -> u64 {
    FIRST_PROCESS + u64::from(process)
}

/// Describes a lane below a process's track.
fn describe_lane(track: u64, number: u32, name: &str, out: &mut dyn Write) -> io::Result<()> {
    let lane = Message::default().number(1, track).number(5, track_of(number)).text(2, name);
    packet(Message::default().message(60, &lane), out)
}

impl Perfetto {
    /// Describes a process's track, once. A pid that was taken again gets a number of its own, and keeps
    /// the real pid in its name.
    fn describe(
        &mut self,
        number: u32,
        pid: u32,
        name: &str,
        argv: &[String],
        out: &mut dyn Write,
    ) -> io::Result<()> {
        if !self.described.insert(number) {
            return Ok(());
        }
        let mut process = Message::default().number(1, number.into());
        for arg in argv.iter().take(MAX_ARGS) {
            process = process.text(2, &arg.chars().take(MAX_ARG).collect::<String>());
        }
        let name = if number == pid { name.to_owned() } else { format!("{name} (pid {pid})") };
        let process = process.text(6, &name);
        let track = Message::default().number(1, track_of(number)).text(2, &name).message(3, &process);
        packet(Message::default().message(60, &track), out)
    }

    /// The second lane: the critical path by state, or the main thread's waits, where the trace has them.
    fn lane(&mut self, number: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let stretches = stretches(start);
        if stretches.is_empty() {
            return Ok(());
        }
        let track = FIRST_LANE + u64::from(number);
        if self.lanes.insert(number) {
            describe_lane(track, number, lane_name(start), out)?;
        }
        let origin = start.timeline.origin_boottime_ns;
        for stretch in stretches {
            let slice = named(event(BEGIN, track), "state", stretch.state);
            let slice = note(slice, "detail", stretch.detail.unwrap_or(""));
            let slice = note(slice, "in", stretch.elsewhere.unwrap_or(""));
            at(origin.saturating_add(stretch.at_ns), &slice, out)?;
            at(origin.saturating_add(stretch.end_ns), &event(END, track), out)?;
        }
        Ok(())
    }

    /// A lane of what was imported, where the trace has that.
    fn imports(&mut self, number: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let steps = imports::steps(start);
        if steps.is_empty() {
            return Ok(());
        }
        let track = FIRST_IMPORTS + u64::from(number);
        if self.imports.insert(number) {
            describe_lane(track, number, imports::LANE, out)?;
        }
        let origin = start.timeline.origin_boottime_ns;
        for step in steps {
            match step {
                Step::Begin(time, import) => {
                    let slice = named(event(BEGIN, track), "import", imports::name(import));
                    at(origin.saturating_add(time), &note_number(slice, "own_ns", import.own_ns), out)?;
                }
                Step::End(time, _) => at(origin.saturating_add(time), &event(END, track), out)?,
            }
        }
        Ok(())
    }

    /// A lane of how a language runtime's time divides, where the trace has that.
    fn runtime(&mut self, number: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        let stages = runtime::stages(start);
        if stages.is_empty() {
            return Ok(());
        }
        let track = FIRST_RUNTIME + u64::from(number);
        if self.runtimes.insert(number) {
            describe_lane(track, number, runtime::LANE, out)?;
        }
        let origin = start.timeline.origin_boottime_ns;
        for stage in stages {
            let begin = origin.saturating_add(stage.at_ns);
            at(begin, &named(event(BEGIN, track), "runtime", &stage.name), out)?;
            at(begin.saturating_add(stage.duration_ns), &event(END, track), out)?;
        }
        Ok(())
    }

    /// Puts the wall clock beside the boottime clock, by the first start that tells both.
    fn tell_clocks(&mut self, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        if self.clocks_told {
            return Ok(());
        }
        let Some(wall) = wall(start) else { return Ok(()) };
        self.clocks_told = true;
        let clock = |id, time| Message::default().number(1, id).number(2, time);
        let snapshot = Message::default()
            .message(1, &clock(BOOTTIME, start.timeline.origin_boottime_ns))
            .message(1, &clock(REALTIME, wall));
        packet(Message::default().message(6, &snapshot), out)
    }
}

impl Exporter for Perfetto {
    fn begin(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        self.processes = Processes::new(trace);
        let host = &trace.header().host;
        let name = Message::default().text(1, "Linux").text(2, "").text(3, &host.kernel).text(4, &host.arch);
        // system_info { utsname { sysname, version, release, machine } }
        packet(Message::default().message(45, &Message::default().message(1, &name)).number(13, 1), out)?;
        let counter = Message::default().number(3, 2);
        let track =
            Message::default().number(1, COUNTER_TRACK).text(2, "starts under way").message(8, &counter);
        packet(Message::default().message(60, &track), out)?;
        for (time, n) in under_way(trace) {
            at(time, &event(COUNTER, COUNTER_TRACK).number(30, n.into()), out)?;
        }
        let outside: Vec<(u32, u32, String)> =
            self.processes.outside(trace).map(|(number, pid, comm)| (number, pid, comm.to_owned())).collect();
        for (number, pid, comm) in outside {
            self.describe(number, pid, &comm, &[], out)?;
        }
        Ok(())
    }

    fn start(&mut self, trace: &Outline, row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        self.tell_clocks(start, out)?;
        let label = label::of_start(start);
        let number = self.processes.of(row);
        let argv = start.argv.as_deref().unwrap_or(&[]);
        self.describe(number, start.pid, &label, argv, out)?;
        let (track, origin) = (track_of(number), start.timeline.origin_boottime_ns);
        let time = |at_ns: u64| origin.saturating_add(at_ns);

        let parent = self.processes.parent(trace, row).filter(|&parent| parent != number);
        let mut begin = facts(named(event(BEGIN, track), "start", &label), start);
        if let Some(parent) = parent {
            // Lines of NDJSON come in the order of completion: the parent's own may come later.
            let above = trace.digest.row(row).and_then(|row| trace.digest.row(row.parent?));
            if let Some(above) = above {
                self.describe(parent, above.pid, trace.digest.text(above.label), &[], out)?;
            }
            let flow = u64::from(row) + 1;
            let moment = named(event(INSTANT, track_of(parent)), "fork", &format!("starts {label}"));
            at(origin, &moment.fixed(47, flow), out)?;
            begin = begin.fixed(48, flow);
        }
        at(origin, &begin, out)?;
        for phase in &start.timeline.phases {
            let mut slice = named(event(BEGIN, track), "phase", &phase.name);
            if let Some(exec) = phase.exec.and_then(|i| start.execs.get(i as usize)) {
                slice = note(slice, "exec", exec.path.as_deref().unwrap_or(""));
            }
            at(time(phase.at_ns), &slice, out)?;
            at(time(phase.at_ns.saturating_add(phase.duration_ns)), &event(END, track), out)?;
        }
        for milestone in &start.timeline.milestones {
            let instant = named(event(INSTANT, track), "milestone", &milestone.name);
            let instant = note(instant, "detail", milestone.detail.as_deref().unwrap_or(""));
            at(time(milestone.at_ns), &instant, out)?;
        }
        at(time(start.timeline.duration_ns), &event(END, track), out)?;
        self.lane(number, start, out)?;
        self.imports(number, start, out)?;
        self.runtime(number, start, out)
    }

    fn end(&mut self, _trace: &Outline, _out: &mut dyn Write) -> io::Result<()> {
        Ok(())
    }
}

/// What a click on a start shows.
fn facts(mut event: Message, start: &Start) -> Message {
    let confidence = format!("{:?}", start.method.confidence).to_ascii_lowercase();
    for (name, text) in [
        ("start_id", &*start.start_id),
        ("method", &start.method.name),
        ("confidence", &confidence),
        ("exe", start.exe.as_deref().unwrap_or("")),
        ("ready", &start.timeline.ready.kind),
        ("started_at", &start.timeline.started_at),
        ("unit", start.unit.as_deref().unwrap_or("")),
        ("cgroup", start.cgroup.as_deref().unwrap_or("")),
        ("container", start.container.as_ref().map_or("", |container| &container.id)),
        ("exit_signal", start.exit.as_ref().and_then(|exit| exit.signal.as_deref()).unwrap_or("")),
    ] {
        event = note(event, name, text);
    }
    event = note_number(event, "pid", start.pid.into());
    if let Some(code) = start.exit.as_ref().and_then(|exit| exit.code) {
        event = note_number(event, "exit_code", u64::try_from(code).unwrap_or(0));
    }
    for threads in runtime::threads(start) {
        let ran = format!("{}, {} on a CPU", counted(threads.n, "thread"), duration(threads.running_ns));
        event = note(event, &format!("threads: {}", threads.role), &ran);
    }
    event = note_list(event, "argv", start.argv.iter().flatten());
    note_list(event, "evidence", start.method.evidence.iter())
}
