//! `startrace watch --tui`: the sink that shows starts on a full screen.
//!
//! Nothing in here waits: keys are taken as they have come, a picture is drawn at most ten times a second and less
//! often where drawing is slow, and a terminal that does not keep up sees fewer pictures.

use super::screen::Screen;
use super::{Watching, ended_badly};
use crate::command::record;
use crate::command::recording::{Flow, Progress, Sink, how};
use crate::host::facts;
use crate::host::owner::Owner;
use crate::host::spawn::Ended;
use crate::report::Style;
use crate::timeline::Output;
use crate::timeline::live::UnderWay;
use crate::trace::schema::{Group, Line, Session};
use crate::trace::text::shell_path;
use crate::trace::write::{Finished, Format, Output as Stream, OutputTarget};
use crate::tui::keys::Keys;
use crate::tui::state::{State, Wish};
use crate::tui::view;
use crate::words::count;
use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::ffi::OsString;
use std::time::{Duration, Instant, SystemTime};

/// Between two pictures.
const PERIOD: Duration = Duration::from_millis(100);
/// Drawing takes at most this part of the time.
const SHARE: u32 = 10;
/// Starts under way that the screen is told of.
const MOST_OPEN: usize = 500;

/// The full screen.
pub(super) struct FullScreen {
    screen: Screen,
    state: State,
    keys: Keys,
    signals: SignalFd,
    entered: bool,
    /// When the next picture is due.
    due: Instant,
    wants_session: bool,
    owner: Owner,
    /// Of a trace that is saved.
    command: Option<OsString>,
    failed: u64,
    gone: bool,
    /// What is watched is over: the screen stays until somebody has seen it.
    over: bool,
    quit: bool,
}

impl FullScreen {
    /// Looks whether there is a terminal; it is taken at the first tick, when the probes are live.
    pub(super) fn new(
        style: Style,
        subject: String,
        owner: Owner,
        command: Option<OsString>,
    ) -> Result<Self> {
        let mut screen = Screen::new(style)?;
        let mut mask = SigSet::empty();
        mask.add(Signal::SIGTSTP);
        mask.add(Signal::SIGCONT);
        mask.thread_block().context("--tui: signals cannot be held back")?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context("--tui: signals cannot be read")?;
        screen.hide_from_command()?;
        Ok(Self {
            screen,
            state: State::new(subject),
            keys: Keys::default(),
            signals,
            entered: false,
            due: Instant::now(),
            wants_session: false,
            owner,
            command,
            failed: 0,
            gone: false,
            over: false,
            quit: false,
        })
    }

    fn take_keys(&mut self) -> Result<()> {
        let bytes = self.screen.read();
        if bytes.is_empty() && !self.keys.is_waiting() {
            return Ok(());
        }
        // An escape that stands alone for a tick is the key.
        for key in self.keys.feed(&bytes, bytes.is_empty()) {
            self.due = Instant::now();
            match self.state.key(key) {
                Some(Wish::Quit) if self.over => self.quit = true,
                // As Ctrl-C would do if the terminal still made a signal of it: to all that it would reach.
                Some(Wish::Quit) => {
                    let group = nix::unistd::Pid::from_raw(0);
                    let to = if self.command.is_some() { group } else { nix::unistd::getpid() };
                    let _ = nix::sys::signal::kill(to, Signal::SIGINT);
                }
                Some(Wish::Suspend) => self.screen.suspend()?,
                Some(Wish::Save) => {
                    self.wants_session = true;
                    self.state.message = Some("saving ...".to_owned());
                }
                Some(Wish::Redraw) => self.screen.anew(),
                None => {}
            }
        }
        Ok(())
    }

