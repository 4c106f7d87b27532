/** What the cases share: files to pick, and a page that keeps book of what its client says. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, open, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Fails with what it last saw. */
export async function until(what, check, ms = 60_000) {
  const end = Date.now() + ms;
  for (let last; ; await sleep(50)) {
    last = await check();
    if (last) return last;
    if (Date.now() > end) throw new assert.AssertionError({ message: `${what}: not within ${ms} ms` });
  }
}

/** Bytes from a hash of the offset: swapped or repeated pieces cannot hide. */
export function bytes(length, seed = 1) {
  const buffer = Buffer.alloc(length);
  const words = new Uint32Array(buffer.buffer, buffer.byteOffset, length >> 2);
  for (let i = 0; i < words.length; i++) words[i] = Math.imul(i ^ Math.imul(seed, 0x9e3779b1), 0x85ebca6b) ^ (i >>> 7);
  for (let i = words.length * 4; i < length; i++) buffer[i] = i + seed;
  return buffer;
}

/** A video in name and first bytes, so that a content check is content. */
export function video(length, seed = 1) {
  const buffer = bytes(length, seed);
  Buffer.from("0000001c66747970697336d6000002006973366d69736f32", "hex").copy(buffer);
  Buffer.from("ftypisom", "latin1").copy(buffer, 4);
  return buffer;
}

export const sha256 = (buffer) => createHash("sha256").update(buffer).digest("hex");

export async function file(path, content) {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, content);
  return path;
}

/** A sparse file with a byte here and there. */
export async function sparse(path, size) {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, "w");
  await handle.truncate(size);
  for (let at = 0; at < size; at += 97_000_001) await handle.write(Buffer.from([at % 251]), 0, 1, at);
  await handle.close();
  return path;
}

/** Small JPEGs drawn by the browser itself, all different. */
export async function photos(page, folder, count, width = 640, height = 480) {
  const paths = [];
  for (let from = 0; from < count; from += 20) {
    const batch = await page.evaluate(
      async ([from, to, w, h]) => {
        const made = [];
        for (let i = from; i < to; i++) {
          const canvas = new OffscreenCanvas(w, h);
          const c = canvas.getContext("2d");
          const g = c.createLinearGradient(0, 0, w, h);
          g.addColorStop(0, `hsl(${i * 47} 75% 62%)`);
          g.addColorStop(1, `hsl(${i * 47 + 80} 70% 34%)`);
          c.fillStyle = g;
          c.fillRect(0, 0, w, h);
          c.fillStyle = `hsl(${i * 47 + 190} 80% 80% / 55%)`;
          c.beginPath();
          c.arc(w * (0.25 + 0.09 * (i % 6)), h * (0.35 + 0.06 * (i % 5)), h * 0.22, 0, 7);
          c.fill();
          c.fillStyle = "rgb(0 0 0 / 30%)";
          c.beginPath();
          c.moveTo(0, h);
          for (let x = 0; x <= w; x += w / 6) c.lineTo(x, h * (0.62 + 0.16 * Math.sin(x * 0.013 + i)));
          c.lineTo(w, h);
          c.fill();
          const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.85 });
          made.push(btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer()))));
        }
        return made;
      },
      [from, Math.min(count, from + 20), width, height],
    );
    for (const b64 of batch) paths.push(await file(join(folder, `IMG_${4000 + paths.length}.jpg`), Buffer.from(b64, "base64")));
  }
  return paths;
}

