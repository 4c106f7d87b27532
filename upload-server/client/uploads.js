// @ts-check
/** What an application has in hand: files come in, and are sent in their turn. index.d.ts says what each name is for. */
import { FILES_MAX, filesIn, filesOf } from "./intake.js";
import { Kept } from "./kept.js";
import { Outgoing } from "./outgoing.js";
import { refusal } from "./protocol.js";
import { Questions } from "./questions.js";
import { Records } from "./resume.js";
import { Socket } from "./socket.js";
import { tabId } from "./tab.js";
import { Tally } from "./tally.js";
import { Words } from "./texts.js";
import { Transfer } from "./transfer.js";
import { UploadError, uuid } from "./upload.js";

/** @typedef {import("./index.d.ts").UploadsOptions} UploadsOptions */
/** @typedef {import("./index.d.ts").UploadsEvents} UploadsEvents */
/** @typedef {import("./index.d.ts").SlotConfig} SlotConfig */
/** @typedef {import("./index.d.ts").Picked} Picked */
/** @typedef {import("./index.d.ts").Ending} Ending */
/** @typedef {import("./index.d.ts").ResumeRecord} ResumeRecord */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {{ code?: string, reason?: string, error?: string, retry?: string, slot?: string, count?: number, limit?: string }} Reason */

const CONCURRENCY = 3;
/** Files added without a pause: a browser asks the system for each one's size, and the page does nothing else meanwhile. */
const PORTION = 100;
const REPORT_MS = 80;
const SAVE_MS = 2000;
const KEEP_SECONDS = 3600;

/** @param {any} thing @returns {thing is File} */
const isBlob = (thing) => typeof thing?.slice === "function" && "size" in thing;

export class Uploads {
  /** @type {Map<string, Set<(value: any) => void>>} */
  #listeners = new Map();
  /** Not ended, oldest first. @type {Set<Transfer>} */
  #queue = new Set();
  /** Waiting for a place. @type {Set<Transfer>} */
  #ready = new Set();
  /** @type {Set<Transfer>} */
  #running = new Set();
  /** Accepted by their slot's rules and not ended. @type {Map<string, Set<Transfer>>} */
  #accepted = new Map();
  /** Whose progress is to be reported. @type {Set<Transfer>} */
  #dirty = new Set();
  #records = new Records();
  /** Of the whole page. */
  #tally = new Tally();
  /** @type {Map<string, Tally>} */
  #tallies = new Map();
  /** The last that was completed, where a slot takes one. @type {Map<string, Transfer>} */
  #latest = new Map();
  /** Looks for what earlier pages left. @type {Set<Promise<void>>} */
  #finding = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #reportTimer;
  /** @type {string | undefined} */
  #clientId;
  /** @type {Record<string, SlotConfig>} */
  configs = {};

