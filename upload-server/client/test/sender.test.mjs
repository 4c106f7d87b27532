// The sender against scripted servers: credit, gaps, resumes, endings.
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c, crcHex } from "../crc32c.js";
import { Sender } from "../sender.js";
import { ModelServer, decodeFrame } from "./model.mjs";

/** Bytes from a hash of the offset, so that swapped or repeated chunks cannot hide. */
function content(length, seed = 1) {
  const bytes = new Uint8Array(length);
  for (let i = 0; i < length; i++) bytes[i] = Math.imul((i >>> 0) ^ (seed * 0x9e3779b1), 0x85ebca6b) >>> 24;
  return bytes;
}

const random = (seed) => () => {
  seed = (seed + 0x6d2b79f5) | 0;
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};

const uuid = (n) => `00000000-0000-4000-8000-${n.toString(16).padStart(12, "0")}`;

/** A driver with two one-way queues in between, so that a cut loses what is under way. */
class Rig {
  now = 0;
  log = [];
  endings = [];
  refs = 1;
  up = [];
  down = [];
  server;
  conn = null;
  reads = [];
  constructor(file, { slot = "video", server = new ModelServer(), ...options } = {}) {
    this.file = file;
    this.server = server;
    const config = server.configs[slot];
    this.sender = new Sender({
      ref: uuid(1), slot, name: "a.mp4", type: "video/mp4", size: file.length, chunkSize: config.chunk_size, resumable: config.resumable,
      clientId: "tab", newRef: () => uuid(++this.refs), ...options,
    });
  }
  connect() {
    const link = { open: true };
    this.conn = Object.assign(this.server.connect((m) => link.open && this.down.push(structuredClone(m))), { link });
    this.sender.handleConnected(this.now);
    this.drain();
  }
  cut() {
    const conn = this.conn;
    this.conn = null;
    conn.link.open = false;
    conn.close();
    this.up = [];
    this.down = [];
    this.sender.handleDisconnected(this.now);
    this.drain();
  }
  drain() {
    for (let o; (o = this.sender.poll()); ) {
      this.log.push(o.type === "progress" ? `progress ${this.sender.status}` : o.type);
      if (o.type === "message") this.up.push(JSON.stringify(o.message));
      if (o.type === "frame") this.up.push(o.frame.slice());
      if (o.type === "read") this.reads.push(o);
      if (o.type === "done") this.endings.push(o.ending);
    }
  }
  frame() {
    const f = this.sender.pollFrame();
    if (f) this.up.push(f.slice());
    this.drain();
    return f;
  }
  read() {
    const r = this.reads.shift();
    if (r) this.sender.handleData(r.offset, this.file.slice(r.offset, r.offset + r.length), this.now);
    this.drain();
    return r;
  }
  toServer() {
    const m = this.up.shift();
    if (m !== undefined && this.conn) typeof m === "string" ? this.conn.text(m) : this.conn.binary(m);
    return m;
  }
  toClient() {
    const m = this.down.shift();
    if (m) this.sender.handleMessage(m, this.now);
    this.drain();
    return m;
  }
  step() {
    this.now += 1;
    const due = this.sender.pollTimeout();
    if (due !== null && due > this.now) this.now = due;
    this.sender.handleTimeout(this.now);
    this.drain();
    return [this.read(), this.frame(), this.toServer(), this.toClient()].some(Boolean);
  }
  run(until = () => this.sender.finished, steps = 200_000) {
    for (let i = 0; i < steps && !until(); i++) this.step();
    assert.ok(until(), `not there after ${steps} steps: ${this.log.slice(-20)}`);
    return this;
  }
}

const stored = (rig) => rig.server.content(rig.sender.ref);

test("a file goes up whole, with its CRC32C in the complete frame (CHUNK-1, COMPLETE-2)", () => {
  for (const size of [0, 1, 65535, 65536, 65537, 3_000_001]) {
    const rig = new Rig(content(size));
    rig.connect();
    rig.run();
    assert.equal(rig.endings[0].status, "complete");
    assert.equal(rig.endings[0].crc32c, crcHex(crc32c(rig.file)));
    assert.deepEqual(stored(rig), Buffer.from(rig.file));
    assert.equal(rig.sender.phase, "done");
    assert.deepEqual(rig.server.violations, []);
  }
});

