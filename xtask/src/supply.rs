//! `cargo xtask deny`: what we build on, and what of our own the compiler does not check.

use crate::shell;
use anyhow::{Context, Result, bail};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

pub fn command(args: &[String]) -> Result<()> {
    if !args.is_empty() {
        bail!("usage: cargo xtask deny");
    }
    println!("dependencies: {}", dependencies()?);
    println!("unsafe: {}", unsafe_code()?);
    locks()?;
    deny()
}

/// Every lock file is what its manifests ask for: a change of ours that leaves the other one behind would be told only
/// to whoever builds that with `--locked`.
fn locks() -> Result<()> {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut metadata = shell::cargo();
        metadata.args(["metadata", "--locked", "--format-version=1", "--manifest-path", manifest]);
        let output = metadata.output().with_context(|| shell::show(&metadata))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("{manifest}: cargo update --workspace --manifest-path {manifest} would help\n{said}");
        }
        println!("{manifest}: its lock file is as it asks for");
    }
    Ok(())
}

/// Licences, sources, duplicates and, where the database can be reached, advisories.
fn deny() -> Result<()> {
    let tool = shell::cargo_tool("cargo-deny")?;
    shell::run(Command::new(&tool).args(["check", "licenses", "bans", "sources"]))?;
    let mut advisories = Command::new(&tool);
    advisories.args(["check", "advisories"]);
    eprintln!("$ {}", shell::show(&advisories));
    let output = advisories.output().with_context(|| tool.display().to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    eprint!("{said}");
    if output.status.success() {
        println!("advisories: none");
    } else if is_unreachable(&said) {
        println!(
            "advisories: NOT CHECKED: the database (github.com/rustsec/advisory-db) cannot be reached from here"
        );
    } else {
        bail!("advisories: see above");
    }
    Ok(())
}

/// No advisory was looked at, as against one that was found.
fn is_unreachable(said: &str) -> bool {
    said.contains("failed to fetch advisory database") || said.contains("failed to load advisory database")
}

/// Every direct dependency has its reason in ARCHITECTURE.md, and no other has.
fn dependencies() -> Result<String> {
    let mut used = BTreeSet::new();
    for manifest in ["Cargo.toml", "xtask/Cargo.toml", "fuzz/Cargo.toml"] {
        let text = fs::read_to_string(manifest).context(manifest)?;
        let table: toml::Table = text.parse().context(manifest)?;
        for kind in ["dependencies", "build-dependencies", "dev-dependencies"] {
            let Some(list) = table.get(kind).and_then(toml::Value::as_table) else { continue };
            // Our own has no reason but us.
            used.extend(
                list.iter().filter(|(_, how)| how.get("path").is_none()).map(|(name, _)| name.clone()),
            );
        }
    }
    let text = fs::read_to_string("ARCHITECTURE.md").context("ARCHITECTURE.md")?;
    let reasons = reasons(&text);
    let without: Vec<&String> = used.difference(&reasons).collect();
    let gone: Vec<&String> = reasons.difference(&used).collect();
    if !without.is_empty() || !gone.is_empty() {
        bail!("ARCHITECTURE.md, Dependencies: without a reason: {without:?}; no longer used: {gone:?}");
    }
    Ok(format!("{} direct ones, each with its reason in ARCHITECTURE.md", used.len()))
}

/// The crates in the first column of the table of dependencies.
fn reasons(text: &str) -> BTreeSet<String> {
    let table = text.split_once("\n## Dependencies").map_or("", |(_, rest)| rest);
    let table = table.split("\n## ").next().unwrap_or("");
    let columns = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" |").next());
    let names = columns.flat_map(|column| column.split('`').skip(1).step_by(2));
    // `xtask`: whose it is.
    names.filter(|name| *name != "xtask").map(str::to_owned).collect()
}

/// Every use of `unsafe` says why it is sound.
fn unsafe_code() -> Result<String> {
    let mut files = vec![PathBuf::from("build.rs")];
    for folder in ["src", "build", "xtask/src", "tests", "benches", "fuzz"] {
        rust_files(Path::new(folder), &mut files)?;
    }
    let (mut blocks, mut others, mut silent) = (0, 0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        for found in uses(&text) {
            if found.block {
                blocks += 1
            } else {
                others += 1
            }
            if !found.reasoned {
                silent.push(format!("{}:{}", file.display(), found.line));
            }
        }
    }
    if !silent.is_empty() {
        bail!("unsafe without a SAFETY comment: {}", silent.join(", "));
    }
    Ok(format!("{blocks} blocks and {others} functions, traits and impls, each with its SAFETY comment"))
}

/// All of them below a folder.
pub fn rust_files(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            rust_files(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

struct Use {
    line: usize,
    block: bool,
    reasoned: bool,
}

/// How far above its `unsafe` a comment may begin, in lines: over a long one and the beginning of the statement.
const REACH: usize = 12;

fn uses(text: &str) -> Vec<Use> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.split("//").next().unwrap_or("");
        for (place, _) in code.match_indices("unsafe ") {
            let before = code.get(..place).unwrap_or("");
            let is_word =
                !before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '"' || c == '`');
            // In a string it is text.
            if !is_word || before.matches('"').count() % 2 == 1 {
                continue;
            }
            let block = code.get(place..).is_some_and(|rest| rest.starts_with("unsafe {"));
            let above = lines.get(at.saturating_sub(REACH)..at).unwrap_or(&[]);
            let reasoned = above.iter().any(|line| {
                let line = line.trim_start();
                line.starts_with("//") && (line.contains("SAFETY") || line.contains("# Safety"))
            });
            found.push(Use { line: at + 1, block, reasoned });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_root<T>(check: impl FnOnce() -> Result<T>) -> T {
        std::env::set_current_dir(shell::root()).unwrap();
        check().unwrap()
    }

    #[test]
    fn every_dependency_has_its_reason() {
        println!("{}", at_root(dependencies));
    }

    #[test]
    fn every_unsafe_has_its_reason() {
        println!("{}", at_root(unsafe_code));
    }

    #[test]
    fn the_table_is_read() {
        let text = "\n## Dependencies, each\n\n| crate | for |\n|---|---|\n| `a`, `b` | `no` |\n| `xtask`: `c` | x |\n\n## Next\n| `d` | |\n";
        assert_eq!(reasons(text), ["a", "b", "c"].map(str::to_owned).into());
    }

    #[test]
    fn unsafe_is_found_and_so_is_its_reason() {
        let with = "// SAFETY: takes numbers.\nlet x = unsafe { f() };\n";
        let without =
            "let s = \"unsafe { }\"; // unsafe { }\nlet x =\n    unsafe { f() };\nunsafe impl T for U {}\n";
        assert!(uses(with).iter().all(|found| found.block && found.reasoned));
        assert_eq!(uses(with).len(), 1);
        let found = uses(without);
        assert_eq!(
            found.iter().map(|found| (found.line, found.block)).collect::<Vec<_>>(),
            [(3, true), (4, false)]
        );
        assert!(found.iter().all(|found| !found.reasoned));
    }

    #[test]
    fn a_database_that_is_out_of_reach_is_not_an_advisory() {
        assert!(is_unreachable("[ERROR] failed to fetch advisory database https://..."));
        assert!(!is_unreachable("error[vulnerability]: something bad in x"));
    }
}
