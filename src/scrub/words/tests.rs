use super::*;

fn with() -> Pseudonyms {
    Pseudonyms::seeded("test")
}

#[test]
fn lists_are_in_order() {
    for list in [&*OWN, PROGRAMS, FOLDERS, &*MODULES] {
        assert!(list.lines().is_sorted());
        assert!(list.lines().all(|line| !line.is_empty() && line.trim() == line));
    }
}

#[test]
fn the_same_becomes_the_same() {
    let (a, b) = (with(), Pseudonyms::random());
    assert_eq!(a.path("/srv/acme/serve.py"), a.path("/srv/acme/serve.py"));
    assert_eq!(a.path("/srv/acme/serve.py"), Pseudonyms::seeded("test").path("/srv/acme/serve.py"));
    assert_ne!(a.path("/srv/acme/serve.py"), b.path("/srv/acme/serve.py"));
    assert_ne!(a.path("/srv/acme/serve.py"), Pseudonyms::seeded("other").path("/srv/acme/serve.py"));
    // As a folder, as an argument, in a sentence.
    let name = a.file_name("acme");
    assert!(a.path("/srv/acme").ends_with(&name));
    assert!(a.argument("--for=acme").ends_with(&name));
    assert!(a.text("waits for acme").ends_with(&name));
    let mut all: Vec<String> = (0..100_000).map(|i| a.file_name(&format!("name{i}"))).collect();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 100_000);
}

#[test]
fn a_port_stays_one_that_can_be() {
    let a = with();
    let mut high = 0;
    for port in 10_000..=65_535u32 {
        let became: u32 = a.argument(&format!("--port={port}")).rsplit('=').next().unwrap().parse().unwrap();
        assert!((10_000..=65_535).contains(&became), "{port} -> {became}");
        high += u32::from(became > 60_000);
    }
    assert!(high > 1_000, "{high}");
    // What cannot be one has all of its digits' range.
    assert!((70_000..80_000).any(|n| a.argument(&n.to_string()).parse::<u32>().unwrap() > 65_535));
}

#[test]
fn where_a_server_was_asked_for_in_vain_stays_a_sentence() {
    let detail = "the window ended; it waits for clients in poll (tcp 10.1.2.3:18733); --ready looks at tcp 10.1.2.3:18733; \
                  the last answer there was HTTP 404 from http://10.1.2.3:18733/acme";
    let a = with();
    let address = a.text("tcp 10.1.2.3:18733");
    let address = address.strip_prefix("tcp ").unwrap();
    // The milestone that says where it waits is looked for by its name.
    for name in
        ["first_listen", "first_accept_wait", "first_accept", "first_output", "workers_ready", "daemonised"]
    {
        assert_eq!(a.text(name), name);
    }
    let rest = format!(
        "the window ended; it waits for clients in poll (tcp {address}); --ready looks at tcp {address}; the last answer \
         there was HTTP 404 from http://"
    );
    let scrubbed = a.text(detail);
    assert!(scrubbed.starts_with(&rest), "{scrubbed}");
    assert!(!scrubbed.contains("acme") && !scrubbed.contains("18733"), "{scrubbed}");
    assert!(!a.text("HTTP 8443").contains("8443"), "another number");
}

