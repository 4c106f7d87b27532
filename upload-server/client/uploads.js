// @ts-check
/** What an application has in hand, and what the connection brings. index.d.ts says what each name is for. */
import { FILES_MAX, filesIn, filesOf, isBlob, pickedOf } from "./intake.js";
import { Lifecycle } from "./lifecycle.js";
import { Questions } from "./questions.js";
import { Reports } from "./reports.js";
import { Socket } from "./socket.js";
import { Words } from "./texts.js";
import { Transfer } from "./transfer.js";

/** @typedef {import("./index.d.ts").UploadsOptions} UploadsOptions */
/** @typedef {import("./index.d.ts").UploadsEvents} UploadsEvents */
/** @typedef {import("./index.d.ts").SlotConfig} SlotConfig */
/** @typedef {import("./index.d.ts").Picked} Picked */
/** @typedef {import("./index.d.ts").ResumeRecord} ResumeRecord */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./reports.js").Reason} Reason */
/** @typedef {import("./upload.js").UploadError} UploadError */

/** Files added without a pause, at least and at most: a browser asks the system for each one's size, and the page does nothing else meanwhile. */
const PORTION = 50;
const PORTION_MAX = 200;
/** How long a portion should take: the next one is made larger or smaller by that. */
const PORTION_MS = 25;

/** As applications see them. @param {Iterable<Transfer>} transfers */
const uploadsOf = (transfers) => Array.from(transfers, (transfer) => transfer.upload);

export class Uploads {
  /** Looks for what earlier pages left. @type {Set<Promise<void>>} */
  finding = new Set();
  /** @type {(configs: Record<string, SlotConfig>) => void} */
  #configured = () => {};
  /** @type {(error: UploadError) => void} */
  #unconfigured = () => {};
  #reports = new Reports(this);
  /** Drops and picks that are being read, each with its slot. @type {Map<Promise<void>, string>} */
  #reading = new Map();
  /** @type {Socket} */
  #socket;
  /** @type {Questions} */
  #questions;
  /** @type {Lifecycle} */
  #life;
  /** @type {Record<string, SlotConfig>} */
  configs = {};

