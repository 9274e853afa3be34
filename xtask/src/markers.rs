//! Leftovers of a merge in the files that are kept: neither a compiler nor a formatter looks at text.

use anyhow::{Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Fails where a kept text file has a line that a merge leaves when it cannot decide.
pub fn check() -> Result<()> {
    let mut found = Vec::new();
    for path in kept(Path::new("."))? {
        // What is no text, or a link that leads nowhere, was not merged by lines.
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        found.extend(marked(&text).map(|line| format!("{}:{line}", path.display())));
    }
    if found.is_empty() {
        return Ok(());
    }
    bail!("conflict markers of a merge are left in: {}", found.join(", "))
}

/// The files that git keeps; all, where this is no repository (a source archive), but what is made from them.
fn kept(root: &Path) -> Result<Vec<PathBuf>> {
    let listed = Command::new("git").arg("-C").arg(root).args(["ls-files", "-z"]).output();
    if let Ok(output) = listed
        && output.status.success()
    {
        let names = String::from_utf8(output.stdout)?;
        return Ok(names.split('\0').filter(|name| !name.is_empty()).map(|name| root.join(name)).collect());
    }
    let mut files = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)? {
            let entry = entry?;
            let made = matches!(entry.file_name().to_str(), Some("target" | ".git"));
            match entry.file_type()? {
                kind if kind.is_dir() && !made => folders.push(entry.path()),
                kind if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    Ok(files)
}

/// Numbers of the lines that are markers.
fn marked(text: &str) -> impl Iterator<Item = usize> {
    let marker = |line: &str| {
        ['<', '|', '=', '>'].iter().any(|sign| {
            let rest = line.strip_prefix(sign.to_string().repeat(7).as_str());
            rest.is_some_and(|rest| rest.is_empty() || (rest.starts_with(' ') && *sign != '='))
        })
    };
    text.lines().enumerate().filter(move |(_, line)| marker(line)).map(|(at, _)| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_four_markers_are_found_and_nothing_else() {
        let line = |sign: &str, rest: &str| format!("{}{rest}", sign.repeat(7));
        let text = [
            line("<", " HEAD"),
            "ours".to_owned(),
            line("|", " base"),
            line("=", ""),
            "theirs".to_owned(),
            line(">", " branch"),
            line("=", "=="),
            line("=", " x"),
            format!(" {}", line("<", " HEAD")),
            line("<", "x"),
        ]
        .join("\n");
        assert_eq!(marked(&text).collect::<Vec<_>>(), [1, 3, 4, 6]);
    }

    #[test]
    fn a_marker_in_a_kept_file_is_named_and_none_is_in_ours() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let files = kept(root).unwrap();
        assert!(files.contains(&root.join("README.md")) && files.len() > 100, "{}", files.len());
        for path in files {
            if let Ok(text) = std::fs::read_to_string(&path) {
                assert_eq!(marked(&text).next(), None, "{}", path.display());
            }
        }
        let archive = std::env::temp_dir().join(format!("startrace-markers-{}", std::process::id()));
        std::fs::create_dir_all(archive.join("target")).unwrap();
        for name in ["a.md", "target/b.md"] {
            std::fs::write(archive.join(name), format!("x\n{} y\n", ">".repeat(7))).unwrap();
        }
        let files = kept(&archive).unwrap();
        std::fs::remove_dir_all(&archive).unwrap();
        assert_eq!(files, [archive.join("a.md")]);
    }
}
