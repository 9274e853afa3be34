//! Standard error, where what cannot be told is left untold.
//!
//! A reader that has gone, or a full disk, must not change how a recording or its command ends: `eprintln!` would panic
//! then, and the guard would end the command along with us.

use std::fmt;
use std::io::{self, Write};

/// `eprintln!` that nothing comes of where nobody reads.
macro_rules! tell {
    ($($text:tt)*) => {
        $crate::stderr::line(format_args!($($text)*))
    };
}

pub(crate) use tell;

/// One line, in one piece; [`tell`] is the way to it.
pub(crate) fn line(text: fmt::Arguments<'_>) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// What is written to it is written, or not.
pub(crate) fn writer() -> Careless<io::Stderr> {
    Careless(io::stderr())
}

/// A writer that cannot fail.
#[derive(Debug)]
pub(crate) struct Careless<W>(W);

impl<W: Write> Write for Careless<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.0.write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let _ = self.0.flush();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error() {
        let mut out = Careless(Gone);
        assert!(writeln!(out, "told to nobody").and_then(|()| out.flush()).is_ok());
    }

    #[test]
    fn what_can_be_written_is_written_whole() {
        let mut kept = Vec::new();
        writeln!(Careless(&mut kept), "a line of {} words", 5).unwrap();
        assert_eq!(kept, b"a line of 5 words\n");
    }
}
