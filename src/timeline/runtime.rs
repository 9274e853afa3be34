//! What goes on inside a language runtime, as far as its files and the names of its threads tell. All of it is
//! concluded: no runtime says so itself.

use super::process::OpenStart;
use crate::trace::schema::{Phase, Runtime, RuntimeStage, RuntimeThreads, ThreadTime};
use std::collections::BTreeMap;

/// A runtime that is seen into, by the first word of its name in a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Language {
    Cpython,
    Jvm,
    Node,
    Perl,
    Php,
    Ruby,
}

impl Language {
    fn of(runtime: Option<&str>) -> Option<Self> {
        Some(match runtime?.split(' ').next()? {
            "cpython" => Self::Cpython,
            "jvm" => Self::Jvm,
            "node" => Self::Node,
            "perl" => Self::Perl,
            "php" => Self::Php,
            "ruby" => Self::Ruby,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Cpython => "cpython",
            Self::Jvm => "jvm",
            Self::Node => "node",
            Self::Perl => "perl",
            Self::Php => "php",
            Self::Ruby => "ruby",
        }
    }

    /// Is that kind of file (see `files/kind.rs`) code in this language?
    fn is_code(self, kind: &str) -> bool {
        match self {
            Self::Cpython => matches!(kind, "python_source" | "python_bytecode"),
            Self::Jvm => kind == "java",
            Self::Node => kind == "javascript",
            Self::Perl => kind == "perl",
            Self::Php => kind == "php",
            Self::Ruby => kind == "ruby",
        }
    }
}

/// What the threads of a runtime are for, by the beginnings of the names that it gives them.
const ROLES: &[(Language, &str, &[&str])] = &[
    (Language::Jvm, "jit", &["C1 CompilerThre", "C2 CompilerThre", "JVMCI", "Sweeper thread", "JIT "]),
    (
        Language::Jvm,
        "gc",
        &[
            "GC Thread",
            "G1 ",
            "ParGC",
            "Parallel GC",
            "CMS ",
            "Concurrent Mark",
            "ZDirector",
            "ZDriver",
            "ZStat",
            "ZUncommitter",
            "ZUnmapper",
            "ZWorker",
            "XDirector",
            "XDriver",
            "XStat",
            "XUncommitter",
            "XUnmapper",
            "XWorker",
            "Shenandoah",
        ],
    ),
    (
        Language::Jvm,
        "runtime",
        &[
            "VM ",
            "Service Thread",
            "Monitor Deflati",
            "Signal Dispatch",
            "Reference Handl",
            "Finalizer",
            "Common-Cleaner",
            "Notification Th",
            "Attach Listener",
            "DestroyJavaVM",
        ],
    ),
    (Language::Node, "runtime", &["V8", "DelayedTaskSche", "SignalInspector"]),
    (Language::Node, "io", &["libuv-worker"]),
];

fn role(language: Language, comm: Option<&str>) -> &'static str {
    let Some(comm) = comm else { return "unknown" };
    let known = ROLES
        .iter()
        .find(|(of, _, begins)| *of == language && begins.iter().any(|begin| comm.starts_with(begin)));
    match known {
        Some((_, role, _)) => role,
        // Its pools of threads have had names since version 23 only.
        None if language == Language::Node => "unknown",
        None => "application",
    }
}

/// When files with code were opened, of one image.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Code {
    /// Where the image stands among the execs.
    exec: usize,
    first_ns: Option<u64>,
    /// The first that does not come with the runtime.
    own_ns: Option<u64>,
    /// The return of the last.
    last_ns: u64,
}

