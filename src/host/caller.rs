//! Who is behind sudo, and how CMD would have started without it.
//!
//! sudo changes nearly everything that a start can depend on: the user, the groups, the environment,
//! limits and the umask. What it took away is still to be seen in /proc: sudo's own process keeps the
//! environment that it was given, and the shell above it has the groups, limits and umask. Nothing
//! here asks the name service.

use super::accounts::{Accounts, User, id};
use super::environment::Environment;
use super::inherited::inherited;
use super::limits::{self, Limit, RESOURCES};
use super::owner::{Owner, own_groups};
use super::procfs::{self, Status};
use super::{Error, read_bounded};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// The kernel allows 6 MiB of arguments and environment together (fs/exec.c, `bprm_stack_limits`).
const MAX_ENVIRONMENT: u64 = 8 * 1024 * 1024;
/// How many ancestors are looked at; a guard against loops in a /proc that changes as we read it.
const MAX_ANCESTORS: usize = 256;

/// As whom CMD runs, and whom the files belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// User, real and effective.
    pub uid: u32,
    /// Group, real and effective.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The ids above are not our own: they have to be changed before CMD starts.
    pub switch: bool,
    /// File mode creation mask to set; `None` leaves our own.
    pub umask: Option<u32>,
    /// Resource limits to set.
    pub limits: [Limit; RESOURCES],
    /// Environment.
    pub env: Environment,
    /// Where the environment came from.
    pub env_source: EnvSource,
    /// Who asked: whom trace files belong to, and which user we become after attaching. Not the
    /// user of `--run-as`.
    pub owner: Owner,
}

/// Where CMD's environment came from (`session.env_source`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvSource {
    /// The sudo process above us: it is what the user's shell had exported.
    Sudo,
    /// Our own.
    Own,
}

impl EnvSource {
    /// As the trace writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sudo => "sudo",
            Self::Own => "own",
        }
    }
}

/// Finds out as whom CMD is to run. `run_as` is the value of `--run-as`: USER or USER:GROUP, each a
/// name or a number.
///
/// # Errors
/// `--run-as` names nobody, or we are not root; SUDO_UID is not a user id.
pub fn resolve(run_as: Option<&str>) -> Result<Caller, Error> {
    let proc = PathBuf::from("/proc");
    let own = procfs::status(&proc.join("self"))
        .map_err(|e| Error::io("cannot read /proc/self/status: is /proc mounted?", e))?;
    World {
        pid: std::process::id(),
        groups: own_groups().map_err(|e| Error::io("cannot read our own groups", e))?,
        proc,
        etc: PathBuf::from("/etc"),
        own,
        env: Environment::own(),
        limits: inherited().limits,
    }
    .resolve(run_as)
}

/// What the answer is made from; tests give another.
struct World {
    proc: PathBuf,
    etc: PathBuf,
    pid: u32,
    own: Status,
    groups: Vec<u32>,
    env: Environment,
    limits: [Limit; RESOURCES],
}

impl World {
    fn resolve(&self, run_as: Option<&str>) -> Result<Caller, Error> {
        let accounts = Accounts::read(&self.etc)?;
        let mut caller = match self.sudo_ids()? {
            Some((uid, gid)) => self.behind_sudo(uid, gid, &accounts)?,
            None => self.ourselves(),
        };
        if let Some(spec) = run_as {
            self.run_as(&mut caller, spec, &accounts)?;
        }
        Ok(caller)
    }

    /// We are root, and not because our own file is setuid: the variables that sudo sets are a
    /// user's to forge then, and so would be `--run-as`.
    fn is_real_root(&self) -> bool {
        self.own.uids[0] == 0 && self.own.uids[1] == 0
    }

    fn sudo_ids(&self) -> Result<Option<(u32, Option<u32>)>, Error> {
        if !self.is_real_root() {
            return Ok(None);
        }
        let number = |name: &str| match self.env.get(name) {
            None => Ok(None),
            Some(text) => match id(text) {
                Some(id) => Ok(Some(id)),
                None => Err(Error::new(format!(
                    "{name}={:?} is not an id, so the caller of sudo is unknown: unset {name}, or \
                     name the user with --run-as",
                    String::from_utf8_lossy(text)
                ))),
            },
        };
        Ok(match number("SUDO_UID")? {
            Some(uid) => Some((uid, number("SUDO_GID")?)),
            None => None,
        })
    }

