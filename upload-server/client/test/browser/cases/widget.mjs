/**
 * Every moment that a user can be in, as the widget shows it: its words on the screen and its accessibility tree.
 *
 * The server is a model in the test, so that each moment stays for as long as it is looked at. With `--images` each is
 * drawn on a desktop, on a phone, in the dark and from right to left.
 */
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { sane, until, visit } from "../page.mjs";
import { ModelServer } from "../../model.mjs";

const SLOTS = {
  photos: { accept: "image/*", max_entries: 5, max_file_size: 2_000_000, resumable: true, consumes_on_complete: false },
  one: { accept: ".txt", max_entries: 1, max_file_size: 2_000_000, resumable: true, consumes_on_complete: false },
  later: { accept: "", max_entries: 5, max_file_size: 2_000_000, resumable: true, auto_upload: false, consumes_on_complete: false },
  freed: { accept: "", max_entries: 2, max_file_size: 9_000_000, resumable: true, consumes_on_complete: true },
};
const VIEWS = [
  ["desktop", { width: 900, height: 700 }, "light", "en"],
  ["phone", { width: 380, height: 720 }, "light", "de"],
  ["dark", { width: 900, height: 700 }, "dark", "en"],
  ["rtl", { width: 900, height: 700 }, "light", "ar"],
];

/** A model of a server on a line that the test holds: what the server says may be kept back, changed or said by the test. */
class Line {
  model = new ModelServer({ slots: SLOTS, window: 1 << 20 });
  sockets = [];
  /** What the server says, or null for nothing. */
  says = (message) => message;
  /** Before the server answers a new connection; true if the test does. */
  greets = () => false;
  /** What a client says that the model does not know. */
  hears = () => false;

  join(ws) {
    this.sockets.push(ws);
    if (this.greets(ws, this.sockets.length)) return;
    const send = (message) => {
      const said = this.says(message);
      if (said) ws.send(JSON.stringify(said));
    };
    const connection = this.model.connect(send);
    ws.onMessage((data) => {
      if (typeof data !== "string") return connection.binary(new Uint8Array(data));
      const message = JSON.parse(data);
      if (this.hears(message, send)) return;
      if (message.type === "upload_list" && this.listed) return send({ type: "upload_list", id: message.id, uploads: this.listed });
      connection.text(data);
    });
    ws.onClose(() => connection.close());
  }

  say(message) {
    this.sockets.at(-1).send(JSON.stringify(message));
  }

  cut() {
    this.greets = (ws) => (ws.close({ code: 1011 }), true);
    this.sockets.at(-1).close({ code: 1011 });
  }
}

/** A page with one widget, and what the rows of the table ask of it. */
async function open(t, { slot = "photos", markup = "", bare = false, before, address = "/uploads/ws", context = undefined, line = new Line() } = {}) {
  await before?.(line);
  // An answer in JSON, as the browser shows it: a page without scripts.
  const page = await visit(t, { url: `${t.server.url}uploads/none/status`, connect: false, context, browser: { viewport: { width: 900, height: 700 } }, before: (page) => page.routeWebSocket(/\/uploads\/ws|uploads\.example/, (ws) => line.join(ws)) });
  page.trouble.length = 0; // it was a 404
  await page.evaluate(async ([slot, markup, address, tag]) => {
    await import("/uploads/client/dropzone.js");
    const { createUploads } = await import("/uploads/client/index.js");
    window.mine = createUploads({ url: address });
    document.head.innerHTML = `<meta name="color-scheme" content="light dark"><meta name="viewport" content="width=device-width">`;
    document.body.innerHTML = `<style>body { font: 16px system-ui; margin: 16px } .card { padding: 16px }</style><section class="card"><${tag}><upload-dropzone slot="${slot}" heading="Files" ${markup}></upload-dropzone></${tag}></section>`;
    document.querySelector("upload-dropzone").uploads = window.mine;
  }, [slot, markup, address, bare ? "div" : "form"]);
  const zone = page.locator("upload-dropzone");
  const text = (selector) => zone.locator(selector).first().textContent();
  return {
    page, zone, line, text,
    again: () => open(t, { slot, context: page.context(), line }),
    add: (...files) => page.evaluate(([slot, files]) => void mine.add(files.map(([name, size = 1000, type = "image/jpeg"]) => new File([new Uint8Array(size)], name, { type, lastModified: 5 })), slot), [slot, files]),
    pick: (...files) => zone.locator("input[type=file]").first().setInputFiles(files.map(([name, size = 1000, mimeType = "image/jpeg"]) => ({ name, mimeType, buffer: Buffer.alloc(size) }))),
    state: (name) => zone.locator(".row", { has: page.locator(`.name[title="${name}"]`) }).locator(".state").textContent(),
    button: (name, part) => zone.locator(".row", { has: page.locator(`.name[title="${name}"]`) }).locator(`button.${part}`),
  };
}

