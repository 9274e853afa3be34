//! What this kernel and these privileges allow, as far as files tell. What only trying tells (does a
//! program load, does fentry attach?) comes from the probes, as further [`Check`]s.

use super::inherited::inherited;
use super::privilege::{self, Capability, Rights};
use super::{Error, read_line};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// As it should be.
    Ok,
    /// Recording works, but with less: `meaning` says what.
    Limited,
    /// Recording does not work without it.
    Missing,
    /// Could not be tried with these privileges.
    Untried,
}

impl State {
    /// As it is written, in JSON too.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Limited => "limited",
            Self::Missing => "missing",
            Self::Untried => "untried",
        }
    }
}

/// One thing that recording depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// For scripts; never renamed.
    pub id: String,
    /// For people.
    pub name: String,
    /// How it came out.
    pub state: State,
    /// What was found, in a few words.
    pub found: String,
    /// What that means for recording, in one sentence.
    pub meaning: String,
    /// The one command that mends it; `null` where nothing is to be mended, or no command can.
    pub mend: Option<String>,
}

impl Check {
    /// A check of which nothing is known yet but its names.
    pub fn new(id: &str, name: &str, state: State, found: impl Into<String>, meaning: &str) -> Self {
        Self {
            id: id.into(),
            name: name.into(),
            state,
            found: found.into(),
            meaning: meaning.into(),
            mend: None,
        }
    }

    /// The same with the command that mends it.
    #[must_use]
    pub fn mended_by(mut self, command: impl Into<String>) -> Self {
        self.mend = Some(command.into());
        self
    }
}

/// All that files tell.
///
/// # Errors
/// /proc is not readable.
pub fn gather() -> Result<Vec<Check>, Error> {
    let memlock = inherited().limits[libc::RLIMIT_MEMLOCK as usize].soft;
    Ok(Machine {
        root: PathBuf::from("/"),
        root_user: nix::unistd::geteuid().is_root(),
        effective: privilege::status()?.effective,
        memlock,
    }
    .checks())
}

/// What the answers are made from; tests give another.
struct Machine {
    root: PathBuf,
    root_user: bool,
    effective: u64,
    memlock: u64,
}

impl Machine {
    fn line(&self, path: &str) -> Option<String> {
        read_line(&self.root.join(path))
    }

    fn checks(&self) -> Vec<Check> {
        vec![
            self.privileges(),
            self.btf(),
            self.lockdown(),
            self.tracefs(),
            self.memlock(),
            self.paranoid(),
            self.unprivileged_bpf(),
            self.pid_namespace(),
            self.cgroup(),
        ]
    }

    fn privileges(&self) -> Check {
        let check =
            |state, found: &str, meaning| Check::new("privileges", "privileges", state, found, meaning);
        let who = if self.root_user { "root" } else { "not root" };
        match privilege::rights(self.effective) {
            Rights::Full if self.root_user => {
                check(State::Ok, who, "everything is allowed; most of it is given up after attaching")
            }
            Rights::Full => {
                check(State::Ok, "the capabilities that recording needs", "recording works without root")
            }
            Rights::OwnProcesses => check(
                State::Limited,
                "BPF, but not CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH",
                "starts are seen, but the executables of other users' processes cannot be read",
            )
            .mended_by(privilege::SETCAP),
            Rights::None if self.root_user => check(
                State::Missing,
                "root without CAP_BPF and CAP_PERFMON",
                "this container may not load BPF programs: start it with --cap-add BPF --cap-add PERFMON \
                 --cap-add SYS_PTRACE --pid host, or run startrace on the host",
            ),
            Rights::None => check(
                State::Missing,
                who,
                "recording loads BPF programs, which takes root or capabilities; reading traces does not",
            )
            .mended_by("sudo startrace doctor"),
        }
    }

    fn btf(&self) -> Check {
        let size = std::fs::metadata(self.root.join("sys/kernel/btf/vmlinux")).map(|m| m.len());
        match size {
            Ok(_) => Check::new(
                "btf",
                "kernel type information",
                State::Ok,
                "/sys/kernel/btf/vmlinux",
                "the programs fit themselves to this kernel",
            ),
            Err(_) => Check::new(
                "btf",
                "kernel type information",
                State::Missing,
                "no /sys/kernel/btf/vmlinux",
                "the programs cannot be fitted to this kernel: boot one that is built with \
                 CONFIG_DEBUG_INFO_BTF=y, as the distributions' own are (Debian 11, Ubuntu 20.10, RHEL 8.2 \
                 and newer)",
            ),
        }
    }

