//! Tables of the names of system calls, a tenth of what the `syscalls` crate's own take: each name is there once for
//! all architectures, and a place of two bytes stands for it in place of a pointer and a length.

use anyhow::Context;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Beyond are a few of ARM's own at most (cacheflush), which the crate does not name.
const MAX_NUMBER: usize = 4096;

/// Rust: `NAMES`, a line for each name, and for each architecture where in it a number's name begins. At 0 is an
/// empty one, for numbers that are none.
pub(crate) fn tables() -> anyhow::Result<String> {
    let mut names = Names { text: "\n".to_owned(), places: BTreeMap::new() };
    let mut out = String::new();
    macro_rules! table {
        ($($arch:ident: $name:literal)*) => {
            $(let calls = (0..MAX_NUMBER)
                .filter_map(|number| Some((number, ::syscalls::$arch::Sysno::new(number)?.name())));
            writeln!(out, "static {}: &[u16] = &{:?};", $name, names.table(calls)?)?;)*
        };
    }
    table! { x86_64: "X86_64" x86: "X86" aarch64: "AARCH64" arm: "ARM" }
    writeln!(out, "const NAMES: &str = {:?};", names.text)?;
    Ok(out)
}

struct Names {
    text: String,
    places: BTreeMap<&'static str, u16>,
}

impl Names {
    fn table(&mut self, calls: impl Iterator<Item = (usize, &'static str)>) -> anyhow::Result<Vec<u16>> {
        let mut table = Vec::new();
        for (number, name) in calls {
            table.resize(table.len().max(number + 1), 0);
            *table.get_mut(number).context("it was made so long")? = self.place(name)?;
        }
        Ok(table)
    }

    fn place(&mut self, name: &'static str) -> anyhow::Result<u16> {
        if let Some(&place) = self.places.get(name) {
            return Ok(place);
        }
        let place = u16::try_from(self.text.len())?;
        self.text.extend([name, "\n"]);
        self.places.insert(name, place);
        Ok(place)
    }
}
