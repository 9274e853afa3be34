//! glibc's rules.

use super::loader::Loader;
use super::search::{Loaded, Search, Try};
use super::{Found, Needer, Objects, Outcome};
use crate::elf::ldcache::{self, Cache};
use std::collections::HashMap;
use std::io::Read;
use std::rc::Rc;

const CACHE: &[u8] = b"/etc/ld.so.cache";
const PRELOAD: &[u8] = b"/etc/ld.so.preload";
const MAX_PRELOAD: u64 = 64 << 10;
/// Directories in one search path that are looked at.
const MAX_DIRECTORIES: usize = 4096;

/// Directories of one search path, each with a slash at its end.
type Directories = Rc<[Vec<u8>]>;

struct Rules<'l> {
    loader: &'l Loader,
    cache: Option<Cache>,
    abi: Option<u32>,
    environment: Directories,
    /// By object.
    rpaths: HashMap<usize, Directories>,
    runpaths: HashMap<usize, Directories>,
}

pub(super) fn run(objects: &mut Objects<'_>, loader: &Loader) {
    let mut rules = Rules {
        loader,
        cache: read_cache(objects),
        abi: ldcache::abi_flags(objects.search.machine, if objects.search.is_64 { 64 } else { 32 }),
        environment: Rc::from([]),
        rpaths: HashMap::new(),
        runpaths: HashMap::new(),
    };
    rules.answer_by_soname(objects, 0);
    let settings = objects.search.settings;
    let mut preloads = Vec::new();
    if !settings.secure {
        let path = settings.library_path.as_deref().unwrap_or_default();
        rules.environment = rules.directories(objects, 0, path, b":;");
        let names = settings.preload.as_deref().unwrap_or_default();
        for name in names.split(|b| matches!(b, b' ' | b':')) {
            preloads.push(("LD_PRELOAD", name.to_vec()));
        }
    }
    let mut system = Vec::new();
    if let Ok(file) = objects.search.read(PRELOAD) {
        // A file that cannot be read to its end names what was read, as for the loader.
        let _ = file.take(MAX_PRELOAD).read_to_end(&mut system);
    }
    for line in system.split(|&b| b == b'\n') {
        let line = line.split(|&b| b == b'#').next().unwrap_or_default();
        for name in line.split(|b| matches!(b, b' ' | b'\t' | b':')) {
            preloads.push(("/etc/ld.so.preload", name.to_vec()));
        }
    }
    let mut queue = vec![0];
    for (setting, name) in preloads.iter().filter(|(_, name)| !name.is_empty()).take(256) {
        let needer = Needer::Setting(setting);
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

fn read_cache(objects: &mut Objects<'_>) -> Option<Cache> {
    let file = objects.search.read(CACHE).ok()?;
    let mut bytes = Vec::new();
    file.take(ldcache::MAX_BYTES).read_to_end(&mut bytes).ok()?;
    match Cache::parse(&bytes) {
        Ok(cache) => Some(cache),
        Err(error) => {
            let problem = format!("/etc/ld.so.cache was not used: {error}");
            objects.problems.push(problem);
            None
        }
    }
}

impl Rules<'_> {
    /// `_dl_map_object`: what `needer` gets for `name`.
    fn map(&mut self, objects: &mut Objects<'_>, name: &[u8], needer: &Needer<'_>) -> Option<usize> {
        let by = needer.index();
        let origin = objects.objects.get(by).map(|o| o.origin.clone());
        let name = &self.expand(name, &origin.unwrap_or_default());
        if name.is_empty() {
            return None;
        }
        if let Some(index) = self.mapped(objects, name) {
            return Some(index);
        }
        let mut tries = 0;
        let outcome = if name.contains(&b'/') {
            match objects.search.open(name) {
                Try::Loaded(file) => Outcome::Loaded(file, Found::Direct),
                Try::Broken(problem) => Outcome::Broken(broken(name, &problem)),
                Try::Absent | Try::Foreign => {
                    tries += 1;
                    Outcome::Absent
                }
            }
        } else {
            self.find(objects, name, by, &mut tries)
        };
        let index = objects.add(name, by, outcome, tries);
        self.answer_by_soname(objects, index);
        Some(index)
    }

    /// An object that answers to the name already: by one it was loaded by, or by its SONAME.
    fn mapped(&self, objects: &mut Objects<'_>, name: &[u8]) -> Option<usize> {
        if let Some(index) = objects.by_name(name) {
            return Some(index);
        }
        let is_loader = name == self.loader.path || self.loader.dynamic_soname.as_deref() == Some(name);
        is_loader.then(|| objects.add_interpreter(name, self.loader))
    }

    fn answer_by_soname(&self, objects: &mut Objects<'_>, index: usize) {
        let object = objects.objects.get(index);
        if let Some(soname) = object.and_then(|o| o.dynamic.soname.clone()) {
            objects.answers(index, &soname);
        }
    }

    fn find(&mut self, objects: &mut Objects<'_>, name: &[u8], by: usize, tries: &mut u64) -> Outcome {
        let has_runpath = |objects: &Objects<'_>, i: usize| {
            let object = objects.objects.get(i);
            object.is_some_and(|o| o.dynamic.runpath.is_some())
        };
        // RPATH of the needer, of the one for whom that was loaded, and so on up to the program:
        // unless the needer has a RUNPATH.
        if !has_runpath(objects, by) {
            let mut at = Some(by);
            let mut program_done = false;
            while let Some(index) = at {
                program_done |= index == 0;
                let directories = self.rpath(objects, index);
                if let Some(found) = self.in_directories(objects, &directories, name, tries) {
                    return found.outcome(Found::Rpath);
                }
                at = objects.objects.get(index).and_then(|o| o.loader);
            }
            if !program_done {
                let directories = self.rpath(objects, 0);
                if let Some(found) = self.in_directories(objects, &directories, name, tries) {
                    return found.outcome(Found::Rpath);
                }
            }
        }
        let environment = Rc::clone(&self.environment);
        if let Some(found) = self.in_directories(objects, &environment, name, tries) {
            return found.outcome(Found::LdLibraryPath);
        }
        let directories = self.runpath(objects, by);
        if let Some(found) = self.in_directories(objects, &directories, name, tries) {
            return found.outcome(Found::Runpath);
        }
        let object = objects.objects.get(by);
        let no_defaults = object.is_some_and(|o| o.dynamic.no_default_folders);
        if let Some(found) = self.in_cache(objects, name, no_defaults, tries) {
            return found.outcome(Found::Cache);
        }
        if !no_defaults {
            let folders: Directories = Rc::from(self.loader.folders.clone());
            if let Some(found) = self.in_directories(objects, &folders, name, tries) {
                return found.outcome(Found::Default);
            }
        }
        Outcome::Absent
    }

    fn in_cache(
        &self,
        objects: &mut Objects<'_>,
        name: &[u8],
        no_defaults: bool,
        tries: &mut u64,
    ) -> Option<Candidate> {
        let cache = self.cache.as_ref()?;
        let entry = cache.find(name, self.abi, &self.loader.subdirectories)?;
        let folders = &self.loader.folders;
        if no_defaults && folders.iter().any(|f| entry.path.starts_with(f)) {
            return None;
        }
        Candidate::from(objects.search.open(&entry.path), &entry.path, tries)
    }

    /// `open_path`: the first directory of the list that has the file. A directory that does not
    /// exist is tried once and never again.
    fn in_directories(
        &self,
        objects: &mut Objects<'_>,
        directories: &[Vec<u8>],
        name: &[u8],
        tries: &mut u64,
    ) -> Option<Candidate> {
        let search: &mut Search<'_> = &mut objects.search;
        for directory in directories {
            if search.known_missing(directory) {
                continue;
            }
            for sub in &self.loader.subdirectories {
                let sub = [directory, b"glibc-hwcaps/".as_slice(), sub.as_bytes(), b"/"].concat();
                if search.is_dir(&sub) {
                    let path = [sub.as_slice(), name].concat();
                    let found = Candidate::from(search.open(&path), &path, tries);
                    if found.is_some() {
                        return found;
                    }
                }
            }
            let path = [directory.as_slice(), name].concat();
            let found = Candidate::from(search.open(&path), &path, tries);
            if found.is_some() {
                return found;
            }
            search.is_dir(directory);
        }
        None
    }

    fn rpath(&mut self, objects: &Objects<'_>, index: usize) -> Directories {
        if let Some(known) = self.rpaths.get(&index) {
            return Rc::clone(known);
        }
        let dynamic = objects.objects.get(index).map(|o| &o.dynamic);
        let path = dynamic.filter(|d| d.runpath.is_none());
        let path = path.and_then(|d| d.rpath.as_deref()).unwrap_or_default();
        let directories = self.directories(objects, index, path, b":");
        self.rpaths.insert(index, Rc::clone(&directories));
        directories
    }

    fn runpath(&mut self, objects: &Objects<'_>, index: usize) -> Directories {
        if let Some(known) = self.runpaths.get(&index) {
            return Rc::clone(known);
        }
        let dynamic = objects.objects.get(index).map(|o| &o.dynamic);
        let path = dynamic.and_then(|d| d.runpath.as_deref()).unwrap_or_default();
        let directories = self.directories(objects, index, path, b":");
        self.runpaths.insert(index, Rc::clone(&directories));
        directories
    }

    /// `fillin_rpath`: the directories of a search path of an object, each once.
    fn directories(
        &self,
        objects: &Objects<'_>,
        index: usize,
        path: &[u8],
        separators: &[u8],
    ) -> Directories {
        if path.is_empty() {
            return Rc::from([]);
        }
        let origin = objects.objects.get(index).map(|o| o.origin.as_slice());
        let mut directories: Vec<Vec<u8>> = Vec::new();
        let elements = path.split(|b| separators.contains(b));
        for element in elements.take(MAX_DIRECTORIES) {
            let mut directory = self.expand(element, origin.unwrap_or_default());
            if element.is_empty() {
                // An empty element is the working directory, which the loader leaves unnamed.
                if !directories.contains(&directory) {
                    directories.push(directory);
                }
                continue;
            }
            if directory.is_empty() {
                continue;
            }
            while directory.len() > 1 && directory.ends_with(b"/") {
                directory.pop();
            }
            if !directory.ends_with(b"/") {
                directory.push(b'/');
            }
            if !directories.contains(&directory) {
                directories.push(directory);
            }
        }
        Rc::from(directories)
    }

    /// Dynamic string tokens. What is no token stays as it is; a path with an `$ORIGIN` that is not
    /// known is dropped altogether.
    fn expand(&self, text: &[u8], origin: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = memchr::memchr(b'$', rest) {
            let (before, token) = rest.split_at(at);
            out.extend_from_slice(before);
            let tokens: [(&[u8], &[u8]); 3] =
                [(b"ORIGIN", origin), (b"PLATFORM", &self.loader.platform), (b"LIB", &self.loader.lib)];
            let hit = tokens.iter().find_map(|(name, value)| {
                let after = token.get(1..)?;
                let end = match after.strip_prefix(b"{") {
                    Some(braced) => braced.strip_prefix(*name)?.strip_prefix(b"}")?,
                    None => after.strip_prefix(*name)?,
                };
                Some((end, *value))
            });
            match hit {
                Some((_, [])) => return Vec::new(),
                Some((end, value)) => {
                    out.extend_from_slice(value);
                    rest = end;
                }
                None => {
                    out.push(b'$');
                    rest = token.get(1..).unwrap_or_default();
                }
            }
        }
        out.extend_from_slice(rest);
        out
    }
}

/// A file at which the search ends.
enum Candidate {
    Loaded(Box<Loaded>),
    Broken(String),
}

impl Candidate {
    /// `None`, counted as a vain try, for what the search passes over.
    fn from(tried: Try, path: &[u8], tries: &mut u64) -> Option<Candidate> {
        match tried {
            Try::Loaded(file) => Some(Candidate::Loaded(file)),
            Try::Broken(problem) => Some(Candidate::Broken(broken(path, &problem))),
            Try::Absent | Try::Foreign => {
                *tries += 1;
                None
            }
        }
    }

    fn outcome(self, found: Found) -> Outcome {
        match self {
            Candidate::Loaded(file) => Outcome::Loaded(file, found),
            Candidate::Broken(problem) => Outcome::Broken(problem),
        }
    }
}

fn broken(path: &[u8], problem: &str) -> String {
    let path = crate::trace::text::encode(path);
    format!("{path}: {problem}; the loader stops there")
}
