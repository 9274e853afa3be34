//! A file that may be an ELF file: all that is ever asked of one.

#![no_main]

use libfuzzer_sys::fuzz_target;
use nix::sys::memfd::{MFdFlags, memfd_create};
use startrace::elf;
use startrace::elf::resolve::{Settings, resolve};
use startrace::elf::root::Root;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

struct Place {
    file: File,
    root: Root,
}

/// One file for all runs, and a root with nothing in it.
fn place() -> &'static Place {
    static PLACE: OnceLock<Place> = OnceLock::new();
    PLACE.get_or_init(|| {
        let folder = std::env::temp_dir().join(format!("startrace-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let root = Root::open(&folder).expect("a root");
        let _ = std::fs::remove_dir(&folder);
        let file = memfd_create(c"elf", MFdFlags::MFD_CLOEXEC).expect("a file");
        Place { file: file.into(), root }
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Place { file, root } = place();
    file.set_len(0).expect("empty");
    file.write_all_at(bytes, 0).expect("filled");
    if let Ok(facts) = elf::facts(file) {
        let _ = facts.binary();
    }
    let _ = elf::hooks(file);
    let _ = elf::probes(file);
    let _ = elf::python::imports(file);
    let _ = elf::shell::sources(file);
    let _ = elf::python::library(file, Path::new("/usr/bin/python3"), root);
    if let Ok(functions) = elf::Functions::read(file) {
        for at in [0, 1, functions.count() as u64, bytes.len() as u64, u64::MAX] {
            let _ = functions.at(at);
        }
    }
    let settings = Settings {
        root,
        cwd: PathBuf::from("/"),
        library_path: Some(b"$ORIGIN/lib:/x".to_vec()),
        preload: None,
        secure: bytes.len() % 2 == 1,
    };
    let _ = resolve(file, Path::new("/usr/bin/program"), &settings);
});
