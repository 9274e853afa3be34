// The starts: columns of numbers, who is whose child, what is shown, and the details when they are wanted.

const FLAG = { partial: 1, unfinished: 2, failed: 4, core: 8, failedExec: 16 };
/** So many siblings that look alike are one line at first. */
const ALIKE = 4;

class Model {
  constructor(overview) {
    this.overview = overview;
    const columns = overview.columns;
    this.n = columns.at.length;
    this.at = Float64Array.from(columns.at);
    this.ns = Float64Array.from(columns.ns);
    this.parent = Int32Array.from(columns.parent);
    this.outside = columns.outside;
    this.columns = columns;
    this.texts = overview.texts.map(harmless);
    this.lower = this.texts.map((text) => text.toLowerCase());
    this.end = 0;
    for (let i = 0; i < this.n; i++) this.end = Math.max(this.end, this.at[i] + this.ns[i]);
    // Spans: where each start's begin.
    const { spans } = overview;
    this.spans = spans;
    this.spanAt = new Int32Array(this.n + 1);
    for (let i = 0, p = 0; i < this.n; i++) {
      this.spanAt[i] = p;
      p += 1 + 3 * spans[p];
      this.spanAt[i + 1] = p;
    }
    this.order = Uint32Array.from({ length: this.n }, (_, i) => i).sort((a, b) => this.at[a] - this.at[b] || a - b);
    this.link();
    this.open = new Map();
    this.filter = { words: [], program: "", method: "", longer: 0, failed: false };
    this.mode = "tree";
    this.chunks = new Map();
    this.ids = null;
  }

  link() {
    const below = new Map();
    const roots = new Map();
    for (const i of this.order) {
      const parent = this.parent[i];
      const [map, key] = parent >= 0 ? [below, parent] : [roots, this.outside[i]];
      if (!map.has(key)) map.set(key, []);
      map.get(key).push(i);
    }
    // Starts below each, children before parents: the order is that of time, which parents come first in.
    this.size = new Float64Array(this.n);
    for (let k = this.n - 1; k >= 0; k--) {
      const i = this.order[k];
      if (this.parent[i] >= 0) this.size[this.parent[i]] += this.size[i] + 1;
    }
    this.below = below;
    this.roots = roots;
  }

  label(i) { return this.texts[this.columns.label[i]]; }
  program(i) { return this.label(i).split(" ")[0]; }
  method(i) { return this.texts[this.columns.method[i]]; }
  ready(i) { return this.texts[this.columns.ready[i]]; }
  flag(i, name) { return (this.columns.flags[i] & FLAG[name]) !== 0; }
  ending(i) {
    const { code, signal } = this.columns;
    if (signal[i] >= 0) return this.texts[signal[i]];
    return code[i] === null ? null : "exit " + code[i];
  }

  /** Calls with class, begin and length of each phase. */
  eachSpan(i, call) {
    const { spans } = this;
    for (let p = this.spanAt[i] + 1; p < this.spanAt[i + 1]; p += 3) call(spans[p], spans[p + 1], spans[p + 2]);
  }

  isFiltered() {
    const f = this.filter;
    return f.words.length > 0 || f.program !== "" || f.method !== "" || f.longer > 0 || f.failed;
  }

  matches(i) {
    const f = this.filter;
    const { label, method, pid } = this.columns;
    if (f.longer > 0 && this.ns[i] < f.longer) return false;
    if (f.failed && (this.columns.flags[i] & (FLAG.failed | FLAG.failedExec)) === 0) return false;
    if (f.method !== "" && this.method(i) !== f.method) return false;
    if (f.program !== "" && this.program(i) !== f.program) return false;
    for (const word of f.words) {
      const hit = this.lower[label[i]].includes(word) || this.lower[method[i]].includes(word) ||
        String(pid[i]) === word || (word.includes("@") && this.idOf(i).startsWith(word));
      if (!hit) return false;
    }
    return true;
  }

  /** The longest start that no other of the page started; -1 where none was seen whole. */
  mainRoot() {
    let root = -1;
    for (const rows of this.roots.values()) {
      for (const i of rows) {
        const whole = (this.columns.flags[i] & (FLAG.partial | FLAG.unfinished)) === 0;
        if (whole && (root < 0 || this.ns[i] > this.ns[root])) root = i;
      }
    }
    return root;
  }

  idOf(i) { return this.ids ? this.ids.list[i].toLowerCase() : ""; }

