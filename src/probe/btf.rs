//! The kernel's type information (BTF), as far as a load needs it, without parsing all of it.
//!
//! libbpf looks for each type that the programs name among all types of the kernel, one pass over some
//! 150,000 of them for each: 40 ms of a recording's start. So it gets those that it will find, and what
//! these consist of; [`reduce`] copies them out in one pass. Layout: include/uapi/linux/btf.h.
//!
//! The build script reads the programs' own type information by this file as well.

#![allow(unreachable_pub, reason = "a module of probe here, one of the root in the build script")]

use std::collections::{BTreeSet, HashMap};

const PTR: u32 = 2;
const ARRAY: u32 = 3;
const STRUCT: u32 = 4;
const UNION: u32 = 5;
const ENUM: u32 = 6;
const ENUM64: u32 = 19;

/// The two sections of a BTF blob.
#[derive(Clone, Copy)]
pub struct Sections<'a> {
    types: &'a [u8],
    /// Texts, each ended by a NUL.
    pub strings: &'a [u8],
}

/// One type: what all have in common, and where the rest of it is.
#[derive(Clone, Copy)]
pub struct Type<'a> {
    /// Where its name begins among the strings; 0 for none.
    pub name: u32,
    /// `BTF_KIND_*`.
    pub kind: u32,
    info: u32,
    /// Its size, or the type it refers to.
    size_or_type: u32,
    rest: &'a [u8],
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

impl<'a> Sections<'a> {
    /// By the header (`struct btf_header`); `None` for what is no BTF.
    pub fn of(btf: &'a [u8]) -> Option<Self> {
        let field = |at| word(btf, at).map(|value| value as usize);
        let header = field(4)?;
        let section = |offset: usize, len: usize| {
            let begin = header.checked_add(field(offset)?)?;
            btf.get(begin..begin.checked_add(field(len)?)?)
        };
        Some(Self { types: section(8, 12)?, strings: section(16, 20)? })
    }

    /// The type that begins at this byte of the types.
    fn at(&self, at: usize) -> Option<Type<'a>> {
        let info = word(self.types, at + 4)?;
        let (kind, members) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        // What follows the 12 bytes that every type has.
        let more = match kind {
            1 | 14 | 17 => 4, // INT, VAR, DECL_TAG
            ARRAY => 12,
            STRUCT | UNION => 12 * members,
            ENUM | 13 => 8 * members,    // and FUNC_PROTO
            15 | ENUM64 => 12 * members, // and DATASEC
            _ => 0,
        };
        Some(Type {
            name: word(self.types, at)?,
            kind,
            info,
            size_or_type: word(self.types, at + 8)?,
            rest: self.types.get(at + 12..at.checked_add(12 + more)?)?,
        })
    }

    /// All types in their order, which is their number, from 1.
    pub fn types(self) -> impl Iterator<Item = Type<'a>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let found = self.at(at)?;
            at += 12 + found.rest.len();
            Some(found)
        })
    }

    /// The text that begins at this byte of the strings.
    pub fn text(&self, name: u32) -> Option<&'a [u8]> {
        let rest = self.strings.get(name as usize..)?;
        rest.get(..rest.iter().position(|byte| *byte == 0)?)
    }
}

/// A name without its flavour: `task_struct___old` is one more look at `task_struct`.
fn essential(name: &str) -> &str {
    name.split_once("___").map_or(name, |(before, _)| before)
}

/// Names of all structs, unions and enums, without flavours.
#[allow(dead_code, reason = "for the build script")]
pub fn named(btf: Sections<'_>) -> BTreeSet<String> {
    btf.types()
        .filter(|found| matches!(found.kind, STRUCT | UNION | ENUM | ENUM64) && found.name != 0)
        .filter_map(|found| btf.text(found.name))
        .filter_map(|name| std::str::from_utf8(name).ok())
        .map(|name| essential(name).to_owned())
        .collect()
}

