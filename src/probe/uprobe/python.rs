//! Probes in CPython: what it imports.

use super::guests::Held;
use super::{How, MAX_SCRIPTS, Place, Programs, Started, Uprobes, attach, decode, program_file};
use crate::elf::libraries::Library;
use crate::elf::python::{Imports, Site, imports, library};
use crate::elf::root::Root;
use libbpf_rs::ProgramMut;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Executables and libraries that are looked at; more are made by somebody.
pub(super) const MAX_LOOKED: usize = 1024;
/// As in `bpf/python.bpf.h`.
const FILES: usize = 64;
const ARGUMENTS_FILE_SHIFT: u32 = 52;
pub(super) const CALL_FILE_SHIFT: u32 = 8;

/// Is that the name of a language runtime that is looked into?
fn is_cpython(runtime: Option<&str>) -> bool {
    runtime.is_some_and(|runtime| runtime.starts_with("cpython"))
}

impl Uprobes {
    /// Probes the interpreter that a process was started with, if that is new.
    pub(in super::super) fn look_at_runtime(&mut self, programs: &Programs<'_>, started: &Started<'_>) {
        let python = self.kinds.imports && is_cpython(started.runtime);
        if !python && !self.may_be_bash(started.exe) {
            return;
        }
        let proc = format!("/proc/{}", started.pid);
        let running = File::open(format!("{proc}/exe"));
        let running = running.ok().filter(|f| f.metadata().is_ok_and(|meta| meta.ino() == started.inode));
        let root = Root::open(Path::new(&format!("{proc}/root")));
        let (file, root) = match (running, root) {
            (Some(file), Ok(root)) => (file, root),
            // It has ended. Where the file that it ran is where it said, its root was ours.
            _ => {
                let Ok(file) = File::open(decode(started.exe)) else { return };
                let same = file.metadata().is_ok_and(|meta| meta.ino() == started.inode);
                let Some(root) = Root::host().ok().filter(|_| same) else { return };
                (file, root)
            }
        };
        if self.may_probe(&root, &file, started.pid) {
            if python {
                self.python(programs, &root, file);
            } else {
                self.bash(programs, &root, file);
            }
        }
    }

    /// Probes the interpreters of running processes.
    pub(super) fn running_pythons(&mut self, programs: &Programs<'_>, pids: &[u32]) {
        let pids = if self.kinds.imports { pids } else { &[] };
        for pid in pids {
            let Ok(file) = File::open(format!("/proc/{pid}/exe")) else { continue };
            let Ok(root) = Root::open(Path::new(&format!("/proc/{pid}/root"))) else { continue };
            if let Some(guest) = self.guests.id(&root) {
                self.guests.note(guest, *pid);
            }
            if let Ok(file) = file.try_clone() {
                self.bash_or_not(programs, &root, file);
            }
            self.python_or_not(programs, &root, file);
        }
    }

    /// Probes the interpreter that a program of this machine is, or is interpreted by.
    pub(super) fn python_program(&mut self, programs: &Programs<'_>, root: &Root, path: &Path) {
        if self.kinds.imports
            && let Some(file) = program_file(root, path, MAX_SCRIPTS)
        {
            self.python_or_not(programs, root, file);
        }
    }

    fn python_or_not(&mut self, programs: &Programs<'_>, root: &Root, file: File) {
        if crate::elf::facts(&file).is_ok_and(|facts| is_cpython(facts.runtime.as_deref())) {
            self.python(programs, root, file);
        }
    }

