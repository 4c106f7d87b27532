// @ts-check
/** Elements in few words. */

/**
 * @param {string} tag
 * @param {Record<string, string>} [attributes] `part` is the class as well
 * @param {...(Node | string)} children
 * @returns {any}
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (attributes.part) element.classList.add(...attributes.part.split(" "));
  element.append(...children);
  return element;
}

/** A button that does something. @param {string} part @param {() => void} act @param {...(Node | string)} children @returns {HTMLButtonElement} */
export function button(part, act, ...children) {
  const made = el("button", { type: "button", part }, ...children);
  made.onclick = act;
  return made;
}

/** Writes only what changed: a screen reader is not told the same twice. @param {HTMLElement} element @param {string} text */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The focused element inside a shadow tree. @param {Node} node @returns {Element | null} */
export const focusedIn = (node) => /** @type {ShadowRoot} */ (node.getRootNode()).activeElement ?? null;
