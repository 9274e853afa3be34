//! `startrace diff`: what is matched, what is said of it, and when it fails; from made traces, without root.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "traces/mod.rs"]
mod traces;

use serde_json::{Value, json};
use startrace::compare::{
    Comparison, Digest, Map, MatchedBy, Options, Outcome, Pair, Representative, Side, Unit, Verdict, compare,
    html, markdown, text,
};
use startrace::report::Style;
use std::path::Path;
use std::process::{Command, Output};
use traces::{MS, Spec, jitter, reader, spec, trace, write};
use unicode_width::UnicodeWidthStr;

const STYLE: Style = Style { width: 80, color: false, unicode: true };

fn sides(base: &[Value], new: &[Value], maps: &[&str], options: &Options) -> Comparison {
    let maps: Vec<Map> = maps.iter().map(|map| map.parse().unwrap()).collect();
    let mut digest = Digest::new(maps);
    for (side, traces) in [(Side::BASE, base), (Side::NEW, new)] {
        for trace in traces {
            digest.add(reader(trace), side).unwrap();
        }
    }
    compare(&digest, Side::BASE, Side::NEW, options)
}

fn limited(limit: &str) -> Options {
    Options { limit: Some(limit.parse().unwrap()), ..Options::default() }
}

/// Runs of a command that starts one helper; each `ms` long on average.
fn runs(n: u64, ms: u64, helper_ms: u64) -> Vec<Value> {
    (0..n)
        .map(|i| {
            let mut root = spec(100 + i, None, "app --port 8080", jitter(ms * MS, i));
            let helper = spec(900 + i, Some(100 + i), "helper -v", jitter(helper_ms * MS, i));
            let rest = root.duration() - MS - helper.duration();
            let of_helper: &'static str = Box::leak(format!("running:{}", 900 + i).into_boxed_str());
            root.path = vec![("creating", MS), ("running", rest), (of_helper, helper.duration())];
            trace(&[root, helper])
        })
        .collect()
}

fn pair<'c>(comparison: &'c Comparison, label: &str) -> &'c Pair {
    let found: Vec<&Pair> = comparison.pairs.iter().filter(|p| p.new.label.starts_with(label)).collect();
    assert_eq!(found.len(), 1, "{label} in {:#?}", comparison.pairs);
    found[0]
}

