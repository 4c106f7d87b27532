// @ts-check
/** The senders that have something to say, and the order in which they share the socket. */
import { Sender } from "./sender.js";
import { Source } from "./source.js";

/** @typedef {import("./transfer.js").Transfer} Transfer */
/** @typedef {import("./protocol.js").Message} Message */
/** @typedef {import("./index.d.ts").SenderOptions} SenderOptions */
/** @typedef {import("./index.d.ts").Ending} Ending */
/**
 * Who listens.
 *
 * @typedef {object} Listener
 * @property {(transfer: Transfer) => void} changed its progress is another
 * @property {(transfer: Transfer, trouble: Record<string, any>) => void} trouble something went wrong that is tried again
 * @property {(transfer: Transfer, ref: string) => void} restarted it starts over under this ref
 * @property {(transfer: Transfer, ending: Ending) => void} ended
 * @property {() => void} free another may be sent: one has nothing more to say, or no more bytes, or the connection is open
 */

/** Frames of one turn of the event loop. */
const FRAMES_MAX = 16;
/** When a full buffer is looked at again, should nothing arrive from the server before. */
const FULL_MS = 4;

export class Outgoing {
  /** By ref. @type {Map<string, Transfer>} */
  #live = new Map();
  #turn = 0;
  /** @type {MessageChannel | undefined} */
  #channel;
  #yielding = false;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #fullTimer;

  /** @param {import("./socket.js").Socket} socket @param {Listener} on */
  constructor(socket, on) {
    this.socket = socket;
    this.on = on;
  }

  get size() {
    return this.#live.size;
  }

  /** @param {string} ref */
  slotOf(ref) {
    return this.#live.get(ref)?.slot;
  }

  /** @param {Transfer} transfer @param {SenderOptions} options */
  start(transfer, options) {
    transfer.sender = new Sender(options);
    transfer.source = new Source(transfer.file);
    this.#live.set(transfer.ref, transfer);
    if (this.socket.open) transfer.sender.handleConnected(Date.now());
    this.drain(transfer);
  }

  connected() {
    this.#each((transfer) => transfer.sender?.handleConnected(Date.now()));
    this.on.free();
  }

  disconnected() {
    this.#each((transfer) => transfer.sender?.handleDisconnected(Date.now()));
  }

  /** @param {(transfer: Transfer) => void} act */
  #each(act) {
    for (const transfer of [...this.#live.values()]) {
      act(transfer);
      this.drain(transfer);
    }
  }

  /** @param {Message} message */
  message(message) {
    const transfer = this.#live.get(message.ref);
    if (!transfer) return;
    transfer.sender?.handleMessage(message, Date.now());
    this.drain(transfer);
    this.pump();
  }

  /** Lets go of a sender; false if it was not here. @param {Transfer} transfer */
  forget(transfer) {
    if (transfer.ended) transfer.release();
    return this.#live.get(transfer.ref) === transfer && this.#live.delete(transfer.ref);
  }

  close() {
    clearTimeout(this.#fullTimer);
    this.#channel?.port1.close();
    for (const transfer of [...this.#live.values()]) this.forget(transfer);
  }

  /** Carries out what the sender wants. @param {Transfer} transfer */
  drain(transfer) {
    const { sender } = transfer;
    if (!sender) return;
    for (let output; (output = sender.poll()); ) {
      if (output.type === "message") this.socket.send(output.message);
      else if (output.type === "frame") this.socket.send(output.frame);
      else if (output.type === "read") void this.#read(transfer, sender, output.offset, output.length);
      else if (output.type === "progress") this.on.changed(transfer);
      else if (output.type === "trouble") this.on.trouble(transfer, output.trouble);
      else if (output.type === "done") this.on.ended(transfer, output.ending);
      else this.#restarted(transfer, output.previous, sender.ref);
    }
    this.#arm(transfer);
    if (sender.finished && this.forget(transfer)) this.on.free();
  }

  /** @param {Transfer} transfer @param {string} previous @param {string} ref */
  #restarted(transfer, previous, ref) {
    if (this.#live.get(previous) === transfer) this.#live.delete(previous);
    this.#live.set(ref, transfer);
    this.on.restarted(transfer, ref);
  }

  /** One timer for each sender: an early one looks again. @param {Transfer} transfer */
  #arm(transfer) {
    const due = transfer.sender?.pollTimeout();
    if (!due || (transfer.timer && transfer.dueAt <= due)) return;
    clearTimeout(transfer.timer);
    transfer.dueAt = due;
    transfer.timer = setTimeout(() => {
      transfer.timer = undefined;
      transfer.sender?.handleTimeout(Date.now());
      this.drain(transfer);
    }, due - Date.now() + 1);
  }

  /** @param {Transfer} transfer @param {Sender} sender @param {number} offset @param {number} length */
  async #read(transfer, sender, offset, length) {
    try {
      const bytes = await transfer.source?.read(offset, length, sender.spare.pop());
      if (bytes) sender.handleData(offset, bytes, Date.now());
    } catch {
      sender.handleUnreadable();
    }
    if (transfer.sender !== sender) return;
    this.drain(transfer);
    this.pump();
  }

  /**
   * Sends frames while the socket has room, each upload in its turn.
   *
   * What the server says and what was read brings the next turn, and no timer is between them. So a hidden page, whose
   * timers fire once a second or once a minute, sends as fast as a visible one.
   */
  pump() {
    clearTimeout(this.#fullTimer);
    if (this.#yielding || !this.socket.open) return;
    if (this.#sendFrames()) this.on.free();
  }

  /** True if all bytes of a file are sent. */
  #sendFrames() {
    let isFree = false;
    const ring = [...this.#live.values()];
    let budget = FRAMES_MAX;
    for (let idle = 0; idle < ring.length; ) {
      if (!this.socket.room) {
        this.#fullTimer = setTimeout(() => this.pump(), FULL_MS);
        break;
      }
      if (!budget) {
        this.#yield();
        break;
      }
      const transfer = ring[this.#turn++ % ring.length];
      const { sender } = transfer;
      const frame = sender?.pollFrame();
      idle = frame ? 0 : idle + 1;
      if (!frame) continue;
      budget--;
      this.socket.send(frame);
      isFree ||= sender?.sent === sender?.size;
      this.drain(transfer);
    }
    return isFree;
  }

  /** Lets others run, and pumps again: by a message, which is not slowed down as timers are. */
  #yield() {
    this.#yielding = true;
    if (!this.#channel) {
      this.#channel = new MessageChannel();
      this.#channel.port1.onmessage = () => {
        this.#yielding = false;
        this.pump();
      };
    }
    this.#channel.port2.postMessage(null);
  }
}