    fn ourselves(&self) -> Caller {
        // With a setuid file the effective id is not the user's, and CMD must not have it.
        let (uid, gid) = (self.own.uids[0], self.own.gids[0]);
        Caller {
            uid,
            gid,
            groups: self.groups.clone(),
            switch: uid != self.own.uids[1] || gid != self.own.gids[1],
            umask: None,
            limits: self.limits,
            env: self.env.clone(),
            env_source: EnvSource::Own,
            owner: Owner { uid, gid, groups: self.groups.clone() },
        }
    }

    fn behind_sudo(&self, uid: u32, gid: Option<u32>, accounts: &Accounts) -> Result<Caller, Error> {
        let ancestors = self.ancestors();
        let sudo = ancestors.iter().position(|a| a.is_sudo);
        // Above sudo, because sudo's own processes have its groups and limits. Without one (it can
        // replace itself by the command) the nearest process of the user's does.
        let shell = ancestors
            .iter()
            .skip(sudo.map_or(0, |at| at + 1))
            .find(|a| !a.is_sudo && a.status.uids[0] == uid && a.status.uids[1] == uid);
        let user = accounts.user_by_uid(uid);
        let gid =
            gid.or(shell.map(|a| a.status.gids[0])).or(user.as_ref().map(|u| u.gid)).ok_or_else(|| {
                Error::new(format!(
                    "SUDO_UID={uid} is not in /etc/passwd and SUDO_GID is not set: name user and \
                     group with --run-as {uid}:GROUP"
                ))
            })?;
        let groups = match (shell, &user) {
            (Some(shell), _) => shell.status.groups.clone(),
            (None, Some(user)) => accounts.groups_of(&user.name, gid),
            (None, None) => vec![gid],
        };
        let given = sudo.and_then(|at| {
            let path = self.process(ancestors[at].pid).join("environ");
            read_bounded(&path, MAX_ENVIRONMENT).ok()
        });
        let (env, env_source) = match given {
            Some(block) => (Environment::from_block(&block), EnvSource::Sudo),
            None => {
                let mut env = self.env.clone();
                for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND"] {
                    env.remove(name);
                }
                env.become_user(user.as_ref());
                (env, EnvSource::Own)
            }
        };
        Ok(Caller {
            uid,
            gid,
            switch: true,
            umask: shell.and_then(|a| a.status.umask),
            limits: shell.and_then(|a| limits::of_process(&self.process(a.pid))).unwrap_or(self.limits),
            env,
            env_source,
            owner: Owner { uid, gid, groups: groups.clone() },
            groups,
        })
    }

    fn run_as(&self, caller: &mut Caller, spec: &str, accounts: &Accounts) -> Result<(), Error> {
        let (name, group) = match spec.split_once(':') {
            Some((name, group)) => (name, Some(group)),
            None => (spec, None),
        };
        let unknown = |what: &str, name: &str, file: &str| {
            Error::new(format!(
                "--run-as {spec:?}: no {what} {name:?} in {file} (directory services are not \
                 asked): give numbers, --run-as UID:GID"
            ))
        };
        // A name of digits only is a number first where no such name exists, as in chown(1).
        let user: Option<User> =
            accounts.user_by_name(name.as_bytes()).or_else(|| accounts.user_by_uid(id(name.as_bytes())?));
        let uid = user
            .as_ref()
            .map(|u| u.uid)
            .or_else(|| id(name.as_bytes()))
            .ok_or_else(|| unknown("user", name, "/etc/passwd"))?;
        let gid = match group {
            Some(group) => accounts
                .group_by_name(group.as_bytes())
                .or_else(|| id(group.as_bytes()))
                .ok_or_else(|| unknown("group", group, "/etc/group"))?,
            None => user.as_ref().map(|u| u.gid).ok_or_else(|| {
                Error::new(format!(
                    "--run-as {uid}: this user is not in /etc/passwd: name the group too, \
                     --run-as {uid}:GROUP"
                ))
            })?,
        };
        if !self.is_real_root() && (uid, gid) != (self.own.uids[0], self.own.gids[0]) {
            return Err(Error::new(format!(
                "--run-as {spec:?} needs root: run startrace with sudo, or leave --run-as out"
            )));
        }
        if self.is_real_root() {
            caller.groups = match &user {
                Some(user) => accounts.groups_of(&user.name, gid),
                None => vec![gid],
            };
            caller.switch = true;
        }
        caller.uid = uid;
        caller.gid = gid;
        caller.env.become_user(user.as_ref());
        for name in ["SUDO_UID", "SUDO_GID", "SUDO_USER", "SUDO_COMMAND"] {
            caller.env.remove(name);
        }
        Ok(())
    }

    fn process(&self, pid: u32) -> PathBuf {
        self.proc.join(pid.to_string())
    }

    /// From our parent upwards, as far as /proc shows them.
    fn ancestors(&self) -> Vec<Ancestor> {
        let mut found: Vec<Ancestor> = Vec::new();
        let mut pid = self.own.ppid;
        while pid != 0 && found.len() < MAX_ANCESTORS {
            if pid == self.pid || found.iter().any(|a| a.pid == pid) {
                break;
            }
            let Ok(status) = procfs::status(&self.process(pid)) else {
                break;
            };
            let next = status.ppid;
            // Only a root process is believed to be sudo: a user can call any program so.
            let is_sudo = status.uids[1] == 0
                && std::fs::read_link(self.process(pid).join("exe")).is_ok_and(|exe| {
                    exe.file_name().is_some_and(|name| {
                        let name = name.as_bytes();
                        let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
                        name == b"sudo" || name == b"sudo-rs"
                    })
                });
            found.push(Ancestor { pid, status, is_sudo });
            pid = next;
        }
        found
    }
}

