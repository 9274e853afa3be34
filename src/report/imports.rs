//! What a start imported, in words.

use super::style::NO_BREAK;
use crate::sort::SortSmall;
use crate::trace::schema::{Import, Start};
use crate::words::human::{counted, duration, percent};
use crate::words::imports::{modules, of_program};
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

fn outermost<'a>(of: &[&'a Import]) -> Vec<&'a Import> {
    of.iter().copied().filter(|import| import.depth == 0).collect()
}

/// Two sentences at most, whose times and modules are of the same imports: how `app` divides, and which modules took long. `long`: name more of them.
pub(super) fn sentences(start: &Start, long: bool) -> Vec<String> {
    let Some(imports) = &start.timeline.imports else { return Vec::new() };
    let init = imports.init_ns.unwrap_or(0);
    let app = init.saturating_add(imports.importing_ns).saturating_add(imports.code_ns);
    let part = |ns: u64| format!("{} ({})", within(ns), percent(ns, app));
    let mut text = format!("{} in app", harmless(&imports.language, MAX_NAME));
    let became = start.timeline.phases.iter().rev().find(|phase| phase.name == "app").map(|app| app.exec);
    if became != crate::words::imports::app(start).map(|app| app.exec) {
        text.push_str(", before its last exec");
    }
    text.push_str(": ");
    if imports.init_ns.is_some() {
        text.push_str(&format!("its own start {}, ", part(init)));
    }
    let every = counted(imports.count, "module");
    text.push_str(&match (imports.importing_ns, imports.count, imports.init_ns) {
        (0, 0, _) => "no imports".to_owned(),
        (0, _, Some(_)) => format!("with {every}, no imports after it"),
        (0, _, None) => format!("{every}, imported elsewhere than on its main thread"),
        (ns, ..) => {
            let (n, more) = modules(start);
            format!("imports {} of {more}{}", part(ns), counted(n, "module"))
        }
    });
    text.push_str(&format!(", the rest {}", part(imports.code_ns)));
    if !imports.from_beginning {
        // One that ran already, or the first of an interpreter that nobody had started before.
        let before = if start.partial { "it was followed" } else { "its interpreter was probed" };
        text.push_str(&format!("; what was imported before {before} was not observed"));
    }
    let mut out = vec![text];
    let all: Vec<&Import> = imports.modules.iter().take(MAX_IMPORTS).collect();
    let own: Vec<&Import> = of_program(start).take(MAX_IMPORTS).collect();
    let told = match (imports.importing_ns, imports.init_ns) {
        // All of other threads.
        (0, None) => &all,
        _ => &own,
    };
    let n = if long { 12 } else { 3 };
    let whole = longest(&outermost(told), |import| import.duration_ns, n, app);
    let without = longest(told, |import| import.own_ns, n, app);
    let mut parts = Vec::new();
    if !whole.is_empty() {
        parts.push(format!("longest imports: {}", whole.join(", ")));
        parts.extend(
            (!without.is_empty()).then(|| format!("without what they import: {}", without.join(", "))),
        );
    }
    if imports.init_ns.is_some() {
        let ready = own.first().map_or(u64::MAX, |first| first.at_ns);
        let before = |import: &&&Import| import.tid == start.pid && import.at_ns < ready;
        let before: Vec<&Import> = all.iter().filter(before).copied().collect();
        let within_it = longest(&outermost(&before), |import| import.duration_ns, n, app);
        parts.extend((!within_it.is_empty()).then(|| format!("in its own start: {}", within_it.join(", "))));
    }
    out.extend((!parts.is_empty()).then(|| parts.join("; ")));
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
        let mut start = Start { pid: 1, ..Start::default() };
        start.timeline.imports =
            Some(Imports { importing_ns: 6_000_000, count: 3, modules, ..Imports::default() });
        let told = sentences(&start, false).join("; ").replace(crate::report::style::NO_BREAK, " ");
        let whole = "longest imports: msvcrt (not there) 2.00 ms, json 2.00 ms, old 2.00 ms";
        let own = "without what they import: msvcrt (not there) 1.00 ms, json 1.00 ms, old 1.00 ms";
        assert!(told.ends_with(&format!("{whole}; {own}")), "{told}");
    }

    fn module(at_ns: u64, ns: u64, found: Option<bool>) -> Import {
        Import {
            module: Some(format!("m{at_ns}")),
            at_ns,
            duration_ns: ns,
            own_ns: ns,
            depth: 0,
            importer: None,
            tid: 1,
            found,
        }
    }

    #[test]
    fn what_the_interpreter_imports_is_no_part_of_the_programs_imports() {
        const MS: u64 = 1_000_000;
        let mut start = Start { pid: 1, ..Start::default() };
        let app =
            crate::trace::schema::Phase { name: "app".into(), at_ns: MS, duration_ns: 20 * MS, exec: None };
        start.timeline.phases = vec![app];
        let mut modules = vec![
            module(2 * MS, 3 * MS, Some(true)),
            module(9 * MS, 4 * MS, Some(true)),
            module(13 * MS, 2 * MS, None),
            module(15 * MS, MS, Some(false)),
        ];
        modules.push(Import { tid: 2, ..module(10 * MS, 9 * MS, Some(true)) });
        let imports = Imports {
            language: "cpython".into(),
            from_beginning: true,
            init_ns: Some(8 * MS),
            importing_ns: 7 * MS,
            code_ns: 5 * MS,
            count: 5,
            modules,
            ..Imports::default()
        };
        start.timeline.imports = Some(imports);
        let told =
            |start: &Start| sentences(start, false).join("; ").replace(crate::report::style::NO_BREAK, " ");
        let list = "m9000000 4.00 ms, m13000000 2.00 ms, m15000000 (not there) 1.00 ms";
        assert_eq!(
            told(&start),
            format!(
                "cpython in app: its own start 8.00 ms (40 %), imports 7.00 ms (35 %) of 2 modules, the rest 5.00 ms (25 %); \
                 longest imports: {list}; without what they import: {list}; in its own start: m2000000 3.00 ms"
            )
        );
        start.timeline.imports.as_mut().unwrap().left_out = 9;
        assert!(told(&start).contains("imports 7.00 ms (35 %) of more than 2 modules"), "{}", told(&start));
    }

    #[test]
    fn what_the_program_became_afterwards_is_another_ones_app() {
        const MS: u64 = 1_000_000;
        let app = |at_ns, exec| crate::trace::schema::Phase {
            name: "app".into(),
            at_ns,
            duration_ns: 10 * MS,
            exec: Some(exec),
        };
        let mut start = Start { pid: 1, ..Start::default() };
        start.timeline.phases = vec![app(MS, 0), app(20 * MS, 1)];
        start.timeline.imports = Some(Imports {
            language: "cpython".into(),
            from_beginning: true,
            init_ns: Some(6 * MS),
            importing_ns: 3 * MS,
            code_ns: MS,
            exec: Some(0),
            count: 1,
            modules: vec![module(7 * MS, 3 * MS, Some(true))],
            ..Imports::default()
        });
        let told = sentences(&start, false).join("; ").replace(crate::report::style::NO_BREAK, " ");
        let want = "cpython in app, before its last exec: its own start 6.00 ms (60 %), imports 3.00 ms (30 %) of 1 module";
        assert!(told.starts_with(want), "{told}");
    }

    #[test]
    fn imports_that_took_no_time_of_their_own_are_said_to_be_elsewhere() {
        let said = |init_ns: Option<u64>, importing_ns: u64, count: u64| {
            let mut start = Start { pid: 1, ..Start::default() };
            let language = "cpython".to_owned();
            let modules = (0..count).map(|_| module(9_000_000, 0, None)).collect();
            start.timeline.imports = Some(Imports {
                language,
                from_beginning: true,
                init_ns,
                importing_ns,
                code_ns: 2_000_000,
                count,
                modules,
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
