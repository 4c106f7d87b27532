// @ts-check
/**
 * One upload as a pure state machine: inputs, then `poll()` until it is empty, and `pollFrame()` while there is room.
 *
 * offline -> registering -> sending -> completing -> done
 *        \-> resuming -> seeking -^         any -> waiting -> offline
 */
import { crc32c, crcHex } from "./crc32c.js";
import { HEADER, encodeCancel, encodeChunk, encodeComplete } from "./protocol.js";

const READ_BYTES = 512 * 1024;
const READ_AHEAD = 2 * READ_BYTES;
// Places whose CRC is remembered.
const MARKS_MAX = 64;
const MARK_BYTES = 1 << 20;
const TRIES_MAX = 12;
const RESTARTS_MAX = 8;
const DELAY_MS = 250;
const DELAY_MAX_MS = 60_000;
const RATE_MS = 400;

export class Sender {
  #out = [];
  #phase = "offline";
  #connected = false;
  #cancelled = false;
  #known; // the server may hold this ref: ask before registering
  #dirty = true;
  #crc = 0;
  #index = 0;
  #credit = 0;
  // Where a seek ends, and the CRC it must find.
  #target = 0;
  #expect;
  #receipt;
  #readAt = 0;
  #reading = false;
  #blocks = [];
  #marks = [];
  #markEvery = MARK_BYTES;
  #frame = new Uint8Array(0);
  #tries = 0;
  #restarts = 0;
  #wakeAt = 0;
  #rateAt = 0;
  #rateFrom = 0;

  paused = false;
  spare = [];
  // Next byte to send; bytes the server took in order; those that survive its crash.
  sent = 0;
  received = 0;
  durable = 0;
  bytesPerSecond = 0;
  expiresIn;
  status = /** @type {any} */ ("uploading");

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
  get phase() {
    if (this.status === "complete") return "done";
    if (this.sent < this.size) return "sending";
    return this.durable < this.size ? "storing" : "processing";
  }

  handleConnected(now) {
    this.#connected = true;
    this.#begin(now);
  }

