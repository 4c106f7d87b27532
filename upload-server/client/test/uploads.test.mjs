/** Uploads of a page and its one socket, without a browser: what they ask one for stands here. */
import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { ModelServer } from "./model.mjs";

const window = new EventTarget();
const page = Object.assign(new EventTarget(), { hidden: false, scripts: [] });
const system = { onLine: true };
const sockets = [];
let server = new ModelServer();
/** Closes what connects with this code, as a server or a proxy that lets no one in. */
let refuse = 0;

/** A socket to the model; what either says arrives with the next turn, in order. */
class Line {
  bufferedAmount = 0;
  constructor(url) {
    this.url = url;
    sockets.push(this);
    if (refuse) setImmediate(() => this.onclose?.({ code: refuse }));
    else setImmediate(() => (this.conn = server.connect((m) => setImmediate(() => this.onmessage?.({ data: JSON.stringify(m) })))));
  }
  send(data) {
    const sent = typeof data === "string" ? data : Uint8Array.from(data);
    this.bufferedAmount += data.length;
    setImmediate(() => {
      this.bufferedAmount -= sent.length;
      typeof sent === "string" ? this.conn.text(sent) : this.conn.binary(sent);
    });
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
for (const [name, value] of Object.entries({ document: page, navigator: system, location: { href: "http://uploads.example/" }, sessionStorage: {}, WebSocket: Line })) define(name, value);
define("addEventListener", window.addEventListener.bind(window));

/** The client as another tab has it: nothing is shared with the one before but the database and the server. */
async function tab(number, options = {}) {
  delete sessionStorage.uploadClient;
  const { createUploads } = await import(`../index.js?tab=${number}`);
  return createUploads({ url: "/uploads/ws", clientId: `tab ${number}`, ...options });
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
  first.pauseAll();
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

/** A file that can be resumed and then waits for its application. */
const clips = { accept: "", max_entries: 9, max_file_size: 1e9, resumable: true, consumes_on_complete: false };
const clip = (name = "clip.mp4") => new File([new Uint8Array(5_000_000).map((_, i) => i * 7 + (i >> 9))], name, { type: "video/mp4", lastModified: 5 });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/** A page whose upload was refused since another tab had it; that tab is gone now. */
async function refusedOnce(number) {
  server = new ModelServer({ slots: { clips } });
  define("indexedDB", database());
  const file = clip();
  const first = await tab(number);
  const [theirs] = first.add([file], "clips");
  await until("bytes", () => theirs.progress.sent > 1_000_000);
  first.pauseAll();
  await until("a record", () => indexedDB.rows.size);
  const second = await tab(number + 1);
  const [mine] = second.add([file], "clips");
  await assert.rejects(mine.done, { code: "locked" });
  first.close();
  await until("the server to notice", () => ![...server.uploads.values()][0].holder);
  return { second, mine, file };
}

test("a failed upload whose file was picked again is hidden without deleting it", async () => {
  const { second, mine, file } = await refusedOnce(90);
  const gone = [];
  second.on("remove", (upload) => gone.push(upload));
  const [again] = second.add([file], "clips");
  await again.done;
  assert.deepEqual([gone, second.failed], [[mine], []], "the new row continues it");
  mine.remove();
  await pause(50);
  assert.ok(server.uploads.has(again.ref));
  assert.deepEqual([second.finished("clips"), again.removing], [[again.ref], false]);
  second.close();
});

test("a retry of a failed upload leaves the one that continues alone", async () => {
  const { second, mine, file } = await refusedOnce(92);
  const [again] = second.add([file], "clips");
  await until("half of it", () => again.progress.received > 2_000_000);
  again.pause();
  const { ref } = again;
  mine.retry();
  again.resume();
  assert.equal((await again.done).status, "complete");
  assert.equal((await mine.done).status, "complete");
  assert.equal(again.ref, ref);
  assert.notEqual(mine.ref, ref);
  second.close();
});

test("a failed upload that is hidden and then retried by a script takes nothing from the one that continues", async () => {
  const { second, mine, file } = await refusedOnce(94);
  mine.remove();
  const [again] = second.add([file], "clips");
  await until("half of it", () => again.progress.received > 2_000_000);
  mine.retry();
  assert.deepEqual((await Promise.all([again.done, mine.done])).map(({ status }) => status), ["complete", "complete"]);
  assert.notEqual(mine.ref, again.ref);
  second.close();
});

test("a stored file of an earlier page is not taken up by the same file that is picked again", async () => {
  for (const isKnown of [true, false]) {
    server = new ModelServer({ slots: { clips } });
    define("indexedDB", database());
    const former = await tab(isKnown ? 96 : 98);
    const [left] = former.add([clip()], "clips");
    await until("a record", () => indexedDB.rows.size);
    const [record] = indexedDB.rows.values();
    await left.done;
    former.close();
    // The tab was gone before the receipt came.
    await until("its end", () => !indexedDB.rows.size);
    indexedDB.rows.set(left.ref, record);

    const uploads = await tab(isKnown ? 97 : 99);
    const finding = uploads.earlier("clips");
    if (isKnown) await finding;
    const [up] = uploads.add([clip()], "clips");
    await up.done;
    const shown = [...(await finding), up];
    assert.equal(new Set(shown.map(({ ref }) => ref)).size, shown.length, "one owner each");
    assert.deepEqual(new Set(uploads.finished("clips")), new Set(server.uploads.keys()));
    await until("nothing is left to be continued", () => !indexedDB.rows.size);
    if (isKnown) {
      assert.notEqual(up.ref, left.ref);
      up.remove();
      await until("its removal", () => !server.uploads.has(up.ref));
      assert.deepEqual([uploads.finished("clips"), [...server.uploads.keys()]], [[left.ref], [left.ref]]);
    }
    uploads.close();
  }
});

test("what ended since the server knows no one is hidden without cancelling it, and of two picks of its file one continues", async () => {
  server = new ModelServer({ slots: { clips } });
  define("indexedDB", undefined); // records live in memory, and lists of them come at once
  const uploads = await tab(100);
  const [left] = uploads.add([clip()], "clips");
  await until("bytes", () => left.progress.received > 1_000_000);
  sockets.at(-1).conn.close();
  sockets.at(-1).onclose({ code: 4401 });
  await assert.rejects(left.done, { code: "unauthenticated" });
  left.remove();
  const added = [...uploads.add([clip()], "clips"), ...uploads.add([clip()], "clips")];
  await Promise.all(added.map((up) => up.done));
  assert.notEqual(added[0].ref, added[1].ref);
  assert.ok(added.some(({ ref }) => ref === left.ref), "one continues");
  uploads.close();
});

test("of two uploads of one file, one takes up what a former page left", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const file = new File([new Uint8Array(4_000_000)], "twice.mp4", { type: "video/mp4", lastModified: 5 });
  const former = await tab(3);
  const [left] = former.add([file], "video");
  await until("bytes", () => left.progress.sent > 1_000_000);
  former.pauseAll();
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
  await assert.rejects(up.done, { code: "draining", retry: "later", message: "The server is restarting" });
  up.retry();
  assert.deepEqual((await up.done).result, { key: "key" });
  uploads.close();
});

/** A bucket that answers each request at once with the next of these, and the last one again and again. */
function bucket(...statuses) {
  const puts = [];
  define(
    "XMLHttpRequest",
    class {
      upload = {};
      open(method, url) {
        puts.push(this);
        Object.assign(this, { method, url });
      }
      send() {
        const [status] = statuses.length > 1 ? statuses.splice(0, 1) : statuses;
        if (status !== "never") setImmediate(() => this.end(status));
      }
      end(status) {
        this.status = status;
        this.onloadend();
      }
      abort() {
        this.end(0);
      }
    },
  );
  return puts;
}

const direct = { accept: "", max_entries: 9, max_file_size: 1e9, direct: true };
const signature = { url: "http://bucket/key", key: "key", fields: {} };

test("a signature that cannot be asked for just now may be asked for again", async () => {
  server = new ModelServer({ slots: { reports: direct } });
  bucket(200);
  const answers = [
    () => Promise.reject(new TypeError("no answer")),
    () => new Response("<h1>Bad gateway</h1>", { status: 502 }),
    () => new Response("<h1>Sign in to this network</h1>"),
    () => new Response("", { status: 401 }),
    () => Response.json(signature),
  ];
  define("fetch", async () => answers.shift()());
  const uploads = await tab(90);
  const [up] = uploads.add([new File(["x"], "a.txt")], "reports");
  for (const code of ["unreachable", "unreachable", "unreachable", "unauthenticated"]) {
    await assert.rejects(up.done, { code, retry: "later" });
    up.retry();
  }
  assert.deepEqual((await up.done).result, { key: "key" });
  uploads.close();
});

test("what a page's own function cannot sign ends, and so does a file that the bucket does not answer", async () => {
  server = new ModelServer();
  const puts = bucket(0, 403, 500, 200);
  const signed = [() => Promise.reject(), () => Promise.reject(new TypeError("no answer")), () => Promise.reject({ code: "forbidden", error: "Not yours" })];
  const uploads = await tab(91, { slots: { documents: { presign: () => (signed.shift() ?? (() => signature))() } } });
  const [up] = uploads.add([new File(["x"], "a.txt")], "documents");
  for (const [code, retry] of [["unreachable", "later"], ["unreachable", "later"], ["forbidden", "never"], ["unreachable", "later"], ["storage_denied", "restart"], ["storage_failed", "restart"]]) {
    await assert.rejects(up.done, { code, retry });
    up.retry();
  }
  assert.deepEqual([(await up.done).result, puts.length], [{ key: "key" }, 4]);
  uploads.close();
});


/** Sockets of a page that wants one, while time is in the test's hands. */
async function dialling(number, act, options = {}) {
  server = new ModelServer();
  define("indexedDB", database());
  sockets.length = 0;
  // Where a handshake fails, HTTP does not work either: there is nothing to fall back to.
  define("fetch", () => Promise.reject(new TypeError("no answer")));
  mock.timers.enable({ apis: ["setTimeout"] });
  const turns = async () => {
    for (let i = 0; i < 9; i++) await new Promise((done) => setImmediate(done));
  };
  const pass = async (ms) => {
    mock.timers.tick(ms);
    await turns();
  };
  const uploads = await tab(number, options);
  void uploads.connect();
  try {
    await act(uploads, pass);
  } finally {
    uploads.close();
    mock.timers.reset();
    refuse = 0;
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

test("a file for a bucket waits while there is no connection, as others do", () =>
  dialling(92, async (uploads, pass) => {
    server = new ModelServer({ slots: { reports: direct } });
    await pass(1);
    const asked = [];
    define("fetch", async (url) => (asked.push(new URL(url).pathname), system.onLine ? Response.json(signature) : Promise.reject(new TypeError("no answer"))));
    bucket(200);
    system.onLine = false;
    fire(window, "offline");
    const [up] = uploads.add([new File(["x"], "a.txt")], "reports");
    await pass(5000);
    assert.deepEqual([up.status, asked], ["queued", []]);
    system.onLine = true;
    fire(window, "online");
    await pass(1);
    assert.equal((await up.done).status, "complete");
    assert.deepEqual(asked, ["/uploads/presign"]);
  }));

test("an attempt that has ended is stopped, and what it brings later belongs to no other", () =>
  dialling(93, async (uploads, pass) => {
    server = new ModelServer({ slots: { reports: direct } });
    const puts = bucket("never");
    const sent = async (count) => {
      for (let i = 0; i < 100 && puts.length < count; i++) await pass(1);
      assert.equal(puts.length, count);
    };
    define("fetch", async () => Response.json(signature));
    const [up] = uploads.add([new File(["x"], "a.txt")], "reports");
    await sent(1);
    puts[0].abort = () => {}; // a browser that is slow to stop
    sockets[0].onclose({ code: 4401 });
    await assert.rejects(up.done, { code: "unauthenticated" });
    up.retry();
    await sent(2);
    puts[0].end(500);
    await pass(1);
    assert.equal(up.status, "uploading");
    puts[1].end(200);
    assert.equal((await up.done).status, "complete");
    const [last] = uploads.add([new File(["y"], "b.txt")], "reports");
    await sent(3);
    uploads.close();
    await assert.rejects(last.done, { code: "session_closed" });
    assert.equal(puts[2].status, 0, "it is stopped");
  }));


/** A file that is shown and cannot be opened: browsers say 0 bytes, and its slices and streams end at once. */
function unreadable(name) {
  const file = new File([], name, { lastModified: 5 });
  file.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotFoundError"));
  return file;
}

test("a file that cannot be opened ends as unreadable and is never stored empty, over the socket and directly", async () => {
  server = new ModelServer({ slots: { reports: { accept: "", max_entries: 9, max_file_size: 1e9, direct: true } } });
  define("indexedDB", database());
  let puts = 0;
  define("fetch", async () => new Response(JSON.stringify({ url: "http://bucket/key", key: "key" })));
  define(
    "XMLHttpRequest",
    class {
      upload = {};
      status = 200;
      open() {}
      send() {
        puts++;
        setImmediate(() => this.onloadend());
      }
    },
  );
  const uploads = await tab(9);
  const added = [...uploads.add([unreadable("a.pdf"), new File([], "empty.pdf")], "documents"), ...uploads.add([unreadable("b.pdf"), new File([], "empty.pdf")], "reports")];
  const ends = await Promise.all(added.map((up) => up.done.then((ending) => ending.status, (e) => e.code)));
  assert.deepEqual(ends, ["file_unreadable", "complete", "file_unreadable", "complete"]);
  assert.deepEqual([...server.uploads.values()].map((up) => up.name), ["empty.pdf"]);
  assert.equal(puts, 1);
  uploads.close();
});

test("what could not be added is reported as errors with a count", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const uploads = await tab(10);
  const told = [];
  const intake = [];
  uploads.on("error", ({ code, slot, count, error }) => told.push([code, slot, count, error]));
  uploads.on("intake", (what) => intake.push(what));
  const items = Array.from({ length: 20_003 }, (_, i) => ({ kind: "file", getAsFile: () => (i < 2 ? null : new File(["x"], `${i}.exe`)) }));
  const added = await uploads.addFrom({ items }, "documents");
  assert.equal(added.length, 20_000);
  assert.deepEqual(intake, [{ slot: "documents", added: 20_000, companions: 0, unreadable: 2, beyond: 1 }]);
  assert.deepEqual(told.slice(0, 2), [
    ["file_unreadable", "documents", 2, "2 files or folders could not be opened"],
    ["too_many_files", "documents", 1, "One file was left out: at most 20000 can be added at once"],
  ]);
  uploads.close();
});

/** A drop of a folder that is listed when the test says so. */
function slowFolder(...files) {
  let list;
  const entries = files.map((file) => ({ name: file.name, isFile: true, fullPath: `/f/${file.name}`, file: (done, fail) => (file.isShut ? fail() : done(file)) }));
  const batches = new Promise((done) => (list = () => done([entries, []])));
  const readEntries = (done) => void batches.then((left) => done(left.shift()));
  const folder = { name: "f", isDirectory: true, fullPath: "/f", createReader: () => ({ readEntries }) };
  return { list, drop: { items: [{ kind: "file", getAsFile: () => null, webkitGetAsEntry: () => folder }] } };
}

test("start starts what is there at once, and waits for a folder that is still being read", async () => {
  server = new ModelServer({ slots: { later: { accept: "", max_entries: 9, max_file_size: 1e9, auto_upload: false } } });
  define("indexedDB", database());
  const uploads = await tab(101);
  const { list, drop } = slowFolder(new File(["b"], "b.txt"));
  const [a] = uploads.add([new File(["a"], "a.txt")], "later");
  void uploads.addFrom(drop, "later");
  assert.deepEqual(["later", "documents", undefined].map((slot) => uploads.reading(slot).length), [1, 0, 1]);
  let isOver = false;
  const started = uploads.start("later").then(() => (isOver = true));
  await a.done;
  await uploads.start("documents");
  assert.equal(isOver, false);
  list();
  await started;
  assert.deepEqual([uploads.reading(), [...server.uploads.values()].map(({ name }) => name)], [[], ["a.txt", "b.txt"]]);
  uploads.close();
});

/** A form without a browser; `posts` has what it would name, `said` what it says. */
function formOf(uploads, slot) {
  const [posts, said] = [[], []];
  const output = { childNodes: [], dataset: {}, querySelector: () => null, append: (text) => said.push(text) };
  const form = { ariaBusy: null, hasAttribute: () => false, querySelector: () => output, requestSubmit: () => submit() };
  async function submit() {
    const event = Object.assign(new Event("submit", { cancelable: true }), { submitter: null });
    Object.defineProperty(event, "target", { value: form });
    const { hold } = await import("../forms.js");
    const held = hold(uploads, event, [slot]);
    if (!event.defaultPrevented) posts.push(uploads.finished(slot));
    await held;
  }
  return { posts, said, submit };
}

test("a form waits for a folder that is still being read, and a page asks before it is left", async () => {
  server = new ModelServer({ slots: { clips } });
  define("indexedDB", database());
  const uploads = await tab(102);
  const { attend } = await import("../attend.js");
  const leave = attend(uploads);
  const isAsked = () => {
    const event = new Event("beforeunload", { cancelable: true });
    window.dispatchEvent(event);
    return event.defaultPrevented;
  };
  const { posts, submit } = formOf(uploads, "clips");
  const { list, drop } = slowFolder(new File(["a"], "a.mp4"), new File(["b"], "b.mp4"));
  assert.equal(isAsked(), false);
  void uploads.addFrom(drop, "clips");
  assert.equal(isAsked(), true);
  const sent = submit();
  await pause(50);
  assert.deepEqual(posts, []);
  list();
  await sent;
  await until("the form", () => posts.length);
  assert.deepEqual([posts, isAsked()], [[[...server.uploads.keys()]], false]);
  assert.equal(posts[0].length, 2);
  leave();
  uploads.close();
});

test("a form whose folder has a file that is refused or cannot be opened names it, is not sent, and is sent the next time", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const uploads = await tab(103);
  const { posts, said, submit } = formOf(uploads, "documents");
  const shut = Object.assign(new File(["x"], "shut.txt"), { isShut: true });
  const { list, drop } = slowFolder(new File(["a"], "a.exe"), shut, new File(["b"], "b.txt"));
  void uploads.addFrom(drop, "documents");
  const sent = submit();
  await uploads.connect();
  list();
  await sent;
  assert.deepEqual(posts, []);
  assert.match(said.join(), /^One file or folder could not be opened\. a\.exe: /);
  await submit();
  assert.equal(posts.length, 1);
  uploads.close();
});

test("no timer is between an answer and the next frame: a hidden page whose timers do not fire sends all the same", () =>
  dialling(11, async (uploads, pass) => {
    await pass(1);
    const file = new File([new Uint8Array(24_000_000).map((_, i) => i * 31 + (i >> 11))], "hidden.mp4", { lastModified: 5 });
    const [up] = uploads.add([file], "video");
    page.hidden = true; // and from here on no timer fires
    assert.equal((await up.done).status, "complete");
    assert.ok(server.content(up.ref).equals(Buffer.from(await file.arrayBuffer())));
  }));

test("a finished upload is a small frozen record, and is reported as complete once", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const uploads = await tab(12);
  const told = [];
  uploads.on("progress", (up) => told.push(up.status));
  const [up] = uploads.add([new File([new Uint8Array(700_000)], "a.txt")], "documents");
  await up.done;
  await new Promise((done) => setTimeout(done, 200));
  assert.equal(told.filter((status) => status === "complete").length, 1, String(told));
  assert.ok(Object.isFrozen(up.progress));
  assert.equal(up.progress, up.progress, "made once");
  assert.deepEqual([up.progress.sent, up.progress.received, up.progress.stored, up.progress.progress], [700_000, 700_000, 700_000, 100]);
  uploads.close();
});

test("a blob without a name is an error and the file after it is stored; what is no file is refused at once", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const uploads = await tab(13);
  const [bad, good, named] = uploads.add([{ file: new Blob(["x"]) }, new File(["x"], "good.txt"), { file: new Blob(["x"]), name: "named.txt" }], "documents");
  await assert.rejects(bad.done, { code: "bad_name" });
  assert.equal((await good.done).status, "complete");
  assert.equal((await named.done).status, "complete");
  assert.deepEqual([...server.uploads.values()].map((stored) => stored.name), ["good.txt", "named.txt"]);
  for (const no of [undefined, null, "a.txt", {}]) assert.throws(() => uploads.add([no], "documents"), TypeError);
  uploads.close();
});

