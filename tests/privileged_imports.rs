//! What CPython imports: against what the interpreter says of itself, across forks and threads, in
//! children of multiprocessing, and in interpreters that are met while recording.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{
    Built, Recorded, compile, pythons, record, record_background, record_unchecked, require_root, script,
};
use serde_json::Value;
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The distribution's own, which most have built with static probes.
const SYSTEM: &str = "/usr/bin/python3";

/// A Python of our own: a copy is another file, which nobody could know of.
fn own_interpreter() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let python = fs::canonicalize(SYSTEM).expect("no python3 in /usr/bin: apt-get install python3");
    let copy = folder.path().join("interpreter");
    fs::copy(&python, &copy).unwrap();
    let copy = copy.to_str().unwrap().to_owned();
    (folder, copy)
}

fn has_static_probes(python: &Path) -> bool {
    let output = Command::new(common::startrace()).args(["inspect", "--json"]).arg(python).output().unwrap();
    assert!(output.status.success(), "startrace inspect {}: {output:?}", python.display());
    String::from_utf8_lossy(&output.stdout).contains("import__find__load__start")
}

fn modules(start: &Value) -> &[Value] {
    start["timeline"]["imports"]["modules"].as_array().unwrap_or_else(|| {
        panic!("no imports of {}: {:#}", start["argv"], start["timeline"]);
    })
}

fn named<'a>(start: &'a Value, name: &str) -> &'a Value {
    let found: Vec<&Value> = modules(start).iter().filter(|module| module["module"] == name).collect();
    assert_eq!(found.len(), 1, "{name} among {:?}", names(start));
    found[0]
}

fn names(start: &Value) -> Vec<&str> {
    modules(start).iter().map(|module| module["module"].as_str().unwrap_or("?")).collect()
}

fn ns(value: &Value, field: &str) -> u64 {
    value[field].as_u64().unwrap_or_else(|| panic!("no {field} in {value:#}"))
}

/// The sums that hold whatever was imported.
fn check_sums(start: &Value) {
    let imports = &start["timeline"]["imports"];
    let modules = modules(start);
    let mut phases = start["timeline"]["phases"].as_array().unwrap().iter().rev();
    let app = phases.find(|phase| phase["name"] == "app" && phase["exec"] == imports["exec"]).unwrap();
    let parts =
        imports["init_ns"].as_u64().unwrap_or(0) + ns(imports, "importing_ns") + ns(imports, "code_ns");
    assert_eq!(parts, ns(app, "duration_ns"), "{imports:#}");
    assert_eq!(ns(imports, "count"), modules.len() as u64 + ns(imports, "left_out"));
    let own: u64 = modules.iter().map(|module| ns(module, "own_ns")).sum();
    let outermost = modules.iter().filter(|module| module["depth"] == 0);
    let outermost: u64 = outermost.map(|module| ns(module, "duration_ns")).sum();
    assert_eq!(own + ns(imports, "left_out_own_ns"), outermost);
    for module in modules {
        let Some(importer) = module["importer"].as_u64() else {
            assert_eq!(module["depth"], 0);
            continue;
        };
        let importer = &modules[importer as usize];
        assert!(ns(importer, "at_ns") <= ns(module, "at_ns"), "{importer} {module}");
        assert_eq!(importer["tid"], module["tid"]);
    }
}

/// What `-X importtime` prints: cumulative nanoseconds by module.
fn importtime(stderr: &str) -> HashMap<String, u64> {
    let lines = stderr.lines().filter_map(|line| line.strip_prefix("import time:"));
    let columns = lines.filter_map(|line| {
        let mut columns = line.split('|').map(str::trim);
        let (_, cumulative, name) = (columns.next()?, columns.next()?, columns.next()?);
        Some((name.to_owned(), cumulative.parse::<u64>().ok()? * 1000))
    });
    columns.collect()
}

