//! Which words stay, and what the others become.

mod kernel;
mod prose;

use crate::event::task::WaitKind;
use crate::method::names::names;
use crate::packed;
use crate::sort::SortSmall;
use crate::timeline::syscall;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use std::hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

/// Words of startrace's own sentences, one a line, in order.
static OWN: LazyLock<String> = LazyLock::new(|| packed::text!("scrub/words.txt"));
/// Programs that everybody has, likewise.
const PROGRAMS: &str = include_str!("programs.txt");
/// Folders and libraries that every system has, likewise.
const FOLDERS: &str = include_str!("folders.txt");
/// Parts of the names of modules that come with CPython, likewise.
static MODULES: LazyLock<String> = LazyLock::new(|| packed::text!("scrub/modules.txt"));
/// Extensions that tell nothing but a kind of file.
const EXTENSIONS: [&str; 18] = [
    "py", "pyc", "so", "sh", "rb", "js", "mjs", "jar", "pl", "php", "json", "toml", "yaml", "conf", "txt",
    "log", "service", "scope",
];

/// Letters of pseudonyms: 32 of them, without those that look alike.
const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz234567890";
/// Letters of one: 50 bits, so that two words do not become one.
const LENGTH: usize = 10;

fn is_among(list: &str, word: &str) -> bool {
    list.lines().any(|line| line == word)
}

/// Replaces words by pseudonyms: the same by the same, as long as the key is the same.
#[derive(Debug, Clone)]
pub struct Pseudonyms {
    key: [u64; 2],
    own: Vec<&'static str>,
}

impl Pseudonyms {
    /// With a key that nobody knows: what is replaced cannot be guessed and tried.
    pub fn random() -> Self {
        let (a, b) = (RandomState::new(), RandomState::new());
        Self::keyed([a.hash_one(0), b.hash_one(1)])
    }

    /// With a key that is made from a text, so that several traces get the same pseudonyms. Who knows the text
    /// can try out words.
    pub fn seeded(seed: &str) -> Self {
        let half = |n: u8| {
            let mut hasher = DefaultHasher::new();
            (n, seed).hash(&mut hasher);
            hasher.finish()
        };
        Self::keyed([half(0), half(1)])
    }

    fn keyed(key: [u64; 2]) -> Self {
        // The parts of its names are words of its sentences too.
        let names = names().flat_map(|name| name.name.split(|c: char| !c.is_ascii_alphanumeric()));
        let mut own: Vec<_> = OWN.lines().chain(names).collect();
        own.sort_small_by(Ord::cmp);
        own.dedup();
        Self { key, own }
    }

