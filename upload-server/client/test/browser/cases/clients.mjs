/** Clients of others in a page: Uppy with tus and with forms, and the tus sender of react-uploady. */
import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { sha256, until, video, visit } from "../page.mjs";

/** The page's script, bundled once. */
const script = build({
  entryPoints: [fileURLToPath(new URL("../clients.entry.mjs", import.meta.url))],
  bundle: true, write: false, format: "iife", globalName: "clients", target: "es2022", logLevel: "silent",
  define: { "process.env.NODE_ENV": '"production"' },
}).then(({ outputFiles }) => outputFiles[0].text);

async function open(t) {
  const page = await visit(t);
  // As an expression, so that no policy of the page bars it.
  await page.evaluate(`${await script}; window.clients = clients;`);
  return page;
}

/** Uploads files of these contents, which are sent to the page as base64. */
const upload = (page, client, slot, named, options) =>
  page.evaluate(
    async ([[name, ...words], slot, named, options]) => {
      const files = named.map(([file, text]) => new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], file, { type: "video/mp4" }));
      return window.clients[name](...words, slot, files, options);
    },
    [client, slot, Object.entries(named).map(([file, content]) => [file, content.toString("base64")]), options],
  );

const stored = async (t) => (await t.server.stored("video")).map((stored) => [stored.name, stored.sha256]);
const sums = (named) => Object.entries(named).map(([name, content]) => [name, sha256(content)]).sort();

const both = { "a b.mp4": video(3_000_001), "ä.mp4": video(1_000, 2) };

export default {
  async "Uppy with tus: several files, with a pause"(t) {
    const page = await open(t);
    t.server.proxy.rate = 6_000_000;
    const told = await upload(page, ["uppy", "tus"], "video", both, { pauseAt: 1_000_000 });
    assert.deepEqual([told.successful.sort(), told.failed, told.paused], [Object.keys(both).sort(), [], true]);
    assert.deepEqual((await stored(t)).map(([, sum]) => sum).sort(), sums(both).map(([, sum]) => sum).sort());
  },

  async "Uppy with tus continues after the server is killed"(t) {
    const page = await open(t);
    const file = { "kept.mp4": video(6_000_000) };
    t.server.proxy.brake(2_500_000);
    const ending = upload(page, ["uppy", "tus"], "video", file);
    await until("bytes", () => page.evaluate(() => window.uploaded > 1_500_000));
    await t.server.restart("SIGKILL");
    t.server.proxy.rush();
    assert.deepEqual(await ending, { successful: ["kept.mp4"], failed: [], paused: false });
    assert.deepEqual(await stored(t), sums(file));
  },

  async "Uppy with xhr-upload: a form for each file, and one for all"(t) {
    const page = await open(t);
    for (const kind of ["xhr", "bundle"]) {
      const told = await upload(page, ["uppy", kind], "video", both);
      assert.deepEqual([told.successful.sort(), told.failed], [Object.keys(both).sort(), []], kind);
    }
    const twice = sums(both).map(([, sum]) => sum);
    assert.deepEqual((await stored(t)).map(([, sum]) => sum).sort(), [...twice, ...twice].sort());
    const refused = await upload(page, ["uppy", "xhr"], "video", { "tool.exe": Buffer.from("MZ") });
    assert.deepEqual([refused.successful, refused.failed.length], [[], 1]);
    assert.equal((await stored(t)).length, 4);
  },

  async "a form of the browser's own: quotes and line breaks in names, and signs that only look escaped"(t) {
    const page = await visit(t);
    const names = ['a "b".mp4', "50%25 100%.mp4", "two\nlines.mp4"];
    const told = await page.evaluate(
      async ([names, text]) => {
        const form = new FormData();
        form.append('a "key"', "its value");
        for (const name of names) form.append("file", new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, { type: "video/mp4" }));
        const answer = await fetch("/uploads/files/video", { method: "POST", body: form });
        return { status: answer.status, names: (await answer.json()).uploads?.map(({ name }) => name) };
      },
      [names, video(1_000).toString("base64")],
    );
    assert.deepEqual(told, { status: 201, names });
  },

  async "the tus sender of react-uploady"(t) {
    const page = await open(t);
    const told = await upload(page, ["rpldy"], "video", both);
    assert.deepEqual([told.successful.sort(), told.failed], [Object.keys(both).sort(), []]);
    assert.deepEqual((await stored(t)).map(([, sum]) => sum).sort(), sums(both).map(([, sum]) => sum).sort());
  },
};
