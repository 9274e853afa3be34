//! musl's rules: no cache, search paths inherited downwards, the first file that opens is taken.

use super::loader::Loader;
use super::search::Try;
use super::{Found, Needer, Objects, Outcome};
use std::io::Read;

const DEFAULT_FOLDERS: &[u8] = b"/lib:/usr/local/lib:/usr/lib";
const MAX_PATH_FILE: u64 = 64 << 10;
const MAX_DIRECTORIES: usize = 4096;
/// Libraries that are part of musl's one file: `libc.so.6`, `libpthread.so.0` and so on.
const RESERVED: [&[u8]; 7] = [b"c.", b"pthread.", b"rt.", b"m.", b"dl.", b"util.", b"xnet."];

struct Rules<'l> {
    loader: &'l Loader,
    environment: Vec<u8>,
    system: Vec<u8>,
}

pub(super) fn run(objects: &mut Objects<'_>, loader: &Loader) {
    let settings = objects.search.settings;
    let library_path = settings.library_path.clone().filter(|_| !settings.secure);
    let preload = settings.preload.clone().filter(|_| !settings.secure);
    let rules =
        Rules { loader, environment: library_path.unwrap_or_default(), system: system_path(objects, loader) };
    let mut queue = vec![0];
    let names = preload.unwrap_or_default();
    let names = names.split(|b| b.is_ascii_whitespace() || *b == b':');
    for name in names.filter(|n| !n.is_empty()).take(256) {
        let needer = Needer::Setting("LD_PRELOAD");
        if let Some(index) = rules.map(objects, name, &needer) {
            objects.needed(index, &needer);
            queue.push(index);
        }
    }
    objects.follow(queue, |objects, name, needer| rules.map(objects, name, needer));
    if loader.size.is_some() {
        objects.add_interpreter(&loader.path, loader);
    }
}

/// The file of search folders lies beside the folder that the loader is in.
fn system_path(objects: &mut Objects<'_>, loader: &Loader) -> Vec<u8> {
    let folder = super::parent(&loader.path);
    let name = loader.path.rsplit(|&b| b == b'/').next();
    let name = name.unwrap_or_default();
    let arch = name.strip_prefix(b"ld-musl-").unwrap_or_default();
    let arch = arch.split(|&b| b == b'.').next().unwrap_or_default();
    let prefix = match super::parent(&folder) {
        prefix if prefix == b"/" => Vec::new(),
        prefix => prefix,
    };
    let path = [&prefix, b"/etc/ld-musl-".as_slice(), arch, b".path"].concat();
    match objects.search.read(&path) {
        Ok(file) => {
            let mut text = Vec::new();
            let read = file.take(MAX_PATH_FILE).read_to_end(&mut text);
            // musl searches nowhere when its file cannot be read.
            read.map(|_| text).unwrap_or_default()
        }
        Err(_) => DEFAULT_FOLDERS.to_vec(),
    }
}

impl Rules<'_> {
    fn map(&self, objects: &mut Objects<'_>, name: &[u8], needer: &Needer<'_>) -> Option<usize> {
        if name.is_empty() {
            return None;
        }
        let reserved =
            name.strip_prefix(b"lib").is_some_and(|rest| RESERVED.iter().any(|r| rest.starts_with(r)));
        if reserved || name == self.loader.path {
            return Some(objects.add_interpreter(name, self.loader));
        }
        if let Some(index) = objects.by_name(name) {
            return Some(index);
        }
        let by = needer.index();
        let mut tries = 0;
        let outcome = if name.contains(&b'/') {
            match self.open(objects, name, &mut tries) {
                Some(tried) => outcome(tried, name, Found::Direct),
                None => Outcome::Absent,
            }
        } else {
            self.find(objects, name, by, &mut tries)
        };
        Some(objects.add(name, by, outcome, tries))
    }

    fn find(&self, objects: &mut Objects<'_>, name: &[u8], by: usize, tries: &mut u64) -> Outcome {
        if let Some(found) = self.in_path(objects, &self.environment, name, tries) {
            return outcome_at(found, Found::LdLibraryPath);
        }
        let mut at = Some(by);
        while let Some(index) = at {
            let object = objects.objects.get(index);
            at = object.and_then(|o| o.loader);
            let Some((path, rule)) = object.and_then(search_path) else {
                continue;
            };
            if let Some(found) = self.in_path(objects, &path, name, tries) {
                return outcome_at(found, rule);
            }
        }
        if let Some(found) = self.in_path(objects, &self.system, name, tries) {
            return outcome_at(found, Found::Default);
        }
        Outcome::Absent
    }

    fn in_path(
        &self,
        objects: &mut Objects<'_>,
        path: &[u8],
        name: &[u8],
        tries: &mut u64,
    ) -> Option<(Try, Vec<u8>)> {
        let folders = path.split(|b| matches!(b, b':' | b'\n'));
        for folder in folders.filter(|f| !f.is_empty()).take(MAX_DIRECTORIES) {
            let path = [folder, b"/", name].concat();
            if let Some(tried) = self.open(objects, &path, tries) {
                return Some((tried, path));
            }
        }
        None
    }

    fn open(&self, objects: &mut Objects<'_>, path: &[u8], tries: &mut u64) -> Option<Try> {
        match objects.search.open(path) {
            Try::Absent => {
                *tries += 1;
                None
            }
            other => Some(other),
        }
    }
}

fn outcome_at((tried, path): (Try, Vec<u8>), rule: Found) -> Outcome {
    outcome(tried, &path, rule)
}

fn outcome(tried: Try, path: &[u8], rule: Found) -> Outcome {
    let problem = match tried {
        Try::Loaded(file) => return Outcome::Loaded(file, rule),
        Try::Absent => return Outcome::Absent,
        Try::Foreign => "it is for another machine".to_owned(),
        Try::Broken(problem) => problem,
    };
    let path = crate::trace::text::encode(path);
    Outcome::Broken(format!("{path}: {problem}; the loader stops there"))
}

/// RUNPATH or else RPATH, with `$ORIGIN` expanded. A path with any other `$` is ignored altogether.
fn search_path(object: &super::Object) -> Option<(Vec<u8>, Found)> {
    let dynamic = &object.dynamic;
    let (path, rule) = match (&dynamic.runpath, &dynamic.rpath) {
        (Some(path), _) => (path, Found::Runpath),
        (None, Some(path)) => (path, Found::Rpath),
        (None, None) => return None,
    };
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path.as_slice();
    while let Some(at) = memchr::memchr(b'$', rest) {
        let (before, token) = rest.split_at(at);
        out.extend_from_slice(before);
        out.extend_from_slice(&object.origin);
        rest = token.strip_prefix(b"${ORIGIN}").or_else(|| token.strip_prefix(b"$ORIGIN"))?;
    }
    out.extend_from_slice(rest);
    Some((out, rule))
}
