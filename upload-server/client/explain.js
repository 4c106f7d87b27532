// @ts-check
/** Where a developer reads what an error means: one line of the console for each code of a page. */

const REFERENCE = "https://github.com/upload-rs/upload/blob/main/docs/errors.md";
/** @type {Set<string>} */
const explained = new Set();

/** @param {{ code: string }} trouble */
export function explain({ code }) {
  if (explained.has(code)) return;
  explained.add(code);
  console.info(`upload: ${code}, see ${REFERENCE}#${code}`);
}
