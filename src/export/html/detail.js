// A start's own page: everything that the trace says of it.

const MAX_TEXT = 2000;
const MAX_ITEMS = 200;
/** Of the parts of a runtime: colours that phases have. */
const RUNTIME_COLOURS = ["exec", "link", "app"].map(phaseColour);

/** Long text is cut until somebody asks for all of it. */
function long(value) {
  const whole = String(value);
  if (whole.length <= MAX_TEXT) return text(whole);
  const box = make("span", "", text(whole.slice(0, MAX_TEXT)), " ");
  const more = make("button", "", "all " + count(whole.length) + " characters");
  more.addEventListener("click", () => box.replaceChildren(text(whole)));
  box.append(more);
  return box;
}

/** The first items of a list, and the others when asked for. */
function listed(tag, items, draw) {
  const list = make(tag, "", ...items.slice(0, MAX_ITEMS).map(draw));
  if (items.length <= MAX_ITEMS) return [list];
  const more = make("button", "", "all " + count(items.length));
  more.addEventListener("click", () => {
    list.append(...items.slice(MAX_ITEMS, 100000).map(draw));
    more.remove();
  });
  return [list, more];
}

function keyed(pairs) {
  const table = make("table", "kv");
  for (const [name, value] of pairs) {
    if (value === null || value === undefined || value === "") continue;
    table.append(make("tr", "", make("td", "", name), make("td", "", value instanceof Node ? value : text(value))));
  }
  return table;
}

function section(name, ...parts) {
  return parts.length > 0 ? [make("h2", "", name), ...parts] : [];
}

/** Parts of a start on a line, to scale. */
function lane(parts, whole, thin) {
  const lane = make("div", thin ? "lane thin" : "lane");
  for (const part of parts.slice(0, 4000)) {
    const span = make("span");
    span.style.left = (part.at_ns / whole) * 100 + "%";
    span.style.width = Math.min((part.duration_ns / whole) * 100, 100) + "%";
    span.style.background = part.colour;
    span.title = harmless(part.name) + ": " + duration(part.duration_ns) + ", from " + duration(part.at_ns) + " on";
    lane.append(span);
  }
  return lane;
}

function processLink(ref, model) {
  if (!ref) return null;
  const name = make("span", "", text(ref.comm || "?"), " (pid " + ref.pid + ")");
  const known = ref.start_id && model.ids && model.ids.map.has(ref.start_id);
  return known ? startLink(ref.start_id, name) : name;
}

function times(parts, whole) {
  const rows = parts.map(([name, ns, colour]) => make("tr", "", make("td", "", dot(colour), text(name)), make("td", "n", duration(ns)), make("td", "n dim", share(ns, whole))));
  return make("table", "", ...rows);
}

/** What a language runtime imported: how that divides `app`, and the longest, below their importers. */
function imports(all) {
  const app = Math.max((all.init_ns || 0) + all.importing_ns + all.code_ns, 1);
  const sums = [["interpreter's own start", all.init_ns || 0], ["imports", all.importing_ns], ["the rest", all.code_ns]];
  const rows = sums.filter(([, ns]) => ns > 0).map(([name, ns]) => make("tr", "", make("td", "", name), make("td", "n", duration(ns)), make("td", "n dim", share(ns, app))));
  const longest = new Set([...(all.modules || [])].sort((a, b) => b.duration_ns - a.duration_ns).slice(0, 100));
  const modules = (all.modules || []).filter((m) => longest.has(m)).map((m) => {
    const name = make("td", "mono", m.module ? text(m.module) : "?", m.found === false ? " (not found)" : "");
    name.style.paddingLeft = Math.min(m.depth, 30) + 0.5 + "em";
    return make("tr", "", name, make("td", "n", duration(m.at_ns)), make("td", "n", duration(m.duration_ns)), make("td", "n", duration(m.own_ns)));
  });
  const head = make("tr", "", make("th", "", "Module"), ...["From", "Time", "Its own"].map((n) => make("th", "n", n)));
  const title = "Imports" + (all.count > modules.length ? " (the longest " + modules.length + " of " + count(all.count) + ")" : "");
  const late = all.from_beginning ? [] : [make("p", "dim", "The first imports were not observed.")];
  return section(title, make("table", "", ...rows), ...late, make("table", "", head, ...modules));
}

