// @ts-check
/**
 * Totals of what a page uploads, kept as sums: nothing walks over all uploads.
 *
 * They are of one batch: files that are added when all others have ended begin the next, and those that are done are
 * counted no more. A failure is counted until it is retried, which belongs to the batch at hand, or removed.
 */

/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {import("./index.d.ts").Totals} Totals */

export class Tally {
  #files = 0;
  #done = 0;
  #bytes = 0;
  #doneBytes = 0;
  /** Not ended. */
  #open = 0;
  /** Of those, held back by their user. */
  paused = 0;
  /** Failed and neither retried nor removed. @type {Set<Transfer>} */
  failed = new Set();
  /** Those that are counted as done. @type {WeakSet<Transfer>} */
  #stored = new WeakSet();

  #begin() {
    this.#files = this.failed.size;
    this.#done = this.#bytes = this.#doneBytes = 0;
    this.#stored = new WeakSet();
  }

  /** Counts one that is new, or is retried. @param {Transfer} transfer */
  add(transfer) {
    const isRetried = this.failed.delete(transfer);
    if (!this.#open++ && !isRetried) this.#begin();
    if (!isRetried) this.#files++;
    this.#bytes += transfer.file.size;
  }

  /** @param {Transfer} transfer */
  end(transfer) {
    const { size } = transfer.file;
    this.#open--;
    if (transfer.paused) this.paused--;
    if (transfer.status === "complete") {
      this.#done++;
      this.#doneBytes += size;
      this.#stored.add(transfer);
      return;
    }
    this.#bytes -= size;
    if (transfer.status === "error") this.failed.add(transfer);
    else this.#files--;
  }

  /** A file became another one. @param {number} before @param {number} now */
  resize(before, now) {
    this.#bytes += now - before;
  }

  /** A failure is removed, or a file that was stored is no longer there. @param {Transfer} transfer */
  forget(transfer) {
    if (this.failed.delete(transfer)) this.#files--;
    if (transfer.taken || !this.#stored.delete(transfer)) return;
    const { size } = transfer.file;
    this.#files--;
    this.#done--;
    this.#bytes -= size;
    this.#doneBytes -= size;
  }

  /** @param {Iterable<Transfer>} running @returns {Totals} */
  totals(running) {
    let count = 0;
    let receivedBytes = this.#doneBytes;
    let bytesPerSecond = 0;
    for (const { progress } of running) {
      count++;
      receivedBytes += progress.received;
      bytesPerSecond += progress.bytesPerSecond;
    }
    const bytes = this.#bytes;
    const secondsLeft = bytesPerSecond ? Math.ceil((bytes - receivedBytes) / bytesPerSecond) : null;
    return {
      files: this.#files, done: this.#done, failed: this.failed.size, running: count, waiting: this.#open - count,
      paused: this.paused, bytes, receivedBytes, bytesPerSecond, secondsLeft,
    };
  }
}
