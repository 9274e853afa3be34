//! What a start costs us in user space, over the recorded streams of the corpus: the classifier alone
//! (goal: 5 us a start), and the whole way from decoded event to finished start.
//!
//! `cargo bench --bench classify`; `cargo xtask bench --only classify` puts the former beside the goal.

#![allow(clippy::unwrap_used, clippy::expect_used)]
#![allow(missing_docs, reason = "criterion_group! makes an undocumented function")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use startrace::method::classify;
use startrace::method::facts::Facts;
use startrace::timeline::replay::{Recorded, play};
use std::hint::black_box;
use std::path::Path;

/// Lines of every committed stream.
fn streams() -> Vec<Vec<Recorded>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(xtask::streams::FOLDER);
    let files = xtask::streams::files(&folder).unwrap();
    let streams = files.iter().flat_map(|file| xtask::streams::read(file).unwrap());
    let lines = |text: &str| text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    streams.map(|stream| lines(&stream.events)).collect()
}

fn bench(c: &mut Criterion) {
    let streams = streams();
    let facts: Vec<Facts> = streams.iter().flat_map(|lines| play(lines.clone()).unwrap().facts).collect();
    assert!(facts.len() > 100, "only {} starts in {}", facts.len(), xtask::streams::FOLDER);
    let mut group = c.benchmark_group("per_start");
    group.throughput(Throughput::Elements(facts.len() as u64));
    group.bench_function("classify", |b| {
        b.iter(|| {
            for facts in &facts {
                black_box(classify(black_box(facts)));
            }
        });
    });
    group.bench_function("events_to_starts", |b| {
        b.iter_batched(
            || streams.clone(),
            |streams| {
                for lines in streams {
                    black_box(play(lines).unwrap());
                }
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, bench);
criterion_main!(benches);
