// @ts-check
/** Forms with uploads: their events for the application, and the refs that a plain form takes along. */
import { UploadError } from "./upload.js";

/** @typedef {import("./index.d.ts").Uploads} Uploads */
/** @typedef {import("./index.d.ts").EventAnswer} EventAnswer */

/** What picks files for a form: an input, or the widget. */
const PICKERS = "[dj-upload], upload-dropzone";

/** @param {Element} picker */
const slotOf = (picker) => picker.getAttribute("dj-upload") ?? picker.getAttribute("data-slot") ?? picker.getAttribute("slot") ?? "";

/** Few pages have forms for handlers. */
const results = () => import("./results.js");

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

/**
 * A plain form waits for the uploads that it will name. Where one fails meanwhile it is not sent, names it, and is sent
 * without it the next time.
 *
 * @param {Uploads} uploads
 * @param {SubmitEvent} event
 * @param {string[]} [slots] those of pickers in the form
 */
export async function hold(uploads, event, slots = slotsOf(/** @type {HTMLFormElement} */ (event.target))) {
  const form = /** @type {HTMLFormElement} */ (event.target);
  const { submitter } = event;
  if (event.defaultPrevented || form.hasAttribute("dj-submit")) return;
  const isMine = (/** @type {{ slot?: string }} */ { slot = "" }) => slots.includes(slot);
  if (!uploads.uploads.some(isMine) && !slots.some((slot) => uploads.reading(slot).length)) return;
  event.preventDefault();
  if (form.ariaBusy) return;
  form.ariaBusy = "true";
  /** @type {import("./index.d.ts").Trouble[]} */
  const troubles = [];
  const end = uploads.on("error", (trouble) => void (isMine(trouble) && troubles.push(trouble)));
  for (const slot of slots) await uploads.start(slot);
  end();
  form.ariaBusy = null;
  // Of uploads, also of those that came meanwhile, and of files that could not be added.
  const failures = troubles.filter(({ upload, count }) => count || upload?.status === "error");
  const isPaused = uploads.uploads.some((upload) => upload.paused && isMine(upload));
  if (failures.length || isPaused) (await results()).refuse(form, failures, isPaused, uploads.words);
  else form.requestSubmit(submitter);
}

export class Forms {
  /** What each source sent last. @type {WeakMap<HTMLElement, string>} */
  #sent = new WeakMap();

  /** @param {Uploads} uploads @param {Document | HTMLElement} root @param {AbortSignal} signal */
  constructor(uploads, root, signal) {
    this.uploads = uploads;
    this.root = root;
    this.end = uploads.on("push", async (push) => (await results()).pushed(root, push, uploads.words));
    root.addEventListener("formdata", (event) => this.#name(/** @type {FormDataEvent} */ (event)), { signal });
    root.addEventListener("submit", (event) => void hold(uploads, /** @type {SubmitEvent} */ (event)), { signal });
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
      if (source.dispatchEvent(told)) (await results()).answered(source, this.root, event, answer, ok, this.uploads.words);
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
}
