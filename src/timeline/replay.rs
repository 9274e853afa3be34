//! A recorded stream of events and answers, and the trace that it makes without root or the machine
//! on which it was recorded.
//!
//! The stream is what `startrace record --events FILE` keeps: one JSON value a line. It holds all that
//! the [`Builder`] was given, in the order in which it was given it, so a replay takes the same steps.

use super::select::Selectors;
use super::world::{Answer, Replay};
use super::{Builder, Missed, Options, Output};
use crate::event::{Event, Id};
use crate::hash::HashMap;
use crate::level::Level;
use crate::method::arch::Arch;
use crate::method::facts::Facts;
use crate::trace::schema::{FailedFork, Group, Start};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, Read};

/// Longest line; an event with 32 KiB of arguments is a tenth of a megabyte at most.
const MAX_LINE: u64 = 4 << 20;

/// One line of a stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recorded {
    /// First: what the builder has to know.
    Begin {
        /// The machine's architecture.
        #[serde(default)]
        arch: Arch,
        /// When the probes were live.
        began_ns: u64,
        /// From boottime to the wall clock.
        realtime_offset_ns: u64,
        /// Longest start.
        window_ns: Option<u64>,
        /// Roots.
        #[serde(default)]
        selectors: Selectors,
        /// How closely it looked; streams of before there were levels have none.
        #[serde(default = "lifecycle")]
        level: Level,
        /// What made a start finished.
        #[serde(default)]
        ready: super::ready::rule::Rules,
        /// How long a tree had to be quiet.
        #[serde(default)]
        quiet_ns: u64,
        /// How long a lone copy was held back.
        #[serde(default)]
        patience_ns: u64,
        /// Samples a second.
        #[serde(default)]
        profile_hz: u32,
        /// Variables of the environment that were kept.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        env: Vec<String>,
    },
    /// A process that ran before.
    Seed(Id),
    /// An event, in order of time.
    Event(Event),
    /// What user space was asked, and its answer; comes before the event or tick that asked.
    Answer(Answer),
    /// Something was found out from outside; when.
    Outside(u64, super::ready::Outside),
    /// Time passed, and something was due: until when.
    Tick(u64),
    /// Last.
    End(u64),
}

fn lifecycle() -> Level {
    Level::Lifecycle
}

/// What a stream makes.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Replayed {
    /// The starts, in the order of their completion, with their later exits.
    pub starts: Vec<Start>,
    /// Forks that failed.
    pub failed_forks: Vec<FailedFork>,
    /// Pools.
    pub groups: Vec<Group>,
    /// What the starts were named from, in the order of `starts`.
    #[serde(skip)]
    pub facts: Vec<Facts>,
    /// What the builder missed.
    #[serde(skip)]
    pub missed: Missed,
    /// Answers that nobody asked for: the builder takes other steps than when this was recorded.
    #[serde(skip)]
    pub unasked: usize,
}

/// Why a stream cannot be replayed.
#[derive(Debug)]
pub enum Error {
    /// It cannot be read.
    Read(std::io::Error),
    /// A line is not what it should be.
    Line {
        /// Counted from 1.
        number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It has no end: the recorder was killed.
    CutOff,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(error) => write!(f, "the events cannot be read: {error}"),
            Self::Line { number, why } => write!(f, "line {number} of the events: {why}"),
            Self::CutOff => f.write_str("the events have no end: the recorder was killed"),
        }
    }
}

impl std::error::Error for Error {}

/// Makes the starts of a recorded stream anew.
///
/// # Errors
/// See [`Error`].
pub fn replay(mut input: impl BufRead) -> Result<Replayed, Error> {
    let mut player = Player::default();
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let length = Read::take(&mut input, MAX_LINE).read_until(b'\n', &mut line).map_err(Error::Read)?;
        if length == 0 {
            return Err(Error::CutOff);
        }
        let bad = |why: String| Error::Line { number, why };
        if line.pop() != Some(b'\n') {
            return Err(if length as u64 == MAX_LINE { bad("it is too long".into()) } else { Error::CutOff });
        }
        let recorded: Recorded = serde_json::from_slice(&line).map_err(|error| bad(error.to_string()))?;
        if player.step(recorded).map_err(|why| bad(why.to_owned()))? {
            break;
        }
    }
    Ok(player.made.out)
}

