/** Applications of one's own: handlers that answer, owners that sign in, buckets that files go to directly. */
import assert from "node:assert/strict";
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Bucket } from "../bucket.mjs";
import { book, bytes, file, photos, pick, plain, row, sane, settled, sha256, until, video, visit } from "../page.mjs";

/** A page of an example's origin without the example's own script: an answer in JSON, as the browser shows it. */
async function blank(t, app) {
  const page = await visit(t, { url: `${app.url}uploads/none/status`, connect: false });
  page.trouble.length = 0; // it was a 404
  await page.evaluate(() => (document.body.innerHTML = `<div id="own"><input type="file" dj-upload="video"><ul dj-upload-progress="video"></ul></div>`));
  return page;
}

export default {
  async "dj-submit and dj-click: handlers take the form's fields and files, and their answers are shown"(t) {
    const app = await t.example("axum_app");
    const page = await visit(t, { url: app.url, connect: false });
    const [photo] = await photos(page, t.dir, 1);
    const content = await readFile(photo);
    await until("the slot", () => page.$eval("input[type=file]", (i) => i.accept === ".jpg,.jpeg,.png"));
    await pick(page, "avatar", photo);
    await page.fill("input[name=name]", "Ann <b>");
    await page.click("form button:not([class])");
    const output = page.locator("form output");
    await until("an answer", async () => (await output.textContent()) !== "");
    assert.equal(await output.textContent(), "Saved 1 for Ann <b>");
    assert.equal(await output.getAttribute("data-ok"), "true");
    assert.equal(sha256(await readFile(join(app.dir, "avatar.jpg"))), sha256(content), "saved byte by byte");

    await page.click("form button:not([class])");
    await until("what was saved", async () => (await output.textContent()) === "Already saved: IMG_4000.jpg");
    await page.fill("input[name=name]", "Bea");
    await page.click("form button:not([class])");
    await until("another form's answer", async () => (await output.textContent()) === "Saved 0 for Bea");

    const said = page.locator("[dj-result=forget]");
    await page.click("[dj-click=forget]");
    await until("it to be forgotten", async () => (await said.textContent()) === "Forgotten");
    await assert.rejects(access(join(app.dir, "avatar.jpg")));
    await page.click("[dj-click=forget]");
    await until("a refusal in the handler's words", async () => (await said.textContent()) === "There is none");
    assert.equal(await said.getAttribute("data-ok"), "false");
    const { results } = await book(page);
    assert.deepEqual(results.map((r) => [r.event, r.ok, r.code]), [["save", true, undefined], ["save", true, undefined], ["save", true, undefined], ["forget", true, undefined], ["forget", false, "event_failed"]]);
    await sane(page);
  },

  async "a plain form waits for its uploads and takes their refs along"(t) {
    const app = await t.example("axum_app");
    const page = await visit(t, { url: app.url, connect: false });
    const photo = await file(t.path("large.png"), Buffer.concat([Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"), bytes(3_000_000)]));
    await until("the slot", () => page.$eval("input[type=file]", (input) => input.accept === ".jpg,.jpeg,.png"));
    await page.evaluate(() => (document.body.innerHTML = `<form action="/" method="get"><input name="title" value="Ann"><input type="file" name="picture" dj-upload="avatar"><button>Send</button></form>`));
    app.proxy.brake(300_000);
    await page.setInputFiles("input[type=file]", photo);
    await until("an upload", () => page.evaluate(() => import("/uploads/client/index.js").then(({ uploads }) => uploads.uploads.length)));
    const ref = await page.evaluate(() => import("/uploads/client/index.js").then(({ uploads }) => uploads.uploads[0].ref));
    await page.click("button", { noWaitAfter: true });
    await until("it to wait", async () => (await page.getAttribute("form", "aria-busy")) === "true");
    app.proxy.rush();
    await page.waitForURL(/\?title/);
    assert.deepEqual([...new URL(page.url()).searchParams], [["title", "Ann"], ["picture", ref]]);
    assert.equal((await app.stored("avatar", "uploads")).length, 1);
  },

  async "a token the server refuses is asked for again, and a running upload goes on under the new one (CONN-2)"(t) {
    const app = await t.example("signed_in");
    const page = await blank(t, app);
    await page.evaluate(async () => {
      const { bind, createUploads } = await import("/uploads/client/index.js");
      window.asked = [];
      let ticket = "made up";
      const token = async ({ refresh }) => {
        asked.push(refresh);
        if (refresh) ticket = await (await fetch("/ticket", { method: "POST" })).text();
        return ticket;
      };
      bind(createUploads({ url: "/uploads/ws", token }), document.querySelector("#own"));
    });
    const content = video(9_000_000);
    app.proxy.brake(2_500_000);
    await pick(page, "video", await file(t.path("signed.mp4"), content));
    await until("bytes", async () => ((await book(page)).last?.stored ?? 0) > 1_500_000);
    assert.deepEqual(await page.evaluate(() => asked), [false, true], "refused, then let in");
    assert.deepEqual((await book(page)).closes, [4401]);
    // The ticket was good for one connection: coming back with it is refused.
    app.proxy.cut();
    app.proxy.rush();
    await settled(page, "signed.mp4");
    const kept = await book(page);
    const told = kept.closes.filter((code) => code === 4401).length;
    assert.equal(told, 2, `closed with ${kept.closes}`);
    assert.equal((await page.evaluate(() => asked)).filter(Boolean).length, 2);
    assert.ok(kept.statuses["signed.mp4"].resuming, "resuming was seen");
    assert.ok(kept.resumes[0] > 0, `went on at ${kept.resumes}`);
    assert.deepEqual((await app.stored("video", "uploads")).map((f) => f.sha256), [sha256(content)]);
    await sane(page);
    // And the example's own page.
    const own = await visit(t, { url: app.url, connect: false });
    await until("the slot", () => own.$eval("input[type=file]", (i) => i.accept === ".mp4"));
    await pick(own, "video", await file(t.path("own.mp4"), video(300_000, 2)));
    await settled(own, "own.mp4");
    await sane(own);
  },

  async "without a token to offer the page is told that it is not signed in, once"(t) {
    const app = await t.example("signed_in");
    const page = await blank(t, app);
    const seen = await page.evaluate(async () => {
      const { createUploads } = await import("/uploads/client/index.js");
      const own = createUploads({ url: "/uploads/ws" });
      const error = new Promise((done) => own.on("error", done));
      void own.connect();
      const { code, retry } = await error;
      return { code, retry, sockets: book.sockets };
    });
    assert.deepEqual(seen, { code: "unauthenticated", retry: "never", sockets: 1 });
    assert.equal(await page.evaluate(() => fetch("/uploads/session").then((r) => r.status)), 401, "plain routes stay 401");
  },

  async "presigned: the server signs, the file goes to a bucket that checks the signature"(t) {
    const bucket = await Bucket.open();
    t.onEnd(async () => bucket.close());
    const config = `
[slots.reports]
accept = ".pdf"
max_entries = 3
max_file_size = 4_000_000
direct = true
[slots.reports.s3]
bucket = "kept"
endpoint = "${bucket.url}"
region = "${bucket.region}"
prefix = "reports/"
force_path_style = true
`;
    const server = await t.serve({ config, env: { AWS_ACCESS_KEY_ID: bucket.key, AWS_SECRET_ACCESS_KEY: bucket.secret, AWS_SESSION_TOKEN: "" } });
    bucket.allow(server.url);
    // The demo page's own policy lets nothing go to another origin, so it is set aside; CORS is not.
    const page = await visit(t, { url: plain(server), browser: { bypassCSP: true } });
    await page.evaluate(() => document.querySelector("main").insertAdjacentHTML("afterbegin", `<section class="card"><input type="file" dj-upload="reports"><ul dj-upload-progress="reports"></ul></section>`));
    await until("the slot", () => page.$eval("input[dj-upload=reports]", (i) => i.accept === ".pdf"));
    const content = Buffer.concat([Buffer.from("%PDF-1.7\n"), bytes(3_000_000)]);
    await pick(page, "reports", await file(t.path("the year's figures.pdf"), content));
    await settled(page, "the year's figures.pdf");
    const [[path, stored]] = [...bucket.objects];
    assert.match(path, /^\/kept\/reports\/[\da-f-]{36}\/the year's figures\.pdf$/);
    assert.deepEqual([sha256(stored.body), stored.type], [sha256(content), "application/pdf"]);
    // Playwright answers preflights itself where it serves files for `--fresh`.
    assert.deepEqual(bucket.asked, t.fresh ? ["PUT 200"] : ["OPTIONS 200", "PUT 200"]);
    const { events, registered } = await book(page);
    const mine = events.filter((e) => e.name === "the year's figures.pdf");
    assert.ok(mine.some((e) => e.status === "uploading" && e.mode === "presigned"), "told while it went");
    assert.deepEqual([mine.at(-1).status, mine.at(-1).progress, mine.at(-1).stored, registered], ["complete", 100, content.length, 0]);

    // A bucket whose key was changed refuses, which a new signature mends.
    const { secret } = bucket;
    bucket.secret = "another";
    await pick(page, "reports", await file(t.path("again.pdf"), content));
    await settled(page, "again.pdf", "error");
    assert.equal(bucket.asked.at(-1), "PUT 403 SignatureDoesNotMatch");
    assert.equal((await book(page)).errors.at(-1).code, "storage_denied");
    assert.equal(await row(page, "again.pdf").locator(".upload-retry").isVisible(), true);
    bucket.secret = secret;
    await row(page, "again.pdf").locator(".upload-retry").click();
    await settled(page, "again.pdf");
    assert.equal(bucket.objects.size, 2);

    // Signed for one length and one type: nothing else goes through, and no other origin.
    const spec = await page.evaluate(async () => {
      const body = JSON.stringify({ upload_name: "reports", client_name: "c.pdf", client_type: "application/pdf", client_size: 7 });
      return (await fetch("/uploads/presign", { method: "POST", body, headers: { "content-type": "application/json" } })).json();
    });
    const put = (body, type) => fetch(spec.url, { method: "PUT", body, headers: { "content-type": type } }).then((r) => r.status);
    assert.deepEqual([await put("longer than 7", "application/pdf"), await put("seven b", "text/html"), await put("seven b", "application/pdf")], [403, 403, 200]);
  },
};
