/** The React page of the examples, with the real React from npm in place of the network's. */
import assert from "node:assert/strict";
import { file, photos, until } from "../page.mjs";
import { bundle } from "../react.mjs";

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
