/**
 * A Chromium with windows, spoken to directly: libraries for automation switch the throttling of hidden tabs off, and
 * have every page believe that it is visible.
 */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";

const CLIENT = new URL("../../", import.meta.url);
const DEMO = new URL("../../../demo/", import.meta.url);
const ARGS = "--no-sandbox --disable-gpu --no-first-run --no-default-browser-check --disable-background-networking --disable-component-update --disable-sync --remote-debugging-port=0 --window-size=1000,700";

/** Resolves to what the pattern finds in the output. */
function line(stream, pattern, what) {
  return new Promise((done, fail) => {
    let text = "";
    const timer = setTimeout(() => fail(new Error(`${what} did not start: ${text}`)), 30_000);
    stream.on("data", (data) => {
      text += data;
      const found = pattern.exec(text);
      if (!found) return;
      clearTimeout(timer);
      done(found[1]);
    });
  });
}

/** A screen in memory. */
export async function display() {
  const xvfb = spawn("Xvfb", ["-displayfd", "3", "-screen", "0", "1200x900x24", "-nolisten", "tcp"], { stdio: ["ignore", "ignore", "ignore", "pipe"] });
  xvfb.on("error", () => console.error("Xvfb is missing: apt-get install -y xvfb"));
  const name = `:${await line(xvfb.stdio[3], /(\d+)\n/, "Xvfb")}`;
  return { name, close: () => end(xvfb) };
}

async function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((done) => child.once("exit", done));
  child.kill();
  await gone;
}

export class Headful {
  #id = 0;
  #waiting = new Map();
  #paused = new Map();

  static async open(executablePath, { fresh = false } = {}) {
    const headful = new Headful();
    headful.fresh = fresh;
    headful.screen = await display();
    headful.profile = await mkdtemp(join(tmpdir(), "upload-headful-"));
    const env = { ...process.env, DISPLAY: headful.screen.name };
    headful.chromium = spawn(executablePath, [...ARGS.split(" "), ...(fresh ? ["--disable-features=LocalNetworkAccessChecks"] : []), `--user-data-dir=${headful.profile}`, "about:blank"], { env, stdio: ["ignore", "ignore", "pipe"] });
    const address = await line(headful.chromium.stderr, /DevTools listening on (ws:\S+)/, "Chromium");
    headful.socket = new WebSocket(address, { perMessageDeflate: false });
    await new Promise((done, fail) => headful.socket.on("open", done).on("error", fail));
    headful.socket.on("message", (data) => headful.#message(JSON.parse(data)));
    return headful;
  }

  #message(message) {
    const { id, method, params, result, error, sessionId } = message;
    if (id) {
      const { done, fail } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error) fail(new Error(error.message));
      else done(result);
    } else if (method === "Fetch.requestPaused") {
      this.#paused.get(sessionId)?.(params);
    }
  }

  send(method, params = {}, sessionId = undefined) {
    const id = ++this.#id;
    this.socket.send(JSON.stringify({ id, method, params, sessionId }));
    return new Promise((done, fail) => this.#waiting.set(id, { done, fail }));
  }

  /** A tab in front, with the page at `url`. */
  async tab(url) {
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank" });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const send = (method, params) => this.send(method, params, sessionId);
    if (this.fresh && url.startsWith("http")) {
      this.#paused.set(sessionId, async ({ requestId, request }) => {
        const [, folder = "demo", name = "index.html"] = /\/uploads\/(client|demo)\/([\w./]+)/.exec(request.url) ?? [];
        const body = (await readFile(new URL(name, folder === "client" ? CLIENT : DEMO))).toString("base64");
        const contentType = { js: "text/javascript", css: "text/css", html: "text/html" }[name.split(".")[1]] ?? "image/svg+xml";
        await send("Fetch.fulfillRequest", { requestId, responseCode: 200, body, responseHeaders: [{ name: "content-type", value: contentType }] });
      });
      await send("Fetch.enable", { patterns: ["*/uploads/client/*", "*/uploads/demo/*", new URL("/", url).href].map((urlPattern) => ({ urlPattern })) });
    }
    await send("Page.enable");
    await send("Page.navigate", { url });
    const evaluate = async (expression) => {
      const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
      if (exceptionDetails) throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
      return result.value;
    };
    return { send, evaluate, close: () => this.send("Target.closeTarget", { targetId }) };
  }

  async close() {
    await end(this.chromium);
    await this.screen.close();
    await rm(this.profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
