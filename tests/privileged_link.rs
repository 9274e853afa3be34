//! What happens between an image and its main(): the phases `load`, `link` and `init`, as ld.so and libc
//! tell of them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::batch::{phase_ns, phases};
use common::jail::Jail;
use common::{Built, Recorded, compile, script};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with a program of its own, and the library that it needs.
struct App(Built);

impl std::ops::Deref for App {
    type Target = Built;

    fn deref(&self) -> &Built {
        &self.0
    }
}

impl App {
    fn new() -> Self {
        let built = Built::new();
        let source = script("constructor.c");
        let source = source.to_str().unwrap();
        let library = built.path("libslow.so");
        compile("gcc", &["-shared", "-fPIC", "-DLIBRARY", "-o", &library, source]);
        compile("gcc", &["-o", &built.path("app"), source, &library]);
        Self(built)
    }

    fn run(&self, env: &[&str]) -> Recorded {
        let app = self.path("app");
        let cmd: Vec<&str> = ["env"].iter().chain(env).copied().chain([app.as_str()]).collect();
        common::record::<&str, &str>(&[], &cmd)
    }
}

/// The only start of the recorded command.
fn only(recorded: &Recorded) -> &Value {
    assert_eq!(recorded.starts().len(), 1, "{:#}", recorded.outline());
    &recorded.starts()[0]
}

/// The phases of the last image of a start.
fn last_image(start: &Value) -> Vec<&str> {
    let phases = phases(start);
    let begin = phases.iter().rposition(|name| *name == "exec").expect("no exec");
    phases[begin..].to_vec()
}

/// The last phase of a name.
fn last_ns(start: &Value, name: &str) -> u64 {
    let phases = start["timeline"]["phases"].as_array().unwrap();
    phases.iter().rev().find(|phase| phase["name"] == name).unwrap()["duration_ns"].as_u64().unwrap()
}

fn libc_starts(start: &Value) -> usize {
    let milestones = start["timeline"]["milestones"].as_array().unwrap();
    milestones.iter().filter(|milestone| milestone["name"] == "libc_start").count()
}

fn hooks(recorded: &Recorded) -> Vec<&str> {
    let hooks = recorded.trace["session"]["hooks"].as_array().unwrap();
    hooks.iter().map(|hook| hook.as_str().unwrap()).collect()
}

#[test]
fn the_very_first_start_of_a_fresh_binary_has_all_phases() {
    common::require_root();
    let built = App::new();
    let recorded = common::record::<&str, String>(&[], &[built.path("app")]);
    let start = only(&recorded);
    // The command's own setup is startrace's.
    let found: Vec<_> = phases(start).into_iter().filter(|name| *name != "setup").collect();
    assert_eq!(found, common::phases(&["fork", "schedule", "image"]), "{start:#}");
    for name in ["load", "link", "init", "app"] {
        assert!(phase_ns(start, name) > 0, "{:#}", start["timeline"]);
    }
    assert_eq!(libc_starts(start), 1);
    let hooks = hooks(&recorded);
    for function in [":_dl_debug_state", ":__libc_start_main"] {
        assert!(
            hooks.iter().any(|hook| hook.starts_with("uprobe//") && hook.ends_with(function)),
            "{hooks:?}"
        );
    }
    assert_eq!(recorded.trace["session"]["hooks_missing"], 0);
}

/// The first start tells where the loader's function is called from; the later ones hit probes there, which cost less.
#[test]
fn later_starts_are_told_where_the_loader_calls() {
    common::require_root();
    let built = App::new();
    let script = "\"$0\"; sleep 0.7; for n in 1 2 3; do \"$0\"; done";
    let recorded = common::record(&["-vv"], &["sh", "-c", script, &built.path("app")]);
    let starts: Vec<&Value> =
        recorded.starts().iter().filter(|start| start["exe"] == built.path("app").as_str()).collect();
    assert_eq!(starts.len(), 4, "{:#}", recorded.outline());
    for start in starts {
        assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
        for name in ["load", "link", "init", "app"] {
            assert!(phase_ns(start, name) > 0, "{:#}", start["timeline"]);
        }
        assert_eq!(libc_starts(start), 1);
    }
    // Not where the kernel takes one probe at a time, or could forget that a call belongs on a shadow stack too.
    let kernel = fs::read("/sys/kernel/btf/vmlinux").unwrap();
    let many = kernel.windows(21).any(|bytes| bytes == b"bpf_uprobe_multi_link");
    let shadows = fs::read_to_string("/proc/cpuinfo").unwrap().contains(" user_shstk");
    let moved = recorded.stderr.contains("probed where it calls _dl_debug_state");
    assert_eq!(moved, cfg!(target_arch = "x86_64") && many && !shadows, "{}", recorded.stderr);
}

