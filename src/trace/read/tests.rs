use super::*;
use std::io::Write;

const HEADER: &str = r#"{"schema":"startrace/1","tool":{"name":"startrace","version":"0"},"host":{"hostname":"h","kernel":"6","arch":"x","cpus":1}"#;
const SESSION: &str = r#"{"mode":"system","target":{},"level":"lifecycle","started_at":"","duration_ns":5,"ended_by":"x","complete":true,"lost":{},"hooks":[],"starts":1}"#;

fn start(id: &str) -> String {
    format!(
        r#"{{"start_id":"{id}","id":"1@1","seq":0,"partial":false,"pid":1,"comm":"c","method":{{"name":"fork","confidence":"guess","evidence":[],"clone_flags":[]}},"argv_truncated":false,"execs":[],"timeline":{{"started_at":"","origin_boottime_ns":0,"origin":"entry","duration_ns":1,"ready":{{"kind":"exit","at_ns":1,"inferred":false}},"phases":[],"phase_ns":{{}},"milestones":[]}},"later":{{"a":[{{}}]}}}}"#
    )
}

fn typed(kind: &str, object: &str) -> String {
    format!(r#"{{"type":"{kind}",{}"#, &object[1..])
}

fn header_line() -> String {
    typed("header", &format!("{HEADER}}}"))
}

fn footer_line() -> String {
    format!(r#"{{"type":"footer","groups":[],"session":{SESSION}}}"#)
}

fn document(starts: &[String]) -> String {
    format!(r#"{HEADER},"starts":[{}],"groups":[],"new":[1],"session":{SESSION}}}"#, starts.join(","))
}

/// Hands over one byte at a time at first, as a pipe may.
struct Slow(std::io::Cursor<Vec<u8>>);

impl Read for Slow {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = if self.0.position() < 300 { 1 } else { buf.len() };
        self.0.read(buf.get_mut(..n.min(buf.len())).unwrap_or_default())
    }
}

fn load_bytes(bytes: impl Into<Vec<u8>>) -> Result<Loaded, ReadError> {
    Reader::new("t".into(), Box::new(Slow(std::io::Cursor::new(bytes.into()))))?.load()
}

fn error(bytes: impl Into<Vec<u8>>) -> String {
    load_bytes(bytes).unwrap_err().to_string()
}

#[test]
fn both_forms_hold_the_same() {
    let starts = [start("a"), start("b")];
    let from_document = load_bytes(document(&starts)).unwrap();
    assert!(from_document.is_complete());
    let lines: Vec<String> = starts.iter().map(|s| typed("start", s)).collect();
    let text = format!("{}\n\n{}\n{}\n", header_line(), lines.join("\n"), footer_line());
    let from_lines = load_bytes(text).unwrap();
    assert!(from_lines.is_complete());
    assert_eq!(from_document.starts, from_lines.starts);
    assert_eq!(from_document.header, from_lines.header);
    assert_eq!(from_document.session, from_lines.session);
}

#[test]
fn failed_forks_are_handed_on_from_both_forms() {
    let failed = r#"{"boottime_ns":5,"duration_ns":null,"by":{"start_id":null,"id":null,"pid":7,"comm":"make"},"primitive":"clone","error":"EAGAIN"}"#;
    let text = [header_line(), typed("failed_fork", failed), footer_line()].join("\n");
    let from_lines = load_bytes(text).unwrap();
    assert_eq!((from_lines.unknown_lines, from_lines.failed_forks.len()), (0, 1));
    assert_eq!(from_lines.failed_forks[0].by.pid, 7);
    let lists = format!(r#"],"failed_forks":[{failed},{failed}],"groups":["#);
    let text = document(&[start("a")]).replace(r#"],"groups":["#, &lists);
    let from_document = load_bytes(text).unwrap();
    assert_eq!(
        from_document.failed_forks,
        [from_lines.failed_forks[0].clone(), from_lines.failed_forks[0].clone()]
    );
    assert_eq!(from_document.starts.len(), 1);
}

#[test]
fn keys_come_in_any_order() {
    // As `jq -S` writes them.
    let mut value: serde_json::Value = serde_json::from_str(&document(&[start("a")])).unwrap();
    value.sort_all_objects();
    let sorted = serde_json::to_string_pretty(&value).unwrap();
    assert!(sorted.find("groups").unwrap() < sorted.find("schema").unwrap());
    assert_eq!(load_bytes(sorted).unwrap().starts.len(), 1);
    let mut line = serde_json::from_str::<serde_json::Value>(&header_line()).unwrap();
    line["aaa"] = serde_json::json!({"starts": 1, "type": "x", "k\"": ["{"]});
    let text = format!("{line}\n{}\n", footer_line());
    assert!(load_bytes(text).unwrap().is_complete());
}

#[test]
fn later_lines_are_merged() {
    let exit = r#"{"code":3,"signal":null,"core":false,"killed_by":null,"at_ns":9}"#;
    let method = r#"{"name":"daemon","confidence":"likely","evidence":[],"clone_flags":[]}"#;
    let text = [
        header_line(),
        typed("start", &start("a")),
        format!(r#"{{"type":"exit","start_id":"a","exit":{exit}}}"#),
        format!(r#"{{"start_id":"a","method":{method},"type":"method"}}"#),
        format!(r#"{{"type":"exit","start_id":"nobody","exit":{exit}}}"#),
        r#"{"type":"weather","sunny":true}"#.into(),
        footer_line(),
    ]
    .join("\n");
    let loaded = load_bytes(text).unwrap();
    assert_eq!(loaded.starts[0].exit.as_ref().unwrap().code, Some(3));
    assert_eq!(loaded.starts[0].method.name, "daemon");
    assert_eq!((loaded.unknown_lines, loaded.unmatched_lines), (1, 1));
}

#[test]
fn what_was_written_before_a_cut_is_kept() {
    let whole =
        format!("{}\n{}\n{}\n", header_line(), typed("start", &start("a")), typed("start", &start("b")));
    let second = whole.trim_end().rfind('\n').unwrap() + 1;
    for end in header_line().len()..whole.len() {
        let loaded = load_bytes(&whole[..end]).unwrap();
        assert!(loaded.cut_off.is_some() && !loaded.is_complete());
        let lines = whole[..end].trim_end().lines().count() - 1;
        let torn = end > second && end < whole.len() - 1;
        assert!(loaded.starts.len() >= lines.saturating_sub(1), "{end}");
        assert!(!torn || loaded.starts.len() == 1, "{end}");
    }
    let whole = document(&[start("a"), start("b")]);
    let first_end = whole.find("},{\"start_id\":\"b\"").unwrap() + 1;
    for end in first_end..whole.len() {
        let loaded = load_bytes(&whole[..end]).unwrap();
        assert!(loaded.cut_off.is_some() && !loaded.starts.is_empty(), "{end}");
    }
    // A power cut can leave zeros.
    let zeros = [format!("{}\n", header_line()).as_bytes(), &[0; 512]].concat();
    assert!(load_bytes(zeros).unwrap().cut_off.is_some());
    for end in 1..20 {
        assert!(matches!(load_bytes(&whole[..end]).unwrap_err().kind(), ErrorKind::CutOffInHeader));
    }
}

#[test]
fn errors_say_what_is_wrong_and_where() {
    assert!(error("").contains("is empty"));
    assert!(error(" \n ").contains("is empty"));
    assert!(error("hello").contains("line 1, column 1: expected value"));
    assert!(error("[1]").contains("invalid type"));
    assert!(error("{}").contains("names no schema"));
    assert!(error(r#"{"type":"start"}"#).contains("missing field"));
    assert!(error(r#"{"type":"other"}"#).contains("before any header"));
    assert!(error(r#"{"type":"header"}"#).contains("names no schema"));
    assert!(error(r#"{"schema":"startrace/1","starts":[]}"#).contains("no `tool`"));
    assert!(error(b"\x1f\x8b\x08").contains("gzip -dc"));
    for newer in
        [r#"{"schema":"startrace/2","starts":7}"#, "{\"type\":\"header\",\"schema\":\"startrace/12\"}\n"]
    {
        let text = error(newer);
        assert!(text.contains("newer startrace") && text.contains("upgrade"), "{text}");
    }
    assert!(error(r#"{"schema":"startrace/0"}"#).contains("reads startrace/1"));
    let text = error("{\"schema\":\"\\u001b[31m\"}");
    assert!(text.contains("not a startrace trace") && !text.contains('\x1b'), "{text}");

    let bad = format!("{}\n{{\"type\":\"start\",\"pid\":}}\n{}\n", header_line(), footer_line());
    assert!(error(bad).contains("line 2, column 23"));
    let pretty = document(&[start("a")]).replacen("\"pid\":1", "\n\"pid\":-1", 1);
    let text = error(pretty);
    assert!(text.contains("line 2, column 8") && text.contains("-1"), "{text}");
    let twice = format!("{}\n{}\n", header_line(), header_line());
    assert!(error(twice).contains("second header"));
    let trailing = format!("{} x", document(&[]));
    assert!(error(trailing).contains("trailing characters"));
}

#[test]
fn errors_in_documents_have_their_place_in_the_file() {
    // Several batches long.
    let many: Vec<String> = (0..50).map(|n| start(&n.to_string())).collect();
    let whole = document(&many).replace("},{\"start_id\"", "},\n{\"start_id\"");
    assert_eq!(load_bytes(whole.clone()).unwrap().starts.len(), 50);
    let has = |text: String, wanted: &str| assert!(text.contains(wanted), "{text}\n{wanted}");
    let place = |from: &str, to: &str| error(whole.replacen(from, to, 1));
    let (id, line) = ("{\"start_id\":\"40\"", "line 41, column");
    has(place(id, "{\"start_id\":7"), &format!("{line} 13: invalid type: integer `7`"));
    has(place("\"new\":[1]", "\"new\":[1 2]"), "expected `,` or `]`");
    has(place(id, "{\"start_id\"40"), &format!("{line} 12: expected `:`"));
    let (end, last) = ("],\"groups\"", whole.lines().last().unwrap().find("],\"groups\"").unwrap());
    has(place(end, "],groups"), &format!("line 50, column {}: key must be a string", last + 3));
    has(place(end, "] \"groups\""), &format!("line 50, column {}: expected `,` or `}}`", last + 3));
    has(place("\"groups\":[]", "\"groups\":7"), "invalid type: integer `7`, expected a sequence");
    has(place("\"groups\":[]", "\"groups\":[7]"), "invalid type: integer `7`, expected struct Group");
    has(place("\"new\":[1]", "\"new\":[01]"), "invalid number");
    has(place("\"new\":[1]", "\"new\":[1,]"), "expected value");
    assert!(error(format!("{}}}", whole.trim_end())).contains("trailing characters"));
    // All that comes before is handed over first.
    let mut n = 0;
    let bytes = whole.replacen(id, "7", 1).into_bytes();
    let reader = Reader::new("t".into(), Box::new(std::io::Cursor::new(bytes))).unwrap();
    let outcome = reader.read(&mut |item| {
        n += u32::from(matches!(item, Item::Start(_)));
        ControlFlow::Continue(())
    });
    assert!(outcome.is_err());
    assert_eq!(n, 40);
}

#[test]
fn both_forms_are_glanced_at() {
    struct Glances(Vec<String>, usize);
    impl Take for Glances {
        fn detail(&self) -> Option<Detail> {
            Some(Detail::Sums)
        }
        fn glance(&mut self, start: &Start) -> Glance {
            self.0.push(start.start_id.clone());
            if start.start_id == "7" { Glance::Whole } else { Glance::Enough }
        }
        fn item(&mut self, item: Item) -> ControlFlow<()> {
            self.1 += usize::from(matches!(item, Item::Start(start) if start.start_id == "7"));
            ControlFlow::Continue(())
        }
    }
    let full =
        |n: u32| serde_json::to_string(&Start { start_id: n.to_string(), ..Start::default() }).unwrap();
    let starts: Vec<String> = (0..20).map(full).collect();
    let lines: Vec<String> = starts.iter().map(|start| typed("start", start)).collect();
    let lines = format!("{}\n{}\n{}\n", header_line(), lines.join("\n"), footer_line());
    for text in [document(&starts), lines] {
        let mut glances = Glances(Vec::new(), 0);
        let reader = Reader::new("t".into(), Box::new(std::io::Cursor::new(text.into_bytes()))).unwrap();
        assert!(reader.take(&mut glances).unwrap().session.is_some());
        assert_eq!(glances.0, (0..20).map(|n| n.to_string()).collect::<Vec<_>>());
        assert_eq!(glances.1, 1);
    }
}

/// So many bytes of one text, as no file would be made for a test.
fn endless(head: &str, filler: &'static [u8]) -> Box<dyn Read> {
    struct Repeat(&'static [u8]);
    impl Read for Repeat {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let whole = buf.len() - buf.len() % self.0.len();
            if let [byte] = self.0 {
                buf.fill(*byte);
            } else {
                buf[..whole].chunks_exact_mut(self.0.len()).for_each(|c| c.copy_from_slice(self.0));
            }
            Ok(whole)
        }
    }
    Box::new(std::io::Cursor::new(head.as_bytes().to_vec()).chain(Repeat(filler)))
}

#[test]
fn records_without_end_are_refused() {
    let line = format!("{}\n{{\"type\":\"", header_line());
    for (head, filler, wanted) in [
        (line.as_str(), &b"x"[..], "line 2: a record of more than 2 MiB"),
        ("{\"type\":\"", b"x", "more than 2 MiB"),
        ("{\"schema\":\"", b"x", "more than 2 MiB"),
        ("{\"unknown\":", b"[", "nested more than 128"),
        ("{\"starts\":[{\"unknown\":[", b"1,", "more than 2 MiB"),
        ("", b" ", "megabyte of blanks"),
    ] {
        let error = Reader::new("t".into(), endless(head, filler)).and_then(Reader::load);
        let text = error.unwrap_err().to_string();
        assert!(text.contains(wanted), "{head}: {text}");
    }
}

#[test]
fn the_caller_can_stop() {
    for text in [
        document(&[start("a"), start("b")]),
        format!("{}\n{}\nnot json\nat all\n", header_line(), typed("start", &start("a"))),
    ] {
        let reader = Reader::new("t".into(), Box::new(std::io::Cursor::new(text.into_bytes()))).unwrap();
        let mut n = 0;
        let ending = reader.read(&mut |item| {
            n += 1;
            if matches!(item, Item::Start(_)) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert_eq!(ending.unwrap().header.schema, SCHEMA);
        assert_eq!(n, 2);
    }
}

#[test]
fn files_are_found_and_named_in_errors() {
    let folder = tempfile::tempdir().unwrap();
    let text = |path: &Path| open(path).unwrap_err().to_string();
    assert!(text(&folder.path().join("none\x1b")).ends_with("none\\x1b: no such file"));
    assert!(text(folder.path()).contains("is a folder"));
    assert!(newest(folder.path()).unwrap_err().to_string().contains("name a FILE"));
    for (i, name) in
        ["startrace-a.json", "startrace-b.ndjson", "startrace-c.json.spool", "other.json"].iter().enumerate()
    {
        let path = folder.path().join(name);
        let mut file = File::create(&path).unwrap();
        file.write_all(document(&[]).as_bytes()).unwrap();
        let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(i as u64);
        file.set_modified(time).unwrap();
        if *name != "other.json" {
            assert_eq!(newest(folder.path()).unwrap(), path);
        }
        assert!(load(&path).unwrap().is_complete());
    }
    std::fs::create_dir(folder.path().join("startrace-d.json")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("startrace-e.json")).unwrap();
    assert!(newest(folder.path()).unwrap().ends_with("startrace-c.json.spool"));
}
