// @ts-check
/** A row that the page renders: it is a child of the widget, so that the page's own styles reach it. */
import { el } from "./dom.js";

/** @typedef {import("../index.d.ts").Upload} Upload */
/** @typedef {import("../dropzone.d.ts").RenderRow} RenderRow */

let count = 0;

export class RenderedRow {
  /**
   * @param {HTMLElement} host
   * @param {RenderRow} render
   * @param {Upload} upload
   * @param {HTMLElement} shown what it rendered first
   */
  constructor(host, render, upload, shown) {
    this.host = host;
    this.render = render;
    this.upload = upload;
    this.slot = `upload-row-${++count}`;
    this.element = el("div", { part: "rendered", role: "listitem" }, el("slot", { name: this.slot }));
    /** @type {HTMLElement | undefined} */
    this.shown = undefined;
    this.#place(shown);
  }

  /** @param {HTMLElement} shown */
  #place(shown) {
    if (shown === this.shown) return;
    shown.slot = this.slot;
    if (this.shown) this.shown.replaceWith(shown);
    else this.host.append(shown);
    this.shown = shown;
  }

  draw() {
    const { upload, shown = null } = this;
    this.element.dataset.status = upload.status;
    this.#place(this.render(upload, shown) ?? /** @type {HTMLElement} */ (shown));
  }

  get hasFocus() {
    return !!this.shown?.contains(document.activeElement);
  }

  close() {
    this.shown?.remove();
    this.element.remove();
  }

  /** Gives the focus to the first thing in it that takes it. */
  focus() {
    /** @type {HTMLElement | null | undefined} */
    const first = this.shown?.querySelector("button, a[href], [tabindex]");
    (first ?? this.shown)?.focus();
  }
}
