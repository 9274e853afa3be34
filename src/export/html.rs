//! One page for a browser that needs nothing else: no request to anywhere, works from a file.
//!
//! Nothing of a trace is in the page as text but its first sentence, escaped. The rest is deflated JSON
//! in base64, which holds no character that HTML could take for its own, and the page's script puts text
//! into the page as text only. A Content-Security-Policy with a nonce lets no other script run, should
//! both fail.
//!
//! The first block is the overview: a few numbers for each start, in columns. It and the script come
//! first, so that the page is there while the rest is still being read. The details of the starts follow
//! in blocks of [`CHUNK`], which the page unpacks when somebody looks at them.

use super::{Exporter, Outline};
use crate::hash::HashMap;
use crate::packed;
use crate::report::digest::{Digest, End, Row};
use crate::report::markup::{self, escape};
use crate::report::{headline, headline_and_rest, phase};
use crate::sort::SortSmall;
use crate::trace::json;
use crate::trace::schema::Start;
use crate::words::intern::{Interner, Sym};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde_json::{Value, json};
use std::io::{self, Write};

/// Starts whose details are unpacked together.
const CHUNK: usize = 256;
/// Most starts in a page; of more, the longest. A browser can do with more, but not in comfort.
const MAX_STARTS: usize = 200_000;

#[derive(Debug, Default)]
pub(super) struct Html {
    /// By row: the start is in the page.
    kept: Vec<bool>,
    chunk: Vec<Vec<u8>>,
    ids: Vec<String>,
}