    fn python(&mut self, programs: &Programs<'_>, root: &Root, file: File) {
        let Some(id) = file.metadata().ok().map(|meta| (meta.dev(), meta.ino())) else { return };
        let guest = self.guests.id(root);
        if let Some(held) = self.pythons.get_mut(&id) {
            held.share(guest);
            if let Some(library) = held.libc.and_then(|library| self.pythons.get_mut(&library)) {
                library.share(guest);
            }
            return;
        }
        if self.pythons.len() >= MAX_LOOKED {
            self.missing += 1;
            return;
        }
        let path = root.real_path(&file).unwrap_or_default();
        let in_library = library(&file, &path, root).and_then(|path| Library::open(root, &path).ok());
        let mut held = Held::new(guest);
        held.libc = in_library.as_ref().map(|library| library.id);
        self.pythons.insert(id, held);
        let interpreter = match in_library {
            Some(library) => {
                if let Some(held) = self.pythons.get_mut(&library.id) {
                    return held.share(guest);
                }
                self.pythons.insert(library.id, Held::new(guest));
                library
            }
            None => {
                let path = root.outside(&file).unwrap_or(path);
                let path =
                    crate::trace::text::encode(std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()));
                Library { file, path, id }
            }
        };
        match imports(&interpreter.file) {
            Ok(found) => self.attach_imports(programs, &interpreter, &found),
            Err(error) => {
                tracing::debug!("no probes in {}: {error}", interpreter.path);
                self.missing += 1;
            }
        }
    }

    /// A number that a file's probes can have in their cookies.
    pub(super) fn free_number(&mut self) -> Option<usize> {
        if let Some(number) = self.free_numbers.pop() {
            return Some(number);
        }
        if self.python_count >= FILES {
            self.missing += 1;
            return None;
        }
        self.python_count += 1;
        Some(self.python_count - 1)
    }

    fn attach_imports(&mut self, programs: &Programs<'_>, interpreter: &Library, found: &Imports) {
        let call = found.call.as_ref().filter(|_| self.kinds.import_calls);
        if !found.has_probes() && call.is_none() {
            tracing::debug!("{} has no probes for what it imports", interpreter.path);
            return;
        }
        let Some(number) = self.free_number() else { return };
        let mut links = Vec::new();
        let how = if self.kinds.multi { How::Multi } else { How::Each(self.opener.as_ref()) };
        let steps: Vec<(&ProgramMut<'_>, Vec<Place>, &str)> = if found.has_probes() {
            let places = |sites: &[Site]| {
                let cookie = |site: &Site| site.arguments | (number as u64) << ARGUMENTS_FILE_SHIFT;
                let place = |site: &Site| Place {
                    offset: site.offset,
                    semaphore: site.semaphore,
                    cookie: cookie(site),
                };
                sites.iter().map(place).collect()
            };
            vec![
                (programs.import_begin, places(&found.begin), "import__find__load__start"),
                (programs.import_end, places(&found.end), "import__find__load__done"),
            ]
        } else if let Some(call) = call {
            let cookie = u64::from(call.text_at) | (number as u64) << CALL_FILE_SHIFT;
            let places = |offsets: &[u64]| -> Vec<Place> {
                offsets.iter().map(|&offset| Place { offset, semaphore: 0, cookie }).collect()
            };
            // The return first: a call without one would stay on the stack of calls.
            vec![
                (programs.import_return, places(&call.returns), "PyImport_ImportModuleLevelObject+return"),
                (programs.import_call, places(&[call.offset]), "PyImport_ImportModuleLevelObject"),
            ]
        } else {
            return;
        };
        let kind = if found.has_probes() { "usdt" } else { "uprobe" };
        for (program, places, name) in steps {
            match attach(program, &interpreter.file, &places, false, how) {
                Ok(attached) => links.extend(attached),
                Err(error) => {
                    tracing::debug!("no probe in {} at {name}: {error}", interpreter.path);
                    self.missing += 1;
                    self.free_numbers.push(number);
                    return super::close(links);
                }
            }
            super::note(&mut self.hooks, format!("{kind}/{}:{name}", interpreter.path));
        }
        self.live.push(number);
        if let Some(held) = self.pythons.get_mut(&interpreter.id) {
            held.number = Some(number);
            held.links = links;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_implementation_is_looked_into() {
        assert!(is_cpython(Some("cpython 3.11")) && is_cpython(Some("cpython")));
        assert!(!is_cpython(Some("pypy 3.9")) && !is_cpython(None));
    }
}
