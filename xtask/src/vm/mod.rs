//! `cargo xtask vm`: other kernels than this machine's. Debian's cloud kernels are unpacked and started by qemu in
//! software, with nothing in memory but the program, busybox and starters; what they recorded is judged here.

mod guest;
mod image;
mod judge;
mod kernels;

use crate::{dist, setup, shell};
use anyhow::{Context, Result, bail};
use judge::Verdict;
use kernels::Kernel;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const USAGE: &str = "usage: cargo xtask vm [--all] [--dist] [--clang CLANG] [--kernel NAME] [--json FILE]";

/// What is asked for.
#[derive(Debug, Default)]
pub struct Options {
    /// Every kernel of the table, and both compilers.
    pub all: bool,
    /// The static release binary instead of the tests' build.
    pub dist: bool,
    /// Another compiler for the BPF programs.
    pub clang: Option<String>,
    /// Only this kernel.
    pub kernel: Option<String>,
    /// Where the figures go.
    pub json: Option<PathBuf>,
}

impl Options {
    fn parse(args: &[String]) -> Result<Self> {
        let mut options = Self::default();
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().cloned().with_context(|| format!("{arg} needs a value; {USAGE}"));
            match arg.as_str() {
                "--all" => options.all = true,
                "--dist" => options.dist = true,
                "--clang" => options.clang = Some(value()?),
                "--kernel" => options.kernel = Some(value()?),
                "--json" => options.json = Some(value()?.into()),
                other => bail!("no argument {other:?}; {USAGE}"),
            }
        }
        if options.dist && options.clang.is_some() {
            bail!("--dist or --clang, not both");
        }
        Ok(options)
    }
}

pub fn command(args: &[String]) -> Result<()> {
    let report = run(&Options::parse(args)?)?;
    println!("{report}");
    report.verdict()
}

/// What came of all kernels.
pub struct Report {
    verdicts: Vec<(String, Verdict)>,
    absent: Vec<String>,
}

/// Where all that this needs is kept.
fn folder() -> PathBuf {
    shell::target().join("vm")
}

/// Boots each kernel with each build.
pub fn run(options: &Options) -> Result<Report> {
    if !cfg!(target_arch = "x86_64") {
        bail!("the kernels of the table are for x86-64");
    }
    setup::ensure_for_vm()?;
    let wanted = |kernel: &&Kernel| match &options.kernel {
        Some(name) => kernel.name == name,
        None => kernel.usual || options.all,
    };
    let kernels: Vec<&Kernel> = kernels::TABLE.iter().filter(wanted).collect();
    if kernels.is_empty() {
        bail!("no such kernel; there are {}", kernels::TABLE.map(|kernel| kernel.name).join(", "));
    }
    let mut report = Report { verdicts: Vec::new(), absent: Vec::new() };
    for (build, binary) in builds(options)? {
        let image = image::make(&binary, &folder().join(format!("initramfs-{build}.gz")))?;
        for kernel in &kernels {
            let label = format!("{}, {build}", kernel.name);
            let found = match kernels::get(kernel) {
                // What is only in --all may have gone from the archive.
                Err(why) if !kernel.usual => {
                    report.absent.push(format!("{}: {why:#}", kernel.name));
                    continue;
                }
                found => found.with_context(|| label.clone())?,
            };
            let out = folder().join(format!("out-{}-{build}", kernel.name));
            let seconds = guest::boot(&found, &image, &out).with_context(|| label.clone())?;
            let verdict = judge::judge(&out, kernel, seconds).with_context(|| label.clone())?;
            eprintln!("vm: {label}: {}", verdict.summary());
            report.verdicts.push((label, verdict));
        }
    }
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_string_pretty(&report.json())?).context("--json")?;
    }
    Ok(report)
}

