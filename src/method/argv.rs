//! Arguments that a library writes itself, matched whole: each grammar is that of the library's own
//! source, and a text that merely contains the words is not it.

use super::program::base;

/// How well a text fits a grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Match {
    /// From the first byte to the last.
    Whole,
    /// As far as it goes: long enough to have been cut by a recorder.
    Cut,
}

/// What a Python command line runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target<'a> {
    /// `-c` text.
    Code(&'a str),
    /// `-m` module.
    Module(&'a str),
    /// A file.
    Script(&'a str),
}

/// A Python command line, taken apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct PythonLine<'a> {
    /// What is run.
    pub(super) target: Target<'a>,
    /// What follows.
    pub(super) rest: &'a [String],
    /// The options before it are such as multiprocessing passes on to its children, and `-c` or `-m`
    /// stands alone.
    pub(super) as_library: bool,
}

/// Takes a Python command line apart as the interpreter does.
pub(super) fn python_line(argv: &[String]) -> Option<PythonLine<'_>> {
    let mut as_library = true;
    let mut i = 1;
    loop {
        let arg = argv.get(i)?.as_str();
        let rest = argv.get(i + 1..).unwrap_or_default();
        if arg == "--" {
            let (script, rest) = rest.split_first()?;
            return Some(PythonLine { target: Target::Script(script), rest, as_library: false });
        }
        let Some(letters) = arg.strip_prefix('-').filter(|l| !l.is_empty()) else {
            return Some(PythonLine { target: Target::Script(arg), rest, as_library: false });
        };
        if letters.starts_with('-') {
            as_library = false;
            i += if letters == "-check-hash-based-pycs" { 2 } else { 1 };
            continue;
        }
        let mut takes_next = false;
        for (at, letter) in letters.char_indices() {
            let value = letters.get(at + letter.len_utf8()..).unwrap_or_default();
            match letter {
                'c' | 'm' => {
                    let (text, rest) = if value.is_empty() {
                        let (text, rest) = rest.split_first()?;
                        (text.as_str(), rest)
                    } else {
                        (value, rest)
                    };
                    let alone = letters.len() == 1;
                    return Some(PythonLine {
                        target: if letter == 'c' { Target::Code(text) } else { Target::Module(text) },
                        rest,
                        as_library: as_library && alone,
                    });
                }
                'W' | 'X' | 'Q' => {
                    takes_next = value.is_empty();
                    break;
                }
                'O' | 'd' | 'B' | 'S' | 'v' | 'b' | 'q' | 'I' | 'E' | 's' | 'P' | 'R' => {}
                _ => as_library = false,
            }
        }
        i += if takes_next { 2 } else { 1 };
    }
}

/// Does an interpreter with these arguments import `site` before it turns to the program? (Not with `-S`.)
pub(super) fn imports_site(argv: &[String]) -> bool {
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty() && *letters != "-")
        else {
            break;
        };
        if letters == "-check-hash-based-pycs" {
            words.next();
        }
        for (at, letter) in letters.char_indices().filter(|_| !letters.starts_with('-')) {
            match letter {
                'S' => return false,
                'c' | 'm' => return true,
                'W' | 'X' | 'Q' => {
                    if at + 1 == letters.len() {
                        words.next();
                    }
                    break;
                }
                _ => {}
            }
        }
    }
    true
}

fn number(text: &str) -> Option<&str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 10 {
        return None;
    }
    text.get(digits..)
}

/// `tracker_fd=5, pipe_handle=7` in any order; `pipe_handle` must be there.
fn spawn_arguments(text: &str, separator: &str) -> bool {
    let mut handle = false;
    for pair in text.split(separator) {
        let Some((name, value)) = pair.split_once('=') else {
            return false;
        };
        if !matches!(name, "pipe_handle" | "tracker_fd" | "parent_pid") {
            return false;
        }
        handle |= name == "pipe_handle";
        if value != "None" && number(value) != Some("") {
            return false;
        }
    }
    handle
}

/// `multiprocessing.spawn.get_command_line` (CPython 3.4 to 3.14).
pub(super) fn is_spawn_main(code: &str, rest: &[String]) -> bool {
    rest.len() == 1
        && rest.first().is_some_and(|a| a == "--multiprocessing-fork")
        && code
            .strip_prefix("from multiprocessing.spawn import spawn_main; spawn_main(")
            .and_then(|c| c.strip_suffix(')'))
            .is_some_and(|a| spawn_arguments(a, ", "))
}