#[test]
fn a_constructor_of_a_library_is_init() {
    common::require_root();
    let built = App::new();
    let mut best = u64::MAX;
    for _ in 0..5 {
        let recorded = built.run(&["WORK=sleep 120"]);
        let own = recorded.told()["constructor_ns"].as_u64().unwrap();
        let start = only(&recorded);
        assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
        let init = last_ns(start, "init");
        assert!(own >= 120_000_000 && init >= own, "init {init}, by its own clock {own}");
        best = best.min(init - own);
    }
    // What remains is the other libraries' constructors; a busy machine adds to some of the tries.
    assert!(best < 1_000_000, "init is {best} ns longer than the constructor");
}

#[test]
fn a_long_search_for_libraries_is_link() {
    common::require_root();
    let built = App::new();
    let mut folders = Vec::new();
    for n in 0..1000 {
        let folder = built.path(&format!("d{n}"));
        fs::create_dir(&folder).unwrap();
        folders.push(folder);
    }
    let long = format!("LD_LIBRARY_PATH={}", folders.join(":"));
    let fastest = |env: &[&str]| {
        (0..3)
            .map(|_| {
                let recorded = built.run(env);
                let start = only(&recorded);
                assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
                (last_ns(start, "link"), last_ns(start, "load") + last_ns(start, "init"))
            })
            .min()
            .unwrap()
    };
    let (short, long) = (fastest(&[]), fastest(&[&long]));
    // 1,000 folders, none of which has libc: 1,000 opens that fail.
    assert!(long.0 > short.0 + 500_000, "link {} ns with a long search, {} without", long.0, short.0);
}

#[test]
fn a_process_that_dies_on_the_way_dies_in_its_phase() {
    common::require_root();
    let built = App::new();
    let recorded = built.run(&["WORK=kill"]);
    let start = only(&recorded);
    assert_eq!(last_image(start), ["exec", "load", "link", "init"], "{start:#}");
    assert_eq!(start["exit"]["signal"], "SIGKILL");
    fs::remove_file(built.path("libslow.so")).unwrap();
    let recorded = built.run(&[]);
    let start = only(&recorded);
    assert_eq!(last_image(start), ["exec", "load", "link"], "{start:#}");
    assert_eq!(start["exit"]["code"], 127);
}

#[test]
fn libraries_that_come_before_or_after_do_not_confuse() {
    common::require_root();
    let built = App::new();
    // A constructor that calls dlopen.
    let other = built.path("other.so");
    fs::copy(built.path("libslow.so"), &other).unwrap();
    let recorded = built.run(&[&format!("WORK=open {other}")]);
    let start = only(&recorded);
    assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
    // An auditor, which is loaded before all else, in a list of its own.
    let source = built.path("audit.c");
    fs::write(&source, "unsigned la_version(unsigned v) { return v; }").unwrap();
    let audit = built.path("audit.so");
    compile("gcc", &["-shared", "-fPIC", "-o", &audit, &source]);
    let plain = built.run(&["WORK=sleep 30"]);
    let audited = built.run(&[&format!("LD_AUDIT={audit}"), "WORK=sleep 30"]);
    for recorded in [&plain, &audited] {
        let start = only(recorded);
        assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
        assert!(last_ns(start, "init") >= 30_000_000, "{start:#}");
        assert!(last_ns(start, "link") < 30_000_000, "{start:#}");
    }
}