test("cancel, pause and resume without a ref do nothing", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const uploads = await tab(14);
  const [up] = uploads.add([new File(["x"], "a.txt")], "documents");
  for (const act of ["cancel", "pause", "resume"]) uploads[act](undefined);
  assert.deepEqual([up.ended, up.paused], [false, false]);
  assert.equal((await up.done).status, "complete");
  uploads.close();
});

test("start resolves without anything to start, and when what it waits for is paused", async () => {
  server = new ModelServer({ slots: { later: { accept: "", max_entries: 4, max_file_size: 1e9, auto_upload: false } } });
  define("indexedDB", database());
  const uploads = await tab(15);
  await uploads.start();
  await uploads.start("later");
  const [first, second] = uploads.add([new File(["x"], "a.txt"), new File(["y"], "b.txt")], "later");
  second.pause();
  await uploads.start("later");
  assert.deepEqual([first.status, second.status, second.paused], ["complete", "queued", true]);
  second.resume();
  await uploads.start("later");
  assert.equal(second.status, "complete");
  uploads.close();
});

test("where the server knows no one, every promise settles (CONN-2)", () =>
  dialling(16, async (uploads, pass) => {
    refuse = 4401;
    const told = [];
    uploads.on("error", ({ code }) => told.push(code));
    const [up] = uploads.add([new File(["x"], "a.txt")], "documents");
    const ends = [up.done, uploads.connect(), uploads.event("save")].map((promise) => assert.rejects(promise, { code: "unauthenticated", retry: "later" }));
    const started = uploads.start("documents");
    await pass(1);
    await Promise.all(ends);
    await started;
    assert.deepEqual(told, ["unauthenticated"]);
    assert.equal(uploads.connection.state, "unauthenticated");
    await pass(600_000);
    assert.equal(sockets.length, 1, "no more tries");
    refuse = 0;
    up.retry();
    await pass(1);
    assert.equal((await up.done).status, "complete");
  }));

