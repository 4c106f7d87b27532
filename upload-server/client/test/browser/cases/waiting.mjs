/** What happens between "Done" and *Save*, with an application whose handler takes the files (CTRL-6, COMPLETE-7). */
import assert from "node:assert/strict";
import { bytes, file, pick, row, sane, settled, sha256, sleep, until, visit } from "../page.mjs";
import { Redis } from "../redis.mjs";

const picture = (seed, length = 150_000) => Buffer.concat([Buffer.from("89504e470d0a1a0a0000000d49484452", "hex"), bytes(length, seed)]);
const EXAMPLE = "several_nodes";

const open = async (t, app, more) => {
  const page = await visit(t, { url: app.url, connect: false, ...more });
  await until("the slots", () => page.$eval("input[dj-upload=photo]", (input) => input.accept === ".jpg,.jpeg,.png"));
  return page;
};

const hashes = (files) => files.map((one) => one.sha256).sort();
/** Files that handlers saved. */
const saved = (app) => app.stored("", "saved");
/** Files that wait. */
const waiting = (app, slot = "photo") => app.stored(slot, "uploads");
const output = (page) => page.locator("form output").textContent();
const click = (page) => page.click("form button:not([class])");
/** Sends the form, and returns what its page says then. */
async function save(page) {
  await page.$eval("form output", (element) => (element.textContent = ""));
  await click(page);
  return until("an answer", () => output(page));
}

/** Uploads a picture, has something happen, and saves it: once, byte for byte. */
async function between(t, app, happens) {
  const page = await open(t, app);
  const photo = picture(1);
  await pick(page, "photo", await file(t.path("me.png"), photo));
  await settled(page, "me.png");
  assert.deepEqual(hashes(await waiting(app)), [sha256(photo)], "Done is stored");
  const other = (await happens(page)) ?? page;
  await settled(other, "me.png");
  assert.equal(await save(other), "Saved me.png");
  assert.deepEqual(hashes(await saved(app)), [sha256(photo)]);
  assert.deepEqual(await waiting(app), []);
  assert.equal(await save(other), "Already saved: me.png");
  assert.deepEqual(hashes(await saved(app)), [sha256(photo)], "once");
  await sane(other);
  return page;
}

