// @ts-check
/** One upload as its page drives it: the machine that sends it, the file it reads, and what is shown of it. */
import { fileHint } from "./intake.js";
import { Upload, UploadError, uuid } from "./upload.js";

/** @typedef {import("./index.d.ts").Picked} Picked */
/** @typedef {import("./index.d.ts").Progress} Progress */
/** @typedef {import("./index.d.ts").Ending} Ending */
/** @typedef {import("./index.d.ts").Status} Status */

/** Files of this size take a whole place of those that are sent at once. */
const WHOLE_BYTES = 1 << 20;
const SHARE_MIN = 1 / 4;

export class Transfer {
  /**
   * `new` until the slot's rules are known, `held` until it is started by hand, `ready` until there is a place.
   *
   * @type {"new" | "held" | "ready" | "running" | "ended"}
   */
  stage = "new";
  ref = uuid();
  paused = false;
  /** Started by hand before the slot's rules were known. */
  released = false;
  /** An earlier page left a record of it. */
  resuming = false;
  /** When its record was saved last. */
  savedAt = 0;
  /** The page's hook has changed it, or left it as it is. */
  altered = false;
  /** How often it was tried again after a failure. */
  tries = 0;
  /** It goes straight to a bucket. */
  direct = false;
  /** Bytes that went there. */
  sentDirect = 0;
  /** It is being removed at the server. */
  removing = false;
  /** Complete, and no longer the page's: the application has it. */
  taken = false;
  /** The status that was reported last. @type {Status | undefined} */
  reported;
  /** @type {import("./sender.js").Sender | undefined} */
  sender;
  /** @type {import("./source.js").Source | undefined} */
  source;
  /** @type {Ending | undefined} */
  ending;
  /** @type {UploadError | null} */
  error = null;
  /** When the sender's timer fires, and the timer. */
  dueAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  timer;
  /** @type {Progress | undefined} */
  #last;
  /** @type {() => void} */
  #tick = () => {};
  /** @type {(value: any) => void} */
  #succeed = () => {};
  /** @type {(error: UploadError) => void} */
  #fail = () => {};

  /**
   * @param {import("./lifecycle.js").Lifecycle} driver
   * @param {Picked} picked
   * @param {string} slot
   */
  constructor(driver, picked, slot) {
    this.driver = driver;
    this.slot = slot;
    this.file = /** @type {File} */ (picked.file);
    this.name = String(picked.name ?? this.file.name ?? "");
    this.relativePath = picked.relativePath || this.file.webkitRelativePath || undefined;
    this.handle = picked.handle;
    /** Of the file as it was picked, by which it is known again. */
    this.hint = fileHint(this.file);
    this.spec = picked.spec;
    this.meta = picked.meta;
    /** Of this attempt. */
    this.abort = new AbortController();
    this.next = this.#nextTick();
    this.done = this.#promise();
    this.upload = new Upload(this);
  }

  /** Becomes another file, or the same by another name. @param {Partial<Picked>} picked */
  alter({ file, name, relativePath, meta }) {
    if (file) this.file = this.upload.file = /** @type {File} */ (file);
    if (file && "name" in file) this.name = this.upload.name = String(file.name);
    if (name !== undefined) this.name = this.upload.name = name;
    if (relativePath !== undefined) this.relativePath = this.upload.relativePath = relativePath;
    if (meta !== undefined) this.meta = meta;
  }

  #nextTick() {
    return new Promise((done) => (this.#tick = () => done(undefined)));
  }

  /** @returns {Promise<Ending>} */
  #promise() {
    const done = new Promise((succeed, fail) => {
      this.#succeed = succeed;
      this.#fail = fail;
    });
    done.catch(() => {});
    return done;
  }

  /** Begins anew after an ending. */
  renew() {
    this.stage = "new";
    this.ending = this.sender = this.#last = this.reported = undefined;
    this.error = null;
    this.released = this.paused = this.resuming = this.direct = false;
    this.sentDirect = 0;
    this.abort = new AbortController();
    this.done = this.#promise();
    this.tick();
  }

  /** Lets those who wait for progress continue. */
  tick() {
    const tick = this.#tick;
    this.next = this.#nextTick();
    tick();
  }

  /** Ends it, and settles `done`: from here on it is a small record. @param {Ending} ending */
  end(ending) {
    this.stage = "ended";
    this.ending = ending;
    if (ending.status === "complete") {
      this.#succeed(ending);
    } else {
      this.abort.abort();
      this.#fail((this.error = new UploadError(ending)));
    }
    this.#last = Object.freeze(this.#measure());
    this.source = undefined;
    if (this.sender?.finished) this.release();
  }

  /** The machine has nothing more to say. */
  release() {
    clearTimeout(this.timer);
    this.timer = this.sender = undefined;
  }

  get ended() {
    return this.stage === "ended";
  }

  /** Its part of the connection: a small file, and one that waits for the server alone, leave the most of it to others. */
  get share() {
    const { sender } = this;
    if (!sender) return 1;
    if (!sender.active) return 0;
    const { size } = this.file;
    return sender.sent < size ? Math.min(1, Math.max(SHARE_MIN, size / WHOLE_BYTES)) : SHARE_MIN;
  }

  /** @returns {Status} */
  get status() {
    if (this.ending) return this.ending.status;
    if (this.sender) return this.sender.status;
    return this.stage === "running" ? "uploading" : "queued";
  }

  get progress() {
    return this.#last ?? this.#measure();
  }

  /** @returns {Progress} */
  #measure() {
    const { ref, name, slot, status, sender } = this;
    const { size } = this.file;
    const complete = status === "complete";
    const received = complete ? size : sender?.received ?? this.sentDirect;
    const bytesPerSecond = this.ending || this.paused ? 0 : sender?.bytesPerSecond ?? 0;
    return {
      ref, name, size, status, bytesPerSecond,
      uploadName: slot,
      paused: this.paused && !this.ending,
      mode: this.direct ? "presigned" : "socket",
      phase: complete ? "done" : sender?.phase ?? "sending",
      progress: complete ? 100 : Math.min(99, Math.floor((received / size) * 100) || 0),
      sent: complete ? size : sender?.sent ?? this.sentDirect,
      received,
      stored: complete ? size : sender?.durable ?? 0,
      secondsLeft: bytesPerSecond ? Math.ceil((size - received) / bytesPerSecond) : null,
    };
  }

  /** Resolves when it has ended, or waits for its user. */
  async settledOrPaused() {
    while (!this.ended && !this.paused) await this.next;
  }
}
