//! A trace of a stranger's, shown: findings looked for, every view, for people and for machines.

#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use startrace::diagnose::Thresholds;
use startrace::report::{self, Digest, Style, View};
use startrace::trace::read::Reader;
use std::io::Cursor;
use unicode_width::UnicodeWidthStr;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    startrace_fuzz::mutate_json(data, size, max_size, seed)
});

fn reader(bytes: &[u8]) -> Option<Reader> {
    Reader::new("fuzz".into(), Box::new(Cursor::new(bytes.to_vec()))).ok()
}

fuzz_target!(|bytes: &[u8]| {
    let Some(digest) = reader(bytes).and_then(|reader| Digest::read(reader).ok()) else { return };
    let anew = reader(bytes).and_then(|reader| Digest::diagnose(reader, Thresholds::default()).ok());
    for digest in [Some(digest), anew].iter().flatten() {
        for (width, all, unicode) in [(40, true, false), (80, false, true), (400, true, true)] {
            let view = View { all, top: None };
            let style = Style { width, color: false, unicode };
            let mut out = Vec::new();
            report::render_view(digest, view, &style, &mut out).expect("into memory");
            let text = String::from_utf8(out).expect("UTF-8");
            for line in text.lines() {
                assert!(!line.chars().any(char::is_control), "{line:?}");
                assert!(line.width() <= width, "wider than {width}: {line:?}");
            }
        }
        let mut out = Vec::new();
        report::write_json(digest, View { all: true, top: Some(3) }, &mut out).expect("into memory");
        serde_json::from_slice::<serde_json::Value>(&out).expect("JSON");
    }
});