    fn hash(&self, kind: u8, text: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.key[0], kind, text, self.key[1]).hash(&mut hasher);
        hasher.finish()
    }

    /// A name that nobody else has.
    fn made(&self, text: &str) -> String {
        let mut bits = self.hash(0, text);
        let mut out = String::with_capacity(LENGTH + 1);
        // It begins with a letter that no word of ours begins so often with: it is seen to be made up.
        out.push('x');
        for _ in 1..LENGTH {
            out.push(LETTERS.get((bits & 31) as usize).copied().map_or('a', char::from));
            bits >>= 5;
        }
        out
    }

    /// As many digits, and never those of another number: what differs stays different. What can be a port stays one,
    /// and what has a zero in front keeps one.
    fn digits(&self, text: &str) -> String {
        let kind = |text: &str| {
            (text.starts_with('0'), text.len() == 5 && text.parse::<u32>().is_ok_and(|n| n <= 0xffff))
        };
        let mut out = text.to_owned();
        // Until it is of the same kind: what is one to one on all numbers is so on those, too. A circle ends where it
        // began at the latest.
        loop {
            out = self.shuffled(&out);
            if kind(&out) == kind(text) {
                break;
            }
        }
        // By chance it could be the same.
        if out == text { self.made(text) } else { out }
    }

    /// Another number of as many digits, one to one: halves that are added to each other in turns (Feistel).
    fn shuffled(&self, text: &str) -> String {
        let (left, right) = text.split_at(text.len() / 2);
        let (mut left, mut right) = (left.to_owned(), right.to_owned());
        for round in 0..8 {
            let mut bits = self.hash(1 + round, &right);
            let mut carry = 0;
            let mut sum: Vec<u8> = Vec::with_capacity(left.len());
            for (place, digit) in left.bytes().rev().enumerate() {
                if place % 16 == 15 {
                    bits = self.hash(16 + (place % 200) as u8, &right);
                }
                carry += u64::from(digit - b'0') + bits % 10;
                bits /= 10;
                sum.push(b'0' + (carry % 10) as u8);
                carry /= 10;
            }
            left = sum.iter().rev().copied().map(char::from).collect();
            std::mem::swap(&mut left, &mut right);
        }
        left + &right
    }

    /// A single word, whatever it is.
    pub(super) fn word(&self, text: &str) -> String {
        if text.is_empty() { String::new() } else { self.made(text) }
    }

    /// A word within a text.
    fn token(&self, text: &str, stays: impl Fn(&str) -> bool) -> String {
        let single = text.len() == 1;
        if single || stays(text) {
            text.to_owned()
        } else if text.bytes().all(|byte| byte.is_ascii_digit()) {
            self.digits(text)
        } else {
            // Also a version: another one would be believed.
            self.made(text)
        }
    }

    /// Words become others, what lies between them stays. The first number after `pid` is one that a trace
    /// shows elsewhere too.
    fn tokens(&self, text: &str, stays: impl Fn(&str) -> bool) -> String {
        let mut out = String::with_capacity(text.len());
        let mut before = String::new();
        for (word, rest) in words(text) {
            if !word.is_empty() {
                let number = word.bytes().all(|byte| byte.is_ascii_digit());
                if number && matches!(&*before, "pid" | "fd" | "tid") && word.len() <= 10 {
                    out.push_str(word);
                } else {
                    out.push_str(&self.token(word, &stays));
                }
                before.clear();
                before.push_str(word);
            }
            // Only directly after the word.
            if !matches!(rest, " " | "") {
                before.clear();
            }
            out.push_str(rest);
        }
        out
    }

    /// A word of startrace's own.
    fn is_own(&self, word: &str) -> bool {
        self.own.binary_search(&word).is_ok()
    }

    /// `10.0.0.2:53`, `[fe80::1]:80`, `10.0.0.2`: another address, and another port.
    fn address(&self, text: &str) -> Option<String> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some(self.ip(ip));
        }
        let (ip, port) = text.rsplit_once(':')?;
        let bracketed = ip.strip_prefix('[').and_then(|ip| ip.strip_suffix(']'));
        let parsed: IpAddr = bracketed.unwrap_or(ip).parse().ok()?;
        if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let (ip, port) = (self.ip(parsed), self.token(port, |_| false));
        Some(if bracketed.is_some() { format!("[{ip}]:{port}") } else { format!("{ip}:{port}") })
    }

    /// Addresses that are set aside for tests and documentation; this host's own stay.
    fn ip(&self, ip: IpAddr) -> String {
        if ip.is_loopback() && matches!(ip.to_string().as_str(), "127.0.0.1" | "::1") || ip.is_unspecified() {
            return ip.to_string();
        }
        let bits = self.hash(250, &ip.to_string());
        let part = |n: u32| (bits >> (16 * n)) as u16;
        match ip {
            // 198.18.0.0/15 (RFC 2544).
            IpAddr::V4(_) => {
                Ipv4Addr::new(198, 18 + (part(0) & 1) as u8, part(1) as u8, part(2) as u8).to_string()
            }
            // 2001:db8::/32 (RFC 3849).
            IpAddr::V6(_) => {
                Ipv6Addr::new(0x2001, 0xdb8, 0, 0, part(0), part(1), part(2), part(3)).to_string()
            }
        }
    }

    /// A path: folders that every system has stay, and so do well-known programs and kinds of file.
    pub(super) fn path(&self, path: &str) -> String {
        let (path, deleted) = match path.strip_suffix(" (deleted)") {
            Some(path) => (path, " (deleted)"),
            None => (path, ""),
        };
        let is_kernels = path.starts_with("/proc/") || path.starts_with("/sys/");
        let names: Vec<String> = path
            .split('/')
            .map(
                |name| {
                    if is_kernels && kernel::is_file(name) { name.to_owned() } else { self.file_name(name) }
                },
            )
            .collect();
        names.join("/") + deleted
    }

    /// A name between two slashes.
    pub(super) fn file_name(&self, name: &str) -> String {
        let hidden = name.strip_prefix('.').is_some_and(is_program);
        if name.len() <= 1 || name == ".." || hidden || is_program(name) || is_among(FOLDERS, name) {
            return name.to_owned();
        }
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            return self.token(name, |_| false);
        }
        match name.rsplit_once('.') {
            Some((stem, extension)) if EXTENSIONS.contains(&extension) && !stem.is_empty() => {
                format!(
                    "{}.{extension}",
                    if stem.len() == 1 || is_program(stem) { stem.to_owned() } else { self.made(stem) }
                )
            }
            _ => self.made(name),
        }
    }

    /// `json.decoder`: a part that CPython's own library has stays, another is what a file of that name is.
    pub(super) fn module(&self, name: &str) -> String {
        let parts = name.split('.').map(|part| {
            if part.len() <= 1 || is_among(&MODULES, part) { part.to_owned() } else { self.made(part) }
        });
        parts.collect::<Vec<_>>().join(".")
    }

    /// A task's name.
    pub(super) fn program(&self, name: &str) -> String {
        match self.kernel_thread(name) {
            Some(name) => name,
            // As a file of that name.
            None if !name.contains('/') => self.file_name(name),
            None => self.made(name),
        }
    }

    /// A name out of startrace's own lists: methods, phases, states.
    pub(super) fn name(&self, name: &str) -> String {
        if names().any(|own| own.name == name) || WaitKind::ALL.iter().any(|kind| kind.name() == name) {
            return name.to_owned();
        }
        let own = |part: &str| {
            part.len() <= 1
                || NAMES.contains(&part)
                || self.is_own(part)
                || is_program(part)
                || syscall::is_name(part)
        };
        // A part of a name may be two words.
        let mut parts = name.split(['.', ':', '-']);
        let mut halves = name.split(['.', ':', '-', '_']);
        if name.len() <= 80 && (parts.all(own) || halves.all(own)) {
            return name.to_owned();
        }
        self.tokens(name, own)
    }

    /// `ENOENT`, `SIGKILL`, `CLONE_VM`.
    pub(super) fn constant(&self, text: &str) -> String {
        let known = text.parse::<Signal>().is_ok()
            || text.strip_prefix("SIGRTMIN+").is_some_and(|n| n.len() <= 2 && n.parse::<u8>().is_ok())
            || (1..=200).any(|n| {
                let error = Errno::from_raw(n);
                error != Errno::UnknownErrno && format!("{error:?}") == text
            });
        if known { text.to_owned() } else { self.text(text) }
    }

    /// `pid@time/seq`, which are numbers.
    pub(super) fn id(&self, id: &str) -> String {
        let (process, seq) = id.split_once('/').unwrap_or((id, "0"));
        let number = |text: &str, most: usize| {
            !text.is_empty() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_digit())
        };
        let is_ours = process
            .split_once('@')
            .is_some_and(|(pid, birth)| number(pid, 10) && number(birth, 20) && number(seq, 10));
        if is_ours { id.to_owned() } else { self.word(id) }
    }

    /// RFC 3339.
    pub(super) fn date(&self, text: &str) -> String {
        if humantime::parse_rfc3339_weak(text).is_ok() { text.to_owned() } else { self.word(text) }
    }

    /// As many hexadecimal digits.
    pub(super) fn hex(&self, text: &str) -> String {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return self.word(text);
        }
        let mut out = String::new();
        for block in 0..=(text.len().min(256) / 16) {
            out.push_str(&format!("{:016x}", self.hash(100 + (block % 100) as u8, text)));
        }
        out.truncate(text.len());
        if out == text { self.word(text) } else { out }
    }

    /// `6.18.0-13-generic`: the numbers at its beginning stay, which are the kernel's own.
    pub(super) fn version(&self, text: &str) -> String {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, rest) = text.split_at(end);
        // A number alone is no version, and none is so long.
        if number.len() > 16 || !number.contains('.') {
            return self.text(text);
        }
        format!(
            "{number}{}",
            self.tokens(rest, |word| matches!(word, "amd64" | "arm64" | "generic" | "cloud" | "rc"))
        )
    }

    /// `cpython 3.11`.
    pub(super) fn runtime(&self, text: &str) -> String {
        match text.split_once(' ') {
            Some((name, version)) if RUNTIMES.contains(&name) => format!("{name} {}", self.version(version)),
            None if RUNTIMES.contains(&text) => text.to_owned(),
            _ => self.text(text),
        }
    }

    /// `uprobe//usr/lib/libc.so.6:_dl_debug_state`: a provider, a path, a symbol of ours.
    pub(super) fn hook(&self, hook: &str) -> String {
        match hook.split_once('/') {
            Some((kind @ ("uprobe" | "uretprobe" | "usdt"), target)) => match target.rsplit_once(':') {
                Some((file, symbol)) if SYMBOLS.contains(&symbol) => {
                    let file = match file {
                        "libc" | "ld.so" => file.to_owned(),
                        path => self.path(path),
                    };
                    format!("{kind}/{file}:{symbol}")
                }
                _ => format!("{kind}/{}", self.text(target)),
            },
            Some(("perf_event", "cpu-clock")) => hook.to_owned(),
            Some((kind, name)) if KINDS.contains(&kind) && is_identifier(name) => hook.to_owned(),
            _ => self.text(hook),
        }
    }

    /// Root stays root.
    pub(super) fn user(&self, id: u32) -> u32 {
        match id {
            0 => 0,
            // As large as no real one usually is, and so many that no two become one.
            id => 100_000 + (self.hash(251, &id.to_string()) % 4_294_000_000) as u32,
        }
    }
}

