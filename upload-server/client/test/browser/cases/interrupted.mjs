/** Lines that break, servers that die, tabs that compete, pages that reload. */
import assert from "node:assert/strict";
import { readdir, rm, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { book, file, pick, plain, row, sane, settled, sha256, sleep, status, until, video, visit } from "../page.mjs";

const CUTS = 100;

/** What is running and sent so far. A page that waits for its next try makes it now, as its user would. */
const flow = (page) =>
  page.evaluate(async () => {
    const { uploads } = await import("/uploads/client/index.js");
    if (uploads.connection.state === "waiting") uploads.reconnect();
    return { under: uploads.uploads.length, sent: book.sent };
  });

export default {
  async "a hundred cuts: every byte once and in its place"(t) {
    let state = t.seed;
    const random = () => ((state = (state * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff);
    const page = await visit(t);
    const { proxy } = t.server;
    proxy.rate = 12e6;
    const files = {};
    const feed = async (i) => {
      const name = `part${i}.mp4`;
      files[name] = video(3_000_000 + Math.floor(random() * 5_000_000), i);
      await pick(page, "video", await file(t.path(name), files[name]));
    };
    const done = { cut: 0, kill: 0, term: 0, unplugged: 0 };
    let fed = 0;
    for (let i = 0; i < CUTS; i++) {
      const { sent: before } = await flow(page);
      await until("bytes to flow", async () => {
        const { under, sent } = await flow(page);
        // Two at any time: what was running may have ended meanwhile.
        for (let j = under; j < 2; j++) await feed(fed++);
        return sent > before;
      });
      await sleep(random() * 120);
      const what = random();
      if (what < 0.8) {
        done.cut++;
        proxy.cut();
      } else if (what < 0.88) {
        done.kill++;
        await t.server.restart("SIGKILL");
      } else if (what < 0.92) {
        done.term++;
        await t.server.restart("SIGTERM");
      } else {
        done.unplugged++;
        await proxy.unplug(100 + random() * 200);
      }
    }
    proxy.rate = Infinity;
    for (const name of Object.keys(files)) await settled(page, name, "complete", 120_000);
    const stored = await t.server.stored("video");
    const expected = Object.fromEntries(Object.entries(files).map(([name, content]) => [name, sha256(content)]));
    assert.deepEqual(Object.fromEntries(stored.map((f) => [f.name, f.sha256])), expected);
    assert.equal(stored.length, Object.keys(files).length, "each file once");
    const kept = await book(page);
    assert.ok(Object.values(kept.statuses).some((s) => s.resuming), "resuming was seen");
    const size = Object.values(files).reduce((n, f) => n + f.length, 0);
    t.say(`${CUTS} cuts ${JSON.stringify(done)}, ${Object.keys(files).length} files, ${kept.resumes.length} resumes, ${kept.sent} bytes sent for ${size}`);
    assert.ok(kept.resumes.length >= CUTS * 0.8, `${kept.resumes.length} resumes`);
    assert.ok(kept.resumes.filter((at) => at > 0).length >= CUTS / 2, "most went on in the middle");
    await sane(page);
  },

  async "a silent line is noticed and left"(t) {
    const page = await visit(t);
    t.server.proxy.brake(2_000_000);
    const content = video(12_000_000);
    await pick(page, "video", await file(t.path("silent.mp4"), content));
    await until("bytes", async () => (await book(page)).sent > 1_000_000);
    t.server.proxy.hold();
    await until("resuming", async () => (await status(page, "silent.mp4")) === "resuming", 60_000);
    t.server.proxy.release();
    t.server.proxy.rush();
    await settled(page, "silent.mp4");
    assert.equal((await t.server.stored("video"))[0].sha256, sha256(content));
    await sane(page);
  },

  async "a reload in the middle: pick the same file, and it goes on"(t) {
    const page = await visit(t);
    t.server.proxy.brake(3_000_000);
    const content = video(12_000_000);
    const path = await file(t.path("reload.mp4"), content);
    await pick(page, "video", path);
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 2_000_000);
    await page.reload();
    await page.waitForFunction(() => document.querySelector("#connection").dataset.on === "true");
    await until("the offer to continue", async () => (await row(page, "reload.mp4").locator(".upload-state").textContent()) === "Choose this file again to continue");
    t.server.proxy.rush();
    await pick(page, "video", path);
    await settled(page, "reload.mp4");
    const kept = await book(page);
    assert.ok(kept.statuses["reload.mp4"].resuming, "resuming was seen");
    assert.ok(kept.resumes[0] > 1_000_000, `resumed at ${kept.resumes[0]}`);
    assert.ok(kept.sent <= content.length - kept.resumes[0], "nothing before it was sent again");
    assert.equal(await row(page, "reload.mp4").count(), 1, "the offer became the row");
    assert.equal((await t.server.stored("video"))[0].sha256, sha256(content));
    await page.reload();
    await page.waitForFunction(() => document.querySelector("#connection").dataset.on === "true");
    await sleep(300);
    assert.equal(await row(page, "reload.mp4").count(), 0, "and its record is gone");
    await sane(page);
  },

  async "a file handle continues after a reload with one click"(t) {
    const page = await visit(t);
    t.server.proxy.brake(2_500_000);
    await page.evaluate(async () => {
      const handle = await (await navigator.storage.getDirectory()).getFileHandle("kept.mp4", { create: true });
      const writable = await handle.createWritable();
      const content = new Uint8Array(8_000_000).map((_, i) => i * 7 + (i >> 9));
      content.set([0, 0, 0, 0x1c, 0x66, 0x74, 0x79, 0x70, 0x69, 0x73, 0x6f, 0x6d]);
      await writable.write(content);
      await writable.close();
      const { uploads } = await import("/uploads/client/index.js");
      uploads.add([{ file: await handle.getFile(), handle }], "video");
    });
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_500_000);
    await page.reload();
    await page.waitForFunction(() => document.querySelector("#connection").dataset.on === "true");
    t.server.proxy.rush();
    await row(page, "kept.mp4").locator(".upload-resume").click();
    await settled(page, "kept.mp4");
    assert.ok((await book(page)).resumes[0] > 1_000_000);
    assert.equal((await t.server.stored("video"))[0].size, 8_000_000);
    await sane(page);
  },

  async "a changed file of the same name, size and date starts over"(t) {
    const page = await visit(t);
    t.server.proxy.brake(3_000_000);
    const path = await file(t.path("same.mp4"), video(8_000_000, 1));
    const when = new Date("2024-05-06T07:08:09Z");
    await utimes(path, when, when);
    await pick(page, "video", path);
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 2_000_000);
    await page.reload();
    await page.waitForFunction(() => document.querySelector("#connection").dataset.on === "true");
    t.server.proxy.rush();
    const changed = video(8_000_000, 2);
    await writeFile(path, changed);
    await utimes(path, when, when);
    await pick(page, "video", path);
    await settled(page, "same.mp4");
    const kept = await book(page);
    assert.equal(kept.resumes.length, 1, "it was offered the old bytes");
    assert.equal(kept.sent, changed.length, "and sent all of its own");
    const stored = await t.server.stored("video");
    assert.deepEqual(stored.map((f) => f.sha256), [sha256(changed)]);
    await sane(page);
  },

  async "an offer goes when its file is picked, however late the page draws"(t) {
    const page = await visit(t);
    t.server.proxy.brake(2_500_000);
    const path = await file(t.path("late.mp4"), video(8_000_000, 1));
    const when = new Date("2024-05-06T07:08:09Z");
    await utimes(path, when, when);
    await pick(page, "video", path);
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_000_000);
    await page.reload();
    await until("the offer to continue", () => row(page, "late.mp4").count());
    t.server.proxy.rush();
    await writeFile(path, video(8_000_000, 2));
    await utimes(path, when, when);
    // Nothing is drawn between taking up the old ref and starting over under a new one.
    await page.evaluate(() => {
      window.held = [];
      window.later = setTimeout;
      window.setTimeout = (f, ms) => (ms === 16 ? held.push(f) : later(f, ms));
    });
    await pick(page, "video", path);
    await until("the end", async () => (await book(page)).statuses["late.mp4"]?.complete);
    await page.evaluate(() => {
      window.setTimeout = later;
      if (!held.length) throw new Error("nothing was to be drawn");
      held.forEach((f) => f());
    });
    await settled(page, "late.mp4");
    assert.equal(await row(page, "late.mp4").count(), 1, "the offer became the row");
    assert.equal((await book(page)).resumes.length, 1, "it was offered the old bytes");
    await sane(page);
  },

  async "a file that changes while it is sent ends in an error, not in a mixture"(t) {
    const page = await visit(t);
    t.server.proxy.brake(2_000_000);
    const path = await file(t.path("shifting.mp4"), video(16_000_000, 1));
    await pick(page, "video", path);
    await until("bytes", async () => (await book(page)).sent > 1_000_000);
    await writeFile(path, video(15_000_000, 2));
    t.server.proxy.rush();
    await settled(page, "shifting.mp4", "error");
    assert.equal((await book(page)).errors[0].code, "file_unreadable");
    assert.deepEqual(await t.server.stored("video"), []);
  },

  async "a second tab is told that it is locked, a duplicated one too"(t) {
    const page = await visit(t);
    t.server.proxy.brake(2_000_000);
    const content = video(9_000_000);
    const path = await file(t.path("shared.mp4"), content);
    await pick(page, "video", path);
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_000_000);
    const second = await visit(t, { context: page.context() });
    const [duplicate] = await Promise.all([page.context().waitForEvent("page"), page.evaluate(() => void window.open(location.href))]);
    await duplicate.waitForFunction(() => document.querySelector("#connection")?.dataset.on === "true");
    for (const tab of [second, duplicate]) {
      await pick(tab, "video", path);
      await settled(tab, "shared.mp4", "error");
      assert.equal(await row(tab, "shared.mp4").locator(".upload-state").textContent(), "Already uploading in another tab");
      assert.ok(await row(tab, "shared.mp4").locator(".upload-retry").isVisible(), "may be tried again");
    }
    const { errors } = await book(second);
    assert.deepEqual(errors.map((e) => e.code), ["locked"]);
    t.server.proxy.rush();
    await settled(page, "shared.mp4");
    assert.deepEqual((await t.server.stored("video")).map((f) => f.sha256), [sha256(content)]);
    await sane(page);
  },

  async "after the first tab was closed, a second one that tries again goes on"(t) {
    const page = await visit(t);
    t.server.proxy.brake(2_500_000);
    const content = video(9_000_000);
    const path = await file(t.path("handed.mp4"), content);
    await pick(page, "video", path);
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_500_000);
    const second = await visit(t, { context: page.context() });
    await pick(second, "video", path);
    await settled(second, "handed.mp4", "error");
    await page.close();
    t.server.proxy.rush();
    // The server may not have heard yet that the first tab is gone.
    await until("the upload to go on", async () => {
      const again = row(second, "handed.mp4").locator(".upload-retry");
      if (await again.isVisible()) await again.click();
      return (await status(second, "handed.mp4")) === "complete";
    });
    const kept = await book(second);
    assert.ok(kept.resumes[0] > 1_000_000, `resumed at ${kept.resumes[0]}`);
    assert.deepEqual([kept.registered, kept.sent <= content.length - kept.resumes[0]], [0, true], "nothing was sent again");
    assert.deepEqual((await t.server.stored("video")).map((f) => f.sha256), [sha256(content)]);
    await sane(second);
  },

  async "closing the tab aborts where the page asks for that (RESUME-7)"(t) {
    const context = await t.browser.newContext();
    t.onEnd(() => context.close());
    const page = await visit(t, { context });
    t.server.proxy.brake(2_000_000);
    await page.evaluate(async () => {
      const { createUploads } = await import("/uploads/client/index.js");
      window.own = createUploads({ url: "/uploads/ws", keepOnLeave: false });
      const content = new Uint8Array(8_000_000);
      content.set([0, 0, 0, 0x1c, 0x66, 0x74, 0x79, 0x70, 0x69, 0x73, 0x6f, 0x6d]);
      own.add([new File([content], "left.mp4", { lastModified: 5 })], "video");
    });
    await until("bytes", () => page.evaluate(() => own.uploads[0].progress.stored > 1_000_000));
    const ref = await page.evaluate(() => own.uploads[0].ref);
    const status = () => context.request.get(`${t.server.url}uploads/${ref}/status`).then((r) => r.status());
    assert.equal(await status(), 200);
    // Lets the line run empty, so that the browser's closing frame is not stuck behind data.
    await page.evaluate(() => own.pauseAll());
    t.server.proxy.rush();
    await until("an empty line", () => page.evaluate(() => own.uploads[0].progress.sent === own.uploads[0].progress.received));
    await page.goto("about:blank");
    await until("its end on the server", async () => (await status()) === 404);
    assert.deepEqual(await t.server.stored("video"), []);
  },

  async "a page whose own close comes too late keeps its uploads, though its browser says 1001 (RESUME-7)"(t) {
    // The close waits behind what is buffered, and the page is gone first: here it is never sent.
    const page = await visit(t, { init: () => void (WebSocket.prototype.close = () => {}) });
    t.server.proxy.brake(2_000_000);
    const content = video(8_000_000);
    const path = await file(t.path("late.mp4"), content);
    await pick(page, "video", path);
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_000_000);
    // Lets the line run empty, so that the browser's closing frame is not stuck behind data.
    await page.click("#pause");
    t.server.proxy.rush();
    const { progress } = await until("an empty line", () => page.evaluate(async () => {
      const [upload] = (await import("/uploads/client/index.js")).uploads.uploads;
      return upload.progress.sent === upload.progress.received && { progress: upload.progress };
    }));
    assert.ok(progress.received > 1_000_000);
    await page.goto(plain(t.server));
    await page.waitForFunction(() => document.querySelector("#connection")?.dataset.on === "true");
    await pick(page, "video", path);
    await settled(page, "late.mp4");
    assert.deepEqual((await book(page)).resumes, [progress.received]);
    assert.deepEqual((await t.server.stored("video")).map((f) => f.sha256), [sha256(content)]);
    await sane(page);
  },

  async "an upload the server forgot starts over at byte 0"(t) {
    const page = await visit(t);
    t.server.proxy.brake(2_000_000);
    const content = video(8_000_000);
    await pick(page, "video", await file(t.path("forgotten.mp4"), content));
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_000_000);
    await t.server.stop();
    for (const name of await readdir(join(t.server.dir, "data"))) if (name !== "secret") await rm(join(t.server.dir, "data", name), { recursive: true, force: true });
    await t.server.start();
    t.server.proxy.rush();
    await settled(page, "forgotten.mp4");
    assert.deepEqual((await t.server.stored("video")).map((f) => f.sha256), [sha256(content)]);
    await sane(page);
  },

  async "without IndexedDB a drop is survived all the same"(t) {
    const page = await visit(t, {
      init: () => {
        IDBFactory.prototype.open = () => {
          throw new DOMException("blocked", "SecurityError");
        };
      },
    });
    t.server.proxy.brake(2_000_000);
    const content = video(6_000_000);
    await pick(page, "video", await file(t.path("nodb.mp4"), content));
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_000_000);
    t.server.proxy.cut();
    t.server.proxy.rush();
    await settled(page, "nodb.mp4");
    assert.ok((await book(page)).resumes[0] > 0);
    assert.deepEqual((await t.server.stored("video")).map((f) => f.sha256), [sha256(content)]);
    await sane(page);
  },

  async "small files that cannot be resumed start over after a cut"(t) {
    const page = await visit(t);
    t.server.proxy.brake(1_000_000);
    const text = "line\n".repeat(600_000);
    await pick(page, "documents", await file(t.path("again.txt"), text));
    await until("bytes", async () => (await book(page)).sent > 700_000);
    t.server.proxy.cut();
    t.server.proxy.rush();
    await settled(page, "again.txt");
    assert.deepEqual((await t.server.stored("documents")).map((f) => f.sha256), [sha256(text)]);
    await sane(page);
  },
};