  handleDisconnected(now) {
    this.#connected = false;
    if (this.#phase === "offline" || this.#phase === "waiting" || this.finished) return;
    if (this.#known) this.#detach();
    else if (this.#cancelled) this.#phase = "done";
    else this.#again(now, { code: "session_closed" }, true);
  }

  handleMessage(m, now) {
    const { type, status, code, retry } = m;
    if (this.finished || m.ref !== this.ref) return;
    if (this.#cancelled) {
      if (status === "resumed") this.#tellCancel();
      else if (status && status !== "uploading" || type === "error") this.#phase = "done";
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
      if (unknown && this.#phase === "resuming") return; // for what went out before the resume
      if (unknown || code === "ref_in_use" || retry === "later") this.#again(now, m, unknown ? !this.#known : retry !== "later");
      else this.#end({ ...m, status: "error" });
    }
  }

  handleData(offset, bytes, now) {
    if (!this.#reading || offset !== this.#readAt || this.finished) return;
    this.#reading = false;
    this.#readAt += bytes.length;
    if (this.#phase !== "seeking") {
      this.#blocks.push(bytes);
    } else {
      this.#hash(bytes);
      this.spare.push(bytes.buffer);
      if (this.sent === this.#target) this.#arrived(now);
    }
  }

  handleUnreadable() {
    if (this.finished) return;
    if (this.#attached) this.#tellCancel();
    this.#end({ status: "error", code: "file_unreadable", retry: "restart" });
  }

  handleTimeout(now) {
    if (this.#phase !== "waiting" || now < this.#wakeAt) return;
    this.#phase = "offline";
    this.#begin(now);
  }

  pollTimeout() {
    return this.#phase === "waiting" ? this.#wakeAt : null;
  }

  pause() {
    this.paused = this.#dirty = true;
  }

  resume(now) {
    this.paused = false;
    this.#dirty = true;
    if (this.#phase === "offline") this.#begin(now);
  }

  cancel(now) {
    if (this.finished || this.#cancelled) return;
    const phase = this.#phase;
    this.#end({ status: "cancelled", code: "cancelled" });
    this.#cancelled = true;
    this.#phase = phase;
    if (this.#attached || phase === "registering") {
      this.#tellCancel();
    } else if (!this.#known) {
      this.#phase = "done";
    } else if (phase !== "resuming") {
      this.#phase = "offline";
      this.#begin(now);
    }
  }

  poll() {
    const next = this.#out.shift();
    if (next) return next;
    if (this.#dirty) {
      this.#dirty = false;
      return { type: "progress" };
    }
    const seeking = this.#phase === "seeking";
    if (this.#reading || this.#cancelled || !(seeking || (this.#phase === "sending" && !this.paused))) return null;
    const end = seeking ? this.#target : this.size;
    const offset = this.#readAt;
    if (offset >= Math.min(end, this.sent + READ_AHEAD)) return null;
    this.#reading = true;
    const step = READ_BYTES - (READ_BYTES % this.chunkSize) || this.chunkSize;
    return { type: "read", offset, length: Math.min(step, end - offset) };
  }

  /** The next frame within the credit, valid until the next call. */
  pollFrame() {
    if (this.#phase !== "sending" || this.paused || this.#cancelled) return null;
    if (this.sent === this.size) {
      this.#phase = "completing";
      this.#dirty = true;
      return encodeComplete(this.ref, this.#crc);
    }
    const block = this.#blocks[0];
    const length = Math.min(this.chunkSize, this.#credit - this.sent, block?.length ?? 0);
    if (length <= 0) return null;
    const data = block.subarray(0, length);
    if (this.#frame.length < HEADER + length) this.#frame = new Uint8Array(HEADER + this.chunkSize);
    this.#hash(data);
    const frame = encodeChunk(this.ref, this.#index++, data, this.#frame);
    this.#blocks[0] = block.subarray(length);
    if (length === block.length) this.spare.push(this.#blocks.shift().buffer);
    return frame;
  }

  get #attached() {
    return /sending|seeking|completing/.test(this.#phase);
  }

  #tellCancel() {
    this.#out.push({ type: "frame", frame: encodeCancel(this.ref) });
  }

  #begin(now) {
    if (!this.#connected || this.finished || (this.paused && !this.#cancelled)) return;
    const { ref, resumable, options: o } = this;
    const message = this.#known
      ? { type: "upload_resume", ref, offset: this.received, client_id: o.clientId }
      : {
          type: "upload_register", ref, resumable, upload_name: o.slot, client_name: o.name, client_type: o.type, client_size: this.size,
          client_id: o.clientId, last_modified: o.lastModified, relative_path: o.relativePath, meta: o.meta,
        };
    this.#phase = this.#known ? "resuming" : "registering";
    this.#known ||= resumable;
    this.#rateAt = now;
    this.#out.push({ type: "message", message });
  }

  #attach(m, received, index, now) {
    this.chunkSize = m.chunk_size || this.chunkSize;
    this.#credit = m.credit ?? Infinity;
    this.received = this.#rateFrom = received;
    this.durable = Math.min(this.durable, received);
    this.#seek(received, index, m.crc32c, now);
  }

  #snapshot(m, now) {
    const { status, code, retry, bytes_received: received } = m;
    if (status === "complete") {
      this.#receipt = m;
      if (this.#phase !== "seeking" || !this.#expect) this.#arrived(now);
    } else if (status === "cancelled") {
      this.#end(m);
    } else if (status === "error") {
      const refused = this.#phase === "registering";
      this.#known = false;
      if (retry === "later" || retry === "restart") this.#again(now, m, true, refused && retry === "later");
      else this.#end(m);
    } else if (m.detached) {
      this.#known = true;
      if (code === "superseded") this.#end({ ...m, status: "error", retry: "never" });
      else if (this.paused) this.#detach();
      else this.#again(now, m);
    } else {
      if (typeof m.resumable === "boolean") this.resumable = this.#known = m.resumable;
      if (!this.#attached) return;
      this.#dirty = true;
      this.#credit = Math.max(this.#credit, m.credit ?? 0);
      this.durable = Math.max(this.durable, m.bytes_durable ?? 0);
      if (received > this.received) {
        this.received = received;
        this.#tries = 0;
        const passed = now - this.#rateAt;
        if (passed >= RATE_MS) {
          const rate = ((received - this.#rateFrom) / passed) * 1000;
          this.bytesPerSecond = Math.round((this.bytesPerSecond || rate) * 0.6 + rate * 0.4);
          this.#rateAt = now;
          this.#rateFrom = received;
        }
      }
      if ((code === "chunk_out_of_order" || code === "incomplete") && m.next_index >= 0) this.#seek(received, m.next_index, undefined, now);
    }
  }

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

  /** Goes on from byte `target` as chunk `index`, once the CRC up to there is known. */
  #seek(target, index, expect, now) {
    this.#phase = "seeking";
    this.#marks = this.#marks.filter((m) => m.at <= target);
    const { at, crc } = this.#marks.at(-1) ?? { at: 0, crc: 0 };
    this.sent = this.#readAt = at;
    this.#crc = crc;
    this.#target = target;
    this.#index = index;
    this.#expect = expect;
    this.#reading = false;
    this.#blocks = [];
    this.#dirty = true;
    if (!(target <= this.size)) this.#again(now, { code: "file_changed" }, true);
    else if (at === target) this.#arrived(now);
  }

  /** Splices only what the server has too (PROTOCOL RESUME-6). */
  #arrived(now) {
    if (this.#phase === "seeking" && this.#expect && this.#expect !== crcHex(this.#crc)) {
      this.#tellCancel();
      this.#again(now, { code: "file_changed" }, true);
    } else if (this.#receipt) {
      this.sent = this.received = this.durable = this.size;
      this.#end(this.#receipt);
    } else {
      this.#phase = "sending";
      this.status = "uploading";
      this.#dirty = true;
    }
  }

  #detach() {
    this.#phase = "offline";
    this.#dirty = true;
    if (!this.#cancelled) this.status = "resuming";
  }

  /** Resumes, or starts over at byte 0, in a while. */
  #again(now, m, fresh = false, sameRef = false) {
    const tries = fresh ? ++this.#restarts : ++this.#tries;
    if (tries > (fresh ? RESTARTS_MAX : TRIES_MAX)) return this.#end({ retry: "restart", ...m, status: "error" });
    if (m.retry === "later") this.#out.push({ type: "trouble", trouble: m });
    if (fresh) {
      const previous = this.ref;
      if (!sameRef) this.ref = this.options.newRef();
      this.#out.push({ type: "restart", previous });
      this.#known = false;
      this.resumable = !!this.options.resumable;
      this.#receipt = undefined;
      this.#marks = [];
      this.#markEvery = MARK_BYTES;
      this.sent = this.received = this.durable = 0;
    }
    this.#blocks = [];
    this.#detach();
    this.#phase = "waiting";
    this.#wakeAt = now + Math.min(DELAY_MAX_MS, m.retry_after_ms ?? (tries > 1 || m.retry === "later" ? DELAY_MS * 2 ** tries : 0));
    this.handleTimeout(now);
  }

  #end(ending) {
    this.status = ending.status;
    this.#phase = "done";
    this.#blocks = [];
    this.#dirty = true;
    this.#out.push({ type: "done", ending });
  }
}
