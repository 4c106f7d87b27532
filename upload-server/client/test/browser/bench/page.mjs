/**
 * Many photos in a page: the widget, Uppy's Dashboard and bare `fetch`, in the same browser, to the same slot of the
 * same server.
 *
 * node browser/bench/page.mjs --server-binary PATH [--files 1000] [--bytes 346000] [--many 10000] [--rounds 5]
 *   [--json FILE] [--fresh] [--profile]
 *
 * A run begins with the `change` event of the input and ends when the last file is stored. The browser is spoken to directly:
 * libraries for automation have it report every frame of a WebSocket with its content, which costs more than sending it.
 * `cargo xtask bench page` holds the figures against their bars.
 */
import { existsSync } from "node:fs";
import { mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { build } from "esbuild";
import { Headful } from "../headful.mjs";
import { bytes, file, sleep, until } from "../page.mjs";
import { Server } from "../server.mjs";

const CONFIG = `
[slots.bench]
accept = "image/*"
max_entries = 20_000
max_file_size = 25_000_000
`;
const ENDPOINT = "/uploads/files/bench";
const SMALL_BYTES = 1024;

const { values: options } = parseArgs({
  options: {
    "server-binary": { type: "string" }, files: { type: "string", default: "1000" }, bytes: { type: "string", default: "346000" }, many: { type: "string", default: "10000" },
    rounds: { type: "string", default: "5" }, json: { type: "string" }, fresh: { type: "boolean" }, profile: { type: "boolean" }, only: { type: "string" },
  },
});
const executablePath = process.env.CHROMIUM || "/usr/bin/chromium";
for (const path of [options["server-binary"], executablePath]) {
  if (path && existsSync(path)) continue;
  console.error(`${path ?? "--server-binary"} is missing`);
  process.exit(2);
}

/** What each subject does in the page; `window.ended` resolves when all files are stored. */
const SUBJECTS = {
  async widget() {
    await import("/uploads/client/dropzone.js");
    const zone = document.createElement("upload-dropzone");
    zone.setAttribute("slot", "bench");
    document.body.append(zone);
    await zone.uploads.connect();
    window.input = zone.shadowRoot.querySelector("input[type=file]");
    window.ended = new Promise((done, fail) => {
      let count = 0;
      zone.addEventListener("complete", () => ++count === zone.files.length && done(count));
      zone.addEventListener("error", ({ detail }) => fail(new Error(detail.error)));
    });
  },
  async Uppy(endpoint) {
    window.ended = window.others.uppy(document.body, endpoint);
    await new Promise((done) => setTimeout(done, 200));
    window.input = document.querySelector(".uppy-Dashboard-input");
  },
  async fetch(endpoint) {
    window.input = Object.assign(document.createElement("input"), { type: "file", multiple: true });
    document.body.append(window.input);
    window.ended = window.others.bare(window.input, endpoint);
  },
};

/**
 * Keeps book of the times in the page.
 *
 * A task that began before `change` is the browser's own work on the list of files: what counts of it is what
 * lies behind `change`.
 */
function bookkeeping() {
  const times = (window.times = { freeze: 0, begun: Infinity, tasks: [] });
  new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) {
      times.freeze = Math.max(times.freeze, Math.min(duration, startTime + duration - times.begun));
      times.tasks.push({ startTime, duration });
    }
  }).observe({ type: "longtask" });
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (data) {
    if (typeof data !== "string") times.first ??= performance.now();
    return send.call(this, data);
  };
}

/** The expression that calls a function in a page. */
const called = (act, ...args) => `(${act})(${args.map((arg) => JSON.stringify(arg)).join()})`;

/** Photos for a browser: their heads are one picture's, their ends differ. */
async function photos(browser, folder, count, size) {
  const page = await browser.tab("about:blank");
  const head = Buffer.from(
    await page.evaluate(called(async () => {
      const canvas = new OffscreenCanvas(1600, 1200);
      const context = canvas.getContext("2d");
      for (let i = 0; i < 300; i++) {
        context.fillStyle = `hsl(${i * 47} 70% ${30 + (i % 40)}%)`;
        context.fillRect((i * 613) % 1600, (i * 389) % 1200, 220, 170);
      }
      const blob = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.8 });
      return btoa(String.fromCharCode(...new Uint8Array(await blob.arrayBuffer())));
    })),
    "base64",
  );
  await page.close();
  const padding = bytes(size);
  const paths = [];
  for (let i = 0; i < count; i++) {
    const content = Buffer.concat([head, padding]).subarray(0, size);
    content.writeUInt32LE(i, size - 4);
    paths.push(await file(join(folder, `IMG_${10_000 + i}.jpg`), content));
  }
  return paths;
}

