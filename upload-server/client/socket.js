// @ts-check
/** The one WebSocket of a page: dialling, backoff, liveness, close codes. Knows nothing of uploads. */
import { SUBPROTOCOL, parseMessage } from "./protocol.js";

const BACKOFF_MS = 300;
const BACKOFF_MAX_MS = 30_000;
const ABUSIVE_WAIT_MS = 60_000;
const QUIET_MS = 12_000;
const ANSWER_MS = 8_000;
const BUFFERED_MAX = 1 << 19;
const REFUSED_MAX = 3;

const jitter = (ms) => ms * (0.75 + Math.random() / 2);

export class Socket {
  #ws;
  #wanted = false;
  #refused = 0;
  #attempt = 0;
  #dialling = 0;
  #timer;
  #pulse;
  #gone = new AbortController();
  open = false;

  constructor(options, on) {
    this.options = options;
    this.on = on;
    const { signal } = this.#gone;
    const wake = () => (this.open ? this.#ping(ANSWER_MS / 2) : this.#redial(0));
    for (const name of ["online", "pageshow"]) addEventListener(name, wake, { signal });
    document.addEventListener("visibilitychange", () => document.hidden || wake(), { signal });
    addEventListener("offline", () => this.#drop(), { signal });
    // A browser leaves with 1001, which aborts (PROTOCOL RESUME-7); 1000 lets a reload resume.
    addEventListener("pagehide", () => options.keepOnLeave !== false && this.#drop(), { signal });
  }

  get room() {
    return this.open && this.#ws.bufferedAmount < BUFFERED_MAX;
  }

  want() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#redial(0);
  }

  send(what) {
    if (this.open) this.#ws.send(what instanceof Uint8Array ? what : JSON.stringify(what));
  }

  close() {
    this.#wanted = false;
    this.#gone.abort();
    this.#drop();
  }

  #redial(delay) {
    clearTimeout(this.#timer);
    if (this.#wanted && !this.#ws) this.#timer = setTimeout(() => this.#dial(), delay);
  }

  async #dial() {
    if (this.#ws || !navigator.onLine) return this.#redial(BACKOFF_MAX_MS); // if no `online` comes
    const { url, token } = this.options;
    const refresh = { refresh: this.#refused > 0 };
    const mine = ++this.#dialling;
    try {
      const at = new URL(typeof url === "function" ? await url(refresh) : url, location.href);
      if (token) at.searchParams.set("token", await token(refresh));
      at.protocol = at.protocol.replace("http", "ws");
      if (mine === this.#dialling && this.#wanted) this.#attach(new WebSocket(at, SUBPROTOCOL));
    } catch {
      this.#redial(this.#backoff());
    }
  }

  #attach(ws) {
    this.#ws = ws;
    this.#expect(2 * ANSWER_MS);
    ws.onmessage = ({ data }) => {
      const m = parseMessage(data);
      this.#expect(QUIET_MS, true);
      if (m?.type === "draining") return this.#drop(jitter(m.reconnect_after_ms ?? 0));
      if (m) this.on.message(m);
      if (m?.type !== "upload_configs") return;
      this.#attempt = this.#refused = 0;
      this.open = true;
      this.on.open();
    };
    ws.onclose = ({ code }) => {
      if (code === 4401 && ((!this.options.token && !this.options.url.call) || ++this.#refused > REFUSED_MAX)) {
        this.#wanted = false;
        this.on.message({ type: "error", code: "unauthenticated", retry: "never" });
      }
      if (code === 4408 && this.on.idle()) this.#wanted = false;
      this.#drop(code === 4429 ? jitter(ABUSIVE_WAIT_MS) : code === 1012 ? jitter(BACKOFF_MS) : undefined);
    };
  }

  #backoff() {
    return jitter(Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.#attempt++));
  }

  /** Forgets the socket without waiting for its end. */
  #drop(delay = this.#backoff()) {
    const ws = this.#ws;
    clearTimeout(this.#pulse);
    this.#dialling++;
    this.#ws = undefined;
    this.open = false;
    if (ws) {
      ws.onmessage = ws.onclose = null;
      ws.close(1000);
      this.on.closed();
    }
    this.#redial(delay);
  }

  /** Something must arrive within `ms`, or with `ask` a ping goes out. */
  #expect(ms, ask = false) {
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => {
      if (!ask) this.#drop();
      else if (this.on.idle()) this.#expect(ms, true);
      else this.#ping(ANSWER_MS);
    }, ms);
  }

  #ping(ms) {
    this.send({ type: "ping" });
    this.#expect(ms);
  }
}
