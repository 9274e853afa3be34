//! `cargo xtask corpus`: real programs, started for real, and what the classifier makes of them.

mod keep;
mod kit;
mod report;
mod run;

use crate::tracefs::Tracefs;
use crate::{setup, shell};
use anyhow::{Result, bail};
use kit::Kit;
use report::Report;
use run::{Job, Outcome};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::mpsc;
use xtask::table;

/// Recordings at a time: most of a recording is waiting.
const AT_ONCE: usize = 3;

/// Which rows to run.
#[derive(Debug, Default)]
pub struct Options {
    /// Install what is missing.
    pub install: bool,
    /// Only the rows that a default machine runs quickly.
    pub quick: bool,
    /// Only this family.
    pub family: Option<String>,
    /// Only rows with this in their name.
    pub filter: Option<String>,
    /// Keep the event streams there, for tests without root.
    pub record: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let usage = "usage: cargo xtask corpus [--all] [--quick] [--record FOLDER] [--family FAMILY] [NAME]";
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            match arg.as_str() {
                "--all" => options.install = true,
                "--quick" => options.quick = true,
                "--record" => {
                    let Some(folder) = args.next() else { bail!("--record needs a folder; {usage}") };
                    options.record = Some(folder.into());
                }
                "--family" => {
                    let Some(family) = args.next() else { bail!("--family needs a family; {usage}") };
                    if !table::FAMILIES.contains(&family.as_str()) {
                        bail!("--family {family}: there are {}", table::FAMILIES.join(", "));
                    }
                    options.family = Some(family.clone());
                }
                flag if flag.starts_with('-') => bail!("no flag {flag}; {usage}"),
                _ if options.filter.is_some() => bail!("one NAME at a time; {usage}"),
                name => options.filter = Some(name.to_owned()),
            }
        }
        Ok(options)
    }
}

pub fn command(args: &[String]) -> Result<()> {
    let options = Options::parse(args)?;
    setup::ensure_for_tests()?;
    let report = run(&options)?;
    println!("{report}");
    report.verdict()
}

/// Runs the rows and gives what came of them.
pub fn run(options: &Options) -> Result<Report> {
    setup::kernel()?;
    shell::run(shell::cargo().args(["build", "--package", "startrace"]))?;
    let binary = shell::target().join("debug/startrace");
    let table = table::read()?;
    let mut kit = Kit::new()?;
    let rows: Vec<&table::Row> = table
        .row
        .iter()
        .filter(|row| !options.quick || row.quick)
        .filter(|row| options.family.as_ref().is_none_or(|family| row.family == *family))
        .collect();
    if options.install {
        kit.install(&rows);
    }
    let mut report = Report::default();
    let mut jobs = VecDeque::new();
    for row in rows {
        for job in jobs_of(row, &kit, options.quick)? {
            if options.filter.as_ref().is_some_and(|filter| !job.name.contains(filter)) {
                continue;
            }
            let lacks = if row.not_yet.is_some() { Vec::new() } else { kit.lacks(row) };
            if !lacks.is_empty() {
                let hint = if options.install { "" } else { " (--all installs it)" };
                let why = format!("there is no {}{hint}", lacks.join(" and no "));
                report.add(&job, Outcome::NotRun(why));
            } else if row.python.is_some() && job.python.is_none() {
                report.add(&job, Outcome::NotRun("there is no such CPython".to_owned()));
            } else {
                jobs.push_back(job);
            }
        }
    }
    signals_as_usual()?;
    let _tracefs = Tracefs::mounted()?;
    let scratch = scratch()?;
    let queue = Mutex::new(jobs);
    let mut ran = Vec::new();
    let (send, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            let (queue, kit, binary, scratch, send) = (&queue, &kit, &binary, &scratch, send.clone());
            scope.spawn(move || {
                while let Some(job) = queue.lock().ok().and_then(|mut queue| queue.pop_front()) {
                    let outcome = run::run(&job, kit, binary, scratch);
                    if send.send((job, outcome)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        for (job, outcome) in results {
            if matches!(outcome, Outcome::Ran(_)) {
                ran.push(job.clone());
            }
            report.add(&job, outcome);
        }
    });
    if let Some(folder) = &options.record {
        keep::keep(&ran, &table, &scratch, folder)?;
    }
    report.kept = Some(scratch);
    Ok(report)
}

/// A row once for each interpreter that it is for; for the quick set, only for `python3`.
fn jobs_of(row: &table::Row, kit: &Kit, quick: bool) -> Result<Vec<Job>> {
    let base = format!("{}/{}", row.family, row.name);
    let Some(range) = &row.python else {
        return Ok(vec![Job { row: row.clone(), name: base, python: None }]);
    };
    let mut jobs = Vec::new();
    for (version, path) in &kit.pythons {
        if kit::in_range(range, *version)? && (!quick || Some(*version) == kit.python3) {
            let name = format!("{base}-{}.{}", version.0, version.1);
            jobs.push(Job { row: row.clone(), name, python: Some(path.clone()) });
        }
    }
    // In the quick set, a row for other versions than python3's is simply not in it.
    if jobs.is_empty() && !quick {
        jobs.push(Job { row: row.clone(), name: format!("{base} ({range})"), python: None });
    }
    Ok(jobs)
}

/// Where traces and events stay until the next run: one folder a row. Below /tmp, where every user can go.
fn scratch() -> Result<PathBuf> {
    let user = nix::unistd::geteuid();
    let folder = std::env::temp_dir().join(format!("startrace-corpus-{user}"));
    shell::succeeds(shell::as_root("rm").arg("-rf").arg(&folder));
    std::fs::create_dir(&folder)?;
    Ok(folder)
}

/// Programs inherit what is ignored here, and this may itself run in a script's background, which
/// ignores INT and QUIT: then no shell's background job differs from its commands.
fn signals_as_usual() -> Result<()> {
    use nix::sys::signal::{SigHandler, Signal, signal};
    for ignored in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGHUP] {
        // SAFETY: the default disposition is no handler that could do anything wrong.
        unsafe { signal(ignored, SigHandler::SigDfl) }?;
    }
    Ok(())
}