const half = (message) => (message.type === "upload_progress" && message.bytes_received > 600_000 ? null : message);
const refused = (code) => (message) => (message.type === "upload_registered" ? { type: "upload_progress", ref: message.ref, status: "error", progress: 0, code, error: code, retry: "never" } : message);

/** What is done, and then: `row` the words of a file's row, others by their parts, `tree` lines of the accessibility tree. */
const MOMENTS = {
  "nothing yet": { words: { ".choose": "Choose files", ".hint": "Images · up to 5 files, 2 MB each", ".invite": "or drop them here" }, tree: ['button "Choose files"', 'group "Files"'], hidden: [".total", ".connection", ".notice"] },
  "the slot is not offered": { options: { slot: "nowhere" }, words: { ".hint": "Not offered by this server" }, tree: ['button "Choose files" [disabled]'] },
  "waiting for the server's first word": { options: { before: (line) => (line.greets = () => true) }, act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "Waiting"], hidden: [".connection"] },
  "picked before the server's first word": { options: { before: (line) => (line.greets = () => true) }, act: (w) => w.pick(["a.jpg"]), row: ["a.jpg", "Waiting"], hidden: [".connection"] },
  "the server cannot be reached": { options: { before: (line) => (line.greets = (ws) => (ws.close({ code: 1011 }), true)) }, act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "Waiting"], words: { ".connection": /No connection\. Next try in \d+ sTry now/ }, tree: ["status: /No connection", 'button "Try now"'] },
  "the visitor is offline": { options: { address: "wss://uploads.example/uploads/ws" }, act: async (w) => (await w.page.context().setOffline(true), await w.add(["a.jpg"])), row: ["a.jpg", "Waiting for the network"], words: { ".connection": /^You are offline/ }, after: (w) => w.page.context().setOffline(false) },
  "the visitor is not signed in": { options: { before: (line) => (line.greets = (ws) => (ws.close({ code: 4401 }), true)) }, act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "You are not signed in"], words: { ".connection": /^You are not signed in/ } },
  "uploading, with speed and time left": { act: async (w) => {
    w.line.says = (message) => (message.type === "upload_registered" ? { ...message, credit: 900_000 } : message.type === "upload_progress" ? null : message);
    await w.add(["a.jpg", 1_900_000]);
    await until("a ref", () => w.line.model.uploads.size);
    const [ref] = w.line.model.uploads.keys();
    for (let at = 65_536; at < 800_000; at += 65_536) {
      w.line.say({ type: "upload_progress", ref, status: "uploading", progress: 9, bytes_received: at, bytes_durable: at, next_index: at / 65_536, credit: 900_000 });
      await w.page.waitForTimeout(150);
    }
  }, row: ["a.jpg", /^\d+ kB\/s, \d+ s left$/], tree: ['progressbar "a.jpg"', 'button "Pause a.jpg"', 'button "Cancel a.jpg"'] },
  "nothing moves": { act: async (w) => ((w.line.says = (message) => (message.type === "upload_progress" ? null : message)), await w.add(["a.jpg", 1_900_000])), row: ["a.jpg", "Uploading"] },
  "stored by the server, not yet safe": { act: async (w) => {
    w.line.says = (message) => (message.type === "upload_progress" ? { ...message, status: "uploading", bytes_durable: 0, result: undefined } : message);
    await w.add(["a.jpg", 900_000]);
  }, row: ["a.jpg", "Storing"] },
  "safe, the server finishes": { act: async (w) => {
    w.line.says = (message) => (message.type === "upload_progress" ? { ...message, status: "uploading", result: undefined } : message);
    await w.add(["a.jpg", 900_000]);
  }, row: ["a.jpg", "Finishing"] },
  "one is done": { act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "Done"], hidden: [".total"], tree: ['button "Remove a.jpg"', "listitem"] },
  "all are done": { act: (w) => w.add(["a.jpg"], ["b.jpg"], ["c.jpg"]), words: { ".total .words": "3 of 3 files uploaded" }, tree: ['progressbar "3 of 3 files uploaded"'] },
  "a second batch, after everything of the first is done": { act: async (w) => {
    await w.add(["a.jpg"], ["b.jpg"], ["c.jpg"]);
    await until("the first batch", async () => (await w.text(".total .words")) === "3 of 3 files uploaded");
    w.line.says = half;
    await w.add(["d.jpg", 1_900_000], ["e.jpg"]);
  }, row: ["a.jpg", "Done"], words: { ".total .words": /^1 of 2 done · \d+ kB of 1\.9 MB/ }, tree: ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg", /progressbar "1 of 2 done/] },
  "a second batch is done": { act: async (w) => {
    await w.add(["a.jpg"], ["b.jpg"]);
    await until("the first batch", async () => (await w.text(".total .words")) === "2 of 2 files uploaded");
    await w.add(["c.jpg"]);
  }, row: ["c.jpg", "Done"], words: { ".total .words": "1 file uploaded" }, tree: ["a.jpg", "b.jpg", 'progressbar "1 file uploaded"'] },
  "one of three is removed after all were done": { act: async (w) => {
    await w.add(["a.jpg"], ["b.jpg"], ["c.jpg"]);
    await until("all", async () => (await w.text(".total .words")) === "3 of 3 files uploaded");
    await w.button("b.jpg", "remove").click();
  }, row: ["c.jpg", "Done"], words: { ".total .words": "2 of 2 files uploaded" } },
  "waiting to be started by hand": { options: { slot: "later", bare: true }, act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "Waiting"], words: { ".total .words": /^0 of 1 done · 1 waiting/ }, tree: ['button "Upload now"'] },
  "started by hand": { options: { slot: "later", bare: true }, act: async (w) => {
    await w.add(["a.jpg"], ["b.jpg"]);
    await w.zone.getByRole("button", { name: "Upload now" }).focus();
    await w.page.keyboard.press("Enter");
    await until("all", async () => (await w.text(".total .words")) === "2 of 2 files uploaded");
    assert.match(await w.page.evaluate(() => document.activeElement.shadowRoot.activeElement?.textContent ?? ""), /^Choose files$/, "the focus stays in the widget");
  }, row: ["b.jpg", "Done"], notThere: ["Upload now"] },
  "waiting for its form": { options: { slot: "later" }, act: (w) => w.add(["a.jpg"], ["b.jpg"]), row: ["a.jpg", "Waiting"], words: { ".total .words": /^0 of 2 done · 2 waiting/ }, notThere: ["Upload now"] },
  "too large": { act: (w) => w.add(["a.jpg", 2_000_001]), row: ["a.jpg", "2.0 MB is too large: at most 2 MB is allowed"], notThere: ["Retry a.jpg"] },
  "of another type": { act: (w) => w.add(["a.pdf", 9, "application/pdf"]), row: ["a.pdf", "This type is not accepted: only images"] },
  "what a browser would run": { options: { slot: "freed" }, act: (w) => w.add(["a.svg", 9, "image/svg+xml"]), row: ["a.svg", "Files that a browser would run (HTML, SVG, scripts) are not allowed"] },
  "not what its name says": { options: { before: (line) => (line.says = refused("content_mismatch")) }, act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "This is not really a JPG file"] },
  "the server says no": { options: { before: (line) => (line.says = refused("forbidden")) }, act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "You are not allowed to upload here"] },
  "the application says no, in its own words": { options: { before: (line) => (line.says = (message) => (message.type === "upload_registered" ? { ...refused("forbidden")(message), reason: "upgrade", error: "Your plan has <b>no uploads" } : message)) }, act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "Your plan has <b>no uploads"], notThere: ["Retry a.jpg"] },
  "the storage is full": { options: { before: (line) => (line.says = refused("storage_full")) }, act: (w) => w.add(["a.jpg"]), row: ["a.jpg", "The server's storage is full"] },
  "in another tab already": { options: { before: (line) => (line.says = half) }, act: async (w) => {
    await w.add(["a.jpg", 1_900_000]);
    await until("bytes", () => w.line.model.taken > 100_000);
    const second = await w.again();
    await second.add(["a.jpg", 1_900_000]);
    return second;
  }, row: ["a.jpg", "Already uploading in another tab"], tree: ['button "Retry a.jpg"'] },
  "too many": { act: (w) => w.add(...Array.from({ length: 12 }, (_, i) => [`${i}.jpg`])), row: ["11.jpg", "Only 5 files are allowed"], words: { ".total .words": "5 of 12 files uploaded · 7 failed", ".notice": "7 files: Only 5 files are allowed" } },
  "too many, and the page changes its language": { act: async (w) => {
    await w.add(...Array.from({ length: 12 }, (_, i) => [`${i}.jpg`]));
    await until("the notice", async () => (await w.text(".notice")) === "7 files: Only 5 files are allowed");
    await w.page.evaluate(async () => mine.setLanguage((await import("/uploads/client/dropzone/languages/de.js")).default));
  }, row: ["11.jpg", "Nur 5 Dateien sind erlaubt"], words: { ".total .words": "5 von 12 Dateien hochgeladen · 7 fehlgeschlagen", ".notice": "7 Dateien: Nur 5 Dateien sind erlaubt" } },
  "too many at once, where places become free": { options: { slot: "freed", before: (line) => (line.says = half) }, act: (w) => w.add(["a.bin", 900_000], ["b.bin", 900_000], ["c.bin"]), row: ["c.bin", "Waiting"], words: { ".total .words": /^0 of 3 done · 1 waiting · / } },
  "cannot be opened": { act: (w) => w.page.evaluate(() => {
    const gone = new File([], "gone.jpg", { type: "image/jpeg" });
    gone.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotFoundError"));
    mine.add([gone], "photos");
  }), row: ["gone.jpg", "The file could not be opened. Choose it again"], tree: ['button "Retry gone.jpg"'] },
  paused: { options: { before: (line) => (line.says = half) }, act: async (w) => (await w.add(["a.jpg", 1_900_000]), await w.button("a.jpg", "pause").click()), row: ["a.jpg", "Paused"], tree: ['button "Resume a.jpg"'] },
  cancelled: { options: { before: (line) => (line.says = half) }, act: async (w) => (await w.add(["a.jpg", 1_900_000]), await w.button("a.jpg", "remove").click()), row: ["a.jpg", "Cancelled"], tree: ['button "Hide a.jpg"'] },
  "the line is lost on the way": { options: { before: (line) => (line.says = half) }, act: async (w) => {
    await w.add(["a.jpg", 1_900_000]);
    await until("bytes", () => w.line.model.taken > 100_000);
    w.line.cut();
  }, row: ["a.jpg", "Reconnecting"], words: { ".connection": /Next try in/ } },
  "a screen reader says once that the line is lost": { act: async (w) => {
    await w.page.evaluate(() => {
      window.told = [];
      for (const status of document.querySelector("upload-dropzone").shadowRoot.querySelectorAll("[role=status]")) {
        new MutationObserver(() => told.push(status.textContent)).observe(status, { childList: true, characterData: true, subtree: true });
      }
    });
    await until("the connection", () => w.line.sockets.length);
    w.line.cut();
    await until("several tries", () => w.line.sockets.length > 4);
    await w.page.waitForTimeout(2500);
    assert.deepEqual(await w.page.evaluate(() => told), ["No connection"]);
  }, words: { ".connection": /Next try in/ } },
  "one file that fails again and again": { act: async (w) => {
    await w.page.evaluate(() => {
      const gone = new File([], "gone.jpg", { type: "image/jpeg" });
      gone.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotFoundError"));
      const [upload] = mine.add([gone], "photos");
      window.failures = 0;
      mine.on("error", () => void (++failures < 6 && setTimeout(() => upload.retry())));
    });
    await until("six failures", () => w.page.evaluate(() => failures === 6));
    await w.page.waitForTimeout(300);
  }, row: ["gone.jpg", "The file could not be opened. Choose it again"], hidden: [".notice"] },
  "all failed": { act: (w) => w.add(["a.pdf", 9, "application/pdf"], ["b.jpg", 2_000_001]), words: { ".total .words": "No file was uploaded · 2 failed" }, tree: ['button "Clear finished"'] },
  "some failed": { act: (w) => w.page.evaluate(() => {
    const gone = new File([], "gone.jpg", { type: "image/jpeg" });
    gone.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotFoundError"));
    mine.add([new File(["x"], "a.jpg", { type: "image/jpeg" }), gone], "photos");
  }), words: { ".total .words": "1 of 2 files uploaded · 1 failed" }, tree: ['button "Retry failed"'] },
  "what failed is retried, and all are done": { act: async (w) => {
    await w.page.evaluate(() => {
      window.gone = new File([], "gone.jpg", { type: "image/jpeg" });
      gone.arrayBuffer = () => Promise.reject(new DOMException("gone", "NotFoundError"));
      mine.add([new File(["x"], "a.jpg", { type: "image/jpeg" }), gone], "photos");
    });
    await until("a failure", async () => (await w.text(".total .words")) === "1 of 2 files uploaded · 1 failed");
    await w.page.evaluate(() => void (gone.arrayBuffer = async () => new ArrayBuffer(0)));
    await w.zone.getByRole("button", { name: "Retry failed" }).click();
  }, row: ["gone.jpg", "Done"], words: { ".total .words": "2 of 2 files uploaded" } },
  "being removed at the server": { act: async (w) => {
    await w.add(["a.jpg"]);
    await until("done", async () => (await w.state("a.jpg")) === "Done");
    w.line.says = () => null;
    await w.button("a.jpg", "remove").click();
  }, row: ["a.jpg", "Removing"] },
  "removed by the keyboard: the focus stays, and goes to the next file": { act: async (w) => {
    await w.add(["a.jpg"], ["b.jpg"]);
    for (const name of ["a.jpg", "b.jpg"]) await until(name, async () => (await w.state(name)) === "Done");
    let answer;
    w.line.says = (message) => (message.status === "cancelled" ? void (answer = message) : message);
    await w.button("a.jpg", "remove").focus();
    await w.page.keyboard.press("Enter");
    await until("removing", async () => (await w.state("a.jpg")) === "Removing");
    const focused = () => w.page.evaluate(() => document.activeElement.shadowRoot?.activeElement?.ariaLabel ?? "nothing");
    assert.equal(await focused(), "Remove a.jpg");
    await until("the answer", () => answer);
    w.line.say(answer);
    await until("the next row", async () => (await focused()) === "Remove b.jpg");
  }, row: ["b.jpg", "Done"], notThere: ["a.jpg"] },
  "taken out of the page and put back": { act: async (w) => {
    await w.add(["a.jpg"], ["b.pdf", 9, "application/pdf"]);
    await until("done", async () => (await w.state("a.jpg")) === "Done");
    const refs = await w.page.evaluate(async () => {
      const zone = document.querySelector("upload-dropzone");
      const form = zone.parentElement;
      zone.remove();
      await new Promise((done) => setTimeout(done, 50));
      form.append(zone);
      return new FormData(form).getAll("photos").length;
    });
    assert.equal(refs, 1, "it is in the form's value");
    await until("the failure", async () => /^This type/.test(await w.state("b.pdf")));
  }, row: ["a.jpg", "Done"] },
  "an unfinished file that was moved cannot be continued": { act: async (w) => {
    await w.page.evaluate(() => {
      const handle = { requestPermission: async () => "granted", getFile: () => Promise.reject(new DOMException("gone", "NotFoundError")) };
      mine.pending = async () => [{ ref: "6e0d3b3c-58a8-4a4e-9a6c-0d2a1c3f5b77", slot: "photos", name: "moved.jpg", size: 1234, handle }];
      document.querySelector("upload-dropzone").uploads = mine;
    });
    await w.zone.getByRole("button", { name: "Continue moved.jpg" }).click();
  }, row: ["moved.jpg", "The file could not be opened. Choose it again"] },
  "not removed, because it is being saved": { act: async (w) => {
    await w.add(["a.jpg"]);
    await until("done", async () => (await w.state("a.jpg")) === "Done");
    w.line.says = (message) => (message.status === "cancelled" ? { type: "error", ref: message.ref, code: "locked", error: "locked", retry: "later" } : message);
    await w.button("a.jpg", "remove").click();
  }, row: ["a.jpg", "Done"], words: { ".notice": "It is being saved right now. Try again" } },
  "not removed, because the store does not answer": { act: async (w) => {
    await w.add(["a.jpg"]);
    await until("done", async () => (await w.state("a.jpg")) === "Done");
    w.line.says = (message) => (message.status === "cancelled" ? { type: "error", ref: message.ref, code: "storage_throttled", error: "Storage is busy", retry: "later" } : message);
    await w.button("a.jpg", "remove").click();
  }, row: ["a.jpg", "Done"], words: { ".notice": "The server's storage is busy" } },
  "its form is reset while a file waits": { options: { slot: "freed", before: (line) => (line.says = half) }, act: async (w) => {
    let registered = 0;
    w.line.hears = ({ type }) => void (type === "upload_register" && registered++);
    await w.add(["a.bin", 900_000], ["b.bin", 900_000], ["c.bin"]);
    await until("two of them", () => registered === 2);
    await w.page.evaluate(() => document.querySelector("form").reset());
    await until("an empty list", async () => (await w.zone.locator(".row").count()) === 0);
    await w.page.waitForTimeout(300);
    assert.equal(registered, 2, "the third is not started");
  }, hidden: [".total"] },
  "files of an earlier page": { options: { before: (line) => (line.listed = [{ ref: "6e0d3b3c-58a8-4a4e-9a6c-0d2a1c3f5b77", upload_name: "photos", client_name: "before.jpg", client_size: 1234, status: "complete", result: { url: "/files/before.jpg" } }]) }, row: ["before.jpg", "Done"], tree: ['link "before.jpg"', 'button "Remove before.jpg"'] },
  "another file in place of the first": { options: { slot: "one" }, act: async (w) => {
    await w.pick(["first.txt", 100, "text/plain"]);
    await until("done", async () => (await w.state("first.txt")) === "Done");
    await w.pick(["second.txt", 100, "text/plain"]);
    await until("one row", async () => (await w.zone.locator(".row").count()) === 1);
    await until("the first one is gone at the server", () => [...w.line.model.uploads.values()].map(({ name }) => name).join() === "second.txt");
  }, row: ["second.txt", "Done"], words: { ".choose": "Choose another file" } },
  "a form that needs a file": { options: { slot: "one", markup: "required" }, act: async (w) => assert.equal(await w.page.evaluate(() => document.querySelector("form").reportValidity()), false), words: { ".choose": "Choose a file" } },
};

