//! Whether a file can be the program whose name it bears. A name costs nothing; a find that cannot match
//! names, or a shell that cannot give the terminal to a job, is another program of that name.
//!
//! What a program has to import was looked up in Debian's builds from bullseye to forky, and is what its
//! purpose asks for, not how one version happens to do it. Static files import nothing and are not judged.

use super::facts::{Facts, Kind};
use super::image::Image;
use super::symbols::Symbols;
use std::fs::File;
use std::os::fd::AsRawFd;

/// What shows that a file is the program.
enum Needs {
    /// It imports at least one name of each group.
    Imports(&'static [&'static [&'static str]]),
    /// It is written in that language.
    Runtime(&'static str),
    /// It links a library whose name begins so.
    Library(&'static str),
}
use Needs::{Imports, Library, Runtime};

const EXEC: &[&str] =
    &["execvp", "execv", "execve", "execvpe", "execlp", "execl", "execle", "posix_spawnp", "posix_spawn"];
const SHELL: &[&[&str]] = &[&["tcsetpgrp"], &["umask"], EXEC];
const PAM: &[&str] = &["pam_start", "crypt", "getspnam"];

/// Names, and what the programs of that name need.
const PROGRAMS: &[(&[&str], Needs)] = &[
    (&["find"], Imports(&[&["fnmatch"], &["opendir", "fdopendir"], EXEC])),
    (&["xargs"], Imports(&[&["sysconf"], &["getopt_long", "getopt"], EXEC])),
    (&["run-parts"], Imports(&[&["scandir", "scandir64", "opendir"], EXEC])),
    (&["timeout"], Imports(&[&["timer_settime", "alarm", "setitimer"], &["setpgid"], EXEC])),
    (&["su", "runuser"], Imports(&[PAM, &["initgroups", "setgroups"], EXEC])),
    (&["doas", "pkexec", "login"], Imports(&[&["setuid", "setresuid"], &["initgroups", "setgroups"], EXEC])),
    (&["flock"], Imports(&[&["flock"], EXEC])),
    (&["setsid"], Imports(&[&["setsid"], EXEC])),
    (&["unshare"], Imports(&[&["unshare"], EXEC])),
    (&["nsenter"], Imports(&[&["setns"], EXEC])),
    (&["watch"], Imports(&[&["initscr", "newterm"]])),
    (&["strace", "ltrace", "gdb"], Imports(&[&["ptrace"]])),
    (&["tini"], Imports(&[&["sigtimedwait"], EXEC])),
    (&["dumb-init"], Imports(&[&["sigwait"], EXEC])),
    (&["script"], Imports(&[&["openpty", "forkpty", "getpt", "posix_openpt"], EXEC])),
    (&["tmux"], Imports(&[&["forkpty", "openpty", "getpt", "posix_openpt"], EXEC])),
    (&["sshd", "sshd-session"], Imports(&[&["setsid"], &["getpwnam"], EXEC])),
    (&["make", "gmake"], Imports(&[&["getloadavg"], EXEC])),
    (&["ninja", "samu"], Imports(&[EXEC, &["ppoll", "poll", "pselect"]])),
    (&["bash", "dash", "zsh", "zsh5", "mksh", "lksh", "ksh", "ksh93", "tcsh", "csh", "sh"], Imports(SHELL)),
    (&["busybox"], Imports(SHELL)),
    (&["nginx"], Imports(&[&["epoll_create", "epoll_create1"], &["fork"], &["accept4", "accept"]])),
    (&["postgres"], Imports(&[&["fork"], &["listen"], &["shmget", "mmap", "mmap64"]])),
    (&["apache2", "httpd"], Imports(&[&["apr_initialize", "apr_app_initialize"]])),
    (
        &["redis-server", "valkey-server", "keydb-server"],
        Imports(&[&["fork"], &["listen"], &["fsync", "fdatasync"]]),
    ),
    (
        &["sudo"],
        Imports(&[&["setresuid", "setreuid", "seteuid"], &["getgrnam", "getgrgid", "setgroups"], EXEC]),
    ),
    (&["erl_child_setup"], Imports(&[&["recvmsg"], &["fork"], EXEC])),
    (&["conmon"], Imports(&[&["g_main_loop_run"], &["g_unix_fd_add", "g_unix_fd_add_full"], EXEC])),
    (&["crun"], Imports(&[&["argp_parse"], EXEC])),
    (&["bwrap"], Imports(&[&["capset", "prctl"], &["signalfd"], EXEC])),
    (&["runc", "docker-runc"], Runtime("go")),
    (&["containerd-shim", "containerd-shim-runc-v1", "containerd-shim-runc-v2"], Runtime("go")),
    (&["cargo", "just", "fd", "fdfind", "hyperfine", "youki", "conmonrs"], Runtime("rust")),
    (&["systemd"], Library("libsystemd-")),
];

/// The name that a file has here.
pub(super) fn name_of(file: &File) -> String {
    let path = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_default();
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_suffix(" (deleted)").unwrap_or(name).to_owned()
}

/// `Some(true)`: it bears the name of a program that it cannot be; `Some(false)`: it may be the program;
/// `None`: the name is none of those, or the file does not tell.
pub(super) fn misnamed(name: &str, image: &Image<'_>, facts: &Facts) -> Option<bool> {
    if !matches!(facts.kind, Kind::Executable | Kind::PieExecutable) {
        return None;
    }
    let needs = PROGRAMS.iter().find(|(names, _)| names.contains(&name)).map(|(_, needs)| needs)?;
    let language = facts.runtime.as_deref().and_then(|runtime| runtime.split(' ').next());
    match needs {
        Runtime(runtime) => Some(language != Some(*runtime)),
        // Many a tool has been written again in another language, under the old name.
        _ if matches!(language, Some("rust" | "go")) => None,
        _ if facts.linkage.as_deref() != Some("dynamic") => None,
        Library(prefix) => Some(!facts.needed.iter().any(|library| library.starts_with(prefix))),
        Imports(groups) => Some(!Symbols::new(image)?.imports_each(groups)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::elf::facts::{facts, facts_as};
    use std::collections::BTreeSet;

    #[test]
    fn each_name_is_there_once() {
        let all: Vec<_> = PROGRAMS.iter().flat_map(|(names, _)| *names).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    /// Every program of the table that this machine has is what it says.
    #[test]
    fn this_machines_programs_are_not_misnamed() {
        let folders = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/lib/systemd", "/lib/systemd"];
        let mut seen = BTreeSet::new();
        for name in PROGRAMS.iter().flat_map(|(names, _)| *names) {
            for path in folders.map(|folder| format!("{folder}/{name}")) {
                // `sh` is a link to a shell of another name.
                let real = std::fs::canonicalize(&path);
                if !real.is_ok_and(|real| real.file_name().is_some_and(|file| file == *name)) {
                    continue;
                }
                let Ok(facts) = File::open(&path).map_err(drop).and_then(|file| facts(&file).map_err(drop))
                else {
                    continue;
                };
                assert_ne!(facts.misnamed, Some(true), "{path}: {facts:#?}");
                seen.extend(facts.misnamed.map(|_| *name));
            }
        }
        assert!(
            ["find", "xargs", "timeout", "bash", "dash"].iter().all(|name| seen.contains(name)),
            "{seen:?}"
        );
    }

    #[test]
    fn another_program_of_that_name_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["find", "xargs", "timeout", "su", "bash", "dash", "make", "nginx", "runc", "conmon", "systemd"]
        {
            let path = folder.path().join(name);
            std::fs::copy("/usr/bin/true", &path).unwrap();
            assert_eq!(facts(&File::open(&path).unwrap()).unwrap().misnamed, Some(true), "{name}");
        }
        let other = folder.path().join("other");
        std::fs::copy("/usr/bin/true", &other).unwrap();
        assert_eq!(facts(&File::open(&other).unwrap()).unwrap().misnamed, None);
        // It is what it is run as that counts.
        let as_find = facts_as(&File::open(&other).unwrap(), "find");
        assert_eq!(as_find.unwrap().misnamed, Some(true));
    }
}
