// Joins the parts: filters, keys, links, theme, print.

async function run() {
  if (typeof DecompressionStream === "undefined") {
    trouble("This browser is too old for this page: it needs one of 2023 or later (Chrome 103, Firefox 113, Safari 16.4).");
    return;
  }
  const model = new Model(await unpack(document.getElementsByClassName("overview")[0]));
  const filter = model.filter;
  let board;
  let shown = -1;

  function refresh() {
    board.setLines(model.lines());
    $("count").textContent = model.isFiltered() ? count(model.hits) + " of " + count(model.n) : plural(model.n, "start");
    for (const [id, mode] of [["tree", "tree"], ["bytime", "time"], ["longest", "longest"]]) $(id).setAttribute("aria-pressed", model.mode === mode);
  }

  /** The detail pane: open, or closed with -1. */
  async function select(i, open) {
    board.selected = i;
    board.path = [];
    if (i >= 0) {
      if (board.rowOf.get(i) === undefined && model.mode === "tree" && !model.isFiltered()) {
        model.reveal(i);
        refresh();
      }
      board.scrollTo(i);
    }
    board.draw();
    if (i < 0 || !(open || shown >= 0)) return;
    shown = i;
    await model.loadIds();
    const start = await model.detail(i);
    if (shown !== i) return;
    const pane = $("detail");
    if (!start) {
      pane.replaceChildren(make("p", "alert", "This page was cut off before the details of this start."));
    } else {
      pane.replaceChildren(...drawDetail(start, i, model));
      $("close").addEventListener("click", closeDetail);
      const asked = start.requested_by && model.ids.map.get(start.requested_by.start_id);
      board.askedBy = asked === undefined || asked === null ? null : { row: i, by: asked };
      board.path = pathOf(start, i, model);
      const link = startLink(start.start_id).hash;
      if (location.hash !== link) history.replaceState(null, "", link);
    }
    pane.hidden = false;
    document.body.classList.add("side");
    pane.scrollTop = 0;
    board.layout();
    $("board").scrollIntoView({ block: "nearest" });
  }

  function closeDetail() {
    shown = -1;
    $("detail").hidden = true;
    document.body.classList.remove("side");
    board.path = [];
    if (location.hash) history.replaceState(null, "", location.pathname + location.search);
    board.body.focus({ preventScroll: true });
    board.draw();
  }

  const actions = {
    refresh,
    select,
    method(name) {
      filter.method = filter.method === name ? "" : name;
      // A method that the list leaves out is there for as long as it is chosen.
      if (![...$("method").options].some((option) => option.value === filter.method)) $("method").append(option(filter.method, filter.method));
      $("method").value = filter.method;
      refresh();
      $("board").scrollIntoView({ block: "nearest" });
    },
  };
  board = new Board(model, actions);
  drawSummary(model, actions);

  function option(value, name) {
    const option = make("option", "", name);
    option.value = value;
    return option;
  }
  function choices(id, all, names) {
    const counts = new Map();
    for (let i = 0; i < model.n; i++) counts.set(names(i), (counts.get(names(i)) || 0) + 1);
    const sorted = [...counts].sort((a, b) => b[1] - a[1]).slice(0, 500);
    $(id).replaceChildren(option("", all), ...sorted.map(([name, n]) => option(name, name.slice(0, 60) + " (" + count(n) + ")")));
  }
  choices("program", "Any program", (i) => model.program(i));
  choices("method", "Any method", (i) => model.method(i));
  $("longer").replaceChildren(option("0", "Any duration"), ...[1e5, 1e6, 1e7, 1e8, 1e9, 1e10].map((ns) => option(String(ns), "from " + duration(ns).replace(/\.0+ /, " "))));

  let wait = 0;
  $("search").addEventListener("input", () => {
    clearTimeout(wait);
    wait = setTimeout(async () => {
      filter.words = $("search").value.toLowerCase().split(/\s+/).filter(Boolean);
      if (filter.words.some((word) => word.includes("@"))) await model.loadIds();
      refresh();
    }, 120);
  });
  $("program").addEventListener("change", (event) => { filter.program = event.target.value; refresh(); });
  $("method").addEventListener("change", (event) => { filter.method = event.target.value; refresh(); });
  $("longer").addEventListener("change", (event) => { filter.longer = Number(event.target.value); refresh(); });
  $("failed").addEventListener("change", (event) => { filter.failed = event.target.checked; refresh(); });
  for (const [id, mode] of [["tree", "tree"], ["bytime", "time"], ["longest", "longest"]]) {
    $(id).addEventListener("click", () => { model.mode = mode; board.body.scrollTop = 0; refresh(); });
  }
  $("in").addEventListener("click", () => board.zoom(0.5));
  $("out").addEventListener("click", () => board.zoom(2));
  $("fit").addEventListener("click", () => board.fit());
  $("keys").addEventListener("click", () => $("help").showModal());

  const dark = matchMedia("(prefers-color-scheme: dark)");
  function themed() {
    resolved = new Map();
    board.draw();
  }
  dark.addEventListener("change", themed);
  $("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || (dark.matches ? "dark" : "light");
    document.documentElement.dataset.theme = now === "dark" ? "light" : "dark";
    themed();
  });

  function clearFilters() {
    Object.assign(filter, { words: [], program: "", method: "", longer: 0, failed: false });
    for (const id of ["search", "program", "method"]) $(id).value = "";
    $("longer").value = "0";
    $("failed").checked = false;
    refresh();
  }

  function step(by) {
    const { lines } = board;
    let n = board.selected >= 0 && board.rowOf.has(board.selected) ? board.rowOf.get(board.selected) : by > 0 ? -1 : lines.length;
    do n += by; while (n >= 0 && n < lines.length && lines[n].kind !== "start");
    // So that Enter opens the start, and does not press the button that was clicked last.
    board.body.focus({ preventScroll: true });
    if (n >= 0 && n < lines.length) select(lines[n].i, false);
  }

  function unfold(open) {
    const line = board.lines[board.rowOf.get(board.selected)];
    if (!line || model.mode !== "tree" || model.isFiltered()) return;
    if (line.kids > 0 && model.isOpen(line) !== open) {
      model.toggle(line, open);
      refresh();
    } else if (!open && model.parent[line.i] >= 0) select(model.parent[line.i], false);
  }

  const keys = {
    ArrowDown: () => step(1), j: () => step(1), ArrowUp: () => step(-1), k: () => step(-1),
    ArrowRight: () => unfold(true), ArrowLeft: () => unfold(false),
    Enter: () => { if (board.selected >= 0) select(board.selected, true); },
    "+": () => board.zoom(0.5), "=": () => board.zoom(0.5), "-": () => board.zoom(2), 0: () => board.fit(),
    a: () => board.pan(-0.25), d: () => board.pan(0.25),
    z: () => { if (board.selected >= 0) board.zoomTo(board.selected); },
    "/": () => $("search").focus(), "?": () => $("help").showModal(),
    Escape: () => { if (shown >= 0) closeDetail(); else clearFilters(); },
  };
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || $("help").open) return;
    const typing = event.target.matches("input[type=search], select");
    if (typing && event.key !== "Escape") return;
    if (event.target.matches("button, a, summary, tr") && event.key === "Enter") return;
    if (!Object.hasOwn(keys, event.key)) return;
    event.preventDefault();
    if (typing) event.target.blur();
    keys[event.key]();
  });

  async function follow() {
    let id = location.hash.slice(1);
    try { id = decodeURIComponent(id); } catch { /* as it stands */ }
    if (!id) return;
    const i = await model.find(id);
    if (i === null) trouble("There is no start " + harmless(id.slice(0, 100)) + " in this page.");
    else {
      $("trouble").hidden = true;
      if (model.isFiltered() && !model.matches(i)) clearFilters();
      select(i, true);
    }
  }
  addEventListener("hashchange", follow);

  // On paper there is no scrolling: as many lines as a person would leaf through.
  addEventListener("beforeprint", () => board.layout(400));
  addEventListener("afterprint", () => board.layout());

  /** What needs the details: names in links, and the critical path of the whole. */
  async function complete() {
    await nameLinks(model);
    const root = model.mainRoot();
    const start = root < 0 ? null : await model.detail(root);
    if (!start) return;
    drawPath(start, root, model);
    board.base = pathOf(start, root, model);
    if (board.base.length > 0) $("legend").append(make("span", "", make("span", "boxed"), "critical path: of the start that is selected, or else of ", text(model.label(root))));
    board.draw();
  }

  refresh();
  document.documentElement.dataset.ready = "yes";
  follow();
  complete().catch((error) => trouble("Not all of this page can be shown (" + error.message + ").")).finally(() => { document.documentElement.dataset.complete = "yes"; });
}

run().catch((error) => trouble("This page cannot show its trace (" + error.message + "): was it cut off or changed?"));
