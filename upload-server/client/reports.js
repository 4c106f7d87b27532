// @ts-check
/** What listeners hear: everything that happens, progress as often as a page can show it, and errors in the page's own words. */
import { UploadError } from "./upload.js";

/** @typedef {import("./index.d.ts").UploadsEvents} UploadsEvents */
/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {{ code?: string, reason?: string, error?: string, retry?: string, slot?: string, count?: number, limit?: string }} Reason */

const REPORT_MS = 80;

export class Reports {
  /** @type {Map<string, Set<(value: any) => void>>} */
  #listeners = new Map();
  /** Whose progress is to be reported. @type {Set<Transfer>} */
  #dirty = new Set();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {Pick<import("./index.d.ts").Uploads, "words" | "configs">} page */
  constructor(page) {
    this.page = page;
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

  /** @param {keyof UploadsEvents} name @param {unknown} value */
  emit(name, value) {
    for (const listener of this.#listeners.get(name) ?? []) listener(value);
  }

  /** Reports progress: a new status at once, the rest every 80 ms. @param {Transfer} transfer @param {boolean} [now] */
  changed(transfer, now = false) {
    const { status } = transfer;
    if (now || status !== transfer.reported) {
      transfer.reported = status;
      this.#dirty.delete(transfer);
      this.emit("progress", transfer.upload);
      transfer.tick();
    } else if (!transfer.ended) {
      this.#dirty.add(transfer);
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        for (const changed of [...this.#dirty]) this.changed(changed, true);
      }, REPORT_MS);
    }
  }

  /** Tells of an error, of an upload or of none. @param {Transfer | undefined} transfer @param {Reason} reason */
  trouble(transfer, reason) {
    const { code, retry, message, reason: own } = transfer?.error ?? this.error(reason, transfer);
    this.emit("error", { upload: transfer?.upload, error: message, code, reason: own, retry, slot: reason.slot ?? transfer?.slot, count: reason.count });
  }

  /** An error in the page's own words. @param {Reason} reason @param {Transfer} [transfer] */
  error(reason, transfer) {
    return new UploadError({ ...reason, error: this.wording(reason, transfer) });
  }

  /** Says a failure in the language that the page has now. @param {Transfer} transfer */
  reword(transfer) {
    const { error } = transfer;
    if (error) error.message = this.wording({ ...error, error: error.message }, transfer) ?? "";
  }

  /** @param {Reason} reason @param {Transfer} [transfer] */
  wording({ code = "", reason, error, slot, count, limit }, transfer) {
    // The application's words, or a listener's.
    if ((reason || code === "event_failed" || code === "rejected") && error) return error;
    const { words, configs } = this.page;
    const config = configs[slot ?? transfer?.slot ?? ""];
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
}
