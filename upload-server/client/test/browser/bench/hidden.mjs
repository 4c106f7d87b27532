/**
 * How long a file takes in a tab that is really hidden, compared with a visible one, over the same slow link.
 *
 * Measured in Chromium and in Firefox, and with an earlier client, which sent from timers.
 *
 * node browser/bench/hidden.mjs --server-binary PATH [--mib 256] [--rate 20000000] [--rounds 3] [--engines chromium,firefox]
 *   [--earlier COMMIT] [--minutes N] [--json FILE]
 *
 * With `--minutes`, a tab that is hidden for so long on a slow link takes their place: it must lose no connection and no upload,
 * and never be without progress for long, also when browsers run its timers once a minute (Chromium after five minutes).
 * A run counts only if the tab says that it is hidden and an interval of 10 ms fires at most twice a second in it.
 * Both browsers have windows, in Xvfb. `cargo xtask bench hidden` holds the figures against their bars.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import puppeteer from "puppeteer-core";
import { Headful, display } from "../headful.mjs";
import { sleep, sparse, until } from "../page.mjs";
import { Server } from "../server.mjs";

const MIB = 1024 ** 2;
const WATCH_MS = 4000;
/** An interval of 10 ms in a hidden tab, per second. */
const TICKS_MAX = 2;
/** A client that takes so many times as long as a visible tab is not waited for. */
const TIMES_MAX = 4;
/** Bytes a second of a link that is slow for minutes. */
const SLOW_RATE = 150_000;
const ROOT = fileURLToPath(new URL("../../../../../", import.meta.url));
const TYPES = { js: "text/javascript", html: "text/html", css: "text/css" };

const { values: options } = parseArgs({
  options: {
    "server-binary": { type: "string" }, mib: { type: "string", default: "256" }, rate: { type: "string", default: "20000000" }, rounds: { type: "string", default: "3" },
    engines: { type: "string", default: "chromium,firefox" }, earlier: { type: "string" }, minutes: { type: "string" }, json: { type: "string" },
  },
});
if (!existsSync(options["server-binary"] ?? "")) {
  console.error(`${options["server-binary"] ?? "--server-binary"} is missing`);
  process.exit(2);
}

