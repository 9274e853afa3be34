//! What ran in a start, in words.

use crate::sort::SortSmall;
use crate::trace::schema::Start;
use crate::words::human::{counted, percent};
use crate::words::label::harmless;
use std::collections::BTreeMap;

/// Functions that are looked at; a file can hold more than a recording makes.
const MAX_FUNCTIONS: usize = 10_000;
/// Characters of a function's name.
const MAX_NAME: usize = 48;

/// One sentence: the functions that ran most, over all phases. `long`: name more of them.
pub(super) fn sentence(start: &Start, long: bool) -> Option<String> {
    let profile = start.timeline.profile.as_ref()?;
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for function in profile.functions.iter().take(MAX_FUNCTIONS) {
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
    sums.truncate(if long { 12 } else { 4 });
    let list = sums.iter().map(|(name, own)| format!("{} {name}", percent(*own, profile.samples)));
    let list = list.collect::<Vec<_>>().join(", ");
    Some(format!("on the CPU, of {}: {list}", counted(profile.samples, "sample")))
}
