//! What is at an address of a process, for profiles: from `/proc/PID/maps`, symbol tables and kallsyms.

use super::jit::Jit;
use crate::elf::Functions;
use crate::event::Id;
use crate::hash::HashMap;
use crate::sort::SortSmall;
use crate::timeline::world::Frame;
use crate::trace::text;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

const MAX_MAPS: u64 = 16 << 20;
const MAX_KALLSYMS: u64 = 64 << 20;
/// Files whose functions are kept, and functions of all of them.
const MAX_FILES: usize = 512;
const MAX_FUNCTIONS: usize = 4_000_000;
/// Processes whose maps are kept.
const MAX_PROCESSES: usize = 1_024;
/// Maps in which an address is missing are read again after this time.
const REREAD: Duration = Duration::from_millis(20);
/// On the architectures that there are, the kernel has the upper half.
const KERNEL: u64 = 1 << 63;

/// A part of an address space that holds code.
#[derive(Debug, Clone)]
struct Mapping {
    from: u64,
    to: u64,
    offset: u64,
    inode: u64,
    /// As the process sees it; `[vdso]` and the like; empty for what is no file's.
    path: Rc<[u8]>,
}

type Names = HashMap<(u64, u64), Option<Rc<Functions>>>;

/// What was found out so far.
#[derive(Default)]
pub(super) struct Frames {
    maps: HashMap<Id, (Instant, Vec<Mapping>)>,
    /// What runtimes tell of the code that they make.
    jits: HashMap<Id, Jit>,
    files: Names,
    functions: usize,
    kernel: Vec<(u64, Box<str>)>,
}

fn hex(text: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
}

/// One line of `/proc/PID/maps`, if it is of code.
fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |&b| b == b' ');
    let mut range = fields.next()?.split(|&b| b == b'-');
    let (from, to) = (hex(range.next()?)?, hex(range.next()?)?);
    let code = fields.next()?.get(2) == Some(&b'x');
    let offset = hex(fields.next()?)?;
    let inode = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    let path = fields.next().unwrap_or_default().trim_ascii_start();
    code.then(|| Mapping { from, to, offset, inode, path: path.into() })
}

fn maps(pid: u32) -> Option<Vec<Mapping>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/maps")).ok()?.take(MAX_MAPS).read_to_end(&mut bytes).ok()?;
    Some(bytes.split(|&b| b == b'\n').filter_map(mapping).collect())
}

impl Frames {
    /// Reads the kernel's symbols, while that is allowed.
    pub(super) fn learn_kernel(&mut self) {
        let Ok(file) = File::open("/proc/kallsyms") else { return };
        let mut lines = BufReader::with_capacity(1 << 16, file.take(MAX_KALLSYMS));
        let mut line = String::new();
        while lines.read_line(&mut line).is_ok_and(|length| length > 0) {
            let mut words = line.split_ascii_whitespace();
            if let (Some(address), Some("t" | "T" | "w" | "W"), Some(name)) =
                (words.next(), words.next(), words.next())
                && let Some(address) = hex(address.as_bytes()).filter(|address| *address != 0)
            {
                self.kernel.push((address, name.into()));
            }
            line.clear();
        }
        self.kernel.sort_small_by_key(|(address, _)| *address);
    }

    fn kernel(&self, address: u64) -> Frame {
        let before = self.kernel.partition_point(|(from, _)| *from <= address).checked_sub(1);
        let found = before.and_then(|at| self.kernel.get(at));
        Frame { function: found.map(|(_, name)| name.to_string()), module: Some("[kernel]".to_owned()) }
    }

    fn mapping(&mut self, id: Id, is: impl Fn(u32) -> bool, address: u64) -> Option<Mapping> {
        // In the order of their addresses, as the kernel tells them.
        let find = |all: &[Mapping]| {
            let at = all.partition_point(|mapping| mapping.from <= address).checked_sub(1)?;
            all.get(at).filter(|mapping| address < mapping.to).cloned()
        };
        let known = self.maps.get(&id);
        if let Some(found) = known.and_then(|(_, all)| find(all)) {
            return Some(found);
        }
        // New since, never looked at, or no address at all: of a process without frame pointers there are many.
        if known.is_some_and(|(read, _)| read.elapsed() < REREAD) {
            return None;
        }
        let all = is(id.pid).then(|| maps(id.pid)).flatten().filter(|_| is(id.pid));
        if self.maps.len() >= MAX_PROCESSES {
            self.maps.clear();
        }
        let now = Instant::now();
        match all {
            Some(all) => {
                let found = find(&all);
                self.maps.insert(id, (now, all));
                found
            }
            // It has ended: what was known stays so, and nobody asks again soon.
            None => {
                self.maps.entry(id).or_insert_with(|| (now, Vec::new())).0 = now;
                None
            }
        }
    }

