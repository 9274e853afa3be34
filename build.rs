//! Compiles the BPF programs and generates their skeleton, the wire types included, and the list of the kernel's
//! types that they read.

#[allow(dead_code)]
#[path = "src/probe/btf.rs"]
mod btf;
#[path = "build/object.rs"]
mod object;
#[path = "build/syscalls.rs"]
mod syscalls;

use anyhow::Context;
use flate2::Compression;
use flate2::write::DeflateEncoder;
use goblin::elf::{Elf, SectionHeader};
use libbpf_cargo::SkeletonBuilder;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "bpf/startrace.bpf.c";
/// Files in `src/` that the program carries packed (`src/packed.rs`).
const PACKED: [&str; 15] = [
    "compare/html/style.css",
    "export/html/page.html",
    "export/html/style.css",
    "export/html/base.js",
    "export/html/model.js",
    "export/html/timeline.js",
    "export/html/summary.js",
    "export/html/detail.js",
    "export/html/main.js",
    "help/details.txt",
    "redact/rules.toml",
    "scrub/modules.txt",
    "scrub/words.txt",
    "trace/schema/document.json",
    "trace/schema/line.json",
];

fn works(clang: &Path) -> bool {
    Command::new(clang).arg("--version").output().is_ok_and(|out| out.status.success())
}

/// `$BPF_CLANG`, `clang`, or the newest `clang-NN` on the path.
fn find_clang() -> Option<PathBuf> {
    if let Some(clang) = std::env::var_os("BPF_CLANG") {
        let clang = PathBuf::from(clang);
        return works(&clang).then_some(clang);
    }
    let plain = std::iter::once(PathBuf::from("clang"));
    let numbered = (14..40).rev().map(|n| PathBuf::from(format!("clang-{n}")));
    plain.chain(numbered).find(|clang| works(clang))
}

fn main() -> anyhow::Result<()> {
    println!("cargo:rerun-if-changed=bpf");
    println!("cargo:rerun-if-changed=src/probe/btf.rs");
    println!("cargo:rerun-if-env-changed=BPF_CLANG");
    let Some(clang) = find_clang() else {
        anyhow::bail!(
            "no clang found (tried $BPF_CLANG, clang, clang-39 ... clang-14): it compiles the BPF programs.\n\
             Install it with 'cargo xtask setup', or 'apt-get install clang', or point BPF_CLANG at one."
        );
    };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let object = out.join("startrace.bpf.o");
    let mut builder = SkeletonBuilder::new();
    builder
        .source(SOURCE)
        .obj(&object)
        .clang(clang)
        .clang_args(["-mcpu=v3", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"])
        // Not formatted, wherever it is built: not everybody has rustfmt, and rustup's stand-in for it fails.
        .rustfmt(out.join("no-rustfmt"))
        .build()?;
    std::fs::write(&object, object::smaller(&std::fs::read(&object)?)?)?;
    let skeleton = out.join("startrace.skel.rs");
    builder.generate(&skeleton)?;
    pack_bytes(&std::fs::read(&object)?, &out.join("packed/startrace.bpf.o"))?;
    std::fs::write(&skeleton, with_packed_object(&std::fs::read_to_string(&skeleton)?)?)?;
    PACKED.iter().try_for_each(|path| pack(path, &out.join("packed").join(path)))?;
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        leave_out_unwinding(&out)?;
        pack_relocations();
        fold_same_functions(&out)?;
    }
    std::fs::write(out.join("syscalls.rs"), syscalls::tables()?)?;
    std::fs::write(out.join("kernel_types.rs"), kernel_types(&std::fs::read(&object)?)?)?;
    Ok(())
}

/// A release aborts where it panics and has no symbols for a backtrace: its tables for unwinding, a twelfth of it, are
/// of no use.
fn leave_out_unwinding(out: &Path) -> anyhow::Result<()> {
    let script = out.join("no_unwinding.ld");
    std::fs::write(
        &script,
        "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.gcc_except_table*) } } INSERT AFTER .text;\n",
    )?;
    println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    println!("cargo:rustc-link-arg-bins=-Wl,-T,{}", script.display());
    Ok(())
}

/// Relative relocations as bits (`DT_RELR`), where the libc here can read them: glibc from 2.36 on.
#[cfg(target_env = "gnu")]
fn pack_relocations() {
    // SAFETY: glibc declares it so.
    unsafe extern "C" {
        fn gnu_get_libc_version() -> *const std::ffi::c_char;
    }
    let for_this_machine = std::env::var("TARGET").ok() == std::env::var("HOST").ok();
    // SAFETY: glibc's function has no conditions, and gives a string that stays.
    let version = unsafe { std::ffi::CStr::from_ptr(gnu_get_libc_version()) }.to_string_lossy().into_owned();
    let minor = version.strip_prefix("2.").and_then(|minor| minor.parse::<u32>().ok());
    if for_this_machine && minor.is_some_and(|minor| minor >= 36) {
        println!("cargo:rustc-link-arg-bins=-Wl,-z,pack-relative-relocs");
    }
}

/// musl reads them from 1.2.4 on, and does not tell its version.
#[cfg(not(target_env = "gnu"))]
fn pack_relocations() {}

/// Functions that came out the same, instruction for instruction, are kept once, where the linker can: lld, which Rust
/// brings for x86-64 from 1.90 on. No code here compares the addresses of functions, which Rust does not promise to
/// differ either.
fn fold_same_functions(out: &Path) -> anyhow::Result<()> {
    const FOLD: &str = "-Wl,--icf=all";
    let set = |name| std::env::var_os(name).unwrap_or_default();
    let source = out.join("empty.rs");
    std::fs::write(&source, "fn main() {}\n")?;
    let flags = set("CARGO_ENCODED_RUSTFLAGS").into_string().unwrap_or_default();
    let mut rustc = Command::new(set("RUSTC"));
    rustc.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.arg("--target").arg(set("TARGET")).arg("-Clink-arg=".to_owned() + FOLD);
    if let Some(linker) = std::env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg([OsStr::new("linker="), &linker].into_iter().collect::<OsString>());
    }
    let tried =
        rustc.arg("-o").arg(out.join("empty")).arg(source).output().context("rustc cannot be started")?;
    if tried.status.success() {
        println!("cargo:rustc-link-arg-bins={FOLD}");
    }
    Ok(())
}

