// @ts-check
/** What an earlier page left unfinished, offered for continuing. */
import { button, el, write } from "./dom.js";
import { pageIcon } from "./icons.js";

/** @typedef {import("../index.d.ts").Uploads} Uploads */
/** @typedef {import("../index.d.ts").ResumeRecord} ResumeRecord */

export class Offers {
  /** By ref. @type {Map<string, HTMLElement>} */
  #rows = new Map();

  /** @param {Uploads} uploads @param {() => void} leave gives the focus another place */
  constructor(uploads, leave) {
    this.uploads = uploads;
    this.leave = leave;
    this.element = el("div", { part: "list", role: "list" });
  }

  /** @param {string} slot */
  async fill(slot) {
    for (const record of await this.uploads.pending(slot)) {
      if (this.#rows.has(record.ref)) continue;
      const row = this.#row(record);
      this.#rows.set(record.ref, row);
      this.element.append(row);
    }
  }

  /** An upload of this page continues it. @param {string} ref */
  taken(ref) {
    this.#rows.get(ref)?.remove();
    this.#rows.delete(ref);
  }

  /** @param {ResumeRecord} record */
  #row(record) {
    const { ref, name, size, handle } = record;
    const { words } = this.uploads;
    const state = el("span", { part: "state", role: "status" }, words.text(handle ? "unfinished" : "pick again"));
    const restore = () => void this.uploads.restore(record).catch(() => write(state, this.uploads.words.text("file_unreadable")));
    const forget = () => {
      void this.uploads.forget(ref);
      this.taken(ref);
      this.leave();
    };
    const actions = el("span", { part: "actions" });
    if (handle) actions.append(this.#button("continue", name, restore));
    actions.append(this.#button("forget", name, forget));
    return el(
      "div",
      { part: "row offer", role: "listitem", "data-status": "unfinished" },
      el("span", { part: "thumbnail" }, pageIcon(name)),
      el("span", { part: "words" }, el("span", { part: "name", title: name }, name), el("span", { part: "meta" }, el("span", {}, words.size(size)), state)),
      actions,
    );
  }

  /** @param {string} key @param {string} name @param {() => void} act */
  #button(key, name, act) {
    const text = this.uploads.words.text(key);
    const made = button("plain", act, text);
    made.ariaLabel = `${text} ${name}`;
    return made;
  }
}
