//! Tests of [`super`]; what needs root or its own process is in tests/host_privileged.rs.

use super::super::document::tests::{exit, header, session, start};
use super::super::schema::{SCHEMA, Trace};
use super::*;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::time::{Duration, Instant};

fn at(path: &Path) -> OutputTarget {
    OutputTarget::File(path.to_owned())
}

fn open(path: &Path, format: Format) -> Result<Output, Error> {
    Output::create(&at(path), format, &Owner::own())
}

fn feed(output: &mut Output, starts: u64) {
    let go = |flow| assert_eq!(flow, Flow::Going);
    go(output.write_line(&Line::Header(header())).unwrap());
    for n in 0..starts {
        let start = start(&format!("{n}@1/0"), None, n);
        go(output.write_line(&Line::Start(Box::new(start))).unwrap());
    }
}

fn finish(output: Output) -> PathBuf {
    match output.finish(Vec::new(), Default::default(), session()).unwrap() {
        Finished::File(path) => path,
        other => panic!("{other:?}"),
    }
}

fn trace(path: &Path) -> Trace {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

fn lines(path: &Path) -> Vec<Line> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn json_is_spooled_and_put_in_place_at_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    fs::write(&path, "earlier").unwrap();
    let mut output = open(&path, Format::Json).unwrap();
    feed(&mut output, 3);
    let end = Line::Exit { start_id: "1@1/0".into(), exit: exit(7) };
    assert_eq!(output.write_line(&end).unwrap(), Flow::Going);
    assert_eq!(output.flush().unwrap(), Flow::Going);
    assert_eq!(fs::read_to_string(&path).unwrap(), "earlier");
    assert_eq!(lines(&dir.path().join("t.json.spool")).len(), 5);
    assert_eq!(output.starts(), 3);
    assert_eq!(finish(output), path);
    let trace = trace(&path);
    assert_eq!(trace.header.schema, SCHEMA);
    assert_eq!((trace.starts.len(), trace.session.starts), (3, 3));
    assert_eq!(trace.starts[1].exit, Some(exit(7)));
    assert_eq!(names(dir.path()), ["t.json"]);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
}

/// What a tracer that is killed leaves: all that was finished before its last look at the ring.
#[test]
fn a_finished_start_is_in_the_spool_at_the_next_tick() {
    let dir = tempfile::tempdir().unwrap();
    let mut output = open(&dir.path().join("t.json"), Format::Json).unwrap();
    let spooled = || lines(&dir.path().join("t.json.spool")).len();
    feed(&mut output, 2);
    // The rounds of a recording are 20 ms from each other.
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(spooled(), 0);
    assert_eq!(output.tick().unwrap(), Flow::Going);
    assert_eq!(spooled(), 3);
    // One more at once: it waits for the next round, and no longer.
    let begun = Instant::now();
    let go = |flow| assert_eq!(flow, Flow::Going);
    go(output.write_line(&Line::Exit { start_id: "1@1/0".into(), exit: exit(7) }).unwrap());
    while spooled() == 3 {
        assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(5));
        go(output.tick().unwrap());
    }
    assert_eq!(spooled(), 4);
}

#[test]
fn ndjson_goes_straight_into_a_new_file_and_beside_an_old_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.ndjson");
    let mut output = open(&path, Format::Ndjson).unwrap();
    feed(&mut output, 2);
    assert_eq!(output.flush().unwrap(), Flow::Going);
    assert_eq!(lines(&path).len(), 3);
    assert_eq!(finish(output), path);
    assert!(matches!(lines(&path).last(), Some(Line::Footer { session, .. }) if session.starts == 2));

    let old = fs::read(&path).unwrap();
    let mut output = open(&path, Format::Ndjson).unwrap();
    feed(&mut output, 5);
    assert_eq!(output.flush().unwrap(), Flow::Going);
    assert_eq!(fs::read(&path).unwrap(), old);
    assert_eq!(names(dir.path()), ["t.ndjson", "t.ndjson.spool"]);
    assert_eq!(finish(output), path);
    assert_eq!(lines(&path).len(), 7);
    assert_eq!(names(dir.path()), ["t.ndjson"]);
}

