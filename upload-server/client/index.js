// @ts-check
/**
 * Uploads without markup: `createUploads({ url })`, then `add(files, slot)`.
 * As a page's own `<script type="module">` it starts by itself and reads the `dj-*` attributes (directives.js).
 */
import { bind } from "./directives.js";
import { presign, putPresigned } from "./presigned.js";
import { TEXT, refusal } from "./protocol.js";
import { Records } from "./resume.js";
import { Sender } from "./sender.js";
import { Socket } from "./socket.js";
import { fileHint, filesOf, readSlice } from "./source.js";

export { crc32c } from "./crc32c.js";
export { Sender, bind, fileHint, filesOf };

/** @typedef {import("./index.d.ts").SlotConfig} SlotConfig */
/** @typedef {import("./index.d.ts").Ending} Ending */

const CONCURRENCY = 3;
/** Frames of one turn of the event loop. */
const FRAMES_MAX = 16;
const BUFFER_FULL_MS = 4;
/** Progress is told at most this often, except when the status changes. */
const TELL_MS = 80;
const SAVE_MS = 2000;
const KEEP_MS = 3_600_000;
const EVENTS_MAX = 64;

const uuid = () =>
  crypto.randomUUID?.() ??
  "10000000-1000-4000-8000-100000000000".replace(/[018]/g, (c) => (+c ^ (crypto.getRandomValues(new Uint8Array(1))[0] & (15 >> (+c / 4)))).toString(16));

/** @type {Promise<string> | undefined} */
let tab;
/** The id of this tab, the same after a reload; a duplicated tab, which inherits it, gets its own. */
function clientId() {
  return (tab ??= (async () => {
    const key = "upload-client";
    let id = uuid();
    try {
      const kept = sessionStorage.getItem(key);
      const free =
        kept &&
        (!navigator.locks ||
          (await new Promise((done) => {
            navigator.locks.request(key + kept, { ifAvailable: true }, (lock) => (done(!!lock), lock ? new Promise(() => {}) : null));
          })));
      if (free) return kept;
      navigator.locks?.request(key + id, () => new Promise(() => {}));
      sessionStorage.setItem(key, id);
    } catch {
      // Storage is blocked: an id for as long as the page lives.
    }
    return id;
  })());
}

/** Why an upload ended other than complete; `retry` as in PROTOCOL MSG-3. */
export class UploadError extends Error {
  /** @param {Record<string, any>} ending */
  constructor({ code = "storage_failed", error, retry = "never" }) {
    super(error || TEXT[code] || code.replaceAll("_", " "));
    this.code = code;
    this.retry = retry;
  }
}

/** One file on its way. */
export class Upload {
  #owner;
  /** @type {(value?: unknown) => void} */
  #tick = () => {};
  /** @type {Promise<unknown>} */
  #changed = Promise.resolve();
  /** @type {Sender | null} */
  sender = null;
  /** @type {UploadError | null} */
  error = null;
  /** @type {import("./index.d.ts").Status} */
  status = "queued";
  paused = false;
  held = false;
  prepared = false;
  savedAt = 0;
  sentDirect = 0;
  abort = new AbortController();
  /** @type {unknown} */
  result = undefined;

  /**
   * @param {Uploads} owner
   * @param {import("./index.d.ts").Picked} picked
   * @param {string} slot
   */
  constructor(owner, picked, slot) {
    this.#owner = owner;
    this.file = picked.file;
    this.relativePath = picked.relativePath ?? (picked.file.webkitRelativePath || undefined);
    this.handle = picked.handle;
    this.spec = picked.spec;
    this.meta = picked.meta;
    this.slot = slot;
    this.ref = uuid();
    this.renew();
  }

  /** A fresh promise, at the start and with every retry. */
  renew() {
    /** Settles with the upload: resolves to its ending, rejects with an `UploadError`. @type {Promise<Ending>} */
    this.done = new Promise((resolve, reject) => {
      /** @param {Ending} ending */
      this.settle = (ending) => (this.error ? reject(this.error) : resolve(ending));
    });
    this.done.catch(() => {});
    this.told();
  }

  /** Lets those go on who iterate. */
  told() {
    this.#tick();
    this.#changed = new Promise((done) => (this.#tick = done));
  }

  get ended() {
    return this.status === "complete" || this.status === "error" || this.status === "cancelled";
  }

