//! Which imports are the program's own, as all that tells of them counts them.

use crate::trace::schema::{Import, Phase, Start};

/// The imports of the main thread after the interpreter's own start, which has imports as well.
pub(crate) fn of_program(start: &Start) -> impl Iterator<Item = &Import> {
    let ready = ready_ns(start);
    let imports = start.timeline.imports.as_ref();
    let modules = imports.map_or(&[][..], |imports| imports.modules.as_slice());
    modules.iter().filter(move |import| import.tid == start.pid && import.at_ns >= ready)
}

/// How many modules a program imported in that time, without what was looked for in vain; with `more than` where short
/// ones are left out of the trace.
pub(crate) fn modules(start: &Start) -> (u64, &'static str) {
    let there = of_program(start).filter(|import| import.found != Some(false));
    let left_out = start.timeline.imports.as_ref().is_some_and(|imports| imports.left_out > 0);
    (there.count() as u64, if left_out { "more than " } else { "" })
}

/// The phase `app` of the image that imported.
pub(crate) fn app(start: &Start) -> Option<&Phase> {
    let exec = start.timeline.imports.as_ref().and_then(|imports| imports.exec);
    let mut apps = start.timeline.phases.iter().rev().filter(|phase| phase.name == "app");
    let newest = apps.clone().next();
    apps.find(|phase| exec.is_some() && phase.exec == exec).or(newest)
}

/// From the origin until the interpreter is ready for the program, as far as that was seen.
fn ready_ns(start: &Start) -> u64 {
    let app = app(start).map_or(0, |app| app.at_ns);
    let init = start.timeline.imports.as_ref().and_then(|imports| imports.init_ns);
    init.map_or(0, |init| app.saturating_add(init))
}
