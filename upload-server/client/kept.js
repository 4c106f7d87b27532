// @ts-check
/** Finished uploads that wait for the application: named with its events, removed at the server, found again after a reload. */
import { encodeCancel } from "./protocol.js";
import { uuid } from "./upload.js";

/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {{ ref: string, upload_name: string, client_name: string, client_size: number, status: string, result?: any }} Listed */
/** @typedef {{ uploads: Listed[], more?: boolean }} Listing */
/** @typedef {{ transfer: Transfer, timer: ReturnType<typeof setTimeout>, done: () => void }} Discard */

/** Refs that an event may name. */
const NAMED_MAX = 1024;
/** An answer that takes longer is not waited for. */
const ANSWER_MS = 15_000;

export class Kept {
  /** @type {Map<string, Transfer>} */
  #waiting = new Map();
  /** Taken by the application, the newest last. @type {Map<string, Transfer>} */
  #taken = new Map();
  /** Being removed at the server. @type {Map<string, Discard>} */
  #discards = new Map();
  /** @type {Map<string, (answer: Listing | undefined) => void>} */
  #questions = new Map();
  /** The server answers one list at a time. @type {Promise<any>} */
  #turn = Promise.resolve();

  /**
   * @param {import("./socket.js").Socket} socket
   * @param {{ gone: (transfer: Transfer) => void, stays: (transfer: Transfer, code: string) => void, taken: (transfer: Transfer) => void }} on
   */
  constructor(socket, on) {
    this.socket = socket;
    this.on = on;
  }

  /** Whether something is to be sent or answered. */
  get busy() {
    return this.#discards.size + this.#questions.size > 0;
  }

  /** @param {Transfer} transfer */
  add(transfer) {
    this.#waiting.set(transfer.ref, transfer);
  }

  /** Whose finished file waits under this ref. @param {string} ref */
  find(ref) {
    return this.#waiting.get(ref);
  }

  /** What an event names: all that wait, or those of some slots. @param {string[]} [slots] @returns {Transfer[]} */
  waiting(slots) {
    const named = [...this.#waiting.values()].filter(({ slot, ref }) => (!slots || slots.includes(slot)) && !this.#discards.has(ref));
    return named.slice(-NAMED_MAX);
  }

  /** Those of some slots that earlier events took. @param {string[]} slots @returns {Transfer[]} */
  takenOf(slots) {
    return [...this.#taken.values()].filter(({ slot }) => slots.includes(slot));
  }

  /** Removes it at the server; resolves when it answered, or could not. @param {Transfer} transfer @returns {Promise<void>} */
  discard(transfer) {
    const { ref } = transfer;
    if (this.#discards.has(ref)) return Promise.resolve();
    return new Promise((done) => {
      const timer = setTimeout(() => this.#settle(ref, "unreachable"), ANSWER_MS);
      this.#discards.set(ref, { transfer, timer, done });
      this.socket.want();
      this.socket.send(encodeCancel(ref));
    });
  }

  connected() {
    for (const ref of this.#discards.keys()) this.socket.send(encodeCancel(ref));
  }

  /** An answer to a removal or a list; false for what is neither. @param {Message} message */
  message(message) {
    if (message.type === "upload_list") {
      this.#questions.get(message.id)?.({ uploads: message.uploads ?? [], more: message.more });
      return true;
    }
    // A server that knows no lists says so, and what is asked first is answered first.
    if (message.code === "unknown_type" && this.#questions.size) {
      this.#questions.values().next().value?.(undefined);
      return true;
    }
    if (!this.#discards.has(message.ref)) return false;
    // Any other error says that it could not be removed.
    const isGone = message.type !== "error" || message.code === "unknown_ref";
    this.#settle(message.ref, isGone ? "" : message.code);
    return true;
  }

  /** @param {string} ref @param {string} code empty when it is gone from here: removed, taken or unknown to the server */
  #settle(ref, code) {
    const discard = this.#discards.get(ref);
    if (!discard) return;
    clearTimeout(discard.timer);
    this.#discards.delete(ref);
    if (code) {
      this.on.stays(discard.transfer, code);
    } else {
      this.#waiting.delete(ref);
      this.on.gone(discard.transfer);
    }
    discard.done();
  }

  /** These wait no longer. @param {string[]} refs */
  taken(refs) {
    for (const ref of refs) {
      const transfer = this.#waiting.get(ref);
      if (!this.#waiting.delete(ref) || !transfer) continue;
      this.#taken.set(ref, transfer);
      this.on.taken(transfer);
    }
    for (const ref of [...this.#taken.keys()].slice(0, -NAMED_MAX)) this.#taken.delete(ref);
  }

  /** The server does not have these: another page removed them, or they waited too long. @param {string[]} refs */
  unknown(refs) {
    for (const ref of refs) {
      const transfer = this.#waiting.get(ref);
      if (this.#waiting.delete(ref) && transfer) this.on.gone(transfer);
    }
  }

  /** @param {Transfer} transfer */
  forget(transfer) {
    if (this.#taken.get(transfer.ref) === transfer) this.#taken.delete(transfer.ref);
  }

  /** After an event: what the server does not list any more was taken. @param {string[]} named */
  async refresh(named) {
    const listed = named.length && (await this.list());
    if (!listed || listed.more) return;
    const waiting = new Set(listed.uploads.map(({ ref }) => ref));
    this.taken(named.filter((ref) => !waiting.has(ref)));
  }

  /** The owner's uploads that the server knows; undefined where it does not answer. @param {string} [slot] @returns {Promise<Listing | undefined>} */
  list(slot) {
    const ask = () =>
      new Promise((/** @type {(answer: Listing | undefined) => void} */ done) => {
        const id = uuid();
        const timer = setTimeout(() => answered(undefined), ANSWER_MS);
        const answered = (/** @type {Listing | undefined} */ answer) => {
          clearTimeout(timer);
          this.#questions.delete(id);
          done(answer);
        };
        this.#questions.set(id, answered);
        this.socket.send({ type: "upload_list", id, upload_name: slot });
      });
    return (this.#turn = this.#turn.then(ask));
  }

  /** No answer comes over a connection that is lost. */
  lost() {
    for (const answered of [...this.#questions.values()]) answered(undefined);
  }

  close() {
    this.lost();
    for (const ref of [...this.#discards.keys()]) this.#settle(ref, "session_closed");
  }
}
