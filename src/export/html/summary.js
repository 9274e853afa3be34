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

function finding(what, saves, model, actions) {
  const box = make("div", "finding");
  if (["info", "warning", "critical"].includes(what.severity)) box.classList.add(what.severity);
  if (saves > 0) box.append(make("span", "saves", duration(saves)));
  box.append(make("p", "", make("b", "", text(what.id)), text(what.summary)));
  if (what.advice) box.append(make("p", "dim", text(what.advice)));
  const starts = what.starts || [];
  if (starts.length > 0) {
    const links = starts.slice(0, 5).flatMap((id) => [startLink(id, id), " "]);
    box.append(make("p", "", plural(starts.length, "start") + ": ", ...links, starts.length > 5 ? "…" : ""));
  }
  return box;
}

function drawFindings(model) {
  const found = model.overview.findings || [];
  $("findings").hidden = found.length === 0;
  $("findings").lastElementChild.replaceChildren(...found.slice(0, 100).map((f) => finding(f, f.saves_ns)));
}

/** A link to a start by its id. */
function startLink(id, ...shown) {
  const link = make("a", "", ...shown.map((part) => (part instanceof Node ? part : text(part))));
  link.href = "#" + encodeURIComponent(id).replaceAll("%40", "@").replaceAll("%2F", "/");
  return link;
}

function drawPhases(overview) {
  const { phases, totals } = overview;
  const all = totals.phases.reduce((a, b) => a + b, 0);
  const stack = make("div", "stack");
  const table = make("table");
  stack.setAttribute("role", "img");
  stack.setAttribute("aria-label", "Phases of all starts");
  phases.forEach((name, k) => {
    const sum = totals.phases[k];
    if (sum <= 0) return;
    const part = make("span");
    part.style.background = phaseColour(name);
    part.style.flex = sum / all + " 0 0";
    part.title = name + ": " + duration(sum) + ", " + share(sum, all);
    stack.append(part);
    table.append(make("tr", "", make("td", "", dot(phaseColour(name)), name), make("td", "n", duration(sum)), make("td", "n dim", share(sum, all))));
  });
  $("phases").replaceChildren(...(all > 0 ? [stack, table] : [make("p", "dim", "No start has a duration.")]));
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
    const row = make("tr", "", make("td", "cut", text(m.name), bar), make("td", "n", count(m.n)),
      ...[["n", m.p50], ["n", m.p95], ["n", m.max]].map(([name, ns]) => make("td", name, m.finished > 0 ? duration(ns) : "")));
    row.title = harmless(m.name) + ": " + (m.finished < m.n ? count(m.n - m.finished) + " not timed: not seen whole" : "show only these");
    table.append(pick(row, () => actions.method(harmless(m.name))));
  }
  const rest = methods.length - 12;
  $("methods").replaceChildren(table, rest > 0 ? make("p", "dim", "and " + plural(rest, "more method")) : "");
}

function drawSlowest(model, actions) {
  // One pass with a short list: sorting everything would be slow for many.
  const top = [];
  for (let i = 0; i < model.n; i++) {
    if (model.columns.flags[i] & (FLAG.partial | FLAG.unfinished)) continue;
    if (top.length >= 8 && model.ns[i] <= model.ns[top[top.length - 1]]) continue;
    top.push(i);
    top.sort((a, b) => model.ns[b] - model.ns[a] || a - b);
    if (top.length > 8) top.pop();
  }
  const table = make("table");
  for (const i of top) {
    const row = make("tr", "", make("td", "n", duration(model.ns[i])), make("td", "cut", text(model.label(i)), " ", make("span", "dim", text(model.method(i)))));
    row.title = model.label(i);
    table.append(pick(row, () => actions.select(i, true)));
  }
  $("slowest").replaceChildren(top.length ? table : make("p", "dim", "No start was seen whole."));
}