  /** @param {UploadsOptions} options */
  constructor(options) {
    this.options = options;
    this.words = new Words(options.language, options.texts);
    this.ready = this.#whenConfigured();
    this.#socket = new Socket(options, {
      open: () => this.#opened(),
      message: (message) => this.#message(message),
      closed: () => this.#closed(),
      idle: () => !this.#life.busy && !this.#questions.size,
      changed: () => this.#reports.emit("connection", this.connection),
      unreachable: () => this.#reports.trouble(undefined, { code: "unreachable", retry: "later" }),
      unauthenticated: () => this.#give("unauthenticated"),
      slotOf: (ref) => this.#life.outgoing.slotOf(ref) ?? this.#life.kept.find(ref)?.slot,
    });
    this.#questions = new Questions(this.#socket, (reason) => this.#reports.error(reason));
    this.#life = new Lifecycle(this, this.#reports, this.#socket);
  }

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
    return uploadsOf(this.#life.queue.open);
  }
  get failed() {
    return uploadsOf(this.#life.queue.tally.failed);
  }
  get totals() {
    return this.#life.queue.totals();
  }

  /** @param {string} slot */
  totalsOf(slot) {
    return this.#life.queue.totals(slot);
  }

  /** @param {import("./index.d.ts").Language} language */
  setLanguage(language) {
    this.words = new Words(language, this.options.texts);
    for (const transfer of this.#life.queue.tally.failed) this.#reports.reword(transfer);
    this.#reports.emit("configs", this.configs);
  }

  /**
   * @template {keyof UploadsEvents} K
   * @param {K} name
   * @param {(value: UploadsEvents[K]) => void} listener
   */
  on(name, listener) {
    return this.#reports.on(name, listener);
  }

  connect() {
    if (this.connection.state === "closed") return Promise.reject(this.#reports.error({ code: "session_closed" }));
    this.#socket.want();
    return this.ready;
  }

  reconnect() {
    this.#socket.wake();
  }

  /** @param {Iterable<Blob | Picked>} files @param {string} slot @param {{ signal?: AbortSignal, replace?: boolean }} [options] */
  add(files, slot, { signal, replace } = {}) {
    const added = [...files].map((given) => {
      const picked = /** @type {Picked} */ (pickedOf(given));
      if (!isBlob(picked?.file)) throw new TypeError("add takes files, or objects with a file");
      return new Transfer(this.#life, picked, slot);
    });
    this.#life.enqueue(added, slot, replace);
    const cancel = () => this.#life.cancel(added.filter((transfer) => !transfer.ended));
    signal?.addEventListener("abort", cancel);
    if (signal?.aborted) cancel();
    return uploadsOf(added);
  }

  /** @param {DataTransfer | Iterable<File>} source @param {string} slot @param {{ replace?: boolean }} [options] */
  addFrom(source, slot, options) {
    const adding = this.#addFrom(source, slot, options);
    const read = adding.then(() => {}, () => {}).then(() => void this.#reading.delete(read));
    this.#reading.set(read, slot);
    return adding;
  }

  /** @param {string} [slot] */
  reading(slot) {
    return [...this.#reading.keys()].filter((read) => !slot || this.#reading.get(read) === slot);
  }

  /** @param {DataTransfer | Iterable<File>} source @param {string} slot @param {{ replace?: boolean }} [options] */
  async #addFrom(source, slot, { replace } = {}) {
    const found = "items" in source ? await filesOf(source, this.options) : filesIn(source, this.options);
    const { files, unreadable, beyond, companions } = found;
    const uploads = [];
    for (let at = 0, portion = PORTION; at < files.length; ) {
      if (at) await new Blob().arrayBuffer(); // lets others run, also in a hidden page, whose timers are slow
      const from = performance.now();
      uploads.push(...this.add(files.slice(at, at + portion), slot, { replace: replace && !at }));
      at += portion;
      portion = Math.ceil(Math.min(PORTION_MAX, Math.max(PORTION, (portion * PORTION_MS) / (performance.now() - from + 1))));
    }
    this.#reports.emit("intake", { slot, added: files.length, companions, unreadable, beyond });
    if (unreadable) this.#reports.trouble(undefined, { code: "file_unreadable", slot, count: unreadable });
    if (beyond) this.#reports.trouble(undefined, { code: "too_many_files", slot, count: beyond, limit: String(FILES_MAX) });
    return uploads;
  }

  /** @param {string} [slot] */
  async start(slot) {
    const { queue } = this.#life;
    for (let isRead = false; !isRead; ) {
      const reading = this.reading(slot);
      isRead = !reading.length;
      const chosen = queue.of(slot);
      if (chosen.length) await this.connect().catch(() => {}); // then they have ended
      this.#life.release(chosen);
      await Promise.all(isRead ? chosen.map((transfer) => transfer.settledOrPaused()) : reading);
    }
  }

  /** @param {string} ref */
  pause(ref) {
    this.#life.pause(this.#life.queue.find(ref), true);
  }
  /** @param {string} ref */
  resume(ref) {
    this.#life.pause(this.#life.queue.find(ref), false);
  }
  /** @param {string} ref */
  cancel(ref) {
    this.#life.cancel(this.#life.queue.find(ref));
  }
  /** @param {string} [slot] */
  pauseAll(slot) {
    this.#life.pause(this.#life.queue.of(slot), true);
  }
  /** @param {string} [slot] */
  resumeAll(slot) {
    this.#life.pause(this.#life.queue.of(slot), false);
  }
  /** @param {string} [slot] */
  cancelAll(slot) {
    this.#life.cancel(this.#life.queue.of(slot));
  }
  /** @param {string} [slot] */
  retryAll(slot) {
    const { queue } = this.#life;
    const { failed } = slot ? queue.tallyOf(slot) : queue.tally;
    this.#life.retry([...failed].filter((transfer) => transfer.error?.retry !== "never"));
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
    const waiting = Promise.all(this.finding).then(() => this.#life.kept.waiting(slots));
    const { result, taken = [], unknown = [] } = await this.#questions.ask(event, params, waiting, signal);
    const named = await waiting;
    const before = !named.length && slots ? this.#life.kept.takenOf(slots) : [];
    await this.#life.kept.refresh(named.map(({ ref }) => ref));
    return {
      result,
      offered: uploadsOf(named.filter(({ ref }) => !taken.includes(ref) && !unknown.includes(ref))),
      taken: uploadsOf(named.filter(({ ref }) => taken.includes(ref))),
      before: uploadsOf(before),
      unknown: uploadsOf(named.filter(({ ref }) => unknown.includes(ref))),
    };
  }

  /** @param {string} [slot] */
  finished(slot) {
    return this.#life.kept.waiting(slot === undefined ? slot : [slot]).map(({ ref }) => ref);
  }

  /** @param {string} slot */
  earlier(slot) {
    const finding = this.#findEarlier(slot);
    const settled = finding.then(() => {}, () => {}).then(() => void this.finding.delete(settled));
    this.finding.add(settled);
    return finding;
  }

  /** @param {string} slot */
  async #findEarlier(slot) {
    if (this.connection.state === "unauthenticated") return [];
    await this.connect();
    if (this.configs[slot]?.consumes_on_complete !== false) return [];
    const { uploads = [] } = (await this.#life.kept.list(slot)) ?? {};
    const found = uploads.filter(({ status, ref, upload_name }) => status === "complete" && upload_name === slot && !this.#life.isOwned(ref));
    return found.reverse().map(({ ref, client_name: name, client_size: size, result }) => {
      const file = /** @type {File} */ ({ name, size, type: "", lastModified: 0 });
      const transfer = new Transfer(this.#life, { file }, slot);
      this.#life.own(transfer, ref);
      transfer.end({ status: "complete", result });
      this.#life.keep(transfer);
      void this.#life.records.remove(ref); // nothing of it is left to be continued
      this.#reports.emit("add", transfer.upload);
      return transfer.upload;
    });
  }

  /** @param {string} slot */
  async pending(slot) {
    return this.#life.unclaimed(slot);
  }

  /** @param {ResumeRecord} record */
  async restore({ handle, slot, relativePath }) {
    const permission = await /** @type {any} */ (handle)?.requestPermission({ mode: "read" });
    if (!handle || permission !== "granted") return undefined;
    return this.add([{ file: await handle.getFile(), handle, relativePath }], slot)[0];
  }

  /** @param {string} ref */
  forget(ref) {
    return this.#life.records.remove(ref);
  }

  close() {
    this.#life.kept.close();
    this.#socket.close();
    this.#give("session_closed");
    this.#life.outgoing.close();
  }

  /** Ends everything that waits for a connection which will not come. @param {string} code */
  #give(code) {
    const reason = { code, retry: "later" };
    const error = this.#reports.error(reason);
    this.#unconfigured(error);
    this.ready = this.#whenConfigured();
    if (code === "unauthenticated" && !this.#life.queue.open.size) this.#reports.trouble(undefined, { code });
    for (const transfer of [...this.#life.queue.open]) {
      this.#life.end(transfer, { status: "error", code, retry: "later" });
      this.#life.outgoing.forget(transfer); // or hiding it would cancel it at the server
    }
    this.#questions.failAll(error);
  }

  #opened() {
    this.#configured(this.configs);
    this.#life.outgoing.connected();
    this.#life.kept.connected();
    this.#questions.send();
  }

  #closed() {
    this.#life.outgoing.disconnected();
    this.#questions.lost();
    this.#life.kept.lost();
  }

  /** @param {Message} message */
  #message(message) {
    if (message.type === "upload_configs") {
      this.configs = message.upload_configs;
      this.#reports.emit("configs", this.configs);
    } else if (message.type === "event_result") {
      this.#life.kept.taken(message.taken ?? []);
      this.#life.kept.unknown(message.unknown ?? []);
      this.#questions.answer(message);
      this.#reports.emit("event", message);
    } else if (this.#life.kept.message(message)) {
      return;
    } else if (message.type === "event_push") {
      this.#reports.emit("push", message);
    } else if (message.ref) {
      this.#life.outgoing.message(message);
    } else if (message.type === "error") {
      this.#reports.trouble(undefined, /** @type {Reason} */ (message));
    }
  }
}