/** The heaviest functions of a profile, by their own time. */
function heaviest({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const own = new Map();
  samples.forEach((id, i) => {
    const { functionName, url, lineNumber } = byId.get(id).callFrame;
    const name = `${functionName || "(anonymous)"} ${url.split("/").slice(-2).join("/")}:${lineNumber + 1}`;
    own.set(name, (own.get(name) ?? 0) + timeDeltas[i] / 1000);
  });
  const sorted = [...own].sort(([, a], [, b]) => b - a).slice(0, 30);
  return sorted.map(([name, ms]) => `${ms.toFixed(0).padStart(8)} ms  ${name}`).join("\n");
}

const others = await build({
  entryPoints: [fileURLToPath(new URL("others.entry.mjs", import.meta.url))],
  bundle: true, write: false, format: "iife", globalName: "others", target: "es2022", minify: true, logLevel: "silent",
  define: { "process.env.NODE_ENV": '"production"' },
}).then(({ outputFiles }) => outputFiles[0].text);
const style = await readFile(new URL("../../node_modules/@uppy/dashboard/dist/style.min.css", import.meta.url), "utf8");

/** One run: the files of one subject in a tab of its own. */
async function run(browser, server, subject, paths) {
  const tab = await browser.tab(new URL("uploads/none/status", server.address).href);
  await until("the page", () => tab.evaluate(`location.pathname.endsWith("/status") && document.readyState === "complete"`));
  await tab.evaluate(`document.body.replaceChildren(); ${called(bookkeeping)}`);
  if (subject === "Uppy") await tab.evaluate(`document.head.append(Object.assign(document.createElement("style"), { textContent: ${JSON.stringify(style)} }))`);
  await tab.evaluate(`${others}; window.others = others; 0`);
  await tab.evaluate(`${SUBJECTS[subject].toString().replace(/^async \w+/, "(async function ")})(${JSON.stringify(ENDPOINT)})`);
  // From here on nothing is intercepted.
  if (options.fresh) await tab.send("Fetch.disable");
  await tab.evaluate(`{
    const { input, times } = window;
    window.took = new Promise((done) => input.addEventListener("change", () => done((times.begun = performance.now())), { capture: true }))
      .then(() => window.ended)
      .then((count) => ({ count, seconds: (performance.now() - times.begun) / 1000 }));
    0;
  }`);
  if (options.profile) {
    await tab.send("Profiler.enable");
    await tab.send("Profiler.start");
  }
  const { result } = await tab.send("Runtime.evaluate", { expression: "window.input" });
  await tab.send("DOM.setFileInputFiles", { objectId: result.objectId, files: paths });
  const { count, seconds } = await tab.evaluate("window.took");
  if (count !== paths.length) throw new Error(`${subject}: ${count} of ${paths.length} were sent`);
  if (options.profile) {
    console.log(heaviest((await tab.send("Profiler.stop")).profile));
    const tasks = await tab.evaluate("times.tasks.map(({ startTime, duration }) => [startTime - times.begun, duration])");
    for (const [at, ms] of tasks.sort((a, b) => b[1] - a[1]).slice(0, 10)) console.log(`    a task of ${ms.toFixed(0)} ms, ${(at / 1000).toFixed(2)} s after the change`);
  }
  await sleep(300);
  await tab.send("HeapProfiler.collectGarbage");
  const { usedSize, backingStorageSize = 0 } = await tab.send("Runtime.getHeapUsage");
  const heap = (usedSize + backingStorageSize) / 1e6;
  const { freeze, first } = await tab.evaluate("({ freeze: times.freeze, first: (times.first - times.begun) / 1000 })");
  await tab.close();
  const folder = join(server.dir, "data/bench");
  const stored = await readdir(folder);
  if (stored.length !== paths.length) throw new Error(`${subject}: ${stored.length} of ${paths.length} are stored`);
  await Promise.all(stored.map((name) => rm(join(folder, name))));
  console.log(`${subject.padEnd(7)} ${paths.length} files in ${seconds.toFixed(2)} s, ${(paths.length / seconds).toFixed(1)} a second; heap ${heap.toFixed(1)} MB, longest freeze ${freeze.toFixed(0)} ms${first ? `, first byte after ${first.toFixed(2)} s` : ""}`);
  return { subject, files: paths.length, seconds, heap_mb: heap, freeze_ms: freeze, first_byte_seconds: first };
}

const dir = await mkdtemp(join(tmpdir(), "upload-bench-page-"));
const server = await Server.open(options["server-binary"], { config: CONFIG });
const browser = await Headful.open(executablePath, { fresh: options.fresh });
try {
  const runs = [];
  const paths = await photos(browser, join(dir, "photos"), +options.files, +options.bytes);
  for (let round = 1; round <= +options.rounds; round++) {
    console.log(`round ${round} of ${options.rounds}`);
    for (const subject of Object.keys(SUBJECTS)) if (!options.only || options.only === subject) runs.push({ round, ...(await run(browser, server, subject, paths)) });
  }
  const small = await photos(browser, join(dir, "small"), +options.many, SMALL_BYTES);
  const many = small.length ? await run(browser, server, "widget", small) : undefined;
  if (options.json) await writeFile(options.json, JSON.stringify({ bytes: +options.bytes, runs, many }));
} finally {
  await browser.close();
  await server.close();
  await rm(dir, { recursive: true, force: true });
}