#[test]
fn a_spool_of_the_dead_is_left_alone_and_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t.json");
    fs::write(dir.path().join("t.json.spool"), "precious").unwrap();
    symlink("/nonexistent", dir.path().join("t.json.2.spool")).unwrap();
    let output = open(&path, Format::Json).unwrap();
    assert_eq!(output.notices().len(), 2);
    assert!(output.notices()[0].contains("startrace report"));
    let mut output = output;
    feed(&mut output, 1);
    finish(output);
    assert_eq!(names(dir.path()), ["t.json", "t.json.2.spool", "t.json.spool"]);
    let left = fs::read_to_string(dir.path().join("t.json.spool")).unwrap();
    assert_eq!(left, "precious");
}

#[test]
fn two_recordings_do_not_write_one_file() {
    let dir = tempfile::tempdir().unwrap();
    for (name, format) in [("t.json", Format::Json), ("t.ndjson", Format::Ndjson)] {
        let path = dir.path().join(name);
        let mut first = open(&path, format).unwrap();
        feed(&mut first, 1);
        let error = open(&path, format).unwrap_err().to_string();
        assert!(error.contains("another startrace is recording"), "{error}");
        finish(first);
        drop(open(&path, format).unwrap());
    }
    assert_eq!(names(dir.path()), ["t.json", "t.ndjson"]);
}

#[test]
fn an_unnamed_trace_never_replaces_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let target = OutputTarget::Unnamed { folder: dir.path().to_owned(), stem: "s".into() };
    fs::write(dir.path().join("s.json"), "1").unwrap();
    fs::write(dir.path().join("s-2.json.spool"), "2").unwrap();
    let mut output = Output::create(&target, Format::Json, &Owner::own()).unwrap();
    let mut other = Output::create(&target, Format::Json, &Owner::own()).unwrap();
    feed(&mut output, 1);
    feed(&mut other, 2);
    // Somebody takes the name while we record.
    fs::write(dir.path().join("s-3.json"), "3").unwrap();
    assert_eq!(finish(output), dir.path().join("s-2.json"));
    assert_eq!(finish(other), dir.path().join("s-4.json"));
    assert_eq!(trace(&dir.path().join("s-4.json")).starts.len(), 2);
    assert_eq!(fs::read_to_string(dir.path().join("s.json")).unwrap(), "1");

    for name in ["s.ndjson", "s-2.ndjson"] {
        let mut output = Output::create(&target, Format::Ndjson, &Owner::own()).unwrap();
        feed(&mut output, 1);
        assert_eq!(finish(output), dir.path().join(name));
    }
}

#[test]
fn links_folders_and_sockets_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    let link = dir.path().join("link.json");
    symlink(&victim, &link).unwrap();
    let dangling = dir.path().join("dangling.json");
    symlink(dir.path().join("nowhere"), &dangling).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    for format in [Format::Json, Format::Ndjson] {
        for (path, says) in [
            (link.clone(), "symbolic link"),
            (dangling.clone(), "symbolic link"),
            (dir.path().to_owned(), "is a folder"),
            (dir.path().join("x/"), "is a folder"),
            (dir.path().join("socket"), "neither a file nor a pipe"),
            (dir.path().join("none/t.json"), "cannot open the folder"),
            (victim.join("t.json"), "cannot open the folder"),
            (dir.path().join("n".repeat(300)), ""),
        ] {
            let error = open(&path, format).unwrap_err().to_string();
            assert!(error.contains(says), "{}: {error}", path.display());
        }
    }
    assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    assert_eq!(names(dir.path()).len(), 4);
}

#[test]
fn nothing_stays_of_a_recording_that_never_began() {
    let dir = tempfile::tempdir().unwrap();
    for (name, format) in [("a.json", Format::Json), ("a.ndjson", Format::Ndjson)] {
        drop(open(&dir.path().join(name), format).unwrap());
        let mut output = open(&dir.path().join(name), format).unwrap();
        feed(&mut output, 1);
        output.discard();
    }
    assert!(names(dir.path()).is_empty());
    // But what was recorded stays, even where somebody left with an error.
    let mut output = open(&dir.path().join("b.json"), Format::Json).unwrap();
    feed(&mut output, 1);
    drop(output);
    assert_eq!(lines(&dir.path().join("b.json.spool")).len(), 2);
}