/** Serves a page with one input, and the client from a folder. */
async function site(folder, target) {
  const page = `<!doctype html><title>Bench</title><input type="file"><script type="module">
    import { Uploads } from "/client/index.js";
    window.lost = 0;
    window.WebSocket = class extends WebSocket {
      constructor(...all) {
        super(...all);
        this.addEventListener("close", () => window.lost++);
      }
    };
    const uploads = new Uploads({ url: ${JSON.stringify(target)} });
    const input = document.querySelector("input");
    input.onchange = () => {
      const from = performance.now();
      window.upload = uploads.add([...input.files], "big")[0];
      upload.done.then(
        (ending) => (window.ended = ending.status === "error" ? JSON.stringify(ending) : (performance.now() - from) / 1000),
        (error) => (window.ended = String(error)),
      );
    };
    await uploads.connect();
    window.isReady = true;
  </script>`;
  const server = createServer(async ({ url }, response) => {
    const name = /^\/client\/([\w./]+)$/.exec(url)?.[1];
    const body = name ? await readFile(join(folder, name)).catch(() => null) : url === "/" ? page : null;
    response.writeHead(body === null ? 404 : 200, { "content-type": TYPES[name?.split(".").pop()] ?? "text/html" }).end(body);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => server.close() };
}

class Chromium {
  static async open() {
    const chromium = new Chromium();
    chromium.headful = await Headful.open(process.env.CHROMIUM || "/usr/bin/chromium");
    return chromium;
  }
  async tab(url) {
    const tab = await this.headful.tab(url);
    const pick = async (path) => {
      const { root } = await tab.send("DOM.getDocument");
      const { nodeId } = await tab.send("DOM.querySelector", { nodeId: root.nodeId, selector: "input" });
      await tab.send("DOM.setFileInputFiles", { nodeId, files: [path] });
    };
    return { evaluate: tab.evaluate, pick, close: tab.close };
  }
  close() {
    return this.headful.close();
  }
}

class Firefox {
  static async open() {
    const firefox = new Firefox();
    firefox.screen = await display();
    const env = { ...process.env, DISPLAY: firefox.screen.name };
    firefox.browser = await puppeteer.launch({ browser: "firefox", executablePath: process.env.FIREFOX || "/usr/bin/firefox-esr", headless: false, env });
    return firefox;
  }
  async tab(url) {
    const page = await this.browser.newPage();
    await page.bringToFront();
    await page.goto(url);
    return {
      evaluate: (expression) => page.evaluate(expression),
      pick: async (path) => (await page.$("input")).uploadFile(path),
      close: () => page.close(),
    };
  }
  async close() {
    await this.browser.close();
    await this.screen.close();
  }
}

const ENGINES = { chromium: Chromium, firefox: Firefox };

/** A tab that is in front, or behind another one, with how often an interval of 10 ms fires in it. */
async function open(engine, url, isHidden) {
  const tab = await engine.tab(url);
  await until("the client", () => tab.evaluate("window.isReady === true"));
  const front = isHidden && (await engine.tab("about:blank"));
  const state = isHidden ? "hidden" : "visible";
  await until(`the tab to be ${state}`, async () => (await tab.evaluate("document.visibilityState")) === state);
  const ticks = await tab.evaluate(`new Promise((done) => {
    let count = 0;
    const from = performance.now();
    const interval = setInterval(() => {
      const passed = performance.now() - from;
      if (passed <= ${WATCH_MS}) return void count++;
      clearInterval(interval);
      done((count * 1000) / ${WATCH_MS});
    }, 10);
  })`);
  if (isHidden) assert.ok(ticks <= TICKS_MAX, `an interval of 10 ms fired ${ticks} times a second: timers are not throttled here`);
  const close = async () => {
    assert.equal(await tab.evaluate("document.visibilityState"), state);
    if (front) await front.close();
    await tab.close();
  };
  return { tab, ticks, close };
}

/** Sends the file in a tab that is in front, or behind another one. */
async function send(engine, url, path, isHidden, most) {
  const { tab, ticks, close } = await open(engine, url, isHidden);
  const from = Date.now();
  await tab.pick(path);
  // Asked for from here: the tab's own timers are slow.
  const seconds = await until("the end", async () => {
    const ended = await tab.evaluate("window.ended ?? null");
    return ended ?? (Date.now() - from > most * 1000 && Infinity);
  }, 1_200_000);
  assert.equal(typeof seconds, "number", `the upload failed: ${seconds}`);
  await close();
  return { seconds, ticks };
}

/** Sends the file over a slow link in a tab that is hidden for minutes, and then the rest of it as fast as may be. */
async function stay(engine, url, path, minutes, proxy) {
  const { tab, ticks, close } = await open(engine, url, true);
  proxy.rate = SLOW_RATE;
  await tab.pick(path);
  const from = Date.now();
  let received = 0;
  let movedAt = from;
  let pause = 0;
  while (Date.now() - from < minutes * 60_000) {
    await sleep(1000);
    const [ended, now] = await tab.evaluate("[window.ended ?? null, window.upload?.progress.received ?? 0]");
    assert.equal(ended, null, `the upload ended after ${(Date.now() - from) / 1000} s: ${ended}`);
    pause = Math.max(pause, Date.now() - movedAt);
    if (now > received) movedAt = Date.now();
    received = now;
  }
  proxy.rush();
  const ended = await until("the end", () => tab.evaluate("window.ended ?? null"), 120_000);
  assert.equal(typeof ended, "number", `the upload failed: ${ended}`);
  const lost = await tab.evaluate("window.lost");
  await close();
  return { ticks, received, lost, pause_seconds: pause / 1000 };
}

const dir = await mkdtemp(join(tmpdir(), "upload-bench-hidden-"));
const ends = [() => rm(dir, { recursive: true, force: true })];
try {
  // More than the link takes in the minutes, so that the file is under way all the time.
  const size = options.minutes ? Math.ceil(+options.minutes * 60 * SLOW_RATE * 1.5) : +options.mib * MIB;
  const path = await sparse(join(dir, "hidden.bin"), size);
  const server = await Server.open(options["server-binary"], { head: `allowed_origins = ["*"]` });
  ends.unshift(() => server.close());
  server.proxy.rate = +options.rate;
  const clients = { ours: join(ROOT, "upload-server/client") };
  if (options.earlier) {
    const archive = execFileSync("git", ["archive", options.earlier, "upload-server/client"], { cwd: ROOT, maxBuffer: 64 * MIB });
    execFileSync("tar", ["-x", "-C", dir], { input: archive });
    clients[options.earlier] = join(dir, "upload-server/client");
  }
  const target = `${server.url.replace("http", "ws")}uploads/ws`;
  const runs = [];
  const stays = [];
  for (const name of options.minutes ? options.engines.split(",") : []) {
    const engine = await ENGINES[name].open();
    const page = await site(clients.ours, target);
    const stayed = await stay(engine, page.url, path, +options.minutes, server.proxy);
    page.close();
    await engine.close();
    console.log(`${name.padEnd(9)} hidden for ${options.minutes} minutes: ${(stayed.received / 1e6).toFixed(1)} MB came, ${stayed.pause_seconds.toFixed(1)} s without progress at most, ${stayed.lost} connections lost; an interval of 10 ms fired ${stayed.ticks.toFixed(2)} times a second`);
    stays.push({ engine: name, ...stayed });
  }
  for (let round = 1; !options.minutes && round <= +options.rounds; round++) {
    for (const name of options.engines.split(",")) {
      const engine = await ENGINES[name].open();
      for (const [client, folder] of Object.entries(clients)) {
        const page = await site(folder, target);
        const visible = await send(engine, page.url, path, false, Infinity);
        const hidden = await send(engine, page.url, path, true, TIMES_MAX * visible.seconds);
        page.close();
        const ended = hidden.seconds === Infinity ? `not done after ${(TIMES_MAX * visible.seconds).toFixed(1)} s` : `${hidden.seconds.toFixed(2)} s`;
        console.log(`${name.padEnd(9)} ${client.padEnd(8)} ${options.mib} MiB: ${visible.seconds.toFixed(2)} s visible, ${ended} hidden, where an interval of 10 ms fired ${hidden.ticks.toFixed(2)} times a second`);
        runs.push({ round, engine: name, client, visible: visible.seconds, hidden: Math.min(hidden.seconds, TIMES_MAX * visible.seconds), ticks: hidden.ticks, is_done: hidden.seconds !== Infinity });
      }
      await engine.close();
    }
  }
  if (options.json) await writeFile(options.json, JSON.stringify({ runs, stays }));
} finally {
  for (const end of ends) await end();
}
