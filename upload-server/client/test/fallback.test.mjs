/** Uploads of a page whose network lets no WebSocket through: a model of the server's HTTP side stands here. */
import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";
import { crc32c, crcHex } from "../crc32c.js";

const window = new EventTarget();
const page = Object.assign(new EventTarget(), { hidden: false, scripts: [] });

/** What the server knows, and what is in its way. */
let server;
const sockets = [];

/** A handshake that a proxy refuses. */
class Refused {
  constructor() {
    sockets.push(this);
    setImmediate(() => this.onclose?.({ code: 1006 }));
  }
  send() {}
  close() {}
}

function fresh() {
  return {
    uploads: new Map(),
    requests: [],
    unanswered: 0,
    slots: { video: { name: "video", accept: "", max_entries: 9, max_file_size: 1e9, chunk_size: 65536, auto_upload: true, resumable: true, allow_active_content: false } },
    /** Nothing answers at all. */
    down: false,
    /** Answers a request instead of the server: `(method, path, request) => Response | undefined`. */
    proxy: () => undefined,
  };
}

const own = (status, headers = {}, body = null) => new Response(body && JSON.stringify(body), { status, headers });
const refusal = (status, code, retry, headers = {}) => own(status, { "upload-code": code, ...headers }, { code, error: code, retry });

async function answer(url, { method = "GET", headers = {}, body } = {}) {
  const path = new URL(url).pathname;
  const asked = headers["x-http-method-override"] ?? method;
  server.requests.push({ method, asked, path, headers, size: body?.size });
  if (server.down) throw new TypeError("no answer");
  const proxied = server.proxy(method, path, { headers, body });
  if (proxied) return proxied;
  if (path === "/uploads/slots") return own(200, {}, { type: "upload_configs", upload_configs: server.slots, limits: {} });
  if (path === "/uploads/files") {
    const { ref, upload_name, client_size: size, client_name: name } = JSON.parse(body);
    if (name.endsWith(".exe")) return refusal(415, "type_not_accepted", "never");
    if (server.uploads.has(ref)) return refusal(409, "ref_in_use", "restart");
    server.uploads.set(ref, { size, bytes: [], length: 0, crc: 0, done: false });
    return own(201, { location: `/uploads/files/${upload_name}/${ref}` }, { ref, chunk_size: 65536, resumable: true, expires_in: 60 });
  }
  const ref = path.split("/").at(-1);
  const upload = server.uploads.get(ref);
  if (!upload) return refusal(404, "unknown_ref", "never");
  if (asked === "DELETE") {
    server.uploads.delete(ref);
    return own(204);
  }
  const state = { "upload-offset": String(upload.length), "upload-length": String(upload.size), "upload-complete": upload.done ? "?1" : "?0" };
  if (asked === "HEAD") return own(204, state);
  assert.equal(asked, "PATCH");
  assert.equal(headers["content-type"], "application/partial-upload");
  if (Number(headers["upload-offset"]) !== upload.length) return refusal(409, "offset_mismatch", "never", state);
  const bytes = new Uint8Array(await body.arrayBuffer());
  upload.bytes.push(bytes);
  upload.length += bytes.length;
  upload.crc = crc32c(bytes, upload.crc);
  if (headers["upload-complete"] === "?0") return own(204, { ...state, "upload-offset": String(upload.length) });
  if (upload.length !== upload.size) return refusal(400, "inconsistent_length", "never");
  if (headers["repr-digest"]) {
    const sent = Buffer.from(headers["repr-digest"].slice(8, -1), "base64").readUInt32BE();
    if (sent !== upload.crc) return refusal(400, "checksum_mismatch", "restart");
  }
  upload.done = true;
  return own(200, { "upload-complete": "?1" }, { ref, status: "complete", crc32c: crcHex(upload.crc), result: { path: "stored" } });
}

/** The signal ends a request as it does in a browser. */
function fetched(url, init = {}) {
  init.signal?.throwIfAborted();
  const asked = server;
  asked.unanswered++;
  return new Promise((done, fail) => {
    const abort = () => fail(init.signal.reason);
    init.signal?.addEventListener("abort", abort);
    const over = () => {
      asked.unanswered--;
      init.signal?.removeEventListener("abort", abort);
    };
    answer(String(url), init).finally(over).then((response) => {
      Object.defineProperty(response, "url", { value: String(url) });
      setImmediate(() => done(response));
    }, fail);
  });
}