    fn lockdown(&self) -> Check {
        let check =
            |state, found: &str, meaning| Check::new("lockdown", "kernel lockdown", state, found, meaning);
        let modes = self.line("sys/kernel/security/lockdown");
        let active = modes.as_deref().and_then(|modes| {
            modes.split_whitespace().find_map(|mode| mode.strip_prefix('[')?.strip_suffix(']'))
        });
        match active {
            Some("confidentiality") => check(
                State::Missing,
                "confidentiality",
                "BPF programs may not read kernel memory: boot with lockdown=integrity or without lockdown=",
            ),
            Some(mode) => check(State::Ok, mode, "BPF programs may read kernel memory"),
            None => check(State::Ok, "not in this kernel", "BPF programs may read kernel memory"),
        }
    }

    fn tracefs(&self) -> Check {
        let mounts = self.line("proc/self/mountinfo").unwrap_or_default();
        let place = mounts.lines().find_map(|line| {
            let (left, right) = line.split_once(" - ")?;
            right.starts_with("tracefs ").then(|| left.split(' ').nth(4).unwrap_or("?").to_owned())
        });
        match place {
            Some(place) => Check::new(
                "tracefs",
                "tracefs",
                State::Ok,
                place,
                "system-call tracepoints can be attached where they are asked for",
            ),
            None => Check::new(
                "tracefs",
                "tracefs",
                State::Ok,
                "not mounted, and not needed",
                "startrace opens an instance of its own, mounted nowhere, where it needs one",
            ),
        }
    }

    fn memlock(&self) -> Check {
        let check = |state, meaning| {
            let found = match self.memlock {
                u64::MAX => "unlimited".to_owned(),
                bytes => format!("{} KiB", bytes / 1024),
            };
            Check::new("memlock", "locked memory", state, found, meaning)
        };
        // Since Linux 5.11 BPF memory counts against the memory cgroup instead.
        let modern = self
            .line("proc/sys/kernel/osrelease")
            .and_then(|release| version(&release))
            .is_some_and(|version| version >= (5, 11));
        let may_raise = self.effective & Capability::SysResource.bit() != 0;
        if modern {
            check(State::Ok, "this kernel does not count BPF memory here")
        } else if self.memlock >= 64 << 20 || may_raise {
            check(State::Ok, "enough for the ring buffer, or to be raised")
        } else {
            check(State::Limited, "the ring buffer of 4 MiB may be refused on this kernel")
                .mended_by("sudo prlimit --pid $$ --memlock=unlimited")
        }
    }

    fn paranoid(&self) -> Check {
        let found = self.line("proc/sys/kernel/perf_event_paranoid");
        let name = "perf_event_paranoid";
        let strict = privilege::perf_is_strict(&self.root);
        match found {
            Some(value) if strict && self.effective & Capability::SysAdmin.bit() != 0 => Check::new(
                "perf_event_paranoid",
                name,
                State::Ok,
                value,
                "recording as root has its probes all the same; with file capabilities instead of root Debian's and \
                 Ubuntu's kernels refuse most of them",
            ),
            Some(value) if strict && privilege::rights(self.effective) != Rights::None => Check::new(
                "perf_event_paranoid",
                name,
                State::Limited,
                value,
                "Debian's and Ubuntu's kernels take CAP_SYS_ADMIN for perf events above 2: without it no \
                 system-call tracepoints, no --profile and, before Linux 6.6, no probes in libraries",
            )
            .mended_by("sudo sysctl kernel.perf_event_paranoid=2"),
            Some(value) => Check::new(
                "perf_event_paranoid",
                name,
                State::Ok,
                value,
                "does not matter: recording has CAP_PERFMON, or does not work at all",
            ),
            None => Check::new(
                "perf_event_paranoid",
                name,
                State::Limited,
                "no such setting",
                "this kernel has no perf events: no uprobes and no system-call tracepoints",
            ),
        }
    }

    fn unprivileged_bpf(&self) -> Check {
        Check::new(
            "unprivileged_bpf_disabled",
            "unprivileged_bpf_disabled",
            State::Ok,
            self.line("proc/sys/kernel/unprivileged_bpf_disabled")
                .unwrap_or_else(|| "no such setting".into()),
            "does not matter: recording has CAP_BPF, or does not work at all",
        )
    }

    fn pid_namespace(&self) -> Check {
        let check =
            |state, found, meaning| Check::new("pid_namespace", "PID namespace", state, found, meaning);
        let own = std::fs::read_link(self.root.join("proc/self/ns/pid"));
        // The first namespace has a fixed number (include/linux/proc_ns.h, PROC_PID_INIT_INO).
        if own.is_ok_and(|link| link == Path::new("pid:[4026531836]")) {
            check(State::Ok, "the machine's own", "PIDs mean the same to us and to the kernel")
        } else {
            check(
                State::Limited,
                "a container's",
                "recorded PIDs are the machine's, not those seen in here: start the container with \
                 --pid host, or run startrace on the host",
            )
        }
    }