/// Executables to try, by the name of the build.
fn builds(options: &Options) -> Result<Vec<(String, PathBuf)>> {
    if options.dist {
        return Ok(vec![("dist".to_owned(), dist::binary()?)]);
    }
    if let Some(clang) = &options.clang {
        return Ok(vec![(clang.clone(), build(Some(clang))?)]);
    }
    let mut builds = vec![("dev".to_owned(), build(None)?)];
    if options.all {
        let newest = setup::newest_clang()?;
        let binary = build(Some(&newest))?;
        builds.push((newest, binary));
    }
    Ok(builds)
}

/// The tests' build; one by another compiler has a folder of its own, as it would throw away the tests' otherwise.
fn build(clang: Option<&str>) -> Result<PathBuf> {
    let mut cargo = shell::cargo();
    cargo.args(["build", "--package", "startrace"]);
    let Some(clang) = clang else {
        shell::run(&mut cargo)?;
        return Ok(shell::target().join("debug/startrace"));
    };
    let target = folder().join(clang.replace('/', "_"));
    shell::run(cargo.arg("--target-dir").arg(&target).env("BPF_CLANG", clang))?;
    Ok(target.join("debug/startrace"))
}

impl Report {
    /// An error if anything failed.
    pub fn verdict(&self) -> Result<()> {
        let failed: Vec<&str> =
            self.verdicts.iter().filter(|(_, v)| !v.failed().is_empty()).map(|(label, _)| &**label).collect();
        if !failed.is_empty() {
            bail!("kernels on which something failed: {}", failed.join("; "));
        }
        if self.verdicts.is_empty() {
            bail!("no kernel was tried");
        }
        Ok(())
    }

    /// In a line.
    pub fn summary(&self) -> String {
        let each: Vec<String> =
            self.verdicts.iter().map(|(label, verdict)| format!("{label}: {}", verdict.summary())).collect();
        format!("kernels: {}", each.join("; "))
    }

    fn json(&self) -> Value {
        let kernels: Vec<Value> = self
            .verdicts
            .iter()
            .map(|(label, verdict)| {
                let (kernel, build) = label.split_once(", ").unwrap_or((label, ""));
                let mut value = verdict.json();
                value["name"] = kernel.into();
                value["build"] = build.into();
                value
            })
            .collect();
        json!({ "kernels": kernels, "not_to_be_had": self.absent })
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (label, verdict) in &self.verdicts {
            writeln!(
                f,
                "{label}: Linux {}, {:.0} s: {}",
                verdict.release,
                verdict.seconds,
                verdict.summary()
            )?;
            for (name, recording) in &verdict.recordings {
                writeln!(f, "  {name}: {} programs; {}", recording.programs.len(), recording.provider)?;
            }
            for (check, why) in verdict.failed() {
                writeln!(f, "  FAILED {check}: {why}")?;
            }
        }
        for absent in &self.absent {
            writeln!(f, "not to be had: {absent}")?;
        }
        let mut all: BTreeMap<&str, Vec<Option<u64>>> = BTreeMap::new();
        let loading: Vec<_> = self.verdicts.iter().filter(|(_, v)| !v.recordings.is_empty()).collect();
        for (column, (_, verdict)) in loading.iter().enumerate() {
            for (name, count) in verdict.verified() {
                all.entry(name).or_insert_with(|| vec![None; loading.len()])[column] = Some(count);
            }
        }
        if all.is_empty() {
            return Ok(());
        }
        writeln!(f, "\ninstructions that the verifier followed:")?;
        write!(f, "{:24}", "program")?;
        for (label, _) in &loading {
            write!(f, " {label:>16}")?;
        }
        writeln!(f)?;
        for (name, counts) in all {
            write!(f, "{name:24}")?;
            for count in counts {
                write!(f, " {:>16}", count.map_or("-".to_owned(), |n| n.to_string()))?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}

/// A folder, emptied.
fn fresh(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            return Err(e).context(path.display().to_string());
        }
        _ => {}
    }
    fs::create_dir_all(path).with_context(|| path.display().to_string())
}
