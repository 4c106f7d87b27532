/** `model.mjs` behind a socket, with the demo page: a server for a look at the client where the real one is not built. */
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { ModelServer } from "./model.mjs";

const CLIENT = new URL("../", import.meta.url);
const DEMO = new URL("../../demo/", import.meta.url);
const TYPES = { js: "text/javascript", css: "text/css", html: "text/html", svg: "image/svg+xml" };
const POLICY = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

export function serve({ port = 0, model = new ModelServer(), delay = 0 } = {}) {
  const http = createServer(async (request, response) => {
    const path = new URL(request.url, "http://x").pathname;
    const m = /^\/uploads\/(client|demo)\/([\w.]+)$/.exec(path);
    const at = path === "/" ? new URL("index.html", DEMO) : m && new URL(m[2], m[1] === "client" ? CLIENT : DEMO);
    try {
      const body = await readFile(at);
      response.writeHead(200, { "content-type": TYPES[at.pathname.split(".").at(-1)], "content-security-policy": POLICY });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  const sockets = new WebSocketServer({ server: http, path: "/uploads/ws", handleProtocols: (p) => (p.has("upload.v1") ? "upload.v1" : false), perMessageDeflate: false });
  sockets.on("connection", (ws) => {
    const conn = model.connect((m) => ws.send(JSON.stringify(m)));
    ws.on("message", async (data, binary) => {
      if (delay) {
        ws.pause();
        await new Promise((done) => setTimeout(done, delay));
        ws.resume();
      }
      binary ? conn.binary(new Uint8Array(data)) : conn.text(data.toString());
    });
    ws.on("close", (code) => {
      model.lastClose = code;
      conn.close();
    });
  });
  return new Promise((done) => http.listen(port, "127.0.0.1", () => done({ http, sockets, model, url: `http://127.0.0.1:${http.address().port}/`, close: () => (sockets.clients.forEach((c) => c.terminate()), http.close()) })));
}

if (process.argv[2] === "--serve") console.log((await serve({ port: +(process.argv[3] ?? 8080) })).url);
