// @ts-check
/**
 * One upload as a pure state machine: inputs, then `poll()` until it is empty, and `pollFrame()` while there is room.
 *
 * offline -> registering -> sending -> completing -> done
 *        \-> resuming -> seeking -^         any -> waiting -> offline
 */
import { crc32c, crcHex } from "./crc32c.js";
import { HEADER_BYTES, encodeCancel, encodeChunk, encodeComplete } from "./protocol.js";

/** @typedef {import("./index.d.ts").SenderOptions} SenderOptions */
/** @typedef {import("./index.d.ts").SenderOutput} SenderOutput */
/** @typedef {import("./index.d.ts").Ending} Ending */
/** @typedef {import("./index.d.ts").Status} Status */
/** @typedef {import("./index.d.ts").Phase} Phase */
/** @typedef {import("./protocol.js").Message} Message */
/** What is said of a trouble: a message, or our own words. @typedef {Record<string, any>} Trouble */
/** A place in the file whose CRC is remembered. @typedef {{ at: number, crc: number }} Mark */

const READ_BYTES = 512 * 1024;
const READ_AHEAD_BYTES = 2 * READ_BYTES;
const MARKS_MAX = 64;
const MARK_BYTES = 1 << 20;
const TRIES_MAX = 12;
const RESTARTS_MAX = 8;
/** How often a ref that is in use is asked for again: over two minutes in all, in which a server stores a file or notices a lost connection. */
const ASKS_MAX = 8;
const DELAY_MS = 250;
const DELAY_MAX_MS = 60_000;
const RATE_MS = 400;
/** Without progress for so long, nothing moves, and no speed is shown. */
const STALL_MS = 3000;

/** Files have dates from before 1970 and none at all; what says nothing is not sent. @param {number | undefined} ms */
const date = (ms) => (ms && ms > 0 && ms <= Number.MAX_SAFE_INTEGER ? Math.trunc(ms) : undefined);

export class Sender {
  /** @type {SenderOutput[]} */
  #out = [];
  /** @type {"offline" | "registering" | "resuming" | "seeking" | "sending" | "completing" | "waiting" | "done"} */
  #phase = "offline";
  #connected = false;
  #cancelled = false;
  /** The server may hold this ref: ask before registering. */
  #known = false;
  #changed = true;
  #crc = 0;
  #index = 0;
  #credit = 0;
  /** Where a seek ends, and the CRC it must find there. */
  #target = 0;
  /** @type {string | undefined} */
  #expectedCrc;
  /** @type {Message | undefined} */
  #receipt;
  #readAt = 0;
  #reading = false;
  /** An empty file was read: its size alone does not say that it can be opened. */
  #confirmed = false;
  /** Read and not yet sent. @type {Uint8Array<ArrayBuffer>[]} */
  #blocks = [];
  /** @type {Mark[]} */
  #marks = [];
  #markEvery = MARK_BYTES;
  /** The frame that was polled last, whose memory the next one takes. */
  #frame = new Uint8Array(0);
  #tries = 0;
  #restarts = 0;
  /** Above 0 while a lost connection may still be storing the file: times left to ask. */
  #asks = 0;
  #wakeAt = 0;
  #rateAt = 0;
  #rateFrom = 0;

  paused = false;
  /** @type {ArrayBuffer[]} */
  spare = [];
  /** Next byte to send. */
  sent = 0;
  /** Bytes the server took in order. */
  received = 0;
  /** Bytes that survive its crash. */
  durable = 0;
  bytesPerSecond = 0;
  /** @type {number | undefined} */
  expiresIn;
  /** @type {Exclude<Status, "queued">} */
  status = "uploading";

