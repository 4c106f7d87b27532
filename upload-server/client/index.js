// @ts-check
/** Uploads of a page, over one socket. What each name is for stands in index.d.ts. */
import { bind } from "./directives.js";
import { presign, putPresigned } from "./presigned.js";
import { refusal } from "./protocol.js";
import { Records } from "./resume.js";
import { Sender } from "./sender.js";
import { Socket } from "./socket.js";
import { Source, fileHint, filesOf } from "./source.js";
import { Upload, UploadError, uuid } from "./upload.js";

export { Sender, Upload, UploadError, bind, fileHint, filesOf };

const CONCURRENCY = 3;
const FRAMES_MAX = 16; // of one turn of the event loop
const FULL_MS = 4;
const TELL_MS = 80;
const SAVE_MS = 2000;
const KEEP_SECONDS = 3600;
const EVENTS_MAX = 64;

/** The same after a reload; a duplicated tab inherits it, finds it locked, and gets its own. */
let tabId;
const tab = () =>
  (tabId ??= (async () => {
    const claim = (id) => new Promise((done) => navigator.locks.request(id, { ifAvailable: true }, (lock) => (done(lock), lock && new Promise(() => {}))));
    let id = uuid();
    try {
      const kept = sessionStorage.uploadClient;
      if (kept && (!navigator.locks || (await claim(kept)))) return kept;
      sessionStorage.uploadClient = id;
      await claim(id);
    } catch {
      // No storage or no locks: good for as long as the page lives.
    }
    return id;
  })());

export class Uploads {
  #listeners = {};
  #queue = new Set(); // have not ended
  #live = new Set(); // whose sender has something to say
  #dirty = new Set(); // whose progress is to be told
  #events = new Map();
  #records = new Records();
  #turn = 0;
  #pumping;
  #telling;
  #configured;
  #socket;
  configs = /** @type {any} */ ({});
  ready = new Promise((done) => (this.#configured = done));

  constructor(options) {
    this.options = options;
    this.#socket = new Socket(options, {
      open: () => this.#opened(),
      message: (m) => this.#message(m),
      closed: () => this.#closed(),
      idle: () => !this.#live.size && !this.#events.size && !this.#queue.size,
    });
  }

