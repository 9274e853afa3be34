// The page shows what the JSON says, filters, zooms, obeys keys and links, and prints: page.mjs TRACE PAGE
import { readFileSync } from "node:fs";
import { assert, open, shot, withPage } from "./common.mjs";

const [traceFile, file] = process.argv.slice(2);
const trace = JSON.parse(readFileSync(traceFile, "utf8"));
const starts = trace.starts;

await withPage(async (page) => {
  await open(page, file);
  const shown = async () => page.locator("#count").textContent();
  assert.equal(await shown(), starts.length + " starts");
  // The verdict alone is large; how many starts there were follows.
  const head = (await page.locator("#headline").textContent()) + " " + (await page.locator("#rest").textContent());
  assert.match(head, new RegExp("(^| )" + starts.length + " starts"));
  assert.ok((await page.locator("#headline").textContent()).length < 300);
  // The critical path of the whole, by state, as the longest root has it.
  await page.waitForSelector("html[data-complete=yes]");
  const roots = starts.filter((start) => !starts.some((other) => other.start_id === start.parent?.start_id));
  const root = roots.sort((a, b) => b.timeline.duration_ns - a.timeline.duration_ns)[0];
  for (const [state, ns] of Object.entries(root.timeline.path_ns || {}).sort((a, b) => b[1] - a[1]).slice(0, 5)) {
    if (ns > 0) assert.ok((await page.locator("#path").textContent()).includes(state), state);
  }
  await shot(page, "light");

  // Every start is in the list, with its method; in the order of duration.
  await page.click("#longest");
  const rows = await page.locator(".row").evaluateAll((rows) => rows.map((row) => row.textContent));
  const sorted = [...starts].sort((a, b) => b.timeline.duration_ns - a.timeline.duration_ns);
  assert.equal(rows.length, starts.length);
  sorted.forEach((start, k) => assert.ok(rows[k].includes(start.method.name), rows[k] + " / " + start.method.name));

  // Filters: by method, by program, by duration, by words.
  const methods = new Map();
  for (const start of starts) methods.set(start.method.name, (methods.get(start.method.name) || 0) + 1);
  for (const [name, n] of methods) {
    await page.selectOption("#method", name);
    assert.equal(await shown(), n + " of " + starts.length);
  }
  await page.selectOption("#method", "");
  await page.selectOption("#longer", "100000000");
  const long = starts.filter((start) => start.timeline.duration_ns >= 1e8).length;
  assert.equal(await shown(), long + " of " + starts.length);
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  assert.equal(await shown(), starts.length + " starts");
  await page.keyboard.press("/");
  await page.keyboard.type(String(starts[3].pid));
  await page.waitForFunction(() => document.getElementById("count").textContent.startsWith("1 of"));
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");

  // A start's own page, by its link, says what the JSON says.
  for (const start of starts.slice(0, 4)) {
    await page.evaluate((id) => { location.hash = id; }, start.start_id);
    const detail = page.locator("#detail");
    await page.waitForFunction((id) => [...document.querySelectorAll("#detail a")].some((a) => a.textContent === id), start.start_id);
    const text = await detail.textContent();
    for (const arg of start.argv || []) assert.ok(text.includes(arg), arg);
    for (const part of start.timeline.phases) assert.ok(text.includes(part.name));
    for (const part of [...start.method.evidence, start.exe, start.cgroup]) assert.ok(text.includes(part), part);
    assert.ok(text.includes("exit " + start.exit.code));
    const phases = await detail.locator("h2:text-is('Phases') + .lane span").count();
    assert.equal(phases, start.timeline.phases.length);
    const inside = start.timeline.runtime || { stages: [], threads: [] };
    const states = await detail.locator(".lane.thin span").count();
    assert.equal(states, (start.timeline.critical_path || []).length + inside.stages.length);
    if (inside.language) assert.equal(await detail.locator("h2", { hasText: "Inside " + inside.language }).count(), 1);
    for (const { role, n } of inside.threads) assert.ok(text.includes(role + n), role);
    assert.equal(await page.locator(".row.sel").count(), 1);
  }
  await shot(page, "detail");
  await page.keyboard.press("Escape");
  assert.ok(await page.locator("#detail").isHidden());
  assert.equal(await page.evaluate(() => location.hash), "");

  // A pid alone is a link too; one that is not there says so.
  await page.evaluate((pid) => { location.hash = pid; }, starts[1].pid);
  await page.waitForFunction((id) => document.querySelector("#detail").textContent.includes(id), starts[1].start_id);
  await page.keyboard.press("Escape");
  await page.evaluate(() => { location.hash = "1@2/3"; });
  await page.waitForSelector("#trouble:not([hidden])");

  // Zoom: by keys, by the wheel, by dragging; the bars change, and 0 brings them back.
  const bars = () => page.evaluate(() => document.getElementById("bars").toDataURL());
  await page.locator("#body").focus();
  const whole = await bars();
  await page.keyboard.press("+");
  await page.waitForTimeout(100);
  const zoomed = await bars();
  assert.notEqual(zoomed, whole);
  await page.keyboard.press("0");
  await page.waitForTimeout(100);
  assert.equal(await bars(), whole);
  const box = await page.locator("#axis").boundingBox();
  await page.mouse.move(box.x + 50, box.y + 10);
  await page.mouse.down();
  await page.mouse.move(box.x + 200, box.y + 10, { steps: 4 });
  await page.mouse.up();
  await page.waitForTimeout(100);
  assert.notEqual(await bars(), whole);
  await shot(page, "zoomed");
  await page.keyboard.press("0");
  const canvas = await page.locator("#bars").boundingBox();
  await page.mouse.move(canvas.x + 100, canvas.y + 12);
  await page.keyboard.down("Control");
  await page.mouse.wheel(0, -300);
  await page.keyboard.up("Control");
  await page.waitForTimeout(100);
  assert.notEqual(await bars(), whole);
  await page.keyboard.press("0");
  await page.mouse.move(canvas.x + 30, canvas.y + 12);
  await page.mouse.move(canvas.x + canvas.width / 2, canvas.y + 12);
  assert.match(await page.locator("#tip").textContent(), /pid \d+/);

  // Keys walk through the tree and open a start; folding hides what is below.
  await page.click("#tree");
  const lines = await page.locator(".row").count();
  await page.keyboard.press("Escape");
  for (let k = 0; k < lines; k++) await page.keyboard.press("k");
  await page.keyboard.press("ArrowLeft");
  assert.ok((await page.locator(".row").count()) < lines);
  await page.keyboard.press("ArrowRight");
  assert.equal(await page.locator(".row").count(), lines);
  await page.keyboard.press("Enter");
  await page.waitForSelector("#detail:not([hidden])");
  await page.keyboard.press("Escape");
  await page.keyboard.press("?");
  assert.ok(await page.locator("#help").isVisible());
  await page.keyboard.press("Escape");

  // Dark and light differ; on paper all is there.
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.click("#theme");
  assert.notEqual(await background(), light);
  await shot(page, "dark");
  await page.emulateMedia({ media: "print" });
  await shot(page, "print");
  await page.emulateMedia({ media: null });
  const paper = await page.pdf({ format: "A4", landscape: true });
  assert.ok(paper.length > 10000);

  // The policy lets no other script run.
  const injected = await page.evaluate(() => {
    const script = document.createElement("script");
    script.textContent = "window.injected = true";
    const refused = new Promise((done) => addEventListener("securitypolicyviolation", (event) => { event.preventDefault(); done(event.effectiveDirective); }, { once: true }));
    document.body.append(script);
    return Promise.race([refused, new Promise((done) => setTimeout(() => done("nothing refused"), 2000))]).then((what) => [what, String(window.injected)]);
  });
  assert.deepEqual(injected, ["script-src-elem", "undefined"]);
}).catch((error) => {
  // The refusal above is an error on the console by design.
  const expected = /Refused to execute|violates the following Content Security Policy/;
  const actual = error.actual;
  if (!Array.isArray(actual) || !actual.every((fault) => expected.test(fault))) throw error;
});
console.log("page:", starts.length, "starts");