/// The same of a frozen program (PyInstaller and its kin): no interpreter to give code to.
pub(super) fn is_frozen_spawn(argv: &[String]) -> bool {
    let Some(("--multiprocessing-fork", rest)) =
        argv.get(1..).and_then(<[String]>::split_first).map(|(a, r)| (a.as_str(), r))
    else {
        return false;
    };
    rest.iter().any(|a| a.starts_with("pipe_handle=")) && rest.iter().all(|a| spawn_arguments_one(a))
}

fn spawn_arguments_one(pair: &str) -> bool {
    pair.split_once('=').is_some_and(|(name, value)| {
        matches!(name, "pipe_handle" | "tracker_fd" | "parent_pid")
            && (value == "None" || number(value) == Some(""))
    })
}

/// `resource_tracker.ensure_running` (3.8 and up) and `semaphore_tracker`'s (3.4 to 3.7).
pub(super) fn is_resource_tracker(code: &str, rest: &[String]) -> bool {
    rest.is_empty()
        && ["resource_tracker", "semaphore_tracker"].iter().any(|module| {
            code.strip_prefix("from multiprocessing.")
                .and_then(|c| c.strip_prefix(module))
                .and_then(|c| c.strip_prefix(" import main;main("))
                .and_then(number)
                == Some(")")
        })
}

/// `forkserver.ensure_running`: from 3.14.7 on the parent's arguments follow as arguments.
pub(super) fn is_fork_server(code: &str, rest: &[String]) -> Option<Match> {
    const OLD: &str = "from multiprocessing.forkserver import main; main(";
    let (body, new) = match code.strip_prefix("import sys; ") {
        Some(c) => (c.strip_prefix(OLD)?, true),
        None => (code.strip_prefix(OLD)?, false),
    };
    if !new && !rest.is_empty() {
        return None;
    }
    let body = number(body)?.strip_prefix(", ")?;
    let body = number(body)?.strip_prefix(", ")?;
    let end = |l: Literal<'_>| match l {
        // Long enough for a recorder to have cut it.
        Literal::Cut if code.len() >= 4096 && rest.is_empty() => Some(Match::Cut),
        _ => None,
    };
    let body = match literal(body, '[') {
        Literal::Whole(body) => body,
        other => return end(other),
    };
    let body = if new { body.strip_prefix(", sys_argv=sys.argv[1:]").unwrap_or(body) } else { body };
    match literal(body.strip_prefix(", **")?, '{') {
        Literal::Whole(")") => Some(Match::Whole),
        other => end(other),
    }
}

enum Literal<'a> {
    Whole(&'a str),
    Cut,
    No,
}

/// A list or dictionary of strings, numbers and None as Python's `repr` writes it; gives what follows.
fn literal(text: &str, open: char) -> Literal<'_> {
    if !text.starts_with(open) {
        return Literal::No;
    }
    let mut depth = 0_u32;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '[' | '{' | '(' => depth += 1,
            ']' | '}' | ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Literal::Whole(text.get(at + c.len_utf8()..).unwrap_or_default());
                }
            }
            '\'' | '"' => {
                let mut escaped = false;
                if !chars.any(|(_, s)| {
                    let end = s == c && !escaped;
                    escaped = s == '\\' && !escaped;
                    end
                }) {
                    return Literal::Cut;
                }
            }
            ' ' | ',' | ':' | '-' | '0'..='9' => {}
            // None, True, False and the b of bytes.
            'N' | 'o' | 'n' | 'e' | 'T' | 'r' | 'u' | 'F' | 'a' | 'l' | 's' | 'b' => {}
            _ => return Literal::No,
        }
    }
    Literal::Cut
}

/// loky's worker: `python -m [joblib.externals.]loky.backend.popen_loky_posix --process-name N --pipe N`.
pub(super) fn is_loky_worker(module: &str, rest: &[String]) -> bool {
    if !is_loky_module(module, "popen_loky_posix") || !rest.len().is_multiple_of(2) {
        return false;
    }
    let (mut pipe, mut name) = (false, false);
    for pair in rest.chunks_exact(2) {
        let [option, value] = pair else { return false };
        match option.as_str() {
            "--process-name" => name = true,
            "--pipe" if number(value) == Some("") => pipe = true,
            "--semaphore" | "--tracker-fd" if number(value) == Some("") => {}
            _ => return false,
        }
    }
    pipe && name
}

