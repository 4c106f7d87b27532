/** Totals of a page: batches, retries and removals. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Tally } from "../tally.js";

const upload = (size, more = {}) => ({ file: { size }, status: "queued", paused: false, taken: false, ...more });

/** What a person reads of it. */
const read = (tally) => {
  const { files, done, failed, waiting, bytes, receivedBytes } = tally.totals([]);
  return { files, done, failed, waiting, bytes, receivedBytes };
};

/** Adds uploads and ends them one by one. */
function run(tally, ...uploads) {
  for (const one of uploads) tally.add(one);
  return (...endings) => endings.forEach((status, i) => tally.end(Object.assign(uploads[i], { status })));
}

test("files that are added when all others have ended begin a total of their own", () => {
  const tally = new Tally();
  run(tally, upload(10), upload(20))("complete", "complete");
  assert.deepEqual(read(tally), { files: 2, done: 2, failed: 0, waiting: 0, bytes: 30, receivedBytes: 30 });
  const end = run(tally, upload(5));
  assert.deepEqual(read(tally), { files: 1, done: 0, failed: 0, waiting: 1, bytes: 5, receivedBytes: 0 });
  end("complete");
  assert.deepEqual(read(tally), { files: 1, done: 1, failed: 0, waiting: 0, bytes: 5, receivedBytes: 5 });
});

test("files that are added while others are under way count with them", () => {
  const tally = new Tally();
  const first = run(tally, upload(10), upload(20));
  first("complete");
  const second = run(tally, upload(5));
  assert.deepEqual(read(tally), { files: 3, done: 1, failed: 0, waiting: 2, bytes: 35, receivedBytes: 10 });
  first("complete", "complete");
  second("complete");
});

test("a failure stays in the totals of later batches until it is removed", () => {
  const tally = new Tally();
  const failure = upload(10);
  run(tally, failure, upload(20))("error", "complete");
  assert.deepEqual(read(tally), { files: 2, done: 1, failed: 1, waiting: 0, bytes: 20, receivedBytes: 20 });
  run(tally, upload(5))("complete");
  assert.deepEqual(read(tally), { files: 2, done: 1, failed: 1, waiting: 0, bytes: 5, receivedBytes: 5 });
  tally.forget(failure);
  assert.deepEqual(read(tally), { files: 1, done: 1, failed: 0, waiting: 0, bytes: 5, receivedBytes: 5 });
});

test("a retry belongs to the batch it failed in", () => {
  const tally = new Tally();
  const failures = [upload(10), upload(11)];
  run(tally, ...failures, upload(20))("error", "error", "complete");
  const again = run(tally, ...failures);
  assert.deepEqual(read(tally), { files: 3, done: 1, failed: 0, waiting: 2, bytes: 41, receivedBytes: 20 });
  again("complete", "complete");
  assert.deepEqual(read(tally), { files: 3, done: 3, failed: 0, waiting: 0, bytes: 41, receivedBytes: 41 });
});

test("a stored file that is removed is counted no more, one of an earlier batch and one that is only hidden change nothing", () => {
  const tally = new Tally();
  const [earlier, removed, hidden] = [upload(10), upload(20), upload(30)];
  run(tally, earlier)("complete");
  run(tally, removed, hidden)("complete", "complete");
  tally.forget(earlier);
  assert.deepEqual(read(tally), { files: 2, done: 2, failed: 0, waiting: 0, bytes: 50, receivedBytes: 50 });
  tally.forget(Object.assign(hidden, { taken: true }));
  assert.equal(read(tally).done, 2);
  tally.forget(removed);
  assert.deepEqual(read(tally), { files: 1, done: 1, failed: 0, waiting: 0, bytes: 30, receivedBytes: 30 });
});
