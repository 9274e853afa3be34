//! Tells the forms of a trace apart by their first bytes.
//!
//! Both begin with an object. That of an NDJSON file has a `type` among its keys, the document has
//! `starts` and no `type`; the order of keys is not relied upon, as other programs rewrite traces.

use super::{ErrorKind, ReadError};
use std::io::{self, Read};

/// A header is some 500 bytes; what is not decided after this many is taken for a document.
const ENOUGH: usize = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// One JSON document.
    Document,
    /// NDJSON or a spool.
    Lines,
}

/// Follows the first object just closely enough to see its own keys.
#[derive(Default)]
struct Keys {
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The string under way at depth 1, if it can be a key of interest.
    key: Vec<u8>,
}

impl Keys {
    /// Takes the next byte; says so when the form is decided.
    fn take(&mut self, byte: u8) -> Option<Form> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ if self.key.len() < 16 => self.key.push(byte),
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.key.clear();
            }
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 0 {
                    return Some(Form::Document);
                }
            }
            // The string before a colon is a key.
            b':' if self.depth == 1 => match &*self.key {
                b"type" => return Some(Form::Lines),
                b"starts" | b"session" => return Some(Form::Document),
                _ => {}
            },
            _ => {}
        }
        None
    }
}

/// Reads until the form is clear; returns the bytes that were read for it.
pub(super) fn sniff(name: &str, input: &mut dyn Read) -> Result<(Vec<u8>, Form), ReadError> {
    let mut head = Vec::new();
    let mut keys = Keys::default();
    let mut chunk = vec![0; 16 << 10];
    let mut begun = false;
    loop {
        let n = match input.read(&mut chunk) {
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ReadError::io(name, e)),
        };
        let Some(new) = chunk.get(..n).filter(|new| !new.is_empty()) else {
            return if begun {
                Ok((head, Form::Document))
            } else {
                Err(ReadError::new(name, ErrorKind::Empty))
            };
        };
        head.extend_from_slice(new);
        // A pipe may give single bytes; the longest mark has six.
        if head.len() - new.len() < 6
            && let Some(tool) = compression(&head)
        {
            return Err(ReadError::new(name, ErrorKind::Compressed(tool)));
        }
        if !begun {
            begun = head.iter().any(|b| !b.is_ascii_whitespace());
        }
        for &byte in new {
            if let Some(form) = keys.take(byte) {
                return Ok((head, form));
            }
        }
        if head.len() >= ENOUGH {
            return if begun {
                Ok((head, Form::Document))
            } else {
                Err(ReadError::new(name, ErrorKind::NotATrace("it begins with a megabyte of blanks".into())))
            };
        }
    }
}

fn compression(head: &[u8]) -> Option<&'static str> {
    [
        (&b"\x1f\x8b"[..], "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
        (b"\xfd7zXZ\0", "xz"),
        (b"BZh", "bzip2"),
        (b"\x04\x22\x4d\x18", "lz4"),
    ]
    .iter()
    .find(|(magic, _)| head.starts_with(magic))
    .map(|&(_, tool)| tool)
}
