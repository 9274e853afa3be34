//! Compiles the BPF programs and generates their skeleton, the wire types included.

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
    println!("cargo:rerun-if-env-changed=BPF_CLANG");
    let Some(clang) = find_clang() else {
        anyhow::bail!(
            "no clang found (tried $BPF_CLANG, clang, clang-39 ... clang-14): it compiles the BPF programs.\n\
             Install it with 'cargo xtask setup', or 'apt-get install clang', or point BPF_CLANG at one."
        );
    };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default()).join("startrace.skel.rs");
    SkeletonBuilder::new()
        .source(SOURCE)
        .clang(clang)
        .clang_args(["-mcpu=v3", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"])
        .build_and_generate(&out)
}