/// Does that file come with the runtime, by the folder that its executable is in? The program itself does not.
fn comes_along(path: &str, exe: &str, script: Option<&str>) -> bool {
    let named = |script: &str| {
        let rest = path.strip_suffix(script.trim_start_matches("./"));
        !script.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let Some((prefix, _)) = exe.rsplit_once("/bin/") else { return false };
    let inside = path.strip_prefix(prefix).is_some_and(|rest| {
        rest.starts_with("/lib/") || rest.starts_with("/share/") || rest.starts_with("/lib64/")
    });
    inside && !script.is_some_and(named)
}

/// A file was opened by a start.
pub(super) fn opened(code: &mut Option<Code>, start: &OpenStart, path: &str, kind: &str, times: (u64, u64)) {
    let last = start.execs.iter().enumerate().rev().find(|(_, exec)| exec.error.is_none());
    let Some((exec, image)) = last.and_then(|(at, exec)| Some((at, &exec.program.as_ref()?.image))) else {
        return;
    };
    if !Language::of(image.runtime.as_deref()).is_some_and(|language| language.is_code(kind)) {
        return;
    }
    let argument = || image.argv.as_ref()?.iter().skip(1).find(|word| !word.starts_with('-'));
    let script = image.script.as_deref().or_else(|| argument().map(String::as_str));
    let code = match code {
        Some(code) if code.exec == exec => code,
        code => code.insert(Code { exec, ..Code::default() }),
    };
    code.first_ns.get_or_insert(times.0);
    if !comes_along(path, image.exe.as_deref().unwrap_or_default(), script) {
        code.own_ns.get_or_insert(times.0);
    }
    code.last_ns = code.last_ns.max(times.1);
}

/// The parts of the last image's `app`.
fn stages(code: &Code, origin_ns: u64, phases: &[Phase]) -> Vec<RuntimeStage> {
    let app = phases.iter().rev().find(|phase| phase.name == "app");
    let Some(app) = app.filter(|app| app.exec.map(|exec| exec as usize) == Some(code.exec)) else {
        return Vec::new();
    };
    let end = app.at_ns.saturating_add(app.duration_ns);
    let at = |ns: u64| ns.saturating_sub(origin_ns).clamp(app.at_ns, end);
    let Some(first) = code.own_ns.or(code.first_ns).map(at) else { return Vec::new() };
    let last = at(code.last_ns).max(first);
    [("runtime", app.at_ns, first), ("loading", first, last), ("program", last, end)]
        .into_iter()
        .map(|(name, from, to)| RuntimeStage { name: name.to_owned(), at_ns: from, duration_ns: to - from })
        .collect()
}

/// For a trace; `None` where nothing can be told. `runtime`: the last image's.
pub(super) fn account(
    runtime: Option<&str>,
    code: Option<&Code>,
    threads: &[ThreadTime],
    origin_ns: u64,
    phases: &[Phase],
) -> Option<Runtime> {
    let language = Language::of(runtime)?;
    let mut roles: BTreeMap<&str, RuntimeThreads> = BTreeMap::new();
    if ROLES.iter().any(|(of, ..)| *of == language) {
        for thread in threads {
            let role = role(language, thread.comm.as_deref());
            let sum = roles.entry(role).or_insert_with(|| RuntimeThreads {
                role: role.to_owned(),
                n: 0,
                running_ns: 0,
                runnable_ns: 0,
            });
            sum.n += 1;
            sum.running_ns = sum.running_ns.saturating_add(thread.running_ns);
            sum.runnable_ns = sum.runnable_ns.saturating_add(thread.runnable_ns);
        }
    }
    let stages = code.map(|code| stages(code, origin_ns, phases)).unwrap_or_default();
    if stages.is_empty() && roles.is_empty() {
        return None;
    }
    Some(Runtime { language: language.name().to_owned(), stages, threads: roles.into_values().collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_a_jvm_by_what_they_are_for() {
        for (comm, want) in [
            ("C2 CompilerThre", "jit"),
            ("C1 CompilerThre", "jit"),
            ("G1 Main Marker", "gc"),
            ("GC Thread#0", "gc"),
            ("ZWorker#1", "gc"),
            ("VM Periodic Tas", "runtime"),
            ("Common-Cleaner", "runtime"),
            ("java", "application"),
            ("HTTP-Dispatcher", "application"),
            ("ZooKeeper-1", "application"),
            ("XWiki", "application"),
        ] {
            assert_eq!(role(Language::Jvm, Some(comm)), want, "{comm}");
        }
        assert_eq!(role(Language::Jvm, None), "unknown");
        assert_eq!(role(Language::Node, Some("node")), "unknown");
        assert_eq!(role(Language::Node, Some("libuv-worker")), "io");
    }

    #[test]
    fn what_comes_with_a_runtime() {
        for (path, exe, script, want) in [
            ("/usr/lib/ruby/3.1.0/json.rb", "/usr/bin/ruby3.1", Some("app.rb"), true),
            ("/srv/app.rb", "/usr/bin/ruby3.1", Some("app.rb"), false),
            (
                "/usr/share/nodejs/npm/bin/npm-cli.js",
                "/usr/bin/node",
                Some("/usr/share/nodejs/npm/bin/npm-cli.js"),
                false,
            ),
            ("/usr/share/nodejs/acorn/acorn.js", "/usr/bin/node", Some("x.js"), true),
            ("/usr/share/nodejs/acorn/acorn.js", "/usr/bin/node", Some("corn.js"), true),
            ("/jdk/lib/modules", "/jdk/bin/java", None, true),
            ("/usr/share/java/junit.jar", "/jdk/bin/java", None, false),
            ("/x", "node", Some(""), false),
        ] {
            assert_eq!(comes_along(path, exe, script), want, "{path}");
        }
    }

    #[test]
    fn stages_add_up_to_the_last_images_app() {
        let phase =
            |name: &str, at_ns, duration_ns| Phase { name: name.into(), at_ns, duration_ns, exec: Some(1) };
        let phases = [phase("exec", 0, 100), phase("app", 100, 900)];
        let of = |code: Code| -> Vec<(String, u64, u64)> {
            let stages = stages(&code, 1000, &phases);
            stages.into_iter().map(|s| (s.name, s.at_ns, s.duration_ns)).collect()
        };
        let stage = |name: &str, at, length| (name.to_owned(), at, length);
        let code = Code { exec: 1, first_ns: Some(1200), own_ns: Some(1300), last_ns: 1500 };
        let usual = [stage("runtime", 100, 200), stage("loading", 300, 200), stage("program", 500, 500)];
        assert_eq!(of(code), usual);
        // Nothing of its own: from the first file on.
        assert_eq!(of(Code { own_ns: None, ..code })[0], stage("runtime", 100, 100));
        // Out of range, and another image's.
        let odd = Code { exec: 1, first_ns: Some(0), own_ns: None, last_ns: u64::MAX };
        assert_eq!(
            of(odd),
            [stage("runtime", 100, 0), stage("loading", 100, 900), stage("program", 1000, 0)]
        );
        assert_eq!(of(Code { exec: 0, ..code }), []);
    }
}
