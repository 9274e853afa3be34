//! Compiles the BPF programs and generates their skeleton, the wire types included, and the list of the kernel's
//! types that they read.

#[allow(dead_code)]
#[path = "src/probe/btf.rs"]
mod btf;

use anyhow::Context;
use libbpf_cargo::SkeletonBuilder;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "bpf/startrace.bpf.c";

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
    SkeletonBuilder::new()
        .source(SOURCE)
        .obj(&object)
        .clang(clang)
        .clang_args(["-mcpu=v3", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"])
        .build_and_generate(out.join("startrace.skel.rs"))?;
    std::fs::write(out.join("kernel_types.rs"), kernel_types(&std::fs::read(&object)?)?)?;
    Ok(())
}

/// Names of all types of the programs, which include those of the kernel that they read, and a function that
/// fills in the numbers of some.
fn kernel_types(object: &[u8]) -> anyhow::Result<String> {
    let elf = goblin::elf::Elf::parse(object)?;
    let section = elf
        .section_headers
        .iter()
        .find(|section| elf.shdr_strtab.get_at(section.sh_name) == Some(".BTF"))
        .and_then(goblin::elf::SectionHeader::file_range)
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
