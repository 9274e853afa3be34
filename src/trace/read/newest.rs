//! The newest trace of a folder, for commands that were given none.

use super::{ErrorKind, ReadError};
use std::fs;
use std::path::{Path, PathBuf};

fn is_trace_name(name: &str) -> bool {
    name.starts_with("startrace-")
        && [".json", ".ndjson", ".json.spool"].iter().any(|end| name.ends_with(end))
}

/// The trace in `folder` (`startrace-*.json`, `.ndjson`, `.json.spool`) that was written last; of
/// several written at one moment, the last by name. Links are not followed, other kinds of file not
/// taken: a shared folder can hold anything.
///
/// # Errors
/// The folder cannot be listed or holds none.
pub fn newest(folder: &Path) -> Result<PathBuf, ReadError> {
    let entries = fs::read_dir(folder).map_err(|e| ReadError::io(&folder.display().to_string(), e))?;
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(is_trace_name))
        .filter_map(|entry| {
            // Of the entry itself, not of what a link leads to.
            let data = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((data.modified().ok()?, entry.path()))
        })
        .max()
        .map(|(_, path)| path)
        .ok_or_else(|| ReadError::new("", ErrorKind::NoneHere))
}
