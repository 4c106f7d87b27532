/** What a page loads, minified and gzipped, as a bundler makes it of the modules. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { buildSync, transformSync } from "esbuild";

const KIB = 1024;
const CORE_MAX = 18 * KIB;
const WIDGET_MAX = 14 * KIB;
const LANGUAGE_MAX = 1.5 * KIB;
const folder = new URL("../", import.meta.url);
const gzipped = (text) => gzipSync(text, { level: 9 }).length;
const kib = (bytes) => `${(bytes / KIB).toFixed(2)} KiB`;

/** Bytes that a page loads with this module at once: what is imported only when it is needed does not count. */
function loaded(...names) {
  const exported = (path) => (path.includes("/languages/") ? "{ default }" : "*");
  const entryPoints = names.map((name) => fileURLToPath(new URL(name, folder)));
  const stdin = { contents: entryPoints.map((path) => `export ${exported(path)} from ${JSON.stringify(path)};`).join("\n"), resolveDir: "/" };
  const { outputFiles, metafile } = buildSync({ stdin, bundle: true, splitting: true, minify: true, charset: "utf8", format: "esm", target: "es2022", write: false, metafile: true, outdir: "/out", absWorkingDir: "/" });
  const seen = new Set();
  const visit = (path) => {
    if (seen.has(path)) return;
    seen.add(path);
    for (const { path: next, kind } of metafile.outputs[path].imports) if (kind === "import-statement") visit(next);
  };
  visit(Object.keys(metafile.outputs).find((path) => metafile.outputs[path].entryPoint));
  return [...seen].reduce((sum, path) => sum + gzipped(outputFiles.find((file) => file.path.endsWith(path)).contents), 0);
}

test("the minified client takes at most 18 KiB gzipped", () => {
  const bundle = loaded("index.js");
  const sources = readdirSync(folder).filter((name) => name.endsWith(".js")).map((name) => readFileSync(new URL(name, folder), "utf8"));
  const minified = sources.map((text) => transformSync(text, { minify: true, format: "esm" }).code);
  const sum = (texts) => texts.reduce((total, text) => total + gzipped(text), 0);
  console.log(`client minified: ${bundle} bytes, ${kib(bundle)} gzipped in one file, ${kib(sum(minified))} in ${sources.length} modules; as written ${kib(sum(sources))}`);
  assert.ok(bundle <= CORE_MAX, `${bundle} bytes`);
  assert.ok(sources.length >= 9 && bundle > 4096, "the whole client was measured");
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
