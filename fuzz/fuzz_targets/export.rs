//! A trace of a stranger's, in the formats of other tools.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::Value;
use startrace::export::{self, Format, Options, Source};
use std::fs::File;
use std::io::Write;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    startrace_fuzz::mutate_json(data, size, max_size, seed)
});

/// What every reader of the format asks of it first.
fn looks_right(format: Format, out: &[u8]) {
    if format.is_binary() {
        return;
    }
    let text = std::str::from_utf8(out).expect("UTF-8");
    match format {
        Format::Chrome | Format::Speedscope => drop(serde_json::from_str::<Value>(text).expect("JSON")),
        Format::Otlp | Format::Ndjson => {
            for line in text.lines() {
                serde_json::from_str::<Value>(line).expect("JSON");
            }
        }
        Format::Html => assert_eq!(text.matches("</html>").count(), 1),
        _ => assert!(!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')), "{text:?}"),
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut file: File = memfd_create(c"trace", MFdFlags::MFD_CLOEXEC).expect("a file").into();
    file.write_all(bytes).expect("filled");
    let mut source = Source::new("fuzz".into(), file);
    let Ok(outline) = source.outline() else { return };
    for format in Format::ALL {
        let options = Options { command_lines: bytes.len() % 2 == 1, ..Options::default() };
        let mut out = Vec::new();
        if export::export(&mut source, &outline, &mut *format.exporter(&options), &mut out).is_ok() {
            looks_right(format, &out);
        }
    }
});
