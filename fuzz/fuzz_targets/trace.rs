//! Any form of a trace: read whole, and as the newest of its starts.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use startrace::trace::read::Reader;
use std::io::Cursor;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    startrace_fuzz::mutate_json(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let Ok(reader) = Reader::new("fuzz".into(), Box::new(Cursor::new(bytes.to_vec()))) else { return };
    match reader.load() {
        Ok(loaded) => drop(loaded.is_complete()),
        // One sentence that a person can read.
        Err(error) => {
            let said = error.to_string();
            assert!(!said.is_empty() && !said.chars().any(char::is_control), "{said:?}");
        }
    }
});
