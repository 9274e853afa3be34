//! Notes: build-id, the marks of libcs and of Go, and SDT (USDT) probes.

use super::Error;
use super::image::Image;
use crate::trace::text;
use goblin::elf::program_header::PT_NOTE;
use goblin::elf::section_header::SHT_NOTE;
use serde::{Deserialize, Serialize};
use std::fs::File;

/// More notes than this are not looked at: real files have below ten, apart from probes.
const MAX_NOTES: usize = 100_000;
const MAX_NOTE_BYTES: u64 = 4 << 20;
/// GNU build-ids have 16 or 20 bytes; the format has no limit.
const MAX_BUILD_ID: usize = 64;

const NT_GNU_ABI_TAG: u32 = 1;
const NT_GNU_BUILD_ID: u32 = 3;
const NT_GO_BUILD_ID: u32 = 4;
const NT_STAPSDT: u32 = 3;

/// What the notes of a file say.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) build_id: Option<String>,
    /// The note that glibc's start-up code (crt1.o) carries; musl's has none.
    pub(super) gnu_abi_tag: bool,
    /// The Go linker's build id.
    pub(super) go: bool,
}

/// A static probe (SDT, also called USDT) that the program offers to tracers.
///
/// Layout of the notes: the SystemTap wiki, "UserSpaceProbeImplementation".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// Who offers it, such as `python` or `libc`.
    pub provider: String,
    /// Its name, such as `gc__start`.
    pub name: String,
    /// Where its arguments are, in the notation of GNU assembler; empty for none.
    pub arguments: String,
    /// Address of the probe's instruction, as linked.
    pub address: u64,
    /// The same as an offset in the file, which is what a uprobe takes; `null` where no segment holds it.
    pub offset: Option<u64>,
    /// File offset of the counter that a tracer must raise for the probe to fire; `null` for none.
    pub semaphore_offset: Option<u64>,
}

struct Note<'b> {
    name: &'b [u8],
    kind: u32,
    payload: &'b [u8],
}

fn notes<'b>(image: &'b Image<'_>, bytes: &'b [u8], align: usize) -> impl Iterator<Item = Note<'b>> {
    // Padding is to 4 bytes except in segments that say 8 (.note.gnu.property).
    let align = if align == 8 { 8 } else { 4 };
    let mut at = 0;
    let next = move || {
        let name_len = image.u32(bytes, at)? as usize;
        let payload_len = image.u32(bytes, at + 4)? as usize;
        let kind = image.u32(bytes, at + 8)?;
        let name_at = at + 12;
        let name = bytes.get(name_at..name_at.checked_add(name_len)?)?;
        let payload_at = (name_at + name_len).checked_next_multiple_of(align)?;
        let payload_end = payload_at.checked_add(payload_len)?;
        let payload = bytes.get(payload_at..payload_end)?;
        at = payload_end.checked_next_multiple_of(align)?;
        Some(Note { name: name.strip_suffix(b"\0").unwrap_or(name), kind, payload })
    };
    std::iter::from_fn(next).take(MAX_NOTES)
}

pub(super) fn read(image: &Image<'_>) -> Notes {
    let mut found = Notes::default();
    let segments = image.segments.iter().filter(|s| s.p_type == PT_NOTE);
    for segment in segments.take(64) {
        let size = segment.p_filesz.min(MAX_NOTE_BYTES);
        let bytes = image.source.read_up_to(segment.p_offset, size);
        take(image, &bytes, segment.p_align as usize, &mut found);
    }
    // Relocatable objects and odd linkers have the section but no segment.
    if found.build_id.is_none()
        && let Some(bytes) = image.section_bytes(".note.gnu.build-id", 4096)
    {
        take(image, &bytes, 4, &mut found);
    }
    found
}

fn take(image: &Image<'_>, bytes: &[u8], align: usize, found: &mut Notes) {
    for note in notes(image, bytes, align) {
        match (note.name, note.kind) {
            (b"GNU", NT_GNU_BUILD_ID) if found.build_id.is_none() => {
                let id = note.payload.get(..MAX_BUILD_ID).unwrap_or(note.payload);
                if !id.is_empty() {
                    found.build_id = Some(id.iter().map(|b| format!("{b:02x}")).collect());
                }
            }
            (b"GNU", NT_GNU_ABI_TAG) => {
                // The first word is the system: 0 is Linux.
                found.gnu_abi_tag |= image.u32(note.payload, 0) == Some(0);
            }
            (b"Go" | b"Go\0" | b"Go\0\0", NT_GO_BUILD_ID) => found.go = true,
            _ => {}
        }
    }
}

fn stapsdt_bytes(image: &Image<'_>) -> Option<Vec<u8>> {
    let section = image.section(".note.stapsdt")?;
    (section.header.sh_type == SHT_NOTE).then(|| image.section_bytes(".note.stapsdt", MAX_NOTE_BYTES))?
}

/// How many SDT probes the file has.
pub(super) fn probe_count(image: &Image<'_>) -> u64 {
    stapsdt_bytes(image).map_or(0, |bytes| {
        let probes = notes(image, &bytes, 4);
        let probes = probes.filter(|n| n.name == b"stapsdt" && n.kind == NT_STAPSDT);
        probes.count() as u64
    })
}

/// All SDT probes of a file, in its order. A probe whose note does not parse is passed over.
///
/// # Errors
/// As for [`super::facts`].
pub fn probes(file: &File) -> Result<Vec<Probe>, Error> {
    let image = Image::read(file)?;
    let Some(bytes) = stapsdt_bytes(&image) else {
        return Ok(Vec::new());
    };
    let base = image.section(".stapsdt.base").map(|s| s.header.sh_addr).filter(|&a| a != 0);
    let probes = notes(&image, &bytes, 4)
        .filter(|n| n.name == b"stapsdt" && n.kind == NT_STAPSDT)
        .filter_map(|n| probe(&image, n.payload, base));
    Ok(probes.collect())
}

fn probe(image: &Image<'_>, payload: &[u8], base: Option<u64>) -> Option<Probe> {
    let word = image.word_size();
    let address = image.word(payload, 0)?;
    let linked_base = image.word(payload, word)?;
    let semaphore = image.word(payload, word * 2)?;
    // Tools that move sections after linking (prelink) leave the notes alone; the base tells by how much.
    let moved = base.map_or(0, |b| b.wrapping_sub(linked_base));
    let address = address.wrapping_add(moved);
    let mut strings = payload.get(word * 3..)?.split(|&b| b == 0);
    let mut string = || strings.next().map(text::encode);
    let provider = string()?;
    let name = string()?;
    let arguments = string().unwrap_or_default();
    let file_offset = |a: u64| image.locate(a).map(|(offset, _)| offset);
    Some(Probe {
        provider,
        name,
        arguments,
        address,
        offset: file_offset(address),
        semaphore_offset: (semaphore != 0).then(|| file_offset(semaphore.wrapping_add(moved))).flatten(),
    })
}