/// Names of the members of this struct.
#[allow(dead_code, reason = "for the build script")]
pub fn members(btf: Sections<'_>, name: &str) -> Vec<String> {
    btf.types()
        .find(|found| found.kind == STRUCT && btf.text(found.name) == Some(name.as_bytes()))
        .into_iter()
        .flat_map(|found| found.rest.chunks_exact(12))
        .filter_map(|member| String::from_utf8(btf.text(word(member, 0)?)?.to_vec()).ok())
        .collect()
}

/// A part of a BTF blob.
pub struct Reduced {
    /// The part, a BTF blob itself.
    pub blob: Vec<u8>,
    /// Numbers of the structs that were asked for, in the whole.
    pub ids: HashMap<String, u32>,
}

/// Types on their way into another blob.
struct Copier<'a> {
    from: Sections<'a>,
    /// Where each type of the whole begins.
    begins: Vec<u32>,
    /// Numbers in the whole, in the order of those in the part, from 1.
    order: Vec<u32>,
    numbers: HashMap<u32, u32>,
    strings: Vec<u8>,
    texts: HashMap<u32, u32>,
    types: Vec<u8>,
}

impl Copier<'_> {
    /// A type's number in the part.
    fn number(&mut self, id: u32) -> u32 {
        if id == 0 {
            return 0;
        }
        *self.numbers.entry(id).or_insert_with(|| {
            self.order.push(id);
            self.order.len() as u32
        })
    }

    fn text(&mut self, name: u32) -> Option<u32> {
        if name == 0 {
            return Some(0);
        }
        if let Some(known) = self.texts.get(&name) {
            return Some(*known);
        }
        let at = self.strings.len() as u32;
        self.strings.extend_from_slice(self.from.text(name)?);
        self.strings.push(0);
        self.texts.insert(name, at);
        Some(at)
    }

    fn put(&mut self, word: u32) {
        self.types.extend_from_slice(&word.to_ne_bytes());
    }

    fn copy(&mut self, id: u32) -> Option<()> {
        let begin = *self.begins.get(id as usize - 1)?;
        let found = self.from.at(begin as usize)?;
        let name = self.text(found.name)?;
        self.put(name);
        self.put(found.info);
        let size_or_type = match found.kind {
            // What a pointer points to does not matter to where it lies.
            PTR => 0,
            // TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, TYPE_TAG: the type that they stand for.
            8..=12 | 18 => self.number(found.size_or_type),
            _ => found.size_or_type,
        };
        self.put(size_or_type);
        match found.kind {
            ARRAY => {
                let (of, index, count) = (word(found.rest, 0)?, word(found.rest, 4)?, word(found.rest, 8)?);
                let (of, index) = (self.number(of), self.number(index));
                self.put(of);
                self.put(index);
                self.put(count);
            }
            STRUCT | UNION => {
                for member in found.rest.chunks_exact(12) {
                    let name = self.text(word(member, 0)?)?;
                    let of = self.number(word(member, 4)?);
                    self.put(name);
                    self.put(of);
                    self.put(word(member, 8)?);
                }
            }
            ENUM | ENUM64 => {
                let size = if found.kind == ENUM { 8 } else { 12 };
                for value in found.rest.chunks_exact(size) {
                    let name = self.text(word(value, 0)?)?;
                    self.put(name);
                    self.types.extend_from_slice(value.get(4..)?);
                }
            }
            _ => self.types.extend_from_slice(found.rest),
        }
        Some(())
    }
}

