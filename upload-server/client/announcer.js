// @ts-check
/** What became of uploads, said to screen readers: together, failures first, and not faster than can be listened to. */

/** @typedef {import("./index.d.ts").Uploads} Uploads */

const WAIT_MS = 1000;
const FAILURES_MAX = 5;
/** Seen by no one, and read out. @type {Partial<CSSStyleDeclaration>} */
const UNSEEN = { position: "absolute", width: "1px", height: "1px", overflow: "hidden", clipPath: "inset(50%)", whiteSpace: "nowrap" };

export class Announcer {
  /** @type {string[]} */
  #failures = [];
  /** @type {string[]} */
  #stored = [];
  #leftOut = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {HTMLElement | undefined} */
  #region;

  /** @param {Uploads} uploads */
  constructor(uploads) {
    this.uploads = uploads;
    this.ends = [
      uploads.on("progress", (upload) => {
        if (upload.status === "complete") this.#soon(() => this.#stored.push(upload.name));
      }),
      uploads.on("error", ({ upload, error }) => {
        const text = upload ? uploads.words.text("failed", { name: upload.name, error }) : error;
        this.#soon(() => this.#failures.push(text));
      }),
      uploads.on("intake", ({ companions }) => {
        if (companions) this.#soon(() => (this.#leftOut += companions));
      }),
    ];
  }

  /** @param {() => void} note */
  #soon(note) {
    note();
    this.#timer ??= setTimeout(() => this.#say(), WAIT_MS);
  }

  #say() {
    this.#timer = undefined;
    const { words } = this.uploads;
    const lines = this.#failures.slice(0, FAILURES_MAX);
    if (this.#stored.length) lines.push(words.text("uploaded", { count: this.#stored.length, name: this.#stored[0] }));
    if (this.#leftOut) lines.push(words.text("left out", { count: this.#leftOut }));
    this.#failures = [];
    this.#stored = [];
    this.#leftOut = 0;
    this.#place().textContent = lines.join(". ");
  }

  #place() {
    if (!this.#region?.isConnected) {
      const region = document.createElement("div");
      region.className = "upload-announcer";
      region.setAttribute("role", "status");
      Object.assign(region.style, UNSEEN);
      document.body.append(region);
      this.#region = region;
    }
    return this.#region;
  }

  close() {
    clearTimeout(this.#timer);
    this.#region?.remove();
    for (const end of this.ends) end();
  }
}
