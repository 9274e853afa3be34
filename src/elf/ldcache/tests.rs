use super::*;
use crate::elf::testing::{Random, output};
use std::process::Command;

const ABI: Option<u32> = Some(0x0303);

/// Entries as (flags, name, path, hwcap), with the names of subdirectories.
fn build(entries: &[(u32, &str, &str, u64)], hwcaps: &[&str]) -> Vec<u8> {
    let mut strings = Vec::new();
    let strings_at = HEADER + entries.len() * ENTRY;
    let mut place = |text: &str| {
        let at = (strings_at + strings.len()) as u32;
        strings.extend(text.as_bytes());
        strings.push(0);
        at
    };
    let mut rows = Vec::new();
    for (flags, name, path, hwcap) in entries {
        for word in [*flags, place(name), place(path), 0] {
            rows.extend(word.to_ne_bytes());
        }
        rows.extend(hwcap.to_ne_bytes());
    }
    let names: Vec<u32> = hwcaps.iter().map(|h| place(h)).collect();
    let extension = (strings_at + strings.len()).next_multiple_of(4);
    let mut file = MAGIC.to_vec();
    for word in [entries.len() as u32, strings.len() as u32, 2, extension as u32, 0, 0, 0] {
        file.extend(word.to_ne_bytes());
    }
    file.extend(rows);
    file.extend(strings);
    file.resize(extension, 0);
    let list = extension as u32 + 24;
    for word in [EXTENSION_MAGIC, 1, TAG_HWCAPS, 0, list, 4 * names.len() as u32] {
        file.extend(word.to_ne_bytes());
    }
    names.iter().for_each(|n| file.extend(n.to_ne_bytes()));
    file
}

fn sample() -> Vec<u8> {
    let named = |index: u64| HWCAP_NAMED << 32 | index;
    build(
        &[
            (0x0303, "libb.so", "/v3/libb.so", named(1)),
            (0x0303, "libb.so", "/v2/libb.so", named(0)),
            (0x0303, "libb.so", "/old/libb.so", 1 << 57),
            (0x0303, "libb.so", "/libb.so", 0),
            (0x0003, "liba.so", "/32/liba.so", 0),
            (0x0303, "liba.so", "/liba.so", 0),
        ],
        &["x86-64-v2", "x86-64-v3"],
    )
}

fn path<'c>(cache: &'c Cache, name: &str, subs: &[&str]) -> Option<&'c str> {
    let entry = cache.find(name.as_bytes(), ABI, subs)?;
    Some(std::str::from_utf8(&entry.path).unwrap())
}

#[test]
fn the_best_entry_for_the_processor_and_abi_wins() {
    let cache = Cache::parse(&sample()).unwrap();
    assert_eq!(cache.entries().len(), 6);
    assert_eq!(path(&cache, "liba.so", &[]), Some("/liba.so"));
    assert_eq!(path(&cache, "libb.so", &[]), Some("/libb.so"));
    assert_eq!(path(&cache, "libb.so", &["x86-64-v2"]), Some("/v2/libb.so"));
    let both = ["x86-64-v3", "x86-64-v2"];
    assert_eq!(path(&cache, "libb.so", &both), Some("/v3/libb.so"));
    assert_eq!(path(&cache, "libc.so", &both), None);
    assert_eq!(cache.entries()[2].needs, Needs::Legacy(1 << 57));
}

#[test]
fn the_older_table_before_it_is_passed_over() {
    let mut file = OLD_MAGIC.to_vec();
    file.push(0);
    file.extend(3u32.to_ne_bytes());
    file.resize((OLD_HEADER + 3 * OLD_ENTRY).next_multiple_of(8), 0xaa);
    file.extend(sample());
    assert_eq!(Cache::parse(&file).unwrap().entries().len(), 6);
    file.truncate(OLD_HEADER + 3 * OLD_ENTRY);
    assert!(Cache::parse(&file).is_err());
}

#[test]
fn damage_is_an_error_or_costs_entries_only() {
    let whole = sample();
    for end in 0..whole.len() {
        if let Ok(cache) = Cache::parse(&whole[..end]) {
            assert!(end >= HEADER + 6 * ENTRY, "cut at {end}");
            assert!(cache.entries().len() <= 6);
        }
    }
    let mut random = Random(0xcafe_f00d_dead_beef);
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + random.below(6) {
            let at = random.below(bytes.len());
            bytes[at] = random.below(256) as u8;
        }
        if let Ok(cache) = Cache::parse(&bytes) {
            let _ = cache.find(b"libb.so", ABI, &["x86-64-v2"]);
        }
    }
    for (at, what) in [(20, "count"), (32, "extension")] {
        let mut bytes = whole.clone();
        bytes[at..at + 4].copy_from_slice(&u32::MAX.to_ne_bytes());
        let parsed = Cache::parse(&bytes);
        assert_eq!(parsed.is_err(), what == "count", "{what}");
    }
    let mut other = whole.clone();
    other[28] = 3;
    assert!(Cache::parse(&other).unwrap_err().to_string().contains("byte order"));
    assert!(Cache::parse(b"").is_err());
}

#[test]
fn the_machines_own_cache_reads_as_ldconfig_prints_it() {
    let bytes = std::fs::read("/etc/ld.so.cache").unwrap();
    let cache = Cache::parse(&bytes).unwrap();
    let printed = output(Command::new("/sbin/ldconfig").arg("-p"));
    let printed: Vec<(&str, &str)> = printed
        .lines()
        .filter_map(|l| l.trim().split_once(" => "))
        .map(|(left, path)| (left.split(" (").next().unwrap(), path))
        .collect();
    let mine: Vec<(String, String)> = cache
        .entries()
        .iter()
        .map(|e| {
            let text = |b: &[u8]| String::from_utf8(b.to_vec()).unwrap();
            (text(&e.name), text(&e.path))
        })
        .collect();
    assert!(printed.len() > 10);
    assert_eq!(mine.len(), printed.len());
    for (mine, printed) in mine.iter().zip(printed) {
        assert_eq!((mine.0.as_str(), mine.1.as_str()), printed);
    }
}

#[test]
fn every_format_that_ldconfig_writes() {
    let dir = tempfile::tempdir().unwrap();
    let reference = Cache::parse(&std::fs::read("/etc/ld.so.cache").unwrap()).unwrap();
    for (format, readable) in [("new", true), ("compat", true), ("old", false)] {
        let file = dir.path().join(format);
        // -X: touch no links.
        let status =
            Command::new("/sbin/ldconfig").args(["-X", "-c", format, "-C"]).arg(&file).status().unwrap();
        assert!(status.success());
        match Cache::parse(&std::fs::read(&file).unwrap()) {
            Ok(cache) => {
                assert!(readable);
                let libc = cache.find(b"libc.so.6", None, &[]).unwrap();
                let same = reference.find(b"libc.so.6", None, &[]).unwrap();
                assert_eq!(libc.path, same.path, "{format}");
            }
            Err(error) => assert!(!readable, "{format}: {error}"),
        }
    }
}
