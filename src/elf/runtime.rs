//! Which libc and which language runtime a program brings, from what survives stripping.

use super::facts::{Facts, Kind};
use super::image::Image;
use super::notes::Notes;
use super::symbols::Symbols;
use goblin::elf::dynamic::{DT_VERNEED, DT_VERNEEDNUM};
use goblin::elf::program_header::{PF_W, PT_LOAD};
use memchr::memmem;
use std::os::fd::AsRawFd;

/// Contents of a section that are searched for a string.
const MAX_SEARCH: u64 = 8 << 20;
/// The same for symbol names, which C++ programs have by the megabyte.
const MAX_SYMBOL_NAMES: u64 = 2 << 20;
const MAX_COMMENT: u64 = 64 << 10;
/// The Go build information is at the start of the data segment where no section names it.
const MAX_GO_SCAN: u64 = 1 << 20;

/// `glibc` or `musl`.
pub(super) fn libc(image: &Image<'_>, facts: &Facts, notes: &Notes) -> Option<&'static str> {
    if let Some(interpreter) = &facts.interpreter {
        let name = interpreter.rsplit('/').next().unwrap_or_default();
        if name.starts_with("ld-musl") {
            return Some("musl");
        }
        if name.starts_with("ld-linux") || name.starts_with("ld64.so") || name == "ld.so.1" {
            return Some("glibc");
        }
    }
    for name in facts.needed.iter().chain(&facts.soname) {
        if name.starts_with("libc.musl") || name.starts_with("ld-musl") {
            return Some("musl");
        }
        if name.starts_with("libc.so.6") || name.starts_with("ld-linux") {
            return Some("glibc");
        }
    }
    if needs_glibc_version(image).unwrap_or(false) {
        return Some("glibc");
    }
    if !matches!(facts.kind, Kind::Executable | Kind::PieExecutable) {
        return None;
    }
    // Statically linked. glibc's crt1.o brings a note, its stdio a section of its own.
    if notes.gnu_abi_tag || image.section("__libc_IO_vtables").is_some() {
        return Some("glibc");
    }
    // Go has no libc of its own account, and megabytes of symbol names.
    if notes.go {
        return None;
    }
    let names = image.section_bytes(".strtab", MAX_SYMBOL_NAMES)?;
    memmem::find(&names, b"\0libc_start_main_stage2\0").map(|_| "musl")
}

/// Whether any symbol version that the file needs is one of glibc's.
fn needs_glibc_version(image: &Image<'_>) -> Option<bool> {
    let mut at = image.dynamic_value(DT_VERNEED)?;
    let files = image.dynamic_value(DT_VERNEEDNUM)?.min(256);
    for _ in 0..files {
        let file = image.read_address(at, 16)?;
        let mut version_at = at.checked_add(u64::from(image.u32(&file, 8)?))?;
        for _ in 0..256 {
            let version = image.read_address(version_at, 16)?;
            let name = image.dynamic_string(u64::from(image.u32(&version, 8)?))?;
            if name.starts_with(b"GLIBC_") {
                return Some(true);
            }
            match image.u32(&version, 12)? {
                0 => break,
                next => version_at = version_at.checked_add(u64::from(next))?,
            }
        }
        match image.u32(&file, 12)? {
            0 => break,
            next => at = at.checked_add(u64::from(next))?,
        }
    }
    Some(false)
}

/// A program that PyInstaller made: a boot loader in C, which loads CPython's library by itself, so that
/// nothing else of the file names it. The archive in its section `pydata` ends with a cookie: a mark of
/// eight bytes, four numbers, and the library's name in 64 (since PyInstaller 2.1).
const FROZEN: &str = "pyinstaller";
const COOKIE: u64 = 88;
const COOKIE_MARK: &[u8] = b"MEI\x0c\x0b\x0a\x0b\x0e";
const COOKIE_LIBRARY: usize = 24;

/// The name of the library that such a program loads.
fn frozen_library(image: &Image<'_>) -> Option<String> {
    let header = &image.section("pydata")?.header;
    let at = header.sh_offset.checked_add(header.sh_size)?.checked_sub(COOKIE)?;
    let cookie = image.source.read(at, COOKIE)?;
    let name = cookie.starts_with(COOKIE_MARK).then(|| cookie.get(COOKIE_LIBRARY..))??;
    let name = name.split(|byte| *byte == 0).next()?;
    // A path in the archive (since PyInstaller 6).
    std::str::from_utf8(name).ok()?.rsplit('/').next().map(str::to_owned)
}

/// The language runtime, as in [`Facts::runtime`].
pub(super) fn language(image: &Image<'_>, facts: &Facts, notes: &Notes) -> Option<String> {
    if let Some(go) = go(image, notes) {
        return Some(go);
    }
    let symbols = Symbols::new(image);
    let defines = |name: &str| symbols.as_ref().is_some_and(|s| s.defines(name));
    let libraries = || facts.needed.iter().chain(&facts.soname);
    let links = |prefix: &str| libraries().any(|name| name.starts_with(prefix));

    // node::Start(int, char**); deno and bun export only the C interface for add-ons.
    if defines("_ZN4node5StartEiPPc") || links("libnode.so") {
        return Some("node".into());
    }
    if defines("JNI_CreateJavaVM") || links("libjli.so") || links("libjvm.so") {
        return Some("jvm".into());
    }
    if let Some(library) = frozen_library(image) {
        return Some(python_library(&library).unwrap_or_else(|| python_name("cpython", None)));
    }
    let mut python = libraries().find_map(|name| python_library(name));
    if python.is_none() && (defines("Py_BytesMain") || defines("Py_Main")) {
        // The interpreter itself, linked with its library statically.
        let symbols = symbols.as_ref()?;
        return Some(python_name("cpython", python_version(image, symbols)));
    }
    if defines("ruby_run_node") {
        return Some("ruby".into());
    }
    if defines("perl_run") {
        return Some("perl".into());
    }
    if defines("php_module_startup") {
        return Some("php".into());
    }
    // A program that hands its arguments to the library's main function is the interpreter, whatever
    // else it links.
    let python_main = ["Py_BytesMain", "Py_Main", "_Py_UnixMain", "Py_RunMain"];
    let imports = |names: &[&str]| symbols.as_ref().is_some_and(|s| s.imports_any(names));
    if python.is_some() && imports(&python_main) {
        return python;
    }
    if rust(image) || defines("rust_eh_personality") {
        return Some("rust".into());
    }
    // An editor may link five interpreters: that says nothing about what it is.
    let mut linked = Vec::new();
    linked.extend(python.take());
    for (library, name) in [("libruby", "ruby"), ("libperl.so", "perl"), ("libphp", "php")] {
        if links(library) {
            linked.push(name.to_owned());
        }
    }
    (linked.len() == 1).then(|| linked.pop())?
}

/// Programs that start others, by what they export for their own plug-ins or by a library of their own:
/// a name costs nothing, these cost being the program. Checked on Debian 12's (bash 5.2, zsh 5.9, make
/// 4.3, nginx 1.22, PostgreSQL 15, sudo 1.9).
const EXPORTS: &[(&str, &str)] = &[
    ("bash_copyright", "bash"),
    ("zsh_main", "zsh"),
    ("gmk_eval", "make"),
    ("ngx_cycle", "nginx"),
    ("PostmasterMain", "postgres"),
];

/// The program that a file is, as in [`Facts::program`].
pub(super) fn program(image: &Image<'_>, facts: &Facts) -> Option<&'static str> {
    if facts.needed.iter().any(|name| name.starts_with("libsudo_util.so")) {
        return Some("sudo");
    }
    if frozen_library(image).is_some() {
        return Some(FROZEN);
    }
    let symbols = Symbols::new(image)?;
    EXPORTS.iter().find(|(symbol, _)| symbols.defines(symbol)).map(|(_, program)| *program)
}

/// `libpython3.11.so.1.0` is `cpython 3.11`; the version-less `libpython3.so` tells nothing.
fn python_library(name: &str) -> Option<String> {
    for (prefix, implementation) in [("libpython", "cpython"), ("libpypy", "pypy")] {
        if let Some(rest) = name.strip_prefix(prefix) {
            let version = two_numbers(rest.as_bytes())?;
            return Some(python_name(implementation, Some(version)));
        }
    }
    None
}

fn python_name(implementation: &str, version: Option<(u32, u32)>) -> String {
    match version {
        Some((major, minor)) => format!("{implementation} {major}.{minor}"),
        None => implementation.to_owned(),
    }
}

/// The version of an interpreter that contains its library.
fn python_version(image: &Image<'_>, symbols: &Symbols<'_, '_>) -> Option<(u32, u32)> {
    // Exported from 3.11 on: PY_VERSION_HEX as an unsigned long.
    if let Some(symbol) = symbols.find("Py_Version") {
        let bytes = image.read_address(symbol.st_value, image.word_size() as u64)?;
        let hex = image.word(&bytes, 0)?;
        return Some(((hex >> 24) as u32 & 0xff, (hex >> 16) as u32 & 0xff));
    }
    // The folder of its standard library, compiled in (in .data until 2.7).
    for section in [".rodata", ".data"] {
        let bytes = image.section_bytes(section, MAX_SEARCH).unwrap_or_default();
        let found = memmem::find_iter(&bytes, b"lib/python").take(64);
        let mut rest = found.filter_map(|at| bytes.get(at + b"lib/python".len()..));
        if let Some(version) = rest.find_map(two_numbers) {
            return Some(version);
        }
    }
    // The file's name, which is also how the kernel and people tell versions apart.
    let link = format!("/proc/self/fd/{}", image.source.file().as_raw_fd());
    let path = std::fs::read_link(link).ok()?;
    let name = path.file_name()?.to_str()?;
    two_numbers(name.strip_prefix("python")?.as_bytes())
}

/// `3.11...` as (3, 11).
fn two_numbers(text: &[u8]) -> Option<(u32, u32)> {
    let (major, rest) = number(text)?;
    let (minor, _) = number(rest.strip_prefix(b".")?)?;
    Some((major, minor))
}

fn number(text: &[u8]) -> Option<(u32, &[u8])> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = text.split_at_checked(digits.min(4))?;
    Some((std::str::from_utf8(digits).ok()?.parse().ok()?, rest))
}

/// rustc says so in `.comment`, which strip leaves alone (from 1.73 on); older ones by the symbol of
/// the standard library's start, if there are symbols.
fn rust(image: &Image<'_>) -> bool {
    let has = |section, max, what: &[u8]| {
        let bytes = image.section_bytes(section, max).unwrap_or_default();
        memmem::find(&bytes, what).is_some()
    };
    has(".comment", MAX_COMMENT, b"rustc version") || has(".strtab", MAX_SYMBOL_NAMES, b"3std2rt10lang_start")
}

/// `go 1.22`, or `go` where the linker's note is there but no version.
fn go(image: &Image<'_>, notes: &Notes) -> Option<String> {
    let section = image.section(".go.buildinfo").map(|s| s.header.sh_offset);
    if !notes.go && section.is_none() {
        return None;
    }
    let version =
        section.or_else(|| go_scan(image)).and_then(|at| go_version(image, at)).and_then(|v| go_release(&v));
    Some(match version {
        Some((major, minor)) => format!("go {major}.{minor}"),
        None => "go".to_owned(),
    })
}

const GO_MAGIC: &[u8] = b"\xff Go buildinf:";

fn go_scan(image: &Image<'_>) -> Option<u64> {
    let mut segments = image.segments.iter();
    let data = segments.find(|s| s.p_type == PT_LOAD && s.p_flags & PF_W != 0)?;
    let size = data.p_filesz.min(MAX_GO_SCAN);
    let bytes = image.source.read_up_to(data.p_offset, size);
    // The linker aligns it to 16 bytes.
    let at = memmem::find_iter(&bytes, GO_MAGIC).find(|at| at % 16 == 0)?;
    data.p_offset.checked_add(at as u64)
}

/// The version string, from the layout that Go's `debug/buildinfo` documents: since 1.18 inline
/// after 32 bytes, with its length before it; before that, as a pointer to a string header.
fn go_version(image: &Image<'_>, at: u64) -> Option<Vec<u8>> {
    let head = image.source.read(at, 32)?;
    if !head.starts_with(GO_MAGIC) {
        return None;
    }
    let (pointer_size, flags) = (usize::from(*head.get(14)?), *head.get(15)?);
    if flags & 2 != 0 {
        let bytes = image.source.read_up_to(at.checked_add(32)?, 256);
        let (len, used) = varint(&bytes)?;
        return Some(bytes.get(used..used.checked_add(len)?)?.to_vec());
    }
    if pointer_size != image.word_size() {
        return None;
    }
    let header = image.word(&head, 16)?;
    let header = image.read_address(header, 2 * pointer_size as u64)?;
    let (text, len) = (image.word(&header, 0)?, image.word(&header, pointer_size)?.min(256));
    image.read_address(text, len)
}

fn varint(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (i, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((value, i + 1));
        }
    }
    None
}

/// `go1.22.3`, `go1.22rc1` and `devel go1.23-abcdef` are (1, 22) and (1, 23).
fn go_release(version: &[u8]) -> Option<(u32, u32)> {
    let at = memmem::find(version, b"go")?;
    two_numbers(version.get(at + 2..)?)
}
