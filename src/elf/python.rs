//! Where CPython can be watched while it imports: in its executable, or in its library.

use super::image::Image;
use super::root::Root;
use super::symbols::Symbols;
use super::{Error, Facts, Probe, facts, hooks, notes, resolve, returns};
use crate::trace::text;
use std::fs::File;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// A static probe's place, and how a program finds its arguments there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Site {
    /// Of the instruction, in the file.
    pub offset: u64,
    /// Of the counter that has to be raised for the probe to be reached; 0: none.
    pub semaphore: u64,
    /// Where the first two arguments are, 26 bits each: see `bpf/python.bpf.h`.
    pub arguments: u64,
}

/// The function behind the import statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its offset in the file.
    pub offset: u64,
    /// Those of the instructions by which it returns.
    pub returns: Vec<u64>,
    /// Where a `str` of this version keeps the characters of a name, from its beginning; 0 where the
    /// function is given a `char *`.
    pub text_at: u8,
}

/// What can be probed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Imports {
    /// `import__find__load__start`, of builds with static probes (`--with-dtrace`: Debian's, Fedora's).
    pub begin: Vec<Site>,
    /// `import__find__load__done`.
    pub end: Vec<Site>,
    /// `PyImport_ImportModuleLevelObject` (before Python 3: `PyImport_ImportModuleLevel`).
    pub call: Option<Call>,
}

impl Imports {
    /// Are there static probes?
    pub fn has_probes(&self) -> bool {
        !self.begin.is_empty() && !self.end.is_empty()
    }
}

/// Bits of one argument's place.
const ARGUMENT_BITS: u32 = 26;
const DEREF: u32 = 1 << 5;
const DISPLACEMENT: std::ops::Range<i64> = -(1 << 19)..(1 << 19);
/// Probes of one name; a compiler may have put the function into several others.
const MAX_SITES: usize = 16;

/// Finds what can be probed in a file that is CPython's executable or library.
///
/// # Errors
/// As for [`super::facts`].
pub fn imports(file: &File) -> Result<Imports, Error> {
    let image = Image::read(file)?;
    if !hooks::is_native(&image) || image.word_size() != 8 {
        return Ok(Imports::default());
    }
    let probes = notes::probes(file)?;
    let sites = |name: &str| -> Vec<Site> {
        let named = probes.iter().filter(|probe| probe.provider == "python" && probe.name == name);
        named.filter_map(site).take(MAX_SITES).collect()
    };
    Ok(Imports {
        begin: sites("import__find__load__start"),
        end: sites("import__find__load__done"),
        call: Symbols::new(&image).and_then(|symbols| call(&image, &symbols, &facts(file).ok()?)),
    })
}

fn site(probe: &Probe) -> Option<Site> {
    let arguments = probe.arguments.split_ascii_whitespace();
    let mut places = arguments.map(|argument| place(argument, std::env::consts::ARCH));
    let first = places.next()??;
    // Nothing but the begin's has one argument, and nobody asks for its second.
    let second = places.next().flatten().unwrap_or_default();
    Some(Site {
        offset: probe.offset?,
        semaphore: probe.semaphore_offset.unwrap_or_default(),
        arguments: u64::from(first) | u64::from(second) << ARGUMENT_BITS,
    })
}

/// An argument's place out of GNU assembler's notation with its size (`-4@%edx`, `8@-16(%rbp)`,
/// `8@[sp, 24]`); `None` for what is not in a register or at a fixed distance from one's value.
fn place(argument: &str, arch: &str) -> Option<u32> {
    let (_, what) = argument.split_once('@')?;
    let (register, distance) = if let Some(inside) = what.strip_suffix(')') {
        let (distance, register) = inside.split_once('(')?;
        (register, Some(if distance.is_empty() { 0 } else { distance.parse().ok()? }))
    } else if let Some(inside) = what.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        let (register, distance) = inside.split_once(',').unwrap_or((inside, "0"));
        (register, Some(distance.trim().trim_start_matches('#').parse::<i64>().ok()?))
    } else {
        (what, None)
    };
    let register = match arch {
        "x86_64" => x86_register(register.strip_prefix('%')?)?,
        "aarch64" => arm_register(register.trim())?,
        _ => return None,
    };
    match distance {
        None => Some(register),
        Some(distance) if DISPLACEMENT.contains(&distance) => {
            let distance = (distance as u32) & ((1 << (ARGUMENT_BITS - 6)) - 1);
            Some(register | DEREF | distance << 6)
        }
        Some(_) => None,
    }
}