/// The same from lines that were read before: what the builder and the classifier do, without the JSON.
///
/// # Errors
/// What is wrong with the order of the lines.
pub fn play(lines: impl IntoIterator<Item = Recorded>) -> Result<Replayed, &'static str> {
    let mut player = Player::default();
    for line in lines {
        if player.step(line)? {
            return Ok(player.made.out);
        }
    }
    Err("the events have no end")
}

#[derive(Default)]
struct Player {
    world: Replay,
    builder: Option<Builder>,
    made: Made,
}

impl Player {
    /// Takes the next line; whether that was the last.
    fn step(&mut self, line: Recorded) -> Result<bool, &'static str> {
        if let Recorded::Begin {
            arch,
            began_ns,
            realtime_offset_ns,
            window_ns,
            selectors,
            level,
            ready,
            quiet_ns,
            patience_ns,
            profile_hz,
            env,
        } = line
        {
            if self.builder.is_some() {
                return Err("a second beginning: several recordings in one file");
            }
            let options = Options {
                arch,
                began_ns,
                realtime_offset_ns,
                window_ns,
                selectors,
                level,
                ready,
                quiet_ns,
                patience_ns,
                profile_hz,
                redactor: None,
                env,
            };
            self.builder = Some(Builder::new(options).keeping_facts());
            return Ok(false);
        }
        let (world, made) = (&mut self.world, &mut self.made);
        let Some(builder) = &mut self.builder else {
            return Err("it comes before the beginning");
        };
        let mut last = false;
        match line {
            Recorded::Begin { .. } => {}
            Recorded::Seed(id) => builder.seed(id, world),
            Recorded::Event(event) => builder.event(event, world),
            Recorded::Answer(answer) => world.answers.push_back(answer),
            Recorded::Outside(time_ns, seen) => builder.outside(time_ns, &seen, world),
            Recorded::Tick(now_ns) => builder.tick(now_ns, world),
            Recorded::End(now_ns) => {
                made.out.groups = builder.end(now_ns, world);
                made.out.missed = builder.missed;
                made.out.unasked = world.answers.len();
                last = true;
            }
        }
        made.take(builder.drain());
        if last {
            made.out.facts = builder.take_facts();
        }
        Ok(last)
    }
}

#[derive(Default)]
struct Made {
    out: Replayed,
    places: HashMap<String, usize>,
}

impl Made {
    fn take(&mut self, outputs: impl Iterator<Item = Output>) {
        for output in outputs {
            match output {
                Output::Start(start) => {
                    self.places.insert(start.start_id.clone(), self.out.starts.len());
                    self.out.starts.push(*start);
                }
                Output::Exit { start_id, exit } => {
                    let start = self.places.get(&start_id).and_then(|&at| self.out.starts.get_mut(at));
                    if let Some(start) = start {
                        start.exit = Some(exit);
                    }
                }
                Output::FailedFork(failed) => self.out.failed_forks.push(failed),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = r#"{"begin":{"began_ns":5,"realtime_offset_ns":0,"window_ns":null}}"#;

    fn error(text: &str) -> String {
        replay(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_empty_recording_is_no_start() {
        let replayed = replay(format!("{BEGIN}\n{{\"end\":9}}\n").as_bytes()).unwrap();
        assert_eq!(replayed, Replayed::default());
    }

    #[test]
    fn damage_is_named() {
        assert!(error("").contains("no end"));
        assert!(error(&format!("{BEGIN}\n")).contains("no end"));
        assert!(error(&format!("{BEGIN}\n{{\"tick\":3")).contains("no end"));
        assert!(error(&format!("{BEGIN}\nnonsense\n")).contains("line 2"));
        assert!(error("{\"tick\":3}\n").contains("before the beginning"));
        assert!(error(&format!("{BEGIN}\n{BEGIN}\n")).contains("second beginning"));
        assert!(error(&"x".repeat(MAX_LINE as usize + 5)).contains("too long"));
    }
}
