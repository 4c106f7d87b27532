/** The hand-written declarations against the code: whatever they declare is there, with a shape that fits. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import ts from "typescript";

const at = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url));
// Next to its declarations a module is hidden by them, so it stands under a second name for this.
const CHECK = `
import * as code from "./code.js";
import * as declared from "./index";
type Values = { [K in keyof typeof declared]: unknown };
export const all: Values = code;
export const uploads: declared.Uploads = new code.Uploads({ url: "" });
export const upload: declared.Upload = new code.Uploads({ url: "" }).add([new File([], "")], "")[0];
export const sender: declared.Sender = new code.Sender({ ref: "", slot: "", name: "", type: "", size: 0, newRef: () => "" });
export const error: declared.UploadError = new code.UploadError({});
export const bind: typeof declared.bind = code.bind;
export const filesOf: typeof declared.filesOf = code.filesOf;
`;

function problems(check) {
  const extra = new Map([
    [at("code.js"), readFileSync(at("index.js"), "utf8")],
    [at("check.ts"), check],
  ]);
  const config = ts.readConfigFile(fileURLToPath(new URL("tsconfig.json", import.meta.url)), ts.sys.readFile).config;
  const { options } = ts.parseJsonConfigFileContent({ compilerOptions: config.compilerOptions, files: [] }, ts.sys, at("test"));
  const host = ts.createCompilerHost(options);
  const { readFile, fileExists } = host;
  host.readFile = (name) => extra.get(name) ?? readFile.call(host, name);
  host.fileExists = (name) => extra.has(name) || fileExists.call(host, name);
  const { getSourceFile } = host;
  host.getSourceFile = (name, ...more) => (extra.has(name) ? ts.createSourceFile(name, extra.get(name), ...more) : getSourceFile.call(host, name, ...more));
  const program = ts.createProgram([at("check.ts")], options, host);
  return ts.getPreEmitDiagnostics(program).map((d) => `${d.file?.fileName}: ${ts.flattenDiagnosticMessageText(d.messageText, "\n")}`);
}

test("index.d.ts declares nothing that index.js does not have", () => {
  assert.deepEqual(problems(CHECK), []);
});

test("and this would notice", () => {
  assert.notDeepEqual(problems(CHECK.replace("declared.Uploads =", "declared.Uploads & { missing(): void } =")), []);
});
