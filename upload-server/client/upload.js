// @ts-check
/** One file on its way, as applications see it, and why it failed. index.d.ts says what each name is for. */
import { ENGLISH_WORDS } from "./texts.js";

/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {import("./index.d.ts").Retry} Retry */

/** `randomUUID` is missing where a page comes over plain HTTP. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

export class UploadError extends Error {
  /** @param {{ code?: string, reason?: string, error?: string, retry?: string }} ending */
  constructor({ code = "storage_failed", reason, error, retry = "never" }) {
    super(error || ENGLISH_WORDS.text(code) || code[0].toUpperCase() + code.slice(1).replaceAll("_", " "));
    this.code = code;
    this.reason = reason;
    this.retry = /** @type {Retry} */ (retry);
  }
}

export class Upload {
  #transfer;

  /** @param {Transfer} transfer */
  constructor(transfer) {
    this.#transfer = transfer;
    this.file = transfer.file;
    this.name = transfer.name;
    this.slot = transfer.slot;
    this.relativePath = transfer.relativePath;
  }

  get ref() {
    return this.#transfer.ref;
  }
  get status() {
    return this.#transfer.status;
  }
  get paused() {
    return this.#transfer.paused;
  }
  get ended() {
    return this.#transfer.ended;
  }
  get error() {
    return this.#transfer.error;
  }
  get result() {
    return this.#transfer.ending?.result;
  }
  get progress() {
    return this.#transfer.progress;
  }
  get removing() {
    return this.#transfer.removing;
  }
  get taken() {
    return this.#transfer.taken;
  }
  get done() {
    return this.#transfer.done;
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const { next } = this.#transfer;
      yield this.progress;
      if (this.ended) return;
      await next;
    }
  }

  pause() {
    this.#transfer.driver.pause([this.#transfer], true);
  }
  resume() {
    this.#transfer.driver.pause([this.#transfer], false);
  }
  cancel() {
    this.#transfer.driver.cancel([this.#transfer]);
  }
  retry() {
    this.#transfer.driver.retry([this.#transfer]);
  }
  remove() {
    void this.#transfer.driver.remove(this.#transfer);
  }
}
