/** The client without markup, the connection's manners, and presigned uploads. */
import assert from "node:assert/strict";
import { book, sane, sleep, until, visit } from "../page.mjs";

/** A page whose socket the test itself answers. */
async function mocked(t, answer, options = {}) {
  const sockets = [];
  const page = await visit(t, {
    connect: false,
    ...options,
    before: (page) =>
      page.routeWebSocket(/\/uploads\/ws/, (ws) => {
        sockets.push(ws);
        answer(ws, sockets.length, ws.url());
      }),
  });
  return { page, sockets };
}
const say = (ws, message) => ws.send(JSON.stringify(message));
const SLOT = { name: "documents", accept: ".txt", max_entries: 9, max_file_size: 1e9, chunk_size: 65536, auto_upload: true, resumable: true, allow_active_content: false };
const configs = (ws) => say(ws, { type: "upload_configs", protocol: 1, upload_configs: { documents: SLOT }, limits: {} });

export default {
  async "createUploads: add, iterate, await, fail"(t) {
    const page = await visit(t);
    const seen = await page.evaluate(async () => {
      const { createUploads, UploadError } = await import("/uploads/client/index.js");
      const uploads = createUploads({ url: "/uploads/ws" });
      const { documents } = await uploads.connect();
      const [good, bad] = uploads.add([new File(["words ".repeat(300_000)], "api.txt", { type: "text/plain" }), new File(["x"], "api.exe")], "documents");
      const [lost] = uploads.add([new File(["x"], "a")], "nowhere");
      const steps = [];
      for await (const { status, progress, ref } of good) steps.push({ status, progress, ref });
      const ending = await good.done;
      const code = await bad.done.catch((e) => (e instanceof UploadError ? e.code : e));
      const unknown = await lost.done.catch((e) => e.code);
      const event = await uploads.event("nothing").catch((e) => e.code);
      let calls = 0;
      uploads.on("progress", () => calls++)();
      const left = uploads.uploads.length;
      uploads.close();
      return { accept: documents.accept, steps, ending, result: good.result, code, unknown, event, calls, left, connected: uploads.connected };
    });
    assert.equal(seen.accept, ".pdf,.txt,.csv,.docx");
    assert.equal(seen.steps.at(-1).status, "complete");
    assert.equal(seen.steps.at(-1).progress, 100);
    assert.equal(seen.ending.status, "complete");
    assert.match(seen.ending.crc32c, /^[\da-f]{8}$/);
    assert.equal(seen.result.size, 1_800_000);
    assert.match(seen.result.path, /^documents\/.*api\.txt$/);
    assert.deepEqual([seen.code, seen.unknown, seen.event], ["type_not_accepted", "unknown_slot", "unknown_event"]);
    assert.deepEqual([seen.calls, seen.left, seen.connected], [0, 0, false]);
    assert.equal((await t.server.stored("documents")).length, 1);
    await sane(page);
  },

  async "importing it starts nothing, and one page has one socket"(t) {
    const page = await visit(t);
    assert.equal((await book(page)).sockets, 1);
    const own = await page.evaluate(async () => {
      const m = await import("/uploads/client/index.js?as=library");
      return m.uploads;
    });
    assert.equal(own, null);
    assert.equal((await book(page)).sockets, 1);
  },

  async "a token is asked for, and asked again when the server refuses it"(t) {
    const { page, sockets } = await mocked(t, (ws, n, url) => {
      const token = new URL(url).searchParams.get("token");
      if (token === "old") ws.close({ code: 4401 });
      else configs(ws);
    });
    const asked = await page.evaluate(async () => {
      const { createUploads } = await import("/uploads/client/index.js");
      const asked = [];
      const uploads = createUploads({ url: "/uploads/ws", token: async ({ refresh }) => (asked.push(refresh), refresh ? "new" : "old") });
      await uploads.connect();
      return asked;
    });
    assert.deepEqual(asked, [false, true]);
    assert.deepEqual(sockets.map((s) => new URL(s.url()).searchParams.get("token")).filter(Boolean), ["old", "new"]);
  },

  async "4401 without a token to offer stops, and says so"(t) {
    const { page, sockets } = await mocked(t, (ws) => ws.close({ code: 4401 }));
    await until("an error", async () => (await book(page)).errors.some((e) => e.code === "unauthenticated"));
    await sleep(1500);
    assert.equal(sockets.length, 1);
  },

  async "4408 on an idle page waits for work; 4429 waits long; 1012 returns soon"(t) {
    const idle = await mocked(t, configs);
    // The rows come later than the socket, and ask for it when they look for what an earlier page left.
    await idle.page.waitForFunction(() => performance.getEntriesByType("resource").some(({ name }) => name.endsWith("/rows.js")));
    await idle.page.waitForLoadState("networkidle");
    await until("a socket", () => idle.sockets.length === 1);
    await idle.sockets[0].close({ code: 4408 });
    await sleep(1800);
    assert.equal(idle.sockets.length, 1);
    await idle.page.evaluate(() => import("/uploads/client/index.js").then((m) => void m.uploads.event("wake").catch(() => {})));
    await until("a new socket", () => idle.sockets.length === 2);

    const abusive = await mocked(t, (ws) => {
      configs(ws);
      setTimeout(() => ws.close({ code: 4429 }), 100);
    });
    await sleep(3000);
    assert.equal(abusive.sockets.length, 1);

    const restarting = await mocked(t, (ws, n) => {
      configs(ws);
      if (n === 1) setTimeout(() => ws.close({ code: 1012 }), 100);
    });
    await until("a new socket", () => restarting.sockets.length === 2);
  },

  async "draining: reconnects when it is told to, and resumes"(t) {
    let told = 0;
    let back = 0;
    const heard = [];
    const { page } = await mocked(t, (ws, n) => {
      configs(ws);
      if (n > 1) back ||= Date.now();
      ws.onMessage((data) => {
        if (typeof data !== "string") return;
        const m = JSON.parse(data);
        heard.push(m.type);
        if (m.type === "upload_register") {
          say(ws, { type: "upload_registered", ref: m.ref, upload_name: m.upload_name, chunk_size: 65536, credit: 0, resumable: true, expires_in: 60 });
          told = Date.now();
          say(ws, { type: "draining", reconnect_after_ms: 1200 });
        }
        if (m.type === "upload_resume") say(ws, { type: "upload_resumed", ref: m.ref, status: "locked", bytes_received: 0, next_index: 0, chunks_received: [] });
      });
    });
    await page.evaluate(() => import("/uploads/client/index.js").then((m) => void m.uploads.add([new File(["hello"], "drain.txt")], "documents")));
    await until("the resume", () => heard.includes("upload_resume"));
    assert.ok(back - told >= 850, `${back - told} ms`);
  },

  async "offline it waits, online it returns at once, hidden or not; a server on this machine is not waited for"(t) {
    for (const hidden of [false, true]) {
      const { page, sockets } = await mocked(t, configs);
      const states = () => page.evaluate(() => [window.far.connection.state, window.near.connection.state]);
      await page.evaluate(async (hidden) => {
        const { createUploads } = await import("/uploads/client/index.js");
        if (hidden) Object.defineProperty(document, "hidden", { value: true });
        window.far = createUploads({ url: "ws://uploads.example/uploads/ws" });
        window.near = createUploads({ url: "/uploads/ws" });
        await Promise.all([far.connect(), near.connect()]);
      }, hidden);
      assert.deepEqual(await states(), ["open", "open"]);
      await page.context().setOffline(true);
      await until("offline", async () => (await states())[0] === "offline");
      const before = sockets.length;
      await sleep(2500);
      assert.equal(sockets.length, before, "no dialling while offline");
      assert.equal((await states())[1], "open");
      await page.context().setOffline(false);
      await until("connected", async () => (await states())[0] === "open", 10_000);
    }
  },

  async "an event's result is shown as text, by a template, or by the page itself"(t) {
    const { page } = await mocked(t, (ws) => {
      configs(ws);
      ws.onMessage((data) => {
        const m = JSON.parse(data);
        const result = { text: "Saved <b>", data: { n: 2 }, list: [{ of: { name: "a<i>" } }, { of: { name: "b" } }, {}] }[m.event];
        if (m.type === "event") say(ws, { type: "event_result", id: m.id, event: m.event, ok: result !== undefined, ...(result === undefined ? { code: "event_failed", error: "No room" } : { result }) });
      });
    });
    const box = (selector) => page.locator(selector);
    const shown = async (selector, text) => until(`${selector}: ${text}`, async () => (await box(selector).textContent()) === text);
    await page.evaluate(() => {
      const template = `<template><li dj-value="of.name">-</li></template>`;
      document.querySelector("main").insertAdjacentHTML("beforeend", `<button dj-click="text" id="a">a</button><p dj-result="text"></p><form dj-submit="data"><button id="b">b</button><output></output></form>
        <button dj-click="list" id="c">c</button><ul dj-result="list">${template}</ul><div id="own"><button dj-click="data" id="d">d</button></div><p dj-result="data">before</p>
        <form dj-submit="none"><button id="e">e</button><output>${template}</output></form>`);
      window.told = [];
      document.querySelector("#own").addEventListener("dj-result", (event) => {
        event.preventDefault();
        window.told.push(event.detail);
      });
    });
    await page.click("#a");
    await shown("[dj-result=text]", "Saved <b>");
    assert.equal(await box("[dj-result=text] b").count(), 0);
    await page.click("#b");
    await shown("form[dj-submit=data] output", "Done");
    for (let twice = 0; twice < 2; twice++) {
      await page.click("#c");
      await until("three items", async () => (await box("[dj-result=list] li").count()) === 3);
      assert.deepEqual(await box("[dj-result=list] li").allTextContents(), ["a<i>", "b", ""]);
      assert.equal(await box("[dj-result=list] i").count(), 0, "values are no markup");
    }
    await page.click("#d");
    await until("the page to be told", () => page.evaluate(() => window.told.length));
    assert.deepEqual(await page.evaluate(() => window.told), [{ event: "data", ok: true, result: { n: 2 } }]);
    assert.equal(await box("p[dj-result=data]").textContent(), "before");
    await page.click("#e");
    await shown("form[dj-submit=none] output", "No room");
    assert.equal(await box("form[dj-submit=none] output").getAttribute("data-ok"), "false");
  },

  async "what the application tells the page is an event, and shown where the page has a place for it"(t) {
    let told;
    const { page } = await mocked(t, (ws) => {
      configs(ws);
      told = ws;
    });
    await page.evaluate(() => {
      document.querySelector("main").insertAdjacentHTML("beforeend", `<p dj-result="scanned"><template><b dj-value="file"></b> is clean</template></p><p dj-result="other">before</p>`);
      window.pushes = [];
      for (const name of ["upload:push", "djust:upload:push"]) addEventListener(name, ({ detail: { event, value } }) => window.pushes.push({ event, value }));
    });
    await until("a connection", () => told);
    say(told, { type: "event_push", event: "scanned", value: { file: "a.jpg" } });
    await until("it is shown", async () => (await page.locator("[dj-result=scanned]").textContent()) === "a.jpg is clean");
    assert.equal(await page.locator("[dj-result=other]").textContent(), "before");
    const push = { event: "scanned", value: { file: "a.jpg" } };
    assert.deepEqual(await page.evaluate(() => window.pushes), [push, push]);
  },

  async "presigned: PUT with its fields, progress through the same events"(t) {
    const page = await visit(t);
    const puts = [];
    await page.route("**/bucket/**", async (route) => {
      const request = route.request();
      puts.push([request.method(), request.headers()["x-amz-meta-a"], request.headers()["content-type"], request.postDataBuffer()?.length]);
      await route.fulfill({ status: request.url().endsWith("no") ? 403 : 200 });
    });
    const seen = await page.evaluate(async () => {
      const { createUploads, uploads } = await import("/uploads/client/index.js");
      const file = new File(["x".repeat(500_000)], "direct.txt", { type: "text/plain" });
      const spec = { mode: "presigned", url: "/bucket/key", key: "key", fields: { "x-amz-meta-a": "1", "content-type": "text/plain", host: "elsewhere" } };
      const [marked] = uploads.add([{ file, spec }], "documents");
      await marked.done;
      const own = createUploads({ url: "/uploads/ws", slots: { documents: { presign: async (f) => ({ ...spec, url: f.name === "direct.txt" ? "/bucket/own" : "/bucket/no" }) } } });
      const [good] = own.add([file], "documents");
      const [bad] = own.add([new File(["y"], "refused.txt")], "documents");
      const ending = await good.done;
      const code = await bad.done.catch((e) => [e.code, e.retry]);
      own.close();
      return { ending, code };
    });
    assert.deepEqual(puts.sort((a, b) => b[3] - a[3]), [["PUT", "1", "text/plain", 500_000], ["PUT", "1", "text/plain", 500_000], ["PUT", "1", "text/plain", 1]]);
    assert.deepEqual(seen.ending.result, { key: "key" });
    assert.deepEqual(seen.code, ["storage_denied", "restart"]);
    const events = (await book(page)).events.filter((e) => e.name === "direct.txt");
    assert.ok(events.every((e) => e.mode === "presigned" || e.status === "queued"));
    assert.equal(events.at(-1).status, "complete");
    assert.equal((await book(page)).registered, 0);
  },
};