test("never a byte at or past the credit, even one that cuts a chunk (CREDIT-1)", () => {
  const rig = new Rig(content(500_000), { server: new ModelServer({ window: 100_000 }) });
  rig.connect();
  rig.toServer();
  while (rig.toClient());
  while (rig.read());
  while (rig.frame());
  assert.equal(rig.sender.sent, 100_000);
  rig.run();
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
  assert.deepEqual(rig.server.violations, []);
});

test("reads run a bounded way ahead of sending", () => {
  const rig = new Rig(content(5_000_000));
  rig.connect();
  rig.toServer();
  while (rig.toClient());
  let ahead = 0;
  for (let r; (r = rig.read()); ) ahead = r.offset + r.length;
  assert.ok(ahead <= 1_572_864, `read ${ahead} bytes ahead`);
});

test("a drop is resumed at the server's byte, with the next index of CHUNK-4, re-reading little", () => {
  const rig = new Rig(content(6_000_000), { server: new ModelServer({ window: 1 << 20 }) });
  rig.connect();
  rig.run(() => rig.sender.received > 3_000_000);
  const { received } = rig.sender;
  rig.cut();
  assert.equal(rig.sender.status, "resuming");
  const from = rig.log.length;
  rig.connect();
  rig.run(() => rig.sender.status === "uploading");
  const reads = rig.log.slice(from).filter((l) => l === "read").length;
  assert.ok(reads <= 4, `${reads} reads`);
  assert.ok(rig.sender.received >= received);
  rig.run();
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
  assert.equal(rig.server.taken, rig.file.length, "no byte twice");
});