  get connected() {
    return this.#socket.open;
  }
  get uploads() {
    return [...this.#queue];
  }

  on(name, listener) {
    const all = (this.#listeners[name] ??= new Set()).add(listener);
    return () => void all.delete(listener);
  }

  connect() {
    this.#socket.want();
    return this.ready;
  }

  add(files, slot) {
    const added = [...files].map((f) => new Upload(this, f instanceof File ? { file: f } : f, slot));
    for (const up of added) {
      this.#queue.add(up);
      this.#emit("add", up);
    }
    this.#prepare(added, slot);
    return added;
  }

  async start(slot) {
    const added = this.#of("", slot);
    await this.ready;
    for (const up of added) up.ready = true;
    this.#schedule();
    await Promise.allSettled(added.map((up) => up.done));
  }

  pause(ref, paused = true) {
    for (const up of this.#of(ref)) {
      up.paused = paused;
      if (paused) up.sender?.pause();
      else up.sender?.resume(Date.now());
      this.#drain(up);
      this.#tell(up, true);
    }
    this.#schedule();
  }

  resume(ref) {
    this.pause(ref, false);
  }

  cancel(ref) {
    for (const up of this.#of(ref)) {
      up.abort.abort();
      up.sender?.cancel(Date.now());
      this.#drain(up);
      this.#end(up, { status: "cancelled", code: "cancelled" });
    }
  }

  retry(up) {
    if (up.status !== "error") return;
    this.#live.delete(up);
    up.renew();
    this.#queue.add(up);
    this.#prepare([up], up.slot);
  }

  event(event, params = {}) {
    return new Promise((done, fail) => {
      if (this.#events.size >= EVENTS_MAX) return fail(new UploadError({ code: "rate_limited", retry: "later" }));
      this.#events.set(uuid(), { message: { type: "event", event, params }, done, fail });
      this.#socket.want();
      this.#sendEvents();
    });
  }

  // A retry finds its own record.
  async pending(slot, mine = undefined) {
    return (await this.#records.list()).filter((r) => r.slot === slot && !this.#of(r.ref).some((up) => up !== mine));
  }

  async restore(record) {
    const { handle, slot, relativePath } = record;
    if ((await handle?.requestPermission({ mode: "read" })) !== "granted") return;
    return this.add([{ file: await handle.getFile(), handle, relativePath }], slot)[0];
  }

  forget(ref) {
    return this.#records.remove(ref);
  }

  close() {
    this.#socket.close();
  }

  #emit(name, value) {
    for (const listener of this.#listeners[name] ?? []) listener(value);
  }

  #error(upload, ending) {
    const { message: error, code, retry } = new UploadError(ending);
    this.#emit("error", { upload, error, code, retry });
  }

  #of(ref, slot = "") {
    return this.uploads.filter((up) => (!ref || up.ref === ref) && (!slot || up.slot === slot));
  }

  async #prepare(added, slot) {
    for (const up of added) this.#tell(up, true);
    await this.connect();
    this.client = await tab();
    const config = this.configs[slot];
    for (const up of added) {
      if (up.ended) continue;
      const code = config ? refusal(config, up.file, this.#of("", slot).indexOf(up)) : "unknown_slot";
      if (code) this.#end(up, { status: "error", code });
      else if (config.resumable) {
        const record = (await this.pending(slot, up)).find((r) => r.hint === fileHint(up.file));
        up.ref = record?.ref ?? up.ref;
        up.handle ??= record?.handle;
        up.resuming = !!record;
        this.#tell(up, true);
      }
      up.ready ||= config?.auto_upload !== false;
    }
    this.#schedule();
  }

  #schedule() {
    let busy = this.uploads.filter((up) => up.started && (up.sender?.active ?? true)).length;
    for (const up of this.#queue) {
      if (busy >= (this.options.concurrency ?? CONCURRENCY)) break;
      if (!up.ready || up.started || up.paused) continue;
      busy++;
      this.#start(up);
    }
    this.#pump();
  }

  #start(up) {
    const { ref, file, relativePath, slot, resuming: resume } = up;
    const { name, type, size, lastModified } = file;
    const { chunk_size: chunkSize, resumable, direct } = this.configs[slot];
    const { presign, meta } = this.options.slots?.[slot] ?? {};
    up.started = true;
    if (direct || presign || up.spec) {
      this.#direct(up, presign);
      return;
    }
    up.sender = new Sender({
      ref, slot, name, type, size, lastModified, relativePath, chunkSize, resumable, resume, clientId: this.client, meta: up.meta ?? meta, newRef: uuid,
    });
    up.source = new Source(file);
    this.#live.add(up);
    if (this.connected) up.sender.handleConnected(Date.now());
    this.#drain(up);
  }

