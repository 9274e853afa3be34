// Hostile text is shown as text and does nothing: hostile.mjs TRACE PAGE
import { readFileSync } from "node:fs";
import { assert, open, shot, withPage } from "./common.mjs";

const [traceFile, file] = process.argv.slice(2);
const trace = JSON.parse(readFileSync(traceFile, "utf8"));
const acting = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\uef80-\uefff]/u;

await withPage(async (page) => {
  await open(page, file);
  await shot(page, "hostile");
  const owned = async () => {
    assert.match(await page.title(), /^startrace: /);
    const strangers = await page.evaluate(() => document.querySelectorAll("img, iframe, object, body script:not([type]):not([nonce])").length);
    assert.equal(strangers, 0);
    assert.doesNotMatch(await page.evaluate(() => document.body.innerText), acting);
  };
  await owned();
  for (const start of trace.starts) {
    await page.evaluate((id) => { location.hash = encodeURIComponent(id); }, start.start_id);
    await page.waitForFunction((id) => [...document.querySelectorAll("#detail a")].some((a) => a.textContent === id), start.start_id);
    await owned();
  }
  // 100 KB in one argument: cut until it is asked for.
  const long = trace.starts.find((start) => start.argv?.[0] === "long");
  await page.evaluate((id) => { location.hash = id; }, long.start_id);
  await page.waitForFunction(() => document.querySelector("#detail").textContent.includes("all 102,400 characters"));
  assert.ok((await page.locator("#detail").textContent()).length < 20000);
  await page.click("text=all 102,400 characters");
  assert.ok((await page.locator("#detail").textContent()).includes("x".repeat(102400)));
  // 20,000 arguments likewise.
  const many = trace.starts.find((start) => start.argv?.length === 20000);
  await page.evaluate((id) => { location.hash = id; }, many.start_id);
  await page.waitForFunction(() => document.querySelector("#detail").textContent.includes("all 20,000"));
  await page.click("text=all 20,000");
  assert.equal(await page.locator("#detail ol li").count(), 20000);
  await page.keyboard.press("Escape");
  // Methods and programs that are code are choices like others.
  for (const id of ["#method", "#program"]) {
    const options = await page.locator(id + " option").count();
    for (let k = 1; k < options; k++) {
      await page.selectOption(id, { index: k });
      await owned();
      assert.ok((await page.locator(".row").count()) > 0);
    }
    await page.selectOption(id, "");
  }
});
console.log("hostile:", trace.starts.length, "starts");
