// @ts-check
/** Rows and tiles of uploads. Each upload knows its own, so that a change looks for nothing in the page. */
import { explain } from "./explain.js";
import { keep, shownIn } from "./shown.js";
import { stateText } from "./states.js";
import { Thumbnails } from "./thumbnails.js";

/** @typedef {import("./index.d.ts").Uploads} Uploads */
/** @typedef {import("./index.d.ts").Upload} Upload */
/** @typedef {import("./index.d.ts").ResumeRecord} ResumeRecord */
/**
 * What is shown of one upload in one box.
 *
 * @typedef {object} View
 * @property {HTMLElement} element
 * @property {boolean} isRow and not a tile
 * @property {string} shown the ref it carries
 * @property {Map<string, HTMLElement>} parts by class
 */

const ROWS_PER_FRAME = 24;
const PARTS = ["upload-progress-track", "upload-progress-bar", "upload-progress-text", "upload-state", "upload-pause", "upload-retry", "upload-cancel"];

/**
 * @param {string} tag
 * @param {string} className
 * @param {string} [text]
 * @param {Record<string, string>} [attributes]
 */
function make(tag, className, text = "", attributes = {}) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** @param {string} name @param {string} size */
const labels = (name, size) => [make("span", "upload-name", name, { title: name }), make("span", "upload-size", size)];

/** @param {HTMLElement} element @param {boolean} isRow @param {string} ref @returns {View} */
function viewOf(element, isRow, ref) {
  const parts = new Map();
  for (const name of PARTS) {
    const part = element.querySelector(`.${name}`);
    if (part) parts.set(name, part);
  }
  return { element, isRow, shown: ref, parts };
}

/** Moves the focus from an element that goes to the nearest button that stays. @param {Element} going */
function keepFocus(going) {
  if (!going.contains(document.activeElement)) return;
  const stays = "button:not([hidden])";
  const row = going.closest(".upload-row");
  const within = row !== going && [...(row?.querySelectorAll(stays) ?? [])].find((button) => button !== going);
  const near = within || row?.nextElementSibling?.querySelector(stays) || row?.previousElementSibling?.querySelector(stays);
  const box = /** @type {HTMLElement | null | undefined} */ (going.closest("[dj-upload-progress]"));
  if (near) {
    /** @type {HTMLElement} */ (near).focus();
  } else if (box) {
    box.tabIndex = -1;
    box.focus();
  }
}

export class Rows {
  /** Boxes by slot; whether they hold rows. @type {Map<string, Map<Element, boolean>>} */
  #boxes = new Map();
  /** @type {WeakMap<Upload, Map<Element, View>>} */
  #views = new WeakMap();
  /** Offers of an earlier page, by ref. @type {Map<string, Set<Element>>} */
  #offers = new Map();
  /** @type {Set<Upload>} */
  #changed = new Set();
  #thumbnails = new Thumbnails();

  /** @param {Uploads} uploads */
  constructor(uploads) {
    this.uploads = uploads;
    this.end = uploads.on("error", explain);
  }