test("an offset that is no multiple of the chunk size continues there (CHUNK-4)", () => {
  const rig = new Rig(content(1_000_000), { server: new ModelServer({ window: 150_001 }) });
  rig.connect();
  rig.run(() => rig.sender.received > 100_000);
  while (rig.read() || rig.frame() || rig.toServer());
  rig.cut();
  const up = rig.server.uploads.get(uuid(1));
  assert.notEqual(up.received % 65536, 0);
  rig.connect();
  rig.run();
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("a restarted server that kept less is given it again", () => {
  const rig = new Rig(content(6_000_000), { server: new ModelServer({ window: 1 << 20 }) });
  rig.connect();
  rig.run(() => rig.sender.received > 3_000_000);
  rig.cut();
  rig.server.restart();
  rig.connect();
  rig.run();
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("a changed prefix is noticed and starts over under a new ref (RESUME-6)", () => {
  const rig = new Rig(content(2_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  rig.cut();
  const again = new Rig(content(2_000_000, 2), { server: rig.server, ref: rig.sender.ref, resume: true });
  again.refs = 10;
  again.connect();
  again.run();
  assert.equal(again.sender.ref, uuid(11));
  assert.ok(!rig.server.uploads.has(uuid(1)), "the old upload is cancelled");
  assert.deepEqual(stored(again), Buffer.from(again.file));
});

test("a reload that finds the same file goes on without sending the prefix", () => {
  const rig = new Rig(content(2_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  rig.cut();
  const again = new Rig(rig.file, { server: rig.server, ref: rig.sender.ref, resume: true });
  assert.equal(again.sender.status, "resuming");
  again.connect();
  again.run();
  assert.equal(rig.server.taken, rig.file.length);
  assert.deepEqual(stored(again), Buffer.from(rig.file));
});

test("a completed upload answers its receipt to a resume (COMPLETE-4)", () => {
  const rig = new Rig(content(700_000));
  rig.connect();
  rig.run();
  rig.cut();
  const again = new Rig(rig.file, { server: rig.server, ref: uuid(1), resume: true });
  again.connect();
  again.run();
  assert.equal(again.endings[0].status, "complete");
  assert.deepEqual(again.endings[0].result, rig.endings[0].result);
  assert.equal(rig.server.taken, rig.file.length);
});

test("not_found starts over at byte 0 (RESUME-5)", () => {
  const rig = new Rig(content(700_000), { ref: uuid(5), resume: true });
  rig.connect();
  rig.run();
  assert.equal(rig.sender.ref, uuid(5));
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("another tab is locked out (RESUME-4)", () => {
  const rig = new Rig(content(2_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  const other = new Rig(rig.file, { server: rig.server, ref: uuid(1), resume: true, clientId: "other" });
  other.connect();
  other.run();
  assert.equal(other.endings[0].code, "locked");
  assert.equal(other.endings[0].status, "error");
  rig.run();
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("superseded does not fight back", () => {
  const rig = new Rig(content(2_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  const other = new Rig(rig.file, { server: rig.server, ref: uuid(1), resume: true });
  other.connect();
  other.toServer();
  rig.run();
  assert.equal(rig.endings[0].code, "superseded");
  other.run();
  assert.deepEqual(stored(other), Buffer.from(rig.file));
});

test("a gap goes back to next_index (CHUNK-3)", () => {
  const rig = new Rig(content(2_000_000));
  rig.connect();
  rig.run(() => rig.sender.sent > 500_000);
  while (rig.toServer());
  // A frame is lost on the way, which a socket does not do; the client obeys all the same.
  rig.read();
  assert.ok(rig.frame());
  rig.up.shift();
  rig.run();
  assert.ok(rig.log.filter((l) => l === "read").length > 4);
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("pause holds the next byte back, resume lets it go, also over a drop", () => {
  const rig = new Rig(content(3_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  rig.sender.pause();
  const { sent } = rig.sender;
  for (let i = 0; i < 100; i++) rig.step();
  assert.equal(rig.sender.sent, sent);
  assert.equal(rig.sender.active, false);
  rig.cut();
  rig.connect();
  for (let i = 0; i < 100; i++) rig.step();
  assert.equal(rig.sender.sent, sent);
  rig.sender.resume(rig.now);
  rig.drain();
  rig.run();
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("detached while paused waits for resume; detached otherwise resumes by itself", () => {
  for (const paused of [true, false]) {
    const rig = new Rig(content(3_000_000));
    rig.connect();
    rig.run(() => rig.sender.received > 1_000_000);
    if (paused) rig.sender.pause();
    const up = rig.server.uploads.get(uuid(1));
    up.holder = null;
    rig.conn.held.delete(up);
    rig.down.push(rig.server.snapshot(up, { detached: true, code: "idle_timeout", retry: "resend" }));
    for (let i = 0; i < 200; i++) rig.step();
    if (paused) {
      assert.equal(rig.sender.status, "resuming");
      rig.sender.resume(rig.now);
      rig.drain();
    }
    rig.run();
    assert.deepEqual(stored(rig), Buffer.from(rig.file));
  }
});

test("cancel ends at once and is told to the server, at once or on the next connection", () => {
  const rig = new Rig(content(3_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  rig.sender.cancel(rig.now);
  rig.drain();
  assert.equal(rig.endings[0].status, "cancelled");
  rig.run();
  assert.equal(rig.server.uploads.size, 0);

  const off = new Rig(content(3_000_000));
  off.connect();
  off.run(() => off.sender.received > 1_000_000);
  off.cut();
  off.sender.cancel(off.now);
  off.drain();
  assert.equal(off.sender.status, "cancelled");
  assert.equal(off.server.uploads.size, 1);
  off.connect();
  off.run();
  assert.equal(off.server.uploads.size, 0);
  assert.equal(off.endings.length, 1);
});

test("cancel without a connection or during a resume removes a file whose last byte had arrived (COMPLETE-7)", () => {
  for (const resuming of [false, true]) {
    const rig = new Rig(content(700_000));
    const isStored = () => [...rig.server.uploads.values()].some(({ done }) => done);
    rig.toClient = () => (isStored() ? undefined : Rig.prototype.toClient.call(rig)); // the receipt is lost
    rig.connect();
    rig.run(isStored);
    rig.cut();
    assert.equal(rig.endings.length, 0);
    delete rig.toClient;
    if (resuming) rig.connect();
    rig.sender.cancel(rig.now);
    rig.drain();
    if (!resuming) rig.connect();
    rig.run();
    assert.deepEqual([rig.server.uploads.size, rig.endings.map(({ status }) => status)], [0, ["cancelled"]]);
  }
});

test("a cancel that a lost connection swallowed is sent over the next one", () => {
  const rig = new Rig(content(3_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  rig.cut();
  rig.sender.cancel(rig.now);
  rig.connect();
  rig.cut();
  assert.equal(rig.server.uploads.size, 1);
  rig.connect();
  rig.run();
  assert.deepEqual([rig.server.uploads.size, rig.endings.length], [0, 1]);
});

test("cancel before anything was said needs no server", () => {
  const rig = new Rig(content(10));
  rig.sender.cancel(0);
  rig.drain();
  assert.ok(rig.sender.finished);
  assert.equal(rig.endings[0].status, "cancelled");
});

test("a refusal ends with its code and retry never (MSG-1)", () => {
  const rig = new Rig(content(10), { server: new ModelServer({ slots: { video: { accept: "", max_entries: 1, max_file_size: 5, resumable: true } } }) });
  rig.connect();
  rig.run();
  assert.deepEqual([rig.endings[0].code, rig.endings[0].retry], ["too_large", "never"]);
});

test("retry later waits as long as it is told, then resumes (MSG-3, RESUME-10)", () => {
  const rig = new Rig(content(3_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  const up = rig.server.uploads.get(uuid(1));
  up.holder = null;
  rig.conn.held.delete(up);
  rig.up = [];
  rig.sender.handleMessage(rig.server.snapshot(up, { detached: true, code: "storage_full", retry: "later", retry_after_ms: 5000 }), rig.now);
  rig.drain();
  assert.ok(rig.log.includes("trouble"));
  assert.equal(rig.sender.pollTimeout(), rig.now + 5000);
  assert.equal(rig.sender.active, false);
  rig.sender.handleTimeout(rig.now + 4999);
  rig.drain();
  assert.equal(rig.up.length, 0);
  rig.run();
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("retry restart registers anew, a bounded number of times", () => {
  const rig = new Rig(content(100));
  rig.connect();
  let registrations = 0;
  for (let i = 0; i < 1000 && !rig.sender.finished; i++) {
    rig.now += 60_000;
    rig.sender.handleTimeout(rig.now);
    rig.drain();
    for (const raw of rig.up.splice(0)) {
      const m = JSON.parse(raw);
      registrations++;
      rig.sender.handleMessage({ type: "upload_progress", ref: m.ref, status: "error", code: "storage_failed", retry: "restart" }, rig.now);
      rig.drain();
    }
  }
  assert.equal(registrations, 9);
  assert.equal(rig.endings[0].code, "storage_failed");
});

test("an upload that is not resumable starts over after a drop", () => {
  const rig = new Rig(content(3_000_000), { slot: "photos" });
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  rig.cut();
  assert.equal(rig.sender.sent, 0);
  rig.connect();
  rig.run();
  assert.equal(rig.sender.ref, uuid(2));
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("an upload that is not resumable is not sent again where its last byte had arrived (COMPLETE-4)", () => {
  const rig = new Rig(content(700_000), { slot: "photos" });
  rig.connect();
  rig.run(() => rig.sender.received > 0);
  while (rig.read() || rig.frame() || rig.toServer()); // the answer is still on its way
  rig.cut();
  rig.connect();
  rig.run();
  assert.equal(rig.endings[0].status, "complete");
  assert.deepEqual([rig.server.uploads.size, rig.server.taken], [1, 700_000]);
});

/** One that is not resumable, whose connection is lost while its server stores it. */
function beingStored() {
  const rig = new Rig(content(700_000), { slot: "photos" });
  rig.server.storesLate = true;
  rig.connect();
  rig.run(() => [...rig.server.uploads.values()][0]?.isWhole);
  rig.cut();
  rig.connect();
  return rig;
}

const registrations = (rig) => {
  let count = 0;
  const { text } = rig.conn;
  rig.conn.text = (raw) => (JSON.parse(raw).type === "upload_register" && count++, text(raw));
  return () => count;
};

test("an upload that is not resumable is asked for again while its server stores it (COMPLETE-4)", () => {
  for (const isLostAgain of [false, true]) {
    const rig = beingStored();
    let count = registrations(rig);
    rig.run(() => count() === 3);
    if (isLostAgain) {
      rig.cut();
      rig.connect();
      count = registrations(rig);
      rig.run(() => count() === 1);
    }
    rig.server.finish();
    rig.run();
    assert.equal(rig.endings[0].status, "complete");
    assert.deepEqual([rig.sender.ref, rig.server.uploads.size, rig.server.taken], [uuid(1), 1, 700_000]);
  }
});

test("an upload that is not resumable is sent again where its server could not store it", () => {
  const rig = beingStored();
  const count = registrations(rig);
  rig.run(() => count() === 3);
  rig.server.uploads.clear();
  rig.server.storesLate = false;
  rig.run();
  assert.deepEqual([rig.sender.ref, rig.server.uploads.size, rig.server.taken], [uuid(1), 1, 1_400_000]);
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("a ref that stays in use is asked for a bounded number of times, over minutes, and then the file is sent under another", () => {
  const rig = beingStored();
  const count = registrations(rig);
  const from = rig.now;
  rig.run(() => rig.sender.ref === uuid(2));
  assert.equal(count(), 9);
  assert.ok(rig.now - from > 120_000, `${rig.now - from} ms`);
  rig.server.storesLate = false;
  rig.run();
  assert.equal(rig.endings[0].status, "complete");
});

test("an upload that another node stored first under its ref has the receipt of that one", () => {
  for (const isOverHttp of [false, true]) {
    const rig = beingStored();
    rig.server.storesLate = false;
    const stored = rig.server.uploads.get(uuid(1));
    rig.server.uploads.clear(); // this node knows nothing of it
    rig.run(() => rig.sender.received > 0 && rig.up.length);
    const before = rig.server.taken;
    rig.server.uploads.set(uuid(1), stored);
    rig.server.finish();
    const refusal = { ref: uuid(1), code: "ref_in_use", retry: "never" };
    rig.sender.handleMessage(isOverHttp ? { type: "error", ...refusal } : { type: "upload_progress", status: "error", ...refusal }, rig.now);
    rig.drain();
    rig.up = rig.up.filter((what) => typeof what === "string"); // the resume
    rig.down = [];
    rig.run();
    assert.equal(rig.endings[0].status, "complete");
    assert.deepEqual([rig.sender.ref, rig.server.taken], [uuid(1), before]);
  }
});

test("a line that is cut at the end of each try does not send an upload that is not resumable for ever", () => {
  const rig = new Rig(content(70_000), { slot: "photos" });
  rig.server.storesLate = true;
  rig.connect();
  for (let i = 0; i < 100 && !rig.sender.finished; i++) {
    rig.run(() => rig.sender.finished || [...rig.server.uploads.values()][0]?.isWhole);
    rig.server.uploads.clear();
    rig.cut();
    rig.connect();
  }
  assert.ok(rig.sender.finished);
  assert.ok(rig.server.taken <= 9 * 70_000, `${rig.server.taken} bytes`);
});

test("a cancel that was lost while the server stored the file is sent over the next connection, even if it is not resumable (COMPLETE-7)", () => {
  const rig = beingStored();
  rig.cut();
  rig.server.finish();
  rig.sender.cancel(rig.now);
  rig.drain();
  rig.connect();
  rig.run();
  assert.deepEqual([rig.server.uploads.size, rig.endings.map(({ status }) => status)], [0, ["cancelled"]]);
});

test("a file that cannot be read any more ends on both sides", () => {
  const rig = new Rig(content(3_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  rig.sender.handleUnreadable();
  rig.drain();
  while (rig.toServer());
  assert.equal(rig.endings[0].code, "file_unreadable");
  assert.equal(rig.server.uploads.size, 0);
});

test("unknown_ref in the middle resumes once, whatever number of chunks it answers (CHUNK-6)", () => {
  const rig = new Rig(content(3_000_000));
  rig.connect();
  rig.run(() => rig.sender.received > 1_000_000);
  for (let i = 0; i < 3; i++) rig.frame();
  const up = rig.server.uploads.get(uuid(1));
  rig.conn.held.delete(up);
  up.holder = null;
  const from = rig.log.length;
  rig.run();
  assert.equal(rig.log.slice(from).filter((l) => l === "message").length, 1);
  assert.deepEqual(stored(rig), Buffer.from(rig.file));
});

test("three hundred seeds of cuts, restarts, pauses and slow queues: every file byte-exact, nothing confirmed sent twice", () => {
  for (let seed = 1; seed <= 300; seed++) {
    const rnd = random(seed);
    const file = content(Math.floor(rnd() * 1_500_000), seed);
    const chunk = [1000, 4096, 65536][Math.floor(rnd() * 3)];
    const window = Math.max(2 * chunk, Math.floor(rnd() * 400_000));
    const server = new ModelServer({ window, slots: { video: { accept: "", max_entries: 9, max_file_size: 1e9, resumable: true, chunk_size: chunk } } });
    const rig = new Rig(file, { server });
    let restarts = 0;
    for (let i = 0; i < 300_000 && !rig.sender.finished; i++) {
      rig.now += rnd() * 10;
      const p = rnd();
      if (!rig.conn && p < 0.2) rig.connect();
      else if (rig.conn && p < 0.004) {
        rig.cut();
        if (rnd() < 0.3) {
          rig.server.restart();
          restarts++;
        }
      } else if (p < 0.006) rig.sender.pause();
      else if (p < 0.05 && rig.sender.paused) rig.sender.resume(rig.now);
      else [() => rig.read(), () => rig.frame(), () => rig.toServer(), () => rig.toClient()][Math.floor(rnd() * 4)]();
      rig.sender.handleTimeout(rig.now);
      rig.drain();
    }
    assert.ok(rig.sender.finished, `seed ${seed} never ended: ${rig.log.slice(-10)}`);
    assert.equal(rig.endings[0].status, "complete", `seed ${seed}: ${JSON.stringify(rig.endings[0])}`);
    assert.ok(stored(rig).equals(Buffer.from(file)), `seed ${seed}: bytes differ`);
    assert.deepEqual(server.violations, [], `seed ${seed}`);
    if (!restarts) assert.equal(server.taken, file.length, `seed ${seed}: bytes twice`);
  }
});

test("whatever a server says, the sender neither throws nor speaks after its end", () => {
  const codes = ["incomplete", "chunk_out_of_order", "storage_full", "unknown_ref", "ref_in_use", "locked", undefined];
  for (let seed = 1; seed <= 300; seed++) {
    const rnd = random(seed * 7919);
    const pick = (a) => a[Math.floor(rnd() * a.length)];
    const rig = new Rig(content(100_000), {});
    rig.connect();
    for (let i = 0; i < 80; i++) {
      rig.now += rnd() * 2000;
      const m = {
        type: pick(["upload_registered", "upload_resumed", "upload_progress", "upload_progress", "error", "pong"]), ref: rnd() < 0.9 ? rig.sender.ref : uuid(99),
        status: pick(["uploading", "complete", "error", "cancelled", "resumed", "locked", "not_found"]), code: pick(codes), retry: pick(["resend", "later", "restart", "never", undefined]),
        bytes_received: pick([0, 1, 65536, 100_000, 200_000, undefined]), next_index: pick([0, 1, 2, undefined]), credit: pick([0, 65536, 1e9, undefined]),
        detached: pick([true, false, undefined]), resumable: pick([true, false, undefined]), crc32c: pick(["00000000", undefined]),
      };
      rig.sender.handleMessage(m, rig.now);
      rig.drain();
      pick([() => rig.read(), () => rig.frame(), () => rig.step(), () => (rig.conn ? rig.cut() : rig.connect())])();
      for (const f of rig.up) if (typeof f !== "string") assert.ok(decodeFrame(f));
      rig.up = [];
    }
    if (rig.sender.finished) {
      assert.equal(rig.frame(), null);
      assert.equal(rig.endings.length, 1);
    }
  }
});

test("an empty file is read before it is completed, and one that cannot be opened is never called empty", () => {
  const empty = new Rig(content(0));
  empty.connect();
  empty.run(() => empty.reads.length);
  assert.deepEqual([empty.reads[0].offset, empty.reads[0].length], [0, 0]);
  while (empty.toServer() || empty.toClient()); // its registration is answered before its read
  for (let i = 0; i < 50; i++) assert.equal(empty.frame(), null, "no complete before the read");
  empty.run();
  assert.equal(empty.endings[0].status, "complete");
  assert.equal(empty.log.filter((what) => what === "read").length, 1);

  const shut = new Rig(content(0));
  shut.connect();
  shut.run(() => shut.reads.length);
  shut.sender.handleUnreadable();
  shut.drain();
  assert.equal(shut.endings[0].code, "file_unreadable");
  while (shut.toServer()) assert.equal([...shut.server.uploads.values()].filter((up) => up.done).length, 0);
  assert.equal(shut.server.uploads.size, 0, "the server forgets it");
});

test("an empty file that is resumed is confirmed as well", () => {
  const rig = new Rig(content(0));
  rig.connect();
  rig.run(() => rig.reads.length);
  rig.cut();
  rig.reads = [];
  rig.connect();
  rig.run();
  assert.deepEqual(rig.endings.map((ending) => ending.status), ["complete"]);
  assert.equal(rig.log.filter((what) => what === "read").length, 2);
});

test("a date from before 1970 and one that is none are not sent, others are (CTRL-2)", () => {
  const sent = (lastModified) => {
    const rig = new Rig(content(1), { lastModified });
    rig.connect();
    return JSON.parse(rig.up[0]).last_modified;
  };
  for (const no of [-11644473600000, -1, 0, NaN, Infinity, -Infinity, 2 ** 60, undefined]) assert.equal(sent(no), undefined, String(no));
  assert.deepEqual([sent(1), sent(1.9), sent(1764367200000)], [1, 1, 1764367200000]);
});

test("a sender that has ended keeps nothing of its file", () => {
  for (const ending of ["complete", "cancelled", "file_unreadable"]) {
    const rig = new Rig(content(3_000_001));
    rig.connect();
    rig.run(() => rig.sender.received > 1_000_000);
    assert.ok(rig.sender.spare.length, "buffers are used again while it runs");
    if (ending === "cancelled") rig.sender.cancel(rig.now);
    if (ending === "file_unreadable") rig.sender.handleUnreadable();
    rig.run();
    assert.deepEqual(rig.sender.spare, []);
    assert.ok(["complete", "cancelled", "error"].includes(rig.sender.status));
  }
});

test("no speed is shown when nothing moves: after three silent seconds, paused, or without a connection", () => {
  const moving = () => {
    const rig = new Rig(content(9_000_000));
    rig.connect();
    for (let i = 0; i < 5000 && !rig.sender.bytesPerSecond; i++) {
      rig.now += 20;
      rig.step();
    }
    assert.ok(rig.sender.bytesPerSecond > 0);
    return rig;
  };
  const silent = moving();
  assert.ok(silent.sender.pollTimeout() <= silent.now + 3000);
  silent.sender.handleTimeout(silent.now + 3001);
  assert.equal(silent.sender.bytesPerSecond, 0);
  const paused = moving();
  paused.sender.pause();
  assert.equal(paused.sender.bytesPerSecond, 0);
  const cut = moving();
  cut.cut();
  assert.equal(cut.sender.bytesPerSecond, 0);
  cut.connect();
  cut.run();
  assert.equal(cut.endings[0].status, "complete");
});

test("it stores only when the server has every byte", () => {
  const rig = new Rig(content(3_000_001));
  rig.connect();
  const phases = [];
  for (let i = 0; i < 100_000 && !rig.sender.finished; i++) {
    rig.step();
    if (rig.sender.phase !== "sending" && rig.sender.received < rig.sender.size) phases.push(rig.sender.phase);
  }
  assert.deepEqual(phases, []);
});
