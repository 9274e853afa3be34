//! The facts of one file.

use super::image::Image;
use super::{Error, misnamed, notes, runtime};
use crate::trace::schema::Binary;
use crate::trace::text;
use goblin::elf::dynamic::*;
use goblin::elf::header::{self, ET_CORE, ET_DYN, ET_EXEC, ET_REL};
use goblin::elf::program_header::{PT_INTERP, PT_LOAD};
use goblin::elf::section_header::{SHF_ALLOC, SHT_REL, SHT_RELA, SHT_SYMTAB};
use serde::{Deserialize, Serialize};
use std::fs::File;

/// `DT_RELRSZ` and `DT_RELR` of the generic ABI, which goblin does not name.
const DT_RELRSZ: u64 = 35;
const DT_RELR: u64 = 36;
/// `DF_1_NODEFLIB` and `DF_1_PIE`, as in glibc's `elf.h`.
const DF_1_NODEFLIB: u64 = 0x800;
const DF_1_PIE: u64 = 0x0800_0000;
/// The kernel refuses longer interpreter paths (`PATH_MAX`).
const MAX_INTERPRETER: u64 = 4096;
/// No real program needs nearly as many libraries directly.
const MAX_NEEDED: usize = 4096;
/// Enough for 120 million relocations: one word of the packed table stands for up to 63.
const MAX_RELR_BYTES: u64 = 16 << 20;

/// What kind of ELF file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A program at a fixed address.
    Executable,
    /// A position-independent program.
    PieExecutable,
    /// A shared library (the dynamic loader itself is one).
    SharedLibrary,
    /// An object file (`.o`, a kernel module).
    Relocatable,
    /// A core dump.
    Core,
    /// Something else.
    Other,
}

/// What an ELF file says about its start.
///
/// Strings of the file are kept losslessly, as in [`crate::trace::text`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Program, library, object or core.
    pub kind: Kind,
    /// 32 or 64.
    pub bits: u8,
    /// Machine as `uname -m` names it (`x86_64`, `aarch64` ...); `machine N` for those not known here.
    pub machine: String,
    /// The number of the machine (`e_machine`).
    pub machine_id: u16,
    /// Little or big endian.
    pub little_endian: bool,
    /// `dynamic`, `static` or `static-pie`; `null` for what is neither program nor library.
    pub linkage: Option<String>,
    /// The program interpreter (`PT_INTERP`), which the kernel starts instead of the program.
    pub interpreter: Option<String>,
    /// `glibc` or `musl`, from the interpreter, the needed libraries and symbol versions, or the
    /// marks of statically linked start-up code; `null` where nothing tells.
    pub libc: Option<String>,
    /// GNU build-id in hex.
    pub build_id: Option<String>,
    /// Libraries needed directly, in the file's order.
    pub needed: Vec<String>,
    /// A library's own name.
    pub soname: Option<String>,
    /// `DT_RPATH`, unexpanded. The loader ignores it where there is a `runpath`.
    pub rpath: Option<String>,
    /// `DT_RUNPATH`, unexpanded.
    pub runpath: Option<String>,
    /// The loader must not look in the cache's and its own system folders (`-z nodeflib`).
    pub no_default_folders: bool,
    /// Relocations that are processed at the start, packed relative ones counted singly, the
    /// PLT's included.
    pub relocations: u64,
    /// Of these, those of the PLT: resolved when first called, unless `bind_now`.
    pub plt_relocations: u64,
    /// All symbols are resolved at the start (`-z now`).
    pub bind_now: bool,
    /// Number of SDT (USDT) probes; [`super::probes`] lists them.
    pub probes: u64,
    /// Language runtime: `cpython 3.11` (`cpython` where the version cannot be told), `pypy 3.9`,
    /// `go 1.22`, `rust`, `jvm`, `node`, `ruby`, `perl`, `php`. A program that links just one
    /// interpreter's library without being the interpreter (as gdb does) has that one. `null` where
    /// none is seen.
    pub runtime: Option<String>,
    /// A program that starts others, as in [`Binary::program`].
    pub program: Option<String>,
    /// Its name is a program's that it cannot be, as in [`Binary::misnamed`].
    pub misnamed: Option<bool>,
    /// There is no symbol table besides the dynamic one; `null` where the file has no sections.
    pub stripped: Option<bool>,
    /// What is wrong with the file, in words; empty for a sound one.
    pub problems: Vec<String>,
}

impl Facts {
    /// The same as it stands in a trace.
    pub fn binary(&self) -> Binary {
        Binary {
            linkage: self.linkage.clone(),
            build_id: self.build_id.clone(),
            interpreter: self.interpreter.clone(),
            needed: u32::try_from(self.needed.len()).ok(),
            relocations: Some(self.relocations),
            runtime: self.runtime.clone(),
            program: self.program.clone(),
            misnamed: self.misnamed,
        }
    }
}

