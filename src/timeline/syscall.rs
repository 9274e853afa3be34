//! Names of system calls, by architecture: a number means another call on each.

use crate::method::arch::Arch;

/// The bit that marks a call of the x32 ABI, whose numbers are otherwise (nearly) those of x86-64.
const X32: i32 = 0x4000_0000;

// Made by the build script of the `syscalls` crate's: names, and for each architecture where its numbers' are.
include!(concat!(env!("OUT_DIR"), "/syscalls.rs"));

/// The name of a system call; `compat`: in the table of 32-bit programs.
pub(super) fn name(arch: Arch, nr: i32, compat: bool) -> Option<&'static str> {
    let nr = if arch == Arch::X86_64 && !compat { nr & !X32 } else { nr };
    named(table(arch, compat)?, usize::try_from(nr).ok()?)
}

/// The number of a system call of 64-bit programs.
pub(super) fn number(arch: Arch, name: &str) -> Option<i32> {
    let table = table(arch, false)?;
    i32::try_from((0..table.len()).find(|&nr| named(table, nr) == Some(name))?).ok()
}

/// Is there a system call of this name on any architecture?
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && NAMES.lines().any(|line| line == name)
}

fn table(arch: Arch, compat: bool) -> Option<&'static [u16]> {
    match (arch, compat) {
        (Arch::X86_64, false) => Some(X86_64),
        (Arch::X86_64, true) => Some(X86),
        // The generic table, which all new architectures have.
        (Arch::Aarch64 | Arch::Other, false) => Some(AARCH64),
        (Arch::Aarch64, true) => Some(ARM),
        (Arch::Other, true) => None,
    }
}

fn named(table: &[u16], nr: usize) -> Option<&'static str> {
    let line = NAMES.get(usize::from(*table.get(nr)?)..)?.lines().next()?;
    (!line.is_empty()).then_some(line)
}

#[cfg(test)]
mod tests {
    use super::{Arch, is_name, name, number};

    #[test]
    fn each_architecture_has_its_own_numbers() {
        for (arch, nr, compat, expected) in [
            (Arch::X86_64, 61, false, Some("wait4")),
            (Arch::X86_64, 7, true, Some("waitpid")),
            (Arch::X86_64, 7, false, Some("poll")),
            (Arch::X86_64, 0x4000_0000 | 61, false, Some("wait4")),
            (Arch::Aarch64, 260, false, Some("wait4")),
            (Arch::Aarch64, 114, true, Some("wait4")),
            (Arch::X86_64, 9999, false, None),
            (Arch::X86_64, -5, false, None),
            (Arch::X86_64, i32::MIN, true, None),
            (Arch::Other, 260, false, Some("wait4")),
            (Arch::Other, 1, true, None),
        ] {
            assert_eq!(name(arch, nr, compat), expected, "{arch:?} {nr} {compat}");
        }
    }

    #[test]
    fn tables_are_those_of_the_crate() {
        macro_rules! same {
            ($($table:ident: $arch:expr, $compat:expr)*) => {
                $(let of = |nr: usize| syscalls::$table::Sysno::new(nr).map(|call| call.name());
                for nr in 0..5000 {
                    let ours = name($arch, i32::try_from(nr).unwrap(), $compat);
                    assert_eq!(ours, of(nr), "{} {nr}", stringify!($table));
                    if let Some(ours) = ours {
                        assert!(is_name(ours), "{ours}");
                        assert!($compat || number($arch, ours) == i32::try_from(nr).ok(), "{ours}");
                    }
                })*
            };
        }
        same! { x86_64: Arch::X86_64, false x86: Arch::X86_64, true aarch64: Arch::Aarch64, false arm: Arch::Aarch64, true }
        assert!(!is_name("") && !is_name("read\nwrite") && !is_name("password"));
        assert_eq!(number(Arch::X86_64, ""), None);
    }
}
