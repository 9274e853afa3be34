//! Records as the kernel side writes them, any bytes for some of them: decoded, put into order, built into starts.
//! Whatever comes, the starts add up.

#![no_main]

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/common/check.rs"]
mod check;
#[allow(unreachable_pub)]
#[path = "../../tests/common/records.rs"]
mod records;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use startrace::event::decode;
use startrace::level::Level;

fuzz_target!(|bytes: &[u8]| {
    decode::seeds(bytes);
    let level = if bytes.len() % 2 == 0 { Level::Deep } else { Level::Timeline };
    let (_, mut starts) = records::starts(bytes, level);
    starts.sort_by_key(|start| (start.timeline.origin_boottime_ns, start.seq));
    for start in starts {
        // One at a time: the order of parents is the document's to make.
        let trace = json!({"starts": [start], "session": {"starts": 1}});
        if let Err(why) = check::timelines(&trace) {
            panic!("{why}");
        }
    }
});
