//! Where a row runs: this machine or another distribution's root; what is there, and the starters that are
//! built with what is there.

use super::roots::{self, Root, SHELF};
use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use xtask::table::Row;

/// This machine, or a root.
pub struct Place {
    /// `None`: this machine.
    pub root: Option<Root>,
    /// What is made for rows, as programs there see it.
    folder: PathBuf,
    built: Mutex<BTreeMap<String, PathBuf>>,
    /// CPython by version, as programs there see it.
    pub pythons: BTreeMap<(u32, u32), PathBuf>,
    /// The version that `python3` is.
    pub python3: Option<(u32, u32)>,
}

/// The languages that starters are built from, what builds them, and its package in a root.
const BUILDERS: &[(&str, &str, &str)] = &[
    ("c", "gcc", "gcc"),
    ("static", "gcc", "gcc"),
    ("musl", "musl-gcc", "musl-tools"),
    ("muslstatic", "musl-gcc", "musl-tools"),
    ("rust", "rustc", "rustc"),
    ("go", "go", "golang-go"),
    ("java", "javac", "default-jdk-headless"),
];

impl Place {
    /// This machine.
    pub fn host() -> Result<Self> {
        let folder = shell::target().join("corpus");
        fs::create_dir_all(folder.join("programs"))?;
        let mut place = Self::new(None, folder);
        place.find_pythons();
        Ok(place)
    }

    /// A release's root.
    pub fn in_root(root: Root) -> Result<Self> {
        for folder in ["programs", "files", "run"] {
            fs::create_dir_all(root.outside(Path::new(SHELF)).join(folder))?;
        }
        let mut place = Self::new(Some(root), SHELF.into());
        place.find_pythons();
        Ok(place)
    }

    fn new(root: Option<Root>, folder: PathBuf) -> Self {
        Self { root, folder, built: Mutex::default(), pythons: BTreeMap::new(), python3: None }
    }

    /// A command there.
    fn command(&self, program: &str) -> Command {
        match &self.root {
            Some(root) => root.command(program),
            None => Command::new(program),
        }
    }

    /// Where a path there lies for this machine.
    pub fn outside(&self, inside: &Path) -> PathBuf {
        self.root.as_ref().map_or_else(|| inside.to_owned(), |root| root.outside(inside))
    }

    /// Looks again: packages were installed.
    pub fn find_pythons(&mut self) {
        self.pythons.clear();
        let mut candidates: Vec<PathBuf> =
            ["python3", "python2.7", "/usr/bin/python3"].map(PathBuf::from).into();
        if self.root.is_some() {
            candidates.truncate(1);
            candidates.retain(|_| self.has("python3"));
        } else {
            candidates.extend((6..=20).map(|minor| PathBuf::from(format!("python3.{minor}"))));
            candidates.extend(pyenv());
        }
        for candidate in candidates {
            let Some((version, path)) = self.version_of(&candidate) else { continue };
            if candidate == Path::new("python3") {
                self.python3 = Some(version);
            }
            self.pythons.entry(version).or_insert(path);
        }
    }

    fn version_of(&self, python: &Path) -> Option<((u32, u32), PathBuf)> {
        let ask = "import platform, sys\n\
                   print('%s %d %d %s' % ((platform.python_implementation(),) + sys.version_info[:2] + (sys.executable,)))";
        let output = self.command(python.to_str()?).args(["-S", "-c", ask]).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut words = text.trim_end().splitn(4, ' ');
        let (kind, major, minor, path) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let path = match &self.root {
            Some(_) => PathBuf::from(path),
            // A wrapper may enter another root, whose paths mean nothing here.
            None => fs::canonicalize(path).ok()?,
        };
        (kind == "CPython").then_some(((major.parse().ok()?, minor.parse().ok()?), path))
    }

    /// Programs that the row needs there and that are missing.
    pub fn lacks(&self, row: &Row) -> Vec<String> {
        let text = || row.run.iter().chain(&row.script).chain(row.files.values()).chain(&row.shell);
        let builders = BUILDERS
            .iter()
            .filter(|(kind, ..)| text().any(|t| t.contains(&format!("{{{kind}:"))))
            .map(|(_, builder, _)| *builder);
        let python = (self.root.is_some() && row.python.is_some()).then_some("python3");
        let needs = row.needs.iter().map(String::as_str).chain(builders).chain(python);
        needs.filter(|need| !self.has(need)).map(str::to_owned).collect()
    }

    /// The packages that bring what the row lacks in a root.
    pub fn packages(&self, row: &Row) -> Vec<String> {
        let lacks = self.lacks(row);
        if lacks.is_empty() {
            return Vec::new();
        }
        let ours = BUILDERS.iter().map(|(_, builder, package)| (*builder, *package));
        let ours =
            ours.chain([("python3", "python3")]).filter(|(builder, _)| lacks.iter().any(|l| l == builder));
        row.apt.iter().cloned().chain(ours.map(|(_, package)| package.to_owned())).collect()
    }

