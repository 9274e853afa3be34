//! What the rules say of the program: flags whose value follows, words that are credentials.

use super::super::names::{Class, Place};
use super::{Expected, Scan};
use std::ops::Range;

/// What was seen of a program that takes a credential as a word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    with: bool,
    fewer: bool,
    after: bool,
    skip: bool,
    pub(super) words: u8,
}

impl Scan<'_> {
    /// Counts a word of a program that takes a credential without a flag; is it that one?
    pub(super) fn is_word_of_credential(&mut self, word: &str) -> bool {
        let Some(rule) = self.program.and_then(|program| program.words.as_ref()) else { return false };
        let counted = &mut self.counted;
        if std::mem::take(&mut counted.skip) {
            return false;
        }
        if word.len() > 1 && word.starts_with('-') {
            let letters = if word.starts_with("--") { "" } else { word };
            counted.with |= rule.with.is_some_and(|letter| letters.contains(letter));
            counted.fewer |= rule.fewer.is_some_and(|letter| letters.contains(letter));
            counted.skip = rule.skip.iter().any(|flag| announces(flag, word));
            return false;
        }
        if !rule.after.is_empty() && !counted.after {
            counted.after = rule.after.iter().any(|after| after == word);
            return false;
        }
        counted.words = counted.words.saturating_add(1);
        // In prose a program's name may stand by itself.
        let is_sure = !self.text || counted.with || counted.after;
        is_sure
            && (rule.with.is_none() || counted.with)
            && counted.words.saturating_add(u8::from(counted.fewer)) == rule.place
    }

    /// A word without a value of its own: a flag whose value may follow, or a program.
    pub(super) fn bare(&mut self, argument: &str, range: Range<usize>, is_plain: bool) {
        let Some(word) = argument.get(range.clone()) else { return };
        if self.script && self.is_word_of_credential(word) {
            let bare = word.trim_end_matches([')', ',', ';', '"', '\'']);
            self.cut(argument, range.start..range.start + bare.len(), Class::Secret);
            return;
        }
        if let Some(program) = self.program {
            self.after |= program.after.as_deref() == Some(word);
            if program.except.iter().any(|flag| flag == word) {
                return;
            }
            if program.after.is_none() || self.after {
                for (flags, expected) in [
                    (&program.value, Expected::Value(Class::Secret)),
                    (&program.userinfo, Expected::UserInfo),
                ] {
                    for flag in flags {
                        if let Some(value) = glued(flag, word) {
                            let to = if self.script || range.start > 0 { range.end } else { argument.len() };
                            let to = to - usize::from(self.script && word.ends_with(')'));
                            self.take(expected, argument, range.start + value..to.max(range.start + value));
                            return;
                        }
                        if announces(flag, word) {
                            self.expected = Some(expected);
                            return;
                        }
                    }
                }
            }
        }
        if word.starts_with('-') {
            if is_plain && word.len() > 4 {
                let class = self.rules.names.class(word.as_bytes(), Place::Flag);
                self.expected = class.map(Expected::Value);
            }
            return;
        }
        // Wrappers come before it: sudo, env, sh -c.
        let slash = word.bytes().rposition(|byte| byte == b'/');
        let name = slash.and_then(|slash| word.get(slash + 1..)).unwrap_or(word);
        if self.rules.may_be_program(name)
            && let Some(program) = self.rules.programs.get(name)
        {
            // What is a word of the program before is not another one.
            if self.script || self.counted.words == 0 {
                (self.program, self.after, self.counted) = (Some(program), false, Counted::default());
            }
        }
    }
}

/// `-p*`, `--flag=`: where the value begins in the word.
fn glued(flag: &str, word: &str) -> Option<usize> {
    match flag.strip_suffix('*') {
        Some(begin) if flag != "-*" => {
            (word.len() > begin.len() && word.starts_with(begin)).then_some(begin.len())
        }
        _ => {
            let value = word.strip_prefix(flag)?.strip_prefix('=')?;
            (flag.starts_with("--") && !value.is_empty()).then_some(flag.len() + 1)
        }
    }
}

/// Is the value the next word?
fn announces(flag: &str, word: &str) -> bool {
    match flag.strip_prefix("-*") {
        Some(letter) if !letter.is_empty() => {
            let letters = word.strip_prefix('-').unwrap_or_default();
            (2..=6).contains(&letters.len())
                && letters.ends_with(letter)
                && letters.bytes().all(|byte| byte.is_ascii_alphabetic())
        }
        _ => flag == word,
    }
}