/** Runs in the page before its scripts: keeps book of messages, events and sockets. */
function bookkeeping() {
  const book = (window.book = { events: [], errors: [], resumes: [], sockets: 0, sent: 0, broken: [], statuses: {}, registered: 0, closes: [], results: [] });
  for (const name of ["djust:upload:progress", "upload:progress"]) {
    addEventListener(name, ({ detail }) => {
      if (name !== "upload:progress") return void (book.djust = (book.djust ?? 0) + 1);
      (book.statuses[detail.name] ??= {})[detail.status] = true;
      (book.phases ??= {})[detail.phase] = true;
      book.last = detail;
      if (book.events.length < 5000) book.events.push(detail);
    });
  }
  addEventListener("upload:event", ({ detail }) => book.results.push(detail));
  addEventListener("upload:error", ({ detail }) => book.errors.push(detail));
  addEventListener("djust:upload:error", ({ detail }) => (book.djustErrors ??= []).push(detail));
  addEventListener("securitypolicyviolation", (e) => book.broken.push(`policy: ${e.violatedDirective} ${e.blockedURI}`));
  // What every upload was told to be safe, and where its sender went on: per ref.
  const uploads = {};
  const Real = WebSocket;
  window.WebSocket = class extends Real {
    constructor(...a) {
      super(...a);
      book.sockets++;
      this.addEventListener("close", ({ code }) => book.closes.push(code));
      this.addEventListener("message", ({ data }) => {
        const m = JSON.parse(data);
        const u = m.ref && (uploads[m.ref] ??= { durable: 0, received: 0, credit: 0, at: 0, chunk: 65536 });
        if (m.type === "upload_registered") Object.assign(u, { at: 0, durable: 0, received: 0, next: 0, credit: m.credit, chunk: m.chunk_size }), book.registered++;
        if (m.type === "upload_resumed" && m.status === "resumed") {
          if (m.bytes_received < u.durable) book.broken.push(`server went back to ${m.bytes_received} from durable ${u.durable}`);
          if (m.next_index !== Math.floor(m.bytes_received / m.chunk_size)) book.broken.push(`next_index ${m.next_index} at ${m.bytes_received}`);
          Object.assign(u, { at: m.bytes_received, next: m.next_index, credit: m.credit, chunk: m.chunk_size });
          book.resumes.push(m.bytes_received);
        }
        if (m.type === "upload_progress" && m.status === "uploading") {
          u.durable = Math.max(u.durable, m.bytes_durable ?? 0);
          u.credit = Math.max(u.credit, m.credit ?? 0);
          if (m.code === "chunk_out_of_order") book.broken.push("the server saw a gap");
        }
      });
    }
    send(data) {
      if (typeof data !== "string") {
        const v = new DataView(data.buffer, data.byteOffset, data.byteLength);
        if (v.getUint8(0) === 1) {
          let ref = "";
          for (let i = 1; i < 17; i++) ref += v.getUint8(i).toString(16).padStart(2, "0") + ([4, 6, 8, 10].includes(i) ? "-" : "");
          const u = uploads[ref];
          const length = data.byteLength - 21;
          if (!u) book.broken.push("a chunk before it was registered");
          else {
            if (v.getUint32(17) !== u.next++) book.broken.push(`index ${v.getUint32(17)}`);
            if (u.at < u.durable) book.broken.push(`byte ${u.at} sent again, ${u.durable} were durable`);
            u.at += length;
            if (u.at > u.credit) book.broken.push(`credit ${u.credit} passed: ${u.at}`);
          }
          book.sent += length;
        }
      }
      super.send(data);
    }
  };
}

/** The page with plain attributes, which most cases use. */
export const plain = (server) => `${server.url}uploads/demo/attributes.html`;

const CLIENT = new URL("../../", import.meta.url);
const DEMO = new URL("../../../demo/", import.meta.url);
const POLICY = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/** Serves the client and the demo from the working tree. */
export async function serveFresh(page) {
  await page.route(/\/uploads\/(client|demo)\//, async (route) => {
    const [, folder, name] = /\/uploads\/(client|demo)\/([\w./]+)/.exec(route.request().url());
    if (name.endsWith(".json")) return route.fallback();
    const headers = name.endsWith(".html") ? { "content-security-policy": POLICY, "content-type": "text/html" } : undefined;
    await route.fulfill({ path: fileURLToPath(new URL(name, folder === "client" ? CLIENT : DEMO)), headers });
  });
  const path = fileURLToPath(new URL("index.html", DEMO));
  await page.route((url) => url.pathname === "/", async (route) => {
    const response = await route.fetch();
    const isDemo = (await response.text()).includes("/uploads/demo/demo.js");
    await route.fulfill(isDemo ? { path, headers: { "content-security-policy": POLICY, "content-type": "text/html" } } : { response });
  });
}

