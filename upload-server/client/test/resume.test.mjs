/** Records with a database whose answers the test delivers one by one. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Records } from "../resume.js";

const turn = () => new Promise((done) => setImmediate(done));
const record = (ref, at = 1, expires = 1e15) => ({ ref, slot: "video", at, expires });

/** Carries out requests in order, as IndexedDB does, and lets `answer()` deliver the oldest result. */
function database() {
  const rows = new Map();
  const waiting = [];
  const request = (result) => {
    const r = { result };
    waiting.push(r);
    return r;
  };
  const store = {
    put: (row) => request(void rows.set(row.ref, row)),
    delete: (ref) => request(void rows.delete(ref)),
    getAll: () => request([...rows.values()]),
  };
  globalThis.indexedDB = { open: () => request({ transaction: () => ({ objectStore: () => store }) }) };
  const answer = async () => {
    await turn();
    waiting.shift()?.onsuccess();
    await turn();
  };
  return { rows, waiting, answer };
}

test("a list that was read before a removal does not bring the record back", async () => {
  const db = database();
  const records = new Records();
  const saved = Promise.all([records.save(record("a", 2)), records.save(record("b", 1))]);
  for (let i = 0; i < 3; i++) await db.answer();
  await saved;
  const before = records.list(5);
  await turn();
  const removed = records.remove("a");
  await db.answer();
  assert.deepEqual((await before).map((r) => r.ref), ["b"]);
  await db.answer();
  await removed;
  const again = records.save(record("a", 3));
  await db.answer();
  await again;
  const after = records.list(5);
  await db.answer();
  assert.deepEqual((await after).map((r) => r.ref), ["a", "b"], "saved anew it is there, newest first");
});

test("what expired is not listed, and removed", async () => {
  const db = database();
  const records = new Records();
  void records.save(record("old", 1, 4));
  for (let i = 0; i < 2; i++) await db.answer();
  const listed = records.list(5);
  await db.answer();
  assert.deepEqual(await listed, []);
  await db.answer();
  assert.equal(db.rows.size, 0);
});

test("without a database records live in memory", async () => {
  globalThis.indexedDB = {
    open() {
      throw new DOMException("blocked", "SecurityError");
    },
  };
  const records = new Records();
  await records.save(record("a"));
  assert.equal((await records.list(5)).length, 1);
  await records.remove("a");
  assert.deepEqual(await records.list(5), []);
});