/// Runtimes of languages.
const RUNTIMES: [&str; 13] =
    ["cpython", "pypy", "go", "jvm", "node", "ruby", "perl", "php", "rust", "erlang", "lua", "dotnet", "v8"];
/// Kinds of hooks whose second part is a name out of the kernel.
const KINDS: [&str; 6] = ["tp_btf", "tp", "fentry", "fexit", "iter", "perf_event"];
/// Symbols that startrace probes.
const SYMBOLS: [&str; 11] = [
    "_dl_debug_state",
    "__libc_start_main",
    "execve",
    "execv",
    "posix_spawn",
    "__libc_start_main@@GLIBC_2.34",
    "import__find__load__start",
    "import__find__load__done",
    "PyImport_ImportModuleLevelObject",
    "PyImport_ImportModuleLevelObject+return",
    "source_file",
];

/// Words of startrace's own names that its sentences do not have.
const NAMES: &[&str] = &[
    "fork_exec",
    "vfork_exec",
    "posix_spawn",
    "clone_exec",
    "clone3",
    "kernel_helper",
    "cpython",
    "jit",
    "gc",
    "loading",
    "application",
    "asyncio",
    "concurrent",
    "futures",
    "forkserver",
    "resource_tracker",
    "prefork",
    "daemon",
    "double_fork",
    "tree",
    "popen",
    "background",
    "substitution",
    "lambda",
    "cluster",
    "child_process",
    "worker_threads",
    "spawn_main",
    "rust",
    "x86_64",
    "aarch64",
    "riscv64",
    "armv7l",
    "i686",
    "own",
    "command",
    "system",
    "lifecycle",
    "timeline",
    "deep",
    "count",
    "duration",
    "reader",
    "window",
    "pids",
    "error",
    "page_fault",
    "unix_socket",
    "fork_unseen",
    "aside_unread",
    "events",
    "event_bytes",
    "argv_unreadable",
    "execs_dropped",
    "exits_unseen",
    "file_paths_cut",
    "forks_unseen",
    "late_events",
    "paths_cut",
    "recursion_misses",
    "scratch_buffers",
    "seeding_unsettled",
    "seeds_missed",
    "task_storage",
    "undecodable",
    "wakers",
    "dynamic",
    "lxc",
    "crio",
    "libpod",
    "softirq",
    "kworker",
    "timer",
    "io",
    "load",
    "link",
    "schedule",
    "unobserved",
    "app",
    "cut_off",
    "recursion",
    "storage",
    "failed_forks",
    "failed_execs",
    "failed_exec_errors",
    "entry_times",
    "usdt",
    "uprobe",
    "shared_library",
    "python_source",
    "python_bytecode",
    "cds_archive",
    "javascript",
    "locale",
    "folder",
    "untold",
];

fn is_identifier(text: &str) -> bool {
    text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_/".contains(&byte))
}

/// `python3.11` is `python`.
fn is_program(name: &str) -> bool {
    let bare = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
    // A version is short; a number at the end of a name can be anything.
    name.len() - bare.len() <= 5 && !bare.is_empty() && is_among(PROGRAMS, bare) || is_among(PROGRAMS, name)
}

/// Each word with what follows it; the first may be empty. What is no ASCII is a part of words, and so is a
/// point between two digits.
fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || !c.is_ascii();
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let bytes = rest.as_bytes();
        let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
        let is_point =
            |at: usize| bytes.get(at) == Some(&b'.') && digit(at.checked_sub(1)) && digit(Some(at + 1));
        let end = rest.char_indices().find(|&(at, c)| !is_word(c) && !is_point(at));
        let end = end.map_or(rest.len(), |(at, _)| at);
        let (word, after) = rest.split_at(end);
        let next = after.find(is_word).unwrap_or(after.len());
        let (between, left) = after.split_at(next);
        rest = left;
        Some((word, between))
    })
}

#[cfg(test)]
mod tests;
