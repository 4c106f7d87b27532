// @ts-check
/** Totals of what a page uploads, kept as sums: nothing walks over all uploads. */

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

  /** Counts anew, for files that are added when all others have ended; failures stay until they are dealt with. */
  #begin() {
    this.#files = this.failed.size;
    this.#done = this.#bytes = this.#doneBytes = 0;
  }

  /** @param {Transfer} transfer */
  add({ file }) {
    if (!this.#open++) this.#begin();
    this.#files++;
    this.#bytes += file.size;
  }

  /** @param {Transfer} transfer */
  end(transfer) {
    const { size } = transfer.file;
    this.#open--;
    if (transfer.paused) this.paused--;
    if (transfer.status === "complete") {
      this.#done++;
      this.#doneBytes += size;
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

  /** A failure is retried or removed. @param {Transfer} transfer */
  forget(transfer) {
    if (this.failed.delete(transfer)) this.#files--;
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
