// A picture of the upper part of a page, in light colours: picture.mjs PAGE PNG WIDTH HEIGHT
import { open, withPage } from "./common.mjs";

const [file, png, width, height] = process.argv.slice(2);

await withPage(async (page) => {
  await page.setViewportSize({ width: Number(width), height: Number(height) });
  await page.emulateMedia({ colorScheme: "light" });
  await open(page, file);
  await page.screenshot({ path: png });
});