/// How long the main thread was off the CPU in a part of the start, of what is told singly.
fn off_cpu_ns(start: &Value, begin: u64, end: u64) -> u64 {
    let waits = start["timeline"]["waits"].as_array().unwrap();
    let own = waits.iter().filter(|wait| wait["tid"] == start["pid"]);
    own.map(|wait| {
        let at = ns(wait, "at_ns");
        let over = at + ns(wait, "duration_ns") + ns(wait, "runnable_ns");
        over.min(end).saturating_sub(at.max(begin))
    })
    .sum()
}

/// Records an interpreter that tells itself what it imports, and compares.
fn compare(python: &Path, level: &str, provider: &str) {
    let what = format!("{} at {level}", python.display());
    let cmd = [python.to_str().unwrap(), "-X", "importtime", "-c", "import http.server, json, sqlite3"];
    let recorded = record(&["-q", "--level", level], &cmd);
    let start = recorded.start_with_argv(&cmd);
    let imports = &start["timeline"]["imports"];
    assert_eq!(imports["provider"], provider, "{what}: {imports:#}");
    assert_eq!(imports["from_beginning"], true, "{what}");
    assert!(ns(imports, "init_ns") > 1_000_000, "{what}: {imports:#}");
    check_sums(start);
    let told = importtime(&recorded.stderr);
    assert!(told.len() > 80, "{what}: {}", recorded.stderr);
    let mut compared = 0;
    // The statement may come again for what is there, such as `from json import scanner` within json.
    let mut longest: Vec<&Value> = modules(start).iter().collect();
    longest.sort_by_key(|module| std::cmp::Reverse(ns(module, "duration_ns")));
    let mut seen = std::collections::HashSet::new();
    for module in longest {
        let name = module["module"].as_str().unwrap();
        if !seen.insert(name) {
            continue;
        }
        let (Some(&own_clock), duration) = (told.get(name), ns(module, "duration_ns")) else { continue };
        let apart = own_clock.abs_diff(duration);
        // It looks at its clock before the one probe and after the other, and may lose the CPU there.
        let (begin, end) = (ns(module, "at_ns"), ns(module, "at_ns") + duration);
        let between =
            off_cpu_ns(start, begin.saturating_sub(apart), begin) + off_cpu_ns(start, end, end + apart);
        let slack = 1_000_000 + own_clock / 50 + between;
        // A statement takes in, too, the packages around a module and what it imports from it by name.
        let as_long = if provider == "uprobe" { duration + slack >= own_clock } else { apart <= slack };
        assert!(as_long, "{what}: {name} takes {duration} ns, by its own clock {own_clock}");
        compared += u32::from(apart <= slack);
    }
    assert!(compared as usize * 10 >= told.len() * 6, "{what}: {compared} of {} are the same", told.len());
    if provider == "usdt" {
        let missing: Vec<&String> =
            told.keys().filter(|name| !names(start).contains(&name.as_str())).collect();
        assert!(missing.is_empty(), "{what}: not told of {missing:?}");
    }
}

#[test]
fn static_probes_tell_what_the_interpreter_tells_itself() {
    require_root();
    let python = fs::canonicalize(SYSTEM).expect("no python3 in /usr/bin: apt-get install python3");
    if has_static_probes(&python) {
        compare(&python, "timeline", "usdt");
        compare(&python, "deep", "usdt");
    } else {
        // Nothing is invented.
        let cmd = [SYSTEM, "-c", "import json"];
        let recorded = record(&["-q"], &cmd);
        assert!(recorded.start_with_argv(&cmd)["timeline"]["imports"].is_null());
    }
}

#[test]
fn every_other_build_is_seen_into_at_the_deepest_level() {
    require_root();
    let others: Vec<(String, PathBuf)> =
        pythons().into_iter().filter(|(_, python)| !has_static_probes(python)).collect();
    for (_, python) in &others {
        compare(python, "deep", "uprobe");
    }
    if let Some((_, python)) = others.first() {
        let cmd = [python.to_str().unwrap(), "-c", "import json"];
        let recorded = record(&["-q"], &cmd);
        assert!(recorded.start_with_argv(&cmd)["timeline"]["imports"].is_null(), "no probe was asked for");
    }
}

