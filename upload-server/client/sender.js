// @ts-check
/**
 * One upload as the client sees it: a state machine fed with inputs and drained of outputs.
 * Pure: no DOM, no clock, no randomness; `now` is in milliseconds and comes from the driver.
 *
 * ```text
 * offline -> registering -> sending <-> seeking      any -> waiting (retry later) -> offline
 *        \-> resuming -> seeking -> sending -> completing -> done
 * ```
 * After every input the driver drains `poll()`, and calls `pollFrame()` while the socket has room.
 */
import { crc32c, crcHex } from "./crc32c.js";
import { HEADER, encodeCancel, encodeChunk, encodeComplete } from "./protocol.js";

/** Bytes of one read, and how far reading runs ahead of sending. */
const READ_BYTES = 512 * 1024;
const READ_AHEAD = 2 * READ_BYTES;
/** Places whose CRC is remembered, so that a short drop re-reads little. */
const MARKS_MAX = 64;
/** Tries without a byte of progress, and new beginnings at byte 0, before an upload gives up. */
const TRIES_MAX = 12;
const RESTARTS_MAX = 8;
const DELAY_MAX = 60_000;

/** @typedef {import("./index.d.ts").SenderOutput} SenderOutput */

export class Sender {
  /** @type {SenderOutput[]} */
  #out = [];
  #phase = "offline";
  #connected = false;
  #paused = false;
  #cancelled = false;
  /** The server may hold this ref: ask for it before registering. */
  #known;
  #dirty = true;
  #crc = 0;
  #index = 0;
  /** Where a seek ends, what CRC it must find there, and the ending that waits for it. */
  #target = 0;
  /** @type {string | undefined} */
  #expect;
  /** @type {Record<string, any> | null} */
  #receipt = null;
  #credit = 0;
  #readAt = 0;
  #reading = false;
  /** @type {Uint8Array[]} */
  #blocks = [];
  /** @type {{at: number, crc: number}[]} */
  #marks = [];
  #markEvery = 1 << 20;
  #frame = new Uint8Array(0);
  #tries = 0;
  #restarts = 0;
  /** @type {number | null} */
  #wakeAt = null;
  #rate = 0;
  #rateAt = 0;
  #rateFrom = 0;

  /** Next byte to send. */
  sent = 0;
  /** Bytes the server took in order, and those that survive its crash. */
  received = 0;
  durable = 0;
  /** Seconds the server keeps what it has without progress. @type {number | undefined} */
  expiresIn;
  /** @type {"uploading" | "resuming" | "complete" | "error" | "cancelled"} */
  status = "uploading";

