//! Names of system calls, by architecture: a number means another call on each.

use crate::method::arch::Arch;

/// The bit that marks a call of the x32 ABI, whose numbers are otherwise (nearly) those of x86-64.
const X32: i32 = 0x4000_0000;

/// The name of a system call; `compat`: in the table of 32-bit programs.
pub(super) fn name(arch: Arch, nr: i32, compat: bool) -> Option<&'static str> {
    use syscalls::{aarch64, arm, x86, x86_64};
    let nr = if arch == Arch::X86_64 && !compat { nr & !X32 } else { nr };
    let nr = usize::try_from(nr).ok()?;
    match (arch, compat) {
        (Arch::X86_64, false) => x86_64::Sysno::new(nr).map(|call| call.name()),
        (Arch::X86_64, true) => x86::Sysno::new(nr).map(|call| call.name()),
        // The generic table, which all new architectures have.
        (Arch::Aarch64 | Arch::Other, false) => aarch64::Sysno::new(nr).map(|call| call.name()),
        (Arch::Aarch64, true) => arm::Sysno::new(nr).map(|call| call.name()),
        (Arch::Other, true) => None,
    }
}

/// The number of a system call of 64-bit programs.
pub(super) fn number(arch: Arch, name: &str) -> Option<i32> {
    match arch {
        Arch::X86_64 => syscalls::x86_64::Sysno::iter().find(|call| call.name() == name).map(|c| c.id()),
        Arch::Aarch64 | Arch::Other => {
            syscalls::aarch64::Sysno::iter().find(|call| call.name() == name).map(|c| c.id())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Arch, name};

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
}
