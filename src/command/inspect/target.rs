//! What PATH or PID stands for: a file, a root, and the environment of its start.

use super::{Options, explain, quoted, shown};
use crate::elf::Error;
use crate::elf::resolve::Settings;
use crate::elf::root::Root;
use anyhow::{Context, anyhow, bail};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The kernel's own limit for arguments and environment together is 6 MiB.
const MAX_ENVIRONMENT: u64 = 8 << 20;
/// Key of the auxiliary vector under which the kernel tells the loader to ignore the environment.
const AT_SECURE: u64 = 23;
/// How long an exec that is under way is waited for.
const MAX_EXEC: Duration = Duration::from_millis(500);

/// The file to inspect, before `#!` lines are followed.
pub(super) struct Target {
    pub(super) root: Root,
    pub(super) root_shown: String,
    pub(super) pid: Option<u32>,
    pub(super) file: File,
    /// Real path inside the root.
    pub(super) path: PathBuf,
    pub(super) settings: Environment,
    pub(super) problems: Vec<String>,
}

/// What a start takes from its process.
#[derive(Default)]
pub(super) struct Environment {
    pub(super) cwd: PathBuf,
    library_path: Option<Vec<u8>>,
    preload: Option<Vec<u8>>,
    /// What the kernel told a running process; `None` where the file's mode has to tell.
    secure: Option<bool>,
}

impl Environment {
    pub(super) fn for_file<'r>(
        &self,
        root: &'r Root,
        meta: &Metadata,
        problems: &mut Vec<String>,
    ) -> Settings<'r> {
        let secure = self.secure.unwrap_or_else(|| {
            let other_user = meta.mode() & 0o4000 != 0 && meta.uid() != nix::unistd::geteuid().as_raw();
            let other_group = meta.mode() & 0o2010 == 0o2010 && meta.gid() != nix::unistd::getegid().as_raw();
            other_user || other_group
        });
        if secure && (self.library_path.is_some() || self.preload.is_some()) {
            problems.push(
                "LD_LIBRARY_PATH and LD_PRELOAD are ignored: the program runs with more rights \
                 than its caller"
                    .to_owned(),
            );
        }
        Settings {
            root,
            cwd: self.cwd.clone(),
            library_path: self.library_path.clone(),
            preload: self.preload.clone(),
            secure,
        }
    }
}

impl Target {
    pub(super) fn find(options: &Options) -> anyhow::Result<Target> {
        let path = Path::new(&options.target);
        let number = options.target.to_str().and_then(|t| t.parse::<u32>().ok());
        let pid = number.filter(|_| options.root.is_some() || path.symlink_metadata().is_err());
        match (pid, &options.root) {
            (Some(pid), None) => Target::process(pid),
            (_, root) => Target::path(path, root.as_deref(), pid.is_some()),
        }
    }

    fn path(path: &Path, dir: Option<&Path>, number: bool) -> anyhow::Result<Target> {
        if path.as_os_str().is_empty() {
            bail!("no such file: the name is empty; give a PATH or a PID");
        }
        let (root, root_shown, cwd) = match dir {
            Some(dir) => {
                let root =
                    Root::open(dir).with_context(|| format!("cannot use {} as --root", quoted(dir)))?;
                (root, shown(dir), PathBuf::from("/"))
            }
            None => {
                let cwd = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
                (Root::host()?, "/".to_owned(), cwd)
            }
        };
        let file = root.read(&cwd.join(path)).map_err(|error| match error {
            Error::Io(ref e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                not_found(path, dir, number)
            }
            other => explain(other, path),
        })?;
        let real = root.real_path(&file).unwrap_or_else(|| cwd.join(path));
        let variable = |name| std::env::var_os(name).map(OsStringExt::into_vec);
        Ok(Target {
            file,
            path: real,
            root,
            root_shown,
            pid: None,
            settings: Environment {
                cwd,
                library_path: variable("LD_LIBRARY_PATH"),
                preload: variable("LD_PRELOAD"),
                secure: None,
            },
            problems: Vec::new(),
        })
    }

    fn process(pid: u32) -> anyhow::Result<Target> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        std::fs::read_link(proc.join("exe")).map_err(|error| no_executable(pid, &proc, &error))?;
        // Before anything else is read: what is asked about is the program after its exec.
        let auxv = settled_auxv(&proc);
        let link = std::fs::read_link(proc.join("exe")).map_err(|error| no_executable(pid, &proc, &error))?;
        let denied = |error: std::io::Error| match error.kind() {
            ErrorKind::PermissionDenied => need_root(pid),
            _ => anyhow!("process {pid} ended meanwhile ({error})"),
        };
        let file = File::open(proc.join("exe")).map_err(denied)?;
        let root = Root::open(&proc.join("root")).map_err(denied)?;
        let path = root.real_path(&file).unwrap_or(link);
        let mut problems = Vec::new();
        let mut settings = Environment {
            cwd: std::fs::read_link(proc.join("cwd"))
                .ok()
                .and_then(|cwd| root.inside(&cwd))
                .unwrap_or_else(|| PathBuf::from("/")),
            secure: auxv.as_deref().map(|auxv| is_secure(auxv, is_32_bit(&file))),
            ..Environment::default()
        };
        match read_bounded(&proc.join("environ")) {
            Some(environment) => {
                settings.library_path = variable(&environment, b"LD_LIBRARY_PATH=");
                settings.preload = variable(&environment, b"LD_PRELOAD=");
            }
            None => problems.push(format!(
                "the environment of process {pid} cannot be read: LD_LIBRARY_PATH is taken as unset"
            )),
        }
        if path.as_os_str().as_bytes().ends_with(b" (deleted)") {
            problems.push(
                "the file was deleted or replaced after the process started: a new start would \
                 take another"
                    .to_owned(),
            );
        }
        Ok(Target {
            root,
            root_shown: format!("/proc/{pid}/root"),
            pid: Some(pid),
            file,
            path,
            settings,
            problems,
        })
    }
}