  /** @param {UploadsOptions} options */
  constructor(options) {
    this.options = options;
    this.words = new Words(options.language, options.texts);
    this.ready = this.#whenConfigured();
    this.#driver = {
      pause: (transfer, paused) => this.#pause([transfer], paused),
      cancel: (transfer) => this.#cancel([transfer]),
      retry: (transfer) => this.#retry([transfer]),
      remove: (transfer) => void this.#remove(transfer),
    };
    this.#socket = new Socket(options, {
      open: () => this.#opened(),
      message: (message) => this.#message(message),
      closed: () => this.#closed(),
      idle: () => !this.#outgoing.size && !this.#questions.size && !this.#queue.size && !this.#kept.busy,
      changed: () => this.#emit("connection", this.connection),
      unreachable: () => this.#report(undefined, { code: "unreachable", retry: "later" }),
      unauthenticated: () => this.#give("unauthenticated"),
      slotOf: (ref) => this.#outgoing.slotOf(ref) ?? this.#kept.slotOf(ref),
    });
    this.#questions = new Questions(this.#socket, (reason) => this.#error(reason));
    this.#kept = new Kept(this.#socket, {
      gone: (transfer) => this.#vanish(transfer),
      stays: (transfer, code) => {
        transfer.removing = false;
        this.#changed(transfer, true);
        this.#report(undefined, { code: code === "locked" ? "in_use" : code, retry: "later", slot: transfer.slot });
      },
      taken: (transfer) => {
        transfer.taken = true;
        this.#changed(transfer, true);
      },
    });
    this.#outgoing = new Outgoing(this.#socket, {
      changed: (transfer) => this.#changed(transfer),
      trouble: (transfer, trouble) => this.#report(transfer, trouble),
      ended: (transfer, ending) => this.#end(transfer, ending),
      free: () => this.#schedule(),
      restarted: (transfer, ref) => {
        this.#dropRecord(transfer);
        transfer.ref = ref;
      },
    });
  }

  /** @type {import("./transfer.js").Driver} */
  #driver;
  /** @type {Socket} */
  #socket;
  /** @type {Questions} */
  #questions;
  /** @type {Outgoing} */
  #outgoing;
  /** @type {Kept} */
  #kept;
  /** @type {(configs: Record<string, SlotConfig>) => void} */
  #configured = () => {};
  /** @type {(error: UploadError) => void} */
  #unconfigured = () => {};

  /** @returns {Promise<Record<string, SlotConfig>>} */
  #whenConfigured() {
    const ready = new Promise((done, fail) => {
      this.#configured = done;
      this.#unconfigured = fail;
    });
    ready.catch(() => {});
    return ready;
  }

  get connected() {
    return this.#socket.open;
  }
  get connection() {
    return this.#socket.connection;
  }
  get uploads() {
    return [...this.#queue].map((transfer) => transfer.upload);
  }
  get failed() {
    return [...this.#tally.failed].map((transfer) => transfer.upload);
  }
  get totals() {
    return this.#tally.totals(this.#running);
  }

  /** @param {string} slot */
  totalsOf(slot) {
    const running = [...this.#running].filter((transfer) => transfer.slot === slot);
    return (this.#tallies.get(slot) ?? new Tally()).totals(running);
  }

  /** @param {import("./index.d.ts").Language} language */
  setLanguage(language) {
    this.words = new Words(language, this.options.texts);
    this.#emit("configs", this.configs);
  }

  /**
   * @template {keyof UploadsEvents} K
   * @param {K} name
   * @param {(value: UploadsEvents[K]) => void} listener
   */
  on(name, listener) {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => {
      all.delete(listener);
    };
  }

  connect() {
    if (this.connection.state === "closed") return Promise.reject(this.#error({ code: "session_closed" }));
    this.#socket.want();
    return this.ready;
  }

  reconnect() {
    this.#socket.wake();
  }

  /** @param {Iterable<Blob | Picked>} files @param {string} slot @param {{ signal?: AbortSignal }} [options] */
  add(files, slot, { signal } = {}) {
    const added = [...files].map((given) => {
      const picked = /** @type {Picked} */ (isBlob(given) ? { file: given } : given);
      if (!isBlob(picked?.file)) throw new TypeError("add takes files, or objects with a file");
      return new Transfer(this.#driver, picked, slot);
    });
    this.#enqueue(added, slot);
    const cancel = () => this.#cancel(added.filter((transfer) => !transfer.ended));
    signal?.addEventListener("abort", cancel);
    if (signal?.aborted) cancel();
    return added.map((transfer) => transfer.upload);
  }

  /** @param {DataTransfer | Iterable<File>} source @param {string} slot @param {{ replace?: boolean }} [options] */
  async addFrom(source, slot, { replace = false } = {}) {
    const found = "items" in source ? await filesOf(source, this.options) : filesIn(source, this.options);
    const { files, unreadable, beyond, companions } = found;
    if (replace && files.length) await this.#makeRoom(slot);
    const uploads = [];
    for (let at = 0; at < files.length; at += PORTION) {
      if (at) await new Blob().arrayBuffer(); // lets others run, also in a hidden page, whose timers are slow
      uploads.push(...this.add(files.slice(at, at + PORTION), slot));
    }
    this.#emit("intake", { slot, added: files.length, companions, unreadable, beyond });
    if (unreadable) this.#report(undefined, { code: "file_unreadable", slot, count: unreadable });
    if (beyond) this.#report(undefined, { code: "too_many_files", slot, count: beyond, limit: String(FILES_MAX) });
    return uploads;
  }

  /** @param {string} [slot] */
  async start(slot) {
    const chosen = this.#open(slot);
    if (!chosen.length) return;
    await this.connect().catch(() => {}); // then they have ended
    for (const transfer of chosen) {
      transfer.released = true;
      if (transfer.stage === "held") this.#release(transfer);
    }
    this.#schedule();
    await Promise.all(chosen.map((transfer) => transfer.settledOrPaused()));
  }

  /** @param {string} ref */
  pause(ref) {
    this.#pause(this.#find(ref), true);
  }
  /** @param {string} ref */
  resume(ref) {
    this.#pause(this.#find(ref), false);
  }
  /** @param {string} ref */
  cancel(ref) {
    this.#cancel(this.#find(ref));
  }
  /** @param {string} [slot] */
  pauseAll(slot) {
    this.#pause(this.#open(slot), true);
  }
  /** @param {string} [slot] */
  resumeAll(slot) {
    this.#pause(this.#open(slot), false);
  }
  /** @param {string} [slot] */
  cancelAll(slot) {
    this.#cancel(this.#open(slot));
  }
  /** @param {string} [slot] */
  retryAll(slot) {
    const { failed } = slot ? this.#tallies.get(slot) ?? new Tally() : this.#tally;
    this.#retry([...failed].filter((transfer) => transfer.error?.retry !== "never"));
  }

  /** @param {import("./index.d.ts").Upload} upload */
  retry(upload) {
    upload.retry();
  }

  /** @param {string} event @param {object} [params] @param {{ signal?: AbortSignal, slots?: string[] }} [options] */
  async event(event, params, options) {
    return (await this.answer(event, params, options)).result;
  }

  /** @param {string} event @param {object} [params] @param {{ signal?: AbortSignal, slots?: string[] }} [options] */
  async answer(event, params = {}, { signal, slots } = {}) {
    await Promise.all(this.#finding);
    const named = this.#kept.waiting(slots);
    const refs = named.map(({ ref }) => ref);
    const before = !named.length && slots ? this.#kept.takenOf(slots) : [];
    const { result, taken = [], unknown = [] } = await this.#questions.ask({ event, params, uploads: refs }, signal);
    await this.#kept.refresh(refs);
    const uploads = (/** @type {Transfer[]} */ transfers) => transfers.map((transfer) => transfer.upload);
    const ofRefs = (/** @type {string[]} */ refs) => uploads(named.filter(({ ref }) => refs.includes(ref)));
    return {
      result,
      offered: ofRefs(refs.filter((ref) => !taken.includes(ref) && !unknown.includes(ref))),
      taken: ofRefs(taken),
      before: uploads(before),
      unknown: ofRefs(unknown),
    };
  }

  /** @param {string} [slot] */
  finished(slot) {
    return this.#kept.waiting(slot === undefined ? slot : [slot]).map(({ ref }) => ref);
  }

  /** @param {string} slot */
  earlier(slot) {
    const finding = this.#findEarlier(slot);
    const settled = finding.then(() => {}, () => {}).then(() => void this.#finding.delete(settled));
    this.#finding.add(settled);
    return finding;
  }

  /** @param {string} slot */
  async #findEarlier(slot) {
    if (this.connection.state === "unauthenticated") return [];
    await this.connect();
    if (this.configs[slot]?.consumes_on_complete !== false) return [];
    const { uploads = [] } = (await this.#kept.list(slot)) ?? {};
    const found = uploads.filter(({ status, ref, upload_name }) => status === "complete" && upload_name === slot && !this.#kept.has({ ref }));
    return found.reverse().map(({ ref, client_name: name, client_size: size, result }) => {
      const file = /** @type {File} */ ({ name, size, type: "", lastModified: 0 });
      const transfer = new Transfer(this.#driver, { file }, slot);
      transfer.ref = ref;
      transfer.end({ status: "complete", result });
      transfer.settle();
      this.#keep(transfer);
      this.#emit("add", transfer.upload);
      return transfer.upload;
    });
  }

  /** @param {string} slot */
  async pending(slot) {
    return this.#unclaimed(slot, new Set());
  }

  /** @param {ResumeRecord} record */
  async restore({ handle, slot, relativePath }) {
    const permission = await /** @type {any} */ (handle)?.requestPermission({ mode: "read" });
    if (!handle || permission !== "granted") return undefined;
    return this.add([{ file: await handle.getFile(), handle, relativePath }], slot)[0];
  }

  /** @param {string} ref */
  forget(ref) {
    return this.#records.remove(ref);
  }

  close() {
    this.#kept.close();
    this.#socket.close();
    this.#give("session_closed");
    this.#outgoing.close();
  }

  /** @param {keyof UploadsEvents} name @param {unknown} value */
  #emit(name, value) {
    for (const listener of this.#listeners.get(name) ?? []) listener(value);
  }

  /** An error in the page's own words. @param {Reason} reason @param {Transfer} [transfer] */
  #error(reason, transfer) {
    return new UploadError({ ...reason, error: this.#wording(reason, transfer) });
  }

  /** @param {Reason} reason @param {Transfer} [transfer] */
  #wording({ code = "", reason, error, slot, count, limit }, transfer) {
    // The application's words, or a listener's.
    if ((reason || code === "event_failed" || code === "rejected") && error) return error;
    const { words } = this;
    const config = this.configs[slot ?? transfer?.slot ?? ""];
    const most = code === "too_many_entries" ? config?.max_entries : undefined;
    const values = {
      name: transfer?.name,
      size: transfer && words.size(transfer.file.size),
      extension: /\.([a-z\d]{1,8})$/i.exec(transfer?.name ?? "")?.[1].toUpperCase(),
      accept: (config && words.kinds(config.accept)) || undefined,
      limit: limit ?? (config && (code === "too_large" ? words.size(config.max_file_size) : words.number(config.max_entries))),
      count: count ?? most,
    };
    return words.text(code, values) || error;
  }

  /** @param {Transfer | undefined} transfer @param {Reason} reason */
  #report(transfer, reason) {
    const { code, retry, message, reason: own } = transfer?.error ?? this.#error(reason, transfer);
    this.#emit("error", { upload: transfer?.upload, error: message, code, reason: own, retry, slot: reason.slot ?? transfer?.slot, count: reason.count });
  }

  /** @param {string} [slot] */
  #open(slot) {
    return [...this.#queue].filter((transfer) => !slot || transfer.slot === slot);
  }

  /** The page's sums, and its slot's. @param {Transfer} transfer */
  #talliesOf({ slot }) {
    const own = this.#tallies.get(slot) ?? new Tally();
    this.#tallies.set(slot, own);
    return [this.#tally, own];
  }

  /** @param {string | undefined} ref */
  #find(ref) {
    return [...this.#queue].filter((transfer) => transfer.ref === ref);
  }

  /** Ends everything that waits for a connection which will not come. @param {string} code */
  #give(code) {
    const reason = { code, retry: "later" };
    const error = this.#error(reason);
    this.#unconfigured(error);
    this.ready = this.#whenConfigured();
    if (code === "unauthenticated" && !this.#queue.size) this.#report(undefined, { code });
    for (const transfer of [...this.#queue]) this.#end(transfer, { status: "error", code, retry: "later" });
    this.#questions.failAll(error);
  }

  /** @param {Transfer[]} added @param {string} slot */
  #enqueue(added, slot) {
    for (const transfer of added) {
      this.#queue.add(transfer);
      for (const tally of this.#talliesOf(transfer)) tally.add(transfer);
      this.#emit("add", transfer.upload);
    }
    void this.#prepare(added, slot);
  }

  /** @param {Transfer[]} added @param {string} slot */
  async #prepare(added, slot) {
    for (const transfer of added) this.#changed(transfer, true);
    try {
      await this.connect();
    } catch {
      for (const transfer of added) this.#end(transfer, { status: "error", code: "session_closed", retry: "later" });
      return;
    }
    this.#clientId ??= this.options.clientId ?? (await tabId());
    const config = this.configs[slot];
    const records = config?.resumable ? await this.#unclaimed(slot, new Set(added)) : [];
    const accepted = this.#accepted.get(slot) ?? new Set();
    this.#accepted.set(slot, accepted);
    for (const transfer of added) {
      if (transfer.ended) continue;
      const code = this.#refusal(transfer, config, accepted.size);
      if (code) {
        this.#end(transfer, { status: "error", code });
        continue;
      }
      accepted.add(transfer);
      const at = records.findIndex((record) => record.hint === transfer.hint);
      if (at >= 0) this.#takeUp(transfer, records.splice(at, 1)[0]);
      if (transfer.released || config.auto_upload !== false) this.#release(transfer);
      else transfer.stage = "held";
    }
    this.#schedule();
  }

  /** @param {Transfer} transfer @param {SlotConfig | undefined} config @param {number} accepted */
  #refusal({ name, file }, config, accepted) {
    if (!config) return "unknown_slot";
    if (!name) return "bad_name";
    // Where completion frees places, what is too much now waits for one.
    return refusal(config, { name, type: file.type, size: file.size }, config.consumes_on_complete ? 0 : accepted);
  }

  /** @param {Transfer} transfer @param {ResumeRecord} record */
  #takeUp(transfer, record) {
    transfer.ref = record.ref;
    transfer.handle ??= record.handle;
    transfer.resuming = true;
    this.#changed(transfer, true);
  }

  /** Records that no other upload of this page continues. @param {string} slot @param {Set<Transfer>} except */
  async #unclaimed(slot, except) {
    const records = await this.#records.list();
    const claimed = new Set([...this.#queue].filter((transfer) => !except.has(transfer)).map((transfer) => transfer.ref));
    return records.filter((record) => record.slot === slot && !claimed.has(record.ref));
  }

  /** @param {Transfer} transfer */
  #release(transfer) {
    transfer.stage = "ready";
    this.#ready.add(transfer);
  }

  #schedule() {
    let busy = 0;
    for (const transfer of this.#running) busy += transfer.share;
    const { order, concurrency = CONCURRENCY } = this.options;
    const ready = order ? [...this.#ready].sort((a, b) => order(a.upload, b.upload)) : this.#ready;
    for (const transfer of ready) {
      if (busy >= concurrency) break;
      if (transfer.paused || !this.#hasPlace(transfer.slot)) continue;
      this.#start(transfer);
      busy += transfer.share;
    }
    this.#outgoing.pump();
  }

  /** @param {string} slot */
  #hasPlace(slot) {
    const { consumes_on_complete: frees, max_entries: places } = this.configs[slot];
    const most = Math.min(this.options.slots?.[slot]?.concurrency ?? Infinity, frees ? places : Infinity);
    let taken = 0;
    for (const transfer of this.#running) if (transfer.slot === slot) taken++;
    return taken < most;
  }

  /** Lets the page change the file or refuse it, when its turn has come. @param {Transfer} transfer @param {NonNullable<import("./index.d.ts").SlotOptions["before"]>} before */
  async #alter(transfer, before) {
    const { file, name, relativePath, meta, abort, slot } = transfer;
    try {
      const made = await before({ file, name, relativePath, meta }, { signal: abort.signal });
      if (transfer.ended) return;
      if (made === null) return void this.#remove(transfer);
      if (made) transfer.alter(isBlob(made) ? { file: made } : /** @type {Partial<Picked>} */ (made));
      for (const tally of this.#talliesOf(transfer)) tally.resize(file.size, transfer.file.size);
      const code = this.#refusal(transfer, this.configs[slot], 0);
      if (code) this.#end(transfer, { status: "error", code });
      else this.#start(transfer);
    } catch (/** @type {any} */ error) {
      this.#end(transfer, { status: "error", code: "rejected", error: error?.message, retry: "never" });
    }
  }

  /** @param {Transfer} transfer */
  #start(transfer) {
    const { ref, name, file, relativePath, slot, resuming: resume, altered } = transfer;
    const { chunk_size: chunkSize, resumable, direct } = this.configs[slot];
    const own = this.options.slots?.[slot];
    transfer.stage = "running";
    this.#ready.delete(transfer);
    this.#running.add(transfer);
    if (own?.before && !altered) {
      transfer.altered = true;
      void this.#alter(transfer, own.before);
      return;
    }
    if (direct || own?.presign || transfer.spec) {
      void this.#sendDirect(transfer);
      return;
    }
    this.#outgoing.start(transfer, {
      ref, slot, name, relativePath, chunkSize, resumable, resume,
      type: file.type, size: file.size, lastModified: file.lastModified,
      clientId: this.#clientId, meta: transfer.meta ?? own?.meta, newRef: uuid,
    });
  }

  /** @param {Transfer} transfer */
  async #sendDirect(transfer) {
    transfer.direct = true;
    this.#changed(transfer, true);
    try {
      const { sendDirect } = await import("./presigned.js"); // few pages have such a slot
      const result = await sendDirect(transfer, this.options, () => this.#changed(transfer));
      this.#end(transfer, { status: "complete", result });
    } catch (/** @type {any} */ { code, reason, error, retry }) {
      this.#end(transfer, { status: "error", code: typeof code === "string" ? code : "storage_failed", reason, error, retry });
    }
  }

  /** Reports progress: a new status at once, the rest every 80 ms. @param {Transfer} transfer @param {boolean} [now] */
  #changed(transfer, now = false) {
    const { sender, status } = transfer;
    if (sender?.resumable && !transfer.ended && Date.now() - transfer.savedAt > SAVE_MS) this.#save(transfer, sender);
    if (now || status !== transfer.reported) {
      transfer.reported = status;
      this.#dirty.delete(transfer);
      this.#emit("progress", transfer.upload);
      transfer.tick();
    } else if (!transfer.ended) {
      this.#dirty.add(transfer);
      this.#reportTimer ??= setTimeout(() => {
        this.#reportTimer = undefined;
        for (const changed of [...this.#dirty]) this.#changed(changed, true);
      }, REPORT_MS);
    }
  }

  /** @param {Transfer} transfer @param {import("./sender.js").Sender} sender */
  #save(transfer, { ref, received, expiresIn = KEEP_SECONDS }) {
    const { name, slot, file, relativePath, handle } = transfer;
    const at = (transfer.savedAt = Date.now());
    const expires = at + expiresIn * 1000;
    void this.#records.save({ ref, slot, name, relativePath, handle, at, expires, size: file.size, hint: transfer.hint, offset: received });
  }

  /** @param {Transfer} transfer */
  #dropRecord(transfer) {
    if (transfer.savedAt || transfer.resuming) void this.#records.remove(transfer.ref);
    transfer.savedAt = 0;
    transfer.resuming = false;
  }

  /** @param {Transfer} transfer @param {Ending} ending */
  #end(transfer, ending) {
    if (transfer.ended) return;
    transfer.end(ending.status === "error" ? { ...ending, error: this.#wording(ending, transfer) } : ending);
    this.#queue.delete(transfer);
    this.#ready.delete(transfer);
    this.#running.delete(transfer);
    this.#accepted.get(transfer.slot)?.delete(transfer);
    for (const tally of this.#talliesOf(transfer)) tally.end(transfer);
    if (ending.status === "complete") this.#keep(transfer);
    const comesBack = ending.status === "error" && (ending.retry === "later" || ending.code === "superseded");
    if (!comesBack) this.#dropRecord(transfer);
    this.#changed(transfer);
    if (transfer.error && ending.status === "error") this.#report(transfer, ending);
    if (transfer.error && transfer.error.retry !== "never") this.#retryLater(transfer, transfer.error);
    transfer.settle();
    this.#schedule();
  }

  /** Where the page has a policy, it says when a failure is tried again. @param {Transfer} transfer @param {UploadError} error */
  #retryLater(transfer, { code }) {
    const wait = this.options.retry?.({ upload: transfer.upload, code, tries: transfer.tries++ });
    if (typeof wait === "number") setTimeout(() => transfer.error && this.#tally.failed.has(transfer) && this.#retry([transfer]), wait);
  }

  /** Remembers what is complete and may still be removed at the server, or replaced. @param {Transfer} transfer */
  #keep(transfer) {
    const config = this.configs[transfer.slot];
    if (config?.consumes_on_complete === false && !transfer.direct) this.#kept.add(transfer);
    else transfer.taken = config?.consumes_on_complete === true;
    if (config?.max_entries === 1) this.#latest.set(transfer.slot, transfer);
  }

  /** In a slot of one the next file replaces what is there. @param {string} slot */
  async #makeRoom(slot) {
    await this.connect().catch(() => {});
    if (this.configs[slot]?.max_entries !== 1) return;
    const latest = this.#latest.get(slot);
    const there = [...this.#open(slot), ...(this.#tallies.get(slot)?.failed ?? []), ...(latest ? [latest] : [])];
    await Promise.all(there.map((transfer) => this.#remove(transfer)));
  }

  /** @param {Transfer[]} chosen @param {boolean} paused */
  #pause(chosen, paused) {
    for (const transfer of chosen) {
      if (transfer.ended) continue;
      if (paused !== transfer.paused) for (const tally of this.#talliesOf(transfer)) tally.paused += paused ? 1 : -1;
      transfer.paused = paused;
      if (paused) transfer.sender?.pause();
      else transfer.sender?.resume(Date.now());
      this.#outgoing.drain(transfer);
      this.#changed(transfer, true);
    }
    this.#schedule();
  }

  /** @param {Transfer[]} chosen */
  #cancel(chosen) {
    for (const transfer of chosen) {
      transfer.abort.abort();
      transfer.sender?.cancel(Date.now());
      this.#outgoing.drain(transfer);
      this.#end(transfer, { status: "cancelled", code: "cancelled" });
    }
  }

  /** @param {Transfer[]} chosen */
  #retry(chosen) {
    for (const transfer of chosen) {
      if (transfer.status !== "error") continue;
      for (const tally of this.#talliesOf(transfer)) tally.forget(transfer);
      this.#outgoing.forget(transfer);
      // Without a record it is a new upload: an answer about the old one may still come.
      if (!transfer.savedAt && !transfer.resuming) transfer.ref = uuid();
      transfer.renew();
      this.#enqueue([transfer], transfer.slot);
    }
  }

  /** @param {Transfer} transfer @returns {Promise<void>} */
  async #remove(transfer) {
    if (this.#kept.has(transfer)) {
      transfer.removing = true;
      this.#changed(transfer, true);
      return this.#kept.discard(transfer);
    }
    this.#cancel([transfer]);
    this.#vanish(transfer);
  }

  /** @param {Transfer} transfer */
  #vanish(transfer) {
    for (const tally of this.#talliesOf(transfer)) tally.forget(transfer);
    if (this.#latest.get(transfer.slot) === transfer) this.#latest.delete(transfer.slot);
    this.#kept.forget(transfer.ref);
    this.#emit("remove", transfer.upload);
  }

  #opened() {
    this.#configured(this.configs);
    this.#outgoing.connected();
    this.#kept.connected();
    this.#questions.send();
  }

  #closed() {
    this.#outgoing.disconnected();
    this.#questions.lost();
    this.#kept.lost();
  }

  /** @param {Message} message */
  #message(message) {
    if (message.type === "upload_configs") {
      this.configs = message.upload_configs;
      this.#emit("configs", this.configs);
    } else if (message.type === "event_result") {
      this.#kept.taken(message.taken ?? []);
      this.#kept.unknown(message.unknown ?? []);
      this.#questions.answer(message);
      this.#emit("event", message);
    } else if (this.#kept.message(message)) {
      return;
    } else if (message.type === "event_push") {
      this.#emit("push", message);
    } else if (message.ref) {
      this.#outgoing.message(message);
    } else if (message.type === "error") {
      this.#report(undefined, /** @type {Reason} */ (message));
    }
  }
}