const define = (name, value) => Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
for (const [name, value] of Object.entries({ document: page, navigator: { onLine: true }, location: { href: "http://uploads.example/" }, sessionStorage: {}, WebSocket: Refused, fetch: fetched })) define(name, value);
define("addEventListener", window.addEventListener.bind(window));

const { createUploads } = await import("../index.js");
const open = (options) => createUploads({ url: "/uploads/ws", clientId: "tab", ...options });
const content = (length) => new Uint8Array(length).map((_, i) => i * 7 + (i >> 9) + (i >> 17));
const film = (length, name = "film.mp4") => new File([content(length)], name, { type: "video/mp4", lastModified: 5 });
const stored = (ref) => Buffer.concat(server.uploads.get(ref).bytes);
const asked = (method) => server.requests.filter((request) => request.asked === method);

async function until(what, check, ms = 10_000) {
  for (const end = Date.now() + ms; !check(); await new Promise((done) => setTimeout(done, 2))) assert.ok(Date.now() < end, what);
}

beforeEach(() => {
  server = fresh();
  sockets.length = 0;
});

test("PAGE-6: after handshakes that failed while HTTP works, files go over HTTP", async () => {
  const uploads = open();
  const file = film(3_000_001);
  const [up] = uploads.add([file], "video");
  const ending = await up.done;
  assert.deepEqual(ending.result, { path: "stored" });
  assert.equal(up.progress.progress, 100);
  assert.ok(stored(up.ref).equals(Buffer.from(await file.arrayBuffer())));
  assert.equal(sockets.length, 2, "one failure alone may be a server that was starting");
  assert.ok(asked("PATCH").length > 2 && asked("PATCH").every(({ headers }) => headers["upload-client-id"] === "tab"));
  uploads.close();
});

test("an empty file and several files at once are stored", async () => {
  const uploads = open();
  const files = [film(0, "empty"), film(1, "one"), film(262_144, "piece"), film(700_000, "more")];
  const added = uploads.add(files, "video");
  await Promise.all(added.map((up) => up.done));
  for (const [i, up] of added.entries()) assert.ok(stored(up.ref).equals(Buffer.from(await files[i].arrayBuffer())), up.name);
  uploads.close();
});

test("while HTTP does not answer either, nothing but the socket is tried", async () => {
  server.down = true;
  const uploads = open();
  uploads.add([film(10)], "video");
  await until("tries", () => sockets.length >= 3);
  assert.ok(server.requests.every(({ path }) => path === "/uploads/slots"));
  uploads.close();
});

test("a page that wants no fallback has none", async () => {
  const uploads = open({ fallback: false });
  uploads.add([film(10)], "video");
  await until("tries", () => sockets.length >= 3);
  assert.deepEqual(server.requests, []);
  uploads.close();
});

test("a server that restarts in the middle is sent what is missing", async () => {
  const uploads = open();
  const file = film(5_000_000);
  const [up] = uploads.add([file], "video");
  await until("bytes", () => up.progress.received > 1_000_000);
  server.down = true;
  await until("the loss", () => up.status === "resuming");
  // What was not durable is gone, in the middle of a piece.
  const upload = [...server.uploads.values()][0];
  const kept = Buffer.concat(upload.bytes).subarray(0, upload.length - 100_001);
  Object.assign(upload, { bytes: [kept], length: kept.length, crc: crc32c(kept) });
  server.down = false;
  await up.done;
  assert.ok(stored(up.ref).equals(Buffer.from(await file.arrayBuffer())));
  assert.equal(server.uploads.size, 1);
  assert.ok(asked("HEAD").some(({ path }) => path.endsWith(up.ref)));
  uploads.close();
});

test("an answer that was lost is asked for again", async () => {
  let lose = true;
  const uploads = open();
  const [up] = uploads.add([film(300_000)], "video");
  server.proxy = (method, path, { headers, body }) => {
    if (!lose || headers["upload-complete"] !== "?1") return undefined;
    lose = false;
    const [upload] = server.uploads.values();
    return body.arrayBuffer().then((rest) => {
      upload.bytes.push(new Uint8Array(rest));
      Object.assign(upload, { length: upload.size, done: true });
      throw new TypeError("lost");
    });
  };
  assert.equal((await up.done).status, "complete");
  assert.equal(stored(up.ref).length, 300_000);
  uploads.close();
});

