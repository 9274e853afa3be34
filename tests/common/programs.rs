//! The starters in `tests/programs`: built when needed, found by name.

use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// Where the sources are.
pub const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/programs");

/// Path of a script among the starters.
pub fn script(name: &str) -> PathBuf {
    let path = Path::new(FOLDER).join(name);
    assert!(path.is_file(), "{} is not there", path.display());
    path
}

/// Runs a compiler.
pub fn compile(compiler: &str, args: &[&str]) {
    let output = Command::new(compiler)
        .args(args)
        .output()
        .unwrap_or_else(|why| panic!("{compiler}: {why}; `cargo xtask setup` installs it"));
    assert!(output.status.success(), "{compiler} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A folder for what a test builds, where nobody's rights matter.
pub struct Built {
    folder: tempfile::TempDir,
}

impl Built {
    /// An empty one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// Of what is or will be in it.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }
}

/// Path of the binary of a C starter, compiled first unless that was done since its source changed.
/// Tests run side by side in several processes, so the result is put in place by renaming it.
pub fn program(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let source = script(&format!("{name}.c"));
    // `target`, wherever it is; `target/tmp` is what cargo tells integration tests.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let folder = target.join("tests-programs");
    let binary = folder.join(name);
    let newest = modified(&source).max(modified(&script("starter.h")));
    if newest.is_some() && modified(&binary) > newest {
        return binary;
    }
    fs::create_dir_all(&folder).unwrap();
    let n = COUNT.fetch_add(1, Ordering::Relaxed);
    let part = folder.join(format!("{name}.{}-{n}", std::process::id()));
    let output = Command::new("gcc")
        .args(["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-o"])
        .args([&part, &source])
        .output()
        .expect("gcc does not start: `cargo xtask setup` installs it");
    assert!(
        output.status.success(),
        "gcc on {}:\n{}",
        source.display(),
        String::from_utf8_lossy(&output.stderr)
    );
    fs::rename(&part, &binary).unwrap();
    binary
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|info| info.modified()).ok()
}

/// The python3 of PATH as the real executable: what PATH names may be a version manager's script.
pub fn python() -> PathBuf {
    let found = executable_of(Path::new("python3"));
    found.expect("python3 does not start: `cargo xtask setup` installs it").1
}

/// Every CPython from 3.8 on that is installed here, as (`3.N`, executable), one a version: those of
/// PATH (`python3` and `python3.N`) and those of pyenv.
pub fn pythons() -> Vec<(String, PathBuf)> {
    let mut candidates: Vec<PathBuf> = vec!["python3".into()];
    candidates.extend((8..=20).map(|minor| format!("python3.{minor}").into()));
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    for folder in [root, home].into_iter().flatten() {
        if let Ok(versions) = fs::read_dir(folder.join("versions")) {
            candidates.extend(versions.flatten().map(|v| v.path().join("bin/python3")));
        }
    }
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for (version, path) in candidates.iter().filter_map(|c| executable_of(c)) {
        if !found.iter().any(|(have, _)| *have == version) {
            found.push((version, path));
        }
    }
    found.sort_by_key(|(version, _)| version[2..].parse::<u32>().unwrap_or(0));
    assert!(!found.is_empty(), "no CPython from 3.8 on: `cargo xtask setup` installs one");
    found
}

fn executable_of(python: &Path) -> Option<(String, PathBuf)> {
    let ask = "import platform, sys\n\
               print(platform.python_implementation(), *sys.version_info[:2], sys.executable)";
    let output = Command::new(python).args(["-S", "-c", ask]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.trim_end().splitn(4, ' ');
    let (kind, major, minor) = (words.next()?, words.next()?, words.next()?);
    let usable = kind == "CPython" && major == "3" && minor.parse::<u32>().ok()? >= 8;
    // A wrapper may enter another root, whose paths mean nothing here.
    let executable = PathBuf::from(words.next()?);
    let executable = if executable.is_file() { executable } else { python.to_owned() };
    usable.then_some((format!("3.{minor}"), executable))
}

/// The one line of JSON in a starter's output.
pub fn told(stdout: &str) -> Value {
    let mut lines = stdout.lines().filter(|line| line.starts_with('{'));
    let line = lines.next().unwrap_or_else(|| panic!("no JSON in {stdout:?}"));
    assert!(lines.next().is_none(), "more than one line of JSON in {stdout:?}");
    serde_json::from_str(line).unwrap_or_else(|why| panic!("{why} in {line:?}"))
}
