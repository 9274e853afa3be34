//! `/etc/ld.so.cache`: the file that ldconfig writes and glibc's loader looks libraries up in.
//!
//! Format: `sysdeps/generic/dl-cache.h` of glibc. From 2.2 on the file holds (or is) a table with the
//! magic `glibc-ld.so.cache1.1`; until 2.31 it came after a table in an older format, which every
//! loader since then passes over, as this does.

use std::collections::HashMap;
use std::fmt;

/// Larger files are not read. A system with 3,000 libraries has 300 KiB.
pub const MAX_BYTES: u64 = 64 << 20;
/// More entries than this are refused.
const MAX_ENTRIES: usize = 1_000_000;
/// Longest name or path.
const MAX_STRING: usize = 4096;

const OLD_MAGIC: &[u8] = b"ld.so-1.7.0";
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
const HEADER: usize = 48;
const ENTRY: usize = 24;
const OLD_HEADER: usize = 16;
const OLD_ENTRY: usize = 12;
const EXTENSION_MAGIC: u32 = 0xeaa4_2174;
const TAG_HWCAPS: u32 = 1;
/// The upper half of an entry's `hwcap` that says: the lower half is an index of a name.
const HWCAP_NAMED: u64 = 1 << 30;
/// The low byte of an entry's flags for an ELF library of glibc 2, and for one of any libc.
const FLAG_LIBC6: u32 = 3;
const FLAG_ELF: u32 = 1;

/// A parsed cache.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    entries: Vec<Entry>,
    by_name: HashMap<Vec<u8>, Vec<usize>>,
}

/// One library of a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name that programs need it by, such as `libc.so.6`.
    pub name: Vec<u8>,
    /// Where it is.
    pub path: Vec<u8>,
    /// Kind of ELF file and ABI (`FLAG_*` in glibc's `ldconfig.h`).
    pub flags: u32,
    /// What the processor must have for it.
    pub needs: Needs,
}

/// What an entry of a cache asks of the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// A subdirectory of `glibc-hwcaps`, such as `x86-64-v3` (glibc 2.33 and later).
    Subdirectory(Vec<u8>),
    /// Bits whose meaning depends on the glibc version (before 2.37).
    Legacy(u64),
}

/// Why a file is no usable cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(&'static str);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a usable ld.so.cache: {}", self.0)
    }
}

impl std::error::Error for Invalid {}

impl Cache {
    /// Parses the contents of a cache file. Entries whose strings lie outside the file are passed over.
    ///
    /// # Errors
    /// Where the file is not a cache, is one of another byte order or format, or ends too early.
    pub fn parse(bytes: &[u8]) -> Result<Cache, Invalid> {
        let table = find_table(bytes)?;
        // A byte that is 2 for little and 3 for big endian since 2.33, and 0 before.
        let own = if cfg!(target_endian = "little") { 2 } else { 3 };
        match table.get(28).map(|b| b & 3) {
            Some(0) => {}
            Some(order) if order == own => {}
            _ => return Err(Invalid("it is in another byte order")),
        }
        let count = u32_at(table, 20).ok_or(Invalid("it ends within its header"))? as usize;
        let end = count
            .checked_mul(ENTRY)
            .and_then(|size| size.checked_add(HEADER))
            .filter(|&end| count <= MAX_ENTRIES && end <= table.len())
            .ok_or(Invalid("it counts more entries than it has"))?;
        let rows = table.get(HEADER..end).unwrap_or_default();
        let hwcaps = hwcap_names(table).unwrap_or_default();
        let mut cache = Cache::default();
        for row in rows.chunks_exact(ENTRY) {
            if let Some(entry) = entry(table, row, &hwcaps) {
                let index = cache.entries.len();
                let named = cache.by_name.entry(entry.name.clone()).or_default();
                named.push(index);
                cache.entries.push(entry);
            }
        }
        Ok(cache)
    }

    /// All entries, in the file's order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The path that the loader would take for `name`: of the entries for this ABI, the one for the
    /// best of `subdirectories` (the processor's, best first), else the first that asks for nothing.
    ///
    /// `abi` is what [`abi_flags`] says; `None` takes any, where the ABI's flags are not known. Entries
    /// with legacy bits are passed over: their meaning differs between glibc versions.
    pub fn find(&self, name: &[u8], abi: Option<u32>, subdirectories: &[&str]) -> Option<&Entry> {
        let entries = self.by_name.get(name)?.iter();
        let mut best: Option<(usize, &Entry)> = None;
        for entry in entries.filter_map(|&i| self.entries.get(i)) {
            let for_abi = match abi {
                Some(abi) => entry.flags == abi || entry.flags == FLAG_ELF,
                None => matches!(entry.flags & 0xff, FLAG_LIBC6 | FLAG_ELF),
            };
            let rank = match &entry.needs {
                Needs::Nothing => Some(subdirectories.len()),
                Needs::Subdirectory(sub) => {
                    subdirectories.iter().position(|s| s.as_bytes() == sub.as_slice())
                }
                Needs::Legacy(_) => None,
            };
            if let Some(rank) = rank.filter(|_| for_abi)
                && best.is_none_or(|(b, _)| rank < b)
            {
                best = Some((rank, entry));
            }
        }
        best.map(|(_, entry)| entry)
    }
}

