// A page of very many starts is there at once: large.mjs N PAGE
import { assert, open, shot, withPage } from "./common.mjs";

const [n, file] = process.argv.slice(2);

await withPage(async (page) => {
  const begun = Date.now();
  await open(page, file);
  const ready = Date.now() - begun;
  const paint = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0].startTime);
  assert.ok(paint < 2000, "first paint after " + paint + " ms");
  assert.equal(await page.locator("#count").textContent(), Number(n).toLocaleString("en-US") + " starts");
  // Aggregated at first: few lines; all of them when asked, of which few are in the document.
  assert.ok((await page.locator(".row").count()) < 100);
  await page.click("#bytime");
  assert.ok((await page.locator(".row").count()) < 100);
  const height = await page.evaluate(() => document.getElementById("sizer").clientHeight);
  assert.equal(height, n * 24);
  await page.evaluate(() => { document.getElementById("body").scrollTop = 1e9; });
  await page.waitForFunction((n) => [...document.querySelectorAll(".row")].some((row) => row.dataset.line === String(n - 1)), n);
  // Details of the last start, from the last block.
  await page.keyboard.press("/");
  await page.keyboard.type("--job-" + (n - 1));
  await page.waitForFunction(() => / of /.test(document.getElementById("count").textContent));
  await page.locator(".row .c-name").first().click();
  await page.waitForFunction(() => document.querySelector("#detail").textContent.includes("--job-"));
  await shot(page, "large");
  console.log("large:", n, "starts; first paint", Math.round(paint), "ms, ready", ready, "ms");
});
