//! What rows need: the places where they run, their packages, and the values that fill them in.

use super::place::Place;
use super::roots::{self, Root};
use crate::{setup, shell};
use anyhow::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use xtask::table::{HOST, RELEASES, Row};

/// Places, interpreters and packages, looked up once.
pub struct Kit {
    /// This machine and the roots that are there.
    places: BTreeMap<String, Place>,
    /// The roots that could not be made, and why.
    absent: BTreeMap<String, String>,
    /// Packages that could not be had in a root, by its name.
    refused: BTreeMap<String, Vec<String>>,
    /// PyPI's packages that are in this machine's virtual environment.
    pips: BTreeSet<String>,
}

impl Kit {
    /// What is there without installing anything.
    pub fn new() -> Result<Self> {
        let places = BTreeMap::from([(HOST.to_owned(), Place::host()?)]);
        let mut kit =
            Self { places, absent: BTreeMap::new(), refused: BTreeMap::new(), pips: BTreeSet::new() };
        for release in RELEASES {
            if let Some(root) = Root::find(release.name) {
                kit.places.insert(release.name.to_owned(), Place::in_root(root)?);
            }
        }
        kit.find_pips();
        Ok(kit)
    }

    /// The place of that name, or why there is none.
    pub fn place(&self, name: &str) -> Result<&Place, String> {
        self.places.get(name).ok_or_else(|| match self.absent.get(name) {
            Some(why) => format!("no root {name} could be made: {why}"),
            None => format!("there is no root {name} (--all makes it)"),
        })
    }

    fn venv() -> PathBuf {
        shell::target().join("corpus/venv")
    }

    fn find_pips(&mut self) {
        let pip = Self::venv().join("bin/pip");
        let Ok(output) = Command::new(pip).args(["list", "--format=freeze"]).output() else {
            return;
        };
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        self.pips = text.lines().filter_map(|l| Some(l.split_once("==")?.0.to_lowercase())).collect();
    }

    /// What a row lacks in a place, in words; `None` if it can run.
    pub fn lacks(&self, row: &Row, place: &str, tried: bool) -> Option<String> {
        let there = match self.place(place) {
            Ok(there) => there,
            Err(why) => return Some(why),
        };
        let mut lacks = there.lacks(row);
        lacks.extend(row.pip.iter().filter(|p| !self.pips.contains(*p)).map(|p| format!("{p} of PyPI")));
        if lacks.is_empty() {
            return None;
        }
        let refused = self.refused.get(place).map_or(String::new(), |all| {
            let packages = there.packages(row);
            let ours = all.iter().filter(|refused| packages.iter().any(|p| refused.starts_with(p.as_str())));
            ours.fold(String::new(), |text, why| format!("{text}; {why}"))
        });
        let hint = if tried { "" } else { " (--all installs it)" };
        Some(format!("there is no {}{hint}{refused}", lacks.join(" and no ")))
    }

    /// Makes the roots and installs what rows lack: Debian's packages, then PyPI's. What cannot be had is
    /// said, and its rows do not run.
    pub fn install(&mut self, rows: &[(&Row, &str)]) {
        let _quiet = NoServices::begin();
        let names: BTreeSet<&str> = rows.iter().map(|(_, place)| *place).collect();
        for name in names {
            let rows = rows.iter().filter(|(row, place)| *place == name && row.not_yet.is_none());
            let rows: Vec<&Row> = rows.map(|(row, _)| *row).collect();
            if name == HOST {
                self.install_here(&rows);
            } else if let Err(why) = self.install_in_root(name, &rows) {
                eprintln!("corpus: {name}: {why:#}");
                self.absent.insert(name.to_owned(), format!("{why:#}"));
            }
        }
    }

    fn install_in_root(&mut self, name: &str, rows: &[&Row]) -> Result<()> {
        if !self.places.contains_key(name) {
            self.places.insert(name.to_owned(), Place::in_root(roots::make(name)?)?);
        }
        let place = self.places.get_mut(name).context("no place")?;
        let packages: BTreeSet<String> = rows.iter().flat_map(|row| place.packages(row)).collect();
        if let (false, Some(root)) = (packages.is_empty(), &place.root) {
            eprintln!("corpus: {name}: installs {}", packages.iter().cloned().collect::<Vec<_>>().join(" "));
            let failed = root.install(&packages);
            for why in &failed {
                eprintln!("corpus: {name}: cannot be installed: {why}");
            }
            self.refused.insert(name.to_owned(), failed);
            place.find_pythons();
        }
        Ok(())
    }

    fn install_here(&mut self, rows: &[&Row]) {
        let mut packages = BTreeSet::new();
        let mut pips = BTreeSet::new();
        for row in rows.iter().filter(|row| self.lacks(row, HOST, true).is_some()) {
            packages.extend(row.apt.iter().cloned());
            pips.extend(row.pip.iter().filter(|pip| !self.pips.contains(*pip)).cloned());
        }
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
        let host = self.places.get(HOST).context("no host")?;
        let python = host.pythons.range((3, 9)..).next_back().context("no CPython from 3.9 on")?.1;
        let pip = Self::venv().join("bin/pip");
        if !pip.exists() {
            shell::run(Command::new(python).args(["-m", "venv"]).arg(Self::venv()))?;
        }
        let quiet = ["install", "--quiet", "--disable-pip-version-check"];
        shell::run(Command::new(pip).args(quiet).args(pips))
    }
}

/// What a row's texts are filled in with.
pub struct Filler<'k> {
    /// Where the row runs.
    pub place: &'k Place,
    /// `{dir}`, as programs there see it.
    pub dir: PathBuf,
    /// `{python}`.
    pub python: Option<&'k Path>,
}

impl Filler<'_> {
    /// Puts values in the place of `{...}`.
    pub fn fill(&self, text: &str) -> Result<String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('{') {
            let (before, from) = rest.split_at(at);
            out.push_str(before);
            let end = from.find('}').unwrap_or(from.len() - 1);
            let value = self.value(&from[1..end])?;
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

    fn value(&self, name: &str) -> Result<Option<String>> {
        let path = match name {
            "dir" => Some(self.dir.clone()),
            "venv" => Some(Kit::venv()),
            "python" => Some(self.python.context("the row names no version of Python")?.to_owned()),
            _ => match name.split_once(':') {
                Some((kind, file)) => self.place.starter(kind, file)?,
                None => None,
            },
        };
        Ok(path.map(|path| path.display().to_string()))
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
