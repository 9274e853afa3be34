//! Control groups' paths, which whoever runs a container may choose, and texts of strangers' processes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use startrace::timeline::place;
use startrace::trace::text;

fuzz_target!(|bytes: &[u8]| {
    let encoded = text::encode(bytes);
    assert_eq!(text::decode(&encoded), bytes, "{encoded:?}");
    assert!(!text::sanitize(&encoded).chars().any(char::is_control));
    assert!(!text::shell_word(bytes).chars().any(char::is_control));
    if let Some(unit) = place::unit(&encoded) {
        assert!(encoded.contains(&unit), "{unit:?}");
    }
    if let Some(container) = place::container(&encoded) {
        assert!(encoded.contains(&container.id) && !container.id.is_empty(), "{container:?}");
    }
});