export default {
  async "a lost line between Done and Save loses nothing"(t) {
    const app = await t.example(EXAMPLE);
    await between(t, app, () => app.proxy.unplug(500));
  },

  async "a reload between Done and Save loses nothing"(t) {
    const app = await t.example(EXAMPLE);
    await between(t, app, async (page) => void (await page.reload()));
  },

  async "another tab saves what one has uploaded, and the first says so"(t) {
    const app = await t.example(EXAMPLE);
    const page = await between(t, app, (first) => open(t, app, { context: first.context() }));
    // This tab shows it still.
    assert.equal(await save(page), "Already saved: me.png");
    assert.equal((await saved(app)).length, 1);
  },

  async "a server that dies between Done and Save loses nothing"(t) {
    const app = await t.example(EXAMPLE);
    await between(t, app, () => app.restart("SIGKILL"));
  },

  async "a server that is restarted and a page that is reloaded between Done and Save lose nothing"(t) {
    const app = await t.example(EXAMPLE);
    await between(t, app, async (page) => {
      await app.restart("SIGTERM");
      await page.reload();
    });
  },

  async "another node saves what this one has stored"(t) {
    const redis = await Redis.open(t.dir);
    t.onEnd(() => redis.close());
    const env = { REDIS_URL: redis.url };
    const one = await t.example(EXAMPLE, { env });
    const two = await t.example(EXAMPLE, { env, dir: one.dir });
    await between(t, one, async (page) => {
      await one.stop();
      return open(t, two, { context: page.context() });
    });
  },

  async "Remove deletes the file, in whichever tab, and no Save brings it back"(t) {
    const app = await t.example(EXAMPLE);
    const page = await open(t, app);
    const photo = await file(t.path("me.png"), picture(1));
    await pick(page, "photo", photo);
    await settled(page, "me.png");
    await row(page, "me.png").locator(".upload-cancel").click();
    await until("no row", async () => (await row(page, "me.png").count()) === 0);
    assert.deepEqual(await waiting(app), []);
    assert.equal(await save(page), "Nothing to save");

    await pick(page, "photo", photo);
    await settled(page, "me.png");
    const other = await open(t, app, { context: page.context() });
    await settled(other, "me.png");
    await row(other, "me.png").locator(".upload-cancel").click();
    await until("no row there", async () => (await row(other, "me.png").count()) === 0);
    assert.deepEqual(await waiting(app), []);
    assert.equal(await save(page), "No longer on the server: me.png. Choose it again");
    assert.equal(await row(page, "me.png").count(), 0, "and shown no more");
    await pick(page, "photo", photo);
    await settled(page, "me.png");
    assert.equal(await save(page), "Saved me.png");
    assert.equal((await saved(app)).length, 1);
    await sane(page);
  },

  async "a wrong pick is replaced, also by a page that was reloaded"(t) {
    const app = await t.example(EXAMPLE);
    const page = await open(t, app);
    for (const n of [1, 2, 3]) {
      if (n === 3) {
        await page.reload();
        await settled(page, "2.png");
      }
      await pick(page, "photo", await file(t.path(`${n}.png`), picture(n)));
      await settled(page, `${n}.png`);
      assert.deepEqual(hashes(await waiting(app)), [sha256(picture(n))], "no other is left");
    }
    assert.equal(await save(page), "Saved 3.png");
    assert.deepEqual(hashes(await saved(app)), [sha256(picture(3))]);
    await sane(page);
  },

  async "a double click saves once and never says that nothing was saved"(t) {
    const app = await t.example(EXAMPLE);
    const page = await open(t, app);
    const papers = [1, 2, 3, 4].map((n) => `paper ${n} `.repeat(2000));
    await pick(page, "papers", await Promise.all(papers.map((text, n) => file(t.path(`${n}.txt`), text))));
    for (const n of papers.keys()) await settled(page, `${n}.txt`);
    const said = await page.evaluate(() => {
      const all = [];
      const output = document.querySelector("form output");
      new MutationObserver(() => output.textContent && all.push(output.textContent)).observe(output, { childList: true, characterData: true, subtree: true });
      return (window.said = all);
    });
    assert.deepEqual(said, []);
    await page.dblclick("form button:not([class])");
    await until("an answer", () => output(page));
    await sleep(300);
    await click(page);
    await until("what became of them", async () => /^Already saved: /.test(await output(page)));
    for (const text of await page.evaluate(() => window.said)) assert.match(text, /^Saved \d.txt, \d.txt, \d.txt, \d.txt$|^Already saved: \d.txt, \d.txt, \d.txt, …$/);
    assert.deepEqual(hashes(await saved(app)), papers.map(sha256).sort());
    assert.deepEqual(await waiting(app, "papers"), []);
    await sane(page);
  },

  async "a lost answer is asked for again, and what it had saved is named"(t) {
    const app = await t.example(EXAMPLE);
    const page = await open(t, app);
    const photo = picture(1);
    await pick(page, "photo", await file(t.path("me.png"), photo));
    await settled(page, "me.png");
    app.proxy.mute();
    await click(page);
    await until("the file to be saved", async () => (await saved(app)).length === 1);
    await until("its waiting to be over", async () => (await waiting(app)).length === 0);
    app.proxy.cut();
    app.proxy.release();
    await until("the loss to be told", async () => (await output(page)) === "The connection was lost");
    assert.equal(await save(page), "Already saved: me.png");
    assert.deepEqual(hashes(await saved(app)), [sha256(photo)]);
    await sane(page);
  },
};