test("a try that a visitor asks for does not wait for the refusals before it (CONN-2)", () =>
  dialling(22, async (uploads, pass) => {
    refuse = 4401;
    uploads.on("error", () => {});
    const settles = async () => {
      const refused = assert.rejects(uploads.connect(), { code: "unauthenticated" });
      let ms = 0;
      do {
        await pass(100);
        ms += 100;
      } while (uploads.connection.state !== "unauthenticated" && ms < 60_000);
      await refused;
      return ms;
    };
    const first = await settles();
    assert.equal(sockets.length, 4, "three more tries, each with a new token");
    const second = await settles();
    assert.equal(sockets.length, 8);
    assert.ok(first < 10_000 && second < 10_000, `${first} and ${second} ms`);
  }, { token: () => "" }));

test("close ends what is there, and nothing starts after it", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const uploads = await tab(17);
  await uploads.connect();
  const [up] = uploads.add([new File([new Uint8Array(3_000_000)], "a.mp4")], "video");
  uploads.close();
  await assert.rejects(up.done, { code: "session_closed" });
  await assert.rejects(uploads.add([new File(["x"], "b.txt")], "documents")[0].done, { code: "session_closed" });
  await assert.rejects(uploads.event("save"), { code: "session_closed" });
});

test("cancel all, a signal, close, and removing each start nothing that waited", async () => {
  const queue = { accept: "", max_entries: 200, max_file_size: 1e6 };
  const ends = [
    (uploads) => uploads.cancelAll(),
    (uploads) => uploads.cancelAll("queue"),
    (uploads, stop) => stop.abort(),
    (uploads) => uploads.uploads.forEach((upload) => upload.remove()), // as the widget does when its form is reset
    (uploads) => uploads.close(),
  ];
  for (const [i, end] of ends.entries()) {
    server = new ModelServer({ slots: { queue } });
    define("indexedDB", database());
    let asked = 0;
    const stop = new AbortController();
    const before = () => (asked++, new Promise(() => {}));
    const uploads = await tab(100 + i, { slots: { queue: { before } } });
    const files = Array.from({ length: 100 }, (_, n) => new File(["x"], `${n}.txt`));
    const added = uploads.add(files, "queue", { signal: stop.signal });
    await until("three of them", () => asked === 3);
    end(uploads, stop);
    await Promise.allSettled(added.map((up) => up.done));
    await new Promise((done) => setTimeout(done, 5));
    assert.deepEqual([asked, server.uploads.size, uploads.totals.running], [3, 0, 0], String(end));
    uploads.close();
  }
});

