//! The skeleton of an ELF file: headers, segments, sections and dynamic entries.

use super::Error;
use super::source::Source;
use goblin::container::{Container, Ctx};
use goblin::elf::dynamic::{DT_NULL, DT_STRSZ, DT_STRTAB};
use goblin::elf::header::{Header, SELFMAG};
use goblin::elf::program_header::{PT_DYNAMIC, PT_LOAD};
use goblin::elf::section_header::{SHN_XINDEX, SHT_NOBITS};
use goblin::elf::{Dyn, Elf, ProgramHeader, SectionHeader};
use scroll::Pread;
use scroll::ctx::SizeWith;
use std::cell::OnceCell;
use std::fs::File;

/// The kernel's own limit for a program header table (`load_elf_phdrs` in fs/binfmt_elf.c).
const MAX_PHDRS_BYTES: u64 = 64 << 10;
/// Room for 16,384 entries; real programs have some 30.
const MAX_DYNAMIC_BYTES: u64 = 256 << 10;
/// All 65,279 sections that need no extended numbering.
const MAX_SECTIONS: u64 = 0xff00;
const MAX_SECTION_NAMES: u64 = 1 << 20;
/// Longest string that is read from a dynamic string table: search paths can be long.
pub(super) const MAX_STRING: u64 = 64 << 10;

/// One section, by name.
#[derive(Debug, Clone)]
pub(super) struct Section {
    pub(super) name: Vec<u8>,
    pub(super) header: SectionHeader,
}

/// An ELF file with its headers read.
pub(super) struct Image<'a> {
    pub(super) source: Source<'a>,
    pub(super) header: Header,
    pub(super) ctx: Ctx,
    pub(super) segments: Vec<ProgramHeader>,
    /// Dynamic entries up to `DT_NULL`.
    pub(super) dynamic: Vec<Dyn>,
    sections: OnceCell<Vec<Section>>,
}

impl<'a> Image<'a> {
    pub(super) fn read(file: &'a File) -> Result<Self, Error> {
        let source = Source::new(file)?;
        let start = source.read_up_to(0, 64);
        if start.len() < SELFMAG || !start.starts_with(goblin::elf::header::ELFMAG) {
            let first = start.get(..16).unwrap_or(&start);
            return Err(Error::NotElf { starts_with: first.escape_ascii().to_string() });
        }
        let size = match start.get(4) {
            Some(1) => 52,
            Some(2) => 64,
            Some(class) => {
                return Err(malformed(format!("class {class} is neither 32 nor 64 bit")));
            }
            None => return Err(truncated("it ends within its header")),
        };
        if start.len() < size {
            return Err(truncated("it ends within its header"));
        }
        if !matches!(start.get(5), Some(1 | 2)) {
            return Err(malformed("its byte order is neither little nor big".into()));
        }
        let header = Elf::parse_header(&start).map_err(|e| malformed(e.to_string()))?;
        let container = if size == 52 { Container::Little } else { Container::Big };
        let endian = header.endianness().map_err(|e| malformed(e.to_string()))?;
        let mut image = Image {
            source,
            header,
            ctx: Ctx::new(container, endian),
            segments: Vec::new(),
            dynamic: Vec::new(),
            sections: OnceCell::new(),
        };
        image.read_segments()?;
        image.read_dynamic();
        Ok(image)
    }

    fn read_segments(&mut self) -> Result<(), Error> {
        let count = u64::from(self.header.e_phnum);
        if count == 0 {
            return Ok(());
        }
        let size = ProgramHeader::size_with(&self.ctx) as u64;
        if u64::from(self.header.e_phentsize) != size {
            return Err(malformed(format!(
                "its program headers have {} bytes each instead of {size}",
                self.header.e_phentsize
            )));
        }
        let bytes = count * size;
        if bytes > MAX_PHDRS_BYTES {
            return Err(malformed(format!("{count} program headers are more than the kernel takes")));
        }
        let bytes = self.source.read(self.header.e_phoff, bytes).ok_or_else(|| {
            truncated(&format!(
                "its program headers are at byte {}, and it has {}",
                self.header.e_phoff,
                self.source.len()
            ))
        })?;
        self.segments = ProgramHeader::parse(&bytes, 0, count as usize, self.ctx)
            .map_err(|e| malformed(e.to_string()))?;
        Ok(())
    }

    fn read_dynamic(&mut self) {
        let Some(segment) = self.segments.iter().find(|s| s.p_type == PT_DYNAMIC) else {
            return;
        };
        // The loader goes by address; the file offset serves where no segment holds the address.
        let (offset, room) = self.locate(segment.p_vaddr).unwrap_or((segment.p_offset, segment.p_filesz));
        let bytes = self.source.read_up_to(offset, room.min(segment.p_filesz).min(MAX_DYNAMIC_BYTES));
        let mut at = 0;
        while let Ok(entry) = bytes.gread_with::<Dyn>(&mut at, self.ctx) {
            if entry.d_tag == DT_NULL {
                break;
            }
            self.dynamic.push(entry);
        }
    }

