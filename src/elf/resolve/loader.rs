//! What the dynamic loader itself brings: its default folders and how it expands `$LIB` and
//! `$PLATFORM`. Distributions compile these into it, so they are read from it.

use super::search::Search;
use crate::elf::Facts;
use crate::elf::facts;
use crate::elf::image::Image;
use crate::trace::text;
use goblin::elf::header::{EM_386, EM_AARCH64, EM_ARM, EM_X86_64};
use memchr::memmem;
use std::os::unix::fs::MetadataExt;

/// Loaders have 100 to 900 KiB.
const MAX_LOADER: u64 = 4 << 20;

/// A program's loader.
#[derive(Debug, Default)]
pub(super) struct Loader {
    pub(super) musl: bool,
    /// As in `PT_INTERP`, or where the ABI puts it for a library.
    pub(super) path: Vec<u8>,
    /// With a slash at the end of each.
    pub(super) folders: Vec<Vec<u8>>,
    /// `$LIB`
    pub(super) lib: Vec<u8>,
    /// `$PLATFORM`
    pub(super) platform: Vec<u8>,
    /// Subdirectories of `glibc-hwcaps` that this processor can use, best first.
    pub(super) subdirectories: Vec<&'static str>,
    pub(super) dynamic_soname: Option<Vec<u8>>,
    pub(super) relocations: Option<u64>,
    /// `None` where there is no such loader in the root.
    pub(super) size: Option<u64>,
    pub(super) id: Option<(u64, u64)>,
}

impl Loader {
    pub(super) fn find(program: &Facts, search: &mut Search<'_>, problems: &mut Vec<String>) -> Loader {
        let machine = program.machine_id;
        let musl = program.libc.as_deref() == Some("musl");
        let path = match &program.interpreter {
            Some(path) => text::decode(path),
            None => usual_path(machine, program.bits, musl).to_vec(),
        };
        let mut loader = Loader {
            musl,
            folders: usual_folders(program.bits),
            platform: usual_platform(machine).to_vec(),
            path,
            ..Loader::default()
        };
        match search.read(&loader.path) {
            Ok(file) => {
                if let Ok(image) = Image::read(&file) {
                    loader.learn(&image, machine);
                    let dynamic = facts::dynamic(&image);
                    loader.dynamic_soname = dynamic.soname;
                    loader.relocations = Some(dynamic.relocations);
                }
                if let Ok(meta) = file.metadata() {
                    loader.size = Some(meta.len());
                    loader.id = Some((meta.dev(), meta.ino()));
                }
            }
            Err(error) if program.interpreter.is_some() => problems.push(format!(
                "its interpreter {} cannot be opened ({error}): exec of the program fails",
                text::encode(&loader.path)
            )),
            Err(_) => {}
        }
        loader.lib = lib_token(&loader.folders);
        loader
    }

    fn learn(&mut self, image: &Image<'_>, machine: u16) {
        let bytes = image.source.read_up_to(0, MAX_LOADER);
        if let Some(folders) = compiled_in_folders(&bytes) {
            self.folders = folders;
        }
        // What the processor can do is only known of the one that this runs on.
        let same = machine == EM_X86_64 && cfg!(target_arch = "x86_64");
        if same && memmem::find(&bytes, b"glibc-hwcaps").is_some() {
            self.subdirectories = x86_64_levels();
        }
        // Until glibc 2.36 the platform of an Intel processor with AVX2 is named after the first such one
        // (init_cpu_features in sysdeps/x86/cpu-features.c asks for arch_kind_intel); an AMD one stays x86_64.
        if same && is_intel() && is_haswell() && memmem::find(&bytes, b"\0haswell\0").is_some() {
            self.platform = b"haswell".to_vec();
        }
    }
}

fn usual_path(machine: u16, bits: u8, musl: bool) -> &'static [u8] {
    match (machine, bits, musl) {
        (EM_X86_64, 64, false) => b"/lib64/ld-linux-x86-64.so.2",
        (EM_X86_64, 64, true) => b"/lib/ld-musl-x86_64.so.1",
        (EM_X86_64, _, false) => b"/libx32/ld-linux-x32.so.2",
        (EM_386, _, false) => b"/lib/ld-linux.so.2",
        (EM_386, _, true) => b"/lib/ld-musl-i386.so.1",
        (EM_AARCH64, _, false) => b"/lib/ld-linux-aarch64.so.1",
        (EM_AARCH64, _, true) => b"/lib/ld-musl-aarch64.so.1",
        (EM_ARM, _, false) => b"/lib/ld-linux-armhf.so.3",
        _ => b"/lib/ld.so.1",
    }
}

/// glibc's own choice, where the loader cannot be asked.
fn usual_folders(bits: u8) -> Vec<Vec<u8>> {
    match bits {
        64 => vec![b"/lib64/".to_vec(), b"/usr/lib64/".to_vec()],
        _ => vec![b"/lib/".to_vec(), b"/usr/lib/".to_vec()],
    }
}

