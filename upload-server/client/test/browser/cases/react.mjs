/** The React page of the examples, with the real React from npm in place of the network's. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { file, photos, until } from "../page.mjs";

const require = createRequire(import.meta.url);

/** React is published as CommonJS only: one module for the browser, with all it needs inside. */
function bundle(name) {
  const packages = { react: "react.production.js", scheduler: "scheduler.production.js", "react-dom": "react-dom.production.js", "react-dom/client": "react-dom-client.production.js" };
  const made = Object.entries(packages).map(([id, path]) => {
    const folder = dirname(require.resolve(`${id.split("/")[0]}/package.json`));
    return `${JSON.stringify(id)}(module, exports, require) {${readFileSync(join(folder, "cjs", path), "utf8")}\n}`;
  });
  const names = Object.keys(require(name)).filter((key) => /^\w+$/.test(key) && key !== "default");
  return `
    const made = {${made.join(",\n")}};
    const require = (id) => {
      const modules = (globalThis.__react ??= {});
      if (!modules[id]) made[id]((modules[id] = { exports: {} }), modules[id].exports, require);
      return modules[id].exports;
    };
    const { ${names.join(", ")} } = require(${JSON.stringify(name)});
    export { ${names.join(", ")} };`;
}

export default {
  async "the example page uploads photos, shows how far they are, and why one was refused"(t) {
    const app = await t.example("react_page");
    const context = await t.browser.newContext();
    t.onEnd(() => context.close());
    const page = await context.newPage();
    const trouble = [];
    page.on("pageerror", (e) => trouble.push(String(e.stack ?? e)));
    page.on("console", (m) => m.type() === "error" && trouble.push(m.text()));
    await page.route("https://esm.sh/**", (route) => {
      const name = /\/(react|react-dom)@[\d.]+(\/client)?$/.exec(route.request().url());
      return route.fulfill({ contentType: "text/javascript", headers: { "access-control-allow-origin": "*" }, body: bundle(name[1] + (name[2] ?? "")) });
    });
    await page.goto(app.url);
    await page.waitForSelector("input[type=file]");

    const pictures = await photos(page, t.path("photos"), 3);
    const words = await file(t.path("words.txt"), "no picture");
    await page.setInputFiles("input[type=file]", [...pictures, words]);
    const rows = () => page.$$eval("li", (items) => items.map((item) => [item.dataset.status, item.querySelector("progress").value]));
    const done = await until("three stored, one refused", async () => {
      const now = await rows();
      return now.length === 4 && now.every(([status]) => status === "complete" || status === "error") && now;
    });
    assert.deepEqual(done.slice(0, 3), Array(3).fill(["complete", 100]));
    assert.equal(done[3][0], "error");
    assert.notEqual(await page.textContent("li:nth-child(4) em"), "");
    assert.equal((await app.stored("photos", "uploads")).length, 3);
    assert.deepEqual(trouble, []);
  },
};
