//! An inspection as text for people, at 80 columns.

use super::Inspection;
use crate::elf::resolve::{Found, Library};
use crate::elf::{Facts, Kind};
use crate::trace::text::sanitize;
use crate::words::count;
use std::collections::BTreeMap;
use std::io::{self, Write};

const WIDTH: usize = 80;
/// Where the values of the upper part begin.
const COLUMN: usize = 16;
/// Probes that are listed by name; `--json` has them all.
const MAX_PROBES: usize = 24;

pub(super) fn write(inspection: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    let facts = &inspection.facts;
    writeln!(out, "{}", sanitize(&inspection.path))?;
    if let Some(pid) = inspection.pid {
        row(out, "process", &format!("{pid}, with its environment and root"))?;
    } else if inspection.root != "/" {
        row(out, "below", &sanitize(&inspection.root))?;
    }
    for step in &inspection.scripts {
        let argument = step.argument.as_deref().map_or(String::new(), |a| format!(" {a}"));
        let said = match step.by.as_str() {
            "env" => {
                let rest: String = step.arguments.iter().map(|argument| format!(" {argument}")).collect();
                let runs = if rest.is_empty() { rest } else { format!(" and runs it with{rest}") };
                let name = step.command.as_deref().unwrap_or_default();
                match name.strip_suffix('\r') {
                    Some(bare) => format!("env would find {bare} in PATH as {}{runs}", step.interpreter),
                    None => format!("env finds {name} in PATH as {}{runs}", step.interpreter),
                }
            }
            _ => format!("{} says #!{}{argument}", step.path, step.interpreter),
        };
        row(out, "script", &sanitize(&said))?;
    }
    row(out, "file", &file(facts, inspection.size))?;
    if let Some(linkage) = &facts.linkage {
        let now = match (linkage.as_str(), facts.bind_now) {
            ("dynamic", true) => ", every symbol is looked up at the start",
            ("dynamic", false) => ", functions are looked up when first called",
            _ => "",
        };
        row(out, "linkage", &format!("{linkage}{now}"))?;
    }
    optional(out, "interpreter", &facts.interpreter)?;
    optional(out, "libc", &facts.libc)?;
    optional(out, "runtime", &facts.runtime)?;
    optional(out, "build-id", &facts.build_id)?;
    optional(out, "soname", &facts.soname)?;
    if facts.rpath.is_some() && facts.runpath.is_some() {
        row(out, "RPATH", "ignored, because there is a RUNPATH")?;
    } else {
        optional(out, "RPATH", &facts.rpath)?;
    }
    optional(out, "RUNPATH", &facts.runpath)?;
    let plt = match facts.plt_relocations {
        0 => String::new(),
        n => format!(", of these {} for functions", count(n)),
    };
    row(out, "relocations", &format!("{}{plt}", count(facts.relocations)))?;
    probes(inspection, out)?;
    libraries(inspection, out)?;
    for problem in facts.problems.iter().chain(&inspection.problems) {
        wrapped(out, "warning: ", 2, &sanitize(problem))?;
    }
    Ok(())
}

fn file(facts: &Facts, bytes: u64) -> String {
    let kind = match facts.kind {
        Kind::Executable => "program (no PIE)",
        Kind::PieExecutable => "program (PIE)",
        Kind::SharedLibrary => "shared library",
        Kind::Relocatable => "object file",
        Kind::Core => "core dump",
        Kind::Other => "ELF file of unknown kind",
    };
    let order = if facts.little_endian { "" } else { " big-endian" };
    let stripped = match facts.stripped {
        Some(true) => ", stripped",
        Some(false) => ", with symbols",
        None => "",
    };
    format!("{}-bit {}{order} {kind}{stripped}, {}", facts.bits, facts.machine, size(bytes))
}

fn probes(inspection: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    if inspection.probes.is_empty() {
        return row(out, "SDT probes", "none");
    }
    // A probe that the compiler inlined stands there once for each copy.
    let mut names: BTreeMap<String, u64> = BTreeMap::new();
    for probe in &inspection.probes {
        let name = format!("{}:{}", probe.provider, probe.name);
        *names.entry(sanitize(&name)).or_default() += 1;
    }
    let mut list = format!("{}:", count(inspection.probes.len() as u64));
    for (name, count) in names.iter().take(MAX_PROBES) {
        list.push(' ');
        list.push_str(name);
        if *count > 1 {
            list.push_str(&format!(" x{count}"));
        }
        list.push(',');
    }
    list.pop();
    if names.len() > MAX_PROBES {
        list.push_str(&format!(" and {} more names (--json lists them)", names.len() - MAX_PROBES));
    }
    row(out, "SDT probes", &list)
}

