use super::*;
use crate::elf::testing::{gcc, library};
use std::process::{Child, Command, Stdio};

fn options(target: impl Into<OsString>) -> Options {
    Options { target: target.into(), json: false, root: None }
}

fn text(options: &Options) -> String {
    let mut out = Vec::new();
    run(options, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn error(options: &Options) -> String {
    format!("{:#}", inspect(options).unwrap_err())
}

/// A program that waits for its standard input to end, and its library in `l`.
fn waiting_program(dir: &Path) -> PathBuf {
    let lib = library(&dir.join("l/libwait.so"), "waits", &[]);
    let code = "#include <unistd.h>\nint waits(void); int main(void) { char c; waits(); return read(0, &c, 1) != 0; }";
    let flags = ["-Wl,--no-as-needed", lib.to_str().unwrap()];
    gcc(&dir.join("waiting"), code, &flags)
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[test]
fn text_fits_80_columns_and_says_what_matters() {
    let dir = tempfile::tempdir().unwrap();
    let program = waiting_program(dir.path());
    let shown = text(&options(&program));
    for line in shown.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for part in [
        "linkage       dynamic",
        "interpreter   /lib",
        "libc          glibc",
        "1 NOT FOUND",
        "NOT FOUND",
        "libwait.so",
        "/libc.so.6",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
}

#[test]
fn json_holds_everything() {
    assert!(AFTER_HELP.lines().all(|l| l.chars().count() <= 80));
    let dir = tempfile::tempdir().unwrap();
    let program = waiting_program(dir.path());
    let mut options = options(&program);
    options.json = true;
    let json = text(&options);
    let read: Inspection = serde_json::from_str(&json).unwrap();
    assert_eq!(read, inspect(&options).unwrap());
    assert_eq!(read.totals.not_found, 1);
    assert_eq!(read.totals.libraries, read.libraries.len() as u64);
    let libraries = read.libraries.iter().filter_map(|l| l.relocations);
    assert_eq!(read.totals.relocations, read.facts.relocations + libraries.sum::<u64>());
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    for field in
        ["path", "pid", "root", "scripts", "size", "facts", "probes", "libraries", "totals", "problems"]
    {
        assert!(value.get(field).is_some(), "{field}");
        assert!(AFTER_HELP.contains(field), "{field} is documented");
    }
    for (part, fields) in
        [("facts", &value["facts"]), ("library", &value["libraries"][0]), ("totals", &value["totals"])]
    {
        for field in fields.as_object().unwrap().keys() {
            let known = AFTER_HELP.contains(field.as_str());
            assert!(known, "{part}.{field} is documented");
        }
    }
}

#[test]
fn a_process_brings_its_environment() {
    let dir = tempfile::tempdir().unwrap();
    let program = waiting_program(dir.path());
    let child = Command::new(&program)
        .env("LD_LIBRARY_PATH", dir.path().join("l"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    let running = Running(child);
    // The environment is that of the child only after its exec.
    let exe = PathBuf::from(format!("/proc/{pid}/exe"));
    let real = program.canonicalize().unwrap();
    while std::fs::read_link(&exe).unwrap() != real {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let seen = inspect(&options(pid.to_string())).unwrap();
    assert_eq!(seen.pid, Some(pid));
    assert_eq!(seen.path, real.to_str().unwrap());
    assert_eq!(seen.totals.not_found, 0, "{seen:?}");
    let lib = &seen.libraries[0];
    assert_eq!(lib.found, Some(crate::elf::resolve::Found::LdLibraryPath));
    let shown = text(&options(pid.to_string()));
    assert!(shown.contains("env: found through LD_LIBRARY_PATH"), "{shown}");
    assert!(shown.contains(&format!("process       {pid}")), "{shown}");
    drop(running);
    let gone = error(&options(pid.to_string()));
    assert!(gone.starts_with(&format!("no such process: {pid}")), "{gone}");
    assert!(gone.contains(&format!("./{pid}")), "{gone}");
}

#[test]
fn kernel_threads_and_ended_processes_are_named() {
    let mut child = Command::new("true").spawn().unwrap();
    let stat = format!("/proc/{}/stat", child.id());
    while !std::fs::read_to_string(&stat).unwrap().contains(") Z ") {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let ended = error(&options(child.id().to_string()));
    child.wait().unwrap();
    assert!(ended.contains("has ended"), "{ended}");
}

#[test]
fn scripts_lead_to_their_interpreter() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().canonicalize().unwrap();
    let outer = dir.join("outer");
    let inner = dir.join("inner");
    std::fs::write(&inner, "#!/bin/sh -e\n").unwrap();
    std::fs::write(&outer, format!("#!{}\n", inner.display())).unwrap();
    let seen = inspect(&options(&outer)).unwrap();
    assert_eq!(seen.scripts.len(), 2);
    assert_eq!(seen.scripts[0].interpreter, inner.to_str().unwrap());
    assert_eq!(seen.scripts[1].argument.as_deref(), Some("-e"));
    let sh = std::fs::canonicalize("/bin/sh").unwrap();
    assert_eq!(seen.path, sh.to_str().unwrap());
    let shown = text(&options(&outer));
    let joined: String = shown.split_whitespace().collect();
    assert!(joined.contains("says#!/bin/sh-e"), "{shown}");

    std::fs::write(&outer, "#!/usr/bin/env -S sh -e\n").unwrap();
    let seen = inspect(&options(&outer)).unwrap();
    assert_eq!(seen.scripts[1].by, "env");
    assert_eq!(seen.path, sh.to_str().unwrap());

    std::fs::write(&outer, "#!/no/such/interpreter\n").unwrap();
    let missing = error(&options(&outer));
    assert!(missing.contains("/no/such/interpreter, which does not exist"), "{missing}");
    std::fs::write(&outer, format!("#!{}\n", outer.display())).unwrap();
    assert!(error(&options(&outer)).contains("without end"));
}

#[test]
fn scripts_are_read_as_the_kernel_and_env_read_them() {
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().canonicalize().unwrap().join("script");
    let sh = std::fs::canonicalize("/bin/sh").unwrap();
    let of = |line: &str| {
        std::fs::write(&script, line).unwrap();
        let seen = inspect(&options(&script)).unwrap();
        let mut json = options(&script);
        json.json = true;
        assert_eq!(serde_json::from_str::<Inspection>(&text(&json)).unwrap(), seen);
        let words: Vec<String> = text(&options(&script)).split_whitespace().map(str::to_owned).collect();
        (seen, words.join(" "))
    };
    let (seen, _) = of("#!/bin/sh -e\necho\r\n");
    assert_eq!((seen.problems.len(), &*seen.path), (0, sh.to_str().unwrap()));
    // The kernel passes the carriage return on.
    let (seen, words) = of("#!/bin/sh\r\necho\r\n");
    assert_eq!((&*seen.path, &*seen.scripts[0].interpreter), (sh.to_str().unwrap(), "/bin/sh\r"));
    assert!(
        seen.problems[0].contains("looks for \"/bin/sh\\r\", which is not there: exec of it fails"),
        "{seen:?}"
    );
    assert!(words.contains("carriage return, as lines of DOS do"), "{words}");
    let (seen, _) = of("#!/bin/sh -e\r\n");
    assert_eq!(seen.scripts[0].argument.as_deref(), Some("-e\r"));
    assert!(seen.problems[0].contains("/bin/sh gets the argument \"-e\\r\""), "{seen:?}");
    let (seen, words) = of("#!/usr/bin/env sh\r\n");
    assert!(words.contains("env would find sh in PATH as "), "{words}");
    assert!(seen.problems[0].contains("env looks for \"sh\\r\" in PATH, which is not there"), "{seen:?}");
    assert_eq!(seen.path, sh.to_str().unwrap());
    // env splits only what it is told to, and then passes over the carriage return.
    let (seen, words) = of("#!/usr/bin/env -S A=b sh -e -u\r\n");
    let env = &seen.scripts[1];
    assert_eq!(
        (env.command.as_deref(), &*env.arguments),
        (Some("sh"), &["-e".to_owned(), "-u".to_owned()][..])
    );
    assert_eq!((seen.problems.len(), &*seen.path), (0, sh.to_str().unwrap()));
    assert!(
        words.contains(&format!("env finds sh in PATH as {} and runs it with -e -u", env.interpreter)),
        "{words}"
    );
    let (seen, _) = of("#!/usr/bin/env sh -e\n");
    assert!(
        seen.problems[0].contains("\"sh -e\" in PATH, blanks and all, and fails: write 'env -S sh -e'"),
        "{seen:?}"
    );
    assert!(seen.path.ends_with("/env") || seen.path.contains("coreutils"), "{}", seen.path);
    let (seen, _) = of("#!/usr/bin/env no-such-command\n");
    assert!(seen.problems[0].contains("env finds no \"no-such-command\" in PATH"), "{seen:?}");
    let (seen, _) = of("#!/usr/bin/env -i sh\n");
    assert!(seen.problems[0].contains("'-S' in front has it split"), "{seen:?}");
}

#[test]
fn errors_name_the_file_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let absent = error(&options(at("none")));
    assert!(absent.starts_with("no such file: ") && absent.ends_with("none"), "{absent}");
    let hint = error(&options("sh"));
    assert!(hint.starts_with("no such file: sh; did you mean /"), "{hint}");
    assert_eq!(
        error(&options("/proc/self/exe")),
        "/proc/self/exe leads to what a process has open: name the file itself, or give the PID"
    );
    let folder = error(&options(dir.path()));
    assert!(folder.ends_with("is a folder, not a program or library"), "{folder}");
    std::fs::write(at("text"), "hello\n").unwrap();
    let not_elf = error(&options(at("text")));
    assert!(not_elf.starts_with("not an ELF file: /"), "{not_elf}");
    assert!(not_elf.ends_with("text starts with \"hello\\n\""), "{not_elf}");
    std::fs::write(at("cut"), b"\x7fELF\x02\x01\x01").unwrap();
    assert!(error(&options(at("cut"))).contains("truncated ELF file"));
    std::fs::write(at("\x1b[31mevil"), "x").unwrap();
    let evil = error(&options(at("\x1b[31mevil")));
    assert!(!evil.contains('\x1b') && evil.contains("\\x1b[31mevil"), "{evil}");
    let mut other = options("123");
    other.root = Some(dir.path().to_owned());
    assert!(error(&other).ends_with("a PID goes without --root"));
    other.root = Some(at("none"));
    assert!(error(&other).starts_with("cannot use "));
    assert!(error(&options("")).contains("the name is empty"));
}

#[test]
fn another_root_is_where_paths_begin() {
    let dir = tempfile::tempdir().unwrap();
    let program = waiting_program(dir.path());
    // Nothing but the program: even the interpreter is missing below that root.
    let mut options = options("/waiting");
    options.root = Some(dir.path().to_owned());
    let seen = inspect(&options).unwrap();
    assert_eq!(seen.path, "/waiting");
    assert_eq!(seen.totals.not_found, seen.totals.libraries);
    let problem = &seen.problems[0];
    assert!(
        problem.contains("its interpreter") && problem.contains("exec of the program fails"),
        "{problem}"
    );
    let interpreter = seen.facts.interpreter.clone().unwrap();
    let inside = dir.path().join(interpreter.trim_start_matches('/'));
    std::fs::create_dir_all(inside.parent().unwrap()).unwrap();
    std::fs::copy(&interpreter, inside).unwrap();
    library(&dir.path().join("lib/libwait.so"), "waits", &[]);
    let seen = inspect(&options).unwrap();
    let wait = seen.libraries.iter().find(|l| l.name == "libwait.so").unwrap();
    assert_eq!(wait.path.as_deref(), Some("/lib/libwait.so"));
    assert!(text(&options).contains("below "));
    drop(program);
}
