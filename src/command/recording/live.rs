//! What is live while recording: from records of the ring to finished starts.

use super::begin::{self, Began};
use super::{Flow, Progress, Request, Sink};
use crate::event::order::Order;
use crate::event::{Event, Exec, Id, What};
use crate::hash::HashMap;
use crate::host;
use crate::host::world::Machine;
use crate::level::Level;
use crate::probe::{Probe, Started};
use crate::redact::Redactor;
use crate::timeline::left::Left;
use crate::timeline::ready::Outside;
use crate::timeline::replay::Recorded;
use crate::timeline::world::{Answer, ImageKey, Recorder, World};
use crate::timeline::{Builder, CommandStart, Options, Output};
use crate::trace::json;
use crate::trace::schema::{Binary, Exit};
use std::collections::VecDeque;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

/// When each program's loader was looked at last, and since when it tells: a storm of starts of one program is no
/// storm of looks.
#[derive(Default)]
pub(super) struct Looks(HashMap<(u32, u64), (u64, Option<u64>)>);

impl Looks {
    const MOST: usize = 4096;
    /// A loader that is replaced is seen by the programs that start later than this.
    const EVERY_NS: u64 = 100_000_000;

    /// What was found, where that is not long ago.
    pub(super) fn known(&self, program: (u32, u64), now_ns: u64) -> Option<Option<u64>> {
        let (last, since) = self.0.get(&program)?;
        (now_ns.saturating_sub(*last) < Self::EVERY_NS).then_some(*since)
    }

    pub(super) fn note(&mut self, program: (u32, u64), now_ns: u64, since_ns: Option<u64>) {
        if self.0.len() >= Self::MOST {
            self.0.clear();
        }
        self.0.insert(program, (now_ns, since_ns));
    }
}

pub(super) struct Live<'a> {
    pub(super) probe: Probe,
    pub(super) loaders: Looks,
    pub(super) builder: Builder,
    pub(super) order: Order,
    pub(super) machine: Machine,
    /// Seen from outside, and when; the events up to then come first.
    pub(super) outside: VecDeque<(u64, Outside)>,
    pub(super) events: Option<std::io::BufWriter<std::fs::File>>,
    pub(super) redactor: Option<Rc<Redactor>>,
    pub(super) sink: &'a mut dyn Sink,
    pub(super) starts: u64,
    pub(super) left_out: u64,
    pub(super) count: Option<u64>,
    pub(super) enough: bool,
    pub(super) failure: Option<anyhow::Error>,
    /// The end of the recording; what came later is not part of it.
    pub(super) until_ns: u64,
    /// While the latest runs were ended by us; how their processes end then is not their doing. An end is told some 20 ms
    /// later, when the next run may be ended already.
    pub(super) endings_ns: VecDeque<std::ops::Range<u64>>,
    /// Of the event that was looked at last.
    pub(super) event_ns: u64,
    /// When probes in other roots were gone through last.
    pub(super) swept_ns: u64,
    /// A start has begun since time passed for the builder, and may be over.
    pub(super) begun: bool,
    /// Readiness is looked for.
    pub(super) timeline: bool,
}

/// CMD is over, and all was well.
pub(super) fn ended_well(spawned: &mut Option<host::spawn::Spawned>) -> bool {
    let child = spawned.as_mut();
    child.is_some_and(|child| matches!(child.try_wait(), Ok(Some(ended)) if ended.exit_code() == 0))
}

/// In another session than ours, which is CMD's too.
fn is_elsewhere() -> impl Fn(Id) -> bool {
    let ours = nix::unistd::getsid(None).map_or(0, |session| session.as_raw().cast_unsigned());
    move |id| host::world::session(id).is_some_and(|session| session != ours)
}

/// Says, once it has been for a while, what is waited for: it may never come.
pub(super) fn waiting_for(daemons: &[Left]) -> String {
    let starting = daemons.iter().filter(|left| left.start == CommandStart::Open);
    let starting: Vec<_> = starting.map(|left| (left.comm.as_str(), left.id.pid)).collect();
    let (these, are) = if starting.len() == 1 { ("it", "is") } else { ("they", "are") };
    format!(
        "the command has ended and left {}: waiting until {these} {are} ready (--window ends that, and so does Ctrl-C)",
        super::named(starting.into_iter())
    )
}

/// Waits of a start that took megabytes on its way.
const LARGE: usize = 2_000;
/// So often it is asked which other roots are still there.
const SWEEP_NS: u64 = 500_000_000;

