// @ts-check
/** What handlers answer, and what the application tells the page, shown in the page's own markup. */

/** @param {any} value @param {string} path keys with dots between them; without any, the value itself */
const at = (value, path) => path.split(".").reduce((it, key) => (key ? (Object.hasOwn(Object(it), key) ? it[key] : undefined) : it), value);

/** A text; of anything but texts, numbers and truth values, none. @param {unknown} value */
const textOf = (value) => (value === null || typeof value === "object" ? "" : String(value ?? ""));

/** A template's content, once; always as text, never as markup. @param {HTMLTemplateElement} template @param {unknown} value */
function fill(template, value) {
  const content = /** @type {DocumentFragment} */ (template.content.cloneNode(true));
  for (const part of content.querySelectorAll("[dj-value]")) part.textContent = textOf(at(value, part.getAttribute("dj-value") ?? ""));
  return content;
}

/**
 * Shows a value in a box: a text as it is, anything else by the `<template>` in it, once for each item of a list.
 *
 * @param {HTMLElement} box
 * @param {unknown} value
 * @param {{ ok: boolean, done: string }} options of what has neither text nor template, `done` is shown
 */
function show(box, value, { ok, done }) {
  const isText = typeof value !== "object" || !value;
  const template = ok && !isText ? box.querySelector("template") : null;
  for (const node of [...box.childNodes]) if (!(node instanceof HTMLTemplateElement)) node.remove();
  if (template) box.append(...[value].flat().map((item) => fill(template, item)));
  else box.append(isText ? textOf(value) : done);
  box.dataset.ok = String(ok);
}

/**
 * Where an answer is shown. A form that has no place for it gets one for what failed.
 *
 * @param {HTMLElement} source
 * @param {ParentNode} root
 * @param {string} event
 * @param {boolean} ok
 * @returns {HTMLElement}
 */
function outputOf(source, root, event, ok) {
  const there = source.querySelector("output") ?? root.querySelector(`[dj-result="${CSS.escape(event)}"]`);
  if (there) return /** @type {HTMLElement} */ (there);
  const made = document.createElement("output");
  if (!ok && source.localName === "form") source.append(made);
  return made;
}

/**
 * Shows what a handler answered.
 *
 * @param {HTMLElement} source
 * @param {ParentNode} root
 * @param {string} event
 * @param {Partial<import("./index.d.ts").EventAnswer>} answer
 * @param {boolean} ok
 * @param {import("./index.d.ts").Words} words
 */
export function answered(source, root, event, answer, ok, words) {
  show(outputOf(source, root, event, ok), said(answer, words), { ok, done: words.text("complete") });
}

/** Shows what the application told its pages. @param {ParentNode} root @param {{ event: string, value: unknown }} push @param {import("./index.d.ts").Words} words */
export function pushed(root, { event, value }, words) {
  for (const box of root.querySelectorAll(`[dj-result="${CSS.escape(event)}"]`)) show(/** @type {HTMLElement} */ (box), value, { ok: true, done: words.text("complete") });
}

/** Failures that a form names. */
const FAILURES_MAX = 5;

/**
 * Says in a form why it is not sent.
 *
 * @param {HTMLFormElement} form
 * @param {import("./index.d.ts").Trouble[]} failures
 * @param {boolean} isPaused whether a file is
 * @param {import("./index.d.ts").Words} words
 */
export function refuse(form, failures, isPaused, words) {
  const lines = failures.map(({ upload, error }) => (upload ? words.text("failed", { name: upload.name, error: upload.error?.message ?? error }) : error));
  const sentences = [...new Set(lines)].slice(0, FAILURES_MAX);
  if (isPaused) sentences.push(words.text("paused"));
  show(outputOf(form, form, "", false), sentences.join(". "), { ok: false, done: "" });
}

/** Files that a sentence names. */
const NAMES_MAX = 3;

/** Names for a sentence. @param {import("./index.d.ts").Upload[]} uploads */
const namesOf = (uploads) => uploads.slice(0, NAMES_MAX).map(({ name }) => name).join(", ") + (uploads.length > NAMES_MAX ? ", …" : "");

/**
 * What is shown of an answer. Where its files were taken before, since the form is sent twice, an answer was lost or
 * another page was faster, the handler finds no file and would say that it saved none.
 *
 * @param {Partial<import("./index.d.ts").EventAnswer>} answer with those `before` only if the same is sent again
 * @param {import("./index.d.ts").Words} words
 * @returns {unknown}
 */
function said({ result, offered = [], taken = [], before = [], unknown = [] }, words) {
  const sentences = [];
  const there = [...taken, ...before];
  if (unknown.length) sentences.push(words.text("gone", { name: namesOf(unknown) }));
  if (there.length && !offered.length) sentences.push(words.text("already saved", { name: namesOf(there) }));
  if (!sentences.length) return result;
  if (offered.length && typeof result === "string") sentences.push(result);
  return sentences.join(" ");
}
