//! Recorded event streams of the corpus's rows, as they are kept for tests without root: a file a
//! family, compressed, in which each row's stream comes after a line that says whose it is.

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// Where the committed ones are, from the repository's root.
pub const FOLDER: &str = "tests/fixtures/corpus";
const ENDING: &str = ".ndjson.gz";
/// A family's streams, not compressed: a guard against a file that is something else.
const MAX_FAMILY: u64 = 256 << 20;

/// What a stream is of: the line before it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whose {
    /// `FAMILY/NAME` as in the table.
    pub row: String,
    /// The same with the runtime's version, where there are several.
    pub job: String,
    /// The line of JSON that the program printed: pids by role.
    pub told: String,
}

/// One row's recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    pub whose: Whose,
    /// Lines as `startrace record --events` writes them.
    pub events: String,
}

/// The file of a family.
pub fn file(folder: &Path, family: &str) -> PathBuf {
    folder.join(format!("{family}{ENDING}"))
}

/// Every file of a folder.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.to_string_lossy().ends_with(ENDING) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// The streams of a file.
pub fn read(file: &Path) -> Result<Vec<Stream>> {
    let name = || file.display().to_string();
    let mut text = String::new();
    let opened = File::open(file).with_context(name)?;
    GzDecoder::new(opened).take(MAX_FAMILY).read_to_string(&mut text).with_context(name)?;
    parse(&text).with_context(name)
}

/// Writes the streams of a family, in order of their names.
pub fn write(file: &Path, streams: &mut [Stream]) -> Result<()> {
    streams.sort_by(|a, b| a.whose.job.cmp(&b.whose.job));
    let mut out = GzEncoder::new(Vec::new(), Compression::best());
    for stream in streams {
        writeln!(out, "{}", serde_json::to_string(&stream.whose)?)?;
        out.write_all(stream.events.as_bytes())?;
    }
    fs::write(file, out.finish()?).with_context(|| file.display().to_string())
}

fn parse(text: &str) -> Result<Vec<Stream>> {
    let mut streams: Vec<Stream> = Vec::new();
    for line in text.lines() {
        if line.starts_with("{\"row\":") {
            streams.push(Stream { whose: serde_json::from_str(line)?, events: String::new() });
            continue;
        }
        let Some(stream) = streams.last_mut() else { bail!("it begins with no row's name") };
        stream.events.push_str(line);
        stream.events.push('\n');
    }
    Ok(streams)
}

/// The first line of JSON among what a program printed.
pub fn told(stdout: &str) -> &str {
    stdout.lines().find(|line| line.starts_with('{')).unwrap_or_default()
}

/// A stream fit to be kept: other names for this machine's folders, nothing of processes that are not
/// the row's. `folders` are texts and what stands for them, the more special first.
pub fn clean(events: &str, folders: &[(String, &str)]) -> Result<String> {
    let mut out = String::with_capacity(events.len());
    let followed = followed(events)?;
    for line in events.lines() {
        let mut line = line.to_owned();
        for (folder, name) in folders {
            line = line.replace(folder, name);
        }
        let mut value: Value = serde_json::from_str(&line)?;
        if let Some(path) = value.pointer_mut("/event/what/cgroup/path") {
            *path = "/".into();
        }
        let own = value.pointer("/answer/process/0").is_some_and(|id| followed.contains(id));
        if let Some(known) = value.pointer_mut("/answer/process/1").and_then(Value::as_object_mut) {
            // It ran before. What it is remains; what it was told to do is nobody's business, unless it is
            // the row's own, and was followed with `-p`.
            let secrets = ["cwd", "cgroup"].into_iter().chain((!own).then_some("argv"));
            for secret in secrets {
                known.insert(secret.to_owned(), Value::Null);
            }
        }
        out.push_str(&value.to_string());
        out.push('\n');
    }
    if let Some((folder, _)) = folders.iter().find(|(folder, _)| out.contains(folder)) {
        bail!("{folder} is still in it");
    }
    Ok(out)
}

/// Which processes ran before they were followed.
fn followed(events: &str) -> Result<Vec<Value>> {
    let seeds = events.lines().filter(|line| line.starts_with("{\"seed\":"));
    seeds.map(|line| Ok(serde_json::from_str::<Value>(line)?["seed"].take())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(job: &str, events: &str) -> Stream {
        let whose = Whose { row: "libc/x".into(), job: job.into(), told: "{\"child\":7}".into() };
        Stream { whose, events: events.into() }
    }

    #[test]
    fn what_is_written_is_read() {
        let file = std::env::temp_dir().join(format!("startrace-streams-{}", std::process::id()));
        let mut streams =
            [stream("libc/x-3.9", "{\"end\":9}\n"), stream("libc/x-3.8", "{\"tick\":1}\n{\"end\":2}\n")];
        write(&file, &mut streams).unwrap();
        let found = read(&file);
        fs::remove_file(&file).unwrap();
        assert_eq!(found.unwrap(), streams);
        assert_eq!(streams[0].whose.job, "libc/x-3.8");
        assert!(parse("{\"end\":9}\n").is_err());
    }

    #[test]
    fn nothing_of_this_machine_stays() {
        let events = "{\"answer\":{\"process\":[{\"pid\":1,\"birth_ns\":0},{\"argv\":[\"secret\"],\"exe\":\"/home/me/x\"}]}}\n\
                      {\"event\":{\"what\":{\"cgroup\":{\"cgroup\":{\"id\":1,\"v1\":true},\"path\":\"/user.slice\"}}}}\n";
        let cleaned = clean(events, &[("/home/me/".into(), "/home/user/")]).unwrap();
        assert!(!cleaned.contains("secret") && !cleaned.contains("slice"), "{cleaned}");
        assert!(cleaned.contains("\"exe\":\"/home/user/x\""), "{cleaned}");
        assert!(clean(events, &[("process".into(), "a process")]).is_err());
        // What was followed with -p is the row's own.
        let own = format!("{{\"seed\":{{\"birth_ns\":0,\"pid\":1}}}}\n{events}");
        assert!(clean(&own, &[]).unwrap().contains("secret"));
    }
}
