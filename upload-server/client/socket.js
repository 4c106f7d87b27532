// @ts-check
/** The one WebSocket of a page: dialling, backoff, liveness, close codes. Knows nothing of uploads. */
import { SUBPROTOCOL, parseMessage } from "./protocol.js";

/** @typedef {import("./index.d.ts").UploadsOptions} UploadsOptions */
/** @typedef {import("./index.d.ts").Connection} Connection */
/** @typedef {import("./protocol.js").Message} Message */
/**
 * Who listens.
 *
 * @typedef {object} Listener
 * @property {() => void} open
 * @property {(message: Message) => void} message
 * @property {() => void} closed the connection that was open is lost
 * @property {() => boolean} idle nothing needs the connection
 * @property {() => void} changed the state is another
 * @property {() => void} unreachable several tries in a row failed; more follow
 * @property {() => void} unauthenticated the server refuses this client; no more tries
 * @property {(ref: string) => string | undefined} slotOf the slot of an upload
 */

const BACKOFF_MS = 300;
const BACKOFF_MAX_MS = 30_000;
const ABUSIVE_WAIT_MS = 60_000;
const QUIET_MS = 12_000;
const ANSWER_MS = 8_000;
const REFUSED_MAX = 3;
const UNREACHABLE_TRIES = 3;
/** Handshakes in a row that failed while HTTP worked: one alone may have met a server that was starting. */
const BLOCKED_TRIES = 2;

/** Bytes given to the browser ahead of the network: few, so that a pause or a cancel is not queued behind much. */
const BUFFERED_MAX = 512 * 1024;
/**
 * The same in a hidden page, where no one waits for a pause.
 *
 * A full buffer would wait there for a timer, of which there is one a second or one a minute. The server's credit bounds
 * what is in flight, and its answers bring the next frames.
 */
const BUFFERED_HIDDEN_MAX = 16 * 1024 * 1024;

const LOOPBACK = /^(localhost|.*\.localhost|127(\.\d+){3}|\[::1\])$/;

/** @param {number} ms */
const jitter = (ms) => ms * (0.75 + Math.random() / 2);

export class Socket {
  /** @type {WebSocket | import("./fallback.js").HttpLine | undefined} */
  #ws;
  /** What takes a socket's place for as long as the page lives. @type {typeof import("./fallback.js").HttpLine | undefined} */
  #line;
  #blocked = 0;
  /** That was dialled last. */
  #address = new URL(location.href);
  #wanted = false;
  /** Closed with 4401 so often in a row. */
  #refused = 0;
  /** Tries in a row that did not come to an open connection. */
  #failures = 0;
  /** Which try is the latest; an earlier one that is late is dropped. */
  #dialling = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #dialTimer;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #aliveTimer;
  #gone = new AbortController();
  open = false;
  /** @type {Connection} */
  connection = { state: "idle", retryAt: null };

  /** @param {UploadsOptions} options @param {Listener} on */
  constructor(options, on) {
    this.options = options;
    this.on = on;
    const { signal } = this.#gone;
    const wake = () => this.wake();
    for (const name of ["online", "pageshow"]) addEventListener(name, wake, { signal });
    document.addEventListener("visibilitychange", () => document.hidden || wake(), { signal });
    addEventListener("offline", () => this.#isLoopback() || this.#drop(), { signal });
    // A browser leaves with 1001, which aborts (PROTOCOL RESUME-7); 1000 lets a reload resume. Where it comes too late, the
    // address of the socket counts.
    addEventListener("pagehide", () => options.keepOnLeave !== false && this.#drop(), { signal });
  }

  /** Whether more should be sent now. */
  get room() {
    return this.open && !!this.#ws && this.#ws.bufferedAmount < (document.hidden ? BUFFERED_HIDDEN_MAX : BUFFERED_MAX);
  }

  /** Connects, and stays connected. */
  want() {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#refused = this.#failures = 0;
    this.#redial(0);
  }

  /** Tries now what it would try later, and makes sure that an open connection is alive. */
  wake() {
    if (this.open) this.#ping(ANSWER_MS / 2);
    else this.#redial(0);
  }

  /** @param {Uint8Array<ArrayBuffer> | Record<string, unknown>} what */
  send(what) {
    if (this.open) this.#ws?.send(what instanceof Uint8Array ? what : JSON.stringify(what));
  }

  close() {
    this.#wanted = false;
    this.#gone.abort();
    this.#drop();
    this.#enter("closed");
  }

  /** @param {Connection["state"]} state @param {number | null} [retryAt] */
  #enter(state, retryAt = null) {
    if (this.connection.state === state && this.connection.retryAt === retryAt) return;
    this.connection = { state, retryAt };
    this.on.changed();
  }

  #isLoopback() {
    const { url } = this.options;
    const address = typeof url === "function" ? location.href : url;
    return LOOPBACK.test(new URL(address, location.href).hostname);
  }

