/** Much at once: a very large file, two hundred photos, the speed of the checksum, fairness. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { book, file, photos, pick, sane, settled, sparse, status, until, video, visit } from "../page.mjs";

/**
 * Guards, not measurements: the figures are printed (20 to 30 ms and 2,000 MB/s on a quiet machine), and a machine that
 * is busy with something else changes them. A page that walks its list for each event, or a checksum in a slow path of
 * the engine, misses them by far.
 */
const TASK_MAX_MS = 1_000;
const CRC_MIN_MB = 50;

/** Resident bytes of the page's renderer that no file backs. */
async function memoryOf(t, page) {
  const cdp = await t.browser.newBrowserCDPSession();
  const marker = `upload-test-${Math.random()}`;
  const { processInfo } = await cdp.send("SystemInfo.getProcessInfo");
  const renderers = processInfo.filter((p) => p.type === "renderer").map((p) => p.id);
  const anon = async (pid) => +(/RssAnon:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) * 1024;
  // Several renderers may live; the page's is the one that grows by what the page allocates.
  const before = await Promise.all(renderers.map(anon));
  await page.evaluate((name) => ((window[name] = new Uint8Array(48 << 20)).fill(7), 0), marker);
  const after = await Promise.all(renderers.map(anon));
  await page.evaluate((name) => void delete window[name], marker);
  const grown = after.map((n, i) => n - before[i]);
  const pid = renderers[grown.indexOf(Math.max(...grown))];
  const gc = await page.context().newCDPSession(page);
  await gc.send("HeapProfiler.collectGarbage");
  await cdp.detach();
  return () => anon(pid);
}

/**
 * Main-thread tasks of all pages while `act` runs, in milliseconds, from Chromium's own trace.
 *
 * `all` and `ours` are CPU time of the thread, so that what else runs on the machine does not count; `wall` is the time
 * the page was busy by the clock. A task is ours if a function of the client or the demo page ran in it, and counts whole,
 * with the layout, painting and garbage collection that the browser did in the same task.
 */
