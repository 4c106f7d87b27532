// @ts-check
/** The `dj-*` attributes and the events on `window`. Listeners are on the root: nothing is bound twice. */
import { attend } from "./attend.js";
import { Forms, paramsOf, slotsOf } from "./forms.js";
import { FRAME_MS } from "./frame.js";

/** @typedef {import("./index.d.ts").Uploads} Uploads */
/** @typedef {import("./index.d.ts").Upload} Upload */

const BOXES = "[dj-upload-progress],[dj-upload-preview]";
const STARTERS = `[dj-upload],[dj-upload-drop],[dj-submit],[dj-click],${BOXES}`;
const ATTRIBUTES = ["dj-upload", "dj-upload-progress", "dj-upload-preview", "required"];

/** @param {Element} box */
const slotOf = (box) => box.getAttribute("dj-upload-progress") ?? box.getAttribute("dj-upload-preview") ?? "";

/** @param {string} name @param {unknown} detail */
function tell(name, detail) {
  for (const prefix of ["djust:upload:", "upload:"]) dispatchEvent(new CustomEvent(prefix + name, { detail }));
}

/** Whether something was changed that is not the inside of our own rows. @param {MutationRecord} record */
function isForeign({ type, target, addedNodes, removedNodes }) {
  if (type === "attributes") return true;
  const elements = [...addedNodes, ...removedNodes].some((node) => node instanceof Element);
  return elements && !(/** @type {Element} */ (target).closest(BOXES));
}

/** Whether a paste belongs to the field it goes to: text that is copied from a document has a picture of it as well. @param {ClipboardEvent} event */
function isText({ target, clipboardData }) {
  const field = /** @type {HTMLElement} */ (target);
  const editable = field.isContentEditable || field.matches("textarea, input:not([type=file])");
  return editable && !!clipboardData?.types.some((type) => type.startsWith("text/"));
}

/**
 * @param {Uploads} uploads
 * @param {Document | HTMLElement} [root]
 */