#[test]
fn what_everybody_has_stays() {
    let a = with();
    for path in
        ["/usr/bin/python3.11", "/bin/sh", "/lib64/ld-linux-x86-64.so.2", "/proc/self/fd/3", "/", "", "."]
    {
        assert_eq!(a.path(path), path);
    }
    assert!(a.path("/usr/lib/python3.11/acme.py").starts_with("/usr/lib/python3.11/x"));
    assert!(a.path("/usr/lib/python3.11/acme.py").ends_with(".py"));
    assert!(a.path("/srv/acme (deleted)").ends_with(" (deleted)"));
    for name in
        ["multiprocessing.spawn", "fork_exec", "shell.pipeline", "other:rt_sigsuspend", "page_fault", "app"]
    {
        assert_eq!(a.name(name), name);
    }
    assert_ne!(a.name("acme.launcher.secretive"), "acme.launcher.secretive");
    assert_eq!(a.constant("CLONE_VM"), "CLONE_VM");
    assert_ne!(a.constant("ACME"), "ACME");
    assert_eq!(a.id("4242@81236123456789/0"), "4242@81236123456789/0");
    assert_ne!(a.id("acme@1"), "acme@1");
    assert_eq!(a.hook("tp_btf/sched_switch"), "tp_btf/sched_switch");
    let libc = "uprobe//usr/lib/x86_64-linux-gnu/libc.so.6:__libc_start_main";
    assert_eq!(a.hook(libc), libc);
    assert!(!a.hook("uprobe//home/jane/lib/libc.so.6:__libc_start_main").contains("jane"));
    assert_eq!(a.user(0), 0);
    assert_ne!(a.user(1000), 1000);
    assert_eq!(a.runtime("cpython 3.11"), "cpython 3.11");
    assert_eq!(a.version("6.18.0"), "6.18.0");
    assert!(!a.version("6.18.0-acme").contains("acme"));
}

#[test]
fn peers_become_others_and_pids_stay() {
    let a = with();
    let told = a.text("tcp 10.1.2.3:5432 from pid 4243 (acmed), unix /run/acme.sock");
    for gone in ["10.1.2.3", "5432", "acme"] {
        assert!(!told.contains(gone), "{told}");
    }
    assert!(told.starts_with("tcp 198.1") && told.contains("pid 4243 ("), "{told}");
    assert_eq!(a.text("tcp 127.0.0.1:0"), "tcp 127.0.0.1:0");
    assert!(a.text("tcp [fe80::17]:8080").starts_with("tcp [2001:db8:"), "{}", a.text("tcp [fe80::17]:8080"));
    assert!(!a.argument("10.9.8.7").contains("10.9.8.7"));
}

#[test]
fn of_what_was_waited_for_the_sentence_stays() {
    let a = with();
    for told in [
        "fd 3 or 2 others: pipe:[7] <- pid 11 (sh -c)",
        "unix socket:[77] (receive), peer pid 11 (python3)",
        "udp 127.0.0.1:0 (send)",
        "until a set time, 119 ms later",
        "message queue 5",
        "semaphore set 6",
    ] {
        // Numbers of objects are as good as names.
        let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        assert_eq!(words(&a.text(told)), words(told));
    }
    let told = a.text(
        "unix @acme-bus (connect), peer pid 7 (acmed), /home/jane/acme/ and /run/acme.fifo (open) <- pid 8",
    );
    assert!(!told.contains("acme") && !told.contains("jane"), "{told}");
    assert!(told.contains(" (connect), peer pid 7 (") && told.contains(" (open) <- pid 8"), "{told}");
}

#[test]
fn modules_of_python_itself_stay() {
    let a = with();
    for name in ["site", "json.decoder", "encodings.utf_8", "importlib.metadata", "__main__"] {
        assert_eq!(a.module(name), name);
    }
    let told = a.module("acme.billing");
    assert!(!told.contains("acme") && !told.contains("billing") && told.matches('.').count() == 1, "{told}");
    // The package, its folder and its file are seen to be the same.
    assert_eq!(a.path("acme/billing.py").strip_suffix(".py"), Some(&*told.replace('.', "/")));
}