#[test]
fn a_full_device_is_an_error_that_names_it() {
    let mut output = open(Path::new("/dev/full"), Format::Ndjson).unwrap();
    feed(&mut output, 1);
    let error = output.flush().unwrap_err();
    assert!(error.to_string().contains("/dev/full"), "{error}");
    assert_eq!(error.cause().unwrap().raw_os_error(), Some(libc::ENOSPC));
    assert!(output.write_line(&Line::Header(header())).is_err());

    let mut output = open(Path::new("/dev/full"), Format::Json).unwrap();
    feed(&mut output, 1);
    assert!(output.finish(Vec::new(), Default::default(), session()).is_err());
}

#[test]
fn a_pipe_gets_lines_or_one_document() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    for format in [Format::Ndjson, Format::Json] {
        let reader = path.clone();
        let reader = std::thread::spawn(move || fs::read_to_string(reader).unwrap());
        let mut output = open(&path, format).unwrap();
        // More than a pipe holds.
        feed(&mut output, 500);
        assert_eq!(output.finish(Vec::new(), Default::default(), session()).unwrap(), Finished::Stream);
        let text = reader.join().unwrap();
        match format {
            Format::Ndjson => assert_eq!(text.lines().count(), 502),
            Format::Json => {
                let trace: Trace = serde_json::from_str(&text).unwrap();
                assert_eq!(trace.starts.len(), 500);
            }
        }
    }
    assert_eq!(names(dir.path()), ["pipe"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    for format in [Format::Ndjson, Format::Json] {
        let (read, write) = nix::unistd::pipe().unwrap();
        let number = std::os::fd::AsRawFd::as_raw_fd(&write);
        let path = PathBuf::from(format!("/dev/fd/{number}"));
        let mut output = open(&path, format).unwrap();
        feed(&mut output, 1);
        drop(read);
        if format == Format::Ndjson {
            assert_eq!(output.flush().unwrap(), Flow::ReaderGone);
            let again = output.write_line(&Line::Header(header())).unwrap();
            assert_eq!(again, Flow::ReaderGone);
        }
        let finished = output.finish(Vec::new(), Default::default(), session()).unwrap();
        assert_eq!(finished, Finished::ReaderGone);
    }
}

#[test]
fn a_slow_reader_of_a_nonblocking_pipe_is_waited_for() {
    let (read, write) = nix::unistd::pipe2(nix::fcntl::OFlag::O_NONBLOCK).unwrap();
    let number = std::os::fd::AsRawFd::as_raw_fd(&write);
    nix::fcntl::fcntl(&read, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::empty())).unwrap();
    let path = PathBuf::from(format!("/dev/fd/{number}"));
    let mut output = open(&path, Format::Ndjson).unwrap();
    drop(write);
    let reader = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        let mut text = String::new();
        File::from(read).read_to_string(&mut text).unwrap();
        text
    });
    feed(&mut output, 1000);
    let finished = output.finish(Vec::new(), Default::default(), session()).unwrap();
    assert_eq!(finished, Finished::Stream);
    assert_eq!(reader.join().unwrap().lines().count(), 1002);
}

#[test]
fn names_choose_target_and_format() {
    for name in ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"] {
        let target = OutputTarget::from_option(OsStr::new(name));
        assert_eq!(target, OutputTarget::Stdout);
    }
    let of = |name: &str, otherwise| Format::of(&OutputTarget::from_option(OsStr::new(name)), otherwise);
    assert_eq!(of("a.ndjson", Format::Json), Format::Ndjson);
    assert_eq!(of("a.json", Format::Ndjson), Format::Json);
    assert_eq!(of("-", Format::Ndjson), Format::Ndjson);
    assert_eq!(of("a", Format::Json), Format::Json);
    assert_eq!(inherited_descriptor(Path::new("/dev/fd/63")), Some(63));
    assert_eq!(inherited_descriptor(Path::new("/dev/fd/../x")), None);
    let closed = open(Path::new("/dev/fd/987"), Format::Ndjson).unwrap_err();
    assert!(closed.to_string().contains("/dev/fd/987"), "{closed}");
}
