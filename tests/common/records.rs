//! Records as the kernel side writes them, from a file: decoded, put into order, built into starts.

use startrace::event::{decode, order::Order};
use startrace::level::Level;
use startrace::timeline::world::Replay;
use startrace::timeline::{Builder, Options, Output};
use startrace::trace::schema::Start;

/// Each record behind its length, as the inbox keeps them.
pub fn records(mut rest: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    while let Some((len, tail)) = rest.split_first_chunk::<2>() {
        let (record, tail) = tail.split_at(usize::from(u16::from_le_bytes(*len)).min(tail.len()));
        records.push(record);
        rest = tail;
    }
    records
}

/// How many records could be decoded, and what became of them.
pub fn starts(bytes: &[u8], level: Level) -> (usize, Vec<Start>) {
    let mut order = Order::default();
    let (mut decoded, mut last_ns) = (0, 0);
    for record in records(bytes) {
        if let Ok(event) = decode::record(record) {
            decoded += 1;
            last_ns = last_ns.max(event.time_ns);
            order.push(event);
        }
    }
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
    let starts = builder.drain().filter_map(|output| match output {
        Output::Start(start) => Some(*start),
        _ => None,
    });
    (decoded, starts.collect())
}