#[test]
fn each_image_of_a_chain_has_its_own() {
    common::require_root();
    let recorded = common::record::<&str, &str>(&[], &["env", "sh", "-c", "exec /bin/true chain"]);
    let start = only(&recorded);
    let found: Vec<_> = phases(start).into_iter().filter(|name| *name != "setup").collect();
    assert_eq!(found, common::phases(&["fork", "schedule", "image", "image", "image"]), "{start:#}");
    assert_eq!(libc_starts(start), 3);
}

#[test]
fn what_the_loader_does_not_find_is_named() {
    common::require_root();
    let built = App::new();
    let (app, library) = (built.path("app"), built.path("libslow.so"));
    let failed = || {
        let recorded = common::record_unchecked::<&str, &str>(&[], &[&app]);
        let start = only(&recorded);
        assert_eq!(start["exit"]["code"], 127, "{start:#}");
        let finding = start["findings"].as_array().unwrap().iter().find(|it| it["id"] == "start-failed");
        (start["exit"]["missing_libraries"].clone(), finding.unwrap()["summary"].as_str().unwrap().to_owned())
    };
    // A library that has nothing of what the program takes from it: all are there.
    let empty = built.path("empty.c");
    fs::write(&empty, "int nothing;").unwrap();
    compile("gcc", &["-shared", "-fPIC", "-o", &library, &empty]);
    assert_eq!(failed().0, json!([]));
    fs::remove_file(&library).unwrap();
    let (missing, summary) = failed();
    assert_eq!(missing, json!([library]));
    assert!(summary.contains("; its dynamic loader does not find "), "{summary}");
}

