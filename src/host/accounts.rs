//! `/etc/passwd` and `/etc/group`, read directly.
//!
//! Users that only a directory service knows are not found here; the errors of those who ask say
//! how to name such a user by numbers.

use super::{Error, read_bounded};
use std::path::Path;

/// More than any user database of a machine; a guard against a file that never ends.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The two files.
#[derive(Debug, Default)]
pub struct Accounts {
    passwd: Vec<u8>,
    group: Vec<u8>,
}

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Login name.
    pub name: Vec<u8>,
    /// User id.
    pub uid: u32,
    /// Primary group.
    pub gid: u32,
    /// Home folder.
    pub home: Vec<u8>,
    /// Login shell; empty stands for /bin/sh.
    pub shell: Vec<u8>,
}

/// A user or group id; not 4294967295, which the system calls take for "leave it as it is".
pub(crate) fn id(text: &[u8]) -> Option<u32> {
    if text.is_empty() || !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok().filter(|&id| id != u32::MAX)
}

fn rows(file: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    file.split(|&b| b == b'\n')
        .filter(|line| !line.starts_with(b"#") && !line.starts_with(b"+"))
        .map(|line| line.split(|&b| b == b':').collect())
}

impl Accounts {
    /// Reads `passwd` and `group` in this folder (`/etc`). A missing file is an empty one, as in a
    /// minimal container.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn read(etc: &Path) -> Result<Self, Error> {
        let read = |name: &str| {
            let path = etc.join(name);
            match read_bounded(&path, MAX_FILE) {
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
                other => other.map_err(|e| Error::io(format!("cannot read {}", path.display()), e)),
            }
        };
        Ok(Self { passwd: read("passwd")?, group: read("group")? })
    }

    fn user(&self, wanted: impl Fn(&User) -> bool) -> Option<User> {
        rows(&self.passwd)
            .filter_map(|row| {
                let [name, _, uid, gid, _, home, shell] = row[..] else {
                    return None;
                };
                Some(User {
                    name: name.to_vec(),
                    uid: id(uid)?,
                    gid: id(gid)?,
                    home: home.to_vec(),
                    shell: shell.to_vec(),
                })
            })
            .find(wanted)
    }

    /// The user of that name.
    pub fn user_by_name(&self, name: &[u8]) -> Option<User> {
        self.user(|user| user.name == name)
    }

    /// The first user with that id.
    pub fn user_by_uid(&self, uid: u32) -> Option<User> {
        self.user(|user| user.uid == uid)
    }

    /// The id of a group.
    pub fn group_by_name(&self, name: &[u8]) -> Option<u32> {
        rows(&self.group).find_map(|row| match row[..] {
            [group, _, gid, _] if group == name => id(gid),
            _ => None,
        })
    }

    /// All groups of a user: `primary` first, then those that list the user as a member.
    pub fn groups_of(&self, name: &[u8], primary: u32) -> Vec<u32> {
        let mut groups = vec![primary];
        for row in rows(&self.group) {
            let [_, _, gid, members] = row[..] else {
                continue;
            };
            if let Some(gid) = id(gid)
                && members.split(|&b| b == b',').any(|member| member == name)
                && !groups.contains(&gid)
            {
                groups.push(gid);
            }
        }
        groups
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n\
        # a comment:x:1:1::/:/\n+nis\nbroken line\n\
        short:x:7\nhuge:x:4294967295:1::/:/\nminus:x:-1:1::/:/\n\
        alice:x:1000:1000:Alice,,,:/home/alice:/bin/zsh\n\
        noshell:x:1002:1002::/srv:\n\
        again:x:1000:5::/elsewhere:/bin/sh\nlast:x:1001:1001::/home/last:/bin/sh";
    pub(crate) const GROUP: &str = "root:x:0:\nalice:x:1000:\nvideo:x:44:bob,alice\n\
        audio:x:29:alicex,malice\nalice-too:x:1000:alice\nwheel:x:10:alice\nbad:x:zz:alice\n";

    fn accounts() -> Accounts {
        Accounts { passwd: PASSWD.into(), group: GROUP.into() }
    }

    #[test]
    fn users_and_groups_are_found() {
        let accounts = accounts();
        let alice = accounts.user_by_name(b"alice").unwrap();
        assert_eq!((alice.uid, alice.gid), (1000, 1000));
        assert_eq!((&alice.home[..], &alice.shell[..]), (&b"/home/alice"[..], &b"/bin/zsh"[..]));
        assert_eq!(accounts.user_by_uid(1000), Some(alice));
        assert_eq!(accounts.user_by_uid(1001).unwrap().name, b"last");
        assert_eq!(accounts.groups_of(b"alice", 1000), [1000, 44, 10]);
        assert_eq!(accounts.group_by_name(b"video"), Some(44));
    }

    #[test]
    fn malformed_lines_name_nobody() {
        let accounts = accounts();
        for name in ["short", "huge", "minus", "broken line", "+nis", ""] {
            assert_eq!(accounts.user_by_name(name.as_bytes()), None, "{name}");
        }
        assert_eq!(accounts.group_by_name(b"bad"), None);
        assert_eq!(id(b"+5"), None);
        assert_eq!(id(b"4294967295"), None);
        assert_eq!(id(b"99999999999"), None);
    }

    #[test]
    fn missing_files_are_empty() {
        let dir = tempfile::tempdir().unwrap();
        let accounts = Accounts::read(dir.path()).unwrap();
        assert_eq!(accounts.user_by_uid(0), None);
        std::fs::create_dir(dir.path().join("passwd")).unwrap();
        assert!(Accounts::read(dir.path()).is_err());
    }
}