test("what a listener cancels when another one starts is not started, even if files have an order", async () => {
  server = new ModelServer({ slots: { queue: { accept: "", max_entries: 9, max_file_size: 1e6 } } });
  define("indexedDB", database());
  const asked = [];
  const before = ({ name }) => {
    asked.push(name);
    if (name === "1.txt") throw new Error("Not this one");
  };
  const uploads = await tab(94, { slots: { queue: { before } }, order: (a, b) => a.name.localeCompare(b.name) });
  const added = uploads.add(["1.txt", "2.txt", "3.txt", "4.txt"].map((name) => new File([name], name)), "queue");
  uploads.on("error", ({ upload }) => upload === added[0] && added[1].cancel());
  const ends = await Promise.all(added.map((up) => up.done.then(({ status }) => status, ({ code }) => code)));
  assert.deepEqual(ends, ["rejected", "cancelled", "complete", "complete"]);
  assert.deepEqual(asked, ["1.txt", "3.txt", "4.txt"], "each is asked about once");
  assert.deepEqual([...server.uploads.values()].map(({ name }) => name), ["3.txt", "4.txt"]);
  uploads.close();
});

test("a listener may try again at once what failed", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const uploads = await tab(95);
  const file = unreadable("gone.txt");
  const [up] = uploads.add([file], "documents");
  const first = up.done;
  uploads.on("error", () => {
    file.arrayBuffer = async () => new ArrayBuffer(0);
    up.retry();
  });
  await assert.rejects(first, { code: "file_unreadable" });
  assert.equal((await up.done)?.status, "complete");
  uploads.close();
});


