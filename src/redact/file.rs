//! A file of rules, as it is read.

use super::names::Names;
use super::{Program, Shape, Table, Words};
use crate::settings::{self, Section, Wrong};

/// The message has no line of the file: who may run us need not be allowed to read it.
pub(super) fn parse(text: &str) -> Result<Table, String> {
    settings::read(text, Table::read).map_err(|wrong| format!("line {}: {}", wrong.place(text).0, wrong.what))
}

impl Table {
    fn read(section: Section<'_>) -> Result<Self, Wrong> {
        let mut table = Self::default();
        section.each(&["patterns", "headers", "names", "programs", "shapes"], &mut |key, value| {
            match key {
                "patterns" => table.patterns = value.texts()?,
                "headers" => table.headers = value.texts()?,
                "names" => table.names = Names::read(value.section()?)?,
                "programs" => {
                    for (name, program) in value.section()?.entries() {
                        table.programs.insert(name.to_owned(), Program::read(program.section()?)?);
                    }
                }
                "shapes" => {
                    for shape in value.list()? {
                        table.shapes.push(Shape::read(shape.section()?)?);
                    }
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(table)
    }
}

impl Program {
    fn read(section: Section<'_>) -> Result<Self, Wrong> {
        let mut program = Self::default();
        section.each(&["value", "userinfo", "after", "except", "words"], &mut |key, value| {
            match key {
                "value" => program.value = value.texts()?,
                "userinfo" => program.userinfo = value.texts()?,
                "after" => program.after = Some(value.text()?),
                "except" => program.except = value.texts()?,
                "words" => program.words = Some(Words::read(value.section()?)?),
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(program)
    }
}

impl Words {
    fn read(section: Section<'_>) -> Result<Self, Wrong> {
        let mut words = Self::default();
        section.each(&["place", "with", "fewer", "after", "skip"], &mut |key, value| {
            match key {
                "place" => words.place = value.number()?,
                "with" => words.with = Some(value.letter()?),
                "fewer" => words.fewer = Some(value.letter()?),
                "after" => words.after = value.texts()?,
                "skip" => words.skip = value.texts()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(words)
    }
}

impl Shape {
    fn read(section: Section<'_>) -> Result<Self, Wrong> {
        let (mut begin, mut least, mut dots, mut capitals) = (None, None, 0, false);
        section.each(&["begin", "least", "dots", "capitals"], &mut |key, value| {
            match key {
                "begin" => begin = Some(value.text()?),
                "least" => least = Some(value.number()?),
                "dots" => dots = value.number()?,
                "capitals" => capitals = value.flag()?,
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        let begin = begin.ok_or_else(|| section.wrong("missing field `begin`"))?;
        let least = least.ok_or_else(|| section.wrong("missing field `least`"))?;
        Ok(Self { begin, least, dots, capitals })
    }
}
