//! `/etc/ld.so.cache` of any root.

#![no_main]

use libfuzzer_sys::fuzz_target;
use startrace::elf::ldcache::{Cache, abi_flags};

fuzz_target!(|bytes: &[u8]| {
    let Ok(cache) = Cache::parse(bytes) else { return };
    for entry in cache.entries() {
        for abi in [None, abi_flags(62, 64), Some(entry.flags)] {
            if let Some(found) = cache.find(&entry.name, abi, &["x86-64-v3", "x86-64-v2"]) {
                assert_eq!(found.name, entry.name);
            }
        }
    }
});
