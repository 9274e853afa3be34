//! What has to be remembered of every start of a long recording, out of memory: in nameless files, of which a part of
//! fixed size is at hand. Where there is no such file, or it takes no more, it stays in memory.

mod store;
mod table;

pub(crate) use store::Store;
pub(crate) use table::Table;

/// Room for what is seldom asked for, out of memory.
pub trait Scratch: std::fmt::Debug {
    /// Writes all of it there.
    ///
    /// # Errors
    /// There is no room, or there never was.
    fn write(&mut self, at: u64, bytes: &[u8]) -> std::io::Result<()>;
    /// Reads what was written there, as far as it goes.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&self, at: u64, into: &mut [u8]) -> std::io::Result<usize>;
    /// What was written between these places is asked for no more.
    fn forget(&mut self, from: u64, to: u64);
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::io;
    use std::rc::Rc;

    /// A file that takes so many bytes.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Disk(pub(crate) Rc<RefCell<Vec<u8>>>, pub(crate) usize);

    impl Scratch for Disk {
        fn write(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
            let (mut disk, end) = (self.0.borrow_mut(), at as usize + bytes.len());
            if end > self.1 {
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            let len = end.max(disk.len());
            disk.resize(len, 0);
            disk[at as usize..end].copy_from_slice(bytes);
            Ok(())
        }

        fn read(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
            let disk = self.0.borrow();
            let rest = disk.get(at as usize..).unwrap_or_default();
            let n = rest.len().min(into.len());
            into[..n].copy_from_slice(&rest[..n]);
            Ok(n)
        }

        fn forget(&mut self, _: u64, _: u64) {}
    }
}