  /** @param {SenderOptions} options */
  constructor(options) {
    this.options = options;
    this.ref = options.ref;
    this.size = options.size;
    this.chunkSize = options.chunkSize || 65536;
    this.resumable = !!options.resumable;
    this.#known = !!options.resume;
    if (this.#known) this.status = "resuming";
  }

  get finished() {
    return this.#phase === "done";
  }

  get active() {
    return !this.paused && this.#phase !== "waiting" && !this.finished;
  }

  /** @returns {Phase} */
  get phase() {
    if (this.status === "complete") return "done";
    if (this.received < this.size) return "sending";
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
    // What has every byte goes to its end without its client, resumable or not, and its receipt may be asked for (COMPLETE-4).
    if (!this.#known && this.#phase === "completing") this.#asks = ASKS_MAX;
    if (this.#asks) this.#known = true;
    if (this.#known) this.#detach();
    else if (this.#cancelled) this.#phase = "done";
    else this.#again(now, { code: "session_closed" }, true);
  }

  /** @param {Message} m @param {number} now */
  handleMessage(m, now) {
    const { type, status, code, retry } = m;
    if (this.finished || m.ref !== this.ref) return;
    if (this.#cancelled) {
      // What a resume answers came before the cancel frame.
      if (type === "error" || (type === "upload_progress" && status !== "uploading")) this.#phase = "done";
    } else if (type === "upload_registered" && this.#phase === "registering") {
      this.resumable = this.#known = !!m.resumable;
      this.expiresIn = m.expires_in;
      this.#attach(m, 0, 0, now);
    } else if (type === "upload_resumed" && this.#phase === "resuming") {
      if (status === "not_found") this.#again(now, { code: status }, true, true);
      else if (status === "locked") this.#end({ retry: "later", ...m, code: status, status: "error" });
      else this.#attach(m, m.bytes_received, m.next_index ?? Math.floor(m.bytes_received / this.chunkSize), now);
    } else if (type === "upload_progress") {
      this.#snapshot(m, now);
    } else if (type === "error") {
      const unknown = code === "unknown_ref";
      if (code === "ref_in_use" && (this.#asks || this.#attached)) return this.#askAgain(now, code);
      if (unknown && this.#phase === "resuming") return; // for what went out before the resume
      if (unknown || code === "ref_in_use" || retry === "later") this.#again(now, m, unknown ? !this.#known : retry !== "later");
      else this.#end({ ...m, status: "error" });
    }
  }

  /** @param {number} offset @param {Uint8Array<ArrayBuffer>} bytes @param {number} now */
  handleData(offset, bytes, now) {
    if (!this.#reading || offset !== this.#readAt || this.finished) return;
    this.#reading = false;
    this.#readAt += bytes.length;
    this.#confirmed = true;
    if (!bytes.length) return;
    if (this.#phase !== "seeking") {
      this.#blocks.push(bytes);
      return;
    }
    this.#hash(bytes);
    this.spare.push(bytes.buffer);
    if (this.sent === this.#target) this.#arrived(now);
  }

  handleUnreadable() {
    if (this.finished) return;
    if (this.#attached || this.#phase === "registering") this.#tellCancel();
    this.#end({ status: "error", code: "file_unreadable", retry: "restart" });
  }

  /** @param {number} now */
  handleTimeout(now) {
    if (this.#phase === "waiting" && now >= this.#wakeAt) {
      this.#phase = "offline";
      this.#begin(now);
    } else if (this.bytesPerSecond && now >= this.#rateAt + STALL_MS) {
      this.#forgetRate();
    }
  }

  pollTimeout() {
    if (this.#phase === "waiting") return this.#wakeAt;
    return this.bytesPerSecond && !this.finished ? this.#rateAt + STALL_MS : null;
  }

  pause() {
    this.paused = true;
    this.#forgetRate();
  }

  /** @param {number} now */
  resume(now) {
    this.paused = false;
    this.#changed = true;
    this.#measureFrom(now);
    if (this.#phase === "offline") this.#begin(now);
  }

  /** @param {number} now */
  cancel(now) {
    if (this.finished || this.#cancelled) return;
    const phase = this.#phase;
    const attached = this.#attached;
    this.#end({ status: "cancelled", code: "cancelled" });
    this.#cancelled = true;
    this.#phase = phase;
    if (attached || phase === "registering") {
      this.#tellCancel();
    } else if (this.#known) {
      this.#begin(now);
    } else {
      this.#phase = "done";
    }
  }

  /** @returns {SenderOutput | null} */
  poll() {
    const next = this.#out.shift();
    if (next) return next;
    if (this.#changed) {
      this.#changed = false;
      return { type: "progress" };
    }
    const seeking = this.#phase === "seeking";
    // What is likely to be taken is read while the server answers: a small file is then sent at once.
    const reads = seeking || ((this.#phase === "sending" || this.#phase === "registering") && !this.paused);
    if (this.#reading || this.#cancelled || !reads) return null;
    const end = seeking ? this.#target : this.size;
    const offset = this.#readAt;
    const unconfirmed = !this.size && !this.#confirmed;
    if (offset >= Math.min(end, this.sent + READ_AHEAD_BYTES) && !unconfirmed) return null;
    this.#reading = true;
    const step = READ_BYTES - (READ_BYTES % this.chunkSize) || this.chunkSize;
    return { type: "read", offset, length: Math.min(step, end - offset) };
  }

  /** The next frame within the credit, valid until the next call. */
  pollFrame() {
    if (this.#phase !== "sending" || this.paused || this.#cancelled) return null;
    if (this.sent === this.size) {
      if (!this.size && !this.#confirmed) return null;
      this.#phase = "completing";
      this.#changed = true;
      return encodeComplete(this.ref, this.#crc);
    }
    const block = this.#blocks[0];
    const length = Math.min(this.chunkSize, this.#credit - this.sent, block?.length ?? 0);
    if (length <= 0) return null;
    const data = block.subarray(0, length);
    if (this.#frame.length < HEADER_BYTES + length) this.#frame = new Uint8Array(HEADER_BYTES + this.chunkSize);
    this.#hash(data);
    const frame = encodeChunk(this.ref, this.#index, data, this.#frame);
    this.#index++;
    if (length < block.length) {
      this.#blocks[0] = block.subarray(length);
    } else {
      this.#blocks.shift();
      this.spare.push(block.buffer);
    }
    return frame;
  }

  get #attached() {
    return this.#phase === "sending" || this.#phase === "seeking" || this.#phase === "completing";
  }

  #tellCancel() {
    this.#out.push({ type: "frame", frame: encodeCancel(this.ref) });
  }

  /** @param {number} now */
  #begin(now) {
    if (!this.#connected || this.finished || (this.paused && !this.#cancelled)) return;
    // A resume would be answered with the receipt where the last byte had arrived, and the file would stay (COMPLETE-7).
    if (this.#cancelled) {
      this.#phase = "resuming";
      this.#tellCancel();
      return;
    }
    const { ref, resumable, options: o } = this;
    const message = this.#known
      ? { type: "upload_resume", ref, offset: this.received, client_id: o.clientId }
      : {
          type: "upload_register", ref, resumable, upload_name: o.slot, client_name: o.name, client_type: o.type, client_size: this.size,
          client_id: o.clientId, last_modified: date(o.lastModified), relative_path: o.relativePath, meta: o.meta,
        };
    this.#phase = this.#known ? "resuming" : "registering";
    if (resumable) this.#known = true;
    this.#out.push({ type: "message", message });
  }

  /** @param {Message} m @param {number} received @param {number} index @param {number} now */
  #attach(m, received, index, now) {
    this.#asks = 0;
    this.chunkSize = m.chunk_size || this.chunkSize;
    this.#credit = m.credit ?? Infinity;
    this.received = received;
    this.durable = Math.min(this.durable, received);
    this.#measureFrom(now);
    this.#seek(received, index, m.crc32c, now);
  }

  /** @param {Message} m @param {number} now */
  #snapshot(m, now) {
    const { status, code, retry, bytes_received: received } = m;
    if (status === "complete") {
      this.#receipt = m;
      if (this.#phase !== "seeking" || !this.#expectedCrc) this.#arrived(now);
    } else if (status === "cancelled") {
      this.#end({ ...m, status });
    } else if (code === "ref_in_use") {
      this.#askAgain(now, code);
    } else if (status === "error") {
      const refused = this.#phase === "registering";
      this.#known = false;
      if (retry === "later" || retry === "restart") this.#again(now, m, true, refused && retry === "later");
      else this.#end({ ...m, status });
    } else if (m.detached) {
      this.#known = true;
      if (code === "superseded") this.#end({ ...m, status: "error", retry: "never" });
      else if (this.paused) this.#detach();
      else this.#again(now, m);
    } else {
      if (typeof m.resumable === "boolean") this.resumable = this.#known = m.resumable;
      if (!this.#attached) return;
      this.#changed = true;
      this.#credit = Math.max(this.#credit, m.credit ?? 0);
      this.durable = Math.max(this.durable, m.bytes_durable ?? 0);
      if (received > this.received) {
        this.received = received;
        this.#tries = 0;
        this.#measure(now);
      }
      if ((code === "chunk_out_of_order" || code === "incomplete") && m.next_index >= 0) this.#seek(received, m.next_index, undefined, now);
    }
  }

  /** @param {number} now */
  #measureFrom(now) {
    this.#rateAt = now;
    this.#rateFrom = this.received;
  }

  /** @param {number} now */
  #measure(now) {
    const passed = now - this.#rateAt;
    if (passed < RATE_MS) return;
    const rate = ((this.received - this.#rateFrom) / passed) * 1000;
    this.bytesPerSecond = Math.round((this.bytesPerSecond || rate) * 0.6 + rate * 0.4);
    this.#measureFrom(now);
  }

  #forgetRate() {
    this.bytesPerSecond = 0;
    this.#changed = true;
  }

  /** @param {Uint8Array} bytes */
  #hash(bytes) {
    const marks = this.#marks;
    const crc = (this.#crc = crc32c(bytes, this.#crc));
    const at = (this.sent += bytes.length);
    if (at - (marks.at(-1)?.at ?? 0) < this.#markEvery) return;
    marks.push({ at, crc });
    while (marks[1]?.at <= this.durable) marks.shift();
    if (marks.length <= MARKS_MAX) return;
    this.#marks = marks.filter((_, i) => i % 2);
    this.#markEvery *= 2;
  }

  /**
   * Goes on from byte `target` as chunk `index`, once the CRC up to there is known.
   *
   * @param {number} target
   * @param {number} index
   * @param {string | undefined} expectedCrc
   * @param {number} now
   */
  #seek(target, index, expectedCrc, now) {
    this.#phase = "seeking";
    this.#marks = this.#marks.filter((mark) => mark.at <= target);
    const { at, crc } = this.#marks.at(-1) ?? { at: 0, crc: 0 };
    // At the beginning, what was read before is what comes next.
    if (target || this.sent) this.#readFrom(at, crc);
    this.#target = target;
    this.#index = index;
    this.#expectedCrc = expectedCrc;
    this.#changed = true;
    if (!(target <= this.size)) this.#again(now, { code: "file_changed" }, true);
    else if (at === target) this.#arrived(now);
  }

  /** @param {number} at @param {number} crc of everything before */
  #readFrom(at, crc) {
    this.sent = this.#readAt = at;
    this.#crc = crc;
    this.#reading = false;
    this.#blocks = [];
  }

  /** Splices only what the server has too (PROTOCOL RESUME-6). @param {number} now */
  #arrived(now) {
    if (this.#phase === "seeking" && this.#expectedCrc && this.#expectedCrc !== crcHex(this.#crc)) {
      this.#tellCancel();
      this.#again(now, { code: "file_changed" }, true);
    } else if (this.#receipt) {
      this.sent = this.received = this.durable = this.size;
      this.#end({ ...this.#receipt, status: "complete" });
    } else {
      this.#phase = "sending";
      this.status = "uploading";
      this.#changed = true;
    }
  }

  #detach() {
    this.#phase = "offline";
    this.#forgetRate();
    if (!this.#cancelled) this.status = "resuming";
  }

  /**
   * Resumes, or starts over at byte 0, in a while.
   *
   * @param {number} now
   * @param {Trouble} trouble
   * @param {boolean} [fresh]
   * @param {boolean} [sameRef]
   */
  #again(now, trouble, fresh = false, sameRef = false) {
    const tries = fresh ? ++this.#restarts : ++this.#tries;
    if (tries > (fresh ? RESTARTS_MAX : TRIES_MAX)) {
      this.#end({ retry: "restart", ...trouble, status: "error" });
      return;
    }
    if (trouble.retry === "later") this.#out.push({ type: "trouble", trouble });
    if (fresh) this.#startOver(sameRef);
    else this.#readFrom(this.sent, this.#crc);
    this.#detach();
    this.#phase = "waiting";
    const backoff = tries > 1 || trouble.retry === "later" ? DELAY_MS * 2 ** tries : 0;
    this.#wakeAt = now + Math.min(DELAY_MAX_MS, trouble.retry_after_ms ?? backoff);
    this.handleTimeout(now);
  }

  /**
   * A lost connection of ours has the ref: its server stores the file and no record says so yet, or another node stored it
   * first.
   *
   * @param {number} now
   * @param {string} code
   */
  #askAgain(now, code) {
    if (this.#asks) {
      this.#asks--;
      this.#restarts--; // nothing was sent anew
    }
    this.#known = true;
    this.#again(now, { code });
  }

  /** @param {boolean} sameRef */
  #startOver(sameRef) {
    const previous = this.ref;
    if (!sameRef) this.ref = this.options.newRef();
    this.#out.push({ type: "restart", previous });
    this.#known = false;
    this.resumable = !!this.options.resumable;
    this.#receipt = undefined;
    this.#marks = [];
    this.#markEvery = MARK_BYTES;
    this.#readFrom(0, 0);
    this.received = this.durable = 0;
  }

  /** Nothing of the file is kept after it. @param {Ending} ending */
  #end(ending) {
    this.status = ending.status;
    this.#phase = "done";
    this.bytesPerSecond = 0;
    this.#blocks = [];
    this.#marks = [];
    this.#frame = new Uint8Array(0);
    this.spare = [];
    this.#changed = true;
    this.#out.push({ type: "done", ending });
  }
}
