//! The CPU priority of the calling thread (in Linux, nice values belong to threads).

use std::io;

/// The nice value: -20 (first) to 19.
///
/// # Errors
/// The kernel does not say.
pub fn nice() -> io::Result<i32> {
    // -1 is a value as well as the sign of an error, so errno decides.
    nix::errno::Errno::clear();
    // SAFETY: takes numbers only.
    let value = unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) };
    match nix::errno::Errno::last_raw() {
        0 => Ok(value),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Sets it. Threads started from now on inherit it.
///
/// # Errors
/// A lower value than the present one takes CAP_SYS_NICE.
pub fn set_nice(value: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_has_its_own() {
        let before = nice().unwrap();
        std::thread::spawn(move || {
            set_nice((before + 1).min(19)).unwrap();
            assert_eq!(nice().unwrap(), (before + 1).min(19));
        })
        .join()
        .unwrap();
        assert_eq!(nice().unwrap(), before);
    }
}
