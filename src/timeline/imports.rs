//! What a language runtime imports in a start: which module, for how long, and from within which other.

use super::Builder;
use crate::event::{Id, Import, ImportStep};
use crate::sort::SortSmall;
use crate::trace::schema::{self, Phase};
use std::cmp::Reverse;

/// Imports kept of one process in its start. Large programs have some 3,000.
const MAX_KEPT: usize = 4_096;
/// Modules listed of one start.
const MAX_LISTED: usize = 500;
/// Imports within imports: deeper than any, and than Python's own limit on calls allows.
const MAX_OPEN: usize = 1_000;
/// Threads that import at one time.
const MAX_TASKS: usize = 64;

/// The module that CPython imports last of its own accord, before it turns to the program.
const LAST_OF_INIT: &str = "site";

#[derive(Debug, Clone)]
struct Open {
    module: Option<Box<str>>,
    at_ns: u64,
}

#[derive(Debug, Clone)]
struct Done {
    module: Option<Box<str>>,
    tid: u32,
    at_ns: u64,
    end_ns: u64,
    /// `None`: the image ended first.
    found: Option<bool>,
}

/// The imports of one process.
#[derive(Debug, Default)]
pub(super) struct Imports {
    done: Vec<Done>,
    open: Vec<(u32, Vec<Open>)>,
    left_out: u64,
    /// The image has told of one.
    told: bool,
    /// Probes were not in place when an image began.
    late: bool,
    /// Told by the function behind the import statement.
    by_calls: bool,
}

impl Imports {
    /// `image_ns`: when the present image, or the copy of its creator's, began.
    fn take(&mut self, time_ns: u64, tid: u32, import: &Import, image_ns: u64) {
        if !std::mem::replace(&mut self.told, true) {
            self.late |= import.live_ns.is_none_or(|live_ns| live_ns > image_ns);
        }
        let module = import.module.as_deref().map(Box::from);
        match import.step {
            ImportStep::Begin => {
                let at = self.open.iter().position(|(of, _)| *of == tid);
                let at = at.or_else(|| {
                    (self.open.len() < MAX_TASKS).then(|| {
                        self.open.push((tid, Vec::new()));
                        self.open.len() - 1
                    })
                });
                match at.and_then(|at| self.open.get_mut(at)) {
                    Some((_, open)) if open.len() < MAX_OPEN => open.push(Open { module, at_ns: time_ns }),
                    _ => self.left_out += 1,
                }
            }
            ImportStep::End => {
                let Some((_, open)) = self.open.iter_mut().find(|(of, _)| *of == tid) else { return };
                // One that was left behind by an end that is lost ends with the one around it.
                let Some(at) = open.iter().rposition(|open| open.module == module) else { return };
                let ended = open.split_off(at);
                if open.is_empty() {
                    self.open.retain(|(of, _)| *of != tid);
                }
                for (n, Open { module, at_ns }) in ended.into_iter().enumerate() {
                    let found = (n == 0).then_some(import.found);
                    self.keep(Done { module, tid, at_ns, end_ns: time_ns.max(at_ns), found });
                }
            }
            ImportStep::Whole(at_ns) => {
                self.by_calls = true;
                let at_ns = at_ns.clamp(image_ns.min(time_ns), time_ns);
                self.keep(Done { module, tid, at_ns, end_ns: time_ns, found: Some(import.found) });
            }
        }
    }

    fn keep(&mut self, done: Done) {
        if self.done.len() >= MAX_KEPT {
            // The shorter half goes: what is left out counts as its importer's own time.
            self.done.sort_small_by_key(|done| Reverse(done.end_ns - done.at_ns));
            self.left_out += (self.done.len() - MAX_KEPT / 2) as u64;
            self.done.truncate(MAX_KEPT / 2);
        }
        self.done.push(done);
    }

