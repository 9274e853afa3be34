//! What ran in a start, in words.

use crate::sort::SortSmall;
use crate::trace::schema::{ProfiledFunction, Start};
use crate::words::human::{counted, percent};
use crate::words::label::harmless;
use std::collections::BTreeMap;

/// Functions that are looked at; a file can hold more than a recording makes.
const MAX_FUNCTIONS: usize = 10_000;
/// Phases that are looked at.
const MAX_PHASES: usize = 64;
/// Characters of a function's name.
const MAX_NAME: usize = 48;

/// The functions that ran most, over all phases; `long`: more of them, phase by phase.
pub(super) fn sentences(start: &Start, long: bool) -> Vec<String> {
    let Some(profile) = start.timeline.profile.as_ref() else { return Vec::new() };
    let functions = || profile.functions.iter().take(MAX_FUNCTIONS);
    let all = most(functions(), profile.samples, if long { 12 } else { 4 });
    let mut out = vec![format!("on the CPU, of {}: {all}", counted(profile.samples, "sample"))];
    // One after the other as they came; an image's own have their place among its program's.
    let phases = start.timeline.phases.iter().take(if long { MAX_PHASES } else { 0 });
    let each = phases.filter_map(|phase| {
        let within = || functions().filter(|f| f.phase == phase.name && f.exec == phase.exec);
        let samples = within().fold(0u64, |sum, f| sum.saturating_add(f.own));
        // What is left out of the list is no phase's here.
        let more = if profile.functions_left_out > 0 { "more than " } else { "" };
        let name = harmless(&phase.name, MAX_NAME);
        let list = most(within(), samples, 4);
        (samples > 0).then(|| format!("in {name}, of {more}{}: {list}", counted(samples, "sample")))
    });
    let each: Vec<String> = each.collect();
    if each.len() > 1 {
        out.push(format!("by phase: {}", each.join("; ")));
    }
    out
}

/// Functions of some samples, the most frequent first.
fn most<'a>(functions: impl Iterator<Item = &'a ProfiledFunction>, of: u64, n: usize) -> String {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for function in functions {
        let module = function.module.as_deref().unwrap_or("?");
        let module = module.rsplit('/').next().unwrap_or(module);
        let name = match &function.function {
            Some(name) => format!("{} ({})", harmless(name, MAX_NAME), harmless(module, MAX_NAME)),
            None => format!("{} (no names)", harmless(module, MAX_NAME)),
        };
        let sum = sums.entry(name).or_default();
        *sum = sum.saturating_add(function.own);
    }
    let mut sums: Vec<(String, u64)> = sums.into_iter().filter(|(_, own)| *own > 0).collect();
    sums.sort_small_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    sums.truncate(n);
    let list = sums.iter().map(|(name, own)| format!("{} {name}", percent(*own, of)));
    list.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::schema::{Phase, Profile};

    #[test]
    fn functions_of_all_and_of_each_phase() {
        let phase = |name: &str, exec| Phase { name: name.into(), exec: Some(exec), ..Phase::default() };
        let function = |name: &str, phase: &str, exec, own| ProfiledFunction {
            function: Some(name.into()),
            module: Some("/bin/x".into()),
            phase: phase.into(),
            exec: Some(exec),
            own,
            all: own,
        };
        let mut start = Start::default();
        start.timeline.phases = vec![phase("app", 0), phase("link", 1), phase("app", 1)];
        start.timeline.profile = Some(Profile {
            samples: 20,
            functions: vec![
                function("spin", "app", 1, 10),
                function("spin", "app", 0, 6),
                function("re\u{1b}[31m", "link", 1, 4),
            ],
            ..Profile::default()
        });
        let short = sentences(&start, false);
        assert_eq!(short, ["on the CPU, of 20 samples: 80 % spin (x), 20 % re\\x1b[31m (x)"]);
        let long = sentences(&start, true);
        assert_eq!(long.first(), short.first());
        assert_eq!(
            long[1..],
            [
                "by phase: in app, of 6 samples: 100 % spin (x); in link, of 4 samples: 100 % re\\x1b[31m (x); in app, of 10 \
              samples: 100 % spin (x)"
            ]
        );
        start.timeline.profile = None;
        assert!(sentences(&start, true).is_empty());
    }
}
