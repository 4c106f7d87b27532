/** What every supported browser has to do, on the demo page and the real server; run in Firefox and WebKitGTK. */
import assert from "node:assert/strict";
import { bytes, file, sha256, until, video } from "../page.mjs";

// These run in the page.
const inputOf = (slot) => document.querySelector(`upload-dropzone[slot="${slot}"]`).shadowRoot.querySelector("input[type=file]");
const buttonOf = (slot, name, part) => {
  const rows = [...document.querySelector(`upload-dropzone[slot="${slot}"]`).shadowRoot.querySelectorAll(".row")];
  return rows.find((row) => row.querySelector(".name").title === name).querySelector(`.${part}`);
};
const placeOf = (slot, name, part) => {
  const rows = [...document.querySelector(`upload-dropzone[slot="${slot}"]`).shadowRoot.querySelectorAll(".row")];
  const button = rows.find((row) => row.querySelector(".name").title === name).querySelector(`.${part}`);
  // As whoever clicks it does; the driver of WebKitGTK knows nothing of rows that are not drawn out of view.
  button.scrollIntoView({ block: "nearest" });
  const { left, top } = button.getBoundingClientRect();
  return [left, top].join();
};
const rowsOf = (slot) => {
  const rows = [...document.querySelector(`upload-dropzone[slot="${slot}"]`).shadowRoot.querySelectorAll(".row")];
  return rows.map((row) => ({ name: row.querySelector(".name").title, status: row.dataset.status, state: row.querySelector(".state").textContent }));
};
const isReady = () => [...document.querySelectorAll("upload-dropzone")].some((zone) => /\d/.test(zone.shadowRoot?.querySelector(".hint")?.textContent ?? ""));
const storedOf = async (slot) => {
  const { uploads } = await import("/uploads/client/index.js");
  return Math.max(0, ...uploads.uploads.filter((upload) => upload.slot === slot).map(({ progress }) => progress.stored));
};

const isRecorded = () =>
  new Promise((done, fail) => {
    const request = indexedDB.open("uploads", 1);
    setTimeout(() => done(false), 2000);
    request.onerror = fail;
    request.onsuccess = () => {
      const count = request.result.transaction("records").objectStore("records").count();
      count.onerror = fail;
      count.onsuccess = () => done(count.result > 0);
    };
  });

async function open(t) {
  const page = await t.engine.visit(t.server.url);
  t.onEnd(() => page.close());
  await until("the page", () => page.run(isReady));
  return page;
}

const settled = (page, slot, name, status = "complete") =>
  until(`${name} ${status}`, async () => (await page.run(rowsOf, slot)).some((row) => row.name === name && row.status === status)).catch(async (error) => {
    throw new Error(`${error.message}: ${JSON.stringify(await page.run(rowsOf, slot))}`);
  });

/** Clicks a button once it stands still: a driver finds its place first and clicks there, whatever has moved meanwhile. */
async function click(page, ...button) {
  let place;
  await until("the button to stand still", async () => {
    const before = place;
    place = await page.run(placeOf, ...button);
    return before === place;
  });
  await page.click(buttonOf, ...button);
}

