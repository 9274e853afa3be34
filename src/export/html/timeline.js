// The board: lines of starts on the left, their time on the right. Only what is in sight is drawn.

const ROW = 24;

class Board {
  constructor(model, actions) {
    this.model = model;
    this.actions = actions;
    this.lines = [];
    this.rowOf = new Map();
    this.selected = -1;
    this.hover = null;
    this.lineOf = null;
    /** Critical paths: of the selected start, and of what the page shows at first. */
    this.path = [];
    this.base = [];
    this.view = [0, Math.max(model.end, 1)];
    this.full = this.view.slice();
    this.details = new Map();
    this.body = $("body");
    this.sizer = $("sizer");
    this.bars = $("bars");
    this.axis = $("axis");
    this.map = $("map");
    this.pending = false;
    this.density = null;
    this.listen();
  }

  listen() {
    this.body.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.layout()).observe($("board"));
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) this.click(Number(row.dataset.line), event.target.classList.contains("fold"));
    });
    const bars = this.bars;
    bars.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.body.addEventListener("wheel", (event) => { if (event.ctrlKey) event.preventDefault(); }, { passive: false });
    bars.addEventListener("mousemove", (event) => this.move(event));
    bars.addEventListener("mouseleave", () => this.leave());
    bars.addEventListener("click", (event) => {
      if (this.dragged) return;
      const line = this.lineAt(event);
      if (line >= 0) this.click(line, false);
    });
    bars.addEventListener("dblclick", (event) => {
      const line = this.lines[this.lineAt(event)];
      if (line && line.kind === "start") this.zoomTo(line.i);
    });
    this.drag(bars, (from, to, start) => this.show(start[0] - (to - from), start[1] - (to - from)), false);
    for (const strip of [this.axis, this.map]) this.drag(strip, null, true);
  }

  /** Dragging moves the view, or chooses one. */
  drag(canvas, move, choose) {
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      const range = canvas === this.map ? this.full : this.view;
      const start = range.slice();
      const at = (e) => {
        const box = canvas.getBoundingClientRect();
        return start[0] + (Math.min(Math.max(e.clientX - box.left, 0), box.width) / box.width) * (start[1] - start[0]);
      };
      const from = at(event);
      const x = event.clientX;
      this.dragged = false;
      const onMove = (e) => {
        if (Math.abs(e.clientX - x) > 4) this.dragged = true;
        if (!this.dragged) return;
        if (choose) {
          this.brush = [canvas, Math.min(from, at(e)), Math.max(from, at(e))];
          this.drawSoon();
        } else move(from, at(e), start);
      };
      const onUp = () => {
        removeEventListener("pointermove", onMove);
        removeEventListener("pointerup", onUp);
        const brush = this.brush;
        this.brush = null;
        if (choose && brush) this.show(brush[1], brush[2]);
        else if (choose && canvas === this.map && !this.dragged) {
          const half = (this.view[1] - this.view[0]) / 2;
          this.show(from - half, from + half);
        }
        this.drawSoon();
      };
      addEventListener("pointermove", onMove);
      addEventListener("pointerup", onUp);
    });
  }

  wheel(event) {
    if (event.ctrlKey || event.altKey || event.metaKey) {
      event.preventDefault();
      const box = this.bars.getBoundingClientRect();
      this.zoom(Math.exp(event.deltaY * 0.0025), (event.clientX - box.left) / box.width);
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      event.preventDefault();
      this.pan((event.deltaX || event.deltaY) / this.bars.clientWidth);
    } else this.body.scrollTop += event.deltaMode === 1 ? event.deltaY * ROW : event.deltaY;
  }

  zoom(factor, at = 0.5) {
    const [from, to] = this.view;
    const middle = from + (to - from) * at;
    this.show(middle - (middle - from) * factor, middle + (to - middle) * factor);
  }

  pan(part) {
    const by = (this.view[1] - this.view[0]) * part;
    this.show(this.view[0] + by, this.view[1] + by);
  }

  show(from, to) {
    // No closer than a microsecond across, no wider than everything.
    const width = Math.min(Math.max(to - from, 1000), this.full[1] - this.full[0]);
    let begin = (from + to) / 2 - width / 2;
    begin = Math.min(Math.max(begin, this.full[0]), this.full[1] - width);
    this.view = [begin, begin + width];
    this.drawSoon();
  }

  fit() { this.show(...this.full); }

  zoomTo(i) {
    const { at, ns } = this.model;
    const room = Math.max(ns[i] * 0.04, 500);
    this.show(at[i] - room, at[i] + ns[i] + room);
  }

  setLines(lines) {
    this.lines = lines;
    this.rowOf = new Map();
    this.lineOf = null;
    lines.forEach((line, n) => { if (line.kind === "start") this.rowOf.set(line.i, n); });
    this.layout();
  }

  layout(rows) {
    const most = rows || Math.max(8, Math.floor((innerHeight * 0.72) / ROW));
    const height = Math.max(Math.min(this.lines.length, most), 4) * ROW;
    this.body.style.height = height + "px";
    // Browsers draw nothing beyond some 30 million pixels; a million lines are 24.
    this.sizer.style.height = Math.max(this.lines.length * ROW, height) + "px";
    const left = this.map.getBoundingClientRect().left - $("board").getBoundingClientRect().left;
    const width = Math.max(this.sizer.clientWidth - left, 50);
    // Where there is little room, the methods give theirs to the names.
    $("board").classList.toggle("narrow", left < 520);
    $("board").style.setProperty("--left", left + "px");
    Object.assign(this.bars.style, { left: left + "px", top: this.body.offsetTop + "px", width: width + "px", height: height + "px" });
    for (const canvas of [this.map, this.axis]) canvas.style.width = width + "px";
    this.density = null;
    this.draw();
  }

  drawSoon() {
    if (this.pending) return;
    this.pending = true;
    requestAnimationFrame(() => { this.pending = false; this.draw(); });
  }

  click(n, fold) {
    const line = this.lines[n];
    if (!line) return;
    if (line.kind !== "start" || fold) {
      this.model.toggle(line);
      this.actions.refresh();
    } else this.actions.select(line.i, true);
  }

  lineAt(event) {
    const box = this.bars.getBoundingClientRect();
    const n = Math.floor((event.clientY - box.top + this.body.scrollTop) / ROW);
    return n < this.lines.length ? n : -1;
  }

  visible() {
    const first = Math.max(0, Math.floor(this.body.scrollTop / ROW) - 2);
    const last = Math.min(this.lines.length, Math.ceil((this.body.scrollTop + this.body.clientHeight) / ROW) + 2);
    return [first, last];
  }

  draw() {
    this.drawRows();
    this.drawBars();
    this.drawAxis();
    this.drawMap();
  }

  drawRows() {
    const [first, last] = this.visible();
    const rows = [];
    for (let n = first; n < last; n++) rows.push(this.row(this.lines[n], n));
    this.sizer.replaceChildren(...rows);
  }

  row(line, n) {
    const { model } = this;
    const name = make("span", "c-name");
    name.style.paddingLeft = 14 + Math.min(line.depth, 24) * 16 + "px";
    const foldable = line.kids > 0 && (model.mode === "tree" && !model.isFiltered());
    name.append(make("span", "fold", foldable ? (model.isOpen(line) ? "▾" : "▸") : ""));
    const row = make("div", "row", name);
    row.dataset.line = n;
    row.style.top = n * ROW + "px";
    row.setAttribute("role", "treeitem");
    row.setAttribute("aria-level", line.depth + 1);
    if (foldable) row.setAttribute("aria-expanded", model.isOpen(line));
    const hidden = foldable && !model.isOpen(line) ? line.rows ? line.rows.reduce((sum, i) => sum + model.size[i], 0) : model.size[line.i] : 0;
    if (line.kind === "outside") {
      const [pid, comm] = model.overview.outside[line.outside];
      name.append(text(comm), make("span", "dim", " pid " + pid + ", was there before"));
      row.append(make("span", "c-method"), make("span", "c-time dim", count(line.rows.length)));
    } else if (line.kind === "group") {
      name.append(make("b", "", count(line.rows.length) + " × "), text(model.label(line.i)));
      row.append(make("span", "c-method", text(model.method(line.i))), make("span", "c-time", this.middle(line)));
      row.title = "Folded, as they look alike. Time: the median.";
    } else {
      name.append(text(model.label(line.i)));
      if (model.flag(line.i, "failed")) name.append(make("span", "tag", text(model.ending(line.i))));
      if (model.flag(line.i, "partial")) name.append(make("span", "tag run", "began before"));
      const unfinished = model.flag(line.i, "unfinished");
      row.append(make("span", "c-method", text(model.method(line.i))),
        make("span", "c-time" + (unfinished ? " dim" : ""), (unfinished ? "> " : "") + duration(model.ns[line.i])));
      if (line.i === this.selected) {
        row.classList.add("sel");
        row.setAttribute("aria-selected", "true");
      }
    }
    if (hidden > 0) name.append(make("span", "dim", "  + " + count(hidden) + " below"));
    return row;
  }

  middle(line) {
    if (line.median === undefined) {
      const finished = line.rows.filter((i) => !this.model.flag(i, "unfinished")).map((i) => this.model.ns[i]);
      finished.sort((a, b) => a - b);
      line.median = finished.length ? finished[Math.floor((finished.length - 1) / 2)] : null;
    }
    return line.median === null ? "" : "~ " + duration(line.median);
  }

  /** A canvas of the right size, cleared. */
  context(canvas) {
    const scale = devicePixelRatio || 1;
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const g = canvas.getContext("2d");
    g.setTransform(scale, 0, 0, scale, 0, 0);
    g.clearRect(0, 0, width, height);
    g.font = "11.5px system-ui, sans-serif";
    return [g, width, height];
  }

  x(time, width) {
    return ((time - this.view[0]) / (this.view[1] - this.view[0])) * width;
  }

  drawBars() {
    const [g, width, height] = this.context(this.bars);
    const { model } = this;
    const top = this.body.scrollTop;
    const [first, last] = this.visible();
    g.strokeStyle = paint("var(--line)");
    for (const [x] of this.ticks(width)) {
      g.globalAlpha = 0.6;
      g.beginPath();
      g.moveTo(x, 0);
      g.lineTo(x, height);
      g.stroke();
    }
    g.globalAlpha = 1;
    for (let n = first; n < last; n++) {
      const line = this.lines[n];
      const y = n * ROW - top;
      if (line.kind === "start") {
        if (line.i === this.selected) {
          g.fillStyle = paint("var(--select)");
          g.fillRect(0, y, width, ROW);
        }
        this.drawStart(g, line.i, y, width);
        this.wantDetail(line.i);
      } else if (line.rows) {
        // Each of a folded lot is a faint bar: where they are dense, the colour is full.
        g.fillStyle = paint("var(--accent)");
        g.globalAlpha = Math.max(0.25, Math.min(0.6, 3 / line.rows.length));
        const step = Math.ceil(line.rows.length / 4000);
        for (let k = 0; k < line.rows.length; k += step) {
          const i = line.rows[k];
          const from = Math.max(this.x(model.at[i], width), -2);
          const to = Math.min(this.x(model.at[i] + model.ns[i], width), width + 2);
          if (to >= 0 && from <= width) g.fillRect(from, y + 7, Math.max(to - from, 1.5), 10);
        }
        g.globalAlpha = 1;
      }
    }
    this.drawPath(g, width, top);
    this.drawArrows(g, width, top);
  }

  drawStart(g, i, y, width) {
    const { model } = this;
    const begin = this.x(model.at[i], width);
    const end = this.x(model.at[i] + model.ns[i], width);
    if (end < -2 || begin > width + 2) {
      g.fillStyle = paint("var(--dim)");
      g.fillText(end < 0 ? "‹" : "›", end < 0 ? 2 : width - 8, y + 16);
      return;
    }
    const unfinished = model.flag(i, "unfinished");
    g.globalAlpha = unfinished ? 0.55 : 1;
    g.fillStyle = paint("var(--p-other)");
    g.fillRect(Math.max(begin, -2), y + 5, Math.max(Math.min(end, width + 2) - Math.max(begin, -2), 1.5), 10);
    model.eachSpan(i, (phase, at, length) => {
      const from = Math.max(this.x(model.at[i] + at, width), -2);
      const to = Math.min(this.x(model.at[i] + at + length, width), width + 2);
      if (to < from || to - from < 0.3) return;
      g.fillStyle = paint(phaseColour(model.overview.phases[phase]));
      g.fillRect(from, y + 5, Math.max(to - from, 1), 10);
    });
    g.globalAlpha = 1;
    if (unfinished && end <= width + 2) {
      g.fillStyle = paint("var(--dim)");
      g.fillText("…", end + 3, y + 14);
    }
    // The second lane: what it waited for, where the trace says so.
    const detail = this.details.get(i);
    for (const part of detail ? stateParts(detail) : []) {
      const from = Math.max(this.x(model.at[i] + part.at_ns, width), -2);
      const to = Math.min(this.x(model.at[i] + part.at_ns + part.duration_ns, width), width + 2);
      if (to < 0 || from > width || to - from < 0.3) continue;
      g.fillStyle = paint(stateColour(part.state));
      g.fillRect(from, y + 16, Math.max(to - from, 1), 4);
    }
  }

  /** Details come when a line has been in sight for a moment. */
  wantDetail(i) {
    if (this.details.has(i)) return;
    this.details.set(i, null);
    if (this.details.size > 5000) this.details.clear();
    this.model.detail(i).then((detail) => {
      if (!detail || stateParts(detail).length === 0) return;
      this.details.set(i, detail);
      noteStates(stateParts(detail));
      this.drawSoon();
    }, () => {});
  }

  /** The critical path of the selected start, or else of the whole, over all lines that it touches. */
  drawPath(g, width, top) {
    const path = this.path.length > 0 ? this.path : this.base;
    if (path.length === 0) return;
    // Of what is folded, the line that it is folded into.
    if (this.lineOf === null) {
      this.lineOf = new Map(this.rowOf);
      this.lines.forEach((line, n) => { if (line.kind === "group") for (const i of line.rows) this.lineOf.set(i, n); });
    }
    // Stretches that nobody could tell apart are one.
    const [boxes, last, turns] = [[], new Map(), []];
    let before;
    for (const part of path) {
      const n = this.lineOf.get(part.row);
      if (n === undefined) continue;
      const from = Math.max(this.x(part.from, width), -3);
      const to = Math.min(this.x(part.to, width), width + 3);
      if (to >= 0 && from <= width) {
        const box = last.get(n);
        if (box && from - box[1] < 4) box[1] = Math.max(box[1], to);
        else {
          last.set(n, [from, to, n]);
          boxes.push(last.get(n));
        }
        // Where it goes over to another task.
        const turn = turns[turns.length - 1];
        if (before !== undefined && before !== n && from >= 0 && (!turn || from - turn[0] >= 6)) turns.push([from, Math.min(before, n), Math.max(before, n)]);
      }
      before = n;
    }
    g.strokeStyle = paint("var(--text)");
    g.lineWidth = 1.5;
    for (const [from, to, n] of boxes) g.strokeRect(from, n * ROW - top + 3.5, Math.max(to - from, 1), 18);
    for (const [x, upper, lower] of turns) {
      g.beginPath();
      g.moveTo(x, upper * ROW - top + 21.5);
      g.lineTo(x, lower * ROW - top + 3.5);
      g.stroke();
    }
    g.lineWidth = 1;
  }

  /** From parent to child, for the start that the mouse is on or that is selected. */
  drawArrows(g, width, top) {
    const i = this.hover !== null ? this.hover : this.selected;
    if (i < 0) return;
    const { model } = this;
    const arrow = (from, to, colour) => {
      const [a, b] = [this.rowOf.get(from), this.rowOf.get(to)];
      if (a === undefined || b === undefined) return;
      const x = this.x(model.at[to], width);
      if (x < -5 || x > width + 5) return;
      const [ya, yb] = [a * ROW - top + 12, b * ROW - top + 10];
      const side = yb > ya ? -1 : 1;
      g.strokeStyle = g.fillStyle = paint(colour);
      g.beginPath();
      g.moveTo(x, ya);
      g.lineTo(x, yb + side * 8);
      g.stroke();
      g.beginPath();
      g.moveTo(x, yb + side * 3);
      g.lineTo(x - 4, yb + side * 10);
      g.lineTo(x + 4, yb + side * 10);
      g.fill();
    };
    if (model.parent[i] >= 0) arrow(model.parent[i], i, "var(--text)");
    for (const child of (model.below.get(i) || []).slice(0, 200)) arrow(i, child, "var(--accent)");
    const asked = this.askedBy && this.askedBy.row === i ? this.askedBy.by : null;
    if (asked !== null) arrow(asked, i, "var(--p-fork)");
    // Who woke it, at the ends of its waits, where that one is in sight.
    const detail = this.details.get(i);
    for (const wait of (detail && detail.timeline.waits || []).slice(0, 200)) {
      const waker = wait.woken_by && wait.woken_by.kind === "task" ? this.rowOfPid(wait.woken_by.pid, model.at[i] + wait.at_ns) : undefined;
      const own = this.rowOf.get(i);
      if (waker === undefined || own === undefined || waker === own) continue;
      const x = this.x(model.at[i] + wait.at_ns + wait.duration_ns, width);
      if (x < 0 || x > width) continue;
      g.strokeStyle = paint("var(--p-schedule)");
      g.setLineDash([3, 3]);
      g.beginPath();
      g.moveTo(x, waker * ROW - top + 12);
      g.lineTo(x, own * ROW - top + 18);
      g.stroke();
      g.setLineDash([]);
    }
  }

  rowOfPid(pid, time) {
    const [first, last] = this.visible();
    for (let n = first; n < last; n++) {
      const line = this.lines[n];
      if (line.kind === "start" && this.model.columns.pid[line.i] === pid && this.model.at[line.i] <= time) return n;
    }
    return undefined;
  }

  /** Round times, some 110 pixels apart: place and time of each. */
  ticks(width) {
    const [from, to] = this.view;
    const wanted = ((to - from) / Math.max(width, 1)) * 110;
    const power = 10 ** Math.floor(Math.log10(Math.max(wanted, 1)));
    const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= wanted) || power * 10;
    const ticks = [];
    for (let t = Math.ceil(from / step) * step; t <= to && ticks.length < 60; t += step) ticks.push([this.x(t, width), t, step]);
    return ticks;
  }

  drawAxis() {
    const [g, width, height] = this.context(this.axis);
    g.fillStyle = paint("var(--dim)");
    for (const [x, t, step] of this.ticks(width)) {
      const [unit, size] = step >= 1e9 ? ["s", 1e9] : step >= 1e6 ? ["ms", 1e6] : step >= 1e3 ? ["us", 1e3] : ["ns", 1];
      g.fillRect(x, height - 5, 1, 5);
      g.fillText(count(Math.round(t / size)) + " " + unit, x + 3, height - 8);
    }
    if (this.brush && this.brush[0] === this.axis) {
      g.globalAlpha = 0.3;
      g.fillStyle = paint("var(--accent)");
      g.fillRect(this.x(this.brush[1], width), 0, this.x(this.brush[2], width) - this.x(this.brush[1], width), height);
      g.globalAlpha = 1;
    }
  }

  /** How many starts were under way, over all of the time. */
  drawMap() {
    const [g, width, height] = this.context(this.map);
    const { model } = this;
    const bins = Math.max(1, Math.floor(width));
    if (!this.density || this.density.length !== bins + 1) {
      const change = new Float64Array(bins + 2);
      const scale = bins / (this.full[1] - this.full[0]);
      for (let i = 0; i < model.n; i++) {
        change[Math.min(bins, Math.floor(model.at[i] * scale))] += 1;
        change[Math.min(bins, Math.floor((model.at[i] + model.ns[i]) * scale)) + 1] -= 1;
      }
      this.density = new Float64Array(bins + 1);
      let n = 0;
      for (let b = 0; b <= bins; b++) this.density[b] = n += change[b];
    }
    const most = this.density.reduce((a, b) => Math.max(a, b), 1);
    g.fillStyle = paint("var(--accent)");
    g.globalAlpha = 0.55;
    for (let b = 0; b < bins; b++) {
      const h = (this.density[b] / most) * (height - 6);
      g.fillRect(b, height - h, 1, h);
    }
    g.globalAlpha = 1;
    const scale = width / (this.full[1] - this.full[0]);
    const range = this.brush && this.brush[0] === this.map ? this.brush.slice(1) : this.view;
    const [from, to] = [(range[0] - this.full[0]) * scale, (range[1] - this.full[0]) * scale];
    if (to - from < width - 1) {
      g.fillStyle = paint("var(--bg)");
      g.globalAlpha = 0.65;
      g.fillRect(0, 0, from, height);
      g.fillRect(to, 0, width - to, height);
      g.globalAlpha = 1;
      g.strokeStyle = paint("var(--accent)");
      g.strokeRect(from, 0.5, Math.max(to - from, 2), height - 1);
    }
    const note = "at most " + count(most) + " under way";
    g.fillStyle = paint("var(--card)");
    g.globalAlpha = 0.75;
    g.fillRect(0, 0, g.measureText(note).width + 8, 15);
    g.globalAlpha = 1;
    g.fillStyle = paint("var(--dim)");
    g.fillText(note, 4, 11);
  }

  move(event) {
    const line = this.lines[this.lineAt(event)];
    const tip = $("tip");
    const hover = line && line.kind === "start" ? line.i : null;
    if (hover !== this.hover) {
      this.hover = hover;
      this.drawSoon();
    }
    if (!line || line.kind === "outside") {
      tip.hidden = true;
      return;
    }
    const box = this.bars.getBoundingClientRect();
    const time = this.view[0] + ((event.clientX - box.left) / box.width) * (this.view[1] - this.view[0]);
    tip.replaceChildren(...(line.kind === "group" ? this.tipOfGroup(line) : this.tipOf(line.i, time)));
    tip.hidden = false;
    const { offsetWidth: w, offsetHeight: h } = tip;
    tip.style.left = Math.max(4, Math.min(event.clientX + 14, innerWidth - w - 8)) + "px";
    tip.style.top = (event.clientY + 18 + h > innerHeight ? event.clientY - h - 10 : event.clientY + 18) + "px";
  }

  tipOfGroup(line) {
    const { model } = this;
    const times = line.rows.map((i) => model.ns[i]);
    const most = times.reduce((a, b) => Math.max(a, b), 0);
    return [make("b", "", count(line.rows.length) + " × "), text(model.label(line.i)),
      make("div", "", "median " + this.middle(line).replace("~ ", "") + ", longest " + duration(most) + "; click to unfold")];
  }

  tipOf(i, time) {
    const { model } = this;
    const parts = [make("b", "", text(model.label(i))),
      make("div", "", "pid " + model.columns.pid[i] + ", ", text(model.method(i)), ", " + duration(model.ns[i]) + ", ready: ", text(model.ready(i)))];
    model.eachSpan(i, (phase, at, length) => {
      const from = model.at[i] + at;
      if (time >= from && time < from + length) {
        parts.push(make("div", "", "phase " + model.overview.phases[phase] + ": " + duration(length) + ", from " + duration(at) + " on"));
      }
    });
    const detail = this.details.get(i);
    for (const part of detail ? stateParts(detail) : []) {
      const from = model.at[i] + part.at_ns;
      if (time >= from && time < from + part.duration_ns) {
        const line = make("div", "", text(part.state), ": " + duration(part.duration_ns));
        if (part.detail) line.append(", ", text(part.detail));
        parts.push(line);
      }
    }
    return parts;
  }

  leave() {
    this.hover = null;
    $("tip").hidden = true;
    this.drawSoon();
  }

  /** Brings a start into sight. */
  scrollTo(i) {
    const n = this.rowOf.get(i);
    if (n === undefined) return;
    const [top, height] = [this.body.scrollTop, this.body.clientHeight];
    if (n * ROW < top) this.body.scrollTop = n * ROW - ROW;
    else if ((n + 1) * ROW > top + height) this.body.scrollTop = (n + 2) * ROW - height;
  }
}

/** The second lane of a start: its critical path by state, or else the main thread's single waits. */
function stateParts(start) {
  const { critical_path: path, waits } = start.timeline;
  if (path && path.length > 0) return path;
  return (waits || []).filter((wait) => wait.tid === start.pid).map((wait) => ({ ...wait, state: wait.kind }));
}

/** The critical path of a start as stretches of lines: what one task did without a break is one. */
function pathOf(start, i, model) {
  const stretches = [];
  for (const part of start.timeline.critical_path || []) {
    const row = model.ids.map.get(part.start_id ?? start.start_id) ?? i;
    const from = model.at[i] + part.at_ns;
    const last = stretches[stretches.length - 1];
    if (last && last.row === row) last.to = from + part.duration_ns;
    else stretches.push({ row, from, to: from + part.duration_ns });
    if (stretches.length >= 5000) break;
  }
  return stretches;
}
