// @ts-check
/** The one WebSocket of a page: dialling, backoff, liveness, and what close codes ask for. Knows nothing of uploads. */
import { SUBPROTOCOL, parseMessage } from "./protocol.js";

const BACKOFF_MS = 300;
const BACKOFF_MAX_MS = 30_000;
const ABUSIVE_WAIT_MS = 60_000;
/** Silence after which a ping goes out, and how long its answer may take. */
const QUIET_MS = 12_000;
const ANSWER_MS = 8_000;
/** Bytes the browser may hold unsent. */
const BUFFERED_MAX = 1 << 20;

export class Socket {
  /** @type {WebSocket | null} */
  #ws = null;
  #wanted = false;
  #refresh = false;
  #attempt = 0;
  #dialling = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #pulse;
  #abort = new AbortController();
  open = false;

  /**
   * @param {import("./index.d.ts").SocketOptions} options
   * @param {{open(): void, message(m: Record<string, any> & {type: string}): void, closed(): void, idle(): boolean, refused(code: string): void}} on
   */
  constructor(options, on) {
    this.options = options;
    this.on = on;
    const signal = this.#abort.signal;
    const wake = () => {
      if (document.visibilityState === "hidden") return;
      if (this.#ws) this.#ping(ANSWER_MS / 2);
      else this.#redial(0);
    };
    addEventListener("online", wake, { signal });
    addEventListener("pageshow", wake, { signal });
    document.addEventListener("visibilitychange", wake, { signal });
    addEventListener("offline", () => this.#drop(), { signal });
    // A browser closes with 1001 on its way out, which aborts (PROTOCOL RESUME-7); 1000 lets a reload resume.
    addEventListener("pagehide", () => options.keepOnLeave !== false && this.#drop(true), { signal });
  }

  /** Room for another frame. */
  get room() {
    return this.open && /** @type {WebSocket} */ (this.#ws).bufferedAmount < BUFFERED_MAX;
  }

  /** Dials unless it is open or about to be. */
  want() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#redial(0);
  }

  /** @param {Record<string, any> | Uint8Array<ArrayBuffer>} what */
  send(what) {
    if (this.open) this.#ws?.send(what instanceof Uint8Array ? what : JSON.stringify(what));
  }

  close() {
    this.#wanted = false;
    this.#abort.abort();
    this.#drop();
  }

  /** @param {number} delay in milliseconds */
  #redial(delay) {
    clearTimeout(this.#timer);
    if (this.#wanted && !this.#ws) this.#timer = setTimeout(() => this.#dial(), delay);
  }

  async #dial() {
    if (this.#ws || !navigator.onLine) return; // `online` dials again
    const { url, token } = this.options;
    const mine = ++this.#dialling;
    try {
      const at = new URL(typeof url === "function" ? await url({ refresh: this.#refresh }) : url, location.href);
      if (token) at.searchParams.set("token", await token({ refresh: this.#refresh }));
      if (mine !== this.#dialling || !this.#wanted) return;
      at.protocol = at.protocol.replace("http", "ws");
      this.#attach(new WebSocket(at, SUBPROTOCOL));
    } catch {
      this.#redial(this.#backoff());
    }
  }

  /** @param {WebSocket} ws */
  #attach(ws) {
    this.#ws = ws;
    ws.binaryType = "arraybuffer";
    this.#expect(2 * ANSWER_MS);
    ws.onmessage = ({ data }) => {
      this.#expect(QUIET_MS, true);
      const m = parseMessage(data);
      if (!m) return;
      if (m.type === "upload_configs") {
        this.#attempt = 0;
        this.#refresh = false;
        this.open = true;
        this.on.message(m);
        this.on.open();
      } else if (m.type === "draining") {
        this.#lost(m.reconnect_after_ms ?? BACKOFF_MS, true);
      } else {
        this.on.message(m);
      }
    };
    ws.onclose = ({ code }) => {
      if (code === 4401) {
        if (!this.options.token && typeof this.options.url !== "function") this.#wanted = false;
        else if (this.#refresh && this.#attempt > 3) this.#wanted = false;
        this.#refresh = true;
        if (!this.#wanted) this.on.refused("unauthenticated");
      }
      if (code === 4408 && this.on.idle()) this.#wanted = false;
      this.#lost(code === 4429 ? ABUSIVE_WAIT_MS : code === 1012 ? BACKOFF_MS : undefined);
    };
  }

  #backoff() {
    const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.#attempt++);
    return ceiling * (0.5 + Math.random() / 2);
  }

  /**
   * Forgets the socket and dials again after `delay` and some jitter.
   * @param {number} [delay]
   * @param {boolean} [close]
   */
  #lost(delay, close) {
    this.#drop(close ?? false);
    this.#redial(delay === undefined ? this.#backoff() : delay * (1 + Math.random() / 4));
  }

  /** @param {boolean} [close] close it too: the default */
  #drop(close = true) {
    const ws = this.#ws;
    clearTimeout(this.#pulse);
    this.#dialling++;
    if (!ws) return;
    ws.onmessage = ws.onclose = null;
    if (close) ws.close(1000);
    this.#ws = null;
    this.open = false;
    this.on.closed();
    this.#redial(this.#backoff());
  }

  /**
   * Something must arrive within `ms`; with `ask`, a ping is tried first.
   * @param {number} ms
   * @param {boolean} [ask]
   */
  #expect(ms, ask) {
    clearTimeout(this.#pulse);
    this.#pulse = setTimeout(() => {
      if (!ask) this.#lost(undefined, true);
      else if (this.on.idle()) this.#expect(ms, true);
      else this.#ping(ANSWER_MS);
    }, ms);
  }

  /** @param {number} ms */
  #ping(ms) {
    if (!this.open) return;
    this.send({ type: "ping" });
    this.#expect(ms);
  }
}
