/** A network that lets no WebSocket through: files go over HTTP, until the page is loaded again. */
import assert from "node:assert/strict";
import { book, file, pick, plain, sane, settled, sha256, until, video, visit } from "../page.mjs";

/** The demo page behind a proxy that refuses upgrades. */
async function barred(t) {
  t.server.proxy.bar();
  const requests = [];
  const page = await visit(t, { before: (page) => page.on("request", (request) => requests.push([request.method(), new URL(request.url()).pathname])) });
  return { page, requests };
}

const received = (page) => page.evaluate(async () => {
  const { uploads } = await import("/uploads/client/index.js");
  return Math.max(0, ...uploads.uploads.map(({ progress }) => progress.received));
});

export default {
  async "PAGE-6: files go over HTTP byte for byte, and a page that is loaded again tries the socket"(t) {
    const { page, requests } = await barred(t);
    assert.equal((await book(page)).sockets, 2, "handshakes that failed");
    const content = video(6_000_001);
    t.server.proxy.rate = 6_000_000; // slow enough to be seen
    await pick(page, "video", [await file(t.path("barred.mp4"), content)]);
    await settled(page, "barred.mp4");
    assert.deepEqual((await t.server.stored("video")).map((stored) => stored.sha256), [sha256(content)]);
    assert.ok(requests.filter(([method]) => method === "PATCH").length > 1, "in pieces, so that progress is seen");
    assert.ok((await book(page)).events.filter(({ status, progress }) => status === "uploading" && progress > 0).length > 1);

    t.server.proxy.rush();
    t.server.proxy.unbar();
    await page.goto(plain(t.server));
    await page.waitForFunction(() => document.querySelector("#connection")?.dataset.on === "true");
    assert.equal((await book(page)).sockets, 1);
    const before = requests.length;
    await pick(page, "video", [await file(t.path("free.mp4"), video(1_000_000, 2))]);
    await settled(page, "free.mp4");
    assert.deepEqual(requests.slice(before).filter(([method]) => method === "PATCH"), []);
    await sane(page);
  },

  async "PAGE-3: what HTTP began, the socket of the next page finishes, and a restart of the server is survived"(t) {
    const { page } = await barred(t);
    const content = video(12_000_000);
    const path = await file(t.path("both.mp4"), content);
    t.server.proxy.rate = 3_000_000;
    await pick(page, "video", [path]);
    await until("bytes", async () => (await received(page)) > 1_000_000);
    await t.server.restart("SIGKILL");
    // More than had come before the restart: the last offsets over HTTP may not have been durable yet.
    await until("more bytes", async () => (await received(page)) > 5_000_000);
    t.server.proxy.unbar();
    await page.goto(plain(t.server));
    await page.waitForFunction(() => document.querySelector("#connection")?.dataset.on === "true");
    t.server.proxy.rush();
    await pick(page, "video", [path]);
    await settled(page, "both.mp4");
    const { resumes, sent } = await book(page);
    assert.ok(resumes[0] > 1_000_000 && sent < 11_000_000, `continued at ${resumes[0]}, sent ${sent}`);
    assert.deepEqual((await t.server.stored("video")).map((stored) => stored.sha256), [sha256(content)]);
    // A browser reports each answer that is an error, and these belong to a restart.
    page.trouble = page.trouble.filter((line) => !/responded with a status of (409|423|503)/.test(line));
    await sane(page);
  },
};
