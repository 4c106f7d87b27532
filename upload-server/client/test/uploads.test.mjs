/** Uploads of a page and its one socket, without a browser: what they ask one for stands here. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { ModelServer } from "./model.mjs";

const window = new EventTarget();
const page = Object.assign(new EventTarget(), { hidden: false, scripts: [] });
const system = { onLine: true };
const sockets = [];
let server = new ModelServer();

/** A socket to the model; what either says arrives with the next turn, in order. */
class Line {
  bufferedAmount = 0;
  constructor(url) {
    this.url = url;
    sockets.push(this);
    setImmediate(() => (this.conn = server.connect((m) => setImmediate(() => this.onmessage?.({ data: JSON.stringify(m) })))));
  }
  send(data) {
    const sent = typeof data === "string" ? data : Uint8Array.from(data);
    setImmediate(() => (typeof sent === "string" ? this.conn.text(sent) : this.conn.binary(sent)));
  }
  close() {
    setImmediate(() => this.conn?.close());
  }
}

/** One database for all tabs, as pages of one origin have. */
function database() {
  const rows = new Map();
  const request = (result) => {
    const r = { result, onsuccess() {} };
    setImmediate(() => r.onsuccess());
    return r;
  };
  const store = {
    put: (row) => request(void rows.set(row.ref, row)),
    delete: (ref) => request(void rows.delete(ref)),
    getAll: () => request([...rows.values()]),
  };
  return { rows, open: () => request({ transaction: () => ({ objectStore: () => store }) }) };
}

const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
for (const [name, value] of Object.entries({ document: page, navigator: system, location: { href: "http://localhost/" }, sessionStorage: {}, WebSocket: Line })) define(name, value);
define("addEventListener", window.addEventListener.bind(window));

/** The client as another tab has it: nothing is shared with the one before but the database and the server. */
async function tab(number) {
  delete sessionStorage.uploadClient;
  const { createUploads } = await import(`../index.js?tab=${number}`);
  return createUploads({ url: "/uploads/ws" });
}

async function until(what, check, ms = 10_000) {
  for (const end = Date.now() + ms; !check(); await new Promise((done) => setTimeout(done, 2))) assert.ok(Date.now() < end, what);
}

test("an upload that ended as locked goes on when it is tried again, once the other tab is gone", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const file = new File([new Uint8Array(5_000_000).map((_, i) => i * 7 + (i >> 9))], "shared.mp4", { type: "video/mp4", lastModified: 5 });
  const first = await tab(1);
  const [theirs] = first.add([file], "video");
  await until("bytes", () => theirs.progress.sent > 1_000_000);
  first.pause();
  await until("a record", () => indexedDB.rows.size);
  const second = await tab(2);
  const [mine] = second.add([file], "video");
  await assert.rejects(mine.done, { code: "locked" });
  assert.equal(indexedDB.rows.size, 1, "the record is kept");
  first.close();
  await until("the server to notice", () => ![...server.uploads.values()][0].holder);
  const { taken } = server;
  assert.ok(taken > 0);
  mine.retry();
  assert.equal((await mine.done).status, "complete");
  assert.equal(mine.ref, theirs.ref);
  assert.equal(server.taken, file.size, "no byte was sent twice");
  assert.ok(server.content(mine.ref).equals(Buffer.from(await file.arrayBuffer())));
  assert.deepEqual([server.uploads.size, server.violations], [1, []]);
  second.close();
});

test("of two uploads of one file, one takes up what a former page left", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const file = new File([new Uint8Array(4_000_000)], "twice.mp4", { type: "video/mp4", lastModified: 5 });
  const former = await tab(3);
  const [left] = former.add([file], "video");
  await until("bytes", () => left.progress.sent > 1_000_000);
  former.pause();
  await until("a record", () => indexedDB.rows.size);
  former.close();
  await until("the server to notice", () => ![...server.uploads.values()][0].holder);
  const uploads = await tab(4);
  const added = uploads.add([file, file], "video");
  await Promise.all(added.map((up) => up.done));
  assert.deepEqual(added.map((up) => up.ref === left.ref), [true, false]);
  assert.equal(server.taken, 2 * file.size);
  uploads.close();
});

test("a refused signature says whether it is worth asking again (MSG-3)", async () => {
  server = new ModelServer({ slots: { reports: { accept: "", max_entries: 9, max_file_size: 1e9, direct: true } } });
  const answers = [
    [503, { code: "draining", error: "Server is restarting", retry: "later" }],
    [200, { url: "http://bucket/key", key: "key", fields: {} }],
  ];
  define("fetch", async () => {
    const [status, body] = answers.shift();
    return new Response(JSON.stringify(body), { status });
  });
  define(
    "XMLHttpRequest",
    class {
      upload = {};
      status = 200;
      open() {}
      send() {
        setImmediate(() => this.onloadend());
      }
    },
  );
  const uploads = await tab(8);
  const [up] = uploads.add([new File(["x"], "a.txt")], "reports");
  await assert.rejects(up.done, { code: "draining", retry: "later", message: "Server is restarting" });
  up.retry();
  assert.deepEqual((await up.done).result, { key: "key" });
  uploads.close();
});

/** Sockets of a page that wants one, while time is in the test's hands. */
async function dialling(number, act) {
  server = new ModelServer();
  define("indexedDB", database());
  sockets.length = 0;
  mock.timers.enable({ apis: ["setTimeout"] });
  const turns = async () => {
    for (let i = 0; i < 9; i++) await new Promise((done) => setImmediate(done));
  };
  const pass = async (ms) => {
    mock.timers.tick(ms);
    await turns();
  };
  const uploads = await tab(number);
  void uploads.connect();
  try {
    await act(uploads, pass);
  } finally {
    uploads.close();
    mock.timers.reset();
    system.onLine = true;
    page.hidden = false;
  }
}

const fire = (target, name) => target.dispatchEvent(new Event(name));

test("a hidden page that was offline connects when it is online again", () =>
  dialling(5, async (uploads, pass) => {
    await pass(1);
    assert.deepEqual([sockets.length, uploads.connected], [1, true]);
    page.hidden = true;
    system.onLine = false;
    fire(window, "offline");
    await pass(5000);
    assert.deepEqual([sockets.length, uploads.connected], [1, false], "no dialling while offline");
    system.onLine = true;
    fire(window, "online");
    await pass(1);
    assert.deepEqual([sockets.length, uploads.connected], [2, true]);
  }));

test("without the event it is noticed after a while that a page is online", () =>
  dialling(6, async (uploads, pass) => {
    system.onLine = false;
    await pass(120_000);
    assert.equal(sockets.length, 0, "no dialling while offline");
    system.onLine = true;
    await pass(30_000);
    assert.deepEqual([sockets.length, uploads.connected], [1, true]);
  }));

test("a page that becomes visible dials at once, one that becomes hidden does not", () =>
  dialling(7, async (uploads, pass) => {
    await pass(1);
    sockets[0].onclose({ code: 1006 });
    await pass(1);
    page.hidden = true;
    fire(page, "visibilitychange");
    await pass(1);
    assert.equal(sockets.length, 1);
    page.hidden = false;
    fire(page, "visibilitychange");
    await pass(1);
    assert.deepEqual([sockets.length, uploads.connected], [2, true]);
  }));