  async #direct(up, from) {
    const { url, headers } = this.options;
    this.#tell(up, true);
    try {
      const base = new URL(typeof url === "function" ? await url({ refresh: false }) : url, location.href);
      const to = new URL("presign", base.href.replace(/^ws/, "http"));
      const spec = up.spec ?? (from ? await from(up.file) : await presign(to, up.slot, up.file, await headers?.()));
      up.abort.signal.throwIfAborted();
      const progress = (sent) => {
        up.sentDirect = sent;
        this.#tell(up);
      };
      this.#end(up, { status: "complete", result: await putPresigned(spec, up.file, progress, up.abort.signal) });
    } catch (/** @type {any} */ { code, error, retry }) {
      this.#end(up, { status: "error", code: typeof code === "string" ? code : "storage_failed", error, retry });
    }
  }

  #drain(up) {
    const s = up.sender;
    for (let o; (o = s?.poll()); ) {
      if (o.type === "message") this.#socket.send(o.message);
      else if (o.type === "frame") this.#socket.send(o.frame);
      else if (o.type === "read") this.#read(up, s, o.offset, o.length);
      else if (o.type === "progress") this.#tell(up);
      else if (o.type === "trouble") this.#error(up, o.trouble);
      else if (o.type === "done") this.#end(up, o.ending);
      else {
        this.#records.remove(o.previous);
        up.ref = s.ref;
        up.savedAt = 0;
      }
    }
    const due = s?.pollTimeout();
    if (due) {
      setTimeout(() => {
        s.handleTimeout(Date.now());
        this.#drain(up);
      }, due - Date.now() + 1);
    }
    if (s?.finished && this.#live.delete(up)) this.#schedule();
  }

  async #read(up, s, offset, length) {
    try {
      const bytes = await up.source.read(offset, length, s.spare.pop());
      if (bytes) s.handleData(offset, bytes, Date.now());
    } catch {
      s.handleUnreadable();
    }
    this.#drain(up);
    this.#pump();
  }

  // Frames while the socket has room, each upload in its turn.
  #pump() {
    const ring = [...this.#live];
    let budget = FRAMES_MAX;
    for (let idle = 0; idle < ring.length && !this.#pumping && this.connected; ) {
      if (!this.#socket.room || !budget) {
        this.#pumping = setTimeout(() => {
          this.#pumping = 0;
          this.#pump();
        }, budget && FULL_MS);
        return;
      }
      const up = ring[this.#turn++ % ring.length];
      const frame = up.sender.pollFrame();
      idle = frame ? 0 : idle + 1;
      if (!frame) continue;
      budget--;
      this.#socket.send(frame);
      this.#drain(up);
    }
  }

  #tell(up, now = false) {
    const { sender, status, savedAt } = up;
    if (sender?.resumable && !up.ended && Date.now() - savedAt > SAVE_MS) this.#save(up);
    if (now || status !== up.told) {
      up.told = status;
      this.#dirty.delete(up);
      this.#emit("progress", up);
      up.tick();
      return;
    }
    this.#dirty.add(up);
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined;
      for (const up of [...this.#dirty]) this.#tell(up, true);
    }, TELL_MS);
  }

  #save(up) {
    const { file, slot, handle, relativePath, sender } = up;
    const { name, size } = file;
    const at = (up.savedAt = Date.now());
    this.#records.save({
      ref: sender.ref, slot, name, size, relativePath, handle, at, hint: fileHint(file), offset: sender.received,
      expires: at + (sender.expiresIn ?? KEEP_SECONDS) * 1000,
    });
  }

  #end(up, ending) {
    if (up.ended) return;
    up.ending = ending;
    this.#queue.delete(up);
    if (up.status !== "error" || (ending.retry !== "later" && ending.code !== "superseded")) this.#records.remove(up.ref);
    this.#tell(up);
    if (up.status === "error") this.#error(up, ending);
    up.settle();
    this.#schedule();
  }

  #opened() {
    this.#configured(this.configs);
    this.#emit("connection", true);
    for (const up of this.#live) {
      up.sender.handleConnected(Date.now());
      this.#drain(up);
    }
    this.#sendEvents();
    this.#pump();
  }

  #closed() {
    this.#emit("connection", false);
    for (const up of this.#live) {
      up.sender.handleDisconnected(Date.now());
      this.#drain(up);
    }
    for (const [id, e] of this.#events) {
      if (e.sent && this.#events.delete(id)) e.fail(new UploadError({ code: "session_closed", retry: "later" }));
    }
  }

  #sendEvents() {
    for (const [id, e] of this.#events) {
      if (!e.sent) this.#socket.send({ ...e.message, id });
      e.sent ||= this.connected;
    }
  }

  #message(m) {
    if (m.type === "upload_configs") {
      this.#emit("configs", (this.configs = m.upload_configs));
    } else if (m.type === "event_result") {
      const waiting = this.#events.get(m.id);
      this.#events.delete(m.id);
      if (m.ok) waiting?.done(m.result);
      else waiting?.fail(new UploadError(m));
      this.#emit("event", m);
    } else if (m.ref) {
      for (const up of this.#live) {
        if (up.ref !== m.ref) continue;
        up.sender.handleMessage(m, Date.now());
        this.#drain(up);
      }
      this.#pump();
    } else if (m.type === "error") {
      this.#error(undefined, m);
    }
  }
}

export const createUploads = (options) => new Uploads(options);

// A page's own script starts by itself.
export const uploads = (() => {
  const { url } = import.meta;
  const script = url.includes("/client/index.js") && [...document.scripts].find((s) => s.src === url);
  if (!script) return null;
  const all = new Uploads({ url: script.dataset.url ?? new URL("../ws", url).href });
  bind(all);
  return all;
})();
