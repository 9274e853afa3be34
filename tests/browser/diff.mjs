// Two sides on one page, in light, dark and print; hostile text does nothing: diff.mjs PAGE NAME VERDICT
import { assert, open, shot, withPage } from "./common.mjs";

const [file, name, verdict] = process.argv.slice(2);
const acting = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069\uef80-\uefff]/u;

await withPage(async (page) => {
  await open(page, file);
  assert.match(await page.title(), /^startrace diff: /);
  assert.ok((await page.locator("h1").first().textContent()).includes(verdict), await page.locator("h1").first().textContent());
  assert.equal(await page.evaluate(() => document.querySelectorAll("script, img, iframe, object, a").length), 0);
  assert.doesNotMatch(await page.evaluate(() => document.body.innerText), acting);
  // Bars have a width and a colour of their own: the policy has not taken the styles away.
  const bars = await page.locator(".side svg.bar rect").evaluateAll((bars) => bars.map((bar) => [bar.getBoundingClientRect().width, getComputedStyle(bar).fill]));
  if (name === "diff") {
    assert.ok(bars.length >= 4);
    for (const [width, fill] of bars) assert.ok(width > 0 && fill !== "rgb(0, 0, 0)", fill);
    await page.locator("summary").first().click();
    assert.ok((await page.locator("details[open]").count()) === 1);
  }
  // Nothing is wider than the window.
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, wide + " pixels too wide");
  await shot(page, name + "-light");
  const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await background();
  await page.emulateMedia({ colorScheme: "dark" });
  assert.notEqual(await background(), light);
  await shot(page, name + "-dark");
  const paper = await page.pdf({ format: "A4", landscape: true });
  assert.ok(paper.length > 5000);
});
console.log("diff:", name);