test("a server that cannot be reached is an error after three tries, once, and tries continue", () =>
  dialling(18, async (uploads, pass) => {
    refuse = 1006;
    const told = [];
    uploads.on("error", ({ code, retry, upload }) => told.push([code, retry, upload]));
    await pass(1);
    await pass(500);
    assert.deepEqual(told, []);
    assert.equal(uploads.connection.state, "waiting");
    assert.ok(uploads.connection.retryAt > 0);
    for (let i = 0; i < 40; i++) await pass(5000);
    assert.deepEqual(told, [["unreachable", "later", undefined]]);
    const before = sockets.length;
    assert.ok(before > 6, `${before} tries`);
    refuse = 0;
    uploads.reconnect();
    await pass(1);
    assert.deepEqual([sockets.length, uploads.connected, uploads.connection.state], [before + 1, true, "open"]);
  }));

test("an event that cannot be sent ends by its signal, or after a while, and is not sent later", () =>
  dialling(19, async (uploads, pass) => {
    refuse = 1006;
    const signal = new AbortController();
    const aborted = uploads.event("save", {}, { signal: signal.signal });
    const late = uploads.event("save");
    await pass(1);
    signal.abort();
    await assert.rejects(aborted, { code: "cancelled" });
    await Promise.all([assert.rejects(late, { code: "unreachable", retry: "later" }), pass(31_000)]);
    const events = [];
    uploads.on("event", ({ event }) => events.push(event));
    refuse = 0;
    uploads.reconnect();
    await pass(1);
    assert.deepEqual([uploads.connected, events], [true, []]);
    assert.deepEqual(await uploads.event("hello", { a: 1 }), { a: 1 });
  }));

test("a server on this machine is dialled whatever the browser says of the network", () => {
  location.href = "http://localhost:8080/";
  return dialling(20, async (uploads, pass) => {
    system.onLine = false;
    await pass(1);
    assert.equal(uploads.connected, true);
    fire(window, "offline");
    assert.equal(uploads.connected, true);
  }).finally(() => (location.href = "http://uploads.example/"));
});

test("totals know what is done, what failed and what waits, and failures are retried together", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const uploads = await tab(21);
  const files = [new File(["x"], "a.txt"), new File(["x"], "b.exe"), new File(["yy"], "c.txt"), unreadable("d.txt")];
  const added = uploads.add(files, "documents");
  assert.deepEqual([uploads.totals.files, uploads.totals.waiting], [4, 4]);
  await Promise.allSettled(added.map((up) => up.done));
  const { files: all, done, failed, running, waiting, bytes, receivedBytes, bytesPerSecond } = uploads.totals;
  assert.deepEqual([all, done, failed, running, waiting, bytes, receivedBytes, bytesPerSecond], [4, 2, 2, 0, 0, 3, 3, 0]);
  assert.deepEqual(uploads.failed.map((up) => [up.name, up.error.code]), [["b.exe", "type_not_accepted"], ["d.txt", "file_unreadable"]]);
  files[3].arrayBuffer = async () => new ArrayBuffer(0);
  uploads.retryAll();
  assert.equal((await added[3].done).status, "complete");
  assert.deepEqual(uploads.failed.map((up) => up.name), ["b.exe"], "what can never succeed is not retried");
  added[1].remove();
  assert.equal(uploads.totals.failed, 0);
  uploads.close();
});

test("a refusal names the limit, in the page's own words where it has some", async () => {
  server = new ModelServer({ slots: { small: { accept: ".txt,image/*", max_entries: 2, max_file_size: 1_500_000 } } });
  define("indexedDB", database());
  delete sessionStorage.uploadClient;
  const { createUploads } = await import("../index.js?tab=22");
  const texts = { too_many_entries: "Höchstens {limit} Dateien" };
  const uploads = createUploads({ url: "/uploads/ws", clientId: "tab 22", texts });
  const refused = (file) => uploads.add([file], "small")[0].done.catch((error) => error.message);
  const held = uploads.add([new File(["a"], "1.txt"), new File(["b"], "2.txt"), new File(["c"], "3.txt")], "small");
  assert.equal(await held[2].done.catch((error) => error.message), "Höchstens 2 Dateien");
  await Promise.all([held[0].done, held[1].done]);
  assert.equal(await refused(new File([new Uint8Array(1_600_000)], "big.txt")), "1.6 MB is too large: at most 1.5 MB is allowed");
  assert.equal(await refused(new File(["x"], "a.pdf", { type: "application/pdf" })), "This type is not accepted: only TXT, images");
  uploads.close();
});

test("where completion frees places, more files than there are places wait for one", async () => {
  server = new ModelServer({ slots: { queue: { accept: "", max_entries: 2, max_file_size: 1e6, consumes_on_complete: true } } });
  define("indexedDB", database());
  const uploads = await tab(23);
  const added = uploads.add(Array.from({ length: 9 }, (_, i) => new File([String(i)], `${i}.txt`)), "queue");
  let most = 0;
  uploads.on("progress", () => (most = Math.max(most, added.filter((up) => up.status === "uploading").length)));
  await Promise.all(added.map((up) => up.done));
  assert.equal(most, 2);
  uploads.close();
});

