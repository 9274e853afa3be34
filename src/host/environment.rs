//! The environment that CMD gets, as raw bytes: order, duplicates and entries without `=` are kept.

use super::accounts::User;
use std::os::unix::ffi::OsStrExt;

/// Environment entries, each `NAME=VALUE` without its final NUL.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment(Vec<Vec<u8>>);

impl Environment {
    /// The block of `/proc/PID/environ`: entries that each end in NUL.
    pub fn from_block(block: &[u8]) -> Self {
        Self(block.split(|&b| b == 0).filter(|entry| !entry.is_empty()).map(<[u8]>::to_vec).collect())
    }

    /// Our own.
    pub fn own() -> Self {
        Self(
            std::env::vars_os()
                .map(|(name, value)| [name.as_bytes(), b"=", value.as_bytes()].concat())
                .collect(),
        )
    }

    /// All entries.
    pub fn entries(&self) -> &[Vec<u8>] {
        &self.0
    }

    /// The value of a variable; the first one's where it is there twice, as getenv(3) does.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }

    /// Sets a variable, in its place if it was there.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let entry = [name.as_bytes(), b"=", value].concat();
        let place = self.0.iter().position(|old| is(old, name));
        self.remove(name);
        match place {
            Some(place) if place <= self.0.len() => self.0.insert(place, entry),
            _ => self.0.push(entry),
        }
    }

    /// Removes a variable.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|entry| !is(entry, name));
    }

    /// Makes the variables that describe the user fit `user`: HOME, USER, LOGNAME and SHELL, and MAIL
    /// where it was set. Without an entry in the user database HOME is `/` and the names are removed,
    /// which is what a container runtime does for a bare number. XDG_RUNTIME_DIR is another user's
    /// private folder then, and goes too.
    pub fn become_user(&mut self, user: Option<&User>) {
        let had_mail = self.get("MAIL").is_some();
        self.remove("XDG_RUNTIME_DIR");
        let Some(user) = user else {
            self.set("HOME", b"/");
            self.set("SHELL", b"/bin/sh");
            for name in ["USER", "LOGNAME", "MAIL"] {
                self.remove(name);
            }
            return;
        };
        let or = |value: &[u8], otherwise: &[u8]| match value {
            [] => otherwise.to_vec(),
            value => value.to_vec(),
        };
        self.set("HOME", &or(&user.home, b"/"));
        self.set("SHELL", &or(&user.shell, b"/bin/sh"));
        self.set("USER", &user.name);
        self.set("LOGNAME", &user.name);
        if had_mail {
            self.set("MAIL", &[b"/var/mail/", &user.name[..]].concat());
        }
    }
}

fn is(entry: &[u8], name: &str) -> bool {
    entry.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_keep_their_bytes_and_order() {
        let mut env = Environment::from_block(b"A=1\0odd\0B=\xff\0A=2\0AB=3\0");
        assert_eq!(env.entries().len(), 5);
        assert_eq!(env.get("A"), Some(&b"1"[..]));
        assert_eq!(env.get("B"), Some(&b"\xff"[..]));
        assert_eq!(env.get("odd"), None);
        env.set("A", b"9");
        env.set("C", b"");
        assert_eq!(env.entries(), [&b"A=9"[..], b"odd", b"B=\xff", b"AB=3", b"C="]);
        env.remove("AB");
        assert_eq!(env.entries().len(), 4);
    }

    #[test]
    fn the_variables_of_a_user_follow_the_user() {
        let user =
            User { name: b"bob".to_vec(), uid: 5, gid: 5, home: b"/home/bob".to_vec(), shell: Vec::new() };
        let mut env = Environment::from_block(
            b"HOME=/root\0PATH=/bin\0MAIL=/var/mail/root\0XDG_RUNTIME_DIR=/run/user/0\0",
        );
        let mut anonymous = env.clone();
        env.become_user(Some(&user));
        assert_eq!(env.get("HOME"), Some(&b"/home/bob"[..]));
        assert_eq!(env.get("SHELL"), Some(&b"/bin/sh"[..]));
        assert_eq!(env.get("LOGNAME"), Some(&b"bob"[..]));
        assert_eq!(env.get("MAIL"), Some(&b"/var/mail/bob"[..]));
        assert_eq!(env.get("PATH"), Some(&b"/bin"[..]));
        assert_eq!(env.get("XDG_RUNTIME_DIR"), None);
        anonymous.become_user(None);
        assert_eq!(anonymous.get("HOME"), Some(&b"/"[..]));
        assert_eq!(anonymous.get("USER"), None);
        assert_eq!(anonymous.get("MAIL"), None);
    }
}