  /** @param {import("./index.d.ts").SenderOptions} options */
  constructor(options) {
    this.file = options;
    this.ref = options.ref;
    this.size = options.size;
    this.chunkSize = options.chunkSize || 65536;
    this.resumable = !!options.resumable;
    this.#known = !!options.resume;
    if (this.#known) this.status = "resuming";
  }

  /** Nothing more to say to the server. */
  get finished() {
    return this.#phase === "done";
  }
  /** Competes for the socket; false while paused, waiting or ended. */
  get active() {
    return !this.#paused && this.#phase !== "waiting" && !this.finished;
  }
  get paused() {
    return this.#paused;
  }
  get phase() {
    if (this.status === "complete") return "done";
    if (this.sent < this.size) return "sending";
    return this.durable < this.size ? "storing" : "processing";
  }

  /** @param {number} now */
  handleConnected(now) {
    this.#connected = true;
    this.#begin(now);
  }

  /** @param {number} now */
  handleDisconnected(now) {
    this.#connected = false;
    if (this.#phase === "offline" || this.#phase === "waiting" || this.finished) return;
    if (this.#known) {
      this.#detached();
    } else if (this.#cancelled) {
      this.#phase = "done";
    } else {
      this.#anew(now, "session_closed");
    }
  }

  /**
   * A message that names this ref.
   * @param {Record<string, any>} m
   * @param {number} now
   */
  handleMessage(m, now) {
    if (this.finished || m.ref !== this.ref) return;
    if (this.#cancelled) return this.#whileCancelling(m);
    if (m.type === "upload_registered") {
      if (this.#phase !== "registering") return;
      this.chunkSize = m.chunk_size || this.chunkSize;
      this.resumable = this.#known = !!m.resumable;
      this.expiresIn = m.expires_in;
      this.#attach(m, 0);
      this.#seek(0, 0, undefined, now);
    } else if (m.type === "upload_resumed") {
      if (this.#phase === "resuming") this.#resumed(m, now);
    } else if (m.type === "upload_progress") {
      this.#snapshot(m, now);
    } else if (m.type === "error") {
      if (m.code === "unknown_ref" && this.#phase === "resuming") return; // for what went out before the resume
      if (m.code === "unknown_ref" && this.#known) this.#later(now, m);
      else if (m.code === "unknown_ref" || m.code === "ref_in_use") this.#anew(now, m.code, m);
      else if (m.retry === "later") this.#later(now, m);
      else this.#fail(m);
    }
  }

  /**
   * What a `read` output asked for; anything else (a read overtaken by a seek) is ignored.
   * @param {number} offset
   * @param {Uint8Array} bytes
   * @param {number} now
   */
  handleData(offset, bytes, now) {
    if (!this.#reading || offset !== this.#readAt || this.finished) return;
    this.#reading = false;
    this.#readAt += bytes.length;
    if (this.#phase !== "seeking") {
      this.#blocks.push(bytes);
      return;
    }
    this.#hash(bytes);
    if (this.sent >= this.#target) this.#arrived(now);
  }

  /** @param {number} now */
  handleTimeout(now) {
    if (this.#phase === "waiting" && this.#wakeAt !== null && now >= this.#wakeAt) {
      this.#phase = "offline";
      this.#begin(now);
    }
  }

  /** When `handleTimeout` is due, or null. */
  pollTimeout() {
    return this.#phase === "waiting" ? this.#wakeAt : null;
  }

  /** The file can no longer be read: ends here and on the server. */
  handleUnreadable() {
    this.#fail({ code: "file_unreadable", retry: "restart" }, true);
  }

  pause() {
    this.#paused = this.#dirty = true;
  }

  /** @param {number} now */
  resume(now) {
    this.#paused = false;
    this.#dirty = true;
    if (this.#phase === "offline") this.#begin(now);
  }

  /** Ends at once for the page; the server is told as soon as it can be. @param {number} now */
  cancel(now) {
    if (this.finished || this.#cancelled) return;
    this.#cancelled = true;
    this.#blocks = [];
    this.#end({ status: "cancelled", code: "cancelled" });
    if (this.#attached() || this.#phase === "registering") this.#tellCancel();
    else if (!this.#known) this.#phase = "done";
    else if (this.#phase !== "resuming") {
      this.#phase = "offline";
      this.#begin(now);
    }
  }

  /** The next effect, or null. @returns {SenderOutput | null} */
  poll() {
    const next = this.#out.shift();
    if (next) return next;
    if (this.#dirty) {
      this.#dirty = false;
      return { type: "progress" };
    }
    const seeking = this.#phase === "seeking";
    if (this.#reading || this.#cancelled || (!seeking && (this.#phase !== "sending" || this.#paused))) return null;
    const end = seeking ? this.#target : Math.min(this.size, this.sent + READ_AHEAD);
    const step = Math.max(1, Math.floor(READ_BYTES / this.chunkSize)) * this.chunkSize;
    const length = Math.min(step, (seeking ? end : this.size) - this.#readAt);
    if (this.#readAt >= end) return null;
    this.#reading = true;
    return { type: "read", offset: this.#readAt, length };
  }

  /** The next chunk or complete frame within the credit, or null. Valid until the next call. */
  pollFrame() {
    if (this.#phase !== "sending" || this.#paused || this.#cancelled) return null;
    if (this.sent === this.size) {
      this.#phase = "completing";
      this.#dirty = true;
      return encodeComplete(this.ref, this.#crc);
    }
    const block = this.#blocks[0];
    const length = Math.min(this.chunkSize, this.#credit - this.sent, block?.length ?? 0);
    if (length <= 0) return null;
    const data = block.subarray(0, length);
    if (length < block.length) this.#blocks[0] = block.subarray(length);
    else this.#blocks.shift();
    if (this.#frame.length < HEADER + length) this.#frame = new Uint8Array(HEADER + this.chunkSize);
    this.#hash(data);
    return encodeChunk(this.ref, this.#index++, data, this.#frame);
  }

  /** Bytes a second, as the server confirms them. */
  get bytesPerSecond() {
    return Math.round(this.#rate);
  }

  #attached() {
    return this.#phase === "sending" || this.#phase === "seeking" || this.#phase === "completing";
  }

  #tellCancel() {
    this.#out.push({ type: "frame", frame: encodeCancel(this.ref) });
  }

  /** @param {number} now */
  #begin(now) {
    if (!this.#connected || this.finished || (this.#paused && !this.#cancelled)) return;
    const { slot, name, type, clientId, lastModified, relativePath, meta } = this.file;
    this.#rateAt = now;
    if (this.#known) {
      this.#phase = "resuming";
      this.#say({ type: "upload_resume", ref: this.ref, offset: this.received, client_id: clientId });
      return;
    }
    this.#phase = "registering";
    this.#known = this.resumable;
    this.#say({
      type: "upload_register",
      upload_name: slot,
      ref: this.ref,
      client_name: name,
      client_type: type,
      client_size: this.size,
      resumable: this.resumable,
      client_id: clientId,
      last_modified: lastModified,
      relative_path: relativePath || undefined,
      meta,
    });
  }

  /** @param {Record<string, any>} message */
  #say(message) {
    this.#out.push({ type: "message", message });
  }

  /**
   * @param {Record<string, any>} m
   * @param {number} now
   */
  #resumed(m, now) {
    this.chunkSize = m.chunk_size || this.chunkSize;
    if (m.status === "not_found") {
      this.#anew(now, "not_found", m, true);
    } else if (m.status === "locked") {
      this.#fail({ code: "locked", retry: "later", ...m });
    } else {
      this.#attach(m, m.bytes_received);
      this.#seek(m.bytes_received, m.next_index ?? Math.floor(m.bytes_received / this.chunkSize), m.crc32c, now);
    }
  }

  /**
   * @param {Record<string, any>} m
   * @param {number} received
   */
  #attach(m, received) {
    this.#credit = m.credit ?? Infinity;
    this.received = this.#rateFrom = received;
    this.durable = Math.min(this.durable, received);
  }

  /**
   * @param {Record<string, any>} m
   * @param {number} now
   */
  #snapshot(m, now) {
    if (m.status === "complete") {
      this.#receipt = m;
      if (this.#phase !== "seeking" || this.#expect === undefined) this.#arrived(now);
      return;
    }
    if (m.status === "cancelled") return this.#end({ ...m }, true);
    if (m.status === "error") {
      const refused = this.#phase === "registering";
      this.#known = false;
      if (m.retry === "later" && refused) this.#later(now, m);
      else if (m.retry === "restart" || m.retry === "later") this.#anew(now, m.code, m);
      else this.#fail(m);
      return;
    }
    if (typeof m.resumable === "boolean") this.resumable = this.#known = m.resumable;
    if (m.detached) {
      this.#known = true;
      if (m.code === "superseded") this.#fail({ ...m, retry: "never" });
      else if (this.#paused) this.#detached();
      else this.#later(now, m);
      return;
    }
    if (!this.#attached()) return;
    this.#credit = Math.max(this.#credit, m.credit ?? 0);
    if (m.bytes_received > this.received) {
      this.received = m.bytes_received;
      this.#tries = 0;
      this.#measure(now);
    }
    this.durable = Math.max(this.durable, m.bytes_durable ?? m.bytes_received ?? 0);
    this.#dirty = true;
    if ((m.code === "chunk_out_of_order" || m.code === "incomplete") && m.next_index !== undefined) {
      this.#seek(m.bytes_received, m.next_index, undefined, now);
    }
  }

  /** @param {Record<string, any>} m */
  #whileCancelling(m) {
    if (m.type === "upload_resumed" && m.status === "resumed") this.#tellCancel();
    else if (m.type !== "upload_registered" && m.status !== "uploading") this.#phase = "done";
  }

  /** @param {number} now */
  #measure(now) {
    const passed = now - this.#rateAt;
    if (passed < 400) return;
    const rate = ((this.received - this.#rateFrom) / passed) * 1000;
    this.#rate = this.#rate ? this.#rate * 0.6 + rate * 0.4 : rate;
    this.#rateAt = now;
    this.#rateFrom = this.received;
  }

  /** Takes bytes at `sent` into the CRC, remembering it every so often. @param {Uint8Array} bytes */
  #hash(bytes) {
    this.#crc = crc32c(bytes, this.#crc);
    this.sent += bytes.length;
    const last = this.#marks.at(-1)?.at ?? 0;
    if (this.sent - last < this.#markEvery) return;
    this.#marks.push({ at: this.sent, crc: this.#crc });
    // The server never goes back before what it called durable, so one mark at or before that is enough.
    while (this.#marks[1]?.at <= this.durable) this.#marks.shift();
    if (this.#marks.length > MARKS_MAX) {
      this.#marks = this.#marks.filter((_, i) => i % 2 === 0);
      this.#markEvery *= 2;
    }
  }

  /**
   * Goes on from byte `target` as chunk `index`, after reading what the CRC of the bytes before it still lacks.
   * @param {number} target
   * @param {number} index
   * @param {string | undefined} expect
   * @param {number} now
   */
  #seek(target, index, expect, now) {
    this.#phase = "seeking";
    this.#marks = this.#marks.filter((m) => m.at <= target);
    const mark = this.#marks.at(-1);
    this.sent = this.#readAt = mark?.at ?? 0;
    this.#crc = mark?.crc ?? 0;
    this.#target = target;
    this.#index = index;
    this.#expect = expect;
    this.#reading = false;
    this.#blocks = [];
    this.#dirty = true;
    if (target > this.size) this.#anew(now, "checksum_mismatch");
    else if (this.sent === target) this.#arrived(now);
  }

  /** The CRC of the prefix is known: splice only if it is the server's (PROTOCOL RESUME-6). @param {number} now */
  #arrived(now) {
    if (this.#phase === "seeking" && this.#expect !== undefined && this.#expect !== crcHex(this.#crc)) {
      this.#tellCancel();
      this.#anew(now, "file_changed");
    } else if (this.#receipt) {
      this.sent = this.received = this.durable = this.size;
      this.#end({ ...this.#receipt }, true);
    } else {
      this.#phase = "sending";
      this.status = "uploading";
      this.#dirty = true;
    }
  }

  #detached() {
    this.#phase = "offline";
    if (!this.#cancelled) this.status = "resuming";
    this.#dirty = true;
  }

  /**
   * Tries again after a while; nothing sent is thrown away.
   * @param {number} now
   * @param {Record<string, any>} m
   */
  #later(now, m) {
    if (++this.#tries > TRIES_MAX) return this.#fail(m);
    if (m.retry === "later") this.#out.push({ type: "trouble", trouble: m });
    const delay = m.retry_after_ms ?? (m.retry === "later" || this.#tries > 1 ? 500 * 2 ** this.#tries : 0);
    this.#detached();
    this.#phase = "waiting";
    this.#wakeAt = now + Math.min(delay, DELAY_MAX);
    this.handleTimeout(now);
  }

  /**
   * Starts over at byte 0, under a new ref unless the old one is free.
   * @param {number} now
   * @param {string} code
   * @param {Record<string, any>} [m]
   * @param {boolean} [sameRef]
   */
  #anew(now, code, m, sameRef) {
    if (++this.#restarts > RESTARTS_MAX) return this.#fail({ code, retry: "restart", ...m });
    const previous = this.ref;
    if (!sameRef) this.ref = this.file.newRef();
    this.#out.push({ type: "restart", previous, code });
    this.#known = false;
    this.resumable = !!this.file.resumable;
    this.#receipt = null;
    this.#marks = [];
    this.#markEvery = 1 << 20;
    this.#blocks = [];
    this.sent = this.received = this.durable = this.#rate = 0;
    this.#detached();
    this.#phase = "waiting";
    this.#wakeAt = now + Math.min(m?.retry_after_ms ?? (this.#restarts > 1 ? 250 * 2 ** this.#restarts : 0), DELAY_MAX);
    this.handleTimeout(now);
  }

  /**
   * @param {Record<string, any>} m
   * @param {boolean} [tell] the server still holds it
   */
  #fail(m, tell) {
    if (tell && this.#attached()) this.#tellCancel();
    this.#end({ ...m, status: "error" }, true);
  }

  /**
   * @param {Record<string, any>} ending
   * @param {boolean} [settled]
   */
  #end(ending, settled) {
    this.status = ending.status;
    if (settled) {
      this.#phase = "done";
      this.#blocks = [];
    }
    this.#dirty = true;
    this.#out.push({ type: "done", ending });
  }
}
