use super::*;

const MS: u64 = 1_000_000;

fn phases() -> Vec<Phase> {
    let phase = |name: &str, at_ns, duration_ns, exec| Phase { name: name.into(), at_ns, duration_ns, exec };
    vec![
        phase("exec", 0, MS, Some(0)),
        phase("link", MS, 4 * MS, Some(0)),
        phase("app", 5 * MS, 95 * MS, Some(0)),
    ]
}

fn call(at_ns: u64, op: Op, kind: &'static str, name: &str, error: Option<i32>) -> Kept {
    let bytes = (op == Op::Open && error.is_none()).then_some(100);
    Kept { at_ns, end_ns: at_ns + 1000, tid: 1, op, kind, name: Some(name.into()), error, bytes }
}

#[test]
fn calls_are_summed_by_phase_and_kind() {
    let enoent = Some(libc::ENOENT);
    let files = Files {
        calls: vec![
            call(2 * MS, Op::Open, "shared_library", "/opt/a", enoent),
            call(2 * MS + 1, Op::Open, "shared_library", "/opt/a", enoent),
            call(2 * MS + 2, Op::Open, "shared_library", "/lib/libx.so", None),
            call(6 * MS, Op::Look, "python_source", "/srv", Some(libc::EACCES)),
            call(7 * MS, Op::Look, "other", "", None),
            call(8 * MS, Op::Open, "shared_library", "/lib/liby.so", None),
            call(101 * MS, Op::Open, "other", "/after", None),
        ],
        ..Files::default()
    };
    let got = files.account(0, 100 * MS, &phases()).unwrap();
    let line = |s: &FileSums| {
        format!("{} {} {}/{} {}/{} {}", s.phase, s.kind, s.opened, s.open_failed, s.found, s.missed, s.bytes)
    };
    assert_eq!(
        got.sums.iter().map(line).collect::<Vec<_>>(),
        [
            "link shared_library 1/2 0/0 100",
            "app other 0/0 1/0 0",
            "app python_source 0/0 0/1 0",
            "app shared_library 1/0 0/0 100",
        ]
    );
    assert_eq!((got.opened, got.open_failed, got.found, got.missed, got.spent_ns), (2, 2, 1, 1, 6000));
    assert_eq!(
        got.errors.iter().map(|(k, n)| (k.as_str(), *n)).collect::<Vec<_>>(),
        [("EACCES", 1), ("ENOENT", 2)]
    );
    assert_eq!((got.misses[0].folder.as_str(), got.misses[0].n, got.misses[0].libraries), ("/opt/a", 2, 2));
    assert_eq!(got.files.iter().map(|f| f.at_ns).collect::<Vec<_>>(), [2 * MS + 2, 8 * MS]);
    assert!(Files::default().account(0, 9, &phases()).is_none());
}

#[test]
fn storms_are_bounded_and_the_sums_stay_exact() {
    let mut files = Files::default();
    for n in 0..100_000u64 {
        let name = format!("/d{}", n % 5000);
        let error = (n % 2 == 0).then_some(libc::ENOENT);
        files.calls.push(call(MS + n * 900, Op::Open, "other", &name, error));
        if files.calls.len() >= MAX_CALLS {
            files.fold(0, &phases());
        }
    }
    assert!(files.calls.len() < MAX_CALLS && files.folded.listed.len() < 2 * MAX_LISTED);
    let got = files.account(0, 100 * MS, &phases()).unwrap();
    assert_eq!((got.opened, got.open_failed), (50_000, 50_000));
    assert_eq!(got.sums.iter().map(|s| s.spent_ns).sum::<u64>(), 100_000_000);
    assert_eq!(got.files.len() as u64 + got.files_left_out, 50_000);
    assert_eq!(got.misses.iter().map(|m| m.n).sum::<u64>() + got.misses_left_out, 50_000);
    assert_eq!((got.files.len(), got.misses.len()), (MAX_LISTED, MAX_MISSES));
    // By phase: exactly those that began in it.
    let link: u64 = got.sums.iter().filter(|s| s.phase == "link").map(|s| s.opened + s.open_failed).sum();
    assert_eq!(link, (4 * MS).div_ceil(900));
}

#[test]
fn a_sourced_file_costs_until_the_next() {
    let source = |at_ns, path: &str, exec| Source { at_ns, path: path.into(), exec, told: None };
    let files = Files {
        sourced: vec![
            source(10 * MS, "/etc/profile", Some(0)),
            source(30 * MS, "/root/.profile", Some(0)),
            source(120 * MS, "late", Some(0)),
        ],
        calls: vec![call(10 * MS, Op::Open, "other", "/etc/profile", None)],
        ..Files::default()
    };
    let got = files.account(0, 100 * MS, &phases()).unwrap();
    let times: Vec<_> = got.sourced.iter().map(|s| (s.path.as_str(), s.duration_ns / MS)).collect();
    assert_eq!(times, [("/etc/profile", 20), ("/root/.profile", 70)]);
}

#[test]
fn a_sourced_file_that_was_told_costs_until_its_end() {
    let mut files = Files { calls: vec![call(10 * MS, Op::Open, "other", "/x", None)], ..Files::default() };
    // The last is left without an end, within the one before it; `name.sh` is only opened.
    let all = [(20, Some(60), "outer"), (30, Some(45), "inner"), (61, Some(90), "third"), (70, None, "left")];
    for (at, end, path) in all {
        let (at_ns, end_ns) = (at * MS, end.map(|end: u64| end * MS));
        let told = Some(files.told.len());
        files.told.push(Told { tid: 1, exec: Some(0), at_ns, end_ns, opened: true });
        files.sourced.push(Source { at_ns, path: path.into(), exec: Some(0), told });
    }
    let name = Source { at_ns: 92 * MS, path: "name.sh".into(), exec: Some(0), told: None };
    files.sourced.push(name);
    let got = files.account(0, 100 * MS, &phases()).unwrap();
    let ms = |ns: Option<u64>| ns.map(|ns| ns / MS);
    let times: Vec<_> = got.sourced.iter().map(|s| (&*s.path, ms(s.whole_ns), ms(s.own_ns))).collect();
    assert_eq!(
        times,
        [
            ("outer", Some(40), Some(25)),
            ("inner", Some(15), Some(15)),
            ("third", Some(29), Some(9)),
            ("left", Some(30), Some(30)),
            ("name.sh", None, None)
        ]
    );
}

#[test]
fn folders_of_odd_paths() {
    for (path, want) in [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("", "."), ("a/b/", "a/b"), ("//x", "/")] {
        assert_eq!(folder(path), want, "{path}");
    }
    assert_eq!(bounded(&"ü".repeat(5000)).len(), 4096);
}