/// A register's place among those of the kernel's `struct pt_regs`.
fn x86_register(name: &str) -> Option<u32> {
    const REGISTERS: [&[&str]; 20] = [
        &["r15", "r15d"],
        &["r14", "r14d"],
        &["r13", "r13d"],
        &["r12", "r12d"],
        &["rbp", "ebp"],
        &["rbx", "ebx"],
        &["r11", "r11d"],
        &["r10", "r10d"],
        &["r9", "r9d"],
        &["r8", "r8d"],
        &["rax", "eax"],
        &["rcx", "ecx"],
        &["rdx", "edx"],
        &["rsi", "esi"],
        &["rdi", "edi"],
        &[],
        &[],
        &[],
        &[],
        &["rsp"],
    ];
    REGISTERS.iter().position(|names| names.contains(&name)).map(|at| at as u32)
}

fn arm_register(name: &str) -> Option<u32> {
    if name == "sp" {
        return Some(31);
    }
    let number: u32 = name.strip_prefix(['x', 'w'])?.parse().ok()?;
    (number < 31).then_some(number)
}

fn call(image: &Image<'_>, symbols: &Symbols<'_, '_>, facts: &Facts) -> Option<Call> {
    let version = facts.runtime.as_deref()?.strip_prefix("cpython ")?;
    let (major, minor) = version.split_once('.')?;
    let version: (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    // Free-threaded builds have larger object headers.
    let more = if symbols.defines("_Py_MergeZeroLocalRefcount") { 16 } else { 0 };
    // struct PyASCIIObject: header, length, hash, state; until 3.11 also a wchar_t *.
    let (name, text_at) = match version {
        (2, _) => ("PyImport_ImportModuleLevel", 0),
        (3, 3..=11) => ("PyImport_ImportModuleLevelObject", 48),
        (3, 12..) => ("PyImport_ImportModuleLevelObject", 40 + more),
        _ => return None,
    };
    let symbol = symbols.find(name)?;
    let returns = returns::returns(image, symbol.st_value, symbol.st_size)?;
    Some(Call { offset: hooks::code_offset(image, symbol.st_value)?, returns, text_at })
}

/// The library of a program that does not have CPython in itself, as its loader finds it without help from
/// the environment. `path`: the program's, inside the root.
pub fn library(file: &File, path: &Path, root: &Root) -> Option<PathBuf> {
    let is_python = |name: &str| {
        let file_name = name.rsplit('/').next().unwrap_or_default();
        file_name.starts_with("libpython") && file_name != "libpython3.so"
    };
    if !facts(file).ok()?.needed.iter().any(|name| is_python(name)) {
        return None;
    }
    let settings =
        resolve::Settings { root, cwd: PathBuf::from("/"), library_path: None, preload: None, secure: false };
    let found = resolve::resolve(file, path, &settings).ok()?;
    let library = found.libraries.into_iter().find(|library| is_python(&library.name))?;
    Some(std::ffi::OsString::from_vec(text::decode(&library.path?)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_found_where_compilers_put_them() {
        let x86 = |argument| place(argument, "x86_64");
        assert_eq!(x86("8@%rax"), Some(10));
        assert_eq!(x86("-4@%edx"), Some(12));
        assert_eq!(x86("8@%r15"), Some(0));
        assert_eq!(x86("8@(%rsp)"), Some(19 | DEREF));
        assert_eq!(x86("8@24(%rsp)"), Some(19 | DEREF | 24 << 6));
        // 20 bits with their sign.
        assert_eq!(x86("8@-16(%rbp)"), Some(4 | DEREF | 0xffff0 << 6));
        let arm = |argument| place(argument, "aarch64");
        assert_eq!(arm("8@x0"), Some(0));
        assert_eq!(arm("-4@w21"), Some(21));
        assert_eq!(arm("8@[sp, 16]"), Some(31 | DEREF | 16 << 6));
        assert_eq!(arm("8@[x29]"), Some(29 | DEREF));
        for odd in
            ["", "8@", "8@$5", "8@%xmm0", "8@99999999(%rax)", "8@name(%rip)", "8@(%rax,%rbx,8)", "8@x(%rax)"]
        {
            assert_eq!(x86(odd), None, "{odd}");
        }
        for odd in ["8@x31", "8@5", "8@[x1, x2]", "8@[sp, 16"] {
            assert_eq!(arm(odd), None, "{odd}");
        }
    }

    #[test]
    fn a_file_that_is_no_python_has_nothing_to_probe() {
        let file = File::open("/proc/self/exe").unwrap();
        assert_eq!(imports(&file).unwrap(), Imports::default());
        assert_eq!(library(&file, Path::new("/proc/self/exe"), &Root::host().unwrap()), None);
    }
}
