//! Where a loader and a C library can be probed, so that a start tells how far it is.

use super::Error;
use super::image::Image;
use super::symbols::Symbols;
use goblin::elf::header::{EM_386, EM_AARCH64, EM_X86_64};
use goblin::elf::program_header::{PF_X, PT_LOAD, ProgramHeader};
use std::fs::File;

/// Functions to probe, each by its offset in the file; a library has those that are its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// `_dl_debug_state` of a dynamic loader.
    pub debug_state: Option<u64>,
    /// From that function to `_r_debug.r_state` in memory, which says what the call is about; `None`
    /// where the loader does not export it.
    pub r_state: Option<i32>,
    /// `__libc_start_main`. Its versions share one address in all C libraries so far.
    pub libc_start: Vec<u64>,
    /// `execve`.
    pub execve: Vec<u64>,
}

impl Hooks {
    /// Loader and C library in one, as musl has it.
    pub fn is_musl(&self) -> bool {
        self.debug_state.is_some() && !self.libc_start.is_empty()
    }
}

/// Finds the functions of a loader or C library that runs on this machine; of another machine's, which
/// an emulator runs, none: a breakpoint of this machine's would damage them.
///
/// # Errors
/// As for [`super::facts`].
pub fn hooks(file: &File) -> Result<Hooks, Error> {
    let image = Image::read(file)?;
    let symbols = Symbols::new(&image).filter(|_| is_native(&image));
    let Some(symbols) = symbols else { return Ok(Hooks::default()) };
    let offsets = |name| -> Vec<u64> {
        let addresses = symbols.addresses(name).into_iter();
        addresses.filter_map(|address| code_offset(&image, address)).collect()
    };
    let debug_state = symbols.addresses("_dl_debug_state").first().copied();
    let r_debug = symbols.addresses("_r_debug").first().copied();
    // struct r_debug of <link.h>: int, two pointers, and then r_state.
    let r_state = debug_state.zip(r_debug).and_then(|(function, object)| {
        let field = object.checked_add(3 * image.word_size() as u64)?;
        i32::try_from(field.cast_signed().checked_sub(function.cast_signed())?).ok()
    });
    Ok(Hooks {
        debug_state: debug_state.and_then(|address| code_offset(&image, address)),
        r_state,
        libc_start: offsets("__libc_start_main"),
        execve: offsets("execve"),
    })
}

/// Does an x86-64 program call what is at `function` by the five bytes at `at` (both offsets in the file)?
#[must_use]
pub fn is_call(file: &File, at: u64, function: u64) -> bool {
    const CALL: u8 = 0xe8;
    let Ok(image) = Image::read(file) else { return false };
    let Some(next) = at.checked_add(5) else { return false };
    // Within one segment offsets are as far apart as addresses.
    let within = |segment: &ProgramHeader| {
        let inside =
            |offset: u64| offset.checked_sub(segment.p_offset).is_some_and(|delta| delta < segment.p_filesz);
        segment.p_type == PT_LOAD
            && segment.p_flags & PF_X != 0
            && [at, next, function].into_iter().all(inside)
    };
    if image.header.e_machine != EM_X86_64 || !image.segments.iter().any(within) {
        return false;
    }
    let Ok([CALL, distance @ ..]) = <[u8; 5]>::try_from(image.source.read_up_to(at, 5)) else { return false };
    next.checked_add_signed(i32::from_le_bytes(distance).into()) == Some(function)
}

/// Can the kernel probe code of that machine?
pub(super) fn is_native(image: &Image<'_>) -> bool {
    let native: &[u16] = if cfg!(target_arch = "x86_64") {
        &[EM_X86_64, EM_386]
    } else if cfg!(target_arch = "aarch64") {
        // The kernel probes no 32-bit code there.
        &[EM_AARCH64]
    } else {
        &[]
    };
    native.contains(&image.header.e_machine)
}

/// Where an instruction is in the file.
pub(super) fn code_offset(image: &Image<'_>, address: u64) -> Option<u64> {
    let segment = image.segments.iter().find(|s| {
        let inside = address.checked_sub(s.p_vaddr).is_some_and(|delta| delta < s.p_filesz);
        s.p_type == PT_LOAD && s.p_flags & PF_X != 0 && inside
    })?;
    (address - segment.p_vaddr).checked_add(segment.p_offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A call, and what only looks like one.
    #[test]
    fn calls_are_told_by_their_five_bytes() {
        let mut bytes = fs::read("/proc/self/exe").unwrap();
        let image = goblin::elf::Elf::parse(&bytes).unwrap();
        let native = image.header.e_machine == EM_X86_64;
        let code =
            image.program_headers.iter().find(|s| s.p_type == PT_LOAD && s.p_flags & PF_X != 0).unwrap();
        let (begin, end) = (code.p_offset, code.p_offset + code.p_filesz);
        let (function, at) = (begin + 64, begin + 128);
        let mut write = |at: u64, call: &[u8]| {
            let at = usize::try_from(at).unwrap();
            bytes[at..at + call.len()].copy_from_slice(call);
        };
        write(at, &[0xe8, 0xbb, 0xff, 0xff, 0xff]);
        write(end - 5, &[0xe8, 0, 0, 0, 0]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        fs::write(&path, &bytes).unwrap();
        let file = File::open(&path).unwrap();
        assert_eq!(is_call(&file, at, function), native);
        let others =
            [(at, function + 1), (at + 1, function), (at - 1, function), (0, 5), (u64::MAX, function)];
        for (at, function) in others {
            assert!(!is_call(&file, at, function), "{at:#x} {function:#x}");
        }
        // It leads out of the segment.
        assert!(!is_call(&file, end - 5, end));
    }
}