/// The structs, unions and enums of these names, with all that they consist of; `None` for what is no BTF.
pub fn reduce(whole: &[u8], names: &[&str]) -> Option<Reduced> {
    let from = Sections::of(whole)?;
    let wanted: HashMap<&[u8], &str> = names.iter().map(|name| (name.as_bytes(), *name)).collect();
    // Most names need no look-up.
    let longest = names.iter().map(|name| name.len()).max()?;
    let mut copier = Copier {
        from,
        begins: Vec::new(),
        order: Vec::new(),
        numbers: HashMap::new(),
        strings: vec![0],
        texts: HashMap::new(),
        types: Vec::new(),
    };
    let mut ids = HashMap::new();
    let mut at = 0_usize;
    while let Some(found) = from.at(at) {
        copier.begins.push(u32::try_from(at).ok()?);
        at += 12 + found.rest.len();
        if found.name == 0 || !matches!(found.kind, STRUCT | UNION | ENUM | ENUM64) {
            continue;
        }
        let text = from.strings.get(found.name as usize..)?;
        let text = text.get(..=longest).unwrap_or(text);
        let Some(end) = text.iter().position(|byte| *byte == 0) else { continue };
        if let Some(name) = text.get(..end).and_then(|text| wanted.get(text)) {
            let id = u32::try_from(copier.begins.len()).ok()?;
            copier.number(id);
            if found.kind == STRUCT {
                ids.entry((*name).to_owned()).or_insert(id);
            }
        }
    }
    let mut next = 0;
    while let Some(id) = copier.order.get(next).copied() {
        copier.copy(id)?;
        next += 1;
    }
    let mut blob = Vec::with_capacity(24 + copier.types.len() + copier.strings.len());
    blob.extend_from_slice(&0xeb9f_u16.to_ne_bytes());
    blob.extend_from_slice(&[1, 0]);
    let (types, strings) = (copier.types.len() as u32, copier.strings.len() as u32);
    for field in [24, 0, types, types, strings] {
        blob.extend_from_slice(&field.to_ne_bytes());
    }
    blob.extend_from_slice(&copier.types);
    blob.extend_from_slice(&copier.strings);
    Some(Reduced { blob, ids })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn blob(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut out = vec![0_u8; 4];
        for word in [24, 0, types.len(), types.len(), strings.len()] {
            out.extend_from_slice(&(word as u32).to_ne_bytes());
        }
        out.extend_from_slice(&types);
        out.extend_from_slice(strings);
        out
    }

    /// 1: int "i"; 2: struct "far" { i }; 3: pointer to far; 4: array of 3 i; 5: typedef "t" of far;
    /// 6: struct "near" { p: pointer; a: array; t: typedef }; 7: struct "other" { i }.
    fn whole() -> Vec<u8> {
        let mut types = vec![1, 1 << 24, 4, 32];
        types.extend([3, 4 << 24 | 1, 4, 1, 1, 0]);
        types.extend([0, 2 << 24, 2]);
        types.extend([0, 3 << 24, 0, 1, 1, 3]);
        types.extend([7, 8 << 24, 2]);
        types.extend([9, 4 << 24 | 3, 24, 14, 3, 0, 16, 4, 64, 7, 5, 160]);
        types.extend([18, 4 << 24 | 1, 4, 1, 1, 0]);
        blob(&types, b"\0i\0far\0t\0near\0p\0a\0other\0")
    }

    #[test]
    fn a_part_has_what_it_consists_of_and_no_more() {
        let whole = whole();
        let reduced = reduce(&whole, &["near", "absent"]).unwrap();
        assert_eq!(reduced.ids.get("near"), Some(&6));
        assert_eq!(reduced.ids.len(), 1);
        let part = Sections::of(&reduced.blob).unwrap();
        let names: Vec<_> = part.types().map(|found| (found.kind, part.text(found.name).unwrap())).collect();
        // The struct, then what its members are: far by value through the typedef; not what p points to.
        assert_eq!(names, [(4, &b"near"[..]), (2, b""), (3, b""), (8, b"t"), (1, b"i"), (4, b"far")]);
        let near = part.types().next().unwrap();
        let offsets: Vec<_> = near.rest.chunks_exact(12).map(|member| word(member, 8).unwrap()).collect();
        assert_eq!(offsets, [0, 64, 160]);
        assert_eq!(members(part, "near"), ["p", "a", "t"]);
        assert_eq!(part.types().nth(1).unwrap().size_or_type, 0, "a pointer to nothing");
    }

    #[test]
    fn broken_blobs_are_no_panic() {
        let whole = whole();
        for len in 0..whole.len() {
            let _ = reduce(&whole[..len], &["near"]);
        }
        for at in 0..whole.len() {
            let mut broken = whole.clone();
            broken[at] ^= 0xff;
            let _ = reduce(&broken, &["near", "far"]);
        }
        assert!(Sections::of(&[0xff; 24]).is_none());
    }
}
