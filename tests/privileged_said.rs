//! What `record` says of itself is so: its plan, its log, and why it cannot begin.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::{Recorded, record, require_root, startrace};
use std::collections::BTreeSet;
use std::process::{Command, Output};

const NONE: &[&str] = &[];

/// A hook of a library without the file's name: a plan knows of a kind, a recording names each file.
fn by_kind(hook: &str) -> String {
    match hook.split_once('/') {
        Some((kind @ ("uprobe" | "uretprobe" | "usdt"), rest)) => {
            format!("{kind}:{}", rest.rsplit(':').next().unwrap())
        }
        _ => hook.to_owned(),
    }
}

fn kernel_hooks(hooks: &BTreeSet<String>) -> BTreeSet<&str> {
    hooks.iter().map(|hook| &**hook).filter(|hook| hook.contains('/')).collect()
}

/// What a plan lists under a title.
fn planned(args: &[&str]) -> (BTreeSet<String>, BTreeSet<String>, String) {
    let output = Command::new(startrace()).args(["record", "--dry-run"]).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("Not examined"), "{text}");
    let section = |title: &str| -> Vec<&str> {
        let lines = text.lines().skip_while(|line| *line != format!("{title}:")).skip(1);
        lines.take_while(|line| line.starts_with("  ")).map(str::trim).collect()
    };
    let hooks = section("Hooks").into_iter().map(by_kind).collect();
    let unseen =
        section("Not observed").iter().map(|line| line.split(':').next().unwrap().to_owned()).collect();
    (hooks, unseen, text)
}

fn of_session(recorded: &Recorded) -> (BTreeSet<String>, BTreeSet<String>) {
    let strings = |name: &str| -> BTreeSet<String> {
        let list = recorded.trace["session"][name].as_array().unwrap();
        list.iter().map(|text| by_kind(text.as_str().unwrap())).collect()
    };
    (strings("hooks"), strings("not_observed"))
}

fn system_calls(hooks: &BTreeSet<String>) -> BTreeSet<&str> {
    hooks.iter().filter_map(|hook| hook.strip_prefix("tp/syscalls/")).collect()
}

#[test]
fn a_dry_run_says_what_a_recording_then_has_and_has_not() {
    require_root();
    let pid = std::process::id().to_string();
    let ways: [(&[&str], &[&str]); 5] = [
        (&["-a"], NONE),
        (&["-a", "--library-probes"], NONE),
        (&["-p", &pid], NONE),
        (&[], &["true"]),
        (&["--comm", "no-such-name"], NONE),
    ];
    for (args, command) in ways {
        let mut plan = args.to_vec();
        plan.extend(command.first().map(|_| "--"));
        plan.extend(command);
        let (hooks, unseen, text) = planned(&plan);
        let args = if command.is_empty() { [args, &["--duration", "50ms"]].concat() } else { args.to_vec() };
        let (used, missed) = of_session(&record(&args, command));
        assert_eq!(unseen, missed, "{args:?}\n{text}");
        // Wake-ups are looked at once something starts.
        let (mut planned, mut attached) = (kernel_hooks(&hooks), kernel_hooks(&used));
        assert!(planned.remove("tp_btf/sched_waking"), "{planned:?}");
        assert!(attached.remove("tp_btf/sched_waking") || command.is_empty(), "{attached:?}");
        assert_eq!(planned, attached, "{args:?}");
        // Whether there is a CPython to probe is the machine's affair; loaders and libc are everywhere.
        assert!(used.is_subset(&hooks), "{used:?} of {hooks:?}");
        for function in ["uprobe:execve", "uprobe:__libc_start_main", "uprobe:_dl_debug_state"] {
            assert_eq!(hooks.contains(function), used.contains(function), "{args:?}: {function}");
        }
        // What is said of failed execs is what is done for them.
        let at_libc = text.contains("at libc's execve");
        assert_eq!(at_libc, hooks.contains("uprobe:execve"), "{text}");
        assert_eq!(
            text.contains("are not seen (--library-probes"),
            missed.contains("failed_execs"),
            "{text}"
        );
    }
}