    fn has(&self, need: &str) -> bool {
        match &self.root {
            Some(root) => root.has(need),
            None if need.contains('/') => Path::new(need).exists(),
            None => shell::which(need).is_some(),
        }
    }

    /// A starter that runs as it is, or one that is built unless that was done since its source changed.
    pub fn starter(&self, kind: &str, name: &str) -> Result<Option<PathBuf>> {
        let programs = shell::root().join("tests/programs");
        if kind == "file" && self.root.is_none() {
            return Ok(Some(programs.join(name)));
        }
        if kind != "file" && !BUILDERS.iter().any(|(have, ..)| *have == kind) {
            return Ok(None);
        }
        let mut built = self.built.lock().map_err(|_| anyhow::anyhow!("another row's build failed"))?;
        if let Some(path) = built.get(&format!("{kind}:{name}")) {
            return Ok(Some(path.clone()));
        }
        let path = if kind == "file" {
            self.bring(&programs.join(name))?
        } else {
            self.build(kind, name, &programs)?
        };
        built.insert(format!("{kind}:{name}"), path.clone());
        Ok(Some(path))
    }

    /// Copies a file of this machine's to where programs in the root see it.
    fn bring(&self, file: &Path) -> Result<PathBuf> {
        if self.root.is_none() {
            return Ok(file.to_owned());
        }
        let inside = self.folder.join("files").join(file.file_name().context("no name")?);
        let outside = self.outside(&inside);
        fs::copy(file, &outside).with_context(|| outside.display().to_string())?;
        Ok(inside)
    }

    fn build(&self, kind: &str, name: &str, programs: &Path) -> Result<PathBuf> {
        let extension = match kind {
            "rust" => "rs",
            "go" => "go",
            "java" => "java",
            _ => "c",
        };
        let source = programs.join(format!("{name}.{extension}"));
        let folder = self.folder.join("programs");
        let target =
            folder.join(if kind == "java" { format!("{name}.class") } else { format!("{kind}-{name}") });
        let header = programs.join("starter.h");
        if modified(&self.outside(&target)) <= modified(&source).max(modified(&header)) {
            self.bring(&header)?;
            self.compile(kind, &self.bring(&source)?, &target)?;
        }
        // Java is named by the folder of its classes.
        Ok(if kind == "java" { folder } else { target })
    }

    fn compile(&self, kind: &str, source: &Path, target: &Path) -> Result<()> {
        let c = ["-std=gnu11", "-O1", "-g", "-pthread"];
        let builder = BUILDERS.iter().find(|(have, ..)| *have == kind);
        let Some((_, builder, _)) = builder else { bail!("no compiler for {kind}") };
        let go = [
            "CGO_ENABLED=0",
            "GO111MODULE=off",
            "GOFLAGS=",
            "GOCACHE=/tmp/corpus-go-cache",
            builder,
            "build",
        ];
        let mut command = self.command(if kind == "go" && self.root.is_some() { "env" } else { builder });
        match kind {
            "musl" | "muslstatic" => {
                command.args((kind == "muslstatic").then_some("-static"));
                // The kernel's own headers lie beside the other libc's.
                command.args(c).args(["-idirafter", "/usr/include", "-idirafter"]);
                command.arg(format!("/usr/include/{}-linux-gnu", std::env::consts::ARCH));
            }
            "c" | "static" => {
                command.args(c).args((kind == "static").then_some("-static"));
            }
            "rust" => {
                command.args(["--edition", "2021", "-O"]);
            }
            "go" if self.root.is_some() => {
                command.args(go);
            }
            "go" => {
                command.arg("build");
                command.env("CGO_ENABLED", "0").env("GO111MODULE", "off").env("GOFLAGS", "");
            }
            _ => {
                command.arg("-d").arg(target.parent().context("no folder")?).arg(source);
                return self.made(&mut command);
            }
        }
        self.made(command.arg("-o").arg(target).arg(source))
    }

    fn made(&self, command: &mut Command) -> Result<()> {
        shell::plain_environment(command);
        match &self.root {
            Some(_) => roots::output(command).map(drop),
            None => shell::run(command),
        }
    }
}

fn pyenv() -> Vec<PathBuf> {
    let root = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".pyenv"));
    let mut all = Vec::new();
    for folder in [root, home].into_iter().flatten() {
        if let Ok(versions) = fs::read_dir(folder.join("versions")) {
            let mut found: Vec<PathBuf> = versions.flatten().map(|v| v.path().join("bin/python")).collect();
            found.sort();
            all.extend(found);
        }
    }
    all
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|info| info.modified()).ok()
}