/** Inside a language runtime: how `app` divides by the files that it opened, and its threads by what they are for. */
function inside(all, whole) {
  const stages = (all.stages || []).slice(0, 16), roles = (all.threads || []).slice(0, 16), parts = [];
  const names = { runtime: "its own start", loading: "until the last of its code was opened", program: "the rest" };
  const told = stages.map((s, k) => ({ ...s, name: Object.hasOwn(names, s.name) ? names[s.name] : s.name, colour: RUNTIME_COLOURS[k % RUNTIME_COLOURS.length] }));
  const app = told.reduce((sum, s) => sum + s.duration_ns, 0);
  if (app > 0) {
    const rows = told.map((s) => make("tr", "", make("td", "", dot(s.colour), text(s.name)), make("td", "n", duration(s.at_ns)), make("td", "n", duration(s.duration_ns)), make("td", "n dim", share(s.duration_ns, app))));
    const head = make("tr", "", make("th", "", "app, by the files that it opened"), ...["From", "Time", ""].map((n) => make("th", "n", n)));
    parts.push(lane(told, whole, true), make("table", "", head, ...rows));
  }
  if (roles.length > 0) {
    const rows = [...roles].sort((a, b) => b.running_ns - a.running_ns).map((t) => make("tr", "", make("td", "", text(t.role)), make("td", "n", count(t.n)), make("td", "n", duration(t.running_ns)), make("td", "n", duration(t.runnable_ns))));
    const head = make("tr", "", make("th", "", "Other threads, by their names"), ...["How many", "On a CPU", "Waiting for one"].map((n) => make("th", "n", n)));
    parts.push(make("table", "", head, ...rows));
  }
  return section("Inside " + harmless(all.language || "the runtime"), ...parts);
}

/** Which functions ran, by samples. */
function profile(all) {
  const rows = (all.functions || []).slice(0, 50).map((f) => make("tr", "", make("td", "mono", f.function ? long(f.function) : "?"), make("td", "mono", f.module ? long(f.module) : "?"), make("td", "", text(f.phase)),
    make("td", "n", count(f.own)), make("td", "n dim", share(f.own, all.samples)), make("td", "n", count(f.all))));
  const head = make("tr", "", ...["Function", "File", "Phase"].map((n) => make("th", "", n)), make("th", "n", "Ran"), make("th", "n", ""), make("th", "n", "On the stack"));
  return section("On the CPU (" + count(all.samples) + " samples, " + all.hz + " a second)", make("table", "", head, ...rows));
}

/** The files that it opened and looked for: by phase and kind, where in vain, and what a shell read. */
function files(all) {
  const head = (...names) => make("tr", "", make("th", "", names[0]), make("th", "", names[1]), ...names.slice(2).map((n) => make("th", "n", n)));
  const some = (n) => make("td", "n", n > 0 ? count(n) : "");
  const sums = (all.sums || []).slice(0, 100).map((s) => make("tr", "", make("td", "", text(s.phase)), make("td", "", text(s.kind)),
    some(s.opened), some(s.open_failed), some(s.found), some(s.missed), make("td", "n", duration(s.spent_ns))));
  const parts = section("Files", make("table", "", head("Phase", "Kind", "Opened", "in vain", "Looked up", "in vain", "Time"), ...sums));
  const misses = (all.misses || []).slice(0, 20).map((m) => make("tr", "", make("td", "mono", long(m.folder)), make("td", "n", count(m.n)), make("td", "n", duration(m.spent_ns))));
  if (misses.length > 0) parts.push(...section("Looked for in vain in", make("table", "", ...misses)));
  const read = (all.sourced || []).slice(0, 100).map((s) => make("tr", "", make("td", "n", duration(s.at_ns)), make("td", "n", duration(s.whole_ns ?? s.duration_ns)), make("td", "", s.whole_ns == null ? "until the next" : `${duration(s.own_ns ?? s.whole_ns)} its own`), make("td", "mono", long(s.path))));
  if (read.length > 0) parts.push(...section("Read by the shell", make("table", "", ...read)));
  return parts;
}

