// @ts-check
/** Files that wait for their turn, those that are sent, and the sums of them: by page and by slot. */
import { Tally } from "./tally.js";

/** @typedef {import("./transfer.js").Transfer} Transfer */

const CONCURRENCY = 3;

export class Queue {
  /** Not ended, oldest first. @type {Set<Transfer>} */
  open = new Set();
  /** Waiting for a place. @type {Set<Transfer>} */
  #ready = new Set();
  /** @type {Set<Transfer>} */
  #running = new Set();
  /** Accepted by their slot's rules and not ended. @type {Map<string, Set<Transfer>>} */
  #accepted = new Map();
  /** Of the whole page. */
  tally = new Tally();
  /** @type {Map<string, Tally>} */
  #tallies = new Map();

  /** @param {Pick<import("./index.d.ts").Uploads, "options" | "configs" | "connected">} page */
  constructor(page) {
    this.page = page;
  }

  /** Those that have not ended, of a slot or of all. @param {string} [slot] */
  of(slot) {
    return [...this.open].filter((transfer) => !slot || transfer.slot === slot);
  }

  /** @param {string | undefined} ref */
  find(ref) {
    return [...this.open].filter((transfer) => transfer.ref === ref);
  }

  /** @param {string} slot */
  tallyOf(slot) {
    const tally = this.#tallies.get(slot) ?? new Tally();
    this.#tallies.set(slot, tally);
    return tally;
  }

  /** The page's sums, and its slot's. @param {Transfer} transfer */
  sums({ slot }) {
    return [this.tally, this.tallyOf(slot)];
  }

  /** @param {string} [slot] */
  totals(slot) {
    const running = [...this.#running].filter((transfer) => slot === undefined || transfer.slot === slot);
    return (slot === undefined ? this.tally : this.tallyOf(slot)).totals(running);
  }

  /** @param {Transfer} transfer */
  add(transfer) {
    this.open.add(transfer);
    for (const tally of this.sums(transfer)) tally.add(transfer);
  }

  /** How many of a slot are accepted. @param {string} slot */
  accepted(slot) {
    return this.#accepted.get(slot)?.size ?? 0;
  }

  /** @param {Transfer} transfer */
  accept(transfer) {
    const { slot } = transfer;
    this.#accepted.set(slot, (this.#accepted.get(slot) ?? new Set()).add(transfer));
  }

  /** It may be sent as soon as there is a place. @param {Transfer} transfer */
  release(transfer) {
    transfer.stage = "ready";
    this.#ready.add(transfer);
  }

  /** Gives places to those whose turn it is. @param {(transfer: Transfer) => void} start */
  fill(start) {
    const { order, concurrency = CONCURRENCY } = this.page.options;
    let busy = 0;
    for (const transfer of this.#running) busy += transfer.share;
    const ready = order ? [...this.#ready].sort((a, b) => order(a.upload, b.upload)) : this.#ready;
    for (const transfer of ready) {
      if (busy >= concurrency) break;
      // A listener may have taken it out when another one was started.
      if (transfer.paused || !this.#hasPlace(transfer) || !this.#ready.delete(transfer)) continue;
      transfer.stage = "running";
      this.#running.add(transfer);
      start(transfer);
      busy += transfer.share;
    }
  }

  /** @param {Transfer} transfer */
  #hasPlace({ slot, spec }) {
    const { options, configs, connected } = this.page;
    const { direct, consumes_on_complete: frees, max_entries: places } = configs[slot];
    const own = options.slots?.[slot];
    // What goes straight to a bucket has no sender that waits for the connection.
    if ((direct || own?.presign || spec) && !connected) return false;
    const most = Math.min(own?.concurrency ?? Infinity, frees ? places : Infinity);
    let taken = 0;
    for (const transfer of this.#running) if (transfer.slot === slot) taken++;
    return taken < most;
  }

  /** @param {Transfer} transfer */
  end(transfer) {
    this.open.delete(transfer);
    this.#ready.delete(transfer);
    this.#running.delete(transfer);
    this.#accepted.get(transfer.slot)?.delete(transfer);
    for (const tally of this.sums(transfer)) tally.end(transfer);
  }
}
