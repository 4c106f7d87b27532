/**
 * One client for all: sends a file a number of times, one after the other, and prints how many seconds that took.
 *
 * `node client.mjs tus URL FILE TIMES SECONDS` speaks tus, with the client of the tus project; `uppy` with Uppy and its
 * plugin.
 * `djust` sends the frames of djust's browser code.
 * `frames` sends the same without the messages by which a view of djust is mounted and saves its files.
 * After SECONDS the client stops trying, and says at which step.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import Uppy from "@uppy/core";
import Tus from "@uppy/tus";
import { Upload } from "tus-js-client";
import { WebSocket } from "ws";

/** What djust's browser code sends at once. */
const CHUNK = 63 * 1024;
/** How far the client may be ahead of its socket. */
const AHEAD = 4 * 1024 * 1024;

const [kind, url, path, times, seconds] = process.argv.slice(2);
const file = readFileSync(path);
/** Which file is sent, and what is waited for. */
let sent = 0;
let step = "connect";
setTimeout(() => stop(`no end after ${seconds} s`), Number(seconds) * 1000);

try {
  const send = kind === "tus" ? tus : kind === "uppy" ? uppy() : await frames();
  const from = performance.now();
  for (; sent < Number(times); sent++) await send();
  console.log((performance.now() - from) / 1000);
  process.exit();
} catch (error) {
  stop(error);
}

function stop(why) {
  console.error(`client of ${url}: ${kind}, file ${sent + 1} of ${times}, step "${step}": ${why}`);
  process.exit(1);
}

function tus() {
  step = "upload";
  return new Promise((onSuccess, onError) => {
    new Upload(file, { endpoint: url, metadata: { filename: "a.bin" }, retryDelays: null, onSuccess, onError }).start();
  });
}

/** Uppy without a page: what its Dashboard does behind the pictures. */
function uppy() {
  const uppy = new Uppy().use(Tus, { endpoint: url, retryDelays: null, storeFingerprintForResuming: false });
  return async () => {
    step = "upload";
    uppy.addFile({ name: "a.bin", type: "application/octet-stream", data: file });
    const { failed } = await uppy.upload();
    if (failed.length) throw failed[0].error;
    uppy.clear();
  };
}

async function frames() {
  const socket = new WebSocket(url);
  const waiting = [];
  socket.on("message", (data, isBinary) => {
    if (isBinary) return;
    const message = JSON.parse(String(data));
    const isRefusal = ["error", "rate_limit_exceeded"].includes(message.type) || message.status === "error";
    if (isRefusal) stop(`the server says ${data}`);
    const at = waiting.findIndex(({ is }) => is(message));
    if (at >= 0) waiting.splice(at, 1)[0].done();
  });
  socket.on("close", (code, reason) => stop(`the server closed the connection with code ${code} ${reason}`));
  const until = (is) => new Promise((done) => waiting.push({ is, done }));
  const tell = (message) => socket.send(JSON.stringify(message));
  await new Promise((done, fail) => socket.on("open", done).on("error", fail));
  if (kind === "djust") {
    step = "mount";
    const mounted = until(({ type }) => type === "mount");
    tell({ type: "mount", view: "djust_server.Upload", params: {}, url: "/" });
    await mounted;
  }
  return async () => {
    const ref = randomUUID();
    const id = Buffer.from(ref.replaceAll("-", ""), "hex");
    step = "register";
    const registered = until(({ type }) => type === "upload_registered");
    tell({ type: "upload_register", upload_name: "any", ref, client_name: "a.bin", client_type: "", client_size: file.length });
    await registered;
    const complete = until(({ status }) => status === "complete");
    for (let at = 0, index = 0; at < file.length; at += CHUNK, index++) {
      step = `chunk ${index}`;
      const head = Buffer.alloc(21);
      head[0] = 1;
      id.copy(head, 1);
      head.writeUInt32BE(index, 17);
      socket.send(Buffer.concat([head, file.subarray(at, at + CHUNK)]));
      while (socket.bufferedAmount > AHEAD) await new Promise((done) => setImmediate(done));
    }
    step = "complete";
    socket.send(Buffer.concat([Buffer.of(2), id]));
    await complete;
    if (kind !== "djust") return;
    step = "save";
    const saved = until(({ event_name }) => event_name === "save");
    tell({ type: "event", event: "save", params: {} });
    await saved;
  };
}
