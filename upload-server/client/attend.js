// @ts-check
/** What a page needs once, however many parts of it show uploads: announcements, and guards against leaving by mistake. */
/** @typedef {import("./index.d.ts").Uploads} Uploads */
/** @typedef {import("./index.d.ts").Upload} Upload */

/** @type {WeakMap<Uploads, { users: number, end: () => void }>} */
const attended = new WeakMap();

/** Begins with the first part of the page, and ends with the last. @param {Uploads} uploads @returns {() => void} */
export function attend(uploads) {
  const there = attended.get(uploads) ?? { users: 0, end: begin(uploads) };
  attended.set(uploads, there);
  there.users++;
  return () => {
    if (--there.users) return;
    attended.delete(uploads);
    there.end();
  };
}

/** @param {Uploads} uploads */
function begin(uploads) {
  const stop = new AbortController();
  const { signal } = stop;
  /** @type {import("./announcer.js").Announcer | undefined} */
  let announcer;
  // Behind everything that shows something.
  import("./announcer.js").then(({ Announcer }) => {
    if (!signal.aborted) announcer = new Announcer(uploads);
  }, () => {});
  addEventListener("dragover", keep, { signal });
  addEventListener("drop", keep, { signal });
  addEventListener("beforeunload", (event) => {
    const isLost = (/** @type {Upload} */ { slot, status }) => status === "queued" || !uploads.configs[slot]?.resumable;
    if (uploads.reading().length || uploads.uploads.some(isLost)) event.preventDefault();
  }, { signal });
  return () => {
    stop.abort();
    announcer?.close();
  };
}

/** A browser opens a file that is dropped where no one takes it. @param {DragEvent} event */
function keep(event) {
  const { dataTransfer, target, defaultPrevented } = event;
  const isInput = target instanceof Element && target.matches("input[type=file]");
  if (defaultPrevented || isInput || !dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  dataTransfer.dropEffect = "none";
}
