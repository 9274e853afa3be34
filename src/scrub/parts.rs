//! What a start imported, opened and ran: the numbers stay, names of others become pseudonyms.

use super::words::Pseudonyms;
use crate::sort;
use crate::trace::schema::{
    FileSums, Files, FolderMisses, Import, Imports, OpenedFile, Profile, ProfiledFunction, ProfiledStack,
    SourcedFile,
};

impl Pseudonyms {
    pub(super) fn imports(&self, imports: Imports) -> Imports {
        let Imports {
            language,
            provider,
            from_beginning,
            init_ns,
            importing_ns,
            code_ns,
            exec,
            count,
            modules,
            left_out,
            left_out_own_ns,
        } = imports;
        let modules = modules.into_iter().map(|import| {
            let Import { module, at_ns, duration_ns, own_ns, depth, importer, tid, found } = import;
            let module = module.map(|module| self.module(&module));
            Import { module, at_ns, duration_ns, own_ns, depth, importer, tid, found }
        });
        Imports {
            language: self.name(&language),
            provider: self.name(&provider),
            from_beginning,
            init_ns,
            importing_ns,
            code_ns,
            exec,
            count,
            modules: modules.collect(),
            left_out,
            left_out_own_ns,
        }
    }

    pub(super) fn files(&self, files: Files) -> Files {
        let Files {
            opened,
            open_failed,
            found,
            missed,
            spent_ns,
            sums,
            errors,
            misses,
            misses_left_out,
            files,
            files_left_out,
            sourced,
        } = files;
        let sums = sums.into_iter().map(|sums| {
            let FileSums { phase, exec, kind, opened, open_failed, found, missed, bytes, spent_ns } = sums;
            let (phase, kind) = (self.name(&phase), self.name(&kind));
            FileSums { phase, exec, kind, opened, open_failed, found, missed, bytes, spent_ns }
        });
        let misses = misses.into_iter().map(|misses| {
            let FolderMisses { folder, n, libraries, spent_ns } = misses;
            FolderMisses { folder: self.path(&folder), n, libraries, spent_ns }
        });
        let files = files.into_iter().map(|file| {
            let OpenedFile { at_ns, duration_ns, path, kind, bytes, tid } = file;
            let path = path.map(|path| self.path(&path));
            OpenedFile { at_ns, duration_ns, path, kind: self.name(&kind), bytes, tid }
        });
        let sourced = sourced.into_iter().map(|file| {
            let SourcedFile { at_ns, duration_ns, path, exec, whole_ns, own_ns } = file;
            SourcedFile { at_ns, duration_ns, path: self.path(&path), exec, whole_ns, own_ns }
        });
        Files {
            opened,
            open_failed,
            found,
            missed,
            spent_ns,
            sums: sums.collect(),
            errors: sort::by_name(&mut errors.into_iter().map(|(error, n)| (self.error(error), n))),
            misses: misses.collect(),
            misses_left_out,
            files: files.collect(),
            files_left_out,
            sourced: sourced.collect(),
        }
    }

    pub(super) fn profile(&self, profile: Profile) -> Profile {
        let Profile { hz, period_ns, samples, functions, functions_left_out, stacks, stacks_left_out } =
            profile;
        let functions = functions.into_iter().map(|function| {
            let ProfiledFunction { function, module, phase, exec, own, all } = function;
            ProfiledFunction {
                function: function.map(|name| self.function(&name)),
                module: module.map(|module| self.object(&module)),
                phase: self.name(&phase),
                exec,
                own,
                all,
            }
        });
        let stacks = stacks.into_iter().map(|stack| {
            let ProfiledStack { phase, exec, frames, samples } = stack;
            let frames = frames.iter().map(|frame| self.frame(frame)).collect();
            ProfiledStack { phase: self.name(&phase), exec, frames, samples }
        });
        Profile {
            hz,
            period_ns,
            samples,
            functions: functions.collect(),
            functions_left_out,
            stacks: stacks.collect(),
            stacks_left_out,
        }
    }

    /// A function. Also the kernel's: that it is the kernel's own and not a driver's is not known.
    fn function(&self, name: &str) -> String {
        if name.len() == 1 { name.to_owned() } else { self.word(name) }
    }

    /// A file, or a name of ours for what is none.
    fn object(&self, module: &str) -> String {
        if matches!(module, "[kernel]" | "[vdso]" | "[anonymous]") {
            module.to_owned()
        } else {
            self.path(module)
        }
    }

    /// A function, or a file's name in brackets, or `?`.
    fn frame(&self, frame: &str) -> String {
        match frame.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some("kernel" | "vdso" | "anonymous") => frame.to_owned(),
            Some(file) => format!("[{}]", self.path(file)),
            None => self.function(frame),
        }
    }

    fn error(&self, error: String) -> String {
        if error == "unknown" { error } else { self.constant(&error) }
    }
}
