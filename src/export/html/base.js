"use strict";
// Small things that everything else uses. Text of the trace goes into the page through text() only.

const $ = (id) => document.getElementById(id);

/** An element with its class and its children (elements, or text that is shown as text). */
function make(tag, name, ...children) {
  const element = document.createElement(tag);
  if (name) element.className = name;
  for (const child of children) {
    if (child !== null && child !== undefined) element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

/** Characters that act instead of showing: controls, bidirectional marks, what takes no space; and the
 * characters that stand for raw bytes (U+EF80 to U+EFFF). */
const ACTING = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uef80-\uefff]|[\u{e0000}-\u{e007f}]/gu;
const NAMED = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

function harmless(text) {
  return String(text).replace(ACTING, (c) => {
    const n = c.codePointAt(0);
    if (NAMED[c]) return NAMED[c];
    if (n >= 0xef80 && n <= 0xefff) return "\\x" + (n - 0xef00).toString(16);
    return n < 0x100 ? "\\x" + n.toString(16).padStart(2, "0") : "\\u{" + n.toString(16) + "}";
  });
}

/** Text that a program has chosen, isolated from what stands around it. */
function text(value, name) {
  return make("bdi", "t" + (name ? " " + name : ""), harmless(value));
}

/** A name that may go on in the next line after a dot or an underscore. */
function breakable(name) {
  const shown = text(name);
  const pieces = shown.textContent.split(/(?<=[._])/).slice(0, 20);
  shown.replaceChildren(...pieces.flatMap((piece) => [piece, document.createElement("wbr")]), shown.textContent.slice(pieces.join("").length));
  return shown;
}

/** Nanoseconds with three digits, as `startrace report` writes them. */
function duration(ns) {
  if (ns === null || ns === undefined) return "?";
  if (ns < 999.5) return Math.round(ns) + " ns";
  for (const [unit, size] of [["us", 1e3], ["ms", 1e6], ["s", 1e9]]) {
    const value = ns / size;
    if (value < 9.995) return value.toFixed(2) + " " + unit;
    if (value < 99.95) return value.toFixed(1) + " " + unit;
    if (value < 999.5) return value.toFixed(0) + " " + unit;
  }
  const s = Math.floor(ns / 1e9);
  const two = (n) => String(n).padStart(2, "0");
  if (s < 3600) return Math.floor(s / 60) + "m " + two(s % 60) + "s";
  if (s < 86400) return Math.floor(s / 3600) + "h " + two(Math.floor(s / 60) % 60) + "m";
  return Math.floor(s / 86400) + "d " + two(Math.floor(s / 3600) % 24) + "h";
}

const count = (n) => Number(n).toLocaleString("en-US");
const plural = (n, thing) => count(n) + " " + thing + (n === 1 ? "" : "s");
function share(part, whole) {
  const percent = whole > 0 ? (part / whole) * 100 : 0;
  if (percent > 0 && percent < 1) return "<1 %";
  return percent >= 99.5 && percent < 100 ? ">99 %" : Math.round(percent) + " %";
}

/** Colour of a phase or a state by its name. */
const PHASES = ["unobserved", "fork", "schedule", "setup", "exec", "load", "link", "init", "app"];
/** States that have a colour of their own, and those that are a kind of one. */
const STATES = ["running", "runnable", "child", "vfork", "disk", "page_fault", "pipe", "futex", "network", "dns", "sleep", "poll", "memory", "throttled", "unknown"];
const KIN = { creating: "vfork", lock: "futex", unix_socket: "network", exited: "unknown", stopped: "sleep", device: "disk" };
function phaseColour(name) {
  return "var(--p-" + (PHASES.includes(name) ? name : "other") + ")";
}
function stateColour(name) {
  const own = Object.hasOwn(KIN, name) ? KIN[name] : name;
  return "var(--s-" + (STATES.includes(own) ? own : "other") + ")";
}
/** The same for a canvas, which knows no variables; forgotten when the theme changes. */
let resolved = new Map();
function paint(colour) {
  if (!resolved.has(colour)) {
    const name = colour.replace(/^var\((.*)\)$/, "$1");
    resolved.set(colour, getComputedStyle(document.documentElement).getPropertyValue(name).trim() || "#888");
  }
  return resolved.get(colour);
}

function trouble(what) {
  const place = $("trouble");
  place.hidden = false;
  place.textContent = what;
}

/** What a block of the page holds: deflated JSON in base64. */
async function unpack(element) {
  const raw = atob(element.textContent.trim());
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return JSON.parse(await new Response(stream).text());
}

/** The page has been read to its end. */
const whole = new Promise((done) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", () => done());
  else done();
});
