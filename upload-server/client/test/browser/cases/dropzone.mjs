/** The widget: `<upload-dropzone>` on the demo page, in forms, and under a keyboard. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import { book, bytes, drop, file, photos, sane, sha256, until, video, visit } from "../page.mjs";
import { bundle } from "../react.mjs";

const AXE = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

const zone = (page, slot) => page.locator(`upload-dropzone[slot="${slot}"]`);
const pickIn = (page, slot, files) => zone(page, slot).locator("input[type=file]:not([webkitdirectory])").setInputFiles(files);
const rowIn = (page, slot, name) => zone(page, slot).locator(".row", { has: page.locator(`.name[title="${name}"]`) });
const stateOf = (page, slot, name) => rowIn(page, slot, name).locator(".state").textContent();
const ended = (page, slot, name, status = "complete") => until(`${name} ${status}`, async () => (await rowIn(page, slot, name).count()) && (await rowIn(page, slot, name).getAttribute("data-status")) === status);

/** The demo page, with its widgets connected. */
async function demo(t, options = {}) {
  const page = await visit(t, { url: t.server.url, connect: false, ...options });
  await until("the rules", async () => /\d/.test((await zone(page, "documents").locator(".hint").textContent()) ?? ""));
  return page;
}

async function picture(t, page, name) {
  if (!t.images) return;
  await mkdir(t.images, { recursive: true });
  // A browser draws no rows that are out of sight: the window becomes as high as the page, and is as before afterwards.
  const { width, height } = page.viewportSize();
  await page.setViewportSize({ width, height: await page.evaluate(() => document.documentElement.scrollHeight) });
  await page.waitForTimeout(800);
  await page.screenshot({ path: join(t.images, `dropzone-${name}.png`), fullPage: true });
  await page.setViewportSize({ width, height });
}

/** The picture of the README: photos that are stored next to videos that are sent. */
async function widgets(t, page) {
  const drawn = zone(page, "photos").locator(".thumbnail img[src]");
  for (const row of await zone(page, "photos").locator(".row").all()) await row.scrollIntoViewIfNeeded();
  await until("the thumbnails", async () => (await drawn.count()) === 6);
  await zone(page, "photos").locator(".row").first().scrollIntoViewIfNeeded();
  const { left, top, right, bottom } = await page.evaluate(() => {
    const cards = ["photos", "video"].map((slot) => document.querySelector(`upload-dropzone[slot=${slot}]`).closest("section, article, .card, li, div").getBoundingClientRect());
    return { left: cards[0].left + scrollX, top: cards[0].top + scrollY, right: cards[1].right + scrollX, bottom: Math.max(...cards.map((card) => card.bottom)) + scrollY };
  });
  const clip = { x: left - 12, y: top - 12, width: right - left + 24, height: bottom - top + 24 };
  await page.screenshot({ path: join(t.images, "widget.png"), fullPage: true, clip });
}

