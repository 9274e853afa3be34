//! The files that a start opens and looks for, at the deepest level: against what the program did, and in
//! the kinds and phases that findings ask for.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Recorded, program, python, record, require_root};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

const DEEP: [&str; 3] = ["-q", "--level", "deep"];

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn files(start: &Value) -> &Value {
    let files = &start["timeline"]["files"];
    assert!(files.is_object(), "{:#}", start["timeline"]);
    files
}

fn n(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no {field} in {value:#}"))
}

/// Of one phase and kind; any phase, any kind for `""`.
fn sum(start: &Value, phase: &str, kind: &str, field: &str) -> u64 {
    let fits = |sums: &&Value| {
        (phase.is_empty() || sums["phase"] == phase) && (kind.is_empty() || sums["kind"] == kind)
    };
    files(start)["sums"].as_array().unwrap().iter().filter(fits).map(|sums| n(sums, field)).sum()
}

fn misses_in(start: &Value, folder: &str) -> u64 {
    let misses = files(start)["misses"].as_array().unwrap();
    misses.iter().filter(|miss| miss["folder"] == folder).map(|miss| n(miss, "n")).sum()
}

fn opened(start: &Value) -> Vec<&str> {
    let files = files(start)["files"].as_array().unwrap();
    files.iter().filter_map(|file| file["path"].as_str()).collect()
}

/// What holds for every start.
fn check(start: &Value) {
    let files = files(start);
    for field in ["opened", "open_failed", "found", "missed", "spent_ns"] {
        assert_eq!(sum(start, "", "", field), n(files, field), "{field}");
    }
    let listed = files["files"].as_array().unwrap().len() as u64;
    let untold = sum(start, "", "untold", "opened");
    assert_eq!(listed + n(files, "files_left_out") + untold, n(files, "opened"));
    let misses = files["misses"].as_array().unwrap().iter().map(|miss| n(miss, "n")).sum::<u64>();
    let untold = sum(start, "", "untold", "open_failed") + sum(start, "", "untold", "missed");
    let failed = n(files, "open_failed") + n(files, "missed");
    assert_eq!(misses + n(files, "misses_left_out") + untold, failed);
    let errors: u64 = files["errors"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum();
    assert_eq!(errors + untold, failed);
}

fn run(cmd: &[&str]) -> Recorded {
    let recorded = record(&DEEP, cmd);
    for start in recorded.starts().iter().filter(|start| !start["timeline"]["files"].is_null()) {
        check(start);
    }
    recorded
}

#[test]
fn a_pid_file_that_is_written_is_a_milestone() {
    require_root();
    let folder = folder();
    let at = folder.path().to_str().unwrap();
    fs::write(folder.path().join("old.pid"), "4711").unwrap();
    let text =
        format!("open('{at}/old.pid').read(); open('{at}/empty', 'w'); open('{at}/new.pid', 'w').write('1')");
    let python = python();
    let cmd = [python.to_str().unwrap(), "-SE", "-c", &text];
    let recorded = run(&cmd);
    let milestones = recorded.start_with_argv(&cmd)["timeline"]["milestones"].as_array().unwrap();
    let written: Vec<&Value> = milestones.iter().filter(|one| one["name"] == "pid_file").collect();
    assert_eq!(written.len(), 1, "{milestones:#?}");
    assert_eq!(
        (&written[0]["detail"], &written[0]["inferred"]),
        (&format!("{at}/new.pid").into(), &true.into())
    );
    // At other levels opens are not told.
    let recorded = record(&["-q"], &cmd);
    let milestones = recorded.start_with_argv(&cmd)["timeline"]["milestones"].as_array().unwrap();
    assert!(milestones.iter().all(|one| one["name"] != "pid_file"), "{milestones:#?}");
}

#[test]
fn every_call_is_counted_and_none_at_other_levels() {
    require_root();
    let folder = folder();
    let at = folder.path().to_str().unwrap();
    fs::write(folder.path().join("there"), "twelve bytes").unwrap();
    let text = format!(
        "import os\n\
         for i in range(300):\n    os.path.exists('{at}/none/%d' % i)\n\
         for i in range(200):\n    os.access('{at}/there', os.R_OK); os.stat('{at}/there')\n\
         for i in range(50):\n    os.close(os.open('{at}/there', os.O_RDONLY)); os.fstat(0)\n\
         for i in range(70):\n\
         \x20   try: os.open('{at}/gone/libx.so.1', os.O_RDONLY)\n\
         \x20   except OSError: pass\n\
         try: os.open('{at}/there/x', os.O_RDONLY)\n\
         except OSError: pass\n"
    );
    let python = python();
    let cmd = [python.to_str().unwrap(), "-SE", "-c", &text];
    let recorded = run(&cmd);
    let start = recorded.start_with_argv(&cmd);
    assert_eq!(misses_in(start, &format!("{at}/none")), 300);
    assert_eq!(misses_in(start, &format!("{at}/gone")), 70);
    let gone =
        files(start)["misses"].as_array().unwrap().iter().find(|m| m["folder"] == format!("{at}/gone"));
    assert_eq!(gone.unwrap()["libraries"], 70);
    assert!(files(start)["errors"]["ENOTDIR"].as_u64() >= Some(1), "{:#}", files(start)["errors"]);
    let there = format!("{at}/there");
    assert_eq!(opened(start).iter().filter(|path| **path == there).count(), 50);
    let one = files(start)["files"].as_array().unwrap().iter().find(|f| f["path"] == there).unwrap();
    assert_eq!((n(one, "bytes"), one["tid"] == start["pid"]), (12, true));
    assert!(sum(start, "app", "other", "found") >= 400);

    let recorded = record(&["-q"], &cmd);
    assert!(recorded.start_with_argv(&cmd)["timeline"]["files"].is_null());
}

#[test]
fn a_long_search_for_libraries_is_counted_in_link() {
    require_root();
    let folder = folder();
    let mut folders = Vec::new();
    for n in 0..40 {
        let one = folder.path().join(n.to_string());
        fs::create_dir(&one).unwrap();
        folders.push(one.to_str().unwrap().to_owned());
    }
    let path = format!("LD_LIBRARY_PATH={}", folders.join(":"));
    let recorded = run(&["env", &path, "/bin/true"]);
    let start = &recorded.starts()[0];
    // Each folder once, and its subfolders for the processor as far as they are looked for.
    let failed = sum(start, "link", "shared_library", "open_failed");
    assert!(failed >= 40, "{:#}", files(start)["sums"]);
    let misses = files(start)["misses"].as_array().unwrap();
    let searched =
        misses.iter().filter(|miss| folders.contains(&miss["folder"].as_str().unwrap().to_owned()));
    assert!(searched.filter(|miss| miss["libraries"].as_u64() >= Some(1)).count() > 20, "{misses:#?}");
    assert!(sum(start, "link", "shared_library", "opened") >= 1);
    assert!(sum(start, "link", "shared_library", "bytes") > 500_000, "libc is larger");
}

#[test]
fn python_with_and_without_bytecode() {
    require_root();
    let folder = folder();
    let at = folder.path().to_str().unwrap();
    for n in 0..20 {
        fs::write(folder.path().join(format!("m{n}.py")), "x = 1\n").unwrap();
    }
    let imports = format!(
        "import sys; sys.path.insert(0, '{at}'); import {}",
        (0..20).map(|n| format!("m{n}")).collect::<Vec<_>>().join(", ")
    );
    let python = python();
    let cmd = [python.to_str().unwrap(), "-SE", "-c", &imports];
    let first = run(&cmd);
    let second = run(&cmd);
    let of = |recorded: &Recorded, kind: &str| sum(recorded.start_with_argv(&cmd), "app", kind, "opened");
    assert!(of(&first, "python_source") >= 20, "{:#}", files(first.start_with_argv(&cmd))["sums"]);
    assert_eq!(of(&second, "python_source"), 0);
    assert!(of(&second, "python_bytecode") >= 20);
}

#[test]
fn what_a_shell_reads_has_its_cost() {
    require_root();
    let home = folder();
    let write = |name: &str, text: &str| fs::write(home.path().join(name), text).unwrap();
    write("slow.sh", "sleep 0.15\n");
    write(".profile", ". \"$HOME/slow.sh\"\n. \"$HOME/quick.sh\"\nsleep .05\n");
    write("quick.sh", ":\n");
    let at = |name: &str| home.path().join(name).to_str().unwrap().to_owned();
    let variable = format!("HOME={}", home.path().display());
    for shell in ["bash", "dash"] {
        let recorded = run(&["env", "-i", &variable, "PATH=/usr/bin:/bin", shell, "-l", "-c", "exec true"]);
        // The shell's start goes on to `true`.
        let start = recorded.filter(|start| !files(start)["sourced"].is_null())[0];
        let sourced = files(start)["sourced"].as_array().unwrap();
        let of = |name: &str| {
            let path = at(name);
            let found: Vec<&Value> = sourced.iter().filter(|file| file["path"] == path).collect();
            assert_eq!(found.len(), 1, "{shell}: {name} in {sourced:#?}");
            n(found[0], "duration_ns")
        };
        let sourced_by_name = |name: &str| {
            let path = at(name);
            sourced.iter().find(|file| file["path"] == path).unwrap()
        };
        if shell == "bash" {
            let [slow, quick, profile] = ["slow.sh", "quick.sh", ".profile"].map(sourced_by_name);
            assert!(n(slow, "own_ns") >= 150_000_000 && n(quick, "own_ns") < 50_000_000, "{sourced:#?}");
            assert!(n(profile, "own_ns") >= 50_000_000, "{profile:#}");
            let parts = n(profile, "own_ns") + n(slow, "whole_ns") + n(quick, "whole_ns");
            assert_eq!(n(profile, "whole_ns"), parts);
        }
        let slow = of("slow.sh");
        assert!((150_000_000..400_000_000).contains(&slow), "{shell}: {slow}");
        let quick = of("quick.sh");
        assert!((50_000_000..300_000_000).contains(&quick), "{shell}: until the end: {quick}");
        assert!(of(".profile") < 100_000_000, "{shell}: until the next");
    }
}

#[test]
fn bash_tells_which_files_it_reads_whatever_they_are_called() {
    require_root();
    let at = folder();
    let write = |name: &str, text: &str| fs::write(at.path().join(name), text).unwrap();
    // A name with an escape sequence and a line's end; a file that is only read; one that is left by an exec.
    let odd = "od\u{1b}[31md\n name";
    write(odd, "sleep .02\n");
    write("inner", "sleep .06\n");
    write("outer", "sleep .04\nt ./inner\nsleep .05\n( . ./inner )\n");
    write("data.sh", "1\n");
    write("last", "sleep .03\nexec sleep .01\n");
    // Each by the shell's own clock, in microseconds.
    let script = "cd \"$1\"\n\
                  t() { local from=$EPOCHREALTIME to; . \"$1\"; to=$EPOCHREALTIME\n\
                  echo $(( ${to//[!0-9]/} - ${from//[!0-9]/} )) >> times; }\n\
                  t ./outer; t ./$'od\\e[31md\\n name'; read x < ./data.sh; y=$(< ./data.sh)\n\
                  z=$(echo $(. ./inner)); sleep .1; . ./nowhere; . ./last";
    let recorded = run(&["bash", "-c", script, "bash", at.path().to_str().unwrap()]);
    let start = &recorded.starts()[0];
    let sourced = files(start)["sourced"].as_array().unwrap();
    let odd = format!("./{odd}");
    let names: Vec<&str> = sourced.iter().map(|file| file["path"].as_str().unwrap()).collect();
    assert_eq!(names, ["./outer", "./inner", &odd, "./last"]);
    let times = fs::read_to_string(at.path().join("times")).unwrap();
    let times: Vec<u64> = times.lines().map(|line| line.parse::<u64>().unwrap() * 1000).collect();
    // Whoever ends first has told first.
    let [outer, inner, odd, last] = sourced.as_slice() else { panic!("{sourced:#?}") };
    for (file, own_clock) in [inner, outer, odd].into_iter().zip(times) {
        let apart = n(file, "whole_ns").abs_diff(own_clock);
        assert!(apart < 1_000_000 + own_clock / 100, "{own_clock} by its own clock: {file:#}");
    }
    assert_eq!(n(outer, "own_ns") + n(inner, "whole_ns"), n(outer, "whole_ns"));
    assert!(n(outer, "own_ns") >= 150_000_000, "{outer:#}");
    for file in [inner, odd, last] {
        assert_eq!(n(file, "own_ns"), n(file, "whole_ns"));
    }
    // Until the exec.
    let exec =
        start["timeline"]["phases"].as_array().unwrap().iter().find(|phase| phase["exec"] == 1).unwrap();
    assert_eq!(n(last, "at_ns") + n(last, "whole_ns"), n(exec, "at_ns"));
    assert!(n(last, "whole_ns") >= 30_000_000, "{last:#}");
    // In the subshell and in the substitution of a substitution.
    let inner = recorded.starts().iter().skip(1).filter(|start| {
        let sourced = start["timeline"]["files"]["sourced"].as_array();
        sourced.is_some_and(|sourced| sourced.len() == 1 && sourced[0]["path"] == "./inner")
    });
    assert_eq!(inner.count(), 2, "{:#}", recorded.outline());
    let trace = recorded.folder.path().join("trace.json");
    let report =
        std::process::Command::new(common::startrace()).args(["report", "--all"]).arg(&trace).output();
    let report = String::from_utf8(report.unwrap().stdout).unwrap();
    assert!(!report.contains('\u{1b}') && report.contains("./outer"), "{report}");
}

#[test]
fn the_verdict_names_the_file_that_the_shell_spent_its_time_in() {
    require_root();
    let at = folder();
    fs::write(at.path().join("slow"), "sleep .3\n").unwrap();
    let recorded = run(&["bash", "-c", ". \"$1\"/slow; :", "bash", at.path().to_str().unwrap()]);
    let trace = recorded.folder.path().join("trace.json");
    let report = std::process::Command::new(common::startrace()).arg("report").arg(&trace).output().unwrap();
    let report = String::from_utf8(report.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    let named = format!("in {}/slow, which the shell read.", at.path().display());
    assert!(report.split_once(" starts ").is_some_and(|(first, _)| first.contains(&named)), "{report}");
}

#[test]
fn more_calls_than_are_told_singly_are_still_counted() {
    require_root();
    let python = python();
    let text = "import os\nfor i in range(30000):\n    os.access('/nowhere/%d' % i, 0)\n";
    let cmd = [python.to_str().unwrap(), "-SE", "-c", text];
    let recorded = run(&cmd);
    let start = recorded.start_with_argv(&cmd);
    let missed = n(files(start), "missed");
    let untold = sum(start, "", "untold", "missed");
    assert!((30_000..30_200).contains(&missed), "{missed}");
    assert!(untold >= 13_000, "{untold}");
    assert!(misses_in(start, "/nowhere") >= 15_000);
}

#[test]
fn a_java_program_tells_of_its_archive_of_classes() {
    require_root();
    let java: PathBuf = ["/usr/bin/java", "/usr/local/bin/java"]
        .iter()
        .map(PathBuf::from)
        .find(|p| p.is_file())
        .expect("no java: `cargo xtask setup` installs it");
    let java = java.to_str().unwrap();
    let with = run(&[java, "-Xshare:auto", "-version"]);
    let without = run(&[java, "-Xshare:off", "-version"]);
    assert!(
        sum(&with.starts()[0], "app", "cds_archive", "opened") >= 1,
        "{:#}",
        files(&with.starts()[0])["sums"]
    );
    assert_eq!(sum(&without.starts()[0], "app", "cds_archive", "opened"), 0);
    assert!(sum(&without.starts()[0], "app", "java", "opened") >= 1);
}

#[test]
fn threads_and_children_are_counted_where_they_belong() {
    require_root();
    let fork_exec = program("fork_exec");
    let recorded = run(&[fork_exec.to_str().unwrap()]);
    let told = recorded.told();
    let own = recorded.start_of(told["self"].as_u64().unwrap());
    let children = recorded.children_of(told["self"].as_u64().unwrap());
    assert!(!children.is_empty());
    for start in children.into_iter().chain([own]) {
        assert!(
            opened(start).iter().filter(|path| path.ends_with("/libc.so.6")).count() <= 1,
            "{:?}",
            opened(start)
        );
    }
}

fn stage<'a>(start: &'a Value, name: &str) -> &'a Value {
    let stages = start["timeline"]["runtime"]["stages"].as_array();
    let stages = stages.unwrap_or_else(|| panic!("no stages in {:#}", start["timeline"]["runtime"]));
    stages.iter().find(|stage| stage["name"] == name).unwrap()
}

/// The stages of a runtime add up to the last image's `app`.
fn check_stages(start: &Value, language: &str) {
    let runtime = &start["timeline"]["runtime"];
    assert_eq!(runtime["language"], language);
    let mut at = None;
    for stage in runtime["stages"].as_array().unwrap() {
        assert_eq!(n(stage, "at_ns"), at.unwrap_or(n(stage, "at_ns")), "{runtime:#}");
        at = Some(n(stage, "at_ns") + n(stage, "duration_ns"));
    }
    let app = start["timeline"]["phases"].as_array().unwrap().last().unwrap();
    assert_eq!(app["name"], "app");
    assert_eq!(n(stage(start, "runtime"), "at_ns"), n(app, "at_ns"));
    assert_eq!(at, Some(n(app, "at_ns") + n(app, "duration_ns")), "{runtime:#}");
}

const MS: u64 = 1_000_000;

/// Runs a program that sleeps while it loads a file of its own, and then once more.
fn check_loading(language: &str, cmd: &[&str]) {
    let recorded = run(cmd);
    assert!(recorded.status.success(), "{language}: {}", recorded.stderr);
    let start = recorded.start_with_argv(cmd);
    check_stages(start, language);
    let (loading, program) = (stage(start, "loading"), stage(start, "program"));
    let near = |stage: &Value, ms: u64| (ms * MS..(ms + 250) * MS).contains(&n(stage, "duration_ns"));
    assert!(near(loading, 120) && near(program, 80), "{language}: {:#}", start["timeline"]["runtime"]);
}

#[test]
fn a_runtime_divides_into_its_own_start_loading_and_the_program() {
    require_root();
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("Late.pm", "package Late; 1;\n");
    write("main.pl", "select(undef, undef, undef, 0.12); require Late; select(undef, undef, undef, 0.08);\n");
    let script = folder.path().join("main.pl");
    let at = format!("-I{}", folder.path().display());
    check_loading("perl", &["perl", &at, script.to_str().unwrap()]);
}

#[test]
#[ignore = "needs runtimes that the whole corpus installs"]
fn runtimes_of_other_people() {
    require_root();
    let folder = folder();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    write("late.js", "");
    write(
        "main.js",
        "const nap = ms => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);\n\
         nap(120); require('./late.js'); nap(80);\n",
    );
    check_loading("node", &["node", &at("main.js")]);
    write("late.rb", "");
    write("main.rb", "sleep 0.12; require_relative 'late'; sleep 0.08\n");
    check_loading("ruby", &["ruby", &at("main.rb")]);
    write("late.php", "<?php\n");
    write("main.php", "<?php usleep(120000); require __DIR__ . '/late.php'; usleep(80000);\n");
    check_loading("php", &["php", &at("main.php")]);

    write("Late.java", "class Late { static int x = 1; }\n");
    write(
        "Main.java",
        "class Main { public static void main(String[] a) throws Exception {\n\
         Thread.sleep(120); if (Late.x == 1) Thread.sleep(80); } }\n",
    );
    let javac = std::process::Command::new("javac")
        .args(["-d", &at(""), &at("Main.java"), &at("Late.java")])
        .output()
        .expect("the whole corpus installs javac");
    assert!(javac.status.success(), "{javac:?}");
    let cmd = ["java", "-cp", &at(""), "Main"];
    check_loading("jvm", &cmd);
    // Names of threads need no system call's tracepoint.
    let recorded = record(&["-q"], &cmd);
    let start = recorded.start_with_argv(&cmd);
    let roles = start["timeline"]["runtime"]["threads"].as_array().unwrap();
    let of = |role: &str| roles.iter().find(|threads| threads["role"] == role);
    for role in ["jit", "gc", "runtime", "application"] {
        assert!(of(role).is_some_and(|threads| n(threads, "n") > 0), "{role}: {roles:#?}");
    }
    assert!(of("unknown").is_none_or(|threads| n(threads, "n") <= 2), "{:#}", start["timeline"]["threads"]);
    assert_eq!(start["timeline"]["runtime"]["stages"], serde_json::json!([]));
}

#[test]
fn threads_have_the_names_that_they_give_themselves() {
    require_root();
    let text = "import ctypes, threading, time\n\
                libc = ctypes.CDLL(None)\n\
                def work():\n    libc.prctl(15, b'busy worker', 0, 0, 0); time.sleep(0.05)\n\
                t = threading.Thread(target=work); t.start(); t.join()\n";
    let python = python();
    let cmd = [python.to_str().unwrap(), "-SE", "-c", text];
    let recorded = record(&["-q"], &cmd);
    let threads = recorded.start_with_argv(&cmd)["timeline"]["threads"].as_array().unwrap();
    assert_eq!(threads.len(), 1);
    assert_eq!(threads[0]["comm"], "busy worker");
}
