// @ts-check
/** What is said once instead of in each row: the reasons of many failures, and files that could not be added. */
import { explain } from "../explain.js";
import { el } from "./dom.js";

/** @typedef {import("../index.d.ts").Uploads} Uploads */
/** @typedef {import("../index.d.ts").Upload} Upload */

/** Fewer failures of one kind speak for themselves, each in its row. */
const MANY = 4;
const REASONS_MAX = 4;

export class Notices {
  /** By reason, with one of those that failed. @type {Map<string, { count: number, upload: Upload }>} */
  #counts = new Map();
  /** @type {Map<string, string>} */
  #said = new Map();

  /** @param {Uploads} uploads */
  constructor(uploads) {
    this.uploads = uploads;
    this.element = el("p", { part: "notice", hidden: "" });
  }

  /** @param {import("../index.d.ts").Trouble} trouble */
  count(trouble) {
    const { upload, error, code } = trouble;
    explain(trouble);
    if (!upload) return this.say(code, error);
    this.#counts.set(error, { upload, count: (this.#counts.get(error)?.count ?? 0) + 1 });
    this.draw();
  }

  /** @param {string} key @param {string} text */
  say(key, text) {
    this.#said.set(key, text);
    this.draw();
  }

  clear() {
    this.#counts.clear();
    this.#said.clear();
    this.draw();
  }

  /** Says it in the language that the page has now. */
  draw() {
    const { words } = this.uploads;
    const many = [...this.#counts].filter(([, { count }]) => count >= MANY).slice(0, REASONS_MAX);
    const lines = [...this.#said.values(), ...many.map(([error, { count, upload }]) => words.text("several failed", { count, error: upload.error?.message ?? error }))];
    const text = lines.join("\n");
    this.element.hidden = !text;
    if (this.element.textContent !== text) this.element.textContent = text;
  }
}
