//! What the program carries, packed by `build.rs`: long texts that are seldom needed, and the BPF programs, which are
//! needed once. A quarter of their size.

use flate2::read::DeflateDecoder;
use std::io::Read;

/// The text of a file in `src/`, by its path there. `build.rs` lists them.
macro_rules! text {
    ($path:literal) => {
        $crate::packed::unpack(include_bytes!(concat!(env!("OUT_DIR"), "/packed/", $path)))
    };
}
pub(crate) use text;

/// Unpacks a text that `build.rs` packed.
///
/// # Panics
/// `packed` is something else.
#[expect(clippy::expect_used, reason = "made by our own build")]
pub(crate) fn unpack(packed: &[u8]) -> String {
    String::from_utf8(bytes(packed)).expect("packed by build.rs")
}

/// The same of bytes.
///
/// # Panics
/// `packed` is something else.
#[expect(clippy::expect_used, reason = "made by our own build")]
pub(crate) fn bytes(packed: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    DeflateDecoder::new(packed).read_to_end(&mut bytes).expect("packed by build.rs");
    bytes
}
