// @ts-check
/** `<upload-dropzone>`: the element, its attributes, drops and pastes, and its part in a form. */
import { hold, slotsOf } from "../forms.js";
import { createUploads, uploads as ofPage } from "../index.js";
import { style } from "./style.js";
import { View } from "./view.js";

/** @typedef {import("../index.d.ts").Uploads} Uploads */
/** @typedef {import("../index.d.ts").Upload} Upload */

/** Uploads that widgets share, by address. @type {Map<string, Uploads>} */
const shared = new Map();

/** The page's own, or those of an address. @param {string | null} address */
function uploadsFor(address) {
  if (!address && ofPage) return ofPage;
  const url = new URL(address ?? new URL("../../ws", import.meta.url), location.href).href;
  const there = shared.get(url) ?? createUploads({ url });
  shared.set(url, there);
  return there;
}

export class UploadDropzone extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = ["slot", "data-slot", "name", "required", "disabled", "heading", "hint", "label", "folders"];
  #internals = this.attachInternals();
  #root = this.attachShadow({ mode: "open", delegatesFocus: true });
  /** @type {Uploads | undefined} */
  #uploads;
  /** @type {View | undefined} */
  #view;
  /** @type {import("../dropzone.d.ts").RenderRow | undefined} */
  #renderRow;
  /** Its form or a fieldset is disabled. */
  #formDisabled = false;
  /** @type {Set<Upload>} */
  #files = new Set();
  /** Of the listener on the form. */
  #leaveForm = new AbortController();
  /** Of the listeners on the page. */
  #stop = new AbortController();

  constructor() {
    super();
    this.#root.adoptedStyleSheets = [style()];
  }

  get uploads() {
    return (this.#uploads ??= uploadsFor(this.getAttribute("url")));
  }
  set uploads(value) {
    this.#uploads = value;
    if (this.isConnected) this.#open();
  }
  get renderRow() {
    return this.#renderRow;
  }
  set renderRow(value) {
    this.#renderRow = value;
    this.#view?.list.renew();
  }
  get slotName() {
    return this.dataset.slot ?? this.getAttribute("slot") ?? "";
  }
  get name() {
    return this.getAttribute("name") ?? this.slotName;
  }
  get form() {
    return this.#internals.form;
  }
  get validity() {
    return this.#internals.validity;
  }
  get validationMessage() {
    return this.#internals.validationMessage;
  }
  get willValidate() {
    return this.#internals.willValidate;
  }
  checkValidity() {
    return this.#internals.checkValidity();
  }
  reportValidity() {
    return this.#internals.reportValidity();
  }
  /** Files shown here, in their order. @returns {Upload[]} */
  get files() {
    return [...this.#files];
  }

  connectedCallback() {
    // A property that was set before the element was defined hides the accessor.
    for (const name of ["uploads", "renderRow"]) {
      const early = Object.getOwnPropertyDescriptor(this, name);
      if (!early) continue;
      const self = /** @type {any} */ (this);
      delete self[name];
      if (name === "uploads") this.#uploads = early.value;
      else this.#renderRow = early.value;
    }
    this.#open();
    this.#listen();
  }

  disconnectedCallback() {
    // An element that is moved comes back at once.
    queueMicrotask(() => {
      if (this.isConnected) return;
      this.#stop.abort();
      this.#view?.close();
      this.#view = undefined;
    });
  }

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (before === now || !this.#view) return;
    if (name === "slot" || name === "data-slot") this.#open();
    else this.#view.drawAll();
    this.#validate();
  }

  /** @param {boolean} disabled */
  formDisabledCallback(disabled) {
    this.#formDisabled = disabled;
    this.#view?.drawAll();
  }

  formResetCallback() {
    for (const upload of this.files) upload.remove();
  }

  #open() {
    this.#view?.close();
    this.#files = new Set();
    this.#view = new View(this.#root, this.uploads, {
      slot: () => this.slotName,
      attribute: (name) => this.getAttribute(name) ?? (this.hasAttribute(name) ? "true" : ""),
      isDisabled: () => this.#formDisabled || this.hasAttribute("disabled"),
      changed: (files) => {
        this.#files = files;
        this.#validate();
      },
      tell: (name, detail) => void this.dispatchEvent(new CustomEvent(name, { detail })),
    });
    this.#validate();
  }

  /** @param {HTMLFormElement | null} form */
  formAssociatedCallback(form) {
    this.#leaveForm.abort();
    this.#leaveForm = new AbortController();
    form?.addEventListener("formdata", ({ formData }) => this.#name(formData), { signal: this.#leaveForm.signal });
  }

  /** The value is the refs of complete files, looked for when the form is sent. @param {FormData} data */
  #name(data) {
    if (this.matches(":disabled")) return;
    for (const upload of this.#files) if (upload.status === "complete" && !upload.removing) data.append(this.name, upload.ref);
  }

  /** A required one needs a file that did not fail and stays. */
  #hasFile() {
    for (const { status, removing } of this.#files) if (status !== "error" && status !== "cancelled" && !removing) return true;
    return false;
  }

  #validate() {
    if (!this.#view) return;
    const isMissing = this.hasAttribute("required") && !this.#hasFile();
    const message = isMissing ? this.uploads.words.text("required") : "";
    this.#internals.setValidity(isMissing ? { valueMissing: true } : {}, message, this.#view.choose);
  }

  #listen() {
    this.#stop.abort();
    this.#stop = new AbortController();
    const { signal } = this.#stop;
    const box = () => this.#view?.box;
    const hasFiles = (/** @type {DataTransfer | null} */ transfer) => !!transfer?.types.includes("Files");
    /** @param {string} value */
    const mark = (value) => {
      const element = box();
      if (!element) return;
      if (value) element.dataset.drag = value;
      else delete element.dataset.drag;
    };
    /** Whether the whole page is its drop area. */
    const takes = (/** @type {Event} */ event) => this.hasAttribute("page") || event.composedPath().includes(this);
    addEventListener("dragover", (event) => {
      if (!hasFiles(event.dataTransfer)) return;
      const isOver = takes(event);
      if (isOver) event.preventDefault();
      mark(isOver ? "over" : "near");
    }, { signal, capture: true });
    addEventListener("dragleave", (event) => event.relatedTarget || mark(""), { signal });
    addEventListener("dragend", () => mark(""), { signal });
    addEventListener("drop", (event) => {
      mark("");
      if (event.defaultPrevented || !hasFiles(event.dataTransfer) || !takes(event)) return;
      event.preventDefault();
      this.#view?.take(/** @type {DataTransfer} */ (event.dataTransfer));
    }, { signal, capture: true });
    const paste = (/** @type {ClipboardEvent} */ event) => {
      if (event.defaultPrevented || !hasFiles(event.clipboardData) || event.clipboardData?.types.some((type) => type.startsWith("text/"))) return;
      event.preventDefault();
      this.#view?.take(/** @type {DataTransfer} */ (event.clipboardData));
    };
    (this.hasAttribute("page") ? document : this).addEventListener("paste", /** @type {EventListener} */ (paste), { signal });
    // At the root, behind the listeners of the form's own page; also in a shadow tree, which a submit does not leave.
    this.getRootNode().addEventListener("submit", (event) => {
      const { form } = this;
      // It may be outside of its form's element.
      if (form && event.target === form && !this.matches(":disabled")) void hold(this.uploads, /** @type {SubmitEvent} */ (event), [...slotsOf(form), this.slotName]);
    }, { signal });
  }
}