    /// Another image: what the one before was at ends here.
    pub(super) fn exec(&mut self, time_ns: u64) {
        self.told = false;
        for (tid, open) in std::mem::take(&mut self.open) {
            for Open { module, at_ns } in open {
                self.keep(Done { module, tid, at_ns, end_ns: time_ns.max(at_ns), found: None });
            }
        }
    }

    /// All that began within a time, cut at its end; those of one task one after the other, importers before
    /// what they import.
    fn within(&self, origin_ns: u64, end_ns: u64) -> Vec<Done> {
        let open = self.open.iter().flat_map(|(tid, open)| {
            open.iter().map(|open| Done {
                module: open.module.clone(),
                tid: *tid,
                at_ns: open.at_ns,
                end_ns,
                found: None,
            })
        });
        let all = self.done.iter().cloned().chain(open);
        let mut all: Vec<Done> = all
            .filter(|done| (origin_ns..end_ns).contains(&done.at_ns))
            .map(|done| Done {
                end_ns: done.end_ns.min(end_ns),
                found: done.found.filter(|_| done.end_ns <= end_ns),
                ..done
            })
            .collect();
        all.sort_small_by_key(|done| (done.tid, done.at_ns, Reverse(done.end_ns)));
        all
    }

    /// For a trace; `None` where there was none. `main`: the main thread's id. `imports_site`: does that image
    /// import `site` of its own accord?
    pub(super) fn account(
        &self,
        main: u32,
        origin_ns: u64,
        phases: &[Phase],
        imports_site: &dyn Fn(u32) -> bool,
    ) -> Option<schema::Imports> {
        let last = phases.last().filter(|phase| phase.name == "app")?;
        let all =
            self.within(origin_ns, origin_ns.saturating_add(last.at_ns).saturating_add(last.duration_ns));
        let newest = all.iter().map(|done| done.at_ns).max()?;
        // What an interpreter becomes imports nothing.
        let app = phases
            .iter()
            .rev()
            .find(|phase| phase.name == "app" && origin_ns.saturating_add(phase.at_ns) <= newest);
        let app = app.unwrap_or(last);
        let app_ns = origin_ns.saturating_add(app.at_ns);
        let end_ns = app_ns.saturating_add(app.duration_ns);
        let nodes = nested(&all);
        let outermost = || {
            let both = all.iter().zip(&nodes);
            both.filter(|(done, node)| node.depth == 0 && done.tid == main).map(|(done, _)| done)
        };
        let site = outermost().find(|done| {
            done.at_ns >= app_ns && done.found.is_some() && done.module.as_deref() == Some(LAST_OF_INIT)
        });
        let init_ns = site.filter(|_| app.exec.is_some_and(imports_site)).map(|site| site.end_ns - app_ns);
        let from = app_ns + init_ns.unwrap_or(0);
        let after = outermost().filter(|done| (from..end_ns).contains(&done.at_ns));
        let importing_ns: u64 = after.map(|done| done.end_ns.min(end_ns) - done.at_ns).sum();
        let code_ns = app.duration_ns.saturating_sub(init_ns.unwrap_or(0)).saturating_sub(importing_ns);
        let (modules, left_out) = listed(&all, &nodes, origin_ns);
        Some(schema::Imports {
            language: "cpython".to_owned(),
            provider: if self.by_calls { "uprobe" } else { "usdt" }.to_owned(),
            from_beginning: !self.late,
            init_ns,
            importing_ns,
            code_ns,
            exec: app.exec,
            count: all.len() as u64 + self.left_out,
            modules,
            left_out: left_out.0 + self.left_out,
            left_out_own_ns: left_out.1,
        })
    }
}

/// An import's place among the others.
struct Node {
    parent: Option<usize>,
    depth: u32,
    /// Of those that it imports itself.
    inner_ns: u64,
}

