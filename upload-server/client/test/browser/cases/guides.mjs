/** The guides in a browser: their pages upload, and their scripts run. */
import assert from "node:assert/strict";
import { readFile, readdir } from "node:fs/promises";
import { book, file, photos, sane, until, visit } from "../page.mjs";

const ROOT = new URL("../../../../../", import.meta.url);

/** [[document and line, code]] of all blocks of this language that use the client. */
async function blocks(language, uses) {
  const names = (await readdir(new URL("docs/", ROOT))).filter((name) => name.endsWith(".md"));
  const found = [];
  for (const path of ["README.md", ...names.map((name) => `docs/${name}`)]) {
    const text = await readFile(new URL(path, ROOT), "utf8");
    for (const { 1: mark, 2: code, index } of text.matchAll(/^```(\w*).*\n([^]*?)^```$/gm)) {
      if (mark === language && uses.test(code)) found.push([`${path}:${text.slice(0, index).split("\n").length}`, code]);
    }
  }
  return found;
}

/** An empty page of the server's own origin. */
async function blank(t, server) {
  const page = await visit(t, { url: `${server.url}uploads/none/status`, connect: false });
  page.trouble.length = 0; // it was a 404
  return page;
}

/** Makes a page of a block, whose scripts run as if it had come so. */
const show = (page, html) =>
  page.evaluate((html) => {
    document.documentElement.innerHTML = html;
    for (const old of document.querySelectorAll("script")) {
      const script = document.createElement("script");
      for (const { name, value } of old.attributes) script.setAttribute(name, value);
      old.replaceWith(script);
    }
  }, html);

export default {
  async "each page of the guides uploads a file"(t) {
    const server = await t.serve({ config: `[slots.reports]\naccept = ".txt"\nmax_entries = 5\n` });
    const found = await blocks("html", /<script type="module" src="\/uploads\/client\//);
    assert.ok(found.length >= 6, `${found.length} pages`);
    for (const [place, html] of found) {
      const page = await blank(t, server);
      const [photo] = await photos(page, t.path(place.replaceAll(/\W/g, "-")), 1);
      await show(page, html);
      await until(`${place}: a connection`, async () => (await book(page)).sockets > 0);
      const input = page.locator("input[type=file]:not([webkitdirectory])").first();
      await until(`${place}: the rules of its slot`, async () => (await input.count()) > 0 && (await input.getAttribute("accept")));
      const takesText = (await input.getAttribute("accept")).includes(".txt");
      await input.setInputFiles(takesText ? await file(t.path("notes.txt"), "Twelve people came.") : photo);
      const inWidget = page.locator("upload-dropzone .row[data-status=complete]");
      const isStored = async () => (await inWidget.count()) > 0 || (await book(page)).events.some(({ status }) => status === "complete");
      await until(`${place}: a stored file`, isStored).catch(async (error) => {
        throw new Error(`${error.message}; ${JSON.stringify((await book(page)).errors)}`);
      });
      await sane(page);
      await page.context().close();
    }
  },

  async "each script of the guides that needs nothing but the client runs"(t) {
    const found = (await blocks("js", /from "\/uploads\/client\//)).filter(([, code]) => ![...code.matchAll(/from ["']([^"']+)/g)].some(([, from]) => !from.startsWith("/uploads/")));
    assert.ok(found.length >= 3, `${found.length} scripts`);
    for (const [place, code] of found) {
      const page = await blank(t, t.server);
      await show(page, `<script type="module" src="/uploads/client/index.js"></script><input type="file" dj-upload="photos"><upload-dropzone slot="photos"></upload-dropzone>`);
      await until("a connection", async () => (await book(page)).sockets > 0);
      const given = `const file = new File(["\\xff\\xd8\\xff"], "a.jpg", { type: "image/jpeg" }), files = [file], bar = {}, show = () => {};\n`;
      await page.evaluate((code) => {
        const script = document.createElement("script");
        Object.assign(script, { type: "module", textContent: `${code}\nwindow.ranToItsEnd = true;` });
        document.documentElement.append(script);
      }, given + code);
      await until(`${place}: its end`, () => page.evaluate(() => window.ranToItsEnd)).catch((error) => {
        throw new Error(`${error.message}; ${page.trouble.join("; ")}`);
      });
      await sane(page);
      await page.context().close();
    }
  },
};