/// Reads the facts of an ELF file, from any position and without moving the file's own.
///
/// # Errors
/// [`Error::NotElf`] for anything else than ELF, [`Error::Truncated`] and [`Error::Malformed`] where
/// the headers are cut off or contradictory, [`Error::NotRegular`] and [`Error::Io`]. Damage behind
/// the headers is no error: what cannot be read is absent, and [`Facts::problems`] says so.
pub fn facts(file: &File) -> Result<Facts, Error> {
    facts_as(file, &misnamed::name_of(file))
}

/// The same of a file that is run under a name which may not be the one that it has here: it may have several (hard
/// links), another where it is mounted, and a new one by now.
///
/// # Errors
/// As [`facts`].
pub fn facts_as(file: &File, name: &str) -> Result<Facts, Error> {
    let image = Image::read(file)?;
    let interpreter = interpreter(&image);
    let dynamic = dynamic(&image);
    let notes = notes::read(&image);
    let kind = kind(&image, &interpreter, &dynamic);
    let linkage = linkage(kind, &image, &interpreter, &dynamic);
    let mut facts = Facts {
        kind,
        bits: if image.is_64() { 64 } else { 32 },
        machine: machine(image.header.e_machine),
        machine_id: image.header.e_machine,
        little_endian: image.ctx.is_little_endian(),
        linkage: linkage.map(str::to_owned),
        interpreter: interpreter.as_deref().map(text::encode),
        libc: None,
        build_id: notes.build_id.clone(),
        needed: dynamic.needed.iter().map(|n| text::encode(n)).collect(),
        soname: dynamic.soname.as_deref().map(text::encode),
        rpath: dynamic.rpath.as_deref().map(text::encode),
        runpath: dynamic.runpath.as_deref().map(text::encode),
        no_default_folders: dynamic.no_default_folders,
        relocations: dynamic.relocations,
        plt_relocations: dynamic.plt_relocations,
        bind_now: dynamic.bind_now,
        probes: notes::probe_count(&image),
        runtime: None,
        program: None,
        misnamed: None,
        stripped: stripped(&image),
        problems: problems(&image),
    };
    facts.libc = runtime::libc(&image, &facts, &notes).map(str::to_owned);
    if matches!(kind, Kind::Executable | Kind::PieExecutable | Kind::SharedLibrary) {
        facts.runtime = runtime::language(&image, &facts, &notes);
        facts.program = runtime::program(&image, &facts).map(str::to_owned);
        facts.misnamed = misnamed::misnamed(name, &image, &facts);
    }
    Ok(facts)
}

/// What the loader reads from the dynamic section.
#[derive(Debug, Default)]
pub(super) struct DynamicFacts {
    pub(super) needed: Vec<Vec<u8>>,
    pub(super) soname: Option<Vec<u8>>,
    pub(super) rpath: Option<Vec<u8>>,
    pub(super) runpath: Option<Vec<u8>>,
    pub(super) no_default_folders: bool,
    pub(super) bind_now: bool,
    pub(super) relocations: u64,
    pub(super) plt_relocations: u64,
    flags_1: u64,
}

pub(super) fn dynamic(image: &Image<'_>) -> DynamicFacts {
    let string = |tag| image.dynamic_string(image.dynamic_value(tag)?);
    let needed = image.dynamic.iter().filter(|d| d.d_tag == DT_NEEDED);
    let flags = image.dynamic_value(DT_FLAGS).unwrap_or(0);
    let flags_1 = image.dynamic_value(DT_FLAGS_1).unwrap_or(0);
    let (relocations, plt_relocations) = relocations(image);
    DynamicFacts {
        needed: needed.take(MAX_NEEDED).filter_map(|d| image.dynamic_string(d.d_val)).collect(),
        soname: string(DT_SONAME),
        rpath: string(DT_RPATH),
        runpath: string(DT_RUNPATH),
        no_default_folders: flags_1 & DF_1_NODEFLIB != 0,
        bind_now: flags & DF_BIND_NOW != 0
            || flags_1 & DF_1_NOW != 0
            || image.dynamic_value(DT_BIND_NOW).is_some(),
        relocations,
        plt_relocations,
        flags_1,
    }
}

fn interpreter(image: &Image<'_>) -> Option<Vec<u8>> {
    let mut segments = image.segments.iter();
    let segment = segments.find(|s| s.p_type == PT_INTERP)?;
    let size = segment.p_filesz.min(MAX_INTERPRETER);
    image.source.string(segment.p_offset, size)
}

fn kind(image: &Image<'_>, interpreter: &Option<Vec<u8>>, dynamic: &DynamicFacts) -> Kind {
    match image.header.e_type {
        ET_EXEC => Kind::Executable,
        ET_DYN => {
            // Only the flag is certain; before binutils 2.26 nobody set it. A library has a SONAME
            // or no interpreter (libc.so.6 has both: it can be run, to show its version).
            let starts = image.header.e_entry != 0;
            let plain = dynamic.soname.is_none();
            let program = dynamic.flags_1 & DF_1_PIE != 0
                || plain && interpreter.is_some()
                || plain && starts && dynamic.needed.is_empty() && !image.dynamic.is_empty();
            if program { Kind::PieExecutable } else { Kind::SharedLibrary }
        }
        ET_REL => Kind::Relocatable,
        ET_CORE => Kind::Core,
        _ => Kind::Other,
    }
}