#[test]
fn musl_and_static_programs_have_what_they_have() {
    common::require_root();
    let built = App::new();
    let source = built.path("plain.c");
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    let compile = |compiler: &str, flags: &[&str]| {
        let binary = built.path("plain");
        compile(compiler, &[&[source.as_str(), "-o", &binary], flags].concat());
        let recorded = common::record::<&str, String>(&[], &[binary]);
        let start = only(&recorded);
        assert_eq!(start["exit"]["code"], 0);
        (last_image(start).into_iter().map(str::to_owned).collect::<Vec<_>>(), libc_starts(start))
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    // Its loader calls once, when all is relocated.
    assert_eq!(compile("musl-gcc", &[]), (names(&["exec", "load", "init", "app"]), 1));
    assert_eq!(compile("musl-gcc", &["-static"]), (names(&["exec", "app"]), 0));
    assert_eq!(compile("gcc", &["-static"]), (names(&["exec", "app"]), 0));
    assert_eq!(compile("gcc", &["-static-pie"]), (names(&["exec", "app"]), 0));
    assert_eq!(
        compile("gcc", &["-no-pie"]),
        (common::phases(&["image"]).iter().map(|s| (*s).to_owned()).collect(), 1)
    );
}

/// A static program has no loader that could tell; its first instruction is a page fault.
#[test]
fn at_the_deepest_level_a_static_program_begins_with_its_first_instruction() {
    common::require_root();
    let built = App::new();
    let source = built.path("entry.c");
    fs::write(
        &source,
        "#include <stdio.h>\n#include <time.h>\n\
         int main(void) { struct timespec t; clock_gettime(CLOCK_BOOTTIME, &t); \
         printf(\"{\\\"main\\\": %lld}\\n\", t.tv_sec * 1000000000LL + t.tv_nsec); return 0; }",
    )
    .unwrap();
    for flags in [&["-static"][..], &["-static-pie"], &[]] {
        let binary = built.path("entry");
        compile("gcc", &[&[source.as_str(), "-o", &binary], flags].concat());
        let recorded = common::record(&["--level", "deep"], &[binary]);
        let start = only(&recorded);
        let milestones = start["timeline"]["milestones"].as_array().unwrap();
        let entry = milestones.iter().find(|milestone| milestone["name"] == "entry");
        if flags.is_empty() {
            assert!(entry.is_none(), "ld.so is entered, and tells itself: {milestones:#?}");
            assert_eq!(last_image(start), ["exec", "load", "link", "init", "app"]);
            continue;
        }
        assert_eq!(last_image(start), ["exec", "load", "app"], "{flags:?}");
        let origin = start["timeline"]["origin_boottime_ns"].as_u64().unwrap();
        let entry = origin + entry.unwrap()["at_ns"].as_u64().unwrap();
        let image = origin
            + start["execs"][0]["at_ns"].as_u64().unwrap()
            + start["execs"][0]["duration_ns"].as_u64().unwrap();
        let main = recorded.told()["main"].as_u64().unwrap();
        assert!(image <= entry && entry < main, "{image} {entry} {main}");
        assert_eq!(image + last_ns(start, "load"), entry);
    }
}

#[test]
fn a_loader_that_tells_nothing_is_counted_and_its_phases_are_not_told_apart() {
    common::require_root();
    let built = App::new();
    let source = built.path("plain.c");
    fs::write(&source, "int main(void) { return 0; }").unwrap();
    let (loader, app) = (built.path("loader"), built.path("odd"));
    // The kernel starts any program without an interpreter of its own as one.
    let alone = built.path("alone.c");
    fs::write(
        &alone,
        "void _start(void) { for (volatile int n = 0; n < 300000000; n++); __builtin_trap(); }",
    )
    .unwrap();
    compile("gcc", &["-static-pie", "-nostdlib", "-o", &loader, &alone]);
    compile("gcc", &["-o", &app, &source, &format!("-Wl,--dynamic-linker={loader}")]);
    let recorded = common::record::<&str, String>(&[], &[app]);
    let start = only(&recorded);
    assert_eq!(last_image(start), ["exec", "app"], "{start:#}");
    assert_eq!(start["exit"]["signal"], "SIGILL", "{start:#}");
    assert_eq!(recorded.trace["session"]["hooks_missing"], 1);
}

#[test]
fn another_root_is_probed_as_it_appears() {
    common::require_root();
    let jail = Jail::new();
    // Privileges are dropped by then. The first program there is what shows the libraries.
    let recorded =
        common::record::<&str, &str>(&[], &jail.command("/bin/sleep 0.3; /bin/true in; /bin/true jail"));
    for word in ["in", "jail"] {
        let start = recorded.start_with_argv(&["/bin/true", word]);
        assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
    }
    let root = jail.folder.path().to_str().unwrap();
    let inside = hooks(&recorded).into_iter().filter(|hook| hook.contains(root)).count();
    assert_eq!(inside, 2, "{:?}", hooks(&recorded));
    assert_eq!(recorded.trace["session"]["hooks_missing"], 0);
}

/// Its loader would not find it by itself, nor do we: what cannot be told apart is not, and that is counted.
#[test]
fn another_root_whose_libc_cannot_be_found() {
    common::require_root();
    let jail = Jail::new();
    let odd = jail.inside(Path::new("/odd"));
    fs::create_dir(&odd).unwrap();
    let libc = Command::new("find").arg(jail.folder.path()).args(["-name", "libc.so.6"]).output().unwrap();
    let libc = PathBuf::from(String::from_utf8(libc.stdout).unwrap().trim());
    fs::rename(&libc, odd.join("libc.so.6")).unwrap();
    let line =
        [&["env", "LD_LIBRARY_PATH=/odd"][..], &jail.command("/bin/sleep 0.3; /bin/true odd")].concat();
    let recorded = common::record::<&str, &str>(&[], &line);
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let start = recorded.start_with_argv(&["/bin/true", "odd"]);
    assert_eq!(last_image(start), ["exec", "load", "link", "app"], "{start:#}");
    assert_eq!(recorded.trace["session"]["hooks_missing"], 1);
}

#[test]
fn a_loader_that_is_replaced_is_probed_anew() {
    common::require_root();
    let jail = Jail::new();
    let root = jail.folder.path().to_str().unwrap();
    let loader = fs::read_dir(jail.folder.path().join("lib64")).unwrap().next().unwrap().unwrap().path();
    let loader = loader.to_str().unwrap();
    let script = format!(
        "chroot {root} /bin/sleep 0.3; chroot {root} /bin/true before
         cp {loader} {loader}.new; mv {loader}.new {loader}
         chroot {root} /bin/sleep 0.3; chroot {root} /bin/true after"
    );
    let recorded = common::record::<&str, &str>(&[], &["sh", "-c", &script]);
    for word in ["before", "after"] {
        let start = recorded.start_with_argv(&["/bin/true", word]);
        assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
    }
    let inside = hooks(&recorded).into_iter().filter(|hook| hook.contains(root)).count();
    // Twice a loader, once a C library.
    assert_eq!(inside, 3, "{:?}", hooks(&recorded));
}

/// Runs a program in a root with a mount of its own, which others than its processes see, and unmounts it.
fn in_a_mounted_root(args: &[&str], unmount: &str) -> Recorded {
    let jail = Jail::new();
    let from = jail.folder.path().to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().to_str().unwrap();
    let script = format!(
        "to={to}; mount -t tmpfs none $to && cp -a {from}/. $to && chroot $to /bin/sleep 0.3 &&
         chroot $to /bin/true mounted && {{ {unmount}; }}"
    );
    common::record::<&str, &str>(args, &["unshare", "-m", "sh", "-c", &script])
}

/// A probe would keep it in use: nothing that is recorded may fail for that.
#[test]
fn what_is_mounted_for_a_root_can_be_unmounted_at_once() {
    common::require_root();
    let recorded = in_a_mounted_root(&[], "umount $to");
    assert!(recorded.status.success(), "{}", recorded.stderr);
    let start = recorded.start_with_argv(&["/bin/true", "mounted"]);
    // chroot's own image, and the one that is not told apart.
    assert_eq!(last_image(start), ["exec", "app"], "{start:#}");
    assert_eq!(recorded.trace["session"]["hooks_missing"], 1);
}

/// Where the probes are asked for, they are let go soon after the last process that had the root.
#[test]
fn probes_in_a_root_that_nobody_has_any_more_are_let_go() {
    common::require_root();
    // Refused at first, or the probes are not what keeps it; then for 10 s at most.
    let unmount = "! umount $to 2>/dev/null && for n in $(seq 100); do sleep 0.1; umount $to 2>/dev/null && exit 0; done; exit 2";
    let recorded = in_a_mounted_root(&["--library-probes"], unmount);
    assert!(recorded.status.success(), "{:?} {}", recorded.status, recorded.stderr);
    let start = recorded.start_with_argv(&["/bin/true", "mounted"]);
    assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
    assert_eq!(recorded.trace["session"]["hooks_missing"], 0);
}

#[test]
fn without_library_probes_the_program_begins_with_its_image() {
    common::require_root();
    const SELECTED: [&str; 4] = ["--comm", "true", "--duration", "1s"];
    let asked = [&SELECTED[..], &["--library-probes"]].concat();
    for args in [&["--level", "lifecycle"][..], &SELECTED, &asked] {
        let recorded = common::record::<&str, &str>(args, &["/bin/true", "unprobed"]);
        let start = recorded.start_with_argv(&["/bin/true", "unprobed"]);
        let probed = args.contains(&"--library-probes");
        let want = if probed { common::phases(&["image"]) } else { vec!["exec", "app"] };
        assert_eq!(last_image(start), want, "{args:?}: {start:#}");
        let any = hooks(&recorded).iter().any(|hook| hook.ends_with("_dl_debug_state"));
        assert_eq!(any, probed, "{:?}", hooks(&recorded));
        assert_eq!(start["timeline"]["phase_ns"].get("link").is_some(), probed);
        assert_eq!(json!(libc_starts(start)), json!(usize::from(probed)));
    }
}

#[test]
fn the_children_of_a_running_process_have_all_phases() {
    common::require_root();
    let mut shell = Command::new("sh")
        .args(["-c", "read -r _; /bin/true child"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let running = common::record_background(&["-p", &shell.id().to_string()]);
    drop(shell.stdin.take());
    shell.wait().unwrap();
    let recorded = running.stop_at_its_end();
    let start = recorded.start_with_argv(&["/bin/true", "child"]);
    assert_eq!(last_image(start), common::phases(&["image"]), "{start:#}");
}
