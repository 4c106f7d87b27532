// @ts-check
/** What is said once instead of in each row: the reasons of many failures, and files that could not be added. */
import { el } from "./dom.js";

/** @typedef {import("../index.d.ts").Uploads} Uploads */

/** Fewer failures of one kind speak for themselves, each in its row. */
const MANY = 4;
const REASONS_MAX = 4;

export class Notices {
  /** @type {Map<string, string>} */
  #said = new Map();

  /** @param {Uploads} uploads @param {string} slot */
  constructor(uploads, slot) {
    this.uploads = uploads;
    this.slot = slot;
    this.element = el("p", { part: "notice", hidden: "" });
  }

  /** @param {string} key @param {string} text */
  say(key, text) {
    this.#said.set(key, text);
    this.draw();
  }

  clear() {
    this.#said.clear();
    this.draw();
  }

  /** Counts the files of a slot that failed, by their reasons in the language that the page has now. */
  draw() {
    /** @type {Map<string, number>} */
    const counts = new Map();
    for (const { slot, error } of this.uploads.failed) if (slot === this.slot && error) counts.set(error.message, (counts.get(error.message) ?? 0) + 1);
    const many = [...counts].filter(([, count]) => count >= MANY).slice(0, REASONS_MAX);
    const lines = [...this.#said.values(), ...many.map(([error, count]) => this.uploads.words.text("several failed", { count, error }))];
    const text = lines.join("\n");
    this.element.hidden = !text;
    if (this.element.textContent !== text) this.element.textContent = text;
  }
}