  /** Where it stands. @returns {import("./index.d.ts").Progress} */
  get progress() {
    const { sender: s, status } = this;
    const { size } = this.file;
    const done = status === "complete";
    const stored = done ? size : (s?.durable ?? 0);
    const received = done ? size : (s?.received ?? this.sentDirect);
    const bytesPerSecond = s?.bytesPerSecond ?? 0;
    return {
      ref: this.ref,
      uploadName: this.slot,
      name: this.file.name,
      status,
      phase: done ? "done" : (s?.phase ?? "sending"),
      paused: this.paused,
      progress: done ? 100 : Math.min(99, size ? Math.floor((received / size) * 100) : 0),
      sent: done ? size : (s?.sent ?? this.sentDirect),
      stored,
      size,
      bytesPerSecond,
      secondsLeft: bytesPerSecond ? Math.ceil((size - received) / bytesPerSecond) : null,
      mode: s ? "socket" : "presigned",
    };
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const changed = this.#changed;
      yield this.progress;
      if (this.ended) return;
      await changed;
    }
  }

  pause() {
    this.#owner.pause(this.ref);
  }
  resume() {
    this.#owner.resume(this.ref);
  }
  cancel() {
    this.#owner.cancel(this.ref);
  }
  /** Takes an upload that ended in error up again. */
  retry() {
    this.#owner.retry(this);
  }
}

/** All uploads of a page, over one socket. */
export class Uploads {
  /** @type {Map<string, Set<(value: any) => void>>} */
  #listeners = new Map();
  /** Those that have not ended, in the order they were added. @type {Set<Upload>} */
  #queue = new Set();
  /** Those with a sender that still has something to say. @type {Set<Upload>} */
  #live = new Set();
  /** @type {Set<Upload>} */
  #dirty = new Set();
  /** @type {ReturnType<typeof setTimeout> | null} */
  #teller = null;
  /** @type {ReturnType<typeof setTimeout> | null} */
  #pumper = null;
  #turn = 0;
  /** @type {Map<string, {event: string, params: object, done: (v: any) => void, fail: (e: Error) => void, sent: boolean}>} */
  #events = new Map();
  /** @type {() => void} */
  #configured = () => {};
  #socket;
  #records = new Records();
  /** @type {Record<string, SlotConfig>} */
  configs = {};
  limits = {};
  /** Resolves with the slots' configurations once the server has told them. */
  ready = new Promise((/** @type {(v: void) => void} */ done) => (this.#configured = done)).then(() => this.configs);

  /** @param {import("./index.d.ts").UploadsOptions} options */
  constructor(options) {
    this.options = options;
    this.#socket = new Socket(options, {
      open: () => this.#opened(),
      message: (m) => this.#message(m),
      closed: () => this.#closed(),
      idle: () => !this.#live.size && !this.#events.size && !this.#queue.size,
      refused: (code) => this.#emit("error", { code, error: TEXT[code], retry: "never" }),
    });
  }

