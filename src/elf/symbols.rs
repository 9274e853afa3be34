//! Symbols by name, through the hash table that the loader uses: a few reads whatever the table's
//! size. (Node's dynamic symbol and string tables have 7 MB.)

use super::image::Image;
use goblin::elf::Sym;
use goblin::elf::dynamic::{DT_GNU_HASH, DT_HASH, DT_STRSZ, DT_STRTAB, DT_SYMTAB};
use goblin::elf::header::EM_S390;
use scroll::Pread;
use scroll::ctx::SizeWith;

/// What goblin does not name: DEC Alpha, as Linux numbers it.
const EM_ALPHA: u16 = 0x9026;
/// Longest hash chain that is followed; real chains have a handful of links.
const MAX_CHAIN: u64 = 4096;
/// Imports that are looked at: an interpreter's small launcher has ten, a program hundreds.
const MAX_IMPORTS: u64 = 16 << 10;
const MAX_STRINGS: u64 = 4 << 20;
/// Versions of one symbol; real ones have up to five.
const MAX_VERSIONS: usize = 64;

enum Hash {
    Gnu {
        first: u64,
        buckets: u64,
        bloom_words: u64,
        bloom_shift: u32,
        /// Address of the bloom filter; the buckets follow it, the chains follow them.
        bloom: u64,
    },
    SysV {
        buckets: u64,
        symbols: u64,
        table: u64,
    },
}

/// The dynamic symbols of a file.
pub(super) struct Symbols<'i, 'a> {
    image: &'i Image<'a>,
    hash: Hash,
    symtab: u64,
    strtab: u64,
}

impl<'i, 'a> Symbols<'i, 'a> {
    /// `None` where the file has no hashed symbols.
    pub(super) fn new(image: &'i Image<'a>) -> Option<Self> {
        let symtab = image.dynamic_value(DT_SYMTAB)?;
        let strtab = image.dynamic_value(DT_STRTAB)?;
        let hash = gnu(image).or_else(|| sysv(image))?;
        Some(Symbols { image, hash, symtab, strtab })
    }

    /// The symbol of that name that the file defines.
    pub(super) fn find(&self, name: &str) -> Option<Sym> {
        let mut found = None;
        self.search(name, &mut |symbol| {
            found = Some(symbol);
            false
        });
        found
    }

    /// The addresses of all symbols of that name: one for each version, unless two share one.
    pub(super) fn addresses(&self, name: &str) -> Vec<u64> {
        let mut found = Vec::new();
        self.search(name, &mut |symbol| {
            found.push(symbol.st_value);
            found.len() < MAX_VERSIONS
        });
        found.sort_unstable();
        found.dedup();
        found
    }

    /// Gives the symbols of that name to `each`, until it has enough.
    fn search(&self, name: &str, each: &mut dyn FnMut(Sym) -> bool) {
        let _ = match self.hash {
            Hash::Gnu { first, buckets, bloom_words, bloom_shift, bloom } => {
                self.search_gnu(name, first, buckets, (bloom_words, bloom_shift), bloom, each)
            }
            Hash::SysV { buckets, symbols, table } => self.search_sysv(name, buckets, symbols, table, each),
        };
    }

