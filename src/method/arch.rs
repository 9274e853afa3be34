//! The architecture of the machine that facts are of, and what depends on it: the numbers of the
//! system calls that create processes, and which of those calls there are.

use super::facts::Call;
use serde::{Deserialize, Serialize};

/// Architecture of a kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arch {
    /// x86-64; what streams and facts without an architecture were recorded on.
    #[default]
    X86_64,
    /// arm64
    Aarch64,
    /// Any other: with the generic table of system calls, as all new architectures have.
    #[serde(other)]
    Other,
}

/// The part of a table of system calls that creates processes.
type Table = [(i32, Call)];

/// `arch/x86/entry/syscalls/syscall_64.tbl`
const X86_64: &Table = &[(57, Call::Fork), (58, Call::Vfork), (56, Call::Clone), (435, Call::Clone3)];
/// `arch/x86/entry/syscalls/syscall_32.tbl` and `arch/arm/tools/syscall.tbl`, which agree in these.
const COMPAT: &Table = &[(2, Call::Fork), (190, Call::Vfork), (120, Call::Clone), (435, Call::Clone3)];
/// `include/uapi/asm-generic/unistd.h`: neither fork nor vfork.
const GENERIC: &Table = &[(220, Call::Clone), (435, Call::Clone3)];

/// The bit that marks x32's calls, which else have x86-64's numbers (`__X32_SYSCALL_BIT`).
const X32: i32 = 0x4000_0000;

impl Arch {
    /// That of the machine that this runs on.
    pub const HERE: Self = if cfg!(target_arch = "x86_64") {
        Self::X86_64
    } else if cfg!(target_arch = "aarch64") {
        Self::Aarch64
    } else {
        Self::Other
    };

    /// The system call that a number names; `compat` for a 32-bit call on a 64-bit kernel.
    pub fn call(self, nr: i32, compat: bool) -> Call {
        let (table, nr) = match self {
            _ if compat => (COMPAT, nr),
            Self::X86_64 => (X86_64, nr & !X32),
            Self::Aarch64 | Self::Other => (GENERIC, nr),
        };
        table.iter().find(|(number, _)| *number == nr).map_or(Call::Unknown, |(_, call)| *call)
    }

    /// There are system calls fork and vfork, and C libraries use them: musl for fork, all for vfork.
    /// Elsewhere both are made of clone.
    pub fn has_fork_and_vfork(self) -> bool {
        matches!(self, Self::X86_64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_architecture_has_its_own_numbers() {
        for (arch, compat, numbers) in [
            (
                Arch::X86_64,
                false,
                [(57, Call::Fork), (58, Call::Vfork), (56, Call::Clone), (435, Call::Clone3)],
            ),
            (
                Arch::X86_64,
                true,
                [(2, Call::Fork), (190, Call::Vfork), (120, Call::Clone), (435, Call::Clone3)],
            ),
            (
                Arch::Aarch64,
                true,
                [(2, Call::Fork), (190, Call::Vfork), (120, Call::Clone), (435, Call::Clone3)],
            ),
            (
                Arch::Aarch64,
                false,
                [(57, Call::Unknown), (58, Call::Unknown), (220, Call::Clone), (435, Call::Clone3)],
            ),
        ] {
            for (nr, call) in numbers {
                assert_eq!(arch.call(nr, compat), call, "{arch:?} {nr} {compat}");
            }
        }
        assert_eq!(Arch::X86_64.call(X32 | 56, false), Call::Clone);
        assert_eq!(Arch::X86_64.call(220, false), Call::Unknown);
        assert_eq!(Arch::Aarch64.call(-1, false), Call::Unknown);
    }

    #[test]
    fn an_architecture_of_a_later_version_is_another() {
        for (text, arch) in
            [("\"x86_64\"", Arch::X86_64), ("\"aarch64\"", Arch::Aarch64), ("\"riscv64\"", Arch::Other)]
        {
            assert_eq!(serde_json::from_str::<Arch>(text).unwrap(), arch);
        }
    }
}