#[test]
fn only_what_an_interpreter_imports_of_its_own_accord_is_its_start() {
    require_root();
    for (_, python) in pythons() {
        let python = python.to_str().unwrap();
        let cmd = [python, "-S", "-c", "import time; time.sleep(.1); import site; import wave"];
        let recorded = record(&["-q", "--level", "deep"], &cmd);
        let start = recorded.start_with_argv(&cmd);
        check_sums(start);
        let imports = &start["timeline"]["imports"];
        assert!(imports["init_ns"].is_null(), "{python}: {imports:#}");
        assert!(ns(imports, "code_ns") >= 100_000_000, "{python}: {imports:#}");
        assert_eq!(named(start, "site")["depth"], 0);
    }
}

#[test]
fn an_interpreter_that_becomes_another_program_keeps_its_imports() {
    require_root();
    let code = "import time, wave; time.sleep(.1); import os; os.execv('/bin/true', ['true'])";
    for (_, python) in pythons() {
        let python = python.to_str().unwrap();
        let recorded = record(&["-q", "--level", "deep"], &[python, "-c", code]);
        let start = recorded.start_with_argv(&["true"]);
        check_sums(start);
        let imports = &start["timeline"]["imports"];
        let exec = &start["execs"][imports["exec"].as_u64().unwrap() as usize];
        assert!(exec["path"].as_str().unwrap().contains("python"), "{exec:#}");
        assert!(ns(imports, "init_ns") > 1_000_000 && ns(imports, "importing_ns") > 0, "{imports:#}");
        assert!(ns(imports, "code_ns") >= 100_000_000, "{python}: {imports:#}");
        let trace = recorded.folder.path().join("trace.json");
        let report = Command::new(common::startrace()).arg("report").arg(&trace).output().unwrap();
        let report = String::from_utf8_lossy(&report.stdout).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(report.contains("cpython in app, before its last exec: its own start"), "{report}");
    }
}

/// A return probe of the kernel's would kill it.
#[test]
fn an_import_that_is_left_for_another_stack_is_told_and_does_no_harm() {
    require_root();
    let built = Built::new();
    let (source, to) = (script("switched_imports.c"), built.path("interpreter"));
    compile("gcc", &["-O2", "-Wall", "-rdynamic", "-o", &to, source.to_str().unwrap()]);
    let recorded = record(&["-q", "--level", "deep"], &[&to]);
    assert!(recorded.status.success(), "{:?}", recorded.status);
    let start = recorded.start_of(recorded.pid("self"));
    check_sums(start);
    assert_eq!(start["timeline"]["imports"]["provider"], "uprobe");
    let told = recorded.told();
    let own_clock = |name: &str| ns(&told, name);
    let (first, second, third) = (own_clock("first"), own_clock("second"), own_clock("third"));
    let near = |ns: u64, own_clock: u64| ns.abs_diff(own_clock) < 1_000_000 + own_clock / 100;
    for (name, own, all, depth) in
        [("first", first - second, first, 0), ("second", second, second, 1), ("third", third, third, 0)]
    {
        let module = named(start, name);
        assert!(near(ns(module, "own_ns"), own) && near(ns(module, "duration_ns"), all), "{module} {told}");
        assert_eq!((&module["depth"], &module["found"]), (&depth.into(), &true.into()));
    }
}

/// A folder with modules, and how to run a program in it.
struct Modules {
    folder: tempfile::TempDir,
}

impl Modules {
    fn new(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { folder }
    }

    fn run(&self, python: &Path) -> Recorded {
        let main = self.folder.path().join("main.py");
        record(&["-q", "--level", "deep"], &[python.to_str().unwrap(), "-B", main.to_str().unwrap()])
    }
}