    /// The value of the last dynamic entry with this tag (the loader lets the last one win).
    pub(super) fn dynamic_value(&self, tag: u64) -> Option<u64> {
        let mut entries = self.dynamic.iter().rev();
        entries.find(|d| d.d_tag == tag).map(|d| d.d_val)
    }

    /// Where an address is in the file, and how many bytes of its segment follow there.
    pub(super) fn locate(&self, address: u64) -> Option<(u64, u64)> {
        self.segments.iter().filter(|s| s.p_type == PT_LOAD).find_map(|s| {
            let delta = address.checked_sub(s.p_vaddr)?;
            let room = s.p_filesz.checked_sub(delta).filter(|&r| r > 0)?;
            let offset = s.p_offset.checked_add(delta)?;
            let left = self.source.len().checked_sub(offset).filter(|&l| l > 0)?;
            Some((offset, room.min(left)))
        })
    }

    /// Exactly `len` bytes at an address.
    pub(super) fn read_address(&self, address: u64, len: u64) -> Option<Vec<u8>> {
        let (offset, room) = self.locate(address)?;
        (room >= len).then(|| self.source.read(offset, len))?
    }

    /// A string of the dynamic string table.
    pub(super) fn dynamic_string(&self, index: u64) -> Option<Vec<u8>> {
        if self.dynamic_value(DT_STRSZ).is_some_and(|size| index >= size) {
            return None;
        }
        let address = self.dynamic_value(DT_STRTAB)?.checked_add(index)?;
        let (offset, room) = self.locate(address)?;
        self.source.string(offset, room.min(MAX_STRING))
    }

    /// A word of the file's class at `offset` of `bytes`.
    pub(super) fn word(&self, bytes: &[u8], offset: usize) -> Option<u64> {
        if self.is_64() {
            bytes.pread_with::<u64>(offset, self.ctx.le).ok()
        } else {
            bytes.pread_with::<u32>(offset, self.ctx.le).ok().map(u64::from)
        }
    }

    pub(super) fn u32(&self, bytes: &[u8], offset: usize) -> Option<u32> {
        bytes.pread_with::<u32>(offset, self.ctx.le).ok()
    }

    pub(super) fn is_64(&self) -> bool {
        self.ctx.is_big()
    }

    pub(super) fn word_size(&self) -> usize {
        self.ctx.size()
    }

    /// All sections; empty where the file has none or its table cannot be read.
    pub(super) fn sections(&self) -> &[Section] {
        self.sections.get_or_init(|| self.read_sections())
    }

    pub(super) fn section(&self, name: &str) -> Option<&Section> {
        let mut sections = self.sections().iter();
        sections.find(|s| s.name == name.as_bytes())
    }

    /// The contents of a section, at most `max` bytes of it.
    pub(super) fn section_bytes(&self, name: &str, max: u64) -> Option<Vec<u8>> {
        let header = &self.section(name)?.header;
        (header.sh_type != SHT_NOBITS)
            .then(|| self.source.read_up_to(header.sh_offset, header.sh_size.min(max)))
    }

    fn read_sections(&self) -> Vec<Section> {
        self.try_read_sections().unwrap_or_default()
    }

    fn try_read_sections(&self) -> Option<Vec<Section>> {
        let size = SectionHeader::size_with(&self.ctx) as u64;
        let offset = self.header.e_shoff;
        if offset == 0 || u64::from(self.header.e_shentsize) != size {
            return None;
        }
        let first = self.headers_at(offset, 1)?.into_iter().next()?;
        let count = match u64::from(self.header.e_shnum) {
            0 => first.sh_size,
            n => n,
        };
        let names = match u32::from(self.header.e_shstrndx) {
            SHN_XINDEX => first.sh_link,
            n => n,
        };
        let headers = self.headers_at(offset, count.min(MAX_SECTIONS))?;
        let names = headers.get(names as usize)?;
        let names = self.source.read_up_to(names.sh_offset, names.sh_size.min(MAX_SECTION_NAMES));
        let sections = headers.into_iter().map(|header| {
            let rest = names.get(header.sh_name..).unwrap_or_default();
            // Every name that is asked for is short.
            let rest = rest.get(..64).unwrap_or(rest);
            let end = memchr::memchr(0, rest).unwrap_or(rest.len());
            let name = rest.get(..end).unwrap_or_default().to_vec();
            Section { name, header }
        });
        Some(sections.collect())
    }

    fn headers_at(&self, offset: u64, count: u64) -> Option<Vec<SectionHeader>> {
        let size = SectionHeader::size_with(&self.ctx) as u64;
        let bytes = self.source.read(offset, count.checked_mul(size)?)?;
        let mut at = 0;
        (0..count).map(|_| bytes.gread_with::<SectionHeader>(&mut at, self.ctx).ok()).collect()
    }
}

fn malformed(what: String) -> Error {
    Error::Malformed { what }
}

fn truncated(what: &str) -> Error {
    Error::Truncated { what: what.into() }
}