struct Ancestor {
    pid: u32,
    status: Status,
    is_sudo: bool,
}

#[cfg(test)]
mod tests {
    use super::super::accounts::tests::{GROUP, PASSWD};
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    const LIMITS: [Limit; RESOURCES] = [Limit { soft: 1, hard: 2 }; RESOURCES];

    struct Made {
        dir: TempDir,
        world: World,
    }

    fn made(env: &[u8], ppid: u32, uids: [u32; 4]) -> Made {
        let dir = tempfile::tempdir().unwrap();
        let etc = dir.path().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("passwd"), PASSWD).unwrap();
        fs::write(etc.join("group"), GROUP).unwrap();
        let world = World {
            proc: dir.path().join("proc"),
            etc,
            pid: 500,
            own: Status { ppid, uids, gids: uids, ..Status::default() },
            groups: vec![0],
            env: Environment::from_block(env),
            limits: LIMITS,
        };
        Made { dir, world }
    }

    impl Made {
        fn process(&self, pid: u32, ppid: u32, exe: &str, uid: [u32; 2], groups: &str, env: &str) {
            let folder = self.dir.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&folder).unwrap();
            let [real, effective] = uid;
            let status = format!(
                "Name:\tx\nUmask:\t0027\nPPid:\t{ppid}\nUid:\t{real}\t{effective}\t{effective}\t{effective}\n\
                 Gid:\t{real}\t{real}\t{real}\t{real}\nGroups:\t{groups} \nThreads:\t1\nCapInh:\t0\n\
                 CapPrm:\t0\nCapEff:\t0\nCapBnd:\t0\n"
            );
            fs::write(folder.join("status"), status).unwrap();
            fs::write(folder.join("environ"), env).unwrap();
            fs::copy("/proc/self/limits", folder.join("limits")).unwrap();
            std::os::unix::fs::symlink(exe, folder.join("exe")).unwrap();
        }
    }

    const SUDO_ENV: &[u8] = b"SUDO_UID=1000\0SUDO_GID=1000\0HOME=/root\0USER=root\0";

    #[test]
    fn the_shell_above_both_sudo_processes_is_the_caller() {
        let made = made(SUDO_ENV, 40, [0; 4]);
        // The command may run under a wrapper of root's; a user's program named sudo is no sudo.
        made.process(40, 30, "/bin/sh", [0, 0], "0", "WRONG=1\0");
        made.process(30, 20, "/usr/bin/sudo (deleted)", [0, 0], "0", "VENV=/v\0");
        made.process(20, 10, "/usr/bin/sudo", [0, 0], "0", "VENV=/v\0");
        made.process(10, 5, "/home/alice/sudo", [1000, 1000], "1000 77", "NO=1\0");
        made.process(5, 1, "/bin/zsh", [1000, 1000], "1 2", "NO=1\0");
        let caller = made.world.resolve(None).unwrap();
        assert_eq!((caller.uid, caller.gid, caller.switch), (1000, 1000, true));
        assert_eq!(caller.groups, [1000, 77]);
        assert_eq!(caller.umask, Some(0o027));
        assert_eq!(caller.env, Environment::from_block(b"VENV=/v\0"));
        assert_eq!(caller.env_source.as_str(), "sudo");
        assert_ne!(caller.limits, LIMITS);
        assert_eq!(caller.owner.groups, [1000, 77]);
    }

    #[test]
    fn without_a_sudo_process_the_user_database_answers() {
        let made = made(SUDO_ENV, 9, [0; 4]);
        let caller = made.world.resolve(None).unwrap();
        assert_eq!(caller.groups, [1000, 44, 10]);
        assert_eq!((caller.umask, caller.limits), (None, LIMITS));
        assert_eq!(caller.env_source, EnvSource::Own);
        assert_eq!(caller.env.get("HOME"), Some(&b"/home/alice"[..]));
        assert_eq!(caller.env.get("USER"), Some(&b"alice"[..]));
        assert_eq!(caller.env.get("SUDO_UID"), None);
    }

    #[test]
    fn a_loop_in_proc_ends() {
        let made = made(SUDO_ENV, 40, [0; 4]);
        made.process(40, 41, "/bin/a", [0, 0], "0", "");
        made.process(41, 40, "/bin/b", [0, 0], "0", "");
        assert_eq!(made.world.ancestors().len(), 2);
    }

    #[test]
    fn sudo_variables_count_for_root_only() {
        let plain = made(SUDO_ENV, 1, [1001; 4]).world.resolve(None).unwrap();
        assert_eq!((plain.uid, plain.switch, plain.env_source), (1001, false, EnvSource::Own));
        // A setuid file: CMD gets the user back, whatever the environment claims.
        let setuid = made(SUDO_ENV, 1, [1001, 0, 0, 0]);
        let caller = setuid.world.resolve(None).unwrap();
        assert_eq!((caller.uid, caller.switch), (1001, true));
        assert!(setuid.world.resolve(Some("alice")).is_err());
        for bad in ["SUDO_UID=x\0", "SUDO_UID=4294967295\0", "SUDO_UID=-1\0"] {
            let error = made(bad.as_bytes(), 1, [0; 4]).world.resolve(None).unwrap_err();
            assert!(error.to_string().contains("unset SUDO_UID"), "{error}");
        }
        let error = made(b"SUDO_UID=777\0", 1, [0; 4]).world.resolve(None).unwrap_err();
        assert!(error.to_string().contains("--run-as 777:GROUP"), "{error}");
    }

    #[test]
    fn run_as_takes_names_and_numbers() {
        let made = made(b"HOME=/root\0SUDO_UID=1001\0SUDO_GID=1001\0", 1, [0; 4]);
        for (spec, uid, gid, groups) in [
            ("alice", 1000, 1000, vec![1000, 44, 10]),
            ("1000", 1000, 1000, vec![1000, 44, 10]),
            ("alice:video", 1000, 44, vec![44, 1000, 10]),
            ("alice:5", 1000, 5, vec![5, 44, 1000, 10]),
            ("31337:31338", 31337, 31338, vec![31338]),
        ] {
            let caller = made.world.resolve(Some(spec)).unwrap();
            assert_eq!((caller.uid, caller.gid), (uid, gid), "{spec}");
            assert_eq!(caller.groups, groups, "{spec}");
            assert_eq!(caller.owner.uid, 1001, "files belong to the caller of sudo");
            let home: &[u8] = if uid == 1000 { b"/home/alice" } else { b"/" };
            assert_eq!(caller.env.get("HOME"), Some(home), "{spec}");
        }
        for spec in ["", "nobody-here", "31337", "alice:", "alice:none", ":video", "4294967295:1"] {
            let error = made.world.resolve(Some(spec)).unwrap_err().to_string();
            assert!(error.contains("--run-as"), "{spec}: {error}");
        }
    }

    #[test]
    fn run_as_without_root_is_for_oneself() {
        let made = made(b"", 1, [1000; 4]);
        assert_eq!(made.world.resolve(Some("alice")).unwrap().groups, [0]);
        let error = made.world.resolve(Some("last")).unwrap_err().to_string();
        assert!(error.contains("needs root"), "{error}");
    }
}
