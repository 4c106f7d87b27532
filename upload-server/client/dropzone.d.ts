/** The widget `<upload-dropzone slot="photos">`: importing this module defines the element. */
import type { Trouble, Upload, Uploads } from "./index";

/** What the element tells; none of it bubbles. */
export interface UploadDropzoneEventMap {
  /** A file was added. */
  add: CustomEvent<Upload>;
  /** The server has stored a file; once for each. */
  complete: CustomEvent<Upload>;
  /** A file of the slot, or all that were given, had a trouble. */
  error: CustomEvent<Trouble>;
  /** A file was removed from the list. */
  remove: CustomEvent<Upload>;
}

/**
 * Renders the row of an upload: once when the row is made, with null, and then each time the upload changed, with the
 * element of the time before, which it may change and return.
 *
 * The element becomes a child of the widget, so that the page's own styles reach it; the widget gives it its place with the
 * attribute `slot`. Where it returns null for a new row, the upload gets the widget's own.
 */
export type RenderRow = (upload: Upload, shown: HTMLElement | null) => HTMLElement | null;

/**
 * A drop area with the list of its files.
 *
 * Attributes:
 *
 * - `slot` (or `data-slot`, inside another component), `name` (of the form field; the slot's by default);
 * - `required`, `disabled`, `heading`, `hint`, `label` (the button's words);
 * - `layout` (`list`, `compact`, `gallery`), `theme` (`light`, `dark`; the page's by default);
 * - `folders` (offers a button for folders), `page` (the whole page takes drops and pastes);
 * - `url` (the socket's address; by default `ws` next to the client's folder).
 *
 * Parts:
 *
 * - `box`, `head`, `heading`, `hint`, `zone`, `picks`, `button`, `invite`, `connection`, `notice`, `total`, `words`;
 * - `tools`, `plain`, `list`, `row` (with its state: `::part(row error)`), `rendered` (around a row that the page renders);
 * - `thumbnail`, `name`, `link`, `size`, `state`, `track`, `bar`, `actions`, `action`.
 */
export declare class UploadDropzone extends HTMLElement {
  /** Whose uploads it shows: the page's own, or those of `url`. */
  uploads: Uploads;
  /** Renders the rows in place of the widget; all are made anew when it is set. */
  renderRow: RenderRow | undefined;
  /** The slot's name. */
  readonly slotName: string;
  readonly name: string;
  /** What it shows, in its order. */
  readonly files: Upload[];
  readonly form: HTMLFormElement | null;
  readonly validity: ValidityState;
  readonly validationMessage: string;
  readonly willValidate: boolean;
  checkValidity(): boolean;
  reportValidity(): boolean;
  addEventListener<K extends keyof UploadDropzoneEventMap>(
    type: K,
    listener: (this: UploadDropzone, event: UploadDropzoneEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "upload-dropzone": UploadDropzone;
  }
}