fn told(comparison: &Comparison) -> String {
    let mut out = Vec::new();
    text(comparison, true, &STYLE, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn marked(comparison: &Comparison) -> String {
    let mut out = Vec::new();
    markdown(comparison, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_slower_helper_is_found_with_its_share() {
    let found = sides(&runs(10, 100, 40), &runs(10, 150, 90), &[], &limited("10%"));
    let root = pair(&found, "app");
    assert!(root.is_root());
    assert_eq!((root.verdict, root.unit), (Verdict::Slower, Unit::Run));
    assert_eq!(root.matched_by, MatchedBy::Everything);
    let by = root.shift.unwrap();
    assert!((48 * MS..54 * MS).contains(&by.estimate_ns.cast_unsigned()), "{by:?}");
    let (low, high) = by.interval_ns.unwrap();
    assert!(low <= by.estimate_ns && by.estimate_ns <= high && low > 0);
    // All of it is the helper's, by the critical path; so it comes first.
    let helper = &found.pairs[0];
    assert_eq!(helper.new.label, "helper -v");
    assert_eq!(helper.new.parent.as_deref(), Some("app --port 8080"));
    assert!((48 * MS..54 * MS).contains(&helper.contribution_ns.cast_unsigned()), "{helper:?}");
    assert!(root.contribution_ns.unsigned_abs() < 3 * MS, "{}", root.contribution_ns);
    assert_eq!(helper.phases[0].name, "app");
    assert!(helper.phases[0].shift_ns.unsigned_abs().abs_diff(50 * MS) < 4 * MS);
    let gate = found.gate.as_ref().unwrap();
    assert_eq!((gate.outcome, gate.looked_at), (Outcome::Slower, 1));
    let text = told(&found);
    assert!(text.starts_with("app --port 8080: +5"), "{text}");
    // Two numbers that need not fit: each is called what it is.
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flat.contains("ms (medians), shift +5"), "{text}");
    assert!(marked(&found).contains("| base (median) | new (median) | shift |"), "{}", marked(&found));
    assert!(text.contains("FAILED: slower by more than 10 %"), "{text}");
}

#[test]
fn equal_sides_pass_and_few_samples_do_not_decide() {
    let same = sides(&runs(10, 100, 40), &runs(10, 100, 40), &[], &limited("1%"));
    assert_eq!(same.gate.as_ref().unwrap().outcome, Outcome::Passed);
    assert!(same.pairs.iter().all(|pair| pair.verdict == Verdict::Same));
    // Three against three, however far apart; and one against one.
    for n in [3, 1] {
        let few = sides(&runs(n, 100, 40), &runs(n, 300, 40), &[], &limited("10%"));
        assert_eq!(few.gate.as_ref().unwrap().outcome, Outcome::TooFew);
        let root = pair(&few, "app");
        assert_eq!((root.verdict, root.p), (Verdict::TooFew, None));
        assert_eq!(root.shift.unwrap().interval_ns, None);
        assert!(told(&few).contains("TOO FEW SAMPLES"), "{}", told(&few));
        // Of one sample each, the shift is their difference.
        assert_eq!(told(&few).contains("shift"), n > 1, "{}", told(&few));
    }
    // Four are enough for a difference that is plain.
    let plain = sides(&runs(4, 100, 40), &runs(4, 300, 40), &[], &limited("50ms"));
    assert_eq!(plain.gate.as_ref().unwrap().outcome, Outcome::Slower);
    let faster = sides(&runs(4, 300, 40), &runs(4, 100, 40), &[], &limited("0%"));
    assert_eq!(faster.gate.as_ref().unwrap().outcome, Outcome::Passed);
    assert_eq!(pair(&faster, "app").verdict, Verdict::Faster);
    // Over the limit, but it may be chance.
    let wide = |shift: u64| -> Vec<Value> {
        (0..5).map(|i| trace(&[spec(1, None, "app", (100 + shift + 40 * (i * 3 % 5)) * MS)])).collect()
    };
    let unclear = sides(&wide(0), &wide(20), &[], &limited("5%"));
    assert_eq!(unclear.gate.as_ref().unwrap().outcome, Outcome::TooFew);
    assert_eq!(pair(&unclear, "app").verdict, Verdict::Unclear);
}

#[test]
fn starts_are_matched_by_what_they_are() {
    let one = |specs: &[Spec]| [trace(specs)];
    let root = |ms| spec(1, None, "app", ms * MS);
    // Numbers, folders, random names.
    let base = spec(2, Some(1), "work --port=1 /srv/a/x.py /tmp/tmpQQ/s", 10 * MS);
    let new = spec(3, Some(1), "work --port=65000 /home/b/x.py /tmp/other", 10 * MS);
    let found =
        sides(&one(&[root(50), base.clone()]), &one(&[root(50), new.clone()]), &[], &Options::default());
    assert_eq!(pair(&found, "work").matched_by, MatchedBy::Everything);
    assert!(pair(&found, "work").changes.is_empty(), "{:?}", pair(&found, "work").changes);

    let changed = |edit: &dyn Fn(&mut Spec)| {
        let mut other = base.clone();
        edit(&mut other);
        sides(&one(&[root(50), base.clone()]), &one(&[root(50), other]), &[], &Options::default())
    };
    let what = |found: &Comparison| -> Vec<(&'static str, String)> {
        found.pairs.iter().flat_map(|p| &p.changes).map(|c| (c.what, c.new.clone())).collect()
    };
    let found = changed(&|s| s.method = "fork_exec".into());
    assert_eq!(what(&found), [("method", "fork_exec".to_owned())]);
    assert_eq!(pair(&found, "work").matched_by, MatchedBy::AllButMethod);
    let found = changed(&|s| s.exe = "/opt/v2/work".into());
    assert_eq!(what(&found), [("executable", "/opt/v2/work".to_owned())]);
    assert_eq!(pair(&found, "work").matched_by, MatchedBy::AllButPath);
    let found = changed(&|s| (s.build_id, s.needed) = ("b2", 7));
    assert_eq!(what(&found), [("build-id", "b2".to_owned()), ("needed libraries", "7".to_owned())]);
    assert_eq!(pair(&found, "work").matched_by, MatchedBy::Everything);
    let found = changed(&|s| s.argv.push("--fast".into()));
    assert_eq!(pair(&found, "work").matched_by, MatchedBy::AllButArguments);
    assert_eq!(what(&found)[0].0, "arguments");
    let found = changed(&|s| s.parent = None);
    assert_eq!(pair(&found, "work").matched_by, MatchedBy::AllButPlace);
    assert!(what(&found).iter().any(|(what, _)| *what == "started by"), "{:?}", what(&found));
    let found = changed(&|s| (s.ready, s.exit) = ("quiet", Some(3)));
    assert_eq!(what(&found), [("ready by", "quiet".to_owned()), ("exit", "failed".to_owned())]);

    // Another command is the command all the same; what it starts is not "moved".
    let mut other = spec(1, None, "other --way", 70 * MS);
    other.exe = "/usr/local/bin/other".into();
    let found =
        sides(&one(&[root(50), base.clone()]), &one(&[other, base.clone()]), &[], &Options::default());
    assert_eq!(pair(&found, "other").matched_by, MatchedBy::Command);
    assert!(pair(&found, "work").changes.is_empty(), "{:?}", pair(&found, "work").changes);
    // Of another program nothing is matched.
    let found = changed(&|s| (s.exe, s.argv) = ("/bin/else".into(), vec!["else".into(), "-x".into()]));
    assert_eq!((found.appeared.len(), found.vanished.len()), (1, 1));
    assert_eq!(found.appeared[0].label, "else -x");
    let text = told(&found);
    assert!(text.contains("NEW PROCESSES\n  else -x\n"), "{text}");
    assert!(text.contains("VANISHED PROCESSES\n  work "), "{text}");
}

#[test]
fn maps_say_which_paths_are_the_same() {
    let of = |folder: &str| {
        let mut start = spec(1, None, "app", 10 * MS);
        start.exe = format!("{folder}/bin/app");
        start.argv.push(format!("--in={folder}/conf"));
        [trace(&[start])]
    };
    let map = ["/opt/app-1=/opt/app-2"];
    let found = sides(&of("/opt/app-1"), &of("/opt/app-2"), &map, &Options::default());
    assert_eq!(found.pairs[0].matched_by, MatchedBy::Everything);
    assert!(found.pairs[0].changes.is_empty());
    let found = sides(&of("/opt/app-1"), &of("/opt/app-2"), &[], &Options::default());
    assert_eq!(found.pairs[0].changes[0].what, "executable");
}

#[test]
fn many_starts_of_one_run_are_samples_only_where_runs_are_few() {
    let pool = |n: u64, ms: u64| {
        let mut all = vec![spec(1, None, "app", 400 * MS)];
        all.extend((0..n).map(|i| spec(10 + i, Some(1), &format!("worker {i}"), jitter(ms * MS, i))));
        trace(&all)
    };
    let found = sides(&[pool(8, 20)], &[pool(16, 30)], &[], &Options::default());
    let worker = pair(&found, "worker");
    assert_eq!((worker.unit, worker.verdict), (Unit::Start, Verdict::Slower));
    assert_eq!(worker.new.label, "worker #");
    assert!(worker.changes.iter().any(|c| c.what == "starts in a run" && c.base == "8" && c.new == "16"));
    // Five runs: five samples, not forty.
    let five = |ms| -> Vec<Value> { (0..5).map(|_| pool(8, ms)).collect() };
    let found = sides(&five(20), &five(30), &[], &Options::default());
    let worker = pair(&found, "worker");
    assert_eq!((worker.unit, worker.base.tally.duration.unwrap().n), (Unit::Run, 5));
}

#[test]
fn what_has_no_end_is_counted_and_not_compared() {
    let mut endless = runs(6, 100, 40);
    for trace in endless.iter_mut().take(2) {
        trace["starts"][0]["timeline"]["ready"]["kind"] = json!("timeout");
    }
    endless[2]["starts"][0]["partial"] = json!(true);
    endless[2]["session"]["complete"] = json!(false);
    endless[2]["session"]["lost"] = json!({"events": 3});
    let found = sides(&runs(6, 100, 40), &endless, &[], &limited("10%"));
    let root = pair(&found, "app");
    assert_eq!((root.new.tally.unfinished, root.new.tally.partial), (2, 1));
    assert_eq!(root.new.tally.duration.unwrap().n, 3);
    assert!(!found.new.complete && found.base.complete);
    assert!(found.warnings[0].contains("INCOMPLETE (lost: events 3)"), "{:?}", found.warnings);
    assert_eq!(found.gate.as_ref().unwrap().outcome, Outcome::Slower);
    assert!(told(&found).contains("2 of 6 starts never became ready"), "{}", told(&found));
    assert!(told(&found).contains("2 not finished, 1 begun before the recording of 6"), "{}", told(&found));
}

#[test]
fn picked_executables_are_all_that_is_judged() {
    let only = |exe: &str, limit: &str| Options { only: vec![exe.into()], ..limited(limit) };
    let (base, new) = (runs(8, 200, 40), runs(8, 200, 90));
    assert_eq!(sides(&base, &new, &[], &limited("5%")).gate.unwrap().outcome, Outcome::Passed);
    let found = sides(&base, &new, &[], &only("hel*", "5%"));
    assert_eq!(found.pairs.len(), 1);
    assert_eq!(found.gate.unwrap().outcome, Outcome::Slower);
    let found = sides(&base, &new, &[], &only("/usr/bin/helper", "100ms"));
    assert_eq!(found.gate.unwrap().outcome, Outcome::Passed);
    let found = sides(&base, &new, &[], &only("nothing", "5%"));
    assert_eq!(found.gate.as_ref().unwrap().outcome, Outcome::TooFew);
    assert!(told(&found).contains("--exe picks nothing"), "{}", told(&found));
}

#[test]
fn hostile_and_absurd_traces_do_no_harm() {
    let evil = "\x1b]0;owned\x07\u{202e}`|</details>@all #1 [x](http://e)\n\u{301}";
    let mut bad = trace(&[spec(1, None, "app", 5 * MS), spec(2, Some(1), "b", MS * 4)]);
    for start in bad["starts"].as_array_mut().unwrap() {
        for path in ["/comm", "/exe", "/method/name", "/timeline/ready/kind", "/binary/build_id"] {
            *start.pointer_mut(path).unwrap() = json!(evil);
        }
        start["argv"] = json!([evil, evil, "x".repeat(100_000)]);
        start["timeline"]["duration_ns"] = json!(u64::MAX);
        start["timeline"]["phase_ns"] = json!({evil: u64::MAX, "app": u64::MAX});
        let many: serde_json::Map<String, Value> =
            (0..500).map(|i| (format!("{evil}{i}"), json!(u64::MAX - i))).collect();
        start["timeline"]["path_ns"] = Value::Object(many);
        for segment in start["timeline"]["critical_path"].as_array_mut().unwrap() {
            segment["duration_ns"] = json!(u64::MAX);
        }
    }
    // Parents in a circle, and one that is its own.
    bad["starts"][0]["parent"]["start_id"] = bad["starts"][1]["start_id"].clone();
    let mut own = bad["starts"][1].clone();
    own["start_id"] = json!("9@9/0");
    own["parent"]["start_id"] = json!("9@9/0");
    bad["starts"].as_array_mut().unwrap().push(own);
    bad["host"]["hostname"] = json!(evil);
    bad["session"]["lost"] = json!({evil: u64::MAX});
    bad["session"]["complete"] = json!(false);
    let good = trace(&[spec(1, None, "app", 5 * MS)]);
    for (a, b) in [(&bad, &good), (&good, &bad), (&bad, &bad)] {
        let found = sides(std::slice::from_ref(a), std::slice::from_ref(b), &[], &limited("1%"));
        for width in [40, 80, 200] {
            let style = Style { width, ..STYLE };
            let mut out = Vec::new();
            text(&found, true, &style, &mut out).unwrap();
            for line in String::from_utf8(out).unwrap().lines() {
                assert!(line.width() <= width, "{} columns: {line}", line.width());
                assert!(!line.chars().any(|c| c.is_control() || c == '\u{202e}'), "{line:?}");
            }
        }
        let page = marked(&found);
        assert!(!page.contains("\x1b") && !page.contains('\u{202e}'), "{page}");
        let outside = page.replace("<details><summary>Where the difference lies</summary>", "");
        // The only other `</details>` outside of code is our own.
        let bare: Vec<&str> = outside.lines().filter(|l| l.trim() == "</details>").collect();
        assert!(bare.len() <= 1);
        serde_json::to_string(&found).unwrap();
    }
    // Nothing at all on a side.
    let empty = trace(&[]);
    let found = sides(&[empty], &[good], &[], &limited("1%"));
    assert_eq!(found.gate.as_ref().unwrap().outcome, Outcome::TooFew);
    assert!(told(&found).contains("BASE has no starts at all"));
}

fn folder(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn run(args: &[&std::ffi::OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_startrace")).arg("diff").args(args).output().unwrap()
}

#[test]
fn recorded_traces_are_equal_to_themselves() {
    for entry in std::fs::read_dir(folder("traces")).unwrap() {
        let file = entry.unwrap().path();
        let found = {
            let mut digest = Digest::new(Vec::new());
            for side in [Side::BASE, Side::NEW] {
                digest.add(startrace::trace::read::open(&file).unwrap(), side).unwrap();
            }
            compare(&digest, Side::BASE, Side::NEW, &Options::default())
        };
        assert!(found.appeared.is_empty() && found.vanished.is_empty(), "{}", file.display());
        for pair in &found.pairs {
            assert_eq!(pair.matched_by, MatchedBy::Everything, "{}", file.display());
            assert!(pair.changes.is_empty(), "{:?}", pair.changes);
            assert_eq!(pair.contribution_ns, 0);
            assert!(pair.shift.is_none_or(|shift| shift.estimate_ns == 0));
            assert!(pair.phases.iter().chain(&pair.path).all(|part| part.shift_ns == 0));
        }
    }
}

#[test]
fn the_command_says_how_it_ended() {
    let dir = tempfile::tempdir().unwrap();
    for (name, ms) in [("base", 100), ("slow", 200), ("same", 100)] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        for (i, trace) in runs(5, ms, 40).iter().enumerate() {
            write(&dir.path().join(name), &format!("{i}.json"), trace);
        }
    }
    let at = |name: &str| dir.path().join(name).into_os_string();
    let (base, slow, same, one) = (at("base"), at("slow"), at("same"), at("slow/0.json"));
    let two = at("slow/1.json");
    let word = std::ffi::OsStr::new;
    for (args, code, said) in [
        (vec![&*base, &*slow], 0, "NEW is slower"),
        (vec![&*base, &*slow, word("--fail-if-slower"), word("10%")], 3, "FAILED"),
        (vec![&*base, &*slow, word("--fail-if-slower=500ms")], 0, "PASSED"),
        (vec![&*base, &*same, word("--fail-if-slower"), word("10%")], 0, "PASSED"),
        (vec![&*base, &*one, word("--fail-if-slower"), word("10%")], 4, "TOO FEW"),
        (vec![word("--base"), &*base, word("--new"), &*one, &*two], 0, "2 runs"),
        (
            vec![&*base, &*slow, word("--markdown"), word("--fail-if-slower=10%")],
            3,
            "### Start times: **slower**",
        ),
        (vec![&*base, &*slow, word("--json")], 0, "\"schema\": \"startrace-diff/1\""),
    ] {
        let output = run(&args);
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {text}{:?}",
            String::from_utf8(output.stderr)
        );
        assert!(text.contains(said), "{args:?}: {text}");
    }
    for (args, code, said) in [
        (vec![&*base], 2, "<NEW>"),
        (vec![&*base, &*slow, word("--map"), word("x")], 2, "OLD=NEW"),
        (vec![&*base, &*slow, word("--fail-if-slower"), word("ten")], 2, "10% or 50ms"),
        (vec![&*base, word("nowhere.json")], 1, "nowhere.json"),
        (vec![&*base, dir.path().as_os_str()], 1, "a folder without traces"),
        (vec![word("-"), word("-")], 2, "one trace only"),
    ] {
        let output = run(&args);
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {text}");
        assert!(text.contains(said), "{args:?}: {text}");
    }
}

/// A digest per start: twice as many starts are no more than twice as much.
#[test]
fn thousands_of_kinds_are_compared() {
    let many = |ms: u64| {
        let mut all = vec![spec(1, None, "app", 900 * MS)];
        let word = |i: u64| -> String {
            i.to_string().bytes().map(|digit| char::from(b'a' + digit - b'0')).collect()
        };
        all.extend((0..3_000).map(|i| spec(10 + i, Some(1), &format!("tool {}", word(i)), ms * MS)));
        trace(&all)
    };
    let found = sides(&[many(20)], &[many(21)], &[], &Options::default());
    assert_eq!(found.pairs.len(), 3_001);
    let mut out = Vec::new();
    text(&found, false, &STYLE, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().lines().count() < 120);
}

fn page(base: &[Value], new: &[Value]) -> String {
    let mut digest = Digest::new(Vec::new());
    for (side, traces) in [(Side::BASE, base), (Side::NEW, new)] {
        for trace in traces {
            digest.add(reader(trace), side).unwrap();
        }
    }
    let found = compare(&digest, Side::BASE, Side::NEW, &Options::default());
    let mut drawn = Representative::both(&digest, &found);
    let all: Vec<&Value> = base.iter().chain(new).collect();
    for run in drawn.iter_mut().flatten() {
        run.take(reader(all[run.file()])).unwrap();
    }
    let mut out = Vec::new();
    html(&found, drawn.as_ref(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_page_says_what_the_text_says_and_draws_both_medians() {
    let (base, mut new) = (runs(9, 100, 40), runs(9, 150, 90));
    // One more process, in every new run.
    for (i, run) in new.iter_mut().enumerate() {
        let extra = spec(700 + i as u64, Some(100 + i as u64), "lsb_release -a", 7 * MS).json();
        run["starts"].as_array_mut().unwrap().push(extra);
    }
    let text = page(&base, &new);
    let verdict = told(&sides(&base, &new, &[], &Options::default()));
    let verdict = verdict.lines().next().unwrap();
    assert!(text.contains(&format!("<h1 class=\"slower\"><bdi>{verdict}</bdi></h1>")), "{verdict}: {text}");
    assert!(text.contains("in <bdi>helper -v</bdi>"), "the helper is why");
    assert!(text.contains("<h2>New processes</h2>") && text.contains("<bdi>lsb_release -a</bdi>"));
    assert!(text.contains("BASE: the median of 9; NEW: the median of 9."), "{text}");
    // Root and helper in one line each, the new process alone.
    let water = text.split_once("<table class=\"water\">").unwrap().1.split_once("</table>").unwrap().0;
    assert_eq!(water.matches("<tr><td").count(), 3, "{water}");
    assert_eq!(water.matches("badge slower\">new<").count(), 1);
    // Bars of phases and of the path, but for the helper's side that is not there.
    assert_eq!(water.matches("svg class=\"line\"").count(), 5);
    assert!(!text.contains("<script") && !text.contains("http:"), "no script, no address");
    assert!(
        text.contains("default-src 'none'") && !text.contains("style=\""),
        "nothing that its policy forbids"
    );
    assert!(text.len() < 60_000, "{}", text.len());
}

#[test]
fn the_page_of_hostile_and_absurd_traces_is_only_text() {
    let hostile = "\"><script>alert(1)</script><img src=x onerror=y>\u{202e}\u{1b}[31m";
    let mut bad = spec(1, None, "x", 50 * MS);
    bad.argv = vec![hostile.to_owned(); 3];
    (bad.exe, bad.method) = (hostile.to_owned(), hostile.to_owned());
    let mut child = spec(2, Some(1), "y", 1);
    child.phases = vec![("\"><script>", u64::MAX / 2), ("app", 1)];
    child.path = vec![("</svg><script>", 5), ("running", u64::MAX / 2)];
    child.argv = vec![hostile.to_owned()];
    let mut deep: Vec<Spec> = vec![bad.clone(), child];
    // A chain, and many beside each other.
    deep.extend((3..400).map(|n| spec(n, Some(if n < 60 { n - 1 } else { 1 }), hostile, n)));
    let mut document = trace(&deep);
    document["host"]["hostname"] = hostile.into();
    for text in [
        page(&[document.clone()], &[document.clone()]),
        page(&[document.clone()], &[trace(&[])]),
        page(&[trace(&[])], &[trace(&[])]),
    ] {
        assert!(!text.contains("<script") && !text.contains("<img"), "{text}");
        assert!(!text.contains(['\u{202e}', '\u{1b}']));
        for tag in ["table", "tr", "td", "section", "svg", "bdi", "div", "details", "ul", "li", "p", "main"] {
            let opened =
                text.matches(&format!("<{tag}>")).count() + text.matches(&format!("<{tag} ")).count();
            assert_eq!(opened, text.matches(&format!("</{tag}>")).count(), "{tag}");
        }
        assert!(text.len() < 2_000_000, "{}", text.len());
    }
    // Of deep trees and wide ones, so many starts are drawn and the others counted.
    assert!(page(&[document.clone()], &[document]).contains("more are not drawn"));
}

#[test]
fn the_page_is_a_file_and_the_exit_status_stays() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "--password=s3cr3t-w0rd";
    let with_secret = |ms, helper_ms| {
        let mut trace = runs(1, ms, helper_ms).remove(0);
        trace["starts"][0]["argv"].as_array_mut().unwrap().insert(1, secret.into());
        trace
    };
    let (a, b) = (
        write(folder.path(), "a.json", &with_secret(100, 40)),
        write(folder.path(), "b.json", &with_secret(150, 90)),
    );
    let out = folder.path().join("diff.html");
    let run = |args: &[&std::ffi::OsStr]| -> Output {
        Command::new(env!("CARGO_BIN_EXE_startrace")).arg("diff").args(args).output().unwrap()
    };
    let done = run(&[a.as_os_str(), b.as_os_str(), "--html".as_ref(), out.as_os_str()]);
    assert!(done.status.success() && done.stdout.is_empty(), "{done:?}");
    let page = std::fs::read_to_string(&out).unwrap();
    assert!(page.contains("app ") && !page.contains("s3cr3t"), "credentials of neither reading are shown");
    assert!(page.ends_with("</html>\n") && page.contains("<h2>One run of each side</h2>"), "{page}");
    let done = run(&[
        a.as_os_str(),
        b.as_os_str(),
        "--html".as_ref(),
        out.as_os_str(),
        "--fail-if-slower".as_ref(),
        "1%".as_ref(),
    ]);
    assert_eq!(done.status.code(), Some(4), "{done:?}");
    let done = run(&[a.as_os_str(), b.as_os_str(), "--html".as_ref(), "-".as_ref(), "--markdown".as_ref()]);
    assert_eq!(done.status.code(), Some(2), "{done:?}");
}

#[test]
fn findings_and_libraries_that_changed_are_named() {
    let made = |findings: &[&str], libraries: &[&str], level: &str| {
        let mut made = trace(&[spec(100, None, "app", 50 * MS)]);
        let finding = |id: &&str| {
            json!({"id": id, "severity": "warning", "cost_ns": 5, "basis": "measured", "summary": "s",
                "evidence": {}, "advice": "a"})
        };
        let file = |path: &&str| json!({"at_ns": 1, "duration_ns": 1, "path": path, "kind": "shared_library", "bytes": 1, "tid": 100});
        made["starts"][0]["findings"] = Value::Array(findings.iter().map(finding).collect());
        made["starts"][0]["timeline"]["files"] = json!({"opened": 1, "open_failed": 0, "found": 0, "missed": 0,
            "spent_ns": 1, "sums": [], "errors": {}, "misses": [], "misses_left_out": 0,
            "files": libraries.iter().map(file).collect::<Vec<_>>(), "files_left_out": 0});
        made["session"]["level"] = json!(level);
        made["findings"] = json!([]);
        made["not_examined"] = json!([]);
        made
    };
    let old = made(&["path-walk", "fixed-sleep"], &["/lib/libc.so.6", "/lib/libold.so.1"], "deep");
    let new = made(&["fixed-sleep", "dns-wait"], &["/usr/lib/libc.so.6", "/lib/libnew.so.2"], "deep");
    let said = told(&sides(std::slice::from_ref(&old), std::slice::from_ref(&new), &[], &Options::default()));
    let said = said.replace('\u{a0}', " ").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("libraries on one side only: libold.so.1 -> libnew.so.2"), "{said}");
    assert!(said.contains("findings on one side only: path-walk -> dns-wait"), "{said}");
    // Lines are read another way.
    let mut digest = Digest::new(Vec::new());
    for (side, trace) in [(Side::BASE, &old), (Side::NEW, &new)] {
        digest.add(traces::read_text(&traces::lines(trace)), side).unwrap();
    }
    let changes = |comparison: &Comparison| comparison.pairs[0].changes.clone();
    assert_eq!(
        changes(&compare(&digest, Side::BASE, Side::NEW, &Options::default())),
        changes(&sides(std::slice::from_ref(&old), &[new], &[], &Options::default()))
    );
    // What another level cannot see has not gone, and nothing has changed between equals.
    let poorer = made(&[], &["/lib/libc.so.6", "/lib/libold.so.1"], "timeline");
    assert_eq!(changes(&sides(std::slice::from_ref(&old), &[poorer], &[], &Options::default())), []);
    let same = std::slice::from_ref(&old);
    assert_eq!(changes(&sides(same, same, &[], &Options::default())), []);
}

#[test]
fn short_pieces_that_were_put_together_are_not_all_of_the_longest() {
    // 100 ms of the root's own, and 100 ms in short pieces, which stand under the root: 30 of them are its own, the others
    // of two helpers, of which one takes three times as long as the other.
    let side = |path: u64| {
        let mut root = spec(100, None, "app", 200 * MS);
        root.path = vec![("running", 100 * MS), ("child", 100 * MS)];
        let helpers = [spec(900, Some(100), "helper -a", 5 * MS), spec(901, Some(100), "helper -b", 15 * MS)];
        let [a, b] = helpers;
        let mut trace = trace(&[root, a, b]);
        let folded =
            json!({"pieces": 900, "own_ns": {"running": 30 * MS}, "others_ns": {"running": path * MS}});
        trace["starts"][0]["timeline"]["critical_path"][1]["folded"] = folded;
        trace
    };
    let comparison = sides(&[side(70)], &[side(70)], &[], &Options::default());
    let on_path = |label: &str| pair(&comparison, label).new.tally.on_path_ns.map(|ns| ns / MS);
    assert_eq!(on_path("app"), Some(130));
    let shares = [on_path("helper -a").unwrap(), on_path("helper -b").unwrap()];
    assert_eq!(shares, [17, 52], "a quarter and three quarters of 70 ms");
    // A file that says more than the piece is long: no more than that.
    let comparison = sides(&[side(u64::MAX / MS)], &[side(u64::MAX / MS)], &[], &Options::default());
    let all: u64 = comparison.pairs.iter().filter_map(|pair| pair.new.tally.on_path_ns).sum();
    assert!(all <= 200 * MS && all > 199 * MS, "{all}");
}