/** A new context with the page of plain attributes, or the page at `url`, open and connected. */
export async function visit(t, options = {}) {
  const context = options.context ?? (await t.browser.newContext({ viewport: { width: 1280, height: 900 }, ...options.browser }));
  const page = await context.newPage();
  const trouble = (page.trouble = []);
  page.on("pageerror", (e) => trouble.push(String(e.stack ?? e)));
  page.on("console", (m) => {
    if (m.location().url.endsWith("/favicon.ico")) return; // pages without an icon are asked for one
    if (m.type() === "error" && !/WebSocket|ERR_INTERNET_DISCONNECTED|ERR_CONNECTION|net::/.test(m.text())) trouble.push(m.text());
  });
  await page.addInitScript(bookkeeping);
  if (options.init) await page.addInitScript(options.init);
  if (t.fresh) await serveFresh(page);
  if (options.before) await options.before(page);
  await page.goto(options.url ?? plain(t.server));
  if (options.connect !== false) await page.waitForFunction(() => document.querySelector("#connection")?.dataset.on === "true", undefined, { timeout: 60_000 });
  t.onEnd(() => (options.context ? page.close() : context.close()));
  return page;
}

/** Nothing was thrown, no policy broken, no rule of the protocol either. */
export async function sane(page) {
  assert.deepEqual(page.trouble, []);
  assert.deepEqual(await page.evaluate(() => window.book.broken), []);
}

export const pick = (page, slot, files) => page.setInputFiles(`input[type=file][dj-upload=${slot}]:not([webkitdirectory])`, files);
export const row = (page, name) => page.locator(".upload-row", { has: page.locator(`.upload-name[title="${name}"]`) });
export const status = (page, name) => row(page, name).first().getAttribute("data-status");
export const settled = (page, name, wanted = "complete", ms = 120_000) =>
  until(`${name} ${wanted}`, async () => (await row(page, name).count()) && (await status(page, name)) === wanted, ms).catch(async (e) => {
    const rows = await page.$$eval(".upload-row", (all) => all.map((r) => [r.className, r.dataset.status, r.textContent].join(" "))).catch(String);
    const { errors, last } = await book(page).catch(() => ({}));
    throw new Error(`${e.message}; rows ${JSON.stringify(rows)}, errors ${JSON.stringify(errors)}, last ${JSON.stringify(last)}`);
  });
export const book = (page) => page.evaluate(() => window.book);

/** Drops real files and folders, as from the desktop. */
export async function drop(page, selector, paths, { leave = false } = {}) {
  const cdp = await page.context().newCDPSession(page);
  await page.locator(selector).first().scrollIntoViewIfNeeded();
  const box = await page.locator(selector).first().boundingBox();
  const x = box.x + box.width / 2;
  const y = box.y + box.height / 2;
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  await cdp.send("Input.dispatchDragEvent", { type: "dragEnter", x, y, data });
  await cdp.send("Input.dispatchDragEvent", { type: "dragOver", x, y, data });
  const over = await page.locator(selector).first().evaluate((e) => e.classList.contains("upload-dragover"));
  await cdp.send("Input.dispatchDragEvent", leave ? { type: "dragOver", x: 2, y: 2, data } : { type: "drop", x, y, data });
  if (leave) await cdp.send("Input.dispatchDragEvent", { type: "dragCancel", x: 2, y: 2, data });
  return over;
}

/** Gives an input files by their paths without asking whether they exist. */
export async function pickPaths(page, selector, paths) {
  const cdp = await page.context().newCDPSession(page);
  const { root } = await cdp.send("DOM.getDocument");
  const { nodeId } = await cdp.send("DOM.querySelector", { nodeId: root.nodeId, selector });
  await cdp.send("DOM.setFileInputFiles", { nodeId, files: paths });
  await cdp.detach();
}