test("before it is sent a file may be changed, renamed, left out or refused by the page, and counts as what it became", async () => {
  server = new ModelServer({ slots: { queue: { accept: ".txt", max_entries: 9, max_file_size: 5 } } });
  define("indexedDB", database());
  delete sessionStorage.uploadClient;
  const { createUploads } = await import("../index.js?tab=24");
  const before = async ({ file, name }) => {
    if (name === "out.txt") return null;
    if (name === "bad.txt") throw new Error("Not this one");
    if (name === "long.txt") return new File(["123456"], "long.txt");
    if (name === "made.txt") return { file: new Blob(["abc"]), name: "new.txt", meta: { size: file.size } };
    return undefined;
  };
  const uploads = createUploads({ url: "/uploads/ws", clientId: "tab 24", slots: { queue: { before } } });
  const removed = [];
  uploads.on("remove", ({ name }) => removed.push(name));
  const names = ["made.txt", "same.txt", "out.txt", "bad.txt", "long.txt"];
  const added = uploads.add(names.map((name) => new File(["x"], name)), "queue");
  const endings = await Promise.all(added.map((up) => up.done.then(({ status }) => status, ({ code, message }) => [code, message])));
  assert.deepEqual(endings, ["complete", "complete", ["cancelled", "Cancelled"], ["rejected", "Not this one"], ["too_large", "6 B is too large: at most 5 B is allowed"]]);
  assert.deepEqual([...server.uploads.values()].map(({ name, size }) => [name, size]), [["new.txt", 3], ["same.txt", 1]]);
  assert.deepEqual([added[0].name, removed], ["new.txt", ["out.txt"]]);
  assert.deepEqual([uploads.totals.bytes, uploads.totals.done, uploads.totals.failed], [4, 2, 2]);
  uploads.close();
});

test("a file is changed before it is sent also when it is tried again", async () => {
  for (const isLate of [false, true]) {
    let open;
    let asked = 0;
    const gate = new Promise((done) => (open = done));
    const before = () => (asked++, gate.then(() => new File(["small"], "small.txt")));
    await dialling(96 + isLate, async (uploads, pass) => {
      await pass(1);
      sockets[0].onclose({ code: 4408 });
      refuse = 4401;
      const [up] = uploads.add([new File(["large"], "big.txt")], "documents");
      await Promise.all([assert.rejects(up.done, { code: "unauthenticated" }), pass(1)]);
      assert.equal(asked, 1, "it began while the page dialled");
      const answer = async () => {
        open();
        await pass(1);
      };
      if (!isLate) await answer();
      refuse = 0;
      up.retry();
      await pass(1);
      if (isLate) await answer();
      assert.equal((await up.done).status, "complete");
      await pass(1);
      assert.deepEqual([namesAtServer(), asked, up.name], [["small.txt"], 2, "small.txt"]);
      assert.deepEqual(server.violations, []);
    }, { slots: { documents: { before } } });
  }
});

test("a file that the page refused is asked about again when it is tried again, and is never sent as it was", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  let refusals = 1;
  const before = async () => {
    if (refusals--) throw new Error("Not yet");
    return new File(["small"], "small.txt");
  };
  const uploads = await tab(98, { slots: { documents: { before } } });
  const [up] = uploads.add([new File(["large"], "big.txt")], "documents");
  await assert.rejects(up.done, { code: "rejected" });
  up.retry();
  await up.done;
  assert.deepEqual(namesAtServer(), ["small.txt"]);
  uploads.close();
});


test("a slot has its own concurrency, uploads their order, and a signal cancels what was added with it", async () => {
  server = new ModelServer({ slots: { queue: { accept: "", max_entries: 50, max_file_size: 1e6 } } });
  define("indexedDB", database());
  delete sessionStorage.uploadClient;
  const { createUploads } = await import("../index.js?tab=25");
  const uploads = createUploads({ url: "/uploads/ws", clientId: "tab 25", slots: { queue: { concurrency: 1 } }, order: (a, b) => a.file.size - b.file.size });
  const ended = [];
  uploads.on("progress", (up) => up.status === "complete" && ended.push(up.file.size));
  const added = uploads.add([30, 20, 10].map((size) => new File(["x".repeat(size)], `${size}.txt`)), "queue");
  const stop = new AbortController();
  const [late] = uploads.add([new File(["y".repeat(90)], "late.txt")], "queue", { signal: stop.signal });
  stop.abort();
  await assert.rejects(late.done, { code: "cancelled" });
  await Promise.all(added.map((up) => up.done));
  assert.deepEqual(ended, [10, 20, 30]);
  uploads.close();
});

test("a page's policy says when a failure is tried again", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  delete sessionStorage.uploadClient;
  const { createUploads } = await import("../index.js?tab=26");
  const asked = [];
  const retry = ({ code, tries }) => (asked.push([code, tries]), tries < 2 ? 5 : null);
  const uploads = createUploads({ url: "/uploads/ws", clientId: "tab 26", retry });
  const file = unreadable("gone.txt");
  const [upload] = uploads.add([file], "documents");
  await upload.done.catch(() => {});
  for (let i = 0; i < 100 && asked.length < 3; i++) await new Promise((done) => setTimeout(done, 10));
  assert.deepEqual(asked, [["file_unreadable", 0], ["file_unreadable", 1], ["file_unreadable", 2]]);
  assert.equal(uploads.failed.length, 1);
  uploads.close();
});

