//! Finds every library of a program as its dynamic loader would.
//!
//! glibc's rules are those of `elf/dl-load.c` and `elf/dl-deps.c`, musl's those of `ldso/dynlink.c`.
//! Not followed: `DT_AUXILIARY` and `DT_FILTER`, `LD_AUDIT`, prelinking, and the legacy hardware
//! subdirectories of glibc before 2.37 (`tls`, `haswell` ...), which hardly any system has.

mod glibc;
mod loader;
mod musl;
mod search;
#[cfg(test)]
pub(super) use search::MAX_TRIES;

use super::facts::DynamicFacts;
use super::image::Image;
use super::root::Root;
use super::{Error, facts};
use crate::trace::text;
use loader::Loader;
use search::Search;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Objects that are followed. The largest programs load some 400.
const MAX_OBJECTS: usize = 4096;
/// Needs of all objects together that are followed; the largest programs have some 5,000.
const MAX_NEEDS: usize = 100_000;

/// What a resolution depends on besides the files.
#[derive(Debug)]
pub struct Settings<'a> {
    /// Where paths begin.
    pub root: &'a Root,
    /// Working directory inside the root: relative search paths begin there.
    pub cwd: PathBuf,
    /// `LD_LIBRARY_PATH` of the program's environment.
    pub library_path: Option<Vec<u8>>,
    /// `LD_PRELOAD` of the program's environment.
    pub preload: Option<Vec<u8>>,
    /// The program runs with more rights than its caller (set-user-ID and the like): the loader
    /// ignores both.
    pub secure: bool,
}

/// Every object that the loader maps, apart from the program.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// In the order in which the loader looks for them.
    pub libraries: Vec<Library>,
    /// Opens that fail at the start, of all libraries together.
    pub failed_tries: u64,
    /// What is wrong or was left out, in words.
    pub problems: Vec<String>,
}

/// One library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Library {
    /// The name by which it was needed first.
    pub name: String,
    /// Where it is, in the loader's spelling (symbolic links are not followed); `null` for not found.
    pub path: Option<String>,
    /// Who needs it: library names, or the program's path; the first is the one that made the loader
    /// look for it. `LD_PRELOAD` or `/etc/ld.so.preload` for what they name.
    pub needed_by: Vec<String>,
    /// Which rule found it; `null` for not found.
    pub found: Option<Found>,
    /// Files that the loader tried in vain before (or instead of) this one: a failed open for each
    /// directory in which it is not. A directory that does not exist counts once for all libraries,
    /// as the loader remembers it; its first tries in processor-specific subdirectories that do not
    /// exist are not counted.
    pub failed_tries: u64,
    /// Relocations processed at the start, as in [`super::Facts::relocations`].
    pub relocations: Option<u64>,
    /// Size of the file in bytes.
    pub size: Option<u64>,
    /// Why the loader would stop at it, in words.
    pub problem: Option<String>,
}

/// The rule by which a library was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// `DT_RPATH` of the one who needs it, or of one further up.
    Rpath,
    /// `LD_LIBRARY_PATH`.
    LdLibraryPath,
    /// `DT_RUNPATH` of the one who needs it (musl: or of one further up).
    Runpath,
    /// `/etc/ld.so.cache`.
    Cache,
    /// The loader's own folders (musl: those of `/etc/ld-musl-ARCH.path`, where that exists).
    Default,
    /// The name is a path.
    Direct,
    /// It is the program interpreter, which the kernel has mapped already.
    Interpreter,
}

impl Found {
    /// The rule's name, as in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Found::Rpath => "rpath",
            Found::LdLibraryPath => "ld_library_path",
            Found::Runpath => "runpath",
            Found::Cache => "cache",
            Found::Default => "default",
            Found::Direct => "direct",
            Found::Interpreter => "interpreter",
        }
    }
}

