/** Plain forms: they wait for their uploads, and say what keeps them from being sent. */
import assert from "node:assert/strict";
import { bytes, file, sane, sleep, until, visit } from "../page.mjs";

/** Keeps book of what is posted to `/save`. */
async function posted(page) {
  const posts = [];
  await page.route("**/save", (route) => {
    posts.push(new URLSearchParams(route.request().postData() ?? ""));
    return route.fulfill({ status: 204 }); // the page stays
  });
  return posts;
}

/** Where the widget is, and whose uploads it shows. */
const WIDGETS = {
  "of the page": () => {},
  "with its own uploads": async (zone) => {
    const { createUploads } = await import("/uploads/client/index.js");
    zone.uploads = createUploads({ url: "/uploads/ws" });
  },
  "outside of its form": (zone) => {
    zone.closest("form").id = "theirs";
    zone.setAttribute("form", "theirs");
    document.body.append(zone);
  },
  "in a shadow tree": (zone) => {
    const form = zone.closest("form");
    const host = document.createElement("div");
    document.body.append(host);
    host.attachShadow({ mode: "open" }).append(form);
  },
};

/** Adds a file whose bytes come when the test says so: `file.come()` or `file.fail()`. */
const late = (page, name) =>
  page.evaluate(async (name) => {
    const { uploads } = await import("/uploads/client/index.js");
    const file = new File(["words"], name);
    const bytes = file.arrayBuffer();
    file.arrayBuffer = () => new Promise((done, fail) => (window.late = { come: () => done(bytes), fail: () => fail(new DOMException("gone", "NotFoundError")), upload }));
    const [upload] = uploads.add([file], "documents");
  }, name);

const FORM = `<form method="post" action="/save"><input type="file" name="files" dj-upload="documents"><button>Send</button></form>`;

/** A page with a form and no output. */
async function withForm(t, form = FORM) {
  const page = await visit(t);
  await page.evaluate((form) => document.querySelector("main").insertAdjacentHTML("beforeend", form), form);
  return page;
}

const output = (page) => page.locator("form output");

export default {
  ...Object.fromEntries(Object.entries(WIDGETS).map(([where, place]) => [`a form waits for the uploads of its widget ${where}, without another script`, async (t) => {
    // An answer in JSON, as the browser shows it: a page without scripts.
    const page = await visit(t, { url: `${t.server.url}uploads/none/status`, connect: false });
    page.trouble.length = 0; // it was a 404
    const posts = await posted(page);
    await page.evaluate(async (place) => {
      document.body.innerHTML = `<form action="/save" method="post"><upload-dropzone data-slot="documents" name="files" required></upload-dropzone><button>Save</button></form>`;
      window.zone = document.querySelector("upload-dropzone");
      window.form = document.querySelector("form");
      await import("/uploads/client/dropzone.js");
      await (0, eval)(`(${place})`)(zone);
    }, String(place));
    t.server.proxy.brake(500_000);
    await page.locator("upload-dropzone input[type=file]").first().setInputFiles(await file(t.path("slow.txt"), bytes(2_000_000).toString("hex")));
    await until("bytes", () => page.evaluate(() => zone.files[0]?.progress.received > 0));
    const ref = await page.evaluate(() => zone.files[0].ref);
    await page.locator("form > button").click();
    await sleep(500);
    assert.deepEqual([posts.length, await page.evaluate(() => zone.files[0].status)], [0, "uploading"]);
    t.server.proxy.rush();
    await until("the form", () => posts.length);
    assert.deepEqual(posts.map((post) => post.getAll("files")), [[ref]]);
    await sane(page);
  }])),

  async "a form whose file fails while it waits names it, is not sent, and is sent the next time"(t) {
    const page = await withForm(t);
    const posts = await posted(page);
    await late(page, "gone.txt");
    await until("its turn", () => page.evaluate(() => !!window.late));
    await page.click("form button");
    await until("waiting", async () => (await page.getAttribute("form", "aria-busy")) === "true");
    await page.evaluate(() => window.late.fail());
    await until("the sentence", async () => (await output(page).textContent({ timeout: 5000 })) === "gone.txt: The file could not be opened. Choose it again");
    assert.equal(await output(page).isVisible(), true);
    await sleep(300);
    assert.equal(posts.length, 0);
    await page.click("form button");
    await until("the form", () => posts.length === 1);
    assert.deepEqual(posts[0].getAll("files"), []);
  },

  async "a form waits for a folder that is still being read"(t) {
    const page = await withForm(t);
    const posts = await posted(page);
    await page.evaluate(async () => {
      const { uploads } = await import("/uploads/client/index.js");
      window.stored = 0;
      uploads.on("progress", ({ status }) => void (window.stored += +(status === "complete")));
      const file = { name: "in.txt", isFile: true, isDirectory: false, fullPath: "/f/in.txt", file: (done) => done(new File(["words"], "in.txt")) };
      const batches = [[file], []];
      const readEntries = (done) => setTimeout(() => done(batches.shift()), 500);
      const folder = { name: "f", isFile: false, isDirectory: true, fullPath: "/f", createReader: () => ({ readEntries }) };
      void uploads.addFrom({ items: [{ kind: "file", getAsFile: () => null, webkitGetAsEntry: () => folder }] }, "documents");
    });
    await page.click("form button");
    await sleep(200);
    assert.equal(posts.length, 0);
    await until("the form", () => posts.length);
    assert.equal(await page.evaluate(() => window.stored), 1, "what was in the folder is stored by then");
  },

  async "a form without an output says that a file is paused, and is sent later"(t) {
    for (const form of [FORM, FORM.replace("<form", `<form dj-submit="save"`)]) {
      const page = await withForm(t, form);
      const posts = await posted(page);
      await late(page, "paused.txt");
      await until("its turn", () => page.evaluate(() => !!window.late));
      await page.evaluate(() => window.late.upload.pause());
      await page.click("form button");
      await until("the sentence", async () => (await output(page).textContent({ timeout: 5000 })) === "A file is paused. Resume or remove it, then send again");
      assert.equal(await output(page).isVisible(), true);
      assert.equal(posts.length, 0);
      if (form !== FORM) continue;
      await page.evaluate(() => (window.late.come(), window.late.upload.resume()));
      await until("done", () => page.evaluate(() => window.late.upload.status === "complete"));
      await page.click("form button");
      await until("the form", () => posts.length === 1);
    }
  },
};