test("a finished upload that waits is named with events, found again by another page, and removed at the server", async () => {
  const waiting = { accept: "", max_entries: 9, max_file_size: 1e6, consumes_on_complete: false };
  server = new ModelServer({ slots: { queue: waiting, other: waiting, one: { ...waiting, max_entries: 1 } } });
  define("indexedDB", database());
  const uploads = await tab(27);
  const [a, b] = uploads.add([new File(["a"], "a.txt"), new File(["b"], "b.txt")], "queue");
  const [c] = uploads.add([new File(["c"], "c.txt")], "other");
  await Promise.all([a.done, b.done, c.done]);
  assert.deepEqual(uploads.finished("queue"), [a.ref, b.ref]);
  await uploads.event("look", {}, { slots: ["other"] });
  assert.deepEqual(server.named, [c.ref], "those of its slots");

  const gone = [];
  uploads.on("remove", ({ name }) => gone.push(name));
  a.remove();
  assert.equal(a.removing, true);
  for (let i = 0; i < 100 && !gone.length; i++) await new Promise((done) => setTimeout(done, 5));
  assert.deepEqual([gone, server.uploads.has(a.ref)], [["a.txt"], false]);

  await uploads.event("take");
  assert.deepEqual([server.named.length, b.taken, c.taken, uploads.finished()], [2, true, true, []], "what a handler took is no longer the page's");

  const [first] = uploads.add([new File(["1"], "first.txt")], "one");
  await first.done;
  const other = await tab(28);
  const [found] = await other.earlier("one");
  assert.deepEqual([found.name, found.ref, found.status, other.finished("one")], ["first.txt", first.ref, "complete", [first.ref]]);
  assert.deepEqual(await other.earlier("one"), [], "once");
  const [second] = await other.addFrom([new File(["2"], "second.txt")], "one", { replace: true });
  await second.done;
  assert.deepEqual([...server.uploads.values()].map(({ name }) => name), ["second.txt"]);
  uploads.close();
  other.close();
});

test("a file that the server could not remove stays, and why is said (COMPLETE-7)", async () => {
  server = new ModelServer({ slots: { queue: { accept: "", max_entries: 9, max_file_size: 1e6, consumes_on_complete: false } } });
  define("indexedDB", database());
  const { connect } = server;
  let refusal;
  server.connect = (send) => connect.call(server, (m) => send(refusal && m.status === "cancelled" ? { type: "error", ref: m.ref, ...refusal } : m));
  const uploads = await tab(99);
  const told = [];
  const removed = [];
  uploads.on("error", ({ code, error, retry, slot }) => told.push([code, error, retry, slot]));
  uploads.on("remove", ({ name }) => removed.push(name));
  const [up] = uploads.add([new File(["a"], "a.txt")], "queue");
  await up.done;
  const stored = server.uploads.get(up.ref);
  for (const [code, said, error] of [
    ["storage_throttled", "storage_throttled", "The server's storage is busy"],
    ["draining", "draining", "The server is restarting"],
    ["locked", "in_use", "It is being saved right now. Try again"],
  ]) {
    refusal = { code, error: code, retry: "later" };
    server.uploads.set(up.ref, stored);
    up.remove();
    await until("the answer", () => told.length);
    assert.deepEqual(told.splice(0), [[said, error, "later", "queue"]]);
    assert.deepEqual([up.removing, uploads.finished(), removed], [false, [up.ref], []], code);
  }
  // It is gone when the next try comes, which is as good.
  up.remove();
  await until("the removal", () => removed.length);
  assert.deepEqual([told, uploads.finished()], [[], []]);
  uploads.close();
});


test("an event whose answer was lost is sent again, and says what the first took; what another page removed is no longer there", async () => {
  const waiting = { accept: "", max_entries: 9, max_file_size: 1e6, consumes_on_complete: false };
  server = new ModelServer({ slots: { queue: waiting } });
  define("indexedDB", database());
  const uploads = await tab(29);
  const named = (answer) => Object.fromEntries(["offered", "taken", "before", "unknown"].map((key) => [key, answer[key].map(({ name }) => name)]));
  const [a, b] = uploads.add([new File(["a"], "a.txt"), new File(["b"], "b.txt")], "queue");
  await Promise.all([a.done, b.done]);
  server.uploads.delete(b.ref); // by another page
  server.losesAnswers = true;
  const lost = uploads.event("take", {}, { slots: ["queue"] });
  for (let i = 0; i < 100 && !server.gone.size; i++) await new Promise((done) => setTimeout(done, 5));
  sockets.at(-1).onclose({ code: 1006 });
  await assert.rejects(lost, { code: "session_closed", retry: "later" });
  server.losesAnswers = false;
  const removed = [];
  uploads.on("remove", ({ name }) => removed.push(name));
  assert.deepEqual(named(await uploads.answer("take", {}, { slots: ["queue"] })), { offered: [], taken: ["a.txt"], before: [], unknown: ["b.txt"] });
  assert.deepEqual([a.taken, removed, uploads.finished()], [true, ["b.txt"], []]);
  assert.deepEqual(named(await uploads.answer("take", {}, { slots: ["queue"] })), { offered: [], taken: [], before: ["a.txt"], unknown: [] }, "a double click");
  assert.deepEqual(named(await uploads.answer("look")), { offered: [], taken: [], before: [], unknown: [] }, "an event that is not about these slots");
  const [c] = uploads.add([new File(["c"], "c.txt")], "queue");
  await c.done;
  assert.deepEqual(named(await uploads.answer("take", {}, { slots: ["queue"] })), { offered: ["c.txt"], taken: [], before: [], unknown: [] });
  uploads.close();
});

test("an event waits for what an earlier page left, if that is being looked for", async () => {
  server = new ModelServer({ slots: { queue: { accept: "", max_entries: 9, max_file_size: 1e6, consumes_on_complete: false } } });
  define("indexedDB", database());
  const [before, after] = [await tab(30), await tab(31)];
  await before.add([new File(["d"], "d.txt")], "queue")[0].done;
  void after.earlier("queue");
  const { offered } = await after.answer("take", {}, { slots: ["queue"] });
  assert.deepEqual(offered.map(({ name }) => name), ["d.txt"]);
  before.close();
  after.close();
});

test("a refusal in the application's own words is shown as it is (MSG-4)", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  const { connect } = server;
  const words = { code: "forbidden", reason: "upgrade", error: "Your plan has no uploads", retry: "never" };
  server.connect = (send) => connect.call(server, (m) => send(m.type === "upload_registered" ? { type: "upload_progress", ref: m.ref, status: "error", progress: 0, ...words } : m));
  const uploads = await tab(71);
  const troubles = [];
  uploads.on("error", ({ code, reason, error }) => troubles.push({ code, reason, error }));
  const [up] = uploads.add([new File(["x"], "a.txt")], "documents");
  const { error: message, code, reason } = words;
  await assert.rejects(up.done, { code, reason, message });
  assert.deepEqual(troubles, [{ code, reason, error: message }]);
  uploads.close();
});