function drawDetail(start, i, model) {
  const { timeline: time, method, exit } = start;
  const whole = Math.max(time.duration_ns, 1);
  const close = make("button", "", "Close");
  close.id = "close";
  close.title = "Esc";
  const title = make("div", "title", make("h1", "", text(model.label(i))), close);
  const chips = make("div", "chips",
    make("span", "chip", text(method.name), " (" + method.confidence + ")"),
    make("span", "chip", "ready: ", text(time.ready.kind), time.ready.inferred ? " (inferred)" : "", time.ready.detail ? ": " : "", time.ready.detail ? text(time.ready.detail) : ""));
  if (exit) {
    const bad = exit.signal || exit.code !== 0;
    const how = exit.signal ? "killed by " + exit.signal + (exit.core ? ", core dumped" : "") : "exit " + (exit.code ?? "?");
    chips.append(make("span", "chip" + (bad ? " bad" : ""), text(how), " at " + duration(exit.at_ns)));
  }
  if (start.partial) chips.append(make("span", "chip", "began before the recording"));
  const link = startLink(start.start_id, start.start_id);
  link.title = "A link to this start";
  const parts = [title, chips, make("p", "", make("span", "big", duration(time.duration_ns)), link)];

  for (const found of start.findings || []) parts.push(finding(found, found.cost_ns));

  const phases = time.phases.map((p) => ({ ...p, colour: phaseColour(p.name) }));
  if (phases.length > 0) {
    const rows = phases.map((p) => {
      const exec = p.exec === undefined ? null : (start.execs || [])[p.exec];
      return make("tr", "", make("td", "", dot(p.colour), text(p.name)), make("td", "n", duration(p.at_ns)), make("td", "n", duration(p.duration_ns)),
        make("td", "n dim", share(p.duration_ns, whole)), make("td", "mono", exec && exec.path ? text(exec.path) : ""));
    });
    const head = make("tr", "", make("th", "", "Phase"), make("th", "n", "From"), make("th", "n", "Time"), make("th", "n", ""), make("th", "", "Image"));
    parts.push(...section("Phases", lane(phases, whole), make("table", "", head, ...rows)));
  }
  const states = stateParts(start).map((p) => ({ ...p, name: p.state, colour: stateColour(p.state) }));
  if (states.length > 0) {
    const name = (time.critical_path || []).length > 0 ? "critical path" : "waits of the main thread";
    parts.push(make("div", "lanename", name), lane(states, whole, true));
  }
  const sums = (object) => Object.entries(object || {}).filter(([, ns]) => ns > 0).sort((a, b) => b[1] - a[1]);
  if (sums(time.path_ns).length > 0) {
    parts.push(...section("Critical path", times(sums(time.path_ns).map(([name, ns]) => [name, ns, stateColour(name)]), whole)));
  }
  if (time.states) {
    const { blocked, ...own } = time.states;
    const all = [...sums(own).map(([name, ns]) => [name.replace(/_ns$/, ""), ns]), ...sums(blocked)];
    parts.push(...section("Main thread", times(all.map(([name, ns]) => [name, ns, stateColour(name)]), whole)));
  }
  if (time.runtime) parts.push(...inside(time.runtime, whole));
  if ((time.waits || []).length > 0) {
    const lost = (w) => w.duration_ns + (w.runnable_ns || 0);
    const waits = [...time.waits].sort((a, b) => lost(b) - lost(a)).slice(0, 50);
    const rows = waits.map((w) => make("tr", "", make("td", "n", duration(w.at_ns)), make("td", "n", duration(w.duration_ns)), make("td", "n", w.runnable_ns ? duration(w.runnable_ns) : ""),
      make("td", "n dim", w.tid === start.pid ? "main" : w.tid),
      make("td", "k", dot(stateColour(w.kind)), text(w.kind)), make("td", "mono k", text(w.syscall || "")), make("td", "", w.detail ? text(w.detail) : ""),
      make("td", "dim", w.woken_by ? text(w.woken_by.kind + (w.woken_by.pid ? " " + (w.woken_by.comm || "") + " (pid " + w.woken_by.pid + ")" : "")) : "")));
    const head = make("tr", "", ...["From", "Time", "Then for a CPU", "Thread"].map((n) => make("th", "n", n)), ...["Waits for", "Call", "What", "Woken by"].map((n) => make("th", "", n)));
    const all = time.waits.length + (time.waits_left_out || 0);
    parts.push(...section("Longest waits" + (all > 50 ? " (50 of " + count(all) + ")" : ""), make("table", "", head, ...rows)));
  }
  if (time.imports) parts.push(...imports(time.imports));
  if (time.files) parts.push(...files(time.files));
  if (time.profile) parts.push(...profile(time.profile));
  if ((time.threads || []).length > 0) {
    const rows = [...time.threads].sort((a, b) => b.running_ns - a.running_ns).slice(0, 50).map((t) => make("tr", "", make("td", "n", t.tid), make("td", "", text(t.comm || "?")), make("td", "n", duration(t.running_ns)), make("td", "n", duration(t.runnable_ns))));
    parts.push(...section("Other threads", make("table", "", make("tr", "", make("th", "n", "Thread"), make("th", "", "Name"), make("th", "n", "On a CPU"), make("th", "n", "Waiting for one")), ...rows)));
  }
  const used = time.counters;
  if (used) {
    const mib = (bytes) => bytes == null ? "unknown" : (bytes / 1048576).toFixed(1) + " MiB";
    parts.push(...section("Used", keyed([["CPU", duration(used.user_ns) + " in the program, " + duration(used.system_ns) + " in the kernel"],
      ["page faults", count(used.minor_faults) + " from memory, " + count(used.major_faults) + " with I/O"],
      ["switches", count(used.voluntary_switches) + " to wait, " + count(used.involuntary_switches) + " forced"],
      ["read", mib(used.read_bytes)], ["resident", mib(used.rss_bytes)], ["threads", used.threads]])));
  }
  if ((time.milestones || []).length > 0) {
    const rows = time.milestones.slice(0, MAX_ITEMS).map((m) => make("tr", "", make("td", "n", duration(m.at_ns)), make("td", "", text(m.name), m.inferred ? " (inferred)" : ""), make("td", "mono", m.detail ? long(m.detail) : "")));
    parts.push(...section("On the way", make("table", "", ...rows)));
  }
  if (start.argv) {
    const note = start.argv_truncated ? [make("p", "dim", "Cut off: the arguments are " + count(start.argv_bytes) + " bytes.")] : [];
    parts.push(...section("Arguments", ...listed("ol", start.argv, (arg) => make("li", "", long(arg))), ...note));
    parts.find((p) => p.tagName === "OL").start = 0;
  }
  if ((start.execs || []).length > 0) {
    const rows = start.execs.slice(0, MAX_ITEMS).map((e) => make("tr", "", make("td", "n", duration(e.at_ns)), make("td", "n", e.duration_ns === undefined ? "" : duration(e.duration_ns)),
      make("td", "mono", text(e.path || "?"), e.interpreter ? " by " : "", e.interpreter ? text(e.interpreter) : ""), make("td", "bad", e.error ? text(e.error) : "")));
    parts.push(...section("Execs", make("table", "", ...rows)));
  }
  parts.push(...section("Who and where", keyed([
    ["executable", start.exe], ["comm", start.comm], ["pid", start.ns_pid && start.ns_pid !== start.pid ? start.pid + " (inside: " + start.ns_pid + ")" : start.pid],
    ["parent", processLink(start.parent, model)], ["asked for by", processLink(start.requested_by, model)],
    ["started at", time.started_at], ["origin", time.origin], ["user, group", start.uid === undefined ? null : start.uid + ", " + start.gid],
    ["folder", start.cwd], ["unit", start.unit], ["cgroup", start.cgroup],
    ["container", start.container ? [start.container.runtime, start.container.id, start.container.pod].filter(Boolean).join(" ") : null],
    ["killed by", exit ? processLink(exit.killed_by, model) : null],
  ])));
  const binary = start.binary;
  if (binary) {
    parts.push(...section("Binary", keyed([["linkage", binary.linkage], ["runtime", binary.runtime], ["interpreter", binary.interpreter],
      ["libraries", binary.needed], ["relocations", binary.relocations === undefined ? null : count(binary.relocations)], ["build-id", binary.build_id]])));
  }
  parts.push(...section("Why this method", make("ul", "", ...(method.evidence || []).map((e) => make("li", "", long(e)))), keyed([
    ["call", method.primitive], ["mechanism", method.mechanism], ["library", method.library], ["pattern", method.pattern],
    ["clone flags", (method.clone_flags || []).join(" ")], ["exit signal", method.exit_signal]])));
  const below = model.below.get(i) || [];
  if (below.length > 0 && model.ids) {
    const items = below.map((child) => startLink(model.ids.list[child], make("span", "", text(model.label(child)), make("span", "dim", "  " + duration(model.ns[child])))));
    parts.push(...section(plural(below.length, "child").replace("childs", "children"), ...listed("ul", items, (item) => make("li", "", item))));
  }
  const raw = make("details", "", make("summary", "", "As JSON"));
  raw.addEventListener("toggle", () => {
    if (raw.open && raw.childElementCount === 1) raw.append(make("pre", "", text(JSON.stringify(start, null, 1)).textContent.replaceAll("\\n", "\n")));
  });
  parts.push(make("h2", "", "Raw"), raw);
  return parts;
}
