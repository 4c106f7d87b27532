/** Every attribute, button and event of the markup. */
import assert from "node:assert/strict";
import { book, bytes, drop, file, photos, pick, row, sane, settled, sha256, status, until, video, visit } from "../page.mjs";

const textOf = (page, name, cls) => row(page, name).locator(cls).first().textContent();

export default {
  async "rows of the page's own, from a template in the box"(t) {
    const page = await visit(t);
    await page.evaluate(() => {
      document.querySelector('[dj-upload-progress="documents"]').innerHTML = `<template>
        <li class="mine"><b class="upload-name"></b> <i class="upload-state"></i> <progress max="100"></progress>
          <button type="button" class="upload-pause"><svg width="9" height="9"></svg></button> <button type="button" class="upload-cancel"></button></li>
      </template>`;
    });
    t.server.proxy.brake(500_000);
    await pick(page, "documents", [await file(t.path("notes.txt"), "words ".repeat(400_000))]);
    const mine = page.locator('[dj-upload-progress="documents"] > li.mine');
    await until("a row that is sent", async () => (await mine.getAttribute("data-status")) === "uploading");
    const name = (part) => mine.locator(part).getAttribute("aria-label");
    await until("the names of the buttons", async () => (await name(".upload-pause")) === "Pause notes.txt" && (await name(".upload-cancel")) === "Cancel notes.txt");
    assert.equal(await mine.locator(".upload-pause svg").count(), 1, "the picture stays");
    await mine.locator(".upload-pause").click();
    await until("a pause", async () => (await name(".upload-pause")) === "Resume notes.txt" && (await mine.locator(".upload-state").textContent()) === "Paused");
    t.server.proxy.rush();
    await mine.locator(".upload-pause").click();
    await until("the end", async () => (await mine.getAttribute("data-status")) === "complete");
    assert.deepEqual([await mine.locator(".upload-name").textContent(), await mine.locator(".upload-state").textContent(), await mine.locator(".upload-size").count()], ["notes.txt", "Done", 0]);
    assert.equal(await page.locator('[dj-upload-progress="documents"] > .upload-row').count(), 1);
    await mine.locator(".upload-cancel").click();
    await until("no row", async () => (await mine.count()) === 0);
    await sane(page);
  },

  async "picking files: accept, multiple, rows, events, and the stored bytes"(t) {
    const page = await visit(t);
    const inputs = await page.$$eval("input[dj-upload]:not([webkitdirectory])", (all) => all.map((i) => [i.getAttribute("dj-upload"), i.accept, i.multiple]));
    assert.deepEqual(inputs, [["avatar", "image/*", false], ["documents", ".pdf,.txt,.csv,.docx", true], ["photos", "image/*", true], ["video", ".mp4,.mov,.webm", true]]);
    const a = await file(t.path("notes.txt"), "words ".repeat(400_000));
    const b = await file(t.path("empty.txt"), "");
    await pick(page, "documents", [a, b]);
    await settled(page, "notes.txt");
    await settled(page, "empty.txt");
    assert.deepEqual((await t.server.stored("documents")).map((f) => [f.name, f.sha256]), [["empty.txt", sha256("")], ["notes.txt", sha256("words ".repeat(400_000))]]);
    const bar = row(page, "notes.txt").locator(".upload-progress-bar");
    assert.equal(await bar.getAttribute("role"), "progressbar");
    assert.equal(await bar.getAttribute("aria-valuenow"), "100");
    assert.equal(await bar.getAttribute("aria-valuemax"), "100");
    assert.equal(await bar.getAttribute("aria-label"), "notes.txt");
    assert.equal(await bar.evaluate((e) => e.style.width), "100%");
    assert.equal(await textOf(page, "notes.txt", ".upload-progress-text"), "100%");
    const { events, djust, errors } = await book(page);
    const mine = events.filter((e) => e.name === "notes.txt");
    assert.equal(djust, events.length, "both prefixes say the same");
    const last = mine.at(-1);
    assert.deepEqual([last.status, last.phase, last.progress, last.uploadName, last.stored, last.sent, last.size], ["complete", "done", 100, "documents", 2_400_000, 2_400_000, 2_400_000]);
    for (const e of mine) for (const key of ["ref", "progress", "status", "uploadName", "phase", "sent", "stored", "size", "bytesPerSecond", "secondsLeft"]) assert.ok(key in e, key);
    assert.equal(await row(page, "notes.txt").getAttribute("data-upload-ref"), last.ref);
    assert.deepEqual(errors, []);
    await sane(page);
  },

  async "what the slot refuses is told before a byte is sent"(t) {
    const page = await visit(t);
    const explained = [];
    page.on("console", (message) => message.text().startsWith("upload: ") && explained.push(message.text()));
    await pick(page, "documents", [{ name: "tool.exe", mimeType: "", buffer: Buffer.alloc(9) }, { name: "more.exe", mimeType: "", buffer: Buffer.alloc(9) }, { name: "page.html", mimeType: "text/html", buffer: Buffer.alloc(9) }]);
    await pick(page, "avatar", { name: "huge.png", mimeType: "image/png", buffer: Buffer.alloc(5_000_001) });
    for (const [name, words] of [["tool.exe", "This type is not accepted: only PDF, TXT, CSV, DOCX"], ["page.html", "Files that a browser would run (HTML, SVG, scripts) are not allowed"], ["huge.png", "5.0 MB is too large: at most 5 MB is allowed"]]) {
      await settled(page, name, "error");
      assert.equal(await textOf(page, name, ".upload-state"), words);
    }
    const { errors, registered, djustErrors } = await book(page);
    assert.deepEqual(errors.map((e) => [e.file, e.code, e.retry]).sort(), [["huge.png", "too_large", "never"], ["more.exe", "type_not_accepted", "never"], ["page.html", "active_content", "never"], ["tool.exe", "type_not_accepted", "never"]]);
    assert.ok(errors.every((e) => e.error));
    assert.equal(djustErrors.length, 4);
    assert.equal(registered, 0);
    const codes = ["active_content", "too_large", "type_not_accepted"];
    await until("a line of the console for each code", () => explained.length >= codes.length);
    const lines = codes.map((code) => `upload: ${code}, see https://github.com/upload-rs/upload/blob/main/docs/errors.md#${code}`);
    assert.deepEqual(explained.sort(), lines, "once each");
    await row(page, "tool.exe").locator(".upload-cancel").click();
    assert.equal(await row(page, "tool.exe").count(), 0);
    await sane(page);
  },

  async "what the server refuses is told too"(t) {
    const page = await visit(t);
    await pick(page, "avatar", { name: "liar.png", mimeType: "image/png", buffer: Buffer.concat([Buffer.from("MZ"), Buffer.alloc(4000)]) });
    await settled(page, "liar.png", "error");
    assert.equal((await book(page)).errors[0].code, "content_mismatch");
    assert.deepEqual(await t.server.stored("avatar"), []);
  },

  async "names and messages are never markup"(t) {
    const page = await visit(t);
    const name = `<img src=x onerror=alert(1)>"'&.txt`;
    await pick(page, "documents", { name, mimeType: "text/plain", buffer: Buffer.from("hello") });
    const shown = page.locator(".upload-row .upload-name").first();
    await until("a row", () => shown.count());
    assert.equal(await shown.textContent(), name);
    await until("its end", async () => ["complete", "error"].includes(await page.locator(".upload-row").first().getAttribute("data-status")));
    assert.equal(await page.locator("img[src=x]").count(), 0);
    await sane(page);
  },

  async "dropping several files, and a folder with its paths"(t) {
    const page = await visit(t);
    const all = [];
    for (let i = 0; i < 4; i++) all.push(await file(t.path(`drop${i}.txt`), bytesText(3000 + i)));
    assert.equal(await drop(page, ".documents .zone", [all[0]], { leave: true }), true, "upload-dragover while dragging");
    await until("the mark to go", async () => (await page.locator(".upload-dragover").count()) === 0);
    assert.equal(await drop(page, ".documents .zone", all), true);
    for (let i = 0; i < 4; i++) await settled(page, `drop${i}.txt`);
    assert.equal(await page.locator(".upload-dragover").count(), 0);
    const pictures = await photos(page, t.path("album"), 3);
    await file(t.path("album", "inner", "deep", "more.jpg"), await (await import("node:fs/promises")).readFile(pictures[0]));
    await page.evaluate(() => {
      window.paths = [];
      const send = WebSocket.prototype.send;
      WebSocket.prototype.send = function (data) {
        if (typeof data === "string" && data.includes("upload_register")) window.paths.push(JSON.parse(data).relative_path);
        return send.call(this, data);
      };
    });
    await drop(page, ".photos .zone", [t.path("album")]);
    await until("four photos", async () => (await t.server.stored("photos")).length === 4);
    assert.deepEqual((await page.evaluate(() => window.paths)).sort(), ["album/IMG_4000.jpg", "album/IMG_4001.jpg", "album/IMG_4002.jpg", "album/inner/deep/more.jpg"]);
    await sane(page);
  },

  async "pasting a picture with the keyboard, and files where dj-upload is"(t) {
    const page = await visit(t, { browser: { permissions: ["clipboard-read", "clipboard-write"] } });
    await page.evaluate(async () => {
      const canvas = new OffscreenCanvas(90, 60);
      canvas.getContext("2d").fillRect(5, 5, 40, 40);
      await navigator.clipboard.write([new ClipboardItem({ "image/png": await canvas.convertToBlob() })]);
    });
    await page.locator("body").press("Control+v");
    await until("the pasted picture", async () => (await t.server.stored("photos")).length === 1);
    // A synthetic paste, for kinds of files a page cannot put on the clipboard.
    const paste = (selector) =>
      page.evaluate((at) => {
        const clipboardData = new DataTransfer();
        clipboardData.items.add(new File(["a,b"], "pasted.csv", { type: "text/csv" }));
        const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
        document.querySelector(at).dispatchEvent(event);
        return event.defaultPrevented;
      }, selector);
    assert.equal(await paste("input[dj-upload=documents]"), true);
    await settled(page, "pasted.csv");
    await page.evaluate(() => document.body.removeAttribute("dj-upload"));
    assert.equal(await paste("h1"), false, "nothing is taken where no dj-upload is");
    await sane(page);
  },

  async "previews: object URLs for pictures, name and size for others"(t) {
    // The page's policy would forbid the look whether the URL is still good.
    const page = await visit(t, { browser: { viewport: { width: 900, height: 300 }, bypassCSP: true } });
    await page.evaluate(() => {
      const box = document.createElement("div");
      box.setAttribute("dj-upload-preview", "documents");
      box.id = "extra";
      document.querySelector("main").prepend(box);
    });
    const [picture] = await photos(page, t.dir, 1, 1600, 1200);
    await pick(page, "photos", picture);
    const img = page.locator(".gallery img");
    await until("its place", () => img.count());
    await page.waitForTimeout(300);
    assert.equal(await img.getAttribute("src"), null, "not before it is seen");
    await img.scrollIntoViewIfNeeded();
    await until("a thumbnail", async () => (await img.count()) && (await img.evaluate((i) => i.naturalWidth)) > 0);
    assert.match(await img.getAttribute("src"), /^blob:/);
    assert.ok((await img.evaluate((i) => i.naturalWidth)) <= 320, "a small one");
    await until("the URL to be revoked", () => img.evaluate((i) => fetch(i.src).then(() => false, () => true)));
    await pick(page, "documents", await file(t.path("plain.txt"), "x".repeat(1234)));
    await settled(page, "plain.txt");
    assert.equal(await page.locator("#extra .upload-preview").textContent(), "plain.txt1.2 kB");
    page.trouble.length = 0; // the fetch of a revoked URL
    await sane(page);
  },

  async "pause, resume, cancel, retry by their buttons"(t) {
    const page = await visit(t);
    t.server.proxy.brake(1_000_000);
    const content = video(6_000_000);
    await pick(page, "video", [await file(t.path("a.mp4"), content), await file(t.path("b.mp4"), video(6_000_000, 2))]);
    await until("bytes", async () => (await book(page)).sent > 500_000);
    const button = (name, cls) => row(page, name).locator(cls);
    assert.equal(await button("a.mp4", ".upload-pause").getAttribute("aria-label"), "Pause a.mp4");
    await button("a.mp4", ".upload-pause").click();
    await until("paused", async () => (await status(page, "a.mp4")) === "paused");
    assert.equal(await button("a.mp4", ".upload-pause").textContent(), "Resume");
    await button("b.mp4", ".upload-cancel").click();
    await settled(page, "b.mp4", "cancelled");
    const { sent } = await page.evaluate(() => window.book);
    await page.waitForTimeout(800);
    assert.equal((await book(page)).sent, sent, "nothing goes out while paused");
    t.server.proxy.rush();
    await button("a.mp4", ".upload-pause").click();
    await settled(page, "a.mp4");
    assert.deepEqual((await t.server.stored("video")).map((f) => f.sha256), [sha256(content)]);
    assert.deepEqual((await book(page)).statuses["b.mp4"].cancelled, true);
    await sane(page);
  },

  async "the keyboard alone"(t) {
    const page = await visit(t);
    t.server.proxy.brake(1_000_000);
    const path = await file(t.path("keys.mp4"), video(5_000_000));
    let chooser;
    page.on("filechooser", (c) => (chooser = c));
    const focused = () => page.evaluate(() => [document.activeElement.getAttribute("dj-upload"), document.activeElement.className, document.activeElement.title].join(" ").trim());
    const tabTo = async (wanted) => {
      for (let i = 0; i < 40; i++) {
        if ((await focused()) === wanted) return;
        await page.keyboard.press("Tab");
      }
      throw new Error(`no way to ${wanted} by Tab, last at ${await focused()}`);
    };
    await tabTo("video");
    const outline = await page.locator("input[dj-upload=video] + span").evaluate((e) => getComputedStyle(e).outlineStyle);
    assert.equal(outline, "solid", "focus can be seen");
    await page.keyboard.press("Enter");
    await until("the file chooser", () => chooser);
    await chooser.setFiles(path);
    await until("bytes", async () => (await book(page)).sent > 300_000);
    await tabTo("upload-pause keys.mp4");
    await page.keyboard.press("Space");
    await until("paused", async () => (await status(page, "keys.mp4")) === "paused");
    assert.equal(await focused(), "upload-pause keys.mp4", "focus stays");
    await page.keyboard.press("Enter");
    await until("going on", async () => (await status(page, "keys.mp4")) === "uploading");
    await tabTo("upload-cancel keys.mp4");
    await page.keyboard.press("Enter");
    await settled(page, "keys.mp4", "cancelled");
    await sane(page);
  },

  async "elements added, changed and bound only once"(t) {
    const page = await visit(t);
    await page.evaluate(() => {
      const box = document.createElement("div");
      box.innerHTML = `<input type="file" id="new" dj-upload="avatar"><div id="list" dj-upload-progress="documents"></div>`;
      document.querySelector("main").append(box);
    });
    await until("accept", () => page.$eval("#new", (i) => i.accept === "image/*" && !i.multiple));
    await page.$eval("#new", (i) => i.setAttribute("dj-upload", "documents"));
    await until("the other slot's accept", () => page.$eval("#new", (i) => i.accept === ".pdf,.txt,.csv,.docx" && i.multiple));
    // Out and in again, and the attribute set once more: still one upload for one file.
    await page.$eval("#new", (i) => {
      const parent = i.parentNode;
      i.remove();
      parent.append(i);
      i.setAttribute("dj-upload", "documents");
    });
    await page.setInputFiles("#new", await file(t.path("once.txt"), "once"));
    await until("a row in both lists", async () => (await row(page, "once.txt").count()) === 2);
    await until("stored", async () => (await t.server.stored("documents")).length === 1);
    await page.waitForTimeout(300);
    assert.equal((await book(page)).registered, 1);
    assert.equal(await page.locator("#list .upload-row").count(), 1);
    await page.$eval("#list", (l) => l.setAttribute("dj-upload-progress", "photos"));
    await until("an empty list for the other slot", async () => (await page.locator("#list .upload-row").count()) === 0);
    await sane(page);
  },

  async "a box that is taken out and put back has its rows again, and so has a new one"(t) {
    const page = await visit(t);
    await pick(page, "documents", await file(t.path("a.txt"), "x"));
    await pick(page, "documents", [{ name: "b.exe", mimeType: "", buffer: Buffer.alloc(3) }]);
    await settled(page, "a.txt");
    await settled(page, "b.exe", "error");
    await page.evaluate(async () => {
      const box = document.querySelector("[dj-upload-progress=documents]");
      const { parentElement } = box;
      box.remove();
      await new Promise((done) => setTimeout(done, 200));
      parentElement.append(box);
      document.querySelector("main").insertAdjacentHTML("beforeend", `<div id="second" dj-upload-progress="documents"></div>`);
    });
    for (const name of ["a.txt", "b.exe"]) await until(`two rows of ${name}`, async () => (await row(page, name).count()) === 2, 5000);
    await row(page, "b.exe").first().locator(".upload-cancel").click();
    await until("no row", async () => (await row(page, "b.exe").count()) === 0);
    await sane(page);
  },

  async "an unfinished file that was moved says so in its row"(t) {
    const page = await visit(t);
    await page.evaluate(async () => {
      const { uploads } = await import("/uploads/client/index.js");
      const handle = { requestPermission: async () => "granted", getFile: () => Promise.reject(new DOMException("gone", "NotFoundError")) };
      uploads.pending = async () => [{ ref: "6e0d3b3c-58a8-4a4e-9a6c-0d2a1c3f5b77", slot: "documents", name: "moved.txt", size: 1234, handle }];
      document.querySelector("main").insertAdjacentHTML("beforeend", `<div id="moved" dj-upload-progress="documents"></div>`);
    });
    // Every box of the page asks for what is pending, and may have this row.
    const box = page.locator("#moved");
    await box.locator(".upload-resume").click();
    await until("the sentence", async () => (await box.locator(".upload-state").textContent()) === "The file could not be opened. Choose it again", 5000);
    await sane(page);
  },

  async "dj-submit and dj-click send events and show what came back"(t) {
    const page = await visit(t);
    await page.evaluate(() => {
      const box = document.createElement("div");
      box.innerHTML = `<form dj-submit="save"><input name="title" value="Holiday"><input name="tag" value="a"><input name="tag" value="b"><input type="file" dj-upload="later"><button>Save</button><output></output></form>
        <button id="press" dj-click="hello" data-who="you">Hello</button><p dj-result="hello"></p>`;
      document.querySelector("main").append(box);
      window.events = [];
      addEventListener("upload:event", ({ detail }) => window.events.push(detail));
      const send = WebSocket.prototype.send;
      window.sentEvents = [];
      WebSocket.prototype.send = function (data) {
        if (typeof data === "string" && data.includes('"type":"event"')) window.sentEvents.push(JSON.parse(data));
        return send.call(this, data);
      };
    });
    await until("the slot", () => page.$eval("form input[type=file]", (i) => i.accept === ".txt"));
    await page.setInputFiles("form input[type=file]", await file(t.path("held.txt"), "held back"));
    await page.waitForTimeout(500);
    assert.deepEqual(await t.server.stored("later"), [], "auto_upload is off");
    await page.locator("form[dj-submit] button").click();
    // The ready binary has no handlers: it says so, and that is what must be shown.
    await until("an answer", async () => (await page.locator("form output").textContent()) !== "");
    assert.equal((await t.server.stored("later")).length, 1, "the form's files went first");
    assert.equal(await page.locator("form output").getAttribute("data-ok"), "false");
    await page.locator("#press").click();
    await until("an answer", async () => (await page.locator("[dj-result=hello]").textContent()) !== "");
    const sent = await page.evaluate(() => window.sentEvents);
    assert.deepEqual(sent.map((e) => [e.event, e.params]), [["save", { title: "Holiday", tag: ["a", "b"] }], ["hello", { who: "you" }]]);
    const events = await page.evaluate(() => window.events);
    assert.deepEqual(events.map((e) => [e.id, e.ok, e.code]), sent.map((e) => [e.id, false, "unknown_event"]));
    await sane(page);
  },

  async "the page's own bar: pause, cancel and clear all"(t) {
    const page = await visit(t);
    t.server.proxy.brake(1_000_000);
    await pick(page, "video", [await file(t.path("one.mp4"), video(3_000_000)), await file(t.path("two.mp4"), video(3_000_000, 2))]);
    await until("bytes", async () => (await book(page)).sent > 300_000);
    await page.click("#pause");
    for (const name of ["one.mp4", "two.mp4"]) await until(`${name} paused`, async () => (await status(page, name)) === "paused");
    await page.click("#pause");
    for (const name of ["one.mp4", "two.mp4"]) await until(`${name} going on`, async () => (await status(page, name)) === "uploading");
    await page.click("#cancel");
    for (const name of ["one.mp4", "two.mp4"]) await settled(page, name, "cancelled");
    await page.click("#clear");
    assert.equal(await page.locator(".upload-row").count(), 0);
    await sane(page);
  },
};

function bytesText(length) {
  return bytes(length).toString("hex");
}
