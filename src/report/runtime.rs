//! What went on inside a language runtime, in words.

use super::style::NO_BREAK;
use crate::sort::SortSmall;
use crate::trace::schema::Start;
use crate::words::human::{counted, duration, percent};
use crate::words::label::harmless;

/// Parts and kinds of threads that are looked at; a file can hold more than a recording makes.
const MAX_PARTS: usize = 8;
const MAX_NAME: usize = 20;

fn within(ns: u64) -> String {
    duration(ns).replace(' ', NO_BREAK.encode_utf8(&mut [0; 4]))
}

/// Two sentences at most: how `app` divides by the files that were opened (where imports do not tell it better), and,
/// with `long` or where it matters, what other threads did.
pub(super) fn sentences(start: &Start, long: bool) -> Vec<String> {
    let Some(runtime) = &start.timeline.runtime else { return Vec::new() };
    let language = harmless(&runtime.language, MAX_NAME);
    let mut out = Vec::new();
    let app = runtime.stages.iter().fold(0u64, |sum, stage| sum.saturating_add(stage.duration_ns));
    if app > 0 && start.timeline.imports.is_none() {
        let parts = runtime.stages.iter().take(MAX_PARTS).map(|stage| {
            let name = match &*stage.name {
                "runtime" => "its own start".to_owned(),
                "loading" => "until the last of its code was opened".to_owned(),
                "program" => "the rest".to_owned(),
                other => harmless(other, MAX_NAME),
            };
            format!("{name} {} ({})", within(stage.duration_ns), percent(stage.duration_ns, app))
        });
        let parts: Vec<String> = parts.collect();
        out.push(format!("{language} in app, by the files that it opened: {}", parts.join(", ")));
    }
    let mut threads: Vec<_> = runtime.threads.iter().take(MAX_PARTS).collect();
    threads.sort_small_by_key(|threads| std::cmp::Reverse(threads.running_ns));
    let ran = threads.iter().fold(0u64, |sum, threads| sum.saturating_add(threads.running_ns));
    if ran > 0 && (long || ran >= start.timeline.duration_ns / 50) {
        let parts = threads.iter().map(|threads| {
            let role = harmless(&threads.role, MAX_NAME);
            format!("{role} {} in {}", within(threads.running_ns), counted(threads.n, "thread"))
        });
        let parts: Vec<String> = parts.collect();
        out.push(format!("other threads ran, by their names: {}", parts.join(", ")));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::schema::{Runtime, RuntimeStage, RuntimeThreads};

    #[test]
    fn a_jvm_in_two_sentences() {
        let mut start = crate::trace::document::tests::start("1@1/0", None, 0);
        assert!(sentences(&start, true).is_empty());
        let stage =
            |name: &str, ms: u64| RuntimeStage { name: name.into(), at_ns: 0, duration_ns: ms * 1_000_000 };
        let threads = |role: &str, n, ms: u64| RuntimeThreads {
            role: role.into(),
            n,
            running_ns: ms * 1_000_000,
            runnable_ns: 0,
        };
        start.timeline.duration_ns = 500_000_000;
        start.timeline.runtime = Some(Runtime {
            language: "jvm".into(),
            stages: vec![stage("runtime", 300), stage("loading", 60), stage("program", 40)],
            threads: vec![threads("gc", 6, 1), threads("jit", 2, 90)],
        });
        let said: Vec<String> =
            sentences(&start, false).iter().map(|text| text.replace(NO_BREAK, " ")).collect();
        assert_eq!(
            said,
            [
                "jvm in app, by the files that it opened: its own start 300 ms (75 %), until the last of its code was opened \
                 60.0 ms (15 %), the rest 40.0 ms (10 %)",
                "other threads ran, by their names: jit 90.0 ms in 2 threads, gc 1.00 ms in 6 threads"
            ]
        );
    }
}