/// Who imports whom: the innermost import of the same task that was under way.
fn nested(all: &[Done]) -> Vec<Node> {
    let mut nodes: Vec<Node> = Vec::with_capacity(all.len());
    let mut stack: Vec<usize> = Vec::new();
    for (at, done) in all.iter().enumerate() {
        while let Some(top) = stack.last().and_then(|&top| all.get(top)) {
            if top.tid == done.tid && top.end_ns > done.at_ns {
                break;
            }
            stack.pop();
        }
        let parent = stack.last().copied();
        if let Some(outer) = parent
            && let (Some(node), Some(span)) = (nodes.get_mut(outer), all.get(outer))
        {
            // Two that overlap and are not one in the other are no stack's; a coroutine's, perhaps.
            node.inner_ns += done.end_ns.min(span.end_ns) - done.at_ns;
        }
        nodes.push(Node { parent, depth: stack.len() as u32, inner_ns: 0 });
        stack.push(at);
    }
    nodes
}

/// The longest, in order of time, and of the others how many and how long.
fn listed(all: &[Done], nodes: &[Node], origin_ns: u64) -> (Vec<schema::Import>, (u64, u64)) {
    let length = |at: usize| all.get(at).map_or(0, |done| done.end_ns - done.at_ns);
    let own = |at: usize| length(at).saturating_sub(nodes.get(at).map_or(0, |node| node.inner_ns));
    let mut kept: Vec<usize> = (0..all.len()).collect();
    // An importer is as long as what it imports and comes first: it is kept where that is.
    kept.sort_small_by_key(|&at| Reverse(length(at)));
    let rest = kept.split_off(kept.len().min(MAX_LISTED));
    let left_out = (rest.len() as u64, rest.into_iter().map(own).sum());
    kept.sort_small_by_key(|&at| all.get(at).map(|done| (done.at_ns, at)));
    let place = |at: usize| kept.iter().position(|&kept| kept == at).and_then(|at| u32::try_from(at).ok());
    let import = |&at: &usize| {
        let (done, node) = (all.get(at)?, nodes.get(at)?);
        Some(schema::Import {
            module: done.module.as_deref().map(str::to_owned),
            at_ns: done.at_ns - origin_ns,
            duration_ns: length(at),
            own_ns: own(at),
            depth: node.depth,
            importer: node.parent.and_then(place),
            tid: done.tid,
            found: done.found,
        })
    };
    (kept.iter().filter_map(import).collect(), left_out)
}

