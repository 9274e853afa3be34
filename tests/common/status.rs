//! What a process may do, by its `/proc/PID/status`.

use startrace::host::privilege::Capability;

pub fn bits(capabilities: &[Capability]) -> u64 {
    capabilities.iter().fold(0, |set, capability| set | capability.bit())
}

/// The words of a line.
pub fn field<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}")).split_whitespace().collect()
}

pub fn capabilities(status: &str, set: &str) -> u64 {
    u64::from_str_radix(field(status, set)[0], 16).unwrap()
}
