//! The phases of a start: their order, characters and colours.

use super::style::{Ink, Style};

/// One phase of the schema.
pub(crate) struct Class {
    pub(crate) name: &'static str,
    unicode: char,
    ascii: char,
    pub(crate) ink: Ink,
}

const fn class(name: &'static str, unicode: char, ascii: char, ink: Ink) -> Class {
    Class { name, unicode, ascii, ink }
}

/// In the order of a start's life; the last stands for names that this version does not know. Each has
/// a character of its own, so that a waterfall can be read without colour.
pub(crate) const CLASSES: [Class; 10] = [
    class("unobserved", '?', '?', Ink::Dim),
    class("fork", '▚', 'f', Ink::Magenta),
    class("schedule", '░', 'q', Ink::Red),
    class("setup", '▒', 's', Ink::Yellow),
    class("exec", '▓', 'x', Ink::Cyan),
    class("load", '◇', 'l', Ink::Blue),
    class("link", '◆', 'k', Ink::Blue),
    class("init", '▪', 'i', Ink::Yellow),
    class("app", '█', '#', Ink::Green),
    class("other", '▢', 'o', Ink::Plain),
];

/// How many classes there are.
pub(crate) const COUNT: usize = CLASSES.len();

/// The class of a phase by its name.
pub(crate) fn of_name(name: &str) -> u8 {
    let last = COUNT - 1;
    CLASSES.iter().position(|class| class.name == name).unwrap_or(last) as u8
}

/// A class by its number.
pub(crate) fn get(number: u8) -> &'static Class {
    let [.., other] = &CLASSES;
    CLASSES.get(usize::from(number)).unwrap_or(other)
}

impl Class {
    pub(crate) fn mark(&self, style: &Style) -> char {
        if style.unicode { self.unicode } else { self.ascii }
    }
}
