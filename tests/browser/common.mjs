// Starts the browser; every test fails on an error of the page and on any request that leaves it.
import { createRequire } from "node:module";
import assert from "node:assert/strict";

const require = createRequire(process.env.STARTRACE_BROWSER + "/");
const { chromium } = require("playwright-core");

export { assert };

export async function withPage(work) {
  const args = process.getuid() === 0 ? ["--no-sandbox"] : [];
  const browser = await chromium.launch({ executablePath: process.env.STARTRACE_CHROMIUM, args });
  try {
    const page = await browser.newPage({ viewport: { width: 1500, height: 1000 } });
    const faults = [];
    page.on("console", (message) => {
      // The driver of a graphics card is no part of a page.
      // And speedscope takes arguments for a part of a name, finds the right slice, and says so.
      const driver = /GL Driver Message|^ts=\S+ Tried to end .* Ending .* instead\.$/s.test(message.text());
      if (["error", "warning"].includes(message.type()) && !driver) faults.push(message.text());
    });
    page.on("pageerror", (error) => faults.push(error.stack || error.message));
    page.on("dialog", (dialog) => {
      faults.push("dialog: " + dialog.message());
      dialog.dismiss();
    });
    page.on("request", (request) => {
      if (!/^(file|data|blob):/.test(request.url())) faults.push("request: " + request.url());
    });
    await work(page, browser);
    assert.deepEqual(faults, []);
  } finally {
    await browser.close();
  }
}

export async function open(page, file, hash = "") {
  await page.goto("file://" + file + hash);
  // A page with a script says when it has drawn; one without is there when it is loaded.
  if ((await page.locator("body script").count()) > 0) await page.waitForSelector("html[data-complete=yes]", { timeout: 60000 });
}

/** Where a screenshot goes, if somebody wants to look at them. */
export async function shot(page, name) {
  const folder = process.env.STARTRACE_SHOTS;
  if (folder) await page.screenshot({ path: folder + "/" + name + ".png" });
}