async function pictures(t, w, name) {
  if (!t.images) return;
  const folder = join(t.images, "widget");
  await mkdir(folder, { recursive: true });
  for (const [view, viewport, colorScheme, lang] of VIEWS) {
    await w.page.setViewportSize(viewport);
    await w.page.emulateMedia({ colorScheme });
    await w.page.evaluate(async (lang) => {
      document.documentElement.dir = lang === "ar" ? "rtl" : "ltr";
      mine.setLanguage((await import(`/uploads/client/dropzone/languages/${lang}.js`)).default);
    }, lang);
    await w.page.waitForTimeout(200);
    await w.page.locator(".card").screenshot({ path: join(folder, `${name.replaceAll(/\W+/g, "-")}-${view}.png`) });
  }
}

async function check(t, name, { options = {}, act, words = {}, row, tree = [], notThere = [], hidden = [], after }) {
  const first = await open(t, options);
  const other = await act?.(first);
  const w = other?.zone ? other : first;
  const fits = (text, wanted) => (wanted instanceof RegExp ? wanted.test(text) : text === wanted);
  const expected = { ...words, ...(row && { [`.name[title="${row[0]}"]`]: row[0] }) };
  for (const [selector, wanted] of Object.entries(expected)) {
    let last;
    await until(`${selector}: ${wanted}`, async () => fits((last = await w.text(selector).catch(() => "")), wanted), 20_000).catch((error) => Promise.reject(new Error(`${error.message}, but "${last}"`)));
  }
  if (row) {
    let last;
    await until(`${row}`, async () => fits((last = await w.state(row[0]).catch(() => "")), row[1]), 20_000).catch((error) => Promise.reject(new Error(`${error.message}, but "${last}"`)));
  }
  for (const selector of hidden) assert.equal(await w.zone.locator(selector).first().isVisible(), false, `${selector} is not shown`);
  const snapshot = await w.zone.ariaSnapshot();
  for (const line of tree) assert.ok(line instanceof RegExp ? line.test(snapshot) : line.includes("/") ? new RegExp(line.replace("/", "")).test(snapshot) : snapshot.includes(line), `${line} in\n${snapshot}`);
  for (const line of notThere) assert.ok(!snapshot.includes(line), `${line} in\n${snapshot}`);
  await pictures(t, w, name);
  await after?.(w);
  assert.deepEqual(w.line.model.violations, []);
  await sane(w.page);
}

export default Object.fromEntries(Object.entries(MOMENTS).map(([name, moment]) => [name, (t) => check(t, name, moment)]));