/// Resolves all libraries of a dynamically linked program or of a library. `path` is the file's
/// real path inside the root (`$ORIGIN` is its directory).
///
/// # Errors
/// As for [`super::facts`]. Libraries that are missing or broken are part of the answer.
pub fn resolve(file: &File, path: &Path, settings: &Settings<'_>) -> Result<Resolution, Error> {
    let image = Image::read(file)?;
    let facts = facts(file)?;
    let mut problems = Vec::new();
    let mut search = Search::new(settings, &image);
    let loader = Loader::find(&facts, &mut search, &mut problems);
    let meta = file.metadata()?;
    let path = path.as_os_str().as_bytes().to_vec();
    let program = Object {
        label: text::encode(&path),
        origin: parent(&path),
        dynamic: facts::dynamic(&image),
        id: Some((meta.dev(), meta.ino())),
        loader: None,
        library: None,
        path,
    };
    let mut objects = Objects {
        objects: vec![program],
        libraries: Vec::new(),
        names: HashMap::new(),
        needs: HashSet::new(),
        search,
        problems,
    };
    if loader.musl {
        musl::run(&mut objects, &loader);
    } else {
        glibc::run(&mut objects, &loader);
    }
    Ok(objects.finish())
}

/// Something that the loader has mapped, or has failed to find.
struct Object {
    /// For messages: the first name.
    label: String,
    path: Vec<u8>,
    origin: Vec<u8>,
    dynamic: DynamicFacts,
    id: Option<(u64, u64)>,
    /// The object for which it was loaded.
    loader: Option<usize>,
    /// Its entry in the answer; `None` for the program.
    library: Option<usize>,
}

/// The loader's list of objects, and the answer that grows with it.
struct Objects<'s> {
    /// The first is the program.
    objects: Vec<Object>,
    libraries: Vec<Library>,
    /// The names that objects answer to.
    names: HashMap<Vec<u8>, usize>,
    /// Who needs whom, to note it once.
    needs: HashSet<(usize, usize)>,
    search: Search<'s>,
    problems: Vec<String>,
}

/// Who made the loader look for a library.
enum Needer<'a> {
    Object(usize),
    /// `LD_PRELOAD` or the like; the program counts as the one who loads.
    Setting(&'a str),
}

impl Needer<'_> {
    fn index(&self) -> usize {
        match self {
            Needer::Object(index) => *index,
            Needer::Setting(_) => 0,
        }
    }
}

impl<'s> Objects<'s> {
    fn by_name(&self, name: &[u8]) -> Option<usize> {
        self.names.get(name).copied()
    }

    /// Lets an object answer to a name, unless an earlier one does.
    fn answers(&mut self, index: usize, name: &[u8]) {
        self.names.entry(name.to_vec()).or_insert(index);
    }

    fn by_id(&self, id: (u64, u64)) -> Option<usize> {
        self.objects.iter().position(|o| o.id == Some(id))
    }

    /// Notes that `needer` needs an object.
    fn needed(&mut self, index: usize, needer: &Needer<'_>) {
        let who = match needer {
            Needer::Object(i) if self.needs.insert((index, *i)) => {
                self.objects.get(*i).map(|o| o.label.clone())
            }
            Needer::Object(_) => None,
            Needer::Setting(name) => Some((*name).to_owned()),
        };
        let library = self.objects.get(index).and_then(|o| o.library);
        let library = library.and_then(|i| self.libraries.get_mut(i));
        if let (Some(library), Some(who)) = (library, who) {
            library.needed_by.push(who);
        }
    }

    /// Adds the interpreter's own entry, if it has none yet.
    fn add_interpreter(&mut self, name: &[u8], loader: &Loader) -> usize {
        if let Some(index) = self.by_name(&loader.path) {
            return index;
        }
        let index = self.objects.len();
        self.answers(index, &loader.path);
        self.libraries.push(Library {
            name: text::encode(name),
            path: loader.size.map(|_| text::encode(&loader.path)),
            needed_by: Vec::new(),
            found: loader.size.map(|_| Found::Interpreter),
            failed_tries: 0,
            relocations: loader.relocations,
            size: loader.size,
            problem: None,
        });
        self.objects.push(Object {
            label: text::encode(name),
            path: loader.path.clone(),
            origin: parent(&loader.path),
            dynamic: DynamicFacts::default(),
            id: loader.id,
            loader: None,
            library: Some(self.libraries.len() - 1),
        });
        index
    }

