/** The documents' JavaScript, HTML and JSON: it parses, and names only what the client has; and every code is explained. */
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";
import ts from "typescript";

const ROOT = new URL("../../../", import.meta.url);
const text = (path) => readFileSync(new URL(path, ROOT), "utf8");
const documents = ["README.md", "upload-server/client/README.md", ...readdirSync(new URL("docs/", ROOT)).filter((name) => name.endsWith(".md")).map((name) => `docs/${name}`)];

/** [[document and line, code]] of all blocks with this mark. */
function blocks(mark) {
  const found = [];
  for (const path of documents) {
    const parts = text(path).split(/^```(.*)$/m);
    let line = 1;
    parts.forEach((part, i) => {
      if (i % 4 === 2 && parts[i - 1] === mark) found.push([`${path}:${line}`, part]);
      if (i % 2 === 0) line += part.split("\n").length - 1;
    });
  }
  return found;
}

test("JavaScript parses, and imports what is exported", () => {
  const exported = new Set([...text("upload-server/client/index.d.ts").matchAll(/^export declare \w+ (\w+)/gm)].map(([, name]) => name));
  const found = blocks("js");
  assert.ok(found.length > 3, `${found.length} blocks`);
  for (const [place, code] of found) {
    const { diagnostics } = ts.transpileModule(code, { reportDiagnostics: true, compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } });
    assert.deepEqual(diagnostics.map(({ messageText }) => messageText), [], place);
    for (const [, names] of code.matchAll(/import \{([^}]*)\} from "[^"]*(?:client\/index\.js|upload-client)"/g)) {
      for (const name of names.split(",")) assert.ok(exported.has(name.trim()), `${place}: ${name}`);
    }
  }
});

test("HTML uses attributes and classes the client knows", () => {
  const source = ["directives", "forms", "results", "rows", "dropzone"].map((name) => text(`upload-server/client/${name}.js`)).join("\n");
  const found = blocks("html");
  assert.ok(found.length > 2, `${found.length} blocks`);
  for (const [place, code] of found) {
    for (const [name] of code.matchAll(/\bdj-[a-z-]+|\bupload-[a-z-]+(?=[" ][^<]*>)/g)) assert.ok(source.includes(name), `${place}: ${name}`);
  }
});

test("JSON parses", () => {
  const found = blocks("json");
  assert.ok(found.length > 0);
  for (const [place, code] of found) assert.doesNotThrow(() => JSON.parse(code), place);
});

test("every code that the client or a request over HTTP gives has a row in the error reference", () => {
  const reference = text("docs/errors.md");
  const sourcesOf = (folder, ending) => readdirSync(new URL(folder, ROOT), { recursive: true }).filter((name) => name.endsWith(ending) && !/^test|node_modules/.test(name)).map((name) => text(folder + name)).join("\n");
  for (const [folder, ending, pattern, known] of [
    ["upload-server/client/", ".js", /\bcode(?: = |: )(?:code === "\w+" \? )?"(\w+)"/g, ["in_use", "unreachable", "file_changed"]],
    ["upload-server/src/http/", ".rs", /Refusal::(?:new|of_application)\(\s*[^,"]+,\s*"(\w+)"|Self::new\([^,"]+,\s*"(\w+)"/g, ["bad_version", "mount_failed", "unauthenticated"]],
  ]) {
    const codes = new Set([...sourcesOf(folder, ending).matchAll(pattern)].map(([, code, other]) => code ?? other));
    for (const code of known) assert.ok(codes.has(code), `${code} is not among ${[...codes]}`);
    for (const code of codes) assert.ok(reference.includes(`<a id="${code}"></a>`), code);
  }
});
