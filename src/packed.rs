//! Long texts that the program carries and seldom needs, packed by `build.rs`: a quarter of their size.

use flate2::read::DeflateDecoder;
use std::io::Read;

/// The text of a file in `src/`, by its path there. `build.rs` lists them.
macro_rules! text {
    ($path:literal) => {
        $crate::packed::unpack(include_bytes!(concat!(env!("OUT_DIR"), "/packed/", $path)))
    };
}
pub(crate) use text;

/// Unpacks what `build.rs` packed.
///
/// # Panics
/// `packed` is something else.
#[expect(clippy::expect_used, reason = "made by our own build")]
pub(crate) fn unpack(packed: &[u8]) -> String {
    let mut text = String::new();
    DeflateDecoder::new(packed).read_to_string(&mut text).expect("packed by build.rs");
    text
}
