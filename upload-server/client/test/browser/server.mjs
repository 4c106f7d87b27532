/** The real server, or an example, as a process that can be killed and restarted, behind a proxy that can be cut, stalled and slowed. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

const CONFIG = `
demo = true
[state]
store = "embedded"
ttl_seconds = 3600
[slots.avatar]
accept = "image/*"
max_entries = 1
max_file_size = 5_000_000
[slots.photos]
accept = "image/*"
max_entries = 200
max_file_size = 25_000_000
[slots.documents]
accept = ".pdf,.txt,.csv,.docx"
max_entries = 20
max_file_size = 50_000_000
[slots.video]
accept = ".mp4,.mov,.webm"
max_entries = 4
max_file_size = 8_000_000_000
resumable = true
[slots.later]
accept = ".txt"
max_entries = 4
auto_upload = false
[slots.big]
accept = ""
max_entries = 1
max_file_size = 8_000_000_000
resumable = true
writer = "discard"
`;

export class Server {
  #binary;
  #child;
  #port;
  #args;
  #env;
  log = "";

  /** Of the ready binary, with more configuration if wanted: keys before the tables, and tables after them. */
  static async open(binary, { head = "", config = "", env = {} } = {}) {
    const server = new Server(binary);
    await writeFile(join(await server.#folder(), "uploads.toml"), head + CONFIG + config);
    server.#args = ["--config", "uploads.toml", "--listen"];
    server.#env = { UPLOAD_DATA_DIR: join(server.dir, "data"), ...env };
    return server.#ready();
  }

  /** Of an example, which takes where to listen and keeps its files where it is started: in a folder of its own, or another's. */
  static async example(binary, { dir, env = {} } = {}) {
    const server = new Server(binary);
    if (dir) server.dir = dir;
    else await server.#folder();
    server.#args = [];
    server.#env = env;
    return server.#ready();
  }

  constructor(binary) {
    this.#binary = binary;
  }

  /** Without the proxy. */
  get address() {
    return `http://127.0.0.1:${this.#port}/`;
  }

  async #folder() {
    return (this.dir = await mkdtemp(join(tmpdir(), "upload-browser-")));
  }

  async #ready() {
    await this.start();
    this.proxy = await Proxy.open(() => this.#port);
    this.url = `http://127.0.0.1:${this.proxy.port}/`;
    return this;
  }

  async start() {
    const args = [...this.#args, `127.0.0.1:${this.#port ?? 0}`];
    const child = spawn(this.#binary, args, { cwd: this.dir, env: { ...process.env, ...this.#env }, stdio: ["ignore", "pipe", "pipe"] });
    this.#child = child;
    child.stderr.on("data", (data) => (this.log = (this.log + data).slice(-20_000)));
    this.#port = await new Promise((done, fail) => {
      let out = "";
      child.stdout.on("data", (data) => {
        out += data;
        const found = /listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(out);
        if (found) done(+found[1]);
      });
      child.once("error", fail);
      child.once("exit", (code) => fail(new Error(`the server ended with ${code}: ${this.log.slice(-2000)}`)));
    });
  }

  /** `SIGKILL` gives it no chance to save anything, `SIGTERM` lets it drain. */
  async stop(signal = "SIGKILL") {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((done) => child.once("exit", done));
    child.kill(signal);
    await gone;
  }

  async restart(signal) {
    await this.stop(signal);
    await this.start();
  }

  async close() {
    this.proxy?.close();
    await this.stop();
    await rm(this.dir, { recursive: true, force: true });
  }

  /** Finished files of a slot: [{name, sha256, size}], names without the server's UUID; an example may keep them elsewhere. */
  async stored(slot, data = "data") {
    const folder = join(this.dir, data, slot);
    const names = await readdir(folder).catch(() => []);
    const files = await Promise.all(
      names.map(async (name) => {
        const { sha256, size } = await digest(join(folder, name));
        return { name: name.replace(/^[\da-f]{8}(-?[\da-f]{4}){3}-?[\da-f]{12}-/, ""), sha256, size };
      }),
    );
    return files.sort((a, b) => (a.name < b.name ? -1 : 1));
  }
}

export async function digest(path) {
  const sha = createHash("sha256");
  let size = 0;
  for await (const part of createReadStream(path)) {
    sha.update(part);
    size += part.length;
  }
  return { sha256: sha.digest("hex"), size };
}

/** Bytes a second that keep a connection alive and finish nothing. */
const TRICKLE = 100_000;

/** Plain TCP in between, so that a cut looks like one. */
class Proxy {
  #pairs = new Set();
  /** Bytes a second towards the server, or no limit. */
  rate = Infinity;
  #held = false;
  #muted = false;
  #unplugged = false;
  #barred = false;
  #passed = 0;
  #brakeAt = Infinity;

  static async open(target) {
    const proxy = new Proxy();
    proxy.server = createServer({ noDelay: true }, (client) => proxy.#join(client, target()));
    await new Promise((done) => proxy.server.listen(0, "127.0.0.1", done));
    proxy.port = proxy.server.address().port;
    return proxy;
  }

  #join(client, port) {
    if (this.#unplugged) return void client.resetAndDestroy();
    const server = connect({ port, host: "127.0.0.1", noDelay: true });
    const pair = { client, server };
    this.#pairs.add(pair);
    const end = () => {
      this.#pairs.delete(pair);
      client.destroy();
      server.destroy();
    };
    for (const socket of [client, server]) socket.on("error", end).on("close", end);
    server.on("data", (data) => {
      if (!this.#held && !this.#muted) client.write(data);
    });
    let isFirst = true;
    client.on("data", (data) => {
      const wantsSocket = isFirst && this.#barred && /\r\nupgrade: *websocket\r\n/i.test(data.toString("latin1"));
      isFirst = false;
      if (wantsSocket) return void client.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
      if (this.#held) return;
      server.write(data);
      this.#passed += data.length;
      if (this.#passed >= this.#brakeAt) {
        this.#brakeAt = Infinity;
        this.rate = TRICKLE;
      }
      if (this.rate === Infinity) return;
      client.pause();
      setTimeout(() => client.resume(), (data.length / this.rate) * 1000);
    });
  }

  /** So many bytes more as fast as now, then a trickle: what is larger stays under way, however slow the machine is. */
  brake(bytes) {
    this.#brakeAt = this.#passed + bytes;
  }
  /** Full speed from now on. */
  rush() {
    this.#brakeAt = this.rate = Infinity;
  }

  /** Lets no WebSocket through, as some networks do. */
  bar() {
    this.#barred = true;
  }
  unbar() {
    this.#barred = false;
  }

  /** Ends every connection at once, without a word of WebSocket. */
  cut() {
    for (const { client, server } of this.#pairs) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** Ends every connection, and takes none for so long. */
  async unplug(ms) {
    this.#unplugged = true;
    this.cut();
    await new Promise((done) => setTimeout(done, ms));
    this.#unplugged = false;
  }

  /** Swallows everything in both directions while connections stay open; those that are held stay lost. */
  hold() {
    this.#held = true;
  }
  /** Swallows what the server says alone. */
  mute() {
    this.#muted = true;
  }
  release() {
    this.#held = this.#muted = false;
  }

  close() {
    this.cut();
    this.server.close();
  }
}