test("a failure is said in the language that the page has now, and the application's own words stay", async () => {
  server = new ModelServer({ slots: { texts: { accept: ".txt", max_entries: 9, max_file_size: 2 } } });
  define("indexedDB", database());
  const uploads = await tab(72, { slots: { texts: { before: ({ name }) => name === "own.txt" && Promise.reject(new Error("Not this one")) } } });
  const [large, own] = uploads.add([new File(["large"], "large.txt"), new File(["x"], "own.txt")], "texts");
  await assert.rejects(large.done, { message: "5 B is too large: at most 2 B is allowed" });
  await assert.rejects(own.done, { message: "Not this one" });
  uploads.setLanguage((await import("../languages/de.js")).default);
  assert.deepEqual([large.error.message, own.error.message], ["5 B ist zu groß: höchstens 2 B sind erlaubt", "Not this one"]);
  uploads.close();
});

test("what the application tells its pages arrives, and so does a handler's own code", async () => {
  server = new ModelServer();
  define("indexedDB", database());
  let say;
  const { connect } = server;
  server.connect = (send) => {
    say = send;
    const conn = connect.call(server, send);
    return { ...conn, text: (raw) => {
      const { type, id, event } = JSON.parse(raw);
      if (type === "event") send({ type: "event_result", id, event, ok: false, code: "event_failed", reason: "album_full", error: "The album is full" });
    } };
  };
  const uploads = await tab(72);
  const pushes = [];
  uploads.on("push", ({ event, value }) => pushes.push({ event, value }));
  await assert.rejects(uploads.event("save"), { code: "event_failed", reason: "album_full", message: "The album is full" });
  say({ type: "event_push", event: "scanned", value: { clean: true } });
  await until("it", () => pushes.length);
  assert.deepEqual(pushes, [{ event: "scanned", value: { clean: true } }]);
  uploads.close();
});

const one = { accept: ".txt", max_entries: 1, max_file_size: 9, consumes_on_complete: false };
const namesAtServer = () => [...server.uploads.values()].map(({ name }) => name);

test("a file that is picked before the first connection is shown at once, and the next pick replaces it in a slot of one", () =>
  dialling(80, async (uploads, pass) => {
    server = new ModelServer({ slots: { one } });
    refuse = 1006;
    await pass(1);
    const told = [];
    for (const name of ["add", "remove"]) uploads.on(name, (upload) => told.push([name, upload.name, upload.status]));
    const pick = (name) => uploads.addFrom([new File([name], name)], "one", { replace: true });
    void pick("1.txt");
    void pick("2.txt");
    const third = pick("3.txt");
    assert.deepEqual(told.splice(0), [["add", "1.txt", "queued"], ["add", "2.txt", "queued"], ["add", "3.txt", "queued"]]);
    refuse = 0;
    uploads.reconnect();
    await pass(1);
    const [upload] = await third;
    assert.equal((await upload.done).status, "complete");
    assert.deepEqual(told, [["remove", "1.txt", "cancelled"], ["remove", "2.txt", "cancelled"]]);
    assert.deepEqual([namesAtServer(), uploads.finished("one")], [["3.txt"], [upload.ref]]);
  }));

test("a file that is picked while an earlier page's is being looked for replaces it in a slot of one", async () => {
  server = new ModelServer({ slots: { one } });
  define("indexedDB", database());
  const before = await tab(81);
  await before.add([new File(["1"], "first.txt")], "one")[0].done;
  before.close();
  const uploads = await tab(82);
  void uploads.earlier("one");
  const [second] = await uploads.addFrom([new File(["2"], "second.txt")], "one", { replace: true });
  await second.done;
  assert.deepEqual([namesAtServer(), uploads.finished("one")], [["second.txt"], [second.ref]]);
  uploads.close();
});

test("a file that the rules refuse replaces nothing in a slot of one", async () => {
  server = new ModelServer({ slots: { one } });
  define("indexedDB", database());
  const uploads = await tab(83);
  const pick = async (name, size) => (await uploads.addFrom([new File(["x".repeat(size)], name)], "one", { replace: true }))[0];
  const first = await pick("first.txt", 1);
  await first.done;
  await assert.rejects((await pick("large.txt", 10)).done, { code: "too_large" });
  await assert.rejects((await pick("first.exe", 1)).done, { code: "type_not_accepted" });
  assert.deepEqual([namesAtServer(), uploads.finished("one"), first.removing], [["first.txt"], [first.ref], false]);
  const second = await pick("second.txt", 1);
  await second.done;
  assert.deepEqual([namesAtServer(), uploads.failed], [["second.txt"], []], "and a good one replaces all");
  uploads.close();
});

test("complete is reported once, whatever happens to the file afterwards", async () => {
  server = new ModelServer({ slots: { queue: { accept: "", max_entries: 9, max_file_size: 1e6, consumes_on_complete: false } } });
  define("indexedDB", database());
  const uploads = await tab(84);
  const complete = [];
  const changes = [];
  uploads.on("progress", ({ name, status }) => status === "complete" && complete.push(name));
  uploads.on("change", ({ name, removing, taken }) => changes.push([name, removing, taken]));
  const [a, b] = uploads.add([new File(["a"], "a.txt"), new File(["b"], "b.txt")], "queue");
  await Promise.all([a.done, b.done]);
  a.remove();
  await until("its removal", () => !server.uploads.has(a.ref));
  await uploads.event("take");
  await until("the taking", () => b.taken);
  assert.deepEqual(complete, ["a.txt", "b.txt"]);
  assert.deepEqual(changes, [["a.txt", true, false], ["b.txt", false, true]]);
  uploads.close();
});

test("an event is unreachable after a while even if an earlier page's files are looked for, and is not sent later", () =>
  dialling(85, async (uploads, pass) => {
    refuse = 1006;
    uploads.earlier("documents").catch(() => {});
    const signal = new AbortController();
    const aborted = assert.rejects(uploads.event("save", {}, { signal: signal.signal }), { code: "cancelled" });
    const late = assert.rejects(uploads.event("save"), { code: "unreachable", retry: "later" });
    await pass(1);
    signal.abort();
    await aborted;
    await pass(31_000);
    await late;
    const events = [];
    uploads.on("event", ({ event }) => events.push(event));
    refuse = 0;
    uploads.reconnect();
    await pass(1);
    assert.deepEqual([uploads.connected, events], [true, []]);
  }));
