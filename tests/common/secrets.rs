//! A credential, and every output of `startrace` searched for it.

use super::startrace;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

/// Nothing else in a trace has these letters.
pub const SECRET: &str = "Zq7hunterZq7";

/// What one command wrote, to all three places: standard output, standard error, and the file `{}` of its arguments.
pub fn all_output(args: &[&str], folder: &Path) -> Vec<u8> {
    let file = folder.join("output");
    let _ = std::fs::remove_file(&file);
    let args = args.iter().map(|arg| arg.replace("{}", file.to_str().unwrap()));
    let output = Command::new(startrace()).args(args).stdin(Stdio::null()).output().unwrap();
    let mut all = [output.stdout, output.stderr].concat();
    all.extend(std::fs::read(&file).unwrap_or_default());
    all
}

/// Is the credential in these bytes, or in what a page has deflated?
pub fn has_secret(bytes: &[u8]) -> bool {
    let holds = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    holds(bytes)
        || bytes.split(|byte| !is_base64(byte)).filter(|run| run.len() > 200).any(|run| holds(&inflated(run)))
}

fn inflated(base64: &[u8]) -> Vec<u8> {
    let (mut bits, mut n, mut packed) = (0_u32, 0, Vec::new());
    for &byte in base64.iter().filter(|&&byte| byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            _ => 63,
        };
        (bits, n) = (bits << 6 | u32::from(value), n + 6);
        if n >= 8 {
            n -= 8;
            packed.push((bits >> n & 0xff) as u8);
        }
    }
    let mut out = Vec::new();
    let _ = flate2::read::DeflateDecoder::new(&*packed).read_to_end(&mut out);
    out
}

/// Every way in which a trace is read and shown.
pub fn readings(trace: &str) -> Vec<Vec<String>> {
    let mut all: Vec<Vec<&str>> = vec![
        vec!["report", trace, "--all"],
        vec!["report", trace, "--json", "--all"],
        vec!["report", trace, "--html", "{}"],
        vec!["diff", trace, trace],
        vec!["diff", trace, trace, "--json"],
        vec!["diff", trace, trace, "--markdown"],
        vec!["export", trace, "--to", "otlp", "--command-lines"],
    ];
    for format in ["chrome", "perfetto", "folded", "speedscope", "otlp", "csv", "ndjson", "html", "profile"] {
        all.push(vec!["export", trace, "--to", format, "-o", "{}"]);
    }
    all.into_iter().map(|line| line.into_iter().map(str::to_owned).collect()).collect()
}