export default {
  async "files of every kind, in light and dark, on a phone and from right to left"(t) {
    for (const [name, browser, lang] of [
      ["desktop-light", { viewport: { width: 1280, height: 900 }, colorScheme: "light" }, "en"],
      ["phone-dark", { viewport: { width: 390, height: 844 }, colorScheme: "dark", isMobile: true, hasTouch: true }, "de"],
      ["desktop-rtl", { viewport: { width: 1280, height: 900 }, colorScheme: "light" }, "ar"],
    ]) {
      const page = await demo(t, { browser, url: `${t.server.url}?lang=${lang}` });
      const pictures = await photos(page, t.path(name), 7, 900, 700);
      await pickIn(page, "avatar", pictures[4]);
      await pickIn(page, "photos", pictures.slice(0, 6));
      await pickIn(page, "documents", [await file(t.path(name, "Minutes of the spring meeting.txt"), bytes(900_000).toString("base64")), await file(t.path(name, "setup.exe"), "MZ")]);
      await ended(page, "documents", "Minutes of the spring meeting.txt");
      await ended(page, "documents", "setup.exe", "error");
      await until("the photos", async () => (await zone(page, "photos").locator(".row[data-status=complete]").count()) === 6);
      t.server.proxy.rate = 5e6;
      await pickIn(page, "video", [await file(t.path(name, "Harbour at dawn.mp4"), video(30_000_000)), await file(t.path(name, "Interview.mov"), video(30_000_000, 2))]);
      await until("bytes", async () => (await book(page)).sent > 6_000_000);
      await rowIn(page, "video", "Interview.mov").locator(".pause").click();
      await ended(page, "video", "Interview.mov", "paused");
      await page.waitForTimeout(800);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(wide <= 0, `${wide} pixels too wide`);
      await picture(t, page, name);
      if (t.images && name === "desktop-light") await widgets(t, page);
      assert.equal(await zone(page, "photos").getAttribute("layout"), "gallery");
      await zone(page, "video").locator(".tools .plain").nth(3).click(); // cancel all, in whatever language
      await ended(page, "video", "Harbour at dawn.mp4", "cancelled");
      t.server.proxy.rate = Infinity;
      await sane(page);
    }
  },

  async "the demo page teaches the same upload by curl"(t) {
    const page = await demo(t);
    await page.context().grantPermissions(["clipboard-read", "clipboard-write"]);
    const name = `it's "50, maybe; more" $HOME.txt`;
    const path = await file(t.path(name), "the same");
    await pickIn(page, "documents", [path]);
    await until("the end", () => zone(page, "documents").locator(".row[data-status=complete]").count());
    const card = page.locator(".card", { has: zone(page, "documents") });
    await card.locator("summary").click();
    const [curl, send] = await card.locator(".command code").allTextContents();
    assert.match(curl, /^curl /);
    assert.match(send, /^upload-server send /);
    await card.locator(".command button").first().click();
    await card.locator(".command button", { hasText: "Copied" }).waitFor();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), curl);
    // The proxy before the server is in this process, so that it must not wait.
    await promisify(execFile)("sh", ["-c", curl.replace("curl", "curl --fail --silent --show-error")], { cwd: t.path() });
    const stored = await t.server.stored("documents");
    assert.deepEqual(stored.map((one) => one.sha256), [sha256("the same"), sha256("the same")]);
    await sane(page);
  },

  async "a page renders its own rows, in its own styles"(t) {
    const page = await demo(t);
    await page.evaluate(() => {
      const zone = document.querySelector('upload-dropzone[slot="documents"]');
      zone.renderRow = (upload, shown) => {
        if (upload.name.startsWith("default")) return null;
        const row = shown ?? document.createElement("article");
        if (!shown) {
          row.className = "badge mine";
          row.append(document.createElement("b"), document.createElement("i"), document.createElement("button"));
          row.children[2].onclick = () => upload.remove();
        }
        row.children[0].textContent = upload.name;
        row.children[1].textContent = `${upload.status} ${upload.progress.progress}`;
        row.children[2].textContent = `Drop ${upload.name}`;
        return row;
      };
    });
    const names = ["first.txt", "default.txt", "second.txt"];
    await pickIn(page, "documents", await Promise.all(names.map((name) => file(t.path(name), name))));
    const mine = zone(page, "documents").locator("article.mine");
    await until("both", async () => (await mine.locator("i").allTextContents()).join() === "complete 100,complete 100");
    await ended(page, "documents", "default.txt");
    assert.deepEqual(await mine.locator("b").allTextContents(), ["first.txt", "second.txt"]);
    assert.equal(await rowIn(page, "documents", "first.txt").count(), 0, "in place of the widget's own");
    assert.match(await zone(page, "documents").ariaSnapshot(), /listitem[^]*first\.txt[^]*button "Drop first\.txt"[^]*listitem[^]*default\.txt/);
    // What the page writes into itself reaches them, and they lie one below the other, in the order of the files.
    const places = await page.evaluate(() => {
      const rows = [...document.querySelectorAll("article.mine")];
      const own = document.querySelector('upload-dropzone[slot="documents"]').shadowRoot.querySelector(".row");
      return [rows[0], own, rows[1]].map((row) => row.getBoundingClientRect().top);
    });
    assert.ok(places[0] < places[1] && places[1] < places[2], places.join());
    await mine.locator("button").first().focus();
    await page.keyboard.press("Enter");
    await until("one row less", async () => (await mine.count()) === 1);
    // Without it, the rows are the widget's again.
    await page.evaluate(() => void (document.querySelector('upload-dropzone[slot="documents"]').renderRow = undefined));
    await ended(page, "documents", "second.txt");
    assert.equal(await mine.count(), 0);
    await sane(page);
  },

  async "no violation that axe knows, in light, dark and forced colours, on the demo and its plain page"(t) {
    for (const media of [{ colorScheme: "light" }, { colorScheme: "dark" }, { forcedColors: "active" }]) {
      const page = await demo(t, { browser: { bypassCSP: true, ...media } });
      await pickIn(page, "documents", [await file(t.path("good.txt"), "text"), await file(t.path("bad.exe"), "MZ"), await file(t.path("more.txt"), "more")]);
      await pickIn(page, "photos", await photos(page, t.path("pictures"), 2));
      await ended(page, "documents", "bad.exe", "error");
      await until("all", async () => (await page.locator("upload-dropzone .row[data-status=complete]").count()) === 4);
      for (const url of [undefined, `${t.server.url}uploads/demo/attributes.html`]) {
        if (url) await page.goto(url);
        await page.addScriptTag({ content: await readFile(AXE, "utf8") });
        const { violations } = await page.evaluate(() => axe.run());
        assert.deepEqual(violations.map(({ id, nodes }) => [id, ...nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`)]), [], JSON.stringify(media));
      }
    }
  },

  async "the keyboard alone: choose, pause, resume, cancel, hide, and the focus stays"(t) {
    const page = await demo(t);
    t.server.proxy.brake(1_000_000);
    let chooser;
    page.on("filechooser", (one) => (chooser = one));
    const focused = () => page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.ariaLabel ?? document.activeElement.shadowRoot?.activeElement?.textContent ?? "");
    const tabTo = async (wanted, slot = "video") => {
      const isThere = async () => (await focused()) === wanted && (await page.evaluate(() => document.activeElement.getAttribute("slot"))) === slot;
      for (let i = 0; i < 60; i++) {
        if (await isThere()) return;
        await page.keyboard.press("Tab");
      }
      throw new Error(`no way to ${wanted} by Tab, last at ${await focused()}`);
    };
    await tabTo("Choose files");
    await page.keyboard.press("Enter");
    await until("the file chooser", () => chooser);
    await chooser.setFiles(await file(t.path("keys.mp4"), video(5_000_000)));
    await until("bytes", async () => (await book(page)).sent > 300_000);
    await tabTo("Pause keys.mp4");
    await page.keyboard.press("Space");
    await ended(page, "video", "keys.mp4", "paused");
    assert.equal(await focused(), "Resume keys.mp4", "the focus stays");
    await page.keyboard.press("Enter");
    await ended(page, "video", "keys.mp4", "uploading");
    await tabTo("Cancel keys.mp4");
    await page.keyboard.press("Enter");
    await ended(page, "video", "keys.mp4", "cancelled");
    assert.equal(await focused(), "Hide keys.mp4");
    await page.keyboard.press("Enter");
    await until("no row", async () => (await zone(page, "video").locator(".row").count()) === 0);
    assert.equal(await focused(), "Choose files", "and goes to what is there");
    await sane(page);
  },

  async "drops and pastes go to the widget they are for, and the bytes arrive"(t) {
    const page = await demo(t);
    const text = "words ".repeat(100_000);
    await drop(page, 'upload-dropzone[slot="documents"]', [await file(t.path("dropped.txt"), text)]);
    await ended(page, "documents", "dropped.txt");
    await zone(page, "documents").locator(".choose").focus();
    await page.evaluate(() => {
      const clipboardData = new DataTransfer();
      clipboardData.items.add(new File(["a,b"], "pasted.csv", { type: "text/csv" }));
      document.querySelector('upload-dropzone[slot="documents"]').dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
    });
    await ended(page, "documents", "pasted.csv");
    assert.deepEqual((await t.server.stored("documents")).map((f) => f.sha256), [sha256(text), sha256("a,b")]);
    assert.equal(await page.locator("upload-dropzone [data-drag]").count(), 0);
    await sane(page);
  },

  async "a thousand rows: only those that are seen are in the page"(t) {
    const page = await demo(t);
    const explained = [];
    page.on("console", (message) => message.text().startsWith("upload: ") && explained.push(message.text()));
    await page.evaluate(async () => {
      const { uploads } = await import("/uploads/client/index.js");
      const zone = document.querySelector('upload-dropzone[slot="documents"]');
      zone.uploads.add(Array.from({ length: 1000 }, (_, i) => new File(["x"], `file${i}.exe`)), "documents");
    });
    await until("the sum", async () => /1,000 failed/.test(await zone(page, "documents").locator(".total .words").textContent()));
    await page.waitForTimeout(300);
    const rows = () => zone(page, "documents").locator(".row").count();
    assert.ok((await rows()) <= 300, `${await rows()} rows`);
    const list = zone(page, "documents").locator(".list").last();
    await list.evaluate((element) => (element.scrollTop = element.scrollHeight));
    await until("the last row", () => rowIn(page, "documents", "file999.exe").isVisible());
    await until("few rows", async () => (await rows()) <= 400);
    assert.match(await zone(page, "documents").locator(".notice").textContent(), /^1,000 files: This type is not accepted/);
    assert.equal(explained.length, 1, "a code is explained once");
    assert.match(explained[0], /type_not_accepted, see https:.*\/docs\/errors\.md#type_not_accepted$/);
    await sane(page);
  },

  async "the React wrapper: attributes, events and its own uploads"(t) {
    const page = await demo(t, {
      browser: { bypassCSP: true },
      before: async (page) => {
        const script = (body) => ({ contentType: "text/javascript", body });
        for (const name of ["react", "react-dom/client"]) await page.route(`**/made/${name}.js`, (route) => route.fulfill(script(bundle(name))));
        await page.route("**/made/wrapper.js", async (route) => {
          const code = await readFile(new URL("../../../react.js", import.meta.url), "utf8");
          await route.fulfill(script(code.replace('from "react"', 'from "/made/react.js"').replace("./dropzone.js", "/uploads/client/dropzone.js")));
        });
        await page.route("**/made/app.js", (route) => route.fulfill(script(`
          import { createElement } from "/made/react.js";
          import { createRoot } from "/made/react-dom/client.js";
          import { UploadDropzone } from "/made/wrapper.js";
          window.told = [];
          const tell = (name) => (detail) => told.push([name, detail.name ?? detail.code]);
          createRoot(document.querySelector("main")).render(createElement(UploadDropzone, { slot: "documents", layout: "compact", onAdd: tell("add"), onComplete: tell("complete"), onError: tell("error"), onRemove: tell("remove") }));
        `)));
      },
    });
    await page.evaluate(() => (document.querySelector("main").innerHTML = ""));
    await page.addScriptTag({ type: "module", url: "/made/app.js" });
    await until("the rules", async () => /\d/.test((await zone(page, "documents").locator(".hint").textContent()) ?? ""));
    assert.equal(await zone(page, "documents").getAttribute("layout"), "compact");
    await pickIn(page, "documents", [await file(t.path("made.txt"), "text"), await file(t.path("bad.exe"), "MZ")]);
    await ended(page, "documents", "made.txt");
    await rowIn(page, "documents", "bad.exe").locator(".remove").click();
    const told = await until("all events", async () => ((await page.evaluate(() => told)).length === 5) && (await page.evaluate(() => told)));
    assert.deepEqual(told.map((one) => one.join(" ")).sort(), ["add bad.exe", "add made.txt", "complete made.txt", "error type_not_accepted", "remove bad.exe"]);
    await sane(page);
  },

  async "pictures are made smaller before they are sent, and lose what the camera wrote"(t) {
    const page = await demo(t);
    const [path] = await photos(page, t.path("large"), 1, 1600, 1200);
    const jpeg = await readFile(path);
    // After the first marker: a piece that only says where the picture was taken.
    const place = Buffer.from("Exif\0\0 somewhere secret");
    const head = Buffer.from([0xff, 0xe1, 0, place.length + 2]);
    const told = await page.evaluate(async (bytes) => {
      const { createUploads } = await import("/uploads/client/index.js");
      const { resized } = await import("/uploads/client/resize.js");
      const uploads = createUploads({ url: "/uploads/ws", slots: { photos: { before: resized({ width: 400, height: 400 }) } } });
      const [upload] = uploads.add([new File([new Uint8Array(bytes)], "camera.jpg", { type: "image/jpeg" })], "photos");
      await upload.done;
      uploads.close();
      const { width, height } = await createImageBitmap(upload.file);
      return [upload.name, width, height, upload.file.size];
    }, [...jpeg.subarray(0, 2), ...head, ...place, ...jpeg.subarray(2)]);
    assert.deepEqual(told.slice(0, 3), ["camera.jpg", 400, 300]);
    const [stored] = await t.server.stored("photos");
    assert.equal(stored.size, told[3]);
    assert.ok(stored.size < jpeg.length / 2, `${stored.size} of ${jpeg.length} bytes`);
    await sane(page);
  },
};
