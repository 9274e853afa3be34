//! Keeps the event streams of rows that ran, for `tests/replay_corpus.rs`.

use super::run::{self, Job};
use crate::shell;
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use xtask::streams::{self, Stream, Whose};
use xtask::table::Table;

/// Puts the streams of `jobs` into the files of their families. What else is there stays, unless its
/// row is gone from the table.
pub fn keep(jobs: &[Job], table: &Table, scratch: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let rows: BTreeSet<String> = table.row.iter().map(|row| format!("{}/{}", row.family, row.name)).collect();
    let folders = folders(scratch);
    let mut families: BTreeMap<&str, Vec<Stream>> = BTreeMap::new();
    for job in jobs {
        let (events, stdout) = run::events(job, scratch).with_context(|| job.name.clone())?;
        let events = streams::clean(&events, &folders).with_context(|| job.name.clone())?;
        let row = format!("{}/{}", job.row.family, job.row.name);
        // What else a program prints is nobody's business.
        let roles = job.row.expect.iter().any(|expect| expect.role.is_some());
        let told = if roles { streams::told(&stdout).to_owned() } else { String::new() };
        let whose = Whose { row, job: job.name.clone(), told };
        families.entry(&job.row.family).or_default().push(Stream { whose, events });
    }
    for (family, mut fresh) in families {
        let file = streams::file(folder, family);
        let older = if file.exists() { streams::read(&file)? } else { Vec::new() };
        let made = |stream: &Stream| fresh.iter().any(|new| new.whose.job == stream.whose.job);
        let stay: Vec<Stream> =
            older.into_iter().filter(|old| !made(old) && rows.contains(&old.whose.row)).collect();
        fresh.extend(stay);
        streams::write(&file, &mut fresh)?;
        eprintln!("corpus: {} streams in {}", fresh.len(), file.display());
    }
    Ok(())
}

/// What would tell of this machine, and what stands for it; what lies within another comes first.
fn folders(scratch: &Path) -> Vec<(String, &'static str)> {
    let mut folders = vec![
        (scratch.display().to_string(), "/corpus"),
        (shell::target().display().to_string(), "/startrace/target"),
        (shell::root().display().to_string(), "/startrace"),
    ];
    if std::env::temp_dir() != Path::new("/tmp") {
        folders.push((std::env::temp_dir().display().to_string(), "/tmp"));
    }
    if let Some(home) = std::env::var_os("HOME").filter(|home| home.len() > 1) {
        folders.push((format!("{}/", Path::new(&home).display()), "/home/user/"));
    }
    folders
}
