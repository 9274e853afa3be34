// What stands above the board: what is wrong with the trace, findings, charts of phases and methods.

function drawSummary(model, actions) {
  const { overview } = model;
  const { header, session } = overview;
  document.title = "startrace: " + harmless(overview.headline).slice(0, 200);
  const facts = [header.host.hostname, "Linux " + header.host.kernel, header.host.arch, plural(header.host.cpus, "CPU")];
  if (session) facts.push(session.started_at.replace("T", " ").replace(/\.\d+/, ""));
  $("facts").replaceChildren(text(facts.join(" · ")));
  drawAlerts(overview);
  drawFindings(model, actions);
  drawPhases(overview);
  drawMethods(model, actions);
  drawPools(overview);
  drawSlowest(model, actions);
  const about = [plural(overview.starts, "start"), "recorded by " + header.tool.name + " " + header.tool.version];
  if (session) about.push("level " + session.level, "for " + duration(session.duration_ns), "hooks: " + session.hooks.join(", "));
  $("about").replaceChildren(text(about.join(" · ")));
  const legend = overview.phases.filter((name, k) => overview.totals.phases[k] > 0);
  $("legend").replaceChildren(...legend.map((name) => make("span", "", dot(phaseColour(name)), name)));
}

/** The states of the second lane, as they come into sight. */
const seenStates = new Set();
function noteStates(parts) {
  for (const { state } of parts) {
    if (seenStates.has(state) || seenStates.size >= 30) continue;
    if (seenStates.size === 0) $("legend").append(make("b", "", "Lower lane:"));
    seenStates.add(state);
    $("legend").append(make("span", "", dot(stateColour(state)), text(state)));
  }
}

function dot(colour) {
  const dot = make("span", "dot");
  dot.style.background = colour;
  return dot;
}

function drawAlerts(overview) {
  const alerts = [];
  const say = (what, bad) => alerts.push(make("p", "alert" + (bad ? " bad" : ""), ...what));
  const { session } = overview;
  if (overview.cut_off) say(["Cut off: ", text(overview.cut_off), ". This is what there is."], true);
  const lost = session ? Object.entries(session.lost).filter(([, n]) => n > 0) : [];
  if (lost.length > 0) say(["Lost: ", text(lost.map(([name, n]) => count(n) + " " + name).join(", "))], true);
  else if (session && !session.complete) say(["The recording is not complete."], true);
  if (overview.starts > overview.columns.at.length) {
    say(["Here are the longest " + count(overview.columns.at.length) + " of " + count(overview.starts) + " starts; the totals are of all."]);
  }
  if (overview.failed_forks > 0) {
    const list = overview.failures.slice(0, 5).map((f) => count(f.n) + " of " + f.comm + " (pid " + f.pid + ", " + f.error + ")");
    say([plural(overview.failed_forks, "fork") + " failed: ", text(list.join("; "))], true);
  }
  $("alerts").replaceChildren(...alerts);
}

function finding(what, saves) {
  const box = make("div", "finding");
  if (["info", "warning", "critical"].includes(what.severity)) box.classList.add(what.severity);
  box.append(make("div", "saves", saves > 0 ? duration(saves) : "", what.basis === "scaled" && saves > 0 ? make("small", "", "calculated") : ""));
  const words = make("div", "", make("p", "", make("b", "", text(what.id)), text(what.summary)));
  box.append(words);
  if (what.advice) words.append(make("p", "advice", text(what.advice)));
  const overlaps = what.overlaps || [];
  if (overlaps.length > 0) words.append(make("p", "dim", "Shares time with ", text(overlaps.join(", ")), ": not to be added up."));
  const starts = what.starts || [];
  if (starts.length > 0) {
    const links = starts.slice(0, 5).map((id) => {
      const link = startLink(id, id);
      link.dataset.start = id;
      return link;
    });
    words.append(make("p", "dim", plural(starts.length, "start") + ": ", ...links, starts.length > 5 ? "…" : ""));
  }
  return box;
}

/** Ids in links become names, as soon as the page has been read to its end. */
async function nameLinks(model) {
  await model.loadIds();
  for (const link of document.querySelectorAll("#findings a[data-start]")) {
    const i = model.ids.map.get(link.dataset.start);
    if (i === undefined) continue;
    link.title = harmless(link.dataset.start);
    const label = model.label(i);
    link.replaceChildren(text(label.length > 42 ? label.slice(0, 41) + "…" : label), " (pid " + model.columns.pid[i] + ")");
  }
}

function drawFindings(model) {
  const { overview } = model;
  const found = overview.findings || [];
  const blind = new Map();
  for (const { finding, needs } of overview.not_examined || []) {
    if (!blind.has(needs)) blind.set(needs, []);
    blind.get(needs).push(finding);
  }
  $("findings").hidden = found.length + blind.size === 0;
  $("findings").firstElementChild.hidden = found.length === 0;
  $("findings").children[1].replaceChildren(...found.slice(0, 100).map((f) => finding(f, f.saves_ns)));
  $("unexamined").hidden = blind.size === 0;
  const told = [...blind].map(([needs, names]) => names.join(", ") + " (needs " + needs + ")");
  const names = [...blind.values()].reduce((sum, names) => sum + names.length, 0);
  $("unexamined").replaceChildren(make("summary", "", "Not looked for: " + plural(names, "finding")), text(told.join("; ")), ".");
}

/** A link to a start by its id. */
function startLink(id, ...shown) {
  const link = make("a", "", ...shown.map((part) => (part instanceof Node ? part : text(part))));
  link.href = "#" + encodeURIComponent(id).replaceAll("%40", "@").replaceAll("%2F", "/");
  return link;
}

