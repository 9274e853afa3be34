//! Files that people write: thresholds and budgets.

#![no_main]

use libfuzzer_sys::fuzz_target;
use startrace::compare::budget::Budget;
use startrace::diagnose::Thresholds;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(thresholds) = Thresholds::parse(text) {
        assert!(Thresholds::parse(&thresholds.to_toml()).is_ok());
    }
    let _ = Budget::parse(text);
});