export function bind(uploads, root = document) {
  const stop = new AbortController();
  const { signal } = stop;
  /** Loaded as soon as the page has a place for them. @type {import("./rows.js").Rows | undefined} */
  let rows;
  let loading = false;
  /** What changed before. @type {Set<Upload>} */
  const early = new Set();
  const forms = new Forms(uploads, root, signal);
  /** Uploads that count for a required input: there, and neither failed nor cancelled. @type {Map<string, Set<Upload>>} */
  const present = new Map();
  /** @type {Set<HTMLInputElement>} */
  let required = new Set();
  /** @type {Map<Element, string>} */
  let boxes = new Map();
  let scanning = true;
  let connecting = false;
  /** Of the next drawing. @type {ReturnType<typeof setTimeout> | undefined} */
  let timer;

  const soon = () => {
    timer ??= setTimeout(draw, FRAME_MS);
  };
  const rescan = () => {
    scanning = true;
    soon();
  };
  const watcher = new MutationObserver((records) => records.some(isForeign) && rescan());
  watcher.observe(root, { subtree: true, childList: true, attributeFilter: ATTRIBUTES });

  const ends = [
    uploads.on("configs", rescan),
    uploads.on("add", (upload) => {
      count(upload, true);
      change(upload);
    }),
    uploads.on("change", change),
    uploads.on("progress", (upload) => {
      change(upload);
      if (upload.ended && upload.status !== "complete") count(upload, false);
      else if (upload.status === "queued") count(upload, true);
      if (upload.status !== "queued") tell("progress", upload.progress);
    }),
    uploads.on("remove", (upload) => {
      count(upload, false);
      early.delete(upload);
      rows?.remove(upload);
    }),
    uploads.on("error", ({ upload, slot, ...more }) => tell("error", { file: upload?.name, ref: upload?.ref, uploadName: slot, ...more })),
    uploads.on("intake", ({ slot, ...more }) => tell("intake", { uploadName: slot, ...more })),
    ...(/** @type {const} */ (["event", "push"])).map((name) => uploads.on(name, (detail) => tell(name, detail))),
    forms.end,
  ];

  /** @param {Upload} upload @param {boolean} isThere */
  function count(upload, isThere) {
    const { slot } = upload;
    const there = present.get(slot) ?? new Set();
    present.set(slot, there);
    const before = there.size;
    if (isThere) there.add(upload);
    else there.delete(upload);
    if (!before !== !there.size) validate();
  }

  /**
   * A required input is emptied after each pick, so the browser would hold its form back for ever; what is required
   * is a file of the slot, picked, dropped or pasted.
   */
  function validate() {
    for (const input of required) {
      const missing = !present.get(input.getAttribute("dj-upload") ?? "")?.size;
      input.setCustomValidity(missing ? input.dataset.required ?? "" : "");
    }
  }

  /** @param {Upload} upload */
  function change(upload) {
    if (rows) rows.change(upload);
    else early.add(upload);
    soon();
  }

  async function load() {
    if (loading) return;
    loading = true;
    const { Rows } = await import("./rows.js");
    if (signal.aborted) return;
    rows = new Rows(uploads);
    for (const upload of early) rows.change(upload);
    early.clear();
    rescan();
  }

  function draw() {
    timer = undefined;
    if (scanning) scan();
    if (rows?.draw()) soon();
  }

  function scan() {
    scanning = false;
    const starters = [...root.querySelectorAll(STARTERS)];
    if (starters.length && !connecting) {
      connecting = true;
      uploads.connect().catch(() => {}); // there is an error event
    }
    required = new Set();
    const found = new Map();
    for (const element of starters) {
      if (element.matches(BOXES)) found.set(element, slotOf(element));
      if (element instanceof HTMLInputElement && element.type === "file" && element.hasAttribute("dj-upload")) prepare(element);
    }
    validate();
    if (found.size && !rows) void load();
    if (!rows) return;
    for (const [box, slot] of boxes) if (found.get(box) !== slot) rows.empty(box);
    for (const [box, slot] of found) if (boxes.get(box) !== slot) rows.fill(box, slot, box.hasAttribute("dj-upload-progress"));
    boxes = found;
  }

  /** @param {HTMLInputElement} input */
  function prepare(input) {
    const config = uploads.configs[input.getAttribute("dj-upload") ?? ""];
    if (config) {
      input.accept = config.accept;
      input.multiple = config.max_entries > 1;
    }
    if (input.required) {
      input.dataset.required = (input.validity.valueMissing && input.validationMessage) || uploads.words.text("required");
      input.required = false;
      input.setAttribute("aria-required", "true");
    }
    if (input.dataset.required) required.add(input);
  }

  /**
   * @template {keyof HTMLElementEventMap} K
   * @param {K} type
   * @param {string} attribute
   * @param {(element: any, value: string, event: HTMLElementEventMap[K]) => void} act
   */
  function listen(type, attribute, act) {
    const listener = (/** @type {any} */ event) => {
      const element = event.target.closest?.(`[${attribute}]`);
      if (element) act(element, element.getAttribute(attribute), event);
    };
    root.addEventListener(type, listener, { signal });
  }

  /** @param {string} slot @param {DataTransfer | null} transfer @param {Event} event */
  function take(slot, transfer, event) {
    if (!transfer?.types.includes("Files")) return;
    event.preventDefault();
    void uploads.addFrom(transfer, slot, { replace: true });
  }

  listen("change", "dj-upload", (input, slot) => {
    if (input.type !== "file") return;
    void uploads.addFrom([...input.files], slot, { replace: true });
    input.value = ""; // or picking the same file again would be no change
  });
  listen("paste", "dj-upload", (_, slot, event) => {
    if (!isText(event)) take(slot, event.clipboardData, event);
  });
  listen("dragover", "dj-upload-drop", (zone, _, event) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    event.preventDefault();
    zone.classList.add("upload-dragover");
  });
  listen("dragleave", "dj-upload-drop", (zone, _, event) => {
    if (!zone.contains(event.relatedTarget)) zone.classList.remove("upload-dragover");
  });
  listen("drop", "dj-upload-drop", (zone, slot, event) => {
    zone.classList.remove("upload-dragover");
    take(slot, event.dataTransfer, event);
  });
  listen("submit", "dj-submit", (form, event, submit) => {
    submit.preventDefault();
    void forms.fire(form, event, paramsOf(form, submit.submitter), slotsOf(form));
  });
  listen("click", "dj-click", (button, event, click) => {
    click.preventDefault();
    void forms.fire(button, event, { ...button.dataset });
  });
  ends.push(attend(uploads));
  soon();

  return () => {
    stop.abort();
    watcher.disconnect();
    clearTimeout(timer);
    rows?.close();
    for (const end of ends) end();
  };
}