fn linkage(
    kind: Kind,
    image: &Image<'_>,
    interpreter: &Option<Vec<u8>>,
    dynamic: &DynamicFacts,
) -> Option<&'static str> {
    match kind {
        Kind::Executable | Kind::PieExecutable if interpreter.is_some() => Some("dynamic"),
        // The kernel starts these directly, whatever they say they need.
        Kind::Executable => Some("static"),
        Kind::PieExecutable if dynamic.needed.is_empty() => Some("static-pie"),
        Kind::PieExecutable | Kind::SharedLibrary if !image.dynamic.is_empty() => Some("dynamic"),
        _ => None,
    }
}

/// All relocations, and those of the PLT.
fn relocations(image: &Image<'_>) -> (u64, u64) {
    let word = image.word_size() as u64;
    let (rela_size, rel_size) = (3 * word, 2 * word);
    if image.dynamic.is_empty() {
        // A static program's own start-up code processes these few (IRELATIVE).
        let sections = image.sections().iter().map(|s| &s.header);
        let loaded = sections.filter(|s| s.sh_flags & u64::from(SHF_ALLOC) != 0);
        let count = loaded.map(|s| match s.sh_type {
            SHT_RELA => s.sh_size.min(image.source.len()) / rela_size,
            SHT_REL => s.sh_size.min(image.source.len()) / rel_size,
            _ => 0,
        });
        return (count.fold(0, u64::saturating_add), 0);
    }
    // A size is believed as far as the file has bytes for it.
    let table = |address: u64, size: u64| -> Option<(u64, u64)> {
        let address = image.dynamic_value(address)?;
        let (_, room) = image.locate(address)?;
        Some((address, image.dynamic_value(size)?.min(room)))
    };
    let rela = table(DT_RELA, DT_RELASZ);
    let rel = table(DT_REL, DT_RELSZ);
    let plt = table(DT_JMPREL, DT_PLTRELSZ);
    let plt_entry = match image.dynamic_value(DT_PLTREL) {
        Some(kind) if kind == DT_REL => rel_size,
        _ => rela_size,
    };
    let plt_count = plt.map_or(0, |(_, size)| size / plt_entry);
    let count = |table: Option<(u64, u64)>, entry: u64| table.map_or(0, |(_, size)| size / entry);
    // Some linkers let the general table span the PLT's as well.
    let spans = |table: Option<(u64, u64)>| match (table, plt) {
        (Some((start, size)), Some((at, _))) => at >= start && at - start < size,
        _ => false,
    };
    let plt_beside = if spans(rela) || spans(rel) { 0 } else { plt_count };
    let total = count(rela, rela_size) + count(rel, rel_size) + plt_beside + relr(image);
    (total, plt_count)
}

/// Relative relocations in the packed form: an even word is an address and relocates it, an odd one
/// is a bitmap of the words that follow.
fn relr(image: &Image<'_>) -> u64 {
    let table = || {
        let (offset, room) = image.locate(image.dynamic_value(DT_RELR)?)?;
        let size = image.dynamic_value(DT_RELRSZ)?.min(room);
        Some(image.source.read_up_to(offset, size.min(MAX_RELR_BYTES)))
    };
    let bytes = table().unwrap_or_default();
    let words = bytes.chunks_exact(image.word_size());
    words
        .filter_map(|w| image.word(w, 0))
        .map(|w| match w & 1 {
            0 => 1,
            _ => u64::from((w >> 1).count_ones()),
        })
        .sum()
}

fn stripped(image: &Image<'_>) -> Option<bool> {
    let sections = image.sections();
    (!sections.is_empty()).then(|| !sections.iter().any(|s| s.header.sh_type == SHT_SYMTAB))
}

fn problems(image: &Image<'_>) -> Vec<String> {
    let len = image.source.len();
    let mut problems = Vec::new();
    let loads = image.segments.iter().filter(|s| s.p_type == PT_LOAD);
    let end = loads.map(|s| s.p_offset.saturating_add(s.p_filesz)).max();
    if let Some(end) = end.filter(|&end| end > len) {
        problems.push(format!("truncated: its segments need {end} bytes, the file has {len}"));
    }
    let table = u64::from(image.header.e_shnum) * u64::from(image.header.e_shentsize);
    if image.header.e_shoff.saturating_add(table) > len {
        problems.push(format!(
            "truncated: its sections are described at byte {}, the file has {len}",
            image.header.e_shoff
        ));
    }
    problems
}

fn machine(id: u16) -> String {
    let name = match id {
        header::EM_X86_64 => "x86_64",
        header::EM_386 => "i386",
        header::EM_AARCH64 => "aarch64",
        header::EM_ARM => "arm",
        header::EM_RISCV => "riscv",
        header::EM_PPC64 => "ppc64",
        header::EM_PPC => "ppc",
        header::EM_S390 => "s390x",
        header::EM_MIPS => "mips",
        header::EM_SPARCV9 => "sparc64",
        258 => "loongarch",
        _ => return format!("machine {id}"),
    };
    name.to_owned()
}
