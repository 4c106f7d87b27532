/**
 * Looks at the built site in Chromium, as on a desktop and on a phone, in light and in dark, and takes pictures of it.
 *
 * node look.mjs SITE PACKAGES PICTURES
 *
 * SITE is the folder of the site, and PACKAGES the one whose packages have `playwright-core`.
 * A page fails that asks another server for something, lacks something, reports an error, or is wider than its screen.
 * So does a site without a dark scheme, or whose search finds nothing: over HTTP, and opened from its folder.
 */
import assert from "node:assert/strict";
import { readFile, readdir, mkdir } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { extname, join } from "node:path";
import { pathToFileURL } from "node:url";

const [site, packages, pictures] = process.argv.slice(2);
const { chromium } = createRequire(join(packages, "package.json"))("playwright-core");
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png" };
const SCREENS = { desktop: { viewport: { width: 1280, height: 900 } }, phone: { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true } };
/** Pages of which there are pictures. */
const SHOWN = ["index", "getting-started", "errors", "PROTOCOL"];
/** A word of the guides, for the search. */
const WORD = "resumable";

const server = createServer(async ({ url }, answer) => {
  const path = decodeURIComponent(new URL(url, "http://site").pathname);
  try {
    const bytes = await readFile(join(site, path));
    answer.writeHead(200, { "content-type": TYPES[extname(path)] ?? "application/octet-stream" }).end(bytes);
  } catch {
    answer.writeHead(404).end();
  }
});
await new Promise((done) => server.listen(0, "127.0.0.1", done));
const base = `http://127.0.0.1:${server.address().port}/`;
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: ["--no-sandbox"] });

/** Opens a page in a browser of its own, and returns it with what went wrong. */
async function open(url, options) {
  const context = await browser.newContext(options);
  const page = await context.newPage();
  const trouble = [];
  page.on("console", (message) => message.type() === "error" && trouble.push(message.text()));
  page.on("pageerror", (error) => trouble.push(String(error)));
  page.on("response", (response) => response.status() >= 400 && trouble.push(`${response.status()} ${response.url()}`));
  page.on("request", (request) => /^(http|ws)/.test(request.url()) && !request.url().startsWith(base) && trouble.push(`asks for ${request.url()}`));
  await page.goto(url, { waitUntil: "networkidle" });
  return { page, trouble };
}

async function look(name, screen, colorScheme) {
  const { page, trouble } = await open(`${base}${name}.html`, { ...SCREENS[screen], colorScheme });
  const where = `${name}, ${screen}, ${colorScheme}`;
  if (await page.locator(".mermaid").count()) await page.waitForTimeout(1000);
  const { wide, back } = await page.evaluate(() => ({ wide: document.documentElement.scrollWidth - innerWidth, back: getComputedStyle(document.body).backgroundColor }));
  assert.ok(wide <= 0, `${where}: ${wide} pixels too wide`);
  const isDark = Math.max(...back.match(/[\d.]+/g).slice(0, 3).map(Number)) < 128;
  assert.equal(isDark, colorScheme === "dark", `${where}: the background is ${back}`);
  assert.deepEqual(trouble, [], where);
  if (SHOWN.includes(name)) await page.screenshot({ path: join(pictures, `${name}-${screen}-${colorScheme}.png`) });
  await page.context().close();
}

async function search(url) {
  const { page, trouble } = await open(url, SCREENS.desktop);
  await page.locator(".md-search__input").fill(WORD);
  await page.locator(".md-search-result__item").first().waitFor({ timeout: 60_000 });
  assert.deepEqual(trouble, [], url);
  await page.context().close();
}

await mkdir(pictures, { recursive: true });
const names = (await readdir(site)).filter((name) => name.endsWith(".html")).map((name) => name.slice(0, -5));
for (const name of names) {
  const all = SHOWN.includes(name);
  for (const screen of all ? ["desktop", "phone"] : ["phone"]) {
    for (const scheme of all ? ["light", "dark"] : ["dark"]) await look(name, screen, scheme);
  }
}
await search(`${base}index.html`);
await search(pathToFileURL(join(site, "index.html")).href);
console.log(`${names.length} pages of the site were looked at; pictures are in ${pictures}`);
await browser.close();
server.close();