/// The flags of cache entries for a machine (`FLAG_*` of glibc's `ldconfig.h`); `None` where several
/// ABIs share the machine or this is not known here.
pub fn abi_flags(machine: u16, bits: u8) -> Option<u32> {
    use goblin::elf::header::{EM_386, EM_AARCH64, EM_PPC64, EM_S390, EM_X86_64};
    let abi = match (machine, bits) {
        (EM_X86_64, 64) => 0x0300,
        (EM_X86_64, 32) => 0x0800,
        (EM_386, 32) => 0,
        (EM_AARCH64, 64) => 0x0a00,
        (EM_PPC64, 64) => 0x0500,
        (EM_S390, 64) => 0x0400,
        _ => return None,
    };
    Some(abi | FLAG_LIBC6)
}

/// The table of the newer format, from its magic to the end of the file.
fn find_table(bytes: &[u8]) -> Result<&[u8], Invalid> {
    let table = if bytes.starts_with(OLD_MAGIC) {
        let count = u32_at(bytes, 12).ok_or(Invalid("it ends within its header"))? as usize;
        let end = count
            .checked_mul(OLD_ENTRY)
            .and_then(|size| size.checked_add(OLD_HEADER))
            .and_then(|end| end.checked_next_multiple_of(8));
        end.and_then(|end| bytes.get(end..))
            .filter(|rest| rest.starts_with(MAGIC))
            .ok_or(Invalid("it has only the format of before glibc 2.2, which ldconfig can renew"))?
    } else {
        bytes
    };
    if !table.starts_with(MAGIC) {
        return Err(Invalid("it does not begin as one"));
    }
    if table.len() < HEADER {
        return Err(Invalid("it ends within its header"));
    }
    Ok(table)
}

fn entry(table: &[u8], row: &[u8], hwcaps: &[Vec<u8>]) -> Option<Entry> {
    let name = string_at(table, u32_at(row, 4)?)?;
    let path = string_at(table, u32_at(row, 8)?)?;
    if name.is_empty() || path.is_empty() {
        return None;
    }
    let hwcap = u64::from_ne_bytes(row.get(16..24)?.try_into().ok()?);
    let needs = if hwcap == 0 {
        Needs::Nothing
    } else if hwcap >> 32 == HWCAP_NAMED {
        Needs::Subdirectory(hwcaps.get(hwcap as u32 as usize)?.clone())
    } else {
        Needs::Legacy(hwcap)
    };
    Some(Entry { name: name.to_vec(), path: path.to_vec(), flags: u32_at(row, 0)?, needs })
}

/// The names of `glibc-hwcaps` subdirectories that entries refer to by index.
fn hwcap_names(table: &[u8]) -> Option<Vec<Vec<u8>>> {
    let at = u32_at(table, 32)? as usize;
    if at == 0 || u32_at(table, at)? != EXTENSION_MAGIC {
        return None;
    }
    let sections = u32_at(table, at.checked_add(4)?)?.min(64) as usize;
    for section in 0..sections {
        let row = at.checked_add(8 + section * 16)?;
        if u32_at(table, row)? == TAG_HWCAPS {
            let offset = u32_at(table, row.checked_add(8)?)? as usize;
            let size = u32_at(table, row.checked_add(12)?)? as usize;
            let names = table.get(offset..offset.checked_add(size)?)?;
            let names = names.chunks_exact(4).take(1024);
            return names.map(|n| string_at(table, u32_at(n, 0)?).map(<[u8]>::to_vec)).collect();
        }
    }
    None
}

fn string_at(table: &[u8], offset: u32) -> Option<&[u8]> {
    let rest = table.get(offset as usize..)?;
    let rest = rest.get(..MAX_STRING).unwrap_or(rest);
    rest.get(..memchr::memchr(0, rest)?)
}

fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let end = offset.checked_add(4)?;
    Some(u32::from_ne_bytes(bytes.get(offset..end)?.try_into().ok()?))
}

#[cfg(test)]
mod tests;