/// loky's tracker: `-c "from [...]loky.backend.resource_tracker import main; main(3, False)"`.
pub(super) fn is_loky_tracker(code: &str, rest: &[String]) -> bool {
    let call = || {
        let (module, call) = code.strip_prefix("from ")?.split_once(" import main; main(")?;
        let tracker =
            is_loky_module(module, "resource_tracker") || is_loky_module(module, "semaphore_tracker");
        let verbose = number(call)?.strip_prefix(", ")?.strip_suffix(')')?;
        Some(tracker && (matches!(verbose, "True" | "False") || number(verbose) == Some("")))
    };
    rest.is_empty() && call() == Some(true)
}

/// The package as itself, or as a copy inside another (joblib carries one).
fn is_loky_module(module: &str, last: &str) -> bool {
    let dotted =
        module.split('.').all(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
    let own = module
        .strip_suffix(last)
        .and_then(|m| m.strip_suffix("loky.backend."))
        .is_some_and(|m| m.is_empty() || m.ends_with('.'));
    dotted && own
}

/// What libc's system() and popen() run: `sh -c COMMAND`, from glibc 2.38 `sh -c -- COMMAND`. Others
/// (Python, Node, wordexp) say `/bin/sh`.
pub(super) fn is_libc_shell(argv: &[String]) -> bool {
    let Some(("sh", rest)) = argv.split_first().map(|(a, r)| (a.as_str(), r)) else {
        return false;
    };
    match rest {
        [c, _] => c == "-c",
        [c, dashes, _] => c == "-c" && dashes == "--",
        _ => false,
    }
}

/// `jspawnhelper [VERSION] r:w:x`: descriptors by number.
pub(super) fn is_jspawnhelper(argv: &[String]) -> bool {
    let descriptors = match argv {
        [_, fds] => fds,
        [_, version, fds] if version.bytes().next().is_some_and(|b| b.is_ascii_digit()) => fds,
        _ => return false,
    };
    let fds = descriptors.split(':');
    let all = fds.clone().all(|f| number(f) == Some(""));
    all && (2..=3).contains(&fds.count())
}

/// `systemd-executor --deserialize N ...`.
pub(super) fn is_systemd_executor(argv: &[String]) -> bool {
    let zero = argv.first().is_some_and(|a| base(a) == "systemd-executor");
    let fd = argv.windows(2).any(|w| match w {
        [option, value] => option == "--deserialize" && number(value) == Some(""),
        _ => false,
    });
    zero && fd
}

/// The first argument that is not an option, where `valued` names the options that take a value.
pub(super) fn first_word<'a>(argv: &'a [String], valued: &[&str]) -> Option<&'a str> {
    let mut args = argv.iter().skip(1);
    while let Some(arg) = args.next() {
        if !arg.starts_with('-') {
            return Some(arg);
        }
        if valued.contains(&arg.as_str()) {
            args.next();
        }
    }
    None
}

