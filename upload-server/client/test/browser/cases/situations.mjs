/** Moments a user can be in, and the words on the screen. */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { book, bytes, drop, file, pick, plain, row, sane, settled, sleep, status, until, video, visit } from "../page.mjs";

const total = (page) => page.textContent("#total");
const words = (page, name) => row(page, name).locator(".upload-state").textContent();

/** A picture for people who look at the run. */
async function picture(t, page, name) {
  if (!t.images) return;
  await mkdir(t.images, { recursive: true });
  await page.waitForTimeout(400);
  await page.screenshot({ path: join(t.images, `situation-${name}.png`) });
}

export default {
  async "when all failed the page says so, names the reasons, and retries nothing that cannot succeed"(t) {
    const page = await visit(t);
    await pick(page, "documents", [{ name: "tool.exe", mimeType: "", buffer: Buffer.alloc(9) }, { name: "page.html", mimeType: "text/html", buffer: Buffer.alloc(9) }]);
    await pick(page, "avatar", { name: "liar.png", mimeType: "image/png", buffer: Buffer.concat([Buffer.from("MZ"), Buffer.alloc(4000)]) });
    await settled(page, "liar.png", "error");
    await until("the total", async () => (await total(page)) === "No file was uploaded · 3 failed");
    assert.equal(await page.getAttribute("#bar", "data-state"), "failed");
    assert.equal(await page.$eval("#sum", (bar) => bar.value), 0);
    await until("the words of its row", async () => (await words(page, "liar.png")) === "This is not really a PNG file");
    assert.equal(await page.isVisible("#retry"), false);
    assert.equal(await row(page, "tool.exe").locator("[role=progressbar]").isVisible(), false, "a refused file has no progress");
    await until("the announcement", async () => /tool\.exe: This type is not accepted.*liar\.png|liar\.png.*tool\.exe/s.test(await page.textContent(".upload-announcer")), 5000);
    await picture(t, page, "all-failed");
    await page.click("#clear");
    await until("a page without rows", async () => (await page.locator(".upload-row").count()) === 1, 5000).catch(() => {});
    assert.equal(await page.locator(".documents .upload-row").count(), 0);
    await sane(page);
  },

  async "some failed: both are counted, and what failed is retried with one click"(t) {
    const page = await visit(t);
    await page.evaluate(async () => {
      const { uploads } = await import("/uploads/client/index.js");
      window.gone = new File([], "gone.txt");
      gone.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotFoundError"));
      uploads.add([new File(["one"], "one.txt"), gone, new File(["two"], "two.txt")], "documents");
    });
    await until("the total", async () => (await total(page)) === "2 of 3 files uploaded · 1 failed");
    await until("the words of its row", async () => (await words(page, "gone.txt")) === "The file could not be opened. Choose it again");
    await picture(t, page, "some-failed");
    await page.evaluate(() => (gone.arrayBuffer = async () => new ArrayBuffer(0)));
    await page.click("#retry");
    await settled(page, "gone.txt");
    await until("the total", async () => (await total(page)) === "3 of 3 files uploaded");
    await sane(page);
  },

  async "without a server there is no speed, a countdown and Try now"(t) {
    const page = await visit(t);
    t.server.proxy.brake(2_000_000);
    await pick(page, "video", await file(t.path("long.mp4"), video(12_000_000)));
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_000_000);
    await t.server.stop();
    await until("reconnecting", async () => (await words(page, "long.mp4")) === "Reconnecting");
    await until("a countdown", async () => /^No connection\. Next try in \d+ s$/.test(await page.textContent("#state")), 30_000);
    await until("the error", async () => (await book(page)).errors.some((e) => e.code === "unreachable" && e.retry === "later"), 30_000);
    assert.equal(await total(page), "0 of 1 done · continues when connected");
    // A wait that does not end by itself before the button is pressed, however slow the machine is.
    const left = async () => +(/in (\d+) s/.exec(await page.textContent("#state"))?.[1] ?? 0);
    await until("a longer wait", async () => (await left()) >= 6, 60_000);
    await picture(t, page, "no-server");
    await t.server.start();
    t.server.proxy.rush();
    const before = await left();
    await page.click("#try");
    await until("the connection", async () => (await page.textContent("#state")) === "Connected", 20_000);
    assert.ok(before > 0, "it would have waited");
    await settled(page, "long.mp4");
    assert.ok((await book(page)).resumes[0] > 0);
    await sane(page);
  },

  async "a required input holds its form back until a file of the slot is there, however it came"(t) {
    const page = await visit(t);
    await page.evaluate(() => {
      document.querySelector("main").insertAdjacentHTML("beforeend", `<form dj-submit="save"><input type="file" id="must" dj-upload="documents" required><button>Send</button><output></output></form>`);
    });
    const valid = () => page.$eval("form", (form) => form.checkValidity());
    // A required input is invalid before the client knows it.
    await until("the rule", async () => (await page.getAttribute("#must", "aria-required")) === "true" && !(await valid()));
    assert.notEqual(await page.$eval("#must", (input) => input.validationMessage), "");
    await page.click("form button");
    await sleep(300);
    assert.equal((await book(page)).results.length, 0, "held back");
    await page.setInputFiles("#must", { name: "no.exe", mimeType: "", buffer: Buffer.alloc(3) });
    await settled(page, "no.exe", "error");
    assert.equal(await valid(), false, "a refused file is none");
    await page.setInputFiles("#must", await file(t.path("a.txt"), "x"));
    await settled(page, "a.txt");
    assert.equal(await valid(), true);
    await page.click("form button");
    await until("the event", async () => (await book(page)).results.length === 1);
    await row(page, "a.txt").locator(".upload-cancel").click();
    assert.equal(await valid(), false, "removed");
    await sane(page);
  },

  async "a paused upload keeps its form from being sent, with a sentence, and the form can be sent later"(t) {
    const page = await visit(t);
    t.server.proxy.brake(500_000);
    await page.evaluate(() => {
      document.querySelector("main").insertAdjacentHTML("beforeend", `<form dj-submit="save"><input type="file" dj-upload="video"><button>Send</button><output></output></form>`);
    });
    await pick(page, "video", await file(t.path("slow.mp4"), video(16_000_000)).then((path) => path)).catch(() => page.setInputFiles("form input[type=file]", t.path("slow.mp4")));
    await until("bytes", async () => (await book(page)).sent > 100_000);
    await page.click("form button");
    await row(page, "slow.mp4").locator(".upload-pause").click();
    const output = page.locator("form output");
    await until("the sentence", async () => (await output.textContent()) === "A file is paused. Resume or remove it, then send again");
    assert.equal(await page.getAttribute("form", "aria-busy"), null);
    t.server.proxy.rush();
    await row(page, "slow.mp4").locator(".upload-pause").click();
    await settled(page, "slow.mp4");
    await page.click("form button");
    await until("the answer", async () => (await book(page)).results.length === 1);
    await sane(page);
  },

  async "text that is pasted into a field stays there, a picture alone is uploaded"(t) {
    const page = await visit(t);
    await page.evaluate(() => document.querySelector("main").insertAdjacentHTML("beforeend", `<textarea id="text"></textarea>`));
    const paste = (withText) =>
      page.evaluate((withText) => {
        const clipboardData = new DataTransfer();
        if (withText) clipboardData.setData("text/plain", "words");
        clipboardData.items.add(new File([new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])], "copied.png", { type: "image/png" }));
        const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
        document.querySelector("#text").dispatchEvent(event);
        return event.defaultPrevented;
      }, withText);
    assert.equal(await paste(true), false);
    assert.equal(await page.locator(".upload-row").count(), 0);
    assert.equal(await paste(false), true);
    await until("the picture", async () => (await page.locator(".upload-row").count()) === 1);
    await sane(page);
  },

  async "the focus stays in the list when a row is removed"(t) {
    const page = await visit(t);
    const names = ["a.exe", "b.exe", "c.exe"];
    await pick(page, "documents", names.map((name) => ({ name, mimeType: "", buffer: Buffer.alloc(3) })));
    for (const name of names) await settled(page, name, "error");
    const focused = () => page.evaluate(() => [document.activeElement.className, document.activeElement.title].join(" "));
    await row(page, "b.exe").locator(".upload-cancel").focus();
    await page.keyboard.press("Enter");
    assert.equal(await focused(), "upload-cancel c.exe");
    await page.keyboard.press("Enter");
    assert.equal(await focused(), "upload-cancel a.exe");
    await page.keyboard.press("Enter");
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("dj-upload-progress")), "documents");
    await sane(page);
  },

  async "a file that is dropped where no one takes it does not open, and the page stays"(t) {
    const page = await visit(t);
    const { length } = page.context().pages();
    const paths = [await file(t.path("stray.txt"), "x")];
    await drop(page, "h1", paths);
    await sleep(800);
    assert.equal(page.url(), plain(t.server));
    assert.equal(page.context().pages().length, length);
    assert.equal(await page.locator(".upload-row").count(), 0);
    await drop(page, ".documents .zone", paths);
    await settled(page, "stray.txt");
    await sane(page);
  },

  async "a question before the page is left while something would be lost, and none otherwise"(t) {
    const page = await visit(t);
    const asked = [];
    page.on("dialog", async (dialog) => {
      asked.push(dialog.type());
      await dialog.dismiss();
    });
    await page.click("h1"); // browsers ask only where someone did something
    t.server.proxy.brake(500_000);
    await pick(page, "documents", await file(t.path("lost.txt"), "words ".repeat(500_000)));
    await until("bytes", async () => (await book(page)).sent > 100_000);
    await page.close({ runBeforeUnload: true });
    await until("the question", () => asked.length === 1);
    assert.deepEqual(asked, ["beforeunload"]);
    t.server.proxy.rush();
    await settled(page, "lost.txt");
    await page.close({ runBeforeUnload: true });
    await until("the page to close", () => page.isClosed());
    assert.equal(asked.length, 1);
  },

  async "with the small style sheet a bare page shows progress, in light and dark"(t) {
    for (const colorScheme of ["light", "dark"]) {
      const page = await visit(t, { browser: { colorScheme, viewport: { width: 600, height: 500 } } });
      await page.evaluate(() => {
        document.querySelector("link[rel=stylesheet]").remove();
        document.head.insertAdjacentHTML("beforeend", `<link rel="stylesheet" href="/uploads/client/uploads.css"><meta name="color-scheme" content="light dark">`);
        document.body.innerHTML = `<p id="connection"><span id="state"></span><button id="try"></button></p><div id="bar"><progress id="sum"></progress><b id="total"></b></div><p id="notice"></p><button id="pause"></button><button id="cancel"></button><button id="retry"></button><button id="clear"></button><input type="file" dj-upload="documents"><ul dj-upload-progress="documents"></ul>`;
        for (const extra of document.querySelectorAll("body > :not(input, ul)")) extra.hidden = true;
      });
      t.server.proxy.brake(300_000);
      await page.setInputFiles("input[type=file]", await file(t.path("page.txt"), "words ".repeat(300_000)));
      await until("bytes", async () => (await book(page)).sent > 100_000);
      const box = await page.locator(".upload-progress-track").boundingBox();
      assert.ok(box.height >= 4 && box.width > 200, JSON.stringify(box));
      assert.notEqual(await page.locator(".upload-progress-bar").evaluate((bar) => getComputedStyle(bar).backgroundColor), "rgba(0, 0, 0, 0)");
      assert.equal(await page.locator(".upload-retry").isVisible(), false);
      await picture(t, page, `small-style-${colorScheme}`);
      t.server.proxy.rush();
      await settled(page, "page.txt");
    }
  },

  async "complete is reported once for each file, and previews of cancelled files go"(t) {
    const page = await visit(t);
    t.server.proxy.brake(1_000_000);
    await page.evaluate(() => document.querySelector("main").insertAdjacentHTML("afterbegin", `<div id="tiles" dj-upload-preview="documents"></div>`));
    await pick(page, "documents", await file(t.path("big.txt"), bytes(4_000_000).toString("hex")));
    await until("a tile", async () => (await page.locator("#tiles figure").count()) === 1);
    await row(page, "big.txt").locator(".upload-cancel").click();
    await settled(page, "big.txt", "cancelled");
    await until("no tile", async () => (await page.locator("#tiles figure").count()) === 0);
    t.server.proxy.rush();
    await pick(page, "documents", await Promise.all([1, 2, 3, 4].map((i) => file(t.path(`n${i}.txt`), `text ${i}`))));
    for (let i = 1; i <= 4; i++) await settled(page, `n${i}.txt`);
    await sleep(300);
    const { events } = await book(page);
    for (let i = 1; i <= 4; i++) assert.equal(events.filter((e) => e.name === `n${i}.txt` && e.status === "complete").length, 1);
    assert.equal(await status(page, "n1.txt"), "complete");
    await sane(page);
  },

  async "a pick of 1,001 files where 1,000 are allowed at a time waits for places that completion frees, and all are stored"(t) {
    const server = await t.serve({ config: `[slots.bulk]\naccept = ".txt"\nmax_entries = 1_000\nmax_file_size = 1_000\nwriter = "discard"\n` });
    const page = await visit(t, { url: plain(server) });
    await page.evaluate(() => document.querySelector("main").insertAdjacentHTML("beforeend", `<input type="file" multiple dj-upload="bulk">`));
    await pick(page, "bulk", Array.from({ length: 1001 }, (_, i) => ({ name: `d${i}.txt`, mimeType: "text/plain", buffer: Buffer.from(`text ${i}`) })));
    await until("the total", async () => (await total(page)) === "1,001 of 1,001 files uploaded");
    assert.deepEqual((await book(page)).errors, []);
    await sane(page);
  },

  async "more files than there are places wait for one where completion frees them, and all are stored"(t) {
    const page = await visit(t);
    await pick(page, "documents", Array.from({ length: 23 }, (_, i) => ({ name: `d${i}.txt`, mimeType: "text/plain", buffer: Buffer.from(`text ${i}`) })));
    await until("the total", async () => (await total(page)) === "23 of 23 files uploaded");
    await until("its row", async () => (await words(page, "d22.txt")) === "Done");
    assert.equal((await t.server.stored("documents")).length, 23);
    await picture(t, page, "many");
    await sane(page);
  },
};