fn usual_platform(machine: u16) -> &'static [u8] {
    match machine {
        EM_X86_64 => b"x86_64",
        EM_386 => b"i686",
        EM_AARCH64 => b"aarch64",
        EM_ARM => b"v7l",
        _ => b"",
    }
}

/// glibc keeps its default folders as one run of strings (`system_dirs` in `dl-load.c`), each an
/// absolute path that ends with a slash. Nothing else in a loader looks like that.
fn compiled_in_folders(loader: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut best: Vec<Vec<u8>> = Vec::new();
    let mut run: Vec<Vec<u8>> = Vec::new();
    let is_folder = |s: &[u8]| {
        let lib = memmem::find(s, b"/lib").is_some();
        lib && s.len() < 256 && s.starts_with(b"/") && s.ends_with(b"/") && s.is_ascii()
    };
    let mut expected = 0;
    for slash in memmem::find_iter(loader, b"/\0") {
        let before = loader.get(..slash).unwrap_or_default();
        let start = memchr::memrchr(0, before).map_or(0, |nul| nul + 1);
        let string = loader.get(start..=slash).unwrap_or_default();
        if start != expected {
            run.clear();
        }
        if is_folder(string) && run.len() < 16 {
            run.push(string.to_vec());
            if run.len() > best.len() {
                best.clone_from(&run);
            }
        } else {
            run.clear();
        }
        expected = slash + 2;
    }
    (!best.is_empty()).then_some(best)
}

/// `$LIB` is the tail of the first default folder: `lib/x86_64-linux-gnu` on Debian, `lib64` on Fedora.
fn lib_token(folders: &[Vec<u8>]) -> Vec<u8> {
    let first = folders.first().map(Vec::as_slice).unwrap_or_default();
    let first = first.strip_suffix(b"/").unwrap_or(first);
    match memmem::rfind(first, b"/lib") {
        Some(at) => first.get(at + 1..).unwrap_or_default().to_vec(),
        None => b"lib".to_vec(),
    }
}

#[cfg(target_arch = "x86_64")]
fn is_haswell() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("avx2") && has!("bmi1") && has!("bmi2") && has!("fma") && has!("lzcnt") && has!("movbe")
}

#[cfg(target_arch = "x86_64")]
fn is_intel() -> bool {
    // Safe in newer versions of Rust, unsafe in older ones.
    #[allow(unused_unsafe)]
    // SAFETY: every x86-64 processor has the instruction and its leaf 0.
    let vendor = unsafe { std::arch::x86_64::__cpuid(0) };
    is_intel_vendor(vendor.ebx, vendor.edx, vendor.ecx)
}

/// The twelve letters of leaf 0, in the processor's own order.
#[cfg(target_arch = "x86_64")]
fn is_intel_vendor(ebx: u32, edx: u32, ecx: u32) -> bool {
    [ebx, edx, ecx].map(u32::to_le_bytes).as_flattened() == b"GenuineIntel"
}

/// The levels of the x86-64 psABI that this processor has, best first.
#[cfg(target_arch = "x86_64")]
fn x86_64_levels() -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    let v2 = has!("cmpxchg16b") && has!("popcnt") && has!("sse4.2") && has!("ssse3");
    let v3 = v2 && is_haswell() && has!("avx") && has!("f16c");
    let v4 =
        v3 && has!("avx512f") && has!("avx512bw") && has!("avx512cd") && has!("avx512dq") && has!("avx512vl");
    let levels = [(v4, "x86-64-v4"), (v3, "x86-64-v3"), (v2, "x86-64-v2")];
    let usable = levels.into_iter().filter(|(has, _)| *has);
    usable.map(|(_, name)| name).collect()
}

#[cfg(not(target_arch = "x86_64"))]
fn is_haswell() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn is_intel() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn x86_64_levels() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_folders_come_from_the_loader() {
        let debian = b"x\0/lib/x86_64-linux-gnu/\0/usr/lib/x86_64-linux-gnu/\0/lib/\0/usr/lib/\0\0/var/\0";
        let folders = compiled_in_folders(debian).unwrap();
        assert_eq!(folders.len(), 4);
        assert_eq!(lib_token(&folders), b"lib/x86_64-linux-gnu");
        assert_eq!(lib_token(&usual_folders(64)), b"lib64");
        assert_eq!(lib_token(&[b"/nix/store/x-glibc/lib/".to_vec()]), b"lib");
        assert_eq!(compiled_in_folders(b"/lib\0lib/\0/usr/\0"), None);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn only_intel_has_the_platform_haswell() {
        let words = |vendor: &[u8; 12]| {
            let word = |at: usize| u32::from_le_bytes(vendor[at..at + 4].try_into().unwrap());
            (word(0), word(4), word(8))
        };
        let (ebx, edx, ecx) = words(b"GenuineIntel");
        assert!(is_intel_vendor(ebx, edx, ecx));
        let (ebx, edx, ecx) = words(b"AuthenticAMD");
        assert!(!is_intel_vendor(ebx, edx, ecx));
    }
}