#[test]
fn names_of_ours_and_the_kernels_stay() {
    let a = with();
    for name in ["failed_forks", "failed_execs", "failed_exec_errors", "entry_times", "shell.subshell"] {
        assert_eq!(a.name(name), name);
    }
    // Every word of a trace that help explains; some entries are several, or have a place for a value.
    let known = crate::help::topics().into_iter();
    let known =
        known.filter(|topic| ["phases", "states", "methods", "readiness", "levels"].contains(&topic.name));
    let known = known.flat_map(|topic| topic.entries).flat_map(|entry| entry.name.split([' ', ',']));
    let known =
        known.filter(|name| name.bytes().all(|byte| byte.is_ascii_lowercase() || b"_-.".contains(&byte)));
    let renamed: Vec<&str> = known.filter(|name| *name != "auto" && a.name(name) != *name).collect();
    assert!(renamed.is_empty(), "{renamed:?}");
    for text in [
        "ending",
        "too long to follow",
        "asked for 20 ms",
        "pid 15 (rcu_preempt) had the CPU last",
        "pid 15 (rcu_preempt) had the CPU for the last 1.25 ms",
        "pid 15 (rcu_preempt) had the CPU all the while",
    ] {
        assert_eq!(a.text(text), text);
    }
    for symbol in ["PyImport_ImportModuleLevelObject", "PyImport_ImportModuleLevelObject+return"] {
        let hook = a.hook(&format!("uprobe//usr/lib/libpython3.so:{symbol}"));
        assert!(hook.ends_with(&format!(":{symbol}")), "{hook}");
    }
    for hook in
        ["usdt//usr/bin/python3.11:import__find__load__start", "perf_event/cpu-clock", "uprobe/libc:execve"]
    {
        assert_eq!(a.hook(hook), hook);
    }
    assert_eq!(a.program("kworker/u8:2-events_unbound"), "kworker/u8:2-events_unbound");
    assert!(!a.program("kworker/0:1-acme").contains("acme") && !a.program("kworker/acme").contains("acme"));
}

#[test]
fn a_path_and_a_version_are_the_same_in_a_sentence() {
    let a = with();
    for path in
        ["/usr/bin/dash", "/opt/acme-app/3.11.7/bin/python3.11", "/proc/self/status", "/srv/acme.d/t.py"]
    {
        let alone = a.path(path);
        assert_eq!(a.text(&format!("parent image {path}, then")), format!("parent image {alone}, then"));
        assert!(a.argument(&format!("--file={path}")).ends_with(&format!("={alone}")));
    }
    assert_eq!(a.path("/proc/self/status"), "/proc/self/status");
    assert_eq!(
        a.text("parent image /usr/bin/python3.11 (cpython 3.11)"),
        "parent image /usr/bin/python3.11 (cpython 3.11)"
    );
    assert_eq!(a.text("python3.11"), "python3.11");
    assert!(a.text("3.11.7").starts_with('x'), "{}", a.text("3.11.7"));
}

#[test]
fn two_numbers_never_become_one() {
    let a = Pseudonyms::seeded("a");
    for width in 2..=4_usize {
        let all: Vec<String> = (0..10_usize.pow(width as u32)).map(|n| format!("{n:0width$}")).collect();
        let others: std::collections::HashSet<String> = all.iter().map(|text| a.digits(text)).collect();
        assert_eq!(others.len(), all.len(), "{width} digits");
        assert!(all.iter().all(|text| a.digits(text) != *text));
    }
    let ports: std::collections::HashSet<String> =
        (10_000..=65_535).map(|n| a.digits(&n.to_string())).collect();
    assert_eq!(ports.len(), 65_536 - 10_000);
    // So two commands stay two.
    let commands: Vec<String> = (10..100).map(|n| a.argument(&format!("--helper={n}"))).collect();
    let different: std::collections::HashSet<&String> = commands.iter().collect();
    assert_eq!(different.len(), commands.len());
    for long in ["9".repeat(19), "0".repeat(40), "12".repeat(5_000)] {
        let other = a.digits(&long);
        assert_eq!((other.len(), other == long), (long.len(), false));
    }
    let users: std::collections::HashSet<u32> = (1..100_000).map(|id| a.user(id)).collect();
    assert!(users.len() >= 99_999 - 4, "{}", users.len());
}
