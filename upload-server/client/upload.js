// @ts-check
/** One file on its way, as applications see it, and why it failed. What each name is for stands in index.d.ts. */

const TEXT = {
  too_large: "File too large",
  active_content: "This kind of file is not allowed",
  locked: "Already uploading in another tab",
};

// `randomUUID` is missing where a page comes over plain HTTP.
export const uuid = () => "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx".replace(/x/g, () => (crypto.getRandomValues(new Uint8Array(1))[0] & 15).toString(16));

export class UploadError extends Error {
  constructor({ code = "storage_failed", error = "", retry = "never" }) {
    super(error || TEXT[code] || code[0].toUpperCase() + code.slice(1).replaceAll("_", " "));
    this.code = code;
    this.retry = /** @type {any} */ (retry);
  }
}

export class Upload {
  #owner;
  #tick;
  #next;
  done = /** @type {any} */ (0);
  paused = false;
  told = "";
  savedAt = 0;
  sentDirect = 0;
  ref = uuid();

  constructor(owner, picked, slot) {
    this.#owner = owner;
    this.slot = slot;
    Object.assign(this, picked);
    this.file = picked.file;
    this.relativePath = picked.relativePath || this.file.webkitRelativePath || undefined;
    this.renew();
  }

  renew() {
    this.sender = this.ending = undefined;
    this.ready = this.started = false;
    this.abort = new AbortController();
    this.done = new Promise((done, fail) => (this.settle = () => (this.error ? fail(this.error) : done(this.ending))));
    this.done.catch(() => {});
    this.tick();
  }

  tick() {
    this.#tick?.();
    this.#next = new Promise((done) => (this.#tick = done));
  }

  get status() {
    if (this.ending) return this.ending.status;
    if (this.sender) return this.sender.status;
    return this.started ? "uploading" : "queued";
  }
  get ended() {
    return !!this.ending;
  }
  get result() {
    return this.ending?.result;
  }
  get error() {
    return this.ending && this.status !== "complete" ? new UploadError(this.ending) : null;
  }

  /** @returns {import("./index.d.ts").Progress} */
  get progress() {
    const { ref, slot, status, paused, sentDirect: sent } = this;
    const { name, size } = this.file;
    const done = status === "complete";
    const s = this.sender ?? { sent, received: sent, durable: done ? size : 0, bytesPerSecond: 0, phase: done ? "done" : "sending" };
    return {
      ref, name, size, status, paused,
      uploadName: slot,
      mode: this.sender || !this.started ? "socket" : "presigned",
      phase: s.phase,
      progress: done ? 100 : Math.min(99, Math.floor((s.received / size) * 100) || 0),
      sent: s.sent,
      stored: s.durable,
      bytesPerSecond: s.bytesPerSecond,
      secondsLeft: s.bytesPerSecond ? Math.ceil((size - s.received) / s.bytesPerSecond) : null,
    };
  }

  async *[Symbol.asyncIterator]() {
    for (;;) {
      const next = this.#next;
      yield this.progress;
      if (this.ended) return;
      await next;
    }
  }

  pause() {
    this.#owner.pause(this.ref);
  }
  resume() {
    this.#owner.resume(this.ref);
  }
  cancel() {
    this.#owner.cancel(this.ref);
  }
  retry() {
    this.#owner.retry(this);
  }
}