#[test]
fn a_fork_within_an_import_is_two_stories() {
    require_root();
    let modules_ = Modules::new(&[
        (
            "forks.py",
            "import os, time\n\
             time.sleep(.05)\n\
             pid = os.fork()\n\
             if pid == 0:\n    import wave\n    os._exit(0)\n\
             os.waitpid(pid, 0)\n\
             time.sleep(.05)\n",
        ),
        (
            "main.py",
            "import os\nprint('{\"self\": %d}' % os.getpid(), flush=True)\nimport forks\nimport missing_one\n",
        ),
    ]);
    for (_, python) in pythons() {
        let recorded = record_unchecked(
            &["-q", "--level", "deep"],
            &[python.to_str().unwrap(), "-B", modules_.folder.path().join("main.py").to_str().unwrap()],
        );
        let main = recorded.pid("self");
        let start = recorded.start_of(main);
        check_sums(start);
        let forks = named(start, "forks");
        assert_eq!((&forks["depth"], &forks["found"]), (&0.into(), &true.into()));
        assert!(ns(forks, "own_ns") >= 100_000_000, "{forks}");
        assert_eq!(named(start, "missing_one")["found"], false);
        assert!(!names(start).contains(&"wave"));
        let children = recorded.children_of(main);
        assert_eq!(children.len(), 1, "{:#}", recorded.outline());
        let child = children[0];
        check_sums(child);
        assert!(!names(child).contains(&"forks") && named(child, "wave")["depth"] == 0, "{:?}", names(child));
        assert_eq!(child["timeline"]["imports"]["from_beginning"], true);
        assert!(child["timeline"]["imports"]["init_ns"].is_null());
    }
}

#[test]
fn threads_that_import_at_once_are_told_apart() {
    require_root();
    let sleeps = "import time\ntime.sleep(.12)\n";
    let modules_ = Modules::new(&[
        ("first.py", sleeps),
        ("second.py", sleeps),
        (
            "main.py",
            "import threading, importlib\n\
             def imports(name):\n    exec('import ' + name)\n\
             both = [threading.Thread(target=imports, args=(n,)) for n in ('first', 'second')]\n\
             [t.start() for t in both]\n[t.join() for t in both]\n",
        ),
    ]);
    for (_, python) in pythons() {
        let recorded = modules_.run(&python);
        let start = &recorded.starts()[0];
        check_sums(start);
        let both = [named(start, "first"), named(start, "second")];
        assert_ne!(both[0]["tid"], both[1]["tid"]);
        for module in both {
            assert_eq!(module["depth"], 0);
            assert_ne!(module["tid"], start["pid"]);
            assert!(ns(module, "own_ns") >= 120_000_000, "{module}");
        }
        let apart = ns(both[0], "at_ns").abs_diff(ns(both[1], "at_ns"));
        assert!(apart < 100_000_000, "one after the other: {apart}");
    }
}

#[test]
fn workers_of_multiprocessing_have_imports_of_their_own() {
    require_root();
    for (_, python) in pythons() {
        for method in ["spawn", "forkserver"] {
            let program = script("mp_process.py");
            let cmd = [python.to_str().unwrap(), program.to_str().unwrap(), method, "2"];
            let recorded = record(&["-q", "--level", "deep"], &cmd);
            let told = recorded.told();
            for worker in told["workers"].as_array().unwrap() {
                let start = recorded.start_of(worker.as_u64().unwrap());
                // A worker of a fork server may find everything there.
                if method == "forkserver" && start["timeline"]["imports"].is_null() {
                    continue;
                }
                check_sums(start);
                assert_eq!(start["timeline"]["imports"]["from_beginning"], true);
                assert_eq!(start["timeline"]["imports"]["init_ns"].is_null(), method == "forkserver");
            }
        }
    }
}