/** Parts of a whole as a bar: name, nanoseconds, colour. */
function stack(parts, whole, label) {
  const bar = make("div", "stack");
  bar.setAttribute("role", "img");
  bar.setAttribute("aria-label", label);
  for (const [name, ns, colour] of parts) {
    const part = make("span");
    part.style.background = colour;
    part.style.flex = ns / whole + " 0 0";
    part.title = harmless(name) + ": " + duration(ns) + ", " + share(ns, whole);
    bar.append(part);
  }
  return bar;
}

function drawPhases(overview) {
  const { phases, totals } = overview;
  const all = totals.phases.reduce((a, b) => a + b, 0);
  const parts = phases.map((name, k) => [name, totals.phases[k], phaseColour(name)]).filter(([, ns]) => ns > 0);
  if (all <= 0) {
    $("phases").replaceChildren(make("p", "dim", "No start has a duration."));
    return;
  }
  const keys = parts.map(([name, ns, colour]) => make("span", "", dot(colour), name + " ", make("span", "dim", duration(ns) + ", " + share(ns, all))));
  $("phases").replaceChildren(make("h3", "", overview.starts === 1 ? "Phases" : "Phases of all starts together"), stack(parts, all, "Phases of all starts"), make("div", "keys", ...keys));
}

/** What the longest start that nobody else of the trace started was waiting for, from its own details. */
function drawPath(start, i, model) {
  const sums = Object.entries(start.timeline.path_ns || {}).filter(([, ns]) => ns > 0).sort((a, b) => b[1] - a[1]);
  const whole = sums.reduce((sum, [, ns]) => sum + ns, 0);
  if (whole <= 0) return;
  const parts = sums.map(([name, ns]) => [name, ns, stateColour(name)]);
  const name = make("h3", "", "Critical path of ", startLink(start.start_id, text(model.label(i))), ", " + duration(start.timeline.duration_ns));
  $("path").replaceChildren(name, stack(parts, whole, "Critical path"), times(parts.slice(0, 7), whole));
  $("path").hidden = false;
}

function drawPools(overview) {
  const pools = (overview.groups || []).slice(0, 8).map((pool) => {
    const facts = [];
    if (pool.unfinished > 0) facts.push(count(pool.unfinished) + " not finished");
    if (pool.makespan_ns !== undefined && pool.makespan_ns !== null) facts.push((pool.unfinished > 0 ? "the others in " : "all in ") + duration(pool.makespan_ns));
    if (pool.p50_ns !== undefined && pool.p50_ns !== null) facts.push("one takes " + duration(pool.p50_ns) + " (p50)");
    if (typeof pool.parallelism === "number") facts.push(pool.parallelism.toFixed(1) + " at a time");
    const line = make("p", "", count(pool.n) + " × ", text(pool.method));
    line.append(make("span", "dim", " " + facts.join(", ")));
    return line;
  });
  if (pools.length > 0) $("pools").replaceChildren(make("h3", "", "Pools"), ...pools);
}

/** A line of a table that acts as a button. */
function pick(row, act) {
  row.classList.add("pick");
  row.tabIndex = 0;
  row.addEventListener("click", act);
  row.addEventListener("keydown", (event) => { if (event.key === "Enter") act(event); });
  return row;
}

function drawMethods(model, actions) {
  const { methods } = model.overview.totals;
  const most = methods.reduce((a, m) => Math.max(a, m.sum), 1);
  const table = make("table", "", make("tr", "", make("th", "", "Method"), make("th", "n", "Starts"), make("th", "n", "Median"), make("th", "n", "p95"), make("th", "n", "Longest")));
  for (const m of methods.slice(0, 12)) {
    const bar = make("span", "bar");
    bar.style.width = (m.sum / most) * 100 + "%";
    const row = make("tr", "", make("td", "", breakable(m.name), bar), make("td", "n", count(m.n)),
      ...[["n", m.p50], ["n", m.p95], ["n", m.max]].map(([name, ns]) => make("td", name, m.finished > 0 ? duration(ns) : "")));
    row.title = harmless(m.name) + ": " + (m.finished < m.n ? count(m.n - m.finished) + " not timed: not seen whole" : "show only these");
    table.append(pick(row, () => actions.method(harmless(m.name))));
  }
  const rest = methods.length - 12;
  $("methods").replaceChildren(table, rest > 0 ? make("p", "dim", "and " + plural(rest, "more method")) : "");
}

function drawSlowest(model, actions) {
  // Of starts that look alike the slowest; one pass, as sorting everything would be slow for many.
  const { shape, flags } = model.columns;
  const [best, alike] = [new Map(), new Map()];
  for (let i = 0; i < model.n; i++) {
    if (flags[i] & (FLAG.partial | FLAG.unfinished)) continue;
    alike.set(shape[i], (alike.get(shape[i]) || 0) + 1);
    const known = best.get(shape[i]);
    if (known === undefined || model.ns[i] > model.ns[known]) best.set(shape[i], i);
  }
  const top = [...best.values()].sort((a, b) => model.ns[b] - model.ns[a] || a - b).slice(0, 8);
  const table = make("table");
  for (const i of top) {
    const row = make("tr", "", make("td", "n", duration(model.ns[i])), make("td", "cut", text(model.label(i)), make("div", "dim", text(model.method(i)), ", pid " + model.columns.pid[i] + (alike.get(shape[i]) > 1 ? ", 1 of " + count(alike.get(shape[i])) : ""))));
    row.title = model.label(i);
    table.append(pick(row, () => actions.select(i, true)));
  }
  $("slowest").replaceChildren(top.length ? table : make("p", "dim", "No start was seen whole."));
}