    /// Adds what a search brought. A file that is mapped already gets a further name instead.
    fn add(&mut self, name: &[u8], loader: usize, outcome: Outcome, tries: u64) -> usize {
        if let Outcome::Loaded(ref file, _) = outcome
            && let Some(index) = self.by_id(file.id)
        {
            self.answers(index, name);
            let library = self.objects.get(index).and_then(|o| o.library);
            if let Some(library) = library.and_then(|i| self.libraries.get_mut(i)) {
                library.failed_tries += tries;
            }
            return index;
        }
        let mut library = Library {
            name: text::encode(name),
            path: None,
            needed_by: Vec::new(),
            found: None,
            failed_tries: tries,
            relocations: None,
            size: None,
            problem: None,
        };
        let mut object = Object {
            label: library.name.clone(),
            path: Vec::new(),
            origin: Vec::new(),
            dynamic: DynamicFacts::default(),
            id: None,
            loader: Some(loader),
            library: Some(self.libraries.len()),
        };
        let index = self.objects.len();
        self.answers(index, name);
        match outcome {
            Outcome::Absent => {}
            Outcome::Broken(problem) => library.problem = Some(problem),
            Outcome::Loaded(file, found) => {
                library.path = Some(text::encode(&file.path));
                library.found = Some(found);
                library.relocations = Some(file.dynamic.relocations);
                library.size = Some(file.size);
                self.answers(index, &file.path);
                object.origin = parent(&self.search.absolute(&file.path));
                object.path = file.path;
                object.dynamic = file.dynamic;
                object.id = Some(file.id);
            }
        }
        self.libraries.push(library);
        self.objects.push(object);
        index
    }

    /// Follows the needs of every object breadth first, in the loaders' order; `map` finds one.
    fn follow(
        &mut self,
        mut queue: Vec<usize>,
        mut map: impl FnMut(&mut Self, &[u8], &Needer<'_>) -> Option<usize>,
    ) {
        let mut queued: HashSet<usize> = queue.iter().copied().collect();
        let mut needs = 0;
        let mut at = 0;
        while let Some(&index) = queue.get(at) {
            at += 1;
            let object = self.objects.get(index);
            let needed = object.map_or(Vec::new(), |o| o.dynamic.needed.clone());
            for name in needed {
                needs += 1;
                if self.objects.len() > MAX_OBJECTS || needs > MAX_NEEDS {
                    let more = "far more libraries than any program has: the rest was left out";
                    self.problems.push(more.to_owned());
                    return;
                }
                if self.search.exhausted() {
                    let more = "too many directories to search: the rest was left out";
                    self.problems.push(more.to_owned());
                    return;
                }
                let needer = Needer::Object(index);
                if let Some(found) = map(self, &name, &needer) {
                    self.needed(found, &needer);
                    if queued.insert(found) {
                        queue.push(found);
                    }
                }
            }
        }
    }

    fn finish(self) -> Resolution {
        Resolution {
            failed_tries: self.libraries.iter().map(|l| l.failed_tries).sum(),
            libraries: self.libraries,
            problems: self.problems,
        }
    }
}

/// What a search for a library brought.
enum Outcome {
    Loaded(Box<search::Loaded>, Found),
    /// Nowhere.
    Absent,
    /// A file of that name was opened, and the loader stops at it.
    Broken(String),
}

/// The directory part of an absolute path.
fn parent(path: &[u8]) -> Vec<u8> {
    match memchr::memrchr(b'/', path) {
        Some(0) => b"/".to_vec(),
        Some(at) => path.get(..at).unwrap_or_default().to_vec(),
        None => Vec::new(),
    }
}

#[cfg(test)]
mod tests;