    fn take_signals(&mut self) -> Result<()> {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match i32::try_from(info.ssi_signo) {
                Ok(libc::SIGTSTP) => self.screen.suspend()?,
                Ok(libc::SIGCONT) => self.screen.resume(),
                _ => {}
            }
            self.due = Instant::now();
        }
        Ok(())
    }

    /// Shows what there is until a key or a signal ends it: with the command, all would vanish unseen.
    fn stay(&mut self, session: &Session, ended: Ended) -> Result<()> {
        let mask: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
        mask.thread_block().context("--tui: signals cannot be held back")?;
        let ends = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
            .context("--tui: signals cannot be read")?;
        self.over = true;
        self.state.over = Some(format!("CMD {}; q quits", how(ended)));
        self.state.in_progress = 0;
        self.state.under_way(Vec::new());
        self.due = Instant::now();
        while !self.quit && !self.gone && !matches!(ends.read_signal(), Ok(Some(_))) {
            self.take_signals()?;
            self.take_keys()?;
            if std::mem::take(&mut self.wants_session) {
                self.session(session.clone());
            }
            if Instant::now() >= self.due {
                self.draw();
            }
            self.gone |= !self.screen.wait([&self.signals, &ends], PERIOD)? || self.screen.flush().is_err();
        }
        Ok(())
    }

    fn draw(&mut self) -> Flow {
        let begin = Instant::now();
        let state = &mut self.state;
        if self.screen.draw(|buffer, text| view::draw(state, buffer, text)).is_err() {
            self.gone = true;
            return Flow::Enough;
        }
        self.screen.trim();
        self.due = begin + PERIOD.max(begin.elapsed() * SHARE);
        Flow::More
    }

    /// Writes what is kept to a trace; says where.
    fn save(&mut self, mut session: Session) -> Result<String> {
        let name = self.command.clone().unwrap_or_else(|| "watch".into());
        let target = OutputTarget::Unnamed {
            folder: Default::default(),
            stem: facts::trace_stem(Some(&name), SystemTime::now()),
        };
        let mut out = Stream::create(&target, Format::Json, &self.owner)?;
        let header = record::header();
        let mut diagnoser = record::diagnoser(&header);
        let _ = out.write_line(&Line::Header(header))?;
        let mut starts = 0;
        for line in self.state.trace_lines() {
            let line = match line {
                Line::Start(start) => {
                    starts += 1;
                    record::line(Output::Start(start), &mut diagnoser)
                }
                other => other,
            };
            let _ = out.write_line(&line)?;
        }
        session.starts = starts;
        if self.state.dropped > 0 {
            session.lost.insert("dropped_from_view".to_owned(), self.state.dropped);
            session.complete = false;
        }
        let diagnosis = record::diagnosis(diagnoser, &[], &mut session);
        let finished = out.finish(Vec::new(), diagnosis, session)?;
        let place = match finished {
            Finished::File(path) => shell_path(&path),
            Finished::Stream | Finished::ReaderGone => String::new(),
        };
        Ok(format!("wrote {} starts to {place}", count(starts)))
    }
}

impl Sink for FullScreen {
    fn output(&mut self, output: Output) -> Result<Flow> {
        self.failed += u64::from(ended_badly(&output));
        match output {
            Output::Start(start) => self.state.start(&start),
            Output::Exit { start_id, exit } => self.state.exit(&start_id, exit),
            Output::FailedFork(failed) => self.state.failed_fork(failed),
        }
        Ok(Flow::More)
    }

    fn tick(&mut self, progress: &Progress) -> Result<Flow> {
        if !std::mem::replace(&mut self.entered, true) {
            self.screen.enter()?;
        }
        self.take_signals()?;
        self.take_keys()?;
        if !self.state.is_paused() {
            self.state.elapsed = progress.elapsed;
            self.state.in_progress = progress.in_progress;
        }
        if Instant::now() < self.due {
            self.gone |= self.screen.flush().is_err();
            return Ok(if self.gone { Flow::Enough } else { Flow::More });
        }
        Ok(self.draw())
    }

    fn wants_under_way(&self) -> usize {
        if Instant::now() < self.due { 0 } else { MOST_OPEN }
    }

    fn under_way(&mut self, list: Vec<UnderWay>) {
        self.state.under_way(list);
    }

    fn wants_session(&self) -> bool {
        self.wants_session
    }

    fn remark(&mut self, said: &str) {
        self.state.message = Some(said.to_owned());
        self.due = Instant::now();
    }

    fn session(&mut self, session: Session) {
        self.wants_session = false;
        let said = self.save(session).unwrap_or_else(|error| format!("not saved: {error:#}"));
        self.state.message = Some(said);
        self.due = Instant::now();
    }
}

impl Watching for FullScreen {
    fn failed_starts(&self) -> u64 {
        self.failed
    }

    fn reader_gone(&self) -> bool {
        self.gone
    }

    fn finish(mut self: Box<Self>, _: Vec<Group>, session: Session, ended: Option<Ended>) -> Result<()> {
        // The terminal is given back with the screen.
        match ended.filter(|_| self.entered && !self.gone) {
            Some(ended) => self.stay(&session, ended),
            None => Ok(()),
        }
    }
}