test("cancel without a connection, or while the server is asked how far it came, removes a file whose last byte had arrived", async () => {
  for (const isAsking of [false, true]) {
    server = fresh();
    let answerHead;
    const uploads = open();
    const [up] = uploads.add([film(300_000)], "video");
    server.proxy = (method, path, { headers }) => {
      const [upload] = server.uploads.values();
      if (headers["upload-complete"] === "?1") {
        Object.assign(upload, { length: upload.size, done: true });
        server.down = !isAsking;
        return Promise.reject(new TypeError("lost"));
      }
      if (method !== "HEAD" || !upload) return undefined;
      const whole = own(204, { "upload-offset": "300000", "upload-length": "300000", "upload-complete": "?1" });
      return new Promise((done) => (answerHead = () => done(whole)));
    };
    await until("the last byte", () => (isAsking ? answerHead : server.down));
    up.cancel();
    server.down = false;
    uploads.reconnect();
    answerHead?.();
    await until("its removal", () => !server.uploads.size);
    await until("silence", () => !server.unanswered);
    assert.deepEqual([up.status, uploads.totals.running], ["cancelled", 0]);
    const methods = server.requests.map((request) => request.asked);
    assert.equal(asked("DELETE").length, 1);
    assert.ok(methods.lastIndexOf("PATCH") < methods.indexOf("DELETE"), "nothing is sent after it");
    uploads.close();
  }
});

test("a file whose bytes come late continues although the line became faster", async () => {
  const uploads = open();
  const late = film(3_000_000, "late.mp4");
  let come;
  const gate = new Promise((done) => (come = done));
  const { slice } = late;
  late.slice = (...range) => {
    const part = slice.apply(late, range);
    const reader = part.stream().getReader({ mode: "byob" });
    part.stream = () => ({ getReader: () => ({ read: (into) => gate.then(() => reader.read(into)), cancel: () => reader.cancel() }) });
    return part;
  };
  const [a, up] = uploads.add([film(30_000_000, "a.mp4"), late], "video");
  await a.done;
  assert.deepEqual([up.status, up.progress.sent], ["uploading", 0]);
  come();
  await until("its end", () => up.status === "complete");
  uploads.close();
});

test("an upload that is paused while the line becomes faster continues", async () => {
  const uploads = open();
  const [a, up] = uploads.add([film(30_000_000, "a.mp4"), film(20_000_000, "b.mp4")], "video");
  server.proxy = (method, path) => void (method === "PATCH" && path.endsWith(up.ref) && up.pause());
  await a.done;
  server.proxy = () => undefined;
  assert.equal(up.paused, true);
  up.resume();
  await until("its end", () => up.status === "complete");
  assert.equal(stored(up.ref).length, 20_000_000);
  uploads.close();
});

test("a refusal ends the upload in the page's words", async () => {
  const uploads = open();
  const troubles = [];
  uploads.on("error", ({ code, error }) => troubles.push([code, error]));
  const [up] = uploads.add([film(10, "virus.exe")], "video");
  await assert.rejects(up.done, { code: "type_not_accepted", retry: "never" });
  assert.match(up.error.message, /type/i);
  assert.deepEqual(troubles, [["type_not_accepted", up.error.message]]);
  uploads.close();
});

test("a refusal in the middle of a file ends the upload", async () => {
  const uploads = open();
  server.proxy = (method, path, { headers }) => (Number(headers["upload-offset"]) > 500_000 ? refusal(415, "content_mismatch", "never") : undefined);
  const [up] = uploads.add([film(3_000_000)], "video");
  await assert.rejects(up.done, { code: "content_mismatch" });
  uploads.close();
});

test("another checksum than the page's starts the file over", async () => {
  let flip = true;
  const uploads = open();
  server.proxy = (method, path, { headers }) => {
    if (flip && headers["upload-complete"] === "?1") {
      flip = false;
      [...server.uploads.values()][0].crc ^= 1;
    }
    return undefined;
  };
  const file = film(300_000);
  const [up] = uploads.add([file], "video");
  const { ref } = up;
  await up.done;
  assert.notEqual(up.ref, ref);
  assert.ok(stored(up.ref).equals(Buffer.from(await file.arrayBuffer())));
  uploads.close();
});