impl Builder {
    /// A step of an import, of a process that is in its start.
    pub(super) fn import(&mut self, time_ns: u64, id: Id, tid: u32, import: &Import) {
        if import.shell {
            return self.commands_file(time_ns, id, tid, import.step);
        }
        let Some(process) = self.processes.get_mut(&id) else { return };
        let Some(start) = &process.start else { return };
        let image = start.execs.iter().rev().find(|exec| exec.error.is_none());
        let image_ns = image.map_or(start.origin_ns, |image| image.done_ns);
        process.imports.get_or_insert_default().take(time_ns, tid, import, image_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a(` begins an import, `)` ends the last, `!` ends it without success; a time passes with each.
    fn script(imports: &mut Imports, tid: u32, script: &str) -> u64 {
        let mut names: Vec<String> = Vec::new();
        let mut name = String::new();
        let mut time_ns = 0;
        for step in script.chars() {
            time_ns += 10;
            let (step, module, found) = match step {
                '(' => {
                    names.push(std::mem::take(&mut name));
                    (ImportStep::Begin, names.last().cloned(), false)
                }
                ')' | '!' => (ImportStep::End, names.pop(), step == ')'),
                ' ' => continue,
                other => {
                    name.push(other);
                    time_ns -= 10;
                    continue;
                }
            };
            imports.take(time_ns, tid, &Import { step, module, found, live_ns: Some(0), shell: false }, 0);
        }
        time_ns
    }

    fn phases(app_ns: u64, end_ns: u64) -> Vec<Phase> {
        let phase =
            |name: &str, at_ns, duration_ns| Phase { name: name.into(), at_ns, duration_ns, exec: Some(0) };
        vec![phase("exec", 0, app_ns), phase("app", app_ns, end_ns - app_ns)]
    }

    fn lines(imports: &schema::Imports) -> Vec<String> {
        let line = |m: &schema::Import| {
            let (name, found) =
                (m.module.as_deref().unwrap_or("?"), if m.found == Some(true) { "" } else { "!" });
            format!("{name}{found} {}+{} own {} in {:?}", m.at_ns, m.duration_ns, m.own_ns, m.importer)
        };
        imports.modules.iter().map(line).collect()
    }

    #[test]
    fn own_time_is_what_others_do_not_take() {
        let mut imports = Imports::default();
        let end = script(&mut imports, 7, "encodings() site(os(stat()posix())) http(sock(!x())");
        let got = imports.account(7, 0, &phases(5, end + 100), &|_| true).unwrap();
        assert_eq!(
            lines(&got),
            [
                "encodings 10+10 own 10 in None",
                "site 40+70 own 20 in None",
                "os 50+50 own 30 in Some(1)",
                "stat 60+10 own 10 in Some(2)",
                "posix 80+10 own 10 in Some(2)",
                "http 130+50 own 30 in None",
                "sock! 140+10 own 10 in Some(5)",
                "x 160+10 own 10 in Some(5)",
            ]
        );
        let outermost: u64 = got.modules.iter().filter(|m| m.depth == 0).map(|m| m.duration_ns).sum();
        assert_eq!(outermost, got.modules.iter().map(|m| m.own_ns).sum::<u64>());
        // From main() to the end of `site`, then imports, then the rest.
        assert_eq!((got.init_ns, got.importing_ns), (Some(105), 50));
        assert_eq!(got.init_ns.unwrap() + got.importing_ns + got.code_ns, end + 95);
        assert!(got.from_beginning && got.left_out == 0 && got.count == 8);
    }

    #[test]
    fn only_what_an_interpreter_imports_of_its_own_accord_is_its_start() {
        let mut imports = Imports::default();
        let end = script(&mut imports, 7, "encodings() site(os()) http()");
        let init = |exec, imports_site: bool| {
            let mut phases = phases(5, end + 100);
            phases.iter_mut().for_each(|phase| phase.exec = exec);
            let got = imports.account(7, 0, &phases, &|at| at == 2 && imports_site).unwrap();
            assert_eq!(got.init_ns.unwrap_or(0) + got.importing_ns + got.code_ns, end + 95);
            assert_eq!(got.exec, exec);
            got.init_ns
        };
        assert_eq!(init(Some(2), true), Some(65));
        // The program imports it, in an interpreter that does not, and in a copy.
        assert_eq!(init(Some(2), false), None);
        assert_eq!(init(None, true), None);
    }

    #[test]
    fn the_image_that_imported_is_divided_and_not_what_it_became() {
        let mut imports = Imports::default();
        let end = script(&mut imports, 7, "site() http() last(");
        imports.exec(end + 10);
        let mut phases = phases(5, end + 20);
        let next =
            |name: &str, at_ns, duration_ns| Phase { name: name.into(), at_ns, duration_ns, exec: Some(1) };
        phases.extend([next("exec", end + 20, 5), next("app", end + 25, 500)]);
        let got = imports.account(7, 0, &phases, &|_| true).unwrap();
        assert_eq!((got.exec, got.init_ns, got.importing_ns), (Some(0), Some(15), 20));
        assert_eq!(got.init_ns.unwrap() + got.importing_ns + got.code_ns, end + 15);
        assert_eq!(got.modules.last().unwrap().found, None);
    }

    #[test]
    fn calls_that_are_told_at_their_end_nest_as_well() {
        let mut imports = Imports::default();
        let mut whole = |at, end, name: &str| {
            let module = Some(name.to_owned());
            let import =
                Import { step: ImportStep::Whole(at), module, found: true, live_ns: Some(50), shell: false };
            imports.take(end, 3, &import, 20);
        };
        whole(40, 60, "c");
        whole(30, 70, "b");
        whole(80, 85, "d");
        whole(25, 90, "a");
        let got = imports.account(3, 0, &phases(22, 200), &|_| true).unwrap();
        assert_eq!(
            lines(&got),
            [
                "a 25+65 own 20 in None",
                "b 30+40 own 20 in Some(0)",
                "c 40+20 own 20 in Some(1)",
                "d 80+5 own 5 in Some(0)"
            ]
        );
        // The probes came after the image.
        assert!(!got.from_beginning && got.provider == "uprobe" && got.init_ns.is_none());
        assert_eq!(got.importing_ns + got.code_ns, 178);
    }

    #[test]
    fn threads_do_not_import_for_each_other() {
        let mut imports = Imports::default();
        script(&mut imports, 1, "a(b())");
        script(&mut imports, 2, "c(d())");
        let got = imports.account(1, 0, &phases(1, 100), &|_| true).unwrap();
        assert_eq!(got.modules.iter().filter(|m| m.depth == 0).count(), 2);
        assert_eq!(got.importing_ns, 30, "the main thread's");
    }

    #[test]
    fn what_goes_on_at_the_end_is_cut_there() {
        let mut imports = Imports::default();
        script(&mut imports, 1, "a(b()c()");
        script(&mut imports, 9, "late()later(");
        let got = imports.account(1, 0, &phases(1, 35), &|_| true).unwrap();
        let mut got = lines(&got);
        got.sort();
        assert_eq!(
            got,
            [
                "a! 10+25 own 15 in None",
                "b 20+10 own 10 in Some(0)",
                "late 10+10 own 10 in None",
                "later! 30+5 own 5 in None"
            ]
        );
        assert!(imports.account(1, 0, &phases(1, 10), &|_| true).is_none());
    }

    #[test]
    fn steps_that_are_missing_do_no_harm() {
        let mut imports = Imports::default();
        let mut step = |time_ns, step, name: &str| {
            let module = Some(name.to_owned());
            imports.take(time_ns, 1, &Import { step, module, found: true, live_ns: None, shell: false }, 0);
        };
        step(10, ImportStep::End, "never began");
        step(20, ImportStep::Begin, "a");
        step(30, ImportStep::Begin, "its end is lost");
        step(40, ImportStep::End, "a");
        let got = imports.account(1, 0, &phases(1, 100), &|_| true).unwrap();
        assert_eq!(lines(&got), ["a 20+20 own 10 in None", "its end is lost! 30+10 own 10 in Some(0)"]);
        assert!(!got.from_beginning);
    }

    #[test]
    fn memory_and_lists_are_bounded_and_sums_stay_exact() {
        let mut imports = Imports::default();
        let mut take = |time_ns, tid, step| {
            let import =
                Import { step, module: Some("m".into()), found: true, live_ns: Some(0), shell: false };
            imports.take(time_ns, tid, &import, 0);
        };
        take(1, 1, ImportStep::Begin);
        for n in 0..20_000 {
            take(10 + 10 * n, 1, ImportStep::Whole(10 + 10 * n - n % 7));
        }
        take(1_000_000, 1, ImportStep::End);
        for n in 0..100_000 {
            take(2_000_000, (n % 1000) as u32, ImportStep::Begin);
        }
        assert!(imports.done.len() <= MAX_KEPT && imports.open.len() <= MAX_TASKS);
        let got = imports.account(1, 0, &phases(0, 1_500_000), &|_| true).unwrap();
        assert_eq!(got.modules.len(), MAX_LISTED);
        assert!(got.left_out > 19_000);
        let own: u64 = got.modules.iter().map(|m| m.own_ns).sum();
        assert_eq!(own + got.left_out_own_ns, 999_999);
        // An importer is listed wherever one of its imports is.
        assert!(got.modules.iter().all(|m| (m.depth == 0) == m.importer.is_none()));
    }
}
