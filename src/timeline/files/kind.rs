//! What a file is, by its name.

/// A kind of file, as a trace names it.
pub(super) fn kind(path: &str, folder: bool) -> &'static str {
    if folder {
        return "folder";
    }
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    if path.starts_with("/proc/") || path.starts_with("/sys/") {
        return "kernel";
    }
    if path.starts_with("/dev/") {
        return "device";
    }
    // `libx.so`, `libx.so.1.2`, and not `ld.so.cache`.
    let versioned = name.split_once(".so.").is_some_and(|(stem, version)| {
        !stem.is_empty() && version.bytes().all(|b| b.is_ascii_digit() || b == b'.')
    });
    match extension {
        "so" => "shared_library",
        _ if versioned => "shared_library",
        "py" => "python_source",
        "pyc" => "python_bytecode",
        "jsa" => "cds_archive",
        "jar" | "class" | "jmod" => "java",
        // The JDK's own modules.
        "" if path.ends_with("/lib/modules") => "java",
        "js" | "mjs" | "cjs" | "node" => "javascript",
        _ if path.contains("/node_modules/") => "javascript",
        "rb" => "ruby",
        "pl" | "pm" => "perl",
        "php" => "php",
        "mo" => "locale",
        _ if name == "locale-archive" || path.contains("/locale/") => "locale",
        _ => "other",
    }
}

/// Is that a program that reads commands from files that it opens, by its name?
pub(super) fn is_shell(exe: Option<&str>, program: Option<&str>) -> bool {
    let name = exe.and_then(|exe| exe.rsplit('/').next()).unwrap_or_default();
    let shell =
        |name: &str| matches!(name, "bash" | "zsh" | "dash" | "sh" | "ash" | "ksh" | "mksh" | "rbash");
    program.is_some_and(shell) || shell(name)
}

/// Names under which shells look for what they run at their start, and people keep what they source.
const SCRIPTS: &[&str] = &[
    "profile",
    "bash.bashrc",
    "bash_completion",
    "activate",
    "zshenv",
    "zprofile",
    "zshrc",
    "zlogin",
    ".profile",
    ".bashrc",
    ".bash_profile",
    ".bash_login",
    ".bash_aliases",
    ".bash_completion",
    ".bash_logout",
    ".zshenv",
    ".zprofile",
    ".zshrc",
    ".zlogin",
    ".kshrc",
    ".mkshrc",
    ".shinit",
];

/// Is that a file that a shell reads commands from? `script`: the one that it was started with.
pub(super) fn is_script(path: &str, script: Option<&str>) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    script == Some(path)
        || SCRIPTS.contains(&name)
        || matches!(extension, "sh" | "bash" | "zsh" | "ksh" | "zwc")
        || path.starts_with("/etc/profile.d/")
        || path.starts_with("/etc/bash_completion.d/")
        || path.contains("/bash-completion/completions/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_name() {
        for (path, want) in [
            ("/lib/x86_64-linux-gnu/libc.so.6", "shared_library"),
            ("libfoo.so", "shared_library"),
            ("/usr/lib/_ssl.cpython-311-x86_64-linux-gnu.so", "shared_library"),
            ("/etc/ld.so.cache", "other"),
            ("/etc/ld.so.preload", "other"),
            (".so", "shared_library"),
            ("/usr/lib/python3.11/os.py", "python_source"),
            ("/usr/lib/python3.11/__pycache__/os.cpython-311.pyc", "python_bytecode"),
            ("/opt/jdk/lib/server/classes.jsa", "cds_archive"),
            ("/opt/jdk/lib/modules", "java"),
            ("/srv/app.jar", "java"),
            ("/srv/node_modules/x/package.json", "javascript"),
            ("index.mjs", "javascript"),
            ("/usr/lib/locale/locale-archive", "locale"),
            ("/usr/share/locale/de/LC_MESSAGES/x.mo", "locale"),
            ("/proc/self/maps", "kernel"),
            ("/dev/null", "device"),
            ("", "other"),
            ("a/", "other"),
        ] {
            assert_eq!(kind(path, false), want, "{path}");
        }
        assert_eq!(kind("/usr/lib/python3.11", true), "folder");
    }

    #[test]
    fn shells_and_what_they_source() {
        assert!(is_shell(Some("/usr/bin/dash"), None) && is_shell(Some("/opt/x"), Some("zsh")));
        assert!(!is_shell(Some("/usr/bin/make"), Some("make")) && !is_shell(None, None));
        for path in
            ["/root/.bashrc", "/etc/profile.d/01-locale.sh", "/etc/profile", "x.zsh", "/v/bin/activate"]
        {
            assert!(is_script(path, None), "{path}");
        }
        assert!(is_script("./run", Some("./run")) && !is_script("./run", None));
        assert!(!is_script("/etc/passwd", None) && !is_script("/lib/libc.so.6", None));
    }
}
