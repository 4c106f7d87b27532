// @ts-check
/**
 * The widget's rows, in blocks: only blocks that are seen, or about to be, have rows in the page.
 *
 * A block that is out of sight keeps its height, so that nothing moves when it comes back.
 */
import { el } from "./dom.js";
import { Thumbnails } from "../thumbnails.js";
import { RenderedRow } from "./rendered.js";
import { Row } from "./row.js";

/** @typedef {import("../index.d.ts").Uploads} Uploads */
/** @typedef {import("../index.d.ts").Upload} Upload */
/** @typedef {{ element: HTMLElement, uploads: Set<Upload>, rows: Map<Upload, Row | RenderedRow>, shown: boolean }} Block */

/** Fills two to six columns without a gap. */
const BLOCK_ROWS = 60;
/** As many blocks are always there: some hundred rows cost little. */
const BLOCKS_KEPT = 3;
const ROWS_PER_FRAME = 24;
const MARGIN = "600px 0px";

export class List {
  /** @type {Block[]} */
  #blocks = [];
  /** @type {Map<Upload, Block>} */
  #places = new Map();
  /** @type {Set<Upload>} */
  #changed = new Set();
  #thumbnails = new Thumbnails();
  /** There are blocks whose height was not estimated. */
  #grown = false;
  #observer = new IntersectionObserver((entries) => this.#seen(entries), /** @type {any} */ ({ rootMargin: MARGIN, scrollMargin: MARGIN }));

  /** @param {Uploads} uploads @param {import("../dropzone.d.ts").UploadDropzone} host may render rows itself */
  constructor(uploads, host) {
    this.uploads = uploads;
    this.host = host;
    this.element = el("div", { part: "list", role: "list" });
  }

  get size() {
    return this.#places.size;
  }

  /** @param {Upload} upload */
  add(upload) {
    if (this.#places.has(upload)) return;
    let block = this.#blocks.at(-1);
    if (!block || block.uploads.size >= BLOCK_ROWS) block = this.#grow();
    block.uploads.add(upload);
    this.#places.set(upload, block);
    this.change(upload);
  }

  #grow() {
    const element = el("div", { part: "block", role: "presentation" });
    const block = { element, uploads: new Set(), rows: new Map(), shown: this.#blocks.length < BLOCKS_KEPT };
    this.#blocks.push(block);
    this.#grown = !block.shown;
    this.element.append(element);
    this.#observer.observe(element);
    return block;
  }

  /** @param {Upload} upload */
  change(upload) {
    if (this.#places.get(upload)?.shown) this.#changed.add(upload);
  }

  /** All rows, such as after a change of the connection or of the language. */
  changeAll() {
    for (const { shown, uploads } of this.#blocks) if (shown) for (const upload of uploads) this.#changed.add(upload);
  }

  /** Draws what changed, some rows at a time; true if there is more. */
  draw() {
    let left = ROWS_PER_FRAME;
    for (const upload of this.#changed) {
      if (!left--) return true;
      this.#changed.delete(upload);
      const block = this.#places.get(upload);
      if (block?.shown) this.#drawIn(block, upload);
    }
    return false;
  }

  /** @param {Block} block @param {Upload} upload */
  #drawIn(block, upload) {
    const there = block.rows.get(upload);
    if (there) return there.draw();
    const row = this.#rowOf(upload);
    block.rows.set(upload, row);
    block.element.append(row.element);
  }

  /** @param {Upload} upload */
  #rowOf(upload) {
    const { renderRow } = this.host;
    const shown = renderRow?.(upload, null);
    return renderRow && shown ? new RenderedRow(this.host, renderRow, upload, shown) : new Row(this.uploads, upload, this.#thumbnails);
  }

  /** Makes all rows anew. */
  renew() {
    for (const block of this.#blocks) {
      if (!block.shown) continue;
      this.#clear(block);
      this.#show(block);
    }
  }

  /** Takes a row out; the focus goes to its neighbour. @param {Upload} upload @returns {boolean} whether the focus needs another place */
  remove(upload) {
    const block = this.#places.get(upload);
    this.#places.delete(upload);
    this.#changed.delete(upload);
    if (!block) return false;
    const row = block.rows.get(upload);
    block.uploads.delete(upload);
    block.rows.delete(upload);
    const hadFocus = row?.hasFocus;
    const neighbour = hadFocus && (row.element.nextElementSibling ?? row.element.previousElementSibling);
    row?.close();
    if (!block.uploads.size) this.#shrink(block);
    if (!hadFocus) return false;
    const next = [...block.rows.values()].find(({ element }) => element === neighbour);
    next?.focus();
    return !next;
  }

  /** @param {Block} block */
  #shrink(block) {
    this.#observer.unobserve(block.element);
    block.element.remove();
    this.#blocks.splice(this.#blocks.indexOf(block), 1);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #seen(entries) {
    for (const { target, isIntersecting, boundingClientRect } of entries) {
      const block = this.#blocks.find(({ element }) => element === target);
      if (!block || block.shown === isIntersecting) continue;
      if (isIntersecting) this.#show(block);
      else if (this.#blocks.length > BLOCKS_KEPT && ![...block.rows.values()].some((row) => row.hasFocus)) this.#hide(block, boundingClientRect.height);
    }
  }

  /** @param {Block} block */
  #show(block) {
    block.shown = true;
    block.element.style.blockSize = "";
    for (const upload of block.uploads) this.#drawIn(block, upload);
  }

  /** @param {Block} block @param {number} height */
  #hide(block, height) {
    block.shown = false;
    block.element.style.blockSize = `${height}px`;
    this.#clear(block);
  }

  /** @param {Block} block */
  #clear({ rows }) {
    for (const row of rows.values()) row.close();
    rows.clear();
  }

  /** Blocks that were never seen get the height of a full one: asked for only when there are new ones, since it costs a layout. */
  estimate() {
    if (!this.#grown) return;
    this.#grown = false;
    const full = this.#blocks[0]?.element.offsetHeight ?? 0;
    for (const { shown, element, uploads } of this.#blocks) {
      if (!shown && !element.style.blockSize) element.style.blockSize = `${Math.ceil((full * uploads.size) / BLOCK_ROWS)}px`;
    }
  }

  close() {
    this.#observer.disconnect();
    this.#thumbnails.close();
    for (const block of this.#blocks) this.#clear(block);
    this.element.remove();
  }
}
