/** The demo page as people see it: light and dark, desktop and phone. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { book, bytes, file, photos, pick, row, settled, status, until, video, visit } from "../page.mjs";

async function scene(t, name, browser) {
  const page = await visit(t, { browser: { deviceScaleFactor: browser.isMobile ? 1.5 : 1, ...browser } });
  const pictures = await photos(page, t.path(name), 13, 900, 700);
  await pick(page, "avatar", pictures[4]);
  await pick(page, "photos", pictures.slice(0, 12));
  await pick(page, "documents", [await file(t.path(name, "Minutes of the spring meeting.txt"), bytes(900_000).toString("base64")), await file(t.path(name, "setup.exe"), "MZ")]);
  await settled(page, "Minutes of the spring meeting.txt");
  await until("photos", async () => (await page.locator(".gallery [data-status=complete]").count()) === 12);
  t.server.proxy.rate = 5e6;
  await pick(page, "video", [await file(t.path(name, "Harbour at dawn.mp4"), video(60_000_000)), await file(t.path(name, "Interview, second take.mov"), video(42_000_000, 2)), await file(t.path(name, "Trailer.webm"), Buffer.concat([Buffer.from("1a45dfa3", "hex"), bytes(9_000_000)]))]);
  await until("bytes", async () => (await book(page)).sent > 9_000_000);
  await row(page, "Interview, second take.mov").locator(".upload-pause").click();
  await until("paused", async () => (await status(page, "Interview, second take.mov")) === "paused");
  await page.waitForTimeout(1200);
  // Nothing sticks out to the side, whatever the width.
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  assert.ok(wide <= 0, `${wide} pixels too wide`);
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  await page.setViewportSize({ width: browser.viewport.width, height });
  await page.waitForTimeout(1000);
  const folder = t.images ?? t.path("images");
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: join(folder, `demo-${name}.png`) });
  t.server.proxy.rate = Infinity;
  await page.click("#cancel");
  assert.deepEqual(page.trouble, []);
}

export default {
  "desktop, light": (t) => scene(t, "desktop-light", { viewport: { width: 1280, height: 900 }, colorScheme: "light" }),
  "desktop, dark": (t) => scene(t, "desktop-dark", { viewport: { width: 1280, height: 900 }, colorScheme: "dark" }),
  "phone, light": (t) => scene(t, "phone-light", { viewport: { width: 390, height: 844 }, colorScheme: "light", isMobile: true, hasTouch: true }),
  "phone, dark": (t) => scene(t, "phone-dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark", isMobile: true, hasTouch: true }),
};
