//! `cargo xtask corpus`: real programs, started for real, and what the classifier makes of them.

mod attach;
mod keep;
mod kit;
mod place;
mod report;
pub mod roots;
mod run;

use crate::tracefs::Tracefs;
use crate::{setup, shell};
use anyhow::{Result, bail};
use kit::Kit;
use report::Report;
use run::{Job, Outcome};
use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
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
    /// Only in this root (`host`: this machine).
    pub root: Option<String>,
    /// Only rows with this in their name.
    pub filter: Option<String>,
    /// Keep the event streams there, for tests without root.
    pub record: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let usage = "usage: cargo xtask corpus [--all] [--quick] [--record FOLDER] [--family FAMILY] [--root ROOT] [NAME]";
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
                "--root" => {
                    let known = || table::RELEASES.iter().map(|r| r.name).chain([table::HOST]);
                    let Some(root) = args.next() else { bail!("--root needs a root; {usage}") };
                    if !known().any(|name| name == root) {
                        bail!("--root {root}: there are {}", known().collect::<Vec<_>>().join(", "));
                    }
                    options.root = Some(root.clone());
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
    let rows = wanted(&table, options);
    if options.install {
        kit.install(&rows);
    }
    let mut report = Report::default();
    let mut jobs = VecDeque::new();
    for (row, root) in rows {
        for job in jobs_of(row, root, &kit, options.quick)? {
            if options.filter.as_ref().is_some_and(|filter| !job.name.contains(filter)) {
                continue;
            }
            let lacks = if row.not_yet.is_some() { None } else { kit.lacks(row, root, options.install) };
            if let Some(why) = lacks {
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

/// The rows that are asked for, each with the root that it is to run in.
fn wanted<'t>(table: &'t table::Table, options: &Options) -> Vec<(&'t table::Row, &'t str)> {
    let rows = table
        .row
        .iter()
        .filter(|row| !options.quick || row.quick)
        .filter(|row| options.family.as_ref().is_none_or(|family| row.family == *family))
        // A filter may go on with a version or a root.
        .filter(|row| {
            let name = format!("{}/{}", row.family, row.name);
            options
                .filter
                .as_ref()
                .is_none_or(|f| name.contains(f) || f.contains(&row.name) || f.starts_with('@'))
        });
    rows.flat_map(|row| row.roots.iter().map(move |root| (row, root.as_str())))
        .filter(|(_, root)| !options.quick || *root == table::HOST)
        .filter(|(_, root)| options.root.as_ref().is_none_or(|only| only == root))
        .collect()
}

/// A row in a root, once for each interpreter that it is for; for the quick set, only for `python3`.
fn jobs_of(row: &table::Row, root: &str, kit: &Kit, quick: bool) -> Result<Vec<Job>> {
    let base = format!("{}/{}", row.family, row.name);
    let at = if root == table::HOST { String::new() } else { format!("@{root}") };
    let job = |name: String, python| Job { row: row.clone(), name, root: root.to_owned(), python };
    let Some(range) = &row.python else {
        return Ok(vec![job(base + &at, None)]);
    };
    let mut jobs = Vec::new();
    let place = kit.place(root).ok();
    for (version, path) in place.iter().flat_map(|place| &place.pythons) {
        let newest = place.is_some_and(|place| place.python3 == Some(*version));
        if kit::in_range(range, *version)? && (!quick || newest) {
            jobs.push(job(format!("{base}-{}.{}{at}", version.0, version.1), Some(path.clone())));
        }
    }
    // In the quick set, a row for other versions than python3's is simply not in it; nor is it in a
    // root, which has one version.
    let another = quick || (root != table::HOST && place.is_some_and(|place| !place.pythons.is_empty()));
    if jobs.is_empty() && !another {
        jobs.push(job(format!("{base} ({range}){at}"), None));
    }
    Ok(jobs)
}

/// Where traces and events stay until the next run: one folder a row. Below /tmp, where every user can go.
fn scratch() -> Result<PathBuf> {
    let user = nix::unistd::geteuid();
    // One for each checkout: others may be at work.
    let mut hasher = DefaultHasher::new();
    shell::root().hash(&mut hasher);
    let name = format!("startrace-corpus-{user}-{:04x}", hasher.finish() & 0xffff);
    let folder = std::env::temp_dir().join(name);
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
