//! Which names are those of credentials.

use crate::settings::{Section, Wrong};

/// Longest end of a name that is looked at.
const LONGEST: usize = 96;
/// Most words of it.
const WORDS: usize = 16;

/// Words of names; see `rules.toml`.
#[derive(Debug, Default)]
pub(super) struct Names {
    part: Vec<String>,
    end: Vec<String>,
    last: Vec<String>,
    key: Vec<String>,
    not_key: Vec<String>,
    follow: Vec<String>,
    not_last: Vec<String>,
    not_first: Vec<String>,
    /// Whatever a name of a credential has somewhere in it, by its first letter.
    needles: Vec<Vec<Vec<u8>>>,
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is a flag, whose value is the next word.
    Flag,
    /// A value is glued to it.
    Assigned,
}

/// What a value has to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// Anything.
    Secret,
    /// No path: the name may also be that of a file.
    Key,
}

fn is(list: &[String], word: &[u8]) -> bool {
    list.iter().any(|known| known.as_bytes() == word)
}

impl Names {
    pub(super) fn read(section: Section<'_>) -> Result<Self, Wrong> {
        const KEYS: [&str; 8] = ["part", "end", "last", "key", "not_key", "follow", "not_last", "not_first"];
        let mut names = Self::default();
        section.each(&KEYS, &mut |key, value| {
            *match key {
                "part" => &mut names.part,
                "end" => &mut names.end,
                "last" => &mut names.last,
                "key" => &mut names.key,
                "not_key" => &mut names.not_key,
                "follow" => &mut names.follow,
                "not_last" => &mut names.not_last,
                "not_first" => &mut names.not_first,
                _ => return Ok(false),
            } = value.texts()?;
            Ok(true)
        })?;
        Ok(names)
    }

    pub(super) fn add(&mut self, more: Self) {
        let Self { part, end, last, key, not_key, follow, not_last, not_first, needles: _ } = more;
        self.part.extend(part);
        self.end.extend(end);
        self.last.extend(last);
        self.key.extend(key);
        self.not_key.extend(not_key);
        self.follow.extend(follow);
        self.not_last.extend(not_last);
        self.not_first.extend(not_first);
    }

    /// Once all words are known.
    pub(super) fn prepare(&mut self) {
        self.needles = vec![Vec::new(); 256];
        for word in self.part.iter().chain(&self.end).chain(&self.last).map(String::as_str).chain(["key"]) {
            if let Some(first) = word.bytes().next() {
                self.needles[usize::from(first)].push(word.as_bytes().to_vec());
            }
        }
    }

    /// Most names are not, and most of them show it here.
    fn may_be(&self, name: &[u8]) -> bool {
        name.iter().enumerate().any(|(at, byte)| {
            let needles = self.needles.get(usize::from(byte.to_ascii_lowercase()));
            needles.is_some_and(|needles| {
                needles.iter().any(|needle| {
                    name.get(at..at + needle.len()).is_some_and(|part| part.eq_ignore_ascii_case(needle))
                })
            })
        })
    }

    /// Is that the name of a credential?
    pub(super) fn class(&self, name: &[u8], place: Place) -> Option<Class> {
        if !self.may_be(name) {
            return None;
        }
        let name = name.get(name.len().saturating_sub(LONGEST)..).unwrap_or(name);
        let mut low = [0_u8; LONGEST];
        let mut words = [(0_usize, 0_usize); WORDS];
        let mut count = 0;
        let mut begin = None;
        let mut push = |from: usize, to: usize, low: &[u8; LONGEST]| {
            let digits =
                low.get(from..to).unwrap_or(&[]).iter().rev().take_while(|b| b.is_ascii_digit()).count();
            let to = if digits < to - from { to - digits } else { to };
            if count < WORDS {
                words[count] = (from, to);
                count += 1;
            }
        };
        let mut before = b' ';
        let mut lower = false;
        for (at, &byte) in name.iter().enumerate() {
            low[at] = byte.to_ascii_lowercase();
            lower |= byte.is_ascii_lowercase();
            let is_word = byte.is_ascii_alphanumeric();
            let edge = byte.is_ascii_uppercase() && before.is_ascii_lowercase();
            if let Some(from) = begin.filter(|_| !is_word || edge) {
                push(from, at, &low);
                begin = None;
            }
            if is_word {
                begin.get_or_insert(at);
            }
            before = byte;
        }
        if let Some(from) = begin {
            push(from, name.len(), &low);
        }
        let word = |at: usize| words.get(at).and_then(|&(from, to)| low.get(from..to)).unwrap_or(&[]);
        let last = word(count.checked_sub(1)?);
        if is(&self.not_first, word(0)) || is(&self.not_last, last) {
            return None;
        }
        for at in 0..count {
            let this = word(at);
            if self.part.iter().any(|part| this.windows(part.len()).any(|window| window == part.as_bytes())) {
                return Some(Class::Secret);
            }
            let ends = |list: &[String]| list.iter().any(|end| this.ends_with(end.as_bytes()));
            let variable = place == Place::Assigned && !lower;
            if ends(&self.end) && (variable || (at + 1..count).all(|at| is(&self.follow, word(at)))) {
                let credential = this.starts_with(b"credential");
                return Some(if credential { Class::Key } else { Class::Secret });
            }
        }
        if is(&self.last, last) {
            return Some(Class::Key);
        }
        // apikey, api-key; SOME_KEY.
        let last = (0..count).rev().map(word).find(|word| !is(&self.follow, word)).unwrap_or(last);
        let at = (0..count).rfind(|&at| word(at) == last)?;
        let owner = match last.strip_suffix(b"key")? {
            [] => word(at.checked_sub(1)?),
            joined => joined,
        };
        let any = place == Place::Assigned && !lower && count > 1 && !is(&self.not_key, owner);
        (any || is(&self.key, owner)).then_some(Class::Key)
    }
}
