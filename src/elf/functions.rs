//! Functions by their place in a file, for profiles.

use super::Error;
use super::image::Image;
use goblin::elf::Sym;
use goblin::elf::program_header::PT_LOAD;
use goblin::elf::sym::{STT_FUNC, STT_GNU_IFUNC};
use scroll::Pread;
use std::fs::File;

/// Bytes of a symbol table, and of its names. Node's has 12 MB of both.
const MAX_BYTES: u64 = 24 << 20;
/// A mangled name can be longer, but no shorter one is told from it by what comes later.
const MAX_NAME: usize = 512;

/// The functions that a file names, by address.
#[derive(Debug, Default)]
pub struct Functions {
    /// Address, length (0: not known), and where the name is.
    all: Vec<(u64, u64, u32)>,
    names: Vec<u8>,
    /// Where each loaded segment is in the file, how long, and its address.
    segments: Vec<(u64, u64, u64)>,
}

impl Functions {
    /// Reads them: all of the file's, or where it is stripped those that it exports.
    ///
    /// # Errors
    /// As for [`super::facts`].
    pub fn read(file: &File) -> Result<Self, Error> {
        let image = Image::read(file)?;
        let loaded = image.segments.iter().filter(|segment| segment.p_type == PT_LOAD);
        let segments = loaded.map(|s| (s.p_offset, s.p_filesz, s.p_vaddr)).collect();
        let table = |symbols: &str, names: &str| {
            let symbols = image.section_bytes(symbols, MAX_BYTES).filter(|bytes| !bytes.is_empty())?;
            Some((symbols, image.section_bytes(names, MAX_BYTES)?))
        };
        let found = table(".symtab", ".strtab").or_else(|| table(".dynsym", ".dynstr"));
        let Some((symbols, names)) = found else { return Ok(Self { segments, ..Self::default() }) };
        let mut all = Vec::new();
        let mut at = 0;
        while let Ok(symbol) = symbols.gread_with::<Sym>(&mut at, image.ctx) {
            let is_function = matches!(symbol.st_type(), STT_FUNC | STT_GNU_IFUNC);
            if is_function && symbol.st_value != 0 && symbol.st_shndx != 0 {
                all.extend(u32::try_from(symbol.st_name).ok().map(|n| (symbol.st_value, symbol.st_size, n)));
            }
        }
        // Of several names of one function any will do, and the same one each time.
        all.sort_unstable();
        all.dedup_by_key(|function| function.0);
        Ok(Self { all, names, segments })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The function that an instruction belongs to, by its place in the file; as the file has the name, which
    /// C++ mangles.
    pub fn at(&self, offset: u64) -> Option<String> {
        let address = self.segments.iter().find_map(|(from, length, address)| {
            let delta = offset.checked_sub(*from).filter(|delta| delta < length)?;
            address.checked_add(delta)
        })?;
        let before = self.all.partition_point(|function| function.0 <= address).checked_sub(1)?;
        let (from, length, name) = self.all.get(before)?;
        if *length != 0 && address - from >= *length {
            return None;
        }
        let name = self.names.get(*name as usize..)?;
        let name = name.get(..MAX_NAME).unwrap_or(name);
        let name = name.split(|&b| b == 0).next().filter(|name| !name.is_empty())?;
        Some(plain(name))
    }
}

/// A name as the program has it, where Rust mangled it; without the hash, which changes with every compiler.
fn plain(name: &[u8]) -> String {
    let mangled = std::str::from_utf8(name).ok().and_then(|name| rustc_demangle::try_demangle(name).ok());
    match mangled {
        // What it says of generic types can be far longer than what it was.
        Some(name) => format!("{name:#}").chars().take(MAX_NAME).collect(),
        None => crate::trace::text::encode(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_are_plain_and_others_stay() {
        for (name, found) in [
            ("main", "main"),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            // C++ has no hash at the end.
            ("_ZNSt6vectorIiSaIiEE9push_backEOi", "_ZNSt6vectorIiSaIiEE9push_backEOi"),
            ("_ZN", "_ZN"),
            ("_R", "_R"),
        ] {
            assert_eq!(plain(name.as_bytes()), found);
        }
        assert_eq!(plain(b"_ZN\xff"), crate::trace::text::encode(b"_ZN\xff"));
    }

    #[test]
    fn a_function_of_this_program_is_found_at_its_place() {
        let file = File::open("/proc/self/exe").unwrap();
        let functions = Functions::read(&file).unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let here = Functions::read as fn(&File) -> Result<Functions, Error> as usize as u64;
        let offset = maps.lines().find_map(|line| {
            let mut words = line.split_whitespace();
            let (from, to) = words.next()?.split_once('-')?;
            let hex = |text| u64::from_str_radix(text, 16).ok();
            let from = hex(from)?;
            (from..hex(to)?).contains(&here).then_some(())?;
            Some(hex(words.nth(1)?)? + here - from)
        });
        let name = functions.at(offset.unwrap()).unwrap();
        // One of the compiler's manglings puts the type between brackets.
        assert_eq!(name.replace(['<', '>'], ""), "startrace::elf::functions::Functions::read");
        assert_eq!(functions.at(u64::MAX), None);
        assert!(functions.count() > 100);
        assert!(Functions::read(&File::open("/etc/passwd").unwrap()).is_err());
    }
}
