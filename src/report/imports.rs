//! What a start imported, in words.

use super::style::NO_BREAK;
use crate::sort::SortSmall;
use crate::trace::schema::{Import, Start};
use crate::words::human::{counted, duration, percent};
use crate::words::label::harmless;
use std::cmp::Reverse;

/// Imports that are looked at; a file can hold more than a recording makes.
const MAX_IMPORTS: usize = 10_000;
/// Characters of a module's name.
const MAX_NAME: usize = 60;

fn within(ns: u64) -> String {
    duration(ns).replace(' ', NO_BREAK.encode_utf8(&mut [0; 4]))
}

fn name(import: &Import) -> String {
    let name = import.module.as_deref().map(|module| harmless(module, MAX_NAME));
    let name = name.unwrap_or_else(|| "(a module without a name)".to_owned());
    if import.found == Some(false) { format!("{name} (not there)") } else { name }
}

/// The longest by some measure, those aside that hardly count.
fn longest(imports: &[&Import], ns: impl Fn(&Import) -> u64, n: usize, of: u64) -> Vec<String> {
    let mut all: Vec<&Import> = imports.to_vec();
    all.sort_small_by_key(|import| Reverse(ns(import)));
    let counts = |import: &&Import| u128::from(ns(import)) * 50 >= u128::from(of);
    all.into_iter()
        .filter(counts)
        .take(n)
        .map(|import| format!("{} {}", name(import), within(ns(import))))
        .collect()
}

/// Two sentences at most: how `app` divides, and which modules took long. `long`: name more of them.
pub(super) fn sentences(start: &Start, long: bool) -> Vec<String> {
    let Some(imports) = &start.timeline.imports else { return Vec::new() };
    let init = imports.init_ns.unwrap_or(0);
    let app = init.saturating_add(imports.importing_ns).saturating_add(imports.code_ns);
    let part = |ns: u64| format!("{} ({})", within(ns), percent(ns, app));
    let mut text = format!("{} in app: ", harmless(&imports.language, MAX_NAME));
    if imports.init_ns.is_some() {
        text.push_str(&format!("its own start {}, ", part(init)));
    }
    let modules = counted(imports.count, "module");
    text.push_str(&match (imports.importing_ns, imports.count, imports.init_ns) {
        (0, 0, _) => "no imports".to_owned(),
        (0, _, Some(_)) => format!("with {modules}, no imports after it"),
        (0, _, None) => format!("{modules}, imported elsewhere than on its main thread"),
        (ns, ..) => format!("imports {} of {modules}", part(ns)),
    });
    text.push_str(&format!(", the rest {}", part(imports.code_ns)));
    if !imports.from_beginning {
        // One that ran already, or the first of an interpreter that nobody had started before.
        let before = if start.partial { "it was followed" } else { "its interpreter was probed" };
        text.push_str(&format!("; what was imported before {before} was not observed"));
    }
    let mut out = vec![text];
    let all: Vec<&Import> = imports.modules.iter().take(MAX_IMPORTS).collect();
    let outermost: Vec<&Import> = all.iter().copied().filter(|import| import.depth == 0).collect();
    let n = if long { 12 } else { 3 };
    let whole = longest(&outermost, |import| import.duration_ns, n, app);
    let own = longest(&all, |import| import.own_ns, n, app);
    if !whole.is_empty() {
        let mut text = format!("longest imports: {}", whole.join(", "));
        if !own.is_empty() {
            text.push_str(&format!("; without what they import: {}", own.join(", ")));
        }
        out.push(text);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::schema::Imports;

    #[test]
    fn what_was_looked_for_in_vain_is_not_told_as_imported() {
        let import = |module: &str, found: Option<bool>| Import {
            module: Some(module.to_owned()),
            at_ns: 0,
            duration_ns: 2_000_000,
            own_ns: 1_000_000,
            depth: 0,
            importer: None,
            tid: 1,
            found,
        };
        let modules = vec![import("msvcrt", Some(false)), import("json", Some(true)), import("old", None)];
        let mut start = Start::default();
        start.timeline.imports =
            Some(Imports { importing_ns: 6_000_000, count: 3, modules, ..Imports::default() });
        let told = sentences(&start, false).join("; ").replace(crate::report::style::NO_BREAK, " ");
        let whole = "longest imports: msvcrt (not there) 2.00 ms, json 2.00 ms, old 2.00 ms";
        let own = "without what they import: msvcrt (not there) 1.00 ms, json 1.00 ms, old 1.00 ms";
        assert!(told.ends_with(&format!("{whole}; {own}")), "{told}");
    }

    #[test]
    fn imports_that_took_no_time_of_their_own_are_said_to_be_elsewhere() {
        let said = |init_ns: Option<u64>, importing_ns: u64, count: u64| {
            let mut start = Start::default();
            let language = "cpython".to_owned();
            start.timeline.imports = Some(Imports {
                language,
                from_beginning: true,
                init_ns,
                importing_ns,
                code_ns: 2_000_000,
                count,
                ..Imports::default()
            });
            sentences(&start, false).join("; ").replace(crate::report::style::NO_BREAK, " ")
        };
        let init = Some(8_000_000);
        assert_eq!(
            said(init, 10_000_000, 26),
            "cpython in app: its own start 8.00 ms (40 %), imports 10.0 ms (50 %) of 26 modules, the rest 2.00 ms (10 %)"
        );
        assert_eq!(
            said(init, 0, 26),
            "cpython in app: its own start 8.00 ms (80 %), with 26 modules, no imports after it, the rest 2.00 ms (20 %)"
        );
        assert_eq!(
            said(None, 0, 3),
            "cpython in app: 3 modules, imported elsewhere than on its main thread, the rest 2.00 ms (100 %)"
        );
        assert_eq!(said(None, 0, 0), "cpython in app: no imports, the rest 2.00 ms (100 %)");
    }
}