impl<'a> Live<'a> {
    pub(super) fn new(probe: Probe, request: &Request, began: Began, sink: &'a mut dyn Sink) -> Self {
        let mut builder = Builder::new(begin::options(request, began));
        builder.keep_past_in(host::scratch::nameless());
        builder.keep_rows_in(Box::<host::scratch::Nameless>::default());
        Self {
            probe,
            loaders: Looks::default(),
            builder,
            order: Order::default(),
            machine: Machine::default(),
            outside: VecDeque::new(),
            events: None,
            redactor: request.redactor.clone(),
            sink,
            starts: 0,
            left_out: 0,
            count: request.count,
            enough: false,
            failure: None,
            until_ns: u64::MAX,
            endings_ns: VecDeque::new(),
            event_ns: 0,
            swept_ns: 0,
            begun: false,
            timeline: request.wanted.level > Level::Lifecycle,
        }
    }

    /// Keeps the events from here on, for a replay.
    pub(super) fn keep_events(&mut self, file: Option<std::fs::File>, options: &Options) {
        self.events = file.map(std::io::BufWriter::new);
        if self.events.is_none() {
            return;
        }
        self.keep(&Recorded::Begin {
            arch: options.arch,
            began_ns: options.began_ns,
            realtime_offset_ns: options.realtime_offset_ns,
            window_ns: options.window_ns,
            selectors: options.selectors.clone(),
            level: options.level,
            ready: options.ready.clone(),
            quiet_ns: options.quiet_ns,
            patience_ns: options.patience_ns,
            profile_hz: options.profile_hz,
            env: options.env.clone(),
        });
    }

    /// How far it is, for the sink.
    pub(super) fn tell_progress(&mut self, elapsed_ns: u64) {
        let progress = Progress {
            elapsed: Duration::from_nanos(elapsed_ns),
            starts: self.starts,
            in_progress: self.builder.in_progress(),
        };
        match self.sink.tick(&progress) {
            Ok(Flow::More) => {}
            Ok(Flow::Enough) => self.enough = true,
            Err(error) => self.failure = self.failure.take().or(Some(error)),
        }
    }

    pub(super) fn keep(&mut self, line: &Recorded) {
        if let Some(events) = &mut self.events {
            let text = json::text(line).map_err(std::io::Error::from);
            if let Err(error) = text.and_then(|text| events.write_all(&[&text[..], b"\n"].concat())) {
                tracing::warn!("the events are no longer kept: {error}");
                self.events = None;
            }
        }
    }

    /// A replay names starts by the same arguments: those of libraries have no credentials.
    pub(super) fn without_credentials(&self, line: Recorded) -> Recorded {
        let Recorded::Event(mut event) = line else { return line };
        if let What::Exec(exec) = &mut event.what {
            self.redact(&mut exec.argv);
        }
        Recorded::Event(event)
    }

    pub(super) fn without_credentials_of(&self, mut answer: Answer) -> Answer {
        if let Answer::Process(_, Some(known)) = &mut answer {
            self.redact(&mut known.argv);
        }
        answer
    }

    pub(super) fn redact(&self, argv: &mut Option<Vec<String>>) {
        let Some(redactor) = &self.redactor else { return };
        if let Some(redacted) = argv.as_deref().and_then(|argv| redactor.argv(argv)) {
            *argv = Some(redacted.argv);
        }
    }

    /// Runs one step of the builder, keeping what it asks and is told.
    pub(super) fn step(
        &mut self,
        line: impl FnOnce() -> Recorded,
        run: impl FnOnce(&mut Builder, &mut dyn World),
    ) {
        if self.events.is_none() {
            run(&mut self.builder, &mut self.machine);
            return;
        }
        let line = line();
        let mut recorder = Recorder { inner: &mut self.machine, answers: Vec::new() };
        run(&mut self.builder, &mut recorder);
        for answer in recorder.answers {
            self.keep(&Recorded::Answer(self.without_credentials_of(answer)));
        }
        self.keep(&self.without_credentials(line));
    }

    /// A program whose loader has no probe yet gets one, for the next start with that loader. Gives since when it has
    /// one.
    pub(super) fn look_at_loader(&mut self, id: Id, time_ns: u64, exec: &Exec) -> Option<u64> {
        let program = (exec.dev, exec.inode);
        if let Some(known) = self.loaders.known(program, time_ns) {
            return known;
        }
        let (exe, within) = (exec.exe.clone()?, exec.within.clone());
        let image = ImageKey { pid: id.pid, exe, within, dev: exec.dev, inode: exec.inode };
        let mut since_ns = None;
        if let Some(Binary { interpreter: Some(interpreter), runtime, .. }) = self.machine.image(&image) {
            let ImageKey { pid, exe, inode, .. } = &image;
            let runtime = runtime.as_deref();
            let started = Started { pid: *pid, exe, inode: *inode, interpreter: &interpreter, runtime };
            since_ns = self.probe.look_at_loader(&started);
        }
        self.loaders.note(program, time_ns, since_ns);
        since_ns
    }

