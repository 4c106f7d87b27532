// @ts-check
/** One file of the widget's list: made when it is about to be seen, and drawn when it changed. */
import { stateText } from "../states.js";
import { button, el, focusedIn, write } from "./dom.js";
import { familyOf, icon, pageIcon } from "./icons.js";

/** @typedef {import("../index.d.ts").Uploads} Uploads */
/** @typedef {import("../index.d.ts").Upload} Upload */

/** Addresses that a link may have. */
const LINKS = /^https?:$/;

/** Where the server offers the stored file, if it does. @param {Upload} upload */
function addressOf({ result }) {
  if (typeof result?.url !== "string") return undefined;
  const { href, protocol } = new URL(result.url, location.href);
  return LINKS.test(protocol) ? href : undefined;
}

export class Row {
  /**
   * @param {Uploads} uploads
   * @param {Upload} upload
   * @param {import("../thumbnails.js").Thumbnails} thumbnails
   */
  constructor(uploads, upload, thumbnails) {
    this.uploads = uploads;
    this.upload = upload;
    const { name, file } = upload;
    this.picture = el("span", { part: "thumbnail", "data-family": familyOf({ name, type: file.type }) }, pageIcon(name));
    if (file instanceof Blob && file.type.startsWith("image/")) {
      const image = el("img", { alt: "" });
      this.picture.prepend(image);
      thumbnails.show(image, file);
    }
    const shown = upload.relativePath ?? name;
    this.label = el("span", { part: "name", title: shown }, shown);
    this.size = el("span", { part: "size" });
    this.state = el("span", { part: "state" });
    this.bar = el("span", { part: "bar" });
    this.track = el("span", { part: "track", role: "progressbar", "aria-label": shown, "aria-valuemin": "0", "aria-valuemax": "100" }, this.bar);
    this.pause = button("action pause", () => (upload.paused ? upload.resume() : upload.pause()), icon("pause"), icon("resume"));
    this.retry = button("action retry", () => upload.retry(), icon("retry"));
    this.remove = button("action remove", () => (upload.ended ? upload.remove() : upload.cancel()), icon("remove"));
    this.element = el(
      "div",
      { part: "row", role: "listitem" },
      this.picture,
      el("span", { part: "words" }, this.label, el("span", { part: "meta" }, this.size, this.state)),
      this.track,
      el("span", { part: "actions" }, this.pause, this.retry, this.remove),
    );
    this.draw();
  }

  draw() {
    const { upload, uploads } = this;
    const { words } = uploads;
    const { status, progress, paused, mode } = upload.progress;
    const { ended, taken, removing } = upload;
    const failed = status === "error" || status === "cancelled";
    const state = stateText(uploads, upload);
    const shown = paused ? "paused" : removing ? "removing" : status;
    this.element.dataset.status = shown;
    this.element.dataset.ref = upload.ref;
    // Parts can be told apart by state from outside: `::part(row error)`.
    this.element.setAttribute("part", `row ${shown}`);
    this.element.style.setProperty("--upload-progress", `${progress}%`);
    this.track.setAttribute("aria-valuenow", String(progress));
    this.track.setAttribute("aria-valuetext", `${words.number(progress)}%, ${state}`);
    this.track.hidden = failed || (ended && !removing);
    write(this.size, words.size(upload.file.size));
    write(this.state, state);
    this.#button(this.pause, paused ? "resume" : "pause", ended || mode === "presigned");
    this.pause.dataset.is = paused ? "resume" : "pause";
    this.#button(this.retry, "retry", status !== "error" || upload.error?.retry === "never");
    // Not hidden while it waits: the focus would be lost.
    this.#button(this.remove, !ended ? "cancel" : taken || failed ? "hide" : "remove", false);
    this.remove.ariaDisabled = removing ? "true" : null;
    this.#link(ended && !failed ? addressOf(upload) : undefined);
  }

  /** @param {HTMLButtonElement} element @param {string} text @param {boolean} hidden */
  #button(element, text, hidden) {
    const label = `${this.uploads.words.text(text)} ${this.upload.name}`;
    if (element.ariaLabel !== label) element.title = element.ariaLabel = label;
    if (element.hidden === hidden) return;
    const hadFocus = hidden && focusedIn(element) === element;
    element.hidden = hidden;
    if (hadFocus) this.focus();
  }

  /** @param {string | undefined} href */
  #link(href) {
    const link = this.label.querySelector("a");
    if (!href === !link) return;
    if (href) this.label.replaceChildren(el("a", { part: "link", href, target: "_blank", rel: "noopener" }, this.label.textContent));
  }

  get hasFocus() {
    return this.element.contains(focusedIn(this.element));
  }

  close() {
    this.element.remove();
  }

  /** Gives the focus to the first button that there is. */
  focus() {
    /** @type {HTMLButtonElement | undefined} */
    const first = [this.pause, this.retry, this.remove].find((one) => !one.hidden);
    first?.focus();
  }
}