    pub(super) fn defines(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether the file imports (and does not define) any of these names.
    pub(super) fn imports_any(&self, names: &[&str]) -> bool {
        self.try_imports_any(names).unwrap_or(false)
    }

    fn try_imports_any(&self, names: &[&str]) -> Option<bool> {
        self.imports_each(&[names])
    }

    /// Whether the file imports at least one name of each group; `None` where its imports cannot be read.
    pub(super) fn imports_each(&self, groups: &[&[&str]]) -> Option<bool> {
        let mut missing: Vec<&[&str]> = groups.to_vec();
        // Imports are not hashed: with a GNU table they come first, with a SysV table anywhere.
        let count = match self.hash {
            Hash::Gnu { first, .. } => first,
            Hash::SysV { symbols, .. } => symbols,
        };
        let size = Sym::size_with(&self.image.ctx) as u64;
        let count = count.min(MAX_IMPORTS);
        let (offset, room) = self.image.locate(self.symtab)?;
        let bytes = self.image.source.read_up_to(offset, room.min(count * size));
        let (offset, room) = self.image.locate(self.strtab)?;
        let room = room.min(self.image.dynamic_value(DT_STRSZ).unwrap_or(room));
        let strings = self.image.source.read_up_to(offset, room.min(MAX_STRINGS));
        let mut at = 0;
        while let Ok(symbol) = bytes.gread_with::<Sym>(&mut at, self.image.ctx) {
            let Some(rest) = strings.get(symbol.st_name..) else {
                continue;
            };
            let is =
                |name: &&str| rest.strip_prefix(name.as_bytes()).is_some_and(|end| end.first() == Some(&0));
            if symbol.st_shndx == 0 {
                missing.retain(|names| !names.iter().any(is));
            }
            if missing.is_empty() {
                return Some(true);
            }
        }
        Some(false)
    }

    fn search_gnu(
        &self,
        name: &str,
        first: u64,
        buckets: u64,
        (bloom_words, bloom_shift): (u64, u32),
        bloom: u64,
        each: &mut dyn FnMut(Sym) -> bool,
    ) -> Option<()> {
        let image = self.image;
        let hash = goblin::elf64::gnu_hash::hash(name);
        let word_size = image.word_size() as u64;
        let bits = word_size * 8;
        let word = (u64::from(hash) / bits) % bloom_words;
        let word = image.read_address(bloom.checked_add(word * word_size)?, word_size)?;
        let word = image.word(&word, 0)?;
        let second = hash.checked_shr(bloom_shift).unwrap_or(0);
        let mask = (1 << (u64::from(hash) % bits)) | (1 << (u64::from(second) % bits));
        if word & mask != mask {
            return None;
        }
        let bucket_table = bloom.checked_add(bloom_words * word_size)?;
        let chains = bucket_table.checked_add(buckets * 4)?;
        let bucket = bucket_table.checked_add((u64::from(hash) % buckets) * 4)?;
        let begin = u64::from(image.u32(&image.read_address(bucket, 4)?, 0)?);
        for index in begin..begin + MAX_CHAIN {
            let link = chains.checked_add(index.checked_sub(first)?.checked_mul(4)?)?;
            let link = image.u32(&image.read_address(link, 4)?, 0)?;
            if link | 1 == hash | 1
                && let Some(symbol) = self.symbol_if_named(index, name)
                && !each(symbol)
            {
                break;
            }
            if link & 1 == 1 {
                break;
            }
        }
        Some(())
    }

    fn search_sysv(
        &self,
        name: &str,
        buckets: u64,
        symbols: u64,
        table: u64,
        each: &mut dyn FnMut(Sym) -> bool,
    ) -> Option<()> {
        let image = self.image;
        let entry = |n: u64| {
            let at = table.checked_add(8)?.checked_add(n.checked_mul(4)?)?;
            image.u32(&image.read_address(at, 4)?, 0).map(u64::from)
        };
        let mut index = entry(u64::from(sysv_hash(name)) % buckets)?;
        for _ in 0..MAX_CHAIN {
            if index == 0 || index >= symbols {
                break;
            }
            if let Some(symbol) = self.symbol_if_named(index, name)
                && !each(symbol)
            {
                break;
            }
            index = entry(buckets.checked_add(index)?)?;
        }
        Some(())
    }

    fn symbol_if_named(&self, index: u64, name: &str) -> Option<Sym> {
        let image = self.image;
        let size = Sym::size_with(&image.ctx) as u64;
        let at = self.symtab.checked_add(index.checked_mul(size)?)?;
        let symbol = image.read_address(at, size)?.pread_with::<Sym>(0, image.ctx).ok()?;
        let at = self.strtab.checked_add(symbol.st_name as u64)?;
        let found = image.read_address(at, name.len() as u64 + 1)?;
        let same = found.split_last() == Some((&0, name.as_bytes()));
        (same && symbol.st_shndx != 0).then_some(symbol)
    }
}

fn gnu(image: &Image<'_>) -> Option<Hash> {
    let table = image.dynamic_value(DT_GNU_HASH)?;
    let head = image.read_address(table, 16)?;
    let buckets = u64::from(image.u32(&head, 0)?);
    let first = u64::from(image.u32(&head, 4)?);
    let bloom_words = u64::from(image.u32(&head, 8)?);
    let bloom_shift = image.u32(&head, 12)?;
    (buckets > 0 && bloom_words > 0).then_some(Hash::Gnu {
        first,
        buckets,
        bloom_words,
        bloom_shift,
        bloom: table.checked_add(16)?,
    })
}

fn sysv(image: &Image<'_>) -> Option<Hash> {
    // These two have 64-bit entries in their 64-bit form.
    if image.is_64() && matches!(image.header.e_machine, EM_S390 | EM_ALPHA) {
        return None;
    }
    let table = image.dynamic_value(DT_HASH)?;
    let head = image.read_address(table, 8)?;
    let buckets = u64::from(image.u32(&head, 0)?);
    let symbols = u64::from(image.u32(&head, 4)?);
    (buckets > 0).then_some(Hash::SysV { buckets, symbols, table })
}

fn sysv_hash(name: &str) -> u32 {
    name.bytes().fold(0, |hash: u32, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}