export default {
  async pick(t) {
    const page = await open(t);
    const texts = ["words ".repeat(300_000), ""];
    const paths = await Promise.all(texts.map((text, i) => file(t.path(`text${i}.txt`), text)));
    await page.pick(inputOf, paths, "documents");
    for (const i of [0, 1]) await settled(page, "documents", `text${i}.txt`);
    assert.deepEqual((await t.server.stored("documents")).map((stored) => stored.sha256), texts.map(sha256));
  },

  async cancel(t) {
    const page = await open(t);
    t.server.proxy.brake(1_000_000);
    await page.pick(inputOf, [await file(t.path("long.mp4"), video(9_000_000))], "video");
    await until("bytes", async () => (await page.run(storedOf, "video")) > 300_000);
    await click(page, "video", "long.mp4", "remove");
    await settled(page, "video", "long.mp4", "cancelled");
    t.server.proxy.rush();
    assert.deepEqual(await t.server.stored("video"), []);
  },

  async remove(t) {
    // A slot whose files wait for a handler.
    const app = await t.example("axum_app");
    const page = await t.engine.visit(app.url);
    t.onEnd(() => page.close());
    await page.run(async () => {
      await import("/uploads/client/dropzone.js");
      document.body.innerHTML = `<upload-dropzone slot="avatar"></upload-dropzone>`;
    });
    await until("the rules", () => page.run(isReady));
    const picture = (seed) => Buffer.concat([Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"), bytes(5000, seed)]);
    const names = ["first.png", "second.png"];
    const paths = await Promise.all(names.map((name, i) => file(t.path(name), picture(i))));
    const stored = async () => (await app.stored("avatar", "uploads")).map(({ sha256 }) => sha256);
    await page.pick(inputOf, [paths[0]], "avatar");
    await settled(page, "avatar", names[0]);
    assert.deepEqual(await stored(), [sha256(picture(0))]);
    await page.pick(inputOf, [paths[1]], "avatar");
    await settled(page, "avatar", names[1]);
    assert.deepEqual((await page.run(rowsOf, "avatar")).map(({ name }) => name), [names[1]], "it replaced the first");
    assert.deepEqual(await stored(), [sha256(picture(1))]);
    await click(page, "avatar", names[1], "remove");
    await until("no row", async () => (await page.run(rowsOf, "avatar")).length === 0);
    assert.deepEqual(await stored(), [], "nothing is left at the server");
  },

  async reload(t) {
    const page = await open(t);
    t.server.proxy.brake(3_000_000);
    const content = video(9_000_000);
    const path = await file(t.path("again.mp4"), content);
    await page.pick(inputOf, [path], "video");
    await until("bytes", async () => (await page.run(storedOf, "video")) > 1_500_000);
    // WebKitGTK's storage is a separate process, which a busy machine keeps from writing for a while.
    await until("the record", () => page.run(isRecorded));
    await page.reload();
    await until("the page", () => page.run(isReady));
    await until("the offer to continue", async () => (await page.run(rowsOf, "video"))[0]?.state === "Choose this file again to continue");
    await page.run(async () => {
      const { uploads } = await import("/uploads/client/index.js");
      window.begun = undefined;
      uploads.on("progress", ({ status, progress }) => status === "uploading" && (window.begun ??= progress.received));
    });
    t.server.proxy.rush();
    await page.pick(inputOf, [path], "video");
    await settled(page, "video", "again.mp4");
    assert.ok((await page.run(() => window.begun)) > 1_000_000, "it continued where it was");
    assert.deepEqual((await t.server.stored("video")).map((stored) => stored.sha256), [sha256(content)]);
  },

  async form(t) {
    const page = await open(t);
    await page.run(() => {
      const form = document.createElement("form");
      form.innerHTML = `<upload-dropzone slot="documents" name="papers" required></upload-dropzone>`;
      for (const zone of document.querySelectorAll("upload-dropzone")) zone.remove();
      document.querySelector("main").append(form);
    });
    assert.equal(await page.run(() => document.querySelector("form").checkValidity()), false, "a required one without a file");
    await page.pick(inputOf, [await file(t.path("paper.txt"), "paper")], "documents");
    await settled(page, "documents", "paper.txt");
    const [valid, named, refs] = await page.run(() => {
      const form = document.querySelector("form");
      return [form.checkValidity(), new FormData(form).getAll("papers"), document.querySelector("upload-dropzone").files.map(({ ref }) => ref)];
    });
    assert.equal(valid, true);
    assert.equal(named.length, 1);
    assert.deepEqual(named, refs);
  },

  async refusal(t) {
    const page = await open(t);
    await page.pick(inputOf, [await file(t.path("tool.exe"), "MZ")], "documents");
    await settled(page, "documents", "tool.exe", "error");
    assert.equal((await page.run(rowsOf, "documents"))[0].state, "This type is not accepted: only PDF, TXT, CSV, DOCX");
    await page.pick(inputOf, [await file(t.path("liar.png"), Buffer.concat([Buffer.from("MZ"), Buffer.alloc(4000)]))], "avatar");
    await settled(page, "avatar", "liar.png", "error");
    assert.equal((await page.run(rowsOf, "avatar"))[0].state, "This is not really a PNG file");
    assert.deepEqual(await t.server.stored("avatar"), []);
  },

  async restart(t) {
    const page = await open(t);
    t.server.proxy.brake(2_000_000);
    const content = video(9_000_000);
    await page.pick(inputOf, [await file(t.path("kept.mp4"), content)], "video");
    await until("bytes", async () => (await page.run(storedOf, "video")) > 1_000_000);
    await t.server.restart("SIGKILL");
    t.server.proxy.rush();
    await settled(page, "video", "kept.mp4");
    assert.deepEqual((await t.server.stored("video")).map((stored) => stored.sha256), [sha256(content)]);
  },

  async fallback(t) {
    t.server.proxy.bar();
    const page = await open(t);
    const received = () =>
      page.run(async () => {
        const { uploads } = await import("/uploads/client/index.js");
        return Math.max(0, ...uploads.uploads.map(({ progress }) => progress.received));
      });
    t.server.proxy.brake(2_000_000);
    const content = video(9_000_000);
    await page.pick(inputOf, [await file(t.path("barred.mp4"), content)], "video");
    await until("bytes", async () => (await received()) > 1_000_000);
    await t.server.restart("SIGKILL");
    t.server.proxy.rush();
    await settled(page, "video", "barred.mp4");
    assert.deepEqual((await t.server.stored("video")).map((stored) => stored.sha256), [sha256(content)]);
    await page.pick(inputOf, [await file(t.path("liar.png"), Buffer.concat([Buffer.from("MZ"), Buffer.alloc(4000)]))], "avatar");
    await settled(page, "avatar", "liar.png", "error");
    assert.equal((await page.run(rowsOf, "avatar"))[0].state, "This is not really a PNG file");
    assert.deepEqual(await t.server.stored("avatar"), []);
    t.server.proxy.brake(0);
    await page.pick(inputOf, [await file(t.path("long.mp4"), video(9_000_000, 2))], "video");
    await until("a row", async () => (await page.run(rowsOf, "video")).some((row) => row.name === "long.mp4" && row.status === "uploading"));
    await click(page, "video", "long.mp4", "remove");
    await settled(page, "video", "long.mp4", "cancelled");
    t.server.proxy.rush();
    assert.equal((await t.server.stored("video")).length, 1);
  },
};