    pub(super) fn event(&mut self, mut event: Event) {
        self.begun |= matches!(event.what, What::Fork(_) | What::Exec(_));
        if self.probe.wants_loaders()
            && let What::Exec(exec) = &mut event.what
        {
            let since_ns = self.look_at_loader(event.id, event.time_ns, exec);
            exec.loader_tells = since_ns.is_some_and(|since_ns| since_ns < event.time_ns);
        }
        if self.events.is_some() {
            let copy = event.clone();
            self.step(|| Recorded::Event(copy), |builder, world| builder.event(event, world));
        } else {
            self.builder.event(event, &mut self.machine);
        }
    }

    /// Lets time pass for the builder. A tick that ends nothing is not worth keeping.
    pub(super) fn tick(&mut self, until_ns: u64) {
        self.probe.follow_callers();
        if until_ns.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.swept_ns = until_ns;
            self.probe.let_go_of_roots();
        }
        while self.outside.front().is_some_and(|(time_ns, _)| *time_ns <= until_ns) {
            let Some((time_ns, seen)) = self.outside.pop_front() else { break };
            let copy = seen.clone();
            self.step(
                || Recorded::Outside(time_ns, copy),
                |builder, world| builder.outside(time_ns, &seen, world),
            );
        }
        let begun = std::mem::take(&mut self.begun);
        self.probe.rest(!begun && !self.builder.tells_waits(), until_ns);
        if self.builder.is_due(until_ns) {
            self.step(|| Recorded::Tick(until_ns), |builder, world| builder.tick(until_ns, world));
        }
    }

    /// Takes in what the ring has and gives out what is finished; with `all`, also what is so young
    /// that something earlier could still come.
    pub(super) fn pump(&mut self, all: bool) {
        loop {
            let emptied = self.probe.drain();
            let mut came = false;
            while let Some(batch) = self.probe.next_batch() {
                came = true;
                batch.events.into_iter().for_each(|event| self.order.push(event));
                self.release(batch.drained_ns);
            }
            // Else there are records for which there was no room: once more, or the next time.
            if let Some(drained_ns) = emptied {
                return self.release(if all { u64::MAX } else { drained_ns });
            }
            if !all && !came {
                return;
            }
        }
    }

    /// `drained_ns`: whatever happened before has arrived.
    pub(super) fn release(&mut self, drained_ns: u64) {
        while let Some(event) = self.order.pop(drained_ns) {
            if event.time_ns > self.until_ns {
                continue;
            }
            self.event_ns = event.time_ns;
            self.event(event);
            self.deliver();
        }
    }

    /// CMD has ended well and left a process behind in another session whose start is under way: a daemon
    /// is ready when the process is that stays.
    pub(super) fn daemon_starts(&self, spawned: &mut Option<host::spawn::Spawned>) -> bool {
        ended_well(spawned) && self.timeline && self.builder.starting().any(is_elsewhere())
    }

    /// What the command has left in another session, where it has ended well: daemons.
    pub(super) fn daemons(&self) -> Vec<Left> {
        let is_elsewhere = is_elsewhere();
        let mut left = if self.timeline { self.builder.left() } else { Vec::new() };
        left.retain(|left| is_elsewhere(left.id));
        left
    }

    pub(super) fn deliver(&mut self) {
        for (id, until_ns) in self.builder.settled() {
            self.probe.settle(id, until_ns);
        }
        let mut large = false;
        let mut out = std::mem::take(&mut self.failure);
        let ours = |time_ns: u64| self.endings_ns.iter().any(|ending| ending.contains(&time_ns));
        for mut output in self.builder.drain() {
            match &mut output {
                Output::Exit { .. } if ours(self.event_ns) => continue,
                Output::Start(start) => {
                    let origin_ns = start.timeline.origin_boottime_ns;
                    start.exit.take_if(|exit: &mut Exit| ours(origin_ns.saturating_add(exit.at_ns)));
                }
                Output::Exit { .. } | Output::FailedFork(_) => {}
            }
            let is_start = matches!(output, Output::Start(_));
            large |= matches!(&output, Output::Start(start) if start.timeline.waits.len() >= LARGE);
            if self.enough || out.is_some() {
                self.left_out += u64::from(is_start && self.enough);
                continue;
            }
            match self.sink.output(output) {
                Ok(Flow::More) => {}
                Ok(Flow::Enough) => self.enough = true,
                Err(error) => out = Some(error),
            }
            if is_start {
                self.starts += 1;
                self.enough |= self.count.is_some_and(|count| self.starts >= count);
            }
        }
        if large {
            host::memory::give_back();
        }
        self.failure = out;
    }
}
