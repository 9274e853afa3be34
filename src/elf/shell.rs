//! Where bash can be watched while it reads files of commands.

use super::image::Image;
use super::python::Call;
use super::symbols::Symbols;
use super::{Error, hooks, returns};
use std::fs::File;

/// What reads a file of commands from its first to its last: for `source` and `.`, and at the shell's own start. Each has
/// the file's name first, and none calls another one of them.
const FUNCTIONS: [&str; 3] = ["source_file", "maybe_execute_file", "force_execute_file"];

/// The functions by which bash reads files of commands; none of what is no bash that exports them, as all are that take
/// loadable builtins.
///
/// # Errors
/// As for [`super::facts`].
pub fn sources(file: &File) -> Result<Vec<Call>, Error> {
    let image = Image::read(file)?;
    let symbols = Symbols::new(&image).filter(|_| hooks::is_native(&image) && image.word_size() == 8);
    let Some(symbols) = symbols.filter(|symbols| symbols.defines("source_builtin")) else {
        return Ok(Vec::new());
    };
    let call = |name: &&str| {
        let symbol = symbols.find(name)?;
        let returns = returns::returns(&image, symbol.st_value, symbol.st_size)?;
        Some(Call { offset: hooks::code_offset(&image, symbol.st_value)?, returns, text_at: 0 })
    };
    // All or none: what one of them reads would seem to be the rest of another's.
    Ok(FUNCTIONS.iter().map(call).collect::<Option<_>>().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bash_has_them_and_others_have_not() {
        let of = |path: &str| sources(&File::open(path).unwrap()).unwrap();
        let bash = of("/bin/bash");
        assert_eq!(bash.len(), FUNCTIONS.len(), "{bash:?}");
        assert!(bash.iter().all(|call| !call.returns.is_empty() && !call.returns.contains(&call.offset)));
        assert!(of("/proc/self/exe").is_empty() && of("/bin/cat").is_empty());
        assert!(sources(&File::open("/etc/passwd").unwrap()).is_err());
    }
}