/// The file that a shell's command line runs: none where it is given commands or reads its input.
pub(super) fn shell_script(argv: &[String]) -> Option<&str> {
    let multi_call = argv.first().is_some_and(|zero| base(zero).starts_with("busybox"));
    let mut args = argv.iter().skip(1 + usize::from(multi_call)).map(String::as_str);
    while let Some(arg) = args.next() {
        match arg {
            "--" | "-" => return args.next(),
            "--rcfile" | "--init-file" => {
                args.next();
            }
            _ if arg.starts_with("--") => {}
            _ => {
                let Some(letters) = arg.strip_prefix(['-', '+']) else { return Some(arg) };
                if letters.contains(['c', 's']) {
                    return None;
                }
                // Each of `-o NAME`, and bash's `-O NAME`.
                for _ in letters.matches(['o', 'O']) {
                    args.next();
                }
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(list: &[&str]) -> Vec<String> {
        list.iter().map(|s| (*s).to_owned()).collect()
    }

    #[test]
    fn spawn_main_is_matched_whole_and_only_whole() {
        let fork = args(&["--multiprocessing-fork"]);
        let with = |a: &str| format!("from multiprocessing.spawn import spawn_main; spawn_main({a})");
        for good in [
            "tracker_fd=5, pipe_handle=7",
            "pipe_handle=7, tracker_fd=5",
            "pipe_handle=7",
            "parent_pid=None, pipe_handle=7",
        ] {
            assert!(is_spawn_main(&with(good), &fork), "{good}");
        }
        for bad in [
            "",
            "tracker_fd=5",
            "pipe_handle=x",
            "pipe_handle=7, tracker_fd=os.getpid()",
            "pipe_handle=7,tracker_fd=5",
            "pipe_handle=99999999999",
        ] {
            assert!(!is_spawn_main(&with(bad), &fork), "{bad}");
        }
        let good = with("tracker_fd=5, pipe_handle=7");
        assert!(!is_spawn_main(&good, &[]));
        assert!(!is_spawn_main(&good, &args(&["--multiprocessing-fork", "x"])));
        assert!(!is_spawn_main(&format!(" {good}"), &fork));
        assert!(!is_spawn_main(&format!("{good}; x()"), &fork));
        assert!(!is_spawn_main(&format!("print('{good}')"), &fork));
    }

    #[test]
    fn the_fork_server_is_matched_in_every_version_and_nothing_after_it() {
        let old = "from multiprocessing.forkserver import main; main(5, 6, ['__main__'], **{'sys_path': ['/a', \"it's\"], 'main_path': '/x.py'})";
        assert_eq!(is_fork_server(old, &[]), Some(Match::Whole));
        assert_eq!(is_fork_server(old, &args(&["x"])), None);
        let empty = "from multiprocessing.forkserver import main; main(3, 4, [], **{})";
        assert_eq!(is_fork_server(empty, &[]), Some(Match::Whole));
        let new = "import sys; from multiprocessing.forkserver import main; main(5, 6, ['__main__'], sys_argv=sys.argv[1:], **{'authkey_r': 9})";
        assert_eq!(is_fork_server(new, &args(&["a", "b"])), Some(Match::Whole));
        for bad in [
            "from multiprocessing.forkserver import main; main()",
            "from multiprocessing.forkserver import main; main(5, 6, [], **{}); evil()",
            "from multiprocessing.forkserver import main; main(5, 6, [evil()], **{})",
            "from multiprocessing.forkserver import main; main(5, 6, [], **{'a': 'b",
            "from multiprocessing.forkserver import main",
            "x = 1; from multiprocessing.forkserver import main; main(5, 6, [], **{})",
        ] {
            assert_eq!(is_fork_server(bad, &[]), None, "{bad}");
        }
        let long = format!(
            "from multiprocessing.forkserver import main; main(5, 6, ['__main__'], **{{'sys_path': ['{}",
            "x".repeat(9000)
        );
        assert_eq!(is_fork_server(&long, &[]), Some(Match::Cut));
    }

    #[test]
    fn trackers_of_every_age_and_of_loky() {
        assert!(is_resource_tracker("from multiprocessing.resource_tracker import main;main(5)", &[]));
        assert!(is_resource_tracker("from multiprocessing.semaphore_tracker import main;main(12)", &[]));
        assert!(!is_resource_tracker("from multiprocessing.resource_tracker import main; main(5)", &[]));
        assert!(!is_resource_tracker(
            "from multiprocessing.resource_tracker import main;main(5)",
            &args(&["f"])
        ));
        assert!(!is_resource_tracker("from multiprocessing.resource_tracker import main;main(5) ", &[]));
        assert!(is_loky_tracker(
            "from joblib.externals.loky.backend.resource_tracker import main; main(3, False)",
            &[]
        ));
        assert!(is_loky_tracker("from loky.backend.resource_tracker import main; main(3, 0)", &[]));
        assert!(!is_loky_tracker("from notloky.backend.resource_tracker import main; main(3, False)", &[]));
        assert!(!is_loky_tracker("from multiprocessing.resource_tracker import main; main(3, False)", &[]));
        let worker = args(&["--process-name", "LokyProcess-1", "--pipe", "15"]);
        assert!(is_loky_worker("joblib.externals.loky.backend.popen_loky_posix", &worker));
        assert!(is_loky_worker("loky.backend.popen_loky_posix", &worker));
        assert!(!is_loky_worker("loky.backend.popen_loky_posix", &worker[..2]));
        assert!(!is_loky_worker("loky backend.popen_loky_posix", &worker));
    }

    #[test]
    fn a_python_line_is_taken_apart_as_python_does() {
        let code = |list: &[&str]| {
            python_line(&args(list)).map(|l| (format!("{:?}", l.target), l.rest.len(), l.as_library))
        };
        assert_eq!(code(&["python", "-c", "x", "y"]), Some(("Code(\"x\")".into(), 1, true)));
        assert_eq!(
            code(&["python", "-X", "dev", "-Werror", "-OO", "-c", "x"]),
            Some(("Code(\"x\")".into(), 0, true))
        );
        assert_eq!(code(&["python", "-u", "-c", "x"]), Some(("Code(\"x\")".into(), 0, false)));
        assert_eq!(code(&["python", "-cx"]), Some(("Code(\"x\")".into(), 0, false)));
        assert_eq!(code(&["python", "a.py", "-c", "x"]), Some(("Script(\"a.py\")".into(), 2, false)));
        assert_eq!(code(&["python", "-m", "a", "-c", "x"]), Some(("Module(\"a\")".into(), 2, true)));
        assert_eq!(code(&["python", "-W", "-c", "x"]), Some(("Script(\"x\")".into(), 0, false)));
        assert_eq!(code(&["python", "-"]), Some(("Script(\"-\")".into(), 0, false)));
        assert_eq!(code(&["python", "-c"]), None);
        assert_eq!(code(&["python"]), None);
        assert_eq!(code(&[]), None);
    }

    #[test]
    fn site_is_imported_unless_an_option_says_otherwise() {
        for (line, want) in [
            ("python3", true),
            ("python3 x.py -S", true),
            ("python3 -S x.py", false),
            ("python3 -IS -c 1", false),
            ("python3 -W ignore -S", false),
            ("python3 -Wignore::S x.py", true),
            ("python3 -W S x.py", true),
            ("python3 -X importtime -S x.py", false),
            ("python3 -XS x.py", true),
            ("python3 -cS", true),
            ("python3 -m S -S", true),
            ("python3 -Bm x -S", true),
            ("python3 --check-hash-based-pycs always -S", false),
            ("python3 --help-all -S", false),
            ("python3 - -S", true),
            ("python3 -- -S", true),
        ] {
            assert_eq!(imports_site(&args(&line.split(' ').collect::<Vec<_>>())), want, "{line}");
        }
    }

    #[test]
    fn the_script_of_a_shell_is_its_first_word() {
        let given = |list: &[&str]| shell_script(&args(list)).map(str::to_owned);
        for line in [
            &["sh", "/run.sh", "-c", "x"][..],
            &["-bash", "-eu", "-o", "pipefail", "/run.sh"],
            &["bash", "-euo", "pipefail", "+x", "--norc", "--rcfile", "/dev/null", "/run.sh"],
            &["sh", "--", "/run.sh"],
            &["busybox", "sh", "-e", "/run.sh"],
        ] {
            assert_eq!(given(line).as_deref(), Some("/run.sh"), "{line:?}");
        }
        for line in [&["sh"][..], &[], &["sh", "-c", "/run.sh"], &["bash", "-lc", "x"], &["sh", "-s", "x"]] {
            assert_eq!(given(line), None, "{line:?}");
        }
    }

    #[test]
    fn shells_and_helpers() {
        assert!(is_libc_shell(&args(&["sh", "-c", "ls"])));
        assert!(is_libc_shell(&args(&["sh", "-c", "--", "ls"])));
        assert!(!is_libc_shell(&args(&["/bin/sh", "-c", "ls"])));
        assert!(!is_libc_shell(&args(&["sh", "-c", "ls", "x"])));
        assert!(is_jspawnhelper(&args(&["/j/lib/jspawnhelper", "17.0.15+6", "12:13:14"])));
        assert!(is_jspawnhelper(&args(&["/j/lib/jspawnhelper", "12:13:14"])));
        assert!(!is_jspawnhelper(&args(&["/j/lib/jspawnhelper", "12:x"])));
        assert!(!is_jspawnhelper(&args(&["/j/lib/jspawnhelper"])));
        assert!(is_systemd_executor(&args(&[
            "/usr/lib/systemd/systemd-executor",
            "--deserialize",
            "47",
            "--log-level",
            "info"
        ])));
        assert!(!is_systemd_executor(&args(&["cat", "--deserialize", "47"])));
        assert!(is_frozen_spawn(&args(&["app", "--multiprocessing-fork", "tracker_fd=5", "pipe_handle=7"])));
        assert!(!is_frozen_spawn(&args(&["app", "--multiprocessing-fork", "pipe_handle=7", "x"])));
        assert_eq!(
            first_word(&args(&["runc", "--root", "/x", "--debug", "create"]), &["--root"]),
            Some("create")
        );
    }
}