    fn functions(&mut self, pid: u32, mapping: &Mapping) -> Option<Rc<Functions>> {
        let relative = mapping.path.strip_prefix(b"/")?;
        let relative = std::ffi::OsStr::from_bytes(relative);
        let in_root = PathBuf::from(format!("/proc/{pid}/root")).join(relative);
        let candidates = [in_root, Path::new("/").join(relative)];
        let file = candidates.into_iter().find_map(|path| {
            let file = File::open(path).ok()?;
            file.metadata().ok().filter(|meta| meta.is_file() && meta.ino() == mapping.inode).map(|_| file)
        })?;
        let meta = file.metadata().ok()?;
        let key = (meta.dev(), meta.ino());
        if let Some(known) = self.files.get(&key) {
            return known.clone();
        }
        if self.files.len() >= MAX_FILES || self.functions >= MAX_FUNCTIONS {
            return None;
        }
        let read = Functions::read(&file).ok().map(Rc::new);
        self.functions += read.as_ref().map_or(0, |functions| functions.count());
        self.files.insert(key, read.clone());
        read
    }

    /// A function that is in no file.
    fn made(&mut self, id: Id, is: impl Fn(u32) -> bool, address: u64) -> Option<String> {
        if let Some(found) = self.jits.get(&id).and_then(|jit| jit.at(address)) {
            return Some(found.to_owned());
        }
        if !is(id.pid) {
            return None;
        }
        if self.jits.len() >= MAX_PROCESSES {
            self.jits.clear();
        }
        let jit = Jit::read(id.pid, self.jits.remove(&id)).filter(|_| is(id.pid))?;
        let found = jit.at(address).map(str::to_owned);
        self.jits.insert(id, jit);
        found
    }

    /// `is`: whether that pid is still that process.
    pub(super) fn frames(&mut self, id: Id, is: impl Fn(u32) -> bool, addresses: &[u64]) -> Vec<Frame> {
        let mut all = Vec::with_capacity(addresses.len());
        for &address in addresses {
            if address & KERNEL != 0 {
                all.push(self.kernel(address));
                continue;
            }
            let Some(mapping) = self.mapping(id, &is, address) else {
                all.push(Frame::default());
                continue;
            };
            let offset = (address - mapping.from).saturating_add(mapping.offset);
            let function = match &*mapping.path {
                b"" => self.made(id, &is, address),
                name if name.starts_with(b"[anon") => self.made(id, &is, address),
                _ => self.functions(id.pid, &mapping).and_then(|functions| functions.at(offset)),
            };
            let path = if mapping.path.is_empty() { b"[anonymous]" } else { &*mapping.path };
            let module = std::ffi::OsString::from_vec(path.to_vec());
            all.push(Frame { function, module: Some(text::encode(module.as_bytes())) });
        }
        all
    }

    /// The process with this pid has another image.
    pub(super) fn forget(&mut self, pid: u32) {
        if !self.maps.is_empty() {
            self.maps.retain(|id, _| id.pid != pid);
            self.jits.retain(|id, _| id.pid != pid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps() {
        let line =
            b"7f1c00000000-7f1c00001000 r-xp 00002000 08:01 1234                       /lib/a b.so (deleted)";
        let got = mapping(line).unwrap();
        assert_eq!(
            (got.from, got.to, got.offset, got.inode),
            (0x7f1c_0000_0000, 0x7f1c_0000_1000, 0x2000, 1234)
        );
        assert_eq!(&*got.path, b"/lib/a b.so (deleted)");
        assert!(mapping(b"7f1c00000000-7f1c00001000 rw-p 00002000 08:01 1234 /lib/a.so").is_none());
        assert_eq!(&*mapping(b"1000-2000 r-xp 0 00:00 0").unwrap().path, b"");
        for odd in [&b""[..], b"-", b"1-2 r-xp", b"zz-2 r-xp 0 0 0", b"1-2 r-xp 0 0 x /a"] {
            assert!(mapping(odd).is_none());
        }
    }

    #[test]
    fn addresses_of_this_process_have_names() {
        let mut frames = Frames::default();
        let id = Id { pid: std::process::id(), birth_ns: 1 };
        let here = maps as fn(u32) -> Option<Vec<Mapping>> as usize as u64;
        let got = frames.frames(id, |_| true, &[here, 8]);
        assert!(got[0].function.as_ref().unwrap().contains("maps"), "{got:?}");
        assert_eq!(got[1], Frame::default());
        // Once it has ended, what was known stays.
        assert!(frames.frames(id, |_| false, &[here])[0].function.is_some());
        frames.forget(id.pid);
        assert_eq!(frames.frames(id, |_| false, &[here]), [Frame::default()]);
    }
}