  /** @param {number} delay */
  #redial(delay) {
    clearTimeout(this.#dialTimer);
    if (!this.#wanted || this.#ws) return;
    if (delay && this.connection.state !== "offline") this.#enter("waiting", Date.now() + delay);
    this.#dialTimer = setTimeout(() => this.#dial(), delay);
  }

  async #dial() {
    if (this.#ws) return;
    if (!navigator.onLine && !this.#isLoopback()) {
      this.#enter("offline");
      this.#redial(BACKOFF_MAX_MS); // if no `online` comes
      return;
    }
    this.#enter("connecting");
    const { url, token } = this.options;
    const ask = { refresh: this.#refused > 0 };
    const mine = ++this.#dialling;
    try {
      const address = new URL(typeof url === "function" ? await url(ask) : url, location.href);
      if (token) address.searchParams.set("token", await token(ask));
      if (this.options.keepOnLeave !== false) address.searchParams.set("keep_on_leave", "1");
      address.protocol = address.protocol.replace("http", "ws");
      if (mine !== this.#dialling || !this.#wanted) return;
      const line = this.#line;
      this.#attach(line ? new line(address, this.options, this.on.slotOf) : new WebSocket(address, SUBPROTOCOL), address);
    } catch {
      if (mine === this.#dialling) this.#failed();
    }
  }

  /** @param {WebSocket | import("./fallback.js").HttpLine} ws @param {URL} address */
  #attach(ws, address) {
    this.#ws = ws;
    this.#address = address;
    this.#expect(2 * ANSWER_MS);
    ws.onmessage = (/** @type {{ data: string }} */ { data }) => {
      this.#expect(QUIET_MS, true);
      const message = parseMessage(data);
      if (message) this.#handle(message);
    };
    ws.onclose = (/** @type {{ code: number }} */ { code }) => this.#ended(code);
  }

  /** After a handshake that failed: where HTTP works, something between lets no socket through. */
  async #look() {
    const { href, search } = this.#address;
    const url = new URL("slots" + search, "http" + href.slice(2));
    // Another origin may take no cookies.
    const answer = await fetch(url, { credentials: "include" }).catch(() => fetch(url)).catch(() => null);
    this.#blocked = answer?.ok ? this.#blocked + 1 : 0;
    if (this.#blocked < BLOCKED_TRIES || this.open) return;
    this.#line = (await import("./fallback.js")).HttpLine; // few networks are like this
    this.#failures = 0;
    this.#drop(0);
  }

  /** @param {Message} message */
  #handle(message) {
    if (message.type === "draining") {
      this.#drop(jitter(message.reconnect_after_ms ?? 0));
      return;
    }
    this.on.message(message);
    if (message.type !== "upload_configs") return;
    this.#failures = this.#refused = this.#blocked = 0;
    this.open = true;
    this.#enter("open");
    this.on.open();
  }

  /** @param {number} code */
  #ended(code) {
    if (code !== 1006) this.#ws = undefined; // the server closed it, so sockets pass
    if (code === 4401) {
      const canRefresh = !!this.options.token || typeof this.options.url === "function";
      this.#refused++;
      if (!canRefresh || this.#refused > REFUSED_MAX) {
        this.#wanted = false;
        this.#drop();
        this.#enter("unauthenticated");
        this.on.unauthenticated();
        return;
      }
    }
    if (code === 4408 && this.on.idle()) {
      this.#wanted = false;
      this.#drop();
      this.#enter("idle");
    } else if (code === 4429) {
      this.#drop(jitter(ABUSIVE_WAIT_MS));
    } else if (code === 1012) {
      this.#drop(jitter(BACKOFF_MS));
    } else {
      this.#drop();
    }
  }

  /** Counts a try that came to nothing, and tries again later. */
  #failed() {
    this.#redial(this.#backoff());
    if (this.#failures === UNREACHABLE_TRIES && this.#wanted) this.on.unreachable();
  }

  #backoff() {
    return jitter(Math.min(BACKOFF_MAX_MS, BACKOFF_MS * 2 ** this.#failures++));
  }

  /** Forgets the socket without waiting for its end. @param {number} [delay] */
  #drop(delay) {
    const ws = this.#ws;
    const wasOpen = this.open;
    clearTimeout(this.#aliveTimer);
    this.#dialling++;
    this.#ws = undefined;
    this.open = false;
    if (ws) {
      ws.onmessage = ws.onclose = null;
      ws.close(1000);
    }
    if (wasOpen) this.on.closed();
    else if (ws && this.#wanted && !this.#line && this.options.fallback !== false) void this.#look();
    if (delay === undefined) this.#failed();
    else this.#redial(delay);
  }

  /** Something must arrive within `ms`, or with `ask` a ping goes out. @param {number} ms @param {boolean} [ask] */
  #expect(ms, ask = false) {
    clearTimeout(this.#aliveTimer);
    this.#aliveTimer = setTimeout(() => {
      if (!ask) this.#drop();
      else if (this.on.idle()) this.#expect(ms, true);
      else this.#ping(ANSWER_MS);
    }, ms);
  }

  /** @param {number} ms */
  #ping(ms) {
    this.send({ type: "ping" });
    this.#expect(ms);
  }
}