test("pause holds an upload back, resume goes on, cancel and remove end it at the server", async () => {
  const uploads = open();
  const [up] = uploads.add([film(8_000_000)], "video");
  await until("bytes", () => up.progress.received > 0);
  up.pause();
  await until("silence", () => !server.unanswered);
  await new Promise((done) => setTimeout(done, 20));
  const paused = up.progress.received;
  await new Promise((done) => setTimeout(done, 50));
  assert.equal(up.progress.received, paused);
  up.resume();
  await until("more", () => up.progress.received > paused);
  up.cancel();
  assert.equal(up.status, "cancelled");
  await until("the server to know", () => !server.uploads.size);

  server.slots.video.consumes_on_complete = false;
  const again = open();
  const [kept] = again.add([film(1000)], "video");
  await kept.done;
  assert.equal(server.uploads.size, 1);
  kept.remove();
  await until("its removal", () => !server.uploads.size);
  for (const each of [uploads, again]) each.close();
});

test("a file that the server could not remove stays, and why is said; one that is not there is gone (PAGE-5)", async () => {
  server.slots.video.consumes_on_complete = false;
  const uploads = open();
  const told = [];
  const removed = [];
  uploads.on("error", ({ code }) => told.push(code));
  uploads.on("remove", ({ name }) => removed.push(name));
  const [up] = uploads.add([film(1000)], "video");
  await up.done;
  for (const [said, answers] of [
    ["storage_throttled", () => refusal(503, "storage_throttled", "later")],
    ["in_use", () => refusal(503, "locked", "later")],
    ["unreachable", () => new Response("<h1>403</h1>", { status: 403 })],
    ["unreachable", () => new Response("<h1>404</h1>", { status: 404 })],
  ]) {
    server.proxy = (method, path) => (path.endsWith(up.ref) ? answers() : undefined);
    up.remove();
    await until("the answer", () => told.length);
    assert.deepEqual([told.splice(0), up.removing, removed, uploads.finished()], [[said], false, [], [up.ref]]);
  }
  server.proxy = () => undefined;
  server.uploads.clear(); // another page removed it
  up.remove();
  await until("the removal", () => removed.length);
  assert.deepEqual([told, uploads.finished()], [[], []]);
  uploads.close();
});

test("a busy server is asked again when it said, and what it says is shown", async () => {
  let busy = 2;
  const uploads = open();
  const troubles = [];
  uploads.on("error", ({ code }) => troubles.push(code));
  server.proxy = (method) => (method === "PATCH" && busy-- > 0 ? refusal(503, "storage_full", "later", { "retry-after": "0.05" }) : undefined);
  const [up] = uploads.add([film(400_000)], "video");
  assert.equal((await up.done).status, "complete");
  assert.deepEqual(troubles, ["storage_full", "storage_full"]);
  uploads.close();
});

test("a proxy that takes little content is sent less, and one that bars methods is sent a disguise", async () => {
  const uploads = open();
  server.proxy = (method, path, { body }) => {
    if (method === "PATCH" || method === "DELETE") return new Response("<h1>405</h1>", { status: 405 });
    return body?.size > 100_000 ? new Response("<h1>413</h1>", { status: 413 }) : undefined;
  };
  const file = film(900_000);
  const [up] = uploads.add([file], "video");
  await up.done;
  assert.ok(stored(up.ref).equals(Buffer.from(await file.arrayBuffer())));
  assert.ok(asked("PATCH").some(({ method, size }) => method === "POST" && size <= 100_000));
  uploads.close();
});

test("events need a socket, and say so", async () => {
  const uploads = open();
  const [up] = uploads.add([film(10)], "video");
  await up.done;
  await assert.rejects(uploads.event("save"), { code: "unreachable", retry: "later" });
  assert.deepEqual(await uploads.earlier("video"), []);
  uploads.close();
});

test("a token that the server refuses is refreshed", async () => {
  let expired = false;
  const [tokens, plain] = [[], fetch];
  const uploads = open({ token: ({ refresh }) => (tokens.push(refresh), refresh ? "new" : "old") });
  server.proxy = () => undefined;
  define("fetch", (url, init) => (expired && !String(url).includes("token=new") ? Promise.resolve(own(401)) : plain(url, init)));
  const [up] = uploads.add([film(6_000_000)], "video");
  await until("bytes", () => up.progress.received > 0);
  expired = true;
  assert.deepEqual([(await up.done).status, tokens.includes(true)], ["complete", true]);
  define("fetch", plain);
  uploads.close();
});
