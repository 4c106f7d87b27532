/** What a page loads of the minified build of the npm package, gzipped. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import { minify } from "./minify.mjs";

const KIB = 1024;
const CORE_MAX = 18.5 * KIB;
const WIDGET_MAX = 14 * KIB;
const LANGUAGE_MAX = 1.5 * KIB;
const folder = new URL("../", import.meta.url);
const dist = mkdtempSync(join(tmpdir(), "upload-dist-"));
after(() => rmSync(dist, { recursive: true, force: true }));
const outputs = await minify(dist);

const gzipped = (text) => gzipSync(text, { level: 9 }).length;
const kib = (bytes) => `${(bytes / KIB).toFixed(2)} KiB`;
/** Without the line that only a browser's tools follow. */
const textOf = (path) => readFileSync(join(dist, path), "utf8").replace(/\/\/# sourceMappingURL=.*\n?$/, "");

/** Bytes that a page loads with these modules at once: what is imported only when it is needed does not count. */
function loaded(...names) {
  const seen = new Set();
  const visit = (path) => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { path: next, kind, external } of outputs[path].imports) if (kind === "import-statement" && !external) visit(next);
  };
  names.forEach(visit);
  return [...seen].reduce((sum, path) => sum + gzipped(textOf(path)), 0);
}

test("the minified client takes at most 18.5 KiB gzipped", () => {
  const sources = readdirSync(folder).filter((name) => name.endsWith(".js")).map((name) => readFileSync(new URL(name, folder), "utf8"));
  const core = loaded("index.js");
  console.log(`client minified: ${core} bytes, ${kib(core)} gzipped; as written ${kib(sources.reduce((sum, text) => sum + gzipped(text), 0))} in ${sources.length} modules`);
  assert.ok(core <= CORE_MAX, `${core} bytes`);
  assert.ok(sources.length >= 9 && core > 4096, "the whole client was measured");
});

test("the widget takes at most 14 KiB more", () => {
  const more = loaded("index.js", "dropzone.js") - loaded("index.js");
  console.log(`widget minified: ${kib(more)} gzipped`);
  assert.ok(more <= WIDGET_MAX && more > 2 * KIB, `${more} bytes`);
});

test("each language takes at most 1.5 KiB", () => {
  const names = readdirSync(new URL("languages/", folder)).filter((name) => name !== "en.js");
  assert.ok(names.length >= 2, "all were measured");
  for (const name of names) {
    const bytes = loaded(`languages/${name}`);
    console.log(`${name} minified: ${kib(bytes)} gzipped`);
    assert.ok(bytes <= LANGUAGE_MAX, `${name}: ${bytes} bytes`);
  }
});