    fn cgroup(&self) -> Check {
        let check = |state, found, meaning| Check::new("cgroup", "cgroups", state, found, meaning);
        let mounts = self.line("proc/self/mountinfo").unwrap_or_default();
        let has = |kind: &str| {
            mounts
                .lines()
                .any(|line| line.split_once(" - ").is_some_and(|(_, right)| right.starts_with(kind)))
        };
        match (has("cgroup2 "), has("cgroup ")) {
            (true, false) => {
                check(State::Ok, "version 2", "units and containers are read from the cgroup's path")
            }
            (true, true) => check(
                State::Ok,
                "versions 1 and 2",
                "units and containers are read from the path in version 2, else the cpu controller's",
            ),
            (false, true) => {
                check(State::Ok, "version 1", "units and containers are read from the cpu controller's path")
            }
            (false, false) => check(
                State::Limited,
                "not mounted",
                "units and containers stay unknown, and --cgroup and --unit match nothing",
            )
            .mended_by("sudo mount -t cgroup2 none /sys/fs/cgroup"),
        }
    }
}

fn version(release: &str) -> Option<(u32, u32)> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn machine(effective: u64, root_user: bool, files: &[(&str, &str)]) -> Vec<Check> {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Machine { root: dir.path().to_owned(), root_user, effective, memlock: 64 << 10 }.checks()
    }

    fn state(checks: &[Check], id: &str) -> State {
        checks.iter().find(|check| check.id == id).unwrap().state
    }

    const MOUNTS: &str = "1 0 0:1 / /sys/kernel/tracing rw - tracefs nodev rw\n\
        2 0 0:2 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn a_good_machine_is_all_ok() {
        let checks = machine(
            u64::MAX,
            true,
            &[
                ("sys/kernel/btf/vmlinux", "x"),
                ("sys/kernel/security/lockdown", "none [integrity] confidentiality\n"),
                ("proc/self/mountinfo", MOUNTS),
                ("proc/sys/kernel/osrelease", "6.1.0-13-amd64\n"),
                ("proc/sys/kernel/perf_event_paranoid", "4\n"),
            ],
        );
        for check in &checks {
            // A plain file is no namespace link.
            let wanted = match check.id.as_str() {
                "pid_namespace" => State::Limited,
                _ => State::Ok,
            };
            assert_eq!(check.state, wanted, "{check:?}");
        }
    }

    #[test]
    fn what_is_missing_says_how_to_mend_it() {
        let checks = machine(
            0,
            false,
            &[
                ("sys/kernel/security/lockdown", "none integrity [confidentiality]\n"),
                ("proc/sys/kernel/osrelease", "5.10.0-8-amd64\n"),
            ],
        );
        for id in ["privileges", "btf", "lockdown"] {
            assert_eq!(state(&checks, id), State::Missing, "{id}");
        }
        assert_eq!(state(&checks, "tracefs"), State::Ok, "we bring our own");
        for id in ["memlock", "cgroup"] {
            let check = checks.iter().find(|check| check.id == id).unwrap();
            assert_eq!(check.state, State::Limited, "{id}");
            assert!(check.mend.as_deref().is_some_and(|m| m.starts_with("sudo ")));
        }
    }

    #[test]
    fn strict_perf_events_are_told_of_where_file_capabilities_replace_root() {
        let paranoid = |effective, value| {
            let checks = machine(effective, false, &[("proc/sys/kernel/perf_event_paranoid", value)]);
            checks.into_iter().find(|check| check.id == "perf_event_paranoid").unwrap()
        };
        let kept = privilege::KEPT.iter().fold(0, |set, capability| set | capability.bit());
        assert_eq!(paranoid(kept, "2\n").state, State::Ok);
        let strict = paranoid(kept, "3\n");
        assert_eq!(strict.state, State::Limited);
        assert_eq!(strict.mend.as_deref(), Some("sudo sysctl kernel.perf_event_paranoid=2"));
        assert_eq!(paranoid(u64::MAX, "3\n").state, State::Ok);
        assert_eq!(paranoid(0, "3\n").state, State::Ok, "what is missing is said once");
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("5.9.16-200.fc33"), Some((5, 9)));
        assert_eq!(version("6.18.44-fc"), Some((6, 18)));
        assert_eq!(version("odd"), None);
    }

    #[test]
    fn this_machine_answers() {
        let checks = gather().unwrap();
        let mut ids: Vec<_> = checks.iter().map(|check| &check.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), checks.len());
    }
}