/// Base64 with padding (RFC 4648).
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| u32::from(three.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for (i, shift) in [18, 12, 6, 0].into_iter().enumerate() {
            let digit = DIGITS.get((bits >> shift) as usize & 63).copied().unwrap_or(b'=');
            out.push(if i <= three.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

fn pack(json: &[u8]) -> io::Result<String> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(json)?;
    Ok(base64(&encoder.finish()?))
}

fn block(kind: &str, json: &[u8], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "<script type=\"text/plain\" class=\"{kind}\">{}</script>", pack(json)?)
}

/// The rows that are in the page: all, or the longest.
fn keep(digest: &Digest) -> Vec<bool> {
    let rows = &digest.rows;
    let mut kept = vec![rows.len() <= MAX_STARTS; rows.len()];
    if rows.len() > MAX_STARTS {
        let mut order: Vec<u32> = (0u32..).zip(rows).map(|(row, _)| row).collect();
        order.select_nth_unstable_by_key(MAX_STARTS, |&row| {
            std::cmp::Reverse(digest.row(row).map(|row| row.duration))
        });
        for row in order.into_iter().take(MAX_STARTS) {
            if let Some(kept) = kept.get_mut(row as usize) {
                *kept = true;
            }
        }
    }
    kept
}

/// Texts under small numbers, in the order of their first use.
#[derive(Default)]
struct Texts {
    texts: Interner,
    list: Vec<String>,
}

impl Texts {
    fn add(&mut self, text: &str) -> usize {
        let number = self.texts.add(text).number();
        if number == self.list.len() {
            self.list.push(text.to_owned());
        }
        number
    }
}

fn flags(digest: &Digest, row: &Row) -> u32 {
    let unfinished = digest.is_unfinished(row);
    [row.partial, unfinished, digest.is_failed(row), row.core, row.failed_execs > 0]
        .iter()
        .enumerate()
        .map(|(bit, &set)| u32::from(set) << bit)
        .sum()
}

/// Number, sum, and the durations' ranks, by method and over all.
fn totals(digest: &Digest) -> Value {
    let mut by_method: HashMap<Sym, Vec<u64>> = HashMap::default();
    let mut phases = vec![0u64; phase::COUNT];
    for row in &digest.rows {
        for span in digest.spans(row) {
            if let Some(sum) = phases.get_mut(usize::from(span.class())) {
                *sum = sum.saturating_add(span.length());
            }
        }
        // What began before the recording or outlived it has no duration to compare.
        let durations = by_method.entry(row.method).or_default();
        if !row.partial && !digest.is_unfinished(row) {
            durations.push(row.duration);
        }
    }
    let mut counts: HashMap<Sym, u64> = HashMap::default();
    digest.rows.iter().for_each(|row| *counts.entry(row.method).or_default() += 1);
    let methods = by_method.into_iter().map(|(method, mut durations)| {
        durations.sort_unstable();
        let rank = |part: usize| durations.get((durations.len() * part).div_ceil(100).saturating_sub(1));
        let sum = durations.iter().copied().fold(0, u64::saturating_add);
        json!({"name": digest.text(method), "n": counts.get(&method), "finished": durations.len(), "sum": sum,
            "p50": rank(50), "p95": rank(95), "max": durations.last()})
    });
    let mut methods: Vec<Value> = methods.collect();
    methods.sort_small_by_key(|m| (std::cmp::Reverse(m["sum"].as_u64()), m["name"].to_string()));
    json!({"methods": methods, "phases": phases})
}

/// Everything that the page needs to show all starts, without any one's details.
fn overview(trace: &Outline, kept: &[bool]) -> Value {
    let digest = &trace.digest;
    let number_of = {
        let mut next = 0i64;
        let numbers = kept.iter().map(|&kept| {
            next += i64::from(kept);
            if kept { next - 1 } else { -1 }
        });
        numbers.collect::<Vec<i64>>()
    };
    let number = |row: Option<u32>| row.and_then(|row| number_of.get(row as usize).copied()).unwrap_or(-1);
    let begin = digest.window().0;
    let (mut texts, mut shapes) = (Texts::default(), HashMap::default());
    let mut columns: Vec<Vec<Value>> = vec![Vec::new(); 13];
    let mut spans: Vec<u64> = Vec::new();
    for (row, _) in digest.rows.iter().zip(kept).filter(|(_, kept)| **kept) {
        let next = shapes.len();
        let shape = *shapes.entry((row.shape, row.method)).or_insert(next);
        let (code, signal) = match row.end {
            End::None => (Value::Null, -1),
            End::Code(code) => (code.into(), -1),
            End::Signal(signal) | End::Told(signal) => (Value::Null, texts.add(digest.text(signal)) as i64),
        };
        // Of a parent that is not in the page, the nearest that is.
        let mut parent = row.parent;
        let mut steps = 0;
        while parent.is_some() && number(parent) < 0 && steps < 64 {
            parent = parent.and_then(|parent| digest.row(parent)?.parent);
            steps += 1;
        }
        let all = digest.spans(row);
        let cells: [Value; 13] = [
            row.origin.saturating_sub(begin).into(),
            row.duration.into(),
            row.pid.into(),
            row.seq.into(),
            number(parent).into(),
            row.outside.map_or(-1, i64::from).into(),
            texts.add(digest.text(row.label)).into(),
            texts.add(digest.text(row.method)).into(),
            texts.add(digest.text(row.ready)).into(),
            shape.into(),
            flags(digest, row).into(),
            code,
            signal.into(),
        ];
        columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        spans.push(all.len() as u64);
        spans.extend(all.iter().flat_map(|span| [span.class().into(), span.at(), span.length()]));
    }
    let outside = digest.outside.iter().map(|process| json!([process.pid, digest.text(process.comm)]));
    let outside: Vec<Value> = outside.collect();
    let failures = digest.failures.iter().take(100).map(|failure| {
        json!({"pid": failure.pid, "comm": digest.text(failure.comm), "error": digest.text(failure.error), "n": failure.n})
    });
    let names = [
        "at", "ns", "pid", "seq", "parent", "outside", "label", "method", "ready", "shape", "flags", "code",
        "signal",
    ];
    let columns: serde_json::Map<String, Value> =
        names.iter().zip(columns).map(|(name, column)| ((*name).to_owned(), column.into())).collect();
    json!({
        "headline": headline(digest), "findings": digest.diagnosis.findings,
        "not_examined": digest.diagnosis.not_examined,
        "header": trace.header(), "session": trace.session(), "groups": trace.groups(),
        "cut_off": trace.cut_off(), "unknown_lines": digest.unknown_lines,
        "failed_forks": digest.failed_forks, "failures": failures.collect::<Vec<_>>(),
        "starts": digest.rows.len(), "origin_boottime_ns": begin, "chunk": CHUNK,
        "phases": phase::CLASSES.iter().map(|class| class.name).collect::<Vec<_>>(),
        "totals": totals(digest), "outside": outside, "texts": texts.list, "columns": columns, "spans": spans,
    })
}

/// Without what is not known: the page takes what is missing for `null`.
fn prune(value: &mut Value) {
    if let Value::Object(fields) = value {
        fields.retain(|_, field| !field.is_null());
        fields.values_mut().for_each(prune);
    } else if let Value::Array(items) = value {
        items.iter_mut().for_each(prune);
    }
}

impl Html {
    fn write_chunk(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let mut json = b"[".to_vec();
        json.extend(self.chunk.drain(..).collect::<Vec<_>>().join(&b','));
        json.push(b']');
        block("chunk", &json, out)
    }
}

impl Exporter for Html {
    fn begin(&mut self, trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        self.kept = keep(&trace.digest);
        let overview = json::text(&overview(trace, &self.kept))?;
        // In this order they are one script.
        let script = [
            packed::text!("export/html/base.js"),
            packed::text!("export/html/model.js"),
            packed::text!("export/html/timeline.js"),
            packed::text!("export/html/summary.js"),
            packed::text!("export/html/detail.js"),
            packed::text!("export/html/main.js"),
        ]
        .concat();
        let (page, style) = (packed::text!("export/html/page.html"), packed::text!("export/html/style.css"));
        let nonce = markup::nonce();
        let (first, rest) = headline_and_rest(&trace.digest);
        for piece in page.split_inclusive('}') {
            let (text, name) = match piece.rsplit_once("${") {
                Some((text, name)) => (text, name.trim_end_matches('}')),
                None => (piece, ""),
            };
            out.write_all(text.as_bytes())?;
            match name {
                "" => {}
                "nonce" => out.write_all(nonce.as_bytes())?,
                "style" => out.write_all([markup::PALETTE, &style].concat().as_bytes())?,
                "headline" => out.write_all(escape(&first).as_bytes())?,
                "rest" => out.write_all(escape(&rest).as_bytes())?,
                "overview" => block("overview", &overview, out)?,
                "script" => out.write_all(script.as_bytes())?,
                other => return Err(io::Error::other(format!("page.html asks for {other:?}"))),
            }
        }
        Ok(())
    }

    fn start(&mut self, _trace: &Outline, row: u32, start: &Start, out: &mut dyn Write) -> io::Result<()> {
        if !self.kept.get(row as usize).is_some_and(|&kept| kept) {
            return Ok(());
        }
        // By way of its text: to make such a value of all of the schema is much code for little.
        let mut value = serde_json::from_slice(&json::text(start)?)?;
        prune(&mut value);
        self.chunk.push(json::text(&value)?);
        self.ids.push(start.start_id.clone());
        if self.chunk.len() >= CHUNK {
            self.write_chunk(out)?;
        }
        Ok(())
    }

    fn end(&mut self, _trace: &Outline, out: &mut dyn Write) -> io::Result<()> {
        self.write_chunk(out)?;
        block("ids", &json::text(&self.ids)?, out)?;
        out.write_all(b"</body>\n</html>\n")
    }
}