fn libraries(inspection: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    let totals = &inspection.totals;
    if inspection.libraries.is_empty() {
        return Ok(());
    }
    let missing = match totals.not_found {
        0 => String::new(),
        n => format!(", {n} NOT FOUND"),
    };
    let all = format!(
        "{} ({} needed directly){missing}, {}; {} relocations with the program's; {} failed tries \
         to find them",
        count(totals.libraries),
        inspection.facts.needed.len(),
        size(totals.library_bytes),
        count(totals.relocations),
        count(totals.failed_tries),
    );
    row(out, "libraries", &all)?;
    writeln!(out)?;
    writeln!(out, "  FOUND BY  TRIES    RELOCS      SIZE  LIBRARY")?;
    for library in &inspection.libraries {
        line(inspection, library, out)?;
    }
    writeln!(out)?;
    let env = Some(Found::LdLibraryPath);
    if inspection.libraries.iter().any(|l| l.found == env) {
        writeln!(out, "  env: found through LD_LIBRARY_PATH")?;
    }
    Ok(())
}

fn line(inspection: &Inspection, library: &Library, out: &mut dyn Write) -> io::Result<()> {
    let found = match library.found {
        Some(Found::LdLibraryPath) => "env",
        Some(Found::Interpreter) => "kernel",
        Some(Found::Direct) => "its path",
        Some(found) => found.name(),
        None if library.problem.is_some() => "UNUSABLE",
        None => "NOT FOUND",
    };
    let name = sanitize(library.path.as_ref().unwrap_or(&library.name));
    let head = format!(
        "  {found:<9}{:>6}{:>10}{:>10}  ",
        count(library.failed_tries),
        library.relocations.map_or(String::new(), count),
        library.size.map_or(String::new(), size),
    );
    let indent = head.chars().count();
    if indent + name.chars().count() <= WIDTH {
        writeln!(out, "{head}{name}")?;
    } else {
        writeln!(out, "{}", head.trim_end())?;
        wrapped(out, "", 6, &name)?;
    }
    if let Some(problem) = &library.problem {
        wrapped(out, "", 6, &sanitize(problem))?;
    }
    // Most are needed by the program itself: not worth a line.
    match library.needed_by.split_first() {
        Some((first, others)) if *first != inspection.path && library.found != Some(Found::Interpreter) => {
            let others = match others.len() {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            wrapped(out, "needed by ", 6, &format!("{}{others}", sanitize(first)))
        }
        _ => Ok(()),
    }
}

fn optional(out: &mut dyn Write, label: &str, value: &Option<String>) -> io::Result<()> {
    match value {
        Some(value) => row(out, label, &sanitize(value)),
        None => Ok(()),
    }
}

/// `  label         value`, the value's further lines below its first.
fn row(out: &mut dyn Write, label: &str, value: &str) -> io::Result<()> {
    let label = format!("{label:<width$}", width = COLUMN - 2);
    wrapped(out, &label, 2, value)
}

/// Text broken at blanks; a word that is longer than a line is broken anywhere (a copy of a path is
/// then mended by joining its lines).
fn wrapped(out: &mut dyn Write, label: &str, indent: usize, text: &str) -> io::Result<()> {
    let start = indent + label.chars().count();
    let room = WIDTH.saturating_sub(start).max(20);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split(' ') {
        let len = word.chars().count();
        if used > 0 && used + 1 + len > room {
            lines.push(std::mem::take(&mut line));
            used = 0;
        } else if used > 0 {
            line.push(' ');
            used += 1;
        }
        for c in word.chars() {
            if used == room {
                lines.push(std::mem::take(&mut line));
                used = 0;
            }
            line.push(c);
            used += 1;
        }
    }
    lines.push(line);
    for (i, line) in lines.iter().enumerate() {
        let lead = if i == 0 { label } else { "" };
        let pad = if i == 0 { indent } else { start };
        let line = format!("{:pad$}{lead}{line}", "");
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_sizes_read_well() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1_048_575), "1024.0 KiB");
        assert_eq!(size(3 << 20), "3.0 MiB");
    }

    #[test]
    fn no_line_is_longer_than_80() {
        let mut out = Vec::new();
        let text = format!("{} and some words {}", "x".repeat(200), "word ".repeat(40));
        row(&mut out, "label", &text).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.lines().count() > 5);
        assert!(out.lines().all(|l| l.chars().count() <= WIDTH), "{out}");
        let joined: String = out.split_whitespace().collect();
        let wanted: String = format!("label{text}").split_whitespace().collect();
        assert_eq!(joined, wanted);
    }
}
