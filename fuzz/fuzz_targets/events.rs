//! Records as the kernel side writes them, any bytes for some of them: decoded, put into order, built into starts.
//! Whatever comes, the starts add up.

#![no_main]

#[allow(dead_code, unreachable_pub)]
#[path = "../../tests/common/check.rs"]
mod check;

use libfuzzer_sys::fuzz_target;
use serde_json::json;
use startrace::event::{decode, order::Order};
use startrace::level::Level;
use startrace::timeline::world::Replay;
use startrace::timeline::{Builder, Options, Output};

/// Each record behind its length, as the inbox keeps them.
fn records(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (record, tail) = tail.split_at(usize::from(u16::from_le_bytes(*len)).min(tail.len()));
        records.push(record);
        rest = tail;
    }
    records
}

fuzz_target!(|bytes: &[u8]| {
    decode::seeds(bytes);
    let mut order = Order::default();
    let mut last_ns = 0;
    for record in records(bytes) {
        if let Ok(event) = decode::record(record) {
            last_ns = last_ns.max(event.time_ns);
            order.push(event);
        }
    }
    let level = if bytes.len() % 2 == 0 { Level::Deep } else { Level::Timeline };
    let mut builder = Builder::new(Options { level, ..Options::default() });
    let mut world = Replay::default();
    while let Some(event) = order.pop(u64::MAX) {
        let now = event.time_ns;
        builder.event(event, &mut world);
        if builder.is_due(now) {
            builder.tick(now, &mut world);
        }
    }
    builder.end(last_ns, &mut world);
    let starts = builder.drain().filter_map(|out| match out {
        Output::Start(start) => Some(*start),
        _ => None,
    });
    let mut starts: Vec<_> = starts.collect();
    starts.sort_by_key(|start| (start.timeline.origin_boottime_ns, start.seq));
    for start in starts {
        // One at a time: the order of parents is the document's to make.
        let trace = json!({"starts": [start], "session": {"starts": 1}});
        if let Err(why) = check::timelines(&trace) {
            panic!("{why}");
        }
    }
});