fn not_found(path: &Path, dir: Option<&Path>, number: bool) -> anyhow::Error {
    let shown = quoted(path);
    if let Some(dir) = dir {
        let dir = quoted(dir);
        return match number {
            true => anyhow!("no such file in {dir}: {shown}; a PID goes without --root"),
            false => anyhow!("no such file in {dir}: {shown}"),
        };
    }
    // People type a command's name.
    let name = path.components().count() == 1 && !path.is_absolute();
    let found = name.then(|| super::script::in_path(path.as_os_str(), Path::is_file)).flatten();
    match found {
        Some(found) => anyhow!("no such file: {shown}; did you mean {}?", quoted(&found)),
        None => anyhow!("no such file: {shown}"),
    }
}

fn need_root(pid: u32) -> anyhow::Error {
    if nix::unistd::geteuid().is_root() {
        return anyhow!("root itself may not look at process {pid} on this system: give the program's PATH");
    }
    anyhow!(
        "no permission to look at process {pid}, which is another user's: run it with sudo, or \
         give the program's PATH"
    )
}

fn no_executable(pid: u32, proc: &Path, error: &std::io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::PermissionDenied {
        return need_root(pid);
    }
    let Some(stat) = read_bounded(&proc.join("stat")) else {
        return anyhow!(
            "no such process: {pid}, and no file of that name here (a number is a PID; ./{pid} is \
             always a file)"
        );
    };
    // The state follows the name, which may itself hold brackets.
    let after = memchr::memrchr(b')', &stat).and_then(|at| stat.get(at + 2));
    match after {
        Some(b'Z' | b'X') => anyhow!("process {pid} has ended: nothing of its program is left"),
        _ => anyhow!("process {pid} is a kernel thread: it has no program"),
    }
}

fn read_bounded(path: &Path) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_ENVIRONMENT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn variable(environment: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut variables = environment.split(|&b| b == 0);
    variables.find_map(|v| v.strip_prefix(name)).map(<[u8]>::to_vec)
}

/// The auxiliary vector, once there is one. While the kernel is still in the middle of an exec, the
/// new program can be seen in `/proc/PID/exe` but `environ` is empty: `create_elf_tables` in
/// fs/binfmt_elf.c comes last, and sets the bounds of both.
fn settled_auxv(proc: &Path) -> Option<Vec<u8>> {
    let path = proc.join("auxv");
    let deadline = Instant::now() + MAX_EXEC;
    loop {
        let auxv = read_bounded(&path)?;
        if auxv.iter().any(|&b| b != 0) || Instant::now() > deadline {
            return Some(auxv);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn is_32_bit(file: &File) -> bool {
    let mut start = [0; 5];
    let read = file.read_at(&mut start, 0);
    read.is_ok() && start == *b"\x7fELF\x01"
}

/// Looks for the key among pairs of words of the program's size.
fn is_secure(auxv: &[u8], is_32_bit: bool) -> bool {
    let word = |bytes: &[u8]| match bytes.try_into().map(u32::from_ne_bytes) {
        Ok(word) => Some(u64::from(word)),
        Err(_) => Some(u64::from_ne_bytes(bytes.try_into().ok()?)),
    };
    let size = if is_32_bit { 4 } else { 8 };
    auxv.chunks_exact(2 * size).any(|pair| {
        let (key, value) = pair.split_at(size);
        word(key) == Some(AT_SECURE) && word(value) != Some(0)
    })
}

/// A name as bytes, for those who compare with what a file says.
pub(super) fn os(bytes: &[u8]) -> &OsStr {
    OsStr::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_word_on_security_is_read_in_both_sizes() {
        let wide = |pairs: &[(u64, u64)]| -> Vec<u8> {
            let words = pairs.iter().flat_map(|(k, v)| [*k, *v]);
            words.flat_map(u64::to_ne_bytes).collect()
        };
        let narrow = |pairs: &[(u32, u32)]| -> Vec<u8> {
            let words = pairs.iter().flat_map(|(k, v)| [*k, *v]);
            words.flat_map(u32::to_ne_bytes).collect()
        };
        assert!(is_secure(&wide(&[(6, 4096), (23, 1), (0, 0)]), false));
        assert!(!is_secure(&wide(&[(6, 4096), (23, 0), (25, 7), (0, 0)]), false));
        assert!(is_secure(&narrow(&[(6, 4096), (23, 1), (0, 0)]), true));
        assert!(!is_secure(&narrow(&[(6, 4096), (23, 0), (25, 7), (0, 0)]), true));
        let own = settled_auxv(Path::new("/proc/self")).unwrap();
        assert!(own.len() > 64);
    }
}