#[test]
fn an_interpreter_that_is_met_on_the_way_is_seen_from_then_on() {
    require_root();
    let (_folder, copy) = own_interpreter();
    let copy = &*copy;
    let script = format!("{copy} -c 'import time; time.sleep(.3)'; {copy} -c 'import json'");
    let recorded = record(&["-q", "--level", "deep"], &["sh", "-c", &script]);
    let second = recorded.start_with_argv(&[copy, "-c", "import json"]);
    check_sums(second);
    assert_eq!(second["timeline"]["imports"]["from_beginning"], true, "{:#}", second["timeline"]["imports"]);
    assert!(names(second).contains(&"json"));
    let first = recorded.start_with_argv(&[copy, "-c", "import time; time.sleep(.3)"]);
    let imports = &first["timeline"]["imports"];
    assert!(imports.is_null() || imports["from_beginning"] == false, "{imports:#}");
}

#[test]
fn an_interpreter_behind_a_wrapper_is_seen_from_the_beginning() {
    require_root();
    let (_folder, copy) = own_interpreter();
    let cmd = ["env", "A=1", &*copy, "-c", "import json"];
    let recorded = record(&["-q", "--level", "deep"], &cmd);
    let argv = &recorded.starts()[0]["argv"];
    assert_eq!(argv[0], cmd[2], "{argv}");
    let start = &recorded.starts()[0];
    assert_eq!(start["timeline"]["imports"]["from_beginning"], true, "{:#}", start["timeline"]["imports"]);
    assert!(names(start).contains(&"json"));
    check_sums(start);
}

#[test]
fn an_interpreter_in_another_root_is_found_there() {
    require_root();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(root.join("usr")).unwrap();
    fs::create_dir(root.join("opt")).unwrap();
    for name in ["bin", "lib", "lib64", "lib32", "libx32"] {
        if let Ok(to) = fs::read_link(Path::new("/").join(name)) {
            std::os::unix::fs::symlink(to, root.join(name)).unwrap();
        }
    }
    let python = fs::canonicalize(SYSTEM).expect("no python3 in /usr/bin: apt-get install python3");
    fs::copy(&python, root.join("opt/interpreter")).unwrap();
    // The mount goes with its namespace.
    let script = "mount --bind /usr \"$1/usr\" && chroot \"$1\" /opt/interpreter -c 'import time; time.sleep(.3)' && \
                  chroot \"$1\" /opt/interpreter -c 'import json'";
    let cmd = ["unshare", "-m", "sh", "-c", script, "sh", root.to_str().unwrap()];
    let recorded = record(&["-q", "--level", "deep"], &cmd);
    let start = recorded.start_with_argv(&["/opt/interpreter", "-c", "import json"]);
    assert_eq!(start["timeline"]["imports"]["from_beginning"], true, "{:#}", start["timeline"]["imports"]);
    assert!(names(start).contains(&"json"));
    check_sums(start);
}

#[test]
fn a_running_server_tells_what_its_workers_import() {
    require_root();
    let modules_ = Modules::new(&[(
        "main.py",
        "import os, sys\n\
         print('ready', flush=True)\n\
         sys.stdin.readline()\n\
         pid = os.fork()\n\
         if pid == 0:\n    import wave\n    os._exit(0)\n\
         os.waitpid(pid, 0)\nsys.stdin.readline()\n",
    )]);
    use std::io::{BufRead, Write};
    let mut server = Command::new(SYSTEM)
        .args(["-B", modules_.folder.path().join("main.py").to_str().unwrap()])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let pid = server.id().to_string();
    let running = record_background(&["-q", "--level", "deep", "--count", "1", "-p", &pid]);
    server.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    let recorded = running.stop_at_its_end();
    server.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    server.wait().unwrap();
    let worker = &recorded.starts()[0];
    assert_eq!(named(worker, "wave")["depth"], 0, "{:?}", names(worker));
    assert_eq!(worker["timeline"]["imports"]["from_beginning"], true);
    check_sums(worker);
}
