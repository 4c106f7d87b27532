/** The whole client, as shipped, stays under 16 KiB gzipped. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

test("size", () => {
  const folder = new URL("../", import.meta.url);
  const files = readdirSync(folder).filter((name) => name.endsWith(".js")).map((name) => readFileSync(new URL(name, folder)));
  const all = gzipSync(Buffer.concat(files), { level: 9 }).length;
  const each = files.reduce((sum, file) => sum + gzipSync(file, { level: 9 }).length, 0);
  console.log(`client: ${files.length} modules, ${(all / 1024).toFixed(2)} KiB gzipped together, ${(each / 1024).toFixed(2)} KiB file by file`);
  assert.ok(files.length >= 9);
  assert.ok(all < 16 * 1024, `${all} bytes`);
});