#[test]
fn each_level_has_the_tracepoints_of_system_calls_that_the_help_names() {
    require_root();
    let of = |level: &str, args: &[&str], command: &[&str]| {
        let args = [&["--level", level], args].concat();
        of_session(&record(&args, command)).0
    };
    let mut entries = BTreeSet::new();
    for call in ["fork", "vfork", "clone", "clone3", "execve", "execveat"] {
        entries.extend([format!("sys_enter_{call}"), format!("sys_exit_{call}")]);
    }
    let entries: BTreeSet<&str> = entries.iter().map(|name| &**name).collect();
    for level in ["lifecycle", "timeline", "deep"] {
        let all = of(level, &["-a", "--duration", "50ms"], NONE);
        let command = of(level, &[], &["true"]);
        let fentry = command.iter().any(|hook| hook.starts_with("fentry/"));
        let own = if fentry { BTreeSet::new() } else { entries.clone() };
        let (all, command) = (system_calls(&all), system_calls(&command));
        match level {
            "lifecycle" => assert_eq!((all.len(), command), (0, own)),
            "timeline" => {
                let connect = (!fentry).then_some("sys_exit_connect");
                assert_eq!((all.len(), command), (0, own.into_iter().chain(connect).collect()));
            }
            _ => {
                let files = ["openat", "newfstatat", "statx", "faccessat"];
                for call in files {
                    assert!(all.contains(&*format!("sys_exit_{call}")), "{all:?}");
                }
                assert!(all.contains("sys_enter_write") && all.contains("sys_exit_connect"), "{all:?}");
                assert_eq!(command, all.iter().copied().chain(own).collect());
            }
        }
    }
    let help = Command::new(startrace()).args(["help", "levels"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "at lifecycle those of fork, vfork, clone, clone3, execve and execveat, entry and exit; at timeline also the exit of connect",
        "With -p, -a and selectors there are none, but for --syscall-hooks and --ready output",
        "At deep there are those of opens, stat, access, write and connect in any case",
    ] {
        assert!(help.contains(said), "{said}\n{help}");
    }
}

/// `startrace ARGS` from a shell that has done something before, in a folder of its own.
fn from_shell(before: &str, args: &str) -> (Output, String, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{before}; exec {} {args}", startrace().display());
    let output = Command::new("sh").args(["-c", &script]).current_dir(&folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let files = common::live::names(folder.path());
    (output, said, files)
}

#[test]
fn the_log_does_not_tell_of_source_lines_that_the_build_took_out() {
    require_root();
    let (output, said, _) = from_shell(":", "-vv record -q --level deep -o x.json -- true");
    assert!(output.status.success(), "{said}");
    assert!(!said.contains("line info"), "{said}");
    // ... and of the rest as before.
    assert!(said.contains("DEBUG startrace::probe::object: program on_exec: "), "{said}");
}

#[test]
fn a_process_that_is_not_there_is_told_by_a_dry_run_as_by_a_recording() {
    require_root();
    // Of the kernel's threads the second is one, where the machine's processes are seen.
    let thread = std::fs::read_to_string("/proc/2/comm").is_ok_and(|comm| comm.trim() == "kthreadd");
    let pids = ["99999999"].into_iter().chain(thread.then_some("2"));
    for pid in pids {
        let [plan, recording] =
            ["--dry-run", ""].map(|dry| from_shell(":", &format!("record {dry} -p {pid}")));
        assert_eq!(plan.0.status.code(), Some(1), "{}", plan.1);
        assert_eq!((plan.0.status.code(), &plan.1), (recording.0.status.code(), &recording.1));
        assert!(plan.1.contains(&format!("-p {pid}: ")) && plan.0.stdout.is_empty(), "{plan:?}");
    }
}

#[test]
fn a_name_that_no_task_can_have_is_an_error() {
    for (option, says) in [
        ("--comm averyveryverylongcommname", "use --comm averyveryverylo\n"),
        ("--comm 'sixteen-bytes-16'", "use --comm sixteen-bytes-1\n"),
        ("--comm 'fourteen-bytes\u{e9}'", "use --comm 'fourteen-bytes*'\n"),
        ("--comm 'a*verylongcommname'", "use a shorter pattern\n"),
        ("--comm ''", "--comm '': "),
        ("--unit ''", "--unit '': "),
        ("--exe ''", "--exe '': "),
        ("--comm sh --cgroup ''", "--cgroup '': "),
    ] {
        for command in ["record", "watch", "record --dry-run"] {
            let (output, said, files) = from_shell(":", &format!("{command} {option} --duration 100ms"));
            assert_eq!(output.status.code(), Some(2), "{option}: {said}");
            assert!(said.contains(says), "{option}: {said}");
            assert!(files.is_empty(), "{files:?}");
        }
    }
    // As long as one can be.
    for option in ["--comm fifteen-bytes-1", "--comm 'fourteen-bytes***'"] {
        let (output, said, _) = from_shell(":", &format!("record --dry-run {option}"));
        assert!(output.status.success(), "{option}: {said}");
    }
}

#[test]
fn a_limit_that_is_too_low_is_raised_for_us_or_told() {
    require_root();
    // The soft one is ours to raise, and CMD has it as it was.
    let (output, said, _) =
        from_shell("ulimit -Sn 20; ulimit -Hn 700", "record -q -o x.json -- sh -c 'ulimit -Sn; ulimit -Hn'");
    assert!(output.status.success(), "{said}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "20\n700\n");

    let (output, said, files) = from_shell("ulimit -n 20", "record -- touch ran");
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("the hard limit of open files is 20") && said.contains("ulimit -n 1024"), "{said}");
    assert!(files.is_empty(), "{files:?}");
    let (output, said, files) = from_shell("ulimit -f 1", "record -- touch ran");
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("the limit of file sizes is") && said.contains("ulimit -f unlimited"), "{said}");
    assert!(!files.contains(&"ran".to_owned()), "{files:?}");
}

#[test]
fn a_unit_that_is_not_there_is_told_once() {
    require_root();
    let (output, said, _) = from_shell(":", "record --unit nosuch --duration 300ms");
    assert!(output.status.success(), "{said}");
    assert_eq!(said.matches("there is no such cgroup").count(), 1, "{said}");
    // With a command, which may start it, only when all is over.
    let (_, said, _) = from_shell(":", "record --unit nosuch --duration 300ms -- true");
    assert_eq!(said.matches("there is no such cgroup").count(), 1, "{said}");
}

#[test]
fn nothing_is_traced_for_a_standard_output_that_is_closed() {
    require_root();
    for (args, code) in [
        ("record -o - -- touch ran", 125),
        ("record -o - --format ndjson -- touch ran", 125),
        ("record -o - -a --duration 100ms", 1),
        ("watch -- touch ran", 125),
        ("watch --json -- touch ran", 125),
        ("stat --runs 1 -- touch ran", 1),
    ] {
        let (output, said, files) = from_shell("exec >&-", args);
        assert_eq!(output.status.code(), Some(code), "{args}: {said}");
        assert!(said.contains("standard output, which is closed"), "{args}: {said}");
        assert!(files.is_empty(), "{args}: {files:?}");
    }
    // It is no business of a trace that goes to a file.
    let (output, said, files) = from_shell("exec >&-", "record -o x.json -- touch ran");
    assert!(output.status.success() && files == ["ran", "x.json"], "{said}: {files:?}");
    // Nor of a report, which goes where messages go.
    let (output, said, _) = from_shell("exec >&-", "record --report -o x.json -- true");
    assert!(output.status.success() && !said.contains("which is closed"), "{said}");
}
