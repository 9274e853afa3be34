//! The compiled BPF programs without what a load of them does not need.

use anyhow::Context;
use goblin::elf::section_header::{SHT_REL, SHT_SYMTAB};
use goblin::elf::{Elf, SectionHeader};
use std::collections::{BTreeMap, BTreeSet};

/// The object without what it says of lines and labels.
pub(crate) fn smaller(object: &[u8]) -> anyhow::Result<Vec<u8>> {
    without_labels(&without_lines(object)?)
}

/// The object without what it says of source lines: half of it, for the verifier's complaints alone, and passed to the
/// kernel with every program.
fn without_lines(object: &[u8]) -> anyhow::Result<Vec<u8>> {
    let (elf, mut sections) = sections(object)?;
    for (header, content) in &mut sections {
        match elf.shdr_strtab.get_at(header.sh_name) {
            Some(".BTF.ext") => *content = without_line_info(content).ok_or_else(cut)?,
            // Where the lines' numbers of instructions would be relocated; libbpf does not look at it.
            Some(".rel.BTF.ext") => content.clear(),
            _ => (),
        }
    }
    assembled(object, &sections)
}

/// The object without the labels of its basic blocks, nine of ten symbols: clang before 20 leaves them in, and
/// relocations refer to sections and functions.
fn without_labels(object: &[u8]) -> anyhow::Result<Vec<u8>> {
    const SYMBOL: usize = 24;
    const RELOCATION: usize = 16;
    let (elf, mut sections) = sections(object)?;
    let at = sections.iter().position(|(header, _)| header.sh_type == SHT_SYMTAB).context("no symbols")?;
    let names_at = sections[at].0.sh_link as usize;
    anyhow::ensure!(names_at == usize::from(elf.header.e_shstrndx), "sections have names of their own");
    let is_relocations = |header: &SectionHeader| header.sh_type == SHT_REL && header.sh_link as usize == at;
    let referred: BTreeSet<usize> = sections
        .iter()
        .filter(|(header, _)| is_relocations(header))
        .flat_map(|(_, content)| content.chunks_exact(RELOCATION))
        .map(|relocation| word_at(relocation, 12).map(|symbol| symbol as usize))
        .collect::<anyhow::Result<_>>()?;
    // Names anew, each once.
    let (mut names, mut places) = (vec![0], BTreeMap::from([(String::new(), 0)]));
    let mut name = |old: usize| -> anyhow::Result<u32> {
        let text = elf.strtab.get_at(old).context("a name is cut off")?;
        if let Some(&place) = places.get(text) {
            return Ok(place);
        }
        let place = u32::try_from(names.len())?;
        names.extend_from_slice(text.as_bytes());
        names.push(0);
        places.insert(text.to_owned(), place);
        Ok(place)
    };
    let (mut symbols, mut numbers) = (Vec::new(), BTreeMap::new());
    for (number, symbol) in sections[at].1.chunks_exact(SYMBOL).enumerate() {
        let old = word_at(symbol, 0)? as usize;
        let is_label = symbol[4] == 0 && elf.strtab.get_at(old).is_some_and(|name| name.starts_with("LBB"));
        if is_label && !referred.contains(&number) {
            continue;
        }
        numbers.insert(u32::try_from(number)?, u32::try_from(numbers.len())?);
        symbols.extend_from_slice(&name(old)?.to_ne_bytes());
        symbols.extend_from_slice(&symbol[4..]);
    }
    for (header, content) in &mut sections {
        header.sh_name = name(header.sh_name)? as usize;
        if is_relocations(header) {
            for relocation in content.chunks_exact_mut(RELOCATION) {
                let number = numbers.get(&word_at(relocation, 12)?).context("a relocation without symbol")?;
                relocation[12..].copy_from_slice(&number.to_ne_bytes());
            }
        }
    }
    sections[at].1 = symbols;
    sections[names_at].1 = names;
    assembled(object, &sections)
}

fn cut() -> anyhow::Error {
    anyhow::anyhow!("the compiled programs are cut off")
}

fn word_at(bytes: &[u8], at: usize) -> anyhow::Result<u32> {
    Ok(u32::from_ne_bytes(bytes.get(at..at + 4).ok_or_else(cut)?.try_into()?))
}

/// A section's header, and what is in it.
type Section = (SectionHeader, Vec<u8>);

/// The sections of an object.
fn sections(object: &[u8]) -> anyhow::Result<(Elf<'_>, Vec<Section>)> {
    let elf = Elf::parse(object)?;
    anyhow::ensure!(
        elf.is_64 && elf.program_headers.is_empty(),
        "the compiled programs are no 64-bit object"
    );
    let mut sections = Vec::new();
    for header in &elf.section_headers {
        let content = match header.file_range() {
            Some(range) => object.get(range).ok_or_else(cut)?.to_vec(),
            None => Vec::new(),
        };
        sections.push((header.clone(), content));
    }
    Ok((elf, sections))
}

/// The object with these in place of its sections.
fn assembled(object: &[u8], sections: &[Section]) -> anyhow::Result<Vec<u8>> {
    let mut out = object.get(..64).ok_or_else(cut)?.to_vec();
    let mut headers = Vec::new();
    for (section, content) in sections {
        out.resize(out.len().next_multiple_of(8), 0);
        let size = if section.file_range().is_some() { content.len() as u64 } else { section.sh_size };
        for word in [u32::try_from(section.sh_name)?, section.sh_type] {
            headers.extend_from_slice(&word.to_ne_bytes());
        }
        for word in [section.sh_flags, section.sh_addr, out.len() as u64, size] {
            headers.extend_from_slice(&word.to_ne_bytes());
        }
        for word in [section.sh_link, section.sh_info] {
            headers.extend_from_slice(&word.to_ne_bytes());
        }
        for word in [section.sh_addralign, section.sh_entsize] {
            headers.extend_from_slice(&word.to_ne_bytes());
        }
        out.extend_from_slice(content);
    }
    out.resize(out.len().next_multiple_of(8), 0);
    let at = out.len() as u64;
    // e_shoff
    out.get_mut(40..48).ok_or_else(cut)?.copy_from_slice(&at.to_ne_bytes());
    out.extend_from_slice(&headers);
    Ok(out)
}

/// `struct btf_ext_header` and its parts: functions, lines, relocations.
fn without_line_info(section: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u32::from_ne_bytes(section.get(at..at + 4)?.try_into().ok()?));
    let header = word(4)? as usize;
    let part = |offset: usize| {
        let (from, length) = (header + word(offset)? as usize, word(offset + 4)? as usize);
        section.get(from..from + length)
    };
    let (functions, relocations) = (part(8)?, part(24)?);
    let mut out = section.get(..header)?.to_vec();
    let lengths = [0, functions.len(), functions.len(), 0, functions.len(), relocations.len()];
    for (place, length) in out.get_mut(8..32)?.chunks_exact_mut(4).zip(lengths) {
        place.copy_from_slice(&u32::try_from(length).ok()?.to_ne_bytes());
    }
    out.extend_from_slice(functions);
    out.extend_from_slice(relocations);
    Some(out)
}
