//! What rows need on this machine: built starters, interpreters, packages.

use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use xtask::table::Row;

/// Starters, interpreters and packages, looked up once.
pub struct Kit {
    /// Where built starters go.
    folder: PathBuf,
    built: Mutex<BTreeMap<String, PathBuf>>,
    /// CPython by version.
    pub pythons: BTreeMap<(u32, u32), PathBuf>,
    /// The version that `python3` is.
    pub python3: Option<(u32, u32)>,
    /// PyPI's packages that are in the virtual environment.
    pips: BTreeSet<String>,
}

/// The languages that starters are built from, and what builds them.
const BUILDERS: &[(&str, &str)] = &[
    ("c", "gcc"),
    ("static", "gcc"),
    ("musl", "musl-gcc"),
    ("muslstatic", "musl-gcc"),
    ("rust", "rustc"),
    ("go", "go"),
    ("java", "javac"),
];

impl Kit {
    pub fn new() -> Result<Self> {
        let folder = shell::target().join("corpus");
        fs::create_dir_all(folder.join("programs"))?;
        let mut kit = Self {
            folder,
            built: Mutex::default(),
            pythons: BTreeMap::new(),
            python3: None,
            pips: BTreeSet::new(),
        };
        kit.find_pythons();
        kit.find_pips();
        Ok(kit)
    }

    fn find_pythons(&mut self) {
        let mut candidates: Vec<PathBuf> =
            ["python3", "python2.7", "/usr/bin/python3"].map(PathBuf::from).into();
        candidates.extend((6..=20).map(|minor| PathBuf::from(format!("python3.{minor}"))));
        let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
        for folder in [root, home].into_iter().flatten() {
            if let Ok(versions) = fs::read_dir(folder.join("versions")) {
                let mut found: Vec<PathBuf> =
                    versions.flatten().map(|v| v.path().join("bin/python")).collect();
                found.sort();
                candidates.extend(found);
            }
        }
        for candidate in candidates {
            let Some((version, path)) = version_of(&candidate) else { continue };
            if candidate == Path::new("python3") {
                self.python3 = Some(version);
            }
            self.pythons.entry(version).or_insert(path);
        }
    }

    fn venv(&self) -> PathBuf {
        self.folder.join("venv")
    }

    fn find_pips(&mut self) {
        let Ok(output) = Command::new(self.venv().join("bin/pip")).args(["list", "--format=freeze"]).output()
        else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        self.pips = text.lines().filter_map(|l| Some(l.split_once("==")?.0.to_lowercase())).collect();
    }

    /// What a row lacks here; empty if it can run.
    pub fn lacks(&self, row: &Row) -> Vec<String> {
        let text = || row.run.iter().chain(&row.script).chain(row.files.values()).chain(&row.shell);
        let builders = BUILDERS
            .iter()
            .filter(|(kind, _)| text().any(|t| t.contains(&format!("{{{kind}:"))))
            .map(|(_, builder)| *builder);
        let needs = row.needs.iter().map(String::as_str).chain(builders);
        let mut lacks: Vec<String> = needs.filter(|need| !is_there(need)).map(str::to_owned).collect();
        lacks.extend(row.pip.iter().filter(|p| !self.pips.contains(*p)).map(|p| format!("{p} of PyPI")));
        lacks
    }

    /// Installs what rows lack: Debian's packages, then PyPI's. What cannot be had is said, and its rows do not run.
    pub fn install(&mut self, rows: &[&Row]) {
        let mut packages = BTreeSet::new();
        let mut pips = BTreeSet::new();
        for row in rows.iter().filter(|row| row.not_yet.is_none() && !self.lacks(row).is_empty()) {
            packages.extend(row.apt.iter().cloned());
            pips.extend(row.pip.iter().filter(|pip| !self.pips.contains(*pip)).cloned());
        }
        let _quiet = NoServices::begin();
        for package in packages {
            if let Err(why) = setup::install_one(&package) {
                eprintln!("corpus: {package} cannot be installed: {why:#}");
            }
        }
        if !pips.is_empty()
            && let Err(why) = self.install_pips(&pips)
        {
            eprintln!("corpus: {why:#}");
        }
        self.find_pips();
    }

    fn install_pips(&self, pips: &BTreeSet<String>) -> Result<()> {
        let python = self.pythons.range((3, 9)..).next_back().context("no CPython from 3.9 on")?.1;
        if !self.venv().join("bin/pip").exists() {
            shell::run(Command::new(python).args(["-m", "venv"]).arg(self.venv()))?;
        }
        shell::run(
            Command::new(self.venv().join("bin/pip"))
                .args(["install", "--quiet", "--disable-pip-version-check"])
                .args(pips),
        )
    }

    /// Puts values in the place of `{...}`.
    pub fn fill(&self, text: &str, dir: &Path, python: Option<&Path>) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let end = from.find('}').unwrap_or(from.len() - 1);
            let value = self.value(&from[1..end], dir, python)?;
            match value {
                Some(value) => {
                    out.push_str(&value);
                    rest = &from[end + 1..];
                }
                // A brace of the script's own.
                None => {
                    out.push('{');
                    rest = &from[1..];
                }
            }
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value(&self, name: &str, dir: &Path, python: Option<&Path>) -> Result<Option<String>> {
        let path = match name {
            "dir" => dir.to_owned(),
            "venv" => self.venv(),
            "python" => python.context("the row names no version of Python")?.to_owned(),
            _ => match name.split_once(':') {
                Some(("file", file)) => shell::root().join("tests/programs").join(file),
                Some((kind, file)) if BUILDERS.iter().any(|(have, _)| *have == kind) => {
                    self.build(kind, file)?
                }
                _ => return Ok(None),
            },
        };
        Ok(Some(path.display().to_string()))
    }

