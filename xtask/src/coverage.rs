//! `cargo xtask test --coverage`: which lines of the pure parts the tests without root go through. Measured by the
//! compiler's own counters (cargo-llvm-cov); lines of tests themselves do not count.

use crate::supply::rust_files;
use crate::{setup, shell};
use anyhow::{Context, Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Folders of src/ that know neither the kernel nor a terminal. What needs those is tested by privileged tests, in
/// processes of their own, and not measured here.
const PURE: [&str; 11] = [
    "compare", "diagnose", "elf", "event", "export", "method", "redact", "report", "scrub", "timeline",
    "trace",
];
/// What each of them has to reach, in percent of its lines.
const GOAL: f64 = 85.0;

/// Runs the named files of tests and those in src/, and adds up. What to say of it, and whether each part is at its goal.
pub fn measure(tests: &[String], prepare: impl FnOnce(&mut Command)) -> Result<(String, bool)> {
    setup::llvm_tools()?;
    let tool = shell::cargo_tool("cargo-llvm-cov")?;
    let list = shell::target().join("coverage.lcov");
    let mut command = Command::new(tool);
    command.args(["llvm-cov", "--package", "startrace", "--lib", "--bins"]);
    for name in tests {
        command.args(["--test", name]);
    }
    command.args(["--lcov", "--output-path"]).arg(&list);
    prepare(&mut command);
    shell::run(&mut command)?;
    let text = fs::read_to_string(&list).with_context(|| list.display().to_string())?;
    let files = files(&text, &shell::root())?;
    Ok(table(&files))
}

/// Lines that do something, and how many of them were reached.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Lines {
    all: usize,
    reached: usize,
}

impl Lines {
    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.reached += other.reached;
    }

    fn percent(self) -> f64 {
        100.0 * self.reached as f64 / self.all.max(1) as f64
    }
}

/// The pure parts' files, by their path below src/.
fn files(lcov: &str, root: &Path) -> Result<BTreeMap<String, Lines>> {
    let src = root.join("src");
    let mut of_tests = BTreeSet::new();
    let mut sources = Vec::new();
    rust_files(&src, &mut sources)?;
    for source in &sources {
        of_tests.extend(test_files(source, &fs::read_to_string(source)?));
    }
    let is_test = |file: &Path| file.ancestors().any(|path| of_tests.contains(path));
    let mut found = BTreeMap::new();
    for record in lcov.split("end_of_record") {
        let Some(file) = record.lines().find_map(|line| line.strip_prefix("SF:")).map(Path::new) else {
            continue;
        };
        let Ok(name) = file.strip_prefix(&src) else { continue };
        let part = name.components().next().map(|part| part.as_os_str().to_string_lossy().into_owned());
        if !part.is_some_and(|part| PURE.contains(&part.trim_end_matches(".rs"))) || is_test(file) {
            continue;
        }
        let source = fs::read_to_string(file).with_context(|| file.display().to_string())?;
        found.insert(name.to_string_lossy().into_owned(), lines(record, &source));
    }
    for part in PURE {
        if !found.keys().any(|name| in_part(name, part)) {
            bail!("no line of src/{part} was measured");
        }
    }
    Ok(found)
}

fn in_part(name: &str, part: &str) -> bool {
    name.strip_prefix(part).is_some_and(|rest| rest.starts_with('/') || rest == ".rs")
}

/// What a file's record says of its lines, without those of tests.
fn lines(record: &str, source: &str) -> Lines {
    let tests = test_lines(source);
    let mut counted = Lines::default();
    for line in record.lines().filter_map(|line| line.strip_prefix("DA:")) {
        let mut numbers = line.split(',').map(|number| number.parse::<usize>().ok());
        let (Some(Some(at)), Some(Some(times))) = (numbers.next(), numbers.next()) else { continue };
        if !tests.get(at - 1).copied().unwrap_or(false) {
            counted.add(Lines { all: 1, reached: usize::from(times > 0) });
        }
    }
    counted
}