async function tasks(t, page, act) {
  const cdp = await t.browser.newBrowserCDPSession();
  const events = [];
  cdp.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await cdp.send("Tracing.start", { traceConfig: { includedCategories: ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline", "__metadata"] }, transferMode: "ReportEvents" });
  await act();
  const complete = new Promise((done) => cdp.once("Tracing.tracingComplete", done));
  await cdp.send("Tracing.end");
  assert.equal((await complete).dataLossOccurred, false, "the trace is whole");
  await cdp.detach();
  const main = new Set(events.filter((e) => e.name === "thread_name" && e.args.name === "CrRendererMain").map((e) => `${e.pid}/${e.tid}`));
  const ours = events.filter((e) => main.has(`${e.pid}/${e.tid}`));
  const runs = ours.filter((e) => /RunTask$/.test(e.name) && e.dur);
  assert.ok(runs.length > 100, `${runs.length} tasks traced`);
  const script = ours.filter((e) => (e.name === "FunctionCall" || e.name === "EvaluateScript" || e.name === "v8.run") && /\/uploads\//.test(JSON.stringify(e.args)));
  assert.ok(script.length, "our scripts are in the trace");
  const mine = runs.filter((r) => script.some((s) => s.pid === r.pid && s.tid === r.tid && s.ts >= r.ts && s.ts < r.ts + r.dur));
  const cpu = (r) => (r.tdur ?? r.dur) / 1000; // those of a few microseconds say only how long they took
  return { all: runs.map(cpu), ours: mine.map(cpu), wall: mine.map((r) => r.dur / 1000) };
}

export default {
  async "4 GiB while the page stays small"(t) {
    const page = await visit(t);
    const path = await sparse(t.path("huge.bin"), 4 * 1024 ** 3);
    await page.evaluate(() => {
      document.querySelector("main").insertAdjacentHTML("beforeend", `<input type="file" dj-upload="big"><ul dj-upload-progress="big"></ul>`);
    });
    await page.waitForTimeout(500);
    const memory = await memoryOf(t, page);
    await page.waitForTimeout(500);
    const start = await memory();
    let peak = 0;
    await page.setInputFiles("input[dj-upload=big]", path);
    const from = Date.now();
    await until(
      "the end",
      async () => {
        peak = Math.max(peak, await memory());
        const s = await status(page, "huge.bin").catch(() => null);
        if (s === "error") throw new Error(JSON.stringify((await book(page)).errors));
        return s === "complete";
      },
      400_000,
    );
    const seconds = (Date.now() - from) / 1000;
    const over = (peak - start) / 1024 ** 2;
    t.say(`4 GiB in ${seconds.toFixed(1)} s (${(4096 / seconds).toFixed(0)} MiB/s), the page ${over.toFixed(1)} MiB over its start of ${(start / 1024 ** 2).toFixed(0)} MiB`);
    assert.equal((await book(page)).sent, 4 * 1024 ** 3);
    assert.ok(over < 64, `${over} MiB`);
    await sane(page);
  },

  async "200 photos at once, and the page stays responsive"(t) {
    const page = await visit(t);
    const paths = await photos(page, t.path("photos"), 200, 1280, 960);
    const { all, ours, wall } = await tasks(t, page, async () => {
      await pick(page, "photos", paths);
      await page.evaluate(() => (document.querySelector(".list").open = true));
      for (let i = 0; i < 60 && (await t.server.stored("photos")).length < 200; i++) {
        await page.mouse.wheel(0, i % 2 ? -900 : 900);
        await page.waitForTimeout(150);
      }
      await until("200 photos", async () => (await t.server.stored("photos")).length === 200, 180_000);
      await page.waitForTimeout(500);
    });
    const longest = Math.max(0, ...ours);
    t.say(`longest of ${ours.length} main-thread tasks of ours: ${longest.toFixed(1)} ms of CPU, ${Math.max(0, ...wall).toFixed(1)} ms by the clock; longest of all ${all.length}: ${Math.max(...all).toFixed(1)} ms of CPU`);
    assert.ok(longest < TASK_MAX_MS, `${longest} ms of CPU`);
    assert.equal(await page.locator(".gallery .upload-preview").count(), 200);
    await until("every row done", async () => (await page.locator(".photos .upload-row[data-status=complete]").count()) === 200);
    await sane(page);
  },

  async "CRC32C is no bottleneck in the browser"(t) {
    const page = await visit(t);
    const speed = await page.evaluate(async () => {
      const { crc32c } = await import("/uploads/client/crc32c.js");
      const block = new Uint8Array(65536).map((_, i) => i * 31 + (i >> 8));
      let best = 0;
      let crc = 0;
      for (let round = 0; round < 120; round++) {
        const from = performance.now();
        for (let i = 0; i < 100; i++) crc = crc32c(block, crc);
        best = Math.max(best, (100 * 65.536) / (performance.now() - from));
      }
      return best;
    });
    t.say(`CRC32C ${speed.toFixed(0)} MB/s`);
    assert.ok(speed >= CRC_MIN_MB, `${speed} MB/s`);
  },

  async "several files share the line"(t) {
    const page = await visit(t);
    t.server.proxy.rate = 6e6;
    const names = ["first.mp4", "second.mp4", "third.mp4"];
    await pick(page, "video", await Promise.all(names.map((name, i) => file(t.path(name), video(12_000_000, i)))));
    const sentOf = () => page.evaluate(() => import("/uploads/client/index.js").then((m) => m.uploads.uploads.map((u) => u.progress.sent)));
    // Counted from when all three run: they do not begin at the same moment.
    const begun = await until("all three to run", async () => {
      const sent = await sentOf();
      return sent.length === 3 && sent.every((n) => n > 0) && sent;
    });
    const least = begun.reduce((sum, n) => sum + n, 0) + 9_000_000;
    const sent = await until("a part of each", async () => {
      const now = await sentOf();
      return now.reduce((sum, n) => sum + n, 0) > least && now.map((n, i) => n - begun[i]);
    });
    assert.equal(sent.length, 3);
    assert.ok(Math.max(...sent) < 1.7 * Math.min(...sent), `uneven: ${sent}`);
    t.server.proxy.rush();
    for (const name of names) await settled(page, name);
    await sane(page);
  },

  async "one large file does not hold up small ones, nor more than three are sent at once"(t) {
    const page = await visit(t);
    t.server.proxy.rate = 8e6;
    await pick(page, "video", await file(t.path("long.mp4"), video(160_000_000)));
    await pick(page, "documents", await Promise.all(Array.from({ length: 9 }, (_, i) => file(t.path(`small${i}.txt`), `text ${i} `.repeat(170_000)))));
    const most = await page.evaluate(async () => {
      const { uploads } = await import("/uploads/client/index.js");
      let most = 0;
      for (;;) {
        most = Math.max(most, uploads.uploads.filter(({ status, progress }) => status !== "queued" && progress.sent < progress.size).length);
        if (uploads.uploads.length <= 1) return most;
        await new Promise((done) => setTimeout(done, 10));
      }
    });
    assert.equal(await status(page, "long.mp4"), "uploading", "the small ones were first");
    assert.ok(most <= 3, `${most} at once`);
    t.server.proxy.rush();
    await settled(page, "long.mp4");
    await sane(page);
  },
};