    /// Builds a starter, unless that was done since its source changed.
    fn build(&self, kind: &str, name: &str) -> Result<PathBuf> {
        let mut built = self.built.lock().map_err(|_| anyhow::anyhow!("another row's build failed"))?;
        if let Some(path) = built.get(&format!("{kind}:{name}")) {
            return Ok(path.clone());
        }
        let programs = shell::root().join("tests/programs");
        let extension = match kind {
            "rust" => "rs",
            "go" => "go",
            "java" => "java",
            _ => "c",
        };
        let source = programs.join(format!("{name}.{extension}"));
        let target = self.folder.join("programs").join(if kind == "java" {
            format!("{name}.class")
        } else {
            format!("{kind}-{name}")
        });
        if modified(&target) <= modified(&source).max(modified(&programs.join("starter.h"))) {
            compile(kind, &source, &target)?;
        }
        // Java is named by the folder of its classes.
        let path = if kind == "java" { self.folder.join("programs") } else { target };
        built.insert(format!("{kind}:{name}"), path.clone());
        Ok(path)
    }
}

/// Packages of servers start them, on every address: not while this lives. (Debian's `policy-rc.d`:
/// 101 forbids.)
struct NoServices {
    ours: bool,
}

const POLICY: &str = "/usr/sbin/policy-rc.d";

impl NoServices {
    fn begin() -> Self {
        let write = format!("printf '#!/bin/sh\\nexit 101\\n' > {POLICY} && chmod 755 {POLICY}");
        let ours = !Path::new(POLICY).exists() && shell::succeeds(shell::as_root("sh").args(["-c", &write]));
        Self { ours }
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours && !shell::succeeds(shell::as_root("rm").arg(POLICY)) {
            eprintln!("corpus: {POLICY} stays: remove it, or no package will start its server");
        }
    }
}

fn compile(kind: &str, source: &Path, target: &Path) -> Result<()> {
    let c = ["-std=gnu11", "-O1", "-g", "-pthread"];
    let mut command;
    match kind {
        "musl" | "muslstatic" => {
            command = Command::new("musl-gcc");
            command.args((kind == "muslstatic").then_some("-static"));
            // The kernel's own headers lie beside the other libc's.
            command.args(c).args(["-idirafter", "/usr/include", "-idirafter"]);
            command.arg(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH));
        }
        "c" | "static" => {
            command = Command::new("gcc");
            command.args(c).args((kind == "static").then_some("-static"));
        }
        "rust" => {
            command = Command::new("rustc");
            command.args(["--edition", "2021", "-O"]);
        }
        "go" => {
            command = Command::new("go");
            command.arg("build");
            command.env("CGO_ENABLED", "0").env("GO111MODULE", "off").env("GOFLAGS", "");
        }
        "java" => {
            command = Command::new("javac");
            command.arg("-d").arg(target.parent().context("no folder")?).arg(source);
            shell::plain_environment(&mut command);
            return shell::run(&mut command);
        }
        other => bail!("no compiler for {other}"),
    }
    shell::plain_environment(&mut command);
    shell::run(command.arg("-o").arg(target).arg(source))
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|info| info.modified()).ok()
}

fn is_there(need: &str) -> bool {
    if need.contains('/') { Path::new(need).exists() } else { shell::which(need).is_some() }
}

fn version_of(python: &Path) -> Option<((u32, u32), PathBuf)> {
    let ask = "import platform, sys\n\
               print('%s %d %d %s' % ((platform.python_implementation(),) + sys.version_info[:2] + (sys.executable,)))";
    let output = Command::new(python).args(["-S", "-c", ask]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let mut words = text.trim_end().splitn(4, ' ');
    let (kind, major, minor, path) = (words.next()?, words.next()?, words.next()?, words.next()?);
    // A wrapper may enter another root, whose paths mean nothing here.
    let path = fs::canonicalize(path).ok()?;
    (kind == "CPython").then_some(((major.parse().ok()?, minor.parse().ok()?), path))
}

/// `3.8-3.12`, `3.13-`, `-3.9`, `2.7`.
pub fn in_range(range: &str, version: (u32, u32)) -> Result<bool> {
    let one = |text: &str| -> Result<(u32, u32)> {
        let (major, minor) = text.split_once('.').with_context(|| format!("{text:?} is no version"))?;
        Ok((major.parse()?, minor.parse()?))
    };
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    let low = if low.is_empty() { (3, 0) } else { one(low)? };
    let high = if high.is_empty() { (u32::MAX, 0) } else { one(high)? };
    Ok((low..=high).contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_versions() {
        for (range, version, expected) in [
            ("3.8-3.12", (3, 8), true),
            ("3.8-3.12", (3, 12), true),
            ("3.8-3.12", (3, 13), false),
            ("3.13-", (3, 14), true),
            ("3.13-", (3, 9), false),
            ("-3.9", (3, 9), true),
            ("-3.9", (2, 7), false),
            ("2.7", (2, 7), true),
            ("2.7", (3, 7), false),
        ] {
            assert_eq!(in_range(range, version).unwrap(), expected, "{range} {version:?}");
        }
        assert!(in_range("three", (3, 8)).is_err());
    }
}