/// For each line, whether it is part of something for tests only. rustfmt sees to it that an item ends with a brace
/// below its first letter.
fn test_lines(source: &str) -> Vec<bool> {
    let mut end: Option<String> = None;
    let mut marked = Vec::new();
    for line in source.lines() {
        if end.is_none() && line.trim_start() == "#[cfg(test)]" {
            let indent = line.len() - line.trim_start().len();
            end = Some(format!("{}}}", " ".repeat(indent)));
            marked.push(true);
            continue;
        }
        marked.push(end.is_some());
        if let Some(brace) = &end {
            let indent = brace.len() - 1;
            let single = line.ends_with(';') && line.len() - line.trim_start().len() == indent;
            if line == brace || single {
                end = None;
            }
        }
    }
    marked
}

/// The files and folders of modules that are for tests only.
fn test_files(file: &Path, source: &str) -> Vec<PathBuf> {
    let stem = file.file_stem().unwrap_or_default();
    let parent = file.parent().unwrap_or(Path::new(""));
    let folder =
        if stem == "mod" || stem == "lib" || stem == "main" { parent.to_owned() } else { parent.join(stem) };
    let lines: Vec<&str> = source.lines().map(str::trim).collect();
    let modules = lines.windows(2).filter(|two| two[0] == "#[cfg(test)]").filter_map(|two| {
        let item = two[1].strip_suffix(';')?;
        item.rsplit_once("mod ").map(|(_, name)| name.to_owned())
    });
    modules.flat_map(|name| [folder.join(format!("{name}.rs")), folder.join(name)]).collect()
}

/// A line for each part, and under it the files that keep it down.
fn table(files: &BTreeMap<String, Lines>) -> (String, bool) {
    let mut text = format!("{:32} {:>8} {:>8} {:>7}\n", "line coverage", "lines", "reached", "%");
    let mut row = |name: &str, lines: Lines| {
        let _ = writeln!(text, "{name:32} {:>8} {:>8} {:>7.1}", lines.all, lines.reached, lines.percent());
    };
    let (mut total, mut good) = (Lines::default(), true);
    for part in PURE {
        let of_part = || files.iter().filter(|(name, _)| in_part(name, part));
        let mut sum = Lines::default();
        of_part().for_each(|(_, lines)| sum.add(*lines));
        row(part, sum);
        for (name, lines) in of_part().filter(|(_, lines)| lines.all > 0 && lines.percent() < GOAL) {
            row(&format!("  {name}"), *lines);
        }
        total.add(sum);
        good &= sum.percent() >= GOAL;
    }
    row("all pure parts", total);
    let _ = write!(text, "each part's goal: {GOAL} %; files below it are named under their part");
    (text, good)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "fn a() {\n    b();\n}\n\n#[cfg(test)]\nfn c() {\n    d();\n}\n\n#[cfg(test)]\nuse e;\n\nfn f() {}\n\n\
                          #[cfg(test)]\nmod tests {\n    fn g() {\n    }\n}\n";

    #[test]
    fn lines_of_tests_do_not_count() {
        let record = "SF:x\nDA:1,4\nDA:2,0\nDA:6,9\nDA:7,9\nDA:13,1\nDA:17,5\nLF:6\n";
        assert_eq!(lines(record, SOURCE), Lines { all: 3, reached: 2 });
    }

    #[test]
    fn modules_of_tests_are_files_and_folders() {
        let source = "#[cfg(test)]\npub(crate) mod testing;\nmod other;\n#[cfg(test)]\nmod tests {\n}\n";
        let here = |name: &str| PathBuf::from("src/elf").join(name);
        assert_eq!(test_files(&here("mod.rs"), source), [here("testing.rs"), here("testing")]);
        assert_eq!(test_files(&here("a.rs"), source), [here("a/testing.rs"), here("a/testing")]);
    }

    #[test]
    fn a_part_below_its_goal_is_no_success() {
        let all = |reached| {
            PURE.map(|part| (format!("{part}/mod.rs"), Lines { all: 100, reached: 90 }))
                .into_iter()
                .chain([("elf/weak.rs".to_owned(), Lines { all: 100, reached })])
                .collect::<BTreeMap<_, _>>()
        };
        let (text, good) = table(&all(81));
        assert!(good && text.contains("  elf/weak.rs"), "{text}");
        assert!(!table(&all(10)).1);
    }

    #[test]
    fn what_was_not_measured_is_told_of() {
        let root = shell::root();
        let one = format!("SF:{}\nDA:1,1\nend_of_record\n", root.join("src/event/mod.rs").display());
        assert!(files(&one, &root).unwrap_err().to_string().contains("was measured"));
    }
}