  /** The lines to show. */
  lines() {
    const lines = [];
    if (this.mode !== "tree" || this.isFiltered()) {
      for (const i of this.order) if (this.matches(i)) lines.push({ kind: "start", i, depth: 0, kids: 0 });
      this.hits = lines.length;
      if (this.mode === "longest") lines.sort((a, b) => this.ns[b.i] - this.ns[a.i]);
      return lines;
    }
    this.hits = this.n;
    // A stack and no recursion: a file can be deeper than a browser's stack.
    const stack = [];
    const push = (rows, depth, key) => {
      const found = this.siblings(rows, depth, key);
      for (let k = found.length - 1; k >= 0; k--) stack.push(found[k]);
    };
    const roots = [...this.roots.entries()].sort((a, b) => this.at[a[1][0]] - this.at[b[1][0]]);
    for (let k = roots.length - 1; k >= 0; k--) {
      const [outside, rows] = roots[k];
      if (outside >= 0 && (rows.length > 1 || roots.length > 1)) stack.push({ kind: "outside", outside, rows, depth: 0, key: "o" + outside, kids: rows.length });
      else push(rows, 0, "r" + outside);
    }
    while (stack.length > 0) {
      const line = stack.pop();
      lines.push(line);
      if (!line.kids || !this.isOpen(line)) continue;
      if (line.kind === "start") push(this.below.get(line.i), line.depth + 1, "s" + line.i);
      else if (line.kind === "outside") push(line.rows, 1, line.key);
      else for (let k = line.rows.length - 1; k >= 0; k--) stack.push(this.start(line.rows[k], line.depth + 1));
    }
    return lines;
  }

  start(i, depth) {
    const below = this.below.get(i);
    return { kind: "start", i, depth, key: "s" + i, kids: below ? below.length : 0 };
  }

  /** Children of one parent, those that look alike as one line. */
  siblings(rows, depth, key) {
    if (rows.length < ALIKE) return rows.map((i) => this.start(i, depth));
    const shapes = new Map();
    for (const i of rows) {
      const shape = this.columns.shape[i];
      if (!shapes.has(shape)) shapes.set(shape, []);
      shapes.get(shape).push(i);
    }
    const lines = [];
    for (const [shape, alike] of shapes) {
      if (alike.length < ALIKE) for (const i of alike) lines.push(this.start(i, depth));
      else lines.push({ kind: "group", rows: alike, i: alike[0], depth, key: key + "g" + shape, kids: alike.length });
    }
    return lines.sort((a, b) => this.at[a.i] - this.at[b.i] || a.i - b.i);
  }

  isOpen(line) {
    const set = this.open.get(line.key);
    return set === undefined ? line.kind !== "group" : set;
  }

  toggle(line, open) {
    this.open.set(line.key, open === undefined ? !this.isOpen(line) : open);
  }

  /** Unfolds whatever a start is folded into. */
  reveal(i) {
    const above = new Set();
    for (let at = i; at >= 0 && !above.has(at); at = this.parent[at]) {
      above.add(at);
      const parent = this.parent[at];
      const key = parent >= 0 ? "s" + parent : (this.roots.get(this.outside[at]).length > 1 || this.roots.size > 1) && this.outside[at] >= 0 ? "o" + this.outside[at] : "r" + this.outside[at];
      this.open.set(key, true);
      this.open.set(key + "g" + this.columns.shape[at], true);
    }
  }

  /** Everything about one start; null where the page was cut off before it. */
  async detail(i) {
    const number = Math.floor(i / this.overview.chunk);
    if (!this.chunks.has(number)) {
      this.chunks.set(number, (async () => {
        let block = document.getElementsByClassName("chunk")[number];
        // One that is the last so far may still be growing.
        if (!block || !block.nextElementSibling) await whole;
        block = document.getElementsByClassName("chunk")[number];
        return block ? unpack(block) : null;
      })());
      // Details of everything would be more than memory: some blocks are enough.
      if (this.chunks.size > 64) this.chunks.delete(this.chunks.keys().next().value);
    }
    const chunk = await this.chunks.get(number);
    return chunk ? chunk[i % this.overview.chunk] : null;
  }

  /** The row of a start by its id; also by the process's id, or its pid. */
  async find(id) {
    await this.loadIds();
    if (this.ids.map.has(id)) return this.ids.map.get(id);
    const process = this.ids.list.findIndex((other) => other.startsWith(id + "/") || other.startsWith(id + "@"));
    return process >= 0 ? process : null;
  }

  async loadIds() {
    if (this.ids) return;
    await whole;
    const block = document.getElementsByClassName("ids")[0];
    const list = block ? await unpack(block) : [];
    if (!block) trouble("This page was cut off: its end is missing.");
    const map = new Map();
    list.forEach((id, i) => map.set(id, i));
    this.ids = { list, map };
  }
}
