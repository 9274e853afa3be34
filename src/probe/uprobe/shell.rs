//! Probes in bash: which files of commands it reads.

use super::guests::Held;
use super::python::{CALL_FILE_SHIFT, MAX_LOOKED};
use super::{How, MAX_SCRIPTS, Place, Programs, Uprobes, attach, program_file};
use crate::elf::root::Root;
use crate::elf::shell::sources;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// As in `bpf/python.bpf.h`.
const COOKIE_SHELL: u64 = 1 << 16;

impl Uprobes {
    /// Is that what bash is called, and is it looked into?
    pub(super) fn may_be_bash(&self, exe: &str) -> bool {
        self.kinds.import_calls && matches!(exe.rsplit('/').next(), Some("bash" | "sh" | "rbash"))
    }

    /// Probes a program of this machine, or what interprets it, where that is bash.
    pub(super) fn shell_program(&mut self, programs: &Programs<'_>, root: &Root, path: &Path) {
        if self.kinds.import_calls
            && let Some(file) = program_file(root, path, MAX_SCRIPTS)
        {
            self.bash_or_not(programs, root, file);
        }
    }

    pub(super) fn bash_or_not(&mut self, programs: &Programs<'_>, root: &Root, file: File) {
        let path = root.real_path(&file).unwrap_or_default();
        if self.may_be_bash(&crate::trace::text::encode(path.as_os_str().as_bytes())) {
            self.bash(programs, root, file);
        }
    }

    pub(super) fn bash(&mut self, programs: &Programs<'_>, root: &Root, file: File) {
        let Some(id) = file.metadata().ok().map(|meta| (meta.dev(), meta.ino())) else { return };
        let guest = self.guests.id(root);
        if let Some(held) = self.pythons.get_mut(&id) {
            return held.share(guest);
        }
        if self.pythons.len() >= MAX_LOOKED {
            self.missing += 1;
            return;
        }
        self.pythons.insert(id, Held::new(guest));
        let path = root.outside(&file).or_else(|| root.real_path(&file)).unwrap_or_default();
        let path = crate::trace::text::encode(path.as_os_str().as_bytes());
        let calls = match sources(&file) {
            Ok(calls) if !calls.is_empty() => calls,
            // What it reads is told by the names of the files then.
            _ => return tracing::debug!("{path} has no functions that read files of commands"),
        };
        let Some(number) = self.free_number() else { return };
        let how = if self.kinds.multi { How::Multi } else { How::Each(self.opener.as_ref()) };
        let cookie = COOKIE_SHELL | (number as u64) << CALL_FILE_SHIFT;
        let place = |offset| Place { offset, semaphore: 0, cookie };
        let begins: Vec<Place> = calls.iter().map(|call| place(call.offset)).collect();
        let ends: Vec<Place> =
            calls.iter().flat_map(|call| &call.returns).map(|&offset| place(offset)).collect();
        let mut links = Vec::new();
        for (program, places) in [(programs.import_return, ends), (programs.import_call, begins)] {
            match attach(program, &file, &places, false, how) {
                Ok(attached) => links.extend(attached),
                Err(error) => {
                    tracing::debug!("no probes in {path}: {error}");
                    self.missing += 1;
                    self.free_numbers.push(number);
                    return super::close(links);
                }
            }
        }
        super::note(&mut self.hooks, format!("uprobe/{path}:source_file"));
        self.live.push(number);
        if let Some(held) = self.pythons.get_mut(&id) {
            held.number = Some(number);
            held.links = links;
        }
    }
}
