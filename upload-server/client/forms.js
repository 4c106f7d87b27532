// @ts-check
/** Forms with uploads: their events for the application, and the refs that a plain form takes along. */
import { UploadError } from "./upload.js";

/** @typedef {import("./index.d.ts").Uploads} Uploads */
/** @typedef {import("./index.d.ts").EventAnswer} EventAnswer */

/** What picks files for a form: an input, or the widget. */
const PICKERS = "[dj-upload], upload-dropzone";

/** @param {Element} picker */
const slotOf = (picker) => picker.getAttribute("dj-upload") ?? picker.getAttribute("data-slot") ?? picker.getAttribute("slot") ?? "";

/** The slots that a form's files go to. @param {HTMLElement} form */
export const slotsOf = (form) => [...new Set([...form.querySelectorAll(PICKERS)].map(slotOf))];

/** A form's fields; what comes more than once is a list. @param {HTMLFormElement} form @param {HTMLElement | null} submitter */
export function paramsOf(form, submitter) {
  /** @type {Record<string, string | string[]>} */
  const params = {};
  for (const [name, value] of new FormData(form, submitter)) {
    if (typeof value === "string") params[name] = name in params ? [params[name], value].flat() : value;
  }
  return params;
}

export class Forms {
  /** What each source sent last. @type {WeakMap<HTMLElement, string>} */
  #sent = new WeakMap();

  /** @param {Uploads} uploads @param {Document | HTMLElement} root @param {AbortSignal} signal */
  constructor(uploads, root, signal) {
    this.uploads = uploads;
    this.root = root;
    this.end = uploads.on("push", ({ event, value }) => {
      for (const box of root.querySelectorAll(`[dj-result="${CSS.escape(event)}"]`)) void this.#show(/** @type {HTMLElement} */ (box), { result: value }, true);
    });
    root.addEventListener("formdata", (event) => this.#name(/** @type {FormDataEvent} */ (event)), { signal });
    root.addEventListener("submit", (event) => this.#hold(/** @type {SubmitEvent} */ (event)), { signal });
  }

  /**
   * Runs the application's handler, when the files of these slots are there, and shows its answer, unless a listener of
   * `dj-result` prevents that because it does so itself.
   *
   * @param {HTMLElement} source
   * @param {string} event
   * @param {object} params
   * @param {string[]} [slots] all, if there are none
   */
  async fire(source, event, params, slots = []) {
    if (source.ariaBusy) return;
    source.ariaBusy = "true";
    /** @param {boolean} ok @param {Partial<EventAnswer>} answer @param {object} more */
    const tell = async (ok, answer, more) => {
      const told = new CustomEvent("dj-result", { bubbles: true, cancelable: true, detail: { event, ok, ...more } });
      if (source.dispatchEvent(told)) await this.#show(this.#output(source, event), answer, ok);
    };
    try {
      await this.#ready(slots);
      const sent = JSON.stringify([event, params]);
      const isAgain = this.#sent.get(source) === sent;
      this.#sent.set(source, sent);
      const answer = await this.uploads.answer(event, params, slots.length ? { slots } : {});
      await tell(!answer.unknown.length, isAgain ? answer : { ...answer, before: [] }, { result: answer.result });
    } catch (/** @type {any} */ error) {
      await tell(false, { result: error.message }, { error });
    } finally {
      source.ariaBusy = null;
    }
  }

  /** @param {HTMLElement} box @param {Partial<EventAnswer>} answer @param {boolean} ok */
  async #show(box, answer, ok) {
    const { said, show } = await import("./results.js"); // few pages have forms for handlers
    const { words } = this.uploads;
    show(box, said(answer, words), { ok, done: words.text("complete") });
  }

  /** Where an answer is shown. @param {HTMLElement} source @param {string} event @returns {HTMLElement} */
  #output(source, event) {
    const there = source.querySelector("output") ?? this.root.querySelector(`[dj-result="${CSS.escape(event)}"]`);
    return /** @type {HTMLElement} */ (there ?? document.createElement("output"));
  }

  /** Rejects where a file is paused: only its user can say whether it is to be sent. @param {string[]} slots */
  async #ready(slots) {
    for (const slot of slots) await this.uploads.start(slot);
    if (!this.uploads.uploads.some((upload) => upload.paused && slots.includes(upload.slot))) return;
    throw new UploadError({ code: "paused", error: this.uploads.words.text("paused"), retry: "later" });
  }

  /** A plain form takes the refs of its finished uploads along, under the names of its inputs. @param {FormDataEvent} event */
  #name({ target, formData }) {
    const form = /** @type {HTMLFormElement} */ (target);
    for (const input of form.querySelectorAll("input[type=file][dj-upload][name]")) {
      const name = input.getAttribute("name") ?? "";
      formData.delete(name);
      for (const ref of this.uploads.finished(slotOf(input))) formData.append(name, ref);
    }
  }

  /** A plain form waits for the uploads that it will name. @param {SubmitEvent} event */
  async #hold(event) {
    const form = /** @type {HTMLFormElement} */ (event.target);
    const { submitter } = event;
    if (event.defaultPrevented || form.hasAttribute("dj-submit")) return;
    const slots = slotsOf(form);
    if (!this.uploads.uploads.some(({ slot }) => slots.includes(slot))) return;
    event.preventDefault();
    if (form.ariaBusy) return;
    form.ariaBusy = "true";
    try {
      await this.#ready(slots);
    } catch (/** @type {any} */ error) {
      this.#output(form, "").textContent = error.message;
      return;
    } finally {
      form.ariaBusy = null;
    }
    form.requestSubmit(submitter);
  }
}