fn pack(path: &str, to: &Path) -> anyhow::Result<()> {
    let from = Path::new("src").join(path);
    println!("cargo:rerun-if-changed={}", from.display());
    pack_bytes(&std::fs::read(&from).with_context(|| from.display().to_string())?, to)
}

fn pack_bytes(bytes: &[u8], to: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
    let mut packed = DeflateEncoder::new(Vec::new(), Compression::best());
    packed.write_all(bytes)?;
    std::fs::write(to, packed.finish()?)?;
    Ok(())
}

/// The skeleton with the object as `pack_bytes` wrote it, a quarter of its size, instead of byte by byte.
fn with_packed_object(skeleton: &str) -> anyhow::Result<String> {
    const BEGIN: &str = "#[unsafe(link_section = \".bpf.objs\")]\nstatic DATA: [u8; ";
    const PACKED: &str = "static DATA: std::sync::LazyLock<Vec<u8>> = std::sync::LazyLock::new(|| {\n        \
                          crate::packed::bytes(include_bytes!(concat!(env!(\"OUT_DIR\"), \
                          \"/packed/startrace.bpf.o\")))\n    });";
    let other =
        "the generated skeleton holds its object in another way than with_packed_object in build.rs expects";
    let (before, rest) = skeleton.split_once(BEGIN).context(other)?;
    let (_, after) = rest.split_once("];").filter(|(_, after)| !after.contains("];")).context(other)?;
    Ok([before, PACKED, after].concat())
}

/// Names of all types of the programs, which include those of the kernel that they read, and a function that
/// fills in the numbers of some.
fn kernel_types(object: &[u8]) -> anyhow::Result<String> {
    let elf = Elf::parse(object)?;
    let section = elf
        .section_headers
        .iter()
        .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(".BTF"))
        .and_then(SectionHeader::file_range)
        .and_then(|range| object.get(range))
        .and_then(btf::Sections::of)
        .context("the BPF object has no type information")?;
    let names = btf::named(section);
    let lines: String = btf::members(section, "type_ids")
        .iter()
        .map(|name| format!("    ids.{name} = of({name:?});\n"))
        .collect();
    Ok(format!(
        "const KERNEL_TYPES: &[&str] = &{:?};\n\
         fn fill_type_ids(ids: &mut crate::bpf::types::type_ids, of: impl Fn(&str) -> u32) {{\n{lines}}}\n",
        names.iter().collect::<Vec<_>>()
    ))
}
