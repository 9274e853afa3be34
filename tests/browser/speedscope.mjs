// speedscope itself reads an export, and says how much time it holds: speedscope.mjs FILE NAME SUM_NS
// NAME is a part of the profile's name, SUM_NS its total weight (0 where the format adds nothing up).
import { readFileSync, writeFileSync } from "node:fs";
import { basename } from "node:path";
import { assert, shot, withPage } from "./common.mjs";

const [file, name, sum] = process.argv.slice(2);
const index = process.env.STARTRACE_BROWSER + "/node_modules/speedscope/dist/release/index.html";
// As its own command does.
const script = file + ".load.js";
const base64 = readFileSync(file).toString("base64");
writeFileSync(script, `speedscope.loadFileFromBase64(${JSON.stringify(basename(file))}, ${JSON.stringify(base64)})`);

await withPage(async (page) => {
  await page.goto("file://" + index + "#localProfilePath=" + script);
  await page.waitForSelector("text=Sandwich", { timeout: 20000 });
  // Of several profiles in a file (a track each, for Chrome's format) the next one is a key away.
  const shown = () => page.evaluate(() => document.body.innerText);
  for (let k = 0; k < 50 && !(await shown()).includes(name); k++) {
    await page.keyboard.press("n");
    await page.waitForTimeout(50);
  }
  assert.ok((await shown()).includes(name), await shown());
  assert.doesNotMatch(await page.evaluate(() => document.body.innerText), /Something went wrong|Unrecognized format/);
  // The sandwich view is a table of frames with their time.
  await page.click("text=Sandwich");
  await page.waitForFunction(() => document.querySelectorAll("table tr").length > 2);
  const rows = await page.locator("table tr").allTextContents();
  if (Number(sum) > 0) {
    // Of the outermost frame: all of the time. Folded stacks have no unit, so it is shown to the nanosecond.
    assert.ok(rows.some((row) => row.includes("(100%)")), rows.join("\n"));
    if (file.endsWith(".folded")) assert.ok(rows.some((row) => row.includes(Number(sum).toLocaleString("en-US") + " (100%)")), rows.join("\n"));
  }
  await shot(page, "speedscope-" + basename(file));
  console.log("speedscope:", basename(file), rows.length - 1, "frames");
});
