//! `startrace scrub`: a copy of a trace that is fit for a ticket.

use super::{Exit, record};
use crate::diagnose::{Diagnoser, Thresholds};
use crate::host::caller;
use crate::host::owner::Owner;
use crate::scrub::Pseudonyms;
use crate::stderr::tell;
use crate::trace::read::{self, Item};
use crate::trace::schema::{Line, Session, Target};
use crate::trace::text::shell_path;
use crate::trace::write::{Finished, Flow, Format, Output, OutputTarget};
use crate::words::counted;
use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

/// Options of `startrace scrub`.
#[derive(Debug, Clone, clap::Args)]
#[command(
    about = "Make a copy of a trace without names: arguments, paths, peers, users, hosts",
    after_help = "Examples:
  startrace scrub app.json -o ticket.json
  startrace scrub app.json -o - | jq '.starts[].argv'
  startrace scrub a.json -o x.json --seed S; startrace scrub b.json -o y.json \\
    --seed S; startrace diff x.json y.json

A word stays only if startrace itself uses it, or if it is a well-known program,
folder, kind of file or module of Python's own; all else becomes a pseudonym (x
and nine letters), a number another number, an address one that is set aside for
tests. The same becomes the same throughout the trace. Times, counts, process
ids, phases, states, methods, kernel version and processor model stay, and so
every reading command takes the copy. Variables (--env) are left out. The
lengths of argument lists and the times of day stay: look at the copy before you
publish it.

The pseudonyms are keyed at random and cannot be computed back or tried out;
with --seed they can by those who know the seed.

Exit status: 0; 1 failure; 2 usage."
)]
pub struct Options {
    /// The trace: a JSON document, NDJSON, or the spool of a killed recorder; `-` is standard input
    pub file: PathBuf,

    /// The copy, as NDJSON if that ends in .ndjson; '-' is standard output
    #[arg(short, long, value_name = "COPY")]
    pub output: OsString,

    /// 'json': one document; 'ndjson': a line for each start [default: by COPY's name]
    #[arg(long, value_enum, hide_possible_values = true)]
    pub format: Option<Format>,

    /// Make the same pseudonyms in every copy with this seed; keep it to yourself
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
}

/// Writes the copy.
pub fn run(options: &Options) -> Exit {
    match scrub(options) {
        Ok(()) => Exit::Success,
        Err(error) => record::fail(&error, Exit::Failure),
    }
}

fn scrub(options: &Options) -> Result<()> {
    let target = OutputTarget::from_option(&options.output);
    if is_same(&options.file, &target) {
        bail!("-o {}: that is the trace itself; name another file", Path::new(&options.output).display());
    }
    let pseudonyms = match &options.seed {
        Some(seed) => Pseudonyms::seeded(seed),
        None => Pseudonyms::random(),
    };
    let reader = read::open(&options.file)?;
    let owner = caller::resolve(None).map_or_else(|_| Owner::own(), |caller| caller.owner);
    let format = options.format.unwrap_or_else(|| Format::of(&target, Format::Json));
    let mut file = Output::create(&target, format, &owner)?;
    // What was found quotes what is scrubbed: it is found anew, in the copy.
    let mut diagnoser = Diagnoser::new(Thresholds::default());
    let mut failed = None;
    let mut gone = false;
    let ending = reader.read(&mut |item| {
        let line = match item {
            Item::Header(header) => {
                let header = pseudonyms.header(*header);
                diagnoser.header(&header);
                Line::Header(header)
            }
            Item::Start(start) => {
                let mut start = pseudonyms.start(*start);
                start.findings = diagnoser.start(&start);
                Line::Start(Box::new(start))
            }
            Item::Exit { start_id, exit } => {
                Line::Exit { start_id: pseudonyms.known_id(&start_id), exit: pseudonyms.exit(exit) }
            }
            Item::Method { start_id, method } => {
                Line::Method { start_id: pseudonyms.known_id(&start_id), method: pseudonyms.method(*method) }
            }
            Item::FailedFork(failed) => Line::FailedFork(pseudonyms.failed_fork(*failed)),
        };
        match file.write_line(&line) {
            Ok(Flow::Going) => ControlFlow::Continue(()),
            Ok(Flow::ReaderGone) => {
                gone = true;
                ControlFlow::Break(())
            }
            Err(error) => {
                failed = Some(error);
                ControlFlow::Break(())
            }
        }
    });
    let ending = match (ending, failed) {
        (Ok(ending), None) => ending,
        (Err(error), _) => {
            file.discard();
            return Err(error.into());
        }
        (_, Some(error)) => return Err(error.into()),
    };
    if gone {
        return Ok(());
    }
    let groups: Vec<_> = ending.groups.into_iter().map(|group| pseudonyms.group(group)).collect();
    let session = match ending.session {
        Some(session) => pseudonyms.session(session),
        None => cut_off(),
    };
    let diagnosis = diagnoser.finish(&groups, Some(&session), None).diagnosis;
    if ending.cut_off.is_some() {
        tell!(
            "startrace: the trace is cut off: the copy holds what is there, and says that it is incomplete"
        );
    }
    if ending.unknown_lines > 0 {
        let lines = counted(ending.unknown_lines, "line");
        tell!("startrace: {lines} of a newer startrace left out: what they hold is not known");
    }
    if let Finished::File(path) = file.finish(groups, diagnosis, session)? {
        tell!("startrace: wrote {}", shell_path(&path));
    }
    Ok(())
}

/// Reading and writing one file would destroy it.
fn is_same(file: &Path, target: &OutputTarget) -> bool {
    use std::os::unix::fs::MetadataExt;
    let OutputTarget::File(other) = target else { return false };
    match (std::fs::metadata(file), std::fs::metadata(other)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()) && a.is_file(),
        _ => false,
    }
}

/// The end of a trace that has none.
fn cut_off() -> Session {
    Session {
        mode: "unknown".to_owned(),
        target: Target::default(),
        level: "unknown".to_owned(),
        env_source: None,
        started_at: "1970-01-01T00:00:00Z".to_owned(),
        duration_ns: 0,
        ended_by: "cut_off".to_owned(),
        complete: false,
        lost: BTreeMap::new(),
        hooks: Vec::new(),
        hooks_missing: 0,
        not_observed: None,
        redacted: None,
        starts: 0,
        left_out: 0,
        runs: Vec::new(),
    }
}