  get connected() {
    return this.#socket.open;
  }
  /** Those that have not ended. */
  get uploads() {
    return [...this.#queue];
  }

  /**
   * Listens to `add`, `progress`, `error`, `event`, `configs` or `connection`; returns what stops it.
   * @param {string} name
   * @param {(value: any) => void} listener
   */
  on(name, listener) {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => void all.delete(listener);
  }

  /** Opens the socket, which `add` and `event` do by themselves. */
  connect() {
    this.#socket.want();
    return this.ready;
  }

  /**
   * Checks files with the slot's rules and uploads those that pass.
   * @param {Iterable<File | import("./index.d.ts").Picked>} files
   * @param {string} slot
   */
  add(files, slot) {
    const added = [...files].map((f) => new Upload(this, f instanceof File ? { file: f } : f, slot));
    for (const up of added) {
      this.#queue.add(up);
      this.#emit("add", up);
    }
    this.#prepare(added, slot);
    return added;
  }

  /**
   * Starts what waits because its slot has `auto_upload` off; resolves when nothing of the slot is under way.
   * @param {string} [slot]
   */
  async start(slot) {
    const mine = this.#of(undefined, slot);
    for (const up of mine) up.held = false;
    this.#schedule();
    await Promise.allSettled(mine.map((up) => up.done));
  }

  /** One upload by its ref, or all. @param {string} [ref] */
  pause(ref) {
    for (const up of this.#of(ref)) {
      up.paused = true;
      up.sender?.pause();
      this.#drain(up);
      this.#tell(up, true);
    }
    this.#schedule();
  }

  /** @param {string} [ref] */
  resume(ref) {
    for (const up of this.#of(ref)) {
      up.paused = false;
      up.sender?.resume(Date.now());
      this.#drain(up);
      this.#tell(up, true);
    }
    this.#schedule();
  }

  /** @param {string} [ref] */
  cancel(ref) {
    for (const up of this.#of(ref)) {
      up.abort.abort();
      up.sender?.cancel(Date.now());
      this.#drain(up);
      this.#end(up, { status: "cancelled", code: "cancelled" });
    }
  }

  /** @param {Upload} up */
  retry(up) {
    if (up.status !== "error") return;
    this.#live.delete(up);
    Object.assign(up, { status: "queued", error: null, sender: null, prepared: false, abort: new AbortController() });
    up.renew();
    this.#queue.add(up);
    this.#tell(up, true);
    this.#prepare([up], up.slot);
  }

  /**
   * Runs the application's handler `event`; resolves to its result.
   * @param {string} event
   * @param {object} [params]
   */
  event(event, params = {}) {
    return new Promise((done, fail) => {
      if (this.#events.size >= EVENTS_MAX) return fail(new UploadError({ code: "rate_limited", retry: "later" }));
      this.#events.set(uuid(), { event, params, done, fail, sent: false });
      this.#socket.want();
      this.#sendEvents();
    });
  }

  /** Uploads a former page left behind, newest first. @param {string} [slot] */
  async pending(slot) {
    const taken = new Set([...this.#queue].map((up) => up.ref));
    return (await this.#records.list()).filter((r) => !taken.has(r.ref) && (!slot || r.slot === slot));
  }

  /**
   * Continues one of them through its file handle; null where there is none or the user says no.
   * @param {import("./index.d.ts").ResumeRecord} record
   */
  async restore({ handle, slot, relativePath }) {
    if (!handle || (await handle.requestPermission({ mode: "read" })) !== "granted") return null;
    const file = await handle.getFile();
    return this.add([{ file, handle, relativePath }], slot)[0];
  }

  /** Forgets what a former page left behind. @param {string} ref */
  forget(ref) {
    return this.#records.remove(ref);
  }

  /** Closes the socket for good; the server keeps what can be resumed. */
  close() {
    this.#socket.close();
  }

  /**
   * @param {string} name
   * @param {unknown} value
   */
  #emit(name, value) {
    for (const listener of this.#listeners.get(name) ?? []) listener(value);
  }

  /**
   * @param {string} [ref]
   * @param {string} [slot]
   */
  #of(ref, slot) {
    return [...this.#queue].filter((up) => (!ref || up.ref === ref) && (!slot || up.slot === slot));
  }

  /**
   * @param {Upload[]} added
   * @param {string} slot
   */
  async #prepare(added, slot) {
    await this.connect();
    this.client = await clientId();
    const config = this.configs[slot];
    for (const up of added) {
      const before = this.#of(undefined, slot).indexOf(up);
      const code = config ? refusal(config, up.file, before) : "unknown_slot";
      if (up.ended) continue;
      if (code) {
        this.#end(up, { status: "error", code, retry: "never" });
        continue;
      }
      if (config.resumable) {
        const taken = (/** @type {string} */ ref) => this.#of(ref).some((other) => other !== up);
        const record = await this.#records.find(slot, fileHint(up.file), taken);
        if (up.ended) continue;
        if (record) {
          up.ref = record.ref;
          up.handle ??= record.handle;
          up.status = "resuming";
        }
      }
      up.held = config.auto_upload === false;
      up.prepared = true;
      this.#tell(up, true);
    }
    this.#schedule();
  }

  #schedule() {
    let busy = 0;
    for (const up of this.#queue) if (up.prepared && up.status !== "queued" && !up.paused && (up.sender?.active ?? up.sentDirect >= 0)) busy += up.sender || up.status === "uploading" ? 1 : 0;
    for (const up of this.#queue) {
      if (busy >= (this.options.concurrency ?? CONCURRENCY)) break;
      if (!up.prepared || up.held || up.paused || up.sender || up.status === "uploading") continue;
      busy++;
      this.#start(up);
    }
    this.#pump();
  }

  /** @param {Upload} up */
  #start(up) {
    const config = this.configs[up.slot];
    const { file, relativePath, slot } = up;
    const own = this.options.slots?.[slot] ?? {};
    if (up.spec || own.presign || config.direct) {
      this.#direct(up, up.spec ?? own.presign);
      return;
    }
    const resume = up.status === "resuming";
    up.status = resume ? "resuming" : "uploading";
    up.sender = new Sender({
      ref: up.ref, slot, name: file.name, type: file.type, size: file.size, chunkSize: config.chunk_size, resumable: config.resumable,
      resume, clientId: this.client, lastModified: file.lastModified, relativePath, meta: up.meta ?? own.meta, newRef: uuid,
    });
    if (up.paused) up.sender.pause();
    this.#live.add(up);
    this.#save(up);
    if (this.connected) up.sender.handleConnected(Date.now());
    this.#drain(up);
  }

  /**
   * @param {Upload} up
   * @param {import("./index.d.ts").PresignedSpec | ((file: File) => Promise<import("./index.d.ts").PresignedSpec>) | undefined} from
   */
  async #direct(up, from) {
    up.status = "uploading";
    this.#tell(up, true);
    const { options } = this;
    try {
      const base = new URL(typeof options.url === "function" ? await options.url({ refresh: false }) : options.url, location.href);
      const url = new URL("presign", base.href.replace(/^ws/, "http"));
      const spec = typeof from === "function" ? await from(up.file) : (from ?? (await presign(url, up.slot, up.file, await options.headers?.())));
      if (up.ended) return;
      const result = await putPresigned(
        spec,
        up.file,
        (sent) => {
          up.sentDirect = sent;
          this.#tell(up);
        },
        up.abort.signal,
      );
      this.#end(up, { status: "complete", result });
    } catch (e) {
      const { code = "storage_failed", message, status } = /** @type {any} */ (e);
      if (status === 401) options.token?.({ refresh: true });
      this.#end(up, { status: code === "cancelled" ? code : "error", code, error: message, retry: "restart" });
    }
  }

  /** Carries out what the sender wants. @param {Upload} up */
  #drain(up) {
    const s = up.sender;
    if (!s) return;
    for (let o; (o = s.poll()); ) {
      if (o.type === "message") this.#socket.send(o.message);
      else if (o.type === "frame") this.#socket.send(o.frame);
      else if (o.type === "read") this.#read(up, s, o.offset, o.length);
      else if (o.type === "progress") this.#tell(up);
      else if (o.type === "trouble") this.#emit("error", { upload: up, ...new UploadError(o.trouble), error: new UploadError(o.trouble).message });
      else if (o.type === "restart") {
        this.#records.remove(o.previous);
        up.ref = s.ref;
        up.savedAt = 0;
      } else this.#end(up, /** @type {Ending} */ (o.ending));
    }
    const due = s.pollTimeout();
    if (due !== null) {
      setTimeout(() => {
        s.handleTimeout(Date.now());
        this.#drain(up);
      }, due - Date.now() + 1);
    }
    if (s.finished && this.#live.delete(up)) this.#schedule();
  }

  /**
   * @param {Upload} up
   * @param {Sender} s
   * @param {number} offset
   * @param {number} length
   */
  async #read(up, s, offset, length) {
    try {
      s.handleData(offset, await readSlice(up.file, offset, length), Date.now());
    } catch {
      s.handleUnreadable();
    }
    this.#drain(up);
    this.#pump();
  }

  /** Sends frames while the socket has room, each upload in its turn. */
  #pump() {
    if (this.#pumper !== null) return;
    const ring = [...this.#live].filter((up) => up.sender?.active);
    let budget = FRAMES_MAX;
    for (let idle = 0; idle < ring.length; ) {
      if (!this.#socket.room || !budget) {
        if (this.connected) {
          this.#pumper = setTimeout(() => {
            this.#pumper = null;
            this.#pump();
          }, budget ? BUFFER_FULL_MS : 0);
        }
        return;
      }
      const up = ring[this.#turn++ % ring.length];
      const frame = up.sender?.pollFrame();
      idle = frame ? 0 : idle + 1;
      if (!frame) continue;
      budget--;
      this.#socket.send(frame);
      this.#drain(up);
    }
  }

  /**
   * Tells progress, soon or now.
   * @param {Upload} up
   * @param {boolean} [now]
   */
  #tell(up, now) {
    const status = up.ended ? up.status : (up.sender?.status ?? up.status);
    if (!up.ended && status !== "complete" && status !== "error" && status !== "cancelled" && status !== up.status) {
      up.status = status;
      now = true;
      this.#schedule();
    }
    if (up.sender?.resumable && !up.ended && Date.now() - up.savedAt > SAVE_MS) this.#save(up);
    if (now) {
      this.#dirty.delete(up);
      this.#emit("progress", up);
      up.told();
      return;
    }
    this.#dirty.add(up);
    this.#teller ??= setTimeout(() => {
      this.#teller = null;
      const dirty = [...this.#dirty];
      this.#dirty.clear();
      for (const up of dirty) this.#tell(up, true);
    }, TELL_MS);
  }

  /** @param {Upload} up */
  #save(up) {
    const s = up.sender;
    if (!s?.resumable) return;
    const { file, slot, handle, relativePath } = up;
    up.savedAt = Date.now();
    const expires = up.savedAt + (s.expiresIn ? s.expiresIn * 1000 : KEEP_MS);
    this.#records.save({
      ref: s.ref, slot, offset: s.received, hint: fileHint(file), name: file.name, size: file.size, type: file.type,
      lastModified: file.lastModified, relativePath, handle, at: up.savedAt, expires,
    });
  }

  /**
   * @param {Upload} up
   * @param {Ending} ending
   */
  #end(up, ending) {
    if (up.ended) return;
    const { status, code, retry, result } = ending;
    if (status !== "complete") up.error = new UploadError(ending);
    up.status = status;
    up.result = result;
    this.#queue.delete(up);
    if (!(status === "error" && (retry === "later" || code === "superseded"))) this.#records.remove(up.ref);
    this.#tell(up, true);
    if (status === "error") this.#emit("error", { upload: up, code: up.error?.code, retry: up.error?.retry, error: up.error?.message });
    up.settle?.({ ...ending, ref: up.ref });
    this.#schedule();
  }

  #opened() {
    this.#configured();
    this.#emit("connection", true);
    for (const up of this.#live) {
      up.sender?.handleConnected(Date.now());
      this.#drain(up);
    }
    this.#sendEvents();
    this.#schedule();
  }

  #closed() {
    this.#emit("connection", false);
    for (const up of [...this.#live]) {
      up.sender?.handleDisconnected(Date.now());
      this.#drain(up);
    }
    for (const [id, e] of this.#events) {
      if (!e.sent) continue;
      this.#events.delete(id);
      e.fail(new UploadError({ code: "session_closed", retry: "later" }));
    }
  }

  #sendEvents() {
    if (!this.connected) return;
    for (const [id, e] of this.#events) {
      if (e.sent) continue;
      e.sent = true;
      this.#socket.send({ type: "event", event: e.event, params: e.params, id });
    }
  }

  /** @param {Record<string, any> & {type: string}} m */
  #message(m) {
    if (m.type === "upload_configs") {
      this.configs = m.upload_configs ?? {};
      this.limits = m.limits ?? {};
      this.#emit("configs", this.configs);
    } else if (m.type === "event_result") {
      const waiting = this.#events.get(m.id);
      this.#events.delete(m.id);
      if (m.ok) waiting?.done(m.result);
      else waiting?.fail(new UploadError(m));
      this.#emit("event", m);
    } else if (m.ref) {
      for (const up of this.#live) {
        if (up.sender?.ref !== m.ref) continue;
        up.sender.handleMessage(m, Date.now());
        this.#drain(up);
        break;
      }
      this.#pump();
    } else if (m.type === "error") {
      this.#emit("error", { code: m.code, error: m.error, retry: m.retry });
    }
  }
}

/** @param {import("./index.d.ts").UploadsOptions} options */
export const createUploads = (options) => new Uploads(options);

/** The page's own, where this file is one of its scripts; otherwise null. */
export const uploads = (() => {
  if (typeof document === "undefined" || !import.meta.url.split(/[?#]/)[0].endsWith("/client/index.js")) return null;
  const scripts = [...document.querySelectorAll("script[type=module]")];
  const script = /** @type {HTMLScriptElement | undefined} */ (scripts.find((s) => /** @type {HTMLScriptElement} */ (s).src === import.meta.url));
  if (!script) return null;
  const all = new Uploads({ url: script.dataset.url ?? new URL("../ws", import.meta.url).href });
  bind(all);
  return all;
})();
