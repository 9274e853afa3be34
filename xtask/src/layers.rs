//! One direction of dependencies: which module of the program may not know which other.

use anyhow::{Context, Result, bail};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that are pure: they say the same of a trace on any machine and without rights.
const PURE: [&str; 15] = [
    "aside", "event", "timeline", "method", "diagnose", "elf", "trace", "report", "redact", "words",
    "compare", "export", "help", "scrub", "tui",
];

/// Besides: a module, and those that are above it.
const BELOW: [(&str, &[&str]); 4] = [
    ("words", &["diagnose", "report", "compare", "export", "tui", "help", "timeline"]),
    ("diagnose", &["report", "compare", "export", "tui", "help"]),
    ("report", &["compare", "export", "tui", "help"]),
    ("method", &["diagnose", "report", "compare", "export", "tui", "help"]),
];

/// Fails where a module names one that it may not know.
pub fn check() -> Result<()> {
    let mut found = Vec::new();
    for module in PURE {
        let mut may_not = vec!["probe", "command", "cli"];
        may_not.extend(BELOW.iter().filter(|(below, _)| *below == module).flat_map(|(_, above)| *above));
        let files = files(module)?;
        if files.is_empty() {
            bail!("src/{module} has no sources: xtask/src/layers.rs names what is not there");
        }
        for path in files {
            let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
            found.extend(
                names(&text, &may_not).map(|(line, name)| format!("{}:{line} names {name}", path.display())),
            );
        }
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("against the direction of dependencies (ARCHITECTURE.md): {}", found.join(", "))
}

/// The Rust files of a module.
fn files(module: &str) -> Result<Vec<PathBuf>> {
    let single = Path::new("src").join(module).with_extension("rs");
    let mut files: Vec<PathBuf> = single.exists().then_some(single).into_iter().collect();
    let mut folders = vec![Path::new("src").join(module)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                files.push(path);
            }
        }
    }
    Ok(files)
}

/// Lines, comments aside, that name one of these modules.
fn names<'t>(text: &'t str, modules: &'t [&str]) -> impl Iterator<Item = (usize, &'t str)> {
    let code = text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"));
    code.flat_map(move |(n, line)| {
        let named = line.split("crate::").skip(1).filter_map(|rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
            rest.get(..end)
        });
        named.filter(|name| modules.contains(name)).map(move |name| (n + 1, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_named_by_its_whole_name_and_in_code_only() {
        let text = "//! crate::probe\nuse crate::probes;\nuse crate::probe::load;\nlet x = crate::probe;\n// crate::probe\n";
        assert_eq!(names(text, &["probe"]).collect::<Vec<_>>(), [(3, "probe"), (4, "probe")]);
        assert_eq!(names("fn f() { crate::a::b(crate::c) }", &["c", "a"]).count(), 2);
    }

    #[test]
    fn the_program_keeps_the_direction() {
        std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).unwrap();
        check().unwrap();
    }
}