  /** @param {string} key @param {import("./index.d.ts").TextValues} [values] */
  #text(key, values) {
    return this.uploads.words.text(key, values);
  }

  /** @param {Upload} upload */
  change(upload) {
    this.#changed.add(upload);
    keep(this.uploads, upload);
    for (const row of this.#offers.get(upload.ref) ?? []) row.remove();
    this.#offers.delete(upload.ref);
  }

  /** Draws what changed, some rows a frame; true if there is more. */
  draw() {
    let left = ROWS_PER_FRAME;
    for (const upload of this.#changed) {
      if (!left--) return true;
      this.#changed.delete(upload);
      const views = this.#viewsOf(upload);
      for (const view of views.values()) this.#update(view, upload);
    }
    return false;
  }

  /** The upload's rows and tiles; those that are missing are made. @param {Upload} upload */
  #viewsOf(upload) {
    const views = this.#views.get(upload) ?? new Map();
    this.#views.set(upload, views);
    for (const [box, isRow] of this.#boxes.get(upload.slot) ?? []) {
      if (views.has(box)) continue;
      const element = isRow ? this.#progressRow(upload, box) : this.#previewTile(upload);
      views.set(box, viewOf(element, isRow, upload.ref));
      box.append(element);
    }
    return views;
  }

  /** @param {Element} box @param {string} slot @param {boolean} isRows */
  fill(box, slot, isRows) {
    const boxes = this.#boxes.get(slot) ?? new Map();
    this.#boxes.set(slot, boxes.set(box, isRows));
    for (const upload of shownIn(this.uploads, slot)) this.#changed.add(upload);
    if (isRows) void this.#offer(box, slot);
    if (isRows) void this.uploads.earlier(slot).catch(() => {}); // there is an error event
  }

  /** The box is gone, or another slot's. @param {Element} box */
  empty(box) {
    for (const row of [...box.querySelectorAll("[data-upload-ref]")]) row.remove();
    for (const [slot, boxes] of this.#boxes) {
      if (!boxes.delete(box)) continue;
      for (const upload of shownIn(this.uploads, slot)) this.#views.get(upload)?.delete(box);
    }
  }

  /** @param {Upload} upload */
  remove(upload) {
    this.#changed.delete(upload);
    for (const { element } of this.#views.get(upload)?.values() ?? []) {
      keepFocus(element);
      element.remove();
    }
    this.#views.delete(upload);
  }

  close() {
    this.end();
    for (const boxes of [...this.#boxes.values()]) for (const box of [...boxes.keys()]) this.empty(box);
    this.#thumbnails.close();
  }

  /** @param {View} view @param {Upload} upload */
  #update(view, upload) {
    const { element, isRow, parts } = view;
    const { status, progress, mode, paused } = upload.progress;
    const failed = status === "error" || status === "cancelled";
    if (view.shown !== upload.ref) element.dataset.uploadRef = view.shown = upload.ref;
    element.dataset.status = paused ? "paused" : status;
    element.style.setProperty("--upload-progress", `${progress}%`);
    const state = stateText(this.uploads, upload);
    if (!isRow) {
      if (status === "cancelled") element.remove();
      this.#write(view, "upload-state", failed ? state : "");
      return;
    }
    const bar = parts.get("upload-progress-bar");
    bar?.style.setProperty("width", `${progress}%`);
    bar?.setAttribute("aria-valuenow", String(progress));
    bar?.setAttribute("aria-valuetext", `${progress}%, ${state}`);
    const track = parts.get("upload-progress-track");
    if (track) track.hidden = failed;
    this.#write(view, "upload-progress-text", `${progress}%`, failed);
    this.#write(view, "upload-state", state);
    this.#write(view, "upload-pause", this.#text(paused ? "resume" : "pause"), upload.ended || mode === "presigned");
    this.#write(view, "upload-retry", this.#text("retry"), status !== "error" || upload.error?.retry === "never");
    this.#write(view, "upload-cancel", this.#text(!upload.ended ? "cancel" : upload.taken ? "hide" : "remove"));
  }

  /** @param {View} view @param {string} part @param {string} text @param {boolean} [hidden] */
  #write({ parts }, part, text, hidden = false) {
    const element = parts.get(part);
    if (!element) return;
    if (element.hidden !== hidden) {
      if (hidden) keepFocus(element);
      element.hidden = hidden;
    }
    // A button of the page's own may have a picture instead of words.
    const hasPicture = !!element.firstElementChild;
    if (hasPicture ? element.dataset.is === text : element.textContent === text) return;
    if (hasPicture) element.dataset.is = text;
    else element.textContent = text;
    if (element.title) element.setAttribute("aria-label", `${text} ${element.title}`);
  }

  /**
   * @param {Element} box
   * @param {{ ref: string, name: string, size: number }} file
   * @param {HTMLElement[]} middle
   * @param {Record<string, () => void>} buttons
   */
  #row(box, { ref, name, size }, middle, buttons) {
    const own = /** @type {HTMLTemplateElement | null} */ (box.querySelector(":scope > template"))?.content.firstElementChild;
    if (own) return this.#ownRow(own, { ref, name, size }, buttons);
    const row = make(/^[UO]L$/.test(box.tagName) ? "li" : "div", "upload-row", "", { "data-upload-ref": ref });
    const actions = make("span", "upload-actions");
    for (const [className, act] of Object.entries(buttons)) {
      const button = make("button", className, "", { type: "button", title: name });
      button.onclick = act;
      actions.append(button);
    }
    row.append(...labels(name, this.uploads.words.size(size)), ...middle, make("span", "upload-state"), actions);
    return row;
  }

  /**
   * A row as the page has it in a `<template>`: what it has of the classes of a row is filled in.
   *
   * @param {Element} own
   * @param {{ ref: string, name: string, size: number }} file
   * @param {Record<string, () => void>} buttons
   */
  #ownRow(own, { ref, name, size }, buttons) {
    const row = /** @type {HTMLElement} */ (own.cloneNode(true));
    row.classList.add("upload-row");
    row.dataset.uploadRef = ref;
    const part = (/** @type {string} */ className) => /** @type {HTMLElement | null} */ (row.querySelector(`.${className}`));
    for (const [className, text] of [["upload-name", name], ["upload-size", this.uploads.words.size(size)]]) part(className)?.append(text);
    const bar = part("upload-progress-bar");
    for (const [key, value] of Object.entries({ role: "progressbar", "aria-label": name, "aria-valuemin": "0", "aria-valuemax": "100" })) bar?.setAttribute(key, value);
    for (const [className, act] of Object.entries(buttons)) {
      const button = part(className);
      if (button) Object.assign(button, { onclick: act, title: name });
    }
    return row;
  }

  /** @param {Upload} upload @param {Element} box */
  #progressRow(upload, box) {
    const name = upload.relativePath ?? upload.name;
    const track = make("div", "upload-progress-track");
    track.append(make("div", "upload-progress-bar", "", { role: "progressbar", "aria-label": name, "aria-valuemin": "0", "aria-valuemax": "100" }));
    return this.#row(box, { ref: upload.ref, name, size: upload.file.size }, [track, make("span", "upload-progress-text")], {
      "upload-pause": () => (upload.paused ? upload.resume() : upload.pause()),
      "upload-retry": () => upload.retry(),
      "upload-cancel": () => (upload.ended ? upload.remove() : upload.cancel()),
    });
  }

  /** @param {Upload} upload */
  #previewTile({ ref, name, file }) {
    const tile = make("figure", "upload-preview", "", { "data-upload-ref": ref });
    if (file instanceof Blob && file.type.startsWith("image/")) {
      const image = /** @type {HTMLImageElement} */ (make("img", "", "", { alt: "" }));
      this.#thumbnails.show(image, file);
      tile.append(image);
    }
    const caption = make("figcaption", "");
    caption.append(...labels(name, this.uploads.words.size(file.size)), make("span", "upload-state"));
    tile.append(caption);
    return tile;
  }

  /** Offers what an earlier page left unfinished. @param {Element} box @param {string} slot */
  async #offer(box, slot) {
    for (const record of await this.uploads.pending(slot)) {
      const { ref, handle } = record;
      const forget = () => {
        void this.uploads.forget(ref);
        keepFocus(row);
        row.remove();
      };
      const restore = () => void this.uploads.restore(record).catch(() => say("file_unreadable"));
      const row = this.#row(box, record, [], { ...(handle && { "upload-resume": restore }), "upload-cancel": forget });
      const say = (/** @type {string} */ text) => {
        const state = row.querySelector(".upload-state");
        if (state) state.textContent = this.#text(text);
      };
      row.classList.add("upload-pending");
      row.querySelector(".upload-state")?.setAttribute("role", "status");
      for (const [part, text] of [["upload-state", handle ? "unfinished" : "pick again"], ["upload-resume", "continue"], ["upload-cancel", "forget"]]) {
        const element = /** @type {HTMLElement | null} */ (row.querySelector(`.${part}`));
        if (!element) continue;
        element.textContent = this.#text(text);
        if (element.title) element.setAttribute("aria-label", `${element.textContent} ${element.title}`);
      }
      this.#offers.set(ref, (this.#offers.get(ref) ?? new Set()).add(row));
      box.append(row);
    }
  }
}
